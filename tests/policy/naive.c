/* See naive.h. */

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "hallpass/cleanup.h"
#include "tests/policy/naive.h"

#define MAX_LOOPS 4
#define MAX_TURNS 2000 /* of all loops together; the engine has a limit, too, and counts more */
#define NS 1000000000

enum op { LITERAL, X, LOOP_VAR, NEG, ADD, SUB, MUL, DIV, MOD, SIZE, INDEX, COND, EQ, NE, LT, LE, GT, GE, AND, OR, NOT, IN, CONTAINS,
	  STARTS, ENDS, ALL, EXISTS, ONE, CONCAT, TEXT_OF, INT_OF, UINT_OF, DOUBLE_OF, GETTER, LIST, MAP, FILTER };

/* ---- Making ---- */

unsigned naive_below(struct naive *m, unsigned n) {
	if (m->bytes) {
		if (!m->n_bytes)
			return 0;
		m->n_bytes--;
		return *m->bytes++ % n;
	}
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (unsigned)((m->seed * 0x9E3779B97F4A7C15u) >> 33) % n;
}

static struct naive_tree *make(struct naive *m, char type, int depth);

static struct naive_tree *new_tree(struct naive *m, enum op op, char type) {
	struct naive_tree *t = &m->trees[m->n++];

	*t = (struct naive_tree){ .op = op, .type = type };
	return t;
}

/* Where things go wrong: ends of ranges, zero, what no double can tell apart. */
static void choose_number(struct naive *m, struct naive_tree *t) {
	static const int64_t ints[] = { 0, 1, 2, 3, -1, 7, 10, 1000, INT64_MAX, INT64_MIN, -7, 4611686018427387904 };
	static const int64_t uints[] = { 0, 1, 2, 3, 7, 10, 1000, INT64_MAX, INT64_MIN, -1 }; /* as the bits that they are */
	static const double doubles[] = { 0, 1, 1.5, -2.5, 0.1, -0.0, 1e308, -1e19, 9007199254740993.0, 9223372036854775808.0, 5e-324 };

	if (t->type == 'i')
		t->i = ints[naive_below(m, ARRAY_SIZE(ints))];
	else if (t->type == 'u')
		t->i = uints[naive_below(m, ARRAY_SIZE(uints))];
	else
		t->f = doubles[naive_below(m, ARRAY_SIZE(doubles))];
}

static void choose_time(struct naive *m, struct naive_tree *t) {
	static const struct {
		int64_t s;
		uint32_t ns;
	} times[] = { { 0, 0 }, { 1774746000, 500000000 }, { -62135596800, 0 }, { 253402300799, 999999999 }, { 1709251199, 1 }, { -1, 999999999 } };
	static const int64_t durations[] = { 0, NS, -3 * (NS / 2), 1, 3600LL * NS, INT64_MAX, INT64_MIN, 2592000LL * NS, -1, 366 * 86400LL * NS };
	unsigned at = naive_below(m, t->type == 't' ? ARRAY_SIZE(times) : ARRAY_SIZE(durations));

	t->i = t->type == 't' ? times[at].s : durations[at];
	t->ns = t->type == 't' ? times[at].ns : 0;
}

static struct naive_tree *make_leaf(struct naive *m, char type) {
	struct naive_tree *t = new_tree(m, LITERAL, type);

	if (type == 'i' && m->loops && naive_below(m, 3) == 0) {
		t->op = LOOP_VAR;
		t->i = naive_below(m, m->loops);
	} else if (type == 'i' && naive_below(m, 4) == 0) {
		t->op = X;
	} else if (type == 'i' || type == 'u' || type == 'f') {
		choose_number(m, t);
	} else if (type == 't' || type == 'd') {
		choose_time(m, t);
	} else if (type == 'b') {
		t->i = naive_below(m, 2);
	} else if (type == 's') {
		for (unsigned n = naive_below(m, 4); n; n--)
			t->s[n - 1] = "ab"[naive_below(m, 2)];
	} else {
		t->op = LIST;
	}
	return t;
}

