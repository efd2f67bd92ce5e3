/*
 * Random expressions, well typed by construction, against the naive evaluator of naive.h. HALLPASS_CEL_RANDOM=N runs N
 * expressions instead of the few that fit into a check.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "cel_world.h"
#include "naive.h"

#define EXPRESSIONS 20000
#define SLOW_EXPRESSIONS 300 /* under valgrind */

static unsigned long values, errors;

static void compare(struct cel_world *w, unsigned long seed, const struct naive_tree *t, unsigned mode, struct buf *text) {
	static const int64_t xs[] = { 5, 0, -1, INT64_MIN, INT64_MAX };
	struct cel_program *program;
	struct cel_error error;
	struct naive_result want;

	if (cel_compile(w->env, (struct str){ text->data, text->len }, mode, NULL, &program, &error) < 0)
		fail_msg("expression %lu: %s\n%u: %s", seed, text->data, error.column, error.message);
	for (size_t i = 0; i < ARRAY_SIZE(xs); i++) {
		struct cel_value got;

		w->slots[0] = cel_of_int(xs[i]);
		naive_run(t, xs[i], &want);
		got = world_eval(w, program);
		values += want.type != 'e' && want.type != '!';
		errors += want.type == 'e';
		if (naive_agrees(got, &want))
			continue;
		buf_reset(&w->text);
		cel_value_print(got, &w->text);
		print_error("%s\n", text->data); /* of any length */
		fail_msg("expression %lu, x = %lld: naive: %c %lld (%u) %g, engine: %s", seed, (long long)xs[i], want.type, (long long)want.i,
			 want.n, want.f, w->text.data);
	}
	cel_program_free(program);
}

static void test_cel_random_agrees_with_a_naive_evaluator(void **state) {
	const char *set = getenv("HALLPASS_CEL_RANDOM");
	unsigned long n = set ? strtoul(set, NULL, 10) : getenv("HALLPASS_SLOW") ? SLOW_EXPRESSIONS : EXPRESSIONS;
	struct buf text = BUF_INIT(1 << 16);
	static struct naive m;
	struct cel_world *w = *state;
	struct error err;

	cel_arena_fini(&w->arena);
	assert_int_equal(cel_arena_init(&w->arena, 1 << 20, 1 << 20, &err), 0);
	for (unsigned long seed = 1; seed <= n; seed++) {
		const struct naive_tree *t;

		m.seed = seed * 0x2545F4914F6CDD1Du;
		t = naive_make(&m, "biiislbbufftd"[naive_below(&m, 13)], 1 + (int)naive_below(&m, 6));
		buf_reset(&text);
		naive_print(t, &text);
		compare(w, seed, t, CEL_CHECKED, &text);
		compare(w, seed, t, CEL_UNCHECKED, &text);
	}
	print_message("%lu expressions: %lu values and %lu errors are the same\n", n, values, errors);
	assert_true(values > n && errors > n); /* both have been looked at */
	buf_fini(&text);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cel_random_agrees_with_a_naive_evaluator, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
