/*
 * hallpass docker-credential: docker's credential helper. See helper.h. Source: docker-credential-helpers, the protocol of its README.
 *
 * The operation is the argument, its input a line on standard input. What goes wrong is told on standard output, with exit code 1: docker
 * reads it there, and one sentence it knows, that there are no credentials. It shows none of the others and goes on as nobody, so that the
 * person is told on standard error, which docker leaves alone.
 */

#include <stdio.h>
#include <string.h>
#include "broker/cli/helper.h"
#include "hallpass/cleanup.h"

#define DEADLINE_MS 25000 /* docker waits for ever; hallpassd gives a mint 20 s */
#define NO_CREDENTIALS "credentials not found in native keychain"
#define NO_SERVER "no credentials server URL"

static int tell_docker(const char *sentence) {
	puts(sentence);
	return 1;
}

static int fail(const struct error *err) {
	struct buf words = BUF_INIT(8192);

	helper_words(err, &words);
	fprintf(stderr, "%s\n", words.data);
	tell_docker(words.data);
	buf_fini(&words);
	return 1;
}

/* "https://gcr.io/v2/\n" -> "gcr.io", in place. NULL: no https. */
static char *host_of(char *server) {
	char *scheme = strstr(server, "://");

	if (scheme && (strncmp(server, "https", 5) || scheme != server + 5))
		return NULL;
	if (scheme)
		server = scheme + 3;
	server[strcspn(server, "/")] = '\0';
	return server;
}

static void write_login(const char *server, const char *user, const char *token, struct buf *out) {
	buf_adds(out, "{\"ServerURL\": ");
	buf_add_json(out, server, strlen(server));
	buf_adds(out, ", \"Username\": ");
	buf_add_json(out, user, strlen(user));
	buf_adds(out, ", \"Secret\": ");
	buf_add_json(out, token, strlen(token));
	buf_adds(out, "}\n");
}

static int get(struct cli *cli, char *server) {
	char copy[512], account[HELPER_ACCOUNT_MAX], *host;
	const struct helper_host *known;
	struct buf out = BUF_INIT(65536);
	struct error err = { 0 };
	json_t *reply = NULL;

	server[strcspn(server, " \t\r\n")] = '\0';
	if (!*server)
		return tell_docker(NO_SERVER);
	snprintf(copy, sizeof(copy), "%s", server);
	host = host_of(copy);
	known = host ? helper_host_find(host, HELPER_DOCKER) : NULL;
	if (!known)
		return tell_docker(NO_CREDENTIALS);
	if (helper_account(cli, host, account, &err) == 0)
		reply = helper_token(cli, account, DEADLINE_MS, &err);
	if (!reply)
		return fail(&err);
	write_login(server, known->user, json_string_value(json_object_get(reply, API_ACCESS_TOKEN)), &out);
	json_decref(reply);
	return helper_answer(&out);
}

/* What docker would have us keep, or forget, is a token: neither is ours to do. */
static int ignore(struct cli *cli, char *input) {
	(void)cli;
	(void)input;
	return 0;
}

static int list(struct cli *cli, char *input) {
	(void)cli;
	(void)input;
	puts("{}");
	return 0;
}

static int version(struct cli *cli, char *input) {
	(void)cli;
	(void)input;
	puts("docker-credential-hallpass " HALLPASS_VERSION);
	return 0;
}

static const struct {
	const char *name;
	bool reads;
	int (*run)(struct cli *cli, char *input);
} operations[] = {
	{ "get", true, get }, { "store", true, ignore }, { "erase", true, ignore }, { "list", false, list }, { "version", false, version },
};

int cmd_docker_credential(struct cli *cli) {
	char input[512] = "", sentence[128];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		if (strcmp(operations[i].name, cli->args[0]))
			continue;
		if (operations[i].reads)
			helper_read(input, sizeof(input));
		r = operations[i].run(cli, input);
		explicit_bzero(input, sizeof(input));
		return r;
	}
	snprintf(sentence, sizeof(sentence), "hallpass: docker-credential knows get, store, erase, list and version, not \"%.32s\"", out_safe(cli->args[0]));
	return tell_docker(sentence);
}
