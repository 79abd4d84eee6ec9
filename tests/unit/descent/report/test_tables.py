"""The report's tables: what is averaged, which model is best, what is tested, what files give back."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import confusion_matrix

from descent.metrics import FINAL_METRICS
from descent.report import sentences, tables
from descent.report.tables import InvalidResults
from tests.support.results import CLASSES, SWEEP, make_params, noise_dataset, write_model

MODELS = {
    "good": {"batch_size": 8},
    "slow": {"batch_size": "full"},
    "12": {"optimizer": "momentum"},
    "NA": {"batch_size": 8, "learning_rate": 1e-7},
}
STATUSES = {"good": "learned", "slow": "undertrained", "12": "collapsed", "NA": "stalled"}


@pytest.fixture(scope="module")
def params():
    return make_params(MODELS)


@pytest.fixture(scope="module")
def models(params, tmp_path_factory):
    """The folder of the models' results."""
    folder = tmp_path_factory.mktemp("models")
    for name, status in STATUSES.items():
        write_model(folder / name, params, name, status, [0.4, 0.42, 0.39] if name == "slow" else None)
    return folder


@pytest.fixture(scope="module")
def results(params, models):
    return tables.read_results(params, models)


@pytest.fixture(scope="module")
def computed(params, results):
    return tables.compute(params, results, noise_dataset(), SWEEP)


def test_comparison_has_a_row_per_study_and_model_in_the_order_of_params(results):
    studies = {
        "second": {"question": "?", "models": ["slow", "good"]},
        "first": {"question": "?", "models": ["good", "12"]},
    }
    found = tables.compare(make_params(MODELS, studies=studies), results, noise_dataset())
    pairs = [("second", "slow"), ("second", "good"), ("first", "good"), ("first", "12")]
    assert list(zip(found.study, found.model, strict=True)) == pairs


def test_comparison_has_mean_and_deviation_over_the_seeds_of_every_metric(computed, results):
    row = computed.comparison.iloc[0]
    for metric in FINAL_METRICS:
        finals = [run[metric.key] for run in results["good"].metrics["seeds"]]
        expected = np.mean(finals), np.std(finals, ddof=1)
        assert (row[f"{metric.key}_mean"], row[f"{metric.key}_std"]) == pytest.approx(expected)
    assert row.test_accuracy_low < row.test_accuracy_mean < row.test_accuracy_high <= 1
    assert (row.pixels, row.classes) == (24, 5)


def test_comparison_with_a_value_not_finite_or_one_seed_is_empty_there(tmp_path):
    params = make_params({"good": {}}, seeds=[4])
    write_model(tmp_path / "good", params, "good", "learned")
    path = tmp_path / "good" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["seeds"][0]["train_loss"] = None
    path.write_text(json.dumps(metrics))
    row = tables.compare(params, tables.read_results(params, tmp_path), noise_dataset()).iloc[0]
    assert (
        row.seeds == 1 and np.isnan([row.train_loss_mean, row.test_accuracy_std, row.test_accuracy_low]).all()
    )


def rows(*models):
    columns = ["model", "status", "validation_accuracy_mean", "validation_loss_mean"]
    return pd.DataFrame(models, columns=columns).assign(
        batch_size=range(8, 8 + len(models)), images=1000, p_lead=np.nan
    )


@pytest.mark.parametrize(
    ("models", "best"),
    [
        ([("a", "learned", 0.9, 0.3), ("b", "learned", 0.95, 0.4)], "b"),
        ([("a", "learned", 0.9, 0.3), ("b", "diverged", 0.99, 0.1)], "a"),
        ([("a", "undertrained", 0.2, 2.2), ("b", "collapsed", 0.3, 2.3)], "a"),
        ([("a", "learned", 0.9, 0.3), ("b", "learned", 0.9, 0.2)], "b"),
        ([("a", "learned", 0.9, 0.3), ("b", "learned", 0.9, 0.3)], "a"),
        ([("a", "stalled", 0.1, 2.3), ("b", "diverged", 0.1, np.nan)], None),
        ([("a", "learned", np.nan, np.nan)], None),
    ],
    ids=["accuracy", "diverged", "collapsed", "tie by loss", "tie by order", "none", "unknown"],
)
def test_best_is_the_most_accurate_model_that_learned(models, best):
    found = tables.best(rows(*models))
    assert (None if found is None else found.model) == best


