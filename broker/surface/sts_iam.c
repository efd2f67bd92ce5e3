/* See sts_iam.h. */

#include <string.h>
#include "broker/secret.h"
#include "broker/surface/oauth.h"
#include "broker/surface/sts_iam.h"
#include "broker/surface/uri.h"
#include "hallpass/api.h"

#define SCOPE "https://www.googleapis.com/auth/iam"
#define LIFE_S 3600 /* after which the client asks again; the handle lives as long as the session */
#define SHORT 128

/* The form's value is this text, and nothing more. */
static bool is(struct str form, const char *name, const char *want) {
	char value[SHORT];

	return uri_form(form, name, value, sizeof(value)) > 0 && !strcmp(value, want);
}

static bool has_handle(const struct door *door, struct str form) {
	char handle[DOOR_HANDLE + 1];
	bool good = door->session[0] && uri_form(form, "subject_token", handle, sizeof(handle)) > 0 &&
		    door_takes_credential(door, str_of(handle));

	wipe(handle, sizeof(handle));
	return good;
}

/* For one of the door's accounts, as of any exchange. */
static bool is_local(const struct door *door, struct str form) {
	static const char local[] = API_AUDIENCE_LOCAL "/";
	char audience[1024];

	if (uri_form(form, "audience", audience, sizeof(audience)) < 1)
		return false;
	return !strcmp(audience, API_AUDIENCE_LOCAL) ||
	       (!strncmp(audience, local, sizeof(local) - 1) && door_account(door, audience + sizeof(local) - 1));
}

static bool was_opened_for_it(const struct door *door) {
	const json_t *scopes = json_object_get(door->terms, API_SCOPES), *scope;
	size_t i;

	json_array_foreach(scopes, i, scope)
		if (json_is_string(scope) && !strcmp(json_string_value(scope), SCOPE))
			return true;
	return false;
}

bool sts_iam_serve(struct exchange *x, struct str form) {
	struct buf body = BUF_INIT(1024);

	if (!is(form, "scope", SCOPE) || !is(form, "grant_type", OAUTH_GRANT_EXCHANGE) || !is_local(x->door, form) || was_opened_for_it(x->door) ||
	    !has_handle(x->door, form))
		return false;
	/* Room first: what grows later would leave a copy of the handle where it stood. */
	if (buf_grow(&body, 512 + DOOR_HANDLE))
		buf_reset(&body);
	buf_addf(&body,
		 "{\"access_token\":\"%s\",\"expires_in\":%d,\"token_type\":\"Bearer\","
		 "\"issued_token_type\":\"urn:ietf:params:oauth:token-type:access_token\",\"scope\":\"" SCOPE "\"}",
		 x->door->handle.data, LIFE_S);
	exchange_reply(x, &(struct http_reply){ .status = 200, .content_type = "application/json",
						.body = { body.data ? body.data : "", body.len }, .secret = true });
	wipe(body.data, body.len);
	buf_fini(&body);
	return true;
}
