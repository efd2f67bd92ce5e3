/*
 * Runs the CEL conformance suite and prints a table per file; the last line is the totals:
 *
 *	none A/1743 wkt B/112 parse C/2456
 *
 * usage: conformance [-v] [DIRECTORY]      -v: each failing test with its reason
 * `make conformance` runs it; test_conformance holds the totals to a floor.
 */

#include <stdio.h>
#include <string.h>
#include "suite.h"

static void print_file(void *arg, const char *name, const struct suite_counts *c) {
	(void)arg;
	printf("%-16s %5zu/%-5zu %4zu/%-4zu %5zu %7zu/%zu\n", name, c->passed[SUITE_NONE], c->total[SUITE_NONE], c->passed[SUITE_WKT],
	       c->total[SUITE_WKT], c->total[SUITE_PROTO], c->parsed, c->expressions);
}

static void print_failure(void *arg, const char *file, const char *section, const char *name, const char *expr, const char *why) {
	(void)arg;
	printf("  %s/%s/%s: %s\n      %s\n", file, section, name, expr, why);
}

static bool all_passed(const struct suite_counts *c) {
	return c->passed[SUITE_NONE] == c->total[SUITE_NONE] && c->passed[SUITE_WKT] == c->total[SUITE_WKT] && c->parsed == c->expressions;
}

int main(int argc, char **argv) {
	bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	const char *directory = argc > 1 + verbose ? argv[1 + verbose] : suite_directory();
	struct suite_sink sink = { .file = print_file, .failure = verbose ? print_failure : NULL };
	struct suite_counts totals;
	char why[256];
	int r;

	printf("%-16s %11s %9s %5s %s\n", "file", "none", "wkt", "proto", "     parse");
	r = suite_run(directory, NULL, &sink, &totals, why, sizeof(why));
	if (r != 0) {
		printf("%s: %s\n", r == SUITE_ABSENT ? "skipped" : "conformance", why);
		return r == SUITE_ABSENT ? 0 : 1;
	}
	printf("not applicable (protobuf descriptors): %zu\n", totals.total[SUITE_PROTO]);
	printf("none %zu/%zu wkt %zu/%zu parse %zu/%zu\n", totals.passed[SUITE_NONE], totals.total[SUITE_NONE], totals.passed[SUITE_WKT],
	       totals.total[SUITE_WKT], totals.parsed, totals.expressions);
	return all_passed(&totals) ? 0 : 1;
}
