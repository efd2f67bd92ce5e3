/*
 * What an evaluation costs (cel.h says in which units): fixed when a program is planned, counted when it runs, and
 * estimated for the worst attributes when somebody asks.
 *
 * Nodes outside of loops are evaluated once at most, so their price is known beforehand and taken before the evaluation
 * begins; a loop takes the price of its body at each turn. What is left to count are calls that look through texts and
 * lists whose size nobody knows beforehand. Where functions do more than that, they take iterations (cel_spend).
 */

#include "policy/cel_internal.h"

#define UNBOUNDED UINT32_MAX
#define BOUNDED (1u << 28) /* what sizes that are known can cost is below, and what others can is above */

/* ---- The price of looking ---- */

static const uint8_t charges[N_CEL_FN] = {
	[CEL_FN_OTHER] = CEL_CHARGE_ALL,
	[CEL_FN_EQ ... CEL_FN_GE] = CEL_CHARGE_LESSER,
	[CEL_FN_ADD] = CEL_CHARGE_ALL,
	[CEL_FN_IN] = CEL_CHARGE_MEMBER,
	[CEL_FN_INDEX ... CEL_FN_OPT_INDEX] = CEL_CHARGE_SECOND,
	[CEL_FN_SIZE] = CEL_CHARGE_TEXT,
	[CEL_FN_BOOL ... CEL_FN_DATE] = CEL_CHARGE_TEXT,
	[CEL_FN_STARTS_WITH ... CEL_FN_ENDS_WITH] = CEL_CHARGE_SECOND,
	[CEL_FN_CONTAINS] = CEL_CHARGE_PRODUCT,
	[CEL_FN_MATCHES] = CEL_CHARGE_PATTERN,
	[CEL_FN_EXTRACT] = CEL_CHARGE_ALL,
	[CEL_FN_HAS_ONLY] = CEL_CHARGE_ALL,
	[CEL_FN_GET_ATTRIBUTE] = CEL_CHARGE_TEXT,
	[CEL_FN_GET_FULL_YEAR ... CEL_FN_GET_MILLISECONDS] = CEL_CHARGE_SECOND, /* the zone's name */
};

/* Of an argument, itself and not what is in it. */
struct extent {
	uint64_t bytes, items;
};

static uint64_t least(uint64_t a, uint64_t b) {
	return a < b ? a : b;
}

static uint64_t tenth(struct extent e) {
	return (e.bytes + 9) / 10;
}

static uint64_t price(enum cel_charge charge, const struct extent *args, uint32_t n) {
	struct extent first = n > 0 ? args[0] : (struct extent){ 0 }, second = n > 1 ? args[1] : (struct extent){ 0 };
	uint64_t sum = 0;

	switch (charge) {
	case CEL_CHARGE_NONE:
		return 0;
	case CEL_CHARGE_ALL:
		for (uint32_t i = 0; i < n; i++)
			sum += tenth(args[i]) + args[i].items;
		return sum;
	case CEL_CHARGE_TEXT:
		return tenth(first);
	case CEL_CHARGE_SECOND:
		return tenth(second);
	case CEL_CHARGE_LESSER:
		return least(tenth(first), tenth(second)); /* lists take iterations */
	case CEL_CHARGE_PRODUCT:
		return (1 + tenth(first)) * (1 + tenth(second));
	case CEL_CHARGE_PATTERN:
		return (1 + tenth(first)) * (1 + second.bytes / 4);
	case CEL_CHARGE_MEMBER:
		return tenth(first) + second.items * (1 + tenth(first));
	}
	return 0;
}

static struct extent extent_of(struct cel_value v) {
	if (v.kind == CEL_STRING || v.kind == CEL_BYTES)
		return (struct extent){ .bytes = v.n };
	if (v.kind == CEL_LIST)
		return (struct extent){ .items = cel_list_size(v) };
	return (struct extent){ .items = v.kind == CEL_MAP ? cel_map_size(v) : 0 };
}

bool cel_charge(struct cel_run *run, const struct cel_node *node, const struct cel_value *args) {
	struct extent extents[CEL_MAX_ARGS];
	uint64_t cost;

	for (uint32_t i = 0; i < node->n; i++)
		extents[i] = extent_of(args[i]);
	if (node->charge == CEL_CHARGE_MEMBER && args[1].kind == CEL_MAP)
		extents[1].items = 0; /* looked up, not through */
	cost = price(node->charge, extents, node->n);
	if (cost > run->left.cost)
		return false;
	run->left.cost -= (uint32_t)cost;
	return true;
}

