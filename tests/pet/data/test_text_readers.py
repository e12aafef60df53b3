"""Raw rows of CSV and JSON Lines files, and what stops a whole file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.data.data_files import CsvFormat, Reason
from pet.data.readers import count_rows, open_sources
from pet.data.text_readers import LONGEST_ROW
from pet.errors import InputError
from tests.support.files import read, write


def test_jsonl_that_is_one_pretty_printed_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one JSON object per line"):
        open_sources(write(tmp_path / "a.jsonl", '[\n  {\n  "text": "a"\n  }\n]\n'))


def test_a_csv_file_of_empty_lines_has_no_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a line of column names"):
        open_sources(write(tmp_path / "a.csv", "\n\n"))


def test_a_ragged_csv_row_costs_itself_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"id,text\n1,ok\n\n2,a,\xff\n3\n4,also ok")
    assert read(path) == ["ok", Reason.RAGGED, Reason.RAGGED, "also ok"]


def test_undecodable_bytes_cost_one_row_not_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"text\nok\ncaf\xe9\n\xed\xa0\x80\nalso ok\n")
    assert read(path) == ["ok", Reason.UNDECODABLE, Reason.UNDECODABLE, "also ok"]


def test_csv_quotes_newlines_and_byte_order_mark_are_read_as_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '\ufefftext,n\r\n"a, ""b""\nc",1\r\n5" pipe,2\r\n\0,3')
    assert read(path) == ['a, "b"\nc', '5" pipe', "\0"]


@pytest.mark.parametrize("tail", ["", "3,foo\n4,bar\n", "3", "\n\n"])
def test_a_quote_never_closed_does_not_swallow_the_rest_in_silence(
    tmp_path: Path, tail: str
) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n1,ok\n2,"never closed\n' + tail)
    with pytest.raises(InputError, match="opened in row 1 and never closed"):
        read(path)
    with pytest.raises(InputError, match="never closed"):
        count_rows(open_sources(path)[0])


def test_rows_that_a_wrong_quote_holds_together_are_not_read_as_one_text(tmp_path: Path) -> None:
    """A pool lost rows in silence: the text of one ran on to the next quote of the file."""
    path = write(tmp_path / "a.csv", 'id,text\n1,ok\n2,"open\n3,lost\n4,"closed"\n5,also ok\n')
    assert read(path) == ["ok", *[Reason.QUOTES] * 3, "also ok"]


@pytest.mark.parametrize("last", ['20,a 5" screen', '20,a 5"', '20,a 5",more'])
def test_every_row_that_a_wrong_quote_holds_is_counted(tmp_path: Path, last: str) -> None:
    """Ninety lost rows were one of seventy, below the share that stops a run."""
    lost = "".join(f"{number},lost\n" for number in range(10, 20))
    path = write(tmp_path / "a.csv", f'id,text\n1,ok\n9,"open\n{lost}{last}\n21,also ok\n')
    assert read(path) == ["ok", *[Reason.QUOTES] * 12, "also ok"]
    assert count_rows(open_sources(path)[0]) == 14


def test_a_text_of_many_lines_is_one_row_whatever_commas_are_in_it(tmp_path: Path) -> None:
    lines = "\n".join(["Dear all,", "we were in", *["Bonn, Germany"] * 7, "and home, again"])
    path = write(tmp_path / "a.csv", f'id,text\n1,"{lines}"\n2,"{lines}",more\n3,ok\n')
    assert read(path)[0] == lines
    assert read(path)[-1] == "ok"


def test_a_quote_within_a_line_is_read_as_it_stands(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,n\n"a" of "b",1\n"c" ,2\n5" pipe,3\n')
    assert read(path) == ['a of "b"', "c ", '5" pipe']


def test_no_row_is_made_of_the_second_line_of_another(tmp_path: Path) -> None:
    """Behind a quote within a line, the rest of a text was a row of its own."""
    rows = 'id,text\n1,ok\n"2" x,"first line\nsecond, line"\n3,also ok\n'
    found = read(write(tmp_path / "a.csv", rows))
    assert found == ["ok", Reason.QUOTES, Reason.QUOTES, "also ok"]
    with pytest.raises(InputError, match="never closed"):
        read(write(tmp_path / "b.csv", 'text,label\n"a" b,"x\nc,d\ne,f\n'))


def test_a_wrong_quote_that_would_cost_much_of_a_file_is_refused(tmp_path: Path) -> None:
    lines = "".join(f"{row},lost\n" for row in range(200))
    with pytest.raises(InputError, match="202 lines held together by a quote in row 0"):
        read(write(tmp_path / "a.csv", f'id,text\n1,"open\n{lines}2,"closed"\n3,ok\n'))


def test_column_names_that_run_on_into_the_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the line of column names and closed in a later line"):
        read(write(tmp_path / "a.csv", 'id,"text\n1,ok\n2,"also ok"\n'))


def test_a_quote_never_closed_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text\n"' + "word\n" * (LONGEST_ROW // 4))
    with pytest.raises(InputError, match="more than 16,777,216 characters in row 0"):
        read(path)


def test_a_text_of_five_megabytes_is_a_text(tmp_path: Path) -> None:
    text = "word " * 1_000_000 + "end"
    assert read(write(tmp_path / "a.csv", f'text\n"{text}"\nb\n')) == [text, "b"]
    assert read(write(tmp_path / "a.jsonl", f'{{"text": "{text}"}}\n')) == [text]


SPARK = 'id,text\n1,"He said \\"hi\\", then left"\n2,plain \\d+\n3,"in C:\\new\\\\, or \\"C\\""\n'


def test_backslashes_before_quotes_are_refused_until_the_settings_say_what_they_are(
    tmp_path: Path,
) -> None:
    r"""Spark writes `\"`: texts came out with backslashes in them, or torn at the next quote."""
    path = write(tmp_path / "a.csv", SPARK)
    with pytest.raises(InputError, match=r"a backslash before one in row 0, as Spark writes it"):
        read(path)
    with pytest.raises(InputError, match=r"add --set pool_csv\.escape='\\' if it is Spark's"):
        count_rows(open_sources(path)[0])
    assert read(path, written=CsvFormat(escape="\\")) == [
        'He said "hi", then left',
        r"plain \d+",
        r'in C:\new\, or "C"',
    ]
    assert len(read(path, written=CsvFormat(escape=""))) == 3


def test_a_quote_that_spark_escaped_at_the_end_of_a_text_is_refused_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n1,"so he said: \\"hi\\""\n2,x\n3,"b, c"\n')
    with pytest.raises(InputError, match="as Spark writes it"):
        read(path)
    assert read(path, written=CsvFormat(escape="\\")) == ['so he said: "hi"', "x", "b, c"]


@pytest.mark.parametrize("place", [0, 150, 299])
def test_one_escaped_quote_among_many_plain_rows_costs_its_row_alone(
    tmp_path: Path, place: int
) -> None:
    """One malformed row refused a file of a hundred thousand."""
    rows = [f'{n},"a, ""b"" {n}"' for n in range(300)]
    rows[place] = f'{place},"he said \\"so\\", and left"'
    path = write(tmp_path / "a.csv", "\n".join(["id,text", *rows]) + "\n")
    found = read(path)
    assert [n for n, text in enumerate(found) if text == Reason.ESCAPED] == [place]
    assert found[299 - place] == f'a, "b" {299 - place}' or place == 299 - place
    assert count_rows(open_sources(path)[0]) == 300


@pytest.mark.parametrize("torn", ['"he said \\"so\ntoday\\""', '"he said \\"so'])
def test_an_escaped_quote_that_leaves_open_where_its_row_ends_refuses_the_file(
    tmp_path: Path, torn: str
) -> None:
    """The rest of a text would be a row of its own, with a label."""
    rows = [f"{n},x" for n in range(300)]
    rows[150] = f"150,{torn}"
    path = write(tmp_path / "a.csv", "\n".join(["id,text", *rows]) + "\n")
    with pytest.raises(InputError, match="as Spark writes it"):
        read(path)


def test_a_backslash_at_the_end_of_a_value_is_no_escape(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,n\n"C:\\new, dir\\",1\nb\\,2\n')
    assert read(path) == ["C:\\new, dir\\", "b\\"]


@pytest.mark.parametrize(
    ("content", "written", "texts"),
    [
        ("id;text\n1;a, b\n", CsvFormat(delimiter=";"), ["a, b"]),
        ("id\ttext\n1\ta\n", CsvFormat(delimiter="\t"), ["a"]),
        ('text,n\n"open,1\nb",2\n', CsvFormat(quote=""), ['"open', 'b"']),
        ("text,n\n'a, b',1\n", CsvFormat(quote="'"), ["a, b"]),
        ("text\nstraße\n".encode("cp1252"), CsvFormat(encoding="cp1252"), ["straße"]),
        ("text\nstraße\n".encode("utf-16"), CsvFormat(encoding="utf-16"), ["straße"]),
        ("\ufefftext\na\n".encode(), CsvFormat(encoding="UTF8"), ["a"]),
    ],
    ids=["semicolon", "tab", "no quote", "other quote", "cp1252", "utf-16", "utf-8"],
)
def test_files_are_read_as_the_settings_say(
    tmp_path: Path, content: str | bytes, written: CsvFormat, texts: list[str]
) -> None:
    path = write(tmp_path / "a.csv", content)
    assert read(path, written=written) == texts
    assert count_rows(open_sources(path, written)[0]) == len(texts)


def test_utf_16_is_refused_with_the_setting_that_reads_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"add --set pool_csv\.encoding=utf-16"):
        open_sources(write(tmp_path / "a.csv", "text\na\n".encode("utf-16")))


def test_bytes_that_another_encoding_cannot_read_cost_no_traceback(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\nab\n".encode("utf-16") + b"\x00\xd8\x0a")
    with pytest.raises(InputError, match="a file that can be read to its end"):
        read(path, written=CsvFormat(encoding="utf-16"))


def test_jsonl_lines_that_cannot_be_read_cost_themselves_alone(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"text": "ok"}',
        b"",
        b"{broken",
        b'{"text": "caf\xe9"}',
        b"[1, 2]",
        b'{"text": 5}',
        b'{"text": "\\ud800"}',
        b'{"text": null}',
        b'{"other": 1}',
        b"[" * 99_999,
        b'{"text": "\\u0000"}',
    ]
    assert read(write(tmp_path / "a.jsonl", b"\n".join(lines))) == [
        "ok",
        Reason.NOT_JSON,
        Reason.UNDECODABLE,
        Reason.NOT_JSON,
        Reason.NOT_TEXT,
        Reason.UNDECODABLE,
        None,
        None,
        Reason.NOT_JSON,
        "\0",
    ]


def test_a_line_of_json_that_is_too_long_is_one_unusable_row(tmp_path: Path) -> None:
    """It was a refused file; memory is bounded all the same."""
    long = b'{"text": "' + b"x" * (LONGEST_ROW + 99) + b'"}\n'
    row = b'{"text": "a"}\n'
    assert read(write(tmp_path / "a.jsonl", row + long + row)) == ["a", "longer than 16 MB", "a"]
    assert read(write(tmp_path / "b.jsonl", row + long[:-1])) == ["a", "longer than 16 MB"]
    (source,) = open_sources(tmp_path / "a.jsonl")
    assert count_rows(source) == 3


def test_json_lines_that_are_one_long_line_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b"[" + b"1," * LONGEST_ROW)
    with pytest.raises(InputError, match="a line of more than"):
        open_sources(tmp_path)


def test_a_csv_row_that_is_too_long_is_one_unusable_row_where_it_has_no_quote(
    tmp_path: Path,
) -> None:
    long = "x" * (LONGEST_ROW + 99)
    content = f"id,text\n1,a\n2,{long}\n3,b\n"
    assert read(write(tmp_path / "a.csv", content)) == ["a", "longer than 16 MB", "b"]
    assert read(write(tmp_path / "b.csv", content.removesuffix("\n3,b\n"))) == [
        "a",
        "longer than 16 MB",
    ]


@pytest.mark.parametrize("quoted", ['2,"{}"\n', '2,{}"\n'])
def test_a_csv_row_with_a_quote_that_is_too_long_is_named(tmp_path: Path, quoted: str) -> None:
    """There is no telling where it ends."""
    long = quoted.format("x" * (LONGEST_ROW + 99))
    path = write(tmp_path / "a.csv", f"id,text\n1,a\n{long}3,b\n")
    with pytest.raises(InputError, match=r"more than 16,777,216 characters in row 1\b"):
        read(path)


def test_half_a_character_in_a_key_is_no_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a", "\\ud83d": 1}\n')
    [source] = open_sources(path)
    assert source.schema.names == ["text"]
