/*
 * Fused nodes (cel_fuse.c) against the evaluator's plain way: unchecked programs have no types and so nothing fused. Random
 * expressions of every fused form, over operands of every sort: constants, attributes, loop variables, fields of JSON, what
 * errs, what is unknown, absent, or of another kind than was declared. Values, errors and their places must be the same.
 *
 * HALLPASS_CEL_RANDOM=N: so many expressions.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "cel_world.h"
#include "policy/cel_internal.h"

#define EXPRESSIONS 20000
#define MAX_SEEN 64

static uint64_t state;

static unsigned below(unsigned n) {
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state * 0x9E3779B97F4A7C15u) >> 33) % n;
}

#define ONE_OF(list) (list)[below(ARRAY_SIZE(list))]

/* ---- Making ---- */

/* Types are letters: b bool, i int, s string, t timestamp, d duration. */
static const char *attribute(char type) {
	static const char *const ints[] = { "x", "y" }, *const texts[] = { "name", "other" }, *const times[] = { "request.time", "later" },
				 *const spans[] = { "span", "wait" }, *const bools[] = { "flag", "absent", "peer" };

	return type == 'i' ? ONE_OF(ints) : type == 's' ? ONE_OF(texts) : type == 't' ? ONE_OF(times) : type == 'd' ? ONE_OF(spans)
													     : ONE_OF(bools);
}

static const char *constant(char type) {
	static const char *const ints[] = { "5", "0", "-1", "15", "1001", "9223372036854775807" },
				 *const texts[] = { "'projects/p'", "'projects/'", "''", "'p'", "'a'", "'alice@example.com'" },
				 *const times[] = { "timestamp('2026-11-24T15:04:05Z')", "timestamp('2026-11-24T15:04:05.123456789Z')",
						    "timestamp('2099-01-01T00:00:00Z')", "date('1969-12-31')" },
				 *const spans[] = { "duration('1h')", "duration('-0.5s')", "duration('0')" }, *const bools[] = { "true", "false" };

	return type == 'i' ? ONE_OF(ints) : type == 's' ? ONE_OF(texts) : type == 't' ? ONE_OF(times) : type == 'd' ? ONE_OF(spans)
													     : ONE_OF(bools);
}

/* Of the declared type, and never a value. */
static const char *failure(char type) {
	return type == 'i' ? "(1 / 0)" : type == 's' ? "string(1 / 0)" : type == 't' ? "timestamp('no')" : type == 'd' ? "duration('no')" : "(1 / 0 > 0)";
}

static void put_getter(struct buf *b) {
	static const char *const getters[] = { "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek",
					       "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds" };
	static const char *const zones[] = { "", "'UTC'", "'Europe/Berlin'", "'-03:45'" };

	buf_addf(b, "%s.%s(%s)", attribute('t'), ONE_OF(getters), ONE_OF(zones));
}

static void put_operand(struct buf *b, char type, const char *local) {
	static const char *const fields[] = { "claims.level", "claims.email", "claims.gone", "claims.none", "claims.groups[0]" };

	switch (below(local ? 9 : 7)) {
	case 0:
	case 1:
		buf_adds(b, attribute(type));
		break;
	case 2:
	case 3:
		buf_adds(b, constant(type));
		break;
	case 4:
		if (type == 'i')
			put_getter(b);
		else
			buf_adds(b, attribute(type));
		break;
	case 5:
		buf_adds(b, type == 'i' || type == 's' ? ONE_OF(fields) : constant(type));
		break;
	case 6:
		buf_adds(b, below(4) ? attribute(type) : failure(type));
		break;
	default:
		buf_adds(b, local);
	}
}

static void put_comparison(struct buf *b, const char *locals) {
	static const char *const orders[] = { " < ", " <= ", " > ", " >= " }, *const equals[] = { " == ", " != " };
	static const char types[] = "iiisssttdb";
	char type = types[below(sizeof(types) - 1)];
	char local[2] = { type };
	const char *known = strchr(locals, type) && *locals ? local : NULL;

	put_operand(b, type, known);
	buf_adds(b, type == 's' || type == 'b' || below(2) ? ONE_OF(equals) : ONE_OF(orders));
	put_operand(b, type, known);
}

