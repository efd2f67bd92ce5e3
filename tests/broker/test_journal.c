/* journal: the bytes of headers and frames. What was written comes back; whatever else is there is noticed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "broker/audit/journal.h"
#include "broker/sha256.h"
#include "hallpass/cleanup.h"

static void put_be(uint8_t *p, unsigned bytes, uint64_t v) {
	while (bytes--) {
		p[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

/* Makes the hash right again, as one who wants to deceive us would. */
static void rehash(uint8_t *bytes, size_t n) {
	sha256(bytes, n - JOURNAL_HASH, bytes + n - JOURNAL_HASH);
}

/* --- headers */

static const struct journal_header header = {
	.why = JOURNAL_WHY_DEAD,
	.number = 7,
	.first_index = 0x1122334455667788,
	.realtime_ns = 1774000000123456789,
	.boottime_ns = -5,
	.predecessor = 6,
	.good_end = 524288,
	.hash = { 1, 2, 3, [31] = 255 },
	.reason = "cannot sync 000006.j: Input/output error",
};

static void test_journal_header_comes_back(void **state) {
	struct journal_header in = header, out;
	uint8_t page[JOURNAL_HEADER];

	(void)state;
	journal_header_write(&in, page);
	assert_memory_equal(page, "\xFFHPJRNL\n\0\0\0\1", 12);
	assert_int_equal(journal_header_read(page, &out), HEADER_GOOD);
	assert_int_equal(out.why, in.why);
	assert_int_equal(out.number, in.number);
	assert_int_equal(out.first_index, in.first_index);
	assert_int_equal(out.realtime_ns, in.realtime_ns);
	assert_int_equal(out.boottime_ns, in.boottime_ns);
	assert_int_equal(out.predecessor, in.predecessor);
	assert_int_equal(out.good_end, in.good_end);
	assert_memory_equal(out.hash, in.hash, JOURNAL_HASH);
	assert_string_equal(out.reason, in.reason);
	memset(in.reason, 'x', JOURNAL_REASON_MAX); /* the longest that fits */
	in.reason[JOURNAL_REASON_MAX] = '\0';
	journal_header_write(&in, page);
	assert_int_equal(journal_header_read(page, &out), HEADER_GOOD);
	assert_string_equal(out.reason, in.reason);
}

static void test_journal_header_notices_every_changed_byte(void **state) {
	uint8_t page[JOURNAL_HEADER];
	struct journal_header out;

	(void)state;
	journal_header_write(&header, page);
	for (size_t i = 0; i < sizeof(page); i++) {
		for (unsigned bit = 0; bit < 8; bit += 7) {
			page[i] ^= 1u << bit;
			if (journal_header_read(page, &out) != HEADER_BAD)
				fail_msg("byte %zu changed, and nobody noticed", i);
			page[i] ^= 1u << bit;
		}
	}
	assert_int_equal(journal_header_read(page, &out), HEADER_GOOD);
}

static void test_journal_header_of_zeros_is_a_spare(void **state) {
	uint8_t page[JOURNAL_HEADER] = { 0 };
	struct journal_header out;

	(void)state;
	assert_int_equal(journal_header_read(page, &out), HEADER_SPARE);
	page[JOURNAL_HEADER - 1] = 1;
	assert_int_equal(journal_header_read(page, &out), HEADER_BAD);
}

static void test_journal_header_with_a_right_hash_must_still_make_sense(void **state) {
	static const struct {
		unsigned at, bytes;
		uint64_t value;
	} cases[] = { { 8, 4, 2 }, { 0, 1, 'x' }, { 96, 2, JOURNAL_REASON_MAX + 1 }, { 96, 2, 65535 } };
	struct journal_header out;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t page[JOURNAL_HEADER];

		journal_header_write(&header, page);
		put_be(page + cases[i].at, cases[i].bytes, cases[i].value);
		rehash(page, sizeof(page));
		assert_int_equal(journal_header_read(page, &out), HEADER_BAD);
	}
}

/* --- frames */

static const uint8_t prev[JOURNAL_HASH] = { 9, 8, 7, [31] = 1 };
static uint8_t room[FRAME_MAX];

