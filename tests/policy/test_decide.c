/* decide: who, what, until when, and which rule is named. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "hallpass/cleanup.h"
#include "tests/policy/heap.h"
#include "tests/policy/load.h"

#define CLOUD "https://www.googleapis.com/auth/cloud-platform"
#define LOGS "https://www.googleapis.com/auth/logging.read"
#define DRIVE "https://www.googleapis.com/auth/drive"
#define AT(s) (TEST_NOW + (s))

/* TEST_NOW is 2026-11-24T15:04:05Z. */
static const struct str document = STR(
	"version: 1\n"
	"defaults: {maxLifetime: 15m}\n"
	"groups:\n"
	"  inner: [user:in@example.com, 'domain:corp.example']\n"
	"  outer: [group:inner, 'serviceAccount:robot@p.iam.gserviceaccount.com']\n"
	"  everybody: [allAuthenticated]\n"
	"bindings:\n"
	"- {name: plain, members: ['user:Alice@Example.com'], serviceAccounts: [One@p.iam.gserviceaccount.com]}\n"
	"- {name: longer, members: ['user:alice@example.com', 'user:alice@example.com'], serviceAccounts: [two@p.iam.gserviceaccount.com], maxLifetime: 1h}\n"
	"- {name: longer-too, members: ['user:alice@example.com'], serviceAccounts: [two@p.iam.gserviceaccount.com], maxLifetime: 1h}\n"
	"- {name: short, members: ['user:alice@example.com'], serviceAccounts: [two@p.iam.gserviceaccount.com], maxLifetime: 5m}\n"
	"- {name: nested, members: ['group:outer'], serviceAccounts: [three@p.iam.gserviceaccount.com]}\n"
	"- {name: glob, members: ['principal:x/y'], serviceAccounts: ['ml-*-sa@p.iam.gserviceaccount.com', '*@q.iam.gserviceaccount.com']}\n"
	"- {name: all, members: [group:everybody], serviceAccounts: [open@p.iam.gserviceaccount.com], scopes: [" LOGS ", openid]}\n"
	"- {name: later, members: ['user:alice@example.com'], serviceAccounts: [win@p.iam.gserviceaccount.com], notBefore: 2026-11-24T15:04:10Z, notAfter: 2026-11-24T15:10:00Z}\n"
	"- {name: signer, members: ['user:alice@example.com'], serviceAccounts: [sign@p.iam.gserviceaccount.com], permissions: [signJwt]}\n"
	"- {name: hop, members: ['user:alice@example.com'], serviceAccounts: [hop@p.iam.gserviceaccount.com], permissions: [implicitDelegation], maxLifetime: 2m}\n"
	"- {name: frozen, members: ['allAuthenticated'], serviceAccounts: [frozen@p.iam.gserviceaccount.com]}\n"
	"denyRules:\n"
	"- {name: freeze, deniedPrincipals: [allAuthenticated], exceptionPrincipals: [group:inner], serviceAccounts: [frozen@p.iam.gserviceaccount.com], permissions: [getAccessToken]}\n"
	"- {name: no-mallory, deniedPrincipals: ['user:mallory@example.com']}\n");

struct want {
	const char *principal, *account; /* account: its local part at p, or an address */
	int64_t at, lifetime, ceiling, allowance;
	enum policy_permission permission;
	const char *scope, *delegate;
	enum decision_reason reason;
	const char *rule;
	int64_t got_lifetime, expires_by;
	enum bound_by bound_by;
};

#define ALICE "user:alice@example.com"
#define IN "user:in@example.com"

