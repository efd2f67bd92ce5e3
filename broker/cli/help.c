/* Help, the manual page and shell completion, all from the table in command.c. See cli.h. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"

static const enum opt global_opts[] = { OPT_SOCKET, OPT_JSON, OPT_COLOR, OPT_HELP };

int help_usage_error(const struct command *command, const char *fmt, ...) {
	va_list ap;

	fprintf(stderr, "hallpass: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nhint: hallpass help%s%s\n", command ? " " : "", command ? command->name : "");
	return API_EXIT_USAGE;
}

static void print_opt(enum opt opt) {
	const struct opt_def *o = &opt_defs[opt];
	char left[64];

	snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
		 o->letter ? ", " : "  ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	printf("  %-24s %s\n", left, o->sentence);
}

static void help_command(const struct command *c) {
	printf("usage: hallpass %s%s%s%s\n\n%s\n\n", c->name, c->n_opts ? " [options]" : "", *c->args ? " " : "", c->args,
	       c->text);
	for (size_t i = 0; i < c->n_opts; i++)
		print_opt(c->opts[i]);
	for (size_t i = 0; i < ARRAY_SIZE(global_opts); i++)
		print_opt(global_opts[i]);
}

static void help_all(void) {
	puts("usage: hallpass COMMAND [options] [arguments]\n");
	for (size_t i = 0; i < n_commands; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].sentence);
	puts("\nhallpass help COMMAND tells more. Exit codes: 0 ok, 64 usage, 69 no broker, 75 try again, 77 denied, 78 bad "
	     "configuration.");
}

/* --- the manual page (mdoc) */

static void man_opt(enum opt opt) {
	const struct opt_def *o = &opt_defs[opt];

	printf(".It ");
	if (o->letter)
		printf("Fl %c , ", o->letter);
	printf("Fl -%s", o->name);
	if (o->arg)
		printf(" Ar %s", o->arg);
	printf("\n%s.\n", o->sentence);
}

static void man_command(const struct command *c) {
	printf(".Ss hallpass %s %s\n%s\n", c->name, c->args, c->text);
	if (!c->n_opts)
		return;
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < c->n_opts; i++)
		man_opt(c->opts[i]);
	puts(".El");
}

static void man_page(void) {
	puts(".Dd November 24, 2026\n.Dt HALLPASS 1\n.Os\n.Sh NAME\n.Nm hallpass\n.Nd short-lived Google Cloud tokens from the "
	     "local broker\n.Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar options\n.Op Ar arguments\n.Sh DESCRIPTION\n.Nm\nasks hallpassd, "
	     "over a Unix socket, for tokens of service accounts that a policy lets you be.\n.Pp\nOptions of all commands:\n.Bl -tag "
	     "-width Ds");
	for (size_t i = 0; i < ARRAY_SIZE(global_opts); i++)
		man_opt(global_opts[i]);
	puts(".El\n.Sh COMMANDS");
	for (size_t i = 0; i < n_commands; i++)
		man_command(&commands[i]);
	puts(".Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev HALLPASS_SOCKET\nThe broker's socket. Without it:\n.Pa "
	     "$XDG_RUNTIME_DIR/hallpass/hallpass.sock ,\nthen\n.Pa /run/hallpass/hallpass.sock .\n.It Ev NO_COLOR\nNo "
	     "colours.\n.El\n.Sh EXIT STATUS\n0 ok, 64 usage, 69 no broker, 70 failed, 75 try again, 77 denied, 78 bad "
	     "configuration.\n.Nm hallpass run\nexits with the command's own status.\n.Sh SEE ALSO\n.Xr hallpassd 8");
}

/* --- completion */

static void words(const struct command *c, const char *separator) {
	for (size_t i = 0; c && i < c->n_opts; i++)
		printf("--%s%s", opt_defs[c->opts[i]].name, separator);
	for (size_t i = 0; i < ARRAY_SIZE(global_opts); i++)
		printf("--%s%s", opt_defs[global_opts[i]].name, separator);
}

