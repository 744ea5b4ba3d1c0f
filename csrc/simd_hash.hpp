// The hash of rows (fingerprint.hpp) at one level: sums of lanes times coefficients, reduced modulo
// 2^31 - 1. Included by simd.cpp alone and in an anonymous namespace, as simd_vectors.hpp.
#pragma once

#include "simd.hpp"
#include "simd_vectors.hpp"

namespace ibfast {
namespace {

IBFAST_INLINE u64 fold(u64 s) { return (s & kMersenne31) + (s >> 31); }

IBFAST_INLINE u32 residue(u64 s) {
    const u64 r = fold(fold(fold(s)));  // below 2^34, below 2^31 + 8, at most 2^31 - 1
    return static_cast<u32>(r == kMersenne31 ? 0 : r);
}

IBFAST_INLINE Key key_of(u64 a, u64 b, u64 c, u64 d) {
    return {residue(a) | static_cast<u64>(residue(b)) << 32,
            residue(c) | static_cast<u64>(residue(d)) << 32};
}

// The sums of one row, lane by lane: one product below 2^59 a group, so that 2^64 holds 31 of them.
// What a register keeps in which lane is its own affair: only the total counts.
struct LaneSums {
    static constexpr size_t groups_per_fold = 16;
#if defined(__AVX512F__)
    __m512i s[kHashes][2];

    template <bool First>
    IBFAST_INLINE void add(const u32* lanes, const u32* coefficient) {
        const __m512i even = _mm512_load_si512(lanes), odd = _mm512_srli_epi64(even, 32);
        for (size_t h = 0; h < kHashes; ++h, coefficient += kLanes) {
            const __m512i p = _mm512_mul_epu32(even, _mm512_loadu_si512(coefficient));
            const __m512i q = _mm512_mul_epu32(odd, _mm512_loadu_si512(coefficient + 1));
            s[h][0] = First ? p : s[h][0] + p;
            s[h][1] = First ? q : s[h][1] + q;
        }
    }
    static __m512i folded(__m512i v) {
        return _mm512_and_si512(v, _mm512_set1_epi64(kMersenne31)) + _mm512_srli_epi64(v, 31);
    }
    IBFAST_INLINE void fold_all() {
        for (auto& hash : s)
            for (__m512i& v : hash) v = folded(v);
    }
    // What is left of a row: eight numbers a hash, to be summed with those of another row.
    static constexpr size_t rest = kHashes * 8;
    IBFAST_INLINE void store(u64* out) const {
        for (size_t h = 0; h < kHashes; ++h) _mm512_store_si512(out + h * 8, s[h][0] + s[h][1]);
    }
#else
    alignas(64) u64 s[kHashes][kLanes];

    template <bool First>
    IBFAST_INLINE void add(const u32* lanes, const u32* coefficient) {
        for (size_t h = 0; h < kHashes; ++h, coefficient += kLanes) {
#if defined(__AVX2__)
            for (size_t i = 0; i < kLanes; i += 8) {
                using V = Vector<float>;
                const __m256i even = V::load(lanes + i), odd = _mm256_srli_epi64(even, 32);
                const __m256i p = _mm256_mul_epu32(even, V::load(coefficient + i));
                const __m256i q = _mm256_mul_epu32(odd, V::load(coefficient + i + 1));
                __m256i* to = reinterpret_cast<__m256i*>(s[h] + i);
                to[0] = First ? p : to[0] + p;
                to[1] = First ? q : to[1] + q;
            }
#else
            for (size_t l = 0; l < kLanes; ++l) {
                const u64 p = static_cast<u64>(lanes[l]) * coefficient[l];
                s[h][l] = First ? p : s[h][l] + p;
            }
#endif
        }
    }
    IBFAST_INLINE void fold_all() {
        for (auto& hash : s)
            for (u64& v : hash) v = fold(v);
    }
#if defined(__AVX2__)
    IBFAST_INLINE __m256i quarter(size_t h) const {
        const __m256i* v = reinterpret_cast<const __m256i*>(s[h]);
        return (v[0] + v[1]) + (v[2] + v[3]);
    }
#endif

