/* The Google stand-in itself: what it accepts is what Google accepts, what it refuses it refuses in Google's words, and scripts do what they say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "broker/source/google_error.h"
#include "tests/lib/httpask.h"
#include "tests/lib/testcert.h"
#include "tests/lib/world.h"

#define BROKER "hallpass-broker@acme-ml.iam.gserviceaccount.com"
#define CLOUD "https://www.googleapis.com/auth/cloud-platform"
#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"

static struct world w;
static struct http_answer a;

/* One stand-in for all tests; what they change is forgotten in between. */
static int setup(void **state) {
	(void)state;
	if (w.google <= 0)
		world_start(&w);
	google_reset(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	http_answer_fini(&a);
	return 0;
}

static int end(void **state) {
	(void)state;
	world_end(&w);
	return 0;
}

static void ask_raw(const char *method, const char *path, const char *headers, const char *body) {
	http_answer_fini(&a);
	http_ask(w.url, method, path, headers, body, &a);
}

static void expect(int status, const char *key, const char *words) {
	if (a.status == status && (!words || strstr(http_answer_text(&a, key), words)))
		return;
	fail_msg("%d with '%s' in %s expected: %s", status, words ? words : "", key, a.text);
}

/* --- the token endpoint */

static EVP_PKEY *read_key(const char *text) {
	BIO *bio = BIO_new_mem_buf(text, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	BIO_free(bio);
	assert_non_null(key);
	return key;
}

static EVP_PKEY *broker_key(void) {
	char path[256];
	json_t *json;
	EVP_PKEY *key;

	snprintf(path, sizeof(path), "%s/google/broker-key.json", w.dir);
	json = json_load_file(path, 0, NULL);
	key = read_key(json_string_value(json_object_get(json, "private_key")));
	json_decref(json);
	return key;
}

static void add_json(struct buf *jwt, json_t *json) {
	char *text = json_dumps(json, JSON_COMPACT);

	base64url_add(jwt, text, strlen(text));
	free(text);
	json_decref(json);
}

static void sign(EVP_PKEY *key, struct buf *jwt) {
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char signature[1024];
	size_t n = sizeof(signature);

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(ctx, signature, &n, (unsigned char *)jwt->data, jwt->len), 1);
	EVP_MD_CTX_free(ctx);
	buf_addc(jwt, '.');
	base64url_add(jwt, signature, n);
}

/* An assertion like a good client's, but for what the case changes: a claim, NULL: none. */
static void ask_assertion(EVP_PKEY *key, const char *alg, const char *kid, const char *claim, json_t *value) {
	struct buf jwt = BUF_INIT(8192), body = BUF_INIT(16384);
	json_t *claims = json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", BROKER, "aud", "https://oauth2.googleapis.com/token", "scope",
				   CLOUD, "iat", (json_int_t)now_s(), "exp", (json_int_t)now_s() + 3600);

	if (claim)
		json_object_set_new(claims, claim, value);
	add_json(&jwt, json_pack("{s:s, s:s, s:s}", "alg", alg, "typ", "JWT", "kid", kid));
	buf_addc(&jwt, '.');
	add_json(&jwt, claims);
	sign(key, &jwt);
	buf_addf(&body, "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer&assertion=%s", jwt.data);
	ask_raw("POST", "/token", FORM, body.data);
	buf_fini(&jwt);
	buf_fini(&body);
}

#define KID "standin0123456789abcdef"

