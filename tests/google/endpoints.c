/* What Google answers, and how it refuses. See google.h. */

#include <ctype.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tests/google/google.h"

#define CLOUD_PLATFORM "https://www.googleapis.com/auth/cloud-platform"
#define DEVELOPER "developer@example.com"
#define DEVELOPERS_OWN "1//developers-own-refresh-token"

void answer_json(struct answer *a, int status, json_t *json) {
	a->status = status;
	a->type = "application/json; charset=UTF-8";
	a->body = json_dumps(json, JSON_INDENT(2));
	json_decref(json);
}

void answer_error(struct answer *a, int status, const char *name, const char *reason, const char *message) {
	json_t *error = json_pack("{s:i, s:s, s:s}", "code", status, "message", message, "status", name);

	if (reason)
		json_object_set_new(error, "details",
				    json_pack("[{s:s, s:s, s:s}]", "@type", "type.googleapis.com/google.rpc.ErrorInfo",
					      "reason", reason, "domain", "iam.googleapis.com"));
	answer_json(a, status, json_pack("{s:o}", "error", error));
}

void answer_text(struct answer *a, const char *text) {
	a->status = 200;
	a->type = "application/text";
	a->body = strdup(text);
}

void answer_header(struct answer *a, const char *name, const char *value) {
	evhttp_add_header(&a->headers, name, value);
}

void answer_unauthenticated(struct answer *a) {
	answer_error(a, 401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED",
		     "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
		     "other valid authentication credential.");
}

const char *query_value(const struct question *q, const char *name) {
	const char *value = q->query ? evhttp_find_header(q->query, name) : NULL;

	return value ? value : "";
}

static void answer_oauth(struct answer *a, int status, const char *error, const char *description, const char *subtype) {
	json_t *json = json_pack("{s:s, s:s}", "error", error, "error_description", description);

	if (subtype)
		json_object_set_new(json, "error_subtype", json_string(subtype));
	answer_json(a, status, json);
}

void answer_reauth(struct answer *a, const char *subtype) {
	char text[80];

	snprintf(text, sizeof(text), "reauth related error (%s)", subtype);
	answer_oauth(a, 400, "invalid_grant", text, subtype);
}

static void answer_invalid(struct answer *a, const char *what) {
	answer_error(a, 400, "INVALID_ARGUMENT", NULL, what ? what : "Request contains an invalid argument.");
}

/* --- oauth2.googleapis.com/token */

static const char *form(struct evkeyvalq *fields, const char *name) {
	const char *value = evhttp_find_header(fields, name);

	return value ? value : "";
}

static bool may_call_iam(const char *scope) {
	return strstr(scope, CLOUD_PLATFORM) || strstr(scope, "https://www.googleapis.com/auth/iam");
}

static void answer_token(struct answer *a, const struct minted *m, int64_t lifetime_s) {
	answer_json(a, 200, json_pack("{s:s, s:I, s:s}", "access_token", m->token, "expires_in", (json_int_t)lifetime_s,
				      "token_type", "Bearer"));
}

/* The assertion's signature is really verified, and its claims are held to Google's rules. */
static const char *assertion_fault(const struct question *q, const json_t *claims) {
	const json_t *iat = json_object_get(claims, "iat"), *exp = json_object_get(claims, "exp");
	const char *aud = json_string_value(json_object_get(claims, "aud"));
	const char *scope = json_string_value(json_object_get(claims, "scope"));
	int64_t now = world_now(q->world);
	char want[200];

	snprintf(want, sizeof(want), "%s/token", q->world->url);
	if (!aud || (strcmp(aud, want) && strcmp(aud, "https://oauth2.googleapis.com/token")))
		return "Invalid JWT: Failed audience check.";
	if (!json_is_integer(iat) || !json_is_integer(exp) || json_integer_value(exp) - json_integer_value(iat) > 3600 ||
	    json_integer_value(iat) > now + 300 || json_integer_value(exp) < now)
		return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check "
		       "your iat and exp values in the JWT claim.";
	return scope && strstr(scope, "https://www.googleapis.com/auth/") ? NULL : "Invalid OAuth scope or ID token audience provided.";
}

