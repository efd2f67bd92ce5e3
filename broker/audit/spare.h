#pragma once

/*
 * Keeps one segment ready, made on a thread of its own, so that going on to the next one never waits for
 * megabytes of zeros. Where none can be made it tries again by itself: this is how the record recovers.
 */

#include <stdint.h>
#include "broker/audit/segment.h"
#include "hallpass/error.h"

struct spare_maker;

/* ready: a spare that is there already (fd -1: none). next_number: of the first to be made. dir is borrowed. */
int spare_maker_start(const struct segment_dir *dir, uint64_t segment_bytes, uint64_t next_number, struct segment *ready,
		      struct spare_maker **out, struct error *err);
/*
 * Waits for a spare and gives it. -1: making one failed since *seen attempts (kept by the caller, 0 at first; a further
 * call waits for the outcome of a further attempt), or stop.
 */
int spare_take(struct spare_maker *maker, struct segment *out, uint64_t *seen, struct error *err);
/* One will be taken soon: the maker, who else lets a second pass after one was taken, goes ahead. */
void spare_expect(struct spare_maker *maker);
/* Makes spare_take() return at once from now on; no further attempts. */
void spare_maker_stop(struct spare_maker *maker);
/* Whether it ended after spare_maker_stop(); waits up to timeout_ms. False: the disk has it. */
bool spare_maker_ended(struct spare_maker *maker, unsigned timeout_ms);
/* Joins the thread. The spare stays on disk for the next start. */
void spare_maker_free(struct spare_maker *maker); /* takes NULL */
