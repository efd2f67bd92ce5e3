/* What `run` and `env` tell programs, and how their session lasts: as long as the command or the shell, across brokers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/running.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

static struct world w;
static char out[65536], err[65536];

#define CLI(...) run_cli(&w, out, sizeof(out), err, sizeof(err), __VA_ARGS__, NULL)
#define SH(line) ((const char *const[]){ "/bin/sh", "-c", line, program("hallpass"), NULL })

static int setup(void **state) {
	(void)state;
	world_start(&w);
	unsetenv("NO_PROXY");
	unsetenv("no_proxy");
	unsetenv("SHELL");
	return 0;
}

static int teardown(void **state) {
	(void)state;
	return world_end_well(&w);
}

static void test_env_of_a_command(void **state) {
	int port;

	(void)state;
	world_daemon(&w);
	setenv("no_proxy", "example.com", 1);
	setenv("NO_GCE_CHECK", "true", 1);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent", 1);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "sh", "-c",
			     "echo \"$GCE_METADATA_HOST|$GCE_METADATA_IP|$GCE_METADATA_ROOT|$NO_PROXY|$no_proxy|$NO_GCE_CHECK|"
			     "$HALLPASS_AS|$GOOGLE_CLOUD_PROJECT\"; test -s $HALLPASS_HANDLE_FILE && cd ${HALLPASS_HANDLE_FILE%/handle} && stat -c %a . *"), 0);
	assert_int_equal(sscanf(out, "127.0.0.1:%d|", &port), 1);
	snprintf(err, sizeof(err),
		 "127.0.0.1:%d|127.0.0.1:%d|127.0.0.1:%d|127.0.0.1,localhost|example.com,127.0.0.1,localhost||" SA_DEV "|acme-ml\n700\n600\n600\n600\n600\n", port,
		 port, port);
	assert_string_equal(out, err);
	unsetenv("no_proxy");
	unsetenv("NO_GCE_CHECK");
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
}

/* For clients that take no file. Who would rather take the user's own login is warned of. */
static void test_env_metadata_names_no_file(void **state) {
	static const char show[] = "echo [$GOOGLE_APPLICATION_CREDENTIALS$CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE] ${GCE_METADATA_HOST%:*}";
	char command[400];

	(void)state;
	setenv("HOME", w.dir, 1);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", "/mine.json", 1);
	world_daemon(&w);
	assert_int_equal(CLI("run", "--metadata", "--as", SA_DEV, "--", "sh", "-c", show), 0);
	assert_string_equal(out, "[] 127.0.0.1\n");
	assert_string_equal(err, "");
	snprintf(command, sizeof(command), "mkdir -p %s/.config/gcloud && echo '{}' >%s/.config/gcloud/application_default_credentials.json", w.dir, w.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(CLI("run", "--metadata", "--as", SA_DEV, "--", "sh", "-c", show), 0);
	assert_string_equal(out, "[] 127.0.0.1\n");
	assert_non_null(strstr(err, "C++, Go and older Node.js programs use your own login in "));
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "sh", "-c", "test -s $GOOGLE_APPLICATION_CREDENTIALS"), 0);
	assert_string_equal(err, "");
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
}

/* For C++, and for programs that choose scopes themselves: the file that gcloud has. */
static void test_env_external_account_names_that_file(void **state) {
	static const char types[] = "cat $GOOGLE_APPLICATION_CREDENTIALS | grep -o 'external_account[a-z_]*'; "
				    "test $GOOGLE_APPLICATION_CREDENTIALS = $CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE && echo same";

	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--", "sh", "-c", types), 1);
	assert_string_equal(out, "external_account_authorized_user\n");
	assert_int_equal(CLI("run", "--external-account", "--as", SA_DEV, "--", "sh", "-c", types), 0);
	assert_string_equal(out, "external_account\nsame\n");
	assert_int_equal(CLI("run", "--external-account", "--metadata", "--as", SA_DEV, "--", "true"), 64);
	assert_non_null(strstr(err, "which?"));
}

static void test_env_is_evaluated_by_a_shell(void **state) {
	struct running r;
	json_t *records;

	(void)state;
	world_daemon(&w);
	start(&w, &r, SH("eval \"$(\"$0\" env --as " SA_DEV ")\"; echo host $GCE_METADATA_HOST; dir=$HALLPASS_SESSION_DIR; test -s $dir/token && echo "
			 "token there; sleep 0.2; test -s $dir/token && echo still; eval \"$(\"$0\" env --end)\"; echo ended "
			 "[$GCE_METADATA_HOST$HALLPASS_SESSION_DIR$NO_PROXY$HALLPASS_TOKEN_FILE$HALLPASS_HANDLE_FILE]; test -e $dir || echo gone; \"$0\" env --end; echo code $?"));
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "host 127.0.0.1:"));
	assert_non_null(strstr(r.text, "token there\nstill\nended []\ngone\n"));
	assert_non_null(strstr(r.text, "this shell has no session"));
	assert_non_null(strstr(r.text, "code 64\n"));
	records = records_wait(&w, "closed", 1);
	assert_int_equal(records_count(records, "opened"), 1);
	json_decref(records);
}

