#pragma once

/* A program that goes on while a scenario does something: what it writes, and how it ends. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "tests/lib/world.h"

struct running {
	pid_t pid;
	int fd; /* what it writes: a pipe of stdout and stderr, or its terminal */
	char text[65536];
	size_t n;
};

const char *program(const char *name); /* of the build under test; good until the next call but one */

/* argv[0] is a path. HALLPASS_SOCKET names the world's broker. */
void start(const struct world *w, struct running *r, const char *const *argv);
/* The same on a terminal of its own, so many columns wide (0: it does not say). */
void start_on_terminal(const struct world *w, struct running *r, unsigned short columns, const char *const *argv);

/* Reads on until text appears, or (NULL) until the end. */
bool wait_for(struct running *r, const char *text);
/* What is left of its output, and its exit code; 128 + the signal's number where that ended it. */
int finish(struct running *r);

size_t occurrences(const char *text, const char *what);
