// Where a new cluster would gain most: the tops of D(r), the sum over x of p(x) 2^(beta sum over y
// of p(y|x) log2 r_y - log_sum[x]), over decoders r.
#pragma once

#include <numeric>

#include "bottleneck.hpp"

namespace ibfast {

// Decoders that climb D together, each on its own. A plain step, r_y to the mean of p(y|x) under
// the terms of D(r), never goes down, but all but stands still near a transition; Newton's step on
// the same fixed point goes beside it, and the better of the two is gone on from.
class GainClimb {
  public:
    GainClimb(const Source& source, double beta, const double* log_sum)
        : s_(source), beta_(beta), less_(source.m) {
        for (std::size_t x = 0; x < s_.m; ++x) less_[x] = -log_sum[x];
    }

    // Decoders in rows of k, in place, and their D. Those that are still on their way after a few
    // steps are gathered, and go on together.
    void climb(std::size_t n, double* r, double* gain, int threads, const Poll& poll) const {
        std::vector<std::size_t> left(n);
        std::iota(left.begin(), left.end(), std::size_t{0});
        for (const int steps : {5, 5, 30}) {
            std::vector<char> on_its_way(left.size(), 0);
            const std::size_t blocks = (left.size() + kTogether - 1) / kTogether;
            parallel_for(blocks, threads, poll, [&](std::size_t block, int) {
                const std::size_t from = block * kTogether;
                climb_block(&left[from], std::min(kTogether, left.size() - from), steps, r, gain,
                            &on_its_way[from]);
            });
            std::size_t kept = 0;
            for (std::size_t i = 0; i < left.size(); ++i)
                if (on_its_way[i]) left[kept++] = left[i];
            left.resize(kept);
        }
    }

  private:
    static constexpr std::size_t kTogether = 8;  // a vector of decoders

    struct Terms {
        std::vector<double> q;      // terms of D without p(x): [x][decoder]
        std::vector<double> joint;  // the sums over x of terms times p(y|x): [y][decoder]

        double gain(std::size_t j, std::size_t k) const {
            double sum = 0;
            for (std::size_t y = 0; y < k; ++y) sum += joint[y * kTogether + j];
            return sum;
        }
        void take(const Terms& other, std::size_t j, const Source& s) {
            for (std::size_t i = j; i < s.m * kTogether; i += kTogether) q[i] = other.q[i];
            for (std::size_t i = j; i < s.k * kTogether; i += kTogether) joint[i] = other.joint[i];
        }
    };

    void climb_block(const std::size_t* which, std::size_t n, int steps, double* all, double* gains,
                     char* on_its_way) const {
        const std::size_t k = s_.k;
        Terms now, other;
        std::vector<double> r(n * k), plain(n * k), newton(n * k), before(n, 0.0);
        for (std::size_t j = 0; j < n; ++j) std::copy_n(all + which[j] * k, k, &r[j * k]);
        evaluate(r.data(), n, now);
        for (int step = 0;; ++step) {
            bool any = false;
            for (std::size_t j = 0; j < n; ++j) {
                const double gain = now.gain(j, k), rise = gain - before[j];
                double moved = 0;
                for (std::size_t y = 0; y < k; ++y) {
                    double& to = plain[j * k + y];
                    to = gain > 0 ? now.joint[y * kTogether + j] / gain : r[j * k + y];
                    moved = std::max(moved, std::abs(to - r[j * k + y]));
                }
                // What creeps along a ridge far below 1 does not come to matter.
                on_its_way[j] =
                    moved >= 1e-9 && rise >= 1e-13 * gain && gain + 100 * rise > 1 ? 1 : 0;
                any |= on_its_way[j] != 0;
                gains[which[j]] = before[j] = gain;
            }
            if (!any || step == steps) break;
            const std::vector<double> second = second_moments(now);
            for (std::size_t j = 0; j < n; ++j)
                newton_step(second, j, before[j], &r[j * k], &plain[j * k], &newton[j * k]);
            evaluate(plain.data(), n, now);
            evaluate(newton.data(), n, other);
            for (std::size_t j = 0; j < n; ++j) {
                const bool better = other.gain(j, k) > now.gain(j, k);
                std::copy_n(&(better ? newton : plain)[j * k], k, &r[j * k]);
                if (better) now.take(other, j, s_);
            }
        }
        for (std::size_t j = 0; j < n; ++j) std::copy_n(&r[j * k], k, all + which[j] * k);
    }

