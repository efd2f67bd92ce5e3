/*
 * LD_PRELOAD shim for crash tests: counts the calls that change files of the record, over all threads, and ends the process
 * by SIGKILL in place of the one numbered CRASHPOINT_AT. A write is torn first: its first half is on disk then.
 * CRASHPOINT_LOG: a file that gets a line a call, "NUMBER CALL FILE".
 */

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_uint count;
static unsigned crash_at;
static int log_fd = -1;

__attribute__((constructor)) static void crashpoint_init(void) {
	const char *at = getenv("CRASHPOINT_AT"), *log = getenv("CRASHPOINT_LOG");

	crash_at = at ? (unsigned)atoi(at) : 0;
	if (log)
		log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
}

static void die(void) {
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* Whether this is the call at which it ends. */
static bool reached(const char *call, int fd, const char *name) {
	char link[64], path[512], line[640];
	ssize_t n;
	unsigned number;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	if (!strstr(path, "/audit"))
		return false;
	number = atomic_fetch_add(&count, 1) + 1;
	if (log_fd >= 0) {
		n = snprintf(line, sizeof(line), "%u %s %s\n", number, call, name ? name : strrchr(path, '/') + 1);
		n = write(log_fd, line, (size_t)n);
	}
	return number == crash_at;
}

int openat(int dirfd, const char *name, int flags, ...) {
	mode_t mode = 0;

	if (flags & O_CREAT) {
		__builtin_va_list ap;

		__builtin_va_start(ap, flags);
		mode = __builtin_va_arg(ap, mode_t);
		__builtin_va_end(ap);
	}
	/* Reading changes nothing. */
	if ((flags & O_ACCMODE) != O_RDONLY && reached("openat", dirfd, name))
		die();
	return (int)syscall(SYS_openat, dirfd, name, flags, mode);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset) {
	if (reached("pwritev", fd, NULL)) {
		fcntl(fd, F_SETFL, 0); /* half a page does not go around the page cache */
		pwrite(fd, iov[0].iov_base, iov[0].iov_len / 2, offset);
		die();
	}
	return syscall(SYS_pwritev, fd, iov, n, offset, 0);
}

int fdatasync(int fd) {
	if (reached("fdatasync", fd, NULL))
		die();
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
	if (reached("fsync", fd, NULL))
		die();
	return (int)syscall(SYS_fsync, fd);
}

int posix_fallocate(int fd, off_t offset, off_t len) {
	if (reached("fallocate", fd, NULL))
		die();
	return syscall(SYS_fallocate, fd, 0, offset, len) < 0 ? 28 : 0; /* ENOSPC */
}

int ftruncate(int fd, off_t size) {
	if (reached("ftruncate", fd, NULL))
		die();
	return (int)syscall(SYS_ftruncate, fd, size);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
	if (reached("renameat", from_fd, from))
		die();
	return (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
}

int unlinkat(int fd, const char *name, int flags) {
	if (reached("unlinkat", fd, name))
		die();
	return (int)syscall(SYS_unlinkat, fd, name, flags);
}
