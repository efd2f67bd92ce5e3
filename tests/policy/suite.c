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
#include "hallpass/policy.h"
#include "policy/cel.h"
#include "policy/cel_time.h"
#include "suite.h"

#define MAX_VARIABLES 64
#define MAX_CLASSES 4096

struct class_row {
	char file[64], section[128], name[160];
	unsigned occurrence;
	enum suite_class class;
};

struct suite {
	const struct suite_sink *sink;
	struct class_row *rows;
	size_t n_rows;
	struct zones *zones;
};

/* One test as it runs. */
struct run {
	const struct suite *suite;
	const json_t *test;
	struct cel_env *env;
	struct cel_program *program;
	struct cel_arena arena;
	struct cel_value slots[MAX_VARIABLES];
	struct buf why;
	bool ready; /* the environment could be made */
};

const char *suite_directory(void) {
	const char *set = getenv("HALLPASS_CEL_SPEC");

	return set && *set ? set : "../shared/cel-spec";
}

static const char *text_of(const json_t *object, const char *key) {
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static bool flag_of(const json_t *object, const char *key) {
	return json_is_true(json_object_get(object, key));
}

/* ---- Types: cel.expr.Type in JSON ---- */

static const struct cel_type *type_of(struct cel_env *env, const json_t *json);

static const struct cel_type *primitive_of(const char *name) {
	static const struct {
		const char *name;
		const struct cel_type *type;
	} names[] = { { "BOOL", &cel_bool },	 { "INT64", &cel_int },	    { "UINT64", &cel_uint },
		      { "DOUBLE", &cel_double }, { "STRING", &cel_string }, { "BYTES", &cel_bytes } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].type;
	return NULL;
}

static const struct cel_type *message_of(struct cel_env *env, const char *name) {
	static const struct {
		const char *name;
		const struct cel_type *of; /* NULL: type */
		const struct cel_type *type;
	} known[] = {
		{ "google.protobuf.Timestamp", NULL, &cel_timestamp },
		{ "google.protobuf.Duration", NULL, &cel_duration },
		{ "google.protobuf.Value", NULL, &cel_dyn },
		{ "google.protobuf.Any", NULL, &cel_dyn },
		{ "google.protobuf.ListValue", NULL, &cel_list_dyn },
		{ "google.protobuf.Struct", NULL, &cel_map_string_dyn },
		{ "google.protobuf.BoolValue", &cel_bool, NULL },
		{ "google.protobuf.BytesValue", &cel_bytes, NULL },
		{ "google.protobuf.DoubleValue", &cel_double, NULL },
		{ "google.protobuf.FloatValue", &cel_double, NULL },
		{ "google.protobuf.Int32Value", &cel_int, NULL },
		{ "google.protobuf.Int64Value", &cel_int, NULL },
		{ "google.protobuf.StringValue", &cel_string, NULL },
		{ "google.protobuf.UInt32Value", &cel_uint, NULL },
		{ "google.protobuf.UInt64Value", &cel_uint, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(known[i].name, name) == 0)
			return known[i].of ? cel_env_type(env, CEL_T_WRAPPER, known[i].of, NULL) : known[i].type;
	return cel_env_type_named(env, CEL_T_MESSAGE, name, NULL, 0);
}

static const struct cel_type *abstract_of(struct cel_env *env, const json_t *json) {
	const char *name = text_of(json, "name");
	const json_t *list = json_object_get(json, "parameterTypes");
	const struct cel_type *params[3];
	size_t n = json_array_size(list);

	if (n > ARRAY_SIZE(params))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!(params[i] = type_of(env, json_array_get(list, i))))
			return NULL;
	if (strcmp(name, "optional_type") == 0 && n == 1)
		return cel_env_type(env, CEL_T_OPTIONAL, params[0], NULL);
	return cel_env_type_named(env, CEL_T_NAMED, name, params, (unsigned)n);
}

/* NULL: a form that the suite does not use. */
static const struct cel_type *type_of(struct cel_env *env, const json_t *json) {
	const json_t *of;
	const struct cel_type *key, *value;

	if (json_object_get(json, "dyn"))
		return &cel_dyn;
	if (json_object_get(json, "null"))
		return &cel_null;
	if ((of = json_object_get(json, "primitive")))
		return primitive_of(json_string_value(of));
	if ((of = json_object_get(json, "wrapper")))
		return cel_env_type(env, CEL_T_WRAPPER, primitive_of(json_string_value(of)), NULL);
	if ((of = json_object_get(json, "wellKnown")))
		return strcmp(json_string_value(of), "TIMESTAMP") == 0 ? &cel_timestamp :
		       strcmp(json_string_value(of), "DURATION") == 0 ? &cel_duration : &cel_dyn;
	if ((of = json_object_get(json, "messageType")))
		return message_of(env, json_string_value(of));
	if ((of = json_object_get(json, "typeParam")))
		return cel_env_type_named(env, CEL_T_PARAM, json_string_value(of), NULL, 0);
	if ((of = json_object_get(json, "abstractType")))
		return abstract_of(env, of);
	if ((of = json_object_get(json, "listType"))) {
		value = type_of(env, json_object_get(of, "elemType"));
		return value ? cel_env_type(env, CEL_T_LIST, value, NULL) : NULL;
	}
	if (!(of = json_object_get(json, "mapType")))
		return NULL;
	key = type_of(env, json_object_get(of, "keyType"));
	value = type_of(env, json_object_get(of, "valueType"));
	return key && value ? cel_env_type(env, CEL_T_MAP, key, value) : NULL;
}

/* ---- Values: cel.expr.Value in JSON ---- */

static struct cel_value value_of(struct run *run, const json_t *json);

/* Standard base64 with padding, as protobuf's JSON writes it. */
static struct cel_value bytes_of(struct run *run, const char *s) {
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char *out = cel_arena_alloc(&run->arena, strlen(s) + 1);
	uint32_t bits = 0, n_bits = 0;
	size_t n = 0;

	for (; out && *s && *s != '='; s++) {
		bits = bits << 6 | (uint32_t)(strchr(digits, *s) - digits);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			out[n++] = (unsigned char)(bits >> n_bits);
		}
	}
	return cel_of_bytes(out, n);
}

