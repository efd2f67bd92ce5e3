/* See include/hallpass/buf.h. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "hallpass/ascii.h"
#include "hallpass/buf.h"
#include "hallpass/utf8.h"
#include "policy/no_memory.h"

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
	if (size - 1 > b->max) /* so that what fits into size is under the ceiling */
		size = b->max + 1;
	data = realloc(b->data, size);
	if (!data) {
		note_no_memory();
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

void buf_add_slow(struct buf *b, const void *data, size_t n) {
	char *at = buf_grow(b, n);

	if (at && n)
		memcpy(at, data, n);
}

static void two_digits(char *at, unsigned v) {
	at[0] = (char)('0' + v / 10);
	at[1] = (char)('0' + v % 10);
}

void buf_addu(struct buf *b, uint64_t v) {
	char digits[20];
	size_t n = sizeof(digits);

	for (; v >= 100; v /= 100)
		two_digits(digits + (n -= 2), (unsigned)(v % 100));
	two_digits(digits + (n -= 2), (unsigned)v);
	n += v < 10;
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

static void buf_add_json_escaped(struct buf *b, unsigned char c) {
	static const char short_form[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };

	if (c == '"' || c == '\\')
		buf_addf(b, "\\%c", c);
	else if (c < sizeof(short_form) && short_form[c])
		buf_addf(b, "\\%c", short_form[c]);
	else
		buf_addf(b, "\\u%04x", c);
}

/* From byte i on, which is none that goes as it is. */
static void buf_add_json_rest(struct buf *b, const char *s, size_t n, size_t i) {
	const unsigned char *u = (const unsigned char *)s;
	size_t len;

	while (i < n) {
		len = u[i] < 0x80 ? 1 : utf8_length(u + i, n - i);
		if (u[i] < 0x80)
			buf_add_json_escaped(b, u[i]);
		else if (len)
			buf_add(b, s + i, len);
		else
			buf_adds(b, "\xEF\xBF\xBD");
		i += len ? len : 1;
		len = ascii_run(s + i, n - i, true);
		buf_add(b, s + i, len);
		i += len;
	}
	buf_addc(b, '"');
}

void buf_add_json(struct buf *b, const char *s, size_t n) {
	size_t plain = ascii_run(s, n, true);
	char *at = buf_grow(b, plain + 1 + (plain == n));

	if (!at)
		return;
	*at = '"';
	memcpy(at + 1, s, plain);
	if (plain == n)
		at[plain + 1] = '"';
	else
		buf_add_json_rest(b, s, n, plain);
}

void buf_add_time(struct buf *b, int64_t unix_s) {
	/* Days to civil date: Howard Hinnant's days_from_civil, inverted; eras of 400 years from 0000-03-01. */
	int64_t days = unix_s / 86400, era, y;
	int rest = (int)(unix_s % 86400);
	unsigned doe, yoe, doy, mp, d, m, s;
	char text[] = "0000-00-00T00:00:00Z";
	size_t skip = 0;

	if (rest < 0) {
		rest += 86400;
		days--;
	}
	s = (unsigned)rest;
	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	doe = (unsigned)(days - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	d = doy - (153 * mp + 2) / 5 + 1;
	m = mp < 10 ? mp + 3 : mp - 9;
	y = (int64_t)yoe + era * 400 + (m <= 2);
	if (y >= 0 && y <= 9999) {
		two_digits(text, (unsigned)y / 100);
		two_digits(text + 2, (unsigned)y % 100);
	} else { /* nothing that is asked for, but nothing to be cut either */
		buf_addi(b, y);
		skip = 4;
	}
	two_digits(text + 5, m);
	two_digits(text + 8, d);
	two_digits(text + 11, s / 3600);
	two_digits(text + 14, s / 60 % 60);
	two_digits(text + 17, s % 60);
	buf_add(b, text + skip, sizeof(text) - 1 - skip);
}
