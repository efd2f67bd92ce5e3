/* Help, the manual page and shell completion, all from the table in command.c. See cli.h. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "broker/cli/cli.h"
#include "broker/mdoc.h"
#include "hallpass/cleanup.h"

const enum opt help_global_opts[] = { OPT_SOCKET, OPT_JSON, OPT_COLOR, OPT_HELP, OPT_VERSION };
const size_t help_n_global_opts = ARRAY_SIZE(help_global_opts);

#define EXIT_CODES "0 ok, 1 differs (asked for with --exit-code), 64 usage, 69 no broker, 70 failed, 75 try again, 77 denied, 78 bad configuration"

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
	printf("  %-24s ", left);
	out_folded(stdout, 27, o->sentence);
}

/* What help is asked for: one command, else a group, else all. */
struct topic {
	const struct command *command;
	const struct command_group *group;
};

static bool topic_has(const struct topic *topic, const struct command *c) {
	return topic->command ? c == topic->command : !topic->group || command_in(c, topic->group);
}

static void help_command(const struct command *c) {
	printf("usage: hallpass %s%s%s%s\n\n", c->name, c->n_opts ? " [options]" : "", *c->args ? " " : "", c->args);
	out_folded(stdout, 0, c->text);
	putchar('\n');
	for (size_t i = 0; i < c->n_opts; i++)
		print_opt(c->opts[i]);
	for (size_t i = 0; i < help_n_global_opts; i++)
		print_opt(help_global_opts[i]);
}

static void help_list(const struct topic *topic, FILE *to) {
	fprintf(to, "usage: hallpass %s%sCOMMAND [options] [arguments]\n\n", topic->group ? topic->group->name : "",
		topic->group ? " " : "");
	for (size_t i = 0; i < n_commands; i++)
		if (topic_has(topic, &commands[i]))
			fprintf(to, "  %-19s %s\n", commands[i].name, commands[i].sentence);
	putc('\n', to);
	if (!topic->group)
		out_folded(to, 0, "Begin with `hallpass list`, go on with `hallpass run --as ACCOUNT -- gcloud storage ls`; where it does not work, "
				  "`hallpass doctor` says what to do.");
	out_folded(to, 0, "hallpass help COMMAND tells more. Exit codes: " EXIT_CODES ".");
}

static json_t *opt_json(enum opt opt) {
	const struct opt_def *o = &opt_defs[opt];
	char letter[2] = { o->letter, '\0' };

	return json_pack("{s:s, s:s*, s:s*, s:s}", "name", o->name, "letter", o->letter ? letter : NULL, "arg", o->arg,
			 "sentence", o->sentence);
}

static json_t *command_json(const struct command *c) {
	json_t *opts = json_array();

	for (size_t i = 0; i < c->n_opts; i++)
		json_array_append_new(opts, opt_json(c->opts[i]));
	for (size_t i = 0; i < help_n_global_opts; i++)
		json_array_append_new(opts, opt_json(help_global_opts[i]));
	return json_pack("{s:s, s:s, s:s, s:s, s:s*, s:o}", "name", c->name, "args", c->args, "sentence", c->sentence, "text",
			 c->text, "link", command_link(c), "options", opts);
}

static int help_json(const struct topic *topic) {
	json_t *list = json_array();
	int r;

	for (size_t i = 0; i < n_commands; i++)
		if (topic_has(topic, &commands[i]))
			json_array_append_new(list, command_json(&commands[i]));
	r = out_json(list);
	json_decref(list);
	return r;
}

/* Calls one for each word of a text. */
static void each_word(const char *text, void (*one)(const char *word)) {
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		one(word);
}

/* The last words of a group's commands; NULL: all words that a command line may begin with. */
static void print_words(const struct command_group *group, const char *before, const char *after) {
	for (size_t i = 0; i < n_commands; i++)
		if (command_in(&commands[i], group))
			printf("%s%s%s", before, command_word(&commands[i]), after);
	for (size_t i = 0; !group && i < n_command_groups; i++)
		printf("%s%s%s", before, command_groups[i].name, after);
}

/* --- the manual page (mdoc) */

