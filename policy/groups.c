/* Who is meant: members, groups, and who is in which, nested ones included. See document.h. */

#include <stdlib.h>
#include "policy/document.h"
#include "policy/lint.h"

#define MAX_ANCESTRY 4000000 /* (subject, group) pairs, nested ones included */

/* ---- growing lists ---- */

static void *grown(struct document *d, void *list, size_t n, size_t *size, size_t item) {
	size_t more = *size ? *size * 2 : 64;
	void *bigger;

	if (n < *size)
		return list;
	bigger = realloc(list, more * item);
	if (!bigger) {
		d->no_memory = true;
		return NULL;
	}
	*size = more;
	return bigger;
}

void document_add_id(struct document *d, struct id_list *list, uint32_t id) {
	uint32_t *v = grown(d, list->v, list->n, &list->size, sizeof(*v));

	if (!v)
		return;
	list->v = v;
	v[list->n++] = id;
}

static void add_pair(struct document *d, struct pair_list *list, uint32_t key, uint32_t item) {
	struct pair *v = grown(d, list->v, list->n, &list->size, sizeof(*v));

	if (!v)
		return;
	list->v = v;
	v[list->n++] = (struct pair){ key, item };
}

struct ids document_take_ids(struct document *d) {
	struct id_list *list = &d->ids;
	uint32_t n = 0, *v;

	if (list->n)
		qsort(list->v, list->n, sizeof(*list->v), id_compare);
	for (size_t i = 0; i < list->n; i++)
		if (n == 0 || list->v[i] != list->v[n - 1])
			list->v[n++] = list->v[i];
	list->n = 0;
	v = chunks_copy(&d->policy->memory, list->v, n * sizeof(*v), _Alignof(uint32_t));
	if (!v) {
		d->no_memory = true;
		n = 0;
	}
	return (struct ids){ v, n };
}

void document_add_entry(struct document *d, uint32_t id, uint32_t place) {
	add_pair(d, &d->entries, id, place);
}

/* marks: by place in the list. */
static void warn_of_marked(struct document *d, const struct yaml_node *list, const bool *marks) {
	size_t i = 0;

	yaml_each (item, list)
		if (marks[i++])
			document_lint(d, LINT_DUPLICATE_ENTRY, item);
}

struct ids document_take_entries(struct document *d, const struct yaml_node *list) {
	struct pair_list *entries = &d->entries;
	bool *marks = NULL;

	if (entries->n > 1)
		qsort(entries->v, entries->n, sizeof(*entries->v), pair_compare);
	for (size_t i = 0; i < entries->n; i++) {
		if (i == 0 || entries->v[i].key != entries->v[i - 1].key) {
			document_add_id(d, &d->ids, entries->v[i].key);
			continue;
		}
		marks = marks ? marks : calloc(list->n, sizeof(*marks));
		if (marks)
			marks[entries->v[i].item] = true;
		else
			d->no_memory = true;
	}
	entries->n = 0;
	if (marks)
		warn_of_marked(d, list, marks);
	free(marks);
	return document_take_ids(d);
}

uint32_t document_intern(struct document *d, struct names *names, const char *s) {
	uint32_t id = NO_ID;

	if (names_intern(names, &d->policy->memory, s, strlen(s), &id) < 0)
		d->no_memory = true;
	return id;
}

/* ---- members ---- */

static void unknown_group(struct document *d, const struct yaml_node *node, const char *name) {
	struct nearest nearest;

	nearest_init(&nearest, name);
	for (uint32_t i = 0; i < d->group_names.n && !document_is_full(d); i++)
		nearest_offer(&nearest, d->group_names.list[i]);
	document_did_you_mean(d, node, "unknown-group", &nearest, "there is no group");
}

/* An address without its kind: whose it looks like. */
static bool kind_is_missing(const struct yaml_node *node, char fix[MAX_EMAIL + 64]) {
	char email[MAX_EMAIL];
	size_t n;

	if (node->kind != YAML_SCALAR || canonical_email(node->text, email) < 0)
		return false;
	n = strlen(email);
	snprintf(fix, MAX_EMAIL + 64, "did you mean \"%s:%s\"?",
		 n > 20 && !strcmp(email + n - 20, ".gserviceaccount.com") ? "serviceAccount" : "user", email);
	return true;
}

void document_bad_principal(struct document *d, const struct yaml_node *node, const char *id, const char *kinds) {
	char fix[MAX_EMAIL + 64];

	document_error(d, node, id, kind_is_missing(node, fix) ? fix : kinds, "\"%.80s\" names nobody",
		       node->kind == YAML_SCALAR ? node->text : yaml_kind_name(node));
}

