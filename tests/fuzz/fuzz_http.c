// links: broker
/* HTTP: accepted means unambiguous, and the same at once as in pieces (the first byte says how large they are). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "broker/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const struct http_request *r, const char *name) {
	size_t n = 0;

	for (size_t i = 0; i < r->n_fields; i++)
		n += r->fields[i].name.n == strlen(name) && !strncasecmp(r->fields[i].name.p, name, strlen(name));
	return n;
}

static void check(const char *data, const struct http_parser *p, const struct http_request *r) {
	for (size_t i = 0; i < p->head_len; i++) {
		unsigned char c = (unsigned char)data[i];

		assert((c >= 0x20 && c < 0x7F) || c == '\t' || c == '\r' || c == '\n');
		assert(c != '\n' || (i && data[i - 1] == '\r'));
		assert(c != '\r' || data[i + 1] == '\n');
	}
	assert(count(r, "host") == 1 || (r->minor == 0 && count(r, "host") == 0));
	assert(count(r, "content-length") + count(r, "transfer-encoding") <= 1);
	assert(r->body.n <= HTTP_MAX_BODY && p->head_len <= HTTP_MAX_HEAD && r->path.n && r->path.p[0] == '/');
	assert(p->consumed >= p->head_len);
}

static enum http_verdict run(const uint8_t *data, size_t size, size_t step, struct http_parser *p, struct http_request *r,
			     char *buffer) {
	enum http_verdict v = HTTP_MORE;

	http_parser_init(p);
	for (size_t n = 0; v == HTTP_MORE && n < size;) {
		size_t more = step < size - n ? step : size - n;

		memcpy(buffer + n, data + n, more);
		n += more;
		v = http_parse(p, buffer, n, r);
		assert(v != HTTP_DONE || p->consumed <= n);
	}
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct http_parser p, q;
	struct http_request r, s;
	char *once, *pieces;
	enum http_verdict v, w;
	size_t step;

	if (size < 2)
		return 0;
	step = data[0] % 32 + 1u;
	once = malloc(size);
	pieces = malloc(size);
	v = run(data + 1, size - 1, size, &p, &r, once);
	w = run(data + 1, size - 1, step, &q, &s, pieces);
	/* A refusal may come before a request would have been complete, never the other way round. */
	assert(v == w);
	if (v == HTTP_DONE) {
		check(once, &p, &r);
		assert(p.consumed == q.consumed && r.body.n == s.body.n && r.n_fields == s.n_fields);
		assert(!r.body.n || !memcmp(r.body.p, s.body.p, r.body.n));
	}
	if (v == HTTP_REFUSED)
		assert(p.why && p.status >= 400 && p.status == q.status);
	free(once);
	free(pieces);
	return 0;
}
