/* lint: each id is found where it should be and nowhere else, can be accepted by a comment, and costs little at scale. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>
#include "hallpass/cleanup.h"
#include "tests/policy/load.h"

#define SA "ml@acme.iam.gserviceaccount.com"
#define HEAD "version: 1\nbindings:\n"
#define MEMBERS(members) HEAD "- name: a\n  members: [" members "]\n  serviceAccounts: [" SA "]\n"
#define BINDING(more) MEMBERS("user:a@b.de") more
#define ACCOUNTS(accounts) HEAD "- name: a\n  members: [user:a@b.de]\n  serviceAccounts: [" accounts "]\n"
#define IF(expression) BINDING("  condition: {expression: '" expression "'}\n")
#define DENY(expression) "version: 1\ndenyRules:\n- {name: d, deniedPrincipals: [allAuthenticated], denialCondition: {expression: '" expression "'}}\n"
#define TWO(first, second) HEAD "- {name: a, " first "}\n- {name: b, " second "}\n"
#define ALICE "members: [user:a@b.de], serviceAccounts: [" SA "]"
#define ENTITLED(eligible, workflow)                                                                                   \
	"version: 1\ngroups: {two: [user:a@b.de, user:b@b.de], in: ['group:two'], none: [], far: [domain:b.de]}\nbindings:\n"  \
	"- {name: use, members: [group:in, group:none, group:far], serviceAccounts: [" SA "]}\nentitlements:\n"                \
	"- {name: e, eligibleUsers: [" eligible "], serviceAccounts: [" SA "], maxRequestDuration: 1h" workflow "}\n"

/* What is found, warnings and notes, as "LINE:COLUMN id" in one line; errors other than that of entitlements fail. */
static char *lint(struct str text) {
	struct buf b = BUF_INIT(1 << 20);
	struct policy_report report;
	struct policy *policy;
	struct error err;

	policy_load("p", text, &test_host, TEST_NOW, &policy, &report, &err);
	buf_adds(&b, "");
	for (size_t i = 0; i < report.n; i++) {
		const struct policy_finding *f = &report.findings[i];

		if (f->severity == POLICY_ERROR && strcmp(f->id, "entitlements-unsupported"))
			print_error("%s\n%s: %s\n", text.p, f->id, f->message);
		if (strcmp(f->id, "entitlements-unsupported"))
			buf_addf(&b, "%s%s%u:%u %s", b.len ? ", " : "", f->severity == POLICY_NOTE ? "(note) " : "", f->line, f->column, f->id);
		assert_non_null(f->fix);
	}
	policy_report_fini(&report);
	policy_unref(policy);
	return buf_take(&b);
}

