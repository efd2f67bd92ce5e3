/* Sessions: a port of one's own, whose it is, what ends it, and what the record says of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

#define STRANGER 12002
#define DEV "{\"serviceAccount\": \"" SA_DEV "\"}"
#define ZEROS "0000000000000000"
#define TOKEN "instance/service-accounts/default/token"

static struct world w;
static struct session_of_test s, t;
static struct http_answer h;
static struct answer a;

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	http_answer_fini(&h);
	answer_fini(&a);
	session_leave(&s);
	session_leave(&t);
	return world_end_well(&w);
}

static int get(const struct session_of_test *of, const char *path) {
	http_answer_fini(&h);
	md(of, path, &h);
	return h.status;
}

static const char *member(const json_t *record, const char *key) {
	const char *text = json_string_value(json_object_get(record, key));

	return text ? text : "";
}

static void test_sessions_give_tokens_and_are_recorded(void **state) {
	json_t *records, *record;

	(void)state;
	world_daemon(&w);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\", \"also\": [\"" SA_LABEL "\", \"" SA_DEV "\"], \"lifetime\": \"600s\", "
			  "\"justification\": \"INC-7\"}", &s);
	assert_int_equal(strlen(s.handle), 64);
	assert_int_equal(strlen(s.id), 16);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(get(&s, TOKEN), 200);
		assert_true(http_answer_int(&h, "expires_in") <= 600 && http_answer_int(&h, "expires_in") > 500);
	}
	assert_int_equal(get(&s, "instance/service-accounts/" SA_LABEL "/token"), 403); /* a session grants nothing */
	session_leave(&s);
	records = records_wait(&w, "closed", 1);
	record = records_last(records, "opened");
	assert_string_equal(member(record, "principal"), ME);
	assert_string_equal(member(record, "session"), s.id);
	assert_string_equal(member(record, "auth"), "SO_PEERCRED");
	assert_string_equal(member(record, "target"), SA_DEV);
	assert_string_equal(member(record, "justification"), "INC-7");
	assert_int_equal(json_array_size(json_object_get(record, "also")), 1); /* each once */
	assert_int_equal(json_integer_value(json_object_get(record, "port")), s.port);
	record = records_last(records, "closed");
	assert_string_equal(member(record, "session"), s.id);
	assert_string_equal(member(record, "reason"), "CLIENT_LEFT");
	assert_int_equal(json_integer_value(json_object_get(record, "tokens")), 3);
	record = records_last(records, "issued");
	assert_string_equal(member(record, "session"), s.id);
	assert_string_equal(member(record, "surface"), "metadata");
	assert_string_equal(member(record, "auth"), "SOCK_DIAG");
	assert_string_equal(member(record, "justification"), "INC-7");
	assert_int_equal(json_integer_value(json_object_get(record, "uid")), geteuid());
	assert_null(json_object_get(record, "gid")); /* of a TCP socket nobody vouches for more than its uid */
	assert_null(json_object_get(record, "pid"));
	record = records_last(records, "denied");
	assert_string_equal(member(record, "session"), s.id);
	json_decref(records);
	assert_false(md_listens(&s));
}

static void test_sessions_are_each_for_themselves(void **state) {
	(void)state;
	world_policy(&w, "version: 1\nbindings:\n"
			 "  - {name: both, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL "]}\n");
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	session_begin(&w, "{\"serviceAccount\": \"" SA_LABEL "\"}", &t);
	assert_int_not_equal(s.port, t.port);
	assert_string_not_equal(s.handle, t.handle);
	assert_int_equal(get(&s, "instance/service-accounts/default/email"), 200);
	assert_string_equal(h.body, SA_DEV);
	assert_int_equal(get(&t, "instance/service-accounts/default/email"), 200);
	assert_string_equal(h.body, SA_LABEL);
	assert_int_equal(get(&t, "instance/service-accounts/" SA_DEV "/token"), 404); /* it is not this session's */
	session_leave(&s);
	json_decref(records_wait(&w, "closed", 1));
	assert_false(md_listens(&s));
	assert_int_equal(get(&t, TOKEN), 200);
}

