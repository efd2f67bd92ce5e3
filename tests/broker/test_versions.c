/* versions: policies kept by hash beside the log, and which it was when; past: one of them loaded again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/past.h"
#include "broker/versions.h"
#include "hallpass/cleanup.h"

#define TEXT "version: 1\nbindings: []\n"
#define OTHER "version: 1\n"

static char dir[64], hash[SHA256_HEX], other[SHA256_HEX];

static int setup(void **state) {
	(void)state;
	strcpy(dir, "/tmp/hallpass-test-versions.XXXXXX");
	sha256_hex(TEXT, strlen(TEXT), hash);
	sha256_hex(OTHER, strlen(OTHER), other);
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
	char command[256];

	(void)state;
	snprintf(command, sizeof(command), "chmod -R u+w %s; rm -rf %s", dir, dir);
	return system(command);
}

static const char *path_of(const char *name) {
	static char path[200];

	snprintf(path, sizeof(path), "%s/policies%s%s", dir, *name ? "/" : "", name);
	return path;
}

static const char *file_of(const char *version) {
	char name[80];

	snprintf(name, sizeof(name), "%s.yaml", version);
	return path_of(name);
}

static void put(const char *path, const char *text) {
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int read_version(const char *version, struct error *err) {
	char *text = NULL;
	size_t len = 0;
	int r = version_read(dir, version, &text, &len, err);

	if (r == 0)
		assert_int_equal(len, strlen(text));
	free(text);
	return r;
}

static void test_version_is_kept_whole_and_private(void **state) {
	struct error err;
	struct stat st;
	char *text;
	size_t len;

	(void)state;
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), 0);
	assert_int_equal(stat(path_of(""), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(file_of(hash), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(version_read(dir, hash, &text, &len, &err), 0);
	assert_string_equal(text, TEXT);
	free(text);
	/* printf 'version: 1\n' | sha256sum */
	assert_string_equal(other, "09bfcc6a14b83e2192b8673677725c84883ee9cd0c70e45c9ec09daa8f2b2847");
}

static void test_version_is_not_written_twice(void **state) {
	struct stat before, after;
	struct error err;

	(void)state;
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), 0);
	assert_int_equal(stat(file_of(hash), &before), 0);
	assert_int_equal(chmod(path_of(""), 0500), 0); /* and needs no room */
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), 0);
	assert_int_equal(stat(file_of(hash), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void test_version_that_was_changed_is_neither_read_nor_overwritten(void **state) {
	struct error err;
	struct stat st;

	(void)state;
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), 0);
	put(file_of(hash), OTHER);
	assert_int_equal(read_version(hash, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.message, "it was changed; restore it from a backup, or move it away"));
	assert_non_null(strstr(err.message, file_of(hash)));
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(stat(file_of(hash), &st), 0);
	assert_int_equal(st.st_size, strlen(OTHER));
	unlink(file_of(hash)); /* as it says */
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), 0);
	assert_int_equal(read_version(hash, &err), 0);
}

static void test_version_that_is_not_kept_is_not_found(void **state) {
	struct error err;

	(void)state;
	assert_int_equal(read_version(other, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.message, "09bfcc6a14b8… is not kept"));
	assert_int_equal(read_version("../../etc/passwd", &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

static void test_version_survives_what_a_crash_left(void **state) {
	struct error err;

	(void)state;
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), 0);
	put(path_of("unfinished"), "vers");
	assert_int_equal(version_keep(dir, other, STR(OTHER), &err), 0);
	assert_int_equal(read_version(other, &err), 0);
	assert_int_equal(access(path_of("unfinished"), F_OK), -1);
}

/* A file that may not grow stands for a disk that is full. */
static void test_version_without_room_leaves_nothing(void **state) {
	struct rlimit was, none;
	struct error err;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &was);
	none = was;
	none.rlim_cur = 4;
	setrlimit(RLIMIT_FSIZE, &none);
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), -1);
	setrlimit(RLIMIT_FSIZE, &was);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.message, "cannot keep the policy beside the log: cannot write "));
	assert_int_equal(access(file_of(hash), F_OK), -1);
	assert_int_equal(access(path_of("unfinished"), F_OK), -1);
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), 0);
}

/* ---- which it was when ---- */

static void add_record(struct versions *v, const char *type, const char *time, const char *policy) {
	char json[512];

	snprintf(json, sizeof(json), "{\"type\":\"%s\",\"time\":\"%s\",\"policy\":\"%s\"}", type, time, policy);
	versions_add_record(v, str_of(json));
}

