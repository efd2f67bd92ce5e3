/* source: each kind of credential file, as Google's tools write it, and what each sends to whom. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/source/google_error.h"
#include "tests/lib/sourcebed.h"
#include "tests/lib/testcert.h"

#define TOKEN "POST /token"
#define STS "POST /v1/token"
#define GOOD(token) "{\"access_token\":\"" token "\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"
#define IMPERSONATE(who) "POST /v1/projects/-/serviceAccounts/" who ":generateAccessToken"
#define IAM_GOOD(token) "{\"accessToken\":\"" token "\",\"expireTime\":\"2027-01-15T09:00:00Z\"}"
#define MD "GET /computeMetadata/v1/"
#define FLAVOR "Metadata-Flavor: Google\r\n"

static void open_text(struct bed *b, const char *text) {
	if (!bed_open_text(b, text))
		fail_msg("%s", b->error.message);
}

static void ask_good(struct bed *b, const char *token) {
	bed_ask(b);
	if (b->error.code)
		fail_msg("%s", b->error.message);
	assert_string_equal(b->token, token);
}

static void again(void **state, struct bed **b) {
	bed_teardown(state);
	bed_setup(state);
	*b = *state;
}

/* --- service_account */

static char *pem, *ec_pem;
static EVP_PKEY *key;

static char *ec_key_pem(void) {
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	char *at, *text;
	long n;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, ec, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &at);
	text = strndup(at, (size_t)n);
	BIO_free(bio);
	EVP_PKEY_free(ec);
	return text;
}

static int make_keys(void **state) {
	BIO *bio;

	(void)state;
	pem = testkey_rsa_pem(2048);
	ec_pem = ec_key_pem();
	bio = BIO_new_mem_buf(pem, -1);
	key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return key ? 0 : -1;
}

static int free_keys(void **state) {
	(void)state;
	EVP_PKEY_free(key);
	free(pem);
	free(ec_pem);
	return 0;
}

/* As the console downloads it. key_id NULL: none. */
static char *key_file(const char *private_key, const char *key_id) {
	json_t *json = json_pack("{s:s, s:s, s:s*, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "type", "service_account",
				 "project_id", "acme-ml", "private_key_id", key_id, "private_key", private_key,
				 "client_email", "broker@acme-ml.iam.gserviceaccount.com", "client_id", "100000000000000000001",
				 "auth_uri", "https://accounts.google.com/o/oauth2/auth", "token_uri", "$URL/token",
				 "auth_provider_x509_cert_url", "https://www.googleapis.com/oauth2/v1/certs",
				 "client_x509_cert_url", "https://www.googleapis.com/robot/v1/metadata/x509/broker",
				 "universe_domain", "googleapis.com");
	char *text = json_dumps(json, 0);

	json_decref(json);
	return text;
}

static void open_key(struct bed *b, const char *private_key, const char *key_id) {
	char *text = key_file(private_key, key_id);

	open_text(b, text);
	free(text);
}

static json_t *decode_part(const char *from, size_t len) {
	char text[8192];
	size_t n;

	assert_int_equal(base64url_decode(from, len, text, sizeof(text), &n), 0);
	return json_loadb(text, n, 0, NULL);
}

/* The claims of a JWT whose signature verifies with the test's key and whose header says what it must. */
static json_t *verified_claims(const char *jwt, const char *kid) {
	const char *a = strchr(jwt, '.'), *z = strrchr(jwt, '.');
	unsigned char signature[1024];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	json_t *header;
	size_t n;

	assert_true(a && z > a && !memchr(a + 1, '.', (size_t)(z - a - 1)));
	assert_int_equal(base64url_decode(z + 1, strlen(z + 1), signature, sizeof(signature), &n), 0);
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(ctx, signature, n, (const unsigned char *)jwt, (size_t)(z - jwt)), 1);
	EVP_MD_CTX_free(ctx);
	header = decode_part(jwt, (size_t)(a - jwt));
	assert_string_equal(json_string_value(json_object_get(header, "alg")), "RS256");
	assert_string_equal(json_string_value(json_object_get(header, "typ")), "JWT");
	if (kid)
		assert_string_equal(json_string_value(json_object_get(header, "kid")), kid);
	else
		assert_null(json_object_get(header, "kid"));
	json_decref(header);
	return decode_part(a + 1, (size_t)(z - a - 1));
}

