/*
 * The real gcloud: with `hallpass run` in front it prints the brokered token, and the credential files that it writes
 * serve hallpassd. It runs in a network of its own that has only loopback, against the stand-in.
 */
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
#include <unistd.h>
#include "tests/lib/httpstub.h"
#include "tests/lib/offline.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

#define DELEGATE "hallpass-delegate@acme-ml.iam.gserviceaccount.com"
#define BROKER "hallpass-broker@acme-ml.iam.gserviceaccount.com"
#define POOL "projects/123456/locations/global/workloadIdentityPools/pool/providers/provider"

static struct world w;
static struct answer a;
static char out[65536], err[65536], config[128];

/* --- gcloud's environment: nothing of the user's, no questions, no way out */

static int setup(void **state) {
	static const char *const clean[] = { "GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "CLOUDSDK_CORE_PROJECT",
					     "CLOUDSDK_CORE_ACCOUNT", "CLOUDSDK_AUTH_ACCESS_TOKEN", "CLOUDSDK_ACTIVE_CONFIG_NAME" };

	(void)state;
	world_start(&w);
	for (size_t i = 0; i < sizeof(clean) / sizeof(clean[0]); i++)
		unsetenv(clean[i]);
	snprintf(config, sizeof(config), "%s/gcloud", w.dir);
	setenv("CLOUDSDK_CONFIG", config, 1);
	setenv("HOME", w.dir, 1);
	setenv("CLOUDSDK_CORE_DISABLE_PROMPTS", "1", 1);
	setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false", 1);
	setenv("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true", 1);
	setenv("HTTPS_PROXY", "http://127.0.0.1:1", 1);
	setenv("NO_PROXY", "127.0.0.1,localhost", 1);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	answer_fini(&a);
	world_end(&w);
	return 0;
}

static void need_gcloud(void) {
	if (system("command -v gcloud >/dev/null") == 0)
		return;
	print_message("skipped: gcloud is not installed\n");
	skip();
}

/* A shell command in the world's directory, or the test fails with what it said. */
static void shell(const char *command) {
	char text[2048];

	snprintf(text, sizeof(text), "cd %s && { %s\n} >>shell.log 2>&1 </dev/null", w.dir, command);
	if (system(text) == 0)
		return;
	snprintf(text, sizeof(text), "cat %s/shell.log", w.dir);
	if (system(text) == 0)
		fail_msg("%s", command);
}

static json_t *read_json(const char *name) {
	char path[256];
	json_t *json;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	json = json_load_file(path, 0, NULL);
	assert_non_null(json);
	return json;
}

static void assert_member(const json_t *json, const char *key, const char *value) {
	assert_string_equal(json_string_value(json_object_get(json, key)), value);
}

/* hallpassd with this credential gives a token, and says of itself what it is. */
static void assert_serves(const char *upstream, const char *kind, const char *identity) {
	snprintf(w.upstream, sizeof(w.upstream), "%s", upstream);
	world_daemon(&w);
	answer_fini(&a);
	ask_token(&w, SA_DEV, "", &a);
	if (a.status != 200)
		fail_msg("%s", a.text);
	answer_fini(&a);
	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_string_equal(answer_text(&a, "credential.kind"), kind);
	assert_string_equal(answer_text(&a, "credential.identity"), identity);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
}

/* --- in front of gcloud */

