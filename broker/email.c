/* See email.h. */

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
