// links: policy
/* TZif files: parsed or refused; what parses answers at any second, and its transitions are where the offset changes. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include "policy/cel_time.h"
#include "policy/zones.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
	static const int64_t starts[] = { INT64_MIN, CEL_TIME_MIN_S, 0, 4102444800, 64060588800, CEL_TIME_MAX_S, INT64_MAX };
	struct zone *zone = NULL;
	struct error err = { 0 };

	if (zone_parse(data, len, &zone, &err) != 0) {
		assert(!zone && err.code == ERR_INVALID && err.message[0]);
		return 0;
	}
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		int64_t s = starts[i];

		assert(abs(zone_offset(zone, s)) <= 26 * 3600);
		for (int n = 0; n < 20; n++) {
			int64_t next = zone_next_transition(zone, s);

			if (next == INT64_MAX)
				break;
			assert(next > s && zone_offset(zone, next) != zone_offset(zone, next - 1));
			if (s >= CEL_TIME_MIN_S)
				assert(zone_offset(zone, s) == zone_offset(zone, next - 1));
			s = next;
		}
	}
	zone_free(zone);
	return 0;
}
