#pragma once

/*
 * The record: what is appended here is durable before its waiter hears so (P1).
 *
 * A journal of segments in one directory, one frame per group commit with one pwritev and one
 * fdatasync by a writer thread; hash-chained and self-checking. The event loop appends and is
 * called back; it never waits for the disk. The format, and why, is told in audit/journal.h.
 *
 * The event loop is the only caller; done functions run from it, never inside audit_append(). A done function may
 * append, but not close.
 *
 * A record that was accepted is written sooner or later, unless the process ends before. Its waiter may be
 * refused meanwhile (deadline, no segment to write to) or then (too little space left); when it is then written all the same a record of type
 * "late" names its index, and nothing is released on it. When the log goes on after a failure a record of type "recovered"
 * says what had failed and how many issuances were refused meanwhile.
 *
 * The daemon ignores SIGXFSZ and SIGPIPE: a file size limit is then an error of a write like any other.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include "hallpass/error.h"

struct audit;
struct journal_io;
struct recover_watch;
struct log;

struct audit_options {
	const char *dir;	   /* 0700, ours; made when missing */
	uint64_t segment_bytes;	   /* size of a preallocated segment; 0: 16 MiB; at least 512 KiB */
	uint64_t low_water_bytes;  /* free space under which mints are refused (refusals are still recorded) */
	unsigned deadline_ms;	   /* a waiter is refused after this, whatever the disk does */
	const struct recover_watch *watch; /* of what the log holds at open, see recover.h; NULL: nobody */
	const struct journal_io *io; /* NULL: the system's. For tests that let the disk fail */
};

/*
 * One record on its way. The caller owns the struct and keeps it until done() has run;
 * the text is copied by audit_append().
 */
struct audit_entry {
	/* err->code ERR_NONE: durable. Otherwise ERR_UNAVAILABLE: nothing may be released on it. */
	void (*done)(struct audit_entry *entry, const struct error *err, void *arg);
	void *arg;
	bool comes_back; /* an answer goes out on it, and its client may ask again at once: worth gathering for (audit/writer.c) */
	uint64_t index; /* the record's number in the log, once durable */
	TAILQ_ENTRY(audit_entry) link; /* audit's own */
	unsigned state;		       /* audit's own */
};

/* An entry is at most this long (the C2SP entry bundle's limit). */
#define AUDIT_MAX_ENTRY 65535

/*
 * Opens or makes the directory, takes its lock, recovers (cuts an incomplete tail frame and reports it,
 * refuses corruption before good frames), closes open intents as unknown, starts the writer.
 * Errors: ERR_UNAVAILABLE (locked by another, disk), ERR_INVALID (corrupt: says which file, offset, and what to do).
 */
int audit_open(struct event_base *base, const struct audit_options *options, struct log *log, struct audit **out,
	       struct error *err);
/*
 * Writes out what is queued (waits deadline_ms for a disk that hangs), runs the remaining done functions. Takes NULL.
 * Where the disk hangs longer the writer's memory is left behind: the process is about to end anyway.
 */
void audit_close(struct audit *audit);

/*
 * Queues a record (one JSON object, one line, no newline). entry NULL: nobody waits; it rides with the next batch.
 * -1 with ERR_UNAVAILABLE at once when somebody would wait and it is known that nothing is made durable now (an error that
 * lasts, a disk that hangs), or when too much waits for the disk already.
 */
int audit_append(struct audit *audit, const char *json, size_t len, struct audit_entry *entry, struct error *err);

/*
 * Whether an issuance may begin: false (with the reason) below the low-water mark, or while nothing is made durable. Whoever hears
 * so is refused, and counts as that.
 */
bool audit_ready(struct audit *audit, struct error *err);

/*
 * The latest realtime (Unix seconds) at which something was recorded, now or ever; 0: nothing was. A clock more
 * than 60 s before it went backwards: issue nothing, for every notAfter would be judged by a wrong time.
 */
int64_t audit_last_time(const struct audit *audit);

struct audit_status {
	uint64_t records, frames, syncs; /* since open, durable; syncs: that succeeded */
	uint64_t refused;		 /* records not accepted, and issuances refused for want of the record, since open */
	uint64_t next_index;
	uint64_t free_bytes;
	unsigned queued;
	bool healthy;
	char problem[768]; /* for people, when not healthy */
	char loss[768];	   /* for people: somebody took away what was durable; "": nobody did, as far as was seen */
	char segment[64];  /* file name being written */
	uint8_t head[32];  /* SHA-256 of the last durable frame */
};
void audit_status(const struct audit *audit, struct audit_status *out);
