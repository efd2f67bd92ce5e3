/*
 * hallpass env: what `run` gives a command, for a shell. See cli.h; what is kept for it, in keep.h.
 *
 * A process of its own, the holder, keeps it until the shell ends, which a pidfd tells, or `--end`. The holder is found by a lock that it
 * holds on a file in its directory: the kernel says whose that is, so no other process that has its number later is ever meant.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "broker/cli/keep.h"
#include "hallpass/cleanup.h"

#define DIR_VARIABLE "HALLPASS_SESSION_DIR"
#define LOCK_FILE "holder"
#define BEFORE_FILE "before" /* what the shell's own variables were */
#define BEFORE_MAX (1 << 20)
#define END_MS 10000
#define FORKED_AND_NO_MORE 0x40 /* PF_FORKNOEXEC in the flags of /proc/PID/stat */

/* --- for which shell, and how it is written there */

/* Single quotes keep everything but themselves (csh: nor its history's !; fish: nor a backslash). */
static void print_quoted(const char *value, const char *special, const char *instead) {
	putchar('\'');
	for (; *value; value++) {
		if (strchr(special, *value))
			printf(instead, *value);
		else
			putchar(*value);
	}
	putchar('\'');
}

static void print_sh(void *arg, const char *name, const char *value) {
	(void)arg;
	printf(value ? "export %s=" : "unset %s", name);
	if (value)
		print_quoted(value, "'", "'\\%c'");
	puts("");
}

static void print_fish(void *arg, const char *name, const char *value) {
	(void)arg;
	printf(value ? "set -gx %s " : "set -e %s", name);
	if (value)
		print_quoted(value, "'\\", "\\%c");
	puts("");
}

/* One line, as csh's eval has it: what follows an unset of what is not set would be lost. */
static void print_csh(void *arg, const char *name, const char *value) {
	(void)arg;
	printf(value ? "setenv %s " : "unsetenv %s", name);
	if (value)
		print_quoted(value, "'!", "'\\%c'");
	puts(";");
}

static const struct shell {
	const char *name;
	environment_fn *print;
} shells[] = { { "sh", print_sh }, { "fish", print_fish }, { "csh", print_csh }, { "tcsh", print_csh } };

/* As named, else as $SHELL; bash, zsh, dash and most others read what sh does. NULL: told. */
static environment_fn *printer(const struct cli *cli) {
	const char *named = cli->values[OPT_SHELL], *login = getenv("SHELL"), *slash = login ? strrchr(login, '/') : NULL;
	const char *name = named ? named : slash ? slash + 1 : "sh";

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
		if (!strcmp(name, shells[i].name))
			return shells[i].print;
	if (!named)
		return print_sh;
	help_usage_error(cli->command, "--shell is sh, fish or csh, not \"%s\"", named);
	return NULL;
}

/* --- the shell whose end is the session's */

/* /proc/PID/stat: its parent, and its flags. */
static bool process_is(pid_t pid, pid_t *parent, unsigned *flags) {
	char path[40], text[1024];
	const char *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	end = strrchr(text, ')'); /* a program's name may hold anything */
	return end && sscanf(end + 1, " %*c %d %*d %*d %*d %*d %u", parent, flags) == 2;
}

/* What $( ) runs in is a copy of the shell that ends at once: one that was forked and has executed nothing. */
static pid_t find_shell(void) {
	pid_t pid = getppid(), parent;
	unsigned flags;

	while (pid > 1 && process_is(pid, &parent, &flags) && (flags & FORKED_AND_NO_MORE) && parent > 1)
		pid = parent;
	return pid;
}

/* --- the holder */

/* POSIX locks are a process's own: F_GETLK names it. */
static int lock_file(const struct private *p, struct error *err) {
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd;

	if (private_write(p, LOCK_FILE, "", err) < 0)
		return -1;
	fd = openat(p->fd, LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0)
		return 0; /* open for as long as we live */
	return error_set(err, ERR_UNAVAILABLE, "%s/%s: %s", p->dir, LOCK_FILE, strerror(errno));
}

static void hold(struct keeper *keeper, int shell, int signals) {
	for (;;) {
		struct pollfd p[2 + KEEPER_POLLS] = { { .fd = shell, .events = POLLIN }, { .fd = signals, .events = POLLIN } };

		if (poll(p, ARRAY_SIZE(p), keeper_polls(keeper, p + 2)) > 0 && (p[0].revents || p[1].revents))
			return;
		keeper_turn(keeper, p + 2);
	}
}

