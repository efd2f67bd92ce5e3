/*
 * P1, clause by clause, under every fault of the disk that can be brought about here: by strace's injection, by limits, and
 * by real file systems that are full, frozen, gone or cut off. Each time: who asks gets 503 with the reason, Google is not
 * asked on an intent that failed, liveness and denials go on, the broker recovers by itself when the disk does, and no token
 * that a client received is missing from the record.
 *
 * As root the tests mount in a mount namespace of their own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/world.h"

#define PATIENCE_S 60
#define PAST_INJECTED 200 /* tokens: strace injects its errors into the first twenty calls of the writer */
#define MAX_TOKENS 100000

static struct world w;
static char (*hashes)[65];
static size_t n_hashes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char audit_dir[80], loop_device[64];
static char cache_dir[80], cache_device[64]; /* below it, where there is one: cached_or_skip() */

static int setup(void **state) {
	(void)state;
	n_hashes = 0;
	hashes = calloc(MAX_TOKENS, sizeof(*hashes));
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 10000000, burst: 10000000}\n");
	world_start(&w);
	snprintf(audit_dir, sizeof(audit_dir), "%s/audit", w.dir);
	snprintf(cache_dir, sizeof(cache_dir), "%s/cache", w.dir);
	return hashes ? 0 : -1;
}