static void test_gcloud_prints_the_brokered_token(void **state) {
	json_t *tokens, *records, *last;
	char sha[65], command[512];

	(void)state;
	need_gcloud();
	world_daemon(&w);
	assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), "run", "--as", SA_DEV, "--", "sh", "-c",
				 "t=$(gcloud auth print-access-token); echo $t; gcloud config get-value project; ! grep -rlaF \"$t\" ${CLOUDSDK_CONFIG%/gcloud}", NULL),
			 0);
	assert_int_equal(strncmp(out, "ya29.standin-", 13), 0);
	assert_string_equal(out + strcspn(out, "\n"), "\nacme-ml\n");
	out[strcspn(out, "\n")] = '\0';
	text_sha256(out, sha);
	tokens = google_tokens(&w);
	last = json_array_get(tokens, json_array_size(tokens) - 1);
	assert_member(last, "sha256", sha);
	assert_member(last, "holder", SA_DEV);
	json_decref(tokens);
	/* P5: gcloud exchanged the handle for it, and keeps nothing of it, here or in its own directory (above). */
	snprintf(command, sizeof(command), "rm %s/cli.out; ! grep -rlaF '%.100s' %s", w.dir, out, w.dir);
	assert_int_equal(system(command), 0);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_true(records_have_token(records, sha)); /* P1 */
	json_decref(records);
}

/* Without a file it finds the session's metadata server, by itself, and its account there. */
static void test_gcloud_takes_the_metadata_server(void **state) {
	json_t *records;

	(void)state;
	need_gcloud();
	setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "true", 1);
	world_policy(&w, "version: 1\nbindings:\n  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], maxLifetime: 1h, permissions: "
			 "[iam.serviceAccounts.getAccessToken, iam.serviceAccounts.getOpenIdToken]}\n");
	world_daemon(&w);
	assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), "run", "--metadata", "--as", SA_DEV, "--", "sh", "-c",
				 "gcloud auth list --format='value(account)' && gcloud auth print-access-token && "
				 "gcloud auth print-identity-token --audiences=https://x.example", NULL),
			 0);
	assert_int_equal(strncmp(out, SA_DEV "\nya29.standin-", strlen(SA_DEV) + 14), 0);
	assert_non_null(strstr(out, "\neyJ"));
	records = records_wait(&w, "closed", 1);
	assert_member(records_last(records, "issued"), "surface", "metadata");
	assert_int_equal(json_integer_value(json_object_get(records_last(records, "closed"), "tokens")), records_count(records, "issued") - 1);
	json_decref(records);
}

/* At the metadata server it keeps tokens by the account's name: one of a session with more scopes is not for one with fewer beside it. */
static void test_gcloud_keeps_no_token_for_another_sessions_scopes(void **state) {
	static const char script[] =
		"gcloud auth print-access-token && exec $0 run --metadata --as " SA_DEV " --scopes devstorage.read_only -- gcloud auth print-access-token";
	json_t *records;
	char *second;

	(void)state;
	need_gcloud();
	setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "true", 1);
	world_policy(&w, "version: 1\nbindings:\n  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], maxLifetime: 1h, scopes: "
			 "[\"https://www.googleapis.com/auth/cloud-platform\", \"https://www.googleapis.com/auth/devstorage.read_only\"]}\n");
	world_daemon(&w);
	if (run_cli(&w, out, sizeof(out), err, sizeof(err), "run", "--metadata", "--as", SA_DEV, "--scopes", "cloud-platform", "--", "sh", "-c", script,
		    program("hallpass"), NULL) != 0)
		fail_msg("%s%s", out, err);
	second = strchr(out, '\n');
	assert_non_null(second);
	*second++ = '\0';
	second[strcspn(second, "\n")] = '\0';
	assert_int_equal(strncmp(second, "ya29.standin-", 13), 0);
	assert_string_not_equal(out, second);
	records = records_wait(&w, "closed", 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(records_last(records, "issued"), "scopes"), 0)),
			    "https://www.googleapis.com/auth/devstorage.read_only");
	json_decref(records);
}

/* A policy that gives no ID token is no obstacle: gcloud asks for one at each refresh, and takes a 404. */
static void test_gcloud_goes_without_an_id_token(void **state) {
	(void)state;
	need_gcloud();
	setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "true", 1);
	world_daemon(&w);
	assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), "run", "--metadata", "--as", SA_DEV, "--", "sh", "-c",
				 "gcloud auth print-access-token", NULL),
			 0);
	assert_int_equal(strncmp(out, "ya29.standin-", 13), 0);
}

