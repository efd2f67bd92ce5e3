#pragma once

/*
 * Findings that a person accepts on purpose: a comment `# hallpass: ignore=ID` (or ID,ID) on the finding's line, or on lines of
 * its own right above it. Within an expression, CEL's own comment: `// hallpass: ignore=ID`.
 *
 * Only warnings can be accepted. A comment that accepts nothing is a finding itself, so that none outlives its reason.
 */

#include "hallpass/buf.h"

struct ignore {
	unsigned covers;       /* the line whose findings it accepts */
	unsigned line, column; /* of the id */
	struct str id;	       /* borrows the text */
	bool used;
};

struct ignores {
	struct ignore *list; /* by the line that they cover */
	size_t n, size;
};

/* Finds the comments of a text, which is borrowed. -1: memory. */
int ignores_find(struct ignores *ignores, struct str text);
/* Whether a finding of this id on this line is accepted; notes the use. */
bool ignores_take(struct ignores *ignores, unsigned line, const char *id);
void ignores_fini(struct ignores *ignores);
