#pragma once

/*
 * The GCE metadata server, as gcloud, gsutil, bq and Google's client libraries ask it: /computeMetadata/v1/ behind a door.
 *
 * Translates only. What it says of the machine is the configuration's `instance`, its accounts are the door's, and their tokens
 * are requests like any other: a denial is 403 with one sentence (404 for an ID token, without which gcloud goes on and with
 * 403 does not, nor with a 503: what it asks for gets a 404 for each failure), what may pass 503. A client that hangs up, as most do after three seconds, leaves its mint going on, and finds
 * the token when it comes again.
 */

#include "broker/surface/surface.h"

extern const struct surface surface_metadata;

/* What the surface keeps: who waits for a change. */
struct metadata;

struct metadata *metadata_new(void);			/* NULL: memory */
void metadata_free(struct metadata *metadata);		/* after the conn_server; takes NULL */
/* The configuration or the policy is another one: who waits for a change may have one. */
void metadata_changed(struct metadata *metadata);
/* The broker is ending: who waits is answered now. */
void metadata_stop(struct metadata *metadata);
