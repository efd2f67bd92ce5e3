#pragma once

/*
 * What would have to be different for a denied request to be allowed?
 *
 * Changes what its caller can change (the instant, the scopes, the lifetime, the justification, the delegates, the surface), one
 * thing at a time, and two where one does not help. Guesses come from the constants of the conditions, instants from the
 * horizon of their opposites, never second by second. Each suggestion was put to policy_decide(), which allowed it.
 *
 * Only rules that concern the request are looked at: who asks, the account and the permission never change. Bounded work,
 * no heap.
 */

#include "policy/condition.h"
#include "policy/decide.h"
#include "policy/example.h"

#define MAX_SUGGESTIONS 8
#define SUGGEST_AHEAD_S (31 * 86400)
#define SUGGEST_FAR_S ((int64_t)3653 * 86400) /* where nothing else helps */

enum change {
	CHANGE_LIFETIME,
	CHANGE_SCOPES,
	CHANGE_JUSTIFICATION,
	CHANGE_DELEGATES,
	CHANGE_SURFACE,
	CHANGE_TIME, /* last: it is looked for when all else is settled */
	N_CHANGES
};

struct suggestion {
	unsigned changes; /* bit 1 << enum change: which of the following count */
	unsigned size;	  /* how much it asks of people: to sort by */
	int64_t at;	  /* Unix seconds */
	int64_t lifetime_s;
	const char *justification, *surface;
	const char *scopes[POLICY_MAX_SCOPES]; /* what is left of those asked for */
	size_t n_scopes;
	const char *delegates[MAX_DELEGATES];
	size_t n_delegates;
};

/* Must not move: suggestions point into it. Borrows the policy and the query. */
struct counterfactual {
	const struct policy *policy;
	const struct policy_query *query;
	struct suggestion list[MAX_SUGGESTIONS]; /* the smallest change first */
	size_t n;

	bool about[N_CONDITION_PARTS]; /* some condition that concerns the request is */
	bool scopes_refused, hopeless;
	int64_t from_s, ahead_s; /* of the query's instant: where another one is looked for */
	struct examples lifetimes, justifications, surfaces;
	struct str zone_name; /* of the condition that decided, else of another that concerns the request; n 0: none names one */
	struct zone_ref zone;
	const struct condition *conditions[16]; /* the first that speak of scopes */
	size_t n_conditions;
	unsigned rules;	   /* that one decision looks at */
	unsigned judgings; /* of rules, that are left */
	uint32_t work;	   /* of the horizon, that is left */
};

/* For a query that is denied, by this decision. */
void counterfactual_find(struct counterfactual *c, const struct policy *policy, const struct policy_query *query,
			 const struct decision *decision);

/* The query as it would be. */
void suggestion_apply(const struct counterfactual *c, const struct suggestion *s, struct policy_query *out);

/* "at 08:00 Europe/Berlin, in 9 h 12 min": in the zone that the condition names, else UTC. */
void suggestion_say(const struct counterfactual *c, const struct suggestion *s, struct buf *out);
const char *change_name(enum change change); /* "lifetime", "time": the member of a request that it is */
