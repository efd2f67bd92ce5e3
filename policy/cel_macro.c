/* Macros: calls that are not calls. Expanded while parsing, by one table. */

#include <stdio.h>
#include "policy/cel_internal.h"

struct macro {
	const char *name;
	uint8_t args; /* without the receiver */
	uint8_t vars; /* of them, leading */
	enum cel_macro macro;
	unsigned library; /* 0: always */
};

static const struct macro member_macros[] = {
	{ "all", 2, 1, CEL_M_ALL, 0 },
	{ "exists", 2, 1, CEL_M_EXISTS, 0 },
	{ "exists_one", 2, 1, CEL_M_EXISTS_ONE, 0 },
	{ "existsOne", 2, 1, CEL_M_EXISTS_ONE, 0 },
	{ "map", 2, 1, CEL_M_MAP, 0 },
	{ "map", 3, 1, CEL_M_MAP_IF, 0 },
	{ "filter", 2, 1, CEL_M_FILTER, 0 },
	{ "all", 3, 2, CEL_M_ALL, CEL_LIB_TWO_VARIABLES },
	{ "exists", 3, 2, CEL_M_EXISTS, CEL_LIB_TWO_VARIABLES },
	{ "exists_one", 3, 2, CEL_M_EXISTS_ONE, CEL_LIB_TWO_VARIABLES },
	{ "existsOne", 3, 2, CEL_M_EXISTS_ONE, CEL_LIB_TWO_VARIABLES },
	{ "transformList", 3, 2, CEL_M_TRANSFORM_LIST, CEL_LIB_TWO_VARIABLES },
	{ "transformList", 4, 2, CEL_M_TRANSFORM_LIST, CEL_LIB_TWO_VARIABLES },
	{ "transformMap", 3, 2, CEL_M_TRANSFORM_MAP, CEL_LIB_TWO_VARIABLES },
	{ "transformMap", 4, 2, CEL_M_TRANSFORM_MAP, CEL_LIB_TWO_VARIABLES },
	{ "transformMapEntry", 3, 2, CEL_M_TRANSFORM_ENTRY, CEL_LIB_TWO_VARIABLES },
	{ "transformMapEntry", 4, 2, CEL_M_TRANSFORM_ENTRY, CEL_LIB_TWO_VARIABLES },
	{ "sortBy", 2, 1, CEL_M_SORT_BY, CEL_LIB_LISTS },
	{ "optMap", 2, 1, CEL_M_OPT_MAP, CEL_LIB_OPTIONALS },
	{ "optFlatMap", 2, 1, CEL_M_OPT_FLAT_MAP, CEL_LIB_OPTIONALS },
};

static bool is_variable(const struct cel_node *node) {
	return node->kind == CEL_N_IDENT && !node->rooted;
}

static bool is_target(const struct cel_node *node, const char *name) {
	return node->member && is_variable(node->kids[0]) && str_eq(node->kids[0]->name, str_of(name));
}

static struct cel_node *bad_variable(struct cel_compile *c, const struct cel_node *at) {
	return cel_compile_fail(c, CEL_PHASE_PARSE, at->at, "argument must be a simple name");
}

/* has(e.f) is the selection itself, testing. */
static struct cel_node *expand_has(struct cel_compile *c, struct cel_node *node) {
	struct cel_node *select = node->kids[0];

	if (select->kind != CEL_N_SELECT || select->test || select->opt_select)
		return cel_compile_fail(c, CEL_PHASE_PARSE, node->at, "invalid argument to has() macro");
	select->test = true;
	select->start = node->start;
	select->end = node->end;
	return select;
}

/* Takes `from` leading children away, and makes a loop or binding of the rest. */
static struct cel_node *reshape(struct cel_compile *c, struct cel_node *node, enum cel_node_kind kind,
				enum cel_macro macro) {
	node->kind = kind;
	node->macro = macro;
	node->member = false;
	return cel_node_done(c, node, node->end);
}

static struct cel_node *expand_member(struct cel_compile *c, struct cel_node *node, const struct macro *m) {
	struct cel_node **kids = node->kids;

	for (unsigned i = 1; i <= m->vars; i++)
		if (!is_variable(kids[i]))
			return bad_variable(c, kids[i]);
	node->var_name = kids[1]->name;
	if (m->vars == 2)
		node->var2_name = kids[2]->name;
	if (m->vars == 2 && str_eq(node->var_name, node->var2_name))
		return cel_compile_fail(c, CEL_PHASE_PARSE, kids[2]->at, "duplicate variable name: %s", kids[2]->name.p);
	for (unsigned i = 1; i + m->vars < node->n; i++)
		kids[i] = kids[i + m->vars];
	node->n -= m->vars;
	return reshape(c, node, m->macro >= CEL_M_BIND ? CEL_N_BIND : CEL_N_LOOP, m->macro);
}

