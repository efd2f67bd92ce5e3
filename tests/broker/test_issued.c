/* issued: the answer is the JSON that it should be, whatever the token holds, and so is the next one like it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>
#include "broker/mint.h"
#include "broker/surface/issued.h"
#include "hallpass/api.h"
#include "hallpass/ascii.h"

static struct ask ask = { .permission = PERMISSION_GET_ACCESS_TOKEN, .target = "sa@acme.iam.gserviceaccount.com" };
static struct decision decision = { .allow = true,
				    .rule = "dev",
				    .title = "office \"hours\"",
				    .bound_by = BOUND_BY_DEFAULT,
				    .permitted_until = 1800003600,
				    .scopes = { "https://www.googleapis.com/auth/cloud-platform" },
				    .n_scopes = 1 };

static json_t *answer_of(struct token *token, const char *id, int64_t now, struct issued_memo *memo, struct buf *out) {
	const struct error none = { 0 };
	const struct request_outcome o = { .id = id, .principal = "user:a@example.com", .ask = &ask, .decision = &decision,
					   .token = token, .error = &none, .cached = true, .snapshot = 7, .now = now };
	json_t *json;

	issued_write(&o, memo, out);
	assert_true(buf_ok(out));
	json = json_loadb(out->data + CONN_HEAD_ROOM, out->len - CONN_HEAD_ROOM, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	return json;
}

static void assert_text(const json_t *json, const char *key, const char *want) {
	assert_string_equal(json_string_value(json_object_get(json, key)), want);
}

static void test_issued_is_json_whatever_the_token_holds(void **state) {
	static const char *const texts[] = { "ya29.a0-_~", "with \"quotes\"", "back\\slash", "tab\there", "" };
	struct buf out = BUF_INIT(1 << 20);

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct token token = { .serial = i + 1, .expires_at = 1800003600 };
		struct issued_memo memo = { 0 };

		assert_int_equal(secret_set(&token.value, texts[i], strlen(texts[i])), 0);
		token.plain = ascii_run(texts[i], strlen(texts[i]), true) == strlen(texts[i]);
		for (int again = 0; again < 3; again++) {
			const char *const ids[] = { "abc-1", "abc-22", "abc-333" };
			json_t *json = answer_of(&token, ids[again], 1800000000 + again, &memo, &out);

			assert_text(json, API_ACCESS_TOKEN, texts[i]);
			assert_text(json, API_REQUEST_ID, ids[again]);
			assert_text(json, API_TITLE, decision.title);
			assert_text(json, API_EXPIRE_TIME, "2027-01-15T09:00:00Z");
			assert_int_equal(json_integer_value(json_object_get(json, API_EXPIRES_IN)), 3600 - again);
			json_decref(json);
		}
		issued_memo_fini(&memo);
		secret_fini(&token.value);
	}
	buf_fini(&out);
}

static void test_issued_is_another_where_the_token_or_the_decision_is(void **state) {
	struct token first = { .serial = 1, .plain = true, .expires_at = 1800003600 }, second = { .serial = 2, .plain = true, .expires_at = 1800007200 };
	struct buf out = BUF_INIT(1 << 20);
	struct issued_memo memo = { 0 };
	json_t *json;

	(void)state;
	assert_int_equal(secret_set(&first.value, "one", 3) | secret_set(&second.value, "two", 3), 0);
	json_decref(answer_of(&first, "a-1", 1800000000, &memo, &out));
	json = answer_of(&second, "a-2", 1800000000, &memo, &out);
	assert_text(json, API_ACCESS_TOKEN, "two");
	assert_text(json, API_EXPIRE_TIME, "2027-01-15T10:00:00Z");
	json_decref(json);
	decision.permitted_until = INT64_MAX;
	json = answer_of(&second, "a-3", 1800000000, &memo, &out);
	assert_null(json_object_get(json, API_PERMITTED_UNTIL));
	json_decref(json);
	decision.permitted_until = 1800003600;
	issued_memo_fini(&memo);
	secret_fini(&first.value);
	secret_fini(&second.value);
	buf_fini(&out);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_issued_is_json_whatever_the_token_holds),
		cmocka_unit_test(test_issued_is_another_where_the_token_or_the_decision_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
