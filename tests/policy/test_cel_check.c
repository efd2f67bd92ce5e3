/* The checker: names, overloads, inferred types; and what becomes of the same expressions unchecked. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "cel_world.h"
#include "policy/cel_internal.h"

/* No type is left open anywhere in a checked tree. */
static void check_closed(const struct cel_type *type) {
	assert_non_null(type);
	assert_int_not_equal(type->kind, CEL_T_PARAM);
	for (unsigned i = 0; i < type->n; i++)
		check_closed(type->params[i]);
}

static void check_tree(const struct cel_node *node) {
	check_closed(node->type);
	for (uint32_t i = 0; i < node->n; i++)
		check_tree(node->kids[i]);
}

static void test_cel_check_infers_types(void **state) {
	static const struct {
		const char *text, *type;
	} cases[] = {
		{ "1", "int" },
		{ "1u", "uint" },
		{ "1.0", "double" },
		{ "'a'", "string" },
		{ "b'a'", "bytes" },
		{ "null", "null" },
		{ "int", "type(int)" },
		{ "type(1)", "type(int)" },
		{ "request.time", "timestamp" },
		{ "request.time - request.time", "duration" },
		{ "request.time + duration('1h')", "timestamp" },
		{ "[1, 2]", "list(int)" },
		{ "[1, 'a']", "list(dyn)" },
		{ "[]", "list(dyn)" },
		{ "[[], [1]]", "list(list(int))" },
		{ "[] + [1]", "list(int)" },
		{ "[][0] + 1", "int" },
		{ "[claims, {}, {}].filter(m, [] == [] && m != {})", "list(map(string, dyn))" },
		{ "[][0] + [][1]", "dyn" },
		{ "cel.bind(a, [][0], a > a && a > 1)", "bool" }, /* a > a does not make it a bool */
		{ "{}", "map(dyn, dyn)" },
		{ "{'a': 1}", "map(string, int)" },
		{ "{'a': 1, 2: 'b'}", "map(dyn, dyn)" },
		{ "{[1]: 1}", "map(dyn, int)" },
		{ "{'a': 1}.a", "int" },
		{ "{'a': [1]}['a'][0]", "int" },
		{ "claims.nested.deep", "dyn" },
		{ "claims.level + 1", "int" },
		{ "dyn(1)", "dyn" },
		{ "dyn(1) + dyn(2)", "dyn" },
		{ "flag ? 1 : 2", "int" },
		{ "flag ? 1 : dyn('a')", "dyn" },
		{ "flag ? null : request.time", "timestamp" },
		{ "flag ? [] : [1]", "list(int)" },
		{ "flag ? ip('::1') : null", "net.IP" },
		{ "flag ? null : duration('1s')", "duration" },
		{ "flag ? google.protobuf.Int64Value{} : null", "wrapper(int)" },
		{ "flag ? google.protobuf.Int64Value{} : 1", "wrapper(int)" },
		{ "google.protobuf.Int64Value{} + 1", "int" },
		{ "[1, 2].map(e, string(e))", "list(string)" },
		{ "[1, 2].filter(e, e > 1)", "list(int)" },
		{ "{'a': 1}.filter(k, k == '')", "list(string)" },
		{ "{'a': 1}.map(k, size(k))", "list(int)" },
		{ "[1].exists(e, e > 0)", "bool" },
		{ "[1].transformMap(i, v, string(v))", "map(int, string)" },
		{ "{'a': 1}.transformMapEntry(k, v, {v: k})", "map(int, string)" },
		{ "[1].transformList(i, v, v + i)", "list(int)" },
		{ "[3, 1].sortBy(e, -e)", "list(int)" },
		{ "cel.bind(t, [1], t)", "list(int)" },
		{ "cel.block([1, [cel.index(0)]], cel.index(1))", "list(int)" },
		{ "claims.?email", "optional_type(dyn)" },
		{ "{'a': 1}.?a", "optional_type(int)" },
		{ "[?{'a': 1}.?a]", "list(int)" },
		{ "{?'a': {'b': 1u}.?b}", "map(string, uint)" },
		{ "{'a': 1}.?a.optMap(v, [v])", "optional_type(list(int))" },
		{ "api.getAttribute('email', 'x')", "string" },
		{ "api.getAttribute('groups', [''])", "list(string)" },
		{ "resource.name.extract('a{b}')", "string" },
		{ "date('2026-01-01')", "timestamp" },
	};
	struct cel_world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_program *program;
		struct cel_error error;

		if (cel_compile(w->env, str_of(cases[i].text), 0, NULL, &program, &error) < 0)
			fail_msg("%s: %s", cases[i].text, error.message);
		buf_reset(&w->text);
		cel_type_print(cel_program_type(program), &w->text);
		if (strcmp(w->text.data, cases[i].type))
			fail_msg("%s: expected %s, got %s", cases[i].text, cases[i].type, w->text.data);
		check_tree(cel_program_root(program));
		cel_program_free(program);
	}
}

