/*
 * Nodes that do what conditions mostly do, in one step: compare two values whose kinds the checker knows, look a value up
 * among constants, take a field of a time. Each does the plain evaluator's work for the kinds that it was chosen for and
 * for nothing else: any other operand, an error and an unknown among them, goes to cel_eval_with(), which is what
 * evaluates a call that is not fused. So there is one meaning, and here is a short cut to it. The tree stays as it is.
 */

#include "policy/cel_internal.h"

/* Leaves without a call. */
static inline struct cel_value operand(const struct cel_node *node, struct cel_run *run) {
	if (node->eval == cel_eval_slot && run->slots[node->slot].kind != CEL_NONE)
		return run->slots[node->slot];
	if (node->eval == cel_eval_const)
		return node->constant;
	if (node->eval == cel_eval_local && run->locals[node->slot].kind != CEL_NONE)
		return run->locals[node->slot];
	return cel_eval_in(node, run);
}

/* The plain way, with what the operands have become. */
__attribute__((noinline)) static struct cel_value plainly(const struct cel_node *node, struct cel_run *run, struct cel_value a,
							   struct cel_value b) {
	const struct cel_value args[] = { a, b };

	return cel_eval_with(node, run, args);
}

/* --- two operands of known kinds */

static inline bool same_text(struct cel_value a, struct cel_value b) {
	return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

static inline bool begins_with(struct cel_value a, struct cel_value b) {
	return a.n >= b.n && memcmp(a.s, b.s, b.n) == 0;
}

static inline bool ends_with(struct cel_value a, struct cel_value b) {
	return a.n >= b.n && memcmp(a.s + (a.n - b.n), b.s, b.n) == 0;
}

static inline int order_of_times(struct cel_value a, struct cel_value b) {
	return cel_time_compare(cel_time_of(a), cel_time_of(b));
}

/* Where the right operand is a constant; and where anything may stand. */
#define PAIR_CONSTANT(name, of, holds)                                                                                 \
	static struct cel_value name##_constant(const struct cel_node *node, struct cel_run *run) {                    \
		struct cel_value a = operand(node->kids[0], run), b = node->kids[1]->constant;                          \
                                                                                                                       \
		return a.kind == of && b.kind == of ? cel_of_bool(holds) : plainly(node, run, a, b);                   \
	}
#define PAIR(name, of, holds)                                                                                          \
	PAIR_CONSTANT(name, of, holds)                                                                                 \
	static struct cel_value name(const struct cel_node *node, struct cel_run *run) {                               \
		struct cel_value a = operand(node->kids[0], run), b = operand(node->kids[1], run);                      \
                                                                                                                       \
		return a.kind == of && b.kind == of ? cel_of_bool(holds) : plainly(node, run, a, b);                   \
	}

PAIR(eq_text, CEL_STRING, same_text(a, b))
PAIR(ne_text, CEL_STRING, !same_text(a, b))
PAIR_CONSTANT(starts_text, CEL_STRING, begins_with(a, b))
PAIR_CONSTANT(ends_text, CEL_STRING, ends_with(a, b))
PAIR(eq_int, CEL_INT, a.i == b.i)
PAIR(ne_int, CEL_INT, a.i != b.i)
PAIR(lt_int, CEL_INT, a.i < b.i)
PAIR(le_int, CEL_INT, a.i <= b.i)
PAIR(gt_int, CEL_INT, a.i > b.i)
PAIR(ge_int, CEL_INT, a.i >= b.i)
PAIR(eq_bool, CEL_BOOL, a.u == b.u)
PAIR(ne_bool, CEL_BOOL, a.u != b.u)
PAIR(lt_time, CEL_TIMESTAMP, order_of_times(a, b) < 0)
PAIR(le_time, CEL_TIMESTAMP, order_of_times(a, b) <= 0)
PAIR(gt_time, CEL_TIMESTAMP, order_of_times(a, b) > 0)
PAIR(ge_time, CEL_TIMESTAMP, order_of_times(a, b) >= 0)
PAIR(lt_span, CEL_DURATION, a.i < b.i)
PAIR(le_span, CEL_DURATION, a.i <= b.i)
PAIR(gt_span, CEL_DURATION, a.i > b.i)
PAIR(ge_span, CEL_DURATION, a.i >= b.i)

#define ROW(fn, of, name) { CEL_FN_##fn, CEL_T_##of, name, name##_constant }

