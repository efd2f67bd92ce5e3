// links: broker
/* HTTP: accepted means unambiguous, and the same at once as in pieces (the first byte says how large they are). */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/http.h"
#include "broker/surface/uri.h"
#include "tests/lib/http_whole.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

/* The plain path is the same path: in its segments, in its query, and once more. */
static void assert_plain(struct http_request *r) {
	static struct uri_path before, after;
	bool was = uri_path(r->path, &before);
	size_t slashes = 0;
	char *once;

	for (size_t i = 0; i < r->path.n; i++)
		slashes += r->path.p[i] == '/';
	if (r->escapes)
		http_plain_path(r);
	assert(uri_path(r->path, &after) == was && r->path.n && r->path.p[0] == '/');
	for (size_t i = 0; i < r->path.n; i++)
		slashes -= r->path.p[i] == '/';
	assert(slashes == 0);
	assert(!was || (before.n == after.n && before.slash == after.slash));
	for (size_t i = 0; was && i < after.n; i++)
		assert(!strcmp(before.segments[i], after.segments[i]));
	assert(!r->query.p || r->query.p == r->path.p + r->path.n + 1);
	once = strndup(r->path.p, r->path.n);
	assert(once);
	if (r->escapes)
		http_plain_path(r);
	assert(str_eq(r->path, str_of(once)));
	free(once);
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
		const char *wrong = http_whole(once, (const char *)data + 1, &p, &r);

		if (wrong)
			fprintf(stderr, "accepted, but not whole: %s\n", wrong);
		assert(!wrong);
		assert(p.consumed == q.consumed && r.body.n == s.body.n && r.n_fields == s.n_fields);
		assert(!r.body.n || !memcmp(r.body.p, s.body.p, r.body.n));
		assert_plain(&r);
	}
	if (v == HTTP_REFUSED)
		assert(p.why && p.status >= 400 && p.status == q.status);
	free(once);
	free(pieces);
	return 0;
}
