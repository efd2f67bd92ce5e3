/*
 * Short names of accounts: `--as ml-training-dev` for ml-training-dev-sa@acme-ml.iam.gserviceaccount.com. See cli.h.
 *
 * Only those that the policy gives the caller have them, and one that fits two is refused, so that a name never means another account
 * than it says. The broker knows whole addresses alone.
 */

#include <stdlib.h>
#include <string.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"

#define SUFFIX "-sa" /* that many accounts' names end in, and nobody says */

static bool is_short(const char *name) {
	return name && *name && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")];
}

/* Whether an address is name@… with this behind the name. */
static bool is_called(const char *email, const char *name, const char *suffix) {
	size_t n = strlen(name), m = strlen(suffix);

	return !strncmp(email, name, n) && !strncmp(email + n, suffix, m) && email[n + m] == '@';
}

/* How many are called so; *first is one of them. */
static size_t count(const json_t *accounts, const char *name, const char *suffix, const char **first) {
	const json_t *item;
	size_t i, n = 0;

	json_array_foreach(accounts, i, item) {
		const char *email = json_string_value(json_object_get(item, "serviceAccount"));

		if (!email || !is_called(email, name, suffix) || (n && !strcmp(*first, email)))
			continue;
		if (!n++)
			*first = email;
	}
	return n;
}

static void add_guess(const json_t *accounts, const char *name, struct buf *out) {
	struct nearest nearest;
	const json_t *item;
	char names[64][NEAREST_MAX_WORD];
	size_t i, n = 0;

	nearest_init(&nearest, name);
	json_array_foreach(accounts, i, item) {
		const char *email = json_string_value(json_object_get(item, "serviceAccount"));

		if (!email || strchr(email, '*') || n == ARRAY_SIZE(names))
			continue;
		snprintf(names[n], sizeof(names[n]), "%.*s", (int)strcspn(email, "@"), email);
		nearest_offer(&nearest, names[n++]);
	}
	if (nearest.best)
		buf_addf(out, "; did you mean %s?", nearest.best);
}

/* The whole address, or NULL with what is wrong. Borrowed from accounts. */
static const char *find(const json_t *accounts, const char *name, struct error *err) {
	const char *email = NULL;
	struct buf text = BUF_INIT(1024);
	size_t n = count(accounts, name, "", &email);

	if (!n)
		n = count(accounts, name, SUFFIX, &email);
	if (n == 1)
		return email;
	if (!n)
		add_guess(accounts, name, &text);
	error_set(err, ERR_INVALID, n ? "%s stands for more than one account of yours: give the whole address, name@project.iam.gserviceaccount.com%s"
				      : "no account of yours is called %s%s",
		  name, text.data ? text.data : "");
	buf_fini(&text);
	return NULL;
}

/* Kept for as long as the process is. */
static int spell_out(const json_t *reply, const char **name, struct error *err) {
	const char *email;

	if (!is_short(*name))
		return 0;
	if (json_is_true(json_object_get(reply, "truncated")))
		return error_set(err, ERR_INVALID,
				 "you may be more accounts than can be listed, so nobody can tell which one %s is: give the whole address, "
				 "name@project.iam.gserviceaccount.com", *name);
	email = find(json_object_get(reply, "accounts"), *name, err);
	if (!email)
		return -1;
	*name = strdup(email);
	return *name ? 0 : error_set(err, ERR_INTERNAL, "out of memory");
}

/* Where a command line has accounts; what *names points to may be replaced. */
static size_t accounts_of(struct cli *cli, const char **names[static 1 + CLI_MAX_ARGS + CLI_MAX_REPEAT]) {
	bool operands = cli->command->operands && !strcmp(cli->command->operands, COMPLETE_ACCOUNT);
	size_t n = 0;

	names[n++] = &cli->values[OPT_AS];
	for (size_t i = 0; operands && i < cli->n_args; i++)
		names[n++] = &cli->args[i];
	for (size_t i = 0; i < cli->n_also; i++)
		names[n++] = &cli->also[i];
	return n;
}

int accounts_spell_out(struct cli *cli) {
	const char **names[1 + CLI_MAX_ARGS + CLI_MAX_REPEAT];
	size_t n = accounts_of(cli, names), n_short = 0;
	json_t *reply = NULL;
	struct error err;
	int r = API_EXIT_OK;

	for (size_t i = 0; i < n; i++)
		n_short += is_short(*names[i]);
	/* A helper answers in its program's words, and setup has given it the whole address. What others may be is not listed to us. */
	if (!n_short || command_link(cli->command) || cli->values[OPT_PRINCIPAL])
		return API_EXIT_OK;
	r = client_call(cli, API_PATH_LIST, NULL, &reply);
	for (size_t i = 0; r == API_EXIT_OK && i < n; i++)
		if (spell_out(reply, names[i], &err) < 0) {
			r = client_tell(cli, &err, NULL);
			if (!cli->json)
				fputs("hint: `hallpass list` shows what you may be\n", stderr);
		}
	json_decref(reply);
	return r;
}
