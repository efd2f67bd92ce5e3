/* hallpass relay: the session's port in a network of its own, which has nothing but loopback and the broker's socket. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/lib/offline.h"
#include "tests/lib/running.h"
#include "tests/lib/session.h"

#define STRANGER 12002
#define PORT 8181
#define AT "127.0.0.1:8181"
#define TOKEN "instance/service-accounts/default/token"
#define READY "programs find it by"

static struct world w;
static struct running relay;
static struct session_of_test s;
static struct http_answer h;
static struct answer a;
static char text[4096];

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	http_answer_fini(&h);
	answer_fini(&a);
	if (relay.pid > 0) {
		kill(relay.pid, SIGTERM);
		finish(&relay);
	}
	relay.pid = 0;
	return world_end_well(&w);
}

/* From here on the test is in the container; the broker and Google stay outside. */
static void enter_container(void) {
	world_daemon(&w);
	assert_true(offline());
}

static void start_relay(const char *uids) {
	const char *const argv[] = { program("hallpass"), "relay", "--listen", AT, "--as", SA_DEV, uids ? "--uid" : NULL, uids, NULL };

	start(&w, &relay, argv);
	if (!wait_for(&relay, READY))
		fail_msg("%s", relay.text);
	door_at(PORT, &s);
}

static int get(const char *path) {
	http_answer_fini(&h);
	md(&s, path, &h);
	return h.status;
}

static int get_with(const char *headers) {
	http_answer_fini(&h);
	md_raw(&s, "GET", "/computeMetadata/v1/" TOKEN, headers, &h);
	return h.status;
}

static const char *member(const json_t *record, const char *key) {
	const char *found = json_string_value(json_object_get(record, key));

	return found ? found : "";
}

static void test_relay_gives_tokens_and_is_recorded(void **state) {
	json_t *records, *record;

	(void)state;
	enter_container();
	start_relay(NULL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(get(TOKEN), 200);
	assert_int_equal(get("instance/service-accounts/default/email"), 200);
	assert_string_equal(h.body, SA_DEV);
	assert_int_equal(get("instance/service-accounts/" SA_LABEL "/token"), 404);
	kill(relay.pid, SIGTERM);
	assert_int_equal(finish(&relay), 0);
	relay.pid = 0;
	records = records_wait(&w, "closed", 1);
	record = records_last(records, "opened");
	assert_int_equal(json_integer_value(json_object_get(record, "port")), PORT);
	assert_true(json_is_true(json_object_get(record, "relayed")));
	record = records_last(records, "issued");
	assert_string_equal(member(record, "principal"), ME);
	assert_string_equal(member(record, "auth"), "SO_PEERCRED");
	assert_string_equal(member(record, "surface"), "metadata");
	assert_string_equal(member(record, "session"), member(records_last(records, "opened"), "session"));
	record = records_last(records, "closed");
	assert_string_equal(member(record, "reason"), "CLIENT_LEFT");
	assert_int_equal(json_integer_value(json_object_get(record, "tokens")), 3);
	json_decref(records);
	assert_false(md_listens(&s));
}

/* As docker has it: of the host's files the socket's directory alone, and that at another place. */
static void test_relay_needs_nothing_but_the_socket(void **state) {
	const char *argv[] = { "/bin/sh", "-c", text, program("hallpass"), NULL };

	(void)state;
	if (geteuid() != 0 || system("unshare --mount true 2>/dev/null") != 0) {
		print_message("skipped: mounting takes root\n");
		skip();
	}
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {unix: run/hallpass.sock}");
	enter_container();
	snprintf(text, sizeof(text),
		 "exec unshare --mount sh -c 'mount -t tmpfs none /mnt && mkdir /mnt/run && mount --bind %s/run /mnt/run && mount -t tmpfs none %s && "
		 "HALLPASS_SOCKET=/mnt/run/hallpass.sock exec \"$0\" relay --listen " AT " --as " SA_DEV "' $0",
		 w.dir, w.dir);
	start(&w, &relay, argv);
	if (!wait_for(&relay, READY))
		fail_msg("%s", relay.text);
	door_at(PORT, &s);
	assert_int_equal(get(TOKEN), 200);
	/* A directory shows the next broker's socket; one that was mounted by itself would stay the dead one's. */
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_true(wait_for(&relay, "the broker is gone"));
	world_daemon(&w);
	assert_true(wait_for(&relay, "the broker is back"));
	assert_int_equal(get("instance/service-accounts/default/email"), 200);
}

static void test_relay_outlives_the_broker(void **state) {
	static const char email[] = "GET /computeMetadata/v1/instance/service-accounts/default/email HTTP/1.1\r\nHost: " AT
				    "\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n";
	json_t *records;
	pid_t waiting;
	int status;

	(void)state;
	enter_container();
	start_relay(NULL);
	assert_int_equal(get(TOKEN), 200);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_true(wait_for(&relay, "the broker is gone"));
	/* Who asks meanwhile is answered by the next. */
	waiting = fork();
	if (waiting == 0) {
		md_bytes(&s, email, text, sizeof(text));
		_exit(strstr(text, "200 OK") ? 0 : 1);
	}
	world_daemon(&w);
	assert_true(wait_for(&relay, "the broker is back, and the session goes on"));
	waitpid(waiting, &status, 0);
	assert_int_equal(status, 0);
	records = records_wait(&w, "opened", 2);
	assert_int_equal(records_count(records, "closed"), 1);
	json_decref(records);
}

/* --- a client that waits while the broker is away */

static const char email_please[] = "GET /computeMetadata/v1/instance/service-accounts/default/email HTTP/1.1\r\nHost: " AT
				   "\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n";

/* The one that listens, one to the broker while there is one, one for each client, and one for each that has come to the broker's door. */
static int relay_sockets(void) {
	char path[32], link[32];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)relay.pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += readlinkat(dirfd(dir), entry->d_name, link, sizeof(link)) > 7 && !memcmp(link, "socket:", 7);
	closedir(dir);
	return n;
}