/* ---- What is known beforehand ---- */

static bool is_scalar(const struct cel_type *type) {
	switch (type->kind) {
	case CEL_T_NULL:
	case CEL_T_BOOL:
	case CEL_T_INT:
	case CEL_T_UINT:
	case CEL_T_DOUBLE:
	case CEL_T_TIMESTAMP:
	case CEL_T_DURATION:
	case CEL_T_TYPE:
	case CEL_T_NAMED:
		return true;
	default:
		return false;
	}
}

static struct extent extent_known(const struct cel_node *node) {
	enum cel_type_kind kind = node->type->kind;

	if (node->kind == CEL_N_CONST)
		return extent_of(node->constant);
	return (struct extent){
		.bytes = is_scalar(node->type) || kind == CEL_T_LIST || kind == CEL_T_MAP ? 0 : UNBOUNDED,
		.items = is_scalar(node->type) || kind == CEL_T_STRING || kind == CEL_T_BYTES ? 0 : UNBOUNDED,
	};
}

static uint32_t add(uint32_t a, uint64_t b) {
	return b < UINT32_MAX - a ? a + (uint32_t)b : UINT32_MAX;
}

/* Among constants only what is as long as one of them is compared with it, or looked up. */
static uint64_t among_constants(const struct cel_node *node) {
	struct cel_value list = node->kids[1]->constant;
	uint64_t cost = 0;

	for (uint32_t i = 0; i < cel_list_size(list); i++)
		cost += 1 + tenth(extent_of(cel_list_at(list, i)));
	return cost;
}

static void plan_call(struct cel_node *node) {
	struct extent extents[CEL_MAX_ARGS];
	uint64_t cost;

	node->fixed = add(node->fixed, 1);
	if (node->n > CEL_MAX_ARGS)
		return;
	if (node->fn == CEL_FN_IN && node->kids[1]->kind == CEL_N_CONST && node->kids[1]->constant.kind == CEL_LIST) {
		node->fixed = add(node->fixed, among_constants(node));
		return;
	}
	for (uint32_t i = 0; i < node->n; i++)
		extents[i] = extent_known(node->kids[i]);
	cost = price(charges[node->fn], extents, node->n);
	if (cost < BOUNDED)
		node->fixed = add(node->fixed, cost);
	else
		node->charge = charges[node->fn];
}

static uint32_t own_cost(const struct cel_node *node) {
	switch (node->kind) {
	case CEL_N_CONST:
		return 0;
	case CEL_N_LIST:
		return 10 + node->n;
	case CEL_N_MAP:
		return 30 + node->n;
	case CEL_N_STRUCT:
		return 40 + node->n;
	default:
		return 1;
	}
}

/* The body of a loop is what comes after its range. */
void cel_cost_plan(struct cel_node *node) {
	uint32_t once = node->kind == CEL_N_LOOP ? 1 : node->n;

	node->fixed = 0;
	for (uint32_t i = 0; i < once; i++)
		node->fixed = add(node->fixed, node->kids[i]->fixed);
	if (node->kind == CEL_N_CALL) {
		plan_call(node);
		return;
	}
	node->fixed = add(node->fixed, own_cost(node));
	node->turn = 1;
	for (uint32_t i = once; i < node->n; i++)
		node->turn = add(node->turn, node->kids[i]->fixed);
}

/* ---- The worst that can be ---- */

#define LOCALS 64 /* variables that a program may have (cel_plan) */

struct worst {
	const struct cel_hints *hints;
	struct cel_size locals[LOCALS];
	uint32_t arena_bytes;
	struct cel_estimate *out;
};

static uint64_t measure(struct worst *w, const struct cel_node *node, struct cel_size *size);

