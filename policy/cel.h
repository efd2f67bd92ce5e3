#pragma once

/*
 * The Common Expression Language: compile an expression once, evaluate it often.
 *
 *	struct cel_env	    what may be named: variables with their types and slots, libraries, zones.
 *			    Built once, then immutable and shared by every program compiled in it.
 *	struct cel_program  one compiled expression: a checked, folded tree (cel_ast.h). Immutable;
 *			    any number of threads may evaluate it, each with its own arena.
 *	struct cel_value    16 bytes, by value. Strings, lists and maps point into what was bound,
 *			    into the program, or into the arena; nothing is counted, nothing freed.
 *	struct cel_arena    bump memory with a ceiling. An evaluation takes nothing from the heap, but for a
 *			    pattern of matches() that is no constant: it is compiled there, and freed again.
 *
 * An evaluation always returns a value. A failure is a value of kind CEL_ERROR that says what went
 * wrong and where; && and || absorb it as the language demands. Memory safety never rests on the
 * checker: each operation looks at the kinds of its operands.
 *
 * Pure: no files, clock, locale (the process locale is never set, so '.' is the decimal point).
 * Must not know: policies, requests, what the variables mean.
 *
 * Source: cel-spec doc/langdef.md; its conformance suite is the gate (tests/policy/conformance.c).
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hallpass/buf.h"
#include "hallpass/error.h"
#include "policy/zones.h"

/* ---- Memory ---- */

struct cel_chunk;

/* Bump memory: chunks of `step` bytes up to `max` in all. step == max: one piece of memory, taken at init. */
struct cel_arena {
	char *at, *end;
	struct cel_chunk *chunks; /* newest first */
	size_t step, max, total;
	bool failed; /* something did not fit since the last reset */
};

int cel_arena_init(struct cel_arena *arena, size_t step, size_t max, struct error *err);
void cel_arena_fini(struct cel_arena *arena);
void cel_arena_reset(struct cel_arena *arena); /* O(1) when one chunk is enough; everything allocated is gone */
void *cel_arena_alloc_slow(struct cel_arena *arena, size_t n);

/* Under AddressSanitizer each allocation goes through cel_arena.c, which poisons what is around it. */
#ifdef __SANITIZE_ADDRESS__
#define CEL_ARENA_CHECKED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CEL_ARENA_CHECKED
#endif
#endif

/* 8-byte aligned, not cleared; NULL past the ceiling. */
static inline void *cel_arena_alloc(struct cel_arena *arena, size_t n) {
#ifdef CEL_ARENA_CHECKED
	return cel_arena_alloc_slow(arena, n);
#else
	size_t room = (size_t)(arena->end - arena->at);
	char *p = arena->at;

	if (n > room || room - n < 7)
		return cel_arena_alloc_slow(arena, n);
	arena->at += (n + 7) & ~(size_t)7;
	return p;
#endif
}

/* ---- Types ---- */

enum cel_type_kind {
	CEL_T_DYN,
	CEL_T_NULL,
	CEL_T_BOOL,
	CEL_T_INT,
	CEL_T_UINT,
	CEL_T_DOUBLE,
	CEL_T_STRING,
	CEL_T_BYTES,
	CEL_T_TIMESTAMP,
	CEL_T_DURATION,
	CEL_T_TYPE,	/* params[0]: of what, or none */
	CEL_T_LIST,	/* params[0] */
	CEL_T_MAP,	/* params[0] key, params[1] value */
	CEL_T_OPTIONAL, /* params[0] */
	CEL_T_WRAPPER,	/* params[0]: a primitive that may also be null (google.protobuf.Int64Value, …) */
	CEL_T_NAMED,	/* an abstract type: net.IP, net.CIDR */
	CEL_T_MESSAGE,	/* a protobuf message known by name only */
	CEL_T_PARAM,	/* type variable of an overload, while checking */
	CEL_T_ERROR,
};

