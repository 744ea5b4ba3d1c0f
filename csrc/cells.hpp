// Tables of cells: a set of keys in order of arrival, and amounts in (cell, class).
#pragma once

#include <algorithm>
#include <numeric>

#include "entropy.hpp"
#include "fingerprint.hpp"

namespace ibfast {

inline bool operator==(const Key& a, const Key& b) { return a.lo == b.lo && a.hi == b.hi; }

inline std::uint64_t mix(const Key& k) {  // upper bits choose a part, lower ones a slot
    const std::uint64_t z =
        (k.lo ^ (k.hi * 0x9e3779b97f4a7c15) ^ (k.lo >> 32)) * 0xbf58476d1ce4e5b9;
    return z ^ (z >> 32);
}

// Keys numbered in order of arrival; open addressing, a third full at most.
class KeySet {
  public:
    // The number of a key: size() before the call where it is new.
    std::uint32_t add(const Key& key) {
        const std::size_t count = keys_.size();
        if (count * 3 >= slots_.size()) {
            if (count >= kEmpty)
                throw InvalidInput("acts: more than 2^32 cells in one part of the table");
            make_slots(slots_.size() * 2);
            for (std::uint32_t p = 0; p < count; ++p) slots_[free_slot(keys_[p])] = p;
        }
        for (std::size_t i = mix(key) & mask_;; i = (i + 1) & mask_) {
            const std::uint32_t slot = slots_[i];
            if (slot == kEmpty) {
                slots_[i] = static_cast<std::uint32_t>(count);
                keys_.push_back(key);
                return slots_[i];
            }
            if (keys_[slot] == key) return slot;
        }
    }
    // Empties the set, with room for `count` keys.
    void reset(std::size_t count = 0) {
        std::size_t size = slots_.size();
        while (size <= count * 3) size = std::max<std::size_t>(kLeast, size * 2);
        make_slots(size);
        keys_.clear();
    }
    std::size_t size() const { return keys_.size(); }
    const Key& operator[](std::size_t i) const { return keys_[i]; }

  private:
    static constexpr std::uint32_t kEmpty = 0xffffffff;
    static constexpr std::size_t kLeast = 64;

    void make_slots(std::size_t size) {
        slots_.assign(std::max(kLeast, size), kEmpty);
        mask_ = slots_.size() - 1;
    }
    std::size_t free_slot(const Key& key) const {
        std::size_t i = mix(key) & mask_;
        while (slots_[i] != kEmpty) i = (i + 1) & mask_;
        return i;
    }

    std::vector<std::uint32_t> slots_;
    std::size_t mask_ = 0;
    std::vector<Key> keys_;
};

// The labels of n rows: classes, or rows of `k` probabilities; weights where given.
struct Labels {
    const std::uint32_t* hard = nullptr;
    const std::uint8_t* bytes = nullptr;  // instead, where classes are few and nothing is weighted
    const double* soft = nullptr;         // (n, k)
    const double* weights = nullptr;      // (n)
    std::size_t k = 1;                    // classes; hard labels are below it
    int exponent = 0;                     // weights are taken times 2^exponent

    bool weighted() const { return soft || weights; }
    bool classes() const { return hard || bytes; }
    Fixed weight(std::size_t row) const {
        return to_fixed(weights ? std::ldexp(weights[row], exponent) : 1.0);
    }
};

// Amounts in (cell, class), sparse. A cell keeps the amount of its first class with it, so that a
// cell with one class, as almost all are where cells are many, costs one look-up.
template <class Amount>
class CellTable {
  public:
    static constexpr bool weighted = std::is_same<Amount, Fixed>::value;

