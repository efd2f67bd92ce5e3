/* See sts.h. The table `fields` is what a form may have. */

#include <stddef.h>
#include "broker/clock.h"
#include "broker/secret.h"
#include "broker/status.h"
#include "broker/surface/ask.h"
#include "broker/surface/oauth.h"
#include "broker/surface/sts.h"
#include "broker/surface/sts_iam.h"
#include "broker/surface/uri.h"
#include "hallpass/api.h"
#include "hallpass/cleanup.h"

#define TYPE "urn:ietf:params:oauth:token-type:"
#define GRANT_REFRESH "refresh_token"
#define FORM "application/x-www-form-urlencoded"
#define REPLY_MAX (1 << 20)
#define SHORT 128

/* --- replies */

static void reply(struct exchange *x, int status, const struct buf *body, const char *extra) {
	exchange_reply(x, &(struct http_reply){ .status = status,
						.content_type = http_json,
						.body = { body->data ? body->data : "", body->len },
						.extra = extra });
}

static void refuse(struct exchange *x, int status, const char *error, const char *description) {
	struct buf body = BUF_INIT(8192);

	oauth_error(&body, error, description);
	reply(x, status, &body, status == 405 ? "Allow: POST\r\n" : NULL);
	buf_fini(&body);
}

/* What RFC 6749 §5.2 calls a failure; our own reasons are not its. */
static const char *error_of(enum error_code code) {
	static const struct {
		enum error_code code;
		const char *error;
	} table[] = {
		{ ERR_INVALID, "invalid_request" },	     { ERR_UNAUTHENTICATED, "unauthorized_client" },
		{ ERR_DENIED, "unauthorized_client" },	     { ERR_REFUSED, "unauthorized_client" },
		{ ERR_LIMIT, "temporarily_unavailable" },    { ERR_NOT_FOUND, "invalid_target" },
		{ ERR_INTERNAL, "server_error" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].code == code)
			return table[i].error;
	return "temporarily_unavailable";
}

static void add_scope(struct buf *body, const struct request_outcome *o) {
	struct buf scope = BUF_INIT(REPLY_MAX);

	for (size_t i = 0; i < o->decision->n_scopes; i++)
		buf_addf(&scope, "%s%s", i ? " " : "", o->decision->scopes[i]);
	buf_adds(body, ",\"scope\":");
	buf_add_json(body, scope.data ? scope.data : "", scope.len);
	buf_fini(&scope);
}

/* more: members of its own. The body holds a token: no copy of it stays behind. */
static void reply_token(struct exchange *x, const struct request_outcome *o, const char *more) {
	struct buf body = BUF_INIT(REPLY_MAX);
	size_t scopes = 0;

	if (!o->token) {
		refuse(x, oauth_status(o), error_of(o->error->code), o->error->message);
		return;
	}
	for (size_t i = 0; i < o->decision->n_scopes; i++)
		scopes += strlen(o->decision->scopes[i]) + 1;
	oauth_token(&body, o, SHORT + scopes);
	buf_adds(&body, more);
	add_scope(&body, o);
	buf_addc(&body, '}');
	exchange_reply(x, &(struct http_reply){ .status = 200, .content_type = http_json, .body = { body.data, body.len },
						.secret = true });
	wipe(body.data, body.len);
	buf_fini(&body);
}

static void on_exchanged(struct exchange *x, const struct request_outcome *o) {
	reply_token(x, o, ",\"issued_token_type\":\"" TYPE "access_token\"");
}

/* Without a refresh_token: the one that the client has stays good. */
static void on_refreshed(struct exchange *x, const struct request_outcome *o) {
	reply_token(x, o, "");
}

/* --- forms */

enum grant { EXCHANGE = 1, REFRESH = 2 };

struct form {
	char grant_type[SHORT], subject_token_type[SHORT], requested_token_type[SHORT];
	char audience[1024], scope[URI_MAX_TEXT], options[1024], actor_token[URI_MAX_TEXT], credential[URI_MAX_TEXT];
};

