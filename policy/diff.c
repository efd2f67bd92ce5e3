/* All that differs, merged. See diff.h and policy_diff() in hallpass/policy.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "hallpass/json.h"
#include "policy/condition.h"
#include "policy/diff.h"

#define MAX_DECISIONS 10000000
#define MAX_ATOMS 500000
#define MAX_NAMES 8 /* of rules behind one change */
#define MAX_OPEN 20 /* rules whose conditions ask for what was not tried */

/* Names of rules, a few of them. */
struct some_names {
	const char *v[MAX_NAMES];
	size_t n;
	bool more;
};

/* One fact of one class, account and permission; then, level by level, of sets of them. */
struct atom {
	uint32_t fact;	   /* number of its text */
	uint32_t who;	   /* class; then a set of classes */
	uint32_t account;  /* then a set of accounts */
	uint32_t permissions; /* bits */
	struct {
		uint32_t class, account;
		enum policy_permission permission;
		int64_t at;
	} witness;
	struct some_names *names[2];
};

struct diffing {
	const struct universe *u;
	struct diff_question question;
	struct diff_pairs pairs;
	struct diff_words words;
	struct diff_stats stats;
	struct diff_cache cache;
	struct chunks memory;
	struct names facts, sets;
	json_t *fact_list; /* by number */
	struct atom *atoms;
	size_t n, size;
	bool truncated;
	size_t pairs_looked_at;
	json_t *open; /* rule -> attributes that were not tried */
	size_t more_open;
	/* where we are */
	uint32_t class, account;
	enum policy_permission permission;
};

/* ---- finding ---- */

static void add_name(struct some_names *names, const char *name) {
	if (!name)
		return;
	for (size_t i = 0; i < names->n; i++)
		if (!strcmp(names->v[i], name))
			return;
	if (names->n < MAX_NAMES)
		names->v[names->n++] = name;
	else
		names->more = true;
}

static struct some_names *names_of(struct diffing *d, const char *name) {
	struct some_names *names = chunks_new(&d->memory, struct some_names);

	if (!names)
		return NULL;
	*names = (struct some_names){ 0 };
	add_name(names, name);
	return names;
}

static int found(const json_t *json, int64_t at, const struct diff_variant *variant, const struct diff_answer *was,
		 const struct diff_answer *now, void *arg) {
	struct diffing *d = arg;
	char *key = json_dumps(json, JSON_COMPACT);
	struct atom *more;
	uint32_t fact;

	(void)variant;
	if (d->n == MAX_ATOMS) {
		d->truncated = true;
		free(key);
		return 0;
	}
	if (d->n == d->size) {
		d->size = d->size ? d->size * 2 : 256;
		more = realloc(d->atoms, d->size * sizeof(*more));
		if (!more) {
			free(key);
			return -1;
		}
		d->atoms = more;
	}
	if (!key || names_intern(&d->facts, &d->memory, key, strlen(key), &fact) < 0) {
		free(key);
		return -1;
	}
	free(key);
	if (fact == json_array_size(d->fact_list))
		json_array_append_new(d->fact_list, json_deep_copy(json));
	d->atoms[d->n] = (struct atom){ fact, d->class, d->account, 1u << d->permission, { d->class, d->account, d->permission, at },
					{ names_of(d, was->rule), names_of(d, now->rule) } };
	return d->atoms[d->n].names[0] && d->atoms[d->n].names[1] ? (d->n++, 0) : -1;
}

/* What nobody can guess; and of a name that stands for others, all that is read out of it. */
static bool is_untried(const struct diffing *d, const struct condition *condition, unsigned slot, const char *attribute) {
	static const char *const open[] = { "request.auth.claims", "request.auth.access_levels", "request.audience", "request.peer.uid",
					    "request.peer.gid",	   "request.peer.pid",		"request.peer.exe", "origin.ip", "origin.port" };
	bool is_name = (!strcmp(attribute, "resource.name") && d->u->accounts.items[d->account].stands_for) ||
		       (!strcmp(attribute, "request.auth.principal") && d->u->principals.items[d->pairs.classes[d->class].first].stands_for);

	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		if (!strcmp(open[i], attribute))
			return cel_program_uses(condition_program(condition), slot);
	return is_name && diff_looks_into(condition, slot);
}

