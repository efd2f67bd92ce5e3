#pragma once

/*
 * The time zone that somebody probably meant. There is no list of zones here, so names near the wrong one are asked for, one
 * by one: a few hundred questions to the host, for an error message.
 */

#include "hallpass/policy.h"

#define ZONE_GUESS 80

/* False: nothing near enough exists. */
bool zone_guess(const struct policy_host *host, const char *name, char out[ZONE_GUESS]);
