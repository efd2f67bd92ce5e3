/* zones: real zones at the instants that go wrong, made-up files, names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/cel_time.h"
#include "policy/zones.h"

/* ---- Real zones ---- */

static int read_system_zone(void *arg, const char *name, unsigned char **data, size_t *len) {
	char path[256];
	FILE *file;

	(void)arg;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	file = fopen(path, "rb");
	if (!file)
		return -1;
	*data = malloc(65536);
	*len = *data ? fread(*data, 1, 65536, file) : 0;
	fclose(file);
	return *data ? 0 : -1;
}

static const struct policy_host host = { .read_zone = read_system_zone };

/* The clock of the zone just before and at an instant given in UTC. */
static const struct {
	const char *zone, *at;
	int before_s, after_s;
} changes[] = {
	{ "Europe/Berlin", "2026-03-29T01:00:00Z", 3600, 7200 },
	{ "Europe/Berlin", "2026-10-25T01:00:00Z", 7200, 3600 },
	{ "Europe/Berlin", "2399-03-28T01:00:00Z", 3600, 7200 },
	{ "Europe/Berlin", "2499-03-29T01:00:00Z", 3600, 7200 },
	{ "Europe/Berlin", "9999-10-31T01:00:00Z", 7200, 3600 },
	{ "America/New_York", "2026-03-08T07:00:00Z", -18000, -14400 },
	{ "America/New_York", "2026-11-01T06:00:00Z", -14400, -18000 },
	{ "America/New_York", "2100-03-14T07:00:00Z", -18000, -14400 },
	{ "US/Central", "2026-03-08T08:00:00Z", -21600, -18000 },
	{ "Australia/Lord_Howe", "2026-04-04T15:00:00Z", 39600, 37800 },
	{ "Australia/Lord_Howe", "2026-10-03T15:30:00Z", 37800, 39600 },
	{ "Africa/Casablanca", "2026-02-15T02:00:00Z", 3600, 0 },
	{ "Africa/Casablanca", "2026-03-22T02:00:00Z", 0, 3600 },
	{ "America/Sao_Paulo", "2019-02-17T02:00:00Z", -7200, -10800 },
	{ "Asia/Kathmandu", "1985-12-31T18:30:00Z", 19800, 20700 },
	{ "Antarctica/Troll", "2026-03-29T01:00:00Z", 0, 7200 },
	{ "Antarctica/Troll", "2026-10-25T01:00:00Z", 7200, 0 },
	{ "Pacific/Apia", "2011-12-30T10:00:00Z", -36000, 50400 },
};

static void test_zones_change_when_they_do(void **state) {
	cleanup(zones_freep) struct zones *zones = zones_new(&host);

	(void)state;
	assert_non_null(zones);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct cel_timestamp t;
		struct zone_ref zone;
		struct error err;

		if (zones_load(zones, str_of(changes[i].zone), &zone, &err) != 0) {
			assert_int_equal(err.code, ERR_NOT_FOUND);
			print_message("skipped: no zone %s on this machine\n", changes[i].zone);
			continue;
		}
		assert_true(cel_time_parse(str_of(changes[i].at), &t));
		if (zone_ref_offset(zone, t.s - 1) != changes[i].before_s || zone_ref_offset(zone, t.s) != changes[i].after_s)
			fail_msg("%s at %s: %d, %d", changes[i].zone, changes[i].at, zone_ref_offset(zone, t.s - 1),
				 zone_ref_offset(zone, t.s));
		assert_int_equal(zone_next_transition(zone.zone, t.s - 1), t.s);
		assert_true(zone_next_transition(zone.zone, t.s) > t.s);
	}
}

/* The clock jumps over what never was, and shows what was twice. */
static void test_zones_gaps_and_overlaps(void **state) {
	static const struct {
		const char *zone, *at;
		enum cel_time_field field;
		int64_t value;
	} cases[] = {
		{ "Europe/Berlin", "2026-03-29T00:59:59Z", CEL_HOURS, 1 },
		{ "Europe/Berlin", "2026-03-29T01:00:00Z", CEL_HOURS, 3 },
		{ "Europe/Berlin", "2026-10-25T00:59:59Z", CEL_HOURS, 2 },
		{ "Europe/Berlin", "2026-10-25T01:00:00Z", CEL_HOURS, 2 },
		{ "Europe/Berlin", "2026-10-25T02:00:00Z", CEL_HOURS, 3 },
		{ "Pacific/Apia", "2011-12-30T09:59:59Z", CEL_DATE, 29 },
		{ "Pacific/Apia", "2011-12-30T10:00:00Z", CEL_DATE, 31 },
		{ "Asia/Kathmandu", "2026-01-01T00:00:00Z", CEL_MINUTES, 45 },
		{ "America/Sao_Paulo", "2300-01-01T00:00:00Z", CEL_HOURS, 21 },
	};
	cleanup(zones_freep) struct zones *zones = zones_new(&host);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cel_timestamp t;
		struct zone_ref zone;
		struct error err;

		if (zones_load(zones, str_of(cases[i].zone), &zone, &err) != 0) {
			print_message("skipped: no zone %s on this machine\n", cases[i].zone);
			continue;
		}
		assert_true(cel_time_parse(str_of(cases[i].at), &t));
		assert_int_equal(cel_time_get(cases[i].field, t, zone), cases[i].value);
	}
}

