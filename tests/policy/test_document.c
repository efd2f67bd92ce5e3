/* document: the schema, its findings and where they are, lint, the tests section. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "tests/policy/load.h"

#define SA "ml@acme.iam.gserviceaccount.com"
#define HEAD "version: 1\nbindings:\n"
#define BINDING(more) HEAD "- name: a\n  members: [user:a@example.com]\n  serviceAccounts: [" SA "]\n" more
#define TESTED(expect)                                                                                                 \
	BINDING("tests:\n- name: t\n  request: {principal: user:a@example.com, serviceAccount: " SA                     \
		", time: 2026-01-01T00:00:00Z}\n  expect: " expect "\n")

/* Every finding as "LINE:COLUMN id" in one line. */
static char *findings(struct str text, int *r) {
	struct buf b = BUF_INIT(1 << 20);
	struct policy_report report;
	struct policy *policy;
	struct error err;

	*r = policy_load("p", text, &test_host, TEST_NOW, &policy, &report, &err);
	assert_int_equal(*r == 0, report.n_errors == 0);
	assert_int_equal(*r == 0, policy != NULL);
	if (*r)
		assert_int_equal(err.code, ERR_INVALID);
	buf_adds(&b, "");
	for (size_t i = 0; i < report.n; i++)
		buf_addf(&b, "%s%u:%u %s", i ? ", " : "", report.findings[i].line, report.findings[i].column,
			 report.findings[i].id);
	policy_report_fini(&report);
	policy_unref(policy);
	return buf_take(&b);
}

