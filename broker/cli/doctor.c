/* hallpass doctor: the whole chain, a line for each check, and what to do. See cli.h; what the broker sees, in broker/doctor.h. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "broker/authn/sockdiag.h"
#include "broker/cli/checks.h"
#include "broker/cli/keep.h"
#include "broker/loopback.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"

#define INDENT 20 /* of what stands behind a check's name */

void checks_add(json_t *checks, const char *id, const char *status, const char *remedy, const char *fmt, ...) {
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	json_array_append_new(checks, json_pack("{s:s, s:s, s:o, s:o*}", "id", id, "status", status, "text", text_json(text ? text : ""), "remedy",
						remedy ? text_json(remedy) : NULL));
	free(text);
}

/* --- the broker, and who one is there */

static void add_broker_fault(json_t *checks, const struct cli *cli, const struct error *err) {
	char path[120] = "", remedy[300];
	struct stat st;

	client_place(cli, path, sizeof(path));
	if (err->code == ERR_UNAUTHENTICATED && stat(path, &st) == 0)
		snprintf(remedy, sizeof(remedy), "it is uid %u's and gid %u's, mode %04o: get into that group, or have `listeners:` name another mode or group", st.st_uid, st.st_gid,
			 (unsigned)(st.st_mode & 07777));
	else if (err->code == ERR_NOT_FOUND)
		snprintf(remedy, sizeof(remedy), "systemctl --user start hallpassd (or sudo systemctl start hallpassd; or hallpassd & for now); --socket or HALLPASS_SOCKET names another");
	else
		snprintf(remedy, sizeof(remedy), "hallpass status tells how the broker is");
	checks_add(checks, "broker", "fail", remedy, "%s", err->message);
}

/* An exit code. */
static int check_broker(json_t *checks, struct cli *cli) {
	struct error err = { 0 };
	json_t *reply = NULL;
	char path[120] = "";

	if (client_try(cli, API_PATH_VERSION, NULL, &reply, &err) < 0) {
		add_broker_fault(checks, cli, &err);
		json_decref(reply);
		return API_EXIT_UNREACHABLE;
	}
	client_place(cli, path, sizeof(path));
	checks_add(checks, "broker", "ok", NULL, "hallpassd %s answers at %s%s%s%s", text_of(reply, "version"), path,
		   strcmp(text_of(reply, "version"), HALLPASS_VERSION) ? " (this command is " : "",
		   strcmp(text_of(reply, "version"), HALLPASS_VERSION) ? HALLPASS_VERSION : "", strcmp(text_of(reply, "version"), HALLPASS_VERSION) ? ")" : "");
	json_decref(reply);
	return API_EXIT_OK;
}

static int check_caller(json_t *checks, struct cli *cli) {
	struct error err = { 0 };
	json_t *reply = NULL;
	char remedy[300];
	int r = client_try(cli, API_PATH_WHOAMI, NULL, &reply, &err);

	if (r == 0) {
		checks_add(checks, "caller", "ok", NULL, "you are %s (%s: uid %lld)", text_of(reply, "principal"), text_of(reply, "how"),
			   (long long)json_integer_value(json_object_get(reply, "uid")));
	} else {
		snprintf(remedy, sizeof(remedy), "in hallpassd.yaml, under peers: - {uid: %u, principal: \"user:YOU@example.com\"}; then hallpass reload", geteuid());
		checks_add(checks, "caller", "fail", err.code == ERR_UNAUTHENTICATED ? remedy : NULL, "%s", err.message);
	}
	json_decref(reply);
	return r == 0 ? API_EXIT_OK : API_EXIT_FAILED;
}

/* --- accounts: those that are named, else what the policy gives */

static void add_account(json_t *accounts, const char *account, size_t *too_many) {
	if (list_has(accounts, account))
		return;
	if (json_array_size(accounts) < API_DOCTOR_ACCOUNTS)
		json_array_append_new(accounts, json_string(account));
	else
		(*too_many)++;
}

