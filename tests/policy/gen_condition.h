#pragma once

/*
 * Random conditions over request.time, of the shapes that policies have, and the instants around which they turn: changes of
 * the clock, ends of years, leap days, the far future. What test_horizon and test_decide_horizon make their triples of.
 */

#include "hallpass/buf.h"
#include "hallpass/cleanup.h"
#include "policy/cel_time.h"
#include "policy/zones.h"

#define HOUR 3600
#define DAY 86400

/* ---- conditions ---- */

/* What a condition may name beside request.time. */
struct gen_names {
	const char *number;	    /* an int */
	const char *absent;	    /* an int that is not there */
	const char *list;	    /* a list of ints, or NULL */
	const char *const *others; /* truths that do not depend on the time */
	uint32_t n_others;
};

struct gen {
	struct buf text;
	uint64_t state;
	int64_t anchor; /* constants lie around it */
	const char *zone;
	struct zone_ref ref;
	const struct gen_names *names;
};

static const char *const gen_zones[] = { "Europe/Berlin",	  "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
				     "Africa/Casablanca", "UTC",	      "+05:30",		     "-03:45",
				     "Pacific/Chatham" /* changes in the middle of an hour */ };

static inline uint32_t rnd(struct gen *g, uint32_t n) {
	g->state ^= g->state << 13; /* xorshift64 */
	g->state ^= g->state >> 7;
	g->state ^= g->state << 17;
	return (uint32_t)(g->state >> 32) % n;
}

static inline int64_t near_anchor(struct gen *g) {
	static const int64_t grains[] = { 1, 60, 900, 3600 };
	int64_t t = g->anchor + (int64_t)rnd(g, 3 * HOUR) - 3 * HOUR / 2;
	int64_t grain = grains[rnd(g, 4)];

	t -= ((t % grain) + grain) % grain;
	return t < CEL_TIME_MIN_S ? CEL_TIME_MIN_S : t > CEL_TIME_MAX_S ? CEL_TIME_MAX_S : t;
}

static inline void put(struct gen *g, const char *s) {
	buf_adds(&g->text, s);
}

static inline const char *order(struct gen *g) {
	static const char *const orders[] = { " < ", " <= ", " > ", " >= ", " == ", " != " };

	return orders[rnd(g, 12) < 10 ? rnd(g, 4) : 4 + rnd(g, 2)];
}

static inline void put_instant(struct gen *g) {
	static const uint32_t fractions[] = { 0, 0, 0, 500000000, 1, 999999999 };
	char text[CEL_TIME_TEXT];
	int64_t t = near_anchor(g);

	cel_time_format((struct cel_timestamp){ t, fractions[rnd(g, 6)] }, text);
	if (rnd(g, 8) == 0)
		buf_addf(&g->text, "date(\"%.10s\")", text);
	else if (rnd(g, 8) == 0)
		buf_addf(&g->text, "timestamp(%lld)", (long long)t);
	else
		buf_addf(&g->text, "timestamp(\"%s\")", text);
}

static inline void put_span(struct gen *g) {
	static const char *const spans[] = { "1s", "90s", "15m", "1h", "0.5s", "-30m", "36h", "2592000s", "1ns" };

	buf_addf(&g->text, "duration(\"%s\")", spans[rnd(g, ARRAY_SIZE(spans))]);
}

static inline void put_time(struct gen *g) {
	put(g, "request.time");
	if (rnd(g, 3) == 0) {
		put(g, rnd(g, 2) ? " + " : " - ");
		put_span(g);
	}
}

static inline void put_zone(struct gen *g) {
	if (strcmp(g->zone, "UTC") || rnd(g, 2))
		buf_addf(&g->text, "(\"%s\")", g->zone);
	else
		put(g, "()");
}

static inline void put_getter(struct gen *g, enum cel_time_field field) {
	static const char *const getters[N_CEL_TIME_FIELDS] = {
		"getFullYear", "getMonth",  "getDayOfYear", "getDayOfMonth", "getDate",
		"getDayOfWeek", "getHours", "getMinutes",   "getSeconds",    "getMilliseconds",
	};

	if (rnd(g, 5))
		put(g, "request.time");
	else {
		put(g, "(");
		put_time(g);
		put(g, ")");
	}
	buf_addf(&g->text, ".%s", getters[field]);
	put_zone(g);
}

