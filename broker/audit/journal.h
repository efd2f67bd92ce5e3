#pragma once

/*
 * The journal's bytes: what a segment and a frame look like. Pure; no files.
 *
 * DIR/journal/NNNNNN.j are segments, numbered from 1. Each is made ahead at its full size, written over
 * with zeros and synced (so that a commit changes no metadata: fewer milliseconds, and no block that a
 * failed write-back can leave "unwritten"), then used once from front to back, and never written again
 * after the first error. All numbers are big-endian.
 *
 * A segment begins with a header, one page, written and synced before its first frame:
 *
 *     0  8  magic "\xFFHPJRNL\n"        48  8  predecessor: number of the segment that this one goes on from, or 0
 *     8  4  version (1)                 56  8  good_end: where the predecessor's last durable frame ends
 *    12  4  why (enum journal_why)      64 32  hash of that frame; zeros at the very beginning
 *    16  8  number                      96  2  length of a reason in words, then the reason
 *    24  8  first_index               4064 32  SHA-256 of all before
 *    32  8  realtime, ns
 *    40  8  boottime, ns
 *
 * What lies behind good_end in a predecessor does not count: it is the torn end of a crash, or a record that
 * was refused because its write failed ("refused, possibly present"). Of several segments that name the same
 * predecessor the highest number counts; the others were tried in vain. A header of zeros: a spare.
 *
 * A frame is one group commit, one pwritev, one fdatasync. Frames follow each other without a gap:
 *
 *     0  4  magic "\xFFHPF"             24  8  realtime, ns
 *     4  1  version (1)                 32  8  boottime, ns
 *     5  1  flags (0)                   40 32  hash of the frame before, in whichever segment
 *     6  2  zero                        72  4  length of the entries
 *     8  4  length of the whole frame   76  4  length of the extension (0; the place of size, root and checkpoint)
 *    12  4  n, entries                  80     entries: n times 2 bytes of length, then the text
 *    16  8  index of the first entry           extension: (2 bytes type, 2 bytes length, value)*, unknown types are skipped
 *                                       -32 32  SHA-256 of all before: "the hash of the frame"
 *
 * The byte 0xFF begins both magics and occurs in no UTF-8 text, so no record can look like a frame.
 * We trust a sector of 512 bytes to be written whole or not at all.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hallpass/buf.h"

#define JOURNAL_HASH 32
#define JOURNAL_HEADER 4096
#define JOURNAL_REASON_MAX 1024

#define FRAME_HEAD 80
#define FRAME_MAX_ENTRIES 256
#define FRAME_MAX_BODY 262144	  /* bytes of entries with their lengths */
#define FRAME_MAX_EXTENSION 65536
#define FRAME_MAX (FRAME_HEAD + FRAME_MAX_BODY + FRAME_MAX_EXTENSION + JOURNAL_HASH)

#define JOURNAL_MIN_SEGMENT (512 * 1024)     /* holds the header and the largest frame */
#define JOURNAL_DEFAULT_SEGMENT (16 * 1024 * 1024)

enum journal_why {
	JOURNAL_WHY_START = 1, /* hallpassd started; the predecessor is cut off at good_end */
	JOURNAL_WHY_FULL,      /* the next frame did not fit any more */
	JOURNAL_WHY_DEAD,      /* a write, a sync or a check of the predecessor failed; the reason says which */
};

struct journal_header {
	enum journal_why why;
	uint64_t number;
	uint64_t first_index;
	int64_t realtime_ns, boottime_ns;
	uint64_t predecessor, good_end;
	uint8_t hash[JOURNAL_HASH];
	char reason[JOURNAL_REASON_MAX + 1]; /* longer ones are cut */
};

enum header_state {
	HEADER_BAD = 0, /* torn, damaged, or of a version that we don't know */
	HEADER_SPARE,	/* zeros */
	HEADER_GOOD,
};

void journal_header_write(const struct journal_header *header,
			  uint8_t page[JOURNAL_HEADER]);
enum header_state journal_header_read(const uint8_t page[JOURNAL_HEADER],
				      struct journal_header *out);

struct frame {
	uint32_t len, n;
	uint64_t first_index;
	int64_t realtime_ns, boottime_ns;
	const uint8_t *prev; /* JOURNAL_HASH bytes, borrowed like the following */
	const uint8_t *hash;
	struct str entries; /* for frame_entry() */
	struct str extension;
};

enum frame_state {
	FRAME_BAD = 0, /* not a frame, or one that was damaged */
	FRAME_NONE,    /* zeros: nothing was written here */
	FRAME_SHORT,   /* may be one; out->len bytes are needed to tell */
	FRAME_UNKNOWN, /* begins like one, of a version that we don't know: a crash leaves no such thing */
	FRAME_GOOD,    /* hash and structure are right; whether it follows its predecessor is for the caller */
};

/*
 * Makes a frame of bytes that hold FRAME_HEAD bytes of room, then entries (frame_add()), then JOURNAL_HASH bytes
 * of room. in: n, first_index, the times. prev: the hash before. Gives its length; its hash is its end.
 */
uint32_t frame_seal(uint8_t *bytes, size_t entries_len, const struct frame *in,
		    const uint8_t prev[JOURNAL_HASH]);
/* Puts one entry at `at` (room for 2 + n bytes); gives how many bytes it took. n <= 65535. */
size_t frame_add(uint8_t *at, const void *text, size_t n);

/* Looks at the n bytes at p. why: what is wrong with a bad one, static text. */
enum frame_state frame_parse(const uint8_t *p, size_t n, struct frame *out,
			     const char **why);
/* Takes the first entry off *entries. False: there is none left. */
bool frame_entry(struct str *entries, struct str *out);
/* Whether p, at least 4 bytes, begins like a frame. */
bool frame_magic(const uint8_t *p);
