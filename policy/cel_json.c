/* See cel_json.h. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "hallpass/base64.h"
#include "policy/cel_internal.h"
#include "policy/cel_json.h"

#define MAX_DEPTH 200 /* of a value: three levels of JSON each, of which jansson reads and writes 2048 */
#define WELL_KNOWN "type.googleapis.com/google.protobuf."

/* ---- types ---- */

static const struct {
	const char *name;
	const struct cel_type *type;
} primitives[] = {
	{ "BOOL", &cel_bool },	   { "INT64", &cel_int },     { "UINT64", &cel_uint },
	{ "DOUBLE", &cel_double }, { "STRING", &cel_string }, { "BYTES", &cel_bytes },
};

/* Messages that CEL sees as something else; wraps: what may also be null. */
static const struct {
	const char *name;
	const struct cel_type *wraps, *type;
} messages[] = {
	{ "google.protobuf.Timestamp", NULL, &cel_timestamp },
	{ "google.protobuf.Duration", NULL, &cel_duration },
	{ "google.protobuf.Value", NULL, &cel_dyn },
	{ "google.protobuf.Any", NULL, &cel_dyn },
	{ "google.protobuf.ListValue", NULL, &cel_list_dyn },
	{ "google.protobuf.Struct", NULL, &cel_map_string_dyn },
	{ "google.protobuf.BoolValue", &cel_bool, NULL },
	{ "google.protobuf.BytesValue", &cel_bytes, NULL },
	{ "google.protobuf.DoubleValue", &cel_double, NULL },
	{ "google.protobuf.FloatValue", &cel_double, NULL },
	{ "google.protobuf.Int32Value", &cel_int, NULL },
	{ "google.protobuf.Int64Value", &cel_int, NULL },
	{ "google.protobuf.StringValue", &cel_string, NULL },
	{ "google.protobuf.UInt32Value", &cel_uint, NULL },
	{ "google.protobuf.UInt64Value", &cel_uint, NULL },
};

static const struct cel_type *no_type(struct error *err, const char *what) {
	error_set(err, ERR_INVALID, "%s", what);
	return NULL;
}

static const struct cel_type *primitive(const json_t *name, struct error *err) {
	for (size_t i = 0; json_is_string(name) && i < ARRAY_SIZE(primitives); i++)
		if (!strcmp(primitives[i].name, json_string_value(name)))
			return primitives[i].type;
	return no_type(err, "a primitive type is BOOL, INT64, UINT64, DOUBLE, STRING or BYTES");
}

static const struct cel_type *well_known(const json_t *name, struct error *err) {
	const char *s = json_string_value(name);

	if (s && !strcmp(s, "TIMESTAMP"))
		return &cel_timestamp;
	if (s && !strcmp(s, "DURATION"))
		return &cel_duration;
	return s && !strcmp(s, "ANY") ? &cel_dyn : no_type(err, "a well-known type is ANY, TIMESTAMP or DURATION");
}

static const struct cel_type *message(struct cel_env *env, const json_t *name, struct error *err) {
	const char *s = json_string_value(name);

	if (!s || !*s)
		return no_type(err, "a messageType is the name of a message");
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (!strcmp(messages[i].name, s))
			return messages[i].type ? messages[i].type : cel_env_type(env, CEL_T_WRAPPER, messages[i].wraps, NULL);
	return cel_env_type_named(env, CEL_T_MESSAGE, s, NULL, 0);
}

static const struct cel_type *abstract(struct cel_env *env, const json_t *json, struct error *err) {
	const char *name = json_string_value(json_object_get(json, "name"));
	const json_t *list = json_object_get(json, "parameterTypes");
	const struct cel_type *params[3];
	size_t n = json_array_size(list);

	if (!name || !*name || n > ARRAY_SIZE(params))
		return no_type(err, "an abstractType has a name and at most three parameterTypes");
	for (size_t i = 0; i < n; i++)
		if (!(params[i] = cel_json_type(env, json_array_get(list, i), err)))
			return NULL;
	if (!strcmp(name, "optional_type") && n == 1)
		return cel_env_type(env, CEL_T_OPTIONAL, params[0], NULL);
	return cel_env_type_named(env, CEL_T_NAMED, name, params, (unsigned)n);
}

