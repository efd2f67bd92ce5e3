/*
 * P1, clause by clause, by the kernel's own account: strace shows that no byte of a token is sent before the fdatasync of its
 * record returned, and that Google is not asked before the intent's did. The last test sees that the others would notice:
 * under eatmydata no fdatasync is ever made. (With fdatasync compiled out: tests/mutants.sh.)
 * HALLPASS_MINTS: how many tokens (100 by default; the long run has 10000).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tests/lib/session.h"
#include "tests/lib/world.h"

static struct world w;

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	world_end(&w);
	return 0;
}

static void strace_or_skip(const char *what, const char *more) {
	if (system("command -v strace >/dev/null 2>&1 && strace -o /dev/null true 2>/dev/null") != 0) {
		print_message("skipped: strace is not here or may not trace\n");
		skip();
	}
	snprintf(w.wrap, sizeof(w.wrap), "strace -f -qq -s 12000 -o %s/trace -e trace=%s %s", w.dir, what, more);
}

static bool is_sync(const char *line) {
	return strstr(line, "fdatasync") && !strstr(line, "unfinished") && strstr(line, "= 0");
}

/* A token's answer is the only one that must not be stored; the bytes leave at the call's begin. */
static bool is_token_reply(const char *line) {
	return strstr(line, "sendto(") && strstr(line, "HTTP/1.1 200") && strstr(line, "no-store");
}

static bool is_call(const char *line) {
	return strstr(line, ":generateAccessToken HTTP/") || (strstr(line, "sendto(") && strstr(line, "POST /v1/") && strstr(line, ":sign"));
}

/* As strace prints JSON: the request that was answered. "": the reply does not say, in Google's form. */
static void request_id(const char *line, char out[40]) {
	static const char key[] = "\\\"requestId\\\":\\\"";
	const char *at = strstr(line, key);

	*out = '\0';
	if (!at)
		return;
	at += sizeof(key) - 1;
	snprintf(out, 40, "%.*s", (int)strcspn(at, "\\"), at);
}

static size_t count(const char *text, const char *what) {
	size_t n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

/* The frames that went to the disk since the last fdatasync, as strace prints them, and what earlier ones made durable. */
struct written {
	char *text;
	size_t len, size;
	long thread; /* that writes them: only its own fdatasync counts */
	int intents, issuances; /* durable */
	char issued[40]; /* the request of the last durable issuance */
};

/* Pages are written whole: the new frame is the last in them. */
static const char *new_frame(const char *line) {
	static const char magic[] = "\\377HPF";
	const char *at = strstr(line, "pwritev(") ? strstr(line, magic) : NULL;

	for (const char *next = at; next; next = strstr(at + 1, magic))
		at = next;
	return at;
}

static void written_add(struct written *all, const char *line) {
	const char *frame = new_frame(line);
	size_t n = strlen(frame);

	if (all->len + n + 1 > all->size)
		all->text = realloc(all->text, all->size = 2 * all->size + n + 1);
	assert_non_null(all->text);
	memcpy(all->text + all->len, frame, n + 1);
	all->len += n;
	all->thread = atol(line);
}

static void written_sync(struct written *all) {
	static const char issued[] = "\\\"type\\\":\\\"issued\\\"", request[] = "\\\"request\\\":\\\"";
	const char *at;

	if (!all->len)
		return;
	all->intents += (int)count(all->text, "\\\"type\\\":\\\"intent\\\"");
	all->issuances += (int)count(all->text, issued);
	at = strstr(all->text, issued);
	at = at ? strstr(at, request) : NULL;
	if (at) {
		at += sizeof(request) - 1;
		snprintf(all->issued, sizeof(all->issued), "%.*s", (int)strcspn(at, "\\"), at);
	}
	all->len = 0;
}

struct order {
	int replies, calls;
	int early_replies, early_calls; /* before their outcome, their intent was durable */
};

/* One client, one request after the other: the last issuance on the disk is the one that is answered, and each call has an intent. */
static struct order read_trace(void) {
	struct written written = { 0 };
	struct order o = { 0 };
	static char line[1 << 16];
	char path[200], id[40];
	FILE *f;

	snprintf(path, sizeof(path), "%s/trace", w.dir);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (new_frame(line))
			written_add(&written, line);
		else if (is_sync(line) && atol(line) == written.thread)
			written_sync(&written);
		else if (is_call(line))
			o.early_calls += ++o.calls > written.intents;
		else if (is_token_reply(line)) {
			request_id(line, id);
			o.replies++;
			o.early_replies += *id ? strcmp(id, written.issued) != 0 : o.replies > written.issuances;
		}
	}
	fclose(f);
	free(written.text);
	return o;
}

#define N_SCOPES 15

/* Any subset of so many scopes is a token of its own: nothing comes from the cache unless it is asked for twice. */
static void many_scopes(void) {
	char policy[2048];
	size_t n = 0;

	n += (size_t)snprintf(policy, sizeof(policy),
			      "version: 1\nbindings:\n  - name: dev\n    members: [\"" ME "\"]\n    serviceAccounts: [" SA_DEV "]\n    scopes:\n");
	for (int i = 0; i < N_SCOPES; i++)
		n += (size_t)snprintf(policy + n, sizeof(policy) - n, "      - https://www.googleapis.com/auth/s%d\n", i);
	world_policy(&w, policy);
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 10000000, burst: 10000000}\n");
}

