#pragma once

/*
 * Time zones: names, fixed offsets, and the IANA tables behind the names.
 *
 * Owns a reader of TZif version 2 and later (RFC 9636): the 64-bit block and
 * the POSIX TZ rule of the footer. The bytes come from policy_host.read_zone();
 * nothing here opens a file. Each zone is parsed once, at load, into a table
 * that never changes again; looking an offset up is safe from any thread.
 *
 * The rule of the footer is unrolled over 400 years, which is a whole number of
 * weeks and so the period of every such rule: later instants are looked up
 * modulo 400 years, and lookups never compute a rule.
 *
 * Ceilings: 1024 zones in a set, 256 KiB and 4096 transitions in a file.
 */

#include <stdbool.h>
#include <stdint.h>
#include "hallpass/buf.h"
#include "hallpass/cleanup.h"
#include "hallpass/error.h"
#include "hallpass/policy.h"

struct zone;  /* one named zone, immutable */
struct zones; /* the zones of one policy, by name */

/* What a zone argument means: a table, or (table NULL) a fixed offset. The zero value is UTC. */
struct zone_ref {
	const struct zone *zone; /* borrowed from its struct zones */
	int32_t offset_s;	 /* east of UTC; used when zone is NULL */
};

/* An empty set. host is borrowed for as long as zones_load() is called; NULL: only UTC and fixed offsets. NULL: memory. */
struct zones *zones_new(const struct policy_host *host);
void zones_free(struct zones *zones); /* takes NULL */
const struct policy_host *zones_host(const struct zones *zones); /* or NULL */
DEFINE_FREEP(struct zones, zones_free)

/*
 * The meaning of a zone argument: "UTC" and "" are UTC; "+HH:MM", "-HH:MM" and "HH:MM" are fixed; the rest are
 * names of letters, digits, + - _ and single slashes, read through the host the first time. For load time: it adds to the set.
 * Errors: ERR_INVALID for a name that cannot be one, a file that is no TZif or an offset past 23:59;
 * ERR_NOT_FOUND for a zone the host does not have; ERR_LIMIT past 1024 zones; ERR_INTERNAL for memory.
 */
int zones_load(struct zones *zones, struct str name, struct zone_ref *out, struct error *err);

/* "UTC", "" and fixed offsets alone, without a set; -1: anything else. */
int zone_fixed(struct str name, struct zone_ref *out);

/* Whether a name may be asked for: see zones_load(). "Local", "localtime", "posixrules" and "Factory" may not. */
bool zone_name_ok(struct str name);

/* Like zones_load() without loading, for evaluation: -1 when the name is bad or was not loaded. Fast; safe from any thread. */
int zones_find(const struct zones *zones, struct str name, struct zone_ref *out);

/* Parses the bytes of a TZif file. Errors: ERR_INVALID saying what is wrong with it, ERR_INTERNAL for memory. */
int zone_parse(const unsigned char *data, size_t len, struct zone **out, struct error *err);
void zone_free(struct zone *zone); /* takes NULL */
DEFINE_FREEP(struct zone, zone_free)

/* Seconds east of UTC in force at Unix second s. Any s. */
int32_t zone_offset(const struct zone *zone, int64_t s);

/* The first second after s at which the offset changes; INT64_MAX: never again before the year 10000. */
int64_t zone_next_transition(const struct zone *zone, int64_t s);

static inline int32_t zone_ref_offset(struct zone_ref ref, int64_t s) {
	return ref.zone ? zone_offset(ref.zone, s) : ref.offset_s;
}
