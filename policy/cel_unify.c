/* See cel_unify.h. */

#include "policy/cel_internal.h"
#include "policy/cel_unify.h"

struct cel_binding {
	uint32_t id;
	const struct cel_type *before;
};

/* ---- Variables ---- */

static bool grow(struct cel_unify *u, void *list, uint32_t n, uint32_t *size, size_t item) {
	uint32_t bigger = *size ? 2 * *size : 32;
	void **at = list, *copy;

	if (n < *size)
		return true;
	copy = cel_arena_alloc(u->arena, bigger * item);
	if (!copy)
		return u->failed = true, false;
	if (n)
		memcpy(copy, *at, n * item);
	*at = copy;
	*size = bigger;
	return true;
}

const struct cel_type *cel_unify_fresh(struct cel_unify *u) {
	struct cel_type *type = cel_arena_alloc(u->arena, sizeof(*type));

	if (!type || !grow(u, &u->bound, u->n, &u->size, sizeof(*u->bound)))
		return u->failed = true, &cel_dyn;
	u->bound[u->n++] = NULL;
	*type = (struct cel_type){ .kind = CEL_T_PARAM, .name = "?", .id = u->n };
	return type;
}

static bool spend(struct cel_unify *u) {
	if (u->work)
		return u->work--, true;
	return u->failed = true, false;
}

static const struct cel_type *bound_to(const struct cel_unify *u, const struct cel_type *var) {
	return u->bound[var->id - 1];
}

static void bind(struct cel_unify *u, const struct cel_type *var, const struct cel_type *to) {
	if (!grow(u, &u->trail, u->n_trail, &u->size_trail, sizeof(*u->trail)))
		return;
	u->trail[u->n_trail++] = (struct cel_binding){ var->id, bound_to(u, var) };
	u->bound[var->id - 1] = to;
}

void cel_unify_undo(struct cel_unify *u, uint32_t mark) {
	while (u->n_trail > mark) {
		u->n_trail--;
		u->bound[u->trail[u->n_trail].id - 1] = u->trail[u->n_trail].before;
	}
}

/* The same type with other parameters; the type itself where nothing changed. */
static const struct cel_type *rebuilt(struct cel_unify *u, const struct cel_type *type, const struct cel_type *const *params) {
	struct cel_type *copy;

	if (memcmp(params, type->params, type->n * sizeof(*params)) == 0)
		return type;
	copy = cel_arena_alloc(u->arena, sizeof(*copy));
	if (!copy)
		return u->failed = true, &cel_dyn;
	*copy = *type;
	memcpy(copy->params, params, type->n * sizeof(*params));
	return copy;
}

const struct cel_type *cel_unify_resolve(struct cel_unify *u, const struct cel_type *type, bool close) {
	const struct cel_type *params[3];

	if (!spend(u))
		return &cel_dyn;
	if (type->kind == CEL_T_PARAM)
		return bound_to(u, type) ? cel_unify_resolve(u, bound_to(u, type), close) : close ? &cel_dyn : type;
	for (unsigned i = 0; i < type->n; i++)
		params[i] = cel_unify_resolve(u, type->params[i], close);
	return type->n ? rebuilt(u, type, params) : type;
}

const struct cel_type *cel_unify_instance(struct cel_unify *u, struct cel_instance *instance, const struct cel_type *type) {
	const struct cel_type *params[3];
	uint32_t i;

	if (type->kind == CEL_T_PARAM) {
		for (i = 0; i < instance->n && instance->ids[i] != type->id; i++)
			;
		if (i == 8)
			return &cel_dyn;
		if (i == instance->n) {
			instance->ids[instance->n] = type->id;
			instance->fresh[instance->n++] = cel_unify_fresh(u);
		}
		return instance->fresh[i];
	}
	for (i = 0; i < type->n; i++)
		params[i] = cel_unify_instance(u, instance, type->params[i]);
	return type->n ? rebuilt(u, type, params) : type;
}

/* ---- Assignability ---- */

