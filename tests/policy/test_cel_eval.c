/* Evaluation: operators, conversions, times, IAM's functions, errors and unknowns, limits, memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "cel_world.h"
#include "heap.h"

static void test_cel_eval_computes(void **state) {
	static const struct expected cases[] = {
		{ STR("7 / 2 + 7 % 2 * -7 / 2"), "0" },
		{ STR("-7 / 2"), "-3" },
		{ STR("-7 % 3"), "-1" },
		{ STR("7 % -3"), "1" },
		{ STR("7u / 2u"), "3u" },
		{ STR("9223372036854775807 + 1"), "error 1:21: integer overflow" },
		{ STR("-9223372036854775808 - 1"), "error 1:22: integer overflow" },
		{ STR("4611686018427387904 * 2"), "error 1:21: integer overflow" },
		{ STR("--9223372036854775808"), "error 1:1: integer overflow" },
		{ STR("-9223372036854775808 / -1"), "error 1:22: integer overflow" },
		{ STR("-9223372036854775808 % -1"), "error 1:22: integer overflow" },
		{ STR("0u - 1u"), "error 1:4: unsigned integer overflow" },
		{ STR("18446744073709551615u + 1u"), "error 1:23: unsigned integer overflow" },
		{ STR("18446744073709551615u * 2u"), "error 1:23: unsigned integer overflow" },
		{ STR("1 / 0"), "error 1:3: division by zero" },
		{ STR("1u / 0u"), "error 1:4: division by zero" },
		{ STR("1 % 0"), "error 1:3: modulus by zero" },
		{ STR("1.0 / 0.0"), "Infinity" },
		{ STR("-1.0 / 0.0"), "-Infinity" },
		{ STR("0.0 / 0.0"), "NaN" },
		{ STR("0.1 + 0.2"), "0.30000000000000004" },
		{ STR("-0.0"), "-0.0" },
		{ STR("1e300 * 1e300"), "Infinity" },
		{ STR("'a' + 'b'"), "\"ab\"" },
		{ STR("b'a' + b'\\xff'"), "b\"a\\xff\"" },
		{ STR("[1] + [] + [2, 3]"), "[1, 2, 3]" },
		{ STR("'' + ''"), "\"\"" },
		{ STR("size('caf\xC3\xA9')"), "4" },
		{ STR("size(b'caf\xC3\xA9')"), "5" },
		{ STR("[1, 2].size() + {1: 2}.size()"), "3" },
		{ STR("'\\u0000'.size()"), "1" },
		{ STR("'abc'.contains('') && 'abc'.startsWith('') && 'abc'.endsWith('')"), "true" },
		{ STR("'abc'.startsWith('abcd') || 'abc'.endsWith('ab') || 'abc'.contains('ac')"), "false" },
		{ STR("'a\\x00b'.contains('\\x00b')"), "true" },
		{ STR("[1, 2, 3][1] + [1, 2, 3][dyn(2.0)] + [1, 2, 3][dyn(0u)]"), "6" },
		{ STR("[1][1]"), "error 1:4: index out of bounds: 1" },
		{ STR("[1][-1]"), "error 1:4: index out of bounds: -1" },
		{ STR("[1][dyn(0.5)]"), "error 1:4: index out of bounds: 0.5" },
		{ STR("[1][9223372036854775807]"), "error 1:4: index out of bounds: 9223372036854775807" },
		{ STR("{'a': 1}['b']"), "error 1:9: no such key: b" },
		{ STR("{1: 'a'}[2]"), "error 1:9: no such key: 2" },
		{ STR("{true: 'a'}[false]"), "error 1:12: no such key: false" },
		{ STR("claims.missing"), "error 1:8: no such key: missing" },
	};

	EXPECT_ALL(*state, cases, 0);
}

static void test_cel_eval_compares(void **state) {
	static const struct expected cases[] = {
		{ STR("dyn(1) == 1u && dyn(1) == 1.0 && dyn(1u) == 1.0"), "true" },
		{ STR("dyn(1) == 'a'"), "false" },
		{ STR("0.0 == -0.0"), "true" },
		{ STR("0.0 / 0.0 == 0.0 / 0.0"), "false" },
		{ STR("0.0 / 0.0 != 0.0 / 0.0"), "true" },
		{ STR("0.0 / 0.0 < 1.0 || 0.0 / 0.0 >= 1.0"), "false" },
		{ STR("[0.0 / 0.0] == [0.0 / 0.0]"), "false" },
		{ STR("dyn(9223372036854775807) < 9223372036854775808.0"), "false" },
		{ STR("dyn(-1) < 0u"), "true" },
		{ STR("dyn(18446744073709551615u) > 9223372036854775807"), "true" },
		{ STR("dyn(18446744073709551615u) > -1.0"), "true" },
		{ STR("dyn(1) < 'a'"), "error 1:8: no such overload" },
		{ STR("dyn([1]) < dyn([2])"), "error 1:10: no such overload" },
		{ STR("'a' < 'b' && 'a' < 'aa' && 'Z' < 'a' && '\xC3\xA9' > 'z' && '' < 'a'"), "true" },
		{ STR("b'\\xff' > b'a' && b'a' < b'a\\x00'"), "true" },
		{ STR("false < true"), "true" },
		{ STR("[1, [2, {'a': 3}]] == [1, [2, {'a': 3}]]"), "true" },
		{ STR("{'a': 1, 'b': 2} == {'b': 2, 'a': 1}"), "true" },
		{ STR("dyn({1: 'a'}) == {1u: 'a'}"), "true" },
		{ STR("{1: 'a'} == {2: 'a'}"), "false" },
		{ STR("null == null"), "true" },
		{ STR("claims.gone == null"), "true" },
		{ STR("claims.level == 3 && claims.ratio == 0.5 && claims.level > 2.5"), "true" },
		{ STR("claims.groups == ['a', 'b'] && 'a' in claims.groups && !('c' in claims.groups)"), "true" },
		{ STR("claims.nested == {'deep': {'er': true}}"), "true" },
		{ STR("'email' in claims && !('nobody' in claims)"), "true" },
		{ STR("1 in [] || 1 in [2]"), "false" },
		{ STR("dyn(1.0) in [1, 2] && dyn(2u) in [1, 2]"), "true" },
		{ STR("dyn(1.5) in {1: 'a'}"), "false" },
		{ STR("{1: 'a'}[dyn(1u)] + {1: 'b'}[dyn(1.0)]"), "\"ab\"" },
		{ STR("int != uint && type(1) == int && type([]) == list && type(int) == type"), "true" },
	};

	EXPECT_ALL(*state, cases, 0);
}

/* Small maps are searched, large ones hashed: with every kind of key. */
static void test_cel_eval_finds_keys_of_any_kind(void **state) {
	struct cel_world *w = *state;
	struct buf b = BUF_INIT(1 << 16);

	for (int n = 1; n <= 100; n += 9) {
		buf_reset(&b);
		buf_adds(&b, "[{");
		for (int i = 0; i < n; i++)
			buf_addf(&b, "%d: %d, '%d': %d, ", i, i, i, 1000 + i);
		for (int i = 0; i < n; i++)
			buf_addf(&b, "%du: %d, ", 5000 + i, 2000 + i);
		buf_addf(&b, "true: -1}].all(m, m[dyn(%d.0)] == %d && m['%d'] == %d && m[dyn(%d)] == %d && m[true] == -1 && ", n - 1, n - 1,
			 n - 1, 999 + n, 4999 + n, 1999 + n);
		buf_addf(&b, "!('x' in m) && !(%d in m) && !(dyn(0.5) in m) && !(false in m))", n);
		assert_string_equal(outcome(w, (struct str){ b.data, b.len }, CEL_UNCHECKED, NULL), "true");
	}
	buf_fini(&b);
}