static double double_of(const json_t *json) {
	const char *s = json_string_value(json);

	if (!s)
		return json_number_value(json);
	return s[0] == 'N' ? NAN : s[0] == '-' ? -INFINITY : INFINITY;
}

/* 64-bit integers are strings, 32-bit ones numbers. */
static int64_t int_of(const json_t *json) {
	return json_is_string(json) ? strtoll(json_string_value(json), NULL, 10) : (int64_t)json_number_value(json);
}

static uint64_t uint_of(const json_t *json) {
	return json_is_string(json) ? strtoull(json_string_value(json), NULL, 10) : (uint64_t)json_number_value(json);
}

static struct cel_value list_of(struct run *run, const json_t *json) {
	size_t n = json_array_size(json);
	struct cel_value *items = cel_arena_alloc(&run->arena, n * sizeof(*items) + 1);
	struct cel_list *list = cel_arena_alloc(&run->arena, sizeof(*list));

	if (!items || !list)
		return (struct cel_value){ 0 };
	for (size_t i = 0; i < n; i++)
		items[i] = value_of(run, json_array_get(json, i));
	*list = (struct cel_list){ (uint32_t)n, items };
	return cel_of_list(list);
}

static struct cel_value map_of(struct run *run, const json_t *json) {
	size_t n = json_array_size(json);
	struct cel_entry *entries = cel_arena_alloc(&run->arena, n * sizeof(*entries) + 1);
	const struct cel_map *map;

	if (!entries)
		return (struct cel_value){ 0 };
	for (size_t i = 0; i < n; i++) {
		entries[i].key = value_of(run, json_object_get(json_array_get(json, i), "key"));
		entries[i].value = value_of(run, json_object_get(json_array_get(json, i), "value"));
	}
	return cel_map_build(&run->arena, entries, n, &map) < 0 ? (struct cel_value){ 0 } : cel_of_map(map);
}

/* A well-known type in its JSON form. */
static struct cel_value object_of(struct run *run, const json_t *json) {
	const char *type = strrchr(text_of(json, "@type"), '.');
	const json_t *value = json_object_get(json, "value");
	struct cel_timestamp t;
	int64_t d;

	type = type ? type + 1 : "";
	if (strcmp(type, "Timestamp") == 0 && cel_time_parse(str_of(json_string_value(value)), &t))
		return cel_of_timestamp(t.s, t.ns);
	if (strcmp(type, "Duration") == 0 && cel_duration_parse(str_of(json_string_value(value)), &d))
		return cel_of_duration(d);
	if (strcmp(type, "BytesValue") == 0)
		return bytes_of(run, json_string_value(value));
	if (strcmp(type, "Int32Value") == 0 || strcmp(type, "Int64Value") == 0)
		return cel_of_int(int_of(value));
	if (strcmp(type, "UInt32Value") == 0 || strcmp(type, "UInt64Value") == 0)
		return cel_of_uint(uint_of(value));
	if (strcmp(type, "FloatValue") == 0 || strcmp(type, "DoubleValue") == 0)
		return cel_of_double(double_of(value));
	return cel_of_json(value);
}

static struct cel_value type_value_of(struct run *run, const char *name) {
	struct cel_type *type = cel_arena_alloc(&run->arena, sizeof(*type));

