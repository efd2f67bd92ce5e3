/* See native.h. The table `routes` is the API. */

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include "broker/broker.h"
#include "broker/clock.h"
#include "broker/http_memo.h"
#include "broker/json_reserve.h"
#include "broker/status.h"
#include "broker/surface/ask.h"
#include "broker/surface/call.h"
#include "broker/surface/foreign.h"
#include "broker/surface/issued.h"
#include "broker/surface/listing.h"
#include "broker/surface/native.h"
#include "broker/surface/why.h"
#include "hallpass/api.h"
#include "hallpass/cleanup.h"

#define REPLY_MAX (1 << 20)
#define ASKED HTTP_MEMO_SLOTS /* requests remembered; power of two */

/*
 * What a request asks that is known, with the API's own checks behind it. One with a justification is not kept: that is
 * somebody's own words, and hardly comes twice.
 */
struct asked {
	struct ask ask; /* its body is never changed; serial 0: nothing is remembered here */
	struct issued_memo issued;
};

struct native {
	struct broker *broker;
	struct request_world *requests;
	struct asked asked[ASKED];
	struct buf issued;  /* scratch for answers with a token; wiped after each */
	struct pool calls; /* of struct call */
};

static void call_free(struct call *call) {
	snapshot_unref(call->snapshot);
	json_decref(call->body);
	pool_put(&call->native->calls, call);
}

/* --- replies */

static void call_end(struct call *call, const struct http_reply *reply) {
	struct conn *conn = call->conn;

	conn_set_user(conn, NULL);
	call_free(call);
	conn_reply(conn, reply);
}

void call_no_memory(struct call *call) {
	struct conn *conn = call->conn;

	conn_set_user(conn, NULL);
	call_free(call);
	conn_reply_no_memory(conn);
}

static void call_reply(struct call *call, int status, const struct buf *body) {
	if (buf_ok(body))
		call_end(call, &(struct http_reply){ .status = status,
						     .content_type = http_json,
						     .body = { body->data ? body->data : "", body->len } });
	else
		call_no_memory(call);
}

void call_fail(struct call *call, const struct error *err, const char *reason, const struct status_detail *details,
	       size_t n_details) {
	struct buf body = BUF_INIT(REPLY_MAX);

	status_body(&body, err->code, reason, err->message, details, n_details);
	call_reply(call, status_of(err->code)->http, &body);
	buf_fini(&body);
}

/* What became of the memory of whoever makes an answer: it can be half of one, or not what the policy says. */
static unsigned failures(void) {
	return json_reserve_failures() + policy_memory_failures();
}

/* An answer that was made while nothing failed. */
static void call_reply_made(struct call *call, const struct buf *body) {
	if (call->failures == failures())
		call_reply(call, 200, body);
	else
		call_no_memory(call);
}

void call_reply_json(struct call *call, json_t *json) {
	struct buf body = BUF_INIT(REPLY_MAX);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (text) {
		buf_adds(&body, text);
		buf_addc(&body, '\n');
		json_reserve_free(text);
		call_reply_made(call, &body);
		buf_fini(&body);
	} else {
		call_no_memory(call);
	}
}

/* --- requests for tokens */

/* NULL: it is not remembered. */
static struct asked *asked_find(struct native *native, uint64_t serial) {
	struct asked *place = &native->asked[serial % ASKED];

	return serial && place->ask.serial == serial ? place : NULL;
}

static void reply_issued(struct call *call, const struct request_outcome *o) {
	struct asked *asked = asked_find(call->native, o->ask->serial);
	struct buf *body = &call->native->issued;
	size_t written;

	issued_write(o, asked ? &asked->issued : NULL, body);
	written = body->len;
	if (buf_ok(body))
		call_end(call, &(struct http_reply){ .status = 200,
						     .content_type = http_json,
						     .body = { body->data + CONN_HEAD_ROOM, written - CONN_HEAD_ROOM },
						     .room = body->data,
						     .secret = true });
	else
		call_no_memory(call);
	wipe(body->data, written);
}

static void on_outcome(const struct request_outcome *o, void *arg) {
	struct call *call = arg;
	struct status_detail details[REQUEST_DETAILS];

	if (o->token) {
		reply_issued(call, o);
		return;
	}
	request_details(o, details);
	call_fail(call, o->error, o->reason, details, REQUEST_DETAILS);
}

static void asked_remember(struct native *native, struct conn *conn, struct ask *ask) {
	struct asked *place;

	ask->serial = ask->justification ? 0 : conn_remember(conn);
	if (!ask->serial)
		return;
	place = &native->asked[ask->serial % ASKED];
	json_decref(place->ask.body);
	place->ask = *ask;
	json_incref(ask->body);
	issued_memo_forget(&place->issued);
}

