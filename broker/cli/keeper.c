/* The directory, the token file and the session together. See keep.h. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/keep.h"
#include "hallpass/cleanup.h"

int64_t keep_now_s(void) {
	return (int64_t)time(NULL);
}

int64_t keep_now_ms(void) {
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void keep_tell(const struct cli *cli, enum color color, const char *text) {
	const char *line = cli->aside ? "\r\n" : "\n"; /* a shell may be reading there, and has its prompt out */

	fprintf(stderr, "%s%shallpass: %s%s%s", cli->aside ? line : "", out_color_err(cli, color), text, out_color_err(cli, COLOR_NONE), line);
}

int keep_watch_signals(void) {
	static const int ends[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		sigaddset(&set, ends[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

void keep_leave_terminal(struct cli *cli) {
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), terminal = -1;

	setsid();
	/* Opened anew: whoever stops the terminal (Ctrl-S) does not stop us, and the shell's own is not made non-blocking. */
	if (isatty(STDERR_FILENO))
		terminal = open("/proc/self/fd/2", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(fd == STDERR_FILENO && terminal >= 0 ? terminal : null, fd);
	cli->aside = true;
}

/* Where programs could not reach the broker's port, they get one here. */
static int begin_session(struct keeper *k, struct error *err) {
	if (control_begin(&k->control, k->body, err) < 0)
		return -1;
	if (!k->control.elsewhere)
		return 0;
	control_end(&k->control);
	if (relay_fork(k->cli, k->body, &k->private, k->hidden, &k->relayed, err) < 0)
		return error_wrap(err, "the broker's ports are on another network, and a relay");
	k->control.port = k->relayed.port;
	return 0;
}

/* FNV-1a. Nobody else chooses these texts, or comes in where they lead. */
static uint64_t hash_more(uint64_t h, const char *text) {
	do
		h = (h ^ (unsigned char)*text) * 0x100000001b3;
	while (*text++);
	return h;
}

/*
 * The account, and what is asked with it: clients keep a token by the account's name alone, and would take one of many scopes, or of
 * another lifetime or reason, in a session that asked for less. Those who ask the same share it.
 */
static void name_identity(const struct keeper *k, char *out, size_t size) {
	char *body = json_dumps(k->body, JSON_SORT_KEYS | JSON_COMPACT);
	uint64_t h = hash_more(0xcbf29ce484222325, body ? body : "");

	free(body);
	for (size_t i = 0; i < k->cli->n_also; i++)
		h = hash_more(h, k->cli->also[i]);
	if (json_object_size(k->body) > 1 || k->cli->n_also)
		snprintf(out, size, "%.100s.%016llx", k->lease.account, (unsigned long long)h);
	else
		snprintf(out, size, "%s", k->lease.account);
}

/* A token first: whom the policy says no to is told so, and nothing else happens. */
static int begin(struct keeper *k) {
	json_t *reply = NULL;
	struct error err = { 0 };
	char identity[128];
	bool alone;
	int r;

	if (private_make(&k->private, &err) < 0)
		return client_tell(k->cli, &err, NULL);
	r = client_call(k->cli, API_PATH_TOKEN, json_incref(k->body), &reply);
	if (r != API_EXIT_OK)
		return r;
	name_identity(k, identity, sizeof(identity));
	if (lease_begin(&k->lease, reply, &err) < 0 || begin_session(k, &err) < 0 ||
	    private_share(&k->identity, &k->private, identity, &alone, &err) < 0 || profile_write(k, alone, &err) < 0)
		r = client_tell(k->cli, &err, NULL);
	else
		profile_tell_login(k);
	json_decref(reply);
	return r;
}

int keeper_begin(struct keeper *k, struct cli *cli, bool hidden) {
	*k = (struct keeper){ .cli = cli, .hidden = hidden, .relayed = { .leash = -1 }, .private = { .fd = -1 }, .identity = { .fd = -1 }, .lease = { .news = -1 },
			      .control = { .fd = -1 } };
	if (!cli->values[OPT_AS])
		return help_usage_error(cli->command, "as whom? --as ACCOUNT; see `hallpass list`");
	if (cli->values[OPT_METADATA] && cli->values[OPT_EXTERNAL])
		return help_usage_error(cli->command, "--metadata names no credential file, --external-account another one: which?");
	k->body = cli_token_body(cli);
	if (!k->body)
		return API_EXIT_USAGE;
	k->lease.cli = k->control.cli = cli;
	k->lease.account = cli->values[OPT_AS];
	k->lease.body = k->body;
	k->lease.private = k->control.private = &k->private;
	return begin(k);
}

int keeper_polls(const struct keeper *k, struct pollfd polls[KEEPER_POLLS]) {
	int lease = lease_timeout_ms(&k->lease), control = control_timeout_ms(&k->control);

	polls[0] = (struct pollfd){ .fd = lease_fd(&k->lease), .events = POLLIN };
	polls[1] = (struct pollfd){ .fd = control_fd(&k->control), .events = POLLIN };
	return lease < 0 || (control >= 0 && control < lease) ? control : lease;
}

void keeper_turn(struct keeper *k, const struct pollfd polls[KEEPER_POLLS]) {
	lease_turn(&k->lease, polls[0].revents != 0);
	control_turn(&k->control, polls[1].revents != 0);
}

void keeper_leave(struct keeper *k) {
	control_end(&k->control);
	if (k->identity.fd >= 0)
		close(k->identity.fd);
	if (k->relayed.leash >= 0)
		close(k->relayed.leash);
	if (k->private.fd >= 0)
		close(k->private.fd);
	json_decref(k->body);
}

void keeper_end(struct keeper *k) {
	lease_end(&k->lease);
	relay_unleash(&k->relayed);
	private_unshare(&k->identity);
	private_remove(&k->private);
	keeper_leave(k);
}
