/* Values: equality, order, hashing, JSON, printing; numbers and UTF-8 as text; the arena. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include "hallpass/cleanup.h"
#include "policy/cel_internal.h"
#ifdef CEL_ARENA_CHECKED
#include <sanitizer/asan_interface.h>
#endif

static const struct cel_value scalars[] = {
	{ .kind = CEL_NULL },
	{ .kind = CEL_BOOL, .u = 0 },
	{ .kind = CEL_BOOL, .u = 1 },
	{ .kind = CEL_INT, .i = INT64_MIN },
	{ .kind = CEL_INT, .i = -1 },
	{ .kind = CEL_INT, .i = 0 },
	{ .kind = CEL_INT, .i = 1 },
	{ .kind = CEL_INT, .i = 9007199254740993 },
	{ .kind = CEL_INT, .i = INT64_MAX },
	{ .kind = CEL_UINT, .u = 0 },
	{ .kind = CEL_UINT, .u = 1 },
	{ .kind = CEL_UINT, .u = (uint64_t)INT64_MAX + 1 },
	{ .kind = CEL_UINT, .u = UINT64_MAX },
	{ .kind = CEL_DOUBLE, .d = -INFINITY },
	{ .kind = CEL_DOUBLE, .d = -9223372036854775808.0 },
	{ .kind = CEL_DOUBLE, .d = -1.0 },
	{ .kind = CEL_DOUBLE, .d = -0.0 },
	{ .kind = CEL_DOUBLE, .d = 0.0 },
	{ .kind = CEL_DOUBLE, .d = 0.5 },
	{ .kind = CEL_DOUBLE, .d = 1.0 },
	{ .kind = CEL_DOUBLE, .d = 9007199254740992.0 },
	{ .kind = CEL_DOUBLE, .d = 9223372036854775808.0 },
	{ .kind = CEL_DOUBLE, .d = 18446744073709551616.0 },
	{ .kind = CEL_DOUBLE, .d = INFINITY },
	{ .kind = CEL_DOUBLE, .d = NAN },
	{ .kind = CEL_STRING, .n = 0, .s = "" },
	{ .kind = CEL_STRING, .n = 1, .s = "a" },
	{ .kind = CEL_STRING, .n = 2, .s = "a\0" },
	{ .kind = CEL_STRING, .n = 2, .s = "\xC3\xA9" },
	{ .kind = CEL_BYTES, .n = 1, .s = "a" },
	{ .kind = CEL_TIMESTAMP, .n = 5, .i = -1 },
	{ .kind = CEL_TIMESTAMP, .n = 6, .i = -1 },
	{ .kind = CEL_DURATION, .i = -1 },
	{ .kind = CEL_TYPE, .type = &cel_int },
	{ .kind = CEL_TYPE, .type = &cel_uint },
};

/* Equality and order agree with each other, with their mirror images and with the hash. */
static void test_cel_value_orders_consistently(void **state) {
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scalars); i++)
		for (size_t j = 0; j < ARRAY_SIZE(scalars); j++) {
			struct cel_value a = scalars[i], b = scalars[j];
			int there = cel_compare(a, b), back = cel_compare(b, a);
			bool equal = cel_equal(a, b);

			assert_int_equal(equal, cel_equal(b, a));
			assert_true(there >= 2 ? back == there : back == -there);
			if (there < 2)
				assert_int_equal(equal, there == 0);
			if (equal && cel_is_number(a))
				assert_int_equal(cel_hash(a), cel_hash(b));
			if (i == j)
				assert_int_equal(equal, !(a.kind == CEL_DOUBLE && isnan(a.d)));
		}
}

