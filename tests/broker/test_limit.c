/* limit: a bucket each, refilled; refusals told once a second; a full table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "broker/limit.h"

static void test_limit_admits_the_burst_then_the_rate(void **state) {
	struct limiter *l = limiter_new();
	int64_t now = 1000000;
	int admitted = 0;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(limiter_admit(l, "user:a", now, 60, 10), LIMIT_OK);
	assert_int_equal(limiter_admit(l, "user:a", now, 60, 10), LIMIT_EXCEEDED);
	assert_int_equal(limiter_admit(l, "user:a", now + 1, 60, 10), LIMIT_EXCEEDED_AGAIN);
	assert_int_equal(limiter_admit(l, "user:b", now, 60, 10), LIMIT_OK); /* nobody else suffers */
	/* A minute of asking every 7 ms gives 60, one more or less. */
	for (int64_t t = now; t < now + 60000; t += 7)
		admitted += limiter_admit(l, "user:a", t, 60, 10) == LIMIT_OK;
	assert_in_range(admitted, 58, 61);
	limiter_free(l);
}

static void test_limit_table_is_bounded_and_keeps_the_busy(void **state) {
	struct limiter *l = limiter_new();
	char name[40];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "user:%d", i);
		assert_int_equal(limiter_admit(l, name, 1000 + i, 60, 1), LIMIT_OK);
	}
	assert_int_equal(limiter_admit(l, name, 1000 + 20000, 60, 1), LIMIT_EXCEEDED);
	limiter_free(l);
}

static void test_limit_tells_once_a_second_and_forgives_a_long_pause(void **state) {
	struct limiter *l = limiter_new();
	int64_t now = 5000000;
	int told = 0;

	(void)state;
	assert_int_equal(limiter_admit(l, "user:a", now, 1, 1), LIMIT_OK);
	for (int64_t t = now; t < now + 10000; t += 10)
		told += limiter_admit(l, "user:a", t, 1, 1) == LIMIT_EXCEEDED;
	assert_int_equal(told, 10);
	/* A year of silence fills the bucket to its brim, not further. */
	now += 31536000000;
	for (int i = 0; i < 3; i++)
		assert_int_equal(limiter_admit(l, "user:a", now, 100000000, 3), LIMIT_OK);
	assert_int_equal(limiter_admit(l, "user:a", now, 100000000, 3), LIMIT_EXCEEDED);
	/* A clock that does step after all gives nothing away, and breaks nothing. */
	assert_int_not_equal(limiter_admit(l, "user:a", now - 1000000, 1, 3), LIMIT_OK);
	limiter_free(l);
	limiter_free(NULL);
}

static void test_limit_gives_back_what_was_less_than_a_request(void **state) {
	struct limiter *l = limiter_new();
	int admitted = 0;

	(void)state;
	while (admitted < 100 && limiter_admit(l, "user:a", 1000, 1, 3) == LIMIT_OK) {
		limiter_give_back(l, "user:a", 1000, 900, 3);
		admitted++;
	}
	assert_int_equal(admitted, 21); /* tenths of three requests, as long as a whole one is left to begin with */
	limiter_give_back(l, "user:a", 1000, 1000000, 3); /* never more than there was room for */
	for (int i = 0; i < 3; i++)
		assert_int_equal(limiter_admit(l, "user:a", 1000, 1, 3), LIMIT_OK);
	assert_int_not_equal(limiter_admit(l, "user:a", 1000, 1, 3), LIMIT_OK);
	limiter_free(l);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_admits_the_burst_then_the_rate),
		cmocka_unit_test(test_limit_tells_once_a_second_and_forgives_a_long_pause),
		cmocka_unit_test(test_limit_gives_back_what_was_less_than_a_request),
		cmocka_unit_test(test_limit_table_is_bounded_and_keeps_the_busy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
