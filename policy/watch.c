/* Who wants to see a document's tests and invariants run. See document.h and include/hallpass/policy.h. */

#include "policy/document.h"

void watch_begins(struct document *d, const struct policy_check *check) {
	if (d->watch && d->watch->begins)
		d->watch->begins(d->watch->arg, check);
}

void watch_ended(struct document *d, const struct policy_check *check) {
	if (d->watch && d->watch->ended)
		d->watch->ended(d->watch->arg, check);
}
