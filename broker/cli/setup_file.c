/* The files that setup changes: in, and out again in one piece. See setup.h. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/cli/setup.h"
#include "broker/file.h"

#define FILE_MAX (8 << 20)
#define MAX_LINKS 40 /* one behind the other, as the kernel has it */

int setup_path(char out[PATH_MAX], const char *variable, const char *below_variable, const char *below_home, struct error *err) {
	const char *named = variable ? getenv(variable) : NULL, *home = getenv("HOME");
	/* A relative XDG directory counts as none, says its specification; of others it is one below where we are. */
	bool by_name = named && *named && (*named == '/' || strncmp(variable, "XDG_", 4));

	if (!by_name && (!home || *home != '/'))
		return error_set(err, ERR_INVALID, "HOME is not set, so there is no telling where your configuration is");
	if (snprintf(out, PATH_MAX, "%s/%s", by_name ? named : home, by_name ? below_variable : below_home) >= PATH_MAX)
		return error_set(err, ERR_INVALID, "HOME is too long");
	return 0;
}

const char *setup_shown(const char *path) {
	const char *home = getenv("HOME");
	size_t n = home ? strlen(home) : 0;
	char shown[PATH_MAX];

	if (n < 2 || strncmp(path, home, n) || path[n] != '/')
		return out_safe(path);
	snprintf(shown, sizeof(shown), "~%s", path + n);
	return out_safe(shown);
}

void setup_splice(struct buf *text, size_t at, size_t n, const char *with, size_t n_with) {
	struct buf out = BUF_INIT(text->max);

	buf_add(&out, text->data ? text->data : "", at);
	buf_add(&out, with, n_with);
	buf_add(&out, text->data ? text->data + at + n : "", text->len - at - n);
	buf_fini(text);
	*text = out;
}

/* From a link to where it leads. False: too long. */
static bool follow(char at[PATH_MAX], const char *target) {
	int dir = *target == '/' ? 0 : (int)(strrchr(at, '/') - at) + 1;
	char to[PATH_MAX];

	if (snprintf(to, sizeof(to), "%.*s%s", dir, at, target) >= PATH_MAX)
		return false;
	memcpy(at, to, sizeof(to));
	return true;
}

/* Where the bytes are: behind links, also where the last of them leads to nothing yet. */
static int resolve(struct setup_file *file, struct error *err) {
	char target[PATH_MAX];
	ssize_t n = 0;

	if (realpath(file->path, file->real))
		return 0;
	if (errno != ENOENT) /* round in a circle, say */
		return error_set(err, ERR_INVALID, "%s: %s", file->path, strerror(errno));
	memcpy(file->real, file->path, sizeof(file->real));
	for (int i = 0; i < MAX_LINKS && (n = readlink(file->real, target, sizeof(target) - 1)) >= 0; i++) {
		target[n] = '\0';
		if (!follow(file->real, target))
			return error_set(err, ERR_INVALID, "%s: its link is too long", file->path);
	}
	return n < 0 && (errno == ENOENT || errno == EINVAL) ? 0 : error_set(err, ERR_INVALID, "%s: its links lead nowhere", file->path);
}

/* As open() would make one. */
static mode_t new_mode(mode_t mode) {
	mode_t mask = umask(0);

	umask(mask);
	return mode & ~mask;
}

struct setup_file *setup_file_open(struct setup *s, const char *path, mode_t mode, struct error *err) {
	struct setup_file *file = &s->files[s->n_files];
	char here[PATH_MAX] = "";
	struct stat st;

