#pragma once

/*
 * Requests of the past, decided again under another policy.
 *
 * Each one is first decided under the policy that decided it, which is kept beside the log by its hash: only what then comes
 * out as it was recorded is a request that was read back faithfully, and only of such a difference under another policy means
 * that the policy differs. Two policies of the past are in memory at a time, since a log has them in rows.
 */

#include "broker/recorded.h"
#include "hallpass/error.h"
#include "hallpass/policy.h"

struct replay;

enum replay_faith {
	REPLAY_FAITHFUL,
	REPLAY_UNPROVEN,   /* the policy that decided it is not kept, or cannot be read any more: compared with the record alone */
	REPLAY_UNFAITHFUL, /* under the policy that decided it, it comes out otherwise: nothing is said of it */
	N_REPLAY_FAITHS
};

/* What would be otherwise; several may be at once. */
enum replay_change {
	REPLAY_DENIED,	/* would now be denied */
	REPLAY_ALLOWED, /* would now be allowed */
	REPLAY_SHORTER, /* would live shorter */
	REPLAY_LONGER,
	REPLAY_SCOPES,	/* would have other scopes */
	REPLAY_BINDING, /* the same by a rule of another name: no change of what is allowed */
	N_REPLAY_CHANGES
};

/*
 * What a policy says of it. Where it allows less than a JWT's claims say, or than the hour that ID tokens live, the broker refuses
 * (request.c, mint.c) with these reasons.
 */
struct replay_answer {
	bool allow;
	const char *reason; /* decision_reason_name(), or one of these */
	struct decision decision;
};
#define REPLAY_JWT_OUTLIVES "JWT_OUTLIVES_PERMISSION"
#define REPLAY_ID_TOKEN_OUTLIVES "DENIED"

struct replayed {
	enum replay_faith faith;
	unsigned changes;	    /* bits 1 << enum replay_change; 0 where unfaithful */
	struct replay_answer now;   /* under the other policy; lives as long as what was recorded and the policy */
	struct replay_answer again; /* under the one of then; not for REPLAY_UNPROVEN. Until the next one */
	const char *why;	    /* UNPROVEN: what is wrong with the policy of then; "" otherwise. Until the next one */
};

/* dir: the audit directory, borrowed; policy: the other one, borrowed; hash: its SHA-256. -1: memory. */
int replay_new(const char *dir, const struct policy *policy, const char *hash, struct replay **out, struct error *err);
void replay_free(struct replay *replay); /* takes NULL */
void replay_one(struct replay *replay, const struct recorded *asked, struct replayed *out);
