/*
 * Message literals: google.protobuf's wrappers, Value, Struct, ListValue, Timestamp, Duration and Any, from a fixed table.
 * There are no messages at run time: Int32Value{value: 1} is the int 1, Struct{…} a map, Value{} null. Other messages
 * need protobuf's descriptors, and are undeclared here. Source: langdef.md, "Protocol Buffer Data Conversion".
 */

#include <float.h>
#include <math.h>
#include "policy/cel_internal.h"
#include "policy/cel_wkt.h"

#define WRAPPER(variable, of)                                                                                          \
	static const struct cel_type variable = { .kind = CEL_T_WRAPPER, .name = "wrapper", .n = 1, .params = { of } }
WRAPPER(wrapped_bool, &cel_bool);
WRAPPER(wrapped_bytes, &cel_bytes);
WRAPPER(wrapped_double, &cel_double);
WRAPPER(wrapped_int, &cel_int);
WRAPPER(wrapped_string, &cel_string);
WRAPPER(wrapped_uint, &cel_uint);

#define MAX_JSON_DEPTH 64

typedef struct cel_value build_fn(const struct cel_node *node, struct cel_run *run, const struct cel_message *message,
				  const struct cel_value *fields);

struct cel_message {
	const char *name;
	const struct cel_type *type; /* of the literal */
	build_fn *build;	     /* fields in the table's order; CEL_NONE: not given */
	struct {
		const char *name;
		const struct cel_type *type;
	} fields[CEL_MAX_FIELDS];
};

static struct cel_value out_of_range(const struct cel_node *node, struct cel_run *run, const struct cel_message *message) {
	return cel_failf(run, node, "out of the range of %s", message->name);
}

/* The field, or the zero of its type. */
static struct cel_value field_or_zero(struct cel_value field, const struct cel_type *type) {
	if (field.kind != CEL_NONE)
		return field;
	switch (type->kind) {
	case CEL_T_BOOL:
		return cel_of_bool(false);
	case CEL_T_INT:
		return cel_of_int(0);
	case CEL_T_UINT:
		return cel_of_uint(0);
	case CEL_T_DOUBLE:
		return cel_of_double(0);
	case CEL_T_BYTES:
		return cel_of_bytes("", 0);
	default:
		return cel_of_string("", 0);
	}
}

#define BUILD(name)                                                                                                    \
	static struct cel_value name(const struct cel_node *node, struct cel_run *run, const struct cel_message *message, \
				     const struct cel_value *fields)
#define UNUSED (void)node, (void)run, (void)message, (void)fields

BUILD(build_wrapper) {
	UNUSED;
	return field_or_zero(fields[0], message->fields[0].type);
}

BUILD(build_int32) {
	struct cel_value v = field_or_zero(fields[0], &cel_int);

	return v.i < INT32_MIN || v.i > INT32_MAX ? out_of_range(node, run, message) : v;
}

BUILD(build_uint32) {
	struct cel_value v = field_or_zero(fields[0], &cel_uint);

	return v.u > UINT32_MAX ? out_of_range(node, run, message) : v;
}

BUILD(build_float) {
	double d = field_or_zero(fields[0], &cel_double).d;

	UNUSED;
	if (isfinite(d) && fabs(d) > (double)FLT_MAX)
		return cel_of_double(copysign(INFINITY, d));
	return cel_of_double((double)(float)d);
}

BUILD(build_any) {
	UNUSED;
	return cel_fail(run, node, "conversion of an empty google.protobuf.Any");
}

BUILD(build_timestamp) {
	int64_t s = field_or_zero(fields[0], &cel_int).i, ns = field_or_zero(fields[1], &cel_int).i;
	struct cel_timestamp t;

	if (ns < 0 || ns >= CEL_NS_PER_S || !cel_time_from_unix(s, &t))
		return out_of_range(node, run, message);
	return cel_of_timestamp(t.s, (uint32_t)ns);
}

