// links: broker
/* The native API's bodies: what is accepted is canonical, bounded, and has no control characters. */
#include <assert.h>
#include <string.h>
#include "broker/surface/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct ask *ask) {
	assert(ask->target && strchr(ask->target, '@') && strlen(ask->target) <= 254);
	for (const char *s = ask->target; *s; s++)
		assert((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || strchr("-._@", *s));
	assert(ask->n_scopes <= POLICY_MAX_SCOPES && ask->n_delegates <= ASK_MAX_DELEGATES);
	for (size_t i = 1; i < ask->n_scopes; i++)
		assert(strcmp(ask->scopes[i - 1], ask->scopes[i]) < 0);
	assert(ask->lifetime_s >= 0 && ask->lifetime_s <= POLICY_MAX_LIFETIME);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	enum policy_permission permission = size && data[0] & 1 ? PERMISSION_GET_OPEN_ID_TOKEN : PERMISSION_GET_ACCESS_TOKEN;
	struct error err = { 0 };
	json_t *body = NULL;
	struct ask ask;

	if (size == 0)
		return 0;
	if (ask_body((struct str){ (const char *)data + 1, size - 1 }, &body, &err) == 0 &&
	    ask_parse(body, permission, NULL, &ask, &err) == 0)
		check(&ask);
	else
		assert(err.code == ERR_INVALID && err.message[0]);
	json_decref(body);
	return 0;
}
