/* ask: a closed schema, canonical forms; every refusal names what is wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
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

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ask_takes_and_refuses),
		cmocka_unit_test(test_ask_makes_equal_asks_equal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
