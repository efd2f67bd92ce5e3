/* explain: the denied caller's sentence, the explanation, the list; and what stays hidden. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "tests/policy/load.h"

#define P "@p.iam.gserviceaccount.com"

/* TEST_NOW is 2026-11-24T15:04:05Z, a Tuesday, 16:04:05 in Berlin. */
static const struct str document = STR(
	"version: 1\n"
	"bindings:\n"
	"- name: night\n"
	"  members: ['user:alice@example.com']\n"
	"  serviceAccounts: [train" P "]\n"
	"  condition:\n"
	"    title: At night\n"
	"    expression: |\n"
	"      resource.type == \"iam.googleapis.com/ServiceAccount\" &&\n"
	"      request.time.getHours(\"Europe/Berlin\") >= 22 &&\n"
	"      (request.peer.uid == 1 || request.auth.method == \"peer\")\n"
	"- {name: late, members: ['user:alice@example.com'], serviceAccounts: [late" P "], notBefore: 2026-12-01T00:00:00Z}\n"
	"- {name: early, members: ['user:alice@example.com'], serviceAccounts: [early" P "], notAfter: 2026-11-01T00:00:00Z}\n"
	"- {name: narrow, members: ['user:alice@example.com'], serviceAccounts: [narrow" P "], scopes: [openid]}\n"
	"- {name: open, title: For all, members: ['user:alice@example.com'], serviceAccounts: [open" P ", '*@q.iam.gserviceaccount.com'], maxLifetime: 10m}\n"
	"- {name: secret, members: ['user:bob@example.com'], serviceAccounts: [secret" P ", train" P "]}\n"
	"denyRules:\n"
	"- {name: stop, deniedPrincipals: ['user:carol@example.com'], denialCondition: {title: Enough, expression: 'request.peer.uid == 0'}}\n");

static struct policy_query query_for(const char *account) {
	return (struct policy_query){ .now = TEST_NOW, .principal = "user:alice@example.com", .service_account = account,
				      .auth_method = "peer" };
}

static char *message_of(const struct policy *policy, const struct policy_query *q) {
	struct buf b = BUF_INIT(1 << 16);
	struct decision d;

	policy_decide(policy, q, &d);
	assert_false(d.allow);
	policy_denial_message(policy, q, &d, &b);
	return buf_take(&b);
}

static void test_denial_message_says_what_would_help(void **state) {
	static const struct {
		const char *account, *message;
	} cases[] = {
		{ "train" P, "binding night (At night) does not apply now: request.time.getHours(\"Europe/Berlin\") >= 22 is "
			     "false (request.time.getHours(\"Europe/Berlin\") is 16); it would be allowed at 22:00 Europe/Berlin, in 5 h 56 min" },
		{ "late" P, "binding late is not in force yet, but from 2026-12-01T00:00:00Z; it would be allowed on Tuesday 2026-12-01 at 00:00 UTC, in 6 d 9 h" },
		{ "early" P, "binding early is over; it ended at 2026-11-01T00:00:00Z" },
		{ "narrow" P, "binding narrow has none of the scopes asked for; it has openid; it would be allowed with no scope asked for" },
		{ "trian" P, "no binding lets user:alice@example.com use trian" P " (getAccessToken); did you mean train" P "?" },
		{ "secret" P, "no binding lets user:alice@example.com use secret" P " (getAccessToken)" },
		{ "no", "the request cannot be decided: the service account is not an e-mail address" },
	};
	static const char *const scope = "https://www.googleapis.com/auth/cloud-platform";
	struct policy *policy = load_policy(document);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_query q = query_for(cases[i].account);
		char *message;

		q.scopes = &scope;
		q.n_scopes = 1;
		message = message_of(policy, &q);
		if (i == 5) /* another account may look near enough; bob's binding must not be told */
			assert_null(strstr(message, "bob"));
		else
			assert_string_equal(message, cases[i].message);
		free(message);
	}
	policy_unref(policy);
}

static void test_denial_message_of_a_deny_rule(void **state) {
	struct policy *policy = load_policy(document);
	struct policy_query q = query_for("open" P);
	char *message;

	(void)state;
	q.principal = "user:carol@example.com";
	message = message_of(policy, &q);
	assert_string_equal(message, "deny rule stop (Enough) applies, because its condition cannot be evaluated: "
				     "request.peer.uid is not known");
	free(message);
	q.peer = (struct policy_peer){ .known = true };
	message = message_of(policy, &q);
	assert_string_equal(message, "deny rule stop (Enough) applies");
	free(message);
	policy_unref(policy);
}

