#pragma once

/*
 * One connection that `hallpass relay` brings from a TCP port to the broker's socket.
 *
 * Bytes pass as they are: what they say is the broker's business alone, which reads them by the rules of its own ports. A link
 * waits until there is a session, enters it by a connection of its own over the Unix socket, and then pumps both ways. Before anything goes to the
 * client, the kernel is asked whether the client is still the one that was let in. Driven from one poll() loop, like what
 * is in keep.h.
 */

#include <poll.h>
#include "broker/authn/peer.h"
#include "broker/cli/keep.h"

struct link;

#define LINK_POLLS 2

/* client: connected, not blocking; taken. peer NULL: nobody asks the kernel about it. NULL: no memory, and it is closed. */
struct link *link_new(int client, const struct peer *peer);
/* Fills polls, and lowers *timeout_ms to when it must have its turn at the latest. */
void link_polls(const struct link *link, struct pollfd polls[LINK_POLLS], int *timeout_ms);
/* False: it is over, and freed. */
bool link_turn(struct link *link, const struct control *control, const struct pollfd polls[LINK_POLLS]);
void link_free(struct link *link); /* closes both ends */
