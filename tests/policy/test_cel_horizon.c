/* What bounds an evaluation bounds the horizon too: parts that are within their limits alone may not be so together. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "cel_world.h"
#include "policy/horizon.h"

#define END (TEST_NOW + 60)

/* Each is true until END and an error from then on, because what it costs is more than one evaluation may. */
static void test_P2_cel_horizon_ends_where_the_loop_limit_is_reached(void **state) {
	static const char *const cases[] = {
		"(request.time < timestamp('2026-11-24T15:05:05Z') || lists.range(3000).all(e, e >= 0)) && "
		"lists.range(3000).all(e, e >= 0)",
		"(request.time < timestamp('2026-11-24T15:05:05Z') ? lists.range(1) : lists.range(4000)).exists(e, e < 0) || "
		"lists.range(3000).all(e, e >= 0)",
		"lists.range(request.time < timestamp('2026-11-24T15:05:05Z') ? 0 : 6000).size() < 0 || "
		"lists.range(3000).all(e, e >= 0)",
	};
	struct cel_world *w = *state;
	struct cel_activation activation = { .slots = w->slots };
	struct error err;
	unsigned slot = 0;

	cel_arena_fini(&w->arena);
	assert_int_equal(cel_arena_init(&w->arena, 1 << 20, 1 << 20, &err), 0);
	while (strcmp(cel_env_slot_name(w->env, slot), "request.time"))
		slot++;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_program *program;
		struct cel_error error;

		assert_int_equal(cel_compile(w->env, str_of(cases[i]), CEL_WANT_BOOL, NULL, &program, &error), 0);
		w->slots[slot] = cel_of_timestamp(END - 1, 0);
		assert_true(cel_is_true(world_eval(w, program)));
		w->slots[slot] = cel_of_timestamp(END, 0);
		assert_false(cel_is_true(world_eval(w, program)));
		w->slots[slot] = cel_of_timestamp(TEST_NOW, 0);
		cel_arena_reset(&w->arena);
		if (horizon_until(program, &activation, slot, END + 3600, true, &w->arena) > END)
			fail_msg("%s: holds too long", cases[i]);
		cel_program_free(program);
	}
}

/* Loops beside a time that is only compared are counted, and the window is as long as it is. */
static void test_cel_horizon_is_not_cut_short_by_loops(void **state) {
	static const char *const cases[] = {
		"request.time < timestamp('2026-11-24T15:05:05Z') && claims.groups.exists(g, g == 'b')",
		"claims.groups.exists(g, g == 'b') && request.time.getMinutes() in [4, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59] && "
		"request.time < timestamp('2026-11-24T15:05:05Z')",
		"string(x) == '5' && duration('1h') > timestamp('2026-11-24T16:05:05Z') - request.time ? false : "
		"request.time < timestamp('2026-11-24T15:05:05Z')",
	};
	static const int64_t ends[] = { END, TEST_NOW + 55, END };
	struct cel_world *w = *state;
	struct cel_activation activation = { .slots = w->slots };
	unsigned slot = 0;

	while (strcmp(cel_env_slot_name(w->env, slot), "request.time"))
		slot++;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_program *program;
		struct cel_error error;

		assert_int_equal(cel_compile(w->env, str_of(cases[i]), CEL_WANT_BOOL, NULL, &program, &error), 0);
		cel_arena_reset(&w->arena);
		assert_true(horizon_until(program, &activation, slot, END + 7200, true, &w->arena) == ends[i]);
		cel_program_free(program);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_P2_cel_horizon_ends_where_the_loop_limit_is_reached, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_cel_horizon_is_not_cut_short_by_loops, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
