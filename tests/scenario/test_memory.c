/*
 * P1 where memory runs out: each allocation on the way of a request fails in turn, and then all from there on. The broker lives, what it
 * sends without memory is an error, and no token that a client received is missing from the record.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/failalloc/failalloc.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

#define MAX_FAULTS 5000 /* more than any request allocates */
#define MAX_TOKENS 20000
#define PATIENCE_S 20 /* the call's timeout is one */

static struct world w;
static struct failalloc *aim;
static char (*hashes)[65];
static size_t n_hashes;

static int setup(void **state) {
	(void)state;
	n_hashes = 0;
	hashes = calloc(MAX_TOKENS, sizeof(*hashes));
	/* A socket that the loop has no room for ends its call by the timeout. */
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 10000000, burst: 10000000}\nupstream: {timeout: 1s}\n");
	world_start(&w);
	/* The pattern is the request's, so that each of them compiles one. */
	world_policy(&w, "version: 1\nbindings:\n  - name: dev\n    members: [\"" ME "\"]\n    serviceAccounts: [" SA_DEV "]\n    maxLifetime: 30m\n"
			 "    condition: {expression: 'request.justification.matches(\"^\" + request.justification)'}\n");
	return hashes ? 0 : -1;
}

static int teardown(void **state) {
	(void)state;
	free(hashes);
	if (aim)
		munmap(aim, sizeof(*aim));
	aim = NULL;
	world_end(&w);
	return 0;
}

static void again(void) {
	const char *build = getenv("HALLPASS_BUILD");
	char shim[256], path[160];

	snprintf(path, sizeof(path), "%s/failalloc", w.dir);
	snprintf(shim, sizeof(shim), "%s/failalloc.so", build ? build : "build");
	setenv("FAILALLOC_FILE", path, 1);
	setenv("LD_PRELOAD", shim, 1);
	world_daemon(&w);
	unsetenv("LD_PRELOAD");
	unsetenv("FAILALLOC_FILE");
}

/* A daemon whose memory can be made to run out. */
static void begin(void) {
	char path[160];
	int fd;

	if (SANITIZED) {
		print_message("skipped: AddressSanitizer has an allocator of its own\n");
		skip();
	}
	snprintf(path, sizeof(path), "%s/failalloc", w.dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof(*aim)), 0);
	aim = mmap(NULL, sizeof(*aim), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(aim, MAP_FAILED);
	close(fd);
	again();
}

/* Fails `width` allocations from the n-th on, counted from here. */
static void fail_from(int n, int width) {
	atomic_store(&aim->on, false);
	atomic_store(&aim->left, n - 1);
	atomic_store(&aim->width, width);
	atomic_store(&aim->failed, 0);
	atomic_store(&aim->on, true);
}

/* How many have failed. */
static int64_t heal(void) {
	atomic_store(&aim->on, false);
	return atomic_load(&aim->failed);
}

/* A token that no cached one fits. */
static void mint(struct answer *a) {
	static unsigned turn;
	char more[120];

	snprintf(more, sizeof(more), ", \"lifetime\": %u, \"justification\": \"INC-%u\"", 1790 - turn * 7 % 1700, turn);
	turn++;
	ask_token(&w, SA_DEV, more, a);
	if (a->status == 200 && n_hashes < MAX_TOKENS)
		text_sha256(answer_text(a, "accessToken"), hashes[n_hashes++]);
}

static void assert_alive(int n) {
	int status;

	if (waitpid(w.daemon, &status, WNOHANG) != w.daemon)
		return;
	w.daemon = 0;
	world_log_tail(&w);
	fail_msg("it ended with status 0x%x when allocation %d failed", status, n);
}

static void assert_all_recorded(void) {
	char why[512];
	json_t *records = world_records(&w, why, sizeof(why));

	if (!records)
		fail_msg("the record cannot be read: %s", why);
	for (size_t i = 0; i < n_hashes; i++)
		if (!records_have_token(records, hashes[i]))
			fail_msg("token %zu of %zu was handed out and is not in the record", i, n_hashes);
	json_decref(records);
}

