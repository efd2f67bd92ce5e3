/* hallpass doctor: each thing that can be wrong between a command and Google, and what it says is to be done. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/lib/httpstub.h"
#include "tests/lib/session.h"
#include "tests/lib/testcert.h"
#include "tests/lib/world.h"

#define BROKER "hallpass-broker@acme-ml.iam.gserviceaccount.com"
#define GRANT_COMMAND(member) \
	"gcloud iam service-accounts add-iam-policy-binding " SA_DEV " --member=" member " --role=roles/iam.serviceAccountTokenCreator"
#define STRANGER 12003

static struct world w;
static struct answer a;
static char out[65536];
static json_t *told;

static int setup(void **state) {
	static const char *const unset[] = { "GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK", "GCE_METADATA_HOST", "GCE_METADATA_IP",
					     "GCE_METADATA_ROOT", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy",
					     "NO_PROXY", "no_proxy", "CLOUDSDK_CORE_ACCOUNT", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
					     "CLOUDSDK_CORE_CHECK_GCE_METADATA" };

	(void)state;
	for (size_t i = 0; i < sizeof(unset) / sizeof(unset[0]); i++)
		unsetenv(unset[i]);
	world_start(&w);
	setenv("HOME", w.dir, 1);
	setenv("CLOUDSDK_CONFIG", w.dir, 1);
	snprintf(w.upstream, sizeof(w.upstream),
		 "credential: {file: google/broker-key.json}\nendpoints: {iamCredentials: \"%s\", iam: \"%s\", token: \"%s/token\"}\n", w.url, w.url, w.url);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	json_decref(told);
	told = NULL;
	answer_fini(&a);
	return world_end_well(&w);
}

/* Runs it and reads what it says; its exit code. */
static int doctor(const char *account) {
	int code = run_cli(&w, out, sizeof(out), NULL, 0, "doctor", "--json", account, NULL);

	json_decref(told);
	told = json_loads(out, 0, NULL);
	if (!told)
		fail_msg("%s", out);
	return code;
}

