"""Bad labeled sets, test sets and pools."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bad_input.case import CHECK, EVALUATE, LABEL, RUN, ZERO_SHOT, Case
from tests.support.samples import pool_texts

ROWS = "the team won the game,sport\na rocket to the moon,space\n"
NESTED = [{"en": "a"}, {"en": "b"}]
LATIN = ("text,label\n" + "un caf\xe9 et un ballon,sport\n" * 5).encode("latin-1")
WORKBOOK = b"PK\x03\x04\x14\x00\x06\x00\x08\x00xl/worksheets/sheet1.xml" + bytes(range(256)) * 4


def csv(text: str, name: str = "labeled.csv") -> dict[str, str]:
    return {name: text}


def parquet(**columns: object) -> object:
    return lambda path: _table(path, pa.table(columns))


def _table(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)


def cut(path: Path) -> None:
    pq.write_table(pa.table({"text": pool_texts()}), path)
    path.write_bytes(path.read_bytes()[:300])


def bomb(path: Path) -> None:
    """289 bytes that decode to one text of a megabyte, in each of 8,192 rows."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 8192, pa.int32()), ["a" * (1 << 20)])
    table = pa.table({"text": texts, "label": pa.repeat("sport", 8192)})
    pq.write_table(table, path, compression="zstd", store_schema=False)


TAKES_MORE = ("can be read with 256 MB of memory", "one that takes more", "look at what is in it")

LABELED = [
    Case("semicolons", CHECK, ("a column 'text'", "text;label", "with commas"),
         csv("text;label\n" + ROWS.replace(",", ";")), 2),
    Case("tabs", CHECK, ("a column 'text'", "with commas"),
         csv("text\tlabel\n" + ROWS.replace(",", "\t")), 2),
    Case("Latin-1", RUN, ("at least one usable row", "not valid UTF-8 (5)", "as UTF-8"),
         {"labeled.csv": LATIN}),
    Case("UTF-16 with a byte order mark", RUN, ("a text file in UTF-8", "UTF-16", "save"),
         {"labeled.csv": ("text,label\n" + ROWS).encode("utf-16")}),
    Case("a workbook saved as .csv", CHECK, ("a text file in UTF-8", "an Excel workbook",
         "save the sheet as CSV"),
         {"labeled.csv": WORKBOOK}),
    Case("a workbook", CHECK + " --labeled labeled.xlsx",
         ("a file that ends in .parquet", "labeled.xlsx", "read_excel"),
         {"labeled.xlsx": WORKBOOK}),
    Case("NUL bytes", RUN, ("at least one usable row", "wrong number of columns (1)"),
         {"labeled.csv": b"text,label\n" + b"\0" * 400}),
    Case("duplicate columns", RUN, ("a column 'label'", "2 columns of that name",
         "give every column its own name"), csv("text,label,label\n" + ROWS.replace("\n", ",a\n"))),
    Case("labels that are not the task's", RUN,
         ("the task's labels: 'sport', 'space', 'business'", "'Sports' (1 rows)", "[labels]"),
         csv("text,label\na game,Sports\n" + ROWS)),
    Case("labels with blanks behind them", RUN,
         ("the task's labels", "'sport ' (1 rows)", "a slip? 'sport ' for 'sport'"),
         csv("text,label\na game,sport \n" + ROWS)),
    Case("labels as numbers", RUN, ("the task's labels", "'0' (1 rows)", "is --label-column right"),
         csv("text,label\na game,0\na rocket,1\n")),
    Case("labels as truth values", EVALUATE + " --test t.parquet",
         ("the task's labels", "'True' (1 rows)"),
         {"t.parquet": parquet(text=["a", "b"], label=[True, False])}),
    Case("several labels a row", RUN + " --labeled l.parquet", ("one label in every row",
         "several in 1 rows", "'l.parquet:1': 'space', 'sport'"),
         {"l.parquet": parquet(text=["a", "b"], label=[["sport"], ["space", "sport"]])}),
    Case("no label column", RUN, ("a column 'label' of labels", "'text', 'Label'",
         "did you mean 'L",
         "--label-column"), csv("text,Label\n" + ROWS)),
    Case("ids that occur twice", RUN, ("an id of its own", "1 ids that occur more", "'7'"),
         csv("id,text,label\n7,a game,sport\n7,a moon,space\n")),
    Case("ids that are missing", RUN, ("unusable rows", "no id (2)", "correct these rows"),
         csv("id,text,label\n,a game,sport\n,a moon,space\n3,a bank,business\n")),
    Case("no rows", RUN, ("at least one usable row", "no rows at all"), csv("text,label\n")),
    Case("an empty file", RUN, ("a file with rows", "an empty file", "write or copy it again"),
         csv("")),
    Case("a quote that is never closed", RUN, ("rows with closed quotes", "never closed", "double"),
         csv('text,label\n"the game,sport\n' + ROWS)),
    Case("one array of JSON", RUN + " --labeled l.jsonl",
         ("one JSON object per line", "[", "as JSON Lines"),
         {"l.jsonl": '[\n{"text": "a", "label": "sport"}\n]\n'}),
    Case("several at once", RUN, ("'sprot' (1 rows)", "'1'", "empty text", "2 of 4"),
         csv("id,text,label\n1,a,sprot\n1,b,sport\n2,,sport\n3,,space\n"), 3),
    Case("several columns at once", EVALUATE + " --text-column body --label-column topic",
         ("a column 'body'", "--text-column", "a column 'topic'", "--label-column"), {}, 2),
    Case("a bad test set beside a bad labeled set", RUN + " --test test.csv",
         ("labeled.csv", "'sprot'", "test.csv", "'spaec'"),
         csv("text,label\na,sprot\n") | csv("text,label\na,spaec\n", "test.csv"), 2),
    Case("the labeled set as test set", RUN + " --test labeled.csv",
         ("--test", "rows that nobody learns from", "all 12", "take other labeled rows")),
    Case("a small file that asks for gigabytes", CHECK + " --labeled bomb.parquet", TAKES_MORE,
         {"bomb.parquet": bomb}),
    Case("a small file that asks for gigabytes, as a test set",
         EVALUATE + " --test bomb.parquet", TAKES_MORE, {"bomb.parquet": bomb}),
    Case("the same texts under another name", RUN + " --test copy.csv",
         ("--test", "rows that nobody learns from", "all 2"),
         csv("text,label\n" + ROWS) | csv("text,label\n" + ROWS, "copy.csv")),
]  # fmt: skip

