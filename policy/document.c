/* See document.h. The schema is the tables of struct field; those of the sections are in their files. */

#include <assert.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/bindings.h"
#include "policy/condition.h"
#include "policy/document.h"
#include "policy/entitlements.h"
#include "policy/lint.h"

/*
 * A hundred thousand bindings take 20 to 40 MiB of text, and some 30 nodes each. A node takes 56 bytes, so that text of two bytes
 * a node would take thirty times its size: nobody writes that.
 */
#define MAX_BYTES ((size_t)64 << 20)
#define MAX_NODES 6000000
#define MIN_NODES 100000
#define NODE_BYTES 4

static struct yaml_limits limits_for(struct str text) {
	size_t nodes = text.n / NODE_BYTES;

	return (struct yaml_limits){ .bytes = MAX_BYTES, .nodes = nodes < MIN_NODES ? MIN_NODES : nodes > MAX_NODES ? MAX_NODES : nodes };
}

static void read_version(struct document *d, const struct yaml_node *node, void *target) {
	int64_t version;

	(void)target;
	if (yaml_int(node, 1, 1, &version) < 0)
		document_error(d, node, "version", NULL, "version must be 1");
}

static void read_default_lifetime(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	if (read_lifetime(d, node, "maxLifetime", &d->policy->default_lifetime_s) == 0)
		lint_span(d, node, d->policy->default_lifetime_s);
}

static const struct field defaults_fields[] = {
	{ "maxLifetime", false, read_default_lifetime, SHAPE_DURATION, "What a binding without one of its own gives; 1h if absent.", NULL },
	{ 0 },
};

static void read_defaults(struct document *d, const struct yaml_node *node, void *target) {
	read_fields(d, node, "defaults", defaults_fields, target);
}

static void read_bindings(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	bindings_read(d, node, RULE_BINDING);
}

static void read_deny_rules(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	bindings_read(d, node, RULE_DENY);
}

static void read_entitlements(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	entitlements_read(d, node);
}

