/* The daemon and its upstream: each kind of credential end to end, trouble, deadlines, sharing, refreshing, lies, TLS and proxies. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "broker/source/google_error.h"
#include "hallpass/buf.h"
#include "tests/lib/connectproxy.h"
#include "tests/lib/httpask.h"
#include "tests/lib/httpstub.h"
#include "tests/lib/testcert.h"
#include "tests/lib/port.h"
#include "tests/lib/world.h"

#define GENERATE "generateAccessToken"
#define DELEGATE "hallpass-delegate@acme-ml.iam.gserviceaccount.com"
#define DELEGATE_2 "hallpass-delegate-2@acme-ml.iam.gserviceaccount.com"
#define DELEGATED "ml-delegated-sa@acme-ml.iam.gserviceaccount.com"

static struct world w;
static struct answer a;

static void forget_environment(void) {
	static const char *const names[] = { "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "GCE_METADATA_HOST", "HTTPS_PROXY",
					     "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "GOOGLE_CLOUD_QUOTA_PROJECT" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

static int setup(void **state) {
	(void)state;
	forget_environment();
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	answer_fini(&a);
	world_end(&w);
	forget_environment();
	return 0;
}

static void token(const char *account, const char *more, int status, const char *says) {
	answer_fini(&a);
	ask_token(&w, account, more, &a);
	if (a.status != status || (says && !strstr(a.text, says))) {
		world_log_tail(&w);
		fail_msg("%d with '%s' expected: %s", status, says ? says : "", a.text);
	}
	if (status != 200)
		assert_null(strstr(a.text, "ya29."));
}

/* Text with $URL, $DIR and $HOST for those of this world. */
static char *fill(const char *text) {
	const struct {
		const char *name, *value;
	} variables[] = { { "$URL", w.url }, { "$HOST", w.url + 7 }, { "$DIR", w.dir } };
	struct buf out = BUF_INIT(65536);

	while (*text) {
		size_t i = 0;

		while (i < 3 && strncmp(text, variables[i].name, strlen(variables[i].name)) != 0)
			i++;
		if (i == 3) {
			buf_addc(&out, *text++);
			continue;
		}
		buf_adds(&out, variables[i].value);
		text += strlen(variables[i].name);
	}
	return buf_take(&out);
}

static void write_filled(const char *name, const char *text) {
	char path[256], *filled = fill(text);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fchmod(fileno(f), 0600);
	fputs(filled, f);
	fclose(f);
	free(filled);
}

static void use_upstream(const char *text) {
	char *filled = fill(text);

	snprintf(w.upstream, sizeof(w.upstream), "%s", filled);
	free(filled);
}

static void grant(const char *caller, const char *target, const char *may) {
	struct http_answer said;
	char body[512];

	snprintf(body, sizeof(body), "{\"caller\":\"%s\",\"target\":\"%s\",\"may\":[%s]}", caller, target, may);
	http_ask(w.url, "POST", "/standin/grant", NULL, body, &said);
	assert_int_equal(said.status, 200);
	http_answer_fini(&said);
}

/* The last body that the stand-in got at an endpoint. */
static void last_body(const char *endpoint, char *out, size_t size) {
	struct http_answer said;
	char key[100];

	snprintf(key, sizeof(key), "last.%s", endpoint);
	http_ask(w.url, "GET", "/standin/counters", NULL, NULL, &said);
	snprintf(out, size, "%s", http_answer_text(&said, key));
	http_answer_fini(&said);
}

/* --- each kind of source credential */

#define USER                                                                                                           \
	"{\"account\":\"\",\"client_id\":\"standin-client\",\"client_secret\":\"standin-secret\",\"quota_project_id\":\"acme-ml\","  \
	"\"refresh_token\":\"1//standin-refresh-token\",\"type\":\"authorized_user\",\"universe_domain\":\"googleapis.com\"}"
#define EXTERNAL(source, more)                                                                                         \
	"{\"type\":\"external_account\",\"audience\":\"//iam.googleapis.com/locations/global/workloadIdentityPools/p/providers/q\","   \
	"\"subject_token_type\":\"urn:ietf:params:oauth:token-type:jwt\",\"token_url\":\"https://sts.googleapis.com/v1/token\","       \
	"\"credential_source\":" source more "}"
#define IMPERSONATION(who)                                                                                             \
	"\"service_account_impersonation_url\":\"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" who ":generateAccessToken\""

