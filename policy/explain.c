/* Decisions in words: for the denied caller and for `hallpass why`. See include/hallpass/policy.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "hallpass/json.h"
#include "hallpass/nearest.h"
#include "policy/condition.h"
#include "policy/counterfactual.h"
#include "policy/decide.h"

#define MAX_OFFERED 10000 /* accounts compared with a misspelt one */
#define MAX_TOLD 3	   /* false parts in one sentence */
#define TOLD_BYTES 200	   /* of an expression, or a value */

static const char *short_name(enum policy_permission permission) {
	return strrchr(permission_name(permission), '.') + 1;
}

/* ---- the sentence ---- */

/* A sentence has no room for everything that a policy may say. */
static void add_cut(struct buf *out, const char *text) {
	size_t n = strnlen(text, TOLD_BYTES);

	while (n && ((unsigned char)text[n] & 0xC0) == 0x80)
		n--;
	buf_add(out, text, n);
	if (text[n])
		buf_adds(out, "\xE2\x80\xA6");
}

/* Room for what add_cut() shows of a text, and to see that there is more. */
#define CUT_ROOM (TOLD_BYTES + 8)

/* As much as there is room for. */
static int add_fitting(const char *bytes, size_t n, void *arg) {
	struct buf *b = arg;

	buf_add(b, bytes, n < b->max - b->len ? n : b->max - b->len);
	return 0;
}

