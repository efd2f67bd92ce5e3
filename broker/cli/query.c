/* whoami, list, why, status, reload, version. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"

int cmd_version(struct cli *cli) {
	json_t *json;
	int r;

	if (!cli->json) {
		puts("hallpass " HALLPASS_VERSION);
		return API_EXIT_OK;
	}
	json = json_pack("{s:s, s:s}", "name", "hallpass", "version", HALLPASS_VERSION);
	r = out_json(json);
	json_decref(json);
	return r;
}

int cmd_whoami(struct cli *cli) {
	json_t *reply;
	int r = client_call(cli, API_PATH_WHOAMI, NULL, &reply);

	if (r != API_EXIT_OK)
		return r;
	if (cli->json)
		r = out_json(reply);
	else
		printf("%s%s%s  (%s: uid %lld, gid %lld, pid %lld%s%s)\n", out_color(cli, COLOR_BOLD),
		       out_safe(text_of(reply, "principal")), out_color(cli, COLOR_NONE), out_safe(text_of(reply, "how")),
		       (long long)json_integer_value(json_object_get(reply, "uid")),
		       (long long)json_integer_value(json_object_get(reply, "gid")),
		       (long long)json_integer_value(json_object_get(reply, "pid")), *text_of(reply, "exe") ? ", " : "",
		       out_safe(text_of(reply, "exe")));
	json_decref(reply);
	return r;
}

/* --- what the policy says of a rule, in words */

enum concern { CONCERNED, UNCONCERNED };

static const struct verdict_words {
	const char *result;
	enum mark mark;
	const char *words;
	enum concern concern;
} verdict_words[] = {
	{ "ALLOW", MARK_GOOD, "allows it", CONCERNED },
	{ "CONDITION_FALSE", MARK_BAD, "condition is false", CONCERNED },
	{ "CONDITION_ERROR", MARK_BAD, "condition cannot be evaluated", CONCERNED },
	{ "NOT_YET", MARK_BAD, "not yet", CONCERNED },
	{ "EXPIRED", MARK_BAD, "over", CONCERNED },
	{ "SCOPE", MARK_BAD, "none of the scopes is under its ceiling", CONCERNED },
	{ "DELEGATE", MARK_BAD, "a delegate lacks implicitDelegation", CONCERNED },
	{ "WINDOW_CLOSING", MARK_BAD, "closes this very second", CONCERNED },
	{ "DENY_RULE", MARK_BAD, "denies it", CONCERNED },
	{ "DENY_RULE_ERROR", MARK_BAD, "denies it, since its condition cannot be evaluated", CONCERNED },
	{ "DOES_NOT_APPLY", MARK_NEUTRAL, "a deny rule that does not apply", CONCERNED },
	{ "PRINCIPAL", MARK_NEUTRAL, "does not name you", UNCONCERNED },
	{ "EXCEPTED", MARK_NEUTRAL, "excepts you", UNCONCERNED },
	{ "SERVICE_ACCOUNT", MARK_NEUTRAL, "is about other accounts", UNCONCERNED },
	{ "PERMISSION", MARK_NEUTRAL, "is about other permissions", UNCONCERNED },
	{ "NO_BINDING", MARK_BAD, "no binding for it", CONCERNED },
	{ "JWT_OUTLIVES_PERMISSION", MARK_BAD, "the JWT would outlive what is allowed", CONCERNED },
	{ "DENIED", MARK_BAD, "it allows less than the hour that Google's ID tokens live", CONCERNED },
	{ "INVALID", MARK_BAD, "it cannot be decided", CONCERNED },
};

static struct verdict_words words_of(const char *result) {
	for (size_t i = 0; i < ARRAY_SIZE(verdict_words); i++)
		if (!strcmp(verdict_words[i].result, result))
			return verdict_words[i];
	return (struct verdict_words){ result, MARK_BAD, result, CONCERNED }; /* of a newer broker */
}

const char *query_words(const char *result) {
	return words_of(result).words;
}

/* --- list */

static void add_until(const char *until, struct buf *out) {
	int64_t now = (int64_t)time(NULL), at = cli_parse_time(until, now);

	if (at < 0) {
		buf_adds(out, "no end in sight");
		return;
	}
	out_when(at, now, out);
	buf_adds(out, ", in ");
	out_span(at - now, out);
}