POOLS = [
    Case("nothing there", RUN + " --pool pol.parquet", ("nothing there", "holds", "pool.parquet")),
    Case("a folder without files", RUN + " --pool empty", ("files that end in .parquet", "no file"),
         {"empty": lambda path: path.mkdir()}),
    Case("a folder with other files", LABEL + " --pool docs", ("a folder with", "a.txt"),
         {"docs/a.txt": "a"}),
    Case("columns that differ between files", RUN + " --pool mixed",
         ("b.parquet", "a column 'text'", "'body'", "--text-column"),
         {"mixed/a.parquet": parquet(text=["a"]), "mixed/b.parquet": parquet(body=["b"])}),
    Case("types that differ between files", ZERO_SHOT + " --pool mixed",
         ("b.parquet", "a column 'text'", "int64"),
         {"mixed/a.parquet": parquet(text=["a"]), "mixed/b.parquet": parquet(text=[1])}),
    Case("ids in some files only", LABEL + " --pool mixed", ("b.parquet", "'id' of ids"),
         {"mixed/a.parquet": parquet(id=["1"], text=["a"]),
         "mixed/b.parquet": parquet(text=["b"])}),
    Case("nested columns", RUN + " --pool n.parquet", ("a column 'text'", "struct<en: string>"),
         {"n.parquet": parquet(text=NESTED)}),
    Case("a nested column by its path", RUN + " --pool n.parquet --text-column doc.en",
         ("a column 'doc.en'", "'doc'"), {"n.parquet": parquet(doc=NESTED)}, 2),
    Case("a file that was cut off", RUN + " --pool c.parquet",
         ("a whole Parquet file", "cut off", "copy it again"), {"c.parquet": cut}),
    Case("a CSV file called .parquet", LABEL + " --pool c.parquet", ("a whole Parquet file",),
         {"c.parquet": "text\na\n"}),
    Case("a compressed file", LABEL + " --pool p.csv.gz", ("a whole gzip file", "p.csv.gz"),
         {"p.csv.gz": b"\x1f\x8b"}),
    Case("a small file that asks for gigabytes, as a pool", RUN + " --pool bomb.parquet",
         TAKES_MORE, {"bomb.parquet": bomb}),
    Case("a small file that asks for gigabytes, zero-shot", ZERO_SHOT + " --pool bomb.parquet",
         TAKES_MORE, {"bomb.parquet": bomb}),
    Case("mostly rows without text", RUN + " --pool p.parquet", ("at most 10% unusable rows",
         "3 or more of 4", "max_rejected"),
         {"p.parquet": parquet(text=["a", None, "", " "])}),
    Case("no rows, in a pool", RUN + " --pool p.parquet", ("at least one",),
         {"p.parquet": parquet(text=pa.array([], pa.string()))}),
    Case("no rows, zero-shot", ZERO_SHOT + " --pool p.parquet", ("at least one row",),
         {"p.parquet": parquet(text=pa.array([], pa.string()))}),
    Case("no rows, to a finished run", LABEL + " --pool p.parquet", ("at least one",),
         {"p.parquet": parquet(text=pa.array([], pa.string()))}),
    Case("a column to keep that is not there", ZERO_SHOT + " --set 'keep_columns=[\"orgin\"]'",
         ("a column 'orgin' to keep", "did you mean 'origin'?")),
    Case("a column to keep that label files have", RUN + " --set 'keep_columns=[\"label\"]'",
         ("columns with names of their own", "label", "rename"),
         {}, 2),
    Case("an address on the web", RUN + " --pool https://me:secret@host/pool.parquet?sig=abc",
         ("setting pool", "a path on this machine", "an address: https://host\n", "copy it")),
]  # fmt: skip

CASES = LABELED + POOLS
