/* At which instants may an answer of a policy change? See universe.h. */

#include <stdlib.h>
#include "policy/cel_ast.h"
#include "policy/cel_time.h"
#include "policy/condition.h"
#include "policy/dates.h"
#include "policy/horizon.h"
#include "policy/universe.h"

#define MAX_INSTANTS 100000
#define MAX_OF_NODE 20000 /* changes of one part of a condition: a year of half hours, forty of working hours */
#define WORK 20000000	 /* nodes looked at: some tenths of a second */
#define ARENA 16384	 /* bytes */

struct look {
	struct universe *u;
	const struct cel_program *program;
	int64_t from, to;
	uint32_t work;
};

static int add(struct look *l, int64_t at) {
	struct universe *u = l->u;
	int64_t *more;

	if (at < l->from || at > l->to)
		return 0;
	if (u->n_instants >= MAX_INSTANTS) {
		u->sampled = true;
		return 0;
	}
	if (u->n_instants == u->size_instants) {
		u->size_instants = u->size_instants ? u->size_instants * 2 : 256;
		more = realloc(u->instants, u->size_instants * sizeof(*more));
		if (!more)
			return -1;
		u->instants = more;
	}
	u->instants[u->n_instants++] = at;
	return 0;
}

/* Of a truth that depends on nothing but the time. */
static int64_t next_truth(struct look *l, const struct cel_node *node, int64_t at) {
	char memory[ARENA];
	struct cel_arena arena = { .at = memory, .end = memory + ARENA, .step = ARENA, .max = ARENA, .total = ARENA };

	return horizon_next_change(l->program, node, condition_time_slot(), at, l->to, &arena, &l->work);
}

static const enum cel_time_field fields[] = {
	CEL_FULL_YEAR,	 CEL_MONTH, CEL_DATE,	 CEL_DAY_OF_MONTH, CEL_DAY_OF_WEEK,
	CEL_DAY_OF_YEAR, CEL_HOURS, CEL_MINUTES, CEL_SECONDS,	   CEL_MILLISECONDS,
};

static int64_t next_of(struct look *l, const struct cel_node *node, int64_t at) {
	int64_t next;

	if (!dates_is_getter(node))
		return next_truth(l, node, at);
	l->work -= l->work > 0;
	next = cel_time_next_change(fields[node->fn - CEL_FN_GET_FULL_YEAR], at, node->zone);
	return next > l->to ? INT64_MAX : next;
}

static int add_changes(struct look *l, const struct cel_node *node) {
	int64_t at = next_of(l, node, l->from);

	for (unsigned i = 0; at != INT64_MAX; i++, at = next_of(l, node, at)) {
		if (i == MAX_OF_NODE || !l->work) {
			l->u->sampled = true;
			return 0;
		}
		if (add(l, at) < 0)
			return -1;
	}
	return 0;
}

static bool is_truth_of_time(const struct cel_node *node) {
	return node->type && node->type->kind == CEL_T_BOOL && node->uses == cel_slot_bit(condition_time_slot()) &&
	       !node->free_locals;
}

/* The largest parts that depend on the time alone; where it is mixed with other things, their constants and getters. Depth: cel_limits.depth. */
static int visit(struct look *l, const struct cel_node *node) {
	if (node->kind == CEL_N_CONST && node->constant.kind == CEL_TIMESTAMP)
		return add(l, node->constant.i) < 0 || (node->constant.n && add(l, node->constant.i + 1) < 0) ? -1 : 0;
	if (is_truth_of_time(node) || dates_is_getter(node))
		return add_changes(l, node);
	for (uint32_t i = 0; i < node->n; i++)
		if (visit(l, node->kids[i]) < 0)
			return -1;
	return 0;
}

static int visit_bounds(struct look *l, const struct rule *rule) {
	return add(l, rule->not_before) < 0 || add(l, rule->not_after) < 0 ? -1 : 0;
}

static int visit_rules(struct look *l, const struct rule_set *set) {
	for (uint32_t i = 0; i < set->n; i++)
		if (visit_bounds(l, &set->rules[i]) < 0)
			return -1;
	return 0;
}

static int visit_policy(struct look *l, const struct policy *policy) {
	if (visit_rules(l, &policy->bindings) < 0 || visit_rules(l, &policy->denials) < 0)
		return -1;
	for (uint32_t i = 0; (l->program = condition_env_program(policy->env, i)); i++)
		if (visit(l, cel_program_root(l->program)) < 0)
			return -1;
	return 0;
}

static int by_time(const void *a, const void *b) {
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void sort_once(struct universe *u) {
	size_t n = 0;

	qsort(u->instants, u->n_instants, sizeof(*u->instants), by_time);
	for (size_t i = 0; i < u->n_instants; i++)
		if (n == 0 || u->instants[i] != u->instants[n - 1])
			u->instants[n++] = u->instants[i];
	u->n_instants = n;
}

int universe_add_instants(struct universe *u, int64_t from, int64_t to, struct error *err) {
	struct look l = { .u = u, .from = from, .to = to, .work = WORK };
	int r = add(&l, from);

	for (size_t i = 0; i < u->n_policies && r == 0; i++)
		r = visit_policy(&l, u->policies[i]);
	if (r < 0)
		return error_set(err, ERR_INTERNAL, "out of memory");
	sort_once(u);
	return 0;
}

int universe_add_instants_of(struct universe *u, const struct rule *const *rules, size_t n, int64_t from, int64_t to,
			     struct error *err) {
	struct look l = { .u = u, .from = from, .to = to, .work = WORK };
	int r = add(&l, from);

	for (size_t i = 0; i < n && r == 0; i++) {
		r = visit_bounds(&l, rules[i]);
		if (r < 0 || !rules[i]->condition)
			continue;
		l.program = condition_program(rules[i]->condition);
		r = visit(&l, cel_program_root(l.program));
	}
	if (r < 0)
		return error_set(err, ERR_INTERNAL, "out of memory");
	sort_once(u);
	return 0;
}
