/* See email.h. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "policy/email.h"

#define MAX_LOCAL 64
#define MAX_LABEL 63
#define MAX_DOMAIN 253
#define FOLD 0x20 /* an upper-case letter: this bit makes it lower-case */

/* What a byte is. Those from DOT on end a part. */
enum kind { BAD, LETTER_OR_DIGIT, HYPHEN, ATOM, DOT, AT, END, N_KINDS };

static const uint8_t kinds[256] = {
	['a' ... 'z'] = LETTER_OR_DIGIT, ['0' ... '9'] = LETTER_OR_DIGIT, ['A' ... 'Z'] = LETTER_OR_DIGIT | FOLD,
	['!'] = ATOM, ['#' ... '\''] = ATOM, ['+'] = ATOM, ['/'] = ATOM, ['='] = ATOM, ['?'] = ATOM, ['^' ... '`'] = ATOM,
	['{' ... '~'] = ATOM, ['-'] = HYPHEN, ['.'] = DOT, ['@'] = AT, ['\0'] = END,
};

/* Where one is: at the beginning of an atom, in one; at the beginning of a label, in one, behind a hyphen in it. */
enum state { WRONG, ATOM_BEGINS, IN_ATOM, LABEL_BEGINS, IN_LABEL, IN_HYPHENS, DONE };

static const uint8_t next[][N_KINDS] = {
	[ATOM_BEGINS] = { [LETTER_OR_DIGIT] = IN_ATOM, [HYPHEN] = IN_ATOM, [ATOM] = IN_ATOM },
	[IN_ATOM] = { [LETTER_OR_DIGIT] = IN_ATOM, [HYPHEN] = IN_ATOM, [ATOM] = IN_ATOM, [DOT] = ATOM_BEGINS, [AT] = LABEL_BEGINS },
	[LABEL_BEGINS] = { [LETTER_OR_DIGIT] = IN_LABEL },
	[IN_LABEL] = { [LETTER_OR_DIGIT] = IN_LABEL, [HYPHEN] = IN_HYPHENS, [DOT] = LABEL_BEGINS, [END] = DONE },
	[IN_HYPHENS] = { [LETTER_OR_DIGIT] = IN_LABEL, [HYPHEN] = IN_HYPHENS },
};

/* Whether the part that ends here, at a dot, an @ or the end, is short enough. A local part is one, however many atoms. */
static bool fits(enum state now, unsigned kind, size_t length) {
	return now == ATOM_BEGINS || length <= (kind == AT ? MAX_LOCAL : MAX_LABEL);
}

static size_t walk(const char *s, char buf[MAX_EMAIL], enum state state) {
	size_t part = 0, dots = 0; /* where the local part or the label began; those in the domain */
	unsigned kind;

	for (size_t i = 0; i < MAX_EMAIL; i++) {
		kind = kinds[(unsigned char)s[i]];
		buf[i] = (char)(s[i] | (kind & FOLD));
		kind &= ~(unsigned)FOLD;
		state = next[state][kind];
		if (state == WRONG)
			return 0;
		if (kind < DOT)
			continue;
		if (!fits(state, kind, i - part))
			return 0;
		if (state == DONE)
			return dots || !strcmp(buf + part, "localhost") ? i : 0;
		if (state == LABEL_BEGINS) {
			dots += kind == DOT;
			part = i + 1;
		}
	}
	return 0;
}

size_t email_canonical(const char *s, char buf[MAX_EMAIL]) {
	return walk(s, buf, ATOM_BEGINS);
}

size_t domain_canonical(const char *s, char buf[MAX_EMAIL]) {
	size_t n = walk(s, buf, LABEL_BEGINS);

	return n <= MAX_DOMAIN ? n : 0;
}
