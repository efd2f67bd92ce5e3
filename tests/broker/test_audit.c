/*
 * audit: the event loop's side with a writer on a disk that does as it is told. What is acknowledged is durable, was synced
 * after it was written, and is found again; what cannot be made durable is refused, in time and in words; a disk that comes
 * back is enough to go on.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "broker/audit/audit.h"
#include "broker/audit/recover.h"
#include "broker/audit/segment.h"
#include "broker/clock.h"
#include "broker/log.h"
#include "hallpass/cleanup.h"
#include "tests/lib/disk.h"
#include "tests/lib/journaldir.h"

#define PATIENCE_US 30000000
#define DEADLINE_MS 100

static struct journaldir d;
static struct disk disk;
static struct log quiet;
static struct event_base *base;
static struct event *beat;
static struct audit *audit;
static struct audit_options options;

static void on_beat(evutil_socket_t fd, short events, void *arg) {
	(void)fd, (void)events, (void)arg;
}

static int setup(void **state) {
	(void)state;
	log_init(&quiet, memfd_create("log", MFD_CLOEXEC), LOG_LEVEL_DEBUG);
	journaldir_make(&d);
	disk_init(&disk);
	base = event_base_new();
	/* So that the loop also looks at what other threads did without telling it. */
	beat = event_new(base, -1, EV_PERSIST, on_beat, NULL);
	event_add(beat, &(struct timeval){ 0, 2000 });
	options = (struct audit_options){ .dir = d.path, .segment_bytes = JD_SEGMENT, .deadline_ms = 60000, .io = &disk.io };
	audit = NULL;
	return 0;
}

static int teardown(void **state) {
	(void)state;
	disk_heal(&disk);
	disk_hold(&disk, false, false);
	audit_close(audit);
	assert_int_equal(disk_seen(&disk).reused, 0);
	event_free(beat);
	event_base_free(base);
	journaldir_remove(&d);
	close(quiet.fd);
	return 0;
}

static void start(void) {
	struct error err = { 0 };

	if (audit_open(base, &options, &quiet, &audit, &err) < 0)
		fail_msg("%s", err.message);
}

static void stop(void) {
	audit_close(take(&audit));
}