static void test_cel_eval_refuses_impossible_maps(void **state) {
	static const struct expected cases[] = {
		{ STR("{'a': 1, 'a': 2}"), "error 1:1: a map key is there twice" },
		{ STR("{0: 1, dyn(0u): 2}"), "error 1:1: a map key is there twice" },
		{ STR("{1.5: 1}"), "error 1:1: a map key must be a bool, int, uint or string" },
		{ STR("{null: 1}"), "error 1:1: a map key must be a bool, int, uint or string" },
		{ STR("{[1]: 1}"), "error 1:1: a map key must be a bool, int, uint or string" },
		{ STR("['a', 'a'].transformMapEntry(i, v, {v: i})"), "error 1:12: a map key is there twice" },
	};

	EXPECT_ALL(*state, cases, 0);
}

static void test_cel_eval_converts(void **state) {
	static const struct expected cases[] = {
		{ STR("int('-9223372036854775808')"), "-9223372036854775808" },
		{ STR("int('+5')"), "5" },
		{ STR("int('9223372036854775808')"), "error 1:1: '9223372036854775808' is no int" },
		{ STR("int('')"), "error 1:1: '' is no int" },
		{ STR("int('-')"), "error 1:1: '-' is no int" },
		{ STR("int(' 5')"), "error 1:1: ' 5' is no int" },
		{ STR("int('0x10')"), "error 1:1: '0x10' is no int" },
		{ STR("int('1_000')"), "error 1:1: '1_000' is no int" },
		{ STR("int(1.9) + int(-1.9)"), "0" },
		{ STR("int(9223372036854775807u)"), "9223372036854775807" },
		{ STR("int(9223372036854775808u)"), "error 1:1: integer overflow" },
		{ STR("int(-9223372036854775808.0)"), "error 1:1: integer overflow" },
		{ STR("int(9223372036854774784.0)"), "9223372036854774784" },
		{ STR("int(0.0 / 0.0)"), "error 1:1: integer overflow" },
		{ STR("uint('18446744073709551615')"), "18446744073709551615u" },
		{ STR("uint('-1')"), "error 1:1: '-1' is no uint" },
		{ STR("uint('+1')"), "error 1:1: '+1' is no uint" },
		{ STR("uint(0) + uint(-0.5) + uint(0.9)"), "0u" },
		{ STR("uint(-1)"), "error 1:1: unsigned integer overflow" },
		{ STR("uint(-1.0)"), "error 1:1: unsigned integer overflow" },
		{ STR("uint(18446744073709551616.0)"), "error 1:1: unsigned integer overflow" },
		{ STR("uint(0.0 / 0.0)"), "error 1:1: unsigned integer overflow" },
		{ STR("double('1.5e3') + double(1) + double(1u)"), "1502.0" },
		{ STR("double('0x1p3')"), "error 1:1: '0x1p3' is no double" },
		{ STR("double(' 1')"), "error 1:1: ' 1' is no double" },
		{ STR("double('1,5')"), "error 1:1: '1,5' is no double" },
		{ STR("double('NaN')"), "NaN" },
		{ STR("double('-Infinity')"), "-Infinity" },
		{ STR("double('nan(1)')"), "error 1:1: 'nan(1)' is no double" },
		{ STR("bool('True') && bool('1') && bool('t') && !bool('f') && !bool('FALSE')"), "true" },
		{ STR("bool('yes')"), "error 1:1: 'yes' is no bool" },
		{ STR("string(1) + string(1u) + string(true) + string(b'x')"), "\"11truex\"" },
		{ STR("string(123.456) + ' ' + string(-0.0045) + ' ' + string(1e6) + ' ' + string(1.0)"), "\"123.456 -0.0045 1e+06 1\"" },
		{ STR("string(b'\\xff')"), "error 1:1: invalid UTF-8 in bytes, cannot convert to string" },
		{ STR("string(b'\\xc0\\x80')"), "error 1:1: invalid UTF-8 in bytes, cannot convert to string" },
		{ STR("string(b'\\xed\\xa0\\x80')"), "error 1:1: invalid UTF-8 in bytes, cannot convert to string" },
		{ STR("bytes('\\u00e9')"), "b\"\\xc3\\xa9\"" },
		{ STR("string(timestamp('2009-02-13T23:31:30.100Z'))"), "\"2009-02-13T23:31:30.1Z\"" },
		{ STR("string(duration('1h30m')) + string(duration('-1.5s'))"), "\"5400s-1.5s\"" },
		{ STR("int(timestamp('1969-12-31T23:59:59.5Z'))"), "-1" },
		{ STR("timestamp(0) + duration('-1ns')"), "timestamp(\"1969-12-31T23:59:59.999999999Z\")" },
		{ STR("type(dyn(1)) == int"), "true" },
	};

	EXPECT_ALL(*state, cases, 0);
}

