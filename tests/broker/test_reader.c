/* reader: every record in order, and following a log that is being written, whatever the disk does to it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/audit/reader.h"
#include "tests/lib/journaldir.h"

static struct journaldir d;
static struct scan_position at;
static struct audit_reader *reader;

static int setup(void **state) {
	(void)state;
	at = (struct scan_position){ 0 };
	reader = NULL;
	journaldir_make(&d);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	audit_reader_free(reader);
	journaldir_remove(&d);
	return 0;
}

static void open_reader(void) {
	struct error err = { 0 };

	if (audit_reader_open(d.path, &reader, &err) < 0)
		fail_msg("%s", err.message);
}

static void assert_next(const char *text, uint64_t number) {
	struct error err = { 0 };
	struct str record;
	uint64_t index;

	assert_int_equal(audit_reader_next(reader, &record, &index, &err), 1);
	assert_true(str_eq(record, str_of(text)));
	assert_int_equal(index, number);
}

static void assert_end(void) {
	struct error err = { 0 };
	struct str record;
	uint64_t index;

	for (int i = 0; i < 2; i++)
		if (audit_reader_next(reader, &record, &index, &err) != 0)
			fail_msg("not the end: %s", err.message);
}

static void test_reader_says_where_there_is_no_log(void **state) {
	struct error err = { 0 };

	(void)state;
	assert_int_equal(audit_reader_open("/nowhere", &reader, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.message, "/nowhere/journal"));
	open_reader();
	assert_end();
}

static void test_reader_follows_frames_and_segments(void **state) {
	(void)state;
	open_reader();
	assert_end();
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	assert_end();
	journaldir_frame(&d, &at, "a|b");
	assert_next("a", 0);
	journaldir_frame(&d, &at, "c");
	assert_next("b", 1);
	assert_next("c", 2);
	assert_end();
	journaldir_blank(&d, 2, JD_SEGMENT); /* a spare is no successor yet */
	assert_end();
	journaldir_segment(&d, &at, 2, JOURNAL_WHY_FULL);
	journaldir_frame(&d, &at, "d");
	journaldir_segment(&d, &at, 3, JOURNAL_WHY_FULL);
	journaldir_frame(&d, &at, "e|");
	assert_next("d", 3);
	assert_next("e", 4);
	assert_next("", 5);
	assert_end();
}

/* Half of a frame is on disk when the reader looks. */
static void test_reader_waits_for_a_frame_to_be_whole(void **state) {
	static const uint8_t zeros[64];
	struct scan_position begin;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	begin = at;
	journaldir_frame(&d, &at, "whole at last");
	journaldir_poke(&d, 1, at.offset - sizeof(zeros), zeros, sizeof(zeros));
	open_reader();
	assert_end();
	at = begin;
	journaldir_frame(&d, &at, "whole at last");
	assert_next("whole at last", 0);
	assert_end();
}

/* The frame was written, its sync failed: it is written again elsewhere, with the same numbers. */
static void test_reader_gives_refused_records_once_more(void **state) {
	struct scan_position good;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "a");
	good = at;
	journaldir_frame(&d, &at, "b|c");
	open_reader();
	assert_next("a", 0);
	assert_next("b", 1);
	assert_next("c", 2);
	assert_end();
	at = good;
	journaldir_segment(&d, &at, 2, JOURNAL_WHY_DEAD);
	journaldir_frame(&d, &at, "b|c");
	journaldir_frame(&d, &at, "d");
	assert_next("b", 1);
	assert_next("c", 2);
	assert_next("d", 3);
	assert_end();
}

/* A segment was begun, and died with its first frame; another one takes its place. */
static void test_reader_leaves_a_segment_that_was_tried_in_vain(void **state) {
	struct scan_position good;

	(void)state;
	for (uint64_t base = 0; base < 2; base++) { /* at the very beginning of a log, and later */
		uint64_t first = base * 10 + 1;

		good = at;
		journaldir_segment(&d, &at, first, JOURNAL_WHY_START);
		if (!reader)
			open_reader();
		assert_end();
		journaldir_frame(&d, &at, "tried");
		assert_next("tried", base * 2);
		assert_end();
		at = good;
		journaldir_segment(&d, &at, first + 1, JOURNAL_WHY_DEAD);
		assert_end();
		journaldir_frame(&d, &at, "tried");
		assert_next("tried", base * 2);
		journaldir_frame(&d, &at, "more");
		assert_next("more", base * 2 + 1);
		assert_end();
	}
}

static void test_reader_stops_at_damage_and_says_where(void **state) {
	struct error err = { 0 };
	struct str record;
	uint64_t index, second;
	char where[64];

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "a");
	second = at.offset;
	journaldir_frame(&d, &at, "b");
	journaldir_segment(&d, &at, 2, JOURNAL_WHY_FULL);
	journaldir_frame(&d, &at, "c");
	journaldir_flip(&d, 1, second + FRAME_HEAD + 2);
	open_reader();
	assert_next("a", 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(audit_reader_next(reader, &record, &index, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		snprintf(where, sizeof(where), "000001.j at byte %llu: ", (unsigned long long)second);
		assert_non_null(strstr(err.message, where));
	}
}

/* Nothing says that there was more once the header of the last segment is gone: its records must. */
static void test_reader_misses_a_segment_whose_header_is_damaged(void **state) {
	static const uint8_t zeros[JOURNAL_HEADER];
	struct error err = { 0 };

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "a");
	journaldir_blank(&d, 2, JD_SEGMENT);
	open_reader();
	assert_next("a", 0);
	assert_end();
	assert_int_equal(audit_reader_check_end(reader, &err), 0); /* the spare holds none */
	journaldir_segment(&d, &at, 3, JOURNAL_WHY_FULL);
	journaldir_frame(&d, &at, "b");
	journaldir_flip(&d, 3, 20);
	assert_end();
	assert_int_equal(audit_reader_check_end(reader, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.message, "000003.j at byte 0: the header is damaged, and records are behind it"));
	journaldir_flip(&d, 3, 20);
	assert_next("b", 1);
	audit_reader_free(reader);
	journaldir_poke(&d, 3, 0, zeros, sizeof(zeros));
	open_reader();
	assert_next("a", 0);
	assert_end();
	assert_int_equal(audit_reader_check_end(reader, &err), -1);
	assert_non_null(strstr(err.message, "000003.j at byte 0: the header is blank, and records are behind it"));
}

/* More than one window of the scan, and frames across its edges. */
static void test_reader_reads_large_frames(void **state) {
	static char text[60001];

	(void)state;
	memset(text, 'q', sizeof(text) - 1);
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	for (uint64_t number = 2; at.next_index < 40; ) {
		if (at.offset + 70000 > JD_SEGMENT)
			journaldir_segment(&d, &at, number++, JOURNAL_WHY_FULL);
		journaldir_frame(&d, &at, text);
	}
	open_reader();
	for (uint64_t i = 0; i < 40; i++)
		assert_next(text, i);
	assert_end();
}

#define READER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		READER(test_reader_says_where_there_is_no_log),
		READER(test_reader_follows_frames_and_segments),
		READER(test_reader_waits_for_a_frame_to_be_whole),
		READER(test_reader_gives_refused_records_once_more),
		READER(test_reader_leaves_a_segment_that_was_tried_in_vain),
		READER(test_reader_stops_at_damage_and_says_where),
		READER(test_reader_misses_a_segment_whose_header_is_damaged),
		READER(test_reader_reads_large_frames),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
