/* hallpass as people run it: tokens, run, exit codes, what is told and what is not. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/buf.h"
#include "hallpass/cleanup.h"
#include "tests/lib/running.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

static struct world w;
static char out[65536], err[65536];

#define CLI(...) run_cli(&w, out, sizeof(out), err, sizeof(err), __VA_ARGS__, NULL)
/* Refusals and reloads ride with the next batch: their records may come a moment after the answer. */
#define LOG_UNTIL(text, ...)                                \
	do                                                  \
		assert_int_equal(CLI("log", __VA_ARGS__), 0); \
	while (!strstr(out, text))

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

#define HALLPASS(...) ((const char *const[]){ program("hallpass"), __VA_ARGS__, NULL })

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

/* The name before the @, without the -sa that many end in, of what the policy gives: never of two. */
static void test_cli_takes_short_names(void **state) {
	(void)state;
	assert_int_equal(CLI("token", "ml-training-dev"), 69);
	world_policy(&w, "version: 1\nbindings:\n"
			 "  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", ml-eval-sa@a.iam.gserviceaccount.com, ml-eval-sa@b.iam.gserviceaccount.com]}\n"
			 "  - {name: more, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL ", \"*@c.iam.gserviceaccount.com\"]}\n"
			 "  - {name: others, members: [\"user:eve@example.com\"], serviceAccounts: [" SA_PROD "]}\n");
	world_daemon(&w);
	assert_int_equal(CLI("token", "ml-training-dev-sa"), 0);
	assert_int_equal(strncmp(out, "ya29.", 5), 0);
	assert_int_equal(CLI("run", "--as", "ml-training-dev", "--also", "ml-labeling-dev", "--", "/bin/sh", "-c", "echo $HALLPASS_AS $CLOUDSDK_CORE_ACCOUNT"), 0);
	assert_string_equal(out, SA_DEV " " SA_DEV "\n");
	assert_int_equal(CLI("why", "ml-labeling-dev"), 0);
	assert_int_equal(CLI("token", "ml-eval"), 64);
	assert_non_null(strstr(err, "ml-eval stands for more than one account of yours"));
	assert_int_equal(CLI("token", "ml-trainig-dev-sa"), 64);
	assert_non_null(strstr(err, "no account of yours is called ml-trainig-dev-sa; did you mean ml-training-dev-sa?\nhint: `hallpass list`"));
	assert_int_equal(CLI("token", "ml-training-prod"), 64); /* not his, so not by that name */
	assert_int_equal(CLI("token", SA_PROD), 77);
	assert_int_equal(CLI("setup", "git", "--dry-run", "--as", "ml-training-dev"), 0);
	assert_non_null(strstr(out, "--default-as " SA_DEV));
}

/* What does not stand in a list that was cut may be called so, too. */
static void test_cli_takes_no_short_name_from_half_a_list(void **state) {
	struct buf policy = BUF_INIT(4 << 20);

	(void)state;
	buf_adds(&policy, "version: 1\nbindings:\n  - name: many\n    members: [\"" ME "\"]\n    serviceAccounts:\n      - " SA_DEV "\n");
	for (int i = 0; i < 8000; i++)
		buf_addf(&policy, "      - \"worker-%d@acme-ml.iam.gserviceaccount.com\"\n", i);
	buf_adds(&policy, "      - ml-training-dev-sa@other.iam.gserviceaccount.com\n");
	world_policy(&w, policy.data);
	buf_fini(&policy);
	world_daemon(&w);
	assert_int_equal(CLI("token", "ml-training-dev"), 64);
	assert_non_null(strstr(err, "give the whole address"));
	assert_int_equal(CLI("token", SA_DEV), 0);
}

