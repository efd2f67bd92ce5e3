#pragma once

/*
 * The file operations on which the promise of the record rests, as a table.
 *
 * The daemon uses journal_io_system; a test hands in another one that fails, hangs or keeps a diary.
 * Each is the system call of that name: -1 and errno. They run on the threads of the writer, so the
 * functions behind them must be safe there.
 */

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct journal_io {
	int (*open)(void *ctx, int dirfd, const char *name, int flags, mode_t mode);
	int (*allocate)(void *ctx, int fd, uint64_t size); /* reserves blocks: a full disk says so now */
	ssize_t (*pwritev)(void *ctx, int fd, const struct iovec *iov, int n, uint64_t offset);
	int (*fdatasync)(void *ctx, int fd);
	int (*fsync)(void *ctx, int fd); /* directories too */
	int (*free_bytes)(void *ctx, int fd, uint64_t *out); /* for an unprivileged writer on fd's file system */
	void *ctx;
};

extern const struct journal_io journal_io_system;