/* Another uid reaches every port on loopback; what he gets is one sentence, and a line in the record. */
static void test_P4_a_session_is_its_own_uids_alone(void **state) {
	json_t *records, *record;
	int ends[2], status;
	char text[4096] = "";
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: speaking as another uid needs root\n");
		skip();
	}
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: 0, principal: \"" ME "\"}, {uid: %d, principal: \"" ME "\"}]\n", STRANGER);
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(STRANGER, STRANGER, STRANGER) < 0 || setresuid(STRANGER, STRANGER, STRANGER) < 0)
			_exit(1);
		for (int i = 0; i < 3; i++) {
			struct http_answer mine;

			md(&s, TOKEN, &mine);
			if (write(ends[1], mine.text, strlen(mine.text)) < 0)
				_exit(1);
			http_answer_fini(&mine);
		}
		_exit(0);
	}
	close(ends[1]);
	while ((r = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	close(ends[0]);
	waitpid(pid, &status, 0);
	assert_non_null(strstr(text, "HTTP/1.1 403 "));
	assert_null(strstr(text, "HTTP/1.1 200 "));
	assert_null(strstr(text, "ya29"));
	assert_non_null(strstr(text, "uid 12002 gets nothing here"));
	records = records_wait(&w, "denied", 1);
	record = records_last(records, "denied");
	assert_string_equal(member(record, "reason"), "NOT_YOURS");
	assert_string_equal(member(record, "session"), s.id);
	assert_int_equal(json_integer_value(json_object_get(record, "uid")), STRANGER);
	assert_true(records_count(records, "denied") <= 2); /* one a second, however often he comes */
	assert_int_equal(records_count(records, "issued"), 0);
	json_decref(records);
	assert_int_equal(get(&s, TOKEN), 200);
}

/* One that closes its side behind its request cannot be told from one that has left, whose port another may have taken. */
static void test_sessions_tell_a_client_that_half_closed(void **state) {
	char text[512], out[4096] = "";
	json_t *records;
	size_t n = 0;
	ssize_t r;
	int fd, len;

	(void)state;
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	assert_int_equal(kill(w.daemon, SIGSTOP), 0); /* all of it is there before the broker looks */
	fd = md_dial(&s);
	len = snprintf(text, sizeof(text), "GET /computeMetadata/v1/" TOKEN " HTTP/1.1\r\nHost: %s\r\nMetadata-Flavor: Google\r\n\r\n", s.host);
	assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(kill(w.daemon, SIGCONT), 0);
	while ((r = read(fd, out + n, sizeof(out) - 1 - n)) > 0)
		n += (size_t)r;
	close(fd);
	assert_non_null(strstr(out, "HTTP/1.1 403 "));
	assert_non_null(strstr(out, "a client leaves its side open (no shutdown for writing) until it has its answer"));
	records = records_wait(&w, "denied", 1);
	assert_string_equal(member(records_last(records, "denied"), "reason"), "UNKNOWN_CALLER");
	assert_int_equal(records_count(records, "issued"), 0);
	json_decref(records);
}

static void test_sessions_end_by_delete(void **state) {
	char path[64], rest[4096] = "";
	json_t *records;
	ssize_t n = 0, r;

	(void)state;
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	assert_int_equal(get(&s, TOKEN), 200);
	snprintf(path, sizeof(path), "/v1/sessions/%s", s.id);
	ask(&w, "DELETE", path, NULL, &a);
	assert_int_equal(a.status, 200);
	assert_int_equal(answer_int(&a, "tokens"), 1);
	answer_fini(&a);
	assert_false(md_listens(&s));
	/* Its holder is told why, without having asked. */
	while ((r = read(s.fd, rest + n, sizeof(rest) - 1 - (size_t)n)) > 0)
		n += r;
	assert_non_null(strstr(rest, "HTTP/1.1 408 "));
	assert_non_null(strstr(rest, "the session was ended"));
	ask(&w, "DELETE", path, NULL, &a);
	assert_int_equal(a.status, 404);
	answer_fini(&a);
	ask(&w, "GET", path, NULL, &a);
	assert_int_equal(a.status, 405);
	assert_non_null(strstr(a.text, "Allow: POST, DELETE\r\n"));
	records = records_wait(&w, "closed", 1);
	assert_string_equal(member(records_last(records, "closed"), "reason"), "DELETED");
	json_decref(records);
}

static void test_sessions_are_refused_in_words(void **state) {
	static const struct {
		const char *body;
		int status;
		const char *says;
	} cases[] = {
		{ "{}", 400, "serviceAccount is missing" },
		{ "[]", 400, "must be a JSON object" },
		{ "{\"serviceAccount\": \"" SA_DEV "\", \"alsoo\": []}", 400, "unknown member" },
		{ "{\"serviceAccount\": \"" SA_DEV "\", \"also\": [\"x\"]}", 400, "an account of also must be a service account's e-mail" },
		{ "{\"serviceAccount\": \"" SA_DEV "\", \"also\": {}}", 400, "also must be a list of at most 15" },
		{ "{\"serviceAccount\": \"" SA_DEV "\", \"port\": 80}", 400, "port must be a number from 1024" },
		{ "{\"serviceAccount\": \"" SA_DEV "\", \"port\": \"8080\"}", 400, "port must be a number" },
		{ "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": 0}", 400, "lifetime must be from" },
		{ "{\"serviceAccount\": \"" SA_DEV "\", \"handle\": 7}", 400, "handle must be a string" },
		{ "{\"serviceAccount\": \"" SA_DEV "\", \"handle\": \"\"}", 400, "a handle is 64 hex digits" },
		{ "{\"serviceAccount\": \"" SA_DEV "\", \"handle\": \"" ZEROS ZEROS ZEROS ZEROS "\"}", 400, "a handle is random, and this one is not" },
	};
	json_t *records;
	int fd;

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(session_ask(&w, cases[i].body, &fd, &a), cases[i].status);
		if (!strstr(answer_text(&a, "error.message"), cases[i].says))
			fail_msg("%s: %s", cases[i].body, a.text);
		answer_fini(&a);
		close(fd);
	}
	ask(&w, "POST", "/v1/sessions", DEV, &a); /* Connection: close */
	assert_int_equal(a.status, 400);
	assert_non_null(strstr(answer_text(&a, "error.message"), "without Connection: close"));
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "opened"), 0);
	json_decref(records);
}

