/* hallpass log: the record, read from its own files. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "broker/audit/reader.h"
#include "broker/audit/record.h"
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"

#define FOLLOW_MS 200

struct view {
	struct cli *cli;
	struct table table;
	json_t *last; /* with --lines: the latest N that fit */
	size_t lines;
};

static bool type_is_known(struct str type) {
	for (int i = RECORD_INTENT; i < N_RECORD_TYPES; i++)
		if (str_eq(str_of(record_type_name((enum record_type)i)), type))
			return true;
	return false;
}

/* Takes the first of those with commas between from the list. False: there is none left. */
static bool next_type(const char **list, struct str *type) {
	if (!*list)
		return false;
	*type = (struct str){ *list, strcspn(*list, ",") };
	*list = type->p[type->n] ? type->p + type->n + 1 : NULL;
	return true;
}

static bool among(const char *list, const char *name) {
	struct str type;

	while (next_type(&list, &type))
		if (str_eq(type, str_of(name)))
			return true;
	return false;
}

/* Whom no rule knows is still a uid. */
static const char *who_of(const json_t *record, char text[static 32]) {
	const json_t *uid = json_object_get(record, "uid");

	text[0] = '\0';
	if (*text_of(record, "principal"))
		return text_of(record, "principal");
	if (json_is_integer(uid))
		snprintf(text, 32, "uid:%lld", (long long)json_integer_value(uid));
	return text;
}

static bool wanted(const struct cli *cli, const json_t *record) {
	const char *who = cli->values[OPT_WHO], *target = cli->values[OPT_TARGET], *result = cli->values[OPT_RESULT];
	char text[32];

	return (!who || strstr(who_of(record, text), who)) &&
	       (!target || strstr(text_of(record, "target"), target)) &&
	       (!result || among(result, text_of(record, "type")));
}

static enum color color_of(const char *type) {
	static const struct {
		const char *type;
		enum color color;
	} colors[] = {
		{ "issued", COLOR_GREEN }, { "denied", COLOR_RED }, { "failed", COLOR_RED },
		{ "unknown", COLOR_YELLOW }, { "recovered", COLOR_YELLOW }, { "late", COLOR_YELLOW },
	};

	for (size_t i = 0; i < ARRAY_SIZE(colors); i++)
		if (!strcmp(colors[i].type, type))
			return colors[i].color;
	return COLOR_DIM;
}

/* A relay's port is where it listens, which is not here. */
static void session_of(const json_t *r, struct buf *out) {
	buf_addf(out, json_is_true(json_object_get(r, "relayed")) ? "session of a relay at port %lld" : "session at port %lld",
		 (long long)json_integer_value(json_object_get(r, "port")));
}

static void session_end_of(const json_t *r, struct buf *out) {
	json_int_t tokens = json_integer_value(json_object_get(r, "tokens"));

	buf_addf(out, "%s: ", text_of(r, "reason"));
	session_of(r, out);
	buf_addf(out, " gave %lld token%s", (long long)tokens, tokens == 1 ? "" : "s");
}

static void looked_at(const json_t *r, struct buf *out) {
	const json_t *accounts = json_object_get(r, "also");

	buf_adds(out, "looked at ");
	for (size_t i = 0; i < json_array_size(accounts); i++)
		buf_addf(out, "%s%s", i ? ", " : "", json_string_value(json_array_get(accounts, i)));
	if (!json_array_size(accounts))
		buf_adds(out, "no account");
}

/* What was given, where it is no token, and for how long. */
static void issued_of(const json_t *r, struct buf *out) {
	json_int_t life = json_integer_value(json_object_get(r, "lifetime"));

	if (*text_of(r, "payload"))
		buf_addf(out, "%s %.12s…%s", life ? "JWT of claims" : "signature of blob", text_of(r, "payload"), life ? ", " : "");
	if (life)
		out_span(life, out);
	if (*text_of(r, "boundBy"))
		buf_addf(out, " by %s", text_of(r, "boundBy"));
	buf_adds(out, json_is_true(json_object_get(r, "cached")) ? ", cached" : "");
	buf_adds(out, json_is_false(json_object_get(r, "delivered")) ? ", not delivered" : "");
}

static void detail_of(const json_t *r, struct buf *out) {
	bool issuing = !strcmp(text_of(r, "type"), "issued") || !strcmp(text_of(r, "type"), "intent");

	if (issuing && (json_object_get(r, "lifetime") || *text_of(r, "payload"))) {
		issued_of(r, out);
	} else if (!strcmp(text_of(r, "type"), "opened")) {
		session_of(r, out);
	} else if (!strcmp(text_of(r, "type"), "doctor")) {
		looked_at(r, out);
	} else if (!strcmp(text_of(r, "type"), "closed")) {
		session_end_of(r, out);
	} else if (!strcmp(text_of(r, "type"), "denied") && *text_of(r, "reason")) {
		buf_adds(out, text_of(r, "reason")); /* `why` has the sentence */
	} else if (*text_of(r, "reason")) {
		buf_addf(out, "%s%s%s", text_of(r, "reason"), *text_of(r, "error") ? ": " : "", text_of(r, "error"));
		if (!strcmp(text_of(r, "reason"), "RELOADED"))
			buf_addf(out, ": policy %.12s…", text_of(r, "policy"));
	} else if (*text_of(r, "error")) {
		buf_adds(out, text_of(r, "error"));
	} else if (*text_of(r, "file")) {
		buf_addf(out, "%lld bytes of %s were no whole frame and do not count",
			 (long long)json_integer_value(json_object_get(r, "bytes")), text_of(r, "file"));
	} else if (*text_of(r, "policy")) {
		buf_addf(out, "policy %.12s…", text_of(r, "policy"));
	}
}

