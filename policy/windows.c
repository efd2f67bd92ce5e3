/* See windows.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/windows.h"

#define DAY 86400
#define MAX_PER_DAY 8 /* windows of one day that make a pattern still */
#define MAX_TOLD 4    /* spans told one by one */

/* ---- spans ---- */

int spans_add(struct spans *s, int64_t from, int64_t to, bool joins) {
	struct span *more;

	if (joins && s->n && s->list[s->n - 1].to == from) {
		s->list[s->n - 1].to = to;
		return 0;
	}
	if (s->n == s->size) {
		s->size = s->size ? s->size * 2 : 16;
		more = realloc(s->list, s->size * sizeof(*more));
		if (!more)
			return -1;
		s->list = more;
	}
	s->list[s->n++] = (struct span){ from, to };
	return 0;
}

void spans_fini(struct spans *s) {
	free(s->list);
	*s = (struct spans){ 0 };
}

/* ---- days ---- */

struct day {
	bool known;
	size_t n;
	struct span windows[MAX_PER_DAY]; /* seconds since midnight, where the clocks on the wall are */
};

struct week {
	struct day days[7]; /* Sunday first */
};

/* What is known of one day: its windows between two seconds of it. */
struct look_at_day {
	unsigned weekday;
	struct span known;
	struct day day;
};

static int64_t local(const struct window_zone *zone, int64_t at) {
	return at + zone_ref_offset(zone->zone, at);
}

static int64_t floor_day(int64_t at) {
	return at - ((at % DAY) + DAY) % DAY;
}

static unsigned weekday_of(int64_t midnight) {
	return (unsigned)(((midnight / DAY + 4) % 7 + 7) % 7); /* 1970 began on a Thursday */
}

static struct span cut(struct span s, struct span to) {
	return (struct span){ s.from > to.from ? s.from : to.from, s.to < to.to ? s.to : to.to };
}

/* The part of the list that lies in an era. */
static struct spans spans_in(const struct spans *spans, struct era era) {
	size_t from = 0, to;

	while (from < spans->n && spans->list[from].from < era.from)
		from++;
	for (to = from; to < spans->n && spans->list[to].from < era.to;)
		to++;
	return (struct spans){ .list = from < to ? spans->list + from : NULL, .n = to - from };
}

/* False: too many windows. */
static bool look_at(const struct spans *in, struct era era, const struct window_zone *zone, int64_t midnight, struct look_at_day *out) {
	const struct span day = { midnight, midnight + DAY };
	struct span known = cut((struct span){ local(zone, era.from), local(zone, era.to) }, day), w;

	*out = (struct look_at_day){ .weekday = weekday_of(midnight), .known = { known.from - midnight, known.to - midnight } };
	for (size_t i = 0; i < in->n; i++) {
		w = cut((struct span){ local(zone, in->list[i].from), local(zone, in->list[i].to) }, known);
		if (w.from >= w.to)
			continue;
		if (out->day.n == MAX_PER_DAY)
			return false;
		out->day.windows[out->day.n++] = (struct span){ w.from - midnight, w.to - midnight };
	}
	return true;
}

static bool same_windows(const struct day *a, const struct day *b) {
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->windows[i].from != b->windows[i].from || a->windows[i].to != b->windows[i].to)
			return false;
	return true;
}

/* Whether what is known of a day is what the week says of it. */
static bool fits(const struct week *week, const struct look_at_day *l) {
	const struct day *day = &week->days[l->weekday];
	struct day part = { 0 };
	struct span w;

	for (size_t i = 0; i < day->n; i++) {
		w = cut(day->windows[i], l->known);
		if (w.from < w.to)
			part.windows[part.n++] = w;
	}
	return day->known && same_windows(&part, &l->day);
}

/* ---- weeks ---- */

static bool week_fits(const struct week *week, const struct spans *in, struct era era, const struct window_zone *zone) {
	struct look_at_day l;

	for (int64_t d = floor_day(local(zone, era.from)); d < local(zone, era.to); d += DAY)
		if (!look_at(in, era, zone, d, &l) || !fits(week, &l))
			return false;
	return true;
}

