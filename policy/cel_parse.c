/*
 * The parser: recursive descent, binary operators by precedence climbing, macros expanded as calls are met.
 * Recursion is counted in parse_expr(), which every nesting passes through; the depth of the tree itself is
 * counted as nodes are made. Source: langdef.md, "Syntax".
 */

#include <stdarg.h>
#include <stdio.h>
#include "policy/cel_internal.h"
#include "policy/cel_lex.h"

struct parser {
	struct cel_compile *c;
	struct cel_lexer lexer;
	struct cel_token token; /* not yet consumed */
	int op;			/* the binary operator that it is; -1: none */
	uint32_t previous_start, previous_end; /* of the one consumed last; 0, 0: none was */
	uint32_t depth;
};

/* Children as they are met, in the program's arena. */
struct kids {
	struct cel_node **list;
	bool *optional;
	struct str *names;
	uint32_t n, size;
	bool any_optional;
};

static struct cel_node *parse_expr(struct parser *p);

/* ---- Nodes ---- */

void *cel_compile_fail(struct cel_compile *c, int phase, uint32_t at, const char *fmt, ...) {
	struct cel_error *error = &c->errors->list[c->errors->n];
	va_list ap;

	if (c->failed && !c->patient)
		return NULL;
	c->failed = true;
	c->patient &= phase != CEL_PHASE_LIMIT;
	if (c->errors->n == CEL_MAX_ERRORS)
		return NULL;
	c->errors->n++;
	*error = (struct cel_error){ .offset = at, .phase = (unsigned)phase };
	cel_position(c->program->text, at, &error->line, &error->column);
	va_start(ap, fmt);
	vsnprintf(error->message, sizeof(error->message), fmt, ap);
	va_end(ap);
	return NULL;
}

void *cel_compile_memory(struct cel_compile *c, uint32_t at) {
	return cel_compile_fail(c, CEL_PHASE_LIMIT, at, "the expression takes more than %u bytes to compile",
				c->program->limits.compile_bytes);
}

struct cel_node *cel_node_new(struct cel_compile *c, enum cel_node_kind kind, uint32_t start, uint32_t at, uint32_t n) {
	struct cel_program *program = c->program;
	struct cel_node *node;

	if (c->failed)
		return NULL;
	if (program->n_nodes == program->limits.nodes)
		return cel_compile_fail(c, CEL_PHASE_LIMIT, at, "the expression has more than %u parts",
					program->limits.nodes);
	program->n_nodes++;
	node = cel_arena_alloc(&program->arena, sizeof(*node) + n * sizeof(struct cel_node *));
	if (!node)
		return cel_compile_memory(c, at);
	memset(node, 0, sizeof(*node) + n * sizeof(struct cel_node *));
	node->kind = kind;
	node->start = start;
	node->at = at;
	node->n = n;
	node->kids = (struct cel_node **)(node + 1);
	node->var = node->var2 = CEL_NO_LOCAL;
	return node;
}

struct cel_node *cel_node_done(struct cel_compile *c, struct cel_node *node, uint32_t end) {
	uint32_t depth = 0;

	if (c->failed)
		return NULL;
	for (uint32_t i = 0; i < node->n; i++)
		if (node->kids[i]->depth > depth)
			depth = node->kids[i]->depth;
	if (depth + 1 > c->program->limits.depth)
		return cel_compile_fail(c, CEL_PHASE_LIMIT, node->at, "the expression is nested more than %u deep",
					c->program->limits.depth);
	node->depth = (uint16_t)(depth + 1);
	node->end = end;
	return node;
}

static bool kids_add(struct parser *p, struct kids *kids, struct cel_node *node, bool optional, struct str name) {
	uint32_t size = kids->size ? 2 * kids->size : 4;
	struct kids bigger = *kids;

	if (!node)
		return false;
	if (kids->n == kids->size) {
		bigger.list = cel_arena_alloc(&p->c->program->arena, size * sizeof(*bigger.list));
		bigger.optional = cel_arena_alloc(&p->c->program->arena, size * sizeof(*bigger.optional));
		bigger.names = cel_arena_alloc(&p->c->program->arena, size * sizeof(*bigger.names));
		if (!bigger.list || !bigger.optional || !bigger.names)
			return cel_compile_memory(p->c, node->at);
		if (kids->n) {
			memcpy(bigger.list, kids->list, kids->n * sizeof(*kids->list));
			memcpy(bigger.optional, kids->optional, kids->n * sizeof(*kids->optional));
			memcpy(bigger.names, kids->names, kids->n * sizeof(*kids->names));
		}
		bigger.size = size;
		*kids = bigger;
	}
	kids->list[kids->n] = node;
	kids->optional[kids->n] = optional;
	kids->names[kids->n++] = name;
	kids->any_optional |= optional;
	return true;
}

