// Chooses the level of the hot loops: the highest that is built and that this machine runs.
#include <atomic>
#include <cstring>

#include "simd.hpp"

namespace ibfast {

#if defined(IBFAST_X86)
extern const Simd simd_v2, simd_v3, simd_v4;
#else
extern const Simd simd_plain;
#endif

namespace {

const Simd* find(const char* name) {
#if defined(IBFAST_X86)
    __builtin_cpu_init();
    const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    if (v4 && (!name || !std::strcmp(name, "v4"))) return &simd_v4;
    if (v3 && (!name || !std::strcmp(name, "v3"))) return &simd_v3;
    if (!name || (v2 && !std::strcmp(name, "v2"))) return &simd_v2;
    return nullptr;
#else
    return !name || !std::strcmp(name, "plain") ? &simd_plain : nullptr;
#endif
}

std::atomic<const Simd*>& level() {
    static std::atomic<const Simd*> chosen{find(nullptr)};
    return chosen;
}

}  // namespace

const Simd& simd() { return *level().load(std::memory_order_relaxed); }

bool select_simd(const char* name) {
    const Simd* found = find(name);
    if (found) level() = found;
    return found != nullptr;
}

}  // namespace ibfast
