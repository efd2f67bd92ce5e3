/* uri: paths in segments, queries in parameters; nothing decodes into a way around. */
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

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_path_takes_segments_apart),
		cmocka_unit_test(test_uri_parameter_finds_the_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
