/* See cel_internal.h: numbers and UTF-8 as text. */

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "hallpass/utf8.h"
#include "policy/cel_internal.h"

#define MAX_NUMBER 1024

size_t cel_utf8_prefix(const char *s, size_t n) {
	size_t i = 0, step;

	for (; i < n; i += step) {
		step = utf8_length((const unsigned char *)s + i, n - i);
		if (!step)
			break;
	}
	return i;
}

bool cel_utf8_valid(const char *s, size_t n) {
	return cel_utf8_prefix(s, n) == n;
}

size_t cel_utf8_count(const char *s, size_t n) {
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += ((unsigned char)s[i] & 0xC0) != 0x80;
	return count;
}

size_t cel_utf8_offset(const char *s, size_t n, uint64_t i) {
	size_t at = 0;

	for (; i && at < n; i--) {
		at++;
		while (at < n && ((unsigned char)s[at] & 0xC0) == 0x80)
			at++;
	}
	return i ? SIZE_MAX : at;
}

unsigned cel_utf8_encode(uint32_t c, char out[4]) {
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

uint32_t cel_utf8_decode(const char *s, unsigned *len) {
	const unsigned char *u = (const unsigned char *)s;

	if (u[0] < 0x80)
		return *len = 1, u[0];
	if (u[0] < 0xE0)
		return *len = 2, (uint32_t)(u[0] & 0x1F) << 6 | (u[1] & 0x3F);
	if (u[0] < 0xF0)
		return *len = 3, (uint32_t)(u[0] & 0x0F) << 12 | (uint32_t)(u[1] & 0x3F) << 6 | (u[2] & 0x3F);
	*len = 4;
	return (uint32_t)(u[0] & 0x07) << 18 | (uint32_t)(u[1] & 0x3F) << 12 | (uint32_t)(u[2] & 0x3F) << 6 |
	       (u[3] & 0x3F);
}

bool cel_int_in_double(double d) {
	return d > -9223372036854775808.0 && d < 9223372036854775808.0;
}

/*
 * The fewest significant digits that read back as d, and its decimal exponent. 15 digits nearly always do, 17 always;
 * next to zero, where doubles lie far apart, fewer do.
 */
static int shortest(double d, int *exponent) {
	char text[CEL_DOUBLE_TEXT], *e;

	for (int places = fabs(d) < DBL_MIN ? 0 : 14; places < 17; places++) {
		snprintf(text, sizeof(text), "%#.*e", places, d);
		if (places == 16 || strtod(text, NULL) == d)
			break;
	}
	e = strchr(text, 'e');
	*exponent = atoi(e + 1);
	while (e[-1] == '0')
		e--;
	return (int)(e - text) - (text[0] == '-') - 1; /* but for sign and point */
}

/* With an exponent below 1e-4 and from 1e6 on, like Go's %g. */
size_t cel_double_format(double d, char out[CEL_DOUBLE_TEXT]) {
	int digits, exponent;

	if (isnan(d))
		return (size_t)snprintf(out, CEL_DOUBLE_TEXT, "NaN");
	if (isinf(d))
		return (size_t)snprintf(out, CEL_DOUBLE_TEXT, d < 0 ? "-Infinity" : "Infinity");
	digits = shortest(d, &exponent);
	if (exponent < -4 || exponent >= 6)
		return (size_t)snprintf(out, CEL_DOUBLE_TEXT, "%.*e", digits - 1, d);
	return (size_t)snprintf(out, CEL_DOUBLE_TEXT, "%.*f", digits - 1 > exponent ? digits - 1 - exponent : 0, d);
}

static size_t digits(struct str s, size_t at) {
	size_t n = 0;

	while (at + n < s.n && s.p[at + n] >= '0' && s.p[at + n] <= '9')
		n++;
	return n;
}

/* sign? digits? ('.' digits?)? ([eE] sign? digits)?, at least one digit before the exponent. */
static bool is_decimal(struct str s) {
	size_t at = s.n && (s.p[0] == '+' || s.p[0] == '-'), whole, fraction = 0, exponent;

	whole = digits(s, at);
	at += whole;
	if (at < s.n && s.p[at] == '.') {
		fraction = digits(s, ++at);
		at += fraction;
	}
	if (!whole && !fraction)
		return false;
	if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
		at++;
		at += at < s.n && (s.p[at] == '+' || s.p[at] == '-');
		exponent = digits(s, at);
		if (!exponent)
			return false;
		at += exponent;
	}
	return at == s.n;
}