/* cel.bind(x, value, body) */
static struct cel_node *expand_bind(struct cel_compile *c, struct cel_node *node) {
	if (!is_variable(node->kids[1]))
		return bad_variable(c, node->kids[1]);
	node->var_name = node->kids[1]->name;
	node->kids += 2;
	node->n = 2;
	return reshape(c, node, CEL_N_BIND, CEL_M_BIND);
}

/* cel.block([e, …], body) */
static struct cel_node *expand_block(struct cel_compile *c, struct cel_node *node) {
	struct cel_node *list = node->kids[1], **kids;

	if (list->kind != CEL_N_LIST || list->optional)
		return cel_compile_fail(c, CEL_PHASE_PARSE, list->at, "cel.block requires a list literal");
	kids = cel_arena_alloc(&c->program->arena, (list->n + 1) * sizeof(*kids));
	if (!kids)
		return cel_compile_memory(c, list->at);
	if (list->n)
		memcpy(kids, list->kids, list->n * sizeof(*kids));
	kids[list->n] = node->kids[2];
	node->kids = kids;
	node->n = list->n + 1;
	return reshape(c, node, CEL_N_BLOCK, CEL_M_NONE);
}

/* cel.index(i), cel.iterVar(i, j), cel.accuVar(i, j): names that no source text can spell. */
static struct cel_node *expand_index(struct cel_compile *c, struct cel_node *node) {
	char name[80];
	int n = snprintf(name, sizeof(name), "@%s", node->name.p);

	for (uint32_t i = 1; i < node->n; i++) {
		if (node->kids[i]->kind != CEL_N_CONST || node->kids[i]->constant.kind != CEL_INT ||
		    node->kids[i]->constant.i < 0)
			return cel_compile_fail(c, CEL_PHASE_PARSE, node->kids[i]->at,
						"cel.%s requires a non-negative int literal", node->name.p);
		n += snprintf(name + n, sizeof(name) - (size_t)n, ":%lld", (long long)node->kids[i]->constant.i);
	}
	node->name.p = cel_arena_str(&c->program->arena, name, (size_t)n);
	if (!node->name.p)
		return cel_compile_memory(c, node->at);
	node->name.n = (size_t)n;
	node->n = 0;
	return reshape(c, node, CEL_N_IDENT, CEL_M_NONE);
}

/* math.greatest(a, b, c, …) takes a list from three arguments on. */
static struct cel_node *expand_extreme(struct cel_compile *c, struct cel_node *node) {
	struct cel_node *list;

	if (node->n == 1)
		return cel_compile_fail(c, CEL_PHASE_PARSE, node->at, "math.%s() requires at least one argument", node->name.p);
	if (node->n <= 3)
		return node;
	list = cel_node_new(c, CEL_N_LIST, node->kids[1]->start, node->kids[1]->start, 0);
	if (!list)
		return NULL;
	list->kids = node->kids + 1;
	list->n = node->n - 1;
	if (!cel_node_done(c, list, node->kids[node->n - 1]->end))
		return NULL;
	node->kids = cel_arena_alloc(&c->program->arena, 2 * sizeof(*node->kids));
	if (!node->kids)
		return cel_compile_memory(c, node->at);
	node->kids[0] = list->kids[-1];
	node->kids[1] = list;
	node->n = 2;
	return cel_node_done(c, node, node->end);
}

static const struct {
	const char *target, *name;
	uint8_t args; /* 0: any number */
	unsigned library;
	struct cel_node *(*expand)(struct cel_compile *c, struct cel_node *node);
} qualified_macros[] = {
	{ "cel", "bind", 3, CEL_LIB_BINDINGS, expand_bind },
	{ "cel", "block", 2, CEL_LIB_BLOCK, expand_block },
	{ "cel", "index", 1, CEL_LIB_BLOCK, expand_index },
	{ "cel", "iterVar", 2, CEL_LIB_BLOCK, expand_index },
	{ "cel", "accuVar", 2, CEL_LIB_BLOCK, expand_index },
	{ "math", "greatest", 0, CEL_LIB_MATH, expand_extreme },
	{ "math", "least", 0, CEL_LIB_MATH, expand_extreme },
};

struct cel_node *cel_expand_call(struct cel_compile *c, struct cel_node *node) {
	unsigned libraries = c->program->env->libraries;

	if (!node->member)
		return str_eq(node->name, STR("has")) && node->n == 1 && !node->rooted ? expand_has(c, node) : node;
	for (size_t i = 0; i < sizeof(qualified_macros) / sizeof(qualified_macros[0]); i++)
		if ((libraries & qualified_macros[i].library) && is_target(node, qualified_macros[i].target) &&
		    str_eq(node->name, str_of(qualified_macros[i].name)) &&
		    (!qualified_macros[i].args || node->n == qualified_macros[i].args + 1u))
			return qualified_macros[i].expand(c, node);
	for (size_t i = 0; i < sizeof(member_macros) / sizeof(member_macros[0]); i++)
		if ((!member_macros[i].library || (libraries & member_macros[i].library)) &&
		    node->n == member_macros[i].args + 1u && str_eq(node->name, str_of(member_macros[i].name)))
			return expand_member(c, node, &member_macros[i]);
	return node;
}
