#pragma once

/* A network without a way out, for tests of programs that would find their way past the broker. */

#include <stdbool.h>

/* This process and what it starts have loopback alone from now on. False: there is no such thing here. */
bool offline(void);