static void test_cli_exit_codes(void **state) {
	(void)state;
	assert_int_equal(CLI("token", SA_DEV), 69); /* no broker yet */
	assert_non_null(strstr(err, "no broker at"));
	assert_non_null(strstr(err, "hint: start it"));
	assert_int_equal(CLI("token", SA_DEV, "--json"), 69);
	assert_non_null(strstr(out, "\"code\":503"));
	assert_non_null(strstr(out, "\"status\":\"UNAVAILABLE\""));
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
	assert_int_equal(CLI("token", "--lifetime", "3m", SA_DEV), 70);
	assert_non_null(strstr(err, "roles/iam.serviceAccountTokenCreator"));
	assert_null(strstr(err, ".;")); /* Google's sentence goes on in ours */
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

/* The broker answers, so it is not unreachable, whatever it cannot find. */
static void test_cli_reload_without_a_file_is_refused(void **state) {
	char path[256];

	(void)state;
	world_daemon(&w);
	snprintf(path, sizeof(path), "%s/policy.yaml", w.dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(CLI("reload"), 78);
	assert_non_null(strstr(err, "refused: no policy at "));
	assert_non_null(strstr(err, "what was in force stays in force"));
	assert_null(strstr(err, "unreachable"));
	assert_int_equal(CLI("reload", "--json"), 78);
	assert_non_null(strstr(out, "RELOAD_REFUSED"));
	assert_int_equal(CLI("token", SA_DEV), 0);
}

/* Who runs the broker may look after it, and may have nothing from it, where `peers:` does not name that uid. */
static void test_cli_the_brokers_own_uid_may_reload(void **state) {
	char uid[32];

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: 4294967293, principal: \"user:other@example.com\"}]\n");
	world_daemon(&w);
	assert_int_equal(CLI("reload"), 0);
	assert_int_equal(CLI("status"), 0);
	LOG_UNTIL("\"principal\":\"uid:", "--result", "reload", "--json");
	assert_int_equal(CLI("log", "--result", "reload"), 0);
	assert_non_null(strstr(out, "RELOADED: policy "));
	assert_int_equal(CLI("token", SA_DEV), 77);
	snprintf(uid, sizeof(uid), "uid:%u", (unsigned)getuid());
	LOG_UNTIL("UNKNOWN_CALLER", "--who", uid, "--result", "denied");
	assert_non_null(strstr(out, uid)); /* whom no rule knows is still a uid */
	assert_int_equal(CLI("whoami"), 77);
	assert_int_equal(CLI("list"), 77);
	assert_int_equal(CLI("why", SA_DEV), 77);
	assert_int_equal(CLI("token", SA_DEV), 77);
	assert_non_null(strstr(err, "is nobody here"));
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

/* What is no issuance has words of its own in the table. */
static void test_cli_log_tells_of_sessions_and_doctors(void **state) {
	char text[80];
	struct session_of_test s;

	(void)state;
	world_daemon(&w);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\"}", &s);
	snprintf(text, sizeof(text), "session at port %d", s.port);
	LOG_UNTIL(text, "--result", "opened");
	session_leave(&s);
	snprintf(text, sizeof(text), "CLIENT_LEFT: session at port %d gave 0 tokens", s.port);
	LOG_UNTIL(text, "--result", "closed");
	CLI("doctor", SA_DEV);
	LOG_UNTIL("looked at " SA_DEV, "--result", "doctor");
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
	assert_non_null(strstr(err, "no command \"policy chek\"; did you mean check?"));
}

/* Warnings are told, and taken; --strict takes none, and --portable knows some more. */
static void test_cli_policy_check_is_as_strict_as_asked(void **state) {
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/policy.yaml", w.dir);
	world_policy(&w, "version: 1\nbindings:\n  - name: a\n    members: [\"" ME "\"]\n    serviceAccounts: [" SA_DEV
			 "]\n    maxLifetime: 2h\n    condition: {expression: 'request.peer.uid > 0'}\n");
	assert_int_equal(CLI("policy", "check", path), 0);
	assert_non_null(strstr(out, "lifetime-over-1h"));
	assert_null(strstr(out, "iam-attribute"));
	assert_non_null(strstr(out, ": good  1 binding, 0 deny rules, 0 groups, 0 passed tests, 1 warning\n"));
	assert_int_equal(CLI("policy", "check", "--strict", path), 78);
	assert_non_null(strstr(out, ": not good enough  1 binding"));
	assert_int_equal(CLI("policy", "check", "--portable", path), 0);
	assert_non_null(strstr(out, "iam-attribute"));
	assert_non_null(strstr(out, ", 2 warnings\n"));
	assert_int_equal(CLI("policy", "check", "--strict", "--json", path), 78);
	assert_non_null(strstr(out, "\"good\":false"));
	assert_null(strstr(out, "\"id\":\"iam-attribute\""));
	world_policy(&w, "version: 1\nbindings:\n  - name: a\n    members: [\"" ME "\"]\n    serviceAccounts: [" SA_DEV
			 "]\n    maxLifetime: 2h # hallpass: ignore=lifetime-over-1h\n");
	assert_int_equal(CLI("policy", "check", "--strict", path), 0);
}

static void test_cli_prints_the_schema_and_the_lints(void **state) {
	json_t *json;

	(void)state;
	assert_int_equal(CLI("policy", "lints"), 0);
	assert_non_null(strstr(out, "account-wildcard\n  this lends every account"));
	assert_int_equal(CLI("policy", "lints", "--json"), 0);
	json = json_loads(out, 0, NULL);
	assert_true(json_array_size(json) > 20);
	json_decref(json);
	assert_int_equal(CLI("policy", "schema"), 0);
	assert_non_null(strstr(out, "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\""));
}

static void assert_json_lines(const char *what) {
	char copy[sizeof(out)], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", out);
	assert_true(*copy);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		json_t *json = json_loads(line, 0, NULL);

		if (!json)
			fail_msg("%s --json: %s", what, line);
		json_decref(json);
	}
	assert_string_equal(err, "");
}

static void test_cli_json_parses_everywhere(void **state) {
	static const struct {
		const char *words[6];
		int code;
	} cases[] = {
		{ { "token", SA_DEV }, 0 },	  { { "id-token", SA_BATCH, "--audience", "https://x.example" }, 0 },
		{ { "token", SA_PROD }, 77 },	  { { "list" }, 0 },
		{ { "why", SA_DEV }, 0 },	  { { "why", SA_PROD }, 0 },
		{ { "log" }, 0 },		  { { "log", "-n", "1" }, 0 },
		{ { "log", "--dir", "/nonexistent" }, 69 }, { { "whoami" }, 0 },
		{ { "status" }, 0 },		  { { "reload" }, 0 },
		{ { "version" }, 0 },		  { { "help" }, 0 },
		{ { "help", "run" }, 0 },	  { { "policy", "check", "/nonexistent" }, 78 },
		{ { "token", "no-account" }, 64 }, { { "token", SA_DEV, "--socket", "/nonexistent" }, 69 },
		{ { "run", "--as", SA_PROD, "--", "true" }, 77 },
	};

	(void)state;
	world_policy(&w, POLICY_DEV "  - {name: id, members: [\"" ME "\"], serviceAccounts: [" SA_BATCH
				    "], permissions: [getOpenIdToken], maxLifetime: 12h}\n");
	snprintf(w.config_more, sizeof(w.config_more), "limits: {maxLifetime: 2h}\n");
	world_daemon(&w);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const *c = cases[i].words;

		assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), "--json", c[0], c[1], c[2], c[3], c[4], NULL),
				 cases[i].code);
		assert_json_lines(c[0]);
	}
}

