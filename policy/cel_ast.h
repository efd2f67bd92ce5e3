#pragma once

/*
 * The tree of an expression: what the parser builds, the checker annotates in place, folding shrinks, and
 * evaluation, explanations and the horizon walk.
 *
 * Every node knows where it stands in the source and how deep the tree below it is; no tree is deeper than
 * cel_limits.depth, so walking it by recursion is bounded. Long chains of && and || are one node with many
 * children. Macros are nodes of their own (CEL_N_LOOP, CEL_N_BIND, …), not folds.
 *
 * A constant sub-expression becomes CEL_N_CONST where it stood, with its source range kept; one that fails stays
 * as it was and fails when evaluated.
 */

#include "policy/cel.h"

enum cel_node_kind {
	CEL_N_CONST,  /* constant */
	CEL_N_IDENT,  /* parsed, not yet resolved; never in a checked tree */
	CEL_N_SLOT,   /* a variable of the environment: slot */
	CEL_N_LOCAL,  /* a variable of a loop or binding: slot in the frame of locals */
	CEL_N_SELECT, /* kids[0].name; test: has(kids[0].name); optional: kids[0].?name */
	CEL_N_CALL,   /* fn(kids…); a receiver is kids[0] */
	CEL_N_AND,    /* two or more kids */
	CEL_N_OR,
	CEL_N_NOT,
	CEL_N_COND,   /* kids[0] ? kids[1] : kids[2] */
	CEL_N_LIST,   /* kids; optional[i]: [?e] */
	CEL_N_MAP,    /* kids: key, value, key, value, … ; optional[i] of both: {?key: value} */
	CEL_N_STRUCT, /* name{names[i]: kids[i]} */
	CEL_N_LOOP,   /* macro over kids[0] with kids[1] (and kids[2]), variables in locals var, var2 */
	CEL_N_BIND,   /* cel.bind(var, kids[0], kids[1]); optMap, optFlatMap: see macro */
	CEL_N_BLOCK,  /* cel.block([kids[0], …], kids[n - 1]); kids[i] goes to local var + i */
};

enum cel_macro {
	CEL_M_NONE,
	CEL_M_ALL,	  /* kids: range, predicate */
	CEL_M_EXISTS,
	CEL_M_EXISTS_ONE,
	CEL_M_FILTER,
	CEL_M_MAP,	  /* range, transform */
	CEL_M_MAP_IF,	  /* range, predicate, transform */
	CEL_M_TRANSFORM_LIST, /* two variables; range, transform or range, predicate, transform */
	CEL_M_TRANSFORM_MAP,
	CEL_M_TRANSFORM_ENTRY,
	CEL_M_SORT_BY,
	CEL_M_BIND,
	CEL_M_OPT_MAP,
	CEL_M_OPT_FLAT_MAP,
};

/* Functions by name, as far as something outside the function libraries has to know them. */
enum cel_fn {
	CEL_FN_OTHER,
	CEL_FN_EQ,
	CEL_FN_NE,
	CEL_FN_LT,
	CEL_FN_LE,
	CEL_FN_GT,
	CEL_FN_GE,
	CEL_FN_ADD,
	CEL_FN_SUB,
	CEL_FN_MUL,
	CEL_FN_DIV,
	CEL_FN_MOD,
	CEL_FN_NEG,
	CEL_FN_IN,
	CEL_FN_INDEX,
	CEL_FN_OPT_INDEX,
	CEL_FN_SIZE,
	CEL_FN_DYN,
	CEL_FN_TYPE,
	CEL_FN_BOOL,
	CEL_FN_INT,
	CEL_FN_UINT,
	CEL_FN_DOUBLE,
	CEL_FN_STRING,
	CEL_FN_BYTES,
	CEL_FN_TIMESTAMP,
	CEL_FN_DURATION,
	CEL_FN_DATE,
	CEL_FN_STARTS_WITH,
	CEL_FN_ENDS_WITH,
	CEL_FN_CONTAINS,
	CEL_FN_MATCHES,
	CEL_FN_EXTRACT,
	CEL_FN_HAS_ONLY,
	CEL_FN_GET_ATTRIBUTE,
	CEL_FN_GET_FULL_YEAR, /* the getters: kids[0] timestamp or duration, kids[1] zone name if given */
	CEL_FN_GET_MONTH,
	CEL_FN_GET_DATE,
	CEL_FN_GET_DAY_OF_MONTH,
	CEL_FN_GET_DAY_OF_WEEK,
	CEL_FN_GET_DAY_OF_YEAR,
	CEL_FN_GET_HOURS,
	CEL_FN_GET_MINUTES,
	CEL_FN_GET_SECONDS,
	CEL_FN_GET_MILLISECONDS,
	N_CEL_FN
};

