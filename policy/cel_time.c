/* See cel_time.h. */

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "policy/cel_time.h"
#include "policy/scan.h"

#define DAY_S 86400

/* Rounded down, unlike C's. b > 0. */
static int64_t floor_div(int64_t a, int64_t b) {
	return a / b - (a % b < 0);
}

/* ---- The calendar ---- */

/* Years are counted from March, so that the leap day is the last of its year; an era is 400 of them, 146097 days. */
#define ERA_DAYS 146097
#define DAYS_TO_EPOCH 719468 /* from 0000-03-01 to 1970-01-01 */

int64_t cel_days_from_civil(int64_t year, unsigned month, unsigned day) {
	int64_t y = year - (month <= 2), era = floor_div(y, 400);
	unsigned year_of_era = (unsigned)(y - era * 400);
	unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - DAYS_TO_EPOCH;
}

struct cel_civil cel_civil_from_days(int64_t days) {
	int64_t shifted = days + DAYS_TO_EPOCH, era = floor_div(shifted, ERA_DAYS);
	unsigned day_of_era = (unsigned)(shifted - era * ERA_DAYS);
	unsigned year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (ERA_DAYS - 1)) / 365;
	unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned m = (5 * day_of_year + 2) / 153;

	return (struct cel_civil){
		.year = year_of_era + era * 400 + (m >= 10),
		.month = m < 10 ? m + 3 : m - 9,
		.day = day_of_year - (153 * m + 2) / 5 + 1,
	};
}

static bool is_leap(int64_t year) {
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_in_month(int64_t year, unsigned month) {
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* ---- Arithmetic ---- */

bool cel_time_from_unix(int64_t s, struct cel_timestamp *out) {
	if (s < CEL_TIME_MIN_S || s > CEL_TIME_MAX_S)
		return false;
	*out = (struct cel_timestamp){ .s = s };
	return true;
}

bool cel_time_add(struct cel_timestamp t, int64_t d, struct cel_timestamp *out) {
	int64_t part = d % CEL_NS_PER_S, ns = t.ns + part + (part < 0 ? CEL_NS_PER_S : 0);
	int64_t s = t.s + floor_div(d, CEL_NS_PER_S) + ns / CEL_NS_PER_S;

	if (s < CEL_TIME_MIN_S || s > CEL_TIME_MAX_S)
		return false;
	*out = (struct cel_timestamp){ .s = s, .ns = (uint32_t)(ns % CEL_NS_PER_S) };
	return true;
}

bool cel_time_sub(struct cel_timestamp t, int64_t d, struct cel_timestamp *out) {
	struct cel_timestamp first;

	if (d != INT64_MIN)
		return cel_time_add(t, -d, out);
	/* -d does not fit: in two steps, of which the first may leave the range that the second returns to. */
	first = t;
	first.s += INT64_MAX / CEL_NS_PER_S;
	first.ns += (uint32_t)(INT64_MAX % CEL_NS_PER_S);
	return cel_time_add(first, 1, out);
}

bool cel_time_diff(struct cel_timestamp a, struct cel_timestamp b, int64_t *out) {
	__int128 ns = (__int128)(a.s - b.s) * CEL_NS_PER_S + ((int64_t)a.ns - b.ns);

	if (ns < INT64_MIN || ns > INT64_MAX)
		return false;
	*out = (int64_t)ns;
	return true;
}

bool cel_duration_add(int64_t d, int64_t e, int64_t *out) {
	int64_t sum;

	if (__builtin_add_overflow(d, e, &sum))
		return false;
	*out = sum;
	return true;
}

bool cel_duration_sub(int64_t d, int64_t e, int64_t *out) {
	int64_t rest;

	if (__builtin_sub_overflow(d, e, &rest))
		return false;
	*out = rest;
	return true;
}

bool cel_duration_negate(int64_t d, int64_t *out) {
	return cel_duration_sub(0, d, out);
}

/* ---- Text ---- */

/* Exactly n digits, of a number in lo..hi. */
static bool scan_number(struct scan *in, unsigned n, unsigned lo, unsigned hi, unsigned *out) {
	unsigned v = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!scan_is_digit(in))
			return false;
		v = v * 10 + (unsigned)(*in->p++ - '0');
	}
	*out = v;
	return v >= lo && v <= hi;
}