static void test_denial_message_of_scopes_that_nobody_named(void **state) {
	struct policy *policy = load_policy(
		STR("version: 1\nbindings:\n- {name: a, members: [allAuthenticated], serviceAccounts: ['*']}\ndenyRules:\n"
		    "- {name: no, deniedPrincipals: [allAuthenticated], serviceAccounts: ['*'], denialCondition: {expression: '\"openid\" in request.scopes'}}\n"));
	struct policy_query q = query_for("open" P);
	char *message;

	(void)state;
	q.n_scopes = 0;
	message = message_of(policy, &q);
	assert_string_equal(message, "deny rule no applies, because its condition cannot be evaluated: request.scopes is not known, since no scope "
				     "was asked for: name those that are wanted");
	free(message);
	policy_unref(policy);
}

static const char *text_at(json_t *json, const char *key) {
	return json_string_value(json_object_get(json, key));
}

static void test_explain_shows_the_false_part_with_its_values(void **state) {
	struct policy *policy = load_policy(document);
	struct policy_query q = query_for("train" P);
	json_t *why = policy_explain(policy, &q, false), *candidate, *part;

	(void)state;
	assert_string_equal(text_at(why, "decision"), "DENY");
	assert_string_equal(text_at(why, "reason"), "CONDITION_FALSE");
	assert_string_equal(text_at(why, "rule"), "night");
	assert_int_equal(json_array_size(json_object_get(why, "candidates")), 1);
	candidate = json_array_get(json_object_get(why, "candidates"), 0);
	assert_string_equal(text_at(candidate, "binding"), "night");
	assert_string_equal(text_at(candidate, "result"), "CONDITION_FALSE");
	assert_int_equal(json_array_size(json_object_get(candidate, "false")), 1);
	part = json_array_get(json_object_get(candidate, "false"), 0);
	assert_string_equal(text_at(part, "expression"), "request.time.getHours(\"Europe/Berlin\") >= 22");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(part, "values"),
							    "request.time.getHours(\"Europe/Berlin\")")),
			 16);
	json_decref(why);
	policy_unref(policy);
}

static void test_explain_hides_what_does_not_concern_the_caller(void **state) {
	struct policy *policy = load_policy(document);
	struct policy_query q = query_for("train" P);
	json_t *mine = policy_explain(policy, &q, false), *all = policy_explain(policy, &q, true);
	char *text = json_dumps(mine, 0);

	(void)state;
	assert_null(strstr(text, "secret"));
	assert_null(strstr(text, "stop"));
	assert_int_equal(json_array_size(json_object_get(all, "candidates")), 7);
	free(text);
	json_decref(mine);
	json_decref(all);
	policy_unref(policy);
}

static void test_explain_agrees_when_it_allows(void **state) {
	struct policy *policy = load_policy(document);
	struct policy_query q = query_for("open" P);
	json_t *why = policy_explain(policy, &q, false);

	(void)state;
	assert_string_equal(text_at(why, "decision"), "ALLOW");
	assert_string_equal(text_at(why, "boundBy"), "maxLifetime");
	assert_int_equal(json_integer_value(json_object_get(why, "lifetime")), 600);
	assert_true(json_is_null(json_object_get(why, "until")));
	json_decref(why);
	policy_unref(policy);
}

static void test_list_names_what_the_caller_may_be(void **state) {
	static const struct {
		const char *account, *reason;
	} want[] = {
		{ "train" P, "CONDITION_FALSE" },
		{ "late" P, "NOT_YET" },
		{ "early" P, "EXPIRED" },
		{ "narrow" P, "ALLOWED" },
		{ "open" P, "ALLOWED" },
		{ "*@q.iam.gserviceaccount.com", "ALLOWED" },
	};
	struct policy *policy = load_policy(document);
	struct policy_query q = query_for(NULL);
	json_t *list = policy_list(policy, &q), *entry;

	(void)state;
	assert_int_equal(json_array_size(list), ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		entry = json_array_get(list, i);
		assert_string_equal(text_at(entry, "serviceAccount"), want[i].account);
		assert_string_equal(text_at(entry, "reason"), want[i].reason);
		assert_int_equal(json_is_true(json_object_get(entry, "allowed")), !strcmp(want[i].reason, "ALLOWED"));
	}
	assert_string_equal(text_at(json_array_get(list, 4), "title"), "For all");
	json_decref(list);
	policy_unref(policy);
}

