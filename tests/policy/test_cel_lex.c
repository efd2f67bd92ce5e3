/* The lexer: bytes in, tokens out; and what literals hold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "hallpass/cleanup.h"
#include "policy/cel_lex.h"

/* One letter a token: i ident, q quoted, n in, t true, f false, 0 null, d int, u uint, r double, s string, b bytes, & | = ! < { > }
 * for the pairs, the character itself for the rest, E for an error. */
static void spell(struct str text, char *out) {
	static const char letters[] = ".Eiqntf0durs" "b&|=!<{>}";
	struct cel_lexer lexer = { .text = text };
	struct cel_token token;

	for (size_t before = 0;; before = lexer.at) {
		token = cel_lex(&lexer);
		assert_true(token.start >= before && token.end >= token.start && token.end <= text.n && token.end == lexer.at);
		if (token.kind == CEL_TOK_END)
			break;
		assert_true(token.end > token.start);
		*out++ = token.kind == CEL_TOK_PUNCT ? token.punct : letters[token.kind];
		if (token.kind == CEL_TOK_ERROR) {
			assert_non_null(token.why);
			break;
		}
	}
	*out = '\0';
}

static void test_cel_lex_tells_tokens_apart(void **state) {
	static const struct {
		struct str text;
		const char *tokens;
	} cases[] = {
		{ STR(""), "" },
		{ STR(" \t\r\n\f"), "" },
		{ STR("// nothing else"), "" },
		{ STR("a // b\nc"), "ii" },
		{ STR("a///b"), "i" },
		{ STR("a/b"), "i/i" },
		{ STR("in true false null inn True nulls _"), "ntf0iiii" },
		{ STR("1 08 0x1F 0X1f 1u 1U 0xFFu"), "dddduuu" },
		{ STR("1.5 .5 1e3 1E+3 1.e3 1e 1.5e-3"), "rrrrd.iE" },
		{ STR("1."), "d." },
		{ STR("1..2"), "d.r" },
		{ STR("x.1"), "ir" },
		{ STR("&& || == != < <= > >="), "&|=!<{>}" },
		{ STR("+-*/%!?:.,()[]{}"), "+-*/%!?:.,()[]{}" },
		{ STR("a&&b"), "i&i" },
		{ STR("r'a' R\"a\" b'a' rb'' Rb'' bR'' br''"), "ssbbbbb" },
		{ STR("rr''"), "is" },
		{ STR("bb''"), "is" },
		{ STR("rbr''"), "is" },
		{ STR("'''a'b''c''' \"\"\"\n\"\"\""), "ss" },
		{ STR("'' \"\" ''''''"), "sss" },
		{ STR("r'\\' 1"), "sd" },
		{ STR("'\\'' 1"), "sd" },
		{ STR("`a.b-c/d 1`"), "q" },
		{ STR("a\0b"), "iE" },
		{ STR("'a\0b'"), "s" },
		{ STR("\0"), "E" },
	};
	char got[80];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		spell(cases[i].text, got);
		if (strcmp(got, cases[i].tokens))
			fail_msg("%s: expected %s, got %s", cases[i].text.p, cases[i].tokens, got);
	}
}

static void test_cel_lex_refuses_what_is_no_token(void **state) {
	static const struct str cases[] = {
		STR("'"),	STR("\""),     STR("'a"),     STR("'a\n'"),  STR("'a\r'"),  STR("'''a''"), STR("'\\'"), STR("r'''"),
		STR("0x"),	STR("0xg"),    STR("1a"),     STR("1ua"),    STR("1e3x"),   STR("0x1g"),   STR("&"),    STR("|"),
		STR("="),	STR("a=b"),    STR("`"),      STR("``"),     STR("`a"),     STR("`a\n`"),  STR("#"),    STR("$x"),
		STR("\\"),	STR("~"),      STR("^"),      STR("@in"),    STR(";"),      STR("\xC3\xA9"), STR("a\x01"), STR("`a\xC3\xA9`"),
	};
	char got[80];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		spell(cases[i], got);
		if (!strchr(got, 'E'))
			fail_msg("accepted %s as %s", cases[i].p, got);
	}
}

