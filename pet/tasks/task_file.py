"""One task document, read part by part, and everything that is wrong with it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, Literal, get_args

from pet.data.text_keys import alike, named_apart, text_key
from pet.errors import InputError, Problem, did_you_mean
from pet.tasks.patterns import MASK, Pattern, parse_pattern
from pet.tasks.rules import KEYS as KEYS_OF_RULE
from pet.tasks.rules import LONGEST_REGEX, MOST_KEYWORDS, MOST_RULES, Rule, expression_problem

KEYS = (
    "name", "description", "source", "fields", "labels_per_text", "labels_separated_by",
    "label_separator", "labels",
    "patterns", "verbalizers", "suggested_words", "words_from", "weights", "rules", "prior",
)  # fmt: skip

SUM_TOLERANCE = 0.01  # of shares that were rounded by hand

LabelsPerText = Literal["one", "any"]

MOST_KEYS, LONGEST_FILE = 20_000, 1 << 20

_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

_FOLDER_RULE = "up to 64 letters, digits, `_` and `-`, a letter or digit first"

_ROW_DIGEST = re.compile(r"[0-9a-f]{16}")

_CHOICE = re.compile(r"\{([^{}]+)\}")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_LINE_COLUMN = re.compile(r" \(at line (\d+), column (\d+)\)$")


class TaskFile:
    """One task document, and what is wrong with it.

    Each method reads one part. It returns what can be used of it and adds to `problems`, so
    that one mistake does not hide the others.
    """

    def __init__(self, document: dict[str, Any], where: str):
        self.document = document
        self.where = where
        self.problems: list[Problem] = []
        for key in (key for key in document if key not in KEYS):
            fix = instead(key, KEYS, "remove it, or move it into the table it belongs to")
            self.report("", f"only the keys {sorted_names(KEYS)}", f"`{key}`", fix)

    def report(self, place: str, expected: str, found: str, fix: str) -> None:
        where = f"{self.where}, {place}" if place else self.where
        self.problems.append(Problem(where, expected, found, fix))  # an error has each once

    def name(self) -> str:
        name = self.document.get("name")
        if not isinstance(name, str) or not _FOLDER_NAME.fullmatch(name):
            fix = 'write for example name = "support_tickets"; runs and models are called so'
            self.report("name", _FOLDER_RULE, shown(name), fix)
        return str(name)

    def text(self, key: str) -> str:
        value = self.document.get(key, "")
        if not isinstance(value, str):
            self.report(key, "a text", shown(value), f'write {key} = "..."')
        return str(value)

    def table(self, key: str, example: str) -> dict[str, Any]:
        value = self.document.get(key)
        if isinstance(value, dict):
            return value
        self.report(key, f"a table [{key}]", shown(value), f"write [{key}], then {example}")
        return {}

    def fields(self) -> tuple[str, ...]:
        value = self.document.get("fields")
        if not isinstance(value, list) or not value:
            fix = 'write for example fields = ["text"]'
            self.report("fields", "a list of the columns that patterns use", shown(value), fix)
            return ()
        for index, name in enumerate(value):
            self._check_field(name, value[:index])
        # With braces around them they are refused, and yet what patterns mean.
        names = [re.sub("[{}]", "", name).strip() for name in value if isinstance(name, str)]
        return tuple(name for name in dict.fromkeys(names) if name)

    def _check_field(self, name: Any, earlier: list[Any]) -> None:
        if not _is_visible(name) or name != name.strip() or re.search("[{}]", name):
            fix = "write the column's name in quotes, without braces or spaces around it"
            self.report("fields", "names of columns", shown(name), fix)
        elif name == MASK:
            fix = "rename the column, here and in the data: {mask} is the label word's place"
            self.report("fields", "a name other than `mask`", shown(name), fix)
        elif name in earlier:
            self.report("fields", "each column once", f"{shown(name)} again", "remove one")

    def labels(self) -> dict[str, tuple[str, ...]]:
        """Return the words of each label; none for a label whose words are no good."""
        table = self.table("labels", 'a line such as sport = "sport" for each label')
        for label in table:
            if not _is_visible(label):
                fix = "write the label as it stands in the data"
                self.report("labels", "labels of visible characters", shown(label), fix)
        for group in alike(filter(_is_visible, table)):
            expected = "labels that differ in more than case, blanks and Unicode's forms"
            fix = "a slip? keep one of them, and write it so in the data"
            self.report("labels", expected, named_apart(group), fix)
        if len(table) < 2 and isinstance(self.document.get("labels"), dict):
            fix = "add the other labels, each with its word"
            self.report("labels", "at least two labels", sorted_names(table) or "none", fix)
        return {label: self._word_list("labels", label, table[label]) for label in table}

    def _word_list(self, table: str, label: str, value: Any) -> tuple[str, ...]:
        place, given = f"{table}.{label}", [value] if isinstance(value, str) else value
        if not isinstance(given, list) or not given:
            fix = f'write {label} = "word" or {label} = ["word", "another"]'
            if isinstance(value, dict):
                fix = "if the label has a dot in it, put the label in quotes"
            self.report(place, "a word, or a list of words", shown(value), fix)
            return ()
        words: list[str] = []
        for word in given:
            if not _is_visible(word):
                fix = "write a word in quotes; it is what the model puts in the mask's place"
                self.report(place, "words of visible characters", shown(word), fix)
            elif word.strip() in words:
                self.report(place, "each word once", f"{shown(word)} again", "remove one")
            else:
                words.append(word.strip())
        return tuple(words)

    def choices(
        self, labels: Mapping[str, tuple[str, ...]], fields: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the fields whose texts are the labels' words, row by row; none of other tasks."""
        braced = {
            label: [w for w in words if _CHOICE.fullmatch(w)] for label, words in labels.items()
        }
        if not any(braced.values()):
            return ()
        named = [_CHOICE.sub(r"\1", word) for words in braced.values() for word in words]
        for name in (name for name in named if fields and name not in fields):
            fix = instead(name, fields, "name one of the fields, or write a word without braces")
            self.report("labels", f"a field: {sorted_names(fields)}", shown(name), fix)
        if any(len(labels[own]) != 1 or not braced[own] for own in labels) or len(set(named)) < len(
            named
        ):
            fix = 'write for example right = "{choice1}" and wrong = "{choice2}"'
            self.report("labels", "a field of its own for every label, or for none", "some", fix)
        if "verbalizers" in self.document:
            fix = "remove it: every pattern asks for the row's own texts"
            self.report("verbalizers", "none beside labels that are fields", "a table", fix)
        return tuple(named)

    def labels_per_text(self) -> LabelsPerText:
        """Return whether a text has one label, or any number of them; one where nothing is said."""
        value = self.document.get("labels_per_text", "one")
        if value not in get_args(LabelsPerText):
            fix = 'write labels_per_text = "any" where a text may have several labels, or none'
            self.report("labels_per_text", '"one" or "any"', shown(value), fix)
            return "one"
        table = self.document.get("labels")
        words = list(table.values()) if isinstance(table, dict) else []
        if value == "any" and any(isinstance(w, str) and _CHOICE.fullmatch(w) for w in words):
            fix = "write words, or leave labels_per_text out: of a row's own texts one is right"
            self.report("labels_per_text", '"one" where labels are fields', '"any"', fix)
        return "any" if value == "any" else "one"

    def labels_separated_by(self) -> str:
        """Return what stands between the labels of a cell, in files without lists; or nothing."""
        value = self.document.get("labels_separated_by", "")
        given = "labels_separated_by" in self.document
        if not isinstance(value, str) or (given and not value):
            fix = 'write for example labels_separated_by = ";"'
            self.report("labels_separated_by", "a text such as ; or |", shown(value), fix)
            return ""
        if given and self.document.get("labels_per_text", "one") == "one":
            fix = 'add labels_per_text = "any", or remove it'
            self.report("labels_separated_by", 'labels_per_text = "any"', "one label a text", fix)
        table = self.document.get("labels")
        for label in table if given and isinstance(table, dict) else ():
            if value in label:
                fix = "take another separator, or write lists: JSON Lines, Parquet"
                self.report("labels_separated_by", "a text that no label has", shown(label), fix)
        return value

    def label_separator(self, labels: Mapping[str, Any]) -> str:
        """Return what makes a tree of the labels, as the slash of sport/football; or nothing."""
        value, place = self.document.get("label_separator", ""), "label_separator"
        if place not in self.document:
            return ""
        if not isinstance(value, str) or not value.strip():
            fix = 'write for example label_separator = "/" for labels such as sport/football'
            self.report(place, "a text between a label and what it is part of", shown(value), fix)
            return ""
        if self.document.get("labels_per_text", "one") != "one":
            fix = (
                "leave it out, since a tree of several labels a text is not built: sport/football "
                "is a label like others then, and a row may list sport beside it"
            )
            self.report(place, "one label a text beside it", 'labels_per_text = "any"', fix)
        if labels and not any(value in label for label in labels):
            found, fix = f"{shown(value)}, which none has", "correct it, or leave it out"
            self.report(place, "a text that some label has", found, fix)
        known = len(self.problems)
        for label in labels:
            names = label.split(value)
            if not all(names) or [name.strip() for name in names] != names:
                expected = "a name on either side of every separator, without blanks around it"
                self.report("labels", expected, shown(label), f"write it as parent{value}child")
        if len(self.problems) == known:
            self._check_places([label.split(value) for label in labels], value)
        return value

    def _check_places(self, paths: list[list[str]], separator: str) -> None:
        """Report names that stand at several places of a tree of labels."""
        nodes = dict.fromkeys(
            separator.join(path[:depth]) for path in paths for depth in range(1, len(path))
        )
        for group in alike(nodes):
            fix = "a slip? write it in one way"
            self.report("labels", "one way to write a parent", named_apart(group), fix)
        above: dict[str, dict[str, None]] = {}
        for path in paths:
            for depth, name in enumerate(path):
                above.setdefault(text_key(name), {})[separator.join(path[:depth])] = None
        for name, parents in above.items():
            if len(parents) > 1 and not alike(parents):
                places = " and ".join(f"below {own}" if own else "at the top" for own in parents)
                fix = "give one of the two another name, so that a report can tell them apart"
                found = f"{shown(name)} {places}"
                self.report("labels", "every name at one place of the tree", found, fix)

    def patterns(self, fields: tuple[str, ...]) -> tuple[Pattern, ...]:
        table = self.table("patterns", 'a line such as topic = "[ topic: {mask} ] {text}"')
        if not table and isinstance(self.document.get("patterns"), dict):
            fix = 'add a line such as topic = "[ topic: {mask} ] {text}"'
            self.report("patterns", "at least one pattern", "none", fix)
        self._check_pattern_names(table)
        patterns = [self._pattern(name, template, fields) for name, template in table.items()]
        return tuple(pattern for pattern in patterns if pattern)

    def _check_pattern_names(self, table: dict[str, Any]) -> None:
        seen: dict[str, str] = {}
        for name in table:
            twin = seen.setdefault(name.casefold(), name)
            if not _FOLDER_NAME.fullmatch(name):
                fix = "rename the pattern; its name becomes a folder's name"
                self.report("patterns", _FOLDER_RULE, shown(name), fix)
            elif twin != name:
                found = f"{shown(twin)} and {shown(name)}"
                fix = "rename one; on some disks both would be the same folder"
                self.report("patterns", "names that differ in more than case", found, fix)

    def _pattern(self, name: str, template: Any, fields: tuple[str, ...]) -> Pattern | None:
        if not isinstance(template, str):
            fix = f'write {name} = "... {{mask}} ..."'
            self.report(f"patterns.{name}", "a template in quotes", shown(template), fix)
            return None
        # Without usable fields, any plain name will do: that problem is reported already.
        names = [field for field in fields if field != MASK] or None
        place = f"{self.where}, patterns.{name}"
        pattern, problems = parse_pattern(name, template, names, place)
        self.problems += problems
        return pattern

    def weights(self) -> dict[str, float]:
        """Return the weight of every pattern; none where the file has no such table."""
        if "weights" not in self.document:
            return {}
        patterns = self.document.get("patterns")
        names = list(patterns) if isinstance(patterns, dict) else []
        table = self.table("weights", "a line such as topic = 2 for each pattern")
        for name, value in table.items():
            place = f"weights.{name}"
            if names and name not in names:
                fix = instead(name, names, "name one of these, or remove the line")
                expected = f"the name of a pattern: {sorted_names(names)}"
                self.report(place, expected, shown(name), fix)
            elif (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value < inf
            ):
                fix = (
                    f"write {name} = 2 to let it count twice as much as a pattern without a number"
                )
                self.report(place, "a number, 0 or more", shown(value), fix)
        weights = {name: table.get(name, 1.0) for name in names}
        if names and not self.problems and not any(weights.values()):
            fix = "give one of them a number above 0"
            self.report("weights", "a pattern that counts", "0 for all", fix)
        return weights

    def prior(self, labels: Mapping[str, Any]) -> dict[str, float]:
        """Return the share of every label, in the labels' order; none without such a table.

        Of several labels a text they need not sum to 1.
        """
        if "prior" not in self.document:
            return {}
        known = len(self.problems)
        table = self.table("prior", "a line such as sport = 0.7 for each label")
        for label, value in table.items():
            place = f"prior.{label}"
            if labels and label not in labels:
                fix = instead(label, labels, "name one of these, or remove the line")
                self.report(place, f"a label: {sorted_names(labels)}", shown(label), fix)
            elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
                fix = "write it as a share of all texts, such as 0.25; a rare label has a small one"
                self.report(place, "a share above 0 and below 1", shown(value), fix)
        if missing := [label for label in labels if label not in table]:
            fix = "add a line for each; a guess of a rare label's share is better than none"
            self.report(
                "prior", "a share for every label", f"none for {sorted_names(missing)}", fix
            )
        if len(self.problems) > known:
            return {}
        if self.document.get("labels_per_text") == "any":
            return {label: float(table[label]) for label in labels}
        total = sum(table.values())
        if abs(total - 1) > SUM_TOLERANCE:
            fix = "correct them; sums that are off by a hundredth at most are evened out"
            self.report("prior", "shares that sum to 1", f"{total:g}", fix)
        return {label: table[label] / total for label in labels}

    def rules(self, labels: Mapping[str, Any], fields: tuple[str, ...]) -> tuple[Rule, ...]:
        """Return the rules; of a rule that is no good, none."""
        value = self.document.get("rules", [])
        if not isinstance(value, list) or not all(isinstance(own, dict) for own in value):
            fix = 'write [[rules]], then label = "..." and keywords = ["..."]'
            self.report("rules", "a list of tables [[rules]]", shown(value), fix)
            return ()
        if len(value) > MOST_RULES:
            fix = "put keywords of one label into one rule"
            self.report("rules", f"at most {MOST_RULES:,} rules", f"{len(value):,}", fix)
            return ()
        rules, numbers = [], dict[str, int]()
        for number, table in enumerate(value, 1):
            name, place = table.get("name", f"rule-{number}"), f"rules.{number}"
            if not isinstance(name, str) or not _FOLDER_NAME.fullmatch(name):
                fix = 'write for example name = "refunds", or leave it out'
                self.report(place, _FOLDER_RULE, shown(name), fix)
            elif numbers.setdefault(name.casefold(), number) != number:
                found = f"{shown(name)} again, after rules.{numbers[name.casefold()]}"
                fix = "rename one: reports tell rules apart by their names"
                self.report(place, "a name of its own for every rule", found, fix)
            known = len(self.problems)
            rule = self._rule(place, str(name), table, labels, fields)
            if len(self.problems) == known:
                rules.append(rule)
        return tuple(rules)

    def _rule(
        self,
        place: str,
        name: str,
        table: Mapping[str, Any],
        labels: Mapping[str, Any],
        fields: tuple[str, ...],
    ) -> Rule:
        for key in (key for key in table if key not in KEYS_OF_RULE):
            fix = instead(key, KEYS_OF_RULE, "remove it")
            self.report(place, f"only the keys {sorted_names(KEYS_OF_RULE)}", f"`{key}`", fix)
        label, field = table.get("label"), table.get("field", "")
        if labels and label not in [*labels]:
            fix = instead(str(label), labels, "name one of the labels")
            self.report(place, f"a label: {sorted_names(labels)}", shown(label), fix)
        if fields and "field" in table and field not in fields:
            fix = instead(str(field), fields, "name one of these, or leave it out: any field")
            self.report(place, f"a field: {sorted_names(fields)}", shown(field), fix)
        keywords: tuple[str, ...] = ()
        expression = table.get("regex", "")
        if ("keywords" in table) == ("regex" in table):
            found = "both" if "regex" in table else "neither"
            fix = 'write keywords = ["refund", "charged twice"] or regex = "..."'
            self.report(place, "either keywords or a regex", found, fix)
        elif "keywords" in table:
            keywords = self._word_list(place, "keywords", table["keywords"])
            if len(keywords) > MOST_KEYWORDS:
                found, fix = f"{len(keywords):,}", "deal them out to several rules"
                self.report(f"{place}.keywords", f"at most {MOST_KEYWORDS:,}", found, fix)
        elif not isinstance(expression, str) or not expression:
            fix = "write regex = '...' in single quotes: backslashes stay as they are"
            self.report(f"{place}.regex", "a regular expression", shown(expression), fix)
        elif wrong := expression_problem(expression):
            expected = f"a regular expression of at most {LONGEST_REGEX:,} characters"
            if "empty text" in wrong:
                expected = "a regular expression that some texts have and others do not"
            fix = "correct it; write it in single quotes, so that backslashes stay as they are"
            self.report(f"{place}.regex", expected, wrong, fix)
        return Rule(name, str(label), keywords, str(expression), str(field))

    def words(self, base: dict[str, tuple[str, ...]]) -> dict[str, dict[str, tuple[str, ...]]]:
        """Return the words under each pattern: the labels' words, or the pattern's own."""
        own = self._overrides(base)
        patterns = self.document.get("patterns")
        names = list(patterns) if isinstance(patterns, dict) else []
        words = {name: base | own.get(name, {}) for name in names}
        for name in names:
            self._check_clashes(words[name], own.get(name, {}), f"verbalizers.{name}")
        if not names:
            self._check_clashes(base, {}, "labels")
        return words

    def _overrides(self, base: Mapping[str, Any]) -> dict[str, dict[str, tuple[str, ...]]]:
        if "verbalizers" not in self.document:
            return {}
        patterns = self.document.get("patterns")
        own: dict[str, dict[str, tuple[str, ...]]] = {}
        for name, table in self.table("verbalizers", "[verbalizers.PATTERN]").items():
            place = f"verbalizers.{name}"
            if isinstance(patterns, dict) and name not in patterns:
                fix = instead(name, patterns, "name one of these, or remove the table")
                expected = f"the name of a pattern: {sorted_names(patterns)}"
                self.report(place, expected, shown(name), fix)
            if isinstance(table, dict):
                own[name] = self._override(place, table, base)
            else:
                fix = f"write [{place}], then the labels with other words"
                self.report(place, f"a table [{place}]", shown(table), fix)
        return own

    def _override(
        self, place: str, table: dict[str, Any], base: Mapping[str, Any]
    ) -> dict[str, tuple[str, ...]]:
        for label in table:
            if base and label not in base:
                fix = instead(label, base, "name one of these, or remove the line")
                self.report(place, f"a label: {sorted_names(base)}", shown(label), fix)
        words = {label: self._word_list(place, label, table[label]) for label in table}
        return {label: words[label] for label in table if label in base}

    def suggested_words(
        self,
        own: Mapping[str, Mapping[str, tuple[str, ...]]],
        labels: Mapping[str, Any],
        words_are_fixed: bool,
    ) -> dict[str, dict[str, tuple[str, ...]]]:
        """Return the words under each pattern, suggested ones behind a label's own.

        Args:
            own: the words under each pattern without them.
            words_are_fixed: whether the task is of a kind whose words can be suggested.
        """
        if "suggested_words" not in self.document:
            return {name: dict(words) for name, words in own.items()}
        table = self.table("suggested_words", "the lines that pet check --suggest-words prints")
        for label in table:
            if labels and label not in labels:
                fix = instead(label, labels, "name one of these, or remove the line")
                expected = f"a label: {sorted_names(labels)}"
                self.report("suggested_words", expected, shown(label), fix)
        found = {
            label: self._word_list("suggested_words", label, table[label])
            for label in table
            if label in labels
        }
        if not words_are_fixed:
            fix = "remove [suggested_words] and [words_from]"
            expected = "one label a text, and label words that are the same for every row"
            self.report("suggested_words", expected, "another task", fix)
        words = {
            name: {
                label: tuple(dict.fromkeys([*words, *found.get(label, ())]))
                for label, words in before.items()
            }
            for name, before in own.items()
        }
        for after in words.values():
            self._check_clashes(after, found, "suggested_words")
        return words

    def words_from(self) -> tuple[str, ...]:
        """Return the digests of the rows on which the suggested words were chosen."""
        given = {"suggested_words", "words_from"} & self.document.keys()
        if not given:
            return ()
        table = self.document.get("words_from")
        rows = table.get("rows") if isinstance(table, dict) else None
        fix = "paste both tables, [suggested_words] and [words_from], as pet check prints them"
        if len(given) < 2:
            self.report("words_from", "both tables, or neither", f"only [{given.pop()}]", fix)
        elif (
            not isinstance(rows, list)
            or not rows
            or not all(isinstance(own, str) and _ROW_DIGEST.fullmatch(own) for own in rows)
        ):
            self.report("words_from", "rows = a list of 16 hexadecimal digits", shown(rows), fix)
        else:
            return tuple(rows)
        return ()

    def _check_clashes(
        self, words: Mapping[str, tuple[str, ...]], own: Mapping[str, Any], place: str
    ) -> None:
        """Report a word under two labels, at the place where it was written."""
        labels_of: dict[str, list[str]] = {}
        for label, own_words in words.items():
            for word in dict.fromkeys(word.casefold() for word in own_words):
                labels_of.setdefault(word, []).append(label)
        for word, labels in labels_of.items():
            if len(labels) > 1 and len(set(map(text_key, labels))) > 1:
                found = f"{shown(word)} under {sorted_names(labels)}"
                fix = "give the labels words of their own: the model could not tell them apart"
                here = place if own.keys() & set(labels) else "labels"
                self.report(here, "each word under one label", found, fix)