static bool occurs(struct cel_unify *u, const struct cel_type *var, const struct cel_type *in) {
	if (!spend(u))
		return true;
	if (in->kind == CEL_T_PARAM)
		return in->id == var->id || (bound_to(u, in) && occurs(u, var, bound_to(u, in)));
	for (unsigned i = 0; i < in->n; i++)
		if (occurs(u, var, in->params[i]))
			return true;
	return false;
}

static bool nullable(const struct cel_type *type) {
	return type->kind == CEL_T_NULL || type->kind == CEL_T_TIMESTAMP || type->kind == CEL_T_DURATION ||
	       type->kind == CEL_T_OPTIONAL || type->kind == CEL_T_NAMED || type->kind == CEL_T_MESSAGE ||
	       type->kind == CEL_T_WRAPPER;
}

static bool equal_or_more_general(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b) {
	if (!spend(u))
		return false;
	if (a == b || a->kind == CEL_T_DYN || a->kind == CEL_T_PARAM || b->kind == CEL_T_NULL)
		return true;
	if (b->kind == CEL_T_DYN || b->kind == CEL_T_PARAM)
		return false;
	if (a->kind == CEL_T_WRAPPER && b->kind != CEL_T_WRAPPER)
		return true;
	if (a->kind != b->kind || a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (!equal_or_more_general(u, a->params[i], b->params[i]))
			return false;
	return true;
}

static const struct cel_type *more_general(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b) {
	return a->kind != CEL_T_NULL && equal_or_more_general(u, a, b) ? a : b;
}

static bool assign(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b);

bool cel_unify_same(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b) {
	if (a == b || !spend(u))
		return true;
	if (a->kind != b->kind || a->n != b->n || a->id != b->id || strcmp(a->name, b->name) != 0)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (!cel_unify_same(u, a->params[i], b->params[i]))
			return false;
	return true;
}

/* Whether var may be `type`. *was_bound: it had been bound before, and that has been looked at. */
static bool substitute(struct cel_unify *u, const struct cel_type *type, const struct cel_type *var, bool *was_bound) {
	const struct cel_type *now = bound_to(u, var), *general;

	*was_bound = now || type == var;
	if (type == var || (now && cel_unify_same(u, type, now)))
		return true;
	if (now) {
		if (!assign(u, type, now))
			return false;
		general = more_general(u, type, now);
		if (!occurs(u, var, general))
			bind(u, var, general);
		return true;
	}
	if (occurs(u, var, type))
		return false;
	bind(u, var, type);
	return true;
}

static bool assign_params(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b) {
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (!assign(u, a->params[i], b->params[i]))
			return false;
	return true;
}

static bool assign(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b) {
	bool was_bound;

	if (!spend(u))
		return false;
	if (b->kind == CEL_T_PARAM) {
		if (substitute(u, a, b, &was_bound))
			return true;
		if (was_bound)
			return false;
	}
	if (a->kind == CEL_T_PARAM)
		return substitute(u, b, a, &was_bound);
	if (a->kind == CEL_T_DYN || b->kind == CEL_T_DYN)
		return true;
	if (a->kind == CEL_T_NULL || b->kind == CEL_T_NULL)
		return nullable(a->kind == CEL_T_NULL ? b : a);
	if (a->kind == CEL_T_WRAPPER && b->kind != CEL_T_WRAPPER)
		return assign(u, a->params[0], b);
	if (b->kind == CEL_T_WRAPPER && a->kind != CEL_T_WRAPPER)
		return assign(u, a, b->params[0]);
	if (a->kind != b->kind)
		return false;
	if (a->kind == CEL_T_TYPE)
		return true;
	if ((a->kind == CEL_T_NAMED || a->kind == CEL_T_MESSAGE) && strcmp(a->name, b->name) != 0)
		return false;
	return assign_params(u, a, b);
}

bool cel_unify_all(struct cel_unify *u, const struct cel_type *const *actual, const struct cel_type *const *formal, uint32_t n) {
	uint32_t mark = u->n_trail;

	for (uint32_t i = 0; i < n; i++)
		if (!assign(u, actual[i], formal[i])) {
			cel_unify_undo(u, mark);
			return false;
		}
	return true;
}

const struct cel_type *cel_unify_join(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b) {
	if (!a)
		return b;
	return cel_unify_one(u, a, b) ? more_general(u, a, b) : &cel_dyn;
}
