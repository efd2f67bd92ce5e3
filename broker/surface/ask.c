/* See ask.h. */

#include <stdlib.h>
#include <string.h>
#include "broker/email.h"
#include "broker/json_reserve.h"
#include "broker/surface/ask.h"
#include "hallpass/base64.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"

#define MAX_SCOPE 256
#define MAX_TEXT 1024
#define MAX_BLOB (24 * 1024) /* in base64 */
#define MAX_CLAIMS (6 * 1024)
#define MAX_CANONICAL 8000 /* of claims, whose numbers may have grown: so that the JWT is one that is read (google_error.c) */

int ask_body(struct str body, json_t **out, struct error *err) {
	json_error_t where;

	*out = json_loadb(body.p ? body.p : "", body.n, JSON_REJECT_DUPLICATES, &where);
	if (!*out)
		return error_set(err, ERR_INVALID, "the body is not JSON: line %d, column %d: %s", where.line,
				 where.column, where.text);
	if (json_is_object(*out))
		return 0;
	json_decref(*out);
	*out = NULL;
	return error_set(err, ERR_INVALID, "the body must be a JSON object");
}

static int ask_text(const json_t *value, const char *name, size_t max, const char **out, struct error *err) {
	size_t n;

	if (!json_is_string(value))
		return error_set(err, ERR_INVALID, "%s must be a string", name);
	n = json_string_length(value);
	*out = json_string_value(value);
	if (n == 0 || n > max)
		return error_set(err, ERR_INVALID, "%s must have 1 to %zu bytes", name, max);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)(*out)[i] < 0x20 || (*out)[i] == 0x7F)
			return error_set(err, ERR_INVALID, "%s must not hold control characters", name);
	return 0;
}

static int ask_email(const json_t *value, const char *name, const char **out, struct error *err) {
	return ask_text(value, name, EMAIL_MAX, out, err) < 0 ? -1 : email_check(str_of(*out), name, err);
}

int ask_emails(const json_t *value, const char *name, const char *one, size_t max, const char **out, size_t *n,
	       struct error *err) {
	*n = 0;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_array(value) || json_array_size(value) > max)
		return error_set(err, ERR_INVALID, "%s must be a list of at most %zu e-mails", name, max);
	for (size_t i = 0; i < json_array_size(value); i++)
		if (ask_email(json_array_get(value, i), one, &out[(*n)++], err) < 0)
			return -1;
	return 0;
}

static int ask_target(const json_t *value, struct ask *ask, struct error *err) {
	return ask_email(value, "serviceAccount", &ask->target, err);
}

/* Keeps the list sorted and each scope once: equal asks become equal. */
static void ask_add_scope(struct ask *ask, const char *scope) {
	size_t i = ask->n_scopes;

	for (size_t j = 0; j < ask->n_scopes; j++)
		if (!strcmp(ask->scopes[j], scope))
			return;
	for (; i > 0 && strcmp(ask->scopes[i - 1], scope) > 0; i--)
		ask->scopes[i] = ask->scopes[i - 1];
	ask->scopes[i] = scope;
	ask->n_scopes++;
}

static int ask_scopes(const json_t *value, struct ask *ask, struct error *err) {
	const char *scope;

	if (!json_is_array(value) || json_array_size(value) > POLICY_MAX_SCOPES)
		return error_set(err, ERR_INVALID, "scopes must be a list of at most %d strings", POLICY_MAX_SCOPES);
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (ask_text(json_array_get(value, i), "a scope", MAX_SCOPE, &scope, err) < 0)
			return -1;
		for (const char *s = scope; *s; s++)
			if (*s <= 0x20 || *s >= 0x7F)
				return error_set(err, ERR_INVALID, "a scope must be visible ASCII without blanks");
		ask_add_scope(ask, scope);
	}
	return 0;
}

static int ask_delegates(const json_t *value, struct ask *ask, struct error *err) {
	return ask_emails(value, "delegates", "a delegate", ASK_MAX_DELEGATES, ask->delegates, &ask->n_delegates, err);
}

int64_t ask_seconds(const json_t *value) {
	const char *s = json_string_value(value);
	int64_t v = json_is_integer(value) ? (int64_t)json_integer_value(value) : 0;

	if (s) {
		for (; *s >= '0' && *s <= '9' && v < 1000000; s++)
			v = v * 10 + (*s - '0');
		if (strcmp(s, "s"))
			v = 0;
	}
	return v < 1 || v > POLICY_MAX_LIFETIME ? 0 : v;
}