/* Named directly, by a group, by one that it is in, by the domain and as everybody: still once, and in order. */
static void test_list_has_each_binding_once_in_order(void **state) {
	struct buf b = BUF_INIT(1 << 20);
	struct policy_query q = query_for(NULL);
	struct policy *policy;
	json_t *list;
	char name[16];

	(void)state;
	buf_adds(&b, "version: 1\ngroups: {in: ['user:alice@example.com'], out: ['group:in', 'user:bob@example.com']}\nbindings:\n");
	for (int i = 0; i < 150; i++)
		buf_addf(&b, "- {name: b%d, members: [%s'user:bob@example.com'], serviceAccounts: [a%d@p.example]}\n", i,
			 i % 3 == 0   ? "allAuthenticated, 'group:out', 'user:alice@example.com', 'domain:example.com', "
			 : i % 3 == 1 ? "'group:out', "
				      : "",
			 150 - i);
	policy = load_policy((struct str){ b.data, b.len });
	list = policy_list(policy, &q);
	assert_int_equal(json_array_size(list), 100);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "b%d", i / 2 * 3 + i % 2);
		assert_string_equal(text_at(json_array_get(list, (size_t)i), "binding"), name);
	}
	json_decref(list);
	policy_unref(policy);
	buf_fini(&b);
}

/* ---- less usual answers ---- */

static const struct str unusual = STR(
	"version: 1\n"
	"groups: {ops: ['user:dora@example.com']}\n"
	"bindings:\n"
	"- {name: sign, members: ['user:alice@example.com'], serviceAccounts: [sign" P "], permissions: [signJwt, getOpenIdToken]}\n"
	"- {name: target, members: ['user:alice@example.com'], serviceAccounts: [target" P "]}\n"
	"- {name: hop, members: ['user:alice@example.com'], serviceAccounts: [hop" P "], permissions: [implicitDelegation], notAfter: 2026-01-01T00:00:00Z}\n"
	"- {name: brief, members: ['user:alice@example.com'], serviceAccounts: [brief" P "], notAfter: 2026-11-24T15:04:07Z}\n"
	"- {name: never, members: ['user:alice@example.com'], serviceAccounts: [never" P "], condition: {expression: 'request.time < date(\"2026-01-01\") && request.time > date(\"2025-01-01\")'}}\n"
	"- {name: errs, members: ['user:alice@example.com'], serviceAccounts: [errs" P "], condition: {expression: 'request.lifetime < duration(\"60s\")'}}\n"
	"- name: values\n"
	"  members: ['user:alice@example.com']\n"
	"  serviceAccounts: [values" P "]\n"
	"  condition:\n"
	"    expression: |\n"
	"      request.auth.method == \"oidc\" && request.time > timestamp(\"2027-01-01T00:00:00Z\") &&\n"
	"      request.lifetime > duration(\"900s\") && request.scopes == [\"x\"] && !(origin.port == 80) &&\n"
	"      (request.peer.uid == 0 ? true : false) && request.auth.access_levels.exists(l, l == \"x\") && request.auth.claims.on\n"
	"- name: lines\n"
	"  members: ['user:alice@example.com']\n"
	"  serviceAccounts: [lines" P "]\n"
	"  condition:\n"
	"    expression: |\n"
	"      request.peer.uid == 1 ||\n"
	"        request.auth.method == \"x  y\" ||  \n"
	"\n"
	"      false\n"
	"denyRules:\n"
	"- {name: freeze, deniedPrincipals: [allAuthenticated], exceptionPrincipals: [group:ops], serviceAccounts: [target" P "], denialCondition: {expression: 'request.time >= timestamp(\"2026-11-24T15:10:00Z\")'}}\n");