/* Turns the loop until it is so. */
#define RUN_UNTIL(condition)                                                                                           \
	do {                                                                                                           \
		int64_t began_ = clock_monotonic_us();                                                                 \
		while (!(condition)) {                                                                                 \
			event_base_loop(base, EVLOOP_ONCE);                                                            \
			if (clock_monotonic_us() - began_ > PATIENCE_US)                                               \
				fail_msg("waited in vain until %s", #condition);                                       \
		}                                                                                                      \
	} while (0)

static void turn(int n) {
	while (n--)
		event_base_loop(base, EVLOOP_ONCE);
}

/* Whether the operator's log says so. */
static bool logged(const char *words) {
	static char text[1 << 20];
	ssize_t n = pread(quiet.fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, words);
}

static void shell(const char *fmt, ...) {
	char command[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	assert_int_equal(system(command), 0);
}

/* --- those who wait */

struct waiter {
	struct audit_entry entry;
	int done;
	struct error err;
};

static void on_done(struct audit_entry *entry, const struct error *err, void *arg) {
	struct waiter *w = arg;

	assert_ptr_equal(entry, &w->entry);
	w->done++;
	w->err = *err;
}

/* False: refused at once, w->err says why. */
static bool append(const char *text, struct waiter *w) {
	memset(w, 0, sizeof(*w));
	w->entry = (struct audit_entry){ .done = on_done, .arg = w };
	return audit_append(audit, text, strlen(text), &w->entry, &w->err) == 0;
}

static void append_quietly(const char *text) {
	struct error err;

	assert_int_equal(audit_append(audit, text, strlen(text), NULL, &err), 0);
}

static bool acknowledged(const struct waiter *w) {
	return w->done == 1 && w->err.code == ERR_NONE;
}

static void assert_acknowledged(const char *text) {
	struct waiter w;

	if (!append(text, &w))
		fail_msg("%s", w.err.message);
	RUN_UNTIL(w.done);
	if (w.err.code)
		fail_msg("%s", w.err.message);
}

/* Asks again and again, as clients do; how often it was refused. */
static unsigned insist(const char *text, struct error *why) {
	unsigned refused = 0;
	struct waiter w;

	for (;;) {
		if (append(text, &w))
			RUN_UNTIL(w.done);
		if (acknowledged(&w))
			return refused;
		assert_int_equal(w.err.code, ERR_UNAVAILABLE);
		if (why)
			*why = w.err;
		refused++;
		turn(1);
	}
}

static struct audit_status status(void) {
	struct audit_status s;

	audit_status(audit, &s);
	return s;
}

/* As audit_ready() says it, without being refused. */
static bool ready(void) {
	return status().healthy;
}

static void assert_says(const struct error *err, const char *words) {
	if (!strstr(err->message, words))
		fail_msg("\"%s\" does not stand in: %s", words, err->message);
}

/* --- what is in the log */

static char *log_text(void) {
	char *text = journaldir_read(d.path);

	if (!strncmp(text, "ERROR", 5))
		fail_msg("%s", text);
	return text;
}

static bool text_has(const char *text, const char *record) {
	size_t n = strlen(record);

	for (const char *p = strstr(text, record); p; p = strstr(p + 1, record))
		if ((p == text || p[-1] == '|') && (p[n] == '\0' || p[n] == '|'))
			return true;
	return false;
}

static void assert_recorded(const char *record) {
	char *text = log_text();

	if (!text_has(text, record))
		fail_msg("%s does not stand in: %s", record, text);
	free(text);
}

/* The records of a type, as a JSON array. */
static json_t *records_of(const char *type) {
	char *text = log_text(), *save = NULL;
	json_t *list = json_array();

	for (char *p = strtok_r(text, "|", &save); p; p = strtok_r(NULL, "|", &save)) {
		json_t *json = json_loads(p, 0, NULL);

		if (json && !strcmp(json_string_value(json_object_get(json, "type")), type))
			json_array_append(list, json);
		json_decref(json);
	}
	free(text);
	return list;
}

/* --- group commit */

static void test_audit_what_comes_in_one_turn_is_one_frame_and_one_sync(void **state) {
	struct waiter w[5];
	struct disk before;
	char text[8];

	(void)state;
	start();
	assert_acknowledged("first"); /* a segment is there */
	for (unsigned round = 1; round <= 3; round++) {
		before = disk_seen(&disk);
		for (int i = 0; i < 5; i++) {
			snprintf(text, sizeof(text), "%u.%d", round, i);
			assert_true(append(text, &w[i]));
		}
		for (int i = 0; i < 5; i++)
			RUN_UNTIL(acknowledged(&w[i]));
		assert_int_equal(disk_seen(&disk).frames_written, before.frames_written + 1);
		assert_int_equal(disk_seen(&disk).frames_synced, before.frames_synced + 1);
		assert_int_equal(status().frames, 1 + round);
		assert_int_equal(status().records, 1 + 5 * round);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(w[i].entry.index, 1 + 5 * (round - 1) + i);
	}
	assert_int_equal(status().next_index, 16);
	assert_int_equal(status().queued, 0);
	stop();
	assert_recorded("3.4");
}

/* As an event loop's clients do: each asks again as soon as it is answered. */
struct returning {
	struct audit_entry entry;
	int left;
};
static unsigned char given[1 << 14]; /* indices */

static void on_returned(struct audit_entry *entry, const struct error *err, void *arg) {
	struct returning *r = arg;
	struct error again;

	assert_int_equal(err->code, ERR_NONE);
	assert_in_range(entry->index, 0, sizeof(given) - 1);
	assert_int_equal(given[entry->index]++, 0);
	if (--r->left == 0)
		return;
	r->entry = (struct audit_entry){ .done = on_returned, .arg = r, .comes_back = true };
	assert_int_equal(audit_append(audit, "again", 5, &r->entry, &again), 0);
}

static void test_audit_answers_hundreds_that_come_back_once_each(void **state) {
	enum { CLIENTS = 400, TIMES = 30 };
	static struct returning clients[CLIENTS];
	struct error err;

	(void)state;
	memset(given, 0, sizeof(given));
	start();
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct returning){ { .done = on_returned, .arg = &clients[i], .comes_back = true }, TIMES };
		assert_int_equal(audit_append(audit, "first", 5, &clients[i].entry, &err), 0);
	}
	for (int i = 0; i < CLIENTS; i++)
		RUN_UNTIL(clients[i].left == 0);
	assert_int_equal(status().records, CLIENTS * TIMES);
	assert_int_equal(status().queued, 0);
	for (int i = 0; i < CLIENTS * TIMES; i++)
		assert_int_equal(given[i], 1);
	print_message("%llu records in %llu frames\n", (unsigned long long)status().records, (unsigned long long)status().frames);
}

static void test_audit_releases_only_after_the_sync_of_the_own_frame(void **state) {
	struct waiter first, second;

	(void)state;
	start();
	disk_hold(&disk, true, false);
	assert_true(append("first", &first));
	RUN_UNTIL(disk_seen(&disk).held == 1); /* written, and in the sync */
	assert_true(append("second", &second));
	turn(5);
	assert_int_equal(first.done + second.done, 0);
	assert_int_equal(status().queued, 1);
	disk_pass(&disk, 1);
	RUN_UNTIL(first.done);
	RUN_UNTIL(disk_seen(&disk).held == 1 && disk_seen(&disk).frames_written == 2);
	turn(5);
	assert_true(acknowledged(&first));
	assert_int_equal(second.done, 0);
	disk_pass(&disk, 1);
	RUN_UNTIL(second.done);
	assert_true(acknowledged(&second));
}

static void test_audit_goes_on_in_the_next_segment_when_one_is_full(void **state) {
	static char text[60001];
	char *all;

	(void)state;
	start();
	for (int i = 0; i < 30; i++) {
		memset(text, 'a' + i % 26, sizeof(text) - 1);
		assert_acknowledged(text);
	}
	assert_int_equal(status().refused, 0);
	stop();
	assert_true(journaldir_has(&d, "000004.j"));
	all = log_text();
	for (int i = 0; i < 30; i++)
		assert_int_equal(all[(size_t)i * sizeof(text)], 'a' + i % 26);
	free(all);
}

static void test_audit_takes_no_entry_that_is_too_long(void **state) {
	static char text[AUDIT_MAX_ENTRY + 2];
	struct waiter w;

	(void)state;
	start();
	memset(text, 'x', AUDIT_MAX_ENTRY + 1);
	assert_false(append(text, &w));
	assert_int_equal(w.err.code, ERR_INTERNAL);
	text[AUDIT_MAX_ENTRY] = '\0';
	assert_acknowledged(text);
}

/* --- each call of the disk fails once */

