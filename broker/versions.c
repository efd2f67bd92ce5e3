/* See versions.h. */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/audit/record.h"
#include "broker/file.h"
#include "broker/sha256.h"
#include "broker/versions.h"
#include "hallpass/cleanup.h"

#define PATH_MAX_BYTES 4096
#define UNFINISHED "unfinished"

static bool is_hash(const char *hash) {
	return strlen(hash) == SHA256_HEX - 1 && strspn(hash, "0123456789abcdef") == SHA256_HEX - 1;
}

/* ---- reading ---- */

static int path_of(const char *dir, const char *hash, char path[PATH_MAX_BYTES], struct error *err) {
	if (!is_hash(hash))
		return error_set(err, ERR_INVALID, "\"%.80s\" is no SHA-256 in hex", hash);
	if (snprintf(path, PATH_MAX_BYTES, "%s/policies/%s.yaml", dir, hash) >= PATH_MAX_BYTES)
		return error_set(err, ERR_INVALID, "%.100s…: the path is too long", dir);
	return 0;
}

int version_read(const char *dir, const char *hash, char **text, size_t *len, struct error *err) {
	char path[PATH_MAX_BYTES], found[SHA256_HEX];

	if (path_of(dir, hash, path, err) < 0)
		return -1;
	if (file_read(path, VERSION_MAX_BYTES, text, len, err) < 0) {
		if (err->code == ERR_NOT_FOUND)
			error_set(err, ERR_NOT_FOUND, "the policy with SHA-256 %.12s… is not kept: there is no %s", hash, path);
		return -1;
	}
	sha256_hex(*text, *len, found);
	if (!strcmp(found, hash))
		return 0;
	free(take(text));
	return error_set(err, ERR_INVALID, "%s is not the policy that its name says (its SHA-256 is %.12s…): it was changed; "
			 "restore it from a backup, or move it away", path, found);
}

/* ---- keeping ---- */

static int failed(const char *what, const char *dir, const char *name, struct error *err) {
	return error_set(err, ERR_UNAVAILABLE, "cannot keep the policy beside the log: cannot %s %s/policies%s%s: %s", what, dir,
			 *name ? "/" : "", name, strerror(errno));
}

/* The directory, made when missing; durable then. -1: none. */
static int open_policies(const char *dir, struct error *err) {
	char path[PATH_MAX_BYTES];
	int parent, fd;
	bool made, ok = true;

	if (snprintf(path, sizeof(path), "%s/policies", dir) >= (int)sizeof(path))
		return error_set(err, ERR_INVALID, "%.100s…: the path is too long", dir);
	made = mkdir(path, 0700) == 0;
	if (!made && errno != EEXIST)
		return failed("make", dir, "", err);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return failed("open", dir, "", err);
	if (made) {
		parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ok = parent >= 0 && fsync(parent) == 0;
		if (parent >= 0)
			close(parent);
	}
	if (ok)
		return fd;
	failed("sync", dir, "", err);
	close(fd);
	return -1;
}

static int write_all(int fd, struct str text) {
	ssize_t n;

	while (text.n) {
		n = write(fd, text.p, text.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text = (struct str){ text.p + n, text.n - (size_t)n };
	}
	return 0;
}

/* Under another name first, so that what has the name is whole. */
static int write_version(int policies, const char *dir, const char *name, struct str text, struct error *err) {
	int fd, r;

	unlinkat(policies, UNFINISHED, 0); /* of a broker that ended while it wrote */
	fd = openat(policies, UNFINISHED, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed("make", dir, name, err);
	r = write_all(fd, text) < 0 || fsync(fd) < 0 ? failed("write", dir, name, err) : 0;
	close(fd);
	if (r == 0 && (renameat(policies, UNFINISHED, policies, name) < 0 || fsync(policies) < 0))
		r = failed("name", dir, name, err);
	if (r < 0)
		unlinkat(policies, UNFINISHED, 0);
	return r;
}

/* 1: it is there and is this text; 0: it is not there. */
static int is_kept(const char *dir, const char *hash, struct error *err) {
	char *text = NULL;
	size_t len;
	int r = version_read(dir, hash, &text, &len, err);

	free(text);
	return r == 0 ? 1 : err->code == ERR_NOT_FOUND ? 0 : -1;
}

int version_keep(const char *dir, const char *hash, struct str text, struct error *err) {
	char name[SHA256_HEX + 8];
	int kept = is_kept(dir, hash, err), policies, r;

	if (kept)
		return kept > 0 ? 0 : -1;
	policies = open_policies(dir, err);
	if (policies < 0)
		return -1;
	snprintf(name, sizeof(name), "%s.yaml", hash);
	r = write_version(policies, dir, name, text, err);
	close(policies);
	return r;
}

/* ---- which it was when ---- */

int versions_room(struct versions *v) {
	struct version *more;

	if (v->n < v->size)
		return 0;
	more = realloc(v->list, (v->size ? v->size * 2 : 16) * sizeof(*more));
	if (!more)
		return -1;
	v->list = more;
	v->size = v->size ? v->size * 2 : 16;
	return 0;
}

void versions_add(struct versions *v, int64_t since, const char *hash) {
	if (!is_hash(hash) || (v->n && !strcmp(v->list[v->n - 1].hash, hash)) || versions_room(v) < 0)
		return;
	v->list[v->n].since = since;
	snprintf(v->list[v->n++].hash, SHA256_HEX, "%s", hash);
}

void versions_add_record(struct versions *v, struct str json) {
	struct record_head head;
	const char *policy, *time;
	struct instant since;
	json_t *record;

	record_head(json, &head);
	if (head.type != RECORD_START && head.type != RECORD_RELOAD)
		return;
	record = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
	policy = json_string_value(json_object_get(record, "policy"));
	time = json_string_value(json_object_get(record, "time"));
	if (policy && time && record_time(time, &since))
		versions_add(v, since.s, policy);
	json_decref(record);
}

const struct version *versions_at(const struct versions *v, int64_t at) {
	for (size_t i = v->n; i > 0; i--)
		if (v->list[i - 1].since <= at)
			return &v->list[i - 1];
	return NULL;
}

const struct version *versions_of(const struct versions *v, const char *hash) {
	for (size_t i = v->n; i > 0; i--)
		if (!strcmp(v->list[i - 1].hash, hash))
			return &v->list[i - 1];
	return NULL;
}

void versions_fini(struct versions *v) {
	free(v->list);
	*v = (struct versions){ 0 };
}
