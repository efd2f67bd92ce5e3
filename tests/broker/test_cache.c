/* cache: finds only what fits the request at hand, forgets the oldest, hashes as published. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/cache.h"

#define NOW 1800000000

static const uint64_t seed[2] = { 1, 2 };
static const char *const scopes[] = { "https://www.googleapis.com/auth/a", "https://www.googleapis.com/auth/b" };
static const char *const turned[] = { "https://www.googleapis.com/auth/b", "https://www.googleapis.com/auth/a" };
static const char *const twice[] = { "https://www.googleapis.com/auth/a", "https://www.googleapis.com/auth/a" };

static struct mint_spec spec_of(const char *principal) {
	return (struct mint_spec){ .permission = PERMISSION_GET_ACCESS_TOKEN, .principal = principal,
				   .target = "t@p.iam.gserviceaccount.com", .scopes = scopes, .n_scopes = 2,
				   .lifetime_s = 900, .expires_by = NOW + 900 };
}

static void add(struct cache *cache, const struct mint_spec *spec, int64_t ends_in_s) {
	struct token *token = calloc(1, sizeof(*token));

	assert_non_null(token);
	token->refs = 1;
	token->expires_at = NOW + ends_in_s;
	cache_add(cache, spec, token, NOW);
	token_unref(token);
}

/* Seconds that the found token lives after NOW; -1: none. */
static int64_t found(struct cache *cache, const struct mint_spec *spec, int64_t now, int64_t min_left_s) {
	const struct token *token = cache_find(cache, spec, now, min_left_s);

	return token ? token->expires_at - NOW : -1;
}

static void test_cache_siphash_is_the_published_function(void **state) {
	/* Appendix A of the paper: key 00..0f, message 00..0e, SipHash-2-4. */
	const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	unsigned char message[15];

	(void)state;
	for (unsigned i = 0; i < sizeof(message); i++)
		message[i] = (unsigned char)i;
	assert_true(siphash(key, 2, 4, message, sizeof(message)) == 0xa129ca6149be45e5);
}

static void test_cache_finds_only_what_fits(void **state) {
	struct cache *cache = cache_new(16, seed);
	struct mint_spec spec = spec_of("user:a@x");

	(void)state;
	add(cache, &spec, 300);
	add(cache, &spec, 900);
	add(cache, &spec, 600);
	assert_int_equal(found(cache, &spec, NOW, 60), 900);
	spec.expires_by = NOW + 899;
	assert_int_equal(found(cache, &spec, NOW, 60), 600);
	spec.expires_by = NOW + 300;
	assert_int_equal(found(cache, &spec, NOW, 60), 300);
	assert_int_equal(found(cache, &spec, NOW, 300), 300);
	assert_int_equal(found(cache, &spec, NOW, 301), -1);
	assert_int_equal(found(cache, &spec, NOW + 300, 0), -1);
	spec.expires_by = NOW + 299;
	assert_int_equal(found(cache, &spec, NOW, 0), -1);
	cache_free(cache);
}

static void test_cache_key_is_everything_but_the_lifetime(void **state) {
	static const char *const delegates[] = { "d@p", "e@p" }, *const turned_delegates[] = { "e@p", "d@p" };
	struct cache *cache = cache_new(16, seed);
	struct mint_spec spec = spec_of("user:a@x"), other;

	(void)state;
	spec.delegates = delegates;
	spec.n_delegates = 2;
	add(cache, &spec, 300);
	other = spec, other.lifetime_s = 5, other.scopes = turned;
	assert_int_equal(found(cache, &other, NOW, 0), 300);
	other = spec, other.principal = "user:b@x";
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	other = spec, other.target = "u@p.iam.gserviceaccount.com";
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	other = spec, other.n_scopes = 1;
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	other = spec, other.scopes = twice;
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	other = spec, other.delegates = turned_delegates;
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	other = spec, other.n_delegates = 0;
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	other = spec, other.permission = PERMISSION_GET_OPEN_ID_TOKEN;
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	other = spec, other.audience = "https://x";
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	other = spec, other.use_email_azp = true;
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	other = spec, other.include_email = true;
	assert_int_equal(found(cache, &other, NOW, 0), -1);
	cache_free(cache);
}

static void test_cache_keeps_four_per_key(void **state) {
	struct cache *cache = cache_new(16, seed);
	struct mint_spec spec = spec_of("user:a@x");

	(void)state;
	for (int64_t s = 100; s <= 600; s += 100)
		add(cache, &spec, s);
	assert_int_equal(cache_count(cache), 4);
	spec.expires_by = NOW + 299;
	assert_int_equal(found(cache, &spec, NOW, 0), -1);
	spec.expires_by = NOW + 300;
	assert_int_equal(found(cache, &spec, NOW, 0), 300);
	cache_free(cache);
}

