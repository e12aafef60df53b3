"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Task = Annotated[str, typer.Argument(help="a task file, or a shipped task's name")]
PoolPath = Annotated[
    str, typer.Option("--pool", help="raw texts: a file or a folder; s3://, gs://, too")
]
Out = Annotated[str, typer.Option("--out", help="the run folder; s3://, gs://, too")]
Test = Annotated[str | None, typer.Option(help="labeled texts to measure on")]
Model = Annotated[
    str | None, typer.Option(help="the teacher: a local folder, or a hub id: ID or ID@REVISION")
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="default, fast, paper, cpu, cpu-masked or cpu-causal",
        show_default="by the teacher's size",
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="any setting: --set student.steps=500")
]
Time = Annotated[
    str | None,
    typer.Option(help="a time in which a run is to end, as 10m or 2h: chooses settings for it"),
]
Csv = Annotated[
    list[str] | None,
    typer.Option(
        "--csv",
        help="how the CSV file is written: --csv delimiter=';'; also quote, escape, encoding",
    ),
]
LabelColumn = Annotated[str | None, typer.Option(help="the label's column", show_default="label")]
TextColumn = Annotated[str | None, typer.Option(help="the text's column, of a one-field task")]
Json = Annotated[bool, typer.Option("--json", help="print JSON, for scripts")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="the folder of a run")]
With = Annotated[str, typer.Option("--with", help="student or ensemble")]
