/*
 * What holds at every port, whoever listens there: one HTTP server is behind a session's, the configuration's of either family and a
 * relay's, and it is as strict for each surface as it is on the broker's own socket (test_front.c).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/broker/http_corpus.h"
#include "tests/lib/session.h"

#define PATIENCE_MS 30000
#define LEAF "/computeMetadata/v1/instance/service-accounts/default/email"
#define IAM "/v1/projects/-/serviceAccounts/" SA_DEV ":generateAccessToken"
#define FORM                                                                                                           \
	"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&audience=%2F%2Fhallpass.invalid%2Flocal&"  \
	"subject_token_type=urn:ietf:params:oauth:token-type:jwt&subject_token="
#define SCOPE "{\"scope\": [\"https://www.googleapis.com/auth/cloud-platform\"]}"

static struct world w;
static struct session_of_test s;
static struct running relay;
static char out[65536], handle[80];

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	place_end(&s, &relay);
	return world_end_well(&w);
}

/* A relay's handle is its own affair: there token exchange and IAM Credentials answer with their refusals, in the same order. */
static void begin(enum place place) {
	if (!place_begin(&w, place, &s, &relay)) {
		print_message("skipped: no IPv6 loopback here\n");
		skip();
	}
	snprintf(handle, sizeof(handle), "%s", s.handle[0] ? s.handle : "any");
}

/* --- what is malformed */

static void refuses_the_corpus(enum place place) {
	begin(place);
	for (size_t i = 0; i < ARRAY_SIZE(http_corpus); i++) {
		struct buf text = BUF_INIT(1 << 16);
		char status[16];

		buf_add(&text, http_corpus[i].bytes.p, http_corpus[i].bytes.n);
		buf_addf(&text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", s.host);
		md_str(&s, (struct str){ text.data, text.len }, out, sizeof(out));
		buf_fini(&text);
		snprintf(status, sizeof(status), "HTTP/1.1 %d ", http_corpus[i].status);
		if (strncmp(out, status, strlen(status)) || strstr(out, "HTTP/1.1 200 "))
			fail_msg("request %zu: not %d and the end, but %s", i, http_corpus[i].status, out);
	}
	md_bytes(&s, "GET / HTTP/1.0\r\nHost: nobody\r\n\r\n", out, sizeof(out));
	assert_non_null(strstr(out, "HTTP/1.1 421 "));
}

/* --- what is in order */

/* HOST, HANDLE, FORM and LENGTH (of FORM) are replaced. */
static void fill(struct buf *text, const char *from) {
	char length[24], form[600];
	const struct {
		const char *name, *value;
	} words[] = { { "HOST", s.host }, { "HANDLE", handle }, { "FORM", form }, { "LENGTH", length } };

	snprintf(form, sizeof(form), "%s%s", FORM, handle);
	snprintf(length, sizeof(length), "%zu", strlen(form));
	while (*from) {
		size_t i = 0;

		while (i < ARRAY_SIZE(words) && strncmp(from, words[i].name, strlen(words[i].name)) != 0)
			i++;
		if (i < ARRAY_SIZE(words))
			buf_adds(text, words[i].value);
		else
			buf_addc(text, *from);
		from += i < ARRAY_SIZE(words) ? strlen(words[i].name) : 1;
	}
}

/* One connection, everything at once: a form, a leaf, its head alone, a chunked body, a path that is none, absolute-form; in this order back. */
static void answers_in_order(enum place place) {
	static const char requests[] =
		"POST /v1/token HTTP/1.1\r\nhOST: HOST\r\ncontent-TYPE: application/x-www-form-urlencoded\r\ncONTENT-lENGTH: LENGTH\r\n\r\nFORM"
		"GET " LEAF " HTTP/1.1\r\nHost: HOST\r\nMETADATA-flavor: Google\r\n\r\n"
		"HEAD " LEAF " HTTP/1.1\r\nHost: HOST\r\nMetadata-Flavor: Google\r\n\r\n"
		"POST " IAM "?alt=json HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer HANDLE\r\nContent-Type: application/json\r\n"
		"Transfer-Encoding: Chunked\r\n\r\n3d\r\n" SCOPE "\r\n0\r\n\r\n"
		"GET /v1/none HTTP/1.1\r\nHost: HOST\r\n\r\n"
		"GET http://HOST/computeMetadata/v1/project/project%2Did HTTP/1.1\r\nHost: other.test\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n";
	const char *const given[] = { "\"issued_token_type\"", "\r\n\r\n" SA_DEV "HTTP/1.1 200 OK\r\n", "\"accessToken\"", "no such path: /v1/none",
				      "\r\n\r\nacme-ml" };
	const char *const refused[] = { "invalid_grant", "\r\n\r\n" SA_DEV "HTTP/1.1 200 OK\r\n", "BAD_CREDENTIAL", "no such path: /v1/none",
					"\r\n\r\nacme-ml" };
	const char *const *expected = place == PLACE_RELAY ? refused : given, *at = out;
	struct buf text = BUF_INIT(1 << 16);

	begin(place);
	fill(&text, requests);
	md_str(&s, (struct str){ text.data, text.len }, out, sizeof(out));
	buf_fini(&text);
	assert_int_equal(occurrences(out, "HTTP/1.1 "), 6);
	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		at = strstr(at, expected[i]);
		if (!at)
			fail_msg("no %s, or not in its place:\n%s", expected[i], out);
	}
}