    // What is left of a row: the total of each hash.
    static constexpr size_t rest = kHashes;
    IBFAST_INLINE void store(u64* out) const {
#if defined(__AVX2__)
        const __m256i a = quarter(0), b = quarter(1), c = quarter(2), d = quarter(3);
        const __m256i ab = _mm256_unpacklo_epi64(a, b) + _mm256_unpackhi_epi64(a, b);
        const __m256i cd = _mm256_unpacklo_epi64(c, d) + _mm256_unpackhi_epi64(c, d);
        _mm256_storeu_si256(
            reinterpret_cast<__m256i*>(out),
            _mm256_permute2x128_si256(ab, cd, 0x20) + _mm256_permute2x128_si256(ab, cd, 0x31));
#else
        for (size_t h = 0; h < kHashes; ++h) {
            out[h] = 0;
            for (u64 v : s[h]) out[h] += v;
        }
#endif
    }
#endif
};

// Keys of rows from what LaneSums left of them. Apart from the loop that sums, whose rows would
// wait for it. Reads an even number of rows.
IBFAST_INLINE void reduce_rows(const u64* rest, size_t rows, Key* key) {
#if defined(__AVX512F__)
    const __m512i p = _mm512_set1_epi64(kMersenne31);
    const auto sum_pairs = [](__m512i a, __m512i b) {  // a0 + a1, b0 + b1, a2 + a3, ...
        return _mm512_unpacklo_epi64(a, b) + _mm512_unpackhi_epi64(a, b);
    };
    const auto sum_quarters = [](__m512i a, __m512i b) {  // the same with quarters of a register
        return _mm512_shuffle_i64x2(a, b, 0x88) + _mm512_shuffle_i64x2(a, b, 0xdd);
    };
    for (size_t r = 0; r < rows; r += 2, rest += 2 * LaneSums::rest) {
        __m512i v[2];
        for (size_t i = 0; i < 2; ++i) {
            const u64* s = rest + i * LaneSums::rest;
            v[i] = sum_quarters(sum_pairs(_mm512_load_si512(s), _mm512_load_si512(s + 8)),
                                sum_pairs(_mm512_load_si512(s + 16), _mm512_load_si512(s + 24)));
        }
        __m512i t = sum_quarters(v[0], v[1]);
        for (int i = 0; i < 3; ++i) t = LaneSums::folded(t);
        t = _mm512_maskz_mov_epi64(_mm512_cmpneq_epi64_mask(t, p), t);
        const __mmask8 both = r + 1 < rows ? 0xff : 0xf;
        _mm256_mask_storeu_epi32(key + r, both, _mm512_cvtepi64_epi32(t));
    }
#elif defined(__AVX2__)
    const __m256i p = _mm256_set1_epi64x(kMersenne31);
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    for (size_t r = 0; r < rows; ++r, rest += LaneSums::rest) {
        __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rest));
        for (int i = 0; i < 3; ++i) v = _mm256_and_si256(v, p) + _mm256_srli_epi64(v, 31);
        v = _mm256_andnot_si256(_mm256_cmpeq_epi64(v, p), v);
        v = _mm256_permutevar8x32_epi32(v, even);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(key + r), _mm256_castsi256_si128(v));
    }
#else
    for (size_t r = 0; r < rows; ++r, rest += LaneSums::rest)
        key[r] = key_of(rest[0], rest[1], rest[2], rest[3]);
#endif
}

// Rows of a few registers at a time, whose sums stay there while the lanes go by.
void accumulate(const u32* __restrict lane, size_t lanes, size_t rows,
                const u32* __restrict coefficient, u64* __restrict sums) {
    size_t r = 0;
#if defined(__AVX2__)
#if defined(__AVX512F__)
    constexpr size_t width = 8;
    using Wide = __m512i;
    const auto wide = [](const u32* p) { return _mm512_cvtepu32_epi64(Codes256::load(p)); };
    const auto all = [](u32 c) { return _mm512_set1_epi32(static_cast<int>(c)); };
    const auto product = [](Wide a, Wide b) { return _mm512_mul_epu32(a, b); };
#else
    constexpr size_t width = 4;
    using Wide = __m256i;
    const auto wide = [](const u32* p) {
        return _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    };
    const auto all = [](u32 c) { return _mm256_set1_epi32(static_cast<int>(c)); };
    const auto product = [](Wide a, Wide b) { return _mm256_mul_epu32(a, b); };
#endif
    for (; r + width <= rows; r += width) {
        Wide s[kHashes];
        for (size_t h = 0; h < kHashes; ++h)
            __builtin_memcpy(s + h, sums + h * kTileRows + r, sizeof(Wide));
        for (size_t l = 0; l < lanes; ++l) {
            const Wide digits = wide(lane + l * kTileRows + r);
            for (size_t h = 0; h < kHashes; ++h)
                s[h] += product(digits, all(coefficient[h * kLanes + l]));
        }
        for (size_t h = 0; h < kHashes; ++h)
            __builtin_memcpy(sums + h * kTileRows + r, s + h, sizeof(Wide));
    }
#endif
    for (size_t l = 0; l < lanes; ++l)
        for (size_t h = 0; h < kHashes; ++h)
            for (size_t i = r; i < rows; ++i)
                sums[h * kTileRows + i] +=
                    static_cast<u64>(lane[l * kTileRows + i]) * coefficient[h * kLanes + l];
}

void fold_sums(u64* sums, size_t rows) {
    for (size_t h = 0; h < kHashes; ++h, sums += kTileRows)
        for (size_t r = 0; r < rows; ++r) sums[r] = fold(sums[r]);
}

void finish(u64* __restrict sums, size_t rows, Key* __restrict key) {
    for (size_t h = 0; h < kHashes; ++h)  // a loop of its own, that the compiler vectorises
        for (size_t r = 0; r < rows; ++r)
            sums[h * kTileRows + r] = residue(sums[h * kTileRows + r]);
    for (size_t r = 0; r < rows; ++r, ++sums)
        key[r] = {sums[0] | sums[kTileRows] << 32, sums[2 * kTileRows] | sums[3 * kTileRows] << 32};
}

}  // namespace
}  // namespace ibfast
