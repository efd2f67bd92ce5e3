/* See horizon.h. */

#include <assert.h>
#include <string.h>
#include "policy/cel_time.h"
#include "policy/horizon.h"
#include "policy/zones.h"

#define MAX_WORK 200000	 /* nodes looked at in one search; a few milliseconds */
#define MEMO 1536	 /* nodes remembered; a multiple of 64 */
#define MAX_STEPS 16	 /* changes of a getter followed within one interval */
#define MAX_COMPARED 4096 /* comparisons of one `in` */
#define FAULT_BYTES 128	 /* of the arena, for what a node says when it errs */
#define SAMPLES 28	 /* seconds looked at before an interval is, */
#define SAMPLED 21600	 /* this far from each other: a week's worth, each quarter of a day */
#define LOCALS 64	 /* variables that a program may have (cel_plan) */

/* What a truth could be. */
enum { CAN_TRUE = HORIZON_TRUE, CAN_FALSE = HORIZON_FALSE, CAN_ERR = HORIZON_ERROR, CAN_ALL = 7 };

enum set_kind {
	SET_ANY, /* could be anything, an error included */
	SET_ONE, /* exactly this value, which is no error */
	SET_TRUTH,
	SET_INT,      /* lo..hi */
	SET_DURATION, /* lo..hi nanoseconds */
	SET_TIME,     /* from..to */
};

/* A set of values that a node may take within an interval. */
struct set {
	enum set_kind kind;
	unsigned truth;
	int64_t lo, hi;
	struct cel_timestamp from, to;
	struct cel_value one;
};

/*
 * An evaluation errs when it runs out of iterations or memory, and which clauses it reaches depends on the time. So all
 * that the search evaluates comes out of one evaluation's allowance: what fits together here fits at every instant.
 */
struct horizon {
	const struct cel_program *program;
	const struct cel_node *root; /* whose value is looked for */
	const struct cel_activation *activation;
	struct cel_arena *arena;
	uint32_t slot;
	uint64_t open;	   /* slots that could be anything: cel_slot_bit() */
	uint64_t changing; /* those, and the time's */
	bool counted;	   /* what is sure must fit an evaluation's allowance, too */
	struct cel_timestamp start, from, to; /* the query's instant; the interval, both ends in it */
	struct cel_budget budget;	      /* of one evaluation, left */
	uint32_t work;			      /* left */
	bool uncounted;			      /* met what may take any share of an evaluation's allowance */
	uint64_t bound;		   /* which of these are: bit 1 << variable */
	struct set locals[LOCALS]; /* what cel.bind() bound */
	uint64_t fixed;		   /* which of them do not depend on the time; their values are these */
	struct cel_value values[LOCALS];
	uint64_t met[MEMO / 64];   /* nodes, by id */
	struct set memo[MEMO];	   /* of those that were met and do not depend on the time */
};

static const struct set any = { .kind = SET_ANY };

static struct set truth(unsigned can) {
	return (struct set){ .kind = SET_TRUTH, .truth = can };
}

/* A value that does not change, as a set. */
static struct set set_of(struct cel_value v) {
	if (v.kind == CEL_BOOL)
		return truth(v.b ? CAN_TRUE : CAN_FALSE);
	if (v.kind == CEL_ERROR || v.kind == CEL_UNKNOWN || v.kind == CEL_NONE)
		return truth(CAN_ERR);
	if (v.kind == CEL_INT)
		return (struct set){ .kind = SET_INT, .lo = v.i, .hi = v.i };
	if (v.kind == CEL_DURATION)
		return (struct set){ .kind = SET_DURATION, .lo = v.i, .hi = v.i };
	if (v.kind == CEL_TIMESTAMP)
		return (struct set){ .kind = SET_TIME, .from = { v.i, v.n }, .to = { v.i, v.n } };
	return (struct set){ .kind = SET_ONE, .one = v };
}

static unsigned can_be(struct set s) {
	return s.kind == SET_TRUTH ? s.truth : CAN_ALL;
}

/* --- which nodes depend on the time */

static bool is_time(const struct cel_node *node, uint32_t slot) {
	return node->kind == CEL_N_SLOT && node->slot == slot;
}

/* Whether it depends on what may change, slots by cel_slot_bit(), or on a variable bound outside of it that may. */
static bool varies(const struct cel_node *node, uint64_t changing, uint64_t fixed) {
	return node->uses & changing || node->free_locals & ~fixed;
}

static uint64_t local_bit(uint32_t local) {
	return (uint64_t)1 << local % LOCALS;
}

/* Takes from the allowance; what does not fit there is not believed. */
static uint32_t less_of(struct horizon *h, uint32_t left, uint32_t taken) {
	h->uncounted |= taken > left;
	return taken < left ? left - taken : 0;
}

static void spend(struct horizon *h, uint32_t iterations, uint32_t cost) {
	h->budget.iterations = less_of(h, h->budget.iterations, iterations);
	h->budget.cost = less_of(h, h->budget.cost, cost);
}

