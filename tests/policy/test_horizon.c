/*
 * horizon: what is said to hold for a while holds at every second of it (P2), by brute force.
 *
 * HALLPASS_HORIZON_TRIPLES: how many random (condition, zone, instant) triples; HALLPASS_HORIZON_SEED: where they
 * begin; HALLPASS_HORIZON_SHOW=1: prints conditions whose horizon ends earlier than it had to.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>
#include "hallpass/cleanup.h"
#include "policy/cel_time.h"
#include "policy/horizon.h"
#include "policy/zones.h"
#include "tests/policy/load.h"

#define TRIPLES 8000
#define SLOW_TRIPLES 150 /* under valgrind */
#define SEED 20261126
#define HOUR 3600
#define DAY 86400

/* ---- the world that conditions speak of ---- */

enum { TIME, USER, PORT, GONE, HIDDEN, FLAG, LEVELS, N_SLOTS };

static const struct {
	const char *name;
	const struct cel_type *type;
} variables[] = {
	[TIME] = { "request.time", &cel_timestamp }, [USER] = { "user", &cel_string },	   [PORT] = { "port", &cel_int },
	[GONE] = { "gone", &cel_int },		     [HIDDEN] = { "hidden", &cel_int },	   [FLAG] = { "flag", &cel_bool },
	[LEVELS] = { "levels", &cel_list_dyn },
};

struct world {
	struct cel_env *env;
	struct zones *zones;
	struct cel_value slots[N_SLOTS], levels[3];
	struct cel_list list;
	struct cel_activation activation;
	struct cel_arena arena;
};

static int world_new(void **state) {
	static struct world w;
	struct error err;
	unsigned slot;

	assert_int_equal(cel_env_new(CEL_LIB_ALL, &w.env, &err), 0);
	w.zones = zones_new(&test_host);
	cel_env_zones(w.env, w.zones);
	for (unsigned i = 0; i < N_SLOTS; i++)
		assert_int_equal(cel_env_variable(w.env, variables[i].name, variables[i].type, &slot, &err), 0);
	for (int i = 0; i < 3; i++)
		w.levels[i] = cel_of_int(7 + i);
	w.list = (struct cel_list){ 3, w.levels };
	w.slots[USER] = cel_of_string("alice", 5);
	w.slots[PORT] = cel_of_int(2222);
	w.slots[HIDDEN] = cel_unknown("hidden");
	w.slots[FLAG] = cel_of_bool(true);
	w.slots[LEVELS] = cel_of_list(&w.list);
	w.activation.slots = w.slots;
	assert_int_equal(cel_arena_init(&w.arena, 65536, 65536, &err), 0);
	*state = &w;
	return 0;
}

static int world_free(void **state) {
	struct world *w = *state;

	cel_arena_fini(&w->arena);
	cel_env_free(w->env);
	zones_free(w->zones);
	return 0;
}

static struct cel_program *compile(const struct world *w, struct str text) {
	struct cel_program *program;
	struct cel_error err;

	if (cel_compile(w->env, text, CEL_WANT_BOOL, NULL, &program, &err) < 0)
		fail_msg("%s: %u:%u: %s", text.p, err.line, err.column, err.message);
	return program;
}

enum answer { FALSE, TRUE, ERRS };

static enum answer ask(struct world *w, const struct cel_program *program, int64_t s, uint32_t ns) {
	struct cel_value v;

	w->slots[TIME] = cel_of_timestamp(s, ns);
	cel_arena_reset(&w->arena);
	v = cel_eval(program, &w->activation, &w->arena);
	return v.kind != CEL_BOOL ? ERRS : v.b ? TRUE : FALSE;
}

static int64_t until(struct world *w, const struct cel_program *program, int64_t now, uint32_t ns, int64_t limit, bool want) {
	w->slots[TIME] = cel_of_timestamp(now, ns);
	cel_arena_reset(&w->arena);
	return horizon_until(program, &w->activation, TIME, limit, want, &w->arena);
}

/* ---- random conditions, of the shapes that policies have ---- */

struct gen {
	struct buf text;
	uint64_t state;
	int64_t anchor; /* constants lie around it */
	const char *zone;
	struct zone_ref ref;
};

static const char *const zones[] = { "Europe/Berlin",	  "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
				     "Africa/Casablanca", "UTC",	      "+05:30",		     "-03:45",
				     "Pacific/Chatham" /* changes in the middle of an hour */ };

