#pragma once

/* Time zones from the system's zoneinfo directory, for libpolicy, which opens no file itself. */

#include "hallpass/policy.h"

/* Reads $TZDIR or /usr/share/zoneinfo at every call; zones are read at load, so new data counts from the next reload. */
extern const struct policy_host zonefile_host;
