// The information of one array at once: nothing is kept of a part of the cells but its tally.
#pragma once

#include <optional>

#include "records.hpp"

namespace ibfast {

// Counts of hard labels where cells are few, so that they stay in cache and need no sorting.
class FewCells {
  public:
    explicit FewCells(std::size_t classes) : classes_(classes) {
        keys_.reset(kMost / 2);  // sparse, so that a key is nearly always in the slot tried first
    }

    static bool suits(const Labels& labels, std::size_t n) {
        return !labels.weighted() && n >= kMost && labels.k <= 32;
    }
    // False where the cells turn out to be many: they pass a bound, or most rows make a new one.
    bool add(const Key* keys, const std::uint32_t* labels, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) ++counts_[first(keys[i]) + (labels ? labels[i] : 0)];
        rows_ += n;
        return keys_.size() <= kMost && (rows_ > 4 * kMost || keys_.size() * 8 <= rows_ * 5);
    }
    void merge(const FewCells& other) {
        for (std::size_t i = 0; i < other.keys_.size(); ++i) {
            const std::size_t to = first(other.keys_[i]);
            for (std::size_t k = 0; k < classes_; ++k)
                counts_[to + k] += other.counts_[i * classes_ + k];
        }
        rows_ += other.rows_;
    }
    Summary summary() const {
        Tally<std::uint64_t> tally(classes_, rows_);
        for (std::size_t i = 0; i < counts_.size(); i += classes_) {
            std::uint64_t total = 0;
            for (std::size_t k = 0; k < classes_; ++k) {
                const std::uint64_t count = counts_[i + k];
                tally.ty.add(count);
                tally.classes[k] += count;
                total += count;
            }
            tally.t.add(total);
            tally.singletons += total == 1;
        }
        tally.cells = keys_.size();
        return tally.summary(rows_);
    }

  private:
    static constexpr std::size_t kMost = std::size_t{1} << 14;

    std::size_t first(const Key& key) {  // the cell's first count
        const std::size_t i = keys_.add(key) * classes_;
        if (i == counts_.size()) counts_.resize(i + classes_, 0);
        return i;
    }

    std::size_t classes_;
    std::uint64_t rows_ = 0;
    KeySet keys_;
    std::vector<std::uint32_t> counts_;  // of each class, cell after cell
};

inline std::optional<Summary> count_few_cells(const Keyer& keyer, const View& view,
                                              const Labels& labels, int threads, const Poll& poll) {
    if (!FewCells::suits(labels, view.n)) return std::nullopt;
    const std::size_t chunk = chunk_rows(view, view.n, threads);
    const std::size_t workers = static_cast<std::size_t>(threads);
    std::vector<FewCells> few(workers, FewCells(labels.k));
    std::vector<std::vector<Key>> keys(workers, std::vector<Key>(chunk));
    std::atomic<bool> many{false};
    parallel_for((view.n + chunk - 1) / chunk, threads, poll, [&](std::size_t task, int worker) {
        if (many) return;
        const auto w = static_cast<std::size_t>(worker);
        const std::size_t from = task * chunk, rows = std::min(chunk, view.n - from);
        keyer.keys(from, from + rows, keys[w].data());
        if (!few[w].add(keys[w].data(), labels.hard ? labels.hard + from : nullptr, rows))
            many = true;
    });
    if (many) return std::nullopt;
    for (std::size_t w = 1; w < workers; ++w) few[0].merge(few[w]);
    return few[0].summary();
}

// Counts of the hard labels of one part after another.
class PartCounter {
  public:
    PartCounter(const Labels& labels, std::size_t n) : tally_(labels.k, n) {}

    void add(const Records& records, std::size_t part, const Labels& labels) {
        const bool look_back = labels.hard && !records.carries_classes();
        const std::size_t rows = records.size(part);
        keys_.reset(rows);
        counts_.assign(rows, 0);
        cell_.resize(rows);
        label_.resize(rows);
        std::size_t i = 0;
        records.each(part, [&](const Key& key, std::uint32_t carried) {
            cell_[i] = keys_.add(key);
            ++counts_[cell_[i]];
            label_[i++] = look_back ? labels.hard[carried] : carried;
        });
        tally_.cells += keys_.size();
        tally_.singletons += add_counts(counts_, tally_.t);
        if (!labels.hard) return;
        count_classes(labels.k);
        if (keys_.size() * labels.k <= 2 * rows + 64)
            count_dense_pairs(labels.k);
        else
            count_sparse_pairs();
    }
    void merge(const PartCounter& other) { tally_.merge(other.tally_); }
    Summary summary(std::uint64_t n) const { return tally_.summary(n); }

  private:
    // Adds the counts above 0; returns how many are 1, which may be nearly all of them.
    static std::uint64_t add_counts(const std::vector<std::uint32_t>& counts, CountEntropy& out) {
        std::uint64_t ones = 0;
        for (const std::uint32_t c : counts)
            if (c > 1)
                out.add(c);
            else
                ones += c;
        out.add(1, ones);
        return ones;
    }
    // In turn into four tables, where they are small: a counter that is added to again and again
    // waits for itself.
    void count_classes(std::size_t classes) {
        const std::size_t tables = classes <= 256 ? 4 : 1;
        pairs_.assign(tables * classes, 0);
        const std::uint32_t* label = label_.data();
        std::uint32_t* count = pairs_.data();
        for (std::size_t i = 0; i < label_.size(); ++i) ++count[i % tables * classes + label[i]];
        for (std::size_t i = 0; i < pairs_.size(); ++i) tally_.classes[i % classes] += pairs_[i];
    }
    void count_dense_pairs(std::size_t classes) {
        pairs_.assign(keys_.size() * classes, 0);
        for (std::size_t i = 0; i < cell_.size(); ++i) ++pairs_[cell_[i] * classes + label_[i]];
        add_counts(pairs_, tally_.ty);
    }
    void count_sparse_pairs() {
        pairs_.clear();
        pair_keys_.reset();
        std::uint64_t ones = 0;  // cells of one row are pairs of one row
        for (std::size_t i = 0; i < cell_.size(); ++i) {
            if (counts_[cell_[i]] == 1) {
                ++ones;
                continue;
            }
            const std::uint32_t p = pair_keys_.add({cell_[i], label_[i]});
            if (p == pairs_.size()) pairs_.push_back(0);
            ++pairs_[p];
        }
        tally_.ty.add(1, ones);
        add_counts(pairs_, tally_.ty);
    }

