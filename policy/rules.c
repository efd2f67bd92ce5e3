/* See rules.h. */

#include <assert.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/rules.h"

/* ---- names ---- */

/* All bits of a product, so that each bit of v reaches all others. */
static uint64_t mix(uint64_t v) {
	unsigned __int128 product = (unsigned __int128)(v ^ 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint32_t hash(const char *s, size_t n) {
	uint64_t h = n, part = 0;
	size_t i = 0;

	for (; n - i > 8; i += 8) {
		memcpy(&part, s + i, 8);
		h = mix(h ^ part);
	}
	if (n >= 8)
		memcpy(&part, s + n - 8, 8);
	else
		memcpy(&part, s, n);
	return (uint32_t)mix(h ^ part);
}

static inline struct name_slot *slot_of(const struct names *names, const char *s, size_t n, uint32_t h) {
	uint32_t mask = names->n_slots - 1, i = h & mask;
	const struct name_slot *slot;

	for (slot = &names->slots[i]; slot->id != NO_ID; slot = &names->slots[i]) {
		if (slot->hash == h && !strncmp(slot->name, s, n) && !slot->name[n])
			break;
		i = (i + 1) & mask;
	}
	return &names->slots[i];
}

/* Names are not looked at again: among many each would be a miss of the cache. */
static void move_slot(struct names *names, const struct name_slot *from) {
	uint32_t mask = names->n_slots - 1, i = from->hash & mask;

	while (names->slots[i].id != NO_ID)
		i = (i + 1) & mask;
	names->slots[i] = *from;
}

static int names_grow(struct names *names) {
	uint32_t n_before = names->n_slots, n_slots = n_before ? n_before * 2 : 64;
	const char **list = realloc(names->list, n_slots / 2 * sizeof(*list));
	struct name_slot *before = names->slots, *slots;

	if (!list)
		return -1;
	names->list = list;
	slots = malloc(n_slots * sizeof(*slots));
	if (!slots)
		return -1;
	memset(slots, 0xFF, n_slots * sizeof(*slots));
	names->slots = slots;
	names->n_slots = n_slots;
	for (uint32_t i = 0; i < n_before; i++)
		if (before[i].id != NO_ID)
			move_slot(names, &before[i]);
	free(before);
	return 0;
}

int names_intern(struct names *names, struct chunks *memory, const char *s, size_t n, uint32_t *id) {
	const uint32_t h = hash(s, n);
	struct name_slot *slot;
	const char *copy;

	if (names->n >= names->n_slots / 2 && names_grow(names) < 0)
		return -1;
	slot = slot_of(names, s, n, h);
	if (slot->id == NO_ID) {
		copy = chunks_str(memory, s, n);
		if (!copy)
			return -1;
		names->list[names->n] = copy;
		*slot = (struct name_slot){ copy, names->n++, h };
	}
	*id = slot->id;
	return 0;
}

uint32_t names_find(const struct names *names, const char *s, size_t n) {
	return names->n ? slot_of(names, s, n, hash(s, n))->id : NO_ID;
}

void names_fini(struct names *names) {
	free(names->list);
	free(names->slots);
	*names = (struct names){ 0 };
}

/* ---- sorted lists ---- */

int pair_compare(const void *a, const void *b) {
	const struct pair *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->item < y->item ? -1 : x->item > y->item;
}

int id_compare(const void *a, const void *b) {
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int postings_build(struct postings *postings, uint32_t n_keys, struct pair *pairs, size_t n) {
	size_t used = 0;

	*postings = (struct postings){ .n_keys = n_keys };
	postings->start = calloc((size_t)n_keys + 1, sizeof(*postings->start));
	postings->items = malloc((n ? n : 1) * sizeof(*postings->items));
	if (!postings->start || !postings->items)
		return -1;
	if (n)
		qsort(pairs, n, sizeof(*pairs), pair_compare);
	for (size_t i = 0; i < n; i++) {
		assert(pairs[i].key < n_keys);
		if (i > 0 && !pair_compare(&pairs[i], &pairs[i - 1]))
			continue;
		postings->items[used++] = pairs[i].item;
		postings->start[pairs[i].key + 1] = (uint32_t)used;
	}
	for (uint32_t k = 0; k < n_keys; k++)
		if (postings->start[k + 1] < postings->start[k])
			postings->start[k + 1] = postings->start[k];
	return 0;
}

struct ids postings_at(const struct postings *postings, uint32_t key) {
	if (key >= postings->n_keys)
		return (struct ids){ 0 };
	return (struct ids){ postings->items + postings->start[key], postings->start[key + 1] - postings->start[key] };
}

void postings_fini(struct postings *postings) {
	free(postings->start);
	free(postings->items);
	*postings = (struct postings){ 0 };
}

bool ids_have(struct ids ids, uint32_t id) {
	uint32_t low = 0, high = ids.n, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (ids.v[mid] < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < ids.n && ids.v[low] == id;
}

uint32_t ids_meet(struct ids a, struct ids b) {
	struct ids longer = a.n > b.n ? a : b;

	a = a.n > b.n ? b : a;
	b = longer;
	for (uint32_t i = 0; i < a.n; i++)
		if (ids_have(b, a.v[i]))
			return a.v[i];
	return NO_ID;
}

/* ---- the index ---- */

/* The keys of a rule in an index: the k-th, and how many there are. */
struct keys {
	uint32_t (*count)(const struct rule *rule);
	uint32_t (*at)(const struct rule *rule, uint32_t k);
};

static uint32_t count_accounts(const struct rule *rule) {
	return rule->accounts.n;
}

static uint32_t account_at(const struct rule *rule, uint32_t k) {
	return rule->accounts.v[k];
}

static uint32_t count_domains(const struct rule *rule) {
	return rule->n_patterns;
}

static uint32_t domain_at(const struct rule *rule, uint32_t k) {
	return rule->patterns[k].domain;
}

static uint32_t count_subjects(const struct rule *rule) {
	return rule->members.n;
}

static uint32_t subject_at(const struct rule *rule, uint32_t k) {
	return rule->members.v[k];
}

static const struct keys by_account = { count_accounts, account_at };
static const struct keys by_domain = { count_domains, domain_at };
static const struct keys by_subject = { count_subjects, subject_at };

static int index_by(const struct rule_set *set, const struct keys *keys, uint32_t n_keys, struct postings *out) {
	size_t n = 0, at = 0;
	struct pair *pairs;
	int r;

	for (uint32_t i = 0; i < set->n; i++)
		n += keys->count(&set->rules[i]);
	pairs = malloc((n ? n : 1) * sizeof(*pairs));
	if (!pairs)
		return -1;
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < keys->count(&set->rules[i]); k++)
			pairs[at++] = (struct pair){ keys->at(&set->rules[i], k), i };
	r = postings_build(out, n_keys, pairs, n);
	free(pairs);
	return r;
}

static int index_rules(const struct policy *policy, struct rule_set *set) {
	set->domains = &policy->domains;
	set->domain_of = policy->domain_of;
	if (index_by(set, &by_account, policy->accounts.n, &set->by_account) < 0 ||
	    index_by(set, &by_domain, policy->domains.n, &set->by_domain) < 0)
		return -1;
	return index_by(set, &by_subject, policy->subjects.n, &set->by_subject);
}

static uint32_t find_domain(const struct names *domains, struct str account) {
	const char *at = domains->n > 1 ? memchr(account.p, '@', account.n) : NULL; /* one is DOMAIN_ANY */

	return at ? names_find(domains, at + 1, account.n - (size_t)(at + 1 - account.p)) : NO_ID;
}

int rules_index(struct policy *policy) {
	const struct names *accounts = &policy->accounts;

	policy->domain_of = malloc((accounts->n + 1) * sizeof(*policy->domain_of));
	if (!policy->domain_of)
		return -1;
	for (uint32_t i = 0; i < accounts->n; i++)
		policy->domain_of[i] = find_domain(&policy->domains, str_of(accounts->list[i]));
	return index_rules(policy, &policy->bindings) < 0 ? -1 : index_rules(policy, &policy->denials);
}

/* ---- who and what ---- */

bool pattern_matches(const struct pattern *pattern, struct str account) {
	return account.n >= pattern->prefix.n + pattern->suffix.n &&
	       memcmp(account.p, pattern->prefix.p, pattern->prefix.n) == 0 &&
	       memcmp(account.p + account.n - pattern->suffix.n, pattern->suffix.p, pattern->suffix.n) == 0;
}

static bool begins(struct str s, struct str with) {
	return s.n >= with.n && !memcmp(s.p, with.p, with.n);
}

static bool ends(struct str s, struct str with) {
	return s.n >= with.n && !memcmp(s.p + s.n - with.n, with.p, with.n);
}

bool pattern_within(const struct pattern *inner, const struct pattern *outer) {
	return begins(inner->prefix, outer->prefix) && ends(inner->suffix, outer->suffix);
}

bool patterns_overlap(const struct pattern *a, const struct pattern *b) {
	return (begins(a->prefix, b->prefix) || begins(b->prefix, a->prefix)) &&
	       (ends(a->suffix, b->suffix) || ends(b->suffix, a->suffix));
}

struct pattern pattern_common(const struct pattern *a, const struct pattern *b) {
	return (struct pattern){ .prefix = a->prefix.n > b->prefix.n ? a->prefix : b->prefix,
				 .suffix = a->suffix.n > b->suffix.n ? a->suffix : b->suffix,
				 .domain = a->suffix.n > b->suffix.n ? a->domain : b->domain };
}

bool rule_covers_account(const struct rule *rule, uint32_t account_id, struct str account) {
	if (account_id != NO_ID && ids_have(rule->accounts, account_id))
		return true;
	for (uint32_t i = 0; i < rule->n_patterns; i++)
		if (pattern_matches(&rule->patterns[i], account))
			return true;
	return false;
}

static struct ids subjects_of(const struct policy *policy, uint32_t id) {
	return id == NO_ID ? (struct ids){ 0 } : postings_at(&policy->groups_of, id);
}

/* Of a user's address, as a subject. */
static uint32_t domain_id(const struct policy *policy, struct str principal) {
	const char *at = policy->has_domains && principal.n > 5 && !memcmp(principal.p, "user:", 5)
				 ? memchr(principal.p, '@', principal.n)
				 : NULL;
	char domain[MAX_EMAIL + 8] = "domain:";
	size_t n = at ? principal.n - (size_t)(at + 1 - principal.p) : 0;

	if (!at || n > MAX_EMAIL)
		return NO_ID;
	memcpy(domain + 7, at + 1, n);
	return names_find(&policy->subjects, domain, n + 7);
}

void caller_of(const struct policy *policy, struct str principal, uint32_t id, struct caller *out) {
	*out = (struct caller){ .sets = { subjects_of(policy, id), subjects_of(policy, domain_id(policy, principal)),
					  postings_at(&policy->groups_of, SUBJECT_ALL) } };
}

void caller_find(const struct policy *policy, struct str principal, struct caller *out) {
	caller_of(policy, principal, names_find(&policy->subjects, principal.p, principal.n), out);
}

bool caller_is_in(const struct caller *caller, struct ids subjects) {
	if (!subjects.n)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(caller->sets); i++)
		if (ids_meet(caller->sets[i], subjects) != NO_ID)
			return true;
	return false;
}

/* ---- candidates ---- */

void candidates_begin(struct candidates *c, const struct rule_set *set, const struct caller *caller,
		      uint32_t account_id, struct str account, enum policy_permission permission) {
	size_t through_account, through_subjects = 0;

	c->set = set;
	c->caller = caller;
	c->account = account;
	c->account_id = account_id;
	c->domain_id = account_id == NO_ID ? find_domain(set->domains, account) : set->domain_of[account_id];
	c->permission_bit = 1u << permission;
	c->set_at = c->subject_at = c->item_at = 0;
	c->items = (struct ids){ 0 };
	c->by_account[0] = postings_at(&set->by_account, account_id);
	c->by_account[1] = postings_at(&set->by_domain, c->domain_id);
	c->by_account[2] = postings_at(&set->by_domain, DOMAIN_ANY);
	through_account = (size_t)c->by_account[0].n + c->by_account[1].n + c->by_account[2].n;
	for (size_t i = 0; i < ARRAY_SIZE(caller->sets); i++)
		for (uint32_t s = 0; s < caller->sets[i].n && through_subjects < through_account; s++)
			through_subjects += 1 + postings_at(&set->by_subject, caller->sets[i].v[s]).n;
	c->by_subject = through_subjects < through_account;
	c->ahead = c->by_subject ? through_subjects : through_account;
}

/* The next list when one is used up; false: there is none. */
static bool next_list(struct candidates *c) {
	c->item_at = 0;
	if (!c->by_subject) {
		if (c->set_at == ARRAY_SIZE(c->by_account))
			return false;
		c->items = c->by_account[c->set_at++];
		return true;
	}
	while (c->set_at < ARRAY_SIZE(c->caller->sets) && c->subject_at == c->caller->sets[c->set_at].n) {
		c->set_at++;
		c->subject_at = 0;
	}
	if (c->set_at == ARRAY_SIZE(c->caller->sets))
		return false;
	c->items = postings_at(&c->set->by_subject, c->caller->sets[c->set_at].v[c->subject_at++]);
	return true;
}

/* Whether one of the first n lists of this account leads to the rule. */
static bool on_account_list(const struct candidates *c, const struct rule *rule, unsigned n) {
	if (n > 0 && c->account_id != NO_ID && ids_have(rule->accounts, c->account_id))
		return true;
	for (uint32_t i = 0; n > 1 && i < rule->n_patterns; i++)
		if (rule->patterns[i].domain == c->domain_id)
			return true;
	return false;
}

/* A rule that several lists lead to is taken from the first of them. */
static bool seen_before(const struct candidates *c, const struct rule *rule) {
	if (!c->by_subject)
		return on_account_list(c, rule, c->set_at - 1);
	for (unsigned s = 0; s < c->set_at; s++)
		if (ids_meet(c->caller->sets[s], rule->members) != NO_ID)
			return true;
	return ids_meet((struct ids){ c->caller->sets[c->set_at].v, c->subject_at - 1 }, rule->members) != NO_ID;
}

/* What is on the list of those that name the account covers it. */
static bool covers(const struct candidates *c, const struct rule *rule) {
	return (!c->by_subject && c->set_at == 1) || rule_covers_account(rule, c->account_id, c->account);
}

static bool concerns(const struct candidates *c, const struct rule *rule) {
	return (rule->permissions & c->permission_bit) && covers(c, rule) && caller_is_in(c->caller, rule->members) &&
	       !caller_is_in(c->caller, rule->exceptions) && !seen_before(c, rule);
}

const struct rule *candidates_next(struct candidates *c) {
	const struct rule *rule;

	for (;;) {
		while (c->item_at < c->items.n) {
			rule = &c->set->rules[c->items.v[c->item_at++]];
			if (concerns(c, rule))
				return rule;
		}
		if (!next_list(c))
			return NULL;
	}
}

/* ---- names of people and accounts ---- */

static const struct kind {
	struct str prefix;
	const char *name;
	enum { HAS_EMAIL, HAS_ID, NEVER_ASKS } is;
} kinds[] = {
	{ STR("user:"), "user", HAS_EMAIL },
	{ STR("serviceAccount:"), "serviceAccount", HAS_EMAIL },
	{ STR("principal:"), "principal", HAS_ID },
	{ STR("domain:"), "domain", NEVER_ASKS },
	{ STR("group:"), "group", NEVER_ASKS },
};

static const struct kind *kind_of(const char *principal) {
	for (const struct kind *kind = kinds; kind < kinds + ARRAY_SIZE(kinds); kind++)
		if (*principal == *kind->prefix.p && !strncmp(principal, kind->prefix.p, kind->prefix.n))
			return kind;
	return NULL;
}

const char *principal_kind(const char *principal, const char **rest) {
	const struct kind *kind = kind_of(principal);

	if (!kind)
		return NULL;
	*rest = principal + kind->prefix.n;
	return kind->name;
}

static bool printable(const char *s) {
	for (; *s; s++)
		if ((unsigned char)*s <= 0x20 || *s == 0x7F)
			return false;
	return true;
}

bool policy_principal_ok(const char *principal) {
	char canonical[MAX_PRINCIPAL];

	return principal_canonical(principal, canonical) > 0;
}

bool principal_may_ask(const char *principal) {
	const struct kind *kind = kind_of(principal);

	return kind && kind->is != NEVER_ASKS;
}

size_t principal_canonical(const char *s, char buf[MAX_PRINCIPAL]) {
	const struct kind *kind = kind_of(s);
	size_t n, length;

	if (!kind || kind->is == NEVER_ASKS)
		return 0;
	n = kind->prefix.n;
	memcpy(buf, s, n);
	if (kind->is == HAS_EMAIL) {
		length = email_canonical(s + n, buf + n);
		return length ? n + length : 0;
	}
	length = strnlen(s + n, MAX_PRINCIPAL - n);
	if (!length || length == MAX_PRINCIPAL - n || !printable(s + n))
		return 0;
	memcpy(buf + n, s + n, length + 1);
	return n + length;
}
