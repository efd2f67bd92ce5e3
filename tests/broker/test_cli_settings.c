/* settings: what Python's configparser would find there, but for what is unwanted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "broker/cli/keep.h"
#include "hallpass/cleanup.h"

static void test_settings_leave_out_sections_and_keys(void **state) {
	static const struct unwanted unwanted[] = { { "auth", NULL }, { "core", "account" }, { NULL, NULL } };
	static const struct {
		const char *text, *kept;
	} cases[] = {
		{ "", "" },
		{ "default", "default" }, /* not a byte more */
		{ "[core]\nproject = p\n", "[core]\nproject = p\n" },
		{ "[core]\naccount = a\nproject = p", "[core]\nproject = p" },
		{ "[core]\r\naccount = a\r\nproject = p\r\n", "[core]\r\nproject = p\r\n" },
		{ "[core]\nACCOUNT: a\nAccount=a\n account=a\n", "[core]\n" },
		{ "[core]\naccounts = a\n", "[core]\naccounts = a\n" },
		{ "[other]\naccount = a\n", "[other]\naccount = a\n" },
		{ "[auth]\nx = 1\n[other]\ny = 2\n", "[other]\ny = 2\n" },
		{ "[Auth]\nx = 1\n", "[Auth]\nx = 1\n" }, /* another one */
		/* A value goes on in what is indented more, whatever it looks like. */
		{ "[core]\naccount =\n  a\n\n  [compute]\n  project = x\nproject = p\n", "[core]\nproject = p\n" },
		{ "[core]\nproject =\n  account = x\n", "[core]\nproject =\n  account = x\n" },
		/* Behind a section nothing goes on: what is indented is a key, or a section, as any other. */
		{ "[core]\n  account = a\n  project = p\n", "[core]\n  project = p\n" },
		{ "[compute]\n  [core]\naccount = a\n", "[compute]\n  [core]\n" },
		{ "  [core]\naccount = a\n", "  [core]\n" },
		{ "[compute]\n[core] ; why not\naccount = a\n", "[compute]\n[core] ; why not\n" },
		{ "[core]\n# account = a\n; x\naccount = a\n# about it\nproject = p\n", "[core]\n# account = a\n; x\nproject = p\n" },
		{ "[core]\naccount\nproject\n", "[core]\nproject\n" },
		{ "[core]\n[]\n[\naccount = a\n", "[core]\n[]\n[\n" },
		{ "account = a\n[core]\n", "account = a\n[core]\n" }, /* Python takes no such file at all */
	};
	struct buf out = BUF_INIT(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_reset(&out);
		buf_adds(&out, "");
		settings_copy(str_of(cases[i].text), unwanted, &out);
		if (strcmp(out.data, cases[i].kept))
			fail_msg("%s\n->\n%s", cases[i].text, out.data);
	}
	buf_fini(&out);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings_leave_out_sections_and_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
