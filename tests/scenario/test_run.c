/* hallpass run: the command's token file, its renewal, signals, jobs, and what is left when somebody pulls the plug. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/running.h"
#include "tests/lib/world.h"

static struct world w;
static char out[65536], err[65536];

#define CLI(...) run_cli(&w, out, sizeof(out), err, sizeof(err), __VA_ARGS__, NULL)
#define RUN(...) ((const char *const[]){ program("hallpass"), "run", "--as", SA_DEV, __VA_ARGS__, NULL })

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

static void test_run_gives_the_command_a_fresh_private_file(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "sh", "-c",
			     "stat -c %a \"$HALLPASS_TOKEN_FILE\"; stat -f -c %T \"$HALLPASS_TOKEN_FILE\"; "
			     "head -c 5 \"$HALLPASS_TOKEN_FILE\"; echo; echo $CLOUDSDK_CORE_PROJECT; "
			     "echo \"$HALLPASS_TOKEN_FILE\" >&2; env | grep -c ya29"),
			 1); /* grep -c finds none: the exit code is the command's */
	assert_string_equal(out, "600\ntmpfs\nya29.\nacme-ml\n0\n");
	err[strcspn(err, "\n")] = '\0';
	assert_int_equal(access(err, F_OK), -1); /* removed afterwards */
}

/* Where no tmpfs is, nothing is written, and the command does not run. */
static void test_P5_run_writes_no_token_to_a_disk(void **state) {
	char mark[200];
	struct statfs fs;

	(void)state;
	world_daemon(&w);
	if (statfs(w.dir, &fs) < 0 || fs.f_type == 0x01021994 /* TMPFS_MAGIC */) {
		print_message("skipped: there is no disk under /tmp\n");
		skip();
	}
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(w.dir, "/dev/shm", NULL, MS_BIND, NULL) < 0) {
		print_message("skipped: taking /dev/shm away needs root and a mount namespace\n");
		skip();
	}
	snprintf(mark, sizeof(mark), "%s/ran", w.dir);
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "touch", mark), 75);
	assert_int_equal(umount2("/dev/shm", MNT_DETACH), 0);
	print_message("%s", err);
	assert_non_null(strstr(err, "a token is not written to a disk"));
	assert_int_equal(access(mark, F_OK), -1);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "touch", mark), 0);
	assert_int_equal(access(mark, F_OK), 0);
}

static void test_run_renews_before_expiry(void **state) {
	(void)state;
	world_daemon(&w);
	/* Four seconds to live: renewed at three quarters, while the command waits for the change. */
	assert_int_equal(CLI("run", "--as", SA_DEV, "--lifetime", "4s", "--", "sh", "-c",
			     "f=$HALLPASS_TOKEN_FILE; a=$(cat $f); i=0; while [ \"$(cat $f)\" = \"$a\" ] && [ $i -lt 200 ]; do "
			     "sleep 0.05; i=$((i+1)); done; [ \"$(cat $f)\" != \"$a\" ]"),
			 0);
}

static void test_run_keeps_codes_and_passes_signals(void **state) {
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

/* Starts a run that prints its token's file and its own pid, and then waits. */
static void start_run(struct running *r, char *file, size_t size, pid_t *command) {
	char *end;

	start(&w, r, RUN("--", "sh", "-c", "echo $HALLPASS_TOKEN_FILE $$ .; exec sleep 60"));
	assert_true(wait_for(r, " .\n"));
	end = strchr(r->text, ' ');
	snprintf(file, size, "%.*s", (int)(end - r->text), r->text);
	*command = atoi(end);
	assert_int_equal(access(file, F_OK), 0);
}

static void assert_gone(const char *file) {
	char dir[256];

	assert_int_equal(access(file, F_OK), -1);
	snprintf(dir, sizeof(dir), "%s", file);
	*strrchr(dir, '/') = '\0';
	assert_int_equal(access(dir, F_OK), -1);
}

static void test_run_removes_its_file_whatever_ends_it(void **state) {
	static const int signals[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
	char file[256];
	struct running r;
	pid_t command;

	(void)state;
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		start_run(&r, file, sizeof(file), &command);
		kill(r.pid, signals[i]);
		assert_int_equal(finish(&r), 128 + signals[i]); /* it reached the command, and its end is ours */
		assert_gone(file);
	}
}

static void test_run_removes_what_a_killed_run_left(void **state) {
	char dead[256], living[256];
	struct running killed, alive;
	pid_t of_killed, of_alive;

	(void)state;
	world_daemon(&w);
	start_run(&alive, living, sizeof(living), &of_alive);
	start_run(&killed, dead, sizeof(dead), &of_killed);
	kill(killed.pid, SIGKILL);
	assert_int_equal(waitpid(killed.pid, NULL, 0), killed.pid);
	kill(of_killed, SIGKILL);
	close(killed.fd);
	assert_int_equal(access(dead, F_OK), 0);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "true"), 0);
	assert_gone(dead);
	assert_int_equal(access(living, F_OK), 0); /* its owner lives */
	kill(alive.pid, SIGTERM);
	assert_int_equal(finish(&alive), 128 + SIGTERM);
	assert_gone(living);
}

