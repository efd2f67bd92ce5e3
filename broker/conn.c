/* See conn.h. */

#include <assert.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/conn.h"
#include "broker/http_memo.h"
#include "broker/log.h"
#include "broker/secret.h"
#include "broker/status.h"
#include "hallpass/cleanup.h"

#define IN_SCRATCH 16384		       /* read at once; nearly all requests come whole and need no memory of their own */
#define IN_FIRST 2048			       /* kept for one that did not */
#define IN_MAX (HTTP_MAX_HEAD + 3 * HTTP_MAX_BODY) /* a head, and a body with its chunk lines */
#define OUT_MAX (2 << 20)
#define ACCEPTS_AT_ONCE 64
#define UID_BUCKETS 256
#define DESCRIPTORS_KEPT 256 /* at most half of all: for the record, upstream and listeners */
#define TELL_EVERY_MS 10000  /* what anybody can cause is logged so often at most */
#define TICK_MS 100   /* how finely deadlines are watched */
#define REST_MS 3600000 /* until the next tick, with nothing to watch */
#define LOOKS_AT_ONCE 256 /* a tick */
#define LINGER_MS 1000 /* how long a refused client's further bytes are read away, so that it sees its answer */

/* What a connection waits for; each has a list in order of deadline, because the span is the same for all in it. */
enum wait { WAIT_NOTHING, WAIT_IDLE, WAIT_HEAD, WAIT_WRITE, WAIT_LINGER, N_WAITS };

/* How many connections a uid has: exact, so that nobody pays for a stranger's. Lives while one is open. */
struct quota {
	LIST_ENTRY(quota) same_bucket;
	int64_t uid;
	unsigned open;
};

struct conn {
	struct conn_server *server;
	struct conn_handler handler;
	int came_in; /* id of the listener */
	struct quota *quota;
	struct event read_event, write_event;
	int fd;
	TAILQ_ENTRY(conn) link;	     /* all */
	TAILQ_ENTRY(conn) wait_link; /* in waits[wait] */
	TAILQ_ENTRY(conn) read_link; /* in read_lately, while looked_after */
	enum wait wait;
	int64_t deadline_ms;

	char *in; /* bytes from in_at to in_len are to be parsed; NULL: none */
	size_t in_at, in_len;
	size_t in_size; /* 0: `in` is the server's scratch, for as long as on_readable() is on the stack */
	struct http_parser parser;
	char *out; /* what the socket did not take; NULL: nothing */
	size_t out_len, out_at;
	bool out_secret;

	bool pending;	    /* a request is with the handler: */
	bool head_only;	    /* its answer has no body */
	bool keep_alive;    /* its client will go on */
	bool close_after;   /* the answer under way is the last */
	bool busy;	    /* conn_process() is on the stack: it frees */
	bool dead;
	bool unread;	    /* more came while it was pending, and waits in the kernel */
	bool looked_after;  /* in server->read_lately */
	unsigned read_at;   /* the tick */
	void *user;
	void (*ended)(void *arg); /* held; NULL: it is not */
	void *ended_arg;
	struct peer peer;
};
TAILQ_HEAD(conns, conn);

struct listening {
	struct conn_server *server;
	LIST_ENTRY(listening) link;
	struct event *event;
	struct conn_handler handler;
	int id;
};

/* A message that anybody can cause: how often since it was last written. */
struct told {
	int64_t at_ms; /* 0: never */
	unsigned times;
};

/* The request that a handler looks at now, for conn_remember(). */
struct handed {
	const struct conn *conn; /* NULL: none */
	const struct http_request *request;
	const char *bytes; /* as they came, n of them; NULL: they were changed since */
	size_t n;
};

struct conn_server {
	struct event_base *base;
	struct conn_limits limits;
	struct conn_counters counters;
	struct log *log;
	struct conns all, waits[N_WAITS];
	struct conns read_lately; /* in order of read_at */
	unsigned ticks;
	struct event *tick, *resume;
	int64_t tick_at_ms; /* the next one */
	LIST_HEAD(, listening) listening;
	int last_id;
	int spare_fd; /* given up for a moment when descriptors run out */
	bool paused;  /* listeners are silent until resume fires or a connection ends */
	LIST_HEAD(, quota) quotas[UID_BUCKETS];
	struct buf reply;     /* scratch for building one answer */
	char in[IN_SCRATCH]; /* scratch for reading */
	struct http_memo memo;
	struct handed handed;
	struct told told_exhausted, told_peer;
	void (*drained)(void *arg);
	void *drained_arg;
};

