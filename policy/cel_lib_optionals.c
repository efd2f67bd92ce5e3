/* Optional values: optional.of and its kin, indexing into what may not be there. Source: cel-go cel/library.go, "optional". */

#include "policy/cel_lib.h"

FN(none) {
	UNUSED;
	(void)a;
	return cel_no_optional();
}
FN(of) {
	UNUSED;
	return cel_make_optional(run, a[0]);
}
FN(of_non_zero) {
	UNUSED;
	return cel_is_zero_value(a[0]) ? cel_no_optional() : cel_make_optional(run, a[0]);
}
FN(has_value) {
	UNUSED;
	return cel_of_bool(a[0].some);
}
FN(value) {
	return a[0].some ? *a[0].some : cel_fail(run, node, "optional.none() has no value");
}
FN(or) {
	UNUSED;
	return a[0].some ? a[0] : a[1];
}
FN(or_value) {
	UNUSED;
	return a[0].some ? *a[0].some : a[1];
}

/* list.unwrapOpt(): what is in those that hold something. */
FN(unwrap) {
	uint32_t n = 0, size = cel_list_size(a[0]);
	struct cel_value *items, v;

	if (!cel_spend(run, size / 16))
		return cel_fail_iterations(run, node);
	items = cel_run_alloc(run, size * sizeof(*items) + 1);
	if (!items)
		return cel_fail_memory();
	for (uint32_t i = 0; i < size; i++) {
		v = cel_list_at(a[0], i);
		if (v.kind != CEL_OPTIONAL)
			return cel_no_such_overload(run, node);
		if (v.some)
			items[n++] = *v.some;
	}
	return cel_make_list(run, items, n);
}

/* a[?k], and a[k] where a is optional. */
FN(opt_index) {
	struct cel_value of = a[0], v;
	uint32_t i;

	if (of.kind == CEL_OPTIONAL) {
		if (!of.some)
			return of;
		of = *of.some;
	}
	if (of.kind == CEL_MAP)
		return cel_map_find(of, a[1], &v) ? cel_make_optional(run, v) : cel_no_optional();
	if (of.kind != CEL_LIST || !cel_is_number(a[1]))
		return cel_no_such_overload(run, node);
	return cel_list_index(of, a[1], &i) ? cel_make_optional(run, cel_list_at(of, i)) : cel_no_optional();
}

static const struct cel_def optionals[] = {
	{ "optional.none", ":OA", none, 0 },
	{ "optional.of", "A:OA", of, 0 },
	{ "optional.ofNonZeroValue", "A:OA", of_non_zero, 0 },
	{ "optional.unwrap", "LOA:LA", unwrap, 0 },
	{ "unwrapOpt", "LOA.:LA", unwrap, 0 },
	{ "hasValue", "OA.:b", has_value, 0 },
	{ "value", "OA.:A", value, 0 },
	{ "or", "OA.OA:OA", or, 0 },
	{ "orValue", "OA.A:A", or_value, 0 },
	{ "_[?_]", "LAi:OA", opt_index, CEL_FN_OPT_INDEX },
	{ "_[?_]", "MABA:OB", opt_index, CEL_FN_OPT_INDEX },
	{ "_[?_]", "OLAi:OA", opt_index, CEL_FN_OPT_INDEX },
	{ "_[?_]", "OMABA:OB", opt_index, CEL_FN_OPT_INDEX },
	{ "_[?_]", "!**:O*", opt_index, CEL_FN_OPT_INDEX },
	{ "_[_]", "OLAi:OA", opt_index, CEL_FN_INDEX },
	{ "_[_]", "OMABA:OB", opt_index, CEL_FN_INDEX },
	{ "_[_]", "!O**:O*", opt_index, CEL_FN_INDEX },
};

LIBRARY(cel_optional_defs, CEL_LIB_OPTIONALS, optionals);