/* YYYY-MM-DD, a day that exists; year 0 does not, but 0000-12-31 with an offset west of UTC can name one that does. */
static bool scan_date(struct scan *in, int64_t *days) {
	unsigned year, month, day;

	if (!scan_number(in, 4, 0, 9999, &year) || !scan_char(in, '-') || !scan_number(in, 2, 1, 12, &month) ||
	    !scan_char(in, '-') || !scan_number(in, 2, 1, days_in_month(year, month), &day))
		return false;
	*days = cel_days_from_civil(year, month, day);
	return true;
}

static bool scan_clock(struct scan *in, unsigned *second_of_day) {
	unsigned h, m, s;

	if (!scan_number(in, 2, 0, 23, &h) || !scan_char(in, ':') || !scan_number(in, 2, 0, 59, &m) ||
	    !scan_char(in, ':') || !scan_number(in, 2, 0, 59, &s))
		return false;
	*second_of_day = h * 3600 + m * 60 + s;
	return true;
}

/* Nothing, or a point and one to nine digits. */
static bool scan_fraction(struct scan *in, uint32_t *ns) {
	uint32_t unit = (uint32_t)CEL_NS_PER_S;

	*ns = 0;
	if (!scan_char(in, '.'))
		return true;
	if (!scan_is_digit(in))
		return false;
	for (; scan_is_digit(in); in->p++) {
		if (unit == 1)
			return false;
		unit /= 10;
		*ns += unit * (uint32_t)(*in->p - '0');
	}
	return true;
}

static bool scan_offset(struct scan *in, int *offset_s) {
	bool west = in->p != in->end && *in->p == '-';
	unsigned h, m;

	*offset_s = 0;
	if (scan_char(in, 'Z'))
		return true;
	if ((!scan_char(in, '+') && !scan_char(in, '-')) || !scan_number(in, 2, 0, 23, &h) || !scan_char(in, ':') ||
	    !scan_number(in, 2, 0, 59, &m))
		return false;
	*offset_s = (int)(h * 3600 + m * 60) * (west ? -1 : 1);
	return true;
}

bool cel_time_parse(struct str text, struct cel_timestamp *out) {
	struct scan in = { text.p, text.p + text.n };
	struct cel_timestamp t;
	unsigned second_of_day;
	int64_t days;
	int offset_s;

	if (!scan_date(&in, &days) || !scan_char(&in, 'T') || !scan_clock(&in, &second_of_day) ||
	    !scan_fraction(&in, &t.ns) || !scan_offset(&in, &offset_s) || in.p != in.end)
		return false;
	t.s = days * DAY_S + second_of_day - offset_s;
	if (t.s < CEL_TIME_MIN_S || t.s > CEL_TIME_MAX_S)
		return false;
	*out = t;
	return true;
}

bool cel_time_parse_date(struct str text, struct cel_timestamp *out) {
	struct scan in = { text.p, text.p + text.n };
	int64_t days;

	return scan_date(&in, &days) && in.p == in.end && cel_time_from_unix(days * DAY_S, out);
}