/*
 * recv() and send() without libc's turn for pthread_cancel(), which nobody calls here: in a program with threads that is two
 * atomic operations a call.
 */
static ssize_t take_in(int fd, void *p, size_t n) {
	return syscall(SYS_recvfrom, fd, p, n, 0, NULL, NULL);
}

static ssize_t put_out(int fd, const void *p, size_t n) {
	return syscall(SYS_sendto, fd, p, n, MSG_NOSIGNAL, NULL, 0);
}

static void conn_process(struct conn *conn);
static void on_readable(evutil_socket_t fd, short events, void *arg);
static void on_writable(evutil_socket_t fd, short events, void *arg);

/* --- deadlines */

static unsigned wait_span(const struct conn_server *s, enum wait wait) {
	const unsigned spans[N_WAITS] = {
		[WAIT_IDLE] = s->limits.idle_timeout_ms,
		[WAIT_HEAD] = s->limits.head_timeout_ms,
		[WAIT_WRITE] = s->limits.write_timeout_ms,
		[WAIT_LINGER] = LINGER_MS,
	};

	return spans[wait];
}

/* The tick is always pending, so that moving it takes no memory; when there is nothing to watch the process sleeps. */
static void tick_at(struct conn_server *s, int64_t now, int64_t at_ms) {
	int64_t span = at_ms - now > TICK_MS ? at_ms - now : TICK_MS;
	const struct timeval tick = { span / 1000, span % 1000 * 1000 };

	s->tick_at_ms = now + span;
	event_add(s->tick, &tick);
}

static void tick_by(struct conn_server *s, int64_t now, int64_t at_ms) {
	if (at_ms < s->tick_at_ms && now + TICK_MS < s->tick_at_ms)
		tick_at(s, now, at_ms);
}

/* Waiting for the same thing as before goes on under the same deadline: it is absolute. */
static void conn_wait(struct conn *conn, enum wait wait) {
	struct conn_server *s = conn->server;
	int64_t now;

	if (wait == WAIT_IDLE && conn->ended)
		wait = WAIT_NOTHING;
	if (conn->wait == wait)
		return;
	if (conn->wait != WAIT_NOTHING)
		TAILQ_REMOVE(&s->waits[conn->wait], conn, wait_link);
	conn->wait = wait;
	if (wait == WAIT_NOTHING)
		return;
	now = clock_tick_ms();
	conn->deadline_ms = now + wait_span(s, wait);
	TAILQ_INSERT_TAIL(&s->waits[wait], conn, wait_link);
	tick_by(s, now, conn->deadline_ms);
}

/* --- edges: what is not taken at the first word is not told again */

/*
 * A reset that comes with the last bytes is one edge with them, and libevent does not tell it from more bytes; recv() may
 * stop short of all that there is (SCM_RIGHTS, urgent data). So a while after it was last read each socket is asked once more.
 */
static void conn_look_again_later(struct conn *conn) {
	struct conn_server *s = conn->server;
	int64_t now;

	if (conn->looked_after && conn->read_at == s->ticks)
		return;
	if (conn->looked_after)
		TAILQ_REMOVE(&s->read_lately, conn, read_link);
	if (TAILQ_EMPTY(&s->read_lately)) {
		now = clock_tick_ms();
		tick_by(s, now, now + TICK_MS);
	}
	conn->looked_after = true;
	conn->read_at = s->ticks;
	TAILQ_INSERT_TAIL(&s->read_lately, conn, read_link);
}

/* Whatever there is to be read, or its end, is news once more; where the loop has no room for it now, a while later. */
static void conn_read_again(struct conn *conn) {
	event_del(&conn->read_event);
	if (event_add(&conn->read_event, NULL) < 0)
		conn_look_again_later(conn);
}

static void conn_look_no_more(struct conn *conn) {
	if (conn->looked_after)
		TAILQ_REMOVE(&conn->server->read_lately, conn, read_link);
	conn->looked_after = false;
}

static void look_again(struct conn_server *s) {
	struct conn *conn;

	for (int i = 0; i < LOOKS_AT_ONCE && (conn = TAILQ_FIRST(&s->read_lately)) && s->ticks - conn->read_at > 1; i++) {
		conn_look_no_more(conn);
		conn_read_again(conn);
	}
}

/* --- the end of a connection */

