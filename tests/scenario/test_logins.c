/*
 * The developer's own logins, and the machine's, beside `hallpass run`: no client takes one of them, and none is taken along. What
 * programs keep of an account is nobody else's, and does not outlive its last session.
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
#include "hallpass/cleanup.h"
#include "tests/lib/offline.h"
#include "tests/lib/running.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

#define OWN "dev@example.com"
#define OWN_REFRESH "1//own-refresh-token"
#define ADC                                                                                                            \
	"{\"type\":\"authorized_user\",\"client_id\":\"own\",\"client_secret\":\"own\",\"refresh_token\":\"" OWN_REFRESH "\",\"account\":\"" OWN "\"}"

static struct world w;
static char out[262144], err[65536], cache[256];

#define RUN_AS(account, line) run_cli(&w, out, sizeof(out), err, sizeof(err), "run", "--as", account, "--", "sh", "-c", line, NULL)

static void write_file(const char *name, const char *text) {
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void make_dir(const char *name) {
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

/* A home as developers have one: gcloud's login, Application Default Credentials, gsutil's, and settings that are worth keeping. */
static void make_home(void) {
	make_dir("tmp");
	make_dir(".config");
	make_dir(".config/gcloud");
	make_dir(".config/gcloud/configurations");
	write_file(".config/gcloud/active_config", "work");
	write_file(".config/gcloud/configurations/config_work",
		   "[core]\naccount = " OWN "\nproject = own-project\ncheck_gce_metadata = false\npass_credentials_to_gsutil=false\n"
		   "[auth]\nimpersonate_service_account = own@x.iam.gserviceaccount.com\naccess_token_file =\n  /nonexistent\n[compute]\nregion = europe-west3\n");
	write_file(".config/gcloud/configurations/config_other", "[core]\nACCOUNT : " OWN "\n[compute]\nzone = a\n");
	write_file(".config/gcloud/application_default_credentials.json", ADC);
	write_file(".config/gcloud/credentials.db", OWN_REFRESH);
	write_file(".boto", "[Credentials]\ngs_oauth2_refresh_token = " OWN_REFRESH "\n[Boto]\nnum_retries = 1\n[GSUtil]\nstate_dir = /proc/nonexistent\n"
			    "parallel_thread_count = 3\n[OAuth2]\ntoken_cache = x\n");
}

static int setup(void **state) {
	static const char *const clean[] = { "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "CLOUDSDK_CORE_PROJECT", "CLOUDSDK_CORE_ACCOUNT",
					     "CLOUDSDK_ACTIVE_CONFIG_NAME", "BOTO_CONFIG", "BOTO_PATH", "HALLPASS_SESSION_DIR",
					     "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS" };

	(void)state;
	world_start(&w);
	for (size_t i = 0; i < ARRAY_SIZE(clean); i++)
		unsetenv(clean[i]);
	setenv("HOME", w.dir, 1);
	setenv("CLOUDSDK_CORE_DISABLE_PROMPTS", "1", 1);
	setenv("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true", 1);
	make_home();
	world_policy(&w, "version: 1\nbindings:\n  - {name: both, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL "], maxLifetime: 1h}\n");
	return 0;
}

static int teardown(void **state) {
	(void)state;
	return world_end_well(&w);
}

static void external_form(const json_t *file, char *body, size_t size) {
	char handle[100];
	FILE *f = fopen(json_string_value(json_object_get(json_object_get(file, "credential_source"), "file")), "r");

	assert_non_null(f);
	assert_non_null(fgets(handle, sizeof(handle), f));
	fclose(f);
	snprintf(body, size, "grant_type=%s&subject_token_type=%s&audience=%s&subject_token=%s&scope=https://www.googleapis.com/auth/cloud-platform",
		 "urn:ietf:params:oauth:grant-type:token-exchange", json_string_value(json_object_get(file, "subject_token_type")),
		 json_string_value(json_object_get(file, "audience")), handle);
}

