/* See file.h. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/file.h"

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
		return error_set(err, ERR_INTERNAL, "%s: out of memory", path);
	while (n < (size_t)st.st_size) {
		r = read(fd, p + n, (size_t)st.st_size - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	p[n] = '\0';
	*data = p;
	*len = n;
	return 0;
}

int file_read(const char *path, size_t max, char **data, size_t *len, struct error *err) {
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;

	if (fd < 0)
		return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "%s: %s", path,
				 strerror(errno));
	r = file_read_fd(fd, path, max, data, len, err);
	close(fd);
	return r;
}