static const struct want cases[] = {
	/* who */
	{ ALICE, "one", 0, .reason = REASON_ALLOWED, .rule = "plain", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ "user:ALICE@example.COM", "ONE", 0, .reason = REASON_ALLOWED, .rule = "plain", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ "user:bob@example.com", "one", 0, .reason = REASON_NO_BINDING },
	{ "serviceAccount:alice@example.com", "one", 0, .reason = REASON_NO_BINDING },
	{ "principal:alice@example.com", "one", 0, .reason = REASON_NO_BINDING },
	{ IN, "three", 0, .reason = REASON_ALLOWED, .rule = "nested", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ "user:x@corp.example", "three", 0, .reason = REASON_ALLOWED, .rule = "nested", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ "user:x@sub.corp.example", "three", 0, .reason = REASON_NO_BINDING },
	{ "serviceAccount:x@corp.example", "three", 0, .reason = REASON_NO_BINDING },
	{ "serviceAccount:robot@p.iam.gserviceaccount.com", "three", 0, .reason = REASON_ALLOWED, .rule = "nested", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ "principal:x/y", "ml-a-sa", 0, .reason = REASON_ALLOWED, .rule = "glob", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ "principal:x/y", "ml--sa", 0, .reason = REASON_ALLOWED, .rule = "glob", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ "principal:x/y", "ml-sa", 0, .reason = REASON_NO_BINDING },
	{ "principal:x/y", "a@q.iam.gserviceaccount.com", 0, .reason = REASON_ALLOWED, .rule = "glob", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ "principal:x/y", "a@xq.iam.gserviceaccount.com", 0, .reason = REASON_NO_BINDING },
	{ "principal:x/Y", "ml-a-sa", 0, .reason = REASON_NO_BINDING },
	/* malformed */
	{ "alice@example.com", "one", 0, .reason = REASON_INVALID },
	{ "group:inner", "three", 0, .reason = REASON_INVALID },
	{ "domain:corp.example", "three", 0, .reason = REASON_INVALID },
	{ "allAuthenticated", "open", 0, .reason = REASON_INVALID },
	{ "user:a@b@example.com", "open", 0, .reason = REASON_INVALID },
	{ "", "open", 0, .reason = REASON_INVALID },
	{ NULL, "open", 0, .reason = REASON_INVALID },
	{ ALICE, "not an address@p.iam.gserviceaccount.com", 0, .reason = REASON_INVALID },
	{ ALICE, "*@p.iam.gserviceaccount.com", 0, .reason = REASON_INVALID },
	{ ALICE, "one", 0, .lifetime = -1, .reason = REASON_INVALID },
	{ ALICE, "one", 0, .scope = "cloud-platform", .reason = REASON_INVALID },
	{ ALICE, "one", INT64_MAX - TEST_NOW, .reason = REASON_INVALID },
	{ ALICE, "one", 0, .allowance = INT64_MAX, .reason = REASON_INVALID },
	{ ALICE, "one", 0, .permission = N_PERMISSIONS, .reason = REASON_INVALID },
	/* how long */
	{ ALICE, "two", 0, .reason = REASON_ALLOWED, .rule = "longer", .got_lifetime = 3600, .bound_by = BOUND_BY_MAX_LIFETIME, .expires_by = AT(3600) },
	{ ALICE, "two", 0, .lifetime = 60, .reason = REASON_ALLOWED, .rule = "longer", .got_lifetime = 60, .bound_by = BOUND_BY_REQUEST, .expires_by = AT(60) },
	{ ALICE, "two", 0, .lifetime = 7200, .reason = REASON_ALLOWED, .rule = "longer", .got_lifetime = 3600, .bound_by = BOUND_BY_MAX_LIFETIME, .expires_by = AT(3600) },
	{ ALICE, "two", 0, .lifetime = INT64_MAX, .reason = REASON_ALLOWED, .rule = "longer", .got_lifetime = 3600, .bound_by = BOUND_BY_MAX_LIFETIME, .expires_by = AT(3600) },
	{ ALICE, "two", 0, .ceiling = 600, .reason = REASON_ALLOWED, .rule = "longer", .got_lifetime = 600, .bound_by = BOUND_BY_CEILING, .expires_by = AT(600) },
	{ ALICE, "one", 0, .lifetime = 3600, .reason = REASON_ALLOWED, .rule = "plain", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ ALICE, "one", 0, .allowance = 10, .reason = REASON_ALLOWED, .rule = "plain", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(910) },
	/* the window 15:04:10 .. 15:10:00 is 5 s .. 355 s away */
	{ ALICE, "win", 0, .reason = REASON_NOT_YET, .rule = "later" },
	{ ALICE, "win", 4, .reason = REASON_NOT_YET, .rule = "later" },
	{ ALICE, "win", 5, .reason = REASON_ALLOWED, .rule = "later", .got_lifetime = 350, .bound_by = BOUND_BY_NOT_AFTER, .expires_by = AT(355) },
	{ ALICE, "win", 5, .allowance = 10, .reason = REASON_ALLOWED, .rule = "later", .got_lifetime = 340, .bound_by = BOUND_BY_NOT_AFTER, .expires_by = AT(355) },
	{ ALICE, "win", 5, .lifetime = 340, .allowance = 10, .reason = REASON_ALLOWED, .rule = "later", .got_lifetime = 340, .bound_by = BOUND_BY_REQUEST, .expires_by = AT(355) },
	{ ALICE, "win", 354, .reason = REASON_ALLOWED, .rule = "later", .got_lifetime = 1, .bound_by = BOUND_BY_NOT_AFTER, .expires_by = AT(355) },
	{ ALICE, "win", 354, .allowance = 1, .reason = REASON_WINDOW_CLOSING, .rule = "later" },
	{ ALICE, "win", 355, .reason = REASON_EXPIRED, .rule = "later" },
	/* what */
	{ ALICE, "one", 0, .permission = PERMISSION_SIGN_JWT, .reason = REASON_NO_BINDING },
	{ ALICE, "sign", 0, .permission = PERMISSION_SIGN_JWT, .reason = REASON_ALLOWED, .rule = "signer", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ ALICE, "sign", 0, .reason = REASON_NO_BINDING },
	{ ALICE, "one", 0, .scope = LOGS, .reason = REASON_ALLOWED, .rule = "plain", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ ALICE, "one", 0, .scope = DRIVE, .reason = REASON_SCOPE, .rule = "plain" },
	{ ALICE, "open", 0, .scope = CLOUD, .reason = REASON_SCOPE, .rule = "all" },
	{ ALICE, "open", 0, .scope = LOGS, .reason = REASON_ALLOWED, .rule = "all", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	/* through whom */
	{ ALICE, "one", 0, .delegate = "hop@p.iam.gserviceaccount.com", .reason = REASON_ALLOWED, .rule = "plain", .got_lifetime = 120, .bound_by = BOUND_BY_MAX_LIFETIME, .expires_by = AT(120) },
	{ ALICE, "one", 0, .delegate = "two@p.iam.gserviceaccount.com", .reason = REASON_DELEGATE },
	{ ALICE, "one", 0, .delegate = "hop", .reason = REASON_INVALID },
	{ ALICE, "hop", 0, .reason = REASON_NO_BINDING },
	/* never */
	{ ALICE, "frozen", 0, .reason = REASON_DENY_RULE, .rule = "freeze" },
	{ IN, "frozen", 0, .reason = REASON_ALLOWED, .rule = "frozen", .got_lifetime = 900, .bound_by = BOUND_BY_DEFAULT, .expires_by = AT(900) },
	{ "user:mallory@example.com", "open", 0, .reason = REASON_DENY_RULE, .rule = "no-mallory" },
	{ "user:mallory@example.com", "none", 0, .reason = REASON_DENY_RULE, .rule = "no-mallory" },
};

static void decide(const struct policy *policy, const struct want *c, struct decision *d) {
	char account[400];

	snprintf(account, sizeof(account), strchr(c->account, '@') ? "%s" : "%s@p.iam.gserviceaccount.com", c->account);
	policy_decide(policy,
		      &(struct policy_query){ .now = AT(c->at), .principal = c->principal, .service_account = account,
					      .permission = c->permission, .lifetime_s = c->lifetime,
					      .ceiling_s = c->ceiling, .clock_allowance_s = c->allowance,
					      .scopes = &c->scope, .n_scopes = c->scope != NULL,
					      .delegates = &c->delegate, .n_delegates = c->delegate != NULL },
		      d);
}

static unsigned rnd(unsigned *seed, unsigned n) {
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % n;
}

static bool same(const char *a, const char *b) {
	return a == b || (a && b && !strcmp(a, b));
}

static void test_decide_table(void **state) {
	struct policy *policy = load_policy(document);
	struct decision d;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct want *c = &cases[i];

		decide(policy, c, &d);
		if (d.reason != c->reason || d.allow != (c->reason == REASON_ALLOWED) || !same(d.rule, c->rule) ||
		    d.lifetime_s != c->got_lifetime || d.bound_by != c->bound_by || d.expires_by != c->expires_by)
			fail_msg("case %zu (%s as %s): %s by %s, %lld s bound by %s, expires in %lld s", i, c->principal,
				 c->account, decision_reason_name(d.reason), d.rule ? d.rule : "-",
				 (long long)d.lifetime_s, bound_by_name(d.bound_by), (long long)(d.expires_by - AT(0)));
	}
	policy_unref(policy);
}

