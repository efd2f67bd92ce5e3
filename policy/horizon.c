/* See horizon.h. */

#include "policy/cel_time.h"
#include "policy/horizon.h"
#include "policy/zones.h"

#define MAX_INTERVALS 4096 /* looked at in one search */
#define MEMO 512	   /* nodes whose value does not depend on the time, remembered; power of two */
#define ERROR_ROOM 4096	   /* bytes of the arena left for errors of parts that depend on the time */
#define MAX_STEPS 16	   /* changes of a getter followed within one interval */

/* What a truth could be. */
enum { CAN_TRUE = 1, CAN_FALSE = 2, CAN_ERR = 4, CAN_ALL = 7 };

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

struct memo {
	const struct cel_node *node;
	struct set set;
	bool timed; /* depends on the time: no set */
};

struct horizon {
	const struct cel_program *program;
	const struct cel_activation *activation;
	struct cel_arena *arena;
	uint32_t slot;
	int64_t a, b; /* the interval, whole seconds, both ends in it */
	unsigned intervals;
	uint32_t iterations; /* left for all that does not depend on the time, as for one evaluation of the whole */
	bool hidden_cost;    /* something that depends on the time takes iterations or memory, nobody knows how many */
	struct memo memo[MEMO];
	const struct cel_node *blind; /* first node that could be anything though all it is made of is known */
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

static bool mentions_time(const struct horizon *h, const struct cel_node *node) {
	if (node->kind == CEL_N_SLOT && node->slot == h->slot)
		return true;
	for (uint32_t i = 0; i < node->n; i++)
		if (mentions_time(h, node->kids[i]))
			return true;
	return false;
}

/* Takes neither iterations nor memory, whatever its operands: all that the analysis looks into. */
static bool is_free(const struct cel_node *node) {
	switch (node->kind) {
	case CEL_N_SLOT:
	case CEL_N_AND:
	case CEL_N_OR:
	case CEL_N_NOT:
	case CEL_N_COND:
		return true;
	case CEL_N_CALL:
		break;
	default:
		return false;
	}
	if (node->fn == CEL_FN_IN)
		return node->set || (node->kids[1]->kind == CEL_N_CONST && cel_list_size(node->kids[1]->constant) < 16);
	for (uint32_t i = 0; i < node->n; i++)
		if (!node->kids[i]->type || node->kids[i]->type->kind == CEL_T_LIST || node->kids[i]->type->kind == CEL_T_MAP ||
		    node->kids[i]->type->kind == CEL_T_DYN)
			return false;
	return (node->fn >= CEL_FN_EQ && node->fn <= CEL_FN_NEG) || node->fn == CEL_FN_INT || node->fn == CEL_FN_TIMESTAMP ||
	       node->fn == CEL_FN_DURATION || (node->fn >= CEL_FN_GET_FULL_YEAR && node->fn <= CEL_FN_GET_MILLISECONDS);
}

static bool costs_with_time(const struct horizon *h, const struct cel_node *node) {
	if (mentions_time(h, node) && !is_free(node))
		return true;
	for (uint32_t i = 0; i < node->n; i++)
		if (costs_with_time(h, node->kids[i]))
			return true;
	return false;
}

/*
 * A part that does not depend on the time is evaluated once. That it fits into the limits alone does not say that it
 * does in an evaluation of the whole: the iterations are those of all parts together, and where something beside them
 * takes an unknown number, a part that takes any could fail.
 */
static struct set steady_set(struct horizon *h, const struct cel_node *node) {
	const char *memory = h->arena->at;
	uint32_t iterations = h->iterations;
	struct cel_value v = cel_eval_part(h->program, node, h->activation, h->arena, &h->iterations);

	if (h->iterations == iterations && h->arena->at == memory)
		return set_of(v);
	if (h->hidden_cost || (size_t)(h->arena->end - h->arena->at) < ERROR_ROOM)
		return any;
	return set_of(v);
}

static struct memo *memo_find(struct horizon *h, const struct cel_node *node) {
	size_t at = ((uintptr_t)node >> 4) * 0x9E3779B97F4A7C15u >> 55;

