/* The IAM Credentials API on the wire: Google's forms of paths, bodies, replies and errors; who gets nothing; and what is signed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <grp.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "broker/sha256.h"
#include "hallpass/buf.h"
#include "hallpass/cleanup.h"
#include "tests/lib/session.h"
#include "tests/lib/port.h"
#include "tests/lib/world.h"

#define STRANGER 12002
#define DEV "{\"serviceAccount\": \"" SA_DEV "\"}"
#define NAME "/v1/projects/-/serviceAccounts/"
#define ACCESS NAME SA_DEV ":generateAccessToken"
#define ID NAME SA_DEV ":generateIdToken"
#define BLOB NAME SA_DEV ":signBlob"
#define JWT NAME SA_DEV ":signJwt"
#define CLOUD "\"https://www.googleapis.com/auth/cloud-platform\""
#define SCOPE "{\"scope\":[" CLOUD "]}"
#define POLICY_ALL                                                                                                      \
	"version: 1\nbindings:\n  - {name: all, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL "], maxLifetime: 1h, " \
	"permissions: [getAccessToken, getOpenIdToken, signBlob, signJwt]}\n"
#define POLICY_TEN "version: 1\nbindings:\n  - {name: ten, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], maxLifetime: 10m, " \
		   "permissions: [getAccessToken, signBlob, signJwt]}\n"

static struct world w;
static struct session_of_test s;
static struct http_answer h;

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	http_answer_fini(&h);
	session_leave(&s);
	return world_end_well(&w);
}

static void begin(const char *policy) {
	if (policy)
		world_policy(&w, policy);
	world_daemon(&w);
	session_begin(&w, DEV, &s);
}

/* fields: complete lines beside Host and Content-Type. */
static int ask_with(const char *method, const char *path, const char *fields, const char *body) {
	char lines[1024];

	http_answer_fini(&h);
	snprintf(lines, sizeof(lines), "%s%s%sContent-Type: application/json\r\n%s", strstr(fields, "Host:") ? "" : "Host: ",
		 strstr(fields, "Host:") ? "" : s.host, strstr(fields, "Host:") ? "" : "\r\n", fields);
	http_ask(s.url, method, path, lines, body, &h);
	return h.status;
}

/* As clients ask, with the session's handle. */
static int post(const char *path, const char *body) {
	char bearer[128];

	snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s\r\n", s.handle);
	return ask_with("POST", path, bearer, body);
}

static const char *text(const char *dotted) {
	return http_answer_text(&h, dotted);
}

static const char *member(const json_t *record, const char *key) {
	const char *value = json_string_value(json_object_get(record, key));

	return value ? value : "";
}

static int64_t parse_time(const char *time) {
	struct tm tm = { 0 };
	const char *end = strptime(time, "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end && !*end ? (int64_t)timegm(&tm) : -1;
}

static void assert_refused(int status, const char *name, const char *says) {
	if (h.status != status || strcmp(text("error.status"), name) || !strstr(text("error.message"), says))
		fail_msg("want %d %s \"%s\": %s", status, name, says, h.text);
	assert_int_equal(http_answer_int(&h, "error.code"), status);
	assert_null(strchr(text("error.message"), '\n'));
	assert_string_equal(text("error.details.0.@type"), "type.googleapis.com/google.rpc.ErrorInfo");
	assert_string_equal(text("error.details.0.domain"), "hallpass");
	assert_int_equal(json_array_size(json_object_get(json_object_get(h.json, "error"), "details")), 1);
}

/* The claims of a JWT, as they stand in it. */
static json_t *claims_of(const char *jwt, char sha[65]) {
	char part[8192], bytes[8192];
	const char *from = strchr(jwt, '.') + 1;
	size_t n = strcspn(from, ".");
	json_t *claims;
	int len;

	memcpy(part, from, n);
	for (; n % 4; n++)
		part[n] = '=';
	part[n] = '\0';
	for (char *c = part; *c; c++)
		*c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
	len = EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)part, (int)n) - (part[n - 1] == '=') - (part[n - 2] == '=');
	sha256_hex(bytes, (size_t)len, sha);
	claims = json_loadb(bytes, (size_t)len, 0, NULL);
	assert_non_null(claims);
	return claims;
}

