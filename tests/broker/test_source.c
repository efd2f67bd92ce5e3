/*
 * source: which credential is picked, and the one machine that refreshes each kind: ahead of expiry, one at a time,
 * patient with trouble, never repeating what it sent.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/source/kind.h"
#include "tests/lib/sourcebed.h"

#define TOKEN "POST /token"
#define USER_MEMBERS                                                                                                   \
	"\"type\":\"authorized_user\",\"client_id\":\"client\",\"client_secret\":\"the-client-secret-0123456789\","    \
	"\"refresh_token\":\"1//the-refresh-token-0123456789\",\"token_uri\":\"$URL/token\""
#define USER "{" USER_MEMBERS "}"
#define GOOD(token) "{\"access_token\":\"" token "\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"

static void good(struct bed *b, const char *body) {
	bed_reply(b, TOKEN, 200, NULL, body);
}

static void open_user(struct bed *b) {
	if (!bed_open_text(b, USER))
		fail_msg("%s", b->error.message);
}

/* --- the order of Application Default Credentials */

static void make_well_known(struct bed *b, const char *under) {
	char path[256];

	snprintf(path, sizeof(path), "mkdir -p %s/%s", b->dir, under);
	assert_int_equal(system(path), 0);
	snprintf(path, sizeof(path), "%s/application_default_credentials.json", under);
	free(bed_write(b, path, USER));
}

static void assert_picked(struct bed *b, const char *kind, const char *part_of_path) {
	if (!bed_open(b, (struct source_options){ 0 }))
		fail_msg("%s", b->error.message);
	assert_string_equal(source_kind(b->source), kind);
	if (part_of_path && !strstr(source_describe(b->source), part_of_path))
		fail_msg("'%s' without '%s'", source_describe(b->source), part_of_path);
}

static void test_source_picks_as_application_default_credentials_do(void **state) {
	struct bed *b = *state;
	char *named = bed_write(b, "named.json", USER), *configured = bed_write(b, "configured.json", USER), dir[128];

	setenv("GCE_METADATA_HOST", httpstub_url(b->stub) + 7, 1);
	assert_picked(b, "metadata", NULL);
	make_well_known(b, ".config/gcloud");
	assert_picked(b, "authorized_user", "/.config/gcloud/application_default_credentials.json");
	make_well_known(b, "sdk");
	snprintf(dir, sizeof(dir), "%s/sdk", b->dir);
	setenv("CLOUDSDK_CONFIG", dir, 1);
	assert_picked(b, "authorized_user", "/sdk/application_default_credentials.json");
	setenv("GOOGLE_APPLICATION_CREDENTIALS", named, 1);
	assert_picked(b, "authorized_user", "/named.json");
	setenv("GOOGLE_APPLICATION_CREDENTIALS", "", 1); /* set to nothing is not set */
	assert_picked(b, "authorized_user", "/sdk/");
	setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/key.json", 1);
	assert_false(bed_open(b, (struct source_options){ 0 })); /* a wrong name is an error, not a reason to look on */
	assert_int_equal(b->error.code, ERR_NOT_FOUND);
	bed_assert_says(b, "/nonexistent/key.json: No such file");
	assert_true(bed_open(b, (struct source_options){ .file = configured }));
	assert_non_null(strstr(source_describe(b->source), "/configured.json"));
	free(named);
	free(configured);
}

/* Whom its calls are charged to: the environment's word, where nobody named the file, else the file's. */
static void test_source_names_the_quota_project(void **state) {
	struct bed *b = *state;
	char *named = bed_write(b, "named.json", USER), *paid = bed_write(b, "paid.json", "{\"quota_project_id\":\"acme-quota\"," USER_MEMBERS "}");

	assert_true(bed_open(b, (struct source_options){ .file = named }));
	assert_null(source_quota_header(b->source));
	assert_true(bed_open(b, (struct source_options){ .file = paid }));
	assert_string_equal(source_quota_header(b->source), "X-Goog-User-Project: acme-quota");
	setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "example.com:other", 1);
	assert_true(bed_open(b, (struct source_options){ .file = paid }));
	assert_string_equal(source_quota_header(b->source), "X-Goog-User-Project: acme-quota");
	setenv("GOOGLE_APPLICATION_CREDENTIALS", paid, 1);
	assert_true(bed_open(b, (struct source_options){ 0 }));
	assert_string_equal(source_quota_header(b->source), "X-Goog-User-Project: example.com:other");
	setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "other\r\nX: y", 1);
	assert_false(bed_open(b, (struct source_options){ 0 }));
	bed_assert_says(b, "GOOGLE_CLOUD_QUOTA_PROJECT: quota project 'other");
	free(named);
	free(paid);
}

