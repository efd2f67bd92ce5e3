/* See hallpass/eval.h. */

#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "hallpass/eval.h"
#include "policy/cel.h"
#include "policy/cel_ast.h"
#include "policy/cel_json.h"
#include "policy/condition.h"

#define MAX_PARAMS 8
#define MAX_NAMES 1000
#define BINDINGS_STEP 65536
#define BINDINGS_MAX (4 << 20)
#define MAX_TEXT 1024 /* of an error */

struct eval {
	struct zones *zones;
	struct cel_arena bindings, memory; /* memory: what a condition has */
};

/* One question as it is answered. */
struct ask {
	struct eval *eval;
	const json_t *question;
	struct cel_env *env;
	struct cel_value *slots;
	size_t n_slots;
	struct error err;
};

/* ---- what may be said ---- */

static const struct {
	const char *key;
	enum { TEXT, FLAG, LIST, OBJECT, ANYTHING } kind;
} members[] = {
	{ "id", ANYTHING },	    { "expr", TEXT },		{ "bindings", OBJECT },	  { "type_env", LIST },
	{ "container", TEXT },	    { "disable_check", FLAG },	{ "disable_macros", FLAG }, { "check_only", FLAG },
	/* of the suite's tests; not looked at */
	{ "section", ANYTHING },    { "name", ANYTHING },	{ "description", ANYTHING }, { "locale", ANYTHING },
	{ "expect", ANYTHING },
};

static bool is_kind(const json_t *value, int kind) {
	return kind == TEXT ? json_is_string(value) : kind == FLAG ? json_is_boolean(value) : kind == LIST ? json_is_array(value) :
	       kind == OBJECT ? json_is_object(value) : true;
}

static int check_member(const char *key, const json_t *value, struct error *err) {
	static const char *const kinds[] = { "text", "true or false", "a list", "an object", "anything" };

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!strcmp(members[i].key, key))
			return is_kind(value, members[i].kind) ? 0 : error_set(err, ERR_INVALID, "\"%s\" is %s", key, kinds[members[i].kind]);
	return error_set(err, ERR_INVALID, "a question has no \"%.40s\"", key);
}

static int check_question(const json_t *question, struct error *err) {
	const char *key;
	json_t *value;

	if (!json_is_object(question))
		return error_set(err, ERR_INVALID, "a question is an object");
	json_object_foreach((json_t *)(uintptr_t)question, key, value)
		if (check_member(key, value, err) < 0)
			return -1;
	return json_object_get(question, "expr") ? 0 : error_set(err, ERR_INVALID, "a question has an \"expr\"");
}

static bool flag(const struct ask *ask, const char *key) {
	return json_is_true(json_object_get(ask->question, key));
}

/* ---- declarations and bindings ---- */

static int declare_function(struct ask *ask, const char *name, const json_t *overload) {
	const json_t *list = json_object_get(overload, "params");
	const struct cel_type *params[MAX_PARAMS], *result;
	size_t n = json_array_size(list);

	if (n > MAX_PARAMS)
		return error_set(&ask->err, ERR_INVALID, "a function of more than %d params", MAX_PARAMS);
	result = cel_json_type(ask->env, json_object_get(overload, "resultType"), &ask->err);
	if (!result)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!(params[i] = cel_json_type(ask->env, json_array_get(list, i), &ask->err)))
			return -1;
	return cel_env_function(ask->env, name, json_is_true(json_object_get(overload, "isInstanceFunction")), params, (unsigned)n,
				result, &ask->err);
}

static int declare(struct ask *ask, const json_t *decl) {
	const char *name = json_string_value(json_object_get(decl, "name"));
	const json_t *ident = json_object_get(decl, "ident"), *function = json_object_get(decl, "function");
	const json_t *overloads = json_object_get(function, "overloads");
	const struct cel_type *type;

	if (!name || !*name || !ident == !function)
		return error_set(&ask->err, ERR_INVALID, "a declaration has a name, and an ident or a function");
	for (size_t i = 0; i < json_array_size(overloads); i++)
		if (declare_function(ask, name, json_array_get(overloads, i)) < 0)
			return error_wrap(&ask->err, "%.80s", name);
	if (!ident)
		return 0;
	type = cel_json_type(ask->env, json_object_get(ident, "type"), &ask->err);
	if (!type || cel_env_variable(ask->env, name, type, NULL, &ask->err) < 0)
		return error_wrap(&ask->err, "%.80s", name);
	return 0;
}

static bool is_declared(const struct ask *ask, const char *name, unsigned *slot) {
	for (*slot = 0; *slot < cel_env_slots(ask->env); ++*slot)
		if (!strcmp(cel_env_slot_name(ask->env, *slot), name))
			return true;
	return false;
}

/* What nobody declared is dyn. */
static int declare_rest(struct ask *ask, json_t *bindings) {
	const char *name;
	json_t *value;
	unsigned slot;

	json_object_foreach(bindings, name, value)
		if (!is_declared(ask, name, &slot) && cel_env_variable(ask->env, name, &cel_dyn, &slot, &ask->err) < 0)
			return error_wrap(&ask->err, "%.80s", name);
	ask->n_slots = cel_env_slots(ask->env);
	ask->slots = calloc(ask->n_slots + 1, sizeof(*ask->slots));
	return ask->slots ? 0 : error_set(&ask->err, ERR_INTERNAL, "out of memory");
}

