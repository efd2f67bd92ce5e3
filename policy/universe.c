/* Principals and accounts. See universe.h; instants are universe_time.c's. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/cel_ast.h"
#include "policy/condition.h"
#include "policy/universe.h"

#define MAX_LOOKS 20000000 /* at pairs of patterns, and of patterns and accounts */
#define MAX_OVERLAPS 10000 /* that get an account of their own */

static const char account_prefix[] = "projects/-/serviceAccounts/";

/* Patterns that overlap, each text once. */
struct patterns {
	struct names texts;
	struct pattern *list; /* by number among the texts */
	size_t size;
	uint32_t looks;
};

/* ---- names, each once ---- */

static int add(struct universe *u, struct universe_list *list, const char *name, const char *stands_for) {
	uint32_t before = u->names.n, id;
	struct universe_item *more;

	if (names_intern(&u->names, &u->memory, name, strlen(name), &id) < 0)
		return -1;
	if (id != before)
		return 0;
	if (list->n == list->size) {
		list->size = list->size ? list->size * 2 : 64;
		more = realloc(list->items, list->size * sizeof(*more));
		if (!more)
			return -1;
		list->items = more;
	}
	if (stands_for && !(stands_for = chunks_str(&u->memory, stands_for, strlen(stands_for))))
		return -1;
	list->items[list->n++] = (struct universe_item){ u->names.list[id], stands_for };
	return 0;
}

static bool is_taken(const struct universe *u, const char *name) {
	return names_find(&u->names, name, strlen(name)) != NO_ID;
}

static int add_named(struct universe *u, const struct policy *policy) {
	for (uint32_t i = 0; i < policy->subjects.n; i++)
		if (principal_may_ask(policy->subjects.list[i]) && add(u, &u->principals, policy->subjects.list[i], NULL) < 0)
			return -1;
	for (uint32_t i = 0; i < policy->accounts.n; i++)
		if (add(u, &u->accounts, policy->accounts.list[i], NULL) < 0)
			return -1;
	return 0;
}

/* ---- names that stand in conditions alone ---- */

static int add_mentioned_text(struct universe *u, struct cel_value v) {
	const size_t n_prefix = sizeof(account_prefix) - 1;
	char text[MAX_PRINCIPAL], canonical[MAX_PRINCIPAL], email[MAX_EMAIL];

	if (v.kind != CEL_STRING || v.n >= sizeof(text) || memchr(v.s, 0, v.n))
		return 0;
	memcpy(text, v.s, v.n);
	text[v.n] = '\0';
	if (principal_canonical(text, canonical))
		return add(u, &u->principals, canonical, NULL);
	if (!strncmp(text, account_prefix, n_prefix) && email_canonical(text + n_prefix, email))
		return add(u, &u->accounts, email, NULL);
	return 0;
}

static int add_mentioned_constant(struct universe *u, struct cel_value v) {
	for (uint32_t i = 0; v.kind == CEL_LIST && i < cel_list_size(v); i++)
		if (add_mentioned_text(u, cel_list_at(v, i)) < 0)
			return -1;
	return add_mentioned_text(u, v);
}

/* Depth: cel_limits.depth. */
static int add_mentioned(struct universe *u, const struct cel_node *node) {
	if (node->kind == CEL_N_CONST)
		return add_mentioned_constant(u, node->constant);
	for (uint32_t i = 0; i < node->n; i++)
		if (add_mentioned(u, node->kids[i]) < 0)
			return -1;
	return 0;
}

static int add_all_mentioned(struct universe *u, const struct policy *policy) {
	const struct cel_program *program;

	for (uint32_t i = 0; (program = condition_env_program(policy->env, i)); i++)
		if (add_mentioned(u, cel_program_root(program)) < 0)
			return -1;
	return 0;
}

/* ---- strangers ---- */

