#pragma once

/*
 * Connections: accepted sockets, their buffers and deadlines, one exchange at a time.
 *
 * A conn owns its socket and two bounded buffers on raw libevent events; it holds neither while nothing is on its way. It
 * reads a head and a body under one absolute deadline, hands the request to its handler, and answers in order: with a
 * request pending, the next one's bytes wait in the buffer or the kernel. A half-close or hang-up counts as leaving. It knows no surface and no rule.
 *
 * Who is at the other end is taken from the kernel at accept, before a byte is read (authn/peer.h).
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/authn/peer.h"
#include "broker/http.h"
#include "hallpass/buf.h"
#include "hallpass/error.h"

struct conn;
struct conn_server; /* all listeners and their connections: pool, quotas, deadlines */

extern const char http_json[]; /* "application/json", for content_type */

#define CONN_HEAD_ROOM 256

struct http_reply {
	int status;		  /* 200, 403, … ; the reason phrase comes from a table */
	const char *content_type; /* NULL: no body */
	struct str body;	  /* copied before conn_reply() returns */
	char *room;		  /* CONN_HEAD_ROOM bytes right before the body that conn_reply() may write to, to copy less; NULL: none */
	const char *extra;	  /* further complete header lines, each ending in CRLF; NULL: none */
	bool close;		  /* close the connection after this reply */
	bool secret;		  /* the body holds a token: the output buffer is wiped once sent */
};

struct conn_handler {
	/*
	 * A complete request. `request` and its views are good inside this call alone.
	 * Answer with conn_reply(), inside this call or later, exactly once unless gone() comes first.
	 */
	void (*request)(void *arg, struct conn *conn, const struct http_request *request);
	/* The client left while its request was pending: conn is dead after this returns; do not reply. */
	void (*gone)(void *arg, struct conn *conn);
	/*
	 * Whether a connection may come in, asked before a byte of it is read. peer NULL: the kernel vouches for nobody, and err
	 * says why. -1: the client gets err and the end. NULL: everybody whom the kernel vouches for.
	 */
	int (*admit)(void *arg, const struct peer *peer, struct error *err);
	void *arg;
};

struct conn_limits {
	/* Both are lowered, and the log says so, where RLIMIT_NOFILE does not leave descriptors for the rest. */
	unsigned max_connections;	  /* in all; further ones wait in the backlog */
	unsigned max_connections_per_uid; /* further ones of that uid get 429 and a close */
	unsigned head_timeout_ms;	  /* absolute: first byte of a request to its last */
	unsigned idle_timeout_ms;	  /* between requests */
	unsigned write_timeout_ms;	  /* absolute: a reply to its last byte */
};

struct conn_counters {
	uint64_t accepted, requests, refused; /* refused: malformed, over a limit or a quota */
	unsigned open;
};

struct log;

int conn_server_new(struct event_base *base, const struct conn_limits *limits, struct log *log, struct conn_server **out,
		    struct error *err);
void conn_server_free(struct conn_server *server); /* closes everything; pending ones are answered with 503, and handler->gone() is called */
/* Limits may change at a reload; they hold for what comes after. */
void conn_server_set_limits(struct conn_server *server, const struct conn_limits *limits);
void conn_server_counters(const struct conn_server *server, struct conn_counters *out);

/* Borrows a listening socket (non-blocking), and the handler's arg for as long as its connections live. Gives an id. */
int conn_server_listen(struct conn_server *server, int fd, const struct conn_handler *handler, int *id, struct error *err);
void conn_server_stop_listening(struct conn_server *server, int id); /* id -1: all of them (drain) */
/* Stops listening, and ends the connections that came in there. */
void conn_server_shut(struct conn_server *server, int id);
/* After stop_listening: closes idle connections at once, others after their reply; done when the last is closed. */
void conn_server_drain(struct conn_server *server, void (*done)(void *arg), void *arg);

/* An id as a listener has one, for connections that are moved there and not accepted; conn_server_shut() ends them. */
int conn_server_new_id(struct conn_server *server);
/*
 * From the next request on a connection speaks to another handler, as if it had come in by the listener `id`. Its pending
 * request is answered right after this; the handler's admit() is not asked: whoever moves it has seen to that.
 */
void conn_move(struct conn *conn, const struct conn_handler *handler, int id);

void conn_reply(struct conn *conn, const struct http_reply *reply);
/* The answer of a handler that got no memory to find one: 503, and the end of the connection. */
void conn_reply_no_memory(struct conn *conn);
const struct peer *conn_peer(const struct conn *conn);
/* From now on the connection may idle as long as it likes; ended() runs when it ends, once. */
void conn_hold(struct conn *conn, void (*ended)(void *arg), void *arg);
bool conn_is_held(const struct conn *conn);
/*
 * The end of holding it, without ended(). Where no answer is to come the client hears why, by a 408, which needs no request
 * before it (RFC 9110 §15.5.9), and is closed.
 */
void conn_let_go(struct conn *conn, const char *why);
/* A slot for the handler: the request that is pending on this connection. NULL at first. */
void conn_set_user(struct conn *conn, void *user);
void *conn_user(const struct conn *conn);
/*
 * Inside handler->request(): these very bytes are to be known when they come again, and request->serial is then what this
 * gives. Only for what holds nobody's secret or words: they stay in memory. 0: they are not kept.
 */
uint64_t conn_remember(struct conn *conn);
