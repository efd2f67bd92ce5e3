/*
 * hallpass gcp-executable: the executable that an external_account file names. See helper.h. Source: AIP-4117.
 *
 * A library runs it for a subject token, which it then exchanges at the file's token_url. Standard error is read as if it were standard output
 * by some, so nothing is ever written there; a failure is an answer with "success": false, and exit code 0, for its message to be shown.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "broker/cli/helper.h"
#include "broker/file.h"
#include "broker/status.h"
#include "hallpass/cleanup.h"

#define DEADLINE_MS 25000   /* libraries wait 30 s, unless the file's timeout_millis says otherwise */
#define HANDLE_LIFE_S 300   /* a handle lives as long as its session; the exchange follows at once */
#define ASKED "GOOGLE_EXTERNAL_ACCOUNT_"

static const char *const token_types[] = { "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token" };

static int answer_error(const struct error *err) {
	struct buf out = BUF_INIT(8192), words = BUF_INIT(8192);
	enum error_code code = err->code == ERR_NOT_FOUND ? ERR_UNAVAILABLE : err->code; /* what is not there is the broker */

	helper_words(err, &words);
	buf_addf(&out, "{\"version\": 1, \"success\": false, \"code\": \"%d\", \"message\": ", status_of(code)->http);
	buf_add_json(&out, words.data, words.len);
	buf_adds(&out, "}\n");
	buf_fini(&words);
	return helper_answer(&out);
}

static int answer_token(const char *type, const char *token, int64_t expires_at) {
	struct buf out = BUF_INIT(65536);

	buf_addf(&out, "{\"version\": 1, \"success\": true, \"token_type\": \"%s\", \"id_token\": ", type);
	buf_add_json(&out, token, strlen(token));
	buf_addf(&out, ", \"expiration_time\": %" PRId64 "}\n", expires_at);
	return helper_answer(&out);
}

/* The type that the file wants of its subject token, in the program's own words. */
static const char *type_asked(struct error *err) {
	const char *asked = getenv(ASKED "TOKEN_TYPE");

	if (!asked)
		return token_types[0];
	for (size_t i = 0; i < ARRAY_SIZE(token_types); i++)
		if (!strcmp(token_types[i], asked))
			return token_types[i];
	error_set(err, ERR_INVALID, "the file's subject_token_type is %s; hallpass gives %s", asked, token_types[0]);
	return NULL;
}

/* The session's handle, for the broker's own token endpoint. */
static int give_handle(const struct cli *cli, const char *type) {
	const char *file = getenv("HALLPASS_HANDLE_FILE"), *as = cli->values[OPT_AS], *session_as = getenv("HALLPASS_AS");
	char *handle = NULL;
	struct error err = { 0 };
	size_t len;
	int r;

	if (!file)
		error_set(&err, ERR_INVALID, "there is no session here: run it within `hallpass run --as ACCOUNT -- …`");
	else if (as && session_as && strcmp(as, session_as))
		error_set(&err, ERR_INVALID, "this session is one of %s, not of %s", session_as, as);
	if (err.code)
		return answer_error(&err);
	if (file_read(file, 4096, &handle, &len, &err) < 0) {
		err.code = ERR_UNAUTHENTICATED;
		error_wrap(&err, "the session is over");
		return answer_error(&err);
	}
	handle[strcspn(handle, "\r\n")] = '\0';
	r = answer_token(type, handle, (int64_t)time(NULL) + HANDLE_LIFE_S);
	explicit_bzero(handle, len);
	free(handle);
	return r;
}

/* A token signed by Google, for somebody else's endpoint. */
static int give_id_token(struct cli *cli, const char *type, const char *audience) {
	char account[HELPER_ACCOUNT_MAX];
	struct error err = { 0 };
	json_t *body, *reply;
	int r;

	if (helper_account(cli, NULL, account, &err) < 0)
		return answer_error(&err);
	cli->values[OPT_AS] = account;
	body = cli_token_body(cli);
	if (!body)
		return API_EXIT_USAGE;
	json_object_set_new(body, API_AUDIENCE, json_string(audience));
	json_object_set_new(body, API_INCLUDE_EMAIL, json_true());
	reply = helper_ask(cli, API_PATH_ID_TOKEN, body, API_TOKEN, DEADLINE_MS, &err);
	if (!reply)
		return answer_error(&err);
	r = answer_token(type, json_string_value(json_object_get(reply, API_TOKEN)),
			 (int64_t)time(NULL) + json_integer_value(json_object_get(reply, API_EXPIRES_IN)));
	json_decref(reply);
	return r;
}

int cmd_gcp_executable(struct cli *cli) {
	const char *audience = getenv(ASKED "AUDIENCE"), *revoke = getenv(ASKED "REVOKE");
	struct error err = { 0 };
	const char *type = type_asked(&err);

	if (revoke && !strcmp(revoke, "1")) { /* there is nothing to be revoked: a session ends by itself, and so does a token */
		puts("{\"version\": 1, \"success\": true}");
		return API_EXIT_OK;
	}
	if (!type)
		return answer_error(&err);
	if (!audience || !strncmp(audience, API_AUDIENCE_OURS, strlen(API_AUDIENCE_OURS)))
		return give_handle(cli, type);
	return give_id_token(cli, type, audience);
}
