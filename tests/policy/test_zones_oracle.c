/*
 * zones and the calendar against somebody else's: Python's zoneinfo reads the same files, and is asked for the clock of
 * every zone just before and at each of its changes, in the far future, and at random instants of all years.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "policy/cel_time.h"
#include "policy/zones.h"
#include "tests/policy/load.h"

#define RANDOM 60	     /* instants of each zone */
#define CHANGES 600	     /* followed from the year 1 on */
#define LATE_CHANGES 40	     /* and from each of these on */
#define FIRST (CEL_TIME_MIN_S + 2 * 86400) /* Python's years end where ours do, offsets included */
#define LAST (CEL_TIME_MAX_S - 2 * 86400)

static const int64_t late[] = { 1767225600 /* 2026 */, 2145916800 /* 2038 */, 4102444800 /* 2100 */, 13569465600 /* 2400 */,
				64060588800 /* 4000 */, 253300000000 /* 9996 */ };

static const char names_py[] = "import sys, zoneinfo\n"
			       "for name in sorted(zoneinfo.available_timezones()): print(name)\n";

/* Lines "ZONE" and "SECONDS"; the clock of the last zone named at each. */
static const char clock_py[] = "import sys, zoneinfo\n"
			       "from datetime import datetime, timedelta, timezone\n"
			       "epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)\n"
			       "for line in open(sys.argv[1]):\n"
			       "    if line[0] not in '-0123456789':\n"
			       "        zone = zoneinfo.ZoneInfo(line.strip())\n"
			       "        continue\n"
			       "    t = (epoch + timedelta(seconds=int(line))).astimezone(zone)\n"
			       "    print(int(t.utcoffset().total_seconds()), t.year, t.month - 1, t.day, t.isoweekday() % 7,\n"
			       "          t.timetuple().tm_yday - 1, t.hour, t.minute, t.second)\n";

static const enum cel_time_field fields[] = { CEL_FULL_YEAR, CEL_MONTH, CEL_DATE, CEL_DAY_OF_WEEK, CEL_DAY_OF_YEAR,
					      CEL_HOURS,     CEL_MINUTES, CEL_SECONDS };

struct oracle {
	char dir[64];
	FILE *asked; /* what is asked, in a file */
	struct zones *zones;
	struct {
		char name[64];
		struct zone_ref ref;
		size_t first; /* of its instants */
	} list[1024];
	size_t n, n_instants;
	int64_t *instants;
	uint64_t state;
};

static void put_file(const struct oracle *o, const char *name, const char *text) {
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", o->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static FILE *python(const struct oracle *o, const char *script) {
	char command[512];

	snprintf(command, sizeof(command), "PYTHONTZPATH=/usr/share/zoneinfo python3 %s/%s %s/asked 2>/dev/null", o->dir, script, o->dir);
	return popen(command, "r");
}

static void ask(struct oracle *o, int64_t s) {
	if (s < FIRST || s > LAST)
		return;
	if (o->n_instants % 65536 == 0)
		o->instants = reallocarray(o->instants, o->n_instants + 65536, sizeof(*o->instants));
	assert_non_null(o->instants);
	o->instants[o->n_instants++] = s;
	fprintf(o->asked, "%lld\n", (long long)s);
}

static void ask_changes(struct oracle *o, const struct zone *zone, int64_t s, unsigned n) {
	for (; n && (s = zone_next_transition(zone, s)) != INT64_MAX; n--) {
		ask(o, s - 1);
		ask(o, s);
	}
}

static int64_t some_instant(struct oracle *o) {
	o->state ^= o->state << 13; /* xorshift64 */
	o->state ^= o->state >> 7;
	o->state ^= o->state << 17;
	return o->state % 2 ? FIRST + (int64_t)((o->state >> 1) % (uint64_t)(LAST - FIRST)) : (int64_t)((o->state >> 1) % 4000000000u);
}

