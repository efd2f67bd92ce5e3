/* Which rules differ, and whom that may concern. See diff.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/condition.h"
#include "policy/diff.h"

#define MAX_PAIRS 4000000
#define MAX_LOOKS 50000000 /* at accounts, of patterns of rules that differ */
#define MAX_SIGNATURE (1 << 20)

/* One policy, seen from the universe. */
struct side {
	const struct policy *policy;
	const struct side *other;
	uint32_t *account_at;	   /* each account's number -> the universe's, or NO_ID */
	struct postings people_of; /* subject -> principals of the universe */
	struct postings excepting; /* subject -> deny rules that except it */
	uint32_t *signature[2];	   /* of each binding, of each deny rule */
};

struct finding {
	const struct universe *u;
	struct side sides[2];
	struct chunks memory;
	struct names signatures, groups;
	uint32_t *count[2]; /* of rules with this signature, in was and in now */
	uint32_t looks;
	const struct rule *matched; /* the rule whose patterns were looked at last, */
	uint32_t *matches, n_matches; /* and the accounts of the universe that they match */
	struct diff_pairs *out;
};

static const struct rule_set *set_of(const struct side *side, unsigned kind) {
	return kind ? &side->policy->denials : &side->policy->bindings;
}

/* ---- what a rule says, whatever it is called and in which order it stands ---- */

static int by_text(const void *a, const void *b) {
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_sorted(struct buf *out, const char *what, const char **list, size_t n) {
	if (n)
		qsort(list, n, sizeof(*list), by_text);
	buf_addf(out, "\n%s", what);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(list[i], list[i - 1]))
			buf_addf(out, " %s", list[i]);
	return 0;
}

static int add_names(struct buf *out, const char *what, struct ids ids, const struct names *names) {
	const char **list = malloc((ids.n + 1) * sizeof(*list));

	if (!list)
		return -1;
	for (uint32_t i = 0; i < ids.n; i++)
		list[i] = names->list[ids.v[i]];
	add_sorted(out, what, list, ids.n);
	free(list);
	return 0;
}

static int add_patterns(struct buf *out, const struct rule *rule) {
	const char **list = malloc((rule->n_patterns + 1) * sizeof(*list));
	struct chunks memory = { 0 };
	char text[2 * MAX_EMAIL];
	uint32_t n = 0;

	for (; list && n < rule->n_patterns; n++) {
		const struct pattern *p = &rule->patterns[n];
		int len = snprintf(text, sizeof(text), "%.*s*%.*s", (int)p->prefix.n, p->prefix.p, (int)p->suffix.n, p->suffix.p);

		if (!(list[n] = chunks_str(&memory, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1)))
			break;
	}
	if (list && n == rule->n_patterns)
		add_sorted(out, "patterns", list, n);
	chunks_fini(&memory);
	free(list);
	return list && n == rule->n_patterns ? 0 : -1;
}

static int add_scopes(struct buf *out, const struct rule *rule) {
	const char **list = malloc((rule->n_scopes + 1) * sizeof(*list));

	if (!list)
		return -1;
	for (uint32_t i = 0; i < rule->n_scopes; i++)
		list[i] = rule->scopes[i];
	add_sorted(out, "scopes", list, rule->n_scopes);
	free(list);
	return 0;
}

static int sign(struct finding *f, const struct side *side, const struct rule *rule, struct buf *text, uint32_t *out) {
	const struct policy *p = side->policy;
	int64_t lifetime = rule->kind != RULE_BINDING ? 0 : rule->max_lifetime_s ? rule->max_lifetime_s : p->default_lifetime_s;

	buf_reset(text);
	buf_addf(text, "%d %x %lld %lld %lld", (int)rule->kind, rule->permissions, (long long)lifetime, (long long)rule->not_before,
		 (long long)rule->not_after);
	if (add_names(text, "members", rule->members, &p->subjects) < 0 || add_names(text, "but", rule->exceptions, &p->subjects) < 0 ||
	    add_names(text, "accounts", rule->accounts, &p->accounts) < 0 || add_patterns(text, rule) < 0 || add_scopes(text, rule) < 0)
		return -1;
	buf_addf(text, "\n%s", rule->condition ? condition_expression(rule->condition) : "");
	if (text->failed) { /* too long to compare: it differs */
		buf_fini(text);
		*text = BUF_INIT(MAX_SIGNATURE);
		buf_addf(text, "%p", (const void *)rule);
	}
	return names_intern(&f->signatures, &f->memory, text->data, text->len, out);
}

