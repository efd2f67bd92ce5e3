/*
 * 'text'.format([…]) of the strings extension: %s %d %f %e %x %X %o %b, a precision for %f and %e.
 * Source: cel-go ext/formatting.go.
 */

#include <math.h>
#include <stdio.h>
#include "policy/cel_lib.h"

#define MAX_PRECISION 100
#define DEFAULT_PRECISION 6
#define MAX_NESTING 64

struct format {
	const struct cel_node *node;
	struct cel_run *run;
	struct cel_out out;
	struct cel_value error; /* CEL_NONE: none yet */
};

static void fail(struct format *f, struct cel_value error) {
	if (f->error.kind == CEL_NONE)
		f->error = error;
}

static void refuse(struct format *f, char clause, struct cel_value v) {
	fail(f, cel_failf(f->run, f->node, "%%%c does not format type %s", clause, cel_kind_name((enum cel_kind)v.kind)));
}

static void add_text(struct format *f, const char *s) {
	cel_out_add(&f->out, s, strlen(s));
}

/* ---- %s: any value, without quotes; maps by the order of their keys' texts ---- */

static void add_string(struct format *f, struct cel_value v, unsigned depth);

static void add_list(struct format *f, struct cel_value v, unsigned depth) {
	add_text(f, "[");
	for (uint32_t i = 0; i < cel_list_size(v) && f->error.kind == CEL_NONE; i++) {
		if (i)
			add_text(f, ", ");
		add_string(f, cel_list_at(v, i), depth);
	}
	add_text(f, "]");
}

/* A key's text as a value, so that keys of any kind have one order. */
static struct cel_value key_text(struct format *f, struct cel_value key) {
	char text[CEL_SCALAR_TEXT];

	return key.kind == CEL_STRING ? key : cel_copy_string(f->run, CEL_STRING, text, cel_scalar_text(key, text));
}

static void add_map(struct format *f, struct cel_value v, unsigned depth) {
	uint32_t size = cel_map_size(v), n = 0;
	struct cel_entry *entries = cel_run_alloc(f->run, size * sizeof(*entries) + 1);
	struct cel_map_iter iter = { 0 };
	struct cel_value key, value, sorted;

	if (!entries) {
		fail(f, cel_fail_memory());
		return;
	}
	for (; cel_map_next(v, &iter, &key, &value); n++) {
		entries[n] = (struct cel_entry){ key_text(f, key), value };
		if (cel_failed(entries[n].key)) {
			fail(f, entries[n].key);
			return;
		}
	}
	sorted = cel_sort(f->run, f->node, entries, n);
	if (cel_failed(sorted)) {
		fail(f, sorted);
		return;
	}
	add_text(f, "{");
	for (uint32_t i = 0; i < n && f->error.kind == CEL_NONE; i++) {
		add_text(f, i ? ", " : "");
		add_string(f, entries[i].key, depth);
		add_text(f, ": ");
		add_string(f, entries[i].value, depth);
	}
	add_text(f, "}");
}

static void add_string(struct format *f, struct cel_value v, unsigned depth) {
	char text[CEL_SCALAR_TEXT];
	size_t n;

	if (!cel_spend(f->run, depth > 0)) {
		fail(f, cel_fail_iterations(f->run, f->node));
		return;
	}
	if (v.kind == CEL_STRING || (v.kind == CEL_BYTES && cel_utf8_valid(v.s, v.n))) {
		cel_out_add(&f->out, v.s, v.n);
	} else if (v.kind == CEL_LIST && depth < MAX_NESTING) {
		add_list(f, v, depth + 1);
	} else if (v.kind == CEL_MAP && depth < MAX_NESTING) {
		add_map(f, v, depth + 1);
	} else {
		n = cel_scalar_text(v, text);
		if (n)
			cel_out_add(&f->out, text, n);
		else
			refuse(f, 's', v);
	}
}

/* ---- Numbers ---- */

static void add_unsigned(struct format *f, uint64_t u, unsigned base, bool upper) {
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[64];
	size_t at = sizeof(text);

	do
		text[--at] = digits[u % base];
	while (u /= base);
	cel_out_add(&f->out, text + at, sizeof(text) - at);
}

static void add_whole(struct format *f, struct cel_value v, unsigned base, bool upper) {
	if (v.kind == CEL_INT && v.i < 0)
		add_text(f, "-");
	add_unsigned(f, v.kind == CEL_INT && v.i < 0 ? -v.u : v.u, base, upper);
}