#define INTO(member) offsetof(struct form, member), sizeof(((struct form *)0)->member)
#define FIELD(name) #name, INTO(name)
static const struct field {
	const char *name;
	size_t at, size;
	enum grant grants;     /* in whose forms it is read */
	bool required;
	const char *values[4]; /* it must be one of them; none: anything */
	const char *error;     /* for another; NULL: invalid_request */
} fields[] = {
	{ FIELD(grant_type), EXCHANGE | REFRESH, true, { OAUTH_GRANT_EXCHANGE, GRANT_REFRESH }, "unsupported_grant_type" },
	{ FIELD(audience), EXCHANGE, true, { NULL }, NULL },
	{ "subject_token", INTO(credential), EXCHANGE, true, { NULL }, NULL },
	{ "refresh_token", INTO(credential), REFRESH, true, { NULL }, NULL },
	{ FIELD(subject_token_type), EXCHANGE, true, { TYPE "jwt", TYPE "id_token", TYPE "access_token" }, NULL },
	{ FIELD(requested_token_type), EXCHANGE, false, { TYPE "access_token" }, NULL },
	{ FIELD(scope), EXCHANGE | REFRESH, false, { NULL }, NULL },
	{ FIELD(options), EXCHANGE, false, { NULL }, NULL },
	{ FIELD(actor_token), EXCHANGE, false, { NULL }, NULL },
};

/* Of a form whose grant_type was read. */
static enum grant grant_of(const struct form *form) {
	return !strcmp(form->grant_type, GRANT_REFRESH) ? REFRESH : EXCHANGE;
}

static bool is_one_of(const char *value, const struct field *field) {
	for (size_t i = 0; i < ARRAY_SIZE(field->values) && field->values[i]; i++)
		if (!strcmp(value, field->values[i]))
			return true;
	return !field->values[0];
}

/* NULL, or the error's name; err says more. */
static const char *read_field(struct str body, const struct field *field, struct form *form, struct error *err) {
	char *value = (char *)form + field->at;
	int r = uri_form(body, field->name, value, field->size);

	if (r < 0) {
		error_set(err, ERR_INVALID, "%s is no text, is too long, or stands there twice", field->name);
		return "invalid_request";
	}
	if (r == 0 && field->required) {
		error_set(err, ERR_INVALID, "%s is missing", field->name);
		return "invalid_request";
	}
	if (r == 0 || is_one_of(value, field))
		return NULL;
	error_set(err, ERR_INVALID, "%s must be %s%s%s", field->name, field->values[0], field->values[1] ? " or " : "",
		  field->values[1] ? field->values[1] : "");
	return field->error ? field->error : "invalid_request";
}

/* A project to bill says nothing of the token; all else would make it less than what we give (an accessBoundary, say). */
static int check_options(const char *options, struct error *err) {
	json_error_t where;
	json_t *json = json_loads(options, JSON_REJECT_DUPLICATES, &where);
	const char *name;
	json_t *value;
	int r = 0;

	if (!json_is_object(json))
		r = error_set(err, ERR_INVALID, "options is no JSON object");
	json_object_foreach(json, name, value)
		if (strcmp(name, "userProject"))
			r = error_set(err, ERR_INVALID, "options has \"%.60s\", which hallpass cannot put into a token", name);
	json_decref(json);
	return r;
}

static const char *read_form(struct str body, struct form *form, struct error *err) {
	memset(form, 0, sizeof(*form));
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const char *error = fields[i].grants & grant_of(form) ? read_field(body, &fields[i], form, err) : NULL;

		if (error)
			return error;
	}
	if (*form->actor_token)
		error_set(err, ERR_INVALID, "an actor_token is not taken: who asks is the kernel's word");
	else if (!*form->options || check_options(form->options, err) == 0)
		return NULL;
	return "invalid_request";
}

/* --- a token */

/*
 * API_AUDIENCE_LOCAL: the door's default; with an e-mail behind it: that account, where it is one of the door's. A refresh names none, and
 * gets the default's.
 */
