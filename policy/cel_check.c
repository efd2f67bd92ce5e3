/* Names to variables, calls to overloads, and the types of all. See cel_internal.h. */

#include <assert.h>
#include <stdio.h>
#include "hallpass/nearest.h"
#include "policy/cel_internal.h"
#include "policy/cel_unify.h"
#include "policy/cel_wkt.h"

/* A variable of a loop or binding, and those outside of it. */
struct scope {
	const struct scope *outer;
	struct str name;
	uint32_t slot;
	const struct cel_type *type;
};

struct checker {
	struct cel_compile *c;
	struct cel_unify unify;
	bool lenient; /* unchecked: types are not judged */
};

static const struct cel_type *check(struct checker *k, struct cel_node *node, const struct scope *scope);

static const struct cel_type *check_error(struct checker *k, const struct cel_node *node, const char *fmt, const char *a,
					  const char *b) __attribute__((format(printf, 3, 0)));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static const struct cel_type *check_error(struct checker *k, const struct cel_node *node, const char *fmt, const char *a,
					  const char *b) {
	if (k->unify.failed) /* whatever seems to be wrong */
		return cel_compile_fail(k->c, CEL_PHASE_LIMIT, node->at, "the types of the expression are too large");
	return cel_compile_fail(k->c, CEL_PHASE_CHECK, node->at, fmt, a, b);
}
#pragma GCC diagnostic pop

/* --- types */

#define TYPE_WORK (1u << 22) /* an expression of the greatest size takes a fraction */

static const struct cel_type *make(struct checker *k, enum cel_type_kind kind, const struct cel_type *a,
				   const struct cel_type *b) {
	const struct cel_type *type = cel_type_make(&k->c->program->arena, kind, a, b);

	if (!type)
		k->unify.failed = true;
	return type ? type : &cel_dyn;
}

static const struct cel_type *join(struct checker *k, const struct cel_type *a, const struct cel_type *b) {
	return cel_unify_join(&k->unify, a, b);
}

/* With what is known by now; what is still open stays open. */
static const struct cel_type *resolve(struct checker *k, const struct cel_type *type) {
	return cel_unify_resolve(&k->unify, type, false);
}

/* A type that nobody knows yet and that is used as if it had fields or elements: dyn, here and elsewhere. */
static bool is_dyn(struct checker *k, const struct cel_type *type) {
	if (type->kind == CEL_T_PARAM)
		cel_unify_one(&k->unify, &cel_dyn, type);
	return type->kind == CEL_T_DYN || type->kind == CEL_T_PARAM;
}

static const char *type_text(struct checker *k, const struct cel_type *type, char *out, size_t size) {
	struct buf b = BUF_INIT(size - 1);

	cel_type_print(cel_unify_resolve(&k->unify, type, true), &b);
	snprintf(out, size, "%s", b.data ? b.data : "");
	buf_fini(&b);
	return out;
}

static void want_bool(struct checker *k, const struct cel_node *node, const struct cel_type *type) {
	char text[100];

	if (!k->lenient && !cel_unify_one(&k->unify, type, &cel_bool))
		check_error(k, node, "expected type 'bool' but found '%s'%s", type_text(k, type, text, sizeof(text)), "");
}

static const struct cel_type *optional_of(struct checker *k, const struct cel_type *type) {
	return make(k, CEL_T_OPTIONAL, type, NULL);
}

/* --- names */

/* A name that grows at its end; too long: it is none that was declared. */
struct dotted {
	size_t n;
	char text[500];
};

static bool add_name(struct dotted *d, struct str name) {
	if (name.n + 2 > sizeof(d->text) - d->n)
		return false;
	if (d->n)
		d->text[d->n++] = '.';
	memcpy(d->text + d->n, name.p, name.n);
	d->n += name.n;
	d->text[d->n] = '\0';
	return true;
}

