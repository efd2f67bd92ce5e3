/* See record.h. */

#include <stdio.h>
#include <time.h>
#include "broker/audit/record.h"
#include "hallpass/cleanup.h"
#include "hallpass/utf8.h"

/*
 * Bytes of output that a string, and a list in all, may take. 17 strings, three long ones, four lists and the numbers
 * stay below 65,535 together: test_record_never_exceeds_an_entry.
 */
#define STRING_MAX 1024
#define LONG_MAX_BYTES 3072
#define LIST_MAX 8192
#define SHORT_LIST_MAX 4096
#define INDICES_MAX 256
#define ELLIPSIS "\xE2\x80\xA6"

static const char *const record_names[] = {
	[RECORD_INTENT] = "intent",	[RECORD_ISSUED] = "issued",	  [RECORD_DENIED] = "denied",
	[RECORD_FAILED] = "failed",	[RECORD_ABANDONED] = "abandoned", [RECORD_UNKNOWN] = "unknown",
	[RECORD_RELOAD] = "reload",	[RECORD_START] = "start",	  [RECORD_STOP] = "stop",
	[RECORD_RECOVERED] = "recovered", [RECORD_LATE] = "late",
	[RECORD_OPENED] = "opened",	[RECORD_CLOSED] = "closed",
	[RECORD_DOCTOR] = "doctor",
};

struct writing {
	struct buf *out;
	bool cut;
	struct record_gap gaps[RECORD_GAPS];
};

/* How many bytes of s fit into `room` bytes of escaped text, ending at a character. */
static size_t fitting(const char *s, size_t n, size_t room) {
	const unsigned char *u = (const unsigned char *)s;
	size_t i = 0, len, cost;

	while (i < n) {
		len = utf8_length(u + i, n - i);
		cost = len == 0 ? 3 : len > 1 ? len : u[i] < 0x20 || u[i] == 0x7F ? 6 : u[i] == '"' || u[i] == '\\' ? 2 : 1;
		if (cost > room)
			break;
		room -= cost;
		i += len ? len : 1;
	}
	return i;
}

/* One JSON string of at most max bytes and the quotes. */
static void add_text(struct writing *w, const char *s, size_t max) {
	size_t n = strlen(s);

	if (n <= max / 6 || fitting(s, n, max) == n) { /* even if each byte became \u00XX */
		buf_add_json(w->out, s, n);
		return;
	}
	buf_add_json(w->out, s, fitting(s, n, max - strlen(ELLIPSIS)));
	w->out->len--; /* the closing quote goes behind the ellipsis */
	buf_adds(w->out, ELLIPSIS "\"");
	w->cut = true;
}

/* key comes as `,"name":` so that it is one copy. */
#define KEY(name) ",\"" name "\":", sizeof(",\"" name "\":") - 1

static void add_string(struct writing *w, const char *key, size_t key_len, const char *value) {
	if (!value)
		return;
	buf_add(w->out, key, key_len);
	add_text(w, value, STRING_MAX);
}

static void add_long_string(struct writing *w, const char *key, size_t key_len, const char *value) {
	if (!value)
		return;
	buf_add(w->out, key, key_len);
	add_text(w, value, LONG_MAX_BYTES);
}

static void add_number(struct writing *w, const char *key, size_t key_len, int64_t value) {
	buf_add(w->out, key, key_len);
	buf_addi(w->out, value);
}

static void add_number_unless_0(struct writing *w, const char *key, size_t key_len, int64_t value) {
	if (value)
		add_number(w, key, key_len, value);
}

static void add_unsigned_unless_0(struct writing *w, const char *key, size_t key_len, uint64_t value) {
	if (!value)
		return;
	buf_add(w->out, key, key_len);
	buf_addu(w->out, value);
}

static void add_list(struct writing *w, const char *key, size_t key_len, const char *const *list, size_t n, size_t max) {
	size_t end;

	if (!n)
		return;
	buf_add(w->out, key, key_len);
	buf_addc(w->out, '[');
	end = w->out->len + max;
	for (size_t i = 0; i < n; i++) {
		if (w->out->len + STRING_MAX + 4 > end) {
			w->cut = true;
			break;
		}
		if (i)
			buf_addc(w->out, ',');
		add_text(w, list[i], STRING_MAX);
	}
	buf_addc(w->out, ']');
}

