/*
 * hallpass setup shell, hallpass setup terraform: lines in a shell's start-up file. See setup.h.
 *
 * Terraform has no configuration of its own for Google's credentials but the environment: so it is made to run in a session, by the shell.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/cli/setup.h"
#include "hallpass/cleanup.h"

static const char sh_common[] =
	"# `become ACCOUNT` makes this shell work as a service account; `become` alone ends that.\n"
	"become() {\n"
	"	if [ $# -eq 0 ]; then eval \"$(command hallpass env --end)\"\n"
	"	else eval \"$(command hallpass env --as \"$@\")\"; fi\n"
	"}\n";

static const struct shell {
	const char *name, *variable, *below_variable, *below_home; /* of its start-up file */
	const char *completion, *common, *prompt;
	const char *wrapper; /* a program in a session of its own, where there is none: its name, the account, its name twice */
} shells[] = {
	{ "bash", NULL, NULL, ".bashrc",
	  "if command -v hallpass >/dev/null; then eval \"$(command hallpass help --completion bash)\"; fi\n", sh_common,
	  "case $PS1 in *HALLPASS_AS*) ;; *) PS1='${HALLPASS_AS:+(${HALLPASS_AS%%@*}) }'$PS1;; esac\n",
	  "%1$s() {\n"
	  "	if [ -n \"$HALLPASS_AS\" ]; then command %1$s \"$@\"\n"
	  "	else command hallpass run --as %2$s -- %1$s \"$@\"; fi\n"
	  "}\n" },
	{ "zsh", "ZDOTDIR", ".zshrc", ".zshrc",
	  "if (( $+commands[hallpass] && $+functions[compdef] )); then source <(command hallpass help --completion zsh); fi\n",
	  sh_common,
	  "setopt prompt_subst\n"
	  "case $PROMPT in *HALLPASS_AS*) ;; *) PROMPT='${HALLPASS_AS:+(${HALLPASS_AS%%@*}) }'$PROMPT;; esac\n",
	  "%1$s() {\n"
	  "	if [ -n \"$HALLPASS_AS\" ]; then command %1$s \"$@\"\n"
	  "	else command hallpass run --as %2$s -- %1$s \"$@\"; fi\n"
	  "}\n" },
	{ "fish", "XDG_CONFIG_HOME", "fish/config.fish", ".config/fish/config.fish",
	  "type -q hallpass; and command hallpass help --completion fish | source\n",
	  "# `become ACCOUNT` makes this shell work as a service account; `become` alone ends that.\n"
	  "function become\n"
	  "	if test (count $argv) -eq 0\n"
	  "		command hallpass env --shell fish --end | source\n"
	  "	else\n"
	  "		command hallpass env --shell fish --as $argv | source\n"
	  "	end\n"
	  "end\n",
	  "if status is-interactive; and functions -q fish_prompt; and not functions -q __hallpass_prompt\n"
	  "	functions -c fish_prompt __hallpass_prompt\n"
	  "	function fish_prompt\n"
	  "		set -q HALLPASS_AS; and printf '(%s) ' (string split -m1 @ $HALLPASS_AS)[1]\n"
	  "		__hallpass_prompt\n"
	  "	end\n"
	  "end\n",
	  "function %1$s\n"
	  "	if set -q HALLPASS_AS\n"
	  "		command %1$s $argv\n"
	  "	else\n"
	  "		command hallpass run --as %2$s -- %1$s $argv\n"
	  "	end\n"
	  "end\n" },
};

/* The one named, else $SHELL's. */
static const struct shell *find_shell(const struct setup *s, struct error *err) {
	const char *login = getenv("SHELL"), *slash = login ? strrchr(login, '/') : NULL;
	const char *name = s->cli->n_args ? s->cli->args[0] : slash ? slash + 1 : "none, since SHELL is not set";

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
		if (!strcmp(shells[i].name, name))
			return &shells[i];
	error_set(err, ERR_INVALID, "hallpass knows the start-up files of bash, zsh and fish; your shell is %s: name one", name);
	return NULL;
}

static struct setup_file *open_start_up(struct setup *s, const struct shell **shell, struct error *err) {
	char path[PATH_MAX];

	*shell = find_shell(s, err);
	if (!*shell || setup_path(path, (*shell)->variable, (*shell)->below_variable, (*shell)->below_home, err) < 0)
		return NULL;
	return setup_file_open(s, path, 0644, err);
}

static void note_new_shell(struct setup *s) {
	buf_adds(&s->notes, "a shell that you start from now on has it; this one does not\n");
}

int setup_shell(struct setup *s, struct error *err) {
	const struct shell *shell;
	struct setup_file *file = open_start_up(s, &shell, err);
	struct buf lines = BUF_INIT(8192);
	int r;

	if (!file)
		return -1;
	if (s->remove)
		return setup_block_remove(file, "shell", false, err);
	buf_addf(&lines, "%s%s# Whose tokens this shell gets, in front of the prompt.\n%s", shell->completion, shell->common, shell->prompt);
	r = setup_block_put(file, "shell", lines.data, err);
	buf_fini(&lines);
	note_new_shell(s);
	setup_need(s, "hallpass");
	return r;
}

int setup_terraform(struct setup *s, struct error *err) {
	static const char *const programs[] = { "terraform", "tofu" };
	const char *as = s->cli->values[OPT_AS];
	const struct shell *shell;
	struct setup_file *file;
	struct buf lines = BUF_INIT(8192);
	int r;

	if (!as && !s->remove)
		return error_set(err, ERR_INVALID, "as whom shall terraform run? --as ACCOUNT; see `hallpass list`");
	file = open_start_up(s, &shell, err);
	if (!file)
		return -1;
	if (s->remove)
		return setup_block_remove(file, "terraform", false, err);
	buf_adds(&lines, "# In a session of its own, unless the shell has one: its backend and its providers find the token there.\n");
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		char text[1024];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), shell->wrapper, programs[i], as);
#pragma GCC diagnostic pop
		buf_adds(&lines, text);
	}
	r = setup_block_put(file, "terraform", lines.data, err);
	buf_fini(&lines);
	note_new_shell(s);
	setup_need(s, "hallpass");
	return r;
}
