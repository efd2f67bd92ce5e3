/*
 * impersonated_service_account: another credential's token, exchanged at IAM Credentials for the account's own.
 * external_account files with service_account_impersonation_url end with the same call, so it is shared from here.
 */

#include <stdlib.h>
#include <string.h>
#include "broker/source/kind.h"

#define VERB ":generateAccessToken"
#define ACCOUNTS "/v1/projects/-/serviceAccounts/"
#define MAX_DELEGATES 16

struct own {
	char *url;
	json_t *delegates; /* array of strings, or NULL */
};

static void forget(void *arg) {
	struct own *own = arg;

	if (!own)
		return;
	json_decref(own->delegates);
	free(own->url);
	free(own);
}

/* --- the call that both kinds share */

int source_read_impersonation_url(struct source *source, const char *url, char **out, struct error *err) {
	const char *path = strstr(url, ACCOUNTS), *account, *verb;
	struct buf moved = BUF_INIT(2 * SOURCE_MAX_URL);
	char *email;

	account = path ? path + strlen(ACCOUNTS) : "";
	verb = strstr(account, VERB);
	if (!verb || verb == account || strcmp(verb, VERB) != 0 || memchr(account, '/', (size_t)(verb - account)))
		return error_set(err, ERR_INVALID, "service_account_impersonation_url does not end in " ACCOUNTS
						   "EMAIL" VERB);
	email = strndup(account, (size_t)(verb - account));
	if (!email)
		return error_set(err, ERR_INTERNAL, "out of memory");
	free(source->email);
	source->email = email;
	if (source->iam_endpoint)
		buf_addf(&moved, "%s%s", source->iam_endpoint, path);
	else
		buf_adds(&moved, url);
	*out = buf_take(&moved);
	if (!*out)
		return error_set(err, ERR_INTERNAL, "out of memory");
	return source_check_url(source, "service_account_impersonation_url", *out, err);
}

static void on_impersonated(struct source *source, const json_t *answer, const struct fetch_result *raw) {
	struct google_token token;
	struct error err;

	(void)raw;
	if (google_iam_token(answer, &token, &err) < 0)
		source_fail(source, ERR_UPSTREAM, "%s: %s", source->calling, err.message);
	else
		source_succeed(source, &token);
}

static void add_delegate(struct buf *body, const char *account, bool first) {
	struct buf name = BUF_INIT(SOURCE_MAX_URL);

	/* Some files hold bare emails, the API wants resource names. */
	buf_addf(&name, "%s%s", strchr(account, '/') ? "" : "projects/-/serviceAccounts/", account);
	if (!first)
		buf_addc(body, ',');
	buf_add_json(body, name.data, name.len);
	buf_fini(&name);
}

void source_impersonate(struct source *source, const char *url, const json_t *delegates, int64_t lifetime_s,
			const struct secret *bearer) {
	/* The bearer is the inner one's, where there is one, and so is what it costs. */
	const char *quota = source_quota_header(source->inner ? source->inner : source);
	const char *const headers[] = { "Content-Type: application/json", quota, NULL };
	struct buf body = BUF_INIT(SOURCE_MAX_FILE);
	const json_t *delegate;
	size_t i;

	buf_addf(&body, "{\"scope\":[\"" CLOUD_PLATFORM "\"],\"lifetime\":\"%llds\",\"delegates\":[",
		 (long long)(lifetime_s ? lifetime_s : 3600));
	json_array_foreach(delegates, i, delegate)
		add_delegate(&body, json_string_value(delegate), i == 0);
	buf_adds(&body, "]}");
	if (!buf_ok(&body))
		source_fail(source, ERR_INTERNAL, "out of memory");
	else
		source_call(source, &(struct source_call){
					    .spec = { .method = "POST",
						      .url = url,
						      .headers = headers,
						      .bearer = bearer,
						      .body = body.data,
						      .body_len = body.len },
					    .step = on_impersonated,
				    });
	buf_fini(&body);
}

/* --- the kind */

static int read_delegates(struct own *own, const json_t *file, struct error *err) {
	json_t *delegates = json_object_get(file, "delegates"), *delegate;
	size_t i;

	if (!delegates || json_is_null(delegates))
		return 0;
	if (!json_is_array(delegates) || json_array_size(delegates) > MAX_DELEGATES)
		return error_set(err, ERR_INVALID, "delegates is not a list of at most %d", MAX_DELEGATES);
	json_array_foreach(delegates, i, delegate) {
		if (!json_is_string(delegate) || json_string_length(delegate) == 0 ||
		    json_string_length(delegate) > 512)
			return error_set(err, ERR_INVALID, "delegates[%zu] is not an account", i);
	}
	/* A copy: the file's tree is wiped when it has been read. */
	own->delegates = json_deep_copy(delegates);
	return own->delegates ? 0 : error_set(err, ERR_INTERNAL, "out of memory");
}

static int read_file(struct source *source, const json_t *file, struct error *err) {
	const json_t *inner = json_object_get(file, "source_credentials");
	struct own *own = calloc(1, sizeof(*own));
	const char *url;

	source->own = own;
	if (!own)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (google_string(file, "service_account_impersonation_url", true, SOURCE_MAX_URL, &url, err) < 0 ||
	    source_read_impersonation_url(source, url, &own->url, err) < 0 ||
	    read_delegates(own, file, err) < 0)
		return -1;
	if (!json_is_object(inner))
		return error_set(err, ERR_INVALID, "source_credentials is not an object");
	if (source_nest(source, inner, &source->inner, err) < 0)
		return error_wrap(err, "source_credentials");
	return 0;
}

static void on_inner(const struct secret *token, int64_t expires_at, const struct error *err, void *arg) {
	struct source *source = arg;
	const struct own *own = source->own;

	(void)expires_at;
	source->inner_wait = NULL;
	if (err->code != ERR_NONE)
		source_fail(source, err->code, "its source: %s", err->message);
	else
		source_impersonate(source, own->url, own->delegates, 0, token);
}

static int refresh(struct source *source, struct error *err) {
	source->inner_wait = source_token(source->inner, on_inner, source);
	return source->inner_wait ? 0 : error_no_memory(err);
}

const struct source_kind source_impersonated = { "impersonated_service_account", read_file, refresh, forget };