static void test_cache_forgets_the_longest_unused(void **state) {
	struct cache *cache = cache_new(3, seed);
	struct mint_spec a = spec_of("user:a@x"), b = spec_of("user:b@x"), c = spec_of("user:c@x"), d = spec_of("user:d@x");

	(void)state;
	add(cache, &a, 100);
	add(cache, &b, 100);
	add(cache, &c, 100);
	assert_int_equal(found(cache, &a, NOW, 0), 100);
	add(cache, &d, 100);
	assert_int_equal(cache_count(cache), 3);
	assert_int_equal(found(cache, &b, NOW, 0), -1);
	assert_int_equal(found(cache, &a, NOW, 0), 100);
	add(cache, &d, 101);
	add(cache, &d, 102);
	assert_int_equal(cache_count(cache), 3);
	cache_free(cache);
}

static void test_cache_bound_of_nothing_and_of_one(void **state) {
	struct mint_spec a = spec_of("user:a@x");
	struct cache *cache = cache_new(0, seed);

	(void)state;
	add(cache, &a, 100);
	assert_int_equal(found(cache, &a, NOW, 0), -1);
	cache_free(cache);
	cache = cache_new(1, seed);
	add(cache, &a, 100);
	add(cache, &a, 200);
	assert_int_equal(cache_count(cache), 1);
	assert_int_equal(found(cache, &a, NOW, 0), 200);
	cache_free(cache);
}

static void test_cache_drops_what_is_over_without_being_asked(void **state) {
	struct cache *cache = cache_new(16, seed);
	struct mint_spec a = spec_of("user:a@x"), b = spec_of("user:b@x");

	(void)state;
	add(cache, &a, 0);
	add(cache, &b, 100);
	assert_int_equal(cache_count(cache), 1);
	cache_free(cache);
}

static void test_cache_holds_many(void **state) {
	struct cache *cache = cache_new(1000, seed);
	char principal[32];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(principal, sizeof(principal), "user:u%d@x", i);
		add(cache, &(struct mint_spec){ .principal = principal, .target = "t", .expires_by = NOW + 900 }, 100);
	}
	assert_int_equal(cache_count(cache), 1000);
	for (int i = 0; i < 5000; i++) {
		snprintf(principal, sizeof(principal), "user:u%d@x", i);
		assert_int_equal(found(cache, &(struct mint_spec){ .principal = principal, .target = "t",
								   .expires_by = NOW + 900 },
				       NOW, 0),
				 i < 4000 ? -1 : 100);
	}
	cache_free(cache);
}

static void test_cache_admits_one_refresh_in_a_while(void **state) {
	struct cache *cache = cache_new(16, seed);
	struct mint_spec a = spec_of("user:a@x");

	(void)state;
	assert_false(cache_admit_refresh(cache, &a, NOW, 5));
	add(cache, &a, 100);
	assert_true(cache_admit_refresh(cache, &a, NOW, 5));
	assert_false(cache_admit_refresh(cache, &a, NOW + 4, 5));
	assert_true(cache_admit_refresh(cache, &a, NOW + 5, 5));
	cache_free(cache);
}

static void test_cache_remembers_trouble_until_there_is_a_token(void **state) {
	struct cache *cache = cache_new(16, seed);
	struct mint_spec a = spec_of("user:a@x"), b = spec_of("user:b@x");

	(void)state;
	cache_note_trouble(cache, &a, NOW); /* of what is not cached nothing is remembered */
	add(cache, &a, 100);
	assert_false(cache_had_trouble(cache, &a, NOW, 5));
	cache_note_trouble(cache, &a, NOW);
	assert_true(cache_had_trouble(cache, &a, NOW, 5));
	assert_true(cache_had_trouble(cache, &a, NOW + 4, 5));
	assert_false(cache_had_trouble(cache, &a, NOW + 5, 5));
	assert_false(cache_had_trouble(cache, &a, NOW - 1, 5)); /* the clock was stepped */
	assert_false(cache_had_trouble(cache, &b, NOW, 5));
	add(cache, &a, 200);
	assert_false(cache_had_trouble(cache, &a, NOW, 5));
	cache_free(cache);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cache_siphash_is_the_published_function),
		cmocka_unit_test(test_cache_finds_only_what_fits),
		cmocka_unit_test(test_cache_key_is_everything_but_the_lifetime),
		cmocka_unit_test(test_cache_keeps_four_per_key),
		cmocka_unit_test(test_cache_forgets_the_longest_unused),
		cmocka_unit_test(test_cache_bound_of_nothing_and_of_one),
		cmocka_unit_test(test_cache_drops_what_is_over_without_being_asked),
		cmocka_unit_test(test_cache_holds_many),
		cmocka_unit_test(test_cache_admits_one_refresh_in_a_while),
		cmocka_unit_test(test_cache_remembers_trouble_until_there_is_a_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
