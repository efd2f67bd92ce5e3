/* See cel.h: equality, order, hashing, lists, maps, and values as text. */

#include <math.h>
#include "policy/cel_internal.h"

#define MAX_VALUE_DEPTH 4096 /* more than a jansson tree or an expression can nest */
#define SMALL_MAP 8	     /* searched in order up to here */

static const char *const kind_names[N_CEL_KINDS] = {
	[CEL_NONE] = "none",
	[CEL_ERROR] = "error",
	[CEL_UNKNOWN] = "unknown",
	[CEL_NULL] = "null_type",
	[CEL_BOOL] = "bool",
	[CEL_INT] = "int",
	[CEL_UINT] = "uint",
	[CEL_DOUBLE] = "double",
	[CEL_STRING] = "string",
	[CEL_BYTES] = "bytes",
	[CEL_TIMESTAMP] = "google.protobuf.Timestamp",
	[CEL_DURATION] = "google.protobuf.Duration",
	[CEL_LIST] = "list",
	[CEL_MAP] = "map",
	[CEL_TYPE] = "type",
	[CEL_OPTIONAL] = "optional_type",
	[CEL_IP] = "net.IP",
	[CEL_CIDR] = "net.CIDR",
};

const char *cel_kind_name(enum cel_kind kind) {
	return kind < N_CEL_KINDS ? kind_names[kind] : "?";
}

/* ---- Lists and maps ---- */

struct cel_value cel_of_json(const json_t *json) {
	switch (json ? (int)json_typeof(json) : -1) {
	case JSON_OBJECT:
		return (struct cel_value){ .kind = CEL_MAP, .flags = CEL_VALUE_JSON, .json = json };
	case JSON_ARRAY:
		return (struct cel_value){ .kind = CEL_LIST, .flags = CEL_VALUE_JSON, .json = json };
	case JSON_STRING:
		return cel_of_string(json_string_value(json), json_string_length(json));
	case JSON_INTEGER:
		return cel_of_int(json_integer_value(json));
	case JSON_REAL:
		return cel_of_double(json_real_value(json));
	case JSON_TRUE:
	case JSON_FALSE:
		return cel_of_bool(json_is_true(json));
	case JSON_NULL:
		return cel_of_null();
	default:
		return (struct cel_value){ 0 };
	}
}

uint32_t cel_list_size(struct cel_value list) {
	return list.flags & CEL_VALUE_JSON ? (uint32_t)json_array_size(list.json) : list.list->n;
}

struct cel_value cel_list_at(struct cel_value list, uint32_t i) {
	return list.flags & CEL_VALUE_JSON ? cel_of_json(json_array_get(list.json, i)) : list.list->items[i];
}

bool cel_list_index(struct cel_value list, struct cel_value key, uint32_t *i) {
	uint32_t n = cel_list_size(list);

	if (key.kind == CEL_DOUBLE ? !(key.d >= 0 && key.d < n && key.d == floor(key.d)) : key.u >= n)
		return false; /* a negative int is a large uint */
	*i = key.kind == CEL_DOUBLE ? (uint32_t)key.d : (uint32_t)key.u;
	return true;
}

uint32_t cel_map_size(struct cel_value map) {
	return map.flags & CEL_VALUE_JSON ? (uint32_t)json_object_size(map.json) : map.map->n;
}

static bool key_equal(struct cel_value a, struct cel_value b) {
	if (a.kind == CEL_STRING && b.kind == CEL_STRING)
		return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
	return cel_equal(a, b);
}

/* The entry's number, or map->n. */
static uint32_t map_search(const struct cel_map *map, struct cel_value key) {
	uint32_t i;

	if (!map->mask) {
		for (i = 0; i < map->n && !key_equal(map->entries[i].key, key); i++)
			;
		return i;
	}
	for (uint32_t at = cel_hash(key) & map->mask; map->index[at]; at = (at + 1) & map->mask)
		if (key_equal(map->entries[map->index[at] - 1].key, key))
			return map->index[at] - 1;
	return map->n;
}