static int decode(struct str literal, bool bytes, char *out, size_t *n) {
	struct cel_arena arena;
	struct error err;
	const char *why, *s;

	assert_int_equal(cel_arena_init(&arena, 4096, 4096, &err), 0);
	s = cel_lex_string(literal, bytes, &arena, n, &why);
	assert_true((s != NULL) == (why == NULL));
	if (s)
		memcpy(out, s, *n);
	cel_arena_fini(&arena);
	return s ? 0 : -1;
}

static void test_cel_lex_decodes_escapes(void **state) {
	static const struct {
		struct str literal, value;
		bool bytes;
	} cases[] = {
		{ STR("''"), STR(""), false },
		{ STR("'a\\a\\b\\f\\n\\r\\t\\v'"), STR("a\a\b\f\n\r\t\v"), false },
		{ STR("'\\\\ \\? \\\" \\' \\`'"), STR("\\ ? \" ' `"), false },
		{ STR("'\\x41\\X7a'"), STR("Az"), false },
		{ STR("'\\xff'"), STR("\xC3\xBF"), false },
		{ STR("'\\377'"), STR("\xC3\xBF"), false },
		{ STR("b'\\xff'"), STR("\xFF"), true },
		{ STR("b'\\377\\000'"), STR("\xFF\0"), true },
		{ STR("'\\101\\000'"), STR("A\0"), false },
		{ STR("'\\u00e9\\u2603'"), STR("\xC3\xA9\xE2\x98\x83"), false },
		{ STR("'\\U0001F600\\U0010FFFF'"), STR("\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF"), false },
		{ STR("b'\xC3\xA9'"), STR("\xC3\xA9"), true },
		{ STR("r'\\x41\\'"), STR("\\x41\\"), false },
		{ STR("br'\\xff'"), STR("\\xff"), true },
		{ STR("'''a'b\n\"'''"), STR("a'b\n\""), false },
		{ STR("\"\"\"\\\"\"\"\""), STR("\""), false },
		{ STR("''''''"), STR(""), false },
	};
	char got[80];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (decode(cases[i].literal, cases[i].bytes, got, &n) < 0)
			fail_msg("refused %s", cases[i].literal.p);
		assert_int_equal(n, cases[i].value.n);
		assert_memory_equal(got, cases[i].value.p, n);
	}
}

static void test_cel_lex_refuses_other_escapes(void **state) {
	static const struct {
		struct str literal;
		bool bytes;
	} cases[] = {
		{ STR("'\\z'"), false },	  { STR("'\\0'"), false },	    { STR("'\\08'"), false },
		{ STR("'\\400'"), false },	  { STR("'\\477'"), false },	    { STR("'\\x4'"), false },
		{ STR("'\\xg0'"), false },	  { STR("'\\u12'"), false },	    { STR("'\\ud800'"), false },
		{ STR("'\\udfff'"), false },	  { STR("'\\U00110000'"), false },  { STR("'\\UFFFFFFFF'"), false },
		{ STR("'\\U0000d800'"), false },  { STR("b'\\u0041'"), true },	    { STR("b'\\U00000041'"), true },
		{ STR("'a\\\nb'"), false },	  { STR("'\\\0'"), false },	    { STR("'\\A'"), false },
	};
	char got[80];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (decode(cases[i].literal, cases[i].bytes, got, &n) == 0)
			fail_msg("accepted %s", cases[i].literal.p);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cel_lex_tells_tokens_apart),
		cmocka_unit_test(test_cel_lex_refuses_what_is_no_token),
		cmocka_unit_test(test_cel_lex_decodes_escapes),
		cmocka_unit_test(test_cel_lex_refuses_other_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
