/* See cel.h: bump memory with a ceiling. */

#include <stdlib.h>
#include "policy/cel_internal.h"
#include "policy/no_memory.h"

/*
 * Under AddressSanitizer what is not allocated is poisoned, with at least eight bytes between two allocations, so that
 * running past one is seen. Not in memory that somebody else owns: nobody would take the poison away again.
 */
#ifdef CEL_ARENA_CHECKED
#include <sanitizer/asan_interface.h>
#define REDZONE 8
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define REDZONE 0
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#endif

struct cel_chunk {
	struct cel_chunk *older;
	size_t size;
	char data[] __attribute__((aligned(16)));
};

static bool add_chunk(struct cel_arena *arena, size_t size) {
	struct cel_chunk *chunk;

	if (size > arena->max - arena->total)
		return false;
	chunk = malloc(sizeof(*chunk) + size);
	if (!chunk) {
		note_no_memory();
		return false;
	}
	chunk->older = arena->chunks;
	chunk->size = size;
	arena->chunks = chunk;
	arena->total += size;
	arena->at = chunk->data;
	arena->end = chunk->data + size;
	POISON(chunk->data, size);
	return true;
}

int cel_arena_init(struct cel_arena *arena, size_t step, size_t max, struct error *err) {
	step = (step + 7) & ~(size_t)7;
	*arena = (struct cel_arena){ .step = step, .max = max < step ? step : max };
	if (!add_chunk(arena, step))
		return error_no_memory(err);
	return 0;
}

void cel_arena_fini(struct cel_arena *arena) {
	for (struct cel_chunk *chunk = arena->chunks, *older; chunk; chunk = older) {
		older = chunk->older;
		UNPOISON(chunk->data, chunk->size);
		free(chunk);
	}
	*arena = (struct cel_arena){ 0 };
}

void cel_arena_reset(struct cel_arena *arena) {
	struct cel_chunk *older;

	while (arena->chunks && arena->chunks->older) {
		older = arena->chunks->older;
		arena->total -= arena->chunks->size;
		UNPOISON(arena->chunks->data, arena->chunks->size);
		free(arena->chunks);
		arena->chunks = older;
	}
	arena->failed = false;
	if (arena->chunks) {
		arena->at = arena->chunks->data;
		arena->end = arena->at + arena->chunks->size;
		POISON(arena->at, arena->chunks->size);
	}
}

void *cel_arena_alloc_slow(struct cel_arena *arena, size_t n) {
	size_t redzone = arena->chunks ? REDZONE : 0, left = arena->max - arena->total;
	size_t want = n > SIZE_MAX - 7 - redzone ? SIZE_MAX : ((n + 7) & ~(size_t)7) + redzone;
	void *p;

	if (want > (size_t)(arena->end - arena->at) &&
	    (want > left || !add_chunk(arena, want > arena->step ? want : arena->step < left ? arena->step : left))) {
		arena->failed = true;
		return NULL;
	}
	p = arena->at;
	arena->at += want;
	if (redzone)
		UNPOISON(p, n);
	return p;
}

char *cel_arena_str(struct cel_arena *arena, const char *s, size_t n) {
	char *p = cel_arena_alloc(arena, n + 1);

	if (!p)
		return NULL;
	if (n)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}