static int sign_all(struct finding *f) {
	struct buf text = BUF_INIT(MAX_SIGNATURE);
	int r = 0;

	for (unsigned s = 0; s < 2; s++)
		for (unsigned kind = 0; kind < 2; kind++) {
			const struct rule_set *set = set_of(&f->sides[s], kind);

			if (!(f->sides[s].signature[kind] = malloc((set->n + 1) * sizeof(uint32_t))))
				r = -1;
			for (uint32_t i = 0; i < set->n && r == 0; i++)
				r = sign(f, &f->sides[s], &set->rules[i], &text, &f->sides[s].signature[kind][i]);
		}
	buf_fini(&text);
	for (unsigned s = 0; s < 2 && r == 0; s++) {
		if (!(f->count[s] = calloc(f->signatures.n + 1, sizeof(uint32_t))))
			return -1;
		for (unsigned kind = 0; kind < 2; kind++)
			for (uint32_t i = 0; i < set_of(&f->sides[s], kind)->n; i++)
				f->count[s][f->sides[s].signature[kind][i]]++;
	}
	return r;
}

/* ---- who is in what ---- */

static int people_of(const struct universe *u, struct side *side) {
	struct pair *pairs = NULL, *more;
	size_t n = 0, size = 0;
	struct caller caller;
	int r;

	for (uint32_t i = 0; i < u->principals.n; i++) {
		caller_find(side->policy, str_of(u->principals.items[i].name), &caller);
		for (size_t k = 0; k < ARRAY_SIZE(caller.sets); k++) {
			if (n + caller.sets[k].n > size) {
				size = 2 * size + caller.sets[k].n + 64;
				more = realloc(pairs, size * sizeof(*pairs));
				if (!more) {
					free(pairs);
					return -1;
				}
				pairs = more;
			}
			for (uint32_t s = 0; s < caller.sets[k].n; s++)
				pairs[n++] = (struct pair){ caller.sets[k].v[s], i };
		}
	}
	r = postings_build(&side->people_of, side->policy->subjects.n, pairs, n);
	free(pairs);
	return r;
}

static int excepting(struct side *side) {
	const struct rule_set *set = &side->policy->denials;
	struct pair *pairs;
	size_t n = 0, at = 0;
	int r;

	for (uint32_t i = 0; i < set->n; i++)
		n += set->rules[i].exceptions.n;
	pairs = malloc((n + 1) * sizeof(*pairs));
	if (!pairs)
		return -1;
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < set->rules[i].exceptions.n; k++)
			pairs[at++] = (struct pair){ set->rules[i].exceptions.v[k], i };
	r = postings_build(&side->excepting, side->policy->subjects.n, pairs, n);
	free(pairs);
	return r;
}

static int place_accounts(const struct universe *u, struct side *side) {
	const struct names *accounts = &side->policy->accounts;
	uint32_t *at = malloc((u->names.n + 1) * sizeof(*at)), id;

	side->account_at = malloc((accounts->n + 1) * sizeof(*side->account_at));
	if (!at || !side->account_at) {
		free(at);
		return -1;
	}
	for (uint32_t i = 0; i < u->names.n; i++)
		at[i] = NO_ID;
	for (uint32_t i = 0; i < u->accounts.n; i++)
		at[names_find(&u->names, u->accounts.items[i].name, strlen(u->accounts.items[i].name))] = i;
	for (uint32_t i = 0; i < accounts->n; i++) {
		id = names_find(&u->names, accounts->list[i], strlen(accounts->list[i]));
		side->account_at[i] = id == NO_ID ? NO_ID : at[id];
	}
	free(at);
	return 0;
}

