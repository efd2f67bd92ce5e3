/* See hint.h. */

#include <stdio.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"
#include "policy/hint.h"
#include "policy/zone_guess.h"

#define MAX_WORD 64

static const char *const functions[] = {
	"getFullYear", "getMonth",   "getDate",	       "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours",
	"getMinutes",  "getSeconds", "getMilliseconds", "timestamp",	"duration",	"date",		"startsWith",
	"endsWith",    "contains",   "matches",	       "extract",	"hasOnly",	"size",		"int",
	"string",      "exists",     "all",	       "exists_one",	"filter",	"map",		"has",
	"lowerAscii",  "upperAscii", "split",	       "replace",	"substring",	"indexOf",	"type",
};

static bool is_word(char c) {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The word at an offset of the expression, behind a dot if there is one. */
static void word_at(struct str text, size_t at, char word[MAX_WORD]) {
	size_t n = 0;

	if (at < text.n && text.p[at] == '.')
		at++;
	while (at + n < text.n && n < MAX_WORD - 1 && is_word(text.p[at + n]))
		n++;
	memcpy(word, text.p + at, at < text.n ? n : 0);
	word[at < text.n ? n : 0] = '\0';
}

static bool is_call(struct str text, size_t at) {
	if (at < text.n && text.p[at] == '.')
		at++;
	while (at < text.n && is_word(text.p[at]))
		at++;
	return at < text.n && text.p[at] == '(';
}

/* What stands in the n-th pair of quotes of a message. */
static bool quoted(const char *message, unsigned n, char out[MAX_WORD * 2]) {
	const char *end;

	for (message = strchr(message, '\''); message; message = strchr(end + 1, '\'')) {
		end = strchr(message + 1, '\'');
		if (!end)
			return false;
		if (n-- == 0)
			return snprintf(out, MAX_WORD * 2, "%.*s", (int)(end - message - 1), message + 1) < MAX_WORD * 2;
	}
	return false;
}

static bool hint_call(const char *word, char *out, size_t size) {
	struct nearest nearest;

	nearest_init(&nearest, word);
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		nearest_offer(&nearest, functions[i]);
	if (nearest.best && !strcmp(nearest.best, word)) /* a macro, with other arguments than it takes */
		snprintf(out, size, "it takes a name and what is to be true of it: list.%s(x, x > 1)", word);
	else if (nearest.best)
		snprintf(out, size, "did you mean %s()?", nearest.best);
	return nearest.best;
}

/* "principal" for request.auth.principal; otherwise a word that should be a text. */
static bool hint_name(const char *name, const char *const *names, size_t n_names, char *out, size_t size) {
	for (size_t i = 0; i < n_names; i++)
		if (!strcmp(strrchr(names[i], '.') + 1, name)) {
			snprintf(out, size, "did you mean %s?", names[i]);
			return true;
		}
	if (strchr(name, '.'))
		return false;
	snprintf(out, size, "text stands in quotes: \"%s\"", name);
	return true;
}

static bool hint_undeclared(const struct cel_error *error, struct str text, const char *const *names, size_t n_names,
			    char *out, size_t size) {
	char name[MAX_WORD * 2];

	if (strstr(error->message, "did you mean") || !quoted(error->message, 0, name))
		return false;
	return is_call(text, error->offset) ? hint_call(name, out, size) : hint_name(name, names, n_names, out, size);
}

/* "(int, string)": both; false: there are not two. */
static bool two_types(const char *types, char left[MAX_WORD], char right[MAX_WORD]) {
	const char *comma = strstr(types, ", ");
	size_t n = strlen(types);

	if (types[0] != '(' || !comma || strstr(comma + 2, ", ") || comma - types > MAX_WORD || n > MAX_WORD)
		return false;
	snprintf(left, MAX_WORD, "%.*s", (int)(comma - types - 1), types + 1);
	snprintf(right, MAX_WORD, "%.*s", (int)(n - (size_t)(comma - types) - 3), comma + 2);
	return true;
}

static bool hint_operator(const char *name, const char *left, const char *right, char *out, size_t size) {
	static const struct {
		const char *type, *how;
	} times[] = {
		{ "timestamp", "write the other as timestamp(\"2026-12-31T18:00:00Z\")" },
		{ "duration", "write the other as duration(\"90s\")" },
	};

	if (!strcmp(name, "@in")) {
		snprintf(out, size, "what stands right of `in` must be a list of %s, and it is %s", left, right);
		return true;
	}
	if (name[0] != '_' || name[1] == '[' || name[1] == '?')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (!strcmp(left, times[i].type) != !strcmp(right, times[i].type)) {
			snprintf(out, size, "one side is a %s: %s", times[i].type, times[i].how);
			return true;
		}
	snprintf(out, size, "the left side is %s and the right side %s: both must be of one type", left, right);
	return true;
}

static bool hint_overload(const struct cel_error *error, char *out, size_t size) {
	char name[MAX_WORD * 2], types[MAX_WORD * 2], left[MAX_WORD], right[MAX_WORD];

	return quoted(error->message, 0, name) && quoted(error->message, 1, types) && two_types(types, left, right) &&
	       hint_operator(name, left, right, out, size);
}

static bool hint_selection(const struct cel_error *error, struct str text, char *out, size_t size) {
	char word[MAX_WORD];

	word_at(text, error->offset, word);
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (!strcmp(functions[i], word)) {
			snprintf(out, size, "it is a function: %s()", word);
			return true;
		}
	return false;
}

static bool hint_zone(const struct cel_error *error, const struct policy_host *host, char *out, size_t size) {
	char name[MAX_WORD * 2], guess[ZONE_GUESS];

	if (!quoted(error->message, 0, name) || !zone_guess(host, name, guess))
		return false;
	snprintf(out, size, "did you mean \"%s\"?", guess);
	return true;
}

static bool hint_habit(const struct cel_error *error, char *out, size_t size) {
	static const struct {
		const char *message, *fix;
	} habits[] = {
		{ "expression: '='", "compare with ==" },
		{ "expression: '&'", "write && for and" },
		{ "expression: '|'", "write || for or" },
		{ "here is 'and'", "write && for and" },
		{ "here is 'AND'", "write && for and" },
		{ "here is 'or'", "write || for or" },
		{ "here is 'OR'", "write || for or" },
		{ "here is 'not'", "write !(x in list) for x not in list" },
		{ "here is 'is'", "compare with ==" },
		{ "expected ')'", "a bracket is still open" },
		{ "expected ']'", "a bracket is still open" },
		{ "there is no time zone", "names are those of the tz database, like Europe/Berlin; or write an offset, +02:00" },
		{ "but found", "a condition must come out as true or false: compare it with something" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(habits); i++)
		if (strstr(error->message, habits[i].message)) {
			snprintf(out, size, "%s", habits[i].fix);
			return true;
		}
	return false;
}

bool hint_for(const struct cel_error *error, struct str expression, const char *const *names, size_t n_names,
	      const struct policy_host *host, char *out, size_t size) {
	if (strstr(error->message, "undeclared reference"))
		return hint_undeclared(error, expression, names, n_names, out, size);
	if (strstr(error->message, "no matching overload"))
		return hint_overload(error, out, size);
	if (strstr(error->message, "does not support field selection"))
		return hint_selection(error, expression, out, size);
	if (strstr(error->message, "no time zone") && hint_zone(error, host, out, size))
		return true;
	return hint_habit(error, out, size);
}