static void test_denial_message_of_less_usual_answers(void **state) {
	static const char *const hop = "hop" P;
	static const struct {
		const char *account;
		int64_t at;
		bool delegate;
		const char *message;
	} cases[] = {
		{ "sign" P, 0, false, "no binding lets user:alice@example.com use sign" P " (getAccessToken); binding sign has getOpenIdToken" },
		{ "target" P, 0, true, "not through this delegate: binding hop is over; it ended at 2026-01-01T00:00:00Z; it would be allowed without delegate hop" P },
		{ "lines" P, 0, false, "binding lines does not apply now: request.peer.uid == 1 || request.auth.method == \"x  y\" || false is false "
				       "(request.peer.uid is 8, request.auth.method is \"peer\")" },
		{ "brief" P, 1, false, "binding brief is about to end: less than a second is left for a token" },
		{ "errs" P, 0, false, "binding errs does not apply: its condition cannot be evaluated: no such attribute: request.lifetime; it would be allowed with a lifetime of 59 s" },
	};
	struct policy *policy = load_policy(unusual);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_query q = query_for(cases[i].account);
		char *message;

		q.now += cases[i].at;
		q.peer = (struct policy_peer){ .known = true, .uid = 8 };
		q.now_ns = cases[i].at ? 500000000 : 0;
		q.delegates = &hop;
		q.n_delegates = cases[i].delegate;
		message = message_of(policy, &q);
		assert_string_equal(message, cases[i].message);
		free(message);
	}
	policy_unref(policy);
}

/* However much was false, there is room for what would help. */
static void test_denial_message_has_room_for_what_would_help(void **state) {
	struct buf b = BUF_INIT(1 << 16), message = BUF_INIT(767); /* as in a struct error */
	struct policy *policy;
	struct policy_query q = query_for("a" P);
	struct decision d;

	(void)state;
	buf_adds(&b, "version: 1\nbindings:\n- {name: b, members: ['user:alice@example.com'], serviceAccounts: [a" P "], condition: {expression: 'request.justification == \"");
	for (int i = 0; i < 50; i++)
		buf_adds(&b, "\xC3\xA4");
	buf_adds(&b, "\" || request.justification in [");
	for (int i = 0; i < 50; i++)
		buf_adds(&b, "\"\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\", ");
	buf_adds(&b, "\"x\"]'}}\n");
	policy = load_policy((struct str){ b.data, b.len });
	q.justification = "because";
	policy_decide(policy, &q, &d);
	policy_denial_message(policy, &q, &d, &message);
	assert_true(buf_ok(&message));
	assert_non_null(strstr(message.data, "\xE2\x80\xA6 is false (request.justification is \"because\"); it would be allowed with a "));
	buf_fini(&message);
	buf_fini(&b);
	policy_unref(policy);
}

static void test_denial_message_names_no_opening_that_is_not_seen(void **state) {
	struct policy *policy = load_policy(unusual);
	struct policy_query q = query_for("never" P);
	char *message = message_of(policy, &q);

	(void)state;
	assert_non_null(strstr(message, "request.time < date(\"2026-01-01\") is false"));
	assert_null(strstr(message, "allowed"));
	free(message);
	policy_unref(policy);
}

/* What each part was made of, whatever its type. */
static void test_explain_prints_values_of_all_kinds(void **state) {
	struct policy *policy = load_policy(unusual);
	struct policy_query q = query_for("values" P);
	json_t *claims = json_pack("{s:b}", "on", 0), *why;
	const char *const level = "y";
	char *text;

	(void)state;
	q.lifetime_s = 600;
	q.claims = claims;
	q.origin_port = 80;
	q.access_levels = &level;
	q.n_access_levels = 1;
	q.peer = (struct policy_peer){ .known = true, .uid = 7 };
	why = policy_explain(policy, &q, false);
	text = json_dumps(json_object_get(json_array_get(json_object_get(why, "candidates"), 0), "false"), JSON_SORT_KEYS);
	assert_string_equal(
		text,
		"[{\"expression\": \"request.auth.method == \\\"oidc\\\"\", \"values\": {\"request.auth.method\": \"peer\"}}, "
		"{\"expression\": \"request.time > timestamp(\\\"2027-01-01T00:00:00Z\\\")\", \"values\": {\"request.time\": \"2026-11-24T15:04:05Z\"}}, "
		"{\"expression\": \"request.lifetime > duration(\\\"900s\\\")\", \"values\": {\"request.lifetime\": \"600s\"}}, "
		"{\"expression\": \"request.scopes == [\\\"x\\\"]\", \"values\": {\"request.scopes\": "
		"\"[\\\"https://www.googleapis.com/auth/cloud-platform\\\"]\"}}, "
		"{\"expression\": \"!(origin.port == 80)\", \"values\": {\"origin.port\": 80}}, "
		"{\"expression\": \"(request.peer.uid == 0 ? true : false)\", \"values\": {\"request.peer.uid\": 7}}, "
		"{\"expression\": \"request.auth.access_levels.exists(l, l == \\\"x\\\")\", \"values\": {\"request.auth.access_levels\": \"[\\\"y\\\"]\"}}, "
		"{\"expression\": \"request.auth.claims.on\", \"values\": {\"request.auth.claims.on\": false}}]");
	free(text);
	json_decref(why);
	json_decref(claims);
	policy_unref(policy);
}

