// links: broker
/*
 * The IAM Credentials API's requests, "PATH?QUERY\nBODY": what is found and read leads to an ask of the native API's form, or to words.
 * The terms are a session's: no body may lengthen its lifetime or take its justification away.
 */
#include <assert.h>
#include <string.h>
#include "broker/surface/ask.h"
#include "broker/surface/iam_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct iam_call *call, json_t *ask) {
	struct error err = { 0 };
	struct ask parsed;

	assert(!strcmp(json_string_value(json_object_get(ask, "justification")), "INC-1"));
	json_object_set_new(ask, "serviceAccount", json_string(call->account));
	if (ask_parse(ask, call->permission, NULL, &parsed, &err) < 0) {
		assert(err.code == ERR_INVALID && err.message[0]);
		return;
	}
	assert(call->permission != PERMISSION_GET_ACCESS_TOKEN || (parsed.n_scopes > 0 && parsed.lifetime_s > 0 && parsed.lifetime_s <= 600));
	assert(!strcmp(parsed.target, call->account) && strchr(parsed.target, '@') && !strchr(parsed.target, '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	const char *text = (const char *)data, *line = size ? memchr(data, '\n', size) : NULL, *question;
	struct str path = { text, line ? (size_t)(line - text) : size }, query = { NULL, 0 }, body = { NULL, 0 };
	static struct iam_call call;
	struct error err = { 0 };
	json_t *ask;

	if (line)
		body = (struct str){ line + 1, size - path.n - 1 };
	question = path.n ? memchr(path.p, '?', path.n) : NULL;
	if (question) {
		query = (struct str){ question + 1, path.n - (size_t)(question - path.p) - 1 };
		path.n = (size_t)(question - path.p);
	}
	if (!iam_call_find(path, &call))
		return 0;
	assert(strlen(call.account) < URI_MAX_TEXT && call.permission < N_PERMISSIONS);
	ask = json_pack("{s:s}", "justification", "INC-1");
	if (call.permission == PERMISSION_GET_ACCESS_TOKEN)
		json_object_set_new(ask, "lifetime", json_string("600s"));
	if (iam_call_read(&call, query, body, ask, &err) == 0)
		check(&call, ask);
	else
		assert(err.code == ERR_INVALID && err.message[0]);
	json_decref(ask);
	return 0;
}
