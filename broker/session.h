#pragma once

/*
 * Sessions: a door of somebody's own, for as long as a control connection is held.
 *
 * Owns the doors that callers open over the Unix socket, each with a port, its accounts and the terms of what is asked through
 * it. A session grants nothing: each request through its door is its caller's, decided by itself. It ends when its control
 * connection drops, when it is deleted, or with the broker, and never for being idle: what holds the connection, a command or a
 * shell, may ask again after a night. Then the port closes, requests under way there end as of clients that left, and the record
 * says how many tokens it gave.
 */

#include "broker/door.h"
#include "broker/request.h"

struct session;
struct sessions;

struct session_wish {
	const struct caller *caller;
	const struct ask *ask; /* target, scopes, lifetime, delegates, justification */
	const char *const *also; /* further accounts */
	size_t n_also;
	uint16_t port; /* had before, and wanted again; 0: any; of a relay: its own */
	const char *handle; /* had before, and wanted again, since programs have read it; NULL: a new one */
	bool relayed;
	json_t *terms; /* taken: the ask's members, as door.h wants them */
};

int sessions_new(struct front *front, struct sessions **out, struct error *err);
/* The broker is ending: no session is opened any more, and ports can be had by the next broker. What is under way goes on. */
void sessions_stop(struct sessions *sessions);
void sessions_free(struct sessions *sessions); /* before the conn_server; records each one's end; takes NULL */
size_t sessions_count(const struct sessions *sessions);

/*
 * ERR_LIMIT: the caller, or all, have too many; ERR_UNAVAILABLE: no port, or callers on TCP cannot be told here;
 * ERR_INVALID: the control connection has a session already, or the wanted handle is none. The wanted port is had where it is free, else
 * another; the wanted handle is had, or ERR_UNAVAILABLE says that another session, whoever's, has it: it may end.
 */
int session_open(struct sessions *sessions, const struct session_wish *wish, struct conn *control, struct session **out,
		 struct error *err);
/* By its id. NULL: there is none. */
struct session *session_find(struct sessions *sessions, const char *id);
/* A connection of the caller's speaks, from its next request on, what the session's port does. See door_enter(). */
int session_enter(struct session *session, struct conn *conn, struct error *err);
const struct door *session_door(const struct session *session);
const char *session_principal(const struct session *session);
/* reason is the record's, why what a client at the control connection is told. */
void session_end(struct session *session, const char *reason, const char *why);
