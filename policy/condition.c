/* See condition.h. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "hallpass/utf8.h"
#include "policy/cel.h"
#include "policy/cel_ast.h"
#include "policy/cel_time.h"
#include "policy/condition.h"
#include "policy/hint.h"
#include "policy/horizon.h"
#include "policy/rules.h"
#include "policy/zones.h"

#define MAX_PARTS 16
#define MAX_VALUES 16

/* Attributes are slots, in this order. */
enum attribute {
	REQUEST_TIME,
	REQUEST_AUTH_PRINCIPAL,
	REQUEST_AUTH_METHOD,
	REQUEST_AUTH_CLAIMS,
	REQUEST_AUTH_ACCESS_LEVELS,
	REQUEST_LIFETIME,
	REQUEST_SCOPES,
	REQUEST_PERMISSION,
	REQUEST_AUDIENCE,
	REQUEST_JUSTIFICATION,
	REQUEST_SURFACE,
	REQUEST_PEER_UID,
	REQUEST_PEER_GID,
	REQUEST_PEER_PID,
	REQUEST_PEER_EXE,
	ORIGIN_IP,
	ORIGIN_PORT,
	RESOURCE_NAME,
	RESOURCE_TYPE,
	RESOURCE_SERVICE,
	N_ATTRIBUTES
};

static const struct {
	const char *name;
	const struct cel_type *type;
	bool iam; /* IAM's own conditions have it */
} attributes[N_ATTRIBUTES] = {
	[REQUEST_TIME] = { "request.time", &cel_timestamp, true },
	[REQUEST_AUTH_PRINCIPAL] = { "request.auth.principal", &cel_string, false },
	[REQUEST_AUTH_METHOD] = { "request.auth.method", &cel_string, false },
	[REQUEST_AUTH_CLAIMS] = { "request.auth.claims", &cel_map_string_dyn, false },
	[REQUEST_AUTH_ACCESS_LEVELS] = { "request.auth.access_levels", &cel_list_string, true },
	[REQUEST_LIFETIME] = { "request.lifetime", &cel_duration, false },
	[REQUEST_SCOPES] = { "request.scopes", &cel_list_string, false },
	[REQUEST_PERMISSION] = { "request.permission", &cel_string, false },
	[REQUEST_AUDIENCE] = { "request.audience", &cel_string, false },
	[REQUEST_JUSTIFICATION] = { "request.justification", &cel_string, false },
	[REQUEST_SURFACE] = { "request.surface", &cel_string, false },
	[REQUEST_PEER_UID] = { "request.peer.uid", &cel_int, false },
	[REQUEST_PEER_GID] = { "request.peer.gid", &cel_int, false },
	[REQUEST_PEER_PID] = { "request.peer.pid", &cel_int, false },
	[REQUEST_PEER_EXE] = { "request.peer.exe", &cel_string, false },
	[ORIGIN_IP] = { "origin.ip", &cel_string, false },
	[ORIGIN_PORT] = { "origin.port", &cel_int, false },
	[RESOURCE_NAME] = { "resource.name", &cel_string, true },
	[RESOURCE_TYPE] = { "resource.type", &cel_string, true },
	[RESOURCE_SERVICE] = { "resource.service", &cel_string, true },
};

/* One a rule; all but the title is shared with the others of the same expression, and the env's. */
struct condition {
	struct cel_program *program;
	uint32_t uses; /* attributes: bit 1 << enum attribute */
	const char *title, *expression;
};

/*
 * As large as requests may make them, or where nothing bounds them as they reasonably are: what conditions are priced by.
 * Larger ones may cost an evaluation its budget, and then it errs.
 */
#define ANYTHING { .bytes = 512, .items = 64, .inner_bytes = 512, .inner_items = 64 }