static void until_relay_has(int sockets) {
	int64_t began = now_s();

	while (relay_sockets() != sockets) {
		if (now_s() - began > 20)
			fail_msg("%d sockets, not %d", relay_sockets(), sockets);
		poll(NULL, 0, 5);
	}
}

static int wait_as_client(const char *request) {
	int fd = md_dial(&s);

	assert_true(fd >= 0);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	return fd;
}

/* All that a client is told, until the end; closes it. */
static const char *answer_to(int fd) {
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	ssize_t r;

	do {
		if (poll(&p, 1, 30000) <= 0)
			fail_msg("nothing more is told, and no end");
		r = read(fd, text + n, sizeof(text) - 1 - n);
		n += r > 0 ? (size_t)r : 0;
	} while (r > 0);
	text[n] = '\0';
	close(fd);
	return text;
}

static void assert_answered(int fd) {
	answer_to(fd);
	if (!strstr(text, " 200 OK") || !strstr(text, SA_DEV))
		fail_msg("%s", text);
}

/* The one that stays is answered by the next broker; of the one that breaks off nothing is left, at once. */
static void test_relay_holds_who_waits_for_the_broker(void **state) {
	const struct linger reset = { .l_onoff = 1 };
	int stays, leaves;

	(void)state;
	enter_container();
	start_relay(NULL);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_true(wait_for(&relay, "the broker is gone"));
	stays = wait_as_client(email_please);
	leaves = wait_as_client(email_please);
	until_relay_has(3);
	setsockopt(leaves, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(leaves);
	until_relay_has(2);
	world_daemon(&w);
	assert_true(wait_for(&relay, "the broker is back, and the session goes on"));
	assert_answered(stays);
}

/* It has taken the connection, and dies before its word that the client is in. */
static void test_relay_takes_who_was_at_the_door_to_the_next_broker(void **state) {
	int fd;

	(void)state;
	enter_container();
	start_relay(NULL);
	assert_int_equal(kill(w.daemon, SIGSTOP), 0);
	fd = wait_as_client(email_please);
	until_relay_has(4);
	world_stop(&w, SIGKILL);
	assert_true(wait_for(&relay, "the broker is gone"));
	world_daemon(&w);
	assert_true(wait_for(&relay, "the broker is back, and the session goes on"));
	assert_answered(fd);
}

/* Its request may have been heard: nobody asks a second time in its place. It hears the end, and the next one is served. */
static void test_relay_ends_whose_broker_died_while_it_asked(void **state) {
	static const char token[] = "GET /computeMetadata/v1/" TOKEN " HTTP/1.1\r\nHost: " AT "\r\nMetadata-Flavor: Google\r\n\r\n";
	int fd;

	(void)state;
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"times\": 1, \"latency_ms\": 60000}");
	enter_container();
	start_relay(NULL);
	fd = wait_as_client(token);
	json_decref(records_wait(&w, "intent", 1));
	world_stop(&w, SIGKILL);
	assert_string_equal(answer_to(fd), "");
	assert_true(wait_for(&relay, "the broker is gone"));
	world_daemon(&w);
	assert_true(wait_for(&relay, "the broker is back, and the session goes on"));
	if (get("instance/service-accounts/default/email") != 200)
		fail_msg("%s", h.body);
}

