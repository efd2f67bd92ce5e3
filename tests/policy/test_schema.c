/*
 * schema: what the schema for editors says is what the parser does. A validator that is not ours is the judge: what the
 * parser takes the schema must take, and what it calls malformed by form alone the schema must refuse.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "hallpass/yaml.h"
#include "tests/policy/load.h"

#define SA "ml@acme.iam.gserviceaccount.com"
#define RULE(more) "version: 1\nbindings: [{name: a, members: [user:a@b.de], serviceAccounts: [" SA "]" more "}]\n"
#define MEMBER(member) "version: 1\nbindings: [{name: a, members: [" member "], serviceAccounts: [" SA "]}]\n"
#define ACCOUNT(account) "version: 1\nbindings: [{name: a, members: [user:a@b.de], serviceAccounts: [" account "]}]\n"
#define ENTITLED(more) "version: 1\nentitlements: [{name: e, eligibleUsers: [user:a@b.de], serviceAccounts: [" SA "], maxRequestDuration: 2h" more "}]\n"
#define TESTED(request, expect) RULE("") "tests: [{name: t, request: {principal: user:a@b.de, serviceAccount: " SA ", time: 2026-01-01T00:00:00Z" request "}, expect: " expect "}]\n"
#define INVARIANT(what) "version: 1\ngroups: {g: []}\nbindings: [{name: b, members: [user:a@b.de], serviceAccounts: [" SA "]}]\ninvariants: [{name: i, " what "}]\n"

static const struct {
	const char *text;
	bool well_formed;
} cases[] = {
	{ "version: 1\n", true },
	{ "version: 2\n", false },
	{ "version: '1'\n", false },
	{ "bindings: []\n", false },
	{ "[]\n", false },
	{ "version: 1\nbinding: []\n", false },
	{ "version: 1\ndefaults: {maxLifetime: 1h30m}\n", true },
	{ "version: 1\ndefaults: {maxLifetime: 90}\n", false },
	{ "version: 1\ndefaults: {maxLifetime: 1m1h}\n", false },
	{ "version: 1\ndefaults: {maxLifetime: ''}\n", false },
	{ "version: 1\ngroups: {a: [], b: ['group:a', domain:b.de, allAuthenticated, 'principal:x/y', 'serviceAccount:" SA "']}\n", true },
	{ "version: 1\ngroups: {a: user:a@b.de}\n", false },
	{ "version: 1\ngroups: {'a b': []}\n", false },
	{ "version: 1\ngroups: []\n", false },
	{ RULE(""), true },
	{ RULE(", nmae: b"), false },
	{ RULE(", title: 5, description: yes"), true },
	{ RULE(", title: [x]"), false },
	{ RULE(", permissions: [getAccessToken, iam.serviceAccounts.signBlob]"), true },
	{ RULE(", permissions: [getacesstoken]"), false },
	{ RULE(", permissions: []"), false },
	{ RULE(", permissions: getAccessToken"), false },
	{ RULE(", scopes: [openid, 'https://www.googleapis.com/auth/pubsub']"), true },
	{ RULE(", scopes: [cloud-platform]"), false },
	{ RULE(", maxLifetime: 900s, notBefore: 2026-01-01T00:00:00Z, notAfter: '2027-01-01T00:00:00+01:00'"), true },
	{ RULE(", notAfter: 2027-01-01"), false },
	{ RULE(", condition: {title: x, description: y, expression: 'resource.name == \"x\"'}"), true },
	{ RULE(", condition: {expression: true}"), true },
	{ RULE(", condition: 'true'"), false },
	{ RULE(", condition: {title: x}"), false },
	{ "version: 1\nbindings: [{name: a, members: [], serviceAccounts: [" SA "]}]\n", false },
	{ "version: 1\nbindings: [{name: a, serviceAccounts: [" SA "]}]\n", false },
	{ "version: 1\nbindings: {}\n", false },
	{ MEMBER("user:a@localhost"), true },
	{ MEMBER("a@b.de"), false },
	{ MEMBER("users:a@b.de"), false },
	{ MEMBER("'user:a b@c.de'"), false },
	{ MEMBER("[]"), false },
	{ ACCOUNT("'*'"), true },
	{ ACCOUNT("'ml-*-sa@acme.iam.gserviceaccount.com'"), true },
	{ ACCOUNT("'*@acme.iam.gserviceaccount.com', " SA), true },
	{ ACCOUNT("'*-*@acme.iam.gserviceaccount.com'"), false },
	{ ACCOUNT("'a@*'"), false },
	{ ACCOUNT("ml-dev"), false },
	{ "version: 1\ndenyRules: [{name: d, deniedPrincipals: [allAuthenticated], exceptionPrincipals: [domain:b.de], serviceAccounts: ['*'], denialCondition: {expression: 'resource.name != \"\"'}}]\n", true },
	{ "version: 1\ndenyRules: [{name: d, members: [allAuthenticated]}]\n", false },
	{ ENTITLED(""), true },
	{ ENTITLED(", maxLifetime: 10m, scopes: [openid], permissions: [getOpenIdToken], condition: {expression: 'resource.name != \"\"'}"), true },
	{ ENTITLED(", requesterJustification: {required: true, expression: 'request.justification.matches(\"^INC\")'}"), true },
	{ ENTITLED(", requesterJustification: {required: yes}"), false },
	{ ENTITLED(", requesterJustification: true"), false },
	{ ENTITLED(", approvalWorkflow: {approvers: [user:b@b.de], approvalsNeeded: 1, requireApproverJustification: false, expiresAfter: 1h}"), true },
	{ ENTITLED(", approvalWorkflow: {approvalsNeeded: 1}"), false },
	{ ENTITLED(", approvalWorkflow: {approvers: [user:b@b.de], approvalsNeeded: one}"), false },
	{ ENTITLED(", approvalWorkflow: {approvers: [user:b@b.de], approvalsNeeded: -1}"), false },
	{ ENTITLED(", approvalWorkflow: {approvers: [user:b@b.de], steps: 1}"), false },
	{ "version: 1\nentitlements: [{name: e, eligibleUsers: [user:a@b.de], serviceAccounts: [" SA "]}]\n", false },
	{ INVARIANT("never: {principal: 'group:g', exceptionPrincipals: [user:a@b.de], serviceAccount: '*', permission: signBlob, surface: native, method: peer, time: {notBefore: 2027-01-01T00:00:00Z}}"), true },
	{ INVARIANT("never: {principal: ['group:g', allAuthenticated], serviceAccount: ['*', " SA "], permission: [signBlob, getAccessToken], scopes: ['https://www.googleapis.com/auth/drive']}"), true },
	{ INVARIANT("never: {principal: 'group:g'}"), false },
	{ INVARIANT("never: {principal: 'group:g', serviceAccount: '*'}, always: {principal: 'group:g', serviceAccount: '*'}"), false },
	{ "version: 1\ninvariants: [{name: x}]\n", false },
	{ INVARIANT("never: {principal: 'group:g', serviceAccount: '*', surface: iamCredentials}"), true },
	{ INVARIANT("never: {principal: 'group:g', serviceAccount: '*', surface: iam}"), false },
	{ INVARIANT("never: {principal: g, serviceAccount: '*'}"), false },
	{ INVARIANT("never: {principal: [], serviceAccount: '*'}"), false },
	{ INVARIANT("never: {principal: 'group:g', serviceAccount: '**'}"), false },
	{ INVARIANT("never: {principal: 'group:g', serviceAccount: '*', justification: x}"), false },
	{ INVARIANT("never: {principal: 'group:g', serviceAccount: '*', permission: sign}"), false },
	{ INVARIANT("never: {principal: 'group:g', serviceAccount: '*', time: 2027-01-01T00:00:00Z}"), false },
	{ INVARIANT("always: {principal: user:a@b.de, serviceAccount: " SA ", permission: getAccessToken, scopes: [openid], lifetime: 5m, justification: x, surface: native, method: peer, "
		    "claims: {a: 1}, accessLevels: [l], peer: {uid: 5}, ip: 10.0.0.1, port: 80}"), true },
	{ INVARIANT("always: {principal: user:a@b.de, serviceAccount: " SA ", lifetime: 5}"), false },
	{ INVARIANT("always: {principal: user:a@b.de, serviceAccount: " SA "}"), true },
	{ "version: 1\ninvariants: {}\n", false },
	{ TESTED("", "ALLOW"), true },
	{ TESTED(", scopes: ['https://www.googleapis.com/auth/drive'], lifetime: 5m, permission: getAccessToken, justification: x, surface: native, method: peer, claims: {a: [1]}, accessLevels: [l], peer: {uid: 5, exe: /bin/x}, ip: 10.0.0.1, port: 80",
		 "{decision: DENY, reason: SCOPE}"), true },
	{ TESTED("", "{decision: ALLOW, binding: a, maxLifetime: 1h}"), true },
	{ TESTED("", "allow"), false },
	{ TESTED("", "{decision: DENY, reason: NOBINDING}"), false },
	{ TESTED("", "{binding: a}"), false },
	{ TESTED(", peer: {uid: -1}", "ALLOW"), false },
	{ TESTED(", port: x", "ALLOW"), false },
};

static bool is_loaded(struct str text) {
	struct policy_report report;
	struct policy *policy;
	struct error err;
	bool r;

	policy_load("p", text, &test_host, TEST_NOW, &policy, &report, &err);
	r = report.n_errors == 0 || (report.n_errors == 1 && strstr(err.message, "entitlements are not yet supported"));
	policy_report_fini(&report);
	policy_unref(policy);
	return r;
}

static json_t *as_json(struct str text) {
	struct yaml_problems problems;
	struct yaml_tree *tree;
	struct error err;
	json_t *json;

	assert_int_equal(yaml_load(text, NULL, &tree, &problems, &err), 0);
	json = yaml_to_json(tree->root);
	yaml_tree_free(tree);
	assert_non_null(json);
	return json;
}

static json_t *example(const char *path) {
	size_t n = 0;
	char *text = file_bytes(path, &n);
	json_t *json;

	assert_non_null(text);
	json = as_json((struct str){ text, n });
	free(text);
	return json;
}

/* Reads {"schema", "documents"} and prints a 1 or a 0 for each document. */
static const char judge[] = "import json, sys, jsonschema\n"
			    "data = json.load(open(sys.argv[1]))\n"
			    "jsonschema.Draft202012Validator.check_schema(data['schema'])\n"
			    "v = jsonschema.Draft202012Validator(data['schema'])\n"
			    "print(''.join('01'[v.is_valid(d)] for d in data['documents']))\n";

