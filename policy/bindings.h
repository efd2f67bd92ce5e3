#pragma once

/*
 * What a rule may say: the keys of bindings and deny rules, and readers for what entitlements share with them.
 *
 * The readers fill a struct rule; an entitlement begins with one.
 */

#include "policy/document.h"

extern const struct field binding_fields[], deny_fields[], condition_fields[];

/* Reads a list of rules into the policy. */
void bindings_read(struct document *d, const struct yaml_node *node, enum rule_kind kind);
/* A rule of which nothing is read yet: what absent keys mean. */
const struct rule *rule_blank(enum rule_kind kind);

/* Fields that all rules have. */
#define FIELD_NAME "name", true, read_rule_name, SHAPE_NAME, "Unique among all rules; stands in every record.", NULL
#define FIELD_TITLE "title", false, read_rule_title, SHAPE_TEXT, "For people.", NULL
#define FIELD_DESCRIPTION "description", false, read_description, SHAPE_TEXT, "For people.", NULL
void read_rule_name(struct document *d, const struct yaml_node *node, void *target);
void read_rule_title(struct document *d, const struct yaml_node *node, void *target);
void read_description(struct document *d, const struct yaml_node *node, void *target);
void read_accounts(struct document *d, const struct yaml_node *node, void *target);
/* The same where one may stand without a list around it. */
void read_account_or_accounts(struct document *d, const struct yaml_node *node, struct rule *rule);
void read_permissions(struct document *d, const struct yaml_node *node, void *target);
void read_scopes(struct document *d, const struct yaml_node *node, void *target);
void read_max_lifetime(struct document *d, const struct yaml_node *node, void *target);
void read_condition(struct document *d, const struct yaml_node *node, void *target);

/* Compiles the expression in a scalar and looks for lint in it; what is wrong is told where it stands in the file. */
void compile_expression(struct document *d, const struct yaml_node *node, const char *title, bool denies,
			struct condition **out);
/* Whether there is text in it; else it says what is there instead. */
bool is_expression(struct document *d, const struct yaml_node *node);
