/* The tests section of a document: requests with the answers that they must get. See document.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"
#include "policy/decide.h"
#include "policy/document.h"

#define MAX_TESTS 10000
#define MAX_LIST 64

struct test {
	const char *name;
	const struct yaml_node *node;
	struct policy_query q;
	json_t *claims;
	bool allow;
	const char *rule, *reason; /* NULL: any */
	int64_t lifetime_s;        /* 0: any */
};

static void read_name(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a test's name", &((struct test *)target)->name);
}

/* ---- request ---- */

static void read_principal(struct document *d, const struct yaml_node *node, void *target) {
	char buf[MAX_EMAIL * 2];

	if (node->kind == YAML_SCALAR && canonical_principal(node->text, buf) == 0) {
		read_text(d, node, "a principal", &((struct test *)target)->q.principal);
		return;
	}
	document_bad_principal(d, node, "bad-principal", "write user:EMAIL, serviceAccount:EMAIL or principal:ID");
}

static void read_target(struct document *d, const struct yaml_node *node, void *target) {
	read_account(d, node, &((struct test *)target)->q.service_account);
}

static void read_now(struct document *d, const struct yaml_node *node, void *target) {
	read_time(d, node, "time", &((struct test *)target)->q.now);
}

static void read_asked_permission(struct document *d, const struct yaml_node *node, void *target) {
	read_permission(d, node, &((struct test *)target)->q.permission);
}

static void read_asked_scopes(struct document *d, const struct yaml_node *node, void *target) {
	struct policy_query *q = &((struct test *)target)->q;

	read_strings(d, node, "scopes", POLICY_MAX_SCOPES, read_scope, &q->scopes, &q->n_scopes);
}

static int read_level(struct document *d, const struct yaml_node *node, const char **out) {
	return read_text(d, node, "an access level", out);
}

static void read_levels(struct document *d, const struct yaml_node *node, void *target) {
	struct policy_query *q = &((struct test *)target)->q;

	read_strings(d, node, "accessLevels", MAX_LIST, read_level, &q->access_levels, &q->n_access_levels);
}

static void read_delegates(struct document *d, const struct yaml_node *node, void *target) {
	struct policy_query *q = &((struct test *)target)->q;

	read_strings(d, node, "delegates", MAX_DELEGATES, read_account, &q->delegates, &q->n_delegates);
}

static void read_asked_lifetime(struct document *d, const struct yaml_node *node, void *target) {
	read_lifetime(d, node, "lifetime", &((struct test *)target)->q.lifetime_s);
}

static void read_audience(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "an audience", &((struct test *)target)->q.audience);
}

static void read_justification(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a justification", &((struct test *)target)->q.justification);
}

static void read_surface(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a surface", &((struct test *)target)->q.surface);
}

static void read_method(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a method", &((struct test *)target)->q.auth_method);
}

static void read_ip(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "an ip address", &((struct test *)target)->q.origin_ip);
}

static void read_port(struct document *d, const struct yaml_node *node, void *target) {
	int64_t port = 0;

	read_number(d, node, "port", 0, 65535, &port);
	((struct test *)target)->q.origin_port = (int)port;
}

static void read_claims(struct document *d, const struct yaml_node *node, void *target) {
	struct test *test = target;

	if (node->kind != YAML_MAP) {
		document_error(d, node, "wrong-type", NULL, "claims must be a mapping, but this is %s",
			       yaml_kind_name(node));
		return;
	}
	test->claims = yaml_to_json(node);
	test->q.claims = test->claims;
	d->no_memory |= !test->claims;
}

static void read_uid(struct document *d, const struct yaml_node *node, void *target) {
	read_number(d, node, "uid", 0, UINT32_MAX, &((struct policy_peer *)target)->uid);
}

static void read_gid(struct document *d, const struct yaml_node *node, void *target) {
	read_number(d, node, "gid", 0, UINT32_MAX, &((struct policy_peer *)target)->gid);
}

static void read_pid(struct document *d, const struct yaml_node *node, void *target) {
	read_number(d, node, "pid", 0, INT32_MAX, &((struct policy_peer *)target)->pid);
}

static void read_exe(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "exe", &((struct policy_peer *)target)->exe);
}

