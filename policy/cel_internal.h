#pragma once

/*
 * What the files of the CEL engine share and nobody else needs: environment, program, a run,
 * overloads, errors and the text helpers.
 */

#include <string.h>
#include "policy/cel.h"
#include "policy/cel_ast.h"
#include "policy/cel_time.h"

#define CEL_MAX_ARGS 8 /* of a function that exists */
#define CEL_NO_LOCAL UINT32_MAX

/* ---- Functions ---- */

/* Called only with arguments whose kinds its signature admits; none of them failed. */
typedef struct cel_value cel_call_fn(const struct cel_node *node, struct cel_run *run, const struct cel_value *args);

/*
 * One row of a library's table. The signature is types in one letter, a ':' and the result; a '.' after the
 * first makes it a member: "s.s:b". b bool, i int, u uint, d double, s string, y bytes, t timestamp, r duration,
 * T type, I net.IP, C net.CIDR, n null, * dyn, A B type variables, L? list, M?? map, O? optional, Y? type(?).
 * A leading '!' hides it from the checker: for values whose types are not known before evaluating.
 */
struct cel_def {
	const char *name, *signature;
	cel_call_fn *call;
	enum cel_fn fn;
};

struct cel_overload {
	struct cel_overload *next; /* of the same function */
	const struct cel_type *params[CEL_MAX_ARGS], *result;
	uint32_t masks[CEL_MAX_ARGS]; /* 1 << enum cel_kind */
	cel_call_fn *call;	      /* NULL: declared for checking alone */
	uint8_t n;
	bool member, hidden;
};

struct cel_function {
	struct cel_function *next; /* in the same bucket */
	struct cel_overload *first, *last;
	const char *name;
	enum cel_fn fn;
};

struct cel_library_defs {
	unsigned library; /* 0: always */
	const struct cel_def *defs;
	size_t n;
};

extern const struct cel_library_defs cel_standard_defs, cel_time_defs, cel_string_defs, cel_strings_defs, cel_format_defs,
	cel_math_defs,
	cel_encoder_defs, cel_list_defs, cel_set_defs, cel_optional_defs, cel_network_defs, cel_iam_defs;

/* ---- Environment ---- */

#define CEL_BUCKETS 256

struct cel_variable {
	struct cel_variable *next;
	const char *name;
	const struct cel_type *type;
	uint32_t slot;
};

struct cel_env {
	struct cel_arena arena;
	unsigned libraries;
	const char *container;
	struct zones *zones;
	struct cel_variable *variables[CEL_BUCKETS], **by_slot;
	size_t n_slots, size_slots;
	struct cel_function *functions[CEL_BUCKETS];
};

uint32_t cel_hash_bytes(const void *p, size_t n);
const struct cel_variable *cel_env_find_variable(const struct cel_env *env, const char *name);
const struct cel_function *cel_env_find_function(const struct cel_env *env, const char *name);
const struct cel_type *cel_type_find(const char *name); /* "int", "net.IP": types that are values; NULL */

const struct cel_type *cel_type_make(struct cel_arena *arena, enum cel_type_kind kind, const struct cel_type *a,
				     const struct cel_type *b);

/* ---- Programs ---- */

struct cel_program {
	struct cel_arena arena;
	const struct cel_env *env;
	struct cel_limits limits;
	struct str text;
	struct cel_node *root;
	uint32_t n_nodes, n_locals, n_ids;
	unsigned mode;
	struct cel_regex *regexes; /* C++ objects, chained, to be freed */
	uint8_t *used;		   /* by slot */
};

struct cel_compile {
	struct cel_program *program;
	struct cel_errors *errors;
	bool failed;
	bool patient; /* looks for further errors after one; a limit ends that */
};

/* Records the first error, or all while patient; always returns NULL. */
__attribute__((format(printf, 4, 5))) void *cel_compile_fail(struct cel_compile *c, int phase, uint32_t at,
							     const char *fmt, ...);

void *cel_compile_memory(struct cel_compile *c, uint32_t at); /* its memory has run out */

/* A zeroed node with n children of room; NULL once the compile has failed. */
struct cel_node *cel_node_new(struct cel_compile *c, enum cel_node_kind kind, uint32_t start, uint32_t at, uint32_t n);
/* To be called when the children are in place: depth, and the end of the source range. */
struct cel_node *cel_node_done(struct cel_compile *c, struct cel_node *node, uint32_t end);

int cel_parse(struct cel_compile *c);
int cel_check(struct cel_compile *c);
int cel_plan(struct cel_compile *c); /* folds constants, chooses how each node is evaluated */

/* Macros; both return node, its replacement, or NULL after an error. */
struct cel_node *cel_expand_call(struct cel_compile *c, struct cel_node *node);
char *cel_arena_str(struct cel_arena *arena, const char *s, size_t n);

