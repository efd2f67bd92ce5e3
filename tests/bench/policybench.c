/*
 * How fast the policy engine is, side by side with the same thing written by hand in C: conditions, compiling, decisions,
 * horizons, loading. usage: policybench [ROUNDS [JSON]], or policybench -n COUNT WHAT to run one thing so often and print
 * nothing, for counting its instructions.
 *
 * Time is this process's CPU time. Ours and the yardstick take turns; the median of each counts, and the ratio is the median
 * of the rounds' ratios. The four conditions are evaluated with the binding of their attributes, as a decision does it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "hallpass/cleanup.h"
#include "hallpass/policy.h"
#include "policy/cel.h"
#include "policy/condition.h"
#include "policy/horizon.h"
#include "tests/policy/gen_condition.h"

#define NOW 1795532645 /* 2026-11-24T15:04:05Z, a Tuesday */
#define MAX_ROUNDS 101
#define MAX_FILE (1u << 18)
#define ACCOUNT "ml-training-dev-sa@acme-ml.iam.gserviceaccount.com"
#define EXE "/usr/bin/python3.11"
#define SCOPE "https://www.googleapis.com/auth/"

static void die(const char *what) {
	fprintf(stderr, "policybench: %s\n", what);
	exit(1);
}

static int read_zone(void *arg, const char *name, unsigned char **data, size_t *len) {
	char path[512];
	FILE *f;

	(void)arg;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	f = fopen(path, "rb");
	*data = f ? malloc(MAX_FILE) : NULL;
	*len = *data ? fread(*data, 1, MAX_FILE, f) : 0;
	if (f)
		fclose(f);
	return *data ? 0 : -1;
}

static const struct policy_host host = { read_zone, NULL };