	if (!type)
		return (struct cel_value){ 0 };
	*type = (struct cel_type){ .kind = CEL_T_NAMED, .name = name };
	return cel_of_type(type);
}

/* CEL_NONE: a form that the suite does not use. */
static struct cel_value value_of(struct run *run, const json_t *json) {
	const json_t *of;

	if (json_object_get(json, "nullValue"))
		return cel_of_null();
	if ((of = json_object_get(json, "boolValue")))
		return cel_of_bool(json_is_true(of));
	if ((of = json_object_get(json, "int64Value")))
		return cel_of_int(int_of(of));
	if ((of = json_object_get(json, "uint64Value")))
		return cel_of_uint(uint_of(of));
	if ((of = json_object_get(json, "doubleValue")))
		return cel_of_double(double_of(of));
	if ((of = json_object_get(json, "stringValue")))
		return cel_of_string(json_string_value(of), json_string_length(of));
	if ((of = json_object_get(json, "bytesValue")))
		return bytes_of(run, json_string_value(of));
	if ((of = json_object_get(json, "enumValue")))
		return cel_of_int(int_of(json_object_get(of, "value")));
	if ((of = json_object_get(json, "typeValue")))
		return type_value_of(run, json_string_value(of));
	if ((of = json_object_get(json, "objectValue")))
		return object_of(run, of);
	if ((of = json_object_get(json, "listValue")))
		return list_of(run, json_object_get(of, "values"));
	if ((of = json_object_get(json, "mapValue")))
		return map_of(run, json_object_get(of, "entries"));
	return (struct cel_value){ 0 };
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

static bool complain_of(struct run *run, const char *expected, struct cel_value got) {
	buf_reset(&run->why);
	buf_addf(&run->why, "expected %s, got %s ", expected, cel_kind_name((enum cel_kind)got.kind));
	cel_value_print(got, &run->why);
	return false;
}

static bool declare_function(struct run *run, const char *name, const json_t *overload) {
	const json_t *list = json_object_get(overload, "params");
	const struct cel_type *params[8], *result = type_of(run->env, json_object_get(overload, "resultType"));
	size_t n = json_array_size(list);
	struct error err;

	if (!result || n > ARRAY_SIZE(params))
		return complain(run, "the harness cannot declare %s", name);
	for (size_t i = 0; i < n; i++)
		if (!(params[i] = type_of(run->env, json_array_get(list, i))))
			return complain(run, "the harness cannot declare %s", name);
	if (cel_env_function(run->env, name, flag_of(overload, "isInstanceFunction"), params, (unsigned)n, result, &err) < 0)
		return complain(run, "%s", err.message);
	return true;
}

static bool declare(struct run *run, const json_t *decl) {
	const json_t *ident = json_object_get(decl, "ident"), *overloads, *overload;
	const char *name = text_of(decl, "name");
	const struct cel_type *type;
	struct error err;
	size_t i;

	overloads = json_object_get(json_object_get(decl, "function"), "overloads");
	json_array_foreach((json_t *)(uintptr_t)overloads, i, overload)
		if (!declare_function(run, name, overload))
			return false;
	if (!ident)
		return true;
	type = type_of(run->env, json_object_get(ident, "type"));
	if (!type || cel_env_variable(run->env, name, type, NULL, &err) < 0)
		return complain(run, "the harness cannot declare %s", name);
	return true;
}

/* A bound variable that nobody declared is dyn. */
static bool bind(struct run *run, const char *name, const json_t *value) {
	struct error err;
	unsigned slot;

	for (slot = 0; slot < cel_env_slots(run->env); slot++)
		if (strcmp(cel_env_slot_name(run->env, slot), name) == 0)
			break;
	if (slot == cel_env_slots(run->env) && cel_env_variable(run->env, name, &cel_dyn, &slot, &err) < 0)
		return complain(run, "the harness cannot declare %s", name);
	if (slot >= MAX_VARIABLES)
		return complain(run, "more variables than the harness has room for");
	run->slots[slot] = value_of(run, json_object_get(value, "value"));
	return true;
}

static bool prepare(struct run *run) {
	json_t *bindings = json_object_get(run->test, "bindings"), *value, *decl;
	struct error err;
	const char *name;
	size_t i;

	if (cel_arena_init(&run->arena, 1 << 20, 8 << 20, &err) < 0 || cel_env_new(CEL_LIB_ALL, &run->env, &err) < 0 ||
	    cel_env_container(run->env, text_of(run->test, "container"), &err) < 0)
		return complain(run, "%s", err.message);
	cel_env_zones(run->env, run->suite->zones);
	json_array_foreach(json_object_get(run->test, "type_env"), i, decl)
		if (!declare(run, decl))
			return false;
	json_object_foreach(bindings, name, value)
		if (!bind(run, name, value))
			return false;
	return cel_env_slots(run->env) <= MAX_VARIABLES || complain(run, "more variables than the harness has room for");
}

static struct str expression(const struct run *run) {
	const json_t *expr = json_object_get(run->test, "expr");

