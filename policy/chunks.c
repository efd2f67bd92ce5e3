/* See chunks.h. */

#include <stdlib.h>
#include <string.h>
#include "policy/chunks.h"

#define CHUNK_SIZE ((size_t)64 << 10)

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(max_align_t) char data[];
};

static struct chunk *chunk_new(size_t size, struct chunk *next) {
	struct chunk *chunk;

	if (size > SIZE_MAX - sizeof(*chunk))
		return NULL;
	chunk = malloc(sizeof(*chunk) + size);
	if (chunk)
		*chunk = (struct chunk){ .next = next, .size = size };
	return chunk;
}

void *chunks_get(struct chunks *chunks, size_t size, size_t align) {
	struct chunk *chunk = chunks->last;
	size_t at = chunk ? (chunk->used + align - 1) & ~(align - 1) : 0;

	if (!chunk || at > chunk->size || size > chunk->size - at) {
		chunk = chunk_new(size > CHUNK_SIZE ? size : CHUNK_SIZE, chunk);
		if (!chunk)
			return NULL;
		chunks->last = chunk;
		at = 0;
	}
	chunk->used = at + size;
	return chunk->data + at;
}

void *chunks_copy(struct chunks *chunks, const void *data, size_t size, size_t align) {
	void *copy = chunks_get(chunks, size, align);

	if (copy && size)
		memcpy(copy, data, size);
	return copy;
}

char *chunks_str(struct chunks *chunks, const char *s, size_t n) {
	char *copy = chunks_get(chunks, n + 1, 1);

	if (!copy)
		return NULL;
	if (n)
		memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

void chunks_fini(struct chunks *chunks) {
	struct chunk *next;

	for (; chunks->last; chunks->last = next) {
		next = chunks->last->next;
		free(chunks->last);
	}
}
