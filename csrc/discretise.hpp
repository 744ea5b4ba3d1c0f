// Activations as they lie in memory, and what a bin is: views, edges, faults.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "parallel.hpp"
#include "simd.hpp"

namespace ibfast {

// What the caller did wrong; bindings turn it into ValueError.
struct InvalidInput : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

enum class DType { f16, bf16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64 };

struct BFloat16 {
    std::uint16_t bits;
};
struct Half {
    std::uint16_t bits;
};

template <class Visitor>
auto visit(DType t, Visitor&& v) {
    switch (t) {
        case DType::f16:
            return v(Half{});
        case DType::bf16:
            return v(BFloat16{});
        case DType::f32:
            return v(float{});
        case DType::f64:
            return v(double{});
        case DType::i8:
            return v(std::int8_t{});
        case DType::i16:
            return v(std::int16_t{});
        case DType::i32:
            return v(std::int32_t{});
        case DType::i64:
            return v(std::int64_t{});
        case DType::u8:
            return v(std::uint8_t{});
        case DType::u16:
            return v(std::uint16_t{});
        case DType::u32:
            return v(std::uint32_t{});
        default:
            return v(std::uint64_t{});
    }
}

inline bool is_unsigned(DType t) { return t >= DType::u8; }
// Whether float holds every value of the type; else double is used, as NumPy's astype(float64).
inline bool fits_float(DType t) {
    return t <= DType::f32 || t == DType::i8 || t == DType::i16 || t == DType::u8 ||
           t == DType::u16;
}

// n rows of d units; strides in bytes, of any sign.
struct View {
    const char* data;
    std::size_t n, d;
    std::ptrdiff_t row_stride, unit_stride;
    DType dtype;

    const char* at(std::size_t row, std::size_t unit) const {
        return data + static_cast<std::ptrdiff_t>(row) * row_stride +
               static_cast<std::ptrdiff_t>(unit) * unit_stride;
    }
    template <class F>
    bool native() const {
        return dtype == (std::is_same<F, float>::value ? DType::f32 : DType::f64) &&
               reinterpret_cast<std::uintptr_t>(data) % sizeof(F) == 0 &&
               row_stride % static_cast<std::ptrdiff_t>(sizeof(F)) == 0 &&
               unit_stride % static_cast<std::ptrdiff_t>(sizeof(F)) == 0;
    }
    // Whether the units of a row, or the rows of a unit, lie side by side as F.
    template <class F>
    bool rows_contiguous() const {
        return native<F>() && (d == 1 || unit_stride == sizeof(F));
    }
    template <class F>
    bool units_contiguous() const {
        return native<F>() && (n == 1 || row_stride == sizeof(F));
    }
    bool unit_major() const { return std::abs(row_stride) < std::abs(unit_stride); }
};

template <class T>
double value_of(const char* at) {  // exact, but for 64-bit integers, which round as NumPy's do
    T value;
    std::memcpy(&value, at, sizeof value);
    if constexpr (std::is_same<T, Half>::value) {
        float f;
        simd().half_to_float(&value.bits, 1, &f);
        return f;
    } else if constexpr (std::is_same<T, BFloat16>::value) {
        const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
        float f;
        std::memcpy(&f, &bits, sizeof f);
        return f;
    } else {
        return static_cast<double>(value);
    }
}

// `count` values `stride` bytes apart, as To.
template <class To>
void load(DType dtype, const char* from, std::ptrdiff_t stride, std::size_t count, To* out) {
    visit(dtype, [&](auto type) {
        using T = decltype(type);
        if constexpr (std::is_same<T, Half>::value && std::is_same<To, float>::value)
            if (stride == 2) {
                simd().half_to_float(reinterpret_cast<const std::uint16_t*>(from), count, out);
                return;
            }
        // The step is a constant where values lie side by side, as they mostly do.
        const auto each = [&](auto step) {
            for (std::size_t i = 0; i < count; ++i, from += step) {
                if constexpr (std::is_integral<T>::value && std::is_integral<To>::value) {
                    T value;
                    std::memcpy(&value, from, sizeof value);
                    out[i] = static_cast<To>(value);
                } else {
                    out[i] = static_cast<To>(value_of<T>(from));
                }
            }
        };
        if (stride == sizeof(T))
            each(std::integral_constant<std::ptrdiff_t, sizeof(T)>{});
        else
            each(stride);
    });
}

// All units of rows [row, row + rows): the value of (row + i, unit) at out[i step + unit
// unit_step].
template <class To>
void load_rows(const View& v, std::size_t row, std::size_t rows, To* out, std::size_t step,
               std::size_t unit_step) {
    if (unit_step == 1) {
        for (std::size_t i = 0; i < rows; ++i)
            load(v.dtype, v.at(row + i, 0), v.unit_stride, v.d, out + i * step);
        return;
    }
    visit(v.dtype, [&](auto type) {
        for (std::size_t i = 0; i < rows; ++i) {
            const char* from = v.at(row + i, 0);
            for (std::size_t u = 0; u < v.d; ++u, from += v.unit_stride)
                out[i * step + u * unit_step] = static_cast<To>(value_of<decltype(type)>(from));
        }
    });
}

enum class Kind { uniform, edges, width, integers };
enum class Outside { raise, clip, cell };

// What the caller asked for. `edges` holds one row of m edges for all units, or one for each
// (per_unit); it is empty where a uniform grid takes its range from the data.
struct Binning {
    Kind kind;
    Outside outside;
    bool per_unit;
    std::size_t bins;           // uniform
    double width;               // width
    std::vector<double> edges;  // uniform with a range, edges
    std::size_t m;              // edges a unit

