/*
 * A service account's key: an RS256 assertion for an access token. In a universe other than googleapis.com no endpoint takes one,
 * and what the key signs is the token itself.
 * Source: RFC 7523 §2.1; developers.google.com/identity/protocols/oauth2/service-account; google.aip.dev/auth/4111
 */

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include "broker/source/kind.h"

#define ASSERTION_LIFE 3600 /* seconds; the most that Google takes */
#define MAX_ASSERTION 8192

struct own {
	EVP_PKEY *key; /* parsed once: parsing costs more than signing */
	char *key_id;
	char *token_uri; /* the assertion's audience, wherever it is sent */
};

static void forget(void *arg) {
	struct own *own = arg;

	if (!own)
		return;
	EVP_PKEY_free(own->key);
	free(own->key_id);
	free(own->token_uri);
	free(own);
}

static int read_key(struct own *own, const json_t *file, struct error *err) {
	const char *pem;
	BIO *bio;

	if (google_string(file, "private_key", true, SOURCE_MAX_FILE, &pem, err) < 0)
		return -1;
	bio = BIO_new_mem_buf(pem, -1);
	if (!bio)
		return error_set(err, ERR_INTERNAL, "out of memory");
	own->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"");
	BIO_free(bio);
	ERR_clear_error();
	if (!own->key)
		return error_set(err, ERR_INVALID, "private_key is not a PEM private key");
	if (EVP_PKEY_get_base_id(own->key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(own->key) < 2048)
		return error_set(err, ERR_INVALID, "private_key is not an RSA key of 2048 bits or more");
	return 0;
}

static int read_file(struct source *source, const json_t *file, struct error *err) {
	struct own *own = calloc(1, sizeof(*own));

	source->own = own;
	if (!own)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (copy_string(file, "client_email", true, &source->email, err) < 0 ||
	    copy_string(file, "project_id", false, &source->project, err) < 0 ||
	    copy_string(file, "private_key_id", false, &own->key_id, err) < 0 ||
	    copy_string(file, "token_uri", true, &own->token_uri, err) < 0 ||
	    source_check_url(source, "token_uri", own->token_uri, err) < 0 || read_key(own, file, err) < 0)
		return -1;
	source->key_id = own->key_id;
	source->holds_secret = true;
	return 0;
}

static bool signs_its_tokens(const struct source *source) {
	return !source->token_endpoint && strcmp(source->universe, "googleapis.com") != 0;
}

/* header.claims, both base64url. */
static void add_claims(const struct source *source, struct buf *jwt) {
	const struct own *own = source->own;
	struct buf text = BUF_INIT(MAX_ASSERTION / 2);
	int64_t now = source_now(source);
	const char *claim;

	buf_adds(&text, "{\"alg\":\"RS256\",\"typ\":\"JWT\"");
	if (own->key_id) {
		buf_adds(&text, ",\"kid\":");
		buf_add_json(&text, own->key_id, strlen(own->key_id));
	}
	buf_addc(&text, '}');
	base64url_add(jwt, text.data, text.len);
	buf_addc(jwt, '.');
	buf_reset(&text);
	buf_adds(&text, "{\"iss\":");
	buf_add_json(&text, source->email, strlen(source->email));
	buf_adds(&text, ",\"scope\":\"" CLOUD_PLATFORM "\"");
	buf_adds(&text, signs_its_tokens(source) ? ",\"sub\":" : ",\"aud\":");
	claim = signs_its_tokens(source) ? source->email : own->token_uri;
	buf_add_json(&text, claim, strlen(claim));
	buf_addf(&text, ",\"iat\":%lld,\"exp\":%lld}", (long long)now, (long long)(now + ASSERTION_LIFE));
	base64url_add(jwt, text.data, text.len);
	jwt->failed |= text.failed;
	buf_fini(&text);
}

static int add_signature(EVP_PKEY *key, struct buf *jwt) {
	unsigned char signature[1024]; /* RSA up to 8192 bits */
	size_t len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		 EVP_DigestSign(ctx, signature, &len, (const unsigned char *)jwt->data, jwt->len) == 1;

	EVP_MD_CTX_free(ctx);
	if (!ok) {
		ERR_clear_error();
		return -1;
	}
	buf_addc(jwt, '.');
	base64url_add(jwt, signature, len);
	return 0;
}

/* The assertion goes into source->sent, where it stays while the refresh goes on. */
static int sign(struct source *source, struct error *err) {
	const struct own *own = source->own;
	struct buf jwt;
	int r = 0;

	if (secret_buf_init(&jwt, MAX_ASSERTION, err) < 0)
		return -1;
	add_claims(source, &jwt);
	if (!buf_ok(&jwt))
		r = error_set(err, ERR_INVALID, "client_email or token_uri is too long");
	else if (add_signature(own->key, &jwt) < 0 || !buf_ok(&jwt))
		r = error_set(err, ERR_INTERNAL, "the key cannot sign");
	else if (secret_set(&source->sent[0], jwt.data, jwt.len) < 0)
		r = error_set(err, ERR_INTERNAL, "out of memory");
	secret_buf_fini(&jwt);
	return r;
}

static int send_assertion(struct source *source, struct error *err) {
	static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded", NULL };
	const struct own *own = source->own;
	struct buf body;

	if (secret_buf_init(&body, 2 * MAX_ASSERTION, err) < 0)
		return -1;
	form_add(&body, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
	form_add(&body, "assertion", source->sent[0].data);
	source_call(source, &(struct source_call){
				    .spec = { .method = "POST",
					      .url = source->token_endpoint ? source->token_endpoint : own->token_uri,
					      .headers = headers,
					      .body = body.data,
					      .body_len = body.len },
				    .secret = &source->sent[0],
				    .step = source_take_oauth_token,
			    });
	secret_buf_fini(&body);
	return 0;
}

/* A call that is made again takes the same assertion: signing keeps the loop busy for a millisecond. */
static int refresh(struct source *source, struct error *err) {
	bool again = source->attempt > 1 && source->sent[0].len;
	struct google_token token;

	if (!again && sign(source, err) < 0)
		return -1;
	if (!signs_its_tokens(source))
		return send_assertion(source, err);
	token = (struct google_token){ .text = source->sent[0].data,
				       .len = source->sent[0].len,
				       .expires_at = source_now(source) + ASSERTION_LIFE };
	source_succeed(source, &token);
	return 0;
}

const struct source_kind source_service_account = { "service_account", read_file, refresh, forget };
