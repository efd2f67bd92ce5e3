/* Names to variables, calls to overloads, and the types of all. See cel_internal.h. */

#include <stdio.h>
#include "hallpass/nearest.h"
#include "policy/cel_internal.h"

/* A variable of a loop or binding, and those outside of it. */
struct scope {
	const struct scope *outer;
	struct str name;
	uint32_t slot;
	const struct cel_type *type;
};

struct checker {
	struct cel_compile *c;
	bool lenient; /* unchecked: types are not judged */
};

static const struct cel_type *check(struct checker *k, struct cel_node *node, const struct scope *scope);

static const struct cel_type *check_error(struct checker *k, const struct cel_node *node, const char *fmt, const char *a,
					  const char *b) __attribute__((format(printf, 3, 0)));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static const struct cel_type *check_error(struct checker *k, const struct cel_node *node, const char *fmt, const char *a,
					  const char *b) {
	cel_compile_fail(k->c, CEL_PHASE_CHECK, node->at, fmt, a, b);
	return NULL;
}
#pragma GCC diagnostic pop

/* --- types */

#define MAX_PARAMS 4 /* type variables of one overload: ids 1.. */

struct binding {
	const struct cel_type *to[MAX_PARAMS];
};

static bool assignable(struct binding *b, const struct cel_type *formal, const struct cel_type *actual) {
	if (formal->kind == CEL_T_PARAM && formal->id < MAX_PARAMS) {
		const struct cel_type **to = &b->to[formal->id];

		if (!*to || (*to)->kind == CEL_T_DYN) {
			*to = actual;
			return true;
		}
		return actual->kind == CEL_T_DYN || assignable(b, *to, actual);
	}
	if (formal->kind == CEL_T_DYN || actual->kind == CEL_T_DYN || formal == actual)
		return true;
	if (actual->kind == CEL_T_NULL)
		return formal->kind == CEL_T_TIMESTAMP || formal->kind == CEL_T_DURATION || formal->kind == CEL_T_NULL ||
		       formal->kind == CEL_T_OPTIONAL;
	if (formal->kind != actual->kind || (formal->kind == CEL_T_NAMED && formal != actual))
		return false;
	for (unsigned i = 0; i < formal->n && i < actual->n; i++)
		if (!assignable(b, formal->params[i], actual->params[i]))
			return false;
	return true;
}

static const struct cel_type *substitute(struct checker *k, const struct binding *b, const struct cel_type *type) {
	const struct cel_type *first, *second;

	if (type->kind == CEL_T_PARAM)
		return type->id < MAX_PARAMS && b->to[type->id] ? b->to[type->id] : &cel_dyn;
	if (!type->n)
		return type;
	first = substitute(k, b, type->params[0]);
	second = type->n > 1 ? substitute(k, b, type->params[1]) : NULL;
	type = cel_type_make(&k->c->program->arena, type->kind, first, second);
	return type ? type : &cel_dyn;
}

static const struct cel_type *join(const struct cel_type *a, const struct cel_type *b) {
	return !a ? b : cel_type_same(a, b) ? a : &cel_dyn;
}

static const char *type_text(const struct cel_type *type, char *out, size_t size) {
	struct buf b = BUF_INIT(size - 1);

	cel_type_print(type, &b);
	snprintf(out, size, "%s", b.data ? b.data : "");
	buf_fini(&b);
	return out;
}

static bool want_bool(struct checker *k, const struct cel_node *node, const struct cel_type *type) {
	char text[100];

	if (k->lenient || type->kind == CEL_T_BOOL || type->kind == CEL_T_DYN)
		return true;
	check_error(k, node, "expected type 'bool' but found '%s'%s", type_text(type, text, sizeof(text)), "");
	return false;
}

/* --- names */

/* "a.b.c" of a chain of plain selections from an identifier; false: it is none, or too long. */
static bool dotted_name(const struct cel_node *node, char *out, size_t size) {
	size_t n;

	if (node->kind == CEL_N_IDENT)
		return (size_t)snprintf(out, size, "%s", node->name.p) < size;
	if (node->kind != CEL_N_SELECT || node->opt_select || node->rooted || !dotted_name(node->kids[0], out, size))
		return false;
	n = strlen(out);
	return (size_t)snprintf(out + n, size - n, ".%s", node->name.p) < size - n;
}

static const struct cel_node *leftmost(const struct cel_node *node) {
	while (node->kind == CEL_N_SELECT)
		node = node->kids[0];
	return node;
}

