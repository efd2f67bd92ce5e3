/* counterfactual: what would let a denied request through. Each suggestion is put to policy_decide() once more, here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "tests/policy/load.h"

#define P "@p.iam.gserviceaccount.com"
#define ALICE "user:alice@example.com"
#define SCOPE "https://www.googleapis.com/auth/"
#define DAY 86400

/* TEST_NOW is 2026-11-24T15:04:05Z, a Tuesday, 16:04:05 in Berlin. */

/* ---- a suggestion as a program would follow it ---- */

struct followed {
	struct policy_query q;
	const char *scopes[POLICY_MAX_SCOPES], *delegates[16];
};

static size_t strings_of(const json_t *list, const char **out) {
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		out[i] = json_string_value(item);
	return json_array_size(list);
}

static int64_t time_of(const char *text) {
	int y, mo, d, h, mi, s;
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };

	assert_int_equal(sscanf(text, "%d-%d-%dT%d:%d:%dZ", &y, &mo, &d, &h, &mi, &s), 6);
	return ((y - 1970) * 365LL + (y - 1969) / 4 + before[mo - 1] + (y % 4 == 0 && mo > 2) + d - 1) * DAY + h * 3600 + mi * 60 + s;
}

static void follow(const struct policy_query *q, const json_t *suggestion, struct followed *out) {
	const json_t *v;

	out->q = *q;
	if ((v = json_object_get(suggestion, "at"))) {
		out->q.now = time_of(json_string_value(v));
		out->q.now_ns = 0;
	}
	if ((v = json_object_get(suggestion, "lifetime")))
		out->q.lifetime_s = json_integer_value(v);
	if ((v = json_object_get(suggestion, "scopes"))) {
		out->q.n_scopes = strings_of(v, out->scopes);
		out->q.scopes = out->scopes;
	}
	if ((v = json_object_get(suggestion, "delegates"))) {
		out->q.n_delegates = strings_of(v, out->delegates);
		out->q.delegates = out->delegates;
	}
	if ((v = json_object_get(suggestion, "justification")))
		out->q.justification = json_string_value(v);
	if ((v = json_object_get(suggestion, "surface")))
		out->q.surface = json_string_value(v);
}

/* How many there are; fails where one does not lead to a yes, or changes nothing. */
static size_t assert_each_allows(const struct policy *policy, const struct policy_query *q, const json_t *why) {
	const json_t *list = json_object_get(why, "suggestions"), *s;
	struct decision decision;
	struct followed f;
	size_t i;

	json_array_foreach (list, i, s) {
		follow(q, s, &f);
		policy_decide(policy, &f.q, &decision);
		if (!decision.allow)
			fail_msg("not allowed: %s", json_string_value(json_object_get(s, "sentence")));
		assert_true(f.q.now >= q->now && f.q.now <= q->now + 3653 * DAY);
		assert_in_range(json_array_size(json_object_get(s, "change")), 1, 2);
	}
	return json_array_size(list);
}

/* ---- tables ---- */

static struct policy *with(const char *bindings, const char *more) {
	struct buf b = BUF_INIT(1 << 16);
	struct policy *policy;

	buf_addf(&b, "version: 1\nbindings:\n%s%s", bindings, more);
	policy = load_policy((struct str){ b.data, b.len });
	buf_fini(&b);
	return policy;
}

#define BINDING(condition) "- {name: one, members: ['" ALICE "'], serviceAccounts: [a" P "], condition: {expression: '" condition "'}}\n"
#define DENIAL(condition) "denyRules:\n- {name: no, deniedPrincipals: ['" ALICE "'], denialCondition: {expression: '" condition "'}}\n"
#define HOP(account, condition) "- {name: " account ", members: ['" ALICE "'], serviceAccounts: [" account P "], permissions: [implicitDelegation], condition: {expression: '" condition "'}}\n"
#define BERLIN(hours) "request.time.getHours(\"Europe/Berlin\") " hours

static const char *const scopes_of_two[] = { SCOPE "bigquery", SCOPE "drive" };
static const char *const scopes_of_three[] = { SCOPE "bigquery", SCOPE "drive", "openid" };
static const char *const hops[] = { "h" P, "i" P };

