/* Macros as they run: loops over lists and maps, bindings, blocks. See cel_internal.h. */

#include "policy/cel_internal.h"

/* ---- Loops ---- */

/* The next element of a range into the loop's variables. False: no more. */
struct range {
	struct cel_value of;
	uint32_t i;
	struct cel_map_iter iter;
};

static inline bool range_next(struct range *r, const struct cel_node *node, struct cel_run *run) {
	struct cel_value key, value;

	/* Most loops: over the items of a list, one variable. */
	if (r->of.kind == CEL_LIST && !(r->of.flags & CEL_VALUE_JSON) && node->var2 == CEL_NO_LOCAL) {
		if (r->i >= r->of.list->n)
			return false;
		run->locals[node->var] = r->of.list->items[r->i++];
		return true;
	}
	if (r->of.kind == CEL_MAP) {
		if (!cel_map_next(r->of, &r->iter, &key, &value))
			return false;
	} else {
		if (r->i >= cel_list_size(r->of))
			return false;
		key = cel_of_int(r->i);
		value = cel_list_at(r->of, r->i);
	}
	run->locals[node->var] = r->of.kind == CEL_MAP || node->var2 != CEL_NO_LOCAL ? key : value;
	if (node->var2 != CEL_NO_LOCAL)
		run->locals[node->var2] = value;
	r->i++;
	return true;
}

static struct cel_value truth_of(struct cel_value v, const struct cel_node *node, struct cel_run *run) {
	return v.kind == CEL_BOOL || cel_failed(v) ? v : cel_no_such_overload(run, node);
}

/* all and exists: folds of && and ||, errors absorbed by a later element that decides. */
static struct cel_value loop_decide(const struct cel_node *node, struct cel_run *run, struct range *r, bool decides) {
	struct cel_value unknown = { 0 }, error = { 0 };

	while (range_next(r, node, run)) {
		struct cel_value v;

		if (!cel_turn(run, node))
			return cel_fail_turn(run, node);
		v = cel_eval_in(node->kids[1], run);
		if (v.kind == CEL_BOOL) {
			if (v.b == decides)
				return v;
			continue;
		}
		v = truth_of(v, node, run);
		if (v.kind == CEL_UNKNOWN)
			unknown = v;
		else if (!error.kind)
			error = v;
	}
	return unknown.kind ? unknown : error.kind ? error : cel_of_bool(!decides);
}

static struct cel_value loop_one(const struct cel_node *node, struct cel_run *run, struct range *r) {
	unsigned found = 0;

	while (range_next(r, node, run)) {
		struct cel_value v;

		if (!cel_turn(run, node))
			return cel_fail_turn(run, node);
		v = truth_of(cel_eval_in(node->kids[1], run), node, run);
		if (v.kind != CEL_BOOL)
			return v;
		found += v.b;
	}
	return cel_of_bool(found == 1);
}

/* filter, map, transformList: a list of what passes. */
static struct cel_value loop_list(const struct cel_node *node, struct cel_run *run, struct range *r) {
	uint32_t size = r->of.kind == CEL_MAP ? cel_map_size(r->of) : cel_list_size(r->of), n = 0;
	struct cel_value *items = cel_run_alloc(run, size * sizeof(*items) + 1), v;
	bool filter = node->macro == CEL_M_FILTER;

	if (!items)
		return cel_fail_memory();
	while (range_next(r, node, run)) {
		if (!cel_turn(run, node))
			return cel_fail_turn(run, node);
		if (filter || node->n == 3) {
			v = truth_of(cel_eval_in(node->kids[1], run), node, run);
			if (v.kind != CEL_BOOL)
				return v;
			if (!v.b)
				continue;
		}
		v = filter ? run->locals[node->var] : cel_eval_in(node->kids[node->n - 1], run);
		if (cel_failed(v))
			return v;
		items[n++] = v;
	}
	return cel_make_list(run, items, n);
}

/* Adds the only entry of `one`, or all of a map's. */
static struct cel_value add_entries(struct cel_run *run, const struct cel_node *node, struct cel_value map, struct cel_entry **list,
				    uint32_t *n, uint32_t *size) {
	struct cel_map_iter iter = { 0 };
	struct cel_entry *bigger, entry;

	if (map.kind != CEL_MAP)
		return cel_no_such_overload(run, node);
	while (cel_map_next(map, &iter, &entry.key, &entry.value)) {
		if (*n == *size) {
			*size = *size ? 2 * *size : 8;
			bigger = cel_run_alloc(run, *size * sizeof(*bigger));
			if (!bigger)
				return cel_fail_memory();
			if (*n)
				memcpy(bigger, *list, *n * sizeof(*bigger));
			*list = bigger;
		}
		(*list)[(*n)++] = entry;
	}
	return map;
}

