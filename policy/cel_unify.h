#pragma once

/*
 * Which type may stand where: type variables, what they are bound to, and the most general of two types.
 *
 * A variable is a CEL_T_PARAM whose id counts from 1. An attempt that fails leaves no binding behind. Equal to the
 * language definition's `isAssignable` in both directions: dyn goes with anything, null with what can be null, a
 * wrapper with what it wraps, one type value with any other.
 *
 * The recursion is as deep as the types, and those are as deep as the tree that they are of. Types may share parts, so
 * that one of few nodes stands for exponentially many: what is looked at in one compile is counted, and has an end.
 */

#include "policy/cel.h"

struct cel_unify {
	struct cel_arena *arena;
	const struct cel_type **bound; /* by id; NULL: free */
	struct cel_binding *trail;     /* what to take back when an attempt fails */
	uint32_t n, size, n_trail, size_trail;
	uint32_t work; /* types that may yet be looked at; set by the caller */
	bool failed;   /* memory or work ran out: the answers mean nothing, and the compile fails */
};

/* What the overload's own variables became for one call. */
struct cel_instance {
	uint32_t ids[8], n;
	const struct cel_type *fresh[8];
};

const struct cel_type *cel_unify_fresh(struct cel_unify *u);
/* The overload's type with variables of its own replaced by fresh ones, the same for the same instance. */
const struct cel_type *cel_unify_instance(struct cel_unify *u, struct cel_instance *instance, const struct cel_type *type);

/* Whether each of `actual` may stand for its formal; binds variables where that makes it so. */
bool cel_unify_all(struct cel_unify *u, const struct cel_type *const *actual, const struct cel_type *const *formal, uint32_t n);
static inline bool cel_unify_one(struct cel_unify *u, const struct cel_type *actual, const struct cel_type *formal) {
	return cel_unify_all(u, &actual, &formal, 1);
}

/* Takes back what has been bound since the mark: an attempt to see whether it could be. */
static inline uint32_t cel_unify_mark(const struct cel_unify *u) {
	return u->n_trail;
}
void cel_unify_undo(struct cel_unify *u, uint32_t mark);

bool cel_unify_same(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b); /* in every part */

/* The type of something that is one or the other: the more general, or dyn. a NULL: b. */
const struct cel_type *cel_unify_join(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b);

/* Bound variables replaced; free ones by dyn if `close`. */
const struct cel_type *cel_unify_resolve(struct cel_unify *u, const struct cel_type *type, bool close);
