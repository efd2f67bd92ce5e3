/* Keys, callers, targets, tokens. See google.h. */

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "tests/google/google.h"

#define SA(name) name "@acme-ml.iam.gserviceaccount.com"
#define BROKER SA("hallpass-broker")
#define DELEGATE SA("hallpass-delegate")
#define BATCH SA("ml-batch-sa") /* under the organisation's 12 h constraint */
#define USER "alice@example.com"
#define SUBJECT "federated-subject"

int64_t world_now(const struct world *world) {
	return (int64_t)time(NULL) + world->clock_offset;
}

/* --- base64, with or without the URL's alphabet */

char *base64_encode(const void *data, size_t n, bool url) {
	char *out = malloc(4 * ((n + 2) / 3) + 1);
	int len = EVP_EncodeBlock((unsigned char *)out, data, (int)n);

	if (!url)
		return out;
	for (int i = 0; i < len; i++)
		out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
	while (len && out[len - 1] == '=')
		out[--len] = '\0';
	return out;
}

int base64_decode(const char *text, bool url, unsigned char **out, size_t *n) {
	size_t len = strlen(text), padded = (len + 3) / 4 * 4, padding;
	char *copy = malloc(padded + 1);
	int r;

	for (size_t i = 0; i < padded; i++) {
		char c = i < len ? text[i] : '=';

		copy[i] = url && c == '-' ? '+' : url && c == '_' ? '/' : c;
	}
	copy[padded] = '\0';
	*out = malloc(padded + 1);
	r = EVP_DecodeBlock(*out, (unsigned char *)copy, (int)padded);
	padding = padded && copy[padded - 1] == '=' ? copy[padded - 2] == '=' ? 2 : 1 : 0;
	free(copy);
	if (r < (int)padding) {
		free(*out);
		*out = NULL;
		return -1;
	}
	*n = (size_t)r - padding;
	(*out)[*n] = '\0';
	return 0;
}

/* --- JWT */

char *rs256(EVP_PKEY *key, const void *data, size_t n, bool url) {
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[1024];
	size_t len = sizeof(sig);
	int ok = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) && EVP_DigestSign(ctx, sig, &len, data, n);

	EVP_MD_CTX_free(ctx);
	return ok ? base64_encode(sig, len, url) : NULL;
}

char *jwt_sign(EVP_PKEY *key, const char *key_id, json_t *claims) {
	json_t *header = json_pack("{s:s, s:s, s:s}", "alg", "RS256", "typ", "JWT", "kid", key_id);
	char *h = json_dumps(header, JSON_COMPACT), *c = json_dumps(claims, JSON_COMPACT), *input = NULL, *token = NULL, *sig;
	char *h64 = base64_encode(h, strlen(h), true), *c64 = base64_encode(c, strlen(c), true);

	if (asprintf(&input, "%s.%s", h64, c64) < 0)
		abort();
	sig = rs256(key, input, strlen(input), true);
	if (asprintf(&token, "%s.%s", input, sig) < 0)
		abort();
	free(sig), free(input), free(c64), free(h64), free(c), free(h);
	json_decref(header);
	return token;
}

static json_t *jwt_part(const char *from, size_t n) {
	char *text = strndup(from, n);
	unsigned char *data = NULL;
	json_t *json = NULL;
	size_t len;

	if (base64_decode(text, true, &data, &len) == 0)
		json = json_loadb((char *)data, len, JSON_REJECT_DUPLICATES, NULL);
	free(data);
	free(text);
	return json;
}

json_t *jwt_claims(const char *token) {
	const char *a = strchr(token, '.'), *b = a ? strchr(a + 1, '.') : NULL;

	return b ? jwt_part(a + 1, (size_t)(b - a) - 1) : NULL;
}

json_t *jwt_verify(EVP_PKEY *key, const char *key_id, const char *token) {
	const char *a = strchr(token, '.'), *b = a ? strchr(a + 1, '.') : NULL;
	json_t *header = b ? jwt_part(token, (size_t)(a - token)) : NULL, *claims = NULL;
	const char *alg = json_string_value(json_object_get(header, "alg"));
	const char *kid = json_string_value(json_object_get(header, "kid"));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *sig = NULL;
	size_t n = 0;

	if (alg && !strcmp(alg, "RS256") && kid && !strcmp(kid, key_id) && base64_decode(b + 1, true, &sig, &n) == 0 &&
	    EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestVerify(ctx, sig, n, (const unsigned char *)token, (size_t)(b - token)) == 1)
		claims = jwt_claims(token);
	free(sig);
	EVP_MD_CTX_free(ctx);
	json_decref(header);
	return claims;
}

