#pragma once

/* How instants and lists of text look in what is told as JSON: explanations and listings. New references; NULL: memory. */

#include <jansson.h>
#include <stdint.h>

json_t *time_json(int64_t unix_s); /* null for INT64_MAX: no end seen */
json_t *strings_json(const char *const *list, size_t n);