static const struct cel_size sizes[N_ATTRIBUTES] = {
	[REQUEST_AUTH_PRINCIPAL] = { .bytes = 640 },
	[REQUEST_AUTH_METHOD] = { .bytes = 32 },
	[REQUEST_AUTH_CLAIMS] = ANYTHING,
	[REQUEST_AUTH_ACCESS_LEVELS] = { .items = 64, .inner_bytes = 256 },
	[REQUEST_SCOPES] = { .items = POLICY_MAX_SCOPES, .inner_bytes = 256 },
	[REQUEST_PERMISSION] = { .bytes = 64 },
	[REQUEST_AUDIENCE] = { .bytes = 1024 },
	[REQUEST_JUSTIFICATION] = { .bytes = 1024 },
	[REQUEST_SURFACE] = { .bytes = 32 },
	[REQUEST_PEER_EXE] = { .bytes = 4096 },
	[ORIGIN_IP] = { .bytes = 64 },
	[RESOURCE_NAME] = { .bytes = 384 },
	[RESOURCE_TYPE] = { .bytes = 64 },
	[RESOURCE_SERVICE] = { .bytes = 64 },
};

/* Variables that are no attributes: of expressions by themselves. */
static const struct cel_hints hints = { .slots = sizes, .n = N_ATTRIBUTES, .others = ANYTHING };

struct condition_env {
	struct cel_env *cel;
	struct zones *zones;
	struct chunks memory;
	struct names expressions;
	struct condition *compiled; /* by number in expressions; program NULL: it was refused */
	uint32_t size;
};

/* ---- the environment ---- */

const char *condition_attribute(unsigned i, const struct cel_type **type) {
	if (i >= N_ATTRIBUTES)
		return NULL;
	*type = attributes[i].type;
	return attributes[i].name;
}

int condition_declare(struct zones *zones, struct cel_env **out, struct error *err) {
	unsigned slot;

	if (cel_env_new(CEL_LIB_ALL, out, err) < 0)
		return -1;
	cel_env_zones(*out, zones);
	for (unsigned i = 0; i < N_ATTRIBUTES; i++) {
		if (cel_env_variable(*out, attributes[i].name, attributes[i].type, &slot, err) < 0)
			return -1;
		assert(slot == i);
	}
	return 0;
}

int condition_env_new(const struct policy_host *host, struct condition_env **out, struct error *err) {
	struct condition_env *env = calloc(1, sizeof(*env));

	if (!env || !(env->zones = zones_new(host))) {
		condition_env_free(env);
		return error_no_memory(err);
	}
	if (condition_declare(env->zones, &env->cel, err) < 0) {
		condition_env_free(env);
		return -1;
	}
	*out = env;
	return 0;
}

void condition_env_free(struct condition_env *env) {
	if (!env)
		return;
	for (uint32_t i = 0; i < env->expressions.n; i++)
		cel_program_free(env->compiled[i].program);
	free(env->compiled);
	names_fini(&env->expressions);
	chunks_fini(&env->memory);
	if (env->cel)
		cel_env_free(env->cel);
	zones_free(env->zones);
	free(env);
}

/* ---- conditions ---- */

static const char *phase_id(const struct cel_error *error) {
	switch (error->phase) {
	case CEL_PHASE_PARSE:
		return "cel-syntax";
	case CEL_PHASE_CHECK:
	case CEL_PHASE_PLAN:
		return "cel-type";
	case CEL_PHASE_LIMIT:
		return "cel-limit";
	}
	return "cel";
}

/* A lifetime that no condition bounds cannot be given (P2): such a condition would never grant, or always stop grants. */
static bool is_bounded(const struct cel_program *program, const struct condition_sink *sink) {
	const struct cel_node *blind = horizon_blind_spot(program, REQUEST_TIME);
	struct str text;
	char message[256];

	if (!blind)
		return true;
	text = cel_node_text(program, blind);
	snprintf(message, sizeof(message), "nobody can tell until when this holds: %.*s%s", (int)(text.n > 120 ? 120 : text.n),
		 text.p, text.n > 120 ? "..." : "");
	sink->found(sink->arg, POLICY_ERROR, "cel-unbounded", blind->start, message,
		    "compare request.time, request.time +/- a duration, or one of its getters with a constant zone");
	return false;
}