static void bad_member(struct document *d, const struct yaml_node *node) {
	document_bad_principal(
		d, node, "bad-member",
		"write user:EMAIL, serviceAccount:EMAIL, group:NAME, domain:DOMAIN, principal:ID or allAuthenticated");
}

/* A group's number, or NO_ID after saying so. */
static uint32_t read_group_ref(struct document *d, const struct yaml_node *node, const char *name) {
	uint32_t id = names_find(&d->group_names, name, strlen(name));

	if (id == NO_ID)
		unknown_group(d, node, name);
	else
		d->groups[id].used = true;
	return id;
}

/* The subject that a member is, and *group where that is a group's. NO_ID: said so. */
static uint32_t read_member(struct document *d, const struct yaml_node *node, uint32_t *group) {
	char buf[MAX_EMAIL * 2] = "domain:";
	const char *rest, *kind;

	*group = NO_ID;
	if (node->kind != YAML_SCALAR) {
		bad_member(d, node);
		return NO_ID;
	}
	if (!strcmp(node->text, "allAuthenticated"))
		return SUBJECT_ALL;
	kind = principal_kind(node->text, &rest);
	if (kind && !strcmp(kind, "group")) {
		*group = read_group_ref(d, node, rest);
		return *group == NO_ID ? NO_ID : d->groups[*group].subject;
	}
	if (kind &&
	    (strcmp(kind, "domain") ? canonical_principal(node->text, buf) : canonical_domain(rest, buf + 7)) == 0) {
		d->policy->has_domains |= !strcmp(kind, "domain");
		lint_member(d, node, buf);
		return document_intern(d, &d->policy->subjects, buf);
	}
	bad_member(d, node);
	return NO_ID;
}

void read_members(struct document *d, const struct yaml_node *node, const char *what, struct ids *out) {
	uint32_t subject, group, place = 0;

	if (!is_list(d, node, what))
		return;
	if (node->n == 0)
		document_error(d, node, "bad-list", NULL, "%s is empty", what);
	yaml_each (item, node) {
		subject = read_member(d, item, &group);
		if (subject != NO_ID)
			document_add_entry(d, subject, place);
		place++;
	}
	*out = document_take_entries(d, node);
}

void read_member_or_members(struct document *d, const struct yaml_node *node, const char *what, struct ids *out) {
	uint32_t subject, group;

	if (node->kind == YAML_LIST) {
		read_members(d, node, what, out);
		return;
	}
	subject = read_member(d, node, &group);
	if (subject != NO_ID)
		document_add_id(d, &d->ids, subject);
	*out = document_take_ids(d);
}

/* ---- groups ---- */

static void declare_groups(struct document *d, const struct yaml_node *node) {
	char subject[MAX_NAME + 8];
	uint32_t id;

	yaml_each (members, node) {
		if (check_name(d, members->key, "a group") < 0)
			continue;
		id = document_intern(d, &d->group_names, members->key->text);
		snprintf(subject, sizeof(subject), "group:%s", members->key->text);
		if (id != NO_ID && !d->groups[id].node)
			d->groups[id] =
				(struct group){ .node = members, .subject = document_intern(d, &d->policy->subjects, subject) };
	}
}

static void read_group_members(struct document *d, uint32_t id) {
	uint32_t subject, group, place = 0;

	if (!is_list(d, d->groups[id].node, "a group"))
		return;
	yaml_each (item, d->groups[id].node) {
		subject = read_member(d, item, &group);
		if (group != NO_ID)
			add_pair(d, &d->nested, group, id);
		else if (subject != NO_ID)
			add_pair(d, &d->direct, subject, id);
		if (subject != NO_ID)
			document_add_entry(d, subject, place);
		place++;
	}
	document_take_entries(d, d->groups[id].node);
}

/* Follows groups that are still waiting for a parent: they end in a circle. Names it. */
static void report_cycle(struct document *d, const struct postings *parents, uint32_t from) {
	struct buf path = BUF_INIT(400);
	uint32_t at = from, first;
	struct ids up;

	for (uint32_t i = 0; i < d->group_names.n; i++) { /* walk far enough to be on the circle */
		up = postings_at(parents, at);
		for (uint32_t k = 0; k < up.n; k++)
			if (d->groups[up.v[k]].n_parents) {
				at = up.v[k];
				break;
			}
	}
	first = at;
	do {
		buf_addf(&path, "%s is in ", d->group_names.list[at]);
		up = postings_at(parents, at);
		for (uint32_t k = 0; k < up.n; k++)
			if (d->groups[up.v[k]].n_parents) {
				at = up.v[k];
				break;
			}
	} while (at != first);
	buf_adds(&path, d->group_names.list[first]);
	document_error(d, d->groups[first].node, "group-cycle", NULL, "groups contain each other%s%s",
		       buf_ok(&path) ? ": " : "", buf_ok(&path) ? path.data : "");
	buf_fini(&path);
}

