/* See email.h. */

#include <stdio.h>
#include <string.h>
#include "broker/email.h"

static bool is_email(struct str s) {
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";
	size_t at = 0, end;

	while (at < s.n && memchr(plain, s.p[at], sizeof(plain) - 1))
		at++;
	if (at == 0 || at == s.n || s.p[at] != '@' || at + 1 == s.n || s.p[at + 1] == '.')
		return false;
	for (end = at + 1; end < s.n; end++)
		if (!memchr(plain, s.p[end], sizeof(plain) - 1) || (s.p[end] == '.' && s.p[end - 1] == '.'))
			return false;
	return memchr(s.p + at, '.', s.n - at) != NULL;
}

int email_check(struct str email, const char *name, struct error *err) {
	if (email.n <= EMAIL_MAX && is_email(email))
		return 0;
	return error_set(err, ERR_INVALID,
			 "%s must be a service account's e-mail in lower case, like "
			 "name@project.iam.gserviceaccount.com, not \"%.*s\"",
			 name, (int)(email.n > 100 ? 100 : email.n), email.p ? email.p : "");
}

bool email_project(const char *email, char *out, size_t size) {
	static const char domain[] = ".iam.gserviceaccount.com";
	const char *at = strchr(email, '@'), *end = at ? strstr(at, domain) : NULL;

	return end && !end[strlen(domain)] && snprintf(out, size, "%.*s", (int)(end - at - 1), at + 1) < (int)size;
}
