/* See base64.h. */

#include <stdint.h>
#include <string.h>
#include "hallpass/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const char *s, size_t n, char *out) {
	const unsigned char *u = (const unsigned char *)s;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t bits = (uint32_t)u[i] << 16;

		bits |= left > 1 ? (uint32_t)u[i + 1] << 8 : 0;
		bits |= left > 2 ? u[i + 2] : 0;
		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = left > 1 ? digits[bits >> 6 & 63] : '=';
		*out++ = left > 2 ? digits[bits & 63] : '=';
	}
}

bool base64_decode(const char *s, size_t n, char *out, size_t *len) {
	uint32_t bits = 0, n_bits = 0;
	const char *digit, *begin = out;

	if (n % 4 == 0)
		for (int i = 0; i < 2 && n && s[n - 1] == '='; i++)
			n--;
	if (n % 4 == 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		digit = s[i] ? strchr(digits, s[i]) : NULL;
		if (!digit)
			return false;
		bits = bits << 6 | (uint32_t)(digit - digits);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			*out++ = (char)(bits >> n_bits);
		}
	}
	*len = (size_t)(out - begin);
	return !(bits & ((1u << n_bits) - 1));
}
