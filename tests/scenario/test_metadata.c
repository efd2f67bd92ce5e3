/* The metadata server on the wire: bytes as clients want them, refusals as they take them, and who gets nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hallpass/buf.h"
#include "hallpass/cleanup.h"
#include "tests/lib/session.h"
#include "tests/lib/port.h"
#include "tests/lib/world.h"

#define DEV "{\"serviceAccount\": \"" SA_DEV "\"}"
#define ACCOUNTS "instance/service-accounts/"
#define TOKEN ACCOUNTS "default/token"
#define POLICY_HOUR                                                                                                    \
	"version: 1\nbindings:\n  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], maxLifetime: 1h, permissions: " \
	"[iam.serviceAccounts.getAccessToken, iam.serviceAccounts.getOpenIdToken]}\n"

static struct world w;
static struct session_of_test s;
static struct http_answer h;
static struct answer a;
static char fading[512]; /* a token, see begin_fading() */

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

static int get(const char *path) {
	http_answer_fini(&h);
	md(&s, path, &h);
	return h.status;
}

static int raw(const char *method, const char *path, const char *headers) {
	http_answer_fini(&h);
	md_raw(&s, method, path, headers, &h);
	return h.status;
}

static void begin(const char *more) {
	snprintf(w.config_more, sizeof(w.config_more), "%s", more);
	world_daemon(&w);
	session_begin(&w, DEV, &s);
}

static void test_metadata_answers_to_the_byte(void **state) {
	static const struct {
		const char *path, *type, *body;
	} cases[] = {
		{ ACCOUNTS, "application/text", "default/\n" SA_DEV "/\n" },
		{ ACCOUNTS "default/email", "application/text", SA_DEV },
		{ ACCOUNTS "ml-training-dev-sa%40acme-ml.iam.gserviceaccount.com/email", "application/text", SA_DEV },
		{ ACCOUNTS SA_DEV "/aliases", "application/text", "default" },
		{ ACCOUNTS "default/scopes", "application/text", "https://www.googleapis.com/auth/cloud-platform" },
		{ ACCOUNTS "default/?recursive=true", "application/json",
		  "{\"aliases\":[\"default\"],\"email\":\"" SA_DEV "\",\"scopes\":[\"https://www.googleapis.com/auth/cloud-platform\"]}" },
		{ ACCOUNTS "default/email?alt=json", "application/json", "\"" SA_DEV "\"" },
		{ ACCOUNTS "default/?recursive=true&alt=text", "application/text",
		  "aliases default\nemail " SA_DEV "\nscopes https://www.googleapis.com/auth/cloud-platform\n" },
		{ "project/numeric-project-id", "application/text", "4711" },
		{ "project/project-id", "application/text", "acme-ml" },
		{ "universe/universe-domain", "application/text", "googleapis.com" },
		{ "instance/zone", "application/text", "projects/4711/zones/europe-west3-a" },
		{ "instance/attributes/cluster-name", "application/text", "c 1" },
		{ "", "application/text", "instance/\nproject/\nuniverse/\n" },
	};
	char line[100];

	(void)state;
	begin("instance: {projectNumber: 4711, zone: europe-west3-a, attributes: {cluster-name: \"c 1\"}}\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line), "\r\nContent-Type: %s\r\n", cases[i].type);
		if (get(cases[i].path) != 200 || strcmp(h.body, cases[i].body) || !strstr(h.text, line))
			fail_msg("%s:\n%s", cases[i].path, h.text);
		assert_non_null(strstr(h.text, "\r\nMetadata-Flavor: Google\r\n"));
		assert_non_null(strstr(h.text, "\r\nServer: Metadata Server for VM\r\n"));
		assert_non_null(strstr(h.text, "\r\nETag: "));
	}
}

