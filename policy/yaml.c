/*
 * See include/hallpass/yaml.h. Three steps: the characters, then libyaml's events into nodes,
 * and on the way the text between the events, which is where libyaml is too generous.
 */

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <yaml.h>
#include "hallpass/cleanup.h"
#include "hallpass/utf8.h"
#include "hallpass/yaml.h"
#include "policy/chunks.h"

#define HARD_DEPTH 256 /* of the stack below; limits.depth is clamped to it */

/* A place in the text, moved forward only. index counts code points, as libyaml's marks do. */
struct cursor {
	size_t index, byte;
};

struct loader {
	yaml_parser_t parser;
	struct yaml_tree *tree;
	struct chunks chunks;
	struct yaml_problems *problems;
	struct yaml_limits limits;
	struct cursor at;   /* end of what is checked */
	struct cursor from; /* start of the current event */
	size_t nodes;
	unsigned depth; /* open collections */
	struct frame {
		struct yaml_node *node, **tail;
		struct yaml_node *key; /* a map's key that waits for its value */
	} stack[HARD_DEPTH];
	bool done, fatal, no_memory;
};

__attribute__((format(printf, 5, 6))) static void problem_add(struct yaml_problems *problems, const char *id,
							      size_t line, size_t column, const char *fmt, ...) {
	struct yaml_problem *p = &problems->list[problems->n];
	va_list ap;

	if (problems->n == YAML_MAX_PROBLEMS) {
		problems->more++;
		return;
	}
	problems->n++;
	*p = (struct yaml_problem){ .id = id, .line = (unsigned)line, .column = (unsigned)column };
	va_start(ap, fmt);
	vsnprintf(p->message, sizeof(p->message), fmt, ap);
	va_end(ap);
}

static void *loader_get(struct loader *l, size_t size, size_t align) {
	void *piece = chunks_get(&l->chunks, size, align);

	if (!piece)
		l->no_memory = l->fatal = true;
	return piece;
}

/* ---- the characters ---- */

/* What is wrong with the character of length n at s, or NULL. */
static const char *bad_character(const unsigned char *s, size_t n, size_t left) {
	if (n == 0)
		return "this is not UTF-8";
	if (n == 1 && s[0] == '\r')
		return left > 1 && s[1] == '\n' ? NULL : "a carriage return without a line feed";
	if (n == 1 && s[0] == 0)
		return "a NUL byte";
	if (n == 1 && ((s[0] < 0x20 && s[0] != '\t' && s[0] != '\n') || s[0] == 0x7F))
		return "a control character";
	if (n == 2 && s[0] == 0xC2 && s[1] == 0x85)
		return "U+0085, a line break to some readers and none to others";
	if (n == 2 && s[0] == 0xC2 && s[1] < 0xA0)
		return "a control character";
	if (n == 3 && s[0] == 0xE2 && s[1] == 0x80 && (s[2] == 0xA8 || s[2] == 0xA9))
		return "U+2028 or U+2029, a line break to some readers and none to others";
	if (n == 3 && s[0] == 0xEF && ((s[1] == 0xBB && s[2] == 0xBF) || (s[1] == 0xBF && s[2] >= 0xBE)))
		return "a byte order mark or a non-character";
	return NULL;
}

static int check_characters(struct str text, struct yaml_problems *problems) {
	const unsigned char *s = (const unsigned char *)text.p;
	unsigned line = 1, column = 1;
	const char *what;
	size_t n;

	for (size_t i = 0; i < text.n; i += n, column++) {
		n = 1;
		if (s[i] >= 0x20 && s[i] < 0x7F)
			continue;
		n = utf8_length(s + i, text.n - i);
		what = bad_character(s + i, n, text.n - i);
		if (what) {
			problem_add(problems, "yaml-character", line, column, "%s", what);
			return -1;
		}
		if (s[i] == '\n') {
			line++;
			column = 0;
		}
	}
	return 0;
}

/* ---- the text between two events: blanks, indicators, comments ---- */

static void cursor_to(const struct loader *l, struct cursor *c, size_t index) {
	const char *s = l->tree->text.p;
	size_t n = l->tree->text.n;

	while (c->index < index && c->byte < n) {
		do
			c->byte++;
		while (c->byte < n && ((unsigned char)s[c->byte] & 0xC0) == 0x80);
		c->index++;
	}
}

