/* log: one line an event, escaped, rate-limited. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "broker/log.h"

static void test_log_escapes_and_limits(void **state) {
	static char text[200000];
	struct log log;
	size_t n = 0, lines = 0;
	ssize_t r;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	log_init(&log, p[1], LOG_LEVEL_INFO);
	log_debug(&log, "quiet", "not shown");
	log_warning(&log, "odd", "name=%s", "a\nb\x1b[2J\xff");
	for (int i = 0; i < 1000; i++)
		log_info(&log, "flood", "i=%d", i);
	while ((r = read(p[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = '\0';
	assert_null(strstr(text, "quiet"));
	assert_non_null(strstr(text, " warning odd name=a\\x0ab\\x1b[2J\\xff\n"));
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	assert_in_range(lines, 100, 601); /* 200 a second; the loop may cross a second or two */
	close(p[0]);
	close(p[1]);
}

static void test_log_knows_its_levels_by_name(void **state) {
	static const char *const names[] = { "error", "warning", "info", "debug" };
	enum log_level level = LOG_LEVEL_INFO;

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(log_level_parse(names[i], &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(log_level_parse("INFO", &level), -1);
	assert_int_equal(log_level_parse("", &level), -1);
	assert_int_equal(level, LOG_LEVEL_DEBUG); /* as it was */
}

/* Reads one line. */
static void one_line(int fd, char *line, size_t size) {
	ssize_t n = read(fd, line, size - 1);

	assert_true(n > 0);
	line[n] = '\0';
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
}

static void test_log_cuts_long_lines_and_tells_what_was_dropped(void **state) {
	static char line[20000], text[9000];
	struct log log;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	log_init(&log, p[1], LOG_LEVEL_DEBUG);
	memset(text, 'x', sizeof(text) - 1);
	log_debug(&log, "long", "text=%s", text);
	one_line(p[0], line, sizeof(line));
	assert_int_equal(strspn(strchr(line, '='), "=x\n"), 4096 - strlen("text"));
	memset(text, 1, sizeof(text) - 1); /* each is four when escaped: the line still ends */
	log_error(&log, "binary", "text=%s", text);
	one_line(p[0], line, sizeof(line));
	assert_int_equal(strlen(strchr(line, '=')), 1 + 4 * 4090 + 1);
	log.dropped = 7;
	log_warning(&log, "after", "x=1");
	one_line(p[0], line, sizeof(line));
	assert_non_null(strstr(line, " warning after x=1 dropped=7\n"));
	log_warning(&log, "after", "x=2"); /* once is enough */
	one_line(p[0], line, sizeof(line));
	assert_null(strstr(line, "dropped"));
	close(p[0]);
	close(p[1]);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_escapes_and_limits),
		cmocka_unit_test(test_log_knows_its_levels_by_name),
		cmocka_unit_test(test_log_cuts_long_lines_and_tells_what_was_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
