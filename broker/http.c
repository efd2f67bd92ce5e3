/* See http.h. */

#include <strings.h>
#include "broker/http.h"
#include "hallpass/ascii.h"
#include "hallpass/cleanup.h"

/* RFC 9110 §5.6.2 tchar. */
static bool is_tchar(unsigned char c) {
	static const bool tchars[256] = {
		['!'] = 1, ['#' ... '\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1, ['0' ... '9'] = 1,
		['A' ... 'Z'] = 1, ['^' ... 'z'] = 1, ['|'] = 1, ['~'] = 1,
	};

	return tchars[c];
}

static enum http_verdict refuse(struct http_parser *p, int status, const char *why) {
	p->status = status;
	p->why = why;
	return HTTP_REFUSED;
}

/* --- the head: every line ends in CRLF; no other control character but HTAB inside field values */

/* The length, with its CRLF, of a whole line of nothing else but plain ASCII; 0: it is not whole, or not so plain. */
static size_t plain_line(const char *data, size_t n) {
	const char *lf = memchr(data, '\n', n);
	size_t len = lf ? (size_t)(lf - data) : 0;

	return len && data[len - 1] == '\r' && ascii_run(data, len - 1, false) == len - 1 ? len + 1 : 0;
}

/* Nearly all lines of nearly all heads, and quickly. Stops before one that must be looked at closely. */
static bool take_plain_lines(struct http_parser *p, const char *data, size_t end) {
	size_t n;

	while (p->scanned == p->line_start && (n = plain_line(data + p->scanned, end - p->scanned))) {
		p->scanned = p->line_start += n;
		if (n == 2) {
			p->head_len = p->scanned;
			return true;
		}
	}
	return false;
}

/* Finds the empty line; looks at each byte once however the bytes arrive. */
static enum http_verdict find_head(struct http_parser *p, const char *data, size_t len) {
	const size_t end = len < HTTP_MAX_HEAD ? len : HTTP_MAX_HEAD;

	if (take_plain_lines(p, data, end))
		return HTTP_DONE;
	for (; p->scanned < end; p->scanned++) {
		unsigned char c = (unsigned char)data[p->scanned];

		if (p->scanned && data[p->scanned - 1] == '\r' && c != '\n')
			return refuse(p, 400, "a bare CR");
		if (c == '\n') {
			if (p->scanned == 0 || data[p->scanned - 1] != '\r')
				return refuse(p, 400, "a line that ends in a bare LF");
			if (p->scanned - 1 == p->line_start) {
				p->head_len = ++p->scanned;
				return HTTP_DONE;
			}
			p->line_start = p->scanned + 1;
		} else if (c >= 0x20 && c < 0x7F) {
			p->scanned += ascii_run(data + p->scanned, end - p->scanned, false) - 1;
		} else if (c != '\r' && c != '\t') {
			return refuse(p, 400, c ? "a control character or a byte that is not ASCII" : "a NUL byte");
		}
	}
	if (len <= HTTP_MAX_HEAD)
		return HTTP_MORE;
	return p->line_start == 0 ? refuse(p, 414, "a request line that is too long")
				  : refuse(p, 431, "a head of over 8192 bytes");
}

static enum http_method method_of(struct str name) {
	static const char *const names[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(name, str_of(names[i])))
			return (enum http_method)i;
	return HTTP_OTHER;
}

static bool parse_version(struct http_parser *p, struct str version, struct http_request *r) {
	static const char prefix[] = "HTTP/1.";

	if (version.n != 8 || memcmp(version.p, "HTTP/", 5) || version.p[6] != '.') {
		refuse(p, 400, "no HTTP version behind the target");
		return false;
	}
	if (memcmp(version.p, prefix, 7) || (version.p[7] != '0' && version.p[7] != '1')) {
		refuse(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
		return false;
	}
	r->minor = version.p[7] - '0';
	return true;
}

/* -1: none. */
static int hex_value(char c) {
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static bool is_hex(char c) {
	return hex_value(c) >= 0;
}

/* Path and query hold what RFC 3986 lets them hold; escapes are whole, and none is a NUL; nothing is decoded. */
static bool target_chars_ok(struct str s, bool *escapes) {
	static const bool chars[256] = {
		['!'] = 1, ['$' ... ';'] = 1, ['='] = 1, ['?' ... '['] = 1, [']'] = 1, ['_'] = 1, ['a' ... 'z'] = 1, ['~'] = 1,
	};

	for (size_t i = 0; i < s.n; i++) {
		if (!chars[(unsigned char)s.p[i]])
			return false;
		if (s.p[i] != '%')
			continue;
		*escapes = true;
		if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]) || (s.p[i + 1] == '0' && s.p[i + 2] == '0'))
			return false;
	}
	return true;
}

