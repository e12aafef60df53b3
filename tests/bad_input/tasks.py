"""Bad task files."""

from __future__ import annotations

from tests.bad_input.case import CHECK, EVALUATE, RUN, ZERO_SHOT, Case
from tests.support.samples import PATTERNS, task_toml

GOOD = task_toml()


def changed(old: str, new: str) -> dict[str, str]:
    assert GOOD.count(old) == 1, old
    return {"task.toml": GOOD.replace(old, new)}


def with_pattern(template: str) -> dict[str, str]:
    return {"task.toml": f"{GOOD}own = '{template}'\n"}


def rule(name: str, expression: str, label: str = "space") -> str:
    return f"\n[[rules]]\nname = '{name}'\nlabel = '{label}'\nregex = {expression}\n"


def with_rule(name: str, expression: str, label: str = "space") -> dict[str, str]:
    return {"task.toml": GOOD + rule(name, expression, label)}


def tree(separator: str, *labels: str) -> dict[str, str]:
    """The task with a separator, and more labels."""
    more = "".join(f'"{label}" = "word{place}"\n' for place, label in enumerate(labels))
    text = GOOD.replace("fields =", f"label_separator = {separator}\nfields =")
    return {"task.toml": text.replace("\n[patterns]", f"{more}\n[patterns]")}


LONG = "text,label\n" + "the rocket " * 40 + "!,space\nthe match,sport\nthe bank,business\n"