static const struct suggested {
	const char *bindings, *denials;
	struct policy_query q; /* who and what is filled in; now 0: TEST_NOW */
	const char *sentences; /* all of them, separated by '|' */
} table[] = {
	/* other instants */
	{ BINDING(BERLIN(">= 22")), "", { 0 }, "at 22:00 Europe/Berlin, in 5 h 56 min" },
	{ BINDING(BERLIN("< 8")), "", { 0 }, "at 00:00 Europe/Berlin, in 7 h 56 min" },
	{ BINDING("request.time >= timestamp(\"2026-11-24T15:04:50Z\")"), "", { 0 }, "at 15:04:50 UTC, in 45 s" },
	{ BINDING("request.time > timestamp(\"2026-11-24T15:10:05Z\")"), "", { 0 }, "at 15:10:06 UTC, in 7 min" },
	{ BINDING("request.time > timestamp(\"2026-11-24T15:04:05.5Z\")"), "", { 0 }, "at 15:04:06 UTC, in 1 s" },
	{ BINDING("request.time.getDayOfWeek(\"America/New_York\") == 6"), "", { 0 },
	  "on Saturday 2026-11-28 at 00:00 America/New_York, in 3 d 14 h" },
	{ BINDING("request.time.getHours(\"+05:30\") == 22"), "", { 0 }, "at 22:00 +05:30, in 1 h 26 min" },
	{ BINDING("request.time.getMonth(\"Europe/Berlin\") == 11"), "", { 0 }, "on Tuesday 2026-12-01 at 00:00 Europe/Berlin, in 6 d 8 h" },
	/* more than 31 days ahead: where nothing else helps */
	{ BINDING("request.time.getFullYear() == 2027"), "", { 0 }, "on Friday 2027-01-01 at 00:00 UTC, in 37 d 9 h" },
	{ BINDING("request.time >= timestamp(\"2030-06-01T10:00:00Z\")"), "", { 0 }, "on Saturday 2030-06-01 at 10:00 UTC, in 1285 d" },
	{ BINDING("request.time.getMonth(\"Europe/Berlin\") == 1 && request.time.getDate(\"Europe/Berlin\") == 29 && " BERLIN("== 9")), "", { 0 },
	  "on Tuesday 2028-02-29 at 09:00 Europe/Berlin, in 462 d" },
	{ BINDING("request.time.getFullYear() == 2027 || request.justification == \"x\""), "", { 0 }, "with a justification like \"x\"" },
	{ BINDING("request.time.getFullYear() == 2040"), "", { 0 }, "" },
	{ BINDING("request.time.getMonth() == 1 && request.time.getDate() == 30"), "", { 0 }, "" },
	{ BINDING("request.time < timestamp(\"2026-01-01T00:00:00Z\")"), "", { 0 }, "" },
	{ BINDING("request.time.getMinutes() == 30 && request.time.getHours() == 3 && request.time.getDayOfMonth() == 23"), "", { 0 },
	  "on Thursday 2026-12-24 at 03:30 UTC, in 29 d 13 h" },
	/* the clock is moved forward on 2027-03-28 from 02:00 to 03:00 */
	{ BINDING(BERLIN("== 2")), "", { .now = 1806192000 }, "on Monday 2027-03-29 at 02:00 Europe/Berlin, in 1 d" },
	{ "- {name: one, members: ['" ALICE "'], serviceAccounts: [a" P "], notBefore: 2026-11-25T06:00:00Z}\n", "", { 0 },
	  "at 06:00 UTC, in 14 h 56 min" },
	{ "- {name: one, members: ['" ALICE "'], serviceAccounts: [a" P "], notBefore: 2026-11-25T06:00:00Z, condition: {expression: '"
	  BERLIN("== 9") "'}}\n", "", { 0 }, "at 09:00 Europe/Berlin, in 16 h 56 min" },
	{ "- {name: one, members: ['" ALICE "'], serviceAccounts: [a" P "], notAfter: 2026-11-01T00:00:00Z}\n", "", { 0 }, "" },
	/* of several bindings the one that opens first */
	{ BINDING(BERLIN("== 23")) "- {name: two, members: ['" ALICE "'], serviceAccounts: [a" P "], notBefore: 2026-11-24T20:00:00Z}\n", "",
	  { 0 }, "at 21:00 Europe/Berlin, in 4 h 56 min" },
	/* a window that is nearly over is not good enough, the next one is */
	{ BINDING(BERLIN("< 17")), "", { .now = 1795535990, .clock_allowance_s = 30 }, "at 00:00 Europe/Berlin, in 7 h 1 min" },
	/* deny rules have to end, too: the later one counts */
	{ BINDING(BERLIN("< 24")), DENIAL("request.time < timestamp(\"2026-11-24T18:00:00Z\")"), { 0 }, "at 19:00 Europe/Berlin, in 2 h 56 min" },
	{ BINDING(BERLIN(">= 18")), DENIAL(BERLIN("< 20")), { 0 }, "at 20:00 Europe/Berlin, in 3 h 56 min" },
	{ BINDING(BERLIN(">= 18 && " BERLIN("< 20"))), DENIAL(BERLIN("< 20")), { 0 }, "" },
	{ BINDING(BERLIN("== 18")), "denyRules:\n- {name: no, deniedPrincipals: ['" ALICE "']}\n", { 0 }, "" },
	/* an error now, a yes later */
	{ BINDING("100 / (request.time.getHours() - 15) > 0"), "", { 0 }, "at 16:00 UTC, in 56 min" },
	/* scopes */
	{ BINDING("request.scopes.all(s, s.startsWith(\"" SCOPE "bigquery\"))"), "", { .scopes = scopes_of_two, .n_scopes = 2 },
	  "with scope " SCOPE "drive dropped" },
	{ BINDING("request.scopes.hasOnly([\"" SCOPE "bigquery\"])"), "", { .scopes = scopes_of_three, .n_scopes = 3 },
	  "with scopes " SCOPE "drive and openid dropped" },
	{ BINDING("request.scopes.all(s, s.endsWith(\"query\"))"), "", { .scopes = scopes_of_three, .n_scopes = 3 },
	  "with scopes " SCOPE "drive and openid dropped" },
	{ BINDING("request.scopes == [\"" SCOPE "cloud-platform\"]"), "", { .scopes = scopes_of_three, .n_scopes = 3 }, "with no scope asked for" },
	{ BINDING("size(request.scopes) == 0"), "", { .scopes = scopes_of_three, .n_scopes = 3 }, "" },
	{ BINDING("true"), DENIAL("\"openid\" in request.scopes"), { .scopes = scopes_of_three, .n_scopes = 3 }, "with scope openid dropped" },
	{ "- {name: one, members: ['" ALICE "'], serviceAccounts: [a" P "], scopes: [openid]}\n", "", { .scopes = scopes_of_two, .n_scopes = 2 },
	  "with no scope asked for" },
	/* lifetimes */
	{ BINDING("request.lifetime <= duration(\"900s\")"), "", { .lifetime_s = 3600 }, "with a lifetime of 15 min" },
	{ BINDING("request.lifetime < duration(\"1234s\")"), "", { .lifetime_s = 3600 }, "with a lifetime of 1233 s" },
	{ BINDING("request.lifetime <= duration(\"900s\")"), "", { 0 }, "with a lifetime of 15 min" },
	{ BINDING("request.lifetime >= duration(\"2h\")"), "", { .lifetime_s = 60 }, "with a lifetime of 2 h" },
	{ BINDING("request.time + request.lifetime < timestamp(\"2026-11-24T15:20:00Z\")"), "", { .lifetime_s = 3600 }, "with a lifetime of 15 min" },
	/* justifications */
	{ BINDING("request.justification.matches(\"^(INC|CHG)-[0-9]+\")"), "", { 0 }, "with a justification like \"INC-123\"" },
	{ BINDING("request.justification.startsWith(\"CHG-\")"), "", { .justification = "please" }, "with a justification like \"CHG-\"" },
	{ BINDING("request.justification != \"\""), "", { 0 }, "with a justification like \"why it is needed\"" },
	{ BINDING("request.justification == \"abc\""), "", { 0 }, "with a justification like \"abc\"" },
	{ BINDING("request.justification in [\"x\", \"y\"] && request.justification != \"x\""), "", { 0 }, "with a justification like \"y\"" },
	{ BINDING("size(request.justification) >= 30"), "", { .justification = "short" },
	  "with a justification like \"why it is needed, why it is needed\"" },
	{ BINDING("request.justification.matches(\"^[A-Z]+-[0-9]{4}\") && size(request.justification) > 12"), "", { 0 },
	  "with a justification like \"ABC-1234, why it is needed\"" },
	{ BINDING("true"), DENIAL("!has(request.justification)"), { 0 }, "with a justification like \"why it is needed\"" },
	{ BINDING("request.justification.matches(\"^[[:alpha:]]{3}[0-9]$\")"), "", { 0 }, "with a justification like \"ABC1\"" },
	{ BINDING("request.justification.matches(\"^[[:^alpha:]]{30}$\")"), "", { 0 }, "" }, /* not that simple */
	{ BINDING("request.justification.startsWith(\"INC-\") && request.justification.endsWith(\"!\")"), "", { 0 }, "with a justification like \"INC- !\"" },
	/* surfaces */
	{ BINDING("request.surface == \"metadata\""), "", { .surface = "native" }, "through the surface metadata" },
	{ BINDING("request.surface in [\"native\", \"sts\"]"), DENIAL("request.surface == \"native\""), { .surface = "native" },
	  "through the surface sts" },
	/* delegates */
	{ BINDING("true") HOP("h", "true"), "", { .delegates = hops, .n_delegates = 2 }, "without delegate i" P },
	{ BINDING("true"), "", { .delegates = hops, .n_delegates = 2 }, "without delegates h" P " and i" P },
	{ BINDING("true") HOP("h", BERLIN("== 20")) HOP("i", BERLIN(">= 19")), "", { .delegates = hops, .n_delegates = 2 },
	  "at 20:00 Europe/Berlin, in 3 h 56 min|without delegates h" P " and i" P },
	{ BINDING("true") HOP("h", "request.justification != \"\""), "", { .delegates = hops, .n_delegates = 1 },
	  "with a justification like \"why it is needed\"|without delegate h" P },
	/* several ways, the smaller change first */
	{ BINDING("request.justification.startsWith(\"INC-\") || " BERLIN("== 17")), "", { 0 },
	  "with a justification like \"INC-\"|at 17:00 Europe/Berlin, in 56 min" },
	{ BINDING("request.justification.startsWith(\"INC-\") || request.time >= timestamp(\"2026-11-24T15:06:00Z\")"), "", { 0 },
	  "at 15:06 UTC, in 2 min|with a justification like \"INC-\"" },
	/* two at once, where no single one helps */
	{ BINDING("request.justification.startsWith(\"INC-\") && " BERLIN("== 17")), "", { 0 },
	  "with a justification like \"INC-\" and at 17:00 Europe/Berlin, in 56 min" },
	{ BINDING("request.justification.startsWith(\"INC-\") && request.lifetime <= duration(\"10m\")"), "", { .lifetime_s = 3600 },
	  "with a lifetime of 10 min and with a justification like \"INC-\"" },
	{ BINDING("request.lifetime <= duration(\"10m\") && " BERLIN("== 17")), DENIAL("!has(request.justification)"), { .lifetime_s = 3600 }, "" },
	/* nobody can change these */
	{ BINDING("request.peer.uid == 7"), "", { .peer = { .known = true, .uid = 8 } }, "" },
	{ BINDING("request.auth.principal == \"user:bob@example.com\""), "", { 0 }, "" },
};

