/* See ask.h. */

#include <string.h>
#include "broker/email.h"
#include "broker/surface/ask.h"
#include "hallpass/cleanup.h"

#define MAX_SCOPE 256
#define MAX_TEXT 1024

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

/* "900s" (Google's form) or 900. */
static int ask_lifetime(const json_t *value, struct ask *ask, struct error *err) {
	const char *s = json_string_value(value);
	int64_t v = json_is_integer(value) ? (int64_t)json_integer_value(value) : 0;

	if (s) {
		for (; *s >= '0' && *s <= '9' && v < 1000000; s++)
			v = v * 10 + (*s - '0');
		if (strcmp(s, "s"))
			v = 0;
	}
	if (v < 1 || v > POLICY_MAX_LIFETIME)
		return error_set(err, ERR_INVALID, "lifetime must be from \"1s\" to \"%ds\", in whole seconds",
				 POLICY_MAX_LIFETIME);
	ask->lifetime_s = v;
	return 0;
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

static int ask_justification(const json_t *value, struct ask *ask, struct error *err) {
	return ask_text(value, "justification", MAX_TEXT, &ask->justification, err);
}

#define ACCESS (1u << PERMISSION_GET_ACCESS_TOKEN)
#define OPENID (1u << PERMISSION_GET_OPEN_ID_TOKEN)
static const struct member {
	const char *name;
	unsigned permissions; /* with which it may stand */
	int (*parse)(const json_t *value, struct ask *ask, struct error *err);
} members[] = {
	{ "serviceAccount", ACCESS | OPENID, ask_target },
	{ "scopes", ACCESS, ask_scopes },
	{ "lifetime", ACCESS, ask_lifetime },
	{ "delegates", ACCESS | OPENID, ask_delegates },
	{ "audience", OPENID, ask_audience },
	{ "includeEmail", OPENID, ask_include_email },
	{ "justification", ACCESS | OPENID, ask_justification },
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

int ask_parse(const json_t *body, enum policy_permission permission, const char *const *extra, struct ask *ask,
	      struct error *err) {
	const char *name;
	json_t *value;
	size_t i;

	*ask = (struct ask){ .permission = permission };
	json_object_foreach((json_t *)body, name, value) {
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
	return 0;
}
