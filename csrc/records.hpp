// Keys of many rows, sorted into parts that fit the cache.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>

#include "cells.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ibfast {

// Uninitialised memory; large blocks ask for large pages: small ones would be cleared one by one
// as they are touched, and looked up one by one where that is at random.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(std::size_t n) {
        constexpr std::size_t page = std::size_t{1} << 21;
        const std::size_t bytes = std::max<std::size_t>(n * sizeof(T), 1);
        if (bytes < page) {
            p_.reset(static_cast<T*>(std::malloc(bytes)));
        } else {
            const std::size_t whole = (bytes + page - 1) / page * page;
            p_.reset(static_cast<T*>(std::aligned_alloc(page, whole)));
#if defined(__linux__)
            if (p_) madvise(p_.get(), whole, MADV_HUGEPAGE);
#endif
        }
        if (!p_) throw std::bad_alloc();
    }
    T* data() { return p_.get(); }
    const T* data() const { return p_.get(); }
    T& operator[](std::size_t i) { return p_[i]; }
    const T& operator[](std::size_t i) const { return p_[i]; }

  private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T[], Free> p_;
};

inline int threads_for(std::size_t work, int threads) {  // a thread earns its start
    constexpr std::size_t grain = std::size_t{1} << 16;
    if (work < grain) return 1;
    return static_cast<int>(
        std::min<std::size_t>(static_cast<std::size_t>(usable_threads(threads)), 1 + work / grain));
}

// Rows of a chunk: about 2 MiB of values, and enough chunks for all threads.
inline std::size_t chunk_rows(const View& view, std::size_t n, int threads) {
    const std::size_t fair = n / (4 * static_cast<std::size_t>(threads)) / 64 * 64;
    const std::size_t fits = (std::size_t{1} << 19) / view.d / 512 * 512;
    return std::clamp<std::size_t>(std::min(fair, fits), 64, 8192);
}

// The keys of some rows, sorted into parts by their hash, each with its row or, which saves a look
// back, its class. Chunks of rows are sorted each in its own place, so that all memory is known
// beforehand and no thread waits for another.
class Records {
  public:
    Records(const Keyer& keyer, const View& view, std::size_t from, std::size_t n,
            unsigned part_bits, const std::uint32_t* classes, int threads, const Poll& poll)
        : part_bits_(part_bits), n_(n), carries_classes_(classes), keys_(n), carried_(n) {
        chunk_ = chunk_rows(view, n, threads);
        const std::size_t parts = std::size_t{1} << part_bits, chunks = (n + chunk_ - 1) / chunk_;
        offsets_.resize(chunks * (parts + 1));
        struct Scratch {
            std::vector<Key> keys;
            std::vector<std::uint16_t> part;
            std::vector<std::uint32_t> next;
        };
        std::vector<Scratch> scratch(static_cast<std::size_t>(threads));
        parallel_for(chunks, threads, poll, [&](std::size_t task, int worker) {
            const std::size_t first = task * chunk_, count = std::min(chunk_, n - first);
            std::uint32_t* offset = offsets_.data() + task * (parts + 1);
            Key* keys = keys_.data() + first;
            std::uint32_t* carried = carried_.data() + first;
            const auto carry = [&](std::size_t i) {
                return classes ? classes[first + i] : static_cast<std::uint32_t>(first + i);
            };
            if (parts == 1) {
                offset[0] = 0;
                offset[1] = static_cast<std::uint32_t>(count);
                keyer.keys(from + first, from + first + count, keys);
                for (std::size_t i = 0; i < count; ++i) carried[i] = carry(i);
                return;
            }
            auto& [unsorted, part, next] = scratch[static_cast<std::size_t>(worker)];
            unsorted.resize(chunk_);
            part.resize(chunk_);
            next.assign(parts + 1, 0);
            keyer.keys(from + first, from + first + count, unsorted.data());
            for (std::size_t i = 0; i < count; ++i) {
                __builtin_prefetch(keys + i, 1);  // to be written soon, at random
                __builtin_prefetch(carried + i, 1);
                part[i] = static_cast<std::uint16_t>(mix(unsorted[i]) >> (64 - part_bits_));
                ++next[part[i] + 1U];
            }
            std::partial_sum(next.begin(), next.end(), next.begin());
            std::copy(next.begin(), next.end(), offset);
            for (std::size_t i = 0; i < count; ++i) {
                const std::uint32_t to = next[part[i]]++;
                keys[to] = unsorted[i];
                carried[to] = carry(i);
            }
        });
    }
    std::size_t parts() const { return std::size_t{1} << part_bits_; }

    bool carries_classes() const { return carries_classes_; }

    std::size_t size(std::size_t part) const {
        std::size_t n = 0;
        for (std::size_t i = part; i < offsets_.size(); i += parts() + 1)
            n += offsets_[i + 1] - offsets_[i];
        return n;
    }

    // visit(key, row or class) for all of one part.
    template <class Visitor>
    void each(std::size_t part, Visitor&& visit) const {
        const std::uint32_t* offset = offsets_.data() + part;
        for (std::size_t first = 0; first < n_; first += chunk_) {
            const std::size_t end = first + offset[1];
            std::size_t i = first + offset[0];
            offset += parts() + 1;
            if (first + chunk_ < n_)
                prefetch(first + chunk_ + offset[0], first + chunk_ + offset[1]);
            for (; i < end; ++i) visit(keys_[i], carried_[i]);
        }
    }

  private:
    // A part's runs in the chunks are too short for the hardware to prefetch.
    void prefetch(std::size_t from, std::size_t end) const {
        for (std::size_t i = from; i < end; i += 64 / sizeof(Key)) __builtin_prefetch(&keys_[i]);
        for (std::size_t i = from; i < end; i += 16) __builtin_prefetch(&carried_[i]);
    }

    unsigned part_bits_;
    std::size_t n_, chunk_;
    bool carries_classes_;
    Buffer<Key> keys_;
    Buffer<std::uint32_t> carried_;
    std::vector<std::uint32_t> offsets_;
};

}  // namespace ibfast
