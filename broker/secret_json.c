/* secret_json(). Apart from secret_lib.c, for what has jansson and not OpenSSL: the command, whose `run`, `env` and `relay` live long. See secret.h. */

#include <jansson.h>
#include <stdlib.h>
#include "broker/secret.h"

void secret_json(void) {
	json_set_alloc_funcs(malloc, wipe_free);
}