static void test_source_says_where_it_looked(void **state) {
	struct bed *b = *state;

	if (access("/sys/class/dmi/id/product_name", R_OK) == 0 &&
	    system("grep -q ^Google /sys/class/dmi/id/product_name") == 0) {
		print_message("skipped: this machine is on Google Cloud, so there is always a metadata server\n");
		skip();
	}
	assert_false(bed_open(b, (struct source_options){ 0 }));
	assert_int_equal(b->error.code, ERR_NOT_FOUND);
	bed_assert_says(b, "GOOGLE_APPLICATION_CREDENTIALS is not set");
	bed_assert_says(b, "/.config/gcloud/application_default_credentials.json does not exist");
	bed_assert_says(b, "gcloud auth application-default login");
	setenv("K_SERVICE", "run", 1);
	assert_picked(b, "metadata", NULL);
	unsetenv("K_SERVICE");
	unsetenv("HOME");
	assert_false(bed_open(b, (struct source_options){ 0 }));
	bed_assert_says(b, "the home directory does not exist");
}

/* --- files */

static void test_source_says_what_is_wrong_with_a_file(void **state) {
	static const char *const cases[][2] = {
		{ "", "1:0: not JSON" },
		{ "[]", "not a JSON object" },
		{ "{\n \"type\": \"authorized_user\",\n \"client_id\": \"a\"\n \"b\": 1}", "4:" },
		{ "{\"type\":\"a\",\"type\":\"b\"}", "a key appears twice" },
		{ "{}", "type is missing" },
		{ "{\"type\":5}", "type is not a string" },
		{ "{\"type\":\"gdch_service_account\"}", "type gdch_service_account is not supported" },
		{ "{\"type\":\"metadata\"}", "type metadata is not supported" },
		{ "{\"type\":\"authorized_user\"}", "client_id is missing" },
		{ "{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\"}", "refresh_token is missing" },
		{ "{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\",\"refresh_token\":\"\"}",
		  "refresh_token is empty" },
		{ "{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\",\"refresh_token\":[]}",
		  "refresh_token is not a string" },
		{ "{\"type\":\"authorized_user\",\"universe_domain\":\"evil.example/\"}", "universe_domain is not a domain" },
		{ "{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\",\"refresh_token\":\"c\","
		  "\"token_uri\":\"http://192.0.2.1/token?key=secret\"}",
		  "token_uri: 'http://192.0.2.1/token' is plain http" },
		{ "{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\",\"refresh_token\":\"c\","
		  "\"token_uri\":\"file:///etc/passwd\"}",
		  "token_uri: 'file:///etc/passwd' is no URL to call" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_false(bed_open_text(b, cases[i][0]));
		assert_int_equal(b->error.code, ERR_INVALID);
		bed_assert_says(b, cases[i][1]);
		bed_assert_says(b, "/credential.json: ");
		assert_null(strstr(b->error.message, "key=secret"));
	}
}

static void test_source_reads_regular_files_of_a_sane_size_alone(void **state) {
	struct bed *b = *state;
	char path[128];
	FILE *f;

	assert_false(bed_open(b, (struct source_options){ .file = b->dir }));
	bed_assert_says(b, "not a regular file");
	snprintf(path, sizeof(path), "%s/fifo", b->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(bed_open(b, (struct source_options){ .file = path })); /* and does not wait for a writer */
	bed_assert_says(b, "not a regular file");
	snprintf(path, sizeof(path), "%s/big", b->dir);
	f = fopen(path, "w");
	assert_int_equal(ftruncate(fileno(f), 65537), 0);
	fclose(f);
	assert_false(bed_open(b, (struct source_options){ .file = path }));
	bed_assert_says(b, "longer than 65536 bytes");
}

static void test_source_warns_of_a_file_that_others_can_read(void **state) {
	static const struct {
		mode_t mode;
		bool warns;
	} cases[] = { { 0600, false }, { 0400, false }, { 0640, true }, { 0604, true }, { 0644, true } };
	struct bed *b = *state;
	char *path = bed_write(b, "key.json", USER), *log, want[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ftruncate(b->log.fd, 0), 0);
		lseek(b->log.fd, 0, SEEK_SET);
		assert_int_equal(chmod(path, cases[i].mode), 0);
		assert_true(bed_open(b, (struct source_options){ .file = path }));
		log = bed_log(b);
		snprintf(want, sizeof(want), "mode=%04o", (unsigned)cases[i].mode);
		assert_int_equal(strstr(log, "credential-readable-by-others") != NULL, cases[i].warns);
		assert_int_equal(strstr(log, want) != NULL, cases[i].warns);
		assert_int_equal(strstr(log, "chmod 600") != NULL, cases[i].warns);
		free(log);
	}
	free(path);
}

/* A service with a uid of its own reads root's file by its group: as it should be, and chmod 600 would end it. */
static void test_source_knows_a_file_that_is_lent_by_group(void **state) {
	static const struct {
		mode_t mode;
		int other_group;
		bool warns;
	} cases[] = { { 0640, 0, false }, { 0440, 0, false }, { 0644, 0, true }, { 0604, 0, true }, { 0640, 1, true } };
	struct bed *b = *state;
	char *path, *log;

	if (geteuid() != 0) {
		print_message("skipped: only root can give a file away\n");
		skip();
	}
	path = bed_write(b, "key.json", USER);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ftruncate(b->log.fd, 0), 0);
		lseek(b->log.fd, 0, SEEK_SET);
		assert_int_equal(chown(path, 12345, getegid() + (gid_t)cases[i].other_group), 0);
		assert_int_equal(chmod(path, cases[i].mode), 0);
		assert_true(bed_open(b, (struct source_options){ .file = path }));
		log = bed_log(b);
		assert_int_equal(strstr(log, "credential-readable-by-others") != NULL, cases[i].warns);
		assert_int_equal(strstr(log, "owner=12345") != NULL, cases[i].warns);
		assert_int_equal(strstr(log, "&& chmod 640") != NULL, cases[i].warns);
		free(log);
	}
	free(path);
}