/* Libraries want these four, and Python's a text for an audience. */
static void authorized_form(const json_t *file, char *body, size_t size) {
	static const char *const wanted[] = { "client_id", "client_secret", "refresh_token", "token_url", "audience" };

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_true(json_string_length(json_object_get(file, wanted[i])) > 0);
	snprintf(body, size, "grant_type=refresh_token&refresh_token=%s", json_string_value(json_object_get(file, "refresh_token")));
}

/* What a library does with the file that it is pointed at. The answer's JSON is the caller's. */
static json_t *exchange_as_file_says(const char *path, const char *type) {
	json_t *file = json_load_file(path, 0, NULL), *reply;
	const char *url = json_string_value(json_object_get(file, "token_url")), *at;
	char headers[200], body[1024];
	struct http_answer h;

	assert_string_equal(json_string_value(json_object_get(file, "type")), type);
	at = strstr(url, "/v1/token");
	(strcmp(type, "external_account") ? authorized_form : external_form)(file, body, sizeof(body));
	snprintf(headers, sizeof(headers), "Host: %.*s\r\nContent-Type: application/x-www-form-urlencoded\r\n", (int)(at - url - 7), url + 7);
	snprintf(headers + 150, 40, "%.*s", (int)(at - url), url);
	http_ask(headers + 150, "POST", "/v1/token", headers, body, &h);
	if (h.status != 200)
		fail_msg("%s", h.text);
	reply = json_incref(h.json);
	http_answer_fini(&h);
	json_decref(file);
	return reply;
}

/* A command that waits in a session, and its first line. */
static void start_session(struct running *r, const char *account, const char *line) {
	char text[1024];

	snprintf(text, sizeof(text), "%s; echo .; exec sleep 60", line);
	start(&w, r, (const char *const[]){ program("hallpass"), "run", "--as", account, "--also", SA_LABEL, "--", "sh", "-c", text, NULL });
	if (!wait_for(r, ".\n"))
		fail_msg("%s", r->text);
}

static void end(struct running *r) {
	kill(r->pid, SIGTERM);
	assert_int_equal(finish(r), 128 + SIGTERM);
}

static void test_run_names_a_file_that_libraries_exchange(void **state) {
	char path[300], gclouds[300], other[600];
	struct running r;
	json_t *reply, *records;

	(void)state;
	world_daemon(&w);
	start_session(&r, SA_DEV, "echo $GOOGLE_APPLICATION_CREDENTIALS $CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE");
	assert_int_equal(sscanf(r.text, "%299s %299s", path, gclouds), 2);
	reply = exchange_as_file_says(path, "external_account_authorized_user");
	assert_int_equal(strncmp(json_string_value(json_object_get(reply, "access_token")), "ya29.", 5), 0);
	json_decref(reply);
	json_decref(exchange_as_file_says(gclouds, "external_account"));
	/* Its other accounts have files, too. */
	snprintf(other, sizeof(other), "%.*s/" SA_LABEL ".json", (int)(strrchr(path, '/') - path), path);
	json_decref(exchange_as_file_says(other, "external_account"));
	end(&r);
	assert_int_equal(access(path, F_OK), -1);
	records = records_wait(&w, "closed", 1);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "issued"), "target")), SA_LABEL);
	assert_int_equal(json_integer_value(json_object_get(records_last(records, "closed"), "tokens")), 3);
	json_decref(records);
}

