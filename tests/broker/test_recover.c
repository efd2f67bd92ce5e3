/* recover: what is found in the directory at start. What a crash can leave is gone on from; damage refuses, with file, offset and remedy. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/audit/recover.h"
#include "hallpass/cleanup.h"
#include "tests/lib/journaldir.h"

#define TIME ",\"time\":\"2026-03-20T12:00:00.007Z\""
#define INTENT(flight) "{\"type\":\"intent\"" TIME ",\"flight\":\"" flight "\"}"
#define OUTCOME(type, flight) "{\"type\":\"" type "\"" TIME ",\"flight\":\"" flight "\"}"
#define LATE(indices) "{\"type\":\"late\"" TIME ",\"indices\":[" indices "]}"

static struct journaldir d;
static struct scan_position at;

static int setup(void **state) {
	(void)state;
	at = (struct scan_position){ 0 };
	journaldir_make(&d);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	journaldir_remove(&d);
	return 0;
}

static void recovers(struct recovery *out) {
	struct error err = { 0 };

	if (recover(&d.dir, JD_SEGMENT, out, &err) < 0)
		fail_msg("%s", err.message);
}

/* Refuses, twice the same (nothing was changed), and says all of `words`. */
static void refuses(const char *const *words, size_t n) {
	for (int i = 0; i < 2; i++) {
		struct recovery recovery;
		struct error err = { 0 };

		assert_int_equal(recover(&d.dir, JD_SEGMENT, &recovery, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		if (!i)
			print_message("%s\n", err.message);
		for (size_t w = 0; w < n; w++)
			if (!strstr(err.message, words[w]))
				fail_msg("\"%s\" does not stand in: %s", words[w], err.message);
		assert_non_null(strstr(err.message, "restore the file from a backup, or move the directory away"));
		assert_non_null(strstr(err.message, d.journal));
		recovery_fini(&recovery);
	}
}
#define REFUSES(...) refuses((const char *const[]){ __VA_ARGS__ }, ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ })))

static char *words(const char *fmt, unsigned long long n) {
	static char text[2][64];
	static unsigned i;

	i = !i;
	snprintf(text[i], sizeof(text[i]), fmt, n);
	return text[i];
}

static void assert_position(const struct scan_position *a, const struct scan_position *b) {
	assert_int_equal(a->segment, b->segment);
	assert_int_equal(a->offset, b->offset);
	assert_int_equal(a->next_index, b->next_index);
	assert_memory_equal(a->hash, b->hash, JOURNAL_HASH);
}

/* Goes on from exactly `at`, with so much torn, in this segment. */
static void assert_goes_on(uint64_t torn, uint64_t torn_segment, uint64_t next_number) {
	for (int i = 0; i < 2; i++) { /* and a second time, for looking changes nothing */
		struct recovery recovery;

		recovers(&recovery);
		assert_position(&recovery.at, &at);
		assert_int_equal(recovery.torn, torn);
		if (torn)
			assert_int_equal(recovery.torn_segment, torn_segment);
		assert_int_equal(recovery.next_number, next_number);
		recovery_fini(&recovery);
	}
}

static void test_recover_of_nothing_begins_a_log(void **state) {
	struct recovery recovery;

	(void)state;
	recovers(&recovery);
	assert_int_equal(recovery.at.segment, 0);
	assert_int_equal(recovery.next_number, 1);
	assert_int_equal(recovery.spare.fd, -1);
	assert_true(TAILQ_EMPTY(&recovery.open));
	recovery_fini(&recovery);
}

static void test_recover_goes_on_behind_the_last_frame(void **state) {
	struct recovery recovery;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	assert_goes_on(0, 0, 2);
	at.last_ns = 1774000000000000000;
	journaldir_frame(&d, &at, "a|b|c");
	at.last_ns -= 1000; /* a clock that went back does not count */
	journaldir_frame(&d, &at, "d");
	assert_goes_on(0, 0, 2);
	journaldir_segment(&d, &at, 2, JOURNAL_WHY_FULL);
	journaldir_frame(&d, &at, "e");
	assert_goes_on(0, 0, 3);
	recovers(&recovery);
	assert_int_equal(recovery.at.last_ns, 1774000000000000000);
	recovery_fini(&recovery);
}

/* A frame of which a crash left only some bytes, however few or many. */
static void test_recover_does_not_count_a_torn_tail_and_reports_it(void **state) {
	static const uint8_t zeros[512];
	struct scan_position good;
	struct recovery recovery;
	uint64_t len = 2;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "kept");
	good = at;
	for (uint64_t whole = 1; whole < len; whole += 7) {
		at = good;
		journaldir_frame(&d, &at, "torn one|torn two");
		len = at.offset - good.offset;
		journaldir_poke(&d, 1, good.offset + whole, zeros, len - whole);
		recovers(&recovery);
		assert_position(&recovery.at, &good);
		assert_in_range(recovery.torn, 1, whole); /* zeros at the end of what was written are not told from the rest */
		assert_int_equal(recovery.torn_segment, 1);
		recovery_fini(&recovery);
	}
}

/* Crash, start, crash before the start's first record, as often as one likes: the tail is still told of. */
static void test_recover_reports_a_torn_tail_until_a_record_did(void **state) {
	static const char torn[] = "\xFFHPF and no more";
	uint64_t n = sizeof(torn) - 1;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "kept");
	journaldir_poke(&d, 1, at.offset, torn, n);
	/* "\xFFHPF" followed by a space is no version of ours: text in that place would be taken for a newer hallpass. */
	journaldir_poke(&d, 1, at.offset + 4, "\1", 1);
	assert_goes_on(n, 1, 2);
	journaldir_segment(&d, &at, 2, JOURNAL_WHY_START);
	assert_goes_on(n, 1, 3);
	journaldir_segment(&d, &at, 3, JOURNAL_WHY_START);
	assert_goes_on(n, 1, 4);
	journaldir_frame(&d, &at, "told");
	assert_goes_on(0, 0, 4);
}

