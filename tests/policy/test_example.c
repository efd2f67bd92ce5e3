/* example: texts for patterns, constants that a variable is held against. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "policy/cel_internal.h"
#include "policy/example.h"

static void test_example_of_pattern(void **state) {
	static const struct {
		const char *pattern, *example; /* NULL: none */
	} cases[] = {
		{ "^(INC|CHG)-[0-9]+", "INC-123" },
		{ "^(?:INC|CHG)-\\d{6}$", "INC-123456" },
		{ "(?i)^inc[-_]?[0-9]{3,5}", "inc123" },
		{ "^[A-Z]{2,}-[0-9]*$", "ABC-123" },
		{ "^[A-Za-z0-9_-]+$", "ABC" },
		{ "^[^A-Z0-9]{2}$", "ab" },
		{ "^https://tickets\\.example\\.com/(browse/)?[A-Z]+-\\d+$", "https://tickets.example.com/ABC-123" },
		{ ".*deploy.*", "deploy" },
		{ "^.+: because .+$", "ABC: because ABC" },
		{ "\\bINC\\b", "INC" },
		{ "^(a|b){3}$", "aaa" },
		{ "^\\S+ \\w+ \\D\\W$", "ABC ABC A " },
		{ "^[\\d.]+$", "123" },
		{ "^[]a]$", "a" },
		{ "^[a\\]-]{2}$", "a-" },
		{ "^(?P<kind>INC)-(?P<n>[0-9]+?)$", "INC-123" },
		{ "^gr\xC3\xBC\xC3\x9F+e$", "gr\xC3\xBC\xC3\x9F" "e" },
		{ "x{0}y", "y" },
		{ "", NULL },
		{ "^$", NULL },
		{ "^[[:alpha:]]+-[[:digit:]_]{2}[[:xdigit:]][^[:space:]]$", "ABC-12AA" },
		{ "^[[:punct:]][[:upper:]][[:lower:]][[:word:]][[:alnum:]]$", "-AaAA" },
		{ "^[[:alphabet:]]+$", NULL },
		{ "^[[:^digit:]]+$", NULL },
		{ "^[[:digit:", NULL },
		{ "\\pL+", NULL },
		{ "\\x41", NULL },
		{ "^x{200}$", NULL },
		{ "((a{0}){1000}){1000}b", NULL },
		{ "((((((((((((((((((x))))))))))))))))))", NULL },
		{ "(x", NULL },
		{ "[x", NULL },
		{ "[\xC3\xBC]", NULL },
		{ "x)", NULL },
		{ "*", NULL },
		{ "x\\", NULL },
		{ "x{", NULL },
		{ "x{2", NULL },
	};
	char example[EXAMPLE_TEXT], why[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool there = example_of_pattern(str_of(cases[i].pattern), example);

		if (there != (cases[i].example != NULL) || (there && strcmp(example, cases[i].example)))
			fail_msg("%s: %s", cases[i].pattern, there ? example : "(none)");
		/* RE2 itself finds it. */
		if (there)
			assert_int_equal(cel_regex_once(str_of(cases[i].pattern), 1 << 20, str_of(example), why, sizeof(why)), 1);
	}
}

/* Bytes at random from what patterns are made of: an example ends, fits, and is a whole text. */
static void test_example_of_any_pattern_ends(void **state) {
	static const char *const pieces[] = { "a", "[0-9]", "[^x]", "(", ")", "|", "*", "+", "?", "{2}", "{1,3}", "{0,}", "^", "$", "\\d",
					      "\\.", ".", "[", "]", "\\", "(?:", "(?i)", "{", "\xC3\xBC", "-" };
	char pattern[256], example[EXAMPLE_TEXT];
	unsigned found = 0;

	(void)state;
	srandom(7);
	for (int i = 0; i < 200000; i++) {
		pattern[0] = '\0';
		for (long n = random() % 12; n >= 0; n--)
			strcat(pattern, pieces[(size_t)random() % ARRAY_SIZE(pieces)]);
		memset(example, 'x', sizeof(example));
		if (!example_of_pattern(str_of(pattern), example))
			continue;
		found++;
		assert_in_range(strlen(example), 1, EXAMPLE_TEXT - 1);
	}
	assert_true(found > 10000);
}

