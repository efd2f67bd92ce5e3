#pragma once

/*
 * The plain subset of YAML (and all of JSON's structure) that our files are written in.
 *
 * yaml_load() turns text into a tree of nodes with positions; it knows no
 * schema. A scalar is its text and how it was written: whether "no", 10 or
 * 1e3 is a boolean, a number or a name is for the schema to say, by asking
 * yaml_bool(), yaml_int(), yaml_duration() or taking the text, never for
 * YAML's guess.
 *
 * The subset: mappings with scalar keys, sequences, scalars in all five
 * styles, comments, one optional "---". Refused: anchors, aliases, tags, merge
 * keys, directives, a second document, duplicate keys, NUL and other control
 * characters, invalid UTF-8, U+0085 U+2028 U+2029 (line breaks in YAML 1.1,
 * none in 1.2), a lone CR, tabs as indentation outside [] and {}, a comment
 * stuck to what it follows. libyaml lets several of these pass: the characters
 * are checked before it sees them, the rest on its events and on the text
 * between them.
 *
 * JSON is read as the YAML that it is, \uXXXX and \/ included. One thing is refused that
 * JSON has: a character beyond U+FFFF as a pair of \u escapes; write the character itself.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hallpass/buf.h"
#include "hallpass/error.h"

#define YAML_MAX_PROBLEMS 20

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };
enum yaml_style { YAML_PLAIN, YAML_SINGLE_QUOTED, YAML_DOUBLE_QUOTED, YAML_LITERAL, YAML_FOLDED };

/* One node. Everything in it lives as long as its tree. */
struct yaml_node {
	enum yaml_kind kind : 8;
	enum yaml_style style : 8;      /* scalars; only YAML_PLAIN may be a bool, number or nothing */
	unsigned line, column;          /* 1-based; columns count code points */
	uint32_t offset;                /* of its first byte in the text */
	uint32_t n;                     /* scalars: bytes of text; else children */
	const char *text;               /* scalars: NUL-terminated, never NUL inside; else NULL */
	struct yaml_node *first, *next; /* children in file order; the next sibling */
	struct yaml_node *key;          /* this node's key, where its parent is a map */
};

#define yaml_each(child, parent) for (const struct yaml_node *child = (parent)->first; child; child = child->next)

/* Ceilings. A zero takes the default. */
struct yaml_limits {
	size_t bytes;   /* default 10 MiB */
	unsigned depth; /* default 64 */
	size_t nodes;   /* default 3,000,000 */
};

/* What is wrong, in order of position. */
struct yaml_problem {
	const char *id; /* stable: "yaml-syntax", "duplicate-key", "yaml-anchor", …; static text */
	unsigned line, column;
	char message[240]; /* one sentence; never quotes more than a key */
};

struct yaml_problems {
	struct yaml_problem list[YAML_MAX_PROBLEMS];
	size_t n, more; /* more: which are not in the list */
};

struct chunk;

struct yaml_tree {
	struct yaml_node *root; /* NULL: nothing but blanks and comments */
	struct str text;        /* borrowed: keep it until yaml_tree_free() */
	struct chunk *memory;
};

/*
 * Reads text, which must stay until yaml_tree_free(). 0: *out is a tree in the subset. -1: refused, and
 * problems->list[0] is the first reason; err says the same with its position in front ("3:7: ...").
 * *out is then still a tree where the structure could be read (say, a duplicate key), for a caller
 * who wants to find more mistakes in one run, or NULL. problems is overwritten.
 */
int yaml_load(struct str text, const struct yaml_limits *limits, struct yaml_tree **out, struct yaml_problems *problems,
	      struct error *err);
void yaml_tree_free(struct yaml_tree *tree); /* takes NULL */

/* The value at a key, or NULL. Linear. map may be NULL or no map. */
const struct yaml_node *yaml_find(const struct yaml_node *map, const char *key);

/* A plain scalar of no characters, "~" or "null". */
bool yaml_is_null(const struct yaml_node *node);

/*
 * What a scalar means where the schema wants that type; -1 when it is something else.
 * bool: plain true or false, nothing else. int: plain decimal digits with an optional minus, no
 * leading zeros, within [min, max]. duration: "900s", "30m", "1h30m", units h m s each at
 * most once and in that order, no blanks, within [min, max] seconds; plain or quoted.
 */
int yaml_bool(const struct yaml_node *node, bool *out);
int yaml_int(const struct yaml_node *node, int64_t min, int64_t max, int64_t *out);
int yaml_duration(const struct yaml_node *node, int64_t min_s, int64_t max_s, int64_t *out);

/*
 * Where byte `offset` of a scalar's text stands in the file: exact for plain, quoted and block
 * scalars, folding, escapes and indentation included. offset may be the text's length (its end).
 */
void yaml_position(const struct yaml_tree *tree, const struct yaml_node *scalar, size_t offset, unsigned *line,
		   unsigned *column);

/* As JSON, by JSON's own rules for plain scalars (true, false, null, numbers; else text). A new reference; NULL:
 * memory. */
json_t *yaml_to_json(const struct yaml_node *node);

/* "a mapping", "a list", "text", "nothing": for messages. */
const char *yaml_kind_name(const struct yaml_node *node);
