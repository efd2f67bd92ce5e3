/*
 * hallpass run: a command that finds a fresh token whenever it looks. See cli.h.
 *
 * The token stands in a directory of its own on tmpfs, which we hold a lock on for as long as we live: what a run that was
 * killed has left behind is known by its free lock, and removed by the next run. A token is renewed by a child of ours, so that
 * a slow broker never keeps us from passing a signal on or from noticing that the command has ended.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"

#define RENEW_BEFORE_S 300 /* clients want 300 s left; shorter lives are renewed at three quarters */
#define RETRY_MAX_S 30
#define WARN_BEFORE_S 300
#define DIR_PREFIX "hallpass-run."

/* What a token's answer says of time. */
struct lease {
	int64_t renew_at;  /* Unix seconds */
	int64_t closes_at; /* end of the policy's window; 0: none seen */
	char title[200];   /* of the window's condition */
};

/* What a renewal's process reports, in one write. */
struct news {
	enum error_code code;
	struct lease lease;
	char message[1024];
};

struct run {
	struct cli *cli;
	const char *account;
	json_t *body; /* of each request for a token */
	char dir[256], file[300];
	int dir_fd; /* holds the lock */
	struct lease lease;
	int64_t retry_s; /* pause before the next attempt, should this one fail: 1, 2, 4, … */
	bool warned, told_failure, ended; /* ended: the policy says no; nothing more is tried */
	pid_t child, renewer;		  /* renewer 0: none under way */
	int news;			  /* from the renewer; -1: none */
	bool follow_stops;		  /* there is a shell that can continue us */
	sigset_t before;		  /* the signal mask to give the command */
	struct sigaction pipe_before;	  /* and what it does on SIGPIPE */
};

static int64_t now_s(void) {
	return (int64_t)time(NULL);
}

/* --- the directory and the file */

static bool is_tmpfs(const char *dir) {
	struct statfs fs;

	return statfs(dir, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static void empty_dir(int base_fd, const char *name, int dir_fd) {
	unlinkat(dir_fd, "token.new", 0);
	unlinkat(dir_fd, "token", 0);
	unlinkat(base_fd, name, AT_REMOVEDIR);
}

/* Removes a directory of ours that nobody holds a lock on any more. */
static void sweep_one(int base_fd, const char *name) {
	int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
		empty_dir(base_fd, name, fd);
	close(fd);
}

static void sweep(const char *base) {
	DIR *dir = opendir(base);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, DIR_PREFIX, strlen(DIR_PREFIX)))
			sweep_one(dirfd(dir), entry->d_name);
	if (dir)
		closedir(dir);
}

/* The lock is taken before the directory is used: another run's sweep may have been faster, and then it is gone. */
static bool claim_dir(struct run *run) {
	struct stat st;

	run->dir_fd = open(run->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (run->dir_fd >= 0 && flock(run->dir_fd, LOCK_EX) == 0 && fstat(run->dir_fd, &st) == 0 && st.st_nlink > 0)
		return true;
	if (run->dir_fd >= 0)
		close(run->dir_fd);
	run->dir_fd = -1;
	return false;
}

/* Where a token may lie: on tmpfs, which no disk ever sees. What dead runs left there is removed on the way. */
static const char *find_base(struct error *err) {
	const char *const bases[] = { getenv("XDG_RUNTIME_DIR"), "/dev/shm" };
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		if (!bases[i] || !is_tmpfs(bases[i]))
			continue;
		sweep(bases[i]);
		if (!found && access(bases[i], W_OK | X_OK) == 0)
			found = bases[i];
	}
	if (!found)
		error_set(err, ERR_UNAVAILABLE,
			  "no tmpfs to keep the token file on: neither XDG_RUNTIME_DIR nor /dev/shm is one, and a token is not "
			  "written to a disk");
	return found;
}

static int make_dir(struct run *run, const char *base, struct error *err) {
	for (int tries = 0; tries < 100; tries++) {
		snprintf(run->dir, sizeof(run->dir), "%s/" DIR_PREFIX "XXXXXX", base);
		if (!mkdtemp(run->dir))
			break;
		if (claim_dir(run)) {
			snprintf(run->file, sizeof(run->file), "%s/token", run->dir);
			return 0;
		}
	}
	run->dir[0] = '\0';
	return error_set(err, ERR_UNAVAILABLE, "%s: no directory for the token: %s", base, strerror(errno));
}