static void test_p3_a_zeroed_decision_denies(void **state) {
	struct decision d = { 0 };

	(void)state;
	assert_false(d.allow);
	assert_int_equal(d.reason, REASON_NONE);
}

static void test_decide_intersects_scopes(void **state) {
	static const char *const gcloud[] = {
		"openid", "https://www.googleapis.com/auth/userinfo.email", CLOUD,
		"https://www.googleapis.com/auth/appengine.admin", "https://www.googleapis.com/auth/sqlservice.login",
		"https://www.googleapis.com/auth/compute", "https://www.googleapis.com/auth/accounts.reauth",
		DRIVE, "https://www.googleapis.com/auth/admin.directory.user", "https://mail.google.com/",
		"https://www.googleapis.com/auth/gmail.readonly", "https://www.googleapis.com/auth/bigqueryx",
	};
	struct policy *policy = load_policy(document);
	struct policy_query q = { .now = TEST_NOW, .principal = ALICE, .service_account = "one@p.iam.gserviceaccount.com",
				  .scopes = gcloud, .n_scopes = ARRAY_SIZE(gcloud) };
	struct decision d;

	(void)state;
	policy_decide(policy, &q, &d);
	assert_true(d.allow);
	assert_int_equal(d.n_scopes, 7);
	for (size_t i = 0; i < d.n_scopes; i++)
		assert_string_equal(d.scopes[i], gcloud[i]);
	q.n_scopes = 0;
	policy_decide(policy, &q, &d);
	assert_int_equal(d.n_scopes, 1);
	assert_string_equal(d.scopes[0], CLOUD);
	q.service_account = "open@p.iam.gserviceaccount.com";
	policy_decide(policy, &q, &d);
	assert_int_equal(d.n_scopes, 2);
	q.n_scopes = POLICY_MAX_SCOPES + 1;
	policy_decide(policy, &q, &d);
	assert_int_equal(d.reason, REASON_INVALID);
	policy_unref(policy);
}

/* ---- conditions ---- */

#define COND(name, expression, more)                                                                                   \
	"- {name: " name ", members: [allAuthenticated], serviceAccounts: [" name "@p.iam.gserviceaccount.com], "       \
	"condition: {title: T, expression: '" expression "'}" more "}\n"