static const char *text_of(const json_t *object, const char *key) {
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

/* The n-th check of that name. */
static const json_t *check_of(const char *id, int n) {
	const json_t *checks = json_object_get(told, "checks");

	for (size_t i = 0; i < json_array_size(checks); i++)
		if (!strcmp(text_of(json_array_get(checks, i), "id"), id) && n-- == 0)
			return json_array_get(checks, i);
	fail_msg("no check %s: %s", id, out);
	return NULL;
}

/* says NULL: whatever it says; remedy NULL: none. */
static void assert_check(const char *id, const char *status, const char *says, const char *remedy) {
	const json_t *check = check_of(id, 0);

	if (strcmp(text_of(check, "status"), status) || (says && !strstr(text_of(check, "text"), says)) ||
	    strcmp(text_of(check, "remedy"), remedy ? remedy : ""))
		fail_msg("%s: %s: %s = %s", id, text_of(check, "status"), text_of(check, "text"), text_of(check, "remedy"));
}

static void google_may(const char *caller, const char *may) {
	char command[1024];

	snprintf(command, sizeof(command), "curl -sf %s/standin/grant -d '{\"caller\": \"%s\", \"target\": \"" SA_DEV "\", \"may\": [%s]}' >/dev/null", w.url, caller,
		 may);
	assert_int_equal(system(command), 0);
}

static void test_P1_a_doctor_makes_no_token(void **state) {
	static const char *const ids[] = { "broker", "caller", "policy", "clock", "record", "upstream", "google-clock", "credential", "impersonation", "files",
					   "environment" };
	json_t *records, *minted;
	const json_t *record;

	(void)state;
	world_daemon(&w);
	assert_int_equal(doctor(NULL), 0);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		assert_check(ids[i], "ok", NULL, NULL);
	assert_check("others", "note", "could not be seen", NULL);
	assert_check("impersonation", "ok", "(getAccessToken)", NULL);
	assert_string_equal(text_of(check_of("impersonation", 0), "serviceAccount"), SA_DEV);
	assert_true(json_is_true(json_object_get(told, "ok")));
	assert_int_equal(google_calls(&w, "testIamPermissions"), 1);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
	minted = google_tokens(&w);
	for (size_t i = 0; i < json_array_size(minted); i++) /* but the broker's own, which it had to get */
		assert_string_equal(text_of(json_array_get(minted, i), "holder"), BROKER);
	json_decref(minted);
	records = records_wait(&w, "doctor", 1);
	record = records_last(records, "doctor");
	assert_string_equal(text_of(record, "principal"), ME);
	assert_string_equal(json_string_value(json_array_get(json_object_get(record, "also"), 0)), SA_DEV);
	assert_int_equal(records_count(records, "intent") + records_count(records, "issued"), 0);
	json_decref(records);
}

static void test_doctor_a_role_is_missing(void **state) {
	(void)state;
	world_daemon(&w);
	google_may(BROKER, "");
	assert_int_equal(doctor(NULL), 70);
	assert_check("impersonation", "fail", "missing: getAccessToken (roles/iam.serviceAccountUser, which many guides name, is not enough)",
		     GRANT_COMMAND("serviceAccount:" BROKER));
	google_may(BROKER, "\"accessToken\"");
	assert_int_equal(doctor(NULL), 0);
	/* What the policy does not give is no fault, and what it gives must be there. */
	world_policy(&w, "version: 1\nbindings:\n  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], permissions: "
			 "[iam.serviceAccounts.getAccessToken, iam.serviceAccounts.getOpenIdToken]}\n");
	assert_int_equal(run_cli(&w, NULL, 0, NULL, 0, "reload", NULL), 0);
	assert_int_equal(doctor(NULL), 70);
	assert_check("impersonation", "fail", "missing: getOpenIdToken (", GRANT_COMMAND("serviceAccount:" BROKER));
	assert_int_equal(doctor("nobody@acme-ml.iam.gserviceaccount.com"), 70);
}

/* A login that is over: the command that renews it, and after that the very command that grants its user the role. */
static void test_doctor_the_login_is_over(void **state) {
	char renew[300];

	(void)state;
	snprintf(w.upstream, sizeof(w.upstream),
		 "credential: {file: google/authorized_user.json}\nendpoints: {iamCredentials: \"%s\", iam: \"%s\", token: \"%s/token\"}\n", w.url, w.url, w.url);
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"token\", \"oauth\": \"invalid_rapt\"}");
	assert_int_equal(doctor(NULL), 70);
	snprintf(renew, sizeof(renew), "gcloud auth application-default login (and copy what it writes to %s/google/authorized_user.json) && hallpass reload", w.dir);
	assert_check("credential", "fail", "invalid_rapt", renew);
	assert_check("impersonation", "note", "not asked", NULL);
	google_reset(&w);
	google_may("alice@example.com", "");
	assert_int_equal(doctor(NULL), 70);
	assert_check("credential", "fail", "invalid_rapt", renew); /* not tried again before */
	assert_int_equal(run_cli(&w, NULL, 0, NULL, 0, "reload", NULL), 0);
	assert_int_equal(doctor(NULL), 70);
	assert_check("credential", "ok", NULL, NULL);
	assert_check("impersonation", "fail", NULL, GRANT_COMMAND("user:alice@example.com"));
}

/* gcloud's own place: no copying, and its directory where that is not the usual one. */
static void test_doctor_the_login_is_gclouds(void **state) {
	char path[300], to[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/google/authorized_user.json", w.dir);
	snprintf(to, sizeof(to), "%s/application_default_credentials.json", w.dir);
	assert_int_equal(rename(path, to), 0);
	snprintf(w.upstream, sizeof(w.upstream), "credential: {file: application_default_credentials.json}\nendpoints: {iamCredentials: \"%s\", token: \"%s/token\"}\n",
		 w.url, w.url);
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"token\", \"oauth\": \"invalid_rapt\"}");
	assert_int_equal(doctor(NULL), 70);
	snprintf(path, sizeof(path), "CLOUDSDK_CONFIG=%s gcloud auth application-default login && hallpass reload", w.dir);
	assert_check("credential", "fail", "invalid_rapt", path);
	assert_check("own-login", "note", to, NULL);
}

static void test_doctor_google_is_out_of_reach(void **state) {
	(void)state;
	world_daemon(&w);
	kill(w.google, SIGKILL);
	waitpid(w.google, NULL, 0);
	w.google = 0;
	assert_int_equal(doctor(NULL), 70);
	assert_string_equal(text_of(check_of("upstream", 0), "status"), "fail");
	assert_non_null(strstr(text_of(check_of("upstream", 0), "text"), "cannot be reached, by plain HTTP"));
	assert_non_null(strstr(text_of(check_of("upstream", 0), "remedy"), "firewall"));
	assert_check("google-clock", "note", NULL, NULL);
	assert_string_equal(text_of(check_of("credential", 0), "status"), "fail");
}

