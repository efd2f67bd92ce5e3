#pragma once

/*
 * Until when does an answer surely hold? Interval analysis over the time attribute of a checked CEL program (P2).
 *
 * Every node is evaluated on an interval of whole seconds to a set of possible values: constants and what does not
 * mention the time stay what the evaluator says they are; the time is the interval; +/- duration shifts it; comparisons
 * give {true}, {false} or both; getters give a range from the zone's own transitions; &&, ||, !, ?: and `in` combine
 * sets with CEL's error absorption; everything else that depends on the time is "could be anything". Sound by
 * construction: what is said to hold holds at every nanosecond of every second. No heap.
 */

#include "policy/cel.h"
#include "policy/cel_ast.h"

/*
 * The first second in (now, limit] at which the program's value is not surely `want`, every slot but time_slot
 * keeping its value; INT64_MAX: it surely is through limit. An error is not `true` for want = true, and might be
 * true for want = false, so neither holds through one. Bounded: past a fixed amount of work the answer is an earlier second.
 */
int64_t horizon_until(const struct cel_program *program, const struct cel_activation *activation, uint32_t time_slot,
		      int64_t now, int64_t limit, bool want, struct cel_arena *arena);

/* A node that depends on the time and could be anything, whatever the interval: for lint. NULL: there is none. */
const struct cel_node *horizon_blind_spot(const struct cel_program *program, const struct cel_activation *activation,
					  uint32_t time_slot, int64_t now, struct cel_arena *arena);
