#pragma once

/*
 * What a policy may say, but should be looked at when it does: one table of ids, each with a sentence and a fix.
 *
 * lint.c looks at one rule by itself as it is read, lint_cover.c at rules beside each other once all are, lint_approvers.c at
 * who may approve, lint_condition.c at conditions and lint_clauses.c at pairs of their clauses. None of them refuses anything; a person accepts a finding with a comment
 * (ignores.c).
 */

#include "policy/document.h"

enum lint {
	LINT_ACCOUNT_WILDCARD,
	LINT_ALREADY_OVER,
	LINT_APPROVER_IS_REQUESTER,
	LINT_APPROVERS_TOO_FEW,
	LINT_BROAD_BINDING,
	LINT_CONDITION_ALWAYS_TRUE,
	LINT_CONDITION_NEVER_TRUE,
	LINT_CONDITION_OVER,
	LINT_CONTRADICTION,
	LINT_DEFAULT_ACCOUNT,
	LINT_DENIED_BINDING,
	LINT_DENIES_NOBODY,
	LINT_DUPLICATE_ENTRY,
	LINT_EMPTY_GROUP,
	LINT_IAM_ATTRIBUTE,
	LINT_IAM_FUNCTION,
	LINT_IAM_OPERATORS,
	LINT_ID_TOKEN_LIFETIME,
	LINT_IDLE_INVARIANT,
	LINT_LIFETIME_OVER_1H,
	LINT_LIFETIME_UNDER_4M,
	LINT_MEMBER_KIND,
	LINT_NOBODY_APPROVES,
	LINT_SERVICE_AGENT,
	LINT_SHADOWED_BINDING,
	LINT_SIGNING_PERMISSION,
	LINT_STRANGE_ACCOUNT,
	LINT_TAUTOLOGY,
	LINT_UNKNOWN_IGNORE,
	LINT_UNUSED_GROUP,
	LINT_UNUSED_IGNORE,
	N_LINTS
};

/* A finding with the table's own sentence, or with one that names names. */
void document_lint(struct document *d, enum lint lint, const struct yaml_node *node);
__attribute__((format(printf, 5, 6))) void document_lint_at(struct document *d, enum lint lint, unsigned line,
							    unsigned column, const char *fmt, ...);

/* One rule, as it is read. node is its mapping. */
void lint_rule(struct document *d, const struct rule *rule, const struct yaml_node *node);
/* A member's e-mail address that does not go with its kind. */
void lint_member(struct document *d, const struct yaml_node *node, const char *member);
void lint_span(struct document *d, const struct yaml_node *node, int64_t lifetime_s); /* a maxLifetime */
void lint_groups(struct document *d);
/* A condition; node is its text. denies: of a deny rule. */
void lint_condition(struct document *d, const struct yaml_node *node, const struct condition *condition, bool denies);
/* The clauses of a condition beside each other. */
void lint_clauses(struct document *d, const struct yaml_node *node, const struct condition *condition);
/* After the last rule, and after groups_close(). */
void lint_approvers(struct document *d);
void lint_cover(struct document *d);
/* Comments that accept nothing. The last of all. */
void lint_ignores(struct document *d);