static struct cel_node *node_of_kids(struct parser *p, struct cel_node *node, const struct kids *kids, uint32_t end) {
	if (!node)
		return NULL;
	node->kids = kids->list;
	node->n = kids->n;
	node->optional = kids->any_optional ? kids->optional : NULL;
	node->names = kids->names;
	return cel_node_done(p->c, node, end);
}

/* ---- Tokens ---- */

/* "after 'x', but ...", or nothing at the beginning; at most 40 bytes of a token, whole characters. */
static void quote(const struct parser *p, const char *before, uint32_t start, uint32_t end, char out[80]) {
	const char *s = p->lexer.text.p;

	if (end - start > 40)
		for (end = start + 40; ((unsigned char)s[end] & 0xC0) == 0x80;)
			end--;
	snprintf(out, 80, "%s'%.*s'", before, (int)(end - start), s + start);
}

static void *syntax_error(struct parser *p, const char *expected) {
	const struct cel_token *t = &p->token;
	char here[80], after[80] = "";

	quote(p, "", t->start, t->end, here);
	if (p->previous_end)
		quote(p, " after ", p->previous_start, p->previous_end, after);
	if (t->kind == CEL_TOK_ERROR)
		return cel_compile_fail(p->c, CEL_PHASE_PARSE, t->start, "%s: %s", t->why, here);
	if (t->kind == CEL_TOK_END)
		return cel_compile_fail(p->c, CEL_PHASE_PARSE, t->start, "expected %s%s, and %s", expected, after,
					*after ? "the expression ends" : "there is none");
	return cel_compile_fail(p->c, CEL_PHASE_PARSE, t->start, "expected %s%s, but here is %s", expected, after, here);
}

static const struct {
	enum cel_token_kind kind;
	char punct;
	int level;
	const char *name;
} binaries[] = {
	{ CEL_TOK_OR, 0, 1, "_||_" },	   { CEL_TOK_AND, 0, 2, "_&&_" },     { CEL_TOK_EQ, 0, 3, "_==_" },
	{ CEL_TOK_NE, 0, 3, "_!=_" },	   { CEL_TOK_LT, 0, 3, "_<_" },	      { CEL_TOK_LE, 0, 3, "_<=_" },
	{ CEL_TOK_GT, 0, 3, "_>_" },	   { CEL_TOK_GE, 0, 3, "_>=_" },      { CEL_TOK_IN, 0, 3, "@in" },
	{ CEL_TOK_PUNCT, '+', 4, "_+_" },  { CEL_TOK_PUNCT, '-', 4, "_-_" },  { CEL_TOK_PUNCT, '*', 5, "_*_" },
	{ CEL_TOK_PUNCT, '/', 5, "_/_" },  { CEL_TOK_PUNCT, '%', 5, "_%_" },
};

static int find_binary(const struct cel_token *token) {
	for (size_t i = 0; i < sizeof(binaries) / sizeof(binaries[0]); i++)
		if (binaries[i].kind == token->kind && binaries[i].punct == token->punct)
			return (int)i;
	return -1;
}

static void advance(struct parser *p) {
	p->previous_start = p->token.start;
	p->previous_end = p->token.end;
	p->token = cel_lex(&p->lexer);
	p->op = find_binary(&p->token);
}

static bool at_punct(const struct parser *p, char c) {
	return p->token.kind == CEL_TOK_PUNCT && p->token.punct == c;
}

static bool accept(struct parser *p, char c) {
	if (!at_punct(p, c))
		return false;
	advance(p);
	return true;
}

static bool expect(struct parser *p, char c) {
	char what[] = { '\'', c, '\'', '\0' };

	return accept(p, c) || (syntax_error(p, what), false);
}

