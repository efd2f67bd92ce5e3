/* document: the schema, its findings and where they are, lint, the tests section. */
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
#define BINDING(more) HEAD "- name: a\n  members: [user:a@example.com]\n  serviceAccounts: [" SA "]\n" more
#define CLAIMS(variable, body) "request.auth.claims.groups.exists(" variable ", " body ")"
#define COST_FIX                                                                                                       \
	"nest fewer loops, or compare with == or startsWith() what is now matched or searched; a list of the request "  \
	"counts as 64 elements, a text in it as 512 bytes"
#define TESTED(expect)                                                                                                 \
	BINDING("tests:\n- name: t\n  request: {principal: user:a@example.com, serviceAccount: " SA                     \
		", time: 2026-01-01T00:00:00Z}\n  expect: " expect "\n")

/* Every error and warning as "LINE:COLUMN id" in one line. */
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
		if (report.findings[i].severity != POLICY_NOTE)
			buf_addf(&b, "%s%u:%u %s", b.len ? ", " : "", report.findings[i].line, report.findings[i].column,
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
	{ "version: 1\ninvariants: []\n", "" },
	{ "version: 1\ninvariants: {}\n", "2:13 wrong-type" },
	{ "version: 1\ninvariants:\n- {name: x}\n", "3:3 bad-invariant" },
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
	{ BINDING("- name: a\n  members: [user:b@example.com]\n  serviceAccounts: [" SA "]\n"), "6:9 duplicate-name" },
	{ BINDING("  condition: yes\n"), "6:14 wrong-type" },
	{ BINDING("  condition: {title: x}\n"), "6:14 missing-key" },
	{ BINDING("  condition: {title: [x], expression: [y]}\n"), "6:22 wrong-type, 6:39 wrong-type" },
	{ HEAD "- name: a b\n  members: []\n  serviceAccounts: []\n", "3:9 bad-name, 4:12 bad-list, 5:20 bad-list" },
	{ HEAD "- name: a\n  members: [alice, 'user:', user:a@b, users:a@b.c, 'user:a b@c.de', domain:x, 'principal:a b', [], ~]\n"
	       "  serviceAccounts: [" SA "]\n",
	  "4:13 bad-member, 4:20 bad-member, 4:29 bad-member, 4:39 bad-member, 4:52 bad-member, 4:69 bad-member, "
	  "4:79 bad-member, 4:96 bad-member, 4:100 bad-member" },
	{ HEAD "- name: a\n  members: [domain:example.com, principal:x, 'serviceAccount:A@B.de', user:me@localhost]\n"
	       "  serviceAccounts: [" SA "]\n",
	  "4:12 broad-binding, 4:46 member-kind" },
	{ HEAD "- name: a\n  members: [group:b]\n  serviceAccounts: [" SA "]\ngroups: {c: [user:a@b.de]}\n",
	  "4:13 unknown-group, 6:10 unused-group" },
	{ HEAD "- name: a\n  members: [user:a@b.de]\n  serviceAccounts: [x, '*', 'a*@b.de', '*a*@b.de', 'a@*', "
	       "'a@b.de*', 1-compute@developer.gserviceaccount.com]\n",
	  "5:20 account-wildcard, 5:21 bad-account, 5:40 bad-account, 5:52 bad-account, 5:59 bad-account, "
	  "5:70 default-account" },
	{ "version: 1\ngroups: {a: [group:b], b: [group:c], c: [group:a]}\n", "2:13 group-cycle" },
	{ "version: 1\ngroups: {a: [group:a]}\n", "2:13 group-cycle" },
	{ "version: 1\ngroups: {a: [group:nope], 'x y': [], b: user}\n",
	  "2:10 unused-group, 2:14 unknown-group, 2:27 bad-name, 2:38 unused-group, 2:41 wrong-type" },
	{ "version: 1\ndenyRules:\n- name: d\n  deniedPrincipals: [allAuthenticated]\n  members: []\n", "5:3 unknown-key" },
	/* positions inside an expression, however it is written */
	{ BINDING("  condition: {expression: 'request.time < 5'}\n"), "6:41 cel-type" },
	{ BINDING("  condition:\n    expression: |\n      true &&\n      request.tme < 5\n"), "9:7 cel-type" },
	{ BINDING("  condition:\n    expression: |\n      \"\u00e4\u00f6\u00fc\" == 5 &&\n      true\n"), "8:13 cel-type" },
	{ BINDING("  condition:\n    expression: >\n      true &&\n\n      (false\n"), "10:13 cel-syntax" },
	{ BINDING("  condition:\n    expression: true\n      && nope\n"), "8:10 cel-type" },
	{ BINDING("  condition: {expression: \"true &&\\\\n nope\"}\n"), "6:35 cel-syntax" },
	{ BINDING("  condition: {expression: ''}\n"), "6:28 cel-syntax" },
	{ BINDING("  condition: {expression: 'request.tme > 1 && nope && request.time.getHours()'}\n"), "6:28 cel-type, 6:47 cel-type, 6:68 cel-type" },
	{ BINDING("  condition: {expression: request.time}\n"), "6:35 cel-type" },
	{ BINDING("  condition: {expression: 'request.time.getHours(\"Europe/Berlim\") > 5'}\n"), "6:50 cel-type" },
	{ BINDING("  condition: {expression: 'request.auth.principal.matches(\"(\")'}\n"), "6:59 cel-type" },
	{ BINDING("  condition: {expression: 'string(request.time) > \"2026\"'}\n"), "6:28 cel-unbounded" },
	{ BINDING("  condition:\n    expression: |\n      true &&\n      ![1].exists(d, d == request.time.getDate())\n"),
	  "9:8 cel-unbounded" },
	{ BINDING("  condition:\n    expression: |\n      true &&\n      " CLAIMS("a", CLAIMS("b", CLAIMS("c", "a == b + c"))) "\n"), "9:7 cel-cost" },
	{ "version: 1\nbindings:\n- {name: a, description: d, members: [user:a@b.de], serviceAccounts: [" SA "]}\n", "" },
	{ BINDING("  description: [x]\n"), "6:16 wrong-type" },
	{ BINDING("  permissions: [[x]]\n"), "6:17 wrong-type" },
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

#define CONDITIONAL(expression, request, expect)                                                                       \
	BINDING("  condition: {expression: '" expression "'}\ntests:\n- name: t\n  request: {principal: user:a@example.com, "   \
		"serviceAccount: " SA ", time: 2026-01-01T00:00:00Z" request "}\n  expect: " expect "\n")

/* Each key of a test's request reaches its attribute, and what is no such thing is refused at its place. */
static const struct {
	const char *expression, *request, *nonsense;
} request_keys[] = {
	{ "request.permission == \"iam.serviceAccounts.getAccessToken\"", ", permission: getAccessToken", ", permission: get" },
	{ "\"openid\" in request.scopes && request.scopes.size() == 1", ", scopes: [openid]", ", scopes: openid" },
	{ "request.lifetime == duration(\"600s\")", ", lifetime: 10m", ", lifetime: 10" },
	{ "request.audience == \"x\"", ", audience: x", ", audience: [x]" },
	{ "request.justification.matches(\"^INC-[0-9]+$\")", ", justification: INC-7", ", justification: {}" },
	{ "request.surface == \"metadata\"", ", surface: metadata", ", surface: ~" },
	{ "request.auth.method == \"oidc\"", ", method: oidc", ", method: []" },
	{ "\"x\" in request.auth.claims.groups && request.auth.claims.level > 1", ", claims: {groups: [x], level: 2}", ", claims: [x]" },
	{ "\"l\" in request.auth.access_levels", ", accessLevels: [l]", ", accessLevels: l" },
	{ "request.peer.uid == 5 && request.peer.gid == 6 && request.peer.pid == 7 && request.peer.exe == \"/bin/x\"",
	  ", peer: {uid: 5, gid: 6, pid: 7, exe: /bin/x}", ", peer: {uid: -1}" },
	{ "origin.ip == \"10.0.0.1\"", ", ip: 10.0.0.1", ", ip: [1]" },
	{ "origin.port == 80", ", port: 80", ", port: 65536" },
	{ "request.auth.principal == \"user:a@example.com\" && request.time == timestamp(\"2026-01-01T00:00:00Z\") || true", "",
	  ", delegates: [x]" },
};

static void test_document_hands_each_key_of_a_test_to_its_attribute(void **state) {
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(request_keys); i++) {
		const char *parts[] = { request_keys[i].request, "", request_keys[i].nonsense };

		for (int k = 0; k < 3; k++) {
			struct buf b = BUF_INIT(4096);
			char *got;
			int r;

			buf_addf(&b, CONDITIONAL("%s", "%s", "%s"), request_keys[i].expression, parts[k],
				 k == 1 && i > 0 && request_keys[i].request[0] ? "DENY" : "ALLOW"); /* the first is the default */
			got = findings((struct str){ b.data, b.len }, &r);
			if (k < 2 ? r != 0 : r == 0 || !strstr(got, "9:"))
				fail_msg("%s\n%s", b.data, got);
			free(got);
			buf_fini(&b);
		}
	}
}

