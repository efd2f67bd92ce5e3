#pragma once

/*
 * What was asked once, read back from its record: the query that the policy decided, and what it said.
 *
 * One record a request: its outcome. Intents, starts and the like are about something else, and a request that never came
 * before the policy (nobody knew the caller, or it asked too often) has no decision to compare.
 *
 * A record keeps all that request_query() tells a policy. What it does not keep is said in `lacks`: records of before
 * askedAt was written, and those whose lists were too long for a record.
 */

#include "broker/audit/record.h"
#include "broker/authn/peer.h"
#include "broker/request.h"
#include "hallpass/policy.h"

enum {
	RECORDED_LACKS_INSTANT = 1, /* of an earlier hallpassd: no instant of the decision, no limits of the configuration, no origin */
	RECORDED_LACKS_LISTS = 2,	 /* the record was cut */
};

struct recorded {
	json_t *record; /* all strings are its own */
	enum record_type type;
	struct instant time; /* of the record */
	unsigned lacks;

	struct policy_query query;
	const char *scopes[POLICY_MAX_SCOPES], *delegates[ASK_MAX_DELEGATES];
	char ip[sizeof(((struct peer *)0)->ip)];

	/* What was said; binding and bound_by "" where it was none. */
	bool allowed; /* also what is signed, or an ID token, could live no longer than is permitted */
	bool cached;
	const char *reason, *binding, *bound_by, *policy, *request;
	int64_t lifetime_s;
	const char *granted[POLICY_MAX_SCOPES];
	size_t n_granted;
};

enum recorded_kind {
	RECORDED_OTHER,	/* not about a request that came to its end */
	RECORDED_UNDECIDED, /* a request that no policy decided */
	RECORDED_DECIDED,
};

/* Fills *out for RECORDED_DECIDED, which recorded_fini() then empties; otherwise there is nothing to empty, but time is set where it is known. */
enum recorded_kind recorded_read(struct str record, struct recorded *out);
void recorded_fini(struct recorded *asked);