static void test_cel_eval_reads_clocks(void **state) {
	static const struct expected cases[] = {
		{ STR("request.time"), "timestamp(\"2026-11-24T15:04:05.123456789Z\")" },
		{ STR("[request.time.getFullYear(), request.time.getMonth(), request.time.getDate(), request.time.getDayOfMonth()]"),
		  "[2026, 10, 24, 23]" },
		{ STR("[request.time.getDayOfWeek(), request.time.getDayOfYear(), request.time.getHours(), request.time.getMinutes()]"),
		  "[2, 327, 15, 4]" },
		{ STR("[request.time.getSeconds(), request.time.getMilliseconds()]"), "[5, 123]" },
		{ STR("[request.time.getHours('Europe/Berlin'), request.time.getHours('UTC'), request.time.getHours('')]"), "[16, 15, 15]" },
		{ STR("[request.time.getHours('+05:30'), request.time.getMinutes('-00:30'), request.time.getHours('02:00')]"), "[20, 34, 17]" },
		{ STR("timestamp('2026-07-01T00:00:00Z').getHours('America/New_York')"), "20" },
		{ STR("timestamp('2099-07-01T00:00:00Z').getHours('Europe/Berlin')"), "2" },
		{ STR("timestamp('2026-12-31T23:30:00Z').getFullYear('Europe/Berlin')"), "2027" },
		/* both sides of 2026's changes in Berlin */
		{ STR("timestamp('2026-03-29T00:59:59Z').getHours('Europe/Berlin')"), "1" },
		{ STR("timestamp('2026-03-29T01:00:00Z').getHours('Europe/Berlin')"), "3" },
		{ STR("timestamp('2026-10-25T00:59:59Z').getHours('Europe/Berlin')"), "2" },
		{ STR("timestamp('2026-10-25T01:00:00Z').getHours('Europe/Berlin')"), "2" },
		{ STR("timestamp('0001-01-01T00:00:00Z').getFullYear('-01:00')"), "0" },
		{ STR("timestamp('9999-12-31T23:59:59Z').getFullYear('+01:00')"), "10000" },
		{ STR("[duration('123.321s').getMilliseconds(), duration('90m').getHours(), duration('90m').getMinutes(), duration('90m').getSeconds()]"),
		  "[321, 1, 90, 5400]" },
		{ STR("timestamp('9999-12-31T23:59:59.999999999Z') + duration('1ns')"), "error 1:45: timestamp overflow" },
		{ STR("timestamp('0001-01-01T00:00:00Z') - duration('1ns')"), "error 1:35: timestamp overflow" },
		{ STR("timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')"), "error 1:35: duration overflow" },
		{ STR("timestamp(253402300800)"), "error 1:1: timestamp overflow" },
		{ STR("timestamp('2026-13-01T00:00:00Z')"), "error 1:1: '2026-13-01T00:00:00Z' is no RFC 3339 time like 2026-11-24T15:04:05Z" },
		{ STR("duration('1d')"), "error 1:1: '1d' is no duration like 1h30m" },
		{ STR("request.time.getHours('Mars/Olympus')"), "plan 1:23: there is no time zone 'Mars/Olympus' here" },
		{ STR("request.time.getHours(name)"), "error 1:14: no time zone 'projects/p': only zones that the policy names as constants are loaded" },
	};

	EXPECT_ALL(*state, cases, 0);
}