static void test_versions_tell_what_was_in_force_when(void **state) {
	struct versions v = { 0 };

	(void)state;
	add_record(&v, "start", "1970-01-01T00:16:40.500Z", hash);
	add_record(&v, "issued", "1970-01-01T00:17:00.000Z", other);
	add_record(&v, "reload", "1970-01-01T00:17:30.000Z", hash); /* refused, or nothing new */
	add_record(&v, "reload", "1970-01-01T00:18:20.000Z", other);
	add_record(&v, "start", "1970-01-01T00:20:00.000Z", other);
	add_record(&v, "start", "soon", hash);
	add_record(&v, "start", "1970-01-01T00:21:00.000Z", "no hash");
	versions_add_record(&v, STR("{\"type\":\"start\",\"time\":\"1970-01-01T00:21:00.000Z\"}"));
	versions_add_record(&v, STR("{\"type\":\"start\", nonsense"));
	versions_add(&v, 2000, hash);
	assert_int_equal(v.n, 3);
	assert_null(versions_at(&v, 999));
	assert_string_equal(versions_at(&v, 1000)->hash, hash);
	assert_string_equal(versions_at(&v, 1099)->hash, hash);
	assert_string_equal(versions_at(&v, 1100)->hash, other);
	assert_int_equal(versions_at(&v, 1999)->since, 1100);
	assert_string_equal(versions_at(&v, INT64_MAX)->hash, hash);
	assert_int_equal(versions_of(&v, hash)->since, 2000);
	assert_int_equal(versions_of(&v, other)->since, 1100);
	assert_null(versions_of(&v, "x"));
	versions_fini(&v);
}

/* ---- loading one again ---- */

struct asked {
	unsigned n;
	bool loaded;
	struct error err;
};

static void on_loaded(struct policy *policy, const struct error *err, void *arg) {
	struct asked *asked = arg;

	asked->n++;
	asked->loaded = policy != NULL;
	asked->err = *err;
}

static struct past_wait *start(struct past *past, const char *of, past_done_fn *done, void *arg) {
	struct version version = { .since = 1774008000 };

	snprintf(version.hash, sizeof(version.hash), "%s", of);
	return past_start(past, &version, done, arg);
}

static void test_past_loads_what_is_kept(void **state) {
	struct event_base *base = event_base_new();
	struct asked asked = { 0 }, cancelled = { 0 };
	struct errands *errands;
	struct past *past;
	struct error err;

	(void)state;
	assert_int_equal(errands_new(base, &errands, &err), 0);
	assert_int_equal(past_new(errands, dir, &past, &err), 0);
	assert_int_equal(version_keep(dir, hash, STR(TEXT), &err), 0);
	start(past, hash, on_loaded, &asked);
	past_cancel(start(past, hash, on_loaded, &cancelled));
	assert_int_equal(asked.n, 0); /* never from inside */
	assert_true(errands_finish(errands, 20000));
	assert_true(asked.n == 1 && asked.loaded);
	assert_int_equal(cancelled.n, 0);
	unlink(file_of(hash)); /* the last one is remembered */
	start(past, hash, on_loaded, &asked);
	assert_true(errands_finish(errands, 20000));
	assert_true(asked.n == 2 && asked.loaded);
	start(past, other, on_loaded, &asked);
	assert_true(errands_finish(errands, 20000));
	assert_true(asked.n == 3 && !asked.loaded);
	assert_int_equal(asked.err.code, ERR_NOT_FOUND);
	past_cancel(start(past, hash, on_loaded, &cancelled));
	past_free(past);
	errands_free(errands);
	event_base_free(base);
}

/* Of another release, say: its name is right, and it is no policy for this one. */
static void test_past_says_when_it_cannot_read_one(void **state) {
	struct event_base *base = event_base_new();
	struct asked asked = { 0 };
	struct errands *errands;
	char bad[SHA256_HEX];
	struct past *past;
	struct error err;

	(void)state;
	sha256_hex("version: 7\n", strlen("version: 7\n"), bad);
	assert_int_equal(errands_new(base, &errands, &err), 0);
	assert_int_equal(past_new(errands, dir, &past, &err), 0);
	assert_int_equal(version_keep(dir, bad, STR("version: 7\n"), &err), 0);
	start(past, bad, on_loaded, &asked);
	assert_true(errands_finish(errands, 20000));
	assert_false(asked.loaded);
	assert_non_null(strstr(asked.err.message, "is not one that this hallpassd can read: "));
	past_free(past);
	errands_free(errands);
	event_base_free(base);
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		WITH_DIR(test_version_is_kept_whole_and_private),
		WITH_DIR(test_version_is_not_written_twice),
		WITH_DIR(test_version_that_was_changed_is_neither_read_nor_overwritten),
		WITH_DIR(test_version_that_is_not_kept_is_not_found),
		WITH_DIR(test_version_survives_what_a_crash_left),
		WITH_DIR(test_version_without_room_leaves_nothing),
		WITH_DIR(test_versions_tell_what_was_in_force_when),
		WITH_DIR(test_past_loads_what_is_kept),
		WITH_DIR(test_past_says_when_it_cannot_read_one),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