/* host[:port], where host is a name, an IPv4 address or a bracketed IPv6 one. */
static bool host_ok(struct str host) {
	static const bool names[256] = {
		['-'] = 1, ['.'] = 1, ['_'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
	};
	size_t i = 0, digits;

	if (host.n && host.p[0] == '[') {
		for (i = 1; i < host.n && (is_hex(host.p[i]) || host.p[i] == ':' || host.p[i] == '.');)
			i++;
		if (i < 3 || i >= host.n || host.p[i++] != ']')
			return false;
	} else {
		while (i < host.n && names[(unsigned char)host.p[i]])
			i++;
		if (i == 0 || i > 255)
			return false;
	}
	if (i == host.n)
		return true;
	if (host.p[i++] != ':')
		return false;
	for (digits = 0; i < host.n && host.p[i] >= '0' && host.p[i] <= '9'; i++)
		digits++;
	return i == host.n && digits >= 1 && digits <= 5;
}

static bool parse_target(struct http_parser *p, struct http_request *r) {
	struct str t = r->target;
	const char *slash, *question;

	if (t.n > 7 && !strncasecmp(t.p, "http://", 7)) { /* absolute-form: its authority stands for Host */
		slash = memchr(t.p + 7, '/', t.n - 7);
		r->host = (struct str){ t.p + 7, slash ? (size_t)(slash - t.p) - 7 : t.n - 7 };
		t = slash ? (struct str){ slash, t.n - (size_t)(slash - t.p) } : STR("/");
		if (!host_ok(r->host)) {
			refuse(p, 400, "an ill-formed authority");
			return false;
		}
	}
	if (t.n == 0 || t.p[0] != '/' || !target_chars_ok(t, &r->escapes)) {
		refuse(p, 400, "a target that is neither a path nor a URL");
		return false;
	}
	question = memchr(t.p, '?', t.n);
	r->path = (struct str){ t.p, question ? (size_t)(question - t.p) : t.n };
	if (question)
		r->query = (struct str){ question + 1, t.n - r->path.n - 1 };
	return true;
}

/* method SP target SP version, single blanks, nothing else. */
static bool parse_request_line(struct http_parser *p, struct str line, struct http_request *r) {
	const char *a = memchr(line.p, ' ', line.n), *end = line.p + line.n, *b;

	b = a ? memchr(a + 1, ' ', (size_t)(end - a) - 1) : NULL;
	if (!b || a == line.p || b == a + 1 || memchr(b + 1, ' ', (size_t)(end - b) - 1)) {
		refuse(p, 400, "no request line: METHOD TARGET VERSION");
		return false;
	}
	r->method_name = (struct str){ line.p, (size_t)(a - line.p) };
	for (size_t i = 0; i < r->method_name.n; i++) {
		if (!is_tchar((unsigned char)line.p[i])) {
			refuse(p, 400, "a method that is no token");
			return false;
		}
	}
	r->method = method_of(r->method_name);
	r->target = (struct str){ a + 1, (size_t)(b - a) - 1 };
	return parse_version(p, (struct str){ b + 1, (size_t)(end - b) - 1 }, r) && parse_target(p, r);
}

static bool same_but_for_case(struct str name, const char *lower, size_t n) {
	return name.n == n && (name.p[0] | 32) == lower[0] && !strncasecmp(name.p, lower, n);
}

/* lower: a literal, so that most names are told apart by their length alone. */
#define name_is(name, lower) same_but_for_case((name), (lower), sizeof(lower) - 1)
#define value_is(value, lower) name_is(value, lower)

/* What fields mean for framing, each at most once. */
struct framing {
	bool host, length, encoding, authorization, type, connection_close, connection_keep;
};

static bool take_host(struct http_parser *p, struct http_request *r, struct framing *f, struct str value) {
	if (f->host || !host_ok(value)) {
		refuse(p, 400, f->host ? "two Host fields" : "an ill-formed Host");
		return false;
	}
	f->host = true;
	if (!r->host.p) /* an absolute-form target's authority wins (RFC 9112 §3.2.2) */
		r->host = value;
	return true;
}

static bool take_length(struct http_parser *p, struct framing *f, struct str value) {
	size_t v = 0;

	if (f->length) {
		refuse(p, 400, "two Content-Length fields");
		return false;
	}
	f->length = true;
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < '0' || value.p[i] > '9' || value.n > 18) {
			refuse(p, 400, "a Content-Length that is no plain number");
			return false;
		}
		v = v * 10 + (size_t)(value.p[i] - '0');
	}
	if (value.n == 0 || v > HTTP_MAX_BODY) {
		refuse(p, value.n ? 413 : 400, value.n ? "a body of over 65536 bytes" : "an empty Content-Length");
		return false;
	}
	p->body_len = v;
	return true;
}