static void check_assertion(struct bed *b, const char *what, int i, const char *kid) {
	char *request = bed_request(b, what, i), aud[128];
	json_t *claims = verified_claims(bed_field(request, "assertion"), kid);

	snprintf(aud, sizeof(aud), "%s/token", httpstub_url(b->stub));
	assert_string_equal(bed_field(request, "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
	assert_non_null(strstr(request, "Content-Type: application/x-www-form-urlencoded\r\n"));
	assert_int_equal(json_object_size(claims), 5);
	assert_string_equal(json_string_value(json_object_get(claims, "iss")), "broker@acme-ml.iam.gserviceaccount.com");
	assert_string_equal(json_string_value(json_object_get(claims, "scope")), "https://www.googleapis.com/auth/cloud-platform");
	assert_string_equal(json_string_value(json_object_get(claims, "aud")), aud);
	assert_int_equal(json_integer_value(json_object_get(claims, "iat")), b->now);
	assert_int_equal(json_integer_value(json_object_get(claims, "exp")), b->now + 3600);
	json_decref(claims);
	free(request);
}

/* Beyond googleapis.com nobody exchanges assertions, unless the configuration says who does. */
static void test_service_account_signs_its_tokens_in_other_universes(void **state) {
	struct bed *b = *state;
	char url[128], *text = key_file(pem, "0123abcd"), *path;
	const struct secret *token;
	int64_t expires_at;
	json_t *file = json_loads(text, 0, NULL), *claims;

	free(text);
	json_object_set_new(file, "universe_domain", json_string("example-cloud.test"));
	text = json_dumps(file, 0);
	path = bed_write(b, "universe.json", text);
	assert_true(bed_open(b, (struct source_options){ .file = path }));
	bed_ask(b);
	assert_int_equal(b->error.code, ERR_NONE);
	assert_int_equal(httpstub_count(b->stub, NULL), 0);
	token = source_in_hand(b->source, &expires_at);
	assert_int_equal(expires_at, b->now + 3600);
	claims = verified_claims(token->data, "0123abcd");
	assert_int_equal(json_object_size(claims), 5);
	assert_string_equal(json_string_value(json_object_get(claims, "iss")), "broker@acme-ml.iam.gserviceaccount.com");
	assert_string_equal(json_string_value(json_object_get(claims, "sub")), "broker@acme-ml.iam.gserviceaccount.com");
	assert_string_equal(json_string_value(json_object_get(claims, "scope")), "https://www.googleapis.com/auth/cloud-platform");
	assert_int_equal(json_integer_value(json_object_get(claims, "exp")), b->now + 3600);
	json_decref(claims);
	/* Ahead of its end there is another. */
	b->now += 3500;
	bed_ask(b);
	source_in_hand(b->source, &expires_at);
	assert_int_equal(expires_at, b->now + 3600);
	snprintf(url, sizeof(url), "%s/token", httpstub_url(b->stub));
	bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.one"));
	assert_true(bed_open(b, (struct source_options){ .file = path, .token_endpoint = url }));
	ask_good(b, "ya29.one");
	free(path);
	free(text);
	json_decref(file);
}

static void test_service_account_sends_a_signed_assertion(void **state) {
	struct bed *b = *state;
	char url[128], *text = key_file(pem, "0123abcd"), *path;

	bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.one"));
	open_key(b, pem, "0123abcd");
	assert_string_equal(source_kind(b->source), "service_account");
	assert_string_equal(source_email(b->source), "broker@acme-ml.iam.gserviceaccount.com");
	assert_string_equal(source_project(b->source), "acme-ml");
	assert_non_null(strstr(source_describe(b->source), "service_account broker@acme-ml.iam.gserviceaccount.com (/tmp/"));
	ask_good(b, "ya29.one");
	check_assertion(b, TOKEN, 0, "0123abcd");
	/* The next refresh has a new one, the token endpoint may be elsewhere, and a key id is no must. */
	b->now += 3600;
	ask_good(b, "ya29.one");
	check_assertion(b, TOKEN, 1, "0123abcd");
	free(text);
	text = key_file(pem, NULL);
	path = bed_write(b, "no-id.json", text);
	snprintf(url, sizeof(url), "%s/elsewhere", httpstub_url(b->stub));
	bed_reply(b, "POST /elsewhere", 200, NULL, GOOD("ya29.two"));
	assert_true(bed_open(b, (struct source_options){ .file = path, .token_endpoint = url }));
	ask_good(b, "ya29.two");
	check_assertion(b, "POST /elsewhere", 0, NULL);
	free(path);
	free(text);
}

static void on_first_request(evutil_socket_t fd, short events, void *arg) {
	struct bed *b = arg;

	(void)fd, (void)events;
	if (httpstub_count(b->stub, TOKEN) > 0)
		b->now = BED_NOW + 5;
}

/* A second goes by between two calls of one refresh: the assertion is that of the first, signed once. */
static void test_service_account_signs_once_a_refresh(void **state) {
	struct bed *b = *state;
	struct event *tick = event_new(b->base, -1, EV_PERSIST, on_first_request, b);
	struct timeval tv = { 0, 1000 };
	char *first, *second;

	bed_reply(b, TOKEN, 503, NULL, "{}");
	bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.one"));
	open_key(b, pem, "0123abcd");
	event_add(tick, &tv);
	ask_good(b, "ya29.one");
	event_free(tick);
	assert_int_equal(b->now, BED_NOW + 5);
	first = bed_request(b, TOKEN, 0);
	second = bed_request(b, TOKEN, 1);
	assert_string_equal(bed_field(first, "assertion"), bed_field(second, "assertion"));
	free(first);
	free(second);
}

static void test_service_account_never_shows_its_assertion(void **state) {
	struct bed *b = *state;

	bed_reply(b, TOKEN, 400, NULL, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}");
	bed_reply(b, TOKEN, 400, NULL, "{\"error\":\"invalid_grant\",\"error_description\":\"in eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIs\"}");
	open_key(b, pem, "0123abcd");
	bed_ask(b);
	bed_assert_says(b, "HTTP 400: invalid_grant: Invalid JWT Signature.");
	assert_null(strstr(b->error.message, "gcloud auth")); /* a key is no login */
	b->now += 60;
	bed_ask(b);
	bed_assert_says(b, "is not shown");
}

static void test_service_account_refuses_keys_that_do_not_do(void **state) {
	static const char garbage[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
	struct bed *b = *state;
	char *small = testkey_rsa_pem(1024);
	const struct {
		const char *private_key, *says;
	} cases[] = {
		{ garbage, "private_key is not a PEM private key" },
		{ "", "private_key is empty" },
		{ "mumble", "private_key is not a PEM private key" },
		{ small, "private_key is not an RSA key of 2048 bits or more" },
		{ ec_pem, "private_key is not an RSA key of 2048 bits or more" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = key_file(cases[i].private_key, "id");

		assert_false(bed_open_text(b, text));
		assert_int_equal(b->error.code, ERR_INVALID);
		bed_assert_says(b, cases[i].says);
		bed_assert_says(b, "/credential.json: ");
		assert_null(strstr(b->error.message, "BEGIN"));
		free(text);
	}
	free(small);
}

static void test_service_account_names_what_its_file_lacks(void **state) {
	static const char *const keys[] = { "client_email", "token_uri", "private_key" };
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char *text = key_file(pem, "id"), want[64];
		json_t *json = json_loads(text, 0, NULL);

		free(text);
		json_object_del(json, keys[i]);
		text = json_dumps(json, 0);
		assert_false(bed_open_text(b, text));
		snprintf(want, sizeof(want), "credential.json: %s is missing", keys[i]);
		bed_assert_says(b, want);
		json_decref(json);
		free(text);
	}
}

static void test_service_account_signs_nothing_that_no_request_holds(void **state) {
	struct bed *b = *state;
	char *text = key_file(pem, "id"), email[2049];
	json_t *json = json_loads(text, 0, NULL);

	free(text);
	memset(email, '"', sizeof(email) - 1); /* each takes two characters in JSON */
	email[sizeof(email) - 1] = '\0';
	json_object_set_new(json, "client_email", json_string(email));
	text = json_dumps(json, 0);
	open_text(b, text);
	bed_ask(b);
	assert_int_equal(b->error.code, ERR_INVALID);
	assert_int_equal(httpstub_count(b->stub, NULL), 0);
	json_decref(json);
	free(text);
}

static void test_service_account_warns_of_a_key_known_to_be_old(void **state) {
	static const struct {
		int days;
		const char *key_id;
		bool warns;
	} cases[] = { { 91, "0123abcd", true }, { 89, "0123abcd", false }, { 91, NULL, false }, { 1000, "0123abcd", true } };
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = key_file(pem, cases[i].key_id), *path = bed_write(b, "key.json", text), *log;
		struct timespec written[2] = { { .tv_sec = b->now - cases[i].days * 86400 }, { .tv_sec = b->now - cases[i].days * 86400 } };

		assert_int_equal(ftruncate(b->log.fd, 0), 0);
		lseek(b->log.fd, 0, SEEK_SET);
		assert_int_equal(utimensat(AT_FDCWD, path, written, 0), 0);
		assert_true(bed_open(b, (struct source_options){ .file = path }));
		log = bed_log(b);
		assert_int_equal(strstr(log, "credential-key-old") != NULL, cases[i].warns);
		assert_int_equal(strstr(log, "private_key_id=0123abcd") != NULL, cases[i].warns);
		free(log);
		free(path);
		free(text);
	}
}

/* --- authorized_user */

/* As `gcloud auth application-default login` writes it. */
#define ADC                                                                                                            \
	"{\n  \"account\": \"\",\n  \"client_id\": \"764086051850-x.apps.googleusercontent.com\",\n"                    \
	"  \"client_secret\": \"d-FL95Q19q7MQmFpd7hHD0Ty\",\n  \"quota_project_id\": \"acme-ml\",\n"                    \
	"  \"refresh_token\": \"1//0refresh+token/with&odd=chars\",\n  \"type\": \"authorized_user\",\n"                \
	"  \"universe_domain\": \"googleapis.com\"\n}"

static bool open_adc(struct bed *b) {
	char url[128], *path = bed_write(b, "adc.json", ADC);
	bool good;

	snprintf(url, sizeof(url), "%s/token", httpstub_url(b->stub));
	good = bed_open(b, (struct source_options){ .file = path, .token_endpoint = url });
	free(path);
	return good;
}

static void test_authorized_user_refreshes(void **state) {
	struct bed *b = *state;
	char *request;

	bed_reply(b, TOKEN, 200, NULL,
		  "{\"access_token\":\"ya29.user\",\"expires_in\":3599,\"scope\":\"https://www.googleapis.com/auth/cloud-platform\","
		  "\"token_type\":\"Bearer\",\"id_token\":\"eyJ.eyJ.sig\"}");
	assert_true(open_adc(b));
	assert_null(source_email(b->source));
	assert_string_equal(source_project(b->source), "acme-ml");
	ask_good(b, "ya29.user");
	request = bed_request(b, TOKEN, 0);
	assert_string_equal(bed_field(request, "grant_type"), "refresh_token");
	assert_string_equal(bed_field(request, "client_id"), "764086051850-x.apps.googleusercontent.com");
	assert_string_equal(bed_field(request, "client_secret"), "d-FL95Q19q7MQmFpd7hHD0Ty");
	assert_string_equal(bed_field(request, "refresh_token"), "1//0refresh+token/with&odd=chars");
	free(request);
}

static void test_authorized_user_stops_when_the_login_is_over(void **state) {
	static const char *const cases[][2] = {
		{ "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been expired or revoked.\"}",
		  "invalid_grant: Token has been expired or revoked.;" },
		{ "{\"error\":\"invalid_grant\",\"error_description\":\"reauth related error (invalid_rapt)\","
		  "\"error_subtype\":\"invalid_rapt\"}",
		  "invalid_grant: reauth related error (invalid_rapt);" },
		{ "{\"error\":\"invalid_grant\",\"error_subtype\":\"rapt_required\"}", "invalid_grant (rapt_required);" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		again(state, &b);
		bed_reply(b, TOKEN, 400, NULL, cases[i][0]);
		bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.never"));
		assert_true(open_adc(b));
		bed_ask(b);
		bed_assert_says(b, cases[i][1]);
		bed_assert_says(b, "run `gcloud auth application-default login`, then `hallpass reload`");
		b->now += 10 * 86400;
		bed_ask(b);
		bed_assert_says(b, cases[i][1]);
		assert_int_equal(httpstub_count(b->stub, TOKEN), 1);
		assert_true(open_adc(b)); /* what a reload does */
		ask_good(b, "ya29.never");
	}
}

/* --- metadata */

static void metadata_replies(struct bed *b) {
	bed_reply(b, MD "universe/universe-domain", 200, FLAVOR, "example-cloud.test");
	bed_reply(b, MD "project/project-id", 200, FLAVOR, "example.com:acme");
	bed_reply(b, MD "instance/service-accounts/default/email", 200, FLAVOR, "vm@acme.iam.gserviceaccount.com");
	bed_reply(b, MD "instance/service-accounts/default/token", 200, FLAVOR, GOOD("ya29.vm"));
}

static bool open_metadata(struct bed *b) {
	return bed_open(b, (struct source_options){ .metadata_host = httpstub_url(b->stub) + 7 });
}

static void test_metadata_asks_who_and_where_it_is_once(void **state) {
	struct bed *b = *state;
	char *request;

	metadata_replies(b);
	assert_true(open_metadata(b));
	assert_string_equal(source_universe(b->source), "googleapis.com");
	ask_good(b, "ya29.vm");
	assert_string_equal(source_universe(b->source), "example-cloud.test");
	assert_string_equal(source_project(b->source), "example.com:acme");
	assert_string_equal(source_email(b->source), "vm@acme.iam.gserviceaccount.com");
	assert_string_equal(source_describe(b->source), "metadata vm@acme.iam.gserviceaccount.com");
	request = bed_request(b, MD "instance/service-accounts/default/token", 0);
	assert_non_null(strstr(request, "\r\nMetadata-Flavor: Google\r\n"));
	free(request);
	assert_int_equal(httpstub_count(b->stub, NULL), 4);
	b->now += 3600;
	ask_good(b, "ya29.vm");
	assert_int_equal(httpstub_count(b->stub, NULL), 5);
}

static void test_metadata_does_without_what_the_server_does_not_say(void **state) {
	struct bed *b = *state;

	bed_reply(b, MD "universe/universe-domain", 404, FLAVOR, "<html>");
	bed_reply(b, MD "project/project-id", 200, FLAVOR, "Not a\nproject");
	bed_reply(b, MD "instance/service-accounts/default/email", 503, FLAVOR, "");
	bed_reply(b, MD "instance/service-accounts/default/email", 200, FLAVOR, "vm@acme.iam.gserviceaccount.com");
	bed_reply(b, MD "instance/service-accounts/default/token", 200, FLAVOR, GOOD("ya29.vm"));
	assert_true(open_metadata(b));
	ask_good(b, "ya29.vm");
	assert_string_equal(source_universe(b->source), "googleapis.com");
	assert_null(source_project(b->source));
	assert_null(source_email(b->source));
	b->now += 3600;
	ask_good(b, "ya29.vm"); /* trouble is asked about again, an answer is not */
	assert_string_equal(source_email(b->source), "vm@acme.iam.gserviceaccount.com");
	assert_int_equal(httpstub_count(b->stub, NULL), 6);
}

static void test_metadata_refuses_a_captive_portal(void **state) {
	static const struct httpstub_reply portals[] = {
		{ .status = 200, .body = GOOD("ya29.portal") },
		{ .status = 200, .headers = "Metadata-Flavor: google\r\n", .body = GOOD("ya29.portal") },
		{ .status = 302, .headers = "Location: http://portal.test/\r\n", .body = "" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(portals) / sizeof(portals[0]); i++) {
		again(state, &b);
		httpstub_on(b->stub, MD "universe/universe-domain", &portals[i]);
		metadata_replies(b);
		assert_true(open_metadata(b));
		bed_ask(b);
		assert_int_equal(b->error.code, ERR_UPSTREAM);
		bed_assert_says(b, "has no Metadata-Flavor: Google, so it is not the metadata server's");
		assert_int_equal(httpstub_count(b->stub, NULL), 1);
		b->now += 60;
		ask_good(b, "ya29.vm"); /* once the portal has been left behind */
	}
	/* It may be back when only the token is asked for. */
	for (size_t i = 0; i < 2; i++) {
		again(state, &b);
		metadata_replies(b);
		httpstub_on(b->stub, MD "instance/service-accounts/default/token", &portals[i]);
		assert_true(open_metadata(b));
		ask_good(b, "ya29.vm");
		b->now += 3600;
		bed_ask(b);
		bed_assert_says(b, "not the metadata server's");
	}
}

static void test_metadata_says_when_the_machine_has_no_account(void **state) {
	struct bed *b = *state;

	bed_reply(b, MD "universe/universe-domain", 404, FLAVOR, "");
	bed_reply(b, MD "project/project-id", 404, FLAVOR, "");
	bed_reply(b, MD "instance/service-accounts/default/email", 404, FLAVOR, "");
	bed_reply(b, MD "instance/service-accounts/default/token", 404, FLAVOR, "");
	assert_true(open_metadata(b));
	bed_ask(b);
	bed_assert_says(b, "credential metadata: GET http://127.0.0.1:");
	bed_assert_says(b, "/computeMetadata/v1/instance/service-accounts/default/token: HTTP 404");
}

static void test_metadata_hosts_that_are_refused(void **state) {
	static const char *const hosts[] = { "a/b", "a@b", "a?b", "a#b", "a b", "192.0.2.1", "metadata.google.internal.evil.test", "" };
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		if (bed_open(b, (struct source_options){ .metadata_host = hosts[i] }))
			fail_msg("'%s' was accepted", hosts[i]);
		assert_int_equal(b->error.code, ERR_INVALID);
		bed_assert_says(b, "metadata host");
	}
	assert_true(bed_open(b, (struct source_options){ .metadata_host = "metadata.google.internal" }));
	assert_true(bed_open(b, (struct source_options){ .metadata_host = "169.254.169.254:80" }));
}

/* --- external_account */

#define EXTERNAL_HEAD                                                                                                  \
	"{\"universe_domain\":\"googleapis.com\",\"type\":\"external_account\",\"audience\":"                          \
	"\"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q\","                    \
	"\"subject_token_type\":\"urn:ietf:params:oauth:token-type:jwt\",\"token_url\":\"$URL/v1/token\","
#define EXTERNAL(source) EXTERNAL_HEAD "\"credential_source\":" source "}"
#define EXCHANGED(token)                                                                                               \
	"{\"access_token\":\"" token "\",\"issued_token_type\":\"urn:ietf:params:oauth:token-type:access_token\","      \
	"\"token_type\":\"Bearer\",\"expires_in\":3599}"
#define SUBJECT "eyJ0eXAi.subject-token-of-another-provider.c2ln"

static void check_exchange(struct bed *b) {
	char *request = bed_request(b, STS, 0);
	static const char *const fields[][2] = {
		{ "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange" },
		{ "audience", "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q" },
		{ "scope", "https://www.googleapis.com/auth/cloud-platform" },
		{ "requested_token_type", "urn:ietf:params:oauth:token-type:access_token" },
		{ "subject_token", SUBJECT },
		{ "subject_token_type", "urn:ietf:params:oauth:token-type:jwt" },
		{ "options", "" },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		assert_string_equal(bed_field(request, fields[i][0]), fields[i][1]);
	assert_null(strstr(request, "Authorization:"));
	free(request);
}

static void test_external_account_exchanges_each_form_of_subject(void **state) {
	static const struct {
		const char *source, *what, *content; /* what: a file's name, or what is called */
	} cases[] = {
		{ "{\"file\":\"$DIR/subject\"}", "subject", SUBJECT },
		{ "{\"file\":\"$DIR/subject\",\"format\":{}}", "subject", SUBJECT "\r\n" },
		{ "{\"file\":\"$DIR/subject\",\"format\":{\"type\":\"text\"}}", "subject", SUBJECT "\n" },
		{ "{\"file\":\"$DIR/subject\",\"format\":{\"type\":\"json\",\"subject_token_field_name\":\"jwt\"}}", "subject",
		  "{\"jwt\":\"" SUBJECT "\",\"other\":1}" },
		{ "{\"url\":\"$URL/subject?resource=x\"}", "GET /subject", SUBJECT "\n" },
		{ "{\"url\":\"$URL/subject\",\"headers\":{\"Metadata\":\"True\"},\"format\":{\"type\":\"json\","
		  "\"subject_token_field_name\":\"access_token\"}}",
		  "GET /subject", "{\"access_token\":\"" SUBJECT "\"}" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[2048];

		again(state, &b);
		if (cases[i].what[0] == 'G')
			bed_reply(b, cases[i].what, 200, NULL, cases[i].content);
		else
			free(bed_write(b, cases[i].what, cases[i].content));
		bed_reply(b, STS, 200, NULL, EXCHANGED("ya29.federated"));
		snprintf(text, sizeof(text), EXTERNAL("%s"), cases[i].source);
		open_text(b, text);
		ask_good(b, "ya29.federated");
		assert_int_equal(b->expires_at, BED_NOW + 3599);
		check_exchange(b);
	}
}

static void test_external_account_reads_its_subject_anew_each_time(void **state) {
	struct bed *b = *state;
	char *request;

	free(bed_write(b, "subject", "first"));
	bed_reply(b, STS, 200, NULL, EXCHANGED("ya29.federated"));
	open_text(b, EXTERNAL("{\"file\":\"$DIR/subject\"}"));
	ask_good(b, "ya29.federated");
	free(bed_write(b, "subject", "second"));
	b->now += 3600;
	ask_good(b, "ya29.federated");
	request = bed_request(b, STS, 1);
	assert_string_equal(bed_field(request, "subject_token"), "second");
	free(request);
}

static void test_external_account_sends_the_headers_it_is_told(void **state) {
	struct bed *b = *state;
	char *request;

	bed_reply(b, "GET /subject", 200, NULL, SUBJECT);
	bed_reply(b, STS, 200, NULL, EXCHANGED("ya29.federated"));
	open_text(b, EXTERNAL("{\"url\":\"$URL/subject?audience=x\",\"headers\":{\"Authorization\":\"bearer request-token\",\"X-A\":\"\"}}"));
	ask_good(b, "ya29.federated");
	request = bed_request(b, "GET /subject", 0);
	assert_int_equal(strncmp(request, "GET /subject?audience=x HTTP/1.1\r\n", 34), 0);
	assert_non_null(strstr(request, "\r\nAuthorization: bearer request-token\r\n"));
	free(request);
}

static void test_external_account_impersonates(void **state) {
	struct bed *b = *state;
	char *request, *path, iam[128], sts[128];

	free(bed_write(b, "subject", SUBJECT));
	bed_reply(b, STS, 200, NULL, EXCHANGED("ya29.federated-0123456789"));
	bed_reply(b, IMPERSONATE("x@acme.iam.gserviceaccount.com"), 200, NULL, IAM_GOOD("ya29.impersonated"));
	open_text(b, EXTERNAL_HEAD "\"quota_project_id\":\"payer\",\"service_account_impersonation_url\":\"$URL/v1/projects/-/serviceAccounts/"
				   "x@acme.iam.gserviceaccount.com:generateAccessToken\",\"service_account_impersonation\":"
				   "{\"token_lifetime_seconds\":2800},\"credential_source\":{\"file\":\"$DIR/subject\"}}");
	assert_string_equal(source_email(b->source), "x@acme.iam.gserviceaccount.com");
	ask_good(b, "ya29.impersonated");
	assert_int_equal(b->expires_at, BED_NOW + 3600);
	check_exchange(b);
	request = bed_request(b, IMPERSONATE("x@acme.iam.gserviceaccount.com"), 0);
	assert_non_null(strstr(request, "\r\nAuthorization: Bearer ya29.federated-0123456789\r\n"));
	assert_non_null(strstr(request, "\r\nX-Goog-User-Project: payer\r\n"));
	assert_non_null(strstr(request, "\r\n\r\n{\"scope\":[\"https://www.googleapis.com/auth/cloud-platform\"],"
					"\"lifetime\":\"2800s\",\"delegates\":[]}"));
	free(request);
	/* Both endpoints may be moved by the configuration. */
	path = bed_write(b, "moved.json",
			 "{\"type\":\"external_account\",\"audience\":\"a\",\"subject_token_type\":\"t\",\"token_url\":"
			 "\"https://sts.googleapis.com/v1/token\",\"service_account_impersonation_url\":"
			 "\"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/x@acme.iam.gserviceaccount.com:"
			 "generateAccessToken\",\"credential_source\":{\"file\":\"$DIR/subject\"}}");
	snprintf(iam, sizeof(iam), "%s", httpstub_url(b->stub));
	snprintf(sts, sizeof(sts), "%s/v1/token", httpstub_url(b->stub));
	assert_true(bed_open(b, (struct source_options){ .file = path, .iam_endpoint = iam, .sts_endpoint = sts }));
	ask_good(b, "ya29.impersonated");
	request = bed_request(b, IMPERSONATE("x@acme.iam.gserviceaccount.com"), 1);
	assert_non_null(strstr(request, "\"lifetime\":\"3600s\""));
	free(request);
	free(path);
}

static void test_external_account_names_the_step_that_failed(void **state) {
	static const struct {
		int sts_status;
		const char *sts, *iam, *says;
	} cases[] = {
		{ 400, "{\"error\":\"invalid_target\",\"error_description\":\"The target service indicated by the \\\"audience\\\" parameters is invalid.\"}",
		  "", "/v1/token: HTTP 400: invalid_target: The target service" },
		{ 400, "{\"error\":\"invalid_grant\",\"error_description\":\"rejected " SUBJECT "\"}", "", "is not shown" },
		{ 400, "{\"error\":\"invalid_grant\",\"error_description\":\"rejected\"}", "", "HTTP 400: invalid_grant: rejected" },
		{ 200, "{\"access_token\":\"ya29.f\"}", "", "/v1/token: expires_in is not a whole number" },
		{ 200, EXCHANGED("ya29.federated-0123456789"), "{\"error\":{\"status\":\"PERMISSION_DENIED\",\"message\":\"no\"}}",
		  ":generateAccessToken: HTTP 403: PERMISSION_DENIED: no" },
		{ 200, EXCHANGED("ya29.federated-0123456789"), "{\"error\":{\"message\":\"for ya29.federated-0123456789\"}}", "is not shown" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		again(state, &b);
		free(bed_write(b, "subject", SUBJECT));
		bed_reply(b, STS, cases[i].sts_status, NULL, cases[i].sts);
		bed_reply(b, IMPERSONATE("x@y"), 403, NULL, cases[i].iam);
		open_text(b, EXTERNAL_HEAD "\"service_account_impersonation_url\":\"$URL/v1/projects/-/serviceAccounts/x@y:"
					   "generateAccessToken\",\"credential_source\":{\"file\":\"$DIR/subject\"}}");
		bed_ask(b);
		assert_int_equal(b->error.code, ERR_UPSTREAM);
		bed_assert_says(b, cases[i].says);
		assert_null(strstr(b->error.message, "gcloud auth"));
		assert_null(strstr(b->error.message, "subject-token-of"));
		assert_null(strstr(b->error.message, "ya29."));
		b->now += 3600;
		bed_ask(b); /* another subject may do: it is asked again */
		assert_int_equal(httpstub_count(b->stub, STS), 2);
	}
}

static void test_external_account_says_what_is_wrong_with_its_subject(void **state) {
	static const char *const cases[][3] = {
		{ "{\"file\":\"$DIR/none\"}", NULL, "credential_source: /tmp/hallpass-source-" },
		{ "{\"file\":\"$DIR/subject\"}", "", "no token of 1 to" },
		{ "{\"file\":\"$DIR/subject\"}", " \n", "no token of 1 to" },
		{ "{\"file\":\"$DIR/subject\",\"format\":{\"type\":\"json\",\"subject_token_field_name\":\"jwt\"}}", "{\"jwt\":5}",
		  "jwt is not a string" },
		{ "{\"file\":\"$DIR/subject\",\"format\":{\"type\":\"json\",\"subject_token_field_name\":\"jwt\"}}", "secret",
		  ": not JSON" },
		{ "{\"url\":\"$URL/none?code=secret\"}", NULL, "GET http://127.0.0.1:" },
		{ "{\"url\":\"$URL/empty\"}", NULL, "/empty: no token of 1 to" },
		{ "{\"url\":\"$URL/leak\",\"headers\":{\"Authorization\":\"bearer request-token-0123456789\"}}", NULL, "is not shown" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[2048];

		again(state, &b);
		bed_reply(b, "GET /empty", 200, NULL, "");
		bed_reply(b, "GET /leak", 403, NULL, "{\"error\":\"no\",\"error_description\":\"not with request-token-0123456789\"}");
		if (cases[i][1])
			free(bed_write(b, "subject", cases[i][1]));
		snprintf(text, sizeof(text), EXTERNAL("%s"), cases[i][0]);
		open_text(b, text);
		bed_ask(b);
		assert_int_not_equal(b->error.code, ERR_NONE);
		bed_assert_says(b, cases[i][2]);
		bed_assert_says(b, "credential external_account (/tmp/");
		assert_null(strstr(b->error.message, "secret"));
		assert_null(strstr(b->error.message, "request-token"));
		assert_int_equal(httpstub_count(b->stub, STS), 0);
	}
}

static void test_external_account_authenticates_its_client(void **state) {
	struct bed *b = *state;
	char *request;

	free(bed_write(b, "subject", SUBJECT));
	bed_reply(b, STS, 400, NULL, "{\"error\":\"invalid_client\",\"error_description\":\"client-secret-0123456789?\"}");
	bed_reply(b, STS, 200, NULL, EXCHANGED("ya29.federated"));
	open_text(b, EXTERNAL_HEAD "\"client_id\":\"client\",\"client_secret\":\"client-secret-0123456789\","
				   "\"workforce_pool_user_project\":\"acme\",\"credential_source\":{\"file\":\"$DIR/subject\"}}");
	bed_ask(b);
	bed_assert_says(b, "is not shown");
	b->now += 2;
	ask_good(b, "ya29.federated");
	request = bed_request(b, STS, 1);
	assert_non_null(strstr(request, "\r\nAuthorization: Basic Y2xpZW50OmNsaWVudC1zZWNyZXQtMDEyMzQ1Njc4OQ==\r\n"));
	assert_string_equal(bed_field(request, "options"), ""); /* a client has a project of its own */
	free(request);
}

/* Without a client secret or headers the file is no secret, and gcloud writes it for all to read. */
static void test_external_account_warns_of_readable_secrets_alone(void **state) {
	static const struct {
		const char *text;
		bool warns;
	} cases[] = {
		{ EXTERNAL("{\"file\":\"/a\"}"), false },
		{ EXTERNAL_HEAD "\"client_id\":\"a\",\"client_secret\":\"b\",\"credential_source\":{\"file\":\"/a\"}}", true },
		{ EXTERNAL("{\"url\":\"$URL/a\",\"headers\":{\"Authorization\":\"bearer a\"}}"), true },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path = bed_write(b, "file.json", cases[i].text), *log;

		assert_int_equal(ftruncate(b->log.fd, 0), 0);
		lseek(b->log.fd, 0, SEEK_SET);
		assert_int_equal(chmod(path, 0644), 0);
		assert_true(bed_open(b, (struct source_options){ .file = path }));
		log = bed_log(b);
		assert_int_equal(strstr(log, "credential-readable-by-others") != NULL, cases[i].warns);
		free(log);
		free(path);
	}
}

static void test_external_account_sends_the_workforce_project(void **state) {
	struct bed *b = *state;
	char *request;

	free(bed_write(b, "subject", SUBJECT));
	bed_reply(b, STS, 200, NULL, EXCHANGED("ya29.federated"));
	open_text(b, EXTERNAL_HEAD "\"workforce_pool_user_project\":\"acme\",\"credential_source\":{\"file\":\"$DIR/subject\"}}");
	ask_good(b, "ya29.federated");
	request = bed_request(b, STS, 0);
	assert_string_equal(bed_field(request, "options"), "{\"userProject\":\"acme\"}");
	free(request);
}

static void test_external_account_refuses_files(void **state) {
	static const char *const cases[][2] = {
		{ "\"credential_source\":{\"executable\":{\"command\":\"/bin/sh\"}}}",
		  "credential_source.executable would run a program with the broker's rights; write its token to a file instead" },
		{ "\"credential_source\":{\"environment_id\":\"aws1\"}}", "credential_source.environment_id (AWS) is not supported" },
		{ "\"credential_source\":{\"certificate\":{}}}", "credential_source.certificate is not supported" },
		{ "\"a\":1}", "credential_source is not an object" },
		{ "\"credential_source\":{}}", "credential_source has to have one of file and url" },
		{ "\"credential_source\":{\"file\":\"/a\",\"url\":\"http://127.0.0.1/\"}}", "has to have one of file and url" },
		{ "\"credential_source\":{\"url\":\"http://192.0.2.1/?a=secret\"}}", "credential_source.url: 'http://192.0.2.1/' is plain http" },
		{ "\"credential_source\":{\"file\":5}}", "credential_source: file is not a string" },
		{ "\"credential_source\":{\"file\":\"/a\",\"format\":5}}", "credential_source: format is not an object" },
		{ "\"credential_source\":{\"file\":\"/a\",\"format\":{\"type\":\"xml\"}}}", "format.type is neither text nor json" },
		{ "\"credential_source\":{\"file\":\"/a\",\"format\":{\"type\":5}}}", "type is not a string" },
		{ "\"credential_source\":{\"file\":\"/a\",\"format\":{\"type\":\"json\"}}}", "subject_token_field_name is missing" },
		{ "\"credential_source\":{\"url\":\"http://127.0.0.1/\",\"headers\":[]}}", "headers is not an object" },
		{ "\"credential_source\":{\"url\":\"http://127.0.0.1/\",\"headers\":{\"A b\":\"c\"}}}", "headers: 'A b' is not a header" },
		{ "\"credential_source\":{\"url\":\"http://127.0.0.1/\",\"headers\":{\"A\":\"c\\r\\nB: d\"}}}", "headers: 'A' is not a header" },
		{ "\"credential_source\":{\"url\":\"http://127.0.0.1/\",\"headers\":{\"A\":5}}}", "headers: 'A' is not a header" },
		{ "\"credential_source\":{\"url\":\"http://127.0.0.1/\",\"headers\":{\"A\":\"\",\"B\":\"\",\"C\":\"\",\"D\":\"\",\"E\":\"\","
		  "\"F\":\"\",\"G\":\"\",\"H\":\"\",\"I\":\"\",\"J\":\"\",\"K\":\"\",\"L\":\"\",\"M\":\"\",\"N\":\"\",\"O\":\"\",\"P\":\"\",\"Q\":\"\"}}}",
		  "more than 16 headers" },
		{ "\"service_account_impersonation_url\":\"https://x/y\",\"credential_source\":{\"file\":\"/a\"}}",
		  "service_account_impersonation_url does not end in" },
		{ "\"service_account_impersonation_url\":\"http://192.0.2.1/v1/projects/-/serviceAccounts/a@b:generateAccessToken\","
		  "\"credential_source\":{\"file\":\"/a\"}}",
		  "service_account_impersonation_url: 'http://192.0.2.1/v1" },
		{ "\"service_account_impersonation_url\":\"https://x/v1/projects/-/serviceAccounts/a@b:generateAccessToken\","
		  "\"service_account_impersonation\":{\"token_lifetime_seconds\":599},\"credential_source\":{\"file\":\"/a\"}}",
		  "token_lifetime_seconds is not a number from 600 to 43200" },
		{ "\"service_account_impersonation_url\":\"https://x/v1/projects/-/serviceAccounts/a@b:generateAccessToken\","
		  "\"service_account_impersonation\":{\"token_lifetime_seconds\":\"900\"},\"credential_source\":{\"file\":\"/a\"}}",
		  "token_lifetime_seconds is not a number" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[2048];

		snprintf(text, sizeof(text), EXTERNAL_HEAD "%s", cases[i][0]);
		if (bed_open_text(b, text))
			fail_msg("case %zu was accepted", i);
		assert_int_equal(b->error.code, ERR_INVALID);
		bed_assert_says(b, cases[i][1]);
		bed_assert_says(b, "credential.json: ");
		assert_null(strstr(b->error.message, "secret"));
	}
	assert_false(bed_open_text(b, "{\"type\":\"external_account\",\"audience\":\"a\",\"subject_token_type\":\"t\",\"token_url\":\"nonsense:\","
				      "\"credential_source\":{\"file\":\"/a\"}}"));
	bed_assert_says(b, "token_url: 'nonsense:'");
}

/* --- impersonated_service_account */

#define INNER                                                                                                          \
	"{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\",\"refresh_token\":\"c\",\"token_uri\":\"$URL/token\"}"
/* As `gcloud auth application-default login --impersonate-service-account` writes it. */
#define IMPERSONATED(who, more, inner)                                                                                 \
	"{\"delegates\":[" more "],\"service_account_impersonation_url\":\"$URL/v1/projects/-/serviceAccounts/" who        \
	":generateAccessToken\",\"source_credentials\":" inner ",\"type\":\"impersonated_service_account\"}"

static void test_impersonated_exchanges_its_sources_token(void **state) {
	struct bed *b = *state;
	char *request;

	bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.inner"));
	bed_reply(b, IMPERSONATE("x@acme"), 200, NULL, IAM_GOOD("ya29.outer"));
	open_text(b, IMPERSONATED("x@acme", "\"d1@acme\",\"projects/-/serviceAccounts/d2@acme\"", INNER));
	assert_string_equal(source_kind(b->source), "impersonated_service_account");
	assert_string_equal(source_email(b->source), "x@acme");
	ask_good(b, "ya29.outer");
	request = bed_request(b, IMPERSONATE("x@acme"), 0);
	assert_non_null(strstr(request, "\r\nAuthorization: Bearer ya29.inner\r\n"));
	assert_null(strcasestr(request, "\r\nX-Goog-User-Project:"));
	assert_non_null(strstr(request, "{\"scope\":[\"https://www.googleapis.com/auth/cloud-platform\"],\"lifetime\":\"3600s\",\"delegates\":["
					"\"projects/-/serviceAccounts/d1@acme\",\"projects/-/serviceAccounts/d2@acme\"]}"));
	free(request);
}

/* A call is charged as the credential says whose token it bears. */
static void test_impersonated_is_charged_as_its_source_says(void **state) {
	struct bed *b = *state;
	char *request;

	bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.inner"));
	bed_reply(b, IMPERSONATE("x@acme"), 200, NULL, IAM_GOOD("ya29.outer"));
	open_text(b, "{\"type\":\"impersonated_service_account\",\"quota_project_id\":\"outer\",\"service_account_impersonation_url\":"
		     "\"$URL/v1/projects/-/serviceAccounts/x@acme:generateAccessToken\",\"source_credentials\":{\"type\":\"authorized_user\","
		     "\"client_id\":\"a\",\"client_secret\":\"b\",\"refresh_token\":\"c\",\"token_uri\":\"$URL/token\","
		     "\"quota_project_id\":\"inner\"}}");
	assert_string_equal(source_quota_header(b->source), "X-Goog-User-Project: outer");
	ask_good(b, "ya29.outer");
	request = bed_request(b, IMPERSONATE("x@acme"), 0);
	assert_non_null(strstr(request, "\r\nX-Goog-User-Project: inner\r\n"));
	free(request);
	request = bed_request(b, TOKEN, 0);
	assert_null(strcasestr(request, "\r\nX-Goog-User-Project:"));
	free(request);
}

static void test_impersonated_renews_its_source_once_after_401(void **state) {
	struct bed *b = *state;
	char *request;

	bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.stale"));
	bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.fresh"));
	bed_reply(b, IMPERSONATE("x@acme"), 401, NULL, "{\"error\":{\"status\":\"UNAUTHENTICATED\"}}");
	bed_reply(b, IMPERSONATE("x@acme"), 200, NULL, IAM_GOOD("ya29.outer"));
	bed_reply(b, IMPERSONATE("x@acme"), 401, NULL, "{\"error\":{\"status\":\"UNAUTHENTICATED\",\"message\":\"still\"}}");
	open_text(b, IMPERSONATED("x@acme", "", INNER));
	ask_good(b, "ya29.outer");
	request = bed_request(b, IMPERSONATE("x@acme"), 1);
	assert_non_null(strstr(request, "Bearer ya29.fresh\r\n"));
	free(request);
	b->now += 3600;
	bed_ask(b);
	bed_assert_says(b, "HTTP 401: UNAUTHENTICATED: still");
	assert_int_equal(httpstub_count(b->stub, IMPERSONATE("x@acme")), 4);
}

static void test_impersonated_passes_on_what_its_source_says(void **state) {
	struct bed *b = *state;

	bed_reply(b, TOKEN, 400, NULL, "{\"error\":\"invalid_grant\",\"error_description\":\"revoked\"}");
	open_text(b, IMPERSONATED("x@acme", "", INNER));
	bed_ask(b);
	bed_assert_says(b, "credential impersonated_service_account x@acme (/tmp/");
	bed_assert_says(b, "its source: credential authorized_user (/tmp/");
	bed_assert_says(b, "/token: HTTP 400: invalid_grant: revoked; the login must be renewed");
	assert_int_equal(httpstub_count(b->stub, NULL), 1);
}

static void test_impersonated_checks_answers(void **state) {
	static const char *const cases[][2] = {
		{ "{\"accessToken\":\"ya29.outer\"}", "expireTime is missing" },
		{ "{\"accessToken\":\"ya29.outer\",\"expireTime\":\"soon\"}", "expireTime is not a time" },
		{ "{\"accessToken\":\"ya29.outer\",\"expireTime\":\"2027-01-15T08:00:00Z\"}", "the token is over already" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		again(state, &b);
		bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.inner"));
		bed_reply(b, IMPERSONATE("x@acme"), 200, NULL, cases[i][0]);
		open_text(b, IMPERSONATED("x@acme", "", INNER));
		bed_ask(b);
		bed_assert_says(b, cases[i][1]);
	}
}

static void test_impersonated_nests_four_deep_and_no_deeper(void **state) {
	struct bed *b = *state;

#define THREE IMPERSONATED("c@acme", "", IMPERSONATED("b@acme", "", IMPERSONATED("a@acme", "", INNER)))
	bed_reply(b, TOKEN, 200, NULL, GOOD("ya29.inner"));
	bed_reply(b, IMPERSONATE("a@acme"), 200, NULL, IAM_GOOD("ya29.a"));
	bed_reply(b, IMPERSONATE("b@acme"), 200, NULL, IAM_GOOD("ya29.b"));
	bed_reply(b, IMPERSONATE("c@acme"), 200, NULL, IAM_GOOD("ya29.c"));
	open_text(b, THREE);
	ask_good(b, "ya29.c");
	assert_false(bed_open_text(b, IMPERSONATED("d@acme", "", THREE)));
	bed_assert_says(b, "credentials are nested more than 4 deep");
}

static void test_impersonated_refuses_files(void **state) {
	static const char *const cases[][2] = {
		{ IMPERSONATED("x@y", "", "5"), "source_credentials is not an object" },
		{ IMPERSONATED("x@y", "", "{}"), "source_credentials: type is missing" },
		{ IMPERSONATED("x@y", "5", INNER), "delegates[0] is not an account" },
		{ IMPERSONATED("x@y", "\"a\",\"\"", INNER), "delegates[1] is not an account" },
		{ IMPERSONATED("x@y", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", INNER), "delegates is not a list of at most 16" },
		{ IMPERSONATED("", "", INNER), "does not end in" },
		{ IMPERSONATED("x/y", "", INNER), "does not end in" },
		{ IMPERSONATED("x@y:generateAccessToken", "", INNER), "does not end in" },
		{ "{\"type\":\"impersonated_service_account\"}", "service_account_impersonation_url is missing" },
		{ "{\"type\":\"impersonated_service_account\",\"service_account_impersonation_url\":\"$URL/v1/projects/-/serviceAccounts/"
		  "x@y:generateAccessToken\",\"delegates\":{}}",
		  "delegates is not a list" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (bed_open_text(b, cases[i][0]))
			fail_msg("case %zu was accepted", i);
		assert_int_equal(b->error.code, ERR_INVALID);
		bed_assert_says(b, cases[i][1]);
	}
	assert_true(bed_open_text(b, "{\"type\":\"impersonated_service_account\",\"service_account_impersonation_url\":"
				     "\"$URL/v1/projects/-/serviceAccounts/x@y:generateAccessToken\",\"delegates\":null,"
				     "\"source_credentials\":" INNER "}"));
}

static void test_impersonated_freed_while_its_source_refreshes(void **state) {
	struct bed *b = *state;

	httpstub_on(b->stub, TOKEN, &(struct httpstub_reply){ .action = STUB_HANG });
	open_text(b, IMPERSONATED("x@acme", "", INNER));
	assert_null(source_waits_for(b->source));
	source_token(b->source, bed_on_token, b);
	bed_wait(b, TOKEN, 1);
	assert_non_null(strstr(source_waits_for(b->source), "/token"));
	source_unref(b->source);
	b->source = NULL;
	assert_int_equal(b->done, 1);
	assert_int_equal(b->error.code, ERR_CANCELLED);
}

/* A key inside warns of its age as one outside does. */
static void test_impersonated_warns_of_an_old_key_inside(void **state) {
	struct bed *b = *state;
	char *inner = key_file(pem, "0123abcd"), *text, *path, *log;
	struct timespec written[2] = { { .tv_sec = b->now - 100 * 86400 }, { .tv_sec = b->now - 100 * 86400 } };

	assert_true(asprintf(&text, IMPERSONATED("x@acme", "", "%s"), inner) > 0);
	path = bed_write(b, "key.json", text);
	assert_int_equal(utimensat(AT_FDCWD, path, written, 0), 0);
	assert_true(bed_open(b, (struct source_options){ .file = path }));
	log = bed_log(b);
	assert_non_null(strstr(log, "private_key_id=0123abcd"));
	free(log);
	free(path);
	free(text);
	free(inner);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		T(test_service_account_sends_a_signed_assertion),
		T(test_service_account_signs_its_tokens_in_other_universes),
		T(test_service_account_signs_once_a_refresh),
		T(test_service_account_never_shows_its_assertion),
		T(test_service_account_refuses_keys_that_do_not_do),
		T(test_service_account_names_what_its_file_lacks),
		T(test_service_account_signs_nothing_that_no_request_holds),
		T(test_service_account_warns_of_a_key_known_to_be_old),
		T(test_authorized_user_refreshes),
		T(test_authorized_user_stops_when_the_login_is_over),
		T(test_metadata_asks_who_and_where_it_is_once),
		T(test_metadata_does_without_what_the_server_does_not_say),
		T(test_metadata_refuses_a_captive_portal),
		T(test_metadata_says_when_the_machine_has_no_account),
		T(test_metadata_hosts_that_are_refused),
		T(test_external_account_exchanges_each_form_of_subject),
		T(test_external_account_reads_its_subject_anew_each_time),
		T(test_external_account_sends_the_headers_it_is_told),
		T(test_external_account_impersonates),
		T(test_external_account_names_the_step_that_failed),
		T(test_external_account_says_what_is_wrong_with_its_subject),
		T(test_external_account_authenticates_its_client),
		T(test_external_account_warns_of_readable_secrets_alone),
		T(test_external_account_sends_the_workforce_project),
		T(test_external_account_refuses_files),
		T(test_impersonated_exchanges_its_sources_token),
		T(test_impersonated_is_charged_as_its_source_says),
		T(test_impersonated_renews_its_source_once_after_401),
		T(test_impersonated_passes_on_what_its_source_says),
		T(test_impersonated_checks_answers),
		T(test_impersonated_nests_four_deep_and_no_deeper),
		T(test_impersonated_refuses_files),
		T(test_impersonated_freed_while_its_source_refreshes),
		T(test_impersonated_warns_of_an_old_key_inside),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