static void put_text_test(struct buf *b, const char *locals) {
	const char *known = strchr(locals, 's') && *locals ? "s" : NULL;

	buf_addc(b, '(');
	put_operand(b, 's', known);
	buf_addf(b, ").%s(", below(2) ? "startsWith" : "endsWith");
	put_operand(b, 's', known);
	buf_addc(b, ')');
}

static void put_list(struct buf *b, char type) {
	static const char *const lists[] = { "claims.groups", "texts", "claims.none" };
	unsigned n = below(3) ? 1 + below(5) : 9 + below(9);

	if (type == 's' && below(2)) {
		buf_adds(b, ONE_OF(lists));
		return;
	}
	buf_addc(b, '[');
	for (unsigned i = 0; i < n; i++)
		buf_addf(b, "%s%s", i ? ", " : "", below(12) ? constant(type) : attribute(type));
	buf_addc(b, ']');
}

static void put_member(struct buf *b, const char *locals) {
	char type = below(2) ? 'i' : 's', local[2] = { type };

	put_operand(b, type, strchr(locals, type) && *locals ? local : NULL);
	buf_adds(b, " in ");
	put_list(b, type);
}

static void put_truth(struct buf *b, const char *locals, unsigned depth);

static void put_loop(struct buf *b, unsigned depth) {
	static const char *const macros[] = { "all", "exists", "exists_one" };
	char type = below(2) ? 'i' : 's', local[2] = { type };

	put_list(b, type);
	buf_addf(b, ".%s(%c, ", ONE_OF(macros), type);
	put_truth(b, local, depth - 1);
	buf_addc(b, ')');
}

static void put_truth(struct buf *b, const char *locals, unsigned depth) {
	unsigned kind = depth ? below(9) : below(5), n = 2 + below(3);

	if (kind == 8 && !*locals) {
		put_loop(b, depth);
	} else if (kind >= 5) {
		for (unsigned i = 0; i < n; i++) {
			buf_adds(b, i == 0 ? below(4) ? "(" : "(!(" : i % 2 ? " && " : " || ");
			if (i == 0 && b->len > 1 && b->data[b->len - 2] == '!') {
				put_truth(b, locals, depth - 1);
				buf_addc(b, ')');
			} else {
				put_truth(b, locals, depth - 1);
			}
		}
		buf_addc(b, ')');
	} else if (kind == 4) {
		put_member(b, locals);
	} else if (kind == 3) {
		put_text_test(b, locals);
	} else {
		put_comparison(b, locals);
	}
}

/* ---- What the attributes are ---- */

static void put_values(struct cel_world *w) {
	static const char *const texts[] = { "projects/p", "projects/", "", "p", "a", "alice@example.com", "projects/q" };
	const struct cel_value odd[] = { { 0 }, cel_unknown("odd"), cel_of_null(), cel_of_int(15), cel_of_string("a", 1), cel_of_bool(true),
					 cel_of_double(5.0), cel_of_uint(5), w->attributes };
	const char *s;

	for (size_t i = 0; i < cel_env_slots(w->env); i++) {
		const char *name = cel_env_slot_name(w->env, (unsigned)i);

		if (!strcmp(name, "claims") || !strcmp(name, "texts") || !strcmp(name, "peer") || !strcmp(name, "absent"))
			continue;
		s = ONE_OF(texts);
		if (below(6) == 0)
			w->slots[i] = ONE_OF(odd);
		else if (!strcmp(name, "x") || !strcmp(name, "y"))
			w->slots[i] = cel_of_int((int64_t[]){ 5, 0, -1, 15, 1001, INT64_MAX }[below(6)]);
		else if (!strcmp(name, "request.time") || !strcmp(name, "later"))
			w->slots[i] = cel_of_timestamp((int64_t[]){ TEST_NOW, -86400, 4070908800 }[below(3)], below(2) ? 123456789 : 0);
		else if (!strcmp(name, "span") || !strcmp(name, "wait"))
			w->slots[i] = cel_of_duration((int64_t[]){ 3600000000000, -500000000, 0 }[below(3)]);
		else if (!strcmp(name, "flag"))
			w->slots[i] = cel_of_bool(below(2));
		else
			w->slots[i] = cel_of_string(s, strlen(s));
	}
}