/* Whatever clients read is ours: nothing in it says who the developer is. What he has set up besides is there. */
static void test_P4_run_leaves_the_users_logins_behind(void **state) {
	(void)state;
	world_daemon(&w);
	setenv("GOOGLE_CREDENTIALS", ADC, 1);
	setenv("CLOUDSDK_CORE_ACCOUNT", OWN, 1);
	setenv("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "/nonexistent", 1);
	assert_int_equal(RUN_AS(SA_DEV, "dir=${CLOUDSDK_CONFIG%/gcloud}; cat $dir/gcloud/active_config; echo; env | grep -cF -e own-refresh -e " OWN
					" -e /nonexistent; grep -rlF -e own -e check_gce -e pass_cred -e /nonexistent -e token_cache $dir | sed s,.*/,,; "
					"cat $dir/gcloud/configurations/* $dir/boto-0; echo $CLOUDSDK_CORE_ACCOUNT; ls $CLOUDSDK_CONFIG"), 0);
	unsetenv("GOOGLE_CREDENTIALS");
	unsetenv("CLOUDSDK_CORE_ACCOUNT");
	unsetenv("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE");
	assert_string_equal(out, "work\n0\nconfig_work\n[core]\n[compute]\nzone = a\n[core]\nproject = own-project\n[compute]\nregion = europe-west3\n"
				 "[Boto]\nnum_retries = 1\n[GSUtil]\nparallel_thread_count = 3\n" SA_DEV "\nactive_config\nconfigurations\n");
	assert_string_equal(err, "");
}

#define WRITE_TOKENS                                                                                                   \
	"cd ${CLOUDSDK_CONFIG%/gcloud}; pwd; echo ya29.x | tee gcloud/access_tokens.db gcloud/credentials.db gsutil/credstore2 >/dev/null; " \
	"mkdir -p gcloud/surface_data/storage gcloud/legacy_credentials/x gsutil/tracker-files; echo t | tee gcloud/surface_data/storage/t " \
	"gsutil/tracker-files/t gcloud/legacy_credentials/x/adc.json >/dev/null"

/* Two sessions of one account share what gcloud keeps, two accounts never do; the last to go leaves no token. */
static void test_run_keeps_accounts_apart(void **state) {
	char dir[300], command[600];
	struct running first, second, other;

	(void)state;
	world_daemon(&w);
	start_session(&first, SA_DEV, WRITE_TOKENS);
	assert_int_equal(sscanf(first.text, "%299s", dir), 1);
	start_session(&second, SA_DEV, "cat $CLOUDSDK_CONFIG/access_tokens.db");
	assert_string_equal(second.text, "ya29.x\n.\n");
	start_session(&other, SA_LABEL, "ls $CLOUDSDK_CONFIG");
	assert_string_equal(other.text, "active_config\nconfigurations\n.\n");
	end(&first);
	snprintf(command, sizeof(command), "test -s %s/gcloud/access_tokens.db", dir);
	assert_int_equal(system(command), 0); /* somebody is still there */
	end(&second);
	end(&other);
	snprintf(command, sizeof(command), "cd %s && find . -type f | sort >%s/left", dir, w.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(RUN_AS(SA_DEV, "cat $HOME/left"), 0);
	assert_string_equal(out, "./gcloud/surface_data/storage/t\n./gsutil/tracker-files/t\n"); /* transfers can go on */
}

/* What clients keep, they keep by the account's name: a session that asks for something else with it finds nothing of this one's. */
static void test_run_keeps_terms_apart(void **state) {
	static const char look[] = "ls $CLOUDSDK_CONFIG ${CLOUDSDK_CONFIG%/gcloud}/gsutil | grep -c 'db$\\|credstore'; grep -c \"state_dir = ${CLOUDSDK_CONFIG%/gcloud}/gsutil\" ${BOTO_PATH##*:}";
	static const char *const terms[][2] = { { "--scopes", "cloud-platform" }, { "--lifetime", "10m" }, { "--reason", "INC-7" }, { "--project", "p" } };
	struct running first;

	(void)state;
	world_daemon(&w);
	start_session(&first, SA_DEV, WRITE_TOKENS); /* and SA_LABEL's, by --also */
	for (size_t i = 0; i < ARRAY_SIZE(terms); i++) {
		assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), "run", "--as", SA_DEV, terms[i][0], terms[i][1], "--", "sh", "-c", look, NULL), 0);
		assert_string_equal(out, "0\n1\n");
	}
	end(&first);
}