/* From the whole days, at least one of each name; then all must fit. */
static bool week_find(struct week *week, const struct spans *in, struct era era, const struct window_zone *zone) {
	struct look_at_day l;

	*week = (struct week){ 0 };
	for (int64_t d = floor_day(local(zone, era.from)); d < local(zone, era.to); d += DAY) {
		if (!look_at(in, era, zone, d, &l))
			return false;
		if (l.known.from > 0 || l.known.to < DAY || week->days[l.weekday].known)
			continue;
		week->days[l.weekday] = l.day;
		week->days[l.weekday].known = true;
	}
	for (size_t i = 0; i < 7; i++)
		if (!week->days[i].known)
			return false;
	return week_fits(week, in, era, zone);
}

/* All of an era, or nothing of it. */
static void week_constant(struct week *week, bool always) {
	for (size_t i = 0; i < 7; i++)
		week->days[i] = (struct day){ .known = true, .n = always, .windows = { { 0, DAY } } };
}

static bool same_week(const struct week *a, const struct week *b) {
	for (size_t i = 0; i < 7; i++)
		if (!same_windows(&a->days[i], &b->days[i]))
			return false;
	return true;
}

static bool is_constant(const struct week *week, bool always) {
	struct week constant;

	week_constant(&constant, always);
	return same_week(week, &constant);
}

/* ---- words ---- */