/* --- tokens */

static void test_iam_gives_what_google_gives(void **state) {
	json_t *records, *issued, *claims;
	int64_t until;
	char sha[65];

	(void)state;
	begin(POLICY_ALL);
	assert_int_equal(post(ACCESS, SCOPE), 200);
	assert_non_null(strstr(h.text, "\r\nContent-Type: application/json; charset=UTF-8\r\n"));
	assert_non_null(strstr(h.text, "\r\nCache-Control: no-store\r\n"));
	assert_int_equal(strncmp(h.body, "{\n  \"accessToken\": \"ya29.standin-", 31), 0);
	until = parse_time(text("expireTime"));
	assert_true(until > now_s() + 3500 && until <= now_s() + 3600);
	assert_int_equal(json_object_size(h.json), 2);
	text_sha256(text("accessToken"), sha);
	records = records_wait(&w, "issued", 1);
	issued = records_last(records, "issued");
	assert_string_equal(member(issued, "surface"), "iamCredentials");
	assert_string_equal(member(issued, "session"), s.id);
	assert_string_equal(member(issued, "auth"), "SOCK_DIAG");
	assert_string_equal(member(issued, "token"), sha);
	assert_string_equal(member(issued, "expires"), text("expireTime"));
	json_decref(records);
	assert_int_equal(post(ID, "{\"audience\":\"https://x.example\",\"includeEmail\":true,\"delegates\":null}"), 200);
	assert_int_equal(strncmp(text("token"), "eyJ", 3), 0);
	assert_int_equal(json_object_size(h.json), 1);
	assert_int_equal(post(ID, "{\"audience\":\"https://x.example\",\"include_email\":true,\"organizationNumberIncluded\":false}"), 200);
	assert_int_equal(google_calls(&w, "generateIdToken"), 1); /* one and the same */
	assert_int_equal(post(ID, "{\"audience\":\"https://x.example\",\"includeEmail\":true,\"useEmailAzp\":true}"), 200);
	assert_int_equal(google_calls(&w, "generateIdToken"), 2); /* and another */
	claims = claims_of(text("token"), sha);
	assert_string_equal(member(claims, "azp"), SA_DEV);
	json_decref(claims);
}

/* Whatever stands around it: what clients send, each observed or documented, is one request, and the second comes from the cache. */
static void test_iam_takes_each_form_of_a_request(void **state) {
	static const char *const paths[] = {
		ACCESS, ACCESS "?alt=json", ACCESS "?$alt=json;enum-encoding=int", ACCESS "?%24alt=json%3Benum-encoding%3Dint", ACCESS "?prettyPrint=true&key=x",
		NAME "ml-training-dev-sa%40acme-ml.iam.gserviceaccount.com%3AgenerateAccessToken", ACCESS "?prettyPrint=false",
	};
	static const char *const bodies[] = {
		SCOPE, "{\"delegates\":null,\"scope\":[" CLOUD "],\"lifetime\":\"3600s\"}", "{\"delegates\":[],\"scope\":[" CLOUD "," CLOUD "],\"lifetime\":null}",
	};

	(void)state;
	begin(POLICY_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (post(paths[i], SCOPE) != 200)
			fail_msg("%s: %s", paths[i], h.text);
	assert_int_equal(strncmp(h.body, "{\"accessToken\":\"ya29.", 20), 0);
	assert_int_equal(h.body[h.body_len - 1], '}');
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++)
		if (post(ACCESS, bodies[i]) != 200)
			fail_msg("%s: %s", bodies[i], h.text);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1);
}

