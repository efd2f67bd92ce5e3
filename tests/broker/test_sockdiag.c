/* sockdiag: THE RULE, on the kernel's bytes and on the kernel; each case in which an address is not an identity. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "broker/authn/peer.h"
#include "broker/authn/sockdiag.h"
#include "hallpass/cleanup.h"

#define ALICE 12001
#define BOB 12002

/* --- on bytes */

struct answer {
	struct nlmsghdr head;
	union {
		struct inet_diag_msg msg;
		struct nlmsgerr error;
	};
};

static const struct tcp_ends ends = { .family = AF_INET, .client_port = 0x1234, .our_port = 0x5678, .client = { 127, 0, 0, 1 }, .our = { 127, 0, 0, 1 } };

static struct answer good(void) {
	struct answer a = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct inet_diag_msg)), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_seq = 7 } };

	a.msg = (struct inet_diag_msg){ .idiag_family = AF_INET, .idiag_state = TCP_ESTABLISHED, .idiag_uid = 1001, .idiag_inode = 99,
					.id = { .idiag_sport = 0x1234, .idiag_dport = 0x5678, .idiag_cookie = { 3, 4 } } };
	memcpy(a.msg.id.idiag_src, ends.client, 16);
	memcpy(a.msg.id.idiag_dst, ends.our, 16);
	return a;
}

static int read_answer(const struct answer *a, size_t len, uint32_t sender, const char *says) {
	struct tcp_owner owner = { .uid = -7 };
	struct error err = { 0 };
	int r = sockdiag_read(a, len, sender, 7, &ends, &owner, &err);

	if (r == 0) {
		assert_int_equal(owner.uid, 1001);
		assert_int_equal(owner.cookie[0], 3);
		assert_int_equal(owner.cookie[1], 4);
		return 0;
	}
	assert_int_equal(owner.uid, -7);
	assert_int_equal(err.code, ERR_UNAUTHENTICATED);
	if (!says || !strstr(err.message, says))
		fail_msg("%s", err.message);
	return -1;
}

static void test_P4_sockdiag_takes_one_plain_answer(void **state) {
	struct answer a = good(), two[2] = { good(), good() };

	(void)state;
	assert_int_equal(read_answer(&a, a.head.nlmsg_len, 0, NULL), 0);
	assert_int_equal(read_answer(&a, a.head.nlmsg_len, 4711, "no plain answer"), -1); /* from another process */
	assert_int_equal(read_answer(two, sizeof(two), 0, "no plain answer"), -1);
	for (size_t n = 0; n < a.head.nlmsg_len; n++)
		assert_int_equal(read_answer(&a, n, 0, "no plain answer"), -1);
	a.head.nlmsg_seq = 8;
	assert_int_equal(read_answer(&a, a.head.nlmsg_len, 0, "no plain answer"), -1);
	a = good();
	a.head.nlmsg_flags = NLM_F_MULTI;
	assert_int_equal(read_answer(&a, a.head.nlmsg_len, 0, "no plain answer"), -1);
	a = good();
	a.head.nlmsg_len = NLMSG_LENGTH(sizeof(struct inet_diag_msg) - 1);
	assert_int_equal(read_answer(&a, a.head.nlmsg_len, 0, "no plain answer"), -1);
	a = good();
	a.head.nlmsg_type = NLMSG_DONE;
	assert_int_equal(read_answer(&a, a.head.nlmsg_len, 0, "no plain answer"), -1);
}

/* 127.0.0.1 -> ::ffff:127.0.0.1 */
static void map(uint32_t address[4]) {
	address[3] = address[0];
	address[2] = htonl(0xffff);
	address[0] = address[1] = 0;
}

static void test_sockdiag_takes_mapped_addresses_for_what_they_are(void **state) {
	struct answer a = good();

	(void)state;
	a.msg.idiag_family = AF_INET6;
	map(a.msg.id.idiag_src);
	map(a.msg.id.idiag_dst);
	assert_int_equal(read_answer(&a, a.head.nlmsg_len, 0, NULL), 0);
}

