/* See writer.h. */

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "broker/audit/spare.h"
#include "broker/audit/writer.h"
#include "broker/clock.h"

#define FIRST_ROOM 16384	 /* bytes of a new batch; grows to hold FRAME_MAX_BODY */
#define SOON 8 /* the next segment is made when this one is so many-th full: a busy log fills it in a tenth of a second */
#define HALVES_FROM (FRAME_MAX_ENTRIES / 8 * 7)
#define GATHER_MAX_US 10000	 /* never wait longer than that for more to come */
#define SPACE_EVERY_US 100000	 /* how old the figure of free bytes may be when something is written */
#define RETRY_US 250000		 /* between attempts while nothing can be written */

struct writer {
	const struct segment_dir *dir;
	int wake_fd;
	uint64_t low_water_bytes;
	pthread_t thread;
	bool started;
	struct spare_maker *spares;

	atomic_bool stuck, stopping;
	atomic_uint_fast64_t free_bytes;
	struct batch *pool[WRITER_MAX_BATCHES]; /* filled by the event loop, in order */
	unsigned n_pool;

	pthread_mutex_t lock;
	sem_t work; /* for the writer: entries, or stop. A condition would make it take the lock as one that others wait for */
	pthread_cond_t finished; /* for writer_stop() */
	/* under the lock: */
	struct batches queue, released, unused;
	struct batch *filling; /* the last of the queue, while it takes more */
	unsigned queued;       /* entries in the queue */
	unsigned kicked;       /* of them, may be written now */
	unsigned wake_at;      /* wake the writer when so many are kicked; 0: it is busy */
	bool halves;	       /* it then takes those, and leaves what comes behind them */
	bool done;
	struct writer_status status;

	/* the thread's own: */
	struct segment segment; /* fd -1: none */
	struct segment_stage stage; /* for what goes into it */
	bool used;		/* a frame in it is durable */
	struct scan_position torn; /* the end that a crash left, to be trimmed once a record tells of it; segment 0: none */
	struct scan_position at;
	enum journal_why why; /* the next segment is begun */
	struct error reason;
	uint64_t spares_seen;
	unsigned gather;	/* entries worth waiting for; 1: none */
	int64_t gather_until_us;
	int64_t flush_us;	/* about what a commit takes */
	int64_t space_asked_us;
};

static int64_t to_ns(struct instant t) {
	return t.s * 1000000000 + t.ns;
}

static void wake_loop(struct writer *w) {
	const uint64_t one = 1;
	ssize_t r;

	do
		r = write(w->wake_fd, &one, sizeof(one));
	while (r < 0 && errno == EINTR);
	assert(r == sizeof(one) || errno == EAGAIN); /* EAGAIN: it was told 2^64 times and did not listen */
}

static void ask_space(struct writer *w, int64_t now_us) {
	uint64_t free_bytes;

	if (now_us - w->space_asked_us < SPACE_EVERY_US && w->space_asked_us)
		return;
	w->space_asked_us = now_us;
	if (w->dir->io->free_bytes(w->dir->io->ctx, w->dir->fd, &free_bytes) == 0)
		atomic_store(&w->free_bytes, free_bytes);
}

static void set_stuck(struct writer *w, const struct error *err) {
	pthread_mutex_lock(&w->lock);
	w->status.problem = *err;
	pthread_mutex_unlock(&w->lock);
	atomic_store(&w->stuck, true);
	wake_loop(w);
}

static void set_unstuck(struct writer *w) {
	if (!atomic_load(&w->stuck))
		return;
	pthread_mutex_lock(&w->lock);
	w->status.problem.code = ERR_NONE;
	pthread_mutex_unlock(&w->lock);
	atomic_store(&w->stuck, false);
}

/* What others did to a file takes what was durable in it away; an error of the disk does not. */
static bool has_loss(const struct writer *w, struct error *err) {
	return w->used && segment_dir_check(w->dir, err) == 0 && segment_check(w->dir, &w->segment, err) < 0;
}

