/* See sockdiag.h. */

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "broker/authn/peer.h"
#include "broker/authn/sockdiag.h"

#define SEQ 1 /* a netlink socket asks one question */

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 req;
};

/* --- the ends of a connection */

static int end_of(const struct sockaddr_storage *from, int *family, uint8_t address[16], uint16_t *port) {
	const struct sockaddr_in *in = (const void *)from;
	const struct sockaddr_in6 *in6 = (const void *)from;
	bool mapped = from->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

	memset(address, 0, 16);
	if (from->ss_family == AF_INET)
		memcpy(address, &in->sin_addr, 4);
	else if (from->ss_family == AF_INET6)
		memcpy(address, mapped ? &in6->sin6_addr.s6_addr[12] : in6->sin6_addr.s6_addr, mapped ? 4 : 16);
	else
		return -1;
	*family = mapped ? AF_INET : from->ss_family;
	*port = from->ss_family == AF_INET ? in->sin_port : in6->sin6_port;
	return 0;
}

int tcp_ends_of(int fd, struct tcp_ends *out, struct error *err) {
	struct sockaddr_storage client, our;
	socklen_t client_len = sizeof(client), our_len = sizeof(our);
	int family = 0;

	if (getpeername(fd, (struct sockaddr *)&client, &client_len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&our, &our_len) < 0)
		return error_set(err, ERR_UNAUTHENTICATED, "the client has left already: %s", strerror(errno));
	if (end_of(&client, &out->family, out->client, &out->client_port) < 0 ||
	    end_of(&our, &family, out->our, &out->our_port) < 0 || family != out->family)
		return error_set(err, ERR_UNAUTHENTICATED, "a connection that is neither IPv4 nor IPv6");
	return 0;
}

/* --- parts (1) to (5) of the rule */

/* The one message, or NULL: there are others, it is cut, it is no answer to us. */
static const struct nlmsghdr *one_answer(const void *data, size_t len, uint32_t seq) {
	const struct nlmsghdr *head = data;

	if (len < sizeof(*head) || head->nlmsg_len < sizeof(*head) || head->nlmsg_len > len ||
	    NLMSG_ALIGN(head->nlmsg_len) < len || head->nlmsg_seq != seq || (head->nlmsg_flags & NLM_F_MULTI))
		return NULL;
	return head;
}

static int read_error(const struct nlmsghdr *head, struct error *err) {
	const struct nlmsgerr *said = NLMSG_DATA(head);

	if (head->nlmsg_len < NLMSG_LENGTH(sizeof(*said)))
		return error_set(err, ERR_UNAUTHENTICATED, "the kernel's answer about the client's socket is cut");
	if (said->error == -ENOENT || said->error == -ESTALE)
		return error_set(err, ERR_UNAUTHENTICATED, "the client's socket is gone, so nobody can vouch for it");
	return error_set(err, ERR_UNAUTHENTICATED, "the kernel does not say whose the client's socket is: %s",
			 said->error < 0 && said->error > -4096 ? strerror(-said->error) : "no reason given");
}

/* What speaks IPv4 on a socket of both families (all of Java does) is AF_INET6 to the kernel, with both addresses mapped. */
static bool same_address(const struct inet_diag_msg *msg, const uint32_t said[4], const struct tcp_ends *ends, const uint8_t *asked) {
	bool mapped = msg->idiag_family == AF_INET6 && ends->family == AF_INET && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)said);

	if (msg->idiag_family != ends->family && !mapped)
		return false;
	return !memcmp(mapped ? said + 3 : said, asked, ends->family == AF_INET ? 4 : 16);
}

static bool same_ends(const struct inet_diag_msg *msg, const struct tcp_ends *ends) {
	return msg->id.idiag_sport == ends->client_port && msg->id.idiag_dport == ends->our_port &&
	       same_address(msg, msg->id.idiag_src, ends, ends->client) && same_address(msg, msg->id.idiag_dst, ends, ends->our);
}