static struct cel_value value_once(struct horizon *h, const struct cel_node *node) {
	struct cel_value v = cel_eval_bound(h->program, node, h->activation, h->values, h->arena, &h->budget);

	if (v.kind == CEL_LIST)
		spend(h, cel_list_size(v) / 16, cel_list_size(v)); /* as `in` will */
	return v;
}

/* Whether this is the first look at it; nodes past MEMO are never remembered. */
static bool meet(struct horizon *h, const struct cel_node *node) {
	uint64_t bit = (uint64_t)1 << node->id % 64;
	bool first = !(h->met[node->id / 64] & bit);

	h->met[node->id / 64] |= bit;
	return first;
}

/* What does not change is evaluated once. */
static struct set constant(struct horizon *h, const struct cel_node *node) {
	if (meet(h, node))
		h->memo[node->id] = set_of(value_once(h, node));
	return h->memo[node->id];
}

/* --- times and numbers */

static struct set shift(struct set t, struct set d, bool minus) {
	struct set out = { .kind = SET_TIME };
	int64_t first = minus ? d.hi : d.lo, last = minus ? d.lo : d.hi;
	bool ok = minus ? cel_time_sub(t.from, first, &out.from) && cel_time_sub(t.to, last, &out.to)
			: cel_time_add(t.from, first, &out.from) && cel_time_add(t.to, last, &out.to);

	return ok ? out : any;
}

static struct set difference(struct set a, struct set b) {
	struct set out = { .kind = SET_DURATION };

	return cel_time_diff(a.from, b.to, &out.lo) && cel_time_diff(a.to, b.from, &out.hi) ? out : any;
}

/* Ranges of whole numbers, where nothing overflows. */
static struct set add_ranges(struct set a, struct set b, bool minus) {
	struct set out = { .kind = a.kind };
	bool over = minus ? __builtin_sub_overflow(a.lo, b.hi, &out.lo) || __builtin_sub_overflow(a.hi, b.lo, &out.hi)
			  : __builtin_add_overflow(a.lo, b.lo, &out.lo) || __builtin_add_overflow(a.hi, b.hi, &out.hi);

	return over ? any : out;
}

static struct set add_sets(struct set a, struct set b, bool minus) {
	if (a.kind == SET_TIME && b.kind == SET_DURATION)
		return shift(a, b, minus);
	if (a.kind == SET_DURATION && b.kind == SET_TIME && !minus)
		return shift(b, a, false);
	if (a.kind == SET_TIME && b.kind == SET_TIME && minus)
		return difference(a, b);
	if (a.kind == b.kind && (a.kind == SET_INT || a.kind == SET_DURATION))
		return add_ranges(a, b, minus);
	return any;
}

static struct set multiply(struct set a, struct set b) {
	const int64_t x[] = { a.lo, a.lo, a.hi, a.hi }, y[] = { b.lo, b.hi, b.lo, b.hi };
	struct set out = { .kind = SET_INT, .lo = INT64_MAX, .hi = INT64_MIN };
	int64_t product;

	if (a.kind != SET_INT || b.kind != SET_INT)
		return any;
	for (int i = 0; i < 4; i++) {
		if (__builtin_mul_overflow(x[i], y[i], &product))
			return any;
		out.lo = product < out.lo ? product : out.lo;
		out.hi = product > out.hi ? product : out.hi;
	}
	return out;
}

/* By one number, or one after the other: the search comes to intervals in which there is but one. */
static bool one_divisor(struct set a, struct set b, struct set *out) {
	if (a.kind != SET_INT || b.kind != SET_INT || b.lo != b.hi || b.lo == INT64_MIN || (b.lo == -1 && a.lo == INT64_MIN)) {
		*out = any;
		return false;
	}
	*out = b.lo ? (struct set){ .kind = SET_INT } : truth(CAN_ERR);
	return b.lo;
}

/* Rounds towards zero, and so keeps the order. */
static struct set divide(struct set a, struct set b) {
	struct set out;

	if (one_divisor(a, b, &out)) {
		out.lo = (b.lo > 0 ? a.lo : a.hi) / b.lo;
		out.hi = (b.lo > 0 ? a.hi : a.lo) / b.lo;
	}
	return out;
}

static struct set remainder_of(struct set a, struct set b) {
	int64_t m = b.lo < 0 && b.lo != INT64_MIN ? -b.lo : b.lo; /* the sign is the dividend's */
	struct set out;

	if (!one_divisor(a, b, &out))
		return out;
	if (a.lo / m == a.hi / m && (a.lo >= 0 || a.hi <= 0)) { /* no multiple between them */
		out.lo = a.lo % m;
		out.hi = a.hi % m;
		return out;
	}
	out.lo = a.lo >= 0 ? 0 : 1 - m;
	out.hi = a.hi <= 0 ? 0 : m - 1;
	return out;
}

static struct set negate(struct set a) {
	struct set zero = { .kind = a.kind };

	return a.kind == SET_INT || a.kind == SET_DURATION ? add_ranges(zero, a, true) : any;
}