static const struct {
	const char *text, *found;
} cases[] = {
	{ BINDING(""), "" },
	{ ACCOUNTS("'ml-*@acme.iam.gserviceaccount.com'"), "5:20 account-wildcard" },
	{ ACCOUNTS("1-compute@developer.gserviceaccount.com, acme@appspot.gserviceaccount.com"), "5:21 default-account, 5:62 default-account" },
	{ ACCOUNTS("1@cloudservices.gserviceaccount.com, service-1@gcp-sa-logging.iam.gserviceaccount.com"), "5:21 service-agent, 5:58 service-agent" },
	{ ACCOUNTS("gcp-sa-x@acme.iam.gserviceaccount.com"), "" },
	{ ACCOUNTS("ml@acme.example.com"), "5:21 strange-account" },
	{ BINDING("  notAfter: 2026-01-01T00:00:00Z\n"), "6:13 already-over" },
	{ "version: 1\ngroups: {g: []}\ninvariants:\n- {name: i, never: {principal: 'group:g', serviceAccount: '*'}}\n", "2:13 empty-group, 4:3 idle-invariant" },
	/* lifetimes */
	{ BINDING("  maxLifetime: 1h1s\n"), "6:16 lifetime-over-1h" },
	{ BINDING("  maxLifetime: 224s\n"), "6:16 lifetime-under-4m" },
	{ BINDING("  maxLifetime: 225s\n"), "" },
	{ "version: 1\ndefaults: {maxLifetime: 2h}\n", "2:25 lifetime-over-1h" },
	{ BINDING("  maxLifetime: 30m\n  permissions: [getOpenIdToken]\n"), "6:16 id-token-lifetime" },
	{ BINDING("  permissions: [getOpenIdToken]\n"), "" },
	{ BINDING("  permissions: [getOpenIdToken]\ndefaults: {maxLifetime: 15m}\n"), "3:3 id-token-lifetime" },
	{ BINDING("  permissions: [signJwt]\n"), "6:16 signing-permission" },
	/* how much to whom */
	{ MEMBERS("allAuthenticated"), "4:12 broad-binding" },
	{ MEMBERS("domain:b.de"), "4:12 broad-binding" },
	{ MEMBERS("allAuthenticated") "  scopes: ['https://www.googleapis.com/auth/logging.read']\n", "" },
	{ MEMBERS("allAuthenticated") "  permissions: [getOpenIdToken]\n", "" },
	{ MEMBERS("allAuthenticated") "  condition: {expression: 'resource.name != \"x\"'}\n", "" },
	{ HEAD "- name: a\n  members: [domain:b.de]\n  serviceAccounts: ['*']\n  permissions: [getOpenIdToken]\n", "4:12 broad-binding, 5:20 account-wildcard" },
	{ MEMBERS("user:x@acme.iam.gserviceaccount.com, 'serviceAccount:a@b.de', 'serviceAccount:x@acme.iam.gserviceaccount.com'"),
	  "4:13 member-kind, 4:50 member-kind" },
	/* lists */
	{ MEMBERS("user:a@b.de, user:b@b.de, 'user:A@B.DE'"), "4:39 duplicate-entry" },
	{ MEMBERS("user:a@b.de, user:a@b.de, user:a@b.de"), "4:26 duplicate-entry, 4:39 duplicate-entry" },
	{ ACCOUNTS(SA ", " SA), "5:54 duplicate-entry" },
	{ BINDING("  permissions: [getAccessToken, iam.serviceAccounts.getAccessToken]\n"), "6:33 duplicate-entry" },
	{ BINDING("  scopes: [openid, email, openid]\n"), "6:27 duplicate-entry" },
	{ MEMBERS("group:g") "groups: {g: [user:a@b.de, user:a@b.de], h: [group:g, group:g]}\n", "6:27 duplicate-entry, 6:41 unused-group, 6:54 duplicate-entry" },
	{ MEMBERS("group:g") "groups: {g: []}\n", "6:13 empty-group" },
	{ BINDING("groups: {g: [user:a@b.de]}\n"), "6:10 unused-group" },
	/* conditions that change nothing */
	{ IF("request.time < timestamp(\"2026-11-24T15:04:05Z\")"), "6:28 condition-over" },
	{ IF("request.time < timestamp(\"2026-11-24T15:04:06Z\")"), "" },
	{ IF("request.time < timestamp(\"2026-01-01T00:00:00Z\") && resource.name.startsWith(\"x\")"), "6:28 condition-over" },
	{ IF("request.time < timestamp(\"2026-01-01T00:00:00Z\") || resource.name.startsWith(\"x\")"), "" },
	{ IF("request.time.getFullYear() == 2025"), "6:28 condition-over" },
	{ IF("request.time.getHours(\"Europe/Berlin\") > 23"), "6:28 condition-never-true" },
	{ IF("request.time > timestamp(\"2027-02-01T00:00:00Z\") && request.time < timestamp(\"2027-01-01T00:00:00Z\")"), "6:28 condition-never-true" },
	{ IF("request.time.getMonth() == 1 && request.time.getDate() == 30"), "6:28 condition-never-true" },
	{ IF("request.time.getMonth() == 1 && request.time.getDate() == 29"), "" },
	{ IF("request.time.getDayOfWeek() in [7]"), "6:28 condition-never-true" },
	{ IF("false"), "6:28 condition-never-true" },
	/* clauses beside each other */
	{ IF("request.surface == \"a\" && request.surface == \"b\""), "(note) 6:28 iam-attribute, 6:54 contradiction" },
	{ IF("\"a\" == resource.name && request.time.getHours() < 8 && resource.name.startsWith(\"b\")"), "6:83 contradiction" },
	{ IF("resource.name.size() > 3 && resource.name in [\"a\", \"b\"]"), "(note) 6:28 iam-function, 6:56 contradiction" },
	{ IF("resource.name in [\"a\", \"bcde\"] && resource.name.startsWith(\"b\")"), "" },
	{ IF("resource.name == \"a\" && resource.name + resource.type == \"b\""), "" }, /* that is about two of them */
	{ IF("resource.name == \"a\" && resource.name == \"a\" && resource.name != \"b\""), "" },
	{ IF("resource.name == \"a\" || resource.name == \"b\""), "" },
	{ IF("resource.name != \"a\" && resource.name != \"b\""), "" },
	{ IF("resource.name != \"a\" || resource.name != \"b\""), "6:52 tautology" },
	{ IF("resource.name != \"a\" || !(resource.name in [\"b\", \"c\"])"), "6:52 tautology" },
	{ IF("resource.name != \"a\" || !(resource.name in [\"b\", \"a\"])"), "" },
	{ IF("has(resource.name) || resource.name != \"a\""), "(note) 6:28 iam-function" },
	{ IF("!has(resource.name) && resource.name == \"a\""), "(note) 6:29 iam-function, 6:51 contradiction" },
	{ IF("request.time.getHours() < 8 && (resource.name != \"a\" || resource.name.size() < 5 || resource.type != \"b\")"),
	  "(note) 6:84 iam-function, 6:84 tautology" },
	{ IF("resource.name == \"a\" && resource.name.matches(resource.name + \"(\")"), "(note) 6:52 iam-function, 6:52 contradiction" }, /* it errs */
	{ IF("true"), "6:28 condition-always-true" },
	{ IF("request.time.getHours() < 24"), "6:28 condition-always-true" },
	{ IF("request.time > timestamp(\"2026-01-01T00:00:00Z\")"), "6:28 condition-always-true" },
	{ IF("request.time > timestamp(\"2027-01-01T00:00:00Z\")"), "" },
	{ IF("resource.name == resource.name"), "" },
	{ DENY("request.time.getHours() > 23"), "3:82 condition-never-true" },
	{ DENY("request.time < timestamp(\"2026-01-01T00:00:00Z\") && resource.name == \"x\""), "3:82 condition-over" },
	{ DENY("resource.name == \"x\" ? request.time.getHours() > 23 : false"), "(note) 3:82 iam-function" }, /* an absent name errs, and so denies */
	{ IF("resource.name == \"x\" ? request.time.getHours() > 23 : false"), "(note) 6:28 iam-function, 6:28 condition-never-true" },
	/* portability */
	{ IF("request.surface == \"x\""), "(note) 6:28 iam-attribute" },
	{ IF("has(resource.name)"), "(note) 6:28 iam-function" },
	{ IF("resource.name.matches(\"x\") && request.peer.uid == 5"), "(note) 6:28 iam-function, (note) 6:58 iam-attribute" },
	{ IF("resource.name.extract(\"a{x}\") == \"b\" && request.auth.access_levels.hasOnly([\"x\"]) && request.time - duration(\"5s\") < date(\"2030-01-01\")"), "" },
#define OR(n) "resource.name == \"" n "\" || "
#define TWELVE OR("1") OR("2") OR("3") OR("4") OR("5") OR("6") OR("7") OR("8") OR("9") OR("10") OR("11") OR("12")
	{ IF(TWELVE "resource.name == \"13\""), "" },
	{ IF(TWELVE "!(resource.name == \"13\")"), "6:28 iam-operators" },
	/* shadows */
	{ TWO(ALICE, ALICE), "4:3 shadowed-binding" },
	{ TWO(ALICE ", maxLifetime: 30m", ALICE), "3:3 shadowed-binding" },
	{ TWO(ALICE ", maxLifetime: 1h", ALICE), "4:3 shadowed-binding" },
	{ TWO(ALICE ", notAfter: 2027-01-01T00:00:00Z", ALICE), "3:3 shadowed-binding" },
	{ TWO(ALICE ", notBefore: 2026-01-01T00:00:00Z", ALICE ", notBefore: 2026-01-02T00:00:00Z"), "4:3 shadowed-binding" },
	{ TWO(ALICE ", scopes: ['https://www.googleapis.com/auth/bigquery']", ALICE), "3:3 shadowed-binding" },
	{ TWO(ALICE ", scopes: [openid]", ALICE ", scopes: [email]"), "" },
	{ TWO(ALICE ", permissions: [getOpenIdToken]", ALICE), "" },
	{ TWO(ALICE ", permissions: [getOpenIdToken, getAccessToken]", ALICE), "4:3 shadowed-binding" },
	{ TWO(ALICE ", condition: {expression: 'resource.name == \"x\"'}", ALICE), "3:3 shadowed-binding" },
	{ TWO(ALICE ", condition: {expression: 'resource.name == \"x\"'}", ALICE ", condition: {expression: 'resource.name == \"x\"'}"), "4:3 shadowed-binding" },
	{ TWO(ALICE ", condition: {expression: 'request.scopes.hasOnly([\"openid\"])'}",
	      ALICE ", scopes: [openid], condition: {expression: 'request.scopes.hasOnly([\"openid\"])'}"), "(note) 3:114 iam-attribute, (note) 4:132 iam-attribute" },
	{ TWO(ALICE ", condition: {expression: 'resource.name == \"x\"'}", ALICE ", condition: {expression: 'resource.name == \"y\"'}"), "" },
	{ TWO("members: [domain:b.de], scopes: [openid], serviceAccounts: [" SA "]", ALICE ", scopes: [openid]"), "4:3 shadowed-binding" },
	{ TWO("members: [allAuthenticated], scopes: [openid], serviceAccounts: [" SA "]", "members: [domain:b.de], scopes: [openid], serviceAccounts: [" SA "]"), "4:3 shadowed-binding" },
	{ TWO("members: [domain:c.de], scopes: [openid], serviceAccounts: [" SA "]", ALICE ", scopes: [openid]"), "" },
	{ TWO("members: [group:o], serviceAccounts: [" SA "]", ALICE) "groups: {i: [user:a@b.de], o: ['group:i']}\n", "4:3 shadowed-binding" },
	{ TWO("members: [group:o], serviceAccounts: [" SA "]", "members: [group:i], serviceAccounts: [" SA "]") "groups: {i: [user:a@b.de], o: ['group:i']}\n", "4:3 shadowed-binding" },
	{ TWO("members: [group:i], serviceAccounts: [" SA "]", "members: [group:o], serviceAccounts: [" SA "]") "groups: {i: [user:a@b.de], o: ['group:i', user:c@b.de]}\n", "3:3 shadowed-binding" },
	{ TWO(ALICE, "members: [user:a@b.de, user:c@b.de], serviceAccounts: [" SA ", o" SA "]"), "3:3 shadowed-binding" },
	{ TWO("members: [user:a@b.de], serviceAccounts: ['*@acme.iam.gserviceaccount.com']", "members: [user:a@b.de], serviceAccounts: ['m*@acme.iam.gserviceaccount.com', " SA "]"),
	  "3:54 account-wildcard, 4:3 shadowed-binding, 4:54 account-wildcard" },
	{ TWO("members: [user:a@b.de], serviceAccounts: ['m*@acme.iam.gserviceaccount.com']", "members: [user:a@b.de], serviceAccounts: ['*@acme.iam.gserviceaccount.com']"),
	  "3:3 shadowed-binding, 3:54 account-wildcard, 4:54 account-wildcard" },
	/* deny rules */
	{ BINDING("denyRules:\n- {name: d, deniedPrincipals: [domain:b.de]}\n"), "3:3 denied-binding" },
	{ BINDING("denyRules:\n- {name: d, deniedPrincipals: [domain:b.de], serviceAccounts: [x" SA "]}\n"), "" },
	{ BINDING("denyRules:\n- {name: d, deniedPrincipals: [domain:b.de], permissions: [getOpenIdToken]}\n"), "" },
	{ BINDING("denyRules:\n- {name: d, deniedPrincipals: [domain:b.de], exceptionPrincipals: [user:a@b.de]}\n"), "" },
	{ BINDING("denyRules:\n- {name: d, deniedPrincipals: [domain:b.de], exceptionPrincipals: [user:c@b.de]}\n"), "3:3 denied-binding" },
	{ BINDING("denyRules:\n- {name: d, deniedPrincipals: [domain:b.de], denialCondition: {expression: 'resource.name == \"x\"'}}\n"), "" },
	{ IF("resource.name == \"x\"") "denyRules:\n- {name: d, deniedPrincipals: [domain:b.de], denialCondition: {expression: 'resource.name == \"x\"'}}\n", "3:3 denied-binding" },
	{ MEMBERS("group:g") "groups: {g: [user:a@b.de]}\ndenyRules:\n- {name: d, deniedPrincipals: [allAuthenticated], exceptionPrincipals: [user:a@b.de]}\n", "" },
	{ "version: 1\ndenyRules:\n- {name: d, deniedPrincipals: [user:a@b.de], exceptionPrincipals: [domain:b.de]}\n", "3:3 denies-nobody" },
	/* entitlements */
	{ ENTITLED("group:in", ", approvalWorkflow: {approvers: [group:two]}"), "" },
	{ ENTITLED("group:in", ", approvalWorkflow: {approvers: [group:two], approvalsNeeded: 2}"), "6:3 approver-is-requester" },
	{ ENTITLED("group:in", ", approvalWorkflow: {approvers: [group:in, user:a@b.de], approvalsNeeded: 2}"), "6:3 approver-is-requester" },
	{ ENTITLED("user:c@c.de", ", approvalWorkflow: {approvers: [group:two], approvalsNeeded: 2}"), "" },
	{ ENTITLED("user:c@c.de", ", approvalWorkflow: {approvers: [group:two], approvalsNeeded: 3}"), "6:3 approvers-too-few" },
	{ ENTITLED("user:c@c.de", ", approvalWorkflow: {approvers: [group:none]}"), "2:68 empty-group, 6:3 approvers-too-few" },
	{ ENTITLED("user:a@b.de", ", approvalWorkflow: {approvers: [group:far], approvalsNeeded: 9}"), "" },
	{ ENTITLED("user:a@b.de", ", approvalWorkflow: {approvers: [user:a@b.de]}"), "6:3 approver-is-requester" },
	{ ENTITLED("user:a@b.de", ", requesterJustification: {}"), "" },
	{ ENTITLED("user:a@b.de", ""), "6:3 nobody-approves" },
	{ ENTITLED("user:a@b.de", ", requesterJustification: {expression: 'false'}"), "6:157 condition-never-true" },
	{ ENTITLED("user:a@b.de", ", requesterJustification: {}, permissions: [signBlob], maxLifetime: 2h") "denyRules: [{name: d, deniedPrincipals: [user:a@b.de]}]\n",
	  "6:3 denied-binding, 6:160 signing-permission, 6:185 lifetime-over-1h" },
};

