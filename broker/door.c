/* See door.h. The table `surfaces` is what there is behind a door. */

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/door.h"
#include "broker/json_reserve.h"
#include "broker/limit.h"
#include "broker/note.h"
#include "broker/sha256.h"
#include "broker/surface/foreign.h"
#include "broker/surface/iam_credentials.h"
#include "broker/surface/metadata.h"
#include "broker/surface/sts.h"
#include "broker/surface/surface.h"
#include "hallpass/cleanup.h"
#include "hallpass/hex.h"

static const struct surface *const surfaces[] = { &surface_metadata, &surface_iam_credentials, &surface_sts };

/* --- who may come in */

/* Somebody at the wrong door must not fill the record: one line a second for each uid stands for the rest. */
static bool stranger_again(const struct door *door, const struct peer *peer) {
	char key[40];

	snprintf(key, sizeof(key), "stranger %lld", peer ? (long long)peer->uid : -1);
	return limiter_admit(door->front->requests->limiter, key, clock_tick_ms(), 60, 1) != LIMIT_OK;
}

/* peer NULL: nobody knows who it is. */
static void note_stranger(const struct door *door, const struct peer *peer, const char *reason, const struct error *err) {
	struct audit_record record = { .type = RECORD_DENIED, .error = err->message, .decision = "DENY", .reason = reason };

	if (stranger_again(door, peer))
		return;
	if (peer)
		note_peer(&record, peer);
	record.session = door->session[0] ? door->session : NULL;
	record.port = door->at.port;
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
	note_stranger(door, peer, peer ? "NOT_YOURS" : "UNKNOWN_CALLER", err);
	return -1;
}

/* --- what is asked */

static const struct surface *surface_of(struct str path) {
	for (size_t i = 0; i < ARRAY_SIZE(surfaces); i++)
		if (surfaces[i]->takes(path))
			return surfaces[i];
	return NULL;
}

static const char *fields_of(const struct http_request *request) {
	const struct surface *surface = surface_of(request->path);

	return surface ? surface->fields : NULL;
}

/* As a surface of its own, whose every answer is no. */
static void refuse_foreign(struct exchange *x, const struct http_request *request) {
	struct error err;

	foreign_field_error(foreign_field(request), &err);
	exchange_refuse(x, 403, err.code, "FOREIGN_REQUEST", err.message, fields_of(request));
}

static void refuse_host(struct exchange *x, const struct http_request *request) {
	char message[160];

	snprintf(message, sizeof(message), "this port is not \"%.*s\": a Host is 127.0.0.1:%u, localhost:%u or [::1]:%u here",
		 (int)(request->host.n > 60 ? 60 : request->host.n), request->host.p ? request->host.p : "", x->door->at.port,
		 x->door->at.port, x->door->at.port);
	exchange_refuse(x, 421, ERR_INVALID, "MISDIRECTED_REQUEST", message, fields_of(request));
}

static void refuse_path(struct exchange *x, const struct http_request *request) {
	char message[160];

	snprintf(message, sizeof(message), "no such path: %.*s", (int)(request->path.n > 100 ? 100 : request->path.n),
		 request->path.p);
	exchange_refuse(x, 404, ERR_NOT_FOUND, NULL, message, NULL);
}

static const struct surface *surface_for(const struct door *door, const struct http_request *request) {
	static const struct surface foreign = { .serve = refuse_foreign }, host = { .serve = refuse_host },
				    path = { .serve = refuse_path };
	const struct surface *found = surface_of(request->path);

	if (foreign_field(request).n)
		return &foreign;
	if (!host_is_ours(request->host, door->at.port))
		return &host;
	return found ? found : &path;
}

static void on_request(void *arg, struct conn *conn, const struct http_request *request) {
	struct door *door = arg;

	exchange_start(door, conn, surface_for(door, request), request);
}

static void on_gone(void *arg, struct conn *conn) {
	struct exchange *x = conn_user(conn);

	(void)arg;
	exchange_gone(x);
}

/* --- making and closing it */

/* Different bytes among its 32: random ones have fewer less than once in 10^15 times. */
#define HANDLE_VARIETY 16

