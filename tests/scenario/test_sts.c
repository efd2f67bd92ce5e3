/* Token exchange and introspection on the wire: what clients send, what they parse, and who gets nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/port.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

#define DEV "{\"serviceAccount\": \"" SA_DEV "\"}"
#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"
#define GRANT "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
#define ACCESS "requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
#define JWT "subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"
#define AUDIENCE "audience=%2F%2Fhallpass.invalid%2Flocal"
#define REFRESH "grant_type=refresh_token&refresh_token="
#define CLOUD "https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform"
#define READ_ONLY "https://www.googleapis.com/auth/devstorage.read_only"
#define POLICY_BOTH                                                                                                    \
	"version: 1\nbindings:\n  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL "], maxLifetime: 1h}\n"

static struct world w;
static struct session_of_test s;
static struct http_answer h;
static struct answer a;

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	http_answer_fini(&h);
	answer_fini(&a);
	session_leave(&s);
	return world_end_well(&w);
}

static void begin(const char *session) {
	world_policy(&w, POLICY_BOTH);
	world_daemon(&w);
	session_begin(&w, session, &s);
}

static int post_at(const struct session_of_test *at, const char *path, const char *headers, const char *body) {
	char lines[512];

	snprintf(lines, sizeof(lines), "%s%s%s%s", strstr(headers, "Host:") ? "" : "Host: ", strstr(headers, "Host:") ? "" : at->host,
		 strstr(headers, "Host:") ? "" : "\r\n", headers);
	http_answer_fini(&h);
	http_ask(at->url, "POST", path, lines, body, &h);
	return h.status;
}

static int post(const char *path, const char *headers, const char *body) {
	return post_at(&s, path, headers, body);
}

/* A form with $ for a handle. */
static int post_form(const char *form, const char *handle) {
	const char *at = strchr(form, '$');
	char body[2048];

	snprintf(body, sizeof(body), "%.*s%s%s", (int)(at ? at - form : (long)strlen(form)), form, at ? handle : "", at ? at + 1 : "");
	return post("/v1/token", FORM, body);
}

/* What clients send, with this handle; more: "&scope=…" */
static int exchange(const char *handle, const char *more) {
	char form[2048];

	snprintf(form, sizeof(form), "%s$%s", GRANT "&" AUDIENCE "&" ACCESS "&" JWT "&subject_token=", more);
	return post_form(form, handle);
}

/* What clients send that were given a refresh token. */
static int refresh(const char *handle, const char *more) {
	char form[2048];

	snprintf(form, sizeof(form), "%s$%s", REFRESH, more);
	return post_form(form, handle);
}

static void assert_refused(int status, const char *error, const char *words) {
	if (h.status != status || strcmp(http_answer_text(&h, "error"), error) || !strstr(http_answer_text(&h, "error_description"), words))
		fail_msg("not %d %s, \"%s\":\n%s", status, error, words, h.text);
	assert_null(strchr(http_answer_text(&h, "error_description"), '\n'));
	assert_null(json_object_get(h.json, "access_token"));
}

static void test_sts_answers_as_clients_parse(void **state) {
	json_t *records, *issued;

	(void)state;
	begin(DEV);
	assert_int_equal(exchange(s.handle, "&scope=" CLOUD), 200);
	assert_non_null(strstr(h.text, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(h.text, "\r\nCache-Control: no-store\r\n"));
	assert_int_equal(strncmp(http_answer_text(&h, "access_token"), "ya29.", 5), 0);
	assert_string_equal(http_answer_text(&h, "issued_token_type"), "urn:ietf:params:oauth:token-type:access_token");
	assert_string_equal(http_answer_text(&h, "token_type"), "Bearer");
	assert_string_equal(http_answer_text(&h, "scope"), "https://www.googleapis.com/auth/cloud-platform");
	assert_true(json_is_integer(json_object_get(h.json, "expires_in")));
	assert_true(http_answer_int(&h, "expires_in") > 3000 && http_answer_int(&h, "expires_in") <= 3600);
	assert_int_equal(h.body[h.body_len - 1], '}');
	/* gcloud's way: its public client in a header, the JSON of options, other names' order. */
	http_answer_fini(&h);
	assert_int_equal(exchange(s.handle, "&scope=openid+" CLOUD "+openid&options=%7B%22userProject%22%3A%22p%22%7D"), 200);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 2);
	assert_int_equal(exchange(s.handle, "&scope=" CLOUD "%20openid"), 200);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 2); /* equal asks are one */
	records = records_wait(&w, "issued", 3);
	issued = records_last(records, "issued");
	assert_string_equal(json_string_value(json_object_get(issued, "surface")), "sts");
	assert_string_equal(json_string_value(json_object_get(issued, "session")), s.id);
	assert_string_equal(json_string_value(json_object_get(issued, "principal")), ME);
	json_decref(records);
}

