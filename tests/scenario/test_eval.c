/* hallpass policy eval: for people who write conditions, and for programs that ask in lines of JSON. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/running.h"
#include "tests/lib/world.h"
#include "tests/policy/suite.h"

static struct world w; /* no broker, and none is needed */
static char out[65536], err[65536];

#define CLI(...) run_cli(&w, out, sizeof(out), err, sizeof(err), "policy", "eval", __VA_ARGS__, NULL)

static int setup(void **state) {
	(void)state;
	strcpy(w.dir, "/tmp/hallpass-eval.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	return 0;
}

static int teardown(void **state) {
	(void)state;
	world_end(&w);
	return 0;
}

/* ---- for people ---- */

static void test_eval_prints_the_value_alone(void **state) {
	(void)state;
	assert_int_equal(CLI("1 + 2 * 3"), 0);
	assert_string_equal(out, "7\n");
	assert_string_equal(err, ""); /* a pipe gets no notes */
	assert_int_equal(CLI("user.startsWith(\"al\") && n in [1, 2]", "--set", "user=alice", "--set", "n=2"), 0);
	assert_string_equal(out, "true\n");
	assert_int_equal(CLI("request.lifetime <= duration(\"1h\")", "--set", "request.lifetime=15m"), 0);
	assert_string_equal(out, "true\n");
}

static void test_eval_tells_type_and_horizon(void **state) {
	static const char hours[] = "request.time.getHours(\"Europe/Berlin\") >= 8 && request.time.getHours(\"Europe/Berlin\") < 18";

	(void)state;
	assert_int_equal(CLI("[1, 2]", "-v"), 0);
	assert_string_equal(err, "hallpass: of type list(int)\n");
	assert_int_equal(CLI(hours, "--at", "2026-03-02T10:00:00Z", "-v"), 0);
	assert_string_equal(out, "true\n");
	assert_string_equal(err, "hallpass: of type bool, and surely true until 2026-03-02T17:00:00Z, for 7h\n");
	assert_int_equal(CLI(hours, "--set", "request.time=2026-03-02T18:00:00Z", "-v"), 0);
	assert_string_equal(out, "false\n");
	assert_string_equal(err, "hallpass: of type bool\n");
	assert_int_equal(CLI("request.time > timestamp(\"2020-01-01T00:00:00Z\")", "-v"), 0);
	assert_non_null(strstr(err, "surely true for 31 days"));
	assert_int_equal(CLI("string(request.time) != \"\"", "-v"), 0);
	assert_non_null(strstr(err, "not surely so in the next second"));
	assert_non_null(strstr(err, "nobody can tell until when this holds: string(request.time)"));
}

#define LOOP(name, body) "request.auth.claims." name ".exists(" name ", " body ")"

/* Whether it has a value here or not. */
static void test_eval_warns_of_what_a_policy_refuses(void **state) {
	static const char costly[] = LOOP("a", LOOP("b", LOOP("c", "a == b + c")));

	(void)state;
	assert_int_equal(CLI(costly, "--set", "request.auth.claims={\"a\":[1],\"b\":[0],\"c\":[1]}"), 0);
	assert_string_equal(out, "true\n");
	assert_non_null(strstr(err, "warning: evaluating this can cost "));
	assert_int_equal(CLI(costly), 78);
	assert_non_null(strstr(err, "no such attribute: request.auth.claims"));
	assert_non_null(strstr(err, "warning: evaluating this can cost "));
	assert_int_equal(CLI("timestamp(\"2026-01-01\") < request.time"), 78);
	assert_non_null(strstr(err, "warning: this can never be evaluated"));
}

static void test_eval_shows_where_it_went_wrong(void **state) {
	(void)state;
	assert_int_equal(CLI("1 +\n  2 / (3 - 3)"), 78);
	assert_string_equal(out, "");
	assert_string_equal(err, "expression:2:5: error: division by zero [cel-eval]\n"
				 "  |   2 / (3 - 3)\n"
				 "  |     ^\n");
	assert_int_equal(CLI("request.tme > 1"), 78);
	assert_non_null(strstr(err, "expression:1:1: error: "));
	assert_non_null(strstr(err, "did you mean request.time?"));
	assert_int_equal(CLI("x +"), 78);
	assert_non_null(strstr(err, "[cel-syntax]"));
	assert_int_equal(CLI("1", "--set", "request.time=soon"), 64);
	assert_non_null(strstr(err, "request.time is of type timestamp, which this is not: soon"));
	assert_int_equal(CLI("1", "--set", "x"), 64);
	assert_int_equal(CLI("1", "--at", "soon"), 64);
	assert_int_equal(CLI("1", "2"), 64);
	assert_int_equal(CLI("--set", "x=1"), 64); /* which expression? */
}

static void test_eval_has_json_for_programs(void **state) {
	(void)state;
	assert_int_equal(CLI("--json", "-v", "x + 1u", "--set", "x=41u"), 0);
	assert_string_equal(out, "{\"value\":{\"uint64Value\":\"42\"},\"type\":\"uint\",\"text\":\"42u\"}\n");
	assert_string_equal(err, "");
	assert_int_equal(CLI("--json", "1 / 0"), 78);
	assert_string_equal(out, "{\"error\":\"division by zero\",\"errorId\":\"cel-eval\",\"line\":1,\"column\":3}\n");
	assert_string_equal(err, "");
	assert_int_equal(CLI("--json", "nope && request.tme > 1"), 78);
	assert_non_null(strstr(out, "{\"error\":\"undeclared reference to 'nope'"));
	assert_non_null(strstr(out, "\"findings\":[{\"severity\":\"error\",\"id\":\"cel-type\",\"line\":1,\"column\":1,"));
	assert_non_null(strstr(out, "\"column\":9,\"message\":\"undeclared reference to 'request.tme'"));
	assert_int_equal(CLI("--json", "string(request.time) != \"\""), 0);
	assert_non_null(strstr(out, "{\"value\":{\"boolValue\":true},"));
	assert_non_null(strstr(out, "\"findings\":[{\"severity\":\"warning\",\"id\":\"cel-unbounded\","));
	assert_string_equal(err, "");
}

/* Colours, notes, and no waiting for questions that a person at a terminal did not mean to type. */
static void test_eval_on_a_terminal(void **state) {
	struct running r;

	(void)state;
	start_on_terminal(&w, &r, 80, (const char *const[]){ program("hallpass"), "policy", "eval", "2 > 1", NULL });
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "true\r\n"));
	assert_non_null(strstr(r.text, "of type bool"));
	start_on_terminal(&w, &r, 80, (const char *const[]){ program("hallpass"), "policy", "eval", NULL });
	assert_int_equal(finish(&r), 64);
	assert_non_null(strstr(r.text, "which expression?"));
}