/* --- comparisons: how the least and the greatest of one side stand to those of the other */

struct order {
	bool known;
	int lo_hi; /* least of a against greatest of b */
	int hi_lo;
};

static int cmp64(int64_t a, int64_t b) {
	return a < b ? -1 : a > b;
}

/* Numbers of another kind: the comparison of CEL keeps the order of whole ones. */
static struct order order_to(struct set ints, struct cel_value number) {
	int lo = cel_compare(cel_of_int(ints.lo), number), hi = cel_compare(cel_of_int(ints.hi), number);

	return (struct order){ lo < 2, lo, hi };
}

static struct order turned(struct order o) {
	return (struct order){ o.known, -o.hi_lo, -o.lo_hi };
}

static bool may_err(struct set s) {
	return s.kind == SET_ANY || (s.kind == SET_TRUTH && s.truth & CAN_ERR);
}

/* false < true */
static struct order order_of_truths(struct set a, struct set b) {
	int lo_a = !(a.truth & CAN_FALSE), hi_a = (a.truth & CAN_TRUE) != 0;
	int lo_b = !(b.truth & CAN_FALSE), hi_b = (b.truth & CAN_TRUE) != 0;

	return (struct order){ true, lo_a - hi_b, hi_a - lo_b };
}

static struct order order_of(struct set a, struct set b) {
	if (may_err(a) || may_err(b))
		return (struct order){ 0 };
	if (a.kind == SET_TRUTH && b.kind == SET_TRUTH)
		return order_of_truths(a, b);
	if (a.kind == SET_INT && b.kind == SET_ONE)
		return order_to(a, b.one);
	if (a.kind == SET_ONE && b.kind == SET_INT)
		return turned(order_to(b, a.one));
	if (a.kind == SET_TIME && b.kind == SET_TIME)
		return (struct order){ true, cel_time_compare(a.from, b.to), cel_time_compare(a.to, b.from) };
	if (a.kind == b.kind && (a.kind == SET_INT || a.kind == SET_DURATION))
		return (struct order){ true, cmp64(a.lo, b.hi), cmp64(a.hi, b.lo) };
	return (struct order){ 0 };
}

static unsigned less_truth(struct order o, bool or_equal) {
	if (or_equal ? o.hi_lo <= 0 : o.hi_lo < 0)
		return CAN_TRUE;
	if (or_equal ? o.lo_hi > 0 : o.lo_hi >= 0)
		return CAN_FALSE;
	return CAN_TRUE | CAN_FALSE;
}

static struct set less(struct order o, bool or_equal) {
	return o.known ? truth(less_truth(o, or_equal)) : any;
}

static struct set invert(struct set s) {
	unsigned can = can_be(s);

	return truth((can & CAN_ERR) | (can & CAN_TRUE ? CAN_FALSE : 0) | (can & CAN_FALSE ? CAN_TRUE : 0));
}

static bool is_number(struct set s) {
	return s.kind == SET_ONE && s.one.kind >= CEL_INT && s.one.kind <= CEL_DOUBLE;
}

/* Values of kinds that never equal each other. Of single values only numbers may equal what a range holds. */
static bool are_unlike(struct set a, struct set b) {
	return a.kind != b.kind && !is_number(a) && !is_number(b) && !may_err(a) && !may_err(b);
}

static struct set equal(struct set a, struct set b) {
	struct order o = order_of(a, b);

	if (!o.known)
		return are_unlike(a, b) ? truth(CAN_FALSE) : any;
	if (o.hi_lo < 0 || o.lo_hi > 0)
		return truth(CAN_FALSE);
	return truth(o.lo_hi == 0 && o.hi_lo == 0 ? CAN_TRUE : CAN_TRUE | CAN_FALSE);
}

/* --- getters: the values of a field between two instants, from the zone's own changes */

static bool field_of(const struct cel_node *node, enum cel_time_field *out) {
	static const enum cel_time_field fields[] = {
		[CEL_FN_GET_FULL_YEAR - CEL_FN_GET_FULL_YEAR] = CEL_FULL_YEAR,
		[CEL_FN_GET_MONTH - CEL_FN_GET_FULL_YEAR] = CEL_MONTH,
		[CEL_FN_GET_DATE - CEL_FN_GET_FULL_YEAR] = CEL_DATE,
		[CEL_FN_GET_DAY_OF_MONTH - CEL_FN_GET_FULL_YEAR] = CEL_DAY_OF_MONTH,
		[CEL_FN_GET_DAY_OF_WEEK - CEL_FN_GET_FULL_YEAR] = CEL_DAY_OF_WEEK,
		[CEL_FN_GET_DAY_OF_YEAR - CEL_FN_GET_FULL_YEAR] = CEL_DAY_OF_YEAR,
		[CEL_FN_GET_HOURS - CEL_FN_GET_FULL_YEAR] = CEL_HOURS,
		[CEL_FN_GET_MINUTES - CEL_FN_GET_FULL_YEAR] = CEL_MINUTES,
		[CEL_FN_GET_SECONDS - CEL_FN_GET_FULL_YEAR] = CEL_SECONDS,
		[CEL_FN_GET_MILLISECONDS - CEL_FN_GET_FULL_YEAR] = CEL_MILLISECONDS,
	};

	if (node->fn < CEL_FN_GET_FULL_YEAR || node->fn > CEL_FN_GET_MILLISECONDS)
		return false;
	*out = fields[node->fn - CEL_FN_GET_FULL_YEAR];
	return true;
}

