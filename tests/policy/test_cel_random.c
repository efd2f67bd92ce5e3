/*
 * Random expressions, well typed by construction, against a second evaluator: a naive one, over the tree that the
 * generator made, so that parser, checker, folding and evaluator are all judged by something that shares nothing with
 * them. HALLPASS_CEL_RANDOM=N runs N expressions instead of the few that fit into a check.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "cel_world.h"

#define EXPRESSIONS 6000
#define MAX_TREE 400
#define MAX_ITEMS 64
#define MAX_TEXT 256
#define MAX_LOOPS 4

/* Types are letters: b bool, i int, s string, l list of ints. */
enum op { LITERAL, X, LOOP_VAR, NEG, ADD, SUB, MUL, DIV, MOD, SIZE, INDEX, COND, EQ, NE, LT, LE, GT, GE, AND, OR, NOT, IN, CONTAINS,
	  STARTS, ENDS, ALL, EXISTS, ONE, CONCAT, TEXT_OF, LIST, MAP, FILTER };

struct tree {
	enum op op;
	char type;
	int64_t i; /* literal; loop variable's number */
	char s[8];
	unsigned n;
	struct tree *kids[4];
};

struct made {
	uint64_t seed;
	struct tree trees[MAX_TREE];
	unsigned n, loops; /* loop variables in scope */
};

/* ---- Making ---- */

static unsigned below(struct made *m, unsigned n) {
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (unsigned)((m->seed * 0x9E3779B97F4A7C15u) >> 33) % n;
}

static struct tree *make(struct made *m, char type, int depth);

static struct tree *new_tree(struct made *m, enum op op, char type) {
	struct tree *t = &m->trees[m->n++];

	*t = (struct tree){ .op = op, .type = type };
	return t;
}

static struct tree *make_leaf(struct made *m, char type) {
	static const int64_t ints[] = { 0, 1, 2, 3, -1, 7, 10, 1000, INT64_MAX, INT64_MIN, -7, 4611686018427387904 };
	struct tree *t = new_tree(m, LITERAL, type);

	if (type == 'i' && m->loops && below(m, 3) == 0) {
		t->op = LOOP_VAR;
		t->i = below(m, m->loops);
	} else if (type == 'i' && below(m, 4) == 0) {
		t->op = X;
	} else if (type == 'i') {
		t->i = ints[below(m, ARRAY_SIZE(ints))];
	} else if (type == 'b') {
		t->i = below(m, 2);
	} else if (type == 's') {
		for (unsigned n = below(m, 4); n; n--)
			t->s[n - 1] = "ab"[below(m, 2)];
	} else {
		t->op = LIST;
	}
	return t;
}

/* Children by their types; an upper-case letter is the body of a loop, with one more variable. */
static struct tree *make_op(struct made *m, enum op op, char type, const char *kids, int depth) {
	struct tree *t = new_tree(m, op, type);

	for (; *kids; kids++) {
		bool body = *kids < 'a';

		m->loops += body;
		t->kids[t->n++] = make(m, body ? (char)(*kids + 32) : *kids, depth - 1);
		m->loops -= body;
	}
	return t;
}

static struct tree *make(struct made *m, char type, int depth) {
	static const struct {
		enum op op;
		char type;
		const char *kids;
	} rules[] = {
		{ NEG, 'i', "i" },	{ ADD, 'i', "ii" },	{ SUB, 'i', "ii" },	 { MUL, 'i', "ii" },	{ DIV, 'i', "ii" },
		{ MOD, 'i', "ii" },	{ SIZE, 'i', "s" },	{ SIZE, 'i', "l" },	 { INDEX, 'i', "li" },	{ COND, 'i', "bii" },
		{ EQ, 'b', "ii" },	{ NE, 'b', "ii" },	{ LT, 'b', "ii" },	 { LE, 'b', "ii" },	{ GT, 'b', "ii" },
		{ GE, 'b', "ii" },	{ EQ, 'b', "ss" },	{ LT, 'b', "ss" },	 { GE, 'b', "ss" },	{ AND, 'b', "bb" },
		{ AND, 'b', "bbbb" },	{ OR, 'b', "bb" },	{ OR, 'b', "bbb" },	 { NOT, 'b', "b" },	{ COND, 'b', "bbb" },
		{ IN, 'b', "il" },	{ CONTAINS, 'b', "ss" }, { STARTS, 'b', "ss" },	 { ENDS, 'b', "ss" },	{ ALL, 'b', "lB" },
		{ EXISTS, 'b', "lB" },	{ ONE, 'b', "lB" },	{ CONCAT, 's', "ss" },	 { TEXT_OF, 's', "i" }, { COND, 's', "bss" },
		{ LIST, 'l', "i" },	{ LIST, 'l', "ii" },	{ LIST, 'l', "iiii" },	 { CONCAT, 'l', "ll" }, { MAP, 'l', "lI" },
		{ FILTER, 'l', "lB" },	{ COND, 'l', "bll" },	{ EQ, 'b', "ll" },	 { EQ, 'b', "bb" },
	};
	unsigned at;