static int ask_lifetime(const json_t *value, struct ask *ask, struct error *err) {
	ask->lifetime_s = ask_seconds(value);
	if (ask->lifetime_s)
		return 0;
	return error_set(err, ERR_INVALID, "lifetime must be from \"1s\" to \"%ds\", in whole seconds", POLICY_MAX_LIFETIME);
}

static int ask_audience(const json_t *value, struct ask *ask, struct error *err) {
	return ask_text(value, "audience", MAX_TEXT, &ask->audience, err);
}

static int ask_include_email(const json_t *value, struct ask *ask, struct error *err) {
	if (!json_is_boolean(value))
		return error_set(err, ERR_INVALID, "includeEmail must be true or false");
	ask->include_email = json_is_true(value);
	return 0;
}

static int ask_use_email_azp(const json_t *value, struct ask *ask, struct error *err) {
	if (!json_is_boolean(value))
		return error_set(err, ERR_INVALID, "useEmailAzp must be true or false");
	ask->use_email_azp = json_is_true(value);
	return 0;
}

static int ask_justification(const json_t *value, struct ask *ask, struct error *err) {
	return ask_text(value, "justification", MAX_TEXT, &ask->justification, err);
}

static int ask_payload(const json_t *value, struct ask *ask, struct error *err) {
	size_t max = ask->permission == PERMISSION_SIGN_JWT ? MAX_CLAIMS : MAX_BLOB;

	if (!json_is_string(value) || json_string_length(value) == 0 || json_string_length(value) > max)
		return error_set(err, ERR_INVALID, "payload must be a string of 1 to %zu bytes: %s", max,
				 ask->permission == PERMISSION_SIGN_JWT ? "the claims, a JSON object" : "the blob, in base64");
	ask->payload = json_string_value(value);
	return 0;
}

/* --- payloads in canonical form: what is hashed for the record is what is signed */

static int put_payload(json_t *body, struct ask *ask, json_t *text, struct error *err) {
	if (!text || json_object_set_new(body, "payload", text) < 0)
		return error_no_memory(err);
	ask->payload = json_string_value(text);
	return 0;
}

/* Bytes again as base64. NULL: memory. */
static json_t *base64_of(const char *bytes, size_t len) {
	char *text = malloc(BASE64_SIZE(len));
	json_t *json;

	if (!text)
		return NULL;
	base64_encode(bytes, len, text);
	json = json_stringn(text, BASE64_SIZE(len));
	free(text);
	return json;
}

/* Base64 of either alphabet, with or without its padding. */
static int canonical_blob(json_t *body, struct ask *ask, struct error *err) {
	size_t n = strlen(ask->payload), len;
	char *text = strdup(ask->payload), *blob = malloc(n / 4 * 3 + 3);
	int r = -1;

	for (char *c = text; c && *c; c++)
		*c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
	if (!text || !blob) {
		error_no_memory(err);
	} else if (!base64_decode(text, n, blob, &len) || len == 0) {
		error_set(err, ERR_INVALID, "payload is not base64");
	} else {
		sha256_hex(blob, len, ask->payload_sha256);
		r = put_payload(body, ask, base64_of(blob, len), err);
	}
	free(blob);
	free(text);
	return r;
}

/* Without a name that stands twice, of which each reader might take another. Its words are not quoted. */
static json_t *read_claims(const char *text, struct error *err) {
	json_error_t at;
	json_t *claims = json_loads(text, JSON_REJECT_DUPLICATES, &at);

	if (json_is_object(claims))
		return claims;
	if (claims)
		error_set(err, ERR_INVALID, "payload must be a JSON object: the JWT's claims");
	else if (json_error_code(&at) == json_error_duplicate_key)
		error_set(err, ERR_INVALID, "payload has a name twice: line %d, column %d", at.line, at.column);
	else
		error_set(err, ERR_INVALID, "payload is not JSON: line %d, column %d", at.line, at.column);
	json_decref(claims);
	return NULL;
}

static int canonical_claims(json_t *body, struct ask *ask, struct error *err) {
	json_t *claims = read_claims(ask->payload, err), *exp = json_object_get(claims, "exp");
	char *text;
	int r;

	if (!claims)
		return -1;
	if (exp && (!json_is_integer(exp) || json_integer_value(exp) < 1)) {
		json_decref(claims);
		return error_set(err, ERR_INVALID, "payload's exp must be a whole number: Unix seconds");
	}
	ask->exp = json_integer_value(exp);
	text = json_dumps(claims, JSON_COMPACT);
	json_decref(claims);
	if (text && strlen(text) > MAX_CANONICAL) {
		r = error_set(err, ERR_INVALID, "payload is too long: with its numbers written in full it has more than %d bytes", MAX_CANONICAL);
	} else {
		sha256_hex(text ? text : "", text ? strlen(text) : 0, ask->payload_sha256);
		r = put_payload(body, ask, text ? json_string(text) : NULL, err);
	}
	json_reserve_free(text);
	return r;
}

