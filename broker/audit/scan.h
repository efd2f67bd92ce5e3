#pragma once

/*
 * Walks the journal frame by frame, in the order of the chain, checking every hash on the way.
 * Below the reader (records) and recovery (what to go on from). Bytes and chain: journal.h.
 */

#include <stdbool.h>
#include <stdint.h>
#include "broker/audit/journal.h"
#include "broker/audit/segment.h"
#include "hallpass/error.h"

struct scan;

/* Where the next frame goes, or comes from. */
struct scan_position {
	uint64_t segment; /* 0: there is none yet */
	uint64_t offset;
	uint64_t next_index;
	uint8_t hash[JOURNAL_HASH]; /* of the frame before; zeros: none */
	int64_t last_ns;	    /* the latest realtime of any frame so far */
};

/* path names the journal directory in errors; borrowed. */
int scan_open(const struct segment_dir *dir, struct scan **out, struct error *err);
void scan_free(struct scan *scan); /* takes NULL */

/*
 * 1: *frame, borrowed until the next call. 0: no further good frame now; later there may be.
 * -1: ERR_INVALID: damaged, says where and what to do; ERR_UNAVAILABLE: cannot read.
 */
int scan_next(struct scan *scan, struct frame *frame, struct error *err);
void scan_position(const struct scan *scan, struct scan_position *out);

/*
 * After scan_next() said 0: how many bytes lie behind the good end of the last segment, up to the last that is not zero.
 * -1: ERR_INVALID, a good frame lies behind a bad one.
 */
int scan_tail(struct scan *scan, uint64_t *torn, struct error *err);

/* The segments on disk, in order of number; borrowed until the next call of scan_next(). */
struct scan_segment {
	uint64_t number;
	uint64_t size;
	enum header_state state;
	uint64_t predecessor, good_end, first_index;
	uint8_t hash[JOURNAL_HASH];
	bool on_chain; /* it was walked through, or is being */
};
const struct scan_segment *scan_segments(const struct scan *scan, size_t *n);
/* How many bytes lie behind byte `from` in this segment, up to the last that is not zero; looks at no more than `most`. */
int scan_used(struct scan *scan, uint64_t number, uint64_t from, uint64_t most, uint64_t *n, struct error *err);
/*
 * Whether nothing was ever recorded in a segment that has no good header. A crash leaves zeros behind a torn one.
 * -1: ERR_INVALID: there are records, and nobody would miss them.
 */
int scan_check_unused(struct scan *scan, const struct scan_segment *segment, struct error *err);
/* The same of every segment behind the end of the chain. */
int scan_check_rest(struct scan *scan, struct error *err);
