#pragma once

/*
 * How often a principal may ask: one token bucket each, in a bounded table.
 *
 * A full table forgets the principal that has been quiet for longest, whose bucket is full or nearly so.
 */

#include <stdbool.h>
#include <stdint.h>

struct limiter;

struct limiter *limiter_new(void); /* NULL: no memory */
void limiter_free(struct limiter *limiter);

enum limit_verdict {
	LIMIT_OK,
	LIMIT_EXCEEDED,	      /* the first refusal of this principal within a second: record it */
	LIMIT_EXCEEDED_AGAIN, /* a further one: the record of the first stands for it */
};

/* now_ms: any clock that does not step. per_minute: refill; burst: depth, both at least 1. */
enum limit_verdict limiter_admit(struct limiter *limiter, const char *principal, int64_t now_ms, unsigned per_minute,
				 unsigned burst);
/* What was admitted a moment ago was less than a whole request, by so many thousandths. */
void limiter_give_back(struct limiter *limiter, const char *principal, int64_t now_ms, unsigned milli, unsigned burst);
