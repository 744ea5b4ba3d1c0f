// The information bottleneck at one beta. For fixed decoders q(y|t) it is the maximum of
//   F = sum over x of p(x) log2 sum over t of q(t) 2^(beta sum over y of p(y|x) log2 q(y|t)),
// which is -beta H(Y) less the Lagrangian I(X;T) - beta I(T;Y): the log-likelihood of a mixture of
// multinomials, whose EM is the iteration of Tishby, Pereira and Bialek (1999; Slonim and Weiss
// 2002). Newton steps in the metric of EM follow it; both only go up.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "parallel.hpp"
#include "simd.hpp"

namespace ibfast {

// p(y|x) in rows of k, and p(x).
struct Source {
    const double *p, *weight;
    std::size_t m, k;
};

struct Clusters {
    std::vector<double> log_q;  // log2 q(t)
    std::vector<double> log_r;  // log2 q(y|t), in rows of k; kLogZero for 0
    std::size_t size() const { return log_q.size(); }
};

// What the clusters make of the source.
struct Encoded {
    double f;
    std::size_t stride;           // clusters in whole vectors
    std::vector<double> q;        // q(t|x), in rows of `stride`
    std::vector<double> log_sum;  // log2 of the inner sum of F, for each x
    std::vector<double> joint;    // q(y,t) in rows of `stride`, one for each y
};

constexpr double kLogZero = -1e300;  // 0 times it is 0, as it is not with -infinity
constexpr double kLeast = 1e-280;    // less is 0

class Bottleneck {
  public:
    Bottleneck(const Source& source, double beta, int threads, const Poll& poll)
        : s_(source), beta_(beta), threads_(threads), poll_(poll) {}

    Encoded encode(const Clusters& c) const {
        Encoded e;
        encode(c, e);
        return e;
    }

    void encode(const Clusters& c, Encoded& e) const {
        const std::size_t stride = e.stride = padded(c.size());
        const std::vector<double> phi = columns(c);
        e.q.resize(s_.m * stride);
        e.log_sum.resize(s_.m);
        sum_chunks(stride, e.joint, [&](std::size_t x, std::size_t rows, double* joint) {
            simd().bottleneck->encode(s_.p + x * s_.k, rows, s_.k, phi.data(), stride, beta_,
                                      &e.q[x * stride], &e.log_sum[x]);
            simd().bottleneck->decode(s_.p + x * s_.k, s_.weight + x, rows, s_.k, &e.q[x * stride],
                                      stride, joint);
        });
        e.f = 0;
        for (std::size_t x = 0; x < s_.m; ++x) e.f += s_.weight[x] * e.log_sum[x];
    }

    // For clusters that would be new: sum over x of p(x,y) 2^(their exponent - log_sum). Summed
    // over y it says by how much more than 1 F grows with their q(t), at first.
    std::vector<double> gains(const Clusters& c, const double* log_sum) const {
        const std::size_t stride = padded(c.size());
        const std::vector<double> phi = columns(c);
        std::vector<double> less(s_.m), joint;
        for (std::size_t x = 0; x < s_.m; ++x) less[x] = -log_sum[x];
        sum_chunks(stride, joint, [&](std::size_t x, std::size_t rows, double* sums) {
            std::vector<double> q(rows * stride);
            simd().bottleneck->weigh(s_.p + x * s_.k, rows, s_.k, phi.data(), stride, beta_,
                                     &less[x], q.data());
            simd().bottleneck->decode(s_.p + x * s_.k, s_.weight + x, rows, s_.k, q.data(), stride,
                                      sums);
        });
        return joint;
    }

    struct Result {
        double residual;  // greatest change of q(t|x) in the last EM step
        std::size_t steps;
    };

    // Goes up from `c` until EM changes no q(t|x) by more than `tolerance`. Clusters that F does
    // better without, or that have become one, go.
    Result climb(Clusters& c, double tolerance, std::size_t most) const {
        Encoded now = encode(c), next;
        for (std::size_t step = 1;; ++step) {
            if (poll_) poll_();
            const std::vector<double> given = em_step(c, now);
            encode(c, next);
            const double residual = difference(now, next);
            std::swap(now, next);
            if (step == most) return {residual, step};
            if (drop_one(c, now, next, given) || merge_one(c, now, next)) continue;
            if (residual <= tolerance) return {residual, step};
            newton_step(c, now, next, given);
        }
    }

  private:
    using Vector = std::vector<double>;
    static constexpr std::size_t kRows = 128;  // of a chunk, whose sums are added in order

    static std::size_t padded(std::size_t clusters) { return (clusters + 7) / 8 * 8; }

    // phi[y][t], for which beta p phi is the exponent in F; clusters of the padding count nothing.
    Vector columns(const Clusters& c) const {
        const std::size_t stride = padded(c.size());
        Vector phi(s_.k * stride, kLogZero);
        for (std::size_t t = 0; t < c.size(); ++t)
            for (std::size_t y = 0; y < s_.k; ++y)
                phi[y * stride + t] = c.log_r[t * s_.k + y] + c.log_q[t] / beta_;
        return phi;
    }

