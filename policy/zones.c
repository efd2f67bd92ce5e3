/* See zones.h. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "policy/cel_time.h"
#include "policy/no_memory.h"
#include "policy/scan.h"
#include "policy/zones.h"

#define MAX_ZONES 1024
#define MAX_NAME 64
#define MAX_FILE (256 * 1024)
#define MAX_TRANSITIONS 4096
#define MAX_TYPES 256
#define MAX_OFFSET_S (26 * 3600) /* RFC 9636 §3.2 bids writers stay within -25 h and +26 h */

#define DAY_S 86400
#define PERIOD_YEARS 400
#define PERIOD_S (146097LL * DAY_S)

/* Transitions are found by time: a bucket is 2^23 s, about 97 days, so few hold more than one. */
#define BUCKET_SHIFT 23

struct transition {
	int64_t at;
	int32_t offset_s; /* from `at` on */
};

/*
 * transitions[] is sorted by time and every one changes the offset. Instants at or past `end` are looked up
 * 400 years earlier, as often as it takes; before the first transition `before` is in force.
 */
struct zone {
	int64_t first, end; /* first: transitions[0].at; end: INT64_MAX when the last offset stays for good */
	const struct transition *transitions;
	uint32_t n;
	int32_t before;
	bool always;	 /* the rule holds at all times: instants before `first` are looked up later */
	uint16_t *bucket; /* index of the last transition at or before the bucket's first second */
	size_t n_buckets;
};

/* ---- Lookup ---- */

/* Moves s by whole periods into the table's range, so far as the rule reaches. */
static inline int64_t fold(const struct zone *zone, int64_t s) {
	if (s >= zone->end)
		return s - ((s - zone->end) / PERIOD_S + 1) * PERIOD_S;
	if (zone->always && s < zone->first)
		return s + ((zone->first - s - 1) / PERIOD_S + 1) * PERIOD_S;
	return s;
}

/* The last transition at or before s; s must not be before the first. */
static inline uint32_t index_at(const struct zone *zone, int64_t s) {
	size_t b = (size_t)(s - zone->first) >> BUCKET_SHIFT;
	uint32_t i = zone->bucket[b < zone->n_buckets ? b : zone->n_buckets - 1];

	while (i + 1 < zone->n && zone->transitions[i + 1].at <= s)
		i++;
	return i;
}

int32_t zone_offset(const struct zone *zone, int64_t s) {
	/* Far outside what a timestamp can be, one more second makes no difference but might overflow. */
	s = fold(zone, s < 2 * CEL_TIME_MIN_S ? 2 * CEL_TIME_MIN_S : s > 2 * CEL_TIME_MAX_S ? 2 * CEL_TIME_MAX_S : s);
	return s < zone->first ? zone->before : zone->transitions[index_at(zone, s)].offset_s;
}

int64_t zone_next_transition(const struct zone *zone, int64_t s) {
	int64_t folded, next;
	uint32_t i;

	if (zone->n == 0 || s > CEL_TIME_MAX_S)
		return INT64_MAX;
	if (s < CEL_TIME_MIN_S)
		s = CEL_TIME_MIN_S;
	folded = fold(zone, s);
	if (folded < zone->first)
		return zone->first + (s - folded);
	i = index_at(zone, folded);
	if (i + 1 < zone->n)
		next = zone->transitions[i + 1].at;
	else if (zone->end != INT64_MAX)
		next = zone->end; /* where the period begins again, by construction with a transition */
	else
		return INT64_MAX;
	next += s - folded;
	return next > CEL_TIME_MAX_S ? INT64_MAX : next;
}

/* ---- The footer: a POSIX TZ string (RFC 9636 §3.3.1) ---- */

enum rule_form { RULE_JULIAN, RULE_DAY, RULE_MONTH }; /* Jn: 1..365 without 29 February; n: 0..365; Mm.w.d */

struct rule_day {
	enum rule_form form;
	int day;	 /* J and n; of M the weekday */
	int month, week; /* of M; week 5 is the last */
	int time_s;	 /* wall clock before the change, within a week either way */
};

struct rule {
	int32_t std, dst; /* seconds east of UTC */
	bool has_dst;
	struct rule_day start, end;
};

