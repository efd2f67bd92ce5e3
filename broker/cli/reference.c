/* hallpass policy schema, hallpass policy lints: what the program knows of policies, from the tables that it runs by. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include "broker/cli/cli.h"
#include "hallpass/policy.h"

int cmd_policy_schema(struct cli *cli) {
	json_t *schema = policy_schema();
	char *text = schema ? json_dumps(schema, JSON_INDENT(2)) : NULL;

	(void)cli;
	if (text)
		puts(text);
	free(text);
	json_decref(schema);
	return text ? API_EXIT_OK : API_EXIT_FAILED;
}

static int lints_json(void) {
	json_t *list = json_array();
	int r;

	for (size_t i = 0; i < n_policy_lints; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "id", policy_lints[i].id, "sentence", policy_lints[i].sentence, "fix",
						      policy_lints[i].fix));
	r = out_json(list);
	json_decref(list);
	return r;
}

int cmd_policy_lints(struct cli *cli) {
	if (cli->json)
		return lints_json();
	for (size_t i = 0; i < n_policy_lints; i++) {
		printf("%s%s%s\n  ", out_color(cli, COLOR_BOLD), policy_lints[i].id, out_color(cli, COLOR_NONE));
		out_folded(stdout, 2, policy_lints[i].sentence);
		printf("  = ");
		out_folded(stdout, 4, policy_lints[i].fix);
	}
	return API_EXIT_OK;
}
