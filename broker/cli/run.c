/*
 * hallpass run: a command that finds a fresh token, and a metadata server, whenever it looks. See cli.h; what is kept for it, in keep.h.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "broker/cli/keep.h"
#include "hallpass/cleanup.h"

struct run {
	struct keeper keeper;
	pid_t child;
	bool follow_stops;		  /* there is a shell that can continue us */
	sigset_t before;		  /* the signal mask to give the command */
	struct sigaction pipe_before;	  /* and what it does on SIGPIPE */
};

static void set_variable(void *arg, const char *name, const char *value) {
	(void)arg;
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static void restore_cores(const struct run *run) {
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return;
	limit.rlim_cur = run->keeper.cli->core;
	setrlimit(RLIMIT_CORE, &limit);
}

static void start_command(struct run *run) {
	run->child = fork();
	if (run->child)
		return;
	environment_each(&run->keeper, set_variable, NULL);
	restore_cores(run);
	sigaction(SIGPIPE, &run->pipe_before, NULL);
	sigprocmask(SIG_SETMASK, &run->before, NULL);
	execvp(run->keeper.cli->rest[0], run->keeper.cli->rest);
	fprintf(stderr, "hallpass: %s: %s\n", out_safe(run->keeper.cli->rest[0]), strerror(errno));
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

static int watch(struct run *run, int signals) {
	int code = API_EXIT_FAILED;

	for (;;) {
		struct pollfd p[1 + KEEPER_POLLS] = { { .fd = signals, .events = POLLIN } };
		int timeout = keeper_polls(&run->keeper, p + 1);
		struct signalfd_siginfo info;

		if (poll(p, ARRAY_SIZE(p), timeout) > 0 && p[0].revents && read(signals, &info, sizeof(info)) == sizeof(info)) {
			if (info.ssi_signo != SIGCHLD)
				pass_on(run, &info);
			else if (reap(run, &code))
				return code;
		}
		keeper_turn(&run->keeper, p + 1);
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

/* From here on the signals that people end programs with are the command's; we end when it does. */
static int run_with(struct run *run) {
	int signals = block_signals(run);

	run->follow_stops = has_terminal();
	run->keeper.cli->spinner = false; /* the terminal is the command's now */
	lease_turn(&run->keeper.lease, false); /* a window that closes soon is told before the command begins */
	start_command(run);
	return run->child < 0 ? API_EXIT_FAILED : watch(run, signals);
}

int cmd_run(struct cli *cli) {
	struct run run = { 0 };
	int r = keeper_begin(&run.keeper, cli, false);

	if (r == API_EXIT_OK)
		r = run_with(&run);
	keeper_end(&run.keeper);
	return r;
}