static void test_standin_verifies_assertions(void **state) {
	EVP_PKEY *key = broker_key(), *other;
	char *pem = testkey_rsa_pem(2048);

	(void)state;
	other = read_key(pem);
	ask_assertion(key, "RS256", KID, NULL, NULL);
	expect(200, "access_token", "ya29.");
	assert_string_equal(http_answer_text(&a, "token_type"), "Bearer");
	assert_int_equal(http_answer_int(&a, "expires_in"), 3599);
	ask_assertion(other, "RS256", KID, NULL, NULL);
	expect(400, "error_description", "Invalid JWT Signature.");
	ask_assertion(key, "none", KID, NULL, NULL);
	expect(400, "error_description", "Invalid JWT Signature.");
	ask_assertion(key, "RS256", "another", NULL, NULL);
	expect(400, "error_description", "Invalid JWT Signature.");
	ask_assertion(key, "RS256", KID, "iss", json_string("nobody@acme-ml.iam.gserviceaccount.com"));
	expect(400, "error_description", "account not found");
	ask_assertion(key, "RS256", KID, "aud", json_string("https://example.com/"));
	expect(400, "error_description", "audience");
	ask_assertion(key, "RS256", KID, "exp", json_integer(now_s() + 3700));
	expect(400, "error_description", "short-lived");
	ask_assertion(key, "RS256", KID, "exp", json_integer(now_s() - 10));
	expect(400, "error_description", "short-lived");
	ask_assertion(key, "RS256", KID, "iat", json_string("now"));
	expect(400, "error_description", "short-lived");
	ask_assertion(key, "RS256", KID, "scope", json_string(""));
	expect(400, "error", "invalid_scope");
	google_clock(&w, 7200); /* by its own clock the assertion is over */
	ask_assertion(key, "RS256", KID, NULL, NULL);
	expect(400, "error", "invalid_grant");
	EVP_PKEY_free(other);
	EVP_PKEY_free(key);
	free(pem);
}

