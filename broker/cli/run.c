/*
 * hallpass run: a command with a token file that stays fresh while it runs. See cli.h.
 *
 * The token is never in the command's arguments or environment: a file of mode 0600 in a directory of mode 0700
 * on tmpfs holds it, replaced by rename before each expiry and removed at the end, signals included.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"

#define RENEW_BEFORE_S 300 /* clients want 300 s left; shorter lives are renewed at three quarters */
#define RETRY_S 5
#define WARN_BEFORE_S 300

struct run {
	struct cli *cli;
	const char *account;
	char dir[256], file[300];
	int64_t expires_at, renew_at; /* Unix seconds */
	int64_t closes_at;	      /* end of the policy's window; 0: none seen */
	char title[200];	      /* of the window's condition */
	bool warned, told_failure, ended; /* ended: the policy says no; nothing more is tried */
	pid_t child;
	sigset_t before; /* the signal mask to give the command */
};

static int64_t now_s(void) {
	return (int64_t)time(NULL);
}

/* --- the file */

static bool is_tmpfs(const char *dir) {
	struct statfs fs;

	return statfs(dir, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static int make_dir(struct run *run, struct error *err) {
	const char *bases[] = { getenv("XDG_RUNTIME_DIR"), "/dev/shm" };

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		if (!bases[i] || !is_tmpfs(bases[i]))
			continue;
		snprintf(run->dir, sizeof(run->dir), "%s/hallpass-run.XXXXXX", bases[i]);
		if (mkdtemp(run->dir)) {
			snprintf(run->file, sizeof(run->file), "%s/token", run->dir);
			return 0;
		}
	}
	run->dir[0] = '\0';
	return error_set(err, ERR_UNAVAILABLE,
			 "no tmpfs to keep the token file on: neither XDG_RUNTIME_DIR nor /dev/shm is one, and a token is not "
			 "written to a disk");
}

static int write_token(const struct run *run, const char *token, struct error *err) {
	char temp[320];
	int fd, ok;

	snprintf(temp, sizeof(temp), "%s.new", run->file);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ok = fd >= 0 && write(fd, token, strlen(token)) == (ssize_t)strlen(token);
	if (fd >= 0 && close(fd) < 0)
		ok = 0;
	if (!ok || rename(temp, run->file) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", run->file, strerror(errno));
	return 0;
}

static void remove_files(const struct run *run) {
	char temp[320];

	if (!run->dir[0])
		return;
	snprintf(temp, sizeof(temp), "%s.new", run->file);
	unlink(temp);
	unlink(run->file);
	rmdir(run->dir);
}

/* --- getting and renewing */

static void take_times(struct run *run, const json_t *reply) {
	const char *until = json_string_value(json_object_get(reply, API_PERMITTED_UNTIL));
	const char *title = json_string_value(json_object_get(reply, API_TITLE));
	int64_t life = json_integer_value(json_object_get(reply, API_EXPIRES_IN));
	int64_t left = life / 4 > RENEW_BEFORE_S ? RENEW_BEFORE_S : life / 4;
	int64_t closes = until ? cli_parse_time(until) : 0;

	run->expires_at = now_s() + life;
	run->renew_at = now_s() + (life - left > 1 ? life - left : 1);
	/* A later window is news: warn again when that one closes. */
	if (closes > 0 && closes != run->closes_at)
		run->warned = false;
	run->closes_at = closes > 0 ? closes : 0;
	snprintf(run->title, sizeof(run->title), "%s", title ? title : "");
}

static int get_token(struct run *run, struct error *err) {
	json_t *body = cli_token_body(run->cli, run->account), *reply = NULL;
	const char *token;
	int r;

	if (!body)
		return error_set(err, ERR_INVALID, "see above");
	r = client_try(run->cli, API_PATH_TOKEN, body, &reply, err);
	json_decref(body);
	token = json_string_value(json_object_get(reply, API_ACCESS_TOKEN));
	if (r == 0 && !token)
		r = error_set(err, ERR_INTERNAL, "the broker's answer has no token");
	if (r == 0)
		r = write_token(run, token, err);
	if (r == 0)
		take_times(run, reply);
	json_decref(reply);
	return r;
}

static void tell(const struct run *run, enum color color, const char *text) {
	fprintf(stderr, "%shallpass: %s%s\n", out_color_err(run->cli, color), text, out_color_err(run->cli, COLOR_NONE));
}

static void warn_of_closing(struct run *run) {
	struct buf text = BUF_INIT(1024);
	int64_t left = run->closes_at - now_s();

	if (run->warned || !run->closes_at || left > WARN_BEFORE_S || left < 0)
		return;
	run->warned = true;
	buf_addf(&text, "the window for %s closes in ", out_safe(run->account));
	out_span(left, &text);
	if (run->title[0])
		buf_addf(&text, " (%s)", out_safe(run->title));
	tell(run, COLOR_YELLOW, text.data);
	buf_fini(&text);
}

static void renew(struct run *run) {
	struct error err = { 0 };
	char text[1100];

	if (get_token(run, &err) == 0) {
		run->told_failure = false;
		return;
	}
	if (err.code == ERR_DENIED || err.code == ERR_UNAUTHENTICATED) {
		run->ended = true;
		snprintf(text, sizeof(text), "no further token for %s: %s", out_safe(run->account), out_safe(err.message));
		tell(run, COLOR_RED, text);
		return;
	}
	run->renew_at = now_s() + RETRY_S;
	if (!run->told_failure) {
		snprintf(text, sizeof(text), "cannot renew the token yet: %s", out_safe(err.message));
		tell(run, COLOR_YELLOW, text);
	}
	run->told_failure = true;
}

/* --- the command */

/* dev-sa@acme-ml.iam.gserviceaccount.com -> acme-ml */
static void set_project(const struct run *run) {
	static const char domain[] = ".iam.gserviceaccount.com";
	const char *at = strchr(run->account, '@'), *end = at ? strstr(at, domain) : NULL;
	const char *named = run->cli->values[OPT_PROJECT];
	char project[128];

	if (!named && end && end[strlen(domain)] == '\0' && end - at < (long)sizeof(project)) {
		snprintf(project, sizeof(project), "%.*s", (int)(end - at - 1), at + 1);
		named = project;
	}
	if (named) {
		setenv("CLOUDSDK_CORE_PROJECT", named, 1);
		setenv("GOOGLE_CLOUD_PROJECT", named, 1);
	}
}

/* Other credentials that would win over ours, or be taken where ours is not understood, do not reach the command. */
static void set_environment(const struct run *run) {
	static const char *const others[] = {
		"CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
		"CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", "GOOGLE_OAUTH_ACCESS_TOKEN",
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		unsetenv(others[i]);
	setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", run->file, 1);
	/* gcloud keeps a log of all that it prints, on disk: `gcloud auth print-access-token`, too (P5). */
	setenv("CLOUDSDK_CORE_DISABLE_FILE_LOGGING", "true", 0);
	setenv("HALLPASS_SERVICE_ACCOUNT", run->account, 1);
	set_project(run);
}

static void start_command(struct run *run) {
	run->child = fork();
	if (run->child)
		return;
	set_environment(run);
	sigprocmask(SIG_SETMASK, &run->before, NULL);
	execvp(run->cli->rest[0], run->cli->rest);
	fprintf(stderr, "hallpass: %s: %s\n", out_safe(run->cli->rest[0]), strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* What a terminal sends goes to the whole foreground group, the command included: only pass on what was meant for us. */
static void pass_on(const struct run *run, const struct signalfd_siginfo *info) {
	bool from_terminal = info->ssi_code == SI_KERNEL;

	if (!from_terminal)
		kill(run->child, (int)info->ssi_signo);
}

/* True once the command has ended; *code is then what to exit with. */
static bool reap(const struct run *run, int *code) {
	int status;

	while (waitpid(run->child, &status, WNOHANG | WUNTRACED) == run->child) {
		if (WIFSTOPPED(status)) {
			raise(SIGSTOP); /* Ctrl-Z stops both; fg continues us, and the shell the group */
			kill(run->child, SIGCONT);
			continue;
		}
		*code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		return true;
	}
	return false;
}

static int next_timeout_ms(const struct run *run) {
	int64_t at = run->ended ? INT64_MAX : run->renew_at;

	if (!run->warned && run->closes_at && run->closes_at - WARN_BEFORE_S < at)
		at = run->closes_at - WARN_BEFORE_S;
	if (at == INT64_MAX)
		return -1;
	at -= now_s();
	return at <= 0 ? 10 : at > 60 ? 60000 : (int)at * 1000; /* look at the clock each minute: it may be stepped */
}

static int watch(struct run *run, int signals) {
	struct pollfd p = { .fd = signals, .events = POLLIN };
	int code = API_EXIT_FAILED;

	for (;;) {
		struct signalfd_siginfo info;

		if (poll(&p, 1, next_timeout_ms(run)) > 0 && read(signals, &info, sizeof(info)) == sizeof(info)) {
			if (info.ssi_signo == SIGCHLD) {
				if (reap(run, &code))
					return code;
			} else {
				pass_on(run, &info);
			}
		}
		warn_of_closing(run);
		if (!run->ended && now_s() >= run->renew_at)
			renew(run);
	}
}

static int block_signals(struct run *run) {
	static const int passed[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, &run->before);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int cmd_run(struct cli *cli) {
	struct run run = { .cli = cli, .account = cli->values[OPT_AS] };
	struct error err = { 0 };
	int signals, code;

	if (!run.account)
		return help_usage_error(cli->command, "as whom? --as ACCOUNT; see `hallpass list`");
	signals = block_signals(&run);
	if (make_dir(&run, &err) < 0 || get_token(&run, &err) < 0) {
		remove_files(&run);
		if (err.code != ERR_INVALID || strcmp(err.message, "see above"))
			out_error(cli, err.code == ERR_DENIED ? "denied" : "failed", err.message,
				  err.code == ERR_DENIED ? "`hallpass why --as ACCOUNT` explains it" : NULL);
		return client_exit_code(err.code);
	}
	warn_of_closing(&run);
	start_command(&run);
	code = run.child < 0 ? API_EXIT_FAILED : watch(&run, signals);
	remove_files(&run);
	return code;
}
