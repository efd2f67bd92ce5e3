/*
 * LD_PRELOAD shim for scenario tests: lets allocations of a process fail, over all threads. The file named in FAILALLOC_FILE is mapped,
 * so that a test can aim while the process runs: `left` allocations succeed, then `width` of them fail, then all is well again.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/failalloc/failalloc.h"

/* libc's own; free() needs nothing. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

static struct failalloc *aim;

__attribute__((constructor)) static void failalloc_init(void) {
	const char *path = getenv("FAILALLOC_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd >= 0 ? mmap(NULL, sizeof(*aim), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (p != MAP_FAILED)
		aim = p;
	if (fd >= 0)
		close(fd);
}

static bool fails(void) {
	long long left;

	if (!aim || !atomic_load(&aim->on))
		return false;
	left = atomic_fetch_sub(&aim->left, 1);
	if (left > 0 || left <= -atomic_load(&aim->width))
		return false;
	atomic_fetch_add(&aim->failed, 1);
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n) {
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
	return fails() ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n) {
	return fails() ? NULL : __libc_memalign(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n) {
	void *p = fails() ? NULL : __libc_memalign(alignment, n);

	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}