static inline enum cel_time_field some_field(struct gen *g) {
	static const enum cel_time_field often[] = { CEL_HOURS, CEL_HOURS, CEL_MINUTES, CEL_DAY_OF_WEEK, CEL_DATE };

	return rnd(g, 4) ? often[rnd(g, 5)] : (enum cel_time_field)rnd(g, N_CEL_TIME_FIELDS);
}

/* A number the field has not far from the anchor, or one beside it. */
static inline int64_t field_value(struct gen *g, enum cel_time_field field) {
	int64_t value = cel_time_get(field, (struct cel_timestamp){ near_anchor(g), 0 }, g->ref);

	return value + (int64_t)rnd(g, 3) - 1;
}

static inline void leaf_compare(struct gen *g) {
	if (rnd(g, 4) == 0) {
		put_instant(g);
		put(g, order(g));
		put_time(g);
		return;
	}
	put_time(g);
	put(g, order(g));
	put_instant(g);
}

static inline void leaf_field(struct gen *g) {
	enum cel_time_field field = some_field(g);

	put_getter(g, field);
	put(g, order(g));
	buf_addf(&g->text, "%lld", (long long)field_value(g, field));
}

static inline void leaf_range(struct gen *g) {
	enum cel_time_field field = some_field(g);
	int64_t from = field_value(g, field);

	put_getter(g, field);
	buf_addf(&g->text, " >= %lld && ", (long long)from);
	put_getter(g, field);
	buf_addf(&g->text, " < %lld", (long long)(from + 1 + rnd(g, 9)));
}

static inline void leaf_list(struct gen *g) {
	enum cel_time_field field = some_field(g);
	unsigned n = 1 + rnd(g, 5);

	put_getter(g, field);
	if (g->names->list && rnd(g, 8) == 0) {
		buf_addf(&g->text, " in %s", g->names->list);
		return;
	}
	put(g, " in [");
	for (unsigned i = 0; i < n; i++)
		buf_addf(&g->text, "%s%lld", i ? ", " : "", (long long)field_value(g, field));
	put(g, "]");
}

static inline void leaf_minute_of_day(struct gen *g) {
	int64_t at = cel_time_get(CEL_HOURS, (struct cel_timestamp){ near_anchor(g), 0 }, g->ref) * 60;

	at += rnd(g, 60);
	put_getter(g, CEL_HOURS);
	put(g, " * 60 + ");
	put_getter(g, CEL_MINUTES);
	buf_addf(&g->text, "%s%lld", order(g), (long long)at);
}

static inline void leaf_remainder(struct gen *g) {
	static const int parts[] = { 7, 15, 20, 60, 900, 3600 };
	int part = parts[rnd(g, 6)];

	if (rnd(g, 2))
		put_getter(g, CEL_MINUTES);
	else
		put(g, "int(request.time)");
	buf_addf(&g->text, " %s %d", rnd(g, 4) ? "%" : "/", part);
	put(g, order(g));
	buf_addf(&g->text, "%u", rnd(g, (uint32_t)part));
}

static inline void leaf_since(struct gen *g) {
	static const char *const totals[] = { "getHours", "getMinutes", "getSeconds", "getMilliseconds" };

	put(g, "(request.time - ");
	put_instant(g);
	if (rnd(g, 2)) {
		buf_addf(&g->text, ").%s()", totals[rnd(g, 4)]);
		put(g, order(g));
		buf_addf(&g->text, "%d", (int)rnd(g, 120) - 60);
		return;
	}
	buf_addf(&g->text, ")%s", order(g));
	put_span(g);
}

static inline void leaf_choice(struct gen *g) {
	int64_t hour = field_value(g, CEL_HOURS);

	put_getter(g, CEL_HOURS);
	put(g, " >= (");
	leaf_compare(g);
	buf_addf(&g->text, " ? %lld : %lld)", (long long)hour, (long long)hour + (int64_t)rnd(g, 3));
}

static inline void leaf_bind(struct gen *g) {
	int64_t from = field_value(g, CEL_HOURS);

	put(g, "cel.bind(x, ");
	put_getter(g, CEL_HOURS);
	buf_addf(&g->text, ", x >= %lld && x < %lld || ", (long long)from, (long long)from + 1 + rnd(g, 4));
	put_getter(g, CEL_MINUTES);
	buf_addf(&g->text, "%sx)", order(g));
}

