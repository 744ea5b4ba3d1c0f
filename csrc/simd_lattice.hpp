// From values to codes at one level: by a lattice (Thresholds in simd.hpp), which takes a
// multiplication, else by a search. Included by simd.cpp alone and in an anonymous namespace, as
// simd_vectors.hpp.
#pragma once

#include "simd.hpp"
#include "simd_vectors.hpp"

namespace ibfast {
namespace {

// Bytes from where a loop reads to where it prefetches. The loops keep up with memory, which the
// hardware's own prefetch does not: it stops at every page, and begins anew at every row.
constexpr size_t kAhead = 16384;

// What a lattice needs of a unit (or of `width` units), in registers.
template <class F>
struct Unit {
    using V = Vector<F>;
    typename V::Values valid_lo, valid_hi, scale, offset, first, last;
    const F* next;  // of one unit

    static IBFAST_INLINE Unit same(const Thresholds<F>& t, size_t i) {
        return {V::all(t.valid_lo[i]),
                V::all(t.valid_hi[i]),
                V::all(t.scale[i]),
                V::all(t.offset[i]),
                V::all(t.first[i]),
                V::all(t.last[i]),
                t.next + i * static_cast<size_t>(t.cells)};
    }
    static IBFAST_INLINE Unit each(const Thresholds<F>& t, size_t i) {
        return {V::load(t.valid_lo + i),
                V::load(t.valid_hi + i),
                V::load(t.scale + i),
                V::load(t.offset + i),
                V::load(t.first + i),
                V::load(t.last + i),
                nullptr};
    }
};

// One code by comparing, and whether x is valid: for what the lattice leaves unsure or undone.
template <class F>
IBFAST_INLINE u32 settled_code(F x, const Thresholds<F>& t, size_t unit, bool& valid) {
    const size_t i = t.per_unit ? unit : 0;
    valid &= (x >= t.valid_lo[i]) & (x <= t.valid_hi[i]);
    if (!t.lattice) {
        const F* sorted = t.sorted + (i << t.steps);
        u32 code = 0;
        for (u32 step = u32(1) << t.steps >> 1; step > 0; step >>= 1)
            code += x >= sorted[code + step - 1] ? step : 0;
        return code;
    }
    F position = x * t.scale[i] + t.offset[i];
    position = position > t.low ? position : t.low;
    position = position < t.high ? position : t.high;
    const u32 cell = static_cast<u32>(position) / kCell;
    const F next = t.next[i * static_cast<size_t>(t.cells) + cell];
    return cell + (x >= next) + (x >= t.first[i]) + (x >= t.last[i]);
}

// How a lattice finds codes.
enum class Way {
    inside,    // of values inside the edges and outside the zones; the checks tell others
    clamped,   // of values outside the zones; the checks tell others
    compared,  // of any values, each of which is compared with the threshold above its position
};

// What a run of values has shown.
template <class F>
struct Checks {
    using V = Vector<F>;
    typename V::Valid valid;
    typename V::Codes peak = V::none();  // of the halves of the positions

