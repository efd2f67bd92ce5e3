#pragma once

/*
 * Memory that an evaluation, a compilation or a text did not get. It becomes an error of the condition like any other, and that denies,
 * or a sentence that is cut; but whoever was to tell what the rules say, or whether a policy passes its tests, must know that it was
 * none of theirs (policy_memory_failures()).
 */

#ifdef __cplusplus
extern "C"
#endif
void note_no_memory(void);
