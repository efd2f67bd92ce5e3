/* See listener.h. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "broker/listener.h"

#define BACKLOG 4096

struct listener {
	int fd;
	int dir_fd; /* of the directory that the socket stands in */
	char *name; /* in it */
	dev_t dev;
	ino_t ino;
};

static bool name_is_link(int dir_fd, const char *name) {
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

static void close_keeping_errno(int fd) {
	int saved = errno;

	close(fd);
	errno = saved;
}

/*
 * The directory, without following a symbolic link anywhere on the way: openat2(RESOLVE_NO_SYMLINKS) step by step, for
 * containers and valgrind do not know that call.
 */
static int open_dir(const char *dir) {
	int fd = open(dir[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[256];

	while (fd >= 0) {
		size_t n;
		int next;

		dir += strspn(dir, "/");
		n = strcspn(dir, "/");
		assert(n < sizeof(name)); /* of a path that fits a socket's address */
		memcpy(name, n ? dir : ".", n ? n : 1);
		name[n ? n : 1] = '\0';
		next = openat(fd, name, (n ? O_PATH : O_RDONLY) | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
		/* Of a link O_DIRECTORY says that it is none. */
		if (next < 0 && errno == ENOTDIR && name_is_link(fd, name))
			errno = ELOOP;
		close_keeping_errno(fd);
		fd = next;
		if (!n)
			break;
		dir += n;
	}
	return fd;
}

static int dir_check(int dir_fd, const char *dir, struct error *err) {
	struct stat st;

	if (fstat(dir_fd, &st) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", dir, strerror(errno));
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return error_set(err, ERR_INVALID, "%s belongs to uid %u: the socket's directory must be ours or root's", dir,
				 st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(err, ERR_INVALID, "%s is writable by others (mode %04o): chmod go-w %s", dir,
				 st.st_mode & 07777, dir);
	return 0;
}

static int dir_get(const char *dir, int *out, struct error *err) {
	int fd = open_dir(dir);

	if (fd < 0 && errno == ENOENT) {
		/* Others must be able to reach a system's socket; who may use it is the socket's own mode. */
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return error_set(err, ERR_UNAVAILABLE, "%s: cannot make the socket's directory: %s", dir,
					 strerror(errno));
		fd = open_dir(dir);
		if (fd >= 0 && geteuid() == 0 && fchmod(fd, 0755) < 0) {
			error_set(err, ERR_UNAVAILABLE, "%s: %s", dir, strerror(errno));
			close(fd);
			return -1;
		}
	}
	if (fd < 0)
		return error_set(err, errno == ELOOP ? ERR_INVALID : ERR_UNAVAILABLE, "%s: %s", dir,
				 errno == ELOOP ? "there is a symbolic link on the way; name the real directory"
						: strerror(errno));
	if (dir_check(fd, dir, err) < 0) {
		close(fd);
		return -1;
	}
	*out = fd;
	return 0;
}

/* Only what the kernel refuses is nobody's: not to be let in (EACCES), or a socket of another kind, is somebody. */
static bool socket_is_stale(const struct sockaddr_un *un) {
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 &&
		     (errno == ECONNREFUSED || errno == ENOENT);

	if (fd >= 0)
		close(fd);
	return stale;
}

static int place_check(int dir_fd, const char *name, const struct sockaddr_un *un, struct error *err) {
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_set(err, ERR_UNAVAILABLE, "%s: %s", un->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, ERR_INVALID, "%s is there and is no socket: remove it", un->sun_path);
	if (!socket_is_stale(un))
		return error_set(err, ERR_UNAVAILABLE, "%s: another server listens there; stop it first", un->sun_path);
	return 0;
}

static int set_group(int dir_fd, const char *name, const char *group, struct error *err) {
	struct group *gr;

	if (!group)
		return 0;
	gr = getgrnam(group); /* at start, before the loop runs */
	if (!gr)
		return error_set(err, ERR_INVALID, "no group \"%s\" for the socket", group);
	if (fchownat(dir_fd, name, (uid_t)-1, gr->gr_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, ERR_INVALID, "cannot give the socket to group %s: %s", group, strerror(errno));
	return 0;
}

/* Binds inside a 0700 directory of our own, so that nobody connects before mode and group are right. */
static int bind_private(struct listener *l, const char *dir, unsigned mode, const char *group, struct error *err) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char temp[64], inner[80];
	int r = 0;

	snprintf(temp, sizeof(temp), ".hp%ld", (long)getpid());
	snprintf(inner, sizeof(inner), "%s/s", temp);
	if (snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s/s", dir, temp) >= (int)sizeof(un.sun_path))
		return error_set(err, ERR_INVALID, "%s is too long for a socket's directory: %zu bytes at most", dir,
				 sizeof(un.sun_path) - 20);
	/* One that had our pid may have died in here. */
	unlinkat(l->dir_fd, inner, 0);
	unlinkat(l->dir_fd, temp, AT_REMOVEDIR);
	if (mkdirat(l->dir_fd, temp, 0700) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", dir, strerror(errno));
	if (bind(l->fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(l->fd, BACKLOG) < 0)
		r = error_set(err, ERR_UNAVAILABLE, "%s: cannot listen: %s", dir, strerror(errno));
	else if (fchmodat(l->dir_fd, inner, mode, 0) < 0)
		r = error_set(err, ERR_UNAVAILABLE, "%s: cannot set the socket's mode: %s", dir, strerror(errno));
	else if (set_group(l->dir_fd, inner, group, err) < 0)
		r = -1;
	else if (renameat(l->dir_fd, inner, l->dir_fd, l->name) < 0)
		r = error_set(err, ERR_UNAVAILABLE, "%s/%s: %s", dir, l->name, strerror(errno));
	unlinkat(l->dir_fd, inner, 0);
	unlinkat(l->dir_fd, temp, AT_REMOVEDIR);
	return r;
}

static int listener_make(struct listener *l, const char *path, unsigned mode, const char *group, struct error *err) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *slash = strrchr(path, '/');
	struct stat st;
	char *dir;
	int r;

	if (!slash || !slash[1] || slash == path)
		return error_set(err, ERR_INVALID, "%s: a socket needs an absolute path below some directory", path);
	if (strlen(path) >= sizeof(un.sun_path))
		return error_set(err, ERR_INVALID, "%s: a socket's path has at most %zu bytes", path,
				 sizeof(un.sun_path) - 1);
	strcpy(un.sun_path, path);
	dir = strndup(path, (size_t)(slash - path));
	l->name = strdup(slash + 1);
	if (!dir || !l->name) {
		free(dir);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	r = dir_get(dir, &l->dir_fd, err);
	if (r == 0)
		r = place_check(l->dir_fd, l->name, &un, err);
	if (r == 0 && (l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
		r = error_set(err, ERR_UNAVAILABLE, "no socket: %s", strerror(errno));
	if (r == 0)
		r = bind_private(l, dir, mode, group, err);
	if (r == 0 && fstatat(l->dir_fd, l->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	free(dir);
	return r;
}

int listener_unix(const char *path, unsigned mode, const char *group, struct listener **out, struct error *err) {
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		return error_set(err, ERR_INTERNAL, "out of memory");
	l->fd = l->dir_fd = -1;
	if (listener_make(l, path, mode, group, err) < 0) {
		listener_free(l);
		return -1;
	}
	*out = l;
	return 0;
}

int listener_fd(const struct listener *listener) {
	return listener->fd;
}

void listener_free(struct listener *l) {
	struct stat st;

	if (!l)
		return;
	if (l->ino && fstatat(l->dir_fd, l->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlinkat(l->dir_fd, l->name, 0);
	if (l->fd >= 0)
		close(l->fd);
	if (l->dir_fd >= 0)
		close(l->dir_fd);
	free(l->name);
	free(l);
}