    std::uint32_t cell(const Key& key) {
        const std::uint32_t i = keys_.add(key);
        if (i == first_.size()) {
            first_.push_back({0, kNoClass});
            if (weighted) rows_.push_back(0);
        }
        return i;
    }
    void add(std::uint32_t cell, std::uint32_t label, Amount amount) {
        First& f = first_[cell];
        if (f.label == kNoClass) f.label = label;
        if (f.label == label) {
            f.amount += amount;
            return;
        }
        const std::uint32_t i = other_keys_.add({cell, label});
        if (i == other_.size()) other_.push_back(0);
        other_[i] += amount;
    }
    void add_rows(std::uint32_t cell, std::uint64_t n) {  // counts are rows already
        if (weighted) rows_[cell] += n;
    }
    // All of a row: its class, or its classes of positive probability.
    void add_row(const Key& key, const Labels& labels, std::size_t row) {
        if constexpr (weighted)
            add_weighted(key, labels, row);
        else
            add(cell(key), labels.hard ? labels.hard[row] : 0, 1);
    }
    void merge(const CellTable& other) {
        std::vector<std::uint32_t> to;
        to.reserve(other.n_cells());
        for (std::uint32_t i = 0; i < other.n_cells(); ++i) {
            to.push_back(cell(other.keys_[i]));
            if (weighted) add_rows(to[i], other.rows_[i]);
        }
        other.each([&](std::uint32_t cell, std::uint32_t label, Amount amount) {
            add(to[cell], label, amount);
        });
    }
    void clear() {
        keys_.reset();
        other_keys_.reset();
        first_.clear();
        other_.clear();
        rows_.clear();
    }

    // visit(cell, class, amount) for all.
    template <class Visitor>
    void each(Visitor&& visit) const {
        for (std::uint32_t i = 0; i < first_.size(); ++i)
            visit(i, first_[i].label, first_[i].amount);
        for (std::uint32_t i = 0; i < other_.size(); ++i)
            visit(static_cast<std::uint32_t>(other_keys_[i].lo),
                  static_cast<std::uint32_t>(other_keys_[i].hi), other_[i]);
    }
    void tally(Tally<Amount>& out) const {
        std::vector<Amount> totals(n_cells(), 0);
        each([&](std::uint32_t cell, std::uint32_t label, Amount amount) {
            totals[cell] += amount;
            out.ty.add(amount);
            out.classes[label] += amount;
        });
        for (std::uint32_t i = 0; i < totals.size(); ++i) {
            out.t.add(totals[i]);
            out.singletons += weighted ? rows_[i] == 1 : totals[i] == 1;
        }
        out.cells += totals.size();
    }
    std::size_t n_cells() const { return keys_.size(); }
    const Key& key(std::uint32_t cell) const { return keys_[cell]; }
    std::uint64_t rows(std::uint32_t cell) const { return weighted ? rows_[cell] : 0; }

  private:
    static constexpr std::uint32_t kNoClass = 0xffffffff;
    struct First {
        Amount amount;
        std::uint32_t label;
    };

    void add_weighted(const Key& key, const Labels& labels, std::size_t row) {
        Fixed left = labels.weight(row);
        if (left == 0) return;
        const std::uint32_t c = cell(key);
        add_rows(c, 1);
        std::uint32_t rest = labels.hard ? labels.hard[row] : 0;
        if (labels.soft) {
            // The likeliest class takes what rounding leaves over, so that a row's mass is exactly
            // its weight and the small probabilities keep their precision.
            const double* p = labels.soft + row * labels.k;
            const double weight = to_double(left), sum = std::accumulate(p, p + labels.k, 0.0);
            rest = static_cast<std::uint32_t>(std::max_element(p, p + labels.k) - p);
            for (std::uint32_t k = 0; k < labels.k; ++k) {
                const Fixed amount = std::min(left, to_fixed(weight * (p[k] / sum)));
                if (k == rest || amount == 0) continue;
                left -= amount;
                add(c, k, amount);
            }
        }
        if (left > 0) add(c, rest, left);
    }

    KeySet keys_, other_keys_;  // of cells, of (cell, class)
    std::vector<First> first_;
    std::vector<Amount> other_;
    std::vector<std::uint64_t> rows_;  // of each cell, where weighted
};

// Sum of the weights in fixed point, and the rows that have any.
inline std::pair<Fixed, std::uint64_t> total_weight(const Labels& labels, std::size_t n) {
    if (!labels.weights) return {to_fixed(1.0) * static_cast<Fixed>(n), n};
    Fixed whole = 0;
    std::uint64_t rows = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const Fixed w = labels.weight(i);
        whole += w;
        rows += w > 0;
    }
    return {whole, rows};
}

}  // namespace ibfast
