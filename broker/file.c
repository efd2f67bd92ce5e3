/* See file.h. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/file.h"

static bool same_time(const struct timespec *a, const struct timespec *b) {
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Whole: as long as it was said to be, nothing behind, and not written to meanwhile. */
static bool file_is_whole(int fd, const struct stat *before, size_t n) {
	struct stat st;
	char more;

	return n == (size_t)before->st_size && read(fd, &more, 1) == 0 && fstat(fd, &st) == 0 &&
	       st.st_size == before->st_size && same_time(&st.st_mtim, &before->st_mtim) &&
	       same_time(&st.st_ctim, &before->st_ctim);
}

static int file_read_fd(int fd, const char *path, size_t max, char **data, size_t *len, struct error *err) {
	struct stat st;
	size_t n = 0;
	ssize_t r;
	char *p;

	if (fstat(fd, &st) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "%s: not a regular file", path);
	if ((size_t)st.st_size > max)
		return error_set(err, ERR_INVALID, "%s: %lld bytes; at most %zu are read", path, (long long)st.st_size,
				 max);
	p = malloc((size_t)st.st_size + 1);
	if (!p)
		return error_no_memory(err);
	while (n < (size_t)st.st_size) {
		r = read(fd, p + n, (size_t)st.st_size - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	if (!file_is_whole(fd, &st, n)) {
		free(p);
		return error_set(err, ERR_UNAVAILABLE,
				 "%s: changed while it was read; write another file and rename it into place", path);
	}
	p[n] = '\0';
	*data = p;
	*len = n;
	return 0;
}

/* What somebody has to put right, as against what may pass by itself. */
static enum error_code code_of_open(int error) {
	switch (error) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EACCES:
	case ELOOP:
	case ENAMETOOLONG:
	case ENOTDIR:
	case ENXIO:
		return ERR_INVALID;
	default:
		return ERR_UNAVAILABLE;
	}
}

int file_read(const char *path, size_t max, char **data, size_t *len, struct error *err) {
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;

	if (fd < 0)
		return error_set(err, code_of_open(errno), "%s: %s", path, strerror(errno));
	r = file_read_fd(fd, path, max, data, len, err);
	close(fd);
	return r;
}
