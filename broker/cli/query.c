/* whoami, list, why, status, reload, version. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "broker/cli/cli.h"

static const char *text_of(const json_t *object, const char *key) {
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

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

/* --- list */

static void list_row(struct table *t, const json_t *item) {
	bool allowed = json_is_true(json_object_get(item, "allowed"));
	struct buf life = BUF_INIT(64);
	const char *until = text_of(item, "until");

	out_span(json_integer_value(json_object_get(item, "maxLifetime")), &life);
	table_add(t, allowed ? COLOR_GREEN : COLOR_DIM, allowed ? "yes" : "no");
	table_add(t, COLOR_BOLD, text_of(item, "serviceAccount"));
	table_add(t, COLOR_NONE, life.data ? life.data : "");
	table_add(t, COLOR_NONE, allowed ? *until ? until : "-" : text_of(item, "reason"));
	table_add(t, COLOR_DIM, text_of(item, "binding"));
	buf_fini(&life);
}

int cmd_list(struct cli *cli) {
	static struct table t;
	json_t *reply, *item;
	size_t i;
	int r = client_call(cli, API_PATH_LIST, NULL, &reply);

	if (r != API_EXIT_OK)
		return r;
	if (cli->json) {
		r = out_json(reply);
	} else if (json_array_size(json_object_get(reply, "accounts")) == 0) {
		printf("%s may be nobody: no binding of the policy names you\n", out_safe(text_of(reply, "principal")));
	} else {
		table_init(&t, cli, 5);
		for (i = 0; i < 5; i++)
			table_add(&t, COLOR_DIM, ((const char *const[]){ "NOW", "ACCOUNT", "LIFE", "UNTIL", "BINDING" })[i]);
		json_array_foreach(json_object_get(reply, "accounts"), i, item)
			list_row(&t, item);
		table_print(&t);
	}
	json_decref(reply);
	return r;
}

/* --- why */

static void print_value(const char *name, const json_t *value) {
	char *text = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);

	printf("        %s = %s\n", out_safe(name), text ? out_safe(text) : "?");
	free(text);
}

static void print_false_part(const struct cli *cli, const json_t *part) {
	const char *name;
	json_t *value;

	printf("      %sfalse:%s %s\n", out_color(cli, COLOR_YELLOW), out_color(cli, COLOR_NONE),
	       out_safe(text_of(part, "expression")));
	json_object_foreach(json_object_get((json_t *)part, "values"), name, value)
		print_value(name, value);
}

static void print_candidate(const struct cli *cli, const json_t *c) {
	const char *name = *text_of(c, "binding") ? text_of(c, "binding") : text_of(c, "denyRule");
	const char *result = text_of(c, "result");
	bool good = !strcmp(result, "ALLOWED");
	const json_t *part;
	size_t i;

	printf("  %s%s%s %s%s", out_color(cli, good ? COLOR_GREEN : COLOR_RED), good ? "✓" : "✗",
	       out_color(cli, COLOR_NONE), out_safe(name), *text_of(c, "title") ? ": " : "");
	printf("%s  %s%s%s\n", out_safe(text_of(c, "title")), out_color(cli, COLOR_DIM), out_safe(result),
	       out_color(cli, COLOR_NONE));
	json_array_foreach(json_object_get((json_t *)c, "false"), i, part)
		print_false_part(cli, part);
}

static void print_why(const struct cli *cli, const json_t *reply) {
	bool allow = !strcmp(text_of(reply, "decision"), "ALLOW");
	const json_t *c;
	struct buf life = BUF_INIT(64);
	size_t i;

	if (allow) {
		out_span(json_integer_value(json_object_get(reply, "lifetime")), &life);
		printf("%sallowed%s by %s, for %s (bound by %s)\n", out_color(cli, COLOR_GREEN), out_color(cli, COLOR_NONE),
		       out_safe(text_of(reply, "rule")), life.data, out_safe(text_of(reply, "boundBy")));
		buf_fini(&life);
	} else {
		printf("%sdenied%s: %s\n", out_color(cli, COLOR_RED), out_color(cli, COLOR_NONE),
		       out_safe(text_of(reply, "message")));
	}
	json_array_foreach(json_object_get((json_t *)reply, "candidates"), i, c)
		print_candidate(cli, c);
}

/* IAM's own name from its short form. */
static json_t *permission_json(const char *name) {
	char full[128];

	snprintf(full, sizeof(full), "%s%s", strchr(name, '.') ? "" : "iam.serviceAccounts.", name);
	return json_string(full);
}

