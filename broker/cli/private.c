/* A directory of one's own on tmpfs. See keep.h. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include "broker/cli/keep.h"
#include "hallpass/cleanup.h"

#define DIR_PREFIX "hallpass-run."
#define FILLED "filled"
#define SHARED_PREFIX "hallpass-as." /* the uid, and whose it is: on /dev/shm everybody's stand side by side */

static bool is_tmpfs(const char *dir) {
	struct statfs fs;

	return statfs(dir, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static bool is_among(const char *name, const char *const *names) {
	for (; names && *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

/* All that is below fd but what is named: programs that a directory was given to make directories in it. */
static void clear(int fd, const char *const *keep) {
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), below;
	DIR *dir = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (!strcmp(name, ".") || !strcmp(name, "..") || is_among(name, keep) || unlinkat(fd, name, 0) == 0)
			continue;
		below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0)
			continue;
		clear(below, NULL);
		close(below);
		unlinkat(fd, name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
}

static void empty_dir(int base_fd, const char *name, int dir_fd) {
	clear(dir_fd, NULL);
	unlinkat(base_fd, name, AT_REMOVEDIR);
}

/*
 * What a tool wrote down of a transfer that was broken off stays, so that it can be taken up again; tokens do not. Where nothing is left,
 * so does not the directory.
 */
static void forget(int base_fd, const char *path, int fd) {
	static const char *const tools[] = { "gcloud", "gsutil", NULL }, *const transfers[] = { "surface_data", "tracker-files", NULL };

	clear(fd, tools);
	for (size_t i = 0; tools[i]; i++) {
		int below = openat(fd, tools[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (below < 0)
			continue;
		clear(below, transfers);
		close(below);
		unlinkat(fd, tools[i], AT_REMOVEDIR);
	}
	unlinkat(base_fd, path, AT_REMOVEDIR);
}

/* Removes a directory of ours that nobody holds a lock on any more. */
static void sweep_one(int base_fd, const char *name, bool stays) {
	int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
		stays ? forget(base_fd, name, fd) : empty_dir(base_fd, name, fd);
	close(fd);
}

static void sweep(const char *base) {
	DIR *dir = opendir(base);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (!strncmp(entry->d_name, DIR_PREFIX, strlen(DIR_PREFIX)))
			sweep_one(dirfd(dir), entry->d_name, false);
		else if (!strncmp(entry->d_name, SHARED_PREFIX, strlen(SHARED_PREFIX)))
			sweep_one(dirfd(dir), entry->d_name, true);
	}
	if (dir)
		closedir(dir);
}

/* The lock is taken before the directory is used: another's sweep may have been faster, and then it is gone. */
static bool claim(struct private *p) {
	struct stat st;

	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->fd >= 0 && flock(p->fd, LOCK_EX) == 0 && fstat(p->fd, &st) == 0 && st.st_nlink > 0)
		return true;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	return false;
}

/* Where a token may lie. What dead ones left there is removed on the way. */
static const char *find_base(struct error *err) {
	const char *const bases[] = { getenv("XDG_RUNTIME_DIR"), "/dev/shm" };
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		if (!bases[i] || !is_tmpfs(bases[i]))
			continue;
		sweep(bases[i]);
		if (!found && access(bases[i], W_OK | X_OK) == 0)
			found = bases[i];
	}
	if (!found)
		error_set(err, ERR_UNAVAILABLE,
			  "no tmpfs to keep the token file on: neither XDG_RUNTIME_DIR nor /dev/shm is one, and a token is not "
			  "written to a disk");
	return found;
}

int private_make(struct private *p, struct error *err) {
	const char *base = find_base(err);

	p->fd = -1;
	if (!base)
		return -1;
	for (int tries = 0; tries < 100; tries++) {
		snprintf(p->dir, sizeof(p->dir), "%s/" DIR_PREFIX "XXXXXX", base);
		if (!mkdtemp(p->dir))
			break;
		if (claim(p))
			return 0;
	}
	return error_set(err, ERR_UNAVAILABLE, "%s: no directory for the token: %s", base, strerror(errno));
}

int private_write_bytes(const struct private *p, const char *name, struct str bytes, struct error *err) {
	char temp[300];
	bool ok;
	int fd;

	snprintf(temp, sizeof(temp), "%s.new", name);
	fd = openat(p->fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ok = fd >= 0 && write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n;
	if (fd >= 0 && close(fd) < 0)
		ok = false;
	if (!ok || renameat(p->fd, temp, p->fd, name) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s/%s: %s", p->dir, name, strerror(errno));
	return 0;
}

int private_write(const struct private *p, const char *name, const char *text, struct error *err) {
	return private_write_bytes(p, name, str_of(text), err);
}

int private_mkdir(const struct private *p, const char *name, struct error *err) {
	if (mkdirat(p->fd, name, 0700) == 0 || errno == EEXIST)
		return 0;
	return error_set(err, ERR_UNAVAILABLE, "%s/%s: %s", p->dir, name, strerror(errno));
}

/* Ours, and nobody else's: on /dev/shm anybody may have been there before. */
static bool is_ours(int fd) {
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

/* It is there, and filled; or it is for us alone to fill. Between opening and locking it another may remove it. */
static bool lock_shared(struct private *p, bool *alone) {
	struct stat st;

	*alone = flock(p->fd, LOCK_EX | LOCK_NB) == 0;
	return (*alone || flock(p->fd, LOCK_SH) == 0) && fstat(p->fd, &st) == 0 && st.st_nlink > 0 &&
	       (*alone || faccessat(p->fd, FILLED, F_OK, 0) == 0);
}

static int open_shared(struct private *p, bool *alone) {
	for (int tries = 0; tries < 100; tries++) {
		mkdir(p->dir, 0700);
		p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (p->fd < 0 && errno == ENOENT)
			continue;
		if (!is_ours(p->fd))
			break;
		if (lock_shared(p, alone))
			return 0;
		close(p->fd);
		p->fd = -1;
		poll(NULL, 0, 10); /* another is tidying up there, or has not filled it yet */
	}
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	return -1;
}

int private_share(struct private *p, const struct private *own, const char *name, bool *alone, struct error *err) {
	snprintf(p->dir, sizeof(p->dir), "%.*s/" SHARED_PREFIX "%u.%.120s", (int)(strrchr(own->dir, '/') - own->dir), own->dir,
		 (unsigned)geteuid(), name);
	if (open_shared(p, alone) == 0)
		return 0;
	snprintf(p->dir, sizeof(p->dir), "%.240s/as", own->dir); /* what cannot be shared is the session's own */
	return open_shared(p, alone) == 0 ? 0 : error_set(err, ERR_UNAVAILABLE, "%s: %s", p->dir, strerror(errno));
}

/* Between one lock and the other a sweep may come, and then the name is for whoever takes it. */
int private_shared(const struct private *p, struct error *err) {
	struct stat st;

	if (private_write(p, FILLED, "", err) < 0)
		return -1;
	if (flock(p->fd, LOCK_SH) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", p->dir, strerror(errno));
	if (fstat(p->fd, &st) < 0 || st.st_nlink == 0 || faccessat(p->fd, FILLED, F_OK, 0) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s was removed meanwhile; try again", p->dir);
	return 0;
}

void private_unshare(struct private *p) {
	if (p->fd < 0)
		return;
	if (flock(p->fd, LOCK_EX | LOCK_NB) == 0)
		forget(AT_FDCWD, p->dir, p->fd);
	close(p->fd);
	p->fd = -1;
}

void private_remove(struct private *p) {
	if (p->fd < 0)
		return;
	empty_dir(AT_FDCWD, p->dir, p->fd);
	close(p->fd);
	p->fd = -1;
}
