// links: policy
/*
 * typed: the bytes are choices of a generator that only makes well-typed expressions, so that none is spent on what the
 * parser refuses. Each compiles, checked and unchecked, and is what a second, naive evaluator says it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy/cel.h"
#include "tests/policy/naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct cel_env *env;
	struct cel_arena arena;
	struct cel_value x;
};

static struct world *world(void) {
	static struct world w;
	struct error err;

	if (!w.env && (cel_env_new(CEL_LIB_ALL, &w.env, &err) < 0 || cel_arena_init(&w.arena, 1 << 20, 1 << 20, &err) < 0 ||
		       cel_env_variable(w.env, "x", &cel_int, NULL, &err) < 0))
		abort();
	return &w;
}

static void differ(const struct buf *text, int64_t x, const char *naive, struct cel_value engine) {
	struct buf b = BUF_INIT(1 << 16);

	cel_value_print(engine, &b);
	fprintf(stderr, "x = %lld: %s\nnaive: %s, engine: %s\n", (long long)x, text->data, naive, b.data ? b.data : "");
	abort();
}

static void compare(struct world *w, const struct naive_tree *tree, const struct buf *text, unsigned mode) {
	static const int64_t xs[] = { 5, 0, -1, INT64_MIN, INT64_MAX };
	struct cel_activation activation = { .slots = &w->x };
	struct cel_program *program;
	struct naive_result want;
	struct cel_error error;

	if (cel_compile(w->env, (struct str){ text->data, text->len }, mode, NULL, &program, &error) < 0) {
		if (strstr(error.message, "loop variables")) /* the one limit that the generator can reach */
			return;
		differ(text, 0, error.message, (struct cel_value){ 0 });
	}
	for (size_t i = 0; i < sizeof(xs) / sizeof(xs[0]); i++) {
		struct cel_value got;

		w->x = cel_of_int(xs[i]);
		cel_arena_reset(&w->arena);
		naive_run(tree, xs[i], &want);
		got = cel_eval(program, &activation, &w->arena);
		if (!naive_agrees(got, &want))
			differ(text, xs[i], (char[]){ want.type, '\0' }, got);
	}
	cel_program_free(program);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static struct naive m;
	struct world *w = world();
	struct buf text = BUF_INIT(1 << 17);
	const struct naive_tree *tree;

	m.bytes = data;
	m.n_bytes = size;
	tree = naive_make(&m, "bisluftd"[naive_below(&m, 8)], 8);
	naive_print(tree, &text);
	compare(w, tree, &text, CEL_CHECKED);
	compare(w, tree, &text, CEL_UNCHECKED);
	buf_fini(&text);
	return 0;
}
