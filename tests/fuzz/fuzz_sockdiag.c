// links: broker
/* The kernel's answer about a socket: whatever the bytes are, a name comes only from one that is whole and about these ends. */
#include <assert.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include "broker/authn/sockdiag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct tcp_ends ends = { .family = AF_INET, .client_port = 1, .our_port = 2, .client = { 127, 0, 0, 1 }, .our = { 127, 0, 0, 1 } };
	_Alignas(8) uint8_t bytes[512];
	const struct nlmsghdr *head = (const void *)bytes;
	const struct inet_diag_msg *msg = NLMSG_DATA(head);
	struct tcp_owner owner;
	struct error err = { 0 };

	if (size > sizeof(bytes))
		return 0;
	memcpy(bytes, data, size);
	if (sockdiag_read(bytes, size, 0, 1, &ends, &owner, &err) < 0) {
		assert(err.code == ERR_UNAUTHENTICATED && err.message[0]);
		return 0;
	}
	assert(size >= sizeof(*head) + sizeof(*msg) && msg->idiag_state == TCP_ESTABLISHED && msg->idiag_inode);
	assert(owner.uid == msg->idiag_uid && owner.uid != 65534 && owner.uid != 4294967295);
	assert(msg->id.idiag_sport == ends.client_port && msg->id.idiag_dport == ends.our_port);
	return 0;
}