static void collect_ancestors(struct document *d, const struct postings *parents, uint32_t group, size_t *budget) {
	struct ids up = postings_at(parents, group), above;

	for (uint32_t i = 0; i < up.n; i++) {
		above = d->groups[up.v[i]].ancestors;
		if (above.n + 1 > *budget) {
			*budget = 0;
			break;
		}
		*budget -= above.n + 1;
		document_add_id(d, &d->ids, up.v[i]);
		for (uint32_t k = 0; k < above.n; k++)
			document_add_id(d, &d->ids, above.v[k]);
	}
	d->groups[group].ancestors = document_take_ids(d);
}

/* Outer groups first (Kahn), so that each group's ancestors are complete before they are inherited. */
static void order_groups(struct document *d, const struct postings *parents, const struct postings *children,
			 uint32_t *queue, size_t *budget) {
	uint32_t n = d->group_names.n, head = 0, tail = 0;
	struct ids down;

	for (uint32_t g = 0; g < n; g++) {
		d->groups[g].n_parents = postings_at(parents, g).n;
		if (d->groups[g].n_parents == 0)
			queue[tail++] = g;
	}
	while (head < tail) {
		collect_ancestors(d, parents, queue[head], budget);
		down = postings_at(children, queue[head++]);
		for (uint32_t i = 0; i < down.n; i++)
			if (--d->groups[down.v[i]].n_parents == 0)
				queue[tail++] = down.v[i];
	}
	for (uint32_t g = 0; g < n && tail < n; g++)
		if (d->groups[g].n_parents) {
			report_cycle(d, parents, g);
			break;
		}
}

static void nest_groups(struct document *d) {
	struct postings parents = { 0 }, children = { 0 };
	uint32_t n = d->group_names.n, *queue = malloc((n + 1) * sizeof(*queue));
	size_t budget = MAX_ANCESTRY;

	d->no_memory |= !queue || postings_build(&parents, n, d->nested.v, d->nested.n) < 0;
	for (size_t i = 0; i < d->nested.n; i++)
		d->nested.v[i] = (struct pair){ d->nested.v[i].item, d->nested.v[i].key };
	d->no_memory |= postings_build(&children, n, d->nested.v, d->nested.n) < 0;
	if (!d->no_memory)
		order_groups(d, &parents, &children, queue, &budget);
	if (!budget)
		document_error(d, d->groups[0].node, "groups-too-large", NULL,
			       "groups are nested into each other too often");
	postings_fini(&parents);
	postings_fini(&children);
	free(queue);
}

void groups_read(struct document *d, const struct yaml_node *node) {
	if (node->kind != YAML_MAP) {
		document_error(d, node, "wrong-type", NULL, "groups must be a mapping, but this is %s",
			       yaml_kind_name(node));
		return;
	}
	d->groups = calloc(node->n + 1, sizeof(*d->groups));
	if (!d->groups) {
		d->no_memory = true;
		return;
	}
	declare_groups(d, node);
	for (uint32_t i = 0; i < d->group_names.n && !d->no_memory; i++)
		read_group_members(d, i);
	if (!d->no_memory)
		nest_groups(d);
	d->policy->stats.groups = d->group_names.n;
}

static void add_ancestors(struct document *d, struct pair_list *pairs, uint32_t subject, const struct group *group) {
	for (uint32_t i = 0; i < group->ancestors.n; i++)
		add_pair(d, pairs, subject, d->groups[group->ancestors.v[i]].subject);
}

int groups_close(struct document *d) {
	struct pair_list pairs = { 0 };
	int r;

	for (uint32_t s = 0; s < d->policy->subjects.n; s++)
		add_pair(d, &pairs, s, s);
	for (size_t i = 0; i < d->direct.n && pairs.n < MAX_ANCESTRY; i++) {
		add_pair(d, &pairs, d->direct.v[i].key, d->groups[d->direct.v[i].item].subject);
		add_ancestors(d, &pairs, d->direct.v[i].key, &d->groups[d->direct.v[i].item]);
	}
	for (uint32_t g = 0; g < d->group_names.n && pairs.n < MAX_ANCESTRY; g++)
		add_ancestors(d, &pairs, d->groups[g].subject, &d->groups[g]);
	if (pairs.n >= MAX_ANCESTRY && d->tree->root)
		document_error(d, d->tree->root, "groups-too-large", NULL, "groups have more than %d members in all",
			       MAX_ANCESTRY);
	r = postings_build(&d->policy->groups_of, d->policy->subjects.n, pairs.v, pairs.n);
	free(pairs.v);
	return r;
}
