/* strangers: names under `peers:` that are nobody's are told, once; a name service that fails or hangs says nothing of anybody. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/authn/strangers.h"
#include "hallpass/cleanup.h"

/* The name service of this test. */
static sem_t asked, release;
static pthread_t loop;
static bool asked_on_the_loop;

int getpwnam_r(const char *name, struct passwd *pw, char *scratch, size_t size, struct passwd **out) {
	(void)scratch, (void)size;
	*out = !strcmp(name, "alice") ? pw : NULL;
	if (!strcmp(name, "slow")) {
		asked_on_the_loop = pthread_equal(pthread_self(), loop);
		sem_post(&asked);
		if (!asked_on_the_loop)
			sem_wait(&release);
	}
	return !strcmp(name, "down") ? EIO : 0;
}

static struct config_peer peers[] = {
	{ .uid = 1000, .principal = (char *)"user:a@example.com" },
	{ .uid = -1, .user = (char *)"alice", .principal = (char *)"user:{name}@example.com" },
	{ .uid = -1, .user = (char *)"alcie", .principal = (char *)"user:{name}@example.com" },
	{ .uid = -1, .user = (char *)"down", .principal = (char *)"user:{name}@example.com" },
	{ .uid = -1, .group = (char *)"root", .principal = (char *)"user:{name}@example.com" },
	{ .uid = -1, .group = (char *)"no-such-group-here", .principal = (char *)"user:{name}@example.com" },
};
static const struct config config = { .path = (char *)"h.yaml", .peers = peers, .n_peers = ARRAY_SIZE(peers) };

static void test_strangers_are_noted(void **state) {
	struct buf out = BUF_INIT(65536);

	(void)state;
	assert_int_equal(strangers_note(&config, &out), 2);
	assert_string_equal(out.data, "h.yaml: warning: this machine knows no user \"alcie\", so that rule under `peers:` fits nobody [unknown-user]\n"
				      "  = getent passwd lists those that it knows\n"
				      "h.yaml: warning: this machine knows no group \"no-such-group-here\", so that rule under `peers:` fits nobody [unknown-group]\n"
				      "  = getent group lists those that it knows\n");
	buf_fini(&out);
	assert_int_equal(strangers_note(&(struct config){ .peers = peers, .n_peers = 2 }, &out), 0);
	assert_int_equal(strangers_note(&(struct config){ 0 }, &out), 0);
	assert_int_equal(out.len, 0);
}

/* The loop goes on while the name service does not answer, and so does the end. */
static void test_P7_strangers_wait_for_no_name_service(void **state) {
	static struct config_peer slow = { .uid = -1, .user = (char *)"slow", .principal = (char *)"user:{name}@example.com" };
	struct event_base *base = event_base_new();
	struct errands *errands;
	char text[4096] = "";
	struct error err;
	struct log log;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	log_init(&log, ends[1], LOG_LEVEL_WARNING);
	assert_int_equal(errands_new(base, &errands, &err), 0);
	loop = pthread_self();
	strangers_start(errands, &(struct config){ .peers = &slow, .n_peers = 1 }, &log);
	strangers_start(errands, &config, &log);
	assert_int_equal(sem_wait(&asked), 0);
	assert_false(asked_on_the_loop);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(read(ends[0], text, sizeof(text) - 1) < 0); /* nothing yet */
	sem_post(&release);
	assert_true(errands_finish(errands, 20000));
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "peers-unknown user=slow "));
	assert_non_null(strstr(text, "peers-unknown user=alcie this machine knows none of that name"));
	assert_non_null(strstr(text, "peers-unknown group=no-such-group-here "));
	assert_null(strstr(text, "=alice "));
	assert_null(strstr(text, "=down "));
	errands_free(errands);
	event_base_free(base);
	close(ends[0]);
	close(ends[1]);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strangers_are_noted),
		cmocka_unit_test(test_P7_strangers_wait_for_no_name_service),
	};

	sem_init(&asked, 0, 0);
	sem_init(&release, 0, 0);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
