#pragma once

/*
 * One decision, step by step: policy_decide() runs it, policy_explain() watches it run.
 *
 * Deny rules first, then delegates, then bindings. Every binding that concerns the request gets a
 * verdict; the best one is the decision.
 */

#include "policy/rules.h"

#define MAX_DELEGATES 8
#define MAX_ALLOWANCE 3600

/* What one rule says. */
struct verdict {
	const struct rule *rule;
	enum decision_reason reason; /* ALLOWED; for deny rules that do not apply: NONE */
	int64_t lifetime_s, until;   /* until: first second at which it no longer surely says so */
	enum bound_by bound_by;
};

struct watcher {
	void (*verdict)(void *arg, const struct policy_query *query, const struct verdict *verdict);
	void *arg;
};

/*
 * A request made ready. Its names are canonical, the query's own or copies in here; q points to them, so it must not move,
 * and the query must stay.
 */
struct decide {
	const struct policy *policy;
	struct policy_query q;
	struct str who, account;
	uint32_t account_id;
	struct caller caller;
	int64_t until; /* what deny rules and delegates leave */
	int64_t look_s; /* look so far ahead, if a token could not live so long; for lists */
	enum bound_by until_by;
	const struct watcher *watcher;
	const struct policy_route *route; /* the rules that concern it; NULL: to be looked for */
	char principal[MAX_PRINCIPAL], account_text[MAX_EMAIL];
};

/*
 * Why the query cannot be decided (static text; d is of no use then), or NULL. pattern: for lists, the account
 * may be a rule's pattern, or NULL.
 */
const char *decide_begin(struct decide *d, const struct policy *policy, const struct policy_query *query, bool pattern,
			 const struct watcher *watcher);
void decide_run(struct decide *d, struct decision *out);

/* Of one rule, for lists and explanations. Candidates only: members and account are not tested again. */
struct verdict judge_denial(const struct decide *d, const struct rule *rule);
struct verdict judge_binding(const struct decide *d, const struct rule *rule);
/*
 * What a rule's condition sees of a query where no scope was asked for: of a binding the scopes that it would give; of a deny rule
 * unknown ones, since nobody can tell yet which binding's they will be. Else who asks for none would have all of them past a
 * condition about them. *own: where it is put, if it differs.
 */
const struct policy_query *query_for_condition(const struct policy_query *q, const struct rule *rule, struct policy_query *own);