static void test_doctor_the_proxy_is_not_there(void **state) {
	(void)state;
	snprintf(w.upstream, sizeof(w.upstream),
		 "credential: {file: google/broker-key.json}\nendpoints: {iamCredentials: \"https://iamcredentials.invalid\", token: \"%s/token\"}\n"
		 "upstream: {proxy: \"http://user:secret@127.0.0.1:1\"}\n", w.url);
	world_daemon(&w);
	assert_int_equal(doctor(NULL), 70);
	assert_check("upstream", "fail", "https://iamcredentials.invalid/ cannot be reached, through the proxy 127.0.0.1:1 (upstream.proxy), certificates checked against ",
		     "see what the proxy says: curl -v -x PROXY URL");
	assert_non_null(strstr(text_of(check_of("upstream", 0), "text"), "the proxy 127.0.0.1:1 (upstream.proxy) lets nothing through: "));
	assert_null(strstr(out, "secret"));
}

static void test_doctor_a_certificate_is_not_to_be_trusted(void **state) {
	struct testcert ca, server;
	struct httpstub *tls;

	(void)state;
	testcert_ca(&ca);
	testcert_server(&server, &ca, "IP:127.0.0.1", 1);
	tls = httpstub_new(server.cert_file, server.key_file);
	snprintf(w.upstream, sizeof(w.upstream),
		 "credential: {file: google/broker-key.json}\nendpoints: {iamCredentials: \"https://127.0.0.1:%d\", token: \"%s/token\"}\nupstream: {proxy: \"\"}\n",
		 httpstub_port(tls), w.url);
	world_daemon(&w);
	assert_int_equal(doctor(NULL), 70);
	assert_string_equal(text_of(check_of("upstream", 0), "status"), "fail");
	assert_non_null(strstr(text_of(check_of("upstream", 0), "text"), "through no proxy, certificates checked against /"));
	assert_non_null(strstr(text_of(check_of("upstream", 0), "remedy"), "`upstream.caFile: FILE.pem`"));
	httpstub_free(tls);
	testcert_fini(&server);
	testcert_fini(&ca);
}

static void test_doctor_the_clock_is_wrong(void **state) {
	(void)state;
	world_daemon(&w);
	google_clock(&w, -60);
	assert_int_equal(doctor(NULL), 0); /* a warning */
	assert_string_equal(text_of(check_of("google-clock", 0), "status"), "warn");
	assert_non_null(strstr(text_of(check_of("google-clock", 0), "text"), " s ahead of Google's"));
	google_clock(&w, 3600);
	assert_int_equal(doctor(NULL), 70);
	assert_check("google-clock", "fail", " s behind Google's", "set the broker's clock, and keep it right: timedatectl set-ntp true");
}

static void test_doctor_others_may_be_it(void **state) {
	(void)state;
	world_daemon(&w);
	google_may(BROKER, "\"accessToken\", \"policy\"");
	assert_int_equal(doctor(NULL), 0);
	assert_check("others", "warn", "past hallpass, user:alice@example.com may make its tokens",
		     "gcloud iam service-accounts remove-iam-policy-binding " SA_DEV " --member=user:alice@example.com --role=roles/iam.serviceAccountTokenCreator");
	google_may("alice@example.com", "");
	google_may("federated-subject", "");
	google_may("hallpass-delegate@acme-ml.iam.gserviceaccount.com", "");
	assert_int_equal(doctor(NULL), 0);
	assert_check("others", "ok", "nobody else", NULL);
}

