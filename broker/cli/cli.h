#pragma once

/*
 * hallpass, the command people type: what its parts share.
 *
 * command.c holds the one table of commands and options, from which parsing, help, man pages and completion
 * come. client.c speaks to the broker. The rest is a file a command or two. Nothing here decides anything.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include "broker/sha256.h"
#include "hallpass/api.h"
#include "hallpass/buf.h"
#include "hallpass/error.h"

#define CLI_MAX_ARGS 64
#define CLI_MAX_REPEAT 32

/* Every option of every command, once. */
enum opt {
	OPT_SOCKET,
	OPT_JSON,
	OPT_COLOR,
	OPT_HELP,
	OPT_VERSION,
	OPT_AS,
	OPT_DEFAULT_AS,
	OPT_SCOPES,
	OPT_LIFETIME,
	OPT_REASON,
	OPT_DELEGATE,
	OPT_AUDIENCE,
	OPT_INCLUDE_EMAIL,
	OPT_PERMISSION,
	OPT_PROJECT,
	OPT_TIME,
	OPT_DIR,
	OPT_FOLLOW,
	OPT_WHO,
	OPT_TARGET,
	OPT_RESULT,
	OPT_LINES,
	OPT_MAN,
	OPT_COMPLETION,
	OPT_VERBOSE,
	OPT_NAMES,
	OPT_ALSO,
	OPT_METADATA,
	OPT_EXTERNAL,
	OPT_SHELL,
	OPT_END,
	OPT_STRICT,
	OPT_PORTABLE,
	OPT_PRINCIPAL,
	OPT_SET,
	OPT_LOG,
	OPT_SINCE,
	OPT_FROM,
	OPT_UNTIL,
	OPT_EXIT_CODE,
	OPT_LISTEN,
	OPT_UID,
	OPT_YES,
	OPT_DRY_RUN,
	OPT_REMOVE,
	N_OPTS
};

struct opt_def {
	const char *name;     /* without the dashes */
	char letter;	      /* 0: none */
	const char *arg;      /* NULL: a flag */
	const char *sentence; /* for help, man page, completion */
	const char *values;   /* for completion: words, or COMPLETE_…; NULL: nothing is known of the value */
};

/* What completion asks for rather than knows. */
#define COMPLETE_ACCOUNT "@account"
#define COMPLETE_FILE "@file"
#define COMPLETE_DIR "@dir"
#define COMPLETE_COMMAND "@command" /* one of ours */

struct cli;

struct command {
	const char *name; /* two words in a group: its name first */
	const char *args, *sentence;
	int min_args, max_args;
	bool rest;		/* behind its own options stands somebody else's command line */
	int (*run)(struct cli *cli); /* the exit code */
	enum opt opts[12];
	size_t n_opts;
	const char *text;     /* more, for the man page */
	const char *operands; /* for completion, like opt_def's values; COMPLETE_ACCOUNT: an operand is the account meant */
};

struct command_group {
	const char *name, *sentence;
};

extern const struct opt_def opt_defs[N_OPTS];
extern const struct command commands[];
extern const size_t n_commands;
extern const struct command_group command_groups[];
extern const size_t n_command_groups;
/* The name by which another program starts a command, a symbolic link to us; NULL: it has none. */
const char *command_link(const struct command *command);

struct cli {
	const struct command *command;
	const struct command_group *group; /* whose first word was given, and then perhaps the second */
	const char *values[N_OPTS]; /* NULL: not given; a flag: "" */
	const char *repeated[CLI_MAX_REPEAT]; /* --delegate or --set */
	size_t n_repeated;
	const char *also[CLI_MAX_REPEAT]; /* --also */
	size_t n_also;
	const char *args[CLI_MAX_ARGS];
	size_t n_args;
	char **rest; /* `run`: the command, NULL-terminated */
	bool json, color, color_err;
	bool spinner;	/* while waiting for the broker: only where a person looks at standard error */
	bool aside;	/* a shell has the terminal: see keep_leave_terminal() */
	int deadline_ms; /* for an answer of the broker; 0: a minute */
	rlim_t core;	/* what the limit of core files was; ours is none, since tokens pass through us */
};

