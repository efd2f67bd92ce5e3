/* hallpass why on the real daemon: the last refusal, what would help, whose rules are told, and what was in force then. */
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
#include "broker/versions.h"
#include "hallpass/cleanup.h"
#include "tests/lib/world.h"

#define OTHER_UID 12345
#define OTHER "user:other@example.com"
#define BINDING(name, who, account, more) "  - {name: " name ", members: [\"" who "\"], serviceAccounts: [" account "]" more "}\n"
#define POLICY(bindings) "version: 1\nbindings:\n" bindings
#define TICKET ", condition: {title: With a ticket, expression: 'request.justification.matches(\"^(INC|CHG)-[0-9]+\")'}"

static struct world w;
static char out[65536], err[4096];

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	return world_end_well(&w);
}

#define CLI(...) run_cli(&w, out, sizeof(out), err, sizeof(err), __VA_ARGS__, NULL)

static void why(const char *body, struct answer *a) {
	ask(&w, "POST", "/v1/why", body, a);
}

static bool says(const struct answer *a, const char *text) {
	return strstr(a->text, text) != NULL;
}

static void reload(int status) {
	struct answer a;

	ask(&w, "POST", "/v1/reload", "{}", &a);
	if (a.status != status)
		fail_msg("%s", a.text);
	answer_fini(&a);
}

/* --- what would help */

static void test_why_a_denial_says_what_would_help(void **state) {
	struct answer a;

	(void)state;
	world_policy(&w, POLICY(BINDING("ticket", ME, SA_PROD, TICKET)));
	world_daemon(&w);
	ask_token(&w, SA_PROD, ", \"justification\": \"please\"", &a);
	assert_int_equal(a.status, 403);
	assert_non_null(strstr(answer_text(&a, "error.message"), "binding ticket (With a ticket) does not apply now: "));
	assert_non_null(strstr(answer_text(&a, "error.message"), "; it would be allowed with a justification like \"INC-123\""));
	answer_fini(&a);
	ask_token(&w, SA_PROD, ", \"justification\": \"INC-123\"", &a); /* and so it is */
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	assert_int_equal(CLI("token", SA_PROD), 77);
	assert_non_null(strstr(err, "it would be allowed with a justification like \"INC-123\""));
	assert_int_equal(CLI("why", SA_PROD, "--json"), 0);
	assert_non_null(strstr(out, "\"suggestions\":[{\"change\":[\"justification\"],\"sentence\":\"with a justification like \\\"INC-123\\\"\","
				    "\"justification\":\"INC-123\"}]"));
}

static void test_why_tells_each_way_that_was_found(void **state) {
	(void)state;
	world_policy(&w, POLICY(BINDING("ticket", ME, SA_PROD, ", condition: {expression: 'request.justification != \"\" || request.lifetime < duration(\"120s\")'}")));
	world_daemon(&w);
	assert_int_equal(CLI("why", SA_PROD), 0);
	assert_non_null(strstr(out, "denied: "));
	assert_non_null(strstr(out, "; it would be allowed with a lifetime of 119 s\n"));
	assert_non_null(strstr(out, "    or with a justification like \"why it is needed\"\n"));
}

/* --- the last refusal */

static void test_why_without_an_account_is_about_the_last_refusal(void **state) {
	struct answer a;
	char id[64];

	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("why"), 0);
	assert_non_null(strstr(out, "the policy has refused no request of " ME " since this broker started"));
	assert_int_equal(CLI("why", "--json"), 0);
	assert_non_null(strstr(out, "NOTHING_DENIED"));
	assert_int_equal(CLI("why", "--lifetime", "5m"), 64); /* of which account? */
	ask_token(&w, SA_LABEL, "", &a);
	answer_fini(&a);
	ask_token(&w, SA_PROD, ", \"justification\": \"because\", \"lifetime\": 60", &a);
	assert_int_equal(a.status, 403);
	snprintf(id, sizeof(id), "%s", answer_text(&a, "error.details.0.metadata.requestId"));
	answer_fini(&a);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200); /* allowed: not what is asked about */
	answer_fini(&a);
	why("{}", &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_text(&a, "decision"), "DENY");
	assert_string_equal(answer_text(&a, "about.requestId"), id);
	assert_string_equal(answer_text(&a, "about.serviceAccount"), SA_PROD);
	assert_string_equal(answer_text(&a, "about.principal"), ME);
	assert_string_equal(answer_text(&a, "about.permission"), "iam.serviceAccounts.getAccessToken");
	answer_fini(&a);
	assert_int_equal(CLI("why"), 0);
	assert_non_null(strstr(out, "last refused: " SA_PROD ", request "));
	assert_non_null(strstr(out, id));
	assert_int_equal(CLI("id-token", "--audience", "https://x.example", SA_LABEL), 77);
	why("{}", &a);
	assert_string_equal(answer_text(&a, "about.permission"), "iam.serviceAccounts.getOpenIdToken");
	assert_string_equal(answer_text(&a, "about.serviceAccount"), SA_LABEL);
	answer_fini(&a);
}