/* Whatever the shell ends by. In between the holder keeps no pipe of its open. */
static void test_env_ends_with_its_shell(void **state) {
	static const char line[] = "eval \"$(\"$0\" env --as " SA_DEV ")\"; echo $HALLPASS_SESSION_DIR .; read wait";
	char dir[200];
	struct running r;

	(void)state;
	world_daemon(&w);
	for (int how = 0; how < 2; how++) {
		start_on_terminal(&w, &r, 200, SH(line));
		assert_true(wait_for(&r, " ."));
		assert_int_equal(sscanf(r.text, "%199s", dir), 1);
		assert_int_equal(access(dir, F_OK), 0);
		if (how)
			kill(r.pid, SIGKILL);
		else
			assert_int_equal(write(r.fd, "\n", 1), 1);
		finish(&r);
		json_decref(records_wait(&w, "closed", (size_t)how + 1));
		for (int i = 0; i < 2000 && access(dir, F_OK) == 0; i++)
			poll(NULL, 0, 5);
		assert_int_equal(access(dir, F_OK), -1);
	}
}

static void reload(const char *policy) {
	struct answer a;

	world_policy(&w, policy);
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
}

/* The shell is told what a command of `run` is told: by the holder, while the shell waits at its prompt. */
static void test_env_warns_on_the_shells_terminal(void **state) {
	static const char line[] = "eval \"$(\"$0\" env --as " SA_DEV ")\"; printf 'prompt> '; read wait; eval \"$(\"$0\" env --end)\"";
	char policy[1024], until[32];
	struct running r;
	struct tm tm;
	time_t t;

	(void)state;
	world_daemon(&w);
	for (int span = 60; span <= 303; span += 243) { /* begun within the last five minutes, and shortly before them */
		t = (time_t)now_s() + span;
		strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
		snprintf(policy, sizeof(policy), "version: 1\nbindings:\n  - {name: shift, members: [\"" ME "\"], serviceAccounts: [" SA_DEV
						 "], condition: {title: This shift, expression: 'request.time < timestamp(\"%s\")'}}\n",
			 until);
		reload(policy);
		start_on_terminal(&w, &r, 200, SH(line));
		assert_true(wait_for(&r, "(This shift)"));
		assert_true(wait_for(&r, "prompt> "));
		assert_int_equal(write(r.fd, "\n", 1), 1);
		assert_int_equal(finish(&r), 0);
		assert_int_equal(occurrences(r.text, "the window for " SA_DEV " closes in "), 1);
	}
	reload(POLICY_DEV);
	start_on_terminal(&w, &r, 200, SH(line));
	assert_true(wait_for(&r, "prompt> "));
	world_stop(&w, SIGTERM);
	assert_true(wait_for(&r, "hallpass: the broker is gone"));
	assert_non_null(strstr(r.text, "prompt> \r")); /* on a line of its own */
	world_daemon(&w);
	assert_true(wait_for(&r, "hallpass: the broker is back, and the session goes on"));
	assert_int_equal(write(r.fd, "\n", 1), 1);
	assert_int_equal(finish(&r), 0);
}

/* A second `env` in the same shell takes the place of the first. */
static void test_env_again_is_another_session(void **state) {
	struct running r;
	json_t *records;

	(void)state;
	world_policy(&w, "version: 1\nbindings:\n  - {name: both, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL "]}\n");
	world_daemon(&w);
	start(&w, &r, SH("eval \"$(\"$0\" env --as " SA_DEV ")\"; first=$HALLPASS_SESSION_DIR; eval \"$(\"$0\" env --as " SA_LABEL ")\"; test -e $first || echo "
			 "first gone; test -e $HALLPASS_SESSION_DIR && echo $HALLPASS_AS $NO_PROXY"));
	assert_int_equal(finish(&r), 0);
	assert_string_equal(r.text, "first gone\n" SA_LABEL " 127.0.0.1,localhost\n");
	records = records_wait(&w, "closed", 2);
	json_decref(records);
}