/* A list of its element's type, a map of its key's and its value's, a type of what it is the type of. */
static const struct cel_type *above(struct cel_env *env, enum cel_type_kind kind, const json_t *json, const char *a,
				    const char *b, struct error *err) {
	const struct cel_type *first = cel_json_type(env, json_object_get(json, a), err), *second = NULL;

	if (!first || (b && !(second = cel_json_type(env, json_object_get(json, b), err))))
		return NULL;
	return cel_env_type(env, kind, first, second);
}

/* Depth: jansson's own limit. */
static const struct cel_type *type_of(struct cel_env *env, const char *form, const json_t *of, struct error *err) {
	if (!strcmp(form, "dyn"))
		return &cel_dyn;
	if (!strcmp(form, "null"))
		return &cel_null;
	if (!strcmp(form, "primitive"))
		return primitive(of, err);
	if (!strcmp(form, "wellKnown"))
		return well_known(of, err);
	if (!strcmp(form, "messageType"))
		return message(env, of, err);
	if (!strcmp(form, "abstractType"))
		return abstract(env, of, err);
	if (!strcmp(form, "listType"))
		return above(env, CEL_T_LIST, of, "elemType", NULL, err);
	if (!strcmp(form, "mapType"))
		return above(env, CEL_T_MAP, of, "keyType", "valueType", err);
	if (!strcmp(form, "wrapper")) {
		const struct cel_type *wraps = primitive(of, err);

		return wraps ? cel_env_type(env, CEL_T_WRAPPER, wraps, NULL) : NULL;
	}
	if (!strcmp(form, "typeParam") && json_is_string(of))
		return cel_env_type_named(env, CEL_T_PARAM, json_string_value(of), NULL, 0);
	if (!strcmp(form, "type")) {
		const struct cel_type *type = json_object_size(of) ? cel_json_type(env, of, err) : &cel_dyn;

		return type ? cel_env_type(env, CEL_T_TYPE, type, NULL) : NULL;
	}
	error_set(err, ERR_INVALID, "\"%.40s\" is no form of a type", form);
	return NULL;
}

const struct cel_type *cel_json_type(struct cel_env *env, const json_t *json, struct error *err) {
	void *member = json_object_iter((json_t *)(uintptr_t)json);

	if (json_object_size(json) != 1)
		return no_type(err, "a type is an object with one member, such as {\"primitive\": \"INT64\"}");
	error_set(err, ERR_INTERNAL, "out of memory");
	return type_of(env, json_object_iter_key(member), json_object_iter_value(member), err);
}

static const char *primitive_name(const struct cel_type *type) {
	for (size_t i = 0; i < ARRAY_SIZE(primitives); i++)
		if (primitives[i].type->kind == type->kind)
			return primitives[i].name;
	return NULL;
}

static json_t *abstract_json(const struct cel_type *type) {
	json_t *params = json_array();

	for (unsigned i = 0; i < type->n; i++)
		json_array_append_new(params, cel_json_of_type(type->params[i]));
	return json_pack("{s:{s:s, s:o}}", "abstractType", "name", type->name, "parameterTypes", params);
}