static struct set field_range(enum cel_time_field field) {
	static const int64_t ranges[N_CEL_TIME_FIELDS][2] = {
		[CEL_FULL_YEAR] = { 0, 10000 },  [CEL_MONTH] = { 0, 11 },	 [CEL_DAY_OF_YEAR] = { 0, 365 },
		[CEL_DAY_OF_MONTH] = { 0, 30 },	 [CEL_DATE] = { 1, 31 },	 [CEL_DAY_OF_WEEK] = { 0, 6 },
		[CEL_HOURS] = { 0, 23 },	 [CEL_MINUTES] = { 0, 59 },	 [CEL_SECONDS] = { 0, 59 },
		[CEL_MILLISECONDS] = { 0, 999 },
	};

	return (struct set){ .kind = SET_INT, .lo = ranges[field][0], .hi = ranges[field][1] };
}

static struct set milliseconds(struct set t) {
	if (t.from.s != t.to.s)
		return field_range(CEL_MILLISECONDS);
	return (struct set){ .kind = SET_INT, .lo = t.from.ns / 1000000, .hi = t.to.ns / 1000000 };
}

static struct set timestamp_field(struct horizon *h, enum cel_time_field field, struct set t, struct zone_ref zone) {
	struct set out = { .kind = SET_INT };
	int64_t at = t.from.s;

	if (field == CEL_MILLISECONDS)
		return milliseconds(t);
	h->work -= h->work < MAX_STEPS ? h->work : MAX_STEPS;
	out.lo = out.hi = cel_time_get(field, t.from, zone);
	for (int i = 0; i < MAX_STEPS; i++) {
		int64_t v;

		at = cel_time_next_change(field, at, zone);
		if (at > t.to.s)
			return out;
		v = cel_time_get(field, (struct cel_timestamp){ at, 0 }, zone);
		out.lo = v < out.lo ? v : out.lo;
		out.hi = v > out.hi ? v : out.hi;
	}
	return field_range(field);
}

static struct set duration_field(enum cel_time_field field, struct set d) {
	if (field == CEL_MILLISECONDS) /* the part below a second */
		return (struct set){ .kind = SET_INT, .lo = -999, .hi = 999 };
	return (struct set){ .kind = SET_INT, .lo = cel_duration_get(field, d.lo), .hi = cel_duration_get(field, d.hi) };
}

static struct set getter(struct horizon *h, const struct cel_node *node, enum cel_time_field field, struct set operand) {
	if (operand.kind == SET_DURATION && node->n == 1 && field >= CEL_HOURS)
		return duration_field(field, operand);
	if (operand.kind != SET_TIME || (node->n > 1 && !node->zone_resolved))
		return any;
	return timestamp_field(h, field, operand, node->n > 1 ? node->zone : (struct zone_ref){ 0 });
}

/* --- nodes */

static struct set evaluate(struct horizon *h, const struct cel_node *node);

/* The time against a constant, which is what most conditions ask of it, and never an error. */
static bool is_time_against_constant(const struct cel_node *node, uint32_t slot) {
	return node->kind == CEL_N_CALL && node->fn >= CEL_FN_LT && node->fn <= CEL_FN_GE && is_time(node->kids[0], slot) &&
	       node->kids[1]->kind == CEL_N_CONST && node->kids[1]->constant.kind == CEL_TIMESTAMP;
}

static unsigned against_constant(const struct cel_node *node, struct cel_timestamp from, struct cel_timestamp to) {
	const struct cel_value *constant = &node->kids[1]->constant;
	struct cel_timestamp t = { constant->i, constant->n };
	int first = cel_time_compare(from, t), last = cel_time_compare(to, t);

	if (node->fn == CEL_FN_LT || node->fn == CEL_FN_LE)
		return less_truth((struct order){ true, first, last }, node->fn == CEL_FN_LE);
	return less_truth((struct order){ true, -last, -first }, node->fn == CEL_FN_GE);
}

/* What the truth of a node could be. */
static unsigned truth_at(struct horizon *h, const struct cel_node *node) {
	if (!h->work || !is_time_against_constant(node, h->slot))
		return can_be(evaluate(h, node));
	h->work--;
	return against_constant(node, h->from, h->to);
}

/* && and ||: `decides` absorbs what errs; an error stays only where nothing decided. */
static struct set junction(struct horizon *h, const struct cel_node *node, unsigned decides, unsigned passes) {
	bool may_decide = false, may_err = false, all_may_pass = true;