static void test_upstream_serves_each_kind_of_credential(void **state) {
	static const struct {
		const char *file, *upstream, *kind, *identity, *endpoint;
		int generated; /* calls of generateAccessToken, ours included */
	} cases[] = {
		{ NULL, "credential: {file: google/broker-key.json}\nendpoints: {iamCredentials: \"$URL\"}\n", "service_account",
		  "hallpass-broker@acme-ml.iam.gserviceaccount.com", "token", 1 },
		{ USER, "credential: {file: file.json}\nendpoints: {iamCredentials: \"$URL\", token: \"$URL/token\"}\n", "authorized_user", "",
		  "token", 1 },
		{ EXTERNAL("{\"file\":\"$DIR/google/subject-token\"}", ""),
		  "credential: {file: file.json}\nendpoints: {iamCredentials: \"$URL\", sts: \"$URL/sts/v1/token\"}\n", "external_account",
		  "", "sts", 1 },
		{ EXTERNAL("{\"file\":\"$DIR/subject.json\",\"format\":{\"type\":\"json\",\"subject_token_field_name\":\"jwt\"}}",
			   "," IMPERSONATION(DELEGATE)),
		  "credential: {file: file.json}\nendpoints: {iamCredentials: \"$URL\", sts: \"$URL/sts/v1/token\"}\n", "external_account",
		  DELEGATE, "sts", 2 },
		{ "{\"type\":\"impersonated_service_account\",\"delegates\":[\"" DELEGATE "\",\"" DELEGATE_2 "\"]," IMPERSONATION(DELEGATED)
		  ",\"source_credentials\":" USER "}",
		  "credential: {file: file.json}\nendpoints: {iamCredentials: \"$URL\", token: \"$URL/token\"}\n",
		  "impersonated_service_account", DELEGATED, "token", 2 },
		{ NULL, "endpoints: {iamCredentials: \"$URL\", metadata: \"$HOST\"}\n", "metadata",
		  "hallpass-broker@acme-ml.iam.gserviceaccount.com", "metadata", 1 },
	};

	(void)state;
	setenv("HOME", w.dir, 1);
	write_filled("subject.json", "{\"jwt\":\"standin-subject-token\"}");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		google_reset(&w);
		grant(DELEGATED, SA_DEV, "\"accessToken\"");
		if (cases[i].file)
			write_filled("file.json", cases[i].file);
		use_upstream(cases[i].upstream);
		world_daemon(&w);
		token(SA_DEV, "", 200, NULL);
		answer_fini(&a);
		ask(&w, "GET", "/v1/status", NULL, &a);
		assert_string_equal(answer_text(&a, "credential.kind"), cases[i].kind);
		assert_string_equal(answer_text(&a, "credential.identity"), cases[i].identity);
		assert_true(google_calls(&w, cases[i].endpoint) > 0);
		assert_int_equal(google_calls(&w, GENERATE), cases[i].generated);
		assert_int_equal(world_stop(&w, SIGTERM), 0);
	}
}

static void test_upstream_takes_a_subject_from_a_url(void **state) {
	struct httpstub *stub = httpstub_new(NULL, NULL);
	char text[1024], *seen;

	(void)state;
	httpstub_on(stub, "GET /subject", &STUB(200, NULL, "standin-subject-token\n"));
	snprintf(text, sizeof(text), EXTERNAL("{\"url\":\"%s/subject\",\"headers\":{\"Metadata\":\"True\"}}", ""), httpstub_url(stub));
	write_filled("file.json", text);
	use_upstream("credential: {file: file.json}\nendpoints: {iamCredentials: \"$URL\", sts: \"$URL/sts/v1/token\"}\n");
	world_daemon(&w);
	token(SA_DEV, "", 200, NULL);
	seen = httpstub_request(stub, "GET /subject", 0);
	assert_non_null(strstr(seen, "\r\nMetadata: True\r\n"));
	free(seen);
	world_stop(&w, SIGTERM);
	httpstub_free(stub);
}

static void test_upstream_picks_by_the_environment(void **state) {
	char path[256];

	(void)state;
	setenv("HOME", w.dir, 1);
	use_upstream("endpoints: {iamCredentials: \"$URL\", token: \"$URL/token\"}\n");
	setenv("GCE_METADATA_HOST", w.url + 7, 1);
	world_daemon(&w);
	token(SA_DEV, "", 200, NULL);
	assert_true(google_calls(&w, "metadata") > 0 && google_calls(&w, "token") == 0);
	world_stop(&w, SIGTERM);
	snprintf(path, sizeof(path), "mkdir -p %s/.config/gcloud", w.dir);
	assert_int_equal(system(path), 0);
	write_filled(".config/gcloud/application_default_credentials.json", USER);
	world_daemon(&w);
	token(SA_DEV, "", 200, NULL);
	assert_int_equal(google_calls(&w, "token"), 1);
	world_stop(&w, SIGTERM);
	snprintf(path, sizeof(path), "%s/google/broker-key.json", w.dir);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", path, 1);
	world_daemon(&w);
	answer_fini(&a);
	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_string_equal(answer_text(&a, "credential.kind"), "service_account");
	world_stop(&w, SIGTERM);
}