static void test_standin_refreshes_logins(void **state) {
	static const struct {
		const char *body;
		int status;
		const char *key, *words;
	} cases[] = {
		{ "grant_type=refresh_token&client_id=standin-client&client_secret=standin-secret&refresh_token=1%2F%2Fstandin-refresh-token",
		  200, "access_token", "ya29." },
		{ "grant_type=refresh_token&client_id=standin-client&client_secret=standin-secret&refresh_token=other", 400, "error",
		  "invalid_grant" },
		{ "grant_type=refresh_token&client_id=standin-client&client_secret=standin-secret&refresh_token=", 400, "error",
		  "invalid_grant" },
		{ "grant_type=refresh_token&client_id=standin-client&client_secret=standin-secret&refresh_token=rapt", 400,
		  "error_subtype", "invalid_rapt" },
		{ "grant_type=refresh_token&client_id=x&client_secret=standin-secret&refresh_token=1%2F%2Fstandin-refresh-token", 401,
		  "error", "invalid_client" },
		{ "grant_type=password", 400, "error", "unsupported_grant_type" },
		{ "", 400, "error", "unsupported_grant_type" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask_raw("POST", "/token", FORM, cases[i].body);
		expect(cases[i].status, cases[i].key, cases[i].words);
	}
	ask_raw("GET", "/token", NULL, NULL);
	expect(405, "error.status", NULL);
}

/* --- STS and tokeninfo */

#define EXCHANGE(audience, scope, token)                                                                               \
	"grant_type=urn:ietf:params:oauth:grant-type:token-exchange&requested_token_type=urn:ietf:params:oauth:token-type:" \
	"access_token&audience=" audience "&scope=" scope "&subject_token_type=urn:ietf:params:oauth:token-type:jwt"     \
	"&subject_token=" token
#define POOL "//iam.googleapis.com/locations/global/workloadIdentityPools/p/providers/q"

static void test_standin_exchanges_subjects(void **state) {
	char path[200];

	(void)state;
	ask_raw("POST", "/sts/v1/token", FORM, EXCHANGE(POOL, CLOUD, "standin-subject-token"));
	expect(200, "access_token", "ya29.");
	assert_string_equal(http_answer_text(&a, "issued_token_type"), "urn:ietf:params:oauth:token-type:access_token");
	snprintf(path, sizeof(path), "/tokeninfo?access_token=%s", http_answer_text(&a, "access_token"));
	ask_raw("GET", path, NULL, NULL);
	expect(200, "email", "federated-subject");
	assert_string_equal(http_answer_text(&a, "scope"), CLOUD);
	assert_in_range(atoi(http_answer_text(&a, "expires_in")), 3590, 3600); /* numbers are strings there */
	google_clock(&w, 3601);
	ask_raw("GET", path, NULL, NULL);
	expect(400, "error", "invalid_token");
	ask_raw("POST", "/sts/v1/token", FORM, EXCHANGE(POOL, CLOUD, "other"));
	expect(400, "error", "invalid_grant");
	ask_raw("POST", "/sts/v1/token", FORM, EXCHANGE("elsewhere", CLOUD, "standin-subject-token"));
	expect(400, "error", "invalid_target");
	ask_raw("POST", "/sts/v1/token", FORM, EXCHANGE(POOL, "", "standin-subject-token"));
	expect(400, "error_description", "scope");
	ask_raw("POST", "/sts/v1/token", FORM, "grant_type=refresh_token");
	expect(400, "error_description", "grant_type");
}

/* --- IAM Credentials */

static char bearer[200]; /* a header line */

/* A token of the user's, the subject's or the key's. */
static void be_user(void) {
	ask_raw("POST", "/token", FORM,
		"grant_type=refresh_token&client_id=standin-client&client_secret=standin-secret&refresh_token=1%2F%2Fstandin-refresh-token");
	snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s\r\n", http_answer_text(&a, "access_token"));
}

static void be_subject(const char *form) {
	ask_raw("POST", "/sts/v1/token", FORM, form);
	snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s\r\n", http_answer_text(&a, "access_token"));
}

static void be_broker(void) {
	EVP_PKEY *key = broker_key();

	ask_assertion(key, "RS256", KID, NULL, NULL);
	snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s\r\n", http_answer_text(&a, "access_token"));
	EVP_PKEY_free(key);
}

static void call(const char *account, const char *verb, const char *body) {
	char path[300];

	snprintf(path, sizeof(path), "/v1/projects/-/serviceAccounts/%s:%s", account, verb);
	ask_raw("POST", path, bearer, body);
}

#define S "\"scope\":[\"" CLOUD "\"]"

static void test_standin_checks_access_token_requests(void **state) {
	static const struct {
		const char *account, *body;
		int status;
		const char *words; /* of error.message */
	} cases[] = {
		{ SA_DEV, "{" S "}", 200, NULL },
		{ SA_DEV, "{" S ",\"lifetime\":null,\"delegates\":null}", 200, NULL },
		{ SA_DEV, "{" S ",\"lifetime\":\"1s\",\"delegates\":[]}", 200, NULL },
		{ SA_DEV, "{" S ",\"lifetime\":\"900.000s\"}", 200, NULL },
		{ SA_DEV, "{" S ",\"lifetime\":\"3600s\"}", 200, NULL },
		{ SA_DEV, "{" S ",\"lifetime\":\"3601s\"}", 400, "can not have lifetimes of more than 1 hour" },
		{ SA_DEV, "{" S ",\"lifetime\":\"3600.000000001s\"}", 400, "can not have lifetimes of more than 1 hour" },
		{ SA_BATCH, "{" S ",\"lifetime\":\"43200s\"}", 200, NULL },
		{ SA_BATCH, "{" S ",\"lifetime\":\"43201s\"}", 400, "can not have lifetimes" },
		{ SA_DEV, "{" S ",\"lifetime\":\"0s\"}", 400, "larger then zero" },
		{ SA_DEV, "{" S ",\"lifetime\":\"-5s\"}", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"lifetime\":\"900\"}", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"lifetime\":\"15m\"}", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"lifetime\":\"900.s\"}", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"lifetime\":900}", 400, "invalid argument" },
		{ SA_DEV, "{}", 400, "invalid argument" },
		{ SA_DEV, "{\"scope\":[]}", 400, "invalid argument" },
		{ SA_DEV, "{\"scope\":\"" CLOUD "\"}", 400, "invalid argument" },
		{ SA_DEV, "{\"scope\":[5]}", 400, "invalid argument" },
		{ SA_DEV, "{\"scope\":[\"cloud-platform\"]}", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"scopes\":[]}", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"scope\":[]}", 400, "invalid argument" },
		{ SA_DEV, "[]", 400, "invalid argument" },
		{ SA_DEV, "", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"delegates\":\"x\"}", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"delegates\":[\"hallpass-delegate@acme-ml.iam.gserviceaccount.com\"]}", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"delegates\":[\"projects/-/serviceAccounts/\"]}", 400, "invalid argument" },
		{ SA_DEV, "{" S ",\"delegates\":[5]}", 400, "invalid argument" },
		{ "nobody@acme-ml.iam.gserviceaccount.com", "{" S "}", 403,
		  "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)." },
	};

	(void)state;
	be_user();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		call(cases[i].account, "generateAccessToken", cases[i].body);
		if (a.status != cases[i].status)
			fail_msg("%s: %s", cases[i].body, a.text);
		expect(cases[i].status, "error.message", cases[i].words);
		if (cases[i].status == 400)
			assert_string_equal(http_answer_text(&a, "error.status"), "INVALID_ARGUMENT");
		if (cases[i].status == 403)
			assert_string_equal(http_answer_text(&a, "error.details.0.reason"), "IAM_PERMISSION_DENIED");
	}
	call(SA_DEV, "generateAccessToken", "{" S ",\"lifetime\":\"900s\"}");
	expect(200, "accessToken", "ya29.");
	assert_int_equal(strlen(http_answer_text(&a, "expireTime")), strlen("2027-01-15T08:00:00Z"));
	call(SA_DEV, "generateNothing", "{}");
	expect(404, "error.status", "NOT_FOUND");
	ask_raw("POST", "/v1/projects/acme-ml/serviceAccounts/" SA_DEV ":generateAccessToken", bearer, "{" S "}");
	expect(404, "error.status", "NOT_FOUND");
	ask_raw("GET", "/v1/projects/-/serviceAccounts/" SA_DEV ":generateAccessToken", bearer, NULL);
	expect(405, "error.status", NULL);
}

