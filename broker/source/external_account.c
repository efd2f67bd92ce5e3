/*
 * external_account: a token of another identity provider, exchanged at Google's Security Token Service, and
 * then, where the file says so, for a service account's. The other token comes from a file or a URL.
 *
 * Executable, AWS and certificate sources are refused: the first runs a program of the file's choice with our
 * rights, the others need code that nobody has asked for yet.
 * Source: RFC 8693 §2.1; google.aip.dev/auth/4117
 */

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/source/kind.h"
#include "hallpass/cleanup.h"

#define MAX_HEADERS 16
#define MAX_FORM (128 * 1024)

struct own {
	char *audience, *subject_token_type, *token_url, *user_project;
	char *client_id;
	struct secret client_secret;
	char *impersonation_url;
	int64_t lifetime_s; /* of the impersonated token; 0: default */
	char *file, *url, *field; /* field NULL: the whole text is the token */
	char *headers[MAX_HEADERS + 1];
	struct secret header_values; /* all of them: some are bearers */
	struct secret subject; /* the other token, while it is on its way */
};

static void forget(void *arg) {
	struct own *own = arg;

	if (!own)
		return;
	secret_fini(&own->client_secret);
	secret_fini(&own->subject);
	secret_fini(&own->header_values);
	for (size_t i = 0; own->headers[i]; i++)
		wipe_free(own->headers[i]);
	free(own->audience);
	free(own->subject_token_type);
	free(own->token_url);
	free(own->user_project);
	free(own->client_id);
	free(own->impersonation_url);
	free(own->file);
	free(own->url);
	free(own->field);
	free(own);
}

/* --- reading the file */

static bool is_field_name(const char *name) {
	return *name && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == strlen(name);
}

static int add_header(struct own *own, size_t n, const char *key, json_t *value, struct buf *values, struct error *err) {
	struct buf line = BUF_INIT(SOURCE_MAX_FILE);
	const char *text = json_string_value(value);

	if (!is_field_name(key) || !text || strpbrk(text, "\r\n"))
		return error_set(err, ERR_INVALID, "headers: '%.64s' is not a header with a string of one line", key);
	buf_addf(values, "%s\n", text);
	buf_addf(&line, "%s: %s", key, text);
	own->headers[n] = buf_take(&line);
	return own->headers[n] ? 0 : error_set(err, ERR_INTERNAL, "out of memory");
}

static int read_headers(struct own *own, json_t *from, struct error *err) {
	struct buf values;
	const char *key;
	json_t *value;
	size_t n = 0;
	int r = 0;

	if (from && !json_is_object(from))
		return error_set(err, ERR_INVALID, "headers is not an object");
	if (json_object_size(from) > MAX_HEADERS)
		return error_set(err, ERR_INVALID, "more than %d headers", MAX_HEADERS);
	if (secret_buf_init(&values, SOURCE_MAX_FILE, err) < 0)
		return -1;
	json_object_foreach(from, key, value) {
		r = add_header(own, n++, key, value, &values, err);
		if (r < 0)
			break;
	}
	if (r == 0 && values.len && secret_set(&own->header_values, values.data, values.len) < 0)
		r = error_set(err, ERR_INTERNAL, "out of memory");
	secret_buf_fini(&values);
	return r;
}

static int read_format(struct own *own, const json_t *format, struct error *err) {
	const char *type;

	if (!format)
		return 0;
	if (!json_is_object(format))
		return error_set(err, ERR_INVALID, "format is not an object");
	if (google_string(format, "type", false, 16, &type, err) < 0)
		return -1;
	if (!type || !strcmp(type, "text"))
		return 0;
	if (strcmp(type, "json") != 0)
		return error_set(err, ERR_INVALID, "format.type is neither text nor json");
	return copy_string(format, "subject_token_field_name", true, &own->field, err);
}

