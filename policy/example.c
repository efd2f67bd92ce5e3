/* See example.h. */

#include <stdio.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "hallpass/utf8.h"
#include "policy/cel_ast.h"
#include "policy/example.h"

#define MAX_GROUPS 16  /* of a pattern, one in the other */
#define MAX_DRAWN 2000 /* atoms of a pattern, repetitions counted */
#define REPEATED 3     /* characters of a class that may come as often as one likes */
#define MAX_COUNT 1000 /* RE2's own for {n,m} */

/* ---- patterns ---- */

/* The characters that may stand in one place: ASCII alone. */
struct class {
	bool has[128];
};

struct drawing {
	const char *p, *end; /* the pattern, what is left */
	char *out;
	size_t n;
	unsigned groups, drawn;
	bool failed;
};

static void fail(struct drawing *d) {
	d->failed = true;
	d->p = d->end;
}

static bool eat(struct drawing *d, const char *text) {
	size_t n = strlen(text);

	if ((size_t)(d->end - d->p) < n || memcmp(d->p, text, n))
		return false;
	d->p += n;
	return true;
}

static void put(struct drawing *d, const char *s, size_t n) {
	if (d->n + n >= EXAMPLE_TEXT) {
		fail(d);
		return;
	}
	memcpy(d->out + d->n, s, n);
	d->n += n;
}

static void class_add(struct class *class, int from, int to) {
	for (int c = from; c <= to && c < 128; c++)
		class->has[c] = true;
}

static void class_invert(struct class *class) {
	for (int c = 0; c < 128; c++)
		class->has[c] = !class->has[c] && c >= ' ' && c != 0x7F;
}

/* \d, \w, \s and their opposites. */
static bool class_add_named(struct class *class, char name) {
	struct class named = { 0 };

	switch (name | 0x20) {
	case 'w':
		class_add(&named, 'a', 'z');
		class_add(&named, 'A', 'Z');
		class_add(&named, '_', '_');
		/* fall through */
	case 'd':
		class_add(&named, '0', '9');
		break;
	case 's':
		class_add(&named, ' ', ' ');
		break;
	default:
		return false;
	}
	if (!(name & 0x20))
		class_invert(&named);
	for (int c = 0; c < 128; c++)
		class->has[c] |= named.has[c];
	return true;
}

