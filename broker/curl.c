/* See curl.h. */

#include <dlfcn.h>
#include "broker/curl.h"
#include "hallpass/cleanup.h"

#define LIBRARY "libcurl.so.4" /* the ABI of libcurl's headers since 2006 */

static const char *const names[] = {
#define CURL_NAME(name) "curl_" #name,
	CURL_FUNCTIONS(CURL_NAME)
#undef CURL_NAME
};

int curl_load(struct curl *out, struct error *err) {
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL), **functions = (void **)out;

	_Static_assert(sizeof(*out) == sizeof(void *) * ARRAY_SIZE(names), "a pointer each");
	for (size_t i = 0; library && i < ARRAY_SIZE(names); i++) {
		functions[i] = dlsym(library, names[i]);
		if (!functions[i])
			library = NULL;
	}
	if (library)
		return 0;
	*out = (struct curl){ 0 };
	return error_set(err, ERR_UNAVAILABLE, "no call to Google is possible: %s (Debian's package is libcurl4)", dlerror());
}