/* gcloud sends bare e-mails, Google's own name has the resource in front: both are decided on, and reach Google in its form. */
static void test_iam_takes_delegates_in_both_forms(void **state) {
	static const char *const delegates[] = { "hallpass-delegate@acme-ml.iam.gserviceaccount.com",
						 "projects/-/serviceAccounts/hallpass-delegate@acme-ml.iam.gserviceaccount.com" };
	char body[512];

	(void)state;
	begin("version: 1\nbindings:\n  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "]}\n"
	      "  - {name: by, members: [\"" ME "\"], serviceAccounts: [" "hallpass-delegate@acme-ml.iam.gserviceaccount.com], permissions: [implicitDelegation]}\n");
	for (size_t i = 0; i < ARRAY_SIZE(delegates); i++) {
		snprintf(body, sizeof(body), "{\"scope\":[" CLOUD "],\"delegates\":[\"%s\"]}", delegates[i]);
		if (post(ACCESS, body) != 200)
			fail_msg("%s: %s", body, h.text);
	}
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1);
	assert_int_equal(post(ACCESS, "{\"scope\":[" CLOUD "],\"delegates\":[\"projects/x/serviceAccounts/a@b.c\"]}"), 400);
	assert_int_equal(post(ACCESS, "{\"scope\":[" CLOUD "],\"delegates\":\"a@b.c\"}"), 400);
}

/* gcloud asks for an hour whatever it needs: what the policy gives is given, and expireTime says how long that is. */
static void test_iam_caps_lifetimes_and_says_so(void **state) {
	json_t *records;
	int64_t until;

	(void)state;
	begin(POLICY_TEN);
	assert_int_equal(post(ACCESS, "{\"scope\":[" CLOUD "],\"lifetime\":\"3600s\"}"), 200);
	until = parse_time(text("expireTime"));
	assert_true(until > now_s() + 540 && until <= now_s() + 600);
	assert_int_equal(post(ACCESS, "{\"scope\":[" CLOUD "],\"lifetime\":\"120s\"}"), 200);
	until = parse_time(text("expireTime"));
	assert_true(until > now_s() + 60 && until <= now_s() + 120);
	records = records_wait(&w, "issued", 2);
	assert_int_equal(json_integer_value(json_object_get(records_last(records, "issued"), "askedLifetime")), 120);
	json_decref(records);
	/* A session that was opened for less gives no more. */
	session_leave(&s);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": \"300s\"}", &s);
	assert_int_equal(post(ACCESS, "{\"scope\":[" CLOUD "],\"lifetime\":\"3600s\"}"), 200);
	assert_true(parse_time(text("expireTime")) <= now_s() + 300);
}

/* The path names the account: a session's own, or any that the policy gives; the justification is the session's. */
static void test_iam_serves_each_account_that_the_policy_gives(void **state) {
	json_t *records;

	(void)state;
	world_policy(&w, "version: 1\nbindings:\n  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "]}\n"
			 "  - {name: ticket, members: [\"" ME "\"], serviceAccounts: [" SA_LABEL "], condition: {expression: 'request.justification == \"INC-7\" && "
			 "request.surface == \"iamCredentials\"'}}\n");
	world_daemon(&w);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\", \"justification\": \"INC-7\"}", &s);
	assert_int_equal(post(NAME SA_LABEL ":generateAccessToken", SCOPE), 200);
	records = records_wait(&w, "issued", 1);
	assert_string_equal(member(records_last(records, "issued"), "target"), SA_LABEL);
	assert_string_equal(member(records_last(records, "issued"), "justification"), "INC-7");
	json_decref(records);
	assert_int_equal(post(NAME SA_PROD ":generateAccessToken", SCOPE), 403);
	assert_refused(403, "PERMISSION_DENIED", "no binding lets " ME " use " SA_PROD);
	assert_string_equal(text("error.details.0.reason"), "NO_BINDING");
	assert_true(strlen(text("error.details.0.metadata.requestId")) > 3);
	assert_int_equal(post(BLOB, "{\"payload\":\"aGFsbHBhc3M=\"}"), 403);
	assert_refused(403, "PERMISSION_DENIED", "(signBlob)");
	assert_int_equal(google_calls(&w, "signBlob"), 0);
}

/* --- refusals */

