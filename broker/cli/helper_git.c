/*
 * hallpass git-credential: git's credential helper. See helper.h. Source: git-credential(1), gitcredentials(7).
 *
 * git writes lines "key=value" and reads such lines. Where several helpers are configured it asks one after the other: of hosts that are not
 * ours nothing is said, and of ours "quit" keeps git from asking on when we have to refuse.
 */

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "broker/cli/helper.h"
#include "hallpass/cleanup.h"

#define DEADLINE_MS 25000 /* git waits for ever; hallpassd gives a mint 20 s */

struct question {
	const char *protocol, *host; /* "": not said */
};

/* Lines of the input, taken apart in place; the last of a key counts. */
static void read_question(char *input, struct question *q) {
	char *save = NULL;

	*q = (struct question){ "", "" };
	for (char *line = strtok_r(input, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "protocol=", 9))
			q->protocol = line + 9;
		else if (!strncmp(line, "host=", 5))
			q->host = line + 5;
	}
}

static int refuse(struct cli *cli, const struct error *err) {
	cli->json = false; /* standard output is git's */
	client_tell(cli, err, NULL);
	puts("quit=1");
	return API_EXIT_OK;
}

static void write_login(const char *user, const json_t *reply, struct buf *out) {
	buf_addf(out, "username=%s\npassword=%s\n", user, json_string_value(json_object_get(reply, API_ACCESS_TOKEN)));
	buf_addf(out, "password_expiry_utc=%lld\n", (long long)time(NULL) + json_integer_value(json_object_get(reply, API_EXPIRES_IN)));
}

static int get(struct cli *cli, const struct question *q) {
	const struct helper_host *known = helper_host_find(q->host, HELPER_GIT);
	struct buf out = BUF_INIT(65536);
	char account[HELPER_ACCOUNT_MAX];
	struct error err = { 0 };
	json_t *reply = NULL;

	if (!known)
		return API_EXIT_OK;
	if (strcmp(q->protocol, "https")) {
		error_set(&err, ERR_INVALID, "a token for %s goes over https alone, not over %s", q->host, *q->protocol ? q->protocol : "nothing");
		return refuse(cli, &err);
	}
	if (helper_account(cli, q->host, account, &err) == 0)
		reply = helper_token(cli, account, DEADLINE_MS, &err);
	if (!reply)
		return refuse(cli, &err);
	write_login(known->user ? known->user : account, reply, &out);
	json_decref(reply);
	return helper_answer(&out);
}

/* git's other operations, those of times to come included, are answered by nothing. */
int cmd_git_credential(struct cli *cli) {
	char input[8192];
	struct question question;
	int r = API_EXIT_OK;

	helper_read(input, sizeof(input));
	if (!strcmp(cli->args[0], "get")) {
		read_question(input, &question);
		r = get(cli, &question);
	}
	explicit_bzero(input, sizeof(input)); /* `store` and `erase` bring the token */
	return r;
}