static void hear_until(int fd, const char *what) {
	size_t n = 0;

	for (out[0] = '\0'; !strstr(out, what);) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t r = poll(&p, 1, PATIENCE_MS) > 0 ? read(fd, out + n, sizeof(out) - 1 - n) : -1;

		if (r <= 0)
			fail_msg("no %s, but %s", what, out);
		n += (size_t)r;
		out[n] = '\0';
	}
}

static void say(int fd, const char *from) {
	struct buf text = BUF_INIT(1 << 16);

	fill(&text, from);
	assert_int_equal(send(fd, text.data, text.len, MSG_NOSIGNAL), text.len);
	buf_fini(&text);
}

/* Who waits for a word before sending the body gets it, then the answer; the connection goes on. */
static void says_continue(enum place place) {
	int fd;

	begin(place);
	fd = md_dial(&s);
	for (int i = 0; i < 2; i++) {
		say(fd, "POST /v1/token HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/x-www-form-urlencoded\r\nExpect: 100-Continue\r\n"
			"Content-Length: LENGTH\r\n\r\n");
		hear_until(fd, "\r\n\r\n");
		assert_string_equal(out, "HTTP/1.1 100 Continue\r\n\r\n");
		say(fd, "FORM");
		hear_until(fd, place == PLACE_RELAY ? "invalid_grant" : "\"issued_token_type\"");
		assert_true(!strncmp(out, place == PLACE_RELAY ? "HTTP/1.1 400 " : "HTTP/1.1 200 ", 13));
	}
	close(fd);
}

/* Each surface by another spelling of its path; what means something else is something else. */
static void takes_paths_in_each_spelling(enum place place) {
	static const struct {
		const char *path;
		int status; /* of a GET */
		const char *says;
	} cases[] = {
		{ "/computeMetadata/v1/instance/service%2Daccounts/default/email", 200, SA_DEV },
		{ "/%63omputeMetadat%61/%761/instance/service%2daccounts/d%65fault/email", 200, SA_DEV },
		{ "/%76%31/%74oken", 405, "by POST" },
		{ "/v1/%70rojects/-/service%41ccounts/" SA_DEV ":generateAccess%54oken", 405, "takes POST" },
		{ "/v1/projects/%2D/serviceAccounts/ml-training-dev-sa%40acme-ml.iam.gserviceaccount.com%3AgenerateAccessToken", 405, "takes POST" },
		{ "/computeMetadata/v1%2Finstance/service-accounts/default/email", 404, "" },
		{ "/computeMetadata%2Fv1/instance/service-accounts/default/email", 404, "" },
		{ "/v1%2Ftoken", 404, "" },
		{ "/v1/tok%2565n", 404, "" }, /* not twice */
		{ "/computeMetadata/v1/instance/service%252Daccounts/default/email", 404, "" },
		{ "/x/%2e%2e/v1/token", 404, "" },
		{ "/computeMetadata/v1/project/%2E%2e/instance/zone", 404, "" },
		{ "/computeMetadata/v1/instance/service-accounts/default%00/email", 400, "" },
		{ "/v1/token%00", 400, "" },
		{ "/v1/token%", 400, "" },
		{ "/v1/token%2", 400, "" },
		{ "/v1/token%2g", 400, "" },
	};

	begin(place);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char bytes[1024], status[16];

		snprintf(bytes, sizeof(bytes), "GET %s HTTP/1.1\r\nHost: %s\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n", cases[i].path, s.host);
		snprintf(status, sizeof(status), "HTTP/1.1 %d ", cases[i].status);
		md_bytes(&s, bytes, out, sizeof(out));
		if (strncmp(out, status, strlen(status)) || !strstr(out, cases[i].says))
			fail_msg("%s: %s", cases[i].path, out);
	}
}

#define AT(what, place, number)                                                                                        \
	static void test_ports_##what##_at_a_##place(void **state) {                                                   \
		(void)state;                                                                                           \
		what(number);                                                                                          \
	}
#define AT_EACH(what)                                                                                                  \
	AT(what, session, PLACE_SESSION)                                                                               \
	AT(what, listener, PLACE_LISTENER)                                                                             \
	AT(what, listener6, PLACE_LISTENER6)                                                                           \
	AT(what, relay, PLACE_RELAY)

AT_EACH(refuses_the_corpus)
AT_EACH(answers_in_order)
AT_EACH(says_continue)
AT_EACH(takes_paths_in_each_spelling)

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define SCENARIOS(what)                                                                                                \
	SCENARIO(test_ports_##what##_at_a_session), SCENARIO(test_ports_##what##_at_a_listener),                       \
		SCENARIO(test_ports_##what##_at_a_listener6), SCENARIO(test_ports_##what##_at_a_relay)

int main(void) {
	const struct CMUnitTest tests[] = { SCENARIOS(refuses_the_corpus), SCENARIOS(answers_in_order), SCENARIOS(says_continue),
					      SCENARIOS(takes_paths_in_each_spelling) };

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
