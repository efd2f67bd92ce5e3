/* cel_time: texts, ranges, arithmetic, getters. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "hallpass/cleanup.h"
#include "policy/cel_time.h"

static const struct zone_ref utc = { 0 };

static void test_cel_time_reads_rfc_3339(void **state) {
	static const struct {
		struct str in;
		int64_t s;
		uint32_t ns;
		const char *out;
	} cases[] = {
		{ STR("1970-01-01T00:00:00Z"), 0, 0, "1970-01-01T00:00:00Z" },
		{ STR("2009-02-13T23:31:30.1Z"), 1234567890, 100000000, "2009-02-13T23:31:30.1Z" },
		{ STR("2026-03-29T03:00:00+02:00"), 1774746000, 0, "2026-03-29T01:00:00Z" },
		{ STR("1969-12-31T23:59:59.500000000Z"), -1, 500000000, "1969-12-31T23:59:59.5Z" },
		{ STR("0001-01-01T00:00:00Z"), CEL_TIME_MIN_S, 0, "0001-01-01T00:00:00Z" },
		{ STR("0000-12-31T23:30:00-00:30"), CEL_TIME_MIN_S, 0, "0001-01-01T00:00:00Z" },
		{ STR("9999-12-31T23:59:59.999999999Z"), CEL_TIME_MAX_S, 999999999, "9999-12-31T23:59:59.999999999Z" },
		{ STR("2000-02-29T12:00:00-00:00"), 951825600, 0, "2000-02-29T12:00:00Z" },
	};
	char text[CEL_TIME_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_timestamp t;

		assert_true(cel_time_parse(cases[i].in, &t));
		assert_int_equal(t.s, cases[i].s);
		assert_int_equal(t.ns, cases[i].ns);
		assert_int_equal(cel_time_format(t, text), strlen(cases[i].out));
		assert_string_equal(text, cases[i].out);
	}
}

static void test_cel_time_refuses_what_is_not_rfc_3339(void **state) {
	static const struct str cases[] = {
		STR(""),
		STR("2026-01-01"),
		STR("2026-01-01T00:00Z"),
		STR("2026-01-01t00:00:00Z"),
		STR("2026-01-01T00:00:00z"),
		STR("2026-01-01 00:00:00Z"),
		STR("2026-01-01T00:00:00"),
		STR("2026-01-01T00:00:60Z"),
		STR("2026-01-01T24:00:00Z"),
		STR("2026-01-01T00:00:00.Z"),
		STR("2026-01-01T00:00:00,5Z"),
		STR("2026-01-01T00:00:00.1234567890Z"),
		STR("2026-01-01T00:00:00+0100"),
		STR("2026-01-01T00:00:00+24:00"),
		STR("2026-01-01T00:00:00+01:60"),
		STR("2026-02-29T00:00:00Z"),
		STR("1900-02-29T00:00:00Z"),
		STR("2026-13-01T00:00:00Z"),
		STR("2026-00-01T00:00:00Z"),
		STR("2026-01-00T00:00:00Z"),
		STR("2026-04-31T00:00:00Z"),
		STR("10000-01-01T00:00:00Z"),
		STR("0000-12-31T23:59:59Z"),
		STR("0001-01-01T00:00:00+00:01"),
		STR("9999-12-31T23:59:59-00:01"),
		STR("2026-01-01T00:00:00Z "),
		STR(" 2026-01-01T00:00:00Z"),
		STR("2026-01-01T00:00:00Z\0"),
		STR("+026-01-01T00:00:00Z"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_timestamp t;

		if (cel_time_parse(cases[i], &t))
			fail_msg("accepted '%s'", cases[i].p);
	}
}

static void test_cel_time_reads_dates(void **state) {
	struct cel_timestamp t;

	(void)state;
	assert_true(cel_time_parse_date(STR("2019-11-03"), &t));
	assert_int_equal(t.s, 1572739200);
	assert_int_equal(t.ns, 0);
	assert_true(cel_time_parse_date(STR("2024-02-29"), &t));
	assert_false(cel_time_parse_date(STR(""), &t));
	assert_false(cel_time_parse_date(STR("2023-02-29"), &t));
	assert_false(cel_time_parse_date(STR("2019-11-3"), &t));
	assert_false(cel_time_parse_date(STR("2019-11-03Z"), &t));
	assert_false(cel_time_parse_date(STR("0000-12-31"), &t));
}

static void test_cel_duration_reads_and_prints(void **state) {
	static const struct {
		struct str in;
		int64_t ns;
		const char *out;
	} cases[] = {
		{ STR("0"), 0, "0s" },
		{ STR("-0"), 0, "0s" },
		{ STR("+0"), 0, "0s" },
		{ STR("1h30m"), 5400000000000, "5400s" },
		{ STR("1.5h"), 5400000000000, "5400s" },
		{ STR("-1.5s"), -1500000000, "-1.5s" },
		{ STR("1ms"), 1000000, "0.001s" },
		{ STR("1us"), 1000, "0.000001s" },
		{ STR("1\xC2\xB5s"), 1000, "0.000001s" },
		{ STR("1\xCE\xBCs"), 1000, "0.000001s" },
		{ STR("7ns"), 7, "0.000000007s" },
		{ STR(".5s"), 500000000, "0.5s" },
		{ STR("1.s"), 1000000000, "1s" },
		{ STR("1m1m"), 120000000000, "120s" },
		{ STR("2592000s"), 2592000000000000, "2592000s" },
		{ STR("0.00000000099999999999999999999s"), 0, "0s" },
		{ STR("9223372036854775807ns"), INT64_MAX, "9223372036.854775807s" },
		{ STR("-9223372036854775808ns"), INT64_MIN, "-9223372036.854775808s" },
	};
	char text[CEL_DURATION_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t d;

		assert_true(cel_duration_parse(cases[i].in, &d));
		assert_true(d == cases[i].ns);
		assert_int_equal(cel_duration_format(d, text), strlen(cases[i].out));
		assert_string_equal(text, cases[i].out);
	}
}

static void test_cel_duration_refuses_the_rest(void **state) {
	static const struct str cases[] = {
		STR(""),      STR("-"),	     STR("+"),	  STR("1"),   STR("1d"),  STR("1h-30m"), STR("1 h"),
		STR(" 1h"),   STR("1h "),    STR("s"),	  STR(".s"),  STR("."),	  STR("00"),	 STR("--1s"),
		STR("1h30"),  STR("1e3s"),   STR("0x1s"), STR("1hs"), STR("1\xC2s"), STR("9223372036854775808ns"),
		STR("-9223372036854775809ns"), STR("99999999999999999999s"), STR("2562048h"), STR("106752h1h-1h"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t d;

		if (cel_duration_parse(cases[i], &d))
			fail_msg("accepted '%s'", cases[i].p);
	}
}

static void test_cel_time_checks_ranges(void **state) {
	struct cel_timestamp t = { CEL_TIME_MAX_S, 999999999 }, first = { CEL_TIME_MIN_S, 0 }, sum;
	int64_t d;

	(void)state;
	assert_false(cel_time_add(t, 1, &sum));
	assert_true(cel_time_sub(t, 1, &sum));
	assert_int_equal(sum.ns, 999999998);
	assert_false(cel_time_sub(first, 1, &sum));
	assert_true(cel_time_add(first, INT64_MAX, &sum));
	assert_false(cel_time_add(first, INT64_MIN, &sum));
	assert_true(cel_time_add(t, INT64_MIN, &sum));
	assert_false(cel_time_sub(t, INT64_MIN, &sum));
	assert_true(cel_time_sub((struct cel_timestamp){ 0, 0 }, INT64_MIN, &sum));
	assert_int_equal(sum.s, 9223372036);
	assert_int_equal(sum.ns, 854775808);
	assert_false(cel_time_diff(t, first, &d));
	assert_true(cel_time_diff((struct cel_timestamp){ 0, 0 }, sum, &d));
	assert_true(d == INT64_MIN);
	assert_false(cel_time_diff(sum, (struct cel_timestamp){ 0, 0 }, &d));
	assert_true(cel_time_diff((struct cel_timestamp){ -1, 999999999 }, (struct cel_timestamp){ 0, 0 }, &d));
	assert_int_equal(d, -1);
	assert_false(cel_time_from_unix(CEL_TIME_MAX_S + 1, &sum));
	assert_false(cel_time_from_unix(CEL_TIME_MIN_S - 1, &sum));
	assert_false(cel_duration_add(INT64_MAX, 1, &d));
	assert_false(cel_duration_sub(INT64_MIN, 1, &d));
	assert_false(cel_duration_negate(INT64_MIN, &d));
}

/* Nanoseconds since the epoch need 69 bits. */
static __int128 whole(struct cel_timestamp t) {
	return (__int128)t.s * CEL_NS_PER_S + t.ns;
}