static bool take_encoding(struct http_parser *p, struct http_request *r, struct framing *f, struct str value) {
	if (f->encoding || r->minor == 0 || !value_is(value, "chunked")) {
		refuse(p, 400,
		       f->encoding     ? "two Transfer-Encoding fields"
		       : r->minor == 0 ? "Transfer-Encoding in HTTP/1.0"
				       : "a Transfer-Encoding that is not exactly chunked");
		return false;
	}
	f->encoding = p->chunked = true;
	return true;
}

/* What says who asks, or what a body is, is said once: of two, whoever reads the other one sees another request. */
static bool take_once(struct http_parser *p, bool *taken, const char *twice) {
	if (*taken) {
		refuse(p, 400, twice);
		return false;
	}
	*taken = true;
	return true;
}

/* A comma-separated list of tokens; only close and keep-alive matter. */
static void take_connection(struct framing *f, struct str value) {
	while (value.n) {
		const char *comma = memchr(value.p, ',', value.n);
		struct str item = { value.p, comma ? (size_t)(comma - value.p) : value.n };

		value.p += item.n + (comma != NULL);
		value.n -= item.n + (comma != NULL);
		while (item.n && (*item.p == ' ' || *item.p == '\t'))
			item.p++, item.n--;
		while (item.n && (item.p[item.n - 1] == ' ' || item.p[item.n - 1] == '\t'))
			item.n--;
		f->connection_close |= value_is(item, "close");
		f->connection_keep |= value_is(item, "keep-alive");
	}
}

static bool take_field(struct http_parser *p, struct http_request *r, struct framing *f, const struct http_field *field) {
	if (name_is(field->name, "host"))
		return take_host(p, r, f, field->value);
	if (name_is(field->name, "content-length"))
		return take_length(p, f, field->value);
	if (name_is(field->name, "transfer-encoding"))
		return take_encoding(p, r, f, field->value);
	if (name_is(field->name, "authorization"))
		return take_once(p, &f->authorization, "two Authorization fields");
	if (name_is(field->name, "content-type"))
		return take_once(p, &f->type, "two Content-Type fields");
	if (name_is(field->name, "connection"))
		take_connection(f, field->value);
	if (name_is(field->name, "expect")) {
		if (!value_is(field->value, "100-continue")) {
			refuse(p, 417, "an expectation that is not 100-continue");
			return false;
		}
		p->expect_continue = r->minor == 1;
	}
	return true;
}

static bool parse_field(struct http_parser *p, struct str line, struct http_request *r, struct framing *f) {
	struct http_field *field = &r->fields[r->n_fields];
	size_t i = 0;

	if (line.p[0] == ' ' || line.p[0] == '\t') {
		refuse(p, 400, "a folded field line");
		return false;
	}
	while (i < line.n && is_tchar((unsigned char)line.p[i]))
		i++;
	if (i == 0 || i == line.n || line.p[i] != ':') {
		refuse(p, 400, "a field whose name is no token right before its colon");
		return false;
	}
	if (r->n_fields == HTTP_MAX_FIELDS) {
		refuse(p, 431, "more than 64 fields");
		return false;
	}
	field->name = (struct str){ line.p, i };
	field->value = (struct str){ line.p + i + 1, line.n - i - 1 };
	while (field->value.n && (field->value.p[0] == ' ' || field->value.p[0] == '\t'))
		field->value.p++, field->value.n--;
	while (field->value.n && (field->value.p[field->value.n - 1] == ' ' || field->value.p[field->value.n - 1] == '\t'))
		field->value.n--;
	r->n_fields++;
	return take_field(p, r, f, field);
}

static bool parse_head(struct http_parser *p, const char *data, struct http_request *r) {
	struct framing f = { 0 };
	const char *line = data, *end = data + p->head_len - 2;
	bool first = true;

	r->n_fields = 0;
	r->serial = 0;
	r->escapes = false;
	r->host = r->query = r->body = (struct str){ NULL, 0 };
	while (line < end) {
		const char *cr = memchr(line, '\r', (size_t)(end - line));
		struct str text = { line, (size_t)((cr ? cr : end) - line) };

		if (text.n == 0) {
			refuse(p, 400, "an empty line before the request");
			return false;
		}
		if (first ? !parse_request_line(p, text, r) : !parse_field(p, text, r, &f))
			return false;
		first = false;
		line = text.p + text.n + 2;
	}
	if (first || (r->minor == 1 && !f.host) || (f.encoding && f.length)) {
		refuse(p, 400, first ? "an empty head" : !f.host ? "no Host field" : "both Transfer-Encoding and Content-Length");
		return false;
	}
	r->keep_alive = r->minor == 1 ? !f.connection_close : f.connection_keep && !f.connection_close;
	return true;
}