/* An environment without zones knows UTC and fixed offsets, as constants and while evaluating. */
static void test_cel_eval_knows_fixed_offsets_without_zones(void **state) {
	static const struct expected cases[] = {
		{ STR("timestamp(0).getHours('+01:30')"), "1" },
		{ STR("timestamp(0).getHours('UTC') + timestamp(0).getHours('')"), "0" },
		{ STR("timestamp(0).getHours('+0' + '2:00')"), "2" },
		{ STR("timestamp(0).getHours(zone)"), "23" },
		{ STR("timestamp(0).getHours(zone + 'x')"), "error 1:14: no time zone '-01:00x': only zones that the policy names as constants are loaded" },
		{ STR("timestamp(0).getHours('Europe/Berlin')"), "plan 1:23: no time zone but UTC and offsets like +01:00 is known here" },
	};
	struct cel_world world = { .text = BUF_INIT(1000) };
	struct error err;

	(void)state;
	assert_int_equal(cel_env_new(0, &world.env, &err), 0);
	assert_int_equal(cel_arena_init(&world.arena, 4096, 4096, &err), 0);
	world_declare(&world, "zone", &cel_string, cel_of_string("-01:00", 6));
	EXPECT_ALL(&world, cases, 0);
	cel_env_free(world.env);
	cel_arena_fini(&world.arena);
	buf_fini(&world.text);
}

/* "Attribute reference for IAM Conditions": the table of extract(), with its examples. */
static void test_cel_eval_extracts_as_iam_does(void **state) {
	static const struct {
		const char *template, *value;
	} cases[] = {
		{ "/order_date={date}/", "2019-11-03" },
		{ "buckets/{name}/", "acme-orders-aaa" },
		{ "/orders/{empty}order_date", "" },
		{ "{start}/objects/data_lake", "projects/_/buckets/acme-orders-aaa" },
		{ "orders/{end}", "order_date=2019-11-03/aef87g87ae0876" },
		{ "{all}", "projects/_/buckets/acme-orders-aaa/objects/data_lake/orders/order_date=2019-11-03/aef87g87ae0876" },
		{ "/orders/{none}/order_date=", "" },
		{ "/orders/order_date=2019-11-03/{id}/data_lake", "" },
	};
	struct cel_world *w = *state;
	char text[200], want[200];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(text, sizeof(text), "resource.name.extract('%s')", cases[i].template);
		snprintf(want, sizeof(want), "\"%s\"", cases[i].value);
		assert_string_equal(outcome(w, str_of(text), 0, NULL), want);
	}
}

