/* See google_error.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "broker/source/google_error.h"
#include "hallpass/base64.h"
#include "hallpass/utf8.h"

#define MAX_EXPIRES_IN (7 * 86400)
#define MAX_CLAIMS 8192
#define SECRET_PIECE 16 /* bytes of a secret that are too many to show … */
#define SECRET_LEAST 8	/* … and bytes that make a secret */

/* --- JSON */

static void wipe_strings(json_t *json) {
	const char *key;
	json_t *value;
	size_t i;

	switch (json_typeof(json)) {
	case JSON_STRING:
		wipe((char *)json_string_value(json), json_string_length(json));
		break;
	case JSON_ARRAY:
		json_array_foreach(json, i, value)
			wipe_strings(value);
		break;
	case JSON_OBJECT:
		json_object_foreach(json, key, value)
			wipe_strings(value);
		break;
	default:
		break;
	}
}

void google_json_free(json_t *json) {
	if (!json)
		return;
	wipe_strings(json);
	json_decref(json);
}

json_t *google_json(const char *text, size_t len, struct error *err) {
	json_error_t at;
	json_t *json;

	if (len > GOOGLE_MAX_ANSWER) {
		error_set(err, ERR_INVALID, "more than %d bytes of JSON", GOOGLE_MAX_ANSWER);
		return NULL;
	}
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);
	if (json && json_is_object(json))
		return json;
	/* jansson's text quotes what it read, which may be a token: the position has to do. */
	if (json)
		error_set(err, ERR_INVALID, "not a JSON object");
	else if (json_error_code(&at) == json_error_duplicate_key)
		error_set(err, ERR_INVALID, "%d:%d: a key appears twice", at.line, at.column);
	else
		error_set(err, ERR_INVALID, "%d:%d: not JSON", at.line, at.column);
	google_json_free(json);
	return NULL;
}

int google_string(const json_t *object, const char *key, bool required, size_t max, const char **out,
		  struct error *err) {
	const json_t *value = json_object_get(object, key);

	*out = NULL;
	if (!value || json_is_null(value))
		return required ? error_set(err, ERR_INVALID, "%s is missing", key) : 0;
	if (!json_is_string(value))
		return error_set(err, ERR_INVALID, "%s is not a string", key);
	if (json_string_length(value) > max)
		return error_set(err, ERR_INVALID, "%s is longer than %zu bytes", key, max);
	if (json_string_length(value) == 0)
		return required ? error_set(err, ERR_INVALID, "%s is empty", key) : 0;
	*out = json_string_value(value);
	return 0;
}

/* --- time */

static int digits(const char **p, int n) {
	int v = 0;

	for (; n > 0; n--, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		v = v * 10 + (**p - '0');
	}
	return v;
}

/* n digits within bounds, and the separator behind them (0: none). */
static bool field(const char **p, int n, int least, int most, char separator, int *out) {
	*out = digits(p, n);
	if (*out < least || *out > most || (separator && **p != separator))
		return false;
	*p += separator != 0;
	return true;
}