/* --- refreshing */

static void test_source_fetches_nothing_before_it_is_asked(void **state) {
	struct bed *b = *state;

	good(b, GOOD("ya29.one"));
	open_user(b);
	event_base_loop(b->base, EVLOOP_NONBLOCK);
	assert_int_equal(httpstub_count(b->stub, NULL), 0);
	bed_ask(b);
	assert_string_equal(b->token, "ya29.one");
	assert_int_equal(b->expires_at, BED_NOW + 3600);
	bed_ask(b);
	assert_int_equal(httpstub_count(b->stub, NULL), 1);
}

static void test_source_has_one_refresh_in_flight_for_many_waiters(void **state) {
	struct bed *b = *state;

	httpstub_on(b->stub, TOKEN, &(struct httpstub_reply){ .status = 200, .body = GOOD("ya29.one"), .action = STUB_HOLD });
	open_user(b);
	for (int i = 0; i < 100; i++)
		source_token(b->source, bed_on_token, b);
	bed_wait(b, TOKEN, 1);
	for (int i = 0; i < 100; i++)
		source_token(b->source, bed_on_token, b);
	event_base_loop(b->base, EVLOOP_NONBLOCK);
	assert_int_equal(b->done, 0);
	httpstub_release(b->stub);
	run_until(b->base, &b->done, 200);
	assert_string_equal(b->token, "ya29.one");
	assert_int_equal(httpstub_count(b->stub, TOKEN), 1);
}

/* Runs the loop until the server has seen n requests for tokens and their answers were taken. */
static void settle(struct bed *b, int n) {
	bed_wait(b, TOKEN, n);
	for (bed_ask(b); strcmp(b->token, "ya29.two") != 0; bed_ask(b))
		event_base_loop(b->base, EVLOOP_ONCE);
}

