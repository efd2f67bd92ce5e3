/* P4 on the real daemon: a caller is who the kernel says, through user namespaces, passed descriptors, vanished processes and peers rules. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/world.h"

#define ALICE 12001
#define BOB 12002
#define OVERFLOW_UID 65534
#define NO_NAMESPACE 210 /* no status of HTTP: what a process says that could not make one */

static struct world w;

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	return world_end_well(&w);
}

static void needs_root(void) {
	if (geteuid() == 0)
		return;
	print_message("skipped: speaking as another uid needs root\n");
	skip();
}

static void daemon_for_all(const char *more) {
	snprintf(w.config_more, sizeof(w.config_more), "%s", more);
	world_daemon(&w);
	assert_int_equal(chmod(w.dir, 0755), 0);
	assert_int_equal(chmod(w.socket, 0666), 0);
}

static int dial(void) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", w.socket);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool say(int fd) {
	static const char body[] = "{\"serviceAccount\": \"" SA_DEV "\"}";
	char text[1024];
	int n = snprintf(text, sizeof(text),
			 "POST /v1/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%s", sizeof(body) - 1, body);

	return send(fd, text, (size_t)n, MSG_NOSIGNAL) == n;
}

/* The status; 0: none came. */
static int status_from(int fd) {
	char text[16] = "";
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, 30000) <= 0 || recv(fd, text, sizeof(text) - 1, 0) < 12)
		return 0;
	return atoi(text + 9);
}

static void become(uid_t uid) {
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		_exit(1);
}

/* Runs in a process of its own, which says what it got as its exit code, less 200: 401 and 403 are not the same. */
static int ask_status(void (*prepare)(void *arg), void *arg) {
	int status, fd;
	pid_t pid = fork();

	if (pid == 0) {
		prepare(arg);
		fd = dial();
		say(fd);
		_exit(status_from(fd) - 200);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) + 200 : -1;
}

static void be(void *arg) {
	become(*(uid_t *)arg);
}

static int ask_as(uid_t uid) {
	return ask_status(be, &uid);
}

static json_t *last_of(const char *type) {
	json_t *records, *last;

	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	last = json_incref(records_last(records, type));
	json_decref(records);
	assert_non_null(last);
	return last;
}

static void assert_member(const json_t *record, const char *key, int64_t value) {
	assert_int_equal(json_integer_value(json_object_get(record, key)), value);
}

/* The account's uid and primary group; libc keeps one struct for all answers. */
static bool account(const char *name, uid_t *uid, gid_t *gid) {
	const struct passwd *pw = getpwnam(name);

	if (!pw)
		return false;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return true;
}

