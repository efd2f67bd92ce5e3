/* Planning and evaluating: each node gets the function that evaluates it. See cel_internal.h. */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "policy/cel_internal.h"
#include "policy/no_memory.h"
#include "policy/re2_shim.h"

#define PROGRAM_STEP 4096
#define MAX_LOCALS 64

/* A constant pattern, compiled once; owned by its program. */
struct cel_regex {
	struct cel_regex *next;
	void *re;
};

/* --- errors */

static const struct cel_fault out_of_memory = { NULL, "out of memory for one evaluation" };

struct cel_value cel_fail_memory(void) {
	return (struct cel_value){ .kind = CEL_ERROR, .fault = &out_of_memory };
}

struct cel_value cel_placed(struct cel_run *run, const struct cel_node *node, struct cel_value v) {
	return v.kind == CEL_ERROR && v.fault == &out_of_memory ? cel_fail(run, node, out_of_memory.message) : v;
}

struct cel_value cel_fail(struct cel_run *run, const struct cel_node *node, const char *message) {
	struct cel_fault *fault = cel_run_alloc(run, sizeof(*fault));

	if (!fault)
		return cel_fail_memory();
	*fault = (struct cel_fault){ node, message };
	return (struct cel_value){ .kind = CEL_ERROR, .fault = fault };
}

struct cel_value cel_failf(struct cel_run *run, const struct cel_node *node, const char *fmt, ...) {
	char text[256], *copy;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	copy = cel_arena_str(run->arena, text, strlen(text));
	return copy ? cel_fail(run, node, copy) : cel_fail_memory();
}

struct cel_value cel_no_such_overload(struct cel_run *run, const struct cel_node *node) {
	return cel_fail(run, node, "no such overload");
}

struct cel_value cel_no_such_key(struct cel_run *run, const struct cel_node *node, struct cel_value key) {
	char text[CEL_SCALAR_TEXT];

	if (key.kind == CEL_STRING)
		return cel_failf(run, node, "no such key: %.*s", (int)(key.n > 80 ? 80 : key.n), key.s);
	return cel_failf(run, node, "no such key: %.*s", (int)cel_scalar_text(key, text), text);
}

bool cel_spend(struct cel_run *run, uint32_t iterations) {
	if (run->left.iterations < iterations)
		return false;
	run->left.iterations -= iterations;
	return true;
}

struct cel_value cel_fail_iterations(struct cel_run *run, const struct cel_node *node) {
	return cel_fail(run, node, "too many loop iterations in one evaluation");
}

struct cel_value cel_fail_cost(struct cel_run *run, const struct cel_node *node) {
	return cel_fail(run, node, "too much work in one evaluation");
}

struct cel_value cel_fail_turn(struct cel_run *run, const struct cel_node *loop) {
	return run->left.iterations ? cel_fail_cost(run, loop) : cel_fail_iterations(run, loop);
}

struct cel_value cel_copy_string(struct cel_run *run, enum cel_kind kind, const void *p, size_t n) {
	char *copy = cel_arena_str(run->arena, p, n);

	return copy ? (struct cel_value){ .kind = (uint8_t)kind, .n = (uint32_t)n, .s = copy } : cel_fail_memory();
}

struct cel_value cel_make_list(struct cel_run *run, struct cel_value *items, size_t n) {
	struct cel_list *list = cel_run_alloc(run, sizeof(*list));

	if (!list)
		return cel_fail_memory();
	*list = (struct cel_list){ (uint32_t)n, items };
	return cel_of_list(list);
}

struct cel_value cel_make_map(struct cel_run *run, const struct cel_node *node, const struct cel_entry *entries, size_t n) {
	const struct cel_map *map;

	switch (cel_map_build(run->arena, entries, n, &map)) {
	case 0:
		return cel_of_map(map);
	case CEL_MAP_BAD_KEY:
		return cel_fail(run, node, "a map key must be a bool, int, uint or string");
	case CEL_MAP_REPEATED_KEY:
		return cel_fail(run, node, "a map key is there twice");
	default:
		return cel_fail_memory();
	}
}

struct cel_value cel_no_optional(void) {
	return (struct cel_value){ .kind = CEL_OPTIONAL };
}

struct cel_value cel_make_optional(struct cel_run *run, struct cel_value v) {
	struct cel_value *copy = cel_run_alloc(run, sizeof(*copy));

	if (!copy)
		return cel_fail_memory();
	*copy = v;
	return (struct cel_value){ .kind = CEL_OPTIONAL, .some = copy };
}

