// links: broker
/*
 * What comes from upstream: answers, errors, times, JWTs, and credential files. Any bytes are read to the end or refused
 * with words; what was sent is never quoted; a file that is accepted leads to one well-formed call, or to words again.
 */
#include <assert.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include "broker/diagnosis.h"
#include "broker/log.h"
#include "broker/source/kind.h"
#include "hallpass/utf8.h"

#define SENT "1//the-refresh-token-0123456789"
#define KEY "@KEY" /* in the input: a private key, made anew for each run so that none lies in the corpus */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct event_base *base;
static struct fetcher *fetcher;
static struct log log_;
static char key[4096]; /* PEM as it stands in a JSON string */

static void make_key(void) {
	EVP_PKEY *pkey = EVP_RSA_gen(2048);
	BIO *bio = BIO_new(BIO_s_mem());
	size_t n = 0;
	char *pem;
	long len;

	assert(PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1);
	len = BIO_get_mem_data(bio, &pem);
	for (long i = 0; i < len; i++) {
		if (pem[i] == '\n')
			key[n++] = '\\';
		key[n++] = pem[i] == '\n' ? 'n' : pem[i];
	}
	BIO_free(bio);
	EVP_PKEY_free(pkey);
}

static int64_t fixed_now(void *world) {
	(void)world;
	return 1800000000;
}

