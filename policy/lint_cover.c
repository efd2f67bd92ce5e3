/*
 * Rules beside each other: what one gives or denies that another gives or denies already, and who is left to approve. See
 * lint.h.
 *
 * A rule that covers another covers its first member on its first account, so that the index by which requests are
 * decided finds the few that might; ceilings on their number, and on what is passed on the way to them, keep this linear
 * where all rules look alike.
 */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/condition.h"
#include "policy/lint.h"
#include "policy/scopes.h"

#define MAX_LOOKS 64	       /* at others, for one rule */
#define MAX_ENTRIES 20000000   /* in one document */

/* ---- members ---- */

/* A subject, a group or domain included, as a caller: all that a list of members could mean it by. */
static void subject_as_caller(const struct document *d, uint32_t subject, struct caller *out) {
	caller_find(d->policy, str_of(d->policy->subjects.list[subject]), out);
}

static bool is_among(const struct document *d, uint32_t subject, struct ids members) {
	struct caller caller;

	subject_as_caller(d, subject, &caller);
	return caller_is_in(&caller, members);
}

static bool all_among(const struct document *d, struct ids subjects, struct ids members) {
	for (uint32_t i = 0; i < subjects.n; i++)
		if (!is_among(d, subjects.v[i], members))
			return false;
	return true;
}

/* Whether the name means one principal, and not many. */
static bool is_one(const struct document *d, uint32_t subject) {
	const char *rest, *kind = principal_kind(d->policy->subjects.list[subject], &rest);

	return kind && strcmp(kind, "group") && strcmp(kind, "domain");
}

/* An exception for a member of a group exempts a part of the group, and nobody knows which without looking at all of it. */
static bool maybe_exempt(const struct document *d, struct ids subjects, struct ids exceptions) {
	for (uint32_t i = 0; i < subjects.n && exceptions.n; i++)
		if (!is_one(d, subjects.v[i]) || is_among(d, subjects.v[i], exceptions))
			return true;
	return false;
}

/* ---- one rule over another ---- */

static bool pattern_covered(const struct rule *by, const struct pattern *pattern) {
	for (uint32_t i = 0; i < by->n_patterns; i++)
		if (pattern_within(pattern, &by->patterns[i]))
			return true;
	return false;
}

static bool accounts_covered(const struct policy *policy, const struct rule *by, const struct rule *rule) {
	for (uint32_t i = 0; i < rule->accounts.n; i++)
		if (!rule_covers_account(by, rule->accounts.v[i], str_of(policy->accounts.list[rule->accounts.v[i]])))
			return false;
	for (uint32_t i = 0; i < rule->n_patterns; i++)
		if (!pattern_covered(by, &rule->patterns[i]))
			return false;
	return true;
}

/* The same words about scopes are about each binding's own, where a request names none. */
static bool sees_own_scopes(const struct rule *rule) {
	return rule->kind == RULE_BINDING && condition_is_about(rule->condition, CONDITION_SCOPES);
}

static bool condition_covered(const struct rule *by, const struct rule *rule) {
	return !by->condition || (rule->condition && !sees_own_scopes(by) &&
				  !strcmp(condition_expression(by->condition), condition_expression(rule->condition)));
}

static bool covers(const struct document *d, const struct rule *by, const struct rule *rule) {
	return !(rule->permissions & ~by->permissions) && condition_covered(by, rule) &&
	       accounts_covered(d->policy, by, rule) && all_among(d, rule->members, by->members);
}

static bool scopes_covered(const struct rule *by, const struct rule *rule) {
	for (uint32_t i = 0; i < rule->n_scopes; i++)
		if (!scope_is_under(by->scopes, by->n_scopes, rule->scopes[i]))
			return false;
	return true;
}

static int64_t lifetime_of(const struct document *d, const struct rule *rule) {
	return rule->max_lifetime_s ? rule->max_lifetime_s : d->policy->default_lifetime_s;
}

/* Whether `by` gives all that the binding gives, to all, for as long, whenever the binding does. */
static bool shadows(const struct document *d, const struct rule *by, const struct rule *rule) {
	return by->not_before <= rule->not_before && by->not_after >= rule->not_after &&
	       lifetime_of(d, by) >= lifetime_of(d, rule) && scopes_covered(by, rule) && covers(d, by, rule);
}

