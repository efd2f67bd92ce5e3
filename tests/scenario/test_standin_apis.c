/* The stand-in's APIs: whose token each heard, and enough of storage, BigQuery, Kubernetes, a registry and git for real clients. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/lib/httpask.h"
#include "tests/lib/world.h"

#define BUCKET "/storage/v1/b/of-ml-training-dev-sa"
#define WHOAMI BUCKET "/o/whoami?alt=media"

static struct world w;
static struct http_answer a;
static char dev[200], prod[200]; /* header lines */

static void ask_as(const char *who, const char *method, const char *path, const char *body) {
	http_answer_fini(&a);
	http_ask(w.url, method, path, who, body, &a);
}

/* A header line with a token of the account's. */
static void become(const char *account, char out[200]) {
	char path[200];

	ask_as("Content-Type: application/x-www-form-urlencoded\r\n", "POST", "/token",
	       "grant_type=refresh_token&client_id=standin-client&client_secret=standin-secret&refresh_token=1%2F%2Fstandin-refresh-token");
	snprintf(out, 200, "Authorization: Bearer %s\r\n", http_answer_text(&a, "access_token"));
	snprintf(path, sizeof(path), "/v1/projects/-/serviceAccounts/%s:generateAccessToken", account);
	ask_as(out, "POST", path, "{\"scope\":[\"https://www.googleapis.com/auth/cloud-platform\"],\"lifetime\":\"600s\"}");
	snprintf(out, 200, "Authorization: Bearer %s\r\n", http_answer_text(&a, "accessToken"));
}

