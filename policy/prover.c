/* See prover.h. */

#include <stdio.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/cel_time.h"
#include "policy/proof_case.h"
#include "policy/prover.h"
#include "policy/scopes.h"

#define MAX_LOOKS 25000000 /* at rules, accounts and principals: some tenths of a second, for all claims of a load */
#define WORK 40000000	   /* nodes of conditions: as much again */
#define MAX_TRIES 2000	   /* requests as counterexamples, for all claims, */
#define MAX_TRIES_OF_CASE 100 /* and for one */
#define MAX_DOUBTS 100	   /* cases of a claim of which nobody can tell, while one that is refuted is looked for */
#define SHOWN 512	   /* cases remembered, a power of two */

struct rule_list {
	const struct rule **v;
	size_t n, size;
};

/* Accounts that a claim and a rule both speak of: one, or all that match both patterns. */
struct target {
	struct str account; /* n 0: a pattern's */
	uint32_t account_id;
	const struct pattern *a, *b; /* b: NULL of always */
};

/* A case that was shown, for whoever is in the same one. */
struct shown {
	uint32_t claim;
	struct target target;
	enum policy_permission permission;
	struct rule_list bindings, denials;
};

/* From when on a binding could break a `never`, whoever asks for whatever; INT64_MAX: at no time. */
struct breach {
	uint32_t claim;
	int64_t from;
};

struct prover {
	const struct policy *policy;
	struct universe *universe;
	int64_t now;
	uint64_t looks; /* left */
	uint32_t work, tries; /* left */
	struct postings members; /* subject -> numbers among the principals who are it, or in it */
	struct breach *breaches; /* by number of a binding */
	struct shown shown[SHOWN];

	/* Of the claim at hand. */
	uint32_t claim_number;
	const struct claim *claim;
	struct proof *out;
	int64_t from, to;
	uint32_t *principals;
	size_t n_principals;

	/* Of the principal at hand. */
	const struct universe_item *who;
	struct caller caller;
	struct rule_list bindings, denials;
	bool has_denials;

	/* Of the case at hand. */
	struct target target;
	struct rule_list may_allow, may_deny;
	struct policy_query query; /* the claim's: what it does not say is open */
	struct policy_query asked; /* a whole request like it, */
	struct universe_item made_up; /* the account of that, where the universe has none, */
	char account[MAX_EMAIL], pattern[2 * MAX_EMAIL];
	struct policy_query found; /* and one that breaks the claim */
	struct counterfactual counterfactual;
	const char *scopes[POLICY_MAX_SCOPES];
	struct proof doubt; /* the first case of which nobody can tell, while others may still be refuted; not PROOF_UNSHOWN: none */
	struct policy_query doubted;
	unsigned doubts;
};

static bool spend(struct prover *p, uint64_t looks) {
	bool enough = p->looks >= looks;

	p->looks -= enough ? looks : p->looks;
	return enough;
}

/* Whether there may be more to say than was said. */
static bool is_open(const struct prover *p) {
	return p->out->verdict == PROOF_SHOWN && p->doubts < MAX_DOUBTS;
}

/* ---- growing lists ---- */

static int list_add(struct rule_list *list, const struct rule *rule) {
	const struct rule **more;

	if (list->n == list->size) {
		list->size = list->size ? list->size * 2 : 16;
		more = realloc(list->v, list->size * sizeof(*more));
		if (!more)
			return -1;
		list->v = more;
	}
	list->v[list->n++] = rule;
	return 0;
}

static int list_copy(struct rule_list *to, const struct rule_list *from) {
	to->n = 0;
	for (size_t i = 0; i < from->n; i++)
		if (list_add(to, from->v[i]) < 0)
			return -1;
	return 0;
}

static bool same_list(const struct rule_list *a, const struct rule_list *b) {
	return a->n == b->n && (a->n == 0 || !memcmp(a->v, b->v, a->n * sizeof(*a->v)));
}

/* ---- accounts and patterns ---- */

static bool covers(const struct rule *rule, const struct target *t) {
	if (t->account.n)
		return rule_covers_account(rule, t->account_id, t->account);
	for (uint32_t i = 0; i < rule->n_patterns; i++)
		if (pattern_within(t->a, &rule->patterns[i]) || (t->b && pattern_within(t->b, &rule->patterns[i])))
			return true;
	return false;
}

