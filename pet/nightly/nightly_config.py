"""The settings of scheduled labeling: one frozen model, one TOML or JSON file, one form."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from pet.config import CsvConfig, Frozen, Place
from pet.errors import InputError, Problem
from pet.former_settings import FormerSettings, warn
from pet.method.drift import Thresholds
from pet.settings import as_problem


class DriftConfig(Frozen):
    """From which size on a difference between new texts and the model's own matters."""

    rows: int = Field(200, ge=1, description="newest rows that are looked at, by whole nights")
    labels: float = Field(0.2, gt=0, description="label shares: population stability index")
    confidence: float = Field(0.15, gt=0, le=1, description="confidence: Kolmogorov-Smirnov")
    words: float = Field(0.05, gt=0, le=1, description="words: Jensen-Shannon divergence, in bits")
    lengths: float = Field(0.2, gt=0, le=1, description="length: Kolmogorov-Smirnov")

    def thresholds(self) -> Thresholds:
        return Thresholds(self.labels, self.confidence, self.words, self.lengths)


class ErrorWatchConfig(Frozen):
    """Rows of every night for people, and the error among kept labels that is watched for."""

    rows_a_night: int = Field(
        0, ge=0, le=1000, description="rows of a night's kept labels for people; 0: none"
    )
    rows_below: int = Field(
        0,
        ge=0,
        le=1000,
        description="rows of a night's other labels for people: shares by week need them; 0: none",
    )
    error: float = Field(0.05, gt=0, lt=0.5, description="share of wrong labels among the kept")
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="with which more than `error` are wrong, when that is reported",
    )
    threshold: float | None = Field(
        None, ge=0, le=1, description="labels kept; the run's certificate's, if not given"
    )


class NightlyConfig(Frozen):
    """What is labeled every night, with what, and when the model is trained anew."""

    former: ClassVar[FormerSettings] = FormerSettings(renamed={"voice": "predictor"})

    run: Place = Field(
        description="a finished run: its model is the first one, its settings train the next"
    )
    pool: Place = Field(description="the folder where raw texts arrive")
    out: Place = Field(description="the folder for labels, renewed models and the ledger")
    labeled: Place | None = Field(
        None, description="labeled texts to train on; the run's own file if not given"
    )
    pool_csv: CsvConfig | None = Field(
        None, description="how CSV files of the pool are written, if not as the run's"
    )
    labeled_csv: CsvConfig | None = Field(
        None, description="how the labeled texts are written, if not as the run's"
    )
    predictor: Literal["student", "ensemble"] = Field(
        "student", description="what of the run predicts the labels"
    )
    settle_seconds: float = Field(
        10, ge=0, description="a file must have been left alone for so long, or it is waited for"
    )
    keep_deleted: bool = Field(
        True, description="labels of files that have left the pool stay; false: they are set aside"
    )
    retrain_labeled: int = Field(
        10,
        ge=0,
        description="so many more labeled rows than it was trained on renew the model; 0: never",
    )
    retrain_on_drift: bool = Field(True, description="drift renews the model")
    retrain_nights: int = Field(
        0, ge=0, description="nights with new texts after which the model is renewed; 0: never"
    )
    certify: ErrorWatchConfig = Field(
        ErrorWatchConfig(), description="whether too many of the kept labels are wrong"
    )
    drift: DriftConfig = Field(DriftConfig(), description="what counts as drift")

    @model_validator(mode="before")
    @classmethod
    def _former_settings_are_known(cls, data: Any) -> Any:
        return cls.former.of_today(data, warn) if isinstance(data, Mapping) else data


def load_nightly_config(path: Path, note: Callable[[str], None] = warn) -> NightlyConfig:
    """Read the settings from a TOML or JSON file.

    Args:
        note: gets one line on settings that have another name by now, or are gone.

    Raises:
        InputError: everything that is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "a file that is no UTF-8"
        raise InputError(
            Problem(str(path), "a TOML or JSON file of settings", str(found), "check the path")
        ) from None
    try:
        data = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            Problem(str(path), "TOML (or JSON, in a .json file)", str(error), "correct that line")
        ) from None
    return make_nightly_config(data, str(path), note)


def make_nightly_config(
    data: object, where: str, note: Callable[[str], None] = warn
) -> NightlyConfig:
    """Check settings.

    Raises:
        InputError: every unknown name and bad value at once.
    """
    if isinstance(data, Mapping):
        data = NightlyConfig.former.of_today(data, note)
    try:
        return NightlyConfig.model_validate(data)
    except ValidationError as error:
        problems = [as_problem(detail, NightlyConfig) for detail in error.errors()]
        raise InputError(
            [Problem(f"{where}, {p.where}", p.expected, p.found, p.fix) for p in problems]
        ) from None