static int hex_digit(char c) {
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int door_check_handle(struct str text, struct error *err) {
	bool seen[256] = { false };
	size_t various = 0;

	if (text.n != DOOR_HANDLE)
		return error_set(err, ERR_INVALID, "a handle is %d hex digits in lower case", DOOR_HANDLE);
	for (size_t i = 0; i < text.n; i += 2) {
		int high = hex_digit(text.p[i]), low = hex_digit(text.p[i + 1]);

		if (high < 0 || low < 0)
			return error_set(err, ERR_INVALID, "a handle is %d hex digits in lower case", DOOR_HANDLE);
		various += !seen[high << 4 | low];
		seen[high << 4 | low] = true;
	}
	return various >= HANDLE_VARIETY ? 0 : error_set(err, ERR_INVALID, "a handle is random, and this one is not: leave it out, and get one");
}

static int make_handle(struct door *door, struct error *err) {
	unsigned char random[DOOR_HANDLE / 2];
	char hex[DOOR_HANDLE + 1];
	int r;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set(err, ERR_INTERNAL, "no random numbers");
	hex_text(hex, random, sizeof(random));
	r = secret_set(&door->handle, hex, DOOR_HANDLE);
	wipe(random, sizeof(random));
	wipe(hex, sizeof(hex));
	return r < 0 ? error_no_memory(err) : 0;
}

static int take_handle(struct door *door, const struct door_spec *spec, struct error *err) {
	if (!spec->session)
		return 0;
	if (!spec->handle)
		return make_handle(door, err);
	return secret_set(&door->handle, spec->handle, strlen(spec->handle)) < 0 ? error_no_memory(err) : 0;
}

static int take_accounts(struct door *door, const struct door_spec *spec, struct error *err) {
	door->names = json_array();
	for (size_t i = 0; i < spec->n_accounts && i < DOOR_MAX_ACCOUNTS; i++) {
		if (json_array_append_new(door->names, json_string(spec->accounts[i])) < 0)
			return error_no_memory(err);
		door->accounts[door->n_accounts++] = json_string_value(json_array_get(door->names, i));
	}
	return 0;
}

static struct conn_handler handler_of(struct door *door) {
	return (struct conn_handler){ .request = on_request, .gone = on_gone, .admit = door_admit, .arg = door };
}

static int door_listen(struct door *door, struct error *err) {
	const struct conn_handler handler = handler_of(door);

	if (door->relayed) {
		door->id = conn_server_new_id(door->front->conns);
		return 0;
	}
	return loopback_listen(&door->at, &door->fd, err) < 0
		       ? -1
		       : conn_server_listen(door->front->conns, door->fd, &handler, &door->id, err);
}

int door_new(struct front *front, const struct door_spec *spec, struct door **out, struct error *err) {
	struct door *door = calloc(1, sizeof(*door));

	assert(spec->n_accounts >= 1 && spec->n_accounts <= DOOR_MAX_ACCOUNTS);
	if (!door) {
		json_decref(spec->terms);
		return error_no_memory(err);
	}
	door->front = front;
	door->at = spec->at;
	door->relayed = spec->relayed;
	door->fd = door->id = -1;
	door->uid = spec->uid;
	door->terms = spec->terms;
	if (spec->session)
		snprintf(door->session, sizeof(door->session), "%s", spec->session);
	if (take_accounts(door, spec, err) < 0 || take_handle(door, spec, err) < 0 || door_listen(door, err) < 0) {
		door_free(door);
		return -1;
	}
	*out = door;
	return 0;
}

int door_enter(struct door *door, struct conn *conn, struct error *err) {
	const struct conn_handler handler = handler_of(door);

	if (door_admit(door, conn_peer(conn), err) < 0)
		return -1;
	conn_move(conn, &handler, door->id);
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
	json_t *body = door->terms ? json_whole_copy(door->terms) : json_object();

	if (permission != PERMISSION_GET_ACCESS_TOKEN) { /* nothing else has them */
		json_object_del(body, "scopes");
		json_object_del(body, "lifetime");
	}
	if (json_object_set_new(body, "serviceAccount", json_string(account)) == 0)
		return body;
	json_decref(body);
	return NULL;
}

static const struct given *find_given(const struct door *door, const char *sha256) {
	for (size_t i = 0; i < DOOR_GIVEN; i++)
		if (door->given[i].account && !strcmp(door->given[i].sha256, sha256))
			return &door->given[i];
	return NULL;
}

void door_note_given(struct door *door, const struct token *token, const char *account) {
	struct given *given = &door->given[door->n_given % DOOR_GIVEN];

	if (!door_account(door, account) || find_given(door, token->sha256))
		return;
	given->account = door_account(door, account);
	given->expires_at = token->expires_at;
	memcpy(given->sha256, token->sha256, sizeof(given->sha256));
	door->n_given++;
}

const char *door_whose(const struct door *door, struct str token, int64_t now, int64_t *expires_at) {
	const struct given *given;
	char sha256[65];

	sha256_hex(token.p, token.n, sha256);
	given = find_given(door, sha256);
	if (!given || given->expires_at <= now)
		return NULL;
	*expires_at = given->expires_at;
	return given->account;
}

bool door_takes_credential(const struct door *door, struct str text) {
	if (!door->session[0])
		return text.n > 0;
	return door->handle.data && text.n == door->handle.len && CRYPTO_memcmp(text.p, door->handle.data, text.n) == 0;
}

int door_check_credential(const struct door *door, const struct peer *peer, struct str text, struct error *err) {
	if (door_takes_credential(door, text))
		return 0;
	if (!door->session[0])
		return error_set(err, ERR_UNAUTHENTICATED, "a credential must be sent here, and any will do: who asks, the kernel says");
	error_set(err, ERR_UNAUTHENTICATED,
		  "%s session's handle: send what stands in the file that HALLPASS_HANDLE_FILE names (for gcloud, set "
		  "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE to it)",
		  text.n ? "the credential is not this" : "no credential was sent, and it must be this");
	if (text.n)
		note_stranger(door, peer, "BAD_CREDENTIAL", err);
	return -1;
}
