/* See door.h. The table `surfaces` is what there is behind a door. */

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/door.h"
#include "broker/limit.h"
#include "broker/note.h"
#include "broker/sha256.h"
#include "broker/surface/foreign.h"
#include "broker/surface/metadata.h"
#include "broker/surface/sts.h"
#include "broker/surface/surface.h"
#include "hallpass/cleanup.h"

static const struct surface *const surfaces[] = { &surface_metadata, &surface_sts };

/* --- who may come in */

/* Somebody at the wrong door must not fill the record. */
static bool stranger_again(const struct door *door, const struct peer *peer) {
	char key[40];

	snprintf(key, sizeof(key), "stranger %lld", peer ? (long long)peer->uid : -1);
	return limiter_admit(door->front->requests->limiter, key, clock_boottime_ms(), 60, 1) != LIMIT_OK;
}

void door_note_denied(const struct door *door, const struct peer *peer, const char *reason, const char *message) {
	struct audit_record record = {
		.type = RECORD_DENIED,
		.error = message,
		.decision = "DENY",
		.reason = reason,
		.session = door->session[0] ? door->session : NULL,
		.port = door->at.port,
	};

	if (peer)
		note_peer(&record, peer);
	if (!stranger_again(door, peer))
		note(door->front->requests, &record);
}

static int door_admit(void *arg, const struct peer *peer, struct error *err) {
	struct door *door = arg;

	if (peer && (door->uid < 0 || peer->uid == door->uid))
		return 0;
	if (peer)
		error_set(err, ERR_DENIED, "this port is a session's of uid %lld, and uid %lld gets nothing here",
			  (long long)door->uid, (long long)peer->uid);
	err->code = ERR_DENIED;
	door_note_denied(door, peer, peer ? "NOT_YOURS" : "UNKNOWN_CALLER", err->message);
	return -1;
}

/* --- what is asked */

/* As a surface of its own, whose every answer is no. */
static void refuse_foreign(struct exchange *x, const struct http_request *request) {
	struct error err;

	foreign_field_error(foreign_field(request), &err);
	exchange_refuse(x, 403, err.code, "FOREIGN_REQUEST", err.message);
}

static void refuse_host(struct exchange *x, const struct http_request *request) {
	char message[160];

	snprintf(message, sizeof(message), "this port is not \"%.*s\": a Host is 127.0.0.1:%u, localhost:%u or [::1]:%u here",
		 (int)(request->host.n > 60 ? 60 : request->host.n), request->host.p ? request->host.p : "", x->door->at.port,
		 x->door->at.port, x->door->at.port);
	exchange_refuse(x, 421, ERR_INVALID, "MISDIRECTED_REQUEST", message);
}

static void refuse_path(struct exchange *x, const struct http_request *request) {
	char message[160];

	snprintf(message, sizeof(message), "no such path: %.*s", (int)(request->path.n > 100 ? 100 : request->path.n),
		 request->path.p);
	exchange_refuse(x, 404, ERR_NOT_FOUND, NULL, message);
}

static const struct surface *surface_for(const struct door *door, const struct http_request *request) {
	static const struct surface foreign = { .serve = refuse_foreign }, host = { .serve = refuse_host },
				    path = { .serve = refuse_path };

	if (foreign_field(request).n)
		return &foreign;
	if (!host_is_ours(request->host, door->at.port))
		return &host;
	for (size_t i = 0; i < ARRAY_SIZE(surfaces); i++)
		if (surfaces[i]->takes(request->path))
			return surfaces[i];
	return &path;
}

static void on_request(void *arg, struct conn *conn, const struct http_request *request) {
	struct door *door = arg;

	door->used_ms = clock_boottime_ms();
	exchange_start(door, conn, surface_for(door, request), request);
}

static void on_gone(void *arg, struct conn *conn) {
	struct exchange *x = conn_user(conn);

	(void)arg;
	exchange_gone(x);
}

/* --- making and closing it */

static int make_handle(struct door *door, struct error *err) {
	unsigned char random[DOOR_HANDLE / 2];
	char hex[DOOR_HANDLE + 1];
	int r;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set(err, ERR_INTERNAL, "no random numbers");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(hex + 2 * i, 3, "%02x", random[i]);
	r = secret_set(&door->handle, hex, DOOR_HANDLE);
	wipe(random, sizeof(random));
	wipe(hex, sizeof(hex));
	return r < 0 ? error_set(err, ERR_INTERNAL, "out of memory") : 0;
}

static int take_accounts(struct door *door, const struct door_spec *spec, struct error *err) {
	door->names = json_array();
	for (size_t i = 0; i < spec->n_accounts && i < DOOR_MAX_ACCOUNTS; i++) {
		if (json_array_append_new(door->names, json_string(spec->accounts[i])) < 0)
			return error_set(err, ERR_INTERNAL, "out of memory");
		door->accounts[door->n_accounts++] = json_string_value(json_array_get(door->names, i));
	}
	return 0;
}