static bool denies_all_of(const struct document *d, const struct rule *by, const struct rule *rule) {
	return covers(d, by, rule) && !maybe_exempt(d, rule->members, by->exceptions);
}

/* ---- who might ---- */

struct suspects {
	struct candidates candidates;
	struct caller caller;
	char account[2 * MAX_EMAIL]; /* one of the rule's own, or one that fits its pattern */
	unsigned looks_left;
};

/* left: entries that may still be passed in this document. */
static bool suspects_begin(struct suspects *s, const struct document *d, const struct rule_set *set, const struct rule *rule,
			   size_t left) {
	uint32_t account = NO_ID;

	if (!rule->members.n || !rule->permissions || (!rule->accounts.n && !rule->n_patterns))
		return false;
	subject_as_caller(d, rule->members.v[0], &s->caller);
	if (rule->accounts.n) {
		account = rule->accounts.v[0];
		snprintf(s->account, sizeof(s->account), "%s", d->policy->accounts.list[account]);
	} else {
		snprintf(s->account, sizeof(s->account), "%.*s%.*s", (int)rule->patterns->prefix.n, rule->patterns->prefix.p,
			 (int)rule->patterns->suffix.n, rule->patterns->suffix.p);
	}
	s->looks_left = MAX_LOOKS;
	candidates_begin(&s->candidates, set, &s->caller, account, str_of(s->account),
			 (enum policy_permission)__builtin_ctz(rule->permissions));
	return s->candidates.ahead < left;
}

static const struct rule *suspects_next(struct suspects *s) {
	const struct rule *next = s->looks_left ? candidates_next(&s->candidates) : NULL;

	if (next)
		s->looks_left--;
	return next;
}

/* Takes what the search has cost. */
static void suspects_end(const struct suspects *s, bool found, size_t *left) {
	size_t passed = found || !s->looks_left ? s->candidates.item_at + 1 : s->candidates.ahead + 1;

	*left -= passed < *left ? passed : *left;
}

/* ---- looking ---- */

/* Of two that say the same the later one is superfluous. */
static void lint_shadowed(struct document *d, const struct rule *rule, size_t *left) {
	const struct rule *other;
	struct suspects s;

	if (!suspects_begin(&s, d, &d->policy->bindings, rule, *left))
		return;
	while ((other = suspects_next(&s)))
		if (other != rule && shadows(d, other, rule) && (other->index < rule->index || !shadows(d, rule, other)))
			break;
	suspects_end(&s, other, left);
	if (other)
		document_lint_at(d, LINT_SHADOWED_BINDING, rule->line, rule->column, "\"%s\" at line %u gives all that this gives",
				 other->name, other->line);
}

static void lint_denied(struct document *d, const struct rule *rule, size_t *left) {
	const struct rule *other;
	struct suspects s;

	if (!suspects_begin(&s, d, &d->policy->denials, rule, *left))
		return;
	while ((other = suspects_next(&s)))
		if (denies_all_of(d, other, rule))
			break;
	suspects_end(&s, other, left);
	if (other)
		document_lint_at(d, LINT_DENIED_BINDING, rule->line, rule->column,
				 "the deny rule \"%s\" at line %u denies all that this could give", other->name, other->line);
}

void lint_cover(struct document *d) {
	const struct policy *policy = d->policy;
	size_t left = MAX_ENTRIES;

	for (uint32_t i = 0; i < policy->bindings.n; i++) {
		lint_shadowed(d, &policy->bindings.rules[i], &left);
		lint_denied(d, &policy->bindings.rules[i], &left);
	}
	for (uint32_t i = 0; i < policy->n_entitlements; i++)
		lint_denied(d, &policy->entitlements[i].rule, &left);
	for (uint32_t i = 0; i < policy->denials.n; i++) {
		const struct rule *rule = &policy->denials.rules[i];

		if (rule->exceptions.n && rule->members.n && all_among(d, rule->members, rule->exceptions))
			document_lint_at(d, LINT_DENIES_NOBODY, rule->line, rule->column, "%s", policy_lints[LINT_DENIES_NOBODY].sentence);
	}
}
