#pragma once

/* Throw-away certificates and keys, in files of a temporary directory each. Nothing of it is kept in the repository. */

#include <openssl/evp.h>
#include <openssl/x509.h>

struct testcert {
	char dir[64], cert_file[96], key_file[96];
	EVP_PKEY *key;
	X509 *cert;
};

void testcert_ca(struct testcert *out);
/* san: "DNS:…" or "IP:…"; days -1: over since yesterday. */
void testcert_server(struct testcert *out, const struct testcert *ca, const char *san, int days);
void testcert_fini(struct testcert *cert);

/* An RSA key of so many bits as PKCS #8 PEM; malloc'd. */
char *testkey_rsa_pem(unsigned bits);
