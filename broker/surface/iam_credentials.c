/* See iam_credentials.h. The tables `verbs` and `members` are the API. */

#include <stdlib.h>
#include <strings.h>
#include "broker/secret.h"
#include "broker/status.h"
#include "broker/surface/ask.h"
#include "broker/surface/foreign.h"
#include "broker/surface/iam_credentials.h"
#include "broker/surface/uri.h"
#include "hallpass/cleanup.h"

#define ROOT "/v1/projects/"
#define RESOURCE "projects/-/serviceAccounts/"
#define REPLY_MAX (1 << 17)
#define MORE 256 /* what stands around a reply's values */

struct verb {
	const char *name;
	enum policy_permission permission;
	void (*outcome)(struct exchange *x, const struct request_outcome *o);
};

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

static void refuse_invalid(struct exchange *x, const struct error *err) {
	refuse(x, status_of(err->code)->http, err->code, NULL, err->message, NULL);
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

static const struct verb verbs[] = {
	{ "generateAccessToken", PERMISSION_GET_ACCESS_TOKEN, on_access_token },
	{ "generateIdToken", PERMISSION_GET_OPEN_ID_TOKEN, on_id_token },
	{ "signBlob", PERMISSION_SIGN_BLOB, on_signed_blob },
	{ "signJwt", PERMISSION_SIGN_JWT, on_signed_jwt },
};

/* --- from Google's body to an ask's */

/* Google's names, e-mails, or both. */
static json_t *bare_delegates(const json_t *value) {
	json_t *list = json_is_array(value) ? json_array() : NULL, *item;
	size_t i;

	json_array_foreach(value, i, item) {
		const char *name = json_string_value(item);

		if (name && !strncmp(name, RESOURCE, strlen(RESOURCE)))
			json_array_append_new(list, json_string(name + strlen(RESOURCE)));
		else
			json_array_append(list, item);
	}
	return list ? list : json_incref((json_t *)value);
}

static int put_delegates(json_t *ask, const json_t *value, struct error *err) {
	(void)err;
	if (json_is_array(value) && json_array_size(value) == 0)
		return 0;
	return json_object_set_new(ask, "delegates", bare_delegates(value));
}

/* The session's, where it is shorter; what is no lifetime is left for the ask's own words. */
static int put_lifetime(json_t *ask, const json_t *value, struct error *err) {
	int64_t asked = ask_seconds(value), most = ask_seconds(json_object_get(ask, "lifetime"));

	if (!json_is_string(value))
		return error_set(err, ERR_INVALID, "lifetime must be a duration in seconds with an s behind it, like \"900s\"");
	return most && asked > most ? 0 : json_object_set(ask, "lifetime", (json_t *)value);
}

static int put_scope(json_t *ask, const json_t *value, struct error *err) {
	(void)err; /* none are not asked for: the ask would take it for any */
	return json_array_size(value) || !json_is_array(value) ? json_object_set(ask, "scopes", (json_t *)value) : 0;
}

static int put_organization_number(json_t *ask, const json_t *value, struct error *err) {
	(void)ask;
	return json_is_false(value) ? 0
				    : error_set(err, ERR_INVALID, "organizationNumberIncluded is not known to hallpass: leave it out");
}

#define ACCESS (1u << PERMISSION_GET_ACCESS_TOKEN)
#define OPENID (1u << PERMISSION_GET_OPEN_ID_TOKEN)
#define SIGN (1u << PERMISSION_SIGN_BLOB | 1u << PERMISSION_SIGN_JWT)
static const struct member {
	const char *name, *in_proto; /* protobuf's JSON takes either */
	unsigned permissions;
	const char *in_ask;
	int (*put)(json_t *ask, const json_t *value, struct error *err); /* NULL: as it is */
} members[] = {
	{ "scope", "scope", ACCESS, "scopes", put_scope },
	{ "lifetime", "lifetime", ACCESS, "lifetime", put_lifetime },
	{ "delegates", "delegates", ACCESS | OPENID | SIGN, "delegates", put_delegates },
	{ "audience", "audience", OPENID, "audience", NULL },
	{ "includeEmail", "include_email", OPENID, "includeEmail", NULL },
	{ "organizationNumberIncluded", "organization_number_included", OPENID, NULL, put_organization_number },
	{ "payload", "payload", SIGN, "payload", NULL },
};

static const struct member *find_member(const struct verb *verb, const char *name) {
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if ((members[i].permissions & 1u << verb->permission) &&
		    (!strcmp(name, members[i].name) || !strcmp(name, members[i].in_proto)))
			return &members[i];
	return NULL;
}

static int put(const struct member *member, json_t *ask, json_t *value, struct error *err) {
	err->code = ERR_NONE;
	return member->put ? member->put(ask, value, err) : json_object_set(ask, member->in_ask, value);
}

static int translate(const struct verb *verb, const json_t *body, json_t *ask, struct error *err) {
	const struct member *member;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)body, name, value) {
		member = find_member(verb, name);
		if (!member)
			return error_set(err, ERR_INVALID,
					 "Invalid JSON payload received. Unknown name \"%.60s\": Cannot find field. (%s has no such member.)",
					 name, verb->name);
		/* null is as good as not there */
		if (!json_is_null(value) && put(member, ask, value, err) < 0)
			return err->code ? -1 : error_set(err, ERR_INTERNAL, "out of memory");
	}
	if (verb->permission == PERMISSION_GET_ACCESS_TOKEN && !json_object_get(ask, "scopes"))
		return error_set(err, ERR_INVALID, "scope is missing: a list of one or more, like "
						   "[\"https://www.googleapis.com/auth/cloud-platform\"]");
	return 0;
}

