/* listener: a socket that nobody else can have put there, and that nobody reaches before its mode and group are right. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "broker/listener.h"
#include "hallpass/cleanup.h"

static char dir[64];

static int setup(void **state) {
	(void)state;
	strcpy(dir, "/tmp/hallpass-test-listener.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
	char command[256];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s %s-link", dir, dir);
	return system(command);
}

static const char *in_dir(const char *name) {
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct sockaddr_un address(const char *path) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	assert_true(strlen(path) < sizeof(un.sun_path));
	strcpy(un.sun_path, path);
	return un;
}

/* Binds by hand: what somebody else, or a server that died, has left there. */
static int squat(const char *path, int type, bool listening) {
	struct sockaddr_un un = address(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	if (listening)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int knock(const char *path) {
	struct sockaddr_un un = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = connect(fd, (struct sockaddr *)&un, sizeof(un));

	close(fd);
	return r;
}

static void assert_refused(const char *path, const char *group, enum error_code code, const char *says) {
	struct listener *l = NULL;
	struct error err = { 0 };

	assert_int_equal(listener_unix(path, 0600, group, &l, &err), -1);
	print_message("%s\n", err.message);
	assert_null(l);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.message, says));
}

static size_t entries(void) {
	DIR *d = opendir(dir);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void test_listener_makes_a_socket_and_takes_it_away(void **state) {
	struct listener *l = NULL;
	struct error err;
	struct stat st;

	(void)state;
	assert_int_equal(listener_unix(in_dir("s"), 0640, NULL, &l, &err), 0);
	assert_int_equal(stat(in_dir("s"), &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(entries(), 1); /* the private directory is gone */
	assert_int_equal(knock(in_dir("s")), 0);
	listener_free(l);
	assert_int_equal(entries(), 0);
	listener_free(NULL);
}

static void test_listener_makes_the_last_directory(void **state) {
	struct listener *l = NULL;
	struct error err;
	struct stat st;

	(void)state;
	assert_int_equal(listener_unix(in_dir("new/s"), 0600, NULL, &l, &err), 0);
	assert_int_equal(stat(in_dir("new"), &st), 0);
	/* Others must be able to reach a system's socket; whom it lets in is its own mode. */
	assert_int_equal(st.st_mode & 07777, geteuid() ? 0700 : 0755);
	listener_free(l);
	assert_refused(in_dir("no/such/s"), NULL, ERR_UNAVAILABLE, "No such file");
}

static void test_listener_refuses_a_place_that_is_taken(void **state) {
	struct sockaddr_un un = address(in_dir("busy"));
	int live = squat(in_dir("live"), SOCK_STREAM, true), datagram = squat(in_dir("datagram"), SOCK_DGRAM, false);
	int busy = squat(in_dir("busy"), SOCK_STREAM, true), clients[8], n = 0, file = open(in_dir("file"), O_CREAT | O_WRONLY, 0600);

	(void)state;
	/* One whose backlog is full is as alive as any. */
	do {
		clients[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	} while (connect(clients[n++], (struct sockaddr *)&un, sizeof(un)) == 0 && n < 8);
	assert_refused(in_dir("live"), NULL, ERR_UNAVAILABLE, "another server listens there; stop it first");
	assert_refused(in_dir("busy"), NULL, ERR_UNAVAILABLE, "another server");
	assert_refused(in_dir("datagram"), NULL, ERR_UNAVAILABLE, "another server");
	assert_refused(in_dir("file"), NULL, ERR_INVALID, "is no socket: remove it");
	assert_refused(in_dir("file/s"), NULL, ERR_UNAVAILABLE, "Not a directory");
	assert_int_equal(symlink("/nowhere", in_dir("dangling")), 0);
	assert_refused(in_dir("dangling"), NULL, ERR_INVALID, "is no socket");
	assert_int_equal(knock(in_dir("live")), 0); /* and still has it */
	while (n)
		close(clients[--n]);
	close(live);
	close(busy);
	close(datagram);
	close(file);
}

static void test_listener_refuses_a_live_socket_that_lets_nobody_in(void **state) {
	int fd;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: a socket that we may not connect to needs root and another user\n");
		skip();
	}
	fd = squat(in_dir("closed"), SOCK_STREAM, true);
	assert_int_equal(chmod(in_dir("closed"), 0600), 0);
	assert_int_equal(chown(dir, 1234, 1234), 0);
	assert_int_equal(seteuid(1234), 0);
	assert_refused(in_dir("closed"), NULL, ERR_UNAVAILABLE, "another server");
	assert_int_equal(seteuid(0), 0);
	close(fd);
}

static void test_listener_refuses_unsafe_directories(void **state) {
	static const mode_t modes[] = { 0777, 0770, 01777, 0722 };
	char link[128], path[160];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_int_equal(chmod(dir, modes[i]), 0);
		assert_refused(in_dir("s"), NULL, ERR_INVALID, "chmod go-w");
	}
	assert_int_equal(chmod(dir, 0700), 0);
	snprintf(link, sizeof(link), "%s-link", dir);
	assert_int_equal(symlink(dir, link), 0);
	snprintf(path, sizeof(path), "%s/s", link);
	assert_refused(path, NULL, ERR_INVALID, "symbolic link on the way");
	if (geteuid() == 0) {
		assert_int_equal(chown(dir, 1234, 1234), 0);
		assert_refused(in_dir("s"), NULL, ERR_INVALID, "belongs to uid 1234");
	}
}

static void test_listener_refuses_paths_that_no_socket_can_have(void **state) {
	char longer[300];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/', longer[4] = '/', longer[sizeof(longer) - 1] = '\0';
	assert_refused(longer, NULL, ERR_INVALID, "at most 107 bytes");
	assert_refused("/s", NULL, ERR_INVALID, "absolute path below some directory");
	assert_refused("s", NULL, ERR_INVALID, "absolute path");
	assert_refused("/tmp/", NULL, ERR_INVALID, "absolute path");
	/* It would fit, the private place beside it does not. */
	snprintf(longer, sizeof(longer), "%s/%.*s", dir, (int)(100 - strlen(dir) - 1), "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
		 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	assert_int_equal(mkdir(longer, 0700), 0);
	strcat(longer, "/s");
	assert_refused(longer, NULL, ERR_INVALID, "too long for a socket's directory");
}

static void test_listener_replaces_what_is_stale(void **state) {
	struct listener *l = NULL;
	struct error err;
	char private[32];

	(void)state;
	close(squat(in_dir("s"), SOCK_STREAM, true));
	/* What a process that had our pid left behind when it was killed. */
	snprintf(private, sizeof(private), ".hp%ld", (long)getpid());
	assert_int_equal(mkdir(in_dir(private), 0755), 0);
	snprintf(private, sizeof(private), ".hp%ld/s", (long)getpid());
	close(squat(in_dir(private), SOCK_STREAM, true));
	assert_int_equal(listener_unix(in_dir("s"), 0600, NULL, &l, &err), 0);
	assert_int_equal(knock(in_dir("s")), 0);
	assert_int_equal(entries(), 1);
	listener_free(l);
}

static void test_listener_leaves_what_is_not_its_own(void **state) {
	struct listener *l = NULL;
	struct error err;
	int fd;

	(void)state;
	assert_int_equal(listener_unix(in_dir("s"), 0600, NULL, &l, &err), 0);
	assert_int_equal(unlink(in_dir("s")), 0);
	fd = squat(in_dir("s"), SOCK_STREAM, true);
	listener_free(l);
	assert_int_equal(knock(in_dir("s")), 0);
	close(fd);
}

/* A process that watches the place until the pipe is closed: 0: whatever stood there had that mode and group, and was seen. */
static int watch(const char *path, mode_t mode, gid_t gid, int until) {
	int seen = 0, wrong = 0;
	struct stat st;
	char c;

	while (read(until, &c, 1) < 0) {
		if (stat(path, &st) < 0)
			continue;
		seen++;
		wrong += (st.st_mode & 07777) != mode || st.st_gid != gid;
	}
	return wrong ? 1 : !seen;
}

static void test_listener_sets_mode_and_group_before_anybody_can_connect(void **state) {
	const char *group = geteuid() == 0 ? "daemon" : NULL;
	struct group *gr = group ? getgrnam(group) : NULL;
	int until[2], status;
	struct error err;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(until, O_NONBLOCK | O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		close(until[1]);
		_exit(watch(in_dir("s"), 0660, gr ? gr->gr_gid : getegid(), until[0]));
	}
	close(until[0]);
	for (int i = 0; i < 300; i++) {
		struct listener *l = NULL;

		if (listener_unix(in_dir("s"), 0660, group, &l, &err) < 0)
			fail_msg("%s", err.message);
		if (i % 10 == 0)
			usleep(1000); /* on one core the watcher needs its turn */
		listener_free(l);
	}
	close(until[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_refused(in_dir("t"), "no-such-group-here", ERR_INVALID, "no group \"no-such-group-here\"");
	assert_int_equal(entries(), 0); /* nothing is left of what failed */
}

static void test_listener_gives_away_no_group_that_is_not_ours(void **state) {
	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: giving up root needs root\n");
		skip();
	}
	assert_int_equal(chown(dir, 1234, 1234), 0);
	assert_int_equal(setegid(1234), 0);
	assert_int_equal(seteuid(1234), 0);
	assert_refused(in_dir("s"), "daemon", ERR_INVALID, "cannot give the socket to group daemon");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setegid(0), 0);
	assert_int_equal(entries(), 0);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		IN_DIR(test_listener_makes_a_socket_and_takes_it_away),
		IN_DIR(test_listener_makes_the_last_directory),
		IN_DIR(test_listener_refuses_a_place_that_is_taken),
		IN_DIR(test_listener_refuses_a_live_socket_that_lets_nobody_in),
		IN_DIR(test_listener_refuses_unsafe_directories),
		IN_DIR(test_listener_refuses_paths_that_no_socket_can_have),
		IN_DIR(test_listener_replaces_what_is_stale),
		IN_DIR(test_listener_leaves_what_is_not_its_own),
		IN_DIR(test_listener_sets_mode_and_group_before_anybody_can_connect),
		IN_DIR(test_listener_gives_away_no_group_that_is_not_ours),
	};

	umask(077);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
