#pragma once

/* Tells a service manager how we are (the sd_notify protocol: one datagram to $NOTIFY_SOCKET). */

/* state: "READY=1", "RELOADING=1", "STOPPING=1", "STATUS=…". Does nothing when nobody asked. */
void notify_service_manager(const char *state);