static const struct {
	const char *text, *findings;
} cases[] = {
	{ "version: 1\n", "" },
	{ BINDING(""), "" },
	{ "", "1:1 empty" },
	{ "# nothing\n", "1:1 empty" },
	{ "[]\n", "1:1 wrong-type" },
	{ "bindings: []\n", "1:1 missing-key" },
	{ "version: 2\n", "1:10 version" },
	{ "version: '1'\n", "1:10 version" },
	{ "version: 1.0\n", "1:10 version" },
	{ "version: 1\nbinding: []\n", "2:1 unknown-key" },
	{ "version: 1\nversion: 1\n", "2:1 duplicate-key" },
	{ "version: 1\ndefaults: {maxLifetime: 15}\n", "2:25 bad-duration" },
	{ "version: 1\ndefaults: {maxLifetime: 13h}\n", "2:25 bad-duration" },
	{ "version: 1\ndefaults: {maxLifetime: 0s}\n", "2:25 bad-duration" },
	{ "version: 1\ndefaults: {maxlifetime: 1h}\n", "2:12 unknown-key" },
	{ "version: 1\nentitlements: []\n", "2:1 entitlements-unsupported" },
	{ "version: 1\ninvariants: []\n", "2:1 invariants-unsupported" },
	{ HEAD "- {}\n", "3:3 missing-key, 3:3 missing-key, 3:3 missing-key" },
	{ HEAD "- no\n", "3:3 wrong-type" },
	{ "version: 1\nbindings: {}\n", "2:11 wrong-type" },
	{ BINDING("  memebrs: []\n"), "6:3 unknown-key" },
	{ BINDING("  maxLifetime: 2h\n"), "6:16 lifetime-over-1h" },
	{ BINDING("  maxLifetime: 1h\n"), "" },
	{ BINDING("  notAfter: 2026-11-24T15:04:06Z\n"), "" },
	{ BINDING("  notAfter: 2026-11-24T15:04:05Z\n"), "6:13 already-over" },
	{ BINDING("  notAfter: 2026-11-24T16:04:05+01:00\n"), "6:13 already-over" },
	{ BINDING("  notAfter: 2026-02-29T00:00:00Z\n"), "6:13 bad-time" },
	{ BINDING("  notAfter: 2028-02-29T00:00:00Z\n"), "" },
	{ BINDING("  notAfter: 2028-02-29 00:00:00Z\n"), "6:13 bad-time" },
	{ BINDING("  notAfter: 2028-02-29T24:00:00Z\n"), "6:13 bad-time" },
	{ BINDING("  notAfter: 2028-02-29T00:00:00\n"), "6:13 bad-time" },
	{ BINDING("  notAfter: 2028-02-29T00:00:00.5Z\n"), "6:13 bad-time" },
	{ BINDING("  notBefore: 2028-01-01T00:00:00Z\n  notAfter: 2028-01-01T00:00:00Z\n"), "3:3 empty-window" },
	{ BINDING("  permissions: [signBlob]\n"), "6:16 signing-permission" },
	{ BINDING("  permissions: [getaccesstoken]\n"), "6:17 bad-permission" },
	{ BINDING("  permissions: []\n"), "6:16 bad-list" },
	{ BINDING("  permissions: getAccessToken\n"), "6:16 wrong-type" },
	{ BINDING("  scopes: [openid, email, profile]\n"), "" },
	{ BINDING("  scopes: [cloud-platform]\n"), "6:12 bad-scope" },
	{ BINDING("  scopes: ['http://www.googleapis.com/auth/x']\n"), "6:12 bad-scope" },
	{ BINDING("  scopes: ['https://a b']\n"), "6:12 bad-scope" },
	{ BINDING("  scopes: []\n"), "6:11 bad-list" },
	{ BINDING("- name: a\n  members: [allAuthenticated]\n  serviceAccounts: [" SA "]\n"), "6:9 duplicate-name" },
	{ BINDING("  condition: yes\n"), "6:14 wrong-type" },
	{ BINDING("  condition: {title: x}\n"), "6:14 missing-key" },
	{ BINDING("  condition: {title: [x], expression: [y]}\n"), "6:22 wrong-type, 6:39 wrong-type" },
	{ HEAD "- name: a b\n  members: []\n  serviceAccounts: []\n", "3:9 bad-name, 4:12 bad-list, 5:20 bad-list" },
	{ HEAD "- name: a\n  members: [alice, 'user:', user:a@b, users:a@b.c, 'user:a b@c.de', domain:x, 'principal:a b', [], ~]\n"
	       "  serviceAccounts: [" SA "]\n",
	  "4:13 bad-member, 4:20 bad-member, 4:29 bad-member, 4:39 bad-member, 4:52 bad-member, 4:69 bad-member, "
	  "4:79 bad-member, 4:96 bad-member, 4:100 bad-member" },
	{ HEAD "- name: a\n  members: [domain:example.com, principal:x, 'serviceAccount:A@B.de']\n  serviceAccounts: [" SA
	       "]\n",
	  "" },
	{ HEAD "- name: a\n  members: [group:b]\n  serviceAccounts: [" SA "]\ngroups: {c: [user:a@b.de]}\n",
	  "4:13 unknown-group, 6:10 unused-group" },
	{ HEAD "- name: a\n  members: [allAuthenticated]\n  serviceAccounts: [x, '*', 'a*@b.de', '*a*@b.de', 'a@*', "
	       "'a@b.de*', 1-compute@developer.gserviceaccount.com]\n",
	  "5:20 account-wildcard, 5:21 bad-account, 5:40 bad-account, 5:52 bad-account, 5:59 bad-account, "
	  "5:70 default-account" },
	{ "version: 1\ngroups: {a: [group:b], b: [group:c], c: [group:a]}\n", "2:13 group-cycle" },
	{ "version: 1\ngroups: {a: [group:a]}\n", "2:13 group-cycle" },
	{ "version: 1\ngroups: {a: [group:nope], 'x y': [], b: user}\n",
	  "2:10 unused-group, 2:14 unknown-group, 2:27 bad-name, 2:38 unused-group, 2:41 wrong-type" },
	{ "version: 1\ndenyRules:\n- name: d\n  deniedPrincipals: [allAuthenticated]\n  members: []\n", "5:3 unknown-key" },
	{ TESTED("ALLOW"), "" },
	{ TESTED("{decision: ALLOW, binding: a, maxLifetime: 1h}"), "" },
	{ TESTED("DENY"), "7:3 test-failed" },
	{ TESTED("{decision: ALLOW, maxLifetime: 30m}"), "7:3 test-failed" },
	{ TESTED("{decision: ALLOW, binding: b}"), "9:38 unknown-rule" },
	{ TESTED("allow"), "9:11 bad-decision" },
	{ TESTED("{decision: DENY, reason: NOBINDING}"), "9:36 bad-reason" },
	{ BINDING("tests:\n- name: t\n  request: {}\n  expect: DENY\n"),
	  "8:12 missing-key, 8:12 missing-key, 8:12 missing-key" },
	{ "version: 1\na: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\nh: 1\ni: 1\nj: 1\nk: 1\nl: 1\nm: 1\nn: 1\no: 1\np: 1\n"
	  "q: 1\nr: 1\ns: 1\nt: 1\nu: 1\n",
	  "2:1 unknown-key, 3:1 unknown-key, 4:1 unknown-key, 5:1 unknown-key, 6:1 unknown-key, 7:1 unknown-key, "
	  "8:1 unknown-key, 9:1 unknown-key, 10:1 unknown-key, 11:1 unknown-key, 12:1 unknown-key, 13:1 unknown-key, "
	  "14:1 unknown-key, 15:1 unknown-key, 16:1 unknown-key, 17:1 unknown-key, 18:1 unknown-key, 19:1 unknown-key, "
	  "20:1 unknown-key, 21:1 unknown-key" },
};

static void test_document_finds_each_mistake_where_it_is(void **state) {
	bool bad = false;
	int r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *got = findings(str_of(cases[i].text), &r);

		if (strcmp(got, cases[i].findings)) {
			print_error("%s\nwant %s\ngot  %s\n", cases[i].text, cases[i].findings, got);
			bad = true;
		}
		free(got);
	}
	assert_false(bad);
}

