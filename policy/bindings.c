/* See bindings.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/bindings.h"
#include "policy/condition.h"
#include "policy/lint.h"
#include "policy/scopes.h"

/* ---- the kinds of rules ---- */

static const char *const default_scopes[] = { SCOPE_CLOUD_PLATFORM };
static const struct pattern any_account[] = { { { "", 0 }, { "", 0 }, DOMAIN_ANY } };

/* What they differ in. */
static const struct kind {
	const char *list, *one, *condition;
	struct rule blank;
} kinds[] = {
	[RULE_BINDING] = { "bindings",
			   "a binding",
			   "condition",
			   { .kind = RULE_BINDING,
			     .permissions = 1u << PERMISSION_GET_ACCESS_TOKEN,
			     .scopes = default_scopes,
			     .n_scopes = 1,
			     .not_before = INT64_MIN,
			     .not_after = INT64_MAX } },
	[RULE_DENY] = { "denyRules",
			"a deny rule",
			"denialCondition",
			{ .kind = RULE_DENY,
			  .permissions = (1u << N_PERMISSIONS) - 1,
			  .patterns = any_account,
			  .n_patterns = 1,
			  .not_before = INT64_MIN,
			  .not_after = INT64_MAX } },
	[RULE_ENTITLEMENT] = { "entitlements",
			       "an entitlement",
			       "condition",
			       { .kind = RULE_ENTITLEMENT,
				 .permissions = 1u << PERMISSION_GET_ACCESS_TOKEN,
				 .scopes = default_scopes,
				 .n_scopes = 1,
				 .not_before = INT64_MIN,
				 .not_after = INT64_MAX } },
};

const struct rule *rule_blank(enum rule_kind kind) {
	return &kinds[kind].blank;
}

/* ---- keys ---- */

void read_rule_name(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	uint32_t before = d->rule_names.n, id;

	if (check_name(d, node, kinds[rule->kind].one) < 0)
		return;
	id = document_intern(d, &d->rule_names, node->text);
	if (id == NO_ID)
		return;
	rule->name = d->rule_names.list[id];
	if (d->rule_names.n == before)
		document_error(d, node, "duplicate-name", "give each rule a name of its own",
			       "the name \"%s\" is taken by the rule at line %u", node->text, d->rule_lines.v[id]);
	else
		document_add_id(d, &d->rule_lines, node->line);
}

static void read_title(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a title", (const char **)target);
}

void read_rule_title(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a title", &((struct rule *)target)->title);
}

void read_description(struct document *d, const struct yaml_node *node, void *target) {
	const char *text;

	(void)target;
	read_text(d, node, "a description", &text);
}

static void read_rule_members(struct document *d, const struct yaml_node *node, void *target) {
	read_members(d, node, "members", &((struct rule *)target)->members);
}

static void read_denied(struct document *d, const struct yaml_node *node, void *target) {
	read_members(d, node, "deniedPrincipals", &((struct rule *)target)->members);
}

static void read_exceptions(struct document *d, const struct yaml_node *node, void *target) {
	read_members(d, node, "exceptionPrincipals", &((struct rule *)target)->exceptions);
}

/* With the star replaced by a letter a pattern must be an e-mail; * alone is every account. */
static int read_pattern(struct document *d, const struct yaml_node *node, struct pattern *out) {
	char sample[MAX_EMAIL], email[MAX_EMAIL];
	size_t star = strcspn(node->text, "*");
	const char *copy;

	out->domain = DOMAIN_ANY;
	if (strcmp(node->text, "*")) {
		if (node->n >= sizeof(sample) || strchr(node->text + star + 1, '*') ||
		    !strchr(node->text + star + 1, '@'))
			return -1;
		memcpy(sample, node->text, node->n + 1);
		sample[star] = 'x';
		if (canonical_email(sample, email) < 0)
			return -1;
		out->domain = document_intern(d, &d->policy->domains, strchr(email, '@') + 1);
		copy = chunks_str(&d->policy->memory, email, node->n);
	} else {
		copy = "*";
	}
	if (!copy) {
		d->no_memory = true;
		return 0;
	}
	out->prefix = (struct str){ copy, star };
	out->suffix = (struct str){ copy + star + 1, node->n - star - 1 };
	return 0;
}

static void read_account_or_pattern(struct document *d, const struct yaml_node *item, uint32_t place, struct rule *rule,
				    struct pattern *patterns) {
	const char *account;

	if (item->kind == YAML_SCALAR && strchr(item->text, '*')) {
		if (read_pattern(d, item, &patterns[rule->n_patterns]) == 0)
			rule->n_patterns++;
		else
			document_error(
				d, item, "bad-account",
				"one * may stand anywhere before the @, as in \"*@PROJECT.iam.gserviceaccount.com\"",
				"\"%.80s\" is no pattern for accounts", item->text);
	} else if (read_account(d, item, &account) == 0) {
		document_add_entry(d, document_intern(d, &d->policy->accounts, account), place);
	}
}