static void add_value(struct buf *out, const json_t *value) {
	char text[CUT_ROOM];
	struct buf b = BUF_ON(text);

	json_dump_callback(value, add_fitting, &b, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
	add_cut(out, text);
}

static void add_values(struct buf *out, json_t *values) {
	const char *name, *separator = " (";
	json_t *value;

	json_object_foreach (values, name, value) {
		buf_addf(out, "%s%s is ", separator, name);
		add_value(out, value);
		separator = ", ";
	}
	if (json_object_size(values))
		buf_addc(out, ')');
}

/* An expression that stands on several lines, on one. */
static void add_expression(struct buf *out, const char *text) {
	char shown[CUT_ROOM];
	struct buf line = BUF_ON(shown);

	while (*text) {
		size_t n = strcspn(text, "\n"), end = n;

		while (text[n] && end > 0 && text[end - 1] == ' ')
			end--;
		add_fitting(text, end, &line);
		text += n + strspn(text + n, "\n ");
		if (*text)
			add_fitting(" ", 1, &line);
	}
	add_cut(out, shown);
}

static void add_false_parts(struct buf *out, const struct rule *rule, const struct policy_query *q) {
	cleanup(json_decrefp) json_t *parts = condition_false_parts(rule->condition, q);
	json_t *part;
	size_t i;

	json_array_foreach (parts, i, part) {
		if (i == MAX_TOLD) {
			buf_addf(out, " and %zu more are", json_array_size(parts) - i);
			break;
		}
		buf_adds(out, i ? " and " : ": ");
		add_expression(out, json_string_value(json_object_get(part, "expression")));
		buf_adds(out, json_object_get(part, "error") ? " cannot be evaluated" : " is false");
		add_values(out, json_object_get(part, "values"));
	}
}

static void add_rule(struct buf *out, const struct decision *decision) {
	buf_adds(out, decision->reason == REASON_DENY_RULE || decision->reason == REASON_DENY_RULE_ERROR ? "deny rule "
													 : "binding ");
	buf_adds(out, decision->rule ? decision->rule : "?");
	if (decision->title)
		buf_addf(out, " (%s)", decision->title);
}

/* The account that the caller may use and that looks most like the one asked for. */
static const char *likely_account(const struct decide *d) {
	const struct rule_set *set = &d->policy->bindings;
	struct nearest nearest;
	size_t offered = 0;
	struct ids rules;

	nearest_init(&nearest, d->q.service_account);
	for (size_t s = 0; s < ARRAY_SIZE(d->caller.sets); s++)
		for (uint32_t i = 0; i < d->caller.sets[s].n; i++) {
			rules = postings_at(&set->by_subject, d->caller.sets[s].v[i]);
			for (uint32_t r = 0; r < rules.n; r++)
				for (uint32_t a = 0; a < set->rules[rules.v[r]].accounts.n && offered < MAX_OFFERED;
				     a++, offered++)
					nearest_offer(&nearest,
						      d->policy->accounts.list[set->rules[rules.v[r]].accounts.v[a]]);
		}
	return nearest.best;
}

/* What else the caller may do with this very account. */
static const struct rule *other_permission(const struct decide *d, enum policy_permission *permission) {
	struct candidates candidates;
	const struct rule *rule;

	for (int p = 0; p < N_PERMISSIONS; p++) {
		candidates_begin(&candidates, &d->policy->bindings, &d->caller, d->account_id, d->account,
				 (enum policy_permission)p);
		rule = candidates_next(&candidates);
		if (rule) {
			*permission = (enum policy_permission)p;
			return rule;
		}
	}
	return NULL;
}

static void say_no_binding(const struct decide *d, const struct rule *rule, const struct decision *decision,
			   struct buf *out) {
	enum policy_permission permission;
	const struct rule *other;
	const char *likely;

	(void)rule, (void)decision;
	buf_addf(out, "no binding lets %s use %s (%s)", d->q.principal, d->q.service_account, short_name(d->q.permission));
	other = other_permission(d, &permission);
	if (other) {
		buf_addf(out, "; binding %s has %s", other->name, short_name(permission));
		return;
	}
	likely = likely_account(d);
	if (likely)
		buf_addf(out, "; did you mean %s?", likely);
}

static void say_condition_false(const struct decide *d, const struct rule *rule, const struct decision *decision,
				struct buf *out) {
	struct policy_query own;

	add_rule(out, decision);
	buf_adds(out, " does not apply now");
	if (rule && rule->condition)
		add_false_parts(out, rule, query_for_condition(&d->q, rule, &own));
}

static void say_condition_error(const struct decide *d, const struct rule *rule, const struct decision *decision,
				struct buf *out) {
	char why[256] = "";
	struct policy_query own;

	if (rule && rule->condition)
		condition_eval(rule->condition, query_for_condition(&d->q, rule, &own), why, sizeof(why));
	add_rule(out, decision);
	buf_addf(out,
		 decision->reason == REASON_DENY_RULE_ERROR ? " applies, because its condition cannot be evaluated%s%s"
							    : " does not apply: its condition cannot be evaluated%s%s",
		 why[0] ? ": " : "", why);
}

static void say_deny_rule(const struct decide *d, const struct rule *rule, const struct decision *decision,
			  struct buf *out) {
	(void)d, (void)rule;
	add_rule(out, decision);
	buf_adds(out, " applies");
}

static void say_not_yet(const struct decide *d, const struct rule *rule, const struct decision *decision,
			struct buf *out) {
	(void)d;
	add_rule(out, decision);
	buf_adds(out, " is not in force yet");
	if (rule) {
		buf_adds(out, ", but from ");
		buf_add_time(out, rule->not_before);
	}
}

static void say_expired(const struct decide *d, const struct rule *rule, const struct decision *decision,
			struct buf *out) {
	(void)d;
	add_rule(out, decision);
	buf_adds(out, " is over");
	if (rule) {
		buf_adds(out, "; it ended at ");
		buf_add_time(out, rule->not_after);
	}
}

static void say(const struct decide *d, const struct decision *decision, struct buf *out);

static void say_scope(const struct decide *d, const struct rule *rule, const struct decision *decision,
		      struct buf *out) {
	(void)d;
	add_rule(out, decision);
	buf_adds(out, " has none of the scopes asked for");
	for (uint32_t i = 0; rule && i < rule->n_scopes; i++)
		buf_addf(out, "%s%s", i ? ", " : "; it has ", rule->scopes[i]);
}

static void say_delegate(const struct decide *d, const struct rule *rule, const struct decision *decision,
			 struct buf *out) {
	struct policy_query q = d->q;
	struct decision one;
	struct decide through;

	(void)rule, (void)decision;
	q.permission = PERMISSION_IMPLICIT_DELEGATION;
	q.n_delegates = 0;
	for (size_t i = 0; i < d->q.n_delegates; i++) {
		q.service_account = d->q.delegates[i];
		policy_decide(d->policy, &q, &one);
		if (one.allow || decide_begin(&through, d->policy, &q, false, NULL))
			continue;
		buf_adds(out, "not through this delegate: ");
		say(&through, &one, out);
		return;
	}
}

static void say_window_closing(const struct decide *d, const struct rule *rule, const struct decision *decision,
			       struct buf *out) {
	(void)d, (void)rule;
	add_rule(out, decision);
	buf_adds(out, " is about to end: less than a second is left for a token");
}

static void (*const sentences[])(const struct decide *, const struct rule *, const struct decision *, struct buf *) = {
	[REASON_NO_BINDING] = say_no_binding,
	[REASON_CONDITION_FALSE] = say_condition_false,
	[REASON_CONDITION_ERROR] = say_condition_error,
	[REASON_NOT_YET] = say_not_yet,
	[REASON_EXPIRED] = say_expired,
	[REASON_SCOPE] = say_scope,
	[REASON_DELEGATE] = say_delegate,
	[REASON_WINDOW_CLOSING] = say_window_closing,
	[REASON_DENY_RULE] = say_deny_rule,
	[REASON_DENY_RULE_ERROR] = say_condition_error,
	[REASON_INVALID] = NULL,
};

/* The rule that a decision names, looked for among those that concern the request. */
static const struct rule *rule_of(const struct decide *d, const struct decision *decision) {
	const struct rule_set *sets[] = { &d->policy->bindings, &d->policy->denials };
	struct candidates candidates;
	const struct rule *rule;

	for (size_t i = 0; i < ARRAY_SIZE(sets) && decision->rule; i++) {
		candidates_begin(&candidates, sets[i], &d->caller, d->account_id, d->account, d->q.permission);
		while ((rule = candidates_next(&candidates)))
			if (rule->name == decision->rule)
				return rule;
	}
	return NULL;
}

static void say(const struct decide *d, const struct decision *decision, struct buf *out) {
	sentences[decision->reason](d, rule_of(d, decision), decision, out);
}

/* What was false, and the smallest change that makes it a yes. */
static void say_denial(const struct decide *d, const struct decision *decision, const struct counterfactual *c,
		       struct buf *out) {
	say(d, decision, out);
	if (c->n == 0)
		return;
	buf_adds(out, "; it would be allowed ");
	suggestion_say(c, &c->list[0], out);
}

void policy_denial_message(const struct policy *policy, const struct policy_query *query,
			   const struct decision *decision, struct buf *out) {
	struct decide d;
	struct counterfactual c;
	const char *fault = decide_begin(&d, policy, query, false, NULL);

	if (fault || decision->allow || !sentences[decision->reason]) {
		buf_addf(out, "the request cannot be decided: %s", fault ? fault : "nothing was refused");
		return;
	}
	counterfactual_find(&c, policy, &d.q, decision);
	say_denial(&d, decision, &c, out);
}

/* ---- explain ---- */

/* Of a policy of a hundred thousand rules an answer of 1 MiB cannot tell all, nor would anybody read it. */
#define MAX_OTHERS 200	      /* rules that do not concern the request */
#define MAX_VERDICTS (512 << 10) /* bytes, about, of those that do */

struct verdicts {
	struct verdict *list;
	size_t n, size;
	bool no_memory;
};

static void keep_verdict(void *arg, const struct policy_query *query, const struct verdict *v) {
	struct verdicts *verdicts = arg;
	struct verdict *list;

	(void)query;
	if (verdicts->n == verdicts->size) {
		verdicts->size = verdicts->size ? verdicts->size * 2 : 16;
		list = realloc(verdicts->list, verdicts->size * sizeof(*list));
		if (!list) {
			verdicts->size = verdicts->n;
			verdicts->no_memory = true;
			return;
		}
		verdicts->list = list;
	}
	verdicts->list[verdicts->n++] = *v;
}

/* Deny rules first, as they are decided; each kind in file order. */
static int by_rule(const void *a, const void *b) {
	const struct rule *x = ((const struct verdict *)a)->rule, *y = ((const struct verdict *)b)->rule;

	if (x->kind != y->kind)
		return x->kind == RULE_DENY ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static const char *result_name(const struct verdict *v) {
	if (v->rule->kind == RULE_DENY)
		return v->reason == REASON_NONE ? "DOES_NOT_APPLY" : decision_reason_name(v->reason);
	return v->reason == REASON_ALLOWED ? "ALLOW" : decision_reason_name(v->reason);
}

static json_t *rule_json(const struct rule *rule, const char *result) {
	json_t *json = json_object();

	json_object_set_new(json, rule->kind == RULE_DENY ? "denyRule" : "binding", json_string(rule->name));
	json_object_set_new(json, "result", json_string(result));
	json_object_set_new(json, "line", json_integer(rule->line));
	return json;
}

static void add_condition_json(json_t *json, const struct verdict *v, const struct policy_query *asked) {
	const struct condition *condition = v->rule->condition;
	struct policy_query own;
	const struct policy_query *q = query_for_condition(asked, v->rule, &own);
	char why[256];

	json_object_set_new(json, "condition", json_string(condition_expression(condition)));
	if (condition_title(condition))
		json_object_set_new(json, "title", json_string(condition_title(condition)));
	if (v->reason == REASON_CONDITION_FALSE || v->reason == REASON_CONDITION_ERROR)
		json_object_set_new(json, "false", condition_false_parts(condition, q));
	if (v->reason == REASON_CONDITION_ERROR || v->reason == REASON_DENY_RULE_ERROR) {
		condition_eval(condition, q, why, sizeof(why));
		json_object_set_new(json, "error", json_string(why));
	}
}

static json_t *verdict_json(const struct verdict *v, const struct policy_query *q) {
	json_t *json = rule_json(v->rule, result_name(v));

	if (v->rule->condition)
		add_condition_json(json, v, q);
	if (v->reason == REASON_ALLOWED) {
		json_object_set_new(json, "lifetime", json_integer(v->lifetime_s));
		json_object_set_new(json, "boundBy", json_string(bound_by_name(v->bound_by)));
		json_object_set_new(json, "until", time_json(v->until));
	}
	if (v->reason == REASON_NOT_YET)
		json_object_set_new(json, "notBefore", time_json(v->rule->not_before));
	if (v->reason == REASON_EXPIRED)
		json_object_set_new(json, "notAfter", time_json(v->rule->not_after));
	if (v->reason == REASON_SCOPE)
		json_object_set_new(json, "scopes", strings_json(v->rule->scopes, v->rule->n_scopes));
	return json;
}

static const char *why_not_concerned(const struct decide *d, const struct rule *rule) {
	if (!caller_is_in(&d->caller, rule->members))
		return "PRINCIPAL";
	if (caller_is_in(&d->caller, rule->exceptions))
		return "EXCEPTED";
	if (!rule_covers_account(rule, d->account_id, d->account))
		return "SERVICE_ACCOUNT";
	return rule->permissions & (1u << d->q.permission) ? NULL : "PERMISSION";
}

/* Of rules that do not concern the request: those that are about the account, or the others. As many as there is room for. */
static size_t pick_others(const struct decide *d, bool of_account, struct verdict *out, size_t n) {
	const struct rule_set *sets[] = { &d->policy->denials, &d->policy->bindings };

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		for (uint32_t r = 0; r < sets[i]->n && n < MAX_OTHERS; r++) {
			const struct rule *rule = &sets[i]->rules[r];

			if (rule_covers_account(rule, d->account_id, d->account) == of_account && why_not_concerned(d, rule))
				out[n++] = (struct verdict){ .rule = rule };
		}
	return n;
}

static size_t add_others(const struct decide *d, json_t *candidates) {
	struct verdict others[MAX_OTHERS];
	size_t n = pick_others(d, false, others, pick_others(d, true, others, 0));

	if (n)
		qsort(others, n, sizeof(*others), by_rule);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(candidates, rule_json(others[i].rule, why_not_concerned(d, others[i].rule)));
	return n;
}

/* How much it takes to tell a verdict: the condition, its false parts. */
static size_t size_of(const struct verdict *v) {
	return 512 + (v->rule->condition ? 4 * strlen(condition_expression(v->rule->condition)) : 0);
}

/* What is told of them when all are too many; that of the rule which decided is. */
static size_t cut(struct verdicts *verdicts, const struct decision *decision) {
	size_t n = 0, room = MAX_VERDICTS;

	for (size_t i = 1; i < verdicts->n; i++)
		if (verdicts->list[i].rule->name == decision->rule) {
			struct verdict first = verdicts->list[0];

			verdicts->list[0] = verdicts->list[i];
			verdicts->list[i] = first;
		}
	for (; n < verdicts->n && size_of(&verdicts->list[n]) <= room; n++)
		room -= size_of(&verdicts->list[n]);
	return n;
}

static size_t add_concerned(const struct decide *d, const struct decision *decision, struct verdicts *verdicts, json_t *candidates) {
	size_t n = cut(verdicts, decision);

	if (n)
		qsort(verdicts->list, n, sizeof(*verdicts->list), by_rule);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(candidates, verdict_json(&verdicts->list[i], &d->q));
	return n;
}

/* Those that may be seen, and how many of them are left out. */
static void add_candidates(json_t *json, const struct decide *d, const struct decision *decision, struct verdicts *verdicts, bool all) {
	json_t *candidates = json_array();
	size_t told = add_concerned(d, decision, verdicts, candidates), rules = verdicts->n;

	if (all) {
		told += add_others(d, candidates);
		rules = (size_t)d->policy->denials.n + d->policy->bindings.n;
	}
	json_object_set_new(json, "candidates", candidates);
	if (rules > told)
		json_object_set_new(json, "moreRules", json_integer((json_int_t)(rules - told)));
}

static void add_decision_json(json_t *json, const struct decision *decision) {
	json_object_set_new(json, "decision", json_string(decision->allow ? "ALLOW" : "DENY"));
	json_object_set_new(json, "reason", json_string(decision_reason_name(decision->reason)));
	if (decision->rule)
		json_object_set_new(json, "rule", json_string(decision->rule));
	if (decision->title)
		json_object_set_new(json, "title", json_string(decision->title));
	if (decision->allow) {
		json_object_set_new(json, "lifetime", json_integer(decision->lifetime_s));
		json_object_set_new(json, "boundBy", json_string(bound_by_name(decision->bound_by)));
		json_object_set_new(json, "until", time_json(decision->permitted_until));
		json_object_set_new(json, "scopes", strings_json(decision->scopes, decision->n_scopes));
	}
}

static json_t *said_json(const struct counterfactual *c, const struct suggestion *s) {
	char text[16384];
	struct buf said = BUF_ON(text);

	suggestion_say(c, s, &said);
	return json_string(text);
}

/* What changes, in words and as data: new values under the names of a request's members. */
static json_t *suggestion_json(const struct counterfactual *c, const struct suggestion *s) {
	json_t *json = json_object(), *changes = json_array();

	for (int k = 0; k < N_CHANGES; k++)
		if (s->changes & 1u << k)
			json_array_append_new(changes, json_string(change_name((enum change)k)));
	json_object_set_new(json, "change", changes);
	json_object_set_new(json, "sentence", said_json(c, s));
	if (s->changes & 1u << CHANGE_LIFETIME)
		json_object_set_new(json, "lifetime", json_integer(s->lifetime_s));
	if (s->changes & 1u << CHANGE_SCOPES)
		json_object_set_new(json, "scopes", strings_json(s->scopes, s->n_scopes));
	if (s->changes & 1u << CHANGE_JUSTIFICATION)
		json_object_set_new(json, "justification", json_string(s->justification));
	if (s->changes & 1u << CHANGE_DELEGATES)
		json_object_set_new(json, "delegates", strings_json(s->delegates, s->n_delegates));
	if (s->changes & 1u << CHANGE_SURFACE)
		json_object_set_new(json, "surface", json_string(s->surface));
	if (s->changes & 1u << CHANGE_TIME)
		json_object_set_new(json, "at", time_json(s->at));
	return json;
}

static void add_denial_json(json_t *json, const struct decide *d, const struct decision *decision) {
	char text[8192];
	struct buf message = BUF_ON(text);
	json_t *suggestions = json_array();
	struct counterfactual c;

	counterfactual_find(&c, d->policy, &d->q, decision);
	say_denial(d, decision, &c, &message);
	json_object_set_new(json, "message", json_string(text));
	for (size_t i = 0; i < c.n; i++)
		json_array_append_new(suggestions, suggestion_json(&c, &c.list[i]));
	json_object_set_new(json, "suggestions", suggestions);
}

static void add_fault_json(json_t *json, const char *fault) {
	char text[256];

	snprintf(text, sizeof(text), "the request cannot be decided: %s", fault);
	json_object_set_new(json, "message", json_string(text));
}

json_t *policy_explain(const struct policy *policy, const struct policy_query *query, bool all) {
	struct decision decision = { .reason = REASON_INVALID };
	json_t *json = json_object();
	struct verdicts verdicts = { 0 };
	struct watcher watcher = { keep_verdict, &verdicts };
	struct decide d;
	const char *fault = decide_begin(&d, policy, query, false, &watcher);

	if (!fault)
		decide_run(&d, &decision);
	add_decision_json(json, &decision);
	if (fault)
		add_fault_json(json, fault);
	else if (!decision.allow)
		add_denial_json(json, &d, &decision);
	add_candidates(json, &d, &decision, &verdicts, all && !fault);
	free(verdicts.list);
	if (json_object_get(json, "candidates") && !verdicts.no_memory)
		return json;
	json_decref(json);
	return NULL;
}