static void man_text(const char *text) {
	struct buf out = BUF_INIT(8192);

	mdoc_text(text, &out);
	fputs(out.data, stdout);
	buf_fini(&out);
}

static void man_opt(enum opt opt) {
	const struct opt_def *o = &opt_defs[opt];

	printf(".It ");
	if (o->letter)
		printf("Fl %c , ", o->letter);
	printf("Fl -%s", o->name);
	if (o->arg)
		printf(" Ar %s", o->arg);
	putchar('\n');
	man_text(o->sentence);
}

/* One word of a command's arguments as mdoc: brackets become Op, words in capitals Ar, others Cm. */
static void man_word(const char *word) {
	bool optional = *word == '[';
	size_t n = strcspn(word + optional, "]");

	if (!strncmp(word, "--", 2))
		printf(".Fl %s\n", word + 1);
	else if (!strncmp(word + optional, "…", strlen("…")))
		puts("\\&...");
	else
		printf(".%s%s %.*s\n", optional ? "Op " : "", word[optional] >= 'a' ? "Cm" : "Ar", (int)n, word + optional);
}

static void man_command(const struct command *c) {
	printf(".It Xo\n.Cm %s\n", c->name);
	if (c->n_opts)
		puts(".Op Ar options");
	each_word(c->args, man_word);
	puts(".Xc");
	man_text(c->text);
	if (!c->n_opts)
		return;
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < c->n_opts; i++)
		man_opt(c->opts[i]);
	puts(".El");
}

static void man_variable(const char *name, const char *sentence) {
	printf(".It Ev %s\n", name);
	man_text(sentence);
}

static void man_page(void) {
	puts(".Dd " HALLPASS_DATE "\n.Dt HALLPASS 1\n.Os\n.Sh NAME\n.Nm hallpass\n.Nd short-lived Google Cloud tokens from the "
	     "local broker\n.Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar options\n.Op Ar arguments\n.Sh DESCRIPTION\n.Nm\nasks\n"
	     ".Xr hallpassd 8 ,\nover a Unix socket, for tokens of service accounts that a policy lets you be.\n.Pp\n"
	     "These options belong to every command:\n.Bl -tag -width Ds");
	for (size_t i = 0; i < help_n_global_opts; i++)
		man_opt(help_global_opts[i]);
	puts(".El\n.Pp\nThe commands:\n.Bl -tag -width Ds");
	for (size_t i = 0; i < n_commands; i++)
		man_command(&commands[i]);
	puts(".El\n.Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev HALLPASS_AS\nThe account of a helper that was given none; the session's, in a session.\n.It Ev HALLPASS_SOCKET\nThe broker's socket.\nWithout it:\n.Pa "
	     "$XDG_RUNTIME_DIR/hallpass/hallpass.sock ,\nthen\n.Pa /run/hallpass/hallpass.sock .\n.It Ev NO_COLOR\nNo "
	     "colours and no spinner.\n.El\n.Pp\nWhat\n.Nm Cm run\ngives its command, and\n.Nm Cm env\na shell:\n.Bl -tag -width Ds");
	environment_describe(man_variable);
	puts(".El\n.Sh EXIT STATUS\n" EXIT_CODES ".\n.Nm Cm run\nexits with the command's own status.\n"
	     ".Sh EXAMPLES\n.Dl hallpass list\n"
	     ".Dl hallpass token dev-sa@my-project.iam.gserviceaccount.com\n"
	     ".Dl hallpass run --as dev-sa@my-project.iam.gserviceaccount.com -- gcloud storage ls\n"
	     ".Sh SEE ALSO\n.Xr hallpassd.yaml 5 ,\n.Xr hallpassd 8");
}

/* --- completion */

static void opt_words(const struct command *c) {
	for (size_t i = 0; c && i < c->n_opts; i++)
		printf("--%s ", opt_defs[c->opts[i]].name);
	for (size_t i = 0; i < help_n_global_opts; i++)
		printf("--%s ", opt_defs[help_global_opts[i]].name);
}

