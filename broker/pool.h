#pragma once

/*
 * Memory of one size that comes and goes with each request: a bounded few are kept instead of given back, because the
 * allocator, and the kernel behind it when the heap shrinks, cost more than what is done with them.
 *
 * Under AddressSanitizer nothing is kept, so that it sees what is used after its end.
 */

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_KEEP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_KEEP 0
#endif
#endif
#ifndef POOL_KEEP
#define POOL_KEEP 256
#endif

struct pool {
	struct pool_block {
		struct pool_block *next;
	} *kept;
	unsigned n;
};

/* size is the same for all blocks of one pool. NULL: no memory. Not cleared. */
static inline void *pool_get(struct pool *pool, size_t size) {
	struct pool_block *block = pool->kept;

	if (!block)
		return malloc(size);
	pool->kept = block->next;
	pool->n--;
	return block;
}

static inline void pool_put(struct pool *pool, void *memory) {
	struct pool_block *block = memory;

	if (pool->n >= POOL_KEEP) {
		free(memory);
		return;
	}
	block->next = pool->kept;
	pool->kept = block;
	pool->n++;
}

static inline void pool_fini(struct pool *pool) {
	while (pool->kept) {
		struct pool_block *block = pool->kept;

		pool->kept = block->next;
		free(block);
	}
	pool->n = 0;
}
