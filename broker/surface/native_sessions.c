/* Sessions in the native API. See call.h; what a session is, tells session.h. */

#include <stdlib.h>
#include "broker/broker.h"
#include "broker/json_reserve.h"
#include "broker/session.h"
#include "broker/surface/ask.h"
#include "broker/surface/call.h"
#include "hallpass/api.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"

#define UNPRIVILEGED_PORT 1024

/* What a request for a session has beside an ask. */
struct opening {
	struct ask ask;
	const char *also[DOOR_MAX_ACCOUNTS];
	size_t n_also;
	uint16_t port;
	const char *handle;
	bool relayed;
};

/* Ports below 1024 are not for the asking: the broker may be root, its callers are not. A relay's is its own affair. */
static int read_port(const json_t *body, struct opening *o, struct error *err) {
	const json_t *value = json_object_get(body, API_PORT), *relayed = json_object_get(body, API_RELAYED);
	json_int_t v = json_integer_value(value);
	int least;

	if (relayed && !json_is_boolean(relayed))
		return error_set(err, ERR_INVALID, API_RELAYED " must be true or false");
	o->relayed = json_is_true(relayed);
	if (o->relayed && !value)
		return error_set(err, ERR_INVALID, "a relayed session needs " API_PORT ": where does the relay listen?");
	if (!value)
		return 0;
	least = o->relayed ? 1 : UNPRIVILEGED_PORT;
	if (!json_is_integer(value) || v < least || v > 65535)
		return error_set(err, ERR_INVALID, API_PORT " must be a number from %d to 65535", least);
	o->port = (uint16_t)v;
	return 0;
}

/* What it must look like, door_check_handle() says. */
static int read_handle(const json_t *body, struct opening *o, struct error *err) {
	const json_t *value = json_object_get(body, API_HANDLE);

	if (value && !json_is_string(value))
		return error_set(err, ERR_INVALID, API_HANDLE " must be a string");
	o->handle = json_string_value(value);
	return 0;
}

/* Each account once, and the default not again. */
static void drop_repeated(struct opening *o) {
	size_t n = 0;

	for (size_t i = 0; i < o->n_also; i++) {
		bool known = !strcmp(o->also[i], o->ask.target);

		for (size_t k = 0; k < n; k++)
			known |= !strcmp(o->also[i], o->also[k]);
		if (!known)
			o->also[n++] = o->also[i];
	}
	o->n_also = n;
}

static int read_opening(json_t *body, struct opening *o, struct error *err) {
	static const char *const extras[] = { API_ALSO, API_PORT, API_HANDLE, API_RELAYED, NULL };

	if (!body)
		return error_set(err, ERR_INVALID, "a session for whom? {\"" API_SERVICE_ACCOUNT "\": …}");
	if (ask_parse(body, PERMISSION_GET_ACCESS_TOKEN, extras, &o->ask, err) < 0 ||
	    ask_emails(json_object_get(body, API_ALSO), API_ALSO, "an account of " API_ALSO, DOOR_MAX_ACCOUNTS - 1, o->also,
		       &o->n_also, err) < 0 ||
	    read_port(body, o, err) < 0 || read_handle(body, o, err) < 0)
		return -1;
	o->ask.surface = "native";
	drop_repeated(o);
	return 0;
}

/* What each ask through its door begins with: all of it, or there is no door. */
static json_t *terms_of(const json_t *body) {
	json_t *terms = json_whole_copy(body);

	json_object_del(terms, API_SERVICE_ACCOUNT);
	json_object_del(terms, API_ALSO);
	json_object_del(terms, API_PORT);
	json_object_del(terms, API_HANDLE);
	json_object_del(terms, API_RELAYED);
	return terms;
}

static json_t *describe(const struct door *door) {
	uint64_t network = door->relayed ? 0 : loopback_network();
	json_t *also = strings_json(door->accounts + 1, door->n_accounts - 1), *json;

	json = json_pack("{s:s, s:i, s:s, s:s, s:o, s:s*}", API_SESSION, door->session, API_PORT, door->at.port, API_HANDLE,
			 door->handle.data,
			 API_SERVICE_ACCOUNT, door->accounts[0], API_ALSO, also, API_CA_FILE,
			 door->front->requests->snapshot->config->upstream_ca_file);
	if (network)
		json_object_set_new(json, API_NETWORK, json_integer((json_int_t)network));
	return json;
}

void answer_session_open(struct call *call) {
	struct opening opening = { 0 };
	struct session *session;
	struct error err;

	if (read_opening(call->body, &opening, &err) == 0 &&
	    session_open(broker_sessions(call_broker(call)),
			 &(struct session_wish){ .caller = &call->caller,
						 .ask = &opening.ask,
						 .also = opening.also,
						 .n_also = opening.n_also,
						 .port = opening.port,
						 .handle = opening.handle,
						 .relayed = opening.relayed,
						 .terms = terms_of(call->body) },
			 call->conn, &session, &err) == 0)
		call_reply_json(call, describe(session_door(session)));
	else
		call_fail(call, &err, NULL, NULL, 0);
}

/* The caller's session of that name, or an operator's choice. NULL: told; somebody else's is not there. */
static struct session *named_session(struct call *call, bool operators) {
	struct session *session = session_find(broker_sessions(call_broker(call)), call->name);
	struct error err;

	if (session && (!strcmp(session_principal(session), call->caller.principal) || (operators && call_is_operators(call))))
		return session;
	error_set(&err, ERR_NOT_FOUND, "you have no session %s", call->name);
	call_fail(call, &err, NULL, NULL, 0);
	return NULL;
}

void answer_session_enter(struct call *call) {
	struct session *session = named_session(call, false);
	struct error err;

	if (!session)
		return;
	if (session_enter(session, call->conn, &err) == 0)
		call_reply_json(call, json_pack("{s:s}", API_SESSION, call->name));
	else
		call_fail(call, &err, NULL, NULL, 0);
}

void answer_session_end(struct call *call) {
	struct session *session = named_session(call, true);
	json_t *reply;

	if (!session)
		return;
	reply = json_pack("{s:s, s:I}", API_SESSION, call->name, API_TOKENS, (json_int_t)session_door(session)->tokens);
	session_end(session, "DELETED", "the session was ended");
	call_reply_json(call, reply);
}