/* The longest unit that stands here, in nanoseconds; 0: none. */
static uint64_t scan_unit(struct scan *in) {
	static const struct {
		struct str name;
		uint64_t ns;
	} units[] = {
		{ STR("ns"), 1 },
		{ STR("us"), 1000 },
		{ STR("\xC2\xB5s"), 1000 }, /* U+00B5 micro sign */
		{ STR("\xCE\xBCs"), 1000 }, /* U+03BC Greek mu */
		{ STR("ms"), 1000000 },
		{ STR("s"), 1000000000 },
		{ STR("m"), 60000000000 },
		{ STR("h"), 3600000000000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if ((size_t)(in->end - in->p) < units[i].name.n || memcmp(in->p, units[i].name.p, units[i].name.n) != 0)
			continue;
		in->p += units[i].name.n;
		return units[i].ns;
	}
	return 0;
}

/*
 * One number with its unit, added to *ns. The fraction is kept as up to 18 digits over a power of ten: more
 * cannot matter, an hour being 3.6e12 ns.
 */
static bool scan_duration_part(struct scan *in, uint64_t *ns) {
	uint64_t whole = 0, fraction = 0, power = 1, unit;
	bool digits = scan_is_digit(in);

	for (; scan_is_digit(in); in->p++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*in->p - '0'), &whole))
			return false;
	if (scan_char(in, '.'))
		for (; scan_is_digit(in); in->p++) {
			digits = true;
			if (power >= 1000000000000000000u)
				continue;
			fraction = fraction * 10 + (uint64_t)(*in->p - '0');
			power *= 10;
		}
	unit = digits ? scan_unit(in) : 0;
	if (!unit || __builtin_mul_overflow(whole, unit, &whole) || __builtin_add_overflow(*ns, whole, ns))
		return false;
	return !__builtin_add_overflow(*ns, (uint64_t)((unsigned __int128)fraction * unit / power), ns);
}

bool cel_duration_parse(struct str text, int64_t *out) {
	struct scan in = { text.p, text.p + text.n };
	bool negative = text.n && text.p[0] == '-';
	uint64_t ns = 0;

	if (!negative)
		(void)scan_char(&in, '+');
	else
		in.p++;
	if (in.end - in.p == 1 && *in.p == '0') {
		*out = 0;
		return true;
	}
	if (in.p == in.end)
		return false;
	while (in.p != in.end)
		if (!scan_duration_part(&in, &ns))
			return false;
	if (ns > (uint64_t)INT64_MAX + negative)
		return false;
	*out = negative ? (int64_t)-ns : (int64_t)ns;
	return true;
}

/* ".5": the nanoseconds without trailing zeros, or nothing. At most 10 bytes and a NUL. */
static size_t format_fraction(uint32_t ns, char *out) {
	int digits = 9;

	out[0] = '\0';
	if (!ns)
		return 0;
	for (; ns % 10 == 0; ns /= 10)
		digits--;
	return (size_t)snprintf(out, 11, ".%0*u", digits, ns);
}

size_t cel_time_format(struct cel_timestamp t, char out[CEL_TIME_TEXT]) {
	int64_t days = floor_div(t.s, DAY_S);
	unsigned rest = (unsigned)(t.s - days * DAY_S);
	struct cel_civil date = cel_civil_from_days(days);
	size_t n;

	assert(t.s >= CEL_TIME_MIN_S && t.s <= CEL_TIME_MAX_S && t.ns < CEL_NS_PER_S);
	n = (size_t)snprintf(out, CEL_TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u", (unsigned)date.year % 10000u,
			     date.month % 100u, date.day % 100u, rest / 3600 % 100u, rest / 60 % 60, rest % 60);
	n += format_fraction(t.ns, out + n);
	out[n++] = 'Z';
	out[n] = '\0';
	return n;
}

size_t cel_duration_format(int64_t d, char out[CEL_DURATION_TEXT]) {
	uint64_t ns = d < 0 ? -(uint64_t)d : (uint64_t)d;
	size_t n = (size_t)snprintf(out, CEL_DURATION_TEXT, "%s%llu", d < 0 ? "-" : "",
				    (unsigned long long)(ns / CEL_NS_PER_S));

	n += format_fraction((uint32_t)(ns % CEL_NS_PER_S), out + n);
	out[n++] = 's';
	out[n] = '\0';
	return n;
}

/* ---- Getters ---- */