static const struct field peer_fields[] = {
	{ "uid", false, read_uid, SHAPE_NUMBER, "Its user id.", NULL },
	{ "gid", false, read_gid, SHAPE_NUMBER, "Its group id.", NULL },
	{ "pid", false, read_pid, SHAPE_NUMBER, "Its process id.", NULL },
	{ "exe", false, read_exe, SHAPE_TEXT, "The absolute path of its executable.", NULL },
	{ 0 },
};

static void read_peer(struct document *d, const struct yaml_node *node, void *target) {
	struct policy_peer *peer = &((struct test *)target)->q.peer;

	peer->known = true;
	read_fields(d, node, "peer", peer_fields, peer);
}

static const struct field request_fields[] = {
	{ "principal", true, read_principal, SHAPE_PRINCIPAL, "Who asks.", NULL },
	{ "serviceAccount", true, read_target, SHAPE_ACCOUNT, "For which account.", NULL },
	{ "time", true, read_now, SHAPE_TIME, "When it is asked.", NULL },
	{ "permission", false, read_asked_permission, SHAPE_PERMISSION, "What for; getAccessToken if absent.", NULL },
	{ "scopes", false, read_asked_scopes, SHAPE_SCOPES, "The scopes that are asked for; the ceiling of the binding if absent.", NULL },
	{ "lifetime", false, read_asked_lifetime, SHAPE_DURATION, "The lifetime that is asked for.", NULL },
	{ "delegates", false, read_delegates, SHAPE_ACCOUNTS, "Accounts to go through, in order.", NULL },
	{ "audience", false, read_audience, SHAPE_TEXT, "For whom the ID token is.", NULL },
	{ "justification", false, read_justification, SHAPE_TEXT, "What --reason gives.", NULL },
	{ "surface", false, read_surface, SHAPE_TEXT, "Through which door it comes; native if absent.", NULL },
	{ "method", false, read_method, SHAPE_TEXT, "How the principal is known; peer if absent.", NULL },
	{ "claims", false, read_claims, SHAPE_OBJECT, "The claims of a signed identity.", NULL },
	{ "accessLevels", false, read_levels, SHAPE_TEXTS, "The names of access levels.", NULL },
	{ "peer", false, read_peer, SHAPE_MAPPING, "What the kernel says of the calling process; unknown if absent.", peer_fields },
	{ "ip", false, read_ip, SHAPE_TEXT, "The address that it comes from.", NULL },
	{ "port", false, read_port, SHAPE_NUMBER, "The port that it comes from.", NULL },
	{ 0 },
};

static void read_request(struct document *d, const struct yaml_node *node, void *target) {
	read_fields(d, node, "a request", request_fields, target);
}

/* ---- expect ---- */

static void read_decision(struct document *d, const struct yaml_node *node, void *target) {
	struct test *test = target;

	if (node->kind == YAML_SCALAR && (!strcmp(node->text, "ALLOW") || !strcmp(node->text, "DENY"))) {
		test->allow = node->text[0] == 'A';
		return;
	}
	document_error(d, node, "bad-decision", NULL, "a decision is ALLOW or DENY");
}

static void read_expected_rule(struct document *d, const struct yaml_node *node, void *target) {
	struct test *test = target;
	struct nearest nearest;
	char fix[256];

	if (read_text(d, node, "a rule's name", &test->rule) < 0 ||
	    names_find(&d->rule_names, node->text, node->n) != NO_ID)
		return;
	nearest_init(&nearest, node->text);
	for (uint32_t i = 0; i < d->rule_names.n && !document_is_full(d); i++)
		nearest_offer(&nearest, d->rule_names.list[i]);
	snprintf(fix, sizeof(fix), "did you mean \"%s\"?", nearest.best ? nearest.best : "");
	document_error(d, node, "unknown-rule", nearest.best ? fix : NULL, "there is no rule \"%.80s\"", node->text);
}

static void read_expected_reason(struct document *d, const struct yaml_node *node, void *target) {
	struct test *test = target;

	for (int r = REASON_NONE + 1; r <= REASON_INVALID && node->kind == YAML_SCALAR; r++)
		if (!strcmp(node->text, decision_reason_name((enum decision_reason)r))) {
			test->reason = decision_reason_name((enum decision_reason)r);
			return;
		}
	document_error(d, node, "bad-reason", "NO_BINDING, CONDITION_FALSE, CONDITION_ERROR, NOT_YET, EXPIRED, SCOPE, DELEGATE, "
				"WINDOW_CLOSING, DENY_RULE or DENY_RULE_ERROR", "there is no such reason");
}