struct cel_type {
	enum cel_type_kind kind;
	const char *name; /* as CEL prints it: "int", "list", "google.protobuf.Timestamp", "net.IP" */
	unsigned n, id;	  /* n params; id of a CEL_T_PARAM */
	const struct cel_type *params[3];
};

extern const struct cel_type cel_dyn, cel_null, cel_bool, cel_int, cel_uint, cel_double, cel_string, cel_bytes,
	cel_timestamp, cel_duration, cel_type_type, cel_list_dyn, cel_list_string, cel_map_dyn, cel_map_string_dyn,
	cel_net_ip, cel_net_cidr;

void cel_type_print(const struct cel_type *type, struct buf *out); /* "list(int)", "map(string, dyn)" */

/* ---- Values ---- */

enum cel_kind {
	CEL_NONE, /* zero: an unbound slot, an absent result; reading it is an error */
	CEL_ERROR,
	CEL_UNKNOWN, /* an attribute nobody can vouch for; beats errors, loses to a deciding && or || operand */
	CEL_NULL,
	CEL_BOOL,
	CEL_INT,
	CEL_UINT,
	CEL_DOUBLE,
	CEL_STRING,
	CEL_BYTES,
	CEL_TIMESTAMP,
	CEL_DURATION,
	CEL_LIST,
	CEL_MAP,
	CEL_TYPE,
	CEL_OPTIONAL,
	CEL_IP,
	CEL_CIDR,
	N_CEL_KINDS
};

#define CEL_VALUE_JSON 1 /* flags: a list or map that is a jansson array or object, looked into lazily */

struct cel_list;
struct cel_map;
struct cel_net;
struct cel_fault;

struct cel_value {
	uint8_t kind;  /* enum cel_kind */
	uint8_t flags; /* CEL_VALUE_JSON */
	uint16_t spare;
	uint32_t n; /* bytes of a string; nanoseconds (0..999999999) of a timestamp */
	union {
		bool b;
		int64_t i; /* CEL_INT; seconds of a CEL_TIMESTAMP; nanoseconds of a CEL_DURATION */
		uint64_t u;
		double d;
		const char *s; /* CEL_STRING (valid UTF-8), CEL_BYTES; not NUL-terminated */
		const struct cel_list *list;
		const struct cel_map *map;
		const json_t *json;
		const struct cel_type *type;
		const struct cel_value *some; /* CEL_OPTIONAL: NULL is none */
		const struct cel_net *net;
		const struct cel_fault *fault; /* CEL_ERROR */
		const char *name;	       /* CEL_UNKNOWN: the attribute's name, NUL-terminated */
	};
};

struct cel_node;

/* What a CEL_ERROR points to. */
struct cel_fault {
	const struct cel_node *node; /* the sub-expression that failed; NULL: not known */
	const char *message;	     /* NUL-terminated: "division by zero", "no such key: k" */
};

struct cel_list {
	uint32_t n;
	const struct cel_value *items;
};

struct cel_entry {
	struct cel_value key, value;
};

struct cel_map {
	uint32_t n, mask;	/* mask + 1 places in index; 0: no index, search in order */
	const struct cel_entry *entries; /* in order of insertion */
	const uint32_t *index;		 /* 1 + number of an entry, or 0; open addressing */
};

/* An IP address or a network, IPv4 in the first 4 bytes. */
struct cel_net {
	uint8_t addr[16];
	uint8_t family; /* 4 or 6 */
	uint8_t prefix; /* CEL_CIDR */
};

#define CEL_MAX_STRING UINT32_MAX