static struct str account_text(const struct prover *p, uint32_t id) {
	return str_of(p->policy->accounts.list[id]);
}

/* Whether it covers some of it. Of one pattern: always has no two. */
static bool touches(const struct prover *p, const struct rule *rule, const struct target *t) {
	if (t->account.n)
		return covers(rule, t);
	for (uint32_t i = 0; i < rule->n_patterns; i++)
		if (patterns_overlap(t->a, &rule->patterns[i]))
			return true;
	for (uint32_t i = 0; i < rule->accounts.n; i++)
		if (pattern_matches(t->a, account_text(p, rule->accounts.v[i])))
			return true;
	return false;
}

static bool is_target(const struct target *t, struct str account) {
	if (t->account.n)
		return str_eq(account, t->account);
	return pattern_matches(t->a, account) && (!t->b || pattern_matches(t->b, account));
}

/* ---- what a claim is about ---- */

/* Its principals, each once. -1: memory. False in *enough: too many looks. */
static int find_principals(struct prover *p, bool *enough) {
	const struct rule *about = p->claim->about;
	size_t n = 0, kept = 0;
	struct caller caller;

	for (uint32_t i = 0; i < about->members.n; i++)
		n += postings_at(&p->members, about->members.v[i]).n;
	*enough = spend(p, n);
	free(p->principals);
	p->n_principals = 0;
	p->principals = malloc((n + 1) * sizeof(*p->principals));
	if (!p->principals)
		return -1;
	n = 0;
	for (uint32_t i = 0; i < about->members.n; i++) {
		struct ids ids = postings_at(&p->members, about->members.v[i]);

		for (uint32_t k = 0; k < ids.n; k++)
			p->principals[n++] = ids.v[k];
	}
	if (n)
		qsort(p->principals, n, sizeof(*p->principals), id_compare);
	for (size_t i = 0; i < n; i++) {
		if (kept && p->principals[i] == p->principals[kept - 1])
			continue;
		caller_find(p->policy, str_of(p->universe->principals.items[p->principals[i]].name), &caller);
		if (!caller_is_in(&caller, about->exceptions))
			p->principals[kept++] = p->principals[i];
	}
	p->n_principals = kept;
	return 0;
}

static bool gives_a_scope(const struct rule *rule, const struct rule *about) {
	return !about->n_scopes || scopes_meet(rule->scopes, rule->n_scopes, about->scopes, about->n_scopes);
}

static bool has_common_account(struct prover *p, const struct rule *rule, const struct rule *about) {
	spend(p, (uint64_t)rule->n_patterns * about->n_patterns + about->accounts.n + rule->accounts.n);
	for (uint32_t i = 0; i < about->accounts.n; i++)
		if (rule_covers_account(rule, about->accounts.v[i], account_text(p, about->accounts.v[i])))
			return true;
	for (uint32_t k = 0; k < about->n_patterns; k++) {
		const struct target any = { .a = &about->patterns[k] };

		if (touches(p, rule, &any))
			return true;
	}
	return false;
}

/* As said at struct breach; too early where nobody looked. */
static int64_t find_breach(struct prover *p, const struct rule *rule) {
	const struct rule *about = p->claim->about;
	uint32_t common = rule->permissions & about->permissions;
	const struct policy_query nothing = { .principal = "", .service_account = "",
					      .permission = (enum policy_permission)(common ? __builtin_ctz(common) : 0) };
	const struct proof_case c = { .never = true,
				      .view = { &nothing, true, true, true, false },
				      .bindings = (const struct rule *const[]){ rule },
				      .n_bindings = 1 };
	int64_t at;
	bool known;

	if (!common || rule->not_after <= p->from || rule->not_before > p->to ||
	    !gives_a_scope(rule, about) || !has_common_account(p, rule, about))
		return INT64_MAX;
	if (!rule->condition || common & (common - 1))
		return p->from;
	at = proof_case_first_unshown(&c, p->from, p->to, &p->work, &known);
	return known ? at : p->from;
}

/* Asked once a claim. */
static bool concerns_claim(struct prover *p, const struct rule *rule) {
	struct breach *breach = &p->breaches[rule->index];

	if (breach->claim != p->claim_number)
		*breach = (struct breach){ p->claim_number, find_breach(p, rule) };
	return breach->from != INT64_MAX;
}

