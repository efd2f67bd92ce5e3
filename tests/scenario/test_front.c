/* The front door of the real daemon under clients that mean it ill: slow, greedy, gone, malformed, or a browser; and its end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/broker/http_corpus.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

#define PATIENCE_MS 30000
#define ASK_DEV "{\"serviceAccount\": \"" SA_DEV "\"}"
#define OTHER_UID 12345

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

/* --- raw clients */

static int dial(void) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", w.socket);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool say(int fd, const char *text) {
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Everything until the other side ends it. */
static size_t hear(int fd, char *out, size_t size) {
	size_t n = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t r = poll(&p, 1, PATIENCE_MS) > 0 ? recv(fd, out + n, size - 1 - n, 0) : -1;

		if (r <= 0)
			break;
		n += (size_t)r;
	}
	out[n] = '\0';
	return n;
}

static int status_of_answer(const char *text) {
	return strncmp(text, "HTTP/1.1 ", 9) ? 0 : atoi(text + 9);
}

/* One request as it is, to the end; the status. */
static int exchange(const char *request, char *out, size_t size) {
	int fd = dial();

	assert_true(fd >= 0);
	say(fd, request);
	hear(fd, out, size);
	close(fd);
	return status_of_answer(out);
}

/* 503 is "try again": a machine under load may keep a record waiting for longer than it may. */
static void assert_serves(void) {
	struct answer a;

	ask_token(&w, SA_DEV, "", &a);
	for (int i = 0; i < 10 && a.status == 503; i++) {
		answer_fini(&a);
		ask_token(&w, SA_DEV, "", &a);
	}
	if (a.status != 200)
		world_log_tail(&w);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
}

static int64_t open_connections(void) {
	struct answer a;
	int64_t n;

	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_int_equal(a.status, 200);
	n = answer_int(&a, "connections.open");
	answer_fini(&a);
	return n;
}

static void pause_ms(int ms) {
	nanosleep(&(struct timespec){ ms / 1000, (ms % 1000) * 1000000L }, NULL);
}

/* The one that asks for the status is open itself. */
static void until_alone(void) {
	for (int i = 0; i < PATIENCE_MS / 10 && open_connections() > 1; i++)
		pause_ms(10);
	assert_int_equal(open_connections(), 1);
}

static int64_t proc_number(const char *file, const char *key) {
	char path[64], line[256];
	int64_t n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", w.daemon, file);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			n = atoll(line + strlen(key));
	fclose(f);
	return n;
}