	for (uint32_t i = 0; i < node->n; i++) {
		unsigned can = truth_at(h, node->kids[i]);

		if (can == decides)
			return truth(decides);
		may_decide |= (can & decides) != 0;
		may_err |= (can & CAN_ERR) != 0;
		all_may_pass &= (can & passes) != 0;
	}
	return truth((may_decide ? decides : 0) | (may_err ? CAN_ERR : 0) | (all_may_pass ? passes : 0));
}

/* Both branches as one set, where they are of one kind. */
static struct set join(struct set a, struct set b) {
	if (a.kind != b.kind || a.kind == SET_ONE || a.kind == SET_ANY)
		return a.kind == SET_TRUTH || b.kind == SET_TRUTH ? truth(can_be(a) | can_be(b)) : any;
	if (a.kind == SET_TRUTH)
		return truth(a.truth | b.truth);
	a.lo = a.lo < b.lo ? a.lo : b.lo;
	a.hi = a.hi > b.hi ? a.hi : b.hi;
	a.from = cel_time_compare(a.from, b.from) < 0 ? a.from : b.from;
	a.to = cel_time_compare(a.to, b.to) > 0 ? a.to : b.to;
	return a;
}

static struct set conditional(struct horizon *h, const struct cel_node *node) {
	unsigned can = can_be(evaluate(h, node->kids[0]));
	struct set out;

	if (can == CAN_TRUE)
		return evaluate(h, node->kids[1]);
	if (can == CAN_FALSE)
		return evaluate(h, node->kids[2]);
	out = join(evaluate(h, node->kids[1]), evaluate(h, node->kids[2]));
	if (!(can & CAN_ERR))
		return out;
	return out.kind == SET_TRUTH ? truth(out.truth | CAN_ERR) : any;
}

static bool has(struct cel_value list, struct cel_value v) {
	struct cel_value value;

	if (list.kind == CEL_MAP)
		return cel_map_find(list, v, &value);
	for (uint32_t i = 0; i < cel_list_size(list); i++)
		if (cel_equal(v, cel_list_at(list, i)))
			return true;
	return false;
}

/* Each whole number is looked for: true where every one is in it, false where none is. */
static struct set member_ints(struct horizon *h, struct set x, struct cel_value list, uint32_t n) {
	uint64_t span = (uint64_t)x.hi - (uint64_t)x.lo; /* the difference of two int64_t may not be one */
	unsigned can = 0;

	if (span > MAX_COMPARED || (span + 1) * n > MAX_COMPARED)
		return truth(CAN_TRUE | CAN_FALSE);
	h->work -= h->work < span + 1 ? h->work : (uint32_t)span + 1;
	for (uint64_t v = 0; v <= span; v++)
		can |= has(list, cel_of_int(x.lo + (int64_t)v)) ? CAN_TRUE : CAN_FALSE;
	return truth(can);
}

/* Anything else is compared with each item. */
static struct set member_any(struct set x, struct cel_value list, uint32_t n) {
	bool may = false;

	for (uint32_t i = 0; i < n; i++) {
		unsigned can = can_be(equal(x, set_of(cel_list_at(list, i))));

		if (can == CAN_TRUE)
			return truth(CAN_TRUE);
		may |= (can & CAN_TRUE) != 0;
	}
	return truth(may ? CAN_TRUE | CAN_FALSE : CAN_FALSE);
}

/* x in what does not change. */
static struct set member(struct horizon *h, struct set x, struct set list) {
	bool map = list.kind == SET_ONE && list.one.kind == CEL_MAP;
	uint32_t n;

	if (list.kind != SET_ONE || (list.one.kind != CEL_LIST && !map) || may_err(x) || (map && x.kind != SET_INT))
		return any;
	n = map ? 1 : cel_list_size(list.one);
	if (n > MAX_COMPARED)
		return truth(CAN_TRUE | CAN_FALSE);
	if (x.kind == SET_INT)
		return member_ints(h, x, list.one, n);
	return member_any(x, list.one, n);
}

/* timestamp(seconds) */
static struct set from_unix(struct set s) {
	struct set out = { .kind = SET_TIME };

	return cel_time_from_unix(s.lo, &out.from) && cel_time_from_unix(s.hi, &out.to) ? out : any;
}

/* Of one argument. */
static struct set convert(const struct cel_node *node, struct set a) {
	switch (node->fn) {
	case CEL_FN_DYN:
		return a;
	case CEL_FN_NEG:
		return negate(a);
	case CEL_FN_TIMESTAMP:
		return a.kind == SET_INT ? from_unix(a) : a.kind == SET_TIME ? a : any;
	case CEL_FN_DURATION:
		return a.kind == SET_DURATION ? a : any;
	case CEL_FN_INT:
		if (a.kind == SET_TIME)
			return (struct set){ .kind = SET_INT, .lo = a.from.s, .hi = a.to.s };
		return a.kind == SET_INT ? a : any;
	default:
		return any;
	}
}

static bool surely_errs(struct set s) {
	return s.kind == SET_TRUTH && s.truth == CAN_ERR;
}

static struct set call(struct horizon *h, const struct cel_node *node) {
	struct set a = node->n ? evaluate(h, node->kids[0]) : any, b;
	enum cel_time_field field;