def test_tie_is_called_a_tie():
    found = rows(("a", "learned", 0.1 + 0.2, 0.3), ("b", "learned", 0.3, 0.2), ("c", "stalled", 0.3, 0.1))
    assert tables.best(found).model == "b" and list(tables.tied(found).model) == ["a", "b"]
    assert tables.answer(found) == "a tie of batch sizes 8 and 9"
    worse = rows(("a", "learned", 0.4, 0.3), ("b", "learned", 0.3, 0.2), ("c", "stalled", 0.3, 0.1))
    assert list(tables.tied(worse).model) == ["a"]
    assert list(tables.tied(worse.assign(p_lead=[np.nan, 0.2, 0.2])).model) == ["a", "b"]


def test_answer_is_the_value_of_what_varies(computed):
    study = computed.comparison[computed.comparison.model.isin(["good", "slow"])]
    assert tables.answer(study) == "batch size 8"
    assert tables.answer(computed.comparison) == "batch size 8, optimizer sgd and learning rate 0.01"
    assert tables.answer(study[study.status == "stalled"]) == "none"


def test_constant_of_one_optimizer_does_not_vary(computed):
    assert tables.varying(computed.comparison) == ["batch_size", "optimizer", "learning_rate"]
    two = computed.comparison.assign(optimizer="momentum", momentum=[0.9, 0.9, 0.9, 0.5])
    assert "momentum" in tables.varying(two)


def test_differences_put_the_runner_up_first_and_test_no_model_that_learned_nothing(computed):
    found = computed.differences.set_index("other")
    assert list(found.index) == ["slow", "12", "NA"] and set(found.best) == {"good"}
    assert found.loc["slow", ["t", "p_seeds", "seeds_needed", "p_images"]].notna().all()
    assert found.loc[["12", "NA"], ["t", "p_seeds", "seeds_needed", "p_images"]].isna().all(axis=None)


def test_differences_agree_with_scipy(params, results):
    labels = np.zeros(10, dtype=int)
    correct = {"good": 9, "slow": 2, "12": 0, "NA": 0}  # of ten images
    predictions = {name: np.eye(5)[(np.arange(10) >= n).astype(int)] for name, n in correct.items()}
    comparison = tables.compare(params, results, noise_dataset())
    row = tables.differences(comparison, results, predictions, labels).iloc[0]
    pairs = [results[name].final("validation_accuracy") for name in ("good", "slow")]
    expected = stats.ttest_rel(*pairs)
    assert (row.t, row.p_seeds) == pytest.approx((expected.statistic, expected.pvalue))
    assert (row.best_alone_correct, row.other_alone_correct, row.images) == (7, 0, 10)
    assert row.p_images == pytest.approx(stats.binomtest(0, 7).pvalue)


def test_best_seeds_predictions_are_counted(computed, results, models):
    best, seeds = results["good"].metrics["best_seed"], results["good"].seeds
    predicted = np.load(models / "good" / "test_probabilities.npy")[seeds.index(best)].argmax(axis=1)
    expected = confusion_matrix(noise_dataset().test.labels, predicted, labels=range(CLASSES))
    found = computed.confusion[computed.confusion.model == "good"]
    assert (found.pivot(index="true", columns="predicted", values="images").to_numpy() == expected).all()


def test_mistakes_are_those_with_the_lowest_probability_of_the_true_class():
    random = np.random.default_rng(0)
    probabilities, labels = random.dirichlet(np.ones(3), 200), random.integers(0, 3, 200)
    wrong = {row: p[labels[row]] for row, p in enumerate(probabilities) if p.argmax() != labels[row]}
    found = tables.mistakes(probabilities, labels)
    assert found.image.tolist() == sorted(wrong, key=wrong.get)[: tables.WORST_MISTAKES]
    assert (found.true != found.predicted).all()
    assert tables.mistakes(np.eye(3), np.arange(3)).empty


