#pragma once

/*
 * What replayed requests have in common, counted: the same change, for the same reason, for the same principal, account,
 * permission and binding. Memory for so many groups and no more, however long the log is.
 */

#include "broker/replay.h"

#define TALLY_MAX_GROUPS 20000

struct tally_group {
	enum replay_change change;
	char *who, *account, *permission, *binding; /* as recorded; binding "" where there was none */
	char *why;		    /* what the other policy says; "" for lifetimes */
	size_t count, issued;	    /* requests; those of them that got a token */
	int64_t first, last;	    /* Unix seconds */
	int64_t was_min, was_max, now_min, now_max; /* lifetimes, seconds; 0: none */
	enum bound_by bound_by;
};

struct tally {
	struct tally_group *groups;
	size_t n, size;
	json_t *by_key; /* -> index */
	size_t count[N_REPLAY_CHANGES], issued[N_REPLAY_CHANGES];
	size_t left_out; /* requests that found no room */
};

/* Counts one change of a request; why is copied. */
void tally_add(struct tally *tally, enum replay_change change, const struct recorded *asked, const struct decision *now, const char *why);
/* By change, and then the largest first. After it nothing is added any more. */
void tally_sort(struct tally *tally);
void tally_fini(struct tally *tally);