BUILD(build_duration) {
	int64_t s = field_or_zero(fields[0], &cel_int).i, ns = field_or_zero(fields[1], &cel_int).i, d;

	if (ns <= -CEL_NS_PER_S || ns >= CEL_NS_PER_S || (s < 0 && ns > 0) || (s > 0 && ns < 0) ||
	    __builtin_mul_overflow(s, CEL_NS_PER_S, &d) || __builtin_add_overflow(d, ns, &d))
		return out_of_range(node, run, message);
	return cel_of_duration(d);
}

/* ---- JSON: what Value, Struct and ListValue can hold ---- */

static struct cel_value json_of(const struct cel_node *node, struct cel_run *run, struct cel_value v, unsigned depth);

static struct cel_value json_list(const struct cel_node *node, struct cel_run *run, struct cel_value v, unsigned depth) {
	uint32_t n = cel_list_size(v);
	struct cel_value *items = cel_run_alloc(run, n * sizeof(*items) + 1);

	if (!items)
		return cel_fail_memory();
	for (uint32_t i = 0; i < n; i++) {
		items[i] = json_of(node, run, cel_list_at(v, i), depth);
		if (cel_failed(items[i]))
			return items[i];
	}
	return cel_make_list(run, items, n);
}

static struct cel_value json_map(const struct cel_node *node, struct cel_run *run, struct cel_value v, unsigned depth) {
	struct cel_entry *entries = cel_run_alloc(run, cel_map_size(v) * sizeof(*entries) + 1);
	struct cel_map_iter iter = { 0 };
	uint32_t n = 0;

	if (!entries)
		return cel_fail_memory();
	for (; cel_map_next(v, &iter, &entries[n].key, &entries[n].value); n++) {
		if (entries[n].key.kind != CEL_STRING)
			return cel_fail(run, node, "the keys of a google.protobuf.Struct are strings");
		entries[n].value = json_of(node, run, entries[n].value, depth);
		if (cel_failed(entries[n].value))
			return entries[n].value;
	}
	return cel_make_map(run, node, entries, n);
}

/* Numbers become doubles, times texts. */
static struct cel_value json_of(const struct cel_node *node, struct cel_run *run, struct cel_value v, unsigned depth) {
	char text[CEL_SCALAR_TEXT];

	if (!cel_spend(run, 1))
		return cel_fail_iterations(run, node);
	switch (v.kind) {
	case CEL_NULL:
	case CEL_BOOL:
	case CEL_DOUBLE:
	case CEL_STRING:
		return v;
	case CEL_INT:
		return cel_of_double((double)v.i);
	case CEL_UINT:
		return cel_of_double((double)v.u);
	case CEL_TIMESTAMP:
	case CEL_DURATION:
		return cel_copy_string(run, CEL_STRING, text, cel_scalar_text(v, text));
	case CEL_LIST:
		if (depth < MAX_JSON_DEPTH)
			return json_list(node, run, v, depth + 1);
		break;
	case CEL_MAP:
		if (depth < MAX_JSON_DEPTH)
			return json_map(node, run, v, depth + 1);
		break;
	default:
		break;
	}
	return cel_failf(run, node, "a %s is no JSON value", cel_kind_name((enum cel_kind)v.kind));
}

BUILD(build_list) {
	(void)message;
	return fields[0].kind == CEL_NONE ? cel_make_list(run, NULL, 0) : json_of(node, run, fields[0], 0);
}

BUILD(build_struct) {
	(void)message;
	return fields[0].kind == CEL_NONE ? cel_make_map(run, node, NULL, 0) : json_of(node, run, fields[0], 0);
}

#define NULL_FIELD 0

BUILD(build_value) {
	struct cel_value v = cel_of_null();
	unsigned given = 0;

	for (unsigned i = 0; i < CEL_MAX_FIELDS && message->fields[i].name; i++)
		if (fields[i].kind != CEL_NONE) {
			given++;
			v = i == NULL_FIELD ? cel_of_null() : fields[i];
		}
	return given > 1 ? cel_fail(run, node, "a google.protobuf.Value has one field") : json_of(node, run, v, 0);
}

