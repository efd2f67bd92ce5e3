/* See sha256.h. */

#define OPENSSL_SUPPRESS_DEPRECATED
#include <assert.h>
#include <openssl/sha.h>
#include "broker/sha256.h"
#include "hallpass/hex.h"

void sha256(const void *data, size_t len, uint8_t out[SHA256_BYTES]) {
	SHA256_CTX ctx;
	int ok = SHA256_Init(&ctx) && SHA256_Update(&ctx, data, len) && SHA256_Final(out, &ctx);

	assert(ok);
}

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX]) {
	uint8_t digest[SHA256_BYTES];

	sha256(data, len, digest);
	hex_text(out, digest, sizeof(digest));
}
