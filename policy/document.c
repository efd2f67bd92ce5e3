/* See document.h. The schema is the tables of struct field near the end. */

#include <assert.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/condition.h"
#include "policy/document.h"
#include "policy/scopes.h"

/* ---- rules ---- */

static void read_rule_name(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	uint32_t before = d->rule_names.n, id;

	if (check_name(d, node, rule->kind == RULE_DENY ? "a deny rule" : "a binding") < 0)
		return;
	id = document_intern(d, &d->rule_names, node->text);
	if (id == NO_ID)
		return;
	rule->name = d->rule_names.list[id];
	if (d->rule_names.n == before)
		document_error(d, node, "duplicate-name", "give each binding and deny rule a name of its own",
			       "the name \"%s\" is taken by the rule at line %u", node->text, d->rule_lines.v[id]);
	else
		document_add_id(d, &d->rule_lines, node->line);
}

static void read_title(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a title", (const char **)target);
}

static void read_rule_title(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a title", &((struct rule *)target)->title);
}

static void read_description(struct document *d, const struct yaml_node *node, void *target) {
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

	if (strcmp(node->text, "*")) {
		if (node->n >= sizeof(sample) || strchr(node->text + star + 1, '*') ||
		    !strchr(node->text + star + 1, '@'))
			return -1;
		memcpy(sample, node->text, node->n + 1);
		sample[star] = 'x';
		if (canonical_email(sample, email) < 0)
			return -1;
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

static void read_account_or_pattern(struct document *d, const struct yaml_node *item, struct rule *rule,
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
		document_add_id(d, &d->ids, document_intern(d, &d->policy->accounts, account));
	}
}

static void read_accounts(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	struct pattern *patterns;
	size_t n = 0;

	if (!is_list(d, node, "serviceAccounts"))
		return;
	if (node->n == 0)
		document_error(d, node, "bad-list", NULL, "serviceAccounts is empty");
	yaml_each (item, node)
		n += item->kind == YAML_SCALAR && strchr(item->text, '*');
	patterns = chunks_get(&d->policy->memory, (n + 1) * sizeof(*patterns), _Alignof(struct pattern));
	if (!patterns) {
		d->no_memory = true;
		return;
	}
	rule->n_patterns = 0;
	rule->patterns = patterns;
	yaml_each (item, node)
		read_account_or_pattern(d, item, rule, patterns);
	rule->accounts = document_take_ids(d);
}

static void read_permissions(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	enum policy_permission permission;

	if (!is_list(d, node, "permissions"))
		return;
	rule->permissions = 0;
	yaml_each (item, node)
		if (read_permission(d, item, &permission) == 0)
			rule->permissions |= 1u << permission;
	if (node->n == 0)
		document_error(d, node, "bad-list", NULL, "permissions is empty");
}

static void read_scopes(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	size_t n = 0;

	if (read_strings(d, node, "scopes", POLICY_MAX_SCOPES, read_scope, &rule->scopes, &n) == 0)
		rule->n_scopes = (uint32_t)n;
}

static void read_max_lifetime(struct document *d, const struct yaml_node *node, void *target) {
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

static void read_expression(struct document *d, const struct yaml_node *node, void *target) {
	if (node->kind != YAML_SCALAR || yaml_is_null(node))
		document_error(d, node, "wrong-type", NULL, "an expression must be text, but this is %s",
			       yaml_kind_name(node));
	else
		((struct condition_draft *)target)->expression = node;
}

static const struct field condition_fields[] = {
	{ "title", false, read_title }, /* first in the draft */
	{ "description", false, read_description },
	{ "expression", true, read_expression },
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

static void read_condition(struct document *d, const struct yaml_node *node, void *target) {
	struct condition_draft draft = { 0 };
	struct expression_context context = { .d = d };
	struct rule *rule = target;
	const char *what = rule->kind == RULE_DENY ? "denialCondition" : "condition";

	if (node->kind == YAML_SCALAR) {
		document_error(d, node, "wrong-type", "put the text under expression: in it", "%s must be a mapping, but this is text",
			       what);
		return;
	}
	if (read_fields(d, node, what, condition_fields, ARRAY_SIZE(condition_fields), &draft) < 0 || !draft.expression)
		return;
	context.node = draft.expression;
	if (condition_new(d->policy->env, (struct str){ draft.expression->text, draft.expression->n }, draft.title,
			  &(struct condition_sink){ on_expression_finding, &context }, &rule->condition) < 0)
		d->no_memory = true;
}

static const struct field binding_fields[] = {
	{ "name", true, read_rule_name },           { "title", false, read_rule_title },
	{ "description", false, read_description }, { "members", true, read_rule_members },
	{ "serviceAccounts", true, read_accounts }, { "permissions", false, read_permissions },
	{ "scopes", false, read_scopes },           { "maxLifetime", false, read_max_lifetime },
	{ "notBefore", false, read_not_before },    { "notAfter", false, read_not_after },
	{ "condition", false, read_condition },
};

static const struct field deny_fields[] = {
	{ "name", true, read_rule_name },
	{ "title", false, read_rule_title },
	{ "description", false, read_description },
	{ "deniedPrincipals", true, read_denied },
	{ "exceptionPrincipals", false, read_exceptions },
	{ "serviceAccounts", false, read_accounts },
	{ "permissions", false, read_permissions },
	{ "denialCondition", false, read_condition },
};

static const char *const default_scopes[] = { SCOPE_CLOUD_PLATFORM };
static const struct pattern any_account[] = { { { "", 0 }, { "", 0 } } };

static const struct rule blank_rules[] = {
	[RULE_BINDING] = { .kind = RULE_BINDING,
			   .permissions = 1u << PERMISSION_GET_ACCESS_TOKEN,
			   .scopes = default_scopes,
			   .n_scopes = 1,
			   .not_before = INT64_MIN,
			   .not_after = INT64_MAX },
	[RULE_DENY] = { .kind = RULE_DENY,
			.permissions = (1u << N_PERMISSIONS) - 1,
			.patterns = any_account,
			.n_patterns = 1,
			.not_before = INT64_MIN,
			.not_after = INT64_MAX },
};

static void check_window(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	if (rule->not_before != INT64_MIN && rule->not_after <= rule->not_before)
		document_error(d, node, "empty-window", NULL, "notAfter is not after notBefore: this never applies");
}

static void read_rule(struct document *d, const struct yaml_node *node, struct rule *rule) {
	bool deny = rule->kind == RULE_DENY;

	rule->line = node->line;
	rule->column = node->column;
	if (read_fields(d, node, deny ? "a deny rule" : "a binding", deny ? deny_fields : binding_fields,
			deny ? ARRAY_SIZE(deny_fields) : ARRAY_SIZE(binding_fields), rule) < 0)
		return;
	check_window(d, rule, node);
	lint_rule(d, rule, node);
}

static void read_rules(struct document *d, const struct yaml_node *node, enum rule_kind kind, struct rule_set *set) {
	if (!is_list(d, node, kind == RULE_DENY ? "denyRules" : "bindings"))
		return;
	set->rules = calloc(node->n + 1, sizeof(*set->rules));
	if (!set->rules) {
		d->no_memory = true;
		return;
	}
	yaml_each (item, node) {
		set->rules[set->n] = blank_rules[kind];
		set->rules[set->n].index = set->n;
		read_rule(d, item, &set->rules[set->n++]);
		if (d->no_memory || d->report->n_errors >= MAX_ERRORS)
			return;
	}
}

/* ---- the document ---- */

static void read_version(struct document *d, const struct yaml_node *node, void *target) {
	int64_t version;

	(void)target;
	if (yaml_int(node, 1, 1, &version) < 0)
		document_error(d, node, "version", NULL, "version must be 1");
}

static void read_default_lifetime(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	read_lifetime(d, node, "maxLifetime", &d->policy->default_lifetime_s);
}

static const struct field defaults_fields[] = {
	{ "maxLifetime", false, read_default_lifetime },
};

static void read_defaults(struct document *d, const struct yaml_node *node, void *target) {
	read_fields(d, node, "defaults", defaults_fields, ARRAY_SIZE(defaults_fields), target);
}

static void read_bindings(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	read_rules(d, node, RULE_BINDING, &d->policy->bindings);
}

static void read_deny_rules(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	read_rules(d, node, RULE_DENY, &d->policy->denials);
}

static void read_entitlements(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	document_error(d, node->key, "entitlements-unsupported", "leave them out until this version can honour them",
		       "entitlements are not yet supported");
}

static void read_invariants(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	document_error(d, node->key, "invariants-unsupported", "leave them out until this version can enforce them",
		       "invariants are not yet supported");
}

static void read_tests(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	tests_read(d, node);
}

static void read_groups(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	groups_read(d, node);
}

/* In the order in which they are read: groups before those who name them. */
static const struct field top_fields[] = {
	{ "version", true, read_version },        { "defaults", false, read_defaults },
	{ "groups", false, read_groups },         { "bindings", false, read_bindings },
	{ "denyRules", false, read_deny_rules },  { "entitlements", false, read_entitlements },
	{ "invariants", false, read_invariants }, { "tests", false, read_tests },
};

static void index_rules(struct document *d) {
	struct policy *policy = d->policy;

	if (groups_close(d) < 0 || rule_set_index(&policy->bindings, policy->subjects.n, policy->accounts.n) < 0 ||
	    rule_set_index(&policy->denials, policy->subjects.n, policy->accounts.n) < 0)
		d->no_memory = true;
	policy->stats.bindings = policy->bindings.n;
	policy->stats.deny_rules = policy->denials.n;
	policy->stats.tests = d->n_tests;
}

static const char *yaml_fix(const char *message) {
	static const struct {
		const char *message, *fix;
	} fixes[] = {
		{ "mapping values are not allowed", "text with \": \" in it stands in quotes, or on lines of its own under |" },
		{ "did not find expected '-'", "the entries of one list or mapping begin in the same column" },
		{ "did not find expected key", "the entries of one list or mapping begin in the same column" },
		{ "could not find expected ':'", "a key is followed by a colon and a blank" },
		{ "did not find expected ',' or", "a bracket or brace is still open, or a comma is missing" },
		{ "cannot start any token", "text that begins like this stands in quotes" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fixes); i++)
		if (strstr(message, fixes[i].message))
			return fixes[i].fix;
	return NULL;
}

static void add_yaml_problems(struct document *d, const struct yaml_problems *problems) {
	for (size_t i = 0; i < problems->n; i++)
		document_find_at(d, POLICY_ERROR, problems->list[i].id, problems->list[i].line,
				 problems->list[i].column, yaml_fix(problems->list[i].message), "%s",
				 problems->list[i].message);
}

static void read_document(struct document *d) {
	if (!d->tree->root) {
		document_find_at(d, POLICY_ERROR, "empty", 1, 1, "begin with: version: 1", "the policy is empty");
		return;
	}
	if (document_intern(d, &d->policy->subjects, "allAuthenticated") != SUBJECT_ALL)
		return;
	if (read_fields(d, d->tree->root, "a policy", top_fields, ARRAY_SIZE(top_fields), NULL) < 0 || d->no_memory)
		return;
	index_rules(d);
	lint_groups(d);
	if (!d->no_memory && d->report->n_errors == 0)
		tests_run(d);
}

static int by_position(const void *a, const void *b) {
	const struct policy_finding *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return strcmp(x->message, y->message);
}

static int verdict(const struct document *d, const char *name, struct error *err) {
	const struct policy_report *report = d->report;

	if (d->no_memory)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (report->n)
		qsort(report->findings, report->n, sizeof(*report->findings), by_position);
	for (size_t i = 0; i < report->n; i++)
		if (report->findings[i].severity == POLICY_ERROR)
			return error_set(err, ERR_INVALID, "%s:%u:%u: %s", name, report->findings[i].line,
					 report->findings[i].column, report->findings[i].message);
	return 0;
}

static void document_fini(struct document *d) {
	tests_free(d);
	yaml_tree_free(d->tree);
	names_fini(&d->group_names);
	names_fini(&d->rule_names);
	free(d->groups);
	free(d->direct.v);
	free(d->nested.v);
	free(d->rule_lines.v);
	free(d->ids.v);
}

static struct policy *policy_new(const struct policy_host *host, struct error *err) {
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy) {
		error_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	atomic_init(&policy->refs, 1);
	policy->default_lifetime_s = 3600;
	if (condition_env_new(host, &policy->env, err) < 0) {
		policy_unref(policy);
		return NULL;
	}
	return policy;
}

int policy_load(const char *name, struct str text, const struct policy_host *host, int64_t now, struct policy **out,
		struct policy_report *report, struct error *err) {
	struct document d = { .report = report, .now = now };
	struct yaml_problems *problems = malloc(sizeof(*problems));
	int r;

	*out = NULL;
	*report = (struct policy_report){ 0 };
	d.policy = problems ? policy_new(host, err) : NULL;
	if (!d.policy) {
		free(problems);
		return problems ? -1 : error_set(err, ERR_INTERNAL, "out of memory");
	}
	r = yaml_load(text, NULL, &d.tree, problems, err);
	add_yaml_problems(&d, problems);
	free(problems);
	if (d.tree)
		read_document(&d);
	if (r == 0 || err->code == ERR_INVALID)
		r = verdict(&d, name, err);
	document_fini(&d);
	if (r == 0)
		*out = take(&d.policy);
	policy_unref(d.policy);
	return r;
}

struct policy *policy_ref(struct policy *policy) {
	unsigned before = atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);

	assert(before > 0 && before < UINT32_MAX / 2);
	return policy;
}

static void rule_set_fini(struct rule_set *set) {
	for (uint32_t i = 0; i < set->n; i++)
		condition_free(set->rules[i].condition);
	free(set->rules);
	free((uint32_t *)set->with_patterns.v);
	postings_fini(&set->by_account);
	postings_fini(&set->by_subject);
}

void policy_unref(struct policy *policy) {
	if (!policy || atomic_fetch_sub_explicit(&policy->refs, 1, memory_order_acq_rel) > 1)
		return;
	rule_set_fini(&policy->bindings);
	rule_set_fini(&policy->denials);
	postings_fini(&policy->groups_of);
	names_fini(&policy->subjects);
	names_fini(&policy->accounts);
	condition_env_free(policy->env);
	chunks_fini(&policy->memory);
	free(policy);
}

void policy_stats(const struct policy *policy, struct policy_stats *out) {
	*out = policy->stats;
}
