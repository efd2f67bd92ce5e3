#pragma once

/* Records that no request makes: the broker's own life, sessions, who was not let in. Nobody waits for them. */

#include "broker/audit/record.h"
#include "broker/request.h"

/* Sets its time, and the policy in force. One that cannot be kept is told to the log. */
void note(struct request_world *world, struct audit_record *record);
/* What the kernel said of the peer, for a record; borrows it. */
void note_peer(struct audit_record *record, const struct peer *peer);
