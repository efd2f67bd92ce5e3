#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at s, or 0: overlong forms and surrogates are not well-formed. */
static inline size_t utf8_length(const unsigned char *s, size_t n) {
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		return n >= 2 && (s[1] & 0xC0) == 0x80 ? 2 : 0;
	if (s[0] >= 0xE0 && s[0] <= 0xEF) {
		if (n < 3 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80)
			return 0;
		if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F))
			return 0;
		return 3;
	}
	if (s[0] >= 0xF0 && s[0] <= 0xF4) {
		if (n < 4 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80 || (s[3] & 0xC0) != 0x80)
			return 0;
		if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
			return 0;
		return 4;
	}
	return 0;
}

/* Whether all n bytes are well-formed; eight at a time as long as they are ASCII. */
static inline bool utf8_valid(const char *s, size_t n) {
	const unsigned char *u = (const unsigned char *)s;
	size_t i = 0, length;
	uint64_t eight;

	while (i < n) {
		if (n - i >= 8) {
			memcpy(&eight, u + i, 8);
			if (!(eight & 0x8080808080808080)) {
				i += 8;
				continue;
			}
		}
		length = utf8_length(u + i, n - i);
		if (!length)
			return false;
		i += length;
	}
	return true;
}
