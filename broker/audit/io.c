/* See io.h. */

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "broker/audit/io.h"

static int system_open(void *ctx, int dirfd, const char *name, int flags, mode_t mode) {
	(void)ctx;
	return openat(dirfd, name, flags, mode);
}

static int system_allocate(void *ctx, int fd, uint64_t size) {
	int r;

	(void)ctx;
	do
		r = posix_fallocate(fd, 0, (off_t)size);
	while (r == EINTR);
	errno = r;
	return r ? -1 : 0;
}

static ssize_t system_pwritev(void *ctx, int fd, const struct iovec *iov, int n, uint64_t offset) {
	(void)ctx;
	return pwritev(fd, iov, n, (off_t)offset);
}

static int system_fdatasync(void *ctx, int fd) {
	(void)ctx;
	return fdatasync(fd);
}

static int system_fsync(void *ctx, int fd) {
	(void)ctx;
	return fsync(fd);
}

static int system_free_bytes(void *ctx, int fd, uint64_t *out) {
	struct statvfs vfs;

	(void)ctx;
	if (fstatvfs(fd, &vfs) < 0)
		return -1;
	*out = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	return 0;
}

const struct journal_io journal_io_system = {
	.open = system_open,
	.allocate = system_allocate,
	.pwritev = system_pwritev,
	.fdatasync = system_fdatasync,
	.fsync = system_fsync,
	.free_bytes = system_free_bytes,
};
