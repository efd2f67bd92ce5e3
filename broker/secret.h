#pragma once

/*
 * Bytes that must not be seen: tokens, refresh tokens, private keys.
 *
 * A struct secret owns its memory (locked where the system allows, left out of core files), wipes
 * it on fini, and has no printer. What is logged of it is its SHA-256.
 */

#include <stdbool.h>
#include <stddef.h>
#include "hallpass/cleanup.h"

struct secret {
	char *data; /* NUL-terminated for C libraries; NULL: empty */
	size_t len;
};

/* Copies. -1: no memory; the secret is then empty. */
int secret_set(struct secret *secret, const void *data, size_t len);
void secret_fini(struct secret *secret); /* wipes; empty and usable again */

/* Overwrites memory that held a secret outside a struct secret (a library's buffer, say). */
void wipe(void *data, size_t len);

/* free() and realloc() that leave nothing behind: for libraries that take allocators and see secrets. */
void wipe_free(void *p);
void *wipe_realloc(void *p, size_t size);

/* Gives them to jansson and OpenSSL, whose trees and TLS buffers hold tokens; for main(), before either is used. fetch.c sees to libcurl. */
void secret_libraries(void);
/* Gives them to jansson alone. */
void secret_json(void);