/* False: the list of rules is full. */
static bool note_rule(struct diffing *d, const struct rule *rule, const char *attribute) {
	json_t *list = json_object_get(d->open, rule->name);

	if (!list && json_object_size(d->open) == MAX_OPEN) {
		d->more_open++;
		return false;
	}
	if (!list)
		json_object_set_new(d->open, rule->name, list = json_array());
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!strcmp(json_string_value(json_array_get(list, i)), attribute))
			return true;
	json_array_append_new(list, json_string(attribute));
	return true;
}

static void note_open(struct diffing *d, const struct diff_concerned *c) {
	const struct cel_type *type;
	const char *name;

	for (size_t i = 0; i < c->n; i++)
		for (unsigned slot = 0; c->rules[i]->condition && (name = condition_attribute(slot, &type)); slot++)
			if (is_untried(d, c->rules[i]->condition, slot, name) && !note_rule(d, c->rules[i], name))
				break;
}

static int look_at(struct diffing *d, struct error *err) {
	const char *principal = d->u->principals.items[d->pairs.classes[d->class].first].name;
	const char *account = d->u->accounts.items[d->account].name;
	struct diff_concerned *c = malloc(sizeof(*c));
	int r = c ? diff_concern(c, &d->question, principal, account, d->permission) : -1;

	if (r < 0)
		error_set(err, ERR_INTERNAL, "out of memory");
	if (r == 0 && c->may_be_allowed) {
		note_open(d, c);
		r = diff_pair(&d->question, c, principal, account, d->permission, &d->cache, &d->stats, found, d, err);
	}
	if (c)
		diff_concerned_fini(c);
	free(c);
	return r;
}

static int look_at_all(struct diffing *d, struct error *err) {
	for (size_t i = 0; i < d->pairs.n; i++) {
		if (d->stats.decisions >= MAX_DECISIONS) {
			d->truncated = true;
			break;
		}
		d->class = (uint32_t)(d->pairs.list[i] >> 32);
		d->account = (uint32_t)d->pairs.list[i];
		for (int p = 0; p < N_PERMISSIONS; p++) {
			d->permission = (enum policy_permission)p;
			if (look_at(d, err) < 0)
				return -1;
		}
		d->pairs_looked_at++;
	}
	d->truncated |= d->pairs.truncated;
	return 0;
}

/* ---- merging: first who, then which accounts, then which permissions ---- */

typedef uint32_t *field_fn(struct atom *atom);

static uint32_t *who(struct atom *a) {
	return &a->who;
}

static uint32_t *account(struct atom *a) {
	return &a->account;
}

static uint32_t *permissions(struct atom *a) {
	return &a->permissions;
}

static int compare(uint32_t a, uint32_t b) {
	return a < b ? -1 : a > b;
}

/* By all but one, and then by that one. */
#define BY(name, first, second, third)                                                                                 \
	static int name(const void *x, const void *y) {                                                                \
		const struct atom *a = x, *b = y;                                                                      \
		int r = compare(a->fact, b->fact);                                                                     \
		r = r ? r : compare(a->first, b->first);                                                               \
		r = r ? r : compare(a->second, b->second);                                                             \
		return r ? r : compare(a->third, b->third);                                                            \
	}
BY(by_who, permissions, account, who)
BY(by_account, permissions, who, account)
BY(by_permission, who, account, permissions)

static void absorb(struct atom *into, const struct atom *a) {
	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; i < a->names[s]->n; i++)
			add_name(into->names[s], a->names[s]->v[i]);
		into->names[s]->more |= a->names[s]->more;
	}
}

static bool same_but(const struct atom *a, const struct atom *b, field_fn *field) {
	struct atom x = *a, y = *b;

	*field(&x) = *field(&y) = 0;
	return x.fact == y.fact && x.who == y.who && x.account == y.account && x.permissions == y.permissions;
}