    // Whether no position is in a zone or outside the cells.
    bool sure(const Thresholds<F>& t) const {
        return V::below(peak, V::all_codes(static_cast<u32>(t.cells) * kCell + kCell - t.zone));
    }
};

// lane | codes << shift.
template <Way way, bool Ends, class F>
IBFAST_INLINE typename Vector<F>::Codes add_codes(const Thresholds<F>& t, const Unit<F>& u,
                                                  const F* x, unsigned shift,
                                                  typename Vector<F>::Codes lane,
                                                  Checks<F>& checks) {
    using V = Vector<F>;
    const auto v = V::load(x);
    auto position = V::scaled(v, u.scale, u.offset);
    if (way != Way::inside) {
        V::check(checks.valid, v, u.valid_lo, u.valid_hi);
        position = V::clamp(position, V::all(t.low), V::all(t.high));
    }
    auto fixed = V::truncate(position);  // negative, so large, where it is NaN or does not fit
    if (way == Way::compared)
        fixed = V::count(fixed, v, V::gather(u.next, fixed));
    else
        checks.peak = V::peak(checks.peak, fixed);
    if (Ends)
        fixed = way == Way::inside ? V::add(fixed, V::all_codes(kCell))
                                   : V::count(V::count(fixed, v, u.first), v, u.last);
    return V::place(fixed, shift, lane);
}

// Whether to try the way inside. Values on the end edges are not inside: where they are common,
// trying is in vain, and is given up until an eighth of all runs or less have failed.
struct Luck {
    size_t runs = 0, failures = 0;
    bool good() {
        ++runs;
        return failures * 8 <= runs;
    }
};

// The codes of whole vectors of one unit; false where unsure.
template <Way way, bool Ends, class F>
IBFAST_INLINE bool lattice_run(const Thresholds<F>& t, const Unit<F>& u, const F* __restrict x,
                               size_t rows, unsigned shift, u32* __restrict lane, bool& valid) {
    using V = Vector<F>;
    Checks<F> checks;
    for (size_t r = 0; r + V::width <= rows; r += V::width) {
        __builtin_prefetch(x + r + kTileRows);  // this unit's part of the next tile
        V::store(lane + r, add_codes<way, Ends>(t, u, x + r, shift, V::load(lane + r), checks));
    }
    valid &= static_cast<bool>(checks.valid);
    if (__builtin_expect(checks.sure(t), 1)) return true;
    const u32 below = (u32(1) << shift) - 1;  // the codes that were already in place
    for (size_t r = 0; r < rows; ++r) lane[r] &= below;
    return false;
}

// The same for any values. Apart from the hot loop, whose constants it would crowd out.
template <bool Ends, class F>
__attribute__((noinline)) void any_run(const Thresholds<F>& t, size_t unit, const F* x, size_t rows,
                                       unsigned shift, u32* lane, bool& valid) {
    const Unit<F> u = Unit<F>::same(t, unit);
    if (!lattice_run<Way::clamped, Ends>(t, u, x, rows, shift, lane, valid))
        lattice_run<Way::compared, Ends>(t, u, x, rows, shift, lane, valid);
}

template <bool Ends, class F>
bool lattice_codes(const Thresholds<F>& t, size_t unit, const F* __restrict x, size_t rows,
                   unsigned shift, u32* __restrict lane) {
    constexpr size_t run = 64;  // so that one unsure value costs no more than a run
    const size_t i = t.per_unit ? unit : 0;
    const Unit<F> u = Unit<F>::same(t, i);
    bool valid = true;
    Luck luck;
    for (; rows > 0; x += run, lane += run) {
        const size_t some = rows < run ? rows : run;
        rows -= some;
        const bool tried = luck.good();
        if (!tried || !lattice_run<Way::inside, Ends>(t, u, x, some, shift, lane, valid)) {
            luck.failures += tried;
            any_run<Ends>(t, i, x, some, shift, lane, valid);
        }
        for (size_t r = some / Vector<F>::width * Vector<F>::width; r < some; ++r)
            lane[r] |= settled_code(x[r], t, unit, valid) << shift;
    }
    return !valid;
}

// The lanes of a group of units by the lattice; false where that is unsure.
template <Way way, bool PerUnit, bool Ends, class F>
IBFAST_INLINE bool lattice_group(const Thresholds<F>& t, const F* x, size_t from, size_t end,
                                 unsigned bits, const Unit<F>& shared, u32* lanes, bool& valid) {
    using V = Vector<F>;
    constexpr size_t parts = kLanes / V::width;
    const auto add = [&](size_t unit, unsigned shift, auto lane, Checks<F>& checks) {
        __builtin_prefetch(reinterpret_cast<const char*>(x + unit) + kAhead);
        return add_codes<way, Ends>(t, PerUnit ? Unit<F>::each(t, unit) : shared, x + unit, shift,
                                    lane, checks);
    };
    typename V::Codes lane[parts];
    for (auto& part : lane) part = V::none();
    Checks<F> checks;
    size_t unit = from;
    unsigned shift = 0;
#pragma GCC unroll 4
    for (; unit + kLanes <= end; unit += kLanes, shift += bits)
        for (size_t part = 0; part < parts; ++part)
            lane[part] = add(unit + part * V::width, shift, lane[part], checks);
    for (size_t part = 0; part < parts; ++part) V::store(lanes + part * V::width, lane[part]);
    if (__builtin_expect(unit < end, 0)) {  // whole vectors, then one by one
        for (; unit + V::width <= end; unit += V::width, lanes += V::width)
            V::store(lanes, add(unit, shift, V::load(lanes), checks));
        for (; unit < end; ++unit) *lanes++ |= settled_code(x[unit], t, unit, valid) << shift;
    }
    valid &= static_cast<bool>(checks.valid);
    return checks.sure(t);
}

// The same for any values and edges, apart as well.
template <bool Lattice, bool PerUnit, bool Ends, class F>
__attribute__((noinline)) void any_group(const Thresholds<F>& t, const F* x, size_t from,
                                         size_t end, unsigned bits, u32* lanes, bool& valid) {
    if (Lattice) {
        const Unit<F> shared = Unit<F>::same(t, 0);
        if (lattice_group<Way::clamped, PerUnit, Ends>(t, x, from, end, bits, shared, lanes, valid))
            return;
        if (!PerUnit) {
            lattice_group<Way::compared, false, Ends>(t, x, from, end, bits, shared, lanes, valid);
            return;
        }
    }
    for (size_t l = 0; l < kLanes; ++l) lanes[l] = 0;
    for (size_t unit = from; unit < end; ++unit) {
        const size_t k = (unit - from) / kLanes, l = (unit - from) % kLanes;
        lanes[l] |= settled_code(x[unit], t, unit, valid) << (k * bits);
    }
}

}  // namespace
}  // namespace ibfast
