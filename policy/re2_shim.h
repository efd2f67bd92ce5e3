#pragma once

/* RE2, the only C++ here: compile, search, free. RE2 is linear in the subject and bounded in memory. */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* NULL: not a pattern (or too big for max_memory bytes); why gets a NUL-terminated reason. */
void *re2_shim_new(const char *pattern, size_t n, long long max_memory, char *why, size_t why_size);
int re2_shim_search(const void *re, const char *text, size_t n); /* unanchored; 1: found; -1: no memory */
void re2_shim_free(void *re);

#ifdef __cplusplus
}
#endif
