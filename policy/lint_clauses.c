/*
 * Two clauses of one && that are never true together, or of one || of which one always is: x == 1 && x == 2, x != 1 || x != 2.
 * See lint.h.
 *
 * A clause that holds an attribute against constants tells all that it could be when it counts: beside x == 1 x is 1. So another
 * clause about this attribute alone is evaluated with those values, and what it is for all of them it always is.
 */

#include <stdio.h>
#include "hallpass/cleanup.h"
#include "policy/cel_ast.h"
#include "policy/condition.h"
#include "policy/lint.h"

#define SLOTS 63	/* whose bit is their own, see cel_slot_bit() */
#define ARENA 16384	/* bytes of one evaluation */
#define EVALUATION 20	/* nodes of lint's work that one counts as */
#define EVALUATIONS 2000 /* for one condition */

struct clauses {
	struct document *d;
	const struct yaml_node *node; /* the expression's scalar */
	const struct cel_program *program;
	unsigned left; /* evaluations */
};

/* What an attribute is where a clause counts. */
struct pin {
	uint32_t slot, n;
	struct cel_value one, list; /* list: CEL_NONE where it is one value */
};

static bool is_attribute(const struct cel_node *node) {
	return node->kind == CEL_N_SLOT && !node->test && node->slot < SLOTS;
}

static bool pin_one(const struct cel_node *attribute, const struct cel_node *constant, struct pin *out) {
	if (!is_attribute(attribute) || constant->kind != CEL_N_CONST)
		return false;
	*out = (struct pin){ .slot = attribute->slot, .n = 1, .one = constant->constant };
	return true;
}

static bool pin_list(const struct cel_node *in, struct pin *out) {
	if (!is_attribute(in->kids[0]) || in->kids[1]->kind != CEL_N_CONST || in->kids[1]->constant.kind != CEL_LIST)
		return false;
	*out = (struct pin){ .slot = in->kids[0]->slot, .n = cel_list_size(in->kids[1]->constant), .list = in->kids[1]->constant };
	return out->n > 0;
}

/* x == 1 and x in [1, 2], which count when true; x != 1 and !(x in [1, 2]), which count when false. */
static bool is_pin(const struct cel_node *clause, bool when, struct pin *out) {
	if (!when && clause->kind == CEL_N_NOT)
		return is_pin(clause->kids[0], true, out);
	if (clause->kind != CEL_N_CALL || clause->n != 2)
		return false;
	if (clause->fn == (when ? CEL_FN_EQ : CEL_FN_NE))
		return pin_one(clause->kids[0], clause->kids[1], out) || pin_one(clause->kids[1], clause->kids[0], out);
	return when && clause->fn == CEL_FN_IN && pin_list(clause, out);
}

static bool is_true(const struct clauses *c, const struct cel_node *clause, const struct cel_value *slots) {
	char memory[ARENA];
	struct cel_arena arena = { .at = memory, .end = memory + ARENA, .step = ARENA, .max = ARENA, .total = ARENA };
	const struct cel_activation activation = { .slots = slots };
	struct cel_value v = cel_eval_node(c->program, clause, &activation, &arena);

	return v.kind == CEL_BOOL && v.b;
}

/* has() is another question: of an attribute that is not there, and beside which a pin errs. Depth: cel_limits.depth. */
static bool asks_whether_it_is_there(const struct cel_node *node) {
	bool asks = node->test;

	for (uint32_t i = 0; i < node->n && !asks; i++)
		asks = asks_whether_it_is_there(node->kids[i]);
	return asks;
}

/* Whether the other clause is `is` for all that the pin lets the attribute be. An error is not true. */
static bool decides(struct clauses *c, const struct pin *pin, const struct cel_node *other, bool is) {
	struct cel_value slots[SLOTS] = { 0 };

	if (other->uses != cel_slot_bit(pin->slot) || other->free_locals || (is && asks_whether_it_is_there(other)))
		return false;
	for (uint32_t i = 0; i < pin->n; i++) {
		if (!c->left || c->d->lint_work < EVALUATION)
			return false;
		c->left--;
		c->d->lint_work -= EVALUATION;
		slots[pin->slot] = pin->list.kind == CEL_LIST ? cel_list_at(pin->list, i) : pin->one;
		if (is_true(c, other, slots) != is)
			return false;
	}
	return true;
}

static void tell(const struct clauses *c, enum lint lint, const struct cel_node *a, const struct cel_node *b) {
	const struct cel_node *first = a->start < b->start ? a : b, *second = first == a ? b : a;
	struct str one = cel_node_text(c->program, first), two = cel_node_text(c->program, second);
	unsigned line, column;

	yaml_position(c->d->tree, c->node, second->start, &line, &column);
	document_lint_at(c->d, lint, line, column, "%s: %.*s%s and %.*s%s", policy_lints[lint].sentence, (int)(one.n > 80 ? 80 : one.n), one.p,
			 one.n > 80 ? "..." : "", (int)(two.n > 80 ? 80 : two.n), two.p, two.n > 80 ? "..." : "");
}

/* The first such pair of one junction. */
static void look_at(struct clauses *c, const struct cel_node *junction) {
	const bool and = junction->kind == CEL_N_AND;
	struct pin pin;

	for (uint32_t i = 0; i < junction->n; i++) {
		if (!is_pin(junction->kids[i], and, &pin))
			continue;
		for (uint32_t k = 0; k < junction->n; k++)
			if (k != i && decides(c, &pin, junction->kids[k], !and)) {
				tell(c, and ? LINT_CONTRADICTION : LINT_TAUTOLOGY, junction->kids[i], junction->kids[k]);
				return;
			}
	}
}

/* Depth: cel_limits.depth. */
static void visit(struct clauses *c, const struct cel_node *node) {
	if (node->kind == CEL_N_AND || node->kind == CEL_N_OR)
		look_at(c, node);
	for (uint32_t i = 0; i < node->n; i++)
		visit(c, node->kids[i]);
}

void lint_clauses(struct document *d, const struct yaml_node *node, const struct condition *condition) {
	struct clauses c = { .d = d, .node = node, .program = condition_program(condition), .left = EVALUATIONS };

	visit(&c, cel_program_root(c.program));
}