/* Whether to write it now; times then says how often it happened. */
static bool tell(struct told *told, unsigned *times) {
	int64_t now = clock_tick_ms();

	told->times++;
	if (told->at_ms && now - told->at_ms < TELL_EVERY_MS)
		return false;
	*times = told->times;
	*told = (struct told){ .at_ms = now };
	return true;
}

/* NULL: no memory. */
static struct quota *quota_of(struct conn_server *s, int64_t uid) {
	size_t bucket = ((uint64_t)uid * 0x9E3779B97F4A7C15u) >> 56;
	struct quota *quota;

	LIST_FOREACH(quota, &s->quotas[bucket], same_bucket)
		if (quota->uid == uid)
			return quota;
	quota = calloc(1, sizeof(*quota));
	if (quota) {
		quota->uid = uid;
		LIST_INSERT_HEAD(&s->quotas[bucket], quota, same_bucket);
	}
	return quota;
}

static void quota_release(struct quota *quota) {
	if (--quota->open)
		return;
	LIST_REMOVE(quota, same_bucket);
	free(quota);
}

static void listeners_set(struct conn_server *s, bool on) {
	struct listening *l;

	LIST_FOREACH(l, &s->listening, link) {
		if (on)
			event_add(l->event, NULL);
		else
			event_del(l->event);
	}
	s->paused = !on;
}

static void conn_out_free(struct conn *conn) {
	if (conn->out && conn->out_secret)
		wipe(conn->out, conn->out_len);
	free(conn->out);
	conn->out = NULL;
}

static void conn_free(struct conn *conn) {
	struct conn_server *s = conn->server;

	conn_wait(conn, WAIT_NOTHING);
	TAILQ_REMOVE(&s->all, conn, link);
	event_del(&conn->read_event);
	event_del(&conn->write_event);
	conn_look_no_more(conn);
	close(conn->fd);
	conn_out_free(conn);
	if (conn->in_size)
		wipe_free(conn->in);
	quota_release(conn->quota);
	s->counters.open--;
	free(conn);
	if (s->paused && !event_pending(s->resume, EV_TIMEOUT, NULL))
		listeners_set(s, true);
	if (s->drained && s->counters.open == 0)
		s->drained(s->drained_arg);
}

/* Tells a waiting handler, and frees, now or when conn_process() returns. */
static void conn_end(struct conn *conn) {
	if (conn->dead)
		return;
	conn->dead = true;
	if (conn->pending) {
		conn->pending = false;
		conn->handler.gone(conn->handler.arg, conn);
	}
	if (conn->ended)
		conn->ended(conn->ended_arg);
	if (!conn->busy)
		conn_free(conn);
}

/* --- writing */

const char http_json[] = "application/json";

static void build_first_lines(const struct http_reply *reply, struct buf *out) {
	buf_adds(out, "HTTP/1.1 ");
	buf_addu(out, (uint64_t)reply->status);
	buf_addc(out, ' ');
	buf_adds(out, http_reason(reply->status));
	if (!reply->content_type)
		return;
	buf_adds(out, "\r\nContent-Type: ");
	buf_adds(out, reply->content_type);
}