static void test_upstream_refuses_to_start_with_a_bad_credential(void **state) {
	static const struct {
		const char *file, *upstream, *says;
	} cases[] = {
		{ "{\"type\":\"service_account\"}", "credential: {file: file.json}\n", "/file.json: client_email is missing" },
		{ "", "credential: {file: none.json}\n", "/none.json: No such file" },
		{ EXTERNAL("{\"executable\":{\"command\":\"x\"}}", ""), "credential: {file: file.json}\n",
		  "would run a program with the broker's rights" },
	};
	char text[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_filled("file.json", cases[i].file);
		use_upstream(cases[i].upstream);
		assert_int_not_equal(world_daemon_fails(&w, text, sizeof(text)), 0);
		if (!strstr(text, cases[i].says))
			fail_msg("'%s' without '%s'", text, cases[i].says);
	}
}

static void reload(void) {
	answer_fini(&a);
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 200);
}

static void test_upstream_says_what_a_person_has_to_do(void **state) {
	(void)state;
	write_filled("file.json", "{\"type\":\"authorized_user\",\"client_id\":\"standin-client\",\"client_secret\":\"standin-secret\",\"refresh_token\":\"rapt\"}");
	use_upstream("credential: {file: file.json}\nendpoints: {iamCredentials: \"$URL\", token: \"$URL/token\"}\n");
	world_daemon(&w);
	token(SA_DEV, "", 403, "invalid_grant: reauth related error (invalid_rapt); the login must be renewed: run `gcloud auth "
			       "application-default login`, then `hallpass reload`");
	assert_non_null(strstr(answer_text(&a, "error.message"), "/file.json"));
	token(SA_DEV, "", 403, "invalid_rapt"); /* nothing that passes: clients would try it again and again */
	assert_int_equal(google_calls(&w, "token"), 1);
	write_filled("file.json", USER);
	reload();
	token(SA_DEV, "", 200, NULL);
}

/* The stand-in, as Google does, refuses a project that the caller may not charge; the tests of every kind charge acme-ml. */
static void test_upstream_says_whom_calls_are_charged_to(void **state) {
	char text[600], said[4096];

	(void)state;
	snprintf(text, sizeof(text), "%s", USER);
	memcpy(strstr(text, "acme-ml"), "not-his", 7);
	write_filled("file.json", text);
	use_upstream("credential: {file: file.json}\nendpoints: {iamCredentials: \"$URL\", iam: \"$URL\", token: \"$URL/token\"}\n");
	world_daemon(&w);
	token(SA_DEV, "", 403, "to use project not-his. Grant the caller the roles/serviceusage.serviceUsageConsumer role; ");
	assert_null(strstr(a.text, "serviceAccountTokenCreator"));
	run_cli(&w, said, sizeof(said), NULL, 0, "doctor", NULL);
	assert_non_null(strstr(said, "to use project not-his"));
	write_filled("file.json", USER);
	reload();
	token(SA_DEV, "", 200, NULL);
	run_cli(&w, said, sizeof(said), NULL, 0, "doctor", NULL);
	assert_null(strstr(said, "to use project"));
}

/* A policy that takes rights away must not wait for a credential that is broken just now. */
static void test_upstream_reloads_a_policy_beside_a_broken_credential(void **state) {
	char path[256], text[8192];
	FILE *f;

	(void)state;
	world_daemon(&w);
	token(SA_DEV, "", 200, NULL);
	write_filled("google/broker-key.json", "{");
	world_policy(&w, "version: 1\nbindings:\n  - {name: label, members: [\"" ME "\"], serviceAccounts: [" SA_LABEL "]}\n");
	reload();
	token(SA_DEV, "", 403, NULL);
	token(SA_LABEL, "", 200, NULL); /* by the one in use */
	snprintf(path, sizeof(path), "%s/hallpassd.log", w.dir);
	f = fopen(path, "r");
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	assert_non_null(strstr(text, "warning credential-kept"));
}

/* --- trouble */

static void script(const char *more) {
	char text[256];

	snprintf(text, sizeof(text), "{\"endpoint\":\"" GENERATE "\",%s}", more);
	google_script(&w, text);
}

static void test_upstream_trouble_is_tried_again(void **state) {
	static const char *const troubles[] = { "\"status\":429", "\"status\":500", "\"status\":503", "\"status\":503,\"retry_after\":1",
						"\"mishap\":\"reset\"", "\"mishap\":\"half\"" };

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
		char text[128], more[64];

		google_reset(&w);
		snprintf(text, sizeof(text), "\"times\":1,%s", troubles[i]);
		script(text);
		snprintf(more, sizeof(more), ", \"lifetime\": %zu", 800 - 100 * i); /* shorter each time: none is in the cache */
		token(SA_DEV, more, 200, NULL);
		assert_int_equal(google_calls(&w, GENERATE), 2);
	}
}

