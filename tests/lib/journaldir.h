#pragma once

/* A journal directory written by hand: segments and frames as one likes them, damaged where one likes. */

#include <stdbool.h>
#include <stdint.h>
#include "broker/audit/scan.h"
#include "broker/audit/segment.h"

#define JD_SEGMENT JOURNAL_MIN_SEGMENT

struct journaldir {
	char path[64];	  /* what audit_open() and audit_reader_open() take */
	char journal[80]; /* the directory with the segments */
	struct segment_dir dir;
};

void journaldir_make(struct journaldir *d);
void journaldir_remove(struct journaldir *d);

/* Begins segment `number` behind *at (zeros: a new log) and moves *at into it. */
void journaldir_segment(struct journaldir *d, struct scan_position *at, uint64_t number, enum journal_why why);
/* A blank one, of `size` bytes. */
void journaldir_blank(struct journaldir *d, uint64_t number, uint64_t size);
/* One frame with the entries in `texts`, separated by '|', at *at; moves *at behind it. */
void journaldir_frame(struct journaldir *d, struct scan_position *at, const char *texts);

void journaldir_poke(struct journaldir *d, uint64_t number, uint64_t offset, const void *bytes, size_t n);
void journaldir_flip(struct journaldir *d, uint64_t number, uint64_t offset); /* one bit */
void journaldir_truncate(struct journaldir *d, uint64_t number, uint64_t size);
bool journaldir_has(struct journaldir *d, const char *name); /* a file in the journal directory */

/* All records, separated by '|', as the reader gives them; where it refuses: "ERROR: " and what it says. free() it. */
char *journaldir_read(const char *path);