static void test_standin_knows_who_may_what(void **state) {
	(void)state;
	bearer[0] = '\0';
	call(SA_DEV, "generateAccessToken", "{" S "}");
	expect(401, "error.status", "UNAUTHENTICATED");
	snprintf(bearer, sizeof(bearer), "Authorization: Bearer ya29.made-up\r\n");
	call(SA_DEV, "generateAccessToken", "{" S "}");
	expect(401, "error.status", "UNAUTHENTICATED");
	/* By caller and target. */
	be_user();
	call("ml-broker-only-sa@acme-ml.iam.gserviceaccount.com", "generateAccessToken", "{" S "}");
	expect(403, "error.status", "PERMISSION_DENIED");
	be_broker();
	call("ml-broker-only-sa@acme-ml.iam.gserviceaccount.com", "generateAccessToken", "{" S "}");
	expect(200, "accessToken", "ya29.");
	/* A minted token is its account's, which may nothing. */
	snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s\r\n", http_answer_text(&a, "accessToken"));
	call(SA_DEV, "generateAccessToken", "{" S "}");
	expect(403, "error.details.0.reason", "IAM_PERMISSION_DENIED");
	/* A caller without the scope. */
	be_subject(EXCHANGE(POOL, "https://www.googleapis.com/auth/drive", "standin-subject-token"));
	call(SA_DEV, "generateAccessToken", "{" S "}");
	expect(403, "error.details.0.reason", "ACCESS_TOKEN_SCOPE_INSUFFICIENT");
	be_subject(EXCHANGE(POOL, "https://www.googleapis.com/auth/iam", "standin-subject-token"));
	call(SA_DEV, "generateAccessToken", "{" S "}");
	expect(200, "accessToken", "ya29.");
	/* And what a test takes away or gives. */
	be_user();
	ask_raw("POST", "/standin/grant", NULL, "{\"caller\":\"alice@example.com\",\"target\":\"" SA_DEV "\",\"may\":[\"idToken\"]}");
	assert_int_equal(a.status, 200);
	call(SA_DEV, "generateAccessToken", "{" S "}");
	expect(403, "error.status", "PERMISSION_DENIED");
	call(SA_DEV, "generateIdToken", "{\"audience\":\"x\"}");
	expect(200, "token", "eyJ");
}

