#pragma once

/*
 * Counts what is taken from the heap, in a program of which one file includes this. count_allocations() begins, where it has
 * to be begun.
 */

#include <stddef.h>
#include <stdlib.h>

static size_t allocations;

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

#ifdef SANITIZED
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t), void (*on_free)(const volatile void *));

static void on_malloc(const volatile void *p, size_t n) {
	(void)p, (void)n;
	allocations++;
}

static void on_free(const volatile void *p) {
	(void)p;
}

static void count_allocations(void) {
	assert_true(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0);
}
#else
/* Before libc's own; free() need not be counted. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n) {
	allocations++;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
	allocations++;
	return __libc_realloc(p, n);
}

static void count_allocations(void) {
}
#endif
