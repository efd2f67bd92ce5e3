/* What a caller may ask for: `hallpass list`. See include/hallpass/policy.h. */

#include <stdio.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "hallpass/json.h"
#include "policy/condition.h"
#include "policy/decide.h"

#define LOOK_S (31 * 86400) /* people plan further ahead than a token lives */
#define WORD 64		    /* rules in a word of the set */

struct policy_listing {
	struct decide d;
	enum policy_permission permission; /* as asked */
	uint64_t *rules; /* the set of the bindings that name the caller, by number; those gone through are taken out */
	uint32_t word;	 /* none is left in those before */
	const struct rule *rule; /* whose accounts are being listed; NULL: go to the next */
	uint32_t at;		 /* of its accounts, then of its patterns */
};

static uint32_t n_words(const struct policy *policy) {
	return policy->bindings.n / WORD + 1;
}

/* Through the index: what names others is not looked at, and file order comes with the set. */
static int find_rules(struct policy_listing *l) {
	const struct rule_set *set = &l->d.policy->bindings;
	struct ids rules;

	l->rules = calloc(n_words(l->d.policy), sizeof(*l->rules));
	if (!l->rules)
		return -1;
	for (size_t s = 0; s < ARRAY_SIZE(l->d.caller.sets); s++)
		for (uint32_t i = 0; i < l->d.caller.sets[s].n; i++) {
			rules = postings_at(&set->by_subject, l->d.caller.sets[s].v[i]);
			for (uint32_t r = 0; r < rules.n; r++)
				l->rules[rules.v[r] / WORD] |= 1ull << rules.v[r] % WORD;
		}
	return 0;
}

static const struct rule *next_rule(struct policy_listing *l) {
	unsigned bit;

	while (l->word < n_words(l->d.policy) && !l->rules[l->word])
		l->word++;
	if (l->word == n_words(l->d.policy))
		return NULL;
	bit = (unsigned)__builtin_ctzll(l->rules[l->word]);
	l->rules[l->word] &= l->rules[l->word] - 1;
	return &l->d.policy->bindings.rules[l->word * WORD + bit];
}

static json_t *permissions_json(const struct rule *rule) {
	json_t *json = json_array();

	for (int p = 0; p < N_PERMISSIONS; p++)
		if (rule->permissions & (1u << p))
			json_array_append_new(json, json_string(permission_name((enum policy_permission)p)));
	return json;
}

/* As asked for, where the rule has it; else the first that it has. */
static enum policy_permission permission_for(const struct rule *rule, enum policy_permission asked) {
	int p = 0;

	if (rule->permissions & (1u << asked))
		return asked;
	while (!(rule->permissions & (1u << p)))
		p++;
	return (enum policy_permission)p;
}

/* The verdict of this binding for this account, deny rules considered. */
static struct verdict judge_entry(struct decide *d, const struct rule *rule) {
	struct verdict v = { .rule = rule }, denial;
	struct candidates candidates;
	const struct rule *deny;

	candidates_begin(&candidates, &d->policy->denials, &d->caller, d->account_id, d->account, d->q.permission);
	while ((deny = candidates_next(&candidates))) {
		denial = judge_denial(d, deny);
		if (denial.reason != REASON_NONE) {
			v.reason = denial.reason;
			return v;
		}
		if (denial.until < d->until) {
			d->until = denial.until;
			d->until_by = denial.bound_by;
		}
	}
	return judge_binding(d, rule);
}

/* Makes d a request for the next account of the rule. False: there is none left. */
static bool next_account(struct policy_listing *l) {
	const struct policy *policy = l->d.policy;
	const struct rule *rule = l->rule;
	uint32_t at = l->at++;

	if (at < rule->accounts.n) {
		l->d.account_id = rule->accounts.v[at];
		snprintf(l->d.account_text, sizeof(l->d.account_text), "%s", policy->accounts.list[l->d.account_id]);
	} else if (at - rule->accounts.n < rule->n_patterns) {
		const struct pattern *p = &rule->patterns[at - rule->accounts.n];

		l->d.account_id = NO_ID;
		snprintf(l->d.account_text, sizeof(l->d.account_text), "%.*s*%.*s", (int)p->prefix.n, p->prefix.p,
			 (int)p->suffix.n, p->suffix.p);
	} else {
		return false;
	}
	l->d.account = str_of(l->d.account_text);
	l->d.q.permission = permission_for(rule, l->permission);
	l->d.until = INT64_MAX;
	l->d.until_by = BOUND_BY_NONE;
	return true;
}

static int entry_json(struct policy_listing *l, json_t **out) {
	const struct rule *rule = l->rule;
	const char *title = rule->title ? rule->title : rule->condition ? condition_title(rule->condition) : NULL;
	const struct verdict v = judge_entry(&l->d, rule);
	const bool allowed = v.reason == REASON_ALLOWED;

	*out = json_pack("{s:s, s:s, s:s*, s:o, s:o, s:I, s:b, s:o, s:s}", "serviceAccount", l->d.account_text, "binding",
			 rule->name, "title", title, "permissions", permissions_json(rule), "scopes",
			 strings_json(rule->scopes, rule->n_scopes), "maxLifetime",
			 (json_int_t)(rule->max_lifetime_s ? rule->max_lifetime_s : l->d.policy->default_lifetime_s),
			 "allowed", allowed, "until", allowed ? time_json(v.until) : json_null(), "reason",
			 decision_reason_name(v.reason));
	return *out ? 1 : -1;
}

int policy_listing_new(const struct policy *policy, const struct policy_query *query, struct policy_listing **out) {
	struct policy_listing *l = calloc(1, sizeof(*l));

	if (!l)
		return -1;
	l->permission = query->permission;
	if (!decide_begin(&l->d, policy, query, true, NULL) && find_rules(l) < 0) {
		free(l);
		return -1;
	}
	l->d.look_s = LOOK_S;
	*out = l;
	return 0;
}

int policy_listing_next(struct policy_listing *l, json_t **out) {
	while (l->rules) {
		if (l->rule && next_account(l))
			return entry_json(l, out);
		l->rule = next_rule(l);
		l->at = 0;
		if (!l->rule)
			return 0;
	}
	return 0; /* who asks is nobody that could be named */
}

void policy_listing_free(struct policy_listing *l) {
	if (!l)
		return;
	free(l->rules);
	free(l);
}