static void test_recover_refuses_a_bad_frame_before_good_ones(void **state) {
	static const struct {
		const char *what;
		uint64_t byte; /* of the second frame */
	} cases[] = { { "magic", 0 }, { "length", 9 }, { "index", 16 }, { "previous hash", 40 }, { "text", FRAME_HEAD + 4 }, { "hash", FRAME_HEAD + 8 + 5 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t second;

		at = (struct scan_position){ 0 };
		journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
		journaldir_frame(&d, &at, "first");
		second = at.offset;
		journaldir_frame(&d, &at, "second");
		journaldir_frame(&d, &at, "third");
		assert_goes_on(0, 0, 2);
		journaldir_flip(&d, 1, second + cases[i].byte);
		print_message("%s: ", cases[i].what);
		REFUSES("000001.j", words("at byte %llu", second));
		journaldir_truncate(&d, 1, 0);
	}
}

static void test_recover_refuses_zeros_before_good_frames(void **state) {
	static const uint8_t zeros[4096];
	uint64_t second, third;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "first");
	second = at.offset;
	journaldir_frame(&d, &at, "second");
	third = at.offset;
	journaldir_frame(&d, &at, "third");
	journaldir_poke(&d, 1, second, zeros, third - second);
	REFUSES("000001.j", words("at byte %llu", second), words("a good one behind it at byte %llu", third));
}

static void test_recover_refuses_a_frame_that_does_not_chain(void **state) {
	struct scan_position other;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "first");
	other = at;
	other.hash[0] ^= 1;
	journaldir_frame(&d, &other, "of another log");
	REFUSES("000001.j", words("at byte %llu", at.offset), "does not chain");
	other = at;
	other.next_index++;
	journaldir_frame(&d, &other, "skips one");
	REFUSES("000001.j", "first index does not follow");
}

static void test_recover_refuses_a_frame_of_a_version_that_it_does_not_know(void **state) {
	struct scan_position good;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	good = at;
	journaldir_frame(&d, &at, "written by a newer one");
	journaldir_poke(&d, 1, good.offset + 4, "\2", 1);
	REFUSES("000001.j", words("at byte %llu", good.offset), "version");
}

