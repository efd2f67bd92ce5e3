/*
 * invariants: what is said to hold holds, by brute force over random small policies; what does not is told with a request
 * that breaks it; what nobody can tell is refused with the part that it hangs on.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>
#include "hallpass/cleanup.h"
#include "tests/policy/load.h"

#define P "@p.iam.gserviceaccount.com"
#define RANDOM_POLICIES 1500
#define INVARIANTS_OF_EACH 6

/* ---- what a load says ---- */

struct seen {
	unsigned checks, good, untouched;
	char *message, *fix;
	json_t *counterexample;
};

static void on_ended(void *arg, const struct policy_check *check) {
	struct seen *seen = arg;

	seen->checks++;
	seen->good += check->good;
	if (check->good || seen->message)
		return;
	seen->message = strdup(check->message);
	seen->fix = check->fix ? strdup(check->fix) : NULL;
	seen->counterexample = json_deep_copy(check->counterexample);
}

static void seen_fini(struct seen *seen) {
	free(seen->message);
	free(seen->fix);
	json_decref(seen->counterexample);
}

/* The first error's id, "" where there is none. */
static const char *load_at(struct str text, int64_t now, struct seen *seen) {
	const struct policy_watch watch = { .ended = on_ended, .arg = seen };
	struct policy_report report;
	struct policy *policy;
	const char *id = "";
	struct error err;

	*seen = (struct seen){ 0 };
	if (policy_load_watched("p", text, &test_host, now, &watch, &policy, &report, &err) < 0) {
		for (size_t i = 0; i < report.n && !*id; i++)
			if (report.findings[i].severity == POLICY_ERROR)
				id = report.findings[i].id;
		if (!*id)
			fail_msg("%s", err.message);
	}
	policy_report_fini(&report);
	policy_unref(policy);
	return id;
}

/* ---- one by one ---- */

#define RULES                                                                                                          \
	"version: 1\n"                                                                                                 \
	"groups:\n"                                                                                                    \
	"  interns: [user:eve@example.com, user:ian@example.com]\n"                                                    \
	"  sre: [user:bob@example.com]\n"                                                                              \
	"  nobody: []\n"                                                                                               \
	"bindings:\n"                                                                                                  \
	"- {name: ticket, members: [domain:example.com], serviceAccounts: [\"deploy-*" P "\"],\n"                      \
	"   condition: {expression: 'has(request.justification) && request.justification.matches(\"^INC-[0-9]+$\")'}}\n" \
	"- {name: glass, members: [group:sre], serviceAccounts: [glass" P "], permissions: [getAccessToken, signBlob]}\n" \
	"- {name: inner, members: [allAuthenticated], serviceAccounts: [inner" P "], condition: {expression: 'origin.ip.startsWith(\"10.\")'}}\n" \
	"- {name: logs, members: [group:interns], serviceAccounts: [logs" P "], scopes: ['https://www.googleapis.com/auth/logging.read'],\n" \
	"   condition: {expression: 'request.time.getHours(\"Europe/Berlin\") >= 8 && request.time.getHours(\"Europe/Berlin\") < 18'}}\n" \
	"- {name: night, members: [group:interns], serviceAccounts: [logs" P "], notAfter: 2027-01-01T00:00:00Z,\n"     \
	"   condition: {expression: 'request.time.getHours(\"Europe/Berlin\") < 8 || request.time.getHours(\"Europe/Berlin\") >= 18'}}\n" \
	"denyRules:\n"                                                                                                 \
	"- {name: freeze, deniedPrincipals: [allAuthenticated], exceptionPrincipals: [group:sre], serviceAccounts: [\"*" P "\"],\n" \
	"   permissions: [getAccessToken], denialCondition: {expression: 'request.time >= timestamp(\"2027-06-01T00:00:00Z\")'}}\n" \
	"- {name: eve, deniedPrincipals: [user:eve@example.com], serviceAccounts: [\"deploy-*" P "\"]}\n"              \
	"- {name: metadata, deniedPrincipals: [group:sre], serviceAccounts: [glass" P "], permissions: [signBlob],\n"  \
	"   denialCondition: {expression: 'request.surface == \"metadata\"'}}\n"                                       \
	"invariants:\n"

