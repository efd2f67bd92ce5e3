/* The parser: the tree as text, where its parts stand, what is refused and where, and the limits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "cel_world.h"

/* ---- Trees as text: calls as name(kids), chains as &&(a, b, c) ---- */

static void show(const struct cel_node *node, struct buf *out) {
	static const char *const kinds[] = { [CEL_N_AND] = "&&", [CEL_N_OR] = "||", [CEL_N_NOT] = "!", [CEL_N_COND] = "?",
					     [CEL_N_LIST] = "list", [CEL_N_MAP] = "map", [CEL_N_LOOP] = "loop",
					     [CEL_N_BIND] = "bind", [CEL_N_BLOCK] = "block" };

	switch ((enum cel_node_kind)node->kind) {
	case CEL_N_CONST:
		cel_value_print(node->constant, out);
		return;
	case CEL_N_IDENT:
		buf_addf(out, "%s%s", node->rooted ? "." : "", node->name.p);
		return;
	case CEL_N_SELECT:
		show(node->kids[0], out);
		buf_addf(out, "%s%s%s", node->opt_select ? ".?" : ".", node->name.p, node->test ? "~" : "");
		return;
	case CEL_N_CALL:
		buf_addf(out, "%s%s(", node->member ? "." : "", node->name.p);
		break;
	case CEL_N_STRUCT:
		buf_addf(out, "%s{", node->name.p);
		break;
	default:
		buf_addf(out, "%s(", kinds[node->kind]);
		if (node->var_name.n)
			buf_addf(out, "%s: ", node->var_name.p);
	}
	for (uint32_t i = 0; i < node->n; i++) {
		buf_adds(out, i ? ", " : "");
		if (node->optional && node->optional[i])
			buf_addc(out, '?');
		if (node->kind == CEL_N_STRUCT)
			buf_addf(out, "%s: ", node->names[i].p);
		show(node->kids[i], out);
	}
	buf_addc(out, node->kind == CEL_N_STRUCT ? '}' : ')');
}

/* Positions lie within those of the parent; depth is what it says. */
static void check_positions(const struct cel_node *node, size_t n) {
	uint32_t depth = 0;

	assert_true(node->start <= node->at && node->start < node->end && node->end <= n);
	for (uint32_t i = 0; i < node->n; i++) {
		assert_true(node->kids[i]->start >= node->start && node->kids[i]->end <= node->end);
		check_positions(node->kids[i], n);
		depth = node->kids[i]->depth > depth ? node->kids[i]->depth : depth;
	}
	assert_int_equal(node->depth, depth + 1);
}