static void list_row(struct table *t, const json_t *item) {
	bool allowed = json_is_true(json_object_get(item, "allowed"));
	struct buf life = BUF_INIT(64), until = BUF_INIT(4096);

	out_span(json_integer_value(json_object_get(item, "maxLifetime")), &life);
	if (allowed)
		add_until(text_of(item, "until"), &until);
	else
		buf_adds(&until, words_of(text_of(item, "reason")).words);
	table_add(t, allowed ? COLOR_GREEN : COLOR_DIM, allowed ? "yes" : "no");
	table_add(t, allowed ? COLOR_BOLD : COLOR_NONE, text_of(item, "serviceAccount"));
	table_add(t, COLOR_NONE, life.data ? life.data : "");
	table_add(t, allowed ? COLOR_NONE : COLOR_YELLOW, until.data ? until.data : "");
	table_add(t, COLOR_DIM, text_of(item, "binding"));
	buf_fini(&life);
	buf_fini(&until);
}

static void print_names(const json_t *accounts) {
	const json_t *item;
	size_t i;

	json_array_foreach(accounts, i, item)
		if (!strchr(text_of(item, "serviceAccount"), '*'))
			puts(out_safe(text_of(item, "serviceAccount")));
}

static void print_list(const struct cli *cli, const json_t *accounts) {
	static const char *const heads[] = { "NOW", "ACCOUNT", "LIFE", "UNTIL", "BINDING" };
	static struct table t;
	const json_t *item;
	size_t i;

	table_init(&t, cli, heads, ARRAY_SIZE(heads));
	json_array_foreach(accounts, i, item)
		list_row(&t, item);
	table_print(&t);
}

int cmd_list(struct cli *cli) {
	json_t *reply, *accounts;
	int r = client_call(cli, API_PATH_LIST, NULL, &reply);

	if (r != API_EXIT_OK)
		return r;
	accounts = json_object_get(reply, "accounts");
	if (cli->values[OPT_NAMES])
		print_names(accounts);
	else if (cli->json)
		r = out_json(reply);
	else if (json_array_size(accounts) == 0)
		printf("%s may be nobody: no binding of the policy names you\n", out_safe(text_of(reply, "principal")));
	else
		print_list(cli, accounts);
	if (json_is_true(json_object_get(reply, "truncated")))
		fprintf(stderr, "hallpass: there are more: only the first %zu fit into an answer\n", json_array_size(accounts));
	json_decref(reply);
	return r;
}

/* --- why */

static void print_value(const char *name, const json_t *value) {
	char *text = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);

	printf("        %s = %s\n", out_safe(name), text ? out_safe(text) : "?");
	free(text);
}

/* As the policy has it, on as many lines. */
static void print_expression(const char *text) {
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		char *copy = strndup(line, n);

		printf("%s%s\n", line == text ? " " : "             ", copy ? out_safe(copy) : "?");
		free(copy);
		line += n + strspn(line + n, "\n ");
	}
}

static void print_false_part(const struct cli *cli, const json_t *part) {
	const char *name;
	json_t *value;

	printf("      %sfalse:%s", out_color(cli, COLOR_YELLOW), out_color(cli, COLOR_NONE));
	print_expression(text_of(part, "expression"));
	json_object_foreach(json_object_get((json_t *)part, "values"), name, value)
		print_value(name, value);
}

/* "since 2026-01-01 00:00", "until 17:50": an instant that the verdict hangs on. */
static void print_instant(const json_t *c, const char *key, const char *word) {
	int64_t now = (int64_t)time(NULL), at = cli_parse_time(text_of(c, key), now);
	struct buf text = BUF_INIT(128);

	if (at < 0)
		return;
	out_when(at, now, &text);
	printf(" %s %s", word, text.data);
	buf_fini(&text);
}

static void print_allowed_for(const json_t *c, const char *life) {
	struct buf span = BUF_INIT(64);

	out_span(json_integer_value(json_object_get(c, life)), &span);
	printf(" for %s (bound by %s)", span.data, out_safe(text_of(c, "boundBy")));
	buf_fini(&span);
}

