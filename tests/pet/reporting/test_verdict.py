"""The verdict: every finding is reported where it is true, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.data.labeled import read_labeled
from pet.reporting.model_findings import poor_labels
from pet.reporting.report_file import Report
from pet.reporting.verdict import Verdict, verdict_of
from tests.support import reports, samples


def verdict(found: dict[str, Any], folder: str = "runs/first") -> Verdict:
    return verdict_of(Report.model_validate(found), folder)


def titles(found: dict[str, Any]) -> str:
    return "\n".join(f"{own.level}: {own.title}" for own in verdict(found).findings)


def with_test(**accuracies: float) -> dict[str, Any]:
    return reports.figures(test=reports.measured(2, **accuracies))


def with_labels(**changes: Any) -> dict[str, Any]:
    found = reports.figures()
    return {**found, "labels": {**found["labels"], **changes}}


def confused(confusion: list[list[int]]) -> dict[str, Any]:
    test = reports.measured(2)
    student = reports.evaluation(0.8, 1000, 2, confusion=confusion)
    return reports.figures(test={**test, "student": student})


def test_a_good_run_is_not_warned_of() -> None:
    found = verdict(reports.figures())
    assert {finding.level for finding in found.findings} == {"good"}
    assert found.headline == "About 81 of 100 labels are correct"
    assert "1,000 test rows" in found.quality
    assert "1,000 texts were given one of 2 labels" in found.made
    assert "20 labeled rows" in found.made


def unused(**changes: Any) -> dict[str, Any]:
    """A run of which no member has learned from the labeled rows."""
    members = reports.figures()["members"]
    untrained = {name: {**own, "trained": False} for name, own in members.items()}
    return reports.figures(members=untrained, unused_labels="no model learns from them", **changes)


few = reports.measured(2, rows=20)
AMISS: dict[str, dict[str, Any]] = {
    "serious: Measure before": reports.without_test(reports.figures()),
    "serious: The test set leaks": reports.figures(leaked=3),
    "serious: No better than": with_test(student=0.51),
    "serious: 1 of 2 labels were never predicted": with_labels(counts={"sport": 1000, "space": 0}),
    "care: The student is less accurate": with_test(student=0.75),
    "serious: The labeled rows were not learned from": unused(),
    "serious: The student is no better than a simple": with_test(linear_student=0.9),
    "care: The student is no better than a simple": with_test(linear_student=0.81),
    "care: The supervised baseline beats": with_test(supervised=0.9),
    "note: No significant difference": with_test(supervised=0.815),
    "care: The test set is small": reports.figures(
        test=few,
        sets={
            **reports.figures()["sets"],
            "test": {"rows": 20, "counts": {"sport": 10, "space": 10}},
        },
    ),
    "note: One pattern alone": reports.figures(
        test={
            **reports.measured(2),
            "best_pattern": {"name": "topic", **reports.metrics(0.9, 1000)},
        }
    ),
    "note: The pattern “\u2068topic\u2069” is much less accurate": with_test(topic=0.6),
    "care: The student is overconfident": reports.figures(
        test={**reports.measured(2), "student": reports.evaluation(0.8, 1000, 2, confidence=0.97)}
    ),
    "note: The student is underconfident": reports.figures(
        test={**reports.measured(2), "student": reports.evaluation(0.8, 1000, 2, confidence=0.6)}
    ),
    "care: Low recall: “\u2068space\u2069”": confused([[500, 0], [300, 200]]),
    "care: Low precision: “\u2068sport\u2069”": confused([[90, 10], [310, 590]]),
    "note: The sentence encoder alone": reports.figures(
        test={**reports.measured(2), "encoder": reports.metrics(0.85, 1000)}
    ),
    "care: The test set differs from the pool": confused([[490, 10], [300, 200]]),
    "note: The pool's label shares": with_labels(counts={"sport": 900, "space": 100}),
    "care: 40.0": with_labels(abstained=400),
    "care: The ensemble members disagree": reports.figures(
        members={
            name: {
                "kind": "pattern",
                "pattern": name.split("-")[1],
                "trained": True,
                "agreement": 0.4,
            }
            for name in ("g0-category-r0", "g0-topic-r0")
        }
    ),
    "note: Generation 1 was worse": reports.figures(
        generations=[
            *reports.figures()["generations"],
            {**reports.figures()["generations"][0], "members": ["g1-category-r0"]},
        ]
    ),
    "note: No labeled rows were used": reports.without_labels(reports.figures()),
    "note: Rows were rejected": reports.figures(
        pool={"rows": 1000, "rejected": 50, "scored_by_members": 950}
    ),
    "care: About the labeled rows": reports.figures(warnings=["two texts contradict"]),
    "care: About the test rows": reports.figures(test_warnings=["two texts contradict"]),
}


@pytest.mark.parametrize("title", list(AMISS))
def test_what_is_amiss_is_a_finding(title: str) -> None:
    assert title in titles(AMISS[title])
    assert title not in titles(reports.figures())


def test_rows_that_are_missing_are_not_to_be_corrected(tmp_path: Path) -> None:
    path = samples.write_csv(
        tmp_path / "l.csv", [("x", "a"), ("x", "b"), ("y", "b")], ("text", "label")
    )
    warnings = read_labeled(path, ["text"], ["a", "b", "c"]).warnings
    found = verdict(reports.figures(warnings=warnings, test_warnings=warnings)).findings
    actions = [own.action for own in found if own.title.startswith("About the")]
    assert actions == 2 * [
        "Add rows with that label, and run again.",
        "Correct them, and run again.",
    ]


def test_shares_off_a_labeled_set_that_was_not_balanced_are_no_mere_note() -> None:
    found = reports.figures()
    found["sets"]["labeled"] = {"rows": 200, "counts": {"sport": 180, "space": 20}}
    assert "care: The pool's label shares" in titles(found)


def test_two_labels_and_a_low_threshold_never_abstain() -> None:
    test = reports.measured(2)
    test["student"]["abstaining"]["threshold"] = 0.5
    assert "note: No row can abstain" in titles(reports.figures(test=test))


def test_rare_labels_that_are_predicted_less_well_are_not_hidden_by_the_accuracy() -> None:
    test = reports.measured(2)
    test["student"]["macro_f1"] = test["student"]["accuracy"] - 0.1
    assert "macro-F1 score is 71.0" in verdict(reports.figures(test=test)).quality
    assert "F1" not in verdict(reports.figures()).quality


def test_of_many_poor_labels_the_worst_are_named() -> None:
    confusion = np.full((6, 6), 10)
    confusion[5] = [0, 0, 0, 0, 0, 100]
    poor = poor_labels(confusion)
    assert [(label, round(share, 2), rows) for label, share, rows in poor] == [
        (label, 0.17, 60) for label in range(5)
    ]
    assert [label for label, _, _ in poor_labels(confusion.T)] == [0, 1, 2, 3, 4]


def test_without_a_test_set_no_accuracy_is_claimed() -> None:
    found = verdict(reports.without_test(reports.figures()))
    assert found.headline == "The accuracy of these labels is not known"
    assert "rough estimate: the ensemble's out-of-fold accuracy" in found.quality
    assert "pet evaluate runs/first --test" in found.findings[0].command
    learned = reports.without_test(reports.figures())
    learned["labeled"] = {**learned["labeled"], "unseen": False}
    assert "no labeled row was held out from training" in verdict(learned).quality


def test_a_run_without_known_labels_claims_no_accuracy() -> None:
    found = verdict(reports.without_labels(reports.without_test(reports.figures())))
    assert "no labeled rows to measure on" in found.quality
    assert "no labeled rows" in found.made


def test_a_few_test_rows_are_no_proof_of_miscalibration() -> None:
    """With 20 rows every figure is off by chance alone; the small test set is the finding."""
    test = {
        **few,
        "student": reports.evaluation(0.8, 20, 2, confidence=0.9),
        "best_pattern": {"name": "topic", **reports.metrics(0.9, 20)},
    }
    sets = {"test": {"rows": 20, "counts": {"sport": 10, "space": 10}}}
    found = titles(reports.figures(test=test, sets={**reports.figures()["sets"], **sets}))
    assert "One pattern" not in found
    assert "confident" not in found


def test_a_threshold_is_named_for_an_accuracy_that_is_wanted() -> None:
    [found] = [own for own in verdict(reports.figures()).findings if "need" in own.title]
    assert found.title == "If you need an accuracy of 90\u202f%"
    assert "0.85 and more" in found.text
    assert "coverage 30.0" in found.text


def test_a_threshold_is_named_on_no_handful_of_rows() -> None:
    """Of 20 test rows the two most confident ones are correct by chance as often as not."""
    sets = {"test": {"rows": 20, "counts": {"sport": 10, "space": 10}}}
    found = reports.figures(test=few, sets={**reports.figures()["sets"], **sets})
    assert max(point["accuracy"] for point in found["test"]["student"]["coverage"]) > 0.9
    assert "need" not in titles(found)


def test_a_threshold_that_is_named_keeps_the_rows_that_it_was_found_on() -> None:
    """A student's most confident rows are at 0.9968: a threshold of 1.00 would keep none."""
    test = reports.measured(2)
    for point in test["student"]["coverage"]:
        point["threshold"] = 0.9968
    [found] = [own for own in verdict(reports.figures(test=test)).findings if "need" in own.title]
    assert "0.996 and more" in found.text


