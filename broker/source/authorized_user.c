/* A person's login, as `gcloud auth application-default login` leaves it: a refresh token. Source: RFC 6749 §6. */

#include <stdlib.h>
#include <string.h>
#include "broker/source/kind.h"

struct own {
	char *client_id, *token_uri;
	struct secret client_secret, refresh_token;
};

static void forget(void *arg) {
	struct own *own = arg;

	if (!own)
		return;
	secret_fini(&own->client_secret);
	secret_fini(&own->refresh_token);
	free(own->client_id);
	free(own->token_uri);
	free(own);
}

static int default_token_uri(const struct source *source, char **out, struct error *err) {
	struct buf uri = BUF_INIT(512);

	buf_addf(&uri, "https://oauth2.%s/token", source->universe);
	*out = buf_take(&uri);
	return *out ? 0 : error_set(err, ERR_INTERNAL, "out of memory");
}

static int read_file(struct source *source, const json_t *file, struct error *err) {
	struct own *own = calloc(1, sizeof(*own));

	source->own = own;
	if (!own)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (copy_string(file, "client_id", true, &own->client_id, err) < 0 ||
	    copy_secret(file, "client_secret", true, &own->client_secret, err) < 0 ||
	    copy_secret(file, "refresh_token", true, &own->refresh_token, err) < 0 ||
	    copy_string(file, "account", false, &source->email, err) < 0 ||
	    copy_string(file, "token_uri", false, &own->token_uri, err) < 0)
		return -1;
	source->holds_secret = true;
	if (!own->token_uri && default_token_uri(source, &own->token_uri, err) < 0)
		return -1;
	return source_check_url(source, "token_uri", own->token_uri, err);
}

static int refresh(struct source *source, struct error *err) {
	static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded", NULL };
	struct own *own = source->own;
	struct buf body;

	if (secret_buf_init(&body, 3 * SOURCE_MAX_FILE, err) < 0)
		return -1;
	form_add(&body, "grant_type", "refresh_token");
	form_add(&body, "client_id", own->client_id);
	form_add(&body, "client_secret", own->client_secret.data);
	form_add(&body, "refresh_token", own->refresh_token.data);
	if (!buf_ok(&body)) {
		secret_buf_fini(&body);
		return error_set(err, ERR_INVALID, "the file's strings are too long");
	}
	source_call(source, &(struct source_call){
				    .spec = { .method = "POST",
					      .url = source->token_endpoint ? source->token_endpoint : own->token_uri,
					      .headers = headers,
					      .body = body.data,
					      .body_len = body.len },
				    .secret = &own->refresh_token,
				    .also = &own->client_secret,
				    .step = source_take_oauth_token,
			    });
	secret_buf_fini(&body);
	return 0;
}

const struct source_kind source_authorized_user = { "authorized_user", read_file, refresh, forget };