static void read_invariants(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	invariants_read(d, node);
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
const struct field policy_fields[] = {
	{ "version", true, read_version, SHAPE_VERSION, "The version of this format.", NULL },
	{ "defaults", false, read_defaults, SHAPE_MAPPING, "What rules that do not say otherwise have.", defaults_fields },
	{ "groups", false, read_groups, SHAPE_GROUPS, "Lists of members by name; a group may hold others.", NULL },
	{ "bindings", false, read_bindings, SHAPE_MAPPINGS, "Who may use which account, and when.", binding_fields },
	{ "denyRules", false, read_deny_rules, SHAPE_MAPPINGS, "Who may not, whatever the bindings say.", deny_fields },
	{ "entitlements", false, read_entitlements, SHAPE_MAPPINGS, "What may be asked for, for a while. Not yet honoured: a policy that has them is refused.", entitlement_fields },
	{ "invariants", false, read_invariants, SHAPE_ALTERNATIVES, "What must hold at every instant; shown at every load.", invariant_fields },
	{ "tests", false, read_tests, SHAPE_MAPPINGS, "Requests and the answers that they must get, at every load.", test_fields },
	{ 0 },
};

static void index_rules(struct document *d) {
	struct policy *policy = d->policy;

	if (groups_close(d) < 0 || rules_index(policy) < 0)
		d->no_memory = true;
	policy->stats.bindings = policy->bindings.n;
	policy->stats.deny_rules = policy->denials.n;
	policy->stats.tests = d->n_tests;
	policy->stats.invariants = d->n_invariants;
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
	d->report->more_errors += problems->more;
	for (size_t i = 0; i < problems->n; i++)
		document_find_at(d, POLICY_ERROR, problems->list[i].id, problems->list[i].line,
				 problems->list[i].column, yaml_fix(problems->list[i].message), "%s",
				 problems->list[i].message);
}

/* They are read and looked at like all else, but nothing grants them yet. Last, so that no other finding is lost to it. */
static void refuse_entitlements(struct document *d) {
	const struct yaml_node *node = yaml_find(d->tree->root, "entitlements");

	if (node)
		document_error(d, node->key, "entitlements-unsupported", "leave them out until this version can honour them",
			       "entitlements are not yet supported");
}

static void read_document(struct document *d) {
	if (!d->tree->root) {
		document_find_at(d, POLICY_ERROR, "empty", 1, 1, "begin with: version: 1", "the policy is empty");
		return;
	}
	if (document_intern(d, &d->policy->subjects, "allAuthenticated") != SUBJECT_ALL ||
	    document_intern(d, &d->policy->domains, "") != DOMAIN_ANY)
		return;
	if (read_fields(d, d->tree->root, "a policy", policy_fields, NULL) < 0 || d->no_memory)
		return;
	index_rules(d);
	lint_groups(d);
	if (!d->no_memory && d->report->n_errors == 0) {
		lint_approvers(d);
		lint_cover(d);
		tests_run(d);
		invariants_run(d);
		lint_ignores(d);
	}
	refuse_entitlements(d);
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

	if (d->no_memory || d->memory_failures != policy_memory_failures())
		return error_no_memory(err);
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
	invariants_free(d);
	yaml_tree_free(d->tree);
	names_fini(&d->group_names);
	names_fini(&d->rule_names);
	free(d->groups);
	free(d->direct.v);
	free(d->nested.v);
	free(d->rule_lines.v);
	free(d->ids.v);
	free(d->entries.v);
	ignores_fini(&d->ignores);
}

static struct policy *policy_new(const struct policy_host *host, struct error *err) {
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy) {
		error_no_memory(err);
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

int policy_load_watched(const char *name, struct str text, const struct policy_host *host, int64_t now,
			const struct policy_watch *watch, struct policy **out, struct policy_report *report, struct error *err) {
	const struct yaml_limits limits = limits_for(text);
	struct document d = {
		.report = report, .now = now, .lint_work = LINT_WORK, .watch = watch, .memory_failures = policy_memory_failures(),
	};
	struct yaml_problems *problems = malloc(sizeof(*problems));
	int r;

	*out = NULL;
	*report = (struct policy_report){ 0 };
	d.policy = problems ? policy_new(host, err) : NULL;
	if (!d.policy) {
		free(problems);
		return problems ? -1 : error_no_memory(err);
	}
	r = yaml_load(text, &limits, &d.tree, problems, err);
	if (d.tree && ignores_find(&d.ignores, d.tree->text) < 0)
		d.no_memory = true;
	add_yaml_problems(&d, problems);
	free(problems);
	if (d.tree)
		read_document(&d);
	if (r == 0 || err->code == ERR_INVALID)
		r = verdict(&d, name, err);
	document_fini(&d);
	if (r < 0 && err->code == ERR_UNAVAILABLE)
		policy_report_fini(report); /* what seems wrong may be what is missing */
	if (r == 0)
		*out = take(&d.policy);
	policy_unref(d.policy);
	return r;
}

int policy_load(const char *name, struct str text, const struct policy_host *host, int64_t now, struct policy **out,
		struct policy_report *report, struct error *err) {
	return policy_load_watched(name, text, host, now, NULL, out, report, err);
}

struct policy *policy_ref(struct policy *policy) {
	unsigned before = atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);

	assert(before > 0 && before < UINT32_MAX / 2);
	return policy;
}

static void rule_set_fini(struct rule_set *set) {
	free(set->rules);
	postings_fini(&set->by_account);
	postings_fini(&set->by_domain);
	postings_fini(&set->by_subject);
}

void policy_unref(struct policy *policy) {
	if (!policy || atomic_fetch_sub_explicit(&policy->refs, 1, memory_order_acq_rel) > 1)
		return;
	rule_set_fini(&policy->bindings);
	rule_set_fini(&policy->denials);
	free(policy->entitlements);
	postings_fini(&policy->groups_of);
	names_fini(&policy->subjects);
	names_fini(&policy->accounts);
	names_fini(&policy->domains);
	free(policy->domain_of);
	condition_env_free(policy->env);
	chunks_fini(&policy->memory);
	free(policy);
}

void policy_stats(const struct policy *policy, struct policy_stats *out) {
	*out = policy->stats;
}
