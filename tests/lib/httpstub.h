#pragma once

/*
 * A scripted HTTP/1.1 server on loopback, in threads of its own, for tests of what calls out.
 *
 * Each "METHOD /path" (the query does not count) has a queue of replies; the last one stays. What came in is kept for looking at. Not a
 * Google stand-in (tests/google/): it says what it is told to, truth or not.
 */

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct httpstub;

enum httpstub_action {
	STUB_REPLY,
	STUB_RESET, /* RST instead of an answer */
	STUB_HALF,  /* head and half of the body, then the end */
	STUB_HANG,  /* no answer until the stub is freed */
	STUB_HOLD,  /* the answer waits for httpstub_release() */
	STUB_FLOOD, /* an endless chunked body */
};

struct httpstub_reply {
	int status;
	const char *headers; /* complete lines with CRLF, or NULL */
	const char *body;
	size_t body_size; /* over 0: so many times 'x' instead of body */
	enum httpstub_action action;
};

#define STUB(status_, headers_, body_) ((struct httpstub_reply){ .status = (status_), .headers = (headers_), .body = (body_) })

/* cert_file NULL: plain. PEM files. */
struct httpstub *httpstub_new(const char *cert_file, const char *key_file);
void httpstub_free(struct httpstub *stub);
int httpstub_port(const struct httpstub *stub);
const char *httpstub_url(const struct httpstub *stub); /* "http://127.0.0.1:PORT" */

void httpstub_on(struct httpstub *stub, const char *method_and_path, const struct httpstub_reply *reply);
void httpstub_release(struct httpstub *stub);

int httpstub_count(struct httpstub *stub, const char *method_and_path); /* requests seen; NULL: all */
int httpstub_connections(struct httpstub *stub);
/* Head and body of the i-th request for it; malloc'd; NULL: there was none. */
char *httpstub_request(struct httpstub *stub, const char *method_and_path, int i);

/* Runs the loop until *flag reaches at least n; fails the test after 20 s. */
void run_until(struct event_base *base, const int *flag, int n);