static void test_cel_eval_offers_iams_functions(void **state) {
	static const struct expected cases[] = {
		{ STR("'abcabc'.extract('b{x}b')"), "\"ca\"" },
		{ STR("'abcabc'.extract('b{x}c')"), "\"\"" },
		{ STR("'abc'.extract('a{az_AZ09}c')"), "\"b\"" },
		{ STR("'abc'.extract('{x}a')"), "\"\"" },
		{ STR("''.extract('{x}')"), "\"\"" },
		{ STR("'abc'.extract('abc')"), "plan 1:15: extract() wants a template like prefix{name}suffix" },
		{ STR("'abc'.extract('{abc')"), "plan 1:15: extract() wants a template like prefix{name}suffix" },
		{ STR("'abc'.extract('}a{')"), "plan 1:15: extract() wants a template like prefix{name}suffix" },
		{ STR("'abc'.extract('a{}c')"), "plan 1:15: extract() wants a template like prefix{name}suffix" },
		{ STR("'abc'.extract('a{x y}')"), "plan 1:15: extract() wants a template like prefix{name}suffix" },
		{ STR("'abc'.extract('{x}{y}')"), "plan 1:15: extract() wants a template like prefix{name}suffix" },
		{ STR("request.time - duration('2592000s') < date(resource.name.extract('/order_date={d}/'))"), "false" },
		{ STR("request.time - duration('2592000s') < date('x'.extract('/order_date={d}/'))"), "error 1:39: '' is no date like 2026-11-24" },
		{ STR("date('2019-11-03')"), "timestamp(\"2019-11-03T00:00:00Z\")" },
		{ STR("date('2019-02-29')"), "error 1:1: '2019-02-29' is no date like 2026-11-24" },
		{ STR("['a', 'b'].hasOnly(['b', 'c', 'a'])"), "true" },
		{ STR("['a', 'd'].hasOnly(['b', 'c', 'a'])"), "false" },
		{ STR("[].hasOnly(['a'])"), "true" },
		{ STR("['a'].hasOnly([])"), "false" },
		{ STR("claims.groups.hasOnly(['b', 'a'])"), "true" },
		{ STR("api.getAttribute('email', '').endsWith('@example.com')"), "true" },
		{ STR("api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/x'])"), "true" },
		{ STR("api.getAttribute('groups', []).hasOnly(['a'])"), "false" },
		{ STR("api.getAttribute('missing', 'default')"), "\"default\"" },
		{ STR("'abc'.extract('{' + name)"), "error 1:7: extract() wants a template like prefix{name}suffix" },
	};

	EXPECT_ALL(*state, cases, 0);
}

static void test_cel_eval_absorbs_errors(void **state) {
	static const struct expected cases[] = {
		{ STR("1 / 0 > 0 && false"), "false" },
		{ STR("false && 1 / 0 > 0"), "false" },
		{ STR("1 / 0 > 0 || true"), "true" },
		{ STR("true || 1 / 0 > 0"), "true" },
		{ STR("1 / 0 > 0 && true"), "error 1:3: division by zero" },
		{ STR("true && 1 / 0 > 0 && 1 % 0 > 0"), "error 1:11: division by zero" },
		{ STR("1 / 0 > 0 || false"), "error 1:3: division by zero" },
		{ STR("1 / 0 > 0 ? true : true"), "error 1:3: division by zero" },
		{ STR("true ? 1 : 1 / 0"), "1" },
		{ STR("false ? 1 / 0 : 1"), "1" },
		{ STR("!(1 / 0 > 0)"), "error 1:5: division by zero" },
		{ STR("[1, 1 / 0][0]"), "error 1:7: division by zero" },
		{ STR("{'a': 1 / 0}.size()"), "error 1:9: division by zero" },
		/* all and exists absorb, the others do not */
		{ STR("[0, 1].all(e, 1 / e > 5)"), "false" },
		{ STR("[1, 0].exists(e, 1 / e == 1)"), "true" },
		{ STR("[0, 1].exists(e, 1 / e == 1)"), "true" },
		{ STR("[0, 2].exists(e, 1 / e == 1)"), "error 1:20: division by zero" },
		{ STR("[0, 1].all(e, 1 / e == 1)"), "error 1:17: division by zero" },
		{ STR("[1, 0].exists_one(e, 1 / e == 1)"), "error 1:24: division by zero" },
		{ STR("[1, 0].map(e, 1 / e)"), "error 1:17: division by zero" },
		{ STR("[1, 0].filter(e, 1 / e == 1)"), "error 1:20: division by zero" },
		/* a binding fails where it is used */
		{ STR("cel.bind(t, 1 / 0, true)"), "true" },
		{ STR("cel.bind(t, 1 / 0, t == 1 || true)"), "true" },
		{ STR("cel.bind(t, 1 / 0, t)"), "error 1:15: division by zero" },
		{ STR("cel.block([1 / 0], true)"), "true" },
	};

	EXPECT_ALL(*state, cases, 0);
}

