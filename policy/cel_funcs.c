/* The standard library and IAM's functions, as tables. See cel_internal.h for signatures. */

#include <math.h>
#include "policy/cel_lib.h"

/* --- equality and order */

FN(fn_eq) {
	bool equal;

	return cel_equal_in(run, a[0], a[1], &equal) ? cel_of_bool(equal) : cel_fail_iterations(run, node);
}
FN(fn_ne) {
	bool equal;

	return cel_equal_in(run, a[0], a[1], &equal) ? cel_of_bool(!equal) : cel_fail_iterations(run, node);
}

/* -1, 0, 1 as an answer; NaN is neither less nor greater; other kinds have no order. */
static struct cel_value ordered(const struct cel_node *node, struct cel_run *run, const struct cel_value *a, bool lt, bool eq,
				bool gt) {
	int c = cel_compare(a[0], a[1]);

	if (c == 3)
		return cel_no_such_overload(run, node);
	return cel_of_bool(c == 2 ? false : c < 0 ? lt : c > 0 ? gt : eq);
}

FN(fn_lt) {
	return ordered(node, run, a, true, false, false);
}
FN(fn_le) {
	return ordered(node, run, a, true, true, false);
}
FN(fn_gt) {
	return ordered(node, run, a, false, false, true);
}
FN(fn_ge) {
	return ordered(node, run, a, false, true, true);
}

/* --- arithmetic: checked before the operation */

static struct cel_value overflow(const struct cel_node *node, struct cel_run *run, const char *kind) {
	return cel_failf(run, node, "%s overflow", kind);
}

#define INTEGER(name, kind, type, field, make, builtin)                                                                \
	FN(name) {                                                                                                     \
		type r;                                                                                                \
		return builtin(a[0].field, a[1].field, &r) ? overflow(node, run, kind) : make(r);                      \
	}
INTEGER(add_int, "integer", int64_t, i, cel_of_int, __builtin_add_overflow)
INTEGER(sub_int, "integer", int64_t, i, cel_of_int, __builtin_sub_overflow)
INTEGER(mul_int, "integer", int64_t, i, cel_of_int, __builtin_mul_overflow)
INTEGER(add_uint, "unsigned integer", uint64_t, u, cel_of_uint, __builtin_add_overflow)
INTEGER(sub_uint, "unsigned integer", uint64_t, u, cel_of_uint, __builtin_sub_overflow)
INTEGER(mul_uint, "unsigned integer", uint64_t, u, cel_of_uint, __builtin_mul_overflow)

FN(div_int) {
	if (a[1].i == 0)
		return cel_fail(run, node, "division by zero");
	return a[0].i == INT64_MIN && a[1].i == -1 ? overflow(node, run, "integer") : cel_of_int(a[0].i / a[1].i);
}
FN(mod_int) {
	if (a[1].i == 0)
		return cel_fail(run, node, "modulus by zero");
	return a[0].i == INT64_MIN && a[1].i == -1 ? overflow(node, run, "integer") : cel_of_int(a[0].i % a[1].i);
}
FN(div_uint) {
	return a[1].u ? cel_of_uint(a[0].u / a[1].u) : cel_fail(run, node, "division by zero");
}
FN(mod_uint) {
	return a[1].u ? cel_of_uint(a[0].u % a[1].u) : cel_fail(run, node, "modulus by zero");
}
FN(neg_int) {
	return a[0].i == INT64_MIN ? overflow(node, run, "integer") : cel_of_int(-a[0].i);
}
FN(neg_double) {
	UNUSED;
	return cel_of_double(-a[0].d);
}
FN(add_double) {
	UNUSED;
	return cel_of_double(a[0].d + a[1].d);
}
FN(sub_double) {
	UNUSED;
	return cel_of_double(a[0].d - a[1].d);
}
FN(mul_double) {
	UNUSED;
	return cel_of_double(a[0].d * a[1].d);
}
FN(div_double) {
	UNUSED;
	return cel_of_double(a[0].d / a[1].d);
}

FN(add_text) {
	struct cel_out out = { .run = run };

	(void)node;
	cel_out_add(&out, a[0].s, a[0].n);
	cel_out_add(&out, a[1].s, a[1].n);
	return cel_out_value(&out, (enum cel_kind)a[0].kind);
}

