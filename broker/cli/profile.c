/*
 * The files that programs are pointed at. See keep.h.
 *
 * gcloud and gsutil keep tokens and accounts beside their settings, and take what they find there before they ask anybody: so they get a
 * directory of the account's, with the user's settings copied into it and his logins left behind.
 */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/cli/keep.h"
#include "broker/secret.h"
#include "hallpass/cleanup.h"

#define SETTINGS_MAX (1 << 18)
#define MAX_BOTO 8

/* What says who one is, or where to ask for it, is not copied. */
static const struct unwanted of_gcloud[] = {
	{ "auth", NULL },
	{ "core", "account" },
	{ "core", "check_gce_metadata" },
	{ "core", "pass_credentials_to_gsutil" },
	{ NULL, NULL },
};
static const struct unwanted of_boto[] = {
	{ "Credentials", NULL },	 { "OAuth2", NULL },
	{ "GoogleCompute", NULL },	 { "GSUtil", "state_dir" },
	{ "GSUtil", "resumable_tracker_dir" }, { "GSUtil", "default_project_id" },
	{ NULL, NULL },
};

/* --- settings */

/* False: there is no such file, or it is no file that anybody has written settings into. */
static bool read_settings(int dir, const char *name, struct buf *out) {
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *at;
	ssize_t n = -1;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= SETTINGS_MAX && (at = buf_grow(out, (size_t)st.st_size))) {
		n = read(fd, at, (size_t)st.st_size);
		out->len -= (size_t)st.st_size - (size_t)(n > 0 ? n : 0);
	}
	close(fd);
	return n >= 0;
}

static int copy_settings(int dir, const char *name, const struct unwanted *unwanted, const struct private *to, const char *as,
			 struct error *err) {
	struct buf text = BUF_INIT(SETTINGS_MAX), kept = BUF_INIT(SETTINGS_MAX + 1);
	int r = 0;

	if (read_settings(dir, name, &text)) {
		settings_copy((struct str){ text.data, text.len }, unwanted, &kept);
		r = private_write_bytes(to, as, (struct str){ kept.data, kept.len }, err);
	}
	buf_fini(&text);
	buf_fini(&kept);
	return r;
}

/* --- gcloud's: each of its configurations, and which is the active one */

void profile_own_gcloud(char *out, size_t size) {
	const char *named = getenv("CLOUDSDK_CONFIG"), *home = getenv("HOME");

	if (named && *named)
		snprintf(out, size, "%s", named);
	else
		snprintf(out, size, "%s/.config/gcloud", home ? home : "");
}

static int copy_configurations(int own, const struct private *to, struct error *err) {
	int fd = openat(own, "configurations", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	char as[300];

	while (r == 0 && dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "config_", 7))
			continue;
		snprintf(as, sizeof(as), "gcloud/configurations/%s", entry->d_name);
		r = copy_settings(dirfd(dir), entry->d_name, of_gcloud, to, as, err);
	}
	if (dir)
		closedir(dir);
	return r;
}

static int fill_gcloud(const struct private *to, struct error *err) {
	static const struct unwanted nothing[] = { { NULL, NULL } };
	char path[PATH_MAX];
	int own, r;

	if (private_mkdir(to, "gcloud", err) < 0 || private_mkdir(to, "gcloud/configurations", err) < 0)
		return -1;
	profile_own_gcloud(path, sizeof(path));
	own = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own < 0)
		return 0;
	r = copy_configurations(own, to, err) < 0 ? -1 : copy_settings(own, "active_config", nothing, to, "gcloud/active_config", err);
	close(own);
	return r;
}

/* --- gsutil's: what its boto library reads one after another, and ours at the end */

static size_t own_boto(char paths[MAX_BOTO][PATH_MAX]) {
	const char *one = getenv("BOTO_CONFIG"), *list = getenv("BOTO_PATH"), *home = getenv("HOME");
	size_t n = 0;

	if (one || !list) {
		snprintf(paths[n++], PATH_MAX, "%s", one ? one : "/etc/boto.cfg");
		if (!one)
			snprintf(paths[n++], PATH_MAX, "%s/.boto", home ? home : "");
		return n;
	}
	while (*list && n < MAX_BOTO) {
		size_t len = strcspn(list, ":");

		snprintf(paths[n++], PATH_MAX, "%.*s", (int)len, list);
		list += len + (list[len] == ':');
	}
	return n;
}