/* Where the empty group is not what is looked for, its warning is taken out. */
static void drop(char *found, const char *what) {
	char *at = strstr(found, what);

	if (!at)
		return;
	memmove(at, at + strlen(what), strlen(at + strlen(what)) + 1);
	if (!strncmp(at, ", ", 2))
		memmove(at, at + 2, strlen(at + 2) + 1);
}

static void test_lint_finds_what_deserves_a_look(void **state) {
	bool bad = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *got = lint(str_of(cases[i].text));

		if (!strstr(cases[i].found, "empty-group"))
			drop(got, "2:68 empty-group");
		if (strcmp(got, cases[i].found)) {
			print_error("%s\nwant %s\ngot  %s\n", cases[i].text, cases[i].found, got);
			bad = true;
		}
		free(got);
	}
	assert_false(bad);
}

/* Every row of the table is met by a case, or by the comments below; and none is unreachable. */
static void test_lint_has_a_case_for_each_id(void **state) {
	(void)state;
	for (size_t k = 0; k < n_policy_lints; k++) {
		bool met = strstr(policy_lints[k].id, "-ignore") != NULL;

		for (size_t i = 0; i < ARRAY_SIZE(cases) && !met; i++)
			met = strstr(cases[i].found, policy_lints[k].id) != NULL;
		if (!met)
			fail_msg("no case for %s", policy_lints[k].id);
		assert_true(k == 0 || strcmp(policy_lints[k - 1].id, policy_lints[k].id) < 0);
	}
}

