/* The strings extension, which counts in code points. Source: cel-go ext/strings.go. */

#include "policy/cel_lib.h"

/* The byte where the i-th code point begins; false: there are fewer. */
static bool at_point(struct cel_value s, int64_t i, size_t *at) {
	*at = i < 0 ? SIZE_MAX : cel_utf8_offset(s.s, s.n, (uint64_t)i);
	return *at != SIZE_MAX;
}

static struct cel_value out_of_range(const struct cel_node *node, struct cel_run *run, int64_t i) {
	return cel_failf(run, node, "index out of range: %lld", (long long)i);
}

static struct cel_value part(struct cel_value s, size_t from, size_t to) {
	return cel_of_string(s.s + from, to - from);
}

static size_t point_length(const char *s) {
	unsigned length;

	cel_utf8_decode(s, &length);
	return length;
}

FN(char_at) {
	size_t at;

	if (!at_point(a[0], a[1].i, &at))
		return out_of_range(node, run, a[1].i);
	return at == a[0].n ? cel_of_string("", 0) : part(a[0], at, at + point_length(a[0].s + at));
}

FN(substring) {
	int64_t end = node->n == 3 ? a[2].i : 0;
	size_t from, to = a[0].n;

	if (!at_point(a[0], a[1].i, &from))
		return out_of_range(node, run, a[1].i);
	if (node->n == 3 && !at_point(a[0], end, &to))
		return out_of_range(node, run, end);
	if (to < from)
		return cel_failf(run, node, "invalid substring range. start: %lld, end: %lld", (long long)a[1].i, (long long)end);
	return part(a[0], from, to);
}

/* ---- Searching ---- */

static struct cel_value index_at(struct cel_value s, const char *found) {
	return cel_of_int(found ? (int64_t)cel_utf8_count(s.s, (size_t)(found - s.s)) : -1);
}

FN(index_of) {
	size_t from = 0;

	if (node->n == 3 && !at_point(a[0], a[2].i, &from))
		return out_of_range(node, run, a[2].i);
	return index_at(a[0], memmem(a[0].s + from, a[0].n - from, a[1].s, a[1].n));
}

/* The last that begins at or before a place. */
FN(last_index_of) {
	size_t at = a[0].n;

	if (node->n == 3 && !at_point(a[0], a[2].i, &at))
		return out_of_range(node, run, a[2].i);
	if (a[1].n > a[0].n)
		return cel_of_int(-1);
	if (at > a[0].n - a[1].n)
		at = a[0].n - a[1].n;
	if (!cel_spend(run, (uint32_t)((at / 256) * (a[1].n / 256))))
		return cel_fail_iterations(run, node);
	for (;; at--) {
		if (memcmp(a[0].s + at, a[1].s, a[1].n) == 0 && (at == a[0].n || ((unsigned char)a[0].s[at] & 0xC0) != 0x80))
			return index_at(a[0], a[0].s + at);
		if (at == 0)
			return cel_of_int(-1);
	}
}

/*
 * The next occurrence of `what` from *at on; of nothing: the end of the next code point. False: there is no more.
 * Both splitting and replacing take an empty text to stand between any two code points.
 */
static bool next_match(struct cel_value s, struct cel_value what, size_t at, size_t *from, size_t *to) {
	const char *found;

	if (!what.n) {
		if (at >= s.n)
			return false;
		*from = *to = at + point_length(s.s + at);
		return true;
	}
	found = memmem(s.s + at, s.n - at, what.s, what.n);
	if (!found)
		return false;
	*from = (size_t)(found - s.s);
	*to = *from + what.n;
	return true;
}

static struct cel_value replaced(struct cel_run *run, const struct cel_value *a, int64_t limit) {
	struct cel_out out = { .run = run };
	size_t at = 0, from, to;

	if (limit < 0)
		limit = INT64_MAX;
	if (!a[1].n && limit > 0) {
		cel_out_add(&out, a[2].s, a[2].n);
		limit--;
	}
	for (; limit > 0 && !out.failed && next_match(a[0], a[1], at, &from, &to); limit--) {
		cel_out_add(&out, a[0].s + at, from - at);
		cel_out_add(&out, a[2].s, a[2].n);
		at = to;
	}
	cel_out_add(&out, a[0].s + at, a[0].n - at);
	return cel_out_value(&out, CEL_STRING);
}

FN(replace) {
	UNUSED;
	return replaced(run, a, node->n == 4 ? a[3].i : -1);
}

static size_t count_parts(struct cel_value s, struct cel_value by, size_t limit) {
	size_t n = 1, at = 0, from, to;

	while (n < limit && next_match(s, by, at, &from, &to)) {
		at = to;
		if (!by.n && at == s.n)
			break;
		n++;
	}
	return n;
}

