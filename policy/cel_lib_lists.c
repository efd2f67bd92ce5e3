/* The lists extension: sort, slice, flatten, distinct, reverse, lists.range, first, last. Source: cel-go ext/lists.go. */

#include "policy/cel_lib.h"

/* ---- Sorting ---- */

/* 0: in order, 1: to be swapped, -1: no order. */
static int out_of_order(const struct cel_entry *a, const struct cel_entry *b) {
	int c = a->key.kind == b->key.kind ? cel_compare(a->key, b->key) : 3;

	return c >= 2 ? -1 : c > 0;
}

/* Merges two sorted runs next to each other, of `from`, into `to`. False: keys without an order. */
static bool merge(const struct cel_entry *from, struct cel_entry *to, uint32_t middle, uint32_t end) {
	uint32_t a = 0, b = middle;
	int swap;

	for (uint32_t i = 0; i < end; i++) {
		if (a < middle && b < end) {
			swap = out_of_order(&from[a], &from[b]);
			if (swap < 0)
				return false;
		} else {
			swap = a == middle;
		}
		to[i] = from[swap ? b++ : a++];
	}
	return true;
}

struct cel_value cel_sort(struct cel_run *run, const struct cel_node *node, struct cel_entry *entries, uint32_t n) {
	struct cel_entry *spare = cel_run_alloc(run, n * sizeof(*spare) + 1), *from = entries, *to = spare, *swap;

	if (!spare)
		return cel_fail_memory();
	if (n == 1 && out_of_order(entries, entries) < 0)
		return cel_no_such_overload(run, node);
	for (uint64_t width = 1; width < n; width *= 2) {
		if (!cel_spend(run, n / 16 + 1))
			return cel_fail_iterations(run, node);
		for (uint64_t at = 0; at < n; at += 2 * width) {
			uint64_t left = n - at < width ? n - at : width, all = n - at < 2 * width ? n - at : 2 * width;

			if (!merge(from + at, to + at, (uint32_t)left, (uint32_t)all))
				return cel_no_such_overload(run, node);
		}
		swap = from;
		from = to;
		to = swap;
	}
	if (from != entries)
		memcpy(entries, from, n * sizeof(*entries));
	return cel_of_bool(true);
}

FN(sort) {
	uint32_t n = cel_list_size(a[0]);
	struct cel_entry *entries = cel_run_alloc(run, n * sizeof(*entries) + 1);
	struct cel_value *items = cel_run_alloc(run, n * sizeof(*items) + 1), v;

	if (!entries || !items)
		return cel_fail_memory();
	for (uint32_t i = 0; i < n; i++)
		entries[i] = (struct cel_entry){ cel_list_at(a[0], i), cel_list_at(a[0], i) };
	v = cel_sort(run, node, entries, n);
	if (cel_failed(v))
		return v;
	for (uint32_t i = 0; i < n; i++)
		items[i] = entries[i].value;
	return cel_make_list(run, items, n);
}

/* ---- The rest ---- */

/* n items of a list, counted from `from` upwards, or downwards with step -1. */
static struct cel_value copy_items(const struct cel_node *node, struct cel_run *run, struct cel_value list, int64_t from, int64_t n,
				   int step) {
	struct cel_value *items;

	if (!cel_spend(run, (uint32_t)(n / 16)))
		return cel_fail_iterations(run, node);
	items = cel_run_alloc(run, (size_t)n * sizeof(*items) + 1);
	if (!items)
		return cel_fail_memory();
	for (int64_t i = 0; i < n; i++)
		items[i] = cel_list_at(list, (uint32_t)(from + i * step));
	return cel_make_list(run, items, (size_t)n);
}

FN(slice) {
	int64_t from = a[1].i, to = a[2].i, n = cel_list_size(a[0]);

	if (from < 0 || to < from || to > n)
		return cel_failf(run, node, "cannot slice(%lld, %lld) a list of %lld", (long long)from, (long long)to, (long long)n);
	return copy_items(node, run, a[0], from, to - from, 1);
}

