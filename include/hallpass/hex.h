#pragma once

#include <stddef.h>
#include <stdint.h>

/* Lower-case hexadecimal digits of n bytes, and a NUL: 2 * n + 1 characters. */
static inline void hex_text(char *to, const uint8_t *from, size_t n) {
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*to++ = digits[from[i] >> 4];
		*to++ = digits[from[i] & 15];
	}
	*to = '\0';
}
