/* See clock.h. */

#include <assert.h>
#include <time.h>
#include "broker/clock.h"

static struct timespec clock_read(clockid_t id) {
	struct timespec ts;
	int r = clock_gettime(id, &ts);

	assert(r == 0);
	return ts;
}

struct instant clock_now(void) {
	struct timespec ts = clock_read(CLOCK_REALTIME);

	return (struct instant){ ts.tv_sec, (uint32_t)ts.tv_nsec };
}

int64_t clock_boottime_ms(void) {
	struct timespec ts = clock_read(CLOCK_BOOTTIME);

	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_monotonic_us(void) {
	struct timespec ts = clock_read(CLOCK_MONOTONIC);

	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_tick_ms(void) {
	struct timespec ts = clock_read(CLOCK_MONOTONIC_COARSE);

	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
