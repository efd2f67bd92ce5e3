#pragma once

/*
 * Until when does an answer surely hold? Interval analysis over the time attribute of a checked CEL program (P2).
 *
 * Every node is evaluated on an interval of time to a set of possible values: constants and what does not mention the
 * time stay what the evaluator says they are; the time is the interval; +/- duration shifts it; comparisons give {true},
 * {false} or both; getters give a range from the zone's own transitions, and arithmetic on them a range again; &&, ||, !,
 * ?:, cel.bind() and `in` combine sets with CEL's error absorption; everything else that depends on the time is "could be
 * anything". Sound by construction: what is said to hold holds at every nanosecond of every second. No heap.
 */

#include "policy/cel.h"
#include "policy/cel_ast.h"
#include "policy/cel_time.h"

/*
 * The first second through limit in which the program's value is not surely `want`, every slot but time_slot keeping
 * its value; INT64_MAX: it surely is through limit. It begins at the instant in the slot, not before: where the rest
 * of that very second is unsure, it is that second. An error is not `true` for want = true, and might be
 * true for want = false, so neither holds through one. Bounded: past a fixed amount of work the answer is an earlier second.
 */
int64_t horizon_until(const struct cel_program *program, const struct cel_activation *activation, uint32_t time_slot,
		      int64_t limit, bool want, struct cel_arena *arena);

/* What a program's value could be. */
enum { HORIZON_TRUE = 1, HORIZON_FALSE = 2, HORIZON_ERROR = 4 };

/*
 * Whether the value is surely one of `wanted` from the second `from` through `to`, whatever the attributes other than the time
 * are. *work: how many nodes may be looked at; less those that were. Where it runs out nothing is sure.
 */
bool horizon_surely(const struct cel_program *program, uint32_t time_slot, int64_t from, int64_t to, unsigned wanted,
		    struct cel_arena *arena, uint32_t *work);

/* What is asked of one interval by itself. */
struct horizon_question {
	const struct cel_program *program;
	const struct cel_activation *activation; /* the slots that are not open */
	uint64_t open;				 /* those that could be anything, an error included: cel_slot_bit() */
	uint32_t time_slot;
	bool counted; /* false: an evaluation may run out of its allowance all the same, and then errs */
};

/*
 * What the value could be from the second `from` through `to`: some of HORIZON_TRUE, …; all, where nobody can tell.
 * *work: how many nodes may be looked at; less those that were.
 */
unsigned horizon_within(const struct horizon_question *question, int64_t from, int64_t to, struct cel_arena *arena, uint32_t *work);

/* The first part of the program because of which that is more than one thing; NULL: it is one. */
const struct cel_node *horizon_doubt(const struct horizon_question *question, int64_t from, int64_t to, struct cel_arena *arena,
				     uint32_t *work);

/*
 * The other way round: the first second through limit in which the value might be `wish`, for a program that is not so at
 * the instant in the slot; INT64_MAX: it surely is not through limit. An error is neither wish. *work: how many
 * nodes it may look at; less what it did afterwards. Where that runs out the answer is an earlier second.
 */
int64_t horizon_when(const struct cel_program *program, const struct cel_activation *activation, uint32_t time_slot,
		     int64_t limit, bool wish, struct cel_arena *arena, uint32_t *work);

/*
 * Of one node, a truth that depends on nothing but the time: the first second after `from` in which it is not surely what it is all
 * through that second; INT64_MAX: it stays so through limit. *work: see horizon_when().
 */
int64_t horizon_next_change(const struct cel_program *program, const struct cel_node *node, uint32_t time_slot, int64_t from,
			    int64_t limit, struct cel_arena *arena, uint32_t *work);

/*
 * A first look, at a fraction of the price: whether a part of a program whose value at `now` is `want`, and which took
 * neither memory nor anything of the budget, surely keeps that value through the second `limit`. False: it may or may not.
 * A conjunction that is true has true clauses alone, and those without the time stay so; what is left is compared with
 * constants.
 */
bool horizon_is_beyond(const struct cel_node *node, struct cel_timestamp now, uint32_t time_slot, int64_t limit, bool want);

/*
 * The innermost node that depends on the time in a way that sets do not follow, so that no lifetime can be
 * bounded by it. NULL: there is none. Needs types: of a checked program.
 */
const struct cel_node *horizon_blind_spot(const struct cel_program *program, uint32_t time_slot);