/* "user:somebody@example.com", or with a number where that one is known. */
static int add_stranger(struct universe *u, const char *domain, const char *stands_for) {
	char name[MAX_PRINCIPAL];

	snprintf(name, sizeof(name), "user:somebody@%s", domain);
	for (unsigned i = 2; is_taken(u, name); i++)
		snprintf(name, sizeof(name), "user:somebody%u@%s", i, domain);
	return add(u, &u->principals, name, stands_for);
}

static bool has_stranger(const struct universe *u, const char *stands_for) {
	for (size_t i = u->principals.n; i > 0 && u->principals.items[i - 1].stands_for; i--)
		if (!strcmp(u->principals.items[i - 1].stands_for, stands_for))
			return true;
	return false;
}

static int add_domain_strangers(struct universe *u, const struct policy *policy) {
	char stands_for[MAX_EMAIL + 32];
	const char *kind, *domain;

	for (uint32_t i = 0; policy->has_domains && i < policy->subjects.n; i++) {
		kind = principal_kind(policy->subjects.list[i], &domain);
		if (!kind || strcmp(kind, "domain"))
			continue;
		snprintf(stands_for, sizeof(stands_for), "anybody else of %s", domain);
		if (!(policy != u->policies[0] && has_stranger(u, stands_for)) && add_stranger(u, domain, stands_for) < 0)
			return -1;
	}
	return 0;
}

/* ---- accounts of patterns ---- */

static int patterns_add(struct universe *u, struct patterns *all, struct str prefix, struct str suffix) {
	char text[2 * MAX_EMAIL];
	size_t n = (size_t)snprintf(text, sizeof(text), "%.*s*%.*s", (int)prefix.n, prefix.p, (int)suffix.n, suffix.p);
	uint32_t before = all->texts.n, id;
	struct pattern *more;
	const char *copy;

	if (n >= sizeof(text))
		return 0;
	if (names_intern(&all->texts, &u->memory, text, n, &id) < 0)
		return -1;
	if (id != before)
		return 0;
	if (id == all->size) {
		all->size = all->size ? all->size * 2 : 64;
		more = realloc(all->list, all->size * sizeof(*more));
		if (!more)
			return -1;
		all->list = more;
	}
	copy = all->texts.list[id];
	all->list[id] = (struct pattern){ { copy, prefix.n }, { copy + prefix.n + 1, suffix.n }, 0 };
	return 0;
}

static int patterns_of(struct universe *u, struct patterns *all, const struct rule_set *set) {
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < set->rules[i].n_patterns; k++)
			if (patterns_add(u, all, set->rules[i].patterns[k].prefix, set->rules[i].patterns[k].suffix) < 0)
				return -1;
	return 0;
}

static bool look(struct universe *u, struct patterns *all) {
	u->sampled |= !all->looks;
	return all->looks && all->looks--;
}

/* What both of them match, where it is not one of them. */
static int add_overlap(struct universe *u, struct patterns *all, const struct pattern *a, const struct pattern *b) {
	struct pattern both = pattern_common(a, b);

	if (!patterns_overlap(a, b) || pattern_within(a, b) || pattern_within(b, a))
		return 0;
	return patterns_add(u, all, both.prefix, both.suffix);
}

static int add_overlaps(struct universe *u, struct patterns *all) {
	uint32_t n = all->texts.n;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < i && look(u, all); k++) {
			if (all->texts.n - n > MAX_OVERLAPS) {
				u->sampled = true;
				return 0;
			}
			if (add_overlap(u, all, &all->list[i], &all->list[k]) < 0)
				return -1;
		}
	return 0;
}

/* Whether a pattern that it was not made for matches it, too. */
static bool strays(struct universe *u, struct patterns *all, const struct pattern *from, struct str account) {
	for (uint32_t i = 0; i < all->texts.n && look(u, all); i++)
		if (pattern_matches(&all->list[i], account) && !pattern_within(from, &all->list[i]))
			return true;
	return false;
}

