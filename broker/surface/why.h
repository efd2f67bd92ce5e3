#pragma once

/*
 * The question of `hallpass why`: what does the policy say of a request, which one, and at which instant?
 *
 * The request is described in the question, or it is the last one of the principal that was refused. What was is
 * told by the policy that was in force then, which may have to be read first; what is and what will be by the one in force.
 * Who may audit may ask about others and sees every rule; everybody else sees what concerns himself.
 */

#include <jansson.h>
#include <stdbool.h>
#include "broker/request.h"

struct why;

struct why_asker {
	const struct caller *caller;
	struct snapshot *snapshot; /* in force */
	bool may_audit;
};

/* Once, unless cancelled; maybe inside why_start(). json: a new reference; NULL: err, and its reason or NULL. */
typedef void why_done_fn(json_t *json, const struct error *err, const char *reason, void *arg);

/* body: as API_PATH_WHY takes it, NULL: none; borrowed. *out: while it waits; NULL: done was called. asker is copied. */
void why_start(struct request_world *world, const struct why_asker *asker, const json_t *body, why_done_fn *done, void *arg,
	       struct why **out);
void why_cancel(struct why *why); /* takes NULL */