static void ask_for_subset(unsigned subset) {
	char more[1024] = ", \"scopes\": [";
	struct answer a;

	for (int i = 0; i < N_SCOPES; i++)
		if (subset & 1u << i)
			snprintf(more + strlen(more), sizeof(more) - strlen(more), "%s\"https://www.googleapis.com/auth/s%d\"",
				 more[strlen(more) - 1] == '[' ? "" : ", ", i);
	strcat(more, "]");
	ask_token(&w, SA_DEV, more, &a);
	if (a.status != 200)
		fail_msg("%s", a.text);
	answer_fini(&a);
}

static struct order order_of(int mints, const char *more) {
	struct order o;

	strace_or_skip("fdatasync,pwritev,sendto,write,writev,sendmsg", more);
	many_scopes();
	world_daemon(&w);
	for (int i = 1; i <= mints; i++) {
		ask_for_subset((unsigned)i);
		if (i % 4 == 0)
			ask_for_subset((unsigned)i); /* from the cache: one record, no call */
	}
	world_stop(&w, SIGTERM);
	o = read_trace();
	print_message("%d calls, %d before their intent was durable; %d tokens sent, %d before their record was durable\n", o.calls,
		      o.early_calls, o.replies, o.early_replies);
	assert_int_equal(o.calls, mints);
	assert_int_equal(o.replies, mints + mints / 4);
	return o;
}

static int n_mints(void) {
	const char *env = getenv("HALLPASS_MINTS");

	return env ? atoi(env) : 100;
}

static void test_P1_each_token_and_each_call_waits_for_the_fdatasync_of_its_record(void **state) {
	struct order o;

	(void)state;
	o = order_of(n_mints(), "");
	assert_int_equal(o.early_calls, 0);
	assert_int_equal(o.early_replies, 0);
}

/* The same of what is signed, through a session's port: half of them blobs, half of them JWTs. */
static struct order order_of_signatures(int n, const char *more) {
	static struct session_of_test s;
	struct http_answer h;
	struct order o;
	char path[200], headers[300];

	strace_or_skip("fdatasync,pwritev,sendto,write,writev,sendmsg", more);
	world_policy(&w, "version: 1\nbindings:\n  - {name: sign, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], permissions: [signBlob, signJwt]}\n");
	world_daemon(&w);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\"}", &s);
	snprintf(headers, sizeof(headers), "Host: %s\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n", s.host, s.handle);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/v1/projects/-/serviceAccounts/" SA_DEV ":%s", i % 2 ? "signBlob" : "signJwt");
		http_ask(s.url, "POST", path, headers, i % 2 ? "{\"payload\":\"AAAA\"}" : "{\"payload\":\"{}\"}", &h);
		if (h.status != 200)
			fail_msg("%s", h.text);
		http_answer_fini(&h);
	}
	session_leave(&s);
	world_stop(&w, SIGTERM);
	o = read_trace();
	print_message("%d calls, %d before their intent was durable; %d signatures sent, %d before their record was durable\n", o.calls, o.early_calls,
		      o.replies, o.early_replies);
	assert_int_equal(o.calls, n);
	assert_int_equal(o.replies, n);
	return o;
}

static void test_P1_each_signature_and_its_call_waits_for_the_fdatasync_of_its_record(void **state) {
	struct order o;

	(void)state;
	o = order_of_signatures(40, "");
	assert_int_equal(o.early_calls, 0);
	assert_int_equal(o.early_replies, 0);
}

static void test_order_notices_that_nothing_is_synced(void **state) {
	struct order o;

	(void)state;
	if (system("command -v eatmydata >/dev/null 2>&1") != 0) {
		print_message("skipped: eatmydata is not here\n");
		skip();
	}
	o = order_of(20, "eatmydata");
	assert_int_equal(o.early_calls, o.calls);
	assert_int_equal(o.early_replies, o.replies);
	o = order_of_signatures(10, "eatmydata");
	assert_int_equal(o.early_calls, o.calls);
	assert_int_equal(o.early_replies, o.replies);
}

#define MAX_ASKED 20000

/*
 * The disk fails for a moment: what was not durable was not handed out, and the broker goes on in a new segment by itself.
 * How many are refused meanwhile is a matter of how fast a segment is made; that they end is not.
 */
static void test_P1_a_failing_fdatasync_releases_nothing(void **state) {
	int good = 0, refused = 0, others = 0;
	json_t *records;
	char hashes[64][65];

	(void)state;
	strace_or_skip("fdatasync", "");
	snprintf(w.wrap, sizeof(w.wrap), "strace -f -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:error=EIO:when=8..9");
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 10000000, burst: 10000000}\n");
	world_daemon(&w);
	/* Calls 8 and 9 are long past after 200 answers: who was never refused then never will be. */
	for (int after = 0; after < 20 && good + refused + others < (refused ? MAX_ASKED : 200); after += refused > 0) {
		struct answer a;

		ask_token(&w, SA_DEV, "", &a);
		if (a.status == 200)
			text_sha256(answer_text(&a, "accessToken"), hashes[good++ % 64]);
		else if (a.status == 503)
			refused++, after = 0, nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
		else
			others++;
		answer_fini(&a);
	}
	print_message("%d issued, %d refused with 503\n", good, refused);
	assert_int_equal(others, 0);
	assert_true(refused > 0);
	assert_true(good >= 20);
	world_stop(&w, SIGKILL);
	w.wrap[0] = '\0';
	world_daemon(&w);
	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_non_null(records);
	assert_true((int)records_count(records, "issued") >= good);
	for (int i = 0; i < good && i < 64; i++)
		assert_true(records_have_token(records, hashes[i]));
	json_decref(records);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_P1_each_token_and_each_call_waits_for_the_fdatasync_of_its_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P1_each_signature_and_its_call_waits_for_the_fdatasync_of_its_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order_notices_that_nothing_is_synced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P1_a_failing_fdatasync_releases_nothing, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