static bool fits(__int128 ns, struct cel_timestamp *out) {
	__int128 s = ns / CEL_NS_PER_S - (ns % CEL_NS_PER_S < 0);

	*out = (struct cel_timestamp){ (int64_t)s, (uint32_t)(ns - s * CEL_NS_PER_S) };
	return s >= CEL_TIME_MIN_S && s <= CEL_TIME_MAX_S;
}

static uint64_t rnd(uint64_t *state) {
	*state ^= *state << 13; /* xorshift64 */
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Near the ends of the range as often as within it. */
static struct cel_timestamp some_time(uint64_t *state) {
	const int64_t near[] = { CEL_TIME_MIN_S, CEL_TIME_MAX_S, 0, 1795532645 };
	int64_t span = rnd(state) % 2 ? 3 : 4000000000, s = near[rnd(state) % 4] + (int64_t)(rnd(state) % (uint64_t)(2 * span)) - span;
	const uint32_t parts[] = { 0, 1, 999999999, (uint32_t)(rnd(state) % CEL_NS_PER_S) };

	s = s < CEL_TIME_MIN_S ? CEL_TIME_MIN_S : s > CEL_TIME_MAX_S ? CEL_TIME_MAX_S : s;
	return (struct cel_timestamp){ s, parts[rnd(state) % 4] };
}

static int64_t some_duration(uint64_t *state) {
	const int64_t ends[] = { INT64_MIN, INT64_MIN + 1, -CEL_NS_PER_S, -1, 0, 1, CEL_NS_PER_S, INT64_MAX };

	return rnd(state) % 2 ? ends[rnd(state) % 8] : (int64_t)(rnd(state) >> rnd(state) % 64) * (rnd(state) % 2 ? 1 : -1);
}

/* To the nanosecond, and an error exactly where the result is out of range. */
static void test_cel_time_arithmetic_is_exact(void **state) {
	uint64_t seed = 20261126;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct cel_timestamp a = some_time(&seed), b = some_time(&seed), want, got;
		int64_t d = some_duration(&seed), e = some_duration(&seed), diff;
		__int128 apart = whole(a) - whole(b);
		bool ok;

		ok = fits(whole(a) + d, &want);
		assert_true(cel_time_add(a, d, &got) == ok && (!ok || cel_time_compare(got, want) == 0));
		assert_true(!ok || (cel_time_diff(want, a, &diff) && diff == d)); /* there and back */
		ok = fits(whole(a) - d, &want);
		assert_true(cel_time_sub(a, d, &got) == ok && (!ok || cel_time_compare(got, want) == 0));
		ok = apart >= INT64_MIN && apart <= INT64_MAX;
		assert_true(cel_time_diff(a, b, &diff) == ok && (!ok || diff == apart));
		ok = (__int128)d + e >= INT64_MIN && (__int128)d + e <= INT64_MAX;
		assert_true(cel_duration_add(d, e, &diff) == ok && (!ok || diff == d + e));
		ok = (__int128)d - e >= INT64_MIN && (__int128)d - e <= INT64_MAX;
		assert_true(cel_duration_sub(d, e, &diff) == ok && (!ok || diff == d - e));
		assert_true(cel_duration_negate(d, &diff) == (d != INT64_MIN) && (d == INT64_MIN || diff == -d));
	}
}