static int by_index(const void *a, const void *b) {
	const struct rule *x = *(const struct rule *const *)a, *y = *(const struct rule *const *)b;

	return x->index < y->index ? -1 : x->index > y->index;
}

/* The rules that concern the principal at hand, in file order, each once. -1: memory. */
static int rules_of(struct prover *p, const struct rule_set *set, bool (*wanted)(struct prover *, const struct rule *),
		    struct rule_list *out) {
	size_t n = 0;

	out->n = 0;
	for (size_t s = 0; s < ARRAY_SIZE(p->caller.sets); s++)
		for (uint32_t i = 0; i < p->caller.sets[s].n; i++) {
			struct ids rules = postings_at(&set->by_subject, p->caller.sets[s].v[i]);

			spend(p, 1 + rules.n);
			for (uint32_t k = 0; k < rules.n; k++) {
				const struct rule *rule = &set->rules[rules.v[k]];

				if (!p->looks)
					return 0;
				if ((!wanted || wanted(p, rule)) && !caller_is_in(&p->caller, rule->exceptions) &&
				    list_add(out, rule) < 0)
					return -1;
			}
		}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_index);
	for (size_t i = 0; i < out->n; i++)
		if (n == 0 || out->v[i] != out->v[n - 1])
			out->v[n++] = out->v[i];
	out->n = n;
	return 0;
}

/* ---- counterexamples ---- */

/* Whether the request is still one of those that the claim is about. */
static bool fits(const struct prover *p, const struct policy_query *q) {
	const struct policy_query *given = p->claim->request;

	return q->now >= p->from && q->now <= p->to && (!p->claim->about->n_scopes || q->n_scopes) &&
	       (!given->surface || !strcmp(given->surface, q->surface));
}

/* Whether this request breaks the claim, or one that is a little different does. */
static bool breaks(struct prover *p) {
	struct decision *decision = &p->out->decision;
	struct counterfactual *c = &p->counterfactual;

	p->found = p->asked;
	policy_decide(p->policy, &p->asked, decision);
	if (decision->allow == p->claim->never)
		return true;
	if (!p->claim->never)
		return false;
	counterfactual_find(c, p->policy, &p->asked, decision);
	for (size_t i = 0; i < c->n; i++) {
		suggestion_apply(c, &c->list[i], &p->found);
		policy_decide(p->policy, &p->found, decision);
		if (decision->allow && fits(p, &p->found))
			return true;
	}
	return false;
}

/* Of a `never` the scopes that it is about and this binding would give. */
static void ask_for_scopes(struct prover *p, const struct rule *binding) {
	const struct rule *about = p->claim->about;

	p->asked.scopes = p->scopes;
	for (uint32_t i = 0; i < about->n_scopes; i++)
		if (scope_is_under(binding->scopes, binding->n_scopes, about->scopes[i]))
			p->scopes[p->asked.n_scopes++] = about->scopes[i];
}

static void ask_plainly(struct prover *p, int64_t at) {
	p->asked = p->query;
	p->asked.now = at;
	p->asked.auth_method = p->asked.auth_method ? p->asked.auth_method : "peer";
	p->asked.surface = p->asked.surface ? p->asked.surface : "native";
	if (p->claim->never && p->claim->about->n_scopes)
		ask_for_scopes(p, p->may_allow.v[0]);
}

static bool breaks_with(struct prover *p, const struct universe_item *account) {
	if (!p->tries)
		return false;
	p->tries--;
	p->out->which = account;
	p->asked.service_account = account->name;
	return breaks(p);
}

/* With accounts that nobody named, of what both patterns match. */
static bool breaks_with_made_up(struct prover *p) {
	const struct pattern both = pattern_common(p->target.a, p->target.b ? p->target.b : p->target.a);

	snprintf(p->pattern, sizeof(p->pattern), "%.*s*%.*s", (int)both.prefix.n, both.prefix.p, (int)both.suffix.n, both.suffix.p);
	p->made_up = (struct universe_item){ p->account, p->pattern };
	for (unsigned i = 0; i < UNIVERSE_ATTEMPTS; i++)
		if (universe_account(&both, i, p->account) && breaks_with(p, &p->made_up))
			return true;
	return false;
}