/* transformMap keeps the key (of a list: the index); transformMapEntry gives maps whose entries are joined. */
static struct cel_value loop_map(const struct cel_node *node, struct cel_run *run, struct range *r) {
	struct cel_entry *entries = NULL;
	uint32_t n = 0, size = 0;
	struct cel_value v;

	while (range_next(r, node, run)) {
		struct cel_map one = { .n = 1 };
		struct cel_entry entry;

		if (!cel_turn(run, node))
			return cel_fail_turn(run, node);
		if (node->n == 3) {
			v = truth_of(cel_eval_in(node->kids[1], run), node, run);
			if (v.kind != CEL_BOOL)
				return v;
			if (!v.b)
				continue;
		}
		v = cel_eval_in(node->kids[node->n - 1], run);
		if (cel_failed(v))
			return v;
		if (node->macro == CEL_M_TRANSFORM_MAP) {
			entry = (struct cel_entry){ run->locals[node->var], v };
			one.entries = &entry;
			v = cel_of_map(&one);
		}
		v = add_entries(run, node, v, &entries, &n, &size);
		if (cel_failed(v))
			return v;
	}
	return cel_make_map(run, node, entries, n);
}

/* list.sortBy(e, key): by the keys' order, which all of them must share; equal ones stay in their order. */
static struct cel_value loop_sort(const struct cel_node *node, struct cel_run *run, struct range *r) {
	uint32_t size = cel_list_size(r->of), n = 0;
	struct cel_entry *entries = cel_run_alloc(run, size * sizeof(*entries) + 1);
	struct cel_value *items = cel_run_alloc(run, size * sizeof(*items) + 1), v;

	if (!entries || !items)
		return cel_fail_memory();
	for (; range_next(r, node, run); n++) {
		if (!cel_turn(run, node))
			return cel_fail_turn(run, node);
		entries[n] = (struct cel_entry){ cel_eval_in(node->kids[1], run), run->locals[node->var] };
		if (cel_failed(entries[n].key))
			return entries[n].key;
	}
	v = cel_sort(run, node, entries, n);
	if (cel_failed(v))
		return v;
	for (uint32_t i = 0; i < n; i++)
		items[i] = entries[i].value;
	return cel_make_list(run, items, n);
}

struct cel_value cel_eval_loop(const struct cel_node *node, struct cel_run *run) {
	struct range r = { .of = cel_eval_in(node->kids[0], run) };

	if (cel_failed(r.of))
		return r.of;
	if (r.of.kind != CEL_LIST && (r.of.kind != CEL_MAP || node->macro == CEL_M_SORT_BY))
		return cel_no_such_overload(run, node);
	switch ((enum cel_macro)node->macro) {
	case CEL_M_ALL:
	case CEL_M_EXISTS:
		return loop_decide(node, run, &r, node->macro == CEL_M_EXISTS);
	case CEL_M_EXISTS_ONE:
		return loop_one(node, run, &r);
	case CEL_M_TRANSFORM_MAP:
	case CEL_M_TRANSFORM_ENTRY:
		return cel_placed(run, node, loop_map(node, run, &r));
	case CEL_M_SORT_BY:
		return cel_placed(run, node, loop_sort(node, run, &r));
	default:
		return cel_placed(run, node, loop_list(node, run, &r));
	}
}

/* ---- Bindings ---- */

/* optMap and optFlatMap: nothing gives nothing, without a look at the body. */
static struct cel_value bind_optional(const struct cel_node *node, struct cel_run *run, struct cel_value v) {
	if (cel_failed(v))
		return v;
	if (v.kind != CEL_OPTIONAL)
		return cel_no_such_overload(run, node);
	if (!v.some)
		return v;
	run->locals[node->var] = *v.some;
	v = cel_eval_in(node->kids[1], run);
	if (cel_failed(v))
		return v;
	if (node->macro == CEL_M_OPT_MAP)
		return cel_make_optional(run, v);
	return v.kind == CEL_OPTIONAL ? v : cel_no_such_overload(run, node);
}

/* A bound value that failed fails where it is used, not before. */
struct cel_value cel_eval_bind(const struct cel_node *node, struct cel_run *run) {
	struct cel_value v = cel_eval_in(node->kids[0], run);

	if (node->macro != CEL_M_BIND)
		return bind_optional(node, run, v);
	run->locals[node->var] = v;
	return cel_eval_in(node->kids[1], run);
}

struct cel_value cel_eval_block(const struct cel_node *node, struct cel_run *run) {
	uint32_t last = node->n - 1;

	for (uint32_t i = 0; i < last; i++)
		run->locals[node->var + i] = cel_eval_in(node->kids[i], run);
	return cel_eval_in(node->kids[last], run);
}
