#pragma once

/*
 * hallpassd.yaml: what it may say, what it says.
 *
 * One table (config.c) holds every key: name, type, unit, default, range, whether a reload takes it
 * up, and a sentence; the parser, `hallpassd --help-config`, the man page and a README check all read it.
 * Immutable once loaded.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/log.h"
#include "broker/loopback.h"
#include "hallpass/buf.h"
#include "hallpass/error.h"
#include "hallpass/policy.h"

#define CONFIG_ACCOUNTS 16

struct config_listener {
	char *unix_path; /* NULL: a TCP port */
	unsigned mode;	 /* 0660 */
	char *group;	 /* NULL: ours */

	char *tcp;			/* NULL: a Unix socket; as written */
	struct loopback loopback;	/* the same */
	char *accounts[CONFIG_ACCOUNTS]; /* that its metadata server has; the first is "default" */
	size_t n_accounts;
};

/* One pair of a map of texts. */
struct config_pair {
	char *name, *value;
};

/* Who is who: the first rule that fits a uid names its principal. */
struct config_peer {
	int64_t uid; /* -1: not by uid */
	char *user;  /* NULL: not by user name */
	char *group; /* NULL: not by group name */
	char *principal; /* a template: {name} and {uid} are replaced */
	bool plain;	 /* there is nothing to replace in it */
};

struct config {
	char *path; /* where it came from; NULL: no file, the defaults of one user's helper */

	struct config_listener *listeners;
	size_t n_listeners;
	struct config_peer *peers;
	size_t n_peers;
	char **operators; /* principals that may reload and see everything; root and our own uid always may */
	size_t n_operators;

	char *policy_path;
	char *credential_file; /* NULL: as Application Default Credentials pick */

	char *audit_dir;
	int64_t audit_segment_bytes, audit_low_water_bytes, audit_deadline_ms;

	int64_t requests_per_minute, burst;
	int64_t max_lifetime_s, clock_allowance_s;
	int64_t max_connections, max_connections_per_uid;
	int64_t head_timeout_ms, idle_timeout_ms, write_timeout_ms;
	int64_t max_cached_tokens, max_flights;

	int64_t upstream_timeout_ms, upstream_connections;
	char *upstream_proxy; /* NULL: the environment's */
	char *upstream_ca_file;
	bool upstream_allow_http;
	char *iam_endpoint, *iam_admin_endpoint, *token_endpoint, *sts_endpoint, *metadata_host;

	int64_t max_sessions, max_sessions_per_principal;

	/* What the metadata server says of the machine. */
	char *instance_project; /* NULL: the account's own */
	int64_t instance_project_number, instance_id;
	char *instance_zone, *instance_machine_type;
	char *instance_name, *instance_hostname; /* NULL: this machine's; made of name and project */
	struct config_pair *instance_attributes;
	size_t n_instance_attributes;

	enum log_level log_level;

	bool incomplete; /* while it is read: there was no memory for some of it */
};

/*
 * Reads a configuration. path NULL: no file; the defaults for one user's helper are filled from the environment
 * (XDG_RUNTIME_DIR, XDG_CONFIG_HOME, XDG_STATE_HOME, HOME). Relative paths inside are relative to the file.
 * Errors: ERR_INVALID (all findings in the report), ERR_NOT_FOUND. The caller fini's the report either way;
 * *text gets the file's content for printing findings (malloc'd; may be NULL).
 */
int config_load(const char *path, struct config **out, struct policy_report *report, char **text, struct error *err);
void config_free(struct config *config);

/* True (and says which key) when a reload cannot take up the difference: listeners, audit directory, … */
bool config_needs_restart(const struct config *running, const struct config *loaded, struct buf *keys);

/* The table as text for people, as a man page's list, as a Markdown table. */
enum config_help { CONFIG_HELP_TEXT, CONFIG_HELP_MAN, CONFIG_HELP_MARKDOWN };
void config_help(enum config_help form, struct buf *out);