static void test_metadata_tokens_are_what_clients_parse(void **state) {
	json_t *records;

	(void)state;
	world_policy(&w, POLICY_HOUR);
	begin("");
	assert_int_equal(get(TOKEN), 200);
	assert_non_null(strstr(h.text, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(h.text, "\r\nCache-Control: no-store\r\n"));
	assert_int_equal(strncmp(http_answer_text(&h, "access_token"), "ya29.", 5), 0);
	assert_true(json_is_integer(json_object_get(h.json, "expires_in")));
	assert_true(http_answer_int(&h, "expires_in") > 3000);
	assert_string_equal(http_answer_text(&h, "token_type"), "Bearer");
	assert_int_equal(h.body[h.body_len - 1], '}');
	/* scopes raw, encoded, sorted and each once */
	assert_int_equal(get(TOKEN "?scopes=openid,https://www.googleapis.com/auth/cloud-platform"), 200);
	assert_int_equal(get(TOKEN "?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform%2Copenid%2Copenid"), 200);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 2); /* both are one: the second came from the cache */
	records = records_wait(&w, "issued", 3);
	assert_int_equal(json_array_size(json_object_get(records_last(records, "issued"), "askedScopes")), 2);
	json_decref(records);
	assert_int_equal(get(TOKEN "?scopes=%00"), 400);
}

static void test_metadata_identity_with_audience_format_and_licenses(void **state) {
	(void)state;
	world_policy(&w, POLICY_HOUR);
	begin("");
	assert_int_equal(get(ACCOUNTS "default/identity?audience=https%3A%2F%2Fx.example&format=full&licenses=TRUE"), 200);
	assert_int_equal(strncmp(h.body, "eyJ", 3), 0);
	assert_null(strchr(h.body, '\n'));
	assert_int_equal(get(ACCOUNTS "default/identity?audience=https://x.example"), 200);
	assert_int_equal(google_calls(&w, "generateIdToken"), 2); /* with the e-mail is another token than without */
	assert_int_equal(get(ACCOUNTS "default/identity?audience=32555940559.apps.googleusercontent.com&format=standard&licenses=FALSE"), 200);
	assert_int_equal(get(ACCOUNTS "default/identity"), 400);
	assert_int_equal(get(ACCOUNTS "default/identity?audience="), 400);
	assert_int_equal(get(ACCOUNTS "default/identity?audience=x&format=fuller"), 400);
	assert_int_equal(get(ACCOUNTS "default/identity?audience=x&licenses=2"), 400);
	assert_int_equal(get(ACCOUNTS SA_PROD "/identity?audience=x"), 404);
}

/* 403 with one sentence, 404 for an ID token, 503 for what may pass. */
static void test_metadata_refuses_as_clients_take_it(void **state) {
	(void)state;
	begin("");
	assert_int_equal(get(ACCOUNTS "default/identity?audience=x"), 404); /* not among the binding's permissions */
	assert_non_null(strstr(h.text, "Metadata-Flavor: Google"));
	assert_true(strlen(http_answer_text(&h, "error_description")) > 20);
	world_policy(&w, "version: 1\n");
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(get(TOKEN), 403);
	assert_string_equal(http_answer_text(&h, "error"), "NO_BINDING");
	assert_non_null(strstr(http_answer_text(&h, "error_description"), "no binding lets " ME " use " SA_DEV));
	assert_null(strchr(http_answer_text(&h, "error_description"), '\n'));
	/* What needs no token goes on: at a 403 there gcloud crashes. */
	assert_int_equal(get(ACCOUNTS "default/email"), 200);
	assert_int_equal(get(ACCOUNTS "default/?recursive=true"), 200);
	answer_fini(&a);
	world_policy(&w, POLICY_DEV);
	ask(&w, "POST", "/v1/reload", "{}", &a);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"times\": 1, \"status\": 403}");
	assert_int_equal(get(TOKEN), 403); /* Google will say the same the next time */
	assert_non_null(strstr(http_answer_text(&h, "error_description"), "roles/iam.serviceAccountTokenCreator"));
}

/* A HEAD shows no token, so none is made for it, and none is recorded. */
static void test_metadata_issues_nothing_for_a_head(void **state) {
	static const char *const paths[] = { TOKEN, ACCOUNTS SA_DEV "/token", TOKEN "?scopes=openid", ACCOUNTS "default/identity?audience=x" };
	json_t *records;

	(void)state;
	begin("");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char path[300];

		snprintf(path, sizeof(path), "/computeMetadata/v1/%s", paths[i]);
		http_answer_fini(&h);
		md_raw(&s, "HEAD", path, "Metadata-Flavor: Google\r\n", &h);
		assert_int_equal(h.status, 405);
		assert_non_null(strstr(h.text, "\r\nAllow: GET\r\n"));
		assert_string_equal(strstr(h.text, "\r\n\r\n"), "\r\n\r\n");
	}
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "intent") + records_count(records, "issued") + records_count(records, "denied"), 0);
	json_decref(records);
}