static void make_world(void) {
	struct error err;

	if (base)
		return;
	make_key();
	log_init(&log_, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
	base = event_base_new();
	assert(fetcher_new(base, &(struct fetch_options){ .proxy = "" }, &log_, &fetcher, &err) == 0);
}

/* Printable text, whole characters, an end. */
static void check_words(const char *words, size_t size) {
	size_t n = strnlen(words, size);

	assert(n < size);
	for (const char *p = words; n;) {
		size_t len = utf8_length((const unsigned char *)p, n);

		assert(len && ((unsigned char)*p >= 0x20 && *p != 0x7F));
		p += len;
		n -= len;
	}
}

static void errors(const char *text, size_t size) {
	const struct secret sent[] = { { (char *)SENT, sizeof(SENT) - 1 }, { NULL, 0 } };
	struct google_error said;

	google_error_read(text, size, sent, 2, &said);
	assert(said.words[0]);
	check_words(said.words, sizeof(said.words));
	check_words(said.code, sizeof(said.code));
	check_words(said.reason, sizeof(said.reason));
	assert(!strstr(said.words, "-token-0123456789") && !strstr(said.words, "the-refresh-token"));
	assert(!strstr(said.code, "-token-0123456789") && !strstr(said.reason, "-token-0123456789"));
}

static void check_token(int r, const struct google_token *token, const struct error *err) {
	assert(r == 0 || (err->code == ERR_INVALID && err->message[0] && !strstr(err->message, "ya29.")));
	if (r < 0)
		return;
	assert(token->len > 0 && token->len <= GOOGLE_MAX_TOKEN && token->len == strlen(token->text));
	for (size_t i = 0; i < token->len; i++)
		assert(token->text[i] > 0x20 && token->text[i] < 0x7F); /* fits into a header as it is */
}

/* What is read without a tree is what the tree would say. */
static void check_plain(const char *text, size_t size, const json_t *tree) {
	struct google_token plain, token;
	struct error err;

	if (!google_plain_iam_token(text, size, &plain))
		return;
	assert(tree && google_iam_token(tree, &token, &err) == 0);
	assert(plain.len == token.len && !memcmp(plain.text, token.text, token.len) && plain.expires_at == token.expires_at && !plain.key_id);
}

static void answers(const char *text, size_t size) {
	struct error err = { 0 };
	json_t *json = google_json(text, size, &err);
	struct google_token token;

	assert(json || (err.code == ERR_INVALID && err.message[0]));
	check_plain(text, size, json);
	if (!json)
		return;
	check_token(google_oauth_token(json, fixed_now(NULL), &token, &err), &token, &err);
	check_token(google_iam_token(json, &token, &err), &token, &err);
	check_token(google_id_token(json, &token, &err), &token, &err);
	check_token(google_signed_blob(json, &token, &err), &token, &err);
	check_token(google_signed_jwt(json, &token, &err), &token, &err);
	google_json_free(json);
}

static void times(const char *text) {
	struct buf back = BUF_INIT(64);
	int64_t t, again;

	if (google_time(text, &t) < 0)
		return;
	assert(t > -90000 && t < INT64_C(253402390000));
	if (t >= 0 && t < INT64_C(253402300800)) {
		buf_add_time(&back, t);
		assert(google_time(back.data, &again) == 0 && again == t);
	}
	buf_fini(&back);
}

static void base64(const char *text, size_t size) {
	struct buf back = BUF_INIT(1 << 20);
	unsigned char out[8192];
	size_t len;

	if (base64url_decode(text, size, out, sizeof(out), &len) == 0) {
		base64url_add(&back, out, len);
		assert(back.len == size && (size == 0 || !memcmp(back.data, text, size))); /* one text for each value */
	}
	buf_fini(&back);
	base64url_add(&back, text, size);
	assert(base64url_decode(back.data, back.len, out, sizeof(out), &len) < 0 || (len == size && !memcmp(out, text, len)));
	buf_fini(&back);
}

static char *with_key(const char *text, size_t size, size_t *len) {
	const char *at = memmem(text, size, KEY, sizeof(KEY) - 1);
	size_t head = at ? (size_t)(at - text) : size, tail = at ? size - head - (sizeof(KEY) - 1) : 0, n = at ? strlen(key) : 0;
	char *out = malloc(head + n + tail + 1);

	memcpy(out, text, head);
	memcpy(out + head, key, n);
	memcpy(out + head + n, text + size - tail, tail);
	*len = head + n + tail;
	return out;
}

static void credential(const char *text, size_t size) {
	const struct source_options options = { .now = fixed_now };
	struct error err = { 0 };
	struct source *source = source_blank(base, fetcher, &options, &log_, &err);
	int r = source_read(source, text, size, &err);

	assert(r == 0 || (err.code != ERR_NONE && err.message[0]));
	if (r == 0) {
		assert(source_kind(source) && source_describe(source) && source_universe(source)[0]);
		source->refreshing = true;
		r = source->kind->refresh(source, &err);
		assert(r == 0 || (err.code != ERR_NONE && err.message[0]));
		/* A call is under way, or it is over: badly, or by a token that the key signed itself. */
		assert(r < 0 || source->fetch || source->inner_wait || source->error.code || (!source->refreshing && source->token.len));
	}
	source_unref(source); /* with its call under way: nobody is called */
}

/* Whatever is answered, a check is told, as JSON, and its remedy is one line. */
static void check_finding(struct finding *finding) {
	json_t *json = finding_json(finding);

	assert(json && finding->text.len);
	assert(!finding->remedy.len || !strpbrk(finding->remedy.data, "\n") || strchr(finding->remedy.data, '\''));
	json_decref(json);
	finding_fini(finding);
}

static void doctor(const char *text, size_t size, int status) {
	static const enum policy_permission asked[] = { PERMISSION_GET_ACCESS_TOKEN, PERMISSION_SIGN_BLOB };
	static const char login[] = "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\",\"refresh_token\":\"r\"}";
	const struct source_options options = { .now = fixed_now };
	const struct fetch_result heard = { .status = status, .body = text, .body_len = size };
	struct error err = { 0 };
	struct source *source = source_blank(base, fetcher, &options, &log_, &err);
	struct patient patient = { .source = source, .way = "", .for_operator = true };
	struct finding finding;

	assert(source_read(source, login, sizeof(login) - 1, &err) == 0);
	finding_init(&finding, "impersonation", "sa@p.iam.gserviceaccount.com");
	diagnose_impersonation(&finding, &patient, asked, 2, &heard);
	check_finding(&finding);
	finding_init(&finding, "others", "sa@p.iam.gserviceaccount.com");
	diagnose_others(&finding, &patient, &heard);
	check_finding(&finding);
	finding_init(&finding, "google-clock", NULL);
	diagnose_clock(&finding, text, fixed_now(NULL), fixed_now(NULL), 5);
	check_finding(&finding);
	source_unref(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	char *text;
	size_t len;

	make_world();
	text = with_key((const char *)data, size, &len);
	text[len] = '\0';
	errors(text, len);
	answers(text, len);
	times(text);
	base64(text, len);
	credential(text, len);
	doctor(text, len, 200);
	doctor(text, len, 403);
	free(text);
	return 0;
}
