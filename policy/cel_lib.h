#pragma once

/* How the function libraries (cel_funcs.c, cel_lib_*.c) write their functions and tables; see struct cel_def. */

#include "policy/cel_internal.h"

#define FN(name) static struct cel_value name(const struct cel_node *node, struct cel_run *run, const struct cel_value *a)
#define UNUSED (void)node, (void)run

#define LIBRARY(variable, when, table)                                                                                 \
	const struct cel_library_defs variable = { .library = when, .defs = table, .n = sizeof(table) / sizeof(table[0]) }