static void examples_of(const char *expression, struct examples *out, bool filled, char *texts) {
	struct cel_env *env;
	struct cel_program *program;
	struct cel_error error;
	struct error err;
	unsigned slot;

	*out = (struct examples){ 0 };
	assert_int_equal(cel_env_new(CEL_LIB_ALL, &env, &err), 0);
	assert_int_equal(cel_env_variable(env, "other", &cel_string, &slot, &err), 0);
	assert_int_equal(cel_env_variable(env, "x", &cel_string, &slot, &err), 0);
	if (cel_compile(env, str_of(expression), 0, NULL, &program, &error) < 0)
		fail_msg("%s: %s", expression, error.message);
	example_texts(program, slot, filled ? "so" : NULL, out);
	example_spans(program, out);
	assert_true(example_mentions(program, str_of("mentioned")) == (strstr(expression, "mentioned") != NULL));
	cel_program_free(program);
	cel_env_free(env);
	texts[0] = '\0';
	for (size_t i = 0; i < out->n; i++)
		strcat(strcat(texts, i ? "|" : ""), out->texts[i]);
}

static void test_example_texts_come_from_the_constants_of_their_variable(void **state) {
	static const struct {
		const char *expression;
		bool filled;
		const char *texts;
	} cases[] = {
		{ "x == 'a' || 'b' == x || x == 'a'", false, "a|b" },
		{ "x.startsWith('INC-') && x.endsWith('!') && x.contains('c')", false, "INC-|!|c|INC- c !" },
		{ "x.matches('^INC-[0-9]+') && x.contains('for') && x.matches('[a-z]{4}')", false, "INC-123|for|abcd|INC-123 for abcd" },
		{ "x.split(' ')[0].matches('^INC-[0-9]+$')", false, "INC-123" },
		{ "x.substring(0, 4) == 'INC-' && x.split(other)[0] == 'no'", false, "INC-" },
		{ "x in ['a', 'b'] && other in ['c']", false, "a|b" },
		{ "x.matches('^(INC|CHG)-[0-9]+')", false, "INC-123" },
		{ "matches(x, 'a+b')", false, "ab" },
		{ "x.lowerAscii() == 'low'", false, "low" },
		{ "other == 'mentioned' && x != 'n'", false, "" },
		{ "other in ['mentioned'] && x != ''", true, "so" },
		{ "x.size() >= 9 && x.startsWith('INC-')", true, "INC-|so|INC-, so, so|so, so, so" },
		{ "10 < size(x)", true, "so|so, so, so, so" },
		{ "size(x) < 1000", true, "so" },
		{ "x == ''", false, "" },
	};
	struct examples examples;
	char texts[EXAMPLES * EXAMPLE_TEXT + EXAMPLES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		examples_of(cases[i].expression, &examples, cases[i].filled, texts);
		assert_string_equal(texts, cases[i].texts);
	}
}

static void test_example_spans_are_the_durations_and_their_neighbours(void **state) {
	struct examples examples;
	char texts[EXAMPLES * EXAMPLE_TEXT + EXAMPLES];

	(void)state;
	examples_of("duration('900s') > duration(x) || duration(x) == duration('900s')", &examples, false, texts);
	assert_int_equal(examples.n_spans, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(examples.spans[i], 899 + i);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example_of_pattern),
		cmocka_unit_test(test_example_of_any_pattern_ends),
		cmocka_unit_test(test_example_texts_come_from_the_constants_of_their_variable),
		cmocka_unit_test(test_example_spans_are_the_durations_and_their_neighbours),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