/* --- callers and grants */

struct caller *world_caller(struct world *world, const char *name) {
	for (size_t i = 0; i < world->n_callers; i++)
		if (!strcmp(world->callers[i].name, name))
			return &world->callers[i];
	return NULL;
}

/* Benchmarks need more accounts than one can list. */
static bool is_bench_account(const char *target) {
	size_t digits = strncmp(target, "bench-", 6) ? 0 : strspn(target + 6, "0123456789");

	return digits && !strcmp(target + 6 + digits, "@acme-ml.iam.gserviceaccount.com");
}

static struct grant *grant_find(struct world *world, const char *caller, const char *target) {
	for (size_t i = 0; i < world->n_grants; i++)
		if (!strcmp(world->grants[i].target, target) && !strcmp(world->grants[i].caller, caller))
			return &world->grants[i];
	return NULL;
}

const struct grant *world_grant(struct world *world, const char *caller, const char *target) {
	static const struct grant bench = { .access_token = true, .id_token = true, .sign = true, .delegation = true };

	return is_bench_account(target) ? &bench : grant_find(world, caller, target);
}

struct grant *world_grant_set(struct world *world, const char *caller, const char *target) {
	struct grant *g = grant_find(world, caller, target);

	if (g)
		return g;
	if (world->n_grants == MAX_GRANTS)
		return NULL;
	g = &world->grants[world->n_grants++];
	*g = (struct grant){ 0 };
	snprintf(g->caller, sizeof(g->caller), "%s", caller);
	snprintf(g->target, sizeof(g->target), "%s", target);
	return g;
}

static void grant_all(struct world *world, const char *caller, const char *target, bool extended) {
	struct grant *g = world_grant_set(world, caller, target);

	g->access_token = g->id_token = g->sign = g->delegation = true;
	g->extended = extended;
}

/* Each caller may use the same accounts, one of them alone one more, and some go only through others. */
void world_grants_reset(struct world *world) {
	static const char *const targets[] = { SA("ml-training-dev-sa"), SA("ml-training-prod-sa"), SA("ml-labeling-dev-sa"), BATCH };

	world->n_grants = 0;
	for (size_t i = 0; i <= world->n_callers; i++) {
		const char *caller = i < world->n_callers ? world->callers[i].name : DELEGATE;

		for (size_t k = 0; k < sizeof(targets) / sizeof(targets[0]); k++)
			grant_all(world, caller, targets[k], !strcmp(targets[k], BATCH));
		if (i < world->n_callers)
			grant_all(world, caller, DELEGATE, false);
	}
	grant_all(world, BROKER, SA("ml-broker-only-sa"), false);
	grant_all(world, DELEGATE, SA("hallpass-delegate-2"), false);
	grant_all(world, SA("hallpass-delegate-2"), SA("ml-delegated-sa"), false);
}

/* Made late: most tests sign nothing, and a key takes its time. */
EVP_PKEY *world_signer(struct world *world) {
	if (!world->signer)
		world->signer = EVP_RSA_gen(2048);
	return world->signer;
}

int world_make(struct world *world) {
	struct caller *c = &world->callers[0];

	world->minted = calloc(MAX_MINTED, sizeof(*world->minted));
	world->counters = json_object();
	world->last = json_object();
	world->seen = json_array();
	snprintf(c->name, sizeof(c->name), BROKER);
	snprintf(c->key_id, sizeof(c->key_id), "standin0123456789abcdef");
	c->key = EVP_RSA_gen(2048);
	snprintf(c[1].name, sizeof(c[1].name), USER);
	snprintf(c[1].refresh_token, sizeof(c[1].refresh_token), "1//standin-refresh-token");
	snprintf(c[2].name, sizeof(c[2].name), SUBJECT);
	snprintf(c[2].subject_token, sizeof(c[2].subject_token), "standin-subject-token");
	world->n_callers = 3;
	world_grants_reset(world);
	return world->minted && c->key ? 0 : -1;
}

/* --- files */

