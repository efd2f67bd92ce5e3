#pragma once

/*
 * What `run` and `env` keep for as long as something lasts, a command or a shell: a private directory, a fresh token file in it,
 * and a session with the broker.
 *
 * Each part is driven from one poll() loop and never holds it up: x_fd() is what to poll for reading, x_timeout_ms() how long at most,
 * x_turn() what to do then.
 */

#include <poll.h>
#include "broker/cli/cli.h"

/*
 * private.c: a directory of mode 0700 on tmpfs, which no disk ever sees, under a lock for as long as its owner lives: what a dead
 * one has left behind is known by its free lock, and removed by the next.
 */
struct private {
	char dir[256];
	int fd; /* holds the lock; -1: none was made */
};
/* Sweeps up what dead ones left, on each tmpfs there is. ERR_UNAVAILABLE: there is no tmpfs. */
int private_make(struct private *p, struct error *err);
/* Replaces a file in it, mode 0600, whole or not at all. */
int private_write(const struct private *p, const char *name, const char *text, struct error *err);
int private_write_bytes(const struct private *p, const char *name, struct str bytes, struct error *err);
int private_mkdir(const struct private *p, const char *name, struct error *err); /* one that is there will do */
void private_remove(struct private *p);
/*
 * Another one beside it, of a name, which several may have at the same time and which stays: nothing but broken-off transfers is left in it
 * when the last of them has gone, by private_unshare() or not. alone: it is to be filled, and private_shared() lets others in, who wait.
 */
int private_share(struct private *p, const struct private *own, const char *name, bool *alone, struct error *err);
int private_shared(const struct private *p, struct error *err);
void private_unshare(struct private *p);

/* settings.c: a file of settings without these. The list ends in {NULL, NULL}; key NULL: the whole section. Pure. */
struct unwanted {
	const char *section, *key;
};
void settings_copy(struct str text, const struct unwanted *unwanted, struct buf *out);

/*
 * profile.c: the files that programs are pointed at. In the session's directory "credentials.json", which Google's libraries for Python,
 * Node.js, Go and Java take, and an external_account file for each of its accounts, ACCOUNT.json; in the account's on the same terms, for as
 * long as anybody works so, gcloud's own directory and gsutil's, with
 * the user's settings in them and without his logins.
 */
struct keeper;
int profile_write(const struct keeper *keeper, bool alone, struct error *err);
/* The name of an account's external_account file. */
void profile_external(const char *account, char *out, size_t size);
void profile_own_gcloud(char *out, size_t size); /* the user's own directory of gcloud's */
/* Warns where --metadata leaves a login of the user's own in the way of some clients. */
void profile_tell_login(const struct keeper *keeper);

/* lease.c: the token file, and its renewal by a child of ours: a slow broker holds nobody up. */
struct lease {
	struct cli *cli;
	const char *account;
	const json_t *body; /* of each request for a token; borrowed */
	const struct private *private;
	int64_t renew_at;  /* Unix seconds */
	int64_t closes_at; /* end of the policy's window; 0: none seen */
	char title[200];   /* of the window's condition */
	int64_t retry_s;   /* pause before the next attempt, should this one fail: 1, 2, 4, … */
	bool warned, told_failure, ended; /* ended: the policy says no; nothing more is tried */
	pid_t renewer;			  /* 0: none under way */
	int news;			  /* from the renewer; -1: none */
};
/* reply: the broker's to the first request. */
int lease_begin(struct lease *lease, const json_t *reply, struct error *err);
int lease_fd(const struct lease *lease);
int lease_timeout_ms(const struct lease *lease);
void lease_turn(struct lease *lease, bool readable);
void lease_warn(struct lease *lease); /* of a window that closes soon, once */
void lease_end(struct lease *lease);

/*
 * control.c: the connection that a session lives by. When it drops without a word, the session is opened anew, with the next broker,
 * with the same handle and, where it can be had, at the same port; when the broker says why, that was its end.
 */
enum control_state { CONTROL_DOWN, CONTROL_OPENING, CONTROL_OPEN, CONTROL_ENDED };
struct control {
	struct cli *cli;
	const struct private *private; /* for the handle; NULL: nobody wants it */
	bool relayed; /* port is ours, set before it is opened */
	json_t *body; /* of the request for a session; with its handle, once there is one */
	enum control_state state;
	int fd; /* -1: none */
	struct buf in;
	int port; /* 0: it was never open */
	bool elsewhere; /* its port is on another network's loopback: we are in a container, say */
	char session[40]; /* its id, where it is open */
	unsigned times; /* how often it was opened: each time it is another session */
	char ca_file[256]; /* what the broker trusts upstream; "": what the system does */
	int64_t retry_ms, at_ms; /* DOWN: the next attempt; OPENING: the last moment for an answer */
	bool told;
};
/* Opens it, and waits for that. port 0: any. The handle stands in the private directory's file "handle". -1: err says why. */
int control_begin(struct control *control, const json_t *token_body, struct error *err);
int control_fd(const struct control *control);
int control_timeout_ms(const struct control *control);
void control_turn(struct control *control, bool readable);
void control_end(struct control *control);

/*
 * relay.c: a process of its own that is the session's port where the broker's loopback is another network's. It lives until
 * every copy of its leash is closed.
 */
struct relayed {
	int leash; /* -1: there is none */
	pid_t pid;
	int port;
};
/* body: of the request for a session. hidden: keep_leave_terminal(). */
int relay_fork(struct cli *cli, const json_t *body, const struct private *private, bool hidden, struct relayed *out, struct error *err);
void relay_unleash(struct relayed *relayed); /* and waits for its end */

/* All of it together. */
struct keeper {
	struct cli *cli;
	bool hidden; /* it outlives the command: keep_leave_terminal() */
	struct relayed relayed;
	json_t *body; /* of each request for a token */
	struct private private;
	struct private identity; /* the account's on these terms, shared */
	struct lease lease;
	struct control control;
};
/* An exit code: what went wrong has been told. keeper_end() is due either way. */
int keeper_begin(struct keeper *keeper, struct cli *cli, bool hidden);
/* What is to be read where a signal asks to end; each that would is blocked from now on. A descriptor. */
int keep_watch_signals(void);
/*
 * For a process that stays behind a shell: it hears none of the terminal's signals, reads nothing there, keeps no pipe open, and what
 * it tells stands there between the shell's own lines.
 */
void keep_leave_terminal(struct cli *cli);
#define KEEPER_POLLS 2
/* Fills polls, and gives the timeout. */
int keeper_polls(const struct keeper *keeper, struct pollfd polls[KEEPER_POLLS]);
void keeper_turn(struct keeper *keeper, const struct pollfd polls[KEEPER_POLLS]);
void keeper_end(struct keeper *keeper);
/* Another process of ours has it from now on. */
void keeper_leave(struct keeper *keeper);

/*
 * environment.c: what programs are told by, and the one table of it. value NULL: it must not be set. None of it outlives the session:
 * before is what environment_remember() wrote down of a shell's own variables, n = 0: nothing was.
 */
typedef void environment_fn(void *arg, const char *name, const char *value);
void environment_each(const struct keeper *keeper, environment_fn *set, void *arg);
/* Whether it is one that names another credential than ours, and does not reach the program. */
bool environment_takes_away(const char *name);
void environment_remember(struct buf *out);
void environment_undo(struct str before, environment_fn *set, void *arg);

/* A line on the terminal, while somebody else's program runs there. */
void keep_tell(const struct cli *cli, enum color color, const char *text);
int64_t keep_now_s(void);
int64_t keep_now_ms(void); /* monotonic */