static double cpu_ns(void) {
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* --- the request that all conditions hold for */

static const char *const scopes[] = { SCOPE "cloud-platform", SCOPE "logging.read" };

static struct policy_query query = {
	.now = NOW,
	.principal = "user:bench@example.com",
	.auth_method = "peer",
	.service_account = ACCOUNT,
	.permission = PERMISSION_GET_ACCESS_TOKEN,
	.scopes = scopes,
	.n_scopes = 2,
	.surface = "native",
	.peer = { .known = true, .uid = 1001, .gid = 1001, .pid = 4711, .exe = EXE },
	.origin_ip = "192.0.2.7",
	.origin_port = 40000,
};

static void add_claims(void) {
	query.claims = json_loads("{\"sub\": \"1234567890\", \"email\": \"bench@example.com\", \"hd\": \"example.com\","
				  " \"groups\": [\"dev\", \"ops\", \"ci\", \"sre\"]}", 0, NULL);
	if (!query.claims)
		die("out of memory");
}

/* --- the same conditions in C: what somebody would write who knows that they never change */

static bool begins(const char *s, const char *with) {
	return strncmp(s, with, strlen(with)) == 0;
}

static bool c_e1(const struct policy_query *q) {
	return begins(q->service_account, "ml-") && q->now < 4070908800;
}

static bool has_group(const struct policy_query *q, const char *name) {
	const json_t *groups = json_object_get(q->claims, "groups"), *group;
	size_t i;

	json_array_foreach(groups, i, group)
		if (json_is_string(group) && strcmp(json_string_value(group), name) == 0)
			return true;
	return false;
}

static bool c_e4(const struct policy_query *q) {
	return q->peer.known && q->peer.uid == 1001 && q->peer.exe && strcmp(q->peer.exe, EXE) == 0 && has_group(q, "ci");
}

static bool c_e2(const struct policy_query *q) {
	if (!c_e4(q))
		return false;
	for (size_t i = 0; i < q->n_scopes; i++)
		if (!begins(q->scopes[i], SCOPE))
			return false;
	return true;
}

static bool c_e3(const struct policy_query *q) {
	int64_t hour = q->now % 86400 / 3600, day = (q->now / 86400 + 4) % 7;

	return hour >= 8 && hour < 18 && day >= 1 && day <= 5 && strcmp(q->principal, "user:bench@example.com") == 0 &&
	       strcmp(q->surface, "native") == 0;
}

#define HOURS(zone)                                                                                                    \
	"request.time.getHours(\"" zone "\") >= 8 && request.time.getHours(\"" zone "\") < 18 && "                      \
	"request.time.getDayOfWeek(\"" zone "\") >= 1 && request.time.getDayOfWeek(\"" zone "\") <= 5 && "              \
	"request.auth.principal == \"user:bench@example.com\" && request.surface == \"native\""
#define CALLER                                                                                                         \
	"request.peer.uid == 1001 && request.peer.exe == \"" EXE "\" && \"ci\" in request.auth.claims.groups"

/* PERF's four; goal: twice a typed tree-walker's time there. */
static const struct {
	const char *key, *what, *text;
	bool (*yardstick)(const struct policy_query *q);
	double goal_ns;
} conditions[] = {
	{ "e1", "E1 name and end: ns vs C",
	  "resource.name.startsWith(\"projects/-/serviceAccounts/ml-\") && request.time < timestamp(\"2099-01-01T00:00:00Z\")", c_e1,
	  2 * 41 },
	{ "e2", "E2 peer, group, scopes: ns vs C", CALLER " && request.scopes.all(s, s.startsWith(\"" SCOPE "\"))", c_e2, 2 * 140 },
	{ "e3", "E3 office hours: ns vs C",
	  "request.time.getHours(\"UTC\") >= 8 && request.time.getHours(\"UTC\") < 18 && request.time.getDayOfWeek() >= 1 && "
	  "request.time.getDayOfWeek() <= 5 && request.auth.principal == \"user:bench@example.com\" && request.surface == \"native\"",
	  c_e3, 2 * 152 },
	{ "e4", "E4 peer, group, type: ns vs C", CALLER " && resource.type == \"iam.googleapis.com/ServiceAccount\"", c_e4, 2 * 98 },
};
#define N_CONDITIONS ARRAY_SIZE(conditions)

static void complain(void *arg, enum policy_severity severity, const char *id, size_t offset, const char *message, const char *fix) {
	(void)arg, (void)severity, (void)fix;
	fprintf(stderr, "policybench: %s at byte %zu: %s\n", id, offset, message);
}

static struct condition *compiled(struct condition_env *env, const char *text) {
	const struct condition_sink sink = { .found = complain };
	struct condition *condition;

	if (condition_new(env, str_of(text), NULL, &sink, &condition) < 0 || !condition)
		die("a condition does not compile");
	return condition;
}

/* --- things to measure: each runs n times and gives CPU ns for one */

struct thing {
	double (*run)(const void *arg, size_t n);
	const void *arg;
};

static double run_condition(const void *arg, size_t n) {
	const struct condition *condition = arg;
	double before = cpu_ns();
	size_t held = 0;

	for (size_t i = 0; i < n; i++)
		held += condition_eval(condition, &query, NULL, 0) == CONDITION_TRUE;
	if (held != n)
		die("a condition does not hold");
	return (cpu_ns() - before) / (double)n;
}

static double run_yardstick(const void *arg, size_t n) {
	bool (*const *holds)(const struct policy_query *) = arg;
	const struct policy_query *volatile q = &query; /* read each time: nothing is known of it beforehand */
	double before = cpu_ns();
	size_t held = 0;

	for (size_t i = 0; i < n; i++)
		held += (*holds)(q);
	if (held != n)
		die("a yardstick does not hold");
	return (cpu_ns() - before) / (double)n;
}

static double run_compile(const void *arg, size_t n) {
	const struct cel_env *env = arg;
	struct cel_program *program;
	struct cel_error error;
	double before = cpu_ns();

	for (size_t i = 0; i < n; i++) {
		if (cel_compile(env, str_of(conditions[0].text), CEL_WANT_BOOL, NULL, &program, &error) < 0)
			die(error.message);
		cel_program_free(program);
	}
	return (cpu_ns() - before) / (double)n;
}

/* As the daemon asks for a token: no scopes, so the binding's. */
static double run_decide(const void *arg, size_t n) {
	const struct policy *policy = arg;
	struct policy_query plain = query;
	struct decision decision;
	double before = cpu_ns();
	size_t allowed = 0;

	plain.n_scopes = 0;
	for (size_t i = 0; i < n; i++) {
		policy_decide(policy, &plain, &decision);
		allowed += decision.allow;
	}
	if (allowed != n)
		die("a decision denies");
	return (cpu_ns() - before) / (double)n;
}

/* Of many callers, each by a binding of its own, in no order: the memory that one needs was not needed by the one before. */
#define CALLERS 4096

struct callers {
	struct policy *policy;
	struct caller {
		char principal[48], account[48];
	} list[CALLERS];
};

static double run_callers(const void *arg, size_t n) {
	const struct callers *callers = arg;
	struct policy_query plain = query;
	struct decision decision;
	double before = cpu_ns();
	size_t allowed = 0;

	plain.n_scopes = 0;
	for (size_t i = 0; i < n; i++) {
		plain.principal = callers->list[i % CALLERS].principal;
		plain.service_account = callers->list[i % CALLERS].account;
		policy_decide(callers->policy, &plain, &decision);
		allowed += decision.allow;
	}
	if (allowed != n)
		die("a decision denies");
	return (cpu_ns() - before) / (double)n;
}

/* --- policies of many bindings: one for the request, the others for others */

#define THREE                                                                                                          \
	"request.time < timestamp(\"2099-01-01T00:00:00Z\") && "                                                         \
	"resource.name.startsWith(\"projects/-/serviceAccounts/ml-\") && request.surface == \"native\""

static struct policy *policy_of(unsigned n, const char *condition) {
	struct buf text = BUF_INIT(32u << 20);
	struct policy_report report;
	struct policy *policy = NULL;
	struct error err;

	buf_adds(&text, "version: 1\ndefaults: {maxLifetime: 1h}\nbindings:\n"
			"- {name: misses, members: [\"user:bench@example.com\"], serviceAccounts: [\"bench-*@acme-ml.iam.gserviceaccount.com\"]}\n"
			"- name: bench\n  members: [\"user:bench@example.com\"]\n  serviceAccounts: [" ACCOUNT "]\n");
	if (condition)
		buf_addf(&text, "  condition:\n    title: t\n    expression: %s\n", condition);
	for (unsigned i = 2; i < n; i++)
		buf_addf(&text, "- {name: b%u, members: [user:u%u@e.example], serviceAccounts: [s%u@p.example]}\n", i, i, i);
	buf_adds(&text, "tests:\n- {name: t, request: {principal: \"user:bench@example.com\", serviceAccount: " ACCOUNT
			", time: 2026-11-24T15:04:05Z}, expect: ALLOW}\n"
			"invariants:\n- {name: nobody signs, never: {principal: allAuthenticated, serviceAccount: \"*\", permission: [signBlob, signJwt]}}\n"
			"- {name: strangers, never: {principal: \"user:nobody@elsewhere.example\", serviceAccount: \"*\"}}\n");
	if (!buf_ok(&text) || policy_load("bench", (struct str){ text.data, text.len }, &host, NOW, &policy, &report, &err) < 0)
		die(err.message);
	policy_report_fini(&report);
	buf_fini(&text);
	return policy;
}

static struct callers *callers_of(unsigned n) {
	struct callers *callers = malloc(sizeof(*callers));
	uint64_t state = 88172645463325252;
	unsigned who;

	if (!callers)
		die("out of memory");
	callers->policy = policy_of(n, NULL);
	for (size_t i = 0; i < CALLERS; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		who = 2 + (unsigned)((state >> 32) % (n - 2));
		snprintf(callers->list[i].principal, sizeof(callers->list[i].principal), "user:u%u@e.example", who);
		snprintf(callers->list[i].account, sizeof(callers->list[i].account), "s%u@p.example", who);
	}
	return callers;
}

static void callers_free(struct callers *callers) {
	policy_unref(callers->policy);
	free(callers);
}

/* --- rows */

static unsigned rounds = 5;
static FILE *json;

static int by_size(const void *a, const void *b) {
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double median(double *v, unsigned n) {
	qsort(v, n, sizeof(*v), by_size);
	return v[(n - 1) / 2];
}

struct row {
	double ours, yardstick, ratio, min, max;
};

/* judged: what the goal is about; at most that. */
static void print_row(const char *what, const struct row *r, double judged, double goal, const char *unit) {
	const char *verdict = judged <= goal ? "met" : "NOT MET";

	printf("%-56s %10.1f %10.1f  %6.2f (%.2f-%.2f)  <= %g%s  %s\n", what, r->ours, r->yardstick, r->ratio, r->min, r->max, goal, unit,
	       verdict);
	if (json)
		fprintf(json, "{\"what\":\"%s\",\"ours\":%.3f,\"yardstick\":%.3f,\"ratio\":%.3f,\"min\":%.3f,\"max\":%.3f,\"goal\":\"<= %g%s\",\"verdict\":\"%s\"}\n",
			what, r->ours, r->yardstick, r->ratio, r->min, r->max, goal, unit, verdict);
	fflush(stdout);
}

static struct row in_turns(struct thing ours, struct thing yardstick, size_t n) {
	double a[MAX_ROUNDS], b[MAX_ROUNDS], ratios[MAX_ROUNDS];
	struct row row;

	ours.run(ours.arg, n / 10 + 1);
	yardstick.run(yardstick.arg, n / 10 + 1);
	for (unsigned i = 0; i < rounds; i++) {
		a[i] = ours.run(ours.arg, n);
		b[i] = yardstick.run(yardstick.arg, n);
		ratios[i] = a[i] / b[i];
	}
	row.ours = median(a, rounds);
	row.yardstick = median(b, rounds);
	row.ratio = median(ratios, rounds);
	row.min = ratios[0];
	row.max = ratios[rounds - 1];
	return row;
}

/* Where a figure is compared with a constant. */
static struct row alone(struct thing ours, double yardstick, size_t n) {
	double a[MAX_ROUNDS];

	ours.run(ours.arg, n / 10 + 1);
	for (unsigned i = 0; i < rounds; i++)
		a[i] = ours.run(ours.arg, n);
	return (struct row){ .ours = median(a, rounds), .yardstick = yardstick, .ratio = median(a, rounds) / yardstick,
			     .min = a[0] / yardstick, .max = a[rounds - 1] / yardstick };
}

static void bench_conditions(struct condition_env *env) {
	struct row row, mean = { .ratio = 1, .min = 1, .max = 1, .ours = 1, .yardstick = 1 };
	struct condition *condition;

	for (size_t i = 0; i < N_CONDITIONS; i++) {
		condition = compiled(env, conditions[i].text);
		row = in_turns((struct thing){ run_condition, condition }, (struct thing){ run_yardstick, &conditions[i].yardstick }, 200000);
		print_row(conditions[i].what, &row, row.ours, conditions[i].goal_ns, " ns");
		mean.ours *= pow(row.ours, 1.0 / N_CONDITIONS);
		mean.yardstick *= pow(row.yardstick, 1.0 / N_CONDITIONS);
	}
	mean.ratio = mean.min = mean.max = mean.ours / mean.yardstick;
	print_row("  geometric mean of E1-E4: ns vs C", &mean, mean.ours, 100, " ns");
}

static void bench_zones(struct condition_env *env) {
	struct condition *berlin = compiled(env, HOURS("Europe/Berlin")), *utc = compiled(env, HOURS("UTC"));
	struct row row = in_turns((struct thing){ run_condition, berlin }, (struct thing){ run_condition, utc }, 200000);

	print_row("E3 in Europe/Berlin: ns vs UTC", &row, row.ratio, 2, "");
}

static void bench_compile(void) {
	struct cel_env *env;
	struct error err;
	struct row row;
	unsigned slot;

	if (cel_env_new(CEL_LIB_ALL, &env, &err) < 0 || cel_env_variable(env, "resource.name", &cel_string, &slot, &err) < 0 ||
	    cel_env_variable(env, "request.time", &cel_timestamp, &slot, &err) < 0)
		die(err.message);
	row = alone((struct thing){ run_compile, env }, 10000, 5000);
	print_row("compiling E1: ns vs 10 us (100,000/s)", &row, row.ratio, 1, "");
	cel_env_free(env);
}

static void bench_decisions(void) {
	struct policy *plain = policy_of(1000, NULL), *conditional = policy_of(1000, THREE);
	struct callers *small = callers_of(10), *middle = callers_of(1000), *large;
	double before = cpu_ns();
	struct row row;

	large = callers_of(100000);
	row = (struct row){ .ours = (cpu_ns() - before) / 1e6, .yardstick = 3000 };
	row.ratio = row.min = row.max = row.ours / row.yardstick;
	print_row("100,000 bindings: load, check, test, show, ms vs 3 s", &row, row.ratio, 1, "");
	row = in_turns((struct thing){ run_callers, middle }, (struct thing){ run_callers, small }, 50000);
	print_row("a decision among 1,000 bindings: ns vs among 10", &row, row.ratio, 5, "");
	row = in_turns((struct thing){ run_callers, large }, (struct thing){ run_callers, small }, 50000);
	print_row("a decision among 100,000 bindings: ns vs among 10", &row, row.ratio, 5, "");
	print_row("  the same: less than 1 us of index, so in all", &row, row.ours, 1000, " ns");
	row = in_turns((struct thing){ run_decide, conditional }, (struct thing){ run_decide, plain }, 50000);
	print_row("  1,000, three conditions and horizon: ns vs none", &row, row.ours, 1000, " ns");
	policy_unref(plain);
	policy_unref(conditional);
	callers_free(small);
	callers_free(middle);
	callers_free(large);
}

/* --- the horizon, over the conditions of its property test */

#define HORIZONS 4000

static const char *const others[] = { "flag", "number > 1024", "number < 0", "absent == 1" };
static const struct gen_names names = { "number", "absent", "list", others, ARRAY_SIZE(others) };

enum { TIME, NUMBER, ABSENT, LIST, FLAG, N_SLOTS };

struct timed {
	struct cel_env *env;
	struct zones *zones;
	struct cel_value slots[N_SLOTS], items[3];
	struct cel_list list;
	struct cel_arena arena;
};

static void timed_init(struct timed *t) {
	static const struct {
		const char *name;
		const struct cel_type *type;
	} variables[] = { [TIME] = { "request.time", &cel_timestamp }, [NUMBER] = { "number", &cel_int },
			  [ABSENT] = { "absent", &cel_int }, [LIST] = { "list", &cel_list_dyn }, [FLAG] = { "flag", &cel_bool } };
	struct error err;
	unsigned slot;

	*t = (struct timed){ .items = { cel_of_int(7), cel_of_int(8), cel_of_int(9) }, .list = { 3, t->items } };
	if (cel_env_new(CEL_LIB_ALL, &t->env, &err) < 0 || cel_arena_init(&t->arena, 65536, 65536, &err) < 0 || !(t->zones = zones_new(&host)))
		die("out of memory");
	cel_env_zones(t->env, t->zones);
	for (unsigned i = 0; i < N_SLOTS; i++)
		if (cel_env_variable(t->env, variables[i].name, variables[i].type, &slot, &err) < 0)
			die(err.message);
	t->slots[NUMBER] = cel_of_int(2222);
	t->slots[LIST] = cel_of_list(&t->list);
	t->slots[FLAG] = cel_of_bool(true);
}

static void timed_fini(struct timed *t) {
	cel_arena_fini(&t->arena);
	cel_env_free(t->env);
	zones_free(t->zones);
}

/* The least of three, so that what the machine does besides is not taken for ours. -1: it errs at that instant. */
static double one_horizon(struct timed *t, const struct cel_program *program, int64_t now) {
	const struct cel_activation activation = { .slots = t->slots };
	double least = -1, before, took;
	struct cel_value v;

	t->slots[TIME] = cel_of_timestamp(now, 0);
	cel_arena_reset(&t->arena);
	v = cel_eval(program, &activation, &t->arena);
	for (int i = 0; i < 3 && v.kind == CEL_BOOL; i++) {
		cel_arena_reset(&t->arena);
		before = cpu_ns();
		horizon_until(program, &activation, TIME, now + HOUR, v.b, &t->arena);
		took = cpu_ns() - before;
		least = least < 0 || took < least ? took : least;
	}
	return least;
}

static double random_horizon(struct timed *t, struct gen *g) {
	struct cel_program *program;
	struct cel_error wrong;
	struct error err;
	double took;

	g->zone = gen_zones[rnd(g, ARRAY_SIZE(gen_zones))];
	if (zones_load(t->zones, str_of(g->zone), &g->ref, &err) < 0)
		die(err.message);
	g->anchor = some_anchor(g);
	g->text = BUF_INIT(65536);
	put_some_condition(g, false);
	if (cel_compile(t->env, (struct str){ g->text.data, g->text.len }, CEL_WANT_BOOL, NULL, &program, &wrong) < 0)
		die(wrong.message);
	took = one_horizon(t, program, g->anchor + (int64_t)rnd(g, 3 * HOUR) - 3 * HOUR / 2);
	cel_program_free(program);
	buf_fini(&g->text);
	return took;
}

static void bench_horizon(void) {
	struct gen g = { .state = 20261126, .names = &names };
	static double took[HORIZONS];
	struct timed timed;
	struct row row;
	unsigned n = 0;

	timed_init(&timed);
	while (n < HORIZONS) {
		took[n] = random_horizon(&timed, &g) / 1000;
		n += took[n] >= 0;
	}
	row = (struct row){ .ours = median(took, n), .yardstick = 100 };
	row.ratio = row.min = row.max = row.ours / row.yardstick;
	print_row("horizon of random conditions, an hour: us vs 100", &row, row.ratio, 1, "");
	row = (struct row){ .ours = took[n - 1], .yardstick = 2000 };
	row.ratio = row.min = row.max = row.ours / row.yardstick;
	print_row("  the worst of 4,000: us vs 2 ms", &row, row.ratio, 1, "");
	timed_fini(&timed);
}

/* --- one thing, so that its instructions can be counted */

static void run_one(struct condition_env *env, const char *key, size_t n) {
	struct policy *policy;

	for (size_t i = 0; i < N_CONDITIONS; i++)
		if (!strcmp(key, conditions[i].key)) {
			struct condition *condition = compiled(env, conditions[i].text);

			run_condition(condition, n);
			return;
		}
	if (strcmp(key, "decide"))
		die("nothing is called so: e1, e2, e3, e4, decide");
	policy = policy_of(1000, THREE);
	run_decide(policy, n);
	policy_unref(policy);
}

int main(int argc, char **argv) {
	struct condition_env *env;
	struct error err;

	add_claims();
	if (condition_env_new(&host, &env, &err) < 0)
		die(err.message);
	if (argc == 4 && !strcmp(argv[1], "-n")) {
		run_one(env, argv[3], strtoul(argv[2], NULL, 10));
	} else {
		rounds = argc > 1 ? (unsigned)atoi(argv[1]) : rounds;
		json = argc > 2 ? fopen(argv[2], "a") : NULL;
		if (rounds < 1 || rounds > MAX_ROUNDS || (argc > 2 && !json))
			die("usage: policybench [ROUNDS [JSON]] | -n COUNT e1|e2|e3|e4|decide");
		bench_conditions(env);
		bench_zones(env);
		bench_compile();
		bench_decisions();
		bench_horizon();
	}
	condition_env_free(env);
	json_decref((json_t *)(uintptr_t)query.claims);
	return 0;
}
