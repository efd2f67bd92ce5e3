#pragma once

/* The one table from error codes to what the outside sees: HTTP status, google.rpc name, ErrorInfo reason. */

#include "hallpass/buf.h"
#include "hallpass/error.h"

struct status {
	int http;	    /* 403 */
	const char *name;   /* "PERMISSION_DENIED" */
	const char *reason; /* ErrorInfo.reason where nothing more exact is known */
};

const struct status *status_of(enum error_code code);

/* One metadata pair of an ErrorInfo. value NULL: left out. */
struct status_detail {
	const char *key, *value;
};

/*
 * Google's error shape: {"error": {"code", "message", "status", "details": [ErrorInfo]}}.
 * reason NULL: the code's own.
 */
void status_body(struct buf *out, enum error_code code, const char *reason, const char *message,
		 const struct status_detail *details, size_t n_details);
/* The same where HTTP has a status of its own for it (413, 405): "code" is always the response's. */
void status_body_http(struct buf *out, int http, enum error_code code, const char *reason, const char *message);