static void build_head(const struct http_reply *reply, bool close, struct buf *out) {
	if (reply->status == 200 && reply->content_type == http_json)
		buf_adds(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json"); /* nearly every answer, in one */
	else
		build_first_lines(reply, out);
	buf_adds(out, "\r\nContent-Length: ");
	buf_addu(out, reply->body.n);
	if (reply->secret)
		buf_adds(out, "\r\nCache-Control: no-store");
	if (close)
		buf_adds(out, "\r\nConnection: close");
	buf_adds(out, "\r\n");
	if (reply->extra)
		buf_adds(out, reply->extra);
	buf_adds(out, "\r\n");
}

static void build_reply(struct conn *conn, const struct http_reply *reply, bool close, struct buf *out) {
	/* Room first: what grows later would leave a copy of the token where it stood. */
	buf_reset(out);
	if (buf_grow(out, reply->body.n + 1024))
		buf_reset(out);
	build_head(reply, close, out);
	if (!conn->head_only)
		buf_add(out, reply->body.p, reply->body.n);
}

/* An answer is out: what comes next? */
static void conn_sent(struct conn *conn) {
	if (!conn->close_after) {
		conn_wait(conn, conn->in_at < conn->in_len ? WAIT_HEAD : WAIT_IDLE);
		return;
	}
	/* The client may still be sending: without reading that away, a reset could overtake the answer. */
	shutdown(conn->fd, SHUT_WR);
	conn->in_at = conn->in_len;
	conn_wait(conn, WAIT_LINGER);
}

static void conn_keep(struct conn *conn, const char *data, size_t n, bool secret) {
	conn->out = malloc(n);
	if (!conn->out) {
		conn_end(conn);
		return;
	}
	memcpy(conn->out, data, n);
	conn->out_len = n;
	conn->out_at = 0;
	conn->out_secret = secret;
	conn_wait(conn, WAIT_WRITE);
	if (event_add(&conn->write_event, NULL) < 0)
		conn_end(conn);
}

static void conn_send(struct conn *conn, struct str out, bool secret) {
	ssize_t r = put_out(conn->fd, out.p, out.n);

	if (r < 0 && errno != EAGAIN && errno != EINTR) {
		conn_end(conn);
		return;
	}
	if (r < 0)
		r = 0;
	if ((size_t)r < out.n)
		conn_keep(conn, out.p + r, out.n - (size_t)r, secret);
	else
		conn_sent(conn);
}

static void on_writable(evutil_socket_t fd, short events, void *arg) {
	struct conn *conn = arg;
	ssize_t r = put_out(fd, conn->out + conn->out_at, conn->out_len - conn->out_at);

	(void)events;
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r < 0) {
		conn_end(conn);
		return;
	}
	conn->out_at += (size_t)r;
	if (conn->out_at < conn->out_len)
		return;
	conn_out_free(conn);
	event_del(&conn->write_event);
	conn_sent(conn);
	conn_process(conn);
}

/* The whole answer, in the reply's own memory where that has room for the head, else in the server's. p NULL: no memory. */
static struct str conn_build(struct conn *conn, const struct http_reply *reply) {
	struct buf *out = &conn->server->reply;

	if (reply->room && !conn->head_only) {
		buf_reset(out);
		build_head(reply, conn->close_after, out);
		if (buf_ok(out) && out->len <= CONN_HEAD_ROOM) {
			char *head = reply->room + CONN_HEAD_ROOM - out->len;

			memcpy(head, out->data, out->len);
			return (struct str){ head, out->len + reply->body.n };
		}
	}
	build_reply(conn, reply, conn->close_after, out);
	return buf_ok(out) ? (struct str){ out->data, out->len } : (struct str){ 0 };
}

void conn_reply(struct conn *conn, const struct http_reply *reply) {
	struct conn_server *s = conn->server;
	bool was_busy = conn->busy;
	struct str out;

	assert(conn->pending && !conn->dead);
	conn->pending = false;
	conn->close_after = reply->close || !conn->keep_alive || s->drained;
	out = conn_build(conn, reply);
	conn->busy = true; /* whoever set it first frees */
	if (out.p && (!reply->secret || peer_stands(conn->fd, &conn->peer)))
		conn_send(conn, out, reply->secret);
	else
		conn_end(conn);
	if (reply->secret && s->reply.data)
		wipe(s->reply.data, s->reply.len);
	/* In conn_process() its loop goes on with the next request. */
	if (!was_busy)
		conn_process(conn);
}

/* That and why it cannot be answered: needs no memory but the reply's. */
#define UNAVAILABLE(why)                                                                                               \
	((struct http_reply){ .status = 503,                                                                           \
			      .content_type = http_json,                                                               \
			      .body = STR("{\"error\":{\"code\":503,\"message\":\"" why "\",\"status\":\"UNAVAILABLE\"}}\n"),      \
			      .close = true })

void conn_reply_no_memory(struct conn *conn) {
	conn_reply(conn, &UNAVAILABLE("no memory for this request; try again"));
}

/* We end before there is an answer: its client hears so, as far as the socket takes it at once. */
static void conn_say_the_end(struct conn *conn) {
	struct buf *out = &conn->server->reply;

	build_reply(conn, &UNAVAILABLE("hallpassd stopped before there was an answer; try again"), true, out);
	if (buf_ok(out) && put_out(conn->fd, out->data, out->len) < 0)
		log_debug(conn->server->log, "unanswered", "errno=%d", errno);
}

/* A refusal by this layer: Google's error shape, and the end. */
static void conn_refuse(struct conn *conn, int status, enum error_code code, const char *why) {
	struct buf body = BUF_INIT(4096);
	struct http_reply reply = { .status = status, .content_type = http_json };

	conn->server->counters.refused++;
	status_body_http(&body, status, code, "MALFORMED_REQUEST", why);
	reply.body = (struct str){ body.data, body.len };
	conn->head_only = false;
	conn->close_after = true;
	build_reply(conn, &reply, true, &conn->server->reply);
	conn_send(conn, (struct str){ conn->server->reply.data, conn->server->reply.len }, false);
	buf_fini(&body);
}