static void test_cel_value_compares_numbers_as_the_language_says(void **state) {
	static const struct {
		struct cel_value a, b;
		int order;
	} cases[] = {
		{ { .kind = CEL_INT, .i = INT64_MAX }, { .kind = CEL_DOUBLE, .d = 9223372036854775808.0 }, 0 },
		{ { .kind = CEL_INT, .i = 9007199254740993 }, { .kind = CEL_DOUBLE, .d = 9007199254740992.0 }, 0 },
		{ { .kind = CEL_INT, .i = INT64_MAX }, { .kind = CEL_DOUBLE, .d = 9223372036854777856.0 }, -1 },
		{ { .kind = CEL_INT, .i = INT64_MIN }, { .kind = CEL_DOUBLE, .d = -9223372036854775808.0 }, 0 },
		{ { .kind = CEL_INT, .i = INT64_MIN }, { .kind = CEL_DOUBLE, .d = -INFINITY }, 1 },
		{ { .kind = CEL_UINT, .u = UINT64_MAX }, { .kind = CEL_DOUBLE, .d = 18446744073709551616.0 }, 0 },
		{ { .kind = CEL_UINT, .u = 0 }, { .kind = CEL_DOUBLE, .d = -0.5 }, 1 },
		{ { .kind = CEL_UINT, .u = UINT64_MAX }, { .kind = CEL_INT, .i = -1 }, 1 },
		{ { .kind = CEL_UINT, .u = 5 }, { .kind = CEL_INT, .i = 5 }, 0 },
		{ { .kind = CEL_INT, .i = 1 }, { .kind = CEL_DOUBLE, .d = NAN }, 2 },
		{ { .kind = CEL_INT, .i = 1 }, { .kind = CEL_STRING, .n = 1, .s = "1" }, 3 },
		{ { .kind = CEL_NULL }, { .kind = CEL_NULL }, 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(cel_compare(cases[i].a, cases[i].b), cases[i].order);
}

static void test_cel_value_looks_into_json(void **state) {
	json_t *json = json_loads("{\"s\": \"a\\u0000b\", \"i\": -7, \"d\": 1.5, \"t\": true, \"n\": null, \"l\": [1, [2]], \"m\": {\"k\": {}}}",
				  JSON_ALLOW_NUL, NULL);
	struct cel_value map = cel_of_json(json), v, key;
	struct cel_map_iter iter = { 0 };
	struct buf b = BUF_INIT(1000);
	size_t n = 0;

	(void)state;
	assert_int_equal(map.kind, CEL_MAP);
	assert_int_equal(cel_map_size(map), 7);
	assert_true(cel_map_find(map, cel_of_string("s", 1), &v) && v.kind == CEL_STRING && v.n == 3);
	assert_true(cel_map_find(map, cel_of_string("i", 1), &v) && v.kind == CEL_INT && v.i == -7);
	assert_true(cel_map_find(map, cel_of_string("d", 1), &v) && v.kind == CEL_DOUBLE && v.d == 1.5);
	assert_true(cel_map_find(map, cel_of_string("n", 1), &v) && v.kind == CEL_NULL);
	assert_true(cel_map_find(map, cel_of_string("l", 1), &v) && v.kind == CEL_LIST && cel_list_size(v) == 2);
	assert_false(cel_map_find(map, cel_of_string("s\0", 2), &v));
	assert_false(cel_map_find(map, cel_of_string("", 0), &v));
	assert_false(cel_map_find(map, cel_of_int(1), &v));
	for (; cel_map_next(map, &iter, &key, &v); n++)
		assert_int_equal(key.kind, CEL_STRING);
	assert_int_equal(n, 7);
	cel_value_print(map, &b);
	assert_string_equal(b.data, "{\"s\": \"a\\u0000b\", \"i\": -7, \"d\": 1.5, \"t\": true, \"n\": null, \"l\": [1, [2]], \"m\": {\"k\": {}}}");
	assert_true(cel_equal(map, cel_of_json(json)));
	assert_int_equal(cel_of_json(NULL).kind, CEL_NONE);
	buf_fini(&b);
	json_decref(json);
}

static void test_cel_value_prints_source(void **state) {
	static const struct cel_value two[] = { { .kind = CEL_INT, .i = 1 }, { .kind = CEL_STRING, .n = 1, .s = "\"" } };
	static const struct cel_list list = { 2, two };
	static const struct cel_fault fault = { NULL, "division by zero" };
	static const struct {
		struct cel_value v;
		const char *text;
	} cases[] = {
		{ { .kind = CEL_NONE }, "absent" },
		{ { .kind = CEL_ERROR, .fault = &fault }, "division by zero" },
		{ { .kind = CEL_UNKNOWN, .name = "peer.uid" }, "peer.uid is unknown" },
		{ { .kind = CEL_NULL }, "null" },
		{ { .kind = CEL_UINT, .u = 7 }, "7u" },
		{ { .kind = CEL_DOUBLE, .d = 7 }, "7.0" },
		{ { .kind = CEL_DOUBLE, .d = -0.0 }, "-0.0" },
		{ { .kind = CEL_DOUBLE, .d = 1e22 }, "1e+22" },
		{ { .kind = CEL_DOUBLE, .d = NAN }, "NaN" },
		{ { .kind = CEL_STRING, .n = 4, .s = "a\n\"\\" }, "\"a\\n\\\"\\\\\"" },
		{ { .kind = CEL_BYTES, .n = 3, .s = "a\xFF\"" }, "b\"a\\xff\\x22\"" },
		{ { .kind = CEL_TIMESTAMP, .i = 1, .n = 500000000 }, "timestamp(\"1970-01-01T00:00:01.5Z\")" },
		{ { .kind = CEL_DURATION, .i = -1500000000 }, "duration(\"-1.5s\")" },
		{ { .kind = CEL_LIST, .list = &list }, "[1, \"\\\"\"]" },
		{ { .kind = CEL_TYPE, .type = &cel_timestamp }, "google.protobuf.Timestamp" },
		{ { .kind = CEL_OPTIONAL, .some = &two[0] }, "optional.of(1)" },
		{ { .kind = CEL_OPTIONAL }, "optional.none()" },
	};
	struct buf b = BUF_INIT(1000);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_reset(&b);
		cel_value_print(cases[i].v, &b);
		assert_string_equal(b.data, cases[i].text);
	}
	buf_fini(&b);
}

/* Few lists that stand for 2^60 items are printed up to the ceiling, and no further. */
static void test_cel_value_prints_no_more_than_fits(void **state) {
	static struct cel_value items[61][2];
	static struct cel_list lists[61];
	struct buf b = BUF_INIT(10000);

	(void)state;
	items[0][0] = items[0][1] = cel_of_int(1);
	for (int i = 0; i < 61; i++) {
		lists[i] = (struct cel_list){ 2, items[i] };
		if (i < 60)
			items[i + 1][0] = items[i + 1][1] = cel_of_list(&lists[i]);
	}
	cel_value_print(cel_of_list(&lists[60]), &b);
	assert_false(buf_ok(&b));
	buf_fini(&b);
}

static void test_cel_value_writes_the_shortest_double(void **state) {
	static const struct {
		double d;
		const char *text;
	} cases[] = {
		{ 0.1, "0.1" }, { 123.456, "123.456" }, { -0.0045, "-0.0045" }, { 1e6, "1e+06" }, { 100000, "100000" },
		{ 1e-5, "1e-05" }, { 0.30000000000000004, "0.30000000000000004" }, { 5e-324, "5e-324" },
		{ 1.7976931348623157e308, "1.7976931348623157e+308" }, { 9007199254740993.0, "9.007199254740992e+15" }, { 123456.789, "123456.789" }, { 1234567.5, "1.2345675e+06" },
		{ 0, "0" }, { -0.0, "-0" }, { 0.0001, "0.0001" }, { -10, "-10" }, { 999999.9999999999, "999999.9999999999" }, { 2.5, "2.5" },
		{ INFINITY, "Infinity" }, { -INFINITY, "-Infinity" }, { -NAN, "NaN" },
	};
	char text[CEL_DOUBLE_TEXT];
	double back;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = cel_double_format(cases[i].d, text);

		assert_int_equal(n, strlen(text));
		assert_string_equal(text, cases[i].text);
		assert_true(cel_double_parse(str_of(text), &back));
		assert_true(back == cases[i].d || (isnan(back) && isnan(cases[i].d)));
	}
}

