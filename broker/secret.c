/* See secret.h. */

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "broker/secret.h"

#define SLOT 2048	     /* bytes; Google's tokens have at most so many, NUL included */
#define SLOTS_AT_ONCE 32 /* a chunk is this many slots */

/*
 * Secrets stand in pages of their own: locked (best effort: RLIMIT_MEMLOCK may say no), left out of core files, zeros in a
 * forked child. Mapping and locking costs more than all else that a cached token takes, so short ones share chunks of
 * slots that are kept; a slot is wiped when it is given back. It is an allocator, and like malloc's its state is the process'.
 */
struct slot {
	struct slot *next;
};

static struct {
	pthread_mutex_t lock;
	struct slot *unused;
} slots = { .lock = PTHREAD_MUTEX_INITIALIZER };

static char *pages_map(size_t size) {
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_DONTDUMP);
	madvise(p, size, MADV_WIPEONFORK);
	mlock(p, size);
	return p;
}

static size_t pages_size(size_t len) {
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (len + 1 + page - 1) / page * page;
}

/* Under the lock. */
static void slots_add_chunk(void) {
	char *chunk = pages_map(SLOT * SLOTS_AT_ONCE);

	for (size_t i = 0; chunk && i < SLOTS_AT_ONCE; i++) {
		struct slot *slot = (struct slot *)(chunk + (SLOTS_AT_ONCE - 1 - i) * SLOT);

		slot->next = slots.unused;
		slots.unused = slot;
	}
}

static char *slot_get(void) {
	struct slot *slot;

	pthread_mutex_lock(&slots.lock);
	if (!slots.unused)
		slots_add_chunk();
	slot = slots.unused;
	if (slot)
		slots.unused = slot->next;
	pthread_mutex_unlock(&slots.lock);
	return (char *)slot;
}

static void slot_put(char *p) {
	struct slot *slot = (struct slot *)p;

	pthread_mutex_lock(&slots.lock);
	slot->next = slots.unused;
	slots.unused = slot;
	pthread_mutex_unlock(&slots.lock);
}

int secret_set(struct secret *secret, const void *data, size_t len) {
	char *p = len < SLOT ? slot_get() : pages_map(pages_size(len));

	secret_fini(secret);
	if (!p)
		return -1;
	memcpy(p, data, len);
	p[len] = '\0';
	secret->data = p;
	secret->len = len;
	return 0;
}

void secret_fini(struct secret *secret) {
	if (secret->data) {
		wipe(secret->data, secret->len);
		if (secret->len < SLOT)
			slot_put(secret->data);
		else
			munmap(secret->data, pages_size(secret->len));
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