static void test_metadata_says_503_while_google_is_down(void **state) {
	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "upstream: {timeout: 1s}\n");
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 503}");
	assert_int_equal(get(TOKEN), 503);
	google_reset(&w);
	assert_int_equal(get(TOKEN), 200);
	/* Whoever holds a good token does not notice that Google is down. */
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 503}");
	assert_int_equal(get(TOKEN), 200);
}

/* gcloud asks for an ID token with each access token, and crashes at a 503; others try again at one. */
static void test_metadata_identity_trouble_is_no_trouble_of_gclouds(void **state) {
	(void)state;
	world_policy(&w, POLICY_HOUR);
	snprintf(w.config_more, sizeof(w.config_more), "upstream: {timeout: 1s}\n");
	world_daemon(&w);
	session_begin(&w, DEV, &s);
	google_script(&w, "{\"endpoint\": \"generateIdToken\", \"status\": 503}");
	assert_int_equal(get(ACCOUNTS "default/identity?audience=32555940559.apps.googleusercontent.com&format=standard&licenses=FALSE"), 404);
	assert_int_equal(get(ACCOUNTS "default/identity?audience=https://x.example"), 503);
	assert_int_equal(get(TOKEN), 200);
	google_reset(&w);
	assert_int_equal(get(ACCOUNTS "default/identity?audience=32555940559.apps.googleusercontent.com&format=standard&licenses=FALSE"), 200);
}

/* A client that hangs up after its three seconds finds the token when it comes again. */
static void test_metadata_goes_on_when_a_client_hangs_up(void **state) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[512];
	int fd, n;

	(void)state;
	begin("");
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 600}");
	in.sin_port = htons((uint16_t)s.port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	n = snprintf(text, sizeof(text), "GET /computeMetadata/v1/" TOKEN " HTTP/1.1\r\nHost: %s\r\nMetadata-Flavor: Google\r\n\r\n", s.host);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	while (google_calls(&w, "generateAccessToken") == 0)
		poll(NULL, 0, 5);
	close(fd);
	assert_int_equal(get(TOKEN), 200);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1);
}

/* Near its expiry a token is not served: clients ask again from 300 s before, and would do so for each call. */
static void test_metadata_serves_no_token_that_is_about_to_expire(void **state) {
	(void)state;
	world_clock(&w, 0);
	begin("");
	assert_int_equal(get(TOKEN), 200); /* 30 minutes */
	world_clock(&w, 1800 - 310);
	google_clock(&w, 1800 - 310);
	assert_int_equal(get(TOKEN), 200);
	assert_true(http_answer_int(&h, "expires_in") > 1700);
	session_leave(&s);
	/* Where the policy's window is that short it must do, from the cache. */
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": \"200s\"}", &s);
	assert_int_equal(get(TOKEN), 200);
	assert_int_equal(get(TOKEN), 200);
	assert_true(http_answer_int(&h, "expires_in") <= 200);
}

/* All clocks. */
static void clocks(int64_t offset_s) {
	world_clock(&w, offset_s);
	google_clock(&w, offset_s);
}

/* The same token again, so near its end that clients ask for another. */
static void assert_fading(void) {
	assert_int_equal(get(TOKEN), 200);
	assert_string_equal(http_answer_text(&h, "access_token"), fading);
	assert_in_range(http_answer_int(&h, "expires_in"), 150, 200);
}

static void begin_fading(const char *more) {
	world_clock(&w, 0);
	begin(more);
	assert_int_equal(get(TOKEN), 200); /* 30 minutes */
	snprintf(fading, sizeof(fading), "%s", http_answer_text(&h, "access_token"));
	clocks(1800 - 200);
}