static void assert_suggested(const struct suggested *row) {
	struct policy *policy = with(row->bindings, row->denials);
	struct policy_query q = row->q;
	struct buf said = BUF_INIT(1 << 16);
	json_t *why, *s;
	size_t i;

	q.now = q.now ? q.now : TEST_NOW;
	q.principal = ALICE;
	q.service_account = "a" P;
	q.auth_method = "peer";
	why = policy_explain(policy, &q, false);
	assert_string_equal(json_string_value(json_object_get(why, "decision")), "DENY");
	assert_each_allows(policy, &q, why);
	json_array_foreach (json_object_get(why, "suggestions"), i, s)
		buf_addf(&said, "%s%s", i ? "|" : "", json_string_value(json_object_get(s, "sentence")));
	if (strcmp(said.data ? said.data : "", row->sentences))
		fail_msg("%s%s\nsaid:     %s\nexpected: %s", row->bindings, row->denials, said.data ? said.data : "", row->sentences);
	buf_fini(&said);
	json_decref(why);
	policy_unref(policy);
}

static void test_suggestions(void **state) {
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_suggested(&table[i]);
}

static void test_suggestions_have_their_data(void **state) {
	struct policy *policy = with(BINDING("request.justification.startsWith(\"INC-\") && request.time > timestamp(\"2026-11-24T16:00:00Z\")"), "");
	struct policy_query q = { .now = TEST_NOW, .principal = ALICE, .service_account = "a" P };
	json_t *why = policy_explain(policy, &q, false);
	char *text = json_dumps(json_object_get(why, "suggestions"), 0);

	(void)state;
	assert_string_equal(text, "[{\"change\": [\"justification\", \"time\"], \"sentence\": \"with a justification like \\\"INC-\\\" and at 16:00:01 UTC, "
				  "in 56 min\", \"justification\": \"INC-\", \"at\": \"2026-11-24T16:00:01Z\"}]");
	free(text);
	json_decref(why);
	q.now = time_of("2026-11-24T17:00:00Z");
	q.justification = "INC-1";
	why = policy_explain(policy, &q, false);
	assert_null(json_object_get(why, "suggestions")); /* it is allowed */
	json_decref(why);
	q.principal = "nobody";
	why = policy_explain(policy, &q, false);
	assert_null(json_object_get(why, "suggestions")); /* it cannot be decided */
	json_decref(why);
	policy_unref(policy);
}