int sockdiag_read(const void *data, size_t len, uint32_t sender, uint32_t seq, const struct tcp_ends *ends,
		  struct tcp_owner *out, struct error *err) {
	const struct nlmsghdr *head = sender == 0 ? one_answer(data, len, seq) : NULL;
	const struct inet_diag_msg *msg;

	if (head && head->nlmsg_type == NLMSG_ERROR)
		return read_error(head, err);
	if (!head || head->nlmsg_type != SOCK_DIAG_BY_FAMILY || head->nlmsg_len < NLMSG_LENGTH(sizeof(*msg)))
		return error_set(err, ERR_UNAUTHENTICATED, "no plain answer of the kernel about the client's socket");
	msg = NLMSG_DATA(head);
	if (!same_ends(msg, ends))
		return error_set(err, ERR_UNAUTHENTICATED, "the kernel answers about another socket than the client's");
	if (msg->idiag_state != TCP_ESTABLISHED)
		return error_set(err, ERR_UNAUTHENTICATED, "the client's socket is being closed, so nobody can vouch for it: a client leaves its side open (no "
				 "shutdown for writing) until it has its answer");
	if (msg->idiag_inode == 0)
		return error_set(err, ERR_UNAUTHENTICATED, "no process has the client's socket any more");
	if (!peer_uid_is_somebody(msg->idiag_uid))
		return error_set(err, ERR_UNAUTHENTICATED,
				 "uid %u has no name in the broker's user namespace, so nobody can vouch for it", msg->idiag_uid);
	out->uid = msg->idiag_uid;
	memcpy(out->cookie, msg->id.idiag_cookie, sizeof(out->cookie));
	return 0;
}

/* --- asking */

static void write_question(const struct tcp_ends *ends, const uint32_t *cookie, struct question *q) {
	*q = (struct question){
		.head = { .nlmsg_len = sizeof(*q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = SEQ },
		.req = { .sdiag_family = (uint8_t)ends->family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = (uint32_t)-1 },
	};
	q->req.id.idiag_sport = ends->client_port;
	q->req.id.idiag_dport = ends->our_port;
	memcpy(q->req.id.idiag_src, ends->client, 16);
	memcpy(q->req.id.idiag_dst, ends->our, 16);
	q->req.id.idiag_cookie[0] = cookie ? cookie[0] : INET_DIAG_NOCOOKIE;
	q->req.id.idiag_cookie[1] = cookie ? cookie[1] : INET_DIAG_NOCOOKIE;
}

/* The kernel answers while it is asked, so nothing is waited for. */
static int ask_kernel(const struct tcp_ends *ends, const uint32_t *cookie, struct tcp_owner *out, struct error *err) {
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	_Alignas(struct nlmsghdr) char answer[1024];
	socklen_t from_len = sizeof(from);
	struct question q;
	ssize_t n = -1;
	int why;

	write_question(ends, cookie, &q);
	if (fd >= 0 && sendto(fd, &q, sizeof(q), 0, (struct sockaddr *)&from, sizeof(from)) == (ssize_t)sizeof(q))
		n = recvfrom(fd, answer, sizeof(answer), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
	why = errno;
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return error_set(err, ERR_UNAUTHENTICATED, "the kernel cannot be asked whose the client's socket is: %s",
				 strerror(why));
	return sockdiag_read(answer, (size_t)n, from.nl_pid, SEQ, ends, out, err);
}

int tcp_owner_of(int fd, const struct tcp_ends *ends, const uint32_t *cookie, struct tcp_owner *out, struct error *err) {
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (ask_kernel(ends, cookie, out, err) < 0)
		return -1;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_state != TCP_ESTABLISHED)
		return error_set(err, ERR_UNAUTHENTICATED, "the client has left, and somebody else may have its place already");
	return 0;
}

/* --- does this kernel know it? */

static int connect_to_ourselves(int listening, int *client, int *server) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	if (bind(listening, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(listening, 1) < 0 ||
	    getsockname(listening, (struct sockaddr *)&in, &len) < 0)
		return -1;
	*client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*client < 0 || connect(*client, (struct sockaddr *)&in, sizeof(in)) < 0)
		return -1;
	*server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	return *server < 0 ? -1 : 0;
}

int sockdiag_check(struct error *err) {
	int fds[] = { socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -1, -1 };
	struct tcp_ends ends;
	struct tcp_owner owner = { .uid = -1 };
	int r;

	if (fds[0] < 0 || connect_to_ourselves(fds[0], &fds[1], &fds[2]) < 0)
		r = error_set(err, ERR_UNAVAILABLE, "cannot connect to a TCP port of our own on loopback: %s", strerror(errno));
	else if (tcp_ends_of(fds[2], &ends, err) < 0 || tcp_owner_of(fds[2], &ends, NULL, &owner, err) < 0)
		r = error_wrap(err, "callers on TCP cannot be told from one another here (the kernel needs CONFIG_INET_DIAG, or "
				    "its module tcp_diag)");
	else
		r = owner.uid == (int64_t)geteuid() ? 0
						    : error_set(err, ERR_UNAVAILABLE, "the kernel takes us for uid %lld on TCP",
								(long long)owner.uid);
	if (r < 0)
		err->code = ERR_UNAVAILABLE;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return r;
}
