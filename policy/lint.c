/* See lint.h. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "policy/lint.h"
#include "policy/scopes.h"

#define HOUR 3600
#define STALE 225 /* google-auth takes a token with less left for expired. Source: google.auth._helpers.REFRESH_THRESHOLD */

const struct policy_lint policy_lints[] = {
	[LINT_ACCOUNT_WILDCARD] = { "account-wildcard", "this lends every account that fits the pattern, those made tomorrow included",
				    "name the accounts" },
	[LINT_ALREADY_OVER] = { "already-over", "this binding ended already", "remove it, or move notAfter" },
	[LINT_APPROVER_IS_REQUESTER] = { "approver-is-requester", "somebody who may ask is needed among the approvers, and nobody approves a request of their own",
					 "add an approver who is not eligible, or ask for fewer approvals" },
	[LINT_APPROVERS_TOO_FEW] = { "approvers-too-few", "more approvals are needed than there are approvers",
				     "add approvers, or ask for fewer approvals" },
	[LINT_BROAD_BINDING] = { "broad-binding", "everybody, or everybody of a domain, may have this at any time for all of Google Cloud, or for any account of a pattern",
				 "name groups, narrow scopes and accounts, or add a condition" },
	[LINT_CONDITION_ALWAYS_TRUE] = { "condition-always-true", "this is true from now on, whatever is asked",
					 "leave it out, or say what it should hold back" },
	[LINT_CONDITION_NEVER_TRUE] = { "condition-never-true", "nothing and no time makes this true: the rule never applies",
					"correct it, or remove the rule" },
	[LINT_CONDITION_OVER] = { "condition-over", "this was true in the past, if ever: the rule never applies again",
				  "remove the rule, or move its dates" },
	[LINT_CONTRADICTION] = { "contradiction", "these are never true together", "correct one of them, or ask for either instead of both" },
	[LINT_DEFAULT_ACCOUNT] = { "default-account", "this is a default service account, which is often Editor of its project",
				   "make an account for this job, with the roles it needs" },
	[LINT_DENIED_BINDING] = { "denied-binding", "a deny rule denies all that this could give",
				  "remove it, or exempt its members from the deny rule" },
	[LINT_DENIES_NOBODY] = { "denies-nobody", "everybody whom this denies is exempt from it",
				 "take somebody out of exceptionPrincipals, or remove the rule" },
	[LINT_DUPLICATE_ENTRY] = { "duplicate-entry", "this stands in the list already", "remove one of them" },
	[LINT_EMPTY_GROUP] = { "empty-group", "nobody is in this group, so what names it means nobody by it",
			       "add members, or remove it" },
	[LINT_IAM_ATTRIBUTE] = { "iam-attribute", "IAM's own conditions have no such attribute",
				 "for a condition that IAM takes, too, keep to request.time, request.auth.access_levels and resource's name, type and service" },
	[LINT_IAM_FUNCTION] = { "iam-function", "IAM's own conditions have no such function or operator",
				"for a condition that IAM takes, too, keep to comparisons, startsWith, endsWith, extract, in and the functions of time" },
	[LINT_IAM_OPERATORS] = { "iam-operators", "IAM's own conditions take at most 12 logical operators",
				 "for a condition that IAM takes, too, use `in` with a list, or several bindings" },
	[LINT_ID_TOKEN_LIFETIME] = { "id-token-lifetime", "Google's ID tokens live one hour, so that a shorter lifetime gives none",
				     "set maxLifetime: 1h in a binding of its own for getOpenIdToken" },
	[LINT_IDLE_INVARIANT] = { "idle-invariant", "this is about nobody, or about no time to come, so it holds whatever the policy says",
				  "say whom it is about, or remove it" },
	[LINT_LIFETIME_OVER_1H] = { "lifetime-over-1h", "Google refuses tokens of more than 1 h unless an organization policy allows them",
				    "set iam.allowServiceAccountCredentialLifetimeExtension for the accounts, or stay at 1h" },
	[LINT_LIFETIME_UNDER_4M] = { "lifetime-under-4m", "Google's client libraries take a token with less than 225 s left for expired, and ask anew for each call",
				     "allow at least 5m" },
	[LINT_MEMBER_KIND] = { "member-kind", "this address is not of the kind that stands before it, so nobody comes with it",
			       "write serviceAccount: before addresses that end in gserviceaccount.com, and user: before others" },
	[LINT_NOBODY_APPROVES] = { "nobody-approves", "whoever is eligible gets this at once, without approval and without a reason",
				   "add approvalWorkflow or requesterJustification, or make it a binding" },
	[LINT_SERVICE_AGENT] = { "service-agent", "this is a service agent in a project of Google's, whose token creator nobody can become",
				 "name an account of a project of your own" },
	[LINT_SHADOWED_BINDING] = { "shadowed-binding", "another binding gives all of this already",
				    "remove it, or narrow the other" },
	[LINT_SIGNING_PERMISSION] = { "signing-permission", "what signBlob and signJwt give can be exchanged for credentials that no lifetime and no scopes here bound",
				      "grant getAccessToken or getOpenIdToken where they will do" },
	[LINT_STRANGE_ACCOUNT] = { "strange-account", "the addresses of service accounts end in gserviceaccount.com, and this one does not",
				   "look for a typing mistake" },
	[LINT_TAUTOLOGY] = { "tautology", "one of these is always true", "correct one of them, or ask for both instead of either" },
	[LINT_UNKNOWN_IGNORE] = { "unknown-ignore", "a comment accepts findings of an id that none has", "hallpass policy lints prints the ids" },
	[LINT_UNUSED_GROUP] = { "unused-group", "nothing names this group", "remove it, or use it" },
	[LINT_UNUSED_IGNORE] = { "unused-ignore", "a comment accepts a finding that is not there", "remove the comment" },
};
const size_t n_policy_lints = ARRAY_SIZE(policy_lints);

