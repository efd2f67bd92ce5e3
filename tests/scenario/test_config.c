/* hallpassd as it is configured and started: --check, defaults, sockets, limits, the clock, the lock, and how it ends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
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
#include "hallpass/cleanup.h"
#include "tests/lib/world.h"

#define OTHER_UID 12345

static struct world w;
static char out[65536];

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

static const char *path_in(const char *name) {
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", w.dir, name);
	return path;
}

static void write_text(const char *path, const char *text) {
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fchmod(fileno(f), 0644), 0);
	assert_int_equal(fclose(f), 0);
}

/* How to start hallpassd as a user of its own. NULL in: as we are. */
struct as {
	uid_t uid;
	gid_t gid;
	const char *program, *home;
	bool no_runtime_dir;
};

static void become(const struct as *as) {
	char path[256];

	if (!as)
		return;
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(as->gid, as->gid, as->gid) < 0 ||
			       setresuid(as->uid, as->uid, as->uid) < 0))
		_exit(126);
	clearenv();
	setenv("HOME", as->home, 1);
	snprintf(path, sizeof(path), "%s/run", as->home);
	if (!as->no_runtime_dir)
		setenv("XDG_RUNTIME_DIR", path, 1);
	snprintf(path, sizeof(path), "%s/key.json", as->home);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", path, 1);
}