static void test_relay_lets_nobody_wait_for_ever(void **state) {
	int64_t began;
	int fd;

	(void)state;
	if (!getenv("HALLPASS_SLOW")) {
		print_message("skipped: takes ten seconds; HALLPASS_SLOW=1 runs it\n");
		skip();
	}
	enter_container();
	start_relay(NULL);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_true(wait_for(&relay, "the broker is gone"));
	began = now_s();
	fd = wait_as_client(email_please);
	assert_string_equal(answer_to(fd), "");
	assert_in_range(now_s() - began, 9, 15);
}

/* A client's connection is one of the broker's: what is sent on is answered in order, and a big answer comes whole. */
static void test_relay_passes_bytes_as_they_are(void **state) {
	static const char two[] = "GET /computeMetadata/v1/instance/service-accounts/default/email HTTP/1.1\r\nHost: " AT
				  "\r\nMetadata-Flavor: Google\r\n\r\nGET /computeMetadata/v1/project/project-id HTTP/1.1\r\nHost: " AT
				  "\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n";
	char *email, *project;

	(void)state;
	enter_container();
	start_relay(NULL);
	md_bytes(&s, two, text, sizeof(text));
	email = strstr(text, SA_DEV);
	project = strstr(text, "\r\n\r\nacme-ml");
	assert_true(email && project && email < project);
	md_bytes(&s, "GET / HTTP/1.1\nHost: x\n\n", text, sizeof(text));
	assert_non_null(strstr(text, "HTTP/1.1 400 "));
}

/* It has sent more than the broker takes while it is being served, and breaks off: the broker hears of that at once, not with its answer. */
static void test_relay_leaves_with_its_client(void **state) {
	static const char token[] = "GET /computeMetadata/v1/" TOKEN " HTTP/1.1\r\nHost: " AT "\r\nMetadata-Flavor: Google\r\n\r\n";
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(PORT) };
	const struct linger reset = { .l_onoff = 1 };
	static char more[1 << 16];
	struct pollfd p = { .events = POLLOUT };
	json_t *records;

	(void)state;
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"times\": 1, \"latency_ms\": 5000}");
	enter_container();
	start_relay(NULL);
	p.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(p.fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(send(p.fd, token, sizeof(token) - 1, MSG_NOSIGNAL), sizeof(token) - 1);
	json_decref(records_wait(&w, "intent", 1)); /* so that Google is being asked, and takes its time */
	memset(more, '\n', sizeof(more));
	while (poll(&p, 1, 500) > 0) /* until nothing goes any more */
		send(p.fd, more, sizeof(more), MSG_NOSIGNAL | MSG_DONTWAIT);
	setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(p.fd);
	records = records_wait(&w, "abandoned", 1);
	assert_int_equal(records_count(records, "issued"), 0); /* Google has not answered yet */
	json_decref(records);
}

