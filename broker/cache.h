#pragma once

/*
 * Tokens kept for a spec that comes again: found by principal, permission, target, scopes (as a set), delegates,
 * audience, includeEmail and useEmailAzp; never by lifetime, because whether a token may be used is asked of each
 * request anew: its expiry has to be inside the window decided for that request (P2).
 *
 * A slot holds up to CACHE_TOKENS_PER_SLOT tokens with different expiries. The ceiling counts tokens; the slots
 * used longest ago go first. A lookup hashes once and allocates nothing. Knows no clock and no network.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/mint.h"

#define CACHE_TOKENS_PER_SLOT 4

struct cache;

/* seed: 16 random bytes, so that nobody can aim for collisions. */
struct cache *cache_new(unsigned max_tokens, const uint64_t seed[2]); /* NULL: memory */
void cache_free(struct cache *cache);				      /* takes NULL */

/*
 * The longest-living token with expires_at <= spec->expires_by and at least min_left_s after now; borrowed,
 * NULL: none. A hit makes the slot the youngest.
 */
struct token *cache_find(struct cache *cache, const struct mint_spec *spec, int64_t now, int64_t min_left_s);
/* Takes a reference. Expired tokens of the slot go first, then the one that ends first. No memory: not kept. */
void cache_add(struct cache *cache, const struct mint_spec *spec, struct token *token, int64_t now);
/* One refresh per spec in a while: true when none was admitted since now - pause_s. False for what is not cached. */
bool cache_admit_refresh(struct cache *cache, const struct mint_spec *spec, int64_t now, int64_t pause_s);
/* No successor was to be had just now. It is remembered with what is cached, until a token is added. */
void cache_note_trouble(struct cache *cache, const struct mint_spec *spec, int64_t now);
bool cache_had_trouble(struct cache *cache, const struct mint_spec *spec, int64_t now, int64_t within_s);
unsigned cache_count(const struct cache *cache); /* tokens */

/* --- specs as keys; flights use them, too */

/* spec->hash, or computed where that is 0; never 0. */
uint64_t mint_spec_hash(const struct mint_spec *spec, const uint64_t seed[2]);
bool mint_spec_same(const struct mint_spec *a, const struct mint_spec *b);
/* A deep copy in one block, for free(). NULL: memory. */
struct mint_spec *mint_spec_copy(const struct mint_spec *spec);

/* SipHash-c-d of Aumasson and Bernstein (2012). */
uint64_t siphash(const uint64_t key[2], unsigned c, unsigned d, const void *data, size_t len);
