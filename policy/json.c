/* See json.h. */

#include <stdlib.h>
#include "hallpass/buf.h"
#include "hallpass/json.h"
#include "hallpass/utf8.h"

json_t *time_json(int64_t t) {
	char text[64];
	struct buf b = BUF_ON(text);

	if (t == INT64_MAX)
		return json_null();
	buf_add_time(&b, t);
	return json_string(text);
}

json_t *strings_json(const char *const *list, size_t n) {
	json_t *json = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(json, json_string(list[i]));
	return json;
}

json_t *text_json(const char *text) {
	char *copy = strdup(text);
	size_t n = copy ? strlen(copy) : 0;
	json_t *json;

	for (size_t i = 0, len; i < n; i += len) {
		len = utf8_length((const unsigned char *)copy + i, n - i);
		if (len)
			continue;
		copy[i] = '?';
		len = 1;
	}
	json = copy ? json_string(copy) : NULL;
	free(copy);
	return json;
}

const char *text_of(const json_t *object, const char *key) {
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

bool list_has(const json_t *list, const char *text) {
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *item = json_string_value(json_array_get(list, i));

		if (item && !strcmp(item, text))
			return true;
	}
	return false;
}