/* --- chunked bodies: size lines of hex digits alone, no extensions, no trailers; joined in place behind the head */

static enum http_verdict parse_chunks(struct http_parser *p, char *data, size_t len) {
	for (;;) {
		size_t at = p->at, size = 0, digits = 0;

		while (at < len && is_hex(data[at]) && digits < 8) {
			size = size * 16 + (size_t)(data[at] <= '9' ? data[at] - '0' : (data[at] | 32) - 'a' + 10);
			at++, digits++;
		}
		if (at == len)
			return HTTP_MORE; /* a ninth digit is refused below, so this ends */
		if (digits == 0 || data[at] != '\r')
			return refuse(p, 400, "a chunk size that is not plain hexadecimal");
		if (at + 1 == len)
			return HTTP_MORE;
		if (data[at + 1] != '\n')
			return refuse(p, 400, "a bare CR in a chunk size");
		at += 2;
		if (size > HTTP_MAX_BODY || p->body_len + size > HTTP_MAX_BODY)
			return refuse(p, 413, "a body of over 65536 bytes");
		if (len - at < size + 2) {
			if (size == 0 && len - at == 1 && data[at] != '\r')
				return refuse(p, 400, "a trailer");
			return HTTP_MORE;
		}
		if (data[at + size] != '\r' || data[at + size + 1] != '\n')
			return refuse(p, 400, size ? "a chunk that is not as long as it says" : "a trailer");
		memmove(data + p->head_len + p->body_len, data + at, size);
		p->body_len += size;
		p->at = at + size + 2;
		if (size == 0) {
			p->consumed = p->at;
			return HTTP_DONE;
		}
	}
}

void http_parser_init(struct http_parser *p) {
	*p = (struct http_parser){ 0 };
}

enum http_verdict http_parse(struct http_parser *p, char *data, size_t len, struct http_request *r) {
	enum http_verdict v;
	bool fresh = !p->head_len;

	if (p->why)
		return HTTP_REFUSED;
	if (fresh && (v = find_head(p, data, len)) != HTTP_DONE)
		return v;
	if (fresh) {
		if (!parse_head(p, data, r))
			return HTTP_REFUSED;
		p->at = p->head_len;
	}
	if (p->chunked) {
		if ((v = parse_chunks(p, data, len)) != HTTP_DONE)
			return v;
	} else {
		if (len - p->head_len < p->body_len)
			return HTTP_MORE;
		p->consumed = p->head_len + p->body_len;
	}
	if (!fresh) { /* the buffer may have moved since: take the views anew */
		size_t body = p->body_len;
		bool expect = p->expect_continue;

		parse_head(p, data, r);
		p->body_len = body;
		p->expect_continue = expect;
	}
	r->body = (struct str){ data + p->head_len, p->body_len };
	return HTTP_DONE;
}

static bool is_unreserved(int c) {
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';
}

/*
 * From the path's last byte to the target's first, so that path and query still meet. Each escape is whole, and a hexadecimal digit is no
 * %, so a % two places before the end of what is left begins one, and what is written never does.
 */
void http_plain_path(struct http_request *r) {
	char *start = (char *)r->target.p, *end = (char *)r->path.p + r->path.n, *from = end, *to = end;
	size_t saved;

	while (from > start) {
		int c = from - start >= 3 && from[-3] == '%' ? hex_value(from[-2]) * 16 + hex_value(from[-1]) : -1;

		from -= is_unreserved(c) ? 3 : 1;
		*--to = is_unreserved(c) ? (char)c : *from;
	}
	saved = (size_t)(to - start);
	if (r->host.p >= r->target.p && r->host.p < r->path.p) /* absolute-form */
		r->host.p += saved;
	r->path = (struct str){ r->path.p + saved, r->path.n - saved };
	r->target = (struct str){ to, r->target.n - saved };
}

struct str http_field(const struct http_request *request, const char *name) {
	size_t n = strlen(name);

	for (size_t i = 0; i < request->n_fields; i++)
		if (same_but_for_case(request->fields[i].name, name, n))
			return request->fields[i].value;
	return (struct str){ NULL, 0 };
}

bool http_type_is(const struct http_request *request, const char *type) {
	struct str value = http_field(request, "content-type");
	size_t n = strlen(type);

	return value.n >= n && !strncasecmp(value.p, type, n) && (value.n == n || strchr("; \t", value.p[n]));
}

const char *http_reason(int status) {
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" }, { 301, "Moved Permanently" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 413, "Content Too Large" },
		{ 414, "URI Too Long" }, { 417, "Expectation Failed" }, { 421, "Misdirected Request" },
		{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" }, { 499, "Client Closed Request" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}
