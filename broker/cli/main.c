/* hallpass. See cli.h. */

#include <stdio.h>
#include "broker/cli/cli.h"
#include "broker/secret.h"

/* Tokens pass through this process: they do not go into a core file. `run` gives its command the limit back. */
static void forbid_cores(struct cli *cli) {
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return;
	cli->core = limit.rlim_cur;
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_CORE, &limit);
}

/* What could not be written has not been told: not with exit code 0. */
static int finish(int code) {
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	perror("hallpass: standard output");
	return code ? code : API_EXIT_FAILED;
}

int main(int argc, char **argv) {
	static struct cli cli;
	int r;

	forbid_cores(&cli);
	secret_json();
	r = cli_parse(&cli, argc, argv);
	if (r >= 0)
		return finish(r);
	if (cli.values[OPT_VERSION])
		return finish(cmd_version(&cli));
	if (cli.values[OPT_HELP])
		return finish(cmd_help(&cli));
	r = accounts_spell_out(&cli);
	return finish(r != API_EXIT_OK ? r : cli.command->run(&cli));
}