static int read_credential_source(struct source *source, const json_t *from, struct error *err) {
	struct own *own = source->own;
	static const struct {
		const char *key, *why;
	} refused[] = {
		{ "executable", "would run a program with the broker's rights; write its token to a file instead" },
		{ "environment_id", "(AWS) is not supported" },
		{ "certificate", "is not supported" },
	};

	if (!json_is_object(from))
		return error_set(err, ERR_INVALID, "credential_source is not an object");
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (json_object_get(from, refused[i].key))
			return error_set(err, ERR_INVALID, "credential_source.%s %s", refused[i].key, refused[i].why);
	}
	if (copy_string(from, "file", false, &own->file, err) < 0 ||
	    copy_string(from, "url", false, &own->url, err) < 0 ||
	    read_headers(own, json_object_get(from, "headers"), err) < 0 ||
	    read_format(own, json_object_get(from, "format"), err) < 0)
		return error_wrap(err, "credential_source");
	source->holds_secret = own->client_secret.len || own->header_values.len;
	if (!own->file == !own->url)
		return error_set(err, ERR_INVALID, "credential_source has to have one of file and url");
	return source_check_url(source, "credential_source.url", own->url, err);
}

static int read_impersonation(struct source *source, struct own *own, const json_t *file, struct error *err) {
	const json_t *options = json_object_get(file, "service_account_impersonation"), *lifetime;
	const char *url;

	if (google_string(file, "service_account_impersonation_url", false, SOURCE_MAX_URL, &url, err) < 0)
		return -1;
	if (!url)
		return 0;
	if (source_read_impersonation_url(source, url, &own->impersonation_url, err) < 0)
		return -1;
	lifetime = json_object_get(options, "token_lifetime_seconds");
	if (!lifetime)
		return 0;
	if (!json_is_integer(lifetime) || json_integer_value(lifetime) < 600 || json_integer_value(lifetime) > 43200)
		return error_set(err, ERR_INVALID, "token_lifetime_seconds is not a number from 600 to 43200");
	own->lifetime_s = json_integer_value(lifetime);
	return 0;
}

static int read_file(struct source *source, const json_t *file, struct error *err) {
	struct own *own = calloc(1, sizeof(*own));

	source->own = own;
	if (!own)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (copy_string(file, "audience", true, &own->audience, err) < 0 ||
	    copy_string(file, "subject_token_type", true, &own->subject_token_type, err) < 0 ||
	    copy_string(file, "token_url", true, &own->token_url, err) < 0 ||
	    copy_string(file, "workforce_pool_user_project", false, &own->user_project, err) < 0 ||
	    copy_string(file, "client_id", false, &own->client_id, err) < 0 ||
	    copy_secret(file, "client_secret", false, &own->client_secret, err) < 0 ||
	    source_check_url(source, "token_url", own->token_url, err) < 0 ||
	    read_impersonation(source, own, file, err) < 0)
		return -1;
	return read_credential_source(source, json_object_get(file, "credential_source"), err);
}

/* --- step 3: STS's token is the one, or leads to it */

static void on_exchanged(struct source *source, const json_t *answer, const struct fetch_result *raw) {
	const struct own *own = source->own;
	struct google_token token;
	struct secret bearer = { 0 };
	struct error err;

	if (!own->impersonation_url)
		return source_take_oauth_token(source, answer, raw);
	if (google_oauth_token(answer, source_now(source), &token, &err) < 0)
		return source_fail(source, ERR_UPSTREAM, "%s: %s", source->calling, err.message);
	if (secret_set(&bearer, token.text, token.len) < 0)
		return source_fail(source, ERR_INTERNAL, "out of memory");
	source_impersonate(source, own->impersonation_url, NULL, own->lifetime_s, &bearer);
	secret_fini(&bearer);
}

/* --- step 2: exchange the other token */

/* Authorization: Basic, RFC 7617; wiped by the caller. */
static char *basic_header(const struct own *own) {
	struct buf pair = BUF_INIT(SOURCE_MAX_URL + SOURCE_MAX_FILE), line;
	struct error ignored;
	char *at, *text = NULL;

	if (secret_buf_init(&pair, pair.max, &ignored) < 0)
		return NULL;
	line = BUF_INIT(2 * pair.max);
	buf_addf(&pair, "%s:%s", own->client_id, own->client_secret.data ? own->client_secret.data : "");
	buf_adds(&line, "Authorization: Basic ");
	at = buf_grow(&line, (pair.len + 2) / 3 * 4);
	if (at && buf_ok(&pair)) {
		EVP_EncodeBlock((unsigned char *)at, (const unsigned char *)pair.data, (int)pair.len);
		text = buf_take(&line);
	}
	secret_buf_fini(&pair);
	secret_buf_fini(&line);
	return text;
}

