/*
 * hallpass relay: the session's port, where the broker's loopback is another. See cli.h; one connection of it, in link.h.
 *
 * Who may connect is settled here, by uid, since only this network's kernel knows: to the broker each connection is ours. What is asked
 * is settled by the broker: its rules on Host and on what browsers send hold for these connections as for its own ports.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "broker/cli/link.h"
#include "broker/loopback.h"
#include "broker/status.h"
#include "hallpass/cleanup.h"

#define MAX_LINKS 256 /* further ones wait in the kernel */
#define MAX_UIDS 32
#define TELL_EVERY_MS 10000
#define DIAL_MS 2000 /* to a broker that takes nobody in: all others wait meanwhile */

struct relay {
	struct cli *cli;
	struct control control;
	json_t *body; /* of the request for a session */
	struct loopback at;
	int fd; /* listening; -1: not yet */
	bool anybody;
	int64_t uids[MAX_UIDS];
	size_t n_uids;
	struct link *links[MAX_LINKS];
	size_t n_links;
	int64_t told_ms; /* of a stranger, at last; 0: never */
};

/* --- what was asked for */

/* "any", or "0,1000". */
static int read_uids(struct relay *relay, const char *text) {
	char *end;

	relay->uids[0] = geteuid();
	relay->n_uids = 1;
	relay->anybody = text && !strcmp(text, "any");
	if (!text || relay->anybody)
		return 0;
	for (relay->n_uids = 0;; text = end + 1) {
		unsigned long long uid = strtoull(text, &end, 10);

		if (*text < '0' || *text > '9' || (*end && *end != ',') || !peer_uid_is_somebody((int64_t)uid) ||
		    uid > UINT32_MAX || relay->n_uids == MAX_UIDS)
			return -1;
		relay->uids[relay->n_uids++] = (int64_t)uid;
		if (!*end)
			return 0;
	}
}

/* An exit code. */
static int read_options(struct relay *relay) {
	struct cli *cli = relay->cli;
	struct error err;

	if (!cli->values[OPT_AS])
		return help_usage_error(cli->command, "as whom? --as ACCOUNT; see `hallpass list`");
	if (!cli->values[OPT_LISTEN])
		return help_usage_error(cli->command, "where? --listen 127.0.0.1:PORT");
	if (loopback_parse(cli->values[OPT_LISTEN], &relay->at, &err) < 0)
		return help_usage_error(cli->command, "--listen %s: %s", cli->values[OPT_LISTEN], err.message);
	if (read_uids(relay, cli->values[OPT_UID]) < 0)
		return help_usage_error(cli->command, "--uid is any, or up to %d numbers like 0,1000, not \"%s\"", MAX_UIDS, cli->values[OPT_UID]);
	relay->body = cli_token_body(cli);
	return relay->body ? API_EXIT_OK : API_EXIT_USAGE;
}

/* --- beginning */

/* Nobody is refused here for what may be otherwise in an hour; but whoever starts it wants to know. */
static void tell_of_denial(const struct relay *relay) {
	struct error err = { 0 };
	json_t *reply = NULL;
	char text[1200];

	if (client_try(relay->cli, API_PATH_WHY, relay->body, &reply, &err) == 0 &&
	    strcmp(json_string_value(json_object_get(reply, "decision")) ?: "", "ALLOW")) {
		snprintf(text, sizeof(text), "for now the answer will be no: %s",
			 out_safe(json_string_value(json_object_get(reply, "message")) ?: "denied"));
		keep_tell(relay->cli, COLOR_YELLOW, text);
	}
	json_decref(reply);
}

static void tell_begin(const struct relay *relay) {
	const char *where = relay->cli->values[OPT_LISTEN];
	struct buf text = BUF_INIT(4096);

	buf_addf(&text, "%s is the metadata server of %s for ", where, out_safe(relay->cli->values[OPT_AS]));
	if (relay->anybody)
		buf_adds(&text, "whoever can connect to it");
	for (size_t i = 0; i < relay->n_uids && !relay->anybody; i++)
		buf_addf(&text, "%s%lld", i ? ", " : "uid ", (long long)relay->uids[i]);
	buf_addf(&text, "; programs find it by GCE_METADATA_HOST=%s GCE_METADATA_IP=%s GCE_METADATA_ROOT=%s", where, where, where);
	keep_tell(relay->cli, COLOR_GREEN, text.data ? text.data : "");
	buf_fini(&text);
}