static void test_lint_names_the_other_rule(void **state) {
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	assert_int_equal(policy_load("p", STR(TWO(ALICE, ALICE)), &test_host, TEST_NOW, &policy, &report, &err), 0);
	assert_int_equal(report.n, 1);
	assert_string_equal(report.findings[0].message, "\"a\" at line 3 gives all that this gives");
	policy_report_fini(&report);
	policy_unref(policy);
}

#define WILD "- name: a\n  members: [user:a@b.de]\n"

static const struct {
	const char *text, *found;
} ignored[] = {
	{ HEAD WILD "  serviceAccounts: ['*'] # hallpass: ignore=account-wildcard\n", "" },
	{ HEAD WILD "  serviceAccounts: ['*'] #hallpass: ignore=account-wildcard\n", "" },
	{ HEAD WILD "  # hallpass: ignore=account-wildcard\n  serviceAccounts: ['*']\n", "" },
	{ HEAD WILD "  # hallpass: ignore=account-wildcard\n\n  # of the vendor's\n  serviceAccounts: ['*']\n", "" },
	{ HEAD WILD "  # hallpass: ignore=account-wildcard,lifetime-over-1h\n  serviceAccounts: ['*']\n", "5:39 unused-ignore" },
	{ HEAD "# hallpass: ignore=broad-binding\n- {name: a, members: [allAuthenticated], serviceAccounts: ['*'], maxLifetime: 2h} # hallpass: ignore=account-wildcard,lifetime-over-1h\n", "" },
	{ HEAD WILD "  serviceAccounts: ['*'] # hallpass: ignore=account-wildcrad\n", "5:20 account-wildcard, 5:45 unknown-ignore" },
	{ HEAD WILD "  serviceAccounts: ['*']\n  # hallpass: ignore=account-wildcard\n", "5:20 account-wildcard, 6:22 unused-ignore" },
	{ HEAD WILD "  serviceAccounts: [" SA "]\n  title: 'x# hallpass: ignore=account-wildcard'\n", "" },
	{ HEAD WILD "  serviceAccounts: [" SA "]\n  condition:\n    expression: |\n      // hallpass: ignore=condition-over\n      request.time < timestamp(\"2025-01-01T00:00:00Z\") // hallpass: ignore=condition-over\n", "" },
	{ "version: 1 # hallpass: ignore=\n", "1:31 unknown-ignore" },
	{ "# \xc3\xa4\xc3\xb6 hallpass: ignore=x\nversion: 1 # \xc3\xa4 # hallpass: ignore=unused-group", "2:35 unused-ignore" },
};