static pid_t start(const struct as *as, char *const argv[]) {
	const char *build = getenv("HALLPASS_BUILD");
	char program[256];
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	fd = open(path_in("out"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	snprintf(program, sizeof(program), "%s/hallpassd", build ? build : "build");
	become(as);
	execv(as ? as->program : program, argv);
	_exit(127);
}

static void read_out(void) {
	FILE *f = fopen(path_in("out"), "r");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	fclose(f);
}

/* Runs hallpassd to its end: the exit code; what it said is in `out`. */
static int hallpassd_as(const struct as *as, ...) {
	char *argv[16] = { (char *)"hallpassd" };
	int n = 1, status;
	va_list ap;

	va_start(ap, as);
	while (n < 15 && (argv[n] = va_arg(ap, char *)))
		n++;
	va_end(ap);
	assert_true(waitpid(start(as, argv), &status, 0) > 0);
	read_out();
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#define HALLPASSD(...) hallpassd_as(NULL, __VA_ARGS__, NULL)

/* --- what is told of a file */

static void test_config_check_tells_where_and_exits_0_or_78(void **state) {
	static const struct {
		const char *config;
		int code;
		const char *says[3];
	} cases[] = {
		{ "", 0, { "hallpassd: valid: ", "1 binding, 0 deny rules" } },
		{ "# nothing but a comment\n", 0, { "valid" } },
		{ "policy: policy.yaml\nlimits: {burst: 5}\n", 0, { "valid" } },
		{ "limits: {brust: 5}\n", 78, { ":1:10: ", "unknown key `limits.brust`", "did you mean `limits.burst`?" } },
		{ "limits:\n  maxLifetime: 13h\n", 78, { ":2:16: ", "from 1 to 43200 seconds" } },
		{ "polcy: x\n", 78, { ":1:1: ", "did you mean `policy`?" } },
		{ "peers:\n  - {uid: 1, principal: \"user:{nam}@x.org\"}\n", 78, { ":2:25: ", "only {name} and {uid}" } },
		{ "listeners:\n  - {unix: a}\n  - {path: b}\n", 78, { ":3:6: ", "unknown key `path`", "needs `unix: PATH`" } },
		{ "audit: {segmentSize: 1}\nlog: {level: loud}\n", 78, { ":1:22: ", ":2:14: ", "error, warning, info or debug" } },
		{ "policy: nowhere.yaml\n", 78, { "no policy at ", "nowhere.yaml", "contrib/policies" } },
		{ "policy: bad.yaml\n", 78, { "bad.yaml:3:", "did you mean \"members\"?", "bad.yaml:4:" } },
		{ "policy: [a\n", 78, { ":1:9: ", "never closed" } },
		{ "a: 1\na: 2\n", 78, { ":2:1: " } },
		{ "log: {level: info}\n---\nlog: {level: debug}\n", 78, { ":2:1: " } },
	};

	(void)state;
	setenv("XDG_RUNTIME_DIR", w.dir, 1); /* for who is not root, a default has to have a place */
	setenv("HOME", w.dir, 1);
	write_text(path_in("bad.yaml"), "version: 1\nbindings:\n  - {name: a, membrs: [], serviceAccounts: []}\n"
					"  - {name: a, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "]}\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int code;

		write_text(path_in("hallpassd.yaml"), cases[i].config);
		code = HALLPASSD("--config", path_in("hallpassd.yaml"), "--check");
		print_message("%s", out);
		assert_int_equal(code, cases[i].code);
		for (size_t k = 0; k < ARRAY_SIZE(cases[i].says) && cases[i].says[k]; k++)
			assert_non_null(strstr(out, cases[i].says[k]));
	}
	assert_int_equal(access(path_in("audit"), F_OK), -1); /* it only looks */
	assert_int_equal(access(path_in("hp.sock"), F_OK), -1);
}

/* Its form: nobody is called, and none is made. */
static void test_config_check_opens_the_credential(void **state) {
	static const struct {
		const char *config, *file;
		int code;
		const char *says[2];
	} cases[] = {
		{ "credential: {file: google/broker-key.json}\n", NULL, 0, { "hallpassd: credential: service_account hallpass-broker@", "valid: " } },
		{ "credential: {file: nowhere.json}\n", NULL, 78, { "not valid: credential: ", "nowhere.json: No such file" } },
		{ "credential: {file: c.json}\n", "{\"type\": \"service_account\", \"client_email\": 7}", 78, { "c.json: ", "client_email" } },
		{ "credential: {file: c.json}\n", "{\"type\": \"authorised_user\"}", 78, { "type authorised_user is not supported", NULL } },
		{ "credential: {file: c.json}\n", "{", 78, { "not valid: credential ", "c.json" } },
		{ "", NULL, 0, { "warning: no Google credential: ", "1 warning)" } },
		{ "credential: {file: google/broker-key.json}\npeers: [{user: no-such-user-here, principal: \"user:{name}@example.com\"}]\n", NULL, 0,
		  { "this machine knows no user \"no-such-user-here\"", "1 warning)" } },
		{ "upstream: {caFile: nowhere.pem}\n", NULL, 78, { "not valid: upstream.caFile: ", "nowhere.pem: No such file" } },
		{ "upstream: {proxy: \"ftp://user:geheim@proxy\"}\n", NULL, 78, { "not valid: upstream.proxy is no proxy's address", NULL } },
		{ "endpoints: {iamCredentials: \"http://iam.example.com\"}\n", NULL, 78, { "`endpoints.iamCredentials`: ", "plain http" } },
		{ "endpoints: {token: \"http://iam.example.com\"}\n", NULL, 78, { "`endpoints.token`: ", "plain http" } },
		{ "credential: {file: google/broker-key.json}\nlisteners: [{unix: a.sock, group: no-such-group-here}]\n", NULL, 78,
		  { "no group \"no-such-group-here\" for the socket", NULL } },
	};

	(void)state;
	setenv("XDG_RUNTIME_DIR", w.dir, 1);
	setenv("HOME", w.dir, 1);
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
	unsetenv("GCE_METADATA_HOST");
	unsetenv("CLOUDSDK_CONFIG");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int code;

		if (cases[i].file)
			write_text(path_in("c.json"), cases[i].file);
		write_text(path_in("hallpassd.yaml"), cases[i].config);
		code = HALLPASSD("--config", path_in("hallpassd.yaml"), "--check");
		print_message("%s", out);
		assert_int_equal(code, cases[i].code);
		for (size_t k = 0; k < ARRAY_SIZE(cases[i].says) && cases[i].says[k]; k++)
			assert_non_null(strstr(out, cases[i].says[k]));
	}
	write_text(path_in("hallpassd.yaml"), "");
	setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json", 1);
	assert_int_equal(HALLPASSD("--config", path_in("hallpassd.yaml"), "--check"), 78);
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
}

