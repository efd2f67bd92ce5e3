/* fetch: exactly once, never from inside start, silent after cancel, bounded, trusts nobody it should not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <event2/event.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/fetch.h"
#include "hallpass/cleanup.h"
#include "broker/log.h"
#include "tests/lib/connectproxy.h"
#include "tests/lib/httpstub.h"
#include "tests/lib/testcert.h"

struct world {
	struct event_base *base;
	struct httpstub *stub;
	struct fetcher *fetcher;
	struct log log;
	int calls, again;
	struct fetch_result last;
	char body[256], header[64];
};

static void make_fetcher(struct world *w, const struct fetch_options *options) {
	struct error err;

	fetcher_free(w->fetcher);
	w->fetcher = NULL;
	assert_int_equal(fetcher_new(w->base, options, &w->log, &w->fetcher, &err), 0);
}

static int setup(void **state) {
	struct world *w = test_calloc(1, sizeof(*w));

	log_init(&w->log, 2, LOG_LEVEL_ERROR);
	w->base = event_base_new();
	w->stub = httpstub_new(NULL, NULL);
	make_fetcher(w, &(struct fetch_options){ 0 });
	*state = w;
	return 0;
}

static int teardown(void **state) {
	struct world *w = *state;

	fetcher_free(w->fetcher);
	httpstub_free(w->stub);
	event_base_free(w->base);
	test_free(w);
	return 0;
}

static void on_done(const struct fetch_result *r, void *arg);

static struct fetch *get_within(struct world *w, const char *url, unsigned timeout_ms) {
	struct fetch_spec spec = { .method = "GET", .url = url, .timeout_ms = timeout_ms, .body_max = 128,
				   .want_header = "x-wanted" };
	struct fetch *fetch;
	struct error err;

	if (fetch_start(w->fetcher, &spec, on_done, w, &fetch, &err) < 0)
		fail_msg("%s", err.message);
	return fetch;
}

static struct fetch *get(struct world *w, const char *url) {
	return get_within(w, url, 15000);
}

static struct fetch *get_path(struct world *w, const char *path) {
	char url[256];

	snprintf(url, sizeof(url), "%s%s", httpstub_url(w->stub), path);
	return get(w, url);
}

static void on_done(const struct fetch_result *r, void *arg) {
	struct world *w = arg;

	w->calls++;
	w->last = *r;
	snprintf(w->body, sizeof(w->body), "%s", r->body);
	snprintf(w->header, sizeof(w->header), "%s", r->header ? r->header : "(none)");
	if (w->again-- > 0)
		get_path(w, "/a"); /* starting from done() is allowed */
}

static void reply(struct world *w, const char *what, struct httpstub_reply r) {
	httpstub_on(w->stub, what, &r);
}

static void test_fetch_answers_once_and_later(void **state) {
	struct world *w = *state;

	reply(w, "GET /a", STUB(200, "X-Wanted: yes\r\n", "token"));
	get_path(w, "/a?q=1");
	assert_int_equal(w->calls, 0);
	run_until(w->base, &w->calls, 1);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_int_equal(w->last.status, 200);
	assert_int_equal(w->last.retry_after_s, -1);
	assert_true(w->last.sent);
	assert_string_equal(w->body, "token");
	assert_string_equal(w->header, "yes");
}

static void test_fetch_reuses_its_connection_from_done(void **state) {
	struct world *w = *state;

	reply(w, "GET /a", STUB(200, NULL, "x"));
	w->again = 3;
	get_path(w, "/a");
	run_until(w->base, &w->calls, 4);
	assert_int_equal(httpstub_connections(w->stub), 1);
}