/* A delegate of a test needs its binding like any other. */
static void test_document_decides_delegates_of_tests(void **state) {
	static const char text[] = HEAD "- {name: a, members: [allAuthenticated], serviceAccounts: [" SA "]}\n"
		"- {name: hop, members: [allAuthenticated], serviceAccounts: [hop@b.cc], permissions: [implicitDelegation], maxLifetime: 1m}\n"
		"tests:\n"
		"- {name: t, request: {principal: 'principal:p', serviceAccount: " SA ", time: 2026-01-01T00:00:00Z, delegates: [hop@b.cc]}, expect: {decision: ALLOW, binding: a, maxLifetime: 1m}}\n"
		"- {name: u, request: {principal: 'principal:p', serviceAccount: " SA ", time: 2026-01-01T00:00:00Z, delegates: [hip@b.cc]}, expect: {decision: DENY, reason: DELEGATE}}\n";

	(void)state;
	policy_unref(load_policy(str_of(text)));
}

#define IF(expression) BINDING("  condition: {expression: '" expression "'}\n")

/* Mistakes that people make, and what they are told to do: behind the sentence, or in it. */
static const struct {
	const char *text, *id, *fix;
} advice[] = {
	{ BINDING("  maxLifteime: 1h\n"), "unknown-key", "did you mean \"maxLifetime\"?" },
	{ BINDING("  expires: 2026-12-31\n"), "unknown-key",
	  "it may have: name, title, description, members, serviceAccounts, permissions, scopes, maxLifetime, notBefore, notAfter, condition" },
	{ BINDING("  condition: request.time > 5\n"), "wrong-type", "put the text under expression: in it" },
	{ BINDING("  maxLifetime: 30 minutes\n"), "bad-duration", "write it like 15m, 1h30m or 900s" },
	{ BINDING("  notAfter: 2026-12-31\n"), "bad-time",
	  "write it like 2026-12-31T18:00:00Z or 2026-12-31T19:00:00+01:00" },
	{ BINDING("  permissions: [getAcessToken]\n"), "bad-permission", "did you mean \"getAccessToken\"?" },
	{ BINDING("") "invariants:\n- {name: n, never: {principal: allAuthenticated, serviceAccount: '*', surface: metdata}}\n", "bad-surface", "did you mean \"metadata\"?" },
	{ HEAD "- name: a\n  members: [alice@example.com]\n  serviceAccounts: [" SA "]\n", "bad-member",
	  "did you mean \"user:alice@example.com\"?" },
	{ HEAD "- name: a\n  members: [" SA "]\n  serviceAccounts: [" SA "]\n", "bad-member",
	  "did you mean \"serviceAccount:" SA "\"?" },
	{ HEAD "- name: a\n  members: [user:a@b.de]\n  serviceAccounts: [ml-dev]\n", "bad-account",
	  "write it like NAME@PROJECT.iam.gserviceaccount.com" },
	{ BINDING("  title: [\n"), "yaml-syntax", NULL },
	{ BINDING("  title: a: b\n"), "yaml-syntax", "text with \": \" in it stands in quotes, or on lines of its own under |" },
	{ BINDING(" title: b\n"), "yaml-syntax", "the entries of one list or mapping begin in the same column" },
	/* conditions */
	{ IF("request.auth.principal = \"x\""), "cel-syntax", "compare with ==" },
	{ IF("true and false"), "cel-syntax", "write && for and" },
	{ IF("true or false"), "cel-syntax", "write || for or" },
	{ IF("(true"), "cel-syntax", "a bracket is still open" },
	{ IF("request.time.getHours()"), "cel-type", "a condition must come out as true or false: compare it with something" },
	{ IF("request.time.getHours() < \"18\""), "cel-type",
	  "the left side is int and the right side string: both must be of one type" },
	{ IF("request.time < \"2026-12-31\""), "cel-type",
	  "one side is a timestamp: write the other as timestamp(\"2026-12-31T18:00:00Z\")" },
	{ IF("600 >= request.lifetime"), "cel-type", "one side is a duration: write the other as duration(\"90s\")" },
	{ IF("request.time.getDayOfWeek() in [\"Mon\"]"), "cel-type",
	  "what stands right of `in` must be a list of int, and it is list(string)" },
	{ IF("request.time.getHours > 8"), "cel-type", "it is a function: getHours()" },
	{ IF("request.time.getHour() > 8"), "cel-type", "did you mean getHours()?" },
	{ IF("resource.name.startWith(\"x\")"), "cel-type", "did you mean startsWith()?" },
	{ IF("resource.name.xyzzy(\"x\")"), "cel-type", NULL },
	{ IF("principal == \"x\""), "cel-type", "did you mean request.auth.principal?" },
	{ IF("request.time.getHours(Berlin) > 1"), "cel-type", "text stands in quotes: \"Berlin\"" },
	{ IF("request.time.getHours(\"Europe/Berlim\") > 1"), "cel-type", "did you mean \"Europe/Berlin\"?" },
	{ IF("request.time.getHours(\"europe/berlin\") > 1"), "cel-type", "did you mean \"Europe/Berlin\"?" },
	{ IF("request.time.getHours(\"Berlin\") > 1"), "cel-type", "did you mean \"Europe/Berlin\"?" },
	{ IF("request.time.getHours(\"America/New York\") > 1"), "cel-type", "did you mean \"America/New_York\"?" },
	{ IF("request.time.getHours(\"Euorpe/Berlin\") > 1"), "cel-type", "did you mean \"Europe/Berlin\"?" },
	{ IF("request.time.getHours(\"Europe/Brlin\") > 1"), "cel-type", "did you mean \"Europe/Berlin\"?" },
	{ IF("request.time.getHours(\"Europe/Berrlin\") > 1"), "cel-type", "did you mean \"Europe/Berlin\"?" },
	{ IF("request.time.getHours(\"Nowhere/Atall\") > 1"), "cel-type",
	  "names are those of the tz database, like Europe/Berlin; or write an offset, +02:00" },
	{ IF("[1].exists(x)"), "cel-type", "it takes a name and what is to be true of it: list.exists(x, x > 1)" },
	{ IF("timestamp(\"2026-01-01\") < request.time"), "cel-constant", NULL },
	{ IF("request.time - duration(\"1d\") < request.time"), "cel-constant", NULL },
	{ IF("1 / 0 == request.time.getHours()"), "cel-constant", NULL },
	{ IF("api.getAttribute(\"request.peer.exe\", \"\") == \"/usr/bin/curl\""), "cel-attribute", "write has(request.peer.exe) ? request.peer.exe : the default" },
	{ IF("true || [1].exists(x, api.getAttribute(\"request.\" + \"time\", \"\") == \"\")"), "cel-attribute",
	  "write has(request.time) ? request.time : the default" },
	{ IF("string(request.time) == \"x\""), "cel-unbounded",
	  "compare request.time, request.time +/- a duration, or one of its getters with a constant zone" },
	{ IF("request.surface == \"x\" || " CLAIMS("a", CLAIMS("b", CLAIMS("c", "a == b + c")))), "cel-cost", COST_FIX },
	{ IF(CLAIMS("a", "a.matches(request.justification) || a.matches(request.audience)")), "cel-cost", COST_FIX },
};