/* The judge's word on each document, or NULL where there is no such judge. */
static char *judged(json_t *documents) {
	char path[] = "/tmp/hallpass-schema-XXXXXX", command[1024], *out;
	json_t *data = json_pack("{s:o, s:O}", "schema", policy_schema(), "documents", documents);
	size_t n = json_array_size(documents);
	int fd = mkstemp(path);
	FILE *pipe;

	assert_true(fd >= 0);
	assert_int_equal(json_dumpfd(data, fd, 0), 0);
	close(fd);
	json_decref(data);
	out = calloc(1, n + 2);
	assert_non_null(out);
	snprintf(command, sizeof(command), "python3 -c \"%s\" %s", judge, path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	if (!fgets(out, (int)n + 2, pipe))
		out[0] = '\0';
	pclose(pipe);
	unlink(path);
	if (strlen(out) == n + 1)
		out[n] = '\0';
	assert_int_equal(strlen(out), n); /* a judge that fails has said why on standard error */
	return out;
}

static bool have_judge(void) {
	return system("python3 -c 'import jsonschema; jsonschema.Draft202012Validator' 2>/dev/null") == 0;
}

static void test_schema_agrees_with_the_parser(void **state) {
	static const char *const examples[] = { "contrib/policies/example.yaml", "contrib/policies/workstation.yaml" };
	json_t *documents = json_array();
	char *verdicts;
	bool bad = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_array_append_new(documents, as_json(str_of(cases[i].text)));
		if (is_loaded(str_of(cases[i].text)) != cases[i].well_formed)
			fail_msg("the parser does not say so:\n%s", cases[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++)
		json_array_append_new(documents, example(examples[i]));
	if (!have_judge()) {
		print_message("skipped: python3 has no jsonschema here to judge the schema by\n");
		json_decref(documents);
		skip();
	}
	verdicts = judged(documents);
	for (size_t i = 0; i < json_array_size(documents); i++)
		if ((verdicts[i] == '1') != (i < ARRAY_SIZE(cases) ? cases[i].well_formed : true)) {
			print_error("the schema says %s to:\n%s\n", verdicts[i] == '1' ? "yes" : "no",
				    i < ARRAY_SIZE(cases) ? cases[i].text : examples[i - ARRAY_SIZE(cases)]);
			bad = true;
		}
	assert_false(bad);
	free(verdicts);
	json_decref(documents);
}

/* Whoever writes in an editor sees the tables' own sentences; none is empty. */
static size_t count_sentences(const json_t *schema) {
	const char *sentence = json_string_value(json_object_get(schema, "description"));
	const json_t *child;
	const char *key;
	size_t n = 0;

	json_object_foreach(json_object_get(schema, "properties"), key, child) {
		sentence = json_string_value(json_object_get(child, "description"));
		assert_true(sentence && strlen(sentence) > 8 && sentence[strlen(sentence) - 1] == '.');
		n += 1 + count_sentences(child) + count_sentences(json_object_get(child, "items"));
	}
	return n;
}

static void test_schema_describes_each_key(void **state) {
	json_t *schema = policy_schema();

	(void)state;
	assert_non_null(schema);
	assert_true(count_sentences(schema) > 60);
	assert_string_equal(json_string_value(json_object_get(schema, "$schema")), "https://json-schema.org/draft/2020-12/schema");
	json_decref(schema);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schema_agrees_with_the_parser),
		cmocka_unit_test(test_schema_describes_each_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