	if (surely_errs(a))
		return a; /* and so does every call on it */
	if (field_of(node, &field))
		return getter(h, node, field, a);
	if (node->n == 1)
		return convert(node, a);
	if (node->n != 2)
		return any;
	b = evaluate(h, node->kids[1]);
	if (surely_errs(b))
		return b;
	switch (node->fn) {
	case CEL_FN_LT:
		return less(order_of(a, b), false);
	case CEL_FN_LE:
		return less(order_of(a, b), true);
	case CEL_FN_GT:
		return less(order_of(b, a), false);
	case CEL_FN_GE:
		return less(order_of(b, a), true);
	case CEL_FN_EQ:
		return equal(a, b);
	case CEL_FN_NE:
		return invert(equal(a, b));
	case CEL_FN_ADD:
		return add_sets(a, b, false);
	case CEL_FN_SUB:
		return add_sets(a, b, true);
	case CEL_FN_MUL:
		return multiply(a, b);
	case CEL_FN_DIV:
		return divide(a, b);
	case CEL_FN_MOD:
		return remainder_of(a, b);
	case CEL_FN_IN:
		return member(h, a, b);
	default:
		return any;
	}
}

/* Whether sets follow what this node does to the time; `in` where only its left side depends on it. */
static bool is_followed(const struct cel_node *node) {
	enum cel_time_field field;

	if (node->kind != CEL_N_CALL)
		return node->kind == CEL_N_SLOT || node->kind == CEL_N_LOCAL || node->kind == CEL_N_AND ||
		       node->kind == CEL_N_OR || node->kind == CEL_N_NOT || node->kind == CEL_N_COND ||
		       (node->kind == CEL_N_BIND && node->macro == CEL_M_BIND);
	if (field_of(node, &field))
		return node->zone_resolved;
	switch (node->fn) {
	case CEL_FN_DYN:
	case CEL_FN_NEG:
	case CEL_FN_TIMESTAMP:
	case CEL_FN_DURATION:
	case CEL_FN_INT:
	case CEL_FN_LT:
	case CEL_FN_LE:
	case CEL_FN_GT:
	case CEL_FN_GE:
	case CEL_FN_EQ:
	case CEL_FN_NE:
	case CEL_FN_ADD:
	case CEL_FN_SUB:
	case CEL_FN_MUL:
	case CEL_FN_DIV:
	case CEL_FN_MOD:
	case CEL_FN_IN:
		return true;
	default:
		return false;
	}
}

/* What does not depend on the time is bound once: wherever it stands it is that value. */
static void bind(struct horizon *h, const struct cel_node *node) {
	const struct cel_node *value = node->kids[0];
	uint64_t bit = local_bit(node->var);

	if (h->fixed & bit)
		return;
	h->bound |= bit;
	if (varies(value, h->changing, h->fixed)) {
		h->locals[node->var % LOCALS] = evaluate(h, value);
		return;
	}
	h->values[node->var % LOCALS] = value_once(h, value);
	h->locals[node->var % LOCALS] = set_of(h->values[node->var % LOCALS]);
	h->fixed |= bit;
}

static struct set follow(struct horizon *h, const struct cel_node *node) {
	switch (node->kind) {
	case CEL_N_SLOT:
		return node->test ? truth(CAN_TRUE) : (struct set){ .kind = SET_TIME, .from = h->from, .to = h->to };
	case CEL_N_LOCAL:
		return h->bound & local_bit(node->slot) ? h->locals[node->slot % LOCALS] : any;
	case CEL_N_BIND:
		bind(h, node);
		return evaluate(h, node->kids[1]);
	case CEL_N_AND:
		return junction(h, node, CAN_FALSE, CAN_TRUE);
	case CEL_N_OR:
		return junction(h, node, CAN_TRUE, CAN_FALSE);
	case CEL_N_NOT:
		return invert(evaluate(h, node->kids[0]));
	case CEL_N_COND:
		return conditional(h, node);
	default:
		return call(h, node);
	}
}

/* Of calls whose price depends on sizes it is known of `in` alone, where what is looked for is no text. */
static bool is_priced(const struct cel_node *node) {
	enum cel_type_kind kind;

	if (!node->charge)
		return true;
	kind = node->kids[0]->type->kind;
	return node->fn == CEL_FN_IN && kind != CEL_T_STRING && kind != CEL_T_BYTES && kind != CEL_T_DYN;
}

/*
 * The recursion is as deep as the tree, which the compiler bounds (cel_limits.depth). In a program too large to remember
 * its nodes they count as anything.
 */
