#pragma once

#include <jansson.h>

/*
 * Where jansson's memory comes from in hallpassd.
 *
 * jansson 2.14 goes on parsing after an allocation that failed, with a text from which bytes are missing, and reads beyond its end. So where
 * there is no memory, what it asks for comes out of a reserve, which is more than a request's body takes as a tree, and whole again when
 * the last piece was given back; untouched it costs nothing. What is given back is wiped. (Not in the command, which frees texts of jansson's by free().)
 */

/* Before jansson is used. From any thread afterwards. */
void json_reserve_use(void);
/*
 * How often the reserve was used up, too, for what this thread asked for. Where that has changed while something was made, it is not to be
 * trusted: jansson leaves out of a copy, and does not say, what it has no memory for.
 */
unsigned json_reserve_failures(void);
/* A copy of an object, whole; NULL: no memory. */
json_t *json_whole_copy(const json_t *object);
/* What json_dumps() gave, in place of free(); NULL is fine. Also where the reserve is not used. */
void json_reserve_free(void *text);
