// Part of bindings.cpp: bottleneck.hpp over arrays that `bottleneck._solver` has made.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bottleneck_gains.hpp"
#include "bottleneck_nearest.hpp"
#include "records.hpp"

namespace ibfast {

namespace bottleneck {

namespace py = pybind11;
using Doubles = py::array_t<double, py::array::c_style>;

// p(y|x) (m, k), p(x) (m,), log2 q(t) (n,), log2 q(y|t) (n, k).
inline Source source_of(const Doubles& p, const Doubles& weight) {
    return {p.data(), weight.data(), static_cast<std::size_t>(p.shape(0)),
            static_cast<std::size_t>(p.shape(1))};
}

inline Clusters clusters_of(const Doubles& log_q, const Doubles& log_r) {
    return {{log_q.data(), log_q.data() + log_q.size()},
            {log_r.data(), log_r.data() + log_r.size()}};
}

inline int team(const Source& s, const Clusters& c, int threads) {
    return threads_for(s.m * s.k * c.size(), threads);
}

// The first n of each row of `stride`.
inline Doubles rows_of(const std::vector<double>& from, std::size_t stride, std::size_t n) {
    const std::size_t rows = from.size() / stride;
    Doubles to({rows, n});
    for (std::size_t i = 0; i < rows; ++i)
        std::copy_n(&from[i * stride], n, to.mutable_data() + i * n);
    return to;
}

// log2 q(t), log2 q(y|t), F, residual, steps
inline py::tuple climb(const Doubles& p, const Doubles& weight, const Doubles& log_q,
                       const Doubles& log_r, double beta, double tolerance, std::size_t most,
                       int threads, const Poll& poll) {
    const Source s = source_of(p, weight);
    Clusters c = clusters_of(log_q, log_r);
    Bottleneck::Result result;
    double f;
    {
        const py::gil_scoped_release no_gil;
        const StandardFloat standard;
        const Bottleneck problem(s, beta, team(s, c, threads), poll);
        result = problem.climb(c, tolerance, most);
        f = problem.encode(c).f;
    }
    const Doubles q(static_cast<py::ssize_t>(c.size()), c.log_q.data());
    Doubles r({c.size(), s.k});
    std::copy(c.log_r.begin(), c.log_r.end(), r.mutable_data());
    return py::make_tuple(q, r, f, result.residual, result.steps);
}

// q(t|x) (m, n), the log2 of the sums in F (m,), q(y,t) (k, n), F
inline py::tuple encode(const Doubles& p, const Doubles& weight, const Doubles& log_q,
                        const Doubles& log_r, double beta, int threads) {
    const Source s = source_of(p, weight);
    const Clusters c = clusters_of(log_q, log_r);
    Encoded e;
    {
        const py::gil_scoped_release no_gil;
        const StandardFloat standard;
        e = Bottleneck(s, beta, team(s, c, threads), {}).encode(c);
    }
    return py::make_tuple(rows_of(e.q, e.stride, c.size()),
                          Doubles(static_cast<py::ssize_t>(s.m), e.log_sum.data()),
                          rows_of(e.joint, e.stride, c.size()), e.f);
}

// (k, n)
inline Doubles gains(const Doubles& p, const Doubles& weight, const Doubles& log_r,
                     const Doubles& log_sum, double beta, int threads) {
    const Source s = source_of(p, weight);
    const Doubles log_q(log_r.shape(0));
    Clusters c = clusters_of(log_q, log_r);
    std::fill(c.log_q.begin(), c.log_q.end(), 0.0);
    std::vector<double> joint;
    {
        const py::gil_scoped_release no_gil;
        const StandardFloat standard;
        joint = Bottleneck(s, beta, team(s, c, threads), {}).gains(c, log_sum.data());
    }
    return rows_of(joint, joint.size() / s.k, c.size());
}

// Decoders (n, k) that have climbed from those given to tops of D, and their D (n,)
inline py::tuple climb_gains(const Doubles& p, const Doubles& weight, const Doubles& decoders,
                             const Doubles& log_sum, double beta, int threads, const Poll& poll) {
    const Source s = source_of(p, weight);
    const auto n = static_cast<std::size_t>(decoders.shape(0));
    Doubles r({n, s.k}), gain(static_cast<py::ssize_t>(n));
    double *to = r.mutable_data(), *gains = gain.mutable_data();
    std::copy_n(decoders.data(), n * s.k, to);
    {
        const py::gil_scoped_release no_gil;
        const GainClimb problem(s, beta, log_sum.data());
        problem.climb(n, to, gains, threads_for(40 * n * s.m * s.k, threads), poll);
    }
    return py::make_tuple(r, gain);
}

// beta, F at it, at half and at twice of it, whether it is an end of the range
inline py::tuple nearest(const Doubles& p, const Doubles& weight, const Doubles& log_q,
                         const Doubles& log_r, double slope, double low, double high, int threads) {
    const Source s = source_of(p, weight);
    const Clusters c = clusters_of(log_q, log_r);
    Nearest n;
    {
        const py::gil_scoped_release no_gil;
        const StandardFloat standard;
        n = nearest_beta(s, c, slope, low, high, team(s, c, threads));
    }
    return py::make_tuple(n.beta, n.f, n.f_half, n.f_double, n.at_end);
}

}  // namespace bottleneck

inline void bind_bottleneck(pybind11::module_& m, const Poll& poll) {
    using bottleneck::Doubles;
    m.def("bottleneck_climb", [poll](const Doubles& p, const Doubles& weight, const Doubles& log_q,
                                     const Doubles& log_r, double beta, double tolerance,
                                     std::size_t most, int threads) {
        return bottleneck::climb(p, weight, log_q, log_r, beta, tolerance, most, threads, poll);
    });
    m.def("bottleneck_climb_gains",
          [poll](const Doubles& p, const Doubles& weight, const Doubles& decoders,
                 const Doubles& log_sum, double beta, int threads) {
              return bottleneck::climb_gains(p, weight, decoders, log_sum, beta, threads, poll);
          });
    m.def("bottleneck_encode", &bottleneck::encode);
    m.def("bottleneck_gains", &bottleneck::gains);
    m.def("bottleneck_nearest", &bottleneck::nearest);
}

}  // namespace ibfast