static const struct {
	enum disk_call call;
	const char *name;
	int errnum;
} faults[] = {
	{ DISK_OPEN, "open", ENOSPC },	     { DISK_OPEN, "open", EIO },	   { DISK_ALLOCATE, "allocate", ENOSPC },
	{ DISK_PWRITEV, "pwritev", EIO },    { DISK_PWRITEV, "pwritev", ENOSPC },  { DISK_PWRITEV, "pwritev", DISK_SHORT },
	{ DISK_FDATASYNC, "fdatasync", EIO }, { DISK_FDATASYNC, "fdatasync", ENOSPC }, { DISK_FSYNC, "fsync", EIO },
};

#define ROUNDS 5

/* False: there is no n-th call of that kind. */
static bool survives(size_t fault, unsigned n, unsigned *refused) {
	char text[40];
	bool reached;

	setup(NULL);
	disk_fail(&disk, faults[fault].call, n, n, faults[fault].errnum);
	start();
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(text, sizeof(text), "round %d", i);
		*refused += insist(text, NULL);
	}
	reached = disk_seen(&disk).failed;
	disk_heal(&disk);
	stop();
	for (int again = 0; again < 2; again++) { /* and after a further start, too */
		for (int i = 0; i < ROUNDS; i++) {
			snprintf(text, sizeof(text), "round %d", i);
			assert_recorded(text);
		}
		start();
		assert_acknowledged("later");
		stop();
	}
	teardown(NULL);
	return reached;
}

static void test_P1_audit_loses_nothing_whichever_call_of_the_disk_fails(void **state) {
	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
		unsigned n = 1, refused = 0;

		while (survives(f, n, &refused))
			n++;
		print_message("%s %s: %u calls failed in turn, %u refusals, nothing lost\n", faults[f].name,
			      faults[f].errnum == DISK_SHORT ? "short" : strerror(faults[f].errnum), n - 1, refused);
		assert_true(n > 1);
	}
}

/* One error of a frame costs nobody anything: the frame is written again into the next segment. */
static void test_P1_audit_writes_a_frame_that_failed_again_elsewhere(void **state) {
	static const size_t kinds[] = { 3, 4, 5, 6, 7 };

	(void)state;
	start();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct audit_status before;
		json_t *recovered, *last;
		char text[40];

		assert_acknowledged("well");
		before = status();
		/* The next call of the kind is the frame's, unless a spare is being made. */
		RUN_UNTIL(disk_seen(&disk).calls[DISK_FSYNC] == 1 + 2 * (i + 2)); /* one at the start, two a segment */
		disk_fail(&disk, faults[kinds[i]].call, disk_seen(&disk).calls[faults[kinds[i]].call] + 1,
			  disk_seen(&disk).calls[faults[kinds[i]].call] + 1, faults[kinds[i]].errnum);
		snprintf(text, sizeof(text), "twice written %zu", i);
		assert_acknowledged(text);
		assert_int_equal(disk_seen(&disk).failed, i + 1);
		assert_string_not_equal(status().segment, before.segment);
		assert_int_equal(status().refused, 0);
		assert_true(status().healthy);
		assert_string_equal(status().loss, "");
		RUN_UNTIL(status().records == before.records + 2); /* and one that tells of it */
		recovered = records_of("recovered");
		last = json_array_get(recovered, json_array_size(recovered) - 1);
		assert_int_equal(json_array_size(recovered), i + 1);
		assert_string_equal(json_string_value(json_object_get(last, "file")), before.segment);
		assert_non_null(strstr(json_string_value(json_object_get(last, "error")), before.segment));
		assert_non_null(strstr(json_string_value(json_object_get(last, "error")), "(123456789 bytes free)"));
		json_decref(recovered);
		assert_recorded(text);
	}
}

/* As long as it fails: refused, at once, with file, cause and free bytes. When it is over: by itself. */
static void test_P1_audit_refuses_while_the_disk_fails_and_recovers_by_itself(void **state) {
	static const int errors[] = { EIO, ENOSPC, EROFS, EDQUOT };

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(errors); f++) {
		struct error why = { 0 };
		struct waiter w;
		json_t *recovered;
		int refused = 0;

		setup(NULL);
		start();
		assert_acknowledged("before");
		disk_fail(&disk, DISK_ALL, 1, UINT_MAX, errors[f]);
		while (refused < 40) {
			if (append("refused", &w))
				RUN_UNTIL(w.done);
			assert_false(acknowledged(&w));
			assert_int_equal(w.err.code, ERR_UNAVAILABLE);
			assert_says(&w.err, d.journal);
			assert_says(&w.err, strerror(errors[f]));
			assert_says(&w.err, "(123456789 bytes free)");
			assert_false(audit_ready(audit, &why));
			assert_string_equal(why.message, status().problem);
			assert_false(status().healthy);
			refused += 2; /* one was told so before it came to a record */
		}
		append_quietly("a refusal"); /* waits for better times */
		disk_heal(&disk);
		RUN_UNTIL(ready());
		assert_acknowledged("after");
		RUN_UNTIL(status().queued == 0);
		assert_int_equal(status().refused, refused);
		stop();
		assert_recorded("before");
		assert_recorded("a refusal");
		assert_recorded("after");
		recovered = records_of("recovered");
		assert_int_equal(json_array_size(recovered), 1);
		assert_int_equal(json_integer_value(json_object_get(json_array_get(recovered, 0), "refused")), refused);
		json_decref(recovered);
		teardown(NULL);
	}
}

/* --- a disk that hangs */

