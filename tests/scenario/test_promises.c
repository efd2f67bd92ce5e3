/* The promises P1 to P7, each by name, on the real daemon: README tells them, SECURITY of them is the reason for this project. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/world.h"

static struct world w;

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	world_end(&w);
	return 0;
}

static int64_t parse_time(const char *text) {
	struct tm tm = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) ? (int64_t)timegm(&tm) : -1;
}

static void assert_denied(const char *account, const char *more, const char *reason) {
	struct answer a;

	ask_token(&w, account, more, &a);
	print_message("%s\n", strstr(a.text, "\r\n\r\n") + 4);
	assert_int_equal(a.status, 403);
	assert_string_equal(answer_text(&a, "error.status"), "PERMISSION_DENIED");
	if (reason)
		assert_string_equal(answer_text(&a, "error.details.0.reason"), reason);
	answer_fini(&a);
}

/* --- P1: nothing is issued that is not recorded */

static void test_P1_intent_and_outcome_stand_in_the_record(void **state) {
	struct answer a;
	json_t *records, *intent, *issued;
	char sha[65];

	(void)state;
	world_daemon(&w);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	text_sha256(answer_text(&a, "accessToken"), sha);
	/* No farewell: what the client has is on disk now. */
	world_stop(&w, SIGKILL);
	records = world_records(&w, NULL, 0);
	intent = records_last(records, "intent");
	issued = records_last(records, "issued");
	assert_non_null(intent);
	assert_non_null(issued);
	assert_string_equal(json_string_value(json_object_get(issued, "token")), sha);
	assert_string_equal(json_string_value(json_object_get(issued, "principal")), ME);
	assert_string_equal(json_string_value(json_object_get(issued, "target")), SA_DEV);
	assert_string_equal(json_string_value(json_object_get(issued, "binding")), "dev");
	assert_string_equal(json_string_value(json_object_get(issued, "auth")), "SO_PEERCRED");
	assert_string_equal(json_string_value(json_object_get(issued, "flight")),
			    json_string_value(json_object_get(intent, "flight")));
	assert_string_equal(json_string_value(json_object_get(issued, "expires")), answer_text(&a, "expireTime"));
	answer_fini(&a);
	json_decref(records);
}

static void test_P1_a_cached_issuance_has_one_record_and_no_call(void **state) {
	struct answer a, b;
	json_t *records;

	(void)state;
	world_daemon(&w);
	ask_token(&w, SA_DEV, "", &a);
	ask_token(&w, SA_DEV, "", &b);
	assert_int_equal(b.status, 200);
	assert_string_equal(answer_text(&a, "accessToken"), answer_text(&b, "accessToken"));
	assert_true(json_is_true(json_object_get(b.json, "cached")));
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1);
	world_stop(&w, SIGKILL);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "intent"), 1);
	assert_int_equal(records_count(records, "issued"), 2);
	answer_fini(&a);
	answer_fini(&b);
	json_decref(records);
}

/* The members by which records of one caller who asks the same again differ are taken out, and told to be there. */
static void take_out(json_t *record, const char *name, char *out, size_t size) {
	const char *text = json_string_value(json_object_get(record, name));

	assert_non_null(text);
	snprintf(out, size, "%s", text);
	json_object_del(record, name);
}

static void test_P1_who_asks_the_same_again_has_a_record_each_time(void **state) {
	static const char *const differ[] = { "request", "askedAt" };
	char seen[ARRAY_SIZE(differ)][8][64], text[64];
	struct answer a[6];
	json_t *records, *record, *first = NULL;
	size_t i, n = 0;

	(void)state;
	world_daemon(&w);
	for (i = 0; i < ARRAY_SIZE(a); i++) {
		if (i == 4) { /* the same policy, but for the binding's name and its lifetime */
			world_policy(&w, "version: 1\nbindings:\n  - {name: other, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], maxLifetime: 31m}\n");
			ask(&w, "POST", "/v1/reload", "{}", &a[i]);
			assert_int_equal(a[i].status, 200);
			answer_fini(&a[i]);
		}
		ask_token(&w, SA_DEV, "", &a[i]);
		assert_int_equal(a[i].status, 200);
		assert_string_equal(answer_text(&a[i], "accessToken"), answer_text(&a[0], "accessToken"));
		assert_string_equal(answer_text(&a[i], "binding"), i < 4 ? "dev" : "other");
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(answer_text(&a[i], "requestId"), answer_text(&a[k], "requestId"));
	}
	world_stop(&w, SIGKILL);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "issued"), ARRAY_SIZE(a));
	json_array_foreach(records, i, record) {
		if (strcmp(json_string_value(json_object_get(record, "type")), "issued"))
			continue;
		assert_string_equal(json_string_value(json_object_get(record, "request")), answer_text(&a[n], "requestId"));
		assert_string_equal(json_string_value(json_object_get(record, "binding")), n < 4 ? "dev" : "other");
		assert_int_equal(json_integer_value(json_object_get(record, "lifetime")), n < 4 ? 1800 : 1860);
		take_out(record, "time", text, sizeof(text));
		for (size_t k = 0; k < ARRAY_SIZE(differ); k++) {
			take_out(record, differ[k], seen[k][n], sizeof(seen[k][n]));
			for (size_t before = 0; before < n; before++)
				assert_string_not_equal(seen[k][n], seen[k][before]);
		}
		if (n == 1 || n == 4) /* the first from the cache, and under this policy */
			first = record;
		if (first && n != 1 && n != 4 && !json_equal(record, first))
			fail_msg("%s\n%s", json_dumps(record, 0), json_dumps(first, 0));
		n++;
	}
	for (i = 0; i < ARRAY_SIZE(a); i++)
		answer_fini(&a[i]);
	json_decref(records);
}