static void say_policy(json_t *checks, size_t now, size_t all, size_t patterns, size_t too_many) {
	if (!all && !patterns)
		checks_add(checks, "policy", "warn", "hallpass why ACCOUNT tells what it would take; whoever keeps the policy can name you in a binding",
			   "no binding of the policy names you");
	else
		checks_add(checks, "policy", "ok", NULL, "it gives you %zu account%s, %zu of them now%s", all, all == 1 ? "" : "s", now,
			   patterns ? ", and patterns, of which accounts can be named here" : "");
	if (too_many)
		checks_add(checks, "policy", "note", NULL, "%zu more accounts are not looked at here; name them: hallpass doctor ACCOUNT …", too_many);
}

static void take_listed(json_t *checks, json_t *accounts, const json_t *listed) {
	size_t i, now = 0, patterns = 0, too_many = 0;
	const json_t *item;

	json_array_foreach(listed, i, item) {
		const char *account = text_of(item, API_SERVICE_ACCOUNT);
		bool pattern = strchr(account, '*') != NULL;

		patterns += pattern;
		now += !pattern && json_is_true(json_object_get(item, "allowed")) && !list_has(accounts, account);
		if (!pattern)
			add_account(accounts, account, &too_many);
	}
	say_policy(checks, now, json_array_size(accounts) + too_many, patterns, too_many);
}

static void find_accounts(json_t *checks, struct cli *cli, json_t *accounts) {
	struct error err = { 0 };
	json_t *reply = NULL;
	size_t too_many = 0;

	for (size_t i = 0; i < cli->n_args; i++)
		add_account(accounts, cli->args[i], &too_many);
	if (cli->n_args)
		return;
	if (client_try(cli, API_PATH_LIST, NULL, &reply, &err) == 0)
		take_listed(checks, accounts, json_object_get(reply, "accounts"));
	else
		checks_add(checks, "policy", "fail", NULL, "%s", err.message);
	json_decref(reply);
}

/* --- what the broker sees */

/* It has the same clock, unless one of us is in a time namespace, a container or a test. */
static void check_clock(json_t *checks, int64_t theirs, int64_t asked_at) {
	int64_t now = (int64_t)time(NULL), off = theirs < asked_at ? asked_at - theirs : theirs > now ? theirs - now : 0;

	if (off <= 1)
		checks_add(checks, "clock", "ok", NULL, "your clock and the broker's agree");
	else
		checks_add(checks, "clock", "warn", "set the one that is wrong: timedatectl set-ntp true", "your clock is %lld s %s the broker's",
			   (long long)off, theirs < asked_at ? "ahead of" : "behind");
}

/* In a container `run` and `env` are the port themselves, for which the kernel there has to tell who connects. */
static void check_network(json_t *checks, uint64_t theirs) {
	uint64_t ours = loopback_network();
	struct error err;

	if (!theirs || !ours || theirs == ours)
		return;
	if (sockdiag_check(&err) == 0)
		checks_add(checks, "network", "ok", NULL, "the broker's ports are on another network than yours, so `hallpass run` and `hallpass env` are the port themselves");
	else
		checks_add(checks, "network", "fail", "hallpass relay --listen 127.0.0.1:PORT --as ACCOUNT --uid any", "the broker's ports are on another network than yours, and here %s",
			   err.message);
}

static void ask_broker(json_t *checks, struct cli *cli, json_t *accounts) {
	json_t *body = json_pack("{s:O}", API_SERVICE_ACCOUNTS, accounts), *reply = NULL;
	int64_t asked_at = (int64_t)time(NULL);
	struct error err = { 0 };

	if (client_try(cli, API_PATH_DOCTOR, body, &reply, &err) == 0) {
		check_network(checks, (uint64_t)json_integer_value(json_object_get(reply, API_NETWORK)));
		check_clock(checks, json_integer_value(json_object_get(reply, API_TIME)), asked_at);
		json_array_extend(checks, json_object_get(reply, API_CHECKS));
	} else {
		checks_add(checks, "doctor", "fail", err.code == ERR_NOT_FOUND ? "hallpassd is older than this command: restart it" : NULL, "%s", err.message);
	}
	json_decref(reply);
	json_decref(body);
}

