/* secret: copies, wipes, compares, stays out of core files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "broker/secret.h"

static void test_secret_holds_and_forgets(void **state) {
	struct secret s = { 0 };

	(void)state;
	assert_int_equal(secret_set(&s, "ya29.abc", 8), 0);
	assert_string_equal(s.data, "ya29.abc");
	assert_true(secret_equal(&s, "ya29.abc", 8));
	assert_false(secret_equal(&s, "ya29.abd", 8));
	assert_false(secret_equal(&s, "ya29.ab", 7));
	assert_int_equal(secret_set(&s, "other", 5), 0);
	assert_true(secret_equal(&s, "other", 5));
	secret_fini(&s);
	assert_null(s.data);
	assert_true(secret_equal(&s, "", 0));
}

/* The kernel's own word: "dd" in VmFlags is MADV_DONTDUMP, "wf" wipe on fork. */
static void test_secret_is_left_out_of_core_files(void **state) {
	struct secret s = { 0 };
	char line[512];
	unsigned long from, to;
	int in = 0, seen = 0;
	FILE *f;

	(void)state;
	assert_int_equal(secret_set(&s, "x", 1), 0);
	f = fopen("/proc/self/smaps", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &from, &to) == 2)
			in = from <= (unsigned long)s.data && (unsigned long)s.data < to;
		if (in && !strncmp(line, "VmFlags:", 8)) {
			seen = strstr(line, " dd") && strstr(line, " wf");
			break;
		}
	}
	fclose(f);
	assert_true(seen);
	secret_fini(&s);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_holds_and_forgets),
		cmocka_unit_test(test_secret_is_left_out_of_core_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
