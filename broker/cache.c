/* See cache.h. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include "broker/cache.h"
#include "hallpass/cleanup.h"

#define MAX_BUCKETS (1u << 16)
#define SWEEP 4 /* slots looked at per cache_add() for tokens that are over */

struct slot {
	LIST_ENTRY(slot) same_bucket;
	TAILQ_ENTRY(slot) by_age;
	uint64_t hash;
	struct mint_spec *spec;
	struct token *tokens[CACHE_TOKENS_PER_SLOT];
	unsigned n;
	int64_t refresh_admitted; /* Unix seconds; INT64_MIN: never */
	int64_t trouble_at;	  /* the same */
};

struct cache {
	uint64_t seed[2];
	unsigned max, count;
	size_t mask; /* buckets - 1 */
	LIST_HEAD(, slot) * buckets;
	TAILQ_HEAD(slots, slot) slots; /* youngest first */
};

/* --- SipHash */

static inline uint64_t rotate(uint64_t v, unsigned by) {
	return v << by | v >> (64 - by);
}

static inline void sip_rounds(uint64_t v[4], unsigned rounds) {
	while (rounds--) {
		v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
		v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
	}
}

static inline void sip_begin(uint64_t v[4], const uint64_t key[2]) {
	v[0] = key[0] ^ 0x736f6d6570736575;
	v[1] = key[1] ^ 0x646f72616e646f6d;
	v[2] = key[0] ^ 0x6c7967656e657261;
	v[3] = key[1] ^ 0x7465646279746573;
}

static inline void sip_word(uint64_t v[4], unsigned c, uint64_t word) {
	v[3] ^= word;
	sip_rounds(v, c);
	v[0] ^= word;
}

/* All of it, the last bytes with its length (of which the lowest eight bits count) in a word of their own. */
static inline void sip_bytes(uint64_t v[4], unsigned c, const void *data, size_t len) {
	const unsigned char *u = data;
	uint64_t word;
	size_t left = len;

	for (; left >= 8; left -= 8, u += 8) {
		memcpy(&word, u, 8);
		sip_word(v, c, word);
	}
	word = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)u[i] << (8 * i);
	sip_word(v, c, word);
}