static void test_fetch_sends_what_it_is_told_and_no_more(void **state) {
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	struct world *w = *state;
	struct secret bearer = { 0 };
	struct fetch *fetch;
	struct error err;
	char url[256], *seen;

	reply(w, "POST /p", STUB(200, "Set-Cookie: a=b\r\n", "x"));
	snprintf(url, sizeof(url), "%s/p", httpstub_url(w->stub));
	assert_int_equal(secret_set(&bearer, "ya29.secret", 11), 0);
	for (int i = 1; i <= 2; i++) {
		assert_int_equal(fetch_start(w->fetcher,
					     &(struct fetch_spec){ .method = "POST", .url = url, .headers = headers,
								   .bearer = &bearer, .body = "{\"a\":1}", .body_len = 7,
								   .timeout_ms = 15000, .body_max = 9 },
					     on_done, w, &fetch, &err),
				 0);
		run_until(w->base, &w->calls, i);
	}
	seen = httpstub_request(w->stub, "POST /p", 1);
	assert_non_null(strstr(seen, "Authorization: Bearer ya29.secret\r\n"));
	assert_non_null(strstr(seen, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(seen, "User-Agent: hallpass/"));
	assert_non_null(strstr(seen, "\r\n\r\n{\"a\":1}"));
	assert_null(strcasestr(seen, "accept-encoding"));
	assert_null(strcasestr(seen, "cookie"));
	assert_null(strcasestr(seen, "expect:"));
	free(seen);
	secret_fini(&bearer);
}

/* --- handles are used again */

static struct fetch *call(struct world *w, const char *path, struct fetch_spec spec) {
	struct fetch *fetch;
	struct error err;
	char url[256];

	snprintf(url, sizeof(url), "%s%s", httpstub_url(w->stub), path);
	spec.url = url;
	spec.timeout_ms = 15000;
	spec.body_max = 128;
	if (fetch_start(w->fetcher, &spec, on_done, w, &fetch, &err) < 0)
		fail_msg("%s", err.message);
	return fetch;
}

static void call_and_wait(struct world *w, const char *path, struct fetch_spec spec) {
	int calls = w->calls;

	call(w, path, spec);
	run_until(w->base, &w->calls, calls + 1);
	assert_int_equal(w->last.error.code, ERR_NONE);
}

static void test_P5_fetch_carries_nothing_over(void **state) {
	static const char *const headers[] = { "Content-Type: application/json", "X-Mine: 1", NULL };
	struct secret bearer = { 0 };
	struct world *w = *state;
	char *seen;

	reply(w, "PUT /first", STUB(200, "X-Wanted: yes\r\nRetry-After: 7\r\n", "of the first"));
	reply(w, "GET /second", STUB(200, NULL, "b"));
	reply(w, "POST /third", STUB(200, NULL, ""));
	assert_int_equal(secret_set(&bearer, "ya29.secret", 11), 0);
	call_and_wait(w, "/first", (struct fetch_spec){ .method = "PUT", .headers = headers, .bearer = &bearer, .body = "of-the-first", .body_len = 12,
							.want_header = "x-wanted" });
	secret_fini(&bearer);
	assert_string_equal(w->header, "yes");
	assert_int_equal(w->last.retry_after_s, 7);
	call_and_wait(w, "/second", (struct fetch_spec){ .method = "GET", .want_header = "x-wanted" });
	assert_string_equal(w->body, "b");
	assert_string_equal(w->header, "(none)");
	assert_int_equal(w->last.retry_after_s, -1);
	seen = httpstub_request(w->stub, "GET /second", 0);
	assert_non_null(seen);
	assert_null(strcasestr(seen, "Authorization"));
	assert_null(strcasestr(seen, "Content-"));
	assert_null(strcasestr(seen, "X-Mine"));
	assert_null(strstr(seen, "of-the-first"));
	assert_memory_equal(seen + strlen(seen) - 4, "\r\n\r\n", 4);
	free(seen);
	call_and_wait(w, "/third", (struct fetch_spec){ .method = "POST", .body = "{}", .body_len = 2 });
	assert_string_equal(w->body, "");
	seen = httpstub_request(w->stub, "POST /third", 0);
	assert_non_null(seen);
	assert_null(strcasestr(seen, "Authorization"));
	assert_null(strcasestr(seen, "X-Mine"));
	assert_non_null(strstr(seen, "\r\n\r\n{}"));
	free(seen);
	assert_int_equal(httpstub_connections(w->stub), 1);
}

/* Several at once, and then once more with the handles of the first ones: each has its own path, bearer and body. */
static void test_fetch_mixes_up_no_calls(void **state) {
	struct world *w = *state;
	char what[32], text[32], *seen;

	for (int i = 0; i < 6; i++) {
		snprintf(what, sizeof(what), "POST /call-%d", i);
		reply(w, what, STUB(200, NULL, "x"));
	}
	for (int round = 0; round < 4; round++) {
		for (int k = 0; k < 6; k++) {
			int i = (k + round) % 6;
			struct secret bearer = { 0 };

			snprintf(what, sizeof(what), "/call-%d", i);
			snprintf(text, sizeof(text), "mine-%d-%d", i, round);
			assert_int_equal(secret_set(&bearer, text, strlen(text)), 0);
			call(w, what, (struct fetch_spec){ .method = "POST", .bearer = &bearer, .body = text, .body_len = strlen(text) });
			secret_fini(&bearer);
		}
		run_until(w->base, &w->calls, 6 * (round + 1));
		for (int i = 0; i < 6; i++) {
			snprintf(what, sizeof(what), "POST /call-%d", i);
			snprintf(text, sizeof(text), "mine-%d-%d", i, round);
			seen = httpstub_request(w->stub, what, round);
			assert_non_null(seen);
			assert_non_null(strstr(seen, text));
			assert_string_equal(strstr(seen, "\r\n\r\n") + 4, text);
			free(seen);
		}
	}
	assert_int_equal(httpstub_count(w->stub, NULL), 24);
}

/* libcurl calls once more where a connection that it kept turns out to be dead: the very same call, not an earlier one. */
static void test_fetch_calls_the_same_again_where_a_kept_connection_is_dead(void **state) {
	struct secret bearer = { 0 };
	struct world *w = *state;
	char *first, *again;

	reply(w, "GET /before", STUB(200, NULL, "x"));
	reply(w, "POST /now", (struct httpstub_reply){ .action = STUB_RESET });
	reply(w, "POST /now", STUB(200, NULL, "y"));
	call_and_wait(w, "/before", (struct fetch_spec){ .method = "GET" });
	assert_int_equal(secret_set(&bearer, "ya29.secret", 11), 0);
	call_and_wait(w, "/now", (struct fetch_spec){ .method = "POST", .bearer = &bearer, .body = "{}", .body_len = 2 });
	secret_fini(&bearer);
	assert_string_equal(w->body, "y");
	assert_int_equal(httpstub_count(w->stub, "GET /before"), 1);
	assert_int_equal(httpstub_count(w->stub, "POST /now"), 2);
	first = httpstub_request(w->stub, "POST /now", 0);
	again = httpstub_request(w->stub, "POST /now", 1);
	assert_string_equal(first, again);
	free(first);
	free(again);
}

/* That one origin is known opens no other, whatever its URL begins with. */
static void test_fetch_judges_urls_that_begin_like_a_known_one(void **state) {
	static const char *const more[] = { ".example.com/", "@example.com/", "\\@example.com/", "%40example.com/" };
	struct world *w = *state;
	struct fetch *fetch;
	struct error err;
	char url[256];

	reply(w, "GET /a", STUB(200, NULL, "x"));
	call_and_wait(w, "/a", (struct fetch_spec){ .method = "GET" });
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		snprintf(url, sizeof(url), "%s%s", httpstub_url(w->stub), more[i]);
		if (fetch_start(w->fetcher, &(struct fetch_spec){ .method = "GET", .url = url, .timeout_ms = 100 }, on_done, w, &fetch, &err) == 0)
			fail_msg("%s was called", url);
		assert_int_equal(err.code, ERR_INVALID);
	}
	/* Another port is another origin; no path is a path. */
	get(w, "http://127.0.0.1:1/a");
	run_until(w->base, &w->calls, 2);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	assert_int_equal(httpstub_count(w->stub, NULL), 1);
	get(w, httpstub_url(w->stub));
	run_until(w->base, &w->calls, 3);
	assert_int_equal(httpstub_count(w->stub, "GET /"), 1);
	/* What is no plain path is called as libcurl reads it. */
	call_and_wait(w, "/x/../a?b=c#d", (struct fetch_spec){ .method = "GET" });
	assert_int_equal(httpstub_count(w->stub, "GET /a"), 2);
	call_and_wait(w, "/a", (struct fetch_spec){ .method = "GET" });
	assert_int_equal(httpstub_count(w->stub, "GET /a"), 3);
}

