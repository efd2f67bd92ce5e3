/*
 * http against llhttp, the parser of Node.js: whatever we accept, it reads in the same way, to the byte. What it accepts and we
 * refuse is our business (and printed); the other way round is a request that somebody in between could read differently.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/http.h"
#include "hallpass/cleanup.h"
#include "tests/broker/http_corpus.h"
#include "tests/llhttp/shim.h"

/* What a request is made of: each part is taken from its row at random, so that good ones and near misses mix. */
static const char *const methods[] = { "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE", "M-SEARCH" };
static const char *const targets[] = {
	"/", "/v1/token", "/a?b=c&d", "/%41%2f..", "/a;b=c,d", "//x//y", "/?", "http://h/", "http://h:8/x?y", "HTTP://H/p", "http://h",
	"/~a!$'()*+,;=:@", "/a[b]", "http://[::1]:80/",
};
static const char *const versions[] = { "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0" };
static const char *const fields[] = {
	"X: y", "X:", "X:\t \t", "X-Long: a b  c\td", "!#$%&'*+-.^_`|~: z", "Content-Type: application/json", "Connection: close",
	"Connection: keep-alive", "Connection: x, Close ,y", "Connection: keep-alive, close", "Expect: 100-continue",
	"Accept: */*;q=0.5", "Content-Length: 5", "Content-Length: 005", "Transfer-Encoding: chunked", "transfer-encoding:CHUNKED",
	"Content-Length: 5 ", "Transfer-Encoding: gzip", "Cookie: a=b; c=d", "Date: Thu, 26 Nov 2026 00:00:00 GMT", "X: :", "Keep-Alive: 5",
	"Content-Length: 0", "TE: trailers", "Trailer: X", "Host: b",
};
static const char *const bodies[] = {
	"", "abcde", "5\r\nabcde\r\n0\r\n\r\n", "0\r\n\r\n", "1\r\na\r\nA\r\n0123456789\r\n000\r\n\r\n", "3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
};
#define PICK(row) ((row)[next(seed) % ARRAY_SIZE(row)])

static void (*see)(const char *, size_t, struct llhttp_seen *);
static struct {
	size_t both, ours_alone, theirs_alone, neither;
} tally;

