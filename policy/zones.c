/* See zones.h. */

#include <stdlib.h>
#include "policy/cel_time.h"
#include "policy/zones.h"

#define MAX_FILE 131072
#define MAX_TRANSITIONS 4096 /* of a file; the rule adds RULE_YEARS * 2 */
#define RULE_YEARS 402
#define CYCLE_S ((int64_t)146097 * 86400) /* 400 Gregorian years: a whole number of weeks */
#define HINT_SHIFT 23			  /* a hint for every 97 days */
#define MAX_OFFSET 93600		  /* RFC 8536: under 26 hours */

struct transition {
	int64_t at;	/* UTC: from this instant on … */
	int32_t offset; /* … local time is UTC plus this */
};

/*
 * Everything is a list of transitions: the file's, then the footer's rule written out for 402 years. An instant
 * behind the list is moved back by whole cycles of 400 years, which the Gregorian calendar and its weeks repeat in.
 */
struct zone {
	int32_t first_offset; /* before the first transition */
	bool cyclic;	      /* the list ends in 400 years of a rule */
	size_t n, n_hints;
	struct transition *list;
	uint16_t *hints; /* index of the last transition at or before list[0].at + (i << HINT_SHIFT) */
};

/* --- lookup */

/* Index of the last transition at or before t; t is not before the first. */
static size_t zone_index(const struct zone *zone, int64_t t) {
	uint64_t bucket = (uint64_t)(t - zone->list[0].at) >> HINT_SHIFT;
	size_t i = bucket < zone->n_hints ? zone->hints[bucket] : zone->n - 1;

	while (i + 1 < zone->n && zone->list[i + 1].at <= t)
		i++;
	return i;
}

/* How far t must be moved back to stand in the list. */
static int64_t zone_shift(const struct zone *zone, int64_t t) {
	int64_t last = zone->list[zone->n - 1].at;

	return zone->cyclic && t >= last ? ((t - last) / CYCLE_S + 1) * CYCLE_S : 0;
}

int32_t zone_offset(const struct zone *zone, int64_t utc_s) {
	if (!zone->n || utc_s < zone->list[0].at)
		return zone->first_offset;
	return zone->list[zone_index(zone, utc_s - zone_shift(zone, utc_s))].offset;
}

int64_t zone_next_transition(const struct zone *zone, int64_t utc_s) {
	int64_t shift;
	size_t i;

	if (!zone->n)
		return INT64_MAX;
	if (utc_s < zone->list[0].at)
		return zone->list[0].at;
	shift = zone_shift(zone, utc_s);
	i = zone_index(zone, utc_s - shift) + 1;
	return i < zone->n ? zone->list[i].at + shift : INT64_MAX;
}

/* --- the footer: a POSIX TZ string as RFC 8536 §3.3.1 widens it */

struct rule_day {
	char form; /* 'J': 1..365, no leap day; 'N': 0..365; 'M' */
	int n, month, week;
	int32_t time; /* seconds after local midnight; -167..167 h */
};

struct rule {
	int32_t std, dst; /* offsets from UTC */
	bool has_dst;
	struct rule_day begin, end; /* of daylight saving, by the clock that runs just before */
};

struct footer {
	const char *p, *end;
};

static bool footer_char(struct footer *f, char c) {
	if (f->p == f->end || *f->p != c)
		return false;
	f->p++;
	return true;
}

static bool footer_number(struct footer *f, int max, int *out) {
	const char *begin = f->p;

	for (*out = 0; f->p < f->end && *f->p >= '0' && *f->p <= '9' && f->p - begin < 4; f->p++)
		*out = *out * 10 + (*f->p - '0');
	return f->p > begin && *out <= max;
}

static bool footer_name(struct footer *f) {
	const char *begin = f->p;

	if (footer_char(f, '<')) {
		while (f->p < f->end && *f->p != '>')
			f->p++;
		return footer_char(f, '>');
	}
	while (f->p < f->end && ((*f->p | 32) >= 'a' && (*f->p | 32) <= 'z'))
		f->p++;
	return f->p - begin >= 3;
}