static void print_candidate(const struct cli *cli, const json_t *c) {
	static const enum color colors[] = { [MARK_GOOD] = COLOR_GREEN, [MARK_BAD] = COLOR_RED, [MARK_NEUTRAL] = COLOR_DIM };
	const struct verdict_words w = words_of(text_of(c, "result"));
	const char *name = *text_of(c, "binding") ? text_of(c, "binding") : text_of(c, "denyRule");
	const json_t *part;
	size_t i;

	printf("  %s%s%s %s%s%s", out_color(cli, colors[w.mark]), out_mark(w.mark), out_color(cli, COLOR_NONE),
	       out_color(cli, COLOR_BOLD), out_safe(name), out_color(cli, COLOR_NONE));
	if (*text_of(c, "title"))
		printf(" (%s)", out_safe(text_of(c, "title")));
	printf("%s %s", *text_of(c, "binding") && w.mark == MARK_BAD ? ":" : "", out_safe(w.words));
	if (w.mark == MARK_GOOD)
		print_allowed_for(c, "lifetime");
	print_instant(c, "notBefore", "until");
	print_instant(c, "notAfter", "since");
	if (*text_of(c, "error"))
		printf(": %s", out_safe(text_of(c, "error")));
	printf("  %sline %lld%s\n", out_color(cli, COLOR_DIM), (long long)json_integer_value(json_object_get(c, "line")),
	       out_color(cli, COLOR_NONE));
	json_array_foreach(json_object_get((json_t *)c, "false"), i, part)
		print_false_part(cli, part);
}

static void print_candidates(const struct cli *cli, const json_t *reply) {
	size_t i, others = 0, more = (size_t)json_integer_value(json_object_get(reply, "moreRules"));
	const json_t *c;

	json_array_foreach(json_object_get(reply, "candidates"), i, c) {
		if (words_of(text_of(c, "result")).concern == CONCERNED || cli->values[OPT_VERBOSE])
			print_candidate(cli, c);
		else
			others++;
	}
	if (others == 0 && more)
		printf("  %s%s %zu more rules are not told%s\n", out_color(cli, COLOR_DIM), out_mark(MARK_NEUTRAL), more, out_color(cli, COLOR_NONE));
	others += others ? more : 0;
	if (others)
		printf("  %s%s %zu other rule%s about somebody or something else (-v shows %s)%s\n", out_color(cli, COLOR_DIM),
		       out_mark(MARK_NEUTRAL), others, others == 1 ? " is" : "s are", more ? "some" : others == 1 ? "it" : "them",
		       out_color(cli, COLOR_NONE));
}

/* Where it is not about this moment, or about a request that the question does not describe. */
static void print_about(const struct cli *cli, const json_t *reply) {
	const json_t *about = json_object_get(reply, "about"), *policy = json_object_get(reply, "policy");
	int64_t now = (int64_t)time(NULL), at = cli_parse_time(text_of(about, API_TIME), now);
	bool past = json_is_true(json_object_get(policy, "past")), last = *text_of(about, API_REQUEST_ID);
	struct buf text = BUF_INIT(4096);

	if (last)
		buf_addf(&text, "last refused: %s, request %s, ", text_of(about, API_SERVICE_ACCOUNT), text_of(about, API_REQUEST_ID));
	if (last || cli->values[OPT_TIME]) {
		buf_adds(&text, "as of ");
		out_when(at, now, &text);
	}
	if (past) {
		buf_adds(&text, ", under the policy of ");
		out_when(cli_parse_time(text_of(policy, "since"), now), now, &text);
		buf_addf(&text, ", SHA-256 %.12s…", text_of(policy, "sha256"));
	}
	if (text.len)
		printf("%s%s%s\n", out_color(cli, COLOR_DIM), out_safe(text.data), out_color(cli, COLOR_NONE));
	buf_fini(&text);
}

/* The smallest stands in the message already. */
static void print_suggestions(const json_t *suggestions) {
	for (size_t i = 1; i < json_array_size(suggestions); i++)
		printf("    or %s\n", out_safe(text_of(json_array_get(suggestions, i), "sentence")));
}