struct cel_run;
struct cel_overload;
struct cel_function;
struct cel_message;
struct cel_regex;
struct cel_set;

typedef struct cel_value cel_eval_fn(const struct cel_node *node, struct cel_run *run);

struct cel_node {
	cel_eval_fn *eval;
	uint8_t kind;  /* enum cel_node_kind */
	uint8_t macro; /* enum cel_macro */
	uint8_t fn;    /* enum cel_fn, of a CEL_N_CALL */
	bool test, opt_select, member, rooted; /* has(); .? ; x.f() ; .name */
	uint16_t depth;			       /* 1 for a leaf */
	uint32_t start, end; /* source range in bytes, end exclusive */
	uint32_t at;	     /* where errors point: the operator, the name */
	uint32_t n;
	struct cel_node **kids;
	const struct cel_type *type; /* after checking; cel_dyn when unchecked */
	struct cel_value constant;   /* CEL_N_CONST */
	struct str name;	     /* ident, field, function, message; in the program's memory, NUL-terminated */
	struct str var_name, var2_name; /* CEL_N_LOOP, CEL_N_BIND */
	uint32_t slot;		     /* CEL_N_SLOT, CEL_N_LOCAL */
	uint32_t var, var2;	     /* locals of CEL_N_LOOP, CEL_N_BIND, CEL_N_BLOCK; var2 UINT32_MAX: none */
	const bool *optional;	     /* CEL_N_LIST, CEL_N_MAP, CEL_N_STRUCT; NULL: none is */
	struct str *names;	     /* CEL_N_STRUCT */
	const struct cel_message *message;   /* CEL_N_STRUCT; NULL: nobody declared it */
	const struct cel_function *function; /* CEL_N_CALL */
	const struct cel_overload *overload; /* CEL_N_CALL, where the checker found exactly one */
	struct zone_ref zone;	     /* getters without a zone or with a constant one, where zone_resolved */
	bool zone_resolved;
	const struct cel_regex *regex; /* matches() with a constant pattern */
	const struct cel_set *set;   /* `in` with a long constant list */
	uint32_t fixed;		     /* what evaluating it costs, but for what depends on sizes */
	uint32_t turn;		     /* CEL_N_LOOP: what one turn costs */
	uint8_t charge;		     /* enum cel_charge: what a call costs by the sizes of its arguments */
	uint32_t id;		     /* 0 up to cel_program_ids(), each node its own; of those that are no constants, or lists */
	uint64_t uses;		     /* slots that it or what is below it reads: cel_slot_bit() */
	uint64_t free_locals;	     /* variables that it reads and that are bound outside of it: 1 << slot */
};

/* Slots from 63 on share the last bit. */
static inline uint64_t cel_slot_bit(uint32_t slot) {
	return (uint64_t)1 << (slot < 63 ? slot : 63);
}

/* The node's own text. */
static inline struct str cel_node_text(const struct cel_program *program, const struct cel_node *node) {
	struct str text = cel_program_text(program);

	return (struct str){ text.p + node->start, node->end - node->start };
}