static void test_cel_parse_builds_trees(void **state) {
	static const struct expected cases[] = {
		/* precedence: ?: < || < && < relations < + - < * / % < unary < member */
		{ STR("a || b && c == d + e * -f.g"), "||(a, &&(b, _==_(c, _+_(d, _*_(e, -_(f.g))))))" },
		{ STR("a * b + c < d && e || f ? g : h"), "?(||(&&(_<_(_+_(_*_(a, b), c), d), e), f), g, h)" },
		{ STR("a ? b : c ? d : e"), "?(a, b, ?(c, d, e))" },
		{ STR("a ? (b ? c : d) : e"), "?(a, ?(b, c, d), e)" },
		{ STR("a - b - c"), "_-_(_-_(a, b), c)" },
		{ STR("a / b % c * d"), "_*_(_%_(_/_(a, b), c), d)" },
		{ STR("a < b == c"), "_==_(_<_(a, b), c)" },
		{ STR("a in b in c"), "@in(@in(a, b), c)" },
		{ STR("(a + b) * c"), "_*_(_+_(a, b), c)" },
		/* chains are one node */
		{ STR("a && b && c && d"), "&&(a, b, c, d)" },
		{ STR("a || b || c"), "||(a, b, c)" },
		{ STR("a && (b && c)"), "&&(a, &&(b, c))" },
		{ STR("a && b || c && d"), "||(&&(a, b), &&(c, d))" },
		/* chains of one sign */
		{ STR("!a"), "!(a)" },
		{ STR("!!a"), "a" },
		{ STR("!!!a.b"), "!(a.b)" },
		{ STR("-a"), "-_(a)" },
		{ STR("--a"), "a" },
		{ STR("---a"), "-_(a)" },
		{ STR("a--b"), "_-_(a, -_(b))" },
		{ STR("a - -1"), "_-_(a, -1)" },
		/* numbers */
		{ STR("-1"), "-1" },
		{ STR("--1"), "-_(-1)" },
		{ STR("-9223372036854775808"), "-9223372036854775808" },
		{ STR("9223372036854775807"), "9223372036854775807" },
		{ STR("-0x8000000000000000"), "-9223372036854775808" },
		{ STR("18446744073709551615u"), "18446744073709551615u" },
		{ STR("0xFFu"), "255u" },
		{ STR("08"), "8" },
		{ STR("-1.5e-3"), "-0.0015" },
		{ STR("-0.0"), "-0.0" },
		{ STR("1.e3"), "1.e3" },
		{ STR("-1.x"), "-1.x" },
		/* members */
		{ STR("a.b.c(d)[e].f"), "_[_](.c(a.b, d), e).f" },
		{ STR(".a.b"), ".a.b" },
		{ STR(".f(x)"), "f(x)" },
		{ STR("f()"), "f()" },
		{ STR("{'package': 1}.package"), "map(\"package\", 1).package" },
		{ STR("a.package().if"), ".package(a).if" },
		{ STR("m.`content-type`"), "m.content-type" },
		{ STR("a.?b[?c]"), "_[?_](a.?b, c)" },
		{ STR("''.size()"), ".size(\"\")" },
		/* literals */
		{ STR("[]"), "list()" },
		{ STR("[1, 2,]"), "list(1, 2)" },
		{ STR("[?a, b]"), "list(?a, b)" },
		{ STR("{}"), "map()" },
		{ STR("{a: 1, b: 2,}"), "map(a, 1, b, 2)" },
		{ STR("{?'a': b}"), "map(?\"a\", ?b)" },
		{ STR("A{}"), "A{}" },
		{ STR("a.B{c: 1, ?d: 2,}"), "a.B{c: 1, ?d: 2}" },
		{ STR(".a.B{}"), "a.B{}" },
		{ STR("true != false"), "_!=_(true, false)" },
		{ STR("null"), "null" },
		{ STR("b'\\xff'"), "b\"\\xff\"" },
		{ STR("'a' // comment"), "\"a\"" },
		/* macros */
		{ STR("has(a.b)"), "a.b~" },
		{ STR("a.all(e, e > 1)"), "loop(e: a, _>_(e, 1))" },
		{ STR("a.map(e, e > 1, e)"), "loop(e: a, _>_(e, 1), e)" },
		{ STR("a.map(e)"), ".map(a, e)" },
		{ STR("cel.bind(t, 1, t)"), "bind(t: 1, t)" },
		{ STR("a.optMap(v, v)"), "bind(v: a, v)" },
		{ STR("cel.block([1, 2], cel.index(1))"), "block(1, 2, @index:1)" },
		{ STR("math.greatest(1, 2, 3)"), ".greatest(math, list(1, 2, 3))" },
	};
	struct cel_world *w = *state;
	size_t wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_program *program;
		struct cel_error error;

		if (cel_compile(w->env, cases[i].text, CEL_PARSE_ONLY, NULL, &program, &error) < 0)
			fail_msg("%s: %u:%u: %s", cases[i].text.p, error.line, error.column, error.message);
		check_positions(cel_program_root(program), cases[i].text.n);
		buf_reset(&w->text);
		show(cel_program_root(program), &w->text);
		if (strcmp(w->text.data, cases[i].outcome)) {
			wrong++;
			print_error("%s: expected %s, got %s\n", cases[i].text.p, cases[i].outcome, w->text.data);
		}
		cel_program_free(program);
	}
	assert_int_equal(wrong, 0);
}

