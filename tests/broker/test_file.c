/* file: whole files or none, whatever stands at the path; zonefile: zones from the system's directory, and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "broker/file.h"
#include "broker/zonefile.h"
#include "hallpass/cleanup.h"

static char dir[] = "/tmp/hallpass-test-file.XXXXXX";

static const char *path_in(const char *name) {
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int setup(void **state) {
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
	char command[80];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void put(const char *name, const void *bytes, size_t n) {
	FILE *f = fopen(path_in(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void test_file_reads_every_byte_and_ends_in_nul(void **state) {
	static const char bytes[] = "a\0b\n\xff";
	struct error err;
	char *data;
	size_t n;

	(void)state;
	put("bytes", bytes, sizeof(bytes) - 1);
	assert_int_equal(file_read(path_in("bytes"), 5, &data, &n, &err), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(data, bytes, 6); /* with the NUL */
	free(data);
	put("empty", "", 0);
	assert_int_equal(file_read(path_in("empty"), 5, &data, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_string_equal(data, "");
	free(data);
	assert_int_equal(symlink("bytes", path_in("link")), 0); /* a link to a file is a file */
	assert_int_equal(file_read(path_in("link"), 5, &data, &n, &err), 0);
	free(data);
}

static void make_socket(const char *path) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(un.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
}

static void test_file_refuses_what_is_no_file_without_waiting(void **state) {
	static const struct {
		const char *name;
		enum error_code code;
		const char *message;
	} cases[] = {
		{ "none", ERR_NOT_FOUND, "No such file" },   { "none/below", ERR_NOT_FOUND, "No such file" },
		{ ".", ERR_INVALID, "not a regular file" },  { "fifo", ERR_INVALID, "not a regular file" },
		{ "six", ERR_INVALID, "at most 5 are read" }, { "six/below", ERR_INVALID, "Not a directory" },
		{ "loop", ERR_INVALID, "Too many levels" }, { "socket", ERR_INVALID, "No such device" },
		{ "../../dev/zero", ERR_INVALID, "not a regular file" },
	};

	(void)state;
	put("six", "123456", 6);
	assert_int_equal(mkfifo(path_in("fifo"), 0600), 0);
	assert_int_equal(symlink("loop", path_in("loop")), 0);
	make_socket(path_in("socket"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };
		char *data = NULL;
		size_t n;

		assert_int_equal(file_read(path_in(cases[i].name), 5, &data, &n, &err), -1);
		print_message("%s\n", err.message);
		assert_int_equal(err.code, cases[i].code);
		assert_non_null(strstr(err.message, cases[i].message));
		assert_non_null(strstr(err.message, path_in(cases[i].name)));
		assert_null(data);
	}
}

#define SHORT 1000000
#define LONG 3000000

static void *grow_and_shrink(void *arg) {
	atomic_bool *stop = arg;
	int fd = open(path_in("changing"), O_WRONLY);

	for (unsigned i = 0; !atomic_load(stop); i++)
		if (ftruncate(fd, i % 2 ? LONG : SHORT) < 0)
			break;
	close(fd);
	return NULL;
}

/* Never less than it was said to be: a policy cut in two at a lucky line is a policy, too. */
static void test_file_gives_the_whole_of_a_file_that_changes_or_nothing(void **state) {
	size_t whole = 0, refused = 0, odd = 0;
	static char zeros[SHORT];
	atomic_bool stop = false;
	pthread_t thread;

	(void)state;
	put("changing", zeros, sizeof(zeros));
	assert_int_equal(pthread_create(&thread, NULL, grow_and_shrink, &stop), 0);
	for (int i = 0; i < 300; i++) {
		struct error err = { 0 };
		char *data = NULL;
		size_t n = 0;

		if (file_read(path_in("changing"), LONG, &data, &n, &err) == 0) {
			whole += n == SHORT || n == LONG;
			odd += n != SHORT && n != LONG;
		} else {
			refused++;
			odd += !strstr(err.message, "changed while it was read");
		}
		free(data);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	print_message("%zu whole, %zu refused\n", whole, refused);
	assert_int_equal(odd, 0);
}

static void test_zonefile_reads_zones_where_TZDIR_says(void **state) {
	unsigned char *data;
	char long_name[600];
	size_t n;

	(void)state;
	put("Zone", "TZif", 4);
	setenv("TZDIR", dir, 1);
	assert_int_equal(zonefile_host.read_zone(zonefile_host.arg, "Zone", &data, &n), 0);
	assert_int_equal(n, 4);
	assert_memory_equal(data, "TZif", 4);
	free(data);
	assert_int_equal(zonefile_host.read_zone(zonefile_host.arg, "Europe/Nowhere", &data, &n), -1);
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(zonefile_host.read_zone(zonefile_host.arg, long_name, &data, &n), -1);
	setenv("TZDIR", "relative", 1); /* not by where we happen to stand */
	assert_int_equal(zonefile_host.read_zone(zonefile_host.arg, "UTC", &data, &n), 0);
	free(data);
	unsetenv("TZDIR");
	assert_int_equal(zonefile_host.read_zone(zonefile_host.arg, "Europe/Berlin", &data, &n), 0);
	assert_memory_equal(data, "TZif", 4);
	free(data);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_reads_every_byte_and_ends_in_nul),
		cmocka_unit_test(test_file_refuses_what_is_no_file_without_waiting),
		cmocka_unit_test(test_file_gives_the_whole_of_a_file_that_changes_or_nothing),
		cmocka_unit_test(test_zonefile_reads_zones_where_TZDIR_says),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
