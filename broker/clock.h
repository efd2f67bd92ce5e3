#pragma once

/*
 * The only file that asks what time it is.
 *
 * Everybody else gets `now` as an argument. Realtime decides windows and expiries; boottime
 * measures durations, and tells a stepped clock from a slow one.
 */

#include <stdint.h>

struct instant {
	int64_t s;   /* Unix seconds, UTC */
	uint32_t ns; /* 0..999999999 */
};

struct instant clock_now(void);	  /* CLOCK_REALTIME */
int64_t clock_boottime_ms(void);  /* CLOCK_BOOTTIME: never steps, counts sleep */
int64_t clock_monotonic_us(void); /* for latencies */
/*
 * CLOCK_MONOTONIC as of the kernel's last tick, so up to 10 ms behind, for a quarter of the price: for the patience with
 * others on a request's way, and for rates. While the machine sleeps it stands still, as they do.
 */
int64_t clock_tick_ms(void);
