/* See http_memo.h. */

#include <stdlib.h>
#include <string.h>
#include "broker/http_memo.h"
#include "hallpass/cleanup.h"

#define HASHED 72 /* bytes at the end; a multiple of 8 */

struct http_known {
	size_t n;
	struct http_request request; /* views into bytes */
	char bytes[HTTP_MEMO_MAX_BYTES];
};

static uint64_t stir(uint64_t h, const char *at) {
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	h = (h ^ word) * 0x9E3779B97F4A7C15;
	return h ^ h >> 32;
}

/*
 * Where it would lie, by its length and its end, where requests of one client differ. Two that fall on one place cost a
 * parse each, nothing else.
 */
static size_t place_of(const char *bytes, size_t n) {
	size_t i = n < HASHED ? 0 : n - HASHED;
	uint64_t h = n;

	for (; i + sizeof(h) <= n; i += sizeof(h))
		h = stir(h, bytes + i);
	if (i < n && n >= sizeof(h))
		h = stir(h, bytes + n - sizeof(h));
	return (h * 0x9E3779B97F4A7C15) >> 32 & (HTTP_MEMO_SLOTS - 1); /* products carry upwards: all of it reaches these bits */
}

/* A view into the bytes that came becomes one into ours; others (an absent path is a literal) stay. */
static void move_view(struct str *view, const char *from, const struct http_known *to) {
	uintptr_t at = (uintptr_t)view->p - (uintptr_t)from;

	if (view->p && at <= to->n)
		view->p = to->bytes + at;
}

static void take_request(struct http_known *known, const struct http_request *request, const char *from) {
	struct http_request *r = &known->request;
	struct str *const views[] = { &r->method_name, &r->target, &r->path, &r->query, &r->host, &r->body };

	*r = *request;
	for (size_t i = 0; i < ARRAY_SIZE(views); i++)
		move_view(views[i], from, known);
	for (size_t i = 0; i < r->n_fields; i++) {
		move_view(&r->fields[i].name, from, known);
		move_view(&r->fields[i].value, from, known);
	}
}

static bool carries_credential(const struct http_request *request) {
	static const char *const names[] = { "authorization", "proxy-authorization", "cookie" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (http_field(request, names[i]).p)
			return true;
	return false;
}

void http_memo_fini(struct http_memo *memo) {
	for (size_t i = 0; i < HTTP_MEMO_SLOTS; i++)
		free(memo->slots[i]);
	*memo = (struct http_memo){ 0 };
}

const struct http_request *http_memo_find(const struct http_memo *memo, const char *bytes, size_t n) {
	const struct http_known *known;

	if (n > HTTP_MEMO_MAX_BYTES)
		return NULL;
	known = memo->slots[place_of(bytes, n)];
	return known && known->n == n && !memcmp(known->bytes, bytes, n) ? &known->request : NULL;
}

uint64_t http_memo_keep(struct http_memo *memo, const char *bytes, size_t n, const struct http_request *request) {
	struct http_known **place, *known;

	if (n > HTTP_MEMO_MAX_BYTES || memo->lent || carries_credential(request))
		return 0;
	place = &memo->slots[place_of(bytes, n)];
	known = *place ? *place : malloc(sizeof(*known));
	if (!known)
		return 0;
	*place = known;
	known->n = n;
	memcpy(known->bytes, bytes, n);
	take_request(known, request, bytes);
	known->request.serial = ++memo->last_serial;
	return known->request.serial;
}
