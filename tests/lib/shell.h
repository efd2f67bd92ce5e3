#pragma once

/* Shell lines in a world, with hallpass and its links in PATH: as other programs start them. */

#include <stdbool.h>
#include <stddef.h>
#include "tests/lib/world.h"

/* A directory of links to the hallpass under test comes first in PATH, HOME is the world's, and nothing of the user's is left in the environment. */
void shell_begin(const struct world *w);
/* Runs a line in the world's directory. Its exit code; what it printed. */
int shell(const struct world *w, const char *line, char *out, size_t out_size, char *err, size_t err_size);
bool have(const char *name); /* a program in PATH; false: it says "skipped" */