static struct str token_text(struct parser *p) {
	char *s = cel_arena_str(&p->c->program->arena, p->lexer.text.p + p->token.start, p->token.end - p->token.start);

	if (!s)
		cel_compile_memory(p->c, p->token.start);
	return (struct str){ s, s ? p->token.end - p->token.start : 0 };
}

/* ---- Literals ---- */

static bool scan_integer(struct str s, uint64_t *out) {
	uint64_t base = 10, digit;
	size_t i = 0;

	if (s.n > 2 && s.p[0] == '0' && (s.p[1] | 0x20) == 'x') {
		base = 16;
		i = 2;
	}
	for (*out = 0; i < s.n; i++) {
		digit = (uint64_t)(s.p[i] <= '9' ? s.p[i] - '0' : (s.p[i] | 0x20) - 'a' + 10);
		if (__builtin_mul_overflow(*out, base, out) || __builtin_add_overflow(*out, digit, out))
			return false;
	}
	return true;
}

static bool number_value(struct parser *p, bool negative, struct cel_value *out) {
	struct str s = { p->lexer.text.p + p->token.start, p->token.end - p->token.start };
	uint64_t u = 0;
	double d;

	if (p->token.kind == CEL_TOK_DOUBLE) {
		if (!cel_double_parse(s, &d))
			return cel_compile_fail(p->c, CEL_PHASE_PARSE, p->token.start, "invalid double literal");
		*out = cel_of_double(negative ? -d : d);
		return true;
	}
	if (p->token.kind == CEL_TOK_UINT) {
		s.n--;
		if (negative || !scan_integer(s, &u))
			return cel_compile_fail(p->c, CEL_PHASE_PARSE, p->token.start, "invalid uint literal");
		*out = cel_of_uint(u);
		return true;
	}
	if (!scan_integer(s, &u) || u > (uint64_t)INT64_MAX + negative)
		return cel_compile_fail(p->c, CEL_PHASE_PARSE, p->token.start, "invalid int literal");
	*out = cel_of_int((int64_t)(negative ? -u : u));
	return true;
}

static bool string_value(struct parser *p, struct cel_value *out) {
	struct str literal = { p->lexer.text.p + p->token.start, p->token.end - p->token.start };
	bool bytes = p->token.kind == CEL_TOK_BYTES;
	const char *why, *s;
	size_t n = 0;

	s = cel_lex_string(literal, bytes, &p->c->program->arena, &n, &why);
	if (!s && why)
		return cel_compile_fail(p->c, CEL_PHASE_PARSE, p->token.start + (uint32_t)n, "%s", why);
	if (!s)
		return cel_compile_memory(p->c, p->token.start);
	*out = bytes ? cel_of_bytes(s, n) : cel_of_string(s, n);
	return true;
}

static bool literal_value(struct parser *p, bool negative, struct cel_value *out) {
	switch (p->token.kind) {
	case CEL_TOK_TRUE:
	case CEL_TOK_FALSE:
		*out = cel_of_bool(p->token.kind == CEL_TOK_TRUE);
		return true;
	case CEL_TOK_NULL:
		*out = cel_of_null();
		return true;
	case CEL_TOK_STRING:
	case CEL_TOK_BYTES:
		return string_value(p, out);
	default:
		return number_value(p, negative, out);
	}
}

static struct cel_node *parse_literal(struct parser *p, bool negative, uint32_t start) {
	struct cel_node *node = cel_node_new(p->c, CEL_N_CONST, start, start, 0);
	uint32_t end = p->token.end;

	if (!node || !literal_value(p, negative, &node->constant))
		return NULL;
	advance(p);
	return cel_node_done(p->c, node, end);
}

/* ---- Primaries ---- */

/* Comma-separated up to `close`, which is consumed. trailing: a comma may come last; marks: ?e. */
static bool parse_list(struct parser *p, char close, bool trailing, bool marks, struct kids *kids) {
	bool optional;

	if (accept(p, close))
		return true;
	do {
		if (trailing && at_punct(p, close))
			break;
		optional = marks && accept(p, '?');
		if (!kids_add(p, kids, parse_expr(p), optional, (struct str){ 0 }))
			return false;
	} while (accept(p, ','));
	return expect(p, close);
}