/* What could err for want of budget might be refused on the one request that matters. */
static bool is_affordable(const struct cel_program *program, const struct condition_sink *sink) {
	struct cel_estimate worst;
	char message[400];
	struct str text;

	cel_estimate(program, &hints, CONDITION_MEMORY, &worst);
	if (worst.cost <= cel_default_limits.cost)
		return true;
	if (!worst.node)
		worst.node = cel_program_root(program);
	text = cel_node_text(program, worst.node);
	snprintf(message, sizeof(message), "evaluating this can cost %llu units, of %u that a condition has; most of it is %.*s%s",
		 (unsigned long long)worst.cost, cel_default_limits.cost, (int)(text.n > 120 ? 120 : text.n), text.p,
		 text.n > 120 ? "..." : "");
	sink->found(sink->arg, POLICY_ERROR, "cel-cost", worst.node->start, message,
		    "nest fewer loops, or compare with == or startsWith() what is now matched or searched; a list of the request "
		    "counts as 64 elements, a text in it as 512 bytes");
	return false;
}

/* The first call in order whose arguments are constants, and which errs all the same. Depth: cel_limits.depth. */
static const struct cel_node *hopeless(const struct cel_program *program, const struct cel_node *node,
				       struct cel_arena *arena, struct cel_value *why) {
	const struct cel_activation nothing = { 0 };
	const struct cel_node *found;
	bool constant = node->kind == CEL_N_CALL && node->n > 0 && node->fn != CEL_FN_GET_ATTRIBUTE;

	for (uint32_t i = 0; i < node->n; i++) {
		constant &= node->kids[i]->kind == CEL_N_CONST;
		found = hopeless(program, node->kids[i], arena, why);
		if (found)
			return found;
	}
	if (!constant)
		return NULL;
	*why = cel_eval_node(program, node, &nothing, arena);
	return why->kind == CEL_ERROR ? node : NULL;
}

/* timestamp("2026-01-01") has the right type, and never a value. */
static bool is_hopeful(const struct cel_program *program, const struct condition_sink *sink) {
	char memory[4096], message[400];
	struct cel_arena arena = { .at = memory, .end = memory + sizeof(memory), .step = sizeof(memory),
				   .max = sizeof(memory), .total = sizeof(memory) };
	const struct cel_node *node;
	struct cel_value why;

	node = hopeless(program, cel_program_root(program), &arena, &why);
	if (!node)
		return true;
	snprintf(message, sizeof(message), "this can never be evaluated: %s", why.fault->message);
	sink->found(sink->arg, POLICY_ERROR, "cel-constant", node->start, message, NULL);
	return false;
}

static bool is_attribute(struct cel_value name) {
	for (size_t i = 0; i < N_ATTRIBUTES; i++)
		if (name.kind == CEL_STRING && str_eq((struct str){ name.s, name.n }, str_of(attributes[i].name)))
			return true;
	return false;
}

/* api.getAttribute() of a name that it does not know, though we do. Depth: cel_limits.depth. */
static const struct cel_node *misplaced(const struct cel_node *node) {
	const struct cel_node *found = NULL;

	if (node->kind == CEL_N_CALL && node->fn == CEL_FN_GET_ATTRIBUTE && node->kids[0]->kind == CEL_N_CONST &&
	    is_attribute(node->kids[0]->constant))
		return node;
	for (uint32_t i = 0; i < node->n && !found; i++)
		found = misplaced(node->kids[i]);
	return found;
}

/* It would always be the default: a deny rule that never denies (P3). */
static bool is_well_named(const struct cel_program *program, const struct condition_sink *sink) {
	const struct cel_node *node = misplaced(cel_program_root(program));
	char message[256], fix[256];
	struct cel_value name;

	if (!node)
		return true;
	name = node->kids[0]->constant;
	snprintf(message, sizeof(message), "api.getAttribute() asks for IAM's API attributes, of which %.*s is none",
		 (int)name.n, name.s);
	snprintf(fix, sizeof(fix), "write has(%.*s) ? %.*s : the default", (int)name.n, name.s, (int)name.n, name.s);
	sink->found(sink->arg, POLICY_ERROR, "cel-attribute", node->start, message, fix);
	return false;
}