static void test_config_exit_codes(void **state) {
	char long_config[512];

	(void)state;
	assert_int_equal(HALLPASSD("--version"), 0);
	assert_int_equal(strncmp(out, "hallpassd ", 10), 0);
	assert_int_equal(HALLPASSD("--help"), 0);
	assert_non_null(strstr(out, "--check"));
	assert_int_equal(HALLPASSD("-h"), 0);
	assert_int_equal(HALLPASSD("--help-config"), 0);
	assert_non_null(strstr(out, "limits.maxLifetime: 1h"));
	assert_int_equal(HALLPASSD("--help-config=man"), 0);
	assert_int_equal(HALLPASSD("--help-config=html"), 64);
	assert_int_equal(HALLPASSD("--chekc"), 64);
	assert_int_equal(HALLPASSD("start"), 64);
	assert_non_null(strstr(out, "what is \"start\"?"));
	assert_int_equal(HALLPASSD("--config"), 64);
	assert_int_equal(HALLPASSD("--config", path_in("none.yaml")), 78);
	assert_non_null(strstr(out, "none.yaml: No such file"));
	write_text(path_in("hallpassd.yaml"), "listeners: [{unix: hp.sock}]\nlog: {levle: info}\n");
	assert_int_equal(HALLPASSD("--config", path_in("hallpassd.yaml")), 78);
	assert_non_null(strstr(out, "did you mean `log.level`?"));
	snprintf(long_config, sizeof(long_config), "listeners: [{unix: %0120d}]\naudit: {directory: audit}\n"
		 "credential: {file: google/broker-key.json}\n", 7);
	write_text(path_in("hallpassd.yaml"), long_config);
	assert_int_equal(HALLPASSD("--config", path_in("hallpassd.yaml")), 78);
	assert_non_null(strstr(out, "at most 107 bytes"));
	write_text(path_in("hallpassd.yaml"), "listeners: [{unix: hp.sock, group: no-such-group}]\naudit: {directory: audit}\n"
					      "credential: {file: google/broker-key.json}\n");
	assert_int_equal(HALLPASSD("--config", path_in("hallpassd.yaml")), 78);
	assert_non_null(strstr(out, "no group \"no-such-group\""));
}

static void test_config_one_broker_a_directory(void **state) {
	char pid[40], log[4096];
	struct answer a;

	(void)state;
	world_daemon(&w);
	snprintf(pid, sizeof(pid), "(pid %d)", w.daemon);
	assert_int_equal(HALLPASSD("--config", path_in("hallpassd.yaml")), 75);
	assert_non_null(strstr(out, pid));
	ask(&w, "GET", "/healthz", NULL, &a); /* the first is not disturbed, nor its socket */
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	/* The lock ends with its holder, however that ends. */
	world_stop(&w, SIGKILL);
	world_daemon(&w);
	world_stop(&w, SIGTERM);
	/* Another directory, the same socket. */
	world_daemon(&w);
	snprintf(log, sizeof(log), "listeners: [{unix: hp.sock}]\naudit: {directory: audit2}\n"
				   "credential: {file: google/broker-key.json}\n");
	write_text(path_in("second.yaml"), log);
	assert_int_equal(HALLPASSD("--config", path_in("second.yaml")), 75);
	assert_non_null(strstr(out, "another server listens there"));
}

/* --- one user's helper: no file at all */