/* What one might write, and can afford. */
static const char *const affordable[] = {
	IF("request.time.getHours(\"Europe/Berlin\") >= 8 && request.justification.matches(\"^(INC|CHG)-[0-9]+\")"),
	IF(CLAIMS("a", "a.matches(\"^ml-[a-z]+-(dev|staging|prod)@(example|example-corp)[.](com|org)$\")")),
	IF(CLAIMS("a", "request.auth.claims.roles.exists(r, r == a)")),
	IF("request.scopes.all(s, s.startsWith(\"https://www.googleapis.com/auth/\") && !s.contains(\"admin\"))"),
	IF("request.auth.access_levels.exists(l, l in request.auth.claims.levels) && request.auth.claims.groups.filter(g, g.startsWith(\"x\")).size() > 1"),
	IF("resource.name.extract(\"serviceAccounts/{id}\").split(\"-\").exists(part, part in [\"dev\", \"test\"])"),
	IF("request.auth.claims.groups.map(g, g.lowerAscii()).hasOnly([\"a\", \"b\"])"),
};

static void test_document_lets_usual_conditions_be(void **state) {
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(affordable); i++)
		policy_unref(load_policy(str_of(affordable[i])));
}

static void test_document_says_what_to_do(void **state) {
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(advice); i++) {
		const struct policy_finding *f;

		assert_int_equal(policy_load("p", str_of(advice[i].text), &test_host, TEST_NOW, &policy, &report, &err), -1);
		f = &report.findings[0];
		if (report.n != 1 || strcmp(f->id, advice[i].id) || (f->fix && !advice[i].fix) ||
		    (advice[i].fix && strcmp(f->fix ? f->fix : "", advice[i].fix) && !strstr(f->message, advice[i].fix)))
			fail_msg("%s: %zu findings, first [%s] %s = %s", advice[i].text, report.n, f->id, f->message,
				 f->fix ? f->fix : "-");
		policy_report_fini(&report);
	}
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
	struct buf b = BUF_INIT(72 << 20);

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
		{ "version: 1\nbindings: [{name: a, title: \"", "long", 2000 },
		{ "version: 1\ntests: [", "{name: a}, ", 20000 },
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
		struct str text = repeated(big[i].head, big[i].what, getenv("HALLPASS_SLOW") ? big[i].times / 20 : big[i].times);

		assert_int_equal(policy_load("p", text, &test_host, 0, &policy, &report, &err), -1);
		assert_in_range(report.n, 1, 20);
		policy_report_fini(&report);
		free((char *)text.p);
	}
}

