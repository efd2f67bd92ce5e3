/* The tests section of a document: requests with the answers that they must get. See document.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"
#include "policy/asked.h"

#define MAX_TESTS 10000

struct test {
	const char *name;
	const struct yaml_node *node;
	struct asked asked;
	bool allow;
	const char *rule, *reason; /* NULL: any */
	int64_t lifetime_s;        /* 0: any */
};

static void read_name(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a test's name", &((struct test *)target)->name);
}

/* ---- request ---- */

static const struct field request_fields[] = {
	{ ASKED_PRINCIPAL },
	{ ASKED_SERVICE_ACCOUNT },
	{ ASKED_TIME },
	{ ASKED_PERMISSION },
	{ ASKED_SCOPES },
	{ ASKED_LIFETIME },
	{ ASKED_DELEGATES },
	{ ASKED_AUDIENCE },
	{ ASKED_JUSTIFICATION },
	{ ASKED_SURFACE },
	{ ASKED_METHOD },
	{ ASKED_CLAIMS },
	{ ASKED_ACCESS_LEVELS },
	{ ASKED_PEER },
	{ ASKED_IP },
	{ ASKED_PORT },
	{ 0 },
};

static void read_request(struct document *d, const struct yaml_node *node, void *target) {
	read_fields(d, node, "a request", request_fields, &((struct test *)target)->asked);
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
		test->asked = asked_plain;
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

static void fail(struct document *d, const struct test *test, const struct decision *decision, struct policy_check *check) {
	struct buf message = BUF_INIT(2048), why = BUF_INIT(4096);

	d->report->tests_failed++;
	buf_adds(&message, "expected ");
	say_expected(&message, test);
	buf_adds(&message, ", got ");
	say_got(&message, decision);
	if (!decision->allow)
		policy_denial_message(d->policy, &test->asked.q, decision, &why);
	check->good = false;
	check->id = "test-failed";
	check->message = message.data;
	check->fix = buf_ok(&why) ? why.data : NULL;
	if (message.data)
		document_error(d, test->node, check->id, check->fix, "test \"%.80s\": %s", test->name, message.data);
	else
		d->no_memory = true;
	watch_ended(d, check);
	buf_fini(&message);
	buf_fini(&why);
}

/* The rule that decided it is touched. */
static void run_test(struct document *d, const struct test *test, bool *touched) {
	struct policy_check check = { .kind = POLICY_CHECK_TEST, .name = test->name, .line = test->node->line,
				      .column = test->node->column, .good = true };
	struct decision decision;

	watch_begins(d, &check);
	policy_decide(d->policy, &test->asked.q, &decision);
	d->report->tests_run++;
	if (decision.rule)
		touched[names_find(&d->rule_names, decision.rule, strlen(decision.rule))] = true;
	if (as_expected(test, &decision))
		watch_ended(d, &check);
	else
		fail(d, test, &decision, &check);
}

static void tell_untouched(const struct document *d, const struct rule_set *set, const bool *touched) {
	static const char *const kinds[] = { [RULE_BINDING] = "binding", [RULE_DENY] = "deny rule" };

	for (uint32_t i = 0; i < set->n; i++) {
		const struct rule *rule = &set->rules[i];

		if (!touched[names_find(&d->rule_names, rule->name, strlen(rule->name))])
			d->watch->untouched(d->watch->arg, kinds[rule->kind], rule->name, rule->line, rule->column);
	}
}

void tests_run(struct document *d) {
	bool *touched = calloc(d->rule_names.n + 1, sizeof(*touched));

	if (!touched) {
		d->no_memory = true;
		return;
	}
	for (size_t i = 0; i < d->n_tests; i++)
		run_test(d, &d->tests[i], touched);
	if (d->watch && d->watch->untouched) {
		tell_untouched(d, &d->policy->bindings, touched);
		tell_untouched(d, &d->policy->denials, touched);
	}
	free(touched);
}

void tests_free(struct document *d) {
	for (size_t i = 0; i < d->n_tests; i++)
		json_decref(d->tests[i].asked.claims);
	free(d->tests);
}