/* Neither whose file it is, nor who else may what; nor anything about an account that is not one's own. */
static void test_doctor_tells_callers_what_is_theirs(void **state) {
	static const char body[] = "{\"serviceAccounts\": [\"" SA_DEV "\", \"" SA_PROD "\"]}";

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: being somebody else takes root\n");
		skip();
	}
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: 12003, principal: \"" ME "\"}]\n");
	world_daemon(&w);
	assert_int_equal(chmod(w.dir, 0755), 0);
	assert_int_equal(chmod(w.socket, 0666), 0);
	google_may(BROKER, "\"accessToken\", \"policy\"");
	ask_as_uid(&w, STRANGER, "POST", "/v1/doctor", body, &a);
	assert_int_equal(a.status, 200);
	assert_null(strstr(a.text, w.dir));
	assert_null(strstr(a.text, "alice@example.com"));
	assert_non_null(strstr(a.text, "3 other grants on it past hallpass; operators see whose"));
	assert_non_null(strstr(a.text, "the policy gives you nothing there, so Google is not asked"));
	assert_non_null(strstr(a.text, "hallpass why " SA_PROD));
	assert_int_equal(google_calls(&w, "testIamPermissions"), 1);
	answer_fini(&a);
	/* `hallpass status` keeps to the same rule. */
	ask_as_uid(&w, STRANGER, "GET", "/v1/status", NULL, &a);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, "\"description\":\"service_account " BROKER "\""));
	answer_fini(&a);
	/* Trouble is theirs to know, and its file is not. */
	google_script(&w, "{\"endpoint\": \"token\", \"status\": 403}");
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	world_daemon(&w);
	assert_int_equal(chmod(w.socket, 0666), 0);
	ask_as_uid(&w, STRANGER, "POST", "/v1/doctor", body, &a);
	assert_non_null(strstr(a.text, "HTTP 403"));
	assert_non_null(strstr(a.text, "tell whoever runs the broker"));
	assert_null(strstr(a.text, w.dir));
}

static void test_doctor_counts_as_requests(void **state) {
	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 1, burst: 4}\n");
	world_daemon(&w);
	/* list, doctor, upstream, one account's first. */
	assert_int_equal(doctor(NULL), 0);
	assert_check("impersonation", "ok", NULL, NULL);
	assert_check("others", "note", "not asked: ", NULL);
	assert_int_equal(doctor(NULL), 70);
	assert_check("doctor", "fail", "limits.requestsPerMinute", NULL);
}

static void test_doctor_says_who_is_nobody_and_who_is_not_there(void **state) {
	(void)state;
	assert_int_equal(doctor(NULL), 69);
	assert_string_equal(text_of(check_of("broker", 0), "status"), "fail");
	assert_non_null(strstr(text_of(check_of("broker", 0), "remedy"), "systemctl --user start hallpassd"));
	/* Whatever bytes the place is made of: what cannot be told is no reason to be well. */
	assert_int_equal(run_cli(&w, out, sizeof(out), NULL, 0, "doctor", "--json", "--socket", "/nowhere/\xff.sock", NULL), 69);
	assert_non_null(strstr(out, "no broker at /nowhere/?.sock"));
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: 12001, principal: \"" ME "\"}]\n");
	world_daemon(&w);
	assert_int_equal(doctor(NULL), 70);
	snprintf(out, sizeof(out), "in hallpassd.yaml, under peers: - {uid: %u, principal: \"user:YOU@example.com\"}; then hallpass reload", geteuid());
	assert_check("caller", "fail", "is nobody here", out);
}