static void test_iam_refuses_what_google_refuses(void **state) {
	static const struct {
		const char *path, *body, *says;
	} cases[] = {
		{ ACCESS, "", "not JSON" },
		{ ACCESS, "[]", "must be a JSON object" },
		{ ACCESS, "{}", "scope is missing" },
		{ ACCESS, "{\"scope\":[]}", "scope is missing" },
		{ ACCESS, "{\"scope\":null}", "scope is missing" },
		{ ACCESS, "{\"scope\":\"x\"}", "must be a list" },
		{ ACCESS, "{\"scope\":[" CLOUD "],\"scope\":[]}", "not JSON" },
		{ ACCESS, "{\"scopes\":[" CLOUD "]}", "Unknown name \"scopes\"" },
		{ ACCESS, "{\"scope\":[" CLOUD "],\"audience\":\"x\"}", "Unknown name \"audience\"" },
		{ ACCESS, "{\"scope\":[" CLOUD "],\"lifetime\":\"0s\"}", "lifetime must be" },
		{ ACCESS, "{\"scope\":[" CLOUD "],\"lifetime\":\"43201s\"}", "lifetime must be" },
		{ ACCESS, "{\"scope\":[" CLOUD "],\"lifetime\":\"1h\"}", "lifetime must be" },
		{ ACCESS, "{\"scope\":[" CLOUD "],\"lifetime\":3600}", "lifetime must be" },
		{ ACCESS "?lifetime=60s", SCOPE, "Unknown name \"lifetime\"" },
		{ ACCESS "?alt=media", SCOPE, "alt can be json alone" },
		{ ACCESS "?alt=%01", SCOPE, "alt can be json alone" },
		{ "/v1/projects/acme-ml/serviceAccounts/" SA_DEV ":generateAccessToken", SCOPE, "takes a - alone, not \"acme-ml\"" },
		{ NAME "100000000000000000002:generateAccessToken", SCOPE, "unique id" },
		{ NAME "Dev@acme.iam.gserviceaccount.com:generateAccessToken", SCOPE, "in lower case" },
		{ NAME "a@b.c%2Fd:generateAccessToken", SCOPE, "in lower case" },
		{ NAME ":generateAccessToken", SCOPE, "serviceAccount must" },
		{ ID, "{\"includeEmail\":true}", "audience is missing" },
		{ ID, "{\"audience\":\"x\",\"includeEmail\":\"yes\"}", "includeEmail must be" },
		{ ID, "{\"audience\":\"x\",\"organizationNumberIncluded\":true}", "organizationNumberIncluded" },
		{ BLOB, "{}", "payload is missing" },
		{ BLOB, "{\"payload\":\"not base64\"}", "payload is not base64" },
		{ BLOB, "{\"payload\":7}", "payload must be a string" },
		{ JWT, "{\"payload\":\"no json\"}", "payload is not JSON: line 1" },
		{ JWT, "{\"payload\":\"[]\"}", "payload must be a JSON object" },
		{ JWT, "{\"payload\":\"{\\\"exp\\\":1,\\\"exp\\\":99999999999}\"}", "payload has a name twice" },
		{ JWT, "{\"payload\":\"{\\\"exp\\\":1e9}\"}", "exp must be a whole number" },
		{ JWT, "{\"payload\":\"{\\\"exp\\\":\\\"1800000000\\\"}\"}", "exp must be a whole number" },
		{ JWT, "{\"payload\":\"{\\\"exp\\\":1000000000}\"}", "exp is past" },
		{ JWT, "{\"payload\":\"{\\\"exp\\\":99999999999}\"}", "Google signs none beyond 12 hours" },
	};

	(void)state;
	begin(POLICY_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		post(cases[i].path, cases[i].body);
		print_message("%s %s -> %s\n", cases[i].path, cases[i].body, text("error.message"));
		assert_refused(400, "INVALID_ARGUMENT", cases[i].says);
	}
	assert_int_equal(post(NAME SA_DEV ":generateAccessTokens", SCOPE), 404);
	assert_refused(404, "NOT_FOUND", "no such method");
	assert_int_equal(post(NAME SA_DEV "/generateAccessToken", SCOPE), 404);
	assert_int_equal(post(NAME SA_DEV "/allowedLocations", SCOPE), 404);
	assert_int_equal(ask_with("GET", ACCESS, "", NULL), 405);
	assert_non_null(strstr(h.text, "\r\nAllow: POST\r\n"));
	assert_int_equal(ask_with("OPTIONS", ACCESS, "", NULL), 405);
	assert_null(strcasestr(h.text, "Access-Control"));
	assert_int_equal(google_calls(&w, "generateAccessToken") + google_calls(&w, "generateIdToken") + google_calls(&w, "signBlob") +
				 google_calls(&w, "signJwt"), 0);
}

