#pragma once

/*
 * What the helpers of other programs share: kubectl's, docker's, git's, and that of Google's client libraries.
 *
 * A helper is started by a program, in that program's way of asking, and answers in its way. It never prompts, never takes longer than
 * the program waits, writes its answer whole or not at all, and what it says when something goes wrong holds no token.
 */

#include "broker/cli/cli.h"

/* Whose tokens go to which hosts: to Google's own, and to no other. */
enum helper_use { HELPER_DOCKER = 1, HELPER_GIT = 2 };
struct helper_host {
	const char *name;
	bool itself, below; /* the name, names below it */
	unsigned uses;	    /* of enum helper_use */
	const char *user;   /* the user name that goes with a token; NULL: the account */
};
/* host may have a port, which must be https's. NULL: not one of ours. */
const struct helper_host *helper_host_find(const char *host, enum helper_use use);
/* "https://GCR.io/v2/" -> "gcr.io": one as people name it. False: not one of ours. */
bool helper_host_named(const char *given, enum helper_use use, char *out, size_t size);

#define HELPER_ACCOUNT_MAX 320
/* --as, else HALLPASS_AS, else --default-as, else what setup kept for this host (NULL: none). -1: there is none; err says what to do. */
int helper_account(const struct cli *cli, const char *host, char out[HELPER_ACCOUNT_MAX], struct error *err);
/* A token of the account by the options, in time. The broker's answer, a new reference; NULL: err says why. */
json_t *helper_token(struct cli *cli, const char *account, int deadline_ms, struct error *err);
/* The same question, with another path, body (taken) and member that must be in the answer. */
json_t *helper_ask(struct cli *cli, const char *path, json_t *body, const char *member, int deadline_ms, struct error *err);

/* All that stands on standard input, at most size - 1 bytes, NUL-terminated; the rest is read and forgotten. */
void helper_read(char *out, size_t size);
/* Writes the answer, whole, and wipes it. The exit code. */
int helper_answer(struct buf *answer);
/* "hallpass: denied: …" in one line, for a program to show. */
void helper_words(const struct error *err, struct buf *out);