#define DENY(name, account, expression)                                                                                \
	"- {name: " name ", deniedPrincipals: [allAuthenticated], serviceAccounts: [" account                            \
	"@p.iam.gserviceaccount.com], denialCondition: {expression: '" expression "'}}\n"
#define FREE(name) "- {name: " name ", members: [allAuthenticated], serviceAccounts: [" name "@p.iam.gserviceaccount.com]}\n"

static const struct str conditional = STR(
	"version: 1\nbindings:\n"
	COND("yes", "true", "") COND("no", "false", "")
	COND("peer", "request.peer.uid == 1000 && request.peer.exe.startsWith(\"/usr/bin/\")", "")
	COND("until", "request.time < timestamp(\"2026-11-24T15:06:00Z\")", "")
	COND("office", "request.time.getHours(\"Europe/Berlin\") >= 8 && request.time.getHours(\"Europe/Berlin\") < 18", "")
	COND("name", "resource.name == \"projects/-/serviceAccounts/name@p.iam.gserviceaccount.com\" && resource.type == \"iam.googleapis.com/ServiceAccount\" && resource.service == \"iam.googleapis.com\"", "")
	COND("life", "request.lifetime <= duration(\"600s\")", "")
	COND("who", "request.auth.principal == \"user:alice@example.com\" && request.auth.method == \"peer\" && \"ci\" in request.auth.claims.groups && \"l\" in request.auth.access_levels", "")
	COND("attr", "api.getAttribute(\"x\", \"d\") == \"d\" && request.permission == \"iam.serviceAccounts.getAccessToken\" && request.scopes == [\"https://www.googleapis.com/auth/cloud-platform\"]", "")
	FREE("later-denied") FREE("denied") FREE("err-denied")
	"denyRules:\n"
	DENY("soon", "later-denied", "request.time >= timestamp(\"2026-11-24T15:05:00Z\")")
	DENY("now", "denied", "request.time >= timestamp(\"2026-11-24T15:04:05Z\")")
	DENY("broken", "err-denied", "request.peer.uid == 1"));

static void test_decide_conditions(void **state) {
	static const struct want conditions[] = {
		{ ALICE, "yes", 0, .reason = REASON_ALLOWED, .rule = "yes", .got_lifetime = 3600, .bound_by = BOUND_BY_DEFAULT },
		{ ALICE, "no", 0, .reason = REASON_CONDITION_FALSE, .rule = "no" },
		{ ALICE, "peer", 0, .reason = REASON_CONDITION_ERROR, .rule = "peer" },
		{ ALICE, "until", 0, .reason = REASON_ALLOWED, .rule = "until", .got_lifetime = 115, .bound_by = BOUND_BY_CONDITION },
		{ ALICE, "until", 114, .reason = REASON_ALLOWED, .rule = "until", .got_lifetime = 1, .bound_by = BOUND_BY_CONDITION },
		{ ALICE, "until", 114, .allowance = 1, .reason = REASON_WINDOW_CLOSING, .rule = "until" },
		{ ALICE, "until", 115, .reason = REASON_CONDITION_FALSE, .rule = "until" },
		{ ALICE, "until", 0, .lifetime = 60, .reason = REASON_ALLOWED, .rule = "until", .got_lifetime = 60, .bound_by = BOUND_BY_REQUEST },
		/* 15:04:05Z is 16:04:05 in Berlin; 18:00:00 is 6955 s away */
		{ ALICE, "office", 0, .reason = REASON_ALLOWED, .rule = "office", .got_lifetime = 3600, .bound_by = BOUND_BY_DEFAULT },
		{ ALICE, "office", 6900, .reason = REASON_ALLOWED, .rule = "office", .got_lifetime = 55, .bound_by = BOUND_BY_CONDITION },
		{ ALICE, "office", 6955, .reason = REASON_CONDITION_FALSE, .rule = "office" },
		{ ALICE, "name", 0, .reason = REASON_ALLOWED, .rule = "name", .got_lifetime = 3600, .bound_by = BOUND_BY_DEFAULT },
		{ ALICE, "life", 0, .lifetime = 600, .reason = REASON_ALLOWED, .rule = "life", .got_lifetime = 600, .bound_by = BOUND_BY_REQUEST },
		{ ALICE, "life", 0, .lifetime = 601, .reason = REASON_CONDITION_FALSE, .rule = "life" },
		{ ALICE, "life", 0, .reason = REASON_CONDITION_ERROR, .rule = "life" },
		{ ALICE, "attr", 0, .reason = REASON_ALLOWED, .rule = "attr", .got_lifetime = 3600, .bound_by = BOUND_BY_DEFAULT },
		{ ALICE, "later-denied", 0, .reason = REASON_ALLOWED, .rule = "later-denied", .got_lifetime = 55, .bound_by = BOUND_BY_DENIAL_CONDITION },
		{ ALICE, "later-denied", 55, .reason = REASON_DENY_RULE, .rule = "soon" },
		{ ALICE, "denied", 0, .reason = REASON_DENY_RULE, .rule = "now" },
		{ ALICE, "err-denied", 0, .reason = REASON_DENY_RULE_ERROR, .rule = "broken" },
	};
	struct policy *policy = load_policy(conditional);
	struct decision d;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
		const struct want *c = &conditions[i];

		decide(policy, c, &d);
		if (d.reason != c->reason || !same(d.rule, c->rule) || d.lifetime_s != c->got_lifetime ||
		    d.bound_by != c->bound_by)
			fail_msg("case %zu (%s): %s by %s, %lld s bound by %s", i, c->account,
				 decision_reason_name(d.reason), d.rule ? d.rule : "-", (long long)d.lifetime_s,
				 bound_by_name(d.bound_by));
	}
	policy_unref(policy);
}