static void test_P1_audit_refuses_after_the_deadline_when_the_disk_hangs(void **state) {
	struct waiter w[3], more;
	struct error why;
	json_t *list, *indices;

	(void)state;
	options.deadline_ms = DEADLINE_MS;
	start();
	assert_acknowledged("before");
	disk_hold(&disk, true, false);
	for (int i = 0; i < 3; i++)
		assert_true(append("hangs", &w[i]));
	assert_true(ready());
	for (int i = 0; i < 3; i++)
		RUN_UNTIL(w[i].done); /* the loop turns */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(w[i].err.code, ERR_UNAVAILABLE);
		assert_says(&w[i].err, "journal/000001.j was not written within 100 ms");
		assert_says(&w[i].err, "(123456789 bytes free)");
	}
	/* Who comes now hears so at once; what nobody waits for is kept. */
	assert_false(append("too late", &more));
	assert_string_equal(more.err.message, w[0].err.message);
	assert_false(audit_ready(audit, &why));
	assert_string_equal(why.message, w[0].err.message);
	assert_false(status().healthy);
	assert_true(logged("record-stopped") && !logged("record-goes-on"));
	append_quietly("a refusal");
	turn(3);
	disk_hold(&disk, false, false);
	RUN_UNTIL(ready());
	assert_acknowledged("after");
	assert_true(logged("record-goes-on"));
	for (int i = 0; i < 3; i++)
		assert_int_equal(w[i].done, 1); /* nothing was released on what came late */
	stop();
	assert_recorded("a refusal");
	list = records_of("late");
	assert_int_equal(json_array_size(list), 1);
	indices = json_object_get(json_array_get(list, 0), "indices");
	assert_int_equal(json_array_size(indices), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(json_integer_value(json_array_get(indices, i)), 1 + i);
	json_decref(list);
	list = records_of("recovered");
	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "refused")), 5);
	assert_non_null(strstr(json_string_value(json_object_get(json_array_get(list, 0), "error")), "hangs"));
	json_decref(list);
}

/* Deadlines also run for those whose frame waits behind the one that hangs; and each late record is named. */
static void test_P1_audit_names_every_late_record(void **state) {
	enum { N = 700 };
	static struct waiter w[N];
	static bool named[N + 2];
	json_t *list, *value;
	size_t i, k, n = 0;

	(void)state;
	options.deadline_ms = DEADLINE_MS;
	start();
	assert_acknowledged("before");
	disk_hold(&disk, true, false);
	for (i = 0; i < N; i++)
		assert_true(append("late", &w[i]));
	for (i = 0; i < N; i++)
		RUN_UNTIL(w[i].done);
	disk_hold(&disk, false, false);
	RUN_UNTIL(ready());
	assert_acknowledged("after");
	stop();
	list = records_of("late");
	json_array_foreach(list, i, value) {
		json_t *indices = json_object_get(value, "indices"), *index;

		json_array_foreach(indices, k, index) {
			assert_in_range(json_integer_value(index), 1, N);
			assert_false(named[json_integer_value(index)]);
			named[json_integer_value(index)] = true;
			n++;
		}
	}
	json_decref(list);
	assert_int_equal(n, N);
	for (i = 0; i < N; i++) {
		assert_int_equal(w[i].done, 1);
		assert_int_equal(w[i].err.code, ERR_UNAVAILABLE);
	}
}

static void test_audit_takes_only_so_much_while_the_disk_hangs(void **state) {
	enum { MOST = 20000 };
	static struct waiter w[MOST + 1];
	size_t n = 0;

	(void)state;
	start();
	disk_hold(&disk, true, false);
	while (n < MOST && append("waits", &w[n]))
		n++;
	assert_in_range(n, 256, MOST - 1);
	assert_int_equal(w[n].err.code, ERR_UNAVAILABLE);
	assert_says(&w[n].err, "too many records wait");
	disk_hold(&disk, false, false);
	for (size_t i = 0; i < n; i++)
		RUN_UNTIL(acknowledged(&w[i]));
	assert_acknowledged("room again");
	print_message("%zu entries were under way\n", n);
}

/* The threads stay in the disk's hands: the process must get to its end all the same. */
static int close_with_a_hung_disk(bool frames) {
	struct waiter w = { .done = 1, .err.code = ERR_UNAVAILABLE };

	options.deadline_ms = DEADLINE_MS;
	disk_hold(&disk, frames, !frames); /* not the frames: the maker of spares hangs, and the writer has nothing to do */
	start();
	if (frames && !append("hangs", &w))
		return 2;
	RUN_UNTIL(disk_seen(&disk).held);
	audit_close(audit);
	return w.done == 1 && w.err.code == ERR_UNAVAILABLE ? 0 : 3;
}

