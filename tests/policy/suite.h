#pragma once

/*
 * The CEL conformance suite, read from JSON: loads a directory of test files, asks an engine every test as a question
 * in the form of hallpass/eval.h, judges its answers, and counts.
 *
 * The form of the files and what counts as a pass are told by the README.md beside them: a test in classes `none`
 * (no protobuf needed) and `wkt` (well-known types alone) is run; those of class `proto` need a descriptor pool and are
 * counted as not applicable. The class comes from CLASSES.tsv, by file, section, name and occurrence.
 *
 * Stricter than the suite's own harnesses where they let something through: the result has the very kind that is
 * expected (1 is not 1.0), and a test that expects an error while evaluating must pass the parser and the checker.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum suite_class { SUITE_NONE, SUITE_WKT, SUITE_PROTO, N_SUITE_CLASSES };

struct suite_counts {
	size_t passed[N_SUITE_CLASSES], total[N_SUITE_CLASSES]; /* SUITE_PROTO: none is run */
	size_t parsed, expressions;
};

struct suite_sink {
	/* After each file; name without its ending. */
	void (*file)(void *arg, const char *name, const struct suite_counts *counts);
	/* Each test that fails or does not parse; why is one line. */
	void (*failure)(void *arg, const char *file, const char *section, const char *name, const char *expr, const char *why);
	void *arg;
};

/* Who is examined. */
struct suite_engine {
	json_t *(*answer)(void *arg, const json_t *question); /* a new reference, or NULL */
	void *arg;
};

/* $HALLPASS_CEL_SPEC, or ../shared/cel-spec. */
const char *suite_directory(void);

enum { SUITE_ABSENT = -1, SUITE_BROKEN = -2 };

/*
 * Runs everything; engine NULL: libpolicy, in this process. Both functions of the sink may be NULL. Not 0: why has a
 * sentence (the data is not there, or cannot be read).
 */
int suite_run(const char *directory, const struct suite_engine *engine, const struct suite_sink *sink, struct suite_counts *totals,
	      char *why, size_t why_size);
