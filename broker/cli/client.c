/* One exchange with the broker over its Unix socket. See cli.h. No library: start-up time is the user's. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/cli.h"
#include "broker/secret.h"
#include "hallpass/cleanup.h"

#define ANSWER_MAX (4 << 20)
#define ANSWER_ROOM (32 << 10) /* one with a token is smaller */
#define HEAD_ROOM 512
#define DEADLINE_MS 60000
#define SPIN_AFTER_MS 150
#define OWN_SOCKET "/hallpass/hallpass.sock" /* below XDG_RUNTIME_DIR */
#define SYSTEM_SOCKET "/run/hallpass/hallpass.sock"

static int deadline_ms(const struct cli *cli) {
	return cli->deadline_ms ? cli->deadline_ms : DEADLINE_MS;
}

static int64_t now_ms(void) {
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- where the broker is */

struct place {
	struct sockaddr_un un;
	bool guessed; /* nobody named it */
};

static int place_set(struct place *place, const char *dir, const char *name, struct error *err) {
	size_t size = sizeof(place->un.sun_path);

	place->un.sun_family = AF_UNIX;
	if (snprintf(place->un.sun_path, size, "%s%s", dir, name) < (int)size)
		return 0;
	return error_set(err, ERR_INVALID, "a socket's path has at most %zu bytes", size - 1);
}

/* As named; else one's own broker where there is one, else the machine's. */
static int place_find(const struct cli *cli, struct place *place, struct error *err) {
	const char *named = cli->values[OPT_SOCKET] ? cli->values[OPT_SOCKET] : getenv("HALLPASS_SOCKET");
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	place->guessed = !named;
	if (named)
		return place_set(place, named, "", err);
	if (runtime && place_set(place, runtime, OWN_SOCKET, err) == 0 && access(place->un.sun_path, F_OK) == 0)
		return 0;
	return place_set(place, SYSTEM_SOCKET, "", err);
}

/* Why nobody answers, in words that lead on. */
static int no_broker(const struct place *place, int why, struct error *err) {
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (why == EAGAIN)
		return error_set(err, ERR_TIMEOUT, "the broker at %s takes nobody in", place->un.sun_path);
	if (why == EACCES)
		return error_set(err, ERR_UNAUTHENTICATED, "the permissions of %s keep you out", place->un.sun_path);
	if (place->guessed && !strcmp(place->un.sun_path, SYSTEM_SOCKET) && runtime)
		return error_set(err, ERR_NOT_FOUND, "no broker at %s%s nor at %s: %s", runtime, OWN_SOCKET, SYSTEM_SOCKET,
				 strerror(why));
	return error_set(err, ERR_NOT_FOUND, "no broker at %s: %s", place->un.sun_path, strerror(why));
}

/* The server must be root, ourselves, or the owner of a socket directory that nobody else can write to. */
static int server_check(int fd, const char *path, struct error *err) {
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;
	struct stat st;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: the kernel does not say who serves it", path);
	if (cred.uid == 0 || cred.uid == geteuid())
		return 0;
	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	if (slash && stat(*dir ? dir : "/", &st) == 0 && (st.st_uid == cred.uid || st.st_uid == 0) &&
	    !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	return error_set(err, ERR_NOT_FOUND, "%s is served by uid %u, who is neither root nor you: not trusted", path, cred.uid);
}

int client_dial(const struct cli *cli, struct error *err) {
	struct place place = { 0 };
	struct timeval patience;
	int fd;

	if (place_find(cli, &place, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, ERR_UNAVAILABLE, "no socket: %s", strerror(errno));
	/* A broker that accepts nobody is waited for no longer than one that does not answer. */
	patience = (struct timeval){ .tv_sec = deadline_ms(cli) / 1000, .tv_usec = deadline_ms(cli) % 1000 * 1000 };
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&place.un, sizeof(place.un)) < 0) {
		no_broker(&place, errno, err);
		close(fd);
		return -1;
	}
	if (server_check(fd, place.un.sun_path, err) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int client_place(const struct cli *cli, char *path, size_t size) {
	struct place place = { 0 };
	struct error err;

	if (place_find(cli, &place, &err) < 0)
		return -1;
	snprintf(path, size, "%s", place.un.sun_path);
	return 0;
}

/* --- asking */

static void write_all(int fd, const char *data, size_t n) {
	while (n) {
		ssize_t r = send(fd, data, n, MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return; /* the answer, or its absence, will say why */
		data += r;
		n -= (size_t)r;
	}
}

int client_send(int fd, const char *path, const json_t *body, bool keep, struct error *err) {
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct buf out = BUF_INIT(1 << 20);

	if (body && !text)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (buf_grow(&out, HEAD_ROOM + (text ? strlen(text) : 0))) /* what grows later would leave a copy */
		buf_reset(&out);
	buf_addf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", body ? "POST" : "GET", path, keep ? "" : "Connection: close\r\n");
	if (text)
		buf_addf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);
	else
		buf_adds(&out, "\r\n");
	write_all(fd, out.data, out.len);
	wipe(out.data, out.len); /* a session's handle may be in it */
	wipe_free(text);
	buf_fini(&out);
	return 0;
}

static void spin(const struct cli *cli, int64_t waited_ms, bool *shown) {
	static const char *const frames[] = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" };

	if (!cli->spinner || waited_ms < SPIN_AFTER_MS)
		return;
	fprintf(stderr, "\r%s%s waiting for the broker …%s", out_color_err(cli, COLOR_DIM), frames[waited_ms / 100 % 10],
		out_color_err(cli, COLOR_NONE));
	fflush(stderr);
	*shown = true;
}

static bool speaks_http(const struct buf *in) {
	return in->len < 9 || !strncmp(in->data, "HTTP/1.1 ", 9);
}

int client_whole_answer(const struct buf *in, const char **body) {
	const char *end = in->len ? strstr(in->data, "\r\n\r\n") : NULL, *length = in->len ? strcasestr(in->data, "\r\nContent-Length:") : NULL;

	if (!speaks_http(in))
		return -1;
	if (!end)
		return 0;
	if (!length || length > end)
		return -1;
	*body = end + 4;
	return in->len - (size_t)(*body - in->data) < (size_t)atoll(length + 17) ? 0 : atoi(in->data + 9);
}

/* Until it is whole, or can be none; the broker's closing the connection is waited for where no length is given. */
static int read_answer(const struct cli *cli, int fd, struct buf *in, struct error *err) {
	int64_t began = now_ms();
	bool shown = false;
	const char *body;
	int r = 0;

	while (speaks_http(in) && client_whole_answer(in, &body) <= 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t waited = now_ms() - began;
		char *at;
		ssize_t n;

		if (waited > deadline_ms(cli)) {
			r = error_set(err, ERR_TIMEOUT, "the broker did not answer within %d s", deadline_ms(cli) / 1000);
			break;
		}
		if (poll(&p, 1, 100) <= 0) {
			spin(cli, waited, &shown);
			continue;
		}
		at = buf_grow(in, 8192);
		if (!at) {
			r = error_set(err, ERR_UNAVAILABLE, "the broker broke off: too long an answer");
			break;
		}
		n = recv(fd, at, 8192, 0);
		in->len -= 8192 - (size_t)(n > 0 ? n : 0);
		in->data[in->len] = '\0';
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = error_set(err, ERR_UNAVAILABLE, "the broker broke off: %s", strerror(errno));
		else if (n == 0 && in->len && strstr(in->data, "\r\n\r\n") && client_whole_answer(in, &body) == 0)
			r = error_set(err, ERR_UNAVAILABLE, "the broker broke off in the middle of its answer");
		if (n <= 0)
			break;
	}
	if (shown)
		fputs("\r\033[K", stderr);
	return r;
}

/* The status, and where the body begins. */
static int parse_answer(const struct buf *in, const char **body, struct error *err) {
	const char *end = in->data ? strstr(in->data, "\r\n\r\n") : NULL;

	if (!speaks_http(in))
		return error_set(err, ERR_UNAVAILABLE, "who answers there is no broker: it speaks no HTTP");
	if (!end || strncmp(in->data, "HTTP/1.1 ", 9))
		return error_set(err, ERR_UNAVAILABLE, "the broker closed the connection without an answer");
	*body = end + 4;
	return atoi(in->data + 9);
}

/* Google's error shape back into an error. */
int client_error(int status, const json_t *reply, struct error *err) {
	static const struct {
		int status;
		enum error_code code;
	} codes[] = {
		{ 400, ERR_INVALID }, { 401, ERR_UNAUTHENTICATED }, { 403, ERR_DENIED }, { 404, ERR_NOT_FOUND },
		{ 429, ERR_LIMIT },   { 502, ERR_UPSTREAM },	    { 503, ERR_UNAVAILABLE }, { 504, ERR_TIMEOUT },
	};
	const json_t *error = json_object_get(reply, "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *reason = json_string_value(
		json_object_get(json_array_get(json_object_get(error, "details"), 0), "reason"));
	enum error_code code = ERR_INTERNAL;

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].status == status)
			code = codes[i].code;
	if (code == ERR_DENIED && reason && !strcmp(reason, "UPSTREAM_REFUSED"))
		code = ERR_REFUSED;
	return error_set(err, code, "%s", message ? message : "the broker's answer says nothing");
}

int client_try(struct cli *cli, const char *path, const json_t *body, json_t **reply, struct error *err) {
	struct buf in = BUF_INIT(ANSWER_MAX);
	const char *text = NULL;
	int fd = client_dial(cli, err), r = -1, status = -1;

	*reply = NULL;
	if (fd < 0)
		return -1;
	/* Room first: what grows later would leave a copy of a token where it stood. */
	if (buf_grow(&in, ANSWER_ROOM))
		buf_reset(&in);
	if (client_send(fd, path, body, false, err) == 0 && read_answer(cli, fd, &in, err) == 0)
		status = parse_answer(&in, &text, err);
	close(fd);
	if (status > 0) {
		*reply = json_loads(text, 0, NULL);
		r = status == 200 && *reply ? 0
		    : status == 200	    ? error_set(err, ERR_INTERNAL, "the broker's answer is no JSON")
					    : client_error(status, *reply, err);
	}
	if (in.data)
		explicit_bzero(in.data, in.len);
	buf_fini(&in);
	return r;
}

/* What each kind of failure is called, what it is to the shell, and what to do. */
static const struct told {
	enum error_code code;
	enum api_exit exit;
	const char *kind, *hint;
} tolds[] = {
	{ ERR_INVALID, API_EXIT_USAGE, "refused", NULL },
	{ ERR_DENIED, API_EXIT_DENIED, "denied", NULL }, /* see denied_hint() */
	{ ERR_UNAUTHENTICATED, API_EXIT_DENIED, "denied", "whoever runs the broker decides who is who (`peers:`) and who may use its socket" },
	{ ERR_NOT_FOUND, API_EXIT_UNREACHABLE, "unreachable",
	  "start it: `hallpassd` for yourself, or `systemctl start hallpassd`; --socket PATH names another" },
	{ ERR_LIMIT, API_EXIT_TRY_AGAIN, "not now", "try again in a moment" },
	{ ERR_REFUSED, API_EXIT_FAILED, "failed", NULL }, /* Google's own words say what to do */
	{ ERR_UPSTREAM, API_EXIT_TRY_AGAIN, "failed", NULL },
	{ ERR_UNAVAILABLE, API_EXIT_TRY_AGAIN, "not now", "`hallpass status` tells how the broker is" },
	{ ERR_TIMEOUT, API_EXIT_TRY_AGAIN, "not now", "try again; `hallpass status` tells how the broker is" },
	{ ERR_INTERNAL, API_EXIT_FAILED, "failed", NULL },
};

static const struct told *told_of(enum error_code code, const json_t *reply) {
	static const struct told not_found = { ERR_NOT_FOUND, API_EXIT_FAILED, "not found", NULL };
	size_t i = 0;

	if (code == ERR_NOT_FOUND && reply) /* the broker is there */
		return &not_found;

	while (i + 1 < ARRAY_SIZE(tolds) && tolds[i].code != code)
		i++;
	return &tolds[i];
}

const char *client_kind(const struct error *err) {
	return told_of(err->code, NULL)->kind;
}

static const char *denied_hint(const struct cli *cli, char *text, size_t size) {
	const char *account = cli_account(cli);

	if (!*account)
		return NULL;
	snprintf(text, size, "`hallpass why %s%s` explains it, `hallpass list` shows what you may be",
		 cli->command->run == cmd_id_token ? "--permission getOpenIdToken " : "", account);
	return text;
}

int client_tell(struct cli *cli, const struct error *err, json_t *reply) {
	const struct told *told = told_of(err->code, reply);
	/* 404 would be a program's word for what a broker does not have; what is not there is the broker. */
	enum error_code code = told->exit == API_EXIT_UNREACHABLE ? ERR_UNAVAILABLE : err->code;
	char text[512];

	if (cli->json && reply)
		out_json(reply);
	else
		out_error(cli, code, told->kind, err->message,
			  err->code == ERR_DENIED ? denied_hint(cli, text, sizeof(text)) : told->hint);
	return (int)told->exit;
}

int client_call(struct cli *cli, const char *path, json_t *body, json_t **reply) {
	struct error err = { 0 };
	int r = client_try(cli, path, body, reply, &err);

	json_decref(body);
	if (r == 0)
		return API_EXIT_OK;
	r = client_tell(cli, &err, *reply);
	json_decref(*reply);
	*reply = NULL;
	return r;
}