bool cel_map_find(struct cel_value map, struct cel_value key, struct cel_value *out) {
	const json_t *found;
	uint32_t i;

	if (map.flags & CEL_VALUE_JSON) {
		found = key.kind == CEL_STRING ? json_object_getn(map.json, key.s, key.n) : NULL;
		if (found)
			*out = cel_of_json(found);
		return found;
	}
	i = map_search(map.map, key);
	if (i == map.map->n)
		return false;
	*out = map.map->entries[i].value;
	return true;
}

bool cel_map_next(struct cel_value map, struct cel_map_iter *iter, struct cel_value *key, struct cel_value *value) {
	json_t *object;

	if (!(map.flags & CEL_VALUE_JSON)) {
		if (iter->i == map.map->n)
			return false;
		*key = map.map->entries[iter->i].key;
		*value = map.map->entries[iter->i++].value;
		return true;
	}
	object = (json_t *)(uintptr_t)map.json; /* jansson's iterators want a pointer to non-const, and change nothing */
	iter->json = iter->i++ ? json_object_iter_next(object, iter->json) : json_object_iter(object);
	if (!iter->json)
		return false;
	*key = cel_of_string(json_object_iter_key(iter->json), json_object_iter_key_len(iter->json));
	*value = cel_of_json(json_object_iter_value(iter->json));
	return true;
}

static bool valid_key(struct cel_value key) {
	return key.kind == CEL_BOOL || key.kind == CEL_INT || key.kind == CEL_UINT || key.kind == CEL_STRING;
}

int cel_map_build(struct cel_arena *arena, const struct cel_entry *entries, size_t n, const struct cel_map **out) {
	struct cel_map *map = cel_arena_alloc(arena, sizeof(*map));
	uint32_t *index = NULL, places = 4 * SMALL_MAP, at;

	if (!map || n > UINT32_MAX / 4)
		return CEL_MAP_MEMORY;
	*map = (struct cel_map){ .entries = entries };
	if (n > SMALL_MAP) {
		while (places < 2 * n)
			places *= 2;
		index = cel_arena_alloc(arena, places * sizeof(*index));
		if (!index)
			return CEL_MAP_MEMORY;
		memset(index, 0, places * sizeof(*index));
		map->index = index;
		map->mask = places - 1;
	}
	for (; map->n < n; map->n++) {
		if (!valid_key(entries[map->n].key))
			return CEL_MAP_BAD_KEY;
		if (map_search(map, entries[map->n].key) != map->n)
			return CEL_MAP_REPEATED_KEY;
		if (!index)
			continue;
		for (at = cel_hash(entries[map->n].key) & map->mask; index[at]; at = (at + 1) & map->mask)
			;
		index[at] = map->n + 1;
	}
	*out = map;
	return 0;
}

/* ---- Hashing ---- */

uint32_t cel_hash_bytes(const void *p, size_t n) {
	const unsigned char *s = p;
	uint64_t h = 0xCBF29CE484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ s[i]) * 0x100000001B3u;
	return (uint32_t)(h ^ h >> 32);
}

/* Numbers hash by their value as a double: what == says of ints and doubles. */
static uint32_t hash_number(double d) {
	uint64_t bits;

	if (d == 0)
		d = 0;
	memcpy(&bits, &d, sizeof(bits));
	bits *= 0x9E3779B97F4A7C15u;
	return (uint32_t)(bits >> 32);
}

uint32_t cel_hash(struct cel_value v) {
	switch (v.kind) {
	case CEL_INT:
		return hash_number((double)v.i);
	case CEL_UINT:
		return hash_number((double)v.u);
	case CEL_DOUBLE:
		return hash_number(v.d);
	case CEL_STRING:
		return cel_hash_bytes(v.s, v.n);
	case CEL_BOOL:
		return v.u ? 0x51ED270Bu : 0x2545F491u;
	default:
		return v.kind;
	}
}

/* ---- Order and equality ---- */

static int order(bool less, bool greater) {
	return greater - less;
}

/* Out of range by the range, in range by the int as a double (the language's definition, not exact arithmetic). */
static int compare_int_double(int64_t i, double d) {
	if (isnan(d))
		return 2;
	if (d < -9223372036854775808.0)
		return 1;
	if (d > 9223372036854775808.0)
		return -1;
	return order((double)i < d, (double)i > d);
}

