/* hallpass token, hallpass id-token. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/cli.h"

/* "cloud-platform" is https://www.googleapis.com/auth/cloud-platform; openid, email and profile are themselves. */
static int add_scopes(struct cli *cli, json_t *body) {
	char *copy = strdup(cli->values[OPT_SCOPES]), *save = NULL, url[300];
	json_t *list = json_array();

	for (char *s = strtok_r(copy, ", ", &save); s; s = strtok_r(NULL, ", ", &save)) {
		if (strchr(s, ':') || !strcmp(s, "openid") || !strcmp(s, "email") || !strcmp(s, "profile"))
			snprintf(url, sizeof(url), "%s", s);
		else
			snprintf(url, sizeof(url), "https://www.googleapis.com/auth/%s", s);
		json_array_append_new(list, json_string(url));
	}
	free(copy);
	return json_object_set_new(body, API_SCOPES, list);
}

static int add_lifetime(struct cli *cli, json_t *body) {
	int64_t seconds = cli_parse_span(cli->values[OPT_LIFETIME]);

	if (seconds < 1) {
		help_usage_error(cli->command, "--lifetime is a span like 15m, 900s or 1h30m, not \"%s\"",
				 cli->values[OPT_LIFETIME]);
		return -1;
	}
	return json_object_set_new(body, API_LIFETIME, json_integer(seconds));
}

const char *cli_account(const struct cli *cli) {
	const char *as = cli->values[OPT_AS] ? cli->values[OPT_AS] : "";

	return cli->n_args && cli->command->operands && !strcmp(cli->command->operands, COMPLETE_ACCOUNT) ? cli->args[0] : as;
}

json_t *cli_token_body(struct cli *cli) {
	const char *account = cli_account(cli);
	json_t *body;

	if (!*account) {
		help_usage_error(cli->command, "which account? name one, or see `hallpass list`");
		return NULL;
	}
	body = json_pack("{s:s}", API_SERVICE_ACCOUNT, account);
	if (!body) {
		help_usage_error(cli->command, "the account's name is not UTF-8");
		return NULL;
	}
	if ((cli->values[OPT_LIFETIME] && add_lifetime(cli, body) < 0) ||
	    (cli->values[OPT_SCOPES] && add_scopes(cli, body) < 0)) {
		json_decref(body);
		return NULL;
	}
	if (cli->values[OPT_REASON])
		json_object_set_new(body, API_JUSTIFICATION, json_string(cli->values[OPT_REASON]));
	for (size_t i = 0; i < cli->n_repeated; i++) {
		if (i == 0)
			json_object_set_new(body, API_DELEGATES, json_array());
		json_array_append_new(json_object_get(body, API_DELEGATES), json_string(cli->repeated[i]));
	}
	return body;
}

/* For the person at the terminal: what was got. Nothing secret. */
static void note(const struct cli *cli, const json_t *reply) {
	const char *bound = json_string_value(json_object_get(reply, API_BOUND_BY));
	const char *binding = json_string_value(json_object_get(reply, API_BINDING));
	const char *title = json_string_value(json_object_get(reply, API_TITLE));
	int64_t life = json_integer_value(json_object_get(reply, API_EXPIRES_IN)), now = (int64_t)time(NULL);
	struct buf text = BUF_INIT(8192);

	if (!isatty(STDERR_FILENO) && !cli->values[OPT_VERBOSE])
		return;
	buf_addf(&text, "%s, for ", out_safe(binding ? binding : "?"));
	out_span(life, &text);
	buf_adds(&text, ", until ");
	out_when(now + life, now, &text);
	buf_addf(&text, " (bound by %s", out_safe(bound ? bound : "?"));
	if (bound && !strcmp(bound, "condition") && title)
		buf_addf(&text, " \"%s\"", out_safe(title));
	buf_adds(&text, json_is_true(json_object_get(reply, API_CACHED)) ? ", cached)" : ")");
	fflush(stdout); /* the token stands above the note on it */
	fprintf(stderr, "%shallpass: %s%s\n", out_color_err(cli, COLOR_DIM), text.data, out_color_err(cli, COLOR_NONE));
	buf_fini(&text);
}

static int print_token(struct cli *cli, const char *path, json_t *body, const char *member) {
	const char *token;
	json_t *reply;
	int r;

	if (!body)
		return API_EXIT_USAGE;
	r = client_call(cli, path, body, &reply);
	if (r != API_EXIT_OK)
		return r;
	token = json_string_value(json_object_get(reply, member));
	if (cli->json)
		r = out_json(reply);
	else if (token)
		puts(token);
	else
		r = API_EXIT_FAILED;
	if (!cli->json)
		note(cli, reply);
	json_decref(reply);
	return r;
}

int cmd_token(struct cli *cli) {
	return print_token(cli, API_PATH_TOKEN, cli_token_body(cli), API_ACCESS_TOKEN);
}

int cmd_id_token(struct cli *cli) {
	json_t *body;

	if (!cli->values[OPT_AUDIENCE])
		return help_usage_error(cli->command, "for whom? --audience URL");
	body = cli_token_body(cli);
	if (body) {
		json_object_set_new(body, API_AUDIENCE, json_string(cli->values[OPT_AUDIENCE]));
		json_object_set_new(body, API_INCLUDE_EMAIL, json_boolean(cli->values[OPT_INCLUDE_EMAIL] != NULL));
	}
	return print_token(cli, API_PATH_ID_TOKEN, body, API_TOKEN);
}
