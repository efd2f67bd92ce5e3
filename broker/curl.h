#pragma once

/*
 * libcurl, loaded when the first call to an upstream is made.
 *
 * With TLS, LDAP, Kerberos and what else Debian builds into it, it is thirty libraries: linked to hallpassd they would
 * be half of its memory at rest and slow its start, for a broker that may answer from its cache, or not at all, for hours.
 */

#define CURL_DISABLE_TYPECHECK /* its checks are macros around names that we do not link to */
#include <curl/curl.h>
#include "hallpass/error.h"

#define CURL_FUNCTIONS(X)                                                                                              \
	X(easy_cleanup) X(easy_getinfo) X(easy_header) X(easy_init) X(easy_setopt) X(easy_strerror) X(free) X(getdate) \
	X(global_cleanup) X(global_init_mem) X(multi_add_handle) X(multi_assign) X(multi_cleanup) X(multi_info_read)   \
	X(multi_init) X(multi_remove_handle) X(multi_setopt) X(multi_socket_action) X(url) X(url_cleanup) X(url_get)   \
	X(url_set)

/* libcurl's functions without its prefix. All NULL: not loaded. */
struct curl {
#define CURL_MEMBER(name) __typeof__(curl_##name) *name;
	CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
};

/* Several may load it; it stays until the process ends. ERR_UNAVAILABLE: what is missing. */
int curl_load(struct curl *out, struct error *err);
