/* hallpass kubectl-credential: kubectl's exec plugin. See helper.h. Source: client.authentication.k8s.io, v1 and v1beta1. */

#include <stdlib.h>
#include <string.h>
#include "broker/cli/helper.h"
#include "hallpass/cleanup.h"

#define DEADLINE_MS 25000 /* kubectl waits for ever, and whoever types it does not; hallpassd gives a mint 20 s */

static const char *const versions[] = { "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1" };

/* The version that kubectl asks for; v1 where nobody does. NULL: err says what is wrong. */
static const char *version_asked(struct error *err) {
	const char *info = getenv("KUBERNETES_EXEC_INFO"), *asked;
	json_t *json = info ? json_loads(info, 0, NULL) : NULL;
	const char *found = NULL;

	if (!info)
		return versions[0];
	asked = json_string_value(json_object_get(json, "apiVersion"));
	for (size_t i = 0; asked && i < ARRAY_SIZE(versions); i++)
		if (!strcmp(versions[i], asked))
			found = versions[i];
	if (!asked)
		error_set(err, ERR_INVALID, "KUBERNETES_EXEC_INFO, which kubectl sets, is no ExecCredential");
	else if (!found)
		error_set(err, ERR_INVALID, "the kubeconfig's exec entry says apiVersion %s; hallpass speaks %s and v1beta1", asked, versions[0]);
	json_decref(json);
	return found;
}

static void write_credential(const char *version, const json_t *reply, struct buf *out) {
	const char *token = json_string_value(json_object_get(reply, API_ACCESS_TOKEN));
	const char *expires = json_string_value(json_object_get(reply, API_EXPIRE_TIME));

	buf_addf(out, "{\"apiVersion\": \"%s\", \"kind\": \"ExecCredential\", \"status\": {\"token\": ", version);
	buf_add_json(out, token, strlen(token));
	if (expires) {
		buf_adds(out, ", \"expirationTimestamp\": ");
		buf_add_json(out, expires, strlen(expires));
	}
	buf_adds(out, "}}\n");
}

int cmd_kubectl_credential(struct cli *cli) {
	char account[HELPER_ACCOUNT_MAX];
	struct error err = { 0 };
	const char *version = version_asked(&err);
	struct buf out = BUF_INIT(65536);
	json_t *reply = NULL;

	cli->json = false; /* standard output is kubectl's */
	if (version && helper_account(cli, NULL, account, &err) == 0)
		reply = helper_token(cli, account, DEADLINE_MS, &err);
	if (!reply)
		return client_tell(cli, &err, NULL);
	write_credential(version, reply, &out);
	json_decref(reply);
	return helper_answer(&out);
}
