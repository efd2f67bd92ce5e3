#pragma once

/*
 * What the system knows of a uid: its user name and its groups.
 *
 * The name service may ask a server far away (LDAP, sssd), and local never waits for remote (P7), so look-ups
 * run on a thread of their own and are remembered for a minute. An account that was there a minute
 * ago stays good while a refresh runs. A service that hangs costs each caller it is asked about five seconds, nobody else
 * anything, and is not waited for at the end. One that fails has not answered: nobody becomes somebody else, by the next
 * rule, because a group could not be read.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hallpass/error.h"

struct account {
	int64_t uid, gid;
	bool exists;
	char name[64]; /* "" when it does not exist */
	size_t n_groups;
	char **groups; /* names, all of them */
};

/*
 * Whether the name service knows a user, or a group, of this name: 1, 0; -1: it does not say. Asks here and now, and waits as
 * long as that takes: not for the event loop.
 */
int accounts_has_user(const char *name);
int accounts_has_group(const char *name);

struct accounts;
struct accounts_wait;

int accounts_new(struct event_base *base, struct accounts **out, struct error *err);
void accounts_free(struct accounts *accounts); /* takes NULL; no done() after; waits half a second for a look-up that runs */

/* What is remembered, or NULL: start a look-up. Borrowed until the next call into this module. */
const struct account *accounts_find(struct accounts *accounts, int64_t uid, int64_t now_ms);

/*
 * done() once, never from inside; account is borrowed until it returns. NULL: the name service failed, or not in time.
 * accounts_start() gives NULL where there is no memory or no thread for it: done() will not be called.
 */
typedef void accounts_done_fn(const struct account *account, void *arg);
struct accounts_wait *accounts_start(struct accounts *accounts, int64_t uid, accounts_done_fn *done, void *arg);
void accounts_cancel(struct accounts_wait *wait); /* takes NULL */