static int begin(struct relay *relay, struct error *err) {
	if (!relay->anybody && sockdiag_check(err) < 0)
		return error_wrap(err, "who connects cannot be told here (--uid any does without)");
	if (loopback_listen(&relay->at, &relay->fd, err) < 0) {
		err->code = ERR_INTERNAL; /* not the broker's trouble, and not one that passes */
		return -1;
	}
	relay->control.cli = relay->cli;
	relay->control.relayed = true;
	relay->control.port = relay->at.port;
	return control_begin(&relay->control, relay->body, err);
}

/* --- who comes in */

static bool is_welcome(const struct relay *relay, const struct peer *peer) {
	for (size_t i = 0; i < relay->n_uids; i++)
		if (relay->uids[i] == peer->uid)
			return true;
	return false;
}

static void tell_stranger(struct relay *relay, const char *who) {
	int64_t now = keep_now_ms();
	char text[600];

	if (relay->told_ms && now - relay->told_ms < TELL_EVERY_MS)
		return;
	relay->told_ms = now;
	snprintf(text, sizeof(text), "a connection was turned away: %s (--uid says whose are taken)", who);
	keep_tell(relay->cli, COLOR_YELLOW, text);
}

/* By the kernel's word, before a byte is read. False: turned away, and told; err is for the client. */
static bool admit(struct relay *relay, int fd, struct peer *peer, struct error *err) {
	char text[80];

	if (relay->anybody)
		return true;
	if (peer_of(fd, peer, err) < 0) {
		tell_stranger(relay, err->message);
		return false;
	}
	if (is_welcome(relay, peer))
		return true;
	snprintf(text, sizeof(text), "it is uid %lld's", (long long)peer->uid);
	tell_stranger(relay, text);
	error_set(err, ERR_DENIED, "this relay gives tokens to whom its --uid names, and that is not who you are here");
	return false;
}

/* A word for whoever waits for an answer; what it has sent is read away, or closing would reset the connection before it saw that. */
static void turn_away(int fd, const struct error *err) {
	struct buf body = BUF_INIT(2048), out = BUF_INIT(4096);
	char away[4096];

	status_body(&body, ERR_DENIED, err->code == ERR_DENIED ? "NOT_YOURS" : "UNKNOWN_CALLER", err->message, NULL, 0);
	buf_addf(&out, "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
		 body.len, body.data ? body.data : "");
	if (buf_ok(&out) && send(fd, out.data, out.len, MSG_NOSIGNAL) > 0) {
		shutdown(fd, SHUT_WR);
		recv(fd, away, sizeof(away), 0);
	}
	buf_fini(&body);
	buf_fini(&out);
	close(fd);
}