static const struct scope *find_local(const struct scope *scope, const struct cel_node *ident) {
	for (; scope && !ident->rooted; scope = scope->outer)
		if (str_eq(scope->name, ident->name))
			return scope;
	return NULL;
}

/* Inside out: container A.B is tried as A.B.name, A.name, name. */
static const struct cel_variable *find_variable(const struct cel_env *env, const char *name, bool rooted) {
	size_t n = rooted ? 0 : strlen(env->container);
	const struct cel_variable *v;
	char full[600];

	for (;;) {
		if ((size_t)snprintf(full, sizeof(full), "%.*s%s%s", (int)n, env->container, n ? "." : "", name) < sizeof(full) &&
		    (v = cel_env_find_variable(env, full)))
			return v;
		if (!n)
			return NULL;
		while (n && env->container[n - 1] != '.')
			n--;
		n -= n > 0;
	}
}

static const struct cel_type *become_slot(struct checker *k, struct cel_node *node, const struct cel_variable *v) {
	node->kind = CEL_N_SLOT;
	node->slot = v->slot;
	node->n = 0;
	k->c->program->used[v->slot] = 1;
	return node->test ? &cel_bool : v->type;
}

static const struct cel_type *become_type(struct checker *k, struct cel_node *node, const struct cel_type *type) {
	const struct cel_type *of = cel_type_make(&k->c->program->arena, CEL_T_TYPE, type, NULL);

	node->kind = CEL_N_CONST;
	node->constant = cel_of_type(type);
	node->n = 0;
	return of ? of : &cel_type_type;
}

/* The whole chain as a variable or a type; NULL without an error: it is neither. */
static const struct cel_type *resolve_chain(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_node *first = leftmost(node);
	const struct cel_variable *v;
	const struct cel_type *type;
	char name[500];

	if (first->kind != CEL_N_IDENT || find_local(scope, first) || !dotted_name(node, name, sizeof(name)))
		return NULL;
	if ((v = find_variable(k->c->program->env, name, first->rooted)))
		return become_slot(k, node, v);
	type = node->test ? NULL : cel_type_find(name);
	return type ? become_type(k, node, type) : NULL;
}

static const struct cel_type *undeclared(struct checker *k, const struct cel_node *node, const char *name) {
	const struct cel_env *env = k->c->program->env;
	struct nearest nearest;

	nearest_init(&nearest, name);
	for (size_t i = 0; i < env->n_slots; i++)
		nearest_offer(&nearest, env->by_slot[i]->name);
	if (nearest.best)
		return check_error(k, node, "undeclared reference to '%s'; did you mean %s?", name, nearest.best);
	return check_error(k, node, "undeclared reference to '%s' (in container '%s')", name, env->container);
}

static const struct cel_type *check_ident(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct scope *local = find_local(scope, node);
	const struct cel_type *type;

	if (local) {
		node->kind = CEL_N_LOCAL;
		node->slot = local->slot;
		return local->type;
	}
	type = resolve_chain(k, node, scope);
	return type ? type : undeclared(k, node, node->name.p);
}

static const struct cel_type *check_select(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *type = resolve_chain(k, node, scope);
	char whole[500], text[100];

	if (type)
		return type;
	/* The error names the whole chain: request.tim is misspelt, not request. */
	if (leftmost(node)->kind == CEL_N_IDENT && !find_local(scope, leftmost(node)) && dotted_name(node, whole, sizeof(whole))) {
		struct cel_node *at = node;
		const struct cel_variable *v = NULL;
		char part[500];

		for (; at->kind == CEL_N_SELECT && !v; at = at->kids[0])
			if (dotted_name(at->kids[0], part, sizeof(part)))
				v = find_variable(k->c->program->env, part, leftmost(node)->rooted);
		if (!v && !cel_type_find(part))
			return undeclared(k, leftmost(node), whole);
	}
	type = check(k, node->kids[0], scope);
	if (!type)
		return NULL;
	if (node->test && type->kind == CEL_T_MAP)
		return &cel_bool;
	if (type->kind == CEL_T_MAP)
		return type->params[1];
	if (type->kind == CEL_T_DYN || k->lenient)
		return node->test ? &cel_bool : &cel_dyn;
	return check_error(k, node, "type '%s' does not support field selection%s", type_text(type, text, sizeof(text)), "");
}

/* --- calls */