    Tally<std::uint64_t> tally_;
    KeySet keys_, pair_keys_;                    // cells of this part; (cell, class)
    std::vector<std::uint32_t> cell_, label_;    // of each row
    std::vector<std::uint32_t> counts_, pairs_;  // rows of each cell, of each pair
};

// The same for weights and soft labels.
class PartWeigher {
  public:
    PartWeigher(const Labels& labels, Fixed whole) : tally_(labels.k, whole) {}
    void add(const Records& records, std::size_t part, const Labels& labels) {
        table_.clear();
        records.each(part,
                     [&](const Key& key, std::uint32_t row) { table_.add_row(key, labels, row); });
        table_.tally(tally_);
    }
    void merge(const PartWeigher& other) { tally_.merge(other.tally_); }
    Summary summary(std::uint64_t n) const { return tally_.summary(n); }

  private:
    CellTable<Fixed> table_;
    Tally<Fixed> tally_;
};

template <class Part>
Summary summarise(const Records& records, const Labels& labels, const Part& empty, std::uint64_t n,
                  int threads, const Poll& poll) {
    const std::size_t workers =
        std::min<std::size_t>(static_cast<std::size_t>(threads), records.parts());
    std::vector<Part> worker(workers, empty);
    parallel_for(records.parts(), static_cast<int>(workers), poll, [&](std::size_t part, int w) {
        worker[static_cast<std::size_t>(w)].add(records, part, labels);
    });
    for (std::size_t w = 1; w < workers; ++w) worker[0].merge(worker[w]);
    return worker[0].summary(n);
}

struct Information {
    Summary labels, inputs;
};

// Of the labels and, where given, of the inputs' ids.
inline Information summarise_array(const View& view, const Binning& binning, const Labels& labels,
                                   const Labels* inputs, int threads, const Poll& poll) {
    threads = threads_for(view.n * view.d, threads);
    const Keyer keyer(view, binning, threads, poll);
    if (!inputs)
        if (const auto few = count_few_cells(keyer, view, labels, threads, poll))
            return {*few, Summary{}};
    unsigned part_bits = 0;  // 4096 to 8192 rows a part
    while (part_bits < 10 && view.n >> (part_bits + 13)) ++part_bits;
    const Records records(keyer, view, 0, view.n, part_bits,
                          labels.weighted() || inputs ? nullptr : labels.hard, threads, poll);
    const auto summary = [&](const Labels& l) {
        if (!l.weighted())
            return summarise(records, l, PartCounter(l, view.n), view.n, threads, poll);
        const auto [whole, rows] = total_weight(l, view.n);
        return summarise(records, l, PartWeigher(l, whole), rows, threads, poll);
    };
    return {summary(labels), inputs ? summary(*inputs) : Summary{}};
}

// Classes of each row as 32-bit numbers below `classes`; large ones are renumbered, for only which
// rows share a class matters.
struct Classes {
    Buffer<std::uint32_t> label;
    std::size_t classes = 1;
};

inline Classes classes_of(const char* name, const View& v, int threads) {  // n rows of one "unit"
    constexpr std::size_t block = 1 << 15, some = 512;
    Classes c;
    c.label = Buffer<std::uint32_t>(v.n);
    const std::size_t blocks = (v.n + block - 1) / block;
    std::vector<std::uint64_t> greatest(blocks, 0);
    parallel_for(blocks, threads_for(v.n, threads), {}, [&](std::size_t b, int) {
        std::int64_t wide[some];
        for (std::size_t from = b * block; from < std::min(v.n, (b + 1) * block); from += some) {
            const std::size_t rows = std::min(some, v.n - from);
            load(v.dtype, v.at(from, 0), v.row_stride, rows, wide);
            for (std::size_t r = 0; r < rows; ++r) {
                const auto label = static_cast<std::uint64_t>(wide[r]);  // a negative is large
                greatest[b] = std::max(greatest[b], label);
                c.label[from + r] = static_cast<std::uint32_t>(label);
            }
        }
    });
    const std::uint64_t most = *std::max_element(greatest.begin(), greatest.end());
    if (most < 4 * v.n + (1U << 16)) {
        c.classes = most + 1;
        return c;
    }
    std::vector<std::int64_t> wide(v.n);
    load(v.dtype, v.data, v.row_stride, v.n, wide.data());
    for (std::size_t i = 0; i < v.n; ++i)
        if (wide[i] < 0)
            throw InvalidInput(std::string(name) + ": " + std::to_string(wide[i]) + " at row " +
                               std::to_string(i) + "; expected classes 0, 1, 2, ...");
    std::vector<std::int64_t> sorted = wide;
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    for (std::size_t i = 0; i < v.n; ++i)
        c.label[i] = static_cast<std::uint32_t>(
            std::lower_bound(sorted.begin(), sorted.end(), wide[i]) - sorted.begin());
    c.classes = sorted.size();
    return c;
}

}  // namespace ibfast