static void token_jwt_bearer(const struct question *q, struct evkeyvalq *fields, struct answer *a) {
	const char *assertion = form(fields, "assertion"), *fault;
	json_t *unverified = jwt_claims(assertion), *claims = NULL;
	const char *iss = json_string_value(json_object_get(unverified, "iss"));
	struct caller *caller = iss ? world_caller(q->world, iss) : NULL;
	const char *scope;

	if (!caller || !caller->key) {
		answer_oauth(a, 400, "invalid_grant", "Invalid grant: account not found", NULL);
	} else if (!(claims = jwt_verify(caller->key, caller->key_id, assertion))) {
		answer_oauth(a, 400, "invalid_grant", "Invalid JWT Signature.", NULL);
	} else if ((fault = assertion_fault(q, claims))) {
		answer_oauth(a, 400, strstr(fault, "scope") ? "invalid_scope" : "invalid_grant", fault, NULL);
	} else {
		scope = json_string_value(json_object_get(claims, "scope"));
		answer_token(a, world_mint(q->world, caller->name, 3600, may_call_iam(scope)), 3599);
	}
	json_decref(claims);
	json_decref(unverified);
}

static void token_refresh(const struct question *q, struct evkeyvalq *fields, struct answer *a) {
	const char *token = form(fields, "refresh_token");

	/* The developer's own login: as good at Google's as any, so that who spends it goes on, and is caught. */
	if (q->internet && !strcmp(token, DEVELOPERS_OWN)) {
		answer_token(a, world_mint(q->world, DEVELOPER, 3600, true), 3599);
		return;
	}
	if (strcmp(form(fields, "client_id"), "standin-client") || strcmp(form(fields, "client_secret"), "standin-secret")) {
		answer_oauth(a, 401, "invalid_client", "The OAuth client was not found.", NULL);
		return;
	}
	if (!strcmp(token, "rapt")) {
		answer_reauth(a, "invalid_rapt");
		return;
	}
	for (size_t i = 0; i < q->world->n_callers; i++) {
		if (*token && !strcmp(q->world->callers[i].refresh_token, token)) {
			answer_token(a, world_mint(q->world, q->world->callers[i].name, 3600, true), 3599);
			return;
		}
	}
	answer_oauth(a, 400, "invalid_grant", "Bad Request", NULL);
}

/* What `gcloud auth application-default login` does with the code that its user pastes. */
static void token_code(const struct question *q, struct evkeyvalq *fields, struct answer *a) {
	const struct caller *user = &q->world->callers[1];

	if (strcmp(form(fields, "client_id"), "standin-client") || strcmp(form(fields, "client_secret"), "standin-secret"))
		answer_oauth(a, 401, "invalid_client", "The OAuth client was not found.", NULL);
	else if (strcmp(form(fields, "code"), "standin-code"))
		answer_oauth(a, 400, "invalid_grant", "Malformed auth code.", NULL);
	else
		answer_json(a, 200, json_pack("{s:s, s:i, s:s, s:s, s:s}", "access_token",
					      world_mint(q->world, user->name, 3600, true)->token, "expires_in", 3599, "token_type",
					      "Bearer", "scope", "openid https://www.googleapis.com/auth/userinfo.email " CLOUD_PLATFORM
					      " https://www.googleapis.com/auth/sqlservice.login",
					      "refresh_token", user->refresh_token));
}

