// From keys to counts per class, and from counts to entropies. Every result depends on the multiset
// of rows alone: hard labels are counted in integers, weights and soft labels summed in 128-bit
// fixed point.
#pragma once

#include <array>
#include <map>
#include <numeric>
#include <optional>

#include "fingerprint.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ibfast {

using Fixed = __int128;         // a weight times 2^80
constexpr int kFixedBits = 80;  // weights below 2^46 in all, each 0 or above 2^-40
constexpr double kMostWeight = 0x1p46, kLeastWeight = 0x1p-40;
inline Fixed to_fixed(double v) {
    const double scaled = std::ldexp(v, kFixedBits);
    return static_cast<Fixed>(scaled < 0x1p52 ? std::nearbyint(scaled) : scaled);
}
inline double to_double(std::uint64_t n) { return static_cast<double>(n); }
inline double to_double(Fixed v) { return std::ldexp(static_cast<double>(v), -kFixedBits); }

// Uninitialised memory; large blocks ask for large pages, for they are touched once, at random.
template <class T>
class Buffer {
  public:
    explicit Buffer(std::size_t n) : size_(n) {
        constexpr std::size_t large = std::size_t{1} << 21;
        std::size_t bytes = n * sizeof(T);
        if (bytes >= 2 * large) {
            bytes = (bytes + large - 1) / large * large;
            p_ = static_cast<T*>(std::aligned_alloc(large, bytes));
#if defined(__linux__)
            if (p_) madvise(p_, bytes, MADV_HUGEPAGE);
#endif
        } else {
            p_ = static_cast<T*>(std::malloc(std::max<std::size_t>(bytes, 1)));
        }
        if (!p_) throw std::bad_alloc();
    }
    ~Buffer() { std::free(p_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    T* data() { return p_; }
    T& operator[](std::size_t i) { return p_[i]; }
    const T& operator[](std::size_t i) const { return p_[i]; }

  private:
    T* p_;
    std::size_t size_;
};

inline bool operator==(const Key& a, const Key& b) { return a.lo == b.lo && a.hi == b.hi; }
inline std::uint64_t mix(const Key& k) {  // upper bits choose a part, lower ones a slot
    const std::uint64_t z =
        (k.lo ^ (k.hi * 0x9e3779b97f4a7c15) ^ (k.lo >> 32)) * 0xbf58476d1ce4e5b9;
    return z ^ (z >> 32);
}

// The labels of n rows: classes, or rows of `k` probabilities; weights where given.
struct Labels {
    const std::uint32_t* hard = nullptr;
    const double* soft = nullptr;     // (n, k)
    const double* weights = nullptr;  // (n)
    std::size_t k = 0;                // classes; hard labels are below it
    int exponent = 0;                 // weights are taken times 2^exponent

    bool weighted() const { return soft || weights; }
};

// A growing open-addressing index of a list that its owner keeps.
class Index {
  public:
    // The position below `count` that same() accepts, or `count`, which the owner then appends.
    // hash_of(position) gives the hash again when the index grows.
    template <class Same, class HashOf>
    std::uint32_t find_or_add(std::uint64_t hash, std::size_t count, const Same& same,
                              const HashOf& hash_of) {
        if (count * 3 >= slots_.size()) grow(count, hash_of);  // collisions are mispredicted
        for (std::size_t i = hash & mask_;; i = (i + 1) & mask_) {
            const std::uint32_t slot = slots_[i];
            if (slot == kEmpty) {
                slots_[i] = static_cast<std::uint32_t>(count);
                return slots_[i];
            }
            if (same(slot)) return slot;
        }
    }
    void clear() { std::fill(slots_.begin(), slots_.end(), kEmpty); }
    // Empties the index and makes room for `count` positions.
    void reset(std::size_t count) {
        std::size_t size = std::max<std::size_t>(256, slots_.size());
        while (size <= count * 3) size *= 2;
        slots_.assign(size, kEmpty);
        mask_ = size - 1;
    }

  private:
    static constexpr std::uint32_t kEmpty = 0xffffffff;

    template <class HashOf>
    void grow(std::size_t count, const HashOf& hash_of) {
        if (count >= kEmpty)
            throw InvalidInput("acts: more than 2^32 cells in one part of the table");
        slots_.assign(std::max<std::size_t>(256, slots_.size() * 2), kEmpty);
        mask_ = slots_.size() - 1;
        for (std::uint32_t p = 0; p < count; ++p) {
            std::size_t i = hash_of(p) & mask_;
            while (slots_[i] != kEmpty) i = (i + 1) & mask_;
            slots_[i] = p;
        }
    }

    std::vector<std::uint32_t> slots_;
    std::size_t mask_ = 0;
};

// Amounts of one cell: of its first class here, of the others in a list of their own, so that a
// cell with one class, as almost all are where cells are many, costs one look-up.
template <class Amount>
struct Cell;
template <>
struct Cell<std::uint64_t> {
    Key key;
    std::uint64_t first;
    std::uint32_t first_class;
    void count_rows(std::uint64_t) {}
    std::uint64_t rows(std::uint64_t total) const { return total; }
};
template <>
struct Cell<Fixed> {
    Key key;
    Fixed first;
    std::uint64_t n_rows;
    std::uint32_t first_class;
    void count_rows(std::uint64_t n) { n_rows += n; }
    std::uint64_t rows(Fixed) const { return n_rows; }
};

template <class Amount>
struct Other {
    std::uint32_t cell, label;
    Amount amount;
};

constexpr std::uint32_t kNoClass = 0xffffffff;

// Amounts in (cell, class), sparse.
template <class Amount>
class CellTable {
  public:
    std::uint32_t cell(const Key& key, std::uint64_t hash) {
        const std::size_t count = cells_.size();
        const std::uint32_t i = index_.find_or_add(
            hash, count, [&](std::uint32_t p) { return cells_[p].key == key; },
            [&](std::uint32_t p) { return mix(cells_[p].key); });
        if (i == count) {
            Cell<Amount> c{};
            c.key = key;
            c.first_class = kNoClass;
            cells_.push_back(c);
        }
        return i;
    }
    void count_rows(std::uint32_t cell, std::uint64_t n) { cells_[cell].count_rows(n); }
    void add(std::uint32_t cell, std::uint32_t label, Amount amount) {
        Cell<Amount>& c = cells_[cell];
        if (c.first_class == kNoClass) c.first_class = label;
        if (c.first_class == label) {
            c.first += amount;
            return;
        }
        const std::size_t count = others_.size();
        const std::uint32_t i = other_index_.find_or_add(
            mix({cell, label}), count,
            [&](std::uint32_t p) { return others_[p].cell == cell && others_[p].label == label; },
            [&](std::uint32_t p) { return mix({others_[p].cell, others_[p].label}); });
        if (i == count) others_.push_back({cell, label, 0});
        others_[i].amount += amount;
    }
    // All of a row's label: one class, or the classes of positive probability.
    void add_row(const Key& key, std::uint64_t hash, const Labels& labels, std::size_t row);

    void merge(const CellTable& other) {
        std::vector<std::uint32_t> to;
        to.reserve(other.cells_.size());
        for (const auto& c : other.cells_) {
            to.push_back(cell(c.key, mix(c.key)));
            count_rows(to.back(), c.rows(0));
            add(to.back(), c.first_class, c.first);
        }
        for (const auto& o : other.others_) add(to[o.cell], o.label, o.amount);
    }
    std::vector<Amount> totals() const {
        std::vector<Amount> t;
        t.reserve(cells_.size());
        for (const auto& c : cells_) t.push_back(c.first);
        for (const auto& o : others_) t[o.cell] += o.amount;
        return t;
    }
    void clear() {
        cells_.clear();
        others_.clear();
        index_.clear();
        other_index_.clear();
    }
    const std::vector<Cell<Amount>>& cells() const { return cells_; }
    const std::vector<Other<Amount>>& others() const { return others_; }

  private:
    Index index_, other_index_;
    std::vector<Cell<Amount>> cells_;
    std::vector<Other<Amount>> others_;
};

template <>
inline void CellTable<std::uint64_t>::add_row(const Key& key, std::uint64_t hash,
                                              const Labels& labels, std::size_t row) {
    add(cell(key, hash), labels.hard ? labels.hard[row] : 0, 1);
}

template <>
inline void CellTable<Fixed>::add_row(const Key& key, std::uint64_t hash, const Labels& labels,
                                      std::size_t row) {
    const double weight = labels.weights ? std::ldexp(labels.weights[row], labels.exponent) : 1.0;
    Fixed left = to_fixed(weight);
    if (left == 0) return;
    const std::uint32_t c = cell(key, hash);
    count_rows(c, 1);
    if (!labels.soft) {
        add(c, labels.hard ? labels.hard[row] : 0, left);
        return;
    }
    // The likeliest class takes what rounding leaves over, so that a row's mass is exactly its
    // weight and the small probabilities keep their precision.
    const double* p = labels.soft + row * labels.k;
    const double sum = std::accumulate(p, p + labels.k, 0.0);
    const auto likeliest = static_cast<std::size_t>(std::max_element(p, p + labels.k) - p);
    for (std::size_t k = 0; k < labels.k; ++k) {
        const Fixed amount = std::min(left, to_fixed(weight * (p[k] / sum)));
        if (k == likeliest || amount == 0) continue;
        left -= amount;
        add(c, static_cast<std::uint32_t>(k), amount);
    }
    if (left > 0) add(c, static_cast<std::uint32_t>(likeliest), left);
}

// p log2(1/p) for p = part / whole, accurate where p is near 1.
template <class Amount>
double entropy_term(Amount part, Amount whole) {
    const double a = to_double(part), b = to_double(whole), rest = to_double(Amount(whole - part));
    constexpr double ln2 = 0.693147180559945309417232121458;
    return a / b * (part > whole / 2 ? std::log1p(rest / a) / ln2 : std::log2(b / a));
}

// How many cells hold each count: all that an entropy of counts depends on.
class Spectrum {
  public:
    Spectrum() : few_(kFew) {}
    void add(std::uint64_t count, std::uint64_t cells = 1) {
        if (count < kFew)
            few_[count] += cells;
        else
            many_[count] += cells;
    }
    void merge(const Spectrum& other) {
        other.each([&](std::uint64_t count, std::uint64_t cells) { add(count, cells); });
    }
    template <class Visitor>
    void each(Visitor&& visit) const {  // in order of the count
        for (std::uint64_t c = 1; c < kFew; ++c)
            if (few_[c]) visit(c, few_[c]);
        for (const auto& [c, cells] : many_) visit(c, cells);
    }
    double entropy(std::uint64_t n) const {
        double sum = 0, lost = 0;  // Neumaier 1974
        each([&](std::uint64_t count, std::uint64_t cells) {
            const double term = to_double(cells) * entropy_term(count, n), next = sum + term;
            lost += std::abs(sum) >= std::abs(term) ? (sum - next) + term : (term - next) + sum;
            sum = next;
        });
        return sum + lost;
    }

  private:
    static constexpr std::uint64_t kFew = 512;
    std::vector<std::uint64_t> few_;
    std::map<std::uint64_t, std::uint64_t> many_;
};

// Entropy of weights: terms are summed in fixed point (2^-100 bits), so order cannot matter.
class WeightEntropy {
  public:
    explicit WeightEntropy(Fixed whole = 0) : whole_(whole) {}
    void add(Fixed part) {
        if (part > 0) sum_ += static_cast<Fixed>(std::ldexp(entropy_term(part, whole_), 100));
    }
    void merge(const WeightEntropy& other) { sum_ += other.sum_; }
    double value() const { return std::ldexp(static_cast<double>(sum_), -100); }

  private:
    Fixed whole_, sum_ = 0;
};

struct Summary {
    std::uint64_t n = 0, cells = 0, singletons = 0;
    double h_t = 0, h_y = 0, h_ty = 0;  // bits
};

// Gathers the tables of some parts of the keys; merging is addition.
template <class Amount>
class Tally {
  public:
    Tally(std::size_t classes, Amount whole) : whole_(whole), classes_(classes, 0) {
        if constexpr (std::is_same<Amount, Fixed>::value) t_ = ty_ = WeightEntropy(whole);
    }
    void add(const CellTable<Amount>& table) {
        const std::vector<Amount> totals = table.totals();
        for (std::size_t i = 0; i < totals.size(); ++i) {
            const auto& c = table.cells()[i];
            const std::uint64_t rows = c.rows(totals[i] <= 1 ? totals[i] : 2);
            singletons_ += rows == 1;
            t_.add(totals[i]);
            ty_.add(c.first);
            classes_[c.first_class] += c.first;
        }
        for (const auto& o : table.others()) {
            ty_.add(o.amount);
            classes_[o.label] += o.amount;
        }
        cells_ += totals.size();
    }
    void merge(const Tally& other) {
        cells_ += other.cells_;
        singletons_ += other.singletons_;
        t_.merge(other.t_);
        ty_.merge(other.ty_);
        for (std::size_t k = 0; k < classes_.size(); ++k) classes_[k] += other.classes_[k];
    }
    Summary summary(std::uint64_t n) const {
        Summary s;
        s.n = n;
        s.cells = cells_;
        s.singletons = singletons_;
        if constexpr (std::is_same<Amount, Fixed>::value) {
            WeightEntropy y(whole_);
            for (Fixed v : classes_) y.add(v);
            s.h_t = t_.value();
            s.h_ty = ty_.value();
            s.h_y = y.value();
        } else {
            Spectrum y;
            for (std::uint64_t v : classes_)
                if (v) y.add(v);
            s.h_t = t_.entropy(whole_);
            s.h_ty = ty_.entropy(whole_);
            s.h_y = y.entropy(whole_);
        }
        return s;
    }

  private:
    using Entropy = std::conditional_t<std::is_same<Amount, Fixed>::value, WeightEntropy, Spectrum>;
    Amount whole_;
    std::uint64_t cells_ = 0, singletons_ = 0;
    Entropy t_, ty_;
    std::vector<Amount> classes_;
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
        for (std::size_t first = 0; first < n_; first += chunk_, offset += parts() + 1)
            for (std::size_t i = first + offset[0]; i < first + offset[1]; ++i)
                visit(keys_[i], carried_[i]);
    }

  private:
    unsigned part_bits_;
    std::size_t n_, chunk_;
    bool carries_classes_;
    Buffer<Key> keys_;
    Buffer<std::uint32_t> carried_;
    std::vector<std::uint32_t> offsets_;
};

// Counts of hard labels where cells are few, so that they stay in cache and need no sorting.
class FewCells {
  public:
    explicit FewCells(std::size_t classes) : classes_(classes) {}

