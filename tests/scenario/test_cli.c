/* hallpass as people run it: tokens, run, exit codes, what is told and what is not. */
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
#include "tests/lib/world.h"

static struct world w;
static char out[65536], err[65536];

#define CLI(...) run_cli(&w, out, sizeof(out), err, sizeof(err), __VA_ARGS__, NULL)

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

static void test_cli_token_is_alone_on_stdout(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("token", SA_DEV), 0);
	assert_int_equal(strncmp(out, "ya29.", 5), 0);
	assert_int_equal(strcspn(out, "\n"), strlen(out) - 1);
	assert_string_equal(err, ""); /* a pipe gets no notes */
	assert_int_equal(CLI("token", "--json", "--lifetime", "5m", SA_DEV), 0);
	assert_non_null(strstr(out, "\"binding\":\"dev\""));
}

static void test_cli_exit_codes(void **state) {
	(void)state;
	assert_int_equal(CLI("token", SA_DEV), 69); /* no broker yet */
	assert_non_null(strstr(err, "no broker at"));
	assert_non_null(strstr(err, "hint: start it"));
	world_daemon(&w);
	assert_int_equal(CLI("token", SA_PROD), 77);
	assert_non_null(strstr(err, "hallpass: denied: "));
	assert_int_equal(CLI("token"), 64);
	assert_int_equal(CLI("token", "--lifetime", "soon", SA_DEV), 64);
	assert_int_equal(CLI("token", "--lifetme", "5m", SA_DEV), 64);
	assert_non_null(strstr(err, "did you mean --lifetime"));
	assert_int_equal(CLI("tokn", SA_DEV), 64);
	assert_non_null(strstr(err, "did you mean token"));
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 403}");
	assert_int_equal(CLI("token", "--lifetime", "3m", SA_DEV), 75);
	assert_non_null(strstr(err, "roles/iam.serviceAccountTokenCreator"));
}

static void test_cli_run_gives_the_command_a_fresh_private_file(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "sh", "-c",
			     "stat -c %a \"$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE\"; stat -f -c %T \"$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE\"; "
			     "head -c 5 \"$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE\"; echo; echo $CLOUDSDK_CORE_PROJECT; "
			     "echo \"$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE\" >&2; env | grep -c ya29"),
			 1); /* grep -c finds none: the exit code is the command's */
	assert_string_equal(out, "600\ntmpfs\nya29.\nacme-ml\n0\n");
	err[strcspn(err, "\n")] = '\0';
	assert_int_equal(access(err, F_OK), -1); /* removed afterwards */
}

static void test_cli_run_renews_before_expiry(void **state) {
	(void)state;
	world_daemon(&w);
	/* Four seconds to live: renewed at three quarters, while the command waits for the change. */
	assert_int_equal(CLI("run", "--as", SA_DEV, "--lifetime", "4s", "--", "sh", "-c",
			     "f=$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE; a=$(cat $f); i=0; while [ \"$(cat $f)\" = \"$a\" ] && [ $i -lt 200 ]; do "
			     "sleep 0.05; i=$((i+1)); done; [ \"$(cat $f)\" != \"$a\" ]"),
			 0);
}

static void test_cli_run_keeps_codes_and_passes_signals(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "sh", "-c", "exit 42"), 42);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "sh", "-c", "kill -TERM $$"), 128 + SIGTERM);
	/* A signal for hallpass is one for the command. */
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "sh", "-c", "trap 'exit 7' USR1; kill -USR1 $PPID; sleep 20 & wait"), 7);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "/no/such/command"), 127);
	assert_int_equal(CLI("run", "--as", SA_PROD, "--", "touch", "/tmp/hallpass-must-not-run"), 77);
	assert_int_equal(access("/tmp/hallpass-must-not-run", F_OK), -1);
}

static void test_cli_tells_who_what_and_why(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("whoami"), 0);
	assert_non_null(strstr(out, ME));
	assert_int_equal(CLI("list"), 0);
	assert_non_null(strstr(out, SA_DEV));
	assert_int_equal(CLI("why", SA_PROD), 0);
	assert_non_null(strstr(out, "denied"));
	assert_int_equal(CLI("why", SA_DEV), 0);
	assert_non_null(strstr(out, "allowed"));
	assert_int_equal(CLI("status"), 0);
	assert_non_null(strstr(out, "healthy"));
	assert_int_equal(CLI("version"), 0);
	assert_int_equal(CLI("reload"), 0);
	world_policy(&w, "version: 1\nbindngs: []\n");
	assert_int_equal(CLI("reload"), 78);
	assert_non_null(strstr(out, "did you mean"));
}

static void test_cli_log_shows_and_filters(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("token", SA_DEV), 0);
	assert_int_equal(CLI("token", "--reason", "\x1b[2Jboo", SA_DEV), 64); /* control characters are refused … */
	assert_int_equal(CLI("token", SA_PROD), 77);
	assert_int_equal(CLI("token", SA_DEV), 0);
	assert_int_equal(CLI("log"), 0);
	assert_non_null(strstr(out, "issued"));
	assert_non_null(strstr(out, "denied"));
	assert_null(strstr(out, "\x1b[2J")); /* … and could not reach the terminal anyway */
	assert_int_equal(CLI("log", "--result", "denied", "--json"), 0);
	assert_non_null(strstr(out, SA_PROD));
	assert_null(strstr(out, "\"type\":\"issued\""));
	assert_int_equal(CLI("log", "-n", "1", "--json"), 0);
	assert_int_equal(strcspn(out, "\n"), strlen(out) - 1);
}

static void test_cli_policy_check(void **state) {
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/policy.yaml", w.dir);
	assert_int_equal(CLI("policy", "check", path), 0);
	assert_non_null(strstr(out, "good"));
	world_policy(&w, "version: 1\nbindings:\n  - name: a\n    members: [\"" ME "\"]\n    serviceAccounts: [" SA_DEV
			 "]\n    condition: {expression: 'request.time < )'}\n");
	assert_int_equal(CLI("policy", "check", path), 78);
	assert_non_null(strstr(out, ":6:"));
	assert_non_null(strstr(out, "^"));
	assert_int_equal(CLI("policy", "chek", path), 64);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_cli_token_is_alone_on_stdout),
		SCENARIO(test_cli_exit_codes),
		SCENARIO(test_cli_run_gives_the_command_a_fresh_private_file),
		SCENARIO(test_cli_run_renews_before_expiry),
		SCENARIO(test_cli_run_keeps_codes_and_passes_signals),
		SCENARIO(test_cli_tells_who_what_and_why),
		SCENARIO(test_cli_log_shows_and_filters),
		SCENARIO(test_cli_policy_check),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
