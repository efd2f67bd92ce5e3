/* See spare.h. */

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "broker/audit/spare.h"
#include "broker/clock.h"

#define RETRY_MS 250
#define UNHURRIED_MS 1000 /* after one was taken: at a start there is enough to do */

struct spare_maker {
	const struct segment_dir *dir;
	uint64_t segment_bytes;
	pthread_t thread;
	bool started;
	atomic_bool stop;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under the lock: */
	struct segment ready;
	uint64_t next_number;
	uint64_t failures;
	struct error error; /* of the last failure */
	bool wanted;	    /* somebody waits, or will soon */
	bool ended;
};

static struct timespec in_ms(unsigned ms) {
	int64_t until_us = clock_monotonic_us() + (int64_t)ms * 1000;

	return (struct timespec){ until_us / 1000000, until_us % 1000000 * 1000 };
}

/* Under the lock: waits so long; less when it is stopped, or somebody wants one who did not when it began. */
static void pause_ms(struct spare_maker *m, unsigned ms, bool unless_wanted) {
	struct timespec until = in_ms(ms);

	while (!atomic_load(&m->stop) && !(unless_wanted && m->wanted)) {
		if (pthread_cond_timedwait(&m->changed, &m->lock, &until))
			return;
	}
}

/* Under the lock, which is open while the file is made. */
static void make_one(struct spare_maker *m) {
	uint64_t number = m->next_number++;
	struct segment made;
	struct error err;
	int r;

	pthread_mutex_unlock(&m->lock);
	r = segment_make(m->dir, number, m->segment_bytes, &m->stop, &made, &err);
	pthread_mutex_lock(&m->lock);
	if (r == 0) {
		m->ready = made;
		pthread_cond_broadcast(&m->changed);
		return;
	}
	m->error = err;
	m->failures++;
	pthread_cond_broadcast(&m->changed);
	pause_ms(m, RETRY_MS, false);
}

static void *maker_main(void *arg) {
	struct spare_maker *m = arg;

	pthread_mutex_lock(&m->lock);
	while (!atomic_load(&m->stop)) {
		if (m->ready.fd >= 0) {
			pthread_cond_wait(&m->changed, &m->lock);
			continue;
		}
		pause_ms(m, UNHURRIED_MS, true);
		if (!atomic_load(&m->stop))
			make_one(m);
	}
	m->ended = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

int spare_maker_start(const struct segment_dir *dir, uint64_t segment_bytes, uint64_t next_number, struct segment *ready,
		      struct spare_maker **out, struct error *err) {
	struct spare_maker *m = calloc(1, sizeof(*m));
	pthread_condattr_t attr;

	if (!m)
		return error_set(err, ERR_INTERNAL, "out of memory");
	m->dir = dir;
	m->segment_bytes = segment_bytes;
	m->next_number = next_number;
	m->ready = *ready;
	ready->fd = -1;
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->changed, &attr);
	pthread_condattr_destroy(&attr);
	m->started = pthread_create(&m->thread, NULL, maker_main, m) == 0;
	if (!m->started) {
		spare_maker_free(m);
		return error_set(err, ERR_INTERNAL, "audit log: cannot start a thread");
	}
	*out = m;
	return 0;
}

int spare_take(struct spare_maker *m, struct segment *out, uint64_t *seen, struct error *err) {
	int r = -1;

	pthread_mutex_lock(&m->lock);
	while (m->ready.fd < 0 && m->failures == *seen && !atomic_load(&m->stop)) {
		m->wanted = true;
		pthread_cond_broadcast(&m->changed);
		pthread_cond_wait(&m->changed, &m->lock);
	}
	m->wanted = false;
	if (m->ready.fd >= 0) {
		*out = m->ready;
		m->ready.fd = -1;
		pthread_cond_broadcast(&m->changed);
		r = 0;
	} else if (m->failures != *seen)
		*err = m->error;
	else
		error_set(err, ERR_CANCELLED, "stopping");
	*seen = m->failures;
	pthread_mutex_unlock(&m->lock);
	return r;
}

void spare_expect(struct spare_maker *m) {
	pthread_mutex_lock(&m->lock);
	m->wanted = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

void spare_maker_stop(struct spare_maker *m) {
	pthread_mutex_lock(&m->lock);
	atomic_store(&m->stop, true);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

bool spare_maker_ended(struct spare_maker *m, unsigned timeout_ms) {
	struct timespec until = in_ms(timeout_ms);
	bool ended;

	pthread_mutex_lock(&m->lock);
	while (!m->ended && pthread_cond_timedwait(&m->changed, &m->lock, &until) == 0)
		;
	ended = m->ended;
	pthread_mutex_unlock(&m->lock);
	return ended;
}

void spare_maker_free(struct spare_maker *m) {
	if (!m)
		return;
	if (m->started) {
		spare_maker_stop(m);
		pthread_join(m->thread, NULL);
	}
	segment_close(&m->ready);
	pthread_mutex_destroy(&m->lock);
	pthread_cond_destroy(&m->changed);
	free(m);
}
