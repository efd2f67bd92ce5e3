/* conn, listener and peer on a real socket: order, deadlines, leaving, quotas, no descriptors, draining. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "broker/conn.h"
#include "broker/listener.h"
#include "broker/log.h"
#include "hallpass/cleanup.h"

struct world {
	struct event_base *base;
	struct conn_server *server;
	struct listener *listener;
	struct log log;
	char dir[64], path[96];
	int requests, gones, drains;
	struct conn *held; /* with hold: the one that waits for its answer */
	bool hold, big;
};

static const struct conn_limits limits = { 100, 50, 300, 1000, 400 };

static void on_request(void *arg, struct conn *conn, const struct http_request *request) {
	struct world *w = arg;
	static char body[1 << 20];

	w->requests++;
	if (w->hold) {
		w->held = conn;
		return;
	}
	memset(body, 'x', sizeof(body));
	memcpy(body, request->path.p, request->path.n);
	conn_reply(conn, &(struct http_reply){ .status = 200, .content_type = "text/plain",
					       .body = { body, w->big ? sizeof(body) : request->path.n } });
}

static void on_gone(void *arg, struct conn *conn) {
	struct world *w = arg;

	w->gones++;
	if (w->held == conn)
		w->held = NULL;
}

static int setup(void **state) {
	struct world *w = test_calloc(1, sizeof(*w));
	struct conn_handler handler = { on_request, on_gone, w };
	struct error err;
	int id;

	*state = w;
	w->base = event_base_new();
	log_init(&w->log, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
	strcpy(w->dir, "/tmp/hallpass-test-conn.XXXXXX");
	if (!mkdtemp(w->dir))
		return -1;
	snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
	if (conn_server_new(w->base, &limits, &handler, &w->log, &w->server, &err) < 0 ||
	    listener_unix(w->path, 0600, NULL, &w->listener, &err) < 0 ||
	    conn_server_listen(w->server, listener_fd(w->listener), "test", &id, &err) < 0) {
		print_message("%s\n", err.message);
		return -1;
	}
	return 0;
}

static int teardown(void **state) {
	struct world *w = *state;

	conn_server_free(w->server);
	listener_free(w->listener);
	event_base_free(w->base);
	close(w->log.fd);
	rmdir(w->dir);
	test_free(w);
	return 0;
}

static void spin(struct world *w, int ms) {
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	event_base_loopexit(w->base, &tv);
	event_base_dispatch(w->base);
}

static int dial(struct world *w) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", w->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void say(int fd, const char *text) {
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until the text ends in `end`, or until the other side closes where end is NULL. */
static size_t hear(struct world *w, int fd, char *out, size_t size, const char *end) {
	size_t n = 0;

	out[0] = '\0';
	for (int turns = 0; turns < 4000; turns++) {
		ssize_t r = recv(fd, out + n, size - 1 - n, 0);

		if (r == 0)
			return n;
		if (r > 0) {
			n += (size_t)r;
			out[n] = '\0';
			if (end && n >= strlen(end) && !strcmp(out + n - strlen(end), end))
				return n;
		} else {
			spin(w, 2);
		}
	}
	fail_msg("nothing more was heard behind: %s", out);
	return n;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void test_conn_answers_pipelined_requests_in_order(void **state) {
	struct world *w = *state;
	static char text[65536], out[65536];
	char *at = out;
	int fd = dial(w);
	size_t n = 0;

	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "GET /%03d HTTP/1.1\r\nHost: a\r\n\r\n", i);
	say(fd, text);
	hear(w, fd, out, sizeof(out), "/099");
	assert_int_equal(w->requests, 100);
	for (int i = 0; i < 100; i++) {
		char want[16];

		snprintf(want, sizeof(want), "/%03d", i);
		at = strstr(at, want);
		assert_non_null(at);
	}
	close(fd);
}

static void test_conn_waits_with_the_next_request_while_one_is_pending(void **state) {
	struct world *w = *state;
	char out[4096];
	int fd = dial(w);

	w->hold = true;
	say(fd, GET("/1") GET("/2"));
	for (int i = 0; i < 500 && !w->held; i++)
		spin(w, 2);
	spin(w, 20);
	assert_int_equal(w->requests, 1);
	w->hold = false;
	conn_reply(w->held, &(struct http_reply){ .status = 200, .content_type = "text/plain", .body = { "first", 5 } });
	hear(w, fd, out, sizeof(out), "/2");
	assert_non_null(strstr(out, "first"));
	assert_int_equal(w->requests, 2);
	close(fd);
}

static void test_conn_tells_that_a_client_left(void **state) {
	struct world *w = *state;

	w->hold = true;
	for (int how = 0; how < 3; how++) {
		int fd = dial(w);

		say(fd, how == 2 ? GET("/") "more behind it" : GET("/"));
		for (int i = 0; i < 500 && !w->held; i++)
			spin(w, 2);
		assert_non_null(w->held);
		if (how == 0)
			shutdown(fd, SHUT_WR); /* a half-close counts as leaving */
		else
			close(fd);
		for (int i = 0; i < 500 && w->held; i++)
			spin(w, 2);
		assert_int_equal(w->gones, how + 1);
		if (how == 0)
			close(fd);
	}
}

static void test_conn_ends_a_slow_head_with_408(void **state) {
	struct world *w = *state;
	char out[4096];
	int fd = dial(w);

	/* A byte now and then keeps nothing alive: the deadline is absolute. */
	for (int i = 0; i < 40; i++) {
		if (send(fd, "G", i < 1, MSG_NOSIGNAL) < 0)
			break;
		spin(w, 20);
	}
	hear(w, fd, out, sizeof(out), NULL);
	assert_non_null(strstr(out, "HTTP/1.1 408 "));
	close(fd);
}

static void test_conn_refuses_and_parses_nothing_behind(void **state) {
	struct world *w = *state;
	char out[4096];
	int fd = dial(w);

	say(fd, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" GET("/second"));
	hear(w, fd, out, sizeof(out), NULL);
	assert_non_null(strstr(out, "HTTP/1.1 400 "));
	assert_non_null(strstr(out, "two Host fields"));
	assert_int_equal(w->requests, 0);
	close(fd);
}

static void test_conn_drops_a_slow_reader(void **state) {
	struct world *w = *state;
	struct conn_counters c;
	int fd = dial(w);

	w->big = true;
	say(fd, GET("/"));
	for (int i = 0; i < 1000; i++) {
		spin(w, 5);
		conn_server_counters(w->server, &c);
		if (w->requests && c.open == 0)
			break;
	}
	assert_int_equal(c.open, 0);
	close(fd);
}

static void test_conn_limits_a_uid(void **state) {
	struct world *w = *state;
	char out[4096];
	int fds[51];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dial(w);
	spin(w, 30);
	hear(w, fds[50], out, sizeof(out), NULL);
	assert_non_null(strstr(out, "HTTP/1.1 429 "));
	close(fds[0]);
	spin(w, 30);
	close(fds[50]);
	fds[50] = dial(w);
	say(fds[50], GET("/again"));
	hear(w, fds[50], out, sizeof(out), "/again");
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void test_conn_survives_without_descriptors(void **state) {
	struct world *w = *state;
	struct rlimit before, tight;
	int first = dial(w), second = dial(w), fillers[64], n = 0;
	char out[4096];

	spin(w, 20); /* both are accepted */
	getrlimit(RLIMIT_NOFILE, &before);
	tight = (struct rlimit){ 64, before.rlim_max };
	setrlimit(RLIMIT_NOFILE, &tight);
	while (n < 60 && (fillers[n] = dup(0)) >= 0)
		n++;
	close(fillers[--n]);
	fillers[n] = dial(w); /* takes the last descriptor: there is none to accept with */
	spin(w, 250);
	say(first, GET("/still"));
	hear(w, first, out, sizeof(out), "/still");
	while (n >= 0)
		close(fillers[n--]);
	setrlimit(RLIMIT_NOFILE, &before);
	spin(w, 250);
	n = dial(w);
	say(n, GET("/new"));
	hear(w, n, out, sizeof(out), "/new");
	close(n);
	close(first);
	close(second);
}

static void on_drained(void *arg) {
	struct world *w = arg;

	w->drains++;
}

static void test_conn_drains(void **state) {
	struct world *w = *state;
	int idle = dial(w), busy = dial(w);
	char out[4096];

	w->hold = true;
	say(busy, GET("/last"));
	for (int i = 0; i < 500 && !w->held; i++)
		spin(w, 2);
	conn_server_stop_listening(w->server, -1);
	conn_server_drain(w->server, on_drained, w);
	assert_int_equal(recv(idle, out, sizeof(out), 0), 0);
	assert_int_equal(w->drains, 0);
	conn_reply(w->held, &(struct http_reply){ .status = 200, .content_type = "text/plain", .body = { "bye", 3 } });
	hear(w, busy, out, sizeof(out), "bye");
	close(busy);
	for (int i = 0; i < 1000 && !w->drains; i++)
		spin(w, 2);
	assert_int_equal(w->drains, 1);
	close(idle);
}

static void test_peer_is_told_by_the_kernel(void **state) {
	struct world *w = *state;
	struct peer peer;
	struct error err;
	char self[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fd = dial(w), pair[2];

	self[n > 0 ? n : 0] = '\0';
	w->hold = true;
	say(fd, GET("/"));
	for (int i = 0; i < 500 && !w->held; i++)
		spin(w, 2);
	assert_int_equal(conn_peer(w->held)->uid, geteuid());
	assert_int_equal(conn_peer(w->held)->pid, getpid());
	assert_string_equal(conn_peer(w->held)->how, "SO_PEERCRED");
	if (conn_peer(w->held)->exe[0]) /* kernels before 6.5 vouch for no pid */
		assert_string_equal(conn_peer(w->held)->exe, self);
	close(fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(peer_of(pair[0], &peer, &err), 0);
	assert_int_equal(peer.uid, geteuid());
	assert_int_equal(peer_of(0, &peer, &err), -1);
	close(pair[0]);
	close(pair[1]);
}

static void test_listener_refuses_unsafe_places(void **state) {
	struct world *w = *state;
	struct listener *l = NULL;
	struct error err;
	char path[256], link[128], longer[300];

	/* a live server */
	assert_int_equal(listener_unix(w->path, 0600, NULL, &l, &err), -1);
	assert_non_null(strstr(err.message, "another server"));
	/* a directory that others may write to */
	chmod(w->dir, 0777);
	snprintf(path, sizeof(path), "%s/t", w->dir);
	assert_int_equal(listener_unix(path, 0600, NULL, &l, &err), -1);
	assert_non_null(strstr(err.message, "writable by others"));
	chmod(w->dir, 0700);
	/* a symbolic link on the way */
	snprintf(link, sizeof(link), "%s-link", w->dir);
	assert_int_equal(symlink(w->dir, link), 0);
	snprintf(path, sizeof(path), "%s/t", link);
	assert_int_equal(listener_unix(path, 0600, NULL, &l, &err), -1);
	assert_non_null(strstr(err.message, "symbolic link"));
	unlink(link);
	/* a path that no socket can have */
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/', longer[4] = '/', longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(listener_unix(longer, 0600, NULL, &l, &err), -1);
	assert_non_null(strstr(err.message, "107 bytes"));
	/* no such group */
	snprintf(path, sizeof(path), "%s/t", w->dir);
	assert_int_equal(listener_unix(path, 0600, "no-such-group-here", &l, &err), -1);
	assert_null(l);
}

static void test_listener_replaces_what_is_stale_and_leaves_what_is_not_ours(void **state) {
	struct world *w = *state;
	struct listener *l = NULL;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct error err;
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/t", w->dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd); /* nobody listens there any more */
	assert_int_equal(listener_unix(un.sun_path, 0640, NULL, &l, &err), 0);
	assert_int_equal(stat(un.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* Somebody else's socket has taken the place: it is not ours to remove. */
	unlink(un.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	listener_free(l);
	assert_int_equal(access(un.sun_path, F_OK), 0);
	close(fd);
	unlink(un.sun_path);
}

#define WORLD(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		WORLD(test_conn_answers_pipelined_requests_in_order),
		WORLD(test_conn_waits_with_the_next_request_while_one_is_pending),
		WORLD(test_conn_tells_that_a_client_left),
		WORLD(test_conn_ends_a_slow_head_with_408),
		WORLD(test_conn_refuses_and_parses_nothing_behind),
		WORLD(test_conn_drops_a_slow_reader),
		WORLD(test_conn_limits_a_uid),
		WORLD(test_conn_survives_without_descriptors),
		WORLD(test_conn_drains),
		WORLD(test_peer_is_told_by_the_kernel),
		WORLD(test_listener_refuses_unsafe_places),
		WORLD(test_listener_replaces_what_is_stale_and_leaves_what_is_not_ours),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