static void test_lint_is_accepted_by_a_comment(void **state) {
	bool bad = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
		char *got = lint(str_of(ignored[i].text));

		if (strcmp(got, ignored[i].found)) {
			print_error("%s\nwant %s\ngot  %s\n", ignored[i].text, ignored[i].found, got);
			bad = true;
		}
		free(got);
	}
	assert_false(bad);
}

/* An error is refused, whatever a comment says. */
static void test_lint_comments_accept_no_errors(void **state) {
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	assert_int_equal(policy_load("p", STR("version: 1\nx: 1 # hallpass: ignore=unknown-key\n"), &test_host, TEST_NOW, &policy, &report, &err), -1);
	assert_int_equal(report.n_errors, 1);
	policy_report_fini(&report);
}

static void test_lint_counts_what_is_not_shown(void **state) {
	struct buf b = BUF_INIT(1 << 20), printed = BUF_INIT(1 << 20);
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	buf_adds(&b, "version: 1\ngroups:\n");
	for (int i = 0; i < 203; i++)
		buf_addf(&b, "  g%d: [user:a@b.de]\n", i);
	assert_int_equal(policy_load("p", (struct str){ b.data, b.len }, &test_host, TEST_NOW, &policy, &report, &err), 0);
	assert_int_equal(report.n_warnings, 200);
	assert_int_equal(report.more_warnings, 3);
	policy_report_print(&report, "p", (struct str){ b.data, b.len }, false, &printed);
	assert_non_null(strstr(printed.data, "\np: and 3 more warnings\n"));
	policy_report_fini(&report);
	policy_unref(policy);
	buf_fini(&b);
	buf_fini(&printed);
}