static void test_iam_passes_googles_refusal_on(void **state) {
	(void)state;
	begin(POLICY_ALL);
	google_script(&w, "{\"endpoint\": \"signBlob\", \"times\": 1, \"status\": 403}");
	post(BLOB, "{\"payload\":\"aGFsbHBhc3M=\"}");
	assert_refused(403, "PERMISSION_DENIED", "roles/iam.serviceAccountTokenCreator");
	google_script(&w, "{\"endpoint\": \"signJwt\", \"times\": 1, \"mishap\": \"garbage\"}");
	post(JWT, "{\"payload\":\"{}\"}");
	assert_refused(502, "UNAVAILABLE", "Google's answer to signJwt");
}

/* --- who asks */

static void test_P4_iam_takes_the_handle_alone(void **state) {
	char fields[400];
	struct session_of_test other;
	json_t *records, *denied;

	(void)state;
	begin(POLICY_ALL);
	ask_with("POST", ACCESS, "", SCOPE);
	assert_refused(401, "UNAUTHENTICATED", "HALLPASS_HANDLE_FILE");
	assert_string_equal(text("error.details.0.reason"), "CREDENTIALS_MISSING");
	assert_non_null(strstr(h.text, "\r\nWWW-Authenticate: Bearer realm=\"hallpass\"\r\n"));
	ask_with("POST", ACCESS, "Authorization: Bearer ya29.something-else-entirely\r\n", SCOPE);
	assert_refused(401, "UNAUTHENTICATED", "not this session's handle");
	assert_string_equal(text("error.details.0.reason"), "BAD_CREDENTIAL");
	assert_non_null(strstr(h.text, "\r\nWWW-Authenticate: Bearer realm=\"hallpass\", error=\"invalid_token\"\r\n"));
	snprintf(fields, sizeof(fields), "Authorization: Basic %s\r\n", s.handle);
	assert_int_equal(ask_with("POST", ACCESS, fields, SCOPE), 401);
	snprintf(fields, sizeof(fields), "Authorization: Bearer %.63s\r\n", s.handle);
	assert_int_equal(ask_with("POST", ACCESS, fields, SCOPE), 401);
	session_begin(&w, DEV, &other); /* nor another session's */
	snprintf(fields, sizeof(fields), "Authorization: Bearer %s\r\n", other.handle);
	assert_int_equal(ask_with("POST", ACCESS, fields, SCOPE), 401);
	session_leave(&other);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
	records = records_wait(&w, "denied", 1);
	denied = records_last(records, "denied");
	assert_string_equal(member(denied, "reason"), "BAD_CREDENTIAL");
	assert_string_equal(member(denied, "session"), s.id);
	json_decref(records);
	snprintf(fields, sizeof(fields), "authorization: bearer   %s\r\n", s.handle);
	assert_int_equal(ask_with("POST", ACCESS, fields, SCOPE), 200);
}

/* The handle does not make another uid the session's. */
static void test_P4_iam_gives_another_uid_nothing(void **state) {
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: speaking as another uid needs root\n");
		skip();
	}
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: 0, principal: \"" ME "\"}, {uid: %d, principal: \"" ME "\"}]\n", STRANGER);
	begin(POLICY_ALL);
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(STRANGER, STRANGER, STRANGER) < 0 || setresuid(STRANGER, STRANGER, STRANGER) < 0)
			_exit(2);
		_exit(post(ACCESS, SCOPE) == 403 && !strstr(h.text, "ya29.") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
	assert_int_equal(post(ACCESS, SCOPE), 200);
}