static void gap_problem(struct loader *l, size_t byte, const char *id, const char *message) {
	const char *s = l->tree->text.p;
	size_t line = 1, column = 1;

	for (size_t i = 0; i < byte; i++) {
		column = s[i] == '\n' ? 1 : column + (((unsigned char)s[i] & 0xC0) != 0x80);
		line += s[i] == '\n';
	}
	if (l->problems->n < YAML_MAX_PROBLEMS)
		problem_add(l->problems, id, line, column, "%s", message);
}

/* Looks at bytes [from, to): a comment needs a blank before it. */
static void check_gap(struct loader *l, size_t from, size_t to) {
	const char *s = l->tree->text.p;

	for (size_t i = from; i < to && l->problems->n < YAML_MAX_PROBLEMS; i++) {
		if (s[i] != '#')
			continue;
		if (i > 0 && !strchr(" \t\n\r", s[i - 1]))
			gap_problem(l, i, "yaml-comment", "a comment needs a space before its #");
		while (i < to && s[i] != '\n')
			i++;
	}
}

static void check_around(struct loader *l, const yaml_event_t *event) {
	size_t before = l->at.byte;

	l->from = l->at;
	cursor_to(l, &l->from, event->start_mark.index);
	if (l->from.byte > before)
		check_gap(l, before, l->from.byte);
	l->at = l->from;
	cursor_to(l, &l->at, event->end_mark.index);
}

/* ---- events into nodes ---- */