static int setup(void **state) {
	(void)state;
	if (w.google <= 0) {
		world_start(&w);
		become(SA_DEV, dev);
		become(SA_PROD, prod);
	}
	google_reset(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	http_answer_fini(&a);
	return 0;
}

static int end(void **state) {
	(void)state;
	world_end(&w);
	return 0;
}

static void expect(int status, const char *words) {
	if (a.status != status || (words && !strstr(a.text, words)))
		fail_msg("%d with '%s' expected: %s", status, words ? words : "", a.text);
}

/* --- whose token it is */

static void expect_seen(size_t i, const char *account, const char *verdict) {
	char account_at[32], verdict_at[32];

	snprintf(account_at, sizeof(account_at), "%zu.account", i);
	snprintf(verdict_at, sizeof(verdict_at), "%zu.verdict", i);
	assert_string_equal(http_answer_text(&a, account_at), account);
	assert_string_equal(http_answer_text(&a, verdict_at), verdict);
}

static void test_standin_judges_each_bearer_that_an_api_hears(void **state) {
	(void)state;
	ask_as(dev, "GET", WHOAMI, NULL);
	expect(200, "\r\n\r\n" SA_DEV);
	ask_as(prod, "GET", WHOAMI, NULL); /* what belongs to one is not the other's, good as his token is */
	expect(403, "does not have access to what is " SA_DEV);
	ask_as(NULL, "GET", WHOAMI, NULL);
	expect(401, "UNAUTHENTICATED");
	ask_as("Authorization: Bearer ya29.made-up\r\n", "GET", WHOAMI, NULL);
	expect(401, "UNAUTHENTICATED");
	google_clock(&w, 601);
	ask_as(dev, "GET", WHOAMI, NULL);
	expect(401, "UNAUTHENTICATED");
	ask_as(NULL, "GET", "/standin/seen", NULL);
	assert_int_equal(json_array_size(a.json), 5);
	expect_seen(0, SA_DEV, "ok");
	expect_seen(1, SA_PROD, "another account's token");
	expect_seen(2, "", "no token");
	expect_seen(3, "", "a token of nobody's");
	expect_seen(4, SA_DEV, "an expired token");
	google_reset(&w);
	ask_as("Authorization: Bearer ya29.made-up\r\n", "GET", "/nowhere", NULL); /* where nobody answers, too */
	ask_as(NULL, "GET", "/standin/seen", NULL);
	expect_seen(0, "", "a token of nobody's");
}

static void test_standin_says_who_asked_in_each_api(void **state) {
	static const struct {
		const char *method, *path, *body;
		int status;
	} cases[] = {
		{ "POST", "/bigquery/v2/projects/acme-ml/queries", "{}", 200 },
		{ "POST", "/bigquery/v2/projects/acme-ml/jobs", "{\"jobReference\":{\"jobId\":\"j\"}}", 200 },
		{ "GET", "/bigquery/v2/projects/acme-ml/queries/j", NULL, 200 },
		{ "GET", "/v1/projects", NULL, 200 },
		{ "GET", "/v1/projects/acme-ml", NULL, 200 },
		{ "GET", "/oauth2/v3/userinfo", NULL, 200 },
		{ "POST", "/kubernetes/of-ml-training-dev-sa/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}", 201 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask_as(dev, cases[i].method, cases[i].path, cases[i].body);
		expect(cases[i].status, SA_DEV);
		ask_as(NULL, cases[i].method, cases[i].path, cases[i].body);
		expect(401, NULL);
	}
	ask_as(dev, "GET", "/bigquery/v2/projects/acme-ml/datasets", NULL);
	expect(200, "acme-ml:of_ml_training_dev_sa");
	ask_as(prod, "GET", "/kubernetes/of-ml-training-dev-sa/api", NULL);
	expect(403, NULL);
}

static void test_standin_takes_ID_tokens_for_a_service(void **state) {
	static const char *const path = "/service/of-ml-training-dev-sa";
	char token[2048];

	(void)state;
	for (int i = 0; i < 2; i++) {
		ask_as("Content-Type: application/x-www-form-urlencoded\r\n", "POST", "/token",
		       "grant_type=refresh_token&client_id=standin-client&client_secret=standin-secret&refresh_token=1%2F%2Fstandin-refresh-token");
		snprintf(token, sizeof(token), "Authorization: Bearer %s\r\n", http_answer_text(&a, "access_token"));
		ask_as(token, "POST", "/v1/projects/-/serviceAccounts/" SA_DEV ":generateIdToken",
		       i ? "{\"audience\":\"https://other\",\"includeEmail\":true}" : "{\"audience\":\"https://x\",\"includeEmail\":true}");
		snprintf(token, sizeof(token), "Authorization: Bearer %s\r\n", http_answer_text(&a, "token"));
		ask_as(token, "GET", path, NULL);
		expect(i ? 401 : 200, i ? NULL : SA_DEV);
	}
	ask_as(dev, "GET", path, NULL); /* an access token is none */
	expect(401, NULL);
	ask_as(NULL, "GET", "/standin/seen", NULL);
	expect_seen(0, SA_DEV, "ok");
	expect_seen(1, "", "an ID token for another audience");
	expect_seen(2, "", "an ID token of nobody's");
}

/* --- storage */

static void test_standin_keeps_objects(void **state) {
	(void)state;
	ask_as(dev, "POST", "/upload" BUCKET "/o?uploadType=media&name=a%2Fb", "123456789");
	expect(200, "\"md5Hash\": \"JfnnlDI7RTiF9RgfG2JNCw==\"");
	expect(200, "\"crc32c\": \"4waSgw==\"");
	ask_as(dev, "POST", "/upload" BUCKET "/o?uploadType=multipart",
	       "--x\r\nContent-Type: application/json\r\n\r\n{\"name\": \"m\"}\r\n--x\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--x--\r\n");
	expect(200, "\"size\": \"3\"");
	ask_as(dev, "POST", "/upload" BUCKET "/o?uploadType=resumable", "{\"name\": \"r\"}");
	expect(200, "Location: http://");
	ask_as(dev, "PUT", "/upload" BUCKET "/o?uploadType=resumable&upload_id=standin&name=r", "three");
	expect(200, "\"size\": \"5\"");
	ask_as(dev, "GET", BUCKET "/o?prefix=a%2F", NULL);
	expect(200, "\"name\": \"a/b\"");
	assert_null(strstr(a.text, "\"name\": \"m\""));
	ask_as(dev, "GET", "/download" BUCKET "/o/a%2Fb?alt=media", NULL);
	expect(200, "\r\n\r\n123456789");
	ask_as(dev, "GET", "/of-ml-training-dev-sa/m", NULL);
	expect(200, "\r\n\r\ntwo");
	ask_as(dev, "DELETE", BUCKET "/o/m", NULL);
	expect(204, NULL);
	ask_as(dev, "GET", BUCKET "/o/m", NULL);
	expect(404, NULL);
	ask_as(dev, "POST", "/upload" BUCKET "/o?uploadType=media&name=a%2Fb&ifGenerationMatch=0", "two");
	expect(412, NULL);
	ask_as(dev, "POST", "/upload" BUCKET "/o?uploadType=media&name=new&ifGenerationMatch=0", "two");
	expect(200, NULL);
	ask_as(dev, "GET", "/storage/v1/b?project=acme-ml", NULL);
	expect(200, "\"name\": \"of-ml-training-dev-sa\"");
	google_reset(&w);
	ask_as(dev, "GET", BUCKET "/o/new", NULL);
	expect(404, NULL);
}

/* --- a token as the password of Basic */

static void basic(const char *user, const char *bearer, char out[400]) {
	char plain[300], command[400];
	FILE *f;

	snprintf(plain, sizeof(plain), "%s:%.*s", user, (int)strcspn(bearer + 22, "\r"), bearer + 22);
	snprintf(command, sizeof(command), "printf %%s '%s' | base64 -w0", plain);
	f = popen(command, "r");
	assert_non_null(f);
	strcpy(out, "Authorization: Basic ");
	assert_non_null(fgets(out + 21, 370, f));
	pclose(f);
	strcat(out, "\r\n");
}

static void test_standin_is_a_registry(void **state) {
	char login[400];

	(void)state;
	ask_as(NULL, "GET", "/v2/", NULL);
	expect(401, "WWW-Authenticate: Bearer realm=\"https://x/v2/token\"");
	basic("oauth2accesstoken", dev, login);
	ask_as(login, "GET", "/v2/token", NULL);
	expect(200, "\"token\": \"ya29.");
	ask_as(dev, "GET", "/v2/acme-ml/of-ml-training-dev-sa/train/manifests/1", NULL);
	expect(200, "schemaVersion");
	ask_as(prod, "GET", "/v2/acme-ml/of-ml-training-dev-sa/train/manifests/1", NULL);
	expect(403, NULL);
	basic("me", dev, login);
	ask_as(login, "GET", "/v2/token", NULL);
	expect(401, NULL);
}

static void test_standin_is_a_git_server(void **state) {
	char login[400];

	(void)state;
	ask_as(NULL, "GET", "/git/of-ml-training-dev-sa/info/refs?service=git-upload-pack", NULL);
	expect(401, "WWW-Authenticate: Basic");
	basic("git-account", dev, login);
	ask_as(login, "GET", "/git/of-ml-training-dev-sa/info/refs?service=git-upload-pack", NULL);
	expect(200, "refs/heads/ml-training-dev-sa");
	basic("git-account", prod, login);
	ask_as(login, "GET", "/git/of-ml-training-dev-sa/info/refs?service=git-upload-pack", NULL);
	expect(403, NULL);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_standin_judges_each_bearer_that_an_api_hears),
		SCENARIO(test_standin_says_who_asked_in_each_api),
		SCENARIO(test_standin_takes_ID_tokens_for_a_service),
		SCENARIO(test_standin_keeps_objects),
		SCENARIO(test_standin_is_a_registry),
		SCENARIO(test_standin_is_a_git_server),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, end);
}