/* The session's terms that are for this account, and what the body asks. A new reference; NULL: err says why. */
static json_t *ask_of(const struct door *door, const struct verb *verb, const char *account, const json_t *body, struct error *err) {
	json_t *ask = door_ask(door, verb->permission, account);

	if (!ask) {
		error_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	json_object_del(ask, "scopes");
	if (!door_account(door, account))
		json_object_del(ask, "delegates");
	if (translate(verb, body, ask, err) == 0)
		return ask;
	json_decref(ask);
	return NULL;
}

/* --- from a request */

/* Parameters that each of Google's APIs takes. Another name would be a member in the wrong place, and would be lost. */
static bool is_common_parameter(struct str name) {
	static const char *const names[] = { "alt",	     "$alt",	 "prettyPrint", "$prettyPrint",	  "fields", "key",    "quotaUser",
					     "$fields",	     "$.xgafv",	 "userIp",	"uploadType",	  "upload_protocol", "callback",
					     "%24alt",	     "%24.xgafv", "$userProject", "%24prettyPrint", "%24fields", "%24userProject" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(name, str_of(names[i])))
			return true;
	return false;
}

static int check_names(struct str query, struct error *err) {
	while (query.n) {
		const char *amp = memchr(query.p, '&', query.n), *end = amp ? amp : query.p + query.n;
		const char *equals = memchr(query.p, '=', (size_t)(end - query.p));
		struct str name = { query.p, (size_t)((equals ? equals : end) - query.p) };

		if (name.n && !is_common_parameter(name))
			return error_set(err, ERR_INVALID,
					 "Invalid JSON payload received. Unknown name \"%.*s\": Cannot bind query parameter. (What is asked "
					 "stands in the body.)",
					 (int)(name.n > 60 ? 60 : name.n), name.p);
		query.n -= (size_t)(end - query.p) + (amp != NULL);
		query.p = end + (amp != NULL);
	}
	return 0;
}

static int first_parameter(struct str query, const char *const names[], char *out, size_t size) {
	int r = 0;

	for (; *names && r == 0; names++)
		r = uri_parameter(query, *names, out, size);
	return r;
}

/* alt=json, $alt=json;enum-encoding=int (we send no enumerations), prettyPrint. */
static int read_query(struct str query, bool *compact, struct error *err) {
	static const char *const alts[] = { "alt", "$alt", "%24alt", NULL },
				 *const prettys[] = { "prettyPrint", "$prettyPrint", "%24prettyPrint", NULL };
	char alt[64] = "json", pretty[8] = "true";

	if (check_names(query, err) < 0)
		return -1;
	if (first_parameter(query, alts, alt, sizeof(alt)) < 0 || strncmp(alt, "json", 4) || (alt[4] && alt[4] != ';'))
		return error_set(err, ERR_INVALID, "alt can be json alone");
	if (first_parameter(query, prettys, pretty, sizeof(pretty)) < 0)
		return error_set(err, ERR_INVALID, "prettyPrint is true or false");
	*compact = !strcasecmp(pretty, "false") || !strcmp(pretty, "0");
	return 0;
}

/* The method's last segment, EMAIL:VERB, taken apart at its last colon. NULL: there is no such method. */
static const struct verb *find_verb(struct uri_path *path, char **account) {
	char *segment = path->n == 5 && !path->slash && !strcmp(path->segments[0], "v1") && !strcmp(path->segments[1], "projects") &&
					!strcmp(path->segments[3], "serviceAccounts")
				? path->text + (path->segments[4] - path->text)
				: NULL;
	char *colon = segment ? strrchr(segment, ':') : NULL;

	for (size_t i = 0; colon && i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(colon + 1, verbs[i].name)) {
			*colon = '\0';
			*account = segment;
			return &verbs[i];
		}
	return NULL;
}

static int check_name(const struct uri_path *path, const char *account, struct error *err) {
	size_t n = strlen(account);

	if (strcmp(path->segments[2], "-"))
		return error_set(err, ERR_INVALID,
				 "the name must be " RESOURCE "EMAIL: for the project Google takes a - alone, not \"%.60s\"", path->segments[2]);
	if (n && strspn(account, "0123456789") == n)
		return error_set(err, ERR_INVALID,
				 "\"%.30s\" is a service account's unique id, and which account that is cannot be told here: name it by its "
				 "e-mail, " RESOURCE "EMAIL",
				 account);
	return 0;
}

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

static int read_request(struct exchange *x, const struct verb *verb, const struct http_request *request, const struct uri_path *path,
			const char *account, json_t **ask, struct error *err) {
	json_t *body;

	if (body_is_json(request, err) < 0 || read_query(request->query, &x->compact, err) < 0 ||
	    check_name(path, account, err) < 0 || ask_body(request->body, &body, err) < 0)
		return -1;
	*ask = ask_of(x->door, verb, account, body, err);
	json_decref(body);
	return *ask ? 0 : -1;
}

static void serve(struct exchange *x, const struct http_request *request) {
	struct str bearer = bearer_of(request);
	struct uri_path path;
	char *account = NULL;
	const struct verb *verb = uri_path(request->path, &path) ? find_verb(&path, &account) : NULL;
	struct error err = { 0 };
	json_t *ask;

	if (!verb)
		refuse(x, 404, ERR_NOT_FOUND, NULL, "no such method: there are " RESOURCE
						    "EMAIL:generateAccessToken, :generateIdToken, :signBlob and :signJwt", NULL);
	else if (request->method != HTTP_POST)
		refuse(x, 405, ERR_INVALID, NULL, "this method takes POST", "Allow: POST\r\n");
	else if (door_check_credential(x->door, conn_peer(x->conn), bearer, &err) < 0)
		refuse_bearer(x, bearer, &err);
	else if (read_request(x, verb, request, &path, account, &ask, &err) < 0 ||
		 exchange_ask(x, verb->permission, ask, verb->outcome, &err) < 0)
		refuse_invalid(x, &err);
}

static bool takes(struct str path) {
	return path.n >= sizeof(ROOT) - 1 && !memcmp(path.p, ROOT, sizeof(ROOT) - 1);
}

const struct surface surface_iam_credentials = { .name = "iamCredentials", .takes = takes, .serve = serve };