FN(add_list) {
	uint32_t n = cel_list_size(a[0]), m = cel_list_size(a[1]);
	struct cel_value *items;

	if (!cel_spend(run, n / 16 + m / 16))
		return cel_fail_iterations(run, node);
	items = cel_run_alloc(run, ((size_t)n + m) * sizeof(*items) + 1);
	if (!items)
		return cel_fail_memory();
	for (uint32_t i = 0; i < n; i++)
		items[i] = cel_list_at(a[0], i);
	for (uint32_t i = 0; i < m; i++)
		items[n + i] = cel_list_at(a[1], i);
	return cel_make_list(run, items, (size_t)n + m);
}

/* --- times */

static struct cel_value time_value(const struct cel_node *node, struct cel_run *run, bool ok, struct cel_timestamp t) {
	return ok ? cel_of_timestamp(t.s, t.ns) : cel_fail(run, node, "timestamp overflow");
}

FN(time_add) {
	struct cel_timestamp t;
	bool ok = cel_time_add(cel_time_of(a[0]), a[1].i, &t);

	return time_value(node, run, ok, t);
}
FN(time_added) {
	struct cel_timestamp t;
	bool ok = cel_time_add(cel_time_of(a[1]), a[0].i, &t);

	return time_value(node, run, ok, t);
}
FN(time_sub) {
	struct cel_timestamp t;
	bool ok = cel_time_sub(cel_time_of(a[0]), a[1].i, &t);

	return time_value(node, run, ok, t);
}
FN(time_diff) {
	int64_t d;

	return cel_time_diff(cel_time_of(a[0]), cel_time_of(a[1]), &d) ? cel_of_duration(d) : overflow(node, run, "duration");
}
FN(span_add) {
	int64_t d;

	return cel_duration_add(a[0].i, a[1].i, &d) ? cel_of_duration(d) : overflow(node, run, "duration");
}
FN(span_sub) {
	int64_t d;

	return cel_duration_sub(a[0].i, a[1].i, &d) ? cel_of_duration(d) : overflow(node, run, "duration");
}
FN(span_neg) {
	int64_t d;

	return cel_duration_negate(a[0].i, &d) ? cel_of_duration(d) : overflow(node, run, "duration");
}

static bool find_zone(const struct cel_run *run, struct str name, struct zone_ref *out) {
	const struct zones *zones = run->program->env->zones;

	return (zones ? zones_find(zones, name, out) : zone_fixed(name, out)) == 0;
}

FN(get_time) {
	struct zone_ref zone = node->zone;

	if (!node->zone_resolved && !find_zone(run, cel_str(a[1]), &zone))
		return cel_failf(run, node, "no time zone '%.*s': only zones that the policy names as constants are loaded",
				 (int)(a[1].n > 60 ? 60 : a[1].n), a[1].s);
	return cel_of_int(cel_time_get(cel_getter_field(node), cel_time_of(a[0]), zone));
}
FN(get_span) {
	UNUSED;
	return cel_of_int(cel_duration_get(cel_getter_field(node), a[0].i));
}

/* --- conversions */

static bool parse_int(struct str s, bool sign, int64_t *out) {
	bool minus = sign && s.n && s.p[0] == '-';
	uint64_t v = 0;

	if (sign && s.n && (s.p[0] == '-' || s.p[0] == '+'))
		s.p++, s.n--;
	if (!s.n)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	if (!sign || (minus ? v <= (uint64_t)1 << 63 : v < (uint64_t)1 << 63)) {
		*out = (int64_t)(minus ? -v : v);
		return true;
	}
	return false;
}

static struct cel_value bad(const struct cel_node *node, struct cel_run *run, struct cel_value v, const char *what) {
	return cel_failf(run, node, "'%.*s' is no %s", (int)(v.n > 80 ? 80 : v.n), v.s, what);
}

FN(int_of) {
	int64_t i;

	switch (a[0].kind) {
	case CEL_INT:
		return a[0];
	case CEL_UINT:
		return a[0].u <= INT64_MAX ? cel_of_int((int64_t)a[0].u) : overflow(node, run, "integer");
	case CEL_DOUBLE:
		return cel_int_in_double(a[0].d) ? cel_of_int((int64_t)a[0].d) : overflow(node, run, "integer");
	case CEL_TIMESTAMP:
		return cel_of_int(a[0].i);
	default:
		return parse_int(cel_str(a[0]), true, &i) ? cel_of_int(i) : bad(node, run, a[0], "int");
	}
}

