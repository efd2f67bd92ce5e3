#pragma once

/* Plain text into mdoc, the language of manual pages: for the pages that the tables of options and keys become. */

#include "hallpass/buf.h"

/* Between macros: each sentence on a line of its own, nothing in it taken for a macro. Ends the line. */
void mdoc_text(const char *text, struct buf *out);