/* More origins than are remembered: names of one host, to which capitals make no difference. */
static void test_fetch_calls_many_origins(void **state) {
	struct world *w = *state;
	char url[64];

	reply(w, "GET /a", STUB(200, NULL, "x"));
	for (int i = 0; i < 2 * 9; i++) {
		char host[] = "localhost";

		host[i / 2] -= 32;
		snprintf(url, sizeof(url), "http://%s:%d/a", host, httpstub_port(w->stub));
		get(w, url);
		run_until(w->base, &w->calls, i + 1);
		assert_int_equal(w->last.error.code, ERR_NONE);
	}
	assert_int_equal(httpstub_count(w->stub, "GET /a"), 18);
}

/* Where calls take their time a burst begins in groups: all are answered in the end, but for those that are given up before. */
static void test_fetch_begins_a_burst_in_groups(void **state) {
	struct world *w = *state;
	struct fetch *calls[40];

	reply(w, "GET /slow", (struct httpstub_reply){ .status = 200, .body = "x", .action = STUB_HOLD });
	reply(w, "GET /a", STUB(200, NULL, "x"));
	get_path(w, "/slow");
	while (httpstub_count(w->stub, "GET /slow") == 0)
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	usleep(200000); /* it learns that calls take long */
	httpstub_release(w->stub);
	run_until(w->base, &w->calls, 1);
	for (int i = 0; i < 40; i++)
		calls[i] = get_path(w, "/a");
	fetch_cancel(calls[39]);
	fetch_cancel(calls[20]);
	run_until(w->base, &w->calls, 39);
	assert_int_equal(w->last.status, 200);
	get_path(w, "/a");
	run_until(w->base, &w->calls, 40);
	assert_int_equal(httpstub_count(w->stub, "GET /a"), 39);
	for (int i = 0; i < 40; i++)
		get_path(w, "/a"); /* teardown frees the fetcher with most of these not begun */
}