static int days_in_month(int year, int month) {
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01, for 1970..9999: whole years with their leap days, then whole months. */
static int64_t days_since_epoch(int year, int month, int day) {
	int64_t y = year - 1;
	int64_t days = y * 365 + y / 4 - y / 100 + y / 400 - 719162;

	for (int m = 1; m < month; m++)
		days += days_in_month(year, m);
	return days + day - 1;
}

static bool zone_offset(const char **p, int64_t *offset_s) {
	int sign = **p == '-' ? -1 : 1, hours, minutes;

	*offset_s = 0;
	if (**p == 'Z') {
		(*p)++;
		return true;
	}
	if (**p != '+' && **p != '-')
		return false;
	(*p)++;
	if (!field(p, 2, 0, 23, ':', &hours) || !field(p, 2, 0, 59, 0, &minutes))
		return false;
	*offset_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

int google_time(const char *text, int64_t *unix_s) {
	int year, month, day, hour, minute, second;
	bool fraction = false;
	const char *p = text;
	int64_t offset;

	if (!field(&p, 4, 1970, 9999, '-', &year) || !field(&p, 2, 1, 12, '-', &month) ||
	    !field(&p, 2, 1, days_in_month(year, month), 'T', &day) || !field(&p, 2, 0, 23, ':', &hour) ||
	    !field(&p, 2, 0, 59, ':', &minute) || !field(&p, 2, 0, 59, 0, &second))
		return -1;
	if (*p == '.') {
		size_t n = strspn(++p, "0123456789");

		if (n == 0 || n > 9)
			return -1;
		fraction = strspn(p, "0") < n;
		p += n;
	}
	if (!zone_offset(&p, &offset) || *p)
		return -1;
	*unix_s = days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset + fraction;
	return 0;
}

/* --- base64url (RFC 4648 §5) */

static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_add(struct buf *out, const void *data, size_t len) {
	const unsigned char *u = data;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		unsigned v = (unsigned)u[i] << 16 | (left > 1 ? (unsigned)u[i + 1] << 8 : 0) | (left > 2 ? u[i + 2] : 0);
		char four[4];

		for (int k = 0; k < 4; k++)
			four[k] = base64url_digits[v >> (18 - 6 * k) & 63];
		buf_add(out, four, left > 2 ? 4 : left + 1);
	}
}

static int base64url_value(char c) {
	const char *at = c ? strchr(base64url_digits, c) : NULL;

	return at ? (int)(at - base64url_digits) : -1;
}

int base64url_decode(const char *text, size_t len, void *out, size_t max, size_t *out_len) {
	unsigned char *u = out;
	unsigned v = 0, bits = 0;
	size_t n = 0;

	if (len % 4 == 1 || len / 4 * 3 + len % 4 > max)
		return -1;
	for (size_t i = 0; i < len; i++) {
		int digit = base64url_value(text[i]);

		if (digit < 0)
			return -1;
		v = v << 6 | (unsigned)digit;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			u[n++] = (unsigned char)(v >> bits);
			v &= (1u << bits) - 1;
		}
	}
	*out_len = n;
	return v == 0 ? 0 : -1;
}

/* --- tokens */

static int token_text(const json_t *answer, const char *key, struct google_token *out, struct error *err) {
	const char *text;

	if (google_string(answer, key, true, GOOGLE_MAX_TOKEN, &text, err) < 0)
		return -1;
	*out = (struct google_token){ .text = text };
	out->len = strlen(text);
	for (const char *p = text; *p; p++) {
		if (*p < 0x21 || *p > 0x7E)
			return error_set(err, ERR_INVALID, "%s holds a character that no token has", key);
	}
	return 0;
}

int google_oauth_token(const json_t *answer, int64_t now, struct google_token *out, struct error *err) {
	const json_t *expires_in = json_object_get(answer, "expires_in");
	const char *type;

	if (token_text(answer, "access_token", out, err) < 0 ||
	    google_string(answer, "token_type", false, 32, &type, err) < 0)
		return -1;
	if (type && strcasecmp(type, "Bearer") != 0)
		return error_set(err, ERR_INVALID, "token_type is not Bearer");
	if (!json_is_integer(expires_in))
		return error_set(err, ERR_INVALID, "expires_in is not a whole number");
	if (json_integer_value(expires_in) < 1 || json_integer_value(expires_in) > MAX_EXPIRES_IN)
		return error_set(err, ERR_INVALID, "expires_in is not between 1 and %d", MAX_EXPIRES_IN);
	out->expires_at = now + json_integer_value(expires_in);
	return 0;
}

int google_iam_token(const json_t *answer, struct google_token *out, struct error *err) {
	const char *expire_time;

	if (token_text(answer, "accessToken", out, err) < 0 ||
	    google_string(answer, "expireTime", true, 64, &expire_time, err) < 0)
		return -1;
	if (google_time(expire_time, &out->expires_at) < 0)
		return error_set(err, ERR_INVALID, "expireTime is not a time");
	return 0;
}

