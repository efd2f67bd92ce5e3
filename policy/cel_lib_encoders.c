/* The encoders extension: base64 (RFC 4648 §4; decoding also without padding). Source: cel-go ext/encoders.go. */

#include "policy/cel_lib.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

FN(encode) {
	struct cel_out out = { .run = run };
	char *p = cel_out_room(&out, ((size_t)a[0].n + 2) / 3 * 4);
	const unsigned char *s = (const unsigned char *)a[0].s;

	(void)node;
	for (uint32_t i = 0; p && i < a[0].n; i += 3) {
		uint32_t left = a[0].n - i, bits = (uint32_t)s[i] << 16;

		bits |= left > 1 ? (uint32_t)s[i + 1] << 8 : 0;
		bits |= left > 2 ? s[i + 2] : 0;
		*p++ = digits[bits >> 18];
		*p++ = digits[bits >> 12 & 63];
		*p++ = left > 1 ? digits[bits >> 6 & 63] : '=';
		*p++ = left > 2 ? digits[bits & 63] : '=';
	}
	return cel_out_value(&out, CEL_STRING);
}

static struct cel_value no_base64(const struct cel_node *node, struct cel_run *run) {
	return cel_fail(run, node, "base64.decode() of what is no base64");
}

FN(decode) {
	struct cel_out out = { .run = run };
	uint32_t n = a[0].n, bits = 0, n_bits = 0;
	const char *digit;
	char *p;

	if (n % 4 == 0)
		for (int i = 0; i < 2 && n && a[0].s[n - 1] == '='; i++)
			n--;
	if (n % 4 == 1)
		return no_base64(node, run);
	p = cel_out_room(&out, (size_t)n * 3 / 4);
	for (uint32_t i = 0; p && i < n; i++) {
		digit = a[0].s[i] ? strchr(digits, a[0].s[i]) : NULL;
		if (!digit)
			return no_base64(node, run);
		bits = bits << 6 | (uint32_t)(digit - digits);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			*p++ = (char)(bits >> n_bits);
		}
	}
	if (p && (bits & ((1u << n_bits) - 1)))
		return no_base64(node, run); /* bits that no byte holds */
	return cel_out_value(&out, CEL_BYTES);
}

static const struct cel_def encoders[] = {
	{ "base64.encode", "y:s", encode, 0 },
	{ "base64.decode", "s:y", decode, 0 },
};

LIBRARY(cel_encoder_defs, CEL_LIB_ENCODERS, encoders);