/* ---- Side by side ---- */

static cel_eval_fn *seen[MAX_SEEN];
static size_t n_seen, used[2];

/* Counts the fused nodes of a program, and remembers by which functions they are evaluated. */
static void find_fused(const struct cel_node *node, size_t *n) {
	cel_eval_fn *fused = cel_fuse(node);
	size_t i = 0;

	for (uint32_t k = 0; k < node->n; k++)
		find_fused(node->kids[k], n);
	if (!fused)
		return;
	assert_ptr_equal(node->eval, fused);
	++*n;
	while (i < n_seen && seen[i] != fused)
		i++;
	assert_true(i < MAX_SEEN);
	seen[i] = fused;
	n_seen += i == n_seen;
}

static struct cel_program *compiled(struct cel_world *w, const struct buf *text, unsigned mode) {
	struct cel_program *program;
	struct cel_error error;

	if (cel_compile(w->env, (struct str){ text->data, text->len }, mode, NULL, &program, &error) < 0)
		fail_msg("%s\n%u: %s", text->data, error.column, error.message);
	find_fused(cel_program_root(program), &used[mode == CEL_UNCHECKED]);
	return program;
}

static void compare(struct cel_world *w, const struct buf *text) {
	struct cel_program *fused = compiled(w, text, CEL_CHECKED), *plain = compiled(w, text, CEL_UNCHECKED);
	char want[512];

	for (int i = 0; i < 4; i++) {
		put_values(w);
		buf_reset(&w->text);
		add_value(w, plain);
		snprintf(want, sizeof(want), "%s", w->text.data);
		buf_reset(&w->text);
		add_value(w, fused);
		if (strcmp(w->text.data, want) != 0)
			fail_msg("%s\nplain: %s\nfused: %s", text->data, want, w->text.data);
	}
	cel_program_free(fused);
	cel_program_free(plain);
}

static void declare_more(struct cel_world *w) {
	static struct cel_value items[4];
	static struct cel_list list = { 4, items };
	const char *const texts[] = { "p", "projects/p", "", "alice@example.com" };

	for (int i = 0; i < 4; i++)
		items[i] = cel_of_string(texts[i], strlen(texts[i]));
	world_declare(w, "y", &cel_int, cel_of_int(5));
	world_declare(w, "other", &cel_string, cel_of_string("p", 1));
	world_declare(w, "later", &cel_timestamp, cel_of_timestamp(TEST_NOW, 0));
	world_declare(w, "span", &cel_duration, cel_of_duration(1));
	world_declare(w, "wait", &cel_duration, cel_of_duration(2));
	world_declare(w, "texts", &cel_list_string, cel_of_list(&list));
}

static void test_cel_fuse_is_what_the_plain_evaluator_says(void **arg) {
	const char *set = getenv("HALLPASS_CEL_RANDOM");
	unsigned long n = set ? strtoul(set, NULL, 10) : getenv("HALLPASS_SLOW") ? EXPRESSIONS / 20 : EXPRESSIONS;
	struct buf text = BUF_INIT(1 << 16);
	struct cel_world *w = *arg;

	declare_more(w);
	for (unsigned long seed = 1; seed <= n; seed++) {
		state = seed * 0x2545F4914F6CDD1Du;
		buf_reset(&text);
		put_truth(&text, "", below(3));
		compare(w, &text);
	}
	buf_fini(&text);
	print_message("%lu expressions: %zu fused nodes of %zu kinds\n", n, used[0], n_seen);
	assert_int_equal(used[1], 0); /* or there is nothing to compare with */
	assert_int_equal(n_seen, CEL_FUSED);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cel_fuse_is_what_the_plain_evaluator_says, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