/* ready: a byte on it says that the holder can be found. */
static void holder_main(struct keeper *keeper, int shell, int ready) {
	struct error err;
	int signals = keep_watch_signals();

	if (lock_file(&keeper->private, &err) == 0 && write(ready, "", 1) == 1) {
		close(ready);
		keep_leave_terminal(keeper->cli);
		hold(keeper, shell, signals);
	}
	keeper_end(keeper);
	_exit(0);
}

static int start_holder(struct keeper *keeper, struct error *err) {
	int shell = (int)syscall(SYS_pidfd_open, find_shell(), 0), ready[2];
	char byte;
	pid_t pid;

	if (shell < 0 || pipe2(ready, O_CLOEXEC) < 0)
		return error_set(err, ERR_UNAVAILABLE, "the shell cannot be watched: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		holder_main(keeper, shell, ready[1]);
	close(ready[1]);
	close(shell);
	return pid > 0 && read(ready[0], &byte, 1) == 1 ? 0 : error_set(err, ERR_UNAVAILABLE, "no process to hold the session");
}

/* --- its end */

static pid_t lock_owner(int fd) {
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
}

/* Signals whoever holds the lock, and waits for the end. */
static void end_holder(const char *dir) {
	char path[300];
	struct pollfd p = { .events = POLLIN };
	struct stat st;
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, LOCK_FILE);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	pid = fstat(fd, &st) == 0 && st.st_uid == geteuid() ? lock_owner(fd) : 0;
	p.fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (p.fd >= 0 && lock_owner(fd) == pid && syscall(SYS_pidfd_send_signal, p.fd, SIGTERM, NULL, 0) == 0)
		poll(&p, 1, END_MS);
	if (p.fd >= 0)
		close(p.fd);
	close(fd);
}

/* What the shell had before its session; nothing where that is no session of ours any more. */
static void read_before(const char *dir, struct buf *out) {
	char path[300];
	struct stat st;
	char *at;
	int fd;

	snprintf(path, sizeof(path), "%s/" BEFORE_FILE, dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && S_ISREG(st.st_mode) && (at = buf_grow(out, (size_t)st.st_size)) &&
	    read(fd, at, (size_t)st.st_size) != st.st_size)
		buf_reset(out);
	close(fd);
}

/* A second session in the same shell goes back to what was before the first. */
static int keep_before(const struct private *p, struct error *err) {
	struct buf before = BUF_INIT(BEFORE_MAX);
	int r;

	if (getenv(DIR_VARIABLE))
		read_before(getenv(DIR_VARIABLE), &before);
	if (!before.len)
		environment_remember(&before);
	buf_add(&before, "", 1); /* never empty: nothing was set is something, too */
	r = buf_ok(&before) ? private_write_bytes(p, BEFORE_FILE, (struct str){ before.data, before.len }, err)
			    : error_set(err, ERR_INVALID, "the environment is too large to be kept");
	buf_fini(&before);
	return r;
}

static int end_session(const struct cli *cli, environment_fn *print) {
	const char *dir = getenv(DIR_VARIABLE);
	struct buf before = BUF_INIT(BEFORE_MAX);
	struct error err;

	if (!dir) {
		error_set(&err, ERR_INVALID, "this shell has no session: " DIR_VARIABLE " is not set");
		return client_tell((struct cli *)cli, &err, NULL);
	}
	read_before(dir, &before);
	end_holder(dir);
	environment_undo((struct str){ before.data, before.len }, print, NULL);
	buf_fini(&before);
	print(NULL, DIR_VARIABLE, NULL);
	return API_EXIT_OK;
}

static int begin_session(struct cli *cli, environment_fn *print) {
	struct keeper keeper;
	struct error err;
	int r = keeper_begin(&keeper, cli, true);

	if (r == API_EXIT_OK)
		lease_warn(&keeper.lease); /* of a window that closes soon, before anything is done in it */
	if (r == API_EXIT_OK && (keep_before(&keeper.private, &err) < 0 || start_holder(&keeper, &err) < 0))
		r = client_tell(cli, &err, NULL);
	if (r != API_EXIT_OK) {
		keeper_end(&keeper);
		return r;
	}
	if (getenv(DIR_VARIABLE)) /* the shell's earlier one, now that there is another */
		end_holder(getenv(DIR_VARIABLE));
	environment_each(&keeper, print, NULL);
	print(NULL, DIR_VARIABLE, keeper.private.dir);
	keeper_leave(&keeper);
	return API_EXIT_OK;
}

int cmd_env(struct cli *cli) {
	environment_fn *print = printer(cli);

	if (!print)
		return API_EXIT_USAGE;
	return cli->values[OPT_END] ? end_session(cli, print) : begin_session(cli, print);
}