/* The client's own refresh token stays good: none comes back. Who the client says that it is, is read by nobody. */
static void test_sts_refreshes_as_clients_parse(void **state) {
	static const char basic[] = FORM "Authorization: Basic aGFsbHBhc3M6aGFsbHBhc3M=\r\n";
	json_t *records, *issued;
	char body[400];

	(void)state;
	begin("{\"serviceAccount\": \"" SA_DEV "\", \"also\": [\"" SA_LABEL "\"]}");
	snprintf(body, sizeof(body), REFRESH "%s", s.handle);
	assert_int_equal(post("/v1/token", basic, body), 200);
	assert_non_null(strstr(h.text, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(h.text, "\r\nCache-Control: no-store\r\n"));
	assert_int_equal(strncmp(http_answer_text(&h, "access_token"), "ya29.", 5), 0);
	assert_string_equal(http_answer_text(&h, "token_type"), "Bearer");
	assert_string_equal(http_answer_text(&h, "scope"), "https://www.googleapis.com/auth/cloud-platform");
	assert_true(json_is_integer(json_object_get(h.json, "expires_in")));
	assert_true(http_answer_int(&h, "expires_in") > 3000 && http_answer_int(&h, "expires_in") <= 3600);
	assert_int_equal(json_object_size(h.json), 4);
	assert_int_equal(refresh(s.handle, "&client_id=x&client_secret=y"), 200);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1); /* equal asks are one */
	records = records_wait(&w, "issued", 2);
	issued = records_last(records, "issued");
	assert_string_equal(json_string_value(json_object_get(issued, "surface")), "sts");
	assert_string_equal(json_string_value(json_object_get(issued, "session")), s.id);
	assert_string_equal(json_string_value(json_object_get(issued, "principal")), ME);
	assert_string_equal(json_string_value(json_object_get(issued, "target")), SA_DEV);
	json_decref(records);
	snprintf(body, sizeof(body), "token=%s", http_answer_text(&h, "access_token"));
	assert_int_equal(post("/v1/introspect", FORM, body), 200);
	assert_string_equal(http_answer_text(&h, "username"), SA_DEV);
}

/* The audience names the account, where it is not the session's default. */
static void test_sts_gives_the_accounts_of_its_port(void **state) {
	json_t *records;

	(void)state;
	begin("{\"serviceAccount\": \"" SA_DEV "\", \"also\": [\"" SA_LABEL "\"]}");
	assert_int_equal(post_form(GRANT "&" AUDIENCE "%2F" SA_LABEL "&" JWT "&subject_token=$", s.handle), 200);
	records = records_wait(&w, "issued", 1);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "issued"), "target")), SA_LABEL);
	json_decref(records);
	post_form(GRANT "&" AUDIENCE "%2F" SA_PROD "&" JWT "&subject_token=$", s.handle);
	assert_refused(400, "invalid_target", "--also");
	post_form(GRANT "&audience=%2F%2Fiam.googleapis.com%2Fprojects%2F1&" JWT "&subject_token=$", s.handle);
	assert_refused(400, "invalid_target", "//hallpass.invalid/local");
}

