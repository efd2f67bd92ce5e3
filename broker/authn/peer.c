/* See peer.h. */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "broker/authn/peer.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#define OVERFLOW_UID 65534 /* what the kernel shows where a uid has no name in our user namespace */

bool peer_uid_is_somebody(int64_t uid) {
	return uid >= 0 && uid != OVERFLOW_UID && uid != 4294967295;
}

/* The pidfd tells whether the process that connected is still the one that has this pid. */
static bool pidfd_alive(int pidfd) {
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

/* The executable: read while the process provably lives, else "". */
static void peer_exe(int fd, struct peer *peer) {
	int pidfd = -1;
	socklen_t len = sizeof(pidfd);
	char link[64];
	ssize_t n;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
		return; /* kernels before 6.5: nobody vouches for the pid, so nothing is said of it */
	snprintf(link, sizeof(link), "/proc/%lld/exe", (long long)peer->pid);
	n = readlink(link, peer->exe, sizeof(peer->exe));
	if (n <= 0 || (size_t)n >= sizeof(peer->exe) || peer->exe[0] != '/' || !pidfd_alive(pidfd))
		n = 0;
	peer->exe[n] = '\0';
	close(pidfd);
}

static int peer_unix(int fd, struct peer *peer, struct error *err) {
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return error_set(err, ERR_UNAUTHENTICATED, "the kernel does not say who connected: %s", strerror(errno));
	if (!peer_uid_is_somebody(cred.uid))
		return error_set(err, ERR_UNAUTHENTICATED,
				 "uid %u has no name in the broker's user namespace, so nobody can vouch for it", cred.uid);
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	peer->pid = cred.pid;
	snprintf(peer->how, sizeof(peer->how), "SO_PEERCRED");
	if (cred.pid > 0)
		peer_exe(fd, peer);
	return 0;
}

static int peer_tcp(int fd, struct peer *peer, struct error *err) {
	struct tcp_owner owner;

	if (tcp_ends_of(fd, &peer->ends, err) < 0 || tcp_owner_of(fd, &peer->ends, NULL, &owner, err) < 0)
		return -1;
	peer->uid = owner.uid;
	peer->gid = -1;
	memcpy(peer->cookie, owner.cookie, sizeof(peer->cookie));
	inet_ntop(peer->ends.family, peer->ends.client, peer->ip, sizeof(peer->ip));
	peer->port = ntohs(peer->ends.client_port);
	snprintf(peer->how, sizeof(peer->how), "SOCK_DIAG");
	return 0;
}

bool peer_stands(int fd, const struct peer *peer) {
	struct tcp_owner owner;
	struct error err;

	return peer->family == AF_UNIX ||
	       (tcp_owner_of(fd, &peer->ends, peer->cookie, &owner, &err) == 0 && owner.uid == peer->uid);
}

int peer_of(int fd, struct peer *out, struct error *err) {
	int family = 0;
	socklen_t len = sizeof(family);

	memset(out, 0, sizeof(*out));
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0)
		return error_set(err, ERR_UNAUTHENTICATED, "no socket: %s", strerror(errno));
	out->family = family;
	return family == AF_UNIX ? peer_unix(fd, out, err) : peer_tcp(fd, out, err);
}
