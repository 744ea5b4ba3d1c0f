// What the hot loops need to know of the edges: thresholds in the type of the values.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "discretise.hpp"

namespace ibfast {

// A Thresholds and what it points to.
template <class F>
class ThresholdTable {
  public:
    ThresholdTable(const Binning& b, const std::vector<double>& edges, std::size_t units) {
        const std::size_t m = b.m, tables = b.per_unit ? units : 1;
        const std::size_t padded = b.per_unit ? units + kLanes : 1;
        constexpr F inf = std::numeric_limits<F>::infinity();
        constexpr F nan = std::numeric_limits<F>::quiet_NaN();
        const auto cells = m - 1;
        const bool ends = b.kind == Kind::edges || b.outside == Outside::cell;
        bool lattice = m >= 2 && cells <= kMostLatticeCells;
        for (std::size_t u = 0; u < tables; ++u) {
            const double* e = edges.data() + u * m;
            valid_lo_.push_back(b.outside == Outside::raise ? up(e[0]) : -inf);
            valid_hi_.push_back(b.outside == Outside::raise ? down(e[m - 1]) : inf);
            F first = nan, last = nan;
            if (b.kind == Kind::edges) {
                first = b.outside == Outside::clip ? -inf : up(e[0]);
                last = b.outside == Outside::clip && e[m - 1] == e[0] ? -inf : up(e[m - 1]);
            } else if (b.outside == Outside::cell) {
                first = up(e[0]);
                last = std::nextafter(down(e[m - 1]), inf);
            }
            first_.push_back(first);
            last_.push_back(last);
            if (lattice) lattice = add_lattice(e, cells, b.kind == Kind::edges);
        }
        if (!lattice) {
            std::vector<F> row;
            for (std::int32_t steps = 0;; ++steps)
                if (b.n_codes() <= std::size_t{1} << steps) {
                    t_.steps = steps;
                    break;
                }
            for (std::size_t u = 0; u < tables; ++u) {
                const double* e = edges.data() + u * m;
                row.clear();
                if (ends) row.push_back(first_[u]);
                for (std::size_t i = 1; i < cells; ++i)  // a first edge may repeat
                    row.push_back(ends && e[i] == e[0] ? first_[u] : up(e[i]));
                if (ends && (m > 1 || b.kind != Kind::edges)) row.push_back(last_[u]);
                row.resize(std::size_t{1} << t_.steps, nan);
                sorted_.insert(sorted_.end(), row.begin(), row.end());
            }
        }
        for (auto* v : {&valid_lo_, &valid_hi_, &first_, &last_, &scale_, &offset_})
            v->resize(padded, v->empty() ? F(0) : v->back());
        t_.per_unit = b.per_unit;
        t_.valid_lo = valid_lo_.data();
        t_.valid_hi = valid_hi_.data();
        t_.lattice = lattice;
        t_.scale = scale_.data();
        t_.offset = offset_.data();
        t_.low = F(kCell / 4);
        t_.high = static_cast<F>(cells) * F(kCell) - t_.low;
        t_.next = next_.data();
        t_.cells = static_cast<std::int32_t>(cells);
        t_.ends = ends;
        t_.first = first_.data();
        t_.last = last_.data();
        t_.sorted = sorted_.data();
    }
    ThresholdTable(const ThresholdTable&) = delete;
    ThresholdTable& operator=(const ThresholdTable&) = delete;

    const Thresholds<F>& operator*() const { return t_; }

  private:
    static F up(double e) {  // the least F that is not below e
        const F f = static_cast<F>(e);
        return static_cast<double>(f) < e ? std::nextafter(f, std::numeric_limits<F>::infinity())
                                          : f;
    }
    static F down(double e) { return -up(-e); }

    // Finds positions for the thresholds; false where they need too wide a zone. As positions grow
    // with x, the two values next to a threshold suffice. What is below the first threshold has to
    // be below 0, and what lies from the last on, or beyond it, counts as a cell too many.
    bool add_lattice(const double* e, std::size_t cells, bool last_is_beyond) {
        constexpr F inf = std::numeric_limits<F>::infinity();
        const double scale = static_cast<double>(cells) / (e[cells] - e[0]) * kCell;
        const F a = static_cast<F>(scale);
        if (!std::isnormal(a) || !(a > 0)) return false;
        const auto zone_for = [&](F b) {  // kMostZone + 1 where none will do
            F zone = 0;
            for (std::size_t i = 0; i <= cells && zone <= kMostZone; ++i) {
                const F integer = static_cast<F>(i) * F(kCell);
                const F at =
                    i < cells || last_is_beyond ? up(e[i]) : std::nextafter(down(e[i]), inf);
                const F before = std::nextafter(at, -inf);
                const F most = std::max(before * a + b, std::fma(before, a, b));
                if (!(i ? most < integer : most <= -1)) return kMostZone + 1;
                const F least = std::floor(std::min(at * a + b, std::fma(at, a, b)));
                if (i) zone = std::max(zone, integer - least);
            }
            return static_cast<std::uint32_t>(std::min(zone, F(kMostZone + 1)));
        };
        for (F lowered = 1; lowered <= kMostZone; lowered *= 2) {
            const F b = static_cast<F>(-e[0] * scale - lowered);
            const std::uint32_t zone = zone_for(b);
            if (zone > kMostZone) continue;
            scale_.push_back(a);
            offset_.push_back(b);
            for (std::size_t i = 1; i < cells; ++i) next_.push_back(up(e[i]));
            next_.push_back(std::numeric_limits<F>::quiet_NaN());
            t_.zone = std::max({t_.zone, zone, 1U});
            return true;
        }
        return false;
    }

    static constexpr std::size_t kMostLatticeCells = std::size_t{1} << 15;
    static constexpr std::uint32_t kMostZone = kCell / 8;
    std::vector<F> valid_lo_, valid_hi_, scale_, offset_, first_, last_, next_, sorted_;
    Thresholds<F> t_{};
};

}  // namespace ibfast