static void test_cel_check_refuses_wrong_types(void **state) {
	static const struct expected cases[] = {
		{ STR("1 == 1.0"), "check 1:3: found no matching overload for '_==_' applied to '(int, double)'" },
		{ STR("1 < 2u"), "check 1:3: found no matching overload for '_<_' applied to '(int, uint)'" },
		{ STR("[1] == [1.0]"), "check 1:5: found no matching overload for '_==_' applied to '(list(int), list(double))'" },
		{ STR("1 + 'a'"), "check 1:3: found no matching overload for '_+_' applied to '(int, string)'" },
		{ STR("1.0 % 2.0"), "check 1:5: found no matching overload for '_%_' applied to '(double, double)'" },
		{ STR("-'a'"), "check 1:1: found no matching overload for '-_' applied to '(string)'" },
		{ STR("-(1u)"), "check 1:1: found no matching overload for '-_' applied to '(uint)'" },
		{ STR("!x"), "check 1:2: expected type 'bool' but found 'int'" },
		{ STR("flag && x"), "check 1:9: expected type 'bool' but found 'int'" },
		{ STR("name || flag"), "check 1:1: expected type 'bool' but found 'string'" },
		{ STR("x ? 1 : 2"), "check 1:1: expected type 'bool' but found 'int'" },
		{ STR("true ? 1 : 'a'"), "check 1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'" },
		{ STR("x.foo"), "check 1:3: type 'int' does not support field selection" },
		{ STR("request.time.foo"), "check 1:14: type 'timestamp' does not support field selection" },
		{ STR("[1]['a']"), "check 1:4: found no matching overload for '_[_]' applied to '(list(int), string)'" },
		{ STR("[1][1.0]"), "check 1:4: found no matching overload for '_[_]' applied to '(list(int), double)'" },
		{ STR("{'a': 1}[1]"), "check 1:9: found no matching overload for '_[_]' applied to '(map(string, int), int)'" },
		{ STR("1 in [1.0]"), "check 1:3: found no matching overload for '@in' applied to '(int, list(double))'" },
		{ STR("x.all(e, true)"), "check 1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)" },
		{ STR("[1].all(e, e)"), "check 1:12: expected type 'bool' but found 'int'" },
		{ STR("[1].filter(e, e)"), "check 1:15: expected type 'bool' but found 'int'" },
		{ STR("[1].exists_one(e, e)"), "check 1:19: expected type 'bool' but found 'int'" },
		{ STR("[1].map(e, e, e)"), "check 1:12: expected type 'bool' but found 'int'" },
		{ STR("[1].transformList(i, v, v, v)"), "check 1:25: expected type 'bool' but found 'int'" },
		{ STR("[1].transformMapEntry(i, v, v)"), "check 1:29: expected type 'map(A, B)' but found 'int'" },
		{ STR("[?1]"), "check 1:3: expected type 'optional_type(A)' but found 'int'" },
		{ STR("{?'a': 1}"), "check 1:8: expected type 'optional_type(A)' but found 'int'" },
		{ STR("name.startsWith(1)"), "check 1:6: found no matching overload for 'startsWith' applied to '(string, int)'" },
		{ STR("startsWith(name, 'a')"), "check 1:1: found no matching overload for 'startsWith' applied to '(string, string)'" },
		{ STR("size(1)"), "check 1:1: found no matching overload for 'size' applied to '(int)'" },
		{ STR("size('a', 'b')"), "check 1:1: found no matching overload for 'size' applied to '(string, string)'" },
		{ STR("['a'].hasOnly([1])"), "check 1:7: found no matching overload for 'hasOnly' applied to '(list(string), list(int))'" },
		{ STR("duration(1)"), "check 1:1: found no matching overload for 'duration' applied to '(int)'" },
		{ STR("[1, 2].exists(e, e == 'a')"), "check 1:20: found no matching overload for '_==_' applied to '(int, string)'" },
		{ STR("[] + ['a'] == [1]"), "check 1:12: found no matching overload for '_==_' applied to '(list(string), list(int))'" },
		{ STR("cel.bind(a, [], a + [a])"), "check 1:19: found no matching overload for '_+_' applied to '(list(dyn), list(list(dyn)))'" }, /* a list of itself */
		{ STR("null == 1"), "check 1:6: found no matching overload for '_==_' applied to '(null, int)'" },
	};

	EXPECT_ALL(*state, cases, 0);
}

