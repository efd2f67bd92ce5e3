/* hallpassd: arguments, hardening, and the exit code. */

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>
#include "broker/broker.h"
#include "broker/clock.h"
#include "broker/config.h"
#include "broker/log.h"
#include "broker/secret.h"
#include "hallpass/cleanup.h"

static const char usage[] =
	"usage: hallpassd [--config FILE] [--check] [--help-config[=FORM]] [--version]\n"
	"\n"
	"  --config FILE   read FILE; without it /etc/hallpass/hallpassd.yaml for root,\n"
	"                  ~/.config/hallpass/hallpassd.yaml else, or no file: one user's helper\n"
	"  --check         validate configuration and policy, print what is found, exit 0 or 78\n"
	"  --help-config   every configuration key, its default and what it is for, as text, man or markdown\n"
	"  --version       print the version\n";

enum { OPT_CONFIG = 1000, OPT_CHECK, OPT_HELP_CONFIG, OPT_VERSION, OPT_HELP };

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
	printf("%s", notes.text.data ? notes.text.data : "");
	policy_stats(snapshot->policy, &stats);
	printf("hallpassd: valid: %s and %s (%zu bindings, %zu deny rules, %zu tests passed, %zu warnings)\n",
	       config_path ? config_path : "built-in configuration", snapshot->config->policy_path, stats.bindings,
	       stats.deny_rules, stats.tests, notes.n_warnings);
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

static int print_config_help(const char *form) {
	static const char *const forms[] = {
		[CONFIG_HELP_TEXT] = "text", [CONFIG_HELP_MAN] = "man", [CONFIG_HELP_MARKDOWN] = "markdown"
	};
	struct buf text = BUF_INIT(65536);
	size_t i = 0;

	while (form && i < ARRAY_SIZE(forms) && strcmp(form, forms[i]))
		i++;
	if (i == ARRAY_SIZE(forms)) {
		fprintf(stderr, "hallpassd: --help-config is text, man or markdown, not %s\n", form);
		return EX_USAGE;
	}
	config_help((enum config_help)i, &text);
	printf("%s", text.data);
	buf_fini(&text);
	return EX_OK;
}

/* -1: go on with *args; else the exit code. */
static int parse_arguments(int argc, char **argv, struct arguments *args) {
	static const struct option options[] = {
		{ "config", required_argument, NULL, OPT_CONFIG }, { "check", no_argument, NULL, OPT_CHECK },
		{ "help-config", optional_argument, NULL, OPT_HELP_CONFIG }, { "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP }, { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_CONFIG:
			args->config = optarg;
			break;
		case OPT_CHECK:
			args->check = true;
			break;
		case OPT_HELP_CONFIG:
			return print_config_help(optarg);
		case OPT_VERSION:
			puts("hallpassd " HALLPASS_VERSION);
			return EX_OK;
		case OPT_HELP:
		case 'h':
			fputs(usage, stdout);
			return EX_OK;
		default:
			fputs(usage, stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hallpassd: what is \"%s\"? hallpassd takes options only\n%s", argv[optind], usage);
		return EX_USAGE;
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
