// The table behind JointCounts: counts per (cell, class) that grow by updates and merges.
#pragma once

#include "records.hpp"

namespace ibfast {

constexpr std::size_t kSlabRows = std::size_t{1} << 22;  // of one update of a table
constexpr unsigned kTablePartBits = 6;

// The table behind JointCounts: cells that stay, of rows that come in updates.
template <class Amount>
class JointTable {
  public:
    JointTable() : parts_(std::size_t{1} << kTablePartBits) {}

    // Adds the rows of a Keyer, or of KnownKeys.
    template <class Keys>
    void update(const Keys& keys, const Labels& labels, int threads, const Poll& poll) {
        const std::size_t n = keys.rows();
        if (n > kSlabRows) {  // all or nothing
            JointTable fresh;
            for (std::size_t from = 0; from < n; from += kSlabRows)
                fresh.add(keys, from, std::min(kSlabRows, n - from), labels, threads, poll);
            merge(fresh);
        } else {
            add(keys, 0, n, labels, threads, poll);
        }
    }
    void merge(const JointTable& other) {
        for (std::size_t p = 0; p < parts_.size(); ++p) parts_[p].merge(other.parts_[p]);
        n_ += other.n_;
        whole_ += other.whole_;
    }
    Summary summary() const {
        std::size_t classes = 0;  // up to the last one seen: there may be far more
        for (const auto& part : parts_)
            part.each([&](std::uint32_t, std::uint32_t label, Amount) {
                classes = std::max<std::size_t>(classes, label + std::size_t{1});
            });
        Tally<Amount> tally(classes, whole_);
        for (const auto& part : parts_) part.tally(tally);
        return tally.summary(n_);
    }
    // For reading a table back: a cell, then its amounts.
    void restore(const Key& key, std::uint64_t rows, const std::vector<std::uint32_t>& labels,
                 const std::vector<Amount>& amounts) {
        CellTable<Amount>& table = parts_[mix(key) >> (64 - kTablePartBits)];
        const std::uint32_t cell = table.cell(key);
        table.add_rows(cell, rows);
        n_ += rows;
        for (std::size_t i = 0; i < labels.size(); ++i) {
            table.add(cell, labels[i], amounts[i]);
            whole_ += amounts[i];
        }
    }
    const std::vector<CellTable<Amount>>& parts() const { return parts_; }
    std::uint64_t n() const { return n_; }
    Amount whole() const { return whole_; }
    std::size_t n_cells() const {
        std::size_t n = 0;
        for (const auto& p : parts_) n += p.n_cells();
        return n;
    }

  private:
    template <class Keys>
    void add(const Keys& keys, std::size_t from, std::size_t n, Labels labels, int threads,
             const Poll& poll) {
        const Records records(keys, from, n, kTablePartBits, nullptr, threads, poll);
        if (labels.hard) labels.hard += from;
        if (labels.soft) labels.soft += from * labels.k;
        if (labels.weights) labels.weights += from;
        parallel_for(parts_.size(), threads, {}, [&](std::size_t part, int) {
            records.each(part, [&](const Key& key, std::uint32_t row) {
                parts_[part].add_row(key, labels, row);
            });
        });
        const auto [whole, rows] = total_weight(labels, n);
        n_ += rows;
        if constexpr (CellTable<Amount>::weighted)
            whole_ += whole;
        else
            whole_ += n;
    }

    std::vector<CellTable<Amount>> parts_;
    std::uint64_t n_ = 0;
    Amount whole_ = 0;
};

}  // namespace ibfast