static void test_decide_binds_attributes(void **state) {
	static const char *const levels[] = { "l" };
	struct policy *policy = load_policy(conditional);
	json_t *claims = json_pack("{s:[s, s]}", "groups", "dev", "ci");
	struct policy_query q = { .now = TEST_NOW, .principal = ALICE, .auth_method = "peer", .claims = claims,
				  .access_levels = levels, .n_access_levels = 1,
				  .service_account = "who@p.iam.gserviceaccount.com",
				  .peer = { .known = true, .uid = 1000, .exe = "/usr/bin/gcloud" } };
	struct decision d;

	(void)state;
	policy_decide(policy, &q, &d);
	assert_string_equal(decision_reason_name(d.reason), "ALLOWED");
	q.claims = NULL;
	policy_decide(policy, &q, &d);
	assert_int_equal(d.reason, REASON_CONDITION_ERROR);
	q.service_account = "peer@p.iam.gserviceaccount.com";
	policy_decide(policy, &q, &d);
	assert_string_equal(decision_reason_name(d.reason), "ALLOWED");
	q.peer.exe = "/tmp/x";
	policy_decide(policy, &q, &d);
	assert_int_equal(d.reason, REASON_CONDITION_FALSE);
	q.peer.exe = "/usr/bin/gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9D\x84\x9E";
	policy_decide(policy, &q, &d);
	assert_true(d.allow);
	q.peer.exe = "/usr/bin/\xff";
	policy_decide(policy, &q, &d);
	assert_int_equal(d.reason, REASON_CONDITION_ERROR);
	q.peer.exe = NULL;
	policy_decide(policy, &q, &d);
	assert_int_equal(d.reason, REASON_CONDITION_ERROR);
	json_decref(claims);
	policy_unref(policy);
}

/* Names that the policy knows as they stand, and such as first have to be put into their canonical form. */
static void test_decide_folds_names(void **state) {
	static const char *const names[][2] = {
		{ ALICE, "name@p.iam.gserviceaccount.com" },
		{ "user:Alice@EXAMPLE.com", "name@p.iam.gserviceaccount.com" },
		{ ALICE, "NAME@P.iam.gserviceaccount.com" },
		{ "user:somebody@else.example", "Name@p.iam.gserviceaccount.com" },
	};
	struct policy *policy = load_policy(conditional);
	struct decision d;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct policy_query q = { .now = TEST_NOW, .principal = names[i][0], .service_account = names[i][1] };

		policy_decide(policy, &q, &d);
		assert_string_equal(decision_reason_name(d.reason), "ALLOWED"); /* and resource.name is the canonical one */
	}
	policy_unref(policy);
}

/* The first n_asked of some scopes, of an account's token. */
struct scope_ask {
	const char *account;
	size_t n_asked;
	enum policy_permission permission;
	enum decision_reason reason;
};

static void assert_decided(const struct policy *policy, const struct scope_ask *ask, const char *const *scopes, struct decision *out) {
	char account[64];
	struct policy_query q = { .now = TEST_NOW, .principal = ALICE, .service_account = account, .permission = ask->permission,
				  .scopes = scopes, .n_scopes = ask->n_asked, .audience = "x" };

	snprintf(account, sizeof(account), "%s@p.iam.gserviceaccount.com", ask->account);
	*out = (struct decision){ 0 };
	policy_decide(policy, &q, out);
	if (out->reason != ask->reason)
		fail_msg("%s, %zu asked: reason %d", ask->account, ask->n_asked, (int)out->reason);
}

