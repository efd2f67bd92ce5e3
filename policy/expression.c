/* One expression by itself, with names that people give values. See hallpass/policy.h. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"
#include "hallpass/utf8.h"
#include "policy/cel_internal.h"
#include "policy/cel_json.h"
#include "policy/condition.h"
#include "policy/horizon.h"

#define MAX_FINDINGS CEL_MAX_ERRORS
#define MAX_NAMES 64
#define MAX_VALUES (1 << 20) /* bytes of all values that are set */
#define REQUEST_TIME 0	     /* slot: the first of the attributes */

struct policy_attributes {
	struct zones *zones;
	struct cel_env *env;
	struct cel_arena memory;
	struct cel_value slots[MAX_NAMES];
	struct value *values; /* newest first */
	bool closed;	      /* an expression was compiled */
};

/* What a value was written as: its program owns texts and types. */
struct value {
	struct value *older;
	struct cel_program *program;
	char *text;
};

struct policy_expression {
	struct cel_program *program;
};

/* ---- findings ---- */

/* Where findings of a compiler go, which knows no lines. */
struct finder {
	struct policy_report *report;
	struct str text;
};

static void find(void *arg, enum policy_severity severity, const char *id, size_t offset, const char *message, const char *fix) {
	struct finder *finder = arg;
	struct policy_report *report = finder->report;
	struct policy_finding *f;
	uint32_t line, column;

	if (!report->findings)
		report->findings = calloc(MAX_FINDINGS, sizeof(*report->findings));
	if (!report->findings || report->n == MAX_FINDINGS)
		return;
	cel_position(finder->text, (uint32_t)offset, &line, &column);
	f = &report->findings[report->n++];
	*f = (struct policy_finding){ .severity = severity, .id = id, .line = line, .column = column, .message = strdup(message),
				      .fix = fix ? strdup(fix) : NULL };
	report->n_errors += severity == POLICY_ERROR;
	report->n_warnings += severity == POLICY_WARNING;
}

/* What a policy refuses is worth telling where nothing else is wrong with it. */
static void find_warning(void *arg, enum policy_severity severity, const char *id, size_t offset, const char *message,
			 const char *fix) {
	(void)severity;
	find(arg, POLICY_WARNING, id, offset, message, fix);
}

/* ---- values ---- */

/* Numbers, texts and the like, lists and maps of them, and timestamp() and duration() of one. Depth: cel_limits.depth. */
static bool is_literal(const struct cel_node *node) {
	bool time = node->kind == CEL_N_CALL && !node->member && node->n == 1 &&
		    (str_eq(node->name, STR("timestamp")) || str_eq(node->name, STR("duration")));

	if (node->kind == CEL_N_CONST)
		return true;
	if ((node->kind != CEL_N_LIST && node->kind != CEL_N_MAP && !time) || node->optional)
		return false;
	for (uint32_t i = 0; i < node->n; i++)
		if (!is_literal(node->kids[i]))
			return false;
	return true;
}

static bool reads_as_literal(const struct cel_env *env, struct str text) {
	struct cel_program *program = NULL;
	struct cel_error error;
	bool literal = cel_compile(env, text, CEL_PARSE_ONLY, NULL, &program, &error) == 0 && is_literal(cel_program_root(program));

	cel_program_free(program);
	return literal;
}

/* The text's own value, kept as long as the attributes. CEL_NONE: memory. */
static struct cel_value as_text(struct policy_attributes *a, struct str text) {
	const char *copy = cel_arena_str(&a->memory, text.p, text.n);

	return copy ? cel_of_string(copy, text.n) : (struct cel_value){ 0 };
}

/* "15m" where a duration is wanted, RFC 3339 where a time is. */
static struct cel_value as_time(const struct cel_type *type, struct cel_value v) {
	struct str text = { v.s, v.n };
	struct cel_timestamp t;
	int64_t d;

	if (v.kind == CEL_STRING && type->kind == CEL_T_TIMESTAMP && cel_time_parse(text, &t))
		return cel_of_timestamp(t.s, t.ns);
	if (v.kind == CEL_STRING && type->kind == CEL_T_DURATION && cel_duration_parse(text, &d))
		return cel_of_duration(d);
	return v;
}

static bool fits(const struct cel_type *type, struct cel_value v) {
	struct cel_map_iter iter = { 0 };
	struct cel_value key, value;

	if (type->kind == CEL_T_DYN)
		return true;
	if (strcmp(cel_kind_name((enum cel_kind)v.kind), type->name) != 0)
		return false;
	for (uint32_t i = 0; type->kind == CEL_T_LIST && i < cel_list_size(v); i++)
		if (!fits(type->params[0], cel_list_at(v, i)))
			return false;
	while (type->kind == CEL_T_MAP && cel_map_next(v, &iter, &key, &value))
		if (!fits(type->params[0], key))
			return false;
	return true;
}