/* The k-th character of the class, counted as people would: A B C, a b c, 1 2 3. */
static void put_member(struct drawing *d, const struct class *class, unsigned k) {
	static const char order[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz1234567890 -_.,:;/#+*@!?()[]{}<>=&%$'\"|\\^~`";
	char members[sizeof(order)];
	unsigned n = 0;

	for (size_t i = 0; i + 1 < sizeof(order); i++)
		if (class->has[(unsigned char)order[i]])
			members[n++] = order[i];
	if (n == 0)
		fail(d);
	else
		put(d, &members[k % n], 1);
}

static int class_char(struct drawing *d) {
	unsigned char c = d->p < d->end ? (unsigned char)*d->p++ : 0x80;

	if (c == '\\')
		c = d->p < d->end ? (unsigned char)*d->p++ : 0x80;
	if (c >= 0x80)
		fail(d);
	return c;
}

static bool at_named_class(const struct drawing *d) {
	return d->end - d->p >= 2 && d->p[0] == '\\' && strchr("dwsDWS", d->p[1]) && d->p[1];
}

/* Behind the [: of [[:digit:]]. */
static void parse_posix_class(struct drawing *d, struct class *class) {
	static const struct {
		const char *name, *ranges;
	} named[] = {
		{ "alpha:]", "AZaz" }, { "digit:]", "09" },	{ "alnum:]", "AZaz09" }, { "upper:]", "AZ" },	{ "lower:]", "az" },
		{ "space:]", "  " },   { "word:]", "AZaz09__" }, { "xdigit:]", "09AFaf" }, { "punct:]", "!/:@[`{~" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(named); i++) {
		if (!eat(d, named[i].name))
			continue;
		for (const char *range = named[i].ranges; *range; range += 2)
			class_add(class, range[0], range[1]);
		return;
	}
	fail(d);
}

/* Behind the [. */
static void parse_class(struct drawing *d, struct class *class) {
	bool inverted = eat(d, "^");
	int from, to;

	for (bool first = true; !d->failed && (first || d->p == d->end || *d->p != ']'); first = false) {
		if (d->p == d->end) {
			fail(d); /* not closed */
		} else if (eat(d, "[:")) {
			parse_posix_class(d, class);
		} else if (at_named_class(d)) {
			class_add_named(class, d->p[1]);
			d->p += 2;
		} else {
			from = to = class_char(d);
			if (d->end - d->p >= 2 && d->p[0] == '-' && d->p[1] != ']') {
				d->p++;
				to = class_char(d);
			}
			class_add(class, from, to);
		}
	}
	d->p += !d->failed;
	if (inverted)
		class_invert(class);
}

static void draw_alternatives(struct drawing *d);

/* Behind the (. Flags by themselves, as in (?i), are nothing to be drawn. */
static void draw_group(struct drawing *d) {
	if (eat(d, "?P<") || eat(d, "?<")) {
		while (d->p < d->end && *d->p != '>')
			d->p++;
		eat(d, ">");
	} else if (eat(d, "?")) {
		while (d->p < d->end && *d->p != ':' && *d->p != ')')
			d->p++;
		if (eat(d, ")"))
			return;
		eat(d, ":");
	}
	if (++d->groups > MAX_GROUPS)
		fail(d);
	draw_alternatives(d);
	d->groups--;
	if (!eat(d, ")"))
		fail(d);
}

/* Behind the backslash. True: it may be any of several. */
static bool draw_escape(struct drawing *d, unsigned k) {
	struct class class = { 0 };
	char c = d->p < d->end ? *d->p++ : 'Q';

	if (class_add_named(&class, c)) {
		put_member(d, &class, k);
		return true;
	}
	if (strchr("bAz", c))
		return false; /* a place, no character */
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80))
		fail(d);
	else
		put(d, &c, 1);
	return false;
}

/* One atom, as its k-th repetition. True: a class, of which it is one of several. */
static bool draw_atom(struct drawing *d, unsigned k) {
	struct class class = { 0 };
	size_t n;

	if (++d->drawn > MAX_DRAWN)
		fail(d);
	if (eat(d, "^") || eat(d, "$"))
		return false;
	if (eat(d, "(")) {
		draw_group(d);
		return false;
	}
	if (eat(d, "\\"))
		return draw_escape(d, k);
	if (eat(d, "[")) {
		parse_class(d, &class);
	} else if (eat(d, ".")) {
		class_invert(&class);
	} else {
		n = d->p < d->end ? utf8_length((const unsigned char *)d->p, (size_t)(d->end - d->p)) : 0;
		if (n == 0 || strchr("*+?{", *d->p)) {
			fail(d);
			return false;
		}
		put(d, d->p, n);
		d->p += d->failed ? 0 : n;
		return false;
	}
	if (!d->failed)
		put_member(d, &class, k);
	return true;
}

/* Digits of {n,m}; -1: none. */
static int parse_count(struct drawing *d) {
	int v = -1;

	while (d->p < d->end && *d->p >= '0' && *d->p <= '9' && v <= MAX_COUNT)
		v = (v < 0 ? 0 : v) * 10 + (*d->p++ - '0');
	return v;
}

/* How often the atom before should come. */
static unsigned parse_times(struct drawing *d, bool class, bool dot) {
	int least = 1;
	bool open = false;

	if (eat(d, "?")) {
		least = 0;
	} else if (eat(d, "*") || eat(d, "+")) {
		least = d->p[-1] == '+';
		open = true;
	} else if (eat(d, "{")) {
		least = parse_count(d);
		if (eat(d, ","))
			open = parse_count(d) < 0;
		if (least < 0 || !eat(d, "}"))
			fail(d);
	} else {
		return 1;
	}
	eat(d, "?"); /* as few as possible: the same to us */
	if (open && class && least < REPEATED && (least || !dot))
		least = REPEATED;
	return least > 0 ? (unsigned)least : 0;
}