/* The account that the command line names, "" where it names none. */
const char *cli_account(const struct cli *cli);

/*
 * account.c: replaces short names of accounts on the command line, dev for dev-sa@my-project.iam.gserviceaccount.com, where there are
 * any. An exit code; not API_EXIT_OK: told already.
 */
int accounts_spell_out(struct cli *cli);

/* command.c. The exit code to leave with, or -1: go on and run cli->command. */
int cli_parse(struct cli *cli, int argc, char **argv);
/* Takes the next word of a command's name: *group or *command is set. -1: there is no such command; it was told. */
int command_find(const char *word, const struct command_group **group, const struct command **command);
/* Whether it is in this group; NULL: in none. */
bool command_in(const struct command *command, const struct command_group *group);
const char *command_word(const struct command *command); /* the last of its name */

/* help.c */
extern const enum opt help_global_opts[];
extern const size_t help_n_global_opts;
int cmd_help(struct cli *cli);
int help_which_command(void); /* tells that none was named, and which there are */
int help_usage_error(const struct command *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * client.c: one exchange with the broker. body NULL: GET; else it is taken. *reply is the answer's JSON (a new reference), whatever
 * its status. An exit code: 0 for 2xx; else the problem has been told, and *reply is NULL.
 */
int client_call(struct cli *cli, const char *path, json_t *body, json_t **reply);
/* The same, silently, and body is borrowed: for those who tell in their own way. err->code says what kind. */
int client_try(struct cli *cli, const char *path, const json_t *body, json_t **reply, struct error *err);
/* Its parts, for who holds a connection: a connected socket, one request (keep: the connection stays), an answer that is no 200. */
int client_dial(const struct cli *cli, struct error *err);
/* Where client_dial() looks. -1: the path that was named is too long. */
int client_place(const struct cli *cli, char *path, size_t size);
int client_send(int fd, const char *path, const json_t *body, bool keep, struct error *err);
int client_error(int status, const json_t *reply, struct error *err);
/* Of an answer on a connection that stays: its status once it is whole; 0: not yet; -1: it is none. in ends in a NUL. */
int client_whole_answer(const struct buf *in, const char **body);
/* What kind of failure it is, in a word or two ("denied"), and what it is to the shell; for those who tell in their own way. */
const char *client_kind(const struct error *err);
/* Tells a problem: a line and a hint on stderr, or with --json the broker's answer (NULL: one of our own). The exit code. */
int client_tell(struct cli *cli, const struct error *err, json_t *reply);

/* out.c: what goes to a terminal is escaped; colours only where wanted. */
enum color { COLOR_NONE, COLOR_BOLD, COLOR_DIM, COLOR_RED, COLOR_GREEN, COLOR_YELLOW, COLOR_CYAN };
const char *out_color(const struct cli *cli, enum color color); /* for stdout */
const char *out_color_err(const struct cli *cli, enum color color);
/* Escapes control characters: nothing that somebody else wrote moves the cursor. Static text, good until the next four calls. */
const char *out_safe(const char *text);
int out_json(const json_t *json); /* pretty on a terminal, a line else; EX_OK */
void out_span(int64_t seconds, struct buf *out); /* "14m", "1h 30m", "45s" */
/* Local time, as short as it is clear: "17:50", "Fri 17:50", "2027-01-04 00:00"; seconds where it is near. */
void out_when(int64_t at, int64_t now, struct buf *out);
void out_number(int64_t n, struct buf *out);						     /* "3,412" */
void out_count(int64_t n, const char *one, const char *many, struct buf *out); /* "1 binding", "3,412 bindings" */
size_t out_width(int fd); /* columns of the terminal; 0: it is none, and nothing is folded */
void out_folded(FILE *f, int indent, const char *text); /* by words, for a terminal; ends the line */
enum mark { MARK_GOOD, MARK_BAD, MARK_NEUTRAL };
const char *out_mark(enum mark mark); /* a check mark where the terminal can show one */
/* One line "hallpass: KIND: MESSAGE" and a hint; with --json an object of Google's shape on standard output. */
void out_error(const struct cli *cli, enum error_code code, const char *kind, const char *message, const char *hint);

/* A table folds between its columns where the terminal is narrow; what is in a cell can be copied whole. */
#define TABLE_MAX_COLUMNS 8
struct table {
	const struct cli *cli;
	size_t columns;
	size_t widths[TABLE_MAX_COLUMNS]; /* kept from print to print, so that what follows stays aligned */
	struct buf cells;		  /* NUL-separated */
	size_t n;
	enum color colors[4096];
};
void table_init(struct table *table, const struct cli *cli, const char *const *heads, size_t columns);
void table_add(struct table *table, enum color color, const char *text); /* one cell; rows fill from the left */
void table_print(struct table *table); /* and forgets */

/*
 * log.c: the audit directory, as named; else the running broker says where it is; else where it would be. An exit code: not
 * API_EXIT_OK: told already.
 */
int log_find_dir(struct cli *cli, const char *named, char *dir, size_t size);
/* Tells that the record cannot be read; named_by: the option that would name another. The exit code. */
int log_failed(struct cli *cli, enum opt named_by, const struct error *err);

/* query.c: what a rule says of a request, in words: "condition is false" for CONDITION_FALSE. */
const char *query_words(const char *result);

/* policy.c: a policy from its file, and the SHA-256 of its text. NULL: told already, with what is wrong with it. */
struct policy *policy_of_file(struct cli *cli, const char *path, char sha256[static SHA256_HEX]);

/* token.c: the body of a token request from the options. A new reference, NULL: told already. */
json_t *cli_token_body(struct cli *cli);

/* environment.c: each variable that `run` and `env` set, or take away. */
void environment_describe(void (*one)(const char *name, const char *sentence));

/* span.c: "15m", "900s", "1h30m", "90d" -> seconds; -1: no duration. */
int64_t cli_parse_span(const char *text);
/* RFC 3339, or what people say: "now", "+2h", "-30m", "15:04" (today, local time). -1: no time. */
int64_t cli_parse_time(const char *text, int64_t now);
/* The time that an option gives, in *out; it stays as it is where the option does not stand. An exit code, or -1: it is good. */
int cli_take_time(const struct cli *cli, enum opt opt, int64_t *out);

/* policy.c: a report's errors and warnings, for programs. A new reference. */
#define POLICY_MAX_BYTES (64 << 20)
struct policy_report;
json_t *cli_findings_json(const struct policy_report *report);

int cmd_token(struct cli *cli);
int cmd_id_token(struct cli *cli);
int cmd_run(struct cli *cli);
int cmd_env(struct cli *cli);
int cmd_relay(struct cli *cli);
int cmd_doctor(struct cli *cli);
int cmd_kubectl_credential(struct cli *cli);
int cmd_docker_credential(struct cli *cli);
int cmd_git_credential(struct cli *cli);
int cmd_gcp_executable(struct cli *cli);
int cmd_setup(struct cli *cli);
int cmd_list(struct cli *cli);
int cmd_why(struct cli *cli);
int cmd_whoami(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_reload(struct cli *cli);
int cmd_version(struct cli *cli);
int cmd_policy_check(struct cli *cli);
int cmd_policy_eval(struct cli *cli);
int cmd_policy_lints(struct cli *cli);
int cmd_policy_schema(struct cli *cli);
int cmd_policy_replay(struct cli *cli);
int cmd_policy_diff(struct cli *cli);
int cmd_policy_test(struct cli *cli);
int cmd_log(struct cli *cli);
