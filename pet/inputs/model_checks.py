"""What must hold of models before a run writes its first file: sound, long enough, able to ask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from pet.config import LINEAR, PRESETS, ModelRef, RunConfig
from pet.errors import InputError, Problem, gather
from pet.models.adapter_kinds import start_adapter
from pet.models.cloze_model import ClozeModel
from pet.models.early_exit import layers_of
from pet.models.encoder_decoder import EncoderDecoderModel, sentinels
from pet.models.loading import (
    check_vocabulary,
    choose_device,
    load_config,
    load_tokenizer,
    longest_input,
    reading_of,
)
from pet.models.model import Classifier
from pet.models.peft_adapter import PeftAdapter
from pet.models.scoring import Columns, cloze_encoder
from pet.models.sentence_encoder import SentenceEncoder
from pet.models.teachers import load_teacher
from pet.tasks.compilation import (
    LAST_FOR,
    choice_encoder,
    longest_choice,
    pattern_encoder,
    room_problems,
)
from pet.tasks.encoding import AT_END, SENTINEL, Reading
from pet.tasks.task import Task
from pet.tasks.vocabulary import vocabulary_fit

CPU = torch.device("cpu")

LOADERS: dict[str, Callable[[ModelRef, Sequence[str]], object]] = {
    "student_model": lambda ref, labels: Classifier.fresh(ref, labels, CPU, 0),
    "encoder": lambda ref, labels: SentenceEncoder.load(ref, CPU),
}


MULTILINGUAL = {
    "model": "--model xlm-roberta-base",
    "student_model": "--student-model xlm-roberta-base",
    "encoder": "--encoder sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
}


def inspect_models(
    config: RunConfig,
    models: Mapping[str, ModelRef],
    task: Task,
    to_load: Collection[str],
) -> tuple[Task, list[str]]:
    """Load every model once, and compile every pattern for the teacher.

    Weights that are cut off, or without a head, would else show hours later, in a folder that is
    half a run.

    Args:
        models: `model`, `student_model`, `encoder` by name; without those of which it is
            known that they cannot be had.
        to_load: those that no earlier start of this run has loaded.

    Returns:
        The task with the patterns that the teacher can use, and a line about the others.

    Raises:
        InputError: everything that is wrong with the models, the device and the patterns.
    """
    problems: list[Problem] = []
    if task.choices:
        problems.append(
            Problem(
                f"task {task.name}",
                "label words that are the same for every row",
                ", ".join(f"{{{name}}}" for name in task.choices),
                "`pet label TASK --zero-shot` asks for the texts of these fields; nothing can be "
                "trained on them",
            )
        )
    gather(problems, partial(choose_device, config.device))
    if config.linear_student:
        problems += linear_student_problems(config)
    teacher = None
    of_student = "max_length" if config.student_max_length is None else "student_max_length"
    student = "model" if config.student_model is None else "student_model"
    # The encoder reads as much as it can.
    for name, setting in dict.fromkeys([("model", "max_length"), (student, of_student)]):
        if name in models:
            gather(problems, partial(check_length, config, models[name], setting))
    for name, ref in models.items():
        if name in to_load:
            if name == "model":
                teacher = gather(problems, partial(load_teacher, ref, CPU, config.mask))
            else:
                gather(problems, partial(LOADERS[name], ref, task.labels))
    usable: tuple[Task, list[str]] | None = task, []
    if "model" in models:
        usable = gather(problems, lambda: suitable(task, reading_of(models["model"], config.mask)))
    if "model" in models and usable is not None:
        gather(problems, partial(check_patterns, config, usable[0]))
    if not problems and usable is not None and teacher is not None:
        gather(problems, partial(check_tuning, config, usable[0], teacher))
        gather(problems, partial(check_language_modeling, config, teacher))
    if not problems and student in models:
        gather(problems, partial(check_student, config, models[student], task.labels))
    if problems or usable is None:
        raise InputError(problems)
    return usable


def suitable(task: Task, reading: Reading) -> tuple[Task, list[str]]:
    """Keep the patterns that a model can use: where the word follows the text, it is last.

    Raises:
        InputError: none is left.
    """
    if reading not in AT_END:
        return task, []
    kept = tuple(pattern for pattern in task.patterns if pattern.mask_is_last)
    if not kept:
        raise InputError(
            Problem(
                f"task {task.name}",
                f"a pattern that ends in {{mask}}, for {LAST_FOR[reading]}",
                ", ".join(repr(pattern.template) for pattern in task.patterns),
                "add one to a copy of the task file, or take a masked language model",
            )
        )
    names = [pattern.name for pattern in task.patterns if pattern not in kept]
    line = f"left out, since {LAST_FOR[reading]} needs {{mask}} last: {', '.join(names)}"
    return replace(task, patterns=kept), [line] if names else []


def check_length(config: RunConfig, ref: ModelRef, setting: str = "max_length") -> None:
    """Refuse a length that a model has no positions for.

    Args:
        setting: max_length or student_max_length.
    """
    longest, wanted = longest_input(ref), getattr(config, setting)
    if wanted > longest:
        raise InputError(
            Problem(
                f"setting {setting}",
                f"at most {longest}, what {ref.name} was made for",
                str(wanted),
                f"--set {setting}={longest}",
            )
        )


def linear_student_problems(config: RunConfig) -> list[Problem]:
    """State which settings ask of a linear student what only a language model has."""
    of_preset = PRESETS[config.preset].get("student_max_length")  # it is of other students
    asked = {
        "student_max_length": config.student_max_length not in (None, of_preset),
        "student.exits": config.student.exits,
        "student.tuning": config.student.tuning != "full",
    }
    return [
        Problem(
            f"setting {name}",
            "a student that is a language model",
            f"--student-model {LINEAR}: a linear classifier of words, which reads texts whole",
            f"leave it out, or name another student (a folder called {LINEAR}: ./{LINEAR})",
        )
        for name, is_asked in asked.items()
        if is_asked
    ]


def check_student(config: RunConfig, ref: ModelRef, labels: Sequence[str]) -> None:
    """Build the student without weights: it is trained last, by a head that some models have not.

    Raises:
        InputError: there is no such head, no place for the adapter that the student is to be,
            or none for early exits.
    """
    student = Classifier.without_weights(ref, labels)
    if config.student.exits:
        layers_of(student.module)
        if config.long_texts == "windows":
            raise InputError(
                Problem(
                    "setting student.exits",
                    "texts that are read at once",
                    "long_texts=windows",
                    "leave one of the two out",
                )
            )
    if config.student.tuning == "lora":
        PeftAdapter.fresh(student.module, "lora", config.lora, 0)


def check_tuning(config: RunConfig, task: Task, model: ClozeModel) -> None:
    """Try whether the teacher has a place for the adapters that members are to be."""
    if config.member.tuning == "full":
        return
    encoder = cloze_encoder(config, task, model, task.patterns[0].name)
    start_adapter(model, config, encoder, 0).discard()


def check_language_modeling(config: RunConfig, model: ClozeModel) -> None:
    """Refuse training on the pool's language where a model of encoder and decoder has no tokens."""
    setting = "adapt_steps" if config.adapt_steps else "lm_weight"
    if not isinstance(model, EncoderDecoderModel) or not (config.adapt_steps or config.lm_weight):
        return
    if len(sentinels(model.tokenizer)) < 2:
        raise InputError(
            Problem(
                f"setting {setting}",
                f"a tokenizer with {SENTINEL}, <extra_id_1> and so on",
                "no such tokens",
                f"--set {setting}=0",
            )
        )