static int write_json(const struct world *world, const char *name, json_t *json) {
	char path[640];
	int r;

	snprintf(path, sizeof(path), "%s/%s", world->dir, name);
	r = json_dump_file(json, path, JSON_INDENT(2));
	chmod(path, 0600);
	json_decref(json);
	return r;
}

static int write_text(const struct world *world, const char *name, const char *text) {
	char path[640];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", world->dir, name);
	f = fopen(path, "w");
	if (!f)
		return -1;
	fputs(text, f);
	return fclose(f);
}

json_t *world_key_file(const struct world *world, const struct caller *c) {
	BIO *bio = BIO_new(BIO_s_mem());
	json_t *json;
	char *pem, uri[200];
	long n;

	PEM_write_bio_PKCS8PrivateKey(bio, c->key, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(bio, &pem);
	snprintf(uri, sizeof(uri), "%s/token", world->url);
	json = json_pack("{s:s, s:s, s:s, s:s%, s:s, s:s, s:s, s:s}", "type", "service_account", "project_id", "acme-ml",
			 "private_key_id", c->key_id, "private_key", pem, (size_t)n, "client_email", c->name, "client_id",
			 "100000000000000000001", "token_uri", uri, "universe_domain", "googleapis.com");
	BIO_free(bio);
	return json;
}

int world_write(struct world *world) {
	char path[640], sts[200], subject[200];
	int r;

	mkdir(world->dir, 0700);
	snprintf(path, sizeof(path), "%s/subject-token", world->dir);
	snprintf(sts, sizeof(sts), "%s/sts/v1/token", world->url);
	snprintf(subject, sizeof(subject), "%s", world->callers[2].subject_token);
	r = write_json(world, "broker-key.json", world_key_file(world, &world->callers[0]));
	r |= write_json(world, "authorized_user.json",
			json_pack("{s:s, s:s, s:s, s:s}", "type", "authorized_user", "client_id", "standin-client",
				  "client_secret", "standin-secret", "refresh_token", world->callers[1].refresh_token));
	r |= write_json(world, "external_account.json",
			json_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "type", "external_account", "audience",
				  "//iam.googleapis.com/locations/global/workloadIdentityPools/p/providers/q",
				  "subject_token_type", "urn:ietf:params:oauth:token-type:jwt", "token_url", sts,
				  "credential_source", "file", path));
	r |= write_text(world, "subject-token", subject);
	/* Last: who waits for this file finds the others complete. */
	snprintf(path, sizeof(path), "%s/.url", world->dir);
	r |= write_text(world, ".url", world->url);
	snprintf(subject, sizeof(subject), "%.190s/url", world->dir);
	return r | rename(path, subject);
}

/* --- tokens */

const struct minted *world_mint(struct world *world, const char *holder, int64_t lifetime_s, bool cloud) {
	struct minted *m = &world->minted[world->n_minted % MAX_MINTED];
	unsigned char random[24], md[32];

	world->n_minted++;
	free(m->token);
	RAND_bytes(random, sizeof(random));
	m->token = malloc(80 + world->token_bytes);
	strcpy(m->token, "ya29.standin-");
	for (size_t i = 0; i < sizeof(random); i++)
		sprintf(m->token + 13 + 2 * i, "%02x", random[i]);
	while (strlen(m->token) < world->token_bytes)
		strcat(m->token, ".");
	SHA256((unsigned char *)m->token, strlen(m->token), md);
	for (size_t i = 0; i < sizeof(md); i++)
		sprintf(m->sha256 + 2 * i, "%02x", md[i]);
	snprintf(m->holder, sizeof(m->holder), "%s", holder);
	m->expires_at = world_now(world) + lifetime_s;
	m->cloud = cloud;
	return m;
}

const struct minted *world_find_ever(const struct world *world, const char *token) {
	size_t n = world->n_minted < MAX_MINTED ? world->n_minted : MAX_MINTED;

	/* The broker's own tokens are few and early; minted ones are many and late. */
	for (size_t i = 0; token && i < n; i++)
		if (!strcmp(world->minted[i].token, token))
			return &world->minted[i];
	return NULL;
}

const struct minted *world_find(const struct world *world, const char *token) {
	const struct minted *m = world_find_ever(world, token);

	return m && m->expires_at > world_now(world) ? m : NULL;
}
