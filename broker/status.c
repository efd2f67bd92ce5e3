/* See status.h. */

#include <assert.h>
#include "broker/status.h"
#include "hallpass/cleanup.h"

static const struct status statuses[] = {
	[ERR_NONE] = { 200, "OK", "OK" },
	[ERR_INVALID] = { 400, "INVALID_ARGUMENT", "INVALID_REQUEST" },
	[ERR_UNAUTHENTICATED] = { 401, "UNAUTHENTICATED", "UNKNOWN_CALLER" },
	[ERR_DENIED] = { 403, "PERMISSION_DENIED", "DENIED" },
	[ERR_REFUSED] = { 403, "PERMISSION_DENIED", "UPSTREAM_REFUSED" },
	[ERR_NOT_FOUND] = { 404, "NOT_FOUND", "NOT_FOUND" },
	[ERR_LIMIT] = { 429, "RESOURCE_EXHAUSTED", "RATE_LIMITED" },
	[ERR_CANCELLED] = { 499, "CANCELLED", "CANCELLED" },
	[ERR_INTERNAL] = { 500, "INTERNAL", "INTERNAL" },
	[ERR_UPSTREAM] = { 502, "UNAVAILABLE", "UPSTREAM_FAILED" },
	[ERR_UNAVAILABLE] = { 503, "UNAVAILABLE", "UNAVAILABLE" },
	[ERR_TIMEOUT] = { 504, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED" },
};

const struct status *status_of(enum error_code code) {
	assert((size_t)code < ARRAY_SIZE(statuses));
	return &statuses[code];
}

static void status_metadata(struct buf *out, const struct status_detail *details, size_t n) {
	const char *comma = "";

	for (size_t i = 0; i < n; i++) {
		if (!details[i].value)
			continue;
		buf_adds(out, comma);
		buf_add_json(out, details[i].key, strlen(details[i].key));
		buf_addc(out, ':');
		buf_add_json(out, details[i].value, strlen(details[i].value));
		comma = ",";
	}
}

static void status_add(struct buf *out, int http, enum error_code code, const char *reason, const char *message,
		       const struct status_detail *details, size_t n_details) {
	const struct status *status = status_of(code);

	buf_addf(out, "{\"error\":{\"code\":%d,\"message\":", http);
	buf_add_json(out, message, strlen(message));
	buf_addf(out, ",\"status\":\"%s\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":",
		 status->name);
	buf_add_json(out, reason ? reason : status->reason, strlen(reason ? reason : status->reason));
	buf_adds(out, ",\"domain\":\"hallpass\",\"metadata\":{");
	status_metadata(out, details, n_details);
	buf_adds(out, "}}]}}\n");
}

void status_body(struct buf *out, enum error_code code, const char *reason, const char *message,
		 const struct status_detail *details, size_t n_details) {
	status_add(out, status_of(code)->http, code, reason, message, details, n_details);
}

void status_body_http(struct buf *out, int http, enum error_code code, const char *reason, const char *message) {
	status_add(out, http, code, reason, message, NULL, 0);
}