/* Whose token ends soon asks for the next one: while Google has none he keeps what he has, and asks at the cost of a local call. */
static void test_P7_a_token_that_ends_soon_outlasts_trouble_of_googles(void **state) {
	char why[256];
	json_t *records;
	int64_t calls;

	(void)state;
	begin_fading("upstream: {timeout: 1s}\n");
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 503}");
	assert_fading();
	calls = google_calls(&w, "generateAccessToken");
	assert_true(calls >= 2); /* it was tried */
	for (int i = 0; i < 5; i++)
		assert_fading();
	assert_int_equal(google_calls(&w, "generateAccessToken"), calls);
	records = world_records(&w, why, sizeof(why));
	assert_non_null(records);
	assert_int_equal(records_count(records, "issued"), 7);
	assert_true(json_is_true(json_object_get(records_last(records, "issued"), "cached")));
	assert_int_equal(records_count(records, "failed"), 1); /* Google's trouble stands there, too */
	json_decref(records);
	google_reset(&w);
	clocks(1800 - 190); /* it is tried again */
	assert_int_equal(get(TOKEN), 200);
	assert_true(http_answer_int(&h, "expires_in") > 1700);
}

/* Clients hang up after three seconds, and whoever has a token need not wait so long. */
static void test_P7_a_token_that_ends_soon_waits_for_no_slow_google(void **state) {
	(void)state;
	begin_fading("");
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"latency_ms\": 6000}");
	assert_fading();
	assert_fading();
	do /* the mint goes on, and is found */
		assert_int_equal(get(TOKEN), 200);
	while (http_answer_int(&h, "expires_in") < 1700 && poll(NULL, 0, 50) == 0);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 2);
}

/* Clients that find less than 300 s left ask before each of their calls, and are not to be told that they ask too often. */
static void test_metadata_short_windows_cost_a_local_call_each(void **state) {
	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 1, burst: 8}\n");
	world_daemon(&w);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": \"200s\"}", &s);
	for (int i = 0; i < 12; i++)
		assert_int_equal(get(TOKEN), 200);
	assert_int_equal(google_calls(&w, "generateAccessToken"), 1);
	session_leave(&s);
	session_begin(&w, DEV, &s); /* half an hour: whoever asks again does so by himself */
	for (int i = 0; i < 4; i++)
		get(TOKEN);
	assert_int_equal(h.status, 429);
}

/* A no is a no, however much is left of a token. */
static void test_metadata_keeps_no_token_against_a_refusal(void **state) {
	(void)state;
	begin_fading("upstream: {timeout: 1s}\n");
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 403}");
	assert_int_equal(get(TOKEN), 403);
	assert_int_equal(get(TOKEN), 403); /* not taken for trouble that passes */
	google_reset(&w);
	google_clock(&w, 1800 - 200);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"status\": 503}");
	assert_fading();
	world_policy(&w, "version: 1\n");
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(get(TOKEN), 403);
}