#define DELEGATES(list) "{" S ",\"delegates\":[" list "]}"
#define D1 "\"projects/-/serviceAccounts/hallpass-delegate@acme-ml.iam.gserviceaccount.com\""
#define D2 "\"projects/-/serviceAccounts/hallpass-delegate-2@acme-ml.iam.gserviceaccount.com\""

/* IAM's own API, as it is asked about accounts. */
static void test_standin_tells_who_may_what(void **state) {
	static const char asked[] = "{\"permissions\":[\"iam.serviceAccounts.getAccessToken\",\"iam.serviceAccounts.getOpenIdToken\",\"iam.serviceAccounts.delete\"]}";

	(void)state;
	bearer[0] = '\0';
	call(SA_DEV, "testIamPermissions", asked);
	expect(401, "error.status", "UNAUTHENTICATED");
	be_broker();
	call(SA_DEV, "testIamPermissions", asked);
	expect(200, "permissions.0", "iam.serviceAccounts.getAccessToken");
	assert_int_equal(json_array_size(json_object_get(a.json, "permissions")), 2);
	ask_raw("POST", "/standin/grant", NULL, "{\"caller\":\"" BROKER "\",\"target\":\"" SA_DEV "\",\"may\":[]}");
	call(SA_DEV, "testIamPermissions", asked);
	assert_int_equal(a.status, 200);
	assert_int_equal(json_object_size(a.json), 0); /* none is left out */
	call(SA_DEV, "testIamPermissions", "{\"permissions\":[]}");
	expect(400, "error.status", "INVALID_ARGUMENT");
	call(SA_DEV, "testIamPermissions", "{\"permision\":[\"x\"]}");
	expect(400, "error.status", "INVALID_ARGUMENT");
	call("nobody@acme-ml.iam.gserviceaccount.com", "testIamPermissions", asked);
	expect(404, "error.status", "NOT_FOUND");
	/* Who else: not for everybody, and without a body. */
	call(SA_DEV, "getIamPolicy", "");
	expect(403, "error.details.0.reason", "IAM_PERMISSION_DENIED");
	ask_raw("POST", "/standin/grant", NULL, "{\"caller\":\"" BROKER "\",\"target\":\"" SA_DEV "\",\"may\":[\"policy\"]}");
	call(SA_DEV, "getIamPolicy", "{\"options\":{\"requestedPolicyVersion\":3}}");
	expect(400, "error.status", "INVALID_ARGUMENT");
	call(SA_DEV, "getIamPolicy", "");
	expect(200, "bindings.0.members.0", "user:alice@example.com");
	assert_string_equal(http_answer_text(&a, "bindings.0.role"), "roles/iam.serviceAccountTokenCreator");
}