static inline uint64_t sip_end(uint64_t v[4], unsigned d) {
	v[2] ^= 0xff;
	sip_rounds(v, d);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t siphash(const uint64_t key[2], unsigned c, unsigned d, const void *data, size_t len) {
	uint64_t v[4];

	sip_begin(v, key);
	sip_bytes(v, c, data, len);
	return sip_end(v, d);
}

/* --- specs: SipHash-1-3 over their words, one text behind the other, each closed by a word with its length */

static void hash_text(uint64_t v[4], const char *text) {
	if (text)
		sip_bytes(v, 1, text, strlen(text));
	else
		sip_word(v, 1, 0);
}

/* A set: the order is all the same. */
static uint64_t hash_scopes(const struct mint_spec *spec, const uint64_t seed[2]) {
	uint64_t sum = 0, v[4];

	for (size_t i = 0; i < spec->n_scopes; i++) {
		sip_begin(v, seed);
		hash_text(v, spec->scopes[i]);
		sum += sip_end(v, 3);
	}
	return sum;
}

uint64_t mint_spec_hash(const struct mint_spec *spec, const uint64_t seed[2]) {
	uint64_t v[4], hash;

	if (spec->hash)
		return spec->hash;
	sip_begin(v, seed);
	sip_word(v, 1, (uint64_t)spec->permission << 2 | spec->use_email_azp << 1 | spec->include_email);
	hash_text(v, spec->principal);
	hash_text(v, spec->target);
	hash_text(v, spec->audience);
	if (spec->n_scopes == 1)
		hash_text(v, spec->scopes[0]);
	else
		sip_word(v, 1, hash_scopes(spec, seed));
	for (size_t i = 0; i < spec->n_delegates; i++)
		hash_text(v, spec->delegates[i]);
	hash = sip_end(v, 3);
	return hash ? hash : 1;
}

static bool same_text(const char *a, const char *b) {
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_list(const char *const *a, const char *const *b, size_t n) {
	for (size_t i = 0; i < n; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

/* Whether each of a is in b. Lists are short (POLICY_MAX_SCOPES). */
static bool contained(const char *const *a, const char *const *b, size_t n) {
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < n && strcmp(a[i], b[k]) != 0)
			k++;
		if (k == n)
			return false;
	}
	return true;
}

bool mint_spec_same(const struct mint_spec *a, const struct mint_spec *b) {
	if (a->permission != b->permission || a->include_email != b->include_email || a->use_email_azp != b->use_email_azp ||
	    a->n_scopes != b->n_scopes ||
	    a->n_delegates != b->n_delegates)
		return false;
	if (!same_text(a->principal, b->principal) || !same_text(a->target, b->target) ||
	    !same_text(a->audience, b->audience) || !same_list(a->delegates, b->delegates, a->n_delegates))
		return false;
	return same_list(a->scopes, b->scopes, a->n_scopes) ||
	       (contained(a->scopes, b->scopes, a->n_scopes) && contained(b->scopes, a->scopes, a->n_scopes));
}

static size_t text_size(const char *text) {
	return text ? strlen(text) + 1 : 0;
}

static const char *put_text(char **at, const char *text) {
	size_t size = text_size(text);
	char *to = *at;

	if (!text)
		return NULL;
	memcpy(to, text, size);
	*at += size;
	return to;
}

struct mint_spec *mint_spec_copy(const struct mint_spec *spec) {
	size_t size = sizeof(*spec) + (spec->n_scopes + spec->n_delegates) * sizeof(char *);
	struct mint_spec *copy;
	const char **list;
	char *at;

	for (size_t i = 0; i < spec->n_scopes; i++)
		size += text_size(spec->scopes[i]);
	for (size_t i = 0; i < spec->n_delegates; i++)
		size += text_size(spec->delegates[i]);
	size += text_size(spec->principal) + text_size(spec->target) + text_size(spec->audience) + text_size(spec->payload) +
		text_size(spec->payload_sha256);
	copy = malloc(size);
	if (!copy)
		return NULL;
	*copy = *spec;
	list = (const char **)(copy + 1);
	at = (char *)(list + spec->n_scopes + spec->n_delegates);
	copy->scopes = list;
	for (size_t i = 0; i < spec->n_scopes; i++)
		*list++ = put_text(&at, spec->scopes[i]);
	copy->delegates = list;
	for (size_t i = 0; i < spec->n_delegates; i++)
		*list++ = put_text(&at, spec->delegates[i]);
	copy->principal = put_text(&at, spec->principal);
	copy->target = put_text(&at, spec->target);
	copy->audience = put_text(&at, spec->audience);
	copy->payload = put_text(&at, spec->payload);
	copy->payload_sha256 = put_text(&at, spec->payload_sha256);
	assert(at == (char *)copy + size);
	return copy;
}

/* --- slots */

static struct slot *slot_find(struct cache *cache, const struct mint_spec *spec) {
	uint64_t hash = mint_spec_hash(spec, cache->seed);
	struct slot *slot;

	LIST_FOREACH(slot, &cache->buckets[hash & cache->mask], same_bucket) {
		if (slot->hash == hash && mint_spec_same(slot->spec, spec))
			return slot;
	}
	return NULL;
}

static struct slot *slot_new(struct cache *cache, const struct mint_spec *spec) {
	struct slot *slot = calloc(1, sizeof(*slot));

	if (!slot || !(slot->spec = mint_spec_copy(spec))) {
		free(slot);
		return NULL;
	}
	slot->hash = mint_spec_hash(spec, cache->seed);
	slot->refresh_admitted = INT64_MIN;
	slot->trouble_at = INT64_MIN;
	LIST_INSERT_HEAD(&cache->buckets[slot->hash & cache->mask], slot, same_bucket);
	TAILQ_INSERT_HEAD(&cache->slots, slot, by_age);
	return slot;
}

static void slot_touch(struct cache *cache, struct slot *slot) {
	if (slot == TAILQ_FIRST(&cache->slots))
		return;
	TAILQ_REMOVE(&cache->slots, slot, by_age);
	TAILQ_INSERT_HEAD(&cache->slots, slot, by_age);
}

static void slot_drop(struct cache *cache, struct slot *slot, unsigned i) {
	token_unref(slot->tokens[i]);
	slot->tokens[i] = slot->tokens[--slot->n];
	cache->count--;
}

static void slot_drop_expired(struct cache *cache, struct slot *slot, int64_t now) {
	for (unsigned i = slot->n; i-- > 0;) {
		if (slot->tokens[i]->expires_at <= now)
			slot_drop(cache, slot, i);
	}
}

static void slot_drop_first_to_end(struct cache *cache, struct slot *slot) {
	unsigned first = 0;

	for (unsigned i = 1; i < slot->n; i++) {
		if (slot->tokens[i]->expires_at < slot->tokens[first]->expires_at)
			first = i;
	}
	slot_drop(cache, slot, first);
}

static void slot_free(struct cache *cache, struct slot *slot) {
	while (slot->n)
		slot_drop(cache, slot, slot->n - 1);
	LIST_REMOVE(slot, same_bucket);
	TAILQ_REMOVE(&cache->slots, slot, by_age);
	free(slot->spec);
	free(slot);
}

/* What nobody asked for in a long while, and is over, goes without waiting for the ceiling. */
static void sweep(struct cache *cache, int64_t now) {
	struct slot *slot, *older;

	slot = TAILQ_LAST(&cache->slots, slots);
	for (int i = 0; slot && i < SWEEP; i++, slot = older) {
		older = TAILQ_PREV(slot, slots, by_age);
		slot_drop_expired(cache, slot, now);
		if (slot->n == 0)
			slot_free(cache, slot);
	}
}

/* --- entry points */

struct cache *cache_new(unsigned max_tokens, const uint64_t seed[2]) {
	struct cache *cache = calloc(1, sizeof(*cache));
	size_t buckets = 64;

	if (!cache)
		return NULL;
	while (buckets < max_tokens && buckets < MAX_BUCKETS)
		buckets *= 2;
	cache->buckets = calloc(buckets, sizeof(*cache->buckets));
	if (!cache->buckets) {
		free(cache);
		return NULL;
	}
	memcpy(cache->seed, seed, sizeof(cache->seed));
	cache->mask = buckets - 1;
	cache->max = max_tokens;
	TAILQ_INIT(&cache->slots);
	return cache;
}

void cache_free(struct cache *cache) {
	struct slot *slot;

	if (!cache)
		return;
	while ((slot = TAILQ_FIRST(&cache->slots)))
		slot_free(cache, slot);
	free(cache->buckets);
	free(cache);
}

struct token *cache_find(struct cache *cache, const struct mint_spec *spec, int64_t now, int64_t min_left_s) {
	struct slot *slot = slot_find(cache, spec);
	struct token *best = NULL;

	for (unsigned i = 0; slot && i < slot->n; i++) {
		struct token *token = slot->tokens[i];

		if (token->expires_at > spec->expires_by || token->expires_at <= now ||
		    token->expires_at - now < min_left_s)
			continue;
		if (!best || token->expires_at > best->expires_at)
			best = token;
	}
	if (best)
		slot_touch(cache, slot);
	return best;
}

void cache_add(struct cache *cache, const struct mint_spec *spec, struct token *token, int64_t now) {
	struct slot *slot;

	if (cache->max == 0)
		return;
	sweep(cache, now);
	slot = slot_find(cache, spec);
	if (!slot && !(slot = slot_new(cache, spec)))
		return;
	slot_drop_expired(cache, slot, now);
	if (slot->n == CACHE_TOKENS_PER_SLOT)
		slot_drop_first_to_end(cache, slot);
	slot_touch(cache, slot);
	slot->tokens[slot->n++] = token_ref(token);
	slot->trouble_at = INT64_MIN;
	cache->count++;
	while (cache->count > cache->max) {
		struct slot *oldest = TAILQ_LAST(&cache->slots, slots);

		if (oldest != slot)
			slot_free(cache, oldest);
		else
			slot_drop_first_to_end(cache, slot);
	}
}

bool cache_admit_refresh(struct cache *cache, const struct mint_spec *spec, int64_t now, int64_t pause_s) {
	struct slot *slot = slot_find(cache, spec);

	if (!slot || slot->refresh_admitted > now - pause_s)
		return false;
	slot->refresh_admitted = now;
	return true;
}

void cache_note_trouble(struct cache *cache, const struct mint_spec *spec, int64_t now) {
	struct slot *slot = slot_find(cache, spec);

	if (slot)
		slot->trouble_at = now;
}

bool cache_had_trouble(struct cache *cache, const struct mint_spec *spec, int64_t now, int64_t within_s) {
	const struct slot *slot = slot_find(cache, spec);

	return slot && slot->trouble_at <= now && slot->trouble_at > now - within_s;
}

unsigned cache_count(const struct cache *cache) {
	return cache->count;
}
