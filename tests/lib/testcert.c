/* See testcert.h. */

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/lib/testcert.h"

static void add_extension(X509 *cert, const X509 *issuer, int nid, const char *value) {
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, (X509 *)issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert(ext);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

static void write_files(struct testcert *out) {
	FILE *f;

	snprintf(out->dir, sizeof(out->dir), "/tmp/hallpass-cert-XXXXXX");
	assert(mkdtemp(out->dir));
	snprintf(out->cert_file, sizeof(out->cert_file), "%s/cert.pem", out->dir);
	snprintf(out->key_file, sizeof(out->key_file), "%s/key.pem", out->dir);
	f = fopen(out->cert_file, "we");
	assert(f && PEM_write_X509(f, out->cert) == 1);
	fclose(f);
	f = fopen(out->key_file, "we");
	assert(f && PEM_write_PrivateKey(f, out->key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(f);
}

static void make(struct testcert *out, const struct testcert *ca, const char *name, const char *san, int days) {
	static long serial = 1;
	X509_NAME *subject;

	out->key = EVP_EC_gen("P-256");
	out->cert = X509_new();
	assert(out->key && out->cert);
	X509_set_version(out->cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(out->cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(out->cert), -2 * 86400);
	X509_gmtime_adj(X509_getm_notAfter(out->cert), days * 86400L);
	X509_set_pubkey(out->cert, out->key);
	subject = X509_get_subject_name(out->cert);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(out->cert, ca ? X509_get_subject_name(ca->cert) : subject);
	if (san)
		add_extension(out->cert, ca->cert, NID_subject_alt_name, san);
	else
		add_extension(out->cert, out->cert, NID_basic_constraints, "critical,CA:TRUE");
	X509_sign(out->cert, ca ? ca->key : out->key, EVP_sha256());
	write_files(out);
}

void testcert_ca(struct testcert *out) {
	static unsigned n;
	char name[64];

	/* Two CAs of one name make OpenSSL report a broken signature instead of an unknown issuer. */
	snprintf(name, sizeof(name), "hallpass test CA %u", ++n);
	make(out, NULL, name, NULL, 1);
}

void testcert_server(struct testcert *out, const struct testcert *ca, const char *san, int days) {
	make(out, ca, "hallpass test server", san, days);
}

void testcert_fini(struct testcert *cert) {
	unlink(cert->cert_file);
	unlink(cert->key_file);
	rmdir(cert->dir);
	X509_free(cert->cert);
	EVP_PKEY_free(cert->key);
}

char *testkey_rsa_pem(unsigned bits) {
	EVP_PKEY *key = EVP_RSA_gen(bits);
	BIO *bio = BIO_new(BIO_s_mem());
	char *at, *pem;
	long n;

	assert(key && bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
	n = BIO_get_mem_data(bio, &at);
	pem = strndup(at, (size_t)n);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return pem;
}
