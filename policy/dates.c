/* See dates.h. */

#include "policy/cel_time.h"
#include "policy/dates.h"

#define DAY 86400

static bool is_time(const struct cel_node *node) {
	return node->kind == CEL_N_SLOT && node->slot == condition_time_slot();
}

bool dates_is_getter(const struct cel_node *node) {
	return node->kind == CEL_N_CALL && node->fn >= CEL_FN_GET_FULL_YEAR && node->fn <= CEL_FN_GET_MILLISECONDS &&
	       node->zone_resolved && is_time(node->kids[0]);
}

static bool is_compared(const struct cel_node *node) {
	return node->kind == CEL_N_CALL && node->fn >= CEL_FN_EQ && node->fn <= CEL_FN_GE;
}

static bool is_constant(const struct cel_node *node, enum cel_kind kind) {
	return node->kind == CEL_N_CONST && node->constant.kind == kind;
}

/* One of two kids is the time, or its year, and the other one says when. */
static const struct cel_node *other_than(const struct cel_node *node, bool (*is)(const struct cel_node *)) {
	if (!is_compared(node) || node->n != 2)
		return NULL;
	return is(node->kids[0]) ? node->kids[1] : is(node->kids[1]) ? node->kids[0] : NULL;
}

static bool is_year(const struct cel_node *node) {
	return dates_is_getter(node) && node->fn == CEL_FN_GET_FULL_YEAR;
}

/* Both ends of it. */
static void visit_year(const struct dates_visitor *v, int64_t year, struct zone_ref zone) {
	int64_t begin;

	for (int64_t y = year; y <= year + 1; y++) {
		if (y < 1 || y > 9999)
			continue;
		begin = cel_days_from_civil(y, 1, 1) * DAY;
		v->date(v->arg, begin - zone_ref_offset(zone, begin));
	}
}

static unsigned bits_of(enum cel_fn getter) {
	switch (getter) {
	case CEL_FN_GET_FULL_YEAR: /* but in a comparison */
		return DATES_HIDDEN;
	case CEL_FN_GET_MONTH:
		return DATES_MONTHS;
	case CEL_FN_GET_DATE:
	case CEL_FN_GET_DAY_OF_MONTH:
	case CEL_FN_GET_DAY_OF_YEAR:
		return DATES_DAYS;
	default:
		return 0;
	}
}

static void visit_clock(const struct dates_visitor *v, const struct cel_node *getter) {
	const struct cel_value *name = getter->n == 2 ? &getter->kids[1]->constant : NULL;

	if (v->clock)
		v->clock(v->arg, name ? (struct str){ name->s, name->n } : (struct str){ 0 }, getter->zone);
}

/* Depth: cel_limits.depth. */
static unsigned visit(const struct cel_node *node, const struct dates_visitor *v) {
	const struct cel_node *to;
	unsigned bits = 0;

	if (is_constant(node, CEL_TIMESTAMP))
		v->date(v->arg, node->constant.i + (node->constant.n > 0));
	if (is_time(node))
		return DATES_HIDDEN;
	if (dates_is_getter(node)) {
		visit_clock(v, node);
		return bits_of(node->fn);
	}
	if ((to = other_than(node, is_time)) && is_constant(to, CEL_TIMESTAMP))
		return visit(to, v);
	if ((to = other_than(node, is_year)) && is_constant(to, CEL_INT)) {
		visit_clock(v, node->kids[to == node->kids[0]]);
		visit_year(v, to->constant.i, node->kids[to == node->kids[0]]->zone);
		return 0;
	}
	for (uint32_t i = 0; i < node->n; i++)
		bits |= visit(node->kids[i], v);
	return bits;
}

unsigned dates_visit(const struct condition *condition, const struct dates_visitor *visitor) {
	return visit(cel_program_root(condition_program(condition)), visitor);
}