static void test_cli_explains_in_words(void **state) {
	(void)state;
	world_policy(&w, POLICY_DEV "  - {name: later, members: [\"" ME "\"], serviceAccounts: [" SA_PROD
				    "], notBefore: 2099-01-01T00:00:00Z}\n"
				    "  - {name: never, members: [\"" ME "\"], serviceAccounts: [" SA_PROD
				    "], condition: {title: Not at all, expression: 'request.peer.uid < 0'}}\n"
				    "  - {name: odd, members: [\"" ME "\"], serviceAccounts: [" SA_PROD
				    "], condition: {expression: 'request.audience == \"x\"'}}\n"
				    "  - {name: over, members: [\"" ME "\"], serviceAccounts: [" SA_LABEL
				    "], notAfter: 2020-01-01T00:00:00Z}\n"
				    "  - {name: logs, members: [\"" ME "\"], serviceAccounts: [" SA_BATCH
				    "], scopes: [https://www.googleapis.com/auth/logging.read]}\n"
				    "denyRules:\n  - {name: nobody, deniedPrincipals: [\"user:nobody@example.com\"]}\n");
	world_daemon(&w);
	assert_int_equal(CLI("why", SA_DEV), 0);
	assert_non_null(strstr(out, "allowed by dev for 30m (bound by maxLifetime)"));
	assert_non_null(strstr(out, "6 other rules are about somebody or something else"));
	assert_int_equal(CLI("why", "-v", SA_DEV), 0);
	assert_non_null(strstr(out, "is about other accounts"));
	assert_non_null(strstr(out, "nobody does not name you"));
	assert_int_equal(CLI("why", SA_PROD), 0);
	assert_non_null(strstr(out, "later: not yet until 2099-01-01"));
	assert_non_null(strstr(out, "never (Not at all): condition is false"));
	assert_non_null(strstr(out, "false: request.peer.uid < 0"));
	assert_non_null(strstr(out, "request.peer.uid = "));
	assert_non_null(strstr(out, "odd: condition cannot be evaluated: "));
	assert_int_equal(CLI("why", SA_PROD, "--at", "2099-06-01T00:00:00Z"), 0);
	assert_non_null(strstr(out, "allowed by later"));
	assert_int_equal(CLI("why", SA_LABEL, "--at", "+2h"), 0);
	assert_non_null(strstr(out, "over: over since 2020-01-01"));
	assert_int_equal(CLI("why", SA_BATCH, "--scopes", "devstorage.read_write"), 0);
	assert_non_null(strstr(out, "logs: none of the scopes is under its ceiling"));
	assert_int_equal(CLI("why", SA_DEV, "--permission", "signBlob"), 0);
	assert_non_null(strstr(out, "denied: "));
	assert_int_equal(CLI("why", SA_DEV, "--at", "tomorrow"), 64);
	assert_int_equal(CLI("why", SA_DEV, "--permission", "fly"), 64);
	assert_int_equal(CLI("token", SA_PROD), 77);
	assert_non_null(strstr(err, "`hallpass why " SA_PROD "` explains it")); /* to copy, not to fill in */
	assert_int_equal(CLI("id-token", "--audience", "https://x.example", SA_DEV), 77);
	assert_non_null(strstr(err, "`hallpass why --permission getOpenIdToken " SA_DEV "` explains it"));
}

static void test_cli_lists_until_when(void **state) {
	char policy[1024], until[32];
	time_t t = (time_t)now_s() + 7260;
	struct tm tm;

	(void)state;
	strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	snprintf(policy, sizeof(policy), POLICY_DEV "  - {name: shift, members: [\"" ME "\"], serviceAccounts: [" SA_LABEL
						    "], condition: {expression: 'request.time < timestamp(\"%s\")'}}\n"
						    "  - {name: over, members: [\"" ME "\"], serviceAccounts: [" SA_PROD
						    "], notAfter: 2020-01-01T00:00:00Z}\n"
						    "  - {name: all, members: [\"" ME "\"], serviceAccounts: [\"*@p.iam.gserviceaccount.com\"]}\n",
		 until);
	world_policy(&w, policy);
	world_daemon(&w);
	assert_int_equal(CLI("list"), 0);
	assert_non_null(strstr(out, "no end in sight"));
	assert_non_null(strstr(out, ", in 2h")); /* further than any token lives */
	assert_non_null(strstr(out, "*@p.iam.gserviceaccount.com"));
	assert_int_equal(CLI("list", "--names"), 0);
	assert_string_equal(out, SA_DEV "\n" SA_LABEL "\n" SA_PROD "\n");
	world_policy(&w, "version: 1\n");
	assert_int_equal(CLI("reload"), 0);
	assert_int_equal(CLI("list"), 0);
	assert_non_null(strstr(out, "may be nobody"));
}