/* What is printed reads back as the same nanosecond. */
static void test_cel_time_texts_read_back(void **state) {
	uint64_t seed = 4;

	(void)state;
	for (int i = 0; i < 50000; i++) {
		char text[CEL_TIME_TEXT], span[CEL_DURATION_TEXT];
		struct cel_timestamp t = some_time(&seed), u;
		int64_t d = some_duration(&seed), e;
		size_t n = cel_time_format(t, text), m = cel_duration_format(d, span);

		assert_true(cel_time_parse((struct str){ text, n }, &u) && cel_time_compare(t, u) == 0);
		assert_true(cel_duration_parse((struct str){ span, m }, &e) && d == e);
	}
}

static void test_cel_time_gets_fields(void **state) {
	/* 2009-02-13T23:31:20.123456789Z, the conformance suite's favourite: a Friday. */
	const struct cel_timestamp t = { 1234567880, 123456789 };
	static const struct {
		const char *name;
		int32_t offset_s;
		int64_t value;
	} cases[] = {
		{ "getFullYear", 0, 2009 },   { "getMonth", 0, 1 },	  { "getDayOfYear", 0, 43 },
		{ "getDayOfMonth", 0, 12 },   { "getDate", 0, 13 },	  { "getDayOfWeek", 0, 5 },
		{ "getHours", 0, 23 },	      { "getMinutes", 0, 31 },	  { "getSeconds", 0, 20 },
		{ "getMilliseconds", 0, 123 }, { "getDate", 1800, 14 },	  { "getDayOfWeek", 1800, 6 },
		{ "getHours", 1800, 0 },      { "getMinutes", -1800, 1 }, { "getHours", -3600 * 23, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum cel_time_field field;

		assert_int_equal(cel_time_field_parse(str_of(cases[i].name), &field), 0);
		assert_int_equal(cel_time_get(field, t, (struct zone_ref){ .offset_s = cases[i].offset_s }),
				 cases[i].value);
	}
	assert_int_equal(cel_time_get(CEL_FULL_YEAR, (struct cel_timestamp){ CEL_TIME_MIN_S, 0 },
				      (struct zone_ref){ .offset_s = -60 }), 0);
	assert_int_equal(cel_time_get(CEL_FULL_YEAR, (struct cel_timestamp){ CEL_TIME_MAX_S, 0 },
				      (struct zone_ref){ .offset_s = 60 }), 10000);
	assert_int_equal(cel_time_get(CEL_HOURS, (struct cel_timestamp){ -1, 0 }, utc), 23);
}

static void test_cel_duration_gets_totals(void **state) {
	(void)state;
	assert_int_equal(cel_duration_get(CEL_HOURS, 10000 * CEL_NS_PER_S), 2);
	assert_int_equal(cel_duration_get(CEL_MINUTES, 3730 * CEL_NS_PER_S), 62);
	assert_int_equal(cel_duration_get(CEL_SECONDS, 3730 * CEL_NS_PER_S), 3730);
	assert_int_equal(cel_duration_get(CEL_MILLISECONDS, 123321000000), 321);
	assert_int_equal(cel_duration_get(CEL_SECONDS, -1500000000), -1);
}

/* Every field is constant from s until just before the change that cel_time_next_change() names. */
static void test_cel_time_next_change_is_the_next(void **state) {
	static const int64_t starts[] = { -5000000000, -1, 0, 951782400, 1774746000, 1798761599 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		for (int f = 0; f < CEL_MILLISECONDS; f++) {
			struct zone_ref zone = { .offset_s = 5 * 3600 + 45 * 60 };
			int64_t next = cel_time_next_change((enum cel_time_field)f, starts[i], zone);
			struct cel_timestamp at = { starts[i], 0 }, before = { next - 1, 999999999 }, after = { next, 0 };

			assert_true(next > starts[i]);
			assert_int_equal(cel_time_get((enum cel_time_field)f, at, zone),
					 cel_time_get((enum cel_time_field)f, before, zone));
			assert_int_not_equal(cel_time_get((enum cel_time_field)f, at, zone),
					     cel_time_get((enum cel_time_field)f, after, zone));
		}
}

static void test_cel_civil_round_trips(void **state) {
	(void)state;
	for (int64_t day = -800000; day < 4000000; day += 13) {
		struct cel_civil c = cel_civil_from_days(day);

		assert_int_equal(cel_days_from_civil(c.year, c.month, c.day), day);
		assert_true(c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= 31);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cel_time_reads_rfc_3339),
		cmocka_unit_test(test_cel_time_refuses_what_is_not_rfc_3339),
		cmocka_unit_test(test_cel_time_reads_dates),
		cmocka_unit_test(test_cel_duration_reads_and_prints),
		cmocka_unit_test(test_cel_duration_refuses_the_rest),
		cmocka_unit_test(test_cel_time_checks_ranges),
		cmocka_unit_test(test_cel_time_arithmetic_is_exact),
		cmocka_unit_test(test_cel_time_texts_read_back),
		cmocka_unit_test(test_cel_time_gets_fields),
		cmocka_unit_test(test_cel_duration_gets_totals),
		cmocka_unit_test(test_cel_time_next_change_is_the_next),
		cmocka_unit_test(test_cel_civil_round_trips),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
