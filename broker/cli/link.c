/* See link.h. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "broker/cli/link.h"

#define PIECE 16384	/* bytes under way in one direction */
#define PATIENCE_MS 10000 /* how long a client is held while there is no broker */
#define LINGER_MS 1000	/* how long its further bytes are read away, so that it sees the end of its answer */
#define ANSWER_MAX 65536

enum link_state {
	LINK_WAITING,  /* for a session */
	LINK_ENTERING, /* for the broker's word that it is in */
	LINK_OPEN,
	LINK_LINGERING, /* the broker has closed, and the client was told all */
};

/* One direction. */
struct pipe {
	char data[PIECE];
	size_t at, len;
	bool ended; /* no more comes */
	bool shut;  /* and the other side was told */
};

struct link {
	enum link_state state;
	int client, broker; /* broker -1: not yet */
	bool known;	    /* peer is the client, by the kernel's word */
	struct peer peer;
	unsigned tried;	    /* the session that it could not enter (control.times); 0: none */
	int64_t until_ms;   /* WAITING, ENTERING, LINGERING: not longer */
	struct buf in;	    /* ENTERING: the broker's word */
	struct pipe up, down;
};

struct link *link_new(int client, const struct peer *peer) {
	struct link *link = calloc(1, sizeof(*link));

	if (!link) {
		close(client);
		return NULL;
	}
	link->client = client;
	link->broker = -1;
	link->known = peer != NULL;
	if (peer)
		link->peer = *peer;
	link->until_ms = keep_now_ms() + PATIENCE_MS;
	link->in = BUF_INIT(ANSWER_MAX);
	return link;
}

void link_free(struct link *link) {
	close(link->client);
	if (link->broker >= 0)
		close(link->broker);
	buf_fini(&link->in);
	explicit_bzero(link, sizeof(*link)); /* tokens went through it */
	free(link);
}

/* --- entering a session */

/* To be tried again with the next session: this one is over, or the broker is. */
static void stay_outside(struct link *link, const struct control *control) {
	if (link->broker >= 0)
		close(link->broker);
	link->broker = -1;
	link->tried = control->times;
	link->state = LINK_WAITING;
	buf_reset(&link->in);
}

static void enter(struct link *link, const struct control *control) {
	json_t *nothing = json_object();
	struct error err;
	char path[80];

	snprintf(path, sizeof(path), API_PATH_SESSIONS "/%s", control->session);
	link->broker = client_dial(control->cli, &err);
	link->state = LINK_ENTERING;
	if (link->broker < 0 || client_send(link->broker, path, nothing, true, &err) < 0 ||
	    fcntl(link->broker, F_SETFL, O_NONBLOCK) < 0)
		stay_outside(link, control);
	json_decref(nothing);
}

static void hear(struct link *link, const struct control *control) {
	char *at = buf_grow(&link->in, 1024);
	ssize_t n = at ? recv(link->broker, at, 1024, 0) : 0;
	const char *body;
	int status;

	link->in.len -= at ? 1024 - (size_t)(n > 0 ? n : 0) : 0;
	if (at)
		link->in.data[link->in.len] = '\0';
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	status = n > 0 ? client_whole_answer(&link->in, &body) : -1;
	if (status == 200)
		link->state = LINK_OPEN;
	else if (status)
		stay_outside(link, control);
}

/* --- pumping */

static bool passes(ssize_t r) {
	return r >= 0 || errno == EAGAIN || errno == EINTR;
}

/* Reads a piece when the last one is through. False: the connection broke. */
static bool fill(struct pipe *p, int from) {
	ssize_t r;

	if (p->len || p->ended)
		return true;
	r = recv(from, p->data, sizeof(p->data), 0);
	p->at = 0;
	p->len = r > 0 ? (size_t)r : 0;
	p->ended = r == 0;
	return passes(r);
}

static bool drain(struct pipe *p, int to) {
	ssize_t r = p->len ? send(to, p->data + p->at, p->len, MSG_NOSIGNAL) : 0;

	if (!passes(r))
		return false;
	if (r > 0) {
		explicit_bzero(p->data + p->at, (size_t)r);
		p->at += (size_t)r;
		p->len -= (size_t)r;
	}
	if (p->ended && !p->len && !p->shut) {
		shutdown(to, SHUT_WR);
		p->shut = true;
	}
	return true;
}

/* What the broker says goes to whom it was let in for, or to nobody. */
static bool may_have_it(const struct link *link) {
	return !link->down.len || !link->known || peer_stands(link->client, &link->peer);
}

/* False: a side broke off. */
static bool pump(struct link *link) {
	if (!fill(&link->up, link->client) || !drain(&link->up, link->broker) || !fill(&link->down, link->broker) ||
	    !may_have_it(link) || !drain(&link->down, link->client))
		return false;
	if (link->down.shut) {
		link->state = LINK_LINGERING;
		link->until_ms = keep_now_ms() + LINGER_MS;
	}
	return true;
}

static bool linger(struct link *link) {
	ssize_t r = recv(link->client, link->up.data, sizeof(link->up.data), 0);

	return r > 0 || (r < 0 && passes(r));
}

/* --- its turn */

static short wants(const struct pipe *in, const struct pipe *out) {
	return (short)((!in->len && !in->ended ? POLLIN : 0) | (out->len ? POLLOUT : 0));
}

/* poll() tells of an end that one is not ready for, too, and without cease: so the broker's is not heard of while there is more to be told the client. */
void link_polls(const struct link *link, struct pollfd polls[LINK_POLLS], int *timeout_ms) {
	int64_t left = link->until_ms - keep_now_ms();
	bool open = link->state == LINK_OPEN;
	bool hears = link->state != LINK_LINGERING && (!open || wants(&link->down, &link->up));

	polls[0] = (struct pollfd){ link->client, open ? wants(&link->up, &link->down) : link->state == LINK_LINGERING ? POLLIN : 0, 0 };
	polls[1] = (struct pollfd){ hears ? link->broker : -1, open ? wants(&link->down, &link->up) : POLLIN, 0 };
	if (!open && (*timeout_ms < 0 || left < *timeout_ms))
		*timeout_ms = left > 0 ? (int)left : 0;
}

/* Without a word from poll() there is nothing to be read or written. */
static bool is_due(const struct pollfd polls[LINK_POLLS]) {
	return polls[0].revents || polls[1].revents;
}

bool link_turn(struct link *link, const struct control *control, const struct pollfd polls[LINK_POLLS]) {
	bool goes_on = link->state == LINK_OPEN || keep_now_ms() < link->until_ms;

	if (polls[0].revents & (POLLHUP | POLLERR)) /* both its directions are at their end */
		goes_on = false;
	else if (link->state == LINK_WAITING && control->state == CONTROL_OPEN && control->times != link->tried)
		enter(link, control);
	else if (link->state == LINK_ENTERING && polls[1].revents)
		hear(link, control);
	else if (link->state == LINK_OPEN && is_due(polls))
		goes_on = pump(link);
	else if (link->state == LINK_LINGERING && polls[0].revents)
		goes_on = goes_on && linger(link);
	if (!goes_on)
		link_free(link);
	return goes_on;
}
