/* sha256: NIST's examples (FIPS 180-4, and the million times a), in bytes and in digits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "broker/sha256.h"
#include "hallpass/cleanup.h"

static void test_sha256_says_what_the_standard_says(void **state) {
	static const struct {
		const char *text, *hex;
	} cases[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	char *million = malloc(1000000), hex[SHA256_HEX];
	uint8_t bytes[SHA256_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		sha256_hex(cases[i].text, strlen(cases[i].text), hex);
		assert_string_equal(hex, cases[i].hex);
	}
	assert_non_null(million);
	memset(million, 'a', 1000000);
	sha256_hex(million, 1000000, hex);
	assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	sha256(million, 1000000, bytes);
	assert_int_equal(bytes[0], 0xcd);
	assert_int_equal(bytes[31], 0xd0);
	free(million);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256_says_what_the_standard_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