    bool wide() const { return kind == Kind::width || kind == Kind::integers; }
    bool needs_extent() const { return kind == Kind::uniform && edges.empty(); }
    std::uint32_t n_codes() const {
        return static_cast<std::uint32_t>(kind == Kind::edges        ? m + 1
                                          : outside == Outside::cell ? m + 1
                                                                     : m - 1);
    }
};

inline std::string number(double v) {
    std::ostringstream s;
    s.precision(9);
    s << v;
    return s.str();
}

// numpy.linspace(lo, hi, bins + 1), and numpy.histogram's errors.
inline void append_linspace(double lo, double hi, std::size_t bins, std::vector<double>& edges) {
    if (lo == hi) {
        lo -= 0.5;
        hi += 0.5;
    }
    const double delta = hi - lo, step = delta / static_cast<double>(bins);
    if (!std::isfinite(delta))
        throw InvalidInput("range: its width overflows, from " + number(lo) + " to " + number(hi));
    const std::size_t first = edges.size();
    for (std::size_t i = 0; i < bins; ++i) {
        const double t = static_cast<double>(i);
        const double offset = step == 0 ? t / static_cast<double>(bins) * delta : t * step;
        edges.push_back(offset + lo);
    }
    edges.push_back(hi);
    for (std::size_t i = first + 1; i < edges.size(); ++i)
        if (!(edges[i - 1] < edges[i]))
            throw InvalidInput("bins: " + std::to_string(bins) +
                               " bins of finite size do not fit between " + number(lo) + " and " +
                               number(hi));
}

// Whether a cell of Width has a number of 64 bits.
inline bool fits_code(double cell) { return cell >= -0x1p63 && cell < 0x1p63; }

// Where a scan of the values found the first NaN, and what lies outside.
struct Faults {
    bool nan = false;
    std::size_t nan_row = 0, nan_unit = 0, outside = 0;
    double lo = std::numeric_limits<double>::infinity(), hi = -lo;
};

// Goes through all values, slowly: for the text of an error. valid(value, unit) is false outside.
template <class Valid>
Faults find_faults(const View& view, const Valid& valid) {
    Faults f;
    std::vector<double> row(view.d);
    for (std::size_t r = 0; r < view.n; ++r) {
        load(view.dtype, view.at(r, 0), view.unit_stride, view.d, row.data());
        for (std::size_t u = 0; u < view.d; ++u) {
            const double v = row[u];
            if (std::isnan(v)) {
                if (!f.nan) f.nan_row = r, f.nan_unit = u;
                f.nan = true;
            } else if (!valid(v, u)) {
                ++f.outside;
                f.lo = std::min(f.lo, v);
                f.hi = std::max(f.hi, v);
            }
        }
    }
    return f;
}

// Throws what is wrong with the values of `view`, of which some are NaN or outside the edges.
[[noreturn]] inline void throw_faults(const View& view, const Binning& b,
                                      const std::vector<double>& edges) {
    const Faults f = find_faults(view, [&](double v, std::size_t unit) {
        if (b.kind == Kind::width) return fits_code(std::floor(v / b.width));
        if (b.outside != Outside::raise || edges.empty()) return std::isfinite(v);
        const double* e = edges.data() + (b.per_unit ? unit * b.m : 0);
        return v >= e[0] && v <= e[b.m - 1];
    });
    if (f.nan)
        throw InvalidInput("acts: NaN at row " + std::to_string(f.nan_row) + ", unit " +
                           std::to_string(f.nan_unit) + ": every activation must be a number");
    const std::string extent = "from " + number(f.lo) + " to " + number(f.hi);
    const std::string count = std::to_string(f.outside) + " of " + std::to_string(view.n * view.d);
    if (b.needs_extent())
        throw InvalidInput("acts: " + count + " values are infinite (" + extent +
                           "): bins without a range need finite activations; give a range and "
                           "outside='clip' or 'cell'");
    if (b.kind == Kind::width)
        throw InvalidInput("acts: " + std::to_string(f.outside) +
                           " infinite values, or values too large for the width " +
                           number(b.width) +
                           ": floor(t / width) must fit 64 bits; or say outside='clip' or 'cell'");
    const std::string range = b.per_unit
                                  ? "their units' ranges"
                                  : "[" + number(edges[0]) + ", " + number(edges[b.m - 1]) + "]";
    throw InvalidInput("acts: " + count + " values lie outside " + range + "; those extend " +
                       extent + ": widen the range, or say outside='clip' or outside='cell'");
}

}  // namespace ibfast