static struct set evaluate(struct horizon *h, const struct cel_node *node) {
	if (!h->work)
		return any;
	h->work--;
	if (node->kind == CEL_N_CONST && node->constant.kind != CEL_LIST)
		return set_of(node->constant);
	if (is_time(node, h->slot))
		return follow(h, node);
	if (node->kind == CEL_N_SLOT && h->open & cel_slot_bit(node->slot))
		return any;
	if (node->id < MEMO && !varies(node, h->changing, h->fixed))
		return constant(h, node);
	if (node->id < MEMO && node->kind == CEL_N_CALL && meet(h, node) && !cel_arena_alloc(h->arena, FAULT_BYTES))
		h->uncounted = true;
	h->uncounted |= h->counted && !is_priced(node);
	if (node->id < MEMO && is_followed(node))
		return follow(h, node);
	h->uncounted |= h->counted;
	return any;
}

/* --- the search */

static unsigned truth_within(struct horizon *h, int64_t a, int64_t b) {
	h->from = (struct cel_timestamp){ a, a == h->start.s ? h->start.ns : 0 };
	h->to = (struct cel_timestamp){ b, 999999999 };
	return truth_at(h, h->root);
}

/* Whether it is surely one of these. */
static bool holds(struct horizon *h, int64_t a, int64_t b, unsigned wanted) {
	return !(truth_within(h, a, b) & ~wanted) && h->work && !h->uncounted;
}

/*
 * The first second in [a, b] that is not surely so, or INT64_MAX. Halving finds it in log2 steps where one boundary
 * lies in the interval; the left half always goes first.
 */
static int64_t first_unsure(struct horizon *h, int64_t a, int64_t b, unsigned wanted) {
	int64_t middle, found;

	if (!h->work || h->uncounted)
		return a;
	if (holds(h, a, b, wanted))
		return INT64_MAX;
	if (a == b)
		return a;
	middle = a + (b - a) / 2;
	found = first_unsure(h, a, middle, wanted);
	return found != INT64_MAX ? found : first_unsure(h, middle + 1, b, wanted);
}

/* h is large, so that it is not cleared as a whole. */
static void begin(struct horizon *h, const struct cel_program *program, const struct cel_activation *activation,
		  uint32_t time_slot, struct cel_timestamp start, struct cel_arena *arena, uint32_t work) {
	uint32_t ids = cel_program_ids(program);

	h->program = program;
	h->root = cel_program_root(program);
	h->activation = activation;
	h->arena = arena;
	h->slot = time_slot;
	h->open = 0;
	h->counted = true;
	h->start = start;
	h->changing = cel_slot_bit(time_slot);
	h->budget = cel_program_budget(program);
	h->work = work;
	h->uncounted = false;
	h->bound = h->fixed = 0;
	memset(h->values, 0, cel_program_locals(program) * sizeof(*h->values));
	memset(h->met, 0, (ids < MEMO ? ids + 63 : MEMO) / 64 * sizeof(*h->met));
}

static int64_t search(const struct cel_program *program, const struct cel_activation *activation, uint32_t time_slot,
		      int64_t limit, unsigned wanted, struct cel_arena *arena, uint32_t *work) {
	int64_t last = limit < CEL_TIME_MAX_S ? limit : CEL_TIME_MAX_S, found;
	struct cel_value now;
	struct horizon h;

	if (!cel_program_uses(program, time_slot))
		return INT64_MAX;
	now = activation->slots[time_slot];
	assert(now.kind == CEL_TIMESTAMP);
	if (limit < now.i)
		return INT64_MAX;
	begin(&h, program, activation, time_slot, (struct cel_timestamp){ now.i, now.n }, arena, *work);
	found = first_unsure(&h, now.i, last, wanted);
	*work = h.work;
	return found == INT64_MAX && last < limit ? last + 1 : found;
}

int64_t horizon_until(const struct cel_program *program, const struct cel_activation *activation, uint32_t time_slot,
		      int64_t limit, bool want, struct cel_arena *arena) {
	uint32_t work = MAX_WORK;

	return search(program, activation, time_slot, limit, want ? CAN_TRUE : CAN_FALSE, arena, &work);
}

int64_t horizon_when(const struct cel_program *program, const struct cel_activation *activation, uint32_t time_slot,
		     int64_t limit, bool wish, struct cel_arena *arena, uint32_t *work) {
	return search(program, activation, time_slot, limit, CAN_ALL & ~(unsigned)(wish ? CAN_TRUE : CAN_FALSE), arena,
		      work);
}

/* Most of what is not so is not so at one of a few instants, which is sooner seen than where it begins. */
static bool holds_at_samples(struct horizon *h, int64_t from, int64_t to, unsigned wanted) {
	int64_t at = from;

	for (int i = 0; i < SAMPLES && at <= to; i++, at += SAMPLED)
		if (!holds(h, at, at, wanted))
			return false;
	return holds(h, to, to, wanted);
}

bool horizon_surely(const struct cel_program *program, uint32_t time_slot, int64_t from, int64_t to, unsigned wanted,
		    struct cel_arena *arena, uint32_t *work) {
	const struct cel_activation nothing = { 0 };
	struct horizon h;
	bool r;

	begin(&h, program, &nothing, time_slot, (struct cel_timestamp){ from, 0 }, arena, *work);
	h.open = h.changing = UINT64_MAX;
	h.counted = false;
	r = holds_at_samples(&h, from, to, wanted) && first_unsure(&h, from, to, wanted) == INT64_MAX;
	*work = h.work;
	return r;
}