/* math.abs(x): a function whose name is dotted, not a method of a variable. */
static void unqualify(struct checker *k, struct cel_node *node, const struct scope *scope) {
	char name[400];
	size_t n;

	if (!node->member || leftmost(node->kids[0])->kind != CEL_N_IDENT || find_local(scope, leftmost(node->kids[0])) ||
	    !dotted_name(node->kids[0], name, sizeof(name)))
		return;
	n = strlen(name);
	if ((size_t)snprintf(name + n, sizeof(name) - n, ".%s", node->name.p) >= sizeof(name) - n ||
	    !cel_env_find_function(k->c->program->env, name))
		return;
	node->name = str_of(cel_env_find_function(k->c->program->env, name)->name);
	node->member = false;
	node->kids++;
	node->n--;
}

static const struct cel_type *no_overload(struct checker *k, const struct cel_node *node,
					  const struct cel_type *const *types) {
	struct buf args = BUF_INIT(200);

	for (uint32_t i = 0; i < node->n; i++) {
		buf_adds(&args, i ? ", " : "");
		cel_type_print(types[i], &args);
	}
	check_error(k, node, "found no matching overload for '%s' applied to '(%s)'", node->name.p, args.data ? args.data : "");
	buf_fini(&args);
	return NULL;
}

static const struct cel_type *check_call(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *types[CEL_MAX_ARGS], *result = NULL;
	const struct cel_overload *match = NULL;
	unsigned matches = 0;

	unqualify(k, node, scope);
	node->function = cel_env_find_function(k->c->program->env, node->name.p);
	if (!node->function && !k->lenient)
		return check_error(k, node, "undeclared reference to '%s' (in container '%s')", node->name.p,
				   k->c->program->env->container);
	if (node->n > CEL_MAX_ARGS)
		return check_error(k, node, "too many arguments for '%s'%s", node->name.p, "");
	for (uint32_t i = 0; i < node->n; i++)
		if (!(types[i] = check(k, node->kids[i], scope)))
			return NULL;
	node->fn = node->function ? node->function->fn : CEL_FN_OTHER;
	for (const struct cel_overload *o = node->function ? node->function->first : NULL; o; o = o->next) {
		struct binding b = { { NULL } };
		bool fits = o->n == node->n && o->member == node->member;

		for (uint32_t i = 0; fits && i < node->n; i++)
			fits = assignable(&b, o->params[i], types[i]);
		if (!fits)
			continue;
		matches++;
		match = o;
		result = join(result, substitute(k, &b, o->result));
	}
	if (!matches && !k->lenient)
		return no_overload(k, node, types);
	node->overload = matches == 1 ? match : NULL;
	return k->lenient || !result ? &cel_dyn : result;
}

/* --- the rest */

static const struct cel_type *check_junction(struct checker *k, struct cel_node *node, const struct scope *scope) {
	for (uint32_t i = 0; i < node->n; i++) {
		const struct cel_type *type = check(k, node->kids[i], scope);

		if (!type || !want_bool(k, node->kids[i], type))
			return NULL;
	}
	return &cel_bool;
}

static const struct cel_type *check_cond(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *test = check(k, node->kids[0], scope), *a, *b;
	struct binding none = { { NULL } };

	if (!test || !want_bool(k, node->kids[0], test) || !(a = check(k, node->kids[1], scope)) ||
	    !(b = check(k, node->kids[2], scope)))
		return NULL;
	if (!k->lenient && !assignable(&none, a, b) && !assignable(&none, b, a)) {
		char ta[80], tb[80];

		return check_error(k, node, "found no matching overload for '_?_:_' applied to '(bool, %s, %s)'",
				   type_text(a, ta, sizeof(ta)), type_text(b, tb, sizeof(tb)));
	}
	return a->kind == CEL_T_NULL ? b : join(a, b)->kind == CEL_T_DYN && b->kind == CEL_T_NULL ? a : join(a, b);
}

static const struct cel_type *make(struct checker *k, enum cel_type_kind kind, const struct cel_type *a,
				   const struct cel_type *b) {
	const struct cel_type *type = cel_type_make(&k->c->program->arena, kind, a, b);

	return type ? type : &cel_dyn;
}

static const struct cel_type *check_list(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *item = NULL, *type;

	for (uint32_t i = 0; i < node->n; i++) {
		if (!(type = check(k, node->kids[i], scope)))
			return NULL;
		item = join(item, type);
	}
	return make(k, CEL_T_LIST, item ? item : &cel_dyn, NULL);
}

