/* The math extension. Source: cel-go ext/math.go. */

#include <math.h>
#include "policy/cel_lib.h"

/* ---- greatest and least: across kinds; of equal ones the first; NaN is never chosen over a number that came before ---- */

static struct cel_value extreme(const struct cel_node *node, struct cel_run *run, struct cel_value best, struct cel_value v, int sign) {
	if (!cel_is_number(best) || !cel_is_number(v))
		return cel_no_such_overload(run, node);
	return cel_compare(v, best) == sign ? v : best;
}

static struct cel_value extreme_of(const struct cel_node *node, struct cel_run *run, const struct cel_value *a, int sign) {
	struct cel_value best;
	uint32_t n;

	if (node->n == 2)
		return extreme(node, run, a[0], a[1], sign);
	if (a[0].kind != CEL_LIST)
		return a[0];
	n = cel_list_size(a[0]);
	if (!n)
		return cel_fail(run, node, "the list has no items");
	if (!cel_spend(run, n / 16))
		return cel_fail_iterations(run, node);
	best = cel_list_at(a[0], 0);
	for (uint32_t i = 0; i < n && !cel_failed(best); i++)
		best = extreme(node, run, best, cel_list_at(a[0], i), sign);
	return best;
}

FN(greatest) {
	return extreme_of(node, run, a, 1);
}
FN(least) {
	return extreme_of(node, run, a, -1);
}

/* ---- Rounding and classes ---- */

/* Half-way away from zero. The C library's function would be the only one that the daemon needs libm for. */
static double rounded(double d) {
	double whole = trunc(d);

	return fabs(d - whole) >= 0.5 ? whole + copysign(1, d) : whole;
}

#define DOUBLE(name, value)                                                                                            \
	FN(name) {                                                                                                     \
		UNUSED;                                                                                                \
		return value;                                                                                          \
	}
DOUBLE(do_ceil, cel_of_double(ceil(a[0].d)))
DOUBLE(do_floor, cel_of_double(floor(a[0].d)))
DOUBLE(do_round, cel_of_double(rounded(a[0].d)))
DOUBLE(do_trunc, cel_of_double(trunc(a[0].d)))
DOUBLE(is_nan, cel_of_bool(isnan(a[0].d)))
DOUBLE(is_inf, cel_of_bool(isinf(a[0].d)))
DOUBLE(is_finite, cel_of_bool(isfinite(a[0].d)))

FN(do_abs) {
	if (a[0].kind == CEL_UINT)
		return a[0];
	if (a[0].kind == CEL_DOUBLE)
		return cel_of_double(fabs(a[0].d));
	if (a[0].i == INT64_MIN)
		return cel_fail(run, node, "integer overflow");
	return cel_of_int(a[0].i < 0 ? -a[0].i : a[0].i);
}

FN(sign) {
	UNUSED;
	if (a[0].kind == CEL_UINT)
		return cel_of_uint(a[0].u > 0);
	if (a[0].kind == CEL_INT)
		return cel_of_int((a[0].i > 0) - (a[0].i < 0));
	return cel_of_double(isnan(a[0].d) || a[0].d == 0 ? a[0].d : copysign(1, a[0].d));
}

FN(do_sqrt) {
	UNUSED;
	return cel_of_double(sqrt(a[0].kind == CEL_INT ? (double)a[0].i : a[0].kind == CEL_UINT ? (double)a[0].u : a[0].d));
}

/* ---- Bits: of int and uint alike, the kind stays ---- */

static struct cel_value with_bits(struct cel_value v, uint64_t bits) {
	v.u = bits;
	return v;
}

#define BITS(name, value)                                                                                              \
	FN(name) {                                                                                                     \
		UNUSED;                                                                                                \
		return with_bits(a[0], value);                                                                         \
	}
BITS(bit_and, a[0].u & a[1].u)
BITS(bit_or, a[0].u | a[1].u)
BITS(bit_xor, a[0].u ^ a[1].u)
BITS(bit_not, ~a[0].u)

FN(shift_left) {
	if (a[1].i < 0)
		return cel_failf(run, node, "a shift by %lld", (long long)a[1].i);
	return with_bits(a[0], a[1].i > 63 ? 0 : a[0].u << a[1].i);
}

/* The sign is no sign here: zeros come in from the left. */
FN(shift_right) {
	if (a[1].i < 0)
		return cel_failf(run, node, "a shift by %lld", (long long)a[1].i);
	return with_bits(a[0], a[1].i > 63 ? 0 : a[0].u >> a[1].i);
}

#define EXTREME(name, f)                                                                                               \
	{ name, "i:i", f, 0 }, { name, "u:u", f, 0 }, { name, "d:d", f, 0 }, { name, "ii:i", f, 0 }, { name, "uu:u", f, 0 },     \
		{ name, "dd:d", f, 0 }, { name, "iu:*", f, 0 }, { name, "id:*", f, 0 }, { name, "ui:*", f, 0 },             \
		{ name, "ud:*", f, 0 }, { name, "di:*", f, 0 }, { name, "du:*", f, 0 }, { name, "Li:i", f, 0 },             \
		{ name, "Lu:u", f, 0 }, { name, "Ld:d", f, 0 }, { name, "L*:*", f, 0 }
#define WHOLE(name, f) { name, "ii:i", f, 0 }, { name, "uu:u", f, 0 }
#define SHIFT(name, f) { name, "ii:i", f, 0 }, { name, "ui:u", f, 0 }
#define NUMBER(name, f) { name, "i:i", f, 0 }, { name, "u:u", f, 0 }, { name, "d:d", f, 0 }

static const struct cel_def math[] = {
	EXTREME("math.greatest", greatest),
	EXTREME("math.least", least),
	{ "math.ceil", "d:d", do_ceil, 0 },
	{ "math.floor", "d:d", do_floor, 0 },
	{ "math.round", "d:d", do_round, 0 },
	{ "math.trunc", "d:d", do_trunc, 0 },
	{ "math.isNaN", "d:b", is_nan, 0 },
	{ "math.isInf", "d:b", is_inf, 0 },
	{ "math.isFinite", "d:b", is_finite, 0 },
	NUMBER("math.abs", do_abs),
	NUMBER("math.sign", sign),
	{ "math.sqrt", "d:d", do_sqrt, 0 },
	{ "math.sqrt", "i:d", do_sqrt, 0 },
	{ "math.sqrt", "u:d", do_sqrt, 0 },
	WHOLE("math.bitAnd", bit_and),
	WHOLE("math.bitOr", bit_or),
	WHOLE("math.bitXor", bit_xor),
	{ "math.bitNot", "i:i", bit_not, 0 },
	{ "math.bitNot", "u:u", bit_not, 0 },
	SHIFT("math.bitShiftLeft", shift_left),
	SHIFT("math.bitShiftRight", shift_right),
};

LIBRARY(cel_math_defs, CEL_LIB_MATH, math);