	if (depth <= 0 || m->n > MAX_TREE - 50)
		return make_leaf(m, type);
	do
		at = below(m, ARRAY_SIZE(rules));
	while (rules[at].type != type || (m->loops == MAX_LOOPS && rules[at].kids[1] < 'a' && rules[at].kids[1]));
	return make_op(m, rules[at].op, type, rules[at].kids, depth);
}

/* ---- As text: no more parentheses than the grammar asks for ---- */

enum { P_COND = 1, P_OR, P_AND, P_RELATION, P_ADD, P_MUL, P_UNARY, P_MEMBER };

static int precedence(const struct tree *t) {
	switch (t->op) {
	case LITERAL:
		return t->type == 'i' && t->i < 0 ? P_UNARY : P_MEMBER;
	case NEG:
	case NOT:
		return P_UNARY;
	case MUL:
	case DIV:
	case MOD:
		return P_MUL;
	case ADD:
	case SUB:
	case CONCAT:
		return P_ADD;
	case EQ:
	case NE:
	case LT:
	case LE:
	case GT:
	case GE:
	case IN:
		return P_RELATION;
	case AND:
		return P_AND;
	case OR:
		return P_OR;
	case COND:
		return P_COND;
	default:
		return P_MEMBER;
	}
}

static void print(const struct tree *t, struct buf *b, int least, unsigned loops);

static void print_infix(const struct tree *t, struct buf *b, unsigned loops) {
	static const char *const signs[] = { [ADD] = " + ", [SUB] = " - ", [MUL] = " * ", [DIV] = " / ", [MOD] = " % ", [EQ] = " == ",
					     [NE] = " != ", [LT] = " < ", [LE] = " <= ", [GT] = " > ", [GE] = " >= ", [IN] = " in ",
					     [CONCAT] = " + ", [AND] = " && ", [OR] = " || " };
	bool chain = t->op == AND || t->op == OR;

	for (unsigned i = 0; i < t->n; i++) {
		if (i)
			buf_adds(b, signs[t->op]);
		print(t->kids[i], b, precedence(t) + (i || chain), loops);
	}
}

static void print_call(const struct tree *t, struct buf *b, unsigned loops) {
	static const char *const names[] = { [CONTAINS] = "contains", [STARTS] = "startsWith", [ENDS] = "endsWith", [ALL] = "all",
					     [EXISTS] = "exists", [ONE] = "exists_one", [MAP] = "map", [FILTER] = "filter" };
	bool loop = t->op == ALL || t->op == EXISTS || t->op == ONE || t->op == MAP || t->op == FILTER;

	print(t->kids[0], b, P_MEMBER, loops);
	buf_addf(b, ".%s(", names[t->op]);
	if (loop)
		buf_addf(b, "e%u, ", loops);
	print(t->kids[1], b, P_COND, loops + loop);
	buf_addc(b, ')');
}

static void print_literal(const struct tree *t, struct buf *b) {
	if (t->type == 'i')
		buf_addi(b, t->i);
	else if (t->type == 'b')
		buf_adds(b, t->i ? "true" : "false");
	else
		buf_addf(b, "'%s'", t->s);
}

