/* http_memo: knows a request by all of its bytes, keeps no credential, and takes nothing away that is looked at. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "broker/http_memo.h"
#include "hallpass/cleanup.h"

#define HEAD "POST /v1/token?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
#define WHOLE HEAD "Content-Length: 4\r\n\r\nbody"

/* Parsed from a copy that is overwritten afterwards: what the memo gives must be its own. */
static uint64_t keep(struct http_memo *memo, const char *text) {
	struct http_request request;
	struct http_parser parser;
	char bytes[4096];
	size_t n = strlen(text);
	uint64_t serial;

	assert_in_range(n, 1, sizeof(bytes) - 1);
	strcpy(bytes, text);
	http_parser_init(&parser);
	assert_int_equal(http_parse(&parser, bytes, n, &request), HTTP_DONE);
	assert_int_equal(parser.consumed, n);
	assert_int_equal(request.serial, 0);
	serial = http_memo_keep(memo, bytes, n, &request);
	memset(bytes, '!', sizeof(bytes));
	return serial;
}

static const struct http_request *find(const struct http_memo *memo, const char *text) {
	return http_memo_find(memo, text, strlen(text));
}

static void assert_view(struct str view, const char *expected) {
	assert_int_equal(view.n, strlen(expected));
	assert_memory_equal(view.p, expected, view.n);
}

static void test_http_memo_gives_what_parsing_gave(void **state) {
	struct http_memo memo = { 0 };
	const struct http_request *known;
	uint64_t serial = keep(&memo, WHOLE);

	(void)state;
	assert_true(serial);
	known = find(&memo, WHOLE);
	assert_non_null(known);
	assert_true(known->serial == serial);
	assert_int_equal(known->method, HTTP_POST);
	assert_view(known->method_name, "POST");
	assert_view(known->target, "/v1/token?a=b");
	assert_view(known->path, "/v1/token");
	assert_view(known->query, "a=b");
	assert_view(known->host, "localhost");
	assert_view(known->body, "body");
	assert_int_equal(known->minor, 1);
	assert_true(known->keep_alive);
	assert_int_equal(known->n_fields, 3);
	assert_view(known->fields[1].name, "Content-Type");
	assert_view(http_field(known, "content-length"), "4");
	http_memo_fini(&memo);
}

static void test_http_memo_path_that_stands_nowhere_stays(void **state) {
	const char *text = "GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct http_memo memo = { 0 };

	(void)state;
	assert_true(keep(&memo, text));
	assert_view(find(&memo, text)->path, "/");
	http_memo_fini(&memo);
}

/* Every byte counts, wherever it stands, and so does the length. */
static void test_http_memo_knows_no_other_bytes(void **state) {
	struct http_memo memo = { 0 };
	char other[] = WHOLE "x";
	size_t n = sizeof(other) - 2;

	(void)state;
	keep(&memo, WHOLE);
	for (size_t i = 0; i < n; i++) {
		other[i] ^= 1;
		assert_null(http_memo_find(&memo, other, n));
		other[i] ^= 1;
		assert_null(http_memo_find(&memo, other, i));
	}
	assert_non_null(http_memo_find(&memo, other, n));
	assert_null(http_memo_find(&memo, other, n + 1));
	http_memo_fini(&memo);
}

static void test_http_memo_keeps_no_credential_and_nothing_long(void **state) {
	static const char *const fields[] = { "Authorization: Bearer x", "authorization: x", "Proxy-Authorization: Basic x", "Cookie: a=b" };
	struct http_memo memo = { 0 };
	char text[4096];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		snprintf(text, sizeof(text), HEAD "%s\r\n\r\n", fields[i]);
		assert_true(keep(&memo, text) == 0);
		assert_null(find(&memo, text));
	}
	snprintf(text, sizeof(text), HEAD "X: %0*d\r\n\r\n", HTTP_MEMO_MAX_BYTES, 0);
	assert_true(keep(&memo, text) == 0);
	assert_null(find(&memo, text));
	http_memo_fini(&memo);
}

/* A serial is never given twice, to whatever falls on the place of another. */
static void test_http_memo_forgets_what_falls_on_one_place(void **state) {
	struct http_memo memo = { 0 };
	uint64_t serial, last = 0;
	unsigned known = 0;
	char text[256];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), HEAD "Content-Length: 4\r\n\r\n%04d", i);
		serial = keep(&memo, text);
		assert_true(serial > last);
		assert_true(find(&memo, text)->serial == serial);
		last = serial;
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), HEAD "Content-Length: 4\r\n\r\n%04d", i);
		known += find(&memo, text) != NULL;
	}
	assert_in_range(known, HTTP_MEMO_SLOTS / 2, HTTP_MEMO_SLOTS);
	http_memo_fini(&memo);
}

static void test_http_memo_replaces_nothing_that_is_lent(void **state) {
	struct http_memo memo = { 0 };

	(void)state;
	keep(&memo, WHOLE);
	memo.lent = 1;
	assert_true(keep(&memo, HEAD "\r\n") == 0);
	assert_non_null(find(&memo, WHOLE));
	memo.lent = 0;
	assert_true(keep(&memo, HEAD "\r\n"));
	http_memo_fini(&memo);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_memo_gives_what_parsing_gave),
		cmocka_unit_test(test_http_memo_path_that_stands_nowhere_stays),
		cmocka_unit_test(test_http_memo_knows_no_other_bytes),
		cmocka_unit_test(test_http_memo_keeps_no_credential_and_nothing_long),
		cmocka_unit_test(test_http_memo_forgets_what_falls_on_one_place),
		cmocka_unit_test(test_http_memo_replaces_nothing_that_is_lent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