static void shell(const char *fmt, ...) {
	char command[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void freeze(bool on) {
	int fd = open(audit_dir, O_RDONLY | O_CLOEXEC);

	ioctl(fd, on ? FIFREEZE : FITHAW, 0);
	close(fd);
}

static void loop_end(char device[64]) {
	char command[200];
	int r;

	if (!device[0])
		return;
	snprintf(command, sizeof(command), "losetup -d %s", device);
	r = system(command);
	(void)r;
	device[0] = '\0';
}

static int teardown(void **state) {
	(void)state;
	freeze(false);
	if (w.daemon)
		world_stop(&w, SIGKILL);
	while (umount2(audit_dir, MNT_DETACH) == 0)
		;
	loop_end(loop_device);
	umount2(cache_dir, MNT_DETACH);
	loop_end(cache_device);
	world_end(&w);
	free(hashes);
	return 0;
}

/* --- asking */

static int64_t now_ms(void) {
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void remember(const struct answer *a) {
	pthread_mutex_lock(&lock);
	if (n_hashes < MAX_TOKENS)
		text_sha256(answer_text(a, "accessToken"), hashes[n_hashes++]);
	pthread_mutex_unlock(&lock);
}

/* A token that no cached one fits: each asks for a shorter life, by more than the clock allowance. */
static unsigned told_no; /* for want of the record */

static int mint(struct answer *a, const char *more) {
	static unsigned turn;
	char text[3500];

	snprintf(text, sizeof(text), ", \"lifetime\": %u%s", 1790 - turn++ * 7 % 1700, more);
	ask_token(&w, SA_DEV, text, a);
	if (a->status == 200)
		remember(a);
	told_no += a->status == 503;
	return a->status;
}

/* 503, with a reason in words; nothing was asked of Google, and what needs no record of an issuance goes on. */
static void assert_refused(const struct answer *a, int64_t calls, const char *words) {
	struct answer other;

	if (a->status != 503) {
		world_log_tail(&w);
		fail_msg("%d: %s", a->status, a->text);
	}
	assert_null(strstr(a->text, "ya29."));
	assert_string_equal(answer_text(a, "error.status"), "UNAVAILABLE");
	assert_string_equal(answer_text(a, "error.details.0.reason"), "RECORD_UNAVAILABLE");
	assert_non_null(strstr(answer_text(a, "error.message"), audit_dir));
	if (!strstr(answer_text(a, "error.message"), words))
		fail_msg("\"%s\" does not stand in: %s", words, answer_text(a, "error.message"));
	assert_int_equal(google_calls(&w, "generateAccessToken"), calls);
	ask(&w, "GET", "/healthz", NULL, &other);
	assert_int_equal(other.status, 200);
	answer_fini(&other);
	ask_token(&w, SA_PROD, "", &other);
	assert_int_equal(other.status, 403);
	answer_fini(&other);
}

/* Asks until it is refused; counts on it. more: further members of what is asked. */
static void until_refused(const char *words, const char *more) {
	int64_t began = now_ms(), calls;
	struct answer a;
	bool refused = false;

	for (unsigned n = 0; !refused; n++) {
		calls = google_calls(&w, "generateAccessToken");
		mint(&a, more);
		refused = a.status != 200;
		/* The one that finds out may have asked Google before: its intent was durable, its outcome was not. */
		if (refused && google_calls(&w, "generateAccessToken") == calls)
			assert_refused(&a, calls, words);
		answer_fini(&a);
		if (now_ms() - began > PATIENCE_S * 1000 || (w.wrap[0] && n > PAST_INJECTED))
			fail_msg("%u tokens, and never a refusal", n);
	}
	calls = google_calls(&w, "generateAccessToken");
	if (mint(&a, more) != 200) { /* it may have recovered already */
		assert_refused(&a, calls, words);
		print_message("%s\n", answer_text(&a, "error.message"));
	}
	answer_fini(&a);
}

/* Asks until it goes on, as clients do. */
static void until_issued(void) {
	int64_t began = now_ms();
	unsigned refused = 0;
	struct answer a;

	while (mint(&a, "") != 200) {
		if (a.status != 503 || now_ms() - began > PATIENCE_S * 1000) {
			world_log_tail(&w);
			fail_msg("after %u refusals: %s", refused, a.text);
		}
		refused++;
		answer_fini(&a);
		poll(NULL, 0, 5);
	}
	answer_fini(&a);
	print_message("recovered by itself, after %u more refusals\n", refused);
}

static void issue(int n) {
	struct answer a;

	while (n--) {
		if (mint(&a, "") != 200)
			fail_msg("%s", a.text);
		answer_fini(&a);
	}
}

/* Every token that was received stands in the record, which the next start takes as it is. */
static void assert_all_recorded(void) {
	json_t *records;
	char why[800];

	if (w.daemon)
		world_stop(&w, SIGKILL);
	w.wrap[0] = '\0';
	world_daemon(&w);
	issue(1);
	world_stop(&w, SIGTERM);
	records = world_records(&w, why, sizeof(why));
	if (!records)
		fail_msg("the record cannot be read: %s", why);
	for (size_t i = 0; i < n_hashes; i++)
		if (!records_have_token(records, hashes[i]))
			fail_msg("token %zu of %zu was handed out and is not in the record", i, n_hashes);
	print_message("%zu tokens received, all in the record\n", n_hashes);
	json_decref(records);
}

static size_t recorded(const char *type) {
	json_t *records = world_records(&w, NULL, 0);
	size_t n = records_count(records, type);

	json_decref(records);
	return n;
}

/* --- injected by strace */

static void strace_or_skip(const char *calls, const char *inject) {
	if (system("command -v strace >/dev/null 2>&1 && strace -o /dev/null true 2>/dev/null") != 0) {
		print_message("skipped: strace is not here or may not trace\n");
		skip();
	}
	snprintf(w.wrap, sizeof(w.wrap), "strace -f -qq -o /dev/null -e trace=%s -e inject=%s:%s", calls, calls, inject);
}

/* What the records that tell of it say, all together. */
static json_int_t refused_as_recorded(void) {
	json_t *records = world_records(&w, NULL, 0), *record;
	json_int_t n = 0;
	size_t i;

	json_array_foreach(records, i, record)
		n += json_integer_value(json_object_get(record, "refused"));
	json_decref(records);
	return n;
}

/* The disk fails for some calls in a row: refusals, and then it goes on. */
static void fails_for_a_while(const char *call, const char *inject, const char *words) {
	strace_or_skip(call, inject);
	told_no = 0;
	world_daemon(&w);
	until_refused(words, "");
	until_issued();
	issue(5);
	world_stop(&w, SIGTERM);
	assert_true(recorded("recovered") >= 1);
	assert_in_range(refused_as_recorded(), told_no, told_no + 5); /* a renewal ahead has no client */
	assert_all_recorded();
}

static void test_P1_write_fails_with_ENOSPC(void **state) {
	(void)state;
	fails_for_a_while("pwritev", "error=ENOSPC:when=12..16", "No space left on device (");
}

static void test_P1_write_fails_with_EIO(void **state) {
	(void)state;
	fails_for_a_while("pwritev", "error=EIO:when=13..17", "Input/output error (");
}

static void test_P1_write_fails_on_a_read_only_file_system(void **state) {
	(void)state;
	fails_for_a_while("pwritev", "error=EROFS:when=14..18", "Read-only file system (");
}

static void test_P1_fdatasync_fails_for_a_while(void **state) {
	(void)state;
	fails_for_a_while("fdatasync", "error=EIO:when=13..17", "Input/output error (");
}

/* Latched: a new segment, and nobody is refused for it. */
static void fails_once(const char *call, const char *inject, const char *words) {
	struct answer a;
	json_t *records;

	strace_or_skip(call, inject);
	world_daemon(&w);
	issue(20);
	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_true(json_is_true(json_object_get(json_object_get(a.json, "audit"), "healthy")));
	answer_fini(&a);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "recovered"), 1);
	print_message("%s\n", json_string_value(json_object_get(records_last(records, "recovered"), "error")));
	assert_non_null(strstr(json_string_value(json_object_get(records_last(records, "recovered"), "error")), words));
	json_decref(records);
	assert_all_recorded();
}

static void test_P1_fdatasync_fails_once(void **state) {
	(void)state;
	fails_once("fdatasync", "error=EIO:when=15", "cannot sync");
}

static void test_P1_write_is_short(void **state) {
	(void)state;
	fails_once("pwritev", "retval=100:when=15", "short write");
}

static void test_P1_fdatasync_fails_for_ever(void **state) {
	struct answer a;
	int64_t calls;

	(void)state;
	strace_or_skip("fdatasync", "error=EIO:when=15+");
	world_daemon(&w);
	until_refused("Input/output error (", "");
	calls = google_calls(&w, "generateAccessToken");
	for (int i = 0; i < 20; i++) {
		mint(&a, "");
		assert_refused(&a, calls, "Input/output error (");
		answer_fini(&a);
		ask_token(&w, SA_DEV, "", &a); /* nor is anything from the cache */
		assert_int_equal(a.status, 503);
		answer_fini(&a);
	}
	assert_all_recorded();
}

/* --- limits and full disks */

static void test_P1_the_file_size_limit_is_reached(void **state) {
	struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY }, small = { 4096, RLIM_INFINITY };

	(void)state;
	world_daemon(&w);
	issue(3);
	if (prlimit(w.daemon, RLIMIT_FSIZE, &small, NULL) < 0) {
		print_message("skipped: may not set limits of another process (%s)\n", strerror(errno));
		skip();
	}
	until_refused("File too large (", "");
	assert_int_equal(prlimit(w.daemon, RLIMIT_FSIZE, &none, NULL), 0);
	until_issued();
	assert_all_recorded();
}

