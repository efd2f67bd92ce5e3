#pragma once

/*
 * Whether an accepted request is exactly its bytes: nothing lost, nothing guessed, one reading of where it ends.
 *
 * Written from RFC 9112 a second time, on purpose unlike broker/http.c: it walks along the bytes with the result in its hand.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "broker/http.h"

static inline bool whole_take(const char **at, const char *end, struct str want) {
	if ((size_t)(end - *at) < want.n || memcmp(*at, want.p, want.n))
		return false;
	*at += want.n;
	return true;
}

static inline void whole_blanks(const char **at, const char *end) {
	while (*at < end && (**at == ' ' || **at == '\t'))
		++*at;
}

static inline bool whole_is(struct str name, const char *lower) {
	return name.n == strlen(lower) && !strncasecmp(name.p, lower, name.n);
}

/* The body by its chunks, as raw has them; false: raw is no such thing or another body. */
static inline bool whole_chunks(const char *raw, const struct http_parser *p, struct str body) {
	const char *at = raw + p->head_len, *end = raw + p->consumed;
	size_t have = 0;

	for (;;) {
		size_t size = 0;

		for (; at < end && *at != '\r'; at++)
			size = size * 16 + (size_t)(*at <= '9' ? *at - '0' : (*at | 32) - 'a' + 10);
		if (!whole_take(&at, end, STR("\r\n")) || size > (size_t)(end - at) || size > body.n - have ||
		    memcmp(at, body.p + have, size))
			return false;
		have += size;
		at += size;
		if (!whole_take(&at, end, STR("\r\n")))
			return false;
		if (size == 0)
			return at == end && have == body.n;
	}
}

/* NULL: it is. Else what is wrong. data: what http_parse() worked on; raw: the same bytes as they came. */
static inline const char *http_whole(const char *data, const char *raw, const struct http_parser *p,
				     const struct http_request *r) {
	const char *at = data, *end = data + p->head_len;
	size_t hosts = 0, framings = 0;
	struct str length = { NULL, 0 };
	bool chunked = false;

	if (p->head_len > HTTP_MAX_HEAD || r->body.n > HTTP_MAX_BODY || p->consumed < p->head_len)
		return "over a ceiling";
	for (size_t i = 0; i < p->head_len; i++) {
		unsigned char c = (unsigned char)data[i];

		if (!(c >= 0x20 && c < 0x7F) && c != '\t' && c != '\r' && c != '\n')
			return "a byte that no head holds";
		if ((c == '\n' && (!i || data[i - 1] != '\r')) || (c == '\r' && data[i + 1] != '\n'))
			return "a line that does not end in CRLF";
	}
	if (!whole_take(&at, end, r->method_name) || !whole_take(&at, end, STR(" ")) || !whole_take(&at, end, r->target) ||
	    !whole_take(&at, end, r->minor ? STR(" HTTP/1.1\r\n") : STR(" HTTP/1.0\r\n")))
		return "another request line";
	for (size_t i = 0; i < r->n_fields; i++) {
		struct str name = r->fields[i].name, value = r->fields[i].value;

		if (!whole_take(&at, end, name) || !whole_take(&at, end, STR(":")))
			return "another field name";
		whole_blanks(&at, end);
		if (!whole_take(&at, end, value))
			return "another field value";
		whole_blanks(&at, end);
		if (!whole_take(&at, end, STR("\r\n")))
			return "a field line that goes on";
		hosts += whole_is(name, "host");
		framings += whole_is(name, "content-length") + whole_is(name, "transfer-encoding");
		chunked |= whole_is(name, "transfer-encoding");
		if (whole_is(name, "content-length"))
			length = value;
	}
	if (!whole_take(&at, end, STR("\r\n")) || at != end)
		return "a head that goes on";
	if (hosts > 1 || (!hosts && r->minor == 1) || framings > 1)
		return "ambiguous: Host or framing twice, or no Host";
	if (!r->path.n || r->path.p[0] != '/' || (r->minor == 1 && !r->host.n))
		return "no path or no host";
	if (chunked)
		return whole_chunks(raw, p, r->body) ? NULL : "another chunked body";
	if (p->consumed != p->head_len + r->body.n || r->body.n != (length.n ? strtoul(length.p, NULL, 10) : 0) ||
	    memcmp(r->body.p ? r->body.p : "", raw + p->head_len, r->body.n))
		return "another body";
	return NULL;
}
