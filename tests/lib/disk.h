#pragma once

/*
 * A disk that does as the test says: the table of file operations that audit_open() takes, on real files, with faults.
 *
 * It fails calls by their number, writes short, blocks in the sync of a frame until it is let go, and notices by itself
 * when a file is written to again after one of its calls failed. Syncs that succeed sync nothing: the tests read through the cache.
 */

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include "broker/audit/io.h"

enum disk_call { DISK_OPEN, DISK_ALLOCATE, DISK_PWRITEV, DISK_FDATASYNC, DISK_FSYNC, DISK_CALLS, DISK_ALL };

#define DISK_SHORT 0 /* in place of an errno: half of what was to be written is, and no error */

struct disk {
	struct journal_io io;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* what the test says, by disk_script() and the like */
	enum disk_call fail;
	unsigned from, to; /* calls from..to of that kind fail; counted from 1; 0: none */
	int errnum;
	bool hold_frames, hold_all;
	unsigned pass;
	uint64_t free_bytes;
	bool no_direct; /* takes no writes around the page cache */
	/* what was seen */
	unsigned calls[DISK_CALLS], failed;
	unsigned frames_written, frames_synced, dirs_synced;
	unsigned direct_refused; /* writes, by no_direct */
	unsigned held; /* threads that wait in a sync */
	unsigned reused; /* files that were written to after an error: must stay 0 */
	ino_t end; /* the file that the log goes on from, where the test says so … */
	bool end_synced, begun_too_soon; /* … and whether a header was written before it was synced */
	ino_t frame; /* the file of the last frame that was written and not synced yet */
	ino_t dead[256];
	unsigned n_dead;
};

void disk_init(struct disk *disk);
/* Calls from..to of a kind (or each of DISK_ALL) fail from now on, counted from the beginning; errnum or DISK_SHORT. */
void disk_fail(struct disk *disk, enum disk_call call, unsigned from, unsigned to, int errnum);
void disk_heal(struct disk *disk);
void disk_hold(struct disk *disk, bool frames, bool all); /* both false: lets go */
void disk_pass(struct disk *disk, unsigned n); /* so many held syncs may go on */
void disk_set_free(struct disk *disk, uint64_t bytes);
struct disk disk_seen(struct disk *disk); /* a copy, to look at the figures */
