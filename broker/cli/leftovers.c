/*
 * By what programs get past the broker: variables that name another credential, or keep clients from looking for a metadata server,
 * what gcloud remembers, and logins of one's own. See checks.h.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/checks.h"
#include "broker/cli/keep.h"
#include "hallpass/cleanup.h"

#define GCE_BELIEVED_S 600 /* so long gcloud does not look again */
#define OUR_FILES "/hallpass-run." /* of `run` and `env` */

/* --- variables */

static const struct variable {
	const char *name;
	const char *only; /* its one value that matters; NULL: any */
	const char *what;
} variables[] = {
	{ "GOOGLE_APPLICATION_CREDENTIALS", NULL, "Python, Node, Go, Java and Terraform use the credential in that file" },
	{ "CLOUDSDK_AUTH_ACCESS_TOKEN", NULL, "gcloud and bq use that token, even when it is over" },
	{ "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", NULL, "gcloud and bq use the token in that file" },
	{ "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", NULL, "gcloud and bq use the credential in that file" },
	{ "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", NULL, "gcloud asks Google for that account's tokens by itself" },
	{ "CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true", "gcloud sends no credential at all" },
	{ "CLOUDSDK_CORE_ACCOUNT", NULL, "gcloud uses that account's own login" },
	{ "CLOUDSDK_CORE_CHECK_GCE_METADATA", "false", "gcloud, gsutil and bq look for no metadata server" },
	{ "GOOGLE_CREDENTIALS", NULL, "Terraform uses that credential" },
	{ "GOOGLE_OAUTH_ACCESS_TOKEN", NULL, "Terraform uses that token" },
	{ "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", NULL, "Terraform asks Google for that account's tokens by itself" },
	{ "GOOGLE_BACKEND_IMPERSONATE_SERVICE_ACCOUNT", NULL, "Terraform asks Google for that account's tokens by itself" },
	{ "NO_GCE_CHECK", "true", "Python looks for no metadata server" },
	{ "GCE_METADATA_MTLS_MODE", "strict", "Python takes no metadata server without certificates of its own" },
};

/* Where it is a session's own: what `env` told this shell, or `run` this command. */
static bool is_ours(const char *value) {
	const char *account = getenv("HALLPASS_AS");

	return strstr(value, OUR_FILES) || (account && !strcmp(value, account));
}

static bool matters(const struct variable *v) {
	const char *value = getenv(v->name);

	return value && *value && (!v->only || !strcasecmp(value, v->only)) && !is_ours(value);
}

static size_t check_variables(json_t *checks) {
	size_t found = 0;
	char remedy[120];

	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		if (!matters(&variables[i]))
			continue;
		found++;
		snprintf(remedy, sizeof(remedy), "unset %s", variables[i].name);
		checks_add(checks, "environment", "warn", remedy, "%s is set: %s, %s", variables[i].name, variables[i].what,
			   environment_takes_away(variables[i].name) ? "unless it is started by `hallpass run`" : "also under `hallpass run`");
	}
	return found;
}

/* All three or none: each client reads another. */
static size_t check_metadata(json_t *checks) {
	static const char *const names[] = { "GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT" };
	const char *first = getenv(names[0]), *value;
	size_t n = 0, same = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		value = getenv(names[i]);
		n += value != NULL;
		same += value && first && !strcmp(value, first);
	}
	if (n == 0 || same == ARRAY_SIZE(names))
		return 0;
	checks_add(checks, "environment", "warn", "unset GCE_METADATA_HOST GCE_METADATA_IP GCE_METADATA_ROOT, and use `hallpass run` or `hallpass env`",
		   "of GCE_METADATA_HOST, GCE_METADATA_IP and GCE_METADATA_ROOT %s: each kind of client reads another, and asks the machine's own "
		   "metadata server where its variable is missing",
		   n < ARRAY_SIZE(names) ? "some are set and some not" : "not all say the same");
	return 1;
}

