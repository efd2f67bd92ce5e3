/* A change as a sentence. See diff.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/diff.h"

#define MAX_NAMED 3 /* names told one by one */
#define MAX_SENTENCE 8192

/* ---- who is in what ---- */

static int count_members(const struct universe *u, const struct policy *policy, uint32_t **out) {
	struct caller caller;

	*out = calloc(policy->subjects.n + 1, sizeof(**out));
	for (size_t i = 0; *out && i < u->principals.n; i++) {
		caller_find(policy, str_of(u->principals.items[i].name), &caller);
		for (size_t k = 0; k < ARRAY_SIZE(caller.sets); k++)
			for (uint32_t s = 0; s < caller.sets[k].n; s++)
				(*out)[caller.sets[k].v[s]]++;
	}
	return *out ? 0 : -1;
}

int diff_words_init(struct diff_words *words, const struct universe *universe) {
	*words = (struct diff_words){ .universe = universe };
	for (size_t i = 0; i < 2; i++)
		if (count_members(universe, universe->policies[i], &words->members[i]) < 0)
			return -1;
	return 0;
}

void diff_words_fini(struct diff_words *words) {
	free(words->members[0]);
	free(words->members[1]);
	*words = (struct diff_words){ 0 };
}

static bool all_in(const struct policy *policy, const json_t *principals, uint32_t subject) {
	for (size_t i = 0; i < json_array_size(principals); i++)
		if (!universe_is_in(policy, json_string_value(json_array_get(principals, i)), subject))
			return false;
	return true;
}

/* A group or domain that these are, all of them and nobody else; in the policy that gives it. */
static const char *one_name(const struct diff_words *w, const json_t *change) {
	const json_t *principals = json_object_get(change, "principals");
	const char *kind = json_string_value(json_object_get(change, "change")), *rest;
	size_t n = json_array_size(principals);

	if (n == w->universe->principals.n)
		return "everybody";
	for (unsigned turn = 0; turn < 2 && n > 1; turn++) {
		unsigned s = kind && !strcmp(kind, "loses") ? turn : !turn;
		const struct policy *p = w->universe->policies[s];

		for (uint32_t i = 0; i < p->subjects.n; i++)
			if (w->members[s][i] == n && principal_kind(p->subjects.list[i], &rest) && !principal_may_ask(p->subjects.list[i]) &&
			    all_in(p, principals, i))
				return p->subjects.list[i];
	}
	return NULL;
}

/* ---- names ---- */

static const char *stands_for(const struct universe_list *list, const char *name) {
	for (size_t i = list->n; i > 0 && list->items[i - 1].stands_for; i--)
		if (!strcmp(list->items[i - 1].name, name))
			return list->items[i - 1].stands_for;
	return name;
}

/* "a", "a and b", "a, b and c", "a, b and 10 others"; "…" at the end: nobody counted how many. */
static void say_list(const json_t *names, const struct universe_list *items, struct buf *out) {
	size_t n = json_array_size(names), shown = n <= MAX_NAMED ? n : MAX_NAMED - 1;
	bool counted = !n || strcmp(json_string_value(json_array_get(names, n - 1)), DIFF_MORE_NAMES) != 0;

	for (size_t i = 0; i < shown; i++) {
		const char *name = json_string_value(json_array_get(names, i));

		buf_adds(out, i == 0 ? "" : i + 1 == n ? " and " : ", ");
		buf_adds(out, items ? stands_for(items, name) : name);
	}
	if (n > shown && counted)
		buf_addf(out, " and %zu others", n - shown);
	else if (n > shown)
		buf_adds(out, " and others");
}

/* "group ml-engineers (12 principals)" */
static void say_who(const struct diff_words *w, json_t *change, struct buf *out) {
	const json_t *principals = json_object_get(change, "principals");
	const char *one = one_name(w, change);
	size_t n = json_array_size(principals);

	if (!one) {
		say_list(principals, &w->universe->principals, out);
		return;
	}
	json_object_set_new(change, "who", json_string(one));
	buf_adds(out, one);
	if (strcmp(one, "everybody"))
		buf_addf(out, " (%zu principal%s)", n, n == 1 ? "" : "s");
}

static void say_permissions(const json_t *list, struct buf *out) {
	if (json_array_size(list) == 1 && !strcmp(json_string_value(json_array_get(list, 0)), permission_name(PERMISSION_GET_ACCESS_TOKEN)))
		return; /* what everybody thinks of */
	buf_adds(out, " (");
	for (size_t i = 0; i < json_array_size(list); i++)
		buf_addf(out, "%s%s", i ? ", " : "", strrchr(json_string_value(json_array_get(list, i)), '.') + 1);
	buf_addc(out, ')');
}

static void say_by(const json_t *names, struct buf *out) {
	if (!json_array_size(names))
		return;
	buf_adds(out, ", by ");
	say_list(names, NULL, out);
}

/* ---- ways to ask ---- */

