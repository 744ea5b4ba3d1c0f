// The beta at which an encoder of the bottleneck's equations is nearest to a given one.
#pragma once

#include "bottleneck.hpp"

namespace ibfast {

// Where the encoder of given clusters is nearest to another: see nearest_beta.
struct Nearest {
    double beta, f;           // F at beta,
    double f_half, f_double;  // at half of it and at twice
    bool at_end;              // of the range that is searched
};

// The beta from `low` to `high` that minimises F + beta * slope, which is convex: F' is the sum of
// q(y,t) log2 q(y|t). The clusters are what they are, for every beta.
inline Nearest nearest_beta(const Source& source, const Clusters& c, double slope, double low,
                            double high, int threads) {
    Encoded e;
    const auto encode = [&](double beta) {
        Bottleneck(source, beta, threads, {}).encode(c, e);
        return e.f;
    };
    const auto rise = [&](double beta) {
        encode(beta);
        double sum = slope;
        for (std::size_t t = 0; t < c.size(); ++t)
            for (std::size_t y = 0; y < source.k; ++y)
                sum += e.joint[y * e.stride + t] * c.log_r[t * source.k + y];
        return sum;
    };
    double a = 1, ra = rise(1);
    const double factor = ra < 0 ? 4 : 0.25;  // downhill
    double b = a, rb = ra;
    bool at_end = false;
    while (!at_end && (ra < 0) == (rb < 0)) {
        a = b, ra = rb;
        b = std::min(high, std::max(low, b * factor));
        rb = rise(b);
        at_end = b == low || b == high;
    }
    at_end = at_end && (ra < 0) == (rb < 0);
    // Regula falsi in log beta, the Illinois way.
    double x = b;
    for (int i = 0; !at_end && i < 100 && std::abs(std::log(b / a)) > 1e-10 && rb != 0; ++i) {
        x = i % 4 == 3 ? std::sqrt(a * b)
                       : std::exp((std::log(a) * rb - std::log(b) * ra) / (rb - ra));
        const double r = rise(x);
        if ((r < 0) == (rb < 0)) {
            ra /= 2;
        } else {
            a = b, ra = rb;
        }
        b = x, rb = r;
    }
    return {b, encode(b), encode(b / 2), encode(2 * b), at_end};
}

}  // namespace ibfast
