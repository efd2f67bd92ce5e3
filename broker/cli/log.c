/* hallpass log: the record, read from its own files. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "broker/audit/reader.h"
#include "broker/cli/cli.h"

#define FOLLOW_MS 200

struct view {
	struct cli *cli;
	struct table table;
	json_t *last; /* with --lines: the latest N that fit */
	size_t lines;
	bool headed;
};

static const char *text_of(const json_t *object, const char *key) {
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static bool wanted(const struct cli *cli, const json_t *record) {
	const char *who = cli->values[OPT_WHO], *target = cli->values[OPT_TARGET], *result = cli->values[OPT_RESULT];

	return (!who || strstr(text_of(record, "principal"), who)) &&
	       (!target || strstr(text_of(record, "target"), target)) &&
	       (!result || !strcmp(text_of(record, "type"), result));
}

static enum color color_of(const char *type) {
	static const struct {
		const char *type;
		enum color color;
	} colors[] = {
		{ "issued", COLOR_GREEN }, { "denied", COLOR_RED }, { "failed", COLOR_RED },
		{ "unknown", COLOR_YELLOW }, { "recovered", COLOR_YELLOW }, { "late", COLOR_YELLOW },
	};

	for (size_t i = 0; i < sizeof(colors) / sizeof(colors[0]); i++)
		if (!strcmp(colors[i].type, type))
			return colors[i].color;
	return COLOR_DIM;
}

/* What is most worth knowing of this record, in a few words. */
static void detail_of(const json_t *r, struct buf *out) {
	json_int_t life = json_integer_value(json_object_get(r, "lifetime"));

	if (life) {
		out_span(life, out);
		buf_addf(out, " by %s", text_of(r, "boundBy"));
		if (json_is_true(json_object_get(r, "cached")))
			buf_adds(out, ", cached");
		if (json_is_false(json_object_get(r, "delivered")))
			buf_adds(out, ", not delivered");
	} else if (*text_of(r, "reason")) {
		buf_adds(out, text_of(r, "reason"));
	} else if (*text_of(r, "policy")) {
		buf_addf(out, "policy %.12s…", text_of(r, "policy"));
	}
	if (!buf_ok(out) || !out->data)
		buf_adds(out, "");
}

static void print_row(struct view *v, const json_t *r) {
	static const char *const heads[] = { "TIME", "RESULT", "WHO", "ACCOUNT", "BINDING", "DETAIL" };
	struct buf detail = BUF_INIT(1024);
	char when[32];

	for (size_t i = 0; i < 6 && !v->headed; i++)
		table_add(&v->table, COLOR_DIM, heads[i]);
	v->headed = true;
	snprintf(when, sizeof(when), "%.19sZ", text_of(r, "time"));
	table_add(&v->table, COLOR_DIM, when);
	table_add(&v->table, color_of(text_of(r, "type")), text_of(r, "type"));
	table_add(&v->table, COLOR_NONE, text_of(r, "principal"));
	table_add(&v->table, COLOR_BOLD, text_of(r, "target"));
	table_add(&v->table, COLOR_NONE, text_of(r, "binding"));
	detail_of(r, &detail);
	table_add(&v->table, COLOR_NONE, detail.data);
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

static void consider(struct view *v, struct str text) {
	json_t *record = json_loadb(text.p, text.n, 0, NULL);

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

static int read_all(struct view *v, struct audit_reader *reader, struct error *err) {
	struct str record;
	uint64_t index;
	int r;

	while ((r = audit_reader_next(reader, &record, &index, err)) > 0)
		consider(v, record);
	for (size_t i = 0; i < json_array_size(v->last); i++)
		show(v, json_array_get(v->last, i));
	json_array_clear(v->last);
	v->lines = 0;
	if (!v->cli->json)
		table_print(&v->table);
	fflush(stdout);
	return r;
}

/* The running broker knows where it keeps the record. */
static int find_dir(struct cli *cli, char *dir, size_t size) {
	json_t *reply;
	int r;

	if (cli->values[OPT_DIR]) {
		snprintf(dir, size, "%s", cli->values[OPT_DIR]);
		return API_EXIT_OK;
	}
	r = client_call(cli, API_PATH_STATUS, NULL, &reply);
	if (r != API_EXIT_OK)
		return r;
	snprintf(dir, size, "%s", text_of(json_object_get(reply, "audit"), "directory"));
	json_decref(reply);
	return API_EXIT_OK;
}

static int fail(struct cli *cli, const struct error *err) {
	out_error(cli, "failed", err->message, NULL);
	return err->code == ERR_INVALID ? API_EXIT_FAILED : API_EXIT_UNREACHABLE;
}

int cmd_log(struct cli *cli) {
	static struct view v;
	struct audit_reader *reader = NULL;
	struct error err = { 0 };
	char dir[1024];
	int r = find_dir(cli, dir, sizeof(dir));

	if (r != API_EXIT_OK)
		return r;
	v.cli = cli;
	v.last = json_array();
	v.lines = cli->values[OPT_LINES] ? strtoul(cli->values[OPT_LINES], NULL, 10) : 0;
	table_init(&v.table, cli, 6);
	if (audit_reader_open(dir, &reader, &err) < 0)
		return fail(cli, &err);
	while ((r = read_all(&v, reader, &err)) == 0 && cli->values[OPT_FOLLOW])
		nanosleep(&(struct timespec){ 0, FOLLOW_MS * 1000000 }, NULL);
	audit_reader_free(reader);
	json_decref(v.last);
	return r < 0 ? fail(cli, &err) : API_EXIT_OK;
}
