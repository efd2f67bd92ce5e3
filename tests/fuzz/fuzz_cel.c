// links: policy
/*
 * cel: any bytes compile or are refused with a position inside of them; what compiles evaluates within its arena, twice
 * the same; checked and unchecked agree where both give a value; a value printed is an expression that gives it again.
 * What is JSON is a question of hallpass/eval.h, and has an answer.
 */
#include <stdlib.h>
#include <string.h>
#include "hallpass/eval.h"
#include "policy/cel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SLOTS 16

struct world {
	struct cel_env *env;
	struct cel_value slots[MAX_SLOTS], attributes;
	struct cel_arena arena;
	json_t *claims;
};

static void require(bool truth) {
	if (!truth)
		abort();
}

static void declare(struct world *w, const char *name, const struct cel_type *type, struct cel_value v) {
	struct error err;
	unsigned slot;

	require(cel_env_variable(w->env, name, type, &slot, &err) == 0 && slot < MAX_SLOTS);
	w->slots[slot] = v;
}

static struct world *world(void) {
	static struct world w;
	struct error err;

	if (w.env)
		return &w;
	require(cel_env_new(CEL_LIB_ALL, &w.env, &err) == 0 && cel_arena_init(&w.arena, 1 << 18, 1 << 18, &err) == 0);
	cel_env_zones(w.env, zones_new(NULL));
	w.claims = json_loads("{\"a\": [1, 2.5, \"x\", null, {\"b\": true}], \"email\": \"alice@example.com\", \"n\": 3}", 0, NULL);
	w.attributes = cel_of_json(w.claims);
	declare(&w, "x", &cel_int, cel_of_int(-3));
	declare(&w, "u", &cel_uint, cel_of_uint(7));
	declare(&w, "d", &cel_double, cel_of_double(0.5));
	declare(&w, "s", &cel_string, cel_of_string("projects/_/buckets/b\xC3\xA9", 23));
	declare(&w, "y", &cel_bytes, cel_of_bytes("\x00\xFF", 2));
	declare(&w, "request.time", &cel_timestamp, cel_of_timestamp(1795532645, 5));
	declare(&w, "r", &cel_duration, cel_of_duration(90000000001));
	declare(&w, "claims", &cel_map_string_dyn, cel_of_json(w.claims));
	declare(&w, "any", &cel_dyn, cel_of_json(json_object_get(w.claims, "a")));
	declare(&w, "unknown", &cel_bool, cel_unknown("unknown"));
	declare(&w, "absent", &cel_string, (struct cel_value){ 0 });
	return &w;
}

/* The value as text; what it points to is gone at the next evaluation. */
static struct buf print(struct world *w, const struct cel_program *program, struct cel_value *v) {
	struct cel_activation activation = { .slots = w->slots, .attributes = w->attributes };
	struct buf b = BUF_INIT(1 << 16);

	cel_arena_reset(&w->arena);
	*v = cel_eval(program, &activation, &w->arena);
	require(v->kind != CEL_NONE && v->kind < N_CEL_KINDS);
	cel_value_print(*v, &b);
	buf_add(&b, "", 0);
	return b;
}

static bool same(const struct buf *a, const struct buf *b) {
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static struct cel_program *compile(struct world *w, struct str text, unsigned mode, const struct cel_limits *limits) {
	struct cel_program *program = NULL;
	struct cel_error error;
	uint32_t line, column;

	if (cel_compile(w->env, text, mode, limits, &program, &error) == 0)
		return program;
	require(error.phase >= CEL_PHASE_PARSE && error.phase <= CEL_PHASE_PLAN && error.message[0] && error.offset <= text.n);
	cel_position(text, error.offset, &line, &column);
	require(error.line == line && error.column == column);
	return NULL;
}

/* What is printed of numbers, texts, times, lists and maps is CEL; NaN and the infinities have no literal. */
static void print_again(struct world *w, const struct buf *text) {
	struct cel_program *program;
	struct cel_value v;
	struct buf again;

	if (!buf_ok(text) || memmem(text->data, text->len, "NaN", 3) || memmem(text->data, text->len, "Infinity", 8))
		return;
	program = compile(w, (struct str){ text->data, text->len }, CEL_UNCHECKED, NULL);
	if (!program)
		return; /* too long or too deep */
	again = print(w, program, &v);
	require(cel_failed(v) ? v.kind == CEL_ERROR && strstr(v.fault->message, "memory") : same(text, &again));
	buf_fini(&again);
	cel_program_free(program);
}

static void evaluate(struct world *w, struct cel_program *checked, struct cel_program *unchecked) {
	struct cel_value v, v2, v3;
	struct buf one = print(w, unchecked, &v), two = print(w, unchecked, &v2), three;

	require(v.kind == v2.kind && same(&one, &two));
	if (!cel_failed(v))
		print_again(w, &one);
	if (checked) {
		three = print(w, checked, &v3);
		require(cel_failed(v) || cel_failed(v3) || (v.kind == v3.kind && same(&one, &three)));
		buf_fini(&three);
	}
	buf_fini(&one);
	buf_fini(&two);
}

/* One of a value, a type and an error, and the question's id. */
static void question(struct str text) {
	static struct eval *eval;
	json_t *json = json_loadb(text.p, text.n, JSON_ALLOW_NUL, NULL), *answer;
	struct error err;
	char *dumped;

	if (!json)
		return;
	require(eval || eval_new(NULL, &eval, &err) == 0);
	answer = eval_answer(eval, json);
	require(answer && json_object_get(answer, "id"));
	require(!json_object_get(answer, "value") + !json_object_get(answer, "type") + !json_object_get(answer, "error") == 2);
	require(!json_object_get(answer, "phase") || json_object_get(answer, "error"));
	dumped = json_dumps(answer, 0);
	require(dumped);
	free(dumped);
	json_decref(answer);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const struct cel_limits tight = { .source = 400, .depth = 12, .nodes = 60, .compile_bytes = 20000, .iterations = 50,
						 .regex = 20, .regex_memory = 20000 };
	struct world *w = world();
	struct str text = { (const char *)data, size };
	struct cel_program *checked = compile(w, text, CEL_CHECKED, NULL), *unchecked = compile(w, text, CEL_UNCHECKED, NULL);
	struct cel_program *plain = compile(w, text, CEL_PARSE_ONLY | CEL_NO_MACROS, NULL);
	struct cel_program *small = compile(w, text, CEL_WANT_BOOL, &tight);

	if (size && (data[0] == '{' || data[0] == '['))
		question(text);
	require(!checked || unchecked);
	if (unchecked)
		evaluate(w, checked, unchecked);
	if (small)
		evaluate(w, NULL, small);
	cel_program_free(checked);
	cel_program_free(unchecked);
	cel_program_free(plain);
	cel_program_free(small);
	return 0;
}