static void print_bare(const struct tree *t, struct buf *b, unsigned loops) {
	switch (t->op) {
	case LITERAL:
		print_literal(t, b);
		break;
	case X:
		buf_adds(b, "x");
		break;
	case LOOP_VAR:
		buf_addf(b, "e%u", (unsigned)t->i);
		break;
	case NEG: /* two in a row would cancel out, which is not what two of them do to the least int */
	case NOT:
		buf_addc(b, t->op == NEG ? '-' : '!');
		print(t->kids[0], b, P_MEMBER, loops);
		break;
	case SIZE:
	case TEXT_OF:
		buf_adds(b, t->op == SIZE ? "size(" : "string(");
		print(t->kids[0], b, P_COND, loops);
		buf_addc(b, ')');
		break;
	case INDEX:
		print(t->kids[0], b, P_MEMBER, loops);
		buf_addc(b, '[');
		print(t->kids[1], b, P_COND, loops);
		buf_addc(b, ']');
		break;
	case COND:
		print(t->kids[0], b, P_OR, loops);
		buf_adds(b, " ? ");
		print(t->kids[1], b, P_OR, loops);
		buf_adds(b, " : ");
		print(t->kids[2], b, P_COND, loops);
		break;
	case LIST:
		buf_addc(b, '[');
		for (unsigned i = 0; i < t->n; i++) {
			buf_adds(b, i ? ", " : "");
			print(t->kids[i], b, P_COND, loops);
		}
		buf_addc(b, ']');
		break;
	default:
		if (precedence(t) == P_MEMBER)
			print_call(t, b, loops);
		else
			print_infix(t, b, loops);
	}
}

static void print(const struct tree *t, struct buf *b, int least, unsigned loops) {
	bool parens = precedence(t) < least;

	buf_adds(b, parens ? "(" : "");
	print_bare(t, b, loops);
	buf_adds(b, parens ? ")" : "");
}

/* ---- The naive evaluator ---- */

struct result {
	char type; /* b i s l; e: error; '!': more than this evaluator has room for, so no judgement */
	int64_t i;
	unsigned n; /* items or bytes */
	int64_t items[MAX_ITEMS];
	char s[MAX_TEXT];
};

struct scope {
	int64_t x, vars[MAX_LOOPS];
	unsigned loops;
};

static void run(const struct tree *t, struct scope *scope, struct result *out);

static void number(struct result *out, __int128 v) {
	out->type = v >= INT64_MIN && v <= INT64_MAX ? 'i' : 'e';
	out->i = (int64_t)v;
}

static void truth(struct result *out, bool b) {
	out->type = 'b';
	out->i = b;
}

static bool bad(const struct result *r) {
	return r->type == 'e' || r->type == '!';
}

static int order(const struct result *a, const struct result *b) {
	int c;

	if (a->type == 'i' || a->type == 'b')
		return a->i < b->i ? -1 : a->i > b->i;
	if (a->type == 'l')
		return a->n != b->n || memcmp(a->items, b->items, a->n * sizeof(*a->items));
	c = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
	return c ? c : a->n < b->n ? -1 : a->n > b->n;
}

static void run_pair(const struct tree *t, const struct result *a, const struct result *b, struct result *out) {
	int c = a->type == b->type ? order(a, b) : 0;
	bool found = false;

	switch (t->op) {
	case ADD:
		number(out, (__int128)a->i + b->i);
		break;
	case SUB:
		number(out, (__int128)a->i - b->i);
		break;
	case MUL:
		number(out, (__int128)a->i * b->i);
		break;
	case DIV:
	case MOD:
		out->type = 'e';
		if (b->i && !(a->i == INT64_MIN && b->i == -1))
			number(out, t->op == DIV ? a->i / b->i : a->i % b->i);
		break;
	case INDEX:
		out->type = 'e';
		if (b->i >= 0 && b->i < a->n)
			number(out, a->items[b->i]);
		break;
	case IN:
		for (unsigned i = 0; i < b->n; i++)
			found |= b->items[i] == a->i;
		truth(out, found);
		break;
	case CONTAINS:
		truth(out, !b->n || memmem(a->s, a->n, b->s, b->n));
		break;
	case STARTS:
		truth(out, a->n >= b->n && !memcmp(a->s, b->s, b->n));
		break;
	case ENDS:
		truth(out, a->n >= b->n && !memcmp(a->s + a->n - b->n, b->s, b->n));
		break;
	case CONCAT:
		*out = *a;
		out->n = a->n + b->n;
		if (out->n > (a->type == 'l' ? MAX_ITEMS : MAX_TEXT)) {
			out->type = '!';
			break;
		}
		memcpy(out->items + a->n, b->items, a->type == 'l' ? b->n * sizeof(*b->items) : 0);
		memcpy(out->s + a->n, b->s, a->type == 's' ? b->n : 0);
		break;
	default:
		truth(out, t->op == EQ ? c == 0 : t->op == NE ? c != 0 : t->op == LT ? c < 0 : t->op == LE ? c <= 0 : t->op == GT ? c > 0 : c >= 0);
	}
}

