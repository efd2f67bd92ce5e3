/* See session.h. */

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>
#include "broker/log.h"
#include "broker/note.h"
#include "broker/session.h"
#include "hallpass/cleanup.h"

struct session {
	struct sessions *sessions;
	TAILQ_ENTRY(session) link;
	char id[ASK_SESSION_MAX];
	struct door *door;
	struct conn *control; /* NULL: it has dropped */
	char principal[PRINCIPAL_MAX];
	struct peer peer;
	struct event *dropped; /* fires once the control connection has */
};

struct sessions {
	struct front *front;
	TAILQ_HEAD(, session) all;
	size_t n;
	bool checked; /* this kernel tells callers on TCP apart */
	bool stopping;
};

/* --- the record */

static void session_record(const struct session *session, struct audit_record *record) {
	const struct door *door = session->door;

	record->session = session->id;
	record->principal = session->principal;
	note_peer(record, &session->peer);
	record->target = door->accounts[0];
	record->also = door->accounts + 1;
	record->n_also = door->n_accounts - 1;
	record->port = door->at.port;
	record->relayed = door->relayed;
}

static void record_opened(const struct session *session, const struct ask *ask) {
	struct audit_record record = {
		.type = RECORD_OPENED,
		.surface = ask->surface,
		.asked_scopes = ask->scopes,
		.n_asked_scopes = ask->n_scopes,
		.asked_lifetime_s = ask->lifetime_s,
		.delegates = ask->delegates,
		.n_delegates = ask->n_delegates,
		.justification = ask->justification,
	};

	session_record(session, &record);
	note(session->sessions->front->requests, &record);
}

static void record_closed(const struct session *session, const char *reason) {
	struct audit_record record = {
		.type = RECORD_CLOSED, .reason = reason, .counts_tokens = true, .tokens = session->door->tokens,
	};

	session_record(session, &record);
	note(session->sessions->front->requests, &record);
}

/* --- its end */

static void session_free(struct session *session) {
	door_free(session->door);
	if (session->dropped)
		event_free(session->dropped);
	free(session);
}

void session_end(struct session *session, const char *reason, const char *why) {
	struct sessions *sessions = session->sessions;
	struct conn *control = take(&session->control);

	TAILQ_REMOVE(&sessions->all, session, link);
	sessions->n--;
	log_info(sessions->front->requests->log, "session-closed", "session=%s reason=%s tokens=%llu", session->id, reason,
		 (unsigned long long)session->door->tokens);
	record_closed(session, reason);
	session_free(session);
	if (control)
		conn_let_go(control, why);
}

/* Not from here: whoever ends connections may be going through their list. */
static void on_control_ended(void *arg) {
	struct session *session = arg;

	session->control = NULL;
	if (!session->sessions->stopping)
		event_active(session->dropped, EV_TIMEOUT, 0);
}

static void on_dropped(evutil_socket_t fd, short events, void *arg) {
	(void)fd, (void)events;
	session_end(arg, "CLIENT_LEFT", NULL);
}

/* --- its beginning */

static size_t sessions_of(const struct sessions *sessions, const char *principal) {
	const struct session *session;
	size_t n = 0;

	TAILQ_FOREACH(session, &sessions->all, link)
		n += !strcmp(session->principal, principal);
	return n;
}

static int check_limits(struct sessions *sessions, const struct session_wish *wish, const struct conn *control,
			struct error *err) {
	const struct config *config = sessions->front->requests->snapshot->config;

	if (sessions->stopping)
		return error_set(err, ERR_UNAVAILABLE, "hallpassd is stopping; try again");
	if (conn_is_held(control))
		return error_set(err, ERR_INVALID, "this connection holds a session already: one each");
	if (sessions->n >= (size_t)config->max_sessions)
		return error_set(err, ERR_LIMIT, "%zu sessions are open already (limits.maxSessions)", sessions->n);
	if (sessions_of(sessions, wish->caller->principal) >= (size_t)config->max_sessions_per_principal)
		return error_set(err, ERR_LIMIT, "%s has %lld sessions open already (limits.maxSessionsPerPrincipal)",
				 wish->caller->principal, (long long)config->max_sessions_per_principal);
	return 0;
}

/* One handle, one session: a handle that somebody has got hold of opens nothing beside what it was made for. */
static int check_handle(const struct sessions *sessions, const char *handle, struct error *err) {
	const struct session *session;

	if (!handle)
		return 0;
	if (door_check_handle(str_of(handle), err) < 0)
		return -1;
	TAILQ_FOREACH(session, &sessions->all, link)
		if (door_takes_credential(session->door, str_of(handle)))
			return error_set(err, ERR_UNAVAILABLE, "another session has this handle; try again when it has ended");
	return 0;
}