static int compare_uint_double(uint64_t u, double d) {
	if (isnan(d))
		return 2;
	if (d < 0)
		return 1;
	if (d > 18446744073709551616.0)
		return -1;
	return order((double)u < d, (double)u > d);
}

static int turned(int c) {
	return c == 2 ? 2 : -c;
}

static int compare_numbers(struct cel_value a, struct cel_value b) {
	if (a.kind == CEL_DOUBLE && b.kind == CEL_DOUBLE)
		return isnan(a.d) || isnan(b.d) ? 2 : order(a.d < b.d, a.d > b.d);
	if (a.kind == CEL_DOUBLE)
		return turned(compare_numbers(b, a));
	if (b.kind == CEL_DOUBLE)
		return a.kind == CEL_INT ? compare_int_double(a.i, b.d) : compare_uint_double(a.u, b.d);
	if (a.kind == b.kind)
		return a.kind == CEL_INT ? order(a.i < b.i, a.i > b.i) : order(a.u < b.u, a.u > b.u);
	if (a.kind == CEL_UINT)
		return -compare_numbers(b, a);
	return a.i < 0 ? -1 : order((uint64_t)a.i < b.u, (uint64_t)a.i > b.u);
}

static int compare_strings(struct cel_value a, struct cel_value b) {
	int c = memcmp(a.s, b.s, a.n < b.n ? a.n : b.n);

	return c ? order(c < 0, c > 0) : order(a.n < b.n, a.n > b.n);
}

int cel_compare(struct cel_value a, struct cel_value b) {
	if (cel_is_number(a) && cel_is_number(b))
		return compare_numbers(a, b);
	if (a.kind != b.kind)
		return 3;
	switch (a.kind) {
	case CEL_BOOL:
		return order(a.u < b.u, a.u > b.u);
	case CEL_STRING:
	case CEL_BYTES:
		return compare_strings(a, b);
	case CEL_TIMESTAMP:
		return cel_time_compare(cel_time_of(a), cel_time_of(b));
	case CEL_DURATION:
		return order(a.i < b.i, a.i > b.i);
	default:
		return 3;
	}
}

/* How much of two values has been looked at, and how much may be. */
struct look {
	uint64_t left;
	bool spent;
};

static bool equal_at(struct cel_value a, struct cel_value b, unsigned depth, struct look *look);

static bool equal_lists(struct cel_value a, struct cel_value b, unsigned depth, struct look *look) {
	uint32_t n = cel_list_size(a);

	if (n != cel_list_size(b))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!equal_at(cel_list_at(a, i), cel_list_at(b, i), depth, look))
			return false;
	return true;
}

static bool equal_maps(struct cel_value a, struct cel_value b, unsigned depth, struct look *look) {
	struct cel_map_iter iter = { 0 };
	struct cel_value key, value, other;

	if (cel_map_size(a) != cel_map_size(b))
		return false;
	while (cel_map_next(a, &iter, &key, &value))
		if (!cel_map_find(b, key, &other) || !equal_at(value, other, depth, look))
			return false;
	return true;
}

static bool equal_types(const struct cel_type *a, const struct cel_type *b) {
	return a == b || strcmp(a->name, b->name) == 0;
}

static bool equal_nets(struct cel_value a, struct cel_value b) {
	struct cel_net x = a.kind == CEL_IP ? cel_net_unmapped(a.net) : *a.net;
	struct cel_net y = b.kind == CEL_IP ? cel_net_unmapped(b.net) : *b.net;

	return x.family == y.family && (a.kind == CEL_IP || x.prefix == y.prefix) &&
	       memcmp(x.addr, y.addr, x.family == 4 ? 4 : 16) == 0;
}