static void take_one(struct relay *relay) {
	int fd = accept4(relay->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct peer peer = { 0 };
	struct error err;
	struct link *link;

	if (fd < 0)
		return;
	if (!admit(relay, fd, &peer, &err)) {
		turn_away(fd, &err);
		return;
	}
	link = link_new(fd, relay->anybody ? NULL : &peer);
	if (link && link_turn(link, &relay->control, (const struct pollfd[LINK_POLLS]){ 0 }))
		relay->links[relay->n_links++] = link;
}

/* --- the loop */

enum { POLL_END, POLL_CONTROL, POLL_LISTENER, POLL_LINKS };
#define MAX_POLLS (POLL_LINKS + LINK_POLLS * MAX_LINKS)

static int fill_polls(const struct relay *relay, int end, struct pollfd *polls) {
	int timeout = control_timeout_ms(&relay->control);

	polls[POLL_END] = (struct pollfd){ end, POLLIN, 0 };
	polls[POLL_CONTROL] = (struct pollfd){ control_fd(&relay->control), POLLIN, 0 };
	polls[POLL_LISTENER] = (struct pollfd){ relay->n_links < MAX_LINKS ? relay->fd : -1, POLLIN, 0 };
	for (size_t i = 0; i < relay->n_links; i++)
		link_polls(relay->links[i], polls + POLL_LINKS + LINK_POLLS * i, &timeout);
	return timeout;
}

static void turn_links(struct relay *relay, const struct pollfd *polls) {
	size_t kept = 0;

	for (size_t i = 0; i < relay->n_links; i++)
		if (link_turn(relay->links[i], &relay->control, polls + POLL_LINKS + LINK_POLLS * i))
			relay->links[kept++] = relay->links[i];
	relay->n_links = kept;
}

/* Until something is to be read where its end is told, or the broker ends the session. */
static int serve(struct relay *relay, int end) {
	static struct pollfd polls[MAX_POLLS];

	relay->cli->deadline_ms = DIAL_MS;
	while (relay->control.state != CONTROL_ENDED) {
		int timeout = fill_polls(relay, end, polls);

		if (poll(polls, (nfds_t)(POLL_LINKS + LINK_POLLS * relay->n_links), timeout) < 0)
			continue;
		if (polls[POLL_END].revents)
			return API_EXIT_OK;
		control_turn(&relay->control, polls[POLL_CONTROL].revents != 0);
		turn_links(relay, polls);
		if (polls[POLL_LISTENER].revents)
			take_one(relay);
	}
	return API_EXIT_TRY_AGAIN;
}

static void relay_end(struct relay *relay) {
	while (relay->n_links)
		link_free(relay->links[--relay->n_links]);
	control_end(&relay->control);
	if (relay->fd >= 0)
		close(relay->fd);
	json_decref(relay->body);
}

/* --- for `run` and `env`, in a process of its own */

/* What a terminal sends is for the command; the leash tells of the end. */
static void serve_leashed(struct relay *relay, int leash, bool hidden) {
	static const int ignored[] = { SIGINT, SIGQUIT, SIGHUP, SIGTSTP, SIGTTOU, SIGPIPE };

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	if (hidden)
		keep_leave_terminal(relay->cli);
	serve(relay, leash);
	relay_end(relay);
	_exit(0);
}

int relay_fork(struct cli *cli, const json_t *body, const struct private *private, bool hidden, struct relayed *out, struct error *err) {
	struct relay relay = { .cli = cli, .body = json_incref((json_t *)body), .at = { .family = AF_INET }, .fd = -1, .uids = { geteuid() }, .n_uids = 1,
			       .control = { .fd = -1, .private = private } };
	int ends[2] = { -1, -1 }, r = begin(&relay, err);

	if (r == 0 && pipe2(ends, O_CLOEXEC) < 0)
		r = error_set(err, ERR_UNAVAILABLE, "no pipe: %s", strerror(errno));
	out->pid = r == 0 ? fork() : -1;
	if (out->pid == 0) {
		close(ends[1]);
		serve_leashed(&relay, ends[0], hidden);
	}
	if (r == 0 && out->pid < 0)
		r = error_set(err, ERR_UNAVAILABLE, "no process: %s", strerror(errno));
	out->port = relay.at.port;
	if (ends[0] >= 0)
		close(ends[0]);
	if (r == 0)
		out->leash = ends[1];
	else if (ends[1] >= 0) /* there is nobody at its other end, to be waited for */
		close(ends[1]);
	relay_end(&relay);
	return r;
}

void relay_unleash(struct relayed *relayed) {
	if (relayed->leash < 0)
		return;
	close(relayed->leash);
	relayed->leash = -1;
	waitpid(relayed->pid, NULL, 0); /* where it is our child; else nobody waits */
}

int cmd_relay(struct cli *cli) {
	struct relay relay = { .cli = cli, .fd = -1, .control = { .fd = -1 } };
	struct error err = { 0 };
	int r = read_options(&relay);

	if (r == API_EXIT_OK && begin(&relay, &err) < 0)
		r = client_tell(cli, &err, NULL);
	if (r == API_EXIT_OK) {
		tell_of_denial(&relay);
		tell_begin(&relay);
		r = serve(&relay, keep_watch_signals());
	}
	relay_end(&relay);
	return r;
}