/* --- reading */

/* Room to read into: the server's, or behind what is kept of a request that did not come whole. NULL: there is none. */
static char *conn_room(struct conn *conn, size_t *n) {
	size_t size = conn->in_size * 2 < IN_MAX ? conn->in_size * 2 : IN_MAX;
	char *in;

	if (!conn->in) {
		conn->in = conn->server->in;
		conn->in_at = conn->in_len = 0;
		*n = IN_SCRATCH;
		return conn->in;
	}
	if (conn->in_len == conn->in_size && size > conn->in_size && (in = wipe_realloc(conn->in, size))) {
		conn->in = in;
		conn->in_size = size;
	}
	*n = conn->in_size - conn->in_len;
	return *n ? conn->in + conn->in_len : NULL;
}

/*
 * What is left moves to the front of memory of the connection's own; idle connections hold none. What was heard is wiped: a field may
 * be a session's handle, a body a token that is asked about.
 */
static void conn_keep_in(struct conn *conn) {
	size_t left = conn->in_len - conn->in_at, size = IN_FIRST;
	char *in = conn->in_size ? conn->in : NULL;

	if (!conn->in || (left && in && conn->in_at == 0))
		return;
	while (size < left)
		size *= 2;
	if (left && !in)
		in = malloc(size);
	if (left && in)
		memmove(in, conn->in + conn->in_at, left);
	if (in == conn->in)
		wipe(in + left, conn->in_len - left);
	else
		wipe(conn->in, conn->in_len);
	if (left && in) {
		conn->in_size = conn->in_size ? conn->in_size : size;
		conn->in_len = left;
	} else {
		free(in);
		in = NULL;
		conn->in_size = conn->in_len = 0;
	}
	conn->in = in;
	conn->in_at = 0;
	if (left && !in)
		conn_end(conn);
}

static void conn_continue(struct conn *conn) {
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	conn->parser.expect_continue = false;
	if (put_out(conn->fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
		conn_end(conn);
}

/* The bytes of the request, n of them, are done with once the handler has seen it. */
static void conn_request(struct conn *conn, const struct http_request *request, size_t n) {
	struct conn_server *s = conn->server;
	unsigned lent = request->serial != 0;

	s->handed = (struct handed){ conn, request, conn->parser.chunked || request->escapes ? NULL : conn->in + conn->in_at, n };
	conn->in_at += n;
	http_parser_init(&conn->parser);
	conn_wait(conn, WAIT_NOTHING);
	s->counters.requests++;
	conn->pending = true;
	conn->head_only = request->method == HTTP_HEAD;
	conn->keep_alive = request->keep_alive;
	s->memo.lent += lent;
	conn->handler.request(conn->handler.arg, conn, request);
	s->memo.lent -= lent;
	s->handed.conn = NULL;
}

uint64_t conn_remember(struct conn *conn) {
	struct conn_server *s = conn->server;
	const struct handed *handed = &s->handed;

	if (handed->conn != conn || !handed->bytes)
		return 0;
	return handed->request->serial ? handed->request->serial
				       : http_memo_keep(&s->memo, handed->bytes, handed->n, handed->request);
}

/* One request from the buffer to the handler. False: nothing more to do now. */
static bool conn_step(struct conn *conn) {
	const struct http_request *known;
	struct http_request request;
	size_t n = conn->in_len - conn->in_at;

	if (conn->dead || conn->pending || conn->out || conn->close_after || n == 0)
		return false;
	known = conn->parser.scanned ? NULL : http_memo_find(&conn->server->memo, conn->in + conn->in_at, n);
	if (known) {
		conn_request(conn, known, n);
		return true;
	}
	switch (http_parse(&conn->parser, conn->in + conn->in_at, n, &request)) {
	case HTTP_MORE:
		conn_wait(conn, WAIT_HEAD);
		if (conn->parser.expect_continue)
			conn_continue(conn);
		return false;
	case HTTP_REFUSED:
		conn_refuse(conn, conn->parser.status, ERR_INVALID, conn->parser.why);
		return false;
	case HTTP_DONE:
		break;
	}
	if (request.escapes)
		http_plain_path(&request);
	conn_request(conn, &request, conn->parser.consumed);
	return true;
}

static bool has_failed(int fd) {
	socklen_t len = sizeof(int);
	int error = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error;
}

/* Bytes behind a pending request stay in the kernel: that bounds what a client can make us hold. */
static void conn_leave_unread(struct conn *conn, short events) {
	if (events & EV_CLOSED || has_failed(conn->fd))
		conn_end(conn);
	else
		conn->unread = true;
}

static void conn_read_what_was_left(struct conn *conn) {
	if (!conn->unread || conn->dead || conn->pending || conn->out)
		return;
	conn->unread = false;
	conn_read_again(conn);
}

static void conn_process(struct conn *conn) {
	conn->busy = true;
	while (conn_step(conn))
		;
	conn_read_what_was_left(conn);
	conn_keep_in(conn);
	conn->busy = false;
	if (conn->dead)
		conn_free(conn);
}

static void on_readable(evutil_socket_t fd, short events, void *arg) {
	struct conn *conn = arg;
	char *room;
	size_t n;
	ssize_t r;

	if (conn->pending || conn->out) {
		conn_leave_unread(conn, events);
		return;
	}
	room = conn_room(conn, &n);
	if (!room) {
		/* Only chunks of a byte or two each come so far: three times the largest body, and no end. */
		conn_look_again_later(conn);
		conn_refuse(conn, 413, ERR_INVALID, "a body in too many chunks");
		return;
	}
	r = take_in(fd, room, n);
	if (r == (ssize_t)n || (r > 0 && events & EV_CLOSED) || (r < 0 && errno == EINTR))
		conn_read_again(conn);
	if (r > 0 && conn->wait != WAIT_LINGER)
		conn->in_len += (size_t)r;
	if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR)) { /* a half-close counts as leaving */
		conn_end(conn);
		return;
	}
	if (r > 0)
		conn_look_again_later(conn);
	conn_process(conn);
}

