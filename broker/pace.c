/* See pace.h. */

#include "broker/pace.h"

#define GROUP 12
#define GAP_MOST_US 1000 /* about what it takes to deal with a group */
#define GAP_LEAST_US 200 /* less is not worth a timer */
#define GAPS 50		 /* a gap is so small a part of what a call takes */
#define WEIGHT 8	 /* of the past, against one call */

static int64_t gap_us(const struct pace *pace) {
	int64_t gap = pace->took_us / GAPS;

	return gap < GAP_LEAST_US ? 0 : gap > GAP_MOST_US ? GAP_MOST_US : gap;
}

bool pace_begin(struct pace *pace, int64_t now_us) {
	if (pace_wait_us(pace, now_us) <= 0) {
		pace->group_us = now_us;
		pace->left = GROUP;
	}
	if (!pace->left)
		return false;
	pace->left--;
	return true;
}

int64_t pace_wait_us(const struct pace *pace, int64_t now_us) {
	return pace->group_us + gap_us(pace) - now_us;
}

void pace_learn(struct pace *pace, int64_t took_us) {
	pace->took_us += (took_us - pace->took_us) / WEIGHT;
}
