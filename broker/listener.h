#pragma once

/*
 * Listening sockets that nobody else can have put there.
 *
 * A Unix socket is made in a private directory beside its place, given mode and group, and only then renamed
 * into it. Its directory must be ours or root's and writable by nobody else, and hold no symbolic link on the way.
 */

#include "hallpass/error.h"

struct listener;

/*
 * group NULL: ours. Makes the last directory when missing. A stale socket is replaced; a live one is ERR_UNAVAILABLE.
 * ERR_INVALID: the path is too long, or its directory not safe; says what to do.
 */
int listener_unix(const char *path, unsigned mode, const char *group, struct listener **out, struct error *err);
int listener_fd(const struct listener *listener);
void listener_free(struct listener *listener); /* closes, and removes the socket if it is still ours; takes NULL */
