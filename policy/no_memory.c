/* See no_memory.h. */

#include "hallpass/policy.h"
#include "policy/no_memory.h"

static _Thread_local unsigned failures;

void note_no_memory(void) {
	failures++;
}

unsigned policy_memory_failures(void) {
	return failures;
}
