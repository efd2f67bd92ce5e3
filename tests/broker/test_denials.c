/* denials: the last refused request of each principal, and no more of them than fit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "broker/denials.h"

static void note(struct denials *denials, unsigned who, const char *request) {
	struct denial denial = { .ask = { .body = json_object() } };

	snprintf(denial.principal, sizeof(denial.principal), "user:%u@example.com", who);
	snprintf(denial.request, sizeof(denial.request), "%s", request);
	denials_note(denials, &denial);
	json_decref(denial.ask.body); /* it has its own reference: the sanitizers would tell */
}

static const char *last(const struct denials *denials, unsigned who) {
	char principal[PRINCIPAL_MAX];
	const struct denial *denial;

	snprintf(principal, sizeof(principal), "user:%u@example.com", who);
	denial = denials_find(denials, principal);
	return denial && json_is_object(denial->ask.body) ? denial->request : "-";
}

static void test_denials_remember_the_last_of_each(void **state) {
	struct denials *denials = denials_new();

	(void)state;
	assert_string_equal(last(denials, 1), "-");
	note(denials, 1, "a");
	note(denials, 2, "b");
	note(denials, 1, "c");
	assert_string_equal(last(denials, 1), "c");
	assert_string_equal(last(denials, 2), "b");
	denials_free(denials);
	denials_free(NULL);
}

static void test_denials_forget_the_oldest(void **state) {
	struct denials *denials = denials_new();

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		note(denials, i, "x");
	note(denials, 0, "again");
	note(denials, 256, "new");
	assert_string_equal(last(denials, 0), "again");
	assert_string_equal(last(denials, 1), "-");
	assert_string_equal(last(denials, 2), "x");
	assert_string_equal(last(denials, 256), "new");
	denials_free(denials);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_denials_remember_the_last_of_each),
		cmocka_unit_test(test_denials_forget_the_oldest),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
