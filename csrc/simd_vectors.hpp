// The registers of one level. Included by simd.cpp alone, which is compiled once per level: all is
// in an anonymous namespace, so that no level can take another's definition.
#pragma once

#include <cstddef>
#include <cstdint>

#include "level.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace ibfast {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;
using std::size_t;

// Vector<F>: `width` values and as many 32-bit codes. Valid gathers what all values must meet;
// peak() and below() take a code as two halves of 16 bits; gather() and place() use the upper one.
template <class F>
struct Vector;

#if defined(__AVX2__)
// Eight codes, for the two kinds of Vector that hold as many values.
struct Codes256 {
    using Codes = __m256i;
    static Codes none() { return _mm256_setzero_si256(); }
    static Codes all_codes(u32 c) { return _mm256_set1_epi32(static_cast<int>(c)); }
    static Codes add(Codes a, Codes b) { return _mm256_add_epi32(a, b); }
    static Codes peak(Codes a, Codes b) { return _mm256_max_epu16(a, b); }
    static bool below(Codes a, Codes limit) {
        const Codes reached = _mm256_cmpeq_epi16(_mm256_max_epu16(a, limit), a);
        return _mm256_testz_si256(reached, reached) != 0;
    }
    static Codes place(Codes c, unsigned shift, Codes lane) {
        c = _mm256_sll_epi32(_mm256_srli_epi32(c, 16), _mm_cvtsi32_si128(static_cast<int>(shift)));
        return _mm256_or_si256(c, lane);
    }
    static Codes load(const u32* p) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }
    static void store(u32* p, Codes c) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), c); }
};
#endif

#if defined(__AVX512F__)

template <>
struct Vector<float> {
    static constexpr size_t width = 16;
    using Values = __m512;
    using Codes = __m512i;
    struct Valid {
        __mmask16 k = 0xffff;
        explicit operator bool() const { return k == 0xffff; }
    };
    static Values load(const float* p) { return _mm512_loadu_ps(p); }
    static Values all(float v) { return _mm512_set1_ps(v); }
    static Values scaled(Values v, Values scale, Values offset) {
        return _mm512_fmadd_ps(v, scale, offset);
    }
    static Values clamp(Values v, Values lo, Values hi) {
        return _mm512_min_ps(_mm512_max_ps(v, lo), hi);
    }
    static void check(Valid& valid, Values v, Values lo, Values hi) {
        valid.k = _mm512_mask_cmp_ps_mask(valid.k, v, lo, _CMP_GE_OQ);
        valid.k = _mm512_mask_cmp_ps_mask(valid.k, v, hi, _CMP_LE_OQ);
    }
    static Codes truncate(Values v) { return _mm512_cvttps_epi32(v); }
    static Values gather(const float* table, Codes c) {
        return _mm512_i32gather_ps(_mm512_srli_epi32(c, 16), table, 4);
    }
    static Codes count(Codes c, Values v, Values threshold) {
        const __mmask16 k = _mm512_cmp_ps_mask(v, threshold, _CMP_GE_OQ);
        return _mm512_mask_add_epi32(c, k, c, _mm512_set1_epi32(kCell));
    }
    static Codes none() { return _mm512_setzero_si512(); }
    static Codes all_codes(u32 c) { return _mm512_set1_epi32(static_cast<int>(c)); }
    static Codes add(Codes a, Codes b) { return _mm512_add_epi32(a, b); }
    static Codes peak(Codes a, Codes b) { return _mm512_max_epu16(a, b); }
    static bool below(Codes a, Codes limit) { return _mm512_cmpge_epu16_mask(a, limit) == 0; }
    static Codes place(Codes c, unsigned shift, Codes lane) {
        c = _mm512_sll_epi32(_mm512_srli_epi32(c, 16), _mm_cvtsi32_si128(static_cast<int>(shift)));
        return _mm512_or_si512(c, lane);
    }
    static Codes load(const u32* p) { return _mm512_loadu_si512(p); }
    static void store(u32* p, Codes c) { _mm512_storeu_si512(p, c); }
};