static void test_P4_a_relay_takes_no_web_page(void **state) {
	(void)state;
	enter_container();
	start_relay(NULL);
	assert_int_equal(get_with("Metadata-Flavor: Google\r\nOrigin: http://127.0.0.1:8181\r\n"), 403);
	assert_int_equal(get_with("Metadata-Flavor: Google\r\nSec-Fetch-Site: same-origin\r\n"), 403);
	assert_int_equal(get_with("Metadata-Flavor: Google\r\nX-Forwarded-For: 10.0.0.1\r\n"), 403);
	assert_int_equal(get_with("Metadata-Flavor: Google\r\nHost: rebound.example:8181\r\n"), 421);
	assert_int_equal(get_with("Metadata-Flavor: Google\r\nHost: 127.0.0.1:8182\r\n"), 421);
	assert_int_equal(get_with(""), 403);
	assert_int_equal(get_with("Metadata-Flavor: Google\r\nHost: localhost:8181\r\n"), 200);
}

/* The first line of what a uid gets at the relay's port, asking for a token. */
static int status_for_uid(uid_t uid) {
	int ends[2], status = 0;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(1);
		status = get(TOKEN);
		_exit(write(ends[1], &status, sizeof(status)) == sizeof(status) ? 0 : 1);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &status, sizeof(status)), sizeof(status));
	close(ends[0]);
	waitpid(pid, NULL, 0);
	return status;
}

static void test_P4_a_relay_takes_its_own_uid_alone(void **state) {
	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: being somebody else takes root\n");
		skip();
	}
	enter_container();
	start_relay(NULL);
	assert_int_equal(status_for_uid(STRANGER), 403);
	assert_true(wait_for(&relay, "turned away: it is uid 12002's"));
	assert_int_equal(get(TOKEN), 200);
}

/* Its client's socket has no owner that the kernel would name: that it is somebody else's is not what there is to say. */
static void test_relay_tells_a_client_that_half_closed(void **state) {
	static const char request[] = "GET /computeMetadata/v1/" TOKEN " HTTP/1.1\r\nHost: " AT "\r\nMetadata-Flavor: Google\r\n\r\n";
	char out[4096] = "";
	size_t n = 0;
	ssize_t r;
	int fd;

	(void)state;
	enter_container();
	start_relay(NULL);
	assert_int_equal(kill(relay.pid, SIGSTOP), 0); /* all of it is there before the relay looks */
	fd = md_dial(&s);
	assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(kill(relay.pid, SIGCONT), 0);
	while ((r = read(fd, out + n, sizeof(out) - 1 - n)) > 0)
		n += (size_t)r;
	close(fd);
	assert_non_null(strstr(out, "HTTP/1.1 403 "));
	assert_non_null(strstr(out, "a client leaves its side open (no shutdown for writing) until it has its answer"));
	assert_non_null(strstr(out, "UNKNOWN_CALLER"));
	assert_null(strstr(out, "not who you are here"));
}

static void test_relay_takes_whom_it_is_told(void **state) {
	static const char *const uids[] = { "0,12002", "any" };

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: being somebody else takes root\n");
		skip();
	}
	enter_container();
	for (size_t i = 0; i < 2; i++) {
		start_relay(uids[i]);
		assert_int_equal(status_for_uid(STRANGER), 200);
		assert_int_equal(get(TOKEN), 200);
		kill(relay.pid, SIGTERM);
		assert_int_equal(finish(&relay), 0);
	}
	relay.pid = 0;
}