static void test_cel_parse_says_what_is_wrong_and_where(void **state) {
	static const struct expected cases[] = {
		{ STR(""), "parse 1:1: expected an expression, and there is none" },
		{ STR("  // only a comment"), "parse 1:20: expected an expression, and there is none" },
		{ STR("a b"), "parse 1:3: expected an operator or the end after 'a', but here is 'b'" },
		{ STR("a &&"), "parse 1:5: expected an expression after '&&', and the expression ends" },
		{ STR("a\n  && * b"), "parse 2:6: expected an expression after '&&', but here is '*'" },
		{ STR("'\xC3\xA9' + )"), "parse 1:7: expected an expression after '+', but here is ')'" },
		{ STR("(a"), "parse 1:3: expected ')' after 'a', and the expression ends" },
		{ STR("[a"), "parse 1:3: expected ']' after 'a', and the expression ends" },
		{ STR("{a}"), "parse 1:3: expected ':' after 'a', but here is '}'" },
		{ STR("{a: 1"), "parse 1:6: expected '}' after '1', and the expression ends" },
		{ STR("f(a,)"), "parse 1:5: expected an expression after ',', but here is ')'" },
		{ STR("[,]"), "parse 1:2: expected an expression after '[', but here is ','" },
		{ STR("a ? b"), "parse 1:6: expected ':' after 'b', and the expression ends" },
		{ STR("a.1"), "parse 1:2: expected an operator or the end after 'a', but here is '.1'" },
		{ STR("a."), "parse 1:3: expected a name after '.', and the expression ends" },
		{ STR("a.true"), "parse 1:3: expected a name after '.', but here is 'true'" },
		{ STR("a.in"), "parse 1:3: expected a name after '.', but here is 'in'" },
		{ STR("if"), "parse 1:1: reserved identifier: if" },
		{ STR("1 + package"), "parse 1:5: reserved identifier: package" },
		{ STR("-!a"), "parse 1:2: expected an expression after '-', but here is '!'" },
		{ STR("!-a"), "parse 1:2: expected an expression after '!', but here is '-'" },
		{ STR("-(9223372036854775808)"), "parse 1:3: invalid int literal" },
		{ STR("9223372036854775808"), "parse 1:1: invalid int literal" },
		{ STR("-9223372036854775809"), "parse 1:2: invalid int literal" },
		{ STR("18446744073709551616u"), "parse 1:1: invalid uint literal" },
		{ STR("0x10000000000000000"), "parse 1:1: invalid int literal" },
		{ STR("1e999"), "parse 1:1: invalid double literal" },
		{ STR("1."), "parse 1:3: expected a name after '.', and the expression ends" },
		{ STR("'\\q'"), "parse 1:2: invalid escape sequence" },
		{ STR("a + r'\\q' + b'''x\\y'''"), "parse 1:18: invalid escape sequence" },
		{ STR("'\\x41\\u12'"), "parse 1:6: invalid escape sequence" },
		{ STR("a + 'b"), "parse 1:5: a string is not closed: ''b'" },
		{ STR("a\0b"), "parse 1:2: no part of an expression: ''" },
		{ STR("a @ b"), "parse 1:3: no part of an expression: '@'" },
		{ STR("'\xFF'"), "parse 1:2: the expression is not UTF-8" },
		{ STR("a +\n'\xC3'"), "parse 2:2: the expression is not UTF-8" },
		{ STR("has(a)"), "parse 1:1: invalid argument to has() macro" },
		{ STR("has(a['b'])"), "parse 1:1: invalid argument to has() macro" },
		{ STR("has(a.?b)"), "parse 1:1: invalid argument to has() macro" },
		{ STR("a.all(b.c, true)"), "parse 1:9: argument must be a simple name" },
		{ STR("a.exists(1, true)"), "parse 1:10: argument must be a simple name" },
		{ STR("a.exists(.e, true)"), "parse 1:11: argument must be a simple name" },
		{ STR("a.all(k, k, true)"), "parse 1:10: duplicate variable name: k" },
		{ STR("cel.bind(1, 2, 3)"), "parse 1:10: argument must be a simple name" },
		{ STR("cel.block(1, 2)"), "parse 1:11: cel.block requires a list literal" },
		{ STR("cel.index('a')"), "parse 1:11: cel.index requires a non-negative int literal" },
		{ STR("math.greatest()"), "parse 1:6: math.greatest() requires at least one argument" },
		{ STR("f(){}"), "parse 1:4: expected an operator or the end after ')', but here is '{'" },
		{ STR("[1]{}"), "parse 1:4: expected an operator or the end after ']', but here is '{'" },
	};

	EXPECT_ALL(*state, cases, CEL_PARSE_ONLY);
}