/* Whoever comes while others come and go finds it filled, and the last one leaves nothing. */
static void test_run_may_begin_while_another_ends(void **state) {
	static const char line[] = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \"$0\" run --as " SA_DEV
				   " -- sh -c 'test -s $CLOUDSDK_CONFIG/configurations/config_work && test -s ${BOTO_PATH##*:} && echo filled' & "
				   "[ $((i % 5)) = 0 ] && wait; done; wait; ls $XDG_RUNTIME_DIR";
	struct running r;

	(void)state;
	world_daemon(&w);
	start(&w, &r, (const char *const[]){ "/bin/sh", "-c", line, program("hallpass"), NULL });
	assert_int_equal(finish(&r), 0);
	assert_int_equal(occurrences(r.text, "filled\n"), 20);
	assert_int_equal(r.n, 20 * strlen("filled\n"));
}

/* Nobody tidies up after a SIGKILL but the next one, whoever he works as. */
static void test_P5_run_leaves_no_tokens_of_gclouds_behind(void **state) {
	char dir[300];

	(void)state;
	world_daemon(&w);
	RUN_AS(SA_DEV, "cd ${CLOUDSDK_CONFIG%/gcloud}; pwd; stat -f -c %T .; stat -c %a . gcloud; echo ya29.x >gcloud/access_tokens.db; kill -9 $PPID");
	assert_int_equal(sscanf(out, "%299s", dir), 1);
	assert_non_null(strstr(out, "\ntmpfs\n700\n700\n"));
	assert_int_equal(access(dir, F_OK), 0);
	assert_int_equal(RUN_AS(SA_LABEL, "ls -d ${CLOUDSDK_CONFIG%/gcloud}"), 0);
	assert_int_equal(access(dir, F_OK), -1);
	out[strcspn(out, "\n")] = '\0';
	assert_int_equal(access(out, F_OK), -1); /* his own is gone already: there was nothing to keep */
}

/* On /dev/shm somebody else may have been there before: then it is the session's own. */
static void test_run_shares_nothing_with_others(void **state) {
	char command[600];

	(void)state;
	world_daemon(&w);
	if (geteuid() != 0) {
		print_message("skipped: making another's directory needs root\n");
		skip();
	}
	snprintf(command, sizeof(command), "d=%s/hallpass-as.0." SA_BATCH "; mkdir -m 700 $d && chown 4711 $d", w.tmpfs);
	world_policy(&w, "version: 1\nbindings:\n  - {name: batch, members: [\"" ME "\"], serviceAccounts: [" SA_BATCH "]}\n");
	assert_int_equal(run_cli(&w, NULL, 0, NULL, 0, "reload", NULL), 0);
	assert_int_equal(system(command), 0);
	assert_int_equal(RUN_AS(SA_BATCH, "echo $CLOUDSDK_CONFIG; ls $CLOUDSDK_CONFIG/.."), 0);
	assert_non_null(strstr(out, "/hallpass-run."));
	assert_non_null(strstr(out, "gcloud\n"));
}

static void test_run_hands_on_the_brokers_ca_and_socket(void **state) {
	struct running r;
	char more[200];

	(void)state;
	write_file("ca.pem", "-----BEGIN CERTIFICATE-----\n");
	snprintf(more, sizeof(more), "upstream: {caFile: %s/ca.pem}\n", w.dir);
	snprintf(w.config_more, sizeof(w.config_more), "%s", more);
	world_daemon(&w);
	setenv("REQUESTS_CA_BUNDLE", "mine", 1);
	assert_int_equal(RUN_AS(SA_DEV, "echo ${SSL_CERT_FILE##*/} ${NODE_EXTRA_CA_CERTS##*/} ${CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE##*/} $REQUESTS_CA_BUNDLE"), 0);
	unsetenv("REQUESTS_CA_BUNDLE");
	assert_string_equal(out, "ca.pem ca.pem ca.pem mine\n");
	/* And a socket that was named, wherever the command goes. */
	start(&w, &r, (const char *const[]){ "/bin/sh", "-c",
					     "p=$(realpath \"$0\"); cd $HOME && s=./${HALLPASS_SOCKET#$HOME/} && export HALLPASS_SOCKET=/nonexistent && "
					     "exec $p run --socket $s --as " SA_DEV " -- sh -c \"cd / && $p whoami\"",
					     program("hallpass"), NULL });
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, ME));
}

