/* See include/hallpass/buf.h. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "hallpass/buf.h"
#include "hallpass/utf8.h"

void buf_fini(struct buf *b) {
	size_t max = b->max;

	free(b->data);
	*b = BUF_INIT(max);
}

void buf_reset(struct buf *b) {
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

bool buf_ok(const struct buf *b) {
	return !b->failed;
}

char *buf_take(struct buf *b) {
	char *data;

	if (!b->failed && !b->data)
		buf_add(b, "", 0);
	if (b->failed) {
		buf_fini(b);
		return NULL;
	}
	data = b->data;
	*b = BUF_INIT(b->max);
	return data;
}

static bool buf_reserve(struct buf *b, size_t n) {
	size_t want, size;
	char *data;

	if (b->failed || n > b->max - b->len) {
		b->failed = true;
		return false;
	}
	want = b->len + n + 1;
	if (want <= b->size)
		return true;
	size = b->size ? b->size : 64;
	while (size < want)
		size *= 2;
	data = realloc(b->data, size);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->size = size;
	return true;
}

void *buf_grow(struct buf *b, size_t n) {
	char *at;

	if (!buf_reserve(b, n))
		return NULL;
	at = b->data + b->len;
	b->len += n;
	b->data[b->len] = '\0';
	return at;
}

void buf_add(struct buf *b, const void *data, size_t n) {
	char *at = buf_grow(b, n);

	if (at && n)
		memcpy(at, data, n);
}

void buf_adds(struct buf *b, const char *s) {
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c) {
	buf_add(b, &c, 1);
}

void buf_addu(struct buf *b, uint64_t v) {
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_add(b, digits + n, sizeof(digits) - n);
}

void buf_addi(struct buf *b, int64_t v) {
	if (v < 0)
		buf_addc(b, '-');
	buf_addu(b, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void buf_addf(struct buf *b, const char *fmt, ...) {
	va_list ap, again;
	char *at;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	at = n < 0 ? NULL : buf_grow(b, (size_t)n);
	if (at)
		vsnprintf(at, (size_t)n + 1, fmt, again);
	va_end(again);
}

static bool json_plain(unsigned char c) {
	return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

static void buf_add_json_escaped(struct buf *b, unsigned char c) {
	static const char short_form[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };

	if (c == '"' || c == '\\')
		buf_addf(b, "\\%c", c);
	else if (c < sizeof(short_form) && short_form[c])
		buf_addf(b, "\\%c", short_form[c]);
	else
		buf_addf(b, "\\u%04x", c);
}

void buf_add_json(struct buf *b, const char *s, size_t n) {
	const unsigned char *u = (const unsigned char *)s;
	size_t i = 0, from, len;

	buf_addc(b, '"');
	while (i < n) {
		for (from = i; i < n && json_plain(u[i]);)
			i++;
		buf_add(b, s + from, i - from);
		if (i == n)
			break;
		if (u[i] < 0x80) {
			buf_add_json_escaped(b, u[i++]);
			continue;
		}
		len = utf8_length(u + i, n - i);
		if (len)
			buf_add(b, s + i, len);
		else
			buf_adds(b, "\xEF\xBF\xBD");
		i += len ? len : 1;
	}
	buf_addc(b, '"');
}

void buf_add_time(struct buf *b, int64_t unix_s) {
	/* Days to civil date: Howard Hinnant's days_from_civil, inverted; eras of 400 years from 0000-03-01. */
	int64_t days = unix_s / 86400, rest = unix_s % 86400, era, y;
	unsigned doe, yoe, doy, mp, d, m;

	if (rest < 0) {
		rest += 86400;
		days--;
	}
	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	doe = (unsigned)(days - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	y = (int64_t)yoe + era * 400;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	d = doy - (153 * mp + 2) / 5 + 1;
	m = mp < 10 ? mp + 3 : mp - 9;
	buf_addf(b, "%04lld-%02u-%02uT%02lld:%02lld:%02lldZ", (long long)(y + (m <= 2)), m, d, (long long)(rest / 3600),
		 (long long)(rest % 3600 / 60), (long long)(rest % 60));
}
