/* See mould.h. */

#include <stdio.h>
#include <string.h>
#include "broker/audit/mould.h"

#define DATE (sizeof(((struct mould *)0)->date) - 1)
#define GAPS_MOST (2 * (DATE + sizeof("\".999999999Z\"")) + CASTING_REQUEST_MAX + 2 + 20) /* bytes in all gaps */

void mould_fini(struct mould *mould) {
	buf_fini(&mould->text);
	*mould = (struct mould){ .text = RECORD_BUF };
}

bool mould_make(struct mould *mould, const struct audit_record *record) {
	buf_reset(&mould->text);
	mould->date[0] = '\0';
	record_write_gaps(record, &mould->text, mould->gaps);
	for (size_t i = 0; i < RECORD_GAPS; i++)
		if (!mould->gaps[i].end)
			return false;
	return buf_ok(&mould->text);
}

/* The second's text: many records fall into one. */
static bool set_date(struct mould *mould, int64_t unix_s) {
	struct buf text = BUF_INIT(64);
	bool ok;

	buf_add_time(&text, unix_s);
	ok = buf_ok(&text) && text.len == DATE + 1;
	snprintf(mould->date, sizeof(mould->date), "%.*s", (int)DATE, ok ? text.data : "");
	mould->second = unix_s;
	buf_fini(&text);
	return ok;
}

static char *put(char *at, const char *text, size_t n) {
	memcpy(at, text, n);
	return at + n;
}

static char *put_3_digits(char *at, uint32_t v) {
	at[0] = (char)('0' + v / 100);
	at[1] = (char)('0' + v / 10 % 10);
	at[2] = (char)('0' + v % 10);
	return at + 3;
}

/* As record.c writes it: a string of RFC 3339 with 3 or 9 digits of the fraction, the rest cut off. NULL: it cannot be. */
static char *put_time(struct mould *mould, char *at, struct instant time, bool whole) {
	if ((!mould->date[0] || mould->second != time.s) && !set_date(mould, time.s))
		return NULL;
	*at++ = '"';
	at = put(at, mould->date, DATE);
	*at++ = '.';
	at = put_3_digits(at, time.ns / 1000000);
	if (whole) {
		at = put_3_digits(at, time.ns / 1000 % 1000);
		at = put_3_digits(at, time.ns % 1000);
	}
	*at++ = 'Z';
	*at++ = '"';
	return at;
}

static char *put_request(char *at, const char *request) {
	size_t n = strnlen(request, CASTING_REQUEST_MAX);

	*at++ = '"';
	at = put(at, request, n);
	*at++ = '"';
	return at;
}

static char *put_number(char *at, int64_t v) {
	char digits[20];
	size_t n = sizeof(digits);

	for (; v; v /= 10)
		digits[--n] = (char)('0' + v % 10);
	return put(at, digits + n, sizeof(digits) - n);
}

/* The mould's text up to a gap, from behind the one before. */
static char *put_text(const struct mould *mould, char *at, enum record_gap_of gap) {
	size_t from = gap ? mould->gaps[gap - 1].end : 0;
	size_t end = gap < RECORD_GAPS ? mould->gaps[gap].at : mould->text.len;

	return put(at, mould->text.data + from, end - from);
}

bool mould_cast(struct mould *mould, const struct casting *casting, struct buf *out) {
	const size_t before = out->len;
	char *at = buf_grow(out, mould->text.len + GAPS_MOST);

	if (!at)
		return false;
	at = put_text(mould, at, GAP_TIME);
	at = put_time(mould, at, casting->time, false);
	if (at) {
		at = put_request(put_text(mould, at, GAP_REQUEST), casting->request);
		at = put_number(put_text(mould, at, GAP_PID), casting->pid);
		at = put_time(mould, put_text(mould, at, GAP_ASKED_AT), casting->asked_at, true);
	}
	if (at)
		at = put_text(mould, at, RECORD_GAPS);
	out->len = at ? (size_t)(at - out->data) : before;
	out->data[out->len] = '\0';
	return at != NULL;
}