/* Depth: the checker's, of a type. */
json_t *cel_json_of_type(const struct cel_type *type) {
	switch (type->kind) {
	case CEL_T_NULL:
		return json_pack("{s:n}", "null");
	case CEL_T_TIMESTAMP:
		return json_pack("{s:s}", "wellKnown", "TIMESTAMP");
	case CEL_T_DURATION:
		return json_pack("{s:s}", "wellKnown", "DURATION");
	case CEL_T_LIST:
		return json_pack("{s:{s:o}}", "listType", "elemType", cel_json_of_type(type->params[0]));
	case CEL_T_MAP:
		return json_pack("{s:{s:o, s:o}}", "mapType", "keyType", cel_json_of_type(type->params[0]), "valueType",
				 cel_json_of_type(type->params[1]));
	case CEL_T_TYPE:
		return json_pack("{s:o}", "type", type->n ? cel_json_of_type(type->params[0]) : json_object());
	case CEL_T_WRAPPER:
		return json_pack("{s:s}", "wrapper", primitive_name(type->params[0]));
	case CEL_T_MESSAGE:
		return json_pack("{s:s}", "messageType", type->name);
	case CEL_T_PARAM:
		return json_pack("{s:s}", "typeParam", type->name);
	case CEL_T_OPTIONAL:
	case CEL_T_NAMED:
		return abstract_json(type);
	default:
		return primitive_name(type) ? json_pack("{s:s}", "primitive", primitive_name(type)) :
					      json_pack("{s:{}}", "dyn");
	}
}

/* ---- values in ---- */

struct reader {
	struct cel_arena *arena;
	struct error *err;
	unsigned depth;
};

static int value_of(struct reader *r, const json_t *json, struct cel_value *out);

static int refuse(struct reader *r, const char *what) {
	return error_set(r->err, ERR_INVALID, "%s", what);
}

static void *room(struct reader *r, size_t n) {
	void *p = cel_arena_alloc(r->arena, n);

	if (!p)
		error_set(r->err, ERR_LIMIT, "the values are larger than there is room for");
	return p;
}

static int read_null(struct reader *r, const json_t *json, struct cel_value *out) {
	*out = cel_of_null();
	return json_is_null(json) || json_is_string(json) ? 0 : refuse(r, "a nullValue is null");
}

static int read_bool(struct reader *r, const json_t *json, struct cel_value *out) {
	*out = cel_of_bool(json_is_true(json));
	return json_is_boolean(json) ? 0 : refuse(r, "a boolValue is true or false");
}

/* Digits of a string or a number, within lo..hi. */
static int read_signed(struct reader *r, const json_t *json, int64_t lo, int64_t hi, struct cel_value *out) {
	const char *s = json_string_value(json);
	char *end = NULL;
	int64_t v = json_integer_value(json);

	errno = 0;
	if (s)
		v = strtoll(s, &end, 10);
	*out = cel_of_int(v);
	if (s ? errno || *end || !strchr("-0123456789", *s) || !*s : !json_is_integer(json))
		return refuse(r, "an int64Value is a string of digits, such as \"-42\"");
	return v >= lo && v <= hi ? 0 : refuse(r, "an integer is out of its range");
}

static int read_unsigned(struct reader *r, const json_t *json, uint64_t hi, struct cel_value *out) {
	const char *s = json_string_value(json);
	char *end = NULL;
	uint64_t v = (uint64_t)json_integer_value(json);

	errno = 0;
	if (s)
		v = strtoull(s, &end, 10);
	*out = cel_of_uint(v);
	if (s ? errno || *end || !strchr("0123456789", *s) || !*s : !json_is_integer(json) || json_integer_value(json) < 0)
		return refuse(r, "a uint64Value is a string of digits, such as \"42\"");
	return v <= hi ? 0 : refuse(r, "an integer is out of its range");
}

static int read_int64(struct reader *r, const json_t *json, struct cel_value *out) {
	return read_signed(r, json, INT64_MIN, INT64_MAX, out);
}

static int read_int32(struct reader *r, const json_t *json, struct cel_value *out) {
	return read_signed(r, json, INT32_MIN, INT32_MAX, out);
}

static int read_uint64(struct reader *r, const json_t *json, struct cel_value *out) {
	return read_unsigned(r, json, UINT64_MAX, out);
}

static int read_uint32(struct reader *r, const json_t *json, struct cel_value *out) {
	return read_unsigned(r, json, UINT32_MAX, out);
}

