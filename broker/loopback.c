/* See loopback.h. */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/loopback.h"
#include "hallpass/cleanup.h"

#define BACKLOG 512

static const struct {
	const char *host;
	int family;
} hosts[] = { { "127.0.0.1", AF_INET }, { "[::1]", AF_INET6 } };

/* 1 to 65535 in plain digits; 0: it is none. */
static uint16_t parse_port(const char *text) {
	unsigned v = 0;

	if (!*text || strlen(text) > 5 || text[strspn(text, "0123456789")])
		return 0;
	for (; *text; text++)
		v = v * 10 + (unsigned)(*text - '0');
	return v <= 65535 ? (uint16_t)v : 0;
}

int loopback_parse(const char *text, struct loopback *out, struct error *err) {
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		if (n != strlen(hosts[i].host) || strncmp(text, hosts[i].host, n))
			continue;
		*out = (struct loopback){ .family = hosts[i].family, .port = parse_port(colon + 1) };
		if (out->port)
			return 0;
		return error_set(err, ERR_INVALID, "\"%.60s\" has no port from 1 to 65535 behind the address", text);
	}
	return error_set(err, ERR_INVALID,
			 "\"%.60s\" is not on loopback: tcp is 127.0.0.1:PORT or [::1]:PORT, because only on this machine does the "
			 "kernel say who asks",
			 text);
}

static socklen_t address_of(const struct loopback *at, struct sockaddr_storage *out) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(at->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback, .sin6_port = htons(at->port) };
	socklen_t len = at->family == AF_INET ? sizeof(in) : sizeof(in6);

	memcpy(out, at->family == AF_INET ? (void *)&in : (void *)&in6, len);
	return len;
}

/* A port that connections of before still linger on can be had again; one that somebody listens on cannot. */
static int bind_and_listen(const struct loopback *at, int fd) {
	struct sockaddr_storage address;
	socklen_t len = address_of(at, &address);
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (at->family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0))
		return -1;
	return bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, BACKLOG) < 0 ? -1 : 0;
}

int loopback_listen(struct loopback *at, int *out, struct error *err) {
	int fd = socket(at->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (fd < 0 || bind_and_listen(at, fd) < 0 || getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
		error_set(err, ERR_UNAVAILABLE, "cannot listen on %s:%u: %s", at->family == AF_INET ? "127.0.0.1" : "[::1]",
			  at->port, errno == EADDRINUSE ? "another program has that port" : strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	at->port = ntohs(at->family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
					       : ((struct sockaddr_in6 *)&address)->sin6_port);
	*out = fd;
	return 0;
}

uint64_t loopback_network(void) {
	struct stat st;

	return stat("/proc/self/ns/net", &st) == 0 ? (uint64_t)st.st_ino : 0;
}
