/* Invariants on the real daemon: a policy that breaks one never comes in force (P6). And hallpass policy test, which runs them alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "tests/lib/world.h"

#define NEVER "invariants:\n  - {name: nobody touches prod, never: {principal: allAuthenticated, serviceAccount: " SA_PROD "}}\n"
#define PROD "  - {name: prod, members: [domain:example.com], serviceAccounts: [\"ml-training-*@acme-ml.iam.gserviceaccount.com\"], maxLifetime: 10m}\n"

static struct world w;
static char out[65536], err[65536];

#define TEST(...) run_cli(&w, out, sizeof(out), err, sizeof(err), "policy", "test", __VA_ARGS__, NULL)

static int setup(void **state) {
	(void)state;
	world_start(&w);
	world_policy(&w, POLICY_DEV NEVER);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	world_end(&w);
	return 0;
}

static void test_P6_a_policy_that_breaks_its_invariant_is_refused_and_the_last_good_one_stays(void **state) {
	const char *error;
	json_t *records;
	struct answer a;

	(void)state;
	world_daemon(&w);
	world_policy(&w, POLICY_DEV PROD NEVER);
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 400);
	assert_non_null(strstr(answer_text(&a, "error.message"), "invariant \"nobody touches prod\" does not hold: " ME " may be " SA_PROD));
	answer_fini(&a);
	ask_token(&w, SA_PROD, "", &a);
	assert_int_equal(a.status, 403);
	answer_fini(&a);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	error = json_string_value(json_object_get(records_last(records, "reload"), "error"));
	assert_non_null(error);
	assert_non_null(strstr(error, "invariant \"nobody touches prod\" does not hold"));
	assert_int_equal(records_count(records, "reload"), 1);
	json_decref(records);
}

static void test_a_broker_does_not_begin_with_a_policy_that_breaks_its_invariant(void **state) {
	(void)state;
	world_policy(&w, POLICY_DEV PROD NEVER);
	assert_int_equal(world_daemon_fails(&w, err, sizeof(err)), 78);
	assert_non_null(strstr(err, "invariant \"nobody touches prod\" does not hold"));
}

/* ---- the command ---- */

static const char *write_policy(const char *text) {
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/tested.yaml", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

#define ASKED(principal, account) "request: {principal: \"" principal "\", serviceAccount: " account ", time: 2026-01-01T00:00:00Z}"

static void test_policy_test_prints_like_a_test_runner(void **state) {
	const char *path = write_policy(POLICY_DEV PROD NEVER
					"tests:\n"
					"  - {name: dev, " ASKED(ME, SA_DEV) ", expect: {decision: ALLOW, binding: dev}}\n"
					"  - {name: night, " ASKED(ME, SA_DEV) ", expect: DENY}\n");

	(void)state;
	assert_int_equal(TEST(path), 78);
	assert_string_equal(err, "");
	assert_non_null(strstr(out, "/tested.yaml:8:5: dev\n"));
	assert_memory_equal(out, "ok     ", 7);
	assert_non_null(strstr(out, "/tested.yaml:9:5: night\n         expected DENY, got ALLOW by dev for 1800 s\n"));
	assert_non_null(strstr(out, "/tested.yaml:6:5: invariant nobody touches prod\n         does not hold: user:me@example.com may be " SA_PROD " at "));
	assert_non_null(strstr(out, "         = narrow prod, or add a deny rule\n"));
	assert_non_null(strstr(out, "No test is decided by:\n"));
	assert_non_null(strstr(out, "/tested.yaml:4:5: binding prod\n"));
	assert_null(strstr(out, "binding dev"));
	assert_non_null(strstr(out, "1 of 2 tests passed, 0 of 1 invariants hold\n"));
	assert_null(strstr(out, " ms"));
	assert_int_equal(TEST("-v", path), 78);
	assert_non_null(strstr(out, " ms\n"));
}

static void test_policy_test_says_what_keeps_it_from_testing(void **state) {
	(void)state;
	assert_int_equal(TEST(write_policy(POLICY_DEV)), 0);
	assert_non_null(strstr(out, "binding dev\n"));
	assert_non_null(strstr(out, ": no tests, no invariants\n"));
	assert_int_equal(TEST(write_policy("version: 1\nbindngs: []\n" NEVER)), 78);
	assert_non_null(strstr(out, "tested.yaml:2:1: error: a policy has no key \"bindngs\" [unknown-key]\n"));
	assert_non_null(strstr(out, "refused before anything could be tested\n"));
	assert_int_equal(TEST("/proc/absent.yaml"), 78);
	assert_non_null(strstr(out, "refused before anything could be tested: /proc/absent.yaml: No such file"));
	assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), "policy", "test", NULL), 64);
}

static void test_policy_test_has_json_for_programs(void **state) {
	const char *kind, *name, *id, *principal, *account, *time, *rule, *untouched;
	json_t *json;
	double seconds;
	int ok, line;

	(void)state;
	assert_int_equal(TEST("--json", write_policy(POLICY_DEV PROD NEVER)), 78);
	json = json_loads(out, 0, NULL);
	assert_non_null(json);
	assert_int_equal(json_unpack(json, "{s:b, s:[{s:s, s:s, s:i, s:b, s:F, s:s, s:{s:s, s:s, s:s, s:s}}!], s:[{}, {s:s}!], s:[]}", "ok", &ok,
				     "checks", "kind", &kind, "name", &name, "line", &line, "ok", &ok, "seconds", &seconds, "id", &id,
				     "counterexample", "principal", &principal, "serviceAccount", &account, "time", &time, "rule", &rule,
				     "untouched", "name", &untouched, "errors"),
			 0);
	assert_string_equal(kind, "invariant");
	assert_string_equal(name, "nobody touches prod");
	assert_string_equal(id, "invariant-failed");
	assert_string_equal(principal, ME);
	assert_string_equal(account, SA_PROD);
	assert_string_equal(rule, "prod");
	assert_string_equal(untouched, "prod");
	assert_true(line == 6 && !ok && seconds < 5);
	json_decref(json);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_P6_a_policy_that_breaks_its_invariant_is_refused_and_the_last_good_one_stays),
		SCENARIO(test_a_broker_does_not_begin_with_a_policy_that_breaks_its_invariant),
		SCENARIO(test_policy_test_prints_like_a_test_runner),
		SCENARIO(test_policy_test_says_what_keeps_it_from_testing),
		SCENARIO(test_policy_test_has_json_for_programs),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
