/* http: the grammar as conversations of bytes. What is accepted is one request and unambiguous; the rest has a reason. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/http.h"
#include "hallpass/cleanup.h"
#include "tests/broker/http_corpus.h"
#include "tests/lib/http_whole.h"

struct result {
	enum http_verdict verdict;
	struct http_parser parser;
	struct http_request request;
	char *data;
};

/* All at once, or `step` bytes at a time; each time from fresh memory, so that a stale view would be seen. */
static void parse(struct str bytes, size_t step, struct result *r) {
	char *old = NULL;

	http_parser_init(&r->parser);
	r->verdict = HTTP_MORE;
	r->data = NULL;
	for (size_t n = step < bytes.n ? step : bytes.n;; n = n + step < bytes.n ? n + step : bytes.n) {
		r->data = malloc(n ? n : 1);
		memcpy(r->data, bytes.p, n);
		/* A chunked body is joined in place: what was joined before is taken along. */
		if (old && r->parser.chunked && r->parser.head_len && r->parser.at <= n)
			memcpy(r->data + r->parser.head_len, old + r->parser.head_len, r->parser.body_len);
		free(old);
		old = r->data;
		r->verdict = http_parse(&r->parser, r->data, n, &r->request);
		if (r->verdict != HTTP_MORE || n == bytes.n)
			return;
	}
}

static void test_http_refuses_the_corpus(void **state) {
	(void)state;
	assert_true(ARRAY_SIZE(http_corpus) >= 100);
	for (size_t i = 0; i < ARRAY_SIZE(http_corpus); i++) {
		for (size_t step = 1; step <= 10000; step += 9999) {
			struct result r;

			parse(http_corpus[i].bytes, step, &r);
			if (r.verdict != HTTP_REFUSED || r.parser.status != http_corpus[i].status)
				fail_msg("request %zu, %zu bytes a time: verdict %d, status %d (%s), not %d:\n%s", i, step,
					 r.verdict, r.parser.status, r.parser.why ? r.parser.why : "", http_corpus[i].status,
					 http_corpus[i].bytes.p);
			assert_non_null(r.parser.why);
			free(r.data);
		}
	}
	print_message("%zu malformed requests refused\n", ARRAY_SIZE(http_corpus));
}

static const struct {
	const char *bytes;
	enum http_method method;
	const char *path, *query, *host, *body;
	bool keep_alive;
} good[] = {
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_GET, "/", "", "a", "", true },
	{ "GET /a/b?c=d&e=%20 HTTP/1.1\r\nhOsT:127.0.0.1:80\r\nX:\t v \t\r\n\r\n", HTTP_GET, "/a/b", "c=d&e=%20", "127.0.0.1:80", "", true },
	{ "GET http://h:1/x HTTP/1.1\r\nHost: other\r\n\r\n", HTTP_GET, "/x", "", "h:1", "", true },
	{ "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_GET, "/", "", "h", "", true },
	{ "HEAD / HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n\r\n", HTTP_HEAD, "/", "", "[::1]:8080", "", false },
	{ "GET / HTTP/1.0\r\n\r\n", HTTP_GET, "/", "", "", "", false },
	{ "GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n", HTTP_GET, "/", "", "", "", true },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde", HTTP_POST, "/p", "", "a", "abcde", true },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nabcde", HTTP_POST, "/p", "", "a", "abcde", true },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n", HTTP_POST, "/p", "", "a", "abc0123456789", true },
	{ "BREW /pot HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", HTTP_OTHER, "/pot", "", "a", "hi", true },
};

static void assert_str(struct str got, const char *want) {
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p ? got.p : "", want, got.n);
}

static void test_http_accepts_and_splits(void **state) {
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		for (size_t step = 1; step < 12; step++) {
			struct result r;

			parse(str_of(good[i].bytes), step == 11 ? 100000 : step, &r);
			if (r.verdict != HTTP_DONE)
				fail_msg("not accepted (%s): %s", r.parser.why ? r.parser.why : "more", good[i].bytes);
			assert_int_equal(r.request.method, good[i].method);
			assert_str(r.request.path, good[i].path);
			assert_str(r.request.query, good[i].query);
			assert_str(r.request.host, good[i].host);
			assert_str(r.request.body, good[i].body);
			assert_int_equal(r.request.keep_alive, good[i].keep_alive);
			assert_int_equal(r.parser.consumed, strlen(good[i].bytes));
			free(r.data);
		}
	}
}