static void test_cli_list_says_when_there_are_more(void **state) {
	size_t size = 1 << 20, n;
	char *policy = malloc(size);

	(void)state;
	assert_non_null(policy);
	n = (size_t)snprintf(policy, size, "version: 1\nbindings:\n");
	for (int i = 0; i < 6000; i++)
		n += (size_t)snprintf(policy + n, size - n, "- {name: b%d, members: [\"" ME "\"], serviceAccounts: [sa-%d@p.example]}\n", i, i);
	world_policy(&w, policy);
	free(policy);
	world_daemon(&w);
	assert_int_equal(CLI("list", "--names"), 0);
	assert_int_equal(strncmp(out, "sa-0@p.example\nsa-1@p.example\n", 30), 0);
	assert_non_null(strstr(err, "hallpass: there are more: only the first "));
	world_policy(&w, POLICY_DEV);
	assert_int_equal(CLI("reload"), 0);
	assert_int_equal(CLI("list"), 0);
	assert_string_equal(err, "");
}

static void test_cli_id_token(void **state) {
	(void)state;
	world_policy(&w, "version: 1\nbindings:\n  - {name: id, members: [\"" ME "\"], serviceAccounts: [" SA_DEV
			 "], permissions: [getOpenIdToken], maxLifetime: 12h}\n");
	snprintf(w.config_more, sizeof(w.config_more), "limits: {maxLifetime: 2h}\n");
	world_daemon(&w);
	assert_int_equal(CLI("id-token", SA_DEV), 64);
	assert_non_null(strstr(err, "--audience"));
	assert_int_equal(CLI("id-token", "-v", "--include-email", "--audience=https://x.example", SA_DEV), 0);
	assert_int_equal(occurrences(out, "."), 2); /* a JWT */
	assert_non_null(strstr(err, "hallpass: id, for "));
}

static void test_cli_parses_its_options(void **state) {
	static char usage[sizeof(out) + 32];

	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("token", "-l5m", "-v", "--as", SA_DEV), 0);
	assert_non_null(strstr(err, "for 5m, until "));
	assert_non_null(strstr(err, "bound by request"));
	assert_int_equal(CLI("--color", "sometimes", "list"), 64);
	assert_int_equal(CLI("list", "--json=yes"), 64);
	assert_int_equal(CLI("list", "--socket"), 64);
	assert_int_equal(CLI("list", "extra"), 64);
	assert_int_equal(CLI("policy"), 64);
	assert_non_null(strstr(err, "hallpass policy what? There are: check"));
	assert_int_equal(CLI("policy", "--help"), 0);
	assert_non_null(strstr(out, "\n  policy check  "));
	assert_null(strstr(out, "whoami"));
	assert_int_equal(CLI("help", "policy", "check"), 0);
	assert_non_null(strstr(out, "usage: hallpass policy check [options] FILE"));
	assert_int_equal(CLI("help", "policy", "chek"), 64);
	assert_int_equal(CLI("run", "--as", SA_DEV), 64);
	assert_int_equal(CLI("run", "--", "true"), 64);
	assert_int_equal(CLI("run", "--as", SA_DEV, "--lifetime", "soon", "--", "true"), 64);
	assert_int_equal(CLI("help", "tokn"), 64);
	assert_non_null(strstr(err, "did you mean token"));
	assert_int_equal(CLI("help", "--completion", "tcsh"), 64);
	assert_int_equal(CLI("token", "--help"), 0);
	assert_non_null(strstr(out, "usage: hallpass token"));
	assert_int_equal(CLI("--help"), 0);
	assert_int_equal(strncmp(out, "usage: hallpass COMMAND", 23), 0);
	assert_string_equal(err, "");
	snprintf(usage, sizeof(usage), "hallpass: which command?\n%s", out);
	assert_int_equal(run_cli(&w, out, sizeof(out), err, sizeof(err), NULL), 64); /* nothing at all */
	assert_string_equal(out, "");
	assert_string_equal(err, usage);
	assert_int_equal(CLI("--json"), 64);
	assert_int_equal(CLI("--version"), 0);
	assert_int_equal(strncmp(out, "hallpass ", 9), 0);
	assert_int_equal(CLI("list", "--color", "always"), 0);
	assert_non_null(strstr(out, "\x1b["));
	assert_int_equal(CLI("list"), 0);
	assert_null(strstr(out, "\x1b["));
	assert_int_equal(CLI("token", "-d", SA_LABEL, SA_DEV), 77); /* through a delegate that the policy does not give */
	assert_int_equal(CLI("token", "\xff@x.iam.gserviceaccount.com"), 64);
}

static void test_cli_does_not_keep_silent_of_a_full_disk(void **state) {
	static const char line[] = "\"$0\" version >/dev/full";
	struct running r;

	(void)state;
	start(&w, &r, (const char *const[]){ "/bin/sh", "-c", line, program("hallpass"), NULL });
	assert_int_equal(finish(&r), 70);
	assert_non_null(strstr(r.text, "standard output"));
}