template <>
struct Vector<double> : Codes256 {
    static constexpr size_t width = 8;
    using Values = __m512d;
    struct Valid {
        __mmask8 k = 0xff;
        explicit operator bool() const { return k == 0xff; }
    };
    static Values load(const double* p) { return _mm512_loadu_pd(p); }
    static Values all(double v) { return _mm512_set1_pd(v); }
    static Values scaled(Values v, Values scale, Values offset) {
        return _mm512_fmadd_pd(v, scale, offset);
    }
    static Values clamp(Values v, Values lo, Values hi) {
        return _mm512_min_pd(_mm512_max_pd(v, lo), hi);
    }
    static void check(Valid& valid, Values v, Values lo, Values hi) {
        valid.k = _mm512_mask_cmp_pd_mask(valid.k, v, lo, _CMP_GE_OQ);
        valid.k = _mm512_mask_cmp_pd_mask(valid.k, v, hi, _CMP_LE_OQ);
    }
    static Codes truncate(Values v) { return _mm512_cvttpd_epi32(v); }
    static Values gather(const double* table, Codes c) {
        return _mm512_i32gather_pd(_mm256_srli_epi32(c, 16), table, 8);
    }
    static Codes count(Codes c, Values v, Values threshold) {
        const __mmask8 k = _mm512_cmp_pd_mask(v, threshold, _CMP_GE_OQ);
        return _mm256_mask_add_epi32(c, k, c, _mm256_set1_epi32(kCell));
    }
    using Codes256::load;
};

#elif defined(__AVX2__)

template <>
struct Vector<float> : Codes256 {
    static constexpr size_t width = 8;
    using Values = __m256;
    struct Valid {
        Values k = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
        explicit operator bool() const { return _mm256_movemask_ps(k) == 0xff; }
    };
    static Values load(const float* p) { return _mm256_loadu_ps(p); }
    static Values all(float v) { return _mm256_set1_ps(v); }
    static Values scaled(Values v, Values scale, Values offset) {
        return _mm256_fmadd_ps(v, scale, offset);
    }
    static Values clamp(Values v, Values lo, Values hi) {
        return _mm256_min_ps(_mm256_max_ps(v, lo), hi);
    }
    static void check(Valid& valid, Values v, Values lo, Values hi) {
        valid.k = _mm256_and_ps(valid.k, _mm256_and_ps(_mm256_cmp_ps(v, lo, _CMP_GE_OQ),
                                                       _mm256_cmp_ps(v, hi, _CMP_LE_OQ)));
    }
    static Codes truncate(Values v) { return _mm256_cvttps_epi32(v); }
    static Values gather(const float* table, Codes c) {
        return _mm256_i32gather_ps(table, _mm256_srli_epi32(c, 16), 4);
    }
    static Codes count(Codes c, Values v, Values threshold) {
        const __m256i k = _mm256_castps_si256(_mm256_cmp_ps(v, threshold, _CMP_GE_OQ));
        return _mm256_add_epi32(c, _mm256_and_si256(k, _mm256_set1_epi32(kCell)));
    }
    using Codes256::load;
};