bool condition_review(const struct cel_program *program, const struct condition_sink *sink) {
	return is_hopeful(program, sink) && is_well_named(program, sink) && is_bounded(program, sink) &&
	       is_affordable(program, sink);
}

void condition_complain(const struct zones *zones, const struct cel_errors *errors, struct str expression,
			const struct condition_sink *sink) {
	const char *names[N_ATTRIBUTES];
	char fix[256];
	bool hint;

	for (size_t i = 0; i < N_ATTRIBUTES; i++)
		names[i] = attributes[i].name;
	for (size_t i = 0; i < errors->n; i++) {
		const struct cel_error *error = &errors->list[i];

		hint = !sink->only_counts && hint_for(error, expression, names, N_ATTRIBUTES, zones_host(zones), fix, sizeof(fix));
		sink->found(sink->arg, POLICY_ERROR, phase_id(error), error->offset, error->message, hint ? fix : NULL);
	}
}

/* Where what the expression compiles to is kept. NULL: memory. */
static struct condition *place_of(struct condition_env *env, struct str expression) {
	uint32_t n_before = env->expressions.n, size = env->size ? env->size * 2 : 16, id;
	struct condition *more;

	if (n_before == env->size) {
		more = realloc(env->compiled, size * sizeof(*more));
		if (!more)
			return NULL;
		env->compiled = more;
		env->size = size;
	}
	if (names_intern(&env->expressions, &env->memory, expression.p, expression.n, &id) < 0)
		return NULL;
	if (id == n_before)
		env->compiled[id] = (struct condition){ .expression = env->expressions.list[id] };
	return &env->compiled[id];
}

static void compile(const struct condition_env *env, struct str expression, const struct condition_sink *sink,
		    struct condition *condition) {
	struct cel_errors errors;

	if (cel_compile_all(env->cel, expression, CEL_WANT_BOOL, NULL, &condition->program, &errors) < 0) {
		condition_complain(env->zones, &errors, expression, sink);
		return;
	}
	if (!condition_review(condition->program, sink)) {
		cel_program_free(take(&condition->program));
		return;
	}
	for (unsigned a = 0; a < N_ATTRIBUTES; a++)
		if (cel_program_uses(condition->program, a))
			condition->uses |= 1u << a;
}

int condition_new(struct condition_env *env, struct str expression, const char *title,
		  const struct condition_sink *sink, struct condition **out) {
	struct condition *compiled = place_of(env, expression);

	*out = NULL;
	if (!compiled)
		return -1;
	if (!compiled->program)
		compile(env, expression, sink, compiled);
	if (!compiled->program)
		return 0; /* said so, and says so of the next one like it */
	*out = chunks_copy(&env->memory, compiled, sizeof(*compiled), _Alignof(struct condition));
	if (!*out)
		return -1;
	(*out)->title = title;
	return 0;
}

const struct cel_program *condition_env_program(const struct condition_env *env, uint32_t i) {
	return i < env->expressions.n ? env->compiled[i].program : NULL;
}

const struct cel_program *condition_program(const struct condition *condition) {
	return condition->program;
}

uint32_t condition_time_slot(void) {
	return REQUEST_TIME;
}

bool condition_iam_has(uint32_t slot) {
	return attributes[slot].iam;
}

const char *condition_title(const struct condition *condition) {
	return condition->title;
}

const char *condition_expression(const struct condition *condition) {
	return condition->expression;
}

/* ---- values of a query ---- */

/* An evaluation's memory: on the caller's stack, so that a decision takes nothing from the heap. */
struct scratch {
	struct cel_value slots[N_ATTRIBUTES];
	struct cel_activation activation;
	struct cel_list scopes, levels;
	struct cel_arena arena;
	char resource_name[384];
	_Alignas(8) char memory[CONDITION_MEMORY];
};

static struct cel_value unknown(enum attribute a) {
	return cel_unknown(attributes[a].name);
}