/* expected: parts of the message, in order, each behind a "|"; "": it holds. */
static const struct {
	const char *invariant, *id, *expected;
} cases[] = {
	{ "never: {principal: user:eve@example.com, serviceAccount: 'deploy-*" P "'}", "", "" },
	{ "never: {principal: user:ian@example.com, serviceAccount: 'deploy-*" P "'}", "invariant-failed",
	  "|user:ian@example.com may be deploy-example" P "|2026-11-24T15:04:05Z with the justification \"INC-123\", by ticket" },
	{ "never: {principal: domain:example.com, serviceAccount: 'deploy-*" P "'}", "invariant-failed", "|user:bob@example.com may be" },
	{ "never: {principal: domain:example.com, exceptionPrincipals: [group:sre, group:interns], serviceAccount: 'deploy-a" P "'}",
	  "invariant-failed", "|user:somebody@example.com (anybody else of example.com) may be deploy-a" P },
	/* names that nobody has yet */
	{ "never: {principal: allAuthenticated, exceptionPrincipals: [domain:example.com], serviceAccount: ['deploy-*" P "', glass" P "]}", "", "" },
	{ "never: {principal: group:interns, serviceAccount: 'deploy*" P "'}", "invariant-failed", "|user:ian@example.com may be deploy-example" P },
	{ "never: {principal: user:eve@example.com, serviceAccount: 'dep*" P "'}", "", "" },
	{ "never: {principal: user:eve@example.com, serviceAccount: '*'}", "invariant-failed", "|user:eve@example.com may be logs" P "|by logs" },
	{ "never: {principal: group:nobody, serviceAccount: '*'}", "", "" },
	/* deny rules that hold from some time on, and for some permissions */
	{ "never: {principal: group:interns, serviceAccount: '*', permission: getAccessToken, time: {notBefore: 2027-06-01T00:00:00Z}}", "", "" },
	{ "never: {principal: group:interns, serviceAccount: '*', permission: getAccessToken, time: {notBefore: 2027-05-31T23:59:59Z}}", "invariant-failed",
	  "|user:ian@example.com may be deploy-example" P "|at 2027-05-31T23:59:59Z" },
	{ "never: {principal: allAuthenticated, serviceAccount: '*', time: {notBefore: 2027-06-01T00:00:00Z}}", "invariant-failed", "|user:bob" },
	{ "never: {principal: allAuthenticated, exceptionPrincipals: [group:sre], serviceAccount: '*', permission: [signBlob, signJwt]}", "", "" },
	{ "never: {principal: allAuthenticated, serviceAccount: '*', permission: signJwt}", "", "" },
	{ "never: {principal: allAuthenticated, serviceAccount: '*', permission: signBlob}", "invariant-failed", "|user:bob@example.com may signBlob as glass" P },
	{ "never: {principal: allAuthenticated, serviceAccount: '*', permission: signBlob, surface: metadata}", "", "" },
	/* scopes: what a token may do */
	{ "never: {principal: group:interns, serviceAccount: 'logs" P "', scopes: ['https://www.googleapis.com/auth/cloud-platform'], time: {notBefore: 2027-01-01T00:00:00Z}}", "", "" },
	{ "never: {principal: group:interns, serviceAccount: 'logs" P "', scopes: ['https://www.googleapis.com/auth/logging.read']}", "invariant-failed",
	  "|with https://www.googleapis.com/auth/logging.read, by" },
	/* what nobody can tell */
	{ "never: {principal: user:zoe@example.org, serviceAccount: inner" P "}", "invariant-unshown",
	  "|whether user:zoe@example.org may be inner" P "|, which hangs on origin.ip.startsWith(\"10.\") in inner (line 10)" },
	{ "always: {principal: user:zoe@example.org, serviceAccount: inner" P ", time: {notAfter: 2027-01-01T00:00:00Z}}", "invariant-failed",
	  "|user:zoe@example.org may not be inner" P "|, by inner" },
	{ "always: {principal: user:zoe@example.org, serviceAccount: inner" P ", ip: 10.1.2.3, time: {notAfter: 2027-01-01T00:00:00Z}}", "", "" },
	{ "always: {principal: allAuthenticated, serviceAccount: inner" P ", ip: 10.1.2.3, time: {notAfter: 2027-01-01T00:00:00Z}}", "", "" },
	/* always: until a date, through the changes of several bindings */
	{ "always: {principal: group:sre, serviceAccount: glass" P "}", "", "" },
	{ "always: {principal: group:sre, serviceAccount: glass" P ", permission: signBlob}", "", "" },
	{ "always: {principal: group:sre, serviceAccount: glass" P ", permission: signBlob, surface: metadata}", "invariant-failed",
	  "|user:bob@example.com may not signBlob as glass" P "|over metadata, by metadata" },
	{ "always: {principal: [group:sre, user:ian@example.com], serviceAccount: glass" P "}", "invariant-failed", "|user:ian@example.com may not be glass" },
	{ "always: {principal: group:interns, serviceAccount: logs" P ", time: {notAfter: 2027-01-01T00:00:00Z}}", "", "" },
	{ "always: {principal: group:interns, serviceAccount: logs" P ", time: {notAfter: 2027-01-01T00:00:01Z}}", "invariant-failed",
	  "|user:eve@example.com may not be logs" P "|at 2027-01-01T00:00:00Z" },
	{ "always: {principal: group:interns, serviceAccount: logs" P "}", "invariant-failed", "|at 2027-01-01T00:00:00Z" },
	{ "always: {principal: user:ian@example.com, serviceAccount: 'deploy-*" P "', justification: INC-1, time: {notAfter: 2027-01-01T00:00:00Z}}", "", "" },
	{ "always: {principal: user:ian@example.com, serviceAccount: 'dep*" P "', justification: INC-1, time: {notAfter: 2027-01-01T00:00:00Z}}", "invariant-failed",
	  "|user:ian@example.com may not be" },
	{ "always: {principal: user:ian@example.com, serviceAccount: deploy-x" P ", justification: because, time: {notAfter: 2027-01-01T00:00:00Z}}", "invariant-failed",
	  "|with the justification \"because\", by ticket" },
	{ "always: {principal: group:interns, serviceAccount: deploy-x" P ", justification: INC-1, time: {notAfter: 2027-01-01T00:00:00Z}}", "invariant-failed",
	  "|user:eve@example.com may not be deploy-x" P "|by eve" },
	/* how they are written */
	{ "never: {principal: group:interns}", "missing-key", "" },
	{ "never: {principal: group:intern, serviceAccount: '*'}", "unknown-group", "" },
	{ "never: {principal: interns, serviceAccount: '*'}", "bad-member", "" },
	{ "never: {principal: group:interns, serviceAccount: '**'}", "bad-account", "" },
	{ "never: {principal: group:interns, serviceAccount: '*', permission: signBlob, scopes: [openid]}", "bad-invariant", "" },
	{ "never: {principal: group:interns, serviceAccount: '*', time: {notBefore: 2027-01-01T00:00:00Z, notAfter: 2027-01-01T00:00:00Z}}", "empty-window", "" },
	{ "never: {principal: group:interns, serviceAccount: '*', justification: x}", "unknown-key", "" },
	{ "always: {principal: group:sre, serviceAccount: glass" P "}, never: {principal: group:nobody, serviceAccount: '*'}", "bad-invariant", "" },
	{ "sometimes: {}, never: {principal: group:nobody, serviceAccount: '*'}", "unknown-key", "" },
};

