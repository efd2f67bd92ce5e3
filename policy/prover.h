#pragma once

/*
 * Is something never allowed, or always: at no instant, or at each one, for nobody, or for all?
 *
 * Goes through the universe of a policy (universe.h): each principal that the claim is about, with each rule that concerns it
 * and each account that both speak of; patterns of accounts against patterns, so that accounts which nobody has made yet are
 * in it. Time is not tried out: the interval analysis (horizon.h) shows what a condition could be over whole stretches
 * of it. For `never` all that the claim does not say of a request could be anything, and a stranger's name could be any; a deny rule
 * counts where it surely denies. For `always` a binding counts where it is surely true, and each deny rule must be surely false.
 *
 * What is not shown is refuted by a request that policy_decide() answers so, or it is said what stood in the way. Nothing is
 * ever said to be shown that is not. Bounded work; heap, for load time.
 */

#include "policy/counterfactual.h"
#include "policy/universe.h"

struct claim {
	bool never; /* else always */
	/* members but exceptions, accounts and patterns, and the window; never: permissions, and scopes of which a token would have one */
	const struct rule *about;
	const struct policy_query *request; /* never: what is given, all else is open; always: the request */
};

enum proof_verdict {
	PROOF_SHOWN,
	PROOF_REFUTED,	 /* query has this decision */
	PROOF_UNSHOWN,	 /* because of `part` of a condition, which could be this or that */
	PROOF_TOO_LARGE, /* there is more to look at than a load may take */
};

struct proof {
	enum proof_verdict verdict;
	size_t principals;		  /* of the universe, that it is about */
	const struct universe_item *who;  /* not of PROOF_SHOWN: whom it failed with; of PROOF_TOO_LARGE NULL where it got to none */
	const struct universe_item *which; /* the account, of a pattern's; else NULL */
	const struct policy_query *query; /* PROOF_REFUTED: verified; PROOF_UNSHOWN: when and for which account nobody can tell */
	struct decision decision;	  /* PROOF_REFUTED */
	const struct rule *rule;	  /* PROOF_UNSHOWN: whose condition; NULL: nobody knows */
	struct str part;
};

struct prover;

/* now: Unix seconds; claims are about instants from then on. Borrows the policy. -1: memory. */
int prover_new(const struct policy *policy, int64_t now, struct prover **out);
void prover_free(struct prover *prover); /* takes NULL */
DEFINE_FREEP(struct prover, prover_free)

/* What *out points to is good until the next claim. -1: memory. */
int prover_prove(struct prover *prover, const struct claim *claim, struct proof *out);