static void test_source_refreshes_ahead_of_expiry_without_making_anyone_wait(void **state) {
	struct bed *b = *state;

	good(b, GOOD("ya29.one"));
	httpstub_on(b->stub, TOKEN, &(struct httpstub_reply){ .status = 200, .body = GOOD("ya29.two"), .action = STUB_HOLD });
	open_user(b);
	bed_ask(b);
	b->now = BED_NOW + 3600 - 226;
	bed_ask(b);
	assert_int_equal(httpstub_count(b->stub, TOKEN), 1);
	b->now = BED_NOW + 3600 - 225;
	bed_ask(b); /* what is at hand, while the successor is on its way */
	assert_string_equal(b->token, "ya29.one");
	bed_wait(b, TOKEN, 2);
	bed_ask(b);
	assert_string_equal(b->token, "ya29.one");
	/* With 9 s left it is worth waiting for the successor. */
	b->now = BED_NOW + 3600 - 9;
	source_token(b->source, bed_on_token, b);
	event_base_loop(b->base, EVLOOP_NONBLOCK);
	assert_int_equal(b->done, 4);
	httpstub_release(b->stub);
	run_until(b->base, &b->done, 5);
	assert_string_equal(b->token, "ya29.two");
	assert_int_equal(b->expires_at, b->now + 3600);
	assert_int_equal(httpstub_count(b->stub, TOKEN), 2);
}

static void test_source_refreshes_short_tokens_at_three_quarters(void **state) {
	struct bed *b = *state;

	good(b, "{\"access_token\":\"ya29.one\",\"expires_in\":100}");
	good(b, GOOD("ya29.two"));
	open_user(b);
	bed_ask(b);
	b->now = BED_NOW + 74;
	bed_ask(b);
	assert_int_equal(httpstub_count(b->stub, TOKEN), 1);
	b->now = BED_NOW + 75;
	bed_ask(b);
	assert_string_equal(b->token, "ya29.one");
	settle(b, 2);
	assert_string_equal(b->token, "ya29.two");
}

static void test_source_with_a_good_token_survives_a_failing_refresh(void **state) {
	struct bed *b = *state;
	char *log;

	good(b, GOOD("ya29.one"));
	bed_reply(b, TOKEN, 403, NULL, "{\"error\":\"access_denied\",\"error_description\":\"not today\"}");
	open_user(b);
	bed_ask(b);
	b->now = BED_NOW + 3400;
	bed_ask(b);
	bed_wait(b, TOKEN, 2);
	for (;; event_base_loop(b->base, EVLOOP_NONBLOCK)) {
		log = bed_log(b);
		if (strstr(log, "credential-refresh-failed"))
			break;
		free(log);
	}
	assert_non_null(strstr(log, "token_left_s=200"));
	assert_non_null(strstr(log, "not today"));
	free(log);
	bed_ask(b); /* no outage */
	assert_string_equal(b->token, "ya29.one");
	b->now = BED_NOW + 3599;
	bed_ask(b); /* the last second is better than nothing when nothing better can be had */
	assert_string_equal(b->token, "ya29.one");
	assert_int_equal(httpstub_count(b->stub, TOKEN), 3);
	b->now = BED_NOW + 3600;
	bed_ask(b);
	assert_string_equal(b->token, "");
	bed_assert_says(b, "not today");
}

static void test_source_backs_off_after_failures(void **state) {
	static const int64_t pauses[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	struct bed *b = *state;
	int calls = 0;

	bed_reply(b, TOKEN, 400, NULL, "{\"error\":\"invalid_request\"}");
	open_user(b);
	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		bed_ask(b);
		assert_int_equal(httpstub_count(b->stub, TOKEN), ++calls);
		b->now += pauses[i] - 1;
		bed_ask(b); /* the same error, and nobody is called */
		bed_assert_says(b, "invalid_request");
		assert_int_equal(httpstub_count(b->stub, TOKEN), calls);
		b->now++;
	}
	/* A clock that is put back does not make the pause longer. */
	bed_ask(b);
	b->now -= 86400;
	bed_ask(b);
	assert_int_equal(httpstub_count(b->stub, TOKEN), calls + 2);
}

