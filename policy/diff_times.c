/* When a pair is asked about: eras, and instants in them. See diff.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/cel_time.h"
#include "policy/condition.h"
#include "policy/dates.h"
#include "policy/diff.h"

#define DAY 86400
#define YEAR (366 * DAY)
#define MAX_TIME 253402300799 /* 9999-12-31T23:59:59Z */

/* ---- eras ---- */

struct boundaries {
	int64_t from, limit;
	int64_t at[DIFF_MAX_ERAS];
	size_t n;
	bool more;
};

/* Keeps the earliest, in order. */
static void add_boundary(void *arg, int64_t at) {
	struct boundaries *b = arg;
	size_t i = b->n;

	if (at <= b->from || at > b->limit)
		return;
	for (size_t k = 0; k < b->n; k++)
		if (b->at[k] == at)
			return;
	if (b->n == ARRAY_SIZE(b->at)) {
		b->more = true;
		if (b->at[b->n - 1] < at)
			return;
		i--;
		b->n--;
	}
	for (; i > 0 && b->at[i - 1] > at; i--)
		b->at[i] = b->at[i - 1];
	b->at[i] = at;
	b->n++;
}

/* What is far away may take effect a little before it: request.time + duration("1h") < timestamp(…). */
static void spread(struct boundaries *b, int64_t to) {
	struct boundaries copy = *b;

	for (size_t i = 0; i < copy.n; i++)
		if (copy.at[i] > to)
			add_boundary(b, copy.at[i] - DAY - 3600);
}

/* What the conditions of a pair read: dates, clocks. */
struct reading {
	struct diff_concerned *c;
	struct boundaries b;
	unsigned bits; /* of dates.h */
	bool utc;
	int64_t leap_day; /* an era of its own; INT64_MAX: none */
};

static void read_date(void *arg, int64_t at) {
	add_boundary(&((struct reading *)arg)->b, at);
}

static void read_clock(void *arg, struct str name, struct zone_ref zone) {
	struct reading *r = arg;
	struct diff_concerned *c = r->c;

	if (!zone.zone && !zone.offset_s) {
		r->utc = true;
		return;
	}
	for (size_t i = 0; i < c->n_zones; i++)
		if (str_eq(c->zones[i].name, name))
			return;
	if (c->n_zones < WINDOWS_MAX_ZONES)
		c->zones[c->n_zones++] = (struct window_zone){ name, zone };
}

/* Where clocks are held against each other, it matters when they change. */
static void add_changes_of_clocks(struct reading *r, int64_t until) {
	for (size_t i = 0; i < r->c->n_zones && r->c->n_zones + r->utc > 1; i++) {
		const struct zone *zone = r->c->zones[i].zone.zone;

		for (int64_t at = r->b.from; zone && (at = zone_next_transition(zone, at)) <= until;)
			add_boundary(&r->b, at);
	}
}

/* A midnight where the first zone is. */
static int64_t midnight(const struct diff_concerned *c, int64_t day) {
	return day * DAY - (c->n_zones ? zone_ref_offset(c->zones[0].zone, day * DAY) : 0);
}

/* Of a year. In each of them what repeats by the week is told as a week. */
static void add_months(struct reading *r) {
	struct cel_civil date = cel_civil_from_days(r->b.from / DAY);

	for (unsigned i = date.month; i < date.month + 12; i++)
		add_boundary(&r->b, midnight(r->c, cel_days_from_civil(date.year + i / 12, i % 12 + 1, 1)));
}

/* The day that a year may miss. */
static void add_leap_day(struct reading *r) {
	int64_t year = cel_civil_from_days(r->b.from / DAY).year, day;

	for (int64_t y = year; y <= year + 8; y++) {
		day = cel_days_from_civil(y, 3, 1) - 1;
		if (cel_civil_from_days(day).day != 29 || midnight(r->c, day) <= r->b.from)
			continue;
		r->leap_day = midnight(r->c, day);
		add_boundary(&r->b, r->leap_day);
		add_boundary(&r->b, r->leap_day + DAY);
		return;
	}
}

static void read_conditions(struct reading *r) {
	const struct dates_visitor visitor = { read_date, read_clock, r };
	struct diff_concerned *c = r->c;

	for (size_t i = 0; i < c->n; i++) {
		add_boundary(&r->b, c->rules[i]->not_before);
		add_boundary(&r->b, c->rules[i]->not_after);
		if (c->rules[i]->condition)
			r->bits |= dates_visit(c->rules[i]->condition, &visitor);
	}
	c->of_a_year = r->bits & (DATES_MONTHS | DATES_DAYS);
}

/* What does not repeat by the week, and so would not be seen in a while. Gives how long to look. */
static int64_t look_further(struct reading *r, int64_t look) {
	add_changes_of_clocks(r, r->b.from + YEAR);
	if (r->bits & DATES_DAYS) {
		add_leap_day(r);
		return look > YEAR ? look : YEAR;
	}
	if (r->bits & DATES_MONTHS)
		add_months(r);
	return look;
}

