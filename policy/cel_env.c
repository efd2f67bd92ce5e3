/* See cel.h: what may be named. Functions come from the libraries' tables, by their signatures. */

#include <stdio.h>
#include <stdlib.h>
#include "policy/cel_internal.h"

#define ENV_STEP 65536
#define ENV_MAX (16u << 20)

/* ---- Signatures ---- */

static const struct cel_type *simple_type(char letter) {
	static const struct {
		char letter;
		const struct cel_type *type;
	} letters[] = {
		{ 'b', &cel_bool },   { 'i', &cel_int },       { 'u', &cel_uint },     { 'd', &cel_double },
		{ 's', &cel_string }, { 'y', &cel_bytes },     { 't', &cel_timestamp }, { 'r', &cel_duration },
		{ 'n', &cel_null },   { 'T', &cel_type_type }, { 'I', &cel_net_ip },	{ 'C', &cel_net_cidr },
		{ '*', &cel_dyn },
	};

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (letters[i].letter == letter)
			return letters[i].type;
	return NULL;
}

static const struct cel_type *signature_type(struct cel_env *env, const char **s) {
	static const struct cel_type a = { .kind = CEL_T_PARAM, .name = "A", .id = 1 },
				     b = { .kind = CEL_T_PARAM, .name = "B", .id = 2 };
	static const char composites[] = "LMOY";
	static const enum cel_type_kind kinds[] = { CEL_T_LIST, CEL_T_MAP, CEL_T_OPTIONAL, CEL_T_TYPE };
	char letter = *(*s)++;
	const char *composite = strchr(composites, letter);
	const struct cel_type *first, *second = NULL;

	if (letter == 'A' || letter == 'B')
		return letter == 'A' ? &a : &b;
	if (!composite)
		return simple_type(letter);
	first = signature_type(env, s);
	if (letter == 'M')
		second = signature_type(env, s);
	return cel_type_make(&env->arena, kinds[composite - composites], first, second);
}

static uint32_t type_mask(const struct cel_type *type) {
	static const uint8_t kinds[] = {
		[CEL_T_NULL] = CEL_NULL,   [CEL_T_BOOL] = CEL_BOOL,	      [CEL_T_INT] = CEL_INT,
		[CEL_T_UINT] = CEL_UINT,   [CEL_T_DOUBLE] = CEL_DOUBLE,	      [CEL_T_STRING] = CEL_STRING,
		[CEL_T_BYTES] = CEL_BYTES, [CEL_T_TIMESTAMP] = CEL_TIMESTAMP, [CEL_T_DURATION] = CEL_DURATION,
		[CEL_T_TYPE] = CEL_TYPE,   [CEL_T_LIST] = CEL_LIST,	      [CEL_T_MAP] = CEL_MAP,
		[CEL_T_OPTIONAL] = CEL_OPTIONAL,
	};

	if (type->kind == CEL_T_NAMED)
		return type == &cel_net_ip ? 1u << CEL_IP : type == &cel_net_cidr ? 1u << CEL_CIDR : 0;
	if (type->kind < sizeof(kinds) && kinds[type->kind])
		return 1u << kinds[type->kind];
	return ~7u; /* anything that has not failed */
}

/* ---- Functions ---- */

const struct cel_function *cel_env_find_function(const struct cel_env *env, const char *name) {
	struct cel_function *function = env->functions[cel_hash_bytes(name, strlen(name)) % CEL_BUCKETS];

	while (function && strcmp(function->name, name) != 0)
		function = function->next;
	return function;
}

static struct cel_function *get_function(struct cel_env *env, const char *name, enum cel_fn fn) {
	struct cel_function *function = (struct cel_function *)(uintptr_t)cel_env_find_function(env, name);
	uint32_t bucket = cel_hash_bytes(name, strlen(name)) % CEL_BUCKETS;

	if (function)
		return function;
	function = cel_arena_alloc(&env->arena, sizeof(*function));
	if (!function)
		return NULL;
	*function = (struct cel_function){ .name = cel_arena_str(&env->arena, name, strlen(name)), .fn = fn };
	if (!function->name)
		return NULL;
	function->next = env->functions[bucket];
	env->functions[bucket] = function;
	return function;
}

static struct cel_overload *add_overload(struct cel_env *env, const char *name, enum cel_fn fn) {
	struct cel_function *function = get_function(env, name, fn);
	struct cel_overload *overload = cel_arena_alloc(&env->arena, sizeof(*overload));

	if (!function || !overload)
		return NULL;
	*overload = (struct cel_overload){ 0 };
	if (function->last)
		function->last->next = overload;
	else
		function->first = overload;
	function->last = overload;
	return overload;
}

static bool add_param(struct cel_overload *overload, const struct cel_type *type) {
	if (!type || overload->n == CEL_MAX_ARGS)
		return false;
	overload->masks[overload->n] = type_mask(type);
	overload->params[overload->n++] = type;
	return true;
}

static int add_def(struct cel_env *env, const struct cel_def *def) {
	struct cel_overload *overload = add_overload(env, def->name, def->fn);
	const char *s = def->signature;

	if (!overload)
		return -1;
	overload->call = def->call;
	overload->hidden = *s == '!';
	s += overload->hidden;
	while (*s != ':') {
		if (!add_param(overload, signature_type(env, &s)))
			return -1;
		if (*s == '.') {
			overload->member = true;
			s++;
		}
	}
	s++;
	overload->result = signature_type(env, &s);
	return overload->result ? 0 : -1;
}

