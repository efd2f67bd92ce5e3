/* Spans and times as people write them, and as they are told: hallpass's own words for both. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"

#define NOW 1772438400 /* 2026-03-02T08:00:00Z, a Monday: nine o'clock in Berlin */

static int berlin(void **state) {
	(void)state;
	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	return 0;
}

static void test_cli_span_reads_spans(void **state) {
	static const struct {
		const char *text;
		int64_t seconds;
	} cases[] = {
		{ "15m", 900 },	   { "900s", 900 },   { "1h30m", 5400 }, { "1h", 3600 },   { "1h1m1s", 3661 }, { "0s", 0 },
		{ "90d", 7776000 }, { "1d12h", 129600 },  { "1h1d", -1 },
		{ "", -1 },	   { "15", -1 },      { "m", -1 },	 { "-5m", -1 },	   { "5m1h", -1 },     { "5m5m", -1 },
		{ "2y", -1 },	   { "1.5h", -1 },    { "5 m", -1 },	 { "5m ", -1 },	   { "soon", -1 },     { "0x10s", -1 },
		{ "99999999s", -1 }, { "9999999999999999999999h", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (cli_parse_span(cases[i].text) != cases[i].seconds)
			fail_msg("\"%s\" is %lld", cases[i].text, (long long)cli_parse_span(cases[i].text));
}

static void test_cli_span_reads_times(void **state) {
	static const struct {
		const char *text;
		int64_t at;
	} cases[] = {
		{ "2026-03-02T08:00:00Z", NOW },
		{ "2026-03-02T09:00:00+01:00", NOW },
		{ "2026-03-02T03:30:00-04:30", NOW },
		{ "2026-03-02T08:00:00.987654321Z", NOW },
		{ "2024-02-29T00:00:00Z", 1709164800 },
		{ "now", NOW },
		{ "+2h", NOW + 7200 },
		{ "-30m", NOW - 1800 },
		{ "09:00", NOW },
		{ "17:50", NOW + 8 * 3600 + 50 * 60 },
		{ "00:00", NOW - 9 * 3600 },
		{ "", -1 },
		{ "tomorrow", -1 },
		{ "+soon", -1 },
		{ "24:00", -1 },
		{ "9:00", -1 },
		{ "09:60", -1 },
		{ "09.00", -1 },
		{ "2026-03-02", -1 },
		{ "2026-03-02T08:00:00", -1 },
		{ "2026-03-02 08:00:00Z", -1 },
		{ "2026-13-02T08:00:00Z", -1 },
		{ "2026-02-29T08:00:00Z", -1 }, /* no leap year */
		{ "2026-03-02T08:00:60Z", -1 },
		{ "2026-03-02T24:00:00Z", -1 },
		{ "2026-03-02T08:00:00+0100", -1 },
		{ "2026-03-02T08:00:00+24:00", -1 },
		{ "2026-03-02T08:00:00+01:60", -1 },
		{ "2026-03-02T08:00:00.Z", -1 },
		{ "2026-03-02T08:00:00Zjunk", -1 },
		{ "x026-03-02T08:00:00Z", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (cli_parse_time(cases[i].text, NOW) != cases[i].at)
			fail_msg("\"%s\" is %lld", cases[i].text, (long long)cli_parse_time(cases[i].text, NOW));
}

static void test_cli_span_tells_spans(void **state) {
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
		{ 0, "0s" },	     { 45, "45s" },	{ 60, "1m" },	   { 95, "1m 35s" }, { 605, "10m" },	{ 3600, "1h" },
		{ 5400, "1h 30m" },  { 86400, "1d" },	{ 90000, "1d 1h" }, { -45, "-45s" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf text = BUF_INIT(64);

		out_span(cases[i].seconds, &text);
		assert_string_equal(text.data, cases[i].text);
		buf_fini(&text);
	}
}

static void test_cli_span_tells_times_as_short_as_they_are_clear(void **state) {
	static const struct {
		int64_t at;
		const char *text;
	} cases[] = {
		{ NOW + 90, "09:01:30" },      { NOW - 90, "08:58:30" },       { NOW + 3600, "10:00" },
		{ NOW + 86400, "Tue 09:00" },  { NOW - 86400, "Sun 09:00" },   { NOW + 7 * 86400, "2026-03-09 09:00" },
		{ NOW + 15 * 3600, "Tue 00:00" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf text = BUF_INIT(64);

		out_when(cases[i].at, NOW, &text);
		assert_string_equal(text.data, cases[i].text);
		buf_fini(&text);
	}
}

static void test_cli_safe_text_moves_no_cursor(void **state) {
	(void)state;
	assert_string_equal(out_safe("a\x1b[2Jb\n\t\x7f"), "a\\x1b[2Jb\\x0a\\x09\\x7f");
	assert_string_equal(out_safe("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
	assert_string_equal(out_safe("\xc2\x9b" "31m"), "\\xc2\\x9b31m"); /* a C1 control that a terminal may obey */
	assert_string_equal(out_safe("\xff"), "\\xff");
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cli_span_reads_spans),
		cmocka_unit_test_setup(test_cli_span_reads_times, berlin),
		cmocka_unit_test(test_cli_span_tells_spans),
		cmocka_unit_test_setup(test_cli_span_tells_times_as_short_as_they_are_clear, berlin),
		cmocka_unit_test(test_cli_safe_text_moves_no_cursor),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
