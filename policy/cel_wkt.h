#pragma once

/* Message literals of the well-known types. See cel_wkt.c. */

#include "policy/cel.h"

#define CEL_MAX_FIELDS 6

struct cel_message;

const struct cel_message *cel_message_find(const char *name); /* by its full name; NULL: not one of ours */
const struct cel_type *cel_message_type(const struct cel_message *message);
const struct cel_type *cel_message_field(const struct cel_message *message, struct str name); /* NULL: it has no such field */