static void ask_zone(struct oracle *o, const char *name) {
	struct error err;

	snprintf(o->list[o->n].name, sizeof(o->list[o->n].name), "%s", name);
	if (zones_load(o->zones, str_of(name), &o->list[o->n].ref, &err) != 0)
		fail_msg("%s: %s", name, err.message);
	o->list[o->n].first = o->n_instants;
	fprintf(o->asked, "%s\n", name);
	if (o->list[o->n].ref.zone) {
		ask_changes(o, o->list[o->n].ref.zone, CEL_TIME_MIN_S, CHANGES);
		for (size_t i = 0; i < ARRAY_SIZE(late); i++)
			ask_changes(o, o->list[o->n].ref.zone, late[i], LATE_CHANGES);
	}
	for (unsigned i = 0; i < RANDOM; i++)
		ask(o, some_instant(o));
	o->n++;
}

/* False: there is no Python that knows zones. */
static bool ask_all(struct oracle *o) {
	char line[128], path[128];
	FILE *names = python(o, "names.py");

	snprintf(path, sizeof(path), "%s/asked", o->dir);
	o->asked = fopen(path, "w");
	assert_non_null(o->asked);
	while (fgets(line, sizeof(line), names) && o->n < ARRAY_SIZE(o->list)) {
		line[strcspn(line, "\n")] = '\0';
		if (zone_name_ok(str_of(line)) && (!getenv("HALLPASS_SLOW") || o->n < 20))
			ask_zone(o, line);
	}
	fclose(o->asked);
	return pclose(names) == 0 && o->n > 0;
}

static void check_line(const struct oracle *o, size_t zone, size_t i, const char *line) {
	int64_t s = o->instants[i], offset, value[ARRAY_SIZE(fields)];
	const char *name = o->list[zone].name;
	struct zone_ref ref = o->list[zone].ref;
	int at = 0, n;

	assert_int_equal(sscanf(line, "%ld%n", &offset, &at), 1);
	if (offset != zone_ref_offset(ref, s))
		fail_msg("%s at %lld: %d s east of UTC, and %lld by Python", name, (long long)s, zone_ref_offset(ref, s), (long long)offset);
	for (size_t f = 0; f < ARRAY_SIZE(fields); f++, at += n) {
		assert_int_equal(sscanf(line + at, "%ld%n", &value[f], &n), 1);
		if (cel_time_get(fields[f], (struct cel_timestamp){ s, 0 }, ref) != value[f])
			fail_msg("%s at %lld: field %zu is %lld, and %lld by Python", name, (long long)s, f,
				 (long long)cel_time_get(fields[f], (struct cel_timestamp){ s, 0 }, ref), (long long)value[f]);
	}
}

static void test_zones_agree_with_another_reader(void **state) {
	struct oracle o = { .dir = "/tmp/hallpass-zones.XXXXXX", .zones = zones_new(&test_host), .state = 20261126 };
	char line[256], command[128];
	size_t zone = 0, i = 0;
	FILE *clock;
	bool there;

	(void)state;
	assert_non_null(mkdtemp(o.dir));
	put_file(&o, "names.py", names_py);
	put_file(&o, "clock.py", clock_py);
	there = ask_all(&o);
	clock = python(&o, "clock.py");
	for (; there && i < o.n_instants; i++) {
		assert_non_null(fgets(line, sizeof(line), clock));
		while (zone + 1 < o.n && i >= o.list[zone + 1].first)
			zone++;
		check_line(&o, zone, i, line);
	}
	pclose(clock);
	snprintf(command, sizeof(command), "rm -rf %s", o.dir);
	assert_int_equal(system(command), 0);
	zones_free(o.zones);
	free(o.instants);
	if (!there) {
		print_message("skipped: python3 with zoneinfo is not here\n");
		skip();
	}
	print_message("%zu zones at %zu instants: the same offset and clock\n", o.n, i);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zones_agree_with_another_reader),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