/* NULL is absent; what is no text nobody can vouch for. */
static struct cel_value text_value(enum attribute a, const char *text) {
	size_t n = text ? strlen(text) : 0;

	if (!text)
		return (struct cel_value){ 0 };
	return n < CEL_MAX_STRING && utf8_valid(text, n) ? cel_of_string(text, n) : unknown(a);
}

static struct cel_value list_value(struct scratch *s, enum attribute a, const char *const *list, size_t n,
				   struct cel_list *out) {
	struct cel_value *items =
		n < UINT32_MAX / sizeof(*items) ? cel_arena_alloc(&s->arena, n * sizeof(*items) + 1) : NULL;

	if (!items)
		return unknown(a);
	for (size_t i = 0; i < n; i++) {
		items[i] = text_value(a, list[i]);
		if (items[i].kind != CEL_STRING)
			return unknown(a);
	}
	*out = (struct cel_list){ .n = (uint32_t)n, .items = items };
	return cel_of_list(out);
}

static struct cel_value lifetime_value(int64_t lifetime_s) {
	const int64_t most = INT64_MAX / 1000000000;

	return lifetime_s > 0 ? cel_of_duration((lifetime_s < most ? lifetime_s : most) * 1000000000)
			      : (struct cel_value){ 0 };
}

static struct cel_value peer_value(enum attribute a, const struct policy_peer *peer) {
	int64_t id = a == REQUEST_PEER_UID ? peer->uid : a == REQUEST_PEER_GID ? peer->gid : peer->pid;

	if (!peer->known)
		return unknown(a);
	if (a == REQUEST_PEER_EXE)
		return peer->exe ? text_value(a, peer->exe) : unknown(a);
	return id < 0 ? unknown(a) : cel_of_int(id);
}

static struct cel_value resource_name(struct scratch *s, const char *account) {
	static const char prefix[] = "projects/-/serviceAccounts/";
	size_t n = strlen(account);

	if (sizeof(prefix) + n > sizeof(s->resource_name))
		return (struct cel_value){ 0 };
	memcpy(s->resource_name, prefix, sizeof(prefix) - 1);
	memcpy(s->resource_name + sizeof(prefix) - 1, account, n);
	return utf8_valid(account, n) ? cel_of_string(s->resource_name, sizeof(prefix) - 1 + n) : unknown(RESOURCE_NAME);
}

static struct cel_value attribute_value(struct scratch *s, const struct policy_query *q, enum attribute a) {
	switch (a) {
	case REQUEST_TIME:
		return cel_of_timestamp(q->now, q->now_ns);
	case REQUEST_AUTH_PRINCIPAL:
		return text_value(a, q->principal);
	case REQUEST_AUTH_METHOD:
		return text_value(a, q->auth_method);
	case REQUEST_AUTH_CLAIMS:
		return cel_of_json(q->claims);
	case REQUEST_AUTH_ACCESS_LEVELS:
		return list_value(s, a, q->access_levels, q->n_access_levels, &s->levels);
	case REQUEST_LIFETIME:
		return lifetime_value(q->lifetime_s);
	case REQUEST_SCOPES:
		return list_value(s, a, q->scopes, q->n_scopes, &s->scopes);
	case REQUEST_PERMISSION:
		return text_value(a, permission_name(q->permission));
	case REQUEST_AUDIENCE:
		return text_value(a, q->audience);
	case REQUEST_JUSTIFICATION:
		return text_value(a, q->justification);
	case REQUEST_SURFACE:
		return text_value(a, q->surface);
	case REQUEST_PEER_UID:
	case REQUEST_PEER_GID:
	case REQUEST_PEER_PID:
	case REQUEST_PEER_EXE:
		return peer_value(a, &q->peer);
	case ORIGIN_IP:
		return text_value(a, q->origin_ip);
	case ORIGIN_PORT:
		return q->origin_port > 0 ? cel_of_int(q->origin_port) : (struct cel_value){ 0 };
	case RESOURCE_NAME:
		return resource_name(s, q->service_account);
	case RESOURCE_TYPE:
		return cel_of_string("iam.googleapis.com/ServiceAccount", 33);
	case RESOURCE_SERVICE:
		return cel_of_string("iam.googleapis.com", 18);
	case N_ATTRIBUTES:
		break;
	}
	return (struct cel_value){ 0 };
}

