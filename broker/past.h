#pragma once

/*
 * A policy that was in force once, loaded again to tell what it says of a request.
 *
 * Reading and compiling one takes as long as it takes, so it is an errand beside the event loop. The last one stays, since
 * questions about the past come in rows. What a kept version says now is what it said then, except for its lint.
 */

#include "broker/errand.h"
#include "broker/versions.h"
#include "hallpass/error.h"
#include "hallpass/policy.h"

struct past;
struct past_wait;

/* dir: the audit directory. Both are borrowed. */
int past_new(struct errands *errands, const char *dir, struct past **out, struct error *err);
/* Before the errands. What is under way is thrown away when it is done. Takes NULL. */
void past_free(struct past *past);

/* Runs once, later, on the loop, unless cancelled. policy NULL: err says why not. past_start() gives NULL: no memory. */
typedef void past_done_fn(struct policy *policy, const struct error *err, void *arg);
struct past_wait *past_start(struct past *past, const struct version *version, past_done_fn *done, void *arg);
void past_cancel(struct past_wait *wait); /* takes NULL */
