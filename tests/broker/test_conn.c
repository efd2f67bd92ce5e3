/* conn and peer on a real socket: order, deadlines, leaving, quotas, no descriptors, draining. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "broker/conn.h"
#include "broker/listener.h"
#include "broker/log.h"
#include "broker/loopback.h"
#include "hallpass/cleanup.h"
#include "tests/broker/http_corpus.h"

struct world {
	struct event_base *base;
	struct conn_server *server;
	struct listener *listener;
	struct log log;
	char dir[64], path[96];
	int requests, gones, drains, id;
	struct conn *held; /* with hold: the one that waits for its answer */
	bool hold, big;
	struct conn *last; /* whose request came last */
	int ended;	   /* how often a conn_hold() was */
	bool turn_away;	   /* nobody is admitted */
	bool remember;	   /* requests are to be known again */
	uint64_t serial, remembered; /* of the last request: as it came, and what remembering it gave */
	int asked;	   /* whom admit() was asked about */
};

static const struct conn_limits limits = { 100, 50, 300, 1000, 400 };

static void on_request(void *arg, struct conn *conn, const struct http_request *request) {
	struct world *w = arg;
	static char body[1 << 20];

	w->requests++;
	w->last = conn;
	w->serial = request->serial;
	w->remembered = w->remember ? conn_remember(conn) : 0;
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

static int admit(void *arg, const struct peer *peer, struct error *err) {
	struct world *w = arg;

	assert_non_null(peer);
	assert_int_equal(peer->uid, geteuid());
	w->asked++;
	return w->turn_away ? error_set(err, ERR_DENIED, "not by this door") : 0;
}

static int setup(void **state) {
	struct world *w = test_calloc(1, sizeof(*w));
	struct conn_handler handler = { .request = on_request, .gone = on_gone, .admit = admit, .arg = w };
	struct error err;

	*state = w;
	w->base = event_base_new();
	log_init(&w->log, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
	strcpy(w->dir, "/tmp/hallpass-test-conn.XXXXXX");
	if (!mkdtemp(w->dir))
		return -1;
	snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
	if (conn_server_new(w->base, &limits, &w->log, &w->server, &err) < 0 ||
	    listener_unix(w->path, 0600, NULL, &w->listener, &err) < 0 ||
	    conn_server_listen(w->server, listener_fd(w->listener), &handler, &w->id, &err) < 0) {
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

#undef GET
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
	for (int how = 0; how < 5; how++) {
		int fd = dial(w);

		say(fd, how == 2 ? GET("/") "more behind it" : GET("/"));
		if (how == 3) /* the end is there before the request is read */
			shutdown(fd, SHUT_WR);
		if (how == 4)
			close(fd);
		for (int i = 0; i < 500 && w->gones == how && !w->held; i++)
			spin(w, 2);
		assert_true(w->held || how > 2);
		if (how == 0)
			shutdown(fd, SHUT_WR); /* a half-close counts as leaving */
		else if (how < 3)
			close(fd);
		for (int i = 0; i < 500 && w->held; i++)
			spin(w, 2);
		assert_int_equal(w->gones, how + 1);
		if (how == 0 || how == 3)
			close(fd);
	}
}

/* More than is read at once, all of it there before anybody looks: nothing tells of the rest a second time. */
static void test_conn_reads_on_where_more_is_there(void **state) {
	static char text[1 << 17], out[1 << 18];
	struct world *w = *state;
	int fd = dial(w);
	size_t n = 0;

	for (int i = 0; i < 2000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "GET /%04d HTTP/1.1\r\nHost: a\r\n\r\n", i);
	assert_true(n > 3 * 16384);
	say(fd, text);
	hear(w, fd, out, sizeof(out), "/1999");
	assert_int_equal(w->requests, 2000);
	w->hold = true;
	say(fd, text);
	for (int i = 0; i < 2000; i++) {
		for (int turns = 0; turns < 500 && !w->held; turns++)
			spin(w, 1);
		assert_non_null(w->held);
		if (i == 3)
			w->hold = false;
		conn_reply(take(&w->held), &(struct http_reply){ .status = 200, .content_type = "text/plain", .body = { "x", 1 } });
		if (i == 3)
			break;
	}
	hear(w, fd, out, sizeof(out), "/1999");
	assert_int_equal(w->requests, 4000);
	close(fd);
}

static void test_conn_ends_one_whose_client_said_its_last(void **state) {
	struct world *w = *state;
	char out[4096];
	int fd = dial(w);

	say(fd, GET("/1"));
	shutdown(fd, SHUT_WR);
	hear(w, fd, out, sizeof(out), NULL); /* at once, not when it idled for long enough */
	assert_non_null(strstr(out, "/1"));
	close(fd);
}

static void ask_for(struct world *w, int fd, const char *text, const char *end) {
	char out[4096];

	say(fd, text);
	hear(w, fd, out, sizeof(out), end);
}

static void test_conn_knows_a_request_that_came_before(void **state) {
	struct world *w = *state;
	int a = dial(w), b = dial(w);
	uint64_t serial;

	ask_for(w, a, GET("/1"), "/1");
	ask_for(w, a, GET("/1"), "/1");
	assert_true(w->serial == 0); /* nobody wanted it remembered */
	w->remember = true;
	ask_for(w, a, GET("/1"), "/1");
	serial = w->remembered;
	assert_true(serial && w->serial == 0);
	ask_for(w, b, GET("/1"), "/1"); /* whoever asks */
	assert_true(w->serial == serial && w->remembered == serial);
	ask_for(w, a, GET("/2"), "/2");
	assert_true(w->serial == 0 && w->remembered != serial);
	ask_for(w, a, GET("/1"), "/1");
	assert_true(w->serial == serial);
	ask_for(w, a, GET("/1") GET("/2"), "/2"); /* the first is taken from among more, the second is all there is */
	assert_true(w->serial && w->serial != serial);
	say(a, "GET /1 HTTP/1.1\r\n");
	spin(w, 5);
	ask_for(w, a, "Host: a\r\n\r\n", "/1"); /* in pieces it is parsed */
	assert_true(w->serial == 0);
	close(a);
	close(b);
}

/* Its bytes are no longer those that came. */
static void test_conn_remembers_no_request_that_it_changed(void **state) {
	struct world *w = *state;
	int fd = dial(w);

	w->remember = true;
	ask_for(w, fd, "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "/c");
	assert_true(w->remembered == 0);
	ask_for(w, fd, GET("/%64"), "/d");
	assert_true(w->remembered == 0);
	ask_for(w, fd, GET("/e"), "/e");
	assert_true(w->remembered);
	close(fd);
}

static void test_conn_remembers_only_inside_the_request(void **state) {
	struct world *w = *state;
	int a = dial(w);

	w->hold = true;
	say(a, GET("/1"));
	for (int i = 0; i < 500 && !w->held; i++)
		spin(w, 2);
	assert_non_null(w->held);
	assert_true(conn_remember(w->held) == 0);
	close(a);
	for (int i = 0; i < 500 && w->held; i++)
		spin(w, 2);
	assert_null(w->held);
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
	struct stat st;
	int log = memfd_create("log", MFD_CLOEXEC), quiet = w->log.fd;

	spin(w, 20); /* both are accepted */
	getrlimit(RLIMIT_NOFILE, &before);
	tight = (struct rlimit){ 64, before.rlim_max };
	setrlimit(RLIMIT_NOFILE, &tight);
	while (n < 60 && (fillers[n] = dup(0)) >= 0)
		n++;
	close(fillers[--n]);
	fillers[n] = dial(w); /* takes the last descriptor: there is none to accept with */
	w->log.fd = log;
	spin(w, 650);
	w->log.fd = quiet;
	assert_int_equal(fstat(log, &st), 0);
	assert_true(st.st_size > 50 && st.st_size < 400); /* told once, not at each try */
	say(first, GET("/still"));
	hear(w, first, out, sizeof(out), "/still");
	while (n >= 0)
		close(fillers[n--]);
	close(log);
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
	assert_int_equal(err.code, ERR_UNAUTHENTICATED);
	/* A caller on TCP: test_sockdiag.c; of a socket that nobody is at there is none. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(peer_of(fd, &peer, &err), -1);
	assert_non_null(strstr(err.message, "the client has left already"));
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

/* --- the malformed corpus on a real socket: the status, then the end, and nothing behind it is a request */

static void test_conn_refuses_the_corpus_on_a_socket(void **state) {
	struct world *w = *state;
	char out[4096], want[32];

	for (size_t i = 0; i < ARRAY_SIZE(http_corpus); i++) {
		int fd = dial(w);

		assert_int_equal(send(fd, http_corpus[i].bytes.p, http_corpus[i].bytes.n, MSG_NOSIGNAL), http_corpus[i].bytes.n);
		say(fd, GET("/behind"));
		hear(w, fd, out, sizeof(out), NULL);
		snprintf(want, sizeof(want), "\"code\":%d,", http_corpus[i].status);
		assert_non_null(strstr(out, want));
		snprintf(want, sizeof(want), "HTTP/1.1 %d ", http_corpus[i].status);
		if (strncmp(out, want, strlen(want)) || strstr(out, "HTTP/1.1 200 "))
			fail_msg("request %zu: not %sand the end, but %s", i, want, out);
		assert_non_null(strstr(out, "Connection: close\r\n"));
		close(fd);
	}
	assert_int_equal(w->requests, 0);
}

static unsigned open_now(struct world *w) {
	struct conn_counters c;

	conn_server_counters(w->server, &c);
	return c.open;
}

static void until_accepted(struct world *w, uint64_t n) {
	struct conn_counters c = { 0 };

	for (int i = 0; i < 2000 && c.accepted < n; i++) {
		spin(w, 2);
		conn_server_counters(w->server, &c);
	}
	assert_int_equal(c.accepted, n);
}

static void until_open(struct world *w, unsigned n) {
	for (int i = 0; i < 2000 && open_now(w) != n; i++)
		spin(w, 2);
	assert_int_equal(open_now(w), n);
}

/* An abrupt end in each state: a close with unread bytes in it is AF_UNIX's reset. */
static const struct {
	const char *text;
	bool hold, big;
	const char *wait; /* for this much of an answer */
} states[] = {
	{ "", false, false, NULL },
	{ "GET / HT", false, false, NULL },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: y", false, false, NULL },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", false, false, NULL },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", false, false, NULL },
	{ "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", false, false, "Continue\r\n\r\n" },
	{ GET("/1"), true, false, NULL },
	{ GET("/1") GET("/2") "GET /3", true, false, NULL },
	{ GET("/1"), false, true, "x" },
	{ GET("/1") GET("/2"), false, true, "x" },
	{ "bad\r\n\r\n", false, false, NULL },
	{ "GET / HTTP/1.0\r\n\r\n", false, false, NULL },
};

static void test_conn_survives_an_abrupt_end_in_every_state(void **state) {
	struct world *w = *state;
	char out[4096];
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		for (int turns = 0; turns < 3; turns++) {
			int fd = dial(w), gones = w->gones;

			w->hold = states[i].hold;
			w->big = states[i].big;
			say(fd, states[i].text);
			if (states[i].wait && turns)
				hear(w, fd, out, states[i].big ? 200 : sizeof(out), states[i].wait);
			for (int t = 0; t < turns; t++)
				spin(w, 5);
			for (int t = 0; t < 500 && states[i].hold && turns && !w->held; t++)
				spin(w, 2);
			close(fd);
			until_accepted(w, ++n);
			until_open(w, 0);
			assert_null(w->held);
			if (turns || !states[i].hold)
				assert_int_equal(w->gones - gones, states[i].hold);
		}
	}
	w->hold = w->big = false;
	int fd = dial(w);

	say(fd, GET("/alive"));
	hear(w, fd, out, sizeof(out), "/alive");
	close(fd);
}

/* A thousand requests for a megabyte each, and nothing is read: one answer is kept, the rest is not even parsed. */
static void test_conn_keeps_one_answer_for_a_client_that_never_reads(void **state) {
	struct world *w = *state;
	int fd = dial(w), sent = 0;

	w->big = true;
	for (int i = 0; i < 1000; i++) {
		ssize_t r = send(fd, GET("/"), strlen(GET("/")), MSG_NOSIGNAL);

		sent += r > 0;
		if (r < 0 && errno != EAGAIN)
			break;
		if (i % 50 == 0)
			spin(w, 1);
	}
	assert_true(sent > 50);
	assert_true(w->requests <= 1);
	until_open(w, 0); /* the write deadline */
	assert_int_equal(w->requests, 1);
	close(fd);
}

static void test_conn_says_continue_once_and_then_answers(void **state) {
	struct world *w = *state;
	char out[4096];
	int fd = dial(w);

	say(fd, "POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	hear(w, fd, out, sizeof(out), "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "ab");
	spin(w, 10);
	assert_int_equal(recv(fd, out, sizeof(out), 0), -1); /* once */
	say(fd, "cd");
	hear(w, fd, out, sizeof(out), "/p");
	/* With its body it needs no leave. */
	say(fd, "POST /q HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab");
	hear(w, fd, out, sizeof(out), "/q");
	assert_null(strstr(out, "100 Continue"));
	close(fd);
}

static void test_conn_answers_HEAD_without_a_body(void **state) {
	struct world *w = *state;
	char out[4096];
	int fd = dial(w);

	say(fd, "HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
	hear(w, fd, out, sizeof(out), "\r\n\r\n");
	assert_non_null(strstr(out, "Content-Length: 5\r\n"));
	say(fd, GET("/next"));
	hear(w, fd, out, sizeof(out), "/next");
	assert_memory_equal(out, "HTTP/1.1 200 ", 13);
	close(fd);
}

static void test_conn_refuses_huge_bodies_with_413(void **state) {
	static const char *const heads[] = {
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
	};
	static char chunks[6 * 40000];
	struct world *w = *state;
	char out[4096];

	for (size_t i = 0; i < sizeof(chunks); i += 6)
		memcpy(chunks + i, "1\r\nx\r\n", 6);
	for (size_t i = 0; i < ARRAY_SIZE(heads) + 1; i++) {
		int fd = dial(w);

		say(fd, i < ARRAY_SIZE(heads) ? heads[i] : "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
		/* A chunk for each byte: within the body's ceiling, but three times its size on the wire and more. */
		for (size_t at = 0; i == ARRAY_SIZE(heads) && at < sizeof(chunks);) {
			ssize_t r = send(fd, chunks + at, sizeof(chunks) - at, MSG_NOSIGNAL);

			if (r < 0 && errno != EAGAIN)
				break;
			at += r > 0 ? (size_t)r : 0;
			spin(w, 1);
		}
		hear(w, fd, out, sizeof(out), NULL);
		assert_memory_equal(out, "HTTP/1.1 413 ", 13);
		close(fd);
	}
	assert_int_equal(w->requests, 0);
}

static void test_conn_lets_the_rest_wait_when_all_places_are_taken(void **state) {
	struct world *w = *state;
	struct conn_limits few = limits;
	char out[4096];
	int fds[4];

	few.max_connections = 3;
	few.idle_timeout_ms = 60000;
	conn_server_set_limits(w->server, &few);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dial(w);
	until_open(w, 3);
	say(fds[3], GET("/waits"));
	spin(w, 150);
	assert_int_equal(recv(fds[3], out, sizeof(out), 0), -1);
	close(fds[0]);
	hear(w, fds[3], out, sizeof(out), "/waits");
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void test_conn_says_why_when_a_uid_has_too_many(void **state) {
	struct world *w = *state;
	struct conn_limits few = limits;
	char out[4096];
	int first, second;

	few.max_connections_per_uid = 1;
	conn_server_set_limits(w->server, &few);
	first = dial(w);
	until_open(w, 1);
	second = dial(w);
	say(second, GET("/in vain")); /* sent before it is refused: it still sees the answer */
	hear(w, second, out, sizeof(out), NULL);
	assert_memory_equal(out, "HTTP/1.1 429 ", 13);
	assert_non_null(strstr(out, "limits.maxConnectionsPerUid"));
	close(first);
	close(second);
}

/* Drained while a head is half there, an answer half out, and a request pending: only the last two get an end. */
static void test_conn_drains_what_is_under_way(void **state) {
	struct world *w = *state;
	int head = dial(w), writing = dial(w), pending = dial(w);
	char out[4096];
	size_t got = 0;

	say(head, "GET / HT");
	w->big = true;
	say(writing, GET("/"));
	for (int i = 0; i < 500 && !w->requests; i++)
		spin(w, 2);
	w->hold = true;
	say(pending, GET("/last"));
	for (int i = 0; i < 500 && !w->held; i++)
		spin(w, 2);
	conn_server_stop_listening(w->server, -1);
	conn_server_drain(w->server, on_drained, w);
	assert_int_equal(recv(head, out, sizeof(out), 0), 0);
	for (int i = 0; i < 4000 && got < 1 << 20; i++) {
		ssize_t r = recv(writing, out, sizeof(out), 0);

		got += r > 0 ? (size_t)r : 0;
		if (r < 0)
			spin(w, 1);
	}
	assert_true(got >= 1 << 20);
	close(pending); /* the last client leaves before its answer */
	close(writing);
	for (int i = 0; i < 1000 && !w->drains; i++)
		spin(w, 2);
	assert_int_equal(w->drains, 1);
	assert_int_equal(w->gones, 1);
	close(head);
}

static void on_ended(void *arg) {
	((struct world *)arg)->ended++;
}

/* Opens a connection and holds it. */
static int dial_and_hold(struct world *w) {
	char out[1024];
	int fd = dial(w);

	say(fd, GET("/hold"));
	hear(w, fd, out, sizeof(out), "/hold");
	conn_hold(w->last, on_ended, w);
	assert_true(conn_is_held(w->last));
	return fd;
}

static void test_conn_holds_a_connection_that_idles(void **state) {
	struct world *w = *state;
	char out[1024];
	int held = dial_and_hold(w), other = dial(w);

	hear(w, other, out, sizeof(out), NULL); /* the idle timeout ends one that is not held */
	assert_int_equal(w->ended, 0);
	say(held, GET("/again"));
	hear(w, held, out, sizeof(out), "/again");
	spin(w, 1300);
	assert_int_equal(w->ended, 0);
	close(held);
	for (int i = 0; i < 500 && !w->ended; i++)
		spin(w, 2);
	assert_int_equal(w->ended, 1);
	close(other);
}

static void test_conn_says_why_it_lets_go(void **state) {
	struct world *w = *state;
	char out[1024];
	int fd = dial_and_hold(w);

	conn_let_go(w->last, "that was it");
	hear(w, fd, out, sizeof(out), NULL);
	assert_non_null(strstr(out, "HTTP/1.1 408 "));
	assert_non_null(strstr(out, "that was it"));
	close(fd);
	/* With an answer still to come there is nothing to say. */
	fd = dial_and_hold(w);
	w->hold = true;
	say(fd, GET("/pending"));
	for (int i = 0; i < 500 && !w->held; i++)
		spin(w, 2);
	conn_let_go(w->held, "not now");
	conn_reply(w->held, &(struct http_reply){ .status = 200, .content_type = "text/plain", .body = STR("the answer") });
	hear(w, fd, out, sizeof(out), "the answer");
	assert_null(strstr(out, "not now"));
	close(fd);
	spin(w, 20);
	assert_int_equal(w->ended, 0);
}

static void test_conn_shuts_one_door_and_no_other(void **state) {
	struct world *w = *state;
	struct conn_handler handler = { .request = on_request, .gone = on_gone, .arg = w };
	struct listener *second;
	char path[96], out[1024], own[96];
	struct error err;
	int id, here, there, pending;

	snprintf(path, sizeof(path), "%s/t", w->dir);
	assert_int_equal(listener_unix(path, 0600, NULL, &second, &err), 0);
	assert_int_equal(conn_server_listen(w->server, listener_fd(second), &handler, &id, &err), 0);
	assert_int_not_equal(id, w->id);
	here = dial(w);
	memcpy(own, w->path, sizeof(own));
	memcpy(w->path, path, sizeof(path));
	there = dial(w);
	w->hold = true;
	pending = dial(w);
	say(pending, GET("/"));
	for (int i = 0; i < 500 && !w->held; i++)
		spin(w, 2);
	w->hold = false;
	conn_server_shut(w->server, id);
	assert_int_equal(w->gones, 1);
	hear(w, there, out, sizeof(out), NULL);
	hear(w, pending, out, sizeof(out), NULL);
	assert_string_equal(out, "");
	say(here, GET("/here"));
	hear(w, here, out, sizeof(out), "/here");
	memcpy(w->path, own, sizeof(own));
	close(here), close(there), close(pending);
	listener_free(second);
}

static void test_conn_turns_away_before_a_byte_is_read(void **state) {
	struct world *w = *state;
	char out[1024];
	int fd;

	w->turn_away = true;
	fd = dial(w);
	say(fd, GET("/"));
	hear(w, fd, out, sizeof(out), NULL);
	assert_non_null(strstr(out, "HTTP/1.1 403 "));
	assert_non_null(strstr(out, "not by this door"));
	assert_int_equal(w->requests, 0);
	assert_int_equal(w->asked, 1);
	close(fd);
}

/* On TCP: a client that turned away in between gets what is everybody's, and no token. */
static void test_P4_conn_asks_again_before_a_token(void **state) {
	struct world *w = *state;
	struct conn_handler handler = { .request = on_request, .gone = on_gone, .arg = w };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct loopback at = { .family = AF_INET };
	char out[1024];
	struct error err;
	int listening, id;

	assert_int_equal(loopback_listen(&at, &listening, &err), 0);
	assert_int_equal(conn_server_listen(w->server, listening, &handler, &id, &err), 0);
	in.sin_port = htons(at.port);
	w->hold = true;
	for (int how = 0; how < 3; how++) {
		struct http_reply reply = { .status = 200, .content_type = "text/plain", .body = STR("what was asked for"), .secret = how > 0 };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		connect(fd, (struct sockaddr *)&in, sizeof(in));
		for (int i = 0; i < 500 && send(fd, GET("/"), strlen(GET("/")), MSG_NOSIGNAL) < 0; i++)
			spin(w, 2);
		for (int i = 0; i < 500 && !w->held; i++)
			spin(w, 2);
		assert_int_equal(conn_peer(w->held)->uid, geteuid());
		if (how < 2)
			shutdown(fd, SHUT_WR); /* not seen by the loop yet */
		conn_reply(w->held, &reply);
		w->held = NULL;
		hear(w, fd, out, sizeof(out), how == 1 ? NULL : "what was asked for");
		if (how == 1)
			assert_string_equal(out, "");
		close(fd);
	}
	close(listening);
}

#define WORLD(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		WORLD(test_conn_answers_pipelined_requests_in_order),
		WORLD(test_conn_waits_with_the_next_request_while_one_is_pending),
		WORLD(test_conn_tells_that_a_client_left),
		WORLD(test_conn_reads_on_where_more_is_there),
		WORLD(test_conn_ends_one_whose_client_said_its_last),
		WORLD(test_conn_knows_a_request_that_came_before),
		WORLD(test_conn_remembers_no_request_that_it_changed),
		WORLD(test_conn_remembers_only_inside_the_request),
		WORLD(test_conn_ends_a_slow_head_with_408),
		WORLD(test_conn_refuses_and_parses_nothing_behind),
		WORLD(test_conn_drops_a_slow_reader),
		WORLD(test_conn_limits_a_uid),
		WORLD(test_conn_survives_without_descriptors),
		WORLD(test_conn_drains),
		WORLD(test_peer_is_told_by_the_kernel),
		WORLD(test_conn_refuses_the_corpus_on_a_socket),
		WORLD(test_conn_survives_an_abrupt_end_in_every_state),
		WORLD(test_conn_keeps_one_answer_for_a_client_that_never_reads),
		WORLD(test_conn_says_continue_once_and_then_answers),
		WORLD(test_conn_answers_HEAD_without_a_body),
		WORLD(test_conn_refuses_huge_bodies_with_413),
		WORLD(test_conn_lets_the_rest_wait_when_all_places_are_taken),
		WORLD(test_conn_says_why_when_a_uid_has_too_many),
		WORLD(test_conn_drains_what_is_under_way),
		WORLD(test_conn_holds_a_connection_that_idles),
		WORLD(test_conn_says_why_it_lets_go),
		WORLD(test_conn_shuts_one_door_and_no_other),
		WORLD(test_conn_turns_away_before_a_byte_is_read),
		WORLD(test_P4_conn_asks_again_before_a_token),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
