/* See port.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/lib/port.h"

#define LOWEST 10000
#define PORTS 20000 /* ip_local_port_range begins at 32768 */

static bool is_free(int family, int port) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback, .sin6_port = htons((uint16_t)port) };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return true; /* there is no such family here */
	r = family == AF_INET ? bind(fd, (struct sockaddr *)&in, sizeof(in)) : bind(fd, (struct sockaddr *)&in6, sizeof(in6));
	close(fd);
	return r == 0 || errno == EADDRNOTAVAIL;
}

int free_port(void) {
	static unsigned asked;

	for (int tries = 0; tries < PORTS; tries++) {
		int port = LOWEST + (int)(((unsigned)getpid() * 61 + asked++) % PORTS);

		if (is_free(AF_INET, port) && is_free(AF_INET6, port))
			return port;
	}
	fail_msg("no port is free from %d on", LOWEST);
	return 0;
}