/* Who asks for no scope is given the binding's: a condition about scopes is about those then, and not about none. */
static void test_decide_conditions_see_the_scopes_that_would_be_given(void **state) {
#define SCOPES_COND(name, scopes)                                                                                      \
	"- {name: " name ", members: [allAuthenticated], serviceAccounts: [" name "@p.iam.gserviceaccount.com], permissions: "   \
	"[iam.serviceAccounts.getAccessToken, iam.serviceAccounts.getOpenIdToken]" scopes                                   \
	", condition: {expression: 'request.scopes.hasOnly([\"https://www.googleapis.com/auth/bigquery\"])'}}\n"
	static const char *const bigquery[] = { "https://www.googleapis.com/auth/bigquery", "openid" };
	static const struct scope_ask asks[] = {
		{ "wide", 0, PERMISSION_GET_ACCESS_TOKEN, REASON_CONDITION_FALSE },
		{ "wide", 1, PERMISSION_GET_ACCESS_TOKEN, REASON_ALLOWED },
		{ "wide", 2, PERMISSION_GET_ACCESS_TOKEN, REASON_CONDITION_FALSE },
		{ "wide", 0, PERMISSION_GET_OPEN_ID_TOKEN, REASON_ALLOWED }, /* has none */
		{ "unsaid", 0, PERMISSION_GET_ACCESS_TOKEN, REASON_CONDITION_FALSE }, /* cloud-platform */
		{ "unsaid", 1, PERMISSION_GET_ACCESS_TOKEN, REASON_ALLOWED },
		{ "narrow", 0, PERMISSION_GET_ACCESS_TOKEN, REASON_ALLOWED },
	};
	struct policy *policy = load_policy(STR("version: 1\nbindings:\n" SCOPES_COND("wide", ", scopes: [https://www.googleapis.com/auth/bigquery, openid]")
						    SCOPES_COND("unsaid", "")
							    SCOPES_COND("narrow", ", scopes: [https://www.googleapis.com/auth/bigquery]")));

	(void)state;
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct decision d;

		assert_decided(policy, &asks[i], bigquery, &d);
		if (d.allow && asks[i].permission == PERMISSION_GET_ACCESS_TOKEN) {
			assert_int_equal(d.n_scopes, 1);
			assert_string_equal(d.scopes[0], bigquery[0]);
		}
	}
	policy_unref(policy);
}

/* Which of the bindings' scopes it would be is not known yet: nobody can say that the rule does not apply. */
static void test_decide_denials_about_scopes_meet_who_asks_for_none(void **state) {
	static const char *const asked[] = { "openid" };
	static const struct scope_ask asks[] = {
		{ "a", 0, PERMISSION_GET_ACCESS_TOKEN, REASON_DENY_RULE_ERROR },
		{ "a", 1, PERMISSION_GET_ACCESS_TOKEN, REASON_ALLOWED },
		{ "a", 0, PERMISSION_GET_OPEN_ID_TOKEN, REASON_ALLOWED },
		{ "b", 0, PERMISSION_GET_ACCESS_TOKEN, REASON_ALLOWED }, /* whatever the scopes */
	};
	struct policy *policy = load_policy(
		STR("version: 1\nbindings:\n- {name: a, members: [allAuthenticated], serviceAccounts: ['*'], permissions: "
		    "[iam.serviceAccounts.getAccessToken, iam.serviceAccounts.getOpenIdToken]}\ndenyRules:\n"
		    "- {name: no, deniedPrincipals: [allAuthenticated], serviceAccounts: ['*'], denialCondition: {expression: "
		    "'resource.name.endsWith(\"/a@p.iam.gserviceaccount.com\") && "
		    "\"https://www.googleapis.com/auth/cloud-platform\" in request.scopes'}}\n"));

	(void)state;
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct decision d;

		assert_decided(policy, &asks[i], asked, &d);
	}
	policy_unref(policy);
}

static void test_decide_takes_nothing_from_the_heap(void **state) {
	static const char *const accounts[] = { "yes", "no", "peer", "until", "office", "name", "life", "who", "attr", "later-denied",
						"denied", "err-denied", "nobody", "YES" };
	static const char *const scopes[] = { "openid", "https://www.googleapis.com/auth/cloud-platform" };
	json_t *claims = json_pack("{s:[s, s]}", "groups", "dev", "ci");
	struct policy_query q = { .now = TEST_NOW, .principal = ALICE, .auth_method = "peer", .claims = claims,
				  .access_levels = scopes, .n_access_levels = 2, .scopes = scopes };
	struct policy *policy;
	struct decision d;
	char account[64];
	size_t before;

	(void)state;
	count_allocations();
	policy = load_policy(conditional);
	before = allocations;
	assert_true(before > 0); /* they are counted */
	for (size_t i = 0; i < ARRAY_SIZE(accounts); i++) {
		snprintf(account, sizeof(account), "%s@p.iam.gserviceaccount.com", accounts[i]);
		q.service_account = account;
		q.n_scopes = i % 3;
		policy_decide(policy, &q, &d);
	}
	assert_int_equal(allocations, before);
	json_decref(claims);
	policy_unref(policy);
}

/*
 * P2 by brute force: whatever is granted, a fresh decision at every second until the token is dead says
 * yes. Windows that open and close, zones across a change of the clock, deny rules, notAfter, the allowance.
 */