static void draw_repeated(struct drawing *d) {
	const char *atom = d->p, *behind;
	size_t n = d->n;
	unsigned times;
	bool class = draw_atom(d, 0);

	times = parse_times(d, class, *atom == '.');
	behind = d->p;
	if (d->failed || times == 1)
		return;
	d->n = n;
	for (unsigned k = 0; k < times && !d->failed; k++) {
		d->p = atom;
		draw_atom(d, k);
	}
	if (!d->failed)
		d->p = behind;
}

static void draw_sequence(struct drawing *d) {
	while (d->p < d->end && *d->p != '|' && *d->p != ')')
		draw_repeated(d);
}

/* The first of them; the others are only read. */
static void draw_alternatives(struct drawing *d) {
	size_t n;

	draw_sequence(d);
	n = d->n;
	while (eat(d, "|")) {
		draw_sequence(d);
		d->n = n;
	}
}

bool example_of_pattern(struct str pattern, char out[EXAMPLE_TEXT]) {
	struct drawing d = { .p = pattern.p, .end = pattern.p + pattern.n, .out = out };

	draw_alternatives(&d);
	out[d.n] = '\0';
	return !d.failed && d.p == d.end && d.n > 0;
}

/* ---- constants ---- */

static void add_text(struct examples *out, struct str text) {
	if (out->n == EXAMPLES || text.n == 0 || text.n >= EXAMPLE_TEXT)
		return;
	for (size_t i = 0; i < out->n; i++)
		if (str_eq(str_of(out->texts[i]), text))
			return;
	memcpy(out->texts[out->n], text.p, text.n);
	out->texts[out->n++][text.n] = '\0';
}

static void add_constant(struct examples *out, struct cel_value v) {
	if (v.kind == CEL_STRING)
		add_text(out, (struct str){ v.s, v.n });
	for (uint32_t i = 0; v.kind == CEL_LIST && i < cel_list_size(v) && i < EXAMPLES; i++)
		if (cel_list_at(v, i).kind == CEL_STRING)
			add_constant(out, cel_list_at(v, i));
}

/* What one text may have to be all at once: it begins, holds, ends. */
struct pieces {
	char first[EXAMPLE_TEXT], inside[EXAMPLE_TEXT], last[EXAMPLE_TEXT];
};

static void note_piece(char piece[EXAMPLE_TEXT], struct str text) {
	size_t n = strlen(piece);

	if (text.n + 1 < EXAMPLE_TEXT - n)
		snprintf(piece + n, EXAMPLE_TEXT - n, "%s%.*s", n ? " " : "", (int)text.n, text.p);
}

static void add_whole(struct examples *out, const struct pieces *p) {
	char text[3 * EXAMPLE_TEXT];
	const char *const pieces[] = { p->first, p->inside, p->last };
	size_t n = 0, used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		if (!*pieces[i])
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", pieces[i]);
		used++;
	}
	if (used > 1)
		add_text(out, (struct str){ text, n });
}

static void add_pattern(struct examples *out, struct cel_value v, struct pieces *pieces) {
	char text[EXAMPLE_TEXT];

	if (v.kind != CEL_STRING || !example_of_pattern((struct str){ v.s, v.n }, text))
		return;
	add_text(out, str_of(text));
	note_piece(v.n && *v.s == '^' && !*pieces->first ? pieces->first : pieces->inside, str_of(text));
}

/*
 * The variable, or what functions make of it with the help of constants: its lower case, its first word. What a text would have
 * to be is not turned back through them; mostly it serves as it is.
 */
static bool is_variable(const struct cel_node *node, uint32_t slot) {
	while (node->kind == CEL_N_CALL && node->n > 0 && (node->fn == CEL_FN_OTHER || node->fn == CEL_FN_INDEX)) {
		for (uint32_t i = 1; i < node->n; i++)
			if (node->kids[i]->kind != CEL_N_CONST)
				return false;
		node = node->kids[0];
	}
	return node->kind == CEL_N_SLOT && node->slot == slot && !node->test;
}

static bool is_size_of(const struct cel_node *node, uint32_t slot) {
	return node->kind == CEL_N_CALL && node->fn == CEL_FN_SIZE && node->n == 1 && is_variable(node->kids[0], slot);
}