	for (size_t i = 0; i < MEMO; i++) {
		struct memo *m = &h->memo[(at + i) % MEMO];

		if (m->node == node)
			return m;
		if (m->node)
			continue;
		m->node = node;
		m->timed = mentions_time(h, node);
		if (!m->timed)
			m->set = steady_set(h, node);
		return m;
	}
	return NULL; /* a program this large: its nodes count as anything */
}

/* --- times and numbers */

static struct set time_slot_set(const struct horizon *h) {
	return (struct set){ .kind = SET_TIME, .from = { h->a, 0 }, .to = { h->b, 999999999 } };
}

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

/* --- comparisons: how the least and the greatest of one side stand to those of the other */

struct order {
	bool known;
	int lo_hi; /* least of a against greatest of b */
	int hi_lo;
};

static int cmp64(int64_t a, int64_t b) {
	return a < b ? -1 : a > b;
}

static struct order order_of(struct set a, struct set b) {
	if (a.kind == SET_TIME && b.kind == SET_TIME)
		return (struct order){ true, cel_time_compare(a.from, b.to), cel_time_compare(a.to, b.from) };
	if (a.kind == b.kind && (a.kind == SET_INT || a.kind == SET_DURATION))
		return (struct order){ true, cmp64(a.lo, b.hi), cmp64(a.hi, b.lo) };
	return (struct order){ 0 };
}

static bool is_single(struct set s) {
	return s.kind == SET_TIME ? cel_time_compare(s.from, s.to) == 0 : s.lo == s.hi;
}

static struct set less(struct order o, bool or_equal) {
	if (!o.known)
		return any;
	if (or_equal ? o.hi_lo <= 0 : o.hi_lo < 0)
		return truth(CAN_TRUE);
	if (or_equal ? o.lo_hi > 0 : o.lo_hi >= 0)
		return truth(CAN_FALSE);
	return truth(CAN_TRUE | CAN_FALSE);
}

static struct set invert(struct set s) {
	unsigned can = can_be(s);

	return truth((can & CAN_ERR) | (can & CAN_TRUE ? CAN_FALSE : 0) | (can & CAN_FALSE ? CAN_TRUE : 0));
}

static struct set equal(struct set a, struct set b) {
	struct order o = order_of(a, b);

	if (a.kind == SET_TRUTH && b.kind == SET_TRUTH && !((a.truth | b.truth) & CAN_ERR)) {
		unsigned both = a.truth & b.truth;
		bool single = (a.truth == CAN_TRUE || a.truth == CAN_FALSE) && (b.truth == CAN_TRUE || b.truth == CAN_FALSE);

		return truth(single ? both ? CAN_TRUE : CAN_FALSE : CAN_TRUE | CAN_FALSE);
	}
	if (!o.known)
		return any;
	if (o.hi_lo < 0 || o.lo_hi > 0)
		return truth(CAN_FALSE);
	return is_single(a) && is_single(b) ? truth(CAN_TRUE) : truth(CAN_TRUE | CAN_FALSE);
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

static struct set timestamp_field(enum cel_time_field field, struct set t, struct zone_ref zone) {
	struct set out = { .kind = SET_INT };
	int64_t at = t.from.s;

	if (field == CEL_MILLISECONDS)
		return field_range(field);
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

static struct set getter(const struct cel_node *node, enum cel_time_field field, struct set operand) {
	if (operand.kind == SET_DURATION && node->n == 1 && field >= CEL_HOURS)
		return duration_field(field, operand);
	if (operand.kind != SET_TIME || (node->n > 1 && !node->zone_resolved))
		return any;
	return timestamp_field(field, operand, node->n > 1 ? node->zone : (struct zone_ref){ 0 });
}

/* --- nodes */

static struct set evaluate(struct horizon *h, const struct cel_node *node);

/* && and ||: `decides` absorbs what errs; an error stays only where nothing decided. */
static struct set junction(struct horizon *h, const struct cel_node *node, unsigned decides, unsigned passes) {
	bool may_decide = false, may_err = false, all_may_pass = true;