static void add_hex(struct format *f, struct cel_value v, bool upper) {
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *set = digits + (upper ? 16 : 0);

	if (v.kind == CEL_INT || v.kind == CEL_UINT) {
		add_whole(f, v, 16, upper);
		return;
	}
	if (v.kind != CEL_STRING && v.kind != CEL_BYTES) {
		refuse(f, upper ? 'X' : 'x', v);
		return;
	}
	for (uint32_t i = 0; i < v.n && !f->out.failed; i++)
		cel_out_add(&f->out, (char[]){ set[(unsigned char)v.s[i] >> 4], set[v.s[i] & 15] }, 2);
}

static void add_double(struct format *f, struct cel_value v, char clause, int precision) {
	double d = v.kind == CEL_INT ? (double)v.i : v.kind == CEL_UINT ? (double)v.u : v.d;
	char text[320 + MAX_PRECISION];

	if (!cel_is_number(v)) {
		refuse(f, clause, v);
		return;
	}
	if (!isfinite(d)) {
		add_string(f, v, 0);
		return;
	}
	snprintf(text, sizeof(text), clause == 'f' ? "%.*f" : "%.*e", precision, d);
	add_text(f, text);
}

/* ---- Clauses ---- */

static void add_clause(struct format *f, char clause, int precision, struct cel_value v) {
	bool whole = v.kind == CEL_INT || v.kind == CEL_UINT;

	switch (clause) {
	case 's':
		add_string(f, v, 0);
		break;
	case 'd':
		if (whole || (v.kind == CEL_DOUBLE && !isfinite(v.d)))
			add_string(f, v, 0);
		else
			refuse(f, clause, v);
		break;
	case 'f':
	case 'e':
		add_double(f, v, clause, precision);
		break;
	case 'x':
	case 'X':
		add_hex(f, v, clause == 'X');
		break;
	case 'o':
	case 'b':
		if (whole || (v.kind == CEL_BOOL && clause == 'b'))
			add_whole(f, v, clause == 'o' ? 8 : 2, false);
		else
			refuse(f, clause, v);
		break;
	default:
		fail(f, cel_failf(f->run, f->node, "unrecognized formatting clause"));
	}
}

/* After a '%': an optional precision. -1: none that is one. */
static int read_precision(const char **p, const char *end) {
	int precision = 0;

	if (*p == end || **p != '.')
		return DEFAULT_PRECISION;
	++*p;
	if (*p == end || **p < '0' || **p > '9')
		return -1;
	for (; *p < end && **p >= '0' && **p <= '9' && precision <= MAX_PRECISION; ++*p)
		precision = precision * 10 + (**p - '0');
	return precision <= MAX_PRECISION ? precision : -1;
}

/* What follows a '%' that is not doubled. */
static void run_clause(struct format *f, const char **p, const char *end, struct cel_value args, uint32_t *used) {
	int precision = read_precision(p, end);

	if (precision < 0)
		fail(f, cel_failf(f->run, f->node, "a precision of format() is a number up to %d", MAX_PRECISION));
	else if (*p == end)
		fail(f, cel_fail(f->run, f->node, "format() ends within a clause"));
	else if (*used >= cel_list_size(args))
		fail(f, cel_failf(f->run, f->node, "index %u out of range", *used));
	else
		add_clause(f, *(*p)++, precision, cel_list_at(args, (*used)++));
}

FN(format) {
	struct format f = { .node = node, .run = run, .out = { .run = run } };
	const char *p = a[0].s, *end = p + a[0].n, *percent;
	uint32_t used = 0;

	while (f.error.kind == CEL_NONE && !f.out.failed && (percent = memchr(p, '%', (size_t)(end - p)))) {
		cel_out_add(&f.out, p, (size_t)(percent - p));
		p = percent + 1;
		if (p < end && *p == '%')
			cel_out_add(&f.out, p++, 1);
		else
			run_clause(&f, &p, end, a[1], &used);
	}
	cel_out_add(&f.out, p, (size_t)(end - p));
	return f.error.kind == CEL_NONE ? cel_out_value(&f.out, CEL_STRING) : f.error;
}

static const struct cel_def formats[] = {
	{ "format", "s.L*:s", format, 0 },
};

LIBRARY(cel_format_defs, CEL_LIB_STRINGS, formats);
