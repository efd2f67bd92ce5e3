/* hallpassd: arguments, hardening, and the exit code. */

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>
#include "broker/authn/accounts.h"
#include "broker/authn/strangers.h"
#include "broker/broker.h"
#include "broker/clock.h"
#include "broker/config.h"
#include "broker/log.h"
#include "broker/secret.h"
#include "broker/usage.h"
#include "hallpass/cleanup.h"

struct arguments {
	const char *config;
	bool check;
};

/* What an error code means to the shell. */
static int exit_code(enum error_code code) {
	switch (code) {
	case ERR_NONE:
		return EX_OK;
	case ERR_INVALID:
	case ERR_NOT_FOUND:
		return EX_CONFIG;
	case ERR_UNAVAILABLE:
		return EX_TEMPFAIL;
	default:
		return EX_SOFTWARE;
	}
}

/* AddressSanitizer's leak check is a ptrace of our own. gcc has a macro for it, clang a feature. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DUMPABLE 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define DUMPABLE 1
#endif
#ifndef DUMPABLE
#define DUMPABLE 0
#endif

/* Connections take what the system allows; the soft limit is for programs that use select(). */
static void raise_descriptors(void) {
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* No core files, no ptrace by others of our uid, nothing inherited gains rights, no signal kills us by accident. */
static void harden(void) {
	struct rlimit none = { 0, 0 };

	umask(077);
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, DUMPABLE, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	secret_libraries();
	unsetenv("SSLKEYLOGFILE"); /* libcurl would write there what decrypts its connections, tokens and all */
	raise_descriptors();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write(), with a name and a remedy */
}

static char *default_config(void) {
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int n;

	if (geteuid() == 0)
		n = asprintf(&path, "/etc/hallpass/hallpassd.yaml");
	else if (base && base[0] == '/')
		n = asprintf(&path, "%s/hallpass/hallpassd.yaml", base);
	else
		n = asprintf(&path, "%s/.config/hallpass/hallpassd.yaml", home ? home : "");
	if (n < 0)
		return NULL;
	if (access(path, F_OK) < 0) {
		free(path);
		return NULL;
	}
	return path;
}

static const char *plural(size_t n) {
	return n == 1 ? "" : "s";
}

/*
 * Its form; nobody is called. Where nothing names one there may be none yet, or this is another user than the broker's: a warning.
 * An exit code.
 */
static int check_credential(const struct config *config, struct snapshot_notes *notes) {
	struct buf about = BUF_INIT(8192);
	struct error err = { 0 };
	struct log log;
	int r;

	log_init(&log, STDOUT_FILENO, LOG_LEVEL_WARNING);
	r = broker_check_credential(config, &log, &about, &err);
	if (r == 0) {
		printf("hallpassd: credential: %s\n", about.data ? about.data : "");
	} else if (err.code == ERR_NOT_FOUND && !config->credential_file && !getenv("GOOGLE_APPLICATION_CREDENTIALS")) {
		printf("hallpassd: warning: %s; here and as this user hallpassd would not start\n", err.message);
		notes->n_warnings++;
		r = 0;
	} else {
		printf("hallpassd: not valid: %s\n", err.message);
	}
	buf_fini(&about);
	return r < 0 ? EX_CONFIG : EX_OK;
}

/* What the daemon would refuse to start with, besides. */
static int check_groups(const struct config *config) {
	for (size_t i = 0; i < config->n_listeners; i++) {
		const char *group = config->listeners[i].group;

		if (group && accounts_has_group(group) == 0) {
			printf("hallpassd: not valid: no group \"%s\" for the socket\n", group);
			return EX_CONFIG;
		}
	}
	return EX_OK;
}

static int check(const char *config_path) {
	struct snapshot_notes notes = { 0 };
	struct snapshot *snapshot = NULL;
	struct policy_stats stats;
	struct error err = { 0 };

	if (snapshot_load(config_path, clock_now().s, &snapshot, &notes, isatty(STDOUT_FILENO), &err) < 0) {
		printf("%s", notes.text.data ? notes.text.data : "");
		printf("hallpassd: not valid: %s\n", err.message);
		snapshot_notes_fini(&notes);
		return EX_CONFIG;
	}
	notes.n_warnings += strangers_note(snapshot->config, &notes.text);
	printf("%s", notes.text.data ? notes.text.data : "");
	if (check_groups(snapshot->config) != EX_OK || check_credential(snapshot->config, &notes) != EX_OK) {
		snapshot_notes_fini(&notes);
		snapshot_unref(snapshot);
		return EX_CONFIG;
	}
	policy_stats(snapshot->policy, &stats);
	printf("hallpassd: valid: %s and %s (%zu binding%s, %zu deny rule%s, %zu test%s passed, %zu warning%s)\n",
	       config_path ? config_path : "built-in configuration", snapshot->config->policy_path, stats.bindings,
	       plural(stats.bindings), stats.deny_rules, plural(stats.deny_rules), stats.tests, plural(stats.tests),
	       notes.n_warnings, plural(notes.n_warnings));
	snapshot_notes_fini(&notes);
	snapshot_unref(snapshot);
	return EX_OK;
}

static int run(const char *config_path) {
	struct broker *broker = NULL;
	struct error err = { 0 };
	struct log log;

	log_init(&log, STDERR_FILENO, LOG_LEVEL_INFO);
	if (broker_new(&(struct broker_options){ .config_path = config_path, .log = &log }, &broker, &err) < 0) {
		fprintf(stderr, "hallpassd: %s\n", err.message);
		return exit_code(err.code);
	}
	broker_run(broker);
	broker_free(broker);
	return EX_OK;
}

/* Prints what a function writes. */
static int print_page(void (*write)(struct buf *out)) {
	struct buf text = BUF_INIT(65536);

	write(&text);
	fputs(text.data, stdout);
	buf_fini(&text);
	return EX_OK;
}

static void config_text(struct buf *out) {
	config_help(CONFIG_HELP_TEXT, out);
}

static void config_markdown(struct buf *out) {
	config_help(CONFIG_HELP_MARKDOWN, out);
}

static int print_config_help(const char *form) {
	static const struct {
		const char *name;
		void (*write)(struct buf *out);
	} forms[] = { { "text", config_text }, { "markdown", config_markdown }, { "man", usage_man_config } };

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (!strcmp(form ? form : "text", forms[i].name))
			return print_page(forms[i].write);
	fprintf(stderr, "hallpassd: --help-config is text, markdown or man, not %s\n", form);
	return EX_USAGE;
}

static int usage_error(void) {
	struct buf text = BUF_INIT(8192);

	usage_text(&text);
	fputs(text.data, stderr);
	buf_fini(&text);
	return EX_USAGE;
}

/* -1: go on with *args; else the exit code. */
static int parse_arguments(int argc, char **argv, struct arguments *args) {
	struct option options[USAGE_OPTIONS + 1];
	int c;

	usage_getopt(options);
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case USAGE_CONFIG:
			args->config = optarg;
			break;
		case USAGE_CHECK:
			args->check = true;
			break;
		case USAGE_HELP_CONFIG:
			return print_config_help(optarg);
		case USAGE_MAN:
			return print_page(usage_man_daemon);
		case USAGE_VERSION:
			puts("hallpassd " HALLPASS_VERSION);
			return EX_OK;
		case USAGE_HELP:
		case 'h':
			return print_page(usage_text);
		default:
			return usage_error();
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hallpassd: what is \"%s\"? hallpassd takes options only\n", argv[optind]);
		return usage_error();
	}
	return -1;
}

int main(int argc, char **argv) {
	struct arguments args = { 0 };
	char *found = NULL;
	int r = parse_arguments(argc, argv, &args);

	if (r >= 0)
		return r;
	harden();
	if (!args.config)
		args.config = found = default_config();
	r = args.check ? check(args.config) : run(args.config);
	free(found);
	return r;
}
