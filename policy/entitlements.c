/* See entitlements.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/bindings.h"
#include "policy/entitlements.h"
#include "policy/lint.h"

#define MINUTE 60
#define DAY 86400
#define WEEK (7 * DAY)
#define MAX_APPROVALS 20

static void read_eligible(struct document *d, const struct yaml_node *node, void *target) {
	read_members(d, node, "eligibleUsers", &((struct entitlement *)target)->rule.members);
}

static void read_max_request(struct document *d, const struct yaml_node *node, void *target) {
	read_span(d, node, "maxRequestDuration", MINUTE, WEEK, "1m to 168h", &((struct entitlement *)target)->max_request_s);
}

/* ---- the requester's justification ---- */

static void read_required(struct document *d, const struct yaml_node *node, void *target) {
	read_bool(d, node, "required", &((struct entitlement *)target)->justification_required);
}

static void read_justification_expression(struct document *d, const struct yaml_node *node, void *target) {
	if (is_expression(d, node))
		compile_expression(d, node, NULL, false, &((struct entitlement *)target)->justification);
}

static const struct field justification_fields[] = {
	{ "required", false, read_required, SHAPE_BOOL, "Whether a request needs one; true if absent.", NULL },
	{ "expression", false, read_justification_expression, SHAPE_EXPRESSION, "What must be true of it, in the Common Expression Language.", NULL },
	{ 0 },
};

static void read_requester(struct document *d, const struct yaml_node *node, void *target) {
	((struct entitlement *)target)->justification_required = true;
	read_fields(d, node, "requesterJustification", justification_fields, target);
}

/* ---- approval ---- */

static void read_approvers(struct document *d, const struct yaml_node *node, void *target) {
	read_members(d, node, "approvers", &((struct entitlement *)target)->approvers);
}

static void read_approvals(struct document *d, const struct yaml_node *node, void *target) {
	int64_t n = 1;

	read_number(d, node, "approvalsNeeded", 1, MAX_APPROVALS, &n);
	((struct entitlement *)target)->approvals_needed = (uint32_t)n;
}

static void read_approver_justification(struct document *d, const struct yaml_node *node, void *target) {
	read_bool(d, node, "requireApproverJustification", &((struct entitlement *)target)->approver_justification);
}

static void read_expires(struct document *d, const struct yaml_node *node, void *target) {
	read_span(d, node, "expiresAfter", MINUTE, WEEK, "1m to 168h", &((struct entitlement *)target)->expires_after_s);
}

static const struct field approval_fields[] = {
	{ "approvers", true, read_approvers, SHAPE_MEMBERS, "Who may approve; nobody approves a request of their own.", NULL },
	{ "approvalsNeeded", false, read_approvals, SHAPE_NUMBER, "How many of them must, 1 to 20; 1 if absent.", NULL },
	{ "requireApproverJustification", false, read_approver_justification, SHAPE_BOOL, "Whether approvers must say why; false if absent.", NULL },
	{ "expiresAfter", false, read_expires, SHAPE_DURATION, "When an unanswered request lapses, 1m to 168h; 24h if absent.", NULL },
	{ 0 },
};

static void read_approval(struct document *d, const struct yaml_node *node, void *target) {
	((struct entitlement *)target)->has_approvers = true;
	read_fields(d, node, "approvalWorkflow", approval_fields, target);
}

/* ---- entitlements ---- */

const struct field entitlement_fields[] = {
	{ FIELD_NAME },
	{ FIELD_TITLE },
	{ FIELD_DESCRIPTION },
	{ "eligibleUsers", true, read_eligible, SHAPE_MEMBERS, "Who may ask.", NULL },
	{ "serviceAccounts", true, read_accounts, SHAPE_PATTERNS, "Which accounts a grant gives.", NULL },
	{ "permissions", false, read_permissions, SHAPE_PERMISSIONS, "What may be done with them; getAccessToken if absent.", NULL },
	{ "scopes", false, read_scopes, SHAPE_SCOPES, "The ceiling of a token's scopes; cloud-platform if absent.", NULL },
	{ "maxRequestDuration", true, read_max_request, SHAPE_DURATION, "How long a grant may last, 1m to 168h.", NULL },
	{ "maxLifetime", false, read_max_lifetime, SHAPE_DURATION, "How long a token may live within a grant, 1s to 12h; defaults.maxLifetime if absent.", NULL },
	{ "condition", false, read_condition, SHAPE_MAPPING, "When a grant gives anything; always if absent.", condition_fields },
	{ "requesterJustification", false, read_requester, SHAPE_MAPPING, "What a request must give as its reason; nothing if absent.", justification_fields },
	{ "approvalWorkflow", false, read_approval, SHAPE_MAPPING, "Who must approve a request; nobody if absent.", approval_fields },
	{ 0 },
};

static void read_entitlement(struct document *d, const struct yaml_node *node, struct entitlement *entitlement) {
	struct rule *rule = &entitlement->rule;

	*entitlement = (struct entitlement){ .rule = *rule_blank(RULE_ENTITLEMENT), .approvals_needed = 1, .expires_after_s = DAY };
	rule->index = (uint32_t)(entitlement - d->policy->entitlements);
	rule->line = node->line;
	rule->column = node->column;
	if (read_fields(d, node, "an entitlement", entitlement_fields, entitlement) == 0)
		lint_rule(d, rule, node);
}

void entitlements_read(struct document *d, const struct yaml_node *node) {
	struct policy *policy = d->policy;

	if (!is_list(d, node, "entitlements"))
		return;
	policy->entitlements = calloc(node->n + 1, sizeof(*policy->entitlements));
	if (!policy->entitlements) {
		d->no_memory = true;
		return;
	}
	yaml_each (item, node) {
		read_entitlement(d, item, &policy->entitlements[policy->n_entitlements++]);
		if (d->no_memory)
			return;
	}
}
