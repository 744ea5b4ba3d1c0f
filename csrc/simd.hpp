// The interface between the portable code and the hot loops, which are compiled once per
// x86-64 level (simd.cpp) and chosen at run time. Plain data only: nothing with a definition that
// a linker could take from a unit compiled for another level.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ibfast {

constexpr std::size_t kTileRows = 1024;   // rows of a unit-major tile: its buffers stay in L1
constexpr std::size_t kLanes = 16;        // units side by side in a row-major group
constexpr unsigned kLaneBits = 28;        // codes packed in a lane: a digit of the hash
constexpr std::size_t kHashes = 4;        // residues modulo 2^31 - 1 in a key
constexpr std::uint32_t kCell = 1 << 16;  // a cell in units of a lattice's position
constexpr std::uint32_t kMersenne31 = 0x7fffffff;

struct Key {
    std::uint64_t lo, hi;
};

// code = #{i : threshold[i] <= x}. Arrays hold one entry for all units, or with `per_unit` one for
// each unit and kLanes more, so that a vector may be read at the last. All thresholds are rounded
// up to F (and valid_hi down), so that comparing in F is comparing in double.
template <class F>
struct Thresholds {
    bool per_unit;
    const F *valid_lo, *valid_hi;  // values outside are reported, as is NaN
    // Lattice (else a binary search): the position x * scale + offset, rounded towards zero, counts
    // cells in its upper 16 bits and 2^-16 of a cell in the lower ones. It grows with x and is set
    // a little low: values below threshold i of [0, cells] stay below the integer i, those from it
    // on reach it or come within `zone` of it, whether the product is rounded or not. So outside
    // the zones below the integers its upper half is the cell.
    bool lattice;
    const F *scale, *offset;
    F low, high;  // positions inside the end cells, to which outer ones are clamped
    std::uint32_t zone;
    const F* next;  // `cells` a unit: threshold i + 1 for cell i, NaN for the last
    std::int32_t cells;
    bool ends;              // whether there are thresholds at the ends:
    const F *first, *last;  // NaN where there is none
    // Search: thresholds of each unit, padded with NaN to 2^steps.
    const F* sorted;
    std::int32_t steps;
};

// Loops that return bool return true where some x is invalid (outside its range, or NaN).
template <class F>
struct Loops {
    // lane[r] |= code(x[r]) << shift, for values of one unit.
    bool (*codes)(const Thresholds<F>&, std::size_t unit, const F* x, std::size_t rows,
                  unsigned shift, std::uint32_t* lane);
    // The keys of rows of `units` values, `stride` apart, with codes of `bits` bits. A group holds
    // w = kLaneBits / bits codes a lane: lane l of group g those of units (g w + k) kLanes + l, at
    // bit k bits. Its factors are coefficient[g][hash][l], with one entry more at the end.
    bool (*hash_rows)(const Thresholds<F>&, const F* x, std::ptrdiff_t stride, std::size_t rows,
                      std::size_t units, unsigned bits, const std::uint32_t* coefficient, Key* key);
    // The same for codes floor(x / width), while these lie in [-2^21, 2^21): returns the number of
    // rows before the first that has another, or NaN. The factors of a unit's lowest digit are
    // coefficient[hash * units + unit].
    std::size_t (*hash_widths)(const F* x, std::ptrdiff_t stride, std::size_t rows,
                               std::size_t units, double width, const std::uint32_t* coefficient,
                               Key* key);
    // Least and greatest of x[0..n) and *lo, *hi; NaN is passed over.
    void (*extent)(const F* x, std::size_t n, F* lo, F* hi);
    // The same at each of n places.
    void (*extents)(const F* x, std::size_t n, F* lo, F* hi);
};

constexpr std::size_t kPairBlock = 128;  // rows of a block of pairs, unit-major
constexpr std::size_t kPairGroup = 32;   // columns of a block go in whole groups
constexpr std::size_t kPairRows = 4;     // rows whose distances are found at once

// Squared distances and Gaussian kernels between rows of one block and columns of another.
template <class F>
struct PairLoops {
    // out[r * kPairBlock + j] = |a_r - b_j|^2 for r < rows <= kPairRows and from <= j < end, and
    // whatever is in b's padding beside them.
    void (*distances)(const F* a, std::size_t rows, const F* b, std::size_t from, std::size_t end,
                      std::size_t units, F* out);
    // With c_j = 2^(scale (offset - d2[j])): adds the sum of c_j to row[0] and that of c_j^4 to
    // row[1], and where `chernoff` is given c_j to chernoff[j] and c_j^4 to kl[j]. The range is one
    // of whole groups; an infinite d2 adds nothing. Terms c_j below 2^-100 are left out.
    void (*kernels)(const F* d2, std::size_t from, std::size_t end, double scale, double offset,
                    double* row, double* chernoff, double* kl);
};

struct Pairs {
    PairLoops<float> f32;
    PairLoops<double> f64;
};

// The information bottleneck: `rows` inputs with rows p[x * k + y] = p(y|x), clusters t < stride,
// of which there are whole vectors of 8; those too many have phi = -infinity, nearly.
struct BottleneckLoops {
    // With z_t = scale * sum over y of p_y phi[y * stride + t]: q[x * stride + t] = 2^z_t / sum
    // over t of 2^z_t, and the log2 of that sum.
    void (*encode)(const double* p, std::size_t rows, std::size_t k, const double* phi,
                   std::size_t stride, double scale, double* q, double* log2_sum);
    // q[x * stride + t] = 2^(z_t + log2_weight[x]), at most 2^1000.
    void (*weigh)(const double* p, std::size_t rows, std::size_t k, const double* phi,
                  std::size_t stride, double scale, const double* log2_weight, double* q);
    // out[y * stride + t] += sum over x of weight[x] p[x * k + y] q[x * stride + t]
    void (*decode)(const double* p, const double* weight, std::size_t rows, std::size_t k,
                   const double* q, std::size_t stride, double* out);
    // The same with q (a - mean), a_t the sum over y of p_y direction[y * stride + t] and `mean`
    // its mean under q. `scratch` holds a row.
    void (*curve)(const double* p, const double* weight, std::size_t rows, std::size_t k,
                  const double* direction, std::size_t stride, const double* q, double* scratch,
                  double* out);
};

struct Simd {
    const char* name;
    Loops<float> f32;
    Loops<double> f64;
    // The same from lanes of many rows. sums[hash][r] += the sum over l < lanes of lane[l][r] *
    // coefficient[hash * kLanes + l], rows of a lane and of a hash kTileRows apart; to be folded
    // after every 16 lanes; then key[r] of the sums, which are reduced in place.
    void (*accumulate)(const std::uint32_t* lane, std::size_t lanes, std::size_t rows,
                       const std::uint32_t* coefficient, std::uint64_t* sums);
    void (*fold)(std::uint64_t* sums, std::size_t rows);
    void (*finish)(std::uint64_t* sums, std::size_t rows, Key* key);
    // key[r] = codes[r d .. r d + d) as bytes, d at most 16.
    void (*pack_bytes)(const std::uint32_t* codes, std::size_t rows, std::size_t d, Key* key);
    void (*half_to_float)(const std::uint16_t* x, std::size_t n, float* out);
    const Pairs* pairs;
    const BottleneckLoops* bottleneck;
};

const Simd& simd();                  // the level in use
bool select_simd(const char* name);  // false where it is not built or the machine lacks it

}  // namespace ibfast
