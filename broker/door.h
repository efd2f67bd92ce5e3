#pragma once

/*
 * A door: a TCP port on loopback, who may come in by it, and what it is for.
 *
 * The configuration's TCP listeners are doors, and each session has one (session.h); a surface sees no difference. A relayed
 * door's port is elsewhere, in a container: `hallpass relay` listens there and brings each connection over the Unix socket,
 * by which its caller is known; here nobody listens. A door lets in
 * whom the kernel vouches for (authn/sockdiag.h) and, where it is somebody's, nobody else; it refuses what web pages and
 * proxies send, and names that are not ours (surface/foreign.h); what is left goes to the surface whose path it is. It
 * decides nothing: each request for a token is authenticated and decided by itself (request.h).
 */

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "broker/conn.h"
#include "broker/loopback.h"
#include "broker/request.h"
#include "broker/secret.h"
#include "hallpass/error.h"
#include "hallpass/policy.h"

struct metadata;

#define DOOR_MAX_ACCOUNTS 16
#define DOOR_GIVEN 32
#define DOOR_HANDLE 64 /* 256 random bits, in lower-case hex */

/* What all doors share. Built by the broker. */
struct front {
	struct event_base *base;
	struct conn_server *conns;
	struct request_world *requests;
	struct metadata *metadata;
};

/* A token that a door gave. */
struct given {
	char sha256[65];
	const char *account; /* one of the door's; NULL: there is none yet */
	int64_t expires_at;  /* Unix seconds */
};

struct door {
	struct front *front;
	struct loopback at;
	bool relayed;			     /* the port is a relay's: connections are moved in by door_enter() */
	int fd, id;			     /* the listening socket, and what conn.h calls it */
	int64_t uid;			     /* whose it is; -1: everybody's whom `peers:` makes somebody */
	char session[ASK_SESSION_MAX];	     /* "": the configuration's */
	struct secret handle;		     /* what a protocol's own credential must be here; empty: the configuration's */
	const char *accounts[DOOR_MAX_ACCOUNTS]; /* the first is the default */
	size_t n_accounts;
	json_t *names;			     /* owner of the accounts' texts */
	json_t *terms;			     /* members of each ask through it: scopes, lifetime, delegates, justification */
	uint64_t tokens;		     /* that it gave, signatures included */
	struct given given[DOOR_GIVEN];	     /* the last of them, in a ring */
	size_t n_given;
};

struct door_spec {
	struct loopback at; /* port 0: any */
	bool relayed;
	int64_t uid;
	const char *session; /* NULL: none, and no handle */
	const char *handle;  /* its handle: of the form that door_check_handle() wants; NULL: a new one */
	const char *const *accounts;
	size_t n_accounts;
	json_t *terms; /* taken; NULL: none */
};

/*
 * Whether text could be a handle of ours, had before and wanted again: DOOR_HANDLE hex digits, lower case, and bytes as various as random
 * ones are; what somebody made up for himself would be a secret that others can guess. ERR_INVALID. Pure.
 */
int door_check_handle(struct str text, struct error *err);

/* Listens, unless it is relayed. ERR_UNAVAILABLE: the port cannot be had. */
int door_new(struct front *front, const struct door_spec *spec, struct door **out, struct error *err);
/* The port can be had by another from now on; who is inside goes on. */
void door_stop(struct door *door);
void door_free(struct door *door); /* and ends who is inside; takes NULL */

/*
 * Moves a connection of the Unix socket in, whose pending request is answered right after this: from the next one on it speaks what
 * the port does. ERR_DENIED, and recorded: it is somebody else's.
 */
int door_enter(struct door *door, struct conn *conn, struct error *err);

/* "default", or one of its accounts: the account; NULL: it has no such. */
const char *door_account(const struct door *door, const char *name);
/* The body of an ask (surface/ask.h) for an account on the door's terms, for a surface to add to. NULL: memory. */
json_t *door_ask(const struct door *door, enum policy_permission permission, const char *account);
/*
 * Whether text will do where a protocol carries a credential of its own (a bearer, a subject token), besides the kernel's word. At a
 * session's door it must be the session's handle, and the answer takes as long whatever is in it. At the configuration's, which is
 * every user's whom `peers:` knows and has nothing to hand to one of them, it must be there and may be anything: there the kernel's
 * word is all that counts, and a page in a browser can send no such field by itself.
 */
bool door_takes_credential(const struct door *door, struct str text);
/* The same with words, and with a record of who brought another: ERR_UNAUTHENTICATED. text.n = 0: none came. */
int door_check_credential(const struct door *door, const struct peer *peer, struct str text, struct error *err);

/* An access token that it gave for one of its accounts: kept as a hash, the last few of them, for who asks later whose it is. */
void door_note_given(struct door *door, const struct token *token, const char *account);
/* NULL: none of its own, or no longer good. */
const char *door_whose(const struct door *door, struct str token, int64_t now, int64_t *expires_at);
