/* See iam_credentials.h. */

#include <strings.h>
#include "broker/secret.h"
#include "broker/status.h"
#include "broker/surface/foreign.h"
#include "broker/surface/iam_call.h"
#include "broker/surface/iam_credentials.h"

#define ROOT "/v1/projects/"
#define REPLY_MAX (1 << 17)
#define MORE 256 /* what stands around a reply's values */

/* --- replies */

static void reply_error(struct exchange *x, int http, const struct buf *body, const char *more) {
	exchange_reply(x, &(struct http_reply){ .status = http,
						.content_type = "application/json; charset=UTF-8",
						.body = { body->data ? body->data : "", body->len },
						.extra = more });
}

static void refuse(struct exchange *x, int http, enum error_code code, const char *reason, const char *message, const char *more) {
	struct buf body = BUF_INIT(8192);

	status_body_http(&body, http, code, reason, message);
	reply_error(x, http, &body, more);
	buf_fini(&body);
}

/* Whom `peers:` does not know is 403, not 401: another bearer would not help him, and clients would fetch one. */
static void refuse_outcome(struct exchange *x, const struct request_outcome *o) {
	enum error_code code = o->error->code == ERR_UNAUTHENTICATED ? ERR_DENIED : o->error->code;
	const char *reason = o->reason ? o->reason : status_of(o->error->code)->reason;
	struct status_detail details[REQUEST_DETAILS];
	struct buf body = BUF_INIT(16384);

	request_details(o, details);
	status_body(&body, code, reason, o->error->message, details, REQUEST_DETAILS);
	reply_error(x, status_of(code)->http, &body, NULL);
	buf_fini(&body);
}

/* {first: …, second: …} in Google's layout, or without blanks. Holds a token or a signature: no copy of it stays behind. */
static void reply(struct exchange *x, const char *first, const char *a, const char *second, const char *b) {
	const char *line = x->compact ? "" : "\n  ", *colon = x->compact ? ":" : ": ";
	struct buf body = BUF_INIT(REPLY_MAX);

	/* Room first: what grows later would leave a copy where it stood. */
	if (buf_grow(&body, 2 * (strlen(a) + strlen(b)) + MORE))
		buf_reset(&body);
	buf_addf(&body, "{%s\"%s\"%s", line, first, colon);
	buf_add_json(&body, a, strlen(a));
	if (second) {
		buf_addf(&body, ",%s\"%s\"%s", line, second, colon);
		buf_add_json(&body, b, strlen(b));
	}
	buf_adds(&body, x->compact ? "}" : "\n}\n");
	exchange_reply(x, &(struct http_reply){ .status = buf_ok(&body) ? 200 : 500,
						.content_type = "application/json; charset=UTF-8",
						.body = buf_ok(&body) ? (struct str){ body.data, body.len } : STR(""),
						.secret = true });
	wipe(body.data, body.len);
	buf_fini(&body);
}

static void on_access_token(struct exchange *x, const struct request_outcome *o) {
	struct buf until = BUF_INIT(64);

	if (!o->token) {
		refuse_outcome(x, o);
		return;
	}
	buf_add_time(&until, o->token->expires_at);
	reply(x, "accessToken", o->token->value.data, "expireTime", until.data ? until.data : "");
	buf_fini(&until);
}

static void on_id_token(struct exchange *x, const struct request_outcome *o) {
	if (o->token)
		reply(x, "token", o->token->value.data, NULL, "");
	else
		refuse_outcome(x, o);
}

static void on_signed_blob(struct exchange *x, const struct request_outcome *o) {
	if (o->token)
		reply(x, "keyId", o->token->key_id, "signedBlob", o->token->value.data);
	else
		refuse_outcome(x, o);
}

static void on_signed_jwt(struct exchange *x, const struct request_outcome *o) {
	if (o->token)
		reply(x, "keyId", o->token->key_id, "signedJwt", o->token->value.data);
	else
		refuse_outcome(x, o);
}

static void (*const outcomes[N_PERMISSIONS])(struct exchange *x, const struct request_outcome *o) = {
	[PERMISSION_GET_ACCESS_TOKEN] = on_access_token,
	[PERMISSION_GET_OPEN_ID_TOKEN] = on_id_token,
	[PERMISSION_SIGN_BLOB] = on_signed_blob,
	[PERMISSION_SIGN_JWT] = on_signed_jwt,
};

/* --- from a request */

/* RFC 6750 §2.1. Empty: there is none. */
static struct str bearer_of(const struct http_request *request) {
	struct str field = http_field(request, "authorization");

	if (field.n < 8 || strncasecmp(field.p, "Bearer ", 7))
		return (struct str){ NULL, 0 };
	for (field.p += 7, field.n -= 7; field.n && *field.p == ' '; field.n--)
		field.p++;
	return field;
}

static void refuse_bearer(struct exchange *x, struct str bearer, const struct error *err) {
	refuse(x, 401, ERR_UNAUTHENTICATED, bearer.n ? "BAD_CREDENTIAL" : "CREDENTIALS_MISSING", err->message,
	       bearer.n ? "WWW-Authenticate: Bearer realm=\"hallpass\", error=\"invalid_token\"\r\n"
			: "WWW-Authenticate: Bearer realm=\"hallpass\"\r\n");
}

/* The session's delegates are those of its own accounts. */
static json_t *terms_for(const struct door *door, const struct iam_call *call) {
	json_t *ask = door_ask(door, call->permission, call->account);

	if (!door_account(door, call->account))
		json_object_del(ask, "delegates");
	return ask;
}

static void serve_call(struct exchange *x, struct iam_call *call, const struct http_request *request) {
	json_t *ask = terms_for(x->door, call);
	struct error err = { 0 };

	if (!ask)
		error_set(&err, ERR_INTERNAL, "out of memory");
	else if (body_is_json(request, &err) < 0 || iam_call_read(call, request->query, request->body, ask, &err) < 0)
		json_decref(ask);
	else {
		x->compact = call->compact;
		if (exchange_ask(x, call->permission, ask, outcomes[call->permission], &err) == 0)
			return;
	}
	refuse(x, status_of(err.code)->http, err.code, NULL, err.message, NULL);
}

static void serve(struct exchange *x, const struct http_request *request) {
	struct str bearer = bearer_of(request);
	struct error err = { 0 };
	struct iam_call call = { .compact = false };

	if (!iam_call_find(request->path, &call))
		refuse(x, 404, ERR_NOT_FOUND, NULL,
		       "no such method: there are projects/-/serviceAccounts/EMAIL:generateAccessToken, :generateIdToken, :signBlob and :signJwt", NULL);
	else if (request->method != HTTP_POST)
		refuse(x, 405, ERR_INVALID, NULL, "this method takes POST", "Allow: POST\r\n");
	else if (door_check_credential(x->door, conn_peer(x->conn), bearer, &err) < 0)
		refuse_bearer(x, bearer, &err);
	else
		serve_call(x, &call, request);
}

static bool takes(struct str path) {
	return path.n >= sizeof(ROOT) - 1 && !memcmp(path.p, ROOT, sizeof(ROOT) - 1);
}

const struct surface surface_iam_credentials = { .name = "iamCredentials", .takes = takes, .serve = serve };