static void test_cel_eval_keeps_unknown_apart(void **state) {
	static const struct expected cases[] = {
		{ STR("peer"), "unknown: peer" },
		{ STR("peer && false"), "false" },
		{ STR("false && peer"), "false" },
		{ STR("peer || true"), "true" },
		{ STR("peer && true"), "unknown: peer" },
		{ STR("peer || false"), "unknown: peer" },
		{ STR("peer && 1 / 0 > 0"), "unknown: peer" },
		{ STR("1 / 0 > 0 && peer"), "unknown: peer" },
		{ STR("peer.uid == 1 / 0"), "unknown: peer.uid" },
		{ STR("peer ? true : true"), "unknown: peer" },
		{ STR("!peer"), "unknown: peer" },
		{ STR("peer.uid + 1 > 5"), "unknown: peer.uid" },
		{ STR("peer.uid in [1, 2]"), "unknown: peer.uid" },
		{ STR("[1, 2].exists(e, e == peer.uid)"), "unknown: peer.uid" },
		{ STR("[1, 2].exists(e, e == peer.uid || e == 2)"), "true" },
		{ STR("[1, 2].all(e, e == peer.uid && e == 2)"), "false" },
		{ STR("[peer.uid]"), "unknown: peer.uid" },
		{ STR("{'a': peer.uid}"), "unknown: peer.uid" },
		{ STR("string(peer.uid) + 'a'"), "unknown: peer.uid" },
		{ STR("has(peer.uid)"), "unknown: peer.uid" },
		{ STR("absent"), "error 1:1: no such attribute: absent" },
		{ STR("absent || true"), "true" },
		{ STR("absent && peer"), "unknown: peer" },
	};

	EXPECT_ALL(*state, cases, 0);
}

static void test_cel_eval_runs_macros(void **state) {
	static const struct expected cases[] = {
		{ STR("[].all(e, false) && ![].exists(e, true) && ![].exists_one(e, true)"), "true" },
		{ STR("[1, 2, 3].exists_one(e, e > 2) && ![1, 2, 3].existsOne(e, e > 1)"), "true" },
		{ STR("[1, 2, 3].map(e, e > 1, e * e)"), "[4, 9]" },
		{ STR("{'a': 1, 'b': 2}.map(k, k)"), "[\"a\", \"b\"]" },
		{ STR("{'a': 1, 'b': 2}.filter(k, k > 'a')"), "[\"b\"]" },
		{ STR("claims.groups.map(g, g + '!')"), "[\"a!\", \"b!\"]" },
		{ STR("claims.exists(k, k == 'email')"), "true" },
		{ STR("claims.exists(k, v, k == 'level' && v == 3)"), "true" },
		{ STR("['x', 'y'].transformMap(i, v, v + string(i))"), "{0: \"x0\", 1: \"y1\"}" },
		{ STR("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 10)"), "{\"b\": 20}" },
		{ STR("{'a': 1, 'b': 2}.transformMapEntry(k, v, {v: k})"), "{1: \"a\", 2: \"b\"}" },
		{ STR("{'a': 1}.transformMapEntry(k, v, {k: 1, k + k: 2})"), "{\"a\": 1, \"aa\": 2}" },
		{ STR("[5, 6].transformList(i, v, i > 0, v)"), "[6]" },
		{ STR("[1, 2].map(a, [3, 4].map(b, a * b))"), "[[3, 4], [6, 8]]" },
		{ STR("{'a': 1}.transformList(k, v, [7, 8].transformList(i, w, k + string(v) + string(i) + string(w)))"),
		  "[[\"a107\", \"a118\"]]" },
		{ STR("{'a': 1}.transformList(k, v, [7].map(w, w)[0] + v)[0] + [2].transformList(i, w, i + w)[0]"), "10" },
		{ STR("[3, 1, 2].sortBy(e, -e)"), "[3, 2, 1]" },
		{ STR("['bb', 'a', 'cc', 'd'].sortBy(e, size(e))"), "[\"a\", \"d\", \"bb\", \"cc\"]" },
		{ STR("[1, 2].sortBy(e, [e])"), "error 1:8: no such overload" },
		{ STR("[1, 'a'].sortBy(e, e)"), "error 1:10: no such overload" },
		{ STR("cel.block([1, cel.index(0) + 1, cel.index(1) * 10], cel.index(2))"), "20" },
	};

	EXPECT_ALL(*state, cases, 0);
}