/* Room for the patterns of a rule, which has none yet. NULL: memory. */
static struct pattern *begin_patterns(struct document *d, struct rule *rule, size_t n) {
	struct pattern *patterns = chunks_get(&d->policy->memory, (n + 1) * sizeof(*patterns), _Alignof(struct pattern));

	d->no_memory |= !patterns;
	rule->n_patterns = 0;
	rule->patterns = patterns;
	return patterns;
}

void read_accounts(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	struct pattern *patterns;
	uint32_t place = 0;
	size_t n = 0;

	if (!is_list(d, node, "serviceAccounts"))
		return;
	if (node->n == 0)
		document_error(d, node, "bad-list", NULL, "serviceAccounts is empty");
	yaml_each (item, node)
		n += item->kind == YAML_SCALAR && strchr(item->text, '*');
	patterns = begin_patterns(d, rule, n);
	if (!patterns)
		return;
	yaml_each (item, node)
		read_account_or_pattern(d, item, place++, rule, patterns);
	rule->accounts = document_take_entries(d, node);
}

void read_account_or_accounts(struct document *d, const struct yaml_node *node, struct rule *rule) {
	struct pattern *patterns;

	if (node->kind == YAML_LIST) {
		read_accounts(d, node, rule);
		return;
	}
	patterns = begin_patterns(d, rule, 1);
	if (!patterns)
		return;
	read_account_or_pattern(d, node, 0, rule, patterns);
	rule->accounts = document_take_entries(d, node);
}

void read_permissions(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	enum policy_permission permission;

	if (!is_list(d, node, "permissions"))
		return;
	rule->permissions = 0;
	yaml_each (item, node)
		if (read_permission(d, item, &permission) == 0) {
			if (rule->permissions & 1u << permission)
				document_lint(d, LINT_DUPLICATE_ENTRY, item);
			rule->permissions |= 1u << permission;
		}
	if (node->n == 0)
		document_error(d, node, "bad-list", NULL, "permissions is empty");
}

void read_scopes(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	size_t n = 0;

	if (read_strings(d, node, "scopes", POLICY_MAX_SCOPES, read_scope, &rule->scopes, &n) < 0)
		return;
	rule->n_scopes = (uint32_t)n;
	yaml_each (item, node) /* few: POLICY_MAX_SCOPES */
		for (const struct yaml_node *before = node->first; before != item; before = before->next)
			if (item->kind == YAML_SCALAR && before->kind == YAML_SCALAR && !strcmp(before->text, item->text)) {
				document_lint(d, LINT_DUPLICATE_ENTRY, item);
				break;
			}
}

void read_max_lifetime(struct document *d, const struct yaml_node *node, void *target) {
	read_lifetime(d, node, "maxLifetime", &((struct rule *)target)->max_lifetime_s);
}

static void read_not_before(struct document *d, const struct yaml_node *node, void *target) {
	read_time(d, node, "notBefore", &((struct rule *)target)->not_before);
}

static void read_not_after(struct document *d, const struct yaml_node *node, void *target) {
	read_time(d, node, "notAfter", &((struct rule *)target)->not_after);
}

/* ---- conditions ---- */

struct condition_draft {
	const char *title;
	const struct yaml_node *expression;
};

bool is_expression(struct document *d, const struct yaml_node *node) {
	if (node->kind == YAML_SCALAR && !yaml_is_null(node))
		return true;
	document_error(d, node, "wrong-type", NULL, "an expression must be text, but this is %s", yaml_kind_name(node));
	return false;
}

static void read_expression(struct document *d, const struct yaml_node *node, void *target) {
	if (is_expression(d, node))
		((struct condition_draft *)target)->expression = node;
}

const struct field condition_fields[] = {
	{ "title", false, read_title, SHAPE_TEXT, "For people; a denial shows it.", NULL }, /* first in the draft */
	{ "description", false, read_description, SHAPE_TEXT, "For people.", NULL },
	{ "expression", true, read_expression, SHAPE_EXPRESSION, "In the Common Expression Language, of type bool.", NULL },
	{ 0 },
};

struct expression_context {
	struct document *d;
	const struct yaml_node *node;
};

/* What is missing at the end of an expression is missed behind its last word, not on the line after. */
static size_t before_trailing_blanks(const struct yaml_node *node, size_t offset) {
	size_t n = node->n;

	while (n > 0 && strchr(" \t\r\n", node->text[n - 1]))
		n--;
	return offset < n ? offset : n;
}