/* Told by the policy that refused it, though another came in force within the same second. */
static void test_why_the_last_refusal_is_told_by_its_own_policy(void **state) {
	struct answer a;

	(void)state;
	world_daemon(&w);
	ask_token(&w, SA_PROD, "", &a);
	assert_int_equal(a.status, 403);
	answer_fini(&a);
	world_policy(&w, POLICY(BINDING("prod", ME, SA_PROD, "")));
	reload(200);
	why("{}", &a);
	assert_string_equal(answer_text(&a, "decision"), "DENY");
	assert_true(says(&a, "\"past\":true"));
	answer_fini(&a);
	why("{\"serviceAccount\": \"" SA_PROD "\"}", &a);
	assert_string_equal(answer_text(&a, "decision"), "ALLOW");
	assert_true(says(&a, "\"past\":false"));
	answer_fini(&a);
	why("{\"time\": 4102444800}", &a); /* the same request, in a time to come */
	assert_string_equal(answer_text(&a, "decision"), "ALLOW");
	answer_fini(&a);
}

/* --- whose rules are told, and about whom may be asked */

static void as_other(const char *body, struct answer *a) {
	ask_as_uid(&w, OTHER_UID, "POST", "/v1/why", body, a);
}

static void test_why_others_and_their_rules_are_for_operators(void **state) {
	struct answer a;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: asking as another uid needs root\n");
		skip();
	}
	world_policy(&w, POLICY(BINDING("mine", ME, SA_PROD, ", condition: {expression: 'request.justification.startsWith(\"SECRET-\")'}")
					BINDING("theirs", OTHER, SA_PROD, TICKET))
			 "denyRules:\n  - {name: stop-me, deniedPrincipals: [\"" ME "\"], denialCondition: {expression: 'request.justification.startsWith(\"SECRET-\")'}}\n");
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: 0, principal: \"" ME "\"}, {uid: %d, principal: \"" OTHER "\"}]\n", OTHER_UID);
	world_daemon(&w);
	assert_int_equal(chmod(w.dir, 0755), 0);
	assert_int_equal(chmod(w.socket, 0666), 0);
	as_other("{\"serviceAccount\": \"" SA_PROD "\"}", &a);
	assert_int_equal(a.status, 200);
	assert_true(says(&a, "theirs") && says(&a, "INC-123"));
	assert_false(says(&a, "mine") || says(&a, "stop-me") || says(&a, "SECRET") || says(&a, ME));
	answer_fini(&a);
	as_other("{\"serviceAccount\": \"" SA_PROD "\", \"principal\": \"" ME "\"}", &a);
	assert_int_equal(a.status, 403);
	assert_string_equal(answer_text(&a, "error.details.0.reason"), "NOT_OPERATOR");
	assert_false(says(&a, "SECRET"));
	answer_fini(&a);
	as_other("{\"serviceAccount\": \"" SA_PROD "\", \"principal\": \"" OTHER "\"}", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	ask_token(&w, SA_DEV, "", &a);
	answer_fini(&a);
	as_other("{\"principal\": \"" ME "\"}", &a); /* nor is there a word on what was refused to others */
	assert_int_equal(a.status, 403);
	answer_fini(&a);
	as_other("{}", &a);
	assert_string_equal(answer_text(&a, "error.details.0.reason"), "NOTHING_DENIED");
	answer_fini(&a);
	/* root is an operator */
	ask_as_uid(&w, OTHER_UID, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_LABEL "\"}", &a);
	assert_int_equal(a.status, 403);
	answer_fini(&a);
	why("{\"principal\": \"" OTHER "\"}", &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_text(&a, "about.serviceAccount"), SA_LABEL);
	assert_string_equal(answer_text(&a, "about.principal"), OTHER);
	answer_fini(&a);
	assert_int_equal(CLI("why", SA_PROD, "--principal", OTHER, "-v"), 0);
	assert_non_null(strstr(out, "with a justification like \"INC-123\""));
	assert_non_null(strstr(out, "mine does not name"));
	assert_int_equal(CLI("why", SA_PROD, "--principal", OTHER, "--reason", "INC-1"), 0);
	assert_non_null(strstr(out, "allowed by theirs"));
}