static void test_upstream_refusals_are_not_tried_again(void **state) {
	static const int refusals[] = { 400, 403, 404, 409 };

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		char text[64], says[32];

		google_reset(&w);
		snprintf(text, sizeof(text), "\"status\":%d", refusals[i]);
		snprintf(says, sizeof(says), "HTTP %d", refusals[i]);
		script(text);
		token(SA_DEV, "", 403, says);
		assert_int_equal(google_calls(&w, GENERATE), 1);
	}
	google_reset(&w);
	grant("hallpass-broker@acme-ml.iam.gserviceaccount.com", SA_DEV, "");
	token(SA_DEV, "", 403, "hallpass-broker@acme-ml.iam.gserviceaccount.com) needs roles/iam.serviceAccountTokenCreator");
	assert_int_equal(google_calls(&w, GENERATE), 1);
}

static void test_upstream_401_renews_the_credential_once(void **state) {
	(void)state;
	world_daemon(&w);
	token(SA_DEV, "", 200, NULL);
	google_reset(&w);
	script("\"times\":1,\"status\":401");
	token(SA_DEV, ", \"lifetime\": 800", 200, NULL);
	assert_int_equal(google_calls(&w, "token"), 1);
	assert_int_equal(google_calls(&w, GENERATE), 2);
	google_reset(&w);
	script("\"status\":401");
	token(SA_DEV, ", \"lifetime\": 700", 502, "HTTP 401: UNAUTHENTICATED");
	assert_int_equal(google_calls(&w, "token"), 1);
	assert_int_equal(google_calls(&w, GENERATE), 2);
	/* What really happens: the broker's own token is over before its time, by Google's clock. */
	google_reset(&w);
	google_clock(&w, 4000);
	token(SA_DEV, ", \"lifetime\": 600", 502, NULL); /* renewed; but what Google mints now is not ours to release */
	assert_int_equal(google_calls(&w, "token"), 1);
}

static void test_upstream_keeps_the_deadline(void **state) {
	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "upstream: {timeout: 1s}\n");
	world_daemon(&w);
	token(SA_DEV, "", 200, NULL);
	google_reset(&w);
	script("\"times\":1,\"latency_ms\":60000");
	token(SA_DEV, ", \"lifetime\": 800", 504, "no answer in time");
	google_reset(&w);
	script("\"status\":503");
	token(SA_DEV, ", \"lifetime\": 700", 502, "HTTP 503"); /* the last words, not the deadline's */
	assert_in_range(google_calls(&w, GENERATE), 2, 8);
	google_reset(&w);
	script("\"status\":429,\"retry_after\":30");
	token(SA_DEV, ", \"lifetime\": 600", 502, "HTTP 429");
	assert_int_equal(google_calls(&w, GENERATE), 1);
	google_reset(&w);
	script("\"mishap\":\"half\"");
	token(SA_DEV, ", \"lifetime\": 500", 502, NULL);
	google_reset(&w);
	token(SA_DEV, ", \"lifetime\": 400", 200, NULL);
}

static void test_upstream_garbage_gives_no_token(void **state) {
	(void)state;
	world_daemon(&w);
	script("\"times\":1,\"mishap\":\"garbage\"");
	token(SA_DEV, "", 502, "not JSON");
	script("\"times\":1,\"mishap\":\"huge\"");
	token(SA_DEV, "", 502, "longer than");
	token(SA_DEV, "", 200, NULL);
}

/* --- sharing, caching, refreshing */

static void test_upstream_256_equal_requests_share_one_call(void **state) {
	char first[200] = "";
	int fds[256];

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 100000, burst: 1000}\n");
	world_daemon(&w);
	script("\"latency_ms\":1500");
	for (int i = 0; i < 256; i++)
		fds[i] = ask_begin(&w, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_DEV "\"}");
	for (int i = 0; i < 256; i++) {
		answer_fini(&a);
		assert_true(ask_end(fds[i], &a));
		assert_int_equal(a.status, 200);
		if (i == 0)
			snprintf(first, sizeof(first), "%s", answer_text(&a, "accessToken"));
		assert_string_equal(answer_text(&a, "accessToken"), first);
	}
	assert_int_equal(google_calls(&w, GENERATE), 1);
	assert_int_equal(google_calls(&w, "token"), 1);
}

