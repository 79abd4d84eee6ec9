"""What the report says follows from the numbers: other numbers, another sentence."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from descent.metrics import FINAL_METRICS
from descent.report import captions, render, sentences, tables
from descent.report.tables import DIFFERENCES, Tables
from tests.support.report import svg_widths
from tests.support.results import OUTCOMES, SWEEP, make_params, noise_dataset, sweep_table, write_model


def study(**changes) -> pd.DataFrame:
    """Make two rows of the comparison that learned, `a` the better one; changes are columns."""
    columns = {"study": "s", "model": ["a", "b"], "batch_size": [8, 128], "learning_rate": 0.01}
    columns |= {"optimizer": "sgd", "hidden_layers": "20-10", "activation": "relu"}
    columns |= {"updates": [1000, 100], "seeds": 3, "status": "learned"}
    for metric in FINAL_METRICS:
        columns[f"{metric.key}_mean"], columns[f"{metric.key}_std"] = 0.1, 0.01
    columns |= {"validation_accuracy_mean": [0.95, 0.90], "test_accuracy_mean": [0.94, 0.91]}
    columns |= {"validation_accuracy_low": 0.89, "validation_accuracy_high": 0.96}
    columns |= {"test_accuracy_low": 0.88, "test_accuracy_high": 0.97}
    columns |= {"best_seed": 0, "images": 1000, "pixels": 784, "classes": 10, "p_lead": [np.nan, 1e-4]}
    return pd.DataFrame(columns | changes)


def runs(model="a", losses=(2.3, 1.0, 0.1), accuracies=(0.1, 0.9, 0.95), per_epoch=500, distances=(3.0,)):
    """Make the history of a model, with a seed for each final distance."""
    epochs = range(len(losses))
    return pd.concat(
        pd.DataFrame(
            {
                "model": model,
                "seed": seed,
                "epoch": epochs,
                "updates": [per_epoch * epoch for epoch in epochs],
            }
            | {"train_loss": losses, "validation_accuracy": accuracies, "gradient_norm": 1.0}
            | {"distance": np.linspace(0, 1, len(losses)) * distance}
        )
        for seed, distance in enumerate(distances)
    )


def matrix(predicted=(0, 1)) -> pd.DataFrame:
    """Make the confusion matrix of a model with two classes, of which it predicts these."""
    return pd.DataFrame({"model": "b", "true": [0, 1], "predicted": predicted, "images": [60, 40]})


def difference(**changes) -> pd.DataFrame:
    values = ["s", "a", "b", 3, 0.05, 0.04, 0.06, 20.0, 0.001, 2, 1000, 60, 20, 1e-5]
    return pd.DataFrame([dict(zip(DIFFERENCES, values, strict=True)) | changes])


def answered(rows=None, found=None):
    """Return what the report says of a study."""
    rows = study() if rows is None else rows
    history = pd.concat([runs("a"), runs("b")])
    empty = pd.DataFrame()
    found = difference() if found is None else found
    filled = Tables(rows, history, found, empty, empty, matrix(), empty, SWEEP)
    return SimpleNamespace(
        answer=tables.answer(rows),
        models=list(tables.tied(rows).model),
        headline=sentences.headline(rows),
        evidence=sentences.evidence(rows, found),
        reasons=sentences.reasons(rows, filled),
        limits=sentences.limits(rows, SWEEP),
    )


# The answer


def test_answer_is_a_value_with_the_model_beside_it():
    found = answered()
    assert (found.answer, found.models) == ("batch size 8", ["a"])
    assert found.headline.startswith("Batch size 8 (`a`) performed best")
    assert "95.00\xa0%" in found.headline and "94.00\xa0%" in found.headline


def test_answer_follows_validation_not_test():
    assert answered(study(validation_accuracy_mean=[0.90, 0.95])).answer == "batch size 128"
    assert answered(study(test_accuracy_mean=[0.1, 0.99])).answer == "batch size 8"


def test_answer_of_two_settings_has_both_and_the_caveat():
    found = answered(study(learning_rate=[0.1, 0.01]))
    assert found.answer == "batch size 8 and learning rate 0.1"
    assert "differ in batch size and learning rate at once" in found.limits[0]


def test_answer_where_nothing_learned_is_none():
    found = answered(study(status=["stalled", "collapsed"]), difference().iloc[:0])
    assert (found.answer, found.models, found.evidence) == ("none", [], [])
    assert "`a` stalled and `b` collapsed" in found.headline


def test_tie_is_called_a_tie():
    same = answered(study(validation_accuracy_mean=0.9, validation_loss_mean=[0.3, 0.2]))
    assert same.answer == "a tie of batch sizes 8 and 128" and "mean is that of `b`" in same.headline
    level = answered(study(p_lead=[np.nan, 0.051]))
    assert level.answer == "a tie of batch sizes 8 and 128" and level.models == ["a", "b"]
    assert "A tie" in level.headline and "`a` and `b`): with 3 seeds, the lead" in level.headline
    assert level.reasons == ["`a` and `b`: enough updates of a suitable size."]
    slow = answered(study(p_lead=[np.nan, 0.051], status="undertrained"))
    assert len(slow.reasons) == 2 and "suitable" not in str(slow.reasons)
    assert answered(study(p_lead=[np.nan, 0.049])).answer == "batch size 8"
    failed = study(p_lead=[np.nan, 0.3], status=["learned", "stalled"])
    assert answered(failed).answer == "batch size 8"


def test_tie_of_two_settings_leaves_out_a_rate_that_follows_from_the_other():
    level = {"p_lead": [np.nan, 0.5], "learning_rate": [0.1, 0.01]}
    assert answered(study(**level)).answer == "a tie of batch sizes 8 and 128"
    one_size = study(**level, batch_size=8, optimizer=["sgd", "adam"])
    assert answered(one_size).answer == "a tie of optimizers sgd and adam"
    three = study(**level, optimizer=["sgd", "adam"])
    assert answered(three).answer == (
        "a tie of batch size 8 and optimizer sgd and batch size 128 and optimizer adam"
    )


# Evidence


@pytest.mark.parametrize(
    ("p", "needed", "words"),
    [
        (0.001, 3, "the lead is significant"),
        (0.2, 17, "chance cannot be excluded.*about 17 seeds would be needed"),
        (0.9, math.nan, "chance cannot be excluded.*more than 10,000 seeds"),
    ],
)
def test_lead_over_seeds_is_judged_by_its_p_value(p, needed, words):
    text = answered(found=difference(p_seeds=p, seeds_needed=needed)).evidence[2]
    assert pd.Series([text]).str.contains(words).all()


def test_a_tie_says_how_far_apart_its_models_may_be():
    tie = answered(study(p_lead=[np.nan, 0.2]), difference(difference_low=-0.004, difference_high=0.0069))
    assert "none is behind by more than 0.69 percentage points" in tie.evidence[-1]
    assert "interval −0.40 to 0.69" in tie.evidence[2] and "tie" not in str(answered().evidence)


@pytest.mark.parametrize(("gap", "words"), [(0.05, "5.00"), (2e-5, "less than 0.01")])
def test_distance_of_the_runner_up_has_the_digits_of_the_accuracies(gap, words):
    _, lead, *_ = answered(study(validation_accuracy_mean=[0.978, 0.978 - gap])).evidence
    assert lead.endswith(f", {words} percentage points behind.")


@pytest.mark.parametrize(
    ("p", "alone", "words"),
    [
        (1e-5, (60, 20), "lead is significant"),
        (0.3, (30, 25), "cannot be excluded"),
        (1e-5, (20, 60), "reversed"),
    ],
)
def test_lead_on_images_is_judged_by_its_p_value_and_direction(p, alone, words):
    found = difference(p_images=p, best_alone_correct=alone[0], other_alone_correct=alone[1])
    assert words in answered(found=found).evidence[-1]


def test_model_that_learned_nothing_is_no_runner_up():
    rows = study(status=["learned", "collapsed"])
    text = " ".join(answered(rows, difference(t=math.nan, p_seeds=math.nan, p_images=math.nan)).evidence)
    assert "No other model learned anything" in text and "t-test" not in text


def test_one_seed_has_no_interval_and_two_have_one_degree_of_freedom():
    one = difference(pairs=1, p_seeds=math.nan, difference_low=math.nan, difference_high=math.nan)
    text = " ".join(answered(study(seeds=1), one).evidence)
    assert "no confidence interval" in text and "cannot be tested" in text and "nan" not in text
    assert "1 degree of freedom)" in answered(study(seeds=2)).evidence[0]


# The sentences that explain


def introduced(rows, history=None, sweep=SWEEP):
    """Return what the introduction says of a study; None if that is nothing."""
    empty = pd.DataFrame()
    found = sentences.introduction([rows], Tables(rows, history, empty, empty, empty, empty, empty, sweep))
    return found[0] if found else None


def explained(accuracies, **changes):
    """Explain models `a` (500 updates an epoch) and `b` (100), from the accuracies of b by epoch."""
    a = runs("a", accuracies=(0.1, 0.90, 0.95), per_epoch=500)
    b = runs("b", losses=(2.3,) * len(accuracies), accuracies=accuracies, per_epoch=100)
    rows = study(**{"updates": [1000, 700]} | changes)
    return introduced(rows, pd.concat([a, b]))


@pytest.mark.parametrize(
    ("after_500", "claim"),
    [
        (0.905, "performs best because it makes more updates"),
        (0.90, "performs best because it makes more updates"),
        (0.875, "performs best partly because it makes more updates"),
        (0.80, "performs best and not only because it makes more updates"),
    ],
)
def test_more_updates_explain_a_lead_that_is_gone_at_equal_updates(after_500, claim):
    text = explained((0.1, 0.3, 0.4, 0.5, 0.6, after_500))
    assert text.startswith(f"At learning rate 0.01, batch size 8 {claim}")
    assert (
        "After 500 updates it has 90.0\xa0%" in text and f"has {100 * after_500:.1f}\xa0% after 500" in text
    )


def test_a_batch_size_with_too_few_updates_is_named_with_them():
    few = {"model": list("abc"), "batch_size": [8, 128, 1000], "updates": [1000, 700, 20]}
    few |= {"status": ["learned", "learned", "undertrained"], "validation_accuracy_mean": [0.95, 0.9, 0.2]}
    history = pd.concat([runs("a"), runs("b", accuracies=(0.1, 0.88, 0.9))])
    text = introduced(pd.concat([study(), study()]).iloc[:3].assign(**few), history)
    assert text.endswith(" Batch size 1,000 (full) has made only 20 updates by then and has 20.0\xa0%.")


def test_best_model_with_fewer_updates_is_called_so():
    text = explained((0.1,) * 6, updates=[100, 1000])
    assert "although it makes fewer updates than batch size 128: 100 instead of 1,000" in text


def test_updates_explain_nothing_without_a_comparison_at_equal_updates():
    assert explained((0.1, 0.3)) is None
    assert explained((0.1,) * 6, status=["learned", "diverged"]) is None
    assert "by then" not in explained((0.1,) * 6)
    assert explained((0.1,) * 6, batch_size=8, learning_rate=[0.1, 0.2]) is None
    assert explained((0.1,) * 6, learning_rate=[0.1, 0.2]) is None


def test_one_model_alone_is_compared_with_nothing():
    assert "is the only one of this study" in sentences.headline(study().iloc[:1])


def test_learning_rates_are_too_large_or_too_small_by_their_status():
    rates = {"model": list("abcd"), "batch_size": 8, "learning_rate": [1e-7, 0.1, 10, 100], "updates": 9}
    rates |= {
        "status": ["stalled", "learned", "collapsed", "diverged"],
        "validation_accuracy_mean": [0.1, 0.9, 0.1, 0.1],
    }
    rows = pd.concat([study(), study()], ignore_index=True).assign(**rates)
    text = introduced(rows)
    assert "10 and 100 are too large (collapsed and diverged)" in text
    assert "10⁻⁷ is too small (stalled)" in text and "about 1,000,000 times as many updates" in text
    assert "too small" not in introduced(rows.iloc[1:])
    assert "too large" not in introduced(rows.iloc[:2])
    assert introduced(rows.assign(status="learned")) is None
    better = sweep_table({(8, 0.1): 0.9, (8, 0.3): 0.95, (128, 1): 0.99})
    assert introduced(rows, sweep=better).endswith("The sweep finds a better one at batch size 8: 0.3.")
    for rate in (0.1, 0.3):  # without the model's own rate, the sweep has nothing to compare with it
        assert introduced(rows, sweep=better[better.learning_rate != rate]) == text
    assert (
        introduced(study(), pd.concat([runs("a"), runs("b", accuracies=(0.1, 0.2, 0.3), per_epoch=7)]))
        is None
    )


def tuned(p_lead, status="learned", **changes):
    """Explain three batch sizes, each at the best rate of its row of a sweep."""
    rows = {"model": list("abc"), "batch_size": [8, 128, 1000], "learning_rate": [0.01, 0.1, 0.1]}
    rows |= {"validation_accuracy_mean": [0.98, 0.97, 0.6], "updates": [1000, 100, 10], "p_lead": p_lead}
    table = pd.concat([study(), study()], ignore_index=True).iloc[:3].assign(**rows | changes, status=status)
    sweep = {(8, 0.01): 0.9, (8, 0.1): 0.8, (128, 0.01): 0.8, (128, 0.1): 0.9, (1000, 0.1): 0.5}
    history = pd.concat([runs(name) for name in "abc"])
    return introduced(table, history, sweep_table(sweep))


def test_settings_at_their_best_rates_tie_where_the_lead_may_be_chance():
    tie = tuned([np.nan, 0.2, 0.001])
    assert "batch sizes 8 and 128 tie: with 3 seeds, the lead" in tie and "have 97.0 to 98.0\xa0%" in tie
    makes_up = "(0.01 and 0.1): larger steps make up for fewer updates"
    assert makes_up in tie and "make up" not in tuned([np.nan, 0.2, 0.001], learning_rate=0.1)
    assert "1,000 (full), which makes fewer updates, is behind with 60.0\xa0%" in tie
    ahead = tuned([np.nan, 0.01, 0.001])
    assert (
        "Even with the learning rate that the sweep finds best for each, batch size 8 performs best: it has 98.0"
        in ahead
    )
    assert "128 and 1,000 (full), which make fewer updates, are behind with 60.0 to 97.0" in ahead
    assert "fewer updates" not in tuned([np.nan, 0.01, 0.001], updates=10)


def test_settings_at_their_best_rates_are_explained_in_no_other_study():
    assert tuned([np.nan, 0.2, 0.01], learning_rate=[0.1, 0.1, 0.01]) is None
    assert tuned([np.nan, 0.2, 0.01], batch_size=8) is None
    assert tuned([np.nan, 0.2, 0.01], status="stalled") is None
    assert "may be chance" in tuned(np.nan, seeds=1) and "may be chance" not in tuned([np.nan, 0.2, 0.001])


# Why


def why(status, losses=(2.3, 1.0, 0.1), distances=(3.0,), predicted=(0, 1), **changes):
    rows = study(status=["learned", status], **changes)
    history = runs("b", losses, (0.1,) * len(losses), distances=distances)
    return sentences.reason(rows.iloc[1], history, rows, matrix(predicted))


@pytest.mark.parametrize(
    ("status", "losses", "distances", "cause", "number"),
    [
        ("learned", (2.3, 1.0, 0.1), (3.0,), "fewer updates than `a` by a factor of 10", "2.30 to 0.100"),
        ("undertrained", (2.3, 2.2, 2.0), (0.1,), "too few updates", "still falling"),
        ("undertrained", (2.3, 1.8, 2.0), (9.0,), "no steady progress", "it fell no longer"),
        ("stalled", (2.3, 2.2999, 2.2997), (1e-4,), "steps too small", "by −0.013 %"),
        ("collapsed", (2.38, 2.31, 2.32), (150.0,), "steps too large", "guessing costs 2.30"),
        ("diverged", (2.3, 20.0, 34.0), (1e17, 1e18, 1e28), "steps too large", "weights 10¹⁸ from the start"),
        ("diverged", (2.3, np.nan, np.nan), (np.nan,), "steps too large", "to no finite value"),
    ],
)
def test_reason_starts_with_the_cause_and_gives_the_numbers(status, losses, distances, cause, number):
    text = why(status, losses, distances)
    assert text.startswith(f"`b` ({status}): {cause}. ") and number in text and "nan" not in text


def test_reason_of_a_diverged_model_says_that_all_images_get_the_same_class():
    words = "It gives all 100 test images the same class"
    assert words in why("diverged", (2.3, 20.0, 34.0), predicted=(1, 1))
    assert words not in why("diverged", (2.3, 20.0, 34.0))
    assert words not in why("diverged", (2.3, np.nan, np.nan), predicted=(0, 0))
    assert words not in why("undertrained", (2.3, 2.2, 2.0), predicted=(1, 1))


@pytest.mark.parametrize(
    ("norms", "words"), [((0.9272, 0.92683), "stayed at 0.927"), ((0.9, 0.4), "went from 0.900 to 0.400")]
)
def test_reason_does_not_say_that_a_norm_went_where_it_was(norms, words):
    history = runs("b", (2.3, 0.2), (0.1, 0.9)).assign(gradient_norm=norms)
    assert f"The gradient norm {words}." in sentences.reason(study().iloc[1], history, study(), matrix())


@pytest.mark.parametrize(("end", "swings"), [(0.7, True), (0.76, False)])
def test_reason_of_an_accuracy_that_fell_again_says_so(end, swings):
    history = runs("b", (2.3, 1.0, 0.9), (0.1, 0.8, end))
    text = sentences.reason(study().iloc[1], history, study(), matrix())
    assert ("swings: it was 80.0\xa0% after epoch 1 and is 70.0\xa0% at the end" in text) == swings


def test_full_steps_that_raise_the_loss_are_too_large():
    def text(**changes):
        history = runs("b", (2.3, 0.8, 0.9), (0.1, 0.8, 0.7))
        return sentences.reason(study(**changes).iloc[1], history, study(), matrix())

    assert "are too large: they overshoot" in text(batch_size=1000) and "overshoot" not in text()


def test_reason_of_a_model_behind_names_what_differs():
    equal = {"updates": 100, "batch_size": 8}
    assert "smaller steps than `a`" in why("learned", learning_rate=[0.1, 0.01], **equal)
    assert "larger steps than `a`" in why("learned", learning_rate=[0.1, 0.3], **equal)
    assert "optimizer sgd instead of adam; how" in why("learned", optimizer=["adam", "sgd"], **equal)
    assert "hidden layers 5 instead of 20-10; how" in why("learned", hidden_layers=["20-10", "5"], **equal)
    assert "steps too small for so few updates" in why("undertrained", (2.3, 2.2, 2.0), **equal)


# Limits


def limits(sweep=SWEEP, **changes):
    return " ".join(sentences.limits(study(**changes), sweep))


def test_limits_name_unequal_updates_and_fixed_settings():
    assert "`b` 100, `a` 1,000" in limits()
    assert "numbers of updates" not in limits(updates=100)
    assert "All models use learning rate 0.01" in limits()
    assert "All models use batch size 8" in limits(batch_size=8, learning_rate=[0.01, 1e-7])
    assert "All models use batch size 8 and learning rate 0.01" in limits(
        batch_size=8, optimizer=["sgd", "adam"]
    )


def test_limits_leave_out_what_the_sweep_has_measured():
    sweep = sweep_table({(size, rate): 0.9 for size in (4, 8, 128) for rate in (0.01, 0.1)})
    assert "All models use" not in limits(sweep) and "smallest" not in limits(sweep)
    assert "All models use" in limits(sweep[sweep.batch_size < 100])
    assert "All models use" in limits(sweep[sweep.learning_rate == 0.01])
    assert "is the smallest of the 2" in limits(sweep[sweep.batch_size > 4])
    assert "All models use" in limits(sweep.assign(optimizer="adam"))


def test_limits_name_a_best_value_at_the_edge_unless_none_is_beyond():
    second = {"validation_accuracy_mean": [0.90, 0.95]}
    assert "is the smallest of the 2" in limits() and "is the largest of the 2" in limits(**second)
    assert "that were tried" not in limits(status="stalled")
    assert "that were tried" not in limits(batch_size=[8, 1000], **second)
    assert "that were tried" not in limits(batch_size=[1, 128])


def test_limits_say_that_the_rates_are_the_best_of_the_sweep():
    sweep = sweep_table({(8, 0.01): 0.9, (8, 0.1): 0.8, (128, 0.01): 0.8, (128, 0.1): 0.9})
    assert "best of the sweep after 3 epochs with 1 seed" in limits(sweep, learning_rate=[0.01, 0.1])
    assert "best of the sweep" not in limits(sweep, learning_rate=[0.1, 0.1 + 1e-9])
    sweep = sweep.assign(updates=[375, 375, 3, 3])
    assert "better. That of `b` was chosen after 3 updates." in limits(sweep, learning_rate=[0.01, 0.1])


# Texts as a whole


def test_title_follows_the_studies():
    assert sentences.title([study()]) == "How batch size affects gradient descent"
    other = study(batch_size=8, optimizer=["sgd", "adam"])
    assert sentences.title([study(), other]) == "How batch size and optimizer affect gradient descent"
    assert sentences.title([study().iloc[:1]]) == "Gradient descent"


def test_study_table_has_the_settings_that_vary():
    found = sentences.study_table(study(batch_size=[8, 1000], validation_accuracy_std=[0.002, np.nan]))
    assert list(found["batch size"]) == ["8", "1,000 (full)"] and "learning rate" not in found
    assert list(found["validation accuracy"]) == ["95.00 ± 0.20\xa0%", "90.00\xa0%"]
    assert "activation relu and learning rate 0.01" in sentences.table_note(study())
    lost = sentences.study_table(study(train_loss_mean=[0.1, np.nan]))
    assert lost["training loss"][1] == "not finite"


def test_terminal_has_a_table_of_at_most_78_columns_with_the_answer_above():
    rows = study(model=["tuned_8", "tuned_full"], batch_size=[8, 50_000], images=50_000)
    rows = rows.assign(learning_rate=[0.03, 0.3], p_lead=[np.nan, 0.5], status="undertrained", study="a")
    params = make_params({"a": {}, "b": {"batch_size": 4}})
    lines = sentences.terminal(params, rows).splitlines()
    assert lines[0] == "Which? a tie of batch sizes 8 and 50,000 (full)"
    assert lines[2].split() == ["learning", "validation"]
    assert lines[3].split() == ["model", "batch", "size", "rate", "accuracy", "test", "accuracy", "status"]
    assert max(map(len, lines)) <= 78
    assert sentences.terminal(params, rows.assign(p_lead=0.01)).splitlines()[0] == (
        "Which? batch size 8 and learning rate 0.03 (tuned_8)"
    )


def test_scaling_text_follows_the_exponent():
    def text(exponent, noise=(0, 0, 0)):
        best = {
            size: 0.1 * (size / 32) ** exponent * math.exp(n)
            for size, n in zip((8, 32, 128), noise, strict=True)
        }
        cells = {
            (s, r): 0.9 - 0.01 * math.log(r / best[s]) ** 2 for s in best for r in np.geomspace(1e-3, 10, 41)
        }
        return captions.scaling_text(sweep_table(cells))

    rising = text(0.5)
    assert "from batch size 8 to 128" in rising and "rises as the batch size to the power of 0.50" in rising
    assert "falls as the batch size to the power of −0.50" in text(-0.5)
    assert "no more than chance" in text(0, noise=(0, 1, 0.1))
    assert "does not show" in captions.scaling_text(sweep_table({(8, 0.1): 0.9, (8, 1.0): 0.8}))


def test_sweep_caption_names_the_optimizer_of_the_best_cell_where_there_are_several():
    sweep = sweep_table({(8, 0.1): 0.9, (32, 0.1): 0.8})
    assert "90.00\xa0%, at batch size 8" in captions.sweep_text(sweep)
    several = pd.concat([sweep, sweep.assign(optimizer="adam", validation_accuracy=[0.7, 0.95])])
    assert "95.00\xa0%, with adam at batch size 32" in captions.sweep_text(several)


def test_sweep_caption_says_that_cells_were_not_tried():
    sweep = sweep_table({(8, 0.1): 0.9, (8, 1.0): 0.9, (32, 0.1): 0.8})
    assert "Empty cells" in captions.sweep_text(sweep)
    assert "Empty cells" not in captions.sweep_text(sweep[:2])


def test_batch_sizes_without_a_part_in_the_scaling_law_are_named_with_the_reason():
    def text(**statuses):
        sweep = sweep_table(
            {
                (size, rate): 0.9 - 0.1 * abs(math.log10(rate / best))
                for size, best in ((8, 0.01), (32, 0.1), (128, 1.0), (512, 0.1), (1000, 0.1))
                for rate in (0.001, 0.01, 0.1, 1.0)
            }
        )
        for size, status in statuses.items():
            sweep.loc[sweep.batch_size == int(size[1:]), "status"] = status
        return captions.scaling_text(sweep).partition(" Left out: batch size ")[2]

    edge = "128, as the best learning rate is at an edge of the grid."
    reason = ", as no run reached the status `learned`."
    assert text() == edge
    assert text(_1000="undertrained") == f"1,000{reason} Left out: batch size {edge}"
    assert text(_128="undertrained", _512="undertrained", _1000="diverged") == f"128, 512 and 1,000{reason}"


def whole(folder, models, statuses, **params):
    """Write results, compute the tables, and return the report with its figures."""
    params = make_params(models, **params)
    for name, status in statuses.items():
        write_model(folder / name, params, name, status)
    tables.write_tables(
        tables.compute(params, tables.read_results(params, folder), noise_dataset(), SWEEP), folder
    )
    SWEEP.to_csv(folder / "sweep.csv", index=False)
    report = render.Report(params, tables.read_tables(folder), noise_dataset())
    return report, render.figures(report)


@pytest.mark.parametrize("status", OUTCOMES)
def test_one_model_with_one_seed_and_one_epoch_has_a_report(status, tmp_path):
    text = render.report_markdown(*whole(tmp_path, {"only_1": {}}, {"only_1": status}, seeds=[3], epochs=1))
    assert text.startswith("# Gradient descent\n") and text.count("## Which?") == 1
    assert not re.search(r"\bnan\b|\bNone\b(?!:)|\[\]", text)


@pytest.mark.slow  # 40 models, each compared with the best
def test_forty_models_in_one_study_and_none_in_another(tmp_path):
    names = [f"model_{number:02}_" + 55 * "x" for number in range(40)]
    statuses = {name: list(OUTCOMES)[place % 5] for place, name in enumerate(names)}
    models = {name: {"learning_rate": 0.001 * (place + 1)} for place, name in enumerate(statuses)}
    report, figures = whole(tmp_path, models | {"loose": {"activation": "tanh"}}, statuses | {"loose": "learned"},
                            studies={"a": {"question": "Which *rate*?", "models": list(models)}})  # fmt: skip
    best = tables.tied(report.tables.comparison).model.tolist()
    assert len(sentences.reasons(report.tables.comparison, report.tables)) == 41 - len(best)
    assert list(figures) == [
        *("samples", "a-curves", "a-movement", "a-trajectories", "sweep", f"{best[0]}-mistakes")
    ]
    text, page = render.report_markdown(report, figures), render.report_page(report, figures)
    assert all(name in text and name in page for name in names)
    assert r"## Which \*rate\*?" in text and "trained but not compared: `loose`.\n" in text
    render.write_figures(tmp_path, figures.values())
    assert max(svg_widths(tmp_path).values()) <= 1000
    drawn = "".join(re.findall(r">([^<>]+)<", (tmp_path / "a-curves.svg").read_text()))
    assert [name for name in names if name not in drawn] == []


def test_every_text_is_markdown_that_shows_the_models_names(tmp_path):
    statuses = {"a_b_c": "learned", "d_e_f": "stalled"}
    text = render.report_markdown(*whole(tmp_path, {"a_b_c": {}, "d_e_f": {"batch_size": 4}}, statuses))
    assert MarkdownIt().render(text).count("<em>") == text.count("*Visualizing")


def test_different_networks_have_a_note_in_place_of_trajectories(tmp_path):
    found = whole(tmp_path, {"a": {}, "b": {"hidden_layers": []}}, {"a": "learned", "b": "learned"})
    text = render.report_markdown(*found)
    assert "No trajectories are drawn" in text and "several shapes" in text
    assert text.startswith("# How hidden layers")


def test_network_counts_layers_runs_and_updates():
    params = make_params({"a": {"batch_size": 8}, "b": {"batch_size": 16}}, seeds=[0, 1], epochs=10)
    text = sentences.network(params, study(batch_size=[8, 1000], updates=[1250, 10]), "Leaves_2")
    assert "784 → 20 → 10 → 10 (relu, softmax at the end) learns to classify Leaves\\_2" in text
    assert "2 models with 3 seeds each, 6 training runs of 10 epochs" in text
    assert "125 updates with batch size 8 and 1 update with batch size 1,000 (full)" in text


@pytest.mark.parametrize("batch_size", [8, 4])
def test_terms_are_defined_once_and_updates_compared_where_these_differ(batch_size, tmp_path):
    models = {"a": {}, "b": {"batch_size": batch_size, "learning_rate": 0.1}, "c": {"learning_rate": 0.2}}
    studies = {"one": {"question": "?", "models": ["a", "b"]}, "two": {"question": "?", "models": ["a", "c"]}}
    text = render.report_markdown(*whole(tmp_path, models, dict.fromkeys(models, "learned"), studies=studies))
    assert text.count("equally many updates") == (batch_size == 4)
    assert text.count("Euclidean") == text.count("-mistakes.svg") == 1


@pytest.mark.parametrize(("x", "words"), [(0.1, True), (2.0, False)])
def test_trajectory_that_stays_at_the_start_is_named(x, words):
    ends = pd.DataFrame(
        {"study": "s", "model": ["a", "b"], "epoch": 3, "x": [5.0, x], "y": 0.0, "explained": 0.5}
    )
    of_another_study = ends.assign(study="t", x=1e6, explained=0.9)
    text = captions.trajectories_text(study(), pd.concat([ends, of_another_study]), 0)
    assert ("`b` hardly leaves the ring" in text) == words and "`a` hardly" not in text
    assert "explains 50.0\xa0% of" in text
    still = captions.trajectories_text(study(), ends.assign(x=0.0, explained=np.nan), 0)
    assert "hardly" not in still and "explains" not in still


def test_mistakes_caption_names_classes():
    matrix = pd.DataFrame({"true": [0, 0, 1, 1], "predicted": [0, 1, 0, 1], "images": [5, 1, 3, 6]})
    matrix, best = pd.concat([matrix.assign(model=name) for name in "ab"]), study().iloc[0]
    named = noise_dataset()._replace(class_names=("T-shirt", "Coat"))
    found = captions.mistakes_text(best, matrix, named)
    assert "misclassifies 4 of 15" in found and r"3 times, Coat is classified as T\-shirt" in found
    assert "all 11 test images" in captions.mistakes_text(
        best, matrix[matrix.true == matrix.predicted], named
    )