/* --- leaves */

struct cel_value cel_eval_const(const struct cel_node *node, struct cel_run *run) {
	(void)run;
	return node->constant;
}

struct cel_value cel_eval_slot(const struct cel_node *node, struct cel_run *run) {
	struct cel_value v = run->slots[node->slot];

	if (v.kind == CEL_NONE)
		return cel_failf(run, node, "no such attribute: %s", cel_env_slot_name(run->program->env, node->slot));
	return v;
}

static struct cel_value eval_has_slot(const struct cel_node *node, struct cel_run *run) {
	struct cel_value v = run->slots[node->slot];

	return v.kind == CEL_UNKNOWN ? v : cel_of_bool(v.kind != CEL_NONE);
}

struct cel_value cel_eval_local(const struct cel_node *node, struct cel_run *run) {
	struct cel_value v = run->locals[node->slot];

	return v.kind == CEL_NONE ? cel_fail(run, node, "a loop's variable outside of its loop") : v;
}

static struct cel_value eval_undeclared(const struct cel_node *node, struct cel_run *run) {
	return cel_failf(run, node, "undeclared reference to '%.100s'", node->name.p);
}

/* --- selections, calls, operators */

/* A selection from an optional gives an optional: what is not there stays away through the whole chain. */
static struct cel_value eval_select(const struct cel_node *node, struct cel_run *run) {
	struct cel_value of = cel_eval_in(node->kids[0], run), out;
	struct cel_value key = cel_of_string(node->name.p, node->name.n);
	bool optional = of.kind == CEL_OPTIONAL, found;

	if (cel_failed(of))
		return of;
	if (optional && !of.some)
		return node->test ? cel_of_bool(false) : of;
	if (optional)
		of = *of.some;
	if (of.kind != CEL_MAP)
		return cel_no_such_overload(run, node);
	found = cel_map_find(of, key, &out);
	if (node->test)
		return cel_of_bool(found);
	if (optional || node->opt_select)
		return found ? cel_make_optional(run, out) : cel_no_optional();
	return found ? out : cel_no_such_key(run, node, key);
}

static bool admits(const struct cel_overload *o, const struct cel_node *node, const struct cel_value *args) {
	if (o->n != node->n || o->member != node->member)
		return false;
	for (uint32_t i = 0; i < node->n; i++)
		if (!(o->masks[i] >> args[i].kind & 1))
			return false;
	return true;
}

/* The overload that the checker found, or the first that admits the arguments. */
static struct cel_value dispatch(const struct cel_node *node, struct cel_run *run, const struct cel_value *args) {
	if (node->charge && !cel_charge(run, node, args))
		return cel_fail_cost(run, node);
	if (node->overload && node->overload->call && admits(node->overload, node, args))
		return cel_placed(run, node, node->overload->call(node, run, args));
	for (const struct cel_overload *o = node->function ? node->function->first : NULL; o; o = o->next)
		if (o->call && admits(o, node, args))
			return cel_placed(run, node, o->call(node, run, args));
	return cel_no_such_overload(run, node);
}

struct cel_value cel_eval_with(const struct cel_node *node, struct cel_run *run, const struct cel_value *args) {
	struct cel_value error = { 0 };

	for (uint32_t i = 0; i < node->n; i++) {
		if (args[i].kind == CEL_UNKNOWN)
			error = args[i];
		else if (cel_failed(args[i]) && error.kind == CEL_NONE)
			error = args[i];
	}
	return error.kind == CEL_NONE ? dispatch(node, run, args) : error;
}

struct cel_value cel_eval_call(const struct cel_node *node, struct cel_run *run) {
	struct cel_value args[CEL_MAX_ARGS];
	bool failed = false;

	if (node->n > CEL_MAX_ARGS)
		return cel_no_such_overload(run, node);
	for (uint32_t i = 0; i < node->n; i++) {
		args[i] = cel_eval_in(node->kids[i], run);
		failed |= cel_failed(args[i]);
	}
	return failed ? cel_eval_with(node, run, args) : dispatch(node, run, args);
}

/* && and ||: `decides` absorbs errors and unknowns on either side. */
static inline struct cel_value junction(const struct cel_node *node, struct cel_run *run, bool decides) {
	struct cel_value unknown = { 0 }, error = { 0 }, v;
	struct cel_node *const *kid = node->kids, *const *end = kid + node->n;

	for (; kid < end; kid++) {
		v = cel_eval_in(*kid, run);
		if (v.kind == CEL_BOOL) {
			if (v.b == decides)
				return v;
		} else if (v.kind == CEL_UNKNOWN) {
			unknown = v;
		} else if (error.kind == CEL_NONE) {
			error = cel_failed(v) ? v : cel_no_such_overload(run, node);
		}
	}
	return unknown.kind ? unknown : error.kind ? error : cel_of_bool(!decides);
}

