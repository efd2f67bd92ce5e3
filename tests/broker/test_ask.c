/* ask: a closed schema, canonical forms; every refusal names what is wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "broker/surface/ask.h"
#include "hallpass/cleanup.h"

#define SA "\"serviceAccount\":\"a@p.iam.gserviceaccount.com\""

static const struct {
	enum policy_permission permission;
	const char *body, *refusal; /* NULL: accepted */
} cases[] = {
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA "}", NULL },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"lifetime\":\"900s\",\"scopes\":[\"https://b\",\"https://a\",\"https://b\"]}", NULL },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"lifetime\":900,\"delegates\":null}", NULL },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"delegates\":[\"d@p.iam.gserviceaccount.com\"],\"justification\":\"INC-1\"}", NULL },
	{ PERMISSION_GET_OPEN_ID_TOKEN, "{" SA ",\"audience\":\"https://run\",\"includeEmail\":true}", NULL },
	{ PERMISSION_GET_ACCESS_TOKEN, "{}", "serviceAccount is missing" },
	{ PERMISSION_GET_ACCESS_TOKEN, "[]", "must be a JSON object" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{", "not JSON: line 1" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA "} x", "not JSON" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA "," SA "}", "not JSON" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"scope\":[]}", "unknown member \"scope\"; there are serviceAccount, scopes" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"audience\":\"x\"}", "unknown member \"audience\"" },
	{ PERMISSION_GET_OPEN_ID_TOKEN, "{" SA ",\"audience\":\"x\",\"scopes\":[]}", "unknown member \"scopes\"" },
	{ PERMISSION_GET_OPEN_ID_TOKEN, "{" SA "}", "audience is missing" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"lifetime\":\"900\"}", "lifetime must be" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"lifetime\":\"0s\"}", "lifetime must be" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"lifetime\":-5}", "lifetime must be" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"lifetime\":\"43201s\"}", "lifetime must be" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"lifetime\":\"99999999999999999999s\"}", "lifetime must be" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"lifetime\":9.5}", "lifetime must be" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"scopes\":\"x\"}", "scopes must be a list" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"scopes\":[\"a b\"]}", "visible ASCII" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"scopes\":[\"\"]}", "1 to 256 bytes" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"scopes\":[1]}", "must be a string" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{\"serviceAccount\":\"A@p.iam.gserviceaccount.com\"}", "in lower case" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{\"serviceAccount\":\"a@p/../x.com\"}", "in lower case" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{\"serviceAccount\":\"a@@p.com\"}", "in lower case" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{\"serviceAccount\":\"a%2f@p.com\"}", "in lower case" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{\"serviceAccount\":\"\\u0430@p.com\"}", "in lower case" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{\"serviceAccount\":\"a@p..com\"}", "in lower case" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{\"serviceAccount\":\"a\\u0000@p.com\"}", "not JSON" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{\"serviceAccount\":[]}", "must be a string" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"justification\":\"a\\nb\"}", "control characters" },
	{ PERMISSION_GET_ACCESS_TOKEN, "{" SA ",\"payload\":\"AAAA\"}", "unknown member \"payload\"" },
	{ PERMISSION_SIGN_BLOB, "{" SA ",\"payload\":\"AAAA\",\"justification\":\"INC-1\",\"delegates\":[]}", NULL },
	{ PERMISSION_SIGN_BLOB, "{" SA "}", "payload is missing" },
	{ PERMISSION_SIGN_BLOB, "{" SA ",\"payload\":\"\"}", "payload must be a string of 1 to" },
	{ PERMISSION_SIGN_BLOB, "{" SA ",\"payload\":\"A\"}", "payload is not base64" },
	{ PERMISSION_SIGN_BLOB, "{" SA ",\"payload\":\"AB==\"}", "payload is not base64" }, /* bits that no byte holds */
	{ PERMISSION_SIGN_BLOB, "{" SA ",\"payload\":\"AA=A\"}", "payload is not base64" },
	{ PERMISSION_SIGN_BLOB, "{" SA ",\"payload\":\"====\"}", "payload is not base64" },
	{ PERMISSION_SIGN_BLOB, "{" SA ",\"payload\":\"AAAA\",\"lifetime\":60}", "unknown member \"lifetime\"" },
	{ PERMISSION_SIGN_JWT, "{" SA ",\"payload\":\"{\\\"a\\\":\\\"\\\\u0000\\\"}\"}", "payload is not JSON: line 1" },
	{ PERMISSION_SIGN_JWT, "{" SA ",\"payload\":\"{\\\"exp\\\":null}\"}", "exp must be a whole number" },
	{ PERMISSION_SIGN_JWT, "{" SA ",\"payload\":\"{\\\"exp\\\":-1}\"}", "exp must be a whole number" },
	{ PERMISSION_SIGN_JWT, "{" SA ",\"payload\":\"{\\\"exp\\\":99999999999999999999}\"}", "payload is not JSON" },
	{ PERMISSION_SIGN_JWT, "{" SA ",\"payload\":\"{\\\"e\\\\u0078p\\\":1,\\\"exp\\\":2}\"}", "payload has a name twice" },
};

static int parse(const char *text, enum policy_permission permission, json_t **body, struct ask *ask,
		 struct error *err) {
	if (ask_body(str_of(text), body, err) < 0)
		return -1;
	return ask_parse(*body, permission, NULL, ask, err);
}

static void test_ask_takes_and_refuses(void **state) {
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };
		json_t *body = NULL;
		struct ask ask;
		int r = parse(cases[i].body, cases[i].permission, &body, &ask, &err);

		print_message("%s -> %s\n", cases[i].body, r ? err.message : "ok");
		assert_int_equal(r, cases[i].refusal ? -1 : 0);
		if (cases[i].refusal) {
			assert_non_null(strstr(err.message, cases[i].refusal));
			assert_int_equal(err.code, ERR_INVALID);
		}
		json_decref(body);
	}
}

static void test_ask_makes_equal_asks_equal(void **state) {
	struct error err;
	struct ask ask;
	json_t *body;

	(void)state;
	assert_int_equal(parse(cases[1].body, PERMISSION_GET_ACCESS_TOKEN, &body, &ask, &err), 0);
	assert_int_equal(ask.n_scopes, 2);
	assert_string_equal(ask.scopes[0], "https://a");
	assert_string_equal(ask.scopes[1], "https://b");
	assert_int_equal(ask.lifetime_s, 900);
	json_decref(body);
}

/* What is hashed is what is signed: one text for each blob, and for each set of claims. */
static void test_ask_puts_payloads_into_one_form(void **state) {
	static const struct {
		enum policy_permission permission;
		const char *payload, *canonical, *sha256;
		int64_t exp;
	} forms[] = {
		{ PERMISSION_SIGN_BLOB, "aGFsbHBhc3M=", "aGFsbHBhc3M=", "c296df5ee4e5b58987527f2e0e2f9e9b57723428220ab3c73c11837d23c7cf4f", 0 },
		{ PERMISSION_SIGN_BLOB, "aGFsbHBhc3M", "aGFsbHBhc3M=", "", 0 },
		{ PERMISSION_SIGN_BLOB, "-_-_", "+/+/", "", 0 },
		{ PERMISSION_SIGN_JWT, " { \"b\" : 1 ,\n \"a\" : [ true ] } ", "{\"b\":1,\"a\":[true]}", "", 0 },
		{ PERMISSION_SIGN_JWT, "{\"\\u0065xp\": 1800000000}", "{\"exp\":1800000000}", "", 1800000000 },
		{ PERMISSION_SIGN_JWT, "{}", "{}", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		json_t *body = json_pack("{s:s, s:s}", "serviceAccount", "a@p.iam.gserviceaccount.com", "payload", forms[i].payload);
		struct error err = { 0 };
		struct ask ask;

		if (ask_parse(body, forms[i].permission, NULL, &ask, &err) < 0)
			fail_msg("%s: %s", forms[i].payload, err.message);
		assert_string_equal(ask.payload, forms[i].canonical);
		assert_int_equal(ask.exp, forms[i].exp);
		assert_int_equal(strlen(ask.payload_sha256), 64);
		if (*forms[i].sha256)
			assert_string_equal(ask.payload_sha256, forms[i].sha256);
		json_decref(body);
	}
}

#define ALL "https://www.googleapis.com/auth/cloud-platform"

static void test_ask_narrows_scopes(void **state) {
	static const struct {
		const char *body, *scopes, *then; /* NULL: refused */
	} narrowed[] = {
		{ "{}", "[\"a\"]", "{\"scopes\":[\"a\"]}" },
		{ "{}", NULL, "{}" },
		{ "{\"scopes\":[\"a\",\"b\"]}", NULL, "{\"scopes\":[\"a\",\"b\"]}" },
		{ "{\"scopes\":[\"a\",\"b\"]}", "[\"b\",\"c\"]", "{\"scopes\":[\"b\"]}" },
		{ "{\"scopes\":[\"a\",\"b\"]}", "[\"c\"]", NULL },
		{ "{\"scopes\":[\"a\"]}", "[\"" ALL "\",\"c\"]", "{\"scopes\":[\"a\"]}" },
		{ "{\"scopes\":[\"" ALL "\"]}", "[\"c\"]", "{\"scopes\":[\"c\"]}" },
		{ "{\"scopes\":[\"a\"]}", "[1,\"a\"]", "{\"scopes\":[\"a\"]}" },
		{ "{\"scopes\":[\"a\"]}", "\"a\"", "{\"scopes\":\"a\"}" }, /* the parser's to refuse */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(narrowed); i++) {
		json_t *body = json_loads(narrowed[i].body, 0, NULL);
		json_t *scopes = narrowed[i].scopes ? json_loads(narrowed[i].scopes, JSON_DECODE_ANY, NULL) : NULL;
		struct error err = { 0 };
		int r = ask_narrow(body, scopes, &err);
		char *text = json_dumps(body, JSON_COMPACT);

		assert_int_equal(r, narrowed[i].then ? 0 : -1);
		assert_int_equal(err.code, narrowed[i].then ? ERR_NONE : ERR_INVALID);
		assert_string_equal(text, narrowed[i].then ? narrowed[i].then : narrowed[i].body);
		free(text);
		json_decref(body);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ask_narrows_scopes),
		cmocka_unit_test(test_ask_takes_and_refuses),
		cmocka_unit_test(test_ask_makes_equal_asks_equal),
		cmocka_unit_test(test_ask_puts_payloads_into_one_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