/* A session that was opened for less gives no more, by whatever protocol; what a client asks for by habit is what there is. */
static void test_sts_narrows_scopes_to_those_of_the_session(void **state) {
	char bearer[200];
	json_t *records;

	(void)state;
	begin("{\"serviceAccount\": \"" SA_DEV "\", \"scopes\": [\"" READ_ONLY "\", \"openid\"]}");
	assert_int_equal(exchange(s.handle, ""), 200);
	assert_string_equal(http_answer_text(&h, "scope"), READ_ONLY " openid");
	assert_int_equal(exchange(s.handle, "&scope=" CLOUD), 200);
	assert_string_equal(http_answer_text(&h, "scope"), READ_ONLY " openid");
	assert_int_equal(exchange(s.handle, "&scope=openid+email"), 200);
	assert_string_equal(http_answer_text(&h, "scope"), "openid");
	exchange(s.handle, "&scope=email");
	assert_refused(400, "invalid_scope", "--scopes");
	assert_int_equal(refresh(s.handle, ""), 200);
	assert_string_equal(http_answer_text(&h, "scope"), READ_ONLY " openid");
	assert_int_equal(refresh(s.handle, "&scope=openid+email"), 200);
	assert_string_equal(http_answer_text(&h, "scope"), "openid");
	refresh(s.handle, "&scope=email");
	assert_refused(400, "invalid_scope", "--scopes");
	http_answer_fini(&h);
	md(&s, "instance/service-accounts/default/token?scopes=email", &h);
	assert_int_equal(h.status, 400);
	snprintf(bearer, sizeof(bearer), "Content-Type: application/json\r\nAuthorization: Bearer %s\r\n", s.handle);
	assert_int_equal(post("/v1/projects/-/serviceAccounts/" SA_DEV ":generateAccessToken", bearer, "{\"scope\": [\"email\"]}"), 400);
	assert_int_equal(post("/v1/projects/-/serviceAccounts/" SA_DEV ":generateAccessToken", bearer, "{\"scope\": [\"email\", \"openid\"]}"), 200);
	records = records_wait(&w, "issued", 6);
	assert_int_equal(json_array_size(json_object_get(records_last(records, "issued"), "scopes")), 1);
	json_decref(records);
}

static void test_sts_refuses_forms_that_are_none(void **state) {
	static const struct {
		const char *form; /* $: the handle */
		const char *error, *words;
	} cases[] = {
		{ "", "invalid_request", "grant_type is missing" },
		{ "grant_type=client_credentials", "unsupported_grant_type", "token-exchange" },
		{ "grant_type=client_credentials", "unsupported_grant_type", " or refresh_token" },
		{ "grant_type=refresh_token", "invalid_request", "refresh_token is missing" },
		{ "grant_type=refresh_token&subject_token=$", "invalid_request", "refresh_token is missing" },
		{ REFRESH, "invalid_request", "refresh_token is missing" },
		{ REFRESH "$&refresh_token=x", "invalid_request", "refresh_token is no text, is too long, or stands there twice" },
		{ REFRESH "$%00", "invalid_request", "refresh_token is no text" },
		{ REFRESH "$&grant_type=refresh_token", "invalid_request", "grant_type is no text, is too long, or stands there twice" },
		{ REFRESH "$&scope=%C3%A4", "invalid_request", "visible ASCII" },
		{ GRANT "&" AUDIENCE "&" JWT "&refresh_token=$", "invalid_request", "subject_token is missing" },
		{ GRANT "&" AUDIENCE "&" JWT, "invalid_request", "subject_token is missing" },
		{ GRANT "&" AUDIENCE "&" JWT "&subject_token=", "invalid_request", "subject_token is missing" },
		{ GRANT "&" AUDIENCE "&subject_token=$", "invalid_request", "subject_token_type is missing" },
		{ GRANT "&" JWT "&subject_token=$", "invalid_request", "audience is missing" },
		{ GRANT "&" AUDIENCE "&subject_token_type=saml2&subject_token=$", "invalid_request", "subject_token_type must be" },
		{ GRANT "&" GRANT "&" AUDIENCE "&" JWT "&subject_token=$", "invalid_request", "stands there twice" },
		{ GRANT "&" AUDIENCE "&" JWT "&subject_token=$&scope=%00", "invalid_request", "scope is no text" },
		{ GRANT "&" AUDIENCE "&" JWT "&subject_token=$&actor_token=x", "invalid_request", "actor_token" },
		{ GRANT "&" AUDIENCE "&" JWT "&subject_token=$&requested_token_type=jwt", "invalid_request", "requested_token_type must be" },
		{ GRANT "&" AUDIENCE "&" JWT "&subject_token=$&options=x", "invalid_request", "no JSON object" },
		{ GRANT "&" AUDIENCE "&" JWT "&subject_token=$&options=%7B%22accessBoundary%22%3A%7B%7D%7D", "invalid_request", "accessBoundary" },
		{ GRANT "&" AUDIENCE "&" JWT "&subject_token=$&scope=%C3%A4", "invalid_request", "visible ASCII" },
	};
	char body[1024];

	(void)state;
	begin(DEV);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		post_form(cases[i].form, s.handle);
		assert_refused(400, cases[i].error, cases[i].words);
	}
	post("/v1/token", "Content-Type: application/json\r\n", "{}");
	assert_refused(400, "invalid_request", "application/x-www-form-urlencoded");
	post("/v1/token", "Content-Type: application/x-www-form-urlencoded,application/json\r\n", "{}");
	assert_refused(400, "invalid_request", "application/x-www-form-urlencoded");
	http_answer_fini(&h);
	md_raw(&s, "GET", "/v1/token", "", &h);
	assert_refused(405, "invalid_request", "POST");
	assert_non_null(strstr(h.text, "\r\nAllow: POST\r\n"));
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
	/* As google-cloud-cpp, of pyarrow, sends it. */
	snprintf(body, sizeof(body), "%s%s", GRANT "&" AUDIENCE "&" JWT "&subject_token=", s.handle);
	assert_int_equal(post("/v1/token", "Content-Type: application/x-www-form-urlencoded,application/x-www-form-urlencoded\r\n", body), 200);
}

