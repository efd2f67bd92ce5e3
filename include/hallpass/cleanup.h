#pragma once

/* Locals that free themselves: `cleanup(x_freep) struct x *x = NULL;`, left alive by `return take(&x)`. */

#define cleanup(fn) __attribute__((cleanup(fn)))

/* Moves the pointer out of *pp: gives it to the caller, leaves NULL behind. */
#define take(pp)                                                                                                       \
	({                                                                                                             \
		__typeof__(*(pp)) take_value_ = *(pp);                                                                 \
		*(pp) = NULL;                                                                                          \
		take_value_;                                                                                           \
	})

/* Defines x_freep() for cleanup() from x_free(), which takes NULL. */
#define DEFINE_FREEP(type, free_fn)                                                                                    \
	static inline void free_fn##p(type **pp) {                                                                     \
		free_fn(*pp);                                                                                          \
	}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
