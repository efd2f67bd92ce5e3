/*
 * P1, clause by clause, by the kernel's own account: strace shows that no byte of a token is sent before the fdatasync of its
 * record returned, and that Google is not asked before the intent's did. HALLPASS_ORDER_WRAP names words to put before
 * hallpassd; with `eatmydata`, or with fdatasync compiled out, these tests must fail (tests/mutants.sh sees to that).
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
#include "tests/lib/world.h"

#define ROUNDS 40

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

static void strace_or_skip(const char *what) {
	const char *more = getenv("HALLPASS_ORDER_WRAP");

	if (system("command -v strace >/dev/null 2>&1 && strace -o /dev/null true 2>/dev/null") != 0) {
		print_message("skipped: strace is not here or may not trace\n");
		skip();
	}
	snprintf(w.wrap, sizeof(w.wrap), "strace -f -qq -s 4000 -o %s/trace -e trace=%s %s", w.dir, what, more ? more : "");
}

static FILE *trace_open(void) {
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/trace", w.dir);
	f = fopen(path, "r");
	assert_non_null(f);
	return f;
}

static bool is_sync(const char *line) {
	return strstr(line, "fdatasync") && !strstr(line, "unfinished") && strstr(line, "= 0");
}

/* A token's answer is the only one that must not be stored; the bytes leave at the call's begin. */
static bool is_token_reply(const char *line) {
	return strstr(line, "sendto(") && strstr(line, "HTTP/1.1 200") && strstr(line, "no-store");
}

/* As strace prints JSON: the request that was answered. */
static void request_id(const char *line, char out[40]) {
	static const char key[] = "\\\"requestId\\\":\\\"";
	const char *at = strstr(line, key);

	assert_non_null(at);
	at += sizeof(key) - 1;
	snprintf(out, 40, "%.*s", (int)strcspn(at, "\\"), at);
}

/* Frames that went to the disk, as strace prints them, and how much of that an fdatasync has made durable. */
struct written {
	char *text;
	size_t len, durable, size;
	long thread; /* that writes them: only its own fdatasync counts */
};

static void written_add(struct written *all, const char *line) {
	size_t n = strlen(line);

	if (all->len + n + 1 > all->size)
		all->text = realloc(all->text, all->size = 2 * all->size + n + 1);
	assert_non_null(all->text);
	memcpy(all->text + all->len, line, n + 1);
	all->len += n;
	all->thread = atol(line);
}

/* Whether the issuance that this request was answered with is durable. */
static bool written_durably(const struct written *all, const char *id) {
	char issued[] = "\\\"type\\\":\\\"issued\\\"", request[80];

	snprintf(request, sizeof(request), "\\\"request\\\":\\\"%s\\\"", id);
	for (const char *at = all->text; at && (at = strstr(at, issued)) && at < all->text + all->durable; at++) {
		const char *next = strstr(at + 1, "\\\"type\\\":"), *ours = strstr(at, request);

		if (ours && (!next || ours < next))
			return true;
	}
	return false;
}

static void test_P1_each_token_is_sent_after_the_fdatasync_of_its_record(void **state) {
	struct written written = { 0 };
	int replies = 0, inversions = 0;
	static char line[1 << 16];
	char id[40];
	FILE *f;

	(void)state;
	strace_or_skip("fdatasync,pwritev,sendto");
	world_daemon(&w);
	for (int i = 0; i < ROUNDS; i++) {
		struct answer a;

		ask_token(&w, SA_DEV, i % 2 ? "" : ", \"lifetime\": 700", &a); /* the first two are minted, the rest cached */
		assert_int_equal(a.status, 200);
		answer_fini(&a);
	}
	world_stop(&w, SIGTERM);
	f = trace_open();
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "pwritev(") && strstr(line, "HPF"))
			written_add(&written, line);
		else if (is_sync(line) && atol(line) == written.thread)
			written.durable = written.len;
		if (!is_token_reply(line))
			continue;
		request_id(line, id);
		replies++;
		inversions += !written_durably(&written, id);
	}
	fclose(f);
	free(written.text);
	print_message("%d tokens sent, %d before their record was durable\n", replies, inversions);
	assert_int_equal(replies, ROUNDS);
	assert_int_equal(inversions, 0);
}

static void test_P1_google_is_asked_after_the_fdatasync_of_the_intent(void **state) {
	int calls = 0, syncs = 0, early = 0;
	char line[4096];
	FILE *f;

	(void)state;
	strace_or_skip("fdatasync,sendto,write,writev,sendmsg");
	world_daemon(&w);
	for (int i = 0; i < 10; i++) {
		struct answer a;
		char more[64];

		snprintf(more, sizeof(more), ", \"lifetime\": %d", 1200 - 60 * i);
		ask_token(&w, SA_DEV, more, &a);
		assert_int_equal(a.status, 200);
		answer_fini(&a);
	}
	world_stop(&w, SIGTERM);
	f = trace_open();
	while (fgets(line, sizeof(line), f)) {
		syncs += is_sync(line);
		if (is_token_reply(line))
			syncs = 0;
		if (!strstr(line, ":generateAccessToken HTTP/"))
			continue;
		calls++;
		early += syncs == 0;
	}
	fclose(f);
	print_message("%d calls, %d before their intent was durable\n", calls, early);
	assert_int_equal(calls, 10);
	assert_int_equal(early, 0);
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
	strace_or_skip("fdatasync");
	snprintf(w.wrap, sizeof(w.wrap), "strace -f -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:error=EIO:when=8..9");
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 10000000, burst: 10000000}\n");
	world_daemon(&w);
	/* Calls 8 and 9 are long past after 200 answers: who was never refused then never will be. */
	for (int after = 0; after < 20 && good + refused + others < (refused ? MAX_ASKED : 200); after += refused > 0) {
		struct answer a;

		ask_token(&w, SA_DEV, "", &a);
		if (a.status == 200)
			sha256_hex(answer_text(&a, "accessToken"), hashes[good++ % 64]);
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
		cmocka_unit_test_setup_teardown(test_P1_each_token_is_sent_after_the_fdatasync_of_its_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P1_google_is_asked_after_the_fdatasync_of_the_intent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P1_a_failing_fdatasync_releases_nothing, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