/* A set's number: its members, ascending, as text. -1: memory. */
static int set_of(struct diffing *d, const struct atom *atoms, size_t n, field_fn *field, uint32_t *out) {
	struct buf text = BUF_INIT(64 << 20);
	int r;

	for (size_t i = 0; i < n; i++)
		buf_addf(&text, "%u ", *field((struct atom *)&atoms[i]));
	r = buf_ok(&text) ? names_intern(&d->sets, &d->memory, text.data, text.len, out) : -1;
	buf_fini(&text);
	return r;
}

static int merge(struct diffing *d, int (*by)(const void *, const void *), field_fn *field) {
	size_t n = 0, end;

	if (d->n)
		qsort(d->atoms, d->n, sizeof(*d->atoms), by);
	for (size_t i = 0; i < d->n; i = end) {
		struct atom one = d->atoms[i];

		for (end = i + 1; end < d->n && same_but(&d->atoms[i], &d->atoms[end], field); end++)
			absorb(&one, &d->atoms[end]);
		if (field == permissions) {
			for (size_t k = i; k < end; k++)
				one.permissions |= d->atoms[k].permissions;
		} else if (set_of(d, d->atoms + i, end - i, field, field(&one)) < 0) {
			return -1;
		}
		d->atoms[n++] = one;
	}
	d->n = n;
	return 0;
}

/* ---- what comes of it ---- */

/* Each number of a set. */
static const char *next_of(const char *set, uint32_t *out) {
	char *end;

	*out = (uint32_t)strtoul(set, &end, 10);
	return *end ? end + 1 : end;
}

static json_t *principals_json(const struct diffing *d, const struct atom *a) {
	bool *in = calloc(d->pairs.n_classes + 1, sizeof(*in));
	json_t *list = json_array();
	uint32_t class;

	for (const char *p = d->sets.list[a->who]; in && *p;) {
		p = next_of(p, &class);
		in[class] = true;
	}
	for (uint32_t i = 0; in && i < d->u->principals.n; i++)
		if (in[d->pairs.class_of[i]])
			json_array_append_new(list, json_string(d->u->principals.items[i].name));
	free(in);
	return list;
}

static json_t *accounts_json(const struct diffing *d, const struct atom *a) {
	json_t *list = json_array();
	uint32_t i;

	for (const char *p = d->sets.list[a->account]; *p;) {
		p = next_of(p, &i);
		json_array_append_new(list, json_string(d->u->accounts.items[i].name));
	}
	return list;
}

static json_t *permissions_json(const struct atom *a) {
	json_t *list = json_array();

	for (int p = 0; p < N_PERMISSIONS; p++)
		if (a->permissions >> p & 1)
			json_array_append_new(list, json_string(permission_name((enum policy_permission)p)));
	return list;
}

static json_t *names_json(const struct some_names *names) {
	json_t *list = json_array();

	for (size_t i = 0; i < names->n; i++)
		json_array_append_new(list, json_string(names->v[i]));
	if (names->more)
		json_array_append_new(list, json_string(DIFF_MORE_NAMES));
	return list;
}

/* A request that both policies can be asked about. */
static json_t *witness_json(const struct diffing *d, const struct atom *a, const json_t *with) {
	json_t *json = json_pack("{s:s, s:s, s:s, s:o}", "principal", d->u->principals.items[d->pairs.classes[a->witness.class].first].name,
				 "serviceAccount", d->u->accounts.items[a->witness.account].name, "permission",
				 permission_name(a->witness.permission), "time", time_json(a->witness.at));

	if (json && json_array_size(with))
		json_object_update(json, json_array_get(with, 0));
	return json;
}

static json_t *change_json(const struct diffing *d, const struct atom *a) {
	json_t *json = json_deep_copy(json_array_get(d->fact_list, a->fact));

	json_object_set_new(json, "principals", principals_json(d, a));
	json_object_set_new(json, "serviceAccounts", accounts_json(d, a));
	json_object_set_new(json, "permissions", permissions_json(a));
	json_object_set_new(json, "bindingsWas", names_json(a->names[0]));
	json_object_set_new(json, "bindingsNow", names_json(a->names[1]));
	json_object_set_new(json, "witness", witness_json(d, a, json_object_get(json, "with")));
	diff_say(&d->words, json);
	return json;
}