static void test_cli_log_reads_without_a_broker_and_checks_its_options(void **state) {
	char dir[200];

	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("token", SA_DEV), 0);
	assert_int_equal(CLI("token", SA_PROD), 77);
	assert_int_equal(CLI("log", "--who", "nobody@"), 0);
	assert_null(strstr(out, "issued"));
	LOG_UNTIL("training-prod", "--who", "me@", "--target", "training-prod");
	assert_non_null(strstr(out, "CONDITION") ? out : strstr(out, "NO_BINDING"));
	assert_null(strstr(out, SA_DEV));
	assert_int_equal(CLI("log", "--result", "issued,denied"), 0);
	assert_non_null(strstr(out, " issued "));
	assert_non_null(strstr(out, " denied "));
	assert_null(strstr(out, " intent "));
	assert_int_equal(CLI("log", "--result", "denied,isued"), 64);
	assert_non_null(strstr(err, "the type \"isued\"; they are intent issued"));
	assert_int_equal(CLI("log", "--result", "denied,"), 64);
	assert_int_equal(CLI("log", "-n", "0"), 64);
	assert_int_equal(CLI("log", "-n", "many"), 64);
	assert_int_equal(WEXITSTATUS(world_stop(&w, SIGTERM)), 0);
	snprintf(dir, sizeof(dir), "%s/audit", w.dir);
	assert_int_equal(CLI("log", "--dir", dir), 0);
	assert_non_null(strstr(out, "30m by maxLifetime"));
	assert_non_null(strstr(out, "stop"));
	assert_int_equal(CLI("log", "--dir", w.dir), 69);
	setenv("HOME", "/nonexistent", 1);
	if (access("/var/lib/hallpass/audit", F_OK) < 0)
		assert_int_equal(CLI("log"), 69); /* no broker, and no record where one would keep it */
	setenv("XDG_STATE_HOME", w.dir, 1);
	setenv("HOME", w.dir, 1);
	snprintf(dir, sizeof(dir), "%s/hallpass", w.dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(dir, sizeof(dir), "ln -s ../audit %s/hallpass/audit", w.dir);
	assert_int_equal(system(dir), 0);
	assert_int_equal(CLI("log"), 0); /* where one's own broker would keep it */
	assert_non_null(strstr(out, "30m by maxLifetime"));
	unsetenv("XDG_STATE_HOME");
}

static void test_cli_log_tells_what_nobody_waited_for(void **state) {
	int fd;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 200}");
	fd = ask_begin(&w, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_DEV "\"}");
	while (google_calls(&w, "generateAccessToken") == 0)
		;
	close(fd);
	LOG_UNTIL(SA_DEV, "--result", "issued");
	assert_non_null(strstr(out, "30m, not delivered")); /* bound by whose request? nobody's */
}

static void test_cli_log_tells_of_a_torn_tail(void **state) {
	char command[300];

	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("token", SA_DEV), 0);
	assert_int_equal(WEXITSTATUS(world_stop(&w, SIGTERM)), 0);
	snprintf(command, sizeof(command), "truncate -s -20 %s/audit/journal/000001.j", w.dir);
	assert_int_equal(system(command), 0);
	world_daemon(&w);
	assert_int_equal(CLI("token", SA_DEV), 0); /* and what was to be told before it */
	assert_int_equal(CLI("log", "--result", "recovered"), 0);
	assert_non_null(strstr(out, " bytes of 000001.j were no whole frame and do not count"));
}

static void test_cli_log_tells_of_a_damaged_record(void **state) {
	char command[300];

	(void)state;
	world_daemon(&w);
	assert_int_equal(CLI("token", SA_DEV), 0);
	assert_int_equal(CLI("token", SA_PROD), 77);
	assert_int_equal(CLI("whoami"), 0);
	assert_int_equal(WEXITSTATUS(world_stop(&w, SIGTERM)), 0);
	snprintf(command, sizeof(command), "sed -i 's/\"type\":\"issued\"/\"type\":\"denied\"/' %s/audit/journal/*",
		 w.dir);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "%s/audit", w.dir);
	assert_int_equal(CLI("log", "--dir", command), 70);
	assert_non_null(strstr(err, "corrupt"));
}

static void test_cli_log_follows(void **state) {
	struct running r;

	(void)state;
	world_daemon(&w);
	start(&w, &r, HALLPASS("log", "--follow"));
	assert_true(wait_for(&r, "start"));
	assert_int_equal(CLI("token", SA_DEV), 0);
	assert_true(wait_for(&r, "issued"));
	assert_int_equal(CLI("token", SA_PROD), 77);
	assert_true(wait_for(&r, "denied"));
	assert_int_equal(occurrences(r.text, "RESULT"), 1); /* one heading */
	kill(r.pid, SIGINT);
	assert_int_equal(finish(&r), 128 + SIGINT);
}

/* A terminal: colour, folded tables, a spinner while the broker is slow; none of it where NO_COLOR says so. */
static void test_cli_on_a_terminal(void **state) {
	struct running r;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"times\": 1, \"latency_ms\": 700}");
	start_on_terminal(&w, &r, 60, HALLPASS("token", SA_DEV));
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "waiting for the broker"));
	assert_non_null(strstr(r.text, "\r\x1b[K")); /* and gone when the token comes */
	assert_non_null(strstr(r.text, "ya29."));
	assert_non_null(strstr(r.text, "hallpass: dev, for ")); /* the note, since a person is looking */
	start_on_terminal(&w, &r, 60, HALLPASS("list"));
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "\x1b[32m"));
	assert_non_null(strstr(r.text, SA_DEV)); /* whole, on a line of its own part */
	assert_true(occurrences(r.text, "\r\n") >= 4);
	start_on_terminal(&w, &r, 0, HALLPASS("list", "--json"));
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "\n  \"accounts\"")); /* pretty */
	setenv("NO_COLOR", "1", 1);
	start_on_terminal(&w, &r, 40, HALLPASS("help", "run"));
	assert_int_equal(finish(&r), 0);
	assert_null(strstr(r.text, "\x1b["));
	for (const char *line = r.text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n'))
		assert_true(!strncmp(line, "usage", 5) || !strncmp(line, "  ", 2) || strcspn(line, "\r\n") < 40);
	unsetenv("NO_COLOR");
}

