/* See suite.h. */

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "hallpass/eval.h"
#include "policy/cel.h"
#include "policy/cel_json.h"
#include "suite.h"

#define MAX_CLASSES 4096

struct class_row {
	char file[64], section[128], name[160];
	unsigned occurrence;
	enum suite_class class;
};

struct suite {
	const struct suite_sink *sink;
	const struct suite_engine *engine;
	struct class_row *rows;
	size_t n_rows;
	struct cel_env *env; /* owns types that are compared */
};

/* One test as it runs. */
struct run {
	const struct suite *suite;
	const json_t *test;
	struct cel_arena arena;
	struct buf why;
};

const char *suite_directory(void) {
	const char *set = getenv("HALLPASS_CEL_SPEC");

	return set && *set ? set : "../shared/cel-spec";
}

static const char *text_of(const json_t *object, const char *key) {
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

/* Of one kind, and equal; NaN is NaN; the order of a map does not matter. */
static bool same(struct cel_value a, struct cel_value b) {
	struct cel_map_iter iter = { 0 };
	struct cel_value key, value, other;

	if (a.kind != b.kind)
		return false;
	if (a.kind == CEL_DOUBLE && isnan(a.d) && isnan(b.d))
		return true;
	if (a.kind == CEL_LIST) {
		if (cel_list_size(a) != cel_list_size(b))
			return false;
		for (uint32_t i = 0; i < cel_list_size(a); i++)
			if (!same(cel_list_at(a, i), cel_list_at(b, i)))
				return false;
		return true;
	}
	if (a.kind != CEL_MAP)
		return cel_equal(a, b);
	if (cel_map_size(a) != cel_map_size(b))
		return false;
	while (cel_map_next(a, &iter, &key, &value))
		if (!cel_map_find(b, key, &other) || !same(value, other))
			return false;
	return true;
}

/* ---- One test ---- */

static bool complain(struct run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool complain(struct run *run, const char *fmt, ...) {
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_reset(&run->why);
	buf_adds(&run->why, text);
	return false;
}

static bool complain_of(struct run *run, const char *expected, const json_t *answer) {
	char *text = json_dumps(answer, JSON_COMPACT);

	complain(run, "expected %s, got %s", expected, text ? text : "nothing");
	free(text);
	return false;
}

/* What the suite says of a test beside what is asked. */
static json_t *question_of(const json_t *test) {
	static const char *const asked[] = { "expr", "container", "type_env", "bindings", "disable_check", "disable_macros" };
	json_t *question = json_pack("{s:O}", "id", json_object_get(test, "name")), *value;

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
		if ((value = json_object_get(test, asked[i])))
			json_object_set(question, asked[i], value);
	return question;
}

/* The question is given away. NULL: told. */
static json_t *ask(struct run *run, json_t *question) {
	const struct suite_engine *engine = run->suite->engine;
	json_t *answer = engine->answer(engine->arg, question);

	if (!json_is_object(answer) || !json_equal(json_object_get(answer, "id"), json_object_get(question, "id"))) {
		complain_of(run, "an answer to this question", answer);
		json_decref(answer);
		answer = NULL;
	}
	json_decref(question);
	return answer;
}

/* Types that print the same are the same. */
static bool same_type(struct run *run, const json_t *a, const json_t *b) {
	const json_t *types[] = { a, b };
	char *texts[2] = { NULL };
	struct error err;
	bool same;

	for (int i = 0; i < 2; i++) {
		const struct cel_type *type = cel_json_type(run->suite->env, types[i], &err);
		struct buf text = BUF_INIT(200);

		if (type)
			cel_type_print(type, &text);
		texts[i] = buf_take(&text);
	}
	same = texts[0] && texts[1] && strcmp(texts[0], texts[1]) == 0;
	if (!same)
		complain(run, "expected type %s, got %s", texts[0] ? texts[0] : "?", texts[1] ? texts[1] : "?");
	free(texts[0]);
	free(texts[1]);
	return same;
}

static bool type_matches(struct run *run, const json_t *expect) {
	json_t *question = question_of(run->test), *answer;
	bool ok;

	json_object_set_new(question, "check_only", json_true());
	answer = ask(run, question);
	ok = answer && same_type(run, json_object_get(expect, "deduced_type"), json_object_get(answer, "type"));
	json_decref(answer);
	return ok;
}

static bool value_matches(struct run *run, const json_t *expect, const json_t *answer) {
	const json_t *value = json_object_get(answer, "value");
	struct cel_value want, got;
	struct error err;

	if (!value)
		return complain_of(run, "a value", answer);
	if (cel_json_value(&run->arena, json_object_get(expect, "value"), &want, &err) < 0 ||
	    cel_json_value(&run->arena, value, &got, &err) < 0)
		return complain(run, "%s", err.message);
	return same(got, want) || complain_of(run, cel_kind_name((enum cel_kind)want.kind), answer);
}

/* A test that expects an error passes the parser and the checker; but for one, whose argument is of the wrong type. */
static bool error_matches(struct run *run, const json_t *answer) {
	const char *phase = text_of(answer, "phase");

	if (strcmp(phase, "check") == 0 && strcmp(text_of(run->test, "name"), "is_ip_cidr_compile_error") == 0)
		return true;
	return strcmp(phase, "eval") == 0 || complain_of(run, "an error of evaluation", answer);
}

static bool judge(struct run *run) {
	const json_t *expect = json_object_get(run->test, "expect");
	json_t *answer;
	bool ok;

	if (json_object_get(expect, "deduced_type") && !type_matches(run, expect))
		return false;
	if (json_is_true(json_object_get(run->test, "check_only")))
		return true;
	answer = ask(run, question_of(run->test));
	ok = answer && (strcmp(text_of(expect, "kind"), "eval_error") == 0 ? error_matches(run, answer) :
									       value_matches(run, expect, answer));
	json_decref(answer);
	return ok;
}

/* Every expression parses, whatever it needs later: types, values, functions that nobody knows. */
static bool parses(struct run *run) {
	json_t *question = question_of(run->test), *answer;
	bool ok;

	json_object_del(question, "bindings");
	json_object_del(question, "type_env");
	json_object_set_new(question, "disable_check", json_true());
	answer = ask(run, question);
	ok = answer && (json_object_get(answer, "value") || (*text_of(answer, "phase") && strcmp(text_of(answer, "phase"), "parse")));
	if (answer && !ok)
		complain_of(run, "what parses", answer);
	json_decref(answer);
	return ok;
}

static void report(const struct run *run, const char *file) {
	const struct suite_sink *sink = run->suite->sink;

	if (sink->failure)
		sink->failure(sink->arg, file, text_of(run->test, "section"), text_of(run->test, "name"), text_of(run->test, "expr"),
			      run->why.data ? run->why.data : "");
}

static void run_test(const struct suite *suite, const char *file, const json_t *test, enum suite_class class,
		     struct suite_counts *counts) {
	struct run run = { .suite = suite, .test = test, .why = BUF_INIT(4096) };
	struct error err;
	bool parsed, passed = false;

	if (cel_arena_init(&run.arena, 1 << 16, 8 << 20, &err) < 0)
		abort();
	parsed = parses(&run);
	counts->expressions++;
	counts->parsed += parsed;
	counts->total[class]++;
	if (class != SUITE_PROTO) {
		passed = parsed && judge(&run);
		counts->passed[class] += passed;
	}
	if (!parsed || (class != SUITE_PROTO && !passed))
		report(&run, file);
	cel_arena_fini(&run.arena);
	buf_fini(&run.why);
}

/* ---- Files ---- */

static int read_classes(struct suite *suite, const char *directory, char *why, size_t why_size) {
	char path[1024], line[1024], class[64];
	struct class_row *row;
	FILE *f;

	snprintf(path, sizeof(path), "%s/CLASSES.tsv", directory);
	suite->rows = calloc(MAX_CLASSES, sizeof(*suite->rows));
	f = suite->rows ? fopen(path, "r") : NULL;
	if (!f) {
		snprintf(why, why_size, "the CEL conformance suite is not at %s (set HALLPASS_CEL_SPEC)", directory);
		return SUITE_ABSENT;
	}
	while (fgets(line, sizeof(line), f) && suite->n_rows < MAX_CLASSES) {
		row = &suite->rows[suite->n_rows];
		if (sscanf(line, "%63[^\t]\t%127[^\t]\t%159[^\t]\t%u\t%63[^\t\n]", row->file, row->section, row->name,
			   &row->occurrence, class) != 5)
			continue; /* the heading */
		row->class = strcmp(class, "none") == 0 ? SUITE_NONE : strncmp(class, "wkt", 3) == 0 ? SUITE_WKT : SUITE_PROTO;
		suite->n_rows++;
	}
	fclose(f);
	return 0;
}

static bool same_name(const json_t *a, const json_t *b) {
	return strcmp(text_of(a, "section"), text_of(b, "section")) == 0 && strcmp(text_of(a, "name"), text_of(b, "name")) == 0;
}

/* Which of those with its name a test is: 0 for the first. */
static unsigned occurrence(const json_t *tests, size_t at) {
	unsigned n = 0;

	for (size_t i = 0; i < at; i++)
		n += same_name(json_array_get(tests, i), json_array_get(tests, at));
	return n;
}

static const struct class_row *find_class(const struct suite *suite, const char *file, const json_t *tests, size_t at) {
	const json_t *test = json_array_get(tests, at);
	unsigned nth = occurrence(tests, at);

	for (size_t i = 0; i < suite->n_rows; i++)
		if (strcmp(suite->rows[i].file, file) == 0 && strcmp(suite->rows[i].name, text_of(test, "name")) == 0 &&
		    strcmp(suite->rows[i].section, text_of(test, "section")) == 0 && suite->rows[i].occurrence == nth)
			return &suite->rows[i];
	return NULL;
}

static int run_tests(const struct suite *suite, const char *file, const json_t *tests, struct suite_counts *counts,
		     char *why, size_t why_size) {
	const struct class_row *row;

	for (size_t i = 0; i < json_array_size(tests); i++) {
		row = find_class(suite, file, tests, i);
		if (!row) {
			snprintf(why, why_size, "CLASSES.tsv does not know %s/%s", file,
				 text_of(json_array_get(tests, i), "name"));
			return SUITE_BROKEN;
		}
		run_test(suite, file, json_array_get(tests, i), row->class, counts);
	}
	return 0;
}

static int run_file(const struct suite *suite, const char *directory, const char *file, struct suite_counts *totals, char *why,
		    size_t why_size) {
	struct suite_counts counts = { 0 };
	json_error_t error;
	char path[1024], name[64];
	json_t *root;
	int r;

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(".json")), file);
	root = json_load_file(path, JSON_ALLOW_NUL, &error);
	if (!root) {
		snprintf(why, why_size, "%s:%d: %s", path, error.line, error.text);
		return SUITE_BROKEN;
	}
	r = run_tests(suite, name, json_object_get(root, "tests"), &counts, why, why_size);
	json_decref(root);
	for (int i = 0; i < N_SUITE_CLASSES; i++) {
		totals->passed[i] += counts.passed[i];
		totals->total[i] += counts.total[i];
	}
	totals->parsed += counts.parsed;
	totals->expressions += counts.expressions;
	if (r == 0 && suite->sink->file)
		suite->sink->file(suite->sink->arg, name, &counts);
	return r;
}

