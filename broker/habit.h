#pragma once

/*
 * Issuances from the cache that are like an earlier one, and their records.
 *
 * Each request is decided anew and has a record of its own; but where the same caller asks the same again (ask.serial), and
 * what was decided and which token it gets is the same, too, nearly all of that record's text is what it was the last time.
 */

#include <stdbool.h>
#include <stdint.h>
#include "broker/audit/mould.h"
#include "broker/authn/peer.h"
#include "broker/authn/principals.h"
#include "hallpass/policy.h"

#define HABITS 64 /* remembered; power of two */

/* All on which the text of such a record depends, but for the casting. Borrowed. */
struct habit_key {
	uint64_t ask;	   /* struct ask's serial, not 0: what was asked */
	uint64_t snapshot; /* struct snapshot's serial: the policy, and what is configured */
	const void *rule;  /* of this snapshot: whose name, scopes and title stand in the decision */
	int bound_by;
	int64_t lifetime_s;
	uint64_t token;	   /* struct token's serial: its flight, its hash and its end; 0: none yet */
	const char *principal;
	const struct peer *peer; /* AF_UNIX */
	uint64_t spec_hash; /* minter_hash(): the others but for the token's and the peer's decide it */
};

struct habit;

/* Starts as zeros. */
struct habits {
	struct habit *habits[HABITS];
};

void habits_fini(struct habits *habits);
/*
 * That of the key's ask, snapshot and principal; the rest of it is not looked at. NULL: nothing is remembered. Borrowed until the
 * next habit_learn().
 */
struct habit *habit_find(const struct habits *habits, const struct habit_key *key);
struct policy_route *habit_route(struct habit *habit); /* NULL of NULL */
/* The hash that goes with this rule; token and peer are not looked at. 0: nothing is remembered; of NULL, too. */
uint64_t habit_spec_hash(const struct habit *habit, const void *rule);
/* The record of an issuance with this key, appended to out. False: none like it is remembered, and out has no more in it than before. */
bool habit_write(struct habits *habits, const struct habit_key *key, const struct casting *casting, struct buf *out);
/* The same, once more: record is the issuance's. It is remembered if there is memory. */
void habit_learn(struct habits *habits, const struct habit_key *key, const struct audit_record *record);
