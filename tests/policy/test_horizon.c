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
#include "policy/horizon.h"
#include "tests/policy/gen_condition.h"
#include "tests/policy/load.h"

#ifdef CEL_ARENA_CHECKED
#define TRIPLES 8000 /* under AddressSanitizer, ten times as slow */
#else
#define TRIPLES 100000
#endif
#define SLOW_TRIPLES 150 /* under valgrind */
#define FEW 1000
#define SEED 20261126

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

static const char *const others[] = { "user == \"alice\"", "user == \"bob\"", "port > 1024", "port < 1024",
				      "flag",		     "gone == 1",	 "hidden > 3",	"1 / 0 > 0",
				      "user.startsWith(\"al\")", "levels[9] == 1" };
static const struct gen_names names = { "port", "gone", "levels", others, ARRAY_SIZE(others) };

/* ---- brute force ---- */

struct tally {
	unsigned long triples, wants[2], blind, tight, tight_blind, seconds, unbounded, at_a_look;
	unsigned long gaps, overlaps, year_ends, leap_days; /* in how many windows there is one */
	double *took; /* microseconds, of each triple */
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

/* What the calendar has in store between two seconds. */
static void count_marks(const struct gen *g, int64_t from, int64_t to, struct tally *tally) {
	struct cel_civil day = cel_civil_from_days(to / DAY);
	int64_t change = g->ref.zone ? zone_next_transition(g->ref.zone, from) : INT64_MAX, offset = zone_ref_offset(g->ref, to);

	if (change <= to && cel_civil_from_days(change / DAY).year == 2026) {
		tally->gaps += zone_offset(g->ref.zone, change) > zone_offset(g->ref.zone, from);
		tally->overlaps += zone_offset(g->ref.zone, change) < zone_offset(g->ref.zone, from);
	}
	tally->leap_days += day.month == 2 && day.day == 29;
	tally->year_ends += cel_civil_from_days((from + offset) / DAY).year != cel_civil_from_days((to + offset) / DAY).year;
}

static double microseconds(void) {
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others may have the processor meanwhile */
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Whether an evaluation takes nothing of its budget, and no memory. */
static bool is_spared(struct world *w, const struct cel_program *program, int64_t now, uint32_t ns) {
	struct cel_budget budget = cel_program_budget(program), left = budget;
	const char *at;

	w->slots[TIME] = cel_of_timestamp(now, ns);
	cel_arena_reset(&w->arena);
	at = w->arena.at;
	cel_eval_part(program, cel_program_root(program), &w->activation, &w->arena, &left);
	return left.iterations == budget.iterations && left.cost == budget.cost && w->arena.at == at;
}

static void check_triple(struct world *w, struct gen *g, const struct cel_program *program, bool blind, struct tally *tally) {
	int64_t now, limit, said, is;
	uint32_t ns = rnd(g, 3) ? 0 : rnd(g, 1000000000);
	enum answer at_now;
	double begin;
	bool want;

	some_window(w, g, program, &now, &limit);
	at_now = ask(w, program, now, ns);
	want = at_now == TRUE;

	if (at_now == ERRS)
		return;
	begin = microseconds();
	said = until(w, program, now, ns, limit, want);
	tally->took[tally->triples] = microseconds() - begin;
	/* Where it may be asked, a first look never says more than a long one. */
	if (is_spared(w, program, now, ns) && horizon_is_beyond(cel_program_root(program), (struct cel_timestamp){ now, ns }, TIME, limit, want)) {
		assert_int_equal(said, INT64_MAX);
		tally->at_a_look++;
	}
	is = brute(w, program, now, ns, limit, want);
	if (said > is)
		fail_msg("%s\nat %lld.%09u: said to be %s until %lld (limit %lld), but it is not in second %lld", g->text.data,
			 (long long)now, ns, want ? "true" : "false", (long long)said, (long long)limit, (long long)is);
	if (said < is && getenv("HALLPASS_HORIZON_SHOW"))
		print_message("loose: %s\n  at %lld.%09u until %lld instead of %lld\n", g->text.data, (long long)now, ns,
			      (long long)said, (long long)(is == INT64_MAX ? limit : is));
	tally->triples++;
	tally->wants[want]++;
	tally->blind += blind;
	tally->tight += said == is;
	tally->tight_blind += blind && said == is;
	tally->unbounded += is == INT64_MAX;
	is = is == INT64_MAX ? limit : is;
	tally->seconds += (unsigned long)(is - now);
	count_marks(g, now, is, tally);
}

static unsigned long number(const char *variable, unsigned long otherwise) {
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static int by_size(const void *a, const void *b) {
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void report(const struct tally *t, unsigned long seed) {
	unsigned long followed = t->triples - t->blind;

	qsort(t->took, t->triples, sizeof(*t->took), by_size);
	print_message("%lu triples (seed %lu), %lu for true, %lu for false; %lu seconds looked at, each at four instants\n", t->triples, seed,
		      t->wants[1], t->wants[0], t->seconds);
	print_message("in these windows: %lu gaps and %lu overlaps of 2026, %lu year ends, %lu leap days; %lu hold through their limit, "
		      "%lu at a first look\n", t->gaps, t->overlaps, t->year_ends, t->leap_days, t->unbounded, t->at_a_look);
	print_message("%.2f %% end at the very last second; of the %lu that a policy may have %.2f %%\n",
		      100.0 * (double)t->tight / (double)t->triples, followed,
		      100.0 * (double)(t->tight - t->tight_blind) / (double)followed);
	print_message("horizon: %.1f us at the median, %.0f us at the 99th percentile, %.0f us at worst\n", t->took[t->triples / 2],
		      t->took[t->triples / 100 * 99], t->took[t->triples - 1]);
}

static void test_P2_what_is_sure_is_so_at_every_second(void **state) {
	struct world *w = *state;
	unsigned long n = number("HALLPASS_HORIZON_TRIPLES", getenv("HALLPASS_SLOW") ? SLOW_TRIPLES : TRIPLES);
	unsigned long seed = number("HALLPASS_HORIZON_SEED", SEED);
	struct gen g = { .state = seed * 0x9E3779B97F4A7C15u + 1, .names = &names };
	struct tally tally = { .took = calloc(n + 4, sizeof(double)) };
	struct error err;

	while (tally.triples < n) {
		struct cel_program *program;
		bool blind;

		g.zone = gen_zones[rnd(&g, ARRAY_SIZE(gen_zones))];
		assert_int_equal(zones_load(w->zones, str_of(g.zone), &g.ref, &err), 0);
		g.anchor = some_anchor(&g);
		g.text = BUF_INIT(65536);
		blind = put_some_condition(&g, true);
		program = compile(w, (struct str){ g.text.data, g.text.len });
		if (!blind != !horizon_blind_spot(program, TIME)) /* what cannot be bounded is told by name, and only that */
			fail_msg("%s: blind or not?", g.text.data);
		for (int i = 0; i < 4; i++)
			check_triple(w, &g, program, blind, &tally);
		cel_program_free(program);
		buf_fini(&g.text);
	}
	report(&tally, seed);
	if (n >= FEW) { /* figures of fewer say little */
		assert_true(tally.tight * 100 >= tally.triples * 95);
		assert_true((tally.tight - tally.tight_blind) * 100 >= (tally.triples - tally.blind) * 95);
		assert_true(tally.blind * 200 >= tally.triples); /* they have been looked at, too */
		assert_true(tally.at_a_look > n / 1000);
		assert_true(tally.gaps && tally.overlaps && tally.year_ends && tally.leap_days);
	}
	free(tally.took);
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
	{ "dyn(request.time.getMinutes()) < 29.5", "2026-06-01T12:00:00Z", 3600, true, 1800 },
	{ "30.0 > dyn(request.time.getMinutes())", "2026-06-01T12:00:00Z", 3600, true, 1800 },
	{ "dyn(request.time.getMinutes()) == 5u", "2026-06-01T12:05:00Z", 3600, true, 60 },
	{ "dyn(request.time.getMinutes()) != 5.5", "2026-06-01T12:05:00Z", 3600, true, NEVER },
	{ "dyn(request.time.getMinutes()) != 'a'", "2026-06-01T12:05:00Z", 3600, true, NEVER },
	{ "dyn(request.time) != null", "2026-06-01T12:05:00Z", 3600, true, NEVER },
	{ "timestamp(int(request.time) / 60 * 60) < " AT_NOON, "2026-06-01T11:59:30Z", 3600, true, 30 },
	{ "(request.time < " AT_NOON ") > flag || (request.time < " AT_NOON ") >= flag", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "request.time.getHours() in {11: 'a', 12u: 'b'}", "2026-06-01T11:59:00Z", 7200, true, 3660 },
	{ "request.time in [" AT_NOON ", timestamp('2026-06-01T12:00:02Z')]", "2026-06-01T11:59:00Z", 3600, false, 60 },
	{ "!(request.time in [" AT_NOON "])", "2026-06-01T12:00:00.000000001Z", 3600, true, NEVER },
	{ "request.time - " AT_NOON " in [duration('60s')]", "2026-06-01T12:00:00Z", 3600, false, 60 },
	{ "(request.time < " AT_NOON ") in [true]", "2026-06-01T11:59:00Z", 3600, true, 60 },
	/* what overflows, and what cannot be told, is not believed */
	{ "timestamp(int(request.time) * 1000000) > request.time || flag", "2026-06-01T12:00:00Z", 60, true, NEVER },
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
	{ "cel.bind(u, user, u.startsWith('a') && request.time < " AT_NOON ")", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "cel.bind(u, user, u.startsWith('b') && request.time < " AT_NOON ")", "2026-06-01T11:59:00Z", 3600, false, NEVER },
	{ "cel.bind(l, [user, 'x'], cel.bind(u, l[0] + '!', [1].exists(x, u == 'alice!') && request.time < " AT_NOON "))", "2026-06-01T11:59:00Z", 3600, true, 60 },
	{ "cel.bind(h, [8, 9, 10, 11], request.time.getHours() in h)", "2026-06-01T11:00:00Z", 7200, true, 3600 },
	{ "cel.bind(t, request.time, cel.bind(u, user, cel.bind(v, t + duration('1m'), u.size() == 5 && v < " AT_NOON ")))", "2026-06-01T11:58:00Z", 3600, true, 60 },
	{ "cel.bind(u, gone + 1, request.time < " AT_NOON " || u > 3)", "2026-06-01T11:59:00Z", 3600, true, 60 },
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
		{ "cel.bind(u, user, u.startsWith('a') && request.time < timestamp(u))", NULL },
		{ "cel.bind(u, user, u == string(request.time))", "string(request.time)" },
		{ "cel.bind(t, string(request.time), cel.bind(u, user, u == t))", "string(request.time)" },
		{ "['a'].exists(s, s == string(request.time))", "string(request.time)" },
		{ "['a'].transformList(i, s, s == user && request.time < timestamp(user)).size() > 0",
		  "['a'].transformList(i, s, s == user && request.time < timestamp(user))" },
		{ "['a'].exists(s, s == user && request.time < timestamp(user))", "['a'].exists(s, s == user && request.time < timestamp(user))" },
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
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, world_new, world_free);
}