int cmd_why(struct cli *cli) {
	json_t *body = cli_token_body(cli, NULL), *reply;
	int64_t at;
	int r;

	if (!body)
		return API_EXIT_USAGE;
	if (cli->values[OPT_PERMISSION])
		json_object_set_new(body, API_PERMISSION, permission_json(cli->values[OPT_PERMISSION]));
	if (cli->values[OPT_TIME]) {
		at = cli_parse_time(cli->values[OPT_TIME]);
		if (at < 0) {
			json_decref(body);
			return help_usage_error(cli->command, "--at is a time like 2026-03-02T08:00:00+01:00, not \"%s\"",
						cli->values[OPT_TIME]);
		}
		json_object_set_new(body, API_TIME, json_integer(at));
	}
	r = client_call(cli, API_PATH_WHY, body, &reply);
	if (r != API_EXIT_OK)
		return r;
	if (cli->json)
		r = out_json(reply);
	else
		print_why(cli, reply);
	json_decref(reply);
	return r;
}

/* --- status, reload */

static void status_line(const struct cli *cli, const char *label, const char *value) {
	printf("%s%-11s%s %s\n", out_color(cli, COLOR_DIM), label, out_color(cli, COLOR_NONE), out_safe(value));
}

static long long number(const json_t *object, const char *key) {
	return (long long)json_integer_value(json_object_get(object, key));
}

static void print_status(const struct cli *cli, const json_t *s) {
	const json_t *policy = json_object_get(s, "policy"), *audit = json_object_get(s, "audit");
	const json_t *tokens = json_object_get(s, "tokens"), *conns = json_object_get(s, "connections");
	bool healthy = json_is_true(json_object_get(audit, "healthy"));
	struct buf up = BUF_INIT(64);
	char line[2048];

	out_span(number(s, "uptime"), &up);
	snprintf(line, sizeof(line), "hallpassd %s, pid %lld, up %s", text_of(s, "version"), number(s, "pid"), up.data);
	status_line(cli, "broker", line);
	snprintf(line, sizeof(line), "%s  %.12s…  %lld bindings, %lld deny rules, loaded %s", text_of(policy, "file"),
		 text_of(policy, "sha256"), number(policy, "bindings"), number(policy, "denyRules"),
		 text_of(policy, "loadedAt"));
	status_line(cli, "policy", line);
	status_line(cli, "credential", text_of(json_object_get(s, "credential"), "description"));
	snprintf(line, sizeof(line), "%s  %s, %lld records, %lld MiB free%s%s", text_of(audit, "directory"),
		 healthy ? "healthy" : "NOT HEALTHY", number(audit, "nextIndex"), number(audit, "freeBytes") >> 20,
		 healthy ? "" : ": ", text_of(audit, "problem"));
	status_line(cli, "record", line);
	snprintf(line, sizeof(line), "%lld cached; %lld hits, %lld misses, %lld calls to Google, %lld failed",
		 number(tokens, "cached"), number(tokens, "hits"), number(tokens, "misses"), number(tokens, "calls"),
		 number(tokens, "failures"));
	status_line(cli, "tokens", line);
	snprintf(line, sizeof(line), "%lld open, %lld requests, %lld refused", number(conns, "open"),
		 number(conns, "requests"), number(conns, "refused"));
	status_line(cli, "connections", line);
	buf_fini(&up);
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

int cmd_reload(struct cli *cli) {
	json_t *reply = NULL, *body = json_object(), *detail;
	struct error err = { 0 };
	int r = client_try(cli, API_PATH_RELOAD, body, &reply, &err);

	json_decref(body);
	if (cli->json && reply) {
		out_json(reply);
	} else if (r == 0) {
		printf("%sin force:%s %s\n%s", out_color(cli, COLOR_GREEN), out_color(cli, COLOR_NONE),
		       out_safe(text_of(reply, "policySha256")), text_of(reply, "findings"));
	} else {
		detail = json_array_get(json_object_get(json_object_get(reply, "error"), "details"), 0);
		printf("%s", text_of(json_object_get(detail, "metadata"), "findings"));
		out_error(cli, err.code == ERR_DENIED ? "denied" : "refused", err.message,
			  err.code == ERR_INVALID ? "what was in force stays in force" : NULL);
	}
	json_decref(reply);
	return r == 0 ? API_EXIT_OK : err.code == ERR_INVALID ? API_EXIT_CONFIG : client_exit_code(err.code);
}
