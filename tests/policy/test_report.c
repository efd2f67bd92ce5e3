/* report: findings printed with their line and a caret under the character. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "hallpass/cleanup.h"
#include "tests/policy/load.h"

static char *printed(struct str text, struct policy_finding *findings, size_t n, bool colour) {
	struct policy_report report = { .findings = findings, .n = n };
	struct buf b = BUF_INIT(100000);

	policy_report_print(&report, "p", text, colour, &b);
	return buf_take(&b);
}

#define AT(l, c) { .severity = POLICY_ERROR, .id = "id", .line = (l), .column = (c), .message = (char[]){ "m" } }

static void test_report_points_at_the_character(void **state) {
	static const struct {
		struct str text;
		unsigned line, column;
		const char *shown;
	} cases[] = {
		{ STR("a: b\n"), 1, 4, "  | a: b\n  |    ^\n" },
		{ STR("a: b"), 1, 5, "  | a: b\n  |     ^\n" },
		{ STR("a\n\xc3\xa4\xc3\xb6: x\n"), 2, 5, "  | \xc3\xa4\xc3\xb6: x\n  |     ^\n" },
		{ STR("\xef\xbb\xbf" "a: b\n"), 1, 1, "  | a: b\n  | ^\n" },
		{ STR("a\tb\n"), 1, 3, "  | a b\n  |   ^\n" },
		/* what is wide, and what has no width of its own */
		{ STR("\xe6\x97\xa5\xe6\x9c\xac: x\n"), 1, 5, "  | \xe6\x97\xa5\xe6\x9c\xac: x\n  |       ^\n" },
		{ STR("\xf0\x9f\x98\x80 x\n"), 1, 3, "  | \xf0\x9f\x98\x80 x\n  |    ^\n" },
		{ STR("e\xcc\x81 x\n"), 1, 4, "  | e\xcc\x81 x\n  |   ^\n" },
		{ STR("\xe6\x97\xa5\n"), 1, 3, "  | \xe6\x97\xa5\n  |    ^\n" },
		{ STR("a\x1b[2J\x7f\n"), 1, 1, "  | a [2J \n  | ^\n" },
		{ STR("a\r\nb\r\n"), 2, 1, "  | b \n  | ^\n" },
		{ STR("a\n"), 2, 1, "  | \n  | ^\n" },
		{ STR("a\n"), 9, 1, "  | \n  | ^\n" },
		{ STR(""), 1, 1, "  | \n  | ^\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_finding f = AT(cases[i].line, cases[i].column);
		char *got = printed(cases[i].text, &f, 1, false);
		const char *shown = strchr(got, '\n');

		assert_non_null(shown);
		assert_string_equal(shown + 1, cases[i].shown);
		free(got);
	}
}

static void test_report_shows_the_part_of_a_long_line_that_matters(void **state) {
	char text[2001];
	struct policy_finding f = AT(1, 1500);
	char *got;

	(void)state;
	memset(text, '.', 2000);
	text[1499] = 'X';
	got = printed((struct str){ text, 2000 }, &f, 1, false);
	assert_true(strlen(got) < 400);
	assert_int_equal(strchr(strchr(got, '\n') + 1, 'X') - strchr(got, '\n'),
			 strchr(got, '^') - strchr(strchr(got, '\n') + 1, '\n'));
	free(got);
}

static void test_report_prints_all_in_any_order(void **state) {
	struct policy_finding list[] = { AT(3, 1), AT(1, 1), AT(2, 1) };
	char *got;

	(void)state;
	list[1].severity = POLICY_WARNING;
	list[1].fix = (char[]){ "f" };
	got = printed(STR("one\ntwo\nthree\n"), list, 3, false);
	assert_string_equal(got, "p:3:1: error: m [id]\n  | three\n  | ^\n"
				 "p:1:1: warning: m [id]\n  | one\n  | ^\n  = f\n"
				 "p:2:1: error: m [id]\n  | two\n  | ^\n");
	free(got);
	got = printed(STR("one\ntwo\nthree\n"), list, 2, true);
	assert_string_equal(got, "\x1b[1mp:3:1: \x1b[1;31merror:\x1b[0m m [id]\n  | three\n  | ^\n"
				 "\x1b[1mp:1:1: \x1b[1;33mwarning:\x1b[0m m [id]\n  | one\n  | ^\n  = f\n");
	free(got);
}

static void test_report_counts_what_it_does_not_show(void **state) {
	struct policy_finding f = AT(1, 1);
	struct policy_report report = { .findings = &f, .n = 1, .n_errors = 1, .more_errors = 1, .more_warnings = 12 };
	struct buf b = BUF_INIT(1000);

	(void)state;
	policy_report_print(&report, "p", STR("a\n"), false, &b);
	assert_string_equal(b.data, "p:1:1: error: m [id]\n  | a\n  | ^\np: and 1 more error\np: and 12 more warnings\n");
	buf_fini(&b);
}

static void test_report_is_silent_about_notes(void **state) {
	struct policy_finding f = AT(1, 1);
	char *got;

	(void)state;
	f.severity = POLICY_NOTE;
	got = printed(STR("a\n"), &f, 1, false);
	assert_string_equal(got, "");
	free(got);
}

static void test_report_counts_tests(void **state) {
	struct policy_report report = { .tests_run = 3, .tests_failed = 1 };
	struct buf b = BUF_INIT(1000);

	(void)state;
	policy_report_print(&report, "p", STR(""), false, &b);
	assert_string_equal(b.data, "2 of 3 tests passed\n");
	buf_fini(&b);
	policy_report_fini(&report);
	policy_report_fini(&report);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_points_at_the_character),
		cmocka_unit_test(test_report_shows_the_part_of_a_long_line_that_matters),
		cmocka_unit_test(test_report_prints_all_in_any_order),
		cmocka_unit_test(test_report_counts_what_it_does_not_show),
		cmocka_unit_test(test_report_is_silent_about_notes),
		cmocka_unit_test(test_report_counts_tests),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
