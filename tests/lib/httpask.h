#pragma once

/* One HTTP/1.1 question over loopback TCP, blocking, for tests: bytes out, bytes in. */

#include <jansson.h>

struct http_answer {
	int status;	/* 0: none came (a reset, say) */
	char *text;	/* head and body; malloc'd, never NULL */
	const char *body;
	size_t body_len;
	json_t *json; /* the body, where it is JSON */
};

/* url: "http://127.0.0.1:PORT"; headers: complete lines with CRLF, or NULL (a Host among them is the only one); body NULL: none. */
void http_ask(const char *url, const char *method, const char *path, const char *headers, const char *body,
	      struct http_answer *out);
void http_answer_fini(struct http_answer *answer);
/* "error.details.0.reason"; "" where it is not a string. */
const char *http_answer_text(const struct http_answer *answer, const char *dotted);
long long http_answer_int(const struct http_answer *answer, const char *dotted);