#define PROTOBUF "google.protobuf."

static const struct cel_message messages[] = {
	{ PROTOBUF "BoolValue", &wrapped_bool, build_wrapper, { { "value", &cel_bool } } },
	{ PROTOBUF "BytesValue", &wrapped_bytes, build_wrapper, { { "value", &cel_bytes } } },
	{ PROTOBUF "DoubleValue", &wrapped_double, build_wrapper, { { "value", &cel_double } } },
	{ PROTOBUF "FloatValue", &wrapped_double, build_float, { { "value", &cel_double } } },
	{ PROTOBUF "Int32Value", &wrapped_int, build_int32, { { "value", &cel_int } } },
	{ PROTOBUF "Int64Value", &wrapped_int, build_wrapper, { { "value", &cel_int } } },
	{ PROTOBUF "StringValue", &wrapped_string, build_wrapper, { { "value", &cel_string } } },
	{ PROTOBUF "UInt32Value", &wrapped_uint, build_uint32, { { "value", &cel_uint } } },
	{ PROTOBUF "UInt64Value", &wrapped_uint, build_wrapper, { { "value", &cel_uint } } },
	{ PROTOBUF "Timestamp", &cel_timestamp, build_timestamp, { { "seconds", &cel_int }, { "nanos", &cel_int } } },
	{ PROTOBUF "Duration", &cel_duration, build_duration, { { "seconds", &cel_int }, { "nanos", &cel_int } } },
	{ PROTOBUF "ListValue", &cel_list_dyn, build_list, { { "values", &cel_list_dyn } } },
	{ PROTOBUF "Struct", &cel_map_string_dyn, build_struct, { { "fields", &cel_map_string_dyn } } },
	{ PROTOBUF "Any", &cel_dyn, build_any, { { 0 } } },
	{ PROTOBUF "Value", &cel_dyn, build_value,
	  { [NULL_FIELD] = { "null_value", &cel_int }, { "number_value", &cel_double }, { "string_value", &cel_string },
	    { "bool_value", &cel_bool }, { "struct_value", &cel_map_string_dyn }, { "list_value", &cel_list_dyn } } },
};

const struct cel_message *cel_message_find(const char *name) {
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		if (strcmp(messages[i].name, name) == 0)
			return &messages[i];
	return NULL;
}

const struct cel_type *cel_message_type(const struct cel_message *message) {
	return message->type;
}

static int field_number(const struct cel_message *message, struct str name) {
	for (int i = 0; i < CEL_MAX_FIELDS && message->fields[i].name; i++)
		if (str_eq(name, str_of(message->fields[i].name)))
			return i;
	return -1;
}

const struct cel_type *cel_message_field(const struct cel_message *message, struct str name) {
	int i = field_number(message, name);

	return i < 0 ? NULL : message->fields[i].type;
}

static bool fits(struct cel_value v, const struct cel_type *type) {
	return cel_kind_type((enum cel_kind)v.kind)->kind == type->kind;
}

struct cel_value cel_eval_struct(const struct cel_node *node, struct cel_run *run) {
	const struct cel_message *message = node->message;
	struct cel_value fields[CEL_MAX_FIELDS] = { { 0 } }, v;
	bool present;
	int number;

	if (!message)
		return cel_failf(run, node, "undeclared reference to '%.100s'", node->name.p);
	for (uint32_t i = 0; i < node->n; i++) {
		number = field_number(message, node->names[i]);
		if (number < 0)
			return cel_failf(run, node, "undefined field '%.100s'", node->names[i].p);
		v = cel_eval_element(node, i, run, &present);
		if (cel_failed(v))
			return v;
		if (present && (fields[number].kind != CEL_NONE || !fits(v, message->fields[number].type)))
			return cel_no_such_overload(run, node);
		if (present)
			fields[number] = v;
	}
	return message->build(node, run, message, fields);
}