static void test_cel_value_reads_decimal_doubles_alone(void **state) {
	static const struct str bad[] = { STR(""), STR("."), STR("e1"), STR("1e"), STR("1e+"), STR("1.5.2"), STR("0x1"), STR(" 1"), STR("1 "),
					  STR("1f"), STR("infi"), STR("nan("), STR("+nan"), STR("--1"), STR("1e400"), STR("1_0"), STR("1\0") };
	static const struct str good[] = { STR("1"), STR("+1"), STR("-1."), STR(".5"), STR("1e5"), STR("1E-5"), STR("inf"), STR("-INF"), STR("NaN"),
					   STR("Infinity"), STR("1e-999") };
	double d;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (cel_double_parse(bad[i], &d))
			fail_msg("accepted '%s'", bad[i].p);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!cel_double_parse(good[i], &d))
			fail_msg("refused '%s'", good[i].p);
}

static void test_cel_value_counts_code_points(void **state) {
	static const char text[] = "a\xC3\xA9\xE2\x98\x83\xF0\x9F\x98\x80z";
	static const size_t offsets[] = { 0, 1, 3, 6, 10, 11, SIZE_MAX, SIZE_MAX };
	static const struct str bad[] = { STR("\xC3"), STR("\xC0\x80"), STR("\xED\xA0\x80"), STR("\xF4\x90\x80\x80"), STR("\x80"), STR("a\xFFz") };
	char out[4];
	unsigned n;

	(void)state;
	assert_int_equal(cel_utf8_count(text, sizeof(text) - 1), 5);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++)
		assert_true(cel_utf8_offset(text, sizeof(text) - 1, i) == offsets[i]);
	assert_true(cel_utf8_valid(text, sizeof(text) - 1));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(cel_utf8_valid(bad[i].p, bad[i].n));
	assert_int_equal(cel_utf8_prefix("a\xFFz", 3), 1);
	for (uint32_t c = 1; c <= 0x10FFFF; c += c < 0x900 ? 1 : 0x3F) {
		if (c >= 0xD800 && c <= 0xDFFF)
			continue;
		assert_true(cel_utf8_valid(out, cel_utf8_encode(c, out)));
		assert_int_equal(cel_utf8_decode(out, &n), c);
		assert_int_equal(n, cel_utf8_encode(c, out));
	}
}

