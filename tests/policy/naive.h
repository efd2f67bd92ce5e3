#pragma once

/*
 * A second opinion on CEL: expressions that are well typed by construction, and a naive evaluator over the tree that the
 * generator made, so that lexer, parser, checker, folding and evaluator are all judged by something that shares nothing
 * with them. The choices come from a seed, or from a fuzzer's bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hallpass/buf.h"
#include "policy/cel.h"

#define NAIVE_TREES 400
#define NAIVE_ITEMS 64
#define NAIVE_TEXT 256

/* Types are letters: b bool, i int, u uint, f double, s string, t timestamp, d duration, l list of ints. */
struct naive_tree {
	int op;
	char type;
	int64_t i; /* literal; number of a loop's variable; field of a getter */
	uint32_t ns; /* of a timestamp */
	double f;
	char s[8];
	unsigned n;
	struct naive_tree *kids[4];
};

struct naive {
	uint64_t seed;	      /* used where there are no bytes */
	const uint8_t *bytes; /* choices; once they are used up everything is the simplest */
	size_t n_bytes;
	struct naive_tree trees[NAIVE_TREES];
	unsigned n, loops; /* loop variables in scope */
};

/* A new expression of a type; the one before is gone. */
const struct naive_tree *naive_make(struct naive *m, char type, int depth);
unsigned naive_below(struct naive *m, unsigned n); /* a choice of 0 .. n - 1 */

/* As text, with no more parentheses than the grammar asks for. */
void naive_print(const struct naive_tree *tree, struct buf *out);

struct naive_result {
	char type; /* as above; e: an error; '!': more than this evaluator has room for, so no judgement */
	int64_t i;	  /* int, truth, seconds of a timestamp, nanoseconds of a duration */
	uint64_t u;
	double f;
	unsigned n; /* items; bytes; nanoseconds of a timestamp */
	int64_t items[NAIVE_ITEMS];
	char s[NAIVE_TEXT];
};

/* x: the value of the variable of that name. */
void naive_run(const struct naive_tree *tree, int64_t x, struct naive_result *out);
bool naive_agrees(struct cel_value v, const struct naive_result *result);
