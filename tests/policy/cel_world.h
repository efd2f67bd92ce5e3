#pragma once

/*
 * CEL in tests: an environment with a few variables, and what becomes of an expression as one line of text:
 *
 *	42, "a", [1, 2]			the value, as CEL source
 *	error 1:3: division by zero	it fails when it is evaluated, at the node named
 *	unknown: peer			nobody can vouch for peer
 *	parse 1:5: ..., check, limit, plan	it does not compile
 */

#include <stdio.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/cel.h"
#include "policy/cel_ast.h"
#include "load.h"

#define WORLD_SLOTS 16

struct cel_world {
	struct cel_env *env;
	struct zones *zones;
	struct cel_arena arena;
	struct cel_value slots[WORLD_SLOTS], attributes;
	json_t *claims;
	struct buf text;
};

static inline void world_declare(struct cel_world *w, const char *name, const struct cel_type *type, struct cel_value v) {
	struct error err;
	unsigned slot;

	assert_int_equal(cel_env_variable(w->env, name, type, &slot, &err), 0);
	assert_true(slot < WORLD_SLOTS);
	w->slots[slot] = v;
}

static inline int world_setup(void **state) {
	struct cel_world *w = calloc(1, sizeof(*w));
	struct error err;

	w->text = BUF_INIT(1 << 20);
	assert_int_equal(cel_env_new(CEL_LIB_ALL, &w->env, &err), 0);
	assert_int_equal(cel_arena_init(&w->arena, 1 << 16, 1 << 16, &err), 0);
	w->zones = zones_new(&test_host);
	cel_env_zones(w->env, w->zones);
	w->claims = json_loads("{\"email\": \"alice@example.com\", \"level\": 3, \"ratio\": 0.5, \"gone\": null,"
			       " \"groups\": [\"a\", \"b\"], \"nested\": {\"deep\": {\"er\": true}}, \"k-v\": 1}", 0, NULL);
	w->attributes = cel_of_json(w->claims);
	world_declare(w, "x", &cel_int, cel_of_int(5));
	world_declare(w, "name", &cel_string, cel_of_string("projects/p", 10));
	world_declare(w, "flag", &cel_bool, cel_of_bool(true));
	world_declare(w, "claims", &cel_map_string_dyn, cel_of_json(w->claims));
	world_declare(w, "peer", &cel_bool, cel_unknown("peer"));
	world_declare(w, "peer.uid", &cel_int, cel_unknown("peer.uid"));
	world_declare(w, "absent", &cel_bool, (struct cel_value){ 0 });
	world_declare(w, "request.time", &cel_timestamp, cel_of_timestamp(TEST_NOW, 123456789));
	world_declare(w, "resource.name", &cel_string,
		      cel_of_string("projects/_/buckets/acme-orders-aaa/objects/data_lake/orders/order_date=2019-11-03/aef87g87ae0876", 96));
	*state = w;
	return 0;
}

static inline int world_teardown(void **state) {
	struct cel_world *w = *state;

	cel_env_free(w->env);
	zones_free(w->zones);
	cel_arena_fini(&w->arena);
	json_decref(w->claims);
	buf_fini(&w->text);
	free(w);
	return 0;
}

static inline struct cel_value world_eval(struct cel_world *w, const struct cel_program *program) {
	struct cel_activation activation = { .slots = w->slots, .attributes = w->attributes };

	cel_arena_reset(&w->arena);
	return cel_eval(program, &activation, &w->arena);
}

static inline void add_value(struct cel_world *w, const struct cel_program *program) {
	struct cel_value v = world_eval(w, program);
	uint32_t line, column;

	if (v.kind == CEL_UNKNOWN) {
		buf_addf(&w->text, "unknown: %s", v.name);
	} else if (v.kind == CEL_ERROR && v.fault->node) {
		cel_position(cel_program_text(program), v.fault->node->at, &line, &column);
		buf_addf(&w->text, "error %u:%u: %s", line, column, v.fault->message);
	} else if (v.kind == CEL_ERROR) {
		buf_addf(&w->text, "error: %s", v.fault->message);
	} else {
		cel_value_print(v, &w->text);
	}
}

/* See above. Good until the next call. */
static inline const char *outcome(struct cel_world *w, struct str text, unsigned mode, const struct cel_limits *limits) {
	static const char *const phases[] = { "?", "parse", "check", "limit", "plan" };
	struct cel_program *program;
	struct cel_error error;

	buf_reset(&w->text);
	if (cel_compile(w->env, text, mode, limits, &program, &error) < 0) {
		assert_true(error.offset <= text.n);
		buf_addf(&w->text, "%s %u:%u: %s", phases[error.phase], error.line, error.column, error.message);
	} else {
		if (!(mode & CEL_PARSE_ONLY))
			add_value(w, program);
		cel_program_free(program);
	}
	return w->text.data ? w->text.data : "";
}

struct expected {
	struct str text;
	const char *outcome;
};

static inline void expect_all(struct cel_world *w, const struct expected *cases, size_t n, unsigned mode) {
	size_t wrong = 0;

	for (size_t i = 0; i < n; i++) {
		const char *got = outcome(w, cases[i].text, mode, NULL);

		if (strcmp(got, cases[i].outcome) == 0)
			continue;
		wrong++;
		print_error("%s\n    expected %s\n    got      %s\n", cases[i].text.p, cases[i].outcome, got);
	}
	assert_int_equal(wrong, 0);
}
#define EXPECT_ALL(world, cases, mode) expect_all(world, cases, ARRAY_SIZE(cases), mode)
