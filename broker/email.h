#pragma once

/* A service account's e-mail has one canonical form: what is decided on, recorded and sent upstream is the same text. */

#include "hallpass/buf.h"
#include "hallpass/error.h"

#define EMAIL_MAX 254

/* Lower case, one @, a dotted domain. ERR_INVALID, about `name`: case or encoding tricks are refused, not folded. */
int email_check(struct str email, const char *name, struct error *err);
