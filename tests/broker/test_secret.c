/* secret: copies, wipes, compares, stays out of core files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/json_reserve.h"
#include "broker/secret.h"

static void test_secret_holds_and_forgets(void **state) {
	struct secret s = { 0 };

	(void)state;
	assert_int_equal(secret_set(&s, "ya29.abc", 8), 0);
	assert_string_equal(s.data, "ya29.abc");
	assert_int_equal(s.len, 8);
	assert_int_equal(secret_set(&s, "other", 5), 0);
	assert_string_equal(s.data, "other");
	assert_int_equal(s.len, 5);
	secret_fini(&s);
	assert_null(s.data);
	assert_int_equal(s.len, 0);
}

/* Short and long ones beside each other, and each place used again: none touches another, all end wiped. */
static void test_secret_keeps_many_apart(void **state) {
	static const size_t lengths[] = { 0, 1, 200, 2047, 2048, 2049, 5000, 20000 };
	struct secret secrets[100] = { 0 };
	char text[20000];
	char *place;

	(void)state;
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < 100; i++) {
			memset(text, (int)('a' + (i + round) % 26), sizeof(text));
			assert_int_equal(secret_set(&secrets[i], text, lengths[(i + round) % 8]), 0);
		}
		for (size_t i = 0; i < 100; i++) {
			memset(text, (int)('a' + (i + round) % 26), sizeof(text));
			assert_int_equal(secrets[i].len, lengths[(i + round) % 8]);
			assert_memory_equal(secrets[i].data, text, secrets[i].len);
			assert_int_equal(secrets[i].data[secrets[i].len], 0);
		}
	}
	for (size_t i = 0; i < 100; i++) {
		place = secrets[i].data;
		if (secrets[i].len == 200) {
			secret_fini(&secrets[i]);
			for (size_t k = sizeof(void *); k < 200; k++) /* its first bytes are the list's now */
				assert_int_equal(place[k], 0);
		}
		secret_fini(&secrets[i]);
	}
}

/* The kernel's own word: "dd" in VmFlags is MADV_DONTDUMP, "wf" wipe on fork. */
static void test_secret_is_left_out_of_core_files(void **state) {
	struct secret s = { 0 };
	char line[512];
	unsigned long from, to;
	int in = 0, seen = 0;
	FILE *f;

	(void)state;
	assert_int_equal(secret_set(&s, "x", 1), 0);
	f = fopen("/proc/self/smaps", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &from, &to) == 2)
			in = from <= (unsigned long)s.data && (unsigned long)s.data < to;
		if (in && !strncmp(line, "VmFlags:", 8)) {
			seen = strstr(line, " dd") && strstr(line, " wf");
			break;
		}
	}
	fclose(f);
	assert_true(seen);
	secret_fini(&s);
}

static void test_secret_libraries_wipe_what_they_free(void **state) {
	json_malloc_t json_malloc;
	json_free_t json_free;
	CRYPTO_free_fn crypto_free;
	CRYPTO_malloc_fn crypto_malloc;
	CRYPTO_realloc_fn crypto_realloc;
	char *p;

	(void)state;
	secret_libraries();
	json_get_alloc_funcs(&json_malloc, &json_free);
	assert_ptr_equal(json_free, json_reserve_free); /* which is wipe_free(), but for what is of the reserve */
	CRYPTO_get_mem_functions(&crypto_malloc, &crypto_realloc, &crypto_free);
	assert_ptr_not_equal(crypto_free, CRYPTO_free);
	/* They allocate, grow and free as ever. */
	p = OPENSSL_malloc(8);
	assert_non_null(p);
	memcpy(p, "1234567", 8);
	p = OPENSSL_realloc(p, 100000);
	assert_string_equal(p, "1234567");
	OPENSSL_free(p);
	OPENSSL_free(NULL);
	json_decref(json_loads("{\"a\": [\"b\"]}", 0, NULL));
}

static void test_secret_wipe_realloc_keeps_what_fits(void **state) {
	char *p = wipe_realloc(NULL, 16);

	(void)state;
	memcpy(p, "0123456789abcde", 16);
	p = wipe_realloc(p, 4096);
	assert_string_equal(p, "0123456789abcde");
	p = wipe_realloc(p, 8);
	assert_memory_equal(p, "01234567", 8);
	wipe_free(p);
	wipe_free(NULL);
	wipe(NULL, 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_holds_and_forgets),
		cmocka_unit_test(test_secret_keeps_many_apart),
		cmocka_unit_test(test_secret_is_left_out_of_core_files),
		cmocka_unit_test(test_secret_wipe_realloc_keeps_what_fits),
		cmocka_unit_test(test_secret_libraries_wipe_what_they_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