/* --- the real ones, each where it is installed */

static void need(const char *what, const char *test) {
	char command[600];

	snprintf(command, sizeof(command), "(%s) >/dev/null 2>&1 </dev/null", test);
	if (system(command) == 0)
		return;
	print_message("skipped: %s is not installed\n", what);
	skip();
}

/* The command's output has a token that the stand-in gave for this account, and no other; nobody tried the own login. */
static void assert_brokered(const char *line) {
	json_t *tokens, *token, *one = NULL;
	char sha[65], *at;
	size_t i;

	world_daemon(&w);
	if (RUN_AS(SA_DEV, line) != 0)
		fail_msg("%s%s", out, err);
	at = strstr(out, "ya29.standin-");
	if (!at)
		fail_msg("no token: %s%s", out, err);
	at[strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789.-")] = '\0';
	text_sha256(at, sha);
	tokens = google_tokens(&w);
	json_array_foreach(tokens, i, token)
		if (!strcmp(json_string_value(json_object_get(token, "sha256")), sha))
			one = token;
	assert_non_null(one);
	assert_string_equal(json_string_value(json_object_get(one, "holder")), SA_DEV);
	assert_null(strstr(out, OWN));
	json_decref(tokens);
}

static void test_P4_gcloud_does_not_take_the_own_login(void **state) {
	(void)state;
	need("gcloud", "command -v gcloud");
	assert_brokered("gcloud auth print-access-token && gcloud auth list --format='value(account)' && gcloud config get compute/region");
	assert_non_null(strstr(out + strlen(out) + 1, SA_DEV "\neurope-west3\n"));
}

/* A command may take longer than its token lives: what the file is exchanged for is renewed. */
static void test_run_gives_gcloud_what_it_can_renew(void **state) {
	static const char program[] =
		"import sys, time\nlib = sys.argv[1] + \"/lib\"\nsys.path[:0] = [lib, lib + \"/third_party\"]\n"
		"from googlecloudsdk.core.credentials import store\nc = store.Load(use_google_auth=True)\nfirst = c.token\n"
		"while c.token == first:\n  time.sleep(0.2)\n  store.Refresh(c)\nprint(c.token)\n";
	char line[1024];

	(void)state;
	need("gcloud", "command -v gcloud");
	write_file("renew.py", program);
	snprintf(line, sizeof(line), "sdk=$(gcloud info --format='value(installation.sdk_root)'); python=$sdk/platform/bundledpythonunix/bin/python3; "
				     "[ -x $python ] || python=python3; timeout 60 $python %s/renew.py $sdk", w.dir);
	world_policy(&w, "version: 1\nbindings:\n  - {name: short, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], maxLifetime: 6s}\n");
	assert_brokered(line);
}

/* There is no storage here, but what it would have sent stands in its own store, in base64. */
static void test_P4_gsutil_does_not_take_the_own_login(void **state) {
	json_t *records;

	(void)state;
	need("gsutil", "command -v gsutil");
	assert_brokered("gsutil -o Boto:num_retries=0 ls gs://b 2>/dev/null; "
			"sed 's/.*\": \"\\([A-Za-z0-9+/=]*\\)\".*/\\1/' ${CLOUDSDK_CONFIG%/gcloud}/gsutil/credstore2 | base64 -d");
	records = records_wait(&w, "closed", 1);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "issued"), "surface")), "metadata");
	json_decref(records);
}