static void test_metadata_waits_for_a_change(void **state) {
	char etag[32], path[200], want[64];
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[512], out[2048];
	FILE *f;
	ssize_t r;
	int fd, n;

	(void)state;
	begin("instance: {zone: zone-1}\n");
	assert_int_equal(get("instance/zone"), 200);
	assert_int_equal(sscanf(strstr(h.text, "ETag: "), "ETag: %31s", etag), 1);
	/* Another etag is a change already; no change until the time is up is the same value again. */
	assert_int_equal(get("instance/zone?wait_for_change=true&last_etag=0"), 200);
	snprintf(path, sizeof(path), "instance/zone?wait_for_change=true&timeout_sec=1&last_etag=%s", etag);
	assert_int_equal(get(path), 200);
	assert_string_equal(h.body, "projects/0/zones/zone-1");
	assert_int_equal(get("instance/zone?wait_for_change=true&timeout_sec=x"), 400);
	assert_int_equal(get("instance/zone?alt=xml"), 400);
	/* One that waits hears of a reload. */
	in.sin_port = htons((uint16_t)s.port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	n = snprintf(text, sizeof(text), "GET /computeMetadata/v1/?recursive=true&wait_for_change=true HTTP/1.1\r\nHost: %s\r\n"
					 "Metadata-Flavor: Google\r\n\r\n", s.host);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	assert_int_equal(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 200), 0);
	snprintf(path, sizeof(path), "%s/hallpassd.yaml", w.dir);
	f = fopen(path, "r+");
	n = (int)fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	*strstr(out, "zone-1") = 'Z';
	rewind(f);
	fwrite(out, 1, (size_t)n, f);
	fclose(f);
	ask(&w, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, 200);
	r = recv(fd, out, sizeof(out) - 1, 0);
	assert_true(r > 0);
	out[r] = '\0';
	snprintf(want, sizeof(want), "projects/0/zones/Zone-1");
	assert_non_null(strstr(out, want));
	close(fd);
	/* And of the broker's end: nobody holds it up. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	n = snprintf(text, sizeof(text), "GET /computeMetadata/v1/instance/id?wait_for_change=true HTTP/1.1\r\nHost: %s\r\n"
					 "Metadata-Flavor: Google\r\n\r\n", s.host);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	assert_int_equal(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 200), 0);
	kill(w.daemon, SIGTERM);
	r = recv(fd, out, sizeof(out) - 1, 0);
	assert_true(r > 0 && !strncmp(out, "HTTP/1.1 200 ", 13));
	close(fd);
}

static void test_metadata_moves_and_misses(void **state) {
	char where[200];

	(void)state;
	begin("");
	assert_int_equal(get("instance"), 301);
	snprintf(where, sizeof(where), "\r\nLocation: http://127.0.0.1:%d/computeMetadata/v1/instance/\r\n", s.port);
	assert_non_null(strstr(h.text, where));
	assert_non_null(strstr(h.text, "Metadata-Flavor: Google"));
	assert_int_equal(get("instance/service-accounts?recursive=true"), 301);
	assert_non_null(strstr(h.text, "/instance/service-accounts/?recursive=true\r\n"));
	assert_int_equal(raw("GET", "/computeMetadata/v1", "Metadata-Flavor: Google\r\n"), 301);
	assert_int_equal(raw("GET", "/computeMetadata", "Metadata-Flavor: Google\r\n"), 301);
	assert_int_equal(raw("GET", "/computeMetadata/", "Metadata-Flavor: Google\r\n"), 200);
	assert_string_equal(h.body, "v1/\n");
	assert_int_equal(raw("GET", "/", ""), 200); /* a ping comes without the field */
	assert_string_equal(h.body, "computeMetadata/\n");
	assert_non_null(strstr(h.text, "Metadata-Flavor: Google"));
	for (size_t i = 0; i < 8; i++) {
		static const char *const missing[] = { "instance/nothing", "instance/zone/", "instance//zone", "instance/%2e%2e/project/project-id",
						       ACCOUNTS "nobody@x.iam.gserviceaccount.com/token", TOKEN "/", "instance/zone%01", "../v1/instance/zone" };

		if (get(missing[i]) != 404)
			fail_msg("%s: %s", missing[i], h.text);
		assert_non_null(strstr(h.text, "Metadata-Flavor: Google"));
	}
	assert_int_equal(get("instance/zone%00"), 400);
	assert_int_equal(raw("GET", "/computeMetadata/v2/instance/", "Metadata-Flavor: Google\r\n"), 404);
	assert_int_equal(raw("GET", "/v1/list", ""), 404);
}

