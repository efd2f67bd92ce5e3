/* pace: groups of twelve, with gaps where calls take their time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "broker/pace.h"

static struct pace slow(int64_t took_us) {
	struct pace pace = { 0 };

	for (int i = 0; i < 100; i++)
		pace_learn(&pace, took_us);
	return pace;
}

static int begin_all(struct pace *pace, int64_t now_us) {
	int n = 0;

	while (n < 1000 && pace_begin(pace, now_us))
		n++;
	return n;
}

static void test_pace_begins_groups(void **state) {
	struct pace pace = slow(50000);

	(void)state;
	assert_int_equal(begin_all(&pace, 7000000), 12);
	assert_true(pace_wait_us(&pace, 7000000) > 900 && pace_wait_us(&pace, 7000000) <= 1000);
	assert_int_equal(begin_all(&pace, 7000500), 0);
	assert_int_equal(begin_all(&pace, 7001000), 12);
	/* Nobody is owed a group. */
	assert_int_equal(begin_all(&pace, 9000000), 12);
	assert_int_equal(begin_all(&pace, 9000000), 0);
}

static void test_pace_holds_no_single_call(void **state) {
	struct pace pace = slow(500000);

	(void)state;
	for (int64_t now = 1000000; now < 1100000; now += 84) /* 12 in a millisecond, and no more */
		assert_true(pace_begin(&pace, now));
}

static void test_pace_holds_nothing_where_calls_are_quick_or_unknown(void **state) {
	struct pace pace = { 0 };

	(void)state;
	assert_int_equal(begin_all(&pace, 5), 1000);
	pace = slow(9000);
	assert_int_equal(begin_all(&pace, 5000000), 1000);
}

static void test_pace_never_waits_long(void **state) {
	struct pace pace = slow(10000000);

	(void)state;
	assert_int_equal(begin_all(&pace, 1000000), 12);
	assert_int_equal(pace_wait_us(&pace, 1000000), 1000);
	/* It forgets. */
	for (int i = 0; i < 100; i++)
		pace_learn(&pace, 100);
	assert_int_equal(begin_all(&pace, 1000000), 1000);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pace_begins_groups),
		cmocka_unit_test(test_pace_holds_no_single_call),
		cmocka_unit_test(test_pace_holds_nothing_where_calls_are_quick_or_unknown),
		cmocka_unit_test(test_pace_never_waits_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
