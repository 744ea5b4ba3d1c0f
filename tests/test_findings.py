"""Claims, what they are judged by, and the verdicts."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from typer.testing import CliRunner

from ibfast import cli, finding_plots
from ibfast.experiments import load_preset, run_experiment, variants
from ibfast.experiments import statistics as st
from ibfast.experiments.claims import CLAIMS, Claim, Criterion
from ibfast.experiments.findings import (
    Finding,
    Value,
    experiments_for,
    judge,
    needed_variants,
    run_findings,
    to_json,
    to_markdown,
)
from test_plane import plane_of

EPOCHS = (0, 1, 10, 100, 1000)


def plane(i_xt=None, i_ty=None, layers=7, seeds=3, **variables):
    """A plane whose layers and seeds have the same curves, or the curves given."""
    shape = (seeds, len(EPOCHS), layers)

    def filled(curve):
        curve = np.asarray(curve, dtype=float)
        return np.broadcast_to(curve[None, :, None] if curve.ndim == 1 else curve, shape).copy()

    made = plane_of(
        filled([1, 2, 6, 4, 3] if i_xt is None else i_xt),
        filled([0.1, 0.2, 0.6, 0.8, 0.8] if i_ty is None else i_ty),
        epochs=EPOCHS,
        samples=4096,
    )
    for name, values in variables.items():
        dims = ("seed", "epoch", "layer") if np.ndim(values) == 3 else ("seed", "epoch")
        made[name] = (dims, np.asarray(values, dtype=float))
    return made


def test_peak_and_what_comes_after():
    one = plane()
    assert st.peak_epoch(one).tolist() == [10, 10, 10]
    assert st.share_after_peak(one) == pytest.approx(0.99)
    assert st.compression(one).tolist() == [3, 3, 3]
    assert st.output_compression(one).tolist() == [3, 3, 3]
    assert st.fitted_at_peak(one) == pytest.approx(0.75)
    assert st.drop(one).tolist() == [0, 0, 0]
    assert st.final(one, "i_xt").tolist() == [3, 3, 3]
    assert st.fitting(one) == pytest.approx(0.7)


def test_the_deep_layers_are_the_last_four():
    i_xt = np.zeros((2, 5, 7))
    i_xt[:, 2, :3] = 100  # not deep
    i_xt[0, 2, 3] = 4
    i_xt[1, 2, 6] = 8
    one = plane(i_xt, seeds=2)
    assert st.compression(one).tolist() == [1, 2]
    assert st.compression(one, output=False) == pytest.approx([4 / 3, 0])
    assert st.output_compression(one).tolist() == [0, 8]
    shallow = plane(layers=2)
    assert st.compression(shallow).tolist() == [3, 3, 3]
    assert st.compression(shallow, output=False).tolist() == [3, 3, 3]


def test_each_network_has_its_own_peak():
    i_xt = np.zeros((2, 5, 4))
    i_xt[0, 1], i_xt[1, 3] = 1, 1
    i_ty = np.tile(np.array([0.1, 0.2, 0.3, 0.5, 1.0])[:, None], (2, 1, 4))
    one = plane(i_xt, i_ty, layers=4, seeds=2)
    assert st.peak_epoch(one).tolist() == [1, 100]
    assert st.fitted_at_peak(one).tolist() == [0.2, 0.5]


def test_epochs_to_a_share():
    i_ty = np.zeros((2, 5, 3))
    i_ty[0, :, -1] = [0, 0.5, 0.94, 0.95, 1.0]
    i_ty[1, :, -1] = [0, 1.0, 0.9, 1.0, 1.0]
    assert st.epochs_to_share(plane(i_ty=i_ty, layers=3, seeds=2)).tolist() == [100, 1]


def test_the_mean_curve_is_not_the_mean_of_curves():
    i_xt = np.zeros((2, 5, 4))
    i_xt[0, 1], i_xt[1, 2] = 2, 2  # each falls by 2, their mean by 1
    value, low, high = st.mean_curve_compression(plane(i_xt, layers=4, seeds=2))
    assert value == 1
    assert low == 1
    assert high == 2  # one of both, drawn twice


def test_transitions_of_synthetic_gradients():
    epochs = np.geomspace(1, 1e4, 41)
    snr = np.where(epochs < 300, 1.0, 0.01)[None, :, None] * np.ones((3, 1, 5))
    peak = np.exp(-(np.log(epochs / 3000) ** 2))[None, :, None] * np.ones((3, 1, 5))
    dims = ("seed", "epoch", "layer")
    made = xr.Dataset({"gradient_snr": (dims, snr), "i_xt": (dims, peak)}, coords={"epoch": epochs})
    assert 10 ** st.log_transition(made) == pytest.approx(300, rel=0.3)
    assert 10 ** st.log_peak(made) == pytest.approx(3000, rel=0.3)
    assert st.transition_from_peak(made) == pytest.approx(1, abs=0.15)
    assert st.share_with_transition(made).tolist() == [1, 1, 1]
    flat = made.assign(gradient_snr=xr.ones_like(made.gradient_snr))
    assert np.isnan(st.log_transition(flat)).all()
    assert np.isnan(st.transition_from_peak(flat)).all()
    assert st.share_with_transition(flat).tolist() == [0, 0, 0]


def test_a_transition_at_each_layer_s_own_peak_is_no_distance():
    epochs = np.geomspace(1, 1e4, 81)
    falls = np.array([10.0, 50.0, 500.0, 3000.0])
    snr = np.where(epochs[:, None] < falls, 1.0, 0.01)[None] * np.ones((2, 1, 1))
    peak = np.exp(-(np.log(epochs[:, None] / falls) ** 2))[None] * np.ones((2, 1, 1))
    dims = ("seed", "epoch", "layer")
    made = xr.Dataset({"gradient_snr": (dims, snr), "i_xt": (dims, peak)}, coords={"epoch": epochs})
    assert (st.transition_from_peak(made) < 0.1).all()


def test_what_is_not_known_of_gradients_is_left_out():
    epochs = np.geomspace(1, 1e4, 41)
    snr = np.where(epochs < 300, 1.0, 0.01)[None, :, None] * np.ones((3, 1, 4))
    snr[0, 3, 0], snr[1, 3, :] = np.nan, 0
    dims = ("seed", "epoch", "layer")
    made = xr.Dataset({"gradient_snr": (dims, snr)}, coords={"epoch": epochs})
    shares = st.share_with_transition(made)
    assert shares[[0, 2]].tolist() == [1, 1]
    assert np.isnan(shares[1])


def test_numbers_of_the_bound():
    shape = (2, 5, 3)
    gap, kl, beta = np.zeros(shape), np.ones(shape), np.zeros(shape)
    gap[0, -1] = [0.1, 0.3, 0.2]
    kl[1, -1, 1] = 0.25
    beta[:, -1] = [[9, 2, 5], [1, 7, 3]]
    identified = np.ones(shape)
    identified[1, -1, 0] = 0
    one = plane(layers=3, seeds=2, gap_share=gap, divergence=kl, beta_star=beta)
    one["identified"] = (("seed", "epoch", "layer"), identified.astype(bool))
    assert st.worst_gap_share(one).tolist() == [0.3, 0]
    assert st.least_divergence(one).tolist() == [1, 0.25]
    assert st.beta_falls(one).tolist() == [0, 1]
    one["identified"][:, -1, 1:] = False
    assert np.isnan(st.beta_falls(one)).all()


def test_intervals():
    # t(0.975, 2) = 4.3027; sd 1
    assert st.t_interval(np.array([1.0, 2.0, 3.0])) == pytest.approx(
        (2, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4
    )
    assert st.t_interval(np.array([1.0, np.nan, 3.0]))[0] == 2
    assert st.t_interval(np.array([5.0])) == (5, -np.inf, np.inf)
    assert np.isnan(st.t_interval(np.array([np.nan]))).all()
    a = np.arange(20.0)[None]
    b = a + np.tile([3.0, -3.0], 10)
    r, low, high = st.correlation_interval(a, b)
    assert r == pytest.approx(np.corrcoef(a[0], b[0])[0, 1])
    assert low < r < high < 1
    assert np.isnan(st.correlation_interval(a, np.ones((1, 20)))).all()
    assert np.isnan(st.correlation_interval(a[:, :3], a[:, :3])).all()
    # Copies of the same seeds tell no more.
    twice = st.correlation_interval(np.repeat(a, 4, axis=0), np.repeat(b, 4, axis=0))
    assert twice == pytest.approx((r, low, high))


@pytest.mark.parametrize(
    ("relation", "low", "high", "verdict"),
    [
        (">", 1.1, 2, "supported"),
        (">", 0.9, 2, "undecided"),
        (">", 0.1, 0.9, "not supported"),
        ("<", 0.1, 0.9, "supported"),
        ("<", 0.9, 1.1, "undecided"),
        ("<", 1.1, 2, "not supported"),
        ("<", 1, 1, "not supported"),
        (">", 1, 1, "not supported"),
        (">", np.nan, np.nan, "undecided"),
        ("<", np.nan, np.nan, "undecided"),
    ],
)
def test_verdicts(relation, low, high, verdict):
    criterion = Criterion("x", "1", relation, 1.0, lambda planes: None)
    assert Value(criterion, (low + high) / 2, low, high).verdict == verdict


def claim_of(*criteria):
    return Claim("c", "A claim.", "somebody", ("szt",), criteria, "something")


def test_a_claim_is_what_its_criteria_agree_on():
    yes = Criterion("above", "bits", ">", 1.0, lambda planes: st.compression(planes["szt"]))
    no = Criterion("below", "bits", "<", 1.0, lambda planes: st.compression(planes["szt"]))
    planes = {"szt": plane()}
    assert judge(planes, [claim_of(yes, yes)])[0].verdict == "supported"
    assert judge(planes, [claim_of(no)])[0].verdict == "not supported"
    found = judge(planes, [claim_of(yes, no)])[0]
    assert found.verdict == "mixed"
    assert [v.value for v in found.values] == [3, 3]
    with pytest.raises(ValueError, match="planes: szt missing; expected all that the claims need"):
        judge({}, [claim_of(yes)])


def test_every_claim_names_presets_and_can_be_measured():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS) == 10
    for name in needed_variants():
        assert name in variants(name.partition("/")[0])
    rng = np.random.default_rng(0)
    shape = (20, len(EPOCHS), 7)

    def random_plane():
        one = plane(
            rng.uniform(1, 5, shape),
            rng.uniform(0.1, 1, shape),
            seeds=20,
            test_accuracy=rng.uniform(0, 1, shape[:2]),
            gap_share=rng.uniform(0, 1, shape),
            divergence=rng.uniform(0, 1, shape),
            beta_star=rng.uniform(0, 1, shape),
        )
        one["identified"] = (("seed", "epoch", "layer"), rng.uniform(0, 1, shape) > 0.2)
        return one

    planes = {name: random_plane() for name in needed_variants()}
    epochs = np.geomspace(1, 1000, 12)
    for name in needed_variants():
        if name.startswith("phases/"):
            wide = random_plane().interp(epoch=epochs)
            wide["gradient_snr"] = (
                ("seed", "epoch", "layer"),
                rng.uniform(0.5, 1, (20, 12, 7)) * np.where(epochs < 30, 10, 1)[None, :, None],
            )
            planes[name] = wide
    found = judge(planes)
    for finding in found:
        for value in finding.values:
            # All networks have the same transition here, which correlates with nothing.
            known = "correlation of both epochs" not in value.criterion.statistic
            assert known == (value.low <= value.value <= value.high), value.criterion.statistic
    about = {"date": "today"}
    entries = json.loads(to_json(found, about, quick=True))
    assert entries["quick"]
    assert [e["claim"] for e in entries["findings"]] == [claim.name for claim in CLAIMS]
    assert entries["findings"][0]["criteria"][0]["threshold"] == "> 0.9"
    text = to_markdown(found, about, quick=False)
    assert all(claim.statement in text and claim.change in text for claim in CLAIMS)
    assert "(quick)" not in text
    lines = [x for x in to_markdown(found, about, quick=True).splitlines() if x.startswith("| ")]
    judged = [x for x in lines if x.endswith(("supported |", "mixed |", "undecided |"))]
    assert not judged  # each says that it is quick
    figure = finding_plots.finding_figure(found[1], planes)
    assert len(figure.axes) == 2 * 3 + 4


def test_numbers_that_are_none_become_null():
    criterion = Criterion("x", "1", ">", 1.0, lambda planes: None)
    finding = Finding(claim_of(criterion), (Value(criterion, np.nan, -np.inf, np.inf),))
    entry = json.loads(to_json([finding], {}, quick=False))["findings"][0]["criteria"][0]
    assert (entry["value"], entry["low"], entry["high"]) == (None, None, None)
    assert "nan" in to_markdown([finding], {}, quick=False)


def test_a_criterion_s_axis():
    criterion = Criterion("x", "bits", "<", 1.0, lambda planes: None)
    ax = finding_plots.plot_value(Value(criterion, 2.0, 1.5, 2.5), Figure().add_subplot())
    assert ax.get_title(loc="left") == "x [bits]: not supported"
    low, high = ax.get_xlim()
    assert low < 1 < 2.5 < high


def test_quick_experiments_are_short():
    short = experiments_for(CLAIMS, quick=True)
    long = experiments_for(CLAIMS, quick=False)
    assert short.keys() == long.keys()
    assert all(e.seeds <= 4 and e.epochs <= 1000 for group in short.values() for e in group)
    assert long["szt"] == [load_preset("szt")]


def test_run_findings_goes_on_where_it_stopped(tmp_path, monkeypatch):
    claims = [claim for claim in CLAIMS if claim.name in ("phases", "edges")]
    quick = {"seeds": 2, "epochs": 12, "checkpoints": 5}
    monkeypatch.setattr("ibfast.experiments.findings._QUICK", quick)
    started = []
    found = run_findings(
        tmp_path, quick=True, claims=claims, on_start=lambda e: started.append(e.name)
    )
    assert started == ["szt", "saxe-edges/uniform", "saxe-edges/tanh"]
    assert [f.claim.name for f in found] == ["phases", "edges"]
    entries = json.loads((tmp_path / "findings.json").read_text())
    assert entries["networks"] == "szt: 2, saxe-edges/uniform: 2, saxe-edges/tanh: 2"
    assert "# Findings (quick)" in (tmp_path / "findings.md").read_text()
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {"phases.png", "edges.png"}
    again = run_findings(
        tmp_path, quick=True, claims=claims, on_start=lambda e: started.append(e.name)
    )
    assert len(started) == 3
    assert [[v.value for v in f.values] for f in again] == [
        [v.value for v in f.values] for f in found
    ]


def test_the_command_line(tmp_path, monkeypatch):
    claims = tuple(claim for claim in CLAIMS if claim.name == "phases")
    monkeypatch.setattr("ibfast.experiments.claims.CLAIMS", claims)
    monkeypatch.setattr("ibfast.experiments.findings.run_findings", toy_findings)
    out = tmp_path / "found"
    result = CliRunner().invoke(cli.app, ["findings", "--quick", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "Findings (quick)" in result.stdout
    assert "phases" in result.stdout
    assert "quick: seconds of each preset: szt: 7" in result.stdout
    assert f"quick: saved in {out}" in result.stdout.replace("\n", "")


def toy_findings(folder, *, quick, threads, on_start, on_epoch):
    experiment = load_preset("szt").changed(seeds=2, epochs=3, checkpoints=3)
    on_start(experiment)
    run = run_experiment(experiment, threads=threads, on_epoch=on_epoch)
    claims = [claim for claim in CLAIMS if claim.name == "phases"]
    folder.mkdir()
    (folder / "findings.json").write_text('{"seconds": "szt: 7"}')
    return judge({"szt": run.plane}, claims)