/* Each is refused, and the record shows that nothing was issued. */
static void test_P4_metadata_gives_nothing_to_pages_and_proxies(void **state) {
	static const char *const fields[] = { "Origin: http://evil.test", "Origin: null", "Referer: http://evil.test/", "Sec-Fetch-Site: cross-site",
					      "Sec-Fetch-Mode: no-cors", "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "Via: 1.1 x" };
	static const char *const hosts[] = { "evil.test", "rebind.test:%d", "metadata.google.internal:%d", "metadata:%d", "0.0.0.0:%d", "127.0.0.1",
					     "localhost", "127.0.0.1:1", "[::]:%d", "169.254.169.254:%d" };
	static const char *const fine[] = { "localhost:%d", "LOCALHOST:%d", "[::1]:%d", "metadata.google.internal", "metadata", "169.254.169.254",
					    "metadata.google.internal:80" };
	char headers[300], host[64];
	json_t *records;

	(void)state;
	begin("");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		snprintf(headers, sizeof(headers), "Metadata-Flavor: Google\r\n%s\r\n", fields[i]);
		assert_int_equal(raw("GET", "/computeMetadata/v1/" TOKEN, headers), 403);
		assert_string_equal(http_answer_text(&h, "error.details.0.reason"), "FOREIGN_REQUEST");
		assert_null(strcasestr(h.text, "Access-Control"));
		assert_non_null(strstr(h.text, "\r\nMetadata-Flavor: Google\r\n")); /* as each of the real one's answers */
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		snprintf(host, sizeof(host), hosts[i], s.port);
		snprintf(headers, sizeof(headers), "Host: %s\r\nMetadata-Flavor: Google\r\n", host);
		if (raw("GET", "/computeMetadata/v1/" TOKEN, headers) != 421)
			fail_msg("%s: %s", host, h.text);
	}
	assert_int_equal(raw("GET", "/computeMetadata/v1/" TOKEN, ""), 403);
	assert_non_null(strstr(h.text, "Missing Metadata-Flavor:Google header."));
	assert_int_equal(raw("GET", "/computeMetadata/v1/" TOKEN, "Metadata-Flavor: google\r\n"), 403);
	assert_int_equal(raw("POST", "/computeMetadata/v1/" TOKEN, "Metadata-Flavor: Google\r\n"), 405);
	assert_non_null(strstr(h.text, "Allow: GET, HEAD\r\n"));
	assert_int_equal(raw("OPTIONS", "/computeMetadata/v1/" TOKEN, ""), 405);
	assert_null(strcasestr(h.text, "Access-Control"));
	records = world_records(&w, NULL, 0);
	assert_int_equal(records_count(records, "issued") + records_count(records, "intent"), 0);
	json_decref(records);
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
		snprintf(host, sizeof(host), fine[i], s.port);
		snprintf(headers, sizeof(headers), "Host: %s\r\nMetadata-Flavor: Google\r\n", host);
		if (raw("GET", "/computeMetadata/v1/" ACCOUNTS "default/email", headers) != 200)
			fail_msg("%s: %s", host, h.text);
	}
#pragma GCC diagnostic pop
}

/* One HTTP server for all doors: what is refused elsewhere is refused here, and what HTTP has, works. */
static void test_metadata_speaks_http_by_the_book(void **state) {
	static const struct {
		const char *request; /* HOST is replaced */
		const char *says[3];
	} cases[] = {
		{ "GET http://HOST/computeMetadata/v1/project/project-id HTTP/1.1\r\nHost: other.test\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n",
		  { "HTTP/1.1 200 OK", "\r\n\r\nacme-ml" } },
		{ "GET http://evil.test/computeMetadata/v1/project/project-id HTTP/1.1\r\nHost: HOST\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n",
		  { "HTTP/1.1 421 " } },
		{ "GET /computeMetadata/v1/project/project%2Did HTTP/1.1\r\nhOsT: HOST\r\nmetadata-FLAVOR: Google\r\nConnection: close\r\n\r\n",
		  { "HTTP/1.1 200 OK", "\r\n\r\nacme-ml" } },
		{ "HEAD /computeMetadata/v1/project/project-id HTTP/1.1\r\nHost: HOST\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n",
		  { "HTTP/1.1 200 OK", "Content-Length: 7\r\n" } },
		{ "GET /computeMetadata/v1/project/project-id HTTP/1.0\r\nHost: HOST\r\nMetadata-Flavor: Google\r\n\r\n", { "\r\n\r\nacme-ml" } },
		{ "GET /computeMetadata/v1/project/project-id HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n", { "HTTP/1.1 421 " } },
		{ "GET /computeMetadata/v1/project/project-id HTTP/1.1\r\nHost: HOST\r\nMetadata-Flavor: Google\r\nExpect: 100-continue\r\n"
		  "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n", { "HTTP/1.1 200 OK", "\r\n\r\nacme-ml" } },
		{ "GET /computeMetadata/v1/project/project-id HTTP/1.1\r\nHost: HOST\r\nMetadata-Flavor: Google\r\n\r\n"
		  "GET /computeMetadata/v1/universe/universe-domain HTTP/1.1\r\nHost: HOST\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n",
		  { "acme-mlHTTP/1.1 200 OK", "\r\n\r\ngoogleapis.com" } },
		{ "GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", { "HTTP/1.1 400 ", "two Host fields" } },
		{ "GET /computeMetadata/v1/ HTTP/1.1\r\nHost: HOST\r\nMetadata-Flavor : Google\r\n\r\n", { "HTTP/1.1 400 " } },
		{ "GET / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", { "HTTP/1.1 400 " } },
		{ "GET /\n", { "HTTP/1.1 400 " } },
	};
	char out[8192];

	(void)state;
	begin("");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf text = BUF_INIT(8192);
		const char *from = cases[i].request, *at;

		for (; (at = strstr(from, "HOST")); from = at + 4) {
			buf_add(&text, from, (size_t)(at - from));
			buf_adds(&text, s.host);
		}
		buf_adds(&text, from);
		md_bytes(&s, text.data, out, sizeof(out));
		for (size_t k = 0; k < 3 && cases[i].says[k]; k++)
			if (!strstr(out, cases[i].says[k]))
				fail_msg("%s\n%s", text.data, out);
		if (!strncmp(cases[i].request, "HEAD", 4))
			assert_null(strstr(out, "acme-ml"));
		buf_fini(&text);
	}
}