    // out[y][t] = the sum of what part(x, rows, sums) adds for each chunk of rows.
    template <class Part>
    void sum_chunks(std::size_t stride, Vector& out, const Part& part) const {
        const std::size_t size = s_.k * stride, chunks = (s_.m + kRows - 1) / kRows;
        out.assign(size, 0.0);
        if (chunks == 1) return part(0, s_.m, out.data());
        Vector sums(chunks * size, 0.0);
        parallel_for(chunks, threads_, {}, [&](std::size_t chunk, int) {
            const std::size_t x = chunk * kRows;
            part(x, std::min(kRows, s_.m - x), &sums[chunk * size]);
        });
        for (std::size_t i = 0; i < sums.size(); ++i) out[i % size] += sums[i];
    }

    // The clusters become the marginal and decoder of their encoder; returns the joint q(y,t) that
    // they stand for, in rows of k. One that no input takes goes.
    Vector em_step(Clusters& c, const Encoded& e) const {
        Clusters to;
        Vector given;
        for (std::size_t t = 0; t < c.size(); ++t) {
            double q = 0;
            for (std::size_t y = 0; y < s_.k; ++y) q += e.joint[y * e.stride + t];
            if (q < kLeast) continue;
            to.log_q.push_back(std::log2(q));
            for (std::size_t y = 0; y < s_.k; ++y) {
                const double joint = e.joint[y * e.stride + t];
                given.push_back(joint < kLeast ? 0.0 : joint);
                to.log_r.push_back(joint < kLeast ? kLogZero : std::log2(joint / q));
            }
        }
        c = std::move(to);
        return given;
    }

    static double difference(const Encoded& a, const Encoded& b) {
        if (a.q.size() != b.q.size()) return 1;
        double most = 0;
        for (std::size_t i = 0; i < a.q.size(); ++i)
            most = std::max(most, std::abs(a.q[i] - b.q[i]));
        return most;
    }

    void remove(Clusters& c, std::size_t t) const {
        const auto at = static_cast<std::ptrdiff_t>(t), k = static_cast<std::ptrdiff_t>(s_.k);
        c.log_q.erase(c.log_q.begin() + at);
        c.log_r.erase(c.log_r.begin() + at * k, c.log_r.begin() + (at + 1) * k);
        normalise(c);
    }

    static void normalise(Clusters& c) {
        double sum = 0;
        for (const double log_q : c.log_q) sum += std::exp2(log_q);
        for (double& log_q : c.log_q) log_q -= std::log2(sum);
    }

    // Takes `other` where F is not less there. (F is never above 0, but of what is no number.)
    bool improve(Clusters& c, Encoded& now, Encoded& next, Clusters&& other) const {
        encode(other, next);
        if (!(next.f >= now.f - 1e-15 * std::abs(now.f) && next.f < 1e-3)) return false;
        c = std::move(other);
        std::swap(now, next);
        return true;
    }

    // The cluster whose weight falls fastest: EM would take long to be rid of it.
    bool drop_one(Clusters& c, Encoded& now, Encoded& next, const Vector& given) const {
        double least = 1 - 1e-9;
        std::size_t worst = c.size();
        for (std::size_t t = 0; t < c.size(); ++t) {
            double before = 0, after = 0;
            for (std::size_t y = 0; y < s_.k; ++y) {
                before += given[t * s_.k + y];
                after += now.joint[y * now.stride + t];
            }
            if (after < least * before) least = after / before, worst = t;
        }
        if (worst == c.size()) return false;
        Clusters without = c;
        remove(without, worst);
        return improve(c, now, next, std::move(without));
    }

    // The two clusters with the most like decoders.
    bool merge_one(Clusters& c, Encoded& now, Encoded& next) const {
        const std::size_t n = c.size(), k = s_.k;
        Vector r(n * k);
        for (std::size_t i = 0; i < r.size(); ++i) r[i] = std::exp2(c.log_r[i]);
        double least = 1e-2;
        std::size_t first = n, second = n;
        for (std::size_t a = 0; a < n; ++a)
            for (std::size_t b = a + 1; b < n; ++b) {
                double most = 0;
                for (std::size_t y = 0; y < k && most < least; ++y)
                    most = std::max(most, std::abs(r[a * k + y] - r[b * k + y]));
                if (most < least) least = most, first = a, second = b;
            }
        if (first == n) return false;
        Clusters merged = c;
        const double a = std::exp2(c.log_q[first]), b = std::exp2(c.log_q[second]);
        merged.log_q[first] = std::log2(a + b);
        for (std::size_t y = 0; y < k; ++y) {
            const double joint = (a * r[first * k + y] + b * r[second * k + y]) / (a + b);
            merged.log_r[first * k + y] = joint > 0 ? std::log2(joint) : kLogZero;
        }
        remove(merged, second);
        return improve(c, now, next, std::move(merged));
    }