static void own_mounts_or_skip(void) {
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		print_message("skipped: no mounts of one's own here (%s): not root, or / is no mount point, as in a chroot\n", strerror(errno));
		skip();
	}
	assert_int_equal(mkdir(audit_dir, 0700), 0);
}

static void tmpfs_or_skip(const char *options) {
	own_mounts_or_skip();
	if (mount("hallpass-test", audit_dir, "tmpfs", 0, options) < 0) {
		print_message("skipped: cannot mount a tmpfs (%s)\n", strerror(errno));
		skip();
	}
	assert_int_equal(chmod(audit_dir, 0700), 0);
}

/* Long records, so that the segments that were made ahead are soon used up. */
static const char *long_words(void) {
	static char text[3200];

	if (!text[0]) {
		strcpy(text, ", \"justification\": \"");
		memset(text + strlen(text), 'j', 1000);
		strcat(text, "\"");
	}
	return text;
}

static void test_P1_the_disk_is_full(void **state) {
	(void)state;
	tmpfs_or_skip("size=4m,mode=700");
	world_daemon(&w);
	issue(3);
	shell("dd if=/dev/zero of=%s/filler bs=1k >/dev/null 2>&1; test -s %s/filler", audit_dir, audit_dir);
	until_refused("No space left on device (", long_words());
	shell("rm %s/filler", audit_dir);
	until_issued();
	issue(5);
	world_stop(&w, SIGTERM);
	assert_true(recorded("recovered") >= 1);
	assert_all_recorded();
}

