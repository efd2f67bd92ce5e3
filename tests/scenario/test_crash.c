/*
 * Crashes: kill -9 at random moments under load, and at each file syscall of the writer. No token that a client received may
 * be missing from the record, and the next start must come up by itself.
 * HALLPASS_KILLS: how many random kills (20 by default; the long run has 200).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tests/lib/world.h"

#define CLIENTS 4
#define MAX_RECEIVED 200000
#define ISSUE_KEY 110 /* "REQUEST SHA256": a token from the cache was handed out before, so its hash alone proves nothing */

static struct world w;
static struct {
	pthread_mutex_t lock;
	char (*keys)[ISSUE_KEY];
	size_t n;
	volatile bool stop;
} got = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int setup(void **state) {
	(void)state;
	got.keys = calloc(MAX_RECEIVED, sizeof(*got.keys));
	got.n = 0;
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 10000000, burst: 10000000}\n");
	world_start(&w);
	return got.keys ? 0 : -1;
}

static int teardown(void **state) {
	(void)state;
	free(got.keys);
	world_end(&w);
	return 0;
}

/* The lock is held. */
static void remember(const struct answer *a) {
	char sha256[65];

	if (got.n == MAX_RECEIVED)
		return;
	sha256_hex(answer_text(a, "accessToken"), sha256);
	snprintf(got.keys[got.n++], ISSUE_KEY, "%.40s %s", answer_text(a, "requestId"), sha256);
}

/* Asks for a shorter life each time, so that some are minted and some come from the cache; remembers every token it saw. */
static void *client(void *arg) {
	unsigned turn = (unsigned)(uintptr_t)arg * 7919;

	while (!got.stop) {
		struct answer a;
		char more[64];

		snprintf(more, sizeof(more), ", \"lifetime\": %u", 1560 - turn++ % 1500);
		ask_token(&w, SA_DEV, more, &a);
		if (a.status == 200 && *answer_text(&a, "accessToken")) {
			pthread_mutex_lock(&got.lock);
			remember(&a);
			pthread_mutex_unlock(&got.lock);
		}
		answer_fini(&a);
	}
	return NULL;
}

/* Every issuance on record, as a set of keys. */
static json_t *issued_keys(void) {
	char why[512], key[ISSUE_KEY];
	json_t *records = world_records(&w, why, sizeof(why)), *set = json_object();

	if (!records)
		fail_msg("the record cannot be read: %s", why);
	for (size_t i = 0; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		const char *request = json_string_value(json_object_get(r, "request"));
		const char *token = json_string_value(json_object_get(r, "token"));

		if (!request || !token)
			continue;
		snprintf(key, sizeof(key), "%.40s %s", request, token);
		json_object_set_new(set, key, json_true());
	}
	json_decref(records);
	return set;
}

/* Everything handed out since `from` stands in the record. */
static void assert_all_recorded(size_t from) {
	json_t *issued = issued_keys();

	for (size_t i = from; i < got.n; i++)
		if (!json_object_get(issued, got.keys[i]))
			fail_msg("%s (request, token) was handed out and is not in the record", got.keys[i]);
	json_decref(issued);
}

static void run_and_kill(int kill_after_us) {
	pthread_t threads[CLIENTS];
	size_t from = got.n;

	world_daemon(&w);
	got.stop = false;
	for (uintptr_t i = 0; i < CLIENTS; i++)
		pthread_create(&threads[i], NULL, client, (void *)(i + 1));
	nanosleep(&(struct timespec){ 0, kill_after_us * 1000L }, NULL);
	world_stop(&w, SIGKILL);
	got.stop = true;
	for (size_t i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	assert_all_recorded(from);
}

static void test_P1_no_token_is_lost_when_the_broker_is_killed_at_random(void **state) {
	const char *env = getenv("HALLPASS_KILLS");
	int kills = env ? atoi(env) : 20;
	json_t *records;

	(void)state;
	srandom((unsigned)time(NULL));
	for (int i = 0; i < kills; i++)
		run_and_kill(20000 + (int)(random() % 150000));
	print_message("%d kills, %zu tokens received, none missing\n", kills, got.n);
	assert_true(got.n > (size_t)kills);
	/* One more start: open intents are closed as unknown, and everything stands. */
	world_daemon(&w);
	world_stop(&w, SIGTERM);
	assert_all_recorded(0);
	records = world_records(&w, NULL, 0);
	print_message("%zu records, %zu intents, %zu closed as unknown\n", json_array_size(records),
		      records_count(records, "intent"), records_count(records, "unknown"));
	json_decref(records);
}

/* strace kills the daemon at the N-th call of each file syscall that the writer makes. */
static void test_P1_no_token_is_lost_when_killed_at_each_file_syscall(void **state) {
	static const char *const calls[] = { "pwritev", "pwrite64", "fdatasync", "fsync", "openat", "renameat", "fallocate" };
	size_t runs = 0;

	(void)state;
	if (system("command -v strace >/dev/null 2>&1 && strace -o /dev/null true 2>/dev/null") != 0) {
		print_message("skipped: strace is not here or may not trace\n");
		skip();
	}
	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
		for (int n = 1; n <= 3; n++) {
			size_t from = got.n;
			pthread_t thread;

			/* The first calls belong to the start; kill a little later, under load. */
			snprintf(w.wrap, sizeof(w.wrap), "strace -f -qq -o /dev/null -e trace=%s -e inject=%s:signal=KILL:when=%d", calls[c],
				 calls[c], (strcmp(calls[c], "openat") ? 3 : 60) + 2 * n);
			runs++;
			if (!world_daemon_try(&w))
				continue; /* killed while it started: also a crash */
			got.stop = false;
			pthread_create(&thread, NULL, client, (void *)(uintptr_t)(c * 3 + (size_t)n));
			for (int i = 0; i < 150; i++) {
				struct answer a;

				ask(&w, "GET", "/healthz", NULL, &a);
				if (a.status != 200)
					break;
				answer_fini(&a);
				nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
			}
			world_stop(&w, SIGKILL);
			got.stop = true;
			pthread_join(thread, NULL);
			assert_all_recorded(from);
		}
	}
	w.wrap[0] = '\0';
	print_message("%zu runs, %zu tokens received, none missing\n", runs, got.n);
	world_daemon(&w);
	world_stop(&w, SIGTERM);
	assert_all_recorded(0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_P1_no_token_is_lost_when_the_broker_is_killed_at_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P1_no_token_is_lost_when_killed_at_each_file_syscall, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