static void assert_has_parts(const char *message, const char *parts) {
	char copy[1024], *save = NULL;
	const char *at = message;

	snprintf(copy, sizeof(copy), "%s", parts);
	for (char *part = strtok_r(copy, "|", &save); part; part = strtok_r(NULL, "|", &save)) {
		at = at ? strstr(at, part) : NULL;
		if (!at)
			print_error("\"%s\"\nhas not: %s\n", message ? message : "", part);
		assert_non_null(at);
	}
}

static void test_P6_an_invariant_that_fails_refuses_the_policy(void **state) {
	char text[8192];
	struct seen seen;
	const char *id;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(text, sizeof(text), RULES "- {name: x, %s}\n", cases[i].invariant);
		id = load_at(str_of(text), TEST_NOW, &seen);
		if (strcmp(id, cases[i].id))
			print_error("%s\n%s: %s\n", cases[i].invariant, id, seen.message ? seen.message : "");
		assert_string_equal(id, cases[i].id);
		assert_has_parts(seen.message, cases[i].expected);
		seen_fini(&seen);
	}
}

/* What a person sees. */
/* Who names no scope is decided on what he would be given, and so an `always` is shown of that. */
static void test_invariants_always_sees_the_scopes_that_would_be_given(void **state) {
#define ALWAYS(binding, rest)                                                                                          \
	"version: 1\nbindings:\n- {name: a, members: [allAuthenticated], serviceAccounts: [a" P "]" binding "}\n" rest         \
	"invariants:\n- {name: i, always: {principal: 'user:a@example.com', serviceAccount: a" P "}}\n"
#define ONLY_OPENID ", condition: {expression: 'request.scopes.hasOnly([\"openid\"])'}"
#define DENY(condition) "denyRules:\n- {name: d, deniedPrincipals: [allAuthenticated], denialCondition: {expression: '" condition "'}}\n"
	static const struct {
		struct str text;
		const char *id;
	} asks[] = {
		{ STR(ALWAYS(ONLY_OPENID, "")), "invariant-failed" },
		{ STR(ALWAYS(", scopes: [openid]" ONLY_OPENID, "")), "" },
		{ STR(ALWAYS("", DENY("\"openid\" in request.scopes"))), "invariant-failed" },
		{ STR(ALWAYS("", DENY("request.surface == \"sts\" && request.scopes == [\"openid\"]"))), "" }, /* whatever the scopes */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct seen seen;
		const char *id = load_at(asks[i].text, TEST_NOW, &seen);

		if (strcmp(id, asks[i].id))
			fail_msg("case %zu: \"%s\", %s", i, id, seen.message ? seen.message : "");
		seen_fini(&seen);
	}
}

static void test_invariants_are_told_like_other_errors(void **state) {
	struct str text = STR(RULES "- name: interns never deploy\n"
				    "  never: {principal: group:interns, serviceAccount: \"deploy-*" P "\"}\n"
				    "- {name: sre may break the glass, always: {principal: group:sre, serviceAccount: glass" P "}}\n");
	struct buf b = BUF_INIT(1 << 16);
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	assert_int_equal(policy_load("policy.yaml", text, &test_host, TEST_NOW, &policy, &report, &err), -1);
	policy_report_print(&report, "policy.yaml", text, false, &b);
	assert_non_null(strstr(b.data,
			       "policy.yaml:22:3: error: invariant \"interns never deploy\" does not hold: user:ian@example.com may be deploy-example" P
			       " (one of deploy-*" P ") at 2026-11-24T15:04:05Z with the justification \"INC-123\", by ticket [invariant-failed]\n"
			       "  | - name: interns never deploy\n"
			       "  |   ^\n"
			       "  = narrow ticket, or add a deny rule\n"
			       "1 of 2 invariants hold\n"));
	policy_report_fini(&report);
	buf_fini(&b);
}