static void add_indices(struct writing *w, const uint64_t *indices, size_t n) {
	if (!n)
		return;
	buf_adds(w->out, ",\"indices\":");
	for (size_t i = 0; i < n && i < INDICES_MAX; i++) {
		buf_addc(w->out, i ? ',' : '[');
		buf_addu(w->out, indices[i]);
	}
	buf_addc(w->out, ']');
	w->cut |= n > INDICES_MAX;
}

/* digits: of the fraction, at most 9; the rest is cut off. */
static void add_time(struct writing *w, struct instant time, unsigned digits) {
	char fraction[9];

	for (size_t i = sizeof(fraction); i > 0; i--, time.ns /= 10)
		fraction[i - 1] = (char)('0' + time.ns % 10);
	buf_addc(w->out, '"');
	buf_add_time(w->out, time.s);
	w->out->len--; /* the Z */
	buf_addc(w->out, '.');
	buf_add(w->out, fraction, digits);
	buf_adds(w->out, "Z\"");
}

/* What was just written, behind a key of so many bytes, from there on. */
static void note_gap(struct writing *w, enum record_gap_of gap, size_t from, size_t key_len) {
	if (w->out->len > from)
		w->gaps[gap] = (struct record_gap){ from + key_len, w->out->len };
}

/* An address and a port as URLs have them: what of it is a port is always plain. */
static void write_from(struct writing *w, const struct audit_record *r) {
	char text[64];

	if (!r->ip)
		return;
	snprintf(text, sizeof(text), strchr(r->ip, ':') ? "[%.45s]:%d" : "%.45s:%d", r->ip, r->ip_port);
	add_string(w, KEY("from"), text);
}

static void write_who(struct writing *w, const struct audit_record *r) {
	size_t from = w->out->len;

	add_string(w, KEY("request"), r->request);
	note_gap(w, GAP_REQUEST, from, sizeof(",\"request\":") - 1);
	add_string(w, KEY("principal"), r->principal);
	add_string(w, KEY("auth"), r->auth);
	if (r->peer_known) {
		add_number(w, KEY("uid"), r->uid);
		if (r->gid >= 0)
			add_number(w, KEY("gid"), r->gid);
		from = w->out->len;
		add_number_unless_0(w, KEY("pid"), r->pid);
		note_gap(w, GAP_PID, from, sizeof(",\"pid\":") - 1);
		add_string(w, KEY("exe"), r->exe);
	}
	write_from(w, r);
	add_string(w, KEY("session"), r->session);
	add_string(w, KEY("surface"), r->surface);
	if (r->asked_at.s) {
		buf_adds(w->out, ",\"askedAt\":");
		from = w->out->len;
		add_time(w, r->asked_at, 9);
		note_gap(w, GAP_ASKED_AT, from, 0);
	}
}

static void write_asked(struct writing *w, const struct audit_record *r) {
	add_string(w, KEY("permission"), r->permission);
	add_string(w, KEY("target"), r->target);
	add_list(w, KEY("also"), r->also, r->n_also, SHORT_LIST_MAX);
	add_number_unless_0(w, KEY("port"), r->port);
	if (r->relayed)
		buf_adds(w->out, ",\"relayed\":true");
	add_list(w, KEY("askedScopes"), r->asked_scopes, r->n_asked_scopes, LIST_MAX);
	add_list(w, KEY("scopes"), r->scopes, r->n_scopes, LIST_MAX);
	add_number_unless_0(w, KEY("askedLifetime"), r->asked_lifetime_s);
	add_list(w, KEY("delegates"), r->delegates, r->n_delegates, LIST_MAX);
	add_string(w, KEY("audience"), r->audience);
	add_string(w, KEY("payload"), r->payload_sha256);
	add_long_string(w, KEY("justification"), r->justification);
}