/* A port that no session has: for whoever `peers:` knows. */
static void test_metadata_on_a_configured_port(void **state) {
	json_t *records;
	int port = free_port();

	(void)state;
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"127.0.0.1:%d\", serviceAccounts: [" SA_DEV ", " SA_LABEL "]}", port);
	world_daemon(&w);
	door_at(port, &s);
	assert_int_equal(get(ACCOUNTS), 200);
	assert_string_equal(h.body, "default/\n" SA_DEV "/\n" SA_LABEL "/\n");
	assert_int_equal(get(TOKEN), 200);
	assert_int_equal(get(ACCOUNTS SA_LABEL "/token"), 403);
	records = records_wait(&w, "issued", 1);
	assert_null(json_object_get(records_last(records, "issued"), "session"));
	assert_int_equal(records_count(records, "opened"), 0);
	json_decref(records);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	world_daemon(&w); /* the port is had again at once */
	assert_int_equal(get(TOKEN), 200);
}

/* The status of a request to s by another account of this machine, and whether a token came. 0: there is no such account. */
static int get_as(const char *name, const char *path, bool *token) {
	const struct passwd *pw = getpwnam(name);
	int status = 0;
	pid_t pid;

	*token = false;
	if (!pw)
		return 0;
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
			_exit(1);
		md(&s, path, &h);
		_exit(h.status / 100 * 16 + h.status % 100 % 8 + (strstr(h.text, "ya29") ? 8 : 0)); /* 403 is 0x43 */
	}
	waitpid(pid, &status, 0);
	status = WEXITSTATUS(status);
	*token = status & 8;
	return status / 16 * 100 + status % 8;
}

/* At a port for all users, too, `peers:` says who is who, by names that are looked up meanwhile; whoever it does not know gets nothing. */
static void test_P4_a_listener_knows_users_and_groups_and_no_strangers(void **state) {
	static const char scopes[] = ACCOUNTS "default/scopes";
	int port = free_port();
	json_t *records;
	bool token;

	(void)state;
	if (geteuid() != 0 || !getpwnam("bin") || !getpwnam("games") || !getpwnam("daemon")) {
		print_message("skipped: speaking as bin, games and daemon needs root, and these accounts\n");
		skip();
	}
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"127.0.0.1:%d\", serviceAccounts: [" SA_DEV "]}", port);
	snprintf(w.config_more, sizeof(w.config_more), "peers:\n  - {user: bin, principal: \"user:by-name@example.com\"}\n"
						       "  - {group: games, principal: \"user:{name}@by-group.example\"}\n");
	world_policy(&w, "version: 1\nbindings:\n"
			 "  - {name: all, members: [\"user:by-name@example.com\", \"user:games@by-group.example\"], serviceAccounts: [" SA_DEV "]}\n");
	world_daemon(&w);
	door_at(port, &s);
	assert_int_equal(get_as("bin", scopes, &token), 200);
	assert_int_equal(get_as("bin", TOKEN, &token), 200);
	assert_true(token);
	assert_int_equal(get_as("games", scopes, &token), 200);
	assert_int_equal(get_as("games", TOKEN, &token), 200);
	assert_true(token);
	assert_int_not_equal(get_as("daemon", TOKEN, &token), 200);
	assert_false(token);
	records = records_wait(&w, "issued", 2);
	assert_int_equal(records_count(records, "issued"), 2);
	assert_string_equal(json_string_value(json_object_get(records_last(records, "issued"), "principal")), "user:games@by-group.example");
	json_decref(records);
}