/* A compiler's complaint, put where it stands in the file. */
static void on_expression_finding(void *arg, enum policy_severity severity, const char *id, size_t offset,
				  const char *message, const char *fix) {
	const struct expression_context *context = arg;
	unsigned line, column;

	yaml_position(context->d->tree, context->node, before_trailing_blanks(context->node, offset), &line, &column);
	document_find_at(context->d, severity, id, line, column, fix, "%s", message);
}

void compile_expression(struct document *d, const struct yaml_node *node, const char *title, bool denies,
			struct condition **out) {
	struct expression_context context = { d, node };
	const struct condition_sink sink = { on_expression_finding, &context, document_is_full(d) };

	if (condition_new(d->policy->env, (struct str){ node->text, node->n }, title, &sink, out) < 0)
		d->no_memory = true;
	else if (*out)
		lint_condition(d, node, *out, denies);
}

void read_condition(struct document *d, const struct yaml_node *node, void *target) {
	struct condition_draft draft = { 0 };
	struct rule *rule = target;
	const char *what = kinds[rule->kind].condition;

	if (node->kind == YAML_SCALAR) {
		document_error(d, node, "wrong-type", "put the text under expression: in it", "%s must be a mapping, but this is text",
			       what);
		return;
	}
	if (read_fields(d, node, what, condition_fields, &draft) == 0 && draft.expression)
		compile_expression(d, draft.expression, draft.title, rule->kind == RULE_DENY, &rule->condition);
}

/* ---- bindings and deny rules ---- */

const struct field binding_fields[] = {
	{ FIELD_NAME },
	{ FIELD_TITLE },
	{ FIELD_DESCRIPTION },
	{ "members", true, read_rule_members, SHAPE_MEMBERS, "Who may use the accounts.", NULL },
	{ "serviceAccounts", true, read_accounts, SHAPE_PATTERNS, "Which accounts.", NULL },
	{ "permissions", false, read_permissions, SHAPE_PERMISSIONS, "What may be done with them; getAccessToken if absent.", NULL },
	{ "scopes", false, read_scopes, SHAPE_SCOPES, "The ceiling of a token's scopes; cloud-platform if absent.", NULL },
	{ "maxLifetime", false, read_max_lifetime, SHAPE_DURATION, "How long a token may live, 1s to 12h; defaults.maxLifetime if absent.", NULL },
	{ "notBefore", false, read_not_before, SHAPE_TIME, "The first second at which it applies.", NULL },
	{ "notAfter", false, read_not_after, SHAPE_TIME, "The first second at which it is over.", NULL },
	{ "condition", false, read_condition, SHAPE_MAPPING, "When it applies; always if absent.", condition_fields },
	{ 0 },
};

const struct field deny_fields[] = {
	{ FIELD_NAME },
	{ FIELD_TITLE },
	{ FIELD_DESCRIPTION },
	{ "deniedPrincipals", true, read_denied, SHAPE_MEMBERS, "Whom it denies.", NULL },
	{ "exceptionPrincipals", false, read_exceptions, SHAPE_MEMBERS, "Whom it does not deny.", NULL },
	{ "serviceAccounts", false, read_accounts, SHAPE_PATTERNS, "Which accounts; every account if absent.", NULL },
	{ "permissions", false, read_permissions, SHAPE_PERMISSIONS, "What may not be done with them; nothing may if absent.", NULL },
	{ "denialCondition", false, read_condition, SHAPE_MAPPING, "When it denies; always if absent.", condition_fields },
	{ 0 },
};

static void check_window(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	if (rule->not_before != INT64_MIN && rule->not_after <= rule->not_before)
		document_error(d, node, "empty-window", NULL, "notAfter is not after notBefore: this never applies");
}

static void read_rule(struct document *d, const struct yaml_node *node, struct rule *rule) {
	rule->line = node->line;
	rule->column = node->column;
	if (read_fields(d, node, kinds[rule->kind].one, rule->kind == RULE_DENY ? deny_fields : binding_fields, rule) < 0)
		return;
	check_window(d, rule, node);
	lint_rule(d, rule, node);
}

void bindings_read(struct document *d, const struct yaml_node *node, enum rule_kind kind) {
	struct rule_set *set = kind == RULE_DENY ? &d->policy->denials : &d->policy->bindings;

	if (!is_list(d, node, kinds[kind].list))
		return;
	set->rules = calloc(node->n + 1, sizeof(*set->rules));
	if (!set->rules) {
		d->no_memory = true;
		return;
	}
	yaml_each (item, node) {
		set->rules[set->n] = kinds[kind].blank;
		set->rules[set->n].index = set->n;
		read_rule(d, item, &set->rules[set->n++]);
		if (d->no_memory)
			return;
	}
}