/* A body with the port and the handle that another session had. */
static const char *wanted(const struct session_of_test *had) {
	static char body[300];

	snprintf(body, sizeof(body), "{\"serviceAccount\": \"" SA_DEV "\", \"port\": %d, \"handle\": \"%s\"}", had->port, had->handle);
	return body;
}

/* The status of an exchange at its port by that handle. */
static int exchange(const struct session_of_test *at, const char *handle) {
	char headers[200], body[200];

	snprintf(headers, sizeof(headers), "Host: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n", at->host);
	snprintf(body, sizeof(body), "grant_type=refresh_token&refresh_token=%s", handle);
	http_answer_fini(&h);
	http_ask(at->url, "POST", "/v1/token", headers, body, &h);
	return h.status;
}

/* Programs have read it, and go on with the next broker. */
static void test_sessions_have_their_handle_again(void **state) {
	(void)state;
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	assert_int_equal(world_stop(&w, SIGKILL), SIGKILL);
	world_daemon(&w);
	session_begin(&w, wanted(&s), &t);
	assert_int_equal(t.port, s.port);
	assert_string_equal(t.handle, s.handle);
	assert_string_not_equal(t.id, s.id);
	assert_int_equal(exchange(&t, s.handle), 200);
	session_leave(&t);
	json_decref(records_wait(&w, "closed", 1));
	session_begin(&w, DEV, &t);
	assert_string_not_equal(t.handle, s.handle); /* who wants none gets another */
	assert_int_equal(exchange(&t, s.handle), 400);
}

/* Asks for a session as another uid, and exits with 0 where that gives this status; hold: not before it is killed. */
static pid_t ask_as_stranger(const char *body, int status, bool hold) {
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	if (setgroups(0, NULL) < 0 || setresgid(STRANGER, STRANGER, STRANGER) < 0 || setresuid(STRANGER, STRANGER, STRANGER) < 0)
		_exit(99);
	status = session_ask(&w, body, &fd, &a) == status ? 0 : 1;
	if (hold)
		pause();
	_exit(status);
}

static int exit_code(pid_t pid) {
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What opens a session opens no other, whoever wants it to; and whoever has got hold of it opens none of mine. */
static void test_P4_a_handle_is_one_sessions_alone(void **state) {
	int fd;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: speaking as another uid needs root\n");
		skip();
	}
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: 0, principal: \"" ME "\"}, {uid: %d, principal: \"user:other@example.com\"}]\n", STRANGER);
	world_daemon(&w);
	assert_int_equal(chmod(w.dir, 0755), 0);
	assert_int_equal(chmod(w.socket, 0666), 0);
	session_begin(&w, DEV, &s);
	assert_int_equal(session_ask(&w, wanted(&s), &fd, &a), 503);
	assert_non_null(strstr(answer_text(&a, "error.message"), "another session has this handle"));
	answer_fini(&a);
	close(fd);
	assert_int_equal(exit_code(ask_as_stranger(wanted(&s), 503, false)), 0);
	assert_int_equal(exchange(&s, s.handle), 200); /* it goes on as it was */
	session_leave(&s);
	json_decref(records_wait(&w, "closed", 1));
	/* He comes first after a restart, with my handle and at my port: it is his, and I get nothing there. */
	pid = ask_as_stranger(wanted(&s), 200, true);
	json_decref(records_wait(&w, "opened", 2));
	assert_int_equal(exchange(&s, s.handle), 403);
	assert_int_equal(session_ask(&w, wanted(&s), &fd, &a), 503);
	answer_fini(&a);
	close(fd);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	json_decref(records_wait(&w, "closed", 2));
	session_begin(&w, wanted(&s), &t);
	assert_string_equal(t.handle, s.handle);
	assert_int_equal(exchange(&t, s.handle), 200);
}