static void test_P1_there_are_no_inodes(void **state) {
	(void)state;
	tmpfs_or_skip("size=8m,nr_inodes=12,mode=700");
	world_daemon(&w);
	issue(3);
	shell("cd %s; for i in $(seq 20); do touch filler$i 2>/dev/null || exit 0; done; exit 1", audit_dir);
	until_refused("No space left on device (", long_words());
	shell("rm %s/filler*", audit_dir);
	until_issued();
	assert_all_recorded();
}

static void test_P1_below_the_low_water_mark_only_refusals_are_recorded(void **state) {
	struct answer a;
	int64_t calls;
	size_t denied;

	(void)state;
	snprintf(w.audit_more, sizeof(w.audit_more), ", lowWater: 1MiB");
	tmpfs_or_skip("size=4m,mode=700");
	world_daemon(&w);
	issue(3);
	shell("dd if=/dev/zero of=%s/filler bs=64k count=40 >/dev/null 2>&1", audit_dir);
	poll(NULL, 0, 300); /* so that nobody knows yet: not even the first one passes */
	calls = google_calls(&w, "generateAccessToken");
	mint(&a, "");
	assert_refused(&a, calls, "less than audit.lowWater (1048576)");
	answer_fini(&a);
	until_refused("less than audit.lowWater (1048576)", "");
	denied = recorded("denied");
	assert_true(denied > 0);
	assert_true(recorded("failed") > 0);
	shell("rm %s/filler", audit_dir);
	until_issued();
	assert_all_recorded();
}

/* --- others touch the directory */

static void test_P1_the_directory_is_moved_away(void **state) {
	struct answer a;
	int64_t calls;

	(void)state;
	world_daemon(&w);
	issue(3);
	calls = google_calls(&w, "generateAccessToken");
	shell("mv %s/journal %s/elsewhere", audit_dir, audit_dir);
	mint(&a, ""); /* it is an intent that finds out */
	assert_refused(&a, calls, "was moved, removed or replaced while in use");
	answer_fini(&a);
	until_refused("was moved, removed or replaced while in use", "");
	shell("mv %s/elsewhere %s/journal", audit_dir, audit_dir);
	until_issued();
	assert_all_recorded();
}

static void test_P1_something_is_mounted_over_the_directory(void **state) {
	struct answer a;
	char journal[100];
	int64_t calls;

	(void)state;
	own_mounts_or_skip();
	snprintf(journal, sizeof(journal), "%s/journal", audit_dir);
	world_daemon(&w);
	issue(3);
	shell("mkdir -m 700 %s/other", w.dir);
	calls = google_calls(&w, "generateAccessToken");
	shell("mount --bind %s/other %s", w.dir, journal);
	mint(&a, ""); /* at once: it is an intent that finds out */
	assert_refused(&a, calls, "was moved, removed or replaced while in use");
	answer_fini(&a);
	until_refused("was moved, removed or replaced while in use", "");
	assert_int_equal(umount2(journal, MNT_DETACH), 0);
	until_issued();
	assert_all_recorded();
}

/* --- a real file system on a loop device */

static void mount_ext4(const char *device, const char *at, const char *options) {
	if (mount(device, at, "ext4", 0, options) < 0)
		fail_msg("mount %s: %s", device, strerror(errno));
}

static void ext4_mount(const char *options) {
	mount_ext4(loop_device, audit_dir, options);
	assert_int_equal(chmod(audit_dir, 0700), 0);
}

/* The file, after the shell has made it, as a device. */
static void loop_or_skip(const char *make, const char *file, char device[64]) {
	char command[600];
	FILE *p;

	snprintf(command, sizeof(command), "{ %s && losetup -f --show %s; } 2>/dev/null", make, file);
	p = popen(command, "r");
	assert_non_null(p);
	if (!fgets(device, 64, p))
		device[0] = '\0';
	device[strcspn(device, "\n")] = '\0';
	if (pclose(p) != 0 || !device[0]) {
		print_message("skipped: no loop device, or no mkfs.ext4\n");
		device[0] = '\0';
		skip();
	}
}

static void ext4_or_skip(const char *options) {
	char make[400], file[100];

	own_mounts_or_skip();
	snprintf(file, sizeof(file), "%s/disk", w.dir);
	snprintf(make, sizeof(make), "truncate -s 24M %s && mkfs.ext4 -q -F %s", file, file);
	loop_or_skip(make, file, loop_device);
	ext4_mount(options);
}