/* ---- what is said of conditions is so: conditions at random, asked at random instants ---- */

static uint64_t seed = 88172645463325252u;

static int64_t below(int64_t n) {
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (int64_t)(seed >> 1) % n;
}

/* Years 2020 to 2039; now is November 2026. */
static void add_instant(struct buf *b) {
	buf_addf(b, "timestamp(\"20%d-%02d-01T00:00:00Z\")", (int)(20 + below(20)), (int)(1 + below(12)));
}

static void add_clause(struct buf *b) {
	static const char *const orders[] = { "<", "<=", ">", ">=", "==", "!=" };
	const char *order = orders[below(ARRAY_SIZE(orders))];

	switch (below(6)) {
	case 0:
		buf_addf(b, "request.time %s ", order);
		add_instant(b);
		break;
	case 1:
		buf_addf(b, "request.time.getHours(\"Europe/Berlin\") %s %d", order, (int)below(26));
		break;
	case 2:
		buf_addf(b, "request.time.getDayOfWeek() in [%d, %d]", (int)below(9), (int)below(9));
		break;
	case 3:
		buf_addf(b, "request.time.getDate() %s %d", order, (int)below(34));
		break;
	case 4:
		buf_addf(b, "request.time.getMonth() %s %d", order, (int)below(14));
		break;
	default:
		buf_addf(b, "resource.name.endsWith(\"%s\")", below(2) ? "m" : "n");
	}
}