static void print_why(const struct cli *cli, const json_t *reply) {
	print_about(cli, reply);
	if (!strcmp(text_of(reply, "decision"), "ALLOW")) {
		printf("%sallowed%s by %s", out_color(cli, COLOR_GREEN), out_color(cli, COLOR_NONE),
		       out_safe(text_of(reply, "rule")));
		print_allowed_for(reply, "lifetime");
		putchar('\n');
	} else {
		printf("%sdenied%s: %s\n", out_color(cli, COLOR_RED), out_color(cli, COLOR_NONE),
		       out_safe(text_of(reply, "message")));
		print_suggestions(json_object_get(reply, "suggestions"));
	}
	print_candidates(cli, reply);
}

/* IAM's own name from its short form. */
static json_t *permission_json(const char *name) {
	char full[128];

	snprintf(full, sizeof(full), "%s%s", strchr(name, '.') ? "" : "iam.serviceAccounts.", name);
	return json_string(full);
}

/* What describes a request. Without any of it the question is about the last one that was refused. */
static bool describes_request(const struct cli *cli) {
	static const enum opt opts[] = { OPT_SCOPES, OPT_LIFETIME, OPT_REASON, OPT_DELEGATE, OPT_PERMISSION };

	for (size_t i = 0; i < ARRAY_SIZE(opts); i++)
		if (cli->values[opts[i]])
			return true;
	return *cli_account(cli);
}

/* NULL: told already. */
static json_t *why_body(struct cli *cli) {
	json_t *body = describes_request(cli) ? cli_token_body(cli) : json_object();
	int64_t at;

	if (body && cli->values[OPT_PERMISSION])
		json_object_set_new(body, API_PERMISSION, permission_json(cli->values[OPT_PERMISSION]));
	if (body && cli->values[OPT_PRINCIPAL])
		json_object_set_new(body, API_PRINCIPAL, json_string(cli->values[OPT_PRINCIPAL]));
	if (!body || !cli->values[OPT_TIME])
		return body;
	if (cli_take_time(cli, OPT_TIME, &at) < 0) {
		json_object_set_new(body, API_TIME, json_integer(at));
		return body;
	}
	json_decref(body);
	return NULL;
}

/* That nothing was refused is an answer. */
static int why_failed(struct cli *cli, const struct error *err, json_t *reply) {
	const json_t *details = json_object_get(json_object_get(reply, "error"), "details");

	if (strcmp(text_of(json_array_get(details, 0), "reason"), "NOTHING_DENIED"))
		return client_tell(cli, err, reply);
	if (cli->json)
		return out_json(reply);
	puts(out_safe(err->message));
	return API_EXIT_OK;
}

int cmd_why(struct cli *cli) {
	json_t *body = why_body(cli), *reply = NULL;
	struct error err = { 0 };
	int r;

	if (!body)
		return API_EXIT_USAGE;
	r = client_try(cli, API_PATH_WHY, body, &reply, &err);
	json_decref(body);
	if (r < 0)
		r = why_failed(cli, &err, reply);
	else if (cli->json)
		r = out_json(reply);
	else
		print_why(cli, reply);
	json_decref(reply);
	return r;
}

/* --- status, reload */

static void status_line(const struct cli *cli, const char *label, const char *value) {
	printf("%s%-11s%s ", out_color(cli, COLOR_DIM), label, out_color(cli, COLOR_NONE));
	out_folded(stdout, 12, out_safe(value));
}

static long long number(const json_t *object, const char *key) {
	return (long long)json_integer_value(json_object_get(object, key));
}

static void say_broker(const json_t *s, struct buf *out) {
	buf_addf(out, "hallpassd %s, pid %lld, up ", text_of(s, "version"), number(s, "pid"));
	out_span(number(s, "uptime"), out);
}

static void say_policy(const json_t *s, struct buf *out) {
	const json_t *policy = json_object_get(s, "policy");
	int64_t now = (int64_t)time(NULL), at = cli_parse_time(text_of(policy, "loadedAt"), now);

	buf_addf(out, "%s  %.12s…  ", text_of(policy, "file"), text_of(policy, "sha256"));
	out_count(number(policy, "bindings"), "binding, ", "bindings, ", out);
	out_count(number(policy, "denyRules"), "deny rule, loaded ", "deny rules, loaded ", out);
	out_when(at, now, out);
}

static void say_credential(const json_t *s, struct buf *out) {
	buf_adds(out, text_of(json_object_get(s, "credential"), "description"));
}