static void bash_value(const char *word) {
	if (!strcmp(word, COMPLETE_ACCOUNT))
		printf(" $(hallpass list --names 2>/dev/null)");
	else if (!strcmp(word, COMPLETE_COMMAND))
		print_words(NULL, " ", "");
	else if (!strcmp(word, COMPLETE_FILE))
		printf(" $(compgen -f -- \"$cur\")");
	else if (!strcmp(word, COMPLETE_DIR))
		printf(" $(compgen -d -- \"$cur\")");
	else
		printf(" %s", word);
}

static void bash_opt_pattern(const struct opt_def *o) {
	printf("--%s", o->name);
	if (o->letter)
		printf("|-%c", o->letter);
}

/* Options whose value is known are completed; those whose value is not are left alone. */
static void bash_values(void) {
	for (size_t i = 0; i < N_OPTS; i++) {
		const struct opt_def *o = &opt_defs[i];

		if (!o->arg)
			continue;
		printf("  ");
		bash_opt_pattern(o);
		printf(") words=\"");
		each_word(o->values ? o->values : "", bash_value);
		puts("\"; value=1;;");
	}
}

static void bash_options_with_value(void) {
	const char *separator = "    ";

	for (size_t i = 0; i < N_OPTS; i++) {
		if (!opt_defs[i].arg)
			continue;
		printf("%s", separator);
		bash_opt_pattern(&opt_defs[i]);
		separator = "|";
	}
	puts(") ((i++));;");
}

static void bash_groups(void) {
	for (size_t i = 0; i < n_command_groups; i++) {
		printf("  %s) words=\"", command_groups[i].name);
		print_words(&command_groups[i], " ", "");
		puts("\";;");
	}
}

/* Behind a group's name stands a second word of the command's. */
static void bash_take_command(void) {
	printf("    *) case $cmd in\n       '') cmd=${COMP_WORDS[i]};;\n");
	for (size_t i = 0; i < n_command_groups; i++)
		printf("       %s) cmd=\"$cmd ${COMP_WORDS[i]}\";;\n", command_groups[i].name);
	puts("       esac;;");
}

static void bash_commands(void) {
	for (size_t i = 0; i < n_commands; i++) {
		printf("  '%s') words=\"", commands[i].name);
		opt_words(&commands[i]);
		printf("\"; case $cur in -*) ;; *) words=\"");
		each_word(commands[i].operands ? commands[i].operands : "", bash_value);
		puts("\";; esac;;");
	}
}

static void complete_bash(void) {
	puts("# bash completion for hallpass; printed by `hallpass help --completion bash`\n"
	     "COMP_WORDBREAKS=${COMP_WORDBREAKS//@} # an account's address is one word\n"
	     "_hallpass() {\n"
	     "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= words= value= i\n"
	     "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
	     "    case ${COMP_WORDS[i]} in\n"
	     "    --) if [ \"$cmd\" = run ]; then COMPREPLY=($(compgen -c -f -- \"$cur\")); return; fi;;");
	bash_options_with_value();
	puts("    -*) ;;");
	bash_take_command();
	puts("    esac\n"
	     "  done\n"
	     "  case $prev in");
	bash_values();
	puts("  esac\n"
	     "  if [ -z \"$value\" ]; then case $cmd in");
	printf("  '') words=\"");
	bash_value(COMPLETE_COMMAND);
	puts("\";;");
	bash_groups();
	bash_commands();
	puts("  esac; fi\n"
	     "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	     "}\n"
	     "complete -o default -F _hallpass hallpass");
}

/* In single quotes, with what _arguments takes for its own escaped. */
static void zsh_text(const char *s) {
	for (; *s; s++) {
		if (*s == '\'')
			printf("'\\''");
		else if (strchr("[]:", *s))
			printf("\\%c", *s);
		else
			putchar(*s);
	}
}

static void zsh_action(const char *values) {
	if (!values)
		return;
	if (!strcmp(values, COMPLETE_ACCOUNT))
		printf("_hallpass_accounts");
	else if (!strcmp(values, COMPLETE_COMMAND))
		printf("_hallpass_commands");
	else if (strstr(values, COMPLETE_FILE))
		printf("_files");
	else if (!strcmp(values, COMPLETE_DIR))
		printf("_files -/");
	else
		printf("(%s)", values);
}