static struct cel_node *parse_list_literal(struct parser *p) {
	struct cel_node *node = cel_node_new(p->c, CEL_N_LIST, p->token.start, p->token.start, 0);
	struct kids kids = { 0 };

	advance(p);
	if (!parse_list(p, ']', true, true, &kids))
		return NULL;
	return node_of_kids(p, node, &kids, p->previous_end);
}

static struct cel_node *parse_map_literal(struct parser *p) {
	struct cel_node *node = cel_node_new(p->c, CEL_N_MAP, p->token.start, p->token.start, 0);
	struct kids kids = { 0 };
	bool optional;

	advance(p);
	while (!at_punct(p, '}')) {
		optional = accept(p, '?');
		if (!kids_add(p, &kids, parse_expr(p), optional, (struct str){ 0 }) || !expect(p, ':') ||
		    !kids_add(p, &kids, parse_expr(p), optional, (struct str){ 0 }))
			return NULL;
		if (!accept(p, ','))
			break;
	}
	if (!expect(p, '}'))
		return NULL;
	return node_of_kids(p, node, &kids, p->previous_end);
}

static struct str selector_name(struct parser *p) {
	struct str name = { 0 };

	if (p->token.kind == CEL_TOK_IDENT) {
		name = token_text(p);
	} else if (p->token.kind == CEL_TOK_QUOTED) {
		p->token.start++;
		p->token.end--;
		name = token_text(p);
		p->token.end++;
	} else {
		syntax_error(p, "a name");
		return name;
	}
	advance(p);
	return name;
}

/* The name of a message type: IDENT or a chain of selections from one. Writes it in the arena. */
static struct str type_name(struct parser *p, const struct cel_node *node) {
	const struct cel_node *chain[32];
	struct str name = { 0 };
	size_t n = 0, len = 0;
	char *s;

	for (; node && node->kind == CEL_N_SELECT && n < 31; node = node->kids[0]) {
		if (node->test || node->opt_select)
			return name;
		chain[n++] = node;
	}
	if (!node || node->kind != CEL_N_IDENT)
		return name;
	chain[n++] = node;
	for (size_t i = 0; i < n; i++)
		len += chain[i]->name.n + 1;
	s = cel_arena_alloc(&p->c->program->arena, len + 1);
	if (!s)
		return cel_compile_memory(p->c, node->at), name;
	name.p = s;
	while (n--) {
		memcpy(s, chain[n]->name.p, chain[n]->name.n);
		s += chain[n]->name.n;
		*s++ = n ? '.' : '\0';
	}
	name.n = len - 1;
	return name;
}

static struct cel_node *parse_struct(struct parser *p, struct cel_node *type) {
	struct cel_node *node = cel_node_new(p->c, CEL_N_STRUCT, type->start, type->at, 0);
	struct kids kids = { 0 };
	struct str name = type_name(p, type), field;
	bool optional;

	if (!name.p)
		return syntax_error(p, "an operator");
	advance(p);
	while (!at_punct(p, '}')) {
		optional = accept(p, '?');
		field = selector_name(p);
		if (p->c->failed || !expect(p, ':') || !kids_add(p, &kids, parse_expr(p), optional, field))
			return NULL;
		if (!accept(p, ','))
			break;
	}
	if (!node || !expect(p, '}'))
		return NULL;
	node->name = name;
	while (type->kind == CEL_N_SELECT)
		type = type->kids[0];
	node->rooted = type->rooted;
	return node_of_kids(p, node, &kids, p->previous_end);
}