/* An invariant about nobody, or about a time that is over, holds whatever the policy says: it is told. */
static void test_invariants_about_nobody_are_lint(void **state) {
	struct str text = STR(RULES "- {name: a, never: {principal: group:nobody, serviceAccount: \"*\"}}\n"
				    "- {name: b, never: {principal: group:sre, serviceAccount: \"*\", time: {notAfter: 2020-01-01T00:00:00Z}}}\n"
				    "- {name: c, never: {principal: group:nobody, serviceAccount: \"*\"}} # hallpass: ignore=idle-invariant\n");
	struct policy_report report;
	struct policy *policy;
	unsigned idle = 0;
	struct error err;

	(void)state;
	assert_int_equal(policy_load("p", text, &test_host, TEST_NOW, &policy, &report, &err), 0);
	for (size_t i = 0; i < report.n; i++) {
		idle += !strcmp(report.findings[i].id, "idle-invariant");
		assert_string_not_equal(report.findings[i].id, "unused-ignore");
	}
	assert_int_equal(idle, 2);
	policy_report_fini(&report);
	policy_unref(policy);
}

/* A calendar that leaves nothing open, for a generation and beyond: hours that the one rule gives the other denies. */
static void test_invariants_follow_calendars(void **state) {
	static const char text[] =
		"version: 1\n"
		"bindings:\n"
		"- {name: day, members: [domain:example.com], serviceAccounts: [a" P "],\n"
		"   condition: {expression: 'request.time.getHours(\"Europe/Berlin\") >= 8 && request.time.getHours(\"Europe/Berlin\") < 18'}}\n"
		"denyRules:\n"
		"- {name: day-off, deniedPrincipals: [domain:example.com],\n"
		"   denialCondition: {expression: 'request.time.getHours(\"Europe/Berlin\") >= %d && request.time.getHours(\"Europe/Berlin\") <= 17'}}\n"
		"invariants:\n"
		"- {name: x, never: {principal: domain:example.com, serviceAccount: \"*\"}}\n";
	char copy[2048];
	struct seen seen;

	(void)state;
	snprintf(copy, sizeof(copy), text, 8);
	assert_string_equal(load_at(str_of(copy), TEST_NOW, &seen), "");
	seen_fini(&seen);
	snprintf(copy, sizeof(copy), text, 9);
	assert_string_equal(load_at(str_of(copy), TEST_NOW, &seen), "invariant-failed");
	assert_string_equal(json_string_value(json_object_get(seen.counterexample, "time")), "2026-11-25T07:00:00Z");
	seen_fini(&seen);
}

/* What has no end to look for is followed for a generation, and again from each date on: it leaves none out. */
static void test_P2_P6_invariants_hold_after_dates_far_away(void **state) {
	static const struct {
		const char *expression, *id, *at;
	} far[] = {
#define NOISE "request.time.getDayOfWeek(\"Europe/Berlin\") != request.time.getDayOfWeek(\"Europe/Paris\")"
		{ NOISE, "", NULL },
		{ NOISE " || request.time >= timestamp(\"2099-01-01T00:00:00Z\")", "invariant-failed", "2099-01-01T00:00:00Z" },
		{ NOISE " || request.time >= timestamp(\"2062-01-01T00:00:00Z\") && request.time.getMonth() == 1 && request.time.getDate() == 29 && "
		  "request.time.getDayOfWeek() == 3", "invariant-failed", "2068-02-29T00:00:00Z" },
		{ NOISE " || request.time.getFullYear(\"Pacific/Auckland\") == 2150 && request.time.getHours() == 17", "invariant-failed", "2149-12-31T17:00:00Z" },
		{ NOISE " || request.time.getFullYear() > 2026 && request.time.getFullYear() < 2099 && request.time.getDate() > 31", "", NULL },
		/* nobody looks for what comes of arithmetic */
		{ NOISE " || request.time - duration(\"1000000h\") > timestamp(\"2027-01-01T00:00:00Z\")", "invariant-too-large", NULL },
	};
	char text[2048];
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		snprintf(text, sizeof(text),
			 "version: 1\n"
			 "bindings:\n"
			 "- {name: b, members: [domain:example.com], serviceAccounts: [a" P "], condition: {expression: '%s'}}\n"
			 "invariants:\n"
			 "- {name: x, never: {principal: domain:example.com, serviceAccount: \"*\"}}\n", far[i].expression);
		if (strcmp(load_at(str_of(text), TEST_NOW, &seen), far[i].id))
			fail_msg("%s: %s", far[i].expression, seen.message ? seen.message : "it holds");
		if (far[i].at)
			assert_string_equal(json_string_value(json_object_get(seen.counterexample, "time")), far[i].at);
		seen_fini(&seen);
	}
}

/* Who wants to see them run sees each test and invariant, and which rules no test was decided by. */
static void on_untouched(void *arg, const char *kind, const char *name, unsigned line, unsigned column) {
	buf_addf(arg, "%s %s %u:%u\n", kind, name, line, column);
}

