#pragma once

/*
 * TCP ports on loopback, the only ones that are ever listened on: from elsewhere nobody can say who asks.
 */

#include <stdbool.h>
#include <stdint.h>
#include "hallpass/error.h"

struct loopback {
	int family; /* AF_INET: 127.0.0.1; AF_INET6: ::1 */
	uint16_t port;
};

/* "127.0.0.1:8080" or "[::1]:8080". ERR_INVALID: it is neither; says why and what would be. */
int loopback_parse(const char *text, struct loopback *out, struct error *err);

/* Which network this process' loopback is of, by a number that all processes there see; 0: the kernel does not say. */
uint64_t loopback_network(void);

/* Port 0: any that is free, and at->port gets it. A listening socket, not blocking. ERR_UNAVAILABLE: it cannot be had. */
int loopback_listen(struct loopback *at, int *fd, struct error *err);
