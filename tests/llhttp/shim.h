#pragma once

/* What llhttp makes of one request: see shim.c. */

#include <stddef.h>

struct llhttp_seen {
	int complete; /* one whole request; consumed says how long it was */
	size_t consumed;
	char refusal[64]; /* llhttp's own name for it, or "" */
	char method[32];
	int minor, keep_alive;
	char target[8192], fields[16384], body[65536];
	size_t target_len, fields_len, body_len;
};

void llhttp_see(const char *data, size_t len, struct llhttp_seen *out);
