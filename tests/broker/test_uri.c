/* uri: paths in segments, queries and forms in parameters; nothing decodes into a way around. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "broker/surface/uri.h"
#include "hallpass/cleanup.h"

static void test_uri_path_takes_segments_apart(void **state) {
	static const struct {
		const char *path, *joined; /* by |; NULL: refused */
		bool slash;
	} cases[] = {
		{ "/", "", true },
		{ "/a", "a", false },
		{ "/a/", "a", true },
		{ "/computeMetadata/v1/instance/", "computeMetadata|v1|instance", true },
		{ "/a%2Fb/c", "a/b|c", false }, /* a slash that is part of a name */
		{ "/sa%40p.iam", "sa@p.iam", false },
		{ "/sa@p.iam", "sa@p.iam", false },
		{ "/%C3%A4", "\xc3\xa4", false },
		{ "/a+b", "a+b", false },
		{ "", NULL, false },
		{ "a", NULL, false },
		{ "//", NULL, false },
		{ "/a//b", NULL, false },
		{ "/a/./b", NULL, false },
		{ "/a/../b", NULL, false },
		{ "/a/%2e%2E/b", NULL, false },
		{ "/a/%2e", NULL, false },
		{ "/a%00b", NULL, false },
		{ "/a%0Ab", NULL, false },
		{ "/a%7F", NULL, false },
		{ "/%C3", NULL, false },
		{ "/%ff", NULL, false },
		{ "/a%2", NULL, false },
		{ "/a%", NULL, false },
		{ "/a%zz", NULL, false },
		{ "/1/2/3/4/5/6/7/8/9/10/11/12", "1|2|3|4|5|6|7|8|9|10|11|12", false },
		{ "/1/2/3/4/5/6/7/8/9/10/11/12/13", NULL, false },
	};
	static struct uri_path path;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char joined[256] = "";
		bool ok = uri_path(str_of(cases[i].path), &path);

		for (size_t k = 0; ok && k < path.n; k++)
			sprintf(joined + strlen(joined), "%s%s", k ? "|" : "", path.segments[k]);
		if (ok != (cases[i].joined != NULL) || (ok && (strcmp(joined, cases[i].joined) || path.slash != cases[i].slash)))
			fail_msg("%s: %d %s %d", cases[i].path, ok, joined, path.slash);
	}
}

static void test_uri_parameter_finds_the_first(void **state) {
	static const struct {
		const char *query, *name;
		int r;
		const char *value;
	} cases[] = {
		{ "", "a", 0, "" },
		{ "a=1", "a", 1, "1" },
		{ "b=2&a=1&a=3", "a", 1, "1" },
		{ "a", "a", 1, "" },
		{ "a=", "a", 1, "" },
		{ "aa=1", "a", 0, "" },
		{ "&&a=1", "a", 1, "1" },
		{ "a=1=2", "a", 1, "1=2" },
		{ "scopes=a%2Cb,c", "scopes", 1, "a,b,c" },
		{ "audience=https://x/?y%26z", "audience", 1, "https://x/?y&z" },
		{ "a=b+c", "a", 1, "b+c" },
		{ "a=%0d%0aX", "a", -1, "" },
		{ "a=%00", "a", -1, "" },
		{ "a=%4", "a", -1, "" },
		{ "a=1234567890123456", "a", -1, "" }, /* does not fit */
		{ "a=123456789012345", "a", 1, "123456789012345" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char value[16] = "";
		char room[64];
		size_t size = strstr(cases[i].query, "1234") ? sizeof(value) : sizeof(room);
		char *out = size == sizeof(value) ? value : room;
		int r = uri_parameter(str_of(cases[i].query), cases[i].name, out, size);

		if (r != cases[i].r || (r > 0 && strcmp(out, cases[i].value)))
			fail_msg("%s: %d %s", cases[i].query, r, out);
	}
}

static void test_uri_form_has_each_name_once(void **state) {
	static const struct {
		const char *form, *name;
		int r;
		const char *value;
	} cases[] = {
		{ "", "a", 0, "" },
		{ "a=1&b=2", "b", 1, "2" },
		{ "a=", "a", 0, "" },
		{ "a", "a", 0, "" },
		{ "b=1", "a", 0, "" },
		{ "aa=1&b=a", "a", 0, "" },
		{ "&&a=1&", "a", 1, "1" },
		{ "scope=openid+https%3A%2F%2Fx%2Fy", "scope", 1, "openid https://x/y" },
		{ "scope=openid%20x", "scope", 1, "openid x" },
		{ "a=1%2B1", "a", 1, "1+1" },
		{ "subject%5Ftoken=t", "subject_token", 1, "t" },
		{ "a=1=2", "a", 1, "1=2" },
		{ "a=%C3%A4", "a", 1, "\xc3\xa4" },
		{ "a=1&a=1", "a", -1, "" },
		{ "a=1&%61=2", "a", -1, "" },
		{ "a=&a=1", "a", -1, "" },
		{ "a=%", "a", -1, "" },
		{ "a=%0a", "a", -1, "" },
		{ "a=%00", "a", -1, "" },
		{ "a=%ff", "a", -1, "" },
		{ "a=123456789012345678901234567890", "a", -1, "" }, /* does not fit */
		{ "a=1&%zz=2&%=3", "a", 1, "1" },		     /* somebody else's trouble */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char value[24] = "";
		int r = uri_form(str_of(cases[i].form), cases[i].name, value, sizeof(value));

		if (r != cases[i].r || (r > 0 && strcmp(value, cases[i].value)))
			fail_msg("%s: %d %s", cases[i].form, r, value);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_form_has_each_name_once),
		cmocka_unit_test(test_uri_path_takes_segments_apart),
		cmocka_unit_test(test_uri_parameter_finds_the_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