/* Three segments with frames, then something happens to one of them. */
static void three_segments(void) {
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "one");
	journaldir_segment(&d, &at, 2, JOURNAL_WHY_FULL);
	journaldir_frame(&d, &at, "two");
	journaldir_segment(&d, &at, 3, JOURNAL_WHY_FULL);
	journaldir_frame(&d, &at, "three");
	assert_goes_on(0, 0, 4);
}

static void test_recover_refuses_a_missing_segment(void **state) {
	(void)state;
	three_segments();
	assert_int_equal(unlinkat(d.dir.fd, "000002.j", 0), 0);
	REFUSES("000003.j goes on from 000002.j, which is missing");
	assert_int_equal(unlinkat(d.dir.fd, "000001.j", 0), 0);
	REFUSES("000003.j goes on from 000002.j, which is missing");
}

static void test_recover_refuses_a_damaged_header(void **state) {
	(void)state;
	three_segments();
	journaldir_flip(&d, 2, 20); /* in the middle: the chain ends before */
	REFUSES("000003.j goes on from 000002.j");
	journaldir_flip(&d, 2, 20);
	assert_goes_on(0, 0, 4);
	journaldir_flip(&d, 3, 20); /* the last: its records would be lost */
	REFUSES("000003.j at byte 0: the header is damaged");
}

/* As a spare it would be written over. */
static void test_recover_refuses_a_header_that_was_blanked(void **state) {
	static const uint8_t zeros[JOURNAL_HEADER];

	(void)state;
	three_segments();
	journaldir_poke(&d, 3, 0, zeros, sizeof(zeros));
	REFUSES("000003.j at byte 0: the header is blank, and records are behind it");
}

static void test_recover_refuses_a_truncated_segment(void **state) {
	(void)state;
	three_segments();
	journaldir_truncate(&d, 1, JOURNAL_HEADER + 10);
	REFUSES("000001.j", words("at byte %llu", JOURNAL_HEADER), "the file ends inside a frame");
	journaldir_truncate(&d, 1, 0);
	REFUSES("goes on from 00000");
	assert_int_equal(unlinkat(d.dir.fd, "000001.j", 0), 0);
	assert_int_equal(unlinkat(d.dir.fd, "000002.j", 0), 0);
	journaldir_truncate(&d, 3, 0);
	REFUSES("000003.j at byte 0: the header is damaged, and the file was truncated");
}

static void test_recover_refuses_a_replaced_segment(void **state) {
	struct scan_position other = { 0 };

	(void)state;
	three_segments();
	journaldir_segment(&d, &other, 2, JOURNAL_WHY_START); /* of another log, that began with it */
	journaldir_frame(&d, &other, "forged");
	REFUSES("00000");
	other = (struct scan_position){ .segment = 1, .offset = at.offset, .next_index = 1 };
	journaldir_segment(&d, &other, 2, JOURNAL_WHY_FULL); /* claims to go on, from another frame */
	journaldir_frame(&d, &other, "forged");
	REFUSES("00000");
}

/* A chain that is right in itself is not the one that its successor goes on from. */
static void test_recover_refuses_a_frame_rewritten_under_a_successor(void **state) {
	struct scan_position before, forged;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "one");
	before = at;
	journaldir_frame(&d, &at, "two");
	journaldir_segment(&d, &at, 2, JOURNAL_WHY_FULL); /* nothing stands in it yet */
	assert_goes_on(0, 0, 3);
	forged = before;
	journaldir_frame(&d, &forged, "2nd"); /* of the same length */
	REFUSES("000002.j does not go on where 000001.j ends (record 2)");
	forged = before;
	journaldir_frame(&d, &forged, "two");
	assert_goes_on(0, 0, 3);
}

