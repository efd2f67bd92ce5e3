#pragma once

/*
 * The list that `hallpass doctor` makes: checks like the broker's, {"id", "serviceAccount"?, "status", "text", "remedy"?}.
 */

#include <jansson.h>
#include "broker/cli/cli.h"

/* status: "ok", "warn", "fail", "note". remedy NULL: nothing is to be done. */
void checks_add(json_t *checks, const char *id, const char *status, const char *remedy, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* leftovers.c: variables and files by which programs get past the broker. */
void checks_leftovers(json_t *checks);