static const struct {
	enum cel_fn fn;
	enum cel_type_kind of;
	cel_eval_fn *eval, *constant;
} pairs[] = {
	ROW(EQ, STRING, eq_text), ROW(NE, STRING, ne_text), { CEL_FN_STARTS_WITH, CEL_T_STRING, NULL, starts_text_constant },
	{ CEL_FN_ENDS_WITH, CEL_T_STRING, NULL, ends_text_constant }, ROW(EQ, INT, eq_int), ROW(NE, INT, ne_int),
	ROW(LT, INT, lt_int), ROW(LE, INT, le_int), ROW(GT, INT, gt_int),
	ROW(GE, INT, ge_int), ROW(EQ, BOOL, eq_bool), ROW(NE, BOOL, ne_bool),
	ROW(LT, TIMESTAMP, lt_time), ROW(LE, TIMESTAMP, le_time), ROW(GT, TIMESTAMP, gt_time),
	ROW(GE, TIMESTAMP, ge_time), ROW(LT, DURATION, lt_span), ROW(LE, DURATION, le_span),
	ROW(GT, DURATION, gt_span), ROW(GE, DURATION, ge_span),
};

/* Of one type both, or of that type the one and nobody knows which the other. */
static bool is_pair_of(const struct cel_node *node, enum cel_type_kind kind) {
	enum cel_type_kind a = node->kids[0]->type->kind, b = node->kids[1]->type->kind;

	return (a == kind && (b == kind || b == CEL_T_DYN)) || (b == kind && a == CEL_T_DYN);
}

static cel_eval_fn *fuse_pair(const struct cel_node *node) {
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i].fn == node->fn && is_pair_of(node, pairs[i].of))
			return node->kids[1]->kind == CEL_N_CONST ? pairs[i].constant : pairs[i].eval;
	return NULL;
}

/* --- membership */

/* In a short list of constants of one kind, texts or ints; a long one has a table (cel_set). */
static bool is_among(const struct cel_list *list, struct cel_value v) {
	uint32_t i = 0;

	if (v.kind == CEL_STRING)
		while (i < list->n && !same_text(v, list->items[i]))
			i++;
	else
		while (i < list->n && v.i != list->items[i].i)
			i++;
	return i < list->n;
}

static struct cel_value in_constants(const struct cel_node *node, struct cel_run *run) {
	struct cel_value v = operand(node->kids[0], run), list = node->kids[1]->constant;

	if (v.kind == list.list->items[0].kind)
		return cel_of_bool(node->set ? cel_set_has(node->set, v) : is_among(list.list, v));
	return plainly(node, run, v, list);
}

static struct cel_value in_list(const struct cel_node *node, struct cel_run *run) {
	struct cel_value v = operand(node->kids[0], run), list = operand(node->kids[1], run);
	bool found;

	if (v.kind != CEL_STRING || list.kind != CEL_LIST)
		return plainly(node, run, v, list);
	if (node->charge && !cel_charge(run, node, (struct cel_value[]){ v, list }))
		return cel_fail_cost(run, node);
	return cel_list_has(run, list, v, &found) ? cel_of_bool(found) : cel_fail_iterations(run, node);
}

static bool is_uniform(const struct cel_node *node) {
	struct cel_value list = node->constant;

	if (node->kind != CEL_N_CONST || list.kind != CEL_LIST || list.flags & CEL_VALUE_JSON || !list.list->n)
		return false;
	for (uint32_t i = 0; i < list.list->n; i++)
		if (list.list->items[i].kind != list.list->items[0].kind)
			return false;
	return list.list->items[0].kind == CEL_STRING || list.list->items[0].kind == CEL_INT;
}

/* Long lists without a table cost iterations, which only the plain way counts. */
static cel_eval_fn *fuse_in(const struct cel_node *node) {
	if (is_uniform(node->kids[1]))
		return node->set || node->kids[1]->constant.list->n <= 8 ? in_constants : NULL;
	return node->kids[0]->type->kind == CEL_T_STRING && node->kids[1]->kind != CEL_N_CONST ? in_list : NULL;
}

/* --- fields of a time */

static struct cel_value get_field(const struct cel_node *node, struct cel_run *run) {
	struct cel_value t = operand(node->kids[0], run);

	if (t.kind == CEL_TIMESTAMP)
		return cel_of_int(cel_time_get(cel_getter_field(node), cel_time_of(t), node->zone));
	return plainly(node, run, t, node->n == 2 ? node->kids[1]->constant : t);
}

cel_eval_fn *cel_fuse(const struct cel_node *node) {
	if (node->kind != CEL_N_CALL || !node->overload)
		return NULL;
	if (node->fn == CEL_FN_IN && node->n == 2)
		return fuse_in(node);
	if (node->charge)
		return NULL; /* somebody has to take it */
	if (node->zone_resolved && node->kids[0]->type->kind == CEL_T_TIMESTAMP)
		return get_field;
	if (node->n != 2)
		return NULL;
	return fuse_pair(node);
}
