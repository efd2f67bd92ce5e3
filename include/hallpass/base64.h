#pragma once

/* Base64 (RFC 4648 §4), for CEL's encoders and for bytes in JSON. */

#include <stdbool.h>
#include <stddef.h>

#define BASE64_SIZE(n) (((size_t)(n) + 2) / 3 * 4)

/* Writes BASE64_SIZE(n) characters, padding included and no NUL. */
void base64_encode(const char *s, size_t n, char *out);

/* Padding may be missing. out has room for n / 4 * 3 + 2 bytes. False: no base64, or bits set that no byte holds. */
bool base64_decode(const char *s, size_t n, char *out, size_t *len);
