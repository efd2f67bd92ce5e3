#pragma once

/*
 * The lexer: CEL source into tokens, one at a time. Borrows the text, allocates nothing, knows no grammar;
 * what a string literal holds is decoded by cel_lex_string().
 */

#include "hallpass/buf.h"
#include "policy/cel.h"

enum cel_token_kind {
	CEL_TOK_END,
	CEL_TOK_ERROR,
	CEL_TOK_IDENT,
	CEL_TOK_QUOTED, /* `…`: a selector */
	CEL_TOK_IN,
	CEL_TOK_TRUE,
	CEL_TOK_FALSE,
	CEL_TOK_NULL,
	CEL_TOK_INT,
	CEL_TOK_UINT,
	CEL_TOK_DOUBLE,
	CEL_TOK_STRING,
	CEL_TOK_BYTES,
	CEL_TOK_AND,
	CEL_TOK_OR,
	CEL_TOK_EQ,
	CEL_TOK_NE,
	CEL_TOK_LT,
	CEL_TOK_LE,
	CEL_TOK_GT,
	CEL_TOK_GE,
	CEL_TOK_PUNCT, /* one of + - * / % ! ? : . , ( ) [ ] { } */
};

struct cel_token {
	enum cel_token_kind kind;
	char punct;
	uint32_t start, end; /* bytes of the source */
	const char *why;     /* CEL_TOK_ERROR: static text */
};

struct cel_lexer {
	struct str text;
	uint32_t at;
};

struct cel_token cel_lex(struct cel_lexer *lexer);

/*
 * The contents of a string or bytes literal, in the arena. NULL and *why (static text) when it is ill-formed, *n being
 * where in the literal; *why NULL: memory.
 */
const char *cel_lex_string(struct str literal, bool bytes, struct cel_arena *arena, size_t *n, const char **why);
