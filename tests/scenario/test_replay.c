/* hallpass policy replay on the real daemon's record: what is read back is what was decided, and what another policy would change. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/journaldir.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

#define HOUR 3600
#define TOKEN "instance/service-accounts/default/token"
#define BINDING(name, account, more) "  - {name: " name ", members: [\"" ME "\"], serviceAccounts: [" account "]" more "}\n"
#define POLICY(bindings) "version: 1\nbindings:\n" bindings

static struct world w;
static char out[1 << 20], err[65536], new_path[128], audit[128];

static int setup(void **state) {
	(void)state;
	world_start(&w);
	snprintf(new_path, sizeof(new_path), "%s/new.yaml", w.dir);
	snprintf(audit, sizeof(audit), "%s/audit", w.dir);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	return world_end_well(&w);
}

#define CLI(...) run_cli(&w, out, sizeof(out), err, sizeof(err), __VA_ARGS__, NULL)
#define REPLAY(...) CLI("policy", "replay", new_path, "--log", audit, __VA_ARGS__)

static void write_new(const char *yaml) {
	FILE *f = fopen(new_path, "w");

	assert_non_null(f);
	fputs(yaml, f);
	assert_int_equal(fclose(f), 0);
}

static void token(const char *account, const char *more, int status) {
	struct answer a;

	ask_token(&w, account, more, &a);
	if (a.status != status)
		fail_msg("%d: %s", a.status, a.text);
	answer_fini(&a);
}

static void assert_says(const char *text) {
	if (!strstr(out, text))
		fail_msg("\"%s\" is not in: %s%s", text, out, err);
}

/* A number of the upshot in JSON: "counts.denied". */
static json_int_t figure(const char *group, const char *name) {
	json_t *json = json_loads(out, 0, NULL);
	const json_t *value = json_object_get(json_object_get(json, group), name);
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value))
		fail_msg("no %s.%s in: %s%s", group, name, out, err);
	json_decref(json);
	return n;
}

static void assert_as_recorded(const char *yaml, json_int_t issued, json_int_t denied) {
	write_new(yaml);
	assert_int_equal(REPLAY("--json", "--exit-code"), 0);
	assert_int_equal(figure("counts", "issuances"), issued);
	assert_int_equal(figure("counts", "refusals"), denied);
	assert_int_equal(figure("doubts", "unfaithful"), 0);
	assert_int_equal(figure("doubts", "withoutInstant"), 0);
	assert_says("\"changes\":[]");
	assert_says("\"unproven\":[]");
}

/* --- what is read back is what was decided */

/* A condition each on what a request is described by; what bounds a lifetime to the second; every kind of refusal. */
static const char *all_attributes(void) {
	static char yaml[8192];
	char soon[64], here[512];
	ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);

	assert_true(n > 0);
	here[n] = '\0';
	strftime(soon, sizeof(soon), "%Y-%m-%dT%H:%M:%SZ", gmtime(&(time_t){ (time_t)now_s() + 300 }));
	snprintf(yaml, sizeof(yaml),
		 POLICY(BINDING("peer", SA_DEV, ", maxLifetime: 20m, condition: {expression: 'request.peer.uid == %d && request.peer.gid == %d && request.peer.pid == %d && request.peer.exe == \"%s\"'}")
			BINDING("door", SA_LABEL, ", condition: {expression: 'origin.ip == \"127.0.0.1\" && origin.port > 1 && request.surface == \"metadata\"'}")
			BINDING("window", SA_PROD, ", permissions: [getAccessToken, getOpenIdToken], condition: {expression: 'request.time < timestamp(\"%s\") && (has(request.justification) && request.justification == \"INC-1\" || has(request.audience) && request.audience == \"https://x.example\") && request.auth.method == \"peer\"'}")
			BINDING("lent", SA_BATCH, ", scopes: [https://www.googleapis.com/auth/devstorage.read_only], maxLifetime: 10m, condition: {expression: '!has(request.lifetime) || request.lifetime < duration(\"1h\")'}")
			BINDING("through", SA_DEV, ", permissions: [implicitDelegation]"))
		 "denyRules:\n  - {name: stop, deniedPrincipals: [\"" ME "\"], serviceAccounts: [" SA_BATCH "], denialCondition: {expression: 'has(request.justification) && request.justification == \"stop\"'}}\n",
		 (int)geteuid(), (int)getegid(), (int)getpid(), here, soon);
	return yaml;
}

