/* See include/hallpass/nearest.h. Optimal string alignment over three rows. */

#include <ctype.h>
#include <string.h>
#include "hallpass/nearest.h"

static unsigned min3(unsigned a, unsigned b, unsigned c) {
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

static int fold(char c) {
	return tolower((unsigned char)c);
}

/* Words of at most NEAREST_MAX_WORD bytes. */
static unsigned edit_distance(const char *a, size_t la, const char *b, size_t lb) {
	unsigned rows[3][NEAREST_MAX_WORD + 1], *before = rows[0], *above = rows[1], *row = rows[2], *spare;

	for (size_t j = 0; j <= lb; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (fold(a[i - 1]) != fold(b[j - 1])));
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]) &&
			    before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[lb];
}

void nearest_init(struct nearest *nearest, const char *word) {
	*nearest =
		(struct nearest){ .word = word, .distance = (unsigned)(strnlen(word, NEAREST_MAX_WORD) + 2) / 3 + 1 };
}

void nearest_offer(struct nearest *nearest, const char *candidate) {
	size_t la = strnlen(nearest->word, NEAREST_MAX_WORD + 1), lb = strnlen(candidate, NEAREST_MAX_WORD + 1);
	unsigned distance;

	if (la > NEAREST_MAX_WORD || lb > NEAREST_MAX_WORD || (la > lb ? la - lb : lb - la) >= nearest->distance)
		return;
	distance = edit_distance(nearest->word, la, candidate, lb);
	if (distance < nearest->distance) {
		nearest->distance = distance;
		nearest->best = candidate;
	}
}