static void test_cli_man_page_and_completion_come_from_the_table(void **state) {
	static const char *const names[] = { "token", "id-token", "run", "list", "why", "policy check", "log", "whoami", "status", "reload" };
	static const char *const shells[] = { "bash", "zsh", "fish" };
	char cm[64];

	(void)state;
	assert_int_equal(CLI("help", "--man"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(cm, sizeof(cm), ".Cm %s\n", names[i]);
		assert_non_null(strstr(out, cm));
	}
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		assert_int_equal(CLI("help", "--completion", shells[i]), 0);
		for (size_t k = 0; k < ARRAY_SIZE(names); k++)
			assert_non_null(strstr(out, strrchr(names[k], ' ') ? strrchr(names[k], ' ') + 1 : names[k]));
	}
}

/* Bash's completion, run: a command, an option, an option's value, an account that the broker knows, a command to run. */
static void test_cli_completion_completes(void **state) {
	static const char script[] =
		"PATH=$1:$PATH; eval \"$(hallpass help --completion bash)\"\n"
		"try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _hallpass; echo \"${COMPREPLY[*]}\"; }\n"
		"try hallpass who\n"
		"try hallpass token --life\n"
		"try hallpass list --color al\n"
		"try hallpass why ml-training-d\n"
		"try hallpass run --as ml-training-d\n"
		"try hallpass run --as x -- tru\n"
		"try hallpass log --result iss\n"
		"try hallpass policy ch\n"
		"try hallpass policy check --js\n"
		"try hallpass token --reason wh\n";
	char build[256];
	struct running r;

	(void)state;
	world_daemon(&w);
	assert_non_null(realpath(program("."), build));
	start(&w, &r, (const char *const[]){ "/bin/bash", "-c", script, "bash", build, NULL });
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "whoami\n--lifetime\nalways\n" SA_DEV "\n" SA_DEV "\n"));
	assert_non_null(strstr(r.text, "true"));
	assert_non_null(strstr(r.text, "\nissued\ncheck\n--json\n\n"));
}

/* --- brokers that are none */

/* Answers one connection at path with a text and goes; as: the uid that it has then. It is there once it listens: until then by another name. */
static pid_t start_liar(const char *path, const char *answer, uid_t as) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char request[4096];
	pid_t pid;

	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s.new", path);
	unlink(path);
	pid = fork(); /* who listens is who the kernel names to those who connect */
	if (pid) {
		close(fd);
		while (access(path, F_OK) < 0)
			poll(NULL, 0, 2);
		return pid;
	}
	if (setuid(as) < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 4) < 0 || chmod(un.sun_path, 0777) < 0 ||
	    rename(un.sun_path, path) < 0)
		_exit(1);
	fd = accept(fd, NULL, NULL);
	if (recv(fd, request, sizeof(request), 0) > 0)
		send(fd, answer, strlen(answer), MSG_NOSIGNAL);
	if (!strncmp(answer, "SSH-", 4)) /* waits for the client to speak, as a server of that kind does */
		while (recv(fd, request, sizeof(request), 0) > 0)
			;
	_exit(0);
}

static void test_cli_believes_no_broken_answer(void **state) {
	static const struct {
		const char *answer;
		int code;
		const char *says;
	} cases[] = {
		{ "", 75, "without an answer" },
		{ "HTTP/1.1 200 OK\r\n", 75, "without an answer" },
		{ "SSH-2.0-OpenSSH_9.2\r\n\r\n", 75, "speaks no HTTP" },
		{ "HTTP/1.1 200 OK\r\n\r\n<html>", 70, "no JSON" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"accessToken\": \"ya29.ha", 75, "in the middle of its answer" },
		{ "HTTP/1.1 418 Teapot\r\n\r\n{}", 70, "says nothing" },
		{ "HTTP/1.1 200 OK\r\n\r\n{}", 70, "no token" },
		{ "HTTP/1.1 429 Slow\r\n\r\n{\"error\": {\"message\": \"too many \\u001b[2J\"}}", 75, "too many \\x1b[2J" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pid_t liar = start_liar(w.socket, cases[i].answer, geteuid());

		assert_int_equal(CLI("run", "--as", SA_DEV, "--", "true"), cases[i].code);
		if (!strstr(err, cases[i].says))
			fail_msg("to \"%s\" it says: %s", cases[i].answer, err);
		waitpid(liar, NULL, 0);
	}
}

/* Where others may make sockets, one that a stranger serves gets no request. */
static void test_cli_trusts_no_strangers_socket(void **state) {
	char dir[128], path[160];
	pid_t liar;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: only root can be two users\n");
		skip();
	}
	snprintf(dir, sizeof(dir), "%s/open", w.dir);
	assert_int_equal(mkdir(dir, 0777), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(chmod(w.dir, 0711), 0);
	snprintf(path, sizeof(path), "%s/x.sock", dir);
	liar = start_liar(path, "HTTP/1.1 200 OK\r\n\r\n{\"principal\": \"user:you@example.com\"}", 12345);
	assert_int_equal(CLI("whoami", "--socket", path), 69);
	assert_non_null(strstr(err, "is served by uid 12345"));
	waitpid(liar, NULL, 0);
}

static void test_cli_finds_the_broker_by_itself(void **state) {
	char runtime[100], dir[128], command[400], longer[200];
	struct running r;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(CLI("whoami", "--socket", longer), 64);
	world_daemon(&w);
	snprintf(runtime, sizeof(runtime), "XDG_RUNTIME_DIR=%s/run", w.dir);
	snprintf(command, sizeof(command), "mkdir -p %s/run/hallpass", w.dir);
	assert_int_equal(system(command), 0);
	start(&w, &r, (const char *const[]){ "/usr/bin/env", "-u", "HALLPASS_SOCKET", runtime, program("hallpass"), "whoami", NULL });
	if (access("/run/hallpass/hallpass.sock", F_OK) < 0) {
		assert_int_equal(finish(&r), 69);
		assert_non_null(strstr(r.text, "/run/hallpass/hallpass.sock nor at /run/hallpass/hallpass.sock"));
	} else {
		finish(&r);
	}
	snprintf(dir, sizeof(dir), "%s/run/hallpass/hallpass.sock", w.dir);
	assert_int_equal(symlink(w.socket, dir), 0);
	start(&w, &r, (const char *const[]){ "/usr/bin/env", "-u", "HALLPASS_SOCKET", runtime, program("hallpass"), "whoami", NULL });
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, ME));
}

