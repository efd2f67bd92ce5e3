#pragma once

/*
 * The native API's answer with a token (include/hallpass/api.h).
 *
 * What stands behind the token is kept where the same is asked again, and put there the next time. The token itself is kept
 * nowhere here.
 */

#include <stdint.h>
#include "broker/conn.h"
#include "broker/request.h"
#include "hallpass/buf.h"

/* Of one ask. Starts as zeros. */
struct issued_memo {
	uint64_t token; /* its serial; 0: nothing is remembered here */
	uint64_t snapshot;
	const char *rule;
	enum bound_by bound_by;
	int64_t permitted_until;
	struct buf text;
	size_t expires_in, request_id; /* where these, which differ each time, go in */
};

void issued_memo_forget(struct issued_memo *memo); /* what is asked is another thing from now on */
void issued_memo_fini(struct issued_memo *memo);

/*
 * Writes the answer of an outcome with a token into out, whatever was there, behind CONN_HEAD_ROOM bytes. Room is made first: what grows later would
 * leave a copy of the token where it stood. memo: of o->ask, or NULL where it is not known to come again.
 */
void issued_write(const struct request_outcome *o, struct issued_memo *memo, struct buf *out);