static void test_document_reads_json(void **state) {
	static const struct str text = STR(
		"{\"version\": 1, \"bindings\": [{\"name\": \"a\", \"members\": [\"user:a@example.com\"],\n"
		"\t\"serviceAccounts\": [\"" SA "\"], \"scopes\": [\"https:\\/\\/www.googleapis.com\\/auth\\/pubsub\"]}]}");

	(void)state;
	policy_unref(load_policy(text));
}

static void test_report_prints_line_and_caret(void **state) {
	static const struct str text = STR("version: 1\nbindngs: [\"\\u001b[2J\"]\n");
	struct buf b = BUF_INIT(10000);
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	assert_int_equal(policy_load("policy.yaml", text, &test_host, 0, &policy, &report, &err), -1);
	assert_string_equal(err.message, "policy.yaml:2:1: a policy has no key \"bindngs\"");
	policy_report_print(&report, "policy.yaml", text, false, &b);
	assert_string_equal(b.data, "policy.yaml:2:1: error: a policy has no key \"bindngs\" [unknown-key]\n"
				    "  | bindngs: [\"\\u001b[2J\"]\n"
				    "  | ^\n"
				    "  = did you mean \"bindings\"?\n");
	policy_report_fini(&report);
	buf_fini(&b);
}

static void test_document_says_expected_and_got(void **state) {
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	assert_int_equal(policy_load("p", str_of(TESTED("{decision: DENY, reason: EXPIRED}")), &test_host, 0, &policy,
				     &report, &err),
			 -1);
	assert_string_equal(err.message, "p:7:3: test \"t\": expected DENY (EXPIRED), got ALLOW by a for 3600 s");
	assert_int_equal(report.tests_run, 1);
	assert_int_equal(report.tests_failed, 1);
	policy_report_fini(&report);
}

static void test_document_messages_hold_no_control_characters(void **state) {
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	policy_load("p", STR("version: 1\n\"a\\e[2J\\x9b\": 1\n"), &test_host, 0, &policy, &report, &err);
	assert_string_equal(err.message, "p:2:1: a policy has no key \"a?[2J?\"");
	policy_report_fini(&report);
}

static void test_document_loads_the_example_policies(void **state) {
	static const char *const files[] = { "contrib/policies/example.yaml", "contrib/policies/workstation.yaml" };
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char *text = file_bytes(files[i], &n);

		assert_non_null(text);
		policy_unref(load_policy((struct str){ text, n }));
		free(text);
	}
}

static struct str repeated(const char *head, const char *what, size_t times) {
	struct buf b = BUF_INIT(11 << 20);

	buf_adds(&b, head);
	for (size_t i = 0; i < times; i++)
		buf_adds(&b, what);
	return (struct str){ b.data, b.len };
}

static void test_document_is_bounded(void **state) {
	static const struct {
		const char *head, *what;
		size_t times;
	} big[] = {
		{ "version: 1\ngroups:\n", " - x\n", 2000000 },
		{ "version: 1\ngroups: {a: [", "user:a@b.de, ", 500000 },
		{ "version: 1\nbindings: [", "{}, ", 2000000 },
		{ "version: 1\ntests: [", "{}, ", 2000000 },
		{ "version: 1\nbindings: ", "[", 10000 },
		{ "version: 1\nbindings: [{name: a, members: [", "allAuthenticated, ", 500000 },
		{ "version: 1\nbindings: [{name: a, condition: {expression: \"", "((((", 100000 },
	};
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	if (getenv("HALLPASS_SLOW")) {
		print_message("skipped: documents of megabytes take minutes here\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(big); i++) {
		struct str text = repeated(big[i].head, big[i].what, big[i].times);

		assert_int_equal(policy_load("p", text, &test_host, 0, &policy, &report, &err), -1);
		assert_in_range(report.n, 1, 20);
		policy_report_fini(&report);
		free((char *)text.p);
	}
}

/* A chain of groups, each in the next: ancestors add up, and are held to a ceiling. */
static void test_document_bounds_nested_groups(void **state) {
	struct buf b = BUF_INIT(10 << 20);
	char *got;
	int r;

	(void)state;
	buf_adds(&b, "version: 1\ngroups:\n  g0: [user:a@b.de]\n");
	for (int i = 1; i < 10000; i++)
		buf_addf(&b, "  g%d: ['group:g%d']\n", i, i - 1);
	got = findings((struct str){ b.data, b.len }, &r);
	assert_int_equal(r, -1);
	assert_non_null(strstr(got, "groups-too-large"));
	free(got);
	buf_fini(&b);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_document_finds_each_mistake_where_it_is),
		cmocka_unit_test(test_document_reads_json),
		cmocka_unit_test(test_report_prints_line_and_caret),
		cmocka_unit_test(test_document_says_expected_and_got),
		cmocka_unit_test(test_document_messages_hold_no_control_characters),
		cmocka_unit_test(test_document_loads_the_example_policies),
		cmocka_unit_test(test_document_is_bounded),
		cmocka_unit_test(test_document_bounds_nested_groups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