static uint32_t small_frame(void) {
	struct frame in = { .n = 3, .first_index = 41, .realtime_ns = 1774000000000000001, .boottime_ns = -1 };
	size_t len = 0;

	memset(room, 0, sizeof(room));
	len += frame_add(room + FRAME_HEAD, "{\"type\":\"intent\"}", 17);
	len += frame_add(room + FRAME_HEAD + len, "", 0);
	len += frame_add(room + FRAME_HEAD + len, "\xFFHPF", 4); /* looks like a frame, and is none */
	return frame_seal(room, len, &in, prev);
}

static enum frame_state parse(const uint8_t *p, size_t n) {
	struct frame frame;
	const char *why;
	enum frame_state state = frame_parse(p, n, &frame, &why);

	assert_true(state != FRAME_BAD || why);
	return state;
}

static void test_journal_frame_comes_back(void **state) {
	uint32_t len = small_frame();
	struct frame out;
	struct str entry;
	const char *why;

	(void)state;
	assert_int_equal(frame_parse(room, sizeof(room), &out, &why), FRAME_GOOD);
	assert_true(frame_magic(room));
	assert_int_equal(out.len, len);
	assert_int_equal(out.n, 3);
	assert_int_equal(out.first_index, 41);
	assert_int_equal(out.realtime_ns, 1774000000000000001);
	assert_int_equal(out.boottime_ns, -1);
	assert_memory_equal(out.prev, prev, JOURNAL_HASH);
	assert_ptr_equal(out.hash, room + len - JOURNAL_HASH);
	assert_int_equal(out.extension.n, 0);
	assert_true(frame_entry(&out.entries, &entry));
	assert_true(str_eq(entry, STR("{\"type\":\"intent\"}")));
	assert_true(frame_entry(&out.entries, &entry));
	assert_int_equal(entry.n, 0);
	assert_true(frame_entry(&out.entries, &entry));
	assert_true(str_eq(entry, STR("\xFFHPF")));
	assert_false(frame_entry(&out.entries, &entry));
}

static void test_journal_frame_notices_every_changed_byte(void **state) {
	uint32_t len = small_frame();

	(void)state;
	for (uint32_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			room[i] ^= 1u << bit;
			if (parse(room, sizeof(room)) == FRAME_GOOD)
				fail_msg("bit %u of byte %u changed, and nobody noticed", bit, i);
			room[i] ^= 1u << bit;
		}
	}
	assert_int_equal(parse(room, len), FRAME_GOOD);
}

/* What a crash leaves: sectors that were written and sectors that were not, in any combination. */
static void test_journal_frame_notices_every_sector_that_is_missing(void **state) {
	struct frame in = { .n = 1 };
	uint32_t len;

	(void)state;
	memset(room, 0, sizeof(room));
	memset(room + FRAME_HEAD + 2, 'a', 3000);
	put_be(room + FRAME_HEAD, 2, 3000);
	len = frame_seal(room, 3002, &in, prev);
	for (unsigned missing = 1; missing < 1u << (len / 512 + 1); missing++) {
		static uint8_t torn[FRAME_MAX];

		memcpy(torn, room, len);
		for (unsigned sector = 0; sector <= len / 512; sector++)
			if (missing & 1u << sector)
				memset(torn + 512 * (size_t)sector, 0, 512);
		assert_int_not_equal(parse(torn, sizeof(torn)), FRAME_GOOD);
	}
}

/* A frame that begins anywhere before the end of a page, and the next page is zeros yet: torn, and not a newer hallpass's. */
static void test_journal_frame_that_a_page_cuts_off_is_torn(void **state) {
	static uint8_t torn[FRAME_MAX];
	uint32_t len = small_frame();

	(void)state;
	for (uint32_t written = 1; written < len; written++) {
		memset(torn, 0, sizeof(torn));
		memcpy(torn, room, written);
		assert_int_equal(parse(torn, sizeof(torn)), FRAME_BAD);
	}
}

static void test_journal_frame_is_short_until_it_is_whole(void **state) {
	uint32_t len = small_frame();
	struct frame out;
	const char *why;

	(void)state;
	for (uint32_t n = 0; n < len; n++) {
		assert_int_equal(frame_parse(room, n, &out, &why), FRAME_SHORT);
		assert_int_equal(out.len, n < FRAME_HEAD ? FRAME_HEAD : len);
	}
	memset(room, 0, sizeof(room));
	assert_int_equal(parse(room, sizeof(room)), FRAME_NONE);
}