static void test_metadata_on_ipv6(void **state) {
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	char text[400], out[4096] = "";
	int port = free_port(), fd, n;
	size_t have = 0;
	ssize_t r;

	(void)state;
	if (!port) {
		print_message("skipped: no IPv6 loopback here\n");
		skip();
	}
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"[::1]:%d\", serviceAccounts: [" SA_DEV "]}", port);
	world_daemon(&w);
	in6.sin6_port = htons((uint16_t)port);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in6, sizeof(in6)), 0);
	n = snprintf(text, sizeof(text), "GET /computeMetadata/v1/" TOKEN " HTTP/1.1\r\nHost: [::1]:%d\r\nMetadata-Flavor: Google\r\n"
					 "Connection: close\r\n\r\n", port);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	while ((r = read(fd, out + have, sizeof(out) - 1 - have)) > 0)
		have += (size_t)r;
	close(fd);
	assert_non_null(strstr(out, "HTTP/1.1 200 "));
	assert_non_null(strstr(out, "ya29.standin-"));
}

static void test_metadata_port_that_somebody_has_is_told(void **state) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[4096];
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&in, &len);
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"127.0.0.1:%d\", serviceAccounts: [" SA_DEV "]}", ntohs(in.sin_port));
	assert_int_equal(world_daemon_fails(&w, text, sizeof(text)), 75);
	assert_non_null(strstr(text, "another program has that port"));
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"0.0.0.0:8080\", serviceAccounts: [" SA_DEV "]}");
	assert_int_equal(world_daemon_fails(&w, text, sizeof(text)), 78);
	assert_non_null(strstr(text, "not on loopback"));
	close(fd);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_metadata_answers_to_the_byte),
		SCENARIO(test_metadata_tokens_are_what_clients_parse),
		SCENARIO(test_metadata_identity_with_audience_format_and_licenses),
		SCENARIO(test_metadata_refuses_as_clients_take_it),
		SCENARIO(test_metadata_issues_nothing_for_a_head),
		SCENARIO(test_metadata_says_503_while_google_is_down),
		SCENARIO(test_metadata_identity_trouble_is_no_trouble_of_gclouds),
		SCENARIO(test_metadata_goes_on_when_a_client_hangs_up),
		SCENARIO(test_metadata_serves_no_token_that_is_about_to_expire),
		SCENARIO(test_P7_a_token_that_ends_soon_outlasts_trouble_of_googles),
		SCENARIO(test_P7_a_token_that_ends_soon_waits_for_no_slow_google),
		SCENARIO(test_metadata_short_windows_cost_a_local_call_each),
		SCENARIO(test_metadata_keeps_no_token_against_a_refusal),
		SCENARIO(test_metadata_waits_for_a_change),
		SCENARIO(test_metadata_moves_and_misses),
		SCENARIO(test_P4_metadata_gives_nothing_to_pages_and_proxies),
		SCENARIO(test_metadata_speaks_http_by_the_book),
		SCENARIO(test_metadata_on_a_configured_port),
		SCENARIO(test_P4_a_listener_knows_users_and_groups_and_no_strangers),
		SCENARIO(test_metadata_on_ipv6),
		SCENARIO(test_metadata_port_that_somebody_has_is_told),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