static void test_standin_follows_each_link_of_delegation(void **state) {
	static const struct {
		const char *account, *body;
		int status;
	} cases[] = {
		{ SA_DEV, DELEGATES(D1), 200 },
		{ "ml-delegated-sa@acme-ml.iam.gserviceaccount.com", DELEGATES(D1 "," D2), 200 },
		{ "ml-delegated-sa@acme-ml.iam.gserviceaccount.com", DELEGATES(""), 403 },
		{ "ml-delegated-sa@acme-ml.iam.gserviceaccount.com", DELEGATES(D1), 403 },
		{ "ml-delegated-sa@acme-ml.iam.gserviceaccount.com", DELEGATES(D2), 403 },
		{ "ml-delegated-sa@acme-ml.iam.gserviceaccount.com", DELEGATES(D2 "," D1), 403 },
	};

	(void)state;
	be_broker();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		call(cases[i].account, "generateAccessToken", cases[i].body);
		if (a.status != cases[i].status)
			fail_msg("case %zu: %s", i, a.text);
	}
}

static void test_standin_signs(void **state) {
	struct google_token token;
	struct error err;
	char claims[1024];
	size_t n;

	(void)state;
	be_user();
	call(SA_DEV, "generateIdToken", "{\"audience\":\"https://run.example\",\"includeEmail\":true,\"delegates\":null}");
	expect(200, "token", "eyJ");
	assert_int_equal(google_id_token(a.json, &token, &err), 0);
	assert_in_range(token.expires_at, now_s() + 3590, now_s() + 3600);
	assert_int_equal(base64url_decode(strchr(token.text, '.') + 1, strcspn(strchr(token.text, '.') + 1, "."), claims, sizeof(claims), &n), 0);
	claims[n] = '\0';
	assert_non_null(strstr(claims, "\"aud\":\"https://run.example\""));
	assert_non_null(strstr(claims, "\"email\":\"" SA_DEV "\""));
	call(SA_DEV, "generateIdToken", "{}");
	expect(400, "error.status", "INVALID_ARGUMENT");
	call(SA_DEV, "generateIdToken", "{\"audience\":\"x\",\"includeEmail\":\"yes\"}");
	expect(400, "error.status", "INVALID_ARGUMENT");
	call(SA_DEV, "signBlob", "{\"payload\":\"aGFsbHBhc3M=\"}");
	expect(200, "keyId", "standin-signer");
	assert_int_equal(strlen(http_answer_text(&a, "signedBlob")), 344);
	call(SA_DEV, "signBlob", "{\"payload\":\"not base64\"}");
	expect(400, "error.status", "INVALID_ARGUMENT");
	call(SA_DEV, "signJwt", "{\"payload\":\"{\\\"sub\\\":\\\"x\\\"}\"}");
	expect(200, "signedJwt", "eyJ");
	call(SA_DEV, "signJwt", "{\"payload\":\"no json\"}");
	expect(400, "error.status", "INVALID_ARGUMENT");
	call(SA_DEV, "signJwt", "{\"payload\":\"{\\\"exp\\\":99999999999}\"}");
	expect(400, "error.status", "INVALID_ARGUMENT");
}

/* --- metadata */