static bool same_word(struct str s, const char *lower) {
	size_t i;

	for (i = 0; i < s.n && lower[i]; i++)
		if ((s.p[i] | 0x20) != lower[i])
			return false;
	return i == s.n && !lower[i];
}

static bool special_double(struct str s, double *out) {
	bool negative = s.n && s.p[0] == '-';

	if (same_word(s, "nan"))
		return *out = NAN, true;
	if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
		s.p++, s.n--;
	if (!same_word(s, "inf") && !same_word(s, "infinity"))
		return false;
	*out = negative ? -INFINITY : INFINITY;
	return true;
}

/*
 * The text is scanned first, so that strtod sees nothing but a decimal number; one too large for a double
 * is refused, and so is one that takes more than MAX_NUMBER characters to say.
 */
bool cel_double_parse(struct str text, double *out) {
	char copy[MAX_NUMBER + 1];
	double d;

	if (!is_decimal(text))
		return special_double(text, out);
	if (text.n > MAX_NUMBER)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	d = strtod(copy, NULL);
	if (isinf(d))
		return false;
	*out = d;
	return true;
}

size_t cel_scalar_text(struct cel_value v, char out[CEL_SCALAR_TEXT]) {
	switch (v.kind) {
	case CEL_NULL:
		return (size_t)snprintf(out, CEL_SCALAR_TEXT, "null");
	case CEL_BOOL:
		return (size_t)snprintf(out, CEL_SCALAR_TEXT, v.u ? "true" : "false");
	case CEL_INT:
		return (size_t)snprintf(out, CEL_SCALAR_TEXT, "%lld", (long long)v.i);
	case CEL_UINT:
		return (size_t)snprintf(out, CEL_SCALAR_TEXT, "%llu", (unsigned long long)v.u);
	case CEL_DOUBLE:
		return cel_double_format(v.d, out);
	case CEL_TIMESTAMP:
		return cel_time_format(cel_time_of(v), out);
	case CEL_DURATION:
		return cel_duration_format(v.i, out);
	case CEL_TYPE:
		return (size_t)snprintf(out, CEL_SCALAR_TEXT, "%.120s", v.type->name);
	case CEL_IP:
	case CEL_CIDR:
		return cel_net_format(v.net, v.kind == CEL_CIDR, out);
	default:
		return 0;
	}
}

/* ---- Text in a run's arena ---- */

char *cel_out_room(struct cel_out *out, size_t n) {
	size_t size = out->size ? out->size : 64;
	char *p;

	if (out->failed || n > CEL_MAX_STRING - out->n) {
		out->failed = true;
		return NULL;
	}
	if (!out->p || out->n + n > out->size) {
		while (size < out->n + n)
			size *= 2;
		p = cel_run_alloc(out->run, size);
		if (!p) {
			out->failed = true;
			return NULL;
		}
		if (out->n)
			memcpy(p, out->p, out->n);
		out->p = p;
		out->size = size;
	}
	p = out->p + out->n;
	out->n += n;
	return p;
}

void cel_out_add(struct cel_out *out, const void *p, size_t n) {
	char *room = cel_out_room(out, n);

	if (room && n)
		memcpy(room, p, n);
}

struct cel_value cel_out_value(struct cel_out *out, enum cel_kind kind) {
	if (out->failed)
		return cel_fail_memory();
	return (struct cel_value){ .kind = (uint8_t)kind, .n = (uint32_t)out->n, .s = out->n ? out->p : "" };
}