static int bind(struct ask *ask, json_t *bindings) {
	const char *name;
	json_t *value;
	unsigned slot;

	json_object_foreach(bindings, name, value)
		if (is_declared(ask, name, &slot) &&
		    cel_json_value(&ask->eval->bindings, json_object_get(value, "value"), &ask->slots[slot], &ask->err) < 0)
			return error_wrap(&ask->err, "%.80s", name);
	return 0;
}

static int prepare(struct ask *ask) {
	json_t *bindings = json_object_get(ask->question, "bindings"), *list = json_object_get(ask->question, "type_env");
	const char *container = json_string_value(json_object_get(ask->question, "container"));

	if (check_question(ask->question, &ask->err) < 0)
		return -1;
	if (json_object_size(bindings) + json_array_size(list) > MAX_NAMES)
		return error_set(&ask->err, ERR_LIMIT, "more than %d names", MAX_NAMES);
	if (cel_env_new(CEL_LIB_ALL, &ask->env, &ask->err) < 0)
		return -1;
	cel_env_zones(ask->env, ask->eval->zones);
	if (container && cel_env_container(ask->env, container, &ask->err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (declare(ask, json_array_get(list, i)) < 0)
			return -1;
	return declare_rest(ask, bindings) < 0 ? -1 : bind(ask, bindings);
}

/* ---- answers ---- */

static json_t *complaint(const char *phase, uint32_t line, uint32_t column, const char *message) {
	char text[MAX_TEXT];

	snprintf(text, sizeof(text), "%u:%u: %s", line, column, message);
	return json_pack("{s:s, s:s}", "error", text, "phase", phase);
}

/* Limits bound what is parsed; what is refused when constants are resolved would fail whenever it is evaluated. */
static json_t *not_compiled(const struct cel_error *error) {
	static const char *const phases[] = { [CEL_PHASE_PARSE] = "parse", [CEL_PHASE_CHECK] = "check",
					      [CEL_PHASE_LIMIT] = "parse", [CEL_PHASE_PLAN] = "eval" };

	return complaint(phases[error->phase], error->line, error->column, error->message);
}

static json_t *not_evaluated(const struct cel_program *program, struct cel_value v) {
	const struct cel_node *node = v.kind == CEL_ERROR ? v.fault->node : NULL;
	uint32_t line = 1, column = 1;

	if (node)
		cel_position(cel_program_text(program), node->at, &line, &column);
	return complaint("eval", line, column, v.kind == CEL_ERROR ? v.fault->message : "it has no value");
}

static json_t *evaluate(struct ask *ask, const struct cel_program *program) {
	struct cel_activation activation = { .slots = ask->slots };
	struct cel_value v;
	json_t *json;

	if (flag(ask, "check_only"))
		return json_pack("{s:o}", "type", cel_json_of_type(cel_program_type(program)));
	v = cel_eval(program, &activation, &ask->eval->memory);
	if (cel_failed(v))
		return not_evaluated(program, v);
	json = cel_json_of_value(v);
	return json ? json_pack("{s:o}", "value", json) : complaint("eval", 1, 1, "its value is nested too deeply to be told");
}

static json_t *answer(struct ask *ask) {
	const json_t *expr = json_object_get(ask->question, "expr");
	struct str text = { json_string_value(expr), json_string_length(expr) };
	struct cel_program *program = NULL;
	struct cel_error error;
	unsigned mode = 0;
	json_t *json;

	if (prepare(ask) < 0)
		return json_pack("{s:s}", "error", ask->err.message);
	mode |= flag(ask, "disable_check") ? CEL_UNCHECKED : 0;
	mode |= flag(ask, "disable_macros") ? CEL_NO_MACROS : 0;
	if (cel_compile(ask->env, text, mode, NULL, &program, &error) < 0)
		return not_compiled(&error);
	json = evaluate(ask, program);
	cel_program_free(program);
	return json;
}

json_t *eval_answer(struct eval *eval, const json_t *question) {
	struct ask ask = { .eval = eval, .question = question };
	json_t *id = json_object_get(question, "id"), *json, *whole;

	cel_arena_reset(&eval->bindings);
	cel_arena_reset(&eval->memory);
	json = answer(&ask);
	if (ask.env)
		cel_env_free(ask.env);
	free(ask.slots);
	whole = json ? json_pack("{s:O}", "id", id ? id : json_null()) : NULL;
	if (whole)
		json_object_update(whole, json);
	json_decref(json);
	return whole;
}

int eval_new(const struct policy_host *host, struct eval **out, struct error *err) {
	struct eval *eval = calloc(1, sizeof(*eval));

	if (!eval || !(eval->zones = zones_new(host))) {
		eval_free(eval);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	if (cel_arena_init(&eval->bindings, BINDINGS_STEP, BINDINGS_MAX, err) < 0 ||
	    cel_arena_init(&eval->memory, CONDITION_MEMORY, CONDITION_MEMORY, err) < 0) {
		eval_free(eval);
		return -1;
	}
	*out = eval;
	return 0;
}

void eval_free(struct eval *eval) {
	if (!eval)
		return;
	cel_arena_fini(&eval->memory);
	cel_arena_fini(&eval->bindings);
	zones_free(eval->zones);
	free(eval);
}
