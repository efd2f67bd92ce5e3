#pragma once

/*
 * Paths, queries and forms taken apart, for surfaces whose paths have names in them. Pure.
 *
 * A path is split at its slashes before anything is decoded, so that an encoded slash is part of a name and never a way
 * around one. What decodes to a control character, or to something beside UTF-8, is refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include "hallpass/buf.h"

#define URI_MAX_SEGMENTS 12
#define URI_MAX_TEXT 8192

struct uri_path {
	const char *segments[URI_MAX_SEGMENTS]; /* decoded */
	size_t n;
	bool slash; /* it ends in one */
	char text[URI_MAX_TEXT];
};

/* "/a/b%2Fc/" -> "a", "b/c", slash. False: an empty, "." or ".." segment, too many, or what does not decode. */
bool uri_path(struct str path, struct uri_path *out);

/* The value of the first parameter of this name, decoded into out. 1: there is one; 0: none; -1: it does not decode or fit. */
int uri_parameter(struct str query, const char *name, char *out, size_t size);

/*
 * The same of a form (application/x-www-form-urlencoded), where a plus is a blank, names may be encoded, too, and an empty value
 * is none. -1 as well: it stands there twice (RFC 6749 §3.2).
 */
int uri_form(struct str form, const char *name, char *out, size_t size);