/* Children by their types; an upper-case letter is the body of a loop, with one more variable. */
static const struct rule {
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
	/* unsigned */
	{ ADD, 'u', "uu" },	{ SUB, 'u', "uu" },	{ MUL, 'u', "uu" },	 { DIV, 'u', "uu" },	{ MOD, 'u', "uu" },
	{ COND, 'u', "buu" },	{ UINT_OF, 'u', "i" },	{ INT_OF, 'i', "u" },	 { LT, 'b', "uu" },	{ GE, 'b', "uu" },
	{ NE, 'b', "uu" },	{ TEXT_OF, 's', "u" },
	/* doubles */
	{ NEG, 'f', "f" },	{ ADD, 'f', "ff" },	{ SUB, 'f', "ff" },	 { MUL, 'f', "ff" },	{ DIV, 'f', "ff" },
	{ COND, 'f', "bff" },	{ DOUBLE_OF, 'f', "i" }, { DOUBLE_OF, 'f', "u" }, { INT_OF, 'i', "f" },	{ EQ, 'b', "ff" },
	{ NE, 'b', "ff" },	{ LT, 'b', "ff" },	{ LE, 'b', "ff" },	 { GT, 'b', "ff" },	{ GE, 'b', "ff" },
	/* times */
	{ ADD, 't', "td" },	{ ADD, 't', "dt" },	{ SUB, 't', "td" },	 { SUB, 'd', "tt" },	{ ADD, 'd', "dd" },
	{ SUB, 'd', "dd" },	{ NEG, 'd', "d" },	{ COND, 't', "btt" },	 { COND, 'd', "bdd" },	{ EQ, 'b', "tt" },
	{ LT, 'b', "tt" },	{ GE, 'b', "tt" },	{ GT, 'b', "dd" },	 { LE, 'b', "dd" },	{ NE, 'b', "dd" },
	{ INT_OF, 'i', "t" },	{ GETTER, 'i', "t" },	{ GETTER, 'i', "t" },	 { GETTER, 'i', "d" },
};

static bool may_take(const struct naive *m, const struct rule *rule, char type) {
	bool loop = rule->kids[1] && rule->kids[1] < 'a';

	return rule->type == type && !(loop && m->loops == MAX_LOOPS);
}

static const struct rule *some_rule(struct naive *m, char type) {
	unsigned n = 0, nth;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		n += may_take(m, &rules[i], type);
	nth = naive_below(m, n);
	for (size_t i = 0;; i++)
		if (may_take(m, &rules[i], type) && nth-- == 0)
			return &rules[i];
}

static struct naive_tree *make(struct naive *m, char type, int depth) {
	const struct rule *rule;
	struct naive_tree *t;

	if (depth <= 0 || m->n > NAIVE_TREES - 50 || (m->bytes && !m->n_bytes))
		return make_leaf(m, type);
	rule = some_rule(m, type);
	t = new_tree(m, rule->op, type);
	for (const char *kid = rule->kids; *kid; kid++) {
		bool body = *kid < 'a';

		m->loops += body;
		t->kids[t->n++] = make(m, body ? (char)(*kid + 32) : *kid, depth - 1);
		m->loops -= body;
	}
	if (t->op == GETTER)
		t->i = rule->kids[0] == 't' ? naive_below(m, 10) : 6 + naive_below(m, 4); /* durations have the last four */
	return t;
}

const struct naive_tree *naive_make(struct naive *m, char type, int depth) {
	m->n = m->loops = 0;
	return make(m, type, depth);
}

/* ---- As text ---- */

static const char *const getters[] = { "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate",
				       "getDayOfWeek", "getHours", "getMinutes",   "getSeconds",    "getMilliseconds" };

enum { P_COND = 1, P_OR, P_AND, P_RELATION, P_ADD, P_MUL, P_UNARY, P_MEMBER };

