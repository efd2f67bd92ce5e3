#pragma once

/*
 * E-mail addresses and domains as the policy compares them: in lower case, and well-formed, or none.
 *
 * An address is RFC 5321's dot-string of at most 64 bytes, an @, and a domain: labels of letters, digits and inner
 * hyphens, each of at most 63 bytes, at least two of them. localhost is a domain, too: one user's helper calls its
 * user NAME@localhost (RFC 6761 §6.3).
 *
 * Every request comes through here twice, so a text is judged, folded and measured in one walk.
 */

#include <stddef.h>

#define MAX_EMAIL 320 /* bytes with the NUL */

/* Lower-cased into buf, with a NUL. Gives the length; 0: not well-formed, or too long. */
size_t email_canonical(const char *s, char buf[MAX_EMAIL]);
size_t domain_canonical(const char *s, char buf[MAX_EMAIL]); /* at most 253 bytes */
