// The only unit that knows Python: takes views of arrays, releases the GIL, computes.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bind_bottleneck.hpp"
#include "bind_kde.hpp"
#include "bind_resample.hpp"
#include "joint_counts.hpp"
#include "summarise.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace ibfast {
namespace {

using Array = py::array;
using Doubles = py::array_t<double, py::array::c_style>;
using Words = py::array_t<std::uint64_t, py::array::c_style>;
using OptionalArray = std::optional<py::array>;
using OptionalDoubles = std::optional<Doubles>;

// Ctrl-C: called from the thread that Python called, without the GIL.
void poll_signals() {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

DType dtype_of(const Array& a, bool bfloat16) {
    if (bfloat16) return DType::bf16;
    const char kind = a.dtype().kind();
    const auto size = a.itemsize();
    if (kind == 'f' && size == 2) return DType::f16;
    if (kind == 'f' && size == 4) return DType::f32;
    if (kind == 'f' && size == 8) return DType::f64;
    if (kind == 'b' || (kind == 'u' && size == 1)) return DType::u8;
    if (kind == 'u') return size == 2 ? DType::u16 : size == 4 ? DType::u32 : DType::u64;
    if (kind == 'i')
        return size == 1 ? DType::i8 : size == 2 ? DType::i16 : size == 4 ? DType::i32 : DType::i64;
    throw py::type_error("unsupported dtype " + py::str(a.dtype()).cast<std::string>());
}

// (n, d) or (repeats, n, d): a view for each repeat.
std::vector<View> views_of(const Array& acts, bool bfloat16) {
    const bool batch = acts.ndim() == 3;
    const py::ssize_t row = batch ? 1 : 0;
    View v{static_cast<const char*>(acts.data()),
           static_cast<std::size_t>(acts.shape(row)),
           static_cast<std::size_t>(acts.shape(row + 1)),
           acts.strides(row),
           acts.strides(row + 1),
           dtype_of(acts, bfloat16)};
    std::vector<View> views;
    for (py::ssize_t r = 0; r < (batch ? acts.shape(0) : 1); ++r) {
        views.push_back(v);
        if (batch) v.data += acts.strides(0);
    }
    return views;
}

Binning make_binning(const std::string& kind, const std::string& outside, std::size_t bins,
                     double width, const OptionalDoubles& edges, bool per_unit) {
    const StandardFloat standard;
    Binning b{};
    b.kind = kind == "uniform" ? Kind::uniform
             : kind == "edges" ? Kind::edges
             : kind == "width" ? Kind::width
                               : Kind::integers;
    b.outside = outside == "raise"  ? Outside::raise
                : outside == "clip" ? Outside::clip
                                    : Outside::cell;
    b.per_unit = per_unit;
    b.bins = bins;
    b.width = width;
    b.m = bins + 1;
    if (edges) {
        const double* e = edges->data();
        if (b.kind == Kind::uniform) {
            append_linspace(e[0], e[1], bins, b.edges);
        } else {
            b.edges.assign(e, e + edges->size());
            b.m = static_cast<std::size_t>(edges->shape(edges->ndim() - 1));
            for (py::ssize_t i = 0; i < edges->size(); ++i)
                if (std::isnan(e[i]) || (static_cast<std::size_t>(i) % b.m && !(e[i - 1] <= e[i])))
                    throw InvalidInput(
                        "edges: they do not increase, or are NaN; expected increasing numbers");
        }
    }
    return b;
}

// (n,) for all repeats, or (repeats, n).
View label_view(const Array& a, std::size_t repeat) {
    const char* data = static_cast<const char*>(a.data());
    if (a.ndim() == 2) data += static_cast<py::ssize_t>(repeat) * a.strides(0);
    const py::ssize_t axis = a.ndim() - 1;
    return {
        data, static_cast<std::size_t>(a.shape(axis)), 1, a.strides(axis), 0, dtype_of(a, false)};
}

// One row a repeat: n, n_cells, n_singletons, H(T), H(Y), H(T,Y), H(X), H(T,X), in bits.
Doubles summarise_arrays(const Array& acts, bool bfloat16, const Binning& binning,
                         const OptionalArray& labels, const OptionalDoubles& soft,
                         const OptionalDoubles& weights, const OptionalArray& inputs, int threads) {
    const StandardFloat standard;
    const std::vector<View> views = views_of(acts, bfloat16);
    const std::size_t repeats = views.size(), n = views[0].n;
    const bool shared_labels = !labels || labels->ndim() == 1;
    const bool shared_inputs = !inputs || inputs->ndim() == 1;
    std::vector<View> label_views, input_views;
    for (std::size_t r = 0; r < repeats; ++r) {
        if (labels) label_views.push_back(label_view(*labels, r));
        if (inputs) input_views.push_back(label_view(*inputs, r));
    }
    const double *p = soft ? soft->data() : nullptr, *w = weights ? weights->data() : nullptr;
    const std::size_t k = soft ? static_cast<std::size_t>(soft->shape(soft->ndim() - 1)) : 1;
    const std::size_t soft_step = soft && soft->ndim() == 3 ? n * k : 0;
    const std::size_t weight_step = weights && weights->ndim() == 2 ? n : 0;
    std::vector<Information> out(repeats);
    {
        const py::gil_scoped_release no_gil;
        Classes one_y, one_x;
        const bool bytes = !weights && !inputs;
        if (labels && shared_labels) one_y = classes_of("labels", label_views[0], bytes, threads);
        if (inputs && shared_inputs) one_x = classes_of("inputs", input_views[0], false, threads);
        const auto repeat = [&](std::size_t r, int inner, const Poll& poll) {
            Classes own_y, own_x;
            if (!shared_labels) own_y = classes_of("labels", label_views[r], bytes, inner);
            if (!shared_inputs) own_x = classes_of("inputs", input_views[r], false, inner);
            const Classes &y = shared_labels ? one_y : own_y, &x = shared_inputs ? one_x : own_x;
            Labels l;
            if (labels) {
                l.hard = y.label.data();
                l.bytes = y.bytes.data();
                l.k = y.classes;
            }
            if (soft) {
                l.soft = p + r * soft_step;
                l.k = k;
            }
            if (weights) {
                l.weights = w + r * weight_step;
                std::frexp(*std::max_element(l.weights, l.weights + n), &l.exponent);
                l.exponent = -l.exponent;
            }
            Labels in = l;
            in.soft = nullptr;
            in.hard = x.label.data();
            in.k = x.classes;
            out[r] = summarise_array(views[r], binning, l, inputs ? &in : nullptr, inner, poll);
        };
        const int outer = repeats > 1 ? threads_for(repeats * n * views[0].d, threads) : 1;
        const bool small = n * views[0].d < (std::size_t{1} << 22);
        if (outer > 1 && (small || repeats >= 4 * static_cast<std::size_t>(outer)))
            parallel_for(repeats, outer, poll_signals,
                         [&](std::size_t r, int) { repeat(r, 1, {}); });
        else
            for (std::size_t r = 0; r < repeats; ++r) repeat(r, threads, poll_signals);
    }
    Doubles result({repeats, std::size_t{8}});
    double* to = result.mutable_data();
    for (const auto& [a, b] : out)
        for (const double v : {to_double(a.n), to_double(a.cells), to_double(a.singletons), a.h_t,
                               a.h_y, a.h_ty, b.h_y, b.h_ty})
            *to++ = v;
    return result;
}

// Numbers for each row of the activations, `width` a row: what fill(keyer, from, to, out) writes.
template <class Out, class Fill>
py::array_t<Out> each_row(const Array& acts, bool bfloat16, const Binning& binning, int threads,
                          std::size_t width, const Fill& fill) {
    const StandardFloat standard;
    const std::vector<View> views = views_of(acts, bfloat16);
    const std::size_t n = views[0].n, d = views[0].d;
    std::vector<py::ssize_t> shape(acts.shape(), acts.shape() + acts.ndim());
    shape.back() = static_cast<py::ssize_t>(width);
    py::array_t<Out> result(shape);
    Out* out = result.mutable_data();
    const py::gil_scoped_release no_gil;
    for (const View& view : views) {
        const int team = threads_for(n * d, threads);
        const Keyer keyer(view, binning, team, poll_signals);
        parallel_for((n + kTileRows - 1) / kTileRows, team, poll_signals,
                     [&](std::size_t task, int) {
                         const std::size_t from = task * kTileRows;
                         fill(keyer, from, std::min(n, from + kTileRows), out + from * width);
                     });
        out += n * width;
    }
    return result;
}

py::array_t<std::int64_t> discretise(const Array& acts, bool bfloat16, const Binning& binning,
                                     int threads) {
    const auto units = static_cast<std::size_t>(acts.shape(acts.ndim() - 1));
    return each_row<std::int64_t>(acts, bfloat16, binning, threads, units,
                                  [](const Keyer& keyer, std::size_t from, std::size_t to,
                                     std::int64_t* out) { keyer.codes(from, to, out); });
}

// The high word first, as in arrays() of a table.
py::array_t<std::uint64_t> keys_of(const Array& acts, bool bfloat16, const Binning& binning,
                                   int threads) {
    return each_row<std::uint64_t>(
        acts, bfloat16, binning, threads, 2,
        [](const Keyer& keyer, std::size_t from, std::size_t to, std::uint64_t* out) {
            Key keys[kTileRows];
            keyer.keys(from, to, keys);
            for (std::size_t i = 0; i < to - from; ++i) {
                *out++ = keys[i].hi;
                *out++ = keys[i].lo;
            }
        });
}

// The table of a JointCounts, whose Python side checks arguments, keeps the configuration and
// locks.
template <class Amount>
class Table {
  public:
    void update(const Array& acts, bool bfloat16, const Binning& binning,
                const OptionalArray& labels, const OptionalDoubles& soft,
                const OptionalDoubles& weights, std::size_t n_classes, int threads) {
        const View view = views_of(acts, bfloat16)[0];
        add(view.n, view.d, labels, soft, weights, n_classes, threads,
            [&](int team) { return Keyer(view, binning, team, poll_signals); });
    }
    // The same of rows whose keys are known: (n, 2), the high word first.
    void update_keys(const Words& keys, const OptionalArray& labels, const OptionalDoubles& soft,
                     const OptionalDoubles& weights, std::size_t n_classes, int threads) {
        const KnownKeys known(keys.data(), static_cast<std::size_t>(keys.shape(0)));
        add(known.rows(), known.units(), labels, soft, weights, n_classes, threads,
            [&](int) { return known; });
    }
    void merge(const Table& other) {
        const py::gil_scoped_release no_gil;
        if (this == &other)
            table_.merge(JointTable<Amount>(other.table_));
        else
            table_.merge(other.table_);
    }
    py::tuple summary() const {
        const Summary s = table_.summary();
        return py::make_tuple(s.n, s.cells, s.singletons, s.h_t, s.h_y, s.h_ty);
    }
    // Everything, in order of key and class: keys (cells, 2) high word first, rows (cells,),
    // cell and label of each entry, and its amount (entries,) or (entries, 2) low word first.
    py::tuple arrays() const {
        constexpr bool fixed = CellTable<Amount>::weighted;
        struct Place {
            Key key;
            std::uint32_t part, cell;
        };
        const auto& parts = table_.parts();
        std::vector<Place> order;
        for (std::uint32_t p = 0; p < parts.size(); ++p)
            for (std::uint32_t c = 0; c < parts[p].n_cells(); ++c)
                order.push_back({parts[p].key(c), p, c});
        std::sort(order.begin(), order.end(), [](const Place& a, const Place& b) {
            return a.key.hi != b.key.hi ? a.key.hi < b.key.hi : a.key.lo < b.key.lo;
        });
        std::vector<std::vector<std::uint32_t>> rank;
        for (const auto& part : parts) rank.emplace_back(part.n_cells());
        const std::size_t cells = order.size();
        py::array_t<std::uint64_t> keys({cells, std::size_t{2}});
        py::array_t<std::uint64_t> rows(static_cast<py::ssize_t>(cells));
        std::uint64_t* key = keys.mutable_data();
        for (std::uint32_t i = 0; i < cells; ++i) {
            const Place& place = order[i];
            rank[place.part][place.cell] = i;
            *key++ = place.key.hi;
            *key++ = place.key.lo;
            rows.mutable_data()[i] = parts[place.part].rows(place.cell);
        }
        struct Entry {
            std::uint32_t cell, label;
            Amount amount;
        };
        std::vector<Entry> entries;
        for (std::size_t p = 0; p < parts.size(); ++p)
            parts[p].each([&](std::uint32_t cell, std::uint32_t label, Amount amount) {
                entries.push_back({rank[p][cell], label, amount});
            });
        std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
            return a.cell != b.cell ? a.cell < b.cell : a.label < b.label;
        });
        const std::size_t m = entries.size(), words = fixed ? 2 : 1;
        py::array_t<std::uint64_t> cell(static_cast<py::ssize_t>(m)),
            label(static_cast<py::ssize_t>(m));
        py::array_t<std::uint64_t> amount({m, words});
        std::uint64_t* a = amount.mutable_data();
        for (std::size_t i = 0; i < m; ++i) {
            cell.mutable_data()[i] = entries[i].cell;
            label.mutable_data()[i] = entries[i].label;
            *a++ = static_cast<std::uint64_t>(entries[i].amount);
            if constexpr (fixed) *a++ = static_cast<std::uint64_t>(entries[i].amount >> 64);
        }
        return py::make_tuple(keys, rows, cell, label, amount);
    }
    // Back from arrays(), which the caller has checked.
    static std::unique_ptr<Table> restore(const py::array_t<std::uint64_t>& keys,
                                          const py::array_t<std::uint64_t>& rows,
                                          const py::array_t<std::uint64_t>& cell,
                                          const py::array_t<std::uint64_t>& label,
                                          const py::array_t<std::uint64_t>& amount) {
        auto table = std::make_unique<Table>();
        const auto k = keys.unchecked<2>();
        const auto n = rows.unchecked<1>(), c = cell.unchecked<1>(), l = label.unchecked<1>();
        const auto a = amount.unchecked<2>();
        std::vector<std::uint32_t> labels;
        std::vector<Amount> amounts;
        py::ssize_t entry = 0;
        for (py::ssize_t i = 0; i < k.shape(0); ++i) {
            labels.clear();
            amounts.clear();
            for (; entry < c.shape(0) && c(entry) == static_cast<std::uint64_t>(i); ++entry) {
                labels.push_back(static_cast<std::uint32_t>(l(entry)));
                Amount v = static_cast<Amount>(a(entry, 0));
                if constexpr (CellTable<Amount>::weighted)
                    v |= static_cast<Fixed>(a(entry, 1)) << 64;
                amounts.push_back(v);
            }
            std::uint64_t count = n(i);
            if constexpr (!CellTable<Amount>::weighted)
                count = std::accumulate(amounts.begin(), amounts.end(), std::uint64_t{0});
            table->table_.restore({k(i, 1), k(i, 0)}, count, labels, amounts);
        }
        return table;
    }
    std::uint64_t n() const { return table_.n(); }
    std::size_t n_cells() const { return table_.n_cells(); }
    double weight() const { return to_double(table_.whole()); }

