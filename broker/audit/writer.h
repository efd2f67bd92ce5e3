#pragma once

/*
 * The writer: takes batches of entries, makes each a frame, writes and syncs it, gives it back released.
 *
 * The event loop puts entries and takes released batches; neither ever waits for the disk. One thread writes.
 * After the first error of a write, a sync or a check a segment is dead for good: the same frame is written
 * again into the next one. As long as there is none the writer says that it is stuck, and keeps what it has.
 *
 * Gathering: clients that were released together come back together. So after a batch of w > 1 waiters the
 * writer waits for as many as were under way, for at most the time that a flush takes; alone, never. Where so many would
 * nearly fill a frame it waits for half of them, and then at once: the disk works on one half while the loop works on the other.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "broker/audit/audit.h"
#include "broker/audit/scan.h"
#include "broker/audit/segment.h"

#define WRITER_MAX_BATCHES 64 /* so 16,384 entries and 16 MiB at most are under way */

struct batch_slot { /* the event loop's own */
	struct audit_entry *waiter;
	int64_t since_us;
	bool refused; /* its waiter was told no already */
};

/* Entries that become one frame. Belongs to the writer between writer_put() and writer_released(). */
struct batch {
	STAILQ_ENTRY(batch) link;
	unsigned number; /* its place in the pool */
	unsigned n, returning; /* entries; those of them whose clients may be back soon */
	uint64_t first_index; /* once released; and when it was written */
	int64_t realtime_ns;
	uint64_t free_bytes;  /* of the disk, asked for at most 100 ms before */
	uint8_t *bytes;	      /* room for the head, entries, room for the hash */
	size_t len, size;     /* len: of the entries */
	struct batch_slot slots[FRAME_MAX_ENTRIES];
};
STAILQ_HEAD(batches, batch);

struct writer;

struct writer_options {
	const struct segment_dir *dir; /* borrowed */
	uint64_t segment_bytes;
	struct scan_position at; /* where the log goes on */
	uint64_t next_number;	 /* of segments */
	struct segment spare;	 /* one that is there already, or fd -1; taken */
	uint64_t low_water_bytes; /* below it, free space is asked for again and again also when nothing is written */
	int wake_fd;		 /* eventfd, written to when there is something for the event loop */
};

int writer_start(const struct writer_options *options, struct writer **out, struct error *err);
/*
 * Copies an entry into a batch: *out, at slot (*out)->n - 1. returning: once it is released its client may soon be back with
 * another. -1: too many under way, or no memory.
 */
int writer_put(struct writer *writer, const char *text, size_t n, bool returning, struct batch **out,
	       struct error *err);
/* What was put so far may be written now. */
void writer_kick(struct writer *writer);
/* Moves all released batches to the end of out, in order; each goes back by writer_recycle(). */
void writer_released(struct writer *writer, struct batches *out);
void writer_recycle(struct writer *writer, struct batch *batch);

bool writer_stuck(const struct writer *writer); /* nothing can be written now */
uint64_t writer_free_bytes(const struct writer *writer);
/* batch n of the pool, for a slot's owner to find it again. */
struct batch *writer_batch(const struct writer *writer, unsigned number);

struct writer_status {
	uint64_t records, frames, syncs, deaths;
	struct scan_position at; /* the last durable frame's end */
	unsigned queued;	 /* entries not released yet */
	char segment[SEGMENT_NAME_MAX];
	char dead_segment[SEGMENT_NAME_MAX]; /* the last one that died, and why */
	struct error death;
	struct error problem; /* while stuck */
	struct error loss; /* a file that durable records stood in is not there as it was: why; code 0: none */
};
void writer_status(struct writer *writer, struct writer_status *out);

/*
 * Writes out what is queued and ends the threads. False: they did not within about timeout_ms, the disk has them; what was
 * released can still be taken, but leave the writer's memory alone then.
 */
bool writer_stop(struct writer *writer, unsigned timeout_ms);
void writer_free(struct writer *writer); /* after writer_stop() said true; takes NULL */