static void test_P4_sockdiag_names_nobody_unless_all_fits(void **state) {
	struct answer a;

	(void)state;
#define REFUSED(change, says)                                                                                          \
	do {                                                                                                           \
		a = good();                                                                                            \
		change;                                                                                                \
		assert_int_equal(read_answer(&a, a.head.nlmsg_len, 0, says), -1);                                      \
	} while (0)
	REFUSED(a.msg.idiag_family = AF_INET6, "another socket");
	REFUSED((a.msg.idiag_family = AF_INET6, map(a.msg.id.idiag_src)), "another socket"); /* one end alone */
	REFUSED((a.msg.idiag_family = AF_INET, map(a.msg.id.idiag_src), map(a.msg.id.idiag_dst)), "another socket");
	REFUSED((a.msg.idiag_family = AF_INET6, map(a.msg.id.idiag_src), map(a.msg.id.idiag_dst), a.msg.id.idiag_src[3]++), "another socket");
	REFUSED(a.msg.id.idiag_sport++, "another socket");
	REFUSED(a.msg.id.idiag_dport++, "another socket");
	REFUSED(a.msg.id.idiag_src[0]++, "another socket");
	REFUSED(a.msg.id.idiag_dst[0]++, "another socket");
	for (int state_of = 0; state_of < 16; state_of++)
		if (state_of != TCP_ESTABLISHED)
			REFUSED(a.msg.idiag_state = (uint8_t)state_of, "being closed");
	REFUSED(a.msg.idiag_inode = 0, "no process");
	REFUSED(a.msg.idiag_uid = 65534, "no name in the broker's user namespace");
	REFUSED(a.msg.idiag_uid = (uint32_t)-1, "no name in the broker's user namespace");
	REFUSED((a.head.nlmsg_type = NLMSG_ERROR, a.error.error = -ENOENT), "is gone");
	REFUSED((a.head.nlmsg_type = NLMSG_ERROR, a.error.error = -EPERM), "Operation not permitted");
	REFUSED((a.head.nlmsg_type = NLMSG_ERROR, a.error.error = 0), "does not say"); /* an acknowledgement names nobody */
	REFUSED((a.head.nlmsg_type = NLMSG_ERROR, a.head.nlmsg_len = NLMSG_LENGTH(4)), "is cut");
}

/* --- on the kernel */

struct pair {
	int family, listening, server;
	struct sockaddr_storage address; /* of the listener */
	socklen_t len;
};

static void listen_on(struct pair *p, int family, bool dual) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = dual ? in6addr_any : in6addr_loopback };

	p->family = family;
	p->len = family == AF_INET ? sizeof(in) : sizeof(in6);
	memcpy(&p->address, family == AF_INET ? (void *)&in : (void *)&in6, p->len);
	p->listening = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (family == AF_INET6)
		setsockopt(p->listening, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ !dual }, sizeof(int));
	if (bind(p->listening, (struct sockaddr *)&p->address, p->len) < 0) {
		print_message("skipped: no loopback of this family here\n");
		skip();
	}
	assert_int_equal(listen(p->listening, 8), 0);
	assert_int_equal(getsockname(p->listening, (struct sockaddr *)&p->address, &p->len), 0);
}

static int dial(const struct pair *p) {
	int fd = socket(p->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&p->address, p->len), 0);
	return fd;
}

static void become(uid_t uid) {
	if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		_exit(1);
}

static void needs_root(void) {
	if (geteuid() == 0)
		return;
	print_message("skipped: speaking as another uid needs root\n");
	skip();
}

static void test_sockdiag_knows_this_kernel(void **state) {
	struct error err = { 0 };

	(void)state;
	if (sockdiag_check(&err) < 0)
		fail_msg("%s", err.message);
}