/* --- accepting */

/* What it has sent already is read away, or closing would reset the connection before it saw its answer. */
static void refuse_at_accept(struct conn_server *s, int fd, enum error_code code, const char *why) {
	struct buf body = BUF_INIT(2048), out = BUF_INIT(4096);
	int status = status_of(code)->http;
	char away[4096];
	ssize_t r;

	status_body(&body, code, NULL, why, NULL, 0);
	buf_addf(&out, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
		 status, http_reason(status), body.len, body.data ? body.data : "");
	r = buf_ok(&out) ? send(fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;
	for (int i = 0; i < 4 && r > 0; i++)
		r = recv(fd, away, sizeof(away), MSG_DONTWAIT);
	buf_fini(&body);
	buf_fini(&out);
	s->counters.refused++;
	close(fd);
}

static void conn_start(struct listening *l, int fd, const struct peer *peer, struct quota *quota) {
	struct conn *conn = calloc(1, sizeof(*conn));
	struct conn_server *s = l->server;
	int one = 1;

	quota->open++;
	if (!conn) {
		quota_release(quota);
		close(fd);
		return;
	}
	conn->server = s;
	conn->handler = l->handler;
	conn->came_in = l->id;
	conn->quota = quota;
	conn->fd = fd;
	conn->peer = *peer;
	if (peer->family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/*
	 * Edges: the kernel need not look at each socket once more to find that nothing is left. So what is left must be
	 * asked for again (conn_read_again(), conn_look_again_later()), and the end of what comes is an edge of its own.
	 */
	event_assign(&conn->read_event, s->base, fd, EV_READ | EV_CLOSED | EV_PERSIST | EV_ET, on_readable, conn);
	event_assign(&conn->write_event, s->base, fd, EV_WRITE | EV_PERSIST | EV_ET, on_writable, conn);
	TAILQ_INSERT_TAIL(&s->all, conn, link);
	s->counters.open++;
	s->counters.accepted++;
	conn_read_again(conn);
	conn_wait(conn, WAIT_IDLE);
}

/* Who it is, and whether that one may come in. */
static int admit(struct listening *l, int fd, struct peer *peer, struct error *err) {
	struct conn_server *s = l->server;
	int r = peer_of(fd, peer, err);
	unsigned times;

	if (r < 0 && tell(&s->told_peer, &times))
		log_warning(s->log, "peer-refused", "times=%u error=\"%s\"", times, err->message);
	if (l->handler.admit && l->handler.admit(l->handler.arg, r < 0 ? NULL : peer, err) < 0)
		r = -1;
	return r;
}

static void accept_one(struct listening *l, int fd) {
	struct conn_server *s = l->server;
	struct quota *quota;
	struct peer peer;
	struct error err;

	if (admit(l, fd, &peer, &err) < 0) {
		refuse_at_accept(s, fd, err.code, err.message);
	} else if (!(quota = quota_of(s, peer.uid))) {
		close(fd);
	} else if (quota->open >= s->limits.max_connections_per_uid) {
		refuse_at_accept(s, fd, ERR_LIMIT, "too many connections of this uid (limits.maxConnectionsPerUid)");
	} else {
		conn_start(l, fd, &peer, quota);
	}
}

/* Nothing to accept with: refuse one with the spare, then leave the listeners alone for a moment instead of spinning. */
static void accept_exhausted(struct conn_server *s, int listening_fd, int why) {
	struct timeval later = { 0, 100000 };
	unsigned times;
	int fd;

	if (tell(&s->told_exhausted, &times))
		log_error(s->log, "accept-failed", "times=%u open=%u error=\"%s\"", times, s->counters.open,
			  why == EMFILE ? "no descriptors left: raise the limit on open files" : strerror(why));
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		refuse_at_accept(s, fd, ERR_UNAVAILABLE, "no descriptors left; try again");
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	listeners_set(s, false);
	event_add(s->resume, &later);
}

static void on_acceptable(evutil_socket_t listening_fd, short events, void *arg) {
	struct listening *l = arg;
	struct conn_server *s = l->server;

	(void)events;
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int fd;

		if (s->counters.open >= s->limits.max_connections) {
			listeners_set(s, false); /* the end of a connection resumes */
			return;
		}
		fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			accept_one(l, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			accept_exhausted(s, listening_fd, errno);
			return;
		}
	}
}

static void on_resume(evutil_socket_t fd, short events, void *arg) {
	(void)fd, (void)events;
	listeners_set(arg, true);
}

/* --- the clock's turn */

static void expire(struct conn_server *s, enum wait wait, int64_t now) {
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&s->waits[wait])) && conn->deadline_ms <= now) {
		if (wait == WAIT_HEAD)
			conn_refuse(conn, 408, ERR_TIMEOUT, "the request did not arrive in time");
		else
			conn_end(conn);
	}
}

