#pragma once

/* A service account's e-mail has one canonical form: what is decided on, recorded and sent upstream is the same text. */

#include "hallpass/buf.h"
#include "hallpass/error.h"

#define EMAIL_MAX 254

/* Lower case, one @, a dotted domain. ERR_INVALID, about `name`: case or encoding tricks are refused, not folded. */
int email_check(struct str email, const char *name, struct error *err);

/* "dev-sa@acme-ml.iam.gserviceaccount.com" -> acme-ml. False: it is of no project's domain. */
bool email_project(const char *email, char *out, size_t size);
