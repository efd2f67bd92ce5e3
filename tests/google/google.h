#pragma once

/*
 * The Google stand-in: a test tool that plays Google's token endpoints on loopback, and so much of the APIs behind
 * them as clients need to show whose token they bring. Never part of the product.
 *
 * world.c knows keys, callers, targets and what was minted; endpoints.c answers as Google's token endpoints do; seen.c
 * judges and lists each bearer that the APIs hear; storage.c, apis.c and registry.c are these APIs; script.c makes
 * answers late, wrong or missing when a test asks for it; main.c is the server.
 */

#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_CALLERS 16
#define MAX_GRANTS 64
#define MAX_MINTED 400000

/* Who may ask the IAM Credentials API: a service account with its key, a user, a federated subject. */
struct caller {
	char name[256];		 /* e-mail or subject */
	EVP_PKEY *key;		 /* service accounts: their public key is known here */
	char key_id[64];
	char refresh_token[128]; /* users */
	char subject_token[128]; /* federated subjects */
};

/* A caller may do these on a target. */
struct grant {
	char caller[256], target[256];
	bool access_token, id_token, sign, delegation, extended; /* extended: the 12 h org policy constraint */
	bool see_policy; /* getIamPolicy */
};

struct minted {
	char *token;
	char sha256[65], holder[256]; /* whose identity it is */
	int64_t expires_at;
	bool cloud; /* its scopes allow it to call IAM Credentials */
};

struct rule;
struct object;

struct world {
	struct event_base *base;
	char dir[512], url[128];
	int64_t clock_offset;
	size_t token_bytes; /* an access token is at least so long */
	struct caller callers[MAX_CALLERS];
	size_t n_callers;
	struct grant grants[MAX_GRANTS];
	size_t n_grants;
	struct minted *minted;
	size_t n_minted;
	EVP_PKEY *signer; /* of ID tokens and signBlob, once it is needed */
	json_t *counters; /* calls by endpoint */
	json_t *last;	  /* last body by endpoint */
	size_t in_flight, max_in_flight;
	struct rule *rules;
	json_t *seen;		/* what seen.c heard */
	struct object *objects; /* what storage.c keeps */
	int64_t n_generations;
};

int64_t world_now(const struct world *world);
int world_make(struct world *world);  /* keys, callers, targets */
json_t *world_key_file(const struct world *world, const struct caller *caller); /* a new reference */
int world_write(struct world *world); /* the credential files into dir, once the URL is known */
struct caller *world_caller(struct world *world, const char *name);
const struct grant *world_grant(struct world *world, const char *caller, const char *target);
EVP_PKEY *world_signer(struct world *world);
void world_grants_reset(struct world *world); /* to what README.md says */
/* Changes what a caller may do, or adds it. NULL: no room. */
struct grant *world_grant_set(struct world *world, const char *caller, const char *target);
/* A fresh token for holder. Borrowed. */
const struct minted *world_mint(struct world *world, const char *holder, int64_t lifetime_s, bool cloud);
/* This token while it lives, or NULL. */
const struct minted *world_find(const struct world *world, const char *token);
/* The same, but also when it has expired. */
const struct minted *world_find_ever(const struct world *world, const char *token);

/* RS256. jwt_sign gives a malloc'd token. */
char *jwt_sign(EVP_PKEY *key, const char *key_id, json_t *claims);
/* The claims of a token signed by that key, or NULL; the header's kid must be key_id. A new reference. */
json_t *jwt_verify(EVP_PKEY *key, const char *key_id, const char *token);
/* The claims unverified, to find out who signed. A new reference or NULL. */
json_t *jwt_claims(const char *token);
char *base64_encode(const void *data, size_t n, bool url); /* malloc'd */
int base64_decode(const char *text, bool url, unsigned char **out, size_t *n);
char *rs256(EVP_PKEY *key, const void *data, size_t n, bool url); /* base64 of the signature, malloc'd */

struct answer {
	int status;
	const char *type;
	char *body; /* malloc'd */
	size_t len; /* of the body; 0: it is a text */
	struct evkeyvalq headers;
};

