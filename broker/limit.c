/* See limit.h. */

#include <stdlib.h>
#include <string.h>
#include "broker/limit.h"

#define BUCKETS 1024 /* power of two */
#define WAYS 4	     /* places a principal may stand in */

struct bucket {
	uint64_t hash;	 /* of the principal; 0: free */
	int64_t last_ms; /* when milli was true */
	int64_t milli;	 /* thousandths of a request left */
	int64_t told_ms; /* last refusal that was to be recorded */
};

struct limiter {
	struct bucket buckets[BUCKETS][WAYS];
};

struct limiter *limiter_new(void) {
	return calloc(1, sizeof(struct limiter));
}

void limiter_free(struct limiter *limiter) {
	free(limiter);
}

static uint64_t mixed(uint64_t h) {
	h *= 0x9E3779B97F4A7C15;
	return h ^ h >> 32; /* products carry upwards only */
}

/* A collision makes two principals share a bucket: they are limited sooner, never later. */
static uint64_t limiter_hash(const char *s) {
	size_t n = strlen(s), i = 0;
	uint64_t h = n, word;

	for (; i + sizeof(word) <= n; i += sizeof(word)) {
		memcpy(&word, s + i, sizeof(word));
		h = mixed(h ^ word);
	}
	word = 0;
	memcpy(&word, s + i, n - i);
	h = mixed(mixed(h ^ word));
	return h ? h : 1;
}

static struct bucket *limiter_find(struct limiter *limiter, uint64_t hash, int64_t now_ms, int64_t full) {
	struct bucket *row = limiter->buckets[hash % BUCKETS], *oldest = &row[0];

	for (int i = 0; i < WAYS; i++) {
		if (row[i].hash == hash)
			return &row[i];
		if (row[i].last_ms < oldest->last_ms || !row[i].hash)
			oldest = &row[i];
	}
	*oldest = (struct bucket){ .hash = hash, .last_ms = now_ms, .milli = full, .told_ms = now_ms - 1000 };
	return oldest;
}

enum limit_verdict limiter_admit(struct limiter *limiter, const char *principal, int64_t now_ms, unsigned per_minute,
				 unsigned burst) {
	int64_t full = (int64_t)burst * 1000, passed;
	struct bucket *b = limiter_find(limiter, limiter_hash(principal), now_ms, full);

	passed = now_ms - b->last_ms;
	if (passed > 600000)
		passed = 600000;
	if (passed > 0) {
		/* Thousandths a millisecond = per_minute / 60; what the division loses stays for the next call. */
		int64_t gained = passed * per_minute / 60;

		if (gained > 0) {
			b->milli = b->milli + gained > full ? full : b->milli + gained;
			b->last_ms = now_ms;
		}
	}
	if (b->milli >= 1000) {
		b->milli -= 1000;
		return LIMIT_OK;
	}
	if (now_ms - b->told_ms < 1000)
		return LIMIT_EXCEEDED_AGAIN;
	b->told_ms = now_ms;
	return LIMIT_EXCEEDED;
}

void limiter_give_back(struct limiter *limiter, const char *principal, int64_t now_ms, unsigned milli, unsigned burst) {
	int64_t full = (int64_t)burst * 1000;
	struct bucket *b = limiter_find(limiter, limiter_hash(principal), now_ms, full);

	b->milli = b->milli + milli > full ? full : b->milli + milli;
}