static struct cel_value eval_and(const struct cel_node *node, struct cel_run *run) {
	return junction(node, run, false);
}

static struct cel_value eval_or(const struct cel_node *node, struct cel_run *run) {
	return junction(node, run, true);
}

static struct cel_value eval_not(const struct cel_node *node, struct cel_run *run) {
	struct cel_value v = cel_eval_in(node->kids[0], run);

	if (cel_failed(v))
		return v;
	return v.kind == CEL_BOOL ? cel_of_bool(!v.b) : cel_no_such_overload(run, node);
}

static struct cel_value eval_cond(const struct cel_node *node, struct cel_run *run) {
	struct cel_value v = cel_eval_in(node->kids[0], run);

	if (cel_failed(v))
		return v;
	if (v.kind != CEL_BOOL)
		return cel_no_such_overload(run, node);
	return cel_eval_in(node->kids[v.b ? 1 : 2], run);
}

struct cel_value cel_eval_element(const struct cel_node *node, uint32_t i, struct cel_run *run, bool *present) {
	struct cel_value v = cel_eval_in(node->kids[i], run);

	*present = true;
	if (!node->optional || !node->optional[i] || cel_failed(v))
		return v;
	if (v.kind != CEL_OPTIONAL)
		return cel_no_such_overload(run, node);
	*present = v.some;
	return v.some ? *v.some : v;
}

static struct cel_value eval_list(const struct cel_node *node, struct cel_run *run) {
	struct cel_value *items = cel_run_alloc(run, node->n * sizeof(*items) + 1);
	uint32_t n = 0;
	bool present;

	if (!items)
		return cel_placed(run, node, cel_fail_memory());
	for (uint32_t i = 0; i < node->n; i++) {
		items[n] = cel_eval_element(node, i, run, &present);
		if (cel_failed(items[n]))
			return items[n];
		n += present;
	}
	return cel_placed(run, node, cel_make_list(run, items, n));
}

static struct cel_value eval_map(const struct cel_node *node, struct cel_run *run) {
	struct cel_entry *entries = cel_run_alloc(run, node->n / 2 * sizeof(*entries) + 1), *entry = entries;
	bool present;

	if (!entries)
		return cel_placed(run, node, cel_fail_memory());
	for (uint32_t i = 0; i < node->n; i += 2) {
		entry->key = cel_eval_in(node->kids[i], run);
		if (cel_failed(entry->key))
			return entry->key;
		entry->value = cel_eval_element(node, i + 1, run, &present);
		if (cel_failed(entry->value))
			return entry->value;
		entry += present;
	}
	return cel_placed(run, node, cel_make_map(run, node, entries, (size_t)(entry - entries)));
}

/* --- planning */

static cel_eval_fn *const evaluators[] = {
	[CEL_N_CONST] = cel_eval_const, [CEL_N_IDENT] = eval_undeclared, [CEL_N_SLOT] = cel_eval_slot,
	[CEL_N_LOCAL] = cel_eval_local, [CEL_N_SELECT] = eval_select,	 [CEL_N_CALL] = cel_eval_call,
	[CEL_N_AND] = eval_and,		[CEL_N_OR] = eval_or,		 [CEL_N_NOT] = eval_not,
	[CEL_N_COND] = eval_cond,	[CEL_N_LIST] = eval_list,	 [CEL_N_MAP] = eval_map,
	[CEL_N_LOOP] = cel_eval_loop,	[CEL_N_BIND] = cel_eval_bind,	 [CEL_N_BLOCK] = cel_eval_block,
	[CEL_N_STRUCT] = cel_eval_struct,
};

/* A constant zone is looked up once. Without zones, UTC and fixed offsets are there all the same. */
static int plan_zone(struct cel_compile *c, struct cel_node *node) {
	struct zones *zones = c->program->env->zones;
	const struct cel_node *zone = node->n == 2 ? node->kids[1] : NULL;
	struct error err = { .message = "no time zone but UTC and offsets like +01:00 is known here" };

	node->zone_resolved = node->n == 1;
	if (!zone || zone->kind != CEL_N_CONST || zone->constant.kind != CEL_STRING)
		return 0;
	if (zones ? zones_load(zones, cel_str(zone->constant), &node->zone, &err) < 0
		  : zone_fixed(cel_str(zone->constant), &node->zone) < 0) {
		cel_compile_fail(c, CEL_PHASE_PLAN, zone->at, "%s", err.message);
		return -1;
	}
	node->zone_resolved = true;
	return 0;
}