static void test_recover_refuses_a_segment_under_another_number(void **state) {
	(void)state;
	three_segments();
	assert_int_equal(renameat(d.dir.fd, "000003.j", d.dir.fd, "000004.j"), 0);
	REFUSES("000004.j at byte 0: the header is damaged");
	assert_int_equal(renameat(d.dir.fd, "000004.j", d.dir.fd, "000003.j"), 0);
	assert_goes_on(0, 0, 4);
}

/* A second beginning must not hide the log that is there. */
static void test_recover_refuses_another_log_in_the_same_directory(void **state) {
	struct scan_position other = { 0 };

	(void)state;
	three_segments();
	journaldir_segment(&d, &other, 9, JOURNAL_WHY_START);
	journaldir_frame(&d, &other, "forged");
	REFUSES("goes on from 00000");
}

static void test_recover_takes_the_last_that_was_tried(void **state) {
	struct scan_position end, tried;
	char *text;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "one");
	end = tried = at;
	journaldir_frame(&d, &tried, "refused, and on disk all the same"); /* behind the good end */
	for (uint64_t number = 2; number <= 3; number++) {
		tried = end;
		journaldir_segment(&d, &tried, number, JOURNAL_WHY_DEAD);
		journaldir_frame(&d, &tried, "refused too");
	}
	at = end;
	journaldir_segment(&d, &at, 4, JOURNAL_WHY_DEAD);
	journaldir_frame(&d, &at, "counts");
	assert_goes_on(0, 0, 5);
	text = journaldir_read(d.path);
	assert_string_equal(text, "one|counts");
	free(text);
}

/* --- what lies behind the chain */

static void test_recover_keeps_one_spare_and_tidies_up(void **state) {
	struct recovery recovery;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "one");
	journaldir_blank(&d, 2, JD_SEGMENT * 2); /* of another size */
	journaldir_blank(&d, 3, JD_SEGMENT);
	journaldir_blank(&d, 4, JD_SEGMENT);
	journaldir_blank(&d, 5, JD_SEGMENT);
	journaldir_poke(&d, 5, 0, "\xFFHPJRNL\n torn", 13); /* its header was being written */
	assert_int_equal(renameat(d.dir.fd, "000004.j", d.dir.fd, "000004.new"), 0);
	recovers(&recovery);
	assert_position(&recovery.at, &at);
	assert_int_equal(recovery.spare.number, 3);
	assert_int_equal(recovery.spare.size, JD_SEGMENT);
	assert_true(recovery.spare.fd >= 0);
	assert_int_equal(recovery.next_number, 6);
	assert_false(journaldir_has(&d, "000002.j"));
	assert_true(journaldir_has(&d, "000003.j"));
	assert_false(journaldir_has(&d, "000004.new"));
	assert_false(journaldir_has(&d, "000005.j"));
	recovery_fini(&recovery);
	recovers(&recovery);
	assert_int_equal(recovery.spare.number, 3);
	recovery_fini(&recovery);
}

static void test_recover_leaves_files_of_others_alone(void **state) {
	static const char *const names[] = { "README", "1.j", "0000001.j", "000000.j", "000001.j.bak", "x000001.j", "99999999999999999999.j" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[160];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", d.journal, names[i]);
		f = fopen(path, "w");
		assert_non_null(f);
		fclose(f);
	}
	assert_goes_on(0, 0, 1);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_true(journaldir_has(&d, names[i]));
}

/* --- open intents */

static void assert_open(const char *expected) {
	struct recovery recovery;
	struct open_intent *intent;
	char text[200] = "";

	recovers(&recovery);
	TAILQ_FOREACH(intent, &recovery.open, in_order) {
		strncat(text, " ", sizeof(text) - strlen(text) - 1);
		strncat(text, intent->flight.p, intent->flight.n);
	}
	assert_string_equal(text, expected);
	recovery_fini(&recovery);
}