static int read_double(struct reader *r, const json_t *json, struct cel_value *out) {
	static const struct {
		const char *name;
		double value;
	} names[] = { { "NaN", NAN }, { "Infinity", INFINITY }, { "-Infinity", -INFINITY } };

	*out = cel_of_double(json_number_value(json));
	for (size_t i = 0; json_is_string(json) && i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, json_string_value(json))) {
			*out = cel_of_double(names[i].value);
			return 0;
		}
	return json_is_number(json) ? 0 : refuse(r, "a doubleValue is a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
}

static int read_string(struct reader *r, const json_t *json, struct cel_value *out) {
	if (!json_is_string(json))
		return refuse(r, "a stringValue is a string");
	*out = cel_of_string(json_string_value(json), json_string_length(json));
	return 0;
}

static int read_bytes(struct reader *r, const json_t *json, struct cel_value *out) {
	size_t n = json_string_length(json), len = 0;
	char *p = room(r, n / 4 * 3 + 2);

	if (!p)
		return -1;
	if (!json_is_string(json) || !base64_decode(json_string_value(json), n, p, &len))
		return refuse(r, "a bytesValue is base64");
	*out = cel_of_bytes(p, len);
	return 0;
}

static int read_enum(struct reader *r, const json_t *json, struct cel_value *out) {
	return read_int32(r, json_object_get(json, "value"), out);
}

/* The type itself, where there is one of that name: type(1) == it. */
static int read_type(struct reader *r, const json_t *json, struct cel_value *out) {
	const struct cel_type *known = json_is_string(json) ? cel_type_find(json_string_value(json)) : NULL;
	struct cel_type *type;

	if (!json_is_string(json))
		return refuse(r, "a typeValue is the name of a type");
	if (!known) {
		type = room(r, sizeof(*type));
		if (!type)
			return -1;
		*type = (struct cel_type){ .kind = CEL_T_NAMED, .name = json_string_value(json) };
		known = type;
	}
	*out = cel_of_type(known);
	return 0;
}

static int read_list(struct reader *r, const json_t *json, struct cel_value *out) {
	const json_t *values = json_object_get(json, "values");
	size_t n = json_array_size(values);
	struct cel_value *items = room(r, n * sizeof(*items) + 1);
	struct cel_list *list = items ? room(r, sizeof(*list)) : NULL;

	if (!list)
		return -1;
	if (!json_is_object(json) || (values && !json_is_array(values)))
		return refuse(r, "a listValue is {\"values\": [...]}");
	for (size_t i = 0; i < n; i++)
		if (value_of(r, json_array_get(values, i), &items[i]) < 0)
			return -1;
	*list = (struct cel_list){ (uint32_t)n, items };
	*out = cel_of_list(list);
	return 0;
}

static int read_map(struct reader *r, const json_t *json, struct cel_value *out) {
	const json_t *list = json_object_get(json, "entries"), *one;
	size_t n = json_array_size(list);
	struct cel_entry *entries = room(r, n * sizeof(*entries) + 1);
	const struct cel_map *map;
	int built;

	if (!entries)
		return -1;
	if (!json_is_object(json) || (list && !json_is_array(list)))
		return refuse(r, "a mapValue is {\"entries\": [{\"key\": ..., \"value\": ...}]}");
	for (size_t i = 0; i < n; i++) {
		one = json_array_get(list, i);
		if (value_of(r, json_object_get(one, "key"), &entries[i].key) < 0 ||
		    value_of(r, json_object_get(one, "value"), &entries[i].value) < 0)
			return -1;
	}
	built = cel_map_build(r->arena, entries, n, &map);
	if (built != 0)
		return refuse(r, built == CEL_MAP_BAD_KEY      ? "a map's keys are bool, int, uint or string" :
				 built == CEL_MAP_REPEATED_KEY ? "a map has a key twice" :
								 "the values are larger than there is room for");
	*out = cel_of_map(map);
	return 0;
}