/* Nothing is acknowledged in this file any more, nor after a reopen. */
static void bury(struct writer *w, const struct error *err) {
	struct error loss;
	bool lost = has_loss(w, &loss);

	pthread_mutex_lock(&w->lock);
	if (lost && !w->status.loss.code)
		w->status.loss = loss;
	w->status.deaths++;
	w->status.death = *err;
	memcpy(w->status.dead_segment, w->segment.name, sizeof(w->segment.name));
	w->status.segment[0] = '\0';
	pthread_mutex_unlock(&w->lock);
	w->why = JOURNAL_WHY_DEAD;
	w->reason = *err;
	if (w->used)
		segment_close(&w->segment);
	else
		segment_discard(w->dir, &w->segment);
	wake_loop(w);
}

/*
 * What an earlier life left was read through the page cache, and is on the disk for good before a header builds on it: a frame
 * that it had written and not synced when it was killed, and the name of a spare that it had just given.
 */
static int settle(const struct writer *w, struct error *err) {
	if (w->at.segment && segment_sync(w->dir, w->at.segment, err) < 0)
		return -1;
	if (w->dir->io->fsync(w->dir->io->ctx, w->dir->fd) < 0)
		return segment_error(w->dir, "", "cannot sync", errno, err);
	return 0;
}

