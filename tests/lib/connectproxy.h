#pragma once

/*
 * A CONNECT proxy on loopback for tests: whatever host is asked for, the tunnel leads to one port of this machine. So a
 * name that nobody can resolve is reached if, and only if, the proxy was used.
 */

struct connect_proxy;

struct connect_proxy *connect_proxy_new(int to_port);
void connect_proxy_free(struct connect_proxy *proxy);
const char *connect_proxy_url(const struct connect_proxy *proxy);
int connect_proxy_count(struct connect_proxy *proxy); /* tunnels asked for */
/* "host:port" of the last one; "" before any. Into out. */
void connect_proxy_last(struct connect_proxy *proxy, char *out, unsigned long size);