static void test_P4_iam_gives_nothing_to_pages_and_proxies(void **state) {
	static const char *const fields[] = { "Origin: http://evil.test", "Origin: null", "Referer: http://evil.test/", "Sec-Fetch-Site: same-origin",
					      "X-Forwarded-For: 10.0.0.1", "Via: 1.1 x" };
	static const char *const hosts[] = { "evil.test", "rebind.test", "127.0.0.1", "127.0.0.1:1", "iamcredentials.googleapis.com" };
	char lines[400];

	(void)state;
	begin(POLICY_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		snprintf(lines, sizeof(lines), "Authorization: Bearer %s\r\n%s\r\n", s.handle, fields[i]);
		assert_int_equal(ask_with("POST", ACCESS, lines, SCOPE), 403);
		assert_string_equal(text("error.details.0.reason"), "FOREIGN_REQUEST");
	}
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		snprintf(lines, sizeof(lines), "Authorization: Bearer %s\r\nHost: %s\r\n", s.handle, hosts[i]);
		assert_int_equal(ask_with("POST", ACCESS, lines, SCOPE), 421);
	}
	/* What a page can send without asking first: text/plain, no Authorization. */
	http_answer_fini(&h);
	snprintf(lines, sizeof(lines), "Host: %s\r\nContent-Type: text/plain\r\nAuthorization: Bearer %s\r\n", s.host, s.handle);
	http_ask(s.url, "POST", ACCESS, lines, SCOPE, &h);
	assert_refused(400, "INVALID_ARGUMENT", "Content-Type must be application/json");
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
}

/* There is no handle: any bearer will do, and one must be there; who asks is the kernel's word. */
static void test_iam_on_a_configured_port(void **state) {
	int port = free_port();

	(void)state;
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"127.0.0.1:%d\", serviceAccounts: [" SA_DEV "]}", port);
	world_policy(&w, POLICY_ALL);
	world_daemon(&w);
	door_at(port, &s);
	assert_int_equal(ask_with("POST", ACCESS, "", SCOPE), 401);
	assert_refused(401, "UNAUTHENTICATED", "a credential must be sent here");
	assert_int_equal(ask_with("POST", ACCESS, "Authorization: Bearer whatever\r\n", SCOPE), 200);
	assert_int_equal(ask_with("POST", NAME SA_LABEL ":generateAccessToken", "Authorization: Bearer whatever\r\n", SCOPE), 200);
	world_stop(&w, SIGTERM);
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: 4711, principal: \"" ME "\"}]\n");
	world_daemon(&w);
	ask_with("POST", ACCESS, "Authorization: Bearer whatever\r\n", SCOPE);
	assert_refused(403, "PERMISSION_DENIED", "is nobody here"); /* not 401: another bearer would not help */
	assert_string_equal(text("error.details.0.reason"), "UNKNOWN_CALLER");
}

/* --- signatures */

static void sha256_of_base64(const char *base64, char out[65]) {
	unsigned char bytes[1024];
	int n = EVP_DecodeBlock(bytes, (const unsigned char *)base64, (int)strlen(base64));

	for (const char *c = base64 + strlen(base64); c > base64 && c[-1] == '='; c--)
		n--;
	assert_true(n > 0);
	sha256_hex(bytes, (size_t)n, out);
}

/* Each is asked of Google, and each has its intent and its outcome on disk before it is handed over. */
static void test_P1_a_signature_stands_in_the_record(void **state) {
	char sha[65], payload[65];
	json_t *records, *issued, *intent;

	(void)state;
	begin(POLICY_ALL);
	/* either alphabet, with and without padding: the same blob, and never from a cache */
	assert_int_equal(post(BLOB, "{\"payload\":\"+/+/\"}"), 200);
	assert_int_equal(post(BLOB, "{\"payload\":\"-_-_\",\"delegates\":[]}"), 200);
	assert_int_equal(google_calls(&w, "signBlob"), 2);
	assert_string_equal(text("keyId"), "standin-signer");
	sha256_of_base64(text("signedBlob"), sha);
	sha256_of_base64("+/+/", payload);
	/* No farewell: what the client has is on disk now. */
	world_stop(&w, SIGKILL);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "intent"), 2);
	assert_int_equal(records_count(records, "issued"), 2);
	intent = records_last(records, "intent");
	issued = records_last(records, "issued");
	assert_string_equal(member(intent, "payload"), payload);
	assert_string_equal(member(issued, "payload"), payload);
	assert_string_equal(member(issued, "token"), sha);
	assert_string_equal(member(issued, "permission"), "iam.serviceAccounts.signBlob");
	assert_string_equal(member(issued, "flight"), member(intent, "flight"));
	assert_null(json_object_get(issued, "expires")); /* nobody knows until when it is good */
	assert_null(json_object_get(issued, "lifetime"));
	json_decref(records);
}