/* What an endpoint is asked. */
struct question {
	struct world *world;
	const char *method, *path, *body, *bearer;
	size_t body_len;
	const char *user, *password; /* of Basic */
	const char *account, *verb;  /* of IAM Credentials paths */
	bool metadata_flavor, forwarded;
	bool internet; /* came in by the door that clients take for the internet, not by the broker's */
	struct evkeyvalq *query, *headers;
};

struct endpoint {
	const char *name, *path, *method; /* path: exact, or what it begins with where that ends in / or -; method NULL: any */
	void (*answer)(const struct question *q, struct answer *a);
	const char *slip; /* what it means that a client comes here by the internet; NULL: nothing wrong */
};
extern const struct endpoint endpoints[];
/* Never NULL: "unknown" answers what none of the others does. */
const struct endpoint *endpoint_find(const struct question *q, char *account, size_t account_size, char *verb, size_t verb_size);
void answer_error(struct answer *a, int status, const char *name, const char *reason, const char *message);
void answer_reauth(struct answer *a, const char *subtype); /* invalid_grant of that subtype */
void answer_json(struct answer *a, int status, json_t *json); /* takes json */
void answer_text(struct answer *a, const char *text);
void answer_header(struct answer *a, const char *name, const char *value);
void answer_unauthenticated(struct answer *a); /* Google's 401 */
const char *query_value(const struct question *q, const char *name); /* "" where it is not */

/* --- seen.c: whose token an API heard */

/*
 * The account of the question's bearer (or of its Basic password), or NULL when it was refused and a holds Google's refusal: 401 for
 * one that is none, unknown or expired; 403 for one of another account than what the path names ("/of-NAME" belongs
 * to NAME@acme-ml.iam.gserviceaccount.com). Listed either way.
 */
const char *seen_bearer(const struct question *q, const char *api, struct answer *a);
/* The same of an ID token, which must be signed, in its time, for "https://HOST" and of the account that the path names. */
const char *seen_id_token(const struct question *q, const char *api, struct answer *a);
/* Lists what a client did that no client should. */
void seen_slip(const struct question *q, const char *api, const char *slip);
/* dev-sa@acme-ml.iam.gserviceaccount.com -> dev-sa, into out. */
const char *account_name(const char *account, char *out, size_t size);

/* --- the APIs */
void on_storage(const struct question *q, struct answer *a);	    /* JSON: /storage/v1/b…, /download/… */
void on_storage_upload(const struct question *q, struct answer *a);
void on_storage_xml(const struct question *q, struct answer *a);    /* /of-NAME/OBJECT */
void storage_reset(struct world *world);
void on_bigquery(const struct question *q, struct answer *a);
void on_projects(const struct question *q, struct answer *a);
void on_userinfo(const struct question *q, struct answer *a);
void on_locations(const struct question *q, struct answer *a);
void on_service(const struct question *q, struct answer *a);
void on_kubernetes(const struct question *q, struct answer *a);
void on_registry(const struct question *q, struct answer *a);
void on_git(const struct question *q, struct answer *a);
void on_unknown(const struct question *q, struct answer *a);

/* --- scripted behaviour */
enum mishap { MISHAP_NONE, MISHAP_RESET, MISHAP_HALF, MISHAP_HUGE, MISHAP_GARBAGE };
struct rule {
	struct rule *next;
	char endpoint[64]; /* "*": any */
	int times;	   /* answers left; -1: all */
	unsigned latency_ms;
	int status;	    /* 0: as it would be */
	int retry_after;    /* -1: none */
	enum mishap mishap;
	int64_t lie_s;	    /* added to expireTime */
	bool has_lie;
	char oauth[32]; /* "invalid_rapt": an OAuth error's subtype; "": none */
};
/* Adds a rule from JSON; NULL or what is wrong with it. */
const char *script_add(struct world *world, const json_t *json);
void script_clear(struct world *world);
/* The rule for this call, with its count taken down; zero-valued where there is none. */
struct rule script_take(struct world *world, const char *endpoint);
void script_apply(const struct rule *rule, struct answer *a);
