/* status: each error code has a place outside; the body is Google's shape whatever stands in it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>
#include "broker/status.h"
#include "hallpass/cleanup.h"

static void test_status_each_code_has_its_place(void **state) {
	static const struct {
		enum error_code code;
		int http;
		const char *name;
	} cases[] = {
		{ ERR_NONE, 200, "OK" },
		{ ERR_INVALID, 400, "INVALID_ARGUMENT" },
		{ ERR_UNAUTHENTICATED, 401, "UNAUTHENTICATED" },
		{ ERR_DENIED, 403, "PERMISSION_DENIED" },
		{ ERR_NOT_FOUND, 404, "NOT_FOUND" },
		{ ERR_LIMIT, 429, "RESOURCE_EXHAUSTED" },
		{ ERR_CANCELLED, 499, "CANCELLED" },
		{ ERR_INTERNAL, 500, "INTERNAL" },
		{ ERR_REFUSED, 403, "PERMISSION_DENIED" },
		{ ERR_UPSTREAM, 502, "UNAVAILABLE" },
		{ ERR_UNAVAILABLE, 503, "UNAVAILABLE" },
		{ ERR_TIMEOUT, 504, "DEADLINE_EXCEEDED" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(status_of(cases[i].code)->http, cases[i].http);
		assert_string_equal(status_of(cases[i].code)->name, cases[i].name);
		assert_true(*status_of(cases[i].code)->reason);
	}
}

static const char *text_at(const json_t *json, const char *key) {
	const char *s = json_string_value(json_object_get(json, key));

	return s ? s : "";
}

static void test_status_body_is_googles_shape_and_always_json(void **state) {
	static const char *const messages[] = { "plain", "a \"quote\", a \\ and a\nline", "\x1b[2J\x01", "\xff\xfe not UTF-8", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		const struct status_detail details[] = { { "requestId", "7-1" }, { "absent", NULL }, { "rule", messages[i] } };
		struct buf body = BUF_INIT(4096);
		json_t *json, *error, *info;

		status_body(&body, ERR_DENIED, i ? NULL : "NO_BINDING", messages[i], details, ARRAY_SIZE(details));
		json = json_loadb(body.data, body.len, 0, NULL);
		assert_non_null(json);
		error = json_object_get(json, "error");
		info = json_array_get(json_object_get(error, "details"), 0);
		assert_int_equal(json_integer_value(json_object_get(error, "code")), 403);
		assert_string_equal(text_at(error, "status"), "PERMISSION_DENIED");
		assert_string_equal(text_at(info, "@type"), "type.googleapis.com/google.rpc.ErrorInfo");
		assert_string_equal(text_at(info, "domain"), "hallpass");
		assert_string_equal(text_at(info, "reason"), i ? "DENIED" : "NO_BINDING");
		assert_int_equal(json_object_size(json_object_get(info, "metadata")), 2);
		if (i < 3)
			assert_string_equal(text_at(error, "message"), messages[i]);
		json_decref(json);
		buf_fini(&body);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_each_code_has_its_place),
		cmocka_unit_test(test_status_body_is_googles_shape_and_always_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