/* hallpassd's own arguments. */
static void test_cli_daemon_arguments(void **state) {
	static const struct {
		const char *words[4];
		int code;
		const char *says;
	} cases[] = {
		{ { "--version" }, 0, "hallpassd " },
		{ { "--help" }, 0, "--check" },
		{ { "-h" }, 0, "usage: hallpassd" },
		{ { "--man" }, 0, ".Dt HALLPASSD 8" },
		{ { "--help-config" }, 0, "audit.lowWater: 64MiB" },
		{ { "--help-config=text" }, 0, "(Restart.)" },
		{ { "--help-config=markdown" }, 0, "| `audit.lowWater` |" },
		{ { "--help-config=man" }, 0, ".It Cm audit.lowWater" },
		{ { "--help-config=pdf" }, 64, "text, markdown or man" },
		{ { "--chek" }, 64, "usage: hallpassd" },
		{ { "serve" }, 64, "what is \"serve\"?" },
		{ { "--config", "/nonexistent/x.yaml" }, 78, "/nonexistent/x.yaml" },
		{ { "--check", "--config", "/nonexistent/x.yaml" }, 78, "not valid" },
		{ { "--check" }, 78, ".config/hallpass/policy.yaml" },
	};
	char second[200];
	struct running r;

	(void)state;
	if (access("/etc/hallpass/hallpassd.yaml", F_OK) == 0) {
		print_message("skipped: this machine has a configuration of its own\n");
		skip();
	}
	setenv("HOME", w.dir, 1);
	setenv("XDG_RUNTIME_DIR", w.dir, 1);
	unsetenv("XDG_CONFIG_HOME");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const *c = cases[i].words;

		start(&w, &r, (const char *const[]){ program("hallpassd"), c[0], c[1], c[2], NULL });
		assert_int_equal(finish(&r), cases[i].code);
		if (!strstr(r.text, cases[i].says))
			fail_msg("hallpassd %s says: %s", c[0], r.text);
	}
	world_daemon(&w);
	snprintf(second, sizeof(second), "%s/hallpassd.yaml", w.dir);
	start(&w, &r, (const char *const[]){ program("hallpassd"), "--config", second, NULL });
	assert_int_equal(finish(&r), 75); /* the first one has the record */
}

static void test_cli_daemon_checks_everything_in_one_run(void **state) {
	char config[200], good[200];
	struct running r;
	FILE *f;

	(void)state;
	snprintf(config, sizeof(config), "%s/c.yaml", w.dir);
	f = fopen(config, "w");
	assert_non_null(f);
	fputs("polcy: x\nlimits: {maxLifetime: soon, burst: 0}\nlisteners: []\npeers: [{uid: 1}]\nlog: {level: loud}\n", f);
	fclose(f);
	world_daemon(&w); /* which writes a good one */
	snprintf(good, sizeof(good), "%s/hallpassd.yaml", w.dir);
	start(&w, &r, (const char *const[]){ program("hallpassd"), "--check", "--config", good, NULL });
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "hallpassd: valid: "));
	start(&w, &r, (const char *const[]){ program("hallpassd"), "--check", "--config", config, NULL });
	assert_int_equal(finish(&r), 78);
	assert_non_null(strstr(r.text, "c.yaml:1:1: error: unknown key `polcy`"));
	assert_non_null(strstr(r.text, "did you mean `policy`?"));
	assert_non_null(strstr(r.text, "c.yaml:2:23: "));
	assert_non_null(strstr(r.text, "c.yaml:2:36: "));
	assert_non_null(strstr(r.text, "c.yaml:3:12: "));
	assert_non_null(strstr(r.text, "c.yaml:4:9: "));
	assert_non_null(strstr(r.text, "c.yaml:5:14: "));
}

/* Runs a copy of a program as an ordinary user: as ourselves, or where we are root as the user daemon. */
static void start_as_user(struct running *r, const char *name, const char *argument) {
	char path[200];
	const char *argv[] = { "/usr/bin/setpriv", "--reuid=1", "--regid=1", "--clear-groups", path, argument, NULL };

	snprintf(path, sizeof(path), "%s/bin/%s", w.dir, name);
	start(&w, r, geteuid() ? argv + 4 : argv);
}

static void in_world(const char *command) {
	char line[400];

	snprintf(line, sizeof(line), "cd %s && %s", w.dir, command);
	assert_int_equal(system(line), 0);
}