/* ---- Limits ---- */

/* `head`, n times `piece`, `tail`. */
static const char *repeat(struct buf *b, const char *head, const char *piece, size_t n, const char *tail) {
	buf_reset(b);
	buf_adds(b, head);
	for (size_t i = 0; i < n; i++)
		buf_adds(b, piece);
	buf_adds(b, tail);
	return b->data;
}

static void test_cel_parse_keeps_its_limits(void **state) {
	static const struct {
		const char *head, *piece;
		size_t n;
		const char *tail;
		struct cel_limits limits; /* 0: the default */
		const char *outcome;
	} cases[] = {
		{ "1", " + 1", 3, "", { .source = 13 }, "4" },
		{ "1", " + 1", 3, "", { .source = 12 }, "limit 1:1: an expression of more than 12 bytes" },
		{ "1", " + 1", 3, "", { .nodes = 7 }, "4" },
		{ "1", " + 1", 3, "", { .nodes = 6 }, "limit 1:13: the expression has more than 6 parts" },
		{ "1", " + 1", 3, "", { .depth = 4 }, "4" },
		{ "1", " + 1", 4, "", { .depth = 4 }, "limit 1:15: the expression is nested more than 4 deep" },
		{ "", "(", 95, "1", { 0 }, "parse 1:97: expected ')' after '1', and the expression ends" },
		{ "", "(", 96, "1", { 0 }, "limit 1:97: the expression is nested more than 96 deep" },
		{ "", "[", 30000, "", { 0 }, "limit 1:97: the expression is nested more than 96 deep" },
		{ "", "{1:", 10000, "", { 0 }, "limit 1:287: the expression is nested more than 96 deep" },
		{ "", "f(", 10000, "", { 0 }, "limit 1:193: the expression is nested more than 96 deep" },
		{ "", "x[", 10000, "", { 0 }, "limit 1:193: the expression is nested more than 96 deep" },
		{ "", "A{b:", 7000, "", { 0 }, "limit 1:385: the expression is nested more than 96 deep" },
		{ "", "true ? 1 : ", 2000, "2", { 0 }, "limit 1:1057: the expression is nested more than 96 deep" },
		{ "claims", ".a", 2000, "", { 0 }, "limit 1:198: the expression is nested more than 96 deep" },
		{ "x", " - 1", 2000, " == 0", { 0 }, "limit 1:383: the expression is nested more than 96 deep" },
		{ "[1]", ".map(e, e)", 200, "", { 0 }, "limit 1:945: the expression is nested more than 96 deep" },
		{ "true", " && true", 4000, "", { 0 }, "true" },
		{ "false", " || false", 3600, "", { 0 }, "false" },
		{ "", "!", 30000, "true", { 0 }, "true" },
		{ "", "-", 30001, "x", { 0 }, "-5" },
		{ "[0", ",1", 9000, "].size()", { 0 }, "9001" },
		{ "'", "a", 5000, "'.size()", { .compile_bytes = 8192 }, "limit 1:1: the expression takes more than 8192 bytes to compile" },
		{ "[", "cel.bind(t, 1, t), ", 65, "]", { 0 }, "limit 1:1: more than 64 loop variables" },
	};
	struct cel_world *w = *state;
	struct buf b = BUF_INIT(1 << 20);
	size_t wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_limits l = cel_default_limits;
		const struct cel_limits *set = &cases[i].limits;
		const char *text = repeat(&b, cases[i].head, cases[i].piece, cases[i].n, cases[i].tail), *got;

		l.source = set->source ? set->source : 1 << 20;
		l.depth = set->depth ? set->depth : l.depth;
		l.nodes = set->nodes ? set->nodes : l.nodes;
		l.compile_bytes = set->compile_bytes ? set->compile_bytes : l.compile_bytes;
		got = outcome(w, str_of(text), 0, &l);
		if (strcmp(got, cases[i].outcome)) {
			wrong++;
			print_error("%s%s... (%zu) %s\n    expected %s\n    got      %s\n", cases[i].head, cases[i].piece, cases[i].n,
				    cases[i].tail, cases[i].outcome, got);
		}
	}
	assert_int_equal(wrong, 0);
	buf_fini(&b);
}

