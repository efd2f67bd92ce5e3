/* See surface.h. */

#include <stdlib.h>
#include "broker/clock.h"
#include "broker/status.h"
#include "broker/surface/ask.h"
#include "broker/surface/surface.h"
#include "hallpass/cleanup.h"

static void exchange_free(struct exchange *x) {
	snapshot_unref(x->snapshot);
	free(x);
}

void exchange_start(struct door *door, struct conn *conn, const struct surface *surface, const struct http_request *request) {
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x) {
		conn_reply_no_memory(conn);
		return;
	}
	x->door = door;
	x->conn = conn;
	x->surface = surface;
	conn_set_user(conn, x);
	surface->serve(x, request);
}

void exchange_gone(struct exchange *x) {
	accounts_cancel(take(&x->account_wait));
	if (x->waiting)
		x->surface->gone(x);
	if (x->request)
		request_abandon(x->request);
	exchange_free(x);
}

void exchange_reply(struct exchange *x, const struct http_reply *reply) {
	struct conn *conn = x->conn;

	conn_set_user(conn, NULL);
	exchange_free(x);
	conn_reply(conn, reply);
}

static void exchange_no_memory(struct exchange *x) {
	struct conn *conn = x->conn;

	conn_set_user(conn, NULL);
	exchange_free(x);
	conn_reply_no_memory(conn);
}

void exchange_refuse(struct exchange *x, int http, enum error_code code, const char *reason, const char *message, const char *extra) {
	struct buf body = BUF_INIT(4096);

	status_body_http(&body, http, code, reason, message);
	if (buf_ok(&body))
		exchange_reply(x, &(struct http_reply){ .status = http,
							.content_type = http_json,
							.body = { body.data, body.len },
							.extra = extra });
	else
		exchange_no_memory(x);
	buf_fini(&body);
}

static void on_outcome(const struct request_outcome *outcome, void *arg) {
	struct exchange *x = arg;

	x->request = NULL;
	if (outcome->token) {
		x->door->tokens++;
		if (outcome->ask->permission == PERMISSION_GET_ACCESS_TOKEN)
			door_note_given(x->door, outcome->token, outcome->ask->target);
	}
	x->then.outcome(x, outcome);
}

int exchange_ask(struct exchange *x, enum policy_permission permission, json_t *body,
		 void (*outcome)(struct exchange *x, const struct request_outcome *outcome), struct error *err) {
	struct request *started;
	struct ask ask;

	if (!body)
		return error_no_memory(err);
	if (ask_parse(body, permission, NULL, &ask, err) < 0) {
		json_decref(body);
		return -1;
	}
	ask.surface = x->surface->name;
	ask.body = body;
	memcpy(ask.session, x->door->session, sizeof(ask.session));
	x->then.outcome = outcome;
	request_start(x->door->front->requests, conn_peer(x->conn), &ask, on_outcome, x, &started);
	if (started) /* else x was answered and is gone */
		x->request = started;
	return 0;
}

/* --- who asks */

static bool identify(struct exchange *x, const struct account *account) {
	switch (principal_of(x->snapshot->config, x->caller.peer, account, x->caller.principal)) {
	case PRINCIPAL_NEEDS_ACCOUNT:
		return false;
	case PRINCIPAL_UNKNOWN:
		x->caller.principal[0] = '\0';
		break;
	case PRINCIPAL_FOUND:
		break;
	}
	x->then.identified(x);
	return true;
}

static void on_account(const struct account *account, void *arg) {
	struct exchange *x = arg;

	x->account_wait = NULL;
	if (account) {
		identify(x, account);
		return;
	}
	x->caller.principal[0] = '\0'; /* the name service does not say */
	x->then.identified(x);
}

void exchange_identify(struct exchange *x, void (*identified)(struct exchange *x)) {
	struct request_world *world = x->door->front->requests;
	int64_t uid = conn_peer(x->conn)->uid;

	x->snapshot = snapshot_ref(world->snapshot);
	x->caller.peer = conn_peer(x->conn);
	x->then.identified = identified;
	if (identify(x, accounts_find(world->accounts, uid, clock_boottime_ms())))
		return;
	x->account_wait = accounts_start(world->accounts, uid, on_account, x);
	if (!x->account_wait)
		exchange_no_memory(x);
}
