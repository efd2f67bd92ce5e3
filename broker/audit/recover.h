#pragma once

/*
 * What is found in the directory at start: where the log goes on, what a crash left, which intents are open.
 *
 * Changes nothing that is part of the log: a torn tail is left where it is, the header of the next segment says
 * where the good part ends, and until a record tells of the tail every start finds it again. So a crash during recovery
 * is just another crash.
 */

#include <stdint.h>
#include <sys/queue.h>
#include "broker/audit/scan.h"
#include "broker/audit/segment.h"

/* An intent without an outcome. */
struct open_intent {
	TAILQ_ENTRY(open_intent) link;   /* of its hash bucket */
	TAILQ_ENTRY(open_intent) in_order;
	uint64_t index;
	char *json;	   /* the intent's own record, NUL-terminated */
	struct str flight; /* in it */
};
TAILQ_HEAD(open_intents, open_intent);

struct recovery {
	struct scan_position at;
	uint64_t torn; /* bytes at the end of torn_segment that do not count, and of which no record tells yet */
	uint64_t torn_segment;
	uint64_t next_number;
	struct segment spare; /* fd -1: none */
	struct open_intents open;
};

/* Who wants to see each record of a start or a reload on the way, in order. The text is borrowed. */
struct recover_watch {
	void (*record)(void *arg, struct str json);
	void *arg;
};

/* watch NULL: nobody. Errors: ERR_INVALID: damaged; ERR_UNAVAILABLE: cannot read. The caller fini's recovery either way. */
int recover(const struct segment_dir *dir, uint64_t segment_bytes, const struct recover_watch *watch, struct recovery *out,
	    struct error *err);
void recovery_fini(struct recovery *recovery);
