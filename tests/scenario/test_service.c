/* What a service manager is told: readiness, reloads, the end; by the protocol that Type=notify and notify-reload speak. */
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
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/lib/world.h"

#define PATIENCE_MS 30000

static struct world w;
static int manager; /* where the daemon's notes arrive */

static int setup(void **state) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)state;
	world_start(&w);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/notify", w.dir);
	if (manager < 0 || bind(manager, (struct sockaddr *)&un, sizeof(un)) < 0)
		return -1;
	setenv("NOTIFY_SOCKET", un.sun_path, 1);
	world_daemon(&w);
	unsetenv("NOTIFY_SOCKET");
	return 0;
}

static int teardown(void **state) {
	(void)state;
	close(manager);
	world_end(&w);
	return 0;
}

static const char *note(void) {
	static char text[256];
	struct pollfd p = { .fd = manager, .events = POLLIN };
	ssize_t n = poll(&p, 1, PATIENCE_MS) > 0 ? recv(manager, text, sizeof(text) - 1, 0) : 0;

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int64_t monotonic_us(void) {
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void test_service_is_told_of_readiness_and_the_end(void **state) {
	(void)state;
	assert_string_equal(note(), "READY=1");
	assert_int_equal(WEXITSTATUS(world_stop(&w, SIGTERM)), 0);
	assert_string_equal(note(), "STOPPING=1");
}

/* A reload begins with its time in the same datagram, and ends, refused or not, with READY=1. */
static void test_service_is_told_of_reloads(void **state) {
	static const char begins[] = "RELOADING=1\nMONOTONIC_USEC=";
	static const char *const policies[] = { POLICY_DEV, "version: 2\n" };

	(void)state;
	assert_string_equal(note(), "READY=1");
	for (size_t i = 0; i < 2; i++) {
		int64_t before = monotonic_us(), at;
		const char *text;

		world_policy(&w, policies[i]);
		kill(w.daemon, SIGHUP);
		text = note();
		assert_int_equal(strncmp(text, begins, strlen(begins)), 0);
		at = strtoll(text + strlen(begins), NULL, 10);
		assert_true(at >= before && at <= monotonic_us());
		assert_string_equal(note(), "READY=1");
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_service_is_told_of_readiness_and_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_service_is_told_of_reloads, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