static void test_cel_check_names_what_was_meant(void **state) {
	static const struct expected cases[] = {
		{ STR("nam"), "check 1:1: undeclared reference to 'nam'; did you mean name?" },
		{ STR("request.tiem > request.time"), "check 1:1: undeclared reference to 'request.tiem'; did you mean request.time?" },
		{ STR("flag && resource.nmae == ''"), "check 1:9: undeclared reference to 'resource.nmae'; did you mean resource.name?" },
		{ STR("claim.email"), "check 1:1: undeclared reference to 'claim.email' (in container '')" },
		{ STR("quite_another"), "check 1:1: undeclared reference to 'quite_another' (in container '')" },
		{ STR("name.startWith('a')"), "check 1:6: undeclared reference to 'startWith'; did you mean startsWith()?" },
		{ STR("request.time.getHour()"), "check 1:14: undeclared reference to 'getHour'; did you mean getHours()?" },
		{ STR("dat('2026-01-01')"), "check 1:1: undeclared reference to 'dat'; did you mean date()?" },
		{ STR("api.getAtribute('a', '')"), "check 1:5: undeclared reference to 'api.getAtribute'; did you mean api.getAttribute()?" },
		{ STR("[1].all(e, ee > 1)"), "check 1:12: undeclared reference to 'ee' (in container '')" },
		{ STR("[1].all(each, true) && each == 1"), "check 1:24: undeclared reference to 'each' (in container '')" },
		{ STR("Message{a: 1}"), "check 1:1: undeclared reference to 'Message' (in container '')" },
	};

	EXPECT_ALL(*state, cases, 0);
}

/* Each mistake once, and none that follows from another. */
static void test_cel_check_finds_all_mistakes(void **state) {
	static const struct {
		const char *text, *columns;
	} cases[] = {
		{ "nme == 'a' && flg || x > 'a'", "1 15 24" },
		{ "nme.startsWith('a') && nme.size() > 3", "1 24" },
		{ "name.exsts(e, e > nme) && flg", "6 27" }, /* what is in a call that is none may have names of its own */
		{ "x ? 1 : flg", "1 9" },
		{ "[nme, flg].exists(e, e + 1 && x)", "2 7 24 31" },
		{ "{nme: flg, 'a': x.b}['a'] == 1", "2 7 19" },
		{ "name.all(e, e)", "1" },
		{ "google.protobuf.StringValue{value: 1, valu: 2, val: nme}", "36 45 53 53" },
		{ "cel.bind(a, nme, a.b.c > 1 && flg)", "13 31" },
		{ "request.time.getHours('Nowhere') == 1 || name.matches('(') || name.matches('a)')", "23 55 76" },
		{ "nme && request.time.getHours('Nowhere') == 1", "1" }, /* constants are looked at when all types are right */
		{ "(nme && flg", "12" },			      /* and names when the syntax is */
		{ "n0+n1+n2+n3+n4+n5+n6+n7+n8+n9+m0+m1+m2+m3+m4+m5+m6+m7+m8+m9+l0+l1+l2",
		  "1 4 7 10 13 16 19 22 25 28 31 34 37 40 43 46 49 52 55 58" },
	};
	struct cel_world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf columns = BUF_INIT(1 << 10);
		struct cel_program *program;
		struct cel_errors errors;

		assert_int_equal(cel_compile_all(w->env, str_of(cases[i].text), CEL_CHECKED, NULL, &program, &errors), -1);
		for (size_t k = 0; k < errors.n; k++)
			buf_addf(&columns, "%s%u", k ? " " : "", errors.list[k].column);
		if (strcmp(columns.data, cases[i].columns))
			fail_msg("%s: at %s, first %s", cases[i].text, columns.data, errors.list[0].message);
		buf_fini(&columns);
	}
}