static void test_source_tries_again_within_a_refresh(void **state) {
	static const struct httpstub_reply troubles[] = {
		{ .status = 500, .body = "{}" },
		{ .status = 503, .body = "<html>" },
		{ .status = 429, .body = "{}" },
		{ .status = 200, .body = GOOD("ya29.half"), .action = STUB_HALF },
		{ .status = 503, .headers = "Retry-After: 1\r\n", .body = "{}" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
		bed_teardown(state);
		bed_setup(state);
		b = *state;
		httpstub_on(b->stub, TOKEN, &troubles[i]);
		good(b, GOOD("ya29.two"));
		open_user(b);
		bed_ask(b);
		if (b->error.code)
			fail_msg("trouble %zu: %s", i, b->error.message);
		assert_int_equal(httpstub_count(b->stub, TOKEN), 2);
	}
}

static void test_source_gives_up_after_three_calls(void **state) {
	struct bed *b = *state;

	bed_reply(b, TOKEN, 503, NULL, "{\"error\":{\"status\":\"UNAVAILABLE\",\"message\":\"overloaded\"}}");
	open_user(b);
	bed_ask(b);
	assert_int_equal(b->error.code, ERR_UPSTREAM);
	bed_assert_says(b, "HTTP 503: UNAVAILABLE: overloaded");
	assert_int_equal(httpstub_count(b->stub, TOKEN), 3);
}

static void test_source_honours_a_long_retry_after(void **state) {
	static const struct {
		const char *header;
		int64_t pause;
	} cases[] = { { "Retry-After: 120\r\n", 120 }, { "Retry-After: 86400\r\n", 300 } };
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bed_teardown(state);
		bed_setup(state);
		b = *state;
		bed_reply(b, TOKEN, 429, cases[i].header, "{\"error\":\"rate_limited\"}");
		good(b, GOOD("ya29.two"));
		open_user(b);
		bed_ask(b);
		bed_assert_says(b, "rate_limited");
		assert_int_equal(httpstub_count(b->stub, TOKEN), 1); /* it does not fit into one refresh */
		b->now += cases[i].pause - 1;
		bed_ask(b);
		assert_int_equal(httpstub_count(b->stub, TOKEN), 1);
		b->now++;
		bed_ask(b);
		assert_string_equal(b->token, "ya29.two");
	}
}

static void test_source_forgets_a_token_that_was_refused(void **state) {
	struct bed *b = *state;

	good(b, GOOD("ya29.one"));
	good(b, GOOD("ya29.two"));
	open_user(b);
	bed_ask(b);
	source_invalidate(b->source, b->expires_at - 1); /* about another one: long gone */
	bed_ask(b);
	assert_string_equal(b->token, "ya29.one");
	b->now++;
	source_invalidate(b->source, b->expires_at);
	bed_ask(b);
	assert_string_equal(b->token, "ya29.two");
	assert_int_equal(httpstub_count(b->stub, TOKEN), 2);
}

/* A done function that spoils the token for those behind it. */
static void on_token_invalidate(const struct secret *token, int64_t expires_at, const struct error *err, void *arg) {
	struct bed *b = arg;

	bed_on_token(token, expires_at, err, arg);
	source_invalidate(b->source, expires_at);
}

static void test_source_done_may_invalidate_and_ask_again(void **state) {
	struct bed *b = *state;

	good(b, GOOD("ya29.one"));
	good(b, GOOD("ya29.two"));
	open_user(b);
	source_token(b->source, on_token_invalidate, b);
	source_token(b->source, bed_on_token, b);
	run_until(b->base, &b->done, 2);
	assert_string_equal(b->token, "ya29.two");
}

