/* hallpass policy diff: what two policies decide differently. See cli.h; what is computed, and how, tells policy/diff.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"
#include "hallpass/policy.h"

#define HORIZON_S (31 * 86400)
#define MAX_CHANGES 200 /* -v prints all */

static const struct kind {
	const char *change, *mark;
	enum color color;
} kinds[] = {
	{ "gains", "+", COLOR_GREEN },	  { "loses", "-", COLOR_RED },	   { "hours", "~", COLOR_YELLOW },
	{ "lifetime", "~", COLOR_YELLOW }, { "scopes", "~", COLOR_YELLOW },
};

static long long number(const json_t *object, const char *key) {
	return (long long)json_integer_value(json_object_get(object, key));
}

/* --- changes */

static void print_folded(const struct cli *cli, enum color color, const struct buf *text, int indent) {
	printf("%s", out_color(cli, color));
	out_folded(stdout, indent, out_safe(text->data ? text->data : ""));
	printf("%s", out_color(cli, COLOR_NONE));
}

/* An instant and a request with which `hallpass why` would show it. */
static void print_witness(const struct cli *cli, const json_t *change) {
	const json_t *w = json_object_get(change, "witness");
	struct buf out = BUF_INIT(4096);

	buf_addf(&out, "    e.g. %s on %s at %s", text_of(w, "principal"), text_of(w, "serviceAccount"), text_of(w, "time"));
	print_folded(cli, COLOR_DIM, &out, 4);
	buf_fini(&out);
}

static void print_change(const struct cli *cli, const json_t *change) {
	struct buf out = BUF_INIT(65536);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].change, text_of(change, "change")))
			continue;
		buf_addf(&out, "%s %s", kinds[i].mark, text_of(change, "sentence"));
		print_folded(cli, kinds[i].color, &out, 2);
	}
	buf_fini(&out);
	if (cli->values[OPT_VERBOSE])
		print_witness(cli, change);
}

/* --- rules */

#define MAX_RULES 10

static void add_rule(struct buf *out, const json_t *rule) {
	if (json_is_string(rule))
		buf_adds(out, json_string_value(rule));
	else if (*text_of(rule, "was"))
		buf_addf(out, "%s -> %s", text_of(rule, "was"), text_of(rule, "now"));
	else
		buf_adds(out, *text_of(rule, "binding") ? text_of(rule, "binding") : text_of(rule, "denyRule"));
}

