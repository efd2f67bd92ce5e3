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

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_log_escapes_and_limits) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