static void test_P1_without_a_record_nothing_is_signed(void **state) {
	char command[200];

	(void)state;
	begin(POLICY_ALL);
	assert_int_equal(post(BLOB, "{\"payload\":\"aGFsbHBhc3M=\"}"), 200);
	snprintf(command, sizeof(command), "rm -rf %s/audit", w.dir);
	assert_int_equal(system(command), 0);
	post(BLOB, "{\"payload\":\"aGFsbHBhc3M=\"}");
	assert_refused(503, "UNAVAILABLE", "");
	assert_string_equal(text("error.details.0.reason"), "RECORD_UNAVAILABLE");
	assert_null(strstr(h.text, "signedBlob"));
	assert_int_equal(post(JWT, "{\"payload\":\"{}\"}"), 503);
	assert_int_equal(google_calls(&w, "signBlob"), 1);
	assert_int_equal(google_calls(&w, "signJwt"), 0);
}

/* A client that leaves gets nothing, and nobody else does; that it was signed stands in the record. */
static void test_P1_a_signature_that_nobody_waited_for_is_recorded(void **state) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	json_t *records, *issued;
	char request[600];
	int fd, n;

	(void)state;
	begin(POLICY_ALL);
	google_script(&w, "{\"endpoint\": \"signBlob\", \"times\": 1, \"latency_ms\": 2000}");
	in.sin_port = htons((uint16_t)s.port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	n = snprintf(request, sizeof(request),
		     "POST " BLOB " HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n"
		     "{\"payload\":\"AAAA\"}", s.host, s.handle);
	assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
	json_decref(records_wait(&w, "intent", 1)); /* so that Google is being asked, and takes its time */
	close(fd);
	json_decref(records_wait(&w, "abandoned", 1));
	records = records_wait(&w, "issued", 1);
	issued = records_last(records, "issued");
	assert_true(json_is_false(json_object_get(issued, "delivered")));
	assert_int_equal(strlen(member(issued, "payload")), 64);
	assert_int_equal(strlen(member(issued, "token")), 64);
	assert_string_equal(member(issued, "flight"), member(records_last(records, "intent"), "flight"));
	assert_string_equal(member(issued, "flight"), member(records_last(records, "abandoned"), "flight"));
	assert_null(json_object_get(issued, "lifetime"));
	json_decref(records);
	assert_int_equal(post(BLOB, "{\"payload\":\"AAAA\"}"), 200); /* not what was left over: another call */
	assert_int_equal(google_calls(&w, "signBlob"), 2);
}

/* A JWT ends with its permission: an exp within it stays, none gets one, and one beyond it is refused before Google is asked. */
static void test_P2_a_jwt_ends_with_its_permission(void **state) {
	char body[300], sha[65];
	int64_t now = now_s(), exp;
	json_t *claims, *records, *issued;

	(void)state;
	begin(POLICY_TEN);
	snprintf(body, sizeof(body), "{\"payload\":\"{\\\"sub\\\": \\\"x\\\", \\\"exp\\\": %lld}\"}", (long long)now + 300);
	assert_int_equal(post(JWT, body), 200);
	claims = claims_of(text("signedJwt"), sha);
	assert_int_equal(json_integer_value(json_object_get(claims, "exp")), now + 300);
	assert_string_equal(member(claims, "sub"), "x");
	json_decref(claims);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(post(JWT, i ? "{\"payload\":\"{}\"}" : "{\"payload\":\"{\\\"sub\\\":\\\"x\\\"}\"}"), 200);
		claims = claims_of(text("signedJwt"), sha);
		exp = json_integer_value(json_object_get(claims, "exp"));
		assert_true(exp > now + 500 && exp <= now_s() + 600);
		json_decref(claims);
		records = records_wait(&w, "issued", (size_t)i + 2);
		issued = records_last(records, "issued");
		assert_string_equal(member(issued, "payload"), sha); /* with the exp that it got */
		assert_int_equal(parse_time(member(issued, "expires")), exp);
		text_sha256(text("signedJwt"), sha);
		assert_string_equal(member(issued, "token"), sha);
		json_decref(records);
	}
	snprintf(body, sizeof(body), "{\"payload\":\"{\\\"exp\\\": %lld}\"}", (long long)now + 3600);
	post(JWT, body);
	assert_refused(403, "PERMISSION_DENIED", "600 s are allowed (maxLifetime): let its exp be at most");
	assert_string_equal(text("error.details.0.reason"), "JWT_OUTLIVES_PERMISSION");
	assert_int_equal(google_calls(&w, "signJwt"), 3);
}