/* The kernel's word is not enough here: other programs of the same user have not been given the handle. */
static void test_P4_sts_takes_the_sessions_handle_alone(void **state) {
	struct session_of_test other;
	json_t *records;

	(void)state;
	begin(DEV);
	session_begin(&w, DEV, &other);
	exchange("0000000000000000000000000000000000000000000000000000000000000000", "");
	assert_refused(400, "invalid_grant", "HALLPASS_HANDLE_FILE");
	exchange(other.handle, "");
	assert_refused(400, "invalid_grant", "not this session's handle");
	other.handle[0] = '\0';
	exchange(s.handle, "0");
	assert_refused(400, "invalid_grant", "not this session's handle");
	records = records_wait(&w, "denied", 1);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "denied"), "reason")), "BAD_CREDENTIAL");
	assert_string_equal(json_string_value(json_object_get(records_last(records, "denied"), "session")), s.id);
	json_decref(records);
	assert_int_equal(exchange(s.handle, ""), 200);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1);
	close(other.fd);
}

static void test_P4_sts_refreshes_by_the_sessions_handle_alone(void **state) {
	struct session_of_test other;
	json_t *records;

	(void)state;
	begin(DEV);
	session_begin(&w, DEV, &other);
	refresh("0000000000000000000000000000000000000000000000000000000000000000", "");
	assert_refused(400, "invalid_grant", "the refresh_token is not this session's handle");
	refresh(other.handle, "");
	assert_refused(400, "invalid_grant", "HALLPASS_HANDLE_FILE");
	refresh(s.handle, "0");
	assert_refused(400, "invalid_grant", "not this session's handle");
	records = records_wait(&w, "denied", 1);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "denied"), "reason")), "BAD_CREDENTIAL");
	assert_string_equal(json_string_value(json_object_get(records_last(records, "denied"), "session")), s.id);
	json_decref(records);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
	assert_int_equal(refresh(s.handle, ""), 200);
	close(other.fd);
}

#define IAM_SCOPE "https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fiam"

static void as_bearer(const char *bearer) {
	static const char path[] = "/v1/projects/-/serviceAccounts/" SA_LABEL ":generateAccessToken";
	char headers[300];

	snprintf(headers, sizeof(headers), "Content-Type: application/json\r\nAuthorization: Bearer %s\r\n", bearer);
	post(path, headers, "{\"scope\": [\"https://www.googleapis.com/auth/cloud-platform\"]}");
}

/* Who impersonates asks for a token for that first: at a session's port the handle is it. Who has it gets it; nothing is issued. */
static void test_P4_sts_gives_the_handle_to_whom_has_it(void **state) {
	json_t *records;
	char bearer[100];

	(void)state;
	begin(DEV);
	exchange("0000000000000000000000000000000000000000000000000000000000000000", "&scope=" IAM_SCOPE);
	assert_refused(400, "invalid_grant", "not this session's handle");
	assert_int_equal(exchange(s.handle, "&scope=" IAM_SCOPE), 200);
	assert_string_equal(http_answer_text(&h, "access_token"), s.handle);
	assert_string_equal(http_answer_text(&h, "token_type"), "Bearer");
	assert_string_equal(http_answer_text(&h, "issued_token_type"), "urn:ietf:params:oauth:token-type:access_token");
	assert_true(http_answer_int(&h, "expires_in") == 3600);
	assert_non_null(strstr(h.text, "\r\nCache-Control: no-store\r\n"));
	records = records_wait(&w, "denied", 1); /* of the zeros */
	assert_int_equal(records_count(records, "issued") + records_count(records, "intent"), 0);
	json_decref(records);
	snprintf(bearer, sizeof(bearer), "%s", http_answer_text(&h, "access_token"));
	as_bearer(bearer);
	assert_int_equal(h.status, 200);
	assert_non_null(strstr(h.text, "\"accessToken\""));
}