static struct value *value_new(struct policy_attributes *a, struct str text) {
	struct value *value = calloc(1, sizeof(*value));

	if (!value)
		return NULL;
	value->text = strndup(text.p, text.n);
	value->older = a->values;
	a->values = value;
	return value->text ? value : NULL;
}

/* The literal, evaluated: timestamp("yesterday") is one, and has no value. */
static int read_literal(struct policy_attributes *a, struct str text, struct cel_value *out, const struct cel_type **type,
			struct error *err) {
	const struct cel_activation nothing = { .slots = a->slots };
	struct value *value = value_new(a, text);
	struct cel_error error;

	if (!value)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (cel_compile(a->env, (struct str){ value->text, text.n }, CEL_CHECKED, NULL, &value->program, &error) < 0)
		return error_set(err, ERR_INVALID, "%s", error.message);
	*out = cel_eval(value->program, &nothing, &a->memory);
	*type = cel_program_type(value->program);
	return cel_failed(*out) ? error_set(err, ERR_INVALID, "%s", out->fault->message) : 0;
}

static int read_value(struct policy_attributes *a, const struct cel_type *wanted, struct str text, struct cel_value *out,
		      const struct cel_type **type, struct error *err) {
	if (!utf8_valid(text.p, text.n))
		return error_set(err, ERR_INVALID, "it is not UTF-8");
	if (reads_as_literal(a->env, text) && read_literal(a, text, out, type, err) < 0)
		return -1;
	if (out->kind == CEL_NONE || (wanted == &cel_string && out->kind != CEL_STRING)) {
		*out = as_text(a, text);
		*type = &cel_string;
	}
	return out->kind == CEL_NONE ? error_set(err, ERR_LIMIT, "the values are larger than there is room for") : 0;
}

static bool is_name(const char *name) {
	for (bool begins = true; *name; begins = *name == '.', name++) {
		bool letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_';

		if (!letter && (begins || (*name != '.' && (*name < '0' || *name > '9'))))
			return false;
		if (!letter && !name[1] && *name == '.')
			return false;
	}
	return true;
}

/* What looks like an attribute and is none would be believed, and not be there in a condition. */
static int check_name(const char *name, struct error *err) {
	const char *known, *dot = strchr(name, '.');
	const struct cel_type *type;
	struct nearest nearest;
	bool ours = false;

	if (!*name || !is_name(name))
		return error_set(err, ERR_INVALID, "\"%.80s\" is no name", name);
	nearest_init(&nearest, name);
	for (unsigned i = 0; (known = condition_attribute(i, &type)); i++) {
		nearest_offer(&nearest, known);
		ours |= dot && !strncmp(known, name, (size_t)(dot - name) + 1);
	}
	if (!ours)
		return 0;
	return error_set(err, ERR_INVALID, "conditions have no %.80s%s%s%s", name, nearest.best ? "; did you mean " : "",
			 nearest.best ? nearest.best : "", nearest.best ? "?" : "");
}

int policy_attributes_set(struct policy_attributes *a, const char *name, struct str text, struct error *err) {
	const struct cel_variable *known = cel_env_find_variable(a->env, name);
	const struct cel_type *type;
	struct cel_value v = { 0 };
	unsigned slot;

	assert(!a->closed);
	if (!known && check_name(name, err) < 0)
		return -1;
	if (read_value(a, known ? known->type : &cel_dyn, text, &v, &type, err) < 0)
		return error_wrap(err, "%s", name);
	if (known) {
		slot = known->slot;
		v = as_time(known->type, v);
		type = known->type;
	} else if (cel_env_slots(a->env) == MAX_NAMES) {
		return error_set(err, ERR_LIMIT, "more than %d names", MAX_NAMES);
	} else if (cel_env_variable(a->env, name, type, &slot, err) < 0) {
		return -1;
	}
	if (!fits(type, v)) {
		struct buf b = BUF_INIT(256);

		cel_type_print(type, &b);
		error_set(err, ERR_INVALID, "%s is of type %s, which this is not: %.*s", name, b.data, (int)(text.n > 80 ? 80 : text.n), text.p);
		buf_fini(&b);
		return -1;
	}
	a->slots[slot] = v;
	return 0;
}

static int set_fixed(struct policy_attributes *a, int64_t now, struct error *err) {
	assert(!strcmp(cel_env_slot_name(a->env, REQUEST_TIME), "request.time"));
	a->slots[REQUEST_TIME] = cel_of_timestamp(now, 0);
	return policy_attributes_set(a, "resource.type", STR("iam.googleapis.com/ServiceAccount"), err) < 0 ||
			       policy_attributes_set(a, "resource.service", STR("iam.googleapis.com"), err) < 0 ? -1 : 0;
}