static const char *account_of(const struct door *door, const struct form *form) {
	const char *audience = form->audience;
	size_t n = strlen(API_AUDIENCE_LOCAL);

	if (grant_of(form) == REFRESH)
		return door_account(door, "default");
	if (strncmp(audience, API_AUDIENCE_LOCAL, n))
		return NULL;
	if (!audience[n])
		return door_account(door, "default");
	return audience[n] == '/' ? door_account(door, audience + n + 1) : NULL;
}

static void refuse_credential(struct exchange *x, enum grant grant) {
	char description[400];

	snprintf(description, sizeof(description),
		 "the %s is not this session's handle: it stands in the file that HALLPASS_HANDLE_FILE names, and is another one in each "
		 "session; start the program from `hallpass run` or `hallpass env`",
		 grant == REFRESH ? "refresh_token" : "subject_token");
	refuse(x, 400, "invalid_grant", description);
}

static void give_token(struct exchange *x, struct form *form) {
	const char *account = account_of(x->door, form);
	enum grant grant = grant_of(form);
	struct error err;
	json_t *body;

	if (door_check_credential(x->door, conn_peer(x->conn), str_of(form->credential), &err) < 0) {
		refuse_credential(x, grant);
		return;
	}
	if (!account) {
		refuse(x, 400, "invalid_target",
		       "the audience is " API_AUDIENCE_LOCAL ", or that, a slash and an account of this port (--also adds them)");
		return;
	}
	body = door_ask(x->door, PERMISSION_GET_ACCESS_TOKEN, account);
	if (ask_narrow(body, oauth_scopes(form->scope), &err) < 0) {
		json_decref(body);
		refuse(x, 400, "invalid_scope", err.message);
	} else if (exchange_ask(x, PERMISSION_GET_ACCESS_TOKEN, body, grant == REFRESH ? on_refreshed : on_exchanged, &err) < 0) {
		refuse(x, status_of(err.code)->http, "invalid_request", err.message);
	}
}

static void serve_token(struct exchange *x, struct str body) {
	struct error err;
	struct form form;
	const char *error = read_form(body, &form, &err);

	if (error)
		refuse(x, 400, error, err.message);
	else if (sts_iam_serve(x, body))
		; /* it is answered */
	else
		give_token(x, &form);
	wipe(form.credential, sizeof(form.credential));
}

/* --- introspection: of what this door gave, and nothing of what else there is */

static void serve_introspect(struct exchange *x, struct str form) {
	int64_t now = clock_now().s, expires_at = 0;
	struct buf body = BUF_INIT(4096);
	char token[URI_MAX_TEXT];
	const char *account;

	if (uri_form(form, "token", token, sizeof(token)) < 1) {
		wipe(token, sizeof(token)); /* the first of two may stand there */
		refuse(x, 400, "invalid_request", "token is missing, is no text, or stands there twice");
		return;
	}
	account = door_whose(x->door, str_of(token), now, &expires_at);
	wipe(token, sizeof(token));
	buf_addf(&body, "{\"active\":%s", account ? "true" : "false");
	if (account)
		buf_addf(&body, ",\"username\":\"%s\",\"token_type\":\"Bearer\",\"exp\":%lld", account, (long long)expires_at);
	buf_addc(&body, '}');
	reply(x, 200, &body, "Cache-Control: no-store\r\n");
	buf_fini(&body);
}

/* --- from a request */

static void serve(struct exchange *x, const struct http_request *request) {
	if (request->method != HTTP_POST)
		refuse(x, 405, "invalid_request", "tokens are asked for by POST");
	else if (!http_type_is(request, FORM) && !http_type_is(request, FORM "," FORM)) /* google-cloud-cpp says it twice */
		refuse(x, 400, "invalid_request", "the Content-Type must be " FORM);
	else if (str_eq(request->path, STR(API_PATH_EXCHANGE)))
		serve_token(x, request->body);
	else
		serve_introspect(x, request->body);
}

static bool takes(struct str path) {
	return str_eq(path, STR(API_PATH_EXCHANGE)) || str_eq(path, STR(API_PATH_INTROSPECT));
}

const struct surface surface_sts = { .name = "sts", .takes = takes, .serve = serve };
