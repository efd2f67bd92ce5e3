// links: broker
/* The native API's bodies: what is accepted is canonical, bounded, and has no control characters. */
#include <assert.h>
#include <string.h>
#include "broker/surface/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Canonical: read again it is the same; a JWT's has one exp at most, and room for one behind its last member. */
static void check_payload(const struct ask *ask) {
	json_t *body = json_pack("{s:s, s:s}", "serviceAccount", ask->target, "payload", ask->payload);
	struct error err;
	struct ask again;

	assert(strlen(ask->payload_sha256) == 64 && ask->exp >= 0);
	assert(ask->permission != PERMISSION_SIGN_JWT || ask->payload[strlen(ask->payload) - 1] == '}');
	if (ask_parse(body, ask->permission, NULL, &again, &err) == 0) {
		assert(!strcmp(again.payload, ask->payload) && !strcmp(again.payload_sha256, ask->payload_sha256) && again.exp == ask->exp);
	} else {
		assert(strlen(ask->payload) > 6000); /* numbers may be written longer than they came */
	}
	json_decref(body);
}

static void check(const struct ask *ask) {
	assert(ask->target && strchr(ask->target, '@') && strlen(ask->target) <= 254);
	for (const char *s = ask->target; *s; s++)
		assert((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || strchr("-._@", *s));
	assert(ask->n_scopes <= POLICY_MAX_SCOPES && ask->n_delegates <= ASK_MAX_DELEGATES);
	for (size_t i = 1; i < ask->n_scopes; i++)
		assert(strcmp(ask->scopes[i - 1], ask->scopes[i]) < 0);
	if (ask->payload)
		check_payload(ask);
	assert(ask->lifetime_s >= 0 && ask->lifetime_s <= POLICY_MAX_LIFETIME);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const enum policy_permission permissions[] = { PERMISSION_GET_ACCESS_TOKEN, PERMISSION_GET_OPEN_ID_TOKEN, PERMISSION_SIGN_BLOB,
							      PERMISSION_SIGN_JWT };
	enum policy_permission permission = permissions[size ? data[0] & 3 : 0];
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