static void test_upstream_refreshes_tokens_in_use_ahead_of_expiry(void **state) {
	char first[200], second[200];

	(void)state;
	world_clock(&w, 0);
	world_daemon(&w);
	token(SA_DEV, ", \"lifetime\": 900", 200, NULL);
	snprintf(first, sizeof(first), "%s", answer_text(&a, "accessToken"));
	world_clock(&w, 380); /* 520 s left: nothing to be done yet */
	google_clock(&w, 380);
	token(SA_DEV, ", \"lifetime\": 900", 200, "\"cached\":true");
	assert_int_equal(google_calls(&w, GENERATE), 1);
	world_clock(&w, 500); /* 400 s left: still given out, and its successor is got */
	google_clock(&w, 500);
	token(SA_DEV, ", \"lifetime\": 900", 200, "\"cached\":true");
	assert_string_equal(answer_text(&a, "accessToken"), first);
	for (int64_t began = now_s();;) {
		answer_fini(&a);
		ask(&w, "GET", "/v1/status", NULL, &a);
		if (answer_int(&a, "tokens.cached") == 2)
			break;
		assert_true(now_s() - began < 30);
	}
	world_clock(&w, 600); /* 300 s left of the first: nobody waits for the second */
	google_clock(&w, 600);
	token(SA_DEV, ", \"lifetime\": 900", 200, "\"cached\":true");
	snprintf(second, sizeof(second), "%s", answer_text(&a, "accessToken"));
	assert_string_not_equal(first, second);
	assert_int_equal(google_calls(&w, GENERATE), 2);
	/* A token that nobody asks for is not renewed. */
	world_clock(&w, 5000);
	google_clock(&w, 5000);
	answer_fini(&a);
	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_int_equal(google_calls(&w, GENERATE), 2);
}

static void test_upstream_gives_no_minutes_for_an_hour(void **state) {
	(void)state;
	world_daemon(&w);
	token(SA_DEV, ",\"lifetime\":\"420s\"", 200, NULL);
	assert_in_range(answer_int(&a, "expiresIn"), 410, 420);
	token(SA_DEV, "", 200, NULL);
	assert_true(answer_int(&a, "expiresIn") > 600);
	token(SA_DEV, ",\"lifetime\":\"420s\"", 200, NULL);
	assert_in_range(answer_int(&a, "expiresIn"), 210, 420);
	token(SA_DEV, "", 200, NULL);
	assert_int_equal(google_calls(&w, GENERATE), 2);
}

static void test_upstream_keeps_so_many_tokens_and_no_more(void **state) {
	(void)state;
	world_policy(&w, POLICY_DEV "  - {name: more, members: [\"" ME "\"], serviceAccounts: [" SA_LABEL ", " SA_PROD "]}\n");
	snprintf(w.config_more, sizeof(w.config_more), "limits: {maxCachedTokens: 2}\n");
	world_daemon(&w);
	token(SA_DEV, "", 200, NULL);
	token(SA_LABEL, "", 200, NULL);
	token(SA_DEV, "", 200, "\"cached\":true");
	token(SA_PROD, "", 200, NULL); /* the longest unused makes room */
	answer_fini(&a);
	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_int_equal(answer_int(&a, "tokens.cached"), 2);
	token(SA_DEV, "", 200, "\"cached\":true");
	token(SA_PROD, "", 200, "\"cached\":true");
	token(SA_LABEL, "", 200, "\"cached\":false");
}

static void test_upstream_lies_about_expiry_either_way(void **state) {
	(void)state;
	world_daemon(&w);
	script("\"times\":1,\"lie_s\":60");
	token(SA_DEV, ", \"lifetime\": 600", 502, "past what the policy allows");
	script("\"times\":1,\"lie_s\":-700");
	token(SA_DEV, ", \"lifetime\": 600", 502, "s ago by this machine's clock");
	script("\"times\":1,\"lie_s\":-300"); /* a shorter life is told as it is */
	token(SA_DEV, ", \"lifetime\": 600", 200, NULL);
	assert_in_range(answer_int(&a, "expiresIn"), 290, 300);
	google_clock(&w, -7200); /* and a clock of theirs that is behind */
	token(SA_DEV, ", \"lifetime\": 200", 502, "s ago by this machine's clock");
}

/* --- what is asked of Google */

#define POLICY_DELEGATED                                                                                               \
	"version: 1\nbindings:\n  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" DELEGATED ", " DELEGATE ", " DELEGATE_2 "], "  \
	"permissions: [iam.serviceAccounts.getAccessToken, iam.serviceAccounts.implicitDelegation]}\n"

static void test_upstream_delegates_in_the_order_given(void **state) {
	char body[1024];

	(void)state;
	world_policy(&w, POLICY_DELEGATED);
	world_daemon(&w);
	token(DELEGATED, ", \"delegates\": [\"" DELEGATE "\", \"" DELEGATE_2 "\"]", 200, NULL);
	last_body(GENERATE, body, sizeof(body));
	assert_non_null(strstr(body, "\"delegates\":[\"projects/-/serviceAccounts/" DELEGATE "\",\"projects/-/serviceAccounts/" DELEGATE_2 "\"]"));
	/* The other way round is another key, and Google says no. */
	token(DELEGATED, ", \"delegates\": [\"" DELEGATE_2 "\", \"" DELEGATE "\"]", 403, "PERMISSION_DENIED");
}

#define POLICY_ID(life)                                                                                                \
	"version: 1\nbindings:\n  - {name: id, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], "                    \
	"permissions: [iam.serviceAccounts.getOpenIdToken], maxLifetime: " life "}\n"