/* In the order of the universe: accounts that are named come first. */
static bool find_counterexample(struct prover *p) {
	const struct universe_list *accounts = &p->universe->accounts;
	unsigned tries = 0;

	if (p->target.account.n)
		return breaks(p);
	for (size_t i = 0; i < accounts->n && tries < MAX_TRIES_OF_CASE; i++)
		if (is_target(&p->target, str_of(accounts->items[i].name)) && ++tries && breaks_with(p, &accounts->items[i]))
			return true;
	return breaks_with_made_up(p);
}

/* ---- one case ---- */

static void too_large(struct prover *p) {
	p->out->verdict = PROOF_TOO_LARGE;
	p->out->who = p->who;
}

/* What was made up may be made up again. -1: memory. */
static int keep_made_up(struct prover *p) {
	struct chunks *memory = &p->universe->memory;
	struct universe_item *kept = chunks_new(memory, struct universe_item);
	const char *name = chunks_str(memory, p->account, strlen(p->account)), *pattern = chunks_str(memory, p->pattern, strlen(p->pattern));

	if (!kept || !name || !pattern)
		return -1;
	*kept = (struct universe_item){ name, pattern };
	p->doubt.which = kept;
	p->doubted.service_account = name;
	return 0;
}

static int not_shown(struct prover *p, const struct proof_case *c, int64_t at) {
	ask_plainly(p, at);
	p->out->who = p->who;
	p->out->which = NULL;
	p->out->query = &p->found;
	if (find_counterexample(p)) {
		p->out->verdict = PROOF_REFUTED;
		return 0;
	}
	if (p->doubts++)
		return 0;
	p->doubted = p->asked;
	p->doubt = *p->out;
	p->doubt.verdict = PROOF_UNSHOWN;
	p->doubt.query = &p->doubted;
	p->doubt.rule = proof_case_doubt(c, at, &p->doubt.part);
	return p->doubt.which == &p->made_up ? keep_made_up(p) : 0;
}

static bool asks_who(const struct rule_list *list) {
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i]->condition && condition_is_about_principal(list->v[i]->condition))
			return true;
	return false;
}

static struct shown *place_of(struct prover *p) {
	uint64_t h = (uint64_t)(p->may_allow.n ? p->may_allow.v[0]->index : 0) * 31 + p->target.account_id;

	h = h * 31 + (uintptr_t)p->target.a / sizeof(struct pattern);
	h = h * 31 + (uintptr_t)p->target.b / sizeof(struct pattern);
	return &p->shown[(h * 0x9E3779B97F4A7C15u) >> 32 & (SHOWN - 1)];
}

static bool was_shown(const struct prover *p, const struct shown *s) {
	return s->claim == p->claim_number && s->permission == p->query.permission && s->target.a == p->target.a &&
	       s->target.b == p->target.b && s->target.account_id == p->target.account_id &&
	       str_eq(s->target.account, p->target.account) && same_list(&s->bindings, &p->may_allow) &&
	       same_list(&s->denials, &p->may_deny);
}

static int remember(struct prover *p, struct shown *s) {
	s->claim = p->claim_number;
	s->permission = p->query.permission;
	s->target = p->target;
	return list_copy(&s->bindings, &p->may_allow) < 0 || list_copy(&s->denials, &p->may_deny) < 0 ? -1 : 0;
}

/* The principal, the target and the rules at hand; before `from` it is shown. -1: memory. */
static int prove_case(struct prover *p, int64_t from) {
	const struct proof_case c = { .never = p->claim->never,
				      .view = { .query = &p->query,
						.any_principal = p->who->stands_for,
						.any_account = !p->target.account.n,
						.any_request = p->claim->never,
						.counted = !p->claim->never },
				      .bindings = p->may_allow.v,
				      .n_bindings = p->may_allow.n,
				      .denials = p->may_deny.v,
				      .n_denials = p->may_deny.n };
	bool nobody_asks_who = !asks_who(&p->may_allow) && !asks_who(&p->may_deny), known;
	struct shown *before = place_of(p);
	int64_t at;

	if (nobody_asks_who && was_shown(p, before))
		return 0;
	p->query.principal = p->who->name;
	p->query.service_account = p->target.account.n ? p->target.account.p : "";
	at = proof_case_first_unshown(&c, from, p->to, &p->work, &known);
	if (at == INT64_MAX)
		return nobody_asks_who ? remember(p, before) : 0;
	if (known)
		return not_shown(p, &c, at);
	too_large(p);
	return 0;
}