def test_files_give_the_tables_back(computed, tmp_path):
    tables.write_tables(computed, tmp_path)
    SWEEP.to_csv(tmp_path / "sweep.csv", index=False)
    found = tables.read_tables(tmp_path)
    assert list(found.comparison.model) == list(MODELS)
    for name, table in computed._asdict().items():
        if table is not None:
            pd.testing.assert_frame_equal(
                getattr(found, name), table.reset_index(drop=True), check_dtype=False, rtol=1e-8
            )
    summary = json.loads((tmp_path / "metrics.json").read_text())
    assert summary["best"] == {"a": "good"} and summary["status"] == STATUSES
    assert summary["answer"] == {"a": "batch size 8, optimizer sgd and learning rate 0.01"}


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "trajectory.npy", "test_probabilities.npy"])
def test_damaged_file_is_named_in_one_line(name, tmp_path):
    params = make_params({"good": {}})
    write_model(tmp_path / "good", params, "good", "learned")
    (tmp_path / "good" / name).write_bytes(b"")
    with pytest.raises(InvalidResults, match="good.*cannot be read: .*`dvc repro`") as error:
        tables.compute(params, tables.read_results(params, tmp_path), noise_dataset(), SWEEP)
    assert "\n" not in str(error.value)


def test_results_of_models_that_are_not_in_params_are_removed(tmp_path):
    params = make_params({"good": {}})
    for name in ("good", "gone"):
        write_model(tmp_path / name, make_params({name: {}}), name, "learned")
    (tmp_path / "notes").mkdir()
    assert tables.remove_other_results(params, tmp_path) == [tmp_path / "gone"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good", "notes"]


def test_results_of_other_seeds_are_rejected(tmp_path):
    write_model(tmp_path / "good", make_params({"good": {}}, seeds=[9]), "good", "learned")
    with pytest.raises(InvalidResults, match=r"seeds \[9\]; accepted: \[0, 1, 2\]"):
        tables.read_results(make_params({"good": {}}), tmp_path)


def test_tuned_models_are_compared_with_others_over_the_seeds_that_both_have(tmp_path):
    studies = {"a": {"question": "Which?", "models": ["fixed", "m", "n"]}}
    tuned = {"seeds": [2, 1], "models": {"m": {"batch_size": 4}, "n": {"batch_size": 2}}}
    params = make_params({"fixed": {"hidden_layers": [128, 64]}}, tuned=tuned, studies=studies)
    params = params.with_rates({"m": 0.1, "n": 0.2})
    accuracies = {"fixed": [0.9, 0.91, 0.93], "m": [0.89, 0.88], "n": [0.7, 0.8]}
    for name, found in accuracies.items():
        write_model(tmp_path / params.results_folder(name), params, name, "learned", found)
    results = tables.read_results(params, tmp_path)
    assert {name: result.seeds for name, result in results.items()} == {
        "fixed": [0, 1, 2],
        "m": [2, 1],
        "n": [2, 1],
    }
    computed = tables.compute(params, results, noise_dataset(), SWEEP)
    first = computed.differences.iloc[0]
    assert (first.other, first.pairs) == ("m", 2)
    assert first.difference == pytest.approx((0.93 - 0.89 + 0.91 - 0.88) / 2)
    assert computed.comparison.p_lead.tolist()[1:] == computed.differences.p_seeds.tolist()
    assert computed.surface.empty, "runs of different seeds start from different weights"


def test_models_without_a_common_seed_have_a_difference_and_no_test(tmp_path):
    studies = {"a": {"question": "Which?", "models": ["fixed", "m"]}}
    tuned = {"seeds": [9], "models": {"m": {"batch_size": 4}}}
    params = make_params({"fixed": {}}, tuned=tuned, studies=studies).with_rates({"m": 0.1})
    for name, found in {"fixed": [0.9, 0.9, 0.9], "m": [0.8]}.items():
        write_model(tmp_path / params.results_folder(name), params, name, "learned", found)
    computed = tables.compute(params, tables.read_results(params, tmp_path), noise_dataset(), SWEEP)
    row = computed.differences.iloc[0]
    assert row.pairs == 0 and np.isnan(row.p_seeds)
    tables.write_tables(computed, tmp_path)
    SWEEP.to_csv(tmp_path / "sweep.csv", index=False)
    written = tables.read_tables(tmp_path)
    evidence = sentences.evidence(written.comparison, written.differences)
    assert "10.00 percentage points behind" in evidence[1]
    assert "cannot be tested" in " ".join(evidence) and "nan" not in " ".join(evidence)
