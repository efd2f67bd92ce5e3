#pragma once

/*
 * SHA-256: of tokens, policies and the record's frames.
 *
 * By OpenSSL's function for the one algorithm: what finds algorithms by name would read its configuration at the start of
 * hallpassd, and would link all of libcrypto into the command, which is started for every token.
 */

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_HEX (2 * SHA256_BYTES + 1) /* with its NUL */

void sha256(const void *data, size_t len, uint8_t out[SHA256_BYTES]);
/* In lower-case hexadecimal digits. */
void sha256_hex(const void *data, size_t len, char out[SHA256_HEX]);
