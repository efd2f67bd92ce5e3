/* E-mail addresses and domains: by hand, and side by side with the rules written down one after the other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "policy/email.h"

#define TEXTS 300000
#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_email_by_hand(void **state) {
	static const struct {
		const char *text, *canonical; /* NULL: it is none */
	} rows[] = {
		{ "alice@example.com", "alice@example.com" },
		{ "Alice.B@EXAMPLE.Com", "alice.b@example.com" },
		{ "ml-dev-sa@acme-ml.iam.gserviceaccount.com", "ml-dev-sa@acme-ml.iam.gserviceaccount.com" },
		{ "-@a.b", "-@a.b" },
		{ "a!#$%&'+/=?^_`{|}~-z@a--b.c", "a!#$%&'+/=?^_`{|}~-z@a--b.c" },
		{ "ALICE@LocalHost", "alice@localhost" },
		{ A63 "a@" A63 ".b", A63 "a@" A63 ".b" },
		{ A63 "aa@a.b", NULL },	    { "a@" A63 "a.b", NULL },	  { "a@b." A63 "a", NULL },   { "", NULL },
		{ "@a.b", NULL },	    { "a", NULL },		  { "a@", NULL },	      { "a@b", NULL },
		{ "a@xlocalhost", NULL },   { "a@localhost.", NULL },	  { "a@b.", NULL },	      { "a@.b", NULL },
		{ "a@b..c", NULL },	    { "a@-b.c", NULL },		  { "a@b-.c", NULL },	      { "a@b.c-", NULL },
		{ ".a@b.c", NULL },	    { "a.@b.c", NULL },		  { "a..b@b.c", NULL },	      { "a@b@c.d", NULL },
		{ "a b@c.d", NULL },	    { "a*@c.d", NULL },		  { "a@b_c.d", NULL },	      { "\xC3\xA9@c.d", NULL },
		{ "a@\xC3\xA9.d", NULL },   { "a\"@c.d", NULL },	  { "a,b@c.d", NULL },	      { "a@b.c\n", NULL },
	};
	char buf[MAX_EMAIL];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = email_canonical(rows[i].text, buf);

		if (n != (rows[i].canonical ? strlen(rows[i].canonical) : 0) || (n && strcmp(buf, rows[i].canonical)))
			fail_msg("%s: %zu", rows[i].text, n);
	}
}

static void test_email_of_any_length(void **state) {
	char text[MAX_EMAIL + 10] = "a@", buf[MAX_EMAIL];

	(void)state;
	for (size_t n = 2; n < sizeof(text) - 1; n++) {
		text[n] = n % 2 ? '.' : 'b';
		text[n + 1] = '\0';
		assert_int_equal(email_canonical(text, buf), n > 3 && n % 2 == 0 && n + 1 < MAX_EMAIL ? n + 1 : 0);
		assert_int_equal(domain_canonical(text + 2, buf), n > 3 && n % 2 == 0 && n - 1 <= 253 ? n - 1 : 0);
	}
}

/* ---- The rules, one after the other ---- */

static bool is_label_byte(char c) {
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_domain(const char *s) {
	size_t length = 0, labels = 1;

	if (!strcmp(s, "localhost"))
		return true;
	for (const char *p = s; *p; p++) {
		if (*p == '.') {
			if (length == 0 || p[-1] == '-')
				return false;
			labels++;
			length = 0;
		} else if (is_label_byte(*p) || (*p == '-' && length > 0)) {
			if (++length > 63)
				return false;
		} else {
			return false;
		}
	}
	return labels > 1 && length > 0 && s[strlen(s) - 1] != '-';
}

static bool is_email(const char *s) {
	const char *at = strchr(s, '@');
	size_t n = at ? (size_t)(at - s) : 0;

	if (n < 1 || n > 64 || s[0] == '.' || at[-1] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if ((!is_label_byte(s[i]) && !strchr(".!#$%&'+/=?^_`{|}~-", s[i])) || (s[i] == '.' && s[i + 1] == '.'))
			return false;
	return is_domain(at + 1);
}

static void test_email_is_what_the_rules_say(void **state) {
	static const char *const pieces[] = { "a", "B", "z9", "x-y", "a.b", "e.Com", ".", "-", "_", "!", "localhost", "@", " ", "*",
					      "\xC3\xA9", A63 };
	unsigned long n = getenv("HALLPASS_SLOW") ? TEXTS / 100 : TEXTS, good = 0;
	uint64_t seed = 20261126;

	(void)state;
	for (unsigned long i = 0; i < n; i++) {
		char text[700] = "", lower[700], buf[MAX_EMAIL];
		unsigned parts;

		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		parts = 2 + seed % 8;
		for (unsigned k = 0; k < parts; k++)
			strcat(text, k == 1 && seed % 3 ? "@" : pieces[(seed >> (8 + 5 * k)) % (k < 7 ? 12 + (seed & 4) : 12)]);
		for (size_t k = 0; (lower[k] = text[k] >= 'A' && text[k] <= 'Z' ? (char)(text[k] + 32) : text[k]); k++)
			;
		if (email_canonical(text, buf) != (is_email(lower) ? strlen(lower) : 0) || (is_email(lower) && strcmp(buf, lower)))
			fail_msg("%s: %d", text, is_email(lower));
		if (domain_canonical(text, buf) != (is_domain(lower) && strlen(lower) <= 253 ? strlen(lower) : 0))
			fail_msg("domain %s: %d", text, is_domain(lower));
		good += is_email(lower);
	}
	print_message("%lu of %lu texts were addresses\n", good, n);
	assert_true(good * 20 > n);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_email_by_hand),
		cmocka_unit_test(test_email_of_any_length),
		cmocka_unit_test(test_email_is_what_the_rules_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
