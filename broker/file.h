#pragma once

/* Whole small files into memory. */

#include <stddef.h>
#include "hallpass/error.h"

/*
 * Reads a regular file of at most max bytes. Gives malloc'd, NUL-terminated bytes. Errors name the path:
 * ERR_NOT_FOUND, ERR_INVALID (too large, not a file, not for us to read), ERR_UNAVAILABLE (what may pass by itself;
 * also a file that changed while it was read: half a policy may be a policy).
 */
int file_read(const char *path, size_t max, char **data, size_t *len, struct error *err);