static void ask_in_every_way(void) {
	struct session_of_test s;
	struct http_answer h;

	token(SA_DEV, "", 200);
	token(SA_DEV, "", 200); /* cached */
	token(SA_DEV, ", \"lifetime\": 77, \"scopes\": [\"https://www.googleapis.com/auth/bigquery\", \"openid\"]", 200);
	token(SA_PROD, ", \"justification\": \"INC-1\"", 200);
	token(SA_PROD, ", \"justification\": \"none\"", 403);
	token(SA_BATCH, ", \"delegates\": [\"" SA_DEV "\"]", 403); /* allowed, but Google refuses */
	token(SA_BATCH, ", \"delegates\": [\"" SA_PROD "\"]", 403);
	token(SA_BATCH, ", \"scopes\": [\"https://www.googleapis.com/auth/bigquery\"]", 403);
	token(SA_BATCH, ", \"justification\": \"stop\"", 403);
	token(SA_BATCH, ", \"lifetime\": 3600", 403);
	token("nobody@other.iam.gserviceaccount.com", "", 403);
	assert_int_equal(CLI("id-token", "--audience", "https://x.example", SA_PROD), 77); /* it would live longer than the window */
	session_begin(&w, "{\"serviceAccount\": \"" SA_LABEL "\"}", &s);
	md(&s, TOKEN, &h);
	assert_int_equal(h.status, 200);
	http_answer_fini(&h);
	session_leave(&s);
}

/* What an invariant forbids was allowed once, long before the policy came in force. */
static void test_replay_proves_requests_under_a_policy_with_invariants(void **state) {
	(void)state;
	world_policy(&w, POLICY(BINDING("over", SA_DEV, ", notAfter: 2020-01-01T00:00:00Z") BINDING("label", SA_LABEL, ""))
			 "invariants:\n  - {name: nobody is dev, never: {principal: allAuthenticated, serviceAccount: " SA_DEV "}}\n");
	world_daemon(&w);
	token(SA_LABEL, "", 200);
	token(SA_DEV, "", 403);
	json_decref(records_wait(&w, "denied", 1)); /* a refusal does not wait for its record */
	assert_as_recorded(POLICY(BINDING("over", SA_DEV, ", notAfter: 2020-01-01T00:00:00Z") BINDING("label", SA_LABEL, "")), 1, 1);
}

static void test_replay_under_the_same_policy_is_what_was_recorded(void **state) {
	const char *yaml = all_attributes();

	(void)state;
	world_policy(&w, yaml);
	world_daemon(&w);
	ask_in_every_way();
	assert_as_recorded(yaml, 5, 7);
	/* Whose process it was is in the record, not in the asking. */
	write_new(yaml);
	assert_int_equal(CLI("policy", "replay", new_path), 0);
	assert_says("of 5 issuances and 7 refusals");
	assert_says(" none would be decided otherwise\n");
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_as_recorded(yaml, 5, 7); /* no broker is needed */
}

/* The limits of the configuration bound lifetimes as a policy does, and may change without it. */
static void test_replay_knows_the_limits_of_then(void **state) {
	static const char yaml[] = POLICY(BINDING("dev", SA_DEV, ", maxLifetime: 1h"));

	(void)state;
	world_policy(&w, yaml);
	snprintf(w.config_more, sizeof(w.config_more), "limits: {maxLifetime: 20m, clockAllowance: 11s}\n");
	world_daemon(&w);
	token(SA_DEV, "", 200);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	w.config_more[0] = '\0';
	world_daemon(&w);
	token(SA_DEV, ", \"lifetime\": 3000", 200);
	assert_as_recorded(yaml, 2, 0);
}