/* What goes through functions that the horizon follows. */
static inline void leaf_wrapped(struct gen *g) {
	static const char *const forms[] = {
		"has(request.time) && request.time %s timestamp('%s')",
		"timestamp(request.time) %s timestamp('%s')",
		"dyn(request.time) %s timestamp('%s')",
		"-(request.time - timestamp('%2$s')) %1$s duration('10m')",
		"duration(request.time - timestamp('%2$s')) %1$s duration('-90s')",
		"duration('20m') + request.time - duration('5m') %s timestamp('%s')",
		"timestamp('%2$s') - request.time %1$s duration('5m') - duration('1h')",
		"request.time - (request.time - timestamp('%2$s')) %1$s request.time",
		"int(request.time) - 60 %s int(timestamp('%s'))",
		"-int(request.time) %s -int(timestamp('%s'))",
		"timestamp(int(request.time) / 60 * 60) %s timestamp('%s')",
		"dyn(request.time.getMinutes()) %s 11.5",
		"dyn(request.time.getSeconds()) %s 30u",
		"29.0 %s dyn(request.time.getMinutes())",
		"dyn(request.time) %s '%s'",
		"(request.time < timestamp('%2$s')) %1$s (request.time.getMinutes() < 30)",
		"request.time.getMinutes() in {30: 'a', 31: 'b', 32u: 'c'} && request.time %s timestamp('%s')",
		"request.time - timestamp('%2$s') in [duration('1s'), duration('90s')] || request.time %1$s timestamp('%2$s')",
		"!(request.time + duration('1s') in [timestamp('%2$s'), timestamp('2026-01-01T00:00:00Z')]) && request.time %1$s timestamp('%2$s')",
		"(request.time < timestamp('%2$s')) in [true, 1 == 2] && request.time %1$s timestamp('%2$s')",
		"cel.bind(t, request.time + duration('1m'), cel.bind(u, t, u %s timestamp('%s')))",
		"cel.bind(s, '%2$s', s.startsWith('2') && request.time %1$s timestamp(s))",
		"cel.bind(l, ['%2$s', 'x'], cel.bind(t, request.time, l.exists(s, s == 'x') && t %1$s timestamp(l[0])))",
	};
	char text[CEL_TIME_TEXT];

	cel_time_format((struct cel_timestamp){ near_anchor(g), 0 }, text);
	buf_addf(&g->text, forms[rnd(g, ARRAY_SIZE(forms))], order(g), text);
}

static inline void leaf_other(struct gen *g) {
	put(g, g->names->others[rnd(g, g->names->n_others)]);
}

/* An error that comes or goes with the time. */
static inline void leaf_late_error(struct gen *g) {
	if (rnd(g, 2)) {
		put(g, "1000 / (");
		put_getter(g, CEL_MINUTES);
		buf_addf(&g->text, " - %u)", rnd(g, 60));
		buf_addf(&g->text, " > %d", (int)rnd(g, 200) - 100);
		return;
	}
	put(g, "(");
	leaf_compare(g);
	buf_addf(&g->text, " ? %s : %s) > 5", g->names->absent, g->names->number);
}

/* What the horizon says nothing of: no policy may have it (cel-unbounded), and no second of it may be promised. */
static inline void leaf_blind(struct gen *g) {
	static const char *const forms[] = {
		"string(request.time) %s '%.13s'",
		"timestamp(string(request.time)) %s timestamp('%s')",
		"string(request.time.getMinutes()) %s '3'",
		"[request.time.getHours(), 7].exists(h, h %s 12)",
		"[1, 2, 3].all(x, x %s request.time.getMinutes() %% 3)",
		"[0, 1, 2, 3, 4, 5, 6].filter(d, d == request.time.getDayOfWeek()).size() %s 0",
		"[5, 6, 7, 8, 9, 10, 11][request.time.getDayOfWeek()] %s 7",
		"{0: 'a', 1: 'b'}[request.time.getMinutes() / 30] %s 'a'",
		"math.greatest(request.time.getHours(), 12) %s 13",
		"double(request.time.getMinutes()) %s 29.5",
		"uint(request.time.getSeconds()) %s 30u",
		"size(string(request.time)) %s 20",
		"cel.block([request.time.getHours()], cel.index(0) %s 12)",
		"optional.of(request.time.getMinutes()).orValue(0) %s 30",
		"lists.range(request.time.getMinutes()).size() %s 30",
		"date(string(request.time).substring(0, 10)) %s timestamp('%s')",
		"duration(string(request.time.getMinutes()) + 'm') %s duration('30m')",
		"'a'.charAt(request.time.getSeconds() / 59) %s 'a'",
		"cel.bind(t, string(request.time), t %s '%.16s')",
		"'%%d'.format([request.time.getMinutes()]) %s '30'",
	};
	char text[CEL_TIME_TEXT];

	cel_time_format((struct cel_timestamp){ near_anchor(g), 0 }, text);
	buf_addf(&g->text, forms[rnd(g, ARRAY_SIZE(forms))], order(g), text);
}

