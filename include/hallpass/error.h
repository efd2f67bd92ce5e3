#pragma once

/*
 * Errors
 *
 * A function that can fail takes a `struct error *` as its last argument,
 * returns -1 (or NULL) and fills it exactly once, at the origin. The caller
 * either handles it or adds where it was and passes it on: error_wrap(err,
 * "policy %s", path) turns "unexpected ')'" into "policy a.yaml: unexpected ')'".
 *
 * A refusal is not an error: see struct decision in policy.h. A bug is not an
 * error either: assert() it; asserts stay on in release builds.
 *
 * Each code has one HTTP status, canonical google.rpc status name and CLI exit
 * code; broker/status.c holds that table and nothing else does.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum error_code {
	ERR_NONE = 0,
	ERR_INVALID,	     /* what we were given is malformed                    -> 400 INVALID_ARGUMENT    */
	ERR_UNAUTHENTICATED, /* we do not know who asks                            -> 401 UNAUTHENTICATED     */
	ERR_DENIED,	     /* we know, and the answer is no                      -> 403 PERMISSION_DENIED   */
	ERR_REFUSED,	     /* Google says no, until somebody changes something   -> 403 PERMISSION_DENIED   */
	ERR_NOT_FOUND,	     /* no such thing                                      -> 404 NOT_FOUND           */
	ERR_LIMIT,	     /* too many, too fast                                 -> 429 RESOURCE_EXHAUSTED  */
	ERR_CANCELLED,	     /* the client left, or we are stopping                -> 499 CANCELLED           */
	ERR_INTERNAL,	     /* a library, a bug we survived                       -> 500 INTERNAL            */
	ERR_UPSTREAM,	     /* Google or the credential's endpoint is in trouble   -> 502 UNAVAILABLE         */
	ERR_UNAVAILABLE,     /* cannot now, may later: memory, the record's disk    -> 503 UNAVAILABLE         */
	ERR_TIMEOUT,	     /* the deadline passed                                -> 504 DEADLINE_EXCEEDED   */
};

struct error {
	enum error_code code;
	char message[768]; /* for people; never holds a secret */
};

/* Sets code and message; always returns -1, so that `return error_set(...)` reads well. */
__attribute__((format(printf, 3, 4))) static inline int error_set(struct error *err, enum error_code code,
								  const char *fmt, ...) {
	va_list ap;

	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	return -1;
}

/* Of an allocation that failed: who asked may ask again. */
static inline int error_no_memory(struct error *err) {
	return error_set(err, ERR_UNAVAILABLE, "no memory for this; try again");
}

/* Puts "where: " in front of the message, keeps the code; always returns -1. */
__attribute__((format(printf, 2, 3))) static inline int error_wrap(struct error *err, const char *fmt, ...) {
	char inner[sizeof(err->message)];
	va_list ap;
	int n;

	memcpy(inner, err->message, sizeof(inner));
	va_start(ap, fmt);
	n = vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->message))
		snprintf(err->message + n, sizeof(err->message) - (size_t)n, ": %.*s",
			 (int)sizeof(err->message) - n - 3, inner);
	return -1;
}