/* Each request is proven under the policy of its own time. */
static void test_replay_proves_requests_under_the_policies_of_then(void **state) {
	static const char one[] = POLICY(BINDING("one", SA_DEV, ", maxLifetime: 5m"));
	static const char two[] = POLICY(BINDING("two", SA_DEV, ", maxLifetime: 10m"));
	char command[256];
	struct answer a;

	(void)state;
	world_policy(&w, one);
	world_daemon(&w);
	token(SA_DEV, "", 200);
	world_policy(&w, two);
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	token(SA_DEV, "", 200);
	token(SA_PROD, "", 403);
	write_new(two);
	assert_int_equal(REPLAY("--json"), 0);
	assert_int_equal(figure("doubts", "unfaithful"), 0);
	assert_int_equal(figure("counts", "longer"), 1);
	assert_says("\"lifetimeWas\":[300,300],\"lifetimeNow\":[600,600]");
	/* Another policy under the name of the first: its requests do not come out as they were. */
	write_new(POLICY(BINDING("three", SA_DEV, "")));
	snprintf(command, sizeof(command), "rm %s/policies/*", audit);
	assert_int_equal(system(command), 0);
	assert_int_equal(REPLAY("--json", "-v"), 0);
	assert_says("\"changes\":[\"longer\"],\"faithful\":true");
	assert_int_equal(REPLAY("--color", "never"), 0);
	assert_says("1 request is compared with its record alone: the policy with SHA-256 ");
	assert_says(" is not kept");
}

/* --- what another policy would change */

static void clock_at(int64_t offset_s) {
	world_clock(&w, offset_s);
	google_clock(&w, offset_s);
}

static void a_busy_day(void) {
	clock_at(-2 * 86400);
	world_policy(&w, POLICY(BINDING("dev", SA_DEV, ", maxLifetime: 30m") BINDING("batch", SA_BATCH, "") BINDING("label", SA_LABEL, "")));
	world_daemon(&w);
	for (int i = 0; i < 3; i++)
		token(SA_DEV, "", 200);
	token(SA_PROD, "", 403);
	clock_at(-86400);
	token(SA_DEV, ", \"lifetime\": 60", 200);
	token(SA_BATCH, "", 200);
	token(SA_LABEL, "", 200);
	clock_at(0);
	token(SA_LABEL, ", \"scopes\": [\"openid\"]", 200);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 403}");
	token(SA_BATCH, ", \"scopes\": [\"openid\"]", 403);
	json_decref(records_wait(&w, "failed", 1));
}

#define NEW                                                                                                            \
	POLICY(BINDING("develop", SA_DEV, ", maxLifetime: 10m")                                                        \
	       BINDING("batch", SA_BATCH, ", condition: {title: Once, expression: 'request.time < timestamp(\"2020-01-01T00:00:00Z\")'}") \
	       BINDING("prod", SA_PROD, "")                                                                            \
	       BINDING("labels", SA_LABEL, ", scopes: [https://www.googleapis.com/auth/cloud-platform]"))

static void test_replay_tells_who_would_lose_and_gain_what(void **state) {
	(void)state;
	a_busy_day();
	write_new(NEW);
	assert_int_equal(REPLAY("--color", "never"), 0);
	assert_says("of 7 issuances in 2 days 1 would now be denied, and of 1 allowed request that got no token 1:\n");
	assert_says("batch: condition is false (Once)");
	assert_says("of 1 refusal in 2 days 1 would now be allowed:\n");
	assert_says("by prod");
	assert_says("of 7 issuances in 2 days 3 would now live shorter:\n");
	assert_says("10m instead of 30m, bound by maxLifetime");
	assert_says("of 7 issuances in 2 days 3 would now come by a binding of another name, and be the same otherwise:\n");
	assert_int_equal(REPLAY("--exit-code", "--json"), 1);
	assert_int_equal(figure("counts", "denied"), 2);
	assert_int_equal(figure("counts", "allowed"), 1);
	assert_int_equal(figure("counts", "shorter"), 3);
	assert_int_equal(figure("counts", "binding"), 3);
	assert_int_equal(figure("counts", "allowedWithoutToken"), 1);
	assert_int_equal(figure("doubts", "unfaithful"), 0);
}