    // False where the cells turn out to be many: they pass a bound, or most rows make a new one.
    bool add(const Key* keys, const std::uint32_t* labels, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i)
            ++counts_[cell(keys[i]) * classes_ + (labels ? labels[i] : 0)];
        rows_ += n;
        return keys_.size() <= kMost && (rows_ > 4 * kMost || keys_.size() * 8 <= rows_ * 5);
    }
    void merge(const FewCells& other) {
        for (std::size_t i = 0; i < other.keys_.size(); ++i) {
            const std::size_t to = cell(other.keys_[i]) * classes_;
            for (std::size_t k = 0; k < classes_; ++k)
                counts_[to + k] += other.counts_[i * classes_ + k];
        }
        rows_ += other.rows_;
    }
    Summary summary() const {
        Spectrum t, ty, y;
        std::vector<std::uint64_t> label(classes_, 0);
        Summary s{rows_, keys_.size(), 0, 0, 0, 0};
        for (std::size_t i = 0; i < keys_.size(); ++i) {
            std::uint64_t total = 0;
            for (std::size_t k = 0; k < classes_; ++k) {
                const std::uint64_t count = counts_[i * classes_ + k];
                if (count) ty.add(count);
                total += count;
                label[k] += count;
            }
            t.add(total);
            s.singletons += total == 1;
        }
        for (const std::uint64_t count : label)
            if (count) y.add(count);
        s.h_t = t.entropy(rows_);
        s.h_y = y.entropy(rows_);
        s.h_ty = ty.entropy(rows_);
        return s;
    }
    static bool suits(std::size_t n, std::size_t classes) { return n >= kMost && classes <= 32; }