/* The kinds in the order of how much they matter. */
static int rank(const json_t *change) {
	static const char *const order[] = { "gains", "loses", "hours", "lifetime", "scopes" };
	const char *kind = json_string_value(json_object_get(change, "change"));

	for (int i = 0; i < (int)ARRAY_SIZE(order); i++)
		if (kind && !strcmp(order[i], kind))
			return i;
	return ARRAY_SIZE(order);
}

static json_t *changes_json(const struct diffing *d) {
	json_t *list = json_array();

	for (int kind = 0; kind < 5; kind++)
		for (size_t i = 0; i < d->n; i++)
			if (rank(json_array_get(d->fact_list, d->atoms[i].fact)) == kind)
				json_array_append_new(list, change_json(d, &d->atoms[i]));
	return list;
}

static json_t *strangers_json(const struct universe_list *items) {
	json_t *list = json_array();

	for (size_t i = items->n; i > 0 && items->items[i - 1].stands_for; i--)
		json_array_insert_new(list, 0, json_pack("{s:s, s:s}", "name", items->items[i - 1].name, "standsFor", items->items[i - 1].stands_for));
	return list;
}

static json_t *looked_json(const struct diffing *d) {
	const struct diff_question *q = &d->question;
	json_t *json = json_pack("{s:o, s:o, s:b, s:I, s:o, s:I, s:o, s:I, s:I, s:I, s:I}", "from", time_json(q->from), "to", time_json(q->to), "beyond",
				 q->beyond, "principals", (json_int_t)d->u->principals.n, "strangers", strangers_json(&d->u->principals), "serviceAccounts",
				 (json_int_t)d->u->accounts.n, "examples", strangers_json(&d->u->accounts), "pairs", (json_int_t)d->pairs.n,
				 "pairsLookedAt", (json_int_t)d->pairs_looked_at, "instants", (json_int_t)d->stats.instants, "decisions",
				 (json_int_t)d->stats.decisions);

	json_object_set_new(json, "truncated", json_boolean(d->truncated));
	json_object_set_new(json, "year", json_boolean(d->stats.of_a_year));
	json_object_set_new(json, "sampled", json_boolean(d->stats.sampled || d->u->sampled));
	json_object_set(json, "open", d->open);
	json_object_set_new(json, "moreOpen", json_integer((json_int_t)d->more_open));
	return json;
}

static json_t *diff_json(struct diffing *d, struct error *err) {
	if (look_at_all(d, err) < 0)
		return NULL;
	if (merge(d, by_who, who) < 0 || merge(d, by_account, account) < 0 || merge(d, by_permission, permissions) < 0) {
		error_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	return json_pack("{s:o, s:O, s:o}", "changes", changes_json(d), "rules", d->pairs.rules, "looked", looked_json(d));
}

json_t *policy_diff(const struct policy *was, const struct policy *now, int64_t from, int64_t to, bool beyond, struct error *err) {
	const struct policy *const policies[2] = { was, now };
	struct diffing d = { .question = { { was, now }, from, to, beyond } };
	struct universe *u = NULL;
	json_t *json = NULL;

	if (universe_new(policies, 2, &u, err) < 0)
		return NULL;
	d.u = u;
	d.fact_list = json_array();
	d.open = json_object();
	if (!d.fact_list || !d.open || diff_words_init(&d.words, u) < 0)
		error_set(err, ERR_INTERNAL, "out of memory");
	else if (diff_pairs_find(u, &d.pairs, err) == 0)
		json = diff_json(&d, err);
	diff_pairs_fini(&d.pairs);
	diff_words_fini(&d.words);
	diff_cache_fini(&d.cache);
	names_fini(&d.facts);
	names_fini(&d.sets);
	chunks_fini(&d.memory);
	free(d.atoms);
	json_decref(d.fact_list);
	json_decref(d.open);
	universe_free(u);
	return json;
}