/* With another scope beside it, of a session that was opened for it, at nobody's port or for nobody's account it is a scope like any. */
static void test_sts_gives_the_handle_for_impersonation_alone(void **state) {
	int port = free_port();

	(void)state;
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"127.0.0.1:%d\", serviceAccounts: [" SA_DEV "]}", port);
	begin(DEV);
	assert_int_equal(exchange(s.handle, "&scope=" IAM_SCOPE "%20" CLOUD), 200);
	assert_int_equal(strncmp(http_answer_text(&h, "access_token"), "ya29.", 5), 0);
	post_form(GRANT "&audience=%2F%2Felsewhere&" JWT "&scope=" IAM_SCOPE "&subject_token=$", s.handle);
	assert_refused(400, "invalid_target", "the audience is");
	post_form(GRANT "&" AUDIENCE "%2Fnobody%40x.iam.gserviceaccount.com&" JWT "&scope=" IAM_SCOPE "&subject_token=$", s.handle);
	assert_refused(400, "invalid_target", "the audience is");
	exchange(s.handle, "&scope=" IAM_SCOPE "&actor_token=x");
	assert_refused(400, "invalid_request", "actor_token");
	exchange(s.handle, "&scope=" IAM_SCOPE "&options=%7B%22accessBoundary%22%3A%7B%7D%7D");
	assert_refused(400, "invalid_request", "accessBoundary");
	session_leave(&s);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\", \"scopes\": [\"https://www.googleapis.com/auth/iam\"]}", &s);
	exchange(s.handle, "&scope=" IAM_SCOPE);
	assert_refused(403, "unauthorized_client", "none of the scopes asked for");
	session_leave(&s);
	door_at(port, &s);
	exchange("whatever", "&scope=" IAM_SCOPE);
	assert_refused(403, "unauthorized_client", "none of the scopes asked for");
}

/* Another uid with the right handle is still another uid. */
static void test_P4_sts_is_the_sessions_uids_alone(void **state) {
	int status = 0;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: being somebody else needs root\n");
		skip();
	}
	/* By the policy he may, too. */
	snprintf(w.config_more, sizeof(w.config_more), "peers: [{uid: 4711, principal: \"user:other@example.com\"}, {uid: 0, principal: \"" ME "\"}]\n");
	world_policy(&w, "version: 1\nbindings:\n  - {name: all, members: [allAuthenticated], serviceAccounts: [" SA_DEV "]}\n");
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	pid = fork();
	if (pid == 0) {
		if (setgid(4711) < 0 || setuid(4711) < 0)
			_exit(99);
		_exit(exchange(s.handle, "") == 403 && !strstr(h.text, "access_token") && refresh(s.handle, "") == 403 &&
			      !strstr(h.text, "access_token")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
}

/* A form is what a page in a browser can send without asking. */
static void test_P4_sts_gives_nothing_to_pages(void **state) {
	static const struct {
		const char *field;
		int status;
	} cases[] = {
		{ "Origin: null\r\n", 403 },
		{ "Origin: https://evil.example\r\n", 403 },
		{ "Referer: http://127.0.0.1/\r\n", 403 },
		{ "Sec-Fetch-Site: same-origin\r\n", 403 },
		{ "X-Forwarded-For: 1.2.3.4\r\n", 403 },
		{ "Host: rebind.test\r\n", 421 },
		{ "Host: 0.0.0.0\r\n", 421 },
	};
	char headers[256], body[1024], again[256];

	(void)state;
	begin(DEV);
	snprintf(body, sizeof(body), "%s%s", GRANT "&" AUDIENCE "&" JWT "&subject_token=", s.handle);
	snprintf(again, sizeof(again), REFRESH "%s", s.handle);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(headers, sizeof(headers), FORM "%s", cases[i].field);
		if (post("/v1/token", headers, body) != cases[i].status || post("/v1/token", headers, again) != cases[i].status)
			fail_msg("%s%s", cases[i].field, h.text);
		assert_int_equal(post("/v1/introspect", headers, "token=x"), cases[i].status);
	}
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
}

