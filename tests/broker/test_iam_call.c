/* iam_call: Google's paths, queries and bodies; each form that clients send is one ask, and what is refused says why. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "broker/surface/iam_call.h"
#include "hallpass/cleanup.h"

#define A "a@p.iam.gserviceaccount.com"
#define NAME "/v1/projects/-/serviceAccounts/"

static struct iam_call call;

static void test_iam_call_finds_the_method(void **state) {
	static const struct {
		const char *path, *account; /* NULL: there is no such method */
		enum policy_permission permission;
	} cases[] = {
		{ NAME A ":generateAccessToken", A, PERMISSION_GET_ACCESS_TOKEN },
		{ NAME A ":generateIdToken", A, PERMISSION_GET_OPEN_ID_TOKEN },
		{ NAME A "%3AsignBlob", A, PERMISSION_SIGN_BLOB },
		{ NAME "a%40p.iam.gserviceaccount.com:signJwt", A, PERMISSION_SIGN_JWT },
		{ NAME "a:b:signJwt", "a:b", PERMISSION_SIGN_JWT }, /* not an account, as others say later */
		{ "/v1/projects/acme/serviceAccounts/" A ":signJwt", A, PERMISSION_SIGN_JWT },
		{ NAME A ":signJwts", NULL, 0 },
		{ NAME A ":", NULL, 0 },
		{ NAME A, NULL, 0 },
		{ NAME A "/signJwt", NULL, 0 },
		{ NAME A ":signJwt/", NULL, 0 },
		{ NAME "a%2f..%2f:signJwt", "a/../", PERMISSION_SIGN_JWT },
		{ NAME "../" A ":signJwt", NULL, 0 },
		{ "/v2/projects/-/serviceAccounts/" A ":signJwt", NULL, 0 },
		{ "/v1/projects/-/serviceaccounts/" A ":signJwt", NULL, 0 },
		{ NAME A ":signJwt%00", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool found = iam_call_find(str_of(cases[i].path), &call);

		if (found != (cases[i].account != NULL))
			fail_msg("%s", cases[i].path);
		if (found) {
			assert_string_equal(call.account, cases[i].account);
			assert_int_equal(call.permission, cases[i].permission);
		}
	}
}

static int read_call(const char *method, const char *query, const char *body, json_t *ask, struct error *err) {
	char path[200];

	snprintf(path, sizeof(path), NAME A ":%s", method);
	assert_true(iam_call_find(str_of(path), &call));
	*err = (struct error){ 0 };
	return iam_call_read(&call, str_of(query), str_of(body), ask, err);
}