static bool is_reserved(struct str name) {
	static const char *const words[] = { "as",     "break", "const", "continue",  "else", "for",    "function", "if",
					     "import", "let",	"loop",	 "package",   "namespace", "return", "var",
					     "void",   "while" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (str_eq(name, str_of(words[i])))
			return true;
	return false;
}

/* A call: target NULL, or the receiver, which becomes the first child. The '(' is consumed. */
static struct cel_node *parse_call(struct parser *p, struct cel_node *target, struct str name, uint32_t start, uint32_t at,
				   bool rooted) {
	struct cel_node *node = cel_node_new(p->c, CEL_N_CALL, start, at, 0);
	struct kids kids = { 0 };

	if (target && !kids_add(p, &kids, target, false, (struct str){ 0 }))
		return NULL;
	if (!parse_list(p, ')', false, false, &kids) || !node)
		return NULL;
	node->name = name;
	node->member = target;
	node->rooted = rooted;
	node = node_of_kids(p, node, &kids, p->previous_end);
	if (!node || p->c->program->mode & CEL_NO_MACROS)
		return node;
	return cel_expand_call(p->c, node);
}

static struct cel_node *parse_name(struct parser *p) {
	uint32_t start = p->token.start, at;
	bool rooted = accept(p, '.');
	struct cel_node *node;
	struct str name;

	if (p->token.kind != CEL_TOK_IDENT)
		return syntax_error(p, "a name");
	at = p->token.start;
	name = token_text(p);
	if (is_reserved(name))
		return cel_compile_fail(p->c, CEL_PHASE_PARSE, at, "reserved identifier: %s", name.p);
	advance(p);
	if (accept(p, '('))
		return parse_call(p, NULL, name, start, at, rooted);
	node = cel_node_new(p->c, CEL_N_IDENT, start, at, 0);
	if (!node)
		return NULL;
	node->name = name;
	node->rooted = rooted;
	return cel_node_done(p->c, node, p->previous_end);
}

static struct cel_node *parse_parens(struct parser *p) {
	uint32_t start = p->token.start;
	struct cel_node *node;

	advance(p);
	node = parse_expr(p);
	if (!node || !expect(p, ')'))
		return NULL;
	node->start = start;
	node->end = p->previous_end;
	return node;
}

static struct cel_node *parse_primary(struct parser *p) {
	if (p->token.kind >= CEL_TOK_TRUE && p->token.kind <= CEL_TOK_BYTES)
		return parse_literal(p, false, p->token.start);
	if (at_punct(p, '('))
		return parse_parens(p);
	if (at_punct(p, '['))
		return parse_list_literal(p);
	if (at_punct(p, '{'))
		return parse_map_literal(p);
	if (at_punct(p, '.') || p->token.kind == CEL_TOK_IDENT)
		return parse_name(p);
	return syntax_error(p, "an expression");
}

/* ---- Members ---- */

static struct cel_node *parse_selection(struct parser *p, struct cel_node *target) {
	uint32_t at = p->token.start;
	bool optional, quoted;
	struct cel_node *node;
	struct str name;

	advance(p);
	optional = accept(p, '?');
	quoted = p->token.kind == CEL_TOK_QUOTED;
	at = p->token.kind == CEL_TOK_IDENT ? p->token.start : at;
	name = selector_name(p);
	if (p->c->failed)
		return NULL;
	if (!optional && !quoted && accept(p, '('))
		return parse_call(p, target, name, target->start, at, false);
	node = cel_node_new(p->c, CEL_N_SELECT, target->start, at, 1);
	if (!node)
		return NULL;
	node->kids[0] = target;
	node->name = name;
	node->opt_select = optional;
	node->rooted = quoted; /* a quoted name is never part of a dotted variable */
	return cel_node_done(p->c, node, p->previous_end);
}

static struct cel_node *parse_index(struct parser *p, struct cel_node *target) {
	struct cel_node *node = cel_node_new(p->c, CEL_N_CALL, target->start, p->token.start, 2);
	bool optional;

	advance(p);
	optional = accept(p, '?');
	if (!node)
		return NULL;
	node->kids[0] = target;
	node->kids[1] = parse_expr(p);
	if (!node->kids[1] || !expect(p, ']'))
		return NULL;
	node->name = optional ? STR("_[?_]") : STR("_[_]");
	return cel_node_done(p->c, node, p->previous_end);
}

static struct cel_node *parse_member(struct parser *p, struct cel_node *node) {
	while (node) {
		if (at_punct(p, '.'))
			node = parse_selection(p, node);
		else if (at_punct(p, '['))
			node = parse_index(p, node);
		else if (at_punct(p, '{') && (node->kind == CEL_N_IDENT || node->kind == CEL_N_SELECT))
			node = parse_struct(p, node);
		else
			break;
	}
	return node;
}

/* ---- Operators ---- */

static struct cel_node *unary(struct parser *p, struct cel_node *operand, const char *name, uint32_t at) {
	struct cel_node *node;

	if (!operand)
		return NULL;
	node = cel_node_new(p->c, *name == '!' ? CEL_N_NOT : CEL_N_CALL, at, at, 1);
	if (!node)
		return NULL;
	node->kids[0] = operand;
	node->name = str_of(name);
	return cel_node_done(p->c, node, operand->end);
}

/* Runs of one sign only; an even number of them cancels out, and a minus before a number is part of it. */
static struct cel_node *parse_unary(struct parser *p) {
	uint32_t at = p->token.start, last = at, n = 0;
	struct cel_node *node;
	bool number;

	if (at_punct(p, '!')) {
		for (; accept(p, '!'); n++)
			;
		node = parse_member(p, parse_primary(p));
		return n % 2 ? unary(p, node, "!_", at) : node;
	}
	for (; at_punct(p, '-'); n++) {
		last = p->token.start;
		advance(p);
	}
	number = n && p->token.kind >= CEL_TOK_INT && p->token.kind <= CEL_TOK_DOUBLE;
	node = parse_member(p, number ? parse_literal(p, true, last) : parse_primary(p));
	return (n - number) % 2 ? unary(p, node, "-_", at) : node;
}

static struct cel_node *parse_binary(struct parser *p, int level);

/* a && b && c is one node with three children, however long the chain. */
static struct cel_node *parse_chain(struct parser *p, struct cel_node *left, int op) {
	enum cel_node_kind kind = binaries[op].level == 1 ? CEL_N_OR : CEL_N_AND;
	struct cel_node *node = cel_node_new(p->c, kind, left->start, p->token.start, 0);
	struct kids kids = { 0 };

	if (!kids_add(p, &kids, left, false, (struct str){ 0 }))
		return NULL;
	while (p->token.kind == binaries[op].kind) {
		advance(p);
		if (!kids_add(p, &kids, parse_binary(p, binaries[op].level + 1), false, (struct str){ 0 }))
			return NULL;
	}
	if (node)
		node->name = str_of(binaries[op].name);
	return node_of_kids(p, node, &kids, kids.list[kids.n - 1]->end);
}

static struct cel_node *parse_binary(struct parser *p, int level) {
	struct cel_node *left = level == 6 ? parse_unary(p) : parse_binary(p, level + 1), *node;
	int op;

	while (left && (op = p->op) >= 0 && binaries[op].level == level) {
		if (level <= 2) {
			left = parse_chain(p, left, op);
			continue;
		}
		node = cel_node_new(p->c, CEL_N_CALL, left->start, p->token.start, 2);
		advance(p);
		if (!node)
			return NULL;
		node->name = str_of(binaries[op].name);
		node->kids[0] = left;
		node->kids[1] = parse_binary(p, level + 1);
		if (!node->kids[1])
			return NULL;
		left = cel_node_done(p->c, node, node->kids[1]->end);
	}
	return left;
}

static struct cel_node *parse_conditional(struct parser *p) {
	struct cel_node *test = parse_binary(p, 1), *node;

	if (!test || !at_punct(p, '?'))
		return test;
	node = cel_node_new(p->c, CEL_N_COND, test->start, p->token.start, 3);
	advance(p);
	if (!node)
		return NULL;
	node->name = STR("_?_:_");
	node->kids[0] = test;
	node->kids[1] = parse_binary(p, 1);
	if (!node->kids[1] || !expect(p, ':'))
		return NULL;
	node->kids[2] = parse_expr(p);
	return node->kids[2] ? cel_node_done(p->c, node, node->kids[2]->end) : NULL;
}

static struct cel_node *parse_expr(struct parser *p) {
	struct cel_node *node;

	if (p->depth == p->c->program->limits.depth)
		return cel_compile_fail(p->c, CEL_PHASE_LIMIT, p->token.start, "the expression is nested more than %u deep",
					p->c->program->limits.depth);
	p->depth++;
	node = parse_conditional(p);
	p->depth--;
	return node;
}

int cel_parse(struct cel_compile *c) {
	struct parser p = { .c = c, .lexer = { .text = c->program->text } };

	advance(&p);
	c->program->root = parse_expr(&p);
	if (c->program->root && p.token.kind != CEL_TOK_END)
		syntax_error(&p, "an operator or the end");
	return c->failed ? -1 : 0;
}
