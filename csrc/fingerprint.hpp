// From activations to one 128-bit key per row, block by block, without storing codes.
//
// Where all codes of a row fit 128 bits the key is the row, packed. Else the packed codes are the
// digits (below 2^28) of a multilinear hash over the field of 2^31 - 1 elements,
//     h(c) = sum_j a_j c_j modulo 2^31 - 1,
// four times with independent, uniform a_j. Two unlike rows differ in some digit, by less than the
// field's size, so each hash collides with probability 1 / (2^31 - 1) over the choice of a_j
// (Carter & Wegman 1979) and the four together with 2^-124: n rows with less than n^2 / 2^125. The
// a_j are drawn once from a fixed seed, so this holds for data that were not made from them.
#pragma once

#include <memory>

#include "thresholds.hpp"

namespace ibfast {

inline std::uint64_t splitmix64(std::uint64_t& state) {  // Steele, Lea & Flood 2014
    std::uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

// [group][hash][lane], uniform in [0, 2^31 - 1), and one entry more for vectors that read past.
inline std::vector<std::uint32_t> hash_coefficients(std::size_t groups) {
    std::vector<std::uint32_t> c;
    c.reserve(groups * kHashes * kLanes + 1);
    std::uint64_t state = 0x1bfa57;
    while (c.size() < groups * kHashes * kLanes) {
        const auto a = static_cast<std::uint32_t>(splitmix64(state) >> 33);
        if (a < kMersenne31) c.push_back(a);
    }
    c.push_back(0);
    return c;
}

constexpr std::size_t kTileValues = 8192;  // of a converted row-major tile
constexpr std::size_t kFlatValues = 2048;
constexpr unsigned kDigits = 3;  // of a wide code: 22, 21 and 21 bits

template <class F>
const Loops<F>& loops() {
    if constexpr (std::is_same<F, float>::value)
        return simd().f32;
    else
        return simd().f64;
}

// The keys of one (n, d) array. Immutable: many threads may ask for blocks of rows.
class Keyer {
  public:
    Keyer(const View& view, const Binning& binning, int threads, const Poll& poll)
        : view_(view), binning_(binning), edges_(binning.edges) {
        if (binning_.needs_extent()) edges_from_extent(threads, poll);
        if (!binning_.wide()) {
            const std::uint32_t last = binning_.n_codes() - 1;
            bits_ = 1;
            while (last >> bits_) ++bits_;
            if (fits_float(view_.dtype))
                f32_ = std::make_unique<ThresholdTable<float>>(binning_, edges_, view_.d);
            else
                f64_ = std::make_unique<ThresholdTable<double>>(binning_, edges_, view_.d);
        }
        exact_ = view_.d * bits_ <= 128;
        step_ = bits_ <= 8 && view_.d <= 16 ? 8 : bits_;
        if (!exact_) {
            const std::size_t lanes =
                binning_.wide() ? view_.d * kDigits
                                : (view_.d + kLaneBits / bits_ - 1) / (kLaneBits / bits_) + kLanes;
            coefficients_ = hash_coefficients(lanes / kLanes + 1);
            if (binning_.kind == Kind::width)
                for (std::size_t h = 0; h < kHashes; ++h)
                    for (std::size_t lane = 0; lane < view_.d * kDigits; lane += kDigits)
                        lowest_.push_back(*factors(lane, h));
        }
    }

    std::size_t rows() const { return view_.n; }
    std::size_t units() const { return view_.d; }

    // Keys of rows [from, to). Throws what is wrong with the values.
    void keys(std::size_t from, std::size_t to, Key* out) const {
        bool invalid = false;
        if (binning_.wide()) {
            if (!lowest_.empty()) {
                const std::size_t done = fits_float(view_.dtype)
                                             ? small_codes<float>(from, to, out)
                                             : small_codes<double>(from, to, out);
                from += done;
                out += done;
            }
            invalid = wide_keys(from, to, out);
        } else if (f32_)
            invalid = narrow_keys(**f32_, from, to, out);
        else
            invalid = narrow_keys(**f64_, from, to, out);
        if (invalid) throw_faults(view_, binning_, edges_);
    }

    // Codes of rows [from, to), as numpy.histogram or numpy.digitize number them.
    void codes(std::size_t from, std::size_t to, std::int64_t* out) const {
        bool invalid = false;
        const std::int64_t base =
            binning_.kind == Kind::uniform && binning_.outside == Outside::cell ? -1 : 0;
        const auto narrow = [&](const auto& t) {
            using F = std::decay_t<decltype(*t.valid_lo)>;
            Tile<F> tile;
            for (std::size_t r = from; r < to; r += kTileRows) {
                const std::size_t rows = std::min(kTileRows, to - r);
                for (std::size_t u = 0; u < view_.d; ++u) {
                    std::fill(tile.lane, tile.lane + rows, 0U);
                    invalid |=
                        loops<F>().codes(t, u, unit_run(tile, r, u, rows), rows, 0, tile.lane);
                    for (std::size_t i = 0; i < rows; ++i)
                        out[(r - from + i) * view_.d + u] = tile.lane[i] + base;
                }
            }
        };
        if (binning_.wide())
            for (std::size_t r = from; r < to; ++r)
                for (std::size_t u = 0; u < view_.d; ++u)
                    invalid |= wide_codes(r, u, 1, out + (r - from) * view_.d + u);
        else if (f32_)
            narrow(**f32_);
        else
            narrow(**f64_);
        if (invalid) throw_faults(view_, binning_, edges_);
    }

  private:
    template <class F>
    struct Tile {
        alignas(64) F values[kTileRows];
        alignas(64) std::uint32_t lane[kLanes * kTileRows];
        alignas(64) std::uint64_t sums[kHashes * kTileRows];
    };

    // Rows [row, row + rows) of a unit as F: in place where they lie so, else copied to the tile.
    template <class F>
    const F* unit_run(Tile<F>& tile, std::size_t row, std::size_t unit, std::size_t rows) const {
        if (view_.units_contiguous<F>()) return reinterpret_cast<const F*>(view_.at(row, unit));
        load(view_.dtype, view_.at(row, unit), view_.row_stride, rows, tile.values);
        return tile.values;
    }

    template <class F>
    bool narrow_keys(const Thresholds<F>& t, std::size_t from, std::size_t to, Key* out) const {
        if (!exact_ && !view_.unit_major()) return row_major_keys(t, from, to, out);
        bool invalid = false;
        const std::unique_ptr<Tile<F>> tile(new Tile<F>);  // uninitialised
        std::vector<F> transposed;
        for (std::size_t r = from; r < to; r += kTileRows, out += kTileRows) {
            const std::size_t rows = std::min(kTileRows, to - r);
            if (exact_)
                invalid |= exact_tile(t, *tile, transposed, r, rows, out);
            else
                invalid |= hashed_tile(t, *tile, r, rows, out);
        }
        return invalid;
    }

    // Packs unit after unit: lanes of up to kLaneBits, each put in its place in the key.
    template <class F>
    bool exact_tile(const Thresholds<F>& t, Tile<F>& tile, std::vector<F>& gathered,
                    std::size_t row, std::size_t rows, Key* out) const {
        const bool gather = !view_.unit_major() && view_.d > 1;
        if (gather) {  // a few units a row: one pass over the rows, not one for each unit
            const bool in_place =
                view_.rows_contiguous<F>() &&
                view_.row_stride == static_cast<std::ptrdiff_t>(view_.d * sizeof(F));
            const bool flat = step_ == 8 && !t.per_unit;
            if (flat && in_place)
                return flat_tile(t, reinterpret_cast<const F*>(view_.at(row, 0)), rows, out);
            gathered.resize(view_.d * kTileRows);
            load_rows(view_, row, rows, gathered.data(), flat ? view_.d : 1, flat ? 1 : kTileRows);
            if (flat) return flat_tile(t, gathered.data(), rows, out);
        }
        bool invalid = false;
        std::fill(out, out + rows, Key{0, 0});
        std::size_t unit = 0;
        while (unit < view_.d) {
            const unsigned place = static_cast<unsigned>(unit) * step_;
            std::fill(tile.lane, tile.lane + rows, 0U);
            for (unsigned shift = 0; shift + step_ <= kLaneBits && unit < view_.d;
                 shift += step_, ++unit) {
                const F* x =
                    gather ? gathered.data() + unit * kTileRows : unit_run(tile, row, unit, rows);
                invalid |= loops<F>().codes(t, unit, x, rows, shift, tile.lane);
            }
            if (place < 64)
                for (std::size_t i = 0; i < rows; ++i)
                    out[i].lo |= static_cast<std::uint64_t>(tile.lane[i]) << place;
            if (place >= 64)
                for (std::size_t i = 0; i < rows; ++i)
                    out[i].hi |= static_cast<std::uint64_t>(tile.lane[i]) << (place - 64);
            else if (place > 64 - kLaneBits)
                for (std::size_t i = 0; i < rows; ++i)
                    out[i].hi |= static_cast<std::uint64_t>(tile.lane[i]) >> (64 - place);
        }
        return invalid;
    }

    // Rows that lie end to end, with the same edges for all units and codes of a byte: one run.
    template <class F>
    bool flat_tile(const Thresholds<F>& t, const F* x, std::size_t rows, Key* out) const {
        alignas(64) std::uint32_t codes[kFlatValues];
        const std::size_t most = kFlatValues / view_.d;
        bool invalid = false;
        for (std::size_t r = 0; r < rows; r += most) {
            const std::size_t some = std::min(most, rows - r), values = some * view_.d;
            std::fill(codes, codes + values, 0U);
            invalid |= loops<F>().codes(t, 0, x + r * view_.d, values, 0, codes);
            simd().pack_bytes(codes, some, view_.d, out + r);
        }
        return invalid;
    }

    template <class F>
    bool hashed_tile(const Thresholds<F>& t, Tile<F>& tile, std::size_t row, std::size_t rows,
                     Key* out) const {
        const std::size_t a_lane = kLaneBits / bits_, group = a_lane * kLanes;
        bool invalid = false;
        std::fill(std::begin(tile.sums), std::end(tile.sums), 0);
        const std::uint32_t* c = coefficients_.data();
        for (std::size_t first = 0; first < view_.d; first += group, c += kHashes * kLanes) {
            const std::size_t lanes = std::min(kLanes, view_.d - first);
            for (std::size_t l = 0; l < lanes; ++l) {
                std::uint32_t* lane = tile.lane + l * kTileRows;
                std::fill(lane, lane + rows, 0U);
                for (std::size_t k = 0; k < a_lane; ++k) {
                    const std::size_t unit = first + k * kLanes + l;
                    if (unit >= view_.d) break;
                    invalid |= loops<F>().codes(t, unit, unit_run(tile, row, unit, rows), rows,
                                                static_cast<unsigned>(k) * bits_, lane);
                }
            }
            simd().accumulate(tile.lane, lanes, rows, c, tile.sums);
            simd().fold(tile.sums, rows);
        }
        simd().finish(tile.sums, rows, out);
        return invalid;
    }

    template <class F>
    bool row_major_keys(const Thresholds<F>& t, std::size_t from, std::size_t to, Key* out) const {
        bool invalid = false;
        row_major<F>(from, to, out,
                     [&](const F* x, std::ptrdiff_t stride, std::size_t rows, Key* keys) {
                         invalid |= loops<F>().hash_rows(t, x, stride, rows, view_.d, bits_,
                                                         coefficients_.data(), keys);
                         return rows;
                     });
        return invalid;
    }

    // hash(x, stride, rows, keys) for runs of rows that lie side by side as F, until it has done
    // fewer than it was given; the number of rows that are done.
    template <class F, class Hash>
    std::size_t row_major(std::size_t from, std::size_t to, Key* out, const Hash& hash) const {
        if (view_.rows_contiguous<F>())
            return hash(reinterpret_cast<const F*>(view_.at(from, 0)),
                        view_.row_stride / static_cast<std::ptrdiff_t>(sizeof(F)), to - from, out);
        const std::size_t most = std::max<std::size_t>(1, kTileValues / view_.d);
        std::vector<F> tile(most * view_.d);
        for (std::size_t r = from; r < to; r += most) {
            const std::size_t rows = std::min(most, to - r);
            load_rows(view_, r, rows, tile.data(), view_.d, 1);
            const std::size_t done =
                hash(tile.data(), static_cast<std::ptrdiff_t>(view_.d), rows, out + (r - from));
            if (done < rows) return r - from + done;
        }
        return to - from;
    }

    // Codes without a bound: floor(t / width), or the integers themselves.
    bool wide_codes(std::size_t row, std::size_t unit, std::size_t rows, std::int64_t* out) const {
        const char* at = view_.at(row, unit);
        if (binning_.kind == Kind::integers) {
            load(view_.dtype, at, view_.row_stride, rows, out);
            return false;
        }
        using Limits = std::numeric_limits<std::int64_t>;
        double values[kTileRows];
        load(view_.dtype, at, view_.row_stride, rows, values);
        bool invalid = false;
        for (std::size_t i = 0; i < rows; ++i) {
            const double cell = std::floor(values[i] / binning_.width);
            const bool fits = fits_code(cell);
            out[i] = fits       ? static_cast<std::int64_t>(cell)
                     : cell < 0 ? Limits::min()
                                : Limits::max();
            invalid |= binning_.outside == Outside::raise ? !fits : std::isnan(cell);
        }
        return invalid;
    }

    const std::uint32_t* factors(std::size_t lane, std::size_t hash) const {
        return coefficients_.data() + (lane / kLanes * kHashes + hash) * kLanes + lane % kLanes;
    }

    // Keys of the rows before the first that has a code of more than one digit; their number.
    template <class F>
    std::size_t small_codes(std::size_t from, std::size_t to, Key* out) const {
        const auto hash = [&](const F* x, std::ptrdiff_t stride, std::size_t rows, Key* keys) {
            return loops<F>().hash_widths(x, stride, rows, view_.d, binning_.width, lowest_.data(),
                                          keys);
        };
        return row_major<F>(from, to, out, hash);
    }

    bool wide_keys(std::size_t from, std::size_t to, Key* out) const {
        std::int64_t code[kTileRows];
        const std::unique_ptr<Tile<float>> tile(new Tile<float>);
        const bool negative = binning_.kind == Kind::width || !is_unsigned(view_.dtype);
        bool invalid = false;
        for (std::size_t r = from; r < to; r += kTileRows, out += kTileRows) {
            const std::size_t rows = std::min(kTileRows, to - r);
            std::fill(out, out + rows, Key{0, 0});
            std::fill(std::begin(tile->sums), std::end(tile->sums), 0);
            for (std::size_t u = 0; u < view_.d; ++u) {
                invalid |= wide_codes(r, u, rows, code);
                std::uint64_t any = 0;
                for (std::size_t i = 0; i < rows; ++i) {  // small for small codes of either sign
                    const auto v = static_cast<std::uint64_t>(code[i]);
                    const std::uint64_t zigzag = negative ? (v << 1) ^ (0 - (v >> 63)) : v;
                    code[i] = static_cast<std::int64_t>(zigzag);
                    any |= zigzag;
                    if (exact_) (u == 0 ? out[i].lo : out[i].hi) = zigzag;
                }
                if (exact_) continue;
                for (std::size_t digit = 0; digit < kDigits; ++digit) {
                    const unsigned shift = digit == 0 ? 0 : digit == 1 ? 22 : 43;
                    const std::uint32_t mask = digit == 0 ? 0x3fffff : 0x1fffff;
                    const std::size_t lane = u * kDigits + digit;
                    if ((any >> shift) == 0) continue;  // zeros add nothing
                    for (std::size_t i = 0; i < rows; ++i)
                        tile->lane[i] = static_cast<std::uint32_t>(
                                            static_cast<std::uint64_t>(code[i]) >> shift) &
                                        mask;
                    simd().accumulate(tile->lane, 1, rows, factors(lane, 0), tile->sums);
                }
                if (u % 5 == 4) simd().fold(tile->sums, rows);
            }
            if (!exact_) simd().finish(tile->sums, rows, out);
        }
        return invalid;
    }

    void edges_from_extent(int threads, const Poll& poll) {
        std::vector<double> lo, hi;
        if (fits_float(view_.dtype))
            extent<float>(threads, poll, lo, hi);
        else
            extent<double>(threads, poll, lo, hi);
        for (std::size_t u = 0; u < lo.size(); ++u) {
            if (!(lo[u] <= hi[u]) || !std::isfinite(lo[u]) || !std::isfinite(hi[u]))
                throw_faults(view_, binning_, {});
            append_linspace(lo[u], hi[u], binning_.bins, edges_);
        }
    }

    // Least and greatest value of all, or of each unit. NaN is passed over here: keys() finds it.
    template <class F>
    void extent(int threads, const Poll& poll, std::vector<double>& lo,
                std::vector<double>& hi) const {
        constexpr F inf = std::numeric_limits<F>::infinity();
        const std::size_t tables = binning_.per_unit ? view_.d : 1;
        const bool by_unit = view_.unit_major();
        const std::size_t lines = by_unit ? view_.d : view_.n, length = by_unit ? view_.n : view_.d;
        const std::size_t block = std::max<std::size_t>(1, (std::size_t{1} << 16) / length);
        const std::size_t workers = static_cast<std::size_t>(threads);
        std::vector<std::vector<F>> least(workers, std::vector<F>(tables, inf));
        std::vector<std::vector<F>> most(workers, std::vector<F>(tables, -inf));
        parallel_for((lines + block - 1) / block, threads, poll, [&](std::size_t task, int worker) {
            F* const lo_w = least[static_cast<std::size_t>(worker)].data();
            F* const hi_w = most[static_cast<std::size_t>(worker)].data();
            std::vector<F> copy;
            const auto one = [&](const F* x, std::size_t count, std::size_t line) {
                if (binning_.per_unit && !by_unit)
                    loops<F>().extents(x, count, lo_w, hi_w);
                else
                    loops<F>().extent(x, count, lo_w + (binning_.per_unit ? line : 0),
                                      hi_w + (binning_.per_unit ? line : 0));
            };
            const std::size_t first = task * block, last = std::min(lines, first + block);
            const std::ptrdiff_t step = by_unit ? view_.row_stride : view_.unit_stride;
            const bool packed = view_.native<F>() && step == sizeof(F);
            if (packed && !binning_.per_unit && !by_unit &&
                view_.row_stride == static_cast<std::ptrdiff_t>(sizeof(F) * view_.d)) {
                one(reinterpret_cast<const F*>(view_.at(first, 0)), (last - first) * length, 0);
                return;
            }
            for (std::size_t line = first; line < last; ++line) {
                const char* at = by_unit ? view_.at(0, line) : view_.at(line, 0);
                if (packed) {
                    one(reinterpret_cast<const F*>(at), length, line);
                } else {
                    copy.resize(length);
                    load(view_.dtype, at, step, length, copy.data());
                    one(copy.data(), length, line);
                }
            }
        });
        lo.assign(tables, inf);
        hi.assign(tables, -inf);
        for (std::size_t w = 0; w < workers; ++w)
            for (std::size_t u = 0; u < tables; ++u) {
                lo[u] = std::min(lo[u], static_cast<double>(least[w][u]));
                hi[u] = std::max(hi[u], static_cast<double>(most[w][u]));
            }
    }

    View view_;
    Binning binning_;
    std::vector<double> edges_;
    unsigned bits_ = 64, step_ = 64;  // of a code; of its place in an exact key
    bool exact_ = false;
    std::vector<std::uint32_t> coefficients_;
    std::vector<std::uint32_t> lowest_;  // those of the lowest digits of Width, by hash and unit
    std::unique_ptr<ThresholdTable<float>> f32_;
    std::unique_ptr<ThresholdTable<double>> f64_;
};

}  // namespace ibfast
