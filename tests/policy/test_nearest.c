/* nearest: the word that was meant, or none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"

static const char *const words[] = { "name", "title", "members", "serviceAccounts", "maxLifetime", "notBefore", "notAfter", "condition" };

static const char *nearest_of(const char *word) {
	struct nearest nearest;

	nearest_init(&nearest, word);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		nearest_offer(&nearest, words[i]);
	return nearest.best;
}

static void test_nearest_table(void **state) {
	static const struct {
		const char *word, *best;
	} cases[] = {
		{ "name", "name" },		 { "nmae", "name" },	 { "Name", "name" },	  { "NAMES", "name" },
		{ "member", "members" },	 { "memebrs", "members" }, { "maxlifetime", "maxLifetime" },
		{ "max_lifetime", "maxLifetime" }, { "maxLifteime", "maxLifetime" }, { "service_accounts", "serviceAccounts" },
		{ "serviceAccount", "serviceAccounts" }, { "notBefor", "notBefore" }, { "notafter", "notAfter" },
		{ "conditon", "condition" },	 { "", NULL },		 { "x", NULL },		  { "expires", NULL },
		{ "roles/iam.serviceAccountTokenCreator", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *best = nearest_of(cases[i].word);

		if (!best != !cases[i].best || (best && strcmp(best, cases[i].best)))
			fail_msg("%s: %s", cases[i].word, best ? best : "-");
	}
}

static void test_nearest_takes_the_first_of_equals(void **state) {
	struct nearest nearest;

	(void)state;
	nearest_init(&nearest, "bat");
	nearest_offer(&nearest, "cat");
	nearest_offer(&nearest, "hat");
	assert_string_equal(nearest.best, "cat");
	nearest_offer(&nearest, "bat");
	assert_string_equal(nearest.best, "bat");
	nearest_offer(&nearest, "cat");
	assert_string_equal(nearest.best, "bat");
}

static void test_nearest_leaves_long_words_alone(void **state) {
	char word[NEAREST_MAX_WORD + 20], same[NEAREST_MAX_WORD + 20];
	struct nearest nearest;

	(void)state;
	for (size_t n = NEAREST_MAX_WORD - 1; n <= NEAREST_MAX_WORD + 10; n++) {
		memset(word, 'a', n);
		word[n] = '\0';
		memcpy(same, word, n + 1);
		nearest_init(&nearest, word);
		nearest_offer(&nearest, same);
		nearest_offer(&nearest, "a");
		assert_ptr_equal(nearest.best, n <= NEAREST_MAX_WORD ? same : NULL);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nearest_table),
		cmocka_unit_test(test_nearest_takes_the_first_of_equals),
		cmocka_unit_test(test_nearest_leaves_long_words_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
