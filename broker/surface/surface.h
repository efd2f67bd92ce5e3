#pragma once

/*
 * What a surface behind a door is, and one exchange on it.
 *
 * A surface translates: bytes to a struct ask, an outcome to bytes. A new one is a file with a struct surface, and a row in
 * door.c's table. It answers each exchange once, with exchange_reply(), at once or later; a client that
 * leaves before ends the exchange, and the surface hears gone() where it is itself waiting for something.
 */

#include "broker/door.h"

struct exchange;

struct surface {
	const char *name; /* as records and conditions show it */
	bool (*takes)(struct str path);
	/* request and its views are good inside this call alone. */
	void (*serve)(struct exchange *x, const struct http_request *request);
	void (*gone)(struct exchange *x); /* x->waiting is set; x is freed afterwards */
	const char *fields; /* header lines of each of its answers, also of those that it never hears of; NULL: none */
};

struct exchange {
	struct door *door;
	struct conn *conn;
	const struct surface *surface;
	struct request *request;	    /* under way, or NULL */
	struct accounts_wait *account_wait; /* under way, or NULL */
	struct snapshot *snapshot;	    /* of exchange_identify() */
	union {
		void (*outcome)(struct exchange *x, const struct request_outcome *outcome);
		void (*identified)(struct exchange *x);
	} then;
	void *waiting;			/* the surface's own; NULL: nothing */
	bool compact;			/* likewise: how its answer is laid out */
	struct caller caller;		/* of exchange_identify(); principal "": nobody */
};

/* For door.c: makes one and serves it. */
void exchange_start(struct door *door, struct conn *conn, const struct surface *surface, const struct http_request *request);
/* The client left. */
void exchange_gone(struct exchange *x);

/* Replies, and frees x. */
void exchange_reply(struct exchange *x, const struct http_reply *reply);
/* Google's error shape, for what no protocol has words of its own for. reason, extra NULL: the code's own, none. Frees x. */
void exchange_refuse(struct exchange *x, int http, enum error_code code, const char *reason, const char *message, const char *extra);

/*
 * A request for a token: body (door_ask(), and what the surface adds) is taken. outcome() runs once, inside or later, unless the
 * client leaves. -1: the body is not valid, and nothing was recorded: nobody was asked anything.
 */
int exchange_ask(struct exchange *x, enum policy_permission permission, json_t *body,
		 void (*outcome)(struct exchange *x, const struct request_outcome *outcome), struct error *err);
/*
 * Who asks, for what is no request: identified() runs once, inside or later, unless the client leaves; x->caller and
 * x->snapshot are set then.
 */
void exchange_identify(struct exchange *x, void (*identified)(struct exchange *x));