static double cpu_seconds(void) {
	return (double)clock() / CLOCKS_PER_SEC;
}

/* Only the first errors are shown, so only for them the nearest name is looked for: among 30,000 that takes its time. */
static void test_document_is_bounded_where_all_is_wrong(void **state) {
	int n = getenv("HALLPASS_SLOW") ? 1000 : 30000;
	struct buf b = BUF_INIT(10 << 20);
	struct policy_report report;
	struct policy *policy;
	struct error err;
	double before;

	(void)state;
	buf_adds(&b, "version: 1\ngroups:\n");
	for (int i = 0; i < n; i++)
		buf_addf(&b, "  group%d: [group:gruop%d]\n", i, i);
	buf_adds(&b, "bindings:\n");
	for (int i = 0; i < n; i++)
		buf_addf(&b, "- {name: a%d, members: [group:gorup%d], serviceAccounts: [" SA "], permission: [x],\n"
			     "   condition: {expression: 'request.time.getHours(\"Europe/Brlin\") > %d'}}\n", i, i, i);
	before = cpu_seconds();
	assert_int_equal(policy_load("p", (struct str){ b.data, b.len }, &test_host, TEST_NOW, &policy, &report, &err), -1);
	print_message("%zu errors in %.2f s\n", report.n_errors + report.more_errors, cpu_seconds() - before);
	assert_int_equal(report.n_errors, 20);
	assert_int_equal(report.more_errors, 4 * n - 20);
	assert_true(cpu_seconds() - before < 20); /* each with each takes minutes */
	policy_report_fini(&report);
	buf_fini(&b);
}