static const struct str windows = STR(
	"version: 1\ndefaults: {maxLifetime: 1h}\nbindings:\n"
	COND("w0", "request.time.getHours(\"Europe/Berlin\") >= 8 && request.time.getHours(\"Europe/Berlin\") < 18", "")
	COND("w1", "request.time.getDayOfWeek(\"America/New_York\") in [1, 2, 3, 4, 5]", "")
	COND("w2", "request.time < timestamp(\"2026-10-25T01:17:03Z\") || request.time >= timestamp(\"2026-10-25T02:00:00Z\")", "")
	COND("w3", "!(request.time.getHours(\"Europe/Berlin\") == 2)", "")
	COND("w4", "request.time.getMinutes() % 20 != 7", "")
	COND("w5", "request.time + duration(\"600s\") < timestamp(\"2026-10-25T01:00:00Z\") || request.time.getMonth() == 9", "")
	COND("w6", "request.time.getHours() > 3 ? request.time.getMinutes() < 30 : true", "")
	COND("w7", "true", ", notAfter: 2026-10-25T03:00:00Z")
	COND("w8", "true", "")
	"denyRules:\n"
	DENY("d8", "w8", "request.time.getHours(\"+05:30\") == 6 || request.time.getMinutes() == 59"));

static void test_p2_no_token_outlives_its_permission(void **state) {
	struct policy *policy = load_policy(windows);
	unsigned seed = 3, allowed = 0, rounds = getenv("HALLPASS_SLOW") ? 40 : 900;

	(void)state;
	for (unsigned i = 0; i < rounds; i++) {
		struct want c = { .principal = ALICE, .at = 1792886400 - TEST_NOW + rnd(&seed, 14) * 3600 + rnd(&seed, 3600),
				  .allowance = rnd(&seed, 3) * 5, .lifetime = rnd(&seed, 4) * 1000 };
		char account[8];
		struct decision d, later;

		snprintf(account, sizeof(account), "w%u", i % 9);
		c.account = account;
		decide(policy, &c, &d);
		if (!d.allow)
			continue;
		allowed++;
		for (struct want t = { .principal = ALICE, .account = account, .at = c.at + 1 }; AT(t.at) < d.expires_by; t.at++) {
			decide(policy, &t, &later);
			if (!later.allow)
				fail_msg("%s at %lld: allowed for %lld s, but not %lld s later", account, (long long)AT(c.at),
					 (long long)d.lifetime_s, (long long)(t.at - c.at));
		}
	}
	assert_in_range(allowed, rounds * 4 / 9, rounds);
	policy_unref(policy);
}

/* ---- the index against the definition ---- */

/* The names of the rules that an explanation goes through, each once. */
static void assert_candidates(const struct policy *policy, const struct policy_query *q, const bool want[], int n) {
	json_t *json = policy_explain(policy, q, false), *candidate;
	bool seen[32] = { 0 };
	size_t i;

	json_array_foreach (json_object_get(json, "candidates"), i, candidate) {
		int r = atoi(json_string_value(json_object_get(candidate, "binding")) + 1);

		assert_true(r < n && want[r] && !seen[r]);
		seen[r] = true;
	}
	assert_memory_equal(seen, want, (size_t)n * sizeof(*want));
	json_decref(json);
}

/* One or two of a rule's accounts: exact, by patterns of one domain, the star alone. Accounts are in two domains by turns. */
static void add_accounts(struct buf *b, unsigned *seed, bool covers[], unsigned n_accounts) {
	for (int i = 0; i < 2; i++) {
		unsigned a = rnd(seed, n_accounts), kind = rnd(seed, 8);

		for (unsigned k = 0; k < n_accounts; k++)
			covers[k] |= kind == 0 || (kind == 1 && k % 2 == a % 2) || (kind > 1 && k == a);
		if (kind == 0)
			buf_adds(b, "'*'");
		else if (kind == 1)
			buf_addf(b, "'*@p%u.example'", a % 2);
		else
			buf_addf(b, "'%s%u@p%u.example'", kind == 2 ? "*" : "a", a, a % 2);
		if (i == 0)
			buf_adds(b, ", ");
	}
}

/*
 * Random policies over few names: whatever list the index chooses, it finds what the groups, members and
 * patterns written out say. The reference is rebuilt from the same choices, without any of the code tested.
 */
static void test_decide_index_finds_what_is_written(void **state) {
	enum { USERS = 6, GROUPS = 5, ACCOUNTS = 6, RULES = 12 };
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 200; round++) {
		bool in_group[GROUPS][USERS] = { 0 }, covers[RULES][ACCOUNTS] = { 0 }, has[RULES][USERS] = { 0 };
		struct buf b = BUF_INIT(1 << 20);
		struct policy *policy;

		buf_adds(&b, "version: 1\ngroups:\n");
		for (int g = 0; g < GROUPS; g++) {
			unsigned u = rnd(&seed, USERS), inner = g ? rnd(&seed, (unsigned)g) : 0;

			buf_addf(&b, "  g%d: ['user:u%u@d.example'", g, u);
			in_group[g][u] = true;
			if (g) {
				buf_addf(&b, ", 'group:g%u'", inner);
				for (int k = 0; k < USERS; k++)
					in_group[g][k] |= in_group[inner][k];
			}
			buf_adds(&b, "]\n");
		}
		buf_adds(&b, "bindings:\n");
		for (int r = 0; r < RULES; r++) {
			unsigned g = rnd(&seed, GROUPS), u = rnd(&seed, USERS);

			buf_addf(&b, "- {name: r%d, members: ['group:g%u', 'user:u%u@d.example'], serviceAccounts: [", r, g, u);
			add_accounts(&b, &seed, covers[r], ACCOUNTS);
			buf_addf(&b, "], maxLifetime: %ds}\n", 3600 - r);
			for (unsigned k = 0; k < USERS; k++)
				has[r][k] = in_group[g][k] || k == u;
		}
		policy = load_policy((struct str){ b.data, b.len });
		for (unsigned u = 0; u < USERS; u++)
			for (unsigned a = 0; a < ACCOUNTS; a++) {
				char principal[64], account[64], want[16] = "";
				const struct policy_query q = { .now = TEST_NOW, .principal = principal, .service_account = account };
				bool candidates[RULES];
				struct decision d;

				for (int r = RULES - 1; r >= 0; r--) {
					candidates[r] = has[r][u] && covers[r][a];
					if (candidates[r])
						snprintf(want, sizeof(want), "r%d", r);
				}
				snprintf(principal, sizeof(principal), "user:u%u@d.example", u);
				snprintf(account, sizeof(account), "a%u@p%u.example", a, a % 2);
				policy_decide(policy, &q, &d);
				assert_int_equal(d.allow, want[0] != 0);
				assert_string_equal(d.rule ? d.rule : "", want);
				assert_candidates(policy, &q, candidates, RULES);
			}
		policy_unref(policy);
		buf_fini(&b);
	}
}

