/* Whom and what a pair is asked about: the rules in question, and ways to ask. See diff.h; when, in diff_times.c. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/cel_ast.h"
#include "policy/condition.h"
#include "policy/diff.h"

#define MAX_EXAMPLES 3 /* of each part */

/* ---- the rules in question ---- */

static int take_rule(struct diff_concerned *c, const struct rule *rule) {
	const struct rule **more;

	if (c->n == c->size) {
		c->size = c->size ? c->size * 2 : 16;
		more = realloc(c->rules, c->size * sizeof(const struct rule *));
		if (!more)
			return -1;
		c->rules = more;
	}
	c->rules[c->n++] = rule;
	return 0;
}

static int take_rules(struct diff_concerned *c, const struct policy *policy, const char *principal, const char *account,
		      enum policy_permission permission) {
	const struct rule_set *sets[] = { &policy->bindings, &policy->denials };
	uint32_t id = names_find(&policy->accounts, account, strlen(account));
	struct candidates candidates;
	const struct rule *rule;
	struct caller caller;

	caller_find(policy, str_of(principal), &caller);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		candidates_begin(&candidates, sets[i], &caller, id, str_of(account), permission);
		while ((rule = candidates_next(&candidates))) {
			c->may_be_allowed |= rule->kind == RULE_BINDING;
			if (take_rule(c, rule) < 0)
				return -1;
		}
	}
	return 0;
}

/* ---- ways to ask ---- */

static void take_examples(struct diff_concerned *c, const struct condition *condition, bool about[N_CONDITION_PARTS]) {
	for (int part = 0; part < N_CONDITION_PARTS; part++)
		about[part] |= condition_is_about(condition, (enum condition_part)part);
	condition_examples(condition, CONDITION_JUSTIFICATION, &c->justifications);
	condition_examples(condition, CONDITION_LIFETIME, &c->lifetimes);
	condition_examples(condition, CONDITION_SURFACE, &c->surfaces);
}

static void add_example_text(struct examples *e, const char *text) {
	for (size_t i = 0; i < e->n; i++)
		if (!strcmp(e->texts[i], text))
			return;
	if (e->n < EXAMPLES)
		snprintf(e->texts[e->n++], EXAMPLE_TEXT, "%s", text);
}

static size_t at_most(size_t n, size_t max) {
	return n < max ? n : max;
}

static const char *first_scope(const struct diff_concerned *c) {
	for (size_t i = 0; i < c->n; i++)
		if (c->rules[i]->kind == RULE_BINDING && c->rules[i]->n_scopes)
			return c->rules[i]->scopes[0];
	return NULL;
}

/* All combinations of a few values of each part that conditions ask for, and of its absence. */
static void vary(struct diff_concerned *c, const char *scope) {
	size_t nj = at_most(c->justifications.n, MAX_EXAMPLES), nl = 0, ns = at_most(c->surfaces.n, 1);
	int64_t spans[MAX_EXAMPLES];

	for (size_t i = 0; i < c->lifetimes.n_spans && nl < MAX_EXAMPLES; i++)
		if (c->lifetimes.spans[i] > 0 && c->lifetimes.spans[i] <= POLICY_MAX_LIFETIME)
			spans[nl++] = c->lifetimes.spans[i];
	for (size_t j = 0; j <= nj; j++)
		for (size_t l = 0; l <= nl; l++)
			for (size_t s = 0; s <= ns; s++)
				for (size_t k = 0; k <= (scope != NULL) && c->n_variants < DIFF_MAX_VARIANTS; k++)
					c->variants[c->n_variants++] = (struct diff_variant){
						.justification = j ? c->justifications.texts[j - 1] : NULL,
						.lifetime_s = l ? spans[l - 1] : 0,
						.surface = s ? c->surfaces.texts[s - 1] : NULL,
						.scope = k ? scope : NULL,
					};
}

static void take_variants(struct diff_concerned *c, enum policy_permission permission) {
	bool about[N_CONDITION_PARTS] = { false };

	for (size_t i = 0; i < c->n; i++)
		if (c->rules[i]->condition)
			take_examples(c, c->rules[i]->condition, about);
	if (about[CONDITION_JUSTIFICATION] && !c->justifications.n)
		add_example_text(&c->justifications, "why it is needed");
	if (about[CONDITION_LIFETIME] && !c->lifetimes.n_spans)
		c->lifetimes.spans[c->lifetimes.n_spans++] = 900;
	if (about[CONDITION_SURFACE])
		add_example_text(&c->surfaces, "metadata");
	vary(c, about[CONDITION_SCOPES] && permission == PERMISSION_GET_ACCESS_TOKEN ? first_scope(c) : NULL);
}

/* ---- names ---- */

static bool is_held_against_constants(const struct cel_node *node, unsigned slot) {
	bool is_in = node->fn == CEL_FN_IN, first;

	if (node->kind != CEL_N_CALL || node->n != 2 || (node->fn != CEL_FN_EQ && node->fn != CEL_FN_NE && !is_in))
		return false;
	first = node->kids[0]->kind == CEL_N_SLOT && node->kids[0]->slot == slot;
	return first ? node->kids[1]->kind == CEL_N_CONST
		     : !is_in && node->kids[1]->kind == CEL_N_SLOT && node->kids[1]->slot == slot && node->kids[0]->kind == CEL_N_CONST;
}

/* Depth: cel_limits.depth. */
static bool looks_into(const struct cel_node *node, unsigned slot) {
	if (node->kind == CEL_N_SLOT && node->slot == slot)
		return true;
	for (uint32_t i = 0; i < node->n && !is_held_against_constants(node, slot); i++)
		if (looks_into(node->kids[i], slot))
			return true;
	return false;
}

bool diff_looks_into(const struct condition *condition, unsigned slot) {
	return looks_into(cel_program_root(condition_program(condition)), slot);
}

int diff_concern(struct diff_concerned *c, const struct diff_question *q, const char *principal, const char *account,
		 enum policy_permission permission) {
	*c = (struct diff_concerned){ 0 };
	for (size_t s = 0; s < 2; s++)
		if (take_rules(c, q->policies[s], principal, account, permission) < 0)
			return -1;
	take_variants(c, permission);
	diff_take_eras(c, q);
	return 0;
}

void diff_concerned_fini(struct diff_concerned *c) {
	free(c->rules);
	*c = (struct diff_concerned){ 0 };
}
