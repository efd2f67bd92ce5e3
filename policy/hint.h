#pragma once

/*
 * What to do about a complaint of the CEL compiler, for people who write policies and not programs.
 *
 * Knows the habits that others languages leave (=, and, or, unquoted names) and the types that meet in conditions.
 * A complaint that it does not know has no hint.
 */

#include <stdbool.h>
#include <stddef.h>
#include "hallpass/policy.h"
#include "policy/cel.h"

/* names: the attributes; host: knows time zones, or NULL. False: no hint. */
bool hint_for(const struct cel_error *error, struct str expression, const char *const *names, size_t n_names,
	      const struct policy_host *host, char *out, size_t size);