_Static_assert(ARRAY_SIZE(policy_lints) == N_LINTS, "each lint has its row");

void document_lint_at(struct document *d, enum lint lint, unsigned line, unsigned column, const char *fmt, ...) {
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	document_find_at(d, POLICY_WARNING, policy_lints[lint].id, line, column, policy_lints[lint].fix, "%s", text);
}

void document_lint(struct document *d, enum lint lint, const struct yaml_node *node) {
	document_lint_at(d, lint, node->line, node->column, "%s", policy_lints[lint].sentence);
}

static bool has_suffix(const char *s, const char *suffix) {
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}

/* ---- lifetimes ---- */

static void lint_lifetime(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	const struct yaml_node *at = yaml_find(node, "maxLifetime");
	int64_t lifetime = rule->max_lifetime_s ? rule->max_lifetime_s : d->policy->default_lifetime_s;

	if (at && rule->max_lifetime_s)
		lint_span(d, at, rule->max_lifetime_s);
	if (rule->permissions & 1u << PERMISSION_GET_OPEN_ID_TOKEN && lifetime < HOUR)
		document_lint(d, LINT_ID_TOKEN_LIFETIME, at ? at : node);
}

/* ---- permissions ---- */

static void lint_permissions(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	const struct yaml_node *at = yaml_find(node, "permissions");

	if (at && (rule->permissions & (1u << PERMISSION_SIGN_BLOB | 1u << PERMISSION_SIGN_JWT)))
		document_lint(d, LINT_SIGNING_PERMISSION, at);
}

/* ---- accounts ---- */

/* What an account's address tells of it: the first row that fits. "gcp-sa-" stands behind the @. */
static const struct {
	const char *suffix, *domain;
	enum lint lint;
} accounts[] = {
	/* Google makes these by itself and grants them the Editor role unless told not to. */
	{ "-compute@developer.gserviceaccount.com", NULL, LINT_DEFAULT_ACCOUNT },
	{ "@appspot.gserviceaccount.com", NULL, LINT_DEFAULT_ACCOUNT },
	{ "@cloudservices.gserviceaccount.com", NULL, LINT_SERVICE_AGENT },
	{ ".iam.gserviceaccount.com", "@gcp-sa-", LINT_SERVICE_AGENT },
	{ ".gserviceaccount.com", NULL, N_LINTS }, /* nothing to say */
	{ "", NULL, LINT_STRANGE_ACCOUNT },
};

static void lint_account(struct document *d, const struct yaml_node *item) {
	char email[MAX_EMAIL];

	if (item->kind != YAML_SCALAR || canonical_email(item->text, email) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(accounts); i++)
		if (has_suffix(email, accounts[i].suffix) && (!accounts[i].domain || strstr(email, accounts[i].domain))) {
			if (accounts[i].lint != N_LINTS)
				document_lint(d, accounts[i].lint, item);
			return;
		}
}

static void lint_accounts(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	const struct yaml_node *at = yaml_find(node, "serviceAccounts");

	if (!at || at->kind != YAML_LIST)
		return;
	if (rule->n_patterns)
		document_lint(d, LINT_ACCOUNT_WILDCARD, at);
	yaml_each (item, at)
		lint_account(d, item);
}