	return (struct str){ json_string_value(expr), json_string_length(expr) };
}

static unsigned mode_of(const json_t *test) {
	return (flag_of(test, "disable_check") ? CEL_UNCHECKED : CEL_CHECKED) |
	       (flag_of(test, "disable_macros") ? CEL_NO_MACROS : 0);
}

static bool type_matches(struct run *run, const json_t *expect) {
	const struct cel_type *want = type_of(run->env, json_object_get(expect, "deduced_type"));
	struct buf b = BUF_INIT(200), c = BUF_INIT(200);
	const struct cel_type *got = cel_program_type(run->program);
	bool ok = false;

	if (!want)
		return complain(run, "the harness does not know the expected type");
	cel_type_print(want, &b);
	cel_type_print(got, &c);
	ok = strcmp(b.data, c.data) == 0;
	if (!ok)
		complain(run, "expected type %s, got %s", b.data, c.data);
	buf_fini(&b);
	buf_fini(&c);
	return ok;
}

/*
 * What may fail before evaluation and still be the error that was asked for: what is refused when constants are
 * resolved (a pattern, a zone), and the one test whose argument is of the wrong type.
 */
static bool early_error_counts(const struct run *run, const struct cel_error *error) {
	return error->phase == CEL_PHASE_PLAN ||
	       (error->phase == CEL_PHASE_CHECK && strcmp(text_of(run->test, "name"), "is_ip_cidr_compile_error") == 0);
}

static bool judge(struct run *run) {
	const json_t *expect = json_object_get(run->test, "expect");
	struct cel_activation activation = { .slots = run->slots };
	bool want_error = strcmp(text_of(expect, "kind"), "eval_error") == 0, typed = json_object_get(expect, "deduced_type");
	struct cel_value got, want;
	struct cel_error error;

	if (cel_compile(run->env, expression(run), mode_of(run->test), NULL, &run->program, &error) < 0)
		return (want_error && early_error_counts(run, &error)) || complain(run, "%u:%u: %s", error.line, error.column, error.message);
	if (typed && !type_matches(run, expect))
		return false;
	if (flag_of(run->test, "check_only"))
		return true;
	got = cel_eval(run->program, &activation, &run->arena);
	if (want_error)
		return got.kind == CEL_ERROR || complain_of(run, "an error", got);
	want = value_of(run, json_object_get(expect, "value"));
	if (want.kind == CEL_NONE)
		return complain(run, "the harness does not know the expected value");
	return same(got, want) || complain_of(run, cel_kind_name((enum cel_kind)want.kind), got);
}

/* Every expression parses, whatever it needs later. */
static bool parses(struct run *run) {
	struct cel_program *program = NULL;
	struct cel_error error;

	if (cel_compile(run->env, expression(run), mode_of(run->test) | CEL_PARSE_ONLY, NULL, &program, &error) < 0)
		return complain(run, "%u:%u: %s", error.line, error.column, error.message);
	cel_program_free(program);
	return true;
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
	bool ready = prepare(&run), parsed = run.env && parses(&run), passed = false;

	counts->expressions++;
	counts->parsed += parsed;
	counts->total[class]++;
	if (class != SUITE_PROTO) {
		passed = ready && parsed && judge(&run);
		counts->passed[class] += passed;
	}
	if (!parsed || (class != SUITE_PROTO && !passed))
		report(&run, file);
	cel_program_free(run.program);
	if (run.env)
		cel_env_free(run.env);
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
		return -1;
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
			return -1;
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
		return -1;
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

int suite_run(const char *directory, const struct suite_sink *sink, struct suite_counts *totals, char *why, size_t why_size) {
	static const struct policy_host host = { read_zone, NULL };
	struct suite suite = { .sink = sink, .zones = zones_new(&host) };
	struct dirent **files = NULL;
	int n = 0, r = -1;

	*totals = (struct suite_counts){ 0 };
	if (read_classes(&suite, directory, why, why_size) == 0) {
		n = scandir(directory, &files, is_json, by_name);
		r = n > 0 ? 0 : -1;
		if (r < 0)
			snprintf(why, why_size, "no test files in %s", directory);
	}
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = run_file(&suite, directory, files[i]->d_name, totals, why, why_size);
		free(files[i]);
	}
	free(files);
	free(suite.rows);
	zones_free(suite.zones);
	return r;
}