static int plan_regex(struct cel_compile *c, struct cel_node *node) {
	const struct cel_node *pattern = node->n ? node->kids[node->n - 1] : NULL;
	struct cel_regex *regex;
	char why[160] = "";

	if (!pattern || pattern->kind != CEL_N_CONST || pattern->constant.kind != CEL_STRING)
		return 0;
	if (pattern->constant.n > c->program->limits.regex) {
		cel_compile_fail(c, CEL_PHASE_LIMIT, pattern->at, "a pattern of more than %u bytes", c->program->limits.regex);
		return -1;
	}
	regex = cel_arena_alloc(&c->program->arena, sizeof(*regex));
	if (!regex) {
		cel_compile_memory(c, pattern->at);
		return -1;
	}
	regex->re = re2_shim_new(pattern->constant.s, pattern->constant.n, c->program->limits.regex_memory, why, sizeof(why));
	if (!regex->re) {
		cel_compile_fail(c, CEL_PHASE_PLAN, pattern->at, "no regular expression: %s", why);
		return -1;
	}
	regex->next = c->program->regexes;
	c->program->regexes = regex;
	node->regex = regex;
	return 0;
}

/* `in` with a long constant list is one look into a table, and costs no iterations. */
static void plan_set(struct cel_compile *c, struct cel_node *node) {
	const struct cel_node *list = node->n == 2 ? node->kids[1] : NULL;

	if (list && list->kind == CEL_N_CONST && list->constant.kind == CEL_LIST && cel_list_size(list->constant) > 8)
		node->set = cel_set_build(&c->program->arena, list->constant);
}

static int plan_template(struct cel_compile *c, const struct cel_node *node) {
	const struct cel_node *template = node->n == 2 ? node->kids[1] : NULL;
	struct str prefix, suffix;

	if (!template || template->kind != CEL_N_CONST || template->constant.kind != CEL_STRING ||
	    cel_extract_template(cel_str(template->constant), &prefix, &suffix))
		return 0;
	cel_compile_fail(c, CEL_PHASE_PLAN, template->at, CEL_EXTRACT_WANTS);
	return -1;
}

int cel_regex_search(const struct cel_regex *regex, struct str text) {
	return re2_shim_search(regex->re, text.p, text.n);
}

int cel_regex_once(struct str pattern, size_t max_memory, struct str text, char *why, size_t why_size) {
	void *re = re2_shim_new(pattern.p, pattern.n, (long long)max_memory, why, why_size);
	int found = re ? re2_shim_search(re, text.p, text.n) : -1;

	if (re && found < 0)
		snprintf(why, why_size, "out of memory");
	if (re)
		re2_shim_free(re);
	return found;
}

static bool foldable(const struct cel_node *node) {
	if (node->kind != CEL_N_CALL && node->kind != CEL_N_NOT && node->kind != CEL_N_LIST)
		return false;
	for (uint32_t i = 0; i < node->n; i++)
		if (node->kids[i]->kind != CEL_N_CONST)
			return false;
	return true;
}

/* A constant sub-expression is evaluated once; one that fails stays, and fails when it is reached. */
static void fold(struct cel_compile *c, struct cel_node *node) {
	struct cel_run run = { .arena = &c->program->arena, .program = c->program, .left = { 0 } };
	struct cel_value v;

	if (!foldable(node) || node->fn == CEL_FN_GET_ATTRIBUTE)
		return;
	v = node->eval(node, &run);
	if (cel_failed(v))
		return;
	node->kind = CEL_N_CONST;
	node->constant = v;
	node->eval = cel_eval_const;
	node->n = 0;
}

static uint64_t local_bit(uint32_t slot) {
	return slot < MAX_LOCALS ? (uint64_t)1 << slot : 0;
}

/* The variables that a node binds: for its children after the first, those of a block for every later one. */
static uint64_t bound_by(const struct cel_node *node) {
	uint64_t bound = 0;

	if (node->kind == CEL_N_LOOP)
		return local_bit(node->var) | local_bit(node->var2);
	if (node->kind == CEL_N_BIND)
		return local_bit(node->var);
	for (uint32_t i = 0; node->kind == CEL_N_BLOCK && i + 1 < node->n; i++)
		bound |= local_bit(node->var + i);
	return bound;
}