/* Saturating. */
static uint64_t plus(uint64_t a, uint64_t b) {
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t times(uint64_t a, uint64_t b) {
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint32_t greater(uint32_t a, uint32_t b) {
	return a > b ? a : b;
}

static struct cel_size join(struct cel_size a, struct cel_size b) {
	return (struct cel_size){ greater(a.bytes, b.bytes), greater(a.items, b.items), greater(a.inner_bytes, b.inner_bytes),
				  greater(a.inner_items, b.inner_items) };
}

/* What is in it. */
static struct cel_size inner(struct cel_size of) {
	return (struct cel_size){ of.inner_bytes, of.inner_items, of.inner_bytes, of.inner_items };
}

/* A list or map of so many of these. */
static struct cel_size holding(uint32_t items, struct cel_size of) {
	return (struct cel_size){ 0, items, greater(of.bytes, of.inner_bytes), greater(of.items, of.inner_items) };
}

static struct cel_size size_of_value(struct cel_value v, unsigned depth) {
	struct cel_size all = { 0 };
	struct cel_map_iter iter = { 0 };
	struct cel_value key, value;

	if (v.kind == CEL_STRING || v.kind == CEL_BYTES)
		return (struct cel_size){ .bytes = v.n };
	if (v.kind != CEL_LIST && v.kind != CEL_MAP && (v.kind != CEL_OPTIONAL || !v.some))
		return all;
	if (depth == 0)
		return (struct cel_size){ UNBOUNDED, UNBOUNDED, UNBOUNDED, UNBOUNDED };
	if (v.kind == CEL_OPTIONAL)
		return size_of_value(*v.some, depth - 1);
	for (uint32_t i = 0; v.kind == CEL_LIST && i < cel_list_size(v); i++)
		all = join(all, size_of_value(cel_list_at(v, i), depth - 1));
	while (v.kind == CEL_MAP && cel_map_next(v, &iter, &key, &value))
		all = join(all, join(size_of_value(key, 0), size_of_value(value, depth - 1)));
	return holding((uint32_t)extent_of(v).items, all);
}

/*
 * What a function gives that nobody knows more about: something of its arguments, or something new, which the arena
 * has room for.
 */
static struct cel_size anything(const struct worst *w, struct cel_size args) {
	struct cel_size made = { w->arena_bytes, w->arena_bytes / sizeof(struct cel_value), w->arena_bytes,
				 w->arena_bytes / sizeof(struct cel_value) };

	return join(made, join(args, inner(args)));
}

/* Texts that functions give are as long as the one they began with, or shorter. */
static bool shortens(const struct cel_node *node) {
	static const char *const names[] = { "lowerAscii", "upperAscii", "trim", "substring", "charAt", "reverse" };

	if (node->fn == CEL_FN_EXTRACT)
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (node->member && node->fn == CEL_FN_OTHER && str_eq(node->name, str_of(names[i])))
			return true;
	return false;
}

static struct cel_size result_of(const struct worst *w, const struct cel_node *node, const struct cel_size *args) {
	struct cel_size all = { 0 }, first = node->n ? args[0] : all;

	for (uint32_t i = 0; i < node->n; i++)
		all = join(all, args[i]);
	if (is_scalar(node->type))
		return (struct cel_size){ 0 };
	if (node->fn == CEL_FN_DYN || node->fn == CEL_FN_BYTES || shortens(node))
		return first;
	if (node->fn == CEL_FN_STRING)
		return (struct cel_size){ .bytes = greater(first.bytes, CEL_SCALAR_TEXT) };
	if (node->fn == CEL_FN_GET_ATTRIBUTE)
		return args[1];
	if (node->fn == CEL_FN_INDEX || node->fn == CEL_FN_OPT_INDEX)
		return inner(first);
	if (node->fn == CEL_FN_ADD && node->n == 2)
		return (struct cel_size){ add(args[0].bytes, args[1].bytes), add(args[0].items, args[1].items), all.inner_bytes,
					  all.inner_items };
	return anything(w, all);
}

static struct extent extent_at_most(struct cel_size size, const struct cel_type *type) {
	struct extent e = { size.bytes, size.items };

	return is_scalar(type) ? (struct extent){ 0 } : e;
}

static void remember(struct worst *w, const struct cel_node *node, uint64_t cost) {
	if (cost < w->out->cost)
		return;
	w->out->cost = cost;
	w->out->node = node;
}

static uint64_t measure_call(struct worst *w, const struct cel_node *node, struct cel_size *size) {
	struct cel_size args[CEL_MAX_ARGS];
	struct extent extents[CEL_MAX_ARGS];
	uint64_t cost = node->fixed, more;

	for (uint32_t i = 0; i < node->n; i++) {
		struct cel_size *arg = &args[i < CEL_MAX_ARGS ? i : 0];

		cost = plus(cost - node->kids[i]->fixed, measure(w, node->kids[i], arg));
		extents[i < CEL_MAX_ARGS ? i : 0] = extent_at_most(*arg, node->kids[i]->type);
	}
	*size = node->n > CEL_MAX_ARGS ? (struct cel_size){ 0 } : result_of(w, node, args);
	if (!node->charge)
		return cost;
	more = price(node->charge, extents, node->n);
	remember(w, node, more);
	return plus(cost, more);
}

/* Of the loop as a whole, given what it runs over and what the last part of its body gives. */
static struct cel_size size_of_loop(const struct cel_node *node, struct cel_size range, struct cel_size last) {
	switch ((enum cel_macro)node->macro) {
	case CEL_M_FILTER:
	case CEL_M_SORT_BY:
		return range.items ? holding(range.items, inner(range)) : range;
	case CEL_M_MAP:
	case CEL_M_MAP_IF:
	case CEL_M_TRANSFORM_LIST:
		return holding(range.items, last);
	case CEL_M_TRANSFORM_MAP:
		return holding(range.items, join(last, inner(range)));
	case CEL_M_TRANSFORM_ENTRY:
		return holding((uint32_t)least(times(range.items, last.items), UNBOUNDED), inner(last));
	default:
		return (struct cel_size){ 0 };
	}
}

static uint64_t measure_loop(struct worst *w, const struct cel_node *node, struct cel_size *size) {
	struct cel_size range, last = { 0 };
	uint64_t cost = plus(node->fixed - node->kids[0]->fixed, measure(w, node->kids[0], &range)), turn = 1, turns;

	w->locals[node->var % LOCALS] = inner(range);
	if (node->var2 != CEL_NO_LOCAL)
		w->locals[node->var2 % LOCALS] = inner(range);
	for (uint32_t i = 1; i < node->n; i++)
		turn = plus(turn, measure(w, node->kids[i], &last));
	turns = times(range.items, turn);
	remember(w, node, turns);
	*size = size_of_loop(node, range, last);
	return plus(cost, turns);
}

/* Of nodes that evaluate each child once at most. */
static uint64_t measure_kids(struct worst *w, const struct cel_node *node, struct cel_size *all) {
	uint64_t cost = node->fixed;
	struct cel_size one;

	*all = (struct cel_size){ 0 };
	for (uint32_t i = 0; i < node->n; i++) {
		cost = plus(cost - node->kids[i]->fixed, measure(w, node->kids[i], &one));
		if (node->kind == CEL_N_BIND && i == 0)
			w->locals[node->var % LOCALS] = one;
		if (node->kind == CEL_N_BLOCK && i + 1 < node->n)
			w->locals[(node->var + i) % LOCALS] = one;
		*all = (node->kind == CEL_N_BIND && i == 1) || node->kind == CEL_N_BLOCK || (node->kind == CEL_N_COND && i == 1)
			       ? one : join(*all, one);
	}
	return cost;
}

/* As deep as the tree, which the parser has bounded. */
static uint64_t measure(struct worst *w, const struct cel_node *node, struct cel_size *size) {
	struct cel_size all;
	uint64_t cost;

	if (node->kind == CEL_N_CALL)
		return measure_call(w, node, size);
	if (node->kind == CEL_N_LOOP)
		return measure_loop(w, node, size);
	cost = measure_kids(w, node, &all);
	switch (node->kind) {
	case CEL_N_CONST:
		*size = size_of_value(node->constant, 96);
		break;
	case CEL_N_SLOT:
		*size = node->test			 ? (struct cel_size){ 0 }
			: node->slot < w->hints->n ? w->hints->slots[node->slot]
						   : w->hints->others;
		break;
	case CEL_N_LOCAL:
		*size = w->locals[node->slot % LOCALS];
		break;
	case CEL_N_SELECT:
		*size = node->test ? (struct cel_size){ 0 } : inner(all);
		break;
	case CEL_N_LIST:
	case CEL_N_MAP:
		*size = holding(node->n, all);
		break;
	case CEL_N_STRUCT:
		*size = anything(w, all);
		break;
	case CEL_N_COND:
	case CEL_N_BIND:
	case CEL_N_BLOCK:
		*size = all;
		break;
	default:
		*size = (struct cel_size){ 0 };
	}
	return cost;
}

void cel_estimate(const struct cel_program *program, const struct cel_hints *hints, uint32_t arena_bytes,
		  struct cel_estimate *out) {
	struct worst w = { .hints = hints, .arena_bytes = arena_bytes, .out = out };
	struct cel_size size;

	*out = (struct cel_estimate){ 0 };
	out->cost = measure(&w, program->root, &size);
}
