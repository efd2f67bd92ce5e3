#pragma once

/*
 * The known name that somebody probably meant: edit distance with transpositions,
 * ASCII case ignored, at most a third of the word's length away. Linear memory on the stack.
 */

#include <stddef.h>

#define NEAREST_MAX_WORD 128 /* longer words are not compared */

struct nearest {
	const char *word;  /* looked for */
	const char *best;  /* NULL: nothing is near enough */
	unsigned distance; /* of best */
};

void nearest_init(struct nearest *nearest, const char *word);
void nearest_offer(struct nearest *nearest, const char *candidate); /* the first of the nearest stays; borrowed */
