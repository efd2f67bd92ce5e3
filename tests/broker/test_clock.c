/* clock: each clock is the one that it says, in the unit that it says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>
#include "broker/clock.h"

static void test_clock_reads_the_clocks_that_it_names(void **state) {
	int64_t boot_ms, mono_us, tick_ms;
	struct timespec before, after;
	struct instant now;

	(void)state;
	clock_gettime(CLOCK_REALTIME, &before);
	now = clock_now();
	clock_gettime(CLOCK_REALTIME, &after);
	assert_true(now.s >= before.tv_sec && now.s <= after.tv_sec);
	assert_true(now.s > before.tv_sec || now.ns >= (uint32_t)before.tv_nsec);
	assert_true(now.s < after.tv_sec || now.ns <= (uint32_t)after.tv_nsec);
	clock_gettime(CLOCK_BOOTTIME, &before);
	boot_ms = clock_boottime_ms();
	clock_gettime(CLOCK_BOOTTIME, &after);
	assert_true(boot_ms >= (int64_t)before.tv_sec * 1000 + before.tv_nsec / 1000000);
	assert_true(boot_ms <= (int64_t)after.tv_sec * 1000 + after.tv_nsec / 1000000);
	clock_gettime(CLOCK_MONOTONIC, &before);
	mono_us = clock_monotonic_us();
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(mono_us >= (int64_t)before.tv_sec * 1000000 + before.tv_nsec / 1000);
	assert_true(mono_us <= (int64_t)after.tv_sec * 1000000 + after.tv_nsec / 1000);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
	tick_ms = clock_tick_ms();
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(tick_ms >= (int64_t)before.tv_sec * 1000 + before.tv_nsec / 1000000);
	assert_true(tick_ms <= (int64_t)after.tv_sec * 1000 + after.tv_nsec / 1000000);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_clock_reads_the_clocks_that_it_names) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