/* Gives out->body. */
static int native_ask(struct str body, enum policy_permission permission, struct ask *out, struct error *err) {
	json_t *json;

	if (ask_body(body, &json, err) < 0)
		return -1;
	if (ask_parse(json, permission, NULL, out, err) < 0) {
		json_decref(json);
		return -1;
	}
	out->surface = "native";
	out->body = json;
	return 0;
}

static void call_ask(struct call *call, const struct ask *ask) {
	struct request *started;

	conn_set_user(call->conn, call);
	request_start(call->native->requests, conn_peer(call->conn), ask, on_outcome, call, &started);
	if (started) /* else call was answered and is gone */
		call->request = started;
}

static void start_request(struct call *call, const struct http_request *request, enum policy_permission permission) {
	struct error err;
	struct ask ask;

	if (body_is_json(request, &err) < 0 || native_ask(request->body, permission, &ask, &err) < 0) {
		call_fail(call, &err, NULL, NULL, 0);
		return;
	}
	asked_remember(call->native, call->conn, &ask);
	call_ask(call, &ask);
}

static void run_token(struct call *call, const struct http_request *request) {
	start_request(call, request, PERMISSION_GET_ACCESS_TOKEN);
}

static void run_id_token(struct call *call, const struct http_request *request) {
	start_request(call, request, PERMISSION_GET_OPEN_ID_TOKEN);
}

/* --- questions: answered from memory once the caller is known */

static bool runs_the_broker(const struct peer *peer) {
	return peer->uid == 0 || peer->uid == (int64_t)geteuid();
}

static void question_admitted(struct call *call) {
	struct error err;

	if (!call->route->counts || request_admit(call->native->requests, call->snapshot->config, call->caller.principal,
						  &err) == LIMIT_OK)
		call->route->answer(call);
	else
		call_fail(call, &err, NULL, NULL, 0);
}

static void question_identified(struct call *call, const struct account *account) {
	const struct peer *peer = conn_peer(call->conn);
	struct error err;

	call->caller.peer = peer;
	if (principal_of(call->snapshot->config, peer, account, call->caller.principal) == PRINCIPAL_FOUND) {
		question_admitted(call);
		return;
	}
	if (call->route->by_uid && runs_the_broker(peer)) {
		snprintf(call->caller.principal, sizeof(call->caller.principal), "uid:%lld", (long long)peer->uid);
		call->route->answer(call);
		return;
	}
	principal_unknown(peer, account, &err);
	call_fail(call, &err, NULL, NULL, 0);
}

static void on_account(const struct account *account, void *arg) {
	struct call *call = arg;
	struct error err;

	call->account_wait = NULL;
	/* A name service that is down keeps nobody from looking after the broker. */
	if (account || (call->route->by_uid && runs_the_broker(conn_peer(call->conn)))) {
		question_identified(call, account);
		return;
	}
	error_set(&err, ERR_UNAVAILABLE, "the system's name service does not say in time who uid %lld is; try again",
		  (long long)conn_peer(call->conn)->uid);
	call_fail(call, &err, "NAME_SERVICE", NULL, 0);
}

struct broker *call_broker(const struct call *call) {
	return call->native->broker;
}

static void run_question(struct call *call, const struct http_request *request) {
	const struct peer *peer = conn_peer(call->conn);
	const struct account *account = accounts_find(call->native->requests->accounts, peer->uid, clock_boottime_ms());
	struct error err = { 0 };

	if (request->method == HTTP_POST &&
	    (body_is_json(request, &err) < 0 || (request->body.n && ask_body(request->body, &call->body, &err) < 0))) {
		call_fail(call, &err, NULL, NULL, 0);
		return;
	}
	call->snapshot = snapshot_ref(call->native->requests->snapshot);
	conn_set_user(call->conn, call);
	if (principal_of(call->snapshot->config, peer, account, call->caller.principal) != PRINCIPAL_NEEDS_ACCOUNT) {
		question_identified(call, account);
		return;
	}
	call->account_wait = accounts_start(call->native->requests->accounts, peer->uid, on_account, call);
	if (!call->account_wait)
		call_no_memory(call);
}

static void answer_whoami(struct call *call) {
	const struct peer *peer = call->caller.peer;

	call_reply_json(call, json_pack("{s:s, s:s, s:I, s:I, s:I, s:s?}", "principal", call->caller.principal, "how",
					peer->how, "uid", (json_int_t)peer->uid, "gid", (json_int_t)peer->gid, "pid",
					(json_int_t)peer->pid, "exe", peer->exe[0] ? peer->exe : NULL));
}

