/* secret_libraries(). Apart, because the command does without it and the libcrypto that it would link. See secret.h. */

#include <openssl/crypto.h>
#include <stdlib.h>
#include "broker/json_reserve.h"
#include "broker/secret.h"

static void *crypto_malloc(size_t size, const char *file, int line) {
	(void)file, (void)line;
	return malloc(size);
}

static void *crypto_realloc(void *p, size_t size, const char *file, int line) {
	(void)file, (void)line;
	return wipe_realloc(p, size);
}

static void crypto_free(void *p, const char *file, int line) {
	(void)file, (void)line;
	wipe_free(p);
}

void secret_libraries(void) {
	json_reserve_use();
	CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free);
	/* Its tables of error texts take 100 KiB, and nobody shows them: libssl's and those of certificates are others. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS, NULL);
}
