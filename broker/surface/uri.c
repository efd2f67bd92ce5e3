/* See uri.h. */

#include "broker/surface/uri.h"
#include "hallpass/utf8.h"

static int hex_value(char c) {
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static bool is_text(const char *s, size_t n) {
	size_t len;

	for (size_t i = 0; i < n; i += len) {
		len = utf8_length((const unsigned char *)s + i, n - i);
		if (!len || (unsigned char)s[i] < 0x20 || s[i] == 0x7F)
			return false;
	}
	return true;
}

/* plus: what one is in the end. -1, or the length. */
static int decode(struct str in, char plus, char *out, size_t size) {
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		int c = (unsigned char)in.p[i];

		if (c == '+')
			c = plus;
		if (c == '%') {
			int high = i + 2 < in.n ? hex_value(in.p[i + 1]) : -1, low = i + 2 < in.n ? hex_value(in.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -1;
			c = high * 16 + low;
			i += 2;
		}
		if (n + 1 >= size)
			return -1;
		out[n++] = (char)c;
	}
	if (!size || !is_text(out, n))
		return -1;
	out[n] = '\0';
	return (int)n;
}

/* What is before the next `end`; *rest goes behind it. */
static struct str cut(struct str *rest, char end) {
	const char *at = rest->n ? memchr(rest->p, end, rest->n) : NULL;
	struct str head = { rest->p, at ? (size_t)(at - rest->p) : rest->n };

	rest->p += head.n + (at != NULL);
	rest->n -= head.n + (at != NULL);
	return head;
}

bool uri_path(struct str path, struct uri_path *out) {
	size_t used = 0;
	int n;

	out->n = 0;
	if (!path.n || path.p[0] != '/')
		return false;
	out->slash = path.p[path.n - 1] == '/';
	path.p++, path.n--;
	while (path.n) {
		char *at = out->text + used;

		n = decode(cut(&path, '/'), '+', at, sizeof(out->text) - used);
		if (n < 1 || !strcmp(at, ".") || !strcmp(at, "..") || out->n == URI_MAX_SEGMENTS)
			return false;
		out->segments[out->n++] = at;
		used += (size_t)n + 1;
	}
	return true;
}

/* A plus stays one: what is in our queries are URLs and addresses, and clients send them raw. */
int uri_parameter(struct str query, const char *name, char *out, size_t size) {
	while (query.n) {
		struct str value = cut(&query, '&'), key = cut(&value, '=');

		if (str_eq(key, str_of(name)))
			return decode(value, '+', out, size) < 0 ? -1 : 1;
	}
	return 0;
}

static bool key_is(struct str key, const char *name) {
	char text[64]; /* longer than any name that is asked for */

	return decode(key, ' ', text, sizeof(text)) >= 0 && !strcmp(text, name);
}

int uri_form(struct str form, const char *name, char *out, size_t size) {
	int found = 0, n = 0;

	while (form.n) {
		struct str value = cut(&form, '&'), key = cut(&value, '=');

		if (!key_is(key, name))
			continue;
		n = found++ ? -1 : decode(value, ' ', out, size);
		if (n < 0)
			return -1;
	}
	return n > 0;
}