/* No file at all: one user's helper, in that user's own directories. */
static void test_cli_daemon_without_a_file_is_one_users_helper(void **state) {
	char path[256], runtime[80], copy[800];
	struct running r, daemon;

	(void)state;
	if (geteuid() == 0 && access("/usr/bin/setpriv", X_OK) < 0) {
		print_message("skipped: only setpriv makes root an ordinary user\n");
		skip();
	}
	snprintf(copy, sizeof(copy), "mkdir -m 755 %s/bin && cp %s %s %s/bin", w.dir, program("hallpass"), program("hallpassd"), w.dir);
	assert_int_equal(system(copy), 0);
	in_world("mkdir -p -m 700 run home/.config/hallpass && chmod 711 . && chmod 700 home");
	snprintf(runtime, sizeof(runtime), "%s/run", w.dir);
	snprintf(path, sizeof(path), "%s/home", w.dir);
	setenv("XDG_RUNTIME_DIR", runtime, 1);
	setenv("HOME", path, 1);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_STATE_HOME");
	setenv("GCE_METADATA_HOST", "127.0.0.1:1", 1);
	if (geteuid() == 0)
		in_world("chown -R 1:1 run home");
	start_as_user(&r, "hallpassd", NULL);
	assert_int_equal(finish(&r), 78);
	assert_non_null(strstr(r.text, "home/.config/hallpass/policy.yaml"));
	in_world("echo 'version: 1' >home/.config/hallpass/policy.yaml && chmod 644 home/.config/hallpass/policy.yaml");
	start_as_user(&r, "hallpassd", "--check");
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "valid: built-in configuration"));
	start_as_user(&daemon, "hallpassd", NULL);
	assert_true(wait_for(&daemon, "started"));
	snprintf(w.socket, sizeof(w.socket), "%.70s/hallpass/hallpass.sock", runtime);
	start_as_user(&r, "hallpass", "whoami");
	assert_int_equal(finish(&r), 0);
	assert_non_null(strstr(r.text, "@localhost"));
	in_world("test -d home/.local/state/hallpass/audit/journal");
	kill(daemon.pid, SIGTERM);
	assert_int_equal(finish(&daemon), 0);
	start_as_user(&r, "hallpass", "log");
	assert_int_equal(finish(&r), 0);
	in_world("chmod 0 home/.local/state/hallpass/audit/journal");
	start_as_user(&r, "hallpass", "log"); /* whose broker is gone, which is not what is wrong */
	assert_int_equal(finish(&r), 77);
	assert_non_null(strstr(r.text, "denied: audit log: cannot open "));
	in_world("chmod 700 home/.local/state/hallpass/audit/journal");
}

/* The three records that it is about, in what a screen holds. */
static void test_cli_demo_shows_the_main_job(void **state) {
	const char *build = getenv("HALLPASS_BUILD");
	char *row, *table;
	unsigned lines = 0;
	struct running r;

	(void)state;
	start(&w, &r, (const char *const[]){ "contrib/demo.sh", build ? build : "build", NULL });
	assert_int_equal(finish(&r), 0);
	for (const char *p = r.text; (p = strchr(p, '\n')); p++)
		lines++;
	assert_in_range(lines, 15, 29);
	table = strstr(r.text, "\nTIME");
	assert_non_null(table);
	row = strstr(table, "issued");
	row = row ? strstr(row, "30m by request\n") : NULL;
	row = row ? strstr(row, "issued") : NULL;
	row = row ? strstr(row, " by condition\n") : NULL;
	row = row ? strstr(row, "denied") : NULL;
	assert_non_null(row);
	assert_null(strstr(table, "intent"));
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_cli_token_is_alone_on_stdout),
		SCENARIO(test_cli_takes_short_names),
		SCENARIO(test_cli_takes_no_short_name_from_half_a_list),
		SCENARIO(test_cli_exit_codes),
		SCENARIO(test_cli_tells_who_what_and_why),
		SCENARIO(test_cli_reload_without_a_file_is_refused),
		SCENARIO(test_cli_the_brokers_own_uid_may_reload),
		SCENARIO(test_cli_log_shows_and_filters),
		SCENARIO(test_cli_log_tells_of_sessions_and_doctors),
		SCENARIO(test_cli_policy_check),
		SCENARIO(test_cli_policy_check_is_as_strict_as_asked),
		SCENARIO(test_cli_prints_the_schema_and_the_lints),
		SCENARIO(test_cli_json_parses_everywhere),
		SCENARIO(test_cli_explains_in_words),
		SCENARIO(test_cli_lists_until_when),
		SCENARIO(test_cli_list_says_when_there_are_more),
		SCENARIO(test_cli_id_token),
		SCENARIO(test_cli_parses_its_options),
		SCENARIO(test_cli_does_not_keep_silent_of_a_full_disk),
		SCENARIO(test_cli_log_reads_without_a_broker_and_checks_its_options),
		SCENARIO(test_cli_log_tells_what_nobody_waited_for),
		SCENARIO(test_cli_log_tells_of_a_torn_tail),
		SCENARIO(test_cli_log_tells_of_a_damaged_record),
		SCENARIO(test_cli_log_follows),
		SCENARIO(test_cli_on_a_terminal),
		SCENARIO(test_cli_man_page_and_completion_come_from_the_table),
		SCENARIO(test_cli_completion_completes),
		SCENARIO(test_cli_believes_no_broken_answer),
		SCENARIO(test_cli_trusts_no_strangers_socket),
		SCENARIO(test_cli_finds_the_broker_by_itself),
		SCENARIO(test_cli_demo_shows_the_main_job),
		SCENARIO(test_cli_daemon_arguments),
		SCENARIO(test_cli_daemon_checks_everything_in_one_run),
		SCENARIO(test_cli_daemon_without_a_file_is_one_users_helper),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
