#pragma once

/*
 * hallpass setup: other programs' own configuration, changed with care and undone without a trace.
 *
 * A client's plan reads files and says what they should be; setup.c shows the difference, asks, and replaces them. A plan changes bytes
 * where it has to, and no others: it edits texts, never writes out again what it has parsed. So that undoing needs no copy of what was
 * there, each edit is one that can be taken back from the text itself; the little that cannot (another helper's name, say) goes into
 * the memory (memory.h).
 */

#include <limits.h>
#include <sys/stat.h>
#include "broker/cli/cli.h"
#include "broker/cli/memory.h"

struct setup_file {
	char path[PATH_MAX]; /* as people name it */
	char real[PATH_MAX]; /* where it is: links stay links */
	mode_t mode;	     /* its own, or that of a new one */
	char *before;	     /* NUL-terminated; NULL: there is none */
	size_t n_before;
	struct buf after;
	bool gone; /* none is to be there */
	bool ours; /* nobody but us writes into it */
};

#define SETUP_MAX_FILES 3
struct setup {
	struct cli *cli;
	bool remove;
	struct setup_file files[SETUP_MAX_FILES];
	size_t n_files;
	json_t *memory; /* read from, and written to, by the plans that need one */
	struct buf notes; /* lines for the person, for when it is done */
	struct buf idle;  /* why there is nothing to do; empty: because it is done */
};

/* --- setup_file.c: files in and out */

/* Reads one, or finds that there is none; its `after` is then what it is before. Borrowed. NULL: err says why not. */
struct setup_file *setup_file_open(struct setup *setup, const char *path, mode_t mode, struct error *err);
bool setup_file_changes(const struct setup_file *file);
/* Puts `after` in its place: whole or not at all, with the mode it had, and not where somebody else has written meanwhile. */
int setup_file_write(const struct setup_file *file, struct error *err);
void setup_file_fini(struct setup_file *file);
/* A path below HOME, or below what a variable names. -1: neither is set. */
int setup_path(char out[PATH_MAX], const char *variable, const char *below_variable, const char *below_home, struct error *err);
/* A path as people write it, ~/…: static text, escaped, like out_safe()'s. */
const char *setup_shown(const char *path);
/* Replaces n bytes of a text at an offset. */
void setup_splice(struct buf *text, size_t at, size_t n, const char *with, size_t n_with);

/* --- setup_block.c: lines of ours between two comments, in files whose comments begin with # */

/* Puts the lines there, in place of those of that name, or at the end. -1: err says why that cannot be. */
int setup_block_put(struct setup_file *file, const char *name, const char *lines, struct error *err);
/* Takes out the block of that name; with prefix, all whose names begin so. -1: one has no end. */
int setup_block_remove(struct setup_file *file, const char *name, bool prefix, struct error *err);

/* --- setup_json.c: members of JSON objects, by place. The text is valid JSON without duplicate keys; setup_json_check() says so. */

int setup_json_check(const struct setup_file *file, struct error *err);
#define JSON_NOWHERE SIZE_MAX
/* The object at a key of the object at `object` (0: before the root's), or JSON_NOWHERE. */
size_t setup_json_object(const struct buf *text, size_t object, const char *key);
size_t setup_json_root(const struct buf *text);
/* The text of a member's value, malloc'd, if it is a string; NULL: it is not there, or none. */
char *setup_json_string(const struct buf *text, size_t object, const char *key);
bool setup_json_has(const struct buf *text, size_t object, const char *key);
bool setup_json_is_empty(const struct buf *text, size_t object);
/* Sets a member to a value's JSON; a new one comes first. An empty object as value gets the layout of where it stands. */
void setup_json_put(struct buf *text, size_t object, const char *key, const char *value);
void setup_json_remove(struct buf *text, size_t object, const char *key);
/* Calls for each member whose value is a string, key and value decoded. */
void setup_json_each(const struct buf *text, size_t object, void (*each)(void *arg, const char *key, const char *value), void *arg);

/* --- unified.c */

/* A unified diff on standard output, in colour where wanted. What may be a secret is not shown. */
void diff_print(const struct cli *cli, const struct setup_file *file);

/* --- setup_CLIENT.c. -1: err says why there is no plan. */

int setup_docker(struct setup *setup, struct error *err);
int setup_gcloud(struct setup *setup, struct error *err);
int setup_git(struct setup *setup, struct error *err);
int setup_kubectl(struct setup *setup, struct error *err);
int setup_shell(struct setup *setup, struct error *err);
int setup_terraform(struct setup *setup, struct error *err);

/* Notes that a program is not in PATH, where that one is looked for; text: what to do. */
void setup_need(struct setup *setup, const char *program);
/* Notes that without --as a helper knows an account in a session alone. */
void setup_note_account(struct setup *setup);