static void test_P1_without_a_journal_nothing_is_issued_and_google_is_not_asked(void **state) {
	char command[200];
	struct answer a;
	int64_t calls;

	(void)state;
	world_daemon(&w);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	calls = google_calls(&w, "generateAccessToken");
	snprintf(command, sizeof(command), "rm -rf %s/audit", w.dir);
	assert_int_equal(system(command), 0);
	/* It is an intent that finds out. */
	ask_token(&w, SA_DEV, ", \"lifetime\": 77", &a);
	print_message("%s\n", a.text);
	assert_int_equal(a.status, 503);
	answer_fini(&a);
	assert_int_equal(google_calls(&w, "generateAccessToken"), calls);
	/* Not even from the cache. */
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 503);
	assert_null(strstr(a.text, "ya29."));
	answer_fini(&a);
	assert_int_equal(google_calls(&w, "generateAccessToken"), calls);
	ask(&w, "GET", "/healthz", NULL, &a); /* what only reads goes on */
	assert_int_equal(a.status, 200);
	answer_fini(&a);
}

static void test_P1_refusals_are_recorded_too(void **state) {
	struct answer a;
	json_t *records, *denied;

	(void)state;
	world_daemon(&w);
	ask_token(&w, SA_PROD, ", \"justification\": \"please\"", &a);
	assert_int_equal(a.status, 403);
	answer_fini(&a);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	denied = records_last(records, "denied");
	assert_non_null(denied);
	assert_string_equal(json_string_value(json_object_get(denied, "target")), SA_PROD);
	assert_string_equal(json_string_value(json_object_get(denied, "justification")), "please");
	assert_non_null(records_last(records, "start"));
	assert_non_null(records_last(records, "stop"));
	json_decref(records);
}

static void test_P1_a_client_that_leaves_is_still_recorded(void **state) {
	json_t *records, *tokens, *last = NULL;
	int fd;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 300}");
	fd = ask_begin(&w, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_DEV "\"}");
	while (google_calls(&w, "generateAccessToken") == 0)
		;
	close(fd);
	/* The answer arrives for nobody; what was minted stands in the record all the same. */
	for (int i = 0; i < 5000; i++) {
		struct timespec ms = { 0, 2000000 };

		records = world_records(&w, NULL, 0);
		last = records_last(records, "issued");
		if (last)
			break;
		json_decref(records);
		nanosleep(&ms, NULL);
	}
	assert_non_null(last);
	assert_true(json_is_false(json_object_get(last, "delivered")));
	assert_int_equal(records_count(records, "abandoned"), 1);
	tokens = google_tokens(&w);
	assert_string_equal(json_string_value(json_object_get(json_array_get(tokens, json_array_size(tokens) - 1), "sha256")),
			    json_string_value(json_object_get(last, "token")));
	json_decref(tokens);
	json_decref(records);
}

/* --- P2: no token outlives its permission */