/* What a caller is told comes from rules that are about him, not even by example. */
static void test_suggestions_tell_nothing_of_other_peoples_rules(void **state) {
	static const char bob[] =
		BINDING("request.justification.startsWith(\"INC-\")")
		"- {name: bobs, members: ['user:bob@example.com'], serviceAccounts: [a" P "], condition: {expression: 'request.justification.startsWith(\"SECRET-\")'}}\n"
		"- {name: elsewhere, members: ['" ALICE "'], serviceAccounts: [b" P "], condition: {expression: 'request.justification.startsWith(\"SECRET-\")'}}\n"
		"- {name: other, members: ['" ALICE "'], serviceAccounts: [a" P "], permissions: [signBlob], condition: {expression: 'request.surface == \"SECRET\"'}}\n";
	static const char denials[] =
		"denyRules:\n- {name: bobs-no, deniedPrincipals: ['user:bob@example.com'], denialCondition: {expression: 'request.justification.startsWith(\"SECRET-\")'}}\n"
		"- {name: excepted, deniedPrincipals: [allAuthenticated], exceptionPrincipals: ['" ALICE "'], denialCondition: {expression: 'request.time < timestamp(\"2026-11-24T18:11:11Z\")'}}\n";
	struct policy *policy = with(bob, denials);
	struct policy_query q = { .now = TEST_NOW, .principal = ALICE, .service_account = "a" P };
	json_t *why = policy_explain(policy, &q, false);
	char *text = json_dumps(why, 0);

	(void)state;
	assert_int_equal(assert_each_allows(policy, &q, why), 1);
	assert_non_null(strstr(text, "INC-"));
	assert_null(strstr(text, "SECRET"));
	assert_null(strstr(text, "bob"));
	assert_null(strstr(text, "11:11"));
	free(text);
	json_decref(why);
	policy_unref(policy);
}