static void add_condition(struct buf *b, int depth) {
	if (depth == 0 || below(4) == 0) {
		add_clause(b);
		return;
	}
	buf_adds(b, below(5) ? "(" : "!(");
	add_condition(b, depth - 1);
	buf_adds(b, below(3) ? " && " : " || ");
	add_condition(b, depth - 1);
	buf_adds(b, ")");
}

static bool allows(const struct policy *policy, int64_t now) {
	struct policy_query q = { .now = now, .principal = "user:a@b.de", .auth_method = "peer", .service_account = SA, .surface = "native" };
	struct decision decision;

	policy_decide(policy, &q, &decision);
	return decision.allow || decision.reason == REASON_WINDOW_CLOSING;
}

static bool has(const struct policy_report *report, const char *id) {
	for (size_t i = 0; i < report->n; i++)
		if (!strcmp(report->findings[i].id, id))
			return true;
	return false;
}

static void test_lint_tells_the_truth_of_conditions(void **state) {
	int rounds = getenv("HALLPASS_SLOW") ? 200 : 4000;
	unsigned never = 0, over = 0, always = 0;

	(void)state;
	for (int i = 0; i < rounds; i++) {
		struct buf b = BUF_INIT(1 << 16);
		struct policy_report report;
		struct policy *policy;
		struct error err;
		bool no, yes;

		buf_adds(&b, BINDING("  condition:\n    expression: |\n      "));
		add_condition(&b, 3);
		assert_int_equal(policy_load("p", (struct str){ b.data, b.len }, &test_host, TEST_NOW, &policy, &report, &err), 0);
		no = has(&report, "condition-never-true") || has(&report, "condition-over");
		yes = has(&report, "condition-always-true");
		never += has(&report, "condition-never-true");
		over += has(&report, "condition-over");
		always += yes;
		for (int k = 0; k < 300 && (no || yes); k++) {
			int64_t at = TEST_NOW + below(k % 2 ? 86400 * 366 : 86400 * 366 * 40LL);

			if (allows(policy, at) != yes)
				fail_msg("%s\nat %lld", b.data, (long long)at);
			if (has(&report, "condition-never-true") && allows(policy, TEST_NOW - below(86400 * 366 * 10LL)))
				fail_msg("%s\nin the past", b.data);
		}
		policy_report_fini(&report);
		policy_unref(policy);
		buf_fini(&b);
	}
	print_message("of %d conditions %u never, %u no more, %u always true\n", rounds, never, over, always);
	assert_true(never > rounds / 100U && over > rounds / 100U && always > rounds / 200U);
}