int policy_attributes_new(const struct policy_host *host, int64_t now, struct policy_attributes **out, struct error *err) {
	struct policy_attributes *a = calloc(1, sizeof(*a));

	if (!a || !(a->zones = zones_new(host))) {
		policy_attributes_free(a);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	if (cel_arena_init(&a->memory, CONDITION_MEMORY, MAX_VALUES, err) < 0 || condition_declare(a->zones, &a->env, err) < 0 ||
	    set_fixed(a, now, err) < 0) {
		policy_attributes_free(a);
		return -1;
	}
	*out = a;
	return 0;
}

void policy_attributes_free(struct policy_attributes *a) {
	if (!a)
		return;
	for (struct value *value = a->values, *older; value; value = older) {
		older = value->older;
		cel_program_free(value->program);
		free(value->text);
		free(value);
	}
	if (a->env)
		cel_env_free(a->env);
	cel_arena_fini(&a->memory);
	zones_free(a->zones);
	free(a);
}

int64_t policy_attributes_time(const struct policy_attributes *a) {
	return a->slots[REQUEST_TIME].i;
}

/* ---- expressions ---- */

int policy_expression_new(struct policy_attributes *a, struct str text, struct policy_expression **out, struct policy_report *report,
			  struct error *err) {
	struct finder finder = { report, text };
	struct condition_sink mistakes = { .found = find, .arg = &finder }, warnings = { .found = find_warning, .arg = &finder };
	struct policy_expression *e = calloc(1, sizeof(*e));
	struct cel_errors errors;

	*report = (struct policy_report){ 0 };
	a->closed = true;
	if (!e)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (cel_compile_all(a->env, text, CEL_CHECKED, NULL, &e->program, &errors) < 0) {
		condition_complain(a->zones, &errors, text, &mistakes);
		free(e);
		return error_set(err, ERR_INVALID, "%u:%u: %s", errors.list[0].line, errors.list[0].column, errors.list[0].message);
	}
	if (cel_program_type(e->program)->kind == CEL_T_BOOL)
		condition_review(e->program, &warnings);
	*out = e;
	return 0;
}

void policy_expression_free(struct policy_expression *e) {
	if (!e)
		return;
	cel_program_free(e->program);
	free(e);
}

bool policy_expression_is_timed(const struct policy_expression *e) {
	return cel_program_type(e->program)->kind == CEL_T_BOOL && cel_program_uses(e->program, REQUEST_TIME);
}

static void find_failure(const struct policy_expression *e, struct cel_value v, struct policy_report *report) {
	struct finder finder = { report, cel_program_text(e->program) };

	assert(v.kind == CEL_ERROR); /* no attribute is unknown here */
	find(&finder, POLICY_ERROR, "cel-eval", v.fault->node ? v.fault->node->at : 0, v.fault->message, NULL);
}

static json_t *result(const struct policy_expression *e, struct cel_value v) {
	const struct cel_type *type = cel_program_type(e->program);
	struct buf text = BUF_INIT(1 << 20), name = BUF_INIT(4096);
	json_t *json;

	if (type->kind == CEL_T_DYN)
		type = cel_kind_type((enum cel_kind)v.kind);
	cel_value_print(v, &text);
	cel_type_print(type, &name);
	json = json_pack("{s:o, s:s%, s:s%}", "value", cel_json_of_value(v), "type", name.data, name.len, "text", text.data, text.len);
	buf_fini(&text);
	buf_fini(&name);
	return json;
}

json_t *policy_eval(const struct policy_expression *e, const struct policy_attributes *a, struct policy_report *report) {
	struct cel_activation activation = { .slots = a->slots };
	struct cel_arena memory;
	struct cel_value v;
	struct error err;
	json_t *json = NULL;

	*report = (struct policy_report){ 0 };
	if (cel_arena_init(&memory, CONDITION_MEMORY, CONDITION_MEMORY, &err) < 0)
		return NULL;
	v = cel_eval(e->program, &activation, &memory);
	if (cel_failed(v))
		find_failure(e, v, report);
	else
		json = result(e, v);
	cel_arena_fini(&memory);
	return json;
}

int64_t policy_horizon(const struct policy_expression *condition, const struct policy_attributes *a, int64_t now, int64_t limit) {
	struct cel_value slots[MAX_NAMES];
	struct cel_activation activation = { .slots = slots };
	_Alignas(8) char memory[CONDITION_MEMORY];
	struct cel_arena arena = { .at = memory, .end = memory + sizeof(memory), .step = sizeof(memory), .max = sizeof(memory),
				   .total = sizeof(memory) };

	memcpy(slots, a->slots, sizeof(slots));
	slots[REQUEST_TIME] = cel_of_timestamp(now, 0);
	if (!cel_program_uses(condition->program, REQUEST_TIME))
		return cel_is_true(cel_eval(condition->program, &activation, &arena)) ? INT64_MAX : now;
	return horizon_until(condition->program, &activation, REQUEST_TIME, limit, true, &arena);
}