/* Python and Node ask a proxy for loopback, too. What `run` starts is told not to. */
static size_t check_proxy(json_t *checks) {
	const char *proxy = getenv("HTTP_PROXY") ? getenv("HTTP_PROXY") : getenv("http_proxy");
	const char *except = getenv("NO_PROXY") ? getenv("NO_PROXY") : getenv("no_proxy");

	if (!proxy || !*proxy || !getenv("GCE_METADATA_HOST") || (except && strstr(except, "127.0.0.1")))
		return 0;
	checks_add(checks, "environment", "warn", "export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost",
		   "HTTP_PROXY is set, and NO_PROXY does not name 127.0.0.1: Python and Node ask the proxy for the session's port");
	return 1;
}

/* --- gcloud's directory */

static void gcloud_file(const char *name, char *path, size_t size) {
	profile_own_gcloud(path, size);
	snprintf(path + strlen(path), size - strlen(path), "/%s", name);
}

/* Its first bytes, without the line's end. False: it is not there. */
static bool read_first(const char *path, char *text, size_t size) {
	FILE *f = fopen(path, "re");

	text[0] = '\0';
	if (!f)
		return false;
	if (!fgets(text, (int)size, f))
		text[0] = '\0';
	fclose(f);
	text[strcspn(text, "\r\n")] = '\0';
	return true;
}

/* gcloud that ran before there was a metadata server does not look for one for ten minutes. */
static void check_gce_cache(json_t *checks) {
	char path[512], remedy[600], text[16];
	struct stat st;
	int64_t left;

	gcloud_file("gce", path, sizeof(path));
	if (!read_first(path, text, sizeof(text)) || strcmp(text, "False") || stat(path, &st) < 0)
		return;
	left = (int64_t)st.st_mtime + GCE_BELIEVED_S - (int64_t)time(NULL);
	if (left <= 0)
		return;
	snprintf(remedy, sizeof(remedy), "rm '%s'", path);
	/* Whose gcloud has a login or a configuration of its own looks for none, and writes this every ten minutes. */
	checks_add(checks, "gcloud-cache", getenv("GCE_METADATA_ROOT") ? "warn" : "note", remedy,
		   "gcloud found no metadata server a while ago, and does not look again for %lld s (%s); `hallpass run` has a directory of its own",
		   (long long)left, path);
}

/* "account = alice@example.com" of the configuration that is active. False: there is none. */
static bool read_account(char *out, size_t size) {
	char path[512], name[100], file[128], line[512];
	FILE *f;

	gcloud_file("active_config", path, sizeof(path));
	if (!read_first(path, name, sizeof(name)) || !*name)
		snprintf(name, sizeof(name), "default");
	snprintf(file, sizeof(file), "configurations/config_%s", name);
	gcloud_file(file, path, sizeof(path));
	f = fopen(path, "re");
	*out = '\0';
	while (f && !*out && fgets(line, sizeof(line), f))
		if (!strncmp(line, "account", 7) && line[7 + strspn(line + 7, " ")] == '=')
			snprintf(out, size, "%.*s", (int)strcspn(strchr(line, '=') + 1 + strspn(strchr(line, '=') + 1, " "), "\r\n"),
				 strchr(line, '=') + 1 + strspn(strchr(line, '=') + 1, " "));
	if (f)
		fclose(f);
	return *out;
}

static void check_logins(json_t *checks) {
	char path[512], account[256];

	gcloud_file("application_default_credentials.json", path, sizeof(path));
	if (access(path, R_OK) == 0)
		checks_add(checks, "own-login", "note", NULL, "programs that are not started by `hallpass run` use the login in %s", path);
	if (read_account(account, sizeof(account)))
		checks_add(checks, "own-login", "note", NULL, "gcloud that is not started by `hallpass run` is %s", account);
}

void checks_leftovers(json_t *checks) {
	size_t found = check_variables(checks) + check_metadata(checks) + check_proxy(checks);

	if (!found)
		checks_add(checks, "environment", "ok", NULL, "no variable leads programs past the broker");
	check_gce_cache(checks);
	check_logins(checks);
}