static int door_listen(struct door *door, struct error *err) {
	const struct conn_handler handler = { .request = on_request, .gone = on_gone, .admit = door_admit, .arg = door };

	return loopback_listen(&door->at, &door->fd, err) < 0
		       ? -1
		       : conn_server_listen(door->front->conns, door->fd, &handler, &door->id, err);
}

int door_new(struct front *front, const struct door_spec *spec, struct door **out, struct error *err) {
	struct door *door = calloc(1, sizeof(*door));

	assert(spec->n_accounts >= 1 && spec->n_accounts <= DOOR_MAX_ACCOUNTS);
	if (!door) {
		json_decref(spec->terms);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	door->front = front;
	door->at = spec->at;
	door->fd = door->id = -1;
	door->uid = spec->uid;
	door->terms = spec->terms;
	door->used_ms = clock_boottime_ms();
	if (spec->session)
		snprintf(door->session, sizeof(door->session), "%s", spec->session);
	if (take_accounts(door, spec, err) < 0 || (spec->session && make_handle(door, err) < 0) || door_listen(door, err) < 0) {
		door_free(door);
		return -1;
	}
	*out = door;
	return 0;
}

void door_stop(struct door *door) {
	if (door->id >= 0)
		conn_server_stop_listening(door->front->conns, door->id);
	if (door->fd >= 0)
		close(door->fd);
	door->fd = -1;
}

void door_free(struct door *door) {
	if (!door)
		return;
	door_stop(door);
	if (door->id >= 0)
		conn_server_shut(door->front->conns, door->id);
	secret_fini(&door->handle);
	json_decref(door->names);
	json_decref(door->terms);
	free(door);
}

/* --- what surfaces ask of it */

const char *door_account(const struct door *door, const char *name) {
	if (!strcmp(name, "default"))
		return door->accounts[0];
	for (size_t i = 0; i < door->n_accounts; i++)
		if (!strcmp(name, door->accounts[i]))
			return door->accounts[i];
	return NULL;
}

json_t *door_ask(const struct door *door, enum policy_permission permission, const char *account) {
	json_t *body = door->terms ? json_copy(door->terms) : json_object();

	if (permission == PERMISSION_GET_OPEN_ID_TOKEN) { /* it has neither */
		json_object_del(body, "scopes");
		json_object_del(body, "lifetime");
	}
	if (json_object_set_new(body, "serviceAccount", json_string(account)) == 0)
		return body;
	json_decref(body);
	return NULL;
}

#define ALL_SCOPES "https://www.googleapis.com/auth/cloud-platform"

static bool has_scope(const json_t *list, const char *scope) {
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!strcmp(json_string_value(json_array_get(list, i)), scope))
			return true;
	return false;
}

/* Of the scopes of ours those that are asked for. A new list. */
static json_t *both(const json_t *ours, const json_t *asked) {
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(ours); i++)
		if (has_scope(asked, json_string_value(json_array_get(ours, i))))
			json_array_append(list, json_array_get(ours, i));
	return list;
}

int door_narrow(const struct door *door, json_t *body, json_t *scopes, struct error *err) {
	const json_t *ours = json_object_get(door->terms, "scopes");
	json_t *narrowed;

	if (!scopes || (ours && has_scope(scopes, ALL_SCOPES))) { /* as the terms have it */
		json_decref(scopes);
		return 0;
	}
	narrowed = ours && !has_scope(ours, ALL_SCOPES) ? both(ours, scopes) : json_incref(scopes);
	json_decref(scopes);
	if (json_array_size(narrowed))
		return json_object_set_new(body, "scopes", narrowed) < 0 ? error_set(err, ERR_INTERNAL, "out of memory") : 0;
	json_decref(narrowed);
	return error_set(err, ERR_INVALID, "none of these scopes is among those that the session was opened with (--scopes)");
}

void door_note_given(struct door *door, const struct token *token, const char *account) {
	struct given *given = &door->given[door->n_given % DOOR_GIVEN];

	if (!door_account(door, account))
		return;
	given->account = door_account(door, account);
	given->expires_at = token->expires_at;
	memcpy(given->sha256, token->sha256, sizeof(given->sha256));
	door->n_given++;
}

const char *door_whose(const struct door *door, struct str token, int64_t now, int64_t *expires_at) {
	char sha256[65];

	sha256_hex(token.p, token.n, sha256);
	for (size_t i = 0; i < DOOR_GIVEN; i++) {
		if (!door->given[i].account || door->given[i].expires_at <= now || strcmp(door->given[i].sha256, sha256))
			continue;
		*expires_at = door->given[i].expires_at;
		return door->given[i].account;
	}
	return NULL;
}

bool door_takes_credential(const struct door *door, struct str text) {
	if (!door->session[0])
		return text.n > 0;
	return door->handle.data && text.n == door->handle.len && CRYPTO_memcmp(text.p, door->handle.data, text.n) == 0;
}