static inline struct cel_value cel_of_bool(bool b) {
	return (struct cel_value){ .kind = CEL_BOOL, .u = b };
}
static inline struct cel_value cel_of_int(int64_t i) {
	return (struct cel_value){ .kind = CEL_INT, .i = i };
}
static inline struct cel_value cel_of_uint(uint64_t u) {
	return (struct cel_value){ .kind = CEL_UINT, .u = u };
}
static inline struct cel_value cel_of_double(double d) {
	return (struct cel_value){ .kind = CEL_DOUBLE, .d = d };
}
static inline struct cel_value cel_of_null(void) {
	return (struct cel_value){ .kind = CEL_NULL };
}
/* Borrowed; s must be valid UTF-8 and shorter than 4 GiB. */
static inline struct cel_value cel_of_string(const char *s, size_t n) {
	return (struct cel_value){ .kind = CEL_STRING, .n = (uint32_t)n, .s = s };
}
static inline struct cel_value cel_of_bytes(const void *p, size_t n) {
	return (struct cel_value){ .kind = CEL_BYTES, .n = (uint32_t)n, .s = p };
}
static inline struct cel_value cel_of_timestamp(int64_t seconds, uint32_t nanos) {
	return (struct cel_value){ .kind = CEL_TIMESTAMP, .n = nanos, .i = seconds };
}
static inline struct cel_value cel_of_duration(int64_t nanos) {
	return (struct cel_value){ .kind = CEL_DURATION, .i = nanos };
}
static inline struct cel_value cel_of_list(const struct cel_list *list) {
	return (struct cel_value){ .kind = CEL_LIST, .list = list };
}
static inline struct cel_value cel_of_map(const struct cel_map *map) {
	return (struct cel_value){ .kind = CEL_MAP, .map = map };
}
static inline struct cel_value cel_of_type(const struct cel_type *type) {
	return (struct cel_value){ .kind = CEL_TYPE, .type = type };
}
/* name: NUL-terminated, as conditions write it; it appears in the error. */
static inline struct cel_value cel_unknown(const char *name) {
	return (struct cel_value){ .kind = CEL_UNKNOWN, .name = name };
}
static inline bool cel_is_true(struct cel_value v) {
	return v.kind == CEL_BOOL && v.u == 1;
}
static inline bool cel_failed(struct cel_value v) {
	return v.kind <= CEL_UNKNOWN;
}

/*
 * A jansson value as it is: integers become int, reals double, objects maps with string keys. Nothing is
 * copied; arrays and objects are looked into when asked. json must outlive the value; NULL is CEL_NONE.
 */
struct cel_value cel_of_json(const json_t *json);

/* A map with an index when it is large; entries are borrowed. Not 0: why there is none. */
enum { CEL_MAP_MEMORY = -1, CEL_MAP_BAD_KEY = -2, CEL_MAP_REPEATED_KEY = -3 };
int cel_map_build(struct cel_arena *arena, const struct cel_entry *entries, size_t n, const struct cel_map **out);

bool cel_equal(struct cel_value a, struct cel_value b); /* CEL's ==: never fails; 1 == 1u == 1.0 */
/* CEL's order: -1, 0, 1; 2: not comparable (NaN); 3: kinds have no order. */
int cel_compare(struct cel_value a, struct cel_value b);
uint32_t cel_list_size(struct cel_value list);
struct cel_value cel_list_at(struct cel_value list, uint32_t i);
uint32_t cel_map_size(struct cel_value map);
bool cel_map_find(struct cel_value map, struct cel_value key, struct cel_value *out);

/* Runs through a map; begin with {0}. False: no more. */
struct cel_map_iter {
	uint32_t i;
	void *json;
};
bool cel_map_next(struct cel_value map, struct cel_map_iter *iter, struct cel_value *key, struct cel_value *value);

/* As CEL source: strings quoted, timestamp("…"); errors as their message. For explanations. */
void cel_value_print(struct cel_value v, struct buf *out);
const char *cel_kind_name(enum cel_kind kind); /* "int", "google.protobuf.Timestamp", "error" */

/* ---- Environment ---- */