static void complete_bash(void) {
	puts("_hallpass() {\n  local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]}\n  if [ \"$COMP_CWORD\" -eq 1 ]; then");
	printf("    COMPREPLY=($(compgen -W \"");
	for (size_t i = 0; i < n_commands; i++)
		printf("%s ", commands[i].name);
	puts("\" -- \"$cur\")); return\n  fi\n  case \"$cmd\" in");
	for (size_t i = 0; i < n_commands; i++) {
		printf("  %s) COMPREPLY=($(compgen %s -W \"", commands[i].name, !strcmp(commands[i].name, "policy") ? "-f" : "");
		words(&commands[i], " ");
		printf("%s\" -- \"$cur\"));;\n", !strcmp(commands[i].name, "policy") ? "check " : "");
	}
	puts("  esac\n}\ncomplete -F _hallpass hallpass");
}

static void complete_zsh(void) {
	puts("#compdef hallpass\n_hallpass() {\n  local -a commands\n  commands=(");
	for (size_t i = 0; i < n_commands; i++)
		printf("    '%s:%s'\n", commands[i].name, commands[i].sentence);
	puts("  )\n  if (( CURRENT == 2 )); then _describe command commands; return; fi\n  case $words[2] in");
	for (size_t i = 0; i < n_commands; i++) {
		printf("  %s) _arguments ", commands[i].name);
		for (size_t k = 0; k < commands[i].n_opts; k++)
			printf("'--%s[%s]%s' ", opt_defs[commands[i].opts[k]].name, opt_defs[commands[i].opts[k]].sentence,
			       opt_defs[commands[i].opts[k]].arg ? ":value:" : "");
		puts("'*:file:_files';;");
	}
	puts("  esac\n}\n_hallpass \"$@\"");
}

static void complete_fish(void) {
	puts("complete -c hallpass -f");
	for (size_t i = 0; i < n_commands; i++)
		printf("complete -c hallpass -n __fish_use_subcommand -a %s -d '%s'\n", commands[i].name, commands[i].sentence);
	for (size_t i = 0; i < n_commands; i++)
		for (size_t k = 0; k < commands[i].n_opts; k++) {
			const struct opt_def *o = &opt_defs[commands[i].opts[k]];

			printf("complete -c hallpass -n '__fish_seen_subcommand_from %s' -l %s%s -d \"%s\"\n", commands[i].name,
			       o->name, o->arg ? " -x" : "", o->sentence);
		}
}

static const struct {
	const char *shell;
	void (*print)(void);
} shells[] = { { "bash", complete_bash }, { "zsh", complete_zsh }, { "fish", complete_fish } };

int cmd_help(struct cli *cli) {
	const char *name = cli->command && !strcmp(cli->command->name, "help") ? cli->n_args ? cli->args[0] : NULL
			   : cli->command				       ? cli->command->name
									       : NULL;

	if (cli->values[OPT_MAN]) {
		man_page();
		return API_EXIT_OK;
	}
	for (size_t i = 0; cli->values[OPT_COMPLETION] && i < ARRAY_SIZE(shells); i++) {
		if (!strcmp(shells[i].shell, cli->values[OPT_COMPLETION])) {
			shells[i].print();
			return API_EXIT_OK;
		}
	}
	if (cli->values[OPT_COMPLETION])
		return help_usage_error(cli->command, "--completion is bash, zsh or fish");
	for (size_t i = 0; name && i < n_commands; i++) {
		if (!strcmp(commands[i].name, name)) {
			help_command(&commands[i]);
			return API_EXIT_OK;
		}
	}
	if (name)
		return help_usage_error(NULL, "no command \"%s\"", name);
	help_all();
	/* Asked for nothing at all is a mistake, asked for help is not. */
	return cli->command || cli->values[OPT_HELP] ? API_EXIT_OK : API_EXIT_USAGE;
}