static void say_with(const json_t *with, struct buf *out) {
	const json_t *first = json_array_get(with, 0);
	const char *justification = json_string_value(json_object_get(first, "justification"));
	const char *surface = json_string_value(json_object_get(first, "surface"));
	const json_t *lifetime = json_object_get(first, "lifetime"), *scopes = json_object_get(first, "scopes");
	const char *between = "";

	if (!with)
		return;
	buf_adds(out, " (");
	if (!json_object_size(first))
		buf_adds(out, "in a plain request");
	if (justification) {
		buf_addf(out, "with a justification like \"%s\"", justification);
		between = ", ";
	}
	if (lifetime) {
		buf_addf(out, "%swith a lifetime of %lld s", between, (long long)json_integer_value(lifetime));
		between = ", ";
	}
	if (surface) {
		buf_addf(out, "%sthrough the surface %s", between, surface);
		between = ", ";
	}
	if (scopes)
		buf_addf(out, "%swith the scope %s", between, json_string_value(json_array_get(scopes, 0)));
	buf_addc(out, ')');
}

/* ---- changes ---- */

static const char *text(const json_t *change, const char *key) {
	const char *s = json_string_value(json_object_get(change, key));

	return s ? s : "";
}

static void say_accounts(const struct diff_words *w, const json_t *change, struct buf *out) {
	say_list(json_object_get(change, "serviceAccounts"), &w->universe->accounts, out);
	say_permissions(json_object_get(change, "permissions"), out);
}

/* "always" goes without saying. */
static void say_times(const char *times, const char *before, struct buf *out) {
	if (strcmp(times, "always"))
		buf_addf(out, "%s%s", before, times);
}

/* One name, of a group, say, is one. */
static bool are_many(const json_t *change) {
	return json_array_size(json_object_get(change, "principals")) > 1 && !json_object_get(change, "who");
}

static void say_gains(const struct diff_words *w, const json_t *change, struct buf *out) {
	buf_adds(out, are_many(change) ? " gain " : " gains ");
	say_accounts(w, change, out);
	say_times(text(change, "now"), ": ", out);
	say_with(json_object_get(change, "with"), out);
	say_by(json_object_get(change, "bindingsNow"), out);
}

static void say_loses(const struct diff_words *w, const json_t *change, struct buf *out) {
	const json_t *was = json_object_get(change, "bindingsWas"), *now = json_object_get(change, "bindingsNow");

	buf_adds(out, are_many(change) ? " lose " : " loses ");
	say_accounts(w, change, out);
	say_times(text(change, "was"), ", which was there ", out);
	say_with(json_object_get(change, "with"), out);
	if (json_array_size(was)) {
		buf_adds(out, ", given by ");
		say_list(was, NULL, out);
	}
	if (json_array_size(now) && !json_equal(was, now)) {
		buf_adds(out, ", because of ");
		say_list(now, NULL, out);
	}
}

static void say_hours(const struct diff_words *w, const json_t *change, struct buf *out) {
	buf_adds(out, ": ");
	say_accounts(w, change, out);
	say_with(json_object_get(change, "with"), out);
	buf_addf(out, ": %s -> %s", text(change, "was"), text(change, "now"));
}

static void say_span(json_int_t s, struct buf *out) {
	if (s >= 3600)
		buf_addf(out, "%lld h", (long long)(s / 3600));
	if (s % 3600 >= 60)
		buf_addf(out, "%s%lld min", s >= 3600 ? " " : "", (long long)(s % 3600 / 60));
	if (s % 60)
		buf_addf(out, "%s%lld s", s >= 60 ? " " : "", (long long)(s % 60));
}

static void say_lifetime(const struct diff_words *w, const json_t *change, struct buf *out) {
	buf_adds(out, ": ");
	say_accounts(w, change, out);
	say_with(json_object_get(change, "with"), out);
	buf_adds(out, ": at most ");
	say_span(json_integer_value(json_object_get(change, "was")), out);
	buf_adds(out, " -> ");
	say_span(json_integer_value(json_object_get(change, "now")), out);
	say_times(text(change, "when"), ", ", out);
}

static void say_scopes(const struct diff_words *w, const json_t *change, struct buf *out) {
	const json_t *gains = json_object_get(change, "gains"), *loses = json_object_get(change, "loses");

	buf_adds(out, ": ");
	say_accounts(w, change, out);
	say_with(json_object_get(change, "with"), out);
	buf_adds(out, json_array_size(gains) ? ": gains the scope " : "");
	say_list(gains, NULL, out);
	buf_adds(out, !json_array_size(loses) ? "" : json_array_size(gains) ? ", loses the scope " : ": loses the scope ");
	say_list(loses, NULL, out);
	say_times(text(change, "when"), ", ", out);
}

void diff_say(const struct diff_words *words, json_t *change) {
	static const struct {
		const char *change;
		void (*say)(const struct diff_words *words, const json_t *change, struct buf *out);
	} kinds[] = {
		{ "gains", say_gains }, { "loses", say_loses }, { "hours", say_hours }, { "lifetime", say_lifetime }, { "scopes", say_scopes },
	};
	struct buf out = BUF_INIT(MAX_SENTENCE);

	say_who(words, change, &out);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].change, text(change, "change")))
			kinds[i].say(words, change, &out);
	json_object_set_new(change, "sentence", json_string(out.data ? out.data : ""));
	buf_fini(&out);
}
