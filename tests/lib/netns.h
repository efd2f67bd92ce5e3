#pragma once

/* A network that has nothing but loopback, for the test process and what it starts from then on. */

#include <stdbool.h>

bool leave_network(void);
bool loopback_up(void);