/* When somebody may have waited enough: none of them sooner. */
static int64_t next_deadline(const struct conn_server *s, int64_t now) {
	int64_t at_ms = now + REST_MS;

	for (int wait = WAIT_IDLE; wait < N_WAITS; wait++) {
		const struct conn *first = TAILQ_FIRST(&s->waits[wait]);

		if (first && first->deadline_ms < at_ms)
			at_ms = first->deadline_ms;
	}
	return at_ms;
}

static void on_tick(evutil_socket_t fd, short events, void *arg) {
	struct conn_server *s = arg;
	int64_t now = clock_tick_ms();

	(void)fd, (void)events;
	for (int wait = WAIT_IDLE; wait < N_WAITS; wait++)
		expire(s, (enum wait)wait, now);
	s->ticks++;
	look_again(s);
	tick_at(s, now, TAILQ_EMPTY(&s->read_lately) ? next_deadline(s, now) : now + TICK_MS);
}

/* --- the server */

/* Connections leave descriptors for the rest, and where that is what bounds them no uid gets more than half. */
static void limits_fit(struct conn_server *s) {
	struct rlimit files = { 0 };
	rlim_t room;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	room = files.rlim_cur - (files.rlim_cur / 2 < DESCRIPTORS_KEPT ? files.rlim_cur / 2 : DESCRIPTORS_KEPT);
	if (s->limits.max_connections <= room)
		return;
	log_warning(s->log, "few-descriptors",
		    "%llu open files allow %llu connections, not the %u of limits.maxConnections",
		    (unsigned long long)files.rlim_cur, (unsigned long long)room, s->limits.max_connections);
	s->limits.max_connections = (unsigned)room;
	if (s->limits.max_connections_per_uid > room / 2)
		s->limits.max_connections_per_uid = room / 2 ? (unsigned)(room / 2) : 1;
}