/* What its value depends on. The children know it of themselves. */
static void trace(struct cel_compile *c, struct cel_node *node) {
	uint64_t bound = bound_by(node);

	if (node->kind != CEL_N_CONST || node->constant.kind == CEL_LIST)
		node->id = c->program->n_ids++;
	node->uses = node->kind == CEL_N_SLOT ? cel_slot_bit(node->slot) : 0;
	node->free_locals = node->kind == CEL_N_LOCAL ? local_bit(node->slot) : 0;
	for (uint32_t i = 0; i < node->n; i++) {
		node->uses |= node->kids[i]->uses;
		node->free_locals |= node->kids[i]->free_locals & ~(i ? bound : 0);
	}
}

/* A mistake in one child does not keep those in the others from being found. */
static int plan(struct cel_compile *c, struct cel_node *node) {
	cel_eval_fn *fused;
	int r = 0;

	for (uint32_t i = 0; i < node->n; i++)
		r |= plan(c, node->kids[i]);
	if (r < 0)
		return -1;
	assert(node->kind < sizeof(evaluators) / sizeof(evaluators[0]) && evaluators[node->kind]);
	node->eval = node->kind == CEL_N_SLOT && node->test ? eval_has_slot : evaluators[node->kind];
	if (node->kind == CEL_N_CALL && node->fn >= CEL_FN_GET_FULL_YEAR && node->fn <= CEL_FN_GET_MILLISECONDS &&
	    plan_zone(c, node) < 0)
		return -1;
	if (node->kind == CEL_N_CALL && node->fn == CEL_FN_MATCHES && plan_regex(c, node) < 0)
		return -1;
	if (node->kind == CEL_N_CALL && node->fn == CEL_FN_EXTRACT && plan_template(c, node) < 0)
		return -1;
	if (node->kind == CEL_N_CALL && node->fn == CEL_FN_IN)
		plan_set(c, node);
	fold(c, node);
	trace(c, node);
	cel_cost_plan(node);
	fused = cel_fuse(node);
	if (fused)
		node->eval = fused;
	return 0;
}

int cel_plan(struct cel_compile *c) {
	if (c->program->n_locals > MAX_LOCALS) {
		cel_compile_fail(c, CEL_PHASE_LIMIT, 0, "more than %d loop variables", MAX_LOCALS);
		return -1;
	}
	c->patient = true;
	if (plan(c, c->program->root) < 0)
		return -1;
	if (c->program->root->fixed > c->program->limits.cost) {
		cel_compile_fail(c, CEL_PHASE_LIMIT, c->program->root->at, "the expression costs %u without its loops, more than %u",
				 c->program->root->fixed, c->program->limits.cost);
		return -1;
	}
	return 0;
}

/* --- programs */

const struct cel_limits cel_default_limits = {
	.source = 32768, .depth = 96, .nodes = 20000, .compile_bytes = 8 << 20, .iterations = 10000, .cost = 1000000, .regex = 1024,
	.regex_memory = 1 << 20,
};

static int compile(struct cel_compile *c) {
	struct cel_program *p = c->program;
	size_t valid;

	if (p->text.n > p->limits.source) {
		cel_compile_fail(c, CEL_PHASE_LIMIT, 0, "an expression of more than %u bytes", p->limits.source);
		return -1;
	}
	p->text.p = cel_arena_str(&p->arena, p->text.p, p->text.n);
	p->used = cel_arena_alloc(&p->arena, p->env->n_slots + 1);
	if (!p->text.p || !p->used) {
		p->text.n = 0;
		cel_compile_memory(c, 0);
		return -1;
	}
	memset(p->used, 0, p->env->n_slots + 1);
	valid = cel_utf8_prefix(p->text.p, p->text.n);
	if (valid != p->text.n) {
		cel_compile_fail(c, CEL_PHASE_PARSE, (uint32_t)valid, "the expression is not UTF-8");
		return -1;
	}
	if (cel_parse(c) < 0 || (p->mode & CEL_PARSE_ONLY))
		return c->failed ? -1 : 0;
	return cel_check(c) < 0 || cel_plan(c) < 0 ? -1 : 0;
}

static int no_memory(struct cel_errors *errors) {
	note_no_memory();
	errors->n = 1;
	errors->list[0] = (struct cel_error){ .phase = CEL_PHASE_LIMIT, .line = 1, .column = 1, .message = "out of memory" };
	return -1;
}