static int add_libraries(struct cel_env *env) {
	static const struct cel_library_defs *const libraries[] = {
		&cel_standard_defs, &cel_time_defs, &cel_string_defs, &cel_iam_defs,
		&cel_list_defs,	    &cel_set_defs,  &cel_optional_defs, &cel_encoder_defs, &cel_math_defs, &cel_strings_defs, &cel_format_defs, &cel_network_defs,
	};

	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		for (size_t j = 0; j < libraries[i]->n; j++)
			if ((!libraries[i]->library || (libraries[i]->library & env->libraries)) &&
			    add_def(env, &libraries[i]->defs[j]) < 0)
				return -1;
	return 0;
}

/* ---- The environment ---- */

int cel_env_new(unsigned libraries, struct cel_env **out, struct error *err) {
	struct cel_env *env = calloc(1, sizeof(*env));

	if (!env)
		return error_no_memory(err);
	env->libraries = libraries;
	env->container = "";
	if (cel_arena_init(&env->arena, ENV_STEP, ENV_MAX, err) < 0) {
		free(env);
		return -1;
	}
	if (add_libraries(env) < 0) {
		cel_env_free(env);
		return error_no_memory(err);
	}
	*out = env;
	return 0;
}

void cel_env_free(struct cel_env *env) {
	if (!env)
		return;
	cel_arena_fini(&env->arena);
	free(env->by_slot);
	free(env);
}

int cel_env_container(struct cel_env *env, const char *container, struct error *err) {
	char *copy = cel_arena_str(&env->arena, container, strlen(container));

	if (!copy)
		return error_no_memory(err);
	env->container = copy;
	return 0;
}

void cel_env_zones(struct cel_env *env, struct zones *zones) {
	env->zones = zones;
}

const struct cel_variable *cel_env_find_variable(const struct cel_env *env, const char *name) {
	const struct cel_variable *variable = env->variables[cel_hash_bytes(name, strlen(name)) % CEL_BUCKETS];

	while (variable && strcmp(variable->name, name) != 0)
		variable = variable->next;
	return variable;
}

static int grow_slots(struct cel_env *env) {
	size_t size = env->size_slots ? 2 * env->size_slots : 32;
	void *by_slot;

	if (env->n_slots < env->size_slots)
		return 0;
	by_slot = realloc(env->by_slot, size * sizeof(struct cel_variable *));
	if (!by_slot)
		return -1;
	env->by_slot = by_slot;
	env->size_slots = size;
	return 0;
}

int cel_env_variable(struct cel_env *env, const char *name, const struct cel_type *type, unsigned *slot,
		     struct error *err) {
	struct cel_variable *variable = cel_arena_alloc(&env->arena, sizeof(*variable));
	uint32_t bucket = cel_hash_bytes(name, strlen(name)) % CEL_BUCKETS;

	if (cel_env_find_variable(env, name))
		return error_set(err, ERR_INVALID, "variable '%s' is declared twice", name);
	if (!variable || grow_slots(env) < 0)
		return error_no_memory(err);
	*variable = (struct cel_variable){ .name = cel_arena_str(&env->arena, name, strlen(name)),
					   .type = type,
					   .slot = (uint32_t)env->n_slots,
					   .next = env->variables[bucket] };
	if (!variable->name)
		return error_no_memory(err);
	env->variables[bucket] = variable;
	env->by_slot[env->n_slots++] = variable;
	if (slot)
		*slot = variable->slot;
	return 0;
}

size_t cel_env_slots(const struct cel_env *env) {
	return env->n_slots;
}

const char *cel_env_slot_name(const struct cel_env *env, unsigned slot) {
	return slot < env->n_slots ? env->by_slot[slot]->name : NULL;
}

const struct cel_type *cel_env_type(struct cel_env *env, enum cel_type_kind kind, const struct cel_type *a,
				    const struct cel_type *b) {
	return cel_type_make(&env->arena, kind, a, b);
}

const struct cel_type *cel_env_type_named(struct cel_env *env, enum cel_type_kind kind, const char *name,
					  const struct cel_type *const *params, unsigned n) {
	struct cel_type *type = cel_arena_alloc(&env->arena, sizeof(*type));

	if (!type || n > 3)
		return NULL;
	*type = (struct cel_type){ .kind = kind, .name = cel_arena_str(&env->arena, name, strlen(name)), .n = n };
	if (kind == CEL_T_PARAM)
		type->id = 16 + cel_hash_bytes(name, strlen(name)) % 1000000;
	for (unsigned i = 0; i < n; i++)
		type->params[i] = params[i];
	return type->name ? type : NULL;
}

int cel_env_function(struct cel_env *env, const char *name, bool member, const struct cel_type *const *params,
		     unsigned n, const struct cel_type *result, struct error *err) {
	struct cel_overload *overload = add_overload(env, name, CEL_FN_OTHER);

	if (!overload)
		return error_no_memory(err);
	overload->member = member;
	overload->result = result;
	for (unsigned i = 0; i < n; i++)
		if (!add_param(overload, params[i]))
			return error_set(err, ERR_LIMIT, "a function takes at most %d arguments", CEL_MAX_ARGS);
	return 0;
}