static void on_token(const struct question *q, struct answer *a) {
	struct evkeyvalq fields = { 0 };

	evhttp_parse_query_str(q->body, &fields);
	if (!strcmp(form(&fields, "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer"))
		token_jwt_bearer(q, &fields, a);
	else if (!strcmp(form(&fields, "grant_type"), "refresh_token"))
		token_refresh(q, &fields, a);
	else if (!strcmp(form(&fields, "grant_type"), "authorization_code"))
		token_code(q, &fields, a);
	else
		answer_oauth(a, 400, "unsupported_grant_type", "Invalid grant_type", NULL);
	evhttp_clear_headers(&fields);
}

/* --- sts.googleapis.com/v1/token (RFC 8693) */

static void on_sts(const struct question *q, struct answer *a) {
	static const char *const required[][2] = {
		{ "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange" },
		{ "requested_token_type", "urn:ietf:params:oauth:token-type:access_token" },
		{ "audience", NULL }, { "subject_token_type", NULL }, { "subject_token", NULL }, { "scope", NULL },
	};
	struct evkeyvalq fields = { 0 };
	const char *token;
	char text[200];
	bool cloud;
	size_t i;

	evhttp_parse_query_str(q->body, &fields);
	for (i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		const char *value = form(&fields, required[i][0]);

		if (!*value || (required[i][1] && strcmp(value, required[i][1]))) {
			snprintf(text, sizeof(text), "Invalid value for \"%s\".", required[i][0]);
			answer_oauth(a, 400, "invalid_request", text, NULL);
			evhttp_clear_headers(&fields);
			return;
		}
	}
	if (strncmp(form(&fields, "audience"), "//iam.googleapis.com/", 21)) {
		answer_oauth(a, 400, "invalid_target", "The target service indicated by the \"audience\" parameters is invalid.",
			     NULL);
		evhttp_clear_headers(&fields);
		return;
	}
	cloud = may_call_iam(form(&fields, "scope"));
	token = form(&fields, "subject_token");
	for (i = 0; i < q->world->n_callers; i++)
		if (*q->world->callers[i].subject_token && !strcmp(q->world->callers[i].subject_token, token))
			break;
	if (i == q->world->n_callers)
		answer_oauth(a, 400, "invalid_grant", "The given credential is rejected by the attribute condition.", NULL);
	else
		answer_json(a, 200, json_pack("{s:s, s:s, s:s, s:i}", "access_token",
					      world_mint(q->world, q->world->callers[i].name, 3600, cloud)->token,
					      "issued_token_type", "urn:ietf:params:oauth:token-type:access_token",
					      "token_type", "Bearer", "expires_in", 3599));
	evhttp_clear_headers(&fields);
}

static void on_tokeninfo(const struct question *q, struct answer *a) {
	const char *token = q->query ? evhttp_find_header(q->query, "access_token") : NULL;
	const struct minted *m;
	struct evkeyvalq fields = { 0 };
	char in[32], at[32];

	evhttp_parse_query_str(q->body, &fields);
	m = world_find(q->world, token ? token : form(&fields, "access_token"));
	evhttp_clear_headers(&fields);

	if (!m) {
		answer_oauth(a, 400, "invalid_token", "Invalid Value", NULL);
		return;
	}
	/* Numbers are strings there. */
	snprintf(in, sizeof(in), "%lld", (long long)(m->expires_at - world_now(q->world)));
	snprintf(at, sizeof(at), "%lld", (long long)m->expires_at);
	answer_json(a, 200, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "azp", "standin-client", "aud", "standin-client",
				      "scope", m->cloud ? CLOUD_PLATFORM : "https://www.googleapis.com/auth/other", "exp", at,
				      "expires_in", in, "email", m->holder, "email_verified", "true"));
}

/* --- IAM Credentials */

static bool only_members(const json_t *body, const char *const *names) {
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)body, key, value) {
		const char *const *n = names;

		while (*n && strcmp(*n, key))
			n++;
		if (!*n)
			return false;
	}
	return true;
}

#define RESOURCE "projects/-/serviceAccounts/"

static bool delegates_form_ok(const json_t *delegates) {
	if (delegates && !json_is_null(delegates) && !json_is_array(delegates))
		return false;
	for (size_t i = 0; i < json_array_size(delegates); i++) {
		const char *name = json_string_value(json_array_get(delegates, i));

		if (!name || strncmp(name, RESOURCE, strlen(RESOURCE)) || !name[strlen(RESOURCE)] ||
		    strchr(name + strlen(RESOURCE), '/'))
			return false;
	}
	return true;
}

/* The chain: the caller delegates to the first, each to the next; the last one's grant on the target counts. NULL: broken. */
static const struct grant *chain_grant(const struct question *q, const char *actor, const json_t *delegates) {
	for (size_t i = 0; i < json_array_size(delegates); i++) {
		const char *next = json_string_value(json_array_get(delegates, i)) + strlen(RESOURCE);
		const struct grant *g = world_grant(q->world, actor, next);

		if (!g || !g->delegation)
			return NULL;
		actor = next;
	}
	return world_grant(q->world, actor, q->account);
}

/* protobuf's Duration in JSON: "900s", with up to nine decimals. -1: not of the form. */
static int64_t parse_lifetime(const json_t *json) {
	const char *s = json_string_value(json);
	size_t decimals;
	int64_t v = 0;

	if (!s || !isdigit((unsigned char)*s))
		return -1;
	for (; isdigit((unsigned char)*s) && v < 100000000; s++)
		v = v * 10 + (*s - '0');
	if (*s == '.') {
		decimals = strspn(++s, "0123456789");
		if (decimals < 1 || decimals > 9)
			return -1;
		v += strspn(s, "0") < decimals; /* a part of a second is as long as a whole one */
		s += decimals;
	}
	return strcmp(s, "s") ? -1 : v;
}

static bool scopes_ok(const json_t *scopes) {
	if (!json_is_array(scopes) || json_array_size(scopes) == 0)
		return false;
	for (size_t i = 0; i < json_array_size(scopes); i++) {
		const char *s = json_string_value(json_array_get(scopes, i));

		if (!s || (strncmp(s, "https://", 8) && strcmp(s, "openid") && strcmp(s, "email") && strcmp(s, "profile")))
			return false;
	}
	return true;
}