static void test_run_warns_before_the_window_closes(void **state) {
	char policy[1024], until[32];
	time_t t = (time_t)now_s() + 60;
	struct tm tm;

	(void)state;
	strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	snprintf(policy, sizeof(policy), "version: 1\nbindings:\n  - {name: shift, members: [\"" ME "\"], serviceAccounts: [" SA_DEV
					 "], condition: {title: This shift, expression: 'request.time < timestamp(\"%s\")'}}\n",
		 until);
	world_policy(&w, policy);
	world_daemon(&w);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "true"), 0);
	assert_non_null(strstr(err, "the window for " SA_DEV " closes in "));
	assert_non_null(strstr(err, "(This shift)"));
	assert_int_equal(occurrences(err, "closes in"), 1);
}

static void test_run_tells_when_the_policy_ends_it(void **state) {
	struct running r;

	(void)state;
	world_daemon(&w);
	start(&w, &r, RUN("-l", "4s", "--", "sleep", "60"));
	while (google_calls(&w, "generateAccessToken") == 0)
		poll(NULL, 0, 5);
	world_policy(&w, "version: 1\n");
	assert_int_equal(CLI("reload"), 0);
	assert_true(wait_for(&r, "no further token for " SA_DEV));
	kill(r.pid, SIGTERM);
	assert_int_equal(finish(&r), 128 + SIGTERM);
	assert_int_equal(occurrences(r.text, "no further token"), 1);
}

static void test_run_tells_failed_renewals_once(void **state) {
	struct running r;

	(void)state;
	world_daemon(&w);
	start(&w, &r, RUN("-l", "4s", "--", "sleep", "60"));
	while (google_calls(&w, "generateAccessToken") == 0)
		poll(NULL, 0, 5);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 403}");
	assert_true(wait_for(&r, "cannot renew the token yet"));
	while (google_calls(&w, "generateAccessToken") < 3) /* it tried again */
		poll(NULL, 0, 5);
	google_reset(&w);
	assert_true(wait_for(&r, "renewed again"));
	kill(r.pid, SIGTERM);
	assert_int_equal(finish(&r), 128 + SIGTERM);
	assert_int_equal(occurrences(r.text, "cannot renew"), 1);
}

/* With a token that ends soon, and none other to be had, it goes on asking, and says why. */
static void test_run_tells_that_google_gives_no_other_token(void **state) {
	struct running r;
	struct answer a;

	(void)state;
	world_clock(&w, 0);
	snprintf(w.config_more, sizeof(w.config_more), "upstream: {timeout: 1s}\n");
	world_daemon(&w);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	world_clock(&w, answer_int(&a, "expiresIn") - 60);
	google_clock(&w, answer_int(&a, "expiresIn") - 60);
	answer_fini(&a);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 503}");
	start(&w, &r, RUN("--", "sleep", "60"));
	assert_true(wait_for(&r, "cannot renew the token yet, trying on: Google gives no other, and this one ends in "));
	google_reset(&w);
	google_clock(&w, 1800 - 60);
	assert_true(wait_for(&r, "renewed again"));
	kill(r.pid, SIGTERM);
	assert_int_equal(finish(&r), 128 + SIGTERM);
	assert_int_equal(occurrences(r.text, "cannot renew"), 1);
}

/* A broker that hangs does not keep the command's end, or a signal, from coming through. */
static void test_run_is_not_held_up_by_a_renewal(void **state) {
	struct running r;
	int64_t began = now_s();

	(void)state;
	world_daemon(&w);
	start(&w, &r, RUN("-l", "4s", "--", "sleep", "60"));
	while (google_calls(&w, "generateAccessToken") == 0)
		poll(NULL, 0, 5);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 15000}");
	while (google_calls(&w, "generateAccessToken") == 1)
		poll(NULL, 0, 5);
	kill(r.pid, SIGTERM); /* in the middle of the renewal */
	assert_int_equal(finish(&r), 128 + SIGTERM);
	assert_true(now_s() - began < 15);
}

/* Ctrl-Z stops the command and hallpass, as a shell expects of one job; fg goes on with both. */
static void test_run_is_one_job(void **state) {
	const char *line = "set -m; \"$0\" run --as " SA_DEV " -- sh -c 'kill -STOP $$; echo went on' & wait %1; echo stopped: "
			   "$(jobs | grep -c Stopped); fg >/dev/null; echo code $?";
	struct running r;

	(void)state;
	world_daemon(&w);
	start_on_terminal(&w, &r, 200, (const char *const[]){ "/bin/bash", "-c", line, program("hallpass"), NULL });
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "stopped: 1"));
	assert_non_null(strstr(r.text, "went on"));
	assert_non_null(strstr(r.text, "code 0"));
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_run_gives_the_command_a_fresh_private_file),
		SCENARIO(test_P5_run_writes_no_token_to_a_disk),
		SCENARIO(test_run_renews_before_expiry),
		SCENARIO(test_run_keeps_codes_and_passes_signals),
		SCENARIO(test_run_removes_its_file_whatever_ends_it),
		SCENARIO(test_run_removes_what_a_killed_run_left),
		SCENARIO(test_run_warns_before_the_window_closes),
		SCENARIO(test_run_tells_when_the_policy_ends_it),
		SCENARIO(test_run_tells_failed_renewals_once),
		SCENARIO(test_run_tells_that_google_gives_no_other_token),
		SCENARIO(test_run_is_not_held_up_by_a_renewal),
		SCENARIO(test_run_is_one_job),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
