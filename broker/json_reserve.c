/* See json_reserve.h. */

#include <jansson.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include "broker/json_reserve.h"
#include "broker/secret.h"

#define RESERVE (4 << 20)
#define UNIT sizeof(max_align_t)

/* The process's, for jansson's functions have no argument to hang it from. */
static struct {
	pthread_mutex_t lock;
	size_t used, pieces;
	_Alignas(max_align_t) char bytes[RESERVE]; /* each piece begins with a unit that has its size */
} reserve = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local unsigned failures;

/* NULL: it is used up, too. */
static void *reserve_take(size_t size) {
	size_t whole = UNIT + (size + UNIT - 1) / UNIT * UNIT;
	char *p = NULL;

	pthread_mutex_lock(&reserve.lock);
	if (size <= RESERVE && whole <= RESERVE - reserve.used) {
		p = reserve.bytes + reserve.used;
		*(size_t *)p = size;
		reserve.used += whole;
		reserve.pieces++;
	}
	pthread_mutex_unlock(&reserve.lock);
	return p ? p + UNIT : NULL;
}

static void reserve_give(char *p) {
	wipe(p, *(size_t *)(p - UNIT));
	pthread_mutex_lock(&reserve.lock);
	if (--reserve.pieces == 0)
		reserve.used = 0;
	pthread_mutex_unlock(&reserve.lock);
}

static void *json_take(size_t size) {
	void *p = malloc(size);

	p = p ? p : reserve_take(size);
	failures += !p;
	return p;
}

unsigned json_reserve_failures(void) {
	return failures;
}

void json_reserve_free(void *p) {
	if ((uintptr_t)p - (uintptr_t)reserve.bytes < RESERVE)
		reserve_give(p);
	else
		wipe_free(p);
}

json_t *json_whole_copy(const json_t *object) {
	const unsigned before = failures;
	json_t *copy = json_copy((json_t *)object);

	if (before == failures)
		return copy;
	json_decref(copy);
	return NULL;
}

void json_reserve_use(void) {
	json_set_alloc_funcs(json_take, json_reserve_free);
}
