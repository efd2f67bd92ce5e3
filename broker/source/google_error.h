#pragma once

/*
 * What Google's endpoints answer: strict JSON in, tokens, times and Google's own words out.
 *
 * Bytes in, values out: no sockets, no clock, no files. Both source/ and mint read answers here, so that one
 * fuzzer sees them all (tests/fuzz/fuzz_upstream.c). Answers hold tokens: trees are freed by google_json_free(),
 * which wipes every string first.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/secret.h"
#include "hallpass/buf.h"
#include "hallpass/error.h"

#define GOOGLE_MAX_ANSWER (64 * 1024) /* bytes of an answer that is read */
#define GOOGLE_MAX_TOKEN (16 * 1024)  /* bytes of a token */
#define GOOGLE_MAX_KEY_ID 64

/* One JSON object, no duplicate keys, nothing behind it. A new reference, for google_json_free(). */
json_t *google_json(const char *text, size_t len, struct error *err);
void google_json_free(json_t *json); /* wipes strings; takes NULL */

static inline void google_json_freep(json_t **json) {
	google_json_free(*json);
}

/*
 * A string member of an object, borrowed in *out. A missing one (or null) is NULL when optional, else an error.
 * Errors: ERR_INVALID, naming the key: wrong type, empty (where required), over max bytes.
 */
int google_string(const json_t *object, const char *key, bool required, size_t max, const char **out,
		  struct error *err);

/* RFC 3339 §5.6 with Z or an offset, years 1970..9999, to Unix seconds. A fraction counts as a whole second more. */
int google_time(const char *text, int64_t *unix_s);

/* A token as it comes in an answer. text borrows from the answer's tree. */
struct google_token {
	const char *text;
	size_t len;
	int64_t expires_at; /* Unix seconds; 0: it has no end */
	const char *key_id; /* signatures: whose they are; likewise borrowed */
};

/* RFC 6749 §5.1: access_token, expires_in, token_type. */
int google_oauth_token(const json_t *answer, int64_t now, struct google_token *out, struct error *err);
/* generateAccessToken: accessToken, expireTime. */
int google_iam_token(const json_t *answer, struct google_token *out, struct error *err);
/*
 * The same, where generateAccessToken's answer is as plain as it always is: these two members, strings without escapes. Out of the
 * answer itself, from which text borrows (no NUL behind it), without a tree to be built and wiped: a third of what else a mint's answer
 * costs. False: anything else, right or wrong, which the two above tell.
 */
bool google_plain_iam_token(const char *answer, size_t len, struct google_token *out);
/* generateIdToken: token, whose exp claim (read, not verified: it came from Google by TLS) is the expiry. */
int google_id_token(const json_t *answer, struct google_token *out, struct error *err);

/* signBlob: signedBlob, base64, and keyId. */
int google_signed_blob(const json_t *answer, struct google_token *out, struct error *err);
/* signJwt: signedJwt, whose exp claim is the expiry, and keyId. */
int google_signed_jwt(const json_t *answer, struct google_token *out, struct error *err);

/* Why an endpoint said no. */
struct google_error {
	char code[64];	 /* "invalid_grant", "PERMISSION_DENIED"; "" where none was given */
	char reason[64]; /* error_subtype, ErrorInfo.reason; "" likewise */
	char words[480]; /* for people: code and message, printable, bounded */
};

/*
 * Reads google.rpc's shape and RFC 6749's; anything else yields words that say so.
 * secrets: what was sent (empty ones do not count): an answer that repeats a piece of one is not quoted (P5).
 */
void google_error_read(const char *body, size_t len, const struct secret *secrets, size_t n_secrets,
		       struct google_error *out);

void base64url_add(struct buf *out, const void *data, size_t len); /* without padding */
/* Strict: no padding, no stray bits. -1: malformed, or more than max bytes. */
int base64url_decode(const char *text, size_t len, void *out, size_t max, size_t *out_len);