/* Gives the attributes that this condition names their values. It looks at no others, so they stay as they are. */
static void bind(struct scratch *s, const struct condition *condition, const struct policy_query *q) {
	s->arena = (struct cel_arena){ .at = s->memory,
				       .end = s->memory + sizeof(s->memory),
				       .step = sizeof(s->memory),
				       .max = sizeof(s->memory),
				       .total = sizeof(s->memory) };
	s->activation = (struct cel_activation){ .slots = s->slots };
	for (uint32_t left = condition->uses; left; left &= left - 1)
		s->slots[__builtin_ctz(left)] = attribute_value(s, q, (enum attribute)__builtin_ctz(left));
}

/* ---- asking ---- */

static enum condition_result result_of(struct cel_value v) {
	if (v.kind != CEL_BOOL)
		return CONDITION_ERROR;
	return v.b ? CONDITION_TRUE : CONDITION_FALSE;
}

static void say_why(struct cel_value v, char *why, size_t size) {
	if (v.kind == CEL_UNKNOWN && !strcmp(v.name, attributes[REQUEST_SCOPES].name))
		snprintf(why, size, "%s is not known, since no scope was asked for: name those that are wanted", v.name);
	else if (v.kind == CEL_UNKNOWN)
		snprintf(why, size, "%s is not known", v.name);
	else if (v.kind == CEL_ERROR && v.fault)
		snprintf(why, size, "%s", v.fault->message);
	else
		snprintf(why, size, "%s", v.kind == CEL_BOOL ? "" : "it is not a bool");
}

enum condition_result condition_eval(const struct condition *condition, const struct policy_query *query, char *why,
				     size_t why_size) {
	struct scratch s;
	struct cel_value v;

	bind(&s, condition, query);
	v = cel_eval(condition->program, &s.activation, &s.arena);
	if (why && why_size)
		say_why(v, why, why_size);
	return result_of(v);
}

enum condition_result condition_judge(const struct condition *condition, const struct policy_query *query, bool want,
				      int64_t limit, int64_t *until) {
	const struct cel_node *root = cel_program_root(condition->program);
	struct cel_budget budget = cel_program_budget(condition->program), left = budget;
	enum condition_result result;
	struct scratch s;
	char *bound;

	bind(&s, condition, query);
	bound = s.arena.at;
	result = result_of(cel_eval_part(condition->program, root, &s.activation, &s.arena, &left));
	if (result != (want ? CONDITION_TRUE : CONDITION_FALSE))
		return result;
	*until = INT64_MAX;
	if (left.iterations == budget.iterations && left.cost == budget.cost && s.arena.at == bound &&
	    horizon_is_beyond(root, (struct cel_timestamp){ query->now, query->now_ns }, REQUEST_TIME, limit, want))
		return result;
	s.arena.at = bound; /* what the attributes need stays, what the evaluation left goes */
	s.arena.failed = false;
	*until = horizon_until(condition->program, &s.activation, REQUEST_TIME, limit, want, &s.arena);
	return result;
}

/* ---- which parts were false ---- */

struct parts {
	const struct condition *condition;
	struct scratch scratch;
	json_t *list;
};

/* Each evaluation begins with an empty arena: what it gives is used before the next. */
static struct cel_value value_of(struct parts *p, const struct policy_query *q, const struct cel_node *node) {
	bind(&p->scratch, p->condition, q);
	return cel_eval_node(p->condition->program, node, &p->scratch.activation, &p->scratch.arena);
}

static json_t *printed(struct cel_value v) {
	char text[4096];
	struct buf b = BUF_ON(text);

	cel_value_print(v, &b);
	return json_stringn(text, b.len);
}