static void print_rules(const struct cli *cli, const json_t *rules) {
	static const char *const lists[][2] = {
		{ "renamed", "renamed, and the same otherwise" }, { "added", "added" }, { "removed", "removed" }, { "changed", "changed" },
		{ "groups", "groups with other members" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const json_t *list = json_object_get(rules, lists[i][0]);
		size_t n = json_array_size(list);
		struct buf out = BUF_INIT(65536);

		if (!n)
			continue;
		buf_addf(&out, "%s: ", lists[i][1]);
		for (size_t k = 0; k < n && (k < MAX_RULES || cli->values[OPT_VERBOSE]); k++) {
			buf_adds(&out, k ? ", " : "");
			add_rule(&out, json_array_get(list, k));
		}
		if (n > MAX_RULES && !cli->values[OPT_VERBOSE])
			buf_addf(&out, " and %zu more", n - MAX_RULES);
		print_folded(cli, COLOR_NONE, &out, 2);
		buf_fini(&out);
	}
}

/* --- what was looked at */

static void add_standing_for(struct buf *out, const json_t *list, const char *nothing) {
	for (size_t i = 0; i < json_array_size(list) && i < 3; i++)
		buf_addf(out, "%s%s", i ? ", " : ", among them one for ", text_of(json_array_get(list, i), "standsFor"));
	if (json_array_size(list) > 3)
		buf_addf(out, " and %zu others", json_array_size(list) - 3);
	if (!json_array_size(list))
		buf_adds(out, nothing);
}

static void print_looked(const struct cli *cli, const json_t *looked) {
	bool is_beyond = json_is_true(json_object_get(looked, "beyond"));
	struct buf out = BUF_INIT(65536);

	buf_adds(&out, "looked at: ");
	out_count(number(looked, "principals"), "principal", "principals", &out);
	add_standing_for(&out, json_object_get(looked, "strangers"), "");
	buf_adds(&out, "; ");
	out_count(number(looked, "serviceAccounts"), "account", "accounts", &out);
	add_standing_for(&out, json_object_get(looked, "examples"), "");
	buf_addf(&out, "; all permissions; %s to %s%s%s; ", text_of(looked, "from"), text_of(looked, "to"),
		 is_beyond ? ", and around what begins or ends for good after that, and changes of clocks" : "",
		 is_beyond && json_is_true(json_object_get(looked, "year")) ? "; a year of what asks for months or dates" : "");
	if (number(looked, "pairs")) {
		buf_adds(&out, "rules that differ concern ");
		out_count(number(looked, "pairsLookedAt"), "pair of them, decided ", "pairs of them, decided ", &out);
		out_count(number(looked, "decisions"), "time", "times", &out);
	} else {
		buf_adds(&out, "no rule that differs concerns any of them");
	}
	print_folded(cli, COLOR_DIM, &out, 2);
	buf_fini(&out);
	buf_adds(&out, "held fixed: no delegates, nothing known of the caller's process and connection, no claims; tried as conditions ask for them: justifications, lifetimes, "
		       "surfaces, scopes. What repeats by the week is taken to go on until something begins or ends");
	print_folded(cli, COLOR_DIM, &out, 2);
	buf_fini(&out);
}

/* Of names some were tried. */
static void add_attribute(struct buf *out, const char *name, size_t before) {
	bool is_name = !strcmp(name, "resource.name") || !strcmp(name, "request.auth.principal");

	buf_addf(out, "%s%s%s", before ? ", " : "", name, is_name ? ", of others than those looked at" : "");
}

/* What could differ beyond. */
static void print_doubts(const struct cli *cli, const json_t *looked) {
	struct buf out = BUF_INIT(65536);
	json_t *attributes;
	const char *rule;

	json_object_foreach(json_object_get((json_t *)looked, "open"), rule, attributes) {
		buf_addf(&out, "not tried: %s asks for ", rule);
		for (size_t i = 0; i < json_array_size(attributes); i++)
			add_attribute(&out, json_string_value(json_array_get(attributes, i)), i);
		buf_adds(&out, "; what that would let through, or keep out, is not in here");
		print_folded(cli, COLOR_YELLOW, &out, 2);
		buf_fini(&out);
	}
	if (number(looked, "moreOpen"))
		printf("not tried: %lld more such rules\n", number(looked, "moreOpen"));
	if (json_is_true(json_object_get(looked, "truncated"))) {
		if (number(looked, "pairsLookedAt") < number(looked, "pairs"))
			buf_addf(&out, "not all was looked at: %lld of %lld pairs; there may be more", number(looked, "pairsLookedAt"), number(looked, "pairs"));
		else
			buf_adds(&out, "not all was looked at: there are more pairs that rules which differ concern, and more may be different");
		print_folded(cli, COLOR_YELLOW, &out, 2);
		buf_fini(&out);
	}
	if (json_is_true(json_object_get(looked, "sampled"))) {
		buf_adds(&out, "there are more instants, or overlaps of patterns, than were looked at; there may be more");
		print_folded(cli, COLOR_YELLOW, &out, 2);
		buf_fini(&out);
	}
}

static void print_diff(const struct cli *cli, const json_t *diff) {
	const json_t *changes = json_object_get(diff, "changes"), *change;
	size_t i;

	json_array_foreach(changes, i, change)
		if (i < MAX_CHANGES || cli->values[OPT_VERBOSE])
			print_change(cli, change);
	if (json_array_size(changes) > MAX_CHANGES && !cli->values[OPT_VERBOSE])
		printf("… and %zu changes more (-v or --json)\n", json_array_size(changes) - MAX_CHANGES);
	if (!json_array_size(changes))
		printf("%sno difference%s in what is allowed\n", out_color(cli, COLOR_GREEN), out_color(cli, COLOR_NONE));
	print_rules(cli, json_object_get(diff, "rules"));
	putchar('\n');
	print_looked(cli, json_object_get(diff, "looked"));
	print_doubts(cli, json_object_get(diff, "looked"));
}

/* --- the command */

static int diff(struct cli *cli, const struct policy *was, const struct policy *now, int64_t from, int64_t to) {
	struct error err = { 0 };
	json_t *json = policy_diff(was, now, from, to, !cli->values[OPT_UNTIL], &err);
	bool differs = json_array_size(json_object_get(json, "changes")) > 0;

	if (!json) {
		out_error(cli, err.code, "failed", err.message, NULL);
		return API_EXIT_FAILED;
	}
	if (cli->json)
		out_json(json);
	else
		print_diff(cli, json);
	json_decref(json);
	return differs && cli->values[OPT_EXIT_CODE] ? API_EXIT_DIFFERS : API_EXIT_OK;
}

int cmd_policy_diff(struct cli *cli) {
	struct policy *was, *now = NULL;
	char sha256[SHA256_HEX];
	int64_t from = (int64_t)time(NULL), to;
	int r;

	if ((r = cli_take_time(cli, OPT_FROM, &from)) >= 0)
		return r;
	to = from + HORIZON_S;
	if ((r = cli_take_time(cli, OPT_UNTIL, &to)) >= 0)
		return r;
	if (to <= from)
		return help_usage_error(cli->command, "--until must be behind --from");
	was = policy_of_file(cli, cli->args[0], sha256);
	now = was ? policy_of_file(cli, cli->args[1], sha256) : NULL;
	r = now ? diff(cli, was, now, from, to) : API_EXIT_CONFIG;
	policy_unref(was);
	policy_unref(now);
	return r;
}