/* POST to a path on a connection that stays, as a uid; the status. */
static int enter_session(uid_t uid, const char *id, const char *more) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int ends[2], fd, status = 0;
	pid_t pid;
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		if (uid != geteuid() && (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
			_exit(1);
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", w.socket);
		snprintf(text, sizeof(text), "POST /v1/sessions/%s HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/json\r\nContent-Length: 0\r\n\r\n", id, more);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || send(fd, text, strlen(text), 0) < 0)
			_exit(1);
		n = read(fd, text, sizeof(text) - 1);
		_exit(n > 12 && write(ends[1], text, (size_t)n) == n ? 0 : 1);
	}
	close(ends[1]);
	n = read(ends[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	if (n > 12)
		status = atoi(text + 9);
	close(ends[0]);
	waitpid(pid, NULL, 0);
	return status;
}

static void test_P4_nobody_enters_the_session_of_another(void **state) {
	struct session_of_test other;

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: %u, principal: \"" ME "\"}, {uid: 12002, principal: \"" ME "\"}, "
						       "{uid: 12003, principal: \"user:else@example.com\"}]\n", geteuid());
	world_daemon(&w);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\", \"port\": 80, \"relayed\": true}", &other);
	assert_int_equal(other.port, 80);
	assert_int_equal(enter_session(geteuid(), other.id, ""), 200);
	assert_int_equal(enter_session(geteuid(), other.id, "Connection: close\r\n"), 400);
	assert_int_equal(enter_session(geteuid(), "0123456789abcdef", ""), 404);
	if (geteuid() == 0 && chmod(w.dir, 0755) == 0 && chmod(w.socket, 0666) == 0) {
		assert_int_equal(enter_session(12003, other.id, ""), 404); /* another principal: there is none */
		assert_int_equal(enter_session(STRANGER, other.id, ""), 403); /* the same, and another uid */
		json_decref(records_wait(&w, "denied", 1));
	}
	session_leave(&other);
}

static void test_relay_says_what_is_missing(void **state) {
	static const struct {
		const char *words[8];
		const char *says;
	} table[] = {
		{ { "--listen", AT }, "--as ACCOUNT" },
		{ { "--as", SA_DEV }, "--listen 127.0.0.1:PORT" },
		{ { "--as", SA_DEV, "--listen", "0.0.0.0:8181" }, "127.0.0.1" },
		{ { "--as", SA_DEV, "--listen", AT, "--uid", "alice" }, "numbers like 0,1000" },
		{ { "--as", SA_DEV, "--listen", AT, "--uid", "1,65534" }, "numbers like 0,1000" },
	};
	char err[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *const *v = table[i].words;

		assert_int_equal(run_cli(&w, NULL, 0, err, sizeof(err), "relay", v[0], v[1], v[2], v[3], v[4], v[5], NULL), 64);
		if (!strstr(err, table[i].says))
			fail_msg("%s", err);
	}
	assert_int_equal(run_cli(&w, NULL, 0, err, sizeof(err), "relay", "--as", SA_DEV, "--listen", AT, NULL), 69);
	assert_non_null(strstr(err, "no broker at"));
}

static void test_relay_tells_of_a_policy_that_says_no(void **state) {
	const char *const argv[] = { program("hallpass"), "relay", "--listen", AT, "--as", SA_PROD, NULL };

	(void)state;
	enter_container();
	start(&w, &relay, argv);
	assert_true(wait_for(&relay, READY));
	assert_non_null(strstr(relay.text, "for now the answer will be no: "));
	door_at(PORT, &s);
	assert_int_equal(get(TOKEN), 403);
}

#define ASK_PORT "curl -s -H Metadata-Flavor:Google http://$GCE_METADATA_HOST/computeMetadata/v1/"

/* Where the broker's ports are another network's, `run` has a relay of its own, as long as its command. */
static void test_relay_comes_with_run(void **state) {
	struct running r;
	json_t *records;
	int command;

	(void)state;
	enter_container();
	start(&w, &r, (const char *const[]){ program("hallpass"), "run", "--as", SA_DEV, "--", "sh", "-c",
					     ASK_PORT TOKEN "; test -s ${HALLPASS_HANDLE_FILE:-${CLOUDSDK_AUTH_ACCESS_TOKEN_FILE%/token}/handle} && echo handle; exit 7", NULL });
	assert_int_equal(finish(&r), 7);
	assert_non_null(strstr(r.text, "\"access_token\":\"ya29.standin-"));
	assert_non_null(strstr(r.text, "handle\n"));
	records = records_wait(&w, "closed", 2);
	assert_int_equal(records_count(records, "opened"), 2); /* the first was out of reach */
	assert_true(json_is_true(json_object_get(records_last(records, "opened"), "relayed")));
	assert_int_equal(json_integer_value(json_object_get(records_last(records, "closed"), "tokens")), 1);
	json_decref(records);
	/* However it ends: the relay hears of it by its leash. */
	start(&w, &r, (const char *const[]){ program("hallpass"), "run", "--as", SA_DEV, "--", "sh", "-c", "echo up $$ .; exec sleep 60", NULL });
	assert_true(wait_for(&r, " ."));
	assert_int_equal(sscanf(r.text, "up %d", &command), 1);
	kill(r.pid, SIGKILL);
	records = records_wait(&w, "closed", 4);
	json_decref(records);
	assert_int_equal(kill(command, SIGKILL), 0); /* it was there to the end, and held nothing up */
	close(r.fd);
	waitpid(r.pid, NULL, 0);
}