enum cel_library {
	CEL_LIB_STRINGS = 1 << 0,
	CEL_LIB_MATH = 1 << 1,
	CEL_LIB_ENCODERS = 1 << 2,
	CEL_LIB_LISTS = 1 << 3,
	CEL_LIB_SETS = 1 << 4,
	CEL_LIB_BINDINGS = 1 << 5,
	CEL_LIB_TWO_VARIABLES = 1 << 6,
	CEL_LIB_BLOCK = 1 << 7,
	CEL_LIB_OPTIONALS = 1 << 8,
	CEL_LIB_NETWORK = 1 << 9,
	CEL_LIB_IAM = 1 << 10, /* extract, hasOnly, date, api.getAttribute */
	CEL_LIB_ALL = (1 << 11) - 1,
};

struct cel_env;

int cel_env_new(unsigned libraries, struct cel_env **out, struct error *err);
void cel_env_free(struct cel_env *env); /* after every program compiled in it */

/* "google.rpc.context": names are looked up in it first, then further out. "" is the root and the default. */
int cel_env_container(struct cel_env *env, const char *container, struct error *err);

/*
 * The zones that expressions may name; borrowed, and must outlive the programs. Compiling loads constant names into
 * it; evaluating only looks them up. NULL or never called: UTC and fixed offsets alone.
 */
void cel_env_zones(struct cel_env *env, struct zones *zones);

/* Declares a variable; dots are part of its name ("request.time"). Slots count up from 0. */
int cel_env_variable(struct cel_env *env, const char *name, const struct cel_type *type, unsigned *slot,
		     struct error *err);
size_t cel_env_slots(const struct cel_env *env);
const char *cel_env_slot_name(const struct cel_env *env, unsigned slot);

/* list(elem) and so on, owned by the environment. NULL: memory. */
const struct cel_type *cel_env_type(struct cel_env *env, enum cel_type_kind kind, const struct cel_type *a,
				    const struct cel_type *b);
/* CEL_T_NAMED, CEL_T_MESSAGE or CEL_T_PARAM (a type variable: the same name is the same one), with up to three params. */
const struct cel_type *cel_env_type_named(struct cel_env *env, enum cel_type_kind kind, const char *name,
					  const struct cel_type *const *params, unsigned n);

/* Declares a function for checking; evaluating a call of it fails. member: params[0] is the receiver. */
int cel_env_function(struct cel_env *env, const char *name, bool member, const struct cel_type *const *params,
		     unsigned n, const struct cel_type *result, struct error *err);

/* ---- Compiling ---- */

struct cel_limits {
	uint32_t source;     /* bytes */
	uint32_t depth;	     /* of the tree, and of parentheses */
	uint32_t nodes;
	uint32_t compile_bytes;
	uint32_t iterations; /* per evaluation, summed over nested loops */
	uint32_t cost;	     /* per evaluation: see cel_estimate() */
	uint32_t regex;	     /* bytes of one pattern */
	uint32_t regex_memory; /* bytes RE2 may use for one pattern */
};

extern const struct cel_limits cel_default_limits;

struct cel_error {
	uint32_t offset;       /* bytes from the start of the expression */
	uint32_t line, column; /* 1-based; columns count code points */
	/* PLAN: it is well-typed, but a constant in it is no pattern, time zone or template. */
	enum { CEL_PHASE_PARSE = 1, CEL_PHASE_CHECK, CEL_PHASE_LIMIT, CEL_PHASE_PLAN } phase;
	char message[256];
};

#define CEL_MAX_ERRORS 20

/* What is wrong, by position; more than these are not looked for. */
struct cel_errors {
	size_t n;
	struct cel_error list[CEL_MAX_ERRORS];
};

enum cel_mode {
	CEL_CHECKED = 0,
	CEL_UNCHECKED = 1 << 0,	 /* no type errors: everything is decided while evaluating */
	CEL_PARSE_ONLY = 1 << 1, /* the program can be printed, not evaluated */
	CEL_NO_MACROS = 1 << 2,
	CEL_WANT_BOOL = 1 << 3, /* the result must be bool (or dyn): conditions */
};

struct cel_program;

