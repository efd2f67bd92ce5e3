/* See secret.h. */

#include <jansson.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "broker/secret.h"

/*
 * Each secret has pages of its own: locked (best effort: RLIMIT_MEMLOCK may say no), left out of core
 * files, and gone with munmap, so no allocator keeps a stale copy.
 */
static size_t secret_pages(size_t len) {
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (len + 1 + page - 1) / page * page;
}

int secret_set(struct secret *secret, const void *data, size_t len) {
	size_t size = secret_pages(len);
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	secret_fini(secret);
	if (p == MAP_FAILED)
		return -1;
	madvise(p, size, MADV_DONTDUMP);
	madvise(p, size, MADV_WIPEONFORK);
	mlock(p, size);
	memcpy(p, data, len);
	secret->data = p;
	secret->len = len;
	return 0;
}

void secret_fini(struct secret *secret) {
	if (secret->data) {
		wipe(secret->data, secret->len);
		munmap(secret->data, secret_pages(secret->len));
	}
	secret->data = NULL;
	secret->len = 0;
}

void wipe(void *data, size_t len) {
	if (len)
		explicit_bzero(data, len);
}

void wipe_free(void *p) {
	if (p)
		wipe(p, malloc_usable_size(p));
	free(p);
}

void *wipe_realloc(void *p, size_t size) {
	size_t had = p ? malloc_usable_size(p) : 0;
	void *q = malloc(size);

	if (!q)
		return NULL;
	if (p)
		memcpy(q, p, had < size ? had : size);
	wipe_free(p);
	return q;
}

static void *crypto_malloc(size_t size, const char *file, int line) {
	(void)file, (void)line;
	return malloc(size);
}

static void *crypto_realloc(void *p, size_t size, const char *file, int line) {
	(void)file, (void)line;
	return wipe_realloc(p, size);
}

static void crypto_free(void *p, const char *file, int line) {
	(void)file, (void)line;
	wipe_free(p);
}

void secret_libraries(void) {
	json_set_alloc_funcs(malloc, wipe_free);
	CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free);
}