static void format_time(int64_t t, char *out, size_t size) {
	time_t tt = (time_t)t;
	struct tm tm;

	strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&tt, &tm));
}

static void generate_access_token(const struct question *q, const struct grant *g, const json_t *body, struct answer *a) {
	static const char *const members[] = { "delegates", "scope", "lifetime", NULL };
	const json_t *lifetime = json_object_get(body, "lifetime");
	int64_t seconds = !lifetime || json_is_null(lifetime) ? 3600 : parse_lifetime(lifetime);
	char expires[40];
	const struct minted *m;
	bool cloud = false;

	for (size_t i = 0; i < json_array_size(json_object_get(body, "scope")); i++) {
		const char *scope = json_string_value(json_array_get(json_object_get(body, "scope"), i));

		cloud |= scope && may_call_iam(scope);
	}
	if (!only_members(body, members) || !scopes_ok(json_object_get(body, "scope")) || seconds < 0) {
		answer_invalid(a, NULL);
	} else if (seconds == 0) {
		answer_invalid(a, "Lifetime of access token must be larger then zero.");
	} else if (seconds > (g->extended ? 43200 : 3600)) {
		answer_invalid(a, "Access tokens can not have lifetimes of more than 1 hour. Use the Org Policy Constraint "
				  "constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours.");
	} else {
		m = world_mint(q->world, q->account, seconds, cloud);
		format_time(m->expires_at, expires, sizeof(expires));
		answer_json(a, 200, json_pack("{s:s, s:s}", "accessToken", m->token, "expireTime", expires));
	}
}

static void generate_id_token(const struct question *q, const struct grant *g, const json_t *body, struct answer *a) {
	static const char *const members[] = { "delegates", "audience", "includeEmail", "useEmailAzp", NULL };
	const char *audience = json_string_value(json_object_get(body, "audience"));
	const json_t *include = json_object_get(body, "includeEmail");
	json_t *claims;
	char *token;

	(void)g;
	if (!only_members(body, members) || !audience || !*audience ||
	    (include && !json_is_boolean(include) && !json_is_null(include))) {
		answer_invalid(a, NULL);
		return;
	}
	claims = json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", "https://accounts.google.com", "aud", audience, "sub",
			   "100000000000000000002", "iat", (json_int_t)world_now(q->world), "exp",
			   (json_int_t)world_now(q->world) + 3600);
	json_object_set_new(claims, "azp",
			    json_string(json_is_true(json_object_get(body, "useEmailAzp")) ? q->account : "100000000000000000002"));
	if (json_is_true(include)) {
		json_object_set_new(claims, "email", json_string(q->account));
		json_object_set_new(claims, "email_verified", json_true());
	}
	token = jwt_sign(world_signer(q->world), "standin-signer", claims);
	answer_json(a, 200, json_pack("{s:s}", "token", token));
	free(token);
	json_decref(claims);
}

static void sign_blob(const struct question *q, const struct grant *g, const json_t *body, struct answer *a) {
	static const char *const members[] = { "delegates", "payload", NULL };
	const char *payload = json_string_value(json_object_get(body, "payload"));
	unsigned char *data = NULL;
	size_t n = 0;
	char *sig;

	(void)g;
	if (!only_members(body, members) || !payload || base64_decode(payload, false, &data, &n) < 0) {
		answer_invalid(a, NULL);
		return;
	}
	sig = rs256(world_signer(q->world), data, n, false);
	answer_json(a, 200, json_pack("{s:s, s:s}", "keyId", "standin-signer", "signedBlob", sig));
	free(sig);
	free(data);
}

static void sign_jwt(const struct question *q, const struct grant *g, const json_t *body, struct answer *a) {
	static const char *const members[] = { "delegates", "payload", NULL };
	const char *payload = json_string_value(json_object_get(body, "payload"));
	json_t *claims = payload ? json_loads(payload, JSON_REJECT_DUPLICATES, NULL) : NULL, *exp;
	char *token;

	(void)g;
	exp = json_object_get(claims, "exp");
	if (!only_members(body, members) || !json_is_object(claims) ||
	    (exp && (!json_is_integer(exp) || json_integer_value(exp) > world_now(q->world) + 43200))) {
		answer_invalid(a, NULL);
		json_decref(claims);
		return;
	}
	token = jwt_sign(world_signer(q->world), "standin-signer", claims);
	answer_json(a, 200, json_pack("{s:s, s:s}", "keyId", "standin-signer", "signedJwt", token));
	free(token);
	json_decref(claims);
}