static int64_t cpu_ms(void) {
	char path[64], text[1024], *at;
	unsigned long user, system;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", w.daemon);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	at = strrchr(text, ')'); /* utime and stime are the 12th and 13th behind the name */
	assert_int_equal(sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
	return (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

static int64_t log_size(void) {
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/hallpassd.log", w.dir);
	return stat(path, &st) == 0 ? st.st_size : 0;
}

static void config(const char *more) {
	snprintf(w.config_more, sizeof(w.config_more), "%s", more);
}

static void needs_root(const char *what) {
	if (geteuid() == 0)
		return;
	print_message("skipped: %s needs root\n", what);
	skip();
}

/* Lets other uids reach the socket. */
static void open_socket(void) {
	assert_int_equal(chmod(w.dir, 0755), 0);
	assert_int_equal(chmod(w.socket, 0666), 0);
}

/* --- what is malformed */

static void test_front_refuses_the_corpus(void **state) {
	char out[8192];

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(http_corpus); i++) {
		int fd = dial();

		assert_int_equal(send(fd, http_corpus[i].bytes.p, http_corpus[i].bytes.n, MSG_NOSIGNAL), http_corpus[i].bytes.n);
		say(fd, "GET /healthz HTTP/1.1\r\nHost: behind\r\n\r\n");
		hear(fd, out, sizeof(out));
		if (status_of_answer(out) != http_corpus[i].status || strstr(out, "HTTP/1.1 200 "))
			fail_msg("request %zu: not %d and the end, but %s", i, http_corpus[i].status, out);
		close(fd);
	}
	assert_serves();
}

static void test_front_takes_no_method_for_another(void **state) {
	static const struct {
		const char *request;
		int status;
		const char *has;
	} cases[] = {
		{ "OPTIONS /v1/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, "\r\nAllow: POST\r\n" },
		{ "OPTIONS /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccess-Control-Request-Method: POST\r\n\r\n", 405,
		  "\r\nAllow: GET, HEAD\r\n" },
		{ "GET /v1/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, "this path does not take GET" },
		{ "PUT /v1/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 405, "PUT" },
		{ "HEAD /v1/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, "Allow: POST" },
		{ "BREW /v1/list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, "BREW" },
		{ "POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 405, "Allow: GET" },
		{ "GET /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "no such path: /v1/tokens" },
		{ "GET /healthz/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "no such path" },
		{ "GET /%68ealth%7A HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "ok\n" },
		{ "GET /v%31/t%6Fken HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, "Allow: POST" },
		{ "GET /v1%2Ftoken HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "no such path" },
		{ "GET /health%257A HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "no such path" },
		{ "GET /healthz%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "neither a path nor a URL" },
		{ "GET //healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "no such path" },
		{ "GET /v1/../healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "no such path" },
		{ "GET /healthz?x=y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "ok\n" },
		{ "GET /v1/version HTTP/1.0\r\n\r\n", 200, "hallpassd" },
	};
	char out[8192];

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = exchange(cases[i].request, out, sizeof(out));

		if (status != cases[i].status || !strstr(out, cases[i].has) || strcasestr(out, "access-control"))
			fail_msg("%s -> %s", cases[i].request, out);
	}
	assert_int_equal(exchange("HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", out, sizeof(out)), 200);
	assert_non_null(strstr(out, "Content-Length: 3\r\n"));
	assert_string_equal(strstr(out, "\r\n\r\n"), "\r\n\r\n");
}

/* The rest of the API: what is asked, and what bad questions get. */
static void test_front_answers_questions_and_says_what_is_wrong_with_bad_ones(void **state) {
	static const struct {
		const char *method, *path, *body;
		int status;
		const char *has;
	} cases[] = {
		{ "GET", "/v1/whoami", NULL, 200, "\"how\":\"SO_PEERCRED\"" },
		{ "GET", "/v1/list", NULL, 200, SA_DEV },
		{ "GET", "/v1/status", NULL, 200, "\"healthy\":true" },
		{ "GET", "/v1/version", NULL, 200, "hallpassd" },
		{ "POST", "/v1/why", ASK_DEV, 200, "ALLOW" },
		{ "POST", "/v1/why", "{\"serviceAccount\": \"" SA_PROD "\"}", 200, "\"message\"" },
		{ "POST", "/v1/why", "{\"serviceAccount\": \"" SA_DEV "\", \"time\": 4102444800, \"permission\": \"iam.serviceAccounts.signBlob\"}", 200, "DENY" },
		{ "POST", "/v1/why", "{\"serviceAccount\": \"" SA_DEV "\", \"permission\": \"iam.fly\"}", 400, "permission must be one of IAM's" },
		{ "POST", "/v1/why", "{\"serviceAccount\": \"" SA_DEV "\", \"permission\": 1}", 400, "permission must be one of IAM's" },
		{ "POST", "/v1/why", "{\"serviceAccount\": \"" SA_DEV "\", \"time\": \"noon\"}", 400, "time must be an integer" },
		{ "POST", "/v1/why", "{}", 404, "NOTHING_DENIED" },
		{ "POST", "/v1/why", "{\"time\": 4102444800}", 404, "the policy has refused no request of " ME " since this broker started" },
		{ "POST", "/v1/why", "{\"serviceAccount\": \"" SA_DEV "\", \"time\": 1764115200}", 404, "the log begins at 20" },
		{ "POST", "/v1/why", "{\"lifetime\": 60}", 400, "serviceAccount is missing" },
		{ "POST", "/v1/why", "{\"principal\": 7}", 400, "principal must be one" },
		{ "POST", "/v1/why", "{\"serviceAccount\": \"" SA_DEV "\", \"principal\": \"bob\"}", 400, "principal must be one" },
		{ "POST", "/v1/why", "[", 400, "the body is not JSON" },
		{ "POST", "/v1/idToken", ASK_DEV, 400, "audience is missing" },
		{ "POST", "/v1/idToken", "{\"serviceAccount\": \"" SA_DEV "\", \"audience\": \"https://run\"}", 403, "PERMISSION_DENIED" },
		{ "POST", "/v1/reload", "{}", 200, "policySha256" },
	};

	static char out[8192];

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct answer a;

		ask(&w, cases[i].method, cases[i].path, cases[i].body, &a);
		if (a.status != cases[i].status || !strstr(a.text, cases[i].has))
			fail_msg("%s %s %s -> %s", cases[i].method, cases[i].path, cases[i].body ? cases[i].body : "", a.text);
		answer_fini(&a);
	}
	/* A question without a question is about the last refusal. */
	assert_int_equal(exchange("POST /v1/why HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
				  "Content-Length: 0\r\n\r\n", out, sizeof(out)), 200);
	assert_non_null(strstr(out, "iam.serviceAccounts.getOpenIdToken"));
}

/* Threat 7: what a web page can send gets nothing and changes nothing, whatever it says of itself. */
static void test_front_gives_web_pages_nothing(void **state) {
	static const char *const fields[] = {
		"Origin: https://evil.example", "Origin: null", "origin:", "Origin: http://localhost", "Referer: https://evil.example/",
		"Sec-Fetch-Site: cross-site", "sec-fetch-mode: no-cors", "SEC-FETCH-DEST: empty", "Sec-Fetch-User: ?1",
		"X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "Via: 1.1 proxy",
	};
	static const char *const paths[] = { "/v1/token", "/v1/idToken", "/v1/reload", "/v1/why" };
	char request[1024], out[8192];
	json_t *records;

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(paths); k++) {
			snprintf(request, sizeof(request),
				 "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n%s\r\n"
				 "Content-Length: %zu\r\n\r\n%s", paths[k], fields[i], strlen(ASK_DEV), ASK_DEV);
			if (exchange(request, out, sizeof(out)) != 403 || !strstr(out, "FOREIGN_REQUEST") ||
			    strcasestr(out, "access-control"))
				fail_msg("%s got %s", request, out);
		}
		snprintf(request, sizeof(request), "GET /v1/list HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n\r\n",
			 fields[i]);
		assert_int_equal(exchange(request, out, sizeof(out)), 403);
	}
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "reload") + records_count(records, "intent"), 0);
	json_decref(records);
}

static void test_front_takes_json_by_its_type_alone(void **state) {
	static const struct {
		const char *type;
		bool taken;
	} cases[] = {
		{ "Content-Type: application/json\r\n", true }, { "Content-Type: application/json; charset=utf-8\r\n", true },
		{ "Content-Type: application/json;charset=utf-8\r\n", true }, { "content-type:APPLICATION/Json\r\n", true },
		{ "Content-Type: application/json ; x=y\r\n", true }, { "", false }, { "Content-Type:\r\n", false },
		{ "Content-Type: text/plain\r\n", false }, { "Content-Type: text/plain; application/json\r\n", false },
		{ "Content-Type: application/x-www-form-urlencoded\r\n", false }, { "Content-Type: multipart/form-data; boundary=x\r\n", false },
		{ "Content-Type: application/jsonx\r\n", false }, { "Content-Type: application/json+x\r\n", false },
		{ "Content-Type: application/json, text/plain\r\n", false },
		{ "Content-Type: text/plain\r\nContent-Type: application/json\r\n", false },
	};
	static const char *const paths[] = { "/v1/token", "/v1/reload", "/v1/why" };
	char request[1024], out[65536];

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(paths); k++) {
			const char *body = k == 1 ? "" : ASK_DEV; /* a reload needs no body, but the type all the same */

			snprintf(request, sizeof(request),
				 "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", paths[k],
				 cases[i].type, strlen(body), body);
			if (exchange(request, out, sizeof(out)) != (cases[i].taken ? 200 : 400))
				fail_msg("%s got %s", request, out);
		}
	}
}

/* --- who is slow */

static void test_front_cuts_off_a_field_now_and_then_with_408(void **state) {
	char out[4096];
	struct pollfd p;
	int sent = 0;

	(void)state;
	config("limits: {headTimeout: 1s, idleTimeout: 60s}\n");
	world_daemon(&w);
	p = (struct pollfd){ .fd = dial(), .events = POLLIN };
	say(p.fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n");
	/* Each line comes well within the time; all of them together do not. */
	while (poll(&p, 1, 100) == 0 && sent < 200)
		sent += say(p.fd, "X: y\r\n");
	hear(p.fd, out, sizeof(out));
	assert_int_equal(status_of_answer(out), 408);
	assert_true(sent >= 5);
	close(p.fd);
	assert_serves();
}

/* A body that trickles is under the same deadline as its head. */
static void test_front_cuts_off_a_body_that_trickles_with_408(void **state) {
	char out[4096];
	struct pollfd p;
	int sent = 0;

	(void)state;
	config("limits: {headTimeout: 1s, idleTimeout: 60s}\n");
	world_daemon(&w);
	p = (struct pollfd){ .fd = dial(), .events = POLLIN };
	say(p.fd, "POST /v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
	while (poll(&p, 1, 50) == 0 && sent < 400)
		sent += say(p.fd, "{");
	hear(p.fd, out, sizeof(out));
	assert_int_equal(status_of_answer(out), 408);
	close(p.fd);
}

static void test_front_ends_idle_connections(void **state) {
	char out[64];
	int fd;

	(void)state;
	config("limits: {idleTimeout: 300ms}\n");
	world_daemon(&w);
	fd = dial();
	assert_int_equal(hear(fd, out, sizeof(out)), 0);
	close(fd);
}

/* How often a thread of the daemon went to sleep so far: so often it had been woken. */
static long naps(void) {
	char path[64], file[400], line[128];
	struct dirent *task;
	long all = 0, n;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)w.daemon);
	tasks = opendir(path);
	assert_non_null(tasks);
	while ((task = readdir(tasks))) {
		FILE *f;

		snprintf(file, sizeof(file), "%s/%s/status", path, task->d_name);
		f = task->d_name[0] == '.' ? NULL : fopen(file, "re");
		while (f && fgets(line, sizeof(line), f))
			all += sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1 ? n : 0;
		if (f)
			fclose(f);
	}
	closedir(tasks);
	return all;
}

/* A laptop's battery pays for each: after a token was issued, and while a client and a session's owner keep their connections. */
static void test_front_sleeps_while_nobody_asks(void **state) {
	struct session_of_test session;
	long before;
	int fd;

	(void)state;
	if (SANITIZED) {
		print_message("skipped: a sanitizer has a thread of its own\n");
		skip();
	}
	world_daemon(&w);
	assert_serves();
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\"}", &session);
	fd = dial();
	assert_true(say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
	sleep(1); /* what was done is over */
	before = naps();
	sleep(3);
	assert_in_range(naps() - before, 0, 4);
	close(fd);
	session_leave(&session);
}

/* Fifty clients ask for ten thousand lists and read none: memory stays, and everybody else is served. */
static void test_front_bounds_clients_that_never_read(void **state) {
	static char requests[200 * 64];
	int fds[50];
	size_t n = 0;
	int64_t before, most = 0;

	(void)state;
	config("limits: {writeTimeout: 2s, requestsPerMinute: 1000000, burst: 100000}\n");
	world_daemon(&w);
	assert_serves();
	before = proc_number("status", "VmRSS:");
	for (int i = 0; i < 200; i++)
		n += (size_t)snprintf(requests + n, sizeof(requests) - n, "GET /v1/list HTTP/1.1\r\nHost: x\r\n\r\n");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial();
		assert_true(send(fds[i], requests, n, MSG_NOSIGNAL | MSG_DONTWAIT) > 0);
	}
	for (int i = 0; i < 20; i++) {
		int64_t now = proc_number("status", "VmRSS:");

		most = now > most ? now : most;
		assert_serves();
	}
	print_message("resident: %lld KiB before, at most %lld KiB\n", (long long)before, (long long)most);
	assert_true(SANITIZED || most - before < 32 * 1024);
	until_alone(); /* each is dropped at the write deadline, read or not */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void test_front_answers_a_thousand_pipelined_requests_in_order(void **state) {
	static char requests[1000 * 64], out[1 << 20];
	char *at = out;
	size_t n = 0;
	pid_t pid;
	int fd;

	(void)state;
	world_daemon(&w);
	fd = dial();
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(requests + n, sizeof(requests) - n, "GET /n%04d HTTP/1.1\r\nHost: x\r\n%s\r\n", i,
				      i == 999 ? "Connection: close\r\n" : "");
	pid = fork();
	if (pid == 0) {
		say(fd, requests);
		_exit(0);
	}
	hear(fd, out, sizeof(out));
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 1000; i++) {
		char want[32];

		snprintf(want, sizeof(want), "no such path: /n%04d\"", i);
		at = strstr(at, want);
		assert_non_null(at);
	}
	close(fd);
}

/* What is asked behind a mint that is under way waits for it, and comes in order. */
static void test_front_keeps_the_order_behind_a_mint(void **state) {
	char request[1024], out[8192], *token, *health;
	int fd;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 300}");
	snprintf(request, sizeof(request),
		 "POST /v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s"
		 "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", strlen(ASK_DEV), ASK_DEV);
	fd = dial();
	say(fd, request);
	hear(fd, out, sizeof(out));
	token = strstr(out, "accessToken");
	health = strstr(out, "\r\n\r\nok\n");
	assert_non_null(token);
	assert_non_null(health);
	assert_true(token < health);
	close(fd);
}

/* --- who leaves */

static json_t *records_until(const char *type, size_t n) {
	for (int i = 0; i < PATIENCE_MS / 5; i++) {
		json_t *records = world_records(&w, NULL, 0);

		if (records && records_count(records, type) >= n)
			return records;
		json_decref(records);
		pause_ms(5);
	}
	fail_msg("no %s record came", type);
	return NULL;
}

/* A half-close, a close, and a close with requests unread behind it: each is leaving, and each stands in the record. */
static void test_front_records_who_leaves_while_a_mint_is_under_way(void **state) {
	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 700}");
	for (int how = 0; how < 3; how++) {
		char request[1024], body[200];
		json_t *records;
		int fd = dial();

		/* Each asks for less than the one before, so none is served by another's flight or token. */
		snprintf(body, sizeof(body), "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": %d}", 1700 - 100 * how);
		snprintf(request, sizeof(request),
			 "POST /v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s%s",
			 strlen(body), body, how == 2 ? "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" : "");
		say(fd, request);
		while (google_calls(&w, "generateAccessToken") < how + 1)
			pause_ms(2);
		if (how == 0)
			shutdown(fd, SHUT_WR);
		else
			close(fd);
		records = records_until("abandoned", (size_t)how + 1);
		assert_string_equal(json_string_value(json_object_get(records_last(records, "abandoned"), "target")), SA_DEV);
		json_decref(records);
		records = records_until("issued", (size_t)how + 1);
		assert_true(json_is_false(json_object_get(records_last(records, "issued"), "delivered")));
		json_decref(records);
		if (how == 0)
			close(fd);
	}
	until_alone();
}

/* Clients that come, ask, and vanish at any moment: the daemon outlives them, and what it issued stands in the record. */
static void test_front_outlives_clients_that_vanish_at_any_moment(void **state) {
	char request[512], out[4096];

	(void)state;
	config("limits: {requestsPerMinute: 1000000, burst: 100000}\n");
	world_daemon(&w);
	snprintf(request, sizeof(request),
		 "POST /v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(ASK_DEV),
		 ASK_DEV);
	for (int i = 0; i < 1000; i++) {
		struct linger now = { 1, 0 };
		int fd = dial();

		assert_true(fd >= 0);
		if (send(fd, request, strlen(request) - (size_t)(i % 7 == 0 ? i % 40 : 0), MSG_NOSIGNAL) < 0)
			fail_msg("the daemon is gone");
		for (int k = 0; k < i % 3; k++)
			say(fd, request);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		if (i % 5 == 0) /* until the first bytes of an answer are there, unread */
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, i % 7 ? 1000 : 1);
		if (i % 11 == 0)
			shutdown(fd, i % 2 ? SHUT_RD : SHUT_WR);
		close(fd);
	}
	until_alone();
	assert_serves();
	assert_int_equal(exchange("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", out, sizeof(out)), 200);
}

/* --- who is too many */

static void raise_descriptors(rlim_t n) {
	struct rlimit files;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	if (files.rlim_max < n) {
		print_message("skipped: %llu descriptors are not allowed here\n", (unsigned long long)n);
		skip();
	}
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static void test_front_holds_four_thousand_idle_connections(void **state) {
	static int fds[4000];
	int64_t before;

	(void)state;
	raise_descriptors(5000);
	config("limits: {maxConnections: 5000, maxConnectionsPerUid: 5000}\n");
	world_daemon(&w);
	assert_serves();
	before = proc_number("status", "VmRSS:");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		assert_true((fds[i] = dial()) >= 0);
	assert_serves();
	assert_int_equal(open_connections(), ARRAY_SIZE(fds) + 1);
	print_message("%zu connections: %lld KiB\n", ARRAY_SIZE(fds), (long long)(proc_number("status", "VmRSS:") - before));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	until_alone();
}

/* As another uid: opens connections for as long as it is let, and holds them until it is killed. */
static pid_t hoard(uid_t uid, int connections, bool drip) {
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		int *fds = calloc((size_t)connections, sizeof(*fds));

		if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			_exit(1);
		close(ready[0]);
		for (int i = 0; i < connections; i++)
			fds[i] = dial();
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;) { /* those that were refused are tried again and again */
			for (int i = 0; i < connections; i++) {
				if (drip && (fds[i] < 0 || send(fds[i], "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)) {
					if (fds[i] >= 0)
						close(fds[i]);
					fds[i] = dial();
				}
			}
			pause_ms(20);
		}
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end_child(pid_t pid) {
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_front_serves_others_when_one_uid_takes_all_it_can(void **state) {
	pid_t greedy;

	(void)state;
	needs_root("speaking as another uid");
	raise_descriptors(2000);
	config("limits: {maxConnections: 300, maxConnectionsPerUid: 100}\n");
	world_daemon(&w);
	open_socket();
	greedy = hoard(OTHER_UID, 400, true);
	for (int i = 0; i < 50; i++)
		assert_serves();
	assert_true(open_connections() <= 101);
	end_child(greedy);
	until_alone();
}

/* ulimit -n 64, and somebody who wants them all: others are served, the log stays small, and nothing spins. */
static void test_front_serves_others_with_few_descriptors(void **state) {
	int64_t cpu, log, began;
	pid_t greedy;

	(void)state;
	needs_root("speaking as another uid");
	snprintf(w.wrap, sizeof(w.wrap), "prlimit --nofile=64:64");
	config("limits: {requestsPerMinute: 1000000, burst: 100000}\n");
	world_daemon(&w);
	open_socket();
	greedy = hoard(OTHER_UID, 300, false);
	cpu = cpu_ms();
	log = log_size();
	began = now_s();
	while (now_s() - began < 3) {
		assert_serves();
		pause_ms(50);
	}
	print_message("3 s under siege: %lld ms of CPU, %lld bytes of log\n", (long long)(cpu_ms() - cpu),
		      (long long)(log_size() - log));
	assert_true(cpu_ms() - cpu < 1500);
	assert_true(log_size() - log < 3 * 1024);
	end_child(greedy);
	/* The same with a crowd that knocks all the time. */
	greedy = hoard(OTHER_UID, 300, true);
	log = log_size();
	began = now_s();
	while (now_s() - began < 2)
		assert_serves();
	assert_true(log_size() - log < 3 * 1024);
	end_child(greedy);
	until_alone();
	assert_serves();
}

/* Somebody whom no rule knows asks and asks: told no each time, and the record does not fill up. */
static void test_front_does_not_let_strangers_fill_the_record(void **state) {
	json_t *records;
	size_t denied;
	pid_t pid;
	int status;

	(void)state;
	needs_root("speaking as another uid");
	config("limits: {requestsPerMinute: 60, burst: 10}\n");
	world_daemon(&w);
	open_socket();
	pid = fork();
	if (pid == 0) {
		static char out[8192];
		char request[512];
		int refused = 0;

		if (setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
			_exit(1);
		snprintf(request, sizeof(request),
			 "POST /v1/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%s", strlen(ASK_DEV), ASK_DEV);
		for (int i = 0; i < 300; i++) {
			int fd = dial();

			say(fd, request);
			hear(fd, out, sizeof(out));
			close(fd);
			refused += status_of_answer(out) == 401;
		}
		_exit(refused == 300 ? 0 : 2);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	denied = records_count(records, "denied");
	json_decref(records);
	print_message("300 refusals, %zu records\n", denied);
	assert_true(denied >= 10 && denied < 60);
}

/* --- the end */

static void test_front_answers_what_is_under_way_before_it_ends(void **state) {
	struct answer a;
	char out[64];
	json_t *records;
	int idle, half, pending, status;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 800}");
	idle = dial();
	half = dial();
	say(half, "GET /healthz HTT");
	pending = ask_begin(&w, "POST", "/v1/token", ASK_DEV);
	while (google_calls(&w, "generateAccessToken") == 0)
		pause_ms(2);
	kill(w.daemon, SIGTERM);
	/* Those that ask nothing are let go at once, and nobody new is kept waiting. */
	assert_int_equal(hear(idle, out, sizeof(out)), 0);
	assert_int_equal(hear(half, out, sizeof(out)), 0);
	assert_int_equal(poll(&(struct pollfd){ .fd = pending, .events = POLLIN }, 1, 0), 0);
	assert_int_equal(dial(), -1);
	assert_true(ask_end(pending, &a));
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	close(idle);
	close(half);
	assert_int_equal(waitpid(w.daemon, &status, 0), w.daemon);
	w.daemon = 0;
	assert_int_equal(status, 0);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "issued"), 1);
	assert_int_equal(records_count(records, "stop"), 1);
	json_decref(records);
}

static void test_front_ends_at_once_when_told_twice(void **state) {
	struct answer a;
	json_t *records;
	int pending, status;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 60000}");
	pending = ask_begin(&w, "POST", "/v1/token", ASK_DEV);
	while (google_calls(&w, "generateAccessToken") == 0)
		pause_ms(2);
	kill(w.daemon, SIGTERM);
	while (dial() >= 0) /* it has heard the first: a second in the same turn would be the same signal */
		pause_ms(2);
	kill(w.daemon, SIGINT);
	assert_int_equal(waitpid(w.daemon, &status, 0), w.daemon);
	w.daemon = 0;
	assert_int_equal(status, 0);
	assert_true(ask_end(pending, &a));
	assert_int_equal(a.status, 503); /* and not a bare close */
	answer_fini(&a);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "abandoned"), 1);
	assert_int_equal(records_count(records, "stop"), 1);
	json_decref(records);
}

static void test_front_gives_up_after_ten_seconds(void **state) {
	int pending, status;
	int64_t began;

	(void)state;
	if (!getenv("HALLPASS_SLOW")) {
		print_message("skipped: takes ten seconds; HALLPASS_SLOW=1 runs it\n");
		skip();
	}
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 60000}");
	pending = ask_begin(&w, "POST", "/v1/token", ASK_DEV);
	while (google_calls(&w, "generateAccessToken") == 0)
		pause_ms(2);
	kill(w.daemon, SIGTERM);
	began = now_s();
	assert_int_equal(waitpid(w.daemon, &status, 0), w.daemon);
	w.daemon = 0;
	print_message("ended after %lld s\n", (long long)(now_s() - began));
	assert_int_equal(status, 0);
	close(pending);
}

/* SIGTERM at any moment under load: exit 0, a stop record, and whoever has a token stands in the record. */
static void test_front_ends_well_at_any_moment(void **state) {
	(void)state;
	config("limits: {requestsPerMinute: 1000000, burst: 100000}\n");
	for (int round = 0; round < 12; round++) {
		int fds[20], got = 0;
		json_t *records;

		world_daemon(&w);
		google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 10}");
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
			char body[128];

			snprintf(body, sizeof(body), "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": %d}", 1800 - 10 * (int)i);
			fds[i] = ask_begin(&w, "POST", i % 4 == 3 ? "/v1/reload" : "/v1/token", i % 4 == 3 ? "{}" : body);
			if (i == (size_t)round + 2)
				kill(w.daemon, SIGTERM);
		}
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
			struct answer a;

			if (fds[i] >= 0 && ask_end(fds[i], &a)) {
				got += a.status == 200 && *answer_text(&a, "accessToken");
				answer_fini(&a);
			}
		}
		assert_int_equal(world_stop(&w, SIGTERM), 0);
		records = world_records(&w, NULL, 0);
		assert_true((int)records_count(records, "issued") >= got);
		assert_int_equal(records_count(records, "stop"), round + 1);
		json_decref(records);
	}
}

static void test_front_reloads_while_requests_wait(void **state) {
	int fds[10];
	struct answer a;

	(void)state;
	config("limits: {requestsPerMinute: 1000000, burst: 100000}\n");
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 300}");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		char body[128];

		snprintf(body, sizeof(body), "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": %d}", 1800 - 10 * (int)i);
		fds[i] = ask_begin(&w, "POST", "/v1/token", body);
	}
	for (int i = 0; i < 20; i++) {
		world_policy(&w, i % 2 ? "version: 1\nbindings: []\n" : POLICY_DEV);
		ask(&w, "POST", "/v1/reload", "{}", &a);
		assert_int_equal(a.status, 200);
		answer_fini(&a);
		kill(w.daemon, SIGHUP);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		assert_true(ask_end(fds[i], &a));
		assert_int_equal(a.status, 200); /* under the policy it began with */
		answer_fini(&a);
	}
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 403);
	answer_fini(&a);
}

