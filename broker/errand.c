/* See errand.h. */

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/errand.h"

#define FREE_MS 500 /* an errand that takes longer at the end is left behind */

STAILQ_HEAD(errand_list, errand);

struct errands {
	struct event *wake;
	int wake_fd;
	pthread_t thread;
	bool started;
	unsigned under_way; /* started, and not done */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t more, fewer;
	struct errand_list asked, finished;
	bool stop;
	bool left; /* nobody waits for the thread: it frees what it shares */
};

/* What loop and thread share. */
static void errands_release(struct errands *e) {
	if (e->wake_fd >= 0)
		close(e->wake_fd);
	pthread_cond_destroy(&e->more);
	pthread_cond_destroy(&e->fewer);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

/* --- on the thread */

/* With the lock held. */
static void errand_finished(struct errands *e, struct errand *errand) {
	STAILQ_INSERT_TAIL(&e->finished, errand, link);
	pthread_cond_signal(&e->fewer);
	eventfd_write(e->wake_fd, 1);
}

/* With the lock held: runs all that are asked for. */
static void errands_run(struct errands *e) {
	struct errand *errand;

	while (!e->stop && (errand = STAILQ_FIRST(&e->asked))) {
		STAILQ_REMOVE_HEAD(&e->asked, link);
		pthread_mutex_unlock(&e->lock);
		errand->run(errand->arg);
		pthread_mutex_lock(&e->lock);
		errand_finished(e, errand);
	}
}

static void *errands_thread(void *arg) {
	struct errands *e = arg;
	bool left;

	pthread_mutex_lock(&e->lock);
	while (!e->stop) {
		errands_run(e);
		/* What they freed stays with the process otherwise: to read a policy takes several times its own size. */
		pthread_mutex_unlock(&e->lock);
		malloc_trim(0);
		pthread_mutex_lock(&e->lock);
		while (!e->stop && STAILQ_EMPTY(&e->asked))
			pthread_cond_wait(&e->more, &e->lock);
	}
	left = e->left;
	pthread_mutex_unlock(&e->lock);
	if (left)
		errands_release(e);
	return NULL;
}

/* --- on the loop */

static void errands_tell(struct errands *e) {
	struct errand_list finished = STAILQ_HEAD_INITIALIZER(finished);
	struct errand *errand;

	pthread_mutex_lock(&e->lock);
	STAILQ_CONCAT(&finished, &e->finished);
	pthread_mutex_unlock(&e->lock);
	while ((errand = STAILQ_FIRST(&finished))) {
		STAILQ_REMOVE_HEAD(&finished, link);
		e->under_way--;
		errand->done(errand->arg);
	}
}

static void on_wake(evutil_socket_t fd, short events, void *arg) {
	struct errands *e = arg;
	eventfd_t n;

	(void)fd, (void)events;
	eventfd_read(e->wake_fd, &n);
	errands_tell(e);
}

static void init_conditions(struct errands *e) {
	pthread_condattr_t attr;

	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->more, &attr);
	pthread_cond_init(&e->fewer, &attr);
	pthread_condattr_destroy(&attr);
}

int errands_new(struct event_base *base, struct errands **out, struct error *err) {
	struct errands *e = calloc(1, sizeof(*e));

	if (!e)
		return error_set(err, ERR_INTERNAL, "out of memory");
	STAILQ_INIT(&e->asked);
	STAILQ_INIT(&e->finished);
	init_conditions(e);
	e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->wake_fd >= 0)
		e->wake = event_new(base, e->wake_fd, EV_READ | EV_PERSIST, on_wake, e);
	if (!e->wake || event_add(e->wake, NULL) < 0) {
		errands_free(e);
		return error_set(err, ERR_INTERNAL, "cannot make an event: %s", strerror(errno));
	}
	*out = e;
	return 0;
}

void errands_start(struct errands *e, struct errand *errand) {
	e->under_way++;
	if (!e->started)
		e->started = pthread_create(&e->thread, NULL, errands_thread, e) == 0;
	if (!e->started)
		errand->run(errand->arg);
	pthread_mutex_lock(&e->lock);
	if (e->started) {
		STAILQ_INSERT_TAIL(&e->asked, errand, link);
		pthread_cond_signal(&e->more);
	} else {
		errand_finished(e, errand);
	}
	pthread_mutex_unlock(&e->lock);
}

static struct timespec after_ms(unsigned ms) {
	int64_t at_us = clock_monotonic_us() + (int64_t)ms * 1000;

	return (struct timespec){ at_us / 1000000, at_us % 1000000 * 1000 };
}

/* False: nothing is finished by then. */
static bool wait_for_one(struct errands *e, const struct timespec *until) {
	bool finished;

	pthread_mutex_lock(&e->lock);
	while (STAILQ_EMPTY(&e->finished) && pthread_cond_timedwait(&e->fewer, &e->lock, until) == 0)
		;
	finished = !STAILQ_EMPTY(&e->finished);
	pthread_mutex_unlock(&e->lock);
	return finished;
}

bool errands_finish(struct errands *e, unsigned ms) {
	const struct timespec until = after_ms(ms);

	while (e->under_way) {
		if (!wait_for_one(e, &until))
			return false;
		errands_tell(e);
	}
	return true;
}

/* Leaves a thread that hangs to itself. False: it has e now. */
static bool stop_thread(struct errands *e, bool hangs) {
	pthread_mutex_lock(&e->lock);
	e->stop = true;
	e->left = hangs;
	pthread_cond_signal(&e->more);
	pthread_mutex_unlock(&e->lock);
	if (hangs)
		pthread_detach(e->thread);
	else
		pthread_join(e->thread, NULL);
	return !hangs;
}

void errands_free(struct errands *e) {
	bool finished;

	if (!e)
		return;
	finished = errands_finish(e, FREE_MS);
	if (e->wake)
		event_free(e->wake);
	if (!e->started || stop_thread(e, !finished))
		errands_release(e);
}
