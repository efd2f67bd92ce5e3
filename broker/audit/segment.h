#pragma once

/*
 * The journal's files: making them ahead, beginning them, noticing what others did to them. Bytes: journal.h.
 *
 * A segment is made under the name NNNNNN.new and gets its name NNNNNN.j when it is whole, zeroed and synced;
 * so a file with that name is a segment or a spare, never half of one.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "broker/audit/io.h"
#include "broker/audit/journal.h"
#include "hallpass/error.h"

#define SEGMENT_NAME_MAX 28
#define SEGMENT_PAGE 4096

/* Which file it is: no other's while it is open. */
struct segment_id {
	uint64_t ino;
	uint32_t dev_major, dev_minor;
};

struct segment {
	uint64_t number;
	uint64_t size;
	int fd; /* -1: none */
	struct segment_id id;
	char name[SEGMENT_NAME_MAX];
};

/*
 * Where the last pages of a segment are laid out for the disk, since a write around the page cache takes whole pages from
 * an aligned address. Between two writes it holds what the page where the next one begins has already.
 */
struct segment_stage {
	uint8_t *bytes;
	uint64_t end; /* in the segment: of what was written */
};

/* The directory that they are in. */
struct segment_dir {
	const struct journal_io *io;
	int fd;
	const char *path; /* absolute, for people and for the check that it is still there */
	struct segment_id id; /* by segment_dir_identify(); who only reads needs none */
};

void segment_name(uint64_t number, char out[SEGMENT_NAME_MAX]);
/* False: not the name of a segment. */
bool segment_number(const char *name, uint64_t *out);

int segment_dir_identify(struct segment_dir *dir, struct error *err);
/* Makes a spare. Slow. *stop ends it early (ERR_CANCELLED). What it leaves behind after a failure is removed at the next start. */
int segment_make(const struct segment_dir *dir, uint64_t number, uint64_t size, const atomic_bool *stop,
		 struct segment *out, struct error *err);
/* Opens a spare that was made before. */
int segment_open(const struct segment_dir *dir, uint64_t number, struct segment *out, struct error *err);
/* -1: no memory. Room for the largest frame; pages that were never used cost nothing. */
int segment_stage_init(struct segment_stage *stage);
void segment_stage_fini(struct segment_stage *stage);
/* Writes the header and makes it durable; the stage stands behind it. */
int segment_begin(const struct segment_dir *dir, const struct segment *segment, struct segment_stage *stage,
		  const struct journal_header *header, struct error *err);
/*
 * Writes behind what was written and makes durable, by one write and one fdatasync. Whole pages: what the first one holds
 * already and the zeros behind the last byte are written again, so the disk is never asked for them, nor is the page cache,
 * whose fresh pages cost a busy broker up to a third of its CPU. After an error the segment takes nothing more.
 */
int segment_write(const struct segment_dir *dir, const struct segment *segment, struct segment_stage *stage,
		  const void *bytes, size_t len, struct error *err);
/* Makes durable what stands in a segment that others wrote: a killed broker's last words may be in the page cache alone. */
int segment_sync(const struct segment_dir *dir, uint64_t number, struct error *err);
/* Whether the path still leads to the directory that we write to. */
int segment_dir_check(const struct segment_dir *dir, struct error *err);
/* The same, and whether the name still leads to this file, and it is not shorter. */
int segment_check(const struct segment_dir *dir, const struct segment *segment, struct error *err);
void segment_close(struct segment *segment);
/* Closes, and removes the file: nothing durable was ever in it. */
void segment_discard(const struct segment_dir *dir, struct segment *segment);
/* Gives back the space behind good_end of a segment that another one continues. Best effort. */
void segment_trim(const struct segment_dir *dir, uint64_t number, uint64_t good_end);

/* ERR_UNAVAILABLE: "WHAT DIR/NAME: No space left on device (N bytes free)". */
int segment_error(const struct segment_dir *dir, const char *name, const char *what, int errnum, struct error *err);
