/* hallpass policy test: what policy files say of themselves, and what none of it is about. See cli.h. */

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/cli.h"
#include "broker/clock.h"
#include "broker/file.h"
#include "broker/zonefile.h"

#define MAX_UNTOUCHED 20 /* told to people */

struct untouched {
	const char *kind;
	char *name;
	unsigned line, column;
};

struct run {
	const struct cli *cli;
	const char *path;
	bool timed;
	uint64_t began_us;
	size_t tests, invariants; /* run */
	struct untouched *untouched;
	size_t n_untouched, size;
	json_t *checks; /* NULL: for people */
};

/* --- one by one */

static void on_begins(void *arg, const struct policy_check *check) {
	struct run *run = arg;

	(void)check;
	run->began_us = clock_monotonic_us();
}

static void print_time(const struct run *run, uint64_t us) {
	if (run->timed)
		printf("  %s%llu.%03llu ms%s", out_color(run->cli, COLOR_DIM), (unsigned long long)(us / 1000),
		       (unsigned long long)(us % 1000), out_color(run->cli, COLOR_NONE));
}

static void print_check(const struct run *run, const struct policy_check *check, uint64_t us) {
	const struct cli *cli = run->cli;

	printf("%s%-6s%s %s:%u:%u: %s%s", out_color(cli, check->good ? COLOR_GREEN : COLOR_RED), check->good ? "ok" : "FAILED",
	       out_color(cli, COLOR_NONE), out_safe(run->path), check->line, check->column,
	       check->kind == POLICY_CHECK_INVARIANT ? "invariant " : "", out_safe(check->name));
	print_time(run, us);
	putchar('\n');
	if (check->message) {
		printf("         ");
		out_folded(stdout, 9, out_safe(check->message));
	}
	if (check->fix) {
		printf("         = ");
		out_folded(stdout, 11, out_safe(check->fix));
	}
}

static json_t *check_json(const struct policy_check *check, uint64_t us) {
	return json_pack("{s:s, s:s, s:i, s:i, s:b, s:f, s:s*, s:s*, s:s*, s:O*}", "kind",
			 check->kind == POLICY_CHECK_INVARIANT ? "invariant" : "test", "name", check->name, "line", (int)check->line,
			 "column", (int)check->column, "ok", check->good, "seconds", (double)us / 1e6, "id", check->id, "message",
			 check->message, "fix", check->fix, "counterexample", check->counterexample);
}

static void on_ended(void *arg, const struct policy_check *check) {
	struct run *run = arg;
	uint64_t us = clock_monotonic_us() - run->began_us;

	if (check->kind == POLICY_CHECK_TEST)
		run->tests++;
	else
		run->invariants++;
	if (run->checks)
		json_array_append_new(run->checks, check_json(check, us));
	else
		print_check(run, check, us);
}

static void on_untouched(void *arg, const char *kind, const char *name, unsigned line, unsigned column) {
	struct run *run = arg;
	struct untouched *more;

	if (run->n_untouched == run->size) {
		run->size = run->size ? run->size * 2 : 64;
		more = realloc(run->untouched, run->size * sizeof(*more));
		if (!more)
			abort();
		run->untouched = more;
	}
	run->untouched[run->n_untouched++] = (struct untouched){ kind, strdup(name), line, column };
}

/* --- all of a file */

/* What else refuses the file: what its checks found stands above already. */
static void keep_other_errors(struct policy_report *report) {
	static const char *const told[] = { "test-failed", "invariant-failed", "invariant-unshown", "invariant-too-large" };
	size_t kept = 0;

	for (size_t i = 0; i < report->n; i++) {
		struct policy_finding *f = &report->findings[i];
		bool other = f->severity == POLICY_ERROR;

		for (size_t k = 0; k < sizeof(told) / sizeof(*told); k++)
			other &= strcmp(f->id, told[k]) != 0;
		if (other) {
			report->findings[kept++] = *f;
		} else {
			free(f->message);
			free(f->fix);
		}
	}
	report->n = kept;
	report->more_errors = report->more_warnings = 0;
}