static bool equal_at(struct cel_value a, struct cel_value b, unsigned depth, struct look *look) {
	if (look->left-- == 0) {
		look->left = 0;
		look->spent = true;
		return false;
	}
	if (cel_is_number(a) && cel_is_number(b))
		return compare_numbers(a, b) == 0;
	if (a.kind != b.kind || depth == MAX_VALUE_DEPTH)
		return false;
	switch (a.kind) {
	case CEL_NULL:
		return true;
	case CEL_LIST:
		return equal_lists(a, b, depth + 1, look);
	case CEL_MAP:
		return equal_maps(a, b, depth + 1, look);
	case CEL_TYPE:
		return equal_types(a.type, b.type);
	case CEL_OPTIONAL:
		return a.some && b.some ? equal_at(*a.some, *b.some, depth + 1, look) : a.some == b.some;
	case CEL_IP:
	case CEL_CIDR:
		return equal_nets(a, b);
	default:
		return cel_compare(a, b) == 0;
	}
}

bool cel_equal(struct cel_value a, struct cel_value b) {
	struct look look = { .left = UINT64_MAX };

	return equal_at(a, b, 0, &look);
}

#define EQUAL_FREE 16 /* looked at for nothing in each comparison, and for each iteration that is spent */

bool cel_equal_in(struct cel_run *run, struct cel_value a, struct cel_value b, bool *equal) {
	struct look look = { .left = EQUAL_FREE * ((uint64_t)run->left.iterations + 1) };
	uint64_t all = look.left;

	if (a.kind < CEL_LIST || b.kind < CEL_LIST) {
		*equal = cel_compare(a, b) == 0 || (a.kind == CEL_NULL && b.kind == CEL_NULL);
		return true;
	}
	*equal = equal_at(a, b, 0, &look);
	return !look.spent && cel_spend(run, (uint32_t)((all - look.left) / EQUAL_FREE));
}

bool cel_is_zero_value(struct cel_value v) {
	switch (v.kind) {
	case CEL_NULL:
		return true;
	case CEL_BOOL:
	case CEL_INT:
	case CEL_UINT:
	case CEL_DURATION:
		return v.u == 0;
	case CEL_DOUBLE:
		return v.d == 0;
	case CEL_STRING:
	case CEL_BYTES:
		return v.n == 0;
	case CEL_TIMESTAMP:
		return v.i == 0 && v.n == 0;
	case CEL_LIST:
		return cel_list_size(v) == 0;
	case CEL_MAP:
		return cel_map_size(v) == 0;
	case CEL_OPTIONAL:
		return !v.some;
	default:
		return false;
	}
}

/* A text among the values of an array: looked at where they are. */
static bool array_has_text(const json_t *array, uint32_t n, struct cel_value text) {
	for (uint32_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(array, i);

		if (json_is_string(item) && json_string_length(item) == text.n && memcmp(json_string_value(item), text.s, text.n) == 0)
			return true;
	}
	return false;
}

bool cel_list_has(struct cel_run *run, struct cel_value list, struct cel_value v, bool *found) {
	uint32_t n = cel_list_size(list);

	*found = false;
	if (!cel_spend(run, n / 16))
		return false;
	if (v.kind == CEL_STRING && list.flags & CEL_VALUE_JSON) {
		*found = array_has_text(list.json, n, v);
		return true;
	}
	for (uint32_t i = 0; i < n && !*found; i++)
		if (!cel_equal_in(run, v, cel_list_at(list, i), found))
			return false;
	return true;
}

/* ---- Sets of constants ---- */

const struct cel_set *cel_set_build(struct cel_arena *arena, struct cel_value list) {
	struct cel_set *set = cel_arena_alloc(arena, sizeof(*set));
	uint32_t n = cel_list_size(list), places = 8, longest = 0, at;
	struct cel_value *table, v;

	if (n > UINT32_MAX / 8)
		return NULL;
	while (places < 2 * n)
		places *= 2;
	table = cel_arena_alloc(arena, places * sizeof(*table));
	if (!set || !table)
		return NULL;
	memset(table, 0, places * sizeof(*table));
	for (uint32_t i = 0; i < n; i++) {
		v = cel_list_at(list, i);
		if (!cel_is_number(v) && v.kind != CEL_STRING && v.kind != CEL_BOOL)
			return NULL;
		for (at = cel_hash(v) & (places - 1); table[at].kind && !cel_equal(table[at], v); at = (at + 1) & (places - 1))
			;
		table[at] = v;
		if (v.kind == CEL_STRING && v.n > longest)
			longest = v.n;
	}
	*set = (struct cel_set){ .mask = places - 1, .longest = longest, .places = table };
	return set;
}