/* ---- any policy: what is suggested is allowed; and where time alone helps, not a minute before ---- */

static uint64_t seed;

static unsigned below(unsigned n) {
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static const char *one_of(const char *const *list, size_t n) {
	return list[below((unsigned)n)];
}

/* All turn at whole minutes alone, or never. */
static void add_atom(struct buf *out) {
	static const char *const zones[] = { "\"Europe/Berlin\"", "\"America/New_York\"", "\"Asia/Kolkata\"", "\"+03:30\"", "" };
	static const char *const others[] = {
		"request.justification.matches(\"^(INC|CHG)-[0-9]+\")",
		"request.justification != \"\"",
		"request.lifetime <= duration(\"900s\")",
		"request.scopes.all(s, s == \"openid\")",
		"request.surface == \"sts\"",
		"has(request.justification)",
		"size(request.justification) > 20",
		"request.peer.uid == 3",
	};
	static const char *const compare[] = { "<", "<=", ">", ">=", "==", "!=" };

	switch (below(6)) {
	case 0:
		buf_addf(out, "request.time.getHours(%s) %s %u", one_of(zones, ARRAY_SIZE(zones)), one_of(compare, 6), below(24));
		break;
	case 1:
		buf_addf(out, "request.time.getDayOfWeek(%s) in [%u, %u]", one_of(zones, ARRAY_SIZE(zones)), below(7), below(7));
		break;
	case 2:
		buf_addf(out, "request.time.getDate(%s) %s %u", one_of(zones, ARRAY_SIZE(zones)), one_of(compare, 6), 1 + below(31));
		break;
	case 3:
		buf_addf(out, "request.time >= timestamp(\"2026-%02u-%02uT%02u:%02u:00Z\")", 11 + below(2), 1 + below(30), below(24), below(60));
		break;
	case 4:
		buf_addf(out, "request.time + duration(\"%um\") < timestamp(\"2026-12-%02uT%02u:%02u:00Z\")", below(600), 1 + below(31), below(24),
			 below(60));
		break;
	default:
		buf_adds(out, one_of(others, ARRAY_SIZE(others)));
	}
}

static void add_condition(struct buf *out, int depth) {
	if (depth == 0 || below(3) == 0) {
		add_atom(out);
		return;
	}
	buf_adds(out, below(5) ? "(" : "!(");
	add_condition(out, depth - 1);
	buf_adds(out, below(2) ? " && " : " || ");
	add_condition(out, depth - 1);
	buf_adds(out, ")");
}

static struct policy *random_policy(void) {
	struct buf b = BUF_INIT(1 << 16);
	struct policy *policy;

	buf_adds(&b, "version: 1\nbindings:\n");
	for (unsigned i = 0, n = 1 + below(3); i < n; i++) {
		buf_addf(&b, "- {name: b%u, members: ['" ALICE "'], serviceAccounts: [a" P "], condition: {expression: '", i);
		add_condition(&b, 3);
		buf_adds(&b, "'}}\n");
	}
	if (below(2)) {
		buf_adds(&b, "denyRules:\n- {name: d, deniedPrincipals: ['" ALICE "'], denialCondition: {expression: '");
		add_condition(&b, 2);
		buf_adds(&b, "'}}\n");
	}
	policy = load_policy((struct str){ b.data, b.len });
	buf_fini(&b);
	return policy;
}

static void random_query(struct policy_query *q) {
	*q = (struct policy_query){ .now = TEST_NOW + below(12 * DAY), .now_ns = below(2) * 500000000, .principal = ALICE,
				    .service_account = "a" P, .auth_method = "peer", .surface = "native", .clock_allowance_s = below(2) * 30 };
	q->lifetime_s = below(2) ? 3600 : 0;
	q->justification = below(3) ? NULL : "x";
	q->scopes = scopes_of_three + 1;
	q->n_scopes = below(3);
	q->peer = (struct policy_peer){ .known = true, .uid = 2 };
}

/* The first whole minute within 31 days at which it is allowed; 0: none. */
static int64_t brute_force(const struct policy *policy, const struct policy_query *query) {
	struct policy_query q = *query;
	struct decision decision;

	q.now_ns = 0;
	for (q.now = query->now / 60 * 60 + 60; q.now <= query->now + 31 * DAY; q.now += 60) {
		policy_decide(policy, &q, &decision);
		if (decision.allow)
			return q.now;
	}
	return 0;
}

static int64_t suggested_time(const json_t *why) {
	const json_t *s, *changes;
	size_t i;

	json_array_foreach (json_object_get(why, "suggestions"), i, s) {
		changes = json_object_get(s, "change");
		if (json_array_size(changes) == 1 && json_object_get(s, "at"))
			return time_of(json_string_value(json_object_get(s, "at")));
	}
	return 0;
}

static void test_suggestions_always_allow(void **state) {
	unsigned rounds = getenv("HALLPASS_SLOW") ? 200 : 3000, denied = 0, helped = 0, timed = 0;

	(void)state;
	seed = 1;
	for (unsigned i = 0; i < rounds; i++) {
		struct policy *policy = random_policy();
		struct policy_query q;
		json_t *why;

		random_query(&q);
		why = policy_explain(policy, &q, false);
		if (!strcmp(json_string_value(json_object_get(why, "decision")), "DENY")) {
			denied++;
			helped += assert_each_allows(policy, &q, why) > 0;
			if (i % 20 == 0) {
				int64_t at = suggested_time(why), soon = at <= q.now + 31 * DAY ? at : 0;

				assert_int_equal(soon, brute_force(policy, &q));
				timed += soon > 0;
			}
		}
		json_decref(why);
		policy_unref(policy);
	}
	assert_true(helped > denied / 2 && denied > rounds / 3);
	assert_true(rounds < 1000 || timed > 10);
	print_message("%u denials, %u with a suggestion, %u instants found by brute force as well\n", denied, helped, timed);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suggestions),
		cmocka_unit_test(test_suggestions_have_their_data),
		cmocka_unit_test(test_suggestions_tell_nothing_of_other_peoples_rules),
		cmocka_unit_test(test_suggestions_always_allow),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