/* As a session leaves it: whom the policy gives is had by a flag, an ID token, too; and Google's own API is not asked with anybody's token. */
static void test_gcloud_impersonates_in_a_session(void **state) {
	static const char script[] =
		"as=--impersonate-service-account=" SA_LABEL "; gcloud auth print-access-token $as && gcloud auth print-access-token && "
		"gcloud auth print-identity-token $as --audiences=https://x.example --include-email && "
		"! gcloud auth print-access-token --impersonate-service-account=" SA_PROD;
	json_t *records, *record;
	size_t i, labels = 0;

	(void)state;
	need_gcloud();
	world_policy(&w, "version: 1\nbindings:\n  - {name: all, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL "], maxLifetime: 1h, "
			 "permissions: [getAccessToken, getOpenIdToken]}\n");
	world_daemon(&w);
	if (run_cli(&w, out, sizeof(out), err, sizeof(err), "run", "--as", SA_DEV, "--", "sh", "-c", script, NULL) != 0)
		fail_msg("%s%s", out, err);
	assert_int_equal(strncmp(out, "ya29.standin-", 13), 0);
	assert_non_null(strstr(out, "\nya29.standin-"));
	assert_non_null(strstr(out, "\neyJ"));
	assert_non_null(strstr(err, "no binding lets " ME " use " SA_PROD));
	records = world_records(&w, NULL, 0);
	json_array_foreach(records, i, record) {
		if (strcmp(json_string_value(json_object_get(record, "type")), "issued") ||
		    strcmp(json_string_value(json_object_get(record, "target")), SA_LABEL))
			continue;
		assert_member(record, "surface", "iamCredentials");
		labels++;
	}
	assert_true(labels >= 2);
	json_decref(records);
}

/*
 * Impersonation, pointed at the session's IAM Credentials API: gcloud sends the handle and nothing else, and each account that the policy
 * gives is had by its name. Lifetimes, ID tokens, signatures; and a no is the policy's sentence.
 */
static void test_gcloud_impersonates_through_the_session(void **state) {
	static const char setting[] = "export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$HALLPASS_HANDLE_FILE "
				      "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS=http://$GCE_METADATA_HOST/; mkdir -p $CLOUDSDK_CONFIG && cd $CLOUDSDK_CONFIG || exit; ";
	char script[2048];
	json_t *records;

	(void)state;
	need_gcloud();
	world_policy(&w, "version: 1\nbindings:\n  - {name: all, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL "], maxLifetime: 1h, "
			 "permissions: [getAccessToken, getOpenIdToken, signBlob, signJwt]}\n");
	world_daemon(&w);
	snprintf(script, sizeof(script),
		 "%s as=--impersonate-service-account=" SA_LABEL "; gcloud auth print-access-token $as && gcloud auth print-access-token $as --lifetime=600 && "
		 "gcloud auth print-identity-token $as --audiences=https://x.example --include-email && printf hallpass >blob && printf '{\"sub\":\"x\"}' >claims && "
		 "gcloud iam service-accounts sign-blob --iam-account=" SA_DEV " blob blob.sig && test -s blob.sig && "
		 "gcloud iam service-accounts sign-jwt --iam-account=" SA_DEV " claims jwt && cut -c 1-3 jwt && "
		 "! gcloud auth print-access-token --impersonate-service-account=" SA_PROD, setting);
	if (run_cli(&w, out, sizeof(out), err, sizeof(err), "run", "--as", SA_DEV, "--", "sh", "-c", script, NULL) != 0)
		fail_msg("%s%s", out, err);
	assert_int_equal(strncmp(out, "ya29.standin-", 13), 0);
	assert_non_null(strstr(out, "\neyJ"));
	print_message("%s", err + (strlen(err) > 600 ? strlen(err) - 600 : 0));
	assert_non_null(strstr(err, "no binding lets " ME " use " SA_PROD));
	records = world_records(&w, NULL, 0);
	assert_member(records_last(records, "issued"), "surface", "iamCredentials");
	assert_member(records_last(records, "issued"), "permission", "iam.serviceAccounts.signJwt");
	assert_int_equal(google_calls(&w, "signBlob"), 1);
	json_decref(records);
}