static void say_record(const json_t *s, struct buf *out) {
	const json_t *audit = json_object_get(s, "audit");

	buf_addf(out, "%s  %s, ", text_of(audit, "directory"),
		 json_is_true(json_object_get(audit, "healthy")) ? "healthy" : "NOT HEALTHY");
	out_count(number(audit, "nextIndex"), "record, ", "records, ", out);
	buf_addf(out, "%lld MiB free", number(audit, "freeBytes") >> 20);
	if (*text_of(audit, "problem"))
		buf_addf(out, ": %s", text_of(audit, "problem"));
}

static void say_tokens(const json_t *s, struct buf *out) {
	const json_t *tokens = json_object_get(s, "tokens");

	buf_addf(out, "%lld cached; ", number(tokens, "cached"));
	out_count(number(tokens, "hits"), "hit, ", "hits, ", out);
	out_count(number(tokens, "misses"), "miss, ", "misses, ", out);
	out_count(number(tokens, "calls"), "call to Google, ", "calls to Google, ", out);
	buf_addf(out, "%lld failed", number(tokens, "failures"));
}

static void say_connections(const json_t *s, struct buf *out) {
	const json_t *conns = json_object_get(s, "connections");

	buf_addf(out, "%lld open, ", number(conns, "open"));
	out_count(number(conns, "requests"), "request, ", "requests, ", out);
	buf_addf(out, "%lld refused", number(conns, "refused"));
}

static void say_sessions(const json_t *s, struct buf *out) {
	buf_addf(out, "%lld open", number(s, "sessions"));
}

static void print_status(const struct cli *cli, const json_t *s) {
	static const struct {
		const char *label;
		void (*say)(const json_t *s, struct buf *out);
	} lines[] = {
		{ "broker", say_broker },	  { "policy", say_policy }, { "credential", say_credential },
		{ "record", say_record }, { "tokens", say_tokens }, { "connections", say_connections },
		{ "sessions", say_sessions },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct buf text = BUF_INIT(8192);

		lines[i].say(s, &text);
		status_line(cli, lines[i].label, text.data ? text.data : "");
		buf_fini(&text);
	}
}

int cmd_status(struct cli *cli) {
	json_t *reply;
	int r = client_call(cli, API_PATH_STATUS, NULL, &reply);

	if (r != API_EXIT_OK)
		return r;
	if (cli->json)
		r = out_json(reply);
	else
		print_status(cli, reply);
	json_decref(reply);
	return r;
}

/* Findings are the policy's own text between lines of ours: each line is made safe for the terminal. */
static void print_findings(const char *text) {
	while (*text) {
		size_t n = strcspn(text, "\n");
		char *line = strndup(text, n);

		puts(line ? out_safe(line) : "");
		free(line);
		text += n + (text[n] == '\n');
	}
}

static int reload_refused(struct cli *cli, const struct error *err, json_t *reply) {
	const json_t *details = json_object_get(json_object_get(reply, "error"), "details");
	const json_t *detail = json_array_get(details, 0);

	if (strcmp(text_of(detail, "reason"), "RELOAD_REFUSED"))
		return client_tell(cli, err, reply);
	if (cli->json) {
		out_json(reply);
	} else {
		print_findings(text_of(json_object_get(detail, "metadata"), "findings"));
		out_error(cli, err->code, "refused", err->message, "what was in force stays in force");
	}
	/* Nothing there is a fault of the configuration as well. */
	return err->code == ERR_INVALID || err->code == ERR_NOT_FOUND ? API_EXIT_CONFIG : API_EXIT_TRY_AGAIN;
}

int cmd_reload(struct cli *cli) {
	json_t *reply = NULL, *body = json_object();
	struct error err = { 0 };
	int r = client_try(cli, API_PATH_RELOAD, body, &reply, &err);

	json_decref(body);
	if (r < 0) {
		r = reload_refused(cli, &err, reply);
	} else if (cli->json) {
		r = out_json(reply);
	} else {
		printf("%sin force:%s %s\n", out_color(cli, COLOR_GREEN), out_color(cli, COLOR_NONE),
		       out_safe(text_of(reply, "policySha256")));
		print_findings(text_of(reply, "findings"));
	}
	json_decref(reply);
	return r;
}
