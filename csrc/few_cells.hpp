// Counts of hard labels where cells are few, so that they stay in cache and need no sorting.
#pragma once

#include <array>
#include <optional>

#include "records.hpp"

namespace ibfast {

class FewCells {
  public:
    static constexpr std::size_t kBlock = 512;  // rows whose keys stay in the first cache

    explicit FewCells(std::size_t classes)
        : classes_(classes),
          lines_a_cell_((kKeyWords + classes + kWords - 1) / kWords),
          slots_(std::size_t{1} << 16, 0),
          lines_(lines_a_cell_) {}

    static bool suits(const Labels& labels, std::size_t n) {
        return !labels.weighted() && !labels.hard && labels.k <= 32 && n >= kMost && n < kMostRows;
    }
    // False where the cells turn out to be many: they pass a bound, or the rows repeat too seldom:
    // of n rows in c cells about n^2 / 2c repeat at first.
    bool add(const Key* keys, const std::uint8_t* labels, std::size_t n) {
        constexpr std::size_t step = 32;
        for (std::size_t i = 0; i < n; i += step) {
            const std::size_t some = std::min(step, n - i);
            std::uint32_t cell[step];
            for (std::size_t j = 0; j < some; ++j) {  // of many rows at once, to hide the latency
                cell[j] = slots_[home(keys[i + j])];
                __builtin_prefetch(line(cell[j]), 1);
            }
            for (std::size_t j = 0; j < some; ++j) {
                std::uint32_t* words = line(cell[j]);
                if (__builtin_expect(!same(words, keys[i + j]), 0)) words = line(find(keys[i + j]));
                ++words[kKeyWords + (labels ? labels[i + j] : 0)];
            }
        }
        rows_ += n;
        if (rows_ < 2 * kBlock || rows_ > 2 * kMost) return cells() <= kMost;
        return (rows_ - std::min(rows_, cells())) * 4 * kMost >= rows_ * rows_;
    }
    // False where there are too many cells in all.
    bool merge(const FewCells& other) {
        for (std::uint32_t i = 0; i < other.cells(); ++i) {
            const std::uint32_t* from = other.line(i);
            Key key;
            std::memcpy(&key, from, sizeof key);
            std::uint32_t* to = line(find(key));
            for (std::size_t k = 0; k < classes_; ++k) to[kKeyWords + k] += from[kKeyWords + k];
            if (cells() > 2 * kMost) return false;
        }
        rows_ += other.rows_;
        return true;
    }
    Summary summary() const {
        Tally<std::uint64_t> tally(classes_, rows_);
        for (std::uint32_t i = 0; i < cells(); ++i) {
            const std::uint32_t* counts = line(i) + kKeyWords;
            std::uint64_t total = 0;
            for (std::size_t k = 0; k < classes_; ++k) {
                tally.ty.add(counts[k]);
                tally.classes[k] += counts[k];
                total += counts[k];
            }
            tally.t.add(total);
            tally.singletons += total == 1;
            tally.cells += total > 0;
        }
        return tally.summary(rows_);
    }

  private:
    static constexpr std::size_t kMost = std::size_t{1} << 14, kWords = 16, kKeyWords = 4;
    static constexpr std::uint64_t kMostRows = std::uint64_t{1} << 32;
    using Line = std::array<std::uint32_t, kWords>;  // of the cache
    struct alignas(64) Aligned : Line {};

    std::size_t cells() const { return lines_.size() / lines_a_cell_; }
    std::uint32_t* line(std::size_t cell) { return lines_[cell * lines_a_cell_].data(); }
    const std::uint32_t* line(std::size_t cell) const {
        return lines_[cell * lines_a_cell_].data();
    }
    static std::size_t home(const Key& key) { return mix(key) & 0xffff; }
    static bool same(const std::uint32_t* words, const Key& key) {
        Key k;
        std::memcpy(&k, words, sizeof k);
        return ((k.lo ^ key.lo) | (k.hi ^ key.hi)) == 0;
    }
    // The cell of any key, made where there is none.
    __attribute__((noinline)) std::uint32_t find(const Key& key) {
        for (std::size_t i = home(key);; i = (i + 1) & 0xffff) {
            const std::uint32_t cell = slots_[i];
            if (same(line(cell), key)) return cell;
            if (cell != 0) continue;
            const std::size_t fresh = cells();
            slots_[i] = static_cast<std::uint16_t>(fresh);
            lines_.resize(lines_.size() + lines_a_cell_);
            std::memcpy(line(fresh), &key, sizeof key);
            return slots_[i];
        }
    }

    // Cell 0 is that of the key 0, whether or not there are such rows, and empty slots hold it: so
    // a slot's cell has the key that is sought, or has not, and nothing else needs a look.
    std::size_t classes_, lines_a_cell_;
    std::uint64_t rows_ = 0;
    std::vector<std::uint16_t> slots_;
    std::vector<Aligned> lines_;  // of each cell the key and the counts of each class
};

inline std::optional<Summary> count_few_cells(const Keyer& keyer, const View& view,
                                              const Labels& labels, int threads, const Poll& poll) {
    if (!FewCells::suits(labels, view.n)) return std::nullopt;
    const std::size_t chunk = chunk_rows(view.d, view.n, threads);
    std::vector<FewCells> few(static_cast<std::size_t>(threads), FewCells(labels.k));
    std::atomic<bool> many{false};
    parallel_for((view.n + chunk - 1) / chunk, threads, poll, [&](std::size_t task, int worker) {
        Key keys[FewCells::kBlock];
        FewCells& own = few[static_cast<std::size_t>(worker)];
        const std::size_t end = std::min(view.n, (task + 1) * chunk);
        for (std::size_t r = task * chunk; r < end && !many; r += FewCells::kBlock) {
            const std::size_t rows = std::min(FewCells::kBlock, end - r);
            keyer.keys(r, r + rows, keys);
            if (!own.add(keys, labels.bytes ? labels.bytes + r : nullptr, rows)) many = true;
        }
    });
    if (many) return std::nullopt;
    for (std::size_t w = 1; w < few.size(); ++w)
        if (!few[0].merge(few[w])) return std::nullopt;
    return few[0].summary();
}

}  // namespace ibfast