/* ---- principals that nobody tells apart ---- */

static bool matters(const struct side *side, uint32_t subject) {
	const struct policy *p = side->policy;

	return postings_at(&p->bindings.by_subject, subject).n || postings_at(&p->denials.by_subject, subject).n ||
	       postings_at(&side->excepting, subject).n;
}

/* Whether a rule for these asks for the very name. */
static bool is_personal(const struct side *side, uint32_t subject) {
	for (unsigned kind = 0; kind < 2; kind++) {
		const struct rule_set *set = set_of(side, kind);
		struct ids rules = postings_at(&set->by_subject, subject);

		for (uint32_t i = 0; i < rules.n; i++)
			if (set->rules[rules.v[i]].condition && condition_is_about_principal(set->rules[rules.v[i]].condition))
				return true;
	}
	return false;
}

static void describe(const struct side *side, const uint8_t *traits, const char *principal, struct buf *out, bool *personal) {
	struct caller caller;

	caller_find(side->policy, str_of(principal), &caller);
	for (size_t k = 0; k < ARRAY_SIZE(caller.sets); k++)
		for (uint32_t i = 0; i < caller.sets[k].n; i++) {
			uint8_t trait = traits[caller.sets[k].v[i]];

			*personal |= trait & 2;
			if (trait & 1)
				buf_addf(out, "%u ", caller.sets[k].v[i]);
		}
	buf_addc(out, '|');
}

/* Of each subject: 1: some rule asks for it; 2: and then for the name as well. NULL: memory. */
static uint8_t *traits_of(const struct side *side) {
	uint8_t *traits = malloc(side->policy->subjects.n + 1);

	for (uint32_t s = 0; traits && s < side->policy->subjects.n; s++)
		traits[s] = (uint8_t)(matters(side, s) | (is_personal(side, s) ? 2 : 0));
	return traits;
}

static int classify_each(struct finding *f, uint8_t *const traits[2], struct names *kinds) {
	struct buf text = BUF_INIT(MAX_SIGNATURE);
	const struct universe *u = f->u;
	uint32_t id;
	bool personal;

	for (uint32_t i = 0; i < u->principals.n; i++) {
		const char *name = u->principals.items[i].name;

		personal = false;
		buf_reset(&text);
		for (unsigned s = 0; s < 2; s++)
			describe(&f->sides[s], traits[s], name, &text, &personal);
		if (personal || text.failed)
			buf_adds(&text, name);
		if (!text.data || names_intern(kinds, &f->memory, text.data, text.len, &id) < 0) {
			buf_fini(&text);
			return -1;
		}
		if (id == f->out->n_classes)
			f->out->classes[f->out->n_classes++] = (struct diff_class){ .first = i };
		f->out->classes[id].n++;
		f->out->class_of[i] = id;
	}
	buf_fini(&text);
	return 0;
}

static int classify(struct finding *f) {
	uint8_t *traits[2] = { traits_of(&f->sides[0]), traits_of(&f->sides[1]) };
	struct names kinds = { 0 };
	int r = -1;

	f->out->classes = calloc(f->u->principals.n + 1, sizeof(*f->out->classes));
	f->out->class_of = calloc(f->u->principals.n + 1, sizeof(*f->out->class_of));
	if (f->out->classes && f->out->class_of && traits[0] && traits[1])
		r = classify_each(f, traits, &kinds);
	names_fini(&kinds);
	free(traits[0]);
	free(traits[1]);
	return r;
}

/* ---- pairs ---- */

static int add_pair(struct diff_pairs *out, uint32_t class, uint32_t account) {
	uint64_t *more;

	if (account == NO_ID)
		return 0;
	if (out->n == MAX_PAIRS) {
		out->truncated = true;
		return 0;
	}
	if (out->n == out->size) {
		out->size = out->size ? out->size * 2 : 1024;
		more = realloc(out->list, out->size * sizeof(*more));
		if (!more)
			return -1;
		out->list = more;
	}
	out->list[out->n++] = (uint64_t)class << 32 | account;
	return 0;
}