/* --- what was in force then */

#define HOUR 3600

/* One after the other, each in force for an hour; the first since the start. */
static const char *const versions[] = {
	POLICY(BINDING("first", ME, SA_DEV, "")),
	POLICY(BINDING("second", ME, SA_DEV, "")),
	POLICY(BINDING("third", ME, SA_DEV, "")),
};

static const char *file_of(size_t version) {
	static char path[256];
	char hash[SHA256_HEX];

	sha256_hex(versions[version], strlen(versions[version]), hash);
	snprintf(path, sizeof(path), "%s/audit/policies/%s.yaml", w.dir, hash);
	return path;
}

/* hours: since the start; a part of one is half. */
static void why_at(int64_t began, double hours, struct answer *a) {
	char body[200];

	snprintf(body, sizeof(body), "{\"serviceAccount\": \"" SA_DEV "\", \"time\": %lld}", (long long)(began + (int64_t)(hours * HOUR)));
	why(body, a);
}

static void assert_under(int64_t began, double hours, size_t version, bool past) {
	static const char *const names[] = { "first", "second", "third" };
	char hash[SHA256_HEX];
	struct answer a;

	why_at(began, hours, &a);
	sha256_hex(versions[version], strlen(versions[version]), hash);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_text(&a, "rule"), names[version]);
	assert_string_equal(answer_text(&a, "policy.sha256"), hash);
	assert_true(says(&a, past ? "\"past\":true" : "\"past\":false"));
	answer_fini(&a);
}

static void assert_each_under_its_own(int64_t began) {
	assert_under(began, 0.5, 0, true);
	assert_under(began, 1.5, 1, true);
	assert_under(began, 2.5, 2, false);
	assert_under(began, 24 * 365, 2, false);
	assert_under(began, 1.5, 1, true); /* the last one is remembered, and is not mistaken for another */
	assert_under(began, 0.5, 0, true);
}

static void assert_no_answer(int64_t began, double hours, int status, const char *message) {
	struct answer a;

	why_at(began, hours, &a);
	assert_int_equal(a.status, status);
	assert_string_equal(answer_text(&a, "error.details.0.reason"), "POLICY_NOT_KEPT");
	if (!strstr(answer_text(&a, "error.message"), message))
		fail_msg("%s", a.text);
	answer_fini(&a);
}

static int64_t two_reloads(void) {
	int64_t began = now_s();

	world_clock(&w, 0);
	world_policy(&w, versions[0]);
	world_daemon(&w);
	for (int i = 1; i < 3; i++) {
		world_clock(&w, i * HOUR);
		world_policy(&w, versions[i]);
		reload(200);
	}
	world_clock(&w, 2 * HOUR + HOUR / 2 + 60);
	return began;
}