static void test_source_checks_answers(void **state) {
	static const char *const cases[][2] = {
		{ "", "not JSON" },
		{ "{}", "access_token is missing" },
		{ "{\"access_token\":\"\",\"expires_in\":3600}", "access_token is empty" },
		{ "{\"access_token\":\"ya29.a b\",\"expires_in\":3600}", "a character that no token has" },
		{ "{\"access_token\":\"ya29.a\"}", "expires_in is not a whole number" },
		{ "{\"access_token\":\"ya29.a\",\"expires_in\":\"3600\"}", "expires_in is not a whole number" },
		{ "{\"access_token\":\"ya29.a\",\"expires_in\":0}", "expires_in is not between" },
		{ "{\"access_token\":\"ya29.a\",\"expires_in\":-5}", "expires_in is not between" },
		{ "{\"access_token\":\"ya29.a\",\"expires_in\":99999999}", "expires_in is not between" },
		{ "{\"access_token\":\"ya29.a\",\"expires_in\":3600,\"token_type\":\"mac\"}", "token_type is not Bearer" },
		{ "{\"access_token\":\"ya29.a\",\"access_token\":\"ya29.b\",\"expires_in\":3600}", "a key appears twice" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bed_teardown(state);
		bed_setup(state);
		b = *state;
		good(b, cases[i][0]);
		open_user(b);
		bed_ask(b);
		assert_int_equal(b->error.code, ERR_UPSTREAM);
		bed_assert_says(b, cases[i][1]);
		bed_assert_says(b, "/credential.json): POST http://127.0.0.1:");
		assert_null(strstr(b->error.message, "ya29."));
		assert_int_equal(httpstub_count(b->stub, TOKEN), 1);
	}
}

/* P5. */
static void test_source_errors_quote_google_but_never_the_credential(void **state) {
	static const char *const cases[][2] = {
		{ "{\"error\":\"invalid_client\",\"error_description\":\"The OAuth client was not found.\"}",
		  "HTTP 401: invalid_client: The OAuth client was not found." },
		{ "{\"error\":\"invalid_client\",\"error_description\":\"bad 1//the-refresh-token-0123456789\"}", "is not shown" },
		{ "{\"error\":\"invalid_client\",\"error_description\":\"bad 1%2F%2Fthe-refresh-token-0123456789\"}", "is not shown" },
		{ "{\"error\":\"invalid_client\",\"error_description\":\"bad the-client-secret-0123456789\"}", "is not shown" },
		{ "{\"error\":\"the-client-secret-0123456789\",\"error_description\":\"x\"}", "is not shown" },
		{ "{\"error\":{\"status\":\"X\",\"message\":\"..ken-0123456789 no\\nline\"}}", "HTTP 401: X: ..ken-0123456789 no line" },
		{ "<html>1//the-refresh-token-0123456789", "an error that cannot be read" },
		{ "{\"error\":null}", "an error that cannot be read" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bed_teardown(state);
		bed_setup(state);
		b = *state;
		bed_reply(b, TOKEN, 401, NULL, cases[i][0]);
		open_user(b);
		bed_ask(b);
		bed_assert_says(b, cases[i][1]);
		bed_assert_says(b, "credential authorized_user (/tmp/");
		assert_null(strstr(b->error.message, "the-refresh"));
		assert_null(strstr(b->error.message, "client-secret"));
	}
}

static void test_source_names_an_endpoint_that_is_not_there(void **state) {
	struct bed *b = *state;

	assert_true(bed_open_text(b, "{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\","
				     "\"refresh_token\":\"c\",\"token_uri\":\"http://127.0.0.1:1/token?q=1\"}"));
	bed_ask(b);
	assert_int_equal(b->error.code, ERR_UPSTREAM);
	bed_assert_says(b, "POST http://127.0.0.1:1/token: ");
}

/* --- leaving */

static void test_source_is_silent_after_cancel(void **state) {
	struct bed *b = *state;
	struct source_wait *leaving;

	httpstub_on(b->stub, TOKEN, &(struct httpstub_reply){ .status = 200, .body = GOOD("ya29.one"), .action = STUB_HOLD });
	open_user(b);
	leaving = source_token(b->source, bed_on_token, b);
	source_token(b->source, bed_on_token, b);
	bed_wait(b, TOKEN, 1);
	source_cancel(leaving);
	source_cancel(NULL);
	httpstub_release(b->stub);
	run_until(b->base, &b->done, 1);
	event_base_loop(b->base, EVLOOP_NONBLOCK);
	assert_int_equal(b->done, 1);
}

static void test_source_freed_while_refreshing_tells_its_waiters(void **state) {
	struct bed *b = *state;

	httpstub_on(b->stub, TOKEN, &(struct httpstub_reply){ .action = STUB_HANG });
	open_user(b);
	source_token(b->source, bed_on_token, b);
	source_token(b->source, bed_on_token, b);
	bed_wait(b, TOKEN, 1);
	source_unref(source_ref(b->source));
	assert_int_equal(b->done, 0);
	source_unref(b->source);
	b->source = NULL;
	assert_int_equal(b->done, 2);
	assert_int_equal(b->error.code, ERR_CANCELLED);
	event_base_loop(b->base, EVLOOP_NONBLOCK);
}

static void test_source_freed_while_pausing(void **state) {
	struct bed *b = *state;

	bed_reply(b, TOKEN, 503, "Retry-After: 5\r\n", "{}");
	open_user(b);
	source_token(b->source, bed_on_token, b);
	bed_wait(b, TOKEN, 1);
	while (b->source->fetch)
		event_base_loop(b->base, EVLOOP_ONCE);
	assert_true(b->source->refreshing && event_pending(b->source->retry, EV_TIMEOUT, NULL));
	source_unref(b->source);
	b->source = NULL;
	assert_int_equal(b->done, 1);
	assert_int_equal(b->error.code, ERR_CANCELLED);
}

static void on_token_unref(const struct secret *token, int64_t expires_at, const struct error *err, void *arg) {
	struct bed *b = arg;

	bed_on_token(token, expires_at, err, arg);
	source_unref(b->source);
	b->source = NULL;
}

static void test_source_may_be_freed_by_a_done_function(void **state) {
	struct bed *b = *state;

	good(b, GOOD("ya29.one"));
	open_user(b);
	source_token(b->source, on_token_unref, b);
	source_token(b->source, bed_on_token, b);
	run_until(b->base, &b->done, 2);
}

/* --- what it knows of itself */

static void test_source_honours_universe_and_token_endpoint(void **state) {
	struct bed *b = *state;
	char url[128], *path;

	path = bed_write(b, "u.json", "{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\",\"refresh_token\":\"c\","
				      "\"universe_domain\":\"example-cloud.test\",\"quota_project_id\":\"acme-quota\",\"account\":\"me@example.com\"}");
	snprintf(url, sizeof(url), "%s/elsewhere", httpstub_url(b->stub));
	bed_reply(b, "POST /elsewhere", 200, NULL, GOOD("ya29.one"));
	assert_true(bed_open(b, (struct source_options){ .file = path, .token_endpoint = url }));
	assert_string_equal(source_universe(b->source), "example-cloud.test");
	assert_string_equal(source_project(b->source), "acme-quota");
	assert_string_equal(source_email(b->source), "me@example.com");
	bed_ask(b);
	assert_string_equal(b->token, "ya29.one");
	/* Without either, the universe's own endpoint is called. */
	assert_true(bed_open(b, (struct source_options){ .file = path }));
	setenv("HTTPS_PROXY", httpstub_url(b->stub), 1);
	bed_ask(b);
	bed_assert_says(b, "POST https://oauth2.example-cloud.test/token");
	assert_true(httpstub_count(b->stub, "CONNECT oauth2.example-cloud.test:443") > 0);
	unsetenv("HTTPS_PROXY");
	free(path);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		T(test_source_picks_as_application_default_credentials_do),
		T(test_source_names_the_quota_project),
		T(test_source_says_where_it_looked),
		T(test_source_says_what_is_wrong_with_a_file),
		T(test_source_reads_regular_files_of_a_sane_size_alone),
		T(test_source_warns_of_a_file_that_others_can_read),
		T(test_source_knows_a_file_that_is_lent_by_group),
		T(test_source_fetches_nothing_before_it_is_asked),
		T(test_source_has_one_refresh_in_flight_for_many_waiters),
		T(test_source_refreshes_ahead_of_expiry_without_making_anyone_wait),
		T(test_source_refreshes_short_tokens_at_three_quarters),
		T(test_source_with_a_good_token_survives_a_failing_refresh),
		T(test_source_backs_off_after_failures),
		T(test_source_tries_again_within_a_refresh),
		T(test_source_gives_up_after_three_calls),
		T(test_source_honours_a_long_retry_after),
		T(test_source_forgets_a_token_that_was_refused),
		T(test_source_done_may_invalidate_and_ask_again),
		T(test_source_checks_answers),
		T(test_source_errors_quote_google_but_never_the_credential),
		T(test_source_names_an_endpoint_that_is_not_there),
		T(test_source_is_silent_after_cancel),
		T(test_source_freed_while_refreshing_tells_its_waiters),
		T(test_source_freed_while_pausing),
		T(test_source_may_be_freed_by_a_done_function),
		T(test_source_honours_universe_and_token_endpoint),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