static const struct {
	const char *verb, *permission;
	size_t granted; /* offset of the flag */
	void (*answer)(const struct question *q, const struct grant *g, const json_t *body, struct answer *a);
} verbs[] = {
	{ "generateAccessToken", "iam.serviceAccounts.getAccessToken", offsetof(struct grant, access_token),
	  generate_access_token },
	{ "generateIdToken", "iam.serviceAccounts.getOpenIdToken", offsetof(struct grant, id_token), generate_id_token },
	{ "signBlob", "iam.serviceAccounts.signBlob", offsetof(struct grant, sign), sign_blob },
	{ "signJwt", "iam.serviceAccounts.signJwt", offsetof(struct grant, sign), sign_jwt },
};

/* IAM's, for `gcloud iam service-accounts keys create`: always the one key, of the one account that has one. */
static void create_key(const struct question *q, struct answer *a) {
	const struct caller *caller = world_caller(q->world, q->account);
	json_t *file = caller && caller->key ? world_key_file(q->world, caller) : NULL;
	char *text = file ? json_dumps(file, JSON_INDENT(2)) : NULL, *data = text ? base64_encode(text, strlen(text), false) : NULL;

	if (data)
		answer_json(a, 200, json_pack("{s:s, s:s, s:s, s:s}", "name", "projects/acme-ml/serviceAccounts/standin/keys/standin",
					      "privateKeyType", "TYPE_GOOGLE_CREDENTIALS_FILE", "privateKeyData", data, "keyAlgorithm",
					      "KEY_ALG_RSA_2048"));
	else
		answer_error(a, 404, "NOT_FOUND", NULL, "Unknown service account");
	free(data);
	free(text);
	json_decref(file);
}

static bool account_is_known(const struct question *q) {
	for (size_t i = 0; i < q->world->n_grants; i++)
		if (!strcmp(q->world->grants[i].target, q->account))
			return true;
	return world_caller(q->world, q->account) != NULL;
}

/* Those of the asked ones that the bearer has there; none is no error. */
static void test_permissions(const struct grant *g, const json_t *body, struct answer *a) {
	static const char *const members[] = { "permissions", NULL };
	const json_t *asked = json_object_get(body, "permissions");
	json_t *granted = json_array(), *answer = json_object();

	if (!json_is_object(body) || !only_members(body, members) || !json_array_size(asked)) {
		answer_invalid(a, NULL);
		json_decref(granted);
		json_decref(answer);
		return;
	}
	for (size_t i = 0; i < json_array_size(asked); i++) {
		const char *name = json_string_value(json_array_get(asked, i));

		for (size_t k = 0; g && name && k < sizeof(verbs) / sizeof(verbs[0]); k++)
			if (!strcmp(verbs[k].permission, name) && *((const char *)g + verbs[k].granted))
				json_array_append_new(granted, json_string(name));
	}
	if (json_array_size(granted))
		json_object_set(answer, "permissions", granted);
	json_decref(granted);
	answer_json(a, 200, answer);
}

static json_t *member_of(const char *caller) {
	char text[400];

	snprintf(text, sizeof(text), "%s%s",
		 strstr(caller, ".gserviceaccount.com") ? "serviceAccount:"
		 : strchr(caller, '@')			? "user:"
							: "principal://iam.googleapis.com/locations/global/workloadIdentityPools/p/subject/",
		 caller);
	return json_string(text);
}

/* Its body must be empty: the options stand in the query. */
static void get_policy(const struct question *q, const struct grant *g, struct answer *a) {
	const char *version = q->query ? evhttp_find_header(q->query, "options.requestedPolicyVersion") : NULL;
	json_t *members;

	if (*q->body || (version && strcmp(version, "1") && strcmp(version, "3"))) {
		answer_invalid(a, NULL);
		return;
	}
	if (!g || !g->see_policy) {
		answer_error(a, 403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED",
			     "Permission 'iam.serviceAccounts.getIamPolicy' denied on resource (or it may not exist).");
		return;
	}
	members = json_array();
	for (size_t i = 0; i < q->world->n_grants; i++)
		if (!strcmp(q->world->grants[i].target, q->account) && q->world->grants[i].access_token)
			json_array_append_new(members, member_of(q->world->grants[i].caller));
	answer_json(a, 200, json_pack("{s:i, s:s, s:[{s:s, s:o}]}", "version", 1, "etag", "BwXstandin==", "bindings", "role",
				      "roles/iam.serviceAccountTokenCreator", "members", members));
}