static void read_expected_lifetime(struct document *d, const struct yaml_node *node, void *target) {
	read_lifetime(d, node, "maxLifetime", &((struct test *)target)->lifetime_s);
}

static const struct field expect_fields[] = {
	{ "decision", true, read_decision, SHAPE_DECISION, "What the answer must be.", NULL },
	{ "binding", false, read_expected_rule, SHAPE_NAME, "The binding that must have given it.", NULL },
	{ "denyRule", false, read_expected_rule, SHAPE_NAME, "The deny rule that must have given it.", NULL },
	{ "reason", false, read_expected_reason, SHAPE_REASON, "Why it must be denied.", NULL },
	{ "maxLifetime", false, read_expected_lifetime, SHAPE_DURATION, "The lifetime that must be granted, exactly.", NULL },
	{ 0 },
};

static void read_expect(struct document *d, const struct yaml_node *node, void *target) {
	if (node->kind == YAML_SCALAR)
		read_decision(d, node, target);
	else
		read_fields(d, node, "expect", expect_fields, target);
}

const struct field test_fields[] = {
	{ "name", true, read_name, SHAPE_TEXT, "What it shows.", NULL },
	{ "request", true, read_request, SHAPE_MAPPING, "The request that is decided.", request_fields },
	{ "expect", true, read_expect, SHAPE_DECISION, "The answer that it must get.", expect_fields },
	{ 0 },
};

void tests_read(struct document *d, const struct yaml_node *node) {
	struct test *test;

	if (!is_list(d, node, "tests"))
		return;
	if (node->n > MAX_TESTS) {
		document_error(d, node, "bad-list", NULL, "more than %d tests", MAX_TESTS);
		return;
	}
	d->tests = calloc(node->n + 1, sizeof(*d->tests));
	if (!d->tests) {
		d->no_memory = true;
		return;
	}
	yaml_each (item, node) {
		test = &d->tests[d->n_tests++];
		test->node = item;
		test->q.auth_method = "peer";
		test->q.surface = "native";
		read_fields(d, item, "a test", test_fields, test);
	}
}

/* ---- running ---- */

static bool as_expected(const struct test *test, const struct decision *decision) {
	if (decision->allow != test->allow)
		return false;
	if (test->rule && (!decision->rule || strcmp(decision->rule, test->rule)))
		return false;
	if (test->reason && strcmp(test->reason, decision_reason_name(decision->reason)))
		return false;
	return !test->lifetime_s || decision->lifetime_s == test->lifetime_s;
}

static void say_expected(struct buf *b, const struct test *test) {
	buf_adds(b, test->allow ? "ALLOW" : "DENY");
	if (test->rule)
		buf_addf(b, " by %s", test->rule);
	if (test->reason)
		buf_addf(b, " (%s)", test->reason);
	if (test->lifetime_s)
		buf_addf(b, " for %lld s", (long long)test->lifetime_s);
}

static void say_got(struct buf *b, const struct decision *decision) {
	buf_adds(b, decision->allow ? "ALLOW" : "DENY");
	if (decision->rule)
		buf_addf(b, " by %s", decision->rule);
	if (decision->allow)
		buf_addf(b, " for %lld s", (long long)decision->lifetime_s);
	else
		buf_addf(b, " (%s)", decision_reason_name(decision->reason));
}

static void run_test(struct document *d, const struct test *test) {
	struct buf expected = BUF_INIT(512), got = BUF_INIT(512), why = BUF_INIT(4096);
	struct decision decision;

	policy_decide(d->policy, &test->q, &decision);
	d->report->tests_run++;
	if (as_expected(test, &decision))
		return;
	d->report->tests_failed++;
	say_expected(&expected, test);
	say_got(&got, &decision);
	if (!decision.allow)
		policy_denial_message(d->policy, &test->q, &decision, &why);
	if (expected.data && got.data)
		document_error(d, test->node, "test-failed", buf_ok(&why) ? why.data : NULL,
			       "test \"%.80s\": expected %s, got %s", test->name, expected.data, got.data);
	else
		d->no_memory = true;
	buf_fini(&expected);
	buf_fini(&got);
	buf_fini(&why);
}

void tests_run(struct document *d) {
	for (size_t i = 0; i < d->n_tests; i++)
		run_test(d, &d->tests[i]);
}

void tests_free(struct document *d) {
	for (size_t i = 0; i < d->n_tests; i++)
		json_decref(d->tests[i].claims);
	free(d->tests);
}
