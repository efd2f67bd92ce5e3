/* See cel.h: the types, and types by name. */

#include "policy/cel_internal.h"

#define SIMPLE(variable, k, text) const struct cel_type variable = { .kind = k, .name = text }
#define ABOVE(variable, k, text, count, ...)                                                                           \
	const struct cel_type variable = { .kind = k, .name = text, .n = count, .params = { __VA_ARGS__ } }

SIMPLE(cel_dyn, CEL_T_DYN, "dyn");
SIMPLE(cel_null, CEL_T_NULL, "null_type");
SIMPLE(cel_bool, CEL_T_BOOL, "bool");
SIMPLE(cel_int, CEL_T_INT, "int");
SIMPLE(cel_uint, CEL_T_UINT, "uint");
SIMPLE(cel_double, CEL_T_DOUBLE, "double");
SIMPLE(cel_string, CEL_T_STRING, "string");
SIMPLE(cel_bytes, CEL_T_BYTES, "bytes");
SIMPLE(cel_timestamp, CEL_T_TIMESTAMP, "google.protobuf.Timestamp");
SIMPLE(cel_duration, CEL_T_DURATION, "google.protobuf.Duration");
SIMPLE(cel_type_type, CEL_T_TYPE, "type");
SIMPLE(cel_net_ip, CEL_T_NAMED, "net.IP");
SIMPLE(cel_net_cidr, CEL_T_NAMED, "net.CIDR");
ABOVE(cel_list_dyn, CEL_T_LIST, "list", 1, &cel_dyn);
ABOVE(cel_list_string, CEL_T_LIST, "list", 1, &cel_string);
ABOVE(cel_map_dyn, CEL_T_MAP, "map", 2, &cel_dyn, &cel_dyn);
ABOVE(cel_map_string_dyn, CEL_T_MAP, "map", 2, &cel_string, &cel_dyn);
static ABOVE(optional_dyn, CEL_T_OPTIONAL, "optional_type", 1, &cel_dyn);

/* Types that can be written as values. */
static const struct cel_type *const named[] = {
	&cel_bool,	&cel_int,      &cel_uint,     &cel_double,   &cel_string,    &cel_bytes,  &cel_null,
	&cel_timestamp, &cel_duration, &cel_list_dyn, &cel_map_dyn,  &cel_type_type, &cel_net_ip, &cel_net_cidr,
	&optional_dyn,
};

const struct cel_type *cel_type_find(const char *name) {
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		if (strcmp(named[i]->name, name) == 0)
			return named[i];
	return NULL;
}

const struct cel_type *cel_kind_type(enum cel_kind kind) {
	const struct cel_type *type = cel_type_find(cel_kind_name(kind));

	return type ? type : &cel_dyn;
}

const struct cel_type *cel_type_make(struct cel_arena *arena, enum cel_type_kind kind, const struct cel_type *a,
				     const struct cel_type *b) {
	static const char *const names[] = { [CEL_T_TYPE] = "type", [CEL_T_LIST] = "list", [CEL_T_MAP] = "map",
					     [CEL_T_OPTIONAL] = "optional_type", [CEL_T_WRAPPER] = "wrapper" };
	struct cel_type *type = cel_arena_alloc(arena, sizeof(*type));

	if (!type)
		return NULL;
	*type = (struct cel_type){ .kind = kind, .name = names[kind], .n = (a != NULL) + (b != NULL), .params = { a, b } };
	return type;
}

void cel_type_print(const struct cel_type *type, struct buf *out) {
	buf_adds(out, type->kind == CEL_T_TIMESTAMP ? "timestamp" : type->kind == CEL_T_DURATION ? "duration" :
		      type->kind == CEL_T_NULL ? "null" : type->name);
	for (unsigned i = 0; i < type->n; i++) {
		buf_adds(out, i ? ", " : "(");
		cel_type_print(type->params[i], out);
	}
	if (type->n)
		buf_addc(out, ')');
}