/* IAM's own API. False: it is none of its verbs. */
static bool iam_admin(const struct question *q, const struct minted *bearer, const json_t *body, struct answer *a) {
	const struct grant *g = world_grant(q->world, bearer->holder, q->account);

	if (strcmp(q->verb, "testIamPermissions") && strcmp(q->verb, "getIamPolicy"))
		return false;
	if (!bearer->cloud)
		answer_error(a, 403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "Request had insufficient authentication scopes.");
	else if (!account_is_known(q))
		answer_error(a, 404, "NOT_FOUND", NULL, "Unknown service account");
	else if (!strcmp(q->verb, "getIamPolicy"))
		get_policy(q, g, a);
	else
		test_permissions(g, body, a);
	return true;
}

/* Who pays: nobody in particular, or a project that callers may charge. */
static bool may_charge(const struct question *q, struct answer *a) {
	const char *project = evhttp_find_header(q->headers, "X-Goog-User-Project");
	char text[300];

	if (!project || !strcmp(project, "acme-ml"))
		return true;
	snprintf(text, sizeof(text),
		 "Caller does not have required permission to use project %.64s. Grant the caller the "
		 "roles/serviceusage.serviceUsageConsumer role.",
		 project);
	answer_error(a, 403, "PERMISSION_DENIED", "USER_PROJECT_DENIED", text);
	return false;
}

static void on_iam(const struct question *q, struct answer *a) {
	const struct minted *bearer = world_find(q->world, q->bearer);
	json_t *body = json_loads(q->body, JSON_REJECT_DUPLICATES, NULL), *delegates = json_object_get(body, "delegates");
	const struct grant *g = NULL;
	bool form_ok = delegates_form_ok(delegates);
	char text[300];
	size_t i = 0;

	while (i < sizeof(verbs) / sizeof(verbs[0]) && strcmp(verbs[i].verb, q->verb))
		i++;
	if (bearer && form_ok)
		g = chain_grant(q, bearer->holder, delegates);
	if (bearer && (!may_charge(q, a) || iam_admin(q, bearer, body, a))) {
		json_decref(body);
		return;
	}
	if (i == sizeof(verbs) / sizeof(verbs[0]) && strcmp(q->verb, "keys") && strcmp(q->verb, "testIamPermissions") &&
	    strcmp(q->verb, "getIamPolicy")) {
		answer_error(a, 404, "NOT_FOUND", NULL, "Method not found.");
	} else if (!bearer) {
		answer_unauthenticated(a);
	} else if (!strcmp(q->verb, "keys")) {
		create_key(q, a);
	} else if (!bearer->cloud) {
		answer_error(a, 403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
			     "Request had insufficient authentication scopes.");
	} else if (!json_is_object(body) || !form_ok) {
		answer_invalid(a, NULL);
	} else if (!g || !*((const char *)g + verbs[i].granted)) {
		snprintf(text, sizeof(text), "Permission '%s' denied on resource (or it may not exist).", verbs[i].permission);
		answer_error(a, 403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED", text);
	} else {
		verbs[i].answer(q, g, body, a);
	}
	json_decref(body);
}

/* --- GCE metadata */

static void on_metadata(const struct question *q, struct answer *a) {
	static const char base[] = "/computeMetadata/v1/";
	static const char accounts[] = "instance/service-accounts/";
	const char *email = q->world->callers[0].name, *path = q->path + strlen(base), *leaf = NULL;
	const char *audience = q->query ? evhttp_find_header(q->query, "audience") : NULL;
	char text[600];
	json_t *claims;

	if (!q->metadata_flavor || q->forwarded) {
		answer_error(a, 403, "PERMISSION_DENIED", NULL, q->forwarded ? "X-Forwarded-For is not allowed."
									      : "Missing Metadata-Flavor:Google header.");
		return;
	}
	/* One account, by its name or as the default one. */
	if (!strncmp(path, accounts, strlen(accounts))) {
		const char *account = path + strlen(accounts), *slash = strchr(account, '/');
		size_t n = slash ? (size_t)(slash - account) : 0;

		if (slash && ((n == 7 && !strncmp(account, "default", 7)) || (n == strlen(email) && !strncmp(account, email, n))))
			leaf = slash + 1;
	}
	if (!strcmp(path, accounts)) {
		snprintf(text, sizeof(text), "default/\n%s/\n", email);
		answer_text(a, text);
	} else if (!strcmp(path, "project/project-id")) {
		answer_text(a, "acme-ml");
	} else if (!strcmp(path, "project/numeric-project-id")) {
		answer_text(a, "123456789012");
	} else if (!strcmp(path, "universe/universe-domain")) {
		answer_text(a, "googleapis.com");
	} else if (!leaf) {
		answer_error(a, 404, "NOT_FOUND", NULL, "No such metadata.");
	} else if (!strcmp(leaf, "email")) {
		answer_text(a, email);
	} else if (!strcmp(leaf, "scopes")) {
		answer_text(a, CLOUD_PLATFORM "\n");
	} else if (!strcmp(leaf, "token")) {
		answer_token(a, world_mint(q->world, email, 3600, true), 3599);
	} else if (!strcmp(leaf, "identity") && !audience) {
		answer_error(a, 400, "INVALID_ARGUMENT", NULL, "non-empty audience parameter required");
	} else if (!strcmp(leaf, "identity")) {
		claims = json_pack("{s:s, s:s, s:I, s:I}", "aud", audience, "email", email, "iat",
				   (json_int_t)world_now(q->world), "exp", (json_int_t)world_now(q->world) + 3600);
		a->status = 200;
		a->type = "text/html";
		a->body = jwt_sign(world_signer(q->world), "standin-signer", claims);
		json_decref(claims);
	} else if (!*leaf) {
		answer_json(a, 200, json_pack("{s:[s], s:s, s:[s]}", "aliases", "default", "email", email, "scopes",
					      CLOUD_PLATFORM));
	} else {
		answer_error(a, 404, "NOT_FOUND", NULL, "No such metadata.");
	}
}

/* --- the test's own questions */

static void on_counters(const struct question *q, struct answer *a) {
	answer_json(a, 200, json_pack("{s:O, s:O, s:i, s:i}", "calls", q->world->counters, "last", q->world->last,
				      "inFlight", (int)q->world->in_flight, "maxInFlight", (int)q->world->max_in_flight));
}

static void on_minted(const struct question *q, struct answer *a) {
	json_t *list = json_array();
	size_t n = q->world->n_minted < MAX_MINTED ? q->world->n_minted : MAX_MINTED;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "sha256", q->world->minted[i].sha256, "holder",
						      q->world->minted[i].holder, "expiresAt",
						      (json_int_t)q->world->minted[i].expires_at));
	answer_json(a, 200, list);
}

