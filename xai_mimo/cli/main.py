"""``xai-mimo``: demo, study, report, doctor."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from xai_mimo.cli.backend import installed, use_backend
from xai_mimo.cli.guard import guarded
from xai_mimo.cli.interruption import end_undisturbed
from xai_mimo.core.errors import BadSetting, MissingDependency
from xai_mimo.core.loading import is_named_object, names_a_model
from xai_mimo.core.progress import bar

app = typer.Typer(
    name="xai-mimo",
    help="Explain models with several inputs and several heads.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of everything random.")]
Heads = Annotated[str | None, typer.Option(help="Only these heads, separated by commas.")]
Backend = Annotated[
    str | None, typer.Option(help="jax, torch or tensorflow; default $KERAS_BACKEND, else the lightest.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except SystemExit as end:
        end_undisturbed(end.code)
        raise


@app.command()
@guarded
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and the model.")] = Path("demo"),
    seed: Seed = 0,
    rows: Annotated[int, typer.Option(min=100, help="Machines to generate.")] = 4000,
    heads: Heads = None,
    epochs: Annotated[int, typer.Option(min=1, hidden=True)] = 30,
    explain: Annotated[int, typer.Option(min=2, hidden=True)] = 100,
    backend: Backend = None,
    debug: Debug = False,
) -> None:
    """Train a self-explaining network on a built-in problem with known truth and write its report."""
    use_backend(backend)
    from xai_mimo.cli import show
    from xai_mimo.datasets import FAILURES
    from xai_mimo.studies.demo import run_demo

    with bar(True, "starting") as progress:
        demo_result = run_demo(
            out,
            seed=seed,
            rows=rows,
            heads=_names(heads) or FAILURES,
            epochs=epochs,
            explain=explain,
            progress=progress,
        )
    scores = [[h, *(f"{v:.3f}" for v in s.values())] for h, s in demo_result.task.items()]
    show.table("Task scores on held-out rows", ["head", "average precision", "AUROC"], scores)
    show.verdicts(demo_result.comparison.record)
    show.written(demo_result.report)


@app.command()
@guarded
def study(
    study: Annotated[str, typer.Argument(help="A study.toml, or the name of a shipped study: ai4i2020.")],
    out: Annotated[Path | None, typer.Option(help="Folder for everything it makes.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Only this seed.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Explain at most so many rows per head.")] = None,
    heads: Heads = None,
    epochs: Annotated[int | None, typer.Option(min=1, hidden=True)] = None,
    backend: Backend = None,
    debug: Debug = False,
) -> None:
    """Train networks with and without MAIL on a table, score tasks and maps over seeds, write tables and a report."""
    use_backend(backend)
    from xai_mimo.cli import show
    from xai_mimo.studies import load_settings, run_study, summary

    settings = load_settings(study).narrowed(seed=seed, rows=rows, heads=_names(heads), epochs=epochs)
    with bar(True, "starting") as progress:
        result = run_study(settings, out=out, progress=progress)
    for title, header, body in summary.tables(result.rows):
        show.table(title, header, body)
    show.verdicts(result.comparison.record)
    show.written(result.report)


@app.command()
@guarded
def report(
    source: Annotated[
        str,
        typer.Argument(
            help="A saved model (.keras, .onnx, ...), module:name for a model in a module, or comparison.json of an "
            "earlier run."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Rows: .npz, an array per stream, or a table (.csv, .parquet, .feather); label:<head> if known."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("report"),
    format: Annotated[str, typer.Option(help="html, latex, json, or a plugin's.")] = "html",
    seed: Seed = 0,
    rows: Annotated[int | None, typer.Option(min=1, help="Explain at most so many rows.")] = None,
    heads: Heads = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="The model's file may run code: only if you know who made it.")
    ] = False,
    backend: Backend = None,
    debug: Debug = False,
) -> None:
    """Write the report of a saved model and rows, or draw an earlier comparison again."""
    from xai_mimo.cli import show
    from xai_mimo.record.files import output_folder
    from xai_mimo.reports import formats

    formats.find(format)  # a misspelt one is refused before anything is computed
    if data is None:
        if Path(source).suffix != ".json":
            raise BadSetting(_without_rows(source))
        from xai_mimo.record import json_file

        record = json_file.from_json(source)
        with output_folder(out) as folder:
            written = formats.write(record, folder / formats.file_name(format), format)
    else:
        use_backend(backend)
        from xai_mimo.studies.saved import compare_saved, read_saved

        if is_named_object(source):
            sys.path.insert(0, "")  # modules in the current folder can be named, as for `python -m`
        saved = read_saved(source, data, trust=trust)
        with output_folder(out) as folder:
            result = compare_saved(saved, heads=_names(heads), rows=rows, seed=seed)
            result.to_json(folder / "comparison.json")
            record = result.record
            written = formats.write(record, folder / formats.file_name(format), format)
    show.verdicts(record)
    show.written(written)


@app.command()
@guarded
def doctor(backend: Backend = None, debug: Debug = False) -> None:
    """Say what is installed and which plugins load, or why not; exit code 1 where no report can be made."""
    from xai_mimo.cli import doctor as examination
    from xai_mimo.cli import show
    from xai_mimo.cli.reach import reach
    from xai_mimo.core.cache import cache_folder

    try:
        used = use_backend(backend)
    except MissingDependency as err:
        show.table("Packages", ["package", "version"], examination.versions())
        show.line(f"backend: {err}")
        raise typer.Exit(1) from err
    show.table("Packages", ["package", "version"], examination.versions())
    show.table("Extras", ["extra", "state"], examination.extra_states())
    states = examination.plugin_states()
    show.table("Plugins", ["group", "name", "where", "state"], states)
    found = reach()
    show.table("What methods ask a model for", ["", "for", "methods"], found.asked())
    show.table("Which model has it", ["model", *found.letters()], found.lines())
    show.table("Why not", ["", "models", "why"], found.lacks)
    for what, why in found.left_out.items():
        show.line(f"{what}: {why}")
    show.line(f"backend: {used} (installed: {', '.join(installed())})")
    show.line(f"compiled programs of JAX: {cache_folder() or 'not kept'} (moved or stopped by XAI_MIMO_CACHE)")
    if not examination.usable(states):
        show.line("not usable: the Keras adapter and the standard methods must load; see the states above.")
        raise typer.Exit(1)
    show.line("ready: `xai-mimo demo` makes a report.")


def _without_rows(source: str) -> str:
    if Path(source).suffix.lower() in (".npz", ".csv", ".parquet", ".feather"):
        return f"'{source}' holds rows, and the model comes before them: xai-mimo report model.keras {source}"
    if names_a_model(source):
        return f"'{source}' needs rows beside it: xai-mimo report {source} rows.npz"
    return (
        f"'{source}' is neither a comparison (.json) nor a saved model (.keras, .onnx, ...), which needs rows beside "
        "it: xai-mimo report model.keras rows.npz"
    )


def _names(heads: str | None) -> tuple[str, ...] | None:
    """Head names from ``"HDF,OSF"``; None where the option is not used."""
    if heads is None:
        return None
    names = tuple(name.strip() for name in heads.split(",") if name.strip())
    if not names:
        raise BadSetting(f"--heads {heads!r} names no head; expected names separated by commas.")
    return names