template <>
struct Vector<double> {
    static constexpr size_t width = 4;
    using Values = __m256d;
    using Codes = __m128i;
    struct Valid {
        Values k = _mm256_castsi256_pd(_mm256_set1_epi32(-1));
        explicit operator bool() const { return _mm256_movemask_pd(k) == 0xf; }
    };
    static Values load(const double* p) { return _mm256_loadu_pd(p); }
    static Values all(double v) { return _mm256_set1_pd(v); }
    static Values scaled(Values v, Values scale, Values offset) {
        return _mm256_fmadd_pd(v, scale, offset);
    }
    static Values clamp(Values v, Values lo, Values hi) {
        return _mm256_min_pd(_mm256_max_pd(v, lo), hi);
    }
    static void check(Valid& valid, Values v, Values lo, Values hi) {
        valid.k = _mm256_and_pd(valid.k, _mm256_and_pd(_mm256_cmp_pd(v, lo, _CMP_GE_OQ),
                                                       _mm256_cmp_pd(v, hi, _CMP_LE_OQ)));
    }
    static Codes truncate(Values v) { return _mm256_cvttpd_epi32(v); }
    static Values gather(const double* table, Codes c) {
        return _mm256_i32gather_pd(table, _mm_srli_epi32(c, 16), 8);
    }
    static Codes count(Codes c, Values v, Values threshold) {
        const __m256i k = _mm256_castpd_si256(_mm256_cmp_pd(v, threshold, _CMP_GE_OQ));
        const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
        const __m128i narrow = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(k, even));
        return _mm_add_epi32(c, _mm_and_si128(narrow, _mm_set1_epi32(kCell)));
    }
    static Codes none() { return _mm_setzero_si128(); }
    static Codes all_codes(u32 c) { return _mm_set1_epi32(static_cast<int>(c)); }
    static Codes add(Codes a, Codes b) { return _mm_add_epi32(a, b); }
    static Codes peak(Codes a, Codes b) { return _mm_max_epu16(a, b); }
    static bool below(Codes a, Codes limit) {
        const Codes reached = _mm_cmpeq_epi16(_mm_max_epu16(a, limit), a);
        return _mm_testz_si128(reached, reached) != 0;
    }
    static Codes place(Codes c, unsigned shift, Codes lane) {
        c = _mm_sll_epi32(_mm_srli_epi32(c, 16), _mm_cvtsi32_si128(static_cast<int>(shift)));
        return _mm_or_si128(c, lane);
    }
    static Codes load(const u32* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
    static void store(u32* p, Codes c) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), c); }
};

#else

template <class F>
struct Vector {
    static constexpr size_t width = 1;
    using Values = F;
    using Codes = u32;
    struct Valid {
        bool k = true;
        explicit operator bool() const { return k; }
    };
    static Values load(const F* p) { return *p; }
    static Values all(F v) { return v; }
    static Values scaled(Values v, Values scale, Values offset) { return v * scale + offset; }
    static Values clamp(Values v, Values lo, Values hi) {
        v = v > lo ? v : lo;
        return v < hi ? v : hi;
    }
    static void check(Valid& valid, Values v, Values lo, Values hi) {
        valid.k &= (v >= lo) & (v <= hi);
    }
    static Codes truncate(Values v) {  // as the vectors do; C++ leaves most of it undefined
        const bool fits = v > F(-0x1p31) && v < F(0x1p31);
        return fits ? static_cast<u32>(static_cast<std::int32_t>(v)) : u32(1) << 31;
    }
    static Values gather(const F* table, Codes c) { return table[c >> 16]; }
    static Codes count(Codes c, Values v, Values threshold) {
        return c + (v >= threshold ? kCell : 0);
    }
    static Codes none() { return 0; }
    static Codes all_codes(u32 c) { return c; }
    static Codes add(Codes a, Codes b) { return a + b; }
    static Codes peak(Codes a, Codes b) {
        const u32 high = 0xffff0000;
        return ((a & high) > (b & high) ? a & high : b & high) |
               ((a & ~high) > (b & ~high) ? a & ~high : b & ~high);
    }
    static bool below(Codes a, Codes limit) {
        return (a >> 16) < (limit >> 16) && (a & 0xffff) < (limit & 0xffff);
    }
    static Codes place(Codes c, unsigned shift, Codes lane) { return c >> 16 << shift | lane; }
    static Codes load(const u32* p) { return *p; }
    static void store(u32* p, Codes c) { *p = c; }
};

#endif

}  // namespace
}  // namespace ibfast