static bool any_pattern(const struct rule *rule, struct str account) {
	for (uint32_t i = 0; i < rule->n_patterns; i++)
		if (pattern_matches(&rule->patterns[i], account))
			return true;
	return false;
}

/* Once for a rule, however many it concerns. */
static int match_accounts(struct finding *f, const struct rule *rule) {
	const struct universe_list *accounts = &f->u->accounts;

	if (f->matched == rule)
		return 0;
	if (!f->matches && !(f->matches = malloc((accounts->n + 1) * sizeof(*f->matches))))
		return -1;
	f->matched = rule;
	f->n_matches = 0;
	for (uint32_t i = 0; rule->n_patterns && i < accounts->n; i++) {
		if (!f->looks) {
			f->out->truncated = true;
			return 0;
		}
		f->looks--;
		if (any_pattern(rule, str_of(accounts->items[i].name)))
			f->matches[f->n_matches++] = i;
	}
	return 0;
}

/* Everything that the rule is about, for one class. */
static int add_accounts(struct finding *f, const struct side *side, const struct rule *rule, uint32_t class) {
	if (match_accounts(f, rule) < 0)
		return -1;
	for (uint32_t i = 0; i < rule->accounts.n; i++)
		if (add_pair(f->out, class, side->account_at[rule->accounts.v[i]]) < 0)
			return -1;
	for (uint32_t i = 0; i < f->n_matches; i++)
		if (add_pair(f->out, class, f->matches[i]) < 0)
			return -1;
	return 0;
}

/* last: the rule for which each class was seen last, by a number of its own. */
static int add_rule(struct finding *f, const struct side *side, const struct rule *rule, uint32_t *last, uint32_t number) {
	for (uint32_t m = 0; m < rule->members.n; m++) {
		struct ids people = postings_at(&side->people_of, rule->members.v[m]);

		for (uint32_t i = 0; i < people.n; i++) {
			uint32_t class = f->out->class_of[people.v[i]];

			if (last[class] == number)
				continue;
			last[class] = number;
			if (add_accounts(f, side, rule, class) < 0)
				return -1;
		}
	}
	return 0;
}

static bool differs(const struct finding *f, uint32_t signature) {
	return !f->count[0][signature] || !f->count[1][signature];
}

static int add_rules_that_differ(struct finding *f) {
	uint32_t *last = calloc(f->out->n_classes + 1, sizeof(*last)), number = 0;
	int r = last ? 0 : -1;

	for (unsigned s = 0; s < 2; s++)
		for (unsigned kind = 0; kind < 2; kind++) {
			const struct rule_set *set = set_of(&f->sides[s], kind);

			for (uint32_t i = 0; i < set->n && r == 0; i++)
				if (differs(f, f->sides[s].signature[kind][i]))
					r = add_rule(f, &f->sides[s], &set->rules[i], last, ++number);
		}
	free(last);
	return r;
}

/* ---- groups whose members differ ---- */

static int add_rules_of(struct finding *f, const struct side *side, const struct rule_set *set, struct ids rules, uint32_t class) {
	for (uint32_t i = 0; i < rules.n; i++)
		if (add_accounts(f, side, &set->rules[rules.v[i]], class) < 0)
			return -1;
	return 0;
}

/* In one policy this principal is in a subject, in the other one not. */
static int add_subject(struct finding *f, const struct side *side, uint32_t subject, uint32_t class, bool first) {
	const struct policy *p = side->policy;
	const char *name = p->subjects.list[subject], *rest;
	const char *kind = principal_kind(name, &rest);
	uint32_t id;

	if (kind && !strcmp(kind, "group") && names_intern(&f->groups, &f->memory, rest, strlen(rest), &id) < 0)
		return -1;
	if (!first)
		return 0;
	return add_rules_of(f, side, &p->bindings, postings_at(&p->bindings.by_subject, subject), class) < 0 ||
			       add_rules_of(f, side, &p->denials, postings_at(&p->denials.by_subject, subject), class) < 0
		       ? -1
		       : add_rules_of(f, side, &p->denials, postings_at(&side->excepting, subject), class);
}

