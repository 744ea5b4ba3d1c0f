// The only file with OpenMP: threads, tasks handed out one by one, exceptions carried out.
#pragma once

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace ibfast {

// Called from the calling thread alone, now and then; what it throws ends the work.
using Poll = std::function<void()>;

namespace detail {

inline std::atomic<bool>& forked() {
    static std::atomic<bool> flag{false};
    return flag;
}

// Processors that a cgroup's quota grants, rounded up; a large number without one.
inline int quota_threads() {
    std::ifstream v2("/sys/fs/cgroup/cpu.max");
    std::string quota;
    double period = 0;
    if (!(v2 >> quota >> period)) {
        std::ifstream v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
        std::ifstream p1("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
        if (!(v1 >> quota) || !(p1 >> period)) return 1 << 20;
    }
    const double granted = std::atof(quota.c_str());  // "max" and -1 mean no quota
    return granted > 0 && period > 0 ? std::max(1, static_cast<int>(std::ceil(granted / period)))
                                     : 1 << 20;
}

inline int requested_threads() {
    const char* text = std::getenv("OMP_NUM_THREADS");
    const int value = text ? std::atoi(text) : 0;
    return value > 0 ? value : 1 << 20;
}

}  // namespace detail

// To be called once, when the library is loaded. libgomp hangs in a child that was forked after a
// parallel region, so such a child works with one thread.
inline void prepare_threads() {
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, [] { detail::forked() = true; });
#endif
}

// All threads that this process may use: affinity, cgroup quota, OMP_NUM_THREADS.
inline int available_threads() {
    static const int limit = std::min(detail::quota_threads(), detail::requested_threads());
    int cpus = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
#endif
    return std::min(cpus, limit);
}

inline bool has_openmp() {
#if defined(_OPENMP)
    return true;
#else
    return false;
#endif
}

// Threads that a region started here would really use for `wanted` (0: all available).
inline int usable_threads(int wanted) {
#if defined(_OPENMP)
    if (detail::forked() || omp_in_parallel()) return 1;
    return wanted > 0 ? wanted : available_threads();
#else
    (void)wanted;
    return 1;
#endif
}

// IEEE arithmetic while it lives: other libraries set flush-to-zero, which would move denormals
// to other bins.
class StandardFloat {
  public:
    StandardFloat() {
        std::fegetenv(&saved_);
        std::fesetenv(FE_DFL_ENV);
    }
    ~StandardFloat() { std::fesetenv(&saved_); }
    StandardFloat(const StandardFloat&) = delete;
    StandardFloat& operator=(const StandardFloat&) = delete;

  private:
    std::fenv_t saved_;
};

// body(task, worker) for each task below `tasks`, worker below `threads`. The first exception (of
// the lowest worker) is rethrown here; the tasks not yet begun are left out.
template <class Body>
void parallel_for(std::size_t tasks, int threads, const Poll& poll, const Body& body) {
    using Clock = std::chrono::steady_clock;
    constexpr auto pause = std::chrono::milliseconds(50);
    threads = std::max(
        1, std::min<int>(threads, static_cast<int>(std::min<std::size_t>(tasks, 1 << 10))));
    std::atomic<std::size_t> next{0};
    std::atomic<bool> stop{false};
    std::exception_ptr first;
    const auto work = [&](int worker) {
        const StandardFloat standard;
        auto polled = Clock::now();
        for (;;) {
            const std::size_t task = next.fetch_add(1);
            if (task >= tasks || stop) return;
            body(task, worker);
            if (worker == 0 && poll && Clock::now() - polled > pause) {
                poll();
                polled = Clock::now();
            }
        }
    };
    if (threads == 1) {
        work(0);
        return;
    }
#if defined(_OPENMP)
#pragma omp parallel num_threads(threads)
    {
        try {
            work(omp_get_thread_num());
        } catch (...) {
#pragma omp critical(ibfast_exception)
            if (!first) first = std::current_exception();
            stop = true;
        }
    }
    if (first) std::rethrow_exception(first);
#endif
}

}  // namespace ibfast