static const char *skip_space(const char *p, const char *end) {
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/* Blanks, and this character; behind it, or NULL. */
static const char *skip_to(const char *p, const char *end, char c) {
	p = p ? skip_space(p, end) : end;
	return p < end && *p == c ? p + 1 : NULL;
}

/* A string of printable ASCII without an escape. Behind it, or NULL. */
static const char *skip_string(const char *p, const char *end, struct str *out) {
	p = skip_to(p, end, '"');
	out->p = p;
	while (p && p < end && *p >= 0x20 && *p <= 0x7E && *p != '"' && *p != '\\')
		p++;
	if (!p || p == end || *p != '"')
		return NULL;
	out->n = (size_t)(p - out->p);
	return p + 1;
}

bool google_plain_iam_token(const char *answer, size_t len, struct google_token *out) {
	const char *end = answer + len, *p = skip_to(answer, end, '{');
	struct str key, value, token = { 0 }, until = { 0 };
	char time[65];

	for (int i = 0; i < 2; i++) {
		p = skip_to(skip_string(p, end, &key), end, ':');
		p = skip_to(skip_string(p, end, &value), end, i ? '}' : ',');
		if (!p)
			return false;
		if (str_eq(key, STR("accessToken")))
			token = value;
		else if (str_eq(key, STR("expireTime")))
			until = value;
	}
	if (skip_space(p, end) != end || !token.n || token.n > GOOGLE_MAX_TOKEN || memchr(token.p, ' ', token.n) || until.n >= sizeof(time))
		return false;
	*out = (struct google_token){ .text = token.p, .len = token.n };
	memcpy(time, until.p ? until.p : "", until.n);
	time[until.n] = '\0';
	return google_time(time, &out->expires_at) == 0;
}

/* The exp claim of a compact JWS (RFC 7515 §3.1, RFC 7519 §4.1.4). */
static int jwt_expiry(const char *jwt, int64_t *out, struct error *err) {
	const char *claims = strchr(jwt, '.'), *end = claims ? strchr(claims + 1, '.') : NULL;
	unsigned char text[MAX_CLAIMS];
	const json_t *exp;
	json_t *json;
	size_t len;
	int r = -1;

	if (!end || claims == jwt || end == claims + 1 || !end[1] || strchr(end + 1, '.'))
		return error_set(err, ERR_INVALID, "token is not three parts");
	if (base64url_decode(claims + 1, (size_t)(end - claims - 1), text, sizeof(text), &len) < 0)
		return error_set(err, ERR_INVALID, "token's claims are not base64url");
	json = google_json((const char *)text, len, err);
	if (!json)
		return error_wrap(err, "token's claims");
	exp = json_object_get(json, "exp");
	if (!json_is_integer(exp) || json_integer_value(exp) < 1)
		error_set(err, ERR_INVALID, "token's exp is not a time");
	else
		*out = json_integer_value(exp), r = 0;
	google_json_free(json);
	return r;
}

int google_id_token(const json_t *answer, struct google_token *out, struct error *err) {
	if (token_text(answer, "token", out, err) < 0)
		return -1;
	return jwt_expiry(out->text, &out->expires_at, err);
}

/* The key's name goes into replies as it is. */
static int key_id(const json_t *answer, struct google_token *out, struct error *err) {
	if (google_string(answer, "keyId", true, GOOGLE_MAX_KEY_ID, &out->key_id, err) < 0)
		return -1;
	for (const char *p = out->key_id; *p; p++)
		if (*p < 0x21 || *p > 0x7E)
			return error_set(err, ERR_INVALID, "keyId holds a character that no key's name has");
	return 0;
}

int google_signed_blob(const json_t *answer, struct google_token *out, struct error *err) {
	char bytes[GOOGLE_MAX_TOKEN];
	size_t len;
	bool ok;

	if (token_text(answer, "signedBlob", out, err) < 0)
		return -1;
	ok = base64_decode(out->text, out->len, bytes, &len);
	wipe(bytes, sizeof(bytes));
	return ok ? key_id(answer, out, err) : error_set(err, ERR_INVALID, "signedBlob is not base64");
}

int google_signed_jwt(const json_t *answer, struct google_token *out, struct error *err) {
	if (token_text(answer, "signedJwt", out, err) < 0 || key_id(answer, out, err) < 0)
		return -1;
	return jwt_expiry(out->text, &out->expires_at, err);
}

/* --- errors */

/* Copies well-formed, printable text; a control character becomes a blank; cut at a character's end. */
static void copy_words(char *to, size_t size, const char *from) {
	size_t left = strlen(from), n = 0;

	while (left) {
		size_t len = utf8_length((const unsigned char *)from, left);

		if (len == 0 || n + len >= size)
			break;
		memcpy(to + n, from, len);
		if ((unsigned char)*from < 0x20 || *from == 0x7F)
			to[n] = ' ';
		n += len;
		from += len;
		left -= len;
	}
	to[n] = '\0';
}

static void copy_member(char *to, size_t size, const json_t *object, const char *key) {
	const char *value = json_string_value(json_object_get(object, key));

	copy_words(to, size, value ? value : "");
}

/* {"error": {"code", "message", "status", "details": [{"reason"}]}}; AIP-193. */
static void read_rpc_error(const json_t *error, struct google_error *out) {
	const json_t *details = json_object_get(error, "details"), *detail;
	char message[320];
	size_t i;

	copy_member(out->code, sizeof(out->code), error, "status");
	copy_member(message, sizeof(message), error, "message");
	json_array_foreach(details, i, detail) {
		if (!out->reason[0])
			copy_member(out->reason, sizeof(out->reason), detail, "reason");
	}
	snprintf(out->words, sizeof(out->words), "%s%s%s", out->code, out->code[0] && message[0] ? ": " : "", message);
}

/* {"error": "invalid_grant", "error_description", "error_subtype"}; RFC 6749 §5.2. */
static void read_oauth_error(const json_t *answer, struct google_error *out) {
	char description[320];

	copy_member(out->code, sizeof(out->code), answer, "error");
	copy_member(out->reason, sizeof(out->reason), answer, "error_subtype");
	copy_member(description, sizeof(description), answer, "error_description");
	snprintf(out->words, sizeof(out->words), "%s%s%s", out->code, description[0] ? ": " : "", description);
	/* Google's description often has it already. */
	if (out->reason[0] && !strstr(description, out->reason))
		snprintf(out->words + strlen(out->words), sizeof(out->words) - strlen(out->words), " (%s)", out->reason);
}

/*
 * Any piece of it: words are cut, and what is percent-encoded has only some characters in common. What is shorter
 * than SECRET_LEAST is no secret, but may well be a part of a common word.
 */
static bool repeats(const char *words, const struct secret *secrets, size_t n_secrets) {
	size_t n = strlen(words);

	for (size_t k = 0; k < n_secrets; k++) {
		size_t piece = secrets[k].len < SECRET_PIECE ? secrets[k].len : SECRET_PIECE;

		for (size_t i = 0; piece >= SECRET_LEAST && i + piece <= n; i++) {
			if (memmem(secrets[k].data, secrets[k].len, words + i, piece))
				return true;
		}
	}
	return false;
}

void google_error_read(const char *body, size_t len, const struct secret *secrets, size_t n_secrets,
		       struct google_error *out) {
	const json_t *error;
	struct error ignored;
	json_t *answer;

	*out = (struct google_error){ 0 };
	answer = google_json(body, len, &ignored);
	error = json_object_get(answer, "error");
	if (json_is_object(error))
		read_rpc_error(error, out);
	else if (json_is_string(error))
		read_oauth_error(answer, out);
	google_json_free(answer);
	if (repeats(out->code, secrets, n_secrets))
		out->code[0] = '\0';
	if (repeats(out->reason, secrets, n_secrets))
		out->reason[0] = '\0';
	if (repeats(out->words, secrets, n_secrets))
		snprintf(out->words, sizeof(out->words), "an error that repeats the credential and is not shown");
	if (!out->words[0])
		snprintf(out->words, sizeof(out->words), "an error that cannot be read");
}