/* --- the socket */

static void test_front_does_not_start_where_another_server_listens(void **state) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	json_t *records;
	char text[4096];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", w.socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(world_daemon_fails(&w, text, sizeof(text)), 75);
	print_message("%s", text);
	assert_non_null(strstr(text, "another server listens there; stop it first"));
	close(fd);
	assert_int_equal(chmod(w.dir, 0777), 0);
	assert_int_equal(world_daemon_fails(&w, text, sizeof(text)), 78);
	print_message("%s", text);
	assert_non_null(strstr(text, "chmod go-w"));
	assert_int_equal(chmod(w.dir, 0700), 0);
	world_daemon(&w); /* what was left behind is stale now */
	assert_serves();
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "start"), 1); /* what did not start did not stop either */
	assert_int_equal(records_count(records, "stop"), 1);
	json_decref(records);
}

/* A socket that somebody else put where ours would be gets nothing from our client. */
static void test_front_is_checked_by_its_client(void **state) {
	char err[1024], path[128];
	int ready[2];
	pid_t pid;
	char c;

	(void)state;
	needs_root("listening as another uid");
	assert_int_equal(chmod(w.dir, 01777), 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_un un = { .sun_family = AF_UNIX };
		char byte;
		int fd, client;

		if (setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 || setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
			_exit(1);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", w.socket);
		if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 5) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		client = accept(fd, NULL, NULL);
		_exit(recv(client, &byte, 1, 0) > 0 ? 2 : 0); /* was it asked anything? */
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	assert_int_not_equal(run_cli(&w, NULL, 0, err, sizeof(err), "token", SA_DEV, NULL), 0);
	print_message("%s", err);
	snprintf(path, sizeof(path), "served by uid %d, who is neither root nor you", OTHER_UID);
	assert_non_null(strstr(err, path));
	int status;

	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

/* Whether the daemon has a file open that is one of these. */
static bool has_open(const char *what) {
	char path[64], link[128];
	bool found = false;
	ssize_t n;

	for (int fd = 0; fd < 64 && !found; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)w.daemon, fd);
		n = readlink(path, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		found = strstr(link, what);
	}
	return found;
}

/* Without edges its loop would turn without a rest, and without ends told at once it would mint for clients that left. */
static void test_front_waits_as_it_must_whatever_the_environment_says(void **state) {
	struct answer a;

	(void)state;
	setenv("EVENT_NOEPOLL", "1", 1);
	world_daemon(&w);
	unsetenv("EVENT_NOEPOLL");
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	assert_true(has_open("[eventpoll]"));
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_front_refuses_the_corpus),
		SCENARIO(test_front_takes_no_method_for_another),
		SCENARIO(test_front_answers_questions_and_says_what_is_wrong_with_bad_ones),
		SCENARIO(test_front_gives_web_pages_nothing),
		SCENARIO(test_front_takes_json_by_its_type_alone),
		SCENARIO(test_front_cuts_off_a_field_now_and_then_with_408),
		SCENARIO(test_front_cuts_off_a_body_that_trickles_with_408),
		SCENARIO(test_front_ends_idle_connections),
		SCENARIO(test_front_sleeps_while_nobody_asks),
		SCENARIO(test_front_bounds_clients_that_never_read),
		SCENARIO(test_front_answers_a_thousand_pipelined_requests_in_order),
		SCENARIO(test_front_keeps_the_order_behind_a_mint),
		SCENARIO(test_front_records_who_leaves_while_a_mint_is_under_way),
		SCENARIO(test_front_outlives_clients_that_vanish_at_any_moment),
		SCENARIO(test_front_holds_four_thousand_idle_connections),
		SCENARIO(test_front_serves_others_when_one_uid_takes_all_it_can),
		SCENARIO(test_front_serves_others_with_few_descriptors),
		SCENARIO(test_front_does_not_let_strangers_fill_the_record),
		SCENARIO(test_front_answers_what_is_under_way_before_it_ends),
		SCENARIO(test_front_ends_at_once_when_told_twice),
		SCENARIO(test_front_gives_up_after_ten_seconds),
		SCENARIO(test_front_ends_well_at_any_moment),
		SCENARIO(test_front_reloads_while_requests_wait),
		SCENARIO(test_front_does_not_start_where_another_server_listens),
		SCENARIO(test_front_waits_as_it_must_whatever_the_environment_says),
		SCENARIO(test_front_is_checked_by_its_client),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
