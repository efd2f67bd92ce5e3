/* See oauth.h. */

#include <string.h>
#include "broker/surface/oauth.h"
#include "hallpass/cleanup.h"

#define TOKEN_MORE 256 /* what stands around a token */

int oauth_status(const struct request_outcome *o) {
	static const struct {
		enum error_code code;
		int status;
	} table[] = {
		{ ERR_INVALID, 400 }, { ERR_UNAUTHENTICATED, 403 }, { ERR_DENIED, 403 }, { ERR_REFUSED, 403 },
		{ ERR_NOT_FOUND, 404 }, { ERR_LIMIT, 429 },	    { ERR_INTERNAL, 500 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].code == o->error->code)
			return table[i].status;
	return 503;
}

void oauth_error(struct buf *out, const char *error, const char *description) {
	buf_adds(out, "{\"error\":");
	buf_add_json(out, error, strlen(error));
	buf_adds(out, ",\"error_description\":");
	buf_add_json(out, description, strlen(description));
	buf_addc(out, '}');
}

void oauth_token(struct buf *out, const struct request_outcome *o, size_t more_n) {
	if (buf_grow(out, 2 * o->token->value.len + TOKEN_MORE + more_n))
		buf_reset(out);
	buf_adds(out, "{\"access_token\":");
	buf_add_json(out, o->token->value.data, o->token->value.len);
	buf_addf(out, ",\"expires_in\":%lld,\"token_type\":\"Bearer\"", (long long)(o->token->expires_at - o->now));
}

json_t *oauth_scopes(char *text) {
	json_t *list = json_array();
	char *save = NULL;

	for (char *s = strtok_r(text, ", ", &save); s; s = strtok_r(NULL, ", ", &save))
		json_array_append_new(list, json_string(s));
	if (json_array_size(list))
		return list;
	json_decref(list);
	return NULL;
}