static int read_timestamp(struct reader *r, const json_t *json, struct cel_value *out) {
	struct cel_timestamp t;

	if (!json_is_string(json) || !cel_time_parse(str_of(json_string_value(json)), &t))
		return refuse(r, "a Timestamp is RFC 3339, such as \"2026-11-26T12:00:00Z\"");
	*out = cel_of_timestamp(t.s, t.ns);
	return 0;
}

static int read_duration(struct reader *r, const json_t *json, struct cel_value *out) {
	int64_t d;

	if (!json_is_string(json) || !cel_duration_parse(str_of(json_string_value(json)), &d))
		return refuse(r, "a Duration is a number of seconds, such as \"90s\"");
	*out = cel_of_duration(d);
	return 0;
}

/* Value, Struct, ListValue: JSON as it is. */
static int read_json(struct reader *r, const json_t *json, struct cel_value *out) {
	(void)r;
	*out = cel_of_json(json);
	return 0;
}

static int read_struct(struct reader *r, const json_t *json, struct cel_value *out) {
	*out = cel_of_json(json);
	return json_is_object(json) ? 0 : refuse(r, "a Struct is an object");
}

static int read_list_value(struct reader *r, const json_t *json, struct cel_value *out) {
	*out = cel_of_json(json);
	return json_is_array(json) ? 0 : refuse(r, "a ListValue is an array");
}

struct form {
	const char *name;
	int (*read)(struct reader *r, const json_t *json, struct cel_value *out);
};

static const struct form objects[] = {
	{ WELL_KNOWN "Timestamp", read_timestamp },   { WELL_KNOWN "Duration", read_duration },
	{ WELL_KNOWN "BoolValue", read_bool },	      { WELL_KNOWN "BytesValue", read_bytes },
	{ WELL_KNOWN "StringValue", read_string },    { WELL_KNOWN "Int32Value", read_int32 },
	{ WELL_KNOWN "Int64Value", read_int64 },      { WELL_KNOWN "UInt32Value", read_uint32 },
	{ WELL_KNOWN "UInt64Value", read_uint64 },    { WELL_KNOWN "FloatValue", read_double },
	{ WELL_KNOWN "DoubleValue", read_double },    { WELL_KNOWN "Value", read_json },
	{ WELL_KNOWN "ListValue", read_list_value },  { WELL_KNOWN "Struct", read_struct },
};

static int read_object(struct reader *r, const json_t *json, struct cel_value *out) {
	const char *type = json_string_value(json_object_get(json, "@type"));
	const json_t *value = json_object_get(json, "value");

	if (!type || !value)
		return refuse(r, "an objectValue has an @type and a value");
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		if (!strcmp(objects[i].name, type))
			return objects[i].read(r, value, out);
	return error_set(r->err, ERR_INVALID, "there are no messages of type %.80s here", type);
}

static const struct form values[] = {
	{ "nullValue", read_null },	{ "boolValue", read_bool },   { "int64Value", read_int64 },
	{ "uint64Value", read_uint64 }, { "doubleValue", read_double }, { "stringValue", read_string },
	{ "bytesValue", read_bytes },	{ "enumValue", read_enum },   { "typeValue", read_type },
	{ "objectValue", read_object }, { "listValue", read_list },   { "mapValue", read_map },
};

static int value_of(struct reader *r, const json_t *json, struct cel_value *out) {
	void *member = json_object_iter((json_t *)(uintptr_t)json);
	int result = -1;

	if (json_object_size(json) != 1)
		return refuse(r, "a value is an object with one member, such as {\"int64Value\": \"42\"}");
	if (++r->depth > MAX_DEPTH)
		return refuse(r, "a value is nested too deeply");
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (!strcmp(values[i].name, json_object_iter_key(member))) {
			result = values[i].read(r, json_object_iter_value(member), out);
			r->depth--;
			return result;
		}
	return error_set(r->err, ERR_INVALID, "\"%.40s\" is no form of a value", json_object_iter_key(member));
}