static inline void put_condition(struct gen *g, unsigned depth) {
	static void (*const leaves[])(struct gen *) = { leaf_compare, leaf_compare,  leaf_field,	 leaf_field,
							leaf_range,   leaf_list,     leaf_minute_of_day, leaf_remainder,
							leaf_since,   leaf_choice,   leaf_other,	 leaf_other,
							leaf_range,   leaf_bind,     leaf_wrapped };
	unsigned kind = depth ? rnd(g, 10) : 9;
	unsigned n = 2 + rnd(g, 3);

	if (kind >= 8) {
		leaves[rnd(g, ARRAY_SIZE(leaves))](g);
		return;
	}
	if (kind == 7) {
		put(g, "(");
		put_condition(g, depth - 1);
		put(g, ") ? (");
		put_condition(g, depth - 1);
		put(g, ") : (");
		put_condition(g, depth - 1);
		put(g, ")");
		return;
	}
	if (kind == 6) {
		put(g, "!(");
		put_condition(g, depth - 1);
		put(g, ")");
		return;
	}
	if (kind == 5) {
		put(g, "(");
		put_condition(g, depth - 1);
		put(g, rnd(g, 2) ? ") == (" : ") != (");
		put_condition(g, depth - 1);
		put(g, ")");
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		put(g, i == 0 ? "(" : kind < 3 ? ") && (" : ") || (");
		put_condition(g, depth - 1);
	}
	put(g, ")");
}

/* One of every kind. blind: whether it may be what no policy may have. True: it has something of that. */
static inline bool put_some_condition(struct gen *g, bool may_be_blind) {
	bool blind = may_be_blind && rnd(g, 50) == 0;

	if (blind) {
		leaf_blind(g);
		put(g, rnd(g, 2) ? " && " : " || ");
	}
	if (rnd(g, 12) == 0)
		leaf_late_error(g);
	else
		put_condition(g, rnd(g, 4));
	return blind;
}

/* ---- instants: changes of the clock, ends of years, leap days, the far future ---- */

static inline int64_t some_transition(struct gen *g) {
	int64_t t = 1767225600; /* 2026-01-01 */

	if (!g->ref.zone)
		return t + (int64_t)rnd(g, 365) * DAY;
	for (unsigned i = rnd(g, 4); i > 0 && t < INT64_MAX; i--)
		t = zone_next_transition(g->ref.zone, t);
	return t == INT64_MAX ? 1767225600 : t;
}

static inline int64_t some_anchor(struct gen *g) {
	static const int64_t years[] = { 1704067200, 1767225600, 1798761600, 4102444800, 2145916800, 32503680000 };
	int64_t t;

	switch (rnd(g, 8)) {
	case 0:
		return years[rnd(g, ARRAY_SIZE(years))]; /* 1 January 2024, 2026, 2027, 2100, 2038, 3000 */
	case 1:
		t = cel_days_from_civil(rnd(g, 2) ? 2028 : 2024, 2, 28) * DAY;
		return t + (1 + rnd(g, 2)) * DAY;
	case 2:
		return cel_days_from_civil(2100 + 100 * rnd(g, 30), 2, 28) * DAY + DAY; /* leap or not */
	case 3: /* after 2037 the rule of the zone's footer counts */
		t = 2145916800 + (int64_t)rnd(g, 100) * 365 * DAY;
		t = g->ref.zone ? zone_next_transition(g->ref.zone, t) : t;
		return t == INT64_MAX ? 4000000000 : t;
	case 4:
		return 1767225600 + (int64_t)rnd(g, 366 * DAY);
	default:
		return some_transition(g);
	}
}