static void test_cel_check_resolves_names_by_scope(void **state) {
	static const struct expected cases[] = {
		{ STR("peer.uid"), "unknown: peer.uid" }, /* the longest name wins */
		{ STR("[{'uid': 1}].exists(peer, peer.uid == 1)"), "true" },
		{ STR("[1].exists(x, [2].exists(x, x == 2) && x == 1)"), "true" },
		{ STR("[1].exists(x, .x == 5 && x == 1)"), "true" },
		{ STR("cel.bind(x, x + 1, x + .x)"), "11" },
		{ STR("[[1], [2]].map(x, x.map(x, x * 10))"), "[[10], [20]]" },
		{ STR("{1: 2}.transformList(x, name, x + name)"), "[3]" },
		{ STR("size('a') + [1].map(size, size + size('ab'))[0]"), "4" },
		{ STR("type(type(1)) == type"), "true" },
		{ STR("[int, string, type(null), list, map, google.protobuf.Timestamp][5] == type(request.time)"), "true" },
		{ STR("has(request.time)"), "true" },
		{ STR("has(resource.name) && !has(claims.nothing) && has(claims.gone)"), "true" },
		{ STR("has(claims.nested.deep.er)"), "true" },
		{ STR("has(claims.nothing.deep)"), "error 1:12: no such key: nothing" },
	};

	EXPECT_ALL(*state, cases, 0);
}

static void test_cel_check_looks_in_the_container(void **state) {
	static const struct {
		const char *text, *outcome;
	} cases[] = {
		{ "y", "1" },		 /* a.b.y */
		{ "a.y", "2" },		 /* a.a.y? no: a.y */
		{ ".y", "3" },		 /* the root's */
		{ "b.z", "4" },		 /* a.b.z, through a */
		{ "[5].exists(y, y == 5)", "true" },
		{ "[5].exists(y, .y == 3)", "true" },
		{ "Timestamp == type(.t)", "check 1:1: undeclared reference to 'Timestamp' (in container 'a.b')" },
	};
	struct cel_world world = { .text = BUF_INIT(1000) }, *w = &world;
	struct error err;

	(void)state;
	assert_int_equal(cel_env_new(0, &w->env, &err), 0);
	assert_int_equal(cel_arena_init(&w->arena, 4096, 4096, &err), 0);
	assert_int_equal(cel_env_container(w->env, "a.b", &err), 0);
	world_declare(w, "a.b.y", &cel_int, cel_of_int(1));
	world_declare(w, "a.y", &cel_int, cel_of_int(2));
	world_declare(w, "y", &cel_int, cel_of_int(3));
	world_declare(w, "a.b.z", &cel_int, cel_of_int(4));
	world_declare(w, "t", &cel_timestamp, cel_of_timestamp(0, 0));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(outcome(w, str_of(cases[i].text), 0, NULL), cases[i].outcome);
	cel_env_free(w->env);
	cel_arena_fini(&w->arena);
	buf_fini(&w->text);
}

static void test_cel_check_judges_nothing_when_unchecked(void **state) {
	static const struct expected cases[] = {
		{ STR("1 == 1.0"), "true" },
		{ STR("1 < 2u"), "true" },
		{ STR("[1] == [1.0]"), "true" },
		{ STR("true ? 1 : 'a'"), "1" },
		{ STR("1 + 'a'"), "error 1:3: no such overload" },
		{ STR("nothing"), "error 1:1: undeclared reference to 'nothing'" },
		{ STR("nothing || true"), "true" },
		{ STR("nothing.at.all && false"), "false" },
		{ STR("f_unknown(17) || true"), "true" },
		{ STR("f_unknown(17)"), "error 1:1: no such overload" },
		{ STR("'horses' && false"), "false" },
		{ STR("true && 32"), "error 1:6: no such overload" },
		{ STR("f(1, 2, 3, 4, 5, 6, 7, 8, 9, 10) || true"), "true" },
		{ STR("x.all(e, true)"), "error 1:3: no such overload" },
		{ STR("[1].all(e, 1)"), "error 1:5: no such overload" },
	};

	EXPECT_ALL(*state, cases, CEL_UNCHECKED);
}