	for (uint32_t i = 0; i < node->n; i++) {
		unsigned can = can_be(evaluate(h, node->kids[i]));

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

/* x in [constants]: true where every value of x is in it, false where none is. */
static struct set member(struct set x, struct set list) {
	unsigned can = 0;
	uint64_t span = (uint64_t)x.hi - (uint64_t)x.lo; /* the difference of two int64_t may not be one */

	if (x.kind != SET_INT || list.kind != SET_ONE || list.one.kind != CEL_LIST || span > 1000)
		return any;
	for (uint64_t v = 0; v <= span; v++) {
		bool found = false;

		for (uint32_t i = 0; i < cel_list_size(list.one) && !found; i++)
			found = cel_equal(cel_of_int(x.lo + (int64_t)v), cel_list_at(list.one, i));
		can |= found ? CAN_TRUE : CAN_FALSE;
	}
	return truth(can);
}

static struct set call(struct horizon *h, const struct cel_node *node) {
	struct set a = node->n ? evaluate(h, node->kids[0]) : any, b;
	enum cel_time_field field;

	if (field_of(node, &field))
		return getter(node, field, a);
	if (node->fn == CEL_FN_INT && a.kind == SET_TIME)
		return (struct set){ .kind = SET_INT, .lo = a.from.s, .hi = a.to.s };
	if (node->fn == CEL_FN_DYN || (node->fn == CEL_FN_TIMESTAMP && a.kind == SET_TIME) ||
	    (node->fn == CEL_FN_DURATION && a.kind == SET_DURATION) || (node->fn == CEL_FN_INT && a.kind == SET_INT))
		return a;
	if (node->n != 2)
		return any;
	b = evaluate(h, node->kids[1]);
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
	case CEL_FN_IN:
		return member(a, b);
	default:
		return any;
	}
}

/* The recursion is as deep as the tree, which the compiler bounds (cel_limits.depth). */
static struct set evaluate(struct horizon *h, const struct cel_node *node) {
	struct memo *memo = memo_find(h, node);
	struct set out = any;

	if (!memo)
		return any;
	if (!memo->timed)
		return memo->set;
	if (node->kind == CEL_N_SLOT)
		out = time_slot_set(h);
	else if (node->kind == CEL_N_AND)
		out = junction(h, node, CAN_FALSE, CAN_TRUE);
	else if (node->kind == CEL_N_OR)
		out = junction(h, node, CAN_TRUE, CAN_FALSE);
	else if (node->kind == CEL_N_NOT)
		out = invert(evaluate(h, node->kids[0]));
	else if (node->kind == CEL_N_COND)
		out = conditional(h, node);
	else if (node->kind == CEL_N_CALL)
		out = call(h, node);
	if (out.kind == SET_ANY && !h->blind)
		h->blind = node;
	return out;
}

/* --- the search */

static bool holds(struct horizon *h, int64_t a, int64_t b, unsigned want) {
	h->a = a;
	h->b = b;
	h->intervals++;
	return can_be(evaluate(h, cel_program_root(h->program))) == want;
}

/*
 * The first second in [a, b] that is not surely so, or INT64_MAX. Halving finds it in log2 steps where one boundary
 * lies in the interval; the left half always goes first.
 */
static int64_t first_unsure(struct horizon *h, int64_t a, int64_t b, unsigned want) {
	int64_t middle, found;

	if (h->intervals >= MAX_INTERVALS)
		return a;
	if (holds(h, a, b, want))
		return INT64_MAX;
	if (a == b)
		return a;
	middle = a + (b - a) / 2;
	found = first_unsure(h, a, middle, want);
	return found != INT64_MAX ? found : first_unsure(h, middle + 1, b, want);
}

int64_t horizon_until(const struct cel_program *program, const struct cel_activation *activation, uint32_t time_slot,
		      int64_t now, int64_t limit, bool want, struct cel_arena *arena) {
	struct horizon h = { .program = program, .activation = activation, .slot = time_slot, .arena = arena,
			     .iterations = cel_program_iterations(program) };

	if (!cel_program_uses(program, time_slot) || limit <= now)
		return INT64_MAX;
	if (now < CEL_TIME_MIN_S || limit > CEL_TIME_MAX_S)
		return now + 1;
	h.hidden_cost = costs_with_time(&h, cel_program_root(program));
	return first_unsure(&h, now + 1, limit, want ? CAN_TRUE : CAN_FALSE);
}

const struct cel_node *horizon_blind_spot(const struct cel_program *program, const struct cel_activation *activation,
					  uint32_t time_slot, int64_t now, struct cel_arena *arena) {
	struct horizon h = { .program = program, .activation = activation, .slot = time_slot, .arena = arena,
			     .iterations = cel_program_iterations(program) };

	holds(&h, now, now, CAN_TRUE);
	return h.blind;
}