bool cel_set_has(const struct cel_set *set, struct cel_value v) {
	if (v.kind == CEL_STRING && v.n > set->longest)
		return false;
	for (uint32_t at = cel_hash(v) & set->mask; set->places[at].kind; at = (at + 1) & set->mask)
		if (key_equal(set->places[at], v))
			return true;
	return false;
}

/* ---- As text ---- */

static void print_quoted(struct cel_value v, struct buf *out) {
	if (v.kind == CEL_STRING) {
		buf_add_json(out, v.s, v.n);
		return;
	}
	buf_adds(out, "b\"");
	for (uint32_t i = 0; i < v.n; i++)
		if (v.s[i] >= 0x20 && v.s[i] < 0x7F && v.s[i] != '"' && v.s[i] != '\\')
			buf_addc(out, v.s[i]);
		else
			buf_addf(out, "\\x%02x", (unsigned char)v.s[i]);
	buf_addc(out, '"');
}

static void print_at(struct cel_value v, struct buf *out, unsigned depth);

static void print_list(struct cel_value v, struct buf *out, unsigned depth) {
	buf_addc(out, '[');
	for (uint32_t i = 0; i < cel_list_size(v); i++) {
		if (i)
			buf_adds(out, ", ");
		print_at(cel_list_at(v, i), out, depth);
	}
	buf_addc(out, ']');
}

static void print_map(struct cel_value v, struct buf *out, unsigned depth) {
	struct cel_map_iter iter = { 0 };
	struct cel_value key, value;

	buf_addc(out, '{');
	for (bool first = true; cel_map_next(v, &iter, &key, &value); first = false) {
		if (!first)
			buf_adds(out, ", ");
		print_at(key, out, depth);
		buf_adds(out, ": ");
		print_at(value, out, depth);
	}
	buf_addc(out, '}');
}

static void print_scalar(struct cel_value v, struct buf *out) {
	static const struct {
		const char *before, *after;
	} around[N_CEL_KINDS] = {
		[CEL_UINT] = { "", "u" },
		[CEL_TIMESTAMP] = { "timestamp(\"", "\")" },
		[CEL_DURATION] = { "duration(\"", "\")" },
		[CEL_IP] = { "ip(\"", "\")" },
		[CEL_CIDR] = { "cidr(\"", "\")" },
	};
	char text[CEL_SCALAR_TEXT];
	size_t n = cel_scalar_text(v, text);

	if (around[v.kind].before)
		buf_adds(out, around[v.kind].before);
	buf_add(out, text, n);
	if (v.kind == CEL_DOUBLE && strspn(text, "-0123456789") == n)
		buf_adds(out, ".0");
	if (around[v.kind].after)
		buf_adds(out, around[v.kind].after);
}

static void print_at(struct cel_value v, struct buf *out, unsigned depth) {
	if (out->failed)
		return;
	if (depth > MAX_VALUE_DEPTH) {
		buf_adds(out, "...");
		return;
	}
	switch (v.kind) {
	case CEL_NONE:
		buf_adds(out, "absent");
		break;
	case CEL_ERROR:
		buf_adds(out, v.fault->message);
		break;
	case CEL_UNKNOWN:
		buf_addf(out, "%s is unknown", v.name);
		break;
	case CEL_STRING:
	case CEL_BYTES:
		print_quoted(v, out);
		break;
	case CEL_LIST:
		print_list(v, out, depth + 1);
		break;
	case CEL_MAP:
		print_map(v, out, depth + 1);
		break;
	case CEL_OPTIONAL:
		buf_adds(out, v.some ? "optional.of(" : "optional.none(");
		if (v.some)
			print_at(*v.some, out, depth + 1);
		buf_addc(out, ')');
		break;
	default:
		print_scalar(v, out);
	}
}

void cel_value_print(struct cel_value v, struct buf *out) {
	print_at(v, out, 0);
}