static void test_fetch_reads_retry_after(void **state) {
	static const struct {
		const char *header;
		int64_t least, most;
	} cases[] = {
		{ "Retry-After: 7\r\n", 7, 7 },
		{ "Retry-After: 0\r\n", 0, 0 },
		{ "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n", 0, 0 },
		{ "Retry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n", 1000000, INT64_MAX },
		{ "Retry-After: 99999999999999999999\r\n", 999999999, 999999999 },
		{ "Retry-After: -5\r\n", -1, -1 },
		{ "Retry-After: soon\r\n", -1, -1 },
		{ "", -1, -1 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		reply(w, "GET /busy", STUB(429, cases[i].header, "{}"));
		if (i == 0)
			continue; /* one ahead: the last reply stays */
		get_path(w, "/busy");
		run_until(w->base, &w->calls, (int)i);
		assert_int_equal(w->last.status, 429);
		if (w->last.retry_after_s < cases[i - 1].least || w->last.retry_after_s > cases[i - 1].most)
			fail_msg("%s: %lld", cases[i - 1].header, (long long)w->last.retry_after_s);
	}
}

static void test_fetch_reports_broken_connections(void **state) {
	struct world *w = *state;

	reply(w, "GET /reset", (struct httpstub_reply){ .action = STUB_RESET });
	reply(w, "GET /half", (struct httpstub_reply){ .status = 200, .body = "0123456789", .action = STUB_HALF });
	get_path(w, "/reset");
	run_until(w->base, &w->calls, 1);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	assert_true(w->last.transient && w->last.sent);
	get_path(w, "/half");
	run_until(w->base, &w->calls, 2);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	assert_true(w->last.transient);
	get(w, "http://127.0.0.1:1/");
	run_until(w->base, &w->calls, 3);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	assert_true(w->last.transient && !w->last.sent);
	assert_int_equal(w->last.status, 0);
}

static void test_fetch_refuses_long_answers(void **state) {
	struct world *w = *state;

	reply(w, "GET /long", (struct httpstub_reply){ .status = 200, .body_size = 10 * 1000 * 1000 });
	reply(w, "GET /flood", (struct httpstub_reply){ .action = STUB_FLOOD });
	reply(w, "GET /just", (struct httpstub_reply){ .status = 200, .body_size = 128 });
	get_path(w, "/long");
	run_until(w->base, &w->calls, 1);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	assert_non_null(strstr(w->last.error.message, "longer than 128 bytes"));
	assert_false(w->last.transient);
	get_path(w, "/flood");
	run_until(w->base, &w->calls, 2);
	assert_non_null(strstr(w->last.error.message, "longer than 128 bytes"));
	get_path(w, "/just");
	run_until(w->base, &w->calls, 3);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_int_equal(w->last.body_len, 128);
}

static void test_fetch_times_out(void **state) {
	struct world *w = *state;
	struct fetch *fetch;
	struct error err;
	char url[128];

	reply(w, "GET /hang", (struct httpstub_reply){ .action = STUB_HANG });
	snprintf(url, sizeof(url), "%s/hang", httpstub_url(w->stub));
	assert_int_equal(fetch_start(w->fetcher,
				     &(struct fetch_spec){ .method = "GET", .url = url, .timeout_ms = 50, .body_max = 9 },
				     on_done, w, &fetch, &err),
			 0);
	run_until(w->base, &w->calls, 1);
	assert_int_equal(w->last.error.code, ERR_TIMEOUT);
}

static void test_fetch_is_silent_after_cancel(void **state) {
	struct world *w = *state;
	struct fetch *hanging;

	reply(w, "GET /hang", (struct httpstub_reply){ .action = STUB_HANG });
	reply(w, "GET /a", STUB(200, NULL, "x"));
	hanging = get_path(w, "/hang");
	get_path(w, "/a");
	run_until(w->base, &w->calls, 1);
	fetch_cancel(hanging);
	get_path(w, "/a");
	run_until(w->base, &w->calls, 2);
	assert_int_equal(w->last.status, 200);
	get_path(w, "/hang"); /* teardown frees the fetcher with this one under way */
}

static void test_fetch_does_not_follow_redirects(void **state) {
	struct world *w = *state;

	reply(w, "GET /away", STUB(302, "Location: /a\r\n", ""));
	get_path(w, "/away");
	run_until(w->base, &w->calls, 1);
	assert_int_equal(w->last.status, 302);
	assert_int_equal(httpstub_count(w->stub, NULL), 1);
}

static void test_fetch_refuses_urls(void **state) {
	static const char *const urls[] = {
		"http://example.com/",	  "http://127.example.com/", "http://10.0.0.1/", "file:///etc/passwd",
		"ftp://127.0.0.1/",	  "https://a:b@example.com/", "",		   "http://localhost.example.com/",
		"http://1.127.0.0.1.x/", "gopher://localhost/",	     "https://",	 "http://[::2]/",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct error err = { 0 };
		struct fetch *fetch;

		if (fetch_start(w->fetcher, &(struct fetch_spec){ .method = "GET", .url = urls[i], .timeout_ms = 100 },
				on_done, w, &fetch, &err) == 0)
			fail_msg("%s was called", urls[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void test_fetch_takes_so_many_headers_and_no_more(void **state) {
	static const char *headers[34];
	struct world *w = *state;
	struct fetch *fetch;
	struct error err;
	char url[128];

	for (size_t i = 0; i < 33; i++)
		headers[i] = "X-A: b";
	reply(w, "GET /a", STUB(200, NULL, "x"));
	snprintf(url, sizeof(url), "%s/a", httpstub_url(w->stub));
	assert_int_equal(fetch_start(w->fetcher, &(struct fetch_spec){ .method = "GET", .url = url, .headers = headers, .timeout_ms = 100 },
				     on_done, w, &fetch, &err),
			 -1);
	assert_int_equal(err.code, ERR_INVALID);
	headers[32] = NULL;
	assert_int_equal(fetch_start(w->fetcher, &(struct fetch_spec){ .method = "GET", .url = url, .headers = headers,
								       .timeout_ms = 15000, .body_max = 9 },
				     on_done, w, &fetch, &err),
			 0);
	run_until(w->base, &w->calls, 1);
	assert_int_equal(w->last.status, 200);
}

/* What a credential file names is checked before anything is called, and quoted without what may be secret. */
static void test_fetch_says_what_it_would_call(void **state) {
	static const char *const good[] = { "https://example.com/x?y=z", "http://127.0.0.1:8080/", "http://localhost", "http://[::1]/",
					    "http://169.254.169.254/x", "http://metadata.google.internal/" };
	struct world *w = *state;
	struct error err;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(fetch_may_call(w->fetcher, good[i], &err), 0);
	assert_int_equal(fetch_may_call(w->fetcher, "http://example.com/x?key=secret", &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.message, "'http://example.com/x' is plain http, and neither loopback nor the metadata server");
	assert_int_equal(fetch_may_call(w->fetcher, "nonsense", &err), -1);
	make_fetcher(w, &(struct fetch_options){ .allow_http = true });
	assert_int_equal(fetch_may_call(w->fetcher, "http://example.com/", &err), 0);
	assert_int_equal(httpstub_count(w->stub, NULL), 0);
}

static void test_fetch_refuses_injected_headers(void **state) {
	static const char *const headers[] = { "X-A: b\r\nX-Evil: 1", NULL };
	struct world *w = *state;
	struct secret bearer = { 0 };
	struct fetch *fetch;
	struct error err;

	assert_int_equal(fetch_start(w->fetcher,
				     &(struct fetch_spec){ .method = "GET", .url = "https://example.com/",
							   .headers = headers, .timeout_ms = 100 },
				     on_done, w, &fetch, &err),
			 -1);
	assert_int_equal(secret_set(&bearer, "a\nb", 3), 0);
	assert_int_equal(fetch_start(w->fetcher,
				     &(struct fetch_spec){ .method = "GET", .url = "https://example.com/",
							   .bearer = &bearer, .timeout_ms = 100 },
				     on_done, w, &fetch, &err),
			 -1);
	secret_fini(&bearer);
}

/* --- TLS: our CA and the right name, or nothing */

static void tls_case(struct world *w, const struct testcert *server, const char *ca_file, const char *says) {
	struct httpstub *tls = httpstub_new(server->cert_file, server->key_file);
	int calls = w->calls;

	httpstub_on(tls, "GET /", &STUB(200, NULL, "secure"));
	make_fetcher(w, &(struct fetch_options){ .ca_file = ca_file });
	get(w, httpstub_url(tls));
	run_until(w->base, &w->calls, calls + 1);
	if (says) {
		assert_int_equal(w->last.error.code, ERR_UPSTREAM);
		if (w->last.transient || w->last.sent)
			fail_msg("transient %d sent %d: %s", w->last.transient, w->last.sent, w->last.error.message);
		assert_int_equal(httpstub_count(tls, NULL), 0);
		if (!strstr(w->last.error.message, says))
			fail_msg("'%s' without '%s'", w->last.error.message, says);
	} else {
		assert_int_equal(w->last.error.code, ERR_NONE);
		assert_string_equal(w->body, "secure");
	}
	make_fetcher(w, &(struct fetch_options){ 0 });
	httpstub_free(tls);
}

static void test_fetch_trusts_the_named_ca_and_host_alone(void **state) {
	struct world *w = *state;
	struct testcert ca, other_ca, good, wrong_host, over;

	testcert_ca(&ca);
	testcert_ca(&other_ca);
	testcert_server(&good, &ca, "IP:127.0.0.1", 1);
	testcert_server(&wrong_host, &ca, "DNS:example.com", 1);
	testcert_server(&over, &ca, "IP:127.0.0.1", -1);
	tls_case(w, &good, ca.cert_file, NULL);
	tls_case(w, &good, other_ca.cert_file, "certificate");
	tls_case(w, &good, NULL, "certificate");
	tls_case(w, &wrong_host, ca.cert_file, "certificate");
	tls_case(w, &over, ca.cert_file, "certificate");
	testcert_fini(&over);
	testcert_fini(&wrong_host);
	testcert_fini(&good);
	testcert_fini(&other_ca);
	testcert_fini(&ca);
}

static void get_secure(struct world *w, const struct httpstub *tls) {
	char url[64];
	int calls = w->calls;

	snprintf(url, sizeof(url), "%s/s", httpstub_url(tls));
	get(w, url);
	run_until(w->base, &w->calls, calls + 1);
}

/* In one fetcher: what one origin is trusted with says nothing of the next one. */
static void test_fetch_trusts_each_origin_for_itself(void **state) {
	struct testcert ca, other_ca, good, bad;
	struct httpstub *stubs[2];
	struct world *w = *state;

	testcert_ca(&ca);
	testcert_ca(&other_ca);
	testcert_server(&good, &ca, "IP:127.0.0.1", 1);
	testcert_server(&bad, &other_ca, "IP:127.0.0.1", 1);
	stubs[0] = httpstub_new(good.cert_file, good.key_file);
	stubs[1] = httpstub_new(bad.cert_file, bad.key_file);
	make_fetcher(w, &(struct fetch_options){ .ca_file = ca.cert_file });
	for (int i = 0; i < 2; i++)
		httpstub_on(stubs[i], "GET /s", &STUB(200, "Connection: close\r\n", "secure"));
	reply(w, "GET /a", STUB(200, NULL, "plain"));
	for (int round = 0; round < 3; round++) {
		get_secure(w, stubs[0]);
		assert_int_equal(w->last.error.code, ERR_NONE);
		get_secure(w, stubs[1]);
		assert_non_null(strstr(w->last.error.message, "certificate"));
		get_path(w, "/a");
		run_until(w->base, &w->calls, 3 * round + 3);
		assert_string_equal(w->body, "plain");
	}
	assert_int_equal(httpstub_count(stubs[0], NULL), 3);
	assert_int_equal(httpstub_count(stubs[1], NULL), 0);
	make_fetcher(w, &(struct fetch_options){ 0 });
	for (int i = 0; i < 2; i++)
		httpstub_free(stubs[i]);
	testcert_fini(&bad);
	testcert_fini(&good);
	testcert_fini(&other_ca);
	testcert_fini(&ca);
}

static void test_fetch_refuses_a_ca_file_that_holds_none(void **state) {
	struct world *w = *state;
	struct fetcher *fetcher;
	struct testcert ca;
	struct error err;

	testcert_ca(&ca);
	assert_int_equal(fetcher_new(w->base, &(struct fetch_options){ .ca_file = "/nonexistent.pem" }, &w->log, &fetcher, &err), -1);
	assert_string_equal(err.message, "upstream.caFile: /nonexistent.pem: No such file or directory");
	assert_int_equal(fetcher_new(w->base, &(struct fetch_options){ .ca_file = "/etc/passwd" }, &w->log, &fetcher, &err), -1);
	assert_string_equal(err.message, "upstream.caFile: /etc/passwd: holds no certificate in PEM");
	make_fetcher(w, &(struct fetch_options){ .ca_file = ca.cert_file });
	testcert_fini(&ca);
}

/* --- proxies */

/* And never says what was in it. */
static void test_fetch_refuses_what_is_no_proxy(void **state) {
	static const char *const good[] = { "", "proxy.test", "proxy.test:3128", "http://proxy.test", "HTTPS://u:p@[::1]:1/", "socks5h://127.0.0.1:1" };
	static const char *const bad[] = { "ftp://geheim@proxy", "http://", "geheim proxy", "http:\t//geheim", "://geheim", "httpx://geheim" };
	struct world *w = *state;
	struct fetcher *fetcher;
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		make_fetcher(w, &(struct fetch_options){ .proxy = good[i] });
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (fetcher_new(w->base, &(struct fetch_options){ .proxy = bad[i] }, &w->log, &fetcher, &err) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_null(strstr(err.message, "geheim"));
	}
}

static void test_fetch_honours_the_proxy_for_https_alone(void **state) {
	struct world *w = *state;
	char proxy[64];

	reply(w, "CONNECT upstream.test:443", STUB(403, NULL, "no"));
	reply(w, "GET /a", STUB(200, NULL, "direct"));
	snprintf(proxy, sizeof(proxy), "%s", httpstub_url(w->stub));
	setenv("HTTPS_PROXY", proxy, 1);
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	get(w, "https://upstream.test/x");
	run_until(w->base, &w->calls, 1);
	assert_int_equal(httpstub_count(w->stub, "CONNECT upstream.test:443"), 1);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	get_path(w, "/a"); /* loopback is never by proxy */
	run_until(w->base, &w->calls, 2);
	assert_string_equal(w->body, "direct");
	setenv("NO_PROXY", "upstream.test", 1);
	get(w, "https://upstream.test/x");
	run_until(w->base, &w->calls, 3);
	assert_int_equal(httpstub_count(w->stub, "CONNECT upstream.test:443"), 1);
	unsetenv("NO_PROXY");
	make_fetcher(w, &(struct fetch_options){ .proxy = "" });
	get(w, "https://upstream.test/x");
	run_until(w->base, &w->calls, 4);
	assert_int_equal(httpstub_count(w->stub, "CONNECT upstream.test:443"), 1);
	unsetenv("HTTPS_PROXY");
	unsetenv("http_proxy");
	make_fetcher(w, &(struct fetch_options){ .proxy = proxy });
	get(w, "https://upstream.test/x");
	run_until(w->base, &w->calls, 5);
	assert_int_equal(httpstub_count(w->stub, "CONNECT upstream.test:443"), 2);
}

static void assert_trouble(struct world *w, const char *url, enum fetch_trouble trouble, const char *says) {
	int calls = w->calls;

	get_within(w, url, 500);
	run_until(w->base, &w->calls, calls + 1);
	print_message("%s\n", w->last.error.message);
	assert_int_equal(w->last.trouble, trouble);
	assert_non_null(strstr(w->last.error.message, says));
	assert_null(strstr(w->last.error.message, "geheim"));
	assert_true((trouble == FETCH_NO_PROXY) == !!strstr(w->last.error.message, "upstream.proxy in hallpassd.yaml"));
}

/* Whoever hears only of a host that nobody calls looks for the fault at Google's. */
static void test_fetch_names_the_proxy_that_lets_nothing_through(void **state) {
	struct world *w = *state;
	char proxy[64], says[160];

	setenv("HTTPS_PROXY", "http://user:geheim@127.0.0.1:1", 1);
	assert_trouble(w, "https://upstream.invalid/x", FETCH_NO_PROXY,
		       "the proxy 127.0.0.1:1 (HTTPS_PROXY) lets nothing through: Failed to connect to 127.0.0.1 port 1");
	setenv("NO_PROXY", "elsewhere.test, .invalid", 1);
	assert_trouble(w, "https://upstream.invalid/x", FETCH_NO_NAME, "Could not resolve host: upstream.invalid");
	assert_trouble(w, "https://127.0.0.1:1/x", FETCH_NO_PROXY, "the proxy 127.0.0.1:1 (HTTPS_PROXY)");
	/* Which is for the environment's proxy alone. */
	make_fetcher(w, &(struct fetch_options){ .proxy = "http://proxy.invalid:3128" });
	assert_trouble(w, "https://upstream.invalid/x", FETCH_NO_PROXY,
		       "the proxy proxy.invalid:3128 (upstream.proxy) lets nothing through: Could not resolve proxy: proxy.invalid");
	unsetenv("HTTPS_PROXY");
	unsetenv("NO_PROXY");
	snprintf(proxy, sizeof(proxy), "%s", httpstub_url(w->stub));
	snprintf(says, sizeof(says), "the proxy %s (upstream.proxy) lets nothing through: ", proxy + strlen("http://"));
	make_fetcher(w, &(struct fetch_options){ .proxy = proxy });
	reply(w, "CONNECT upstream.invalid:443", STUB(407, NULL, "who are you?"));
	assert_trouble(w, "https://upstream.invalid/x", FETCH_NO_PROXY, says);
	assert_non_null(strstr(w->last.error.message, "407"));
	reply(w, "CONNECT hangs.invalid:443", (struct httpstub_reply){ .action = STUB_HANG });
	assert_trouble(w, "https://hangs.invalid/x", FETCH_NO_PROXY, says);
	assert_int_equal(w->last.error.code, ERR_TIMEOUT);
}

/* What is wrong beyond it is not its fault: at the first call on a tunnel, and on one that was used before. */
static void test_fetch_blames_no_proxy_that_lets_it_through(void **state) {
	struct connect_proxy *proxy;
	struct world *w = *state;
	struct testcert ca, cert;
	struct httpstub *tls;

	testcert_ca(&ca);
	testcert_server(&cert, &ca, "DNS:upstream.invalid", 1);
	tls = httpstub_new(cert.cert_file, cert.key_file);
	proxy = connect_proxy_new(httpstub_port(tls));
	httpstub_on(tls, "GET /b", &(struct httpstub_reply){ .action = STUB_HANG });
	httpstub_on(tls, "GET /a", &STUB(200, NULL, "tunnelled"));
	make_fetcher(w, &(struct fetch_options){ .proxy = connect_proxy_url(proxy), .ca_file = ca.cert_file });
	assert_trouble(w, "https://upstream.invalid/b", FETCH_NO_TIME, "no answer in time");
	get(w, "https://upstream.invalid/a");
	run_until(w->base, &w->calls, 2);
	assert_string_equal(w->body, "tunnelled");
	assert_trouble(w, "https://upstream.invalid/b", FETCH_NO_TIME, "no answer in time");
	assert_int_equal(connect_proxy_count(proxy), 2);
	make_fetcher(w, &(struct fetch_options){ .proxy = connect_proxy_url(proxy) });
	assert_trouble(w, "https://upstream.invalid/a", FETCH_NO_TRUST, "its certificate is not to be trusted");
	connect_proxy_free(proxy);
	httpstub_free(tls);
	testcert_fini(&cert);
	testcert_fini(&ca);
}

/* --- an event loop that has no room */

static bool loop_is_full;
static int loop_grew;

static void *loop_malloc(size_t n) {
	return loop_is_full ? NULL : malloc(n);
}

static void *loop_realloc(void *p, size_t n) {
	loop_grew++;
	return loop_is_full ? NULL : realloc(p, n);
}

/* The next timer wants more room than there is. */
static void fill_timers(struct event_base *base, struct event *timers[16]) {
	int n = 0, room = 0;

	loop_grew = 0;
	while (n < 16 && (!room || n < room)) {
		timers[n] = evtimer_new(base, NULL, NULL);
		assert_int_equal(event_add(timers[n], &(struct timeval){ 3600, 0 }), 0);
		n++;
		if (loop_grew && !room)
			room = n + 7; /* libevent makes room for eight, then for twice as many */
	}
	assert_int_equal(n, room);
}

/* A callback of libcurl's that fails would make the multi handle dead, for good where a transfer is under way. */
static void test_fetch_outlives_a_loop_without_room(void **state) {
	struct world *w = *state;
	struct fetch_spec spec = { .method = "GET", .timeout_ms = 300, .body_max = 128 };
	struct event *timers[16] = { NULL };
	struct fetch *fetch;
	struct error err;
	char url[256];

	reply(w, "GET /a", STUB(200, "Connection: close\r\n", "x"));
	snprintf(url, sizeof(url), "%s/a", httpstub_url(w->stub));
	spec.url = url;
	assert_int_equal(fetch_start(w->fetcher, &spec, on_done, w, &fetch, &err), 0);
	loop_is_full = true; /* its socket comes in the next turn, and nobody can watch it */
	for (int64_t began = clock_monotonic_us(); !w->calls && clock_monotonic_us() - began < 10000000;)
		event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	loop_is_full = false;
	assert_int_equal(w->calls, 1); /* well or not, it has ended */
	get_path(w, "/a");
	run_until(w->base, &w->calls, 2);
	assert_int_equal(w->last.status, 200);

	fill_timers(w->base, timers);
	loop_is_full = true; /* nor is there room for the timer of the next one */
	get_path(w, "/a");
	for (int i = 0; i < 20; i++)
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	loop_is_full = false;
	run_until(w->base, &w->calls, 3);
	assert_int_equal(w->last.status, 200);
	for (int i = 0; i < 16 && timers[i]; i++)
		event_free(timers[i]);
}

/* --- a resolver that hangs must not hang us (P7): libcurl waits for its thread unless told otherwise */

static int (*real_getaddrinfo)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
	if (node && !strcmp(node, "stall.test")) {
		sleep(3);
		return EAI_AGAIN;
	}
	if (node && !strcmp(node, "upstream.test"))
		return EAI_NONAME;
	return real_getaddrinfo(node, service, hints, out);
}

static void test_fetch_does_not_wait_for_a_stalled_resolver(void **state) {
	struct world *w = *state;
	struct fetch *fetch;
	int64_t began;

	reply(w, "GET /a", STUB(200, NULL, "x"));
	fetch = get(w, "https://stall.test/");
	get_path(w, "/a");
	run_until(w->base, &w->calls, 1);
	began = clock_monotonic_us();
	fetch_cancel(fetch);
	assert_true(clock_monotonic_us() - began < 1000000);
	sleep(4); /* lets the resolver's thread end, for the leak checkers */
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fetch_answers_once_and_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_reuses_its_connection_from_done, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_sends_what_it_is_told_and_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P5_fetch_carries_nothing_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_mixes_up_no_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_calls_the_same_again_where_a_kept_connection_is_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_judges_urls_that_begin_like_a_known_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_calls_many_origins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_begins_a_burst_in_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_reads_retry_after, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_reports_broken_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_refuses_long_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_times_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_is_silent_after_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_does_not_follow_redirects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_refuses_urls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_takes_so_many_headers_and_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_says_what_it_would_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_refuses_injected_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_trusts_the_named_ca_and_host_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_trusts_each_origin_for_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_refuses_a_ca_file_that_holds_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_refuses_what_is_no_proxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_honours_the_proxy_for_https_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_names_the_proxy_that_lets_nothing_through, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_blames_no_proxy_that_lets_it_through, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_outlives_a_loop_without_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_does_not_wait_for_a_stalled_resolver, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	event_set_mem_functions(loop_malloc, loop_realloc, free);
	*(void **)&real_getaddrinfo = dlsym(RTLD_NEXT, "getaddrinfo");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