/* Whatever it was, and however often the shell became somebody else in between. */
static void test_env_end_puts_back_what_was_before(void **state) {
	struct running r;

	(void)state;
	world_policy(&w, "version: 1\nbindings:\n  - {name: both, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL "]}\n");
	world_daemon(&w);
	start(&w, &r, SH("export GOOGLE_APPLICATION_CREDENTIALS=/mine.json CLOUDSDK_CORE_PROJECT=\"it's mine\" GOOGLE_OAUTH_ACCESS_TOKEN=x NO_PROXY=here; "
			 "unset CLOUDSDK_CONFIG BOTO_PATH; env | grep -v ^_= | sort >$HALLPASS_SOCKET.before; "
			 "eval \"$(\"$0\" env --as " SA_DEV ")\"; test -s $GOOGLE_APPLICATION_CREDENTIALS && echo [$CLOUDSDK_CORE_PROJECT$GOOGLE_OAUTH_ACCESS_TOKEN]; "
			 "eval \"$(\"$0\" env --as " SA_LABEL ")\"; echo $HALLPASS_AS; eval \"$(\"$0\" env --end)\"; "
			 "env | grep -v ^_= | sort | diff $HALLPASS_SOCKET.before - && echo the same"));
	assert_int_equal(finish(&r), 0);
	assert_string_equal(r.text, "[acme-ml]\n" SA_LABEL "\nthe same\n");
}

/* The session is gone already, and with it what was before: what may be the user's own stays. */
static void test_env_end_without_a_session_takes_away_what_is_ours(void **state) {
	struct running r;

	(void)state;
	world_daemon(&w);
	start(&w, &r, SH("export SSL_CERT_FILE=/mine.pem; eval \"$(\"$0\" env --as " SA_DEV ")\"; \"$0\" env --end >/dev/null; ls $HALLPASS_TOKEN_FILE 2>&1 | grep -c such; "
			 "eval \"$(\"$0\" env --end)\"; echo [$GCE_METADATA_HOST$GOOGLE_APPLICATION_CREDENTIALS$CLOUDSDK_CONFIG$HALLPASS_AS$HALLPASS_SESSION_DIR] "
			 "$SSL_CERT_FILE ${HALLPASS_SOCKET##*.}"));
	assert_int_equal(finish(&r), 0);
	assert_string_equal(r.text, "1\n[] /mine.pem sock\n");
}

static void test_env_prints_for_each_shell(void **state) {
	(void)state;
	world_daemon(&w);
	setenv("NO_PROXY", "it's a \\ ! $x", 1);
	assert_int_equal(CLI("env", "--as", SA_DEV, "--shell", "sh"), 0);
	assert_non_null(strstr(out, "export NO_PROXY='it'\\''s a \\ ! $x,127.0.0.1,localhost'\n"));
	assert_non_null(strstr(out, "unset GOOGLE_CREDENTIALS\n"));
	assert_int_equal(CLI("env", "--as", SA_DEV, "--shell", "fish"), 0);
	assert_non_null(strstr(out, "set -gx NO_PROXY 'it\\'s a \\\\ ! $x,127.0.0.1,localhost'\n"));
	assert_non_null(strstr(out, "set -e GOOGLE_CREDENTIALS\n"));
	assert_int_equal(CLI("env", "--as", SA_DEV, "--shell=csh"), 0);
	assert_non_null(strstr(out, "setenv NO_PROXY 'it'\\''s a \\ '\\!' $x,127.0.0.1,localhost';\n"));
	assert_non_null(strstr(out, "unsetenv GOOGLE_CREDENTIALS;\n"));
	unsetenv("NO_PROXY");
	assert_int_equal(CLI("env", "--as", SA_DEV, "--shell", "powershell"), 64);
	assert_int_equal(CLI("env"), 64);
	assert_non_null(strstr(err, "as whom?"));
	assert_int_equal(CLI("env", "--as", SA_PROD), 77);
	assert_string_equal(out, "");
}

/* Waits until it has said something so often. */
static bool wait_for_times(struct running *r, const char *text, int times) {
	while (occurrences(r->text, text) < (size_t)times) {
		struct pollfd p = { .fd = r->fd, .events = POLLIN };
		ssize_t n = poll(&p, 1, 30000) > 0 ? read(r->fd, r->text + r->n, sizeof(r->text) - 1 - r->n) : -1;

		if (n <= 0)
			return false;
		r->n += (size_t)n;
		r->text[r->n] = '\0';
	}
	return true;
}

/* What a program does at that place that has read its credential file once. */
static void assert_refreshes(const struct session_of_test *at, const char *handle) {
	char headers[200], body[200];
	struct http_answer h;

	snprintf(headers, sizeof(headers), "Host: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n", at->host);
	snprintf(body, sizeof(body), "grant_type=refresh_token&refresh_token=%s", handle);
	http_ask(at->url, "POST", "/v1/token", headers, body, &h);
	if (h.status != 200)
		fail_msg("%s", h.text);
	http_answer_fini(&h);
}