static void test_standin_serves_metadata(void **state) {
	static const char flavor[] = "Metadata-Flavor: Google\r\n";
#define MD "/computeMetadata/v1/"
	static const struct {
		const char *path, *body;
	} leaves[] = {
		{ MD "project/project-id", "acme-ml" },
		{ MD "project/numeric-project-id", "123456789012" },
		{ MD "universe/universe-domain", "googleapis.com" },
		{ MD "instance/service-accounts/", "default/\n" BROKER "/\n" },
		{ MD "instance/service-accounts/default/email", BROKER },
		{ MD "instance/service-accounts/" BROKER "/email", BROKER },
		{ MD "instance/service-accounts/default/scopes", CLOUD "\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		ask_raw("GET", leaves[i].path, flavor, NULL);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, leaves[i].body);
		assert_non_null(strstr(a.text, "\r\nMetadata-Flavor: Google\r\n"));
	}
	ask_raw("GET", "/", NULL, NULL);
	assert_int_equal(a.status, 200);
	ask_raw("GET", MD "instance/service-accounts/default/token", flavor, NULL);
	expect(200, "access_token", "ya29.");
	assert_int_equal(http_answer_int(&a, "expires_in"), 3599);
	ask_raw("GET", MD "instance/service-accounts/default/?recursive=true", flavor, NULL);
	expect(200, "email", BROKER);
	ask_raw("GET", MD "instance/service-accounts/default/identity?audience=x&format=full", flavor, NULL);
	assert_int_equal(strncmp(a.body, "eyJ", 3), 0);
	ask_raw("GET", MD "instance/service-accounts/default/identity", flavor, NULL);
	assert_int_equal(a.status, 400);
	ask_raw("GET", MD "instance/service-accounts/other@x/token", flavor, NULL);
	assert_int_equal(a.status, 404);
	ask_raw("GET", MD "instance/service-accounts/default/token", NULL, NULL);
	assert_int_equal(a.status, 403);
	ask_raw("GET", MD "instance/service-accounts/default/token", "Metadata-Flavor: Google\r\nX-Forwarded-For: 10.0.0.1\r\n", NULL);
	assert_int_equal(a.status, 403);
	ask_raw("POST", MD "instance/service-accounts/default/token", flavor, "");
	assert_int_equal(a.status, 405);
}

/* --- scripts */

static void script(const char *json, int status) {
	ask_raw("POST", "/standin/script", NULL, json);
	assert_int_equal(a.status, status);
}

static void test_standin_fails_as_it_is_told(void **state) {
	static const struct {
		int status;
		const char *name;
	} failures[] = { { 400, "INVALID_ARGUMENT" }, { 401, "UNAUTHENTICATED" },    { 403, "PERMISSION_DENIED" },
			 { 404, "NOT_FOUND" },	      { 409, "ABORTED" },	     { 429, "RESOURCE_EXHAUSTED" },
			 { 500, "INTERNAL" },	      { 503, "UNAVAILABLE" },	     { 504, "DEADLINE_EXCEEDED" } };
	int64_t minted;

	(void)state;
	be_user();
	ask_raw("GET", "/standin/tokens", NULL, NULL);
	minted = (int64_t)json_array_size(a.json);
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		char text[200];

		snprintf(text, sizeof(text), "{\"endpoint\":\"generateAccessToken\",\"times\":1,\"status\":%d,\"retry_after\":7}", failures[i].status);
		script(text, 200);
		call(SA_DEV, "generateAccessToken", "{" S "}");
		expect(failures[i].status, "error.status", failures[i].name);
		assert_int_equal(http_answer_int(&a, "error.code"), failures[i].status);
		assert_non_null(strstr(a.text, "\r\nRetry-After: 7\r\n"));
		assert_true(strlen(http_answer_text(&a, "error.message")) > 10);
	}
	ask_raw("GET", "/standin/tokens", NULL, NULL);
	assert_int_equal(json_array_size(a.json), minted); /* a refused call mints nothing */
	call(SA_DEV, "generateAccessToken", "{" S "}");
	expect(200, "accessToken", "ya29.");
}

static void test_standin_breaks_as_it_is_told(void **state) {
	(void)state;
	be_user();
	script("{\"endpoint\":\"generateAccessToken\",\"times\":1,\"mishap\":\"reset\"}", 200);
	call(SA_DEV, "generateAccessToken", "{" S "}");
	assert_int_equal(a.status, 0);
	script("{\"endpoint\":\"generateAccessToken\",\"times\":1,\"mishap\":\"half\"}", 200);
	call(SA_DEV, "generateAccessToken", "{" S "}");
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, "\r\nContent-Length: 500\r\n"));
	assert_true(a.body_len > 0 && a.body_len < 100);
	script("{\"endpoint\":\"generateAccessToken\",\"times\":1,\"mishap\":\"garbage\"}", 200);
	call(SA_DEV, "generateAccessToken", "{" S "}");
	assert_int_equal(a.status, 200);
	assert_null(a.json);
	script("{\"endpoint\":\"generateAccessToken\",\"times\":1,\"mishap\":\"huge\"}", 200);
	call(SA_DEV, "generateAccessToken", "{" S "}");
	assert_int_equal(a.body_len, 20000000);
}