FN(uint_of) {
	int64_t i;

	switch (a[0].kind) {
	case CEL_UINT:
		return a[0];
	case CEL_INT:
		return a[0].i >= 0 ? cel_of_uint((uint64_t)a[0].i) : overflow(node, run, "unsigned integer");
	case CEL_DOUBLE:
		return a[0].d > -1.0 && a[0].d < 18446744073709551616.0 ? cel_of_uint((uint64_t)a[0].d)
									  : overflow(node, run, "unsigned integer");
	default:
		return parse_int(cel_str(a[0]), false, &i) ? cel_of_uint((uint64_t)i) : bad(node, run, a[0], "uint");
	}
}

FN(double_of) {
	double d;

	switch (a[0].kind) {
	case CEL_DOUBLE:
		return a[0];
	case CEL_INT:
		return cel_of_double((double)a[0].i);
	case CEL_UINT:
		return cel_of_double((double)a[0].u);
	default:
		return cel_double_parse(cel_str(a[0]), &d) ? cel_of_double(d) : bad(node, run, a[0], "double");
	}
}

FN(bool_of) {
	static const char *const words[] = { "true", "True", "TRUE", "t", "1", "false", "False", "FALSE", "f", "0" };

	if (a[0].kind == CEL_BOOL)
		return a[0];
	for (size_t i = 0; i < 10; i++)
		if (str_eq(cel_str(a[0]), str_of(words[i])))
			return cel_of_bool(i < 5);
	return bad(node, run, a[0], "bool");
}

FN(string_of) {
	char text[CEL_SCALAR_TEXT];
	size_t n;

	if (a[0].kind == CEL_STRING)
		return a[0];
	if (a[0].kind == CEL_BYTES)
		return cel_utf8_valid(a[0].s, a[0].n) ? cel_of_string(a[0].s, a[0].n)
						      : cel_fail(run, node, "invalid UTF-8 in bytes, cannot convert to string");
	n = cel_scalar_text(a[0], text);
	return cel_copy_string(run, CEL_STRING, text, n);
}

FN(bytes_of) {
	UNUSED;
	return cel_of_bytes(a[0].s, a[0].n);
}

FN(timestamp_of) {
	struct cel_timestamp t;

	if (a[0].kind == CEL_TIMESTAMP)
		return a[0];
	if (a[0].kind == CEL_INT)
		return cel_time_from_unix(a[0].i, &t) ? cel_of_timestamp(t.s, t.ns) : cel_fail(run, node, "timestamp overflow");
	return cel_time_parse(cel_str(a[0]), &t) ? cel_of_timestamp(t.s, t.ns)
						 : bad(node, run, a[0], "RFC 3339 time like 2026-11-24T15:04:05Z");
}

FN(duration_of) {
	int64_t d;

	if (a[0].kind != CEL_STRING)
		return cel_of_duration(a[0].i);
	return cel_duration_parse(cel_str(a[0]), &d) ? cel_of_duration(d) : bad(node, run, a[0], "duration like 1h30m");
}

FN(date_of) {
	struct cel_timestamp t;

	return cel_time_parse_date(cel_str(a[0]), &t) ? cel_of_timestamp(t.s, t.ns) : bad(node, run, a[0], "date like 2026-11-24");
}

FN(same) {
	UNUSED;
	return a[0];
}

FN(type_of) {
	UNUSED;
	return cel_of_type(a[0].kind == CEL_TYPE ? &cel_type_type : cel_kind_type((enum cel_kind)a[0].kind));
}

/* --- collections */

FN(size_of) {
	UNUSED;
	switch (a[0].kind) {
	case CEL_STRING:
		return cel_of_int((int64_t)cel_utf8_count(a[0].s, a[0].n));
	case CEL_BYTES:
		return cel_of_int(a[0].n);
	case CEL_LIST:
		return cel_of_int(cel_list_size(a[0]));
	default:
		return cel_of_int(cel_map_size(a[0]));
	}
}

FN(in_list) {
	bool found;

	if (node->set)
		return cel_of_bool(cel_set_has(node->set, a[0]));
	return cel_list_has(run, a[1], a[0], &found) ? cel_of_bool(found) : cel_fail_iterations(run, node);
}
FN(in_map) {
	struct cel_value v;

	UNUSED;
	return cel_of_bool(cel_map_find(a[1], a[0], &v));
}

