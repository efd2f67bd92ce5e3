/* See cel_lex.h. Source: langdef.md, "Syntax" and "String and Bytes Values". */

#include "policy/cel_internal.h"
#include "policy/cel_lex.h"

static bool is_digit(char c) {
	return c >= '0' && c <= '9';
}

static bool is_name_start(char c) {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int hex_digit(char c) {
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NUL past the end: no token goes on with it. */
static char peek(const struct cel_lexer *lexer, uint32_t ahead) {
	return lexer->text.n - lexer->at > ahead ? lexer->text.p[lexer->at + ahead] : '\0';
}

static void skip_blanks(struct cel_lexer *lexer) {
	for (; lexer->at < lexer->text.n; lexer->at++) {
		if (peek(lexer, 0) == '/' && peek(lexer, 1) == '/')
			while (lexer->at < lexer->text.n && peek(lexer, 0) != '\n')
				lexer->at++;
		if (lexer->at == lexer->text.n || !memchr(" \t\n\r\f", peek(lexer, 0), 5))
			return;
	}
}

static struct cel_token token_error(struct cel_token token, const char *why) {
	token.kind = CEL_TOK_ERROR;
	token.why = why;
	return token;
}

static void skip_digits(struct cel_lexer *lexer) {
	while (is_digit(peek(lexer, 0)))
		lexer->at++;
}

static void skip_exponent(struct cel_lexer *lexer, struct cel_token *token) {
	uint32_t sign = peek(lexer, 1) == '+' || peek(lexer, 1) == '-';

	if ((peek(lexer, 0) | 0x20) != 'e' || !is_digit(peek(lexer, 1 + sign)))
		return;
	lexer->at += 1 + sign;
	skip_digits(lexer);
	token->kind = CEL_TOK_DOUBLE;
}

static struct cel_token lex_number(struct cel_lexer *lexer, struct cel_token token) {
	token.kind = CEL_TOK_INT;
	if (peek(lexer, 0) == '0' && (peek(lexer, 1) | 0x20) == 'x') {
		lexer->at += 2;
		if (hex_digit(peek(lexer, 0)) < 0)
			return token_error(token, "hexadecimal digits are missing");
		while (hex_digit(peek(lexer, 0)) >= 0)
			lexer->at++;
	} else {
		skip_digits(lexer);
		if (peek(lexer, 0) == '.' && is_digit(peek(lexer, 1))) {
			token.kind = CEL_TOK_DOUBLE;
			lexer->at++;
			skip_digits(lexer);
		}
		skip_exponent(lexer, &token);
	}
	if (token.kind == CEL_TOK_INT && (peek(lexer, 0) | 0x20) == 'u') {
		token.kind = CEL_TOK_UINT;
		lexer->at++;
	}
	if (is_name_start(peek(lexer, 0)))
		return token_error(token, "a number runs into a name");
	return token;
}

static struct cel_token lex_string(struct cel_lexer *lexer, struct cel_token token, uint32_t prefix, bool raw) {
	char quote = peek(lexer, prefix), c;
	uint32_t close = peek(lexer, prefix + 1) == quote && peek(lexer, prefix + 2) == quote ? 3 : 1, run = 0;

	for (lexer->at += prefix + close; lexer->at < lexer->text.n; lexer->at++) {
		c = peek(lexer, 0);
		if (c == quote) {
			if (++run == close) {
				lexer->at++;
				return token;
			}
			continue;
		}
		run = 0;
		if (close == 1 && (c == '\n' || c == '\r'))
			break;
		if (c == '\\' && !raw && lexer->at + 1 < lexer->text.n)
			lexer->at++;
	}
	return token_error(token, "a string is not closed");
}

/* Bytes before the quote of r"", b"", rb"", br"" and their capitals; 0 and no quote: not a literal. */
static bool string_prefix(const struct cel_lexer *lexer, uint32_t *prefix, bool *raw, bool *bytes) {
	char c;

	*raw = *bytes = false;
	for (*prefix = 0; *prefix < 3; ++*prefix) {
		c = peek(lexer, *prefix);
		if (c == '"' || c == '\'')
			return true;
		if ((c | 0x20) == 'r' && !*raw)
			*raw = true;
		else if ((c | 0x20) == 'b' && !*bytes)
			*bytes = true;
		else
			return false;
	}
	return false;
}

static struct cel_token lex_name(struct cel_lexer *lexer, struct cel_token token) {
	static const struct {
		const char *word;
		enum cel_token_kind kind;
	} words[] = { { "in", CEL_TOK_IN }, { "true", CEL_TOK_TRUE }, { "false", CEL_TOK_FALSE }, { "null", CEL_TOK_NULL } };
	struct str name;

	while (is_name_start(peek(lexer, 0)) || is_digit(peek(lexer, 0)))
		lexer->at++;
	token.kind = CEL_TOK_IDENT;
	name = (struct str){ lexer->text.p + token.start, lexer->at - token.start };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (str_eq(name, str_of(words[i].word)))
			token.kind = words[i].kind;
	return token;
}

static struct cel_token lex_quoted(struct cel_lexer *lexer, struct cel_token token) {
	uint32_t from = ++lexer->at;

	while (is_name_start(peek(lexer, 0)) || is_digit(peek(lexer, 0)) ||
	       (peek(lexer, 0) && memchr(".-/ ", peek(lexer, 0), 4)))
		lexer->at++;
	if (peek(lexer, 0) != '`' || lexer->at == from)
		return token_error(token, "a quoted name is letters, digits, '_', '.', '-', '/' and blanks between backticks");
	lexer->at++;
	token.kind = CEL_TOK_QUOTED;
	return token;
}

static struct cel_token lex_operator(struct cel_lexer *lexer, struct cel_token token) {
	static const struct {
		char text[3];
		enum cel_token_kind kind;
	} pairs[] = {
		{ "&&", CEL_TOK_AND }, { "||", CEL_TOK_OR }, { "==", CEL_TOK_EQ },
		{ "!=", CEL_TOK_NE },  { "<=", CEL_TOK_LE }, { ">=", CEL_TOK_GE },
	};
	char c = peek(lexer, 0), next = peek(lexer, 1);

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (c == pairs[i].text[0] && next == pairs[i].text[1]) {
			token.kind = pairs[i].kind;
			lexer->at += 2;
			return token;
		}
	lexer->at++;
	if (c == '<' || c == '>') {
		token.kind = c == '<' ? CEL_TOK_LT : CEL_TOK_GT;
		return token;
	}
	if (!c || !strchr("+-*/%!?:.,()[]{}", c))
		return token_error(token, "no part of an expression");
	token.kind = CEL_TOK_PUNCT;
	token.punct = c;
	return token;
}

struct cel_token cel_lex(struct cel_lexer *lexer) {
	struct cel_token token = { .kind = CEL_TOK_END };
	bool raw, bytes;
	uint32_t prefix;
	char c;

	skip_blanks(lexer);
	token.start = token.end = lexer->at;
	if (lexer->at == lexer->text.n)
		return token;
	c = peek(lexer, 0);
	if (string_prefix(lexer, &prefix, &raw, &bytes)) {
		token.kind = bytes ? CEL_TOK_BYTES : CEL_TOK_STRING;
		token = lex_string(lexer, token, prefix, raw);
	} else if (is_name_start(c)) {
		token = lex_name(lexer, token);
	} else if (is_digit(c) || (c == '.' && is_digit(peek(lexer, 1)))) {
		token = lex_number(lexer, token);
	} else if (c == '`') {
		token = lex_quoted(lexer, token);
	} else {
		token = lex_operator(lexer, token);
	}
	token.end = lexer->at;
	return token;
}

/* ---- What a literal holds ---- */

struct escape {
	struct str text;
	size_t at, last; /* last: where what is being read began */
	bool bytes;
	const char *why;
};

/* n digits of base 8 or 16 at text[at]; UINT32_MAX: they are not there. */
static uint32_t escape_digits(struct escape *e, size_t n, uint32_t base) {
	uint32_t value = 0;
	int digit;

	if (e->text.n - e->at < n)
		return UINT32_MAX;
	for (; n; n--) {
		digit = hex_digit(e->text.p[e->at++]);
		if (digit < 0 || (uint32_t)digit >= base)
			return UINT32_MAX;
		value = value * base + (uint32_t)digit;
	}
	return value;
}

/* One byte or code point after a backslash. False: why says what is wrong. */
static bool escape_value(struct escape *e, uint32_t *value) {
	static const char letters[] = "abfnrtv\\?\"'`", meanings[] = "\a\b\f\n\r\t\v\\?\"'`";
	char c = e->text.p[e->at++];
	const char *letter = c ? strchr(letters, c) : NULL;

	if (letter) {
		*value = (unsigned char)meanings[letter - letters];
	} else if (c == 'x' || c == 'X') {
		*value = escape_digits(e, 2, 16);
	} else if (c >= '0' && c <= '3') {
		e->at--;
		*value = escape_digits(e, 3, 8);
	} else if ((c == 'u' || c == 'U') && !e->bytes) {
		*value = escape_digits(e, c == 'u' ? 4 : 8, 16);
		if (*value > 0x10FFFF || (*value >= 0xD800 && *value <= 0xDFFF))
			*value = UINT32_MAX;
	} else {
		*value = UINT32_MAX;
	}
	if (*value == UINT32_MAX)
		e->why = "invalid escape sequence";
	return *value != UINT32_MAX;
}

static size_t decode(struct escape *e, char *out) {
	size_t n = 0;
	uint32_t value;

	while (e->at < e->text.n) {
		e->last = e->at;
		if (e->text.p[e->at] != '\\') {
			out[n++] = e->text.p[e->at++];
			continue;
		}
		if (++e->at == e->text.n) {
			e->why = "invalid escape sequence";
			return 0;
		}
		if (!escape_value(e, &value))
			return 0;
		if (e->bytes)
			out[n++] = (char)value;
		else
			n += cel_utf8_encode(value, out + n); /* never longer than its escape */
	}
	return n;
}

const char *cel_lex_string(struct str literal, bool bytes, struct cel_arena *arena, size_t *n, const char **why) {
	struct escape e = { .bytes = bytes };
	size_t quotes, prefix = 0;
	bool raw = false;
	char *out;

	for (; literal.p[prefix] != '"' && literal.p[prefix] != '\''; prefix++)
		raw |= (literal.p[prefix] | 0x20) == 'r';
	quotes = literal.n - prefix >= 6 && literal.p[prefix + 1] == literal.p[prefix] &&
		 literal.p[prefix + 2] == literal.p[prefix] ? 3 : 1;
	e.text = (struct str){ literal.p + prefix + quotes, literal.n - prefix - 2 * quotes };
	*why = NULL;
	out = cel_arena_alloc(arena, e.text.n + 1);
	if (!out)
		return NULL;
	if (raw) {
		memcpy(out, e.text.p, e.text.n);
		*n = e.text.n;
	} else {
		*n = decode(&e, out);
	}
	*why = e.why;
	if (e.why) {
		*n = prefix + quotes + e.last;
		return NULL;
	}
	out[*n] = '\0';
	return out;
}