/*
 * A disk with a cache that a power cut empties, as real ones have: its blocks are a file on a file system below, whose page
 * cache is that cache. A flush of the disk is an fsync of the file; writes around the page cache above end here, too.
 */
static void cached_or_skip(void) {
	char make[400], file[100];

	own_mounts_or_skip();
	snprintf(file, sizeof(file), "%s/below", w.dir);
	snprintf(make, sizeof(make), "truncate -s 48M %s && mkfs.ext4 -q -F %s", file, file);
	loop_or_skip(make, file, cache_device);
	assert_int_equal(mkdir(cache_dir, 0700), 0);
	mount_ext4(cache_device, cache_dir, "");
	snprintf(file, sizeof(file), "%s/disk", cache_dir);
	snprintf(make, sizeof(make), "dd if=/dev/zero of=%s bs=1M count=24 && mkfs.ext4 -q -F %s && sync -f %s", file, file, file);
	loop_or_skip(make, file, loop_device);
	ext4_mount("");
}

static bool cached_cut(void) {
	const uint32_t no_flush = 2; /* EXT4_GOING_FLAGS_NOLOGFLUSH */
	int fd = open(cache_dir, O_RDONLY | O_CLOEXEC);
	bool cut = ioctl(fd, _IOR('X', 125, uint32_t), &no_flush) == 0; /* EXT4_IOC_SHUTDOWN */

	close(fd);
	return cut;
}

/* The machine comes up again. */
static void cached_again(void) {
	char file[100];

	assert_int_equal(umount2(audit_dir, 0), 0);
	loop_end(loop_device);
	assert_int_equal(umount2(cache_dir, 0), 0);
	mount_ext4(cache_device, cache_dir, "");
	snprintf(file, sizeof(file), "%s/disk", cache_dir);
	loop_or_skip("true", file, loop_device);
	ext4_mount("");
}

/* Liveness and denials while it hangs are assert_refused()'s; that it answers at all shows that the loop never waits. */
static void test_P1_the_disk_hangs(void **state) {
	struct answer a;
	json_t *records;
	int64_t calls;

	(void)state;
	snprintf(w.audit_more, sizeof(w.audit_more), ", lowWater: 0, deadline: 500ms");
	ext4_or_skip("");
	world_daemon(&w);
	issue(3);
	ask_token(&w, SA_DEV, "", &a);
	remember(&a);
	answer_fini(&a);
	calls = google_calls(&w, "generateAccessToken");
	freeze(true);
	for (int i = 0; i < 5; i++) { /* the first after the deadline, though it is in the cache; the others at once */
		if (i)
			mint(&a, "");
		else
			ask_token(&w, SA_DEV, "", &a);
		assert_refused(&a, calls, "000001.j was not written within 500 ms, the disk hangs (");
		if (!i)
			print_message("%s\n", answer_text(&a, "error.message"));
		answer_fini(&a);
	}
	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_true(json_is_false(json_object_get(json_object_get(a.json, "audit"), "healthy")));
	answer_fini(&a);
	freeze(false);
	until_issued();
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "late"), 1);
	assert_int_equal(records_count(records, "recovered"), 1);
	assert_true(records_count(records, "denied") >= 5); /* which waited for better times */
	json_decref(records);
	assert_all_recorded();
}

/* As ext4 does it after an error of its own. */
static void test_P1_the_file_system_turns_read_only(void **state) {
	char trigger[120];
	int fd;

	(void)state;
	ext4_or_skip("errors=remount-ro");
	snprintf(trigger, sizeof(trigger), "/sys/fs/ext4/%s/trigger_fs_error", strrchr(loop_device, '/') + 1);
	world_daemon(&w);
	issue(3);
	fd = open(trigger, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "test", 4) != 4) {
		print_message("skipped: this kernel triggers no errors of ext4\n");
		skip();
	}
	close(fd);
	until_refused("Read-only file system (", "");
	world_stop(&w, SIGKILL);
	assert_int_equal(umount2(audit_dir, 0), 0);
	ext4_mount("");
	assert_all_recorded();
}