static void add_exchange_form(const struct own *own, const char *subject_token, struct buf *body) {
	form_add(body, "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
	form_add(body, "audience", own->audience);
	form_add(body, "scope", CLOUD_PLATFORM);
	form_add(body, "requested_token_type", "urn:ietf:params:oauth:token-type:access_token");
	form_add(body, "subject_token", subject_token);
	form_add(body, "subject_token_type", own->subject_token_type);
	if (own->user_project && !own->client_id) {
		struct buf options = BUF_INIT(2 * SOURCE_MAX_URL);

		buf_adds(&options, "{\"userProject\":");
		buf_add_json(&options, own->user_project, strlen(own->user_project));
		buf_addc(&options, '}');
		form_add(body, "options", options.data);
		buf_fini(&options);
	}
}

static void exchange(struct source *source) {
	struct own *own = source->own;
	char *basic = own->client_id ? basic_header(own) : NULL;
	const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded", basic, NULL };
	struct error err;
	struct buf body;

	if ((own->client_id && !basic) || secret_buf_init(&body, MAX_FORM, &err) < 0) {
		wipe_free(basic);
		return source_fail(source, ERR_INTERNAL, "out of memory");
	}
	add_exchange_form(own, own->subject.data, &body);
	if (!buf_ok(&body))
		source_fail(source, ERR_INVALID, "the subject token is too long");
	else
		source_call(source, &(struct source_call){
					    .spec = { .method = "POST",
						      .url = source->sts_endpoint ? source->sts_endpoint : own->token_url,
						      .headers = headers,
						      .body = body.data,
						      .body_len = body.len },
					    .secret = &own->subject,
					    .also = &own->client_secret,
					    .step = on_exchanged,
				    });
	secret_buf_fini(&body);
	secret_fini(&own->subject);
	wipe_free(basic);
}

/* --- step 1: get the other token */

/* The token inside what file or URL gave: all of it, or one member of a JSON object. */
static int take_subject(struct own *own, const char *text, size_t len, struct error *err) {
	cleanup(google_json_freep) json_t *json = NULL;
	const char *token = text;

	if (own->field) {
		json = google_json(text, len, err);
		if (!json || google_string(json, own->field, true, GOOGLE_MAX_TOKEN, &token, err) < 0)
			return -1;
		len = strlen(token);
	}
	while (len && strchr(" \t\r\n", token[len - 1]))
		len--;
	if (len == 0 || len > GOOGLE_MAX_TOKEN || memchr(token, 0, len))
		return error_set(err, ERR_INVALID, "no token of 1 to %d bytes", GOOGLE_MAX_TOKEN);
	if (secret_set(&own->subject, token, len) < 0)
		return error_set(err, ERR_INTERNAL, "out of memory");
	return 0;
}

static void on_subject(struct source *source, const json_t *answer, const struct fetch_result *raw) {
	struct error err;

	(void)answer;
	if (take_subject(source->own, raw->body, raw->body_len, &err) < 0)
		source_fail(source, ERR_UPSTREAM, "%s: %s", source->calling, err.message);
	else
		exchange(source);
}

static int subject_from_file(struct own *own, struct error *err) {
	char *text;
	size_t len;
	int r;

	if (read_small_file(own->file, SOURCE_MAX_FILE, &text, &len, err) < 0)
		return error_wrap(err, "credential_source");
	r = take_subject(own, text, len, err);
	wipe_free(text);
	return r < 0 ? error_wrap(err, "credential_source %s", own->file) : 0;
}

static int refresh(struct source *source, struct error *err) {
	struct own *own = source->own;

	if (own->file) {
		if (subject_from_file(own, err) < 0)
			return -1;
		exchange(source);
		return 0;
	}
	source_call(source, &(struct source_call){
				    .spec = { .method = "GET",
					      .url = own->url,
					      .headers = (const char *const *)own->headers },
				    .text = true,
				    .secret = &own->header_values,
				    .step = on_subject,
			    });
	return 0;
}

const struct source_kind source_external_account = { "external_account", read_file, refresh, forget };
