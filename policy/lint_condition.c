/* Conditions that never change anything, and what IAM would not take of them. See lint.h. */

#include <stdio.h>
#include "hallpass/cleanup.h"
#include "policy/cel_ast.h"
#include "policy/cel_time.h"
#include "policy/condition.h"
#include "policy/horizon.h"
#include "policy/lint.h"

#define IAM_OPERATORS 12 /* Source: cloud.google.com/iam/quotas, "logical operators in a condition expression" */
#define WORK 200000	 /* nodes looked at, for one condition within a generation, */
#define FAR_WORK 20000	 /* and beyond it */
#define GENERATION (40 * 31557600LL) /* seconds; weekdays and leap days meet again after 28 years */
#define ARENA 16384	 /* bytes */

struct look {
	struct document *d;
	const struct yaml_node *node; /* the expression's scalar */
	const struct cel_program *program;
	unsigned operators;
	const struct cel_node *attribute, *function; /* the first that IAM lacks */
};

static void find_at(const struct look *l, enum policy_severity severity, enum lint lint, uint32_t offset, const char *message) {
	unsigned line, column;

	yaml_position(l->d->tree, l->node, offset, &line, &column);
	document_find_at(l->d, severity, policy_lints[lint].id, line, column, policy_lints[lint].fix, "%s", message);
}

/* ---- does it hold anything back? ---- */

/* Whether it is surely one of these from one second through another, whatever is asked. *work: none is left where nobody can tell. */
static bool is_surely(const struct look *l, int64_t from, int64_t to, unsigned wanted, uint32_t *work) {
	char memory[ARENA];
	struct cel_arena arena = { .at = memory, .end = memory + ARENA, .step = ARENA, .max = ARENA, .total = ARENA };
	uint32_t before = *work = l->d->lint_work < *work ? l->d->lint_work : *work;
	bool r = horizon_surely(l->program, condition_time_slot(), from, to, wanted, &arena, work);

	l->d->lint_work -= before - *work;
	return r;
}

/*
 * The same where one end may be any distance away. Dates are found there, however far; but a calendar of centuries has more
 * days than can be looked at, and what holds on every day of a generation will hold.
 */
static bool is_surely_always(const struct look *l, int64_t near, int64_t far, unsigned wanted) {
	bool future = far > near;
	int64_t middle = future ? near + GENERATION : near - GENERATION;
	uint32_t work = WORK;

	if (!is_surely(l, future ? near : middle, future ? middle : near, wanted, &work))
		return false;
	work = FAR_WORK;
	return is_surely(l, future ? middle : far, future ? far : middle, wanted, &work) || work == 0;
}

/* An error grants nothing, but it does deny. False: there is nothing to be said. */
static bool lint_truth(const struct look *l, bool denies) {
	unsigned no = denies ? HORIZON_FALSE : HORIZON_FALSE | HORIZON_ERROR;
	enum lint lint;

	if (is_surely_always(l, l->d->now, CEL_TIME_MAX_S, no))
		lint = is_surely_always(l, l->d->now, CEL_TIME_MIN_S, no) ? LINT_CONDITION_NEVER_TRUE : LINT_CONDITION_OVER;
	else if (is_surely_always(l, l->d->now, CEL_TIME_MAX_S, HORIZON_TRUE))
		lint = LINT_CONDITION_ALWAYS_TRUE;
	else
		return false;
	find_at(l, POLICY_WARNING, lint, cel_program_root(l->program)->start, policy_lints[lint].sentence);
	return true;
}

/* ---- would IAM take it? ---- */

static const bool iam_functions[N_CEL_FN] = {
	[CEL_FN_EQ] = true,	       [CEL_FN_NE] = true,	     [CEL_FN_LT] = true,
	[CEL_FN_LE] = true,	       [CEL_FN_GT] = true,	     [CEL_FN_GE] = true,
	[CEL_FN_ADD] = true,	       [CEL_FN_SUB] = true,	     [CEL_FN_IN] = true,
	[CEL_FN_TIMESTAMP] = true,     [CEL_FN_DURATION] = true,     [CEL_FN_DATE] = true,
	[CEL_FN_STARTS_WITH] = true,   [CEL_FN_ENDS_WITH] = true,    [CEL_FN_EXTRACT] = true,
	[CEL_FN_HAS_ONLY] = true,      [CEL_FN_GET_ATTRIBUTE] = true, [CEL_FN_GET_FULL_YEAR] = true,
	[CEL_FN_GET_MONTH] = true,     [CEL_FN_GET_DATE] = true,     [CEL_FN_GET_DAY_OF_MONTH] = true,
	[CEL_FN_GET_DAY_OF_WEEK] = true, [CEL_FN_GET_DAY_OF_YEAR] = true, [CEL_FN_GET_HOURS] = true,
	[CEL_FN_GET_MINUTES] = true,   [CEL_FN_GET_SECONDS] = true,  [CEL_FN_GET_MILLISECONDS] = true,
};

static bool iam_has(const struct cel_node *node) {
	switch (node->kind) {
	case CEL_N_CONST:
	case CEL_N_LIST:
	case CEL_N_AND:
	case CEL_N_OR:
	case CEL_N_NOT:
		return true;
	case CEL_N_SLOT:
		return !node->test;
	case CEL_N_CALL:
		return iam_functions[node->fn];
	default:
		return false;
	}
}

static unsigned operators_of(const struct cel_node *node) {
	if (node->kind == CEL_N_AND || node->kind == CEL_N_OR)
		return node->n - 1;
	return node->kind == CEL_N_NOT;
}

/* Depth: cel_limits.depth. */
static void visit(struct look *l, const struct cel_node *node) {
	l->operators += operators_of(node);
	if (node->kind == CEL_N_SLOT && !l->attribute && !condition_iam_has(node->slot))
		l->attribute = node;
	else if (!l->function && !iam_has(node))
		l->function = node;
	for (uint32_t i = 0; i < node->n; i++)
		visit(l, node->kids[i]);
}

static void note(const struct look *l, enum lint lint, const struct cel_node *node) {
	struct str text = cel_node_text(l->program, node);
	char message[256];

	snprintf(message, sizeof(message), "%s: %.*s%s", policy_lints[lint].sentence, (int)(text.n > 80 ? 80 : text.n), text.p,
		 text.n > 80 ? "..." : "");
	find_at(l, POLICY_NOTE, lint, node->start, message);
}

static void lint_portability(struct look *l) {
	char message[128];

	visit(l, cel_program_root(l->program));
	snprintf(message, sizeof(message), "%s, and here are %u", policy_lints[LINT_IAM_OPERATORS].sentence, l->operators);
	if (l->operators > IAM_OPERATORS)
		find_at(l, POLICY_WARNING, LINT_IAM_OPERATORS, cel_program_root(l->program)->start, message);
	if (l->attribute)
		note(l, LINT_IAM_ATTRIBUTE, l->attribute);
	if (l->function)
		note(l, LINT_IAM_FUNCTION, l->function);
}

void lint_condition(struct document *d, const struct yaml_node *node, const struct condition *condition, bool denies) {
	struct look l = { .d = d, .node = node, .program = condition_program(condition) };

	if (!lint_truth(&l, denies))
		lint_clauses(d, node, condition);
	lint_portability(&l);
}