static void test_invariants_and_tests_can_be_watched(void **state) {
	struct str text = STR(RULES "- {name: a, never: {principal: group:nobody, serviceAccount: \"*\"}}\n"
				    "tests:\n"
				    "- {name: t, request: {principal: user:bob@example.com, serviceAccount: glass" P ", time: 2026-01-01T00:00:00Z}, expect: ALLOW}\n"
				    "- {name: u, request: {principal: user:ian@example.com, serviceAccount: logs" P ", time: 2026-01-01T00:00:00Z, scopes: [openid]}, expect: ALLOW}\n"
				    "- {name: v, request: {principal: user:eve@example.com, serviceAccount: deploy-a" P ", time: 2026-01-01T00:00:00Z}, expect: DENY}\n");
	struct buf b = BUF_INIT(4096);
	struct seen seen = { 0 };
	const struct policy_watch counting = { .ended = on_ended, .arg = &seen }, listing = { .untouched = on_untouched, .arg = &b };
	struct policy_report report;
	struct policy *policy;
	struct error err;

	(void)state;
	assert_int_equal(policy_load_watched("p", text, &test_host, TEST_NOW, &counting, &policy, &report, &err), 0);
	assert_int_equal(seen.checks, 4);
	assert_int_equal(seen.good, 4);
	policy_report_fini(&report);
	policy_unref(policy);
	assert_int_equal(policy_load_watched("p", text, &test_host, TEST_NOW, &listing, &policy, &report, &err), 0);
	assert_string_equal(b.data, "binding ticket 7:3\nbinding inner 10:3\nbinding logs 11:3\ndeny rule freeze 16:3\ndeny rule metadata 19:3\n");
	policy_report_fini(&report);
	policy_unref(policy);
	buf_fini(&b);
}

/* ---- bounds ---- */

/* Everybody of a large group, on many accounts, each case another one. */
static void test_invariants_take_no_longer_than_a_load_may(void **state) {
	struct buf b = BUF_INIT(8 << 20);
	clock_t before;
	struct seen seen;
	const char *id;

	(void)state;
	if (getenv("HALLPASS_SLOW"))
		skip();
	buf_adds(&b, "version: 1\ngroups:\n  all: [user:u0@example.com");
	for (unsigned i = 1; i < 20000; i++)
		buf_addf(&b, ", user:u%u@example.com", i);
	buf_adds(&b, "]\nbindings:\n");
	for (unsigned i = 0; i < 5000; i++)
		buf_addf(&b, "- {name: b%u, members: [group:all], serviceAccounts: [a%u" P "],\n   condition: {expression: 'request.auth.principal == \"user:zz@example.com\"'}}\n", i, i);
	buf_adds(&b, "invariants:\n- {name: x, never: {principal: group:all, serviceAccount: '*'}}\n"
		     "- {name: y, never: {principal: user:u1@example.com, serviceAccount: a1" P "}}\n");
	before = clock();
	id = load_at((struct str){ b.data, b.len }, TEST_NOW, &seen);
	print_message("100 million cases: %.2f s\n", (double)(clock() - before) / CLOCKS_PER_SEC);
	assert_string_equal(id, "invariant-too-large");
	assert_has_parts(seen.message, "|takes more to show than a load may take: it is about 20000 principals, and the work ended with user:u");
	assert_int_equal(seen.checks, 1); /* the second was not begun */
	seen_fini(&seen);
	buf_fini(&b);
}

/* ---- random policies, and brute force ---- */

struct random {
	uint64_t state;
};

static uint32_t rnd(struct random *r, uint32_t n) {
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return (uint32_t)(r->state >> 32) % n;
}

#define FROM 1774656000 /* 2026-03-28T00:00:00Z: clocks change in the night after */
#define TO (FROM + 3 * 86400)

static const char *const members[] = { "user:a@x.example", "user:b@x.example", "user:c@y.example", "serviceAccount:r@p.iam.gserviceaccount.com",
				       "group:g0",	   "group:g1",		"domain:x.example", "allAuthenticated" };
static const char *const patterns[] = { "a0" P, "a1" P, "ab" P, "'a*" P "'", "'*b" P "'", "'a*b" P "'", "'*" P "'", "'*'", "'ab*" P "'", "'*ab" P "'" };
static const char *const conditions[] = {
	"request.time < timestamp(\"2026-03-29T01:30:00Z\")",
	"request.time >= timestamp(\"2026-03-29T01:30:00Z\")",
	"request.time >= timestamp(\"2026-03-28T12:00:00.5Z\") && request.time < timestamp(\"2026-03-30T00:00:00Z\")",
	"request.time.getHours(\"Europe/Berlin\") >= 8 && request.time.getHours(\"Europe/Berlin\") < 18",
	"request.time.getHours(\"Europe/Berlin\") < 8 || request.time.getHours(\"Europe/Berlin\") >= 18",
	"request.time.getDayOfWeek() == 0",
	"request.time.getMinutes() % 30 == 0",
	"request.auth.principal.startsWith(\"user:\")",
	"request.auth.principal == \"user:z@x.example\"",
	"request.auth.principal in [\"user:a@x.example\", \"user:z@y.example\"]",
	"request.auth.principal.contains(\":q@\")",
	"!request.auth.principal.startsWith(\"user:\")",
	"resource.name.endsWith(\"/a0" P "\")",
	"!resource.name.contains(\"ab\")",
	"request.surface == \"metadata\"",
	"request.surface != \"metadata\"",
	"has(request.justification) && request.justification.startsWith(\"INC-\")",
	"request.justification == \"INC-1\"",
	"request.lifetime <= duration(\"300s\")",
	"request.permission.endsWith(\"signBlob\")",
	"request.peer.uid == 0",
	"request.time < timestamp(\"2026-03-29T00:00:00Z\") || request.surface == \"metadata\"",
	"request.surface == \"metadata\" ? request.time.getHours() < 12 : request.time.getHours() >= 12",
	"request.time + duration(\"1h\") > timestamp(\"2026-03-29T12:00:00Z\") && has(request.surface)",
	"1 / (request.time.getHours() - 3) > 0",
	"false",
	"true",
};