/* ---- Made-up files ---- */

/* A version 2 file with up to 4 transitions between type 0 (offset 0) and type 1 (3600 s), and a footer. */
struct made {
	unsigned char data[512];
	size_t len;
};

static void put(struct made *m, uint64_t v, size_t n) {
	while (n--)
		m->data[m->len++] = (unsigned char)(v >> (8 * n));
}

static void put_header(struct made *m, uint32_t times, uint32_t types) {
	memcpy(m->data + m->len, "TZif2", 5);
	m->len += 20;
	put(m, 0, 4);
	put(m, 0, 4);
	put(m, 0, 4);
	put(m, times, 4);
	put(m, types, 4);
	put(m, 4, 4);
}

static void made_new(struct made *m, const int64_t *times, uint32_t n, const char *footer) {
	*m = (struct made){ 0 };
	put_header(m, 0, 0);
	put(m, 0, 4);
	put_header(m, n, 2);
	for (uint32_t i = 0; i < n; i++)
		put(m, (uint64_t)times[i], 8);
	for (uint32_t i = 0; i < n; i++)
		put(m, (i + 1) % 2, 1);
	put(m, 0, 6);
	put(m, 3600, 4);
	put(m, 0x0100, 2);
	put(m, 0x41424300, 4);
	memcpy(m->data + m->len, footer, strlen(footer));
	m->len += strlen(footer);
}

