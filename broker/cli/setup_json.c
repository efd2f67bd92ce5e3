/* Members of JSON objects, changed by place: layout, order and everything else stay. See setup.h. */

#include <stdlib.h>
#include <string.h>
#include "broker/cli/setup.h"

int setup_json_check(const struct setup_file *file, struct error *err) {
	json_error_t at;
	json_t *json = json_loadb(file->before, file->n_before, JSON_REJECT_DUPLICATES, &at);
	bool object = json_is_object(json);

	if (json && !object)
		error_set(err, ERR_INVALID, "%s: a JSON object is expected", file->path);
	if (!json) /* not "… near '…'": that may be a password */
		error_set(err, ERR_INVALID, "%s:%d:%d: %.*s; it has to be right before it is added to", file->path, at.line, at.column,
			  (int)(strstr(at.text, " near ") ? strstr(at.text, " near ") - at.text : (long)strlen(at.text)), at.text);
	json_decref(json);
	return object ? 0 : -1;
}

/* --- where things are; the text is valid JSON */

struct member {
	size_t key, key_end, value, value_end;
};

static size_t skip_space(const struct buf *text, size_t at) {
	while (at < text->len && strchr(" \t\r\n", text->data[at]))
		at++;
	return at;
}

static size_t skip_string(const struct buf *text, size_t at) {
	for (at++; at < text->len && text->data[at] != '"'; at++)
		at += text->data[at] == '\\';
	return at + 1;
}

static size_t skip_value(const struct buf *text, size_t at) {
	size_t depth = 0;

	do {
		char c = text->data[at];

		if (c == '"') {
			at = skip_string(text, at);
			continue;
		}
		if (!depth && strchr(" \t\r\n,]}", c))
			break;
		depth += c == '{' || c == '[';
		depth -= depth && (c == '}' || c == ']');
		at++;
		if (!depth && (c == '}' || c == ']'))
			break;
	} while (at < text->len && (depth || !strchr(" \t\r\n,]}", text->data[at])));
	return at;
}

/* The first member, or the one behind *m. */
static bool next_member(const struct buf *text, size_t object, struct member *m) {
	size_t at = skip_space(text, m->value_end ? m->value_end : object + 1);

	if (m->value_end && text->data[at] == ',')
		at = skip_space(text, at + 1);
	if (text->data[at] != '"')
		return false;
	m->key = at;
	m->key_end = skip_string(text, at);
	m->value = skip_space(text, skip_space(text, m->key_end) + 1);
	m->value_end = skip_value(text, m->value);
	return true;
}

/* A string of the text, decoded: malloc'd, NULL where it is none. */
static char *decode(const struct buf *text, size_t at, size_t end) {
	json_t *json = json_loadb(text->data + at, end - at, JSON_DECODE_ANY, NULL);
	char *s = json_is_string(json) ? strdup(json_string_value(json)) : NULL;

	json_decref(json);
	return s;
}

/* *before: the end of the member before it, or 0. */
static bool find(const struct buf *text, size_t object, const char *key, struct member *m, size_t *before) {
	*m = (struct member){ 0 };
	for (*before = 0; next_member(text, object, m); *before = m->value_end) {
		char *name = decode(text, m->key, m->key_end);
		bool same = name && !strcmp(name, key);

		free(name);
		if (same)
			return true;
	}
	return false;
}

size_t setup_json_root(const struct buf *text) {
	return skip_space(text, 0);
}

size_t setup_json_object(const struct buf *text, size_t object, const char *key) {
	struct member m;
	size_t before;

	return find(text, object, key, &m, &before) && text->data[m.value] == '{' ? m.value : JSON_NOWHERE;
}

char *setup_json_string(const struct buf *text, size_t object, const char *key) {
	struct member m;
	size_t before;

	return find(text, object, key, &m, &before) ? decode(text, m.value, m.value_end) : NULL;
}

bool setup_json_has(const struct buf *text, size_t object, const char *key) {
	struct member m;
	size_t before;

	return find(text, object, key, &m, &before);
}

bool setup_json_is_empty(const struct buf *text, size_t object) {
	return text->data[skip_space(text, object + 1)] == '}';
}

void setup_json_each(const struct buf *text, size_t object, void (*each)(void *arg, const char *key, const char *value), void *arg) {
	struct member m = { 0 };

	while (next_member(text, object, &m)) {
		char *key = decode(text, m.key, m.key_end), *value = decode(text, m.value, m.value_end);

		if (key && value)
			each(arg, key, value);
		free(key);
		free(value);
	}
}

/* --- changing them */

/* The blanks behind the last line end of a stretch: how its next line is indented. {NULL, 0}: it has no line end. */
static struct str indent_of(const struct buf *text, size_t from, size_t to) {
	for (size_t at = to; at > from; at--)
		if (text->data[at - 1] == '\n')
			return (struct str){ text->data + at, to - at };
	return (struct str){ NULL, 0 };
}

static void add_member(struct buf *out, const char *key, const char *value, struct str indent) {
	buf_add_json(out, key, strlen(key));
	buf_adds(out, ": ");
	if (!strcmp(value, "{}") && indent.p) { /* laid out for what will stand in it */
		buf_adds(out, "{\n");
		buf_add(out, indent.p, indent.n);
		buf_adds(out, "}");
	} else {
		buf_adds(out, value);
	}
}

/* As the first, in front of the one that was, with the blanks between them that stood before that. */
static void put_first(struct buf *text, size_t object, const char *key, const char *value) {
	size_t next = skip_space(text, object + 1);
	struct buf member = BUF_INIT(text->max);

	add_member(&member, key, value, indent_of(text, object, next));
	buf_addc(&member, ',');
	if (next > object + 1)
		buf_add(&member, text->data + object + 1, next - object - 1);
	else
		buf_addc(&member, ' ');
	setup_splice(text, next, 0, member.data, member.len);
	buf_fini(&member);
}

/* As the only one: on a line of its own, indented deeper than the brace, where the braces are on two lines. */
static void put_only(struct buf *text, size_t object, const char *key, const char *value) {
	struct str brace = indent_of(text, object, skip_space(text, object + 1)), indent = { NULL, 0 };
	struct buf member = BUF_INIT(text->max), deeper = BUF_INIT(text->max);

	if (brace.p) {
		buf_add(&deeper, brace.p, brace.n);
		if (brace.n)
			buf_add(&deeper, brace.p, brace.n);
		else
			buf_addc(&deeper, '\t');
		indent = (struct str){ deeper.data, deeper.len };
		buf_addc(&member, '\n');
		buf_add(&member, deeper.data, deeper.len);
	}
	add_member(&member, key, value, indent);
	setup_splice(text, object + 1, 0, member.data, member.len);
	buf_fini(&member);
	buf_fini(&deeper);
}

void setup_json_put(struct buf *text, size_t object, const char *key, const char *value) {
	struct member m;
	size_t before;

	if (find(text, object, key, &m, &before))
		setup_splice(text, m.value, m.value_end - m.value, value, strlen(value));
	else if (setup_json_is_empty(text, object))
		put_only(text, object, key, value);
	else
		put_first(text, object, key, value);
}

/* The reverse of putting it there, wherever it stands now. */
void setup_json_remove(struct buf *text, size_t object, const char *key) {
	struct member m;
	size_t before, from, to;

	if (!find(text, object, key, &m, &before))
		return;
	from = before ? before : m.key;
	to = m.value_end;
	if (!before) {
		struct member next = m;

		if (next_member(text, object, &next))
			to = next.key;
		else
			from = object + 1;
	}
	setup_splice(text, from, to - from, "", 0);
}