static void write_decided(struct writing *w, const struct audit_record *r) {
	add_string(w, KEY("decision"), r->decision);
	add_string(w, KEY("reason"), r->reason);
	add_string(w, KEY("binding"), r->binding);
	add_string(w, KEY("policy"), r->policy);
	add_string(w, KEY("boundBy"), r->bound_by);
	add_number_unless_0(w, KEY("ceiling"), r->ceiling_s);
	add_number_unless_0(w, KEY("allowance"), r->allowance_s);
	add_number_unless_0(w, KEY("lifetime"), r->lifetime_s);
	if (r->expires_at) {
		buf_adds(w->out, ",\"expires\":\"");
		buf_add_time(w->out, r->expires_at);
		buf_addc(w->out, '"');
	}
}

static void write_outcome(struct writing *w, const struct audit_record *r) {
	add_string(w, KEY("token"), r->token_sha256);
	if (r->cached)
		buf_adds(w->out, ",\"cached\":true");
	if (r->undelivered)
		buf_adds(w->out, ",\"delivered\":false");
	add_number_unless_0(w, KEY("upstreamMs"), r->upstream_ms);
	add_number_unless_0(w, KEY("upstreamStatus"), r->upstream_status);
	add_long_string(w, KEY("error"), r->error);
	add_long_string(w, KEY("file"), r->file);
	add_unsigned_unless_0(w, KEY("bytes"), r->bytes);
	if (r->counts_tokens) {
		buf_add(w->out, KEY("tokens"));
		buf_addu(w->out, r->tokens);
	}
	add_unsigned_unless_0(w, KEY("refused"), r->refused);
	add_indices(w, r->indices, r->n_indices);
}

static void write_all(struct writing *w, const struct audit_record *record) {
	size_t from;

	buf_adds(w->out, "{\"type\":\"");
	buf_adds(w->out, record_type_name(record->type));
	buf_adds(w->out, "\",\"time\":");
	from = w->out->len;
	add_time(w, record->time, 3);
	note_gap(w, GAP_TIME, from, 0);
	add_string(w, KEY("flight"), record->flight);
	write_who(w, record);
	write_asked(w, record);
	write_decided(w, record);
	write_outcome(w, record);
	if (w->cut)
		buf_adds(w->out, ",\"cut\":true");
	buf_addc(w->out, '}');
}

void record_write(const struct audit_record *record, struct buf *out) {
	struct writing w = { .out = out };

	write_all(&w, record);
}

void record_write_gaps(const struct audit_record *record, struct buf *out, struct record_gap gaps[RECORD_GAPS]) {
	struct writing w = { .out = out };

	write_all(&w, record);
	memcpy(gaps, w.gaps, sizeof(w.gaps));
}

const char *record_type_name(enum record_type type) {
	if ((size_t)type >= ARRAY_SIZE(record_names) || !record_names[type])
		return "?";
	return record_names[type];
}

bool record_time(const char *text, struct instant *out) {
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint32_t unit = 100000000;

	if (!end)
		return false;
	*out = (struct instant){ .s = (int64_t)timegm(&tm) };
	for (end += *end == '.'; *end >= '0' && *end <= '9'; end++, unit /= 10)
		out->ns += (uint32_t)(*end - '0') * unit;
	return !strcmp(end, "Z");
}

static bool eat(struct str *s, const char *text) {
	size_t n = strlen(text);

	if (s->n < n || memcmp(s->p, text, n))
		return false;
	*s = (struct str){ s->p + n, s->n - n };
	return true;
}

/* Up to the next quote. Escapes are not looked at: what we look for has none. */
static bool eat_string(struct str *s, struct str *out) {
	const char *quote = s->n ? memchr(s->p, '"', s->n) : NULL;

	if (!quote)
		return false;
	*out = (struct str){ s->p, (size_t)(quote - s->p) };
	*s = (struct str){ quote + 1, s->n - out->n - 1 };
	return true;
}

void record_head(struct str json, struct record_head *out) {
	struct str type, time;

	*out = (struct record_head){ 0 };
	if (!eat(&json, "{\"type\":\"") || !eat_string(&json, &type))
		return;
	for (size_t i = 1; i < ARRAY_SIZE(record_names); i++) {
		if (str_eq(type, str_of(record_names[i])))
			out->type = (enum record_type)i;
	}
	if (!eat(&json, ",\"time\":\"") || !eat_string(&json, &time) || !eat(&json, ",\"flight\":\"") ||
	    !eat_string(&json, &out->flight))
		out->flight = (struct str){ 0 };
}