/* ---- at scale: rules that all look alike must not be compared each with each ---- */

#define RULES 30000

static const struct {
	const char *what, *rule; /* %d: the number */
} shapes[] = {
	{ "nothing in common", "- {name: r%1$d, members: [user:u%1$d@b.de], serviceAccounts: [a%1$d@acme.iam.gserviceaccount.com]}\n" },
	{ "one account", "- {name: r%1$d, members: [user:u%1$d@b.de], serviceAccounts: [" SA "]}\n" },
	{ "one member", "- {name: r%1$d, members: [user:a@b.de], serviceAccounts: [a%1$d@acme.iam.gserviceaccount.com]}\n" },
	{ "all but the condition", "- {name: r%1$d, " ALICE ", condition: {expression: 'resource.name == \"%1$d\"'}}\n" },
	{ "all but the pattern", "- {name: r%1$d, members: [user:a@b.de], serviceAccounts: ['a%1$d*@acme.iam.gserviceaccount.com']}\n" },
	{ "everything", "- {name: r%1$d, " ALICE "}\n" },
	{ "long lists on both sides", "- {name: r%1$d, members: [user:u%1$d@b.de], serviceAccounts: [" SA "]}\n"
				      "- {name: s%1$d, members: [allAuthenticated], serviceAccounts: [a%1$d@acme.iam.gserviceaccount.com], scopes: [openid]}\n" },
	{ "office hours", "- {name: r%1$d, members: [user:u%1$d@b.de], serviceAccounts: [" SA "], condition: {expression: 'request.time.getHours(\"Europe/Berlin\") >= 8 && "
			  "request.time.getHours(\"Europe/Berlin\") < 18 && request.time.getDayOfWeek(\"Europe/Berlin\") in [1, 2, 3, 4, 5]'}}\n" },
	{ "conditions that are over", "- {name: r%1$d, members: [user:u%1$d@b.de], serviceAccounts: [" SA "], condition: {expression: 'request.time < timestamp(\"2025-01-01T00:00:00Z\")'}}\n" },
};

static double seconds(void) {
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add_rule(struct buf *b, const char *format, int i) {
	char line[1024];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(line, sizeof(line), format, i);
#pragma GCC diagnostic pop
	buf_adds(b, line);
}

static void test_lint_stays_linear(void **state) {
	int n = getenv("HALLPASS_SLOW") ? RULES / 30 : RULES;
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct buf b = BUF_INIT(10 << 20);
		double before, took;

		buf_adds(&b, HEAD);
		for (int k = 0; k < n; k++)
			add_rule(&b, shapes[i].rule, k);
		before = seconds();
		assert_int_equal(policy_load("p", (struct str){ b.data, b.len }, &test_host, TEST_NOW, &policy, &report, &err), 0);
		took = seconds() - before;
		print_message("%d rules, %s: %.2f s, %zu warnings\n", n, shapes[i].what, took, report.n_warnings + report.more_warnings);
		assert_true(took < 20); /* comparing each with each takes minutes */
		policy_report_fini(&report);
		policy_unref(policy);
		buf_fini(&b);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lint_finds_what_deserves_a_look),
		cmocka_unit_test(test_lint_has_a_case_for_each_id),
		cmocka_unit_test(test_lint_names_the_other_rule),
		cmocka_unit_test(test_lint_is_accepted_by_a_comment),
		cmocka_unit_test(test_lint_comments_accept_no_errors),
		cmocka_unit_test(test_lint_counts_what_is_not_shown),
		cmocka_unit_test(test_lint_tells_the_truth_of_conditions),
		cmocka_unit_test(test_lint_stays_linear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
