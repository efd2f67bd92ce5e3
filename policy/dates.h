#pragma once

/*
 * When does a condition begin to mean something else for good? The instants that it names, the years that it names, and
 * the changes of the clocks that it reads.
 *
 * Between those, what calendars say repeats. Whoever looked at a while in which each day of a calendar occurs knows
 * all days up to the next date.
 */

#include "policy/cel_ast.h"
#include "policy/condition.h"

/* What calls of a visitor do not say. */
enum {
	DATES_MONTHS = 1, /* it tells the months of a year apart, */
	DATES_DAYS = 2,	  /* and its days */
	DATES_HIDDEN = 4, /* it does something else with the time: other dates may come of that */
};

struct dates_visitor {
	void (*date)(void *arg, int64_t at); /* not NULL; may be off by a change of the clocks where a year begins */
	void (*clock)(void *arg, struct str name, struct zone_ref zone); /* NULL: nobody wants to know; one more than once; name n 0: UTC */
	void *arg;
};

/* Gives bits. */
unsigned dates_visit(const struct condition *condition, const struct dates_visitor *visitor);

/* request.time.getHours("Europe/Berlin"): of the request's time, and the zone is known. */
bool dates_is_getter(const struct cel_node *node);
