/* scopes: which are well-formed, and what cloud-platform covers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "policy/scopes.h"

#define AUTH "https://www.googleapis.com/auth/"

static void test_scopes_well_formed(void **state) {
	static const struct {
		const char *scope;
		bool good;
	} cases[] = {
		{ SCOPE_CLOUD_PLATFORM, true }, { "openid", true },   { "email", true },	{ "profile", true },
		{ "https://mail.google.com/", true }, { "https://x", true }, { "", false },	{ "Openid", false },
		{ "open id", false },		{ "http://x", false }, { "https://", false }, { "https:///x", false },
		{ "HTTPS://x", false },		{ "https://a b", false }, { "https://a\nb", false }, { "https://a\"b", false },
		{ "https://a\\b", false },	{ "https://\xc3\xa4", false }, { "https://a\x7f", false }, { " https://a", false },
		{ "cloud-platform", false },
	};
	char exact[257], over[258];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (scope_well_formed(cases[i].scope) != cases[i].good)
			fail_msg("%s", cases[i].scope);
	memset(exact, 'a', sizeof(exact));
	memset(over, 'a', sizeof(over));
	exact[256] = over[257] = '\0';
	memcpy(exact, "https://", 8);
	memcpy(over, "https://", 8);
	assert_true(scope_well_formed(exact));
	assert_false(scope_well_formed(over));
}

static void test_scopes_cover(void **state) {
	static const struct {
		const char *ceiling, *asked;
		bool covered;
	} cases[] = {
		{ SCOPE_CLOUD_PLATFORM, SCOPE_CLOUD_PLATFORM, true },
		{ SCOPE_CLOUD_PLATFORM, AUTH "cloud-platform.read-only", true },
		{ SCOPE_CLOUD_PLATFORM, AUTH "devstorage.read_only", true },
		{ SCOPE_CLOUD_PLATFORM, AUTH "bigquery", true },
		{ SCOPE_CLOUD_PLATFORM, AUTH "bigquery.insertdata", true },
		{ SCOPE_CLOUD_PLATFORM, AUTH "compute", true },
		{ SCOPE_CLOUD_PLATFORM, AUTH "userinfo.email", true },
		{ SCOPE_CLOUD_PLATFORM, "openid", true },
		{ SCOPE_CLOUD_PLATFORM, "email", true },
		/* never what is not the cloud's */
		{ SCOPE_CLOUD_PLATFORM, AUTH "drive", false },
		{ SCOPE_CLOUD_PLATFORM, AUTH "gmail.readonly", false },
		{ SCOPE_CLOUD_PLATFORM, AUTH "admin.directory.user", false },
		{ SCOPE_CLOUD_PLATFORM, AUTH "calendar", false },
		{ SCOPE_CLOUD_PLATFORM, "https://mail.google.com/", false },
		/* nor what only looks like it */
		{ SCOPE_CLOUD_PLATFORM, AUTH "bigqueryx", false },
		{ SCOPE_CLOUD_PLATFORM, AUTH "bigquery.", false },
		{ SCOPE_CLOUD_PLATFORM, AUTH "devstorage", false },
		{ SCOPE_CLOUD_PLATFORM, AUTH "", false },
		{ SCOPE_CLOUD_PLATFORM, AUTH "cloud-platformx", false },
		{ SCOPE_CLOUD_PLATFORM, "https://www.googleapis.com.evil.example/auth/compute", false },
		{ SCOPE_CLOUD_PLATFORM, "http://www.googleapis.com/auth/compute", false },
		/* only cloud-platform covers another */
		{ AUTH "compute", AUTH "compute", true },
		{ AUTH "compute", AUTH "compute.readonly", false },
		{ AUTH "compute", SCOPE_CLOUD_PLATFORM, false },
		{ AUTH "cloud-platform.read-only", AUTH "compute.readonly", false },
		{ "openid", "email", false },
		{ AUTH "userinfo.email", "email", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (scope_covers(cases[i].ceiling, cases[i].asked) != cases[i].covered)
			fail_msg("%s over %s", cases[i].ceiling, cases[i].asked);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scopes_well_formed),
		cmocka_unit_test(test_scopes_cover),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
