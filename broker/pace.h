#pragma once

/*
 * When the next call upstream may begin: a few at a time, so that many answers do not come at once.
 *
 * What is asked together is called together and answered together; then all of it waits for the last of its burst, burst after
 * burst, and what is in the cache waits behind it (P7). So calls begin in groups, with a gap between the groups in which one of
 * them is dealt with. The gap is a small part of what a call takes, so that it is not noticed: where calls are quick there is none.
 */

#include <stdbool.h>
#include <stdint.h>

struct pace {
	int64_t group_us; /* when the last group began */
	int64_t took_us;  /* a call, of late */
	unsigned left;	  /* how many may still join it */
};

/* May one begin now (monotonic, µs)? If so, it is counted. All zeros: no call was seen yet. */
bool pace_begin(struct pace *pace, int64_t now_us);
/* How long until the next group, µs; over 0 after pace_begin() said no. */
int64_t pace_wait_us(const struct pace *pace, int64_t now_us);
/* A call was answered, after so long. */
void pace_learn(struct pace *pace, int64_t took_us);