/* Where `run` keeps what must be on no disk. */
static void check_tmpfs(json_t *checks) {
	struct private private;
	struct error err;

	if (private_make(&private, &err) == 0)
		checks_add(checks, "files", "ok", NULL, "token files go to tmpfs, below %.*s", (int)(strrchr(private.dir, '/') - private.dir), private.dir);
	else
		checks_add(checks, "files", "fail", "set XDG_RUNTIME_DIR to a directory of yours on tmpfs, like /run/user/$(id -u)", "%s", err.message);
	private_remove(&private);
}

/* --- telling */

static const struct look {
	const char *status, *word;
	enum color color;
} looks[] = { { "ok", "ok", COLOR_GREEN }, { "warn", "warn", COLOR_YELLOW }, { "fail", "FAIL", COLOR_RED }, { "note", "note", COLOR_DIM } };

static const struct look *look_of(const char *status) {
	for (size_t i = 0; i < ARRAY_SIZE(looks); i++)
		if (!strcmp(looks[i].status, status))
			return &looks[i];
	return &looks[3];
}

static size_t count(const json_t *checks, const char *status) {
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(checks); i++)
		n += !strcmp(text_of(json_array_get(checks, i), "status"), status);
	return n;
}

/* Remedies are not folded: most are commands, to be copied whole. */
static void print_check(const struct cli *cli, const json_t *check) {
	const struct look *look = look_of(text_of(check, "status"));
	const char *account = text_of(check, API_SERVICE_ACCOUNT);
	struct buf text = BUF_INIT(65536);

	buf_addf(&text, "%s%s%s", out_safe(account), *account ? ": " : "", out_safe(text_of(check, "text")));
	printf("%s%-4s%s %-13s  ", out_color(cli, look->color), look->word, out_color(cli, COLOR_NONE), out_safe(text_of(check, "id")));
	out_folded(stdout, INDENT, text.data ? text.data : "");
	if (*text_of(check, "remedy"))
		printf("%*s%s= %s%s\n", INDENT, "", out_color(cli, COLOR_BOLD), out_safe(text_of(check, "remedy")), out_color(cli, COLOR_NONE));
	buf_fini(&text);
}

/* A note may be that something could not be looked at. */
static void print_sum(const struct cli *cli, size_t failed, size_t warned, size_t noted) {
	const char *color = out_color(cli, failed ? COLOR_RED : warned ? COLOR_YELLOW : COLOR_GREEN);

	if (!failed && !warned)
		printf("%sall is well%s%s\n", color, noted ? ", but for what the notes say" : "", out_color(cli, COLOR_NONE));
	else
		printf("%s%zu failure%s, %zu warning%s%s\n", color, failed, failed == 1 ? "" : "s", warned, warned == 1 ? "" : "s",
		       out_color(cli, COLOR_NONE));
}

static int tell(const struct cli *cli, json_t *checks, int code) {
	size_t failed = count(checks, "fail"), warned = count(checks, "warn");
	json_t *json;

	if (cli->json) {
		json = json_pack("{s:b, s:i, s:i, s:O}", "ok", failed == 0, "failures", (int)failed, "warnings", (int)warned, API_CHECKS, checks);
		out_json(json);
		json_decref(json);
	} else {
		for (size_t i = 0; i < json_array_size(checks); i++)
			print_check(cli, json_array_get(checks, i));
		print_sum(cli, failed, warned, count(checks, "note"));
	}
	return code != API_EXIT_OK ? code : failed ? API_EXIT_FAILED : API_EXIT_OK;
}

int cmd_doctor(struct cli *cli) {
	json_t *checks = json_array(), *accounts = json_array();
	int code = check_broker(checks, cli);

	if (code == API_EXIT_OK)
		code = check_caller(checks, cli);
	if (code == API_EXIT_OK) {
		find_accounts(checks, cli, accounts);
		ask_broker(checks, cli, accounts);
	}
	check_tmpfs(checks);
	checks_leftovers(checks);
	code = tell(cli, checks, code);
	json_decref(accounts);
	json_decref(checks);
	return code;
}