static void test_standin_lies_and_dawdles_as_it_is_told(void **state) {
	struct timespec before, after;
	int64_t expires;

	(void)state;
	be_user();
	for (int lie = -7200; lie <= 7200; lie += 14400) {
		char text[128];

		snprintf(text, sizeof(text), "{\"endpoint\":\"generateAccessToken\",\"times\":1,\"lie_s\":%d}", lie);
		script(text, 200);
		call(SA_DEV, "generateAccessToken", "{" S ",\"lifetime\":\"600s\"}");
		assert_int_equal(google_time(http_answer_text(&a, "expireTime"), &expires), 0);
		assert_in_range(expires - now_s() - lie + 1000, 1590, 1600);
	}
	google_clock(&w, 86400);
	be_user();
	call(SA_DEV, "generateAccessToken", "{" S ",\"lifetime\":\"600s\"}");
	assert_int_equal(google_time(http_answer_text(&a, "expireTime"), &expires), 0);
	assert_in_range(expires - now_s(), 86400 + 590, 86400 + 600);
	script("{\"times\":1,\"latency_ms\":200}", 200);
	clock_gettime(CLOCK_MONOTONIC, &before);
	call(SA_DEV, "generateAccessToken", "{" S "}");
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 199);
}

static void test_standin_refuses_misspelt_scripts(void **state) {
	static const char *const scripts[] = { "", "[]", "{\"sttus\":401}", "{\"status\":\"401\"}", "{\"mishap\":\"rest\"}", "{\"mishap\":1}",
					       "{\"endpoint\":5}", "{\"times\":\"1\"}", "{\"oauth\":1}",
					       "{\"status\":418}", "{\"status\":-1}", "{\"times\":-1}", "{\"latency_ms\":-1}" };

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		script(scripts[i], 400);
	ask_raw("POST", "/standin/grant", NULL, "{\"caller\":\"x\"}");
	assert_int_equal(a.status, 400);
}

static void test_standin_counts_and_forgets(void **state) {
	(void)state;
	be_user();
	script("{\"endpoint\":\"generateAccessToken\",\"status\":500}", 200);
	call(SA_DEV, "generateAccessToken", "{" S "}");
	ask_raw("GET", "/standin/counters", NULL, NULL);
	assert_int_equal(http_answer_int(&a, "calls.token"), 1);
	assert_int_equal(http_answer_int(&a, "calls.generateAccessToken"), 1);
	assert_string_equal(http_answer_text(&a, "last.generateAccessToken"), "{" S "}");
	google_clock(&w, 50);
	google_reset(&w);
	ask_raw("GET", "/standin/counters", NULL, NULL);
	assert_int_equal(json_object_size(json_object_get(a.json, "calls")), 0);
	assert_int_equal(json_object_size(json_object_get(a.json, "last")), 0);
	call(SA_DEV, "generateAccessToken", "{" S "}");
	expect(200, "accessToken", "ya29.");
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_standin_verifies_assertions),
		SCENARIO(test_standin_refreshes_logins),
		SCENARIO(test_standin_exchanges_subjects),
		SCENARIO(test_standin_checks_access_token_requests),
		SCENARIO(test_standin_knows_who_may_what),
		SCENARIO(test_standin_tells_who_may_what),
		SCENARIO(test_standin_follows_each_link_of_delegation),
		SCENARIO(test_standin_signs),
		SCENARIO(test_standin_serves_metadata),
		SCENARIO(test_standin_fails_as_it_is_told),
		SCENARIO(test_standin_breaks_as_it_is_told),
		SCENARIO(test_standin_lies_and_dawdles_as_it_is_told),
		SCENARIO(test_standin_refuses_misspelt_scripts),
		SCENARIO(test_standin_counts_and_forgets),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, end);
}