static void on_script(const struct question *q, struct answer *a) {
	json_t *json = json_loads(q->body, 0, NULL);
	const char *fault = json ? script_add(q->world, json) : "no JSON";

	json_decref(json);
	if (fault)
		answer_invalid(a, fault);
	else
		answer_text(a, "ok\n");
}

static void on_clock(const struct question *q, struct answer *a) {
	json_t *json = json_loads(q->body, 0, NULL), *now = json_object_get(json, "now");

	q->world->clock_offset = now ? json_integer_value(now) - (int64_t)time(NULL)
				     : json_integer_value(json_object_get(json, "offset_s"));
	json_decref(json);
	answer_text(a, "ok\n");
}

/* {"caller", "target", "may": ["accessToken", "idToken", "sign", "delegate", "extended", "policy"]}: all that the caller may do there. */
static void on_grant(const struct question *q, struct answer *a) {
	json_t *json = json_loads(q->body, 0, NULL), *may = json_object_get(json, "may");
	const char *caller = json_string_value(json_object_get(json, "caller"));
	const char *target = json_string_value(json_object_get(json, "target"));
	struct grant *g = caller && target && json_is_array(may) ? world_grant_set(q->world, caller, target) : NULL;
	const struct {
		const char *name;
		bool *flag;
	} flags[] = { { "accessToken", g ? &g->access_token : NULL }, { "idToken", g ? &g->id_token : NULL },
		      { "sign", g ? &g->sign : NULL }, { "delegate", g ? &g->delegation : NULL },
		      { "extended", g ? &g->extended : NULL },
		      { "policy", g ? &g->see_policy : NULL } };

	for (size_t i = 0; g && i < sizeof(flags) / sizeof(flags[0]); i++) {
		*flags[i].flag = false;
		for (size_t k = 0; k < json_array_size(may); k++) {
			const char *name = json_string_value(json_array_get(may, k));

			*flags[i].flag |= name && !strcmp(name, flags[i].name);
		}
	}
	json_decref(json);
	if (g)
		answer_text(a, "ok\n");
	else
		answer_invalid(a, "a grant is {caller, target, may: [...]}");
}

static void on_seen(const struct question *q, struct answer *a) {
	answer_json(a, 200, json_incref(q->world->seen));
}