	*file = (struct setup_file){ .mode = new_mode(mode), .after = BUF_INIT(FILE_MAX) };
	if (*path != '/' && getcwd(here, sizeof(here)))
		strncat(here, "/", sizeof(here) - strlen(here) - 1);
	if (s->n_files == SETUP_MAX_FILES || snprintf(file->path, PATH_MAX, "%s%s", here, path) >= PATH_MAX) {
		error_set(err, ERR_INTERNAL, "too many files, or too long a path");
		return NULL;
	}
	if (resolve(file, err) < 0)
		return NULL;
	s->n_files++;
	if (file_read(file->real, FILE_MAX / 2, &file->before, &file->n_before, err) < 0) {
		if (err->code != ERR_NOT_FOUND)
			return NULL;
		err->code = ERR_NONE;
		return file;
	}
	if (stat(file->real, &st) == 0)
		file->mode = st.st_mode & 07777;
	buf_add(&file->after, file->before, file->n_before);
	return file;
}

bool setup_file_changes(const struct setup_file *file) {
	if (file->gone)
		return file->before != NULL;
	return file->after.len != file->n_before || (file->n_before && memcmp(file->after.data, file->before, file->n_before)) ||
	       (!file->before && file->after.len);
}

void setup_file_fini(struct setup_file *file) {
	free(file->before);
	buf_fini(&file->after);
}

/* --- writing */

static int fail(const struct setup_file *file, const char *what, struct error *err) {
	const char *linked = strcmp(file->path, file->real) ? file->real : NULL;

	return error_set(err, ERR_INVALID, "%s%s%s: %s: %s", file->path, linked ? ", which is " : "", linked ? linked : "", what, strerror(errno));
}

/* What was shown is what is replaced. */
static int check_unchanged(const struct setup_file *file, struct error *err) {
	char *now = NULL;
	size_t n = 0;
	int r = file_read(file->real, FILE_MAX, &now, &n, err);
	bool there = r == 0, same = there ? file->before && n == file->n_before && !memcmp(now, file->before, n) : !file->before;

	free(now);
	if (!there && err->code != ERR_NOT_FOUND)
		return -1;
	err->code = ERR_NONE;
	return same ? 0 : error_set(err, ERR_UNAVAILABLE, "%s was changed meanwhile, and is left as it is; try again", file->path);
}

static int make_dirs(const char *path) {
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	return 0;
}

/* The new one is like the old: mode, and owner where we may say. */
static bool fill(int fd, const struct setup_file *file) {
	struct stat st;
	size_t n = 0;

	while (n < file->after.len) {
		ssize_t r = write(fd, file->after.data + n, file->after.len - n);

		if (r < 0 && errno != EINTR)
			return false;
		n += r > 0 ? (size_t)r : 0;
	}
	if (stat(file->real, &st) == 0 && (st.st_uid != geteuid() || st.st_gid != getegid()) && fchown(fd, st.st_uid, st.st_gid) < 0)
		return false;
	return fchmod(fd, file->mode) == 0 && fsync(fd) == 0;
}

static void sync_dir(const char *path) {
	char dir[PATH_MAX];
	int fd;

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

static int replace(const struct setup_file *file, struct error *err) {
	char temp[PATH_MAX + 16];
	int fd, r = 0;

	if (make_dirs(file->real) < 0)
		return fail(file, "its directory", err);
	snprintf(temp, sizeof(temp), "%s.hallpass-XXXXXX", file->real);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return fail(file, "cannot be replaced", err);
	if (!fill(fd, file))
		r = fail(file, "cannot be written anew", err);
	else if (check_unchanged(file, err) < 0)
		r = -1;
	else if (rename(temp, file->real) < 0)
		r = fail(file, "cannot be replaced", err);
	close(fd);
	if (r < 0)
		unlink(temp);
	return r;
}

int setup_file_write(const struct setup_file *file, struct error *err) {
	int r;

	if (!file->gone && !buf_ok(&file->after))
		return error_set(err, ERR_INTERNAL, "%s: too large", file->path);
	if (file->gone)
		r = check_unchanged(file, err) < 0 ? -1 : unlink(file->real) < 0 ? fail(file, "cannot be removed", err) : 0;
	else
		r = replace(file, err);
	if (r == 0)
		sync_dir(file->real);
	return r;
}
