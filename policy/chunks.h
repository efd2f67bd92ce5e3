#pragma once

/*
 * Memory that is given out piece by piece and freed all at once: a document's nodes,
 * a policy's rules. Pieces never move.
 */

#include <stddef.h>
#include <stdint.h>

struct chunk;

struct chunks {
	struct chunk *last;
};

#define chunks_new(chunks, type) ((type *)chunks_get((chunks), sizeof(type), _Alignof(type)))

void *chunks_get(struct chunks *chunks, size_t size, size_t align); /* not zeroed; NULL: memory */
void *chunks_copy(struct chunks *chunks, const void *data, size_t size, size_t align);
char *chunks_str(struct chunks *chunks, const char *s, size_t n); /* a NUL-terminated copy */
void chunks_fini(struct chunks *chunks);