static int add_moves(struct finding *f, const struct side *side, const char *principal, uint32_t class, bool first) {
	const struct policy *other = side->other->policy;
	struct caller here, there;
	uint32_t id;

	caller_find(side->policy, str_of(principal), &here);
	caller_find(other, str_of(principal), &there);
	for (size_t k = 0; k < ARRAY_SIZE(here.sets); k++)
		for (uint32_t i = 0; i < here.sets[k].n; i++) {
			const char *name = side->policy->subjects.list[here.sets[k].v[i]];

			id = names_find(&other->subjects, name, strlen(name));
			if (id != NO_ID && caller_is_in(&there, (struct ids){ &id, 1 }))
				continue;
			if (add_subject(f, side, here.sets[k].v[i], class, first) < 0)
				return -1;
		}
	return 0;
}

/* All of a class are in the same subjects that rules ask for. Groups are named all the same where the others moved. */
static int add_who_moved(struct finding *f) {
	const struct universe *u = f->u;

	for (uint32_t i = 0; i < u->principals.n; i++)
		for (unsigned s = 0; s < 2; s++)
			if (add_moves(f, &f->sides[s], u->principals.items[i].name, f->out->class_of[i], f->out->classes[f->out->class_of[i]].first == i) < 0)
				return -1;
	return 0;
}

/* ---- what is told of rules ---- */

static const char *const kinds[] = { "binding", "denyRule" };

static const struct rule *find_rule(const struct side *side, unsigned kind, const struct names *names, const uint32_t *at, const char *name) {
	uint32_t id = names_find(names, name, strlen(name));

	return id == NO_ID || at[id] == NO_ID ? NULL : &set_of(side, kind)->rules[at[id]];
}

/* Names of one policy's rules, and where they are. */
static int index_names(const struct side *side, unsigned kind, struct chunks *memory, struct names *names, uint32_t **at) {
	const struct rule_set *set = set_of(side, kind);
	uint32_t id;

	*at = malloc((set->n + 1) * sizeof(**at));
	for (uint32_t i = 0; *at && i < set->n; i++) {
		if (names_intern(names, memory, set->rules[i].name, strlen(set->rules[i].name), &id) < 0)
			return -1;
		(*at)[id] = i;
	}
	return *at ? 0 : -1;
}

static void tell(json_t *rules, const char *what, unsigned kind, const char *name) {
	json_array_append_new(json_object_get(rules, what), json_pack("{s:s}", kinds[kind], name));
}

/* Rules that say the same on both sides, under names that the other side does not have. */
static int tell_renamed(struct finding *f, unsigned kind, const struct names names[2], uint32_t *const at[2], bool *named[2]) {
	const struct rule_set *was = set_of(&f->sides[0], kind), *now = set_of(&f->sides[1], kind);
	uint32_t *by_signature = malloc((f->signatures.n + 1) * sizeof(*by_signature));

	if (!by_signature)
		return -1;
	for (uint32_t i = 0; i < f->signatures.n; i++)
		by_signature[i] = NO_ID;
	for (uint32_t i = now->n; i > 0; i--)
		if (!find_rule(&f->sides[0], kind, &names[0], at[0], now->rules[i - 1].name))
			by_signature[f->sides[1].signature[kind][i - 1]] = i - 1;
	for (uint32_t i = 0; i < was->n; i++) {
		uint32_t *to = &by_signature[f->sides[0].signature[kind][i]];

		if (*to == NO_ID || find_rule(&f->sides[1], kind, &names[1], at[1], was->rules[i].name))
			continue;
		json_array_append_new(json_object_get(f->out->rules, "renamed"),
				      json_pack("{s:s, s:s, s:s}", "kind", kinds[kind], "was", was->rules[i].name, "now", now->rules[*to].name));
		named[0][i] = named[1][*to] = true;
		*to = NO_ID;
	}
	free(by_signature);
	return 0;
}

