/* hallpass policy eval: an expression for a person, or many for a program. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/cli.h"
#include "broker/zonefile.h"
#include "hallpass/eval.h"

#define MAX_LINE (1 << 20)	/* bytes of one question */
#define LOOK_AHEAD (31 * 86400) /* seconds; as far as `hallpass list` */

/* ---- for programs: questions in lines of JSON ---- */

/* The next line, without its end. False: there is none. What is too long is read over, and the buffer has failed. */
static bool next_line(struct buf *line) {
	bool any = false;
	int c;

	buf_reset(line);
	while ((c = getc_unlocked(stdin)) != EOF && c != '\n') {
		any = true;
		buf_addc(line, (char)c);
	}
	return any || c == '\n';
}

static json_t *no_question(size_t number, const char *why) {
	char text[400];

	snprintf(text, sizeof(text), "line %zu: %s", number, why);
	return json_pack("{s:n, s:s, s:I}", "id", "error", text, "line", (json_int_t)number);
}

static json_t *answer_line(struct eval *eval, const struct buf *line, size_t number) {
	json_error_t error;
	json_t *question, *answer;

	if (line->failed)
		return no_question(number, "a question has at most 1 MiB");
	question = json_loadb(line->data ? line->data : "", line->len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	if (!question)
		return no_question(number, error.text);
	answer = eval_answer(eval, question);
	json_decref(question);
	return answer;
}

/* One line, at once: whoever asks may wait for it before asking more. */
static bool print_line(json_t *answer, size_t number) {
	char *text = json_dumps(answer, JSON_COMPACT);

	json_decref(answer);
	if (text)
		puts(text);
	else
		printf("{\"id\":null,\"error\":\"line %zu: out of memory\",\"line\":%zu}\n", number, number);
	free(text);
	return fflush(stdout) == 0;
}

static int eval_lines(struct cli *cli) {
	struct buf line = BUF_INIT(MAX_LINE);
	struct eval *eval;
	struct error err;
	size_t number = 0;

	if (eval_new(&zonefile_host, &eval, &err) < 0) {
		out_error(cli, err.code, "failed", err.message, NULL);
		return API_EXIT_FAILED;
	}
	while (next_line(&line)) {
		number++;
		if (!print_line(answer_line(eval, &line, number), number))
			break;
	}
	eval_free(eval);
	buf_fini(&line);
	if (!ferror(stdin))
		return API_EXIT_OK;
	perror("hallpass: standard input");
	return API_EXIT_FAILED;
}

/* ---- for people ---- */

static bool wants_notes(const struct cli *cli) {
	return !cli->json && (isatty(STDERR_FILENO) || cli->values[OPT_VERBOSE]);
}

static int set_names(struct cli *cli, struct policy_attributes *attributes) {
	struct error err;

	for (size_t i = 0; i < cli->n_repeated; i++) {
		const char *equals = strchr(cli->repeated[i], '=');
		char name[256];

		if (!equals || (size_t)(equals - cli->repeated[i]) >= sizeof(name))
			return help_usage_error(cli->command, "--set is NAME=VALUE, not \"%s\"", cli->repeated[i]);
		snprintf(name, sizeof(name), "%.*s", (int)(equals - cli->repeated[i]), cli->repeated[i]);
		if (policy_attributes_set(attributes, name, str_of(equals + 1), &err) < 0)
			return help_usage_error(cli->command, "--set %s", err.message);
	}
	return API_EXIT_OK;
}

/* To standard error, with the line and a caret. */
static void tell(const struct cli *cli, struct str text, const struct policy_report *report) {
	struct buf out = BUF_INIT(1 << 16);

	fflush(stdout); /* the value stands above what is said of it */
	policy_report_print(report, "expression", text, cli->color_err, &out);
	if (out.data)
		fputs(out.data, stderr);
	buf_fini(&out);
}

/* The first error, as one wants to show it; NULL: there is none. */
static json_t *first_error(const struct policy_report *report) {
	const struct policy_finding *f = report->findings;

	for (size_t i = 0; i < report->n; i++, f++)
		if (f->severity == POLICY_ERROR)
			return json_pack("{s:s, s:s, s:i, s:i, s:s*}", "error", f->message, "errorId", f->id, "line", (int)f->line,
					 "column", (int)f->column, "fix", f->fix);
	return NULL;
}

/* To standard output: the value or the first error, and in "findings" all that there is to say, if that is more. */
static void tell_program(json_t *json, const struct policy_report *compiled, const struct policy_report *evaluated) {
	json_t *findings = cli_findings_json(compiled), *more = evaluated ? cli_findings_json(evaluated) : NULL;

	json_array_extend(findings, more);
	json_decref(more);
	if (json_array_size(findings) > (json_object_get(json, "error") ? 1 : 0))
		json_object_set(json, "findings", findings);
	json_decref(findings);
	out_json(json);
	json_decref(json);
}

static void add_horizon(const struct policy_expression *expression, const struct policy_attributes *attributes, struct buf *text) {
	int64_t now = policy_attributes_time(attributes), until = policy_horizon(expression, attributes, now, now + LOOK_AHEAD);

	if (until == INT64_MAX) {
		buf_adds(text, ", and surely true for 31 days");
	} else if (until == now) {
		buf_adds(text, ", and not surely so in the next second");
	} else {
		buf_adds(text, ", and surely true until ");
		buf_add_time(text, until);
		buf_adds(text, ", for ");
		out_span(until - now, text);
	}
}

/* What it is, and a note. */
static void show(const struct cli *cli, const struct policy_expression *expression, const struct policy_attributes *attributes,
		 const json_t *result) {
	const char *value = json_string_value(json_object_get(result, "text"));
	struct buf text = BUF_INIT(8192);

	puts(value);
	if (!wants_notes(cli))
		return;
	fflush(stdout);
	buf_addf(&text, "of type %s", json_string_value(json_object_get(result, "type")));
	if (policy_expression_is_timed(expression) && !strcmp(value, "true"))
		add_horizon(expression, attributes, &text);
	fprintf(stderr, "%shallpass: %s%s\n", out_color_err(cli, COLOR_DIM), text.data, out_color_err(cli, COLOR_NONE));
	buf_fini(&text);
}

static int evaluate(struct cli *cli, const struct policy_expression *expression, const struct policy_attributes *attributes,
		    struct str text, const struct policy_report *warnings) {
	struct policy_report report;
	json_t *result = policy_eval(expression, attributes, &report);
	int r = result ? API_EXIT_OK : API_EXIT_CONFIG;

	if (cli->json) {
		tell_program(result ? result : first_error(&report), warnings, &report);
	} else {
		if (result)
			show(cli, expression, attributes, result);
		tell(cli, text, &report);
		tell(cli, text, warnings);
		json_decref(result);
	}
	policy_report_fini(&report);
	return r;
}

static int eval_expression(struct cli *cli, struct policy_attributes *attributes) {
	struct str text = str_of(cli->args[0]);
	struct policy_expression *expression = NULL;
	struct policy_report report;
	struct error err;
	int r = set_names(cli, attributes);

	if (r != API_EXIT_OK)
		return r;
	if (policy_expression_new(attributes, text, &expression, &report, &err) < 0) {
		if (cli->json)
			tell_program(first_error(&report), &report, NULL);
		else
			tell(cli, text, &report);
		r = API_EXIT_CONFIG;
	} else {
		r = evaluate(cli, expression, attributes, text, &report);
	}
	policy_expression_free(expression);
	policy_report_fini(&report);
	return r;
}

int cmd_policy_eval(struct cli *cli) {
	int64_t now = (int64_t)time(NULL), at = cli->values[OPT_TIME] ? cli_parse_time(cli->values[OPT_TIME], now) : now;
	struct policy_attributes *attributes;
	struct error err;
	int r;

	if (at < 0)
		return help_usage_error(cli->command, "--at is a time like 17:50, +2h or 2026-11-24T15:00:00Z");
	if (!cli->n_args && (cli->n_repeated || isatty(STDIN_FILENO)))
		return help_usage_error(cli->command, "which expression? Without one, questions are read from standard input");
	if (!cli->n_args)
		return eval_lines(cli);
	if (policy_attributes_new(&zonefile_host, at, &attributes, &err) < 0) {
		out_error(cli, err.code, "failed", err.message, NULL);
		return API_EXIT_FAILED;
	}
	r = eval_expression(cli, attributes);
	policy_attributes_free(attributes);
	return r;
}