/* ---- Running ---- */

struct cel_run {
	const struct cel_value *slots;
	struct cel_value *locals;
	struct cel_arena *arena;
	const struct cel_program *program;
	const struct cel_activation *activation;
	struct cel_budget left;
};

static inline struct cel_value cel_eval_in(const struct cel_node *node, struct cel_run *run) {
	return node->eval(node, run);
}

cel_eval_fn cel_eval_const, cel_eval_slot, cel_eval_local, cel_eval_call, cel_eval_loop, cel_eval_bind, cel_eval_block,
	cel_eval_struct;
/* A call whose operands have been evaluated, whatever became of them: an unknown, else the first error, else the call. */
struct cel_value cel_eval_with(const struct cel_node *node, struct cel_run *run, const struct cel_value *args);
/* What evaluates the node in fewer steps with the same outcome (cel_fuse.c); NULL: nothing does. */
cel_eval_fn *cel_fuse(const struct cel_node *node);
#define CEL_FUSED 41 /* so many ways there are; tests see each of them at work */

/* The i-th child's value; of [?e], {?k: e} and M{?f: e} what is in e; *present: there is something. */
struct cel_value cel_eval_element(const struct cel_node *node, uint32_t i, struct cel_run *run, bool *present);

/* Of a call that is a getter. */
static inline enum cel_time_field cel_getter_field(const struct cel_node *node) {
	static const uint8_t fields[] = { CEL_FULL_YEAR, CEL_MONTH, CEL_DATE, CEL_DAY_OF_MONTH, CEL_DAY_OF_WEEK,
					  CEL_DAY_OF_YEAR, CEL_HOURS, CEL_MINUTES, CEL_SECONDS, CEL_MILLISECONDS };

	return (enum cel_time_field)fields[node->fn - CEL_FN_GET_FULL_YEAR];
}

/* Errors. The message of cel_fail() is static text. */
struct cel_value cel_fail(struct cel_run *run, const struct cel_node *node, const char *message);
__attribute__((format(printf, 3, 4))) struct cel_value cel_failf(struct cel_run *run, const struct cel_node *node,
								 const char *fmt, ...);
struct cel_value cel_fail_memory(void);
/* The same value, but memory that has run out has done so at this node, if a few bytes to say so are left. */
struct cel_value cel_placed(struct cel_run *run, const struct cel_node *node, struct cel_value v);
struct cel_value cel_no_such_overload(struct cel_run *run, const struct cel_node *node);
struct cel_value cel_no_such_key(struct cel_run *run, const struct cel_node *node, struct cel_value key);
bool cel_spend(struct cel_run *run, uint32_t iterations); /* false: the loop limit is reached */
struct cel_value cel_fail_iterations(struct cel_run *run, const struct cel_node *node);
struct cel_value cel_fail_cost(struct cel_run *run, const struct cel_node *node);

/* One more turn of a loop. False: give cel_fail_turn(). */
static inline bool cel_turn(struct cel_run *run, const struct cel_node *loop) {
	if (!run->left.iterations || run->left.cost < loop->turn)
		return false;
	run->left.iterations--;
	run->left.cost -= loop->turn;
	return true;
}
struct cel_value cel_fail_turn(struct cel_run *run, const struct cel_node *loop);

/* ---- Cost (cel_cost.c) ---- */

/* What of its arguments a call looks through. */
enum cel_charge {
	CEL_CHARGE_NONE,
	CEL_CHARGE_ALL,	    /* everything: texts and lists */
	CEL_CHARGE_TEXT,    /* the first, if it is a text */
	CEL_CHARGE_SECOND,  /* as much as the second has: a prefix, a key */
	CEL_CHARGE_LESSER,  /* as much as both texts have: comparisons */
	CEL_CHARGE_PRODUCT, /* a text in a text */
	CEL_CHARGE_PATTERN, /* a regular expression in a text */
	CEL_CHARGE_MEMBER,  /* a value in a list or map */
};

void cel_cost_plan(struct cel_node *node); /* fixed, turn and charge, when the children have theirs */
/* Takes what a call of these arguments costs. False: give cel_fail_cost(). */
bool cel_charge(struct cel_run *run, const struct cel_node *node, const struct cel_value *args);