int conn_server_new(struct event_base *base, const struct conn_limits *limits, struct log *log, struct conn_server **out,
		    struct error *err) {
	struct conn_server *s = calloc(1, sizeof(*s));
	const struct timeval tick = { 0, TICK_MS * 1000 };

	if (!s)
		return error_set(err, ERR_INTERNAL, "out of memory");
	s->base = base;
	s->limits = *limits;
	s->log = log;
	limits_fit(s);
	s->reply = BUF_INIT(OUT_MAX);
	TAILQ_INIT(&s->all);
	TAILQ_INIT(&s->read_lately);
	for (size_t i = 0; i < UID_BUCKETS; i++)
		LIST_INIT(&s->quotas[i]);
	for (size_t i = 0; i < N_WAITS; i++)
		TAILQ_INIT(&s->waits[i]);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
	s->resume = evtimer_new(base, on_resume, s);
	if (!s->tick || !s->resume || event_add(s->tick, &tick) < 0) {
		conn_server_free(s);
		return error_set(err, ERR_INTERNAL, "cannot make events");
	}
	*out = s;
	return 0;
}

void conn_server_free(struct conn_server *s) {
	struct conn *conn;

	if (!s)
		return;
	s->drained = NULL;
	conn_server_stop_listening(s, -1);
	while ((conn = TAILQ_FIRST(&s->all))) {
		if (conn->pending)
			conn_say_the_end(conn);
		conn_end(conn);
	}
	if (s->tick)
		event_free(s->tick);
	if (s->resume)
		event_free(s->resume);
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	buf_fini(&s->reply);
	http_memo_fini(&s->memo);
	free(s);
}

void conn_server_set_limits(struct conn_server *s, const struct conn_limits *limits) {
	s->limits = *limits;
	limits_fit(s);
}

void conn_server_counters(const struct conn_server *s, struct conn_counters *out) {
	*out = s->counters;
}

int conn_server_new_id(struct conn_server *s) {
	return ++s->last_id;
}

int conn_server_listen(struct conn_server *s, int fd, const struct conn_handler *handler, int *id, struct error *err) {
	struct listening *l = calloc(1, sizeof(*l));

	if (l)
		l->event = event_new(s->base, fd, EV_READ | EV_PERSIST, on_acceptable, l);
	if (!l || !l->event || (!s->paused && event_add(l->event, NULL) < 0)) {
		if (l && l->event)
			event_free(l->event);
		free(l);
		return error_no_memory(err);
	}
	l->server = s;
	l->handler = *handler;
	l->id = *id = conn_server_new_id(s);
	LIST_INSERT_HEAD(&s->listening, l, link);
	return 0;
}

void conn_server_stop_listening(struct conn_server *s, int id) {
	struct listening *l, *next;

	for (l = LIST_FIRST(&s->listening); l; l = next) {
		next = LIST_NEXT(l, link);
		if (id >= 0 && l->id != id)
			continue;
		LIST_REMOVE(l, link);
		event_free(l->event);
		free(l);
	}
}

void conn_server_shut(struct conn_server *s, int id) {
	struct conn *conn, *next;

	conn_server_stop_listening(s, id);
	for (conn = TAILQ_FIRST(&s->all); conn; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (conn->came_in == id)
			conn_end(conn);
	}
}

void conn_server_drain(struct conn_server *s, void (*done)(void *arg), void *arg) {
	struct conn *conn, *next;

	for (conn = TAILQ_FIRST(&s->all); conn; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (!conn->pending && !conn->out)
			conn_end(conn);
	}
	s->drained = done;
	s->drained_arg = arg;
	if (s->counters.open == 0)
		done(arg);
}

void conn_move(struct conn *conn, const struct conn_handler *handler, int id) {
	assert(conn->pending && !conn->ended);
	conn->handler = *handler;
	conn->came_in = id;
}

const struct peer *conn_peer(const struct conn *conn) {
	return &conn->peer;
}

void conn_hold(struct conn *conn, void (*ended)(void *arg), void *arg) {
	conn->ended = ended;
	conn->ended_arg = arg;
	if (conn->wait == WAIT_IDLE)
		conn_wait(conn, WAIT_NOTHING);
}

void conn_let_go(struct conn *conn, const char *why) {
	conn->ended = NULL;
	if (conn->pending)
		return;
	if (conn->wait == WAIT_NOTHING)
		conn_refuse(conn, 408, ERR_TIMEOUT, why);
	else
		conn_end(conn);
}

bool conn_is_held(const struct conn *conn) {
	return conn->ended != NULL;
}

void conn_set_user(struct conn *conn, void *user) {
	conn->user = user;
}

void *conn_user(const struct conn *conn) {
	return conn->user;
}