static void sh(const char *fmt, ...) {
	char command[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	assert_int_equal(system(command), 0);
}

static unsigned mode_of(const char *path) {
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* Waits until the socket answers. */
static void whoami(struct answer *a, uid_t uid) {
	for (int i = 0; i < 10000; i++) {
		if (geteuid() == 0)
			ask_as_uid(&w, uid, "GET", "/v1/whoami", NULL, a);
		else
			ask(&w, "GET", "/v1/whoami", NULL, a);
		if (a->status)
			return;
		answer_fini(a);
		nanosleep(&(struct timespec){ 0, 3000000 }, NULL);
	}
	read_out();
	fail_msg("hallpassd did not answer: %s", out);
}

/* As world_daemon(), with a configuration of our own. */
static void start_with(const char *config) {
	struct answer a;

	write_text(path_in("own.yaml"), config);
	w.daemon = start(NULL, (char *[]){ (char *)"hallpassd", (char *)"--config", (char *)path_in("own.yaml"), NULL });
	whoami(&a, geteuid());
	answer_fini(&a);
}

/* An account that is not root and has a name. */
static const struct passwd *somebody(void) {
	return geteuid() ? getpwuid(geteuid()) : getpwnam("daemon");
}

static void test_config_without_a_file_serves_one_user(void **state) {
	const char *build = getenv("HALLPASS_BUILD");
	const struct passwd *pw = somebody();
	char program[256], home[128], principal[128];
	struct as as = { .program = program, .home = home };
	struct answer a;
	pid_t pid;
	int status;

	(void)state;
	if (!pw) {
		print_message("skipped: no account to run as\n");
		skip();
	}
	as.uid = pw->pw_uid;
	as.gid = pw->pw_gid;
	snprintf(program, sizeof(program), "%s/hallpassd", w.dir); /* where that user can reach it */
	snprintf(home, sizeof(home), "%s/home", w.dir);
	sh("cp %s/hallpassd %s && chmod 755 %s && mkdir -m 700 %s %s/run && cp %s/google/broker-key.json %s/key.json && chmod 600 "
	   "%s/key.json && chmod 755 %s && chown -R %u:%u %s",
	   build ? build : "build", program, program, home, home, w.dir, home, home, w.dir, as.uid, as.gid, home);
	as.no_runtime_dir = true;
	assert_int_equal(hallpassd_as(&as, NULL), 78);
	assert_non_null(strstr(out, "XDG_RUNTIME_DIR is not set"));
	as.no_runtime_dir = false;
	assert_int_equal(hallpassd_as(&as, NULL), 78);
	assert_non_null(strstr(out, "home/.config/hallpass/policy.yaml"));
	sh("mkdir -p %s/.config/hallpass && cp %s/policy.yaml %s/.config/hallpass/ && chown -R %u:%u %s", home, w.dir, home,
	   as.uid, as.gid, home);
	assert_int_equal(hallpassd_as(&as, "--check", NULL), 0);
	assert_non_null(strstr(out, "built-in configuration"));
	write_text(path_in("home/.config/hallpass/hallpassd.yaml"), "log: {levle: info}\n"); /* a file there counts */
	assert_int_equal(hallpassd_as(&as, "--check", NULL), 78);
	assert_non_null(strstr(out, ".config/hallpass/hallpassd.yaml:1:7: "));
	assert_int_equal(unlink(path_in("home/.config/hallpass/hallpassd.yaml")), 0);
	pid = start(&as, (char *[]){ (char *)"hallpassd", NULL });
	snprintf(w.socket, sizeof(w.socket), "%.70s/run/hallpass/hallpass.sock", home);
	whoami(&a, as.uid);
	snprintf(principal, sizeof(principal), "user:%s@localhost", pw->pw_name);
	assert_string_equal(answer_text(&a, "principal"), principal);
	answer_fini(&a);
	assert_int_equal(mode_of(w.socket), 0600);
	assert_int_equal(mode_of(path_in("home/run/hallpass")), 0700);
	assert_int_equal(mode_of(path_in("home/.local/state/hallpass/audit")), 0700);
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(access(w.socket, F_OK), -1); /* it takes its socket away */
}

/* --- sockets */

static void test_config_several_listeners_with_mode_and_group(void **state) {
	const struct group *gr = geteuid() ? getgrgid(getegid()) : getgrnam("daemon");
	char text[1024];
	struct stat st;
	struct answer a;

	(void)state;
	if (!gr) {
		print_message("skipped: no group to give a socket to\n");
		skip();
	}
	/* Relative to the file, absolute, and in a directory that is made. */
	snprintf(text, sizeof(text),
		 "listeners:\n  - {unix: hp.sock}\n  - {unix: %s/open.sock, mode: \"0666\"}\n"
		 "  - {unix: sub/group.sock, mode: \"0660\", group: %s}\n"
		 "policy: policy.yaml\ncredential: {file: google/broker-key.json}\naudit: {directory: audit, lowWater: 0}\n",
		 w.dir, gr->gr_name);
	start_with(text);
	assert_int_equal(mode_of(path_in("hp.sock")), 0600);
	assert_int_equal(mode_of(path_in("open.sock")), 0666);
	assert_int_equal(stat(path_in("sub/group.sock"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(st.st_gid, gr->gr_gid);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = { "hp.sock", "open.sock", "sub/group.sock" };

		snprintf(w.socket, sizeof(w.socket), "%s", path_in(names[i]));
		ask(&w, "GET", "/healthz", NULL, &a);
		assert_int_equal(a.status, 200);
		answer_fini(&a);
	}
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_int_equal(access(path_in("sub/group.sock"), F_OK), -1);
}

/* --- limits */

static void test_config_a_principal_that_asks_too_often_is_told_and_nobody_else(void **state) {
	/* What is answered from memory at once goes on; what takes time does not. */
	static const struct {
		const char *method, *path, *body;
		int status;
	} questions[] = {
		{ "GET", "/v1/list", NULL, 429 }, { "POST", "/v1/why", "{\"serviceAccount\": \"" SA_DEV "\"}", 429 },
		{ "GET", "/v1/whoami", NULL, 200 }, { "GET", "/v1/status", NULL, 200 },
	};
	int good = 0, limited = 0;
	json_t *records;
	struct answer a;
	char text[1024];

	(void)state;
	snprintf(text, sizeof(text),
		 "listeners: [{unix: hp.sock, mode: \"0666\"}]\npolicy: policy.yaml\naudit: {directory: audit, lowWater: 0}\n"
		 "credential: {file: google/broker-key.json}\nendpoints: {iamCredentials: \"%s\"}\n"
		 "peers: [{uid: %u, principal: \"" ME "\"}, {uid: %d, principal: \"user:other@example.com\"}]\n"
		 "limits: {requestsPerMinute: 1, burst: 5}\n",
		 w.url, geteuid(), OTHER_UID);
	start_with(text);
	for (int i = 0; i < 30; i++) {
		ask_token(&w, SA_DEV, "", &a);
		good += a.status == 200;
		if (a.status == 429) {
			limited++;
			assert_string_equal(answer_text(&a, "error.status"), "RESOURCE_EXHAUSTED");
			assert_string_equal(answer_text(&a, "error.details.0.reason"), "RATE_LIMITED");
			assert_non_null(strstr(answer_text(&a, "error.message"), "limits.requestsPerMinute"));
		}
		answer_fini(&a);
	}
	print_message("%d issued, %d limited\n", good, limited);
	assert_in_range(good, 5, 6);
	assert_int_equal(good + limited, 30);
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		ask(&w, questions[i].method, questions[i].path, questions[i].body, &a);
		assert_int_equal(a.status, questions[i].status);
		assert_true(a.status == 200 || !strcmp(answer_text(&a, "error.details.0.reason"), "RATE_LIMITED"));
		answer_fini(&a);
	}
	if (geteuid() == 0) {
		assert_int_equal(chmod(w.dir, 0755), 0);
		ask_as_uid(&w, OTHER_UID, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_DEV "\"}", &a);
		assert_int_equal(a.status, 403); /* denied, that is, heard */
		answer_fini(&a);
	}
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "issued"), good);
	/* One record a second stands for all refusals in it. */
	assert_true(records_count(records, "denied") < (size_t)limited);
	assert_non_null(records_last(records, "denied"));
	json_decref(records);
}

static int64_t parse_time(const char *text) {
	struct tm tm = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) ? (int64_t)timegm(&tm) : -1;
}