/* ---- never ---- */

/* A deny rule counts where it covers all of the target. */
static int find_sure_denials(struct prover *p) {
	uint32_t bit = 1u << p->query.permission;

	if (!p->has_denials && rules_of(p, &p->policy->denials, NULL, &p->denials) < 0)
		return -1;
	p->has_denials = true;
	p->may_deny.n = 0;
	spend(p, p->denials.n);
	for (size_t i = 0; i < p->denials.n; i++)
		if (p->denials.v[i]->permissions & bit && covers(p->denials.v[i], &p->target) &&
		    list_add(&p->may_deny, p->denials.v[i]) < 0)
			return -1;
	return 0;
}

static int never_with(struct prover *p, const struct rule *binding, struct target target) {
	uint32_t permissions = binding->permissions & p->claim->about->permissions;

	p->target = target;
	for (int bit = 0; bit < N_PERMISSIONS && is_open(p); bit++) {
		if (!(permissions >> bit & 1))
			continue;
		if (!spend(p, 1)) {
			too_large(p);
			return 0;
		}
		p->query = *p->claim->request;
		p->query.permission = (enum policy_permission)bit;
		p->may_allow.n = 0;
		if (list_add(&p->may_allow, binding) < 0 || find_sure_denials(p) < 0 ||
		    prove_case(p, p->breaches[binding->index].from) < 0)
			return -1;
	}
	return 0;
}

static struct target one_account(const struct prover *p, uint32_t id) {
	return (struct target){ .account = account_text(p, id), .account_id = id };
}

/* What the claim names and the binding names, each against each. */
static int never_by(struct prover *p, const struct rule *binding) {
	const struct rule *about = p->claim->about;
	struct target both = { .account_id = NO_ID };

	for (uint32_t i = 0; i < about->accounts.n && is_open(p); i++)
		if (rule_covers_account(binding, about->accounts.v[i], account_text(p, about->accounts.v[i])) &&
		    never_with(p, binding, one_account(p, about->accounts.v[i])) < 0)
			return -1;
	for (uint32_t k = 0; k < about->n_patterns && is_open(p); k++) {
		both.a = &about->patterns[k];
		spend(p, binding->accounts.n);
		for (uint32_t i = 0; i < binding->accounts.n && is_open(p); i++)
			if (pattern_matches(both.a, account_text(p, binding->accounts.v[i])) &&
			    never_with(p, binding, one_account(p, binding->accounts.v[i])) < 0)
				return -1;
		for (uint32_t i = 0; i < binding->n_patterns && is_open(p); i++) {
			both.b = &binding->patterns[i];
			if (patterns_overlap(both.a, both.b) && never_with(p, binding, both) < 0)
				return -1;
		}
	}
	return 0;
}

static int never_of(struct prover *p) {
	if (rules_of(p, &p->policy->bindings, concerns_claim, &p->bindings) < 0)
		return -1;
	for (size_t i = 0; i < p->bindings.n && is_open(p); i++)
		if (never_by(p, p->bindings.v[i]) < 0)
			return -1;
	return 0;
}

/* ---- always ---- */

static bool scopes_allowed(const struct rule *rule, const struct policy_query *q) {
	return q->permission != PERMISSION_GET_ACCESS_TOKEN || !q->n_scopes ||
	       scopes_meet(rule->scopes, rule->n_scopes, q->scopes, q->n_scopes);
}

/* A binding counts where it covers all of the target, a deny rule where it touches it. */
static int always_with(struct prover *p, struct target target) {
	uint32_t bit;

	p->target = target;
	p->query = *p->claim->request;
	bit = 1u << p->query.permission;
	p->may_allow.n = p->may_deny.n = 0;
	spend(p, p->bindings.n + p->denials.n);
	for (size_t i = 0; i < p->bindings.n; i++)
		if (p->bindings.v[i]->permissions & bit && covers(p->bindings.v[i], &target) &&
		    scopes_allowed(p->bindings.v[i], &p->query) && list_add(&p->may_allow, p->bindings.v[i]) < 0)
			return -1;
	for (size_t i = 0; i < p->denials.n; i++)
		if (p->denials.v[i]->permissions & bit && touches(p, p->denials.v[i], &target) &&
		    list_add(&p->may_deny, p->denials.v[i]) < 0)
			return -1;
	return prove_case(p, p->from);
}

