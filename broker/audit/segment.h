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

struct segment {
	uint64_t number;
	uint64_t size;
	int fd; /* -1: none */
	char name[SEGMENT_NAME_MAX];
};

/* The directory that they are in. */
struct segment_dir {
	const struct journal_io *io;
	int fd;
	const char *path; /* absolute, for people and for the check that it is still there */
};

void segment_name(uint64_t number, char out[SEGMENT_NAME_MAX]);
/* False: not the name of a segment. */
bool segment_number(const char *name, uint64_t *out);

/* Makes a spare. Slow. *stop ends it early (ERR_CANCELLED). What it leaves behind after a failure is removed at the next start. */
int segment_make(const struct segment_dir *dir, uint64_t number, uint64_t size, const atomic_bool *stop,
		 struct segment *out, struct error *err);
/* Opens a spare that was made before. */
int segment_open(const struct segment_dir *dir, uint64_t number, struct segment *out, struct error *err);
/* Writes the header and makes it durable. */
int segment_begin(const struct segment_dir *dir, const struct segment *segment, const struct journal_header *header, struct error *err);
/*
 * Writes and makes durable, by one write and one fdatasync. What is left of the last page is written as the zeros that
 * it holds already: so each page is written whole the first time, and the disk is never asked what was there.
 */
int segment_write(const struct segment_dir *dir, const struct segment *segment, const void *bytes, size_t len,
		  uint64_t offset, struct error *err);
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