static void print_untouched(const struct run *run) {
	if (!run->n_untouched)
		return;
	printf("No test is decided by:\n");
	for (size_t i = 0; i < run->n_untouched && i < MAX_UNTOUCHED; i++)
		printf("       %s:%u:%u: %s %s\n", out_safe(run->path), run->untouched[i].line, run->untouched[i].column,
		       run->untouched[i].kind, out_safe(run->untouched[i].name));
	if (run->n_untouched > MAX_UNTOUCHED)
		printf("       and %zu more (--json lists them)\n", run->n_untouched - MAX_UNTOUCHED);
}

static void print_other_errors(const struct run *run, struct str text, const struct policy_report *report) {
	struct policy_report findings = { .findings = report->findings, .n = report->n };
	struct buf out = BUF_INIT(1 << 20);

	policy_report_print(&findings, run->path, text, run->cli->color, &out);
	if (out.data)
		fputs(out.data, stdout);
	buf_fini(&out);
}

static void print_share(size_t good, size_t all, const char *what, const char *verb) {
	if (all)
		printf("%zu of %zu %s %s", good, all, what, verb);
	else
		printf("no %s", what);
}

static void print_summary(const struct run *run, const struct policy_report *report, bool good, const struct error *err) {
	bool any = run->tests || run->invariants;

	printf("%s%s: ", out_color(run->cli, good ? COLOR_GREEN : COLOR_RED), out_safe(run->path));
	if (!any && !good) {
		printf("refused before anything could be tested%s%s", report->n ? "" : ": ", report->n ? "" : out_safe(err->message));
	} else {
		print_share(report->tests_run - report->tests_failed, report->tests_run, "tests", "passed");
		printf(", ");
		print_share(report->invariants_run - report->invariants_failed, report->invariants_run + report->invariants_skipped,
			    "invariants", "hold");
	}
	if (report->invariants_skipped)
		printf(", and %zu were not looked at", report->invariants_skipped);
	if (any && report->n)
		printf("; the file is refused all the same");
	printf("%s\n", out_color(run->cli, COLOR_NONE));
}

static json_t *untouched_json(const struct run *run) {
	json_t *list = json_array();

	for (size_t i = 0; i < run->n_untouched; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i}", "kind", run->untouched[i].kind, "name",
						      run->untouched[i].name, "line", (int)run->untouched[i].line, "column",
						      (int)run->untouched[i].column));
	return list;
}

static void print_json(struct run *run, const struct policy_report *report, bool good, const struct error *err) {
	json_t *json = json_pack("{s:s, s:b, s:O, s:o, s:o, s:i, s:s*}", "file", run->path, "ok", good, "checks", run->checks, "untouched",
				 untouched_json(run), "errors", cli_findings_json(report), "skipped", (int)report->invariants_skipped, "error",
				 good ? NULL : err->message);

	out_json(json);
	json_decref(json);
}

static int test_file(struct cli *cli, const char *path) {
	struct run run = { .cli = cli, .path = path, .timed = cli->values[OPT_VERBOSE] || isatty(STDOUT_FILENO),
			   .checks = cli->json ? json_array() : NULL };
	const struct policy_watch watch = { on_begins, on_ended, on_untouched, &run };
	struct policy_report report = { 0 };
	struct policy *policy = NULL;
	struct error err = { 0 };
	char *text = NULL;
	size_t len = 0;
	int r = file_read(path, POLICY_MAX_BYTES, &text, &len, &err);

	if (r == 0)
		r = policy_load_watched(path, (struct str){ text, len }, &zonefile_host, (int64_t)time(NULL), &watch, &policy, &report,
					&err);
	keep_other_errors(&report);
	if (cli->json) {
		print_json(&run, &report, r == 0, &err);
	} else {
		print_untouched(&run);
		print_other_errors(&run, (struct str){ text ? text : "", len }, &report);
		print_summary(&run, &report, r == 0, &err);
	}
	for (size_t i = 0; i < run.n_untouched; i++)
		free(run.untouched[i].name);
	free(run.untouched);
	json_decref(run.checks);
	policy_report_fini(&report);
	policy_unref(policy);
	free(text);
	return r;
}

int cmd_policy_test(struct cli *cli) {
	int r = 0;

	for (size_t i = 0; i < cli->n_args; i++)
		r |= test_file(cli, cli->args[i]);
	return r ? API_EXIT_CONFIG : API_EXIT_OK;
}
