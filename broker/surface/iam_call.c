/* See iam_call.h. The tables `methods` and `members` are the API. */

#include <strings.h>
#include "broker/surface/ask.h"
#include "broker/surface/iam_call.h"
#include "hallpass/cleanup.h"

#define RESOURCE "projects/-/serviceAccounts/"

static const struct {
	const char *name;
	enum policy_permission permission;
} methods[] = {
	{ "generateAccessToken", PERMISSION_GET_ACCESS_TOKEN },
	{ "generateIdToken", PERMISSION_GET_OPEN_ID_TOKEN },
	{ "signBlob", PERMISSION_SIGN_BLOB },
	{ "signJwt", PERMISSION_SIGN_JWT },
};

/* --- the body */

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

/* The ask would say the same of its scopes, which is not what the member is called here. */
static int put_scope(json_t *ask, const json_t *value, struct error *err) {
	if (!json_is_array(value) || json_array_size(value) > POLICY_MAX_SCOPES)
		return error_set(err, ERR_INVALID, "scope must be a list of at most %d strings", POLICY_MAX_SCOPES);
	return ask_narrow(ask, json_incref((json_t *)value), err);
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
	{ "useEmailAzp", "use_email_azp", OPENID, "useEmailAzp", NULL }, /* Python and Node send it, Google's reference is silent */
	{ "organizationNumberIncluded", "organization_number_included", OPENID, NULL, put_organization_number },
	{ "payload", "payload", SIGN, "payload", NULL },
};

static const struct member *find_member(enum policy_permission permission, const char *name) {
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if ((members[i].permissions & 1u << permission) &&
		    (!strcmp(name, members[i].name) || !strcmp(name, members[i].in_proto)))
			return &members[i];
	return NULL;
}

static int put(const struct member *member, json_t *ask, json_t *value, struct error *err) {
	err->code = ERR_NONE;
	return member->put ? member->put(ask, value, err) : json_object_set(ask, member->in_ask, value);
}

static bool names_scopes(const json_t *value) {
	return value && !json_is_null(value) && (!json_is_array(value) || json_array_size(value));
}

static int translate(const struct iam_call *call, const json_t *body, json_t *ask, struct error *err) {
	const struct member *member;
	unsigned seen = 0;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)body, name, value) {
		member = find_member(call->permission, name);
		if (!member)
			return error_set(err, ERR_INVALID,
					 "Invalid JSON payload received. Unknown name \"%.60s\": Cannot find field. (%s has no such member.)",
					 name, call->method);
		if (seen & 1u << (member - members))
			return error_set(err, ERR_INVALID, "%s stands twice, in both of its spellings", member->name);
		seen |= 1u << (member - members);
		/* null is as good as not there */
		if (!json_is_null(value) && put(member, ask, value, err) < 0)
			return err->code ? -1 : error_set(err, ERR_INTERNAL, "out of memory");
	}
	if (call->permission == PERMISSION_GET_ACCESS_TOKEN && !names_scopes(json_object_get(body, "scope")))
		return error_set(err, ERR_INVALID, "scope is missing: a list of one or more, like "
						   "[\"https://www.googleapis.com/auth/cloud-platform\"]");
	return 0;
}

/* --- the query, and the name */

/* Parameters that each of Google's APIs takes, some with a $. Another name would be a member in the wrong place, and would be lost. */
static bool is_common_parameter(struct str name) {
	static const char *const names[] = { "alt", "prettyPrint", "fields",	  "key",	     "quotaUser", "userProject",
					     ".xgafv", "userIp",      "uploadType", "upload_protocol", "callback" };
	size_t dollar = name.p[0] == '$' ? 1 : name.n > 3 && !memcmp(name.p, "%24", 3) ? 3 : 0;

	name = (struct str){ name.p + dollar, name.n - dollar };
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

static int check_name(const struct iam_call *call, struct error *err) {
	const char *account = call->account, *project = call->path.segments[2];
	size_t n = strlen(account);

	if (strcmp(project, "-"))
		return error_set(err, ERR_INVALID,
				 "the name must be " RESOURCE "EMAIL: for the project Google takes a - alone, not \"%.60s\"", project);
	if (n && strspn(account, "0123456789") == n)
		return error_set(err, ERR_INVALID,
				 "\"%.30s\" is a service account's unique id, and which account that is cannot be told here: name it by its "
				 "e-mail, " RESOURCE "EMAIL",
				 account);
	return 0;
}

/* --- entry points */

/* The last segment, EMAIL:METHOD, is taken apart at its last colon. */
bool iam_call_find(struct str path, struct iam_call *call) {
	const struct uri_path *p = &call->path;
	char *segment, *colon;

	if (!uri_path(path, &call->path) || p->n != 5 || p->slash || strcmp(p->segments[0], "v1") || strcmp(p->segments[1], "projects") ||
	    strcmp(p->segments[3], "serviceAccounts"))
		return false;
	segment = call->path.text + (p->segments[4] - p->text);
	colon = strrchr(segment, ':');
	for (size_t i = 0; colon && i < ARRAY_SIZE(methods); i++)
		if (!strcmp(colon + 1, methods[i].name)) {
			*colon = '\0';
			call->account = segment;
			call->method = methods[i].name;
			call->permission = methods[i].permission;
			return true;
		}
	return false;
}

int iam_call_read(struct iam_call *call, struct str query, struct str body, json_t *ask, struct error *err) {
	json_t *json;
	int r;

	if (read_query(query, &call->compact, err) < 0 || check_name(call, err) < 0 || ask_body(body, &json, err) < 0)
		return -1;
	r = translate(call, json, ask, err);
	json_decref(json);
	return r;
}