static void put_some(struct random *r, struct buf *b, const char *const *list, uint32_t n, uint32_t most) {
	uint32_t first = rnd(r, n);

	buf_addf(b, "[%s", list[first]);
	for (uint32_t i = 1 + rnd(r, most); i < most; i++)
		buf_addf(b, ", %s", list[(first + i) % n]);
	buf_adds(b, "]");
}

static void put_condition(struct random *r, struct buf *b, const char *key) {
	if (rnd(r, 3) == 0)
		return;
	buf_addf(b, ", %s: {expression: '%s", key, conditions[rnd(r, ARRAY_SIZE(conditions))]);
	if (rnd(r, 3) == 0) {
		buf_adds(b, rnd(r, 2) ? " && " : " || ");
		buf_addf(b, "(%s)", conditions[rnd(r, ARRAY_SIZE(conditions))]);
	}
	buf_adds(b, "'}");
}

static void put_random_policy(struct random *r, struct buf *b) {
	static const char *const windows[] = { "", "", "", ", notAfter: 2026-03-29T12:00:00Z", ", notBefore: 2026-03-29T12:00:00Z" };
	static const char *const scopes[] = { "", "", ", scopes: [openid]", ", scopes: ['https://www.googleapis.com/auth/pubsub', openid]" };
	static const char *const permissions[] = { "", "", ", permissions: [signBlob]", ", permissions: [getAccessToken, signBlob]" };
	uint32_t n = 1 + rnd(r, 4), n_denials = rnd(r, 4);

	buf_adds(b, "version: 1\ngroups:\n  g0: [user:a@x.example, group:g1]\n  g1: [user:c@y.example]\nbindings:\n");
	for (uint32_t i = 0; i < n; i++) {
		buf_addf(b, "- {name: b%u", i);
		buf_adds(b, windows[rnd(r, 5)]);
		buf_adds(b, scopes[rnd(r, 4)]);
		buf_adds(b, permissions[rnd(r, 4)]);
		buf_adds(b, ", members: ");
		put_some(r, b, members, ARRAY_SIZE(members), 2);
		buf_adds(b, ", serviceAccounts: ");
		put_some(r, b, patterns, ARRAY_SIZE(patterns), 2);
		put_condition(r, b, "condition");
		buf_adds(b, "}\n");
	}
	buf_adds(b, n_denials ? "denyRules:\n" : "");
	for (uint32_t i = 0; i < n_denials; i++) {
		buf_addf(b, "- {name: d%u%s, deniedPrincipals: ", i, permissions[rnd(r, 4)]);
		put_some(r, b, members, ARRAY_SIZE(members), 3);
		if (rnd(r, 3) == 0) {
			buf_adds(b, ", exceptionPrincipals: ");
			put_some(r, b, members, ARRAY_SIZE(members) - 1, 1);
		}
		buf_adds(b, ", serviceAccounts: ");
		put_some(r, b, patterns, ARRAY_SIZE(patterns), 2);
		put_condition(r, b, "denialCondition");
		buf_adds(b, "}\n");
	}
}

/* An invariant, and the same as a question to brute force. */
struct random_invariant {
	bool never;
	uint32_t member, pattern, exception; /* exception: ARRAY_SIZE(members): none */
	int permission;			     /* -1: any */
	bool scoped;			     /* openid */
	const char *surface, *justification;
	int64_t from, to;
};

static struct random_invariant some_invariant(struct random *r) {
	struct random_invariant v = { .permission = -1, .from = FROM, .to = TO };

	v.never = rnd(r, 3);
	v.member = rnd(r, ARRAY_SIZE(members));
	v.pattern = rnd(r, ARRAY_SIZE(patterns));
	v.exception = rnd(r, 3) ? ARRAY_SIZE(members) : rnd(r, ARRAY_SIZE(members));
	if (rnd(r, 2))
		v.from += 3600 * (int64_t)rnd(r, 70);
	if (rnd(r, 2))
		v.to = v.from + 1 + rnd(r, 90000);
	if (rnd(r, 2) || !v.never)
		v.permission = rnd(r, 3) ? PERMISSION_GET_ACCESS_TOKEN : PERMISSION_SIGN_BLOB;
	v.scoped = v.never && v.permission <= 0 && rnd(r, 4) == 0;
	v.surface = rnd(r, 3) ? NULL : rnd(r, 2) ? "metadata" : "native";
	v.justification = v.never || rnd(r, 2) ? NULL : "INC-1";
	return v;
}