static void note_constant(const struct cel_node *call, struct cel_value v, struct examples *out, struct pieces *pieces) {
	struct str text = v.kind == CEL_STRING ? (struct str){ v.s, v.n } : (struct str){ "", 0 };

	switch (call->fn) {
	case CEL_FN_EQ:
	case CEL_FN_IN:
		add_constant(out, v);
		break;
	case CEL_FN_STARTS_WITH:
		add_constant(out, v);
		if (!*pieces->first)
			note_piece(pieces->first, text);
		break;
	case CEL_FN_ENDS_WITH:
		add_constant(out, v);
		if (!*pieces->last)
			note_piece(pieces->last, text);
		break;
	case CEL_FN_CONTAINS:
		add_constant(out, v);
		note_piece(pieces->inside, text);
		break;
	case CEL_FN_MATCHES:
		add_pattern(out, v, pieces);
		break;
	default:
		break;
	}
}

/* Depth: cel_limits.depth. */
static void find_texts(const struct cel_node *node, uint32_t slot, struct examples *out, struct pieces *pieces, int64_t *longest) {
	for (uint32_t i = 0; node->kind == CEL_N_CALL && node->n == 2 && i < 2; i++) {
		const struct cel_node *one = node->kids[i], *other = node->kids[1 - i];

		if (other->kind == CEL_N_CONST && is_variable(one, slot))
			note_constant(node, other->constant, out, pieces);
		if (other->kind == CEL_N_CONST && other->constant.kind == CEL_INT && is_size_of(one, slot) &&
		    other->constant.i > *longest)
			*longest = other->constant.i;
	}
	for (uint32_t i = 0; i < node->n; i++)
		find_texts(node->kids[i], slot, out, pieces, longest);
}

/* At least n bytes, the filler again and again. */
static void add_longer(struct examples *out, const char *text, const char *filler, size_t n) {
	char longer[EXAMPLE_TEXT];
	int len = snprintf(longer, sizeof(longer), "%s", text);

	while (len > 0 && (size_t)len < n && (size_t)len < sizeof(longer))
		len += snprintf(longer + len, sizeof(longer) - (size_t)len, ", %s", filler);
	if (len > 0 && (size_t)len < sizeof(longer))
		add_text(out, str_of(longer));
}

void example_texts(const struct cel_program *program, uint32_t slot, const char *filler, struct examples *out) {
	struct pieces pieces = { 0 };
	int64_t longest = -1;
	size_t n;

	find_texts(cel_program_root(program), slot, out, &pieces, &longest);
	add_whole(out, &pieces);
	if (!filler)
		return;
	add_text(out, str_of(filler));
	n = out->n;
	for (size_t i = 0; longest >= 0 && longest < EXAMPLE_TEXT && i < n; i++)
		add_longer(out, out->texts[i], filler, (size_t)longest + 1);
}

static void add_span(struct examples *out, int64_t s) {
	for (size_t i = 0; i < out->n_spans; i++)
		if (out->spans[i] == s)
			return;
	if (out->n_spans < EXAMPLES)
		out->spans[out->n_spans++] = s;
}

static void find_spans(const struct cel_node *node, struct examples *out) {
	if (node->kind == CEL_N_CONST && node->constant.kind == CEL_DURATION)
		for (int64_t by = -1; by <= 1; by++)
			add_span(out, node->constant.i / 1000000000 + by);
	for (uint32_t i = 0; i < node->n; i++)
		find_spans(node->kids[i], out);
}

void example_spans(const struct cel_program *program, struct examples *out) {
	find_spans(cel_program_root(program), out);
}

static bool is_text(struct cel_value v, struct str text) {
	return v.kind == CEL_STRING && str_eq((struct str){ v.s, v.n }, text);
}

static bool mentions(const struct cel_node *node, struct str text) {
	bool found = node->kind == CEL_N_CONST && is_text(node->constant, text);

	if (node->kind == CEL_N_CONST && node->constant.kind == CEL_LIST)
		for (uint32_t i = 0; i < cel_list_size(node->constant) && !found; i++)
			found = is_text(cel_list_at(node->constant, i), text);
	for (uint32_t i = 0; i < node->n && !found; i++)
		found = mentions(node->kids[i], text);
	return found;
}

bool example_mentions(const struct cel_program *program, struct str text) {
	return mentions(cel_program_root(program), text);
}