int cel_json_value(struct cel_arena *arena, const json_t *json, struct cel_value *out, struct error *err) {
	struct reader r = { .arena = arena, .err = err };

	return value_of(&r, json, out);
}

/* ---- values out ---- */

static json_t *json_of(struct cel_value v, unsigned depth);

/* What has no form of its own in JSON, as the text that string() gives. */
static json_t *scalar_text(struct cel_value v) {
	char text[CEL_SCALAR_TEXT];

	return json_stringn(text, cel_scalar_text(v, text));
}

static json_t *double_json(double d) {
	if (isnan(d) || isinf(d))
		return json_pack("{s:s}", "doubleValue", isnan(d) ? "NaN" : d < 0 ? "-Infinity" : "Infinity");
	return json_pack("{s:f}", "doubleValue", d);
}

static json_t *bytes_json(struct cel_value v) {
	size_t n = BASE64_SIZE(v.n);
	char *text = malloc(n + 1);
	json_t *json = NULL;

	if (text) {
		base64_encode(v.s, v.n, text);
		json = json_pack("{s:s%}", "bytesValue", text, n);
	}
	free(text);
	return json;
}

static json_t *object_json(const char *type, json_t *value) {
	return json_pack("{s:{s:s, s:o}}", "objectValue", "@type", type, "value", value);
}

static json_t *list_json(struct cel_value v, unsigned depth) {
	json_t *list = json_array();

	for (uint32_t i = 0; i < cel_list_size(v); i++)
		if (json_array_append_new(list, json_of(cel_list_at(v, i), depth)) < 0) {
			json_decref(list);
			return NULL;
		}
	return json_pack("{s:{s:o}}", "listValue", "values", list);
}

static json_t *map_json(struct cel_value v, unsigned depth) {
	struct cel_map_iter iter = { 0 };
	struct cel_value key, value;
	json_t *list = json_array(), *entry;

	while (cel_map_next(v, &iter, &key, &value)) {
		entry = json_pack("{s:o, s:o}", "key", json_of(key, depth), "value", json_of(value, depth));
		if (!entry || json_array_append_new(list, entry) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{s:{s:o}}", "mapValue", "entries", list);
}

static json_t *json_of(struct cel_value v, unsigned depth) {
	if (depth > MAX_DEPTH)
		return NULL;
	switch (v.kind) {
	case CEL_NULL:
		return json_pack("{s:n}", "nullValue");
	case CEL_BOOL:
		return json_pack("{s:b}", "boolValue", v.b);
	case CEL_INT:
		return json_pack("{s:o}", "int64Value", scalar_text(v));
	case CEL_UINT:
		return json_pack("{s:o}", "uint64Value", scalar_text(v));
	case CEL_DOUBLE:
		return double_json(v.d);
	case CEL_STRING:
		return json_pack("{s:o}", "stringValue", json_stringn(v.s, v.n));
	case CEL_BYTES:
		return bytes_json(v);
	case CEL_TIMESTAMP:
		return object_json(WELL_KNOWN "Timestamp", scalar_text(v));
	case CEL_DURATION:
		return object_json(WELL_KNOWN "Duration", scalar_text(v));
	case CEL_LIST:
		return list_json(v, depth + 1);
	case CEL_MAP:
		return map_json(v, depth + 1);
	case CEL_TYPE:
		return json_pack("{s:s}", "typeValue", v.type->name);
	case CEL_OPTIONAL:
		return object_json("optional_type", v.some ? json_of(*v.some, depth + 1) : json_null());
	case CEL_IP:
	case CEL_CIDR:
		return object_json(cel_kind_name((enum cel_kind)v.kind), scalar_text(v));
	default:
		return NULL;
	}
}

json_t *cel_json_of_value(struct cel_value v) {
	return json_of(v, 0);
}