static void test_http_every_prefix_waits(void **state) {
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		for (size_t n = 0; n < strlen(good[i].bytes); n++) {
			struct result r;

			parse((struct str){ good[i].bytes, n }, 100000, &r);
			assert_int_equal(r.verdict, HTTP_MORE);
			free(r.data);
		}
	}
}

/* Accepted means that the request is exactly those bytes (tests/lib/http_whole.h), however they arrive. */
static void test_http_every_mutation_is_whole_or_refused(void **state) {
	size_t accepted = 0, refused = 0, waits = 0;
	char copy[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		size_t n = strlen(good[i].bytes);

		for (size_t at = 0; at < n; at++) {
			for (int c = 0; c < 256; c++) {
				struct result r, slow;

				memcpy(copy, good[i].bytes, n);
				copy[at] = (char)c;
				parse((struct str){ copy, n }, 100000, &r);
				parse((struct str){ copy, n }, 7, &slow);
				assert_int_equal(r.verdict, slow.verdict);
				accepted += r.verdict == HTTP_DONE;
				refused += r.verdict == HTTP_REFUSED;
				waits += r.verdict == HTTP_MORE;
				if (r.verdict == HTTP_DONE) {
					const char *wrong = http_whole(r.data, copy, &r.parser, &r.request);

					if (wrong)
						fail_msg("%s: %.*s", wrong, (int)n, copy);
					assert_int_equal(r.parser.consumed, slow.parser.consumed);
					assert_int_equal(r.request.body.n, slow.request.body.n);
				} else if (r.verdict == HTTP_REFUSED) {
					assert_int_equal(r.parser.status, slow.parser.status);
				}
				free(r.data);
				free(slow.data);
			}
		}
	}
	print_message("%zu mutations refused, %zu accepted, %zu wait for more\n", refused, accepted, waits);
}