static void *client(void *arg) {
	volatile bool *stop = arg;
	struct answer a;

	while (!*stop) {
		char more[64];
		static unsigned turn;

		snprintf(more, sizeof(more), ", \"lifetime\": %u", 1790 - __atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) % 1700);
		ask_token(&w, SA_DEV, more, &a);
		if (a.status == 200)
			remember(&a);
		answer_fini(&a);
	}
	return NULL;
}

static size_t received(void) {
	size_t n;

	pthread_mutex_lock(&lock);
	n = n_hashes;
	pthread_mutex_unlock(&lock);
	return n;
}

/* The disk stops as at a power cut, in the midst of it: what no sync had made durable is lost. The number of tokens lost. */
static size_t cut_the_power(const char *wrap) {
	pthread_t threads[3];
	bool stop = false, cut;
	size_t lost = 0;
	json_t *records;

	cached_or_skip();
	snprintf(w.wrap, sizeof(w.wrap), "%s", wrap);
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, client, &stop), 0);
	while (received() < 200)
		poll(NULL, 0, 1);
	cut = cached_cut();
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	if (!cut) {
		print_message("skipped: this kernel cannot cut a file system off\n");
		skip();
	}
	world_stop(&w, SIGKILL);
	cached_again();
	w.wrap[0] = '\0';
	world_daemon(&w); /* recovers whatever is left */
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_non_null(records);
	for (size_t i = 0; i < n_hashes; i++)
		lost += !records_have_token(records, hashes[i]);
	json_decref(records);
	print_message("%zu tokens received, %zu of them lost\n", n_hashes, lost);
	return lost;
}

static void test_P1_a_power_cut_loses_no_token(void **state) {
	(void)state;
	assert_int_equal(cut_the_power(""), 0);
}

/* The test of the test: without syncs it must see that tokens are lost. */
static void test_P1_a_power_cut_without_syncs_is_noticed(void **state) {
	(void)state;
	if (system("command -v eatmydata >/dev/null 2>&1") != 0) {
		print_message("skipped: eatmydata is not here\n");
		skip();
	}
	assert_true(cut_the_power("eatmydata") > 0);
}

/* --- the clock */

static void test_P1_the_clock_went_back_before_the_start(void **state) {
	struct answer a;
	json_t *records;

	(void)state;
	world_clock(&w, 0);
	world_daemon(&w);
	issue(1);
	world_stop(&w, SIGTERM);
	world_clock(&w, -3600);
	world_daemon(&w);
	mint(&a, "");
	print_message("%s\n", answer_text(&a, "error.message"));
	assert_int_equal(a.status, 503);
	assert_string_equal(answer_text(&a, "error.details.0.reason"), "CLOCK_BEHIND");
	answer_fini(&a);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1);
	world_clock(&w, 0);
	issue(1);
	world_clock(&w, -120); /* and while it runs */
	mint(&a, "");
	assert_int_equal(a.status, 503);
	assert_string_equal(answer_text(&a, "error.details.0.reason"), "CLOCK_BEHIND");
	answer_fini(&a);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "failed"), 2);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "failed"), "reason")), "CLOCK_BEHIND");
	json_decref(records);
}

#define FAULT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		FAULT(test_P1_write_fails_with_ENOSPC),
		FAULT(test_P1_write_fails_with_EIO),
		FAULT(test_P1_write_fails_on_a_read_only_file_system),
		FAULT(test_P1_fdatasync_fails_for_a_while),
		FAULT(test_P1_fdatasync_fails_once),
		FAULT(test_P1_write_is_short),
		FAULT(test_P1_fdatasync_fails_for_ever),
		FAULT(test_P1_the_file_size_limit_is_reached),
		FAULT(test_P1_the_disk_is_full),
		FAULT(test_P1_there_are_no_inodes),
		FAULT(test_P1_below_the_low_water_mark_only_refusals_are_recorded),
		FAULT(test_P1_the_directory_is_moved_away),
		FAULT(test_P1_something_is_mounted_over_the_directory),
		FAULT(test_P1_the_disk_hangs),
		FAULT(test_P1_the_file_system_turns_read_only),
		FAULT(test_P1_a_power_cut_loses_no_token),
		FAULT(test_P1_a_power_cut_without_syncs_is_noticed),
		FAULT(test_P1_the_clock_went_back_before_the_start),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
