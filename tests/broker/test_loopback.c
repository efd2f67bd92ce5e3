/* loopback: what may be listened on, and who has it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "broker/loopback.h"
#include "hallpass/cleanup.h"

static void test_loopback_is_all_that_is_taken(void **state) {
	static const char *const wrong[] = {
		"", "8080", ":8080", "0.0.0.0:8080", "127.0.0.2:8080", "10.0.0.1:8080", "localhost:8080", "[::]:8080", "::1:8080",
		"127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+80", "127.0.0.1:80 ", "127.0.0.1:080808",
		"[::1]", "[::1]:x", "127.0.0.1:8080:8080",
	};
	struct loopback at;
	struct error err;

	(void)state;
	assert_int_equal(loopback_parse("127.0.0.1:8080", &at, &err), 0);
	assert_int_equal(at.family, AF_INET);
	assert_int_equal(at.port, 8080);
	assert_int_equal(loopback_parse("[::1]:65535", &at, &err), 0);
	assert_int_equal(at.family, AF_INET6);
	assert_int_equal(at.port, 65535);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		err.message[0] = '\0';
		if (loopback_parse(wrong[i], &at, &err) == 0)
			fail_msg("%s was taken", wrong[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_true(strstr(err.message, "not on loopback") || strstr(err.message, "no port"));
	}
}

static void test_loopback_listens_where_nobody_else_does(void **state) {
	struct sockaddr_storage address;
	socklen_t len;
	struct error err = { 0 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct loopback at = { .family = i ? AF_INET6 : AF_INET }, same;
		int fd = -1, second = -1;

		len = sizeof(address);
		if (loopback_listen(&at, &fd, &err) < 0 && i) {
			print_message("skipped: no IPv6 here: %s\n", err.message);
			continue;
		}
		assert_true(fd >= 0 && at.port > 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
		assert_int_equal(address.ss_family, at.family);
		if (i)
			assert_true(IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&address)->sin6_addr));
		else
			assert_int_equal(((struct sockaddr_in *)&address)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
		same = at;
		assert_int_equal(loopback_listen(&same, &second, &err), -1);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_non_null(strstr(err.message, "another program has that port"));
		close(fd);
		assert_int_equal(loopback_listen(&same, &second, &err), 0); /* free again */
		assert_int_equal(same.port, at.port);
		close(second);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loopback_is_all_that_is_taken),
		cmocka_unit_test(test_loopback_listens_where_nobody_else_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