static void write_file(const char *name, const char *text) {
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	f = fopen(path, "w");
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void test_doctor_finds_what_leads_past_the_broker(void **state) {
	char remedy[300], dir[300];

	(void)state;
	world_daemon(&w);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", "/somewhere.json", 1);
	assert_int_equal(doctor(NULL), 0);
	assert_check("environment", "warn", "GOOGLE_APPLICATION_CREDENTIALS is set: ", "unset GOOGLE_APPLICATION_CREDENTIALS");
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
	setenv("NO_GCE_CHECK", "False", 1);
	setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "/run/user/1/hallpass-run.x/token", 1); /* ours */
	doctor(NULL);
	assert_check("environment", "ok", NULL, NULL);
	setenv("NO_GCE_CHECK", "True", 1);
	doctor(NULL);
	assert_check("environment", "warn", "NO_GCE_CHECK is set: Python", "unset NO_GCE_CHECK");
	unsetenv("NO_GCE_CHECK");
	setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false", 1);
	doctor(NULL);
	assert_check("environment", "warn", "look for no metadata server, ", "unset CLOUDSDK_CORE_CHECK_GCE_METADATA");
	unsetenv("CLOUDSDK_CORE_CHECK_GCE_METADATA");
	setenv("GCE_METADATA_HOST", "127.0.0.1:1", 1);
	doctor(NULL);
	assert_non_null(strstr(text_of(check_of("environment", 0), "text"), "some are set and some not"));
	setenv("GCE_METADATA_IP", "127.0.0.1:1", 1);
	setenv("GCE_METADATA_ROOT", "127.0.0.1:1", 1);
	setenv("HTTP_PROXY", "http://proxy:3128", 1);
	doctor(NULL);
	assert_check("environment", "warn", "NO_PROXY does not name 127.0.0.1", "export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost");
	/* gcloud's directory */
	write_file("gce", "False");
	snprintf(dir, sizeof(dir), "%s/configurations", w.dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	write_file("configurations/config_default", "[core]\naccount = bob@example.com\nproject = x\n");
	doctor(NULL);
	snprintf(remedy, sizeof(remedy), "rm '%s/gce'", w.dir);
	assert_check("gcloud-cache", "warn", "does not look again for ", remedy);
	unsetenv("GCE_METADATA_ROOT"); /* it is not told to look for one */
	doctor(NULL);
	assert_check("gcloud-cache", "note", "does not look again for ", remedy);
	assert_check("own-login", "note", "is bob@example.com", NULL);
	write_file("gce", "True");
	doctor(NULL);
	assert_null(strstr(out, "gcloud-cache"));
}

/* What people see: a line each, and the sum. */
static void test_doctor_prints_a_line_each(void **state) {
	char err[4096];

	(void)state;
	world_daemon(&w);
	assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), "doctor", NULL), 0);
	assert_non_null(strstr(out, "\nall is well, but for what the notes say\n")); /* who else may be it was not to be seen */
	google_may(BROKER, "");
	assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), "doctor", NULL), 70);
	assert_string_equal(err, "");
	assert_non_null(strstr(out, "ok   caller         you are " ME " (SO_PEERCRED: uid "));
	assert_non_null(strstr(out, "\nFAIL impersonation  " SA_DEV ": Google does not let the broker use it; missing: getAccessToken"));
	assert_non_null(strstr(out, "\n                    = " GRANT_COMMAND("serviceAccount:" BROKER) "\n"));
	assert_non_null(strstr(out, "\n1 failure, 0 warnings\n"));
}

/* It hangs on Google, and nobody on it; who leaves takes it along. */
static void test_doctor_holds_nobody_up(void **state) {
	int waiting[3];

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"*\", \"latency_ms\": 1000}");
	for (size_t i = 0; i < 3; i++)
		waiting[i] = ask_begin(&w, "POST", "/v1/doctor", "{\"serviceAccounts\": [\"" SA_DEV "\"]}");
	for (int i = 0; i < 20; i++) {
		ask(&w, "GET", "/v1/whoami", NULL, &a);
		assert_int_equal(a.status, 200);
		answer_fini(&a);
	}
	close(waiting[0]);
	assert_true(ask_end(waiting[1], &a));
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, "Google lets the broker use it"));
	close(waiting[2]);
	answer_fini(&a);
	waiting[0] = ask_begin(&w, "POST", "/v1/doctor", "{\"serviceAccounts\": [\"" SA_DEV "\"]}");
	json_decref(records_wait(&w, "doctor", 4)); /* under way when it stops */
	close(waiting[0]);
}

static void test_doctor_refuses_what_it_does_not_know(void **state) {
	(void)state;
	world_daemon(&w);
	ask(&w, "POST", "/v1/doctor", "{\"serviceAccount\": \"" SA_DEV "\"}", &a);
	assert_int_equal(a.status, 400);
	assert_non_null(strstr(a.text, "serviceAccounts"));
	answer_fini(&a);
	ask(&w, "POST", "/v1/doctor", "{\"serviceAccounts\": [\"x/../y\"]}", &a);
	assert_int_equal(a.status, 400);
}

#define SCENARIO(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_P1_a_doctor_makes_no_token),
		SCENARIO(test_doctor_a_role_is_missing),
		SCENARIO(test_doctor_the_login_is_over),
		SCENARIO(test_doctor_the_login_is_gclouds),
		SCENARIO(test_doctor_google_is_out_of_reach),
		SCENARIO(test_doctor_the_proxy_is_not_there),
		SCENARIO(test_doctor_a_certificate_is_not_to_be_trusted),
		SCENARIO(test_doctor_the_clock_is_wrong),
		SCENARIO(test_doctor_others_may_be_it),
		SCENARIO(test_doctor_tells_callers_what_is_theirs),
		SCENARIO(test_doctor_counts_as_requests),
		SCENARIO(test_doctor_says_who_is_nobody_and_who_is_not_there),
		SCENARIO(test_doctor_finds_what_leads_past_the_broker),
		SCENARIO(test_doctor_prints_a_line_each),
		SCENARIO(test_doctor_holds_nobody_up),
		SCENARIO(test_doctor_refuses_what_it_does_not_know),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