int cel_time_field_parse(struct str name, enum cel_time_field *out) {
	static const char *const names[N_CEL_TIME_FIELDS] = {
		[CEL_FULL_YEAR] = "getFullYear",
		[CEL_MONTH] = "getMonth",
		[CEL_DAY_OF_YEAR] = "getDayOfYear",
		[CEL_DAY_OF_MONTH] = "getDayOfMonth",
		[CEL_DATE] = "getDate",
		[CEL_DAY_OF_WEEK] = "getDayOfWeek",
		[CEL_HOURS] = "getHours",
		[CEL_MINUTES] = "getMinutes",
		[CEL_SECONDS] = "getSeconds",
		[CEL_MILLISECONDS] = "getMilliseconds",
	};

	for (size_t i = 0; i < N_CEL_TIME_FIELDS; i++)
		if (str_eq(name, str_of(names[i]))) {
			*out = (enum cel_time_field)i;
			return 0;
		}
	return -1;
}

static int64_t date_field(enum cel_time_field field, int64_t days) {
	struct cel_civil date;

	if (field == CEL_DAY_OF_WEEK)
		return days + 4 - floor_div(days + 4, 7) * 7; /* 1970-01-01 was a Thursday */
	date = cel_civil_from_days(days);
	switch (field) {
	case CEL_FULL_YEAR:
		return date.year;
	case CEL_MONTH:
		return date.month - 1;
	case CEL_DAY_OF_YEAR:
		return days - cel_days_from_civil(date.year, 1, 1);
	case CEL_DAY_OF_MONTH:
		return date.day - 1;
	default:
		return date.day;
	}
}

int64_t cel_time_get(enum cel_time_field field, struct cel_timestamp t, struct zone_ref zone) {
	int64_t local, days;
	unsigned rest;

	if (field == CEL_MILLISECONDS)
		return t.ns / 1000000;
	local = t.s + zone_ref_offset(zone, t.s);
	days = floor_div(local, DAY_S);
	rest = (unsigned)(local - days * DAY_S);
	switch (field) {
	case CEL_HOURS:
		return rest / 3600;
	case CEL_MINUTES:
		return rest / 60 % 60;
	case CEL_SECONDS:
		return rest % 60;
	default:
		return date_field(field, days);
	}
}

int64_t cel_duration_get(enum cel_time_field field, int64_t d) {
	switch (field) {
	case CEL_HOURS:
		return d / (3600 * CEL_NS_PER_S);
	case CEL_MINUTES:
		return d / (60 * CEL_NS_PER_S);
	case CEL_SECONDS:
		return d / CEL_NS_PER_S;
	case CEL_MILLISECONDS:
		return d / 1000000 % 1000;
	default:
		assert(!"a duration has no such field");
		return 0;
	}
}

/* The local second at which the unit of field that holds the local second `local` ends. */
static int64_t unit_end(enum cel_time_field field, int64_t local) {
	int64_t days = floor_div(local, DAY_S);
	struct cel_civil date;

	switch (field) {
	case CEL_FULL_YEAR:
		return cel_days_from_civil(cel_civil_from_days(days).year + 1, 1, 1) * DAY_S;
	case CEL_MONTH:
		date = cel_civil_from_days(days);
		return (days - date.day + 1 + days_in_month(date.year, date.month)) * DAY_S;
	case CEL_HOURS:
		return (floor_div(local, 3600) + 1) * 3600;
	case CEL_MINUTES:
		return (floor_div(local, 60) + 1) * 60;
	case CEL_SECONDS:
	case CEL_MILLISECONDS:
		return local + 1;
	default:
		return (days + 1) * DAY_S;
	}
}

int64_t cel_time_next_change(enum cel_time_field field, int64_t s, struct zone_ref zone) {
	int64_t offset = zone_ref_offset(zone, s);
	int64_t change = unit_end(field, s + offset) - offset;
	int64_t transition = zone.zone ? zone_next_transition(zone.zone, s) : INT64_MAX;

	return transition < change ? transition : change;
}