/* ---- one interval ---- */

static void begin_question(struct horizon *h, const struct horizon_question *q, int64_t from, struct cel_arena *arena, uint32_t work) {
	begin(h, q->program, q->activation, q->time_slot, (struct cel_timestamp){ from, 0 }, arena, work);
	h->open = q->open;
	h->changing |= q->open;
	h->counted = q->counted;
}

unsigned horizon_within(const struct horizon_question *q, int64_t from, int64_t to, struct cel_arena *arena, uint32_t *work) {
	struct horizon h;
	unsigned can;

	begin_question(&h, q, from, arena, *work);
	can = truth_within(&h, from, to);
	*work = h.work;
	return !h.work || h.uncounted ? CAN_ALL : can;
}

static bool is_settled(unsigned can) {
	return !(can & (can - 1));
}

/* The first part that nobody can tell the value of; NULL: there is none. Depth: cel_limits.depth. */
static const struct cel_node *doubt(struct horizon *h, const struct cel_node *node) {
	const struct cel_node *found = NULL;

	if (is_settled(truth_at(h, node)))
		return NULL;
	if (node->kind != CEL_N_AND && node->kind != CEL_N_OR && node->kind != CEL_N_NOT && node->kind != CEL_N_COND)
		return node;
	for (uint32_t i = 0; i < node->n && !found; i++)
		found = doubt(h, node->kids[i]);
	return found ? found : node;
}

const struct cel_node *horizon_doubt(const struct horizon_question *q, int64_t from, int64_t to, struct cel_arena *arena, uint32_t *work) {
	const struct cel_node *found;
	struct horizon h;

	begin_question(&h, q, from, arena, *work);
	truth_within(&h, from, to);
	found = doubt(&h, h.root);
	*work = h.work;
	return found;
}

/* ---- one node ---- */

int64_t horizon_next_change(const struct cel_program *program, const struct cel_node *node, uint32_t time_slot, int64_t from,
			    int64_t limit, struct cel_arena *arena, uint32_t *work) {
	const struct cel_activation nothing = { 0 };
	struct horizon h;
	unsigned is;
	int64_t found;

	begin(&h, program, &nothing, time_slot, (struct cel_timestamp){ from, 0 }, arena, *work);
	h.root = node;
	is = truth_within(&h, from, from);
	found = !is_settled(is) || from >= limit ? from + 1 : first_unsure(&h, from + 1, limit, is);
	*work = h.work;
	return found > limit ? INT64_MAX : found;
}

bool horizon_is_beyond(const struct cel_node *node, struct cel_timestamp now, uint32_t time_slot, int64_t limit, bool want) {
	const struct cel_timestamp last = { limit, 999999999 };
	const struct cel_node *kid;

	if (limit > CEL_TIME_MAX_S)
		return false;
	if (node->kind != (want ? CEL_N_AND : CEL_N_OR))
		return is_time_against_constant(node, time_slot) &&
		       against_constant(node, now, last) == (want ? CAN_TRUE : CAN_FALSE);
	for (uint32_t i = 0; i < node->n; i++) {
		kid = node->kids[i];
		if (varies(kid, cel_slot_bit(time_slot), 0) && !horizon_is_beyond(kid, now, time_slot, limit, want))
			return false;
	}
	return true;
}

/* --- lint */

static bool has_sets(const struct cel_type *type) {
	return type && (type->kind == CEL_T_BOOL || type->kind == CEL_T_INT || type->kind == CEL_T_TIMESTAMP ||
			type->kind == CEL_T_DURATION || type->kind == CEL_T_DYN);
}

/* The variables that a node binds and that do not depend on the time: those of a loop are not to blame for it, either. */
static uint64_t fixed_by(const struct cel_node *node, uint32_t slot, uint64_t fixed) {
	if (node->kind == CEL_N_LOOP)
		return local_bit(node->var) | (node->var2_name.n ? local_bit(node->var2) : 0);
	return node->kind == CEL_N_BIND && !varies(node->kids[0], cel_slot_bit(slot), fixed) ? local_bit(node->var) : 0;
}

/* Depth: cel_limits.depth. */
static const struct cel_node *blind_spot(const struct cel_node *node, uint32_t slot, uint64_t fixed) {
	const struct cel_node *found;

	if (!varies(node, cel_slot_bit(slot), fixed))
		return NULL;
	for (uint32_t i = 0; i < node->n; i++) {
		found = blind_spot(node->kids[i], slot, i ? fixed | fixed_by(node, slot, fixed) : fixed);
		if (found)
			return found;
	}
	if (node->kind == CEL_N_CALL && node->fn == CEL_FN_IN && varies(node->kids[1], cel_slot_bit(slot), fixed))
		return node;
	return is_followed(node) && has_sets(node->type) ? NULL : node;
}

const struct cel_node *horizon_blind_spot(const struct cel_program *program, uint32_t time_slot) {
	return blind_spot(cel_program_root(program), time_slot, 0);
}