/* langdef.md, "Syntax": what an implementation must at least take. */
static void test_cel_parse_has_the_minimum_capacity(void **state) {
	static const struct {
		const char *head, *piece;
		size_t n;
		const char *tail;
		const char *outcome;
	} cases[] = {
		{ "x", " || x", 31, "", "" },	     { "x", " && x", 31, "", "" },	{ "f(x", ", x", 31, ")", "" },
		{ "[x", ", x", 31, "]", "" },	     { "{x: x", ", x: x", 31, "}", "" }, { "", "x ? x : ", 24, "x", "" },
		{ "x", " + x", 24, "", "" },	     { "x", " * x", 24, "", "" },	{ "x", " < x", 24, "", "" },
		{ "", "(", 12, "x))))))))))))", "" }, { "x", ".f(x)", 12, "", "" },	{ "x", "[x]", 12, "", "" },
		{ "x", ".y", 12, "", "" },	     { "A{x: x", ", x: x", 31, "}", "" }, { "", "-", 24, "x", "" },
	};
	struct cel_world *w = *state;
	struct buf b = BUF_INIT(1 << 20);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *text = repeat(&b, cases[i].head, cases[i].piece, cases[i].n, cases[i].tail);

		assert_string_equal(outcome(w, str_of(text), CEL_PARSE_ONLY, NULL), "");
	}
	buf_fini(&b);
}

static void test_cel_parse_leaves_macros_alone_when_asked(void **state) {
	static const struct expected cases[] = {
		{ STR("has(claims.email)"), "error 1:1: no such overload" },
		{ STR("[1].all(x, true)"), "error 1:5: no such overload" },
	};

	EXPECT_ALL(*state, cases, CEL_UNCHECKED | CEL_NO_MACROS);
}

static void test_cel_position_counts_code_points(void **state) {
	static const struct {
		struct str text;
		uint32_t offset, line, column;
	} cases[] = {
		{ STR(""), 0, 1, 1 },		    { STR("abc"), 2, 1, 3 },	 { STR("abc"), 3, 1, 4 },  { STR("abc"), 99, 1, 4 },
		{ STR("a\nb"), 2, 2, 1 },	    { STR("a\n\nb"), 3, 3, 1 },	 { STR("\xC3\xA9x"), 2, 1, 2 },
		{ STR("\xF0\x9F\x98\x80\nx"), 5, 2, 1 }, { STR("a\0b"), 2, 1, 3 }, { STR("\r\nx"), 2, 2, 1 },
	};
	uint32_t line, column;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cel_position(cases[i].text, cases[i].offset, &line, &column);
		assert_int_equal(line, cases[i].line);
		assert_int_equal(column, cases[i].column);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cel_parse_builds_trees),
		cmocka_unit_test(test_cel_parse_says_what_is_wrong_and_where),
		cmocka_unit_test(test_cel_parse_keeps_its_limits),
		cmocka_unit_test(test_cel_parse_has_the_minimum_capacity),
		cmocka_unit_test(test_cel_parse_leaves_macros_alone_when_asked),
		cmocka_unit_test(test_cel_position_counts_code_points),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
