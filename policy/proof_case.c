/* See proof_case.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/dates.h"
#include "policy/decide.h"
#include "policy/horizon.h"
#include "policy/proof_case.h"

#define DAY 86400
#define DOUBT_WORK 100000 /* nodes looked at to name one */
#define FAR_WORK 20000	  /* nodes looked at beyond a generation, at first */
#define MAX_DATES 64	  /* of all conditions of a case */
#define GENERATION (40 * 31557600LL) /* seconds; weekdays and leap days meet again after 28 years, over a turn of a century after 40 */

/* ---- rules over an interval ---- */

static bool clip(const struct rule *rule, int64_t *from, int64_t *to) {
	*from = *from < rule->not_before ? rule->not_before : *from;
	*to = *to >= rule->not_after ? rule->not_after - 1 : *to;
	return *from <= *to;
}

/* What a rule's condition sees: where the request is all that the claim says, and names no scope, what a decision would show it. */
static struct condition_view view_of(const struct proof_case *c, const struct rule *rule, struct policy_query *own) {
	struct condition_view view = c->view;

	if (!view.any_request)
		view.query = query_for_condition(view.query, rule, own);
	return view;
}

static unsigned condition_can(const struct proof_case *c, const struct rule *rule, int64_t from, int64_t to, uint32_t *work) {
	struct condition_view view;
	struct policy_query own;

	if (!rule->condition)
		return HORIZON_TRUE;
	view = view_of(c, rule, &own);
	return condition_within(rule->condition, &view, from, to, work);
}

/* An error denies, too. Where both have one condition, it denies whenever the binding would allow. */
static bool surely_denies(const struct proof_case *c, const struct rule *denial, const struct rule *binding, int64_t from, int64_t to,
			  uint32_t *work) {
	if (denial->condition && binding->condition &&
	    condition_program(denial->condition) == condition_program(binding->condition))
		return true;
	return !(condition_can(c, denial, from, to, work) & HORIZON_FALSE);
}

static bool never_within(const struct proof_case *c, int64_t from, int64_t to, uint32_t *work) {
	const struct rule *binding = c->bindings[0];

	if (!clip(binding, &from, &to) || !(condition_can(c, binding, from, to, work) & HORIZON_TRUE))
		return true;
	for (size_t i = 0; i < c->n_denials; i++)
		if (surely_denies(c, c->denials[i], binding, from, to, work))
			return true;
	return false;
}

static bool always_within(const struct proof_case *c, int64_t from, int64_t to, uint32_t *work) {
	for (size_t i = 0; i < c->n_denials; i++)
		if (condition_can(c, c->denials[i], from, to, work) != HORIZON_FALSE)
			return false;
	for (size_t i = 0; i < c->n_bindings; i++)
		if (from >= c->bindings[i]->not_before && to < c->bindings[i]->not_after &&
		    condition_can(c, c->bindings[i], from, to, work) == HORIZON_TRUE)
			return true;
	return false;
}

/* ---- the search ---- */

/*
 * What a calendar gives changes at full days, hours and minutes, and in most zones at those of UTC: an interval that is cut
 * there needs no more cuts. from < to; the first second of the right part.
 */
static int64_t cut(int64_t from, int64_t to) {
	static const int64_t units[] = { 86400, 3600, 60 };
	int64_t middle = from + (to - from) / 2 + 1, round;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		round = middle - (middle % units[i] + units[i]) % units[i];
		if (round > from)
			return round;
		if (round + units[i] <= to)
			return round + units[i];
	}
	return middle;
}

/* The left part always goes first; hardly deeper than there are bits in the interval. */
static int64_t search(const struct proof_case *c, int64_t from, int64_t to, uint32_t *work) {
	int64_t right, found;

	if (!*work)
		return from;
	--*work;
	if (c->never ? never_within(c, from, to, work) : always_within(c, from, to, work))
		return INT64_MAX;
	if (from == to)
		return from;
	right = cut(from, to);
	found = search(c, from, right - 1, work);
	return found != INT64_MAX ? found : search(c, right, to, work);
}

/* ---- beyond a generation ---- */

/* From when on calendars are to be followed once more: a day before each date. */
struct dates {
	int64_t from, to; /* which are wanted */
	int64_t at[MAX_DATES];
	size_t n;
	bool all; /* there are no others */
};

static void add_date(void *arg, int64_t at) {
	struct dates *d = arg;

	at -= at > INT64_MIN + DAY ? DAY : 0;
	if (at <= d->from || at > d->to)
		return;
	for (size_t i = 0; i < d->n; i++)
		if (d->at[i] == at)
			return;
	if (d->n < MAX_DATES)
		d->at[d->n++] = at;
	else
		d->all = false;
}

static void add_dates_of(struct dates *d, const struct rule *const *rules, size_t n) {
	const struct dates_visitor visitor = { .date = add_date, .arg = d };

	for (size_t i = 0; i < n; i++) {
		add_date(d, rules[i]->not_before);
		add_date(d, rules[i]->not_after);
		if (rules[i]->condition && dates_visit(rules[i]->condition, &visitor) & DATES_HIDDEN)
			d->all = false;
	}
}

static int by_time(const void *a, const void *b) {
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* Behind a generation that has shown nothing, up to its last second. */
static int64_t search_after_dates(const struct proof_case *c, int64_t seen, int64_t to, uint32_t *work, bool *known) {
	struct dates dates = { .from = seen - GENERATION, .to = to, .all = true };
	int64_t at = INT64_MAX, from, end;

	add_dates_of(&dates, c->bindings, c->n_bindings);
	add_dates_of(&dates, c->denials, c->n_denials);
	qsort(dates.at, dates.n, sizeof(*dates.at), by_time);
	for (size_t i = 0; i < dates.n && dates.all && seen < to && at == INT64_MAX; i++) {
		from = dates.at[i] > seen ? dates.at[i] : seen + 1;
		end = dates.at[i] + GENERATION;
		seen = end < to ? end : to;
		at = search(c, from, seen, work);
	}
	*known = dates.all && *work > 0;
	return *known ? at : seen;
}

int64_t proof_case_first_unshown(const struct proof_case *c, int64_t from, int64_t to, uint32_t *work, bool *known) {
	int64_t seen = from + GENERATION < to ? from + GENERATION : to, at = search(c, from, seen, work);
	uint32_t far, most;

	*known = *work > 0;
	if (at != INT64_MAX || seen == to)
		return at;
	far = most = *work < FAR_WORK ? *work : FAR_WORK;
	at = search(c, seen + 1, to, &far);
	*work -= most - far;
	*known = *work > 0;
	return far || !*known ? at : search_after_dates(c, seen, to, work, known);
}

const struct rule *proof_case_doubt(const struct proof_case *c, int64_t at, struct str *part) {
	const struct rule *const *lists[] = { c->never ? c->bindings : c->denials, c->never ? c->denials : c->bindings };
	const size_t n[] = { c->never ? c->n_bindings : c->n_denials, c->never ? c->n_denials : c->n_bindings };
	uint32_t work = DOUBT_WORK;

	for (int l = 0; l < 2; l++)
		for (size_t i = 0; i < n[l]; i++) {
			const struct rule *rule = lists[l][i];
			struct condition_view view;
			struct policy_query own;

			if (!rule->condition || at < rule->not_before || at >= rule->not_after)
				continue;
			view = view_of(c, rule, &own);
			*part = condition_doubt(rule->condition, &view, at, at, &work);
			if (part->p)
				return rule;
		}
	return NULL;
}