def read_document(toml_text: str, where: str) -> dict[str, Any]:
    """Read a document from the text of its file.

    Raises:
        InputError: the text is empty, or is not TOML.
    """
    if not toml_text.strip():
        found, fix = "an empty file", "write labels and patterns; `verbalizers/README.md` shows how"
        raise InputError(Problem(where, "a task", found, fix))
    if len(toml_text) > LONGEST_FILE or toml_text.count("=") > MOST_KEYS:
        expected = f"a task of at most {MOST_KEYS:,} keys, in {LONGEST_FILE:,} characters"
        raise InputError(Problem(where, expected, "more", "is it a task file?"))
    try:
        return tomllib.loads(toml_text)
    except (ValueError, RecursionError) as error:
        raise InputError(_syntax_problem(str(error), toml_text, where)) from error


def _syntax_problem(message: str, toml_text: str, where: str) -> Problem:
    """State where the TOML breaks; `tomllib` tells it in its message only."""
    at = _LINE_COLUMN.search(message)
    if at:
        where = f"{where}, line {at[1]}, column {at[2]}"
    elif message.endswith("(at end of document)"):
        lines = toml_text.split("\n")
        where = f"{where}, line {len(lines)}, column {len(lines[-1]) + 1}"
    found = message[: at.start()] if at else message
    fix = "correct the line; a name or text with anything but letters and digits needs quotes"
    return Problem(where, "TOML", found, fix)


def _is_visible(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not _CONTROL.search(value)


def instead(found: str, allowed: Iterable[str], otherwise: str) -> str:
    """Suggest the name that was probably meant, or `otherwise`."""
    meant = did_you_mean(found, allowed)
    return f"did you mean `{meant}`?" if meant else otherwise


def sorted_names(names: Iterable[str]) -> str:
    """Join names in alphabetical order."""
    return ", ".join(sorted(names))


def shown(value: Any) -> str:
    """Show a value of the file in a few words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