  private:
    template <class MakeKeys>
    void add(std::size_t n, std::size_t units, const OptionalArray& labels,
             const OptionalDoubles& soft, const OptionalDoubles& weights, std::size_t n_classes,
             int threads, const MakeKeys& make_keys) {
        const StandardFloat standard;
        Labels l;
        l.k = n_classes;
        if (soft) l.soft = soft->data();
        if (weights) l.weights = weights->data();
        const View hard = labels ? label_view(*labels, 0) : View{};
        const py::gil_scoped_release no_gil;
        std::vector<std::uint32_t> label;
        if (labels) {
            label.resize(n);
            load(hard.dtype, hard.data, hard.row_stride, n, label.data());
            l.hard = label.data();
        }
        const int team = threads_for(n * units, threads);
        table_.update(make_keys(team), l, team, poll_signals);
    }

    JointTable<Amount> table_;
};

template <class Amount>
void bind_table(py::module_& m, const char* name) {
    using T = Table<Amount>;
    py::class_<T>(m, name)
        .def(py::init<>())
        .def("update", &T::update)
        .def("update_keys", &T::update_keys)
        .def("merge", &T::merge)
        .def("summary", &T::summary)
        .def("arrays", &T::arrays)
        .def_static("restore", &T::restore)
        .def_property_readonly("n", &T::n)
        .def_property_readonly("n_cells", &T::n_cells)
        .def_property_readonly("weight", &T::weight);
}

py::dict info() {
    return py::dict("version"_a = IBFAST_VERSION, "simd"_a = simd().name,
                    "threads"_a = usable_threads(0), "openmp"_a = has_openmp(),
                    "compiler"_a = __VERSION__);
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    prepare_threads();
    const char* level = std::getenv("IBFAST_SIMD");
    if (level && *level && !select_simd(level))
        throw py::import_error("IBFAST_SIMD: '" + std::string(level) +
                               "' is not one of the levels that this machine runs; expected v2, v3 "
                               "or v4 on x86-64, plain elsewhere");
    py::class_<Binning>(m, "Binning")
        .def(py::init(&make_binning), "kind"_a, "outside"_a, "bins"_a = 0, "width"_a = 0.0,
             "edges"_a = py::none(), "per_unit"_a = false);
    m.def("summarise", &summarise_arrays);
    m.def("discretise", &discretise);
    m.def("keys", &keys_of);
    bind_bottleneck(m, poll_signals);
    bind_kernel_sums(m, poll_signals);
    bind_resampling(m, poll_signals);
    m.def("info", &info);
    bind_table<std::uint64_t>(m, "CountTable");
    bind_table<Fixed>(m, "WeightTable");
}

}  // namespace ibfast