static void test_cel_check_wants_a_bool_for_a_condition(void **state) {
	static const struct expected cases[] = {
		{ STR("flag"), "true" },
		{ STR("claims.nested.deep.er"), "true" },
		{ STR("x"), "check 1:1: expected type 'bool' but found 'int'" },
		{ STR("flag ? x : 1"), "check 1:6: expected type 'bool' but found 'int'" },
	};

	EXPECT_ALL(*state, cases, CEL_WANT_BOOL);
}

/* Types that share their parts: few nodes that stand for exponentially many are refused, soon. */
static void test_cel_check_bounds_types(void **state) {
	struct cel_world *w = *state;
	struct buf b = BUF_INIT(1 << 16);

	buf_adds(&b, "cel.bind(a0, {}, ");
	for (int i = 0; i < 30; i++)
		buf_addf(&b, "cel.bind(a%d, {}, [a%d[a%d] == a%d, ", i + 1, i + 1, i, i);
	buf_adds(&b, "a30");
	for (int i = 0; i < 30; i++)
		buf_adds(&b, "])");
	buf_adds(&b, ")");
	assert_non_null(strstr(outcome(w, (struct str){ b.data, b.len }, 0, NULL), "the types of the expression are too large"));
	buf_fini(&b);
}

/* Names longer than any that is declared: undeclared, and no more. */
static void test_cel_check_takes_names_of_any_length(void **state) {
	static const char *const shapes[] = { "%s", "claims.%s", "%s.a.b", "%s(1)", "x.%s()", "a.%s.b()", "claims.%s.a()", "%s{}", "a.%s{b: 1}", ".%s" };
	struct cel_world *w = *state;
	char name[1200], text[1400];

	for (size_t n = 380; n < sizeof(name); n += n < 620 ? 1 : 100) {
		memset(name, 'n', n);
		name[n] = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
			const char *got;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(text, sizeof(text), shapes[i], name);
#pragma GCC diagnostic pop
			got = outcome(w, str_of(text), 0, NULL);
			if (!strstr(got, "undeclared reference to") && strncmp(got, "error 1:8: no such key: nnn", 27))
				fail_msg("%.20s... (%zu): %s", text, n, got);
		}
	}
}