static void on_listed(const struct buf *body, void *arg) {
	call_reply_made(arg, body);
}

static void answer_list(struct call *call) {
	call->listing = listing_start(broker_base(call->native->broker), call->snapshot, &call->caller, on_listed, call);
	if (!call->listing)
		call_no_memory(call);
}

bool call_is_operators(const struct call *call) {
	const struct config *config = call->snapshot->config;

	if (runs_the_broker(call->caller.peer))
		return true;
	for (size_t i = 0; i < config->n_operators; i++)
		if (!strcmp(config->operators[i], call->caller.principal))
			return true;
	return false;
}

static void on_explained(json_t *json, const struct error *err, const char *reason, void *arg) {
	struct call *call = arg;

	call->why = NULL;
	if (json)
		call_reply_json(call, json);
	else
		call_fail(call, err, reason, NULL, 0);
}

static void answer_why(struct call *call) {
	const struct why_asker asker = { &call->caller, call->snapshot, call_is_operators(call) };
	struct why *waiting;

	why_start(call->native->requests, &asker, call->body, on_explained, call, &waiting);
	if (waiting) /* else call was answered and is gone */
		call->why = waiting;
}

static void answer_status(struct call *call) {
	call_reply_json(call, broker_status(call->native->broker, call_is_operators(call)));
}

static void on_reloaded(const struct snapshot *snapshot, const struct snapshot_notes *notes, const struct error *err, void *arg) {
	const char *findings = notes->text.data ? notes->text.data : "";
	struct call *call = arg;

	if (snapshot)
		call_reply_json(call, json_pack("{s:s, s:s, s:i}", "policySha256", snapshot->policy_sha256, "findings",
						findings, "warnings", (int)notes->n_warnings));
	else
		call_fail(call, err, "RELOAD_REFUSED", &(struct status_detail){ "findings", findings }, 1);
}

static void answer_reload(struct call *call) {
	const struct reload_by by = { call->caller.principal, call->caller.peer };
	struct error err = { 0 };

	if (!call_is_operators(call)) {
		error_set(&err, ERR_DENIED, "%s is no operator: root, the broker's own uid and `operators:` may reload",
			  call->caller.principal);
		broker_reload_denied(call->native->broker, &by, &err);
		call_fail(call, &err, "NOT_OPERATOR", NULL, 0);
		return;
	}
	call->reload_wait = reload_start(broker_reloader(call->native->broker), &by, on_reloaded, call);
	if (!call->reload_wait)
		call_no_memory(call);
}

/* --- liveness: no caller needed, nothing asked of anybody */

static void run_healthz(struct call *call, const struct http_request *request) {
	static const struct http_reply ok = { .status = 200, .content_type = "text/plain", .body = { "ok\n", 3 } };
	struct conn *conn = call->conn;

	(void)request;
	call_free(call);
	conn_reply(conn, &ok);
}

/* A session lives as long as its connection, and what is asked by way of one comes behind: one that will be closed is of no use. */
static void run_session(struct call *call, const struct http_request *request) {
	struct error err;

	if (request->keep_alive) {
		run_question(call, request);
		return;
	}
	error_set(&err, ERR_INVALID, "a session lives as long as the connection that opened it, and more is to come on one that enters it: ask without Connection: close");
	call_fail(call, &err, NULL, NULL, 0);
}

static void run_version(struct call *call, const struct http_request *request) {
	(void)request;
	call_reply_json(call, json_pack("{s:s, s:s}", "name", "hallpassd", "version", HALLPASS_VERSION));
}

static const struct route routes[] = {
	{ HTTP_POST, API_PATH_TOKEN, run_token, NULL, false, false },
	{ HTTP_POST, API_PATH_ID_TOKEN, run_id_token, NULL, false, false },
	{ HTTP_GET, API_PATH_WHOAMI, run_question, answer_whoami, false, false },
	{ HTTP_GET, API_PATH_LIST, run_question, answer_list, false, true },
	{ HTTP_POST, API_PATH_WHY, run_question, answer_why, false, true },
	{ HTTP_GET, API_PATH_STATUS, run_question, answer_status, true, false },
	{ HTTP_POST, API_PATH_RELOAD, run_question, answer_reload, true, false },
	{ HTTP_POST, API_PATH_DOCTOR, run_question, answer_doctor, false, true },
	{ HTTP_POST, API_PATH_SESSIONS, run_session, answer_session_open, false, true },
	{ HTTP_POST, API_PATH_SESSIONS "/", run_session, answer_session_enter, false, false },
	{ HTTP_DELETE, API_PATH_SESSIONS "/", run_question, answer_session_end, false, false },
	{ HTTP_GET, API_PATH_HEALTHZ, run_healthz, NULL, false, false },
	{ HTTP_GET, API_PATH_VERSION, run_version, NULL, false, false },
};