static void test_P4_peers_rules_by_uid_user_and_group(void **state) {
	uid_t uid = 0, bin = 0, games = 0;
	gid_t gid = 0, games_gid = 0;
	int status;
	pid_t pid;

	(void)state;
	needs_root();
	if (!account("bin", &bin, &gid) || !account("games", &games, &games_gid) || !account("daemon", &uid, &gid)) {
		print_message("skipped: this system has no users daemon, bin and games\n");
		skip();
	}
	world_policy(&w, "version: 1\nbindings:\n"
			 "  - {name: all, members: [\"user:by-uid@example.com\", \"user:by-name@example.com\", "
			 "\"user:games@by-group.example\", \"" ME "\"], serviceAccounts: [" SA_DEV "]}\n");
	daemon_for_all("peers:\n"
		       "  - {uid: 0, principal: \"" ME "\"}\n"
		       "  - {uid: 12001, principal: \"user:by-uid@example.com\"}\n"
		       "  - {user: bin, principal: \"user:by-name@example.com\"}\n"
		       "  - {group: games, principal: \"user:{name}@by-group.example\"}\n");
	assert_int_equal(ask_as(ALICE), 200);
	assert_int_equal(ask_as(bin), 200);
	assert_int_equal(ask_as(games), 200);
	/* Known to the system, to no rule; then known to neither. */
	assert_int_equal(ask_as(uid), 401);
	assert_int_equal(ask_as(BOB), 401);
	/* A group is what the system says of the account, not what the process carries. */
	pid = fork();
	if (pid == 0) {
		int fd;

		if (setgroups(1, &games_gid) < 0 || setresgid(games_gid, games_gid, games_gid) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(1);
		fd = dial();
		say(fd);
		_exit(status_from(fd) - 200);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(WEXITSTATUS(status) + 200, 401);
}

static void test_P4_the_overflow_uid_is_nobody(void **state) {
	char text[4096] = "";
	int status;
	pid_t pid;

	(void)state;
	needs_root();
	daemon_for_all("peers: [{uid: 0, principal: \"" ME "\"}, {uid: 65534, principal: \"" ME "\"}]\n");
	assert_int_equal(ask_as(OVERFLOW_UID), 401);
	/* Not even liveness: it is refused before a byte is read. */
	pid = fork();
	if (pid == 0) {
		int fd;

		become(OVERFLOW_UID);
		fd = dial();
		_exit(fd >= 0 && recv(fd, text, sizeof(text) - 1, MSG_WAITALL) > 0 && !strncmp(text, "HTTP/1.1 401 ", 13) &&
				      strstr(text, "user namespace") ? 0 : 2);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void write_text(const char *path, const char *text) {
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(NO_NAMESPACE - 200);
	close(fd);
}

static void be_root_inside(void *arg) {
	char map[64];

	(void)arg;
	become(ALICE);
	/* Who changed his uid may not write to his own /proc files until he says so. */
	if (prctl(PR_SET_DUMPABLE, 1) < 0 || unshare(CLONE_NEWUSER) < 0)
		_exit(NO_NAMESPACE - 200);
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %d 1", ALICE);
	write_text("/proc/self/uid_map", map);
	write_text("/proc/self/gid_map", map);
	if (getuid() != 0)
		_exit(NO_NAMESPACE - 200);
}

/* Who makes himself root in a namespace of his own is seen as who he is outside. */
static void test_P4_root_in_a_user_namespace_is_who_he_is_outside(void **state) {
	json_t *record;
	int status;

	(void)state;
	needs_root();
	daemon_for_all("peers: [{uid: 0, principal: \"" ME "\"}]\n");
	status = ask_status(be_root_inside, NULL);
	if (status == NO_NAMESPACE) {
		print_message("skipped: no user namespaces for ordinary users here\n");
		skip();
	}
	assert_int_equal(status, 401);
	record = last_of("denied");
	assert_member(record, "uid", ALICE);
	json_decref(record);
}

static void send_fd(int over, int fd) {
	char byte = 'x', control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(over, &msg, 0) != 1)
		_exit(1);
}

static int receive_fd(int over) {
	char byte, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(over, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		_exit(1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* Alice connects and gives the connection to Bob: what he asks on it is asked by whom the kernel saw connect. */
static void test_P4_a_passed_connection_is_its_connecters(void **state) {
	json_t *record;
	int pair[2], status;
	pid_t alice, bob;

	(void)state;
	needs_root();
	daemon_for_all("peers: [{uid: 0, principal: \"" ME "\"}, {uid: 12001, principal: \"" ME "\"}]\n");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	alice = fork();
	if (alice == 0) {
		become(ALICE);
		send_fd(pair[0], dial());
		_exit(0);
	}
	waitpid(alice, &status, 0);
	assert_int_equal(status, 0);
	bob = fork();
	if (bob == 0) {
		int fd;

		become(BOB);
		fd = receive_fd(pair[1]);
		say(fd);
		_exit(status_from(fd) == 200 ? 0 : 2);
	}
	waitpid(bob, &status, 0);
	assert_int_equal(status, 0);
	close(pair[0]);
	close(pair[1]);
	record = last_of("issued");
	assert_member(record, "uid", ALICE);
	assert_member(record, "pid", alice);
	json_decref(record);
}

static bool kernel_vouches_for_pids(void) {
	int pair[2], pidfd = -1, r;
	socklen_t len = sizeof(pidfd);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	r = getsockopt(pair[0], SOL_SOCKET, 77 /* SO_PEERPIDFD */, &pidfd, &len);
	if (r == 0)
		close(pidfd);
	close(pair[0]);
	close(pair[1]);
	return r == 0;
}

static void test_P4_the_executable_is_that_of_the_process_that_connected(void **state) {
	char out[4096];
	const char *exe;
	json_t *record;

	(void)state;
	if (!kernel_vouches_for_pids()) {
		print_message("skipped: this kernel has no SO_PEERPIDFD (6.5 has)\n");
		skip();
	}
	world_daemon(&w);
	assert_int_equal(run_cli(&w, out, sizeof(out), NULL, 0, "token", SA_DEV, NULL), 0);
	record = last_of("issued");
	exe = json_string_value(json_object_get(record, "exe"));
	assert_non_null(exe);
	print_message("%s\n", exe);
	assert_true(exe[0] == '/' && strlen(exe) > 9 && !strcmp(exe + strlen(exe) - 9, "/hallpass"));
	json_decref(record);
}

/* Ours, under the pid of one that is gone; -1: this system lets nobody choose. */
static pid_t process_with_pid(pid_t pid) {
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };
	pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	while (child == 0)
		pause();
	return child;
}

/* A process that is gone before it is looked at, and whose pid is somebody else's by now: no executable is named. */
static void test_P4_a_process_that_is_gone_has_no_executable(void **state) {
	json_t *record;
	int pair[2], fd, status;
	pid_t pid, heir;

	(void)state;
	if (!kernel_vouches_for_pids()) {
		print_message("skipped: this kernel has no SO_PEERPIDFD (6.5 has)\n");
		skip();
	}
	world_daemon(&w);
	kill(w.daemon, SIGSTOP);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		send_fd(pair[0], dial());
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	heir = process_with_pid(pid);
	if (heir < 0)
		print_message("nobody can be given its pid here: %s\n", strerror(errno));
	fd = receive_fd(pair[1]);
	say(fd);
	kill(w.daemon, SIGCONT);
	assert_int_equal(status_from(fd), 200);
	if (heir > 0) {
		kill(heir, SIGKILL);
		waitpid(heir, NULL, 0);
	}
	close(fd);
	close(pair[0]);
	close(pair[1]);
	record = last_of("issued");
	assert_member(record, "uid", geteuid());
	assert_member(record, "pid", pid);
	assert_null(json_object_get(record, "exe"));
	json_decref(record);
}

/* The first look-up of an account runs while its clients come and go. */
static void test_P4_clients_may_leave_while_their_account_is_looked_up(void **state) {
	struct answer a;

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more),
		 "limits: {requestsPerMinute: 1000000, burst: 100000}\npeers: [{group: no-such-group-here, principal: \"user:x@example.com\"}, "
		 "{uid: %u, principal: \"" ME "\"}]\n", geteuid());
	for (int round = 0; round < 5; round++) {
		int fds[40];

		world_daemon(&w); /* it has looked nobody up yet */
		kill(w.daemon, SIGSTOP);
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
			fds[i] = i % 2 ? dial() : ask_begin(&w, "GET", "/v1/whoami", NULL);
			if (i % 2)
				say(fds[i]);
		}
		kill(w.daemon, SIGCONT);
		for (size_t i = 0; i < ARRAY_SIZE(fds); i += (size_t)round % 3 + 1)
			shutdown(fds[i], SHUT_WR);
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
			close(fds[i]);
		ask(&w, "GET", "/v1/whoami", NULL, &a);
		assert_int_equal(a.status, 200);
		assert_string_equal(answer_text(&a, "principal"), ME);
		answer_fini(&a);
		assert_int_equal(world_stop(&w, SIGTERM), 0);
	}
}

/* A daemon whose name service does not answer: to it alone /etc/passwd is a pipe that nobody writes to. */
static bool daemon_without_names(void) {
	char script[128], pipe_path[128];
	FILE *f;

	snprintf(script, sizeof(script), "%s/without-names", w.dir);
	snprintf(pipe_path, sizeof(pipe_path), "%s/pipe", w.dir);
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	f = fopen(script, "we");
	assert_non_null(f);
	fprintf(f, "mount --bind %s /etc/passwd && exec \"$@\"\n", pipe_path);
	fclose(f);
	snprintf(w.wrap, sizeof(w.wrap), "unshare --mount sh %s", script);
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{user: somebody, principal: \"" ME "\"}]\n");
	return world_daemon_try(&w);
}

/* Who must be looked up is told so in the end; who looks after the broker gets through to it all the same. */
static void test_P7_a_name_service_that_does_not_answer_stops_no_operator(void **state) {
	static const struct {
		const char *method, *path, *body;
		int status;
	} asked[] = {
		{ "GET", "/v1/status", NULL, 200 },
		{ "POST", "/v1/reload", "{}", 200 },
		{ "GET", "/v1/list", NULL, 503 },
		{ "POST", "/v1/token", "{\"serviceAccount\": \"" SA_DEV "\"}", 503 },
	};
	int fds[ARRAY_SIZE(asked)];
	struct answer a;

	(void)state;
	needs_root();
	if (!daemon_without_names()) {
		print_message("skipped: no mounts of one's own here\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
		fds[i] = ask_begin(&w, asked[i].method, asked[i].path, asked[i].body);
	ask(&w, "GET", "/healthz", NULL, &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		assert_true(ask_end(fds[i], &a));
		assert_int_equal(a.status, asked[i].status);
		assert_true(a.status == 200 || !strcmp(answer_text(&a, "error.details.0.reason"), "NAME_SERVICE"));
		answer_fini(&a);
	}
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_P4_peers_rules_by_uid_user_and_group),
		SCENARIO(test_P4_the_overflow_uid_is_nobody),
		SCENARIO(test_P4_root_in_a_user_namespace_is_who_he_is_outside),
		SCENARIO(test_P4_a_passed_connection_is_its_connecters),
		SCENARIO(test_P4_the_executable_is_that_of_the_process_that_connected),
		SCENARIO(test_P4_a_process_that_is_gone_has_no_executable),
		SCENARIO(test_P4_clients_may_leave_while_their_account_is_looked_up),
		SCENARIO(test_P7_a_name_service_that_does_not_answer_stops_no_operator),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
