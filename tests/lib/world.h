#pragma once

/*
 * A world for scenario tests: the stand-in for Google, hallpassd, a policy and a clock, in a directory of their own.
 *
 * Everything runs as separate processes, as users run them. What is waited for are events (a file, a socket, an
 * answer), each with a generous bound; nothing sleeps and hopes.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Under AddressSanitizer memory is not what it is in the product. gcc has a macro for it, clang a feature. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define SA_DEV "ml-training-dev-sa@acme-ml.iam.gserviceaccount.com"
#define SA_PROD "ml-training-prod-sa@acme-ml.iam.gserviceaccount.com"
#define SA_LABEL "ml-labeling-dev-sa@acme-ml.iam.gserviceaccount.com"
#define SA_BATCH "ml-batch-sa@acme-ml.iam.gserviceaccount.com"
#define ME "user:me@example.com"

struct world {
	char dir[64], socket[100], url[128];
	char tmpfs[40]; /* XDG_RUNTIME_DIR: of commands, for what no disk may see; other worlds and users have others */
	char config_more[1024]; /* lines added to hallpassd.yaml; `peers:` among them replaces the one for ME */
	char listeners_more[300]; /* further items of `listeners:`, ", {tcp: …}" */
	char audit_more[64];	/* more of its `audit:`, ", deadline: 1s" */
	char upstream[1024];	/* lines in place of its usual credential and endpoints */
	char wrap[256];		/* words put before hallpassd: "strace -f …", "eatmydata" */
	pid_t google, daemon;
	pid_t wrapped; /* hallpassd itself, where `daemon` is what wraps it; 0: the same */
};

struct answer {
	int status; /* 0: the connection broke without an answer */
	json_t *json;
	char text[65536];
};

/* Makes the directory and starts the stand-in. Skips the test, in words, where the programs are not built. */
void world_start(struct world *w);
void world_end(struct world *w); /* kills what runs, removes the directory; NULL-safe in all parts */
/*
 * The same when the daemon ends well: whatever was done to it, exit 0 and no complaint of a sanitizer. Its wait status. And
 * what is in the record can be replayed: else 1.
 */
int world_end_well(struct world *w);

void world_policy(struct world *w, const char *yaml);
/* A policy with one binding for ME on SA_DEV; more is added below it. */
#define POLICY_DEV                                                                                                     \
	"version: 1\n"                                                                                                 \
	"bindings:\n"                                                                                                  \
	"  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], maxLifetime: 30m}\n"

void world_daemon(struct world *w);		  /* starts hallpassd and waits until it answers */
bool world_daemon_try(struct world *w);		  /* the same; false: it ended before */
int world_daemon_fails(struct world *w, char *text, size_t size); /* starts it, expects it to exit: its code and stderr */
int world_stop(struct world *w, int signal);	  /* signals it, waits: the exit status as waitpid gives it */
void world_log_tail(const struct world *w);	  /* the daemon's stderr, for the test's log */

void ask(const struct world *w, const char *method, const char *path, const char *body, struct answer *out);
void answer_fini(struct answer *a);
/* ask() as another uid (root only). */
void ask_as_uid(const struct world *w, uid_t uid, const char *method, const char *path, const char *body,
		struct answer *out);
/* POST /v1/token for an account; more: further members, ", \"lifetime\": 60" or "". */
void ask_token(const struct world *w, const char *account, const char *more, struct answer *out);
int ask_begin(const struct world *w, const char *method, const char *path, const char *body); /* a socket, or -1 */
bool ask_end(int fd, struct answer *out); /* closes it */
const char *answer_text(const struct answer *a, const char *dotted); /* "error.message"; "" where it is not */
int64_t answer_int(const struct answer *a, const char *dotted);

/* The stand-in. */
void google_script(const struct world *w, const char *json);
void google_reset(const struct world *w);
int64_t google_calls(const struct world *w, const char *endpoint);
json_t *google_tokens(const struct world *w);
void google_clock(const struct world *w, int64_t offset_s);

/* The daemon's wall clock, shifted while it runs (tests/lib/fakeclock.c); set before world_daemon() to have it at all. */
void world_clock(struct world *w, int64_t offset_s);

/* Every record on disk, in order, as a JSON array; the reader checks hashes and chain. NULL and *why: corrupt. */
json_t *world_records(const struct world *w, char *why, size_t size);
size_t records_count(const json_t *records, const char *type);
/* The last record of a type, borrowed; NULL: none. */
json_t *records_last(const json_t *records, const char *type);
bool records_have_token(const json_t *records, const char *sha256);
void text_sha256(const char *text, char out[65]);

/* Runs the hallpass command; its exit code; out gets stdout, err stderr (each may be NULL). */
int run_cli(const struct world *w, char *out, size_t out_size, char *err, size_t err_size, ...) __attribute__((sentinel));
int64_t now_s(void);
