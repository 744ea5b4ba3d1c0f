// Names in the units that are compiled once per level, with IBFAST_LEVEL its name.
#pragma once

#define IBFAST_JOIN_(a, b) a##b
#define IBFAST_JOIN(a, b) IBFAST_JOIN_(a, b)
#define IBFAST_STRING_(a) #a
#define IBFAST_STRING(a) IBFAST_STRING_(a)
#define IBFAST_INLINE inline __attribute__((always_inline))