    void evaluate(const double* r, std::size_t n, Terms& to) const {
        std::vector<double> phi(s_.k * kTogether, kLogZero);
        for (std::size_t j = 0; j < n; ++j)
            for (std::size_t y = 0; y < s_.k; ++y)
                if (r[j * s_.k + y] > 0) phi[y * kTogether + j] = std::log2(r[j * s_.k + y]);
        to.q.resize(s_.m * kTogether);
        to.joint.assign(s_.k * kTogether, 0.0);
        const BottleneckLoops& loops = *simd().bottleneck;
        loops.weigh(s_.p, s_.m, s_.k, phi.data(), kTogether, beta_, less_.data(), to.q.data());
        loops.decode(s_.p, s_.weight, s_.m, s_.k, to.q.data(), kTogether, to.joint.data());
    }

    // The sums over x of terms times p(y|x) p(z|x), z <= y: [pair][decoder].
    std::vector<double> second_moments(const Terms& t) const {
        const std::size_t k = s_.k, pairs = k * (k + 1) / 2;
        std::vector<double> product(pairs), sums(pairs * kTogether, 0.0);
        for (std::size_t x = 0; x < s_.m; ++x) {
            const double* p = s_.p + x * k;
            for (std::size_t y = 0, pair = 0; y < k; ++y)
                for (std::size_t z = 0; z <= y; ++z, ++pair) product[pair] = p[y] * p[z];
            simd().bottleneck->decode(product.data(), s_.weight + x, 1, pairs, &t.q[x * kTogether],
                                      kTogether, sums.data());
        }
        return sums;
    }

    // (I - S) (out - r) = plain - r, with S = beta times the covariance of p(y|x) under the terms,
    // its columns over r; `plain` where that leads out of the simplex.
    void newton_step(const std::vector<double>& second, std::size_t j, double gain, const double* r,
                     const double* plain, double* out) const {
        const std::size_t k = s_.k;
        std::copy_n(plain, k, out);
        if (!(gain > 0)) return;
        std::vector<double> a(k * k, 0.0), b(k);
        for (std::size_t y = 0, pair = j; y < k; ++y)
            for (std::size_t z = 0; z <= y; ++z, pair += kTogether)
                a[y * k + z] = a[z * k + y] = second[pair] / gain;
        for (std::size_t y = 0; y < k; ++y) {
            for (std::size_t z = 0; z < k; ++z)
                a[y * k + z] = (y == z) - beta_ * (a[y * k + z] - plain[y] * plain[z]) /
                                              (r[z] > 0 ? r[z] : 1.0);
            b[y] = plain[y] - r[y];
        }
        if (!solve(a, b)) return;
        double sum = 0;
        for (std::size_t y = 0; y < k; ++y) {
            b[y] += r[y];
            if (!(b[y] > 0)) return;
            sum += b[y];
        }
        for (std::size_t y = 0; y < k; ++y) out[y] = b[y] / sum;
    }

    // a b' = b by elimination; false where a is singular.
    static bool solve(std::vector<double>& a, std::vector<double>& b) {
        const std::size_t k = b.size();
        for (std::size_t i = 0; i < k; ++i) {
            std::size_t pivot = i;
            for (std::size_t y = i + 1; y < k; ++y)
                if (std::abs(a[y * k + i]) > std::abs(a[pivot * k + i])) pivot = y;
            if (!(std::abs(a[pivot * k + i]) > 0)) return false;
            std::swap_ranges(&a[i * k], &a[i * k] + k, &a[pivot * k]);
            std::swap(b[i], b[pivot]);
            for (std::size_t y = i + 1; y < k; ++y) {
                const double factor = a[y * k + i] / a[i * k + i];
                for (std::size_t z = i; z < k; ++z) a[y * k + z] -= factor * a[i * k + z];
                b[y] -= factor * b[i];
            }
        }
        for (std::size_t i = k; i-- > 0;) {
            for (std::size_t z = i + 1; z < k; ++z) b[i] -= a[i * k + z] * b[z];
            b[i] /= a[i * k + i];
        }
        return true;
    }

    Source s_;
    double beta_;
    std::vector<double> less_;
};

}  // namespace ibfast