CASES = [
    Case("an unknown key", CHECK, ("`desciption`", "did you mean `description`?"),
         changed("description", "desciption")),
    Case("a pattern twice", RUN, ("task.toml, line 15", "TOML", "Cannot overwrite a value",
         "correct the line"),
         {"task.toml": f"{GOOD}last = '{{text}} {{mask}}'\n"}),
    Case("a name with a slash", RUN, ("'../../etc/news'", "letters, digits"),
         changed("tiny_news", "../../etc/news")),
    Case("a name of two points", RUN, ("'..'", "letters, digits"), changed("tiny_news", "..")),
    Case("a pattern called ..", RUN, ("patterns", "'../last'", "becomes a folder's name"),
         changed("last =", '"../last" =')),
    Case("words that tokenise the same", RUN,
         ("words that the model can tell apart", "the same tokens as a word of 'sport'",
          "choose another word"), changed('business = "business"', 'business = "s\u0301port"')),
    Case("one word under two labels", ZERO_SHOT,
         ("each word under one label", "'sport' under business, sport"),
         changed('business = "business"', 'business = "Sport"')),
    Case("labels alike but for case and a blank", CHECK,
         ("labels that differ in more than case", "'sport' and 'Sport\\xa0'", "a slip?"),
         changed('sport = "sport"', 'sport = "sport"\n"Sport\u00a0" = "sport"')),
    Case("labels alike but for Unicode's forms", RUN,
         ("labels that differ in more than case", "'caf\\xe9' and 'cafe\\u0301'"),
         changed('sport = "sport"', '"caf\u00e9" = "sport"\n"cafe\u0301" = "game"')),
    Case("a label in two branches of a tree", CHECK,
         ("every name at one place of the tree", "'football' below news and below games"),
         tree("'/'", "news/football", "games/football")),
    Case("a parent that is a label elsewhere", RUN,
         ("every name at one place of the tree", "'sport' at the top and below games"),
         tree("'/'", "games/sport")),
    Case("a parent written in two ways", CHECK,
         ("one way to write a parent", "'news' and 'News'"), tree("'/'", "news/a", "News/b")),
    Case("a separator that no label has", CHECK,
         ("a text that some label has", "'>', which none has"), tree("'>'", "news/football")),
    Case("a separator at the end of a label", RUN,
         ("a name on either side of every separator", "'news/'"),
         tree("'/'", "news/", "games/chess")),
    Case("a separator that is no text", CHECK, ("label_separator", "found:    3"),
         tree("3", "news/football")),
    Case("two masks", CHECK, ("{mask} exactly once", "2 of them", "keep the one"),
         with_pattern("{mask} {text} {mask}")),
    Case("no mask", CHECK, ("{mask} exactly once", "none", "add {mask}"), with_pattern("{text}")),
    Case("no field", CHECK, ("at least one field", "the same of every text", "add {text}"),
         with_pattern("is it {mask}?")),
    Case("an unclosed brace", CHECK, ("braces in pairs", "a lone { at character 8"),
         with_pattern("{mask} {text")),
    Case("an unknown field", ZERO_SHOT, ("one of {mask}, {text}", "{txt}", "did you mean {text}?"),
         with_pattern("{txt} {mask}")),
    Case("fields written with their braces", CHECK, ("names of columns", "without braces"),
         changed('["text"]', '["{text}"]')),
    Case("what str.format would run", RUN,
         ("{text.__class__.__init__.__globals__}", "did you mean {text}?"),
         with_pattern("{text.__class__.__init__.__globals__} {mask}")),
    Case("a choice of no field", ZERO_SHOT,
         ("labels", "a field: text", "'txet'", "a field of its own for every label"),
         changed('business = "business"', 'business = "{txet}"'), problems=2),
    Case("a rule that takes seconds", CHECK, ("rule slow", "at most 1 second", "id 'labeled",
         "a repeat within a repeat"),
         with_rule("slow", "'(?:(?:[a-z ]|[a-z ]{2})+)+$'") | {"labeled.csv": LONG}),
    Case("a rule whose expression is none", RUN, ("rules.1.regex", "missing )", "single quotes"),
         with_rule("own", "'(a'")),
    Case("a rule for no label", RUN, ("rules.1", "'spce'", "did you mean `space`?"),
         with_rule("own", "'a'", "spce")),
    Case("two rules of one name", CHECK, ("'own' again, after rules.1", "rename one"),
         {"task.toml": with_rule("own", "'a'")["task.toml"] + rule("own", "'b'")}),
    Case("a weight of no pattern", CHECK, ("weights.lst", "did you mean `last`?"),
         {"task.toml": f"{GOOD}[weights]\nlst = 2\n"}),
    Case("weights that are no number of times", ZERO_SHOT,
         ("weights.last", "a number, 0 or more", "-1", "weights.bracket", "nan"),
         {"task.toml": f"{GOOD}[weights]\nlast = -1\nbracket = nan\n"}, problems=2),
    Case("weights of which none counts", RUN, ("weights", "a pattern that counts", "0 for all"),
         {"task.toml": GOOD + "[weights]\n" + "".join(f"{name} = 0\n" for name in PATTERNS)}),
    Case("suggested words without the rows that they are from", CHECK,
         ("words_from", "both tables, or neither", "only [suggested_words]", "paste both"),
         {"task.toml": f'{GOOD}[suggested_words]\nsport = "game"\n'}),
    Case("suggested words of no label, and of rows that are none", RUN,
         ("suggested_words", "did you mean `sport`?", "words_from", "16 hexadecimal digits"),
         {"task.toml": f'{GOOD}[suggested_words]\nsprt = "game"\n[words_from]\nrows = ["x"]\n'},
         problems=2),
    Case("a suggested word that is another label's", CHECK,
         ("suggested_words", "each word under one label", "'moon' under space, sport"),
         {"task.toml": f'{GOOD}[suggested_words]\nsport = "moon"\n'
                       f'[words_from]\nrows = ["{"0" * 16}"]\n'}),
    Case("label words without a model to choose them", f"{CHECK} --suggest-words",
         ("--suggest-words", "labeled rows and a model", "no model", "add --labeled and --model")),
    Case("a syntax error", CHECK, ("task.toml, line 3, column 10", "TOML", "correct the line"),
         changed('"our tests"', "our tests")),
    Case("tabs for spaces in a JSON file", CHECK, ("task.toml, line 1", "TOML", "correct the line"),
         {"task.toml": '{\n\t"name": "news"\n}\n'}),
    Case("Latin-1", CHECK, ("in UTF-8", "byte 0xe9 in line 3", "save the file as UTF-8"),
         {"task.toml": GOOD.replace("our tests", "café").encode("latin-1")}),
    Case("UTF-16, as some editors save it", CHECK, ("in UTF-8", "byte 0xff", "save the file as"),
         {"task.toml": GOOD.encode("utf-16")}),
    Case("a NUL in it", CHECK, ("task.toml, line 3", "TOML"), changed("our tests", "our\0tests")),
    Case("an empty file", RUN, ("a task", "an empty file", "verbalizers/README.md"),
         {"task.toml": ""}),
    Case("one label", RUN, ("at least two labels", "business", "add the other labels"),
         changed('sport = "sport"\nspace = ["space", "moon"]\n', "")),
    Case("a word of another type", CHECK, ("labels.sport", "a word, or a list of words", "5"),
         changed('"sport"', "5")),
    Case("a word that the model cannot write", RUN,
         ("the model's vocabulary can write", "an unknown token", "choose another word"),
         changed('business = "business"', 'business = "🤑"')),
    Case("a special token as a word", RUN, ("a word of the language", "a special token"),
         changed('business = "business"', 'business = "[SEP]"')),
    Case("no pattern for a causal model", RUN.replace("bert", "gpt2"),
         ("a pattern that ends in {mask}", "add one to a copy of the task file"),
         {"task.toml": task_toml(["category"])}),
    Case("a pattern longer than the model can take", RUN,
         ("room for the text within max_length 32", "raise max_length"),
         with_pattern("{text} " + "it was news " * 40 + "{mask}")),
    Case("a list instead of a table", CHECK, ("a table [labels]", "a list", "write [labels]"),
         {"task.toml": 'name = "n"\nfields = ["text"]\nlabels = ["a", "b"]\n[patterns]\n'
                       'p = "{text} {mask}"\n'}),
    Case("several at once", RUN,
         ("task.toml, name", "task.toml, labels.space", "patterns.bracket", "patterns.last",
          "`colour`"),
         {"task.toml": GOOD.replace('"tiny_news"', '"tiny news"').replace('["space", "moon"]', "[]")
          .replace("[ topic: {mask} ] {text}", "[ topic: {mask ] {text}")
          .replace("{text} the topic", "{texts} the topic").replace("source", "colour")}, 5),
    Case("a run's task file that was changed into another", EVALUATE,
         ("news/task.toml", "`desciption`"), {"news/task.toml": GOOD.replace("descr", "desc")}),
    Case("a folder", "check news --labeled labeled.csv",
         ("a task file", "a folder", "name the task file in it")),
    Case("a shipped task, misspelt", "check ag_new --labeled labeled.csv",
         ("no such file or task", "did you mean `ag_news`?")),
    Case("text columns for a task of two fields", CHECK + " --text-column body",
         ("a task with one field", "text, title", "leave --text-column out", "a column 'title'"),
         changed('["text"]', '["text", "title"]'), 2),
]  # fmt: skip