/* Room in the run's arena; NULL: return cel_fail_memory(). */
static inline void *cel_run_alloc(struct cel_run *run, size_t n) {
	return cel_arena_alloc(run->arena, n);
}
struct cel_value cel_copy_string(struct cel_run *run, enum cel_kind kind, const void *p, size_t n);
struct cel_value cel_make_list(struct cel_run *run, struct cel_value *items, size_t n);
struct cel_value cel_make_map(struct cel_run *run, const struct cel_node *node, const struct cel_entry *entries, size_t n);
struct cel_value cel_no_optional(void);
struct cel_value cel_make_optional(struct cel_run *run, struct cel_value v);
struct cel_value cel_make_net(struct cel_run *run, enum cel_kind kind, const struct cel_net *net);

/* IAM's templates: prefix{name}suffix, a name of letters, digits and '_'. False: it is none. */
#define CEL_EXTRACT_WANTS "extract() wants a template like prefix{name}suffix"
bool cel_extract_template(struct str template, struct str *prefix, struct str *suffix);

int cel_regex_search(const struct cel_regex *regex, struct str text); /* 1: found; -1: no memory */
/* Compiles, searches, frees. -1: no pattern; why says what is wrong with it. */
int cel_regex_once(struct str pattern, size_t max_memory, struct str text, char *why, size_t why_size);

/* ---- Values ---- */

uint32_t cel_hash(struct cel_value v); /* numerically equal values hash alike */
/* cel_equal() that costs iterations: values may share parts, so that few nodes stand for many. False: the limit. */
bool cel_equal_in(struct cel_run *run, struct cel_value a, struct cel_value b, bool *equal);
/* Sorts by key, in place, equal ones in their order: true; or the error that keys which do not compare are. */
struct cel_value cel_sort(struct cel_run *run, const struct cel_node *node, struct cel_entry *entries, uint32_t n);
const struct cel_type *cel_kind_type(enum cel_kind kind);
bool cel_is_zero_value(struct cel_value v);

static inline bool cel_is_number(struct cel_value v) {
	return v.kind >= CEL_INT && v.kind <= CEL_DOUBLE;
}
static inline struct str cel_str(struct cel_value v) {
	return (struct str){ v.s, v.n };
}
static inline struct cel_timestamp cel_time_of(struct cel_value v) {
	return (struct cel_timestamp){ v.i, v.n };
}

/* The place that a number means in a list. False: none. */
bool cel_list_index(struct cel_value list, struct cel_value key, uint32_t *i);
/* Whether v is in the list. False: the loop limit. */
bool cel_list_has(struct cel_run *run, struct cel_value list, struct cel_value v, bool *found);

/* Membership in a constant list. Building NULL: memory, or an item that is no number, string or bool. */
struct cel_set {
	uint32_t mask, longest;		/* longest: of its texts */
	const struct cel_value *places; /* CEL_NONE: free */
};
const struct cel_set *cel_set_build(struct cel_arena *arena, struct cel_value list);
bool cel_set_has(const struct cel_set *set, struct cel_value v);

/* ---- Text ---- */

#define CEL_DOUBLE_TEXT 32
size_t cel_double_format(double d, char out[CEL_DOUBLE_TEXT]); /* shortest that reads back, %g style */
bool cel_double_parse(struct str text, double *out);	       /* decimal, NaN, Inf, Infinity; nothing else */
bool cel_utf8_valid(const char *s, size_t n);
size_t cel_utf8_prefix(const char *s, size_t n);   /* bytes of it that are valid; n: all */
size_t cel_utf8_count(const char *s, size_t n);	   /* code points of valid UTF-8 */
/* Byte offset of the i-th code point; n when i is the count; SIZE_MAX beyond. */
size_t cel_utf8_offset(const char *s, size_t n, uint64_t i);
unsigned cel_utf8_encode(uint32_t c, char out[4]);
uint32_t cel_utf8_decode(const char *s, unsigned *len); /* of valid UTF-8 */
bool cel_int_in_double(double d); /* strictly between -2^63 and 2^63 */

/* string(v) of numbers, booleans, times, types, addresses: gives the length; 0: kind has none. */
#define CEL_SCALAR_TEXT 128
size_t cel_scalar_text(struct cel_value v, char out[CEL_SCALAR_TEXT]);

/* Text that grows in a run's arena. */
struct cel_out {
	struct cel_run *run;
	char *p;
	size_t n, size;
	bool failed;
};
char *cel_out_room(struct cel_out *out, size_t n); /* n more bytes, counted; NULL: memory */
void cel_out_add(struct cel_out *out, const void *p, size_t n);
struct cel_value cel_out_value(struct cel_out *out, enum cel_kind kind);

bool cel_net_parse_ip(struct str text, struct cel_net *out, const char **why);
bool cel_net_parse_cidr(struct str text, struct cel_net *out, const char **why);
size_t cel_net_format(const struct cel_net *net, bool cidr, char out[64]);
struct cel_net cel_net_unmapped(const struct cel_net *net); /* ::ffff:a.b.c.d as a.b.c.d */