static void test_why_then_is_told_by_the_policy_of_then(void **state) {
	int64_t began = two_reloads();
	struct stat st;
	char at[64];

	(void)state;
	assert_each_under_its_own(began);
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		assert_int_equal(stat(file_of(i), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_no_answer(began, -1, 404, "nobody knows which policy was in force then: the log begins at 20");
	/* The list comes from the record, so it outlives us. */
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	world_daemon(&w);
	assert_each_under_its_own(began);
	assert_no_answer(began, -1, 404, "the log begins at 20");
	/* As people see it. */
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", gmtime(&(time_t){ (time_t)(began + HOUR / 2) }));
	assert_int_equal(CLI("why", SA_DEV, "--at", at), 0);
	assert_non_null(strstr(out, ", under the policy of "));
	assert_non_null(strstr(out, ", SHA-256 "));
	assert_non_null(strstr(out, "allowed by first"));
	assert_int_equal(CLI("why", SA_DEV, "--at", "2001-01-01T00:00:00Z"), 70);
	assert_non_null(strstr(err, "not found: nobody knows which policy was in force then"));
}

static void test_why_a_kept_policy_that_was_changed_is_not_believed(void **state) {
	int64_t began = two_reloads();
	struct answer a;
	FILE *f;

	(void)state;
	f = fopen(file_of(1), "w");
	assert_non_null(f);
	fputs(versions[2], f);
	assert_int_equal(fclose(f), 0);
	assert_no_answer(began, 1.5, 500, "is not the policy that its name says");
	assert_int_equal(unlink(file_of(0)), 0);
	assert_no_answer(began, 0.5, 404, "is not kept: there is no ");
	/* It cannot come in force either: what its record would name is another. */
	world_policy(&w, versions[1]);
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 400);
	assert_string_equal(answer_text(&a, "error.details.0.reason"), "RELOAD_REFUSED");
	assert_non_null(strstr(answer_text(&a, "error.message"), "move it away"));
	answer_fini(&a);
	assert_under(began, 2.5, 2, false);
	assert_int_equal(unlink(file_of(1)), 0);
	reload(200);
	assert_under(began, 1.5, 1, false); /* the same again: it is in force, and was then */
}

/* What an invariant forbids was allowed once, long before the policy came in force; then and now it is a good one. */
static void test_why_then_is_told_by_a_policy_with_invariants(void **state) {
	int64_t began = now_s();
	struct answer a;

	(void)state;
	world_clock(&w, 0);
	world_policy(&w, POLICY(BINDING("over", ME, SA_DEV, ", notAfter: 2020-01-01T00:00:00Z"))
			 "invariants:\n  - {name: nobody is dev, never: {principal: allAuthenticated, serviceAccount: " SA_DEV "}}\n");
	world_daemon(&w);
	world_clock(&w, HOUR);
	world_policy(&w, versions[0]);
	reload(200);
	why_at(began, 0.5, &a);
	if (a.status != 200)
		fail_msg("%s", a.text);
	assert_string_equal(answer_text(&a, "rule"), "over");
	assert_true(says(&a, "\"past\":true"));
	answer_fini(&a);
}

/* A client that leaves while a policy of the past is read hurts nobody. */
static void test_why_may_be_asked_and_left(void **state) {
	int64_t began = two_reloads();
	char body[200];

	(void)state;
	for (int i = 0; i < 50; i++) {
		snprintf(body, sizeof(body), "{\"serviceAccount\": \"" SA_DEV "\", \"time\": %lld}", (long long)(began + (i % 2 ? HOUR / 2 : 3 * HOUR / 2)));
		close(ask_begin(&w, "POST", "/v1/why", body));
	}
	assert_each_under_its_own(began);
}

/* A policy that is larger than a file may be stands for a disk that is full. */
static void test_P6_a_policy_that_cannot_be_kept_does_not_come_in_force(void **state) {
	static char large[900000];
	json_t *records, *r;
	struct answer a;

	(void)state;
	if (system("command -v prlimit >/dev/null 2>&1") != 0) {
		print_message("skipped: prlimit is not here\n");
		skip();
	}
	snprintf(w.wrap, sizeof(w.wrap), "prlimit --fsize=700000");
	world_daemon(&w);
	snprintf(large, sizeof(large), "%s", POLICY(BINDING("prod", ME, SA_PROD, "")));
	memset(large + strlen(large), '#', sizeof(large) - strlen(large) - 1);
	world_policy(&w, large);
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 503);
	assert_string_equal(answer_text(&a, "error.details.0.reason"), "RELOAD_REFUSED");
	assert_non_null(strstr(answer_text(&a, "error.message"), "cannot keep the policy beside the log: cannot write "));
	answer_fini(&a);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	ask_token(&w, SA_PROD, "", &a);
	assert_int_equal(a.status, 403);
	answer_fini(&a);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	records = world_records(&w, NULL, 0);
	r = records_last(records, "reload");
	assert_string_equal(json_string_value(json_object_get(r, "reason")), "REFUSED");
	assert_string_equal(json_string_value(json_object_get(r, "policy")),
			    json_string_value(json_object_get(records_last(records, "start"), "policy")));
	json_decref(records);
	assert_int_equal(world_daemon_fails(&w, out, sizeof(out)), 75); /* nor does it at a start */
	assert_non_null(strstr(out, "cannot keep the policy beside the log"));
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_why_a_denial_says_what_would_help),
		SCENARIO(test_why_tells_each_way_that_was_found),
		SCENARIO(test_why_without_an_account_is_about_the_last_refusal),
		SCENARIO(test_why_the_last_refusal_is_told_by_its_own_policy),
		SCENARIO(test_why_others_and_their_rules_are_for_operators),
		SCENARIO(test_why_then_is_told_by_the_policy_of_then),
		SCENARIO(test_why_a_kept_policy_that_was_changed_is_not_believed),
		SCENARIO(test_why_then_is_told_by_a_policy_with_invariants),
		SCENARIO(test_why_may_be_asked_and_left),
		SCENARIO(test_P6_a_policy_that_cannot_be_kept_does_not_come_in_force),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