/* --- the table */

#define ACCESS (1u << PERMISSION_GET_ACCESS_TOKEN)
#define OPENID (1u << PERMISSION_GET_OPEN_ID_TOKEN)
#define SIGN (1u << PERMISSION_SIGN_BLOB | 1u << PERMISSION_SIGN_JWT)
static const struct member {
	const char *name;
	unsigned permissions; /* with which it may stand */
	int (*parse)(const json_t *value, struct ask *ask, struct error *err);
} members[] = {
	{ "serviceAccount", ACCESS | OPENID | SIGN, ask_target },
	{ "scopes", ACCESS, ask_scopes },
	{ "lifetime", ACCESS, ask_lifetime },
	{ "delegates", ACCESS | OPENID | SIGN, ask_delegates },
	{ "audience", OPENID, ask_audience },
	{ "includeEmail", OPENID, ask_include_email },
	{ "useEmailAzp", OPENID, ask_use_email_azp },
	{ "payload", SIGN, ask_payload },
	{ "justification", ACCESS | OPENID | SIGN, ask_justification },
};

static bool is_extra(const char *const *extra, const char *name) {
	for (; extra && *extra; extra++)
		if (!strcmp(*extra, name))
			return true;
	return false;
}

static int ask_unknown(const char *name, enum policy_permission permission, struct error *err) {
	struct buf known = BUF_INIT(400);

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (members[i].permissions & 1u << permission)
			buf_addf(&known, "%s%s", known.len ? ", " : "", members[i].name);
	error_set(err, ERR_INVALID, "unknown member \"%.60s\"; there are %s", name, known.data);
	buf_fini(&known);
	return -1;
}

int ask_parse(json_t *body, enum policy_permission permission, const char *const *extra, struct ask *ask,
	      struct error *err) {
	const char *name;
	json_t *value;
	size_t i;

	*ask = (struct ask){ .permission = permission };
	json_object_foreach(body, name, value) {
		for (i = 0; i < ARRAY_SIZE(members); i++)
			if (!strcmp(members[i].name, name) && (members[i].permissions & 1u << permission))
				break;
		if (i == ARRAY_SIZE(members) && !is_extra(extra, name))
			return ask_unknown(name, permission, err);
		if (i < ARRAY_SIZE(members) && members[i].parse(value, ask, err) < 0)
			return -1;
	}
	if (!ask->target)
		return error_set(err, ERR_INVALID, "serviceAccount is missing: whose token?");
	if (permission == PERMISSION_GET_OPEN_ID_TOKEN && !ask->audience)
		return error_set(err, ERR_INVALID, "audience is missing: for whom is the ID token?");
	if ((1u << permission & SIGN) && !ask->payload)
		return error_set(err, ERR_INVALID, "payload is missing: what is to be signed?");
	return permission == PERMISSION_SIGN_BLOB  ? canonical_blob(body, ask, err)
	       : permission == PERMISSION_SIGN_JWT ? canonical_claims(body, ask, err)
						   : 0;
}

/* --- scopes, within a session's */

#define ALL_SCOPES "https://www.googleapis.com/auth/cloud-platform"

/* Of ours those that are asked for. A new list. */
static json_t *common(const json_t *ours, const json_t *asked) {
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(ours); i++)
		if (list_has(asked, json_string_value(json_array_get(ours, i))))
			json_array_append(list, json_array_get(ours, i));
	return list;
}

int ask_narrow(json_t *body, json_t *scopes, struct error *err) {
	const json_t *ours = json_object_get(body, "scopes");
	json_t *list;

	if (!scopes || (ours && list_has(scopes, ALL_SCOPES))) { /* as it is */
		json_decref(scopes);
		return 0;
	}
	if (!ours || list_has(ours, ALL_SCOPES) || !json_is_array(scopes))
		return json_object_set_new(body, "scopes", scopes) < 0 ? error_no_memory(err) : 0;
	list = common(ours, scopes);
	json_decref(scopes);
	if (json_array_size(list))
		return json_object_set_new(body, "scopes", list) < 0 ? error_no_memory(err) : 0;
	json_decref(list);
	return error_set(err, ERR_INVALID, "none of these scopes is among those that the session was opened with (--scopes)");
}