static int precedence(const struct naive_tree *t) {
	switch (t->op) {
	case LITERAL:
		return (t->type == 'i' && t->i < 0) || (t->type == 'f' && signbit(t->f)) ? P_UNARY : P_MEMBER;
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

static void print(const struct naive_tree *t, struct buf *b, int least, unsigned loops);

static void print_infix(const struct naive_tree *t, struct buf *b, unsigned loops) {
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

static void print_call(const struct naive_tree *t, struct buf *b, unsigned loops) {
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

static void print_double(double f, struct buf *b) {
	char text[40];

	snprintf(text, sizeof(text), "%.17g", f);
	buf_adds(b, text);
	if (!strpbrk(text, ".e"))
		buf_adds(b, ".0");
}

static void print_time(const struct naive_tree *t, struct buf *b) {
	time_t s = (time_t)t->i;
	struct tm tm;

	gmtime_r(&s, &tm);
	buf_addf(b, "timestamp('%04d-%02d-%02dT%02d:%02d:%02d.%09uZ')", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		 tm.tm_sec, t->ns);
}

static void print_literal(const struct naive_tree *t, struct buf *b) {
	switch (t->type) {
	case 'i':
		buf_addi(b, t->i);
		break;
	case 'u':
		buf_addf(b, "%" PRIu64 "u", (uint64_t)t->i);
		break;
	case 'f':
		print_double(t->f, b);
		break;
	case 'b':
		buf_adds(b, t->i ? "true" : "false");
		break;
	case 't':
		print_time(t, b);
		break;
	case 'd':
		buf_addf(b, "duration('%" PRId64 "ns')", t->i);
		break;
	default:
		buf_addf(b, "'%s'", t->s);
	}
}

static void print_function(const struct naive_tree *t, const char *name, struct buf *b, unsigned loops) {
	buf_addf(b, "%s(", name);
	print(t->kids[0], b, P_COND, loops);
	buf_addc(b, ')');
}

static void print_bare(const struct naive_tree *t, struct buf *b, unsigned loops) {
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
		print_function(t, "size", b, loops);
		break;
	case TEXT_OF:
		print_function(t, "string", b, loops);
		break;
	case INT_OF:
		print_function(t, "int", b, loops);
		break;
	case UINT_OF:
		print_function(t, "uint", b, loops);
		break;
	case DOUBLE_OF:
		print_function(t, "double", b, loops);
		break;
	case GETTER:
		print(t->kids[0], b, P_MEMBER, loops);
		buf_addf(b, ".%s()", getters[t->i]);
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

static void print(const struct naive_tree *t, struct buf *b, int least, unsigned loops) {
	bool parens = precedence(t) < least;

	buf_adds(b, parens ? "(" : "");
	print_bare(t, b, loops);
	buf_adds(b, parens ? ")" : "");
}

void naive_print(const struct naive_tree *tree, struct buf *out) {
	print(tree, out, P_COND, 0);
}

/* ---- Evaluating ---- */

struct scope {
	int64_t x, vars[MAX_LOOPS];
	unsigned loops, turns;
};

static void run(const struct naive_tree *t, struct scope *scope, struct naive_result *out);

static void number(struct naive_result *out, __int128 v) {
	out->type = v >= INT64_MIN && v <= INT64_MAX ? 'i' : 'e';
	out->i = (int64_t)v;
}

static void unsigned_number(struct naive_result *out, __int128 v) {
	out->type = v >= 0 && v <= UINT64_MAX ? 'u' : 'e';
	out->u = (uint64_t)v;
}

static void real(struct naive_result *out, double f) {
	out->type = 'f';
	out->f = f;
}

static void span(struct naive_result *out, __int128 ns) {
	number(out, ns);
	out->type = out->type == 'i' ? 'd' : 'e';
}

/* Of nanoseconds since the epoch; the years 1 to 9999. */
static void moment(struct naive_result *out, __int128 ns) {
	__int128 s = ns / NS - (ns % NS < 0);

	out->type = s >= -62135596800 && s <= 253402300799 ? 't' : 'e';
	out->i = (int64_t)s;
	out->n = (unsigned)(ns - s * NS);
}

static __int128 since_epoch(const struct naive_result *t) {
	return (__int128)t->i * NS + t->n;
}

static void truth(struct naive_result *out, bool b) {
	out->type = 'b';
	out->i = b;
}

static bool bad(const struct naive_result *r) {
	return r->type == 'e' || r->type == '!';
}

enum { UNORDERED = 2 };

static int order(const struct naive_result *a, const struct naive_result *b) {
	int c;

	switch (a->type) {
	case 'i':
	case 'b':
	case 'd':
		return a->i < b->i ? -1 : a->i > b->i;
	case 'u':
		return a->u < b->u ? -1 : a->u > b->u;
	case 'f':
		return isnan(a->f) || isnan(b->f) ? UNORDERED : a->f < b->f ? -1 : a->f > b->f;
	case 't':
		return since_epoch(a) < since_epoch(b) ? -1 : since_epoch(a) > since_epoch(b);
	case 'l':
		return a->n != b->n || memcmp(a->items, b->items, a->n * sizeof(*a->items));
	default:
		c = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
		return c ? c : a->n < b->n ? -1 : a->n > b->n;
	}
}

static void run_ints(int op, int64_t a, int64_t b, struct naive_result *out) {
	bool divides = b && !(a == INT64_MIN && b == -1);

	out->type = 'e';
	if (op == ADD)
		number(out, (__int128)a + b);
	else if (op == SUB)
		number(out, (__int128)a - b);
	else if (op == MUL)
		number(out, (__int128)a * b);
	else if (divides)
		number(out, op == DIV ? a / b : a % b);
}

static void run_uints(int op, uint64_t a, uint64_t b, struct naive_result *out) {
	out->type = 'e';
	if (op == ADD)
		unsigned_number(out, (__int128)a + b);
	else if (op == SUB)
		unsigned_number(out, (__int128)a - b);
	else if (op == MUL && !__builtin_mul_overflow(a, b, &out->u))
		out->type = 'u';
	else if (op != MUL && b)
		unsigned_number(out, op == DIV ? a / b : a % b);
}

static void run_doubles(int op, double a, double b, struct naive_result *out) {
	real(out, op == ADD ? a + b : op == SUB ? a - b : op == MUL ? a * b : a / b);
}

/* Timestamps and durations, added and subtracted. */
static void run_times(int op, const struct naive_result *a, const struct naive_result *b, struct naive_result *out) {
	__int128 x = a->type == 't' ? since_epoch(a) : a->i, y = b->type == 't' ? since_epoch(b) : b->i;

	if ((a->type == 't') == (b->type == 't'))
		span(out, op == ADD ? x + y : x - y);
	else
		moment(out, op == ADD ? x + y : x - y);
}

static void run_arithmetic(int op, const struct naive_result *a, const struct naive_result *b, struct naive_result *out) {
	if (a->type == 'i')
		run_ints(op, a->i, b->i, out);
	else if (a->type == 'u')
		run_uints(op, a->u, b->u, out);
	else if (a->type == 'f')
		run_doubles(op, a->f, b->f, out);
	else
		run_times(op, a, b, out);
}

static void run_concat(const struct naive_result *a, const struct naive_result *b, struct naive_result *out) {
	*out = *a;
	out->n = a->n + b->n;
	if (out->n > (a->type == 'l' ? NAIVE_ITEMS : NAIVE_TEXT)) {
		out->type = '!';
		return;
	}
	if (a->type == 'l')
		memcpy(out->items + a->n, b->items, b->n * sizeof(*b->items));
	else
		memcpy(out->s + a->n, b->s, b->n);
}

static void run_comparison(int op, const struct naive_result *a, const struct naive_result *b, struct naive_result *out) {
	int c = order(a, b);
	bool ordered = c != UNORDERED || a->type != 'f';

	truth(out, op == EQ ? ordered && c == 0 : op == NE ? !ordered || c != 0 : !ordered ? false : op == LT ? c < 0 :
		   op == LE ? c <= 0 : op == GT ? c > 0 : c >= 0);
}

static void run_pair(const struct naive_tree *t, const struct naive_result *a, const struct naive_result *b, struct naive_result *out) {
	bool found = false;

	switch (t->op) {
	case ADD:
	case SUB:
	case MUL:
	case DIV:
	case MOD:
		run_arithmetic(t->op, a, b, out);
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
		run_concat(a, b, out);
		break;
	default:
		run_comparison(t->op, a, b, out);
	}
}

/* &&, ||, all, exists: one that decides, or an error, or all of the other kind. */
struct junction {
	bool decides, decided, failed, gave_up;
};

static void join(struct junction *j, const struct naive_result *r) {
	j->gave_up |= r->type == '!';
	j->failed |= r->type == 'e';
	j->decided |= r->type == 'b' && r->i == j->decides;
}

static void conclude(const struct junction *j, struct naive_result *out) {
	truth(out, j->decided ? j->decides : !j->decides);
	if (!j->decided && j->failed)
		out->type = 'e';
	if (j->gave_up)
		out->type = '!';
}

static void run_loop(const struct naive_tree *t, struct scope *scope, struct naive_result *out) {
	struct junction j = { .decides = t->op == EXISTS };
	struct naive_result list, one;
	unsigned hits = 0;

	run(t->kids[0], scope, &list);
	*out = (struct naive_result){ .type = 'l' };
	if (bad(&list)) {
		out->type = list.type;
		return;
	}
	scope->loops++;
	for (unsigned i = 0; i < list.n && !j.gave_up; i++) {
		j.gave_up = ++scope->turns > MAX_TURNS;
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

static void run_leaf(const struct naive_tree *t, const struct scope *scope, struct naive_result *out) {
	*out = (struct naive_result){ .type = t->type, .i = t->i, .u = (uint64_t)t->i, .f = t->f, .n = t->ns };
	if (t->op == X)
		out->i = scope->x;
	else if (t->op == LOOP_VAR)
		out->i = scope->vars[t->i];
	if (t->type == 's') {
		out->n = (unsigned)strlen(t->s);
		memcpy(out->s, t->s, out->n);
	}
}

static void run_list(const struct naive_tree *t, struct scope *scope, struct naive_result *out) {
	struct naive_result one;
	char type = 'l';

	*out = (struct naive_result){ .type = 'l' };
	for (unsigned i = 0; i < t->n; i++) {
		run(t->kids[i], scope, &one);
		if (bad(&one) && type == 'l')
			type = one.type;
		out->items[out->n++] = one.i;
	}
	out->type = type;
}

static void run_text_of(const struct naive_result *a, struct naive_result *out) {
	*out = (struct naive_result){ .type = 's' };
	out->n = (unsigned)(a->type == 'u' ? snprintf(out->s, sizeof(out->s), "%" PRIu64, a->u) :
					     snprintf(out->s, sizeof(out->s), "%" PRId64, a->i));
}

/* Truncates; what no int holds is an error, and so is the very end, which a double cannot tell from what is past it. */
static void run_int_of(const struct naive_result *a, struct naive_result *out) {
	out->type = 'e';
	if (a->type == 'u')
		number(out, a->u);
	else if (a->type == 't')
		number(out, a->i);
	else if (a->f > -9223372036854775808.0 && a->f < 9223372036854775808.0)
		number(out, (int64_t)a->f);
}

static int64_t clock_field(int field, const struct naive_result *a) {
	time_t s = (time_t)a->i;
	struct tm tm;

	gmtime_r(&s, &tm);
	return (const int64_t[]){ tm.tm_year + 1900, tm.tm_mon,	 tm.tm_yday, tm.tm_mday - 1, tm.tm_mday,
				  tm.tm_wday,	     tm.tm_hour, tm.tm_min,  tm.tm_sec,	     a->n / 1000000 }[field];
}

static int64_t span_field(int field, int64_t ns) {
	return field == 6 ? ns / (3600LL * NS) : field == 7 ? ns / (60LL * NS) : field == 8 ? ns / NS : ns / 1000000 % 1000;
}

static void run_one(const struct naive_tree *t, const struct naive_result *a, struct naive_result *out) {
	switch (t->op) {
	case NEG:
		if (a->type == 'f')
			real(out, -a->f);
		else if (a->type == 'd')
			span(out, -(__int128)a->i);
		else
			number(out, -(__int128)a->i);
		break;
	case NOT:
		truth(out, !a->i);
		break;
	case SIZE:
		number(out, a->n);
		break;
	case INT_OF:
		run_int_of(a, out);
		break;
	case UINT_OF:
		unsigned_number(out, a->i);
		break;
	case DOUBLE_OF:
		real(out, a->type == 'u' ? (double)a->u : (double)a->i);
		break;
	case GETTER:
		number(out, a->type == 't' ? clock_field((int)t->i, a) : span_field((int)t->i, a->i));
		break;
	default:
		run_text_of(a, out);
	}
}

static void run_junction(const struct naive_tree *t, struct scope *scope, struct naive_result *out) {
	struct junction j = { .decides = t->op == OR };
	struct naive_result one;

	for (unsigned i = 0; i < t->n; i++) {
		run(t->kids[i], scope, &one);
		join(&j, &one);
	}
	conclude(&j, out);
}

static void run_strict(const struct naive_tree *t, struct scope *scope, struct naive_result *out) {
	struct naive_result a, b;

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

static void run(const struct naive_tree *t, struct scope *scope, struct naive_result *out) {
	switch (t->op) {
	case LITERAL:
	case X:
	case LOOP_VAR:
		run_leaf(t, scope, out);
		break;
	case LIST:
		run_list(t, scope, out);
		break;
	case ALL:
	case EXISTS:
	case ONE:
	case MAP:
	case FILTER:
		run_loop(t, scope, out);
		break;
	case AND:
	case OR:
		run_junction(t, scope, out);
		break;
	default:
		run_strict(t, scope, out);
	}
}

void naive_run(const struct naive_tree *tree, int64_t x, struct naive_result *out) {
	struct scope scope = { .x = x };

	run(tree, &scope, out);
}

/* ---- Side by side ---- */

static bool same_list(struct cel_value v, const struct naive_result *r) {
	if (v.kind != CEL_LIST || cel_list_size(v) != r->n)
		return false;
	for (unsigned i = 0; i < r->n; i++)
		if (cel_list_at(v, i).kind != CEL_INT || cel_list_at(v, i).i != r->items[i])
			return false;
	return true;
}

bool naive_agrees(struct cel_value v, const struct naive_result *r) {
	switch (r->type) {
	case '!':
		return true;
	case 'e':
		return v.kind == CEL_ERROR;
	case 'b':
	case 'i':
		return v.kind == (r->type == 'b' ? CEL_BOOL : CEL_INT) && v.i == r->i;
	case 'u':
		return v.kind == CEL_UINT && v.u == r->u;
	case 'f': /* bit by bit, but for what kind of NaN it is */
		return v.kind == CEL_DOUBLE && ((isnan(v.d) && isnan(r->f)) || !memcmp(&v.d, &r->f, sizeof(v.d)));
	case 't':
		return v.kind == CEL_TIMESTAMP && v.i == r->i && v.n == r->n;
	case 'd':
		return v.kind == CEL_DURATION && v.i == r->i;
	case 's':
		return v.kind == CEL_STRING && v.n == r->n && !memcmp(v.s, r->s, r->n);
	default:
		return same_list(v, r);
	}
}