static int begin_segment(struct writer *w, struct error *err) {
	struct journal_header header = {
		.why = w->why,
		.number = w->segment.number,
		.first_index = w->at.next_index,
		.realtime_ns = to_ns(clock_now()),
		.boottime_ns = clock_boottime_ms() * 1000000,
		.predecessor = w->at.segment,
		.good_end = w->at.offset,
	};

	if (w->why == JOURNAL_WHY_START && settle(w, err) < 0)
		return -1;
	memcpy(header.hash, w->at.hash, sizeof(header.hash));
	if (w->why == JOURNAL_WHY_DEAD)
		snprintf(header.reason, sizeof(header.reason), "%s", w->reason.message);
	if (segment_begin(w->dir, &w->segment, &w->stage, &header, err) < 0)
		return -1;
	if (w->why == JOURNAL_WHY_START)
		w->torn = w->at;
	w->why = JOURNAL_WHY_FULL;
	w->used = false;
	pthread_mutex_lock(&w->lock);
	memcpy(w->status.segment, w->segment.name, sizeof(w->segment.name));
	w->status.syncs++;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

/* Until there may be work, or it is to stop; or then (0: for ever). False: it was then. */
static bool await_work(struct writer *w, int64_t until_us) {
	struct timespec until = { until_us / 1000000, until_us % 1000000 * 1000 };
	int r = until_us ? sem_clockwait(&w->work, CLOCK_MONOTONIC, &until) : sem_wait(&w->work);

	return r == 0 || errno == EINTR;
}

/* Stuck: looks again after a while; at once when it is to stop. */
static void pause_before_retry(struct writer *w) {
	int64_t until_us = clock_monotonic_us() + RETRY_US;

	while (!atomic_load(&w->stopping) && await_work(w, until_us))
		;
}

/* In a directory that is not ours any more spares would be used up as fast as they are made. */
static int have_dir(struct writer *w) {
	struct error err;

	while (segment_dir_check(w->dir, &err) < 0) {
		if (atomic_load(&w->stopping))
			return -1;
		set_stuck(w, &err);
		pause_before_retry(w);
	}
	return 0;
}

/* A segment with room for len bytes. Waits for one; -1: stopping, and there is none. */
static int have_segment(struct writer *w, size_t len) {
	unsigned failures = 0;
	struct error err;

	if (w->segment.fd >= 0 && w->stage.end + len <= w->segment.size)
		return 0;
	segment_close(&w->segment);
	while (have_dir(w) == 0) {
		if (spare_take(w->spares, &w->segment, &w->spares_seen, &err) == 0) {
			w->used = false;
			if (begin_segment(w, &err) == 0)
				return 0;
			bury(w, &err);
			failures++;
		} else if (atomic_load(&w->stopping))
			break;
		set_stuck(w, &err);
		if (failures > 1)
			pause_before_retry(w);
	}
	return -1;
}

static int write_frame(struct writer *w, struct batch *b, size_t len, struct error *err) {
	if (segment_write(w->dir, &w->segment, &w->stage, b->bytes, len, err) < 0)
		return -1;
	return segment_check(w->dir, &w->segment, err);
}

/* The frame is durable: the log now ends behind it. */
static void advance(struct writer *w, struct batch *b, size_t len, int64_t realtime_ns) {
	b->first_index = w->at.next_index;
	b->realtime_ns = realtime_ns;
	b->free_bytes = atomic_load(&w->free_bytes);
	w->used = true;
	if (w->stage.end - len < w->segment.size / SOON && w->stage.end >= w->segment.size / SOON)
		spare_expect(w->spares);
	w->at.segment = w->segment.number;
	w->at.offset = w->stage.end;
	w->at.next_index += b->n;
	if (realtime_ns > w->at.last_ns)
		w->at.last_ns = realtime_ns;
	memcpy(w->at.hash, b->bytes + len - JOURNAL_HASH, JOURNAL_HASH);
	if (w->torn.segment)
		segment_trim(w->dir, w->torn.segment, w->torn.offset);
	w->torn.segment = 0;
}

/* Makes the batch durable, in this segment or in a later one. -1: stopping, and nothing can be written. */
static int commit(struct writer *w, struct batch *b) {
	int64_t realtime_ns = to_ns(clock_now()), began;
	struct frame frame = {
		.n = b->n,
		.first_index = w->at.next_index,
		.realtime_ns = realtime_ns,
		.boottime_ns = clock_boottime_ms() * 1000000,
	};
	uint32_t len = frame_seal(b->bytes, b->len, &frame, w->at.hash);
	unsigned failures = 0;
	struct error err;

	for (;;) {
		if (have_segment(w, len) < 0)
			return -1;
		began = clock_monotonic_us();
		ask_space(w, began);
		if (write_frame(w, b, len, &err) == 0)
			break;
		bury(w, &err);
		if (++failures > 1) { /* the disk as a whole: their waiters have waited enough */
			set_stuck(w, &err);
			pause_before_retry(w);
		}
	}
	w->flush_us += (clock_monotonic_us() - began - w->flush_us) / 4;
	advance(w, b, len, realtime_ns);
	set_unstuck(w);
	return 0;
}

/* Under the lock: waits until so many may be written, at most until then (0: for ever). */
static void wait_for_entries(struct writer *w, unsigned n, int64_t until_us) {
	bool in_time = true;

	while (in_time && w->kicked < n && !atomic_load(&w->stopping)) {
		w->wake_at = n;
		pthread_mutex_unlock(&w->lock);
		in_time = await_work(w, until_us);
		pthread_mutex_lock(&w->lock);
	}
	w->wake_at = 0;
}

/* Under the lock, which is open while the disk is asked: notices by itself when there is room again. */
static void wait_while_low(struct writer *w) {
	while (!w->kicked && !atomic_load(&w->stopping) && atomic_load(&w->free_bytes) < w->low_water_bytes) {
		wait_for_entries(w, 1, clock_monotonic_us() + RETRY_US);
		pthread_mutex_unlock(&w->lock);
		ask_space(w, clock_monotonic_us());
		pthread_mutex_lock(&w->lock);
	}
}

/* Under the lock. NULL: stopped, and nothing is left. */
static struct batch *next_batch(struct writer *w) {
	struct batch *b;

	if (w->gather > 1)
		wait_for_entries(w, w->gather, w->gather_until_us);
	wait_while_low(w);
	wait_for_entries(w, 1, 0);
	b = STAILQ_FIRST(&w->queue);
	if (!b)
		return NULL;
	STAILQ_REMOVE_HEAD(&w->queue, link);
	if (b == w->filling)
		w->filling = NULL;
	w->queued -= b->n;
	w->kicked -= w->kicked < b->n ? w->kicked : b->n;
	return b;
}

/* Under the lock: how many are worth waiting for. */
static void set_gather(struct writer *w, unsigned returning) {
	const unsigned under_way = returning + w->queued;

	w->halves = returning > 1 && under_way >= HALVES_FROM;
	w->gather = returning <= 1 ? 1 : w->halves ? under_way / 2 : under_way;
	if (w->gather > FRAME_MAX_ENTRIES)
		w->gather = FRAME_MAX_ENTRIES;
}

/* Under the lock. */
static void release(struct writer *w, struct batch *b) {
	int64_t wait_us = w->flush_us < GATHER_MAX_US ? w->flush_us : GATHER_MAX_US;

	STAILQ_INSERT_TAIL(&w->released, b, link);
	w->status.records += b->n;
	w->status.frames++;
	w->status.syncs++;
	w->status.at = w->at;
	set_gather(w, b->returning);
	w->gather_until_us = clock_monotonic_us() + wait_us;
}

/* At a clean end nothing more comes into this segment: the next start need not look through zeros for frames. */
static void give_back_room(struct writer *w) {
	int r = w->segment.fd >= 0 && w->used ? ftruncate(w->segment.fd, (off_t)w->stage.end) : 0;

	(void)r; /* the successor's header says where it ends, cut or not */
}

static void *writer_main(void *arg) {
	struct writer *w = arg;
	struct batch *b;
	int r;

	ask_space(w, clock_monotonic_us());
	pthread_mutex_lock(&w->lock);
	while ((b = next_batch(w))) {
		pthread_mutex_unlock(&w->lock);
		r = commit(w, b);
		pthread_mutex_lock(&w->lock);
		if (r < 0) {
			STAILQ_INSERT_HEAD(&w->queue, b, link);
			break;
		}
		release(w, b);
		wake_loop(w);
	}
	give_back_room(w);
	w->done = true;
	pthread_cond_broadcast(&w->finished);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void writer_init(struct writer *w, const struct writer_options *options) {
	pthread_condattr_t attr;

	w->dir = options->dir;
	w->wake_fd = options->wake_fd;
	w->low_water_bytes = options->low_water_bytes;
	w->at = w->status.at = options->at;
	w->segment.fd = -1;
	w->why = JOURNAL_WHY_START;
	w->gather = 1;
	w->flush_us = 300;
	STAILQ_INIT(&w->queue);
	STAILQ_INIT(&w->released);
	STAILQ_INIT(&w->unused);
	atomic_store(&w->free_bytes, UINT64_MAX);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	sem_init(&w->work, 0, 0);
	pthread_cond_init(&w->finished, &attr);
	pthread_condattr_destroy(&attr);
}

int writer_start(const struct writer_options *options, struct writer **out, struct error *err) {
	struct writer *w = calloc(1, sizeof(*w));
	struct segment spare = options->spare;

	if (!w)
		return error_set(err, ERR_INTERNAL, "out of memory");

	writer_init(w, options);
	if (segment_stage_init(&w->stage) < 0) {
		writer_free(w);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	if (spare_maker_start(w->dir, options->segment_bytes, options->next_number, &spare, &w->spares, err) < 0) {
		writer_free(w);
		return -1;
	}
	w->started = pthread_create(&w->thread, NULL, writer_main, w) == 0;
	if (!w->started) {
		writer_free(w);
		return error_set(err, ERR_INTERNAL, "audit log: cannot start a thread");
	}
	*out = w;
	return 0;
}

static void batch_free(struct batch *b) {
	free(b->bytes);
	free(b);
}

static bool batch_reserve(struct batch *b, size_t len) {
	size_t want = FRAME_HEAD + len + JOURNAL_HASH, size = b->size ? b->size : FIRST_ROOM;
	uint8_t *bytes;

	if (want <= b->size)
		return true;
	while (size < want)
		size *= 2;
	bytes = realloc(b->bytes, size);
	if (!bytes)
		return false;
	b->bytes = bytes;
	b->size = size;
	return true;
}

/* Under the lock: an empty one from those that were used before, or a new one. */
static struct batch *batch_get(struct writer *w) {
	struct batch *b = STAILQ_FIRST(&w->unused);

	if (b) {
		STAILQ_REMOVE_HEAD(&w->unused, link);
		return b;
	}
	if (w->n_pool == WRITER_MAX_BATCHES)
		return NULL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->number = w->n_pool;
	w->pool[w->n_pool++] = b;
	return b;
}

/* Under the lock: the batch that takes n more bytes. */
static struct batch *batch_for(struct writer *w, size_t n) {
	struct batch *b = w->filling;

	if (b && (b->n == FRAME_MAX_ENTRIES || b->len + n > FRAME_MAX_BODY))
		b = w->filling = NULL;
	if (!b) {
		b = batch_get(w);
		if (!b)
			return NULL;
		if (!batch_reserve(b, n)) {
			STAILQ_INSERT_HEAD(&w->unused, b, link);
			return NULL;
		}
		STAILQ_INSERT_TAIL(&w->queue, b, link);
		w->filling = b;
	}
	return batch_reserve(b, b->len + n) ? b : NULL;
}

/* Under the lock: all that was put may be written. Whether the writer is to be woken for it. */
static bool kick(struct writer *w) {
	bool wake;

	w->kicked = w->queued;
	wake = w->wake_at && w->kicked >= w->wake_at;
	if (wake)
		w->wake_at = 0; /* once is enough */
	return wake;
}

int writer_put(struct writer *w, const char *text, size_t n, bool returning, struct batch **out, struct error *err) {
	bool wake = false;
	struct batch *b;

	pthread_mutex_lock(&w->lock);
	b = batch_for(w, n + 2);
	if (b) {
		b->len += frame_add(b->bytes + FRAME_HEAD + b->len, text, n);
		b->slots[b->n++] = (struct batch_slot){ 0 };
		b->returning += returning;
		w->queued++;
		if (w->halves && w->wake_at > 1 && w->queued >= w->wake_at) {
			w->filling = NULL; /* the rest of this turn of the loop is the other half */
			wake = kick(w);
		}
	}
	pthread_mutex_unlock(&w->lock);
	if (wake)
		sem_post(&w->work);
	if (!b)
		return error_set(err, ERR_UNAVAILABLE, "audit log: too many records wait for the disk (%s)",
				 w->dir->path);
	*out = b;
	return 0;
}

void writer_kick(struct writer *w) {
	bool wake;

	pthread_mutex_lock(&w->lock);
	wake = kick(w);
	pthread_mutex_unlock(&w->lock);
	if (wake)
		sem_post(&w->work);
}

void writer_released(struct writer *w, struct batches *out) {
	pthread_mutex_lock(&w->lock);
	STAILQ_CONCAT(out, &w->released);
	pthread_mutex_unlock(&w->lock);
}

void writer_recycle(struct writer *w, struct batch *b) {
	b->n = b->returning = 0;
	b->len = 0;
	pthread_mutex_lock(&w->lock);
	STAILQ_INSERT_HEAD(&w->unused, b, link);
	pthread_mutex_unlock(&w->lock);
}

bool writer_stuck(const struct writer *w) {
	return atomic_load(&w->stuck);
}

uint64_t writer_free_bytes(const struct writer *w) {
	return atomic_load(&w->free_bytes);
}

struct batch *writer_batch(const struct writer *w, unsigned number) {
	assert(number < w->n_pool);
	return w->pool[number];
}

void writer_status(struct writer *w, struct writer_status *out) {
	pthread_mutex_lock(&w->lock);
	*out = w->status;
	out->queued = w->queued;
	pthread_mutex_unlock(&w->lock);
}

/* Under the lock. False: not done by then. */
static bool wait_done(struct writer *w, unsigned timeout_ms) {
	int64_t until_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
	struct timespec until = { until_us / 1000000, until_us % 1000000 * 1000 };

	while (!w->done) {
		if (pthread_cond_timedwait(&w->finished, &w->lock, &until))
			return w->done;
	}
	return true;
}

bool writer_stop(struct writer *w, unsigned timeout_ms) {
	bool done;

	pthread_mutex_lock(&w->lock);
	w->kicked = w->queued;
	atomic_store(&w->stopping, true);
	sem_post(&w->work);
	wait_done(w, timeout_ms);
	pthread_mutex_unlock(&w->lock);
	spare_maker_stop(w->spares); /* what is not done yet may wait for a segment that cannot be made */
	pthread_mutex_lock(&w->lock);
	done = wait_done(w, timeout_ms / 4 + 10);
	pthread_mutex_unlock(&w->lock);
	return spare_maker_ended(w->spares, timeout_ms) && done;
}

void writer_free(struct writer *w) {
	if (!w)
		return;
	if (w->started)
		pthread_join(w->thread, NULL);
	segment_close(&w->segment);
	segment_stage_fini(&w->stage);
	spare_maker_free(w->spares);
	for (unsigned i = 0; i < w->n_pool; i++)
		batch_free(w->pool[i]);
	pthread_mutex_destroy(&w->lock);
	sem_destroy(&w->work);
	pthread_cond_destroy(&w->finished);
	free(w);
}