static void test_recover_finds_intents_without_an_outcome_once_each(void **state) {
	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, INTENT("a") "|" INTENT("b"));
	assert_open(" a b");
	journaldir_frame(&d, &at, OUTCOME("issued", "a") "|" INTENT("c") "|" INTENT("d") "|" INTENT("e") "|" INTENT("f"));
	assert_open(" b c d e f");
	journaldir_segment(&d, &at, 2, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, OUTCOME("unknown", "b"));
	journaldir_frame(&d, &at, OUTCOME("failed", "c") "|" OUTCOME("issued", "d"));
	assert_open(" e f");
	journaldir_frame(&d, &at, OUTCOME("issued", "nobody's") "|" OUTCOME("issued", "e") "|" OUTCOME("issued", "e"));
	assert_open(" f");
	journaldir_frame(&d, &at, "no JSON at all|{\"type\":\"start\"" TIME "}");
	assert_open(" f");
}

/* A client that left takes no flight with it: the token may have been minted before the crash, and nobody would know. */
static void test_P1_recover_does_not_take_a_client_that_left_for_an_outcome(void **state) {
	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, INTENT("a") "|" INTENT("b") "|" OUTCOME("abandoned", "a") "|" OUTCOME("abandoned", "b"));
	assert_open(" a b");
	journaldir_frame(&d, &at, OUTCOME("issued", "b"));
	assert_open(" a");
}

/* Found by fuzz_journal: nothing of ours writes that, and it must not lead out of the record's memory. */
static void test_recover_copes_with_a_NUL_in_an_intent(void **state) {
	static const char intent[] = "{\"type\":\"intent\",\"time\":\"\0\",\"flight\":\"far behind it\"}";
	struct frame frame = { .n = 1 };
	uint8_t bytes[512];
	size_t len;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	len = frame_add(bytes + FRAME_HEAD, intent, sizeof(intent) - 1);
	len = frame_seal(bytes, len, &frame, at.hash);
	journaldir_poke(&d, 1, at.offset, bytes, len);
	assert_open(" far behind it");
}

/* Late: refused before it was durable, so Google was not asked. */
static void test_recover_does_not_count_late_intents(void **state) {
	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, INTENT("a") "|" INTENT("b") "|" INTENT("c"));
	journaldir_frame(&d, &at, LATE("0,2,77"));
	assert_open(" b");
	journaldir_frame(&d, &at, LATE("\"1\"") "|" LATE("-1") "|{\"type\":\"late\",\"indices\":7}|{\"type\":\"late\"");
	assert_open(" b");
}

#define RECOVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		RECOVER(test_recover_of_nothing_begins_a_log),
		RECOVER(test_recover_goes_on_behind_the_last_frame),
		RECOVER(test_recover_does_not_count_a_torn_tail_and_reports_it),
		RECOVER(test_recover_reports_a_torn_tail_until_a_record_did),
		RECOVER(test_recover_refuses_a_bad_frame_before_good_ones),
		RECOVER(test_recover_refuses_zeros_before_good_frames),
		RECOVER(test_recover_refuses_a_frame_that_does_not_chain),
		RECOVER(test_recover_refuses_a_frame_of_a_version_that_it_does_not_know),
		RECOVER(test_recover_refuses_a_missing_segment),
		RECOVER(test_recover_refuses_a_damaged_header),
		RECOVER(test_recover_refuses_a_header_that_was_blanked),
		RECOVER(test_recover_refuses_a_truncated_segment),
		RECOVER(test_recover_refuses_a_replaced_segment),
		RECOVER(test_recover_refuses_a_frame_rewritten_under_a_successor),
		RECOVER(test_recover_refuses_a_segment_under_another_number),
		RECOVER(test_recover_refuses_another_log_in_the_same_directory),
		RECOVER(test_recover_takes_the_last_that_was_tried),
		RECOVER(test_recover_keeps_one_spare_and_tidies_up),
		RECOVER(test_recover_leaves_files_of_others_alone),
		RECOVER(test_recover_finds_intents_without_an_outcome_once_each),
		RECOVER(test_P1_recover_does_not_take_a_client_that_left_for_an_outcome),
		RECOVER(test_recover_copes_with_a_NUL_in_an_intent),
		RECOVER(test_recover_does_not_count_late_intents),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