  private:
    static constexpr std::size_t kMost = std::size_t{1} << 14;

    std::size_t cell(const Key& key) {
        const std::size_t known = keys_.size();
        const std::uint32_t i = index_.find_or_add(
            mix(key), known, [&](std::uint32_t p) { return keys_[p] == key; },
            [&](std::uint32_t p) { return mix(keys_[p]); });
        if (i == known) {
            keys_.push_back(key);
            counts_.resize(counts_.size() + classes_, 0);
        }
        return i;
    }

    std::size_t classes_;
    std::uint64_t rows_ = 0;
    Index index_;
    std::vector<Key> keys_;
    std::vector<std::uint32_t> counts_;  // of each class, cell after cell
};

inline std::optional<Summary> count_few_cells(const Keyer& keyer, const View& view,
                                              const Labels& labels, int threads, const Poll& poll) {
    const std::size_t classes = std::max<std::size_t>(labels.k, 1);
    if (!FewCells::suits(view.n, classes)) return std::nullopt;
    const std::size_t chunk = chunk_rows(view, view.n, threads);
    const std::size_t workers = static_cast<std::size_t>(threads);
    std::vector<FewCells> few(workers, FewCells(classes));
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

// Counts of the hard labels of one part after another, kept no longer than their spectra need.
class PartCounter {
  public:
    explicit PartCounter(const Labels& labels)
        : labelled_(labels.hard), classes_(std::max<std::size_t>(labels.k, 1), 0) {}

    void add(const Records& records, std::size_t part, const Labels& labels) {
        const bool look_back = labelled_ && !records.carries_classes();
        rows_ = records.size(part);
        if (cell_.size() < rows_)
            for (auto* v : {&cell_, &label_, &counts_}) v->resize(rows_);
        if (keys_.size() < rows_) keys_.resize(rows_);
        index_.reset(rows_);
        n_keys_ = 0;
        std::size_t i = 0;
        records.each(part, [&](const Key& key, std::uint32_t carried) {
            const std::uint32_t cell = index_.find_or_add(
                mix(key), n_keys_, [&](std::uint32_t p) { return keys_[p] == key; },
                [&](std::uint32_t p) { return mix(keys_[p]); });
            if (cell == n_keys_) {
                keys_[n_keys_] = key;
                counts_[n_keys_++] = 0;
            }
            ++counts_[cell];
            cell_[i] = cell;
            label_[i] = look_back ? labels.hard[carried] : carried;
            ++i;
        });
        cells_ += n_keys_;
        singletons_ += add_all(counts_.data(), n_keys_, t_);
        if (!labelled_) return;
        count_classes(labels.k);
        if (n_keys_ * labels.k <= 2 * rows_ + 64)
            add_dense(labels.k);
        else
            add_sparse();
    }
    void merge(const PartCounter& other) {
        cells_ += other.cells_;
        singletons_ += other.singletons_;
        t_.merge(other.t_);
        ty_.merge(other.ty_);
        for (std::size_t k = 0; k < classes_.size(); ++k) classes_[k] += other.classes_[k];
    }
    Summary summary(std::uint64_t n) const {
        Spectrum y;
        for (std::uint64_t v : classes_)
            if (v) y.add(v);
        const double h_t = t_.entropy(n);
        return {n, cells_, singletons_, h_t, y.entropy(n), labelled_ ? ty_.entropy(n) : h_t};
    }

  private:
    // Adds the counts above 0; returns how many are 1, which may be nearly all of them.
    static std::uint64_t add_all(const std::uint32_t* counts, std::size_t n, Spectrum& spectrum) {
        std::uint64_t ones = 0;
        for (std::size_t i = 0; i < n; ++i)
            if (counts[i] > 1)
                spectrum.add(counts[i]);
            else
                ones += counts[i];
        spectrum.add(1, ones);
        return ones;
    }
    // In turn into four tables, where they are small: a counter that is added to again and again
    // waits for itself.
    void count_classes(std::size_t classes) {
        const std::size_t tables = classes <= 256 ? 4 : 1;
        pairs_.assign(tables * classes, 0);
        for (std::size_t i = 0; i < rows_; ++i) ++pairs_[i % tables * classes + label_[i]];
        for (std::size_t i = 0; i < pairs_.size(); ++i) classes_[i % classes] += pairs_[i];
    }
    void add_dense(std::size_t classes) {
        pairs_.assign(n_keys_ * classes, 0);
        for (std::size_t i = 0; i < rows_; ++i) ++pairs_[cell_[i] * classes + label_[i]];
        add_all(pairs_.data(), pairs_.size(), ty_);
    }
    void add_sparse() {
        pairs_.clear();
        pair_.clear();
        pair_index_.clear();
        std::uint64_t ones = 0;
        for (std::size_t i = 0; i < rows_; ++i) {
            if (counts_[cell_[i]] == 1) {
                ++ones;
                continue;
            }
            const Key pair{cell_[i], label_[i]};
            const std::size_t known = pair_.size();
            const std::uint32_t p = pair_index_.find_or_add(
                mix(pair), known, [&](std::uint32_t q) { return pair_[q] == pair; },
                [&](std::uint32_t q) { return mix(pair_[q]); });
            if (p == known) {
                pair_.push_back(pair);
                pairs_.push_back(0);
            }
            ++pairs_[p];
        }
        ty_.add(1, ones);
        add_all(pairs_.data(), pairs_.size(), ty_);
    }

    bool labelled_;
    Spectrum t_, ty_;
    std::uint64_t cells_ = 0, singletons_ = 0;
    std::vector<std::uint64_t> classes_;
    Index index_, pair_index_;
    std::size_t rows_ = 0, n_keys_ = 0;                 // of this part, which the vectors outgrow
    std::vector<std::uint32_t> cell_, label_, counts_;  // of each row; rows of each key
    std::vector<Key> keys_, pair_;                      // cells; (cell, class)
    std::vector<std::uint32_t> pairs_;                  // rows of each pair
};

// The same for weights and soft labels.
class PartWeigher {
  public:
    PartWeigher(const Labels& labels, Fixed whole)
        : tally_(std::max<std::size_t>(labels.k, 1), whole) {}
    void add(const Records& records, std::size_t part, const Labels& labels) {
        table_.clear();
        records.each(part, [&](const Key& key, std::uint32_t row) {
            table_.add_row(key, mix(key), labels, row);
        });
        tally_.add(table_);
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

// Sum of the weights in fixed point, and the rows that have any.
inline std::pair<Fixed, std::uint64_t> total_weight(const Labels& labels, std::size_t n) {
    if (!labels.weights) return {to_fixed(1.0) * static_cast<Fixed>(n), n};
    Fixed whole = 0;
    std::uint64_t rows = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const Fixed w = to_fixed(std::ldexp(labels.weights[i], labels.exponent));
        whole += w;
        rows += w > 0;
    }
    return {whole, rows};
}

constexpr std::size_t kSlabRows = std::size_t{1} << 22;  // of one update of a table
constexpr unsigned kTablePartBits = 6;

// The table behind JointCounts: cells that stay, of rows that come in updates.
template <class Amount>
class JointTable {
  public:
    JointTable() : parts_(std::size_t{1} << kTablePartBits) {}

    void update(const Keyer& keyer, const View& view, const Labels& labels, int threads,
                const Poll& poll) {
        if (view.n > kSlabRows) {  // all or nothing
            JointTable fresh;
            for (std::size_t from = 0; from < view.n; from += kSlabRows)
                fresh.add(keyer, view, from, std::min(kSlabRows, view.n - from), labels, threads,
                          poll);
            merge(fresh);
        } else {
            add(keyer, view, 0, view.n, labels, threads, poll);
        }
    }
    void merge(const JointTable& other) {
        if (&other == this) return merge(JointTable(other));
        for (std::size_t p = 0; p < parts_.size(); ++p) parts_[p].merge(other.parts_[p]);
        n_ += other.n_;
        whole_ += other.whole_;
    }
    Summary summary(std::size_t classes) const {
        Tally<Amount> tally(std::max<std::size_t>(classes, 1), whole_);
        for (const auto& part : parts_) tally.add(part);
        return tally.summary(n_);
    }
    // For reading a table back: a cell, then its amounts.
    void restore(const Key& key, std::uint64_t rows, const std::vector<std::uint32_t>& labels,
                 const std::vector<Amount>& amounts) {
        const std::uint64_t hash = mix(key);
        CellTable<Amount>& table = parts_[hash >> (64 - kTablePartBits)];
        const std::uint32_t cell = table.cell(key, hash);
        table.count_rows(cell, rows);
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
        for (const auto& p : parts_) n += p.cells().size();
        return n;
    }

  private:
    void add(const Keyer& keyer, const View& view, std::size_t from, std::size_t n, Labels labels,
             int threads, const Poll& poll) {
        const Records records(keyer, view, from, n, kTablePartBits, nullptr, threads, poll);
        if (labels.hard) labels.hard += from;
        if (labels.soft) labels.soft += from * labels.k;
        if (labels.weights) labels.weights += from;
        parallel_for(parts_.size(), threads, {}, [&](std::size_t part, int) {
            records.each(part, [&](const Key& key, std::uint32_t row) {
                parts_[part].add_row(key, mix(key), labels, row);
            });
        });
        const auto [whole, rows] = total_weight(labels, n);
        n_ += rows;
        if constexpr (std::is_same<Amount, Fixed>::value)
            whole_ += whole;
        else
            whole_ += n;
    }

    std::vector<CellTable<Amount>> parts_;
    std::uint64_t n_ = 0;
    Amount whole_ = 0;
};

}  // namespace ibfast