static bool footer_time(struct footer *f, int max_hours, int32_t *out) {
	bool minus = footer_char(f, '-');
	int h, m = 0, s = 0;

	if (!minus)
		footer_char(f, '+');
	if (!footer_number(f, max_hours, &h))
		return false;
	if (footer_char(f, ':') && !footer_number(f, 59, &m))
		return false;
	if (m && footer_char(f, ':') && !footer_number(f, 59, &s))
		return false;
	*out = (h * 3600 + m * 60 + s) * (minus ? -1 : 1);
	return true;
}

static bool footer_day(struct footer *f, struct rule_day *day) {
	day->time = 7200;
	if (footer_char(f, 'M')) {
		day->form = 'M';
		if (!footer_number(f, 12, &day->month) || !day->month || !footer_char(f, '.') ||
		    !footer_number(f, 5, &day->week) || !day->week || !footer_char(f, '.') || !footer_number(f, 6, &day->n))
			return false;
	} else {
		day->form = footer_char(f, 'J') ? 'J' : 'N';
		if (!footer_number(f, 365, &day->n) || (day->form == 'J' && !day->n))
			return false;
	}
	return !footer_char(f, '/') || footer_time(f, 167, &day->time);
}

static bool footer_parse(struct footer *f, struct rule *rule) {
	int32_t west;

	if (!footer_name(f) || !footer_time(f, 24, &west))
		return false;
	rule->std = -west;
	if (f->p == f->end)
		return true;
	if (!footer_name(f))
		return false;
	rule->has_dst = true;
	rule->dst = rule->std + 3600;
	if (f->p < f->end && *f->p != ',') {
		if (!footer_time(f, 24, &west))
			return false;
		rule->dst = -west;
	}
	return footer_char(f, ',') && footer_day(f, &rule->begin) && footer_char(f, ',') && footer_day(f, &rule->end) &&
	       f->p == f->end;
}

/* Local midnight of that day in that year, as if UTC. */
static int64_t rule_day_s(const struct rule_day *day, int64_t year) {
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	int64_t first;
	int mday, length;

	if (day->form == 'N')
		return (cel_days_from_civil(year, 1, 1) + day->n) * 86400;
	if (day->form == 'J')
		return (cel_days_from_civil(year, 1, 1) + day->n - 1 + (leap && day->n >= 60)) * 86400;
	first = cel_days_from_civil(year, (unsigned)day->month, 1);
	mday = (int)((day->n - (first + 4) % 7 + 14) % 7) + 7 * (day->week - 1);
	length = lengths[day->month - 1] + (leap && day->month == 2);
	return (first + (mday >= length ? mday - 7 : mday)) * 86400;
}

/* --- the file */

struct tzif {
	const unsigned char *p;
	size_t left;
	uint32_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
};

