// See re2_shim.h. RE2 throws where memory runs out; nothing may be thrown through C.

#include <cstdio>
#include <new>
#include <re2/re2.h>
#include "policy/no_memory.h"
#include "policy/re2_shim.h"

void *re2_shim_new(const char *pattern, size_t n, long long max_memory, char *why, size_t why_size) {
	RE2::Options options;
	options.set_log_errors(false);
	options.set_never_capture(true);
	options.set_max_mem(max_memory);
	try {
		RE2 *re = new RE2(re2::StringPiece(pattern, n), options);
		if (re->ok())
			return re;
		snprintf(why, why_size, "%s", re->error().c_str());
		delete re;
	} catch (const std::bad_alloc &) {
		note_no_memory();
		snprintf(why, why_size, "out of memory");
	}
	return nullptr;
}

int re2_shim_search(const void *re, const char *text, size_t n) {
	try {
		return RE2::PartialMatch(re2::StringPiece(text, n), *static_cast<const RE2 *>(re));
	} catch (const std::bad_alloc &) {
		note_no_memory();
		return -1;
	}
}

void re2_shim_free(void *re) {
	delete static_cast<RE2 *>(re);
}