bool universe_account(const struct pattern *p, unsigned attempt, char email[MAX_EMAIL]) {
	static const char *const middles[UNIVERSE_ATTEMPTS] = { "example", "other", "some-1", "any-thing", "x7", "q" };
	const char *domain = p->suffix.n && memchr(p->suffix.p, '@', p->suffix.n) ? "" : "@elsewhere.iam.gserviceaccount.com";
	char account[3 * MAX_EMAIL];

	snprintf(account, sizeof(account), "%.*s%s%.*s%s", (int)p->prefix.n, p->prefix.p, middles[attempt], (int)p->suffix.n,
		 p->suffix.p, domain);
	return email_canonical(account, email);
}

/* An account that this pattern matches, and no narrower one. */
static int add_example(struct universe *u, struct patterns *all, const struct pattern *p, const char *stands_for) {
	char email[MAX_EMAIL];

	for (unsigned i = 0; i < UNIVERSE_ATTEMPTS; i++)
		if (universe_account(p, i, email) && !is_taken(u, email) && !strays(u, all, p, str_of(email)))
			return add(u, &u->accounts, email, stands_for);
	u->sampled = true;
	return 0;
}

static int add_examples(struct universe *u, struct patterns *all) {
	const struct pattern elsewhere = { .suffix = STR("@elsewhere.iam.gserviceaccount.com") };

	for (size_t i = 0; i < u->n_policies; i++)
		if (patterns_of(u, all, &u->policies[i]->bindings) < 0 || patterns_of(u, all, &u->policies[i]->denials) < 0)
			return -1;
	if (add_overlaps(u, all) < 0)
		return -1;
	for (uint32_t i = 0; i < all->texts.n; i++)
		if (add_example(u, all, &all->list[i], all->texts.list[i]) < 0)
			return -1;
	if (names_find(&all->texts, "*", 1) != NO_ID)
		return 0; /* its example is the account that no other pattern concerns */
	return add_example(u, all, &elsewhere, "any other account");
}

/* ---- all of it ---- */

static int by_name(const void *a, const void *b) {
	return strcmp(((const struct universe_item *)a)->name, ((const struct universe_item *)b)->name);
}

static void sort(struct universe_list *list) {
	if (list->n)
		qsort(list->items, list->n, sizeof(*list->items), by_name);
}

static int build(struct universe *u) {
	struct patterns all = { .looks = MAX_LOOKS };
	int r = 0;

	for (size_t i = 0; i < u->n_policies && r == 0; i++)
		r = add_named(u, u->policies[i]) < 0 || add_all_mentioned(u, u->policies[i]) < 0 ? -1 : 0;
	sort(&u->principals);
	sort(&u->accounts);
	for (size_t i = 0; i < u->n_policies && r == 0; i++)
		r = add_domain_strangers(u, u->policies[i]);
	if (r == 0)
		r = add_stranger(u, "elsewhere.example", "anybody else");
	if (r == 0)
		r = add_examples(u, &all);
	names_fini(&all.texts);
	free(all.list);
	return r;
}

int universe_new(const struct policy *const *policies, size_t n, struct universe **out, struct error *err) {
	cleanup(universe_freep) struct universe *u = calloc(1, sizeof(*u));

	*out = NULL;
	assert(n > 0 && n <= ARRAY_SIZE(u->policies));
	if (!u)
		return error_set(err, ERR_INTERNAL, "out of memory");
	memcpy(u->policies, policies, n * sizeof(*policies));
	u->n_policies = n;
	if (build(u) < 0)
		return error_set(err, ERR_INTERNAL, "out of memory");
	*out = take(&u);
	return 0;
}

void universe_free(struct universe *u) {
	if (!u)
		return;
	names_fini(&u->names);
	free(u->principals.items);
	free(u->accounts.items);
	free(u->instants);
	chunks_fini(&u->memory);
	free(u);
}