void diff_take_eras(struct diff_concerned *c, const struct diff_question *q) {
	struct reading r = { .c = c, .leap_day = INT64_MAX, .b = { .from = q->from, .limit = q->beyond ? MAX_TIME - 400 * (int64_t)DAY : q->to - 1 } };
	int64_t look = q->to - q->from, begin = q->from, end, of_a_year = look;
	struct boundaries *b = &r.b;

	read_conditions(&r);
	spread(b, q->to);
	if (q->beyond)
		of_a_year = look_further(&r, look);
	if (r.utc && c->n_zones && c->n_zones < WINDOWS_MAX_ZONES)
		c->zones[c->n_zones++] = (struct window_zone){ 0 };
	c->more_eras = b->more;
	for (size_t i = 0; i <= b->n && i < DIFF_MAX_ERAS; i++) {
		end = !q->beyond ? q->to : begin + (begin < r.leap_day ? of_a_year : look);
		if (i < b->n && b->at[i] < end)
			end = b->at[i];
		c->eras[c->n_eras++] = (struct era){ begin, end };
		begin = i < b->n ? b->at[i] : begin;
	}
}

/* ---- instants ---- */

static int cells_add(struct diff_cells *cells, struct diff_cell cell) {
	struct diff_cell *more;

	if (cells->n == cells->size) {
		cells->size = cells->size ? cells->size * 2 : 128;
		more = realloc(cells->list, cells->size * sizeof(*more));
		if (!more)
			return -1;
		cells->list = more;
	}
	cells->list[cells->n++] = cell;
	return 0;
}

void diff_cache_fini(struct diff_cache *cache) {
	for (uint32_t i = 0; i < cache->keys.n; i++)
		free(cache->found[i].instants);
	free(cache->found);
	names_fini(&cache->keys);
	chunks_fini(&cache->memory);
	*cache = (struct diff_cache){ 0 };
}

/* -1: memory. */
static int cache_find(struct diff_cache *cache, const struct condition *condition, struct era era, const struct universe **out) {
	const struct rule rule = { .condition = (struct condition *)condition, .not_before = INT64_MIN, .not_after = INT64_MAX };
	uint32_t before = cache->keys.n, id;
	struct universe *more;
	struct error err;
	char key[80];
	int n;

	if (before == cache->size) {
		cache->size = cache->size ? cache->size * 2 : 64;
		more = realloc(cache->found, cache->size * sizeof(*more));
		if (!more)
			return -1;
		cache->found = more;
	}
	n = snprintf(key, sizeof(key), "%p %lld %lld", (const void *)condition_program(condition), (long long)era.from, (long long)era.to);
	if (names_intern(&cache->keys, &cache->memory, key, (size_t)n, &id) < 0)
		return -1;
	*out = &cache->found[id];
	if (id != before)
		return 0;
	cache->found[id] = (struct universe){ 0 };
	return universe_add_instants_of(&cache->found[id], (const struct rule *const[]){ &rule }, 1, era.from, era.to - 1, &err);
}

static int add_instant(struct spans *list, int64_t at, struct era era) {
	return at >= era.from && at < era.to ? spans_add(list, at, at, false) : 0;
}

static int by_begin(const void *a, const void *b) {
	int64_t x = ((const struct span *)a)->from, y = ((const struct span *)b)->from;

	return x < y ? -1 : x > y;
}

/* request.time + request.lifetime < timestamp(…) changes before the constant, by the lifetime that is asked for. */
static int add_earlier(const struct diff_concerned *c, const struct condition *condition, struct era era, struct spans *list) {
	struct boundaries b = { .from = era.from, .limit = era.to + POLICY_MAX_LIFETIME };

	if (!condition_is_about(condition, CONDITION_LIFETIME))
		return 0;
	dates_visit(condition, &(struct dates_visitor){ .date = add_boundary, .arg = &b });
	for (size_t i = 0; i < b.n; i++)
		for (size_t v = 0; v < c->n_variants; v++)
			if (c->variants[v].lifetime_s && (add_instant(list, b.at[i] - c->variants[v].lifetime_s, era) < 0 ||
							  add_instant(list, b.at[i] - c->variants[v].lifetime_s + 1, era) < 0))
				return -1;
	return 0;
}

/* All instants of an era, in any order, some more than once. */
static int find_instants(const struct diff_concerned *c, struct era era, struct diff_cache *cache, struct spans *list, struct diff_stats *stats) {
	const struct universe *found;

	list->n = 0;
	if (add_instant(list, era.from, era) < 0)
		return -1;
	for (size_t i = 0; i < c->n; i++) {
		if (add_instant(list, c->rules[i]->not_before, era) < 0 || add_instant(list, c->rules[i]->not_after, era) < 0)
			return -1;
		if (!c->rules[i]->condition)
			continue;
		if (cache_find(cache, c->rules[i]->condition, era, &found) < 0)
			return -1;
		stats->sampled |= found->sampled;
		for (size_t k = 0; k < found->n_instants; k++)
			if (add_instant(list, found->instants[k], era) < 0)
				return -1;
		if (add_earlier(c, c->rules[i]->condition, era, list) < 0)
			return -1;
	}
	qsort(list->list, list->n, sizeof(*list->list), by_begin);
	return 0;
}

int diff_cells_find(const struct diff_concerned *c, struct diff_cache *cache, struct diff_cells *cells, struct diff_stats *stats) {
	struct spans list = { 0 };
	int r = 0;

	for (size_t e = 0; e < c->n_eras && r == 0; e++) {
		r = find_instants(c, c->eras[e], cache, &list, stats);
		for (size_t i = 0, next; i < list.n && r == 0; i = next) {
			for (next = i + 1; next < list.n && list.list[next].from == list.list[i].from;)
				next++;
			r = cells_add(cells, (struct diff_cell){ list.list[i].from, next < list.n ? list.list[next].from : c->eras[e].to, i > 0 });
		}
	}
	spans_fini(&list);
	stats->sampled |= c->more_eras;
	stats->of_a_year |= c->of_a_year;
	stats->instants = cells->n > stats->instants ? cells->n : stats->instants;
	return r;
}
