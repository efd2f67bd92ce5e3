#pragma once

/* Reading short texts from front to back: times, zones, addresses. Pure; what was not liked stays where it is. */

#include <stdbool.h>

struct scan {
	const char *p, *end; /* borrowed; what is left */
};

/* Whether c is next, and takes it. */
static inline bool scan_char(struct scan *in, char c) {
	if (in->p == in->end || *in->p != c)
		return false;
	in->p++;
	return true;
}

static inline bool scan_is_digit(const struct scan *in) {
	return in->p != in->end && *in->p >= '0' && *in->p <= '9';
}