static void test_cel_value_sets_find_what_lists_hold(void **state) {
	struct cel_value items[200];
	struct cel_list list = { 200, items };
	struct cel_arena arena;
	const struct cel_set *set;
	struct error err;

	(void)state;
	assert_int_equal(cel_arena_init(&arena, 1 << 16, 1 << 20, &err), 0);
	for (int i = 0; i < 200; i++)
		items[i] = i % 4 == 0 ? cel_of_int(i) : i % 4 == 1 ? cel_of_uint((uint64_t)i) : i % 4 == 2 ? cel_of_double(i)
									      : cel_of_string(&"abcdefghij"[i % 10], 1);
	set = cel_set_build(&arena, cel_of_list(&list));
	assert_non_null(set);
	for (int i = -10; i < 210; i++) {
		assert_int_equal(cel_set_has(set, cel_of_int(i)), i >= 0 && i < 200 && i % 4 != 3);
		assert_int_equal(cel_set_has(set, cel_of_double(i)), i >= 0 && i < 200 && i % 4 != 3);
		assert_false(cel_set_has(set, cel_of_double(i + 0.5)));
	}
	assert_true(cel_set_has(set, cel_of_string("d", 1)));
	assert_false(cel_set_has(set, cel_of_string("x", 1)));
	assert_false(cel_set_has(set, cel_of_double(NAN)));
	assert_false(cel_set_has(set, cel_of_list(&list)));
	items[100] = cel_of_null();
	assert_null(cel_set_build(&arena, cel_of_list(&list)));
	cel_arena_fini(&arena);
}

static void test_cel_value_arena_keeps_its_ceiling(void **state) {
	struct cel_arena arena;
	struct error err;
	size_t n = 0;
	char *p;

	(void)state;
	assert_int_equal(cel_arena_init(&arena, 100, 1000, &err), 0);
	assert_null(cel_arena_alloc(&arena, SIZE_MAX));
	assert_null(cel_arena_alloc(&arena, SIZE_MAX - 8));
	assert_null(cel_arena_alloc(&arena, 1001));
	assert_true(arena.failed);
	cel_arena_reset(&arena);
	assert_false(arena.failed);
	while ((p = cel_arena_alloc(&arena, 33))) {
		assert_int_equal((uintptr_t)p % 8, 0);
		memset(p, 0xA5, 33);
		n += 40;
	}
	assert_true(n >= 600 && n <= 1000 && arena.total <= 1000);
	cel_arena_reset(&arena);
	assert_int_equal(arena.total, 104);
	assert_non_null(cel_arena_alloc(&arena, 0));
	assert_non_null(cel_arena_alloc(&arena, 800));
	cel_arena_fini(&arena);
}

/* Under AddressSanitizer: running past an allocation, and using one after the reset, are seen. */
static void test_cel_value_arena_poisons_what_is_not_allocated(void **state) {
#ifdef CEL_ARENA_CHECKED
	struct cel_arena arena;
	struct error err;
	char *p, *q;

	(void)state;
	assert_int_equal(cel_arena_init(&arena, 1000, 1000, &err), 0);
	p = cel_arena_alloc(&arena, 10);
	q = cel_arena_alloc(&arena, 8);
	assert_false(__asan_address_is_poisoned(p + 9));
	assert_true(__asan_address_is_poisoned(p + 10));
	assert_false(__asan_address_is_poisoned(q + 7));
	assert_true(__asan_address_is_poisoned(q + 8));
	cel_arena_reset(&arena);
	assert_true(__asan_address_is_poisoned(p));
	cel_arena_fini(&arena);
#else
	(void)state;
	print_message("skipped: built without AddressSanitizer\n");
	skip();
#endif
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cel_value_orders_consistently),
		cmocka_unit_test(test_cel_value_compares_numbers_as_the_language_says),
		cmocka_unit_test(test_cel_value_looks_into_json),
		cmocka_unit_test(test_cel_value_prints_source),
		cmocka_unit_test(test_cel_value_prints_no_more_than_fits),
		cmocka_unit_test(test_cel_value_writes_the_shortest_double),
		cmocka_unit_test(test_cel_value_reads_decimal_doubles_alone),
		cmocka_unit_test(test_cel_value_counts_code_points),
		cmocka_unit_test(test_cel_value_sets_find_what_lists_hold),
		cmocka_unit_test(test_cel_value_arena_keeps_its_ceiling),
		cmocka_unit_test(test_cel_value_arena_poisons_what_is_not_allocated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