static json_t *candidate_named(json_t *why, const char *key, const char *name) {
	json_t *candidate;
	size_t i;

	json_array_foreach (json_object_get(why, "candidates"), i, candidate)
		if (text_at(candidate, key) && !strcmp(text_at(candidate, key), name))
			return candidate;
	return NULL;
}

static size_t told(const json_t *why, const char *result) {
	json_t *c;
	size_t i, n = 0;

	json_array_foreach (json_object_get(why, "candidates"), i, c)
		n += !strcmp(text_at(c, "result"), result);
	return n;
}

/* An answer of 1 MiB has room for it, whatever the policy: the rule that decided, the rules about the account, and a count. */
static void test_explain_of_many_rules_tells_some(void **state) {
	const unsigned n = 3000;
	struct buf b = BUF_INIT(16 << 20);
	struct policy_query q = query_for("shared" P);
	struct policy *policy;
	json_t *why;
	char *text;

	(void)state;
	buf_adds(&b, "version: 1\nbindings:\n");
	for (unsigned i = 0; i < n; i++)
		buf_addf(&b, "- {name: other%u, members: ['user:alice@example.com'], serviceAccounts: [other%u" P "]}\n"
			     "- {name: mine%u, members: ['user:alice@example.com'], serviceAccounts: [shared" P "], maxLifetime: %us,\n"
			     "   condition: {expression: 'request.justification != \"%u\" && request.time < timestamp(\"2027-01-01T00:00:00Z\")'}}\n",
			 i, i, i, 60 + i, i);
	buf_adds(&b, "- {name: bobs, members: ['user:bob@example.com'], serviceAccounts: [shared" P "]}\n");
	policy = load_policy((struct str){ b.data, b.len });
	q.justification = "x";
	why = policy_explain(policy, &q, true);
	assert_string_equal(text_at(why, "rule"), "mine2999");
	assert_non_null(candidate_named(why, "binding", "mine2999"));
	assert_non_null(candidate_named(why, "binding", "bobs"));
	assert_int_equal(told(why, "SERVICE_ACCOUNT"), 199);
	assert_in_range(told(why, "ALLOW"), 300, 2000);
	assert_int_equal(json_integer_value(json_object_get(why, "moreRules")),
			 2 * n + 1 - json_array_size(json_object_get(why, "candidates")));
	text = json_dumps(why, 0);
	assert_in_range(strlen(text), 1 << 17, 1 << 20);
	free(text);
	json_decref(why);
	why = policy_explain(policy, &q, false);
	assert_int_equal(told(why, "SERVICE_ACCOUNT"), 0);
	assert_int_equal(json_integer_value(json_object_get(why, "moreRules")), n - told(why, "ALLOW"));
	json_decref(why);
	policy_unref(policy);
	buf_fini(&b);
}

static void test_explain_tells_each_rules_result(void **state) {
	static const struct {
		const char *account, *key, *rule, *result, *also; /* also: a key that this result has */
	} cases[] = {
		{ "target" P, "denyRule", "freeze", "DOES_NOT_APPLY", "condition" },
		{ "target" P, "binding", "target", "ALLOW", "until" },
		{ "target" P, "binding", "errs", "SERVICE_ACCOUNT", "line" },
		{ "sign" P, "binding", "sign", "PERMISSION", "line" },
		{ "brief" P, "binding", "brief", "ALLOW", "boundBy" },
		{ "errs" P, "binding", "errs", "CONDITION_ERROR", "error" },
	};
	struct policy *policy = load_policy(unusual);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_query q = query_for(cases[i].account);
		json_t *why = policy_explain(policy, &q, true), *candidate = candidate_named(why, cases[i].key, cases[i].rule);

		assert_non_null(candidate);
		assert_string_equal(text_at(candidate, "result"), cases[i].result);
		assert_non_null(json_object_get(candidate, cases[i].also));
		json_decref(why);
	}
	policy_unref(policy);
}

