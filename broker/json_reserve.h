#pragma once

/*
 * Where jansson's memory comes from in hallpassd.
 *
 * jansson 2.14 goes on parsing after an allocation that failed, with a text from which bytes are missing, and reads beyond its end. So where
 * there is no memory, what it asks for comes out of a reserve, which is more than a request's body takes as a tree, and whole again when
 * the last piece was given back; untouched it costs nothing. What is given back is wiped. (Not in the command, which frees texts of jansson's by free().)
 */

/* Before jansson is used. From any thread afterwards. */
void json_reserve_use(void);
/* What json_dumps() gave, in place of free(); NULL is fine. Also where the reserve is not used. */
void json_reserve_free(void *text);
