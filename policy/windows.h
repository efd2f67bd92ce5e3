#pragma once

/*
 * When is it so? Spans of time, told as people tell them: "Mon-Fri 08:00-18:00 Europe/Berlin until 2026-12-20 00:00".
 *
 * What is known are eras: stretches between instants at which something may begin or end for good, of each of which a sample from its
 * beginning was looked at. What repeats by the week in some zone is told as a week, and is taken to go on
 * until the era ends; what does not is told span by span, of the sample alone.
 */

#include "hallpass/buf.h"
#include "policy/zones.h"

#define WINDOWS_MAX_ZONES 4

/* from <= t < to */
struct span {
	int64_t from, to;
};

struct spans {
	struct span *list; /* ascending, apart from each other within an era, cut at its ends */
	size_t n, size;
};

/* Joins what touches, where `joins`: not over the end of an era. -1: memory. */
int spans_add(struct spans *spans, int64_t from, int64_t to, bool joins);
void spans_fini(struct spans *spans);

struct era {
	int64_t from, to; /* the sample */
};

struct window_zone {
	struct str name; /* n 0: UTC */
	struct zone_ref zone;
};

/* zones: in which to try, the first one for what does not repeat; none: UTC. */
void windows_say(const struct spans *spans, const struct era *eras, size_t n_eras, const struct window_zone *zones, size_t n_zones,
		 struct buf *out);
/* "2026-12-20 00:00", seconds where there are any. */
void windows_say_instant(int64_t at, const struct window_zone *zone, struct buf *out);
