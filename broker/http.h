#pragma once

/*
 * The HTTP/1.1 grammar we accept (RFC 9110, RFC 9112): bytes in, a request or a refusal out.
 *
 * Pure: no sockets, no allocation. What is not exactly one well-formed request is refused with the
 * status to answer, and the connection then closes: nothing behind a refused request is parsed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hallpass/buf.h"

#define HTTP_MAX_HEAD 8192   /* bytes: request line and fields -> 431 */
#define HTTP_MAX_BODY 65536  /* bytes after de-chunking -> 413 */
#define HTTP_MAX_FIELDS 64   /* -> 431 */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };

struct http_field {
	struct str name; /* as sent; compare without case */
	struct str value; /* without the blanks around it */
};

/* Views into the bytes that were parsed; good while those stay. */
struct http_request {
	enum http_method method;
	struct str method_name;
	struct str target; /* as sent */
	struct str path;   /* origin-form path, absolute-form reduced; still percent-encoded (http_plain_path()) */
	struct str query;  /* behind the '?', without it; n = 0: none */
	struct str host;   /* the one Host field, or the authority of an absolute-form target */
	struct str body;   /* complete and de-chunked */
	int minor;	   /* HTTP/1.minor: 0 or 1 */
	bool keep_alive;
	uint64_t serial; /* of a request that is known (http_memo.h); 0: this one is not */
	bool escapes; /* there is a % in the target */
	struct http_field fields[HTTP_MAX_FIELDS];
	size_t n_fields;
};

/* The field's value, or {NULL, 0}. name is lower case. With several of one name: the first. */
struct str http_field(const struct http_request *request, const char *name);

/* Whether its Content-Type is this one, whatever its case and its parameters. type is lower case. */
bool http_type_is(const struct http_request *request, const char *type);

enum http_verdict { HTTP_MORE, HTTP_DONE, HTTP_REFUSED };

/*
 * Parses one request from the front of a buffer that grows. Start from http_parser_init(); call with all the bytes
 * so far, from the same place or another: each byte is looked at once, but for the head, which is split when whole.
 */
struct http_parser {
	size_t scanned;	   /* bytes of the head looked at */
	size_t line_start; /* of the line being scanned */
	size_t head_len;   /* with its empty line; 0: not whole yet */
	bool chunked;
	bool expect_continue; /* answer 100 once, before the body */
	size_t body_len;      /* Content-Length, or what is de-chunked so far */
	size_t at;	      /* chunked: next byte to look at */
	size_t consumed;      /* HTTP_DONE: bytes that the request took */
	int status;	      /* HTTP_REFUSED: what to answer … */
	const char *why;      /* … and why, for people */
};

void http_parser_init(struct http_parser *parser);
/* data may be changed: a chunked body is joined in place. HTTP_DONE: *request has views into data. */
enum http_verdict http_parse(struct http_parser *parser, char *data, size_t len, struct http_request *request);
/*
 * Writes the path of a request that is HTTP_DONE as every surface compares it: an escape that means the same without (a letter, a digit,
 * - . _ ~; RFC 3986 §6.2.2.2) stands without, once, and each other one stays, so %2F is no slash and %252D no hyphen. In place: `target`
 * is what it is now, and no longer the bytes that came.
 */
void http_plain_path(struct http_request *request);

const char *http_reason(int status); /* "Not Found" */