static void test_http_heads_and_targets_have_ceilings(void **state) {
	static char bytes[40000];
	struct result r;
	size_t n;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	memcpy(bytes, "GET /", 5);
	parse((struct str){ bytes, sizeof(bytes) }, sizeof(bytes), &r);
	assert_int_equal(r.parser.status, 414);
	free(r.data);
	n = (size_t)sprintf(bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	memset(bytes + n, 'a', sizeof(bytes) - n);
	parse((struct str){ bytes, sizeof(bytes) }, 100, &r);
	assert_int_equal(r.parser.status, 431);
	free(r.data);
	n = (size_t)sprintf(bytes, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < 64; i++)
		n += (size_t)sprintf(bytes + n, "X%d: y\r\n", i);
	n += (size_t)sprintf(bytes + n, "\r\n");
	parse((struct str){ bytes, n }, n, &r);
	assert_int_equal(r.parser.status, 431);
	free(r.data);
}

/* The ceilings to the byte: 8192 of head and 65536 of body are taken, one more is not. */
static void test_http_ceilings_are_exact(void **state) {
	static char bytes[HTTP_MAX_HEAD + HTTP_MAX_BODY + 64];
	struct result r;
	int n;

	(void)state;
	for (size_t head = HTTP_MAX_HEAD - 1; head <= HTTP_MAX_HEAD + 1; head++) {
		for (size_t step = 1; step <= 100000; step *= 10) {
			n = sprintf(bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
			memset(bytes + n, 'x', head - (size_t)n - 4);
			memcpy(bytes + head - 4, "\r\n\r\n", 4);
			parse((struct str){ bytes, head }, step, &r);
			assert_int_equal(r.verdict, head > HTTP_MAX_HEAD ? HTTP_REFUSED : HTTP_DONE);
			assert_int_equal(r.parser.status, head > HTTP_MAX_HEAD ? 431 : 0);
			free(r.data);
			if (step == 1)
				step = 10; /* a byte at a time copies 8 KiB each time: once is enough */
		}
	}
	for (size_t body = HTTP_MAX_BODY; body <= HTTP_MAX_BODY + 1; body++) {
		for (int chunked = 0; chunked < 2; chunked++) {
			n = sprintf(bytes, chunked ? "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n"
						   : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", body);
			memset(bytes + n, 'x', body);
			n += (int)body;
			n += sprintf(bytes + n, chunked ? "\r\n0\r\n\r\n" : "%s", "");
			parse((struct str){ bytes, (size_t)n }, 4096, &r);
			assert_int_equal(r.verdict, body > HTTP_MAX_BODY ? HTTP_REFUSED : HTTP_DONE);
			assert_int_equal(r.parser.status, body > HTTP_MAX_BODY ? 413 : 0);
			free(r.data);
		}
	}
}

static void test_http_type_is_the_type_alone(void **state) {
	static const struct {
		const char *value;
		bool is;
	} cases[] = {
		{ "application/json", true },
		{ "Application/JSON", true },
		{ "application/json; charset=utf-8", true },
		{ "application/json;charset=utf-8", true },
		{ "application/json ;x", true },
		{ "application/jsonx", false },
		{ "application/json-patch+json", false },
		{ "application/jso", false },
		{ "text/plain; application/json", false },
		{ "", false },
	};
	struct http_request request = { .n_fields = 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		request.fields[0] = (struct http_field){ STR("Content-TYPE"), str_of(cases[i].value) };
		if (http_type_is(&request, "application/json") != cases[i].is)
			fail_msg("%s", cases[i].value);
	}
	request.n_fields = 0;
	assert_false(http_type_is(&request, "application/json"));
}

/* One path in each of its spellings; what means something else stays it, and nothing is decoded twice. */
static void test_http_plain_paths_mean_the_same(void **state) {
	static const struct {
		const char *target, *path, *query, *host;
	} cases[] = {
		{ "/a%62c", "/abc", "", "h" },
		{ "/service%2Daccounts/%7e%2E%5f%30%5A%7a?x=%41&%42", "/service-accounts/~._0Zz", "x=%41&%42", "h" },
		{ "http://other:80/%76%31/%74?%74", "/v1/t", "%74", "other:80" },
		{ "/a%2Fb%3a%40%20%C3%A4", "/a%2Fb%3a%40%20%C3%A4", "", "h" }, /* no slash, no colon, nothing but what is unreserved */
		{ "/%2561%25%36%31%252D", "/%2561%2561%252D", "", "h" },	   /* once */
		{ "/%61%2F%62", "/a%2Fb", "", "h" },
		{ "/%2e%2E/x", "/../x", "", "h" }, /* surfaces refuse it, as they refuse it when it is sent so */
		{ "/x?%41", "/x", "%41", "h" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char bytes[200];
		struct result r;

		snprintf(bytes, sizeof(bytes), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", cases[i].target);
		parse(str_of(bytes), 100000, &r);
		assert_int_equal(r.verdict, HTTP_DONE);
		assert_true(r.request.escapes);
		http_plain_path(&r.request);
		assert_str(r.request.path, cases[i].path);
		assert_str(r.request.query, cases[i].query);
		assert_str(r.request.host, cases[i].host);
		assert_true(r.request.target.p + r.request.target.n == (r.request.query.n ? r.request.query.p + r.request.query.n : r.request.path.p + r.request.path.n));
		assert_memory_equal(r.request.target.p + r.request.target.n, " HTTP/1.1", 9);
		free(r.data);
	}
}

static void test_http_targets_have_no_nul_and_no_half_escape(void **state) {
	static const char *const targets[] = { "/%00", "/a%00b", "/x?y=%00", "/%", "/%2", "/%zz", "/%2g", "/a%%32D", "/%2/d", "/x?%4", "http://h/%00" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		char bytes[200];
		struct result r;

		snprintf(bytes, sizeof(bytes), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", targets[i]);
		parse(str_of(bytes), 100000, &r);
		if (r.verdict != HTTP_REFUSED || r.parser.status != 400)
			fail_msg("%s: %d", targets[i], r.verdict);
		free(r.data);
	}
	for (int i = 0; i < 2; i++) { /* which costs whoever sends none nothing */
		struct result r;

		parse(str_of(i ? "GET /x%2F HTTP/1.1\r\nHost: h\r\n\r\n" : "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"), 1, &r);
		assert_int_equal(r.request.escapes, i);
		free(r.data);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_refuses_the_corpus),
		cmocka_unit_test(test_http_accepts_and_splits),
		cmocka_unit_test(test_http_every_prefix_waits),
		cmocka_unit_test(test_http_every_mutation_is_whole_or_refused),
		cmocka_unit_test(test_http_heads_and_targets_have_ceilings),
		cmocka_unit_test(test_http_ceilings_are_exact),
		cmocka_unit_test(test_http_type_is_the_type_alone),
		cmocka_unit_test(test_http_plain_paths_mean_the_same),
		cmocka_unit_test(test_http_targets_have_no_nul_and_no_half_escape),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