static uint32_t rnd(struct gen *g, uint32_t n) {
	g->state ^= g->state << 13; /* xorshift64 */
	g->state ^= g->state >> 7;
	g->state ^= g->state << 17;
	return (uint32_t)(g->state >> 32) % n;
}

static int64_t near_anchor(struct gen *g) {
	static const int64_t grains[] = { 1, 60, 900, 3600 };
	int64_t t = g->anchor + (int64_t)rnd(g, 3 * HOUR) - 3 * HOUR / 2;
	int64_t grain = grains[rnd(g, 4)];

	t -= ((t % grain) + grain) % grain;
	return t < CEL_TIME_MIN_S ? CEL_TIME_MIN_S : t > CEL_TIME_MAX_S ? CEL_TIME_MAX_S : t;
}

static void put(struct gen *g, const char *s) {
	buf_adds(&g->text, s);
}

static const char *order(struct gen *g) {
	static const char *const orders[] = { " < ", " <= ", " > ", " >= ", " == ", " != " };

	return orders[rnd(g, 12) < 10 ? rnd(g, 4) : 4 + rnd(g, 2)];
}

static void put_instant(struct gen *g) {
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

static void put_span(struct gen *g) {
	static const char *const spans[] = { "1s", "90s", "15m", "1h", "0.5s", "-30m", "36h", "2592000s", "1ns" };

	buf_addf(&g->text, "duration(\"%s\")", spans[rnd(g, ARRAY_SIZE(spans))]);
}

static void put_time(struct gen *g) {
	put(g, "request.time");
	if (rnd(g, 3) == 0) {
		put(g, rnd(g, 2) ? " + " : " - ");
		put_span(g);
	}
}

static void put_zone(struct gen *g) {
	if (strcmp(g->zone, "UTC") || rnd(g, 2))
		buf_addf(&g->text, "(\"%s\")", g->zone);
	else
		put(g, "()");
}

static void put_getter(struct gen *g, enum cel_time_field field) {
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

static enum cel_time_field some_field(struct gen *g) {
	static const enum cel_time_field often[] = { CEL_HOURS, CEL_HOURS, CEL_MINUTES, CEL_DAY_OF_WEEK, CEL_DATE };

	return rnd(g, 4) ? often[rnd(g, 5)] : (enum cel_time_field)rnd(g, N_CEL_TIME_FIELDS);
}

/* A number the field has not far from the anchor, or one beside it. */
static int64_t field_value(struct gen *g, enum cel_time_field field) {
	int64_t value = cel_time_get(field, (struct cel_timestamp){ near_anchor(g), 0 }, g->ref);

	return value + (int64_t)rnd(g, 3) - 1;
}

static void leaf_compare(struct gen *g) {
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

static void leaf_field(struct gen *g) {
	enum cel_time_field field = some_field(g);

	put_getter(g, field);
	put(g, order(g));
	buf_addf(&g->text, "%lld", (long long)field_value(g, field));
}

static void leaf_range(struct gen *g) {
	enum cel_time_field field = some_field(g);
	int64_t from = field_value(g, field);

	put_getter(g, field);
	buf_addf(&g->text, " >= %lld && ", (long long)from);
	put_getter(g, field);
	buf_addf(&g->text, " < %lld", (long long)(from + 1 + rnd(g, 9)));
}

static void leaf_list(struct gen *g) {
	enum cel_time_field field = some_field(g);
	unsigned n = 1 + rnd(g, 5);

	put_getter(g, field);
	if (rnd(g, 8) == 0) {
		put(g, " in levels");
		return;
	}
	put(g, " in [");
	for (unsigned i = 0; i < n; i++)
		buf_addf(&g->text, "%s%lld", i ? ", " : "", (long long)field_value(g, field));
	put(g, "]");
}

static void leaf_minute_of_day(struct gen *g) {
	int64_t at = cel_time_get(CEL_HOURS, (struct cel_timestamp){ near_anchor(g), 0 }, g->ref) * 60;

	at += rnd(g, 60);
	put_getter(g, CEL_HOURS);
	put(g, " * 60 + ");
	put_getter(g, CEL_MINUTES);
	buf_addf(&g->text, "%s%lld", order(g), (long long)at);
}

static void leaf_remainder(struct gen *g) {
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

static void leaf_since(struct gen *g) {
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

static void leaf_choice(struct gen *g) {
	int64_t hour = field_value(g, CEL_HOURS);

	put_getter(g, CEL_HOURS);
	put(g, " >= (");
	leaf_compare(g);
	buf_addf(&g->text, " ? %lld : %lld)", (long long)hour, (long long)hour + (int64_t)rnd(g, 3));
}

static void leaf_bind(struct gen *g) {
	int64_t from = field_value(g, CEL_HOURS);

	put(g, "cel.bind(x, ");
	put_getter(g, CEL_HOURS);
	buf_addf(&g->text, ", x >= %lld && x < %lld || ", (long long)from, (long long)from + 1 + rnd(g, 4));
	put_getter(g, CEL_MINUTES);
	buf_addf(&g->text, "%sx)", order(g));
}

static void leaf_other(struct gen *g) {
	static const char *const others[] = { "user == \"alice\"", "user == \"bob\"", "port > 1024", "port < 1024",
					      "flag",		   "gone == 1",	      "hidden > 3",  "1 / 0 > 0",
					      "user.startsWith(\"al\")", "levels[9] == 1" };

	put(g, others[rnd(g, ARRAY_SIZE(others))]);
}

/* An error that comes or goes with the time. */
static void leaf_late_error(struct gen *g) {
	if (rnd(g, 2)) {
		put(g, "1000 / (");
		put_getter(g, CEL_MINUTES);
		buf_addf(&g->text, " - %u)", rnd(g, 60));
		buf_addf(&g->text, " > %d", (int)rnd(g, 200) - 100);
		return;
	}
	put(g, "(");
	leaf_compare(g);
	put(g, " ? gone : port) > 5");
}

static void condition(struct gen *g, unsigned depth) {
	static void (*const leaves[])(struct gen *) = { leaf_compare, leaf_compare,  leaf_field,	 leaf_field,
							leaf_range,   leaf_list,     leaf_minute_of_day, leaf_remainder,
							leaf_since,   leaf_choice,   leaf_other,	 leaf_other,
							leaf_range,   leaf_bind };
	unsigned kind = depth ? rnd(g, 10) : 9;
	unsigned n = 2 + rnd(g, 3);

	if (kind >= 8) {
		leaves[rnd(g, ARRAY_SIZE(leaves))](g);
		return;
	}
	if (kind == 7) {
		put(g, "(");
		condition(g, depth - 1);
		put(g, ") ? (");
		condition(g, depth - 1);
		put(g, ") : (");
		condition(g, depth - 1);
		put(g, ")");
		return;
	}
	if (kind == 6) {
		put(g, "!(");
		condition(g, depth - 1);
		put(g, ")");
		return;
	}
	if (kind == 5) {
		put(g, "(");
		condition(g, depth - 1);
		put(g, rnd(g, 2) ? ") == (" : ") != (");
		condition(g, depth - 1);
		put(g, ")");
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		put(g, i == 0 ? "(" : kind < 3 ? ") && (" : ") || (");
		condition(g, depth - 1);
	}
	put(g, ")");
}

/* ---- random instants: changes of the clock, ends of years, leap days, the far future ---- */

static int64_t some_transition(struct gen *g) {
	int64_t t = 1767225600; /* 2026-01-01 */

	if (!g->ref.zone)
		return t + (int64_t)rnd(g, 365) * DAY;
	for (unsigned i = rnd(g, 4); i > 0 && t < INT64_MAX; i--)
		t = zone_next_transition(g->ref.zone, t);
	return t == INT64_MAX ? 1767225600 : t;
}

static int64_t some_anchor(struct gen *g) {
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

/* ---- brute force ---- */

struct tally {
	unsigned long triples, wants[2], followed, tight, seconds, unbounded;
};

/* The first second in which `want` is not what is evaluated, looking at its first and last nanosecond and two between. */
static int64_t brute(struct world *w, const struct cel_program *program, int64_t now, uint32_t ns, int64_t limit, bool want) {
	const enum answer yes = want ? TRUE : FALSE;

	for (int64_t s = now; s <= limit; s++) {
		const uint32_t looks[] = { s == now ? ns : 0, 1, 500000000, 999999999 };

		for (size_t i = 0; i < ARRAY_SIZE(looks); i++)
			if (looks[i] >= looks[0] && ask(w, program, s, looks[i]) != yes)
				return s;
	}
	return INT64_MAX;
}

/* An instant after which the condition turns before the limit, where a few tries find one. */
static void some_window(struct world *w, struct gen *g, const struct cel_program *program, int64_t *now, int64_t *limit) {
	for (int i = 0; i < 20; i++) {
		*now = g->anchor + (int64_t)rnd(g, 3 * HOUR) - 3 * HOUR / 2;
		*limit = *now + 1 + rnd(g, rnd(g, 4) ? 900 : HOUR);
		if (ask(w, program, *now, 0) != ask(w, program, *limit, 0))
			break;
	}
	*limit += rnd(g, 300);
}

static void check_triple(struct world *w, struct gen *g, const struct cel_program *program, struct tally *tally) {
	int64_t now, limit, said, is;
	uint32_t ns = rnd(g, 3) ? 0 : rnd(g, 1000000000);
	enum answer at_now;
	bool want;

	some_window(w, g, program, &now, &limit);
	at_now = ask(w, program, now, ns);
	want = at_now == TRUE;

	if (at_now == ERRS)
		return;
	said = until(w, program, now, ns, limit, want);
	is = brute(w, program, now, ns, limit, want);
	if (said > is)
		fail_msg("%s\nat %lld.%09u: said to be %s until %lld (limit %lld), but it is not in second %lld", g->text.data,
			 (long long)now, ns, want ? "true" : "false", (long long)said, (long long)limit, (long long)is);
	if (said < is && getenv("HALLPASS_HORIZON_SHOW"))
		print_message("loose: %s\n  at %lld.%09u until %lld instead of %lld\n", g->text.data, (long long)now, ns,
			      (long long)said, (long long)(is == INT64_MAX ? limit : is));
	tally->triples++;
	tally->wants[want]++;
	if (!horizon_blind_spot(program, TIME)) {
		tally->followed++;
		tally->tight += said == is;
	}
	tally->unbounded += is == INT64_MAX;
	tally->seconds += (unsigned long)((is == INT64_MAX ? limit : is) - now);
}

static unsigned long number(const char *variable, unsigned long otherwise) {
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static void test_P2_what_is_sure_is_so_at_every_second(void **state) {
	struct world *w = *state;
	unsigned long n = number("HALLPASS_HORIZON_TRIPLES", getenv("HALLPASS_SLOW") ? SLOW_TRIPLES : TRIPLES);
	unsigned long seed = number("HALLPASS_HORIZON_SEED", SEED);
	struct gen g = { .state = seed * 0x9E3779B97F4A7C15u + 1 };
	struct tally tally = { 0 };
	struct error err;

	while (tally.triples < n) {
		struct cel_program *program;

		g.zone = zones[rnd(&g, ARRAY_SIZE(zones))];
		assert_int_equal(zones_load(w->zones, str_of(g.zone), &g.ref, &err), 0);
		g.anchor = some_anchor(&g);
		g.text = BUF_INIT(65536);
		if (rnd(&g, 12) == 0)
			leaf_late_error(&g);
		else
			condition(&g, rnd(&g, 4));
		program = compile(w, (struct str){ g.text.data, g.text.len });
		for (int i = 0; i < 4; i++)
			check_triple(w, &g, program, &tally);
		cel_program_free(program);
		buf_fini(&g.text);
	}
	print_message("%lu triples (seed %lu), %lu for true, %lu for false, %lu of them past the limit; %lu seconds looked at; "
		      "of the %lu that a policy may say %.2f %% end at the very last second\n",
		      tally.triples, seed, tally.wants[1], tally.wants[0], tally.unbounded, tally.seconds, tally.followed,
		      100.0 * (double)tally.tight / (double)tally.followed);
	assert_true(tally.followed * 100 >= tally.triples * 90 && tally.tight * 100 >= tally.followed * 95);
}

/* ---- by hand ---- */

struct row {
	const char *condition, *now;
	int64_t limit; /* seconds after now */
	bool want;
	int64_t until; /* seconds after now; NEVER: through the limit */
};

#define NEVER INT64_MAX
#define BERLIN_8_TO_18 "request.time.getHours('Europe/Berlin') >= 8 && request.time.getHours('Europe/Berlin') < 18"
#define AT_NOON "timestamp('2026-06-01T12:00:00Z')"

static const struct row rows[] = {
	/* boundary seconds */
	{ "request.time < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "request.time <= " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 60 }, /* noon and a nanosecond is too late */
	{ "request.time < timestamp('2026-06-01T12:00:00.5Z')", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "request.time < timestamp('2026-06-01T12:00:00.999999999Z')", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "request.time > " AT_NOON, "2026-06-01T11:59:00Z", 3600, false, 60 },
	{ "request.time >= " AT_NOON, "2026-06-01T11:59:00Z", 3600, false, 60 },
	{ "request.time == " AT_NOON, "2026-06-01T11:59:00Z", 3600, false, 60 },
	{ "request.time != " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "request.time < " AT_NOON, "2026-06-01T11:59:00Z", 59, true, NEVER },
	{ "request.time < " AT_NOON, "2026-06-01T11:59:00Z", 60, true, 60 },
	/* the rest of the second that it is */
	{ "request.time < timestamp('2026-06-01T12:00:00.7Z')", "2026-06-01T12:00:00.2Z", 3600, true, 0 },
	{ "request.time > timestamp('2026-06-01T12:00:00.7Z')", "2026-06-01T12:00:00.2Z", 3600, false, 0 },
	{ "request.time > timestamp('2026-06-01T12:00:00.7Z')", "2026-06-01T12:00:00.8Z", 3600, true, NEVER },
	{ "request.time.getMilliseconds() < 500", "2026-06-01T12:00:00Z", 3600, true, 0 },
	{ "request.time.getMilliseconds() >= 500", "2026-06-01T12:00:00.5Z", 3600, true, 1 },
	/* +/- durations, differences */
	{ "request.time + duration('60s') < " AT_NOON, "2026-06-01T11:58:00Z", 3600, true, 60 },
	{ "duration('60s') + request.time < " AT_NOON, "2026-06-01T11:58:00Z", 3600, true, 60 },
	{ "request.time - duration('0.5s') < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "request.time + -duration('60s') < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 120 },
	{ "request.time - " AT_NOON " < duration('90s')", "2026-06-01T12:00:00Z", 3600, true, 90 },
	{ AT_NOON " - request.time > duration('90s')", "2026-06-01T11:58:00Z", 3600, true, 30 },
	{ "(request.time - " AT_NOON ").getMinutes() < 2", "2026-06-01T12:00:00Z", 3600, true, 120 },
	{ "request.time - duration('2592000s') < date('2026-06-01')", "2026-06-30T23:59:00Z", 3600, true, 60 },
	{ "int(request.time) < 1780315200", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "int(request.time) % 3600 < 1800", "2026-06-01T12:20:00Z", 3600, true, 600 },
	{ "request.time.getHours() * 60 + request.time.getMinutes() < 18 * 60 + 45", "2026-06-01T18:00:00Z", 7200, true, 2700 },
	{ "request.time.getMinutes() % 20 != 7", "2026-06-01T12:00:00Z", 3600, true, 420 },
	{ "request.time.getMinutes() / 15 == 1", "2026-06-01T12:15:00Z", 3600, true, 900 },
	{ "request.time.getSeconds() % 7 < 8", "2026-06-01T12:00:00Z", 3600, true, NEVER },
	{ "-request.time.getMinutes() > -30", "2026-06-01T12:00:00Z", 3600, true, 1800 },
	{ "0 - int(request.time) > -1780315200", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "-(request.time - " AT_NOON ") > duration('-90s')", "2026-06-01T12:00:00Z", 3600, true, 90 },
	{ "timestamp(request.time) < duration(duration('60s')) + " AT_NOON, "2026-06-01T12:00:00Z", 3600, true, 60 },
	{ "int(request.time.getHours()) < 13", "2026-06-01T12:00:00Z", 7200, true, 3600 },
	{ "dyn(request.time) < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "duration(request.time - " AT_NOON ") < duration('90s')", "2026-06-01T12:00:00Z", 3600, true, 90 },
	{ "(30 - request.time.getMinutes()) % 40 > 0", "2026-06-01T12:00:00Z", 3600, true, 1800 },
	{ "(30 - request.time.getMinutes()) % 7 > -7", "2026-06-01T12:00:00Z", 3600, true, NEVER },
	{ "(request.time.getMinutes() - 30) / 7 <= 0", "2026-06-01T12:00:00Z", 3600, true, 37 * 60 },
	{ "(request.time - " AT_NOON ").getMilliseconds() > -1000", "2026-06-01T11:59:58Z", 3600, true, NEVER },
	{ "request.time.getSeconds() in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "2026-06-01T12:00:00Z", 3600, true, 10 },
	{ "int(request.time) in [1780315200, 1780315201]", "2026-06-01T12:00:00Z", 86400, true, 2 },
	/* what overflows, and what cannot be told, is not believed */
	{ "int(request.time) * 5180749372 > 0", "2026-06-01T12:00:00Z", 86400, true, 1001 },
	{ "port / (request.time.getMinutes() + 1) > 1", "2026-06-01T12:00:00Z", 3600, true, NEVER },
	{ "port % (request.time.getMinutes() + 1) == 0", "2026-06-01T12:00:00Z", 3600, true, 120 },
	{ "1000 / (request.time.getMinutes() - 30) < 0", "2026-06-01T12:00:00Z", 3600, true, 1800 }, /* then it errs */
	{ "1000 % (request.time.getMinutes() - 30) >= 0", "2026-06-01T12:00:00Z", 3600, true, 1800 },
	{ "1000 % (request.time.getMinutes() - 30) == 10", "2026-06-01T12:00:00Z", 3600, true, 60 },
	{ "string(request.time) > 'a' || request.time < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 0 },
	{ "(request.time.getHours() < 13 ? dyn(port) : dyn(user)) == 2222", "2026-06-01T12:59:00Z", 3600, true, 60 },
	{ "(gone == 1 ? request.time : " AT_NOON ") > date('2026-01-01') || port > 1", "2026-06-01T12:00:00Z", 60, true, NEVER },
	/* getters */
	{ BERLIN_8_TO_18, "2026-06-01T15:00:00Z", 7200, true, 3600 },
	{ BERLIN_8_TO_18, "2026-06-01T05:00:00Z", 7200, false, 3600 },
	{ "request.time.getDayOfWeek('Europe/Berlin') in [1, 2, 3, 4, 5]", "2026-06-05T21:00:00Z", 7200, true, 3600 },
	{ "!(request.time.getDayOfWeek('Europe/Berlin') in [0, 6])", "2026-06-05T21:00:00Z", 7200, true, 3600 },
	{ "request.time.getHours() in levels", "2026-06-01T09:00:00Z", 7200, true, 3600 },
	{ "request.time.getFullYear() == 2026", "2026-12-31T23:30:00Z", 3600, true, 1800 },
	{ "request.time.getFullYear('Asia/Kathmandu') == 2026", "2026-12-31T18:00:00Z", 3600, true, 900 },
	{ "request.time.getMonth() == 1", "2028-02-28T23:59:59Z", DAY + 10, true, DAY + 1 },
	{ "request.time.getMonth() == 1", "2027-02-28T23:59:59Z", DAY, true, 1 },
	{ "request.time.getDayOfYear() < 365", "2028-12-30T23:00:00Z", DAY, true, 3600 },
	{ "request.time.getDate('+05:30') == 1", "2026-06-01T18:00:00Z", 3600, true, 1800 },
	{ "request.time.getHours('-00:30') == 11", "2026-06-01T12:00:00Z", 3600, true, 1800 },
	/* spring forward, fall back */
	{ "request.time.getHours('Europe/Berlin') < 2", "2026-03-29T00:30:00Z", 7200, true, 1800 },
	{ "request.time.getHours('Europe/Berlin') != 2", "2026-03-29T00:30:00Z", 7200, true, NEVER }, /* there is no 2 */
	{ "request.time.getHours('Europe/Berlin') == 2", "2026-10-25T00:30:00Z", 10800, true, 5400 }, /* it comes twice */
	{ "request.time.getHours('Europe/Berlin') < 3", "2026-10-25T00:30:00Z", 10800, true, 5400 },
	{ "request.time.getHours('America/New_York') == 1", "2026-11-01T05:30:00Z", 10800, true, 5400 },
	{ "request.time.getMinutes('Australia/Lord_Howe') < 30", "2026-04-04T14:45:00Z", 7200, false, 2700 }, /* from 2:00 back to 1:30 */
	{ "request.time.getHours('Australia/Lord_Howe') == 1", "2026-04-04T14:00:00Z", 10800, true, 5400 },
	{ "request.time.getHours('Africa/Casablanca') == 2", "2026-02-15T01:30:00Z", 10800, true, 5400 },
	{ "request.time.getHours('Pacific/Chatham') == 2", "2026-09-26T13:30:00Z", 3600, true, 1800 }, /* 2:45 is 3:45 */
	{ "request.time.getHours('Europe/Berlin') < 2", "2050-03-27T00:30:00Z", 7200, true, 1800 },
	{ "request.time.getHours('Europe/Berlin') == 2", "2050-10-30T00:30:00Z", 10800, true, 5400 },
	/* truth */
	{ "flag && request.time < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "flag || request.time < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, NEVER },
	{ "gone == 1 || request.time < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "hidden == 1 || request.time < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "gone == 1 && request.time >= " AT_NOON, "2026-06-01T11:59:00Z", 3600, false, 60 }, /* then it errs */
	{ "hidden == 1 && request.time >= " AT_NOON, "2026-06-01T11:59:00Z", 3600, false, 60 },
	{ "request.time < " AT_NOON " ? true : gone == 1", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "request.time < " AT_NOON " ? false : gone == 1", "2026-06-01T11:59:00Z", 3600, false, 60 },
	{ "request.time < " AT_NOON " ? flag : request.time.getMinutes() < 10", "2026-06-01T11:59:00Z", 3600, true, 660 },
	{ "flag ? (port > 9 ? request.time < " AT_NOON " : true) : false", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "(request.time < " AT_NOON ") == flag", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "(request.time < " AT_NOON ") != flag", "2026-06-01T11:59:00Z", 3600, false, 60 },
	{ "request.time < (flag ? " AT_NOON " : date('2026-01-01'))", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "request.time < (request.time.getHours() < 12 ? " AT_NOON " : date('2026-07-01'))", "2026-06-01T11:59:00Z", 3600, true, NEVER },
	/* variables */
	{ "cel.bind(h, request.time.getHours('Europe/Berlin'), h >= 8 && h < 18)", "2026-06-01T15:00:00Z", 7200, true, 3600 },
	{ "cel.bind(m, 13, request.time.getHours() < m)", "2026-06-01T12:00:00Z", 7200, true, 3600 },
	{ "cel.bind(t, request.time + duration('60s'), cel.bind(u, t, u < " AT_NOON " && t < u + duration('1s')))", "2026-06-01T11:58:00Z", 3600, true, 60 },
	{ "cel.bind(t, request.time, t < " AT_NOON " || [1, 2].exists(t, t == 3))", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "cel.bind(e, gone, request.time < " AT_NOON " || e == 1)", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "cel.bind(e, gone, e == 1) || request.time < " AT_NOON, "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "cel.bind(t, request.time, [1].exists(x, x == 1) && t < " AT_NOON ")", "2026-06-01T11:59:00Z", 3600, true, 60 },
	/* what has to do with no time */
	{ "flag && user == 'alice'", "2026-06-01T11:59:00Z", 3600, true, NEVER },
	{ "user == 'bob'", "2026-06-01T11:59:00Z", 3600, false, NEVER },
	/* the end of time */
	{ "request.time >= " AT_NOON, "9999-12-31T23:00:00Z", 7200, true, 3600 },
	{ "request.time + duration('1h') > " AT_NOON, "9999-12-31T22:30:00Z", 3600, true, 1800 }, /* then it overflows */
};

static void test_horizon_table(void **state) {
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		struct cel_program *program = compile(w, str_of(r->condition));
		struct cel_timestamp now;
		int64_t got;

		assert_true(cel_time_parse(str_of(r->now), &now));
		if (ask(w, program, now.s, now.ns) != (r->want ? TRUE : FALSE))
			fail_msg("%s at %s is not %s", r->condition, r->now, r->want ? "true" : "false");
		got = until(w, program, now.s, now.ns, now.s + r->limit, r->want);
		got = got == INT64_MAX ? NEVER : got - now.s;
		if (got != r->until)
			fail_msg("%s at %s: until %lld s later, not %lld", r->condition, r->now, (long long)got,
				 (long long)r->until);
		cel_program_free(program);
	}
}

/*
 * Two loops that one evaluation can afford one at a time: before noon the first clause spares it the others, at noon it
 * needs both and errs. Neither may be believed because each, by itself, is true.
 */
static void test_P2_clauses_share_one_evaluations_allowance(void **state) {
	static const char numbers[] = "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]";
	struct world *w = *state;
	struct buf b = BUF_INIT(4096);
	struct cel_program *program;
	int64_t noon = 1780315200;

	buf_addf(&b, "request.time < " AT_NOON);
	for (int i = 0; i < 2; i++)
		buf_addf(&b, "%s %s.all(a, %s.all(b, %s.all(c, a + b + c < 99 || user == 'x')))",
			 i ? "&& request.time > date('2020-01-01') &&" : "||", numbers, numbers, numbers);
	program = compile(w, (struct str){ b.data, b.len });
	assert_int_equal(ask(w, program, noon - 60, 0), TRUE);
	assert_int_equal(ask(w, program, noon, 0), ERRS);
	assert_int_equal(until(w, program, noon - 60, 0, noon + 60, true), noon);
	cel_program_free(program);
	buf_fini(&b);
}

/* ---- bounded work ---- */

static double microseconds(void) {
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Sound all the same; the time that it takes is printed. */
static void check_work(struct world *w, const char *what, const struct cel_program *program, int64_t now) {
	double begin = microseconds(), took;
	int64_t said = until(w, program, now, 0, now + 43200, true), is;

	took = microseconds() - begin;
	is = brute(w, program, now, 0, said == INT64_MAX ? now + 43200 : said, true);
	assert_true(said <= is);
	print_message("%s: %.0f us\n", what, took);
}

static void test_horizon_does_a_bounded_amount_of_work(void **state) {
	struct world *w = *state;
	struct cel_program *program;
	struct buf b = BUF_INIT(32768);

	program = compile(w, str_of("request.time.getDayOfWeek('Europe/Berlin') in [1, 2, 3, 4, 5] && " BERLIN_8_TO_18));
	check_work(w, "office hours", program, 1780308000);
	cel_program_free(program);
	/* true at every second, seen to be so at none of more than one */
	program = compile(w, str_of("request.time.getSeconds() + 1 - request.time.getSeconds() == 1"));
	check_work(w, "a truth that intervals cannot see", program, 1780308000);
	cel_program_free(program);
	for (int i = 0; b.len < 30000; i++)
		buf_addf(&b, "%srequest.time.getHours('Europe/Berlin') + %d != request.time.getSeconds('Asia/Kathmandu') * 1000",
			 i ? " && " : "", i % 900 + 1);
	program = compile(w, (struct str){ b.data, b.len });
	check_work(w, "300 clauses", program, 1780308000);
	cel_program_free(program);
	buf_fini(&b);
}

static void test_horizon_follows_a_calendar_of_holidays(void **state) {
	struct world *w = *state;
	struct cel_program *program;
	struct buf b = BUF_INIT(32768);

	buf_adds(&b, "request.time < timestamp('2026-06-01T20:00:00Z')");
	for (int i = 0; i < 150; i++)
		buf_addf(&b, " && !(request.time >= timestamp('20%02d-12-25T00:00:00Z') && request.time < timestamp('20%02d-12-26T00:00:00Z'))",
			 i % 73 + 27, i % 73 + 27);
	program = compile(w, (struct str){ b.data, b.len });
	assert_int_equal(until(w, program, 1780315200, 0, 1780315200 + 43200, true), 1780315200 + 8 * HOUR);
	cel_program_free(program);
	buf_fini(&b);
}

/* ---- lint: what no lifetime can be bounded by ---- */

static void test_horizon_names_what_it_cannot_follow(void **state) {
	static const struct {
		const char *condition, *blind;
	} blind[] = {
		{ "flag", NULL },
		{ BERLIN_8_TO_18, NULL },
		{ "string(request.time) < 'b' || flag", "string(request.time)" },
		{ "string(request.time).startsWith('2026')", "string(request.time)" },
		{ "flag && 2026 - request.time.getFullYear() == levels[request.time.getHours()]", "levels[request.time.getHours()]" },
		{ "[1, 2].exists(d, d == request.time.getDate())", "[1, 2].exists(d, d == request.time.getDate())" },
		{ "cel.bind(t, request.time, t < timestamp(user))", NULL },
		{ "cel.bind(t, request.time, string(t) < user)", "string(t)" },
		{ "cel.bind(t, user, [1].all(x, x == 1) && t == user)", NULL },
		{ "7 in [request.time.getHours()]", "[request.time.getHours()]" },
		{ "request.time.getHours(user) == 1", "request.time.getHours(user)" },
		{ "100 % request.time.getHours() == 1", NULL },
		{ "[1].exists(x, x == 1) && request.time < timestamp(user)", NULL },
		{ "request.time - duration('1h') < date(user) ? port > 1 : request.time.getHours() in levels", NULL },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(blind); i++) {
		struct cel_program *program = compile(w, str_of(blind[i].condition));
		const struct cel_node *node = horizon_blind_spot(program, TIME);
		struct str text = node ? cel_node_text(program, node) : STR("");

		if (!node != !blind[i].blind || (node && !str_eq(text, str_of(blind[i].blind))))
			fail_msg("%s: %.*s", blind[i].condition, (int)text.n, text.p);
		cel_program_free(program);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_horizon_table),
		cmocka_unit_test(test_P2_what_is_sure_is_so_at_every_second),
		cmocka_unit_test(test_P2_clauses_share_one_evaluations_allowance),
		cmocka_unit_test(test_horizon_does_a_bounded_amount_of_work),
		cmocka_unit_test(test_horizon_follows_a_calendar_of_holidays),
		cmocka_unit_test(test_horizon_names_what_it_cannot_follow),
	};
	return cmocka_run_group_tests(tests, world_new, world_free);
}