static void say_clock(int64_t s, struct buf *out) {
	buf_addf(out, "%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60));
	if (s % 60)
		buf_addf(out, ":%02d", (int)(s % 60));
}

static void say_zone(const struct window_zone *zone, struct buf *out) {
	buf_addc(out, ' ');
	if (zone->name.n)
		buf_add(out, zone->name.p, zone->name.n);
	else
		buf_adds(out, "UTC");
}

void windows_say_instant(int64_t at, const struct window_zone *zone, struct buf *out) {
	struct buf text = BUF_INIT(64);
	int64_t here = local(zone, at);

	buf_add_time(&text, here);
	if (text.data && text.len > 16) {
		text.data[10] = ' ';
		buf_add(out, text.data, here % 60 ? 19 : 16);
	}
	buf_fini(&text);
}

static void say_day(const struct day *day, struct buf *out) {
	if (day->n == 1 && day->windows[0].from == 0 && day->windows[0].to == DAY) {
		buf_adds(out, "all day");
		return;
	}
	for (size_t i = 0; i < day->n; i++) {
		buf_adds(out, i ? " and " : "");
		say_clock(day->windows[i].from, out);
		buf_addc(out, '-');
		say_clock(day->windows[i].to, out);
	}
}

static void say_week(const struct week *week, const struct window_zone *zone, struct buf *out) {
	static const char *const names[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	const char *between = "";
	unsigned d, last;

	for (unsigned i = 1; i <= 7; i = last + 1) { /* Monday first */
		d = i % 7;
		for (last = i; last < 7 && same_windows(&week->days[d], &week->days[(last + 1) % 7]);)
			last++;
		if (!week->days[d].n)
			continue;
		buf_adds(out, between);
		between = ", ";
		if (last - i == 6)
			buf_adds(out, "daily");
		else
			buf_adds(out, names[d]);
		if (last > i && last - i < 6)
			buf_addf(out, "-%s", names[last % 7]);
		buf_addc(out, ' ');
		say_day(&week->days[d], out);
	}
	say_zone(zone, out);
}

/* edges: where what is beyond was not looked at. */
static void say_span(struct span s, struct span edges, const struct window_zone *zone, struct buf *out) {
	bool from_begin = s.from == edges.from, to_end = s.to == edges.to;

	if (!from_begin) {
		buf_adds(out, to_end ? "from " : "");
		windows_say_instant(s.from, zone, out);
	}
	if (to_end)
		return;
	buf_adds(out, from_begin ? "until " : " to ");
	windows_say_instant(s.to, zone, out);
}

static void say_list(const struct spans *in, struct span edges, const struct window_zone *zone, struct buf *out) {
	for (size_t i = 0; i < in->n && i < MAX_TOLD; i++) {
		buf_adds(out, i ? ", " : "");
		say_span(in->list[i], edges, zone, out);
	}
	say_zone(zone, out);
	if (in->n > MAX_TOLD)
		buf_addf(out, ", and %zu times more", in->n - MAX_TOLD);
}

/* ---- eras ---- */

/* How an era is told: as a week in a zone, or (no week) span by span. */
struct telling {
	bool has_week;
	bool goes_on; /* over further eras */
	struct week week;
	const struct window_zone *zone;
	struct era era; /* from where on */
	struct spans in;
};

static bool covers_all(const struct spans *in, struct era era) {
	return in->n == 1 && in->list[0].from == era.from && in->list[0].to == era.to;
}

/* Over how many of the eras that follow a week goes on. */
static size_t goes_on_for(const struct week *week, const struct window_zone *zone, const struct spans *spans, const struct era *eras, size_t n) {
	struct spans in;
	size_t i = 0;

	for (; i < n; i++) {
		in = spans_in(spans, eras[i]);
		if (!week_fits(week, &in, eras[i], zone))
			break;
	}
	return i;
}

/* In which zone it repeats, and for the longest. eras: the n_eras that follow. */
static void tell(struct telling *t, const struct spans *spans, const struct era *eras, size_t n_eras, const struct window_zone *zones, size_t n_zones) {
	size_t longest = 0, long_for;
	struct week week;

	t->zone = zones;
	t->has_week = t->in.n == 0 || covers_all(&t->in, t->era);
	if (t->has_week) {
		week_constant(&t->week, t->in.n > 0);
		return;
	}
	for (size_t i = 0; i < n_zones; i++) {
		if (!week_find(&week, &t->in, t->era, &zones[i]))
			continue;
		long_for = goes_on_for(&week, &zones[i], spans, eras, n_eras);
		if (t->has_week && long_for <= longest)
			continue;
		t->has_week = true;
		t->week = week;
		t->zone = &zones[i];
		longest = long_for;
	}
}

/* What is said of one stretch, and until when it is so; next NULL: it does not end. */
static void say_telling(const struct telling *t, bool first, const struct telling *next, struct buf *out) {
	bool never = t->has_week && is_constant(&t->week, false), always = t->has_week && is_constant(&t->week, true);

	if (never && (!first || next))
		return; /* what stands around it says so */
	buf_adds(out, out->len ? "; " : "");
	if (never || always)
		buf_adds(out, never ? "never" : "always");
	else if (t->has_week)
		say_week(&t->week, t->zone, out);
	else
		say_list(&t->in, (struct span){ first ? t->era.from : INT64_MIN, next ? INT64_MAX : t->era.to }, t->zone, out);
	if (!first && t->has_week) {
		buf_adds(out, " from ");
		windows_say_instant(t->era.from, t->zone, out);
	}
	if (next && t->has_week) {
		buf_adds(out, " until ");
		windows_say_instant(next->era.from, t->zone, out);
	}
	if (always && (!first || next))
		say_zone(t->zone, out);
}

/* A short era may be a part of the week that is seen in the next one. */
static bool began_before(const struct telling *next, const struct telling *now) {
	return !now->goes_on && next->has_week && week_fits(&next->week, &now->in, now->era, next->zone);
}

void windows_say(const struct spans *spans, const struct era *eras, size_t n_eras, const struct window_zone *zones, size_t n_zones,
		 struct buf *out) {
	static const struct window_zone utc = { 0 };
	struct telling now = { 0 }, next;
	struct buf text = BUF_INIT(8192);
	bool first = true;

	if (!n_zones) {
		zones = &utc;
		n_zones = 1;
	}
	for (size_t i = 0; i < n_eras; i++) {
		next = (struct telling){ .era = eras[i], .in = spans_in(spans, eras[i]) };
		if (i > 0 && now.has_week && week_fits(&now.week, &next.in, eras[i], now.zone)) {
			now.goes_on = true;
			continue;
		}
		tell(&next, spans, eras + i + 1, n_eras - i - 1, zones, n_zones);
		if (i > 0 && began_before(&next, &now)) {
			next.era.from = now.era.from;
		} else if (i > 0) {
			say_telling(&now, first, &next, &text);
			first = false;
		}
		now = next;
	}
	say_telling(&now, first, NULL, &text);
	buf_adds(out, text.len ? text.data : "never");
	buf_fini(&text);
}
