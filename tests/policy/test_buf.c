/* buf: growth, the ceiling, JSON strings, times. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "hallpass/ascii.h"
#include "hallpass/buf.h"
#include "hallpass/cleanup.h"

static void test_buf_loses_nothing_silently(void **state) {
	struct buf b = BUF_INIT(10);

	(void)state;
	buf_adds(&b, "0123456789");
	assert_true(buf_ok(&b));
	buf_addc(&b, 'x');
	assert_false(buf_ok(&b));
	assert_null(buf_take(&b));
	buf_adds(&b, "again");
	assert_true(buf_ok(&b));
	buf_fini(&b);
}

static void test_buf_escapes_json(void **state) {
	static const struct {
		struct str in;
		const char *out;
	} cases[] = {
		{ STR("plain"), "\"plain\"" },
		{ STR("q\"b\\n\n\x01\x7f"), "\"q\\\"b\\\\n\\n\\u0001\\u007f\"" },
		{ STR("gr\xC3\xBC\xC3\x9F"), "\"gr\xC3\xBC\xC3\x9F\"" },
		{ STR("bad\xC3("), "\"bad\xEF\xBF\xBD(\"" },
		{ STR("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
		{ STR("nul\0nul"), "\"nul\\u0000nul\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = BUF_INIT(1000);

		buf_add_json(&b, cases[i].in.p, cases[i].in.n);
		assert_string_equal(b.data, cases[i].out);
		buf_fini(&b);
	}
}

/* Eight bytes are looked at together: each byte in each place must come out as it does alone. */
static void test_buf_escapes_each_byte_wherever_it_stands(void **state) {
	struct buf alone = BUF_INIT(100), among = BUF_INIT(200), expected = BUF_INIT(200);

	(void)state;
	for (int c = 0; c < 256; c++) {
		for (size_t at = 0; at < 20; at++) {
			char text[20];

			memset(text, 'a', sizeof(text));
			text[at] = (char)c;
			buf_reset(&alone), buf_reset(&among), buf_reset(&expected);
			buf_add_json(&alone, text + at, 1);
			buf_add_json(&among, text, sizeof(text));
			buf_addf(&expected, "\"%.*s%.*s%.*s\"", (int)at, text, (int)alone.len - 2, alone.data + 1, (int)(19 - at),
				 "aaaaaaaaaaaaaaaaaaa");
			assert_string_equal(among.data, expected.data);
		}
	}
	buf_fini(&alone), buf_fini(&among), buf_fini(&expected);
}

static void test_buf_prints_times(void **state) {
	static const struct {
		int64_t s;
		const char *out;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00Z" },		    { 951782400, "2000-02-29T00:00:00Z" },
		{ 1795532645, "2026-11-24T15:04:05Z" },	    { -1, "1969-12-31T23:59:59Z" },
		{ 253402300799, "9999-12-31T23:59:59Z" },   { -62135596800, "0001-01-01T00:00:00Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = BUF_INIT(100);

		buf_add_time(&b, cases[i].s);
		assert_string_equal(b.data, cases[i].out);
		buf_fini(&b);
	}
}

static void test_buf_prints_numbers_and_starts_over(void **state) {
	static const char all[] = "-9223372036854775808 9223372036854775807 18446744073709551615 0 -1";
	struct buf b = BUF_INIT(100);

	(void)state;
	buf_reset(&b); /* nothing is there yet */
	for (int round = 0; round < 2; round++) {
		buf_addi(&b, INT64_MIN);
		buf_addc(&b, ' ');
		buf_addi(&b, INT64_MAX);
		buf_addc(&b, ' ');
		buf_addu(&b, UINT64_MAX);
		buf_addc(&b, ' ');
		buf_addu(&b, 0);
		buf_addc(&b, ' ');
		buf_addi(&b, -1);
		assert_string_equal(b.data, all);
		buf_reset(&b);
		assert_string_equal(b.data, "");
	}
	for (int i = 0; i < 101; i++)
		buf_addc(&b, 'x');
	assert_false(buf_ok(&b));
	buf_reset(&b);
	assert_true(buf_ok(&b));
	buf_fini(&b);
}

/* Each byte at each place of texts of each length: the fast way and one by one say the same. */
static void test_buf_finds_plain_text_wherever_it_ends(void **state) {
	char text[50];

	(void)state;
	for (size_t n = 0; n <= sizeof(text); n++) {
		for (size_t at = 0; at < n; at++) {
			for (int c = -128; c < 128; c++) {
				memset(text, 'a', sizeof(text));
				text[at] = (char)c;
				assert_int_equal(ascii_run(text, n, false), c >= 0x20 && c < 0x7F ? n : at);
				assert_int_equal(ascii_run(text, n, true),
						 c >= 0x20 && c < 0x7F && c != '"' && c != '\\' ? n : at);
			}
		}
		memset(text, ' ', sizeof(text));
		assert_int_equal(ascii_run(text, n, true), n);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_prints_numbers_and_starts_over),
		cmocka_unit_test(test_buf_loses_nothing_silently),
		cmocka_unit_test(test_buf_escapes_json),
		cmocka_unit_test(test_buf_escapes_each_byte_wherever_it_stands),
		cmocka_unit_test(test_buf_prints_times),
		cmocka_unit_test(test_buf_finds_plain_text_wherever_it_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