/* ---- how much to whom ---- */

static bool has_multitude(const struct document *d, struct ids members) {
	for (uint32_t i = 0; i < members.n; i++)
		if (members.v[i] == SUBJECT_ALL || !strncmp(d->policy->subjects.list[members.v[i]], "domain:", 7))
			return true;
	return false;
}

static bool has_cloud_platform(const struct rule *rule) {
	for (uint32_t i = 0; i < rule->n_scopes; i++)
		if (!strcmp(rule->scopes[i], SCOPE_CLOUD_PLATFORM))
			return rule->permissions & 1u << PERMISSION_GET_ACCESS_TOKEN;
	return false;
}

static void lint_breadth(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	const struct yaml_node *at = yaml_find(node, "members");

	if (at && !yaml_find(node, "condition") && has_multitude(d, rule->members) &&
	    (rule->n_patterns || has_cloud_platform(rule)))
		document_lint(d, LINT_BROAD_BINDING, at);
}

static void lint_not_after(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	const struct yaml_node *at = yaml_find(node, "notAfter");

	if (at && rule->not_after <= d->now)
		document_lint(d, LINT_ALREADY_OVER, at);
}

static void lint_unguarded(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	(void)rule;
	if (!yaml_find(node, "approvalWorkflow") && !yaml_find(node, "requesterJustification"))
		document_lint(d, LINT_NOBODY_APPROVES, node);
}

/* ---- entry points ---- */

void lint_rule(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	static const struct {
		unsigned kinds; /* bit 1 << enum rule_kind */
		void (*look)(struct document *d, const struct rule *rule, const struct yaml_node *node);
	} looks[] = {
		{ 1 << RULE_BINDING | 1 << RULE_ENTITLEMENT, lint_lifetime },
		{ 1 << RULE_BINDING | 1 << RULE_ENTITLEMENT, lint_permissions },
		{ 1 << RULE_BINDING | 1 << RULE_ENTITLEMENT, lint_accounts },
		{ 1 << RULE_BINDING, lint_breadth },
		{ 1 << RULE_BINDING, lint_not_after },
		{ 1 << RULE_ENTITLEMENT, lint_unguarded },
	};

	for (size_t i = 0; i < ARRAY_SIZE(looks); i++)
		if (looks[i].kinds & 1u << rule->kind)
			looks[i].look(d, rule, node);
}

void lint_span(struct document *d, const struct yaml_node *node, int64_t lifetime_s) {
	if (lifetime_s > HOUR)
		document_lint(d, LINT_LIFETIME_OVER_1H, node);
	if (lifetime_s < STALE)
		document_lint(d, LINT_LIFETIME_UNDER_4M, node);
}

void lint_member(struct document *d, const struct yaml_node *node, const char *member) {
	bool account = has_suffix(member, ".gserviceaccount.com");

	if ((account && !strncmp(member, "user:", 5)) || (!account && !strncmp(member, "serviceAccount:", 15)))
		document_lint(d, LINT_MEMBER_KIND, node);
}

void lint_groups(struct document *d) {
	for (uint32_t i = 0; i < d->group_names.n; i++) {
		const struct yaml_node *node = d->groups[i].node;

		if (!d->groups[i].used)
			document_lint_at(d, LINT_UNUSED_GROUP, node->key->line, node->key->column, "nothing names the group \"%s\"",
					 d->group_names.list[i]);
		else if (node->kind == YAML_LIST && node->n == 0)
			document_lint(d, LINT_EMPTY_GROUP, node);
	}
}

void lint_ignores(struct document *d) {
	struct nearest nearest;
	char id[64];

	for (size_t i = 0; i < d->ignores.n; i++) {
		const struct ignore *ignore = &d->ignores.list[i];

		if (ignore->used)
			continue;
		snprintf(id, sizeof(id), "%.*s", (int)ignore->id.n, ignore->id.p);
		nearest_init(&nearest, id);
		for (size_t k = 0; k < N_LINTS; k++)
			nearest_offer(&nearest, policy_lints[k].id);
		if (nearest.best && !strcmp(nearest.best, id))
			document_lint_at(d, LINT_UNUSED_IGNORE, ignore->line, ignore->column, "there is no %s here to ignore", id);
		else
			document_lint_at(d, LINT_UNKNOWN_IGNORE, ignore->line, ignore->column, "no finding has the id \"%s\"%s%s%s", id,
					 nearest.best ? "; did you mean \"" : "", nearest.best ? nearest.best : "", nearest.best ? "\"?" : "");
	}
}
