#pragma once

#include <stdint.h>

/* Tells a service manager how we are (the sd_notify protocol: one datagram to $NOTIFY_SOCKET). */

/* state: "READY=1", "STOPPING=1", "STATUS=…". Does nothing when nobody asked. */
void notify_service_manager(const char *state);
/* A reload has begun; READY=1 ends it. now_us: CLOCK_MONOTONIC, by which the manager tells this reload from an earlier one. */
void notify_reloading(int64_t now_us);
