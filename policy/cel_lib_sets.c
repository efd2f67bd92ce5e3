/* The sets extension: lists as sets. Source: cel-go ext/sets.go. */

#include "policy/cel_lib.h"

/* Each of a's items is in b (every), or one of them is. */
static struct cel_value compare_sets(const struct cel_node *node, struct cel_run *run, struct cel_value a, struct cel_value b, bool every) {
	bool found;

	for (uint32_t i = 0; i < cel_list_size(a); i++) {
		if (!cel_spend(run, 1) || !cel_list_has(run, b, cel_list_at(a, i), &found))
			return cel_fail_iterations(run, node);
		if (found != every)
			return cel_of_bool(found);
	}
	return cel_of_bool(every);
}

FN(contains) {
	return compare_sets(node, run, a[1], a[0], true);
}
FN(intersects) {
	return compare_sets(node, run, a[0], a[1], false);
}
FN(equivalent) {
	struct cel_value v = compare_sets(node, run, a[0], a[1], true);

	return cel_is_true(v) ? compare_sets(node, run, a[1], a[0], true) : v;
}

static const struct cel_def sets[] = {
	{ "sets.contains", "LALA:b", contains, 0 },
	{ "sets.intersects", "LALA:b", intersects, 0 },
	{ "sets.equivalent", "LALA:b", equivalent, 0 },
};

LIBRARY(cel_set_defs, CEL_LIB_SETS, sets);