static int write_token(const struct run *run, const char *token, struct error *err) {
	int fd = openat(run->dir_fd, "token.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write(fd, token, strlen(token)) == (ssize_t)strlen(token);

	if (fd >= 0 && close(fd) < 0)
		ok = false;
	if (!ok || renameat(run->dir_fd, "token.new", run->dir_fd, "token") < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", run->file, strerror(errno));
	return 0;
}

static void remove_files(const struct run *run) {
	if (run->dir_fd < 0)
		return;
	empty_dir(AT_FDCWD, run->dir, run->dir_fd);
	close(run->dir_fd);
}

/* --- getting and renewing */

static void read_lease(struct lease *lease, const json_t *reply) {
	const char *until = json_string_value(json_object_get(reply, API_PERMITTED_UNTIL));
	const char *title = json_string_value(json_object_get(reply, API_TITLE));
	int64_t life = json_integer_value(json_object_get(reply, API_EXPIRES_IN)), now = now_s();
	int64_t left = life / 4 > RENEW_BEFORE_S ? RENEW_BEFORE_S : life / 4;
	int64_t closes = until ? cli_parse_time(until, now) : 0;

	lease->renew_at = now + (life - left > 1 ? life - left : 1);
	lease->closes_at = closes > 0 ? closes : 0;
	snprintf(lease->title, sizeof(lease->title), "%s", title ? title : "");
}

static int keep_token(const struct run *run, const json_t *reply, struct lease *lease, struct error *err) {
	const char *token = json_string_value(json_object_get(reply, API_ACCESS_TOKEN));

	if (!token)
		return error_set(err, ERR_INTERNAL, "the broker's answer has no token");
	read_lease(lease, reply);
	return write_token(run, token, err);
}

/* The renewer's whole life. It goes with us, so that nobody writes into a directory that is nobody's. */
static void renewer_main(struct run *run, int out, pid_t parent) {
	struct news news = { 0 };
	struct error err = { 0 };
	json_t *reply = NULL;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	if (client_try(run->cli, API_PATH_TOKEN, run->body, &reply, &err) < 0 ||
	    keep_token(run, reply, &news.lease, &err) < 0) {
		news.code = err.code;
		snprintf(news.message, sizeof(news.message), "%s", err.message);
	}
	n = write(out, &news, sizeof(news));
	_exit(n == sizeof(news) ? 0 : 1);
}

static void renew(struct run *run) {
	pid_t parent = getpid();
	int ends[2];

	run->retry_s = run->retry_s ? run->retry_s * 2 : 1;
	if (run->retry_s > RETRY_MAX_S)
		run->retry_s = RETRY_MAX_S;
	run->lease.renew_at = now_s() + run->retry_s;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	run->renewer = fork();
	if (run->renewer == 0)
		renewer_main(run, ends[1], parent);
	close(ends[1]);
	if (run->renewer > 0) {
		run->news = ends[0];
		return;
	}
	run->renewer = 0;
	close(ends[0]);
}

static void tell(const struct run *run, enum color color, const char *text) {
	fprintf(stderr, "%shallpass: %s%s\n", out_color_err(run->cli, color), text, out_color_err(run->cli, COLOR_NONE));
}

static void tell_failure(struct run *run, const struct news *news) {
	char text[1400];

	if (news->code == ERR_DENIED || news->code == ERR_UNAUTHENTICATED) {
		run->ended = true;
		snprintf(text, sizeof(text), "no further token for %s: %s", out_safe(run->account), out_safe(news->message));
		tell(run, COLOR_RED, text);
		return;
	}
	run->lease.renew_at = now_s() + run->retry_s;
	if (!run->told_failure) {
		snprintf(text, sizeof(text), "cannot renew the token yet, trying on: %s", out_safe(news->message));
		tell(run, COLOR_YELLOW, text);
	}
	run->told_failure = true;
}

static void take_lease(struct run *run, const struct lease *lease) {
	/* A later window is news: warn again when that one closes. */
	if (lease->closes_at && lease->closes_at != run->lease.closes_at)
		run->warned = false;
	run->lease = *lease;
	run->retry_s = 0;
	if (run->told_failure)
		tell(run, COLOR_GREEN, "the token is renewed again");
	run->told_failure = false;
}

static void take_news(struct run *run) {
	struct news news = { .code = ERR_INTERNAL, .message = "the renewal broke off" };
	ssize_t n = read(run->news, &news, sizeof(news));

	close(run->news);
	run->news = -1;
	waitpid(run->renewer, NULL, 0);
	run->renewer = 0;
	if (n == sizeof(news) && news.code == ERR_NONE)
		take_lease(run, &news.lease);
	else
		tell_failure(run, &news);
}

static void warn_of_closing(struct run *run) {
	struct buf text = BUF_INIT(8192);
	int64_t now = now_s(), left = run->lease.closes_at - now;

	if (run->warned || !run->lease.closes_at || left > WARN_BEFORE_S || left < 0)
		return;
	run->warned = true;
	buf_addf(&text, "the window for %s closes in ", out_safe(run->account));
	out_span(left, &text);
	buf_adds(&text, ", at ");
	out_when(run->lease.closes_at, now, &text);
	if (run->lease.title[0])
		buf_addf(&text, " (%s)", out_safe(run->lease.title));
	tell(run, COLOR_YELLOW, text.data);
	buf_fini(&text);
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

static void restore_cores(const struct run *run) {
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return;
	limit.rlim_cur = run->cli->core;
	setrlimit(RLIMIT_CORE, &limit);
}

static void start_command(struct run *run) {
	run->child = fork();
	if (run->child)
		return;
	set_environment(run);
	restore_cores(run);
	sigaction(SIGPIPE, &run->pipe_before, NULL);
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

/*
 * True once the command has ended; *code is then what to exit with. Where it was stopped (Ctrl-Z), so are we, and only then:
 * our own stop signals are blocked, since a command may handle them. fg continues us, and we the command.
 */
static bool reap(const struct run *run, int *code) {
	int status;

	while (waitpid(run->child, &status, WNOHANG | WUNTRACED) == run->child) {
		if (WIFSTOPPED(status)) {
			if (run->follow_stops) {
				raise(SIGSTOP);
				kill(run->child, SIGCONT);
			}
			continue;
		}
		*code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		return true;
	}
	return false;
}

static int next_timeout_ms(const struct run *run) {
	int64_t at = run->ended || run->renewer ? INT64_MAX : run->lease.renew_at;

	if (!run->warned && run->lease.closes_at && run->lease.closes_at - WARN_BEFORE_S < at)
		at = run->lease.closes_at - WARN_BEFORE_S;
	if (at == INT64_MAX)
		return -1;
	at -= now_s();
	return at <= 0 ? 10 : at > 60 ? 60000 : (int)at * 1000; /* look at the clock each minute: it may be stepped */
}

static int watch(struct run *run, int signals) {
	int code = API_EXIT_FAILED;

	for (;;) {
		struct pollfd p[] = { { .fd = signals, .events = POLLIN }, { .fd = run->news, .events = POLLIN } };
		struct signalfd_siginfo info;

		if (poll(p, ARRAY_SIZE(p), next_timeout_ms(run)) > 0) {
			if (p[1].revents)
				take_news(run);
			if (p[0].revents && read(signals, &info, sizeof(info)) == sizeof(info)) {
				if (info.ssi_signo != SIGCHLD)
					pass_on(run, &info);
				else if (reap(run, &code))
					return code;
			}
		}
		warn_of_closing(run);
		if (!run->ended && !run->renewer && now_s() >= run->lease.renew_at)
			renew(run);
	}
}

static int block_signals(struct run *run) {
	static const int passed[] = { SIGINT,  SIGTERM, SIGHUP,	 SIGQUIT, SIGUSR1, SIGUSR2,
				      SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGCHLD };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, &run->before);
	sigaction(SIGPIPE, &ignore, &run->pipe_before); /* a warning that nobody reads does not end us */
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static bool has_terminal(void) {
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* From here on the signals that people end programs with are the command's; we end when it does, and remove the files. */
static int run_with(struct run *run, const char *base, const json_t *reply) {
	struct error err = { 0 };
	int signals = block_signals(run), code;

	if (make_dir(run, base, &err) < 0 || keep_token(run, reply, &run->lease, &err) < 0) {
		code = client_tell(run->cli, &err, NULL);
	} else {
		run->follow_stops = has_terminal();
		run->cli->spinner = false; /* the terminal is the command's now */
		warn_of_closing(run);
		start_command(run);
		code = run->child < 0 ? API_EXIT_FAILED : watch(run, signals);
	}
	if (run->renewer) {
		kill(run->renewer, SIGKILL);
		waitpid(run->renewer, NULL, 0);
	}
	remove_files(run);
	return code;
}

int cmd_run(struct cli *cli) {
	struct run run = { .cli = cli, .account = cli->values[OPT_AS], .dir_fd = -1, .news = -1 };
	json_t *reply = NULL;
	const char *base;
	struct error err;
	int r;

	if (!run.account)
		return help_usage_error(cli->command, "as whom? --as ACCOUNT; see `hallpass list`");
	run.body = cli_token_body(cli);
	if (!run.body)
		return API_EXIT_USAGE;
	base = find_base(&err);
	if (base)
		r = client_call(cli, API_PATH_TOKEN, json_incref(run.body), &reply);
	else
		r = client_tell(cli, &err, NULL);
	if (r == API_EXIT_OK)
		r = run_with(&run, base, reply);
	json_decref(reply);
	json_decref(run.body);
	return r;
}
