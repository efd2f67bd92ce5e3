/* See running.h. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/lib/running.h"

#define PATIENCE_MS 30000

const char *program(const char *name) {
	static char path[2][256];
	static unsigned turn;
	const char *build = getenv("HALLPASS_BUILD");
	char *p = path[turn++ % 2];

	snprintf(p, sizeof(path[0]), "%s/%s", build ? build : "build", name);
	return p;
}

static void exec_argv(const struct world *w, const char *const *argv) {
	setenv("HALLPASS_SOCKET", w->socket, 1);
	execv(argv[0], (char *const *)argv);
	_exit(127);
}

void start(const struct world *w, struct running *r, const char *const *argv) {
	int ends[2];

	memset(r, 0, sizeof(*r));
	assert_int_equal(pipe(ends), 0);
	r->pid = fork();
	if (r->pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		exec_argv(w, argv);
	}
	close(ends[1]);
	r->fd = ends[0];
}

void start_on_terminal(const struct world *w, struct running *r, unsigned short columns, const char *const *argv) {
	struct winsize size = { .ws_row = 50, .ws_col = columns };

	memset(r, 0, sizeof(*r));
	r->pid = forkpty(&r->fd, NULL, NULL, &size);
	assert_true(r->pid >= 0);
	if (r->pid == 0) {
		setenv("TERM", "xterm", 1);
		exec_argv(w, argv);
	}
}

bool wait_for(struct running *r, const char *text) {
	while (!text || !strstr(r->text, text)) {
		struct pollfd p = { .fd = r->fd, .events = POLLIN };
		ssize_t n = poll(&p, 1, PATIENCE_MS) > 0 ? read(r->fd, r->text + r->n, sizeof(r->text) - 1 - r->n) : -1;

		if (n <= 0)
			return !text;
		r->n += (size_t)n;
		r->text[r->n] = '\0';
	}
	return true;
}

int finish(struct running *r) {
	int status;

	wait_for(r, NULL);
	close(r->fd);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

size_t occurrences(const char *text, const char *what) {
	size_t n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}
