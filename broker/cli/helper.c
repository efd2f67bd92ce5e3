/* See helper.h. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "broker/cli/helper.h"
#include "broker/cli/memory.h"
#include "hallpass/cleanup.h"

#define HOST_MAX_BYTES 253 /* RFC 1035 §2.3.4, without the dot at the end */

static const struct helper_host hosts[] = {
	{ "gcr.io", true, true, HELPER_DOCKER, "oauth2accesstoken" },
	{ "pkg.dev", false, true, HELPER_DOCKER | HELPER_GIT, "oauth2accesstoken" },
	{ "source.developers.google.com", true, false, HELPER_GIT, NULL },
	{ "sourcemanager.dev", false, true, HELPER_GIT, NULL },
	{ "developerconnect.dev", false, true, HELPER_GIT, NULL },
	/* Whoever it is, is in the token; the name has to begin with "git-". */
	{ "googlesource.com", true, true, HELPER_GIT, "git-account" },
};

/* As DNS has names: what else is in it, a ? or a #, would end the host for whoever connects, and the token would go to another. */
static bool is_host(const char *host, size_t n) {
	return n && n <= HOST_MAX_BYTES && strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == n;
}

static bool host_is(const struct helper_host *known, const char *host, size_t n) {
	size_t k = strlen(known->name);

	if (n < k || strncasecmp(host + n - k, known->name, k))
		return false;
	return n == k ? known->itself : known->below && n > k + 1 && host[n - k - 1] == '.';
}

const struct helper_host *helper_host_find(const char *host, enum helper_use use) {
	size_t n = strcspn(host, ":");

	if (!is_host(host, n) || (host[n] && strcmp(host + n, ":443")))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if ((hosts[i].uses & use) && host_is(&hosts[i], host, n))
			return &hosts[i];
	return NULL;
}

bool helper_host_named(const char *given, enum helper_use use, char *out, size_t size) {
	snprintf(out, size, "%s", strncmp(given, "https://", 8) ? given : given + 8);
	out[strcspn(out, "/")] = '\0';
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return helper_host_find(out, use) != NULL;
}

int helper_account(const struct cli *cli, const char *host, char out[HELPER_ACCOUNT_MAX], struct error *err) {
	const char *named = cli->values[OPT_AS] ? cli->values[OPT_AS] : getenv("HALLPASS_AS");

	if (!named || !*named)
		named = cli->values[OPT_DEFAULT_AS];
	out[0] = '\0';
	if (named && *named)
		snprintf(out, HELPER_ACCOUNT_MAX, "%s", named);
	else if (host && memory_account(host, out, HELPER_ACCOUNT_MAX, err) < 0)
		return -1;
	if (*out)
		return 0;
	return error_set(err, ERR_INVALID, "as which account? Run it within `hallpass run --as ACCOUNT -- …`, or give one to `hallpass setup`");
}

json_t *helper_ask(struct cli *cli, const char *path, json_t *body, const char *member, int deadline_ms, struct error *err) {
	json_t *reply = NULL;
	int r;

	cli->spinner = false; /* the terminal is another program's */
	cli->deadline_ms = deadline_ms;
	r = client_try(cli, path, body, &reply, err);
	json_decref(body);
	if (r == 0 && json_string_value(json_object_get(reply, member)))
		return reply;
	if (r == 0)
		error_set(err, ERR_INTERNAL, "the broker's answer has no %s", member);
	else if (reply && err->code == ERR_NOT_FOUND) /* the broker is there, and says so */
		err->code = ERR_REFUSED;
	json_decref(reply);
	return NULL;
}

json_t *helper_token(struct cli *cli, const char *account, int deadline_ms, struct error *err) {
	json_t *body;

	cli->values[OPT_AS] = account;
	body = cli_token_body(cli);
	if (body)
		return helper_ask(cli, API_PATH_TOKEN, body, API_ACCESS_TOKEN, deadline_ms, err);
	error_set(err, ERR_INVALID, "an option of its own is wrong");
	return NULL;
}

void helper_read(char *out, size_t size) {
	char rest[1024];
	size_t n = 0;
	ssize_t r;

	while ((r = read(STDIN_FILENO, n < size - 1 ? out + n : rest, n < size - 1 ? size - 1 - n : sizeof(rest))) != 0) {
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			break;
		n += n < size - 1 ? (size_t)r : 0;
	}
	out[n] = '\0';
	explicit_bzero(rest, sizeof(rest));
}

int helper_answer(struct buf *answer) {
	bool ok = buf_ok(answer) && fwrite(answer->data, 1, answer->len, stdout) == answer->len && fflush(stdout) == 0;

	if (answer->data)
		explicit_bzero(answer->data, answer->len);
	buf_fini(answer);
	return ok ? API_EXIT_OK : API_EXIT_FAILED;
}

void helper_words(const struct error *err, struct buf *out) {
	buf_addf(out, "hallpass: %s: %s", client_kind(err), out_safe(err->message));
}
