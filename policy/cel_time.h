#pragma once

/*
 * Exact time: CEL's timestamps and durations.
 *
 * Owns the calendar (proleptic Gregorian, no leap seconds), the textual forms
 * and the checked arithmetic. Knows nothing of expressions; zones come from
 * zones.h. Nothing here allocates, and nothing asks what time it is.
 *
 * A timestamp is whole seconds since 1970-01-01T00:00:00Z, rounded down, and
 * the nanoseconds after them: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z.
 * A duration is an int64_t of nanoseconds (about 292 years either way).
 *
 * Functions that can fail return false and leave *out alone; there is only one
 * way to fail for each, said at the function.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hallpass/buf.h"
#include "policy/zones.h"

#define CEL_TIME_MIN_S (-62135596800LL) /* 0001-01-01T00:00:00Z */
#define CEL_TIME_MAX_S 253402300799LL	/* 9999-12-31T23:59:59Z */
#define CEL_NS_PER_S 1000000000LL

struct cel_timestamp {
	int64_t s;   /* CEL_TIME_MIN_S..CEL_TIME_MAX_S */
	uint32_t ns; /* 0..999999999, counted forwards before 1970, too */
};

/* Negative, zero or positive: a is before, at, after b. */
static inline int cel_time_compare(struct cel_timestamp a, struct cel_timestamp b) {
	if (a.s != b.s)
		return a.s < b.s ? -1 : 1;
	return (a.ns > b.ns) - (a.ns < b.ns);
}

/* timestamp(int): seconds since the epoch. False: out of range. int(timestamp) is the field s. */
bool cel_time_from_unix(int64_t s, struct cel_timestamp *out);

/* t + d and t - d; false: the result is out of range. */
bool cel_time_add(struct cel_timestamp t, int64_t d, struct cel_timestamp *out);
bool cel_time_sub(struct cel_timestamp t, int64_t d, struct cel_timestamp *out);
/* a - b as nanoseconds; false: it does not fit. */
bool cel_time_diff(struct cel_timestamp a, struct cel_timestamp b, int64_t *out);

/* d + e, d - e, -d; false: out of range. */
bool cel_duration_add(int64_t d, int64_t e, int64_t *out);
bool cel_duration_sub(int64_t d, int64_t e, int64_t *out);
bool cel_duration_negate(int64_t d, int64_t *out);

/*
 * RFC 3339 §5.6, the strict form: upper-case T and Z, seconds required and at most 59,
 * at most nine digits of fraction. False: not that, or out of range once the offset is applied.
 */
bool cel_time_parse(struct str text, struct cel_timestamp *out);

/* IAM's date("YYYY-MM-DD"): midnight UTC. False: not such a day. */
bool cel_time_parse_date(struct str text, struct cel_timestamp *out);

/*
 * duration(string): a sign, then one or more of decimal number and unit (h m s ms us µs ns), or a bare 0.
 * Digits past the nanosecond are dropped. False: not that, or it does not fit.
 */
bool cel_duration_parse(struct str text, int64_t *out);

/* string(timestamp): UTC with a Z, the fraction without trailing zeros. Gives the length; NUL-terminated. */
#define CEL_TIME_TEXT 32
size_t cel_time_format(struct cel_timestamp t, char out[CEL_TIME_TEXT]);

/* string(duration): decimal seconds, "5400s", "-1.5s". Gives the length; NUL-terminated. */
#define CEL_DURATION_TEXT 32
size_t cel_duration_format(int64_t d, char out[CEL_DURATION_TEXT]);

/* The getters of a timestamp, in CEL's counting. */
enum cel_time_field {
	CEL_FULL_YEAR,
	CEL_MONTH,	  /* 0..11 */
	CEL_DAY_OF_YEAR,  /* 0..365 */
	CEL_DAY_OF_MONTH, /* 0..30 */
	CEL_DATE,	  /* 1..31 */
	CEL_DAY_OF_WEEK,  /* 0..6, Sunday first */
	CEL_HOURS,
	CEL_MINUTES,
	CEL_SECONDS,
	CEL_MILLISECONDS, /* 0..999 */
	N_CEL_TIME_FIELDS
};

/* "getHours" and so on; -1: no getter has that name. Those of a duration are the last four. */
int cel_time_field_parse(struct str name, enum cel_time_field *out);

/* One field of an instant on the clock of a zone. Total: years 0 and 10000 can result. */
int64_t cel_time_get(enum cel_time_field field, struct cel_timestamp t, struct zone_ref zone);

/* A getter of a duration: hours, minutes, seconds are totals, rounded towards zero; milliseconds the part below a second. */
int64_t cel_duration_get(enum cel_time_field field, int64_t d);

/*
 * The first second after s at which the field could have another value than at s: the next full
 * unit of the zone's clock or the zone's next transition, whichever is first. Milliseconds change
 * within a second, so for them it is s + 1 and the value is not constant before.
 */
int64_t cel_time_next_change(enum cel_time_field field, int64_t s, struct zone_ref zone);

/* Days since 1970-01-01 of a date, any year within ±20000; month 1..12, day 1..31. And the way back. */
int64_t cel_days_from_civil(int64_t year, unsigned month, unsigned day);

struct cel_civil {
	int64_t year;
	unsigned month, day; /* 1.. */
};
struct cel_civil cel_civil_from_days(int64_t days);