static int make_id(struct session *session, struct error *err) {
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set(err, ERR_INTERNAL, "no random numbers");
	snprintf(session->id, sizeof(session->id), "%016llx", (unsigned long long)random);
	return 0;
}

/* The wanted port where it is free; somebody may have it now, and then any. */
static int open_door(struct session *session, const struct session_wish *wish, struct error *err) {
	const char *accounts[DOOR_MAX_ACCOUNTS] = { wish->ask->target };
	struct door_spec spec = {
		.at = { .family = AF_INET, .port = wish->port },
		.relayed = wish->relayed,
		.uid = wish->caller->peer->uid,
		.session = session->id,
		.handle = wish->handle,
		.accounts = accounts,
		.n_accounts = wish->n_also + 1,
		.terms = json_incref(wish->terms),
	};

	memcpy(accounts + 1, wish->also, wish->n_also * sizeof(*accounts));
	if (wish->port && door_new(session->sessions->front, &spec, &session->door, err) == 0)
		return 0;
	if (wish->relayed)
		return -1;
	if (wish->port) { /* the first try has taken a reference with it */
		spec.terms = json_incref(wish->terms);
		spec.at.port = 0;
	}
	return door_new(session->sessions->front, &spec, &session->door, err);
}

static int session_begin(struct session *session, const struct session_wish *wish, struct error *err) {
	struct sessions *sessions = session->sessions;

	/* A relayed one has no port here. */
	if (!wish->relayed && !sessions->checked && sockdiag_check(err) < 0)
		return -1;
	sessions->checked |= !wish->relayed;
	session->dropped = evtimer_new(sessions->front->base, on_dropped, session);
	if (!session->dropped)
		return error_no_memory(err);
	return make_id(session, err) < 0 ? -1 : open_door(session, wish, err);
}

int session_open(struct sessions *sessions, const struct session_wish *wish, struct conn *control, struct session **out,
		 struct error *err) {
	struct session *session = calloc(1, sizeof(*session));
	int r;

	assert(wish->n_also < DOOR_MAX_ACCOUNTS);
	if (!session || !wish->terms) {
		json_decref(wish->terms);
		free(session);
		return error_no_memory(err);
	}
	session->sessions = sessions;
	session->peer = *wish->caller->peer;
	snprintf(session->principal, sizeof(session->principal), "%s", wish->caller->principal);
	r = check_limits(sessions, wish, control, err) < 0 || check_handle(sessions, wish->handle, err) < 0 ? -1 : session_begin(session, wish, err);
	json_decref(wish->terms);
	if (r < 0) {
		session_free(session);
		return -1;
	}
	TAILQ_INSERT_TAIL(&sessions->all, session, link);
	sessions->n++;
	session->control = control;
	conn_hold(control, on_control_ended, session);
	record_opened(session, wish->ask);
	log_info(sessions->front->requests->log, "session-opened", "session=%s %s=%u uid=%lld target=%s", session->id,
		 wish->relayed ? "relayed" : "port", session->door->at.port, (long long)session->peer.uid, wish->ask->target);
	*out = session;
	return 0;
}

struct session *session_find(struct sessions *sessions, const char *id) {
	struct session *session;

	TAILQ_FOREACH(session, &sessions->all, link)
		if (!strcmp(session->id, id))
			return session;
	return NULL;
}

int session_enter(struct session *session, struct conn *conn, struct error *err) {
	if (conn_is_held(conn))
		return error_set(err, ERR_INVALID, "this connection holds a session: bring another one in");
	return door_enter(session->door, conn, err);
}

const struct door *session_door(const struct session *session) {
	return session->door;
}

const char *session_principal(const struct session *session) {
	return session->principal;
}

/* --- all of them */

int sessions_new(struct front *front, struct sessions **out, struct error *err) {
	struct sessions *sessions = calloc(1, sizeof(*sessions));

	if (!sessions)
		return error_no_memory(err);
	sessions->front = front;
	TAILQ_INIT(&sessions->all);
	*out = sessions;
	return 0;
}

void sessions_stop(struct sessions *sessions) {
	struct session *session;

	sessions->stopping = true;
	TAILQ_FOREACH(session, &sessions->all, link)
		door_stop(session->door);
}

void sessions_free(struct sessions *sessions) {
	struct session *session;

	if (!sessions)
		return;
	/* Without a word: clients open a session anew with the next broker, unless they are told of an end. */
	while ((session = TAILQ_FIRST(&sessions->all))) {
		if (session->control)
			conn_hold(take(&session->control), NULL, NULL);
		session_end(session, "STOPPING", NULL);
	}
	free(sessions);
}

size_t sessions_count(const struct sessions *sessions) {
	return sessions->n;
}