    // With M = beta q_t [diag r_t + (beta - 1) r_t r_t'], the information of the complete data:
    // out = M v, or M^-1 v. `given` holds q_t r_t; what it has 0 of does not move.
    void apply_metric(const Vector& given, const Vector& v, Vector& out, bool inverse) const {
        for (std::size_t from = 0; from < v.size(); from += s_.k) {
            double q = 0, sum = 0;
            for (std::size_t i = from; i < from + s_.k; ++i) {
                q += given[i];
                sum += inverse ? v[i] : given[i] * v[i];
            }
            for (std::size_t i = from; i < from + s_.k; ++i)
                out[i] = given[i] == 0 ? 0.0
                         : inverse
                             ? v[i] / (beta_ * given[i]) - (beta_ - 1) / beta_ / beta_ * sum / q
                             : beta_ * given[i] * (v[i] + (beta_ - 1) * sum / q);
        }
    }

    // out = (M - H) v, minus the second derivative of F (in nats) by the natural log of q(y|t)
    // q(t)^(1/beta).
    void apply_curvature(const Encoded& e, const Vector& given, const Vector& v,
                         Vector& out) const {
        const std::size_t n = given.size() / s_.k;
        Vector direction(s_.k * e.stride, 0.0), curve;
        for (std::size_t t = 0; t < n; ++t)
            for (std::size_t y = 0; y < s_.k; ++y) direction[y * e.stride + t] = v[t * s_.k + y];
        sum_chunks(e.stride, curve, [&](std::size_t x, std::size_t rows, double* sums) {
            Vector row(e.stride);
            simd().bottleneck->curve(s_.p + x * s_.k, s_.weight + x, rows, s_.k, direction.data(),
                                     e.stride, &e.q[x * e.stride], row.data(), sums);
        });
        apply_metric(given, v, out, false);
        for (std::size_t t = 0; t < n; ++t)
            for (std::size_t y = 0; y < s_.k; ++y)
                out[t * s_.k + y] -= beta_ * beta_ * curve[y * e.stride + t];
    }

    // Conjugate gradients, preconditioned by M, towards the Newton step; they end where F curves
    // upwards, and say so.
    bool newton_direction(const Encoded& e, const Vector& given, Vector& step) const {
        const std::size_t size = given.size();
        Vector rest(size), z(size), d, ad(size);
        for (std::size_t i = 0; i < size; ++i)
            if (given[i] > 0)
                rest[i] = beta_ * (e.joint[i % s_.k * e.stride + i / s_.k] - given[i]);
        apply_metric(given, rest, z, true);
        step.assign(size, 0.0);
        d = z;
        double rho = dot(rest, z);
        const double end = rho * std::min(0.01, rho);
        for (std::size_t i = 0; i < std::min<std::size_t>(size, 250) && rho > end; ++i) {
            apply_curvature(e, given, d, ad);
            const double curvature = dot(d, ad);
            apply_metric(given, d, z, false);
            if (curvature <= 1e-12 * dot(d, z)) {
                if (i == 0) step = d;
                return false;
            }
            const double length = rho / curvature;
            for (std::size_t j = 0; j < size; ++j) {
                step[j] += length * d[j];
                rest[j] -= length * ad[j];
            }
            apply_metric(given, rest, z, true);
            const double before = std::exchange(rho, dot(rest, z));
            for (std::size_t j = 0; j < size; ++j) d[j] = z[j] + rho / before * d[j];
        }
        return true;
    }

    void newton_step(Clusters& c, Encoded& now, Encoded& next, const Vector& given) const {
        Vector step;
        const bool down = newton_direction(now, given, step);
        const Clusters from = c;
        for (double length = 1; length > 0.05; length /= 2)
            if (improve(c, now, next, moved(from, step, length))) break;
        if (down) return;
        for (double length = 2; length < 1e6; length *= 2) {
            const double before = now.f;
            if (!improve(c, now, next, moved(from, step, length)) || now.f <= before) break;
        }
    }

    Clusters moved(Clusters c, const Vector& step, double length) const {
        constexpr double log2_e = 1.4426950408889634;
        for (std::size_t t = 0; t < c.size(); ++t) {
            double* r = &c.log_r[t * s_.k];
            double most = kLogZero, sum = 0;
            for (std::size_t y = 0; y < s_.k; ++y) {
                if (r[y] != kLogZero) r[y] += length * log2_e * step[t * s_.k + y];
                most = std::max(most, r[y]);
            }
            for (std::size_t y = 0; y < s_.k; ++y)
                if (r[y] != kLogZero) sum += std::exp2(r[y] - most);
            const double log_sum = most + std::log2(sum);
            for (std::size_t y = 0; y < s_.k; ++y)
                if (r[y] != kLogZero) r[y] -= log_sum;
            c.log_q[t] += beta_ * log_sum;
        }
        const double most = *std::max_element(c.log_q.begin(), c.log_q.end());
        for (double& log_q : c.log_q) log_q -= most;
        normalise(c);
        return c;
    }

    static double dot(const Vector& a, const Vector& b) {
        double sum = 0;
        for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
        return sum;
    }

    Source s_;
    double beta_;
    int threads_;
    Poll poll_;
};

}  // namespace ibfast
