#pragma once

/*
 * Who is at the other end of a socket, by the kernel's word alone (P4).
 *
 * Unix socket: SO_PEERCRED (fixed at connect) and SO_PEERPIDFD, so that the executable is looked up
 * for that process and no later owner of its pid. TCP over loopback: the uid alone, by the rule of sockdiag.h. Never a
 * header, never a late look-up.
 *
 * The executable is what that process runs when we look: one that connects and then execs is seen as what it became. It
 * tells which program a person uses; between programs of one uid it is no boundary.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "broker/authn/sockdiag.h"
#include "hallpass/error.h"

struct peer {
	int family;  /* AF_UNIX, AF_INET, AF_INET6 */
	int64_t uid; /* never 65534 or -1: such a peer is refused */
	int64_t gid;	/* -1: not known */
	int64_t pid;	/* 0: not known */
	char ip[46];	/* text; "" on AF_UNIX */
	int port;	/* 0 on AF_UNIX */
	char how[16];	/* "SO_PEERCRED", "SOCK_DIAG" */
	struct tcp_ends ends; /* TCP: the connection, … */
	uint32_t cookie[2];   /* … and which socket is at its other end */
	char exe[256];	/* absolute path; "" where the kernel will not say, or it is longer. The last: peer_copy() */
};

/* *to = *from, but for what stands behind exe's end: a request has a copy of its own. */
static inline void peer_copy(struct peer *to, const struct peer *from) {
	memcpy(to, from, offsetof(struct peer, exe) + strlen(from->exe) + 1);
}

/* Fills peer from a connected socket. ERR_UNAUTHENTICATED: the kernel will not vouch for anybody. */
int peer_of(int fd, struct peer *out, struct error *err);
/* Whether it is still so: on TCP asked again just before something is given that is meant for this peer alone. */
bool peer_stands(int fd, const struct peer *peer);

/* Not 65534 (the overflow uid) nor -1. */
bool peer_uid_is_somebody(int64_t uid);
