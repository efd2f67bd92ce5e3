/* notify: what a service manager hears, at a path and at an abstract name; nothing is sent where nobody asked for it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "broker/notify.h"
#include "hallpass/cleanup.h"

/* A service manager's socket; name as NOTIFY_SOCKET has it. */
static int manager(const char *name) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, name, strlen(name));
	if (name[0] == '@')
		un.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))), 0);
	return fd;
}

static void assert_hears(int fd, const char *text) {
	char heard[128] = "";
	ssize_t n = recv(fd, heard, sizeof(heard) - 1, 0);

	if (!text) {
		assert_true(n < 0 && errno == EAGAIN);
		return;
	}
	assert_int_equal(n, strlen(text));
	assert_string_equal(heard, text);
}

static void test_notify_tells_the_service_manager(void **state) {
	char names[2][64];

	(void)state;
	snprintf(names[0], sizeof(names[0]), "/tmp/hallpass-test-notify.%d", (int)getpid());
	snprintf(names[1], sizeof(names[1]), "@hallpass-test-notify.%d", (int)getpid());
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = manager(names[i]);

		setenv("NOTIFY_SOCKET", names[i], 1);
		notify_service_manager("READY=1");
		notify_service_manager("STOPPING=1");
		assert_hears(fd, "READY=1");
		assert_hears(fd, "STOPPING=1");
		assert_hears(fd, NULL);
		close(fd);
	}
	notify_service_manager("READY=1"); /* the abstract one is gone: no harm */
	setenv("NOTIFY_SOCKET", names[0], 1);
	notify_service_manager("READY=1"); /* nobody reads there: no harm */
	unlink(names[0]);
}

static void test_notify_is_silent_where_nobody_asked(void **state) {
	char name[64], long_name[300];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "/tmp/hallpass-test-notify.%d", (int)getpid());
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = '\0';
	fd = manager(name);
	unsetenv("NOTIFY_SOCKET");
	notify_service_manager("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	notify_service_manager("READY=1");
	setenv("NOTIFY_SOCKET", "/", 1);
	notify_service_manager("READY=1");
	setenv("NOTIFY_SOCKET", name + 1, 1); /* relative, or vsock:, or anything else */
	notify_service_manager("READY=1");
	setenv("NOTIFY_SOCKET", long_name, 1);
	notify_service_manager("READY=1");
	assert_hears(fd, NULL);
	close(fd);
	unlink(name);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notify_tells_the_service_manager),
		cmocka_unit_test(test_notify_is_silent_where_nobody_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