static void test_P2_a_window_caps_the_token(void **state) {
	int64_t ends = now_s() + 600, expires;
	struct tm tm;
	char policy[1024], end[40];
	time_t t = (time_t)ends;
	struct answer a;

	(void)state;
	strftime(end, sizeof(end), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	snprintf(policy, sizeof(policy),
		 "version: 1\nbindings:\n  - name: window\n    members: [\"" ME "\"]\n    serviceAccounts: [" SA_DEV "]\n"
		 "    condition: {title: Ten minutes, expression: 'request.time < timestamp(\"%s\")'}\n",
		 end);
	world_policy(&w, policy);
	world_daemon(&w);
	ask_token(&w, SA_DEV, ", \"lifetime\": 3600", &a);
	print_message("%s\n", a.text);
	assert_int_equal(a.status, 200);
	expires = parse_time(answer_text(&a, "expireTime"));
	assert_true(expires <= ends);
	assert_true(expires > ends - 60); /* and not needlessly short */
	assert_string_equal(answer_text(&a, "boundBy"), "condition");
	assert_string_equal(answer_text(&a, "permittedUntil"), end);
	answer_fini(&a);
}

static void test_P2_a_token_that_lives_too_long_is_not_released(void **state) {
	json_t *records;
	struct answer a;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"lie_s\": 7200}");
	ask_token(&w, SA_DEV, "", &a);
	print_message("%s\n", a.text);
	assert_int_equal(a.status, 502);
	assert_null(strstr(a.text, "ya29."));
	answer_fini(&a);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "issued"), 0);
	assert_int_equal(records_count(records, "failed"), 1);
	json_decref(records);
}

static void test_P2_a_cached_token_must_fit_this_request(void **state) {
	struct answer a;

	(void)state;
	world_daemon(&w);
	ask_token(&w, SA_DEV, ", \"lifetime\": 1800", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	ask_token(&w, SA_DEV, ", \"lifetime\": 60", &a);
	assert_int_equal(a.status, 200);
	assert_true(answer_int(&a, "expiresIn") <= 60);
	answer_fini(&a);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 2);
}

static void test_P2_a_window_that_has_closed_gives_nothing_from_the_cache(void **state) {
	int64_t ends = now_s() + 1200;
	time_t t = (time_t)ends;
	char policy[1024], end[40];
	struct tm tm;
	struct answer a;

	(void)state;
	strftime(end, sizeof(end), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	snprintf(policy, sizeof(policy),
		 "version: 1\nbindings:\n  - {name: until, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], notAfter: %s}\n", end);
	world_policy(&w, policy);
	world_clock(&w, 0);
	world_daemon(&w);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	assert_true(parse_time(answer_text(&a, "expireTime")) <= ends);
	answer_fini(&a);
	world_clock(&w, 1300);
	assert_denied(SA_DEV, "", "EXPIRED");
}

/* --- P3: default deny */

static void test_P3_what_is_not_allowed_is_denied(void **state) {
	(void)state;
	world_daemon(&w);
	assert_denied(SA_PROD, "", "NO_BINDING");
	assert_denied("nobody@acme-ml.iam.gserviceaccount.com", "", "NO_BINDING");
	assert_denied(SA_DEV, ", \"scopes\": [\"https://www.googleapis.com/auth/drive\"]", "SCOPE");
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
}

static void test_P3_deny_rules_win_and_errors_never_grant(void **state) {
	static const char *const cases[][3] = {
		{ "    condition: {expression: 'request.auth.claims.level > 3'}\n", "", "CONDITION_ERROR" },
		{ "    condition: {expression: 'request.time < timestamp(\"2001-01-01T00:00:00Z\")'}\n", "", "CONDITION_FALSE" },
		{ "", "denyRules:\n  - {name: no, deniedPrincipals: [allAuthenticated]}\n", "DENY_RULE" },
		{ "", "denyRules:\n  - {name: no, deniedPrincipals: [allAuthenticated], denialCondition: {expression: "
		      "'request.auth.claims.level > 3'}}\n", "DENY_RULE_ERROR" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char policy[2048];

		snprintf(policy, sizeof(policy),
			 "version: 1\nbindings:\n  - name: dev\n    members: [\"" ME "\"]\n    serviceAccounts: [" SA_DEV "]\n%s%s",
			 cases[i][0], cases[i][1]);
		world_policy(&w, policy);
		world_daemon(&w);
		assert_denied(SA_DEV, "", cases[i][2]);
		world_stop(&w, SIGTERM);
	}
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
}

static void test_P3_unknown_input_is_refused_with_the_reason(void **state) {
	static const char *const bodies[] = {
		"{\"serviceAccount\": \"" SA_DEV "\", \"lifetimes\": 5}", "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": \"5\"}",
		"{\"serviceAccount\": \"ML-training-dev-sa@acme-ml.iam.gserviceaccount.com\"}", "{", "[]",
		"{\"serviceAccount\": \"" SA_DEV "\", \"serviceAccount\": \"" SA_PROD "\"}",
	};

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct answer a;

		ask(&w, "POST", "/v1/token", bodies[i], &a);
		print_message("%s -> %s\n", bodies[i], answer_text(&a, "error.message"));
		assert_int_equal(a.status, 400);
		assert_string_equal(answer_text(&a, "error.status"), "INVALID_ARGUMENT");
		assert_true(strlen(answer_text(&a, "error.message")) > 10);
		answer_fini(&a);
	}
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
}

/* --- P4: a caller is who the kernel says */

/* Speaks as another uid, with headers that claim to be somebody. The status. */
static int ask_as(uid_t uid, const char *headers) {
	int p[2], status = 0;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_un un = { .sun_family = AF_UNIX };
		char text[2048], answer[64] = "";
		static const char body[] = "{\"serviceAccount\": \"" SA_DEV "\"}";
		int fd = socket(AF_UNIX, SOCK_STREAM, 0), n;

		if (uid != geteuid() && setresuid(uid, uid, uid) < 0)
			_exit(1);
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", w.socket);
		n = snprintf(text, sizeof(text),
			     "POST /v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
			     headers, sizeof(body) - 1, body);
		if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && send(fd, text, (size_t)n, MSG_NOSIGNAL) == n &&
		    recv(fd, answer, sizeof(answer) - 1, 0) > 12)
			status = atoi(answer + 9);
		if (write(p[1], &status, sizeof(status)) != sizeof(status))
			_exit(1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	close(p[1]);
	if (read(p[0], &status, sizeof(status)) != sizeof(status))
		status = -1;
	close(p[0]);
	return status;
}

static void test_P4_headers_do_not_say_who_one_is(void **state) {
	json_t *records;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: speaking as another uid needs root\n");
		skip();
	}
	world_daemon(&w);
	assert_int_equal(chmod(w.dir, 0755), 0);
	assert_int_equal(chmod(w.socket, 0666), 0);
	assert_int_equal(ask_as(geteuid(), ""), 200);
	assert_int_equal(ask_as(12345, ""), 401);
	assert_int_equal(ask_as(12345, "Authorization: Bearer x\r\nX-Forwarded-User: me\r\n"
				       "X-Goog-Authenticated-User-Email: me@example.com\r\n"),
			 401);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(json_integer_value(json_object_get(records_last(records, "denied"), "uid")), 12345);
	assert_null(json_object_get(records_last(records, "denied"), "principal"));
	json_decref(records);
}