static json_t *claims_of(const char *jwt) {
	const char *from = strchr(jwt, '.');
	char text[4096];
	size_t n;

	assert_non_null(from);
	assert_int_equal(base64url_decode(from + 1, strcspn(from + 1, "."), text, sizeof(text), &n), 0);
	return json_loadb(text, n, 0, NULL);
}

static void test_upstream_gives_id_tokens(void **state) {
	json_t *claims;
	char body[512];

	(void)state;
	world_policy(&w, POLICY_ID("1h"));
	world_daemon(&w);
	for (int i = 0; i < 2; i++) {
		answer_fini(&a);
		ask(&w, "POST", "/v1/idToken",
		    i ? "{\"serviceAccount\": \"" SA_DEV "\", \"audience\": \"https://run.example\", \"includeEmail\": true}"
		      : "{\"serviceAccount\": \"" SA_DEV "\", \"audience\": \"https://run.example\"}",
		    &a);
		if (a.status != 200)
			fail_msg("%s", a.text);
		claims = claims_of(answer_text(&a, "token"));
		assert_string_equal(json_string_value(json_object_get(claims, "aud")), "https://run.example");
		assert_int_equal(json_object_get(claims, "email") != NULL, i);
		json_decref(claims);
		last_body("generateIdToken", body, sizeof(body));
		assert_non_null(strstr(body, "\"audience\":\"https://run.example\""));
		assert_non_null(strstr(body, i ? "\"includeEmail\":true" : "\"includeEmail\":false"));
		assert_int_equal(google_calls(&w, "generateIdToken"), i + 1);
	}
	answer_fini(&a);
	ask(&w, "POST", "/v1/idToken", "{\"serviceAccount\": \"" SA_DEV "\", \"audience\": \"https://run.example\"}", &a);
	assert_non_null(strstr(a.text, "\"cached\":true"));
	assert_int_equal(google_calls(&w, "generateIdToken"), 2);
}

static void test_upstream_refuses_id_tokens_where_an_hour_is_too_long(void **state) {
	json_t *records;

	(void)state;
	world_policy(&w, POLICY_ID("59m"));
	world_daemon(&w);
	answer_fini(&a);
	ask(&w, "POST", "/v1/idToken", "{\"serviceAccount\": \"" SA_DEV "\", \"audience\": \"https://run.example\"}", &a);
	assert_int_equal(a.status, 403);
	assert_non_null(strstr(answer_text(&a, "error.message"), "Google's ID tokens live one hour"));
	assert_int_equal(google_calls(&w, "generateIdToken"), 0);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "denied"), 1);
	assert_int_equal(records_count(records, "intent"), 0);
	json_decref(records);
}

/* --- TLS and proxies */

static struct testcert ca, other_ca, server;
static struct httpstub *tls;
static char tls_answer[256];

/* An HTTPS server with a certificate for 127.0.0.1 and iam.test, that gives tokens of ten minutes. */
static int setup_tls(void **state) {
	struct buf text = BUF_INIT(256);

	setup(state);
	testcert_ca(&ca);
	testcert_ca(&other_ca);
	testcert_server(&server, &ca, "IP:127.0.0.1,DNS:iam.test", 1);
	tls = httpstub_new(server.cert_file, server.key_file);
	buf_adds(&text, "{\"accessToken\":\"ya29.over-tls\",\"expireTime\":\"");
	buf_add_time(&text, now_s() + 600);
	buf_adds(&text, "\"}");
	snprintf(tls_answer, sizeof(tls_answer), "%s", text.data);
	buf_fini(&text);
	httpstub_on(tls, "POST /v1/projects/-/serviceAccounts/" SA_DEV ":generateAccessToken", &STUB(200, NULL, tls_answer));
	return 0;
}

static int teardown_tls(void **state) {
	if (w.daemon > 0)
		world_stop(&w, SIGTERM);
	httpstub_free(tls);
	testcert_fini(&server);
	testcert_fini(&other_ca);
	testcert_fini(&ca);
	return teardown(state);
}

static void use_tls(const char *host, const char *ca_file, const char *more) {
	snprintf(w.upstream, sizeof(w.upstream), "credential: {file: google/broker-key.json}\nendpoints: {iamCredentials: \"https://%s:%d\"}\n",
		 host, httpstub_port(tls));
	snprintf(w.config_more, sizeof(w.config_more), "upstream: {%s%s%s%stimeout: 5s}\n", ca_file ? "caFile: " : "", ca_file ? ca_file : "",
		 ca_file ? ", " : "", more);
}

static void test_upstream_trusts_the_ca_file_that_is_named(void **state) {
	(void)state;
	use_tls("127.0.0.1", ca.cert_file, "");
	world_daemon(&w);
	token(SA_DEV, ", \"lifetime\": 700", 200, "ya29.over-tls");
	world_stop(&w, SIGTERM);
	use_tls("127.0.0.1", other_ca.cert_file, "");
	world_daemon(&w);
	token(SA_DEV, ", \"lifetime\": 700", 502, "its certificate is not to be trusted");
	world_stop(&w, SIGTERM);
	use_tls("127.0.0.1", NULL, ""); /* the system's */
	world_daemon(&w);
	token(SA_DEV, ", \"lifetime\": 700", 502, "its certificate is not to be trusted");
	assert_int_equal(httpstub_count(tls, NULL), 1);
}

