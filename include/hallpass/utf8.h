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

#define UTF8_NOT_ASCII 0x8080808080808080u

static inline uint64_t utf8_eight(const char *s) {
	uint64_t eight;

	memcpy(&eight, s, 8);
	return eight;
}

/* Whether all n bytes are ASCII: 32 at a time, the last ones by looks that may overlap. */
static inline bool utf8_all_ascii(const char *s, size_t n) {
	uint32_t first = 0, last = 0;
	uint64_t bits = 0;
	size_t i = 0;

	for (; n - i >= 32; i += 32)
		bits |= utf8_eight(s + i) | utf8_eight(s + i + 8) | utf8_eight(s + i + 16) | utf8_eight(s + i + 24);
	for (; n - i >= 8; i += 8)
		bits |= utf8_eight(s + i);
	if (n >= 8) {
		bits |= utf8_eight(s + n - 8);
	} else if (n >= 4) {
		memcpy(&first, s, 4);
		memcpy(&last, s + n - 4, 4);
		bits |= first | last;
	} else {
		for (; i < n; i++)
			bits |= (unsigned char)s[i];
	}
	return !(bits & UTF8_NOT_ASCII);
}

/* Whether all n bytes are well-formed. */
static inline bool utf8_valid(const char *s, size_t n) {
	const unsigned char *u = (const unsigned char *)s;
	size_t i = 0, length;

	if (utf8_all_ascii(s, n))
		return true;
	while (i < n) {
		if (n - i >= 8 && !(utf8_eight(s + i) & UTF8_NOT_ASCII)) {
			i += 8;
			continue;
		}
		length = utf8_length(u + i, n - i);
		if (!length)
			return false;
		i += length;
	}
	return true;
}
