/* A directory of one's own on tmpfs. See keep.h. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
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

static bool is_tmpfs(const char *dir) {
	struct statfs fs;

	return statfs(dir, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static void empty_dir(int base_fd, const char *name, int dir_fd) {
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dir_fd, entry->d_name, 0);
	if (dir)
		closedir(dir);
	unlinkat(base_fd, name, AT_REMOVEDIR);
}

/* Removes a directory of ours that nobody holds a lock on any more. */
static void sweep_one(int base_fd, const char *name) {
	int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
		empty_dir(base_fd, name, fd);
	close(fd);
}

static void sweep(const char *base) {
	DIR *dir = opendir(base);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, DIR_PREFIX, strlen(DIR_PREFIX)))
			sweep_one(dirfd(dir), entry->d_name);
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

int private_write(const struct private *p, const char *name, const char *text, struct error *err) {
	char temp[64];
	bool ok;
	int fd;

	snprintf(temp, sizeof(temp), "%s.new", name);
	fd = openat(p->fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0 && close(fd) < 0)
		ok = false;
	if (!ok || renameat(p->fd, temp, p->fd, name) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s/%s: %s", p->dir, name, strerror(errno));
	return 0;
}

void private_remove(struct private *p) {
	if (p->fd < 0)
		return;
	empty_dir(AT_FDCWD, p->dir, p->fd);
	close(p->fd);
	p->fd = -1;
}
