/* foreign: which requests are a page's or a proxy's, and which names are ours. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "broker/surface/foreign.h"
#include "hallpass/cleanup.h"

static void test_P4_foreign_only_our_own_names_with_our_own_port(void **state) {
	static const struct {
		const char *host;
		uint16_t port;
		bool ours;
	} cases[] = {
		{ "127.0.0.1:8080", 8080, true },
		{ "localhost:8080", 8080, true },
		{ "LocalHost:8080", 8080, true },
		{ "[::1]:8080", 8080, true },
		{ "127.0.0.1", 80, true },
		{ "[::1]", 80, true },
		{ "metadata.google.internal", 8080, true },
		{ "metadata.google.internal:80", 8080, true },
		{ "metadata", 8080, true },
		{ "169.254.169.254", 8080, true },
		/* what a page has whose own name was rebound */
		{ "rebind.test:8080", 8080, false },
		{ "metadata.google.internal:8080", 8080, false },
		{ "metadata:8080", 8080, false },
		{ "169.254.169.254:8080", 8080, false },
		{ "metadata.google.internal.evil.test", 8080, false },
		{ "xmetadata", 8080, false },
		/* near misses */
		{ "", 80, false },
		{ "127.0.0.1", 8080, false },
		{ "localhost", 8080, false },
		{ "127.0.0.1:80", 8080, false },
		{ "127.0.0.1:80800", 8080, false },
		{ "127.0.0.1:08080", 8080, true }, /* the same number */
		{ "127.0.0.1:18080", 8080, false },
		{ "127.0.0.1:73616", 8080, false }, /* 8080 + 65536 */
		{ "127.0.0.2:8080", 8080, false },
		{ "127.1:8080", 8080, false },
		{ "0.0.0.0:8080", 8080, false },
		{ "[::]:8080", 8080, false },
		{ "[::ffff:127.0.0.1]:8080", 8080, false },
		{ "localhost.:8080", 8080, false },
		{ "localhost.localdomain:8080", 8080, false },
		{ "127.0.0.1.evil.test:8080", 8080, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (host_is_ours(str_of(cases[i].host), cases[i].port) != cases[i].ours)
			fail_msg("\"%s\" at port %u is %sours", cases[i].host, cases[i].port, cases[i].ours ? "" : "not ");
	assert_false(host_is_ours((struct str){ NULL, 0 }, 80));
}

static void test_foreign_fields_of_pages_and_proxies(void **state) {
	static const char *const foreign[] = { "Origin", "origin", "REFERER", "Sec-Fetch-Site", "sec-fetch-anything", "X-Forwarded-For",
					       "Forwarded", "Via" };
	static const char *const fine[] = { "Metadata-Flavor", "User-Agent", "Origins", "Sec-Fetch", "X-Forwarded-Proto", "Vi", "Referers" };
	struct http_request request = { .n_fields = 2 };
	struct error err;

	(void)state;
	request.fields[0] = (struct http_field){ STR("Accept"), STR("*/*") };
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		request.fields[1].name = str_of(foreign[i]);
		assert_true(str_eq(foreign_field(&request), str_of(foreign[i])));
		foreign_field_error(foreign_field(&request), &err);
		assert_int_equal(err.code, ERR_DENIED);
		assert_non_null(strstr(err.message, foreign[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
		request.fields[1].name = str_of(fine[i]);
		assert_int_equal(foreign_field(&request).n, 0);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_P4_foreign_only_our_own_names_with_our_own_port),
		cmocka_unit_test(test_foreign_fields_of_pages_and_proxies),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
