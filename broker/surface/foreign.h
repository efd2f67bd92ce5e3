#pragma once

/*
 * What no program of this machine sends: the marks of web pages and proxies, and names that are not ours.
 *
 * A page in the developer's browser reaches every port on loopback, and one whose name was rebound to 127.0.0.1 may read
 * what it gets. The first shows by fields that only browsers send, the second, which sends none of them, by its Host.
 * No rule and no caller here: a request that is foreign is nobody's.
 */

#include <stdbool.h>
#include <stdint.h>
#include "broker/http.h"
#include "hallpass/error.h"

/*
 * Origin, Referer, Sec-Fetch-*, X-Forwarded-For, Forwarded, Via: the name of the first such field; n = 0: there is none. Who
 * asks is the kernel's word, not a proxy's.
 */
struct str foreign_field(const struct http_request *request);
/* Fills err for it: ERR_DENIED. */
void foreign_field_error(struct str field, struct error *err);

/* 0: the body is JSON by its type, which a page cannot send without asking first. -1: err says what it must be. */
int body_is_json(const struct http_request *request, struct error *err);

/*
 * Whether a Host is that of a TCP port of ours: 127.0.0.1, localhost or [::1] with exactly this port, or the metadata
 * server's names, without a port or with 80, as clients send them that were led here by other means. A page of a name that its
 * owner's DNS leads here has that name, or, where it takes the metadata server's, the port that it came by.
 */
bool host_is_ours(struct str host, uint16_t port);