/* It says where its token is from before it sends it: the session's metadata server. */
static void test_P4_bq_does_not_take_the_own_login(void **state) {
	json_t *records;

	(void)state;
	need("bq", "command -v bq");
	world_daemon(&w);
	assert_int_equal(RUN_AS(SA_DEV, "timeout 60 bq --apilog=stdout ls 2>&1 | grep -m 2 -F -e 'Loading auth credentials with' -e 'URL being requested'"), 0);
	assert_non_null(strstr(out, "Loading auth credentials with --use_gce_service_account"));
	records = records_wait(&w, "closed", 1);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "issued"), "target")), SA_DEV);
	assert_true(json_integer_value(json_object_get(records_last(records, "closed"), "tokens")) >= 1);
	json_decref(records);
}

static void test_P4_python_does_not_take_the_own_login(void **state) {
	char test[400], line[800];

	(void)state;
	snprintf(test, sizeof(test), "%s/python/bin/python -c 'import google.auth.transport.requests'", cache);
	need("google-auth for Python", test);
	snprintf(line, sizeof(line),
		 "%s/python/bin/python -c 'import google.auth, google.auth.transport.requests as r\n"
		 "c, p = google.auth.default(scopes=[\"https://www.googleapis.com/auth/cloud-platform\"])\nc.refresh(r.Request())\nprint(c.token)'",
		 cache);
	assert_brokered(line);
}

/* version 9 and others before 10 know nothing of CLOUDSDK_CONFIG. */
static void assert_node(const char *folder) {
	char test[400], line[800];

	snprintf(test, sizeof(test), "cd %s/%s && node -e 'require(\"google-auth-library\")'", cache, folder);
	need("google-auth-library for Node.js", test);
	snprintf(line, sizeof(line),
		 "cd %s/%s && node -e 'const {GoogleAuth} = require(\"google-auth-library\"); new GoogleAuth({scopes: \"https://www.googleapis.com/auth/"
		 "cloud-platform\"}).getAccessToken().then(t => console.log(t)).catch(e => { console.error(String(e)); process.exit(1) })'",
		 cache, folder);
	assert_brokered(line);
}

static void test_P4_node_does_not_take_the_own_login(void **state) {
	(void)state;
	assert_node("node");
}

static void test_P4_node_9_does_not_take_the_own_login(void **state) {
	(void)state;
	assert_node("node9");
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_run_names_a_file_that_libraries_exchange),
		SCENARIO(test_P4_run_leaves_the_users_logins_behind),
		SCENARIO(test_run_keeps_accounts_apart),
		SCENARIO(test_run_keeps_terms_apart),
		SCENARIO(test_run_may_begin_while_another_ends),
		SCENARIO(test_P5_run_leaves_no_tokens_of_gclouds_behind),
		SCENARIO(test_run_shares_nothing_with_others),
		SCENARIO(test_run_hands_on_the_brokers_ca_and_socket),
		SCENARIO(test_P4_gcloud_does_not_take_the_own_login),
		SCENARIO(test_run_gives_gcloud_what_it_can_renew),
		SCENARIO(test_P4_gsutil_does_not_take_the_own_login),
		SCENARIO(test_P4_bq_does_not_take_the_own_login),
		SCENARIO(test_P4_python_does_not_take_the_own_login),
		SCENARIO(test_P4_node_does_not_take_the_own_login),
		SCENARIO(test_P4_node_9_does_not_take_the_own_login),
	};
	const char *named = getenv("HALLPASS_INTEROP_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	signal(SIGPIPE, SIG_IGN);
	snprintf(cache, sizeof(cache), "%s%s", named ? named : xdg ? xdg : home ? home : "",
		 named ? "" : xdg ? "/hallpass-interop" : "/.cache/hallpass-interop");
	if (!offline())
		print_message("note: no network namespace here: a client that slips past may do so unseen\n");
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
