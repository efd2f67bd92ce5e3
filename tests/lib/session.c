/* See session.h. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "tests/lib/port.h"
#include "tests/lib/session.h"

#define PATIENCE_MS 30000

int session_ask(const struct world *w, const char *body, int *fd, struct answer *out) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char text[8192];
	size_t n = 0;
	char *end = NULL;
	int len = snprintf(text, sizeof(text),
			   "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			   strlen(body), body);

	memset(out, 0, sizeof(*out));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", w->socket);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(*fd, (struct sockaddr *)&un, sizeof(un)) < 0 || send(*fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		return 0;
	while (!end || strlen(end + 4) < (size_t)atoi(strstr(out->text, "Content-Length:") + 15)) {
		struct pollfd p = { .fd = *fd, .events = POLLIN };
		ssize_t r = poll(&p, 1, PATIENCE_MS) > 0 ? read(*fd, out->text + n, sizeof(out->text) - 1 - n) : -1;

		if (r <= 0)
			return 0;
		n += (size_t)r;
		end = strstr(out->text, "\r\n\r\n");
	}
	out->status = atoi(out->text + 9);
	out->json = json_loads(end + 4, 0, NULL);
	return out->status;
}

void door_at(int port, struct session_of_test *s) {
	*s = (struct session_of_test){ .fd = -1, .port = port };
	snprintf(s->host, sizeof(s->host), "127.0.0.1:%d", port);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", port);
}

void door_at6(int port, struct session_of_test *s) {
	door_at(port, s);
	snprintf(s->host, sizeof(s->host), "[::1]:%d", port);
	snprintf(s->url, sizeof(s->url), "http://[::1]:%d", port);
}

static bool has_ipv6(void) {
	struct session_of_test s;
	int fd;

	door_at6(1, &s);
	fd = md_dial(&s);
	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno == ECONNREFUSED;
}

static void relay_begin(struct world *w, struct session_of_test *s, struct running *relay) {
	door_at(free_port(), s);
	start(w, relay, (const char *const[]){ program("hallpass"), "relay", "--listen", s->host, "--as", SA_DEV, NULL });
	if (!wait_for(relay, "programs find it by"))
		fail_msg("%s", relay->text);
}

bool place_begin(struct world *w, enum place place, struct session_of_test *s, struct running *relay) {
	const char *host = place == PLACE_LISTENER6 ? "[::1]" : "127.0.0.1";
	bool listens = place == PLACE_LISTENER || place == PLACE_LISTENER6;
	int port = listens ? free_port() : 0;

	if (place == PLACE_LISTENER6 && !has_ipv6())
		return false;
	if (listens)
		snprintf(w->listeners_more, sizeof(w->listeners_more), ", {tcp: \"%s:%d\", serviceAccounts: [" SA_DEV "]}", host, port);
	world_daemon(w);
	if (place == PLACE_SESSION)
		session_begin(w, "{\"serviceAccount\": \"" SA_DEV "\"}", s);
	else if (place == PLACE_RELAY)
		relay_begin(w, s, relay);
	else
		(place == PLACE_LISTENER6 ? door_at6 : door_at)(port, s);
	return true;
}

void session_begin(const struct world *w, const char *body, struct session_of_test *s) {
	struct answer a;
	int fd;

	if (session_ask(w, body, &fd, &a) != 200)
		fail_msg("%s", a.text);
	door_at((int)answer_int(&a, "port"), s);
	s->fd = fd;
	snprintf(s->id, sizeof(s->id), "%s", answer_text(&a, "session"));
	snprintf(s->handle, sizeof(s->handle), "%s", answer_text(&a, "handle"));
	answer_fini(&a);
}

void session_leave(struct session_of_test *s) {
	if (s->fd > 0)
		close(s->fd);
	s->fd = -1;
}

void place_end(struct session_of_test *s, struct running *relay) {
	session_leave(s);
	if (relay->pid > 0) {
		kill(relay->pid, SIGTERM);
		finish(relay);
	}
	relay->pid = 0;
}

void md_raw(const struct session_of_test *s, const char *method, const char *path, const char *headers, struct http_answer *out) {
	char lines[4096];

	snprintf(lines, sizeof(lines), "%s%s%s%s", strstr(headers, "Host:") ? "" : "Host: ", strstr(headers, "Host:") ? "" : s->host,
		 strstr(headers, "Host:") ? "" : "\r\n", headers);
	http_ask(s->url, method, path, lines, NULL, out);
}

void md(const struct session_of_test *s, const char *path, struct http_answer *out) {
	char whole[4096];

	snprintf(whole, sizeof(whole), "/computeMetadata/v1/%s", path);
	md_raw(s, "GET", whole, "Metadata-Flavor: Google\r\n", out);
}

int md_dial(const struct session_of_test *s) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)s->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback, .sin6_port = htons((uint16_t)s->port) };
	bool six = s->host[0] == '[';
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, six ? (struct sockaddr *)&in6 : (struct sockaddr *)&in, six ? sizeof(in6) : sizeof(in)) == 0)
		return fd;
	close(fd);
	return -1;
}

bool md_listens(const struct session_of_test *s) {
	int fd = md_dial(s);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void md_bytes(const struct session_of_test *s, const char *bytes, char *out, size_t size) {
	md_str(s, str_of(bytes), out, size);
}

void md_str(const struct session_of_test *s, struct str bytes, char *out, size_t size) {
	int fd = md_dial(s);
	size_t n = 0;

	assert_true(fd >= 0);
	assert_int_equal(send(fd, bytes.p, bytes.n, MSG_NOSIGNAL), bytes.n);
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t r = poll(&p, 1, PATIENCE_MS) > 0 ? read(fd, out + n, size - 1 - n) : -1;

		if (r <= 0)
			break;
		n += (size_t)r;
	}
	out[n] = '\0';
	close(fd);
}

json_t *records_wait(const struct world *w, const char *type, size_t n) {
	for (int turns = 0; turns < PATIENCE_MS / 5; turns++) {
		json_t *records = world_records(w, NULL, 0);

		if (records && records_count(records, type) >= n)
			return records;
		json_decref(records);
		poll(NULL, 0, 5);
	}
	fail_msg("no %zu records of type %s", n, type);
	return NULL;
}