def test_the_most_serious_comes_first() -> None:
    found = reports.figures(leaked=1, warnings=["odd"], test=reports.measured(2, topic=0.5))
    levels = [finding.level for finding in verdict(found).findings]
    assert levels == sorted(levels, key=["serious", "care", "note", "good"].index)
    assert len(set(levels)) == 4


def test_a_run_folder_with_a_space_can_be_copied_into_a_shell() -> None:
    found = reports.without_test(reports.figures())
    command = verdict_of(Report.model_validate(found), "my runs/x").findings[0].command
    assert "'my runs/x'" in command


def test_a_run_folder_with_a_space_can_be_copied_into_python() -> None:
    found = verdict(with_test(supervised=0.95), "my runs/x").findings
    [command] = [own.command for own in found if "baseline beats" in own.title]
    assert command.endswith("PetClassifier.load('my runs/x/supervised')")


def test_the_report_is_of_the_ensemble_where_most_labels_are_its() -> None:
    """Accuracy, thresholds and confusion must be those of who labels."""
    choice = {"model": "ensemble", "by": "macro_f1", "on": "test"}
    found = with_labels(sources={"ensemble": 900, "student": 100}, choice=choice)
    shown = verdict(found)
    assert shown.headline == "About 82 of 100 labels are correct"
    assert "the ensemble's accuracy is 82.0" in shown.quality
    assert "900 by the ensemble, whose macro-F1 on the test rows is significantly" in shown.made
    few = with_labels(sources={"ensemble": 100, "student": 900}, choice=choice)
    assert "the student's accuracy is 81.0" in verdict(few).quality