/* A field with all that a path takes. */
static const char *allow_at(const char *path, char *text, size_t size) {
	static const char *const methods[] = { [HTTP_GET] = "GET, HEAD", [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE" };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (!strcmp(routes[i].path, path) && n < size)
			n += (size_t)snprintf(text + n, size - n, "%s%s", n ? ", " : "Allow: ", methods[routes[i].method]);
	if (n < size)
		snprintf(text + n, size - n, "\r\n");
	return text;
}

/* A route's path that ends in a slash has a name behind it, which the call keeps. */
static bool route_takes(const struct route *route, struct str path, struct call *call) {
	size_t n = strlen(route->path);

	if (route->path[n - 1] != '/')
		return str_eq(path, (struct str){ route->path, n });
	if (path.n <= n || path.n - n >= sizeof(call->name) || memcmp(path.p, route->path, n))
		return false;
	snprintf(call->name, sizeof(call->name), "%.*s", (int)(path.n - n), path.p + n);
	return true;
}

/* path: the route's, NULL: there is none. No CORS field for anybody: OPTIONS is a method like any other that is not taken. */
static void no_route(struct call *call, const struct http_request *request, const char *path) {
	struct conn *conn = call->conn;
	struct buf body = BUF_INIT(4096);
	bool path_known = path != NULL;
	char message[200], allow[64];

	snprintf(message, sizeof(message), path_known ? "this path does not take %.*s" : "no such path: %.*s",
		 (int)(path_known ? request->method_name.n : request->path.n > 100 ? 100 : request->path.n),
		 path_known ? request->method_name.p : request->path.p);
	status_body_http(&body, path_known ? 405 : 404, path_known ? ERR_INVALID : ERR_NOT_FOUND, NULL, message);
	call_free(call);
	conn_reply(conn, &(struct http_reply){
				 .status = path_known ? 405 : 404,
				 .content_type = http_json,
				 .body = { body.data, body.len },
				 .extra = path_known ? allow_at(path, allow, sizeof(allow)) : NULL,
			 });
	buf_fini(&body);
}

static void refuse_foreign(struct call *call, struct str field) {
	struct error err;

	foreign_field_error(field, &err);
	call_fail(call, &err, "FOREIGN_REQUEST", NULL, 0);
}

static void on_request(void *arg, struct conn *conn, const struct http_request *request) {
	struct native *native = arg;
	struct call *call = pool_get(&native->calls, sizeof(*call));
	enum http_method method = request->method == HTTP_HEAD ? HTTP_GET : request->method;
	struct asked *asked = asked_find(native, request->serial);
	const char *path = NULL;
	struct str foreign;

	if (!call) {
		conn_reply_no_memory(conn);
		return;
	}
	memset(call, 0, offsetof(struct call, caller));
	call->native = native;
	call->conn = conn;
	call->failures = failures();
	if (asked) {
		json_incref(asked->ask.body);
		call_ask(call, &asked->ask);
		return;
	}
	foreign = foreign_field(request);
	if (foreign.n) {
		refuse_foreign(call, foreign);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		if (!route_takes(&routes[i], request->path, call))
			continue;
		path = routes[i].path;
		if (routes[i].method != method)
			continue;
		call->route = &routes[i];
		routes[i].run(call, request);
		return;
	}
	no_route(call, request, path);
}

static void on_gone(void *arg, struct conn *conn) {
	struct call *call = conn_user(conn);

	(void)arg;
	if (!call)
		return;
	accounts_cancel(take(&call->account_wait));
	why_cancel(take(&call->why));
	reload_cancel(take(&call->reload_wait));
	listing_cancel(take(&call->listing));
	doctor_cancel(take(&call->doctor));
	if (call->request)
		request_abandon(call->request);
	call_free(call);
}

int native_new(struct broker *broker, struct native **out, struct conn_handler *handler, struct error *err) {
	struct native *native = calloc(1, sizeof(*native));

	if (!native)
		return error_set(err, ERR_INTERNAL, "out of memory");
	native->broker = broker;
	native->requests = broker_requests(broker);
	native->issued = BUF_INIT(REPLY_MAX);
	*handler = (struct conn_handler){ .request = on_request, .gone = on_gone, .arg = native };
	*out = native;
	return 0;
}

void native_free(struct native *native) {
	if (!native)
		return;
	for (size_t i = 0; i < ASKED; i++) {
		json_decref(native->asked[i].ask.body);
		issued_memo_fini(&native->asked[i].issued);
	}
	pool_fini(&native->calls);
	buf_fini(&native->issued);
	free(native);
}