/* Local time, since the reader of a table has a clock on the wall; --json has the record's own UTC. */
static void when_of(const json_t *r, char *out, size_t size) {
	int64_t at = cli_parse_time(text_of(r, "time"), 0);
	time_t t = (time_t)at;
	struct tm tm;

	if (at < 0 || !localtime_r(&t, &tm) || !strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(out, size, "?");
}

static void print_row(struct view *v, const json_t *r) {
	struct buf detail = BUF_INIT(8192);
	char when[64], who[32];

	when_of(r, when, sizeof(when));
	table_add(&v->table, COLOR_DIM, when);
	table_add(&v->table, color_of(text_of(r, "type")), text_of(r, "type"));
	table_add(&v->table, COLOR_NONE, who_of(r, who));
	table_add(&v->table, COLOR_BOLD, text_of(r, "target"));
	table_add(&v->table, COLOR_NONE, text_of(r, "binding"));
	detail_of(r, &detail);
	table_add(&v->table, COLOR_NONE, detail.data ? detail.data : "");
	buf_fini(&detail);
}

static void show(struct view *v, const json_t *record) {
	char *text;

	if (!v->cli->json) {
		print_row(v, record);
		return;
	}
	text = json_dumps(record, JSON_COMPACT);
	if (text)
		puts(text);
	free(text);
}

static void consider(struct str text, uint64_t index, void *arg) {
	json_t *record = json_loadb(text.p, text.n, 0, NULL);
	struct view *v = arg;

	(void)index;
	if (record && wanted(v->cli, record)) {
		if (v->lines) {
			json_array_append(v->last, record);
			if (json_array_size(v->last) > v->lines)
				json_array_remove(v->last, 0);
		} else {
			show(v, record);
		}
	}
	json_decref(record);
}

static void flush(struct view *v) {
	for (size_t i = 0; i < json_array_size(v->last); i++)
		show(v, json_array_get(v->last, i));
	json_array_clear(v->last);
	v->lines = 0;
	if (!v->cli->json)
		table_print(&v->table);
	fflush(stdout);
}

/* Where a broker of one's own, or the machine's, keeps it by default: for reading while none runs. */
static bool default_dir(char *dir, size_t size) {
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state && *state == '/')
		snprintf(dir, size, "%s/hallpass/audit", state);
	else
		snprintf(dir, size, "%s/.local/state/hallpass/audit", home ? home : "");
	if (access(dir, R_OK) == 0)
		return true;
	snprintf(dir, size, "/var/lib/hallpass/audit");
	return access(dir, R_OK) == 0;
}

int log_find_dir(struct cli *cli, const char *named, char *dir, size_t size) {
	struct error err = { 0 };
	json_t *reply = NULL;
	int r = API_EXIT_OK;

	if (named)
		snprintf(dir, size, "%s", named);
	else if (client_try(cli, API_PATH_STATUS, NULL, &reply, &err) == 0)
		snprintf(dir, size, "%s", text_of(json_object_get(reply, "audit"), "directory"));
	else if (err.code != ERR_NOT_FOUND || !default_dir(dir, size))
		r = client_tell(cli, &err, reply);
	json_decref(reply);
	return r;
}

int log_failed(struct cli *cli, enum opt named_by, const struct error *err) {
	bool corrupt = err->code == ERR_INVALID, denied = err->code == ERR_DENIED;
	char hint[128];

	snprintf(hint, sizeof(hint), "--%s DIR names the audit directory; who may read it may read the record", opt_defs[named_by].name);
	out_error(cli, err->code, corrupt ? "corrupt" : denied ? "denied" : "failed", err->message, corrupt ? NULL : hint);
	return corrupt ? API_EXIT_FAILED : denied ? API_EXIT_DENIED : API_EXIT_UNREACHABLE;
}

static int options_check(struct cli *cli, size_t *lines) {
	const char *text = cli->values[OPT_LINES], *types = cli->values[OPT_RESULT];
	struct str type;
	char *end = NULL;

	*lines = text ? strtoul(text, &end, 10) : 0;
	if (text && (*end || *text < '0' || *text > '9' || *lines < 1 || *lines > 1000000))
		return help_usage_error(cli->command, "--lines is a number from 1 to 1000000, not \"%s\"", text);
	while (next_type(&types, &type))
		if (!type_is_known(type))
			return help_usage_error(cli->command, "no record has the type \"%.*s\"; they are %s", (int)type.n, type.p,
						opt_defs[OPT_RESULT].values);
	return -1;
}

int cmd_log(struct cli *cli) {
	static const char *const heads[] = { "TIME", "RESULT", "WHO", "ACCOUNT", "BINDING", "DETAIL" };
	static struct view v;
	struct audit_reader *reader = NULL;
	struct error err = { 0 };
	char dir[1024];
	int r = options_check(cli, &v.lines);

	if (r >= 0 || (r = log_find_dir(cli, cli->values[OPT_DIR], dir, sizeof(dir))) != API_EXIT_OK)
		return r;
	if (audit_reader_open(dir, &reader, &err) < 0)
		return log_failed(cli, OPT_DIR, &err);
	v.cli = cli;
	v.last = json_array();
	if (!cli->json)
		table_init(&v.table, cli, heads, ARRAY_SIZE(heads));
	r = audit_reader_whole(reader, consider, &v, &err);
	flush(&v);
	while (r == 0 && cli->values[OPT_FOLLOW]) {
		nanosleep(&(struct timespec){ 0, FOLLOW_MS * 1000000 }, NULL);
		r = audit_reader_each(reader, consider, &v, &err);
		flush(&v);
	}
	audit_reader_free(reader);
	json_decref(v.last);
	return r < 0 ? log_failed(cli, OPT_DIR, &err) : API_EXIT_OK;
}