/* One to three digits of a number in lo..hi. */
static bool scan_number(struct scan *in, int lo, int hi, int *out) {
	int v = 0, digits = 0;

	for (; scan_is_digit(in) && digits < 4; digits++)
		v = v * 10 + (*in->p++ - '0');
	*out = v;
	return digits > 0 && digits < 4 && v >= lo && v <= hi;
}

static bool is_letter(char c) {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Three letters or more, or <three or more of letters, digits, + and ->. */
static bool scan_abbreviation(struct scan *in) {
	bool quoted = scan_char(in, '<');
	const char *from = in->p;

	while (in->p != in->end &&
	       (is_letter(*in->p) || (quoted && (scan_is_digit(in) || *in->p == '+' || *in->p == '-'))))
		in->p++;
	return in->p - from >= 3 && (!quoted || scan_char(in, '>'));
}

/* [+-]h[hh][:mm[:ss]], hours up to max_h. */
static bool scan_time(struct scan *in, int max_h, int *out) {
	bool negative = in->p != in->end && *in->p == '-';
	int h, m = 0, s = 0;

	if (negative || (in->p != in->end && *in->p == '+'))
		in->p++;
	if (!scan_number(in, 0, max_h, &h))
		return false;
	if (scan_char(in, ':') && (!scan_number(in, 0, 59, &m) || (scan_char(in, ':') && !scan_number(in, 0, 59, &s))))
		return false;
	*out = (h * 3600 + m * 60 + s) * (negative ? -1 : 1);
	return true;
}

/* Jn, n or Mm.w.d, and perhaps /time. */
static bool scan_rule_day(struct scan *in, struct rule_day *out) {
	bool ok;

	*out = (struct rule_day){ .time_s = 2 * 3600 };
	if (scan_char(in, 'J')) {
		out->form = RULE_JULIAN;
		ok = scan_number(in, 1, 365, &out->day);
	} else if (scan_char(in, 'M')) {
		out->form = RULE_MONTH;
		ok = scan_number(in, 1, 12, &out->month) && scan_char(in, '.') && scan_number(in, 1, 5, &out->week) &&
		     scan_char(in, '.') && scan_number(in, 0, 6, &out->day);
	} else {
		out->form = RULE_DAY;
		ok = scan_number(in, 0, 365, &out->day);
	}
	return ok && (!scan_char(in, '/') || scan_time(in, 167, &out->time_s));
}

/* POSIX counts offsets west of Greenwich; *out is east. */
static bool scan_offset(struct scan *in, int32_t *out) {
	int west;

	if (!scan_time(in, 24, &west))
		return false;
	*out = -west;
	return true;
}

static bool rule_parse(struct str text, struct rule *out) {
	struct scan in = { text.p, text.p + text.n };

	*out = (struct rule){ 0 };
	if (!scan_abbreviation(&in) || !scan_offset(&in, &out->std))
		return false;
	if (in.p == in.end)
		return true;
	out->has_dst = true;
	out->dst = out->std + 3600;
	if (!scan_abbreviation(&in))
		return false;
	if (in.p != in.end && *in.p != ',' && !scan_offset(&in, &out->dst))
		return false;
	/* Without dates POSIX leaves the rule to the implementation; RFC 9636 wants them written. */
	return scan_char(&in, ',') && scan_rule_day(&in, &out->start) && scan_char(&in, ',') &&
	       scan_rule_day(&in, &out->end) && in.p == in.end;
}

/* Days since the epoch on which the rule falls in a year. */
static int64_t rule_days(const struct rule_day *rule, int64_t year) {
	int64_t first = cel_days_from_civil(year, 1, 1), next;

	if (rule->form == RULE_DAY)
		return first + rule->day;
	if (rule->form == RULE_JULIAN)
		return first + rule->day - 1 + (rule->day >= 60 && cel_days_from_civil(year, 3, 1) - first == 60);
	first = cel_days_from_civil(year, (unsigned)rule->month, 1);
	next = rule->month == 12 ? cel_days_from_civil(year + 1, 1, 1) :
				   cel_days_from_civil(year, (unsigned)rule->month + 1, 1);
	/* 1970-01-01 was a Thursday; first becomes the first such weekday of the month. */
	first += ((rule->day - (first + 4)) % 7 + 7) % 7 + 7 * (rule->week - 1);
	return first >= next ? first - 7 : first;
}

static int64_t rule_at(const struct rule_day *rule, int64_t year, int32_t offset_before) {
	return rule_days(rule, year) * DAY_S + rule->time_s - offset_before;
}

/* ---- Building the table ---- */

struct builder {
	struct transition *transitions; /* MAX_TRANSITIONS and a period's worth */
	size_t n;
	int32_t before;
};

#define BUILDER_ROOM (MAX_TRANSITIONS + 2 * (PERIOD_YEARS + 4))

static void builder_add(struct builder *b, int64_t at, int32_t offset_s) {
	assert(b->n < BUILDER_ROOM);
	b->transitions[b->n++] = (struct transition){ at, offset_s };
}

static int by_time(const void *a, const void *b) {
	const struct transition *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* The rule's transitions of the years first..last, in order; where one ends as the next begins the beginning wins. */
static void rule_unroll(const struct rule *rule, int64_t first, int64_t last, struct builder *out) {
	for (int64_t year = first; year <= last; year++) {
		int64_t start = rule_at(&rule->start, year, rule->std), end = rule_at(&rule->end, year, rule->dst);

		/* Daylight time all year is written as an end that meets the next year's start: see RFC 9636 §3.3.1. */
		builder_add(out, start, rule->dst);
		if (end != start && end != rule_at(&rule->start, year + 1, rule->std))
			builder_add(out, end, rule->std);
	}
	qsort(out->transitions, out->n, sizeof(*out->transitions), by_time);
}

/* Drops what changes nothing. */
static void builder_squeeze(struct builder *b) {
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->transitions[i].offset_s != (n ? b->transitions[n - 1].offset_s : b->before))
			b->transitions[n++] = b->transitions[i];
	b->n = n;
}

static int64_t year_of(int64_t s) {
	return cel_civil_from_days((s - (s % DAY_S < 0 ? DAY_S : 0)) / DAY_S).year;
}

/* Appends 400 years of the rule after the transitions of the file. */
static int builder_add_rule(struct builder *b, const struct rule *rule, struct error *err) {
	int64_t last = b->n ? b->transitions[b->n - 1].at : 0, year = year_of(last);
	struct builder unrolled = { 0 };

	if (!rule->has_dst || rule->dst == rule->std) {
		/* RFC 9636 §3.3: the footer agrees with the last transition; where there is none it speaks for all time. */
		if (!b->n)
			b->before = rule->std;
		return 0;
	}
	unrolled.transitions = calloc(2 * (PERIOD_YEARS + 4), sizeof(*unrolled.transitions));
	if (!unrolled.transitions)
		return error_no_memory(err);
	rule_unroll(rule, year - 1, year + PERIOD_YEARS + 1, &unrolled);
	for (size_t i = 0; i < unrolled.n; i++)
		if (b->n == 0 || unrolled.transitions[i].at > last)
			builder_add(b, unrolled.transitions[i].at, unrolled.transitions[i].offset_s);
	free(unrolled.transitions);
	return 0;
}

static int zone_index(struct zone *zone, struct error *err) {
	const struct transition *t = zone->transitions;
	size_t i = 0;

	zone->n_buckets = ((size_t)(t[zone->n - 1].at - t[0].at) >> BUCKET_SHIFT) + 1;
	zone->bucket = calloc(zone->n_buckets, sizeof(*zone->bucket));
	if (!zone->bucket)
		return error_no_memory(err);
	for (size_t b = 0; b < zone->n_buckets; b++) {
		while (i + 1 < zone->n && t[i + 1].at <= t[0].at + ((int64_t)b << BUCKET_SHIFT))
			i++;
		zone->bucket[b] = (uint16_t)i;
	}
	return 0;
}

/*
 * Cuts the table where the rule has run for a full period: end is the last transition that has a twin exactly
 * 400 years before it, so that at `end` the offset becomes what it became at the twin.
 */
static void zone_close(struct zone *zone, struct builder *b, bool periodic) {
	zone->end = INT64_MAX;
	if (!periodic || b->n < 2)
		return;
	for (size_t i = b->n - 1; i > 0; i--) {
		struct transition t = b->transitions[i], twin = { t.at - PERIOD_S, t.offset_s };
		const struct transition *found =
			bsearch(&twin, b->transitions, b->n, sizeof(twin), by_time);

		if (found && found->offset_s == t.offset_s) {
			zone->end = t.at;
			b->n = i;
			return;
		}
	}
}

static int zone_build(struct builder *b, const struct rule *rule, struct zone **out, struct error *err) {
	bool periodic = rule && rule->has_dst && rule->dst != rule->std, always = periodic && b->n == 0;
	cleanup(zone_freep) struct zone *zone = calloc(1, sizeof(*zone));

	if (!zone)
		return error_no_memory(err);
	if (rule && builder_add_rule(b, rule, err) != 0)
		return -1;
	builder_squeeze(b);
	zone_close(zone, b, periodic);
	zone->n = (uint32_t)b->n;
	zone->before = b->before;
	zone->first = INT64_MAX;
	if (zone->n) {
		zone->transitions = calloc(zone->n, sizeof(*zone->transitions));
		if (!zone->transitions)
			return error_no_memory(err);
		memcpy((void *)zone->transitions, b->transitions, zone->n * sizeof(*zone->transitions));
		zone->first = zone->transitions[0].at;
		zone->always = always && zone->end != INT64_MAX;
		if (zone_index(zone, err) != 0)
			return -1;
	}
	*out = take(&zone);
	return 0;
}

void zone_free(struct zone *zone) {
	if (!zone)
		return;
	free((void *)zone->transitions);
	free(zone->bucket);
	free(zone);
}

/* ---- TZif (RFC 9636 §3.1, §3.2) ---- */

#define HEADER 44

struct tzif {
	uint32_t n_isut, n_isstd, n_leap, n_time, n_type, n_char;
	const unsigned char *times, *indices, *types; /* of the block that was read */
	unsigned char version;
};

static uint64_t big_endian(const unsigned char *p, size_t n) {
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static int tzif_header(const unsigned char *data, size_t len, struct tzif *out, struct error *err) {
	static const uint32_t most[] = { MAX_TYPES, MAX_TYPES, 0, MAX_TRANSITIONS, MAX_TYPES, 4096 };
	static const char *const what[] = { "UT/local indicators", "standard/wall indicators", "leap seconds",
					    "transitions",	   "local time types",	       "characters" };
	uint32_t *counts[] = { &out->n_isut, &out->n_isstd, &out->n_leap, &out->n_time, &out->n_type, &out->n_char };

	if (len < HEADER || memcmp(data, "TZif", 4) != 0)
		return error_set(err, ERR_INVALID, "no TZif file");
	out->version = data[4];
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		*counts[i] = (uint32_t)big_endian(data + 20 + 4 * i, 4);
		if (*counts[i] > most[i])
			return error_set(err, ERR_INVALID, "%u %s, at most %u are allowed", *counts[i], what[i], most[i]);
	}
	return 0;
}

/* Points into the block behind the header; time_size is 4 in the first block, 8 in the second. Gives its length. */
static size_t tzif_block(struct tzif *tz, const unsigned char *block, size_t time_size) {
	tz->times = block;
	tz->indices = tz->times + tz->n_time * time_size;
	tz->types = tz->indices + tz->n_time;
	return tz->n_time * (time_size + 1) + tz->n_type * 6 + tz->n_char + tz->n_leap * (time_size + 4) +
	       tz->n_isstd + tz->n_isut;
}

static int tzif_check(const struct tzif *tz, struct error *err) {
	if (tz->n_type == 0)
		return error_set(err, ERR_INVALID, "no local time type");
	for (uint32_t i = 0; i < tz->n_type; i++) {
		int32_t offset = (int32_t)big_endian(tz->types + 6 * i, 4);

		if (offset < -MAX_OFFSET_S || offset > MAX_OFFSET_S)
			return error_set(err, ERR_INVALID, "an offset of %d seconds from UTC", offset);
	}
	for (uint32_t i = 0; i < tz->n_time; i++) {
		if (tz->indices[i] >= tz->n_type)
			return error_set(err, ERR_INVALID, "transition %u names type %u of %u", i, tz->indices[i],
					 tz->n_type);
		if (i && (int64_t)big_endian(tz->times + 8 * i, 8) <= (int64_t)big_endian(tz->times + 8 * i - 8, 8))
			return error_set(err, ERR_INVALID, "transition %u is not after the one before it", i);
	}
	return 0;
}

/* What happened before the year 1 (a Big Bang in old files) is folded into `before`; after 9999 nothing matters. */
static void tzif_transitions(const struct tzif *tz, struct builder *out) {
	out->before = (int32_t)big_endian(tz->types, 4);
	for (uint32_t i = 0; i < tz->n_time; i++) {
		int64_t at = (int64_t)big_endian(tz->times + 8 * i, 8);
		int32_t offset = (int32_t)big_endian(tz->types + 6 * tz->indices[i], 4);

		if (at <= CEL_TIME_MIN_S)
			out->before = offset;
		else if (at <= CEL_TIME_MAX_S)
			builder_add(out, at, offset);
	}
}

/* The text between two newlines that ends the file. */
static int tzif_footer(const unsigned char *p, size_t n, struct rule *rule, bool *present, struct error *err) {
	const unsigned char *nl = n ? memchr(p + 1, '\n', n - 1) : NULL;
	struct str text;

	if (!nl || p[0] != '\n')
		return error_set(err, ERR_INVALID, "the footer is not there");
	text = (struct str){ (const char *)p + 1, (size_t)(nl - p) - 1 };
	*present = text.n > 0;
	if (*present && !rule_parse(text, rule))
		return error_set(err, ERR_INVALID, "the footer '%.*s' is no rule", text.n > 60 ? 60 : (int)text.n, text.p);
	return 0;
}

/* Goes past the 32-bit block to the 64-bit one; gives where the footer begins. */
static int tzif_open(const unsigned char *data, size_t len, struct tzif *tz, size_t *footer, struct error *err) {
	size_t at;

	if (len > MAX_FILE)
		return error_set(err, ERR_INVALID, "%zu bytes, at most %d are allowed", len, MAX_FILE);
	if (tzif_header(data, len, tz, err) != 0)
		return -1;
	if (tz->version < '2')
		return error_set(err, ERR_INVALID, "version 1 has no 64-bit times");
	at = HEADER + tzif_block(tz, data + HEADER, 4);
	if (at > len)
		return error_set(err, ERR_INVALID, "cut off in the first block");
	if (tzif_header(data + at, len - at, tz, err) != 0)
		return error_wrap(err, "second block");
	at += HEADER;
	*footer = at + tzif_block(tz, data + at, 8);
	if (*footer > len)
		return error_set(err, ERR_INVALID, "cut off in the second block");
	return tzif_check(tz, err);
}

int zone_parse(const unsigned char *data, size_t len, struct zone **out, struct error *err) {
	struct tzif tz = { 0 };
	struct builder b = { 0 };
	struct rule rule;
	bool has_rule;
	size_t footer = 0;
	int r;

	if (tzif_open(data, len, &tz, &footer, err) != 0 ||
	    tzif_footer(data + footer, len - footer, &rule, &has_rule, err) != 0)
		return -1;
	b.transitions = calloc(BUILDER_ROOM, sizeof(*b.transitions));
	if (!b.transitions)
		return error_no_memory(err);
	tzif_transitions(&tz, &b);
	r = zone_build(&b, has_rule ? &rule : NULL, out, err);
	free(b.transitions);
	return r;
}

/* ---- Names ---- */

/* HH:MM with or without a sign; the sign is the text's, so that -00:30 is west. */
static bool parse_fixed(struct str name, int32_t *out) {
	bool sign = name.n && (name.p[0] == '+' || name.p[0] == '-');
	const char *p = name.p + sign;
	int h, m;

	if (name.n != 5 + (size_t)sign || p[2] != ':')
		return false;
	for (size_t i = 0; i < 5; i++)
		if (i != 2 && (p[i] < '0' || p[i] > '9'))
			return false;
	h = (p[0] - '0') * 10 + p[1] - '0';
	m = (p[3] - '0') * 10 + p[4] - '0';
	if (h > 23 || m > 59)
		return false;
	*out = (h * 3600 + m * 60) * (name.p[0] == '-' ? -1 : 1);
	return true;
}

int zone_fixed(struct str name, struct zone_ref *out) {
	int32_t offset_s = 0;

	if (name.n != 0 && !str_eq(name, STR("UTC")) && !parse_fixed(name, &offset_s))
		return -1;
	*out = (struct zone_ref){ .offset_s = offset_s };
	return 0;
}

bool zone_name_ok(struct str name) {
	static const struct str refused[] = { STR("Local"), STR("localtime"), STR("posixrules"), STR("Factory") };
	char before = '/';

	if (name.n == 0 || name.n > MAX_NAME || name.p[name.n - 1] == '/')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (c == '/' ? before == '/' : !(is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-'))
			return false;
		before = c;
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (str_eq(name, refused[i]))
			return false;
	return is_letter(name.p[0]);
}

struct entry {
	char name[MAX_NAME + 1];
	struct zone *zone;
};

struct zones {
	const struct policy_host *host;
	struct entry *entries; /* sorted by name */
	size_t n, size;
};

struct zones *zones_new(const struct policy_host *host) {
	struct zones *zones = calloc(1, sizeof(*zones));

	if (zones)
		zones->host = host;
	return zones;
}

void zones_free(struct zones *zones) {
	if (!zones)
		return;
	for (size_t i = 0; i < zones->n; i++)
		zone_free(zones->entries[i].zone);
	free(zones->entries);
	free(zones);
}

static int compare_name(struct str a, const char *b) {
	size_t n = strlen(b);
	int order = memcmp(a.p, b, a.n < n ? a.n : n);

	return order ? order : (a.n > n) - (a.n < n);
}

/* Where the name stands, or where it would. */
static size_t zones_place(const struct zones *zones, struct str name, bool *found) {
	size_t lo = 0, hi = zones->n;

	*found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int order = compare_name(name, zones->entries[mid].name);

		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

int zones_find(const struct zones *zones, struct str name, struct zone_ref *out) {
	bool found;
	size_t i;

	if (zone_fixed(name, out) == 0)
		return 0;
	if (!zone_name_ok(name))
		return -1;
	i = zones_place(zones, name, &found);
	if (!found)
		return -1;
	*out = (struct zone_ref){ .zone = zones->entries[i].zone };
	return 0;
}

static int zones_room(struct zones *zones, struct error *err) {
	size_t size = zones->size ? zones->size * 2 : 8;
	struct entry *entries;

	if (zones->n < zones->size)
		return 0;
	if (zones->n == MAX_ZONES)
		return error_set(err, ERR_LIMIT, "more than %d time zones", MAX_ZONES);
	entries = reallocarray(zones->entries, size, sizeof(*entries));
	if (!entries)
		return error_no_memory(err);
	zones->entries = entries;
	zones->size = size;
	return 0;
}

static int zones_read(const struct zones *zones, struct str name, struct entry *out, struct error *err) {
	unsigned char *data = NULL;
	size_t len = 0;
	int r = -1;

	memcpy(out->name, name.p, name.n);
	out->name[name.n] = '\0';
	if (zones->host && zones->host->read_zone)
		r = zones->host->read_zone(zones->host->arg, out->name, &data, &len);
	if (r == POLICY_TRY_AGAIN)
		return error_no_memory(err);
	if (r != 0)
		return error_set(err, ERR_NOT_FOUND, "there is no time zone '%s' here", out->name);
	r = zone_parse(data, len, &out->zone, err);
	free(data);
	return r == 0 ? 0 : error_wrap(err, "time zone '%s'", out->name);
}

const struct policy_host *zones_host(const struct zones *zones) {
	return zones->host;
}

int zones_load(struct zones *zones, struct str name, struct zone_ref *out, struct error *err) {
	struct entry entry = { .zone = NULL };
	bool found;
	size_t i;

	if (zones_find(zones, name, out) == 0)
		return 0;
	if (!zone_name_ok(name))
		return error_set(err, ERR_INVALID,
				 "'%.*s' is no time zone: write a name such as Europe/Berlin, UTC, or +HH:MM",
				 name.n > MAX_NAME ? MAX_NAME : (int)name.n, name.p);
	if (zones_room(zones, err) != 0 || zones_read(zones, name, &entry, err) != 0) {
		if (err->code == ERR_UNAVAILABLE)
			note_no_memory();
		return -1;
	}
	i = zones_place(zones, name, &found);
	assert(!found);
	memmove(zones->entries + i + 1, zones->entries + i, (zones->n - i) * sizeof(entry));
	zones->entries[i] = entry;
	zones->n++;
	*out = (struct zone_ref){ .zone = entry.zone };
	return 0;
}