FN(index_list) {
	char text[CEL_SCALAR_TEXT];
	uint32_t i;

	if (!cel_list_index(a[0], a[1], &i))
		return cel_failf(run, node, "index out of bounds: %.*s", (int)cel_scalar_text(a[1], text), text);
	return cel_list_at(a[0], i);
}
FN(index_map) {
	struct cel_value v;

	return cel_map_find(a[0], a[1], &v) ? v : cel_no_such_key(run, node, a[1]);
}

/* --- strings */

FN(starts_with) {
	UNUSED;
	return cel_of_bool(a[0].n >= a[1].n && memcmp(a[0].s, a[1].s, a[1].n) == 0);
}
FN(ends_with) {
	UNUSED;
	return cel_of_bool(a[0].n >= a[1].n && memcmp(a[0].s + a[0].n - a[1].n, a[1].s, a[1].n) == 0);
}
FN(contains) {
	UNUSED;
	return cel_of_bool(memmem(a[0].s, a[0].n, a[1].s, a[1].n) != NULL || a[1].n == 0);
}


/* A constant pattern was compiled with the program. Another is compiled now, which costs as much as many iterations. */
FN(matches) {
	char why[160] = "";
	int found;

	if (node->regex) {
		found = cel_regex_search(node->regex, cel_str(a[0]));
		return found < 0 ? cel_failf(run, node, "no memory for a regular expression") : cel_of_bool(found);
	}
	if (a[1].n > run->program->limits.regex)
		return cel_failf(run, node, "a pattern of more than %u bytes", run->program->limits.regex);
	if (!cel_spend(run, 16 + a[1].n / 4))
		return cel_fail_iterations(run, node);
	found = cel_regex_once(cel_str(a[1]), run->program->limits.regex_memory, cel_str(a[0]), why, sizeof(why));
	return found < 0 ? cel_failf(run, node, "no regular expression: %s", why) : cel_of_bool(found);
}

/* --- IAM: extract, hasOnly, api.getAttribute */

bool cel_extract_template(struct str template, struct str *prefix, struct str *suffix) {
	const char *open = memchr(template.p, '{', template.n), *end = template.p + template.n, *close = open ? open + 1 : NULL;

	while (close && close < end && (*close == '_' || (*close >= '0' && *close <= '9') || (*close >= 'a' && *close <= 'z') ||
					(*close >= 'A' && *close <= 'Z')))
		close++;
	if (!open || close == open + 1 || close == end || *close != '}')
		return false;
	*prefix = (struct str){ template.p, (size_t)(open - template.p) };
	*suffix = (struct str){ close + 1, (size_t)(end - close - 1) };
	return !memchr(prefix->p, '}', prefix->n) && !memchr(suffix->p, '{', suffix->n) && !memchr(suffix->p, '}', suffix->n);
}

/* The text after the first prefix, up to the first suffix after it. */
FN(extract) {
	const char *begin = a[0].s, *end = a[0].s + a[0].n, *found;
	struct str prefix, suffix;

	if (!cel_extract_template(cel_str(a[1]), &prefix, &suffix))
		return cel_fail(run, node, CEL_EXTRACT_WANTS);
	if (prefix.n) {
		found = memmem(begin, (size_t)(end - begin), prefix.p, prefix.n);
		if (!found)
			return cel_of_string("", 0);
		begin = found + prefix.n;
	}
	if (suffix.n) {
		found = memmem(begin, (size_t)(end - begin), suffix.p, suffix.n);
		if (!found)
			return cel_of_string("", 0);
		end = found;
	}
	return cel_of_string(begin, (size_t)(end - begin));
}

FN(has_only) {
	bool found;

	for (uint32_t i = 0; i < cel_list_size(a[0]); i++) {
		if (!cel_spend(run, 1) || !cel_list_has(run, a[1], cel_list_at(a[0], i), &found))
			return cel_fail_iterations(run, node);
		if (!found)
			return cel_of_bool(false);
	}
	return cel_of_bool(true);
}

FN(get_attribute) {
	struct cel_value v;

	(void)node;
	return run->activation->attributes.kind == CEL_MAP && cel_map_find(run->activation->attributes, a[0], &v) ? v : a[1];
}