static void on_root(const struct question *q, struct answer *a) {
	(void)q;
	answer_text(a, "computeMetadata/\n");
}

static void on_reset(const struct question *q, struct answer *a) {
	script_clear(q->world);
	q->world->clock_offset = 0;
	q->world->max_in_flight = q->world->in_flight;
	json_object_clear(q->world->counters);
	json_object_clear(q->world->last);
	json_array_clear(q->world->seen);
	storage_reset(q->world);
	world_grants_reset(q->world);
	answer_text(a, "ok\n");
}

#define LOGIN "it logs in with Google directly"
#define PAST "it asks Google itself for another account's token"
#define MACHINES "it asks the machine's own metadata server"

const struct endpoint endpoints[] = {
	{ "token", "/token", "POST", on_token, LOGIN },
	{ "sts", "/sts/v1/token", "POST", on_sts, NULL },
	{ "googles-sts", "/v1/token", NULL, on_unknown, LOGIN },
	{ "googles-introspection", "/v1/introspect", NULL, on_unknown, LOGIN },
	{ "tokeninfo", "/tokeninfo", NULL, on_tokeninfo, NULL },
	{ "locations", "/v1/" RESOURCE, "GET", on_locations, NULL },
	{ "iam", "/v1/" RESOURCE, "POST", on_iam, PAST }, /* named by its verb */
	{ "root", "/", "GET", on_root, MACHINES },	  /* the metadata server's */
	{ "metadata", "/computeMetadata/v1/", "GET", on_metadata, MACHINES },
	{ "storage", "/storage/v1/b", NULL, on_storage, NULL },
	{ "storage", "/storage/v1/b/", NULL, on_storage, NULL },
	{ "storage", "/download/storage/v1/b/", NULL, on_storage, NULL },
	{ "storage", "/upload/storage/v1/b/", NULL, on_storage_upload, NULL },
	{ "storage", "/of-", NULL, on_storage_xml, NULL },
	{ "bigquery", "/bigquery/v2/projects/", NULL, on_bigquery, NULL },
	{ "projects", "/v1/projects", NULL, on_projects, NULL },
	{ "projects", "/v1/projects/", NULL, on_projects, NULL },
	{ "userinfo", "/oauth2/v3/userinfo", NULL, on_userinfo, NULL },
	{ "service", "/service/", NULL, on_service, NULL },
	{ "kubernetes", "/kubernetes/", NULL, on_kubernetes, NULL },
	{ "registry", "/v2/", NULL, on_registry, NULL },
	{ "git", "/git/", NULL, on_git, NULL },
	{ "counters", "/standin/counters", NULL, on_counters, NULL },
	{ "minted", "/standin/tokens", NULL, on_minted, NULL },
	{ "seen", "/standin/seen", NULL, on_seen, NULL },
	{ "script", "/standin/script", "POST", on_script, NULL },
	{ "grant", "/standin/grant", "POST", on_grant, NULL },
	{ "clock", "/standin/clock", "POST", on_clock, NULL },
	{ "reset", "/standin/reset", "POST", on_reset, NULL },
	{ "unknown", NULL, NULL, on_unknown, NULL },
};

static bool path_fits(const struct endpoint *e, const char *path) {
	size_t n = strlen(e->path);
	bool prefix = n > 1 && (e->path[n - 1] == '/' || e->path[n - 1] == '-');

	return prefix ? !strncmp(path, e->path, n) : !strcmp(path, e->path);
}

/* EMAIL:verb, EMAIL/keys */
static bool split_account(const char *rest, char *account, size_t account_size, char *verb, size_t verb_size) {
	const char *colon = strpbrk(rest, ":/");

	if (!colon || (size_t)(colon - rest) >= account_size || strlen(colon + 1) >= verb_size)
		return false;
	snprintf(account, account_size, "%.*s", (int)(colon - rest), rest);
	snprintf(verb, verb_size, "%s", colon + 1);
	return true;
}

/* method NULL: whatever it is. */
static const struct endpoint *find(const char *path, const char *method) {
	const struct endpoint *e = endpoints;

	while (e->path && (!path_fits(e, path) || (method && e->method && strcmp(e->method, method) != 0)))
		e++;
	return e;
}

const struct endpoint *endpoint_find(const struct question *q, char *account, size_t account_size, char *verb, size_t verb_size) {
	const struct endpoint *e = find(q->path, q->method);

	if (!e->path)
		e = find(q->path, NULL);
	if (!strcmp(e->name, "iam") && !split_account(q->path + strlen(e->path), account, account_size, verb, verb_size))
		e = find("", NULL);
	return e;
}
