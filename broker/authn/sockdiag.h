#pragma once

/*
 * Whose socket is at the other end of a connection over loopback, by NETLINK_SOCK_DIAG and a rule.
 *
 * The kernel answers for whoever has the client's address and port when it is asked, which another user may have taken
 * over meanwhile, so an answer counts only if all of this holds: (1) it came from the kernel, is the one answer to our
 * question, and no error; (2) family, addresses and ports are those asked about, v4-mapped or not; (3) the client's socket is established, and
 * (4) open in some process; (5) its uid is somebody's in our user namespace; (6) our own socket is still established after the
 * answer came: as long as it is, nobody else can have the same two ends. (7) Before a token is written all of it holds again,
 * for the same socket (its cookie).
 *
 * It tells the uid of whoever made the socket, and neither a process nor an executable. Works without privileges.
 */

#include <stddef.h>
#include <stdint.h>
#include "hallpass/error.h"

/* The two ends of a TCP connection as the client's socket has them; a v4-mapped pair is AF_INET. Network byte order. */
struct tcp_ends {
	int family;
	uint16_t client_port, our_port;
	uint8_t client[16], our[16]; /* AF_INET: the first four bytes */
};

struct tcp_owner {
	int64_t uid;
	uint32_t cookie[2]; /* of that very socket, until the next boot */
};

/* Of a connected socket. ERR_UNAUTHENTICATED: it is no TCP socket, or not connected. */
int tcp_ends_of(int fd, struct tcp_ends *out, struct error *err);

/*
 * The rule, for the connection at fd. cookie: NULL, or that of the socket which it must still be.
 * ERR_UNAUTHENTICATED: nobody can be named; err says which part of the rule does not hold.
 */
int tcp_owner_of(int fd, const struct tcp_ends *ends, const uint32_t *cookie, struct tcp_owner *out, struct error *err);

/* Parts (1) to (5), on the bytes of an answer: pure. sender: the netlink port it came from; 0 is the kernel. */
int sockdiag_read(const void *data, size_t len, uint32_t sender, uint32_t seq, const struct tcp_ends *ends,
		  struct tcp_owner *out, struct error *err);

/* Connects to ourselves and sees whether the kernel names us. ERR_UNAVAILABLE: it does not; err says what to do. */
int sockdiag_check(struct error *err);
