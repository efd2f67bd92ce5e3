#pragma once

/*
 * Records that are like an earlier one but for their instants, their request and the caller's process: the text is cast
 * instead of being written anew, and is the same to the byte.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/audit/record.h"

/* What a record of the mould's kind does not share with the others. */
struct casting {
	struct instant time, asked_at;
	const char *request; /* visible ASCII without quotes, at most CASTING_REQUEST_MAX bytes */
	int64_t pid;	     /* > 0 */
};

#define CASTING_REQUEST_MAX 64

/* Starts as zeros with text = RECORD_BUF. */
struct mould {
	struct buf text; /* of the record that it was made from */
	struct record_gap gaps[RECORD_GAPS];
	int64_t second; /* that date is of */
	char date[20];	/* "2026-11-26T12:00:00"; "": of none */
};

void mould_fini(struct mould *mould);
/* From a record that has all four. False: it has not, or there is no memory; there is no mould then. */
bool mould_make(struct mould *mould, const struct audit_record *record);
/* Appends the record to out. False: no memory, or a year beyond 9999; out is as it was. */
bool mould_cast(struct mould *mould, const struct casting *casting, struct buf *out);
