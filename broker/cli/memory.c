/* See memory.h. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/cli/memory.h"
#include "broker/file.h"
#include "hallpass/buf.h"

#define MEMORY_MAX (1 << 20)

int memory_path(char path[MEMORY_PATH_MAX], struct error *err) {
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n;

	if (config && *config == '/')
		n = snprintf(path, MEMORY_PATH_MAX, "%s/hallpass/helpers.json", config);
	else if (home && *home == '/')
		n = snprintf(path, MEMORY_PATH_MAX, "%s/.config/hallpass/helpers.json", home);
	else
		return error_set(err, ERR_INVALID, "HOME is not set, so there is no place for your configuration");
	return n < MEMORY_PATH_MAX ? 0 : error_set(err, ERR_INVALID, "HOME is too long");
}

json_t *memory_parse(const char *path, const char *text, struct error *err) {
	json_error_t at;
	json_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, &at) : json_object();

	if (json_is_object(json))
		return json;
	if (json)
		error_set(err, ERR_INVALID, "%s: an object is expected", path);
	else
		error_set(err, ERR_INVALID, "%s:%d:%d: %s", path, at.line, at.column, at.text);
	json_decref(json);
	return NULL;
}

void memory_host(const char *host, char out[MEMORY_HOST_MAX]) {
	snprintf(out, MEMORY_HOST_MAX, "%.*s", (int)strcspn(host, ":"), host);
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

int memory_account(const char *host, char *out, size_t size, struct error *err) {
	char path[MEMORY_PATH_MAX], name[MEMORY_HOST_MAX], *text = NULL;
	size_t len;
	json_t *memory;

	out[0] = '\0';
	memory_host(host, name);
	if (memory_path(path, err) < 0)
		return -1;
	if (file_read(path, MEMORY_MAX, &text, &len, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	memory = memory_parse(path, text, err);
	free(text);
	if (!memory)
		return -1;
	snprintf(out, size, "%s", json_is_string(json_object_get(json_object_get(memory, "accounts"), name))
					  ? json_string_value(json_object_get(json_object_get(memory, "accounts"), name))
					  : "");
	json_decref(memory);
	return 0;
}

json_t *memory_object(json_t *memory, const char *key) {
	if (!json_is_object(json_object_get(memory, key)))
		json_object_set_new(memory, key, json_object());
	return json_object_get(memory, key);
}

static void prune(json_t *object) {
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(object, next, key, value) {
		if (!json_is_object(value))
			continue;
		prune(value);
		if (json_object_size(value) == 0)
			json_object_del(object, key);
	}
}

char *memory_text(json_t *memory) {
	struct buf out = BUF_INIT(MEMORY_MAX);
	char *text;

	prune(memory);
	if (json_object_size(memory) == 0)
		return NULL;
	text = json_dumps(memory, JSON_INDENT(2));
	buf_adds(&out, text ? text : "");
	buf_adds(&out, "\n");
	free(text);
	return buf_take(&out);
}