static json_t *value_json(struct cel_value v) {
	char text[CEL_TIME_TEXT + CEL_DURATION_TEXT];

	switch (v.kind) {
	case CEL_BOOL:
		return json_boolean(v.b);
	case CEL_INT:
		return json_integer(v.i);
	case CEL_STRING:
		return json_stringn(v.s, v.n);
	case CEL_TIMESTAMP:
		return json_stringn(text, cel_time_format((struct cel_timestamp){ v.i, v.n }, text));
	case CEL_DURATION:
		return json_stringn(text, cel_duration_format(v.i, text));
	default:
		return printed(v);
	}
}

static json_t *text_json(const struct parts *p, const struct cel_node *node) {
	struct str text = cel_node_text(p->condition->program, node);

	return json_stringn(text.p, text.n);
}

static void add_value(struct parts *p, const struct policy_query *q, const struct cel_node *node, json_t *values) {
	struct str text = cel_node_text(p->condition->program, node);
	struct cel_value v;

	if (json_object_size(values) >= MAX_VALUES)
		return;
	v = value_of(p, q, node);
	json_object_setn_new(values, text.p, text.n, v.kind == CEL_NONE ? json_null() : value_json(v));
}

static bool joins_truths(const struct cel_node *node) {
	return node->kind == CEL_N_AND || node->kind == CEL_N_OR || node->kind == CEL_N_NOT || node->kind == CEL_N_COND;
}

/* The operands that are not constants, of the calls that give truths. Loops: what they run over. Depth:
 * cel_limits.depth. */
static void add_values(struct parts *p, const struct policy_query *q, const struct cel_node *node, json_t *values) {
	uint32_t n = node->kind == CEL_N_LOOP && node->n ? 1 : node->n;

	if (node->kind == CEL_N_CONST)
		return;
	if (!joins_truths(node) && node->kind != CEL_N_CALL && node->kind != CEL_N_LOOP) {
		add_value(p, q, node, values);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (joins_truths(node) || (node->kids[i]->type && node->kids[i]->type->kind == CEL_T_BOOL))
			add_values(p, q, node->kids[i], values);
		else if (node->kids[i]->kind != CEL_N_CONST && node->kids[i]->kind != CEL_N_LIST)
			add_value(p, q, node->kids[i], values);
	}
}

static void add_part(struct parts *p, const struct policy_query *q, const struct cel_node *node, struct cel_value v) {
	json_t *part = json_object(), *values = json_object();
	char why[256];

	json_object_set_new(part, "expression", text_json(p, node));
	if (v.kind != CEL_BOOL) {
		say_why(v, why, sizeof(why));
		json_object_set_new(part, "error", json_string(why));
	}
	add_values(p, q, node, values);
	json_object_set_new(part, "values", values);
	json_array_append_new(p->list, part);
}

static void find_false(struct parts *p, const struct policy_query *q, const struct cel_node *node) {
	struct cel_value v = value_of(p, q, node);

	if (cel_is_true(v) || json_array_size(p->list) >= MAX_PARTS)
		return;
	if (node->kind != CEL_N_AND) {
		add_part(p, q, node, v);
		return;
	}
	for (uint32_t i = 0; i < node->n; i++)
		find_false(p, q, node->kids[i]);
}

json_t *condition_false_parts(const struct condition *condition, const struct policy_query *query) {
	struct parts p = { .condition = condition, .list = json_array() };

	if (p.list)
		find_false(&p, query, cel_program_root(condition->program));
	return p.list;
}

int64_t condition_horizon(const struct condition *condition, const struct policy_query *query, bool want,
			  int64_t limit) {
	struct scratch s;

	bind(&s, condition, query);
	return horizon_until(condition->program, &s.activation, REQUEST_TIME, limit, want, &s.arena);
}

int64_t condition_when(const struct condition *condition, const struct policy_query *query, bool wish, int64_t limit,
		       uint32_t *work) {
	struct scratch s;

	bind(&s, condition, query);
	return horizon_when(condition->program, &s.activation, REQUEST_TIME, limit, wish, &s.arena, work);
}

/* ---- a request that is not all known ---- */