__attribute__((format(printf, 4, 5))) static void refuse(struct loader *l, const yaml_mark_t *mark, const char *id,
							 const char *fmt, ...) {
	char message[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	problem_add(l->problems, id, mark->line + 1, mark->column + 1, "%s", message);
}

__attribute__((format(printf, 4, 5))) static void give_up(struct loader *l, const yaml_mark_t *mark, const char *id,
							  const char *fmt, ...) {
	char message[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	refuse(l, mark, id, "%s", message);
	l->fatal = true;
}

static struct yaml_node *node_new(struct loader *l, const yaml_event_t *event, enum yaml_kind kind) {
	struct yaml_node *node;

	if (++l->nodes > l->limits.nodes) {
		give_up(l, &event->start_mark, "yaml-limit", "more than %zu values in one file", l->limits.nodes);
		return NULL;
	}
	node = loader_get(l, sizeof(*node), _Alignof(struct yaml_node));
	if (node)
		*node = (struct yaml_node){
			.kind = kind,
			.line = (unsigned)event->start_mark.line + 1,
			.column = (unsigned)event->start_mark.column + 1,
			.offset = (uint32_t)l->from.byte,
		};
	return node;
}

static const enum yaml_style styles[] = {
	[YAML_ANY_SCALAR_STYLE] = YAML_PLAIN,
	[YAML_PLAIN_SCALAR_STYLE] = YAML_PLAIN,
	[YAML_SINGLE_QUOTED_SCALAR_STYLE] = YAML_SINGLE_QUOTED,
	[YAML_DOUBLE_QUOTED_SCALAR_STYLE] = YAML_DOUBLE_QUOTED,
	[YAML_LITERAL_SCALAR_STYLE] = YAML_LITERAL,
	[YAML_FOLDED_SCALAR_STYLE] = YAML_FOLDED,
};

static void scalar_text(struct loader *l, struct yaml_node *node, const yaml_event_t *event) {
	size_t n = event->data.scalar.length;
	char *text = loader_get(l, n + 1, 1);

	node->style = styles[event->data.scalar.style];
	node->n = (uint32_t)n;
	node->text = text;
	if (!text)
		return;
	memcpy(text, event->data.scalar.value, n);
	text[n] = '\0';
	if (memchr(text, 0, n))
		refuse(l, &event->start_mark, "yaml-character", "an escaped NUL in text");
}

/* Gives a finished or just opened node to its parent: as key, value, item or root. */
static void attach(struct loader *l, struct yaml_node *node, const yaml_event_t *event) {
	struct frame *top = l->depth ? &l->stack[l->depth - 1] : NULL;

	if (!top) {
		l->tree->root = node;
		return;
	}
	if (top->node->kind == YAML_MAP && !top->key) {
		top->key = node;
		if (node->kind != YAML_SCALAR)
			give_up(l, &event->start_mark, "yaml-key", "a key must be a word, not %s",
				yaml_kind_name(node));
		else if (node->style == YAML_PLAIN && (node->n == 0 || !strcmp(node->text, "<<")))
			refuse(l, &event->start_mark, "yaml-key",
			       node->n ? "merge keys (<<) are not supported" : "a key is missing");
		return;
	}
	node->key = take(&top->key);
	*top->tail = node;
	top->tail = &node->next;
	top->node->n++;
}

static void refuse_properties(struct loader *l, const yaml_event_t *event, const yaml_char_t *anchor,
			      const yaml_char_t *tag) {
	if (anchor)
		refuse(l, &event->start_mark, "yaml-anchor", "anchors (&%.40s) are not supported; write the value out",
		       (const char *)anchor);
	if (tag)
		refuse(l, &event->start_mark, "yaml-tag", "tags (%.40s) are not supported; quote text that needs it",
		       (const char *)tag);
}

static void on_scalar(struct loader *l, const yaml_event_t *event) {
	struct yaml_node *node = node_new(l, event, YAML_SCALAR);

	if (!node)
		return;
	refuse_properties(l, event, event->data.scalar.anchor, event->data.scalar.tag);
	scalar_text(l, node, event);
	if (!l->fatal)
		attach(l, node, event);
}

/* An alias becomes an empty scalar, so that the rest can be looked at. */
static void on_alias(struct loader *l, const yaml_event_t *event) {
	struct yaml_node *node = node_new(l, event, YAML_SCALAR);

	if (!node)
		return;
	node->text = "";
	refuse(l, &event->start_mark, "yaml-anchor", "aliases (*%.40s) are not supported; write the value out",
	       (const char *)event->data.alias.anchor);
	attach(l, node, event);
}

static void open_collection(struct loader *l, const yaml_event_t *event, enum yaml_kind kind) {
	struct yaml_node *node;

	if (l->depth == l->limits.depth) {
		give_up(l, &event->start_mark, "yaml-limit", "nested more than %u deep", l->limits.depth);
		return;
	}
	node = node_new(l, event, kind);
	if (!node)
		return;
	attach(l, node, event);
	l->stack[l->depth++] = (struct frame){ .node = node, .tail = &node->first };
}

static void on_sequence(struct loader *l, const yaml_event_t *event) {
	refuse_properties(l, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
	open_collection(l, event, YAML_LIST);
}

static void on_mapping(struct loader *l, const yaml_event_t *event) {
	refuse_properties(l, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
	open_collection(l, event, YAML_MAP);
}

static int by_key(const void *a, const void *b) {
	const struct yaml_node *x = *(const struct yaml_node *const *)a, *y = *(const struct yaml_node *const *)b;
	int order = strcmp(x->text, y->text);

	if (order)
		return order;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void duplicate_key(struct loader *l, const struct yaml_node *first, const struct yaml_node *again) {
	problem_add(l->problems, "duplicate-key", again->line, again->column,
		    "the key \"%.60s\" is here twice; it was first at line %u", again->text, first->line);
}

/* Sorted, because a map of a hundred thousand groups is legal. */
static void check_duplicates(struct loader *l, const struct yaml_node *map) {
	const struct yaml_node **keys;
	size_t i = 0;

	if (map->n < 2)
		return;
	keys = malloc(map->n * sizeof(*keys));
	if (!keys) {
		l->no_memory = l->fatal = true;
		return;
	}
	yaml_each (value, map)
		keys[i++] = value->key;
	qsort(keys, i, sizeof(*keys), by_key);
	for (size_t k = 1, first = 0; k < i; k++) {
		if (!strcmp(keys[k]->text, keys[first]->text))
			duplicate_key(l, keys[first], keys[k]);
		else
			first = k;
	}
	free(keys);
}

static void close_collection(struct loader *l, const yaml_event_t *event) {
	const struct frame *top;

	(void)event;
	assert(l->depth > 0);
	top = &l->stack[--l->depth];
	if (top->node->kind == YAML_MAP)
		check_duplicates(l, top->node);
}

static void on_document_start(struct loader *l, const yaml_event_t *event) {
	if (l->tree->root)
		give_up(l, &event->start_mark, "yaml-document", "a second document; one file holds one");
	if (event->data.document_start.version_directive ||
	    event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
		refuse(l, &event->start_mark, "yaml-directive", "directives (%%YAML, %%TAG) are not supported");
}

static void on_end(struct loader *l, const yaml_event_t *event) {
	(void)event;
	l->done = true;
}

static void on_nothing(struct loader *l, const yaml_event_t *event) {
	(void)l, (void)event;
}

static void (*const handlers[])(struct loader *, const yaml_event_t *) = {
	[YAML_NO_EVENT] = on_nothing,
	[YAML_STREAM_START_EVENT] = on_nothing,
	[YAML_STREAM_END_EVENT] = on_end,
	[YAML_DOCUMENT_START_EVENT] = on_document_start,
	[YAML_DOCUMENT_END_EVENT] = on_nothing,
	[YAML_ALIAS_EVENT] = on_alias,
	[YAML_SCALAR_EVENT] = on_scalar,
	[YAML_SEQUENCE_START_EVENT] = on_sequence,
	[YAML_SEQUENCE_END_EVENT] = close_collection,
	[YAML_MAPPING_START_EVENT] = on_mapping,
	[YAML_MAPPING_END_EVENT] = close_collection,
};

/* libyaml's "found character that cannot start any token", where that is a tab. */
static bool stopped_at_tab(struct loader *l) {
	cursor_to(l, &l->at, l->parser.problem_mark.index);
	return l->at.index == l->parser.problem_mark.index && l->at.byte < l->tree->text.n &&
	       l->tree->text.p[l->at.byte] == '\t';
}

/* Where the text ends but for blanks. */
static size_t last_word(const struct loader *l) {
	size_t n = l->tree->text.n;

	while (n > 0 && strchr(" \t\r\n", l->tree->text.p[n - 1]))
		n--;
	return n;
}

static bool is_past_the_end(const struct loader *l, const yaml_mark_t *mark) {
	struct cursor c = { 0 };

	cursor_to(l, &c, mark->index);
	return c.byte >= last_word(l);
}

/* What is missed at the end of the file is told where it was opened, or behind the last word. */
static void syntax_problem_at_end(struct loader *l, const char *message) {
	const yaml_parser_t *p = &l->parser;

	if (p->context && !is_past_the_end(l, &p->context_mark))
		refuse(l, &p->context_mark, "yaml-syntax", "this is never closed: %s", message);
	else
		gap_problem(l, last_word(l), "yaml-syntax", message);
}

static void syntax_problem(struct loader *l) {
	const yaml_parser_t *p = &l->parser;
	char message[200];

	l->fatal = true;
	if (p->error == YAML_MEMORY_ERROR) {
		l->no_memory = true;
		return;
	}
	if (stopped_at_tab(l)) {
		refuse(l, &p->problem_mark, "yaml-tab", "a tab is used as indentation; use spaces");
		return;
	}
	snprintf(message, sizeof(message), "%s%s%s", p->problem ? p->problem : "not YAML", p->context ? " " : "",
		 p->context ? p->context : "");
	if (is_past_the_end(l, &p->problem_mark))
		syntax_problem_at_end(l, message);
	else
		refuse(l, &p->problem_mark, "yaml-syntax", "%s", message);
}

static void read_events(struct loader *l) {
	yaml_event_t event;

	while (!l->done && !l->fatal) {
		if (!yaml_parser_parse(&l->parser, &event)) {
			syntax_problem(l);
			return;
		}
		assert((size_t)event.type < ARRAY_SIZE(handlers));
		check_around(l, &event);
		handlers[event.type](l, &event);
		yaml_event_delete(&event);
	}
}

static int by_position(const void *a, const void *b) {
	const struct yaml_problem *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->column < y->column ? -1 : x->column > y->column;
}

static int settle(struct loader *l, struct error *err) {
	const struct yaml_problem *first = &l->problems->list[0];

	if (l->no_memory)
		return error_no_memory(err);
	if (l->problems->n == 0)
		return 0;
	qsort(l->problems->list, l->problems->n, sizeof(*first), by_position);
	return error_set(err, ERR_INVALID, "%u:%u: %s", first->line, first->column, first->message);
}

static struct yaml_limits effective(const struct yaml_limits *limits) {
	struct yaml_limits l = limits ? *limits : (struct yaml_limits){ 0 };

	if (!l.bytes)
		l.bytes = (size_t)10 << 20;
	if (!l.depth)
		l.depth = 64;
	if (!l.nodes)
		l.nodes = 3000000;
	if (l.depth > HARD_DEPTH)
		l.depth = HARD_DEPTH;
	if (l.bytes > UINT32_MAX / 2)
		l.bytes = UINT32_MAX / 2;
	return l;
}

static int check_text(struct str *text, const struct yaml_limits *limits, struct yaml_problems *problems) {
	if (text->n > limits->bytes) {
		problem_add(problems, "yaml-limit", 1, 1, "the file has %zu bytes; at most %zu are read", text->n,
			    limits->bytes);
		return -1;
	}
	if (text->n >= 3 && !memcmp(text->p, "\xEF\xBB\xBF", 3))
		*text = (struct str){ text->p + 3, text->n - 3 };
	return check_characters(*text, problems);
}

static int load(struct loader *l, struct error *err) {
	if (!yaml_parser_initialize(&l->parser))
		return error_no_memory(err);
	yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l->parser, (const unsigned char *)l->tree->text.p, l->tree->text.n);
	read_events(l);
	yaml_parser_delete(&l->parser);
	return settle(l, err);
}

int yaml_load(struct str text, const struct yaml_limits *limits, struct yaml_tree **out, struct yaml_problems *problems,
	      struct error *err) {
	struct loader *l;
	int r;

	*out = NULL;
	problems->n = problems->more = 0;
	l = calloc(1, sizeof(*l));
	if (!l || !(l->tree = calloc(1, sizeof(*l->tree)))) {
		free(l);
		return error_no_memory(err);
	}
	l->limits = effective(limits);
	l->problems = problems;
	l->fatal = check_text(&text, &l->limits, problems) < 0;
	l->tree->text = text.n ? text : STR("");
	r = l->fatal ? settle(l, err) : load(l, err);
	assert(r < 0 || !l->fatal); /* what was given up has a reason: no text is taken for an empty one (P6) */
	l->tree->memory = l->chunks.last;
	if (l->fatal)
		yaml_tree_free(take(&l->tree));
	*out = l->tree;
	free(l);
	return r;
}

void yaml_tree_free(struct yaml_tree *tree) {
	struct chunks chunks;

	if (!tree)
		return;
	chunks = (struct chunks){ tree->memory };
	chunks_fini(&chunks);
	free(tree);
}

/* ---- asking nodes ---- */

const struct yaml_node *yaml_find(const struct yaml_node *map, const char *key) {
	if (!map || map->kind != YAML_MAP)
		return NULL;
	yaml_each (value, map)
		if (!strcmp(value->key->text, key))
			return value;
	return NULL;
}

static bool is_plain(const struct yaml_node *node) {
	return node && node->kind == YAML_SCALAR && node->style == YAML_PLAIN;
}

bool yaml_is_null(const struct yaml_node *node) {
	return is_plain(node) && (node->n == 0 || !strcmp(node->text, "~") || !strcmp(node->text, "null"));
}

const char *yaml_kind_name(const struct yaml_node *node) {
	if (!node || yaml_is_null(node))
		return "nothing";
	return node->kind == YAML_MAP ? "a mapping" : node->kind == YAML_LIST ? "a list" : "text";
}

int yaml_bool(const struct yaml_node *node, bool *out) {
	if (!is_plain(node) || (strcmp(node->text, "true") && strcmp(node->text, "false")))
		return -1;
	*out = node->text[0] == 't';
	return 0;
}

/* Digits of *s as a number no larger than max; -1: none, or too many. Moves *s behind them. */
static int digits(const char **s, uint64_t max, uint64_t *out) {
	const char *p = *s;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (v > (max - (uint64_t)(*p - '0')) / 10)
			return -1;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	if (p == *s)
		return -1;
	*s = p;
	*out = v;
	return 0;
}

int yaml_int(const struct yaml_node *node, int64_t min, int64_t max, int64_t *out) {
	const char *s;
	uint64_t v;
	bool minus;

	if (!is_plain(node))
		return -1;
	s = node->text;
	minus = *s == '-';
	s += minus;
	if (*s == '0' && (s[1] || minus))
		return -1;
	if (digits(&s, INT64_MAX, &v) < 0 || *s)
		return -1;
	*out = minus ? -(int64_t)v : (int64_t)v;
	return *out < min || *out > max ? -1 : 0;
}

int yaml_duration(const struct yaml_node *node, int64_t min_s, int64_t max_s, int64_t *out) {
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	const uint64_t limit = (uint64_t)1 << 40;
	uint64_t sum = 0, v;
	const char *s;
	size_t u = 0;

	if (!node || node->kind != YAML_SCALAR || !*node->text)
		return -1;
	for (s = node->text; *s; s++) {
		if (digits(&s, limit, &v) < 0)
			return -1;
		while (u < ARRAY_SIZE(units) && units[u].unit != *s)
			u++;
		if (u == ARRAY_SIZE(units))
			return -1;
		sum += v * units[u++].seconds;
	}
	if (sum > (uint64_t)INT64_MAX)
		return -1;
	*out = (int64_t)sum;
	return *out < min_s || *out > max_s ? -1 : 0;
}

/* ---- from an offset in a scalar's text to a place in the file ---- */

struct place {
	const char *s;
	size_t at, n;
	unsigned line, column;
};

static void step(struct place *p) {
	if (p->at >= p->n)
		return;
	if (p->s[p->at] == '\n') {
		p->line++;
		p->column = 0;
	}
	do
		p->at++;
	while (p->at < p->n && ((unsigned char)p->s[p->at] & 0xC0) == 0x80);
	p->column++;
}

static void steps(struct place *p, size_t n) {
	while (n--)
		step(p);
}

static bool here(const struct place *p, char c) {
	return p->at < p->n && p->s[p->at] == c;
}

static bool blank_here(const struct place *p) {
	return here(p, ' ') || here(p, '\t') || here(p, '\n') || here(p, '\r');
}

static void step_line(struct place *p) {
	while (p->at < p->n && !here(p, '\n'))
		step(p);
	step(p);
}

static bool break_here(const struct place *p) {
	return here(p, '\n') || here(p, '\r');
}

static size_t escape_length(const struct place *p) {
	static const char *const lengths = "x2u4U8";
	const char *found = p->at + 1 < p->n && p->s[p->at + 1] ? strchr(lengths, p->s[p->at + 1]) : NULL;

	return 2 + (found && found[1] >= '0' ? (size_t)(found[1] - '0') : 0);
}

/* Where the text of a scalar begins: behind the quote, or behind a block's header and first indentation. */
static void enter(struct place *p, const struct yaml_node *scalar) {
	if (scalar->style == YAML_SINGLE_QUOTED || scalar->style == YAML_DOUBLE_QUOTED)
		step(p);
	if (scalar->style != YAML_LITERAL && scalar->style != YAML_FOLDED)
		return;
	step_line(p);
}

/* Columns of indentation of a block scalar: those of its first line that has text, less the text's own blanks. */
static unsigned block_indent(struct place p, const struct yaml_node *scalar) {
	const char *t = scalar->text;
	unsigned blanks = 0;

	while (*t == '\n')
		t++;
	while (*t == ' ') {
		t++;
		blanks++;
	}
	while (blank_here(&p) && !here(&p, '\t'))
		step(&p);
	return p.column - 1 >= blanks ? p.column - 1 - blanks : 0;
}

static void skip_indent(struct place *p, unsigned indent) {
	while (p->column <= indent && here(p, ' '))
		step(p);
}

/* To where the character c of a block's text is written: past indentation, and past breaks that folding leaves out. */
static void settle_block(struct place *p, char c, unsigned indent) {
	if (p->column == 1)
		skip_indent(p, indent);
	while (c != '\n' && c != ' ' && break_here(p)) {
		step_line(p);
		skip_indent(p, indent);
	}
}

/* One character of a block's text, c, is read from p. Folding writes a break as a blank, or leaves one out. */
static void step_block(struct place *p, char c, unsigned indent) {
	settle_block(p, c, indent);
	if (c == '\n' || break_here(p))
		step_line(p);
	else
		step(p);
}

/* One character of a flow scalar's text: plain and quoted scalars fold a break and the blanks around it to one blank.
 */
static void step_flow(struct place *p, char c, enum yaml_style style) {
	if (style == YAML_DOUBLE_QUOTED && here(p, '\\'))
		steps(p, escape_length(p));
	else if (style == YAML_SINGLE_QUOTED && here(p, '\''))
		steps(p, 2);
	else if (c == '\n')
		while (blank_here(p) && !here(p, '\n'))
			step(p);
	else
		step(p);
}

/* A fold: if only blanks lie between p and a line break, goes to the next line's text. The number of breaks, 0: no fold. */
static unsigned fold_here(struct place *p) {
	struct place q = *p;
	unsigned breaks;

	while (here(&q, ' ') || here(&q, '\t') || here(&q, '\r'))
		step(&q);
	if (!here(&q, '\n'))
		return 0;
	while (blank_here(&q))
		step(&q);
	breaks = q.line - p->line;
	*p = q;
	return breaks;
}

static bool escaped_break_here(const struct place *p, enum yaml_style style) {
	return style == YAML_DOUBLE_QUOTED && here(p, '\\') && p->at + 1 < p->n &&
	       (p->s[p->at + 1] == '\n' || p->s[p->at + 1] == '\r');
}

static void skip_escaped_breaks(struct place *p, enum yaml_style style) {
	while (escaped_break_here(p, style)) {
		step(p);
		fold_here(p);
	}
}

static void walk_flow(struct place *p, const struct yaml_node *scalar, size_t offset) {
	unsigned breaks;

	for (size_t i = 0; i < offset; i++) {
		if (((unsigned char)scalar->text[i] & 0xC0) == 0x80)
			continue;
		skip_escaped_breaks(p, scalar->style);
		breaks = scalar->text[i] == ' ' || scalar->text[i] == '\n' ? fold_here(p) : 0;
		if (breaks > 2) /* two make one line feed, and each further one another */
			i += breaks - 2;
		else if (!breaks)
			step_flow(p, scalar->text[i], scalar->style);
	}
	skip_escaped_breaks(p, scalar->style);
}

static void walk_block(struct place *p, const struct yaml_node *scalar, size_t offset) {
	unsigned indent = block_indent(*p, scalar);

	for (size_t i = 0; i < offset; i++)
		if (((unsigned char)scalar->text[i] & 0xC0) != 0x80)
			step_block(p, scalar->text[i], indent);
	if (offset < scalar->n)
		settle_block(p, scalar->text[offset], indent);
	else if (p->column == 1)
		skip_indent(p, indent);
}

void yaml_position(const struct yaml_tree *tree, const struct yaml_node *scalar, size_t offset, unsigned *line,
		   unsigned *column) {
	struct place p = { tree->text.p, scalar->offset, tree->text.n, scalar->line, scalar->column };

	if (offset > scalar->n)
		offset = scalar->n;
	enter(&p, scalar);
	if (scalar->style == YAML_LITERAL || scalar->style == YAML_FOLDED)
		walk_block(&p, scalar, offset);
	else
		walk_flow(&p, scalar, offset);
	*line = p.line;
	*column = p.column;
}

/* ---- as JSON ---- */

/* JSON's number grammar, which strtod() alone would not hold to. */
static bool is_json_number(const char *s, bool *integer) {
	*integer = true;
	s += *s == '-';
	if (*s == '0' ? (s[1] >= '0' && s[1] <= '9') : (*s < '1' || *s > '9'))
		return false;
	while (*s >= '0' && *s <= '9')
		s++;
	if (*s == '.') {
		*integer = false;
		if (*++s < '0' || *s > '9')
			return false;
		while (*s >= '0' && *s <= '9')
			s++;
	}
	if (*s == 'e' || *s == 'E') {
		*integer = false;
		s++;
		s += *s == '+' || *s == '-';
		if (*s < '0' || *s > '9')
			return false;
		while (*s >= '0' && *s <= '9')
			s++;
	}
	return *s == '\0';
}

static json_t *scalar_to_json(const struct yaml_node *node) {
	bool b, integer;
	int64_t i;

	if (yaml_is_null(node))
		return json_null();
	if (!yaml_bool(node, &b))
		return json_boolean(b);
	if (is_plain(node) && is_json_number(node->text, &integer)) {
		if (integer && !yaml_int(node, INT64_MIN, INT64_MAX, &i))
			return json_integer(i);
		return json_loadb(node->text, node->n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
	}
	return json_stringn(node->text, node->n);
}

/* Depth is bounded by the loader's limit. */
json_t *yaml_to_json(const struct yaml_node *node) {
	json_t *json, *item;

	if (node->kind == YAML_SCALAR)
		return scalar_to_json(node);
	json = node->kind == YAML_MAP ? json_object() : json_array();
	yaml_each (child, node) {
		item = yaml_to_json(child);
		if (!item || (child->key ? json_object_set_new(json, child->key->text, item)
					 : json_array_append_new(json, item)) < 0) {
			json_decref(json);
			return NULL;
		}
	}
	return json;
}