static void test_P2_the_clock_allowance_is_kept_free_before_the_end_of_a_window(void **state) {
	int64_t ends = now_s() + 600, expires;
	time_t t = (time_t)ends;
	char policy[512], end[40];
	struct answer a;
	struct tm tm;

	(void)state;
	strftime(end, sizeof(end), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	snprintf(policy, sizeof(policy),
		 "version: 1\nbindings:\n  - {name: until, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], notAfter: %s}\n", end);
	world_policy(&w, policy);
	snprintf(w.config_more, sizeof(w.config_more), "limits: {clockAllowance: 200s}\n");
	world_daemon(&w);
	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 200);
	expires = parse_time(answer_text(&a, "expireTime"));
	assert_true(expires <= ends - 190);
	assert_true(expires > ends - 260);
	assert_string_equal(answer_text(&a, "boundBy"), "notAfter");
	answer_fini(&a);
}

static void test_P2_no_token_lives_longer_than_the_hard_ceiling(void **state) {
	struct answer a;

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "limits: {maxLifetime: 10m}\n");
	world_daemon(&w);
	ask_token(&w, SA_DEV, ", \"lifetime\": 1800", &a);
	assert_int_equal(a.status, 200);
	assert_in_range(answer_int(&a, "expiresIn"), 540, 600);
	assert_string_equal(answer_text(&a, "boundBy"), "ceiling");
	answer_fini(&a);
}

