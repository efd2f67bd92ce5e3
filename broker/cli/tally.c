/* See tally.h. */

#include <stdlib.h>
#include <string.h>
#include "broker/cli/tally.h"
#include "hallpass/buf.h"
#include "hallpass/cleanup.h"

#define KEY_MAX_BYTES 32768

static char *key_of(enum replay_change change, const struct recorded *asked, const struct decision *now, const char *why) {
	const struct policy_query *q = &asked->query;
	enum bound_by bound_by = change == REPLAY_SHORTER || change == REPLAY_LONGER ? now->bound_by : BOUND_BY_NONE;
	struct buf key = BUF_INIT(KEY_MAX_BYTES);

	buf_addf(&key, "%d\x1f%s\x1f%s\x1f%d\x1f%s\x1f%d\x1f%s", (int)change, q->principal ? q->principal : "",
		 q->service_account ? q->service_account : "", (int)q->permission, asked->binding, (int)bound_by, why);
	return buf_take(&key);
}

static char *copy(const char *text) {
	return strdup(text ? text : "");
}

static struct tally_group *group_new(struct tally *tally, const char *key) {
	size_t size = tally->size ? tally->size * 2 : 64;
	struct tally_group *more;

	if (tally->n == TALLY_MAX_GROUPS)
		return NULL;
	if (tally->n == tally->size) {
		more = realloc(tally->groups, size * sizeof(*more));
		if (!more)
			return NULL;
		tally->groups = more;
		tally->size = size;
	}
	if (!tally->by_key)
		tally->by_key = json_object();
	if (json_object_set_new(tally->by_key, key, json_integer((json_int_t)tally->n)) < 0)
		return NULL;
	tally->groups[tally->n] = (struct tally_group){ 0 };
	return &tally->groups[tally->n++];
}

static void group_name(struct tally_group *g, enum replay_change change, const struct recorded *asked, const char *why) {
	g->change = change;
	g->who = copy(asked->query.principal);
	g->account = copy(asked->query.service_account);
	g->permission = copy(permission_name(asked->query.permission));
	g->binding = copy(asked->binding);
	g->why = copy(why);
	g->first = g->last = asked->time.s;
}

static void widen(int64_t value, int64_t *min, int64_t *max) {
	if (!*min || value < *min)
		*min = value;
	if (value > *max)
		*max = value;
}

void tally_add(struct tally *tally, enum replay_change change, const struct recorded *asked, const struct decision *now, const char *why) {
	char *key = key_of(change, asked, now, why);
	const json_t *at = key ? json_object_get(tally->by_key, key) : NULL;
	struct tally_group *g = at ? &tally->groups[json_integer_value(at)] : NULL;
	bool issued = asked->type == RECORD_ISSUED;

	tally->count[change]++;
	tally->issued[change] += issued;
	if (!g && (g = key ? group_new(tally, key) : NULL))
		group_name(g, change, asked, why);
	free(key);
	if (!g) {
		tally->left_out++;
		return;
	}
	g->count++;
	g->issued += issued;
	widen(asked->time.s, &g->first, &g->last);
	widen(asked->lifetime_s, &g->was_min, &g->was_max);
	widen(now->lifetime_s, &g->now_min, &g->now_max);
	g->bound_by = now->bound_by;
}

static int compare(const void *a, const void *b) {
	const struct tally_group *x = a, *y = b;

	if (x->change != y->change)
		return x->change < y->change ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

void tally_sort(struct tally *tally) {
	if (tally->n)
		qsort(tally->groups, tally->n, sizeof(*tally->groups), compare);
}

void tally_fini(struct tally *tally) {
	for (size_t i = 0; i < tally->n; i++) {
		struct tally_group *g = &tally->groups[i];

		free(g->who);
		free(g->account);
		free(g->permission);
		free(g->binding);
		free(g->why);
	}
	free(tally->groups);
	json_decref(tally->by_key);
	*tally = (struct tally){ 0 };
}