static void test_zones_follow_the_footer(void **state) {
	static const struct {
		const char *footer, *at;
		int offset_s;
	} cases[] = {
		{ "\nUTC0\n", "2026-07-01T00:00:00Z", 0 },
		{ "\n<+0530>-5:30\n", "2026-07-01T00:00:00Z", 19800 },
		{ "\nXXX0:00:07\n", "2026-07-01T00:00:00Z", -7 },
		{ "\nEST5EDT,M3.2.0,M11.1.0\n", "2026-03-08T06:59:59Z", -18000 },
		{ "\nEST5EDT,M3.2.0,M11.1.0\n", "2026-03-08T07:00:00Z", -14400 },
		{ "\nAAA0BBB,J60/0,J61/0\n", "2024-02-29T23:59:59Z", 0 },
		{ "\nAAA0BBB,J60/0,J61/0\n", "2024-03-01T00:00:00Z", 3600 },
		{ "\nAAA0BBB,59/0,60/0\n", "2024-02-29T00:00:00Z", 3600 },
		{ "\nAAA0BBB,59/0,60/0\n", "2023-03-01T00:00:00Z", 3600 },
		{ "\nAAA0BBB,59/0,60/0\n", "2024-03-01T00:00:00Z", 0 },
		{ "\n<-02>2<-01>,M3.5.0/-1,M10.5.0/0\n", "2026-03-29T00:59:59Z", -7200 },
		{ "\n<-02>2<-01>,M3.5.0/-1,M10.5.0/0\n", "2026-03-29T01:00:00Z", -3600 },
		{ "\nEET-2EEST,M3.4.4/50,M10.4.4/50\n", "2026-03-27T23:59:59Z", 7200 },
		{ "\nEET-2EEST,M3.4.4/50,M10.4.4/50\n", "2026-03-28T00:00:00Z", 10800 },
		{ "\nXXX3EDT4,0/0,J365/23\n", "2026-01-01T02:59:59Z", -14400 },
		{ "\nXXX3EDT4,0/0,J365/23\n", "2026-07-01T00:00:00Z", -14400 },
		{ "\nAEST-10AEDT,M10.1.0,M4.1.0/3\n", "2027-01-01T00:00:00Z", 39600 },
		{ "\nAEST-10AEDT,M10.1.0,M4.1.0/3\n", "2027-07-01T00:00:00Z", 36000 },
		/* No transitions: the rule speaks for all time. */
		{ "\nEST5EDT,M3.2.0,M11.1.0\n", "1930-07-01T00:00:00Z", -14400 },
		{ "\nEST5EDT,M3.2.0,M11.1.0\n", "0001-07-01T00:00:00Z", -14400 },
		{ "\nEST5EDT,M3.2.0,M11.1.0\n", "1930-01-01T00:00:00Z", -18000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup(zone_freep) struct zone *zone = NULL;
		struct cel_timestamp t;
		struct error err;
		struct made m;

		made_new(&m, NULL, 0, cases[i].footer);
		if (zone_parse(m.data, m.len, &zone, &err) != 0)
			fail_msg("%s: %s", cases[i].footer, err.message);
		assert_true(cel_time_parse(str_of(cases[i].at), &t));
		if (zone_offset(zone, t.s) != cases[i].offset_s)
			fail_msg("%s at %s: %d", cases[i].footer, cases[i].at, zone_offset(zone, t.s));
	}
}

static void test_zones_survive_odd_transitions(void **state) {
	static const int64_t ages[] = { INT64_MIN, INT64_MIN + 1, -(1LL << 59), 0 };
	cleanup(zone_freep) struct zone *zone = NULL;
	struct error err;
	struct made m;

	(void)state;
	made_new(&m, ages, 4, "\nUTC0\n");
	assert_int_equal(zone_parse(m.data, m.len, &zone, &err), 0);
	assert_int_equal(zone_offset(zone, -1), 3600);
	assert_int_equal(zone_offset(zone, 0), 0);
	assert_int_equal(zone_offset(zone, INT64_MAX), 0);
	assert_int_equal(zone_offset(zone, INT64_MIN + 5), 3600);
	assert_true(zone_next_transition(zone, 0) == INT64_MAX);
	assert_true(zone_next_transition(zone, INT64_MAX) == INT64_MAX);
}

static void test_zones_refuse_bad_files(void **state) {
	static const int64_t backwards[] = { 5, 4 };
	static const char *const footers[] = { "", "\n", "UTC0\n", "\nUT0\n", "\nUTC\n", "\nUTC25\n", "\nUTC0X\n",
					       "\nEST5EDT\n", "\nEST5EDT,M3.2.0\n", "\nEST5EDT,M13.2.0,M11.1.0\n",
					       "\nEST5EDT,M3.6.0,M11.1.0\n", "\nEST5EDT,M3.2.7,M11.1.0\n",
					       "\nEST5EDT,J0,J5\n", "\nEST5EDT,366,5\n", "\nEST5EDT,1/168,5\n", "\n<UTC0\n" };
	struct zone *zone = NULL;
	struct error err;
	struct made m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(footers); i++) {
		made_new(&m, NULL, 0, footers[i]);
		if (zone_parse(m.data, m.len, &zone, &err) == 0)
			fail_msg("accepted the footer %s", footers[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
	made_new(&m, backwards, 2, "\nUTC0\n");
	assert_int_equal(zone_parse(m.data, m.len, &zone, &err), -1);
	made_new(&m, backwards, 1, "\nUTC0\n");
	for (size_t n = 0; n < m.len; n++) {
		unsigned char *cut = malloc(n + 1); /* of its own, so that a sanitizer sees a read past its end */

		assert_non_null(cut);
		memcpy(cut, m.data, n);
		assert_int_equal(zone_parse(cut, n, &zone, &err), -1);
		free(cut);
	}
	m.data[4] = 0; /* version 1 */
	assert_int_equal(zone_parse(m.data, m.len, &zone, &err), -1);
}

/* ---- Names ---- */

static void test_zones_know_fixed_offsets(void **state) {
	static const struct {
		struct str name;
		int offset_s;
	} cases[] = {
		{ STR(""), 0 },		   { STR("UTC"), 0 },	      { STR("+01:00"), 3600 },	 { STR("-00:30"), -1800 },
		{ STR("02:00"), 7200 }, { STR("+23:59"), 86340 }, { STR("-11:45"), -42300 },
	};
	static const struct str bad[] = { STR("utc"),	STR("Z"),      STR("+5"),     STR("+1:00"), STR("+24:00"),
					  STR("+01:60"), STR("+01:00 "), STR("++1:00"), STR("+0100"), STR("1:000") };
	cleanup(zones_freep) struct zones *zones = zones_new(NULL);
	struct zone_ref zone;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(zones_find(zones, cases[i].name, &zone), 0);
		assert_null(zone.zone);
		assert_int_equal(zone.offset_s, cases[i].offset_s);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(zones_load(zones, bad[i], &zone, &err), -1);
}

static int read_no_zone(void *arg, const char *name, unsigned char **data, size_t *len) {
	(void)name;
	(void)data;
	(void)len;
	++*(int *)arg;
	return -1;
}

static void test_zones_ask_the_host_for_no_other_file(void **state) {
	static const struct str bad[] = { STR("../etc/passwd"), STR("/etc/localtime"), STR("Europe//Berlin"), STR("Europe/"),
					  STR("Europe/.."),	STR("Europe/Ber lin"), STR("Europe\0/x"),      STR("localtime"),
					  STR("Local"),		STR("posixrules"),     STR("-Europe"),	       STR("a.b") };
	int asked = 0;
	struct policy_host nothing = { .read_zone = read_no_zone, .arg = &asked };
	cleanup(zones_freep) struct zones *zones = zones_new(&nothing);
	struct zone_ref zone;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(zones_load(zones, bad[i], &zone, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
	assert_int_equal(asked, 0);
	assert_int_equal(zones_load(zones, STR("Mars/Olympus"), &zone, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(asked, 1);
}

/* ---- in a policy ---- */

#define BINDING(expression)                                                                                            \
	"version: 1\nbindings:\n  - name: b\n    members: [user:a@b.cc]\n    serviceAccounts: [x@p.iam.gserviceaccount.com]\n"           \
	"    condition:\n      expression: " expression "\n"

static int read_counted(void *arg, const char *name, unsigned char **data, size_t *len) {
	++*(int *)arg;
	return read_system_zone(NULL, name, data, len);
}

/* Each is read once for all the conditions that name it, and none while deciding: files may change, a policy does not. */
static void test_zones_are_read_at_load_and_once(void **state) {
	static const char text[] = BINDING("request.time.getHours('Europe/Berlin') >= 0 && request.time.getMinutes('Europe/Berlin') >= 0 &&"
					   " request.time.getDate('US/Central') > 0 && request.time.getDate('+01:00') > 0")
		"denyRules:\n  - {name: d, deniedPrincipals: [user:c@d.ee], denialCondition: {expression: \"request.time.getHours('Europe/Berlin') > 25\"}}\n";
	int asked = 0;
	struct policy_host counting = { read_counted, &asked };
	struct policy_query q = { .now = 1795532645, .principal = "user:a@b.cc", .service_account = "x@p.iam.gserviceaccount.com" };
	struct policy_report report;
	struct policy *policy;
	struct decision d;
	struct error err;

	(void)state;
	if (policy_load("p", STR(text), &counting, 0, &policy, &report, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(asked, 2);
	for (int i = 0; i < 100; i++) {
		q.now += 86400;
		policy_decide(policy, &q, &d);
		assert_true(d.allow);
	}
	assert_int_equal(asked, 2);
	policy_report_fini(&report);
	policy_unref(policy);
}

/* Where it stands, and what may stand there. */
static void test_zones_that_do_not_exist_refuse_the_policy(void **state) {
	static const struct {
		const char *text, *message;
		unsigned column;
	} rows[] = {
		{ BINDING("request.time.getHours('Europe/Berln') > 1"), "there is no time zone 'Europe/Berln' here", 41 },
		{ BINDING("request.time.getHours('../../etc/passwd') > 1"), "'../../etc/passwd' is no time zone", 41 },
		{ BINDING("request.time.getHours('CEST+1:00') > 1"), "'CEST+1:00' is no time zone", 41 },
		{ BINDING("request.time.getHours('+24:00') > 1"), "'+24:00' is no time zone", 41 },
		{ BINDING("1 > 2 && request.time.getHours('Mars/Olympus') > 1"), "there is no time zone 'Mars/Olympus' here", 50 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct policy_report report;
		struct policy *policy;
		struct error err;

		assert_int_equal(policy_load("p", str_of(rows[i].text), &host, 0, &policy, &report, &err), -1);
		assert_int_equal(report.n_errors, 1);
		assert_int_equal(report.findings[0].line, 7);
		assert_int_equal(report.findings[0].column, rows[i].column);
		if (strncmp(report.findings[0].message, rows[i].message, strlen(rows[i].message)))
			fail_msg("%s", report.findings[0].message);
		policy_report_fini(&report);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zones_change_when_they_do),
		cmocka_unit_test(test_zones_gaps_and_overlaps),
		cmocka_unit_test(test_zones_follow_the_footer),
		cmocka_unit_test(test_zones_survive_odd_transitions),
		cmocka_unit_test(test_zones_refuse_bad_files),
		cmocka_unit_test(test_zones_know_fixed_offsets),
		cmocka_unit_test(test_zones_ask_the_host_for_no_other_file),
		cmocka_unit_test(test_zones_are_read_at_load_and_once),
		cmocka_unit_test(test_zones_that_do_not_exist_refuse_the_policy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