/* ---- for programs ---- */

struct asked {
	FILE *to, *from;
	pid_t pid;
	char line[1 << 16];
};

static void asked_start(struct asked *a) {
	int in[2], from[2];

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(from), 0);
	a->pid = fork();
	assert_true(a->pid >= 0);
	if (a->pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		close(in[1]);
		close(from[0]);
		execl(program("hallpass"), "hallpass", "policy", "eval", NULL);
		_exit(127);
	}
	close(in[0]);
	close(from[1]);
	a->to = fdopen(in[1], "w");
	a->from = fdopen(from[0], "r");
}

static int asked_end(struct asked *a) {
	int status;

	if (a->to)
		fclose(a->to);
	assert_null(fgets(a->line, sizeof(a->line), a->from)); /* no answer without a question */
	fclose(a->from);
	assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* One line, and its answer before there is another. */
static const char *asked_line(struct asked *a, const char *line, size_t n) {
	fwrite(line, 1, n, a->to);
	fputc('\n', a->to);
	fflush(a->to);
	assert_non_null(fgets(a->line, sizeof(a->line), a->from));
	return a->line;
}

static void test_eval_answers_lines_one_by_one(void **state) {
	static const struct {
		const char *question, *answer;
	} rows[] = {
		{ "{\"id\": 1, \"expr\": \"1 + 1\"}", "{\"id\":1,\"value\":{\"int64Value\":\"2\"}}\n" },
		{ "nonsense", "{\"id\":null,\"error\":\"line 2: '[' or '{' expected near 'nonsense'\",\"line\":2}\n" },
		{ "", "{\"id\":null,\"error\":\"line 3: '[' or '{' expected near end of file\",\"line\":3}\n" },
		{ "{\"id\": \"a\", \"expr\": \"1\"} x", "{\"id\":null,\"error\":\"line 4: end of file expected near 'x'\",\"line\":4}\n" },
		{ "{\"id\": \"a\", \"id\": 2}", "{\"id\":null,\"error\":\"line 5: duplicate object key near '\\\"id\\\"'\",\"line\":5}\n" },
		{ "{\"id\": \"a\", \"expr\": \"x == 'b'\", \"bindings\": {\"x\": {\"value\": {\"stringValue\": \"b\"}}}}",
		  "{\"id\":\"a\",\"value\":{\"boolValue\":true}}\n" },
		{ "{\"id\": null, \"expr\": \"1 +\"}", NULL },
		{ "{\"id\": 8, \"expr\": \"1/0\"}", "{\"id\":8,\"error\":\"1:2: division by zero\",\"phase\":\"eval\"}\n" },
		{ "{\"id\": 9, \"exp\": \"1\"}", "{\"id\":9,\"error\":\"a question has no \\\"exp\\\"\"}\n" },
		{ "{\"id\": 10, \"expr\": \"timestamp('2026-07-01T00:00:00Z').getHours('Europe/Berlin')\"}",
		  "{\"id\":10,\"value\":{\"int64Value\":\"2\"}}\n" },
	};
	struct asked a;

	(void)state;
	asked_start(&a);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *got = asked_line(&a, rows[i].question, strlen(rows[i].question));

		if (rows[i].answer && strcmp(got, rows[i].answer))
			fail_msg("%s\n   expected %s   got      %s", rows[i].question, rows[i].answer, got);
	}
	fputs("{\"id\": 11, \"expr\": \"2\"}", a.to); /* the last line may lack its end */
	fclose(take(&a.to));
	assert_non_null(fgets(a.line, sizeof(a.line), a.from));
	assert_string_equal(a.line, "{\"id\":11,\"value\":{\"int64Value\":\"2\"}}\n");
	assert_int_equal(asked_end(&a), 0);
}

