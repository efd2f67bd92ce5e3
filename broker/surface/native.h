#pragma once

/*
 * The native API (include/hallpass/api.h): JSON over HTTP/1.1, for `hallpass` and whoever writes a client.
 *
 * Translates only: bytes to a struct ask, an outcome to bytes. Holds no rule.
 */

#include "broker/conn.h"
#include "hallpass/error.h"

struct broker;
struct native;

/* Gives the handler to hang under a conn_server. Borrows the broker. */
int native_new(struct broker *broker, struct native **out, struct conn_handler *handler, struct error *err);
void native_free(struct native *native); /* after the conn_server; takes NULL */