static void test_audit_closes_while_the_disk_hangs(void **state) {
	(void)state;
	for (int i = 0; i < 2; i++) {
		int said = -1, p[2];
		pid_t pid;

		assert_int_equal(pipe(p), 0);
		pid = fork();
		if (pid == 0) {
			said = close_with_a_hung_disk(i);
			if (write(p[1], &said, sizeof(said)) != sizeof(said))
				_exit(1);
			raise(SIGKILL); /* so that nobody looks for what the threads still hold */
		}
		close(p[1]);
		assert_int_equal(read(p[0], &said, sizeof(said)), sizeof(said));
		assert_int_equal(said, 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(p[0]);
		shell("rm %s/*", d.journal); /* a new log for the next */
	}
}

static void test_audit_closing_writes_what_is_queued(void **state) {
	struct waiter w;

	(void)state;
	start();
	assert_true(append("last words", &w));
	append_quietly("and these");
	stop();
	assert_true(acknowledged(&w));
	assert_recorded("last words");
	assert_recorded("and these");
}

static void test_audit_closing_refuses_what_cannot_be_written(void **state) {
	struct waiter w;

	(void)state;
	options.deadline_ms = DEADLINE_MS;
	start();
	assert_acknowledged("before");
	disk_fail(&disk, DISK_PWRITEV, 1, UINT_MAX, EIO);
	assert_true(append("never", &w));
	stop();
	assert_int_equal(w.done, 1);
	assert_int_equal(w.err.code, ERR_UNAVAILABLE);
}

/* --- what others do to the files */

static void test_P1_audit_notices_a_file_that_others_touched_before_it_acknowledges(void **state) {
	static const struct {
		const char *command, *words;
		bool readable; /* afterwards all that was acknowledged can be read */
	} cases[] = {
		{ "rm 000001.j", "000001.j was removed or replaced", false },
		{ "mv 000001.j elsewhere", "000001.j was moved or replaced", false },
		{ "cp 000001.j copy && mv copy 000001.j", "000001.j was removed or replaced", true },
		{ "truncate -s 4200 000001.j", "000001.j was truncated", true }, /* the page was written whole again */
		{ "truncate -s 0 000001.j", "000001.j was truncated", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *recovered;
		char *text;

		setup(NULL);
		start();
		assert_acknowledged("before");
		shell("cd %s && %s", d.journal, cases[i].command);
		assert_acknowledged("after");
		assert_string_not_equal(status().segment, "000001.j");
		RUN_UNTIL(status().records == 3);
		assert_true(logged(cases[i].words));
		assert_true(status().healthy); /* new ones are made, but … */
		assert_non_null(strstr(status().loss, cases[i].words));
		stop();
		text = journaldir_read(d.path);
		if (cases[i].readable) {
			assert_true(text_has(text, "before") && text_has(text, "after"));
			recovered = records_of("recovered");
			assert_non_null(strstr(json_string_value(json_object_get(json_array_get(recovered, 0), "error")),
					       cases[i].words));
			json_decref(recovered);
		} else {
			struct error err = { 0 };

			assert_non_null(strstr(text, "ERROR: "));
			/* And a start does not pass over it either. */
			assert_int_equal(audit_open(base, &options, &quiet, &audit, &err), -1);
			assert_int_equal(err.code, ERR_INVALID);
			assert_null(audit);
		}
		free(text);
		teardown(NULL);
	}
}

static void test_P1_audit_notices_a_directory_that_was_moved_and_waits_for_it(void **state) {
	static const struct {
		const char *away, *back;
	} cases[] = {
		{ "mv journal away", "mv away journal" },
		{ "mv journal away && mkdir -m 700 journal", "rmdir journal && mv away journal" },
		{ "mv $PWD ${PWD}x", "mv ${PWD}x $PWD" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct waiter w;
		struct error why;
		unsigned opened;

		setup(NULL);
		start();
		assert_acknowledged("before");
		shell("cd %s && %s", d.path, cases[i].away);
		assert_true(append("not now", &w));
		RUN_UNTIL(w.done);
		assert_int_equal(w.err.code, ERR_UNAVAILABLE);
		assert_says(&w.err, "was moved, removed or replaced while in use");
		assert_says(&w.err, d.journal);
		assert_false(audit_ready(audit, &why));
		assert_false(append("nor now", &w));
		shell("cd %s%s && cd / && cd %s && PWD=%s && %s", d.path, i == 2 ? "x" : "", i == 2 ? "/" : d.path, d.path,
		      cases[i].back);
		opened = disk_seen(&disk).calls[DISK_OPEN];
		RUN_UNTIL(ready());
		assert_acknowledged("after");
		assert_in_range(opened, 1, 4); /* no spare is used up in a directory that is not ours */
		assert_string_equal(status().loss, ""); /* it is all back */
		stop();
		assert_recorded("before");
		assert_recorded("after");
		teardown(NULL);
	}
}

static void test_P1_audit_refuses_for_good_in_a_directory_that_was_removed(void **state) {
	struct waiter w;

	(void)state;
	options.deadline_ms = DEADLINE_MS;
	start();
	assert_acknowledged("before");
	shell("rm -r %s", d.journal);
	assert_true(append("not now", &w));
	RUN_UNTIL(w.done);
	assert_int_equal(w.err.code, ERR_UNAVAILABLE);
	assert_says(&w.err, "restart hallpassd to begin a new log");
	stop();
	start(); /* which is true */
	assert_acknowledged("anew");
	stop();
	assert_recorded("anew");
}

/* --- space */

/* How often the operator's log tells of an event. */
static unsigned times_logged(const char *event) {
	char text[65536];
	ssize_t n = pread(quiet.fd, text, sizeof(text) - 1, 0);
	unsigned times = 0;

	assert_true(n >= 0);
	text[n] = '\0';
	for (const char *at = text; (at = strstr(at, event)); at++)
		times++;
	return times;
}

static void test_audit_issues_nothing_below_the_low_water_mark_and_records_refusals(void **state) {
	struct error why;

	(void)state;
	options.low_water_bytes = 5000;
	disk_set_free(&disk, 4999);
	start();
	append_quietly("asks how much there is");
	RUN_UNTIL(!audit_ready(audit, &why));
	assert_int_equal(why.code, ERR_UNAVAILABLE);
	assert_says(&why, "4999 bytes free");
	assert_says(&why, "audit.lowWater (5000)");
	assert_false(audit_ready(audit, &why));
	assert_int_equal(times_logged(" error record-low "), 1);
	assert_int_equal(times_logged(" record-has-room "), 0);
	assert_int_equal(status().free_bytes, 4999);
	append_quietly("a refusal");
	disk_set_free(&disk, 5000);
	RUN_UNTIL(ready()); /* nobody needs to ask for it */
	assert_true(audit_ready(audit, &why));
	assert_int_equal(times_logged(" record-has-room "), 1);
	stop();
	assert_recorded("a refusal");
}

/* Nobody asked how much is free while nothing was written; whoever comes first then is not let through on an old figure. */
static void test_P1_audit_acknowledges_nothing_below_the_low_water_mark(void **state) {
	struct waiter w[3];
	struct error why;
	json_t *late;

	(void)state;
	options.low_water_bytes = 5000;
	disk_set_free(&disk, 5000);
	start();
	assert_acknowledged("before");
	poll(NULL, 0, 300); /* until that figure is an old one */
	disk_set_free(&disk, 4999);
	assert_true(audit_ready(audit, &why)); /* as far as is known */
	for (int i = 0; i < 3; i++)
		assert_true(append("too little", &w[i]));
	for (int i = 0; i < 3; i++) {
		RUN_UNTIL(w[i].done);
		assert_int_equal(w[i].err.code, ERR_UNAVAILABLE);
		assert_says(&w[i].err, d.path);
		assert_says(&w[i].err, "4999 bytes free");
	}
	assert_false(audit_ready(audit, &why));
	assert_int_equal(status().refused, 4);
	disk_set_free(&disk, 5000);
	RUN_UNTIL(ready());
	assert_acknowledged("after");
	for (int i = 0; i < 3; i++)
		assert_int_equal(w[i].done, 1);
	stop();
	late = records_of("late");
	assert_int_equal(json_array_size(late), 1);
	assert_int_equal(json_array_size(json_object_get(json_array_get(late, 0), "indices")), 3);
	json_decref(late);
	late = records_of("recovered"); /* nothing had failed */
	assert_int_equal(json_array_size(late), 0);
	json_decref(late);
}

/* --- starting */

static void test_audit_lets_one_broker_use_a_directory(void **state) {
	struct audit *second = NULL;
	struct error err = { 0 };
	char pid[32];

	(void)state;
	start();
	assert_int_equal(audit_open(base, &options, &quiet, &second, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	assert_says(&err, "in use by another hallpassd");
	assert_says(&err, pid);
	stop();
	start(); /* free again */
}

/* Whose records would be lost: of two brokers that go on from one segment. */
static void test_P1_audit_lets_no_second_broker_in_where_the_lock_was_removed(void **state) {
	struct audit *second = NULL;
	struct error err = { 0 };

	(void)state;
	start();
	shell("rm %s/lock", d.path);
	assert_int_equal(audit_open(base, &options, &quiet, &second, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_says(&err, "in use by another hallpassd");
	assert_acknowledged("as before");
	stop();
	start(); /* free again */
}

static void test_audit_opens_only_a_directory_of_its_own(void **state) {
	static const struct {
		const char *command, *words;
		enum error_code code;
		bool root;
	} cases[] = {
		{ "chmod 755 .", "chmod 700", ERR_INVALID, false },
		{ "chmod 750 journal", "chmod 700", ERR_INVALID, false },
		{ "rmdir journal && touch journal", "journal", ERR_UNAVAILABLE, false },
		{ "mv journal j && ln -s j journal", "cannot open", ERR_UNAVAILABLE, false },
		{ "mkdir lock", "lock", ERR_UNAVAILABLE, false },
		{ "chown 12345 journal", "belongs to uid 12345", ERR_INVALID, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };

		if (cases[i].root && geteuid()) {
			print_message("skipped: giving a file away needs root\n");
			continue;
		}
		setup(NULL);
		shell("cd %s && %s", d.path, cases[i].command);
		if (audit_open(base, &options, &quiet, &audit, &err) == 0)
			fail_msg("opened after %s", cases[i].command);
		assert_int_equal(err.code, cases[i].code);
		assert_says(&err, cases[i].words);
		teardown(NULL);
	}
}

static void test_audit_makes_the_directory_and_says_where_it_cannot(void **state) {
	struct error err = { 0 };
	char path[160];

	(void)state;
	snprintf(path, sizeof(path), "%s/state/hallpass/audit", d.path);
	options.dir = path;
	start();
	assert_acknowledged("made");
	stop();
	snprintf(path, sizeof(path), "%s/state/hallpass/audit/lock/audit", d.path);
	assert_int_equal(audit_open(base, &options, &quiet, &audit, &err), -1);
	assert_says(&err, path);
}

#define TIME ",\"time\":\"2026-03-20T12:00:00.007Z\""

/* A crash in the midst of it all: told once, whatever happens to the start after it. */
static void test_audit_tells_what_a_crash_left_exactly_once(void **state) {
	struct scan_position at = { .last_ns = 1774008000000000000 };
	json_t *list, *one;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "{\"type\":\"intent\"" TIME ",\"flight\":\"a\",\"request\":\"r\",\"principal\":\"user:a@example.com\","
				  "\"permission\":\"p\",\"target\":\"t\",\"binding\":\"b\",\"lifetime\":900}"
				  "|{\"type\":\"intent\"" TIME ",\"flight\":\"b\"}|{\"type\":\"issued\"" TIME ",\"flight\":\"b\"}");
	journaldir_poke(&d, 1, at.offset, "\xFFHPF\1", 5);
	disk_fail(&disk, DISK_PWRITEV, 3, UINT_MAX, EIO); /* this start gets no further than its header */
	options.deadline_ms = DEADLINE_MS;
	start();
	assert_int_equal(audit_last_time(audit), 1774008000);
	RUN_UNTIL(disk_seen(&disk).failed);
	stop();
	disk_heal(&disk);
	options.deadline_ms = 60000; /* a busy machine's disk may take long */
	for (int i = 0; i < 2; i++) {
		start();
		assert_acknowledged("on it goes");
		stop();
	}
	list = records_of("recovered");
	assert_int_equal(json_array_size(list), 1);
	one = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(one, "file")), "000001.j");
	assert_int_equal(json_integer_value(json_object_get(one, "bytes")), 5);
	json_decref(list);
	list = records_of("unknown");
	assert_int_equal(json_array_size(list), 1);
	one = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(one, "flight")), "a");
	assert_string_equal(json_string_value(json_object_get(one, "principal")), "user:a@example.com");
	assert_int_equal(json_integer_value(json_object_get(one, "lifetime")), 900);
	json_decref(list);
}

/* It may have been named just before a crash: a power cut would take the name away again, with all that was recorded there. */
static void test_P1_audit_syncs_the_name_of_a_spare_that_it_finds(void **state) {
	unsigned synced;

	(void)state;
	start();
	assert_acknowledged("before");
	RUN_UNTIL(disk_seen(&disk).calls[DISK_FSYNC] == 5); /* at the start, and for each of two segments */
	stop();
	synced = disk_seen(&disk).dirs_synced;
	disk_fail(&disk, DISK_ALLOCATE, 1, UINT_MAX, ENOSPC); /* no further one is made, and so named */
	start();
	assert_acknowledged("in the spare");
	assert_string_equal(status().segment, "000002.j");
	assert_int_equal(disk_seen(&disk).dirs_synced, synced + 1);
}

/* Nor may a frame go that was written and not synced when the broker was killed, once a header says that the log goes on behind it. */
static void test_P1_audit_syncs_what_it_goes_on_from(void **state) {
	struct scan_position at = { 0 };
	struct stat st;

	(void)state;
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, "written, and in no sync");
	assert_int_equal(fstatat(d.dir.fd, "000001.j", &st, 0), 0);
	disk.end = st.st_ino;
	start();
	assert_acknowledged("behind it");
	assert_true(disk_seen(&disk).end_synced);
	assert_false(disk_seen(&disk).begun_too_soon);
}

/* --- crashes in the midst of a write: each sector of 512 bytes has the bytes from before or those from after it */

#define SECTOR 512
#define TEARS 12 /* of each write */

static struct {
	struct journaldir copy;
	unsigned torn, whole; /* crashes after which the frame did not count, and did */
	char fault[sizeof(((struct error *)0)->message)];
} tears;

static void tear(uint8_t *bytes, const uint8_t *before, size_t n, int how) {
	for (size_t at = 0; at < n; at += SECTOR) {
		bool missing = how == 0 ? at == 0 : how == 1 ? at + SECTOR >= n : how == 2 ? at % SEGMENT_PAGE == 0 : random() % 2;

		if (missing)
			memcpy(bytes + at, before + at, SECTOR);
	}
}

/* On the writer's thread, where nothing may be asserted: a start finds all that stood there before, and perhaps one frame more. */
static void check_torn(const char *before) {
	struct error err = { 0 };
	struct recovery recovery;
	char *after = journaldir_read(tears.copy.path);

	if (recover(&tears.copy.dir, JD_SEGMENT, NULL, &recovery, &err) < 0)
		snprintf(tears.fault, sizeof(tears.fault), "%s", err.message);
	else if (strncmp(after, before, strlen(before)) != 0)
		snprintf(tears.fault, sizeof(tears.fault), "what was acknowledged is gone");
	tears.torn += strlen(after) == strlen(before);
	tears.whole += strlen(after) > strlen(before);
	recovery_fini(&recovery);
	free(after);
}

static void crash_in(const char *name, const uint8_t *now, const uint8_t *old, size_t n, uint64_t offset) {
	char command[300], *before = journaldir_read(d.path);
	uint8_t *mixed = malloc(n);
	uint64_t number = 0;

	segment_number(name, &number);
	for (int how = 0; how < TEARS; how++) {
		memcpy(mixed, now, n);
		tear(mixed, old, n, how);
		snprintf(command, sizeof(command), "rm -f %s/* && cp %s/*.j %s", tears.copy.journal, d.journal, tears.copy.journal);
		if (system(command) != 0)
			snprintf(tears.fault, sizeof(tears.fault), "cannot copy");
		journaldir_poke(&tears.copy, number, offset, mixed, n);
		check_torn(before);
	}
	free(mixed);
	free(before);
}

static ssize_t tearing_pwritev(void *ctx, int fd, const struct iovec *iov, int n, uint64_t offset) {
	const uint8_t *words = iov->iov_base;
	char link[40], path[200];
	uint8_t *old;
	ssize_t len;
	int again;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	if (strstr(path, ".j") && (words[0] || memcmp(words, words + 1, iov->iov_len - 1))) {
		old = malloc(iov->iov_len);
		again = open(link, O_RDONLY | O_CLOEXEC);
		if (pread(again, old, iov->iov_len, (off_t)offset) == (ssize_t)iov->iov_len)
			crash_in(strrchr(path, '/') + 1, words, old, iov->iov_len, offset);
		close(again);
		free(old);
	}
	return disk.io.pwritev(ctx, fd, iov, n, offset);
}

/* Small ones that share a sector, some of several pages, and some behind which the next begins with the last 4 bytes of a sector. */
static size_t torn_length(unsigned i, size_t end) {
	const size_t around = FRAME_HEAD + 2 + JOURNAL_HASH;

	if (i % 5 == 3)
		return 2 * SECTOR - 4 - (end + around) % SECTOR;
	return i % 5 == 4 ? 3000 + i * 150 : 1 + i * 37 % 700;
}

static void test_P1_audit_a_crash_within_any_write_loses_nothing_and_starts_again(void **state) {
	struct journal_io io = disk.io;
	static char text[9000];

	(void)state;
	journaldir_make(&tears.copy);
	io.pwritev = tearing_pwritev;
	options.io = &io;
	srandom(1);
	for (int life = 0; life < 2; life++) {
		size_t end = JOURNAL_HEADER;

		start();
		for (unsigned i = 0; i < 30; i++) {
			size_t n = torn_length(i, end);

			memset(text, 'a' + (int)i % 26, n);
			text[n] = '\0';
			assert_acknowledged(text);
			end += FRAME_HEAD + 2 + n + JOURNAL_HASH;
		}
		stop();
	}
	print_message("%u crashes with the last frame torn, %u with it whole\n", tears.torn, tears.whole);
	assert_string_equal(tears.fault, "");
	assert_true(tears.torn > 100 && tears.whole > 0);
	journaldir_remove(&tears.copy);
}

/* Larger blocks than our pages, or a file system that knows no such writes: through the page cache then, and as safe. */
static void test_P1_audit_writes_where_nothing_goes_around_the_page_cache(void **state) {
	char text[24];

	(void)state;
	disk.no_direct = true;
	start();
	for (int again = 0; again < 2; again++) {
		for (int i = 0; i < 40; i++) {
			snprintf(text, sizeof(text), "%d.%d", again, i);
			assert_acknowledged(text);
		}
		assert_true(status().healthy);
		assert_int_equal(disk_seen(&disk).frames_synced, disk_seen(&disk).frames_written);
		stop();
		for (int i = 0; i < 40; i++) {
			snprintf(text, sizeof(text), "%d.%d", again, i);
			assert_recorded(text);
		}
		assert_false(logged("record-stopped"));
		start(); /* in the spare, which was opened and not made */
	}
	assert_true(disk_seen(&disk).direct_refused > 0);
}

static void test_audit_knows_when_something_was_last_recorded(void **state) {
	int64_t before = clock_now().s;

	(void)state;
	start();
	assert_int_equal(audit_last_time(audit), 0);
	assert_acknowledged("now");
	assert_in_range(audit_last_time(audit), before, clock_now().s);
	stop();
	start();
	assert_in_range(audit_last_time(audit), before, clock_now().s);
}

#define AUDIT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		AUDIT(test_audit_what_comes_in_one_turn_is_one_frame_and_one_sync),
		AUDIT(test_audit_answers_hundreds_that_come_back_once_each),
		AUDIT(test_audit_releases_only_after_the_sync_of_the_own_frame),
		AUDIT(test_audit_goes_on_in_the_next_segment_when_one_is_full),
		AUDIT(test_audit_takes_no_entry_that_is_too_long),
		cmocka_unit_test(test_P1_audit_loses_nothing_whichever_call_of_the_disk_fails),
		AUDIT(test_P1_audit_writes_a_frame_that_failed_again_elsewhere),
		cmocka_unit_test(test_P1_audit_refuses_while_the_disk_fails_and_recovers_by_itself),
		AUDIT(test_P1_audit_refuses_after_the_deadline_when_the_disk_hangs),
		AUDIT(test_P1_audit_names_every_late_record),
		AUDIT(test_audit_takes_only_so_much_while_the_disk_hangs),
		AUDIT(test_audit_closes_while_the_disk_hangs),
		AUDIT(test_audit_closing_writes_what_is_queued),
		AUDIT(test_audit_closing_refuses_what_cannot_be_written),
		cmocka_unit_test(test_P1_audit_notices_a_file_that_others_touched_before_it_acknowledges),
		cmocka_unit_test(test_P1_audit_notices_a_directory_that_was_moved_and_waits_for_it),
		AUDIT(test_P1_audit_refuses_for_good_in_a_directory_that_was_removed),
		AUDIT(test_audit_issues_nothing_below_the_low_water_mark_and_records_refusals),
		AUDIT(test_P1_audit_acknowledges_nothing_below_the_low_water_mark),
		AUDIT(test_audit_lets_one_broker_use_a_directory),
		AUDIT(test_P1_audit_lets_no_second_broker_in_where_the_lock_was_removed),
		cmocka_unit_test(test_audit_opens_only_a_directory_of_its_own),
		AUDIT(test_audit_makes_the_directory_and_says_where_it_cannot),
		AUDIT(test_audit_tells_what_a_crash_left_exactly_once),
		AUDIT(test_P1_audit_syncs_the_name_of_a_spare_that_it_finds),
		AUDIT(test_P1_audit_syncs_what_it_goes_on_from),
		AUDIT(test_P1_audit_a_crash_within_any_write_loses_nothing_and_starts_again),
		AUDIT(test_P1_audit_writes_where_nothing_goes_around_the_page_cache),
		AUDIT(test_audit_knows_when_something_was_last_recorded),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