static void put_date(struct buf *b, const char *key, int64_t at) {
	time_t t = (time_t)at;
	struct tm tm;
	char text[32];

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_addf(b, "%s: %s", key, text);
}

static void put_invariant(const struct random_invariant *v, struct buf *b) {
	buf_addf(b, "invariants:\n- {name: x, %s: {principal: %s, serviceAccount: %s", v->never ? "never" : "always", members[v->member],
		 patterns[v->pattern]);
	if (v->exception < ARRAY_SIZE(members))
		buf_addf(b, ", exceptionPrincipals: [%s]", members[v->exception]);
	if (v->permission >= 0)
		buf_addf(b, ", permission: %s", permission_name((enum policy_permission)v->permission));
	if (v->scoped)
		buf_adds(b, ", scopes: [openid]");
	if (v->surface)
		buf_addf(b, ", surface: %s", v->surface);
	if (v->justification)
		buf_addf(b, ", justification: %s", v->justification);
	buf_adds(b, ", time: {");
	put_date(b, "notBefore", v->from);
	put_date(b, ", notAfter", v->to);
	buf_adds(b, "}}}\n");
}

/* Who is asked about, and what each is in, by number among the members. */
static const struct asker {
	const char *name;
	unsigned in;
} askers[] = {
	{ "user:a@x.example", 1 << 0 | 1 << 4 | 1 << 6 | 1 << 7 }, { "user:b@x.example", 1 << 1 | 1 << 6 | 1 << 7 },
	{ "user:c@y.example", 1 << 2 | 1 << 4 | 1 << 5 | 1 << 7 }, { "serviceAccount:r" P, 1 << 3 | 1 << 7 },
	{ "user:z@x.example", 1 << 6 | 1 << 7 },		   { "user:z@y.example", 1 << 7 },
	{ "user:q@x.example", 1 << 6 | 1 << 7 },		   { "user:q@y.example", 1 << 7 },
	{ "principal:pipeline", 1 << 7 },
};

/* By number among the accounts a bit for each pattern that matches. */
static const struct asked_account {
	const char *name;
	unsigned fits;
} accounts[] = {
	{ "a0" P, 1 << 0 | 1 << 3 | 1 << 6 | 1 << 7 },
	{ "a1" P, 1 << 1 | 1 << 3 | 1 << 6 | 1 << 7 },
	{ "ab" P, 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9 },
	{ "ax" P, 1 << 3 | 1 << 6 | 1 << 7 },
	{ "xb" P, 1 << 4 | 1 << 6 | 1 << 7 },
	{ "axb" P, 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 },
	{ "abb" P, 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 },
	{ "abab" P, 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9 },
	{ "x" P, 1 << 6 | 1 << 7 },
	{ "a0@q.iam.gserviceaccount.com", 1 << 7 },
};

static const struct policy_query variants[] = {
	{ .auth_method = "peer", .surface = "native" },
	{ .auth_method = "peer", .surface = "metadata" },
	{ .auth_method = "peer", .surface = "native", .justification = "INC-1" },
	{ .auth_method = "peer", .surface = "metadata", .justification = "INC-7", .lifetime_s = 300 },
	{ .auth_method = "peer", .surface = "native", .lifetime_s = 60 },
	{ .auth_method = "peer", .surface = "native", .justification = "INC-1", .peer = { .known = true, .uid = 0, .gid = 0, .pid = 1 } },
	{ .auth_method = "peer" },
};

static bool is_about(const struct random_invariant *v, const struct asker *who) {
	return who->in >> v->member & 1 && !(v->exception < ARRAY_SIZE(members) && who->in >> v->exception & 1);
}

/* Whether one request breaks it. */
static bool is_broken_by(const struct policy *policy, const struct random_invariant *v, struct policy_query q, bool *seen) {
	static const char *const openid[] = { "openid" };
	struct decision decision;

	if (v->surface && (!q.surface || strcmp(v->surface, q.surface)))
		return false;
	if (v->scoped) {
		q.scopes = openid;
		q.n_scopes = 1;
	}
	*seen = true;
	policy_decide(policy, &q, &decision);
	return decision.allow == v->never;
}

static bool is_broken_at(const struct policy *policy, const struct random_invariant *v, struct policy_query q, bool *seen) {
	struct policy_query variant;

	if (!v->never) {
		q.auth_method = "peer";
		q.surface = v->surface ? v->surface : "native";
		q.justification = v->justification;
		return is_broken_by(policy, v, q, seen);
	}
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		variant = variants[i];
		variant.principal = q.principal;
		variant.service_account = q.service_account;
		variant.permission = q.permission;
		variant.now = q.now;
		if (is_broken_by(policy, v, variant, seen))
			return true;
	}
	return false;
}

static int64_t instant(const struct random_invariant *v, unsigned i, struct random *r) {
	static const int64_t hours[] = { 0, 3, 4, 6, 7, 12, 16, 17, 22, 24, 25, 27, 36, 48, 49, 54, 66 };
	unsigned n = ARRAY_SIZE(hours) * 3;

	if (i < n)
		return FROM + hours[i / 3] * 3600 + (int64_t)(i % 3) - 1;
	return i == n ? v->from : i == n + 1 ? v->to - 1 : i == n + 2 ? FROM + 25 * 3600 + 1800 : v->from + (int64_t)rnd(r, (uint32_t)(v->to - v->from));
}