static int is_json(const struct dirent *entry) {
	size_t n = strlen(entry->d_name);

	return n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_zone(void *arg, const char *name, unsigned char **data, size_t *len) {
	char path[512];
	FILE *f;

	(void)arg;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	f = fopen(path, "rb");
	if (!f)
		return -1;
	*data = malloc((size_t)1 << 18);
	*len = *data ? fread(*data, 1, (size_t)1 << 18, f) : 0;
	fclose(f);
	return *data ? 0 : -1;
}

static json_t *answer_here(void *arg, const json_t *question) {
	return eval_answer(arg, question);
}

static int run_files(struct suite *suite, const char *directory, struct suite_counts *totals, char *why, size_t why_size) {
	struct dirent **files = NULL;
	int n = scandir(directory, &files, is_json, by_name), r = n > 0 ? 0 : SUITE_BROKEN;

	if (r < 0)
		snprintf(why, why_size, "no test files in %s", directory);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = run_file(suite, directory, files[i]->d_name, totals, why, why_size);
		free(files[i]);
	}
	free(files);
	return r;
}

int suite_run(const char *directory, const struct suite_engine *engine, const struct suite_sink *sink, struct suite_counts *totals,
	      char *why, size_t why_size) {
	static const struct policy_host host = { read_zone, NULL };
	struct suite_engine here = { .answer = answer_here };
	struct suite suite = { .sink = sink, .engine = engine ? engine : &here };
	struct eval *eval = NULL;
	struct error err;
	int r;

	*totals = (struct suite_counts){ 0 };
	if (eval_new(&host, &eval, &err) < 0 || cel_env_new(CEL_LIB_ALL, &suite.env, &err) < 0)
		abort();
	here.arg = eval;
	r = read_classes(&suite, directory, why, why_size);
	if (r == 0)
		r = run_files(&suite, directory, totals, why, why_size);
	free(suite.rows);
	cel_env_free(suite.env);
	eval_free(eval);
	return r;
}