/* In turn, until a request needs no more of them. */
static void each_allocation_fails(int width) {
	struct answer a;
	int n, unharmed = 0, refused = 0, cut = 0;
	int64_t began;

	for (n = 1; n < MAX_FAULTS && unharmed < 5; n++) {
		began = now_s();
		fail_from(n, width);
		mint(&a);
		assert_in_range(now_s() - began, 0, PATIENCE_S); /* nobody waits for ever */
		unharmed = heal() ? 0 : unharmed + 1;
		assert_alive(n);
		if (a.status != 200)
			assert_null(strstr(a.text, "ya29."));
		refused += a.status >= 400;
		cut += !a.text[0];
		answer_fini(&a);
		mint(&a); /* and all is well again */
		assert_alive(n);
		if (a.status != 200) {
			world_log_tail(&w);
			fail_msg("after allocation %d failed: %d %s", n, a.status, a.text);
		}
		answer_fini(&a);
	}
	assert_int_equal(unharmed, 5);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	print_message("%d allocations, %d in turn failed: %d requests refused, %d cut off, %zu tokens received, none missing\n", n - 6, width,
		      refused, cut, n_hashes);
}

static void test_P1_no_token_is_lost_whichever_allocation_fails(void **state) {
	(void)state;
	begin();
	each_allocation_fails(1);
	assert_all_recorded();
}

static void test_P1_no_token_is_lost_when_memory_runs_out(void **state) {
	(void)state;
	begin();
	each_allocation_fails(1000000);
	assert_all_recorded();
}

/* Memory that a later request would find again is made by the first. */
static void test_P1_the_first_request_lives_without_memory(void **state) {
	struct answer a;
	int refused = 0, cut = 0;

	(void)state;
	begin();
	for (int n = 1; n <= 50; n++) {
		fail_from(n, 1);
		mint(&a);
		heal();
		assert_alive(n);
		refused += a.status == 503;
		cut += !a.text[0];
		answer_fini(&a);
		assert_int_equal(world_stop(&w, SIGTERM), 0);
		again();
	}
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_true(refused >= 1);
	assert_all_recorded();
	print_message("%d refused, %d cut off\n", refused, cut);
}

/* What others' protocols take on the way: exchanges, the metadata tree. */
static void test_P1_a_port_lives_without_memory(void **state) {
	static const char *const paths[] = { "instance/service-accounts/default/token", "instance/service-accounts/default/?recursive=true",
					     "instance/service-accounts/default/scopes" };
	struct session_of_test s;
	struct http_answer h;
	const char *token;
	int64_t began;
	int harmed = 0;

	(void)state;
	world_policy(&w, POLICY_DEV);
	begin();
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\"}", &s);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		for (int n = 1, unharmed = 0; n < MAX_FAULTS && unharmed < 5; n++) {
			began = now_s();
			fail_from(n, 1);
			md(&s, paths[i], &h);
			assert_in_range(now_s() - began, 0, PATIENCE_S);
			unharmed = heal() ? 0 : unharmed + 1;
			harmed += h.status != 200;
			assert_alive(n);
			token = http_answer_text(&h, "access_token");
			if (h.status == 200 && *token)
				text_sha256(token, hashes[n_hashes++]);
			else
				assert_null(strstr(h.text, "ya29."));
			http_answer_fini(&h);
		}
		md(&s, paths[i], &h); /* and all is well again */
		assert_int_equal(h.status, 200);
		http_answer_fini(&h);
	}
	session_leave(&s);
	assert_int_equal(world_stop(&w, SIGTERM), 0);
	assert_all_recorded();
	assert_true(harmed > 0 && n_hashes > 0);
	print_message("%d requests harmed, %zu tokens received, none missing\n", harmed, n_hashes);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_P1_no_token_is_lost_whichever_allocation_fails),
		SCENARIO(test_P1_no_token_is_lost_when_memory_runs_out),
		SCENARIO(test_P1_the_first_request_lives_without_memory),
		SCENARIO(test_P1_a_port_lives_without_memory),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