/* "a.b.c" of a chain of plain selections from an identifier; false: it is none, or too long. */
static bool dotted_name(const struct cel_node *node, struct dotted *out) {
	if (node->kind == CEL_N_IDENT) {
		out->n = 0;
		return add_name(out, node->name);
	}
	if (node->kind != CEL_N_SELECT || node->opt_select || node->rooted || !dotted_name(node->kids[0], out))
		return false;
	return add_name(out, node->name);
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

/* A name as it may be meant, inside out: in container A.B as A.B.name, A.name, name. */
struct candidates {
	const char *container, *name;
	size_t n; /* of container, for the next one */
	bool done;
	const char *full;
	struct dotted dotted;
};

static void candidates_init(struct candidates *c, const struct checker *k, const char *name, bool rooted) {
	c->container = k->c->program->env->container;
	c->name = name;
	c->n = rooted ? 0 : strlen(c->container);
	c->done = false;
}

static bool next_candidate(struct candidates *c) {
	if (c->done)
		return false;
	c->dotted.n = 0;
	c->full = c->name;
	if (c->n)
		c->full = add_name(&c->dotted, (struct str){ c->container, c->n }) && add_name(&c->dotted, str_of(c->name))
				  ? c->dotted.text : "";
	c->done = c->n == 0;
	while (c->n && c->container[c->n - 1] != '.')
		c->n--;
	c->n -= c->n > 0;
	return true;
}

static const struct cel_function *find_function(const struct checker *k, const char *name, bool rooted) {
	const struct cel_function *function = NULL;
	struct candidates c;

	candidates_init(&c, k, name, rooted);
	while (!function && next_candidate(&c))
		function = cel_env_find_function(k->c->program->env, c.full);
	return function;
}

static const struct cel_type *become_slot(struct checker *k, struct cel_node *node, const struct cel_variable *v) {
	node->kind = CEL_N_SLOT;
	node->slot = v->slot;
	node->n = 0;
	k->c->program->used[v->slot] = 1;
	return node->test ? &cel_bool : v->type;
}

static const struct cel_type *become_constant(struct cel_node *node, struct cel_value v, const struct cel_type *type) {
	node->kind = CEL_N_CONST;
	node->constant = v;
	node->n = 0;
	return type;
}

/* The whole chain as a variable, a type or a constant; NULL without an error: it is none of them. */
static const struct cel_type *resolve_chain(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_node *first = leftmost(node);
	const struct cel_variable *v;
	const struct cel_type *type;
	struct candidates c;
	struct dotted name;

	if (first->kind != CEL_N_IDENT || find_local(scope, first) || !dotted_name(node, &name))
		return NULL;
	candidates_init(&c, k, name.text, first->rooted);
	while (next_candidate(&c)) {
		if ((v = cel_env_find_variable(k->c->program->env, c.full)))
			return become_slot(k, node, v);
		if (node->test)
			continue;
		if ((type = cel_type_find(c.full)))
			return become_constant(node, cel_of_type(type), make(k, CEL_T_TYPE, type, NULL));
		if (strcmp(c.full, "google.protobuf.NullValue.NULL_VALUE") == 0)
			return become_constant(node, cel_of_int(0), &cel_int);
	}
	return NULL;
}

/* The chain, or some beginning of it, is a variable or a type. */
static bool knows(struct checker *k, const struct cel_node *node) {
	const struct cel_env *env = k->c->program->env;
	struct candidates c;
	struct dotted part;

	if (node->kind == CEL_N_SELECT && knows(k, node->kids[0]))
		return true;
	if (!dotted_name(node, &part))
		return false;
	candidates_init(&c, k, part.text, leftmost(node)->rooted);
	while (next_candidate(&c))
		if (cel_env_find_variable(env, c.full) || cel_type_find(c.full))
			return true;
	return false;
}

/* Unchecked, a name that nobody declared fails when it is reached, and not before. */
static const struct cel_type *undeclared(struct checker *k, const struct cel_node *node, const char *name) {
	const struct cel_env *env = k->c->program->env;
	struct nearest nearest;

	if (k->lenient)
		return &cel_dyn;
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

/* The type of a field of what is of some type. Of an optional it is optional. */
static const struct cel_type *field_type(struct checker *k, const struct cel_node *node, const struct cel_type *type) {
	bool optional = type->kind == CEL_T_OPTIONAL;
	const struct cel_type *of = optional ? resolve(k, type->params[0]) : type, *result = &cel_dyn;
	char text[100];

	if (of->kind == CEL_T_MAP)
		result = of->params[1];
	else if (!k->lenient && !is_dyn(k, of))
		return check_error(k, node, "type '%s' does not support field selection%s", type_text(k, type, text, sizeof(text)), "");
	if (node->test)
		return &cel_bool;
	return optional || node->opt_select ? optional_of(k, result) : result;
}

static const struct cel_type *check_select(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *type = resolve_chain(k, node, scope);
	const struct cel_node *first = leftmost(node);
	struct dotted whole;

	if (type)
		return type;
	/* The error names the whole chain: request.tim is misspelt, not request. */
	if (!k->lenient && first->kind == CEL_N_IDENT && !find_local(scope, first) && dotted_name(node, &whole) &&
	    !knows(k, node->kids[0]))
		return undeclared(k, first, whole.text);
	type = check(k, node->kids[0], scope);
	return type ? field_type(k, node, resolve(k, type)) : NULL;
}

/* --- calls */

/* math.abs(x): a function whose name is dotted, not a method of a variable. */
static void unqualify(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_node *first = node->member ? leftmost(node->kids[0]) : NULL;
	const struct cel_function *function;
	struct dotted name;

	if (!first || first->kind != CEL_N_IDENT || find_local(scope, first) || !dotted_name(node->kids[0], &name) ||
	    !add_name(&name, node->name))
		return;
	function = find_function(k, name.text, first->rooted);
	if (!function)
		return;
	node->name = str_of(function->name);
	node->member = false;
	node->rooted = true;
	node->kids++;
	node->n--;
}

static const struct cel_type *no_overload(struct checker *k, const struct cel_node *node,
					  const struct cel_type *const *types) {
	struct buf args = BUF_INIT(200);
	char name[64];

	for (uint32_t i = 0; i < node->n; i++) {
		buf_adds(&args, i ? ", " : "");
		cel_type_print(cel_unify_resolve(&k->unify, types[i], true), &args);
	}
	snprintf(name, sizeof(name), "%.60s", node->name.p);
	check_error(k, node, "found no matching overload for '%s' applied to '(%s)'", name, args.data ? args.data : "");
	buf_fini(&args);
	return NULL;
}

/* api.getAtribute(): the receiver is nothing, so the dotted name is what was meant. False: the plain one is. */
static bool is_qualified(struct checker *k, const struct cel_node *node, const struct scope *scope, struct dotted *name) {
	const struct cel_node *target = node->member ? node->kids[0] : NULL;

	return target && leftmost(target)->kind == CEL_N_IDENT && !find_local(scope, leftmost(target)) && dotted_name(target, name) &&
	       !knows(k, target) && add_name(name, node->name);
}

static const struct cel_type *undeclared_function(struct checker *k, const struct cel_node *node, const struct scope *scope) {
	const struct cel_env *env = k->c->program->env;
	struct dotted dotted;
	bool qualified = is_qualified(k, node, scope, &dotted);
	const char *name = qualified ? dotted.text : node->name.p;
	struct nearest nearest;

	nearest_init(&nearest, name);
	for (size_t i = 0; i < CEL_BUCKETS; i++)
		for (const struct cel_function *f = env->functions[i]; f; f = f->next)
			if (!strpbrk(f->name, "_@") && (f->first->member == node->member || qualified))
				nearest_offer(&nearest, f->name);
	if (nearest.best)
		return check_error(k, node, "undeclared reference to '%s'; did you mean %s()?", name, nearest.best);
	return check_error(k, node, "undeclared reference to '%s' (in container '%s')", name, env->container);
}

/* The result of the call by this overload; NULL: it does not fit. */
static const struct cel_type *try_overload(struct checker *k, const struct cel_node *node, const struct cel_overload *o,
					   const struct cel_type *const *types) {
	const struct cel_type *params[CEL_MAX_ARGS];
	struct cel_instance instance = { .n = 0 };

	if (o->n != node->n || o->member != node->member || (o->hidden && !k->lenient))
		return NULL;
	for (uint32_t i = 0; i < o->n; i++)
		params[i] = cel_unify_instance(&k->unify, &instance, o->params[i]);
	if (!cel_unify_all(&k->unify, types, params, o->n))
		return NULL;
	return resolve(k, cel_unify_instance(&k->unify, &instance, o->result));
}

/*
 * The overload that is meant, where only one fits. Where several do, all of them are tried when evaluating, and nothing
 * is learnt about types that are still open: [][0] > [][1] does not make them bool because bools come first.
 */
static const struct cel_type *resolve_call(struct checker *k, struct cel_node *node, const struct cel_type *const *types) {
	const struct cel_type *result = NULL, *one;
	const struct cel_overload *match = NULL;
	unsigned matches = 0;

	for (const struct cel_overload *o = node->function ? node->function->first : NULL; o; o = o->next) {
		uint32_t mark = cel_unify_mark(&k->unify);

		one = try_overload(k, node, o, types);
		cel_unify_undo(&k->unify, mark);
		if (!one)
			continue;
		match = matches++ ? NULL : o;
		result = !result || cel_unify_same(&k->unify, result, one) ? one : &cel_dyn;
	}
	if (!matches && !k->lenient)
		return no_overload(k, node, types);
	node->overload = match;
	if (match)
		result = try_overload(k, node, match, types);
	return k->lenient ? &cel_dyn : result;
}

static const struct cel_type *check_call(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *types[CEL_MAX_ARGS], *type;

	unqualify(k, node, scope);
	node->function = node->member ? cel_env_find_function(k->c->program->env, node->name.p)
				      : find_function(k, node->name.p, node->rooted);
	if (!node->function && !k->lenient) /* its arguments may name the variables of a macro that was meant */
		return undeclared_function(k, node, scope);
	if (node->n > CEL_MAX_ARGS && !k->lenient)
		return check_error(k, node, "too many arguments for '%s'%s", node->name.p, "");
	node->fn = node->function ? node->function->fn : CEL_FN_OTHER;
	for (uint32_t i = 0; i < node->n; i++) {
		if (!(type = check(k, node->kids[i], scope)))
			return NULL;
		if (i < CEL_MAX_ARGS)
			types[i] = type;
	}
	return node->n > CEL_MAX_ARGS ? &cel_dyn : resolve_call(k, node, types);
}

/* --- the rest */

static const struct cel_type *check_junction(struct checker *k, struct cel_node *node, const struct scope *scope) {
	for (uint32_t i = 0; i < node->n; i++) {
		const struct cel_type *type = check(k, node->kids[i], scope);

		if (!type)
			return NULL;
		want_bool(k, node->kids[i], type);
	}
	return &cel_bool;
}

static const struct cel_type *check_cond(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *test = check(k, node->kids[0], scope), *branches[2], *both[2];

	if (!test)
		return NULL;
	want_bool(k, node->kids[0], test);
	if (!(branches[0] = check(k, node->kids[1], scope)) || !(branches[1] = check(k, node->kids[2], scope)))
		return NULL;
	both[0] = both[1] = cel_unify_fresh(&k->unify);
	if (!k->lenient && !cel_unify_all(&k->unify, branches, both, 2)) {
		char a[80], b[80];

		return check_error(k, node, "found no matching overload for '_?_:_' applied to '(bool, %s, %s)'",
				   type_text(k, branches[0], a, sizeof(a)), type_text(k, branches[1], b, sizeof(b)));
	}
	return resolve(k, both[0]);
}

/* [?e], {?k: e}, Message{?f: e}: e is optional, and what counts is what is in it. */
static const struct cel_type *check_element(struct checker *k, struct cel_node *kid, bool optional, const struct scope *scope) {
	const struct cel_type *type = check(k, kid, scope), *inner;
	char text[100];

	if (!type || !optional)
		return type;
	inner = cel_unify_fresh(&k->unify);
	if (!k->lenient && !cel_unify_one(&k->unify, type, optional_of(k, inner)))
		return check_error(k, kid, "expected type 'optional_type(%s)' but found '%s'", "A",
				   type_text(k, type, text, sizeof(text)));
	return resolve(k, inner);
}

static const struct cel_type *check_list(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *item = NULL, *type;

	for (uint32_t i = 0; i < node->n; i++) {
		if (!(type = check_element(k, node->kids[i], node->optional && node->optional[i], scope)))
			return NULL;
		item = join(k, item, type);
	}
	return make(k, CEL_T_LIST, item ? item : cel_unify_fresh(&k->unify), NULL);
}

/* What cannot be a key fails when it is evaluated; its type counts as dyn. */
static const struct cel_type *key_type(struct checker *k, const struct cel_type *type) {
	type = resolve(k, type);
	return type->kind == CEL_T_BOOL || type->kind == CEL_T_INT || type->kind == CEL_T_UINT || type->kind == CEL_T_STRING ||
		       type->kind == CEL_T_PARAM ? type : &cel_dyn;
}

static const struct cel_type *check_map(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *key = NULL, *value = NULL, *type;

	for (uint32_t i = 0; i < node->n; i++) {
		if (!(type = check_element(k, node->kids[i], i % 2 && node->optional && node->optional[i], scope)))
			return NULL;
		if (i % 2)
			value = join(k, value, type);
		else
			key = join(k, key, key_type(k, type));
	}
	return make(k, CEL_T_MAP, key ? key : cel_unify_fresh(&k->unify), value ? value : cel_unify_fresh(&k->unify));
}

/* False: nothing more can be checked. */
static bool check_field(struct checker *k, struct cel_node *node, uint32_t i, const struct scope *scope) {
	const struct cel_type *type = check_element(k, node->kids[i], node->optional && node->optional[i], scope);
	const struct cel_type *want = node->message ? cel_message_field(node->message, node->names[i]) : NULL;
	char a[80], b[80];

	if (!type || k->lenient)
		return type;
	if (!want)
		check_error(k, node->kids[i], "undefined field '%s' of %s", node->names[i].p, node->name.p);
	else if (!cel_unify_one(&k->unify, type, want))
		check_error(k, node->kids[i], "expected type '%s' but found '%s'", type_text(k, want, a, sizeof(a)),
			    type_text(k, type, b, sizeof(b)));
	return true;
}

static const struct cel_type *check_struct(struct checker *k, struct cel_node *node, const struct scope *scope) {
	struct candidates c;

	candidates_init(&c, k, node->name.p, node->rooted);
	while (!node->message && next_candidate(&c))
		node->message = cel_message_find(c.full);
	if (!node->message && !k->lenient)
		return check_error(k, node, "undeclared reference to '%s' (in container '%s')", node->name.p,
				   k->c->program->env->container);
	for (uint32_t i = 0; i < node->n; i++)
		if (!check_field(k, node, i, scope))
			return NULL;
	return node->message ? cel_message_type(node->message) : &cel_dyn;
}

/* What a loop's one or two variables are. False: the range is no range. */
static bool loop_types(struct checker *k, const struct cel_node *node, const struct cel_type *range, const struct cel_type **one,
		       const struct cel_type **two) {
	bool pair = node->var2_name.n > 0;
	char text[100];

	*one = *two = &cel_dyn;
	if (range->kind == CEL_T_MAP) {
		*one = range->params[0];
		*two = range->params[1];
	} else if (range->kind == CEL_T_LIST) {
		*one = pair ? &cel_int : range->params[0];
		*two = range->params[0];
	} else if (!is_dyn(k, range) && !k->lenient) {
		check_error(k, node->kids[0],
			    "expression of type '%s' cannot be range of a comprehension (must be list, map, or dynamic)%s",
			    type_text(k, range, text, sizeof(text)), "");
		return false;
	}
	return true;
}

/* The type of the whole, of what the loop runs over and what its last part gives. */
static const struct cel_type *loop_result(struct checker *k, const struct cel_node *node, const struct cel_type *range,
					  const struct cel_type *key, const struct cel_type *last) {
	char text[100];

	switch ((enum cel_macro)node->macro) {
	case CEL_M_FILTER:
		return range->kind == CEL_T_LIST ? range : make(k, CEL_T_LIST, key, NULL);
	case CEL_M_MAP:
	case CEL_M_MAP_IF:
	case CEL_M_TRANSFORM_LIST:
		return make(k, CEL_T_LIST, last, NULL);
	case CEL_M_TRANSFORM_MAP:
		return make(k, CEL_T_MAP, key, last);
	case CEL_M_TRANSFORM_ENTRY:
		last = resolve(k, last);
		if (!k->lenient && last->kind != CEL_T_MAP && !is_dyn(k, last))
			return check_error(k, node->kids[node->n - 1], "expected type 'map(A, B)' but found '%s'%s",
					   type_text(k, last, text, sizeof(text)), "");
		return last->kind == CEL_T_MAP ? last : &cel_map_dyn;
	case CEL_M_SORT_BY:
		return range->kind == CEL_T_LIST ? range : &cel_list_dyn;
	default:
		return &cel_bool;
	}
}

static const struct cel_type *check_loop(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *range = check(k, node->kids[0], scope), *last = NULL, *one, *two;
	bool pair = node->var2_name.n > 0;
	struct scope first, second;

	if (!range)
		return NULL;
	range = resolve(k, range);
	if (!loop_types(k, node, range, &one, &two))
		return NULL;
	node->var = k->c->program->n_locals++;
	node->var2 = pair ? k->c->program->n_locals++ : CEL_NO_LOCAL;
	first = (struct scope){ scope, node->var_name, node->var, one };
	second = (struct scope){ &first, node->var2_name, node->var2, two };
	for (uint32_t i = 1; i < node->n; i++) {
		bool test = node->macro <= CEL_M_FILTER || (i == 1 && node->n == 3);

		last = check(k, node->kids[i], pair ? &second : &first);
		if (!last)
			return NULL;
		if (test)
			want_bool(k, node->kids[i], last);
	}
	return loop_result(k, node, range, one, last);
}

/* cel.bind, and optMap and optFlatMap, which bind what is in an optional. */
static const struct cel_type *check_bind(struct checker *k, struct cel_node *node, const struct scope *scope) {
	const struct cel_type *type = check_element(k, node->kids[0], node->macro != CEL_M_BIND, scope), *body;
	struct scope inner;
	char text[100];

	if (!type)
		return NULL;
	node->var = k->c->program->n_locals++;
	inner = (struct scope){ scope, node->var_name, node->var, type };
	body = check(k, node->kids[1], &inner);
	if (!body || node->macro == CEL_M_BIND)
		return body;
	if (node->macro == CEL_M_OPT_MAP)
		return optional_of(k, body);
	if (!k->lenient && !cel_unify_one(&k->unify, body, optional_of(k, cel_unify_fresh(&k->unify))))
		return check_error(k, node->kids[1], "expected type 'optional_type(%s)' but found '%s'", "A",
				   type_text(k, body, text, sizeof(text)));
	return body;
}

/* Each of the block's expressions sees those before it, as cel.index(i). */
static const struct cel_type *check_block(struct checker *k, struct cel_node *node, const struct scope *scope) {
	struct cel_arena *arena = &k->c->program->arena;
	struct scope *scopes = cel_arena_alloc(arena, node->n * sizeof(*scopes));
	const struct cel_type *type = NULL;
	char name[32], *copy;

	node->var = k->c->program->n_locals;
	k->c->program->n_locals += node->n - 1;
	for (uint32_t i = 0; i < node->n; i++) {
		type = check(k, node->kids[i], scope);
		if (!type)
			return NULL;
		copy = cel_arena_str(arena, name, (size_t)snprintf(name, sizeof(name), "@index:%u", i));
		if (!scopes || !copy)
			return k->unify.failed = true, &cel_dyn;
		scopes[i] = (struct scope){ scope, str_of(copy), node->var + i, type };
		scope = &scopes[i];
	}
	return type;
}

static const struct cel_type *type_of_constant(struct checker *k, struct cel_value v) {
	return v.kind == CEL_TYPE ? make(k, CEL_T_TYPE, v.type, NULL) : cel_kind_type((enum cel_kind)v.kind);
}

static const struct cel_type *check_kind(struct checker *k, struct cel_node *node, const struct scope *scope) {
	switch ((enum cel_node_kind)node->kind) {
	case CEL_N_CONST:
		return type_of_constant(k, node->constant);
	case CEL_N_IDENT:
		return check_ident(k, node, scope);
	case CEL_N_SELECT:
		return check_select(k, node, scope);
	case CEL_N_CALL:
		return check_call(k, node, scope);
	case CEL_N_AND:
	case CEL_N_OR:
	case CEL_N_NOT:
		return check_junction(k, node, scope);
	case CEL_N_COND:
		return check_cond(k, node, scope);
	case CEL_N_LIST:
		return check_list(k, node, scope);
	case CEL_N_MAP:
		return check_map(k, node, scope);
	case CEL_N_LOOP:
		return check_loop(k, node, scope);
	case CEL_N_BIND:
		return check_bind(k, node, scope);
	case CEL_N_BLOCK:
		return check_block(k, node, scope);
	case CEL_N_STRUCT:
		return check_struct(k, node, scope);
	case CEL_N_SLOT:
	case CEL_N_LOCAL:
		break; /* made here, and never checked twice */
	}
	assert(!"a node that the parser does not make");
	return NULL;
}

/*
 * As deep as the tree, which the parser has bounded. NULL: nothing more can be checked. What was wrong has been told, and
 * counts as dyn from there on, which complains of nothing: so one mistake is one error, and hides no others.
 */
static const struct cel_type *check(struct checker *k, struct cel_node *node, const struct scope *scope) {
	if ((node->optional || node->opt_select) && !(k->c->program->env->libraries & CEL_LIB_OPTIONALS))
		check_error(k, node, "%s is not offered to conditions%s", "optional syntax", "");
	node->type = check_kind(k, node, scope);
	if (k->unify.failed)
		return cel_compile_fail(k->c, CEL_PHASE_LIMIT, node->at, "the types of the expression are too large");
	if (!node->type && k->c->patient)
		node->type = &cel_dyn;
	return node->type && k->lenient ? &cel_dyn : node->type;
}

/* What is still open when everything has been seen is dyn. */
static void close_types(struct checker *k, struct cel_node *node) {
	node->type = k->lenient ? &cel_dyn : cel_unify_resolve(&k->unify, node->type, true);
	for (uint32_t i = 0; i < node->n; i++)
		close_types(k, node->kids[i]);
}

int cel_check(struct cel_compile *c) {
	struct checker k = { .c = c, .unify = { .arena = &c->program->arena, .work = TYPE_WORK },
			     .lenient = c->program->mode & CEL_UNCHECKED };
	const struct cel_type *type;

	c->patient = true;
	type = check(&k, c->program->root, NULL);
	if (!type)
		return -1;
	if (c->program->mode & CEL_WANT_BOOL)
		want_bool(&k, c->program->root, type);
	if (!c->failed)
		close_types(&k, c->program->root);
	if (k.unify.failed)
		cel_compile_fail(c, CEL_PHASE_LIMIT, 0, "the types of the expression are too large");
	return c->failed ? -1 : 0;
}