/* The command goes on, and so does its session, with the next broker, at the same port and by the same handle. */
static void test_run_survives_a_restart_of_the_broker(void **state) {
	struct session_of_test at;
	struct http_answer h;
	struct running r;
	char handle[80];
	int port;

	(void)state;
	world_daemon(&w);
	start(&w, &r, (const char *const[]){ program("hallpass"), "run", "--as", SA_DEV, "--", "sh", "-c",
					    "echo $GCE_METADATA_HOST $(sed -n 's/.*refresh_token.*\"\\([0-9a-f]*\\)\".*/\\1/p' $GOOGLE_APPLICATION_CREDENTIALS) .; exec sleep 60", NULL });
	assert_true(wait_for(&r, " .\n"));
	assert_int_equal(sscanf(r.text, "127.0.0.1:%d %79[0-9a-f] .", &port, handle), 2);
	door_at(port, &at);
	assert_refreshes(&at, handle);
	for (int how = 0; how < 2; how++) {
		assert_int_equal(world_stop(&w, how ? SIGKILL : SIGTERM), how ? SIGKILL : 0);
		assert_true(wait_for_times(&r, "the broker is gone", how + 1));
		world_daemon(&w);
		json_decref(records_wait(&w, "opened", (size_t)how + 2));
		md(&at, "instance/service-accounts/default/token", &h);
		assert_int_equal(h.status, 200);
		http_answer_fini(&h);
		assert_refreshes(&at, handle);
	}
	kill(r.pid, SIGTERM);
	assert_int_equal(finish(&r), 128 + SIGTERM);
	assert_int_equal(occurrences(r.text, "the broker is gone"), 2);
	assert_int_equal(occurrences(r.text, "the session goes on"), 2);
}

/* Somebody else has the port by then: that is said, for what was started before would ask him. */
static void test_run_says_that_its_port_is_lost(void **state) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct running r;
	char says[64];
	int port, squatter = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	world_daemon(&w);
	start(&w, &r, (const char *const[]){ program("hallpass"), "run", "--as", SA_DEV, "--", "sh", "-c", "echo $GCE_METADATA_HOST .; exec sleep 60", NULL });
	assert_true(wait_for(&r, " .\n"));
	assert_int_equal(sscanf(r.text, "127.0.0.1:%d", &port), 1);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	in.sin_port = htons((uint16_t)port);
	setsockopt(squatter, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	assert_int_equal(bind(squatter, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(squatter, 1), 0);
	world_daemon(&w);
	snprintf(says, sizeof(says), "port %d could not be had again", port);
	assert_true(wait_for(&r, says));
	close(squatter);
	kill(r.pid, SIGTERM);
	assert_int_equal(finish(&r), 128 + SIGTERM);
}

/* A session that was ended on purpose is not opened again. */
static void test_run_keeps_to_the_end_of_its_session(void **state) {
	struct running r;
	struct answer a;
	char path[64];
	json_t *records, *also;

	(void)state;
	world_daemon(&w);
	start(&w, &r, (const char *const[]){ program("hallpass"), "run", "--as", SA_DEV, "--also", SA_LABEL, "--also=" SA_BATCH, "--", "sleep", "60", NULL });
	records = records_wait(&w, "opened", 1);
	also = json_object_get(records_last(records, "opened"), "also");
	assert_int_equal(json_array_size(also), 2);
	assert_string_equal(json_string_value(json_array_get(also, 1)), SA_BATCH);
	snprintf(path, sizeof(path), "/v1/sessions/%s", json_string_value(json_object_get(records_last(records, "opened"), "session")));
	json_decref(records);
	ask(&w, "DELETE", path, NULL, &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	assert_true(wait_for(&r, "the session was ended; tokens are no longer given at port"));
	kill(r.pid, SIGTERM);
	assert_int_equal(finish(&r), 128 + SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "opened"), 1);
	json_decref(records);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_env_of_a_command),
		SCENARIO(test_env_metadata_names_no_file),
		SCENARIO(test_env_external_account_names_that_file),
		SCENARIO(test_env_is_evaluated_by_a_shell),
		SCENARIO(test_env_ends_with_its_shell),
		SCENARIO(test_env_warns_on_the_shells_terminal),
		SCENARIO(test_env_again_is_another_session),
		SCENARIO(test_env_end_puts_back_what_was_before),
		SCENARIO(test_env_end_without_a_session_takes_away_what_is_ours),
		SCENARIO(test_env_prints_for_each_shell),
		SCENARIO(test_run_survives_a_restart_of_the_broker),
		SCENARIO(test_run_says_that_its_port_is_lost),
		SCENARIO(test_run_keeps_to_the_end_of_its_session),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