static int fill_boto(const struct private *to, struct error *err) {
	char paths[MAX_BOTO][PATH_MAX], as[16], text[512];
	size_t n = own_boto(paths), kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (access(paths[i], R_OK) < 0)
			continue;
		snprintf(as, sizeof(as), "boto-%zu", kept++);
		if (copy_settings(AT_FDCWD, paths[i], of_boto, to, as, err) < 0)
			return -1;
	}
	snprintf(as, sizeof(as), "boto-%zu", kept);
	snprintf(text, sizeof(text), "[GSUtil]\nstate_dir = %s/gsutil\n[GoogleCompute]\nservice_account = default\n", to->dir);
	return private_mkdir(to, "gsutil", err) < 0 ? -1 : private_write(to, as, text, err);
}

/* --- credential files, of two types, since there is none that all clients take */

static int write_json(const struct keeper *k, const char *name, json_t *json, struct error *err) {
	char *text = json_dumps(json, JSON_INDENT(2));
	int r = text ? private_write(&k->private, name, text, err) : error_set(err, ERR_INTERNAL, "out of memory");

	wipe_free(text);
	json_decref(json);
	return r;
}

struct places {
	char token[64], info[64], audience[300];
};

static void places_of(const struct keeper *k, const char *account, struct places *out) {
	snprintf(out->token, sizeof(out->token), "http://127.0.0.1:%d" API_PATH_EXCHANGE, k->control.port);
	snprintf(out->info, sizeof(out->info), "http://127.0.0.1:%d" API_PATH_INTROSPECT, k->control.port);
	snprintf(out->audience, sizeof(out->audience), API_AUDIENCE_LOCAL "/%s", account);
}

/* By it a program gets the scopes that it chooses. C++ takes no other, and Java none without TLS. */
static int write_external(const struct keeper *k, const char *account, struct error *err) {
	char handle[300], name[300];
	struct places at;

	places_of(k, account, &at);
	profile_external(account, name, sizeof(name));
	snprintf(handle, sizeof(handle), "%s/handle", k->private.dir);
	return write_json(k, name,
			  json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s}}", "type", "external_account", "audience", at.audience,
				    "subject_token_type", "urn:ietf:params:oauth:token-type:jwt", "token_url", at.token, "token_info_url", at.info,
				    "credential_source", "file", handle),
			  err);
}

/* To clients a login, with the handle for a refresh token. The client's id and secret must be there, and are nobody's. */
static int write_authorized(const struct keeper *k, struct error *err) {
	struct buf handle = BUF_INIT(1024);
	struct places at;
	int r = -1;

	places_of(k, k->lease.account, &at);
	if (read_settings(k->private.fd, "handle", &handle))
		r = write_json(k, "credentials.json",
			       json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s%}", "type", "external_account_authorized_user", "audience", at.audience,
					 "token_url", at.token, "token_info_url", at.info, "client_id", "hallpass", "client_secret", "hallpass",
					 "refresh_token", handle.data, handle.len),
			       err);
	else
		error_set(err, ERR_UNAVAILABLE, "%s/handle cannot be read", k->private.dir);
	if (handle.data)
		wipe(handle.data, handle.len);
	buf_fini(&handle);
	return r;
}

void profile_external(const char *account, char *out, size_t size) {
	snprintf(out, size, "%.240s.json", account);
}

int profile_write(const struct keeper *k, bool alone, struct error *err) {
	if (write_authorized(k, err) < 0 || write_external(k, k->lease.account, err) < 0)
		return -1;
	for (size_t i = 0; i < k->cli->n_also; i++)
		if (write_external(k, k->cli->also[i], err) < 0)
			return -1;
	if (!alone)
		return 0;
	return fill_gcloud(&k->identity, err) < 0 || fill_boto(&k->identity, err) < 0 ? -1 : private_shared(&k->identity, err);
}

/* C++, Go and older Node.js look there without CLOUDSDK_CONFIG, and before they ask a metadata server. */
void profile_tell_login(const struct keeper *k) {
	const char *home = getenv("HOME");
	char path[PATH_MAX], text[PATH_MAX + 200];

	snprintf(path, sizeof(path), "%s/.config/gcloud/application_default_credentials.json", home ? home : "");
	if (!k->cli->values[OPT_METADATA] || access(path, R_OK) < 0)
		return;
	snprintf(text, sizeof(text), "with --metadata, C++, Go and older Node.js programs use your own login in %s", out_safe(path));
	keep_tell(k->cli, COLOR_YELLOW, text);
}