static void zsh_opt(enum opt opt) {
	const struct opt_def *o = &opt_defs[opt];

	if (o->letter)
		printf("      '(-%c --%s)'{-%c,--%s}'", o->letter, o->name, o->letter, o->name);
	else
		printf("      '--%s", o->name);
	printf("[");
	zsh_text(o->sentence);
	printf("]");
	if (o->arg) {
		printf(":%s:", o->arg);
		zsh_action(o->values);
	}
	puts("' \\");
}

static void zsh_command(const struct command *c) {
	printf("    %s) _arguments \\\n", command_word(c));
	for (size_t i = 0; i < c->n_opts; i++)
		zsh_opt(c->opts[i]);
	for (size_t i = 0; i < help_n_global_opts; i++)
		zsh_opt(help_global_opts[i]);
	if (c->rest) {
		puts("      '*::command:_normal';;");
		return;
	}
	printf("      '*:argument:");
	zsh_action(c->operands ? c->operands : "");
	puts("';;");
}

static void zsh_commands(const struct command_group *group) {
	for (size_t i = 0; i < n_commands; i++)
		if (command_in(&commands[i], group))
			zsh_command(&commands[i]);
}

static void zsh_group(const struct command_group *group) {
	printf("    %s) _arguments -C '1:command:(", group->name);
	print_words(group, "", " ");
	printf(")' '*::argument:->%s'\n    if [[ $state == %s ]]; then case $line[1] in\n", group->name, group->name);
	zsh_commands(group);
	puts("    esac; fi;;");
}

static void zsh_description(const char *word, const char *sentence) {
	printf("    '%s:", word);
	zsh_text(sentence);
	puts("'");
}

static void complete_zsh(void) {
	puts("#compdef hallpass\n# printed by `hallpass help --completion zsh`\n"
	     "_hallpass_accounts() {\n  local -a accounts\n  accounts=(${(f)\"$(hallpass list --names 2>/dev/null)\"})\n"
	     "  compadd -a accounts\n}\n"
	     "_hallpass_commands() {\n  local -a commands\n  commands=(");
	for (size_t i = 0; i < n_commands; i++)
		if (command_in(&commands[i], NULL))
			zsh_description(commands[i].name, commands[i].sentence);
	for (size_t i = 0; i < n_command_groups; i++)
		zsh_description(command_groups[i].name, command_groups[i].sentence);
	puts("  )\n  _describe command commands\n}\n"
	     "_hallpass() {\n  local curcontext=$curcontext state line\n"
	     "  _arguments -C '1:command:_hallpass_commands' '*::argument:->rest'\n"
	     "  if [[ $state == rest ]]; then\n    case $line[1] in");
	for (size_t i = 0; i < n_command_groups; i++)
		zsh_group(&command_groups[i]);
	zsh_commands(NULL);
	/* Autoloaded it is its own first call; sourced it only says what it is for. */
	puts("    esac\n  fi\n}\nif [[ $funcstack[1] == _hallpass ]]; then _hallpass \"$@\"; else compdef _hallpass hallpass; fi");
}

static void fish_text(const char *s) {
	putchar('\'');
	for (; *s; s++)
		printf(*s == '\'' || *s == '\\' ? "\\%c" : "%c", *s);
	putchar('\'');
}

static void fish_value(const char *word) {
	if (!strcmp(word, COMPLETE_ACCOUNT))
		printf("(hallpass list --names 2>/dev/null) ");
	else if (!strcmp(word, COMPLETE_DIR))
		printf("(__fish_complete_directories) ");
	else if (!strcmp(word, COMPLETE_COMMAND))
		print_words(NULL, "", " ");
	else if (strcmp(word, COMPLETE_FILE))
		printf("%s ", word);
}

static void fish_values(const char *values) {
	printf("%s -a '", strstr(values, COMPLETE_FILE) ? " -F" : "");
	each_word(values, fish_value);
	putchar('\'');
}

static void fish_opt(const char *when, enum opt opt) {
	const struct opt_def *o = &opt_defs[opt];
	bool files = o->values && !strcmp(o->values, COMPLETE_FILE);

	printf("complete -c hallpass %s -l %s", when, o->name);
	if (o->letter)
		printf(" -s %c", o->letter);
	printf("%s -d ", !o->arg ? "" : files ? " -r" : " -x");
	fish_text(o->sentence);
	if (o->values)
		fish_values(o->values);
	putchar('\n');
}