/* Everybody, every account, the instants around every change and some more. */
static bool is_broken(const struct policy *policy, const struct random_invariant *v, struct random *r, bool *seen) {
	struct policy_query q = { 0 };

	for (unsigned i = 0; i < 70; i++) {
		q.now = instant(v, i, r);
		if (q.now < v->from || q.now >= v->to)
			continue;
		for (size_t w = 0; w < ARRAY_SIZE(askers); w++)
			for (size_t a = 0; a < ARRAY_SIZE(accounts); a++)
				for (int p = 0; p < N_PERMISSIONS; p++) {
					if (!is_about(v, &askers[w]) || !(accounts[a].fits >> v->pattern & 1) ||
					    (v->permission >= 0 && p != v->permission) ||
					    (p != PERMISSION_GET_ACCESS_TOKEN && (p != PERMISSION_SIGN_BLOB || v->scoped)))
						continue;
					q.principal = askers[w].name;
					q.service_account = accounts[a].name;
					q.permission = (enum policy_permission)p;
					if (is_broken_at(policy, v, q, seen))
						return true;
				}
	}
	return false;
}

/* The request that the load told, put to the policy again. */
static bool is_confirmed(const struct policy *policy, const struct random_invariant *v, const json_t *told) {
	static const char *const openid[] = { "openid" };
	struct policy_query q = { .auth_method = "peer" };
	const char *permission, *time;
	struct decision decision;
	struct tm tm = { 0 };
	json_int_t lifetime = 0;

	if (json_unpack((json_t *)told, "{s:s, s:s, s:s, s:s, s?s, s?s, s?I}", "principal", &q.principal, "serviceAccount", &q.service_account,
			"permission", &permission, "time", &time, "justification", &q.justification, "surface", &q.surface, "lifetime",
			&lifetime) < 0)
		return false;
	assert_non_null(strptime(time, "%Y-%m-%dT%H:%M:%SZ", &tm));
	assert_int_equal(permission_parse(permission, &q.permission), 0);
	q.now = timegm(&tm);
	q.lifetime_s = lifetime;
	q.scopes = openid;
	q.n_scopes = v->scoped;
	policy_decide(policy, &q, &decision);
	return decision.allow == v->never && q.now >= v->from && q.now < v->to;
}

static void test_P2_P6_what_is_said_to_hold_holds(void **state) {
	struct random r = { 0x9E3779B97F4A7C15u };
	unsigned shown[2] = { 0 }, refuted[2] = { 0 }, unshown = 0, needless = 0, n = getenv("HALLPASS_SLOW") ? RANDOM_POLICIES / 30 : RANDOM_POLICIES;

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		struct buf b = BUF_INIT(1 << 16);
		struct policy *policy;
		size_t base;

		put_random_policy(&r, &b);
		base = b.len;
		policy = load_policy((struct str){ b.data, b.len });
		for (unsigned k = 0; k < INVARIANTS_OF_EACH; k++) {
			const struct random_invariant v = some_invariant(&r);
			bool looked = false, broken = is_broken(policy, &v, &r, &looked);
			struct seen seen;
			const char *id;

			b.len = base;
			put_invariant(&v, &b);
			id = load_at((struct str){ b.data, b.len }, FROM, &seen);
			if ((!*id && broken) || (!strcmp(id, "invariant-failed") && !is_confirmed(policy, &v, seen.counterexample)))
				fail_msg("%s: %s\n%.*s", id, seen.message ? seen.message : "said to hold, and does not", (int)b.len, b.data);
			shown[v.never] += !*id && looked;
			refuted[v.never] += !strcmp(id, "invariant-failed");
			unshown += !strcmp(id, "invariant-unshown");
			needless += !strcmp(id, "invariant-unshown") && !broken;
			seen_fini(&seen);
		}
		policy_unref(policy);
		buf_fini(&b);
	}
	print_message("never: %u shown, %u refuted; always: %u, %u; %u not shown, of which brute force breaks none of %u\n", shown[1],
		      refuted[1], shown[0], refuted[0], unshown, needless);
	assert_true(shown[1] > n && refuted[1] > n && shown[0] > n / 20 && refuted[0] > n);
	assert_true(unshown < n / 3);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_P6_an_invariant_that_fails_refuses_the_policy),
		cmocka_unit_test(test_invariants_are_told_like_other_errors),
		cmocka_unit_test(test_invariants_always_sees_the_scopes_that_would_be_given),
		cmocka_unit_test(test_invariants_about_nobody_are_lint),
		cmocka_unit_test(test_invariants_follow_calendars),
		cmocka_unit_test(test_P2_P6_invariants_hold_after_dates_far_away),
		cmocka_unit_test(test_invariants_and_tests_can_be_watched),
		cmocka_unit_test(test_invariants_take_no_longer_than_a_load_may),
		cmocka_unit_test(test_P2_P6_what_is_said_to_hold_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
