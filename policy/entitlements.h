#pragma once

/*
 * The entitlements section: what may be asked for, who approves, for how long.
 *
 * Terms and meaning are those of Google's Privileged Access Manager.
 */

#include "policy/document.h"

extern const struct field entitlement_fields[];

void entitlements_read(struct document *d, const struct yaml_node *node);