static uint32_t be32(const unsigned char *p) {
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p) {
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static int tzif_header(struct tzif *t, struct error *err) {
	uint32_t *const counts[] = { &t->isutcnt, &t->isstdcnt, &t->leapcnt, &t->timecnt, &t->typecnt, &t->charcnt };

	if (t->left < 44 || memcmp(t->p, "TZif", 4))
		return error_set(err, ERR_INVALID, "no TZif file");
	if (t->p[4] < '2')
		return error_set(err, ERR_INVALID, "TZif version 1, which ends in 2038; 2 or later is needed");
	for (size_t i = 0; i < 6; i++) {
		*counts[i] = be32(t->p + 20 + 4 * i);
		if (*counts[i] > MAX_FILE)
			return error_set(err, ERR_INVALID, "a TZif count of %u", *counts[i]);
	}
	t->p += 44;
	t->left -= 44;
	return 0;
}

static int tzif_skip(struct tzif *t, size_t n, struct error *err) {
	if (n > t->left)
		return error_set(err, ERR_INVALID, "a TZif file that is cut off");
	t->p += n;
	t->left -= n;
	return 0;
}

static int tzif_transitions(struct tzif *t, struct zone *zone, struct error *err) {
	const unsigned char *times = t->p, *indices = times + 8 * (size_t)t->timecnt, *types = indices + t->timecnt;
	size_t n = 9 * (size_t)t->timecnt + 6 * (size_t)t->typecnt + t->charcnt + t->isstdcnt + t->isutcnt;

	if (tzif_skip(t, n, err) < 0)
		return -1;
	if (t->leapcnt)
		return error_set(err, ERR_INVALID, "a TZif file with leap seconds");
	if (!t->typecnt || t->timecnt > MAX_TRANSITIONS)
		return error_set(err, ERR_INVALID, "a TZif file with %u types and %u transitions", t->typecnt, t->timecnt);
	zone->list = calloc(t->timecnt + 2 * RULE_YEARS + 2, sizeof(*zone->list));
	if (!zone->list)
		return error_set(err, ERR_INTERNAL, "out of memory");
	zone->first_offset = (int32_t)be32(types);
	for (uint32_t i = 0; i < t->timecnt; i++) {
		struct transition *tr = &zone->list[zone->n++];

		if (indices[i] >= t->typecnt)
			return error_set(err, ERR_INVALID, "a TZif transition to a type that is not there");
		tr->at = be64(times + 8 * i);
		tr->offset = (int32_t)be32(types + 6 * indices[i]);
		if (i && tr->at <= tr[-1].at)
			return error_set(err, ERR_INVALID, "TZif transitions out of order");
		if (tr->offset < -MAX_OFFSET || tr->offset > MAX_OFFSET)
			return error_set(err, ERR_INVALID, "a TZif offset of %d s", tr->offset);
	}
	return 0;
}

/* Keeps the list sorted: what comes at or before the last transition is covered by the file. */
static void zone_add(struct zone *zone, int64_t at, int32_t offset) {
	if (zone->n && at < zone->list[zone->n - 1].at)
		return;
	if (zone->n && at == zone->list[zone->n - 1].at)
		zone->n--;
	zone->list[zone->n++] = (struct transition){ at, offset };
}

static void zone_write_out(struct zone *zone, const struct rule *rule) {
	int64_t from_s = zone->n ? zone->list[zone->n - 1].at : 0;
	int64_t first;

	/* Transitions of the distant past (some files begin at -2^59) say nothing of where the rule begins. */
	first = cel_civil_from_days((from_s < 0 ? 0 : from_s) / 86400).year;
	for (int64_t year = first; year < first + RULE_YEARS; year++) {
		int64_t begin = rule_day_s(&rule->begin, year) + rule->begin.time - rule->std;
		int64_t end = rule_day_s(&rule->end, year) + rule->end.time - rule->dst;

		if (begin <= end) {
			zone_add(zone, begin, rule->dst);
			zone_add(zone, end, rule->std);
		} else {
			zone_add(zone, end, rule->std);
			zone_add(zone, begin, rule->dst);
		}
	}
	zone->cyclic = true;
}

static int zone_footer(struct tzif *t, struct zone *zone, struct error *err) {
	struct footer f = { (const char *)t->p, (const char *)t->p + t->left };
	struct rule rule = { 0 };
	const char *newline;

	if (!footer_char(&f, '\n') || !(newline = memchr(f.p, '\n', (size_t)(f.end - f.p))))
		return error_set(err, ERR_INVALID, "a TZif file without a footer");
	f.end = newline;
	if (f.p == f.end)
		return 0; /* RFC 8536: then the last transition holds */
	if (!footer_parse(&f, &rule))
		return error_set(err, ERR_INVALID, "a TZif footer that is no TZ rule: %.60s", (const char *)t->p + 1);
	if (rule.has_dst)
		zone_write_out(zone, &rule);
	else if (!zone->n)
		zone->first_offset = rule.std;
	return 0;
}

static int zone_index_build(struct zone *zone, struct error *err) {
	size_t span, i = 0;

	if (zone->n < 2)
		return 0;
	/* Only the part after the era of files' oddest transitions is worth hints; before it, a walk. */
	if (zone->list[zone->n - 1].at - zone->list[0].at > (int64_t)2 * CYCLE_S + CYCLE_S / 2)
		return error_set(err, ERR_INVALID, "TZif transitions over %lld years",
				 (long long)((zone->list[zone->n - 1].at - zone->list[0].at) / 31556952));
	span = (size_t)((zone->list[zone->n - 1].at - zone->list[0].at) >> HINT_SHIFT) + 1;
	zone->hints = calloc(span, sizeof(*zone->hints));
	if (!zone->hints)
		return error_set(err, ERR_INTERNAL, "out of memory");
	zone->n_hints = span;
	for (size_t b = 0; b < span; b++) {
		int64_t t = zone->list[0].at + (int64_t)(b << HINT_SHIFT);

		while (i + 1 < zone->n && zone->list[i + 1].at <= t)
			i++;
		zone->hints[b] = (uint16_t)i;
	}
	return 0;
}

/* A first transition in the dawn of time (-2^59, by some compilers) only repeats the first type. */
static void zone_drop_dawn(struct zone *zone) {
	if (zone->n && zone->list[0].at < CEL_TIME_MIN_S) {
		zone->first_offset = zone->list[0].offset;
		memmove(zone->list, zone->list + 1, --zone->n * sizeof(*zone->list));
	}
}

static int zone_read(struct tzif *t, struct zone *zone, struct error *err) {
	size_t v1;

	if (tzif_header(t, err) < 0)
		return -1;
	v1 = 5 * (size_t)t->timecnt + 6 * (size_t)t->typecnt + t->charcnt + 8 * (size_t)t->leapcnt + t->isstdcnt +
	     t->isutcnt;
	if (tzif_skip(t, v1, err) < 0 || tzif_header(t, err) < 0 || tzif_transitions(t, zone, err) < 0)
		return -1;
	zone_drop_dawn(zone);
	if (zone->n && zone->list[zone->n - 1].at > CEL_TIME_MAX_S)
		return error_set(err, ERR_INVALID, "a TZif transition after the year 9999");
	return zone_footer(t, zone, err) < 0 || zone_index_build(zone, err) < 0 ? -1 : 0;
}

int zone_parse(const unsigned char *data, size_t len, struct zone **out, struct error *err) {
	struct tzif t = { .p = data, .left = len };
	struct zone *zone;

	if (len > MAX_FILE)
		return error_set(err, ERR_INVALID, "a TZif file of %zu bytes", len);
	zone = calloc(1, sizeof(*zone));
	if (!zone)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (zone_read(&t, zone, err) < 0) {
		zone_free(zone);
		return -1;
	}
	*out = zone;
	return 0;
}

void zone_free(struct zone *zone) {
	if (!zone)
		return;
	free(zone->list);
	free(zone->hints);
	free(zone);
}

/* --- the zones of a policy */

#define ZONE_NAME_MAX 64
#define MAX_ZONES 1024

struct named_zone {
	struct named_zone *next;
	char name[ZONE_NAME_MAX];
	struct zone *zone;
};

struct zones {
	const struct policy_host *host;
	struct named_zone *first;
	size_t n;
};

static bool zone_part_ok(const char *p, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (!((p[i] | 32) >= 'a' && (p[i] | 32) <= 'z') && !(p[i] >= '0' && p[i] <= '9') && p[i] != '_' &&
		    p[i] != '+' && p[i] != '-')
			return false;
	return n > 0;
}

static bool zone_name_ok(struct str name) {
	/* Names of files that are there but are no zones: the machine's own, and tzdata's other trees. */
	static const char *const none[] = { "localtime", "Local", "posixrules", "Factory", "leapseconds", "posix", "right" };
	const char *p = name.p, *end = name.p + name.n;

	if (name.n == 0 || name.n >= ZONE_NAME_MAX || *p < 'A')
		return false;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (str_eq(name, str_of(none[i])))
			return false;
	for (;;) {
		const char *slash = memchr(p, '/', (size_t)(end - p));

		if (!zone_part_ok(p, (size_t)((slash ? slash : end) - p)))
			return false;
		if (!slash)
			return true;
		p = slash + 1;
	}
}

/* "+02:00", "-00:30", "02:00": the sign is taken from the text, so that -00:30 stays negative. */
static bool offset_parse(struct str text, int32_t *seconds) {
	const char *p = text.p;
	size_t n = text.n;
	bool minus = n && *p == '-';
	int digits[4];

	if (n && (*p == '-' || *p == '+'))
		p++, n--;
	if (n != 5 || p[2] != ':')
		return false;
	for (int i = 0; i < 4; i++) {
		char c = p[i < 2 ? i : i + 1];

		if (c < '0' || c > '9')
			return false;
		digits[i] = c - '0';
	}
	*seconds = ((digits[0] * 10 + digits[1]) * 60 + digits[2] * 10 + digits[3]) * 60;
	if (digits[0] * 10 + digits[1] > 23 || digits[2] > 5)
		return false;
	*seconds = minus ? -*seconds : *seconds;
	return true;
}

struct zones *zones_new(const struct policy_host *host) {
	struct zones *zones = calloc(1, sizeof(*zones));

	if (zones)
		zones->host = host;
	return zones;
}

void zones_free(struct zones *zones) {
	struct named_zone *named;

	if (!zones)
		return;
	while ((named = zones->first)) {
		zones->first = named->next;
		zone_free(named->zone);
		free(named);
	}
	free(zones);
}

int zones_find(const struct zones *zones, struct str name, struct zone_ref *out) {
	*out = (struct zone_ref){ 0 };
	if (name.n == 0 || str_eq(name, STR("UTC")) || offset_parse(name, &out->offset_s))
		return 0;
	for (const struct named_zone *named = zones ? zones->first : NULL; named; named = named->next) {
		if (str_eq(name, str_of(named->name))) {
			out->zone = named->zone;
			return 0;
		}
	}
	return -1;
}

static int zone_load(const struct policy_host *host, const char *name, struct zone **out, struct error *err) {
	unsigned char *data = NULL;
	size_t len = 0;
	int r;

	if (!host || !host->read_zone || host->read_zone(host->arg, name, &data, &len) < 0)
		return error_set(err, ERR_NOT_FOUND, "no time zone '%s'; names are IANA's, like Europe/Berlin", name);
	r = zone_parse(data, len, out, err);
	free(data);
	return r < 0 ? error_wrap(err, "time zone %s", name) : 0;
}

int zones_load(struct zones *zones, struct str name, struct zone_ref *out, struct error *err) {
	struct named_zone *named;

	if (zones_find(zones, name, out) == 0)
		return 0;
	if (!zone_name_ok(name))
		return error_set(err, ERR_INVALID, "'%.*s' is no time zone: an IANA name like Europe/Berlin, or +02:00",
				 (int)(name.n > 60 ? 60 : name.n), name.p);
	if (zones->n >= MAX_ZONES)
		return error_set(err, ERR_LIMIT, "more than %d time zones", MAX_ZONES);
	named = calloc(1, sizeof(*named));
	if (!named)
		return error_set(err, ERR_INTERNAL, "out of memory");
	memcpy(named->name, name.p, name.n);
	if (zone_load(zones->host, named->name, &named->zone, err) < 0) {
		free(named);
		return -1;
	}
	named->next = zones->first;
	zones->first = named;
	zones->n++;
	out->zone = named->zone;
	return 0;
}
