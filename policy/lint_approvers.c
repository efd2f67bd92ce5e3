/* Who is left to approve, when nobody approves a request of their own. See lint.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/lint.h"

/* Whom each subject means: itself, and the members of a group. The other way round than policy->groups_of. */
static int invert(const struct policy *policy, struct postings *out) {
	size_t n = 0, at = 0;
	struct pair *pairs;
	int r;

	for (uint32_t s = 0; s < policy->subjects.n; s++)
		n += postings_at(&policy->groups_of, s).n;
	pairs = malloc((n + 1) * sizeof(*pairs));
	if (!pairs)
		return -1;
	for (uint32_t s = 0; s < policy->subjects.n; s++) {
		struct ids in = postings_at(&policy->groups_of, s);

		for (uint32_t i = 0; i < in.n; i++)
			pairs[at++] = (struct pair){ in.v[i], s };
	}
	r = postings_build(out, policy->subjects.n, pairs, n);
	free(pairs);
	return r;
}

/* The principals among whom approvals are looked for, at most one more than needed of each approver's name. */
struct panel {
	struct ids people;
	bool countless; /* a domain, or everybody */
};

static bool is_kind(const struct document *d, uint32_t subject, const char *kind) {
	return !strncmp(d->policy->subjects.list[subject], kind, strlen(kind));
}

static struct panel panel_of(struct document *d, const struct entitlement *e, const struct postings *members) {
	struct panel panel = { 0 };
	uint32_t found;

	for (uint32_t i = 0; i < e->approvers.n; i++) {
		struct ids who = postings_at(members, e->approvers.v[i]);

		found = 0;
		for (uint32_t k = 0; k < who.n && found <= e->approvals_needed; k++) {
			if (is_kind(d, who.v[k], "group:"))
				continue;
			panel.countless |= who.v[k] == SUBJECT_ALL || is_kind(d, who.v[k], "domain:");
			document_add_id(d, &d->ids, who.v[k]);
			found++;
		}
	}
	panel.people = document_take_ids(d);
	return panel;
}

static void lint_panel(struct document *d, const struct entitlement *e, const struct panel *panel) {
	const struct rule *rule = &e->rule;
	struct caller caller;

	if (panel->people.n < e->approvals_needed)
		document_lint_at(d, LINT_APPROVERS_TOO_FEW, rule->line, rule->column, "%u approval%s needed, and %u may approve",
				 e->approvals_needed, e->approvals_needed == 1 ? " is" : "s are", panel->people.n);
	if (panel->people.n != e->approvals_needed)
		return;
	for (uint32_t i = 0; i < panel->people.n; i++) {
		const char *name = d->policy->subjects.list[panel->people.v[i]];

		caller_find(d->policy, str_of(name), &caller);
		if (!caller_is_in(&caller, rule->members))
			continue;
		document_lint_at(d, LINT_APPROVER_IS_REQUESTER, rule->line, rule->column,
				 "%s may ask for this, but could not be granted it: nobody else could approve", name);
		return;
	}
}

void lint_approvers(struct document *d) {
	struct postings members = { 0 };
	struct panel panel;

	if (d->policy->n_entitlements && invert(d->policy, &members) < 0)
		d->no_memory = true;
	for (uint32_t i = 0; i < d->policy->n_entitlements && !d->no_memory; i++) {
		const struct entitlement *e = &d->policy->entitlements[i];

		if (!e->has_approvers)
			continue;
		panel = panel_of(d, e, &members);
		if (!panel.countless)
			lint_panel(d, e, &panel);
	}
	postings_fini(&members);
}