/* --- the tables */

#define ORDERED(op, f, id)                                                                                             \
	{ op, "bb:b", f, id }, { op, "ii:b", f, id }, { op, "uu:b", f, id }, { op, "dd:b", f, id }, { op, "ss:b", f, id },  \
		{ op, "yy:b", f, id }, { op, "tt:b", f, id }, { op, "rr:b", f, id }, { op, "!**:b", f, id }

static const struct cel_def standard[] = {
	{ "_==_", "AA:b", fn_eq, CEL_FN_EQ }, { "_!=_", "AA:b", fn_ne, CEL_FN_NE },
	ORDERED("_<_", fn_lt, CEL_FN_LT), ORDERED("_<=_", fn_le, CEL_FN_LE), ORDERED("_>_", fn_gt, CEL_FN_GT),
	ORDERED("_>=_", fn_ge, CEL_FN_GE),
	{ "_+_", "ii:i", add_int, CEL_FN_ADD }, { "_+_", "uu:u", add_uint, CEL_FN_ADD }, { "_+_", "dd:d", add_double, CEL_FN_ADD },
	{ "_+_", "ss:s", add_text, CEL_FN_ADD }, { "_+_", "yy:y", add_text, CEL_FN_ADD }, { "_+_", "LALA:LA", add_list, CEL_FN_ADD },
	{ "_+_", "tr:t", time_add, CEL_FN_ADD }, { "_+_", "rt:t", time_added, CEL_FN_ADD }, { "_+_", "rr:r", span_add, CEL_FN_ADD },
	{ "_-_", "ii:i", sub_int, CEL_FN_SUB }, { "_-_", "uu:u", sub_uint, CEL_FN_SUB }, { "_-_", "dd:d", sub_double, CEL_FN_SUB },
	{ "_-_", "tt:r", time_diff, CEL_FN_SUB }, { "_-_", "tr:t", time_sub, CEL_FN_SUB }, { "_-_", "rr:r", span_sub, CEL_FN_SUB },
	{ "_*_", "ii:i", mul_int, CEL_FN_MUL }, { "_*_", "uu:u", mul_uint, CEL_FN_MUL }, { "_*_", "dd:d", mul_double, CEL_FN_MUL },
	{ "_/_", "ii:i", div_int, CEL_FN_DIV }, { "_/_", "uu:u", div_uint, CEL_FN_DIV }, { "_/_", "dd:d", div_double, CEL_FN_DIV },
	{ "_%_", "ii:i", mod_int, CEL_FN_MOD }, { "_%_", "uu:u", mod_uint, CEL_FN_MOD },
	{ "-_", "i:i", neg_int, CEL_FN_NEG }, { "-_", "d:d", neg_double, CEL_FN_NEG }, { "-_", "r:r", span_neg, CEL_FN_NEG },
	{ "@in", "ALA:b", in_list, CEL_FN_IN }, { "@in", "AMAB:b", in_map, CEL_FN_IN },
	{ "_[_]", "LAi:A", index_list, CEL_FN_INDEX }, { "_[_]", "!LAu:A", index_list, CEL_FN_INDEX },
	{ "_[_]", "!LAd:A", index_list, CEL_FN_INDEX }, { "_[_]", "MABA:B", index_map, CEL_FN_INDEX },
	{ "size", "s:i", size_of, CEL_FN_SIZE }, { "size", "y:i", size_of, CEL_FN_SIZE }, { "size", "LA:i", size_of, CEL_FN_SIZE },
	{ "size", "MAB:i", size_of, CEL_FN_SIZE }, { "size", "s.:i", size_of, CEL_FN_SIZE }, { "size", "y.:i", size_of, CEL_FN_SIZE },
	{ "size", "LA.:i", size_of, CEL_FN_SIZE }, { "size", "MAB.:i", size_of, CEL_FN_SIZE },
	{ "dyn", "A:*", same, CEL_FN_DYN }, { "type", "A:YA", type_of, CEL_FN_TYPE },
	{ "int", "i:i", int_of, CEL_FN_INT }, { "int", "u:i", int_of, CEL_FN_INT }, { "int", "d:i", int_of, CEL_FN_INT },
	{ "int", "s:i", int_of, CEL_FN_INT }, { "int", "t:i", int_of, CEL_FN_INT },
	{ "uint", "u:u", uint_of, CEL_FN_UINT }, { "uint", "i:u", uint_of, CEL_FN_UINT }, { "uint", "d:u", uint_of, CEL_FN_UINT },
	{ "uint", "s:u", uint_of, CEL_FN_UINT },
	{ "double", "d:d", double_of, CEL_FN_DOUBLE }, { "double", "i:d", double_of, CEL_FN_DOUBLE },
	{ "double", "u:d", double_of, CEL_FN_DOUBLE }, { "double", "s:d", double_of, CEL_FN_DOUBLE },
	{ "bool", "b:b", bool_of, CEL_FN_BOOL }, { "bool", "s:b", bool_of, CEL_FN_BOOL },
	{ "string", "s:s", string_of, CEL_FN_STRING }, { "string", "b:s", string_of, CEL_FN_STRING },
	{ "string", "i:s", string_of, CEL_FN_STRING }, { "string", "u:s", string_of, CEL_FN_STRING },
	{ "string", "d:s", string_of, CEL_FN_STRING }, { "string", "y:s", string_of, CEL_FN_STRING },
	{ "string", "t:s", string_of, CEL_FN_STRING }, { "string", "r:s", string_of, CEL_FN_STRING },
	{ "bytes", "y:y", same, CEL_FN_BYTES }, { "bytes", "s:y", bytes_of, CEL_FN_BYTES },
};

