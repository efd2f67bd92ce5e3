#pragma once

/*
 * Values that an expression would like, made from the constants that it holds a variable against.
 *
 * For suggestions ("with a justification like INC-123"). What comes from here is a guess: whoever shows it evaluates it first.
 * Knows CEL's tree, nothing of requests. No heap.
 */

#include "policy/cel.h"

#define EXAMPLES 8
#define EXAMPLE_TEXT 96 /* bytes, the NUL included */

struct examples {
	char texts[EXAMPLES][EXAMPLE_TEXT];
	size_t n;
	int64_t spans[EXAMPLES]; /* seconds */
	size_t n_spans;
};

/*
 * Adds texts for a string variable: constants that it is compared with, begins or ends with or contains, texts for simple
 * patterns of matches(), and one of all these together; and where its size is compared with a number, longer ones, filled up with `filler` (NULL: none).
 */
void example_texts(const struct cel_program *program, uint32_t slot, const char *filler, struct examples *out);
/* Adds the durations that stand in the expression, and those a second shorter and longer. */
void example_spans(const struct cel_program *program, struct examples *out);
/* Whether this text stands in the expression as a constant, or in a list of constants. */
bool example_mentions(const struct cel_program *program, struct str text);

/* A text in which a simple RE2 pattern is found. False: it is not that simple, or the text would be too long. */
bool example_of_pattern(struct str pattern, char out[EXAMPLE_TEXT]);