/* It is loaded when Google is first called; what is wrong with it then is said, and what gets by without it does. */
static void test_upstream_says_that_libcurl_cannot_be_loaded(void **state) {
	char path[200];
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/libcurl.so.4", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("no library", f);
	fclose(f);
	setenv("LD_LIBRARY_PATH", w.dir, 1);
	world_daemon(&w);
	unsetenv("LD_LIBRARY_PATH");
	token(SA_DEV, "", 503, "libcurl4");
	answer_fini(&a);
	ask(&w, "GET", "/healthz", NULL, &a);
	assert_int_equal(a.status, 200);
}

/* libcurl writes the keys of its connections there, for who debugs it. */
static void test_P5_keys_of_connections_are_written_nowhere(void **state) {
	char path[200];

	(void)state;
	snprintf(path, sizeof(path), "%s/keys", w.dir);
	setenv("SSLKEYLOGFILE", path, 1);
	use_tls("127.0.0.1", ca.cert_file, "");
	world_daemon(&w);
	unsetenv("SSLKEYLOGFILE");
	token(SA_DEV, ", \"lifetime\": 700", 200, "ya29.over-tls");
	assert_int_equal(access(path, F_OK), -1);
}

static void test_upstream_goes_by_the_proxy_of_the_environment(void **state) {
	struct connect_proxy *proxy = connect_proxy_new(httpstub_port(tls));
	char last[256], want[64];

	(void)state;
	setenv("HTTPS_PROXY", connect_proxy_url(proxy), 1);
	use_tls("iam.test", ca.cert_file, "");
	world_daemon(&w);
	token(SA_DEV, ", \"lifetime\": 700", 200, "ya29.over-tls");
	connect_proxy_last(proxy, last, sizeof(last));
	snprintf(want, sizeof(want), "iam.test:%d", httpstub_port(tls));
	assert_string_equal(last, want);
	assert_int_equal(connect_proxy_count(proxy), 1);
	world_stop(&w, SIGTERM);
	/* NO_PROXY: there directly. */
	setenv("NO_PROXY", "127.0.0.1,localhost", 1);
	use_tls("127.0.0.1", ca.cert_file, "");
	world_daemon(&w);
	token(SA_DEV, ", \"lifetime\": 700", 200, "ya29.over-tls");
	assert_int_equal(connect_proxy_count(proxy), 1);
	world_stop(&w, SIGTERM);
	/* One that is not there is named. */
	setenv("HTTPS_PROXY", "http://user:geheim@127.0.0.1:1", 1);
	use_tls("iam.test", ca.cert_file, "");
	world_daemon(&w);
	token(SA_DEV, "", 502, "the proxy 127.0.0.1:1 (HTTPS_PROXY) lets nothing through: ");
	assert_null(strstr(a.text, "geheim"));
	world_stop(&w, SIGTERM);
	/* The configuration's proxy wins over the environment's, and "" is none. */
	setenv("HTTPS_PROXY", "http://127.0.0.1:1", 1);
	snprintf(want, sizeof(want), "proxy: \"%s\", ", connect_proxy_url(proxy));
	use_tls("iam.test", ca.cert_file, want);
	world_daemon(&w);
	token(SA_DEV, ", \"lifetime\": 700", 200, "ya29.over-tls");
	assert_int_equal(connect_proxy_count(proxy), 2);
	world_stop(&w, SIGTERM);
	unsetenv("NO_PROXY");
	use_tls("127.0.0.1", ca.cert_file, "proxy: \"\", ");
	world_daemon(&w);
	token(SA_DEV, ", \"lifetime\": 700", 200, "ya29.over-tls");
	world_stop(&w, SIGTERM);
	connect_proxy_free(proxy);
}

/* --- HTTP/2, with nginx in front of the stand-in */

static bool listens(int port) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), r = connect(fd, (struct sockaddr *)&in, sizeof(in));

	close(fd);
	return r == 0;
}

static pid_t start_nginx(int port) {
	char text[2048], path[160];
	pid_t pid;

	snprintf(text, sizeof(text),
		 "daemon off; master_process off; pid $DIR/nginx.pid; error_log $DIR/nginx.err;\nevents {}\nhttp {\n"
		 "log_format p '$server_protocol $connection $status'; access_log $DIR/access.log p;\n"
		 "client_body_temp_path $DIR/t1; proxy_temp_path $DIR/t2; fastcgi_temp_path $DIR/t3; uwsgi_temp_path $DIR/t4; scgi_temp_path $DIR/t5;\n"
		 "server { listen 127.0.0.1:%d ssl http2; ssl_certificate %s; ssl_certificate_key %s; location / { proxy_pass $URL; } } }\n",
		 port, server.cert_file, server.key_file);
	write_filled("nginx.conf", text);
	snprintf(path, sizeof(path), "%s/nginx.conf", w.dir);
	pid = fork();
	if (pid == 0) {
		execlp("nginx", "nginx", "-p", w.dir, "-c", path, NULL);
		_exit(127);
	}
	for (int i = 0; !listens(port); i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid || i > 3000)
			return -1;
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	return pid;
}