/* What cannot be decided is refused whole, whatever else it says. */
static void test_decide_refuses_queries_that_are_none(void **state) {
	static const char *const delegates[] = { "a@b.cc", "a@b.cc", "a@b.cc", "a@b.cc", "a@b.cc", "a@b.cc", "a@b.cc", "a@b.cc", "a@b.cc" };
	struct policy *policy = load_policy(document);
	const struct policy_query good = { .now = TEST_NOW, .principal = ALICE, .service_account = "one@p.iam.gserviceaccount.com" };
	struct policy_query bad[] = { good, good, good, good, good, good };
	json_t *list = json_array();
	struct decision d;

	(void)state;
	bad[0].delegates = delegates;
	bad[0].n_delegates = ARRAY_SIZE(delegates);
	bad[1].claims = list;
	bad[2].now_ns = 1000000000;
	bad[3].ceiling_s = -1;
	bad[4].clock_allowance_s = -1;
	bad[5].now = INT64_MIN;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(&d, 0xFF, sizeof(d));
		policy_decide(policy, &bad[i], &d);
		assert_false(d.allow);
		assert_int_equal(d.reason, REASON_INVALID);
		assert_int_equal(d.lifetime_s, 0);
		assert_null(d.rule);
	}
	policy_decide(policy, &good, &d);
	assert_true(d.allow);
	json_decref(list);
	policy_unref(policy);
}

/* 12:00:00.7 and a second is not 12:00:01: what is granted ends before the window does, parts of seconds and all. */
static void test_P2_parts_of_a_second_count(void **state) {
	static const struct {
		int64_t at;
		uint32_t ns;
		int64_t allowance, lifetime;
	} rows[] = {
		{ 5, 0, 0, 350 }, { 5, 1, 0, 349 }, { 5, 999999999, 0, 349 }, { 5, 500000000, 10, 339 },
		{ 354, 0, 0, 1 }, { 354, 1, 0, 0 }, { 353, 1, 0, 1 },	      { 353, 1, 1, 0 },
	};
	struct policy *policy = load_policy(document);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct policy_query q = { .now = AT(rows[i].at), .now_ns = rows[i].ns, .principal = ALICE,
					  .service_account = "win@p.iam.gserviceaccount.com", .clock_allowance_s = rows[i].allowance };
		struct decision d;

		policy_decide(policy, &q, &d);
		assert_int_equal(d.lifetime_s, rows[i].lifetime);
		assert_int_equal(d.reason, rows[i].lifetime ? REASON_ALLOWED : REASON_WINDOW_CLOSING);
	}
	policy_unref(policy);
}

static void test_policy_is_counted(void **state) {
	struct policy *policy = load_policy(STR("version: 1\n"));

	(void)state;
	assert_ptr_equal(policy_ref(policy), policy);
	policy_unref(policy);
	policy_unref(policy);
	policy_unref(NULL);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decide_table),
		cmocka_unit_test(test_p3_a_zeroed_decision_denies),
		cmocka_unit_test(test_decide_intersects_scopes),
		cmocka_unit_test(test_decide_conditions),
		cmocka_unit_test(test_decide_binds_attributes),
		cmocka_unit_test(test_decide_folds_names),
		cmocka_unit_test(test_decide_conditions_see_the_scopes_that_would_be_given),
		cmocka_unit_test(test_decide_denials_about_scopes_meet_who_asks_for_none),
		cmocka_unit_test(test_decide_takes_nothing_from_the_heap),
		cmocka_unit_test(test_p2_no_token_outlives_its_permission),
		cmocka_unit_test(test_decide_index_finds_what_is_written),
		cmocka_unit_test(test_decide_refuses_queries_that_are_none),
		cmocka_unit_test(test_P2_parts_of_a_second_count),
		cmocka_unit_test(test_policy_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
