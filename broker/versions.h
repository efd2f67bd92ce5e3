#pragma once

/*
 * The policies that came in force, kept by hash beside the log: DIR/policies/SHA256.yaml. And which of them it was when.
 *
 * A version is there, whole and synced, before the first record that names it, and is never written again; what is read is
 * checked against its name. DIR is the audit directory, whose lock the broker holds; reading needs no lock.
 *
 * When a version came in force tell the log's records of starts and reloads. The list of them is in memory, filled at start
 * while the log is read anyway, so that nobody reads the log to answer a question.
 */

#include <stddef.h>
#include <stdint.h>
#include "broker/sha256.h"
#include "hallpass/buf.h"
#include "hallpass/error.h"

#define VERSION_MAX_BYTES (64 << 20)

/* hash: sha256_hex() of the text. Nothing to do where it is kept already. ERR_UNAVAILABLE: the disk (ENOSPC, …); ERR_INVALID: another text has that name. */
int version_keep(const char *dir, const char *hash, struct str text, struct error *err);
/* Gives malloc'd, NUL-terminated bytes. ERR_NOT_FOUND: not kept. ERR_INVALID: it is not what its name says. ERR_UNAVAILABLE. */
int version_read(const char *dir, const char *hash, char **text, size_t *len, struct error *err);

struct version {
	int64_t since; /* Unix seconds */
	char hash[SHA256_HEX];
};

struct versions {
	struct version *list; /* in the order of the log; each another policy than the one before */
	size_t n, size;
};

/* For one more, so that what comes in force is remembered. -1: no memory. */
int versions_room(struct versions *versions);
/* One that came in force. One that was in force already is no news. No memory for it: later questions fall to the one before. */
void versions_add(struct versions *versions, int64_t since, const char *hash);
/* The same from a record of the log; what is no start and no reload says nothing. */
void versions_add_record(struct versions *versions, struct str json);
/* The one in force at that time. NULL: it is before all that is known. */
const struct version *versions_at(const struct versions *versions, int64_t at);
/* The last time that this one came in force. NULL: it never did, as far as is known. */
const struct version *versions_of(const struct versions *versions, const char *hash);
void versions_fini(struct versions *versions);