static void test_explain_tells_who_is_excepted(void **state) {
	struct policy *policy = load_policy(unusual);
	struct policy_query q = query_for("target" P);
	json_t *why;

	(void)state;
	q.principal = "user:dora@example.com";
	why = policy_explain(policy, &q, true);
	assert_string_equal(text_at(candidate_named(why, "denyRule", "freeze"), "result"), "EXCEPTED");
	assert_string_equal(text_at(candidate_named(why, "binding", "target"), "result"), "PRINCIPAL");
	json_decref(why);
	q.principal = "nobody";
	why = policy_explain(policy, &q, true);
	assert_string_equal(text_at(why, "reason"), "INVALID");
	assert_int_equal(json_array_size(json_object_get(why, "candidates")), 0);
	json_decref(why);
	policy_unref(policy);
}

static json_t *entry_of(json_t *list, const char *account) {
	json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry)
		if (!strcmp(text_at(entry, "serviceAccount"), account))
			return entry;
	return NULL;
}

static void test_list_knows_deny_rules(void **state) {
	struct policy *policy = load_policy(unusual);
	struct policy_query q = query_for(NULL);
	json_t *list = policy_list(policy, &q), *target = entry_of(list, "target" P), *sign = entry_of(list, "sign" P);

	(void)state;
	assert_true(json_is_true(json_object_get(target, "allowed")));
	assert_string_equal(text_at(target, "until"), "2026-11-24T15:10:00Z");
	assert_true(json_is_true(json_object_get(sign, "allowed"))); /* for what it has */
	assert_int_equal(json_array_size(json_object_get(sign, "permissions")), 2);
	json_decref(list);
	q.now += 3600;
	list = policy_list(policy, &q);
	assert_string_equal(text_at(entry_of(list, "target" P), "reason"), "DENY_RULE");
	assert_true(json_is_null(json_object_get(entry_of(list, "target" P), "until")));
	json_decref(list);
	q.principal = "nobody";
	list = policy_list(policy, &q);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	policy_unref(policy);
}

/* Each account, and each pattern, is what conditions see. */
static void test_list_judges_each_account_by_its_name(void **state) {
	struct policy *policy = load_policy(STR(
		"version: 1\nbindings:\n- name: three\n  members: [user:alice@example.com]\n  serviceAccounts: [one" P ", two" P ", \"x*" P "\"]\n"
		"  condition: {expression: '!resource.name.startsWith(\"projects/-/serviceAccounts/two@\")'}\n"));
	struct policy_query q = { .now = TEST_NOW, .principal = "user:alice@example.com" };
	json_t *list = policy_list(policy, &q);

	(void)state;
	assert_true(json_is_true(json_object_get(entry_of(list, "one" P), "allowed")));
	assert_true(json_is_false(json_object_get(entry_of(list, "two" P), "allowed")));
	assert_true(json_is_true(json_object_get(entry_of(list, "x*" P), "allowed")));
	json_decref(list);
	policy_unref(policy);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_judges_each_account_by_its_name),
		cmocka_unit_test(test_denial_message_of_less_usual_answers),
		cmocka_unit_test(test_denial_message_has_room_for_what_would_help),
		cmocka_unit_test(test_denial_message_names_no_opening_that_is_not_seen),
		cmocka_unit_test(test_explain_prints_values_of_all_kinds),
		cmocka_unit_test(test_explain_tells_each_rules_result),
		cmocka_unit_test(test_explain_tells_who_is_excepted),
		cmocka_unit_test(test_list_has_each_binding_once_in_order),
		cmocka_unit_test(test_list_knows_deny_rules),
		cmocka_unit_test(test_denial_message_says_what_would_help),
		cmocka_unit_test(test_denial_message_of_a_deny_rule),
		cmocka_unit_test(test_denial_message_of_scopes_that_nobody_named),
		cmocka_unit_test(test_explain_shows_the_false_part_with_its_values),
		cmocka_unit_test(test_explain_hides_what_does_not_concern_the_caller),
		cmocka_unit_test(test_explain_of_many_rules_tells_some),
		cmocka_unit_test(test_explain_agrees_when_it_allows),
		cmocka_unit_test(test_list_names_what_the_caller_may_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
