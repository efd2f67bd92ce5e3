#pragma once

/*
 * Requests that came before, byte for byte: clients ask the same again and again, and what bytes mean does not change. So
 * they are compared rather than parsed.
 *
 * Kept is what a handler said may be kept, and nothing that carries a credential: these bytes stay in memory. A request
 * that is known has a serial number, never given again, under which a handler may remember what it made of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/http.h"

#define HTTP_MEMO_SLOTS 64	 /* power of two */
#define HTTP_MEMO_MAX_BYTES 1024 /* of one; longer ones are rare */

struct http_known;

/* Starts as zeros. */
struct http_memo {
	struct http_known *slots[HTTP_MEMO_SLOTS];
	uint64_t last_serial;
	unsigned lent; /* requests of ours that a handler looks at now: meanwhile none is replaced */
};

void http_memo_fini(struct http_memo *memo);

/* The request that these bytes are, all of them; NULL: it is not known. Its views are good until the next http_memo_keep(). */
const struct http_request *http_memo_find(const struct http_memo *memo, const char *bytes, size_t n);

/*
 * Copies a request of n bytes, which were not changed since they came (a chunked body is), and its views into them. Gives
 * its serial; 0: it is not kept, because it is too long, carries a credential, or there is no memory.
 */
uint64_t http_memo_keep(struct http_memo *memo, const char *bytes, size_t n, const struct http_request *request);