static void assert_me(struct pair *p, int family, const char *ip) {
	struct peer peer;
	struct error err = { 0 };

	p->server = accept4(p->listening, NULL, NULL, SOCK_CLOEXEC);
	if (peer_of(p->server, &peer, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(peer.uid, geteuid());
	assert_int_equal(peer.gid, -1);
	assert_int_equal(peer.pid, 0);
	assert_string_equal(peer.exe, "");
	assert_string_equal(peer.how, "SOCK_DIAG");
	assert_string_equal(peer.ip, ip);
	assert_int_equal(peer.ends.family, family);
	assert_true(peer.port > 0);
	assert_true(peer_stands(p->server, &peer));
}

static void test_sockdiag_names_us_on_IPv4_IPv6_and_mapped(void **state) {
	struct pair v4, v6, dual;
	struct pair mapped = { .family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct pair from_v6 = { .family = AF_INET6 };
	struct sockaddr_in6 to_v4 = { .sin6_family = AF_INET6 };
	int fds[4];

	(void)state;
	listen_on(&v4, AF_INET, false);
	fds[0] = dial(&v4);
	assert_me(&v4, AF_INET, "127.0.0.1");
	listen_on(&v6, AF_INET6, false);
	fds[1] = dial(&v6);
	assert_me(&v6, AF_INET6, "::1");
	/* An IPv4 client on a socket of both families. */
	listen_on(&dual, AF_INET6, true);
	to.sin_port = ((struct sockaddr_in6 *)&dual.address)->sin6_port;
	memcpy(&mapped.address, &to, sizeof(to));
	mapped.len = sizeof(to);
	fds[2] = dial(&mapped);
	assert_me(&dual, AF_INET, "127.0.0.1");
	close(v4.server);
	/* An IPv4 listener's client that has a socket of both families, as all of Java has. */
	to_v4.sin6_port = ((struct sockaddr_in *)&v4.address)->sin_port;
	assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &to_v4.sin6_addr), 1);
	memcpy(&from_v6.address, &to_v4, sizeof(to_v4));
	from_v6.len = sizeof(to_v4);
	fds[3] = dial(&from_v6);
	assert_me(&v4, AF_INET, "127.0.0.1");
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	close(v4.server), close(v6.server), close(dual.server);
	close(v4.listening), close(v6.listening), close(dual.listening);
}

/* A process of another uid: connects from this port (0: any), or listens there, and waits for its end. False: the port is taken. */
struct other {
	pid_t pid;
	int say, hear;
};

static bool start_other(struct other *o, const struct pair *p, uid_t maker, uid_t user, uint16_t port, bool listens) {
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = port };
	int to[2], back[2];
	char byte = 0;

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(back), 0);
	o->pid = fork();
	if (o->pid == 0) {
		int fd;

		close(to[1]), close(back[0]);
		if (maker != user && (setegid(maker) < 0 || seteuid(maker) < 0))
			_exit(1);
		if (maker == user)
			become(user);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
		if (maker != user && (seteuid(0) < 0 || setegid(0) < 0))
			_exit(1);
		become(user);
		if (port && bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
			byte = 'b';
		if (!byte && (listens ? listen(fd, 1) : connect(fd, (const struct sockaddr *)&p->address, p->len)) < 0)
			byte = 'c';
		if (write(back[1], &byte, 1) != 1 || read(to[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(to[0]), close(back[1]);
	o->say = to[1];
	o->hear = back[0];
	assert_int_equal(read(o->hear, &byte, 1), 1);
	assert_int_not_equal(byte, 'c');
	return byte == 0;
}

static void end_other(struct other *o) {
	close(o->say);
	close(o->hear);
	assert_int_equal(waitpid(o->pid, NULL, 0), o->pid);
}

static void accept_peer(struct pair *p, struct peer *peer) {
	struct error err = { 0 };

	p->server = accept4(p->listening, NULL, NULL, SOCK_CLOEXEC);
	if (peer_of(p->server, peer, &err) < 0)
		fail_msg("%s", err.message);
}

static void test_P4_sockdiag_names_who_made_the_socket(void **state) {
	struct pair p;
	struct peer peer;
	struct other o;

	(void)state;
	needs_root();
	listen_on(&p, AF_INET, false);
	assert_true(start_other(&o, &p, ALICE, ALICE, 0, false));
	accept_peer(&p, &peer);
	assert_int_equal(peer.uid, ALICE);
	end_other(&o);
	close(p.server);
	assert_true(start_other(&o, &p, ALICE, BOB, 0, false)); /* made by one, used by another */
	accept_peer(&p, &peer);
	assert_int_equal(peer.uid, ALICE);
	end_other(&o);
	close(p.server);
	close(p.listening);
}

static void assert_nobody(int fd, const char *says) {
	struct peer peer;
	struct error err = { 0 };

	assert_int_equal(peer_of(fd, &peer, &err), -1);
	assert_int_equal(err.code, ERR_UNAUTHENTICATED);
	print_message("%s\n", err.message);
	if (!strstr(err.message, says))
		fail_msg("%s", err.message);
}

static bool ends_soon(int fd) {
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 10000) > 0;
}

/* The bytes are still there to be read, but nobody stands behind them. */
static void test_P4_sockdiag_names_nobody_once_the_client_is_gone(void **state) {
	struct pair p;
	struct peer peer;
	struct error err;
	int fd;

	(void)state;
	listen_on(&p, AF_INET, false);
	fd = dial(&p);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	p.server = accept4(p.listening, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(peer_of(p.server, &peer, &err), 0);
	shutdown(fd, SHUT_WR);
	assert_true(ends_soon(p.server));
	assert_false(peer_stands(p.server, &peer));
	assert_nobody(p.server, "being closed");
	close(fd); /* an orphan: some kernels call it root's */
	assert_nobody(p.server, "");
	close(p.server);
	fd = dial(&p);
	p.server = accept4(p.listening, NULL, NULL, SOCK_CLOEXEC);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	close(fd);
	assert_true(ends_soon(p.server));
	assert_nobody(p.server, "");
	close(p.server);
	close(p.listening);
}

/* We connect, send and leave, and BOB takes our port; once more where somebody else's connection keeps him from it. */
static void leave_to_another(struct pair *p, struct peer *peer, struct other *o, bool listens) {
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	int fd;

	for (int tries = 0; tries < 100; tries++) {
		fd = dial(p);
		assert_int_equal(send(fd, "GET /", 5, 0), 5);
		accept_peer(p, peer);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&from, &len), 0);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
		close(fd); /* by RST: the port is free at once */
		if (start_other(o, p, BOB, BOB, from.sin_port, listens))
			return;
		end_other(o);
		close(p->server);
	}
	fail_msg("no port can be had a second time");
}

/* The client leaves, and another user connects, or listens, from the very same port. */
static void test_P4_sockdiag_is_not_fooled_by_the_next_one_at_the_port(void **state) {
	struct tcp_owner owner;
	struct peer peer, later;
	struct pair p, next;
	struct error err;
	struct other o;

	(void)state;
	needs_root();
	listen_on(&p, AF_INET, false);
	for (int listens = 0; listens < 2; listens++) {
		leave_to_another(&p, &peer, &o, listens);
		assert_false(peer_stands(p.server, &peer));
		assert_int_equal(peer_of(p.server, &later, &err), -1);
		/* With the ends of before the kernel does name somebody: him. It is our own end that is closed. */
		assert_int_equal(tcp_owner_of(p.server, &peer.ends, NULL, &owner, &err), -1);
		assert_non_null(strstr(err.message, listens ? "another socket" : "the client has left"));
		if (!listens) { /* on a connection of his own he is himself */
			next = p;
			accept_peer(&next, &later);
			assert_int_equal(later.uid, BOB);
			assert_int_equal(later.port, peer.port);
			close(next.server);
		}
		end_other(&o);
		close(p.server);
	}
	close(p.listening);
}

static void test_P4_sockdiag_knows_nobody_of_another_network(void **state) {
	struct pair p;
	int ends_of[2], status;
	struct error err;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: a network namespace needs root\n");
		skip();
	}
	listen_on(&p, AF_INET, false);
	ends_of[0] = dial(&p);
	ends_of[1] = accept4(p.listening, NULL, NULL, SOCK_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		struct peer peer;

		_exit(unshare(CLONE_NEWNET) < 0 ? 2 : peer_of(ends_of[1], &peer, &err) < 0 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	close(ends_of[0]), close(ends_of[1]), close(p.listening);
	if (WEXITSTATUS(status) == 2) {
		print_message("skipped: no network namespaces here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_P4_sockdiag_takes_one_plain_answer),
		cmocka_unit_test(test_sockdiag_takes_mapped_addresses_for_what_they_are),
		cmocka_unit_test(test_P4_sockdiag_names_nobody_unless_all_fits),
		cmocka_unit_test(test_sockdiag_knows_this_kernel),
		cmocka_unit_test(test_sockdiag_names_us_on_IPv4_IPv6_and_mapped),
		cmocka_unit_test(test_P4_sockdiag_names_who_made_the_socket),
		cmocka_unit_test(test_P4_sockdiag_names_nobody_once_the_client_is_gone),
		cmocka_unit_test(test_P4_sockdiag_is_not_fooled_by_the_next_one_at_the_port),
		cmocka_unit_test(test_P4_sockdiag_knows_nobody_of_another_network),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
