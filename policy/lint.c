/* What a policy may say, but should be looked at when it does. Each has a stable id, a sentence and a fix. */

#include <string.h>
#include "policy/document.h"

#define HOUR 3600

static void lint_lifetime(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	const struct yaml_node *at = yaml_find(node, "maxLifetime");

	if (at && rule->max_lifetime_s > HOUR)
		document_warning(
			d, at, "lifetime-over-1h",
			"set iam.allowServiceAccountCredentialLifetimeExtension for the accounts, or stay at 1h",
			"Google refuses tokens of more than 1 h unless an organization policy allows them");
}

static void lint_permissions(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	const struct yaml_node *at = yaml_find(node, "permissions");

	if (at && (rule->permissions & (1u << PERMISSION_SIGN_BLOB | 1u << PERMISSION_SIGN_JWT)))
		document_warning(d, at, "signing-permission",
				 "grant getAccessToken or getOpenIdToken where they will do",
				 "signBlob and signJwt can make credentials that no lifetime here bounds");
}

static void lint_account_patterns(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	const struct yaml_node *at = yaml_find(node, "serviceAccounts");

	if (at && rule->n_patterns)
		document_warning(d, at, "account-wildcard", "name the accounts",
				 "this lends every account that fits the pattern, those made tomorrow included");
}

static bool has_suffix(const char *s, const char *suffix) {
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}

/* Google makes these by itself and grants them the Editor role unless told not to. */
static void lint_default_accounts(struct document *d, const struct yaml_node *node) {
	const struct yaml_node *accounts = yaml_find(node, "serviceAccounts");

	if (!accounts || accounts->kind != YAML_LIST)
		return;
	yaml_each (item, accounts)
		if (item->kind == YAML_SCALAR && (has_suffix(item->text, "-compute@developer.gserviceaccount.com") ||
						  has_suffix(item->text, "@appspot.gserviceaccount.com")))
			document_warning(d, item, "default-account",
					 "make an account for this job, with the roles it needs",
					 "this is a default service account, which is often Editor of its project");
}

static void lint_not_after(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	const struct yaml_node *at = yaml_find(node, "notAfter");

	if (at && rule->not_after <= d->now)
		document_warning(d, at, "already-over", "remove it, or move notAfter", "this binding ended already");
}

void lint_rule(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	if (rule->kind == RULE_DENY)
		return;
	lint_lifetime(d, rule, node);
	lint_permissions(d, rule, node);
	lint_account_patterns(d, rule, node);
	lint_default_accounts(d, node);
	lint_not_after(d, rule, node);
}

void lint_groups(struct document *d) {
	for (uint32_t i = 0; i < d->group_names.n; i++)
		if (!d->groups[i].used)
			document_warning(d, d->groups[i].node->key, "unused-group", "remove it, or use it",
					 "nothing names the group \"%s\"", d->group_names.list[i]);
}