/* 403 with the policy's sentence at once, 503 for what may pass. */
static void test_sts_refuses_as_clients_take_it(void **state) {
	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "upstream: {timeout: 300ms}\n");
	begin(DEV);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 503}");
	exchange(s.handle, "");
	assert_refused(503, "temporarily_unavailable", "");
	google_reset(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"times\": 1, \"status\": 403}");
	exchange(s.handle, "");
	assert_refused(403, "unauthorized_client", "roles/iam.serviceAccountTokenCreator");
	assert_int_equal(exchange(s.handle, ""), 200);
	/* Whoever holds a good token does not notice that Google is down; the policy's word holds at once. */
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 503}");
	assert_int_equal(exchange(s.handle, ""), 200);
	world_policy(&w, "version: 1\n");
	ask(&w, "POST", "/v1/reload", "{}", &a);
	exchange(s.handle, "");
	assert_refused(403, "unauthorized_client", "no binding lets " ME " use " SA_DEV);
	refresh(s.handle, "");
	assert_refused(403, "unauthorized_client", "no binding lets " ME " use " SA_DEV);
}

/* Never a token that clients, who want 300 s left, would come back for at once, unless the window itself is that short. */
static void test_sts_serves_no_token_near_its_end(void **state) {
	(void)state;
	begin("{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": 900}");
	world_clock(&w, 0);
	assert_int_equal(exchange(s.handle, ""), 200);
	assert_int_equal(exchange(s.handle, ""), 200);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1);
	world_clock(&w, 600);
	google_clock(&w, 600);
	assert_int_equal(exchange(s.handle, ""), 200);
	assert_true(http_answer_int(&h, "expires_in") > 300);
}

static void test_sts_introspects_what_it_gave(void **state) {
	struct session_of_test other;
	char body[1024];

	(void)state;
	begin(DEV);
	assert_int_equal(exchange(s.handle, ""), 200);
	snprintf(body, sizeof(body), "token=%s", http_answer_text(&h, "access_token"));
	assert_int_equal(post("/v1/introspect", FORM, body), 200);
	assert_true(json_is_true(json_object_get(h.json, "active")));
	assert_string_equal(http_answer_text(&h, "username"), SA_DEV);
	assert_true(http_answer_int(&h, "exp") > now_s());
	session_begin(&w, DEV, &other);
	assert_int_equal(post_at(&other, "/v1/introspect", FORM, body), 200);
	assert_string_equal(h.body, "{\"active\":false}");
	assert_int_equal(post("/v1/introspect", FORM, "token=ya29.somebody-elses"), 200);
	assert_string_equal(h.body, "{\"active\":false}");
	assert_int_equal(post("/v1/introspect", FORM, "t=1"), 400);
	close(other.fd);
}

/* It has no handle to give out: any will do, but none will not, and who asks is the kernel's word. */
static void test_sts_at_a_listener_of_the_configuration(void **state) {
	int port = free_port();

	(void)state;
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"127.0.0.1:%d\", serviceAccounts: [" SA_DEV "]}", port);
	world_policy(&w, POLICY_BOTH);
	world_daemon(&w);
	door_at(port, &s);
	assert_int_equal(exchange("whatever", ""), 200);
	exchange("", "");
	assert_refused(400, "invalid_request", "subject_token is missing");
	assert_int_equal(refresh("whatever", ""), 200);
	refresh("", "");
	assert_refused(400, "invalid_request", "refresh_token is missing");
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_sts_answers_as_clients_parse),
		SCENARIO(test_sts_refreshes_as_clients_parse),
		SCENARIO(test_sts_gives_the_accounts_of_its_port),
		SCENARIO(test_sts_narrows_scopes_to_those_of_the_session),
		SCENARIO(test_sts_refuses_forms_that_are_none),
		SCENARIO(test_P4_sts_takes_the_sessions_handle_alone),
		SCENARIO(test_P4_sts_refreshes_by_the_sessions_handle_alone),
		SCENARIO(test_P4_sts_gives_the_handle_to_whom_has_it),
		SCENARIO(test_sts_gives_the_handle_for_impersonation_alone),
		SCENARIO(test_P4_sts_is_the_sessions_uids_alone),
		SCENARIO(test_P4_sts_gives_nothing_to_pages),
		SCENARIO(test_sts_refuses_as_clients_take_it),
		SCENARIO(test_sts_serves_no_token_near_its_end),
		SCENARIO(test_sts_introspects_what_it_gave),
		SCENARIO(test_sts_at_a_listener_of_the_configuration),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