static void test_sessions_have_limits(void **state) {
	int fds[3];

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "limits: {maxSessions: 3, maxSessionsPerPrincipal: 2}\n");
	world_daemon(&w);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(session_ask(&w, DEV, &fds[i], &a), 200);
		answer_fini(&a);
	}
	assert_int_equal(session_ask(&w, DEV, &fds[2], &a), 429);
	assert_non_null(strstr(answer_text(&a, "error.message"), "limits.maxSessionsPerPrincipal"));
	answer_fini(&a);
	close(fds[2]);
	close(fds[0]);
	json_decref(records_wait(&w, "closed", 1));
	assert_int_equal(session_ask(&w, DEV, &fds[0], &a), 200);
	answer_fini(&a);
	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_int_equal(answer_int(&a, "sessions"), 2);
	close(fds[0]);
	close(fds[1]);
}

/* Its control connection says nothing for as long as the command thinks, or the shell is left alone: that is no end of it. */
static void test_sessions_that_nobody_uses_stay(void **state) {
	json_t *records;
	char byte;
	int idle;

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "limits: {idleTimeout: 100ms}\n");
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	idle = md_dial(&s); /* comes later, and is over sooner */
	assert_int_equal(read(idle, &byte, 1), 0);
	close(idle);
	assert_int_equal(get(&s, TOKEN), 200);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "closed"), 0);
	json_decref(records);
}

/* A policy that changes holds for the next request of a session that is open. */
static void test_sessions_follow_the_policy(void **state) {
	(void)state;
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	assert_int_equal(get(&s, TOKEN), 200);
	world_policy(&w, "version: 1\n");
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 200);
	assert_int_equal(get(&s, TOKEN), 403);
	assert_non_null(strstr(h.text, "no binding lets " ME " use " SA_DEV));
	answer_fini(&a);
	world_policy(&w, POLICY_DEV);
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(get(&s, TOKEN), 200);
}

static void test_sessions_see_a_request_through_when_the_broker_stops(void **state) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[512], out[4096] = "";
	size_t have = 0;
	ssize_t r;
	json_t *records;
	int fd, n;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 1000}");
	session_begin(&w, DEV, &s);
	in.sin_port = htons((uint16_t)s.port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	n = snprintf(text, sizeof(text), "GET /computeMetadata/v1/" TOKEN " HTTP/1.1\r\nHost: %s\r\nMetadata-Flavor: Google\r\n\r\n", s.host);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	while (google_calls(&w, "generateAccessToken") == 0)
		poll(NULL, 0, 5);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	while ((r = read(fd, out + have, sizeof(out) - 1 - have)) > 0)
		have += (size_t)r;
	close(fd);
	assert_non_null(strstr(out, "HTTP/1.1 200 "));
	records = world_records(&w, NULL, 0);
	assert_string_equal(member(records_last(records, "closed"), "reason"), "STOPPING");
	assert_int_equal(json_integer_value(json_object_get(records_last(records, "closed"), "tokens")), 1);
	json_decref(records);
}

/* What is under way at the port of a session that ends gets nothing. */
static void test_sessions_that_end_give_nothing_any_more(void **state) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[512], out[512];
	json_t *records;
	int fd, n;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 700}");
	session_begin(&w, DEV, &s);
	in.sin_port = htons((uint16_t)s.port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	n = snprintf(text, sizeof(text), "GET /computeMetadata/v1/" TOKEN " HTTP/1.1\r\nHost: %s\r\nMetadata-Flavor: Google\r\n\r\n", s.host);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	while (google_calls(&w, "generateAccessToken") == 0)
		poll(NULL, 0, 5);
	session_leave(&s);
	assert_int_equal(read(fd, out, sizeof(out)), 0);
	close(fd);
	records = records_wait(&w, "issued", 1); /* the flight's own, which nobody waited for */
	assert_true(json_is_false(json_object_get(records_last(records, "issued"), "delivered")));
	assert_int_equal(json_integer_value(json_object_get(records_last(records, "closed"), "tokens")), 0);
	assert_int_equal(records_count(records, "abandoned"), 1);
	json_decref(records);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_sessions_give_tokens_and_are_recorded),
		SCENARIO(test_sessions_are_each_for_themselves),
		SCENARIO(test_P4_a_session_is_its_own_uids_alone),
		SCENARIO(test_sessions_tell_a_client_that_half_closed),
		SCENARIO(test_sessions_end_by_delete),
		SCENARIO(test_sessions_are_refused_in_words),
		SCENARIO(test_sessions_have_their_handle_again),
		SCENARIO(test_P4_a_handle_is_one_sessions_alone),
		SCENARIO(test_sessions_have_limits),
		SCENARIO(test_sessions_that_nobody_uses_stay),
		SCENARIO(test_sessions_follow_the_policy),
		SCENARIO(test_sessions_see_a_request_through_when_the_broker_stops),
		SCENARIO(test_sessions_that_end_give_nothing_any_more),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