static void test_relay_comes_with_env(void **state) {
	struct running r;

	(void)state;
	enter_container();
	start(&w, &r, (const char *const[]){ "/bin/sh", "-c", "eval \"$(\"$0\" env --as " SA_DEV ")\"; " ASK_PORT "instance/service-accounts/default/email; "
							     "eval \"$(\"$0\" env --end)\"; echo .", program("hallpass"), NULL });
	assert_int_equal(finish(&r), 0);
	assert_string_equal(r.text, SA_DEV ".\n");
	json_decref(records_wait(&w, "closed", 2));
}

static void test_relay_is_known_to_the_doctor(void **state) {
	char out[16384];

	(void)state;
	enter_container();
	assert_int_equal(run_cli(&w, out, sizeof(out), NULL, 0, "doctor", SA_DEV, NULL), 0);
	assert_non_null(strstr(out, "ok   network        the broker's ports are on another network than yours"));
}

/* In the broker's own network nothing of the kind. */
static void test_relay_is_not_made_where_ports_are_in_reach(void **state) {
	json_t *records;

	(void)state;
	world_daemon(&w);
	assert_int_equal(run_cli(&w, NULL, 0, NULL, 0, "run", "--as", SA_DEV, "--", "true", NULL), 0);
	records = records_wait(&w, "closed", 1);
	assert_int_equal(records_count(records, "opened"), 1);
	assert_null(json_object_get(records_last(records, "opened"), "relayed"));
	json_decref(records);
}

/* google-auth, where Python has it. */
static void test_relay_serves_google_auth(void **state) {
	static const char line[] =
		"GCE_METADATA_HOST=" AT " GCE_METADATA_IP=" AT " GCE_METADATA_ROOT=" AT " HOME=/nonexistent CLOUDSDK_CONFIG=/nonexistent python3 -c '\n"
		"import google.auth, google.auth.transport.requests\n"
		"c, p = google.auth.default(scopes=[\"https://www.googleapis.com/auth/cloud-platform\"])\n"
		"c.refresh(google.auth.transport.requests.Request())\n"
		"print(p, c.service_account_email, c.token)'";
	struct running python;

	(void)state;
	if (system("python3 -c 'import google.auth.transport.requests' 2>/dev/null") != 0) {
		print_message("skipped: Python has no google-auth\n");
		skip();
	}
	enter_container();
	start_relay(NULL);
	start(&w, &python, (const char *const[]){ "/bin/sh", "-c", line, NULL });
	if (finish(&python) != 0)
		fail_msg("%s", python.text);
	assert_non_null(strstr(python.text, "acme-ml " SA_DEV " ya29.standin-"));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_relay_gives_tokens_and_is_recorded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_needs_nothing_but_the_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_outlives_the_broker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_holds_who_waits_for_the_broker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_takes_who_was_at_the_door_to_the_next_broker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_ends_whose_broker_died_while_it_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_lets_nobody_wait_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_passes_bytes_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_leaves_with_its_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P4_a_relay_takes_no_web_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P4_a_relay_takes_its_own_uid_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_tells_a_client_that_half_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_takes_whom_it_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P4_nobody_enters_the_session_of_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_says_what_is_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_tells_of_a_policy_that_says_no, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_comes_with_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_comes_with_env, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_is_known_to_the_doctor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_is_not_made_where_ports_are_in_reach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_serves_google_auth, setup, teardown),
	};

	if (access("/proc/self/ns/net", F_OK) != 0) {
		print_message("skipped: no network namespaces here\n");
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
