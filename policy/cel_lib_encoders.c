/* The encoders extension: base64, decoding also without padding. Source: cel-go ext/encoders.go. */

#include "hallpass/base64.h"
#include "policy/cel_lib.h"

FN(encode) {
	struct cel_out out = { .run = run };
	char *p = cel_out_room(&out, BASE64_SIZE(a[0].n));

	(void)node;
	if (p)
		base64_encode(a[0].s, a[0].n, p);
	return cel_out_value(&out, CEL_STRING);
}

FN(decode) {
	char *p = cel_run_alloc(run, (size_t)a[0].n / 4 * 3 + 2);
	size_t n;

	if (!p)
		return cel_fail_memory();
	if (!base64_decode(a[0].s, a[0].n, p, &n))
		return cel_fail(run, node, "base64.decode() of what is no base64");
	return cel_of_bytes(p, n);
}

static const struct cel_def encoders[] = {
	{ "base64.encode", "y:s", encode, 0 },
	{ "base64.decode", "s:y", decode, 0 },
};

LIBRARY(cel_encoder_defs, CEL_LIB_ENCODERS, encoders);