static void test_iam_call_asks_what_the_body_says(void **state) {
	static const struct {
		const char *method, *terms, *body, *ask;
	} cases[] = {
		{ "generateAccessToken", "{}", "{'scope':['x','y']}", "{'scopes':['x','y']}" },
		{ "generateAccessToken", "{'scopes':['x','z'],'justification':'INC-1'}", "{'scope':['x'],'lifetime':'3600s','delegates':null}",
		  "{'scopes':['x'],'lifetime':'3600s','justification':'INC-1'}" },
		{ "generateAccessToken", "{'lifetime':'600s'}", "{'scope':['x'],'lifetime':'3600s'}", "{'scopes':['x'],'lifetime':'600s'}" },
		{ "generateAccessToken", "{'lifetime':600}", "{'scope':['x'],'lifetime':'300s'}", "{'scopes':['x'],'lifetime':'300s'}" },
		{ "generateAccessToken", "{'lifetime':600}", "{'scope':['x'],'lifetime':null}", "{'scopes':['x'],'lifetime':600}" },
		{ "generateAccessToken", "{'lifetime':600}", "{'scope':['x'],'lifetime':'1h'}", "{'scopes':['x'],'lifetime':'1h'}" }, /* for the ask to refuse */
		{ "generateAccessToken", "{'delegates':['d@p.q']}", "{'scope':['x'],'delegates':[]}", "{'scopes':['x'],'delegates':['d@p.q']}" },
		{ "generateAccessToken", "{'delegates':['d@p.q']}", "{'scope':['x'],'delegates':['projects/-/serviceAccounts/e@p.q','f@p.q']}",
		  "{'scopes':['x'],'delegates':['e@p.q','f@p.q']}" },
		{ "generateIdToken", "{}", "{'audience':'x','include_email':true}", "{'audience':'x','includeEmail':true}" },
		{ "generateIdToken", "{}", "{'audience':'x','useEmailAzp':true}", "{'audience':'x','useEmailAzp':true}" },
		{ "generateIdToken", "{}", "{'audience':'x','includeEmail':null,'organizationNumberIncluded':false}", "{'audience':'x'}" },
		{ "signBlob", "{'justification':'INC-1'}", "{'payload':'AAAA'}", "{'payload':'AAAA','justification':'INC-1'}" },
		{ "signJwt", "{}", "{'payload':'{}'}", "{'payload':'{}'}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char terms[200], body[200], want[200];
		struct error err;
		json_t *ask, *expected;

		snprintf(terms, sizeof(terms), "%s", cases[i].terms);
		snprintf(body, sizeof(body), "%s", cases[i].body);
		snprintf(want, sizeof(want), "%s", cases[i].ask);
		for (char *c = terms; *c; c++)
			*c = *c == '\'' ? '"' : *c;
		for (char *c = body; *c; c++)
			*c = *c == '\'' ? '"' : *c;
		for (char *c = want; *c; c++)
			*c = *c == '\'' ? '"' : *c;
		ask = json_loads(terms, 0, NULL);
		expected = json_loads(want, 0, NULL);
		if (read_call(cases[i].method, "", body, ask, &err) < 0 || !json_equal(ask, expected))
			fail_msg("%s %s: %s", terms, body, err.message);
		json_decref(ask);
		json_decref(expected);
	}
}

static void test_iam_call_reads_the_query(void **state) {
	static const struct {
		const char *query, *refusal; /* NULL: taken */
		bool compact;
	} cases[] = {
		{ "alt=json", NULL, false },
		{ "$alt=json;enum-encoding=int", NULL, false },
		{ "%24alt=json%3Benum-encoding%3Dint&prettyPrint=false", NULL, true },
		{ "prettyPrint=0", NULL, true },
		{ "prettyPrint=True&&", NULL, false },
		{ "key=AIza&fields=accessToken&quotaUser=x&$.xgafv=2", NULL, false },
		{ "alt=proto", "alt can be json alone", false },
		{ "alt=jsonp", "alt can be json alone", false },
		{ "alt=json&$alt=media", NULL, false }, /* the first that is there */
		{ "alt", "alt can be json alone", false },
		{ "prettyPrint=%ff", "prettyPrint is true or false", false },
		{ "lifetime=60s", "Unknown name \"lifetime\"", false },
		{ "access_token=ya29", "Unknown name \"access_token\"", false }, /* a credential has no place there */
		{ "x", "Unknown name \"x\"", false },
		{ "$", "Unknown name \"$\"", false },
		{ "%24", "Unknown name \"%24\"", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *ask = json_object();
		struct error err;
		int r = read_call("signJwt", cases[i].query, "{\"payload\":\"{}\"}", ask, &err);

		json_decref(ask);
		if (r != (cases[i].refusal ? -1 : 0) || (r == 0 && call.compact != cases[i].compact))
			fail_msg("%s: %s", cases[i].query, err.message);
		if (cases[i].refusal)
			assert_non_null(strstr(err.message, cases[i].refusal));
	}
}

/* By the names that Google's API has for things, not by those of our own. */
static void test_iam_call_refuses_in_googles_words(void **state) {
	static const struct {
		const char *body, *refusal;
	} cases[] = {
		{ "{}", "scope is missing" },
		{ "{\"scope\": \"x\"}", "scope must be a list of at most" },
		{ "{\"scope\": {\"x\": 1}}", "scope must be a list of at most" },
		{ "{\"scope\": 7}", "scope must be a list of at most" },
	};
	char many[2000] = "{\"scope\": [\"x\"";
	json_t *ask = json_object();
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(read_call("generateAccessToken", "", cases[i].body, ask, &err), -1);
		if (strncmp(err.message, cases[i].refusal, strlen(cases[i].refusal)))
			fail_msg("%s: %s", cases[i].body, err.message);
	}
	for (size_t i = 0; i < POLICY_MAX_SCOPES; i++)
		strcat(many, ",\"x\"");
	strcat(many, "]}");
	assert_int_equal(read_call("generateAccessToken", "", many, ask, &err), -1);
	assert_non_null(strstr(err.message, "scope must be a list of at most"));
	json_decref(ask);
}

static void test_iam_call_takes_one_spelling(void **state) {
	json_t *ask = json_object();
	struct error err;

	(void)state;
	assert_int_equal(read_call("generateIdToken", "", "{\"audience\":\"x\",\"includeEmail\":false,\"include_email\":true}", ask, &err), -1);
	assert_non_null(strstr(err.message, "includeEmail stands twice"));
	json_decref(ask);
}

/* What is refused on the wire: tests/scenario/test_iam_credentials.c. */
static void test_iam_call_refuses_what_is_not_a_body(void **state) {
	static const char *const bodies[] = { "", "null", "[]", "{\"payload\":\"{}\"", "{\"payload\":\"{}\",\"payload\":\"\"}", "{\"scope\":[]}",
					      "{\"payload\":\"{}\"} x" };
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		json_t *ask = json_object();

		assert_int_equal(read_call("signJwt", "", bodies[i], ask, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		json_decref(ask);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iam_call_finds_the_method),
		cmocka_unit_test(test_iam_call_asks_what_the_body_says),
		cmocka_unit_test(test_iam_call_reads_the_query),
		cmocka_unit_test(test_iam_call_refuses_in_googles_words),
		cmocka_unit_test(test_iam_call_takes_one_spelling),
		cmocka_unit_test(test_iam_call_refuses_what_is_not_a_body),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
