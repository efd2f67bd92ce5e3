#pragma once

/*
 * Users and groups under `peers:` that this machine does not know: most likely mistyped, and a rule that fits nobody.
 *
 * Worth a warning and no more: a name service may know them tomorrow. It may also hang, so the daemon asks it on a thread of its own
 * and waits for nothing.
 */

#include "broker/config.h"
#include "broker/errand.h"
#include "broker/log.h"
#include "hallpass/buf.h"

/* Here and now: a line for each, as findings are printed. How many. */
size_t strangers_note(const struct config *config, struct buf *out);
/* Beside the loop: a line in the log for each. Copies the names; borrows the log for as long as errands live. */
void strangers_start(struct errands *errands, const struct config *config, struct log *log);
