#pragma once

/*
 * From a tree to rules: the document's schema, what is wrong with a document, and its tests.
 *
 * A struct document lives for one policy_load(). Reading goes on after a mistake, so that one run
 * names them all (up to MAX_ERRORS); what could not be read is left out and never used, since
 * a document with an error is never put in force.
 */

#include "hallpass/nearest.h"
#include "hallpass/policy.h"
#include "hallpass/yaml.h"
#include "policy/rules.h"

#define MAX_ERRORS 20
#define MAX_WARNINGS 200
#define MAX_NAME 64 /* bytes of a group's or rule's name */

/* Numbers while they are collected. */
struct id_list {
	uint32_t *v;
	size_t n, size;
};

struct pair_list {
	struct pair *v;
	size_t n, size;
};

struct group {
	const struct yaml_node *node; /* its members */
	uint32_t subject;
	bool used;
	struct ids ancestors; /* groups it is in, directly or not */
	uint32_t n_parents;   /* not yet visited */
};

struct document {
	struct policy *policy;
	struct yaml_tree *tree;
	struct policy_report *report;
	int64_t now;
	size_t report_size, n_warnings;
	bool no_memory;

	struct names group_names, rule_names;
	struct group *groups;      /* by number in group_names */
	struct pair_list direct;   /* subject, group */
	struct pair_list nested;   /* group, the group it is in */
	struct id_list rule_lines; /* by number in rule_names */
	struct id_list ids;        /* scratch: the list being read */
	struct test *tests;
	size_t n_tests;
};

/* findings.c. Adds a finding at a position; fix may be NULL. Ignored when there are too many already. */
__attribute__((format(printf, 7, 8))) void document_find_at(struct document *d, enum policy_severity severity,
							    const char *id, unsigned line, unsigned column,
							    const char *fix, const char *fmt, ...);
/* The same at a node. */
#define document_error(d, node, id, fix, ...)                                                                          \
	document_find_at((d), POLICY_ERROR, (id), (node)->line, (node)->column, (fix), __VA_ARGS__)
#define document_warning(d, node, id, fix, ...)                                                                        \
	document_find_at((d), POLICY_WARNING, (id), (node)->line, (node)->column, (fix), __VA_ARGS__)

/* An error: `what` and the word that was looked for, with the nearest known one as the fix. */
void document_did_you_mean(struct document *d, const struct yaml_node *node, const char *id,
			   const struct nearest *nearest, const char *what);

/* lint.c: what loads, but deserves a look. node is the rule's mapping. */
void lint_rule(struct document *d, const struct rule *rule, const struct yaml_node *node);
void lint_groups(struct document *d);

/* doctest.c: the tests section. */
void tests_read(struct document *d, const struct yaml_node *node);
void tests_run(struct document *d);
void tests_free(struct document *d);

/* groups.c: who is meant. Reads the groups section, and a list of members into subjects, sorted. */
void groups_read(struct document *d, const struct yaml_node *node);
void read_members(struct document *d, const struct yaml_node *node, const char *what, struct ids *out);
/* What groups each subject is in, itself included. After the last subject is known. -1: memory. */
int groups_close(struct document *d);
/* Says that this names nobody; kinds: what may stand there. */
void document_bad_principal(struct document *d, const struct yaml_node *node, const char *id, const char *kinds);

/* A name's number, or NO_ID: memory. */
uint32_t document_intern(struct document *d, struct names *names, const char *s);
void document_add_id(struct document *d, struct id_list *list, uint32_t id);
/* The scratch list, sorted and without doubles, in the policy's memory; the scratch list is empty after. */
struct ids document_take_ids(struct document *d);

/* fields.c: readers that all sections use. Each says what is wrong by itself and returns -1. */
struct field {
	const char *key;
	bool required;
	void (*read)(struct document *d, const struct yaml_node *node, void *target);
};
int read_fields(struct document *d, const struct yaml_node *node, const char *what, const struct field *fields,
		size_t n_fields, void *target);
int read_text(struct document *d, const struct yaml_node *node, const char *what, const char **out);
int read_time(struct document *d, const struct yaml_node *node, const char *what, int64_t *out);
int read_lifetime(struct document *d, const struct yaml_node *node, const char *what, int64_t *out);
int read_permission(struct document *d, const struct yaml_node *node, enum policy_permission *out);
int read_account(struct document *d, const struct yaml_node *node, const char **out);
int read_scope(struct document *d, const struct yaml_node *node, const char **out);
/* A name for a group or a rule. */
int check_name(struct document *d, const struct yaml_node *node, const char *what);
bool is_list(struct document *d, const struct yaml_node *node, const char *what);
/* A list of strings, each through read_one, into the policy's memory. */
int read_strings(struct document *d, const struct yaml_node *node, const char *what, size_t max,
		 int (*read_one)(struct document *, const struct yaml_node *, const char **), const char *const **out,
		 size_t *n);
