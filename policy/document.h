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
#include "policy/ignores.h"
#include "policy/rules.h"

#define MAX_ERRORS 20
#define MAX_WARNINGS 200
#define LINT_WORK 20000000 /* nodes of conditions that lint looks at: some tenths of a second */
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
	size_t report_size, n_notes;
	bool no_memory;
	unsigned memory_failures; /* policy_memory_failures() when it began */
	uint32_t lint_work; /* nodes of conditions that lint may still look at */
	struct ignores ignores;

	struct names group_names, rule_names;
	struct group *groups;      /* by number in group_names */
	struct pair_list direct;   /* subject, group */
	struct pair_list nested;   /* group, the group it is in */
	struct id_list rule_lines; /* by number in rule_names */
	struct id_list ids;        /* scratch: the list being read */
	struct pair_list entries;  /* scratch: the same, each with its place in the list */
	struct test *tests;
	size_t n_tests;
	struct invariant *invariants;
	size_t n_invariants;
	const struct policy_watch *watch; /* NULL: nobody does */
};

/* findings.c. Adds a finding at a position; fix may be NULL. Only counted when there are too many already. */
__attribute__((format(printf, 7, 8))) void document_find_at(struct document *d, enum policy_severity severity,
							    const char *id, unsigned line, unsigned column,
							    const char *fix, const char *fmt, ...);
/* An error at a node; for warnings see lint.h. */
#define document_error(d, node, id, fix, ...)                                                                          \
	document_find_at((d), POLICY_ERROR, (id), (node)->line, (node)->column, (fix), __VA_ARGS__)

/* Whether errors are only counted from now on, so that nobody needs to look for what to say in them. */
bool document_is_full(const struct document *d);
/* An error: `what` and the word that was looked for, with the nearest known one as the fix. */
void document_did_you_mean(struct document *d, const struct yaml_node *node, const char *id,
			   const struct nearest *nearest, const char *what);

/* doctest.c: the tests section. */
void tests_read(struct document *d, const struct yaml_node *node);
void tests_run(struct document *d);
void tests_free(struct document *d);

/* invariants.c: the invariants section. */
void invariants_read(struct document *d, const struct yaml_node *node);
void invariants_run(struct document *d);
void invariants_free(struct document *d);

/* watch.c: who wants to see each of them run. */
void watch_begins(struct document *d, const struct policy_check *check);
void watch_ended(struct document *d, const struct policy_check *check);

/* groups.c: who is meant. Reads the groups section, and a list of members into subjects, sorted. */
void groups_read(struct document *d, const struct yaml_node *node);
void read_members(struct document *d, const struct yaml_node *node, const char *what, struct ids *out);
/* The same where one member may stand without a list around it. */
void read_member_or_members(struct document *d, const struct yaml_node *node, const char *what, struct ids *out);
/* What groups each subject is in, itself included. After the last subject is known. -1: memory. */
int groups_close(struct document *d);
/* Says that this names nobody; kinds: what may stand there. */
void document_bad_principal(struct document *d, const struct yaml_node *node, const char *id, const char *kinds);

/* A name's number, or NO_ID: memory. */
uint32_t document_intern(struct document *d, struct names *names, const char *s);
void document_add_id(struct document *d, struct id_list *list, uint32_t id);
/* The scratch list, sorted and without doubles, in the policy's memory; the scratch list is empty after. */
struct ids document_take_ids(struct document *d);
/* The same for entries of a list in the document, where doubles are lint. */
void document_add_entry(struct document *d, uint32_t id, uint32_t place);
struct ids document_take_entries(struct document *d, const struct yaml_node *list);

/*
 * What may stand behind a key, as schema.c tells it to editors beforehand; the field's reader tells it afterwards, and more
 * exactly. A mapping is described by the table that it is read by.
 */
enum shape {
	SHAPE_MAPPING,	/* with the keys of .keys */
	SHAPE_MAPPINGS, /* a list of those */
	SHAPE_ALTERNATIVES, /* a list of those, each with one of the keys that are not required */
	SHAPE_OBJECT,	/* with any keys */
	SHAPE_VERSION,
	SHAPE_BOOL,
	SHAPE_NUMBER,
	SHAPE_TEXT,
	SHAPE_TEXTS,
	SHAPE_NAME,
	SHAPE_EXPRESSION,
	SHAPE_TIME,
	SHAPE_DURATION,
	SHAPE_GROUPS,
	SHAPE_MEMBER,
	SHAPE_MEMBERS,
	SHAPE_WHO, /* one, or a list */
	SHAPE_PRINCIPAL,
	SHAPE_ACCOUNT,
	SHAPE_ACCOUNTS,
	SHAPE_PATTERN, /* an account, or a pattern of accounts */
	SHAPE_PATTERNS,
	SHAPE_WHICH, /* one, or a list */
	SHAPE_PERMISSION,
	SHAPE_PERMISSIONS,
	SHAPE_ASKED, /* one, or a list */
	SHAPE_SCOPE,
	SHAPE_SCOPES,
	SHAPE_SURFACE,
	SHAPE_DECISION, /* or a mapping with the keys of .keys */
	SHAPE_REASON,
	N_SHAPES
};

/* One key of a mapping. A table ends with a field that has no key. */
struct field {
	const char *key;
	bool required;
	void (*read)(struct document *d, const struct yaml_node *node, void *target);
	enum shape shape;
	const char *sentence;	  /* for people: what it is for */
	const struct field *keys; /* of the mapping that stands there; NULL: none does */
};

/* The keys of a policy (document.c), of its tests (doctest.c) and invariants (invariants.c). */
extern const struct field policy_fields[], test_fields[], invariant_fields[];

/* fields.c: readers that all sections use. Each says what is wrong by itself and returns -1. */
int read_fields(struct document *d, const struct yaml_node *node, const char *what, const struct field *fields,
		void *target);
int read_text(struct document *d, const struct yaml_node *node, const char *what, const char **out);
int read_bool(struct document *d, const struct yaml_node *node, const char *what, bool *out);
int read_number(struct document *d, const struct yaml_node *node, const char *what, int64_t min, int64_t max, int64_t *out);
int read_time(struct document *d, const struct yaml_node *node, const char *what, int64_t *out);
int read_lifetime(struct document *d, const struct yaml_node *node, const char *what, int64_t *out);
/* The same with bounds of its own: seconds, and the words for them. */
int read_span(struct document *d, const struct yaml_node *node, const char *what, int64_t min_s, int64_t max_s,
	      const char *bounds, int64_t *out);
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
