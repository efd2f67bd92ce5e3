#pragma once

/* How instants and lists of text look in what is told as JSON, and how they are looked up there. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* New references; NULL: memory. */
json_t *time_json(int64_t unix_s); /* null for INT64_MAX: no end seen */
json_t *strings_json(const char *const *list, size_t n);
json_t *text_json(const char *text); /* what others say, an environment, a server, need not be UTF-8: a byte that is none becomes ? */

/* A member that is a string; "" where there is none, or no object. Borrowed. */
const char *text_of(const json_t *object, const char *key);
/* Whether a text is among a list's strings; what is no list has none. */
bool list_has(const json_t *list, const char *text);