FN(reverse) {
	int64_t n = cel_list_size(a[0]);

	return copy_items(node, run, a[0], n - 1, n, -1);
}

/* Counts, and with items writes, what is in the list down to a depth. False: the loop limit. */
static bool flatten_into(struct cel_run *run, struct cel_value list, int64_t depth, struct cel_value *items, uint32_t *n) {
	for (uint32_t i = 0; i < cel_list_size(list); i++) {
		struct cel_value v = cel_list_at(list, i);

		if (!items && !cel_spend(run, 1))
			return false;
		if (v.kind == CEL_LIST && depth > 0) {
			if (!flatten_into(run, v, depth - 1, items, n))
				return false;
		} else {
			if (items)
				items[*n] = v;
			++*n;
		}
	}
	return true;
}

#define MAX_FLATTEN 64 /* bounds the recursion */

static struct cel_value flattened(const struct cel_node *node, struct cel_run *run, struct cel_value list, int64_t depth) {
	struct cel_value *items;
	uint32_t n = 0;

	if (depth < 0 || depth > MAX_FLATTEN)
		return cel_failf(run, node, "flatten() goes 0 to %d deep", MAX_FLATTEN);
	if (!flatten_into(run, list, depth, NULL, &n))
		return cel_fail_iterations(run, node);
	items = cel_run_alloc(run, n * sizeof(*items) + 1);
	if (!items)
		return cel_fail_memory();
	n = 0;
	flatten_into(run, list, depth, items, &n);
	return cel_make_list(run, items, n);
}

FN(flatten) {
	return flattened(node, run, a[0], 1);
}
FN(flatten_depth) {
	return flattened(node, run, a[0], a[1].i);
}

FN(distinct) {
	uint32_t n = 0, size = cel_list_size(a[0]), j;
	struct cel_value *items = cel_run_alloc(run, size * sizeof(*items) + 1);

	if (!items)
		return cel_fail_memory();
	for (uint32_t i = 0; i < size; i++) {
		struct cel_value v = cel_list_at(a[0], i);
		bool found = false;

		if (!cel_spend(run, n / 16 + 1))
			return cel_fail_iterations(run, node);
		for (j = 0; j < n && !found; j++)
			if (!cel_equal_in(run, v, items[j], &found))
				return cel_fail_iterations(run, node);
		if (!found)
			items[n++] = v;
	}
	return cel_make_list(run, items, n);
}

FN(range) {
	struct cel_value *items;

	if (a[0].i < 0)
		return cel_fail(run, node, "lists.range() of a negative number");
	if (a[0].i > UINT32_MAX || !cel_spend(run, (uint32_t)a[0].i))
		return cel_fail_iterations(run, node);
	items = cel_run_alloc(run, (size_t)a[0].i * sizeof(*items) + 1);
	if (!items)
		return cel_fail_memory();
	for (int64_t i = 0; i < a[0].i; i++)
		items[i] = cel_of_int(i);
	return cel_make_list(run, items, (size_t)a[0].i);
}

FN(first) {
	UNUSED;
	return cel_list_size(a[0]) ? cel_make_optional(run, cel_list_at(a[0], 0)) : cel_no_optional();
}
FN(last) {
	UNUSED;
	return cel_list_size(a[0]) ? cel_make_optional(run, cel_list_at(a[0], cel_list_size(a[0]) - 1)) : cel_no_optional();
}

static const struct cel_def lists[] = {
	{ "sort", "LA.:LA", sort, 0 },		{ "slice", "LA.ii:LA", slice, 0 }, { "reverse", "LA.:LA", reverse, 0 },
	{ "flatten", "LLA.:LA", flatten, 0 },	{ "flatten", "L*.i:L*", flatten_depth, 0 },
	{ "distinct", "LA.:LA", distinct, 0 },	{ "lists.range", "i:Li", range, 0 },
	{ "first", "LA.:OA", first, 0 },	{ "last", "LA.:OA", last, 0 },
};

LIBRARY(cel_list_defs, CEL_LIB_LISTS, lists);