/* google-auth as Python programs use it, where it is installed. */
static void test_google_auth_takes_the_metadata_server(void **state) {
	static const char program[] =
		"import google.auth, google.auth.transport.requests as r\n"
		"c, project = google.auth.default(scopes=['https://www.googleapis.com/auth/cloud-platform'])\n"
		"c.refresh(r.Request())\n"
		"print(type(c).__module__, project, c.service_account_email, c.token[:13], c.valid)\n";

	(void)state;
	if (system("python3 -c 'import google.auth.transport.requests' 2>/dev/null") != 0) {
		print_message("skipped: python3 has no google-auth (and requests)\n");
		skip();
	}
	world_daemon(&w);
	assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), "run", "--as", SA_DEV, "--", "env", "-u",
				 "GOOGLE_APPLICATION_CREDENTIALS", "python3", "-c", program, NULL), 0);
	assert_string_equal(out, "google.auth.compute_engine.credentials acme-ml " SA_DEV " ya29.standin- True\n");
}

/* --- what gcloud writes */

/*
 * `gcloud auth application-default login` opens a browser that comes back to it with a code. Ours comes back at once.
 */
static void write_browser(void) {
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/browser", w.dir);
	f = fopen(path, "w");
	fputs("#!/bin/bash\n"
	      "state=${1##*state=} state=${state%%&*} port=${1##*localhost%3A} port=${port%%%2F*}\n"
	      "(exec 3<>\"/dev/tcp/127.0.0.1/$port\" &&\n"
	      "printf 'GET /?code=standin-code&state=%s HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' \"$state\" >&3 &&\n"
	      "cat <&3) >/dev/null 2>&1 &\n",
	      f);
	fclose(f);
	assert_int_equal(chmod(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/client.json", w.dir);
	f = fopen(path, "w");
	fprintf(f,
		"{\"installed\":{\"client_id\":\"standin-client\",\"client_secret\":\"standin-secret\",\"auth_uri\":"
		"\"https://accounts.google.com/o/oauth2/auth\",\"token_uri\":\"%s/token\"}}",
		w.url);
	fclose(f);
}

static void login(const char *more) {
	char command[512];

	write_browser();
	snprintf(command, sizeof(command),
		 "OAUTHLIB_INSECURE_TRANSPORT=1 DISPLAY=:0 BROWSER=\"$PWD/browser %%s\" timeout 60 "
		 "gcloud auth application-default login --client-id-file=client.json %s",
		 more);
	shell(command);
}

#define ADC "gcloud/application_default_credentials.json"

static void test_gcloud_login_serves_as_credential(void **state) {
	char upstream[512];
	json_t *json;

	(void)state;
	need_gcloud();
	login("");
	json = read_json(ADC);
	assert_member(json, "type", "authorized_user");
	assert_member(json, "account", ""); /* keys that only gcloud writes */
	assert_member(json, "universe_domain", "googleapis.com");
	/* What `gcloud auth application-default set-quota-project` adds, after asking Google about the project. */
	json_object_set_new(json, "quota_project_id", json_string("acme-ml"));
	snprintf(upstream, sizeof(upstream), "%s/" ADC, w.dir);
	assert_int_equal(json_dump_file(json, upstream, JSON_INDENT(2)), 0);
	json_decref(json);
	/* Picked by CLOUDSDK_CONFIG, as every Google library does. */
	snprintf(upstream, sizeof(upstream), "endpoints: {iamCredentials: \"%s\", token: \"%s/token\"}\n", w.url, w.url);
	assert_serves(upstream, "authorized_user", "");
}

static void test_gcloud_impersonating_login_serves_as_credential(void **state) {
	char upstream[512];
	json_t *json;

	(void)state;
	need_gcloud();
	login("--impersonate-service-account=" DELEGATE);
	json = read_json(ADC);
	assert_member(json, "type", "impersonated_service_account");
	json_decref(json);
	snprintf(upstream, sizeof(upstream), "endpoints: {iamCredentials: \"%s\", token: \"%s/token\"}\n", w.url, w.url);
	assert_serves(upstream, "impersonated_service_account", DELEGATE);
}

static void test_gcloud_key_serves_as_credential(void **state) {
	char text[512];
	json_t *json;

	(void)state;
	need_gcloud();
	world_daemon(&w);
	assert_int_equal(run_cli(&w, out, sizeof(out), NULL, 0, "token", SA_DEV, NULL), 0);
	world_stop(&w, SIGTERM);
	/* IAM is the stand-in, too; which token gcloud brings is of no matter there. */
	snprintf(text, sizeof(text), "CLOUDSDK_AUTH_ACCESS_TOKEN=%.*s CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM=%s/ "
				     "gcloud iam service-accounts keys create key.json --iam-account=" BROKER,
		 (int)strcspn(out, "\n"), out, w.url);
	shell(text);
	json = read_json("key.json");
	assert_member(json, "type", "service_account");
	json_decref(json);
	snprintf(text, sizeof(text), "credential: {file: key.json}\nendpoints: {iamCredentials: \"%s\"}\n", w.url);
	assert_serves(text, "service_account", BROKER);
}

static void test_gcloud_cred_configs_serve_as_credentials(void **state) {
	struct httpstub *stub;
	char text[1024];
	json_t *json;

	(void)state;
	need_gcloud();
	shell("gcloud iam workload-identity-pools create-cred-config " POOL " --service-account=" DELEGATE
	      " --service-account-token-lifetime-seconds=1800 --credential-source-file=$PWD/google/subject-token --output-file=file.json");
	json = read_json("file.json");
	assert_member(json, "type", "external_account");
	json_decref(json);
	snprintf(text, sizeof(text), "credential: {file: file.json}\nendpoints: {iamCredentials: \"%s\", sts: \"%s/sts/v1/token\"}\n", w.url, w.url);
	assert_serves(text, "external_account", DELEGATE);
	stub = httpstub_new(NULL, NULL);
	httpstub_on(stub, "GET /identity", &STUB(200, NULL, "{\"access_token\":\"standin-subject-token\"}"));
	snprintf(text, sizeof(text),
		 "gcloud iam workload-identity-pools create-cred-config " POOL " --credential-source-url=%s/identity "
		 "--credential-source-headers=Metadata=True --credential-source-type=json "
		 "--credential-source-field-name=access_token --output-file=file.json",
		 httpstub_url(stub));
	shell(text);
	snprintf(text, sizeof(text), "credential: {file: file.json}\nendpoints: {iamCredentials: \"%s\", sts: \"%s/sts/v1/token\"}\n", w.url, w.url);
	assert_serves(text, "external_account", "");
	assert_int_equal(httpstub_count(stub, "GET /identity"), 1);
	httpstub_free(stub);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_gcloud_prints_the_brokered_token),
		SCENARIO(test_gcloud_takes_the_metadata_server),
		SCENARIO(test_gcloud_keeps_no_token_for_another_sessions_scopes),
		SCENARIO(test_gcloud_goes_without_an_id_token),
		SCENARIO(test_gcloud_impersonates_in_a_session),
		SCENARIO(test_gcloud_impersonates_through_the_session),
		SCENARIO(test_google_auth_takes_the_metadata_server),
		SCENARIO(test_gcloud_login_serves_as_credential),
		SCENARIO(test_gcloud_impersonating_login_serves_as_credential),
		SCENARIO(test_gcloud_key_serves_as_credential),
		SCENARIO(test_gcloud_cred_configs_serve_as_credentials),
	};

	signal(SIGPIPE, SIG_IGN);
	if (!offline())
		print_message("note: no network namespace here; gcloud is held back by a proxy that is not there\n");
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