/* --- P5: a token value exists only in the reply and in the cache */

static bool tree_has(const char *what) {
	char command[800];

	snprintf(command, sizeof(command), "grep -rqaF '%s' %s/audit %s/hallpassd.log %s/hallpassd.yaml %s/policy.yaml", what, w.dir,
		 w.dir, w.dir, w.dir);
	return system(command) == 0;
}

static void test_P5_no_token_in_the_log_the_record_or_the_process_listing(void **state) {
	char path[64], text[65536], token[128];
	struct answer a;
	FILE *f;
	size_t n;

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "log: {level: debug}\n");
	world_daemon(&w);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	snprintf(token, sizeof(token), "%s", answer_text(&a, "accessToken"));
	answer_fini(&a);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"lie_s\": 7200}");
	ask_token(&w, SA_DEV, ", \"lifetime\": 99", &a); /* an error that has a token at hand */
	assert_int_equal(a.status, 502);
	assert_null(strstr(a.text, "ya29."));
	answer_fini(&a);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", w.daemon, i ? "environ" : "cmdline");
		f = fopen(path, "r");
		n = f ? fread(text, 1, sizeof(text), f) : 0;
		if (f)
			fclose(f);
		assert_null(memmem(text, n, "ya29.", 5));
	}
	world_stop(&w, SIGTERM);
	assert_false(tree_has("ya29."));
	assert_false(tree_has(token + 5));
	assert_false(tree_has("PRIVATE KEY"));
	assert_true(tree_has("\"token\":\"")); /* its hash is there */
}

static void test_P5_no_core_file_holds_a_token(void **state) {
	char path[64], line[256];
	bool seen = false;
	FILE *f;

	(void)state;
	world_daemon(&w);
	snprintf(path, sizeof(path), "/proc/%d/limits", w.daemon);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		int64_t soft = -1, hard = -1;

		if (sscanf(line, "Max core file size %" SCNd64 " %" SCNd64, &soft, &hard) == 2)
			seen = soft == 0 && hard == 0;
	}
	fclose(f);
	assert_true(seen);
}

/* --- P6: a policy takes effect whole or not at all */