/* By position, as people read. At most CEL_MAX_ERRORS. */
static void sort_errors(struct cel_errors *errors) {
	for (size_t i = 1; i < errors->n; i++)
		for (size_t k = i; k > 0 && errors->list[k].offset < errors->list[k - 1].offset; k--) {
			struct cel_error later = errors->list[k - 1];

			errors->list[k - 1] = errors->list[k];
			errors->list[k] = later;
		}
}

int cel_compile_all(const struct cel_env *env, struct str text, unsigned mode, const struct cel_limits *limits,
		    struct cel_program **out, struct cel_errors *errors) {
	struct cel_program *p = calloc(1, sizeof(*p));
	struct cel_compile c = { .program = p, .errors = errors };
	struct error memory;

	errors->n = 0;
	if (!p)
		return no_memory(errors);
	p->env = env;
	p->limits = limits ? *limits : cel_default_limits;
	p->mode = mode;
	p->text = text;
	if (cel_arena_init(&p->arena, PROGRAM_STEP, p->limits.compile_bytes, &memory) < 0) {
		free(p);
		return no_memory(errors);
	}
	if (compile(&c) < 0) {
		assert(errors->n > 0);
		sort_errors(errors);
		cel_program_free(p);
		return -1;
	}
	*out = p;
	return 0;
}

int cel_compile(const struct cel_env *env, struct str text, unsigned mode, const struct cel_limits *limits,
		struct cel_program **out, struct cel_error *err) {
	struct cel_errors errors;
	int r = cel_compile_all(env, text, mode, limits, out, &errors);

	if (r < 0)
		*err = errors.list[0];
	return r;
}

void cel_program_free(struct cel_program *program) {
	if (!program)
		return;
	for (struct cel_regex *r = program->regexes; r; r = r->next)
		re2_shim_free(r->re);
	cel_arena_fini(&program->arena);
	free(program);
}

const struct cel_node *cel_program_root(const struct cel_program *program) {
	return program->root;
}

const struct cel_type *cel_program_type(const struct cel_program *program) {
	return program->root->type;
}

struct str cel_program_text(const struct cel_program *program) {
	return program->text;
}

bool cel_program_uses(const struct cel_program *program, unsigned slot) {
	return program->used[slot];
}

uint32_t cel_program_ids(const struct cel_program *program) {
	return program->n_ids;
}

uint32_t cel_program_locals(const struct cel_program *program) {
	return program->n_locals;
}

struct cel_value cel_eval_bound(const struct cel_program *program, const struct cel_node *node, const struct cel_activation *activation,
				const struct cel_value *bound, struct cel_arena *arena, struct cel_budget *budget) {
	struct cel_value locals[MAX_LOCALS], v;
	struct cel_run run = { .slots = activation->slots, .locals = locals, .arena = arena, .program = program,
			       .activation = activation, .left = *budget };

	memcpy(locals, bound, program->n_locals * sizeof(*locals));
	v = node->eval(node, &run);
	*budget = run.left;
	return v;
}

struct cel_value cel_eval_part(const struct cel_program *program, const struct cel_node *node,
			       const struct cel_activation *activation, struct cel_arena *arena, struct cel_budget *budget) {
	static const struct cel_value nothing[MAX_LOCALS];

	return cel_eval_bound(program, node, activation, nothing, arena, budget);
}

struct cel_budget cel_program_budget(const struct cel_program *program) {
	uint32_t cost = program->limits.cost, fixed = program->root->fixed;

	return (struct cel_budget){ program->limits.iterations, cost > fixed ? cost - fixed : 0 };
}

struct cel_value cel_eval_node(const struct cel_program *program, const struct cel_node *node,
			       const struct cel_activation *activation, struct cel_arena *arena) {
	struct cel_budget budget = cel_program_budget(program);

	return cel_eval_part(program, node, activation, arena, &budget);
}

struct cel_value cel_eval(const struct cel_program *program, const struct cel_activation *activation,
			  struct cel_arena *arena) {
	return cel_eval_node(program, program->root, activation, arena);
}

void cel_position(struct str text, uint32_t offset, uint32_t *line, uint32_t *column) {
	*line = *column = 1;
	for (uint32_t i = 0; i < offset && i < text.n; i++) {
		if (text.p[i] == '\n') {
			++*line;
			*column = 1;
		} else if (((unsigned char)text.p[i] & 0xC0) != 0x80) {
			++*column;
		}
	}
}
