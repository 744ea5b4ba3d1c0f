// Keys of rows in bins of one width without end (fingerprint.hpp) at one level, where codes are
// small. Included by simd.cpp alone and in an anonymous namespace, as simd_vectors.hpp.
#pragma once

#include "simd.hpp"
#include "simd_hash.hpp"

namespace ibfast {
namespace {

// Codes are those of a division in double, floor(x / width). A power of two is divided by in `V`,
// as a product with its reciprocal: the same, but for products too small for float, which double
// would hold; their sign is that of x.
template <class V, bool Power, class F>
size_t hash_widths_in(const F* __restrict x, std::ptrdiff_t stride, size_t rows, size_t units,
                      V width, const u32* __restrict coefficient, Key* __restrict key) {
    constexpr V most = 1 << 21;
    constexpr size_t chunk = 256;  // products below 2^53
    const V reciprocal = 1 / width;
    u32 digit[chunk];
    for (size_t r = 0; r < rows; ++r, x += stride) {
        u64 sums[kHashes] = {};
        u32 large = 0;
        for (size_t from = 0; from < units; from += chunk) {
            const size_t n = from + chunk < units ? chunk : units - from;
            for (size_t i = 0; i < n; ++i) {
                const V v = static_cast<V>(x[from + i]), q = Power ? v * reciprocal : v / width;
                const bool small = (q >= -most) & (q < most);  // and no NaN
                const std::int32_t whole = static_cast<std::int32_t>(small ? q : V(0));
                const V back = static_cast<V>(whole);
                const bool beyond = sizeof(V) == sizeof(float) ? back * width > v : back > q;
                const u32 code = static_cast<u32>(whole) - (beyond ? 1U : 0U);
                digit[i] = code << 1 ^ (0U - (code >> 31));
                large |= small ? 0U : 1U;
            }
            for (size_t h = 0; h < kHashes; ++h) {
                const u32* __restrict a = coefficient + h * units + from;
                u64 sum = 0;
                for (size_t i = 0; i < n; ++i) sum += static_cast<u64>(digit[i]) * a[i];
                sums[h] = fold(sums[h] + sum);
            }
        }
        if (large) return r;
        key[r] = key_of(sums[0], sums[1], sums[2], sums[3]);
    }
    return rows;
}

template <class F>
size_t hash_widths(const F* x, std::ptrdiff_t stride, size_t rows, size_t units, double width,
                   const u32* coefficient, Key* key) {
    u64 bits;
    __builtin_memcpy(&bits, &width, sizeof bits);
    if (bits << 12 == 0 && width > 0x1p-60 && width < 0x1p60)
        return hash_widths_in<F, true>(x, stride, rows, units, static_cast<F>(width), coefficient,
                                       key);
    return hash_widths_in<double, false>(x, stride, rows, units, width, coefficient, key);
}

}  // namespace
}  // namespace ibfast