static void test_journal_frame_holds_the_largest_and_no_more(void **state) {
	static uint8_t text[UINT16_MAX];
	struct frame in = { .n = 0 }, out;
	struct str entry;
	const char *why;
	size_t len = 0;

	(void)state;
	memset(text, 'z', sizeof(text));
	while (len + 2 + sizeof(text) <= FRAME_MAX_BODY && ++in.n)
		len += frame_add(room + FRAME_HEAD + len, text, sizeof(text));
	frame_seal(room, len, &in, prev);
	assert_int_equal(frame_parse(room, sizeof(room), &out, &why), FRAME_GOOD);
	for (uint32_t i = 0; i < in.n; i++) {
		assert_true(frame_entry(&out.entries, &entry));
		assert_int_equal(entry.n, sizeof(text));
	}
	for (len = 0, in.n = 0; in.n < FRAME_MAX_ENTRIES; in.n++)
		len += frame_add(room + FRAME_HEAD + len, "x", 1);
	frame_seal(room, len, &in, prev);
	assert_int_equal(parse(room, sizeof(room)), FRAME_GOOD);
}

static void test_journal_frame_with_a_right_hash_must_still_make_sense(void **state) {
	static const struct {
		const char *what;
		unsigned at, bytes;
		uint64_t value;
		enum frame_state state;
	} cases[] = {
		{ "another version", 4, 1, 2, FRAME_UNKNOWN },
		{ "a flag", 5, 1, 1, FRAME_BAD },
		{ "not zero", 6, 2, 1, FRAME_BAD },
		{ "longer than its parts", 8, 4, 200, FRAME_BAD },
		{ "no entries", 12, 4, 0, FRAME_BAD },
		{ "too many entries", 12, 4, FRAME_MAX_ENTRIES + 1, FRAME_BAD },
		{ "fewer entries than there are", 12, 4, 2, FRAME_BAD },
		{ "more entries than there are", 12, 4, 4, FRAME_BAD },
		{ "an index that overflows", 16, 8, UINT64_MAX - 2, FRAME_BAD },
		{ "entries past all bounds", 72, 4, UINT32_MAX, FRAME_BAD },
		{ "an extension past all bounds", 76, 4, UINT32_MAX, FRAME_BAD },
		{ "an entry past the end", FRAME_HEAD, 2, 18, FRAME_BAD },
		{ "no magic", 0, 1, 'x', FRAME_BAD },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t len = small_frame();

		put_be(room + cases[i].at, cases[i].bytes, cases[i].value);
		rehash(room, len);
		if (parse(room, sizeof(room)) != cases[i].state)
			fail_msg("%s", cases[i].what);
	}
}

static void test_journal_frame_may_have_an_extension(void **state) {
	static const uint8_t extension[] = { 0, 1, 0, 4, 'r', 'o', 'o', 't' };
	uint32_t len = small_frame();
	size_t end = len - JOURNAL_HASH;
	struct frame out;
	const char *why;

	(void)state;
	memcpy(room + end, extension, sizeof(extension));
	put_be(room + 8, 4, len + sizeof(extension));
	put_be(room + 76, 4, sizeof(extension));
	rehash(room, len + sizeof(extension));
	assert_int_equal(frame_parse(room, sizeof(room), &out, &why), FRAME_GOOD);
	assert_int_equal(out.n, 3);
	assert_int_equal(out.extension.n, sizeof(extension));
	assert_memory_equal(out.extension.p, extension, sizeof(extension));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_journal_header_comes_back),
		cmocka_unit_test(test_journal_header_notices_every_changed_byte),
		cmocka_unit_test(test_journal_header_of_zeros_is_a_spare),
		cmocka_unit_test(test_journal_header_with_a_right_hash_must_still_make_sense),
		cmocka_unit_test(test_journal_frame_comes_back),
		cmocka_unit_test(test_journal_frame_notices_every_changed_byte),
		cmocka_unit_test(test_journal_frame_notices_every_sector_that_is_missing),
		cmocka_unit_test(test_journal_frame_that_a_page_cuts_off_is_torn),
		cmocka_unit_test(test_journal_frame_is_short_until_it_is_whole),
		cmocka_unit_test(test_journal_frame_holds_the_largest_and_no_more),
		cmocka_unit_test(test_journal_frame_with_a_right_hash_must_still_make_sense),
		cmocka_unit_test(test_journal_frame_may_have_an_extension),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
