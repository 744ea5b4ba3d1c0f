// The hot loops. Compiled once per level, with IBFAST_LEVEL its name, at -ffp-contract=off, so that
// every level gives the same bits. A level differs only in its registers (simd_vectors.hpp).
#include "simd.hpp"

#include "level.hpp"
#include "simd_hash.hpp"
#include "simd_lattice.hpp"
#include "simd_vectors.hpp"
#include "simd_width.hpp"

namespace ibfast {
namespace {

template <class F>
bool codes(const Thresholds<F>& t, size_t unit, const F* __restrict x, size_t rows, unsigned shift,
           u32* __restrict lane) {
    if (t.lattice)
        return t.ends ? lattice_codes<true>(t, unit, x, rows, shift, lane)
                      : lattice_codes<false>(t, unit, x, rows, shift, lane);
    bool valid = true;
    for (size_t r = 0; r < rows; ++r) lane[r] |= settled_code(x[r], t, unit, valid) << shift;
    return !valid;
}

template <bool Lattice, bool PerUnit, bool Ends, class F>
bool hash_rows_as(const Thresholds<F>& t, const F* __restrict x, std::ptrdiff_t stride, size_t rows,
                  size_t units, unsigned bits, const u32* __restrict coefficient,
                  Key* __restrict key) {
    const size_t group = kLaneBits / bits * kLanes;
    const Unit<F> shared = Unit<F>::same(t, 0);
    bool valid = true;
    Luck luck;
    const auto fill = [&](const F* row, size_t from, u32* lanes) __attribute__((always_inline)) {
        const size_t end = from + group < units ? from + group : units;
        if (Lattice && luck.good()) {
            if (__builtin_expect((lattice_group<Way::inside, PerUnit, Ends>(t, row, from, end, bits,
                                                                            shared, lanes, valid)),
                                 1))
                return;
            ++luck.failures;
        }
        any_group<Lattice, PerUnit, Ends>(t, row, from, end, bits, lanes, valid);
    };
    constexpr size_t block = 16;
    alignas(64) u64 rest[block * LaneSums::rest] = {};
    for (size_t r = 0; r < rows; ++r, x += stride) {
        alignas(64) u32 lanes[kLanes];
        LaneSums sums;
        fill(x, 0, lanes);
        sums.add<true>(lanes, coefficient);
        for (size_t from = group, g = 1; from < units; from += group, ++g) {
            fill(x, from, lanes);
            if (g % LaneSums::groups_per_fold == 0) sums.fold_all();
            sums.add<false>(lanes, coefficient + g * kHashes * kLanes);
        }
        if (units > group) sums.fold_all();
        sums.store(rest + r % block * LaneSums::rest);
        if (r % block == block - 1 || r + 1 == rows)
            reduce_rows(rest, r % block + 1, key + r / block * block);
    }
    return !valid;
}

template <class F>
bool hash_rows(const Thresholds<F>& t, const F* x, std::ptrdiff_t stride, size_t rows, size_t units,
               unsigned bits, const u32* coefficient, Key* key) {
    const auto as =
        !t.lattice ? hash_rows_as<false, false, false, F>
        : t.per_unit
            ? (t.ends ? hash_rows_as<true, true, true, F> : hash_rows_as<true, true, false, F>)
            : (t.ends ? hash_rows_as<true, false, true, F> : hash_rows_as<true, false, false, F>);
    return as(t, x, stride, rows, units, bits, coefficient, key);
}

template <class F>
void extents(const F* __restrict x, size_t n, F* __restrict lo, F* __restrict hi) {
    for (size_t i = 0; i < n; ++i) {
        lo[i] = x[i] < lo[i] ? x[i] : lo[i];
        hi[i] = x[i] > hi[i] ? x[i] : hi[i];
    }
}

template <class F>
void extent(const F* __restrict x, size_t n, F* lo, F* hi) {
    constexpr size_t wide = 64;  // independent minima, to hide their latency
    F least[wide], most[wide];
    for (size_t l = 0; l < wide; ++l) least[l] = *lo, most[l] = *hi;
    size_t i = 0;
    for (; i + wide <= n; i += wide) {
        for (size_t l = 0; l < wide; l += 64 / sizeof(F))
            __builtin_prefetch(reinterpret_cast<const char*>(x + i + l) + kAhead);
        for (size_t l = 0; l < wide; ++l) {
            least[l] = x[i + l] < least[l] ? x[i + l] : least[l];
            most[l] = x[i + l] > most[l] ? x[i + l] : most[l];
        }
    }
    extents(x + i, n - i, least, most);
    for (size_t l = 0; l < wide; ++l) {
        *lo = least[l] < *lo ? least[l] : *lo;
        *hi = most[l] > *hi ? most[l] : *hi;
    }
}

void pack_bytes(const u32* __restrict codes, size_t rows, size_t d, Key* __restrict key) {
    constexpr size_t most = 1024;
    unsigned char bytes[most + 16];
    const size_t step = most / d, low = d < 8 ? d : 8, high = d - low;
    const u64 low_mask = ~u64(0) >> (64 - 8 * low);
    const u64 high_mask = high ? ~u64(0) >> (64 - 8 * high) : 0;
    for (size_t from = 0; from < rows; from += step) {
        const size_t end = from + step < rows ? from + step : rows, n = (end - from) * d;
        for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<unsigned char>(codes[from * d + i]);
        for (size_t r = from; r < end; ++r) {
            Key k;
            __builtin_memcpy(&k, bytes + (r - from) * d, sizeof k);
            key[r] = {k.lo & low_mask, k.hi & high_mask};
        }
    }
}

float half_value(std::uint16_t h) {
    const u32 sign = static_cast<u32>(h & 0x8000U) << 16, rest = h & 0x7fffU;
    const float small = static_cast<float>(rest) * 0x1p-24F;
    u32 bits;
    __builtin_memcpy(&bits, &small, sizeof bits);
    if (rest >= 0x7c00U)
        bits = 0x7f800000U | ((rest & 0x3ffU) << 13);  // infinity and NaN
    else if (rest >= 0x0400U)
        bits = (rest << 13) + 0x38000000U;
    bits |= sign;
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

void half_to_float(const std::uint16_t* __restrict x, size_t n, float* __restrict out) {
    size_t i = 0;
#if defined(__AVX2__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i,
                         _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i))));
#endif
    for (; i < n; ++i) {  // x may be misaligned
        std::uint16_t half;
        __builtin_memcpy(&half, reinterpret_cast<const char*>(x) + 2 * i, sizeof half);
        out[i] = half_value(half);
    }
}

}  // namespace

extern const Pairs IBFAST_JOIN(pairs_, IBFAST_LEVEL);
extern const BottleneckLoops IBFAST_JOIN(bottleneck_, IBFAST_LEVEL);
extern const Simd IBFAST_JOIN(simd_, IBFAST_LEVEL);
const Simd IBFAST_JOIN(simd_, IBFAST_LEVEL) = {
    IBFAST_STRING(IBFAST_LEVEL),
    {codes<float>, hash_rows<float>, hash_widths<float>, extent<float>, extents<float>},
    {codes<double>, hash_rows<double>, hash_widths<double>, extent<double>, extents<double>},
    accumulate,
    fold_sums,
    finish,
    pack_bytes,
    half_to_float,
    &IBFAST_JOIN(pairs_, IBFAST_LEVEL),
    &IBFAST_JOIN(bottleneck_, IBFAST_LEVEL),
};

}  // namespace ibfast
