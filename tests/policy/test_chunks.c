/* chunks: pieces that never move, aligned, and freed all at once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "policy/chunks.h"

static void test_chunks_give_pieces_that_neither_move_nor_overlap(void **state) {
	enum { N = 4000 };
	static unsigned char *pieces[N];
	static size_t sizes[N];
	struct chunks chunks = { 0 };
	unsigned seed = 1;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		size_t align = (size_t)1 << seed % 5;

		seed = seed * 1103515245 + 12345;
		sizes[i] = i % 500 == 499 ? 100000 : (seed >> 16) % 300; /* some larger than a chunk */
		pieces[i] = chunks_get(&chunks, sizes[i], align);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % align, 0);
		memset(pieces[i], (int)(i % 251), sizes[i]);
	}
	for (unsigned i = 0; i < N; i++)
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(pieces[i][k], i % 251);
	chunks_fini(&chunks);
	assert_null(chunks.last);
}

static void test_chunks_copy(void **state) {
	struct chunks chunks = { 0 };
	const uint64_t numbers[] = { 1, 2, 3 };
	uint64_t *copy = chunks_copy(&chunks, numbers, sizeof(numbers), _Alignof(uint64_t));

	(void)state;
	assert_memory_equal(copy, numbers, sizeof(numbers));
	assert_ptr_not_equal(copy, numbers);
	assert_string_equal(chunks_str(&chunks, "hallpass", 4), "hall");
	assert_string_equal(chunks_str(&chunks, NULL, 0), "");
	assert_non_null(chunks_copy(&chunks, NULL, 0, 1));
	chunks_fini(&chunks);
}

static void test_chunks_refuse_what_there_is_no_memory_for(void **state) {
	struct chunks chunks = { 0 };

	(void)state;
	assert_null(chunks_get(&chunks, SIZE_MAX, 1));
	assert_non_null(chunks_get(&chunks, 1, 1));
	assert_null(chunks_get(&chunks, SIZE_MAX, 1));
	assert_null(chunks_copy(&chunks, "", SIZE_MAX, 1));
	assert_null(chunks_str(&chunks, "", SIZE_MAX - 1));
	assert_non_null(chunks_get(&chunks, 1, 1));
	chunks_fini(&chunks);
	chunks_fini(&chunks);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunks_give_pieces_that_neither_move_nor_overlap),
		cmocka_unit_test(test_chunks_copy),
		cmocka_unit_test(test_chunks_refuse_what_there_is_no_memory_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