/* &&, ||, all, exists: one that decides, or an error, or all of the other kind. */
struct junction {
	bool decides, decided, failed, gave_up;
};

static void join(struct junction *j, const struct result *r) {
	j->gave_up |= r->type == '!';
	j->failed |= r->type == 'e';
	j->decided |= r->type == 'b' && r->i == j->decides;
}

static void conclude(const struct junction *j, struct result *out) {
	truth(out, j->decided ? j->decides : !j->decides);
	if (!j->decided && j->failed)
		out->type = 'e';
	if (j->gave_up)
		out->type = '!';
}

static void run_loop(const struct tree *t, struct scope *scope, struct result *out) {
	struct junction j = { .decides = t->op == EXISTS };
	struct result list, one;
	unsigned hits = 0;

	run(t->kids[0], scope, &list);
	*out = (struct result){ .type = 'l' };
	if (bad(&list)) {
		out->type = list.type;
		return;
	}
	scope->loops++;
	for (unsigned i = 0; i < list.n; i++) {
		scope->vars[scope->loops - 1] = list.items[i];
		run(t->kids[1], scope, &one);
		join(&j, &one);
		hits += one.type == 'b' && one.i;
		if (t->op == MAP)
			out->items[out->n++] = one.i;
		else if (t->op == FILTER && one.i && one.type == 'b')
			out->items[out->n++] = list.items[i];
	}
	scope->loops--;
	if (t->op == ALL || t->op == EXISTS) {
		conclude(&j, out);
		return;
	}
	if (t->op == ONE)
		truth(out, hits == 1);
	if (j.failed)
		out->type = 'e';
	if (j.gave_up)
		out->type = '!';
}

static void run_leaf(const struct tree *t, const struct scope *scope, struct result *out) {
	*out = (struct result){ .type = t->type, .i = t->op == X ? scope->x : t->op == LOOP_VAR ? scope->vars[t->i] : t->i };
	if (t->type == 's') {
		out->n = (unsigned)strlen(t->s);
		memcpy(out->s, t->s, out->n);
	}
}

static void run_list(const struct tree *t, struct scope *scope, struct result *out) {
	struct result one;
	char type = 'l';

	*out = (struct result){ .type = 'l' };
	for (unsigned i = 0; i < t->n; i++) {
		run(t->kids[i], scope, &one);
		if (bad(&one) && type == 'l')
			type = one.type;
		out->items[out->n++] = one.i;
	}
	out->type = type;
}

static void run_one(const struct tree *t, const struct result *a, struct result *out) {
	if (t->op == NEG)
		number(out, -(__int128)a->i);
	else if (t->op == NOT)
		truth(out, !a->i);
	else if (t->op == SIZE)
		number(out, a->n);
	else {
		*out = (struct result){ .type = 's' };
		out->n = (unsigned)snprintf(out->s, sizeof(out->s), "%lld", (long long)a->i);
	}
}