FN(split) {
	int64_t limit = node->n == 3 && a[2].i >= 0 ? a[2].i : UINT32_MAX;
	size_t n = limit == 0 || (!a[0].n && !a[1].n) ? 0 : count_parts(a[0], a[1], (size_t)limit), at = 0, from, to;
	struct cel_value *items;

	if (!cel_spend(run, (uint32_t)(n / 16)))
		return cel_fail_iterations(run, node);
	items = cel_run_alloc(run, n * sizeof(*items) + 1);
	if (!items)
		return cel_fail_memory();
	for (size_t i = 0; i + 1 < n; i++, at = to) {
		next_match(a[0], a[1], at, &from, &to);
		items[i] = part(a[0], at, from);
	}
	if (n)
		items[n - 1] = part(a[0], at, a[0].n);
	return cel_make_list(run, items, n);
}

FN(join) {
	struct cel_value between = node->n == 2 ? a[1] : cel_of_string("", 0), v;
	struct cel_out out = { .run = run };
	uint32_t n = cel_list_size(a[0]);

	if (!cel_spend(run, n / 16))
		return cel_fail_iterations(run, node);
	for (uint32_t i = 0; i < n; i++) {
		v = cel_list_at(a[0], i);
		if (v.kind != CEL_STRING)
			return cel_no_such_overload(run, node);
		if (i)
			cel_out_add(&out, between.s, between.n);
		cel_out_add(&out, v.s, v.n);
	}
	return cel_out_value(&out, CEL_STRING);
}

/* ---- Shapes ---- */

/* Unicode's White_Space. */
static bool is_space(uint32_t c) {
	return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
	       c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

FN(trim) {
	size_t from = 0, to = a[0].n, start;
	unsigned length;

	UNUSED;
	while (from < to && is_space(cel_utf8_decode(a[0].s + from, &length)))
		from += length;
	while (to > from) {
		for (start = to - 1; ((unsigned char)a[0].s[start] & 0xC0) == 0x80; start--)
			;
		if (!is_space(cel_utf8_decode(a[0].s + start, &length)))
			break;
		to = start;
	}
	return part(a[0], from, to);
}

FN(reverse) {
	struct cel_out out = { .run = run };
	char *p = cel_out_room(&out, a[0].n);
	size_t length;

	(void)node;
	for (size_t i = 0; p && i < a[0].n; i += length) {
		length = point_length(a[0].s + i);
		memcpy(p + a[0].n - i - length, a[0].s + i, length);
	}
	return cel_out_value(&out, CEL_STRING);
}

FN(quote) {
	static const char plain[] = "\a\b\f\n\r\t\v\\\"", letters[] = "abfnrtv\\\"";
	struct cel_out out = { .run = run };
	const char *special;

	(void)node;
	cel_out_add(&out, "\"", 1);
	for (uint32_t i = 0; i < a[0].n && !out.failed; i++) {
		special = a[0].s[i] ? strchr(plain, a[0].s[i]) : NULL;
		if (special)
			cel_out_add(&out, (char[]){ '\\', letters[special - plain] }, 2);
		else
			cel_out_add(&out, a[0].s + i, 1);
	}
	cel_out_add(&out, "\"", 1);
	return cel_out_value(&out, CEL_STRING);
}

static struct cel_value cased(struct cel_run *run, struct cel_value v, char from, char to) {
	struct cel_out out = { .run = run };
	char *p = cel_out_room(&out, v.n);

	for (uint32_t i = 0; p && i < v.n; i++)
		p[i] = v.s[i] >= from && v.s[i] <= from + 25 ? (char)(v.s[i] - from + to) : v.s[i];
	return cel_out_value(&out, CEL_STRING);
}
FN(lower_ascii) {
	(void)node;
	return cased(run, a[0], 'A', 'a');
}
FN(upper_ascii) {
	(void)node;
	return cased(run, a[0], 'a', 'A');
}

static const struct cel_def strings[] = {
	{ "charAt", "s.i:s", char_at, 0 },
	{ "substring", "s.i:s", substring, 0 },
	{ "substring", "s.ii:s", substring, 0 },
	{ "indexOf", "s.s:i", index_of, 0 },
	{ "indexOf", "s.si:i", index_of, 0 },
	{ "lastIndexOf", "s.s:i", last_index_of, 0 },
	{ "lastIndexOf", "s.si:i", last_index_of, 0 },
	{ "replace", "s.ss:s", replace, 0 },
	{ "replace", "s.ssi:s", replace, 0 },
	{ "split", "s.s:Ls", split, 0 },
	{ "split", "s.si:Ls", split, 0 },
	{ "join", "Ls.:s", join, 0 },
	{ "join", "Ls.s:s", join, 0 },
	{ "trim", "s.:s", trim, 0 },
	{ "reverse", "s.:s", reverse, 0 },
	{ "strings.quote", "s:s", quote, 0 },
	{ "lowerAscii", "s.:s", lower_ascii, 0 },
	{ "upperAscii", "s.:s", upper_ascii, 0 },
};

LIBRARY(cel_strings_defs, CEL_LIB_STRINGS, strings);
