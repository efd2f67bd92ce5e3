/* windows: times as people tell them, in the zone in which they repeat, across the changes of its clocks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "policy/windows.h"
#include "tests/policy/load.h"

#define DAY 86400
#define HOUR 3600
#define MONDAY 1772406000 /* 2026-03-02T00:00:00+01:00 in Berlin; its clocks change on the 29th */

static struct zones *zones;
static struct window_zone berlin;

static int setup(void **state) {
	struct error err;

	(void)state;
	zones = zones_new(&test_host);
	berlin.name = STR("Europe/Berlin");
	return zones_load(zones, berlin.name, &berlin.zone, &err);
}

static int teardown(void **state) {
	(void)state;
	zones_free(zones);
	return 0;
}

static void assert_said(const struct spans *spans, const struct era *eras, size_t n_eras, const struct window_zone *in, size_t n_zones, const char *expected) {
	struct buf out = BUF_INIT(8192);

	windows_say(spans, eras, n_eras, in, n_zones, &out);
	assert_string_equal(out.data, expected);
	buf_fini(&out);
}

/* Every so often, as the clock on the wall shows it: `at` seconds after midnight on days with a bit in `days` (Monday first). */
static void repeat(struct spans *spans, struct era era, unsigned days, int64_t at, int64_t until) {
	for (int64_t d = MONDAY + HOUR - 7 * DAY, i = 0; d < era.to + DAY; d += DAY, i++) { /* midnight in Berlin, as if it were UTC */
		int64_t from = d + at - zone_ref_offset(berlin.zone, d + at - HOUR), to = d + until - zone_ref_offset(berlin.zone, d + until - HOUR);

		from = from < era.from ? era.from : from;
		to = to > era.to ? era.to : to;
		if (days >> i % 7 & 1 && from < to)
			assert_int_equal(spans_add(spans, from, to, false), 0);
	}
}

static void test_windows_repeat_by_the_week_across_a_change_of_clocks(void **state) {
	static const struct {
		unsigned days;
		int64_t at, until;
		const char *expected;
	} cases[] = {
		{ 0x1F, 8 * HOUR, 18 * HOUR, "Mon-Fri 08:00-18:00 Europe/Berlin" },
		{ 0x7F, 8 * HOUR, 18 * HOUR + 90, "daily 08:00-18:01:30 Europe/Berlin" },
		{ 0x60, 0, DAY, "Sat-Sun all day Europe/Berlin" },
		{ 0x15, 6 * HOUR, 7 * HOUR, "Mon 06:00-07:00, Wed 06:00-07:00, Fri 06:00-07:00 Europe/Berlin" },
		{ 0x41, 12 * HOUR, DAY, "Mon 12:00-24:00, Sun 12:00-24:00 Europe/Berlin" },
	};
	const struct era era = { MONDAY + 3 * DAY + 12345, MONDAY + 34 * DAY };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct window_zone both[] = { { .name = STR("+01:00"), .zone = { .offset_s = HOUR } }, berlin };
		struct spans spans = { 0 };

		repeat(&spans, era, cases[i].days, cases[i].at, cases[i].until);
		assert_said(&spans, &era, 1, &berlin, 1, cases[i].expected);
		assert_said(&spans, &era, 1, both, 2, cases[i].expected); /* the zone in which it repeats */
		spans_fini(&spans);
	}
}

static void test_windows_that_do_not_repeat_are_told_one_by_one(void **state) {
	const struct era era = { MONDAY, MONDAY + 31 * DAY };
	struct spans spans = { 0 };

	(void)state;
	spans_add(&spans, MONDAY, MONDAY + DAY, true);
	spans_add(&spans, MONDAY + 2 * DAY, MONDAY + 2 * DAY + HOUR, true);
	spans_add(&spans, MONDAY + 2 * DAY + HOUR, MONDAY + 2 * DAY + HOUR + 1, true); /* joined */
	spans_add(&spans, MONDAY + 30 * DAY, MONDAY + 31 * DAY, true);
	assert_said(&spans, &era, 1, &berlin, 1,
		    "until 2026-03-03 00:00, 2026-03-04 00:00 to 2026-03-04 01:00:01, from 2026-04-01 01:00 Europe/Berlin");
	assert_said(&spans, &era, 1, NULL, 0, "until 2026-03-02 23:00, 2026-03-03 23:00 to 2026-03-04 00:00:01, from 2026-03-31 23:00 UTC");
	for (int i = 0; i < 4; i++)
		spans_add(&spans, MONDAY + (32 + i) * DAY, MONDAY + (32 + i) * DAY + 60, true);
	assert_said(&spans, &(struct era){ MONDAY, MONDAY + 40 * DAY }, 1, NULL, 0,
		    "until 2026-03-02 23:00, 2026-03-03 23:00 to 2026-03-04 00:00:01, 2026-03-31 23:00 to 2026-04-01 23:00, 2026-04-02 23:00 to 2026-04-02 23:01 UTC, and 3 times more");
	spans_fini(&spans);
}

/* What goes on over the end of an era, what ends with it, and what begins. */
static void test_windows_go_on_over_eras(void **state) {
	const struct era eras[] = { { MONDAY, MONDAY + 2 * DAY }, { MONDAY + 2 * DAY, MONDAY + 30 * DAY }, { MONDAY + 300 * DAY, MONDAY + 330 * DAY } };
	struct spans spans = { 0 };

	(void)state;
	assert_said(&spans, eras, 3, &berlin, 1, "never");
	repeat(&spans, eras[0], 0x1F, 8 * HOUR, 18 * HOUR);
	assert_said(&spans, eras, 1, &berlin, 1, "2026-03-02 08:00 to 2026-03-02 18:00, 2026-03-03 08:00 to 2026-03-03 18:00 Europe/Berlin");
	repeat(&spans, eras[1], 0x1F, 8 * HOUR, 18 * HOUR);
	assert_said(&spans, eras, 2, &berlin, 1, "Mon-Fri 08:00-18:00 Europe/Berlin"); /* two days are a part of that week */
	assert_said(&spans, eras, 3, &berlin, 1, "Mon-Fri 08:00-18:00 Europe/Berlin until 2026-12-27 00:00");
	spans_add(&spans, eras[2].from, eras[2].to, false);
	assert_said(&spans, eras, 3, &berlin, 1,
		    "Mon-Fri 08:00-18:00 Europe/Berlin until 2026-12-27 00:00; always from 2026-12-27 00:00 Europe/Berlin");
	spans.n--;
	repeat(&spans, eras[2], 0x1F, 8 * HOUR, 18 * HOUR);
	assert_said(&spans, eras, 3, &berlin, 1, "Mon-Fri 08:00-18:00 Europe/Berlin");
	spans_fini(&spans);
	spans_add(&spans, eras[1].from, eras[1].to, false);
	assert_said(&spans, eras, 3, NULL, 0, "always from 2026-03-03 23:00 until 2026-12-26 23:00 UTC");
	spans_fini(&spans);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows_repeat_by_the_week_across_a_change_of_clocks),
		cmocka_unit_test(test_windows_that_do_not_repeat_are_told_one_by_one),
		cmocka_unit_test(test_windows_go_on_over_eras),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, setup, teardown);
}