/* Neither what was signed nor what it gave, nor the handle, stands anywhere in the broker's files. */
static void test_P5_iam_keeps_no_payload_signature_or_handle(void **state) {
	static const char *const dirs[] = { "audit", "hallpassd.log" };
	char values[6][128], command[1024], jwt[64];
	int64_t now = now_s();

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "log: {level: debug}\n");
	begin(POLICY_ALL);
	assert_int_equal(post(BLOB, "{\"payload\":\"dGhlIHBheWxvYWQgdGhhdCBub2JvZHkgc2Vlcw==\"}"), 200);
	snprintf(values[0], sizeof(values[0]), "%.60s", text("signedBlob"));
	snprintf(jwt, sizeof(jwt), "the-claim-that-nobody-sees-%lld", (long long)now);
	snprintf(command, sizeof(command), "{\"payload\":\"{\\\"sub\\\":\\\"%s\\\"}\"}", jwt);
	assert_int_equal(post(JWT, command), 200);
	snprintf(values[1], sizeof(values[1]), "%.60s", strrchr(text("signedJwt"), '.') + 1);
	snprintf(values[2], sizeof(values[2]), "dGhlIHBheWxvYWQgdGhhdCBub2JvZHkgc2Vlcw");
	snprintf(values[3], sizeof(values[3]), "the payload that nobody sees");
	snprintf(values[4], sizeof(values[4]), "%s", jwt);
	snprintf(values[5], sizeof(values[5]), "%s", s.handle);
	/* an error with a JWT at hand */
	google_script(&w, "{\"endpoint\": \"signJwt\", \"mishap\": \"half\"}");
	snprintf(command, sizeof(command), "{\"payload\":\"{\\\"sub\\\":\\\"%s\\\"}\"}", jwt);
	assert_int_equal(post(JWT, command), 502);
	world_stop(&w, SIGTERM);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		for (size_t d = 0; d < ARRAY_SIZE(dirs); d++) {
			snprintf(command, sizeof(command), "grep -rqaF -e '%s' %s/%s", values[i], w.dir, dirs[d]);
			if (system(command) == 0)
				fail_msg("%s stands in %s", values[i], dirs[d]);
		}
	snprintf(command, sizeof(command), "grep -rqaF '\"payload\":\"' %s/audit", w.dir);
	assert_int_equal(system(command), 0); /* their hashes do */
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_iam_gives_what_google_gives),
		SCENARIO(test_iam_takes_each_form_of_a_request),
		SCENARIO(test_iam_takes_delegates_in_both_forms),
		SCENARIO(test_iam_caps_lifetimes_and_says_so),
		SCENARIO(test_iam_serves_each_account_that_the_policy_gives),
		SCENARIO(test_iam_refuses_what_google_refuses),
		SCENARIO(test_iam_passes_googles_refusal_on),
		SCENARIO(test_P4_iam_takes_the_handle_alone),
		SCENARIO(test_P4_iam_gives_another_uid_nothing),
		SCENARIO(test_P4_iam_gives_nothing_to_pages_and_proxies),
		SCENARIO(test_iam_on_a_configured_port),
		SCENARIO(test_P1_a_signature_stands_in_the_record),
		SCENARIO(test_P1_without_a_record_nothing_is_signed),
		SCENARIO(test_P1_a_signature_that_nobody_waited_for_is_recorded),
		SCENARIO(test_P2_a_jwt_ends_with_its_permission),
		SCENARIO(test_P5_iam_keeps_no_payload_signature_or_handle),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
