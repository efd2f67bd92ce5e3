#pragma once

/*
 * The answer to `hallpass list`, put together a little at a time: somebody may be named by ten thousand bindings, and the
 * event loop serves others between.
 */

#include <event2/event.h>
#include "broker/request.h"
#include "hallpass/buf.h"

struct listing;

/* body: {"principal", "accounts": [...], "truncated": true where there were more than an answer holds}; borrowed. */
typedef void listing_done_fn(const struct buf *body, void *arg);

/* Borrows snapshot and caller. done runs once, later, unless it is cancelled; it failed when the body is not buf_ok(). NULL: no memory. */
struct listing *listing_start(struct event_base *base, struct snapshot *snapshot, const struct caller *caller,
			      listing_done_fn *done, void *arg);
void listing_cancel(struct listing *listing); /* takes NULL */