/* Lines of nginx's log by protocol; *connections: how many different ones. */
static int count_http2(int *connections) {
	char path[160], line[128], protocol[32], seen[64][32];
	int n = 0, connection, status, k;
	FILE *f;

	snprintf(path, sizeof(path), "%s/access.log", w.dir);
	f = fopen(path, "r");
	assert_non_null(f);
	for (*connections = 0; fgets(line, sizeof(line), f);) {
		char id[32];

		assert_int_equal(sscanf(line, "%31s %d %d", protocol, &connection, &status), 3);
		assert_int_equal(status, 200);
		n += !strcmp(protocol, "HTTP/2.0");
		snprintf(id, sizeof(id), "%d", connection);
		for (k = 0; k < *connections && strcmp(seen[k], id) != 0;)
			k++;
		if (k == *connections && k < 64)
			snprintf(seen[(*connections)++], sizeof(seen[0]), "%s", id);
	}
	fclose(f);
	return n;
}

static void test_upstream_speaks_http2_where_offered(void **state) {
	int port = free_port(), fds[16], connections;
	pid_t nginx;

	(void)state;
	if (system("command -v nginx >/dev/null && nginx -V 2>&1 | grep -q http_v2") != 0) {
		print_message("skipped: HTTP/2 needs an nginx that offers it\n");
		skip();
	}
	nginx = start_nginx(port);
	assert_true(nginx > 0);
	snprintf(w.upstream, sizeof(w.upstream), "credential: {file: google/broker-key.json}\nendpoints: {iamCredentials: \"https://127.0.0.1:%d\"}\n", port);
	snprintf(w.config_more, sizeof(w.config_more), "upstream: {caFile: %s}\n", ca.cert_file);
	world_daemon(&w);
	for (int i = 0; i < 16; i++) {
		char body[200];

		snprintf(body, sizeof(body), "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": %d}", 1700 - 100 * i);
		fds[i] = ask_begin(&w, "POST", "/v1/token", body);
	}
	for (int i = 0; i < 16; i++) {
		answer_fini(&a);
		assert_true(ask_end(fds[i], &a));
		assert_int_equal(a.status, 200);
	}
	kill(nginx, SIGTERM);
	waitpid(nginx, NULL, 0);
	assert_int_equal(count_http2(&connections), google_calls(&w, GENERATE));
	assert_int_equal(connections, 1); /* they share it */
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define SCENARIO_TLS(f) cmocka_unit_test_setup_teardown(f, setup_tls, teardown_tls)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_upstream_serves_each_kind_of_credential),
		SCENARIO(test_upstream_takes_a_subject_from_a_url),
		SCENARIO(test_upstream_picks_by_the_environment),
		SCENARIO(test_upstream_refuses_to_start_with_a_bad_credential),
		SCENARIO(test_upstream_says_what_a_person_has_to_do),
		SCENARIO(test_upstream_says_whom_calls_are_charged_to),
		SCENARIO(test_upstream_reloads_a_policy_beside_a_broken_credential),
		SCENARIO(test_upstream_trouble_is_tried_again),
		SCENARIO(test_upstream_refusals_are_not_tried_again),
		SCENARIO(test_upstream_401_renews_the_credential_once),
		SCENARIO(test_upstream_keeps_the_deadline),
		SCENARIO(test_upstream_garbage_gives_no_token),
		SCENARIO(test_upstream_256_equal_requests_share_one_call),
		SCENARIO(test_upstream_refreshes_tokens_in_use_ahead_of_expiry),
		SCENARIO(test_upstream_gives_no_minutes_for_an_hour),
		SCENARIO(test_upstream_keeps_so_many_tokens_and_no_more),
		SCENARIO(test_upstream_lies_about_expiry_either_way),
		SCENARIO(test_upstream_delegates_in_the_order_given),
		SCENARIO(test_upstream_gives_id_tokens),
		SCENARIO(test_upstream_refuses_id_tokens_where_an_hour_is_too_long),
		SCENARIO(test_upstream_says_that_libcurl_cannot_be_loaded),
		SCENARIO_TLS(test_upstream_trusts_the_ca_file_that_is_named),
		SCENARIO_TLS(test_P5_keys_of_connections_are_written_nowhere),
		SCENARIO_TLS(test_upstream_goes_by_the_proxy_of_the_environment),
		SCENARIO_TLS(test_upstream_speaks_http2_where_offered),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