static void fish_command(const struct command *c) {
	char when[128];
	int n = (int)(command_word(c) - c->name);

	snprintf(when, sizeof(when), "-n '__fish_seen_subcommand_from %.*s%s%s'", n, c->name,
		 n ? "; and __fish_seen_subcommand_from " : "", command_word(c));
	for (size_t k = 0; k < c->n_opts; k++)
		fish_opt(when, c->opts[k]);
	if (c->operands) {
		printf("complete -c hallpass %s", when);
		fish_values(c->operands);
		putchar('\n');
	}
	if (c->rest)
		printf("complete -c hallpass %s -a '(__hallpass_rest)'\n", when);
}

static void fish_first_word(const char *word, const char *sentence) {
	printf("complete -c hallpass -n __fish_use_subcommand -a %s -d ", word);
	fish_text(sentence);
	putchar('\n');
}

static void fish_group(const struct command_group *group) {
	fish_first_word(group->name, group->sentence);
	printf("complete -c hallpass -n '__fish_seen_subcommand_from %s; and not __fish_seen_subcommand_from", group->name);
	print_words(group, " ", "");
	printf("' -a '");
	print_words(group, "", " ");
	puts("'");
}

static void complete_fish(void) {
	puts("# printed by `hallpass help --completion fish`\n"
	     "# Behind -- stands somebody else's command line.\n"
	     "function __hallpass_rest\n"
	     "  set -l words (commandline -opc)\n"
	     "  set -l at (contains -i -- -- $words); or return\n"
	     "  set -l rest\n"
	     "  test $at -lt (count $words); and set rest $words[(math $at + 1)..-1]\n"
	     "  complete -C (string join ' ' -- $rest (commandline -ct))\n"
	     "end\n"
	     "complete -c hallpass -f");
	for (size_t i = 0; i < n_commands; i++)
		if (command_in(&commands[i], NULL))
			fish_first_word(commands[i].name, commands[i].sentence);
	for (size_t i = 0; i < n_command_groups; i++)
		fish_group(&command_groups[i]);
	for (size_t i = 0; i < help_n_global_opts; i++)
		fish_opt("", help_global_opts[i]);
	for (size_t i = 0; i < n_commands; i++)
		fish_command(&commands[i]);
}

static const struct {
	const char *shell;
	void (*print)(void);
} shells[] = { { "bash", complete_bash }, { "zsh", complete_zsh }, { "fish", complete_fish } };

static int print_completion(const struct cli *cli) {
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (!strcmp(shells[i].shell, cli->values[OPT_COMPLETION])) {
			shells[i].print();
			return API_EXIT_OK;
		}
	}
	return help_usage_error(cli->command, "--completion is bash, zsh or fish");
}

/* Which command help is asked for, or which group of them. False: there is none of that name, and it was told. */
static bool find_topic(const struct cli *cli, struct topic *out) {
	bool by_help = cli->command && cli->command->run == cmd_help;

	*out = (struct topic){ by_help ? NULL : cli->command, by_help ? NULL : cli->group };
	for (size_t i = 0; by_help && i < cli->n_args; i++) {
		if (out->command)
			return help_usage_error(cli->command, "what is \"%s\"?", cli->args[i]) < 0;
		if (command_find(cli->args[i], &out->group, &out->command) < 0)
			return false;
	}
	return true;
}

int cmd_help(struct cli *cli) {
	struct topic topic;

	if (cli->values[OPT_MAN]) {
		man_page();
		return API_EXIT_OK;
	}
	if (cli->values[OPT_COMPLETION])
		return print_completion(cli);
	if (!find_topic(cli, &topic))
		return API_EXIT_USAGE;
	if (cli->json)
		return help_json(&topic);
	if (topic.command)
		help_command(topic.command);
	else
		help_list(&topic, stdout);
	return API_EXIT_OK;
}

int help_which_command(void) {
	fputs("hallpass: which command?\n", stderr);
	help_list(&(struct topic){ NULL, NULL }, stderr);
	return API_EXIT_USAGE;
}
