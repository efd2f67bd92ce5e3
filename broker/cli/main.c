/* hallpass. See cli.h. */

#include "broker/cli/cli.h"

int main(int argc, char **argv) {
	static struct cli cli;
	int r = cli_parse(&cli, argc, argv);

	if (r >= 0)
		return r;
	if (!cli.command || cli.values[OPT_HELP])
		return cmd_help(&cli);
	return cli.command->run(&cli);
}