static void test_cel_eval_matches_with_re2(void **state) {
	static const struct expected cases[] = {
		{ STR("'hello'.matches('ell')"), "true" },
		{ STR("'hello'.matches('^ell')"), "false" },
		{ STR("matches('a\\nb', 'a.b')"), "false" },
		{ STR("'\xC3\xA9'.matches('^.$')"), "true" },
		{ STR("'\xC3\x89'.matches('(?i)\xC3\xA9')"), "true" },
		{ STR("'a\\x00b'.matches('\\x00')"), "true" },
		{ STR("''.matches('')"), "true" },
		{ STR("('a' + 'a').matches('^(a+)+$')"), "true" },
		{ STR("name.matches('(')"), "plan 1:14: no regular expression: missing ): (" },
		{ STR("name.matches('a\\\\1')"), "plan 1:14: no regular expression: invalid escape sequence: \\1" },
		{ STR("name.matches('(?=a)')"), "plan 1:14: no regular expression: invalid perl operator: (?=" },
		{ STR("name.matches('a{1001}')"), "plan 1:14: no regular expression: invalid repetition size: {1001}" },
		{ STR("name.matches(name) && name.matches('^' + name + '$')"), "true" },
		{ STR("name.matches('(' + name)"), "error 1:6: no regular expression: missing ): (projects/p" },
	};
	struct cel_limits l = cel_default_limits;
	struct cel_world *w = *state;

	EXPECT_ALL(w, cases, 0);
	l.regex = 5;
	assert_string_equal(outcome(w, STR("name.matches('aaaaaa')"), 0, &l), "limit 1:14: a pattern of more than 5 bytes");
	assert_string_equal(outcome(w, STR("name.matches('aaaaa')"), 0, &l), "false");
	l.regex = 9;
	assert_string_equal(outcome(w, STR("name.matches(name)"), 0, &l), "error 1:6: a pattern of more than 9 bytes");
	l.regex = 10;
	assert_string_equal(outcome(w, STR("name.matches(name)"), 0, &l), "true");
	l.regex = 1024;
	l.regex_memory = 2000;
	assert_string_equal(outcome(w, STR("name.matches('a{900}')"), 0, &l),
			    "plan 1:14: no regular expression: pattern too large - compile failed");
}

static void test_cel_eval_bounds_work(void **state) {
	static const struct {
		const char *text, *outcome;
		uint32_t iterations;
	} cases[] = {
		{ "[1, 2, 3].all(e, true)", "true", 3 },
		{ "[1, 2, 3].all(e, true)", "error 1:11: too many loop iterations in one evaluation", 2 },
		{ "[1, 2, 3].map(e, [1, 2, 3].map(f, f)).size()", "3", 12 },
		{ "[1, 2, 3].map(e, [1, 2, 3].map(f, f)).size()", "error 1:28: too many loop iterations in one evaluation", 11 },
		{ "[1, 2].exists(e, false) || [1, 2].exists(e, e == 2)", "true", 4 },
		{ "[1, 2].exists(e, false) || [1, 2].exists(e, e == 2)", "error 1:35: too many loop iterations in one evaluation", 3 },
		{ "[1, 2].transformMap(i, v, v).size()", "error 1:8: too many loop iterations in one evaluation", 1 },
		{ "[1, 2].sortBy(e, e).size()", "error 1:8: too many loop iterations in one evaluation", 1 },
		{ "[1, 2].exists_one(e, false)", "error 1:8: too many loop iterations in one evaluation", 1 },
		{ "lists.range(100) == lists.range(100)", "true", 206 }, /* 101 values looked at, 16 for one iteration */
		{ "lists.range(100) == lists.range(100)", "error 1:18: too many loop iterations in one evaluation", 205 },
		{ "x in [1, 2]", "false", 0 },
		{ "x in [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]", "false", 0 }, /* a table */
		{ "x in [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, x]", "error 1:3: too many loop iterations in one evaluation", 0 },
	};
	struct cel_world *w = *state;
	struct cel_limits l = cel_default_limits;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		l.iterations = cases[i].iterations;
		assert_string_equal(outcome(w, str_of(cases[i].text), 0, &l), cases[i].outcome);
	}
}

/* Values that share their parts: 2^60 comparisons are not made. */
static void test_cel_eval_bounds_comparisons(void **state) {
	struct cel_world *w = *state;
	struct buf b = BUF_INIT(1 << 16);

	buf_adds(&b, "cel.bind(a0, [x], ");
	for (int i = 0; i < 60; i++)
		buf_addf(&b, "cel.bind(a%d, [a%d, a%d], ", i + 1, i, i);
	buf_adds(&b, "a60 == a60");
	for (int i = 0; i <= 60; i++)
		buf_addc(&b, ')');
	assert_non_null(strstr(outcome(w, (struct str){ b.data, b.len }, CEL_UNCHECKED, NULL), "too many loop iterations"));
	buf_fini(&b);
}

/* What does not fit into the arena is an error like any other; the arena is good again after it. */
static void test_cel_eval_bounds_memory(void **state) {
	static const char doubled[] = "cel.bind(a, name + name, cel.bind(b, a + a + a + a, cel.bind(c, b + b + b + b, "
				      "cel.bind(d, c + c + c + c, cel.bind(e, d + d + d + d, e + e + e + e)))))";
	struct cel_world *w = *state;

	assert_string_equal(outcome(w, str_of(doubled), 0, NULL), "error 1:140: out of memory for one evaluation");
	assert_true(w->arena.failed);
	assert_string_equal(outcome(w, STR("name + '!'"), 0, NULL), "\"projects/p!\"");
	assert_false(w->arena.failed);
}