/* A hundred thousand bindings are no attack: that many bytes are read, and no more than said. */
static void test_document_of_many_megabytes_is_read(void **state) {
	static const struct {
		size_t lines;
		const char *finding; /* NULL: it is read */
	} sizes[] = { { 15 << 15, NULL }, { 65 << 15, "yaml-limit" } };
	char line[] = "# 31 characters, and a new line\n", *got;
	int r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct str text = repeated("version: 1\n", line, sizes[i].lines);

		got = findings(text, &r);
		assert_int_equal(r, sizes[i].finding ? -1 : 0);
		assert_true(!sizes[i].finding || strstr(got, sizes[i].finding));
		free(got);
		free((char *)text.p);
	}
}

/* What is small in a file and large in memory is refused while it is small there, too. */
static void test_document_bounds_values_by_its_size(void **state) {
	static const struct {
		const char *head, *what;
		size_t times;
		const char *finding;
	} files[] = {
		{ "version: 1\nbindings: [", "a,", 1 << 20, "more than 524" },
		{ "version: 1\nbindings: [", "a,", 50000, "a binding must be a mapping" },
		{ "version: 1\nbindings: [", "a,      ", 1000001, "bindings has 1000001 entries; at most 1000000 are allowed" },
	};
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct str text = repeated(files[i].head, files[i].what, files[i].times);

		((char *)text.p)[text.n - 1] = ']';
		assert_int_equal(policy_load("p", text, &test_host, 0, &policy, &report, &err), -1);
		if (!strstr(err.message, files[i].finding))
			fail_msg("%s: %s", files[i].finding, err.message);
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
		cmocka_unit_test(test_document_says_what_to_do),
		cmocka_unit_test(test_document_lets_usual_conditions_be),
		cmocka_unit_test(test_document_hands_each_key_of_a_test_to_its_attribute),
		cmocka_unit_test(test_document_decides_delegates_of_tests),
		cmocka_unit_test(test_document_reads_json),
		cmocka_unit_test(test_report_prints_line_and_caret),
		cmocka_unit_test(test_document_says_expected_and_got),
		cmocka_unit_test(test_document_messages_hold_no_control_characters),
		cmocka_unit_test(test_document_loads_the_example_policies),
		cmocka_unit_test(test_document_is_bounded),
		cmocka_unit_test(test_document_is_bounded_where_all_is_wrong),
		cmocka_unit_test(test_document_of_many_megabytes_is_read),
		cmocka_unit_test(test_document_bounds_values_by_its_size),
		cmocka_unit_test(test_document_bounds_nested_groups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