static void test_P6_a_bad_policy_is_refused_and_the_last_good_one_stays(void **state) {
	static const char *const bad[] = {
		"version: 1\nbindings:\n  - {name: dev\n",
		"version: 1\nbinding: []\n",
		"version: 1\nbindings:\n  - {name: d, members: [\"" ME "\"], serviceAccounts: [" SA_PROD "], condition: {expression: 'request.tim < 3'}}\n",
		POLICY_DEV "tests:\n  - {name: no, request: {principal: \"" ME "\", serviceAccount: " SA_DEV
			   ", time: 2026-01-01T00:00:00Z}, expect: DENY}\n",
	};
	json_t *records;
	struct answer a;

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		world_policy(&w, bad[i]);
		ask(&w, "POST", "/v1/reload", "{}", &a);
		print_message("%s\n%s\n", answer_text(&a, "error.message"), answer_text(&a, "error.details.0.metadata.findings"));
		assert_int_equal(a.status, 400);
		answer_fini(&a);
		ask_token(&w, SA_DEV, "", &a);
		assert_int_equal(a.status, 200);
		answer_fini(&a);
	}
	world_policy(&w, "version: 1\nbindings:\n  - {name: prod, members: [\"" ME "\"], serviceAccounts: [" SA_PROD "]}\n");
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	assert_denied(SA_DEV, "", "NO_BINDING"); /* the cached token does not help */
	ask_token(&w, SA_PROD, "", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "reload"), ARRAY_SIZE(bad) + 1);
	json_decref(records);
}

static void test_P6_a_request_in_flight_finishes_under_its_snapshot(void **state) {
	struct answer a;
	json_t *records;
	int fd;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 400}");
	fd = ask_begin(&w, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_DEV "\"}");
	while (google_calls(&w, "generateAccessToken") == 0)
		;
	world_policy(&w, "version: 1\nbindings: []\n");
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	assert_true(ask_end(fd, &a));
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	assert_denied(SA_DEV, "", "NO_BINDING");
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "issued"), "policy")),
			    json_string_value(json_object_get(records_last(records, "intent"), "policy")));
	assert_string_not_equal(json_string_value(json_object_get(records_last(records, "issued"), "policy")),
				json_string_value(json_object_get(records_last(records, "denied"), "policy")));
	json_decref(records);
}

/* --- P7: local never waits for remote */

static void test_P7_liveness_denials_and_cached_tokens_pass_a_slow_upstream(void **state) {
	struct pollfd slow;
	struct answer a;

	(void)state;
	world_policy(&w, POLICY_DEV "  - {name: label, members: [\"" ME "\"], serviceAccounts: [" SA_LABEL "]}\n");
	world_daemon(&w);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 3000}");
	slow.fd = ask_begin(&w, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_LABEL "\"}");
	slow.events = POLLIN;
	while (google_calls(&w, "generateAccessToken") < 2)
		;
	ask(&w, "GET", "/healthz", NULL, &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	assert_denied(SA_PROD, "", "NO_BINDING");
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	ask(&w, "GET", "/v1/list", NULL, &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	/* All of these were answered before the slow one was. */
	assert_int_equal(poll(&slow, 1, 0), 0);
	assert_true(ask_end(slow.fd, &a));
	assert_int_equal(a.status, 200);
	answer_fini(&a);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_P1_intent_and_outcome_stand_in_the_record),
		SCENARIO(test_P1_a_cached_issuance_has_one_record_and_no_call),
		SCENARIO(test_P1_who_asks_the_same_again_has_a_record_each_time),
		SCENARIO(test_P1_without_a_journal_nothing_is_issued_and_google_is_not_asked),
		SCENARIO(test_P1_refusals_are_recorded_too),
		SCENARIO(test_P1_a_client_that_leaves_is_still_recorded),
		SCENARIO(test_P2_a_window_caps_the_token),
		SCENARIO(test_P2_a_token_that_lives_too_long_is_not_released),
		SCENARIO(test_P2_a_cached_token_must_fit_this_request),
		SCENARIO(test_P2_a_window_that_has_closed_gives_nothing_from_the_cache),
		SCENARIO(test_P3_what_is_not_allowed_is_denied),
		SCENARIO(test_P3_deny_rules_win_and_errors_never_grant),
		SCENARIO(test_P3_unknown_input_is_refused_with_the_reason),
		SCENARIO(test_P4_headers_do_not_say_who_one_is),
		SCENARIO(test_P5_no_token_in_the_log_the_record_or_the_process_listing),
		SCENARIO(test_P5_no_core_file_holds_a_token),
		SCENARIO(test_P6_a_bad_policy_is_refused_and_the_last_good_one_stays),
		SCENARIO(test_P6_a_request_in_flight_finishes_under_its_snapshot),
		SCENARIO(test_P7_liveness_denials_and_cached_tokens_pass_a_slow_upstream),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