/* ---- Memory ---- */

static void test_cel_eval_takes_nothing_from_the_heap(void **state) {
	static const char *const cases[] = {
		"request.time.getDayOfWeek('Europe/Berlin') in [1, 2, 3, 4, 5] && request.time.getHours('Europe/Berlin') >= 8",
		"resource.name.startsWith('projects/') && resource.name.extract('buckets/{b}/') == 'acme-orders-aaa'",
		"claims.groups.exists(g, g == 'b') && claims.nested.deep.er && claims.level > 2",
		"claims.map(k, k + '!').size() == 7 && {'a': x}.a == 5 && string(request.time) != ''",
		"1 / (x - 5) > 0",
		"claims[string(x)] == 1",
		"{x: 1}[6] == 1",
		"[x][7] == 1",
		"peer || absent",
		"date(name) < request.time",
		"name.matches('^projects/')",
	};
	struct cel_world *w = *state;

	count_allocations();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_program *program;
		struct cel_error error;
		size_t total = w->arena.total, before;

		if (cel_compile(w->env, str_of(cases[i]), 0, NULL, &program, &error) < 0)
			fail_msg("%s: %s", cases[i], error.message);
		world_eval(w, program); /* RE2 makes its states on the first run */
		before = allocations;
		assert_true(before > 0); /* compiling has been counted */
		for (int n = 0; n < 10; n++)
			world_eval(w, program);
		if (allocations != before)
			fail_msg("%s: %zu allocations", cases[i], allocations - before);
		assert_int_equal(w->arena.total, total);
		cel_program_free(program);
	}
}

/* One program, evaluated in any order, from any thread's arena: nothing is left behind in it. */
static void test_cel_eval_leaves_the_program_alone(void **state) {
	struct cel_world *w = *state;
	struct cel_program *program;
	struct cel_error error;

	assert_int_equal(cel_compile(w->env, STR("[x, x + 1].map(e, e * 2)[1] + size(name)"), 0, NULL, &program, &error), 0);
	for (int64_t i = 0; i < 100; i++) {
		w->slots[0] = cel_of_int(i);
		assert_true(cel_equal(world_eval(w, program), cel_of_int(2 * i + 12)));
	}
	w->slots[0] = cel_of_int(5);
	assert_true(cel_program_uses(program, 0));
	assert_true(cel_program_uses(program, 1));
	assert_false(cel_program_uses(program, 2));
	cel_program_free(program);
}

/* A node inside of a loop, evaluated alone, has no loop variable: an error, not a stale value. */
static void test_cel_eval_node_alone(void **state) {
	struct cel_world *w = *state;
	struct cel_activation activation = { .slots = w->slots };
	struct cel_program *program;
	const struct cel_node *root;
	struct cel_error error;
	struct cel_value v;

	assert_int_equal(cel_compile(w->env, STR("[x].all(e, e == 5)"), 0, NULL, &program, &error), 0);
	root = cel_program_root(program);
	cel_arena_reset(&w->arena);
	v = cel_eval_node(program, root->kids[0], &activation, &w->arena);
	assert_int_equal(v.kind, CEL_LIST);
	v = cel_eval_node(program, root->kids[1], &activation, &w->arena);
	assert_int_equal(v.kind, CEL_ERROR);
	assert_string_equal(v.fault->message, "a loop's variable outside of its loop");
	cel_program_free(program);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cel_eval_computes),
		cmocka_unit_test(test_cel_eval_compares),
		cmocka_unit_test(test_cel_eval_finds_keys_of_any_kind),
		cmocka_unit_test(test_cel_eval_refuses_impossible_maps),
		cmocka_unit_test(test_cel_eval_converts),
		cmocka_unit_test(test_cel_eval_reads_clocks),
		cmocka_unit_test(test_cel_eval_knows_fixed_offsets_without_zones),
		cmocka_unit_test(test_cel_eval_extracts_as_iam_does),
		cmocka_unit_test(test_cel_eval_offers_iams_functions),
		cmocka_unit_test(test_cel_eval_absorbs_errors),
		cmocka_unit_test(test_cel_eval_keeps_unknown_apart),
		cmocka_unit_test(test_cel_eval_runs_macros),
		cmocka_unit_test(test_cel_eval_matches_with_re2),
		cmocka_unit_test(test_cel_eval_bounds_work),
		cmocka_unit_test(test_cel_eval_bounds_comparisons),
		cmocka_unit_test(test_cel_eval_bounds_memory),
		cmocka_unit_test(test_cel_eval_takes_nothing_from_the_heap),
		cmocka_unit_test(test_cel_eval_leaves_the_program_alone),
		cmocka_unit_test(test_cel_eval_node_alone),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