#define GETTER(name, id)                                                                                               \
	{ name, "t.:i", get_time, id }, { name, "t.s:i", get_time, id }

static const struct cel_def times[] = {
	{ "timestamp", "s:t", timestamp_of, CEL_FN_TIMESTAMP }, { "timestamp", "i:t", timestamp_of, CEL_FN_TIMESTAMP },
	{ "timestamp", "t:t", timestamp_of, CEL_FN_TIMESTAMP }, { "duration", "s:r", duration_of, CEL_FN_DURATION },
	{ "duration", "r:r", duration_of, CEL_FN_DURATION },
	GETTER("getFullYear", CEL_FN_GET_FULL_YEAR), GETTER("getMonth", CEL_FN_GET_MONTH), GETTER("getDate", CEL_FN_GET_DATE),
	GETTER("getDayOfMonth", CEL_FN_GET_DAY_OF_MONTH), GETTER("getDayOfWeek", CEL_FN_GET_DAY_OF_WEEK),
	GETTER("getDayOfYear", CEL_FN_GET_DAY_OF_YEAR), GETTER("getHours", CEL_FN_GET_HOURS),
	GETTER("getMinutes", CEL_FN_GET_MINUTES), GETTER("getSeconds", CEL_FN_GET_SECONDS),
	GETTER("getMilliseconds", CEL_FN_GET_MILLISECONDS),
	{ "getHours", "r.:i", get_span, CEL_FN_GET_HOURS }, { "getMinutes", "r.:i", get_span, CEL_FN_GET_MINUTES },
	{ "getSeconds", "r.:i", get_span, CEL_FN_GET_SECONDS }, { "getMilliseconds", "r.:i", get_span, CEL_FN_GET_MILLISECONDS },
};

static const struct cel_def strings[] = {
	{ "startsWith", "s.s:b", starts_with, CEL_FN_STARTS_WITH }, { "endsWith", "s.s:b", ends_with, CEL_FN_ENDS_WITH },
	{ "contains", "s.s:b", contains, CEL_FN_CONTAINS }, { "matches", "s.s:b", matches, CEL_FN_MATCHES },
	{ "matches", "ss:b", matches, CEL_FN_MATCHES },
};

static const struct cel_def iam[] = {
	{ "extract", "s.s:s", extract, CEL_FN_EXTRACT }, { "hasOnly", "LA.LA:b", has_only, CEL_FN_HAS_ONLY },
	{ "date", "s:t", date_of, CEL_FN_DATE }, { "api.getAttribute", "sA:A", get_attribute, CEL_FN_GET_ATTRIBUTE },
};

LIBRARY(cel_standard_defs, 0, standard);
LIBRARY(cel_time_defs, 0, times);
LIBRARY(cel_string_defs, 0, strings);
LIBRARY(cel_iam_defs, CEL_LIB_IAM, iam);
