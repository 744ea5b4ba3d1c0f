// The information of one array at once: nothing is kept of a part of the cells but its tally.
#pragma once

#include "few_cells.hpp"

namespace ibfast {

// Counts of the hard labels of one part after another.
class PartCounter {
  public:
    PartCounter(const Labels& labels, std::size_t n) : tally_(labels.k, n) {}

    void add(const Records& records, std::size_t part, const Labels& labels) {
        records.copy(part, labels.bytes, keys_, label_);
        if (labels.hard)
            for (std::uint32_t& row : label_) row = labels.hard[row];
        find_repeats();
        const std::size_t cells = keys_.size() - repeats_.size();
        const std::uint64_t single = cells - count_repeats();
        tally_.cells += cells;
        tally_.singletons += single;
        tally_.t.add(1, single);
        if (!labels.classes()) return;
        count_classes(labels.k);
        tally_.ty.add(1, single);
        if (repeats_.empty()) return;
        if (repeated_.size() * labels.k <= 2 * keys_.size() + 64)
            count_dense_pairs(labels.k);
        else
            count_sparse_pairs();
    }
    void merge(const PartCounter& other) { tally_.merge(other.tally_); }
    Summary summary(std::uint64_t n) const { return tally_.summary(n); }

  private:
    // cell_: of each row the first row with its key; repeats_: the rows that are not the first.
    // Rows of one hash are chained, the latest first. Where most rows are alone in their cells most
    // chains are empty, so that all of them are made before any row is compared: without branches.
    void find_repeats() {
        const std::size_t rows = keys_.size();
        const std::size_t sparse = rows < (1U << 14) ? 4 * rows : rows;  // memory, for large parts
        std::size_t size = 64;
        while (size < sparse) size *= 2;
        latest_.assign(size, 0);
        earlier_.resize(rows);
        cell_.resize(rows);
        repeats_.resize(rows);
        std::size_t chained = 0;
        for (std::uint32_t i = 0; i < rows; ++i) {
            std::uint32_t& latest = latest_[mix(keys_[i]) & (size - 1)];
            earlier_[i] = latest;
            cell_[i] = i;
            repeats_[chained] = i;
            chained += latest != 0;
            latest = i + 1;
        }
        std::size_t repeats = 0;
        for (std::size_t c = 0; c < chained; ++c) {
            const std::uint32_t row = repeats_[c];
            for (std::uint32_t* link = &earlier_[row]; *link != 0; link = &earlier_[*link - 1]) {
                const std::uint32_t other = *link - 1;
                if (!(keys_[other] == keys_[row])) continue;
                cell_[row] = cell_[other];
                *link = earlier_[other];  // a chain holds a key once
                repeats_[repeats++] = row;
                break;
            }
        }
        repeats_.resize(repeats);
    }
    std::uint32_t& count(std::uint32_t cell) { return earlier_[cell]; }  // its chains are done with

    // Adds the cells of more than one row, and returns how many there are: repeated_.
    std::size_t count_repeats() {
        repeated_.clear();
        if (repeats_.empty()) return 0;
        std::fill(earlier_.begin(), earlier_.end(), 0);
        for (const std::uint32_t row : repeats_)
            if (count(cell_[row])++ == 0) repeated_.push_back(cell_[row]);
        for (const std::uint32_t cell : repeated_) tally_.t.add(count(cell) + 1);
        return repeated_.size();
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
    // Cells of one row are pairs of one row; the first row of another is not among the repeats.
    template <class Visitor>
    void each_repeated(Visitor&& visit) const {
        for (const std::uint32_t row : repeated_) visit(row);
        for (const std::uint32_t row : repeats_) visit(row);
    }
    void add_pairs() {
        for (const std::uint32_t count : pairs_)
            if (count > 0) tally_.ty.add(count);
    }
    void count_dense_pairs(std::size_t classes) {
        for (std::uint32_t i = 0; i < repeated_.size(); ++i) count(repeated_[i]) = i;
        pairs_.assign(repeated_.size() * classes, 0);
        each_repeated(
            [&](std::uint32_t row) { ++pairs_[count(cell_[row]) * classes + label_[row]]; });
        add_pairs();
    }
    void count_sparse_pairs() {
        pairs_.clear();
        pair_keys_.reset();
        each_repeated([&](std::uint32_t row) {
            const std::uint32_t p = pair_keys_.add({cell_[row], label_[row]});
            if (p == pairs_.size()) pairs_.push_back(0);
            ++pairs_[p];
        });
        add_pairs();
    }

    Tally<std::uint64_t> tally_;
    std::vector<Key> keys_;  // of this part's rows
    std::vector<std::uint32_t> label_, cell_, repeats_, latest_, earlier_;
    std::vector<std::uint32_t> repeated_;  // the first rows of cells of more
    std::vector<std::uint32_t> pairs_;     // rows of each pair
    KeySet pair_keys_;                     // (cell, class)
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
    unsigned part_bits = 0;  // 2048 to 4096 rows a part
    while (part_bits < 10 && view.n >> (part_bits + 12)) ++part_bits;
    const Records records(keyer, 0, view.n, part_bits, labels.bytes, threads, poll);
    const auto summary = [&](const Labels& l) {
        if (!l.weighted())
            return summarise(records, l, PartCounter(l, view.n), view.n, threads, poll);
        const auto [whole, rows] = total_weight(l, view.n);
        return summarise(records, l, PartWeigher(l, whole), rows, threads, poll);
    };
    return {summary(labels), inputs ? summary(*inputs) : Summary{}};
}

// Classes of each row as numbers below `classes`: bytes where those are asked for and suffice.
// Large ones are renumbered, for only which rows share a class matters.
struct Classes {
    Buffer<std::uint32_t> label;
    Buffer<std::uint8_t> bytes;
    std::size_t classes = 1;
};

// The labels of n rows of one "unit" as T; their greatest, or the greatest number of all where one
// is too large or negative.
template <class T>
std::uint64_t read_labels(const View& v, int threads, T* out) {
    constexpr std::size_t block = 1 << 15, some = 512;
    const std::size_t blocks = (v.n + block - 1) / block;
    std::vector<std::uint64_t> greatest(blocks, 0);
    parallel_for(blocks, threads_for(v.n, threads), {}, [&](std::size_t b, int) {
        std::int64_t wide[some];
        T most = 0;
        std::uint64_t above = 0;
        for (std::size_t from = b * block; from < std::min(v.n, (b + 1) * block); from += some) {
            const std::size_t rows = std::min(some, v.n - from);
            load(v.dtype, v.at(from, 0), v.row_stride, rows, wide);
            for (std::size_t r = 0; r < rows; ++r) {
                const auto label = static_cast<T>(wide[r]);
                most = std::max(most, label);
                above |= static_cast<std::uint64_t>(wide[r]) >> 8 * sizeof(T);
                out[from + r] = label;
            }
        }
        greatest[b] = above ? ~std::uint64_t{0} : most;
    });
    return *std::max_element(greatest.begin(), greatest.end());
}

inline Classes classes_of(const char* name, const View& v, bool bytes, int threads) {
    Classes c;
    if (bytes) {
        c.bytes = Buffer<std::uint8_t>(v.n);
        const std::uint64_t most = read_labels(v, threads, c.bytes.data());
        c.classes = most + 1;
        if (most < 256) return c;
        c.bytes = {};
    }
    c.label = Buffer<std::uint32_t>(v.n);
    const std::uint64_t most = read_labels(v, threads, c.label.data());
    c.classes = most + 1;
    if (most < 4 * v.n + (1U << 16)) return c;
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