/*
 * text need not be NUL-terminated and may hold NUL; it is copied. limits NULL: the defaults. -1: errors has at least one:
 * all names and types that are wrong, or else all constants, or else the first mistake in the syntax.
 */
int cel_compile_all(const struct cel_env *env, struct str text, unsigned mode, const struct cel_limits *limits,
		    struct cel_program **out, struct cel_errors *errors);
/* The same, for who wants the foremost one alone. */
int cel_compile(const struct cel_env *env, struct str text, unsigned mode, const struct cel_limits *limits,
		struct cel_program **out, struct cel_error *err);
void cel_program_free(struct cel_program *program); /* takes NULL */

const struct cel_node *cel_program_root(const struct cel_program *program);
const struct cel_type *cel_program_type(const struct cel_program *program);
struct str cel_program_text(const struct cel_program *program);
bool cel_program_uses(const struct cel_program *program, unsigned slot);
uint32_t cel_program_ids(const struct cel_program *program); /* its nodes' ids are below */
uint32_t cel_program_locals(const struct cel_program *program); /* variables of loops and cel.bind(), at most 64 */

/* ---- Evaluating ---- */

struct cel_activation {
	const struct cel_value *slots;	   /* cel_env_slots() of them; CEL_NONE: absent, an error that names the attribute */
	struct cel_value attributes;	   /* api.getAttribute: a map by name, or CEL_NONE */
};

/* Never fails otherwise than by returning CEL_ERROR or CEL_UNKNOWN. What it returns lives until the arena is reset. */
struct cel_value cel_eval(const struct cel_program *program, const struct cel_activation *activation,
			  struct cel_arena *arena);

/*
 * Evaluates one node of the program by itself. Loop variables of loops around it are absent, so a node
 * that uses them gives an error.
 */
struct cel_value cel_eval_node(const struct cel_program *program, const struct cel_node *node,
			       const struct cel_activation *activation, struct cel_arena *arena);

/* What an evaluation may still take. */
struct cel_budget {
	uint32_t iterations, cost;
};

/*
 * The same as one part of a whole: takes what it costs from *budget, which begins as cel_program_budget(), and fails
 * where that runs out, as the whole would.
 */
struct cel_value cel_eval_part(const struct cel_program *program, const struct cel_node *node,
			       const struct cel_activation *activation, struct cel_arena *arena, struct cel_budget *budget);
/* And where variables around it are bound already: cel_program_locals() values, by cel_node.slot; CEL_NONE: it does not read it. */
struct cel_value cel_eval_bound(const struct cel_program *program, const struct cel_node *node, const struct cel_activation *activation,
				const struct cel_value *bound, struct cel_arena *arena, struct cel_budget *budget);
struct cel_budget cel_program_budget(const struct cel_program *program);

/* ---- Cost ---- */

/* How large a value may be, at most; of lists and maps also what is in them, at any depth. */
struct cel_size {
	uint32_t bytes, items;
	uint32_t inner_bytes, inner_items;
};

/* Of attributes: the first n slots, and those from there on. */
struct cel_hints {
	const struct cel_size *slots;
	size_t n;
	struct cel_size others;
};

struct cel_estimate {
	uint64_t cost;		     /* UINT64_MAX: that much, or more */
	const struct cel_node *node; /* the loop or call with the greatest share; NULL: none has one */
};

/*
 * What an evaluation costs at most whose attributes are no larger than the hints say, in an arena of so many bytes. The model is cel-go's, in its units: a node costs 1, a list literal 10, a map 30, a message 40, looking through a
 * text a tenth for each byte, a loop its body for each element. An evaluation counts in the same units, with the sizes that
 * it meets, and never counts more; past cel_limits.cost it fails. What api.getAttribute() finds counts as its default.
 */
void cel_estimate(const struct cel_program *program, const struct cel_hints *hints, uint32_t arena_bytes,
		  struct cel_estimate *out);

/* The position of a byte of the expression: 1-based line and column in code points. */
void cel_position(struct str text, uint32_t offset, uint32_t *line, uint32_t *column);
