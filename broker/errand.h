#pragma once

/*
 * Errands: what takes long and needs nothing of the event loop's, done on a thread beside it, one at a time, in order.
 *
 * Owns the thread, which comes with the first errand, and the way back to the loop. Does not know what is done: `run` is
 * called on the thread and touches what the errand was given, nothing else; `done` is called on the loop, once, never
 * inside errands_start().
 */

#include <event2/event.h>
#include <stdbool.h>
#include <sys/queue.h>
#include "hallpass/error.h"

struct errand {
	STAILQ_ENTRY(errand) link;
	void (*run)(void *arg);
	void (*done)(void *arg); /* may free the errand, and start others */
	void *arg;
};

struct errands;

int errands_new(struct event_base *base, struct errands **out, struct error *err);
/* Borrows the errand until it is done. Where the system gives no thread it is run here and now. */
void errands_start(struct errands *errands, struct errand *errand);
/* Waits until all are done, those that they start included. False: one takes longer than ms. */
bool errands_finish(struct errands *errands, unsigned ms);
/*
 * Takes NULL. Waits a while for what is under way; what hangs is left behind with its thread: it is never done, and what it
 * was given must stay.
 */
void errands_free(struct errands *errands);