static void tell_others(struct finding *f, unsigned kind, const struct names names[2], uint32_t *const at[2], bool *const named[2]) {
	for (unsigned s = 0; s < 2; s++) {
		const struct rule_set *set = set_of(&f->sides[s], kind);

		for (uint32_t i = 0; i < set->n; i++) {
			const char *name = set->rules[i].name;
			const struct rule *other = find_rule(&f->sides[!s], kind, &names[!s], at[!s], name);

			if (!other && !named[s][i])
				tell(f->out->rules, s ? "added" : "removed", kind, name);
			else if (other && s && f->sides[0].signature[kind][other->index] != f->sides[1].signature[kind][i])
				tell(f->out->rules, "changed", kind, name);
		}
	}
}

static int tell_kind(struct finding *f, unsigned kind) {
	struct names names[2] = { { 0 }, { 0 } };
	uint32_t *at[2] = { NULL, NULL };
	bool *named[2] = { calloc(set_of(&f->sides[0], kind)->n + 1, 1), calloc(set_of(&f->sides[1], kind)->n + 1, 1) };
	int r = -1;

	if (named[0] && named[1] && index_names(&f->sides[0], kind, &f->memory, &names[0], &at[0]) == 0 &&
	    index_names(&f->sides[1], kind, &f->memory, &names[1], &at[1]) == 0 && (r = tell_renamed(f, kind, names, at, named)) == 0)
		tell_others(f, kind, names, at, named);
	for (unsigned s = 0; s < 2; s++) {
		names_fini(&names[s]);
		free(at[s]);
		free(named[s]);
	}
	return r;
}

static int tell_rules(struct finding *f) {
	json_t *groups = json_array();

	for (uint32_t i = 0; i < f->groups.n; i++)
		json_array_append_new(groups, json_string(f->groups.list[i]));
	f->out->rules = json_pack("{s:[], s:[], s:[], s:[], s:o}", "renamed", "added", "removed", "changed", "groups", groups);
	return f->out->rules && tell_kind(f, 0) == 0 ? tell_kind(f, 1) : -1;
}

/* ---- all of it ---- */

static int by_number(const void *a, const void *b) {
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void sort_pairs(struct diff_pairs *out) {
	size_t n = 0;

	if (out->n)
		qsort(out->list, out->n, sizeof(*out->list), by_number);
	for (size_t i = 0; i < out->n; i++)
		if (n == 0 || out->list[i] != out->list[n - 1])
			out->list[n++] = out->list[i];
	out->n = n;
}

static int find(struct finding *f) {
	for (unsigned s = 0; s < 2; s++)
		if (people_of(f->u, &f->sides[s]) < 0 || excepting(&f->sides[s]) < 0 || place_accounts(f->u, &f->sides[s]) < 0)
			return -1;
	if (sign_all(f) < 0 || classify(f) < 0 || add_rules_that_differ(f) < 0 || add_who_moved(f) < 0 || tell_rules(f) < 0)
		return -1;
	sort_pairs(f->out);
	return 0;
}

static void finding_fini(struct finding *f) {
	for (unsigned s = 0; s < 2; s++) {
		struct side *side = &f->sides[s];

		free(side->account_at);
		postings_fini(&side->people_of);
		postings_fini(&side->excepting);
		free(side->signature[0]);
		free(side->signature[1]);
		free(f->count[s]);
	}
	free(f->matches);
	names_fini(&f->signatures);
	names_fini(&f->groups);
	chunks_fini(&f->memory);
}

int diff_pairs_find(const struct universe *u, struct diff_pairs *out, struct error *err) {
	struct finding f = { .u = u, .looks = MAX_LOOKS, .out = out };
	int r;

	*out = (struct diff_pairs){ 0 };
	for (unsigned s = 0; s < 2; s++) {
		f.sides[s].policy = u->policies[s];
		f.sides[s].other = &f.sides[!s];
	}
	r = find(&f);
	finding_fini(&f);
	if (r < 0) {
		diff_pairs_fini(out);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	return 0;
}

void diff_pairs_fini(struct diff_pairs *pairs) {
	free(pairs->classes);
	free(pairs->class_of);
	free(pairs->list);
	json_decref(pairs->rules);
	*pairs = (struct diff_pairs){ 0 };
}
