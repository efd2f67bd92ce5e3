#pragma once

/*
 * One case of a claim: somebody and an account, with the rules that concern both. From when on is it not shown?
 */

#include "policy/condition.h"
#include "policy/rules.h"

struct proof_case {
	bool never;
	struct condition_view view;
	const struct rule *const *bindings; /* never: the one; always: those that would do */
	size_t n_bindings;
	const struct rule *const *denials; /* never: which surely concern it; always: which might */
	size_t n_denials;
};

/*
 * The first second in from..to in which it is not shown, or INT64_MAX. A calendar is followed to its last second for a generation, and
 * again from each later date on (dates.h); beyond, what repeats is taken to go on. *known: false where there was
 * more to look at than *work, and nobody knows. *work: nodes of conditions, what is left of them.
 */
int64_t proof_case_first_unshown(const struct proof_case *c, int64_t from, int64_t to, uint32_t *work, bool *known);

/* Which rule's condition could be this or that at an instant at which it is not shown; NULL: none. */
const struct rule *proof_case_doubt(const struct proof_case *c, int64_t at, struct str *part);
