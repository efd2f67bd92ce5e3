#pragma once

/* A port on loopback for a listener of the test's configuration. */

/* One that is free at 127.0.0.1 and ::1, and below those that the kernel gives to whoever names none: nobody gets it by chance. */
int free_port(void);