def check_patterns(config: RunConfig, task: Task) -> None:
    """Compile every pattern for the teacher's tokenizer; report all that is wrong at once."""
    tokenizer = load_tokenizer(config.model_ref)
    check_vocabulary(tokenizer, load_config(config.model_ref), config.model)
    reading = reading_of(config.model_ref, config.mask)
    if reading == "masked" and tokenizer.mask_token is None:
        raise InputError(
            Problem(
                config.model,
                "a tokenizer with a mask token, for a masked language model",
                "none",
                "copy the model's tokenizer_config.json too, or take another model",
            )
        )
    if task.choices:
        most = longest_choice(config.max_length)
        for pattern in task.patterns:
            encoder = choice_encoder(tokenizer, pattern, ["a"], reading, config.max_length)
            if no_room := room_problems(encoder, pattern, most):
                raise InputError(no_room)
        return
    prompt_length = config.soft_prompt.length if config.member.tuning == "soft-prompt" else 0
    found: dict[tuple[str, Problem], list[str]] = {}
    for pattern in task.patterns:
        own: list[Problem] = []
        words = task.verbalizer(pattern.name)
        gather(
            own,
            partial(
                pattern_encoder,
                tokenizer,
                pattern,
                words,
                reading,
                config.max_length,
                prompt_length=prompt_length,
            ),
        )
        for problem in own:  # a word that no pattern can ask for is one problem
            place, _, word = problem.where.partition(", ")
            found.setdefault((word, replace(problem, where="")), []).append(place)
    if found:
        raise InputError(
            replace(problem, where=", ".join([*places, word] if word else places))
            for (word, problem), places in found.items()
        )


def vocabulary_problems(
    models: Mapping[str, ModelRef], texts: Mapping[str, Columns]
) -> list[Problem]:
    """Describe the models whose vocabulary was made for another language than that of the texts.

    Args:
        models: by their settings' names; they can be had.
        texts: by what they are, such as "labeled rows".
    """
    problems = []
    joined = {
        what: list(map(" ".join, zip(*columns.values(), strict=True)))
        for what, columns in texts.items()
    }
    for name, ref in models.items():
        tokenizer = load_tokenizer(ref)
        fits = {what: vocabulary_fit(tokenizer, rows) for what, rows in joined.items()}
        poor = [f"{fit} in {what}" for what, fit in fits.items() if not fit.suits]
        if poor:
            problems.append(
                Problem(
                    ref.name,
                    "a model that can read the language of the texts",
                    f"a vocabulary made for others: {', '.join(poor)}",
                    f"take a multilingual model: {MULTILINGUAL[name]}",
                )
            )
    return problems
