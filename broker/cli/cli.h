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
#include "hallpass/api.h"
#include "hallpass/buf.h"
#include "hallpass/error.h"

#define CLI_MAX_ARGS 64
#define CLI_MAX_REPEAT 16

/* Every option of every command, once. */
enum opt {
	OPT_SOCKET,
	OPT_JSON,
	OPT_COLOR,
	OPT_HELP,
	OPT_AS,
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
	N_OPTS
};

struct opt_def {
	const char *name;     /* without the dashes */
	char letter;	      /* 0: none */
	const char *arg;      /* NULL: a flag */
	const char *sentence; /* for help, man page, completion */
};

struct cli;

struct command {
	const char *name, *args, *sentence;
	int min_args, max_args;
	bool rest;		/* behind its own options stands somebody else's command line */
	int (*run)(struct cli *cli); /* the exit code */
	enum opt opts[12];
	size_t n_opts;
	const char *text; /* more, for the man page */
};

extern const struct opt_def opt_defs[N_OPTS];
extern const struct command commands[];
extern const size_t n_commands;

struct cli {
	const struct command *command;
	const char *values[N_OPTS]; /* NULL: not given; a flag: "" */
	const char *repeated[CLI_MAX_REPEAT]; /* --delegate */
	size_t n_repeated;
	const char *args[CLI_MAX_ARGS];
	size_t n_args;
	char **rest; /* `run`: the command, NULL-terminated */
	bool json, color, color_err;
};

/* command.c. The exit code to leave with, or -1: go on and run cli->command. */
int cli_parse(struct cli *cli, int argc, char **argv);

/* help.c */
int cmd_help(struct cli *cli);
int help_usage_error(const struct command *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * client.c: one exchange with the broker. body NULL: GET. *reply is the answer's JSON (a new reference), whatever its
 * status. An exit code: 0 for 2xx; else the problem has been told on stderr (or as JSON with --json).
 */
int client_call(struct cli *cli, const char *path, json_t *body, json_t **reply);
/* The same, silently: for `run`, which tells in its own way. err->code says what kind. */
int client_try(struct cli *cli, const char *path, const json_t *body, json_t **reply, struct error *err);
int client_exit_code(enum error_code code);

/* out.c: what goes to a terminal is escaped; colours only where wanted. */
enum color { COLOR_NONE, COLOR_BOLD, COLOR_DIM, COLOR_RED, COLOR_GREEN, COLOR_YELLOW, COLOR_CYAN };
const char *out_color(const struct cli *cli, enum color color); /* for stdout */
const char *out_color_err(const struct cli *cli, enum color color);
/* Escapes control characters: nothing that somebody else wrote moves the cursor. Static text, good until the next four calls. */
const char *out_safe(const char *text);
int out_json(const json_t *json); /* pretty on a terminal, a line else; EX_OK */
void out_span(int64_t seconds, struct buf *out); /* "14m", "1h 30m", "45s" */
void out_error(const struct cli *cli, const char *kind, const char *message, const char *hint);

struct table {
	const struct cli *cli;
	size_t columns;
	struct buf cells; /* NUL-separated */
	size_t n;
	enum color colors[4096];
};
void table_init(struct table *table, const struct cli *cli, size_t columns);
void table_add(struct table *table, enum color color, const char *text); /* one cell; rows fill from the left */
void table_print(struct table *table); /* and forgets */

/* ask.c-like: the body of a token request from the options. A new reference, NULL: told already. */
json_t *cli_token_body(struct cli *cli, const char *account);
/* "15m", "900s", "1h30m" -> seconds; -1: no duration. */
int64_t cli_parse_span(const char *text);
/* RFC 3339 or "now", "15:04" today; -1: no time. */
int64_t cli_parse_time(const char *text);

int cmd_token(struct cli *cli);
int cmd_id_token(struct cli *cli);
int cmd_run(struct cli *cli);
int cmd_list(struct cli *cli);
int cmd_why(struct cli *cli);
int cmd_whoami(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_reload(struct cli *cli);
int cmd_version(struct cli *cli);
int cmd_policy(struct cli *cli);
int cmd_log(struct cli *cli);
