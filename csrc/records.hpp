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
inline std::size_t chunk_rows(std::size_t units, std::size_t n, int threads) {
    const std::size_t fair = n / (4 * static_cast<std::size_t>(threads)) / 64 * 64;
    const std::size_t fits = (std::size_t{1} << 19) / units / 512 * 512;
    return std::clamp<std::size_t>(std::min(fair, fits), 64, 8192);
}

// Keys that are known, in place of a Keyer: two words a row, the high one first.
class KnownKeys {
  public:
    KnownKeys(const std::uint64_t* words, std::size_t rows) : words_(words), rows_(rows) {}
    std::size_t rows() const { return rows_; }
    std::size_t units() const { return 2; }
    void keys(std::size_t from, std::size_t to, Key* out) const {
        for (std::size_t r = from; r < to; ++r) *out++ = {words_[2 * r + 1], words_[2 * r]};
    }

  private:
    const std::uint64_t* words_;
    std::size_t rows_;
};

// The keys of some rows, sorted into parts by their hash, each with its row or, which saves a look
// back, its class. Chunks of rows are sorted each in its own place, so that all memory is known
// beforehand and no thread waits for another.
class Records {
  public:
    template <class Keys>
    Records(const Keys& keyer, std::size_t from, std::size_t n, unsigned part_bits,
            const std::uint8_t* classes, int threads, const Poll& poll)
        : part_bits_(part_bits),
          n_(n),
          keys_(n),
          classes_(classes ? Buffer<std::uint8_t>(n) : Buffer<std::uint8_t>()),
          rows_(classes ? Buffer<std::uint32_t>() : Buffer<std::uint32_t>(n)) {
        chunk_ = chunk_rows(keyer.units(), n, threads);
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
            if (parts == 1) {
                offset[0] = 0;
                offset[1] = static_cast<std::uint32_t>(count);
                keyer.keys(from + first, from + first + count, keys);
                if (classes)
                    std::copy(classes + first, classes + first + count, classes_.data() + first);
                else
                    std::iota(rows_.data() + first, rows_.data() + first + count,
                              static_cast<std::uint32_t>(first));
                return;
            }
            auto& [unsorted, part, next] = scratch[static_cast<std::size_t>(worker)];
            unsorted.resize(chunk_);
            part.resize(chunk_);
            next.assign(parts + 1, 0);
            keyer.keys(from + first, from + first + count, unsorted.data());
            for (std::size_t i = 0; i < count; ++i) {
                __builtin_prefetch(keys + i, 1);  // to be written soon, at random
                __builtin_prefetch(carried(first + i), 1);
                part[i] = static_cast<std::uint16_t>(mix(unsorted[i]) >> (64 - part_bits_));
                ++next[part[i] + 1U];
            }
            std::partial_sum(next.begin(), next.end(), next.begin());
            std::copy(next.begin(), next.end(), offset);
            const auto place = [count, keys, from = unsorted.data(), to = next.data(),
                                in = part.data()](auto* carried, const auto& carry) {
                for (std::size_t i = 0; i < count; ++i) {
                    const std::uint32_t at = to[in[i]]++;
                    keys[at] = from[i];
                    carried[at] = carry(i);
                }
            };
            if (classes)
                place(classes_.data() + first,
                      [c = classes + first](std::size_t i) { return c[i]; });
            else
                place(rows_.data() + first,
                      [first](std::size_t i) { return static_cast<std::uint32_t>(first + i); });
        });
    }
    std::size_t parts() const { return std::size_t{1} << part_bits_; }

    std::size_t size(std::size_t part) const {
        std::size_t n = 0;
        for (std::size_t i = part; i < offsets_.size(); i += parts() + 1)
            n += offsets_[i + 1] - offsets_[i];
        return n;
    }

    // The keys of one part, one after another, and their classes where they are carried as bytes,
    // else their rows.
    void copy(std::size_t part, bool bytes, std::vector<Key>& keys,
              std::vector<std::uint32_t>& carried) const {
        const std::size_t rows = size(part), step = parts() + 1;
        keys.resize(rows);
        carried.resize(rows);
        constexpr std::size_t ahead = 4;  // runs are too short for the hardware to prefetch
        Key* key = keys.data();
        std::uint32_t* other = carried.data();
        std::size_t first = 0;
        for (std::size_t at = part; at < offsets_.size(); at += step, first += chunk_) {
            if (const std::size_t next = at + ahead * step; next < offsets_.size())
                prefetch(first + ahead * chunk_ + offsets_[next],
                         first + ahead * chunk_ + offsets_[next + 1]);
            const std::size_t from = first + offsets_[at], end = first + offsets_[at + 1];
            key = std::copy(keys_.data() + from, keys_.data() + end, key);
            other = bytes ? std::copy(classes_.data() + from, classes_.data() + end, other)
                          : std::copy(rows_.data() + from, rows_.data() + end, other);
        }
    }

    // visit(key, row) for all of one part.
    template <class Visitor>
    void each(std::size_t part, Visitor&& visit) const {
        const std::uint32_t* offset = offsets_.data() + part;
        for (std::size_t first = 0; first < n_; first += chunk_, offset += parts() + 1)
            for (std::size_t i = first + offset[0]; i < first + offset[1]; ++i)
                visit(keys_[i], rows_[i]);
    }

  private:
    const void* carried(std::size_t i) const {
        return classes_.data() ? static_cast<const void*>(classes_.data() + i) : rows_.data() + i;
    }
    void prefetch(std::size_t from, std::size_t end) const {
        for (std::size_t i = from; i < end; i += 64 / sizeof(Key)) __builtin_prefetch(&keys_[i]);
        for (std::size_t i = from; i < end; i += 16) __builtin_prefetch(carried(i));
    }

    unsigned part_bits_;
    std::size_t n_, chunk_;
    Buffer<Key> keys_;
    Buffer<std::uint8_t> classes_;  // or
    Buffer<std::uint32_t> rows_;
    std::vector<std::uint32_t> offsets_;
};

}  // namespace ibfast