/* --- the clock */

static void assert_token(int status, const char *reason) {
	struct answer a;

	ask_token(&w, SA_DEV, "", &a);
	if (a.status != 200)
		print_message("%s\n", answer_text(&a, "error.message"));
	assert_int_equal(a.status, status);
	assert_string_equal(answer_text(&a, "error.details.0.reason"), reason);
	answer_fini(&a);
}

static void test_P2_a_clock_behind_the_record_issues_nothing(void **state) {
	struct answer a;
	json_t *records;

	(void)state;
	world_clock(&w, 0);
	world_daemon(&w);
	assert_token(200, "");
	world_stop(&w, SIGTERM);
	world_clock(&w, -3600);
	world_daemon(&w);
	assert_token(503, "CLOCK_BEHIND");
	ask(&w, "GET", "/v1/list", NULL, &a); /* what only reads goes on */
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	ask(&w, "GET", "/v1/status", NULL, &a); /* and says so */
	assert_false(json_is_true(json_object_get(json_object_get(a.json, "audit"), "healthy")));
	assert_non_null(strstr(answer_text(&a, "audit.problem"), "behind the last record"));
	answer_fini(&a);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1);
	world_clock(&w, 0);
	assert_token(200, ""); /* right again: by itself */
	world_clock(&w, -30);
	google_clock(&w, -30);
	assert_token(200, ""); /* what an adjustment does is no rollback */
	google_clock(&w, 0);
	world_clock(&w, -300);
	assert_token(503, "CLOCK_BEHIND"); /* set back while it runs, a token in the cache */
	world_clock(&w, 0);
	assert_token(200, "");
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "failed"), "reason")), "CLOCK_BEHIND");
	json_decref(records);
}

static void test_P2_a_clock_that_jumps_ahead_empties_the_cache(void **state) {
	struct answer a, b;

	(void)state;
	world_clock(&w, 0);
	world_daemon(&w);
	ask_token(&w, SA_DEV, "", &a);
	world_clock(&w, 3600);
	google_clock(&w, 3600);
	ask_token(&w, SA_DEV, "", &b);
	assert_int_equal(b.status, 200);
	assert_string_not_equal(answer_text(&a, "accessToken"), answer_text(&b, "accessToken"));
	assert_true(answer_int(&b, "expiresIn") > 1700);
	answer_fini(&a);
	answer_fini(&b);
}