static void run(const struct tree *t, struct scope *scope, struct result *out) {
	struct junction j = { .decides = t->op == OR };
	struct result a, b;

	switch (t->op) {
	case LITERAL:
	case X:
	case LOOP_VAR:
		run_leaf(t, scope, out);
		return;
	case LIST:
		run_list(t, scope, out);
		return;
	case ALL:
	case EXISTS:
	case ONE:
	case MAP:
	case FILTER:
		run_loop(t, scope, out);
		return;
	case AND:
	case OR:
		for (unsigned i = 0; i < t->n; i++) {
			run(t->kids[i], scope, &a);
			join(&j, &a);
		}
		conclude(&j, out);
		return;
	default:
		break;
	}
	run(t->kids[0], scope, &a);
	out->type = a.type;
	if (bad(&a))
		return;
	if (t->op == COND) {
		run(t->kids[a.i ? 1 : 2], scope, out);
	} else if (t->n == 1) {
		run_one(t, &a, out);
	} else {
		run(t->kids[1], scope, &b);
		out->type = b.type;
		if (!bad(&b))
			run_pair(t, &a, &b, out);
	}
}

/* ---- Side by side ---- */

static bool agrees(struct cel_value v, const struct result *r) {
	if (r->type == '!')
		return true;
	if (r->type == 'e')
		return v.kind == CEL_ERROR;
	if (r->type == 'b' || r->type == 'i')
		return v.kind == (r->type == 'b' ? CEL_BOOL : CEL_INT) && v.i == r->i;
	if (r->type == 's')
		return v.kind == CEL_STRING && v.n == r->n && !memcmp(v.s, r->s, r->n);
	if (v.kind != CEL_LIST || cel_list_size(v) != r->n)
		return false;
	for (unsigned i = 0; i < r->n; i++)
		if (cel_list_at(v, i).kind != CEL_INT || cel_list_at(v, i).i != r->items[i])
			return false;
	return true;
}

static unsigned long values, errors;

static void compare(struct cel_world *w, struct made *m, const struct tree *t, unsigned mode, struct buf *text) {
	static const int64_t xs[] = { 5, 0, -1, INT64_MIN, INT64_MAX };
	struct cel_program *program;
	struct cel_error error;
	struct result want;

	if (cel_compile(w->env, (struct str){ text->data, text->len }, mode, NULL, &program, &error) < 0)
		fail_msg("seed %llu: %s\n%u: %s", (unsigned long long)m->seed, text->data, error.column, error.message);
	for (size_t i = 0; i < ARRAY_SIZE(xs); i++) {
		struct scope scope = { .x = xs[i] };
		struct cel_value got;

		w->slots[0] = cel_of_int(xs[i]);
		run(t, &scope, &want);
		got = world_eval(w, program);
		values += !bad(&want);
		errors += want.type == 'e';
		if (agrees(got, &want))
			continue;
		buf_reset(&w->text);
		cel_value_print(got, &w->text);
		fail_msg("x = %lld: %s\nnaive: %c %lld (%u)\nengine: %s", (long long)xs[i], text->data, want.type, (long long)want.i, want.n,
			 w->text.data);
	}
	cel_program_free(program);
}

static void test_cel_random_agrees_with_a_naive_evaluator(void **state) {
	const char *set = getenv("HALLPASS_CEL_RANDOM");
	unsigned long n = set ? strtoul(set, NULL, 10) : EXPRESSIONS;
	struct buf text = BUF_INIT(1 << 16);
	static struct made m;
	struct cel_world *w = *state;
	struct error err;

	cel_arena_fini(&w->arena);
	assert_int_equal(cel_arena_init(&w->arena, 1 << 20, 1 << 20, &err), 0);
	for (unsigned long seed = 1; seed <= n; seed++) {
		const struct tree *t;

		m.seed = seed * 0x2545F4914F6CDD1Du;
		m.n = m.loops = 0;
		t = make(&m, "biiislbb"[below(&m, 8)], 1 + (int)below(&m, 6));
		buf_reset(&text);
		print(t, &text, P_COND, 0);
		compare(w, &m, t, CEL_CHECKED, &text);
		compare(w, &m, t, CEL_UNCHECKED, &text);
	}
	print_message("%lu values and %lu errors are the same\n", values, errors);
	assert_true(values > n && errors > n); /* both have been looked at */
	buf_fini(&text);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cel_random_agrees_with_a_naive_evaluator, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