def test_labeled_rows_that_were_not_used_come_first_and_nothing_else_is_blamed() -> None:
    """The report advised to label more, and then blamed the language model."""
    poor = reports.measured(2, supervised=0.9, student=0.55, ensemble=0.55, linear_student=0.6)
    labels = {**reports.figures()["labels"], "abstained": 400}
    found = verdict({**unused(test=poor), "labels": labels})
    assert found.findings[0].title == "The labeled rows were not learned from"
    said = " ".join(f"{own.text} {own.action}" for own in found.findings)
    for blamed in ("language model", "label more", "labeled rows of both", "pet review"):
        assert blamed not in said
    assert "20 labeled rows, which none of them learned from" in found.made


def test_members_that_did_not_learn_from_the_labeled_rows_are_not_said_to_have_had_them() -> None:
    members = reports.figures()["members"]
    members["g0-topic-r0"] = {**members["g0-topic-r0"], "trained": False}
    assert "20 labeled rows, which 1 of them learned from" in (
        verdict(reports.figures(members=members)).made
    )


@pytest.mark.parametrize(
    ("accuracies", "encoder", "advice"),
    [
        ({"linear_student": 0.9}, None, "a larger student (--student-model)"),
        ({"linear_supervised": 0.9}, None, "a sentence encoder (--encoder)"),
        ({"linear_encoder": 0.9}, 0.8, "a better sentence encoder (--encoder)"),
    ],
)
def test_where_a_simple_classifier_suffices_the_first_finding_says_what_would_help_most(
    accuracies: dict[str, float], encoder: float | None, advice: str
) -> None:
    test = with_test(**accuracies)["test"]
    if encoder is not None:
        test["encoder"] = reports.metrics(encoder, 1000)
    first = verdict(reports.figures(test=test)).findings[0]
    assert first.title == "The student is no better than a simple classifier"
    assert first.action.startswith("What would help most: a ")
    assert advice in first.action