/* Whether the view says nothing of an attribute that the request could have. */
static bool is_open(const struct condition_view *view, enum attribute a, const struct cel_value *value) {
	switch (a) {
	case REQUEST_TIME:
	case REQUEST_PERMISSION:
	case RESOURCE_TYPE:
	case RESOURCE_SERVICE:
		return false;
	case REQUEST_AUTH_PRINCIPAL:
		return view->any_principal;
	case RESOURCE_NAME:
		return view->any_account;
	case REQUEST_AUTH_ACCESS_LEVELS:
	case REQUEST_SCOPES:
		return view->any_request && (value->kind != CEL_LIST || cel_list_size(*value) == 0);
	default:
		return view->any_request && (value->kind == CEL_NONE || value->kind == CEL_UNKNOWN);
	}
}

static struct horizon_question question_of(struct scratch *s, const struct condition *condition, const struct condition_view *view) {
	struct horizon_question q = { condition->program, &s->activation, 0, REQUEST_TIME, view->counted };

	bind(s, condition, view->query);
	for (uint32_t left = condition->uses; left; left &= left - 1)
		if (is_open(view, (enum attribute)__builtin_ctz(left), &s->slots[__builtin_ctz(left)]))
			q.open |= cel_slot_bit((uint32_t)__builtin_ctz(left));
	return q;
}

unsigned condition_within(const struct condition *condition, const struct condition_view *view, int64_t from, int64_t to,
			  uint32_t *work) {
	struct scratch s;
	const struct horizon_question q = question_of(&s, condition, view);

	return horizon_within(&q, from, to, &s.arena, work);
}

struct str condition_doubt(const struct condition *condition, const struct condition_view *view, int64_t from, int64_t to,
			   uint32_t *work) {
	struct scratch s;
	const struct horizon_question q = question_of(&s, condition, view);
	const struct cel_node *node = horizon_doubt(&q, from, to, &s.arena, work);

	return node ? cel_node_text(condition->program, node) : (struct str){ 0 };
}

bool condition_is_about_principal(const struct condition *condition) {
	return condition->uses >> REQUEST_AUTH_PRINCIPAL & 1;
}

/* ---- what would please it ---- */

static const enum attribute part_attributes[N_CONDITION_PARTS] = {
	[CONDITION_SCOPES] = REQUEST_SCOPES,
	[CONDITION_LIFETIME] = REQUEST_LIFETIME,
	[CONDITION_JUSTIFICATION] = REQUEST_JUSTIFICATION,
	[CONDITION_SURFACE] = REQUEST_SURFACE,
};

bool condition_is_about(const struct condition *condition, enum condition_part part) {
	return condition->uses >> part_attributes[part] & 1;
}

void condition_examples(const struct condition *condition, enum condition_part part, struct examples *out) {
	if (!condition_is_about(condition, part))
		return;
	if (part == CONDITION_LIFETIME)
		example_spans(condition->program, out);
	else if (part != CONDITION_SCOPES)
		example_texts(condition->program, part_attributes[part],
			      part == CONDITION_JUSTIFICATION ? "why it is needed" : NULL, out);
}

bool condition_mentions(const struct condition *condition, const char *text) {
	return example_mentions(condition->program, str_of(text));
}

/* Depth: cel_limits.depth. */
static const struct cel_node *zoned(const struct cel_node *node) {
	const struct cel_node *found = NULL;

	if (node->kind == CEL_N_CALL && node->zone_resolved && node->n == 2 && node->kids[1]->kind == CEL_N_CONST &&
	    node->kids[1]->constant.n)
		return node;
	for (uint32_t i = 0; i < node->n && !found; i++)
		found = zoned(node->kids[i]);
	return found;
}

bool condition_zone(const struct condition *condition, struct str *name, struct zone_ref *zone) {
	const struct cel_node *node = zoned(cel_program_root(condition->program));

	if (!node)
		return false;
	*name = (struct str){ node->kids[1]->constant.s, node->kids[1]->constant.n };
	*zone = node->zone;
	return true;
}