/* --- the service manager */

static void assert_hears(int fd, const char *text) {
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char heard[64] = "";

	assert_int_equal(poll(&p, 1, 30000), 1);
	assert_true(recv(fd, heard, sizeof(heard) - 1, 0) > 0);
	assert_string_equal(heard, text);
}

static void test_config_the_service_manager_hears_of_ready_and_stopping(void **state) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	(void)state;
	snprintf(un.sun_path, sizeof(un.sun_path), "%.80s/notify", w.dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	setenv("NOTIFY_SOCKET", un.sun_path, 1);
	world_daemon(&w);
	unsetenv("NOTIFY_SOCKET");
	assert_hears(fd, "READY=1");
	assert_int_equal(poll(&p, 1, 0), 0); /* once */
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_hears(fd, "STOPPING=1");
	close(fd);
}

/* --- the end */

static void test_config_sigterm_answers_what_is_under_way(void **state) {
	struct answer a;
	json_t *records;
	int fd;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 700}");
	fd = ask_begin(&w, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_DEV "\"}");
	while (google_calls(&w, "generateAccessToken") == 0)
		;
	assert_int_equal(world_stop(&w, SIGTERM), 0); /* waits for its end */
	assert_true(ask_end(fd, &a));
	assert_int_equal(a.status, 200);
	records = world_records(&w, NULL, 0);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "issued"), "request")),
			    answer_text(&a, "requestId"));
	/* The last thing on record is the farewell. */
	assert_ptr_equal(records_last(records, "stop"), json_array_get(records, json_array_size(records) - 1));
	answer_fini(&a);
	json_decref(records);
	assert_int_equal(access(w.socket, F_OK), -1);
}

static void test_config_a_second_sigterm_ends_at_once(void **state) {
	struct pollfd slow = { .events = POLLIN };
	json_t *records;
	struct answer a;

	(void)state;
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 15000}");
	slow.fd = ask_begin(&w, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_DEV "\"}");
	while (google_calls(&w, "generateAccessToken") == 0)
		;
	kill(w.daemon, SIGTERM);
	do /* it is draining once it refuses, at once, who comes new */
		ask(&w, "GET", "/healthz", NULL, &a);
	while (a.status);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_true(ask_end(slow.fd, &a));
	assert_int_equal(a.status, 503);
	assert_non_null(strstr(a.text, "hallpassd stopped before there was an answer"));
	answer_fini(&a);
	records = world_records(&w, NULL, 0);
	assert_non_null(records_last(records, "abandoned"));
	assert_string_equal(json_string_value(json_object_get(records_last(records, "abandoned"), "error")),
			    "hallpassd stopped before there was an answer"); /* the client did not leave */
	assert_non_null(records_last(records, "stop"));
	json_decref(records);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_config_check_tells_where_and_exits_0_or_78),
		SCENARIO(test_config_check_opens_the_credential),
		SCENARIO(test_config_exit_codes),
		SCENARIO(test_config_one_broker_a_directory),
		SCENARIO(test_config_without_a_file_serves_one_user),
		SCENARIO(test_config_several_listeners_with_mode_and_group),
		SCENARIO(test_config_a_principal_that_asks_too_often_is_told_and_nobody_else),
		SCENARIO(test_P2_the_clock_allowance_is_kept_free_before_the_end_of_a_window),
		SCENARIO(test_P2_no_token_lives_longer_than_the_hard_ceiling),
		SCENARIO(test_P2_a_clock_behind_the_record_issues_nothing),
		SCENARIO(test_P2_a_clock_that_jumps_ahead_empties_the_cache),
		SCENARIO(test_config_the_service_manager_hears_of_ready_and_stopping),
		SCENARIO(test_config_sigterm_answers_what_is_under_way),
		SCENARIO(test_config_a_second_sigterm_ends_at_once),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