/* The standard library is there without any other. */
static void test_cel_check_always_offers_the_standard_library(void **state) {
	static const char *const cases[] = {
		"[1].all(e, true) && [1].exists(e, true) && [1].exists_one(e, true) && [1].existsOne(e, true)",
		"[1].map(e, e) == [1].map(e, true, e) && [1].filter(e, true) == [1] && has({'a': 1}.a)",
		"'a'.matches('a') && 'a'.startsWith('a') && 'a'.endsWith('a') && 'a'.contains('a') && size('a') == 1",
		"timestamp('2026-01-01T00:00:00Z').getFullYear() == 2026 && duration('1h').getHours() == 1",
		"type(1) == int && dyn(1) == 1 && int('1') == 1 && string(1) == '1' && bytes('a') == b'a' && double(1) == 1.0 && uint(1) == 1u",
	};
	struct cel_env *env;
	struct error err;

	(void)state;
	assert_int_equal(cel_env_new(0, &env, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_program *program = NULL;
		struct cel_error error;

		if (cel_compile(env, str_of(cases[i]), 0, NULL, &program, &error) < 0)
			fail_msg("%s: %s", cases[i], error.message);
		cel_program_free(program);
	}
	cel_env_free(env);
}

/* A library that is not asked for is not there, its macros and syntax neither. */
static void test_cel_check_offers_what_the_environment_has(void **state) {
	static const struct {
		const char *text;
		unsigned library;
	} cases[] = {
		{ "[1].all(i, v, v > i)", CEL_LIB_TWO_VARIABLES },
		{ "cel.bind(a, 1, a) == 1", CEL_LIB_BINDINGS },
		{ "cel.block([1], cel.index(0)) == 1", CEL_LIB_BLOCK },
		{ "{'a': 1}.?a == {}.?b", CEL_LIB_OPTIONALS },
		{ "'a'.extract('{b}') == ''", CEL_LIB_IAM },
		{ "[2, 1].sort() == [1, 2]", CEL_LIB_LISTS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int with = 0; with < 2; with++) {
			struct cel_program *program = NULL;
			struct cel_error error;
			struct cel_env *env;
			struct error err;

			assert_int_equal(cel_env_new(with ? cases[i].library : CEL_LIB_ALL & ~cases[i].library, &env, &err), 0);
			if ((cel_compile(env, str_of(cases[i].text), 0, NULL, &program, &error) == 0) != with)
				fail_msg("%s: %s", cases[i].text, with ? error.message : "compiles without its library");
			cel_program_free(program);
			cel_env_free(env);
		}
}

static void test_cel_check_declares_a_name_once(void **state) {
	struct cel_world *w = *state;
	const size_t slots = cel_env_slots(w->env);
	struct error err;

	assert_int_equal(cel_env_variable(w->env, "request.time", &cel_int, NULL, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.message, "variable 'request.time' is declared twice");
	assert_int_equal(cel_env_slots(w->env), slots);
	assert_null(cel_env_slot_name(w->env, (unsigned)slots));
	assert_string_equal(outcome(w, STR("request.time > timestamp(0)"), 0, NULL), "true"); /* it is what it was */
}

static void test_cel_check_bounds_declarations(void **state) {
	const struct cel_type *params[CEL_MAX_ARGS + 1];
	struct cel_world *w = *state;
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(params); i++)
		params[i] = &cel_int;
	assert_int_equal(cel_env_function(w->env, "most", false, params, CEL_MAX_ARGS, &cel_int, &err), 0);
	assert_int_equal(cel_env_function(w->env, "more", false, params, CEL_MAX_ARGS + 1, &cel_int, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_null(cel_env_type_named(w->env, CEL_T_NAMED, "four", params, 4));
}

/* What is declared has a ceiling; past it everything is refused, and what was there goes on. */
static void test_cel_check_refuses_what_an_environment_has_no_room_for(void **state) {
	char name[1 << 16];
	struct cel_env *env;
	struct error err;
	unsigned n = 0;

	(void)state;
	assert_int_equal(cel_env_new(0, &env, &err), 0);
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	do {
		assert_true(n < 1000);
		snprintf(name, 8, "v%06u", n);
		name[7] = 'a';
	} while (cel_env_variable(env, name, &cel_int, NULL, &err) == 0 && ++n);
	assert_int_equal(err.code, ERR_UNAVAILABLE); /* as where memory is out: the broker declares the same each time, and that fits */
	assert_int_equal(cel_env_slots(env), n);
	assert_int_equal(cel_env_container(env, name, &err), -1);
	assert_int_equal(cel_env_function(env, name, false, NULL, 0, &cel_int, &err), -1);
	assert_null(cel_env_type_named(env, CEL_T_NAMED, name, NULL, 0));
	assert_null(cel_env_find_variable(env, name));
	cel_env_free(env);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cel_check_infers_types),
		cmocka_unit_test(test_cel_check_refuses_wrong_types),
		cmocka_unit_test(test_cel_check_names_what_was_meant),
		cmocka_unit_test(test_cel_check_finds_all_mistakes),
		cmocka_unit_test(test_cel_check_resolves_names_by_scope),
		cmocka_unit_test(test_cel_check_looks_in_the_container),
		cmocka_unit_test(test_cel_check_judges_nothing_when_unchecked),
		cmocka_unit_test(test_cel_check_wants_a_bool_for_a_condition),
		cmocka_unit_test(test_cel_check_bounds_types),
		cmocka_unit_test(test_cel_check_takes_names_of_any_length),
		cmocka_unit_test(test_cel_check_always_offers_the_standard_library),
		cmocka_unit_test(test_cel_check_offers_what_the_environment_has),
		cmocka_unit_test(test_cel_check_declares_a_name_once),
		cmocka_unit_test(test_cel_check_bounds_declarations),
		cmocka_unit_test(test_cel_check_refuses_what_an_environment_has_no_room_for),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