static void test_replay_of_a_while_and_one_by_one(void **state) {
	(void)state;
	a_busy_day();
	write_new(NEW);
	assert_int_equal(REPLAY("--json", "--since", "-36h"), 0);
	assert_int_equal(figure("counts", "issuances"), 4);
	assert_int_equal(figure("counts", "refusals"), 0);
	assert_int_equal(REPLAY("--json", "--until", "-36h"), 0);
	assert_int_equal(figure("counts", "issuances"), 3);
	assert_int_equal(figure("counts", "refusals"), 1);
	assert_int_equal(REPLAY("--until", "-90d"), 0);
	assert_says("there is no request in the record, or none of that time\n");
	assert_int_equal(REPLAY("-v", "--color", "never"), 0);
	assert_says("    was allowed by dev for 30m; now allowed by develop for 10m\n");
	assert_says("    was denied: no binding for it; now allowed by prod for ");
	assert_says("; now binding batch (Once) does not apply now: ");
	assert_int_equal(REPLAY("-v", "--json", "--since", "-36h"), 0);
	assert_says("{\"changes\":[\"denied\"],\"faithful\":true,\"was\":{\"decision\":\"ALLOW\",\"binding\":\"batch\",");
	assert_says("\"now\":{\"decision\":\"DENY\",\"binding\":\"batch\",\"reason\":\"CONDITION_FALSE\"},\"record\":{\"type\":\"issued\",");
}

static void test_replay_refuses_what_cannot_be_compared(void **state) {
	(void)state;
	a_busy_day();
	write_new("version: 1\nbindings: [{name: x}]\n");
	assert_int_equal(REPLAY("--color", "never"), 78);
	assert_non_null(strstr(err, "new.yaml:2:"));
	assert_non_null(strstr(err, "a policy that hallpassd would refuse cannot be compared"));
	assert_int_equal(CLI("policy", "replay", "/nonexistent.yaml", "--log", audit), 78);
	write_new(NEW);
	assert_int_equal(CLI("policy", "replay", new_path, "--log", w.dir), 69);
	assert_non_null(strstr(err, "--log DIR names the audit directory"));
	assert_int_equal(REPLAY("--since", "tomorrow"), 64);
	assert_int_equal(REPLAY("--until", "never"), 64);
	assert_int_equal(REPLAY("--since", "-1d", "--until", "-2d"), 64);
	assert_int_equal(CLI("policy", "replay"), 64);
}

#define RECORD(request) \
	"{\"type\":\"denied\",\"time\":\"2026-03-20T12:00:00.000Z\",\"request\":\"" request "\",\"principal\":\"" ME "\",\"permission\":" \
	"\"iam.serviceAccounts.getAccessToken\",\"target\":\"" SA_PROD "\",\"decision\":\"DENY\",\"reason\":\"NO_BINDING\",\"policy\":\"ab\"}"

/* What stands before the damage is told, and that it is not all; records of before a hallpassd that knew of replay are named. */
static void test_replay_of_a_damaged_record_says_so(void **state) {
	struct scan_position at = { 0 };
	struct journaldir d;

	(void)state;
	write_new(NEW);
	journaldir_make(&d);
	journaldir_segment(&d, &at, 1, JOURNAL_WHY_START);
	journaldir_frame(&d, &at, RECORD("r-1"));
	assert_int_equal(CLI("policy", "replay", new_path, "--log", d.path, "--color", "never"), 0);
	assert_says("of 1 refusal 1 would now be allowed:\n");
	assert_says("1 request is compared with its record alone: \"ab\" is no SHA-256 in hex\n");
	assert_says("1 record is of an earlier hallpassd, which did not write down at which instant it decided, under which limits\n");
	journaldir_frame(&d, &at, RECORD("r-2"));
	journaldir_flip(&d, 1, at.offset - 100);
	journaldir_frame(&d, &at, RECORD("r-3"));
	assert_int_equal(CLI("policy", "replay", new_path, "--log", d.path, "--color", "never"), 70);
	assert_says("of 1 refusal 1 would now be allowed:\n");
	assert_non_null(strstr(err, "hallpass: corrupt: "));
	journaldir_remove(&d);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_replay_under_the_same_policy_is_what_was_recorded),
		SCENARIO(test_replay_proves_requests_under_a_policy_with_invariants),
		SCENARIO(test_replay_knows_the_limits_of_then),
		SCENARIO(test_replay_proves_requests_under_the_policies_of_then),
		SCENARIO(test_replay_tells_who_would_lose_and_gain_what),
		SCENARIO(test_replay_of_a_while_and_one_by_one),
		SCENARIO(test_replay_of_a_damaged_record_says_so),
		SCENARIO(test_replay_refuses_what_cannot_be_compared),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
