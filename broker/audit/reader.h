#pragma once

/*
 * Reads a journal directory, record by record, without a lock: for `hallpass log`, for recovery and for tests.
 * Every frame's hash and chain is checked on the way.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hallpass/buf.h"
#include "hallpass/error.h"

struct audit_reader;

/* dir: the audit directory, the one that holds journal/. ERR_NOT_FOUND: there is none; ERR_UNAVAILABLE: cannot read it. */
int audit_reader_open(const char *dir, struct audit_reader **out, struct error *err);
void audit_reader_free(struct audit_reader *reader);

/*
 * 1: *record is the next one (borrowed until the next call), *index its number. 0: the end for now
 * (call again later to follow; after a failure of the disk the last frame's records may come once more, with the same
 * numbers: they were refused the first time). -1: ERR_INVALID, corrupt: file, offset and what is wrong.
 */
int audit_reader_next(struct audit_reader *reader, struct str *record, uint64_t *index, struct error *err);

/*
 * After audit_reader_next() said 0: is it really the end? 0: yes, behind it lies at most what a crash leaves. -1: ERR_INVALID, good
 * frames lie behind a bad one, or records behind a damaged header; a writer at work can look like that for a moment, so read on and ask again before believing
 * it. Reads the rest of the segment, so not for each turn of a follower.
 */
int audit_reader_check_end(struct audit_reader *reader, struct error *err);

typedef void audit_reader_fn(struct str record, uint64_t index, void *arg);
/* Gives all there is for now. */
int audit_reader_each(struct audit_reader *reader, audit_reader_fn *one, void *arg, struct error *err);
/* The same, and makes sure that it was all, with a second look where somebody may have been writing. */
int audit_reader_whole(struct audit_reader *reader, audit_reader_fn *one, void *arg, struct error *err);