static const struct cel_type *check_map(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *key = NULL, *value = NULL, *type;

	for (uint32_t i = 0; i < node->n; i++) {
		if (!(type = check(k, node->kids[i], scope)))
			return NULL;
		if (i % 2)
			value = join(value, type);
		else
			key = join(key, type);
	}
	return make(k, CEL_T_MAP, key ? key : &cel_dyn, value ? value : &cel_dyn);
}

static const struct cel_type *check_loop(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *range = check(k, node->kids[0], scope), *last = NULL, *one, *two;
	bool pair = node->var2_name.n > 0, is_map;
	struct scope first, second;
	char text[100];

	if (!range)
		return NULL;
	is_map = range->kind == CEL_T_MAP;
	if (!k->lenient && !is_map && range->kind != CEL_T_LIST && range->kind != CEL_T_DYN)
		return check_error(k, node->kids[0],
				   "expression of type '%s' cannot be range of a comprehension (must be list, map, or dynamic)%s",
				   type_text(range, text, sizeof(text)), "");
	one = range->kind == CEL_T_DYN ? &cel_dyn : is_map ? range->params[0] : pair ? &cel_int : range->params[0];
	two = range->kind == CEL_T_DYN ? &cel_dyn : is_map ? range->params[1] : range->params[0];
	node->var = k->c->program->n_locals++;
	node->var2 = pair ? k->c->program->n_locals++ : CEL_NO_LOCAL;
	first = (struct scope){ scope, node->var_name, node->var, one };
	second = (struct scope){ &first, node->var2_name, node->var2, two };
	for (uint32_t i = 1; i < node->n; i++) {
		bool test = node->macro <= CEL_M_FILTER || (i == 1 && node->n == 3);

		last = check(k, node->kids[i], pair ? &second : &first);
		if (!last || (test && !want_bool(k, node->kids[i], last)))
			return NULL;
	}
	if (node->macro == CEL_M_FILTER)
		return is_map ? make(k, CEL_T_LIST, one, NULL) : range;
	if (node->macro == CEL_M_MAP || node->macro == CEL_M_MAP_IF || node->macro == CEL_M_TRANSFORM_LIST)
		return make(k, CEL_T_LIST, last, NULL);
	return node->macro <= CEL_M_EXISTS_ONE ? &cel_bool : &cel_dyn;
}

static const struct cel_type *check_bind(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *type = check(k, node->kids[0], scope);
	struct scope inner;

	if (!type)
		return NULL;
	if (node->macro != CEL_M_BIND)
		return check_error(k, node, "%s is not offered to conditions%s", "optional syntax", "");
	node->var = k->c->program->n_locals++;
	inner = (struct scope){ scope, node->var_name, node->var, type };
	return check(k, node->kids[1], &inner);
}

static const struct cel_type *type_of_constant(struct cel_value v) {
	return v.kind == CEL_TYPE ? &cel_type_type : cel_kind_type((enum cel_kind)v.kind);
}

/* As deep as the tree, which the parser has bounded. */
static const struct cel_type *check(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *type = NULL;

	switch ((enum cel_node_kind)node->kind) {
	case CEL_N_CONST:
		type = type_of_constant(node->constant);
		break;
	case CEL_N_IDENT:
		type = check_ident(k, node, scope);
		break;
	case CEL_N_SELECT:
		type = check_select(k, node, scope);
		break;
	case CEL_N_CALL:
		type = check_call(k, node, scope);
		break;
	case CEL_N_AND:
	case CEL_N_OR:
	case CEL_N_NOT:
		type = check_junction(k, node, scope);
		break;
	case CEL_N_COND:
		type = check_cond(k, node, scope);
		break;
	case CEL_N_LIST:
		type = check_list(k, node, scope);
		break;
	case CEL_N_MAP:
		type = check_map(k, node, scope);
		break;
	case CEL_N_LOOP:
		type = check_loop(k, node, scope);
		break;
	case CEL_N_BIND:
		type = check_bind(k, node, scope);
		break;
	default:
		return check_error(k, node, "%s is not offered to conditions%s", "this construct", "");
	}
	if (type && (node->optional || node->opt_select))
		return check_error(k, node, "%s is not offered to conditions%s", "optional syntax", "");
	node->type = type;
	return type;
}

int cel_check(struct cel_compile *c) {
	struct checker k = { .c = c, .lenient = c->program->mode & CEL_UNCHECKED };
	const struct cel_type *type = check(&k, c->program->root, NULL);

	if (type && (c->program->mode & CEL_WANT_BOOL))
		want_bool(&k, c->program->root, type);
	return c->failed ? -1 : 0;
}