/* What is too long is read over in bounded memory, and the next line is a question again. */
static void test_eval_goes_on_after_a_line_that_is_too_long(void **state) {
	size_t n = (8 << 20) + 1;
	char *line = malloc(n);
	struct asked a;

	(void)state;
	memset(line, '[', n);
	asked_start(&a);
	assert_string_equal(asked_line(&a, line, n), "{\"id\":null,\"error\":\"line 1: a question has at most 1 MiB\",\"line\":1}\n");
	assert_non_null(strstr(asked_line(&a, line, 60000), "maximum parsing depth reached")); /* deep, and no crash */
	assert_string_equal(asked_line(&a, "{\"expr\": \"1\"}", 13), "{\"id\":null,\"value\":{\"int64Value\":\"1\"}}\n");
	assert_int_equal(asked_end(&a), 0);
	free(line);
}

/* Nobody reads the answers any more: it ends instead of answering on. */
static void test_eval_ends_when_nobody_reads(void **state) {
	struct asked a;
	int status;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	asked_start(&a);
	fclose(a.from);
	for (int i = 0; i < 10000; i++)
		if (fputs("{\"expr\": \"1\"}\n", a.to) == EOF || fflush(a.to) == EOF)
			break;
	fclose(a.to);
	assert_int_equal(waitpid(a.pid, &status, 0), a.pid);
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGPIPE : WEXITSTATUS(status) != 0);
}

/* ---- the conformance suite, through the command ---- */

static json_t *answer_of(void *arg, const json_t *question) {
	char *text = json_dumps(question, JSON_COMPACT);
	json_t *answer = json_loads(asked_line(arg, text, strlen(text)), JSON_ALLOW_NUL, NULL);

	free(text);
	return answer;
}

static void print_failure(void *arg, const char *file, const char *section, const char *name, const char *expr, const char *why) {
	(void)arg;
	print_error("%s/%s/%s: %s\n    %s\n", file, section, name, expr, why);
}

static void test_eval_passes_the_conformance_suite(void **state) {
	struct suite_sink sink = { .failure = print_failure };
	struct suite_counts totals;
	struct asked a;
	struct suite_engine engine = { answer_of, &a };
	char why[256];
	int r;

	(void)state;
	asked_start(&a);
	r = suite_run(suite_directory(), &engine, &sink, &totals, why, sizeof(why));
	assert_int_equal(asked_end(&a), 0);
	if (r == SUITE_ABSENT) {
		print_message("skipped: %s\n", why);
		skip();
	}
	if (r != 0)
		fail_msg("%s", why);
	print_message("none %zu/%zu wkt %zu/%zu parse %zu/%zu\n", totals.passed[SUITE_NONE], totals.total[SUITE_NONE],
		      totals.passed[SUITE_WKT], totals.total[SUITE_WKT], totals.parsed, totals.expressions);
	assert_int_equal(totals.passed[SUITE_NONE], 1743);
	assert_int_equal(totals.passed[SUITE_WKT], 112);
	assert_int_equal(totals.parsed, 2456);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eval_prints_the_value_alone),
		cmocka_unit_test(test_eval_tells_type_and_horizon),
		cmocka_unit_test(test_eval_warns_of_what_a_policy_refuses),
		cmocka_unit_test(test_eval_shows_where_it_went_wrong),
		cmocka_unit_test(test_eval_has_json_for_programs),
		cmocka_unit_test(test_eval_on_a_terminal),
		cmocka_unit_test(test_eval_answers_lines_one_by_one),
		cmocka_unit_test(test_eval_goes_on_after_a_line_that_is_too_long),
		cmocka_unit_test(test_eval_ends_when_nobody_reads),
		cmocka_unit_test(test_eval_passes_the_conformance_suite),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, setup, teardown);
}
