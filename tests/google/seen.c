/* Whose token an API heard. See google.h. */

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include "tests/google/google.h"

#define PROJECT "@acme-ml.iam.gserviceaccount.com"

const char *account_name(const char *account, char *out, size_t size) {
	snprintf(out, size, "%.*s", (int)strcspn(account, "@"), account);
	return out;
}

/* "/…/of-NAME/…": whose that is; "" where nothing says so. */
static const char *owner_of(const char *path, char *out, size_t size) {
	const char *at = strstr(path, "/of-");

	out[0] = '\0';
	if (at)
		snprintf(out, size, "%.*s" PROJECT, (int)strcspn(at + 4, "/"), at + 4);
	return out;
}

static void add(const struct question *q, const char *api, const char *account, const char *verdict, const char *token) {
	const char *agent = q->headers ? evhttp_find_header(q->headers, "User-Agent") : NULL;
	unsigned char md[32];
	char sha256[65] = "";

	if (token)
		SHA256((const unsigned char *)token, strlen(token), md);
	for (size_t i = 0; token && i < sizeof(md); i++)
		sprintf(sha256 + 2 * i, "%02x", md[i]);
	json_array_append_new(q->world->seen,
			      json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "api", api, "method", q->method, "path", q->path,
					"account", account, "verdict", verdict, "sha256", sha256, "agent", agent ? agent : ""));
}

void seen_slip(const struct question *q, const char *api, const char *slip) {
	add(q, api, "", slip, NULL);
}

const char *seen_bearer(const struct question *q, const char *api, struct answer *a) {
	const char *token = q->bearer ? q->bearer : q->password;
	const struct minted *ever = world_find_ever(q->world, token), *m = world_find(q->world, token);
	char owner[300], text[700];

	owner_of(q->path, owner, sizeof(owner));
	if (!m) {
		add(q, api, ever ? ever->holder : "", !token ? "no token" : ever ? "an expired token" : "a token of nobody's", token);
		answer_unauthenticated(a);
		return NULL;
	}
	if (*owner && strcmp(owner, m->holder)) {
		add(q, api, m->holder, "another account's token", token);
		snprintf(text, sizeof(text), "%s does not have access to what is %s's.", m->holder, owner);
		answer_error(a, 403, "PERMISSION_DENIED", NULL, text);
		return NULL;
	}
	add(q, api, m->holder, "ok", token);
	return m->holder;
}

/* What is wrong with it; NULL: nothing. */
static const char *id_token_fault(const struct question *q, const json_t *claims, const char *owner) {
	const char *aud = json_string_value(json_object_get(claims, "aud")), *email = json_string_value(json_object_get(claims, "email"));
	const char *host = evhttp_find_header(q->headers, "Host");

	if (!claims)
		return q->bearer ? "an ID token of nobody's" : "no token";
	if (json_integer_value(json_object_get(claims, "exp")) <= world_now(q->world))
		return "an expired ID token";
	if (!aud || !host || strncmp(aud, "https://", 8) || strcmp(aud + 8, host))
		return "an ID token for another audience";
	return email && !strcmp(email, owner) ? NULL : "another account's ID token";
}

const char *seen_id_token(const struct question *q, const char *api, struct answer *a) {
	static char owner[300];
	json_t *claims = q->bearer ? jwt_verify(world_signer(q->world), "standin-signer", q->bearer) : NULL;
	const char *fault = id_token_fault(q, claims, owner_of(q->path, owner, sizeof(owner)));

	add(q, api, fault ? "" : owner, fault ? fault : "ok", q->bearer);
	if (fault)
		answer_unauthenticated(a);
	json_decref(claims);
	return fault ? NULL : owner;
}

/* What nobody answers: a bearer that comes along is judged all the same. */
void on_unknown(const struct question *q, struct answer *a) {
	if (q->bearer && !seen_bearer(q, "unknown", a))
		return;
	answer_error(a, 404, "NOT_FOUND", NULL, "no such endpoint in the stand-in");
}