static int always_of(struct prover *p) {
	const struct rule *about = p->claim->about;
	struct target pattern = { .account_id = NO_ID };

	if (rules_of(p, &p->policy->bindings, NULL, &p->bindings) < 0 || rules_of(p, &p->policy->denials, NULL, &p->denials) < 0)
		return -1;
	for (uint32_t i = 0; i < about->accounts.n && is_open(p); i++)
		if (always_with(p, one_account(p, about->accounts.v[i])) < 0)
			return -1;
	for (uint32_t k = 0; k < about->n_patterns && is_open(p); k++) {
		pattern.a = &about->patterns[k];
		if (always_with(p, pattern) < 0)
			return -1;
	}
	return 0;
}

/* ---- claims ---- */

static int prove_for(struct prover *p, uint32_t number) {
	p->who = &p->universe->principals.items[number];
	p->has_denials = false;
	caller_find(p->policy, str_of(p->who->name), &p->caller);
	if ((p->claim->never ? never_of(p) : always_of(p)) < 0)
		return -1;
	if (!p->looks && p->out->verdict == PROOF_SHOWN) /* not every rule was looked at */
		too_large(p);
	return 0;
}

int prover_prove(struct prover *p, const struct claim *claim, struct proof *out) {
	const struct rule *about = claim->about;
	bool enough;

	*out = (struct proof){ .verdict = PROOF_SHOWN };
	p->claim = claim;
	p->claim_number++;
	p->doubts = 0;
	p->out = out;
	p->who = NULL;
	p->from = about->not_before > p->now ? about->not_before : p->now;
	p->to = about->not_after - 1 < CEL_TIME_MAX_S ? about->not_after - 1 : CEL_TIME_MAX_S;
	if (find_principals(p, &enough) < 0)
		return -1;
	out->principals = p->n_principals;
	if (!enough)
		too_large(p);
	if (p->from > p->to)
		return 0;
	for (size_t i = 0; i < p->n_principals && is_open(p); i++)
		if (prove_for(p, p->principals[i]) < 0)
			return -1;
	if (out->verdict == PROOF_SHOWN && p->doubts)
		*out = p->doubt;
	return 0;
}

/* Which principals of the universe each subject means. */
static int index_members(struct prover *p) {
	const struct universe_list *principals = &p->universe->principals;
	struct pair *pairs = NULL;
	size_t n = 0, at = 0;
	struct caller caller;
	int r;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < principals->n; i++) {
			caller_find(p->policy, str_of(principals->items[i].name), &caller);
			for (size_t s = 0; s < ARRAY_SIZE(caller.sets); s++)
				for (uint32_t k = 0; k < caller.sets[s].n; k++) {
					if (pass == 0)
						n++;
					else
						pairs[at++] = (struct pair){ caller.sets[s].v[k], (uint32_t)i };
				}
		}
		if (pass == 0 && !(pairs = malloc((n + 1) * sizeof(*pairs))))
			return -1;
	}
	r = postings_build(&p->members, p->policy->subjects.n, pairs, n);
	free(pairs);
	return r;
}

int prover_new(const struct policy *policy, int64_t now, struct prover **out) {
	cleanup(prover_freep) struct prover *p = calloc(1, sizeof(*p));
	struct error err;

	*out = NULL;
	if (!p)
		return -1;
	p->policy = policy;
	p->now = now;
	p->looks = MAX_LOOKS;
	p->work = WORK;
	p->tries = MAX_TRIES;
	p->breaches = calloc(policy->bindings.n + 1, sizeof(*p->breaches));
	if (!p->breaches || universe_new((const struct policy *const[]){ policy }, 1, &p->universe, &err) < 0 || index_members(p) < 0)
		return -1;
	*out = take(&p);
	return 0;
}

void prover_free(struct prover *p) {
	if (!p)
		return;
	for (size_t i = 0; i < SHOWN; i++) {
		free(p->shown[i].bindings.v);
		free(p->shown[i].denials.v);
	}
	universe_free(p->universe);
	postings_fini(&p->members);
	free(p->breaches);
	free(p->principals);
	free(p->bindings.v);
	free(p->denials.v);
	free(p->may_allow.v);
	free(p->may_deny.v);
	free(p);
}
