// The loops of the information bottleneck. Vectors are of eight doubles on every level, so that all
// give the same bits; clusters lie side by side in them, padded to whole vectors.
#include <cmath>

#include "level.hpp"
#include "simd.hpp"

namespace ibfast {
namespace {

using std::size_t;

typedef double V __attribute__((vector_size(8 * sizeof(double))));
typedef long long I __attribute__((vector_size(8 * sizeof(long long))));

IBFAST_INLINE void load(const double* p, V& v) { __builtin_memcpy(&v, p, sizeof v); }
IBFAST_INLINE void store(double* p, const V& v) { __builtin_memcpy(p, &v, sizeof v); }
IBFAST_INLINE double sum_of(const V& v) {
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

// z becomes 2^z; 0 below -1000, 2^1000 above 1000. Taylor's series, to 2e-16.
IBFAST_INLINE void exp2_of(V& z) {
    constexpr double magic = 0x1.8p52;  // added, leaves the nearest integer in the low bits
    constexpr double coefficient[] = {1.3691488853904128e-12, 2.5678435993488206e-11,
                                      4.4455382718708116e-10, 7.054911620801122e-09,
                                      1.0178086009239699e-07, 1.3215486790144310e-06,
                                      1.5252733804059841e-05, 1.5403530393381608e-04,
                                      1.3333558146428443e-03, 9.618129107628477e-03,
                                      5.550410866482158e-02,  2.4022650695910072e-01,
                                      6.931471805599453e-01,  1.0};
    const V limit = V{} + 1000.0, clamped = z < limit ? z : limit;
    const V shifted = clamped + magic, f = clamped - (shifted - magic);
    V power = V{} + coefficient[0];
    for (size_t c = 1; c < sizeof coefficient / sizeof *coefficient; ++c)
        power = power * f + coefficient[c];
    z = (V)(((I)power + ((I)shifted << 52)) & (I)(clamped >= -1000.0));
}

// out[t] = scale * sum over y of p[y] v[y * stride + t]
IBFAST_INLINE void project(const double* p, size_t k, const double* v, size_t stride, double scale,
                           double* out) {
    for (size_t t = 0; t < stride; t += 8) {
        V sum = {};
        for (size_t y = 0; y < k; ++y) {
            V column;
            load(v + y * stride + t, column);
            sum += column * p[y];
        }
        store(out + t, sum * scale);
    }
}

void encode(const double* p, size_t rows, size_t k, const double* phi, size_t stride, double scale,
            double* q, double* log2_sum) {
    for (size_t x = 0; x < rows; ++x, p += k, q += stride) {
        project(p, k, phi, stride, scale, q);
        V greatest, total = {};
        load(q, greatest);
        for (size_t t = 8; t < stride; t += 8) {
            V z;
            load(q + t, z);
            greatest = z > greatest ? z : greatest;
        }
        double most = greatest[0];
        for (int lane = 1; lane < 8; ++lane) most = greatest[lane] > most ? greatest[lane] : most;
        for (size_t t = 0; t < stride; t += 8) {
            V z;
            load(q + t, z);
            z -= most;
            exp2_of(z);
            store(q + t, z);
            total += z;
        }
        const double sum = sum_of(total), factor = 1 / sum;
        for (size_t t = 0; t < stride; t += 8) {
            V z;
            load(q + t, z);
            store(q + t, z * factor);
        }
        log2_sum[x] = most + std::log2(sum);
    }
}

void weigh(const double* p, size_t rows, size_t k, const double* phi, size_t stride, double scale,
           const double* log2_weight, double* q) {
    for (size_t x = 0; x < rows; ++x, p += k, q += stride) {
        project(p, k, phi, stride, scale, q);
        for (size_t t = 0; t < stride; t += 8) {
            V z;
            load(q + t, z);
            z += log2_weight[x];
            exp2_of(z);
            store(q + t, z);
        }
    }
}

void decode(const double* p, const double* weight, size_t rows, size_t k, const double* q,
            size_t stride, double* out) {
    for (size_t x = 0; x < rows; ++x)
        for (size_t y = 0; y < k; ++y) {
            const double factor = weight[x] * p[x * k + y];
            for (size_t t = 0; t < stride; t += 8) {
                V sum, row;
                load(out + y * stride + t, sum);
                load(q + x * stride + t, row);
                store(out + y * stride + t, sum + row * factor);
            }
        }
}

void curve(const double* p, const double* weight, size_t rows, size_t k, const double* direction,
           size_t stride, const double* q, double* scratch, double* out) {
    for (size_t x = 0; x < rows; ++x) {
        project(p + x * k, k, direction, stride, 1.0, scratch);
        V total = {};
        for (size_t t = 0; t < stride; t += 8) {
            V a, row;
            load(scratch + t, a);
            load(q + x * stride + t, row);
            total += a * row;
        }
        const double mean = sum_of(total);
        for (size_t t = 0; t < stride; t += 8) {
            V a, row;
            load(scratch + t, a);
            load(q + x * stride + t, row);
            store(scratch + t, (a - mean) * row);
        }
        decode(p + x * k, weight + x, 1, k, scratch, stride, out);
    }
}

}  // namespace

extern const BottleneckLoops IBFAST_JOIN(bottleneck_, IBFAST_LEVEL);
const BottleneckLoops IBFAST_JOIN(bottleneck_, IBFAST_LEVEL) = {encode, weigh, decode, curve};

}  // namespace ibfast