static uint32_t next(uint64_t *seed) {
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

static int setup(void **state) {
	const char *build = getenv("HALLPASS_BUILD");
	char path[256];
	void *so;

	(void)state;
	snprintf(path, sizeof(path), "%s/llhttp.so", build ? build : "build");
	so = dlopen(path[0] == '/' || strchr(path, '/') ? path : "./llhttp.so", RTLD_NOW);
	see = so ? (void (*)(const char *, size_t, struct llhttp_seen *))dlsym(so, "llhttp_see") : NULL;
	return 0;
}

static void needs_llhttp(void) {
	if (see)
		return;
	print_message("skipped: llhttp's C sources are not here (Debian: node-llhttp; contrib/deps.sh check fetches them)\n");
	skip();
}

static bool same(struct str a, const char *b, size_t n) {
	return a.n == n && !memcmp(a.p ? a.p : "", b, n);
}

static const char *compare(const struct http_parser *p, const struct http_request *r, const struct llhttp_seen *s) {
	const char *at = s->fields, *end = s->fields + s->fields_len;

	if (!s->complete)
		return s->refusal[0] ? s->refusal : "it waits for more";
	if (!same(r->method_name, s->method, strlen(s->method)))
		return "another method";
	if (!same(r->target, s->target, s->target_len))
		return "another target";
	if (r->minor != s->minor)
		return "another version";
	for (size_t i = 0; i < r->n_fields; i++) {
		const char *name = at, *value = memchr(at, '\n', (size_t)(end - at)), *stop;

		stop = value ? memchr(value + 1, '\n', (size_t)(end - value) - 1) : NULL;
		if (!stop || !same(r->fields[i].name, name, (size_t)(value - name)))
			return "another field name";
		while (stop > value + 1 && (stop[-1] == ' ' || stop[-1] == '\t')) /* it leaves blanks behind a value */
			stop--;
		if (!same(r->fields[i].value, value + 1, (size_t)(stop - value) - 1))
			return "another field value";
		at = memchr(stop, '\n', (size_t)(end - stop));
		at++;
	}
	if (at != end)
		return "more fields";
	if (!same(r->body, s->body, s->body_len))
		return "another body";
	if (p->consumed != s->consumed)
		return "another end";
	/* We close where both close and keep-alive stand in 1.0; it keeps. That way round nothing is misread. */
	return r->keep_alive && !s->keep_alive ? "it would close the connection" : NULL;
}

/* llhttp knows a closed list of methods; we hand on any token (and then answer 405). */
static bool they_know(struct str method) {
	static const char *const known[] = { "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE", "M-SEARCH" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (str_eq(method, str_of(known[i])))
			return true;
	return false;
}

/* A tab behind a Content-Length is a blank like any other (RFC 9110 §5.6.3); llhttp takes only spaces there, and refuses. */
static bool tab_behind_length(const struct http_request *r) {
	struct str length = http_field(r, "content-length");

	return length.p && memchr(length.p, '\t', strcspn(length.p, "\r"));
}

static void judge(const char *bytes, size_t n) {
	static struct llhttp_seen seen;
	struct http_parser p;
	struct http_request r;
	char *ours = malloc(n ? n : 1);
	enum http_verdict v;

	memcpy(ours, bytes, n);
	http_parser_init(&p);
	v = http_parse(&p, ours, n, &r);
	see(bytes, n, &seen);
	if (v == HTTP_DONE && they_know(r.method_name)) {
		const char *differs = compare(&p, &r, &seen);

		if (differs && !(seen.refusal[0] && tab_behind_length(&r)))
			fail_msg("llhttp reads it differently (%s):\n%.*s", differs, (int)n, bytes);
		tally.both++;
	} else if (v == HTTP_DONE) {
		tally.ours_alone++;
	} else if (seen.complete) {
		tally.theirs_alone++;
	} else {
		tally.neither++;
	}
	free(ours);
}

static size_t compose(uint64_t *seed, char *out, size_t size) {
	size_t n = (size_t)snprintf(out, size, "%s %s %s\r\n", PICK(methods), PICK(targets), PICK(versions));

	if (next(seed) % 16)
		n += (size_t)snprintf(out + n, size - n, "Host: %s\r\n", next(seed) % 2 ? "a" : "localhost:80");
	for (uint32_t i = next(seed) % 4; i > 0; i--)
		n += (size_t)snprintf(out + n, size - n, "%s\r\n", PICK(fields));
	return n + (size_t)snprintf(out + n, size - n, "\r\n%s", PICK(bodies));
}

static void test_llhttp_reads_what_we_accept_in_the_same_way(void **state) {
	uint64_t seed = 1;

	(void)state;
	needs_llhttp();
	memset(&tally, 0, sizeof(tally));
	for (int i = 0; i < 200000; i++) {
		char bytes[2048];
		size_t n = compose(&seed, bytes, sizeof(bytes));

		/* Every other one with a byte or two put wrong. */
		for (uint32_t k = next(&seed) % 4; k > 1; k--)
			bytes[next(&seed) % n] = next(&seed) % 2 ? (char)next(&seed) : "\r\n :\t,0x5+-;"[next(&seed) % 12];
		judge(bytes, n);
	}
	print_message("%zu read alike, %zu by us alone, %zu by llhttp alone, %zu by neither\n", tally.both, tally.ours_alone,
		      tally.theirs_alone, tally.neither);
	assert_true(tally.both > 10000);
}

static void test_llhttp_and_the_corpus(void **state) {
	(void)state;
	needs_llhttp();
	memset(&tally, 0, sizeof(tally));
	for (size_t i = 0; i < ARRAY_SIZE(http_corpus); i++)
		judge(http_corpus[i].bytes.p, http_corpus[i].bytes.n);
	print_message("of %zu malformed requests that we refuse llhttp takes %zu\n", ARRAY_SIZE(http_corpus), tally.theirs_alone);
	assert_int_equal(tally.both + tally.ours_alone, 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_llhttp_reads_what_we_accept_in_the_same_way),
		cmocka_unit_test(test_llhttp_and_the_corpus),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
