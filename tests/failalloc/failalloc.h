#pragma once

/* What a test and the shim of failalloc.c share, by a mapped file. */

#include <stdatomic.h>

struct failalloc {
	atomic_bool on;
	atomic_llong left;   /* so many more allocations succeed */
	atomic_llong width;  /* and so many after them fail */
	atomic_llong failed; /* since it was aimed */
};
