"""How often a verdict is right: models with known answers, maps with known faults, and what ``compare`` says of them.

python benchmarks/verdicts.py --seeds 0 10              # the tables that a rule is chosen by
python benchmarks/verdicts.py --seeds 0 10 --rows 50 --company all --out outcomes.csv
python benchmarks/verdicts.py --write docs/verdicts.md  # measures on other seeds, and writes the page's figures

Rules and thresholds are chosen on seeds from 0 on and measured on seeds from 1000 on.
"""

import argparse
import itertools
import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process for each core, and small arrays

import pandas as pd
from verdict_models import (
    FAMILIES,
    KINDS,
    RELATIONS,
    WIDTHS,
    Family,
    Kind,
    Known,
    Relation,
    is_lucky,
    known_model,
    maps_of,
)

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import UnusedStreamWarning
from xai_mimo.metrics.installed import default_metrics
from xai_mimo.metrics.metric import Metric, needs_of

WORDS = ("supported", "doubtful", "misleading", "undecided")
USES = ("verdict", "order", "shares", "sign")
ROWS = (20, 50, 200)
MEASURED_ON = 1000
CELL = "in each cell: supported/doubtful/misleading/undecided"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
_ONE_MAP = ["seed", "family", "relation", "width", "rows", "head", "kind"]
CHANCE_KINDS = ("rand", "rand_b", "permrow")
_RESTS_ON = (
    "deletion_area",
    "insertion_area",
    "symmetric_gain",
    "signed_gain",
    "effect_overlap",
    "idle_mass",
    "uniformity",
    "share",
    "auroc_mean_map",
    "conditional_symmetric_gain",
    "effective_features",
)
# Objects, so that they are looked up once; without agreement, which decides nothing and takes a third of the time.
_VERDICT_METRICS = tuple(m for m in default_metrics() if m.name in _RESTS_ON)
COMPANIES: Mapping[str, tuple[tuple[Kind, ...], ...]] = {
    "alone": tuple((kind,) for kind in KINDS if kind != "rand_b"),
    "beside noise": tuple((kind, "rand") for kind in ("exact", "noisy", "flip", "onetop")),
    "two noises": (("rand", "rand_b"),),
    "all": (KINDS,),
}
"""Which maps stand in one comparison."""


@dataclass(frozen=True)
class Case:
    """One model, and with how many rows it is explained."""

    seed: int
    family: Family
    relation: Relation
    width: int
    rows: int


@dataclass(frozen=True)
class Outcome:
    """What one comparison says of one map of one head.

    Attributes:
        seed, family, relation, width, rows: of the case.
        company: what else stands in the comparison.
        truth: whether the comparison was told the true features.
        head: name.
        kind: of map.
        verdict, order, shares, sign: words; "" where there is none.
    """

    seed: int
    family: str
    relation: str
    width: int
    rows: int
    company: str
    truth: bool
    head: str
    kind: str
    verdict: str
    order: str
    shares: str
    sign: str


def cases(seeds: Sequence[int], rows: Sequence[int]) -> list[Case]:
    """For each seed one model of every family and relation; widths take turns."""
    return [
        Case(seed, family, relation, WIDTHS[(seed + i) % len(WIDTHS)], count)
        for seed in seeds
        for i, (family, relation) in enumerate(itertools.product(FAMILIES, RELATIONS))
        for count in rows
    ]


def outcomes(case: Case, companies: Sequence[str], truths: Sequence[bool]) -> list[Outcome]:
    """Every comparison of one case."""
    known = known_model(case.seed, case.family, case.relation, case.width, case.rows)
    return [
        outcome
        for company in companies
        for kinds in COMPANIES[company]
        for truth in truths
        for outcome in judge(known, case, company, kinds, truth)
    ]


def judge(known: Known, case: Case, company: str, kinds: Sequence[Kind], truth: bool) -> list[Outcome]:
    """The verdicts of one comparison of these maps; without maps that are not what their kind says here."""
    maps = maps_of(known, kinds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedStreamWarning)  # heads that read one stream are meant so
        result = xm.compare(
            known.model,
            known.split(known.x),
            maps,
            metrics=_metrics(case.relation, truth),
            truth=known.truth if truth else None,
            background=known.split(known.background),
            seed=case.seed,
            settings=Settings(ceilings=False),
        )
    heads = list(known.rules)
    rows = []
    for row in result.record.verdicts:
        kind = row.method
        if kind == "proxy" and case.relation == "opposing":
            continue  # there the partner is a true feature too
        if kind == "fixed" and is_lucky(known, heads.index(row.head), maps[kind].answer[0]):
            kind = "fixed, lucky"
        words = {use: getattr(row, use) or "" for use in USES}
        rows.append(Outcome(**asdict(case), company=company, truth=truth, head=row.head, kind=kind, **words))
    return rows


def _metrics(relation: Relation, truth: bool) -> list[Metric]:
    """What verdicts rest on, of the metrics that apply: those that ``compare`` would run by itself."""
    lacking = {"truth": not truth, "correlated features": relation == "independent"}
    return [m for m in _VERDICT_METRICS if not any(lacking.get(need) for need in needs_of(m))]


def run(
    seeds: Sequence[int],
    *,
    rows: Sequence[int] = ROWS,
    companies: Sequence[str] = tuple(COMPANIES),
    truths: Sequence[bool] = (True, False),
    families: Sequence[str] = FAMILIES,
    relations: Sequence[str] = RELATIONS,
    processes: int = 1,
) -> pd.DataFrame:
    """One row for each ``Outcome``."""
    todo = [c for c in cases(seeds, rows) if c.family in families and c.relation in relations]
    work = partial(outcomes, companies=companies, truths=truths)
    if processes == 1:
        return _frame(map(work, todo), len(todo))
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        return _frame(pool.imap(work, todo), len(todo))


def _frame(made: Iterable[list[Outcome]], count: int) -> pd.DataFrame:
    rows = []
    for done, part in enumerate(made, 1):
        rows += [asdict(outcome) for outcome in part]
        if sys.stderr.isatty():
            print(f"\r{done} of {count} cases", end="\n" if done == count else "", file=sys.stderr)
    return pd.DataFrame(rows)


def table(data: pd.DataFrame, use: str = "verdict", by: Sequence[str] = ("kind", "rows", "company")) -> pd.DataFrame:
    """Counts of each word, one line for each combination."""
    counted = data[data[use] != ""].groupby([*by, use]).size().unstack(use, fill_value=0)
    counted = counted.reindex(columns=list(WORDS), fill_value=0)
    kinds = [k for kind in KINDS for k in ((kind, "fixed, lucky") if kind == "fixed" else (kind,))]
    levels = {"kind": kinds, "company": list(COMPANIES)}
    return counted.sort_index(key=lambda level: level.map(levels[level.name].index) if level.name in levels else level)


def aims(data: pd.DataFrame) -> pd.DataFrame:
    """What a verdict has to keep to, and how often it does: one line an aim, without those that nothing was run for.

    Returns:
        ``aim``; ``count`` of ``of`` verdicts, on so many different ``maps``; ``rate``; ``bound``, what the rate has to
        be at least or at most; ``holds``.
    """
    chance, exact = data["kind"].isin(CHANCE_KINDS), (data["kind"] == "exact") & (data["rows"] == 50)
    flip, onetop = data["kind"] == "flip", data["kind"] == "onetop"
    lines = [
        *(_aim(data[chance & (data["rows"] == n)], f"random, {n} rows", "supported", most=0.01) for n in ROWS),
        *(_aim(data[chance & (data["rows"] == n)], f"random, {n} rows", "misleading", most=0.05) for n in ROWS),
        *(
            _aim(data[exact & (data["company"] == c)], f"exact, 50 rows, {c}", "supported", least=0.95)
            for c in COMPANIES
        ),
        *(
            _aim(data[exact & (data["relation"] == r)], f"exact, 50 rows, {r}", "supported", least=0.95)
            for r in RELATIONS
        ),
        _aim(data[flip], "sign-flipped", "supported", use="sign", most=0.0),
        _aim(data[onetop], "one true feature first", "supported", use="shares", most=0.0),
    ]
    return pd.DataFrame([line for line in lines if line["of"]])


def _aim(
    data: pd.DataFrame,
    which: str,
    word: str,
    *,
    use: str = "verdict",
    least: float | None = None,
    most: float | None = None,
) -> dict[str, object]:
    count = int((data[use] == word).sum())
    rate = count / max(len(data), 1)
    bound = f"at least {least:.0%}" if least is not None else f"at most {most:.0%}"
    holds = rate >= least if least is not None else rate <= most
    return {
        "aim": f"{which}: {word} ({use})",
        "count": count,
        "of": len(data),
        "maps": len(data[_ONE_MAP].drop_duplicates()),
        "rate": rate,
        "bound": bound,
        "holds": holds,
    }


def summary(data: pd.DataFrame) -> str:
    """All tables as text: each use, and what the truth, the family and the relation of the features change."""
    parts = [f"{len(data)} verdicts of {_models(data)} models, seeds {_seeds(data)}; {CELL}"]
    parts.append(aims(data).to_string(index=False))
    parts += [f"{use}\n{cells(data, use, across='rows').to_string()}" for use in USES if (data[use] != "").any()]
    parts += [
        f"{use} by {split}\n{cells(data, use, across=split).to_string()}"
        for use in USES
        if (data[use] != "").any()
        for split in ("truth", "relation", "family")
    ]
    return "\n\n".join(parts)


def cells(data: pd.DataFrame, use: str, *, across: str, by: Sequence[str] = ("kind", "company")) -> pd.DataFrame:
    """The four counts as one text a cell, ``across`` as columns."""
    counted = table(data, use, (*by, across))
    texts = counted.astype(str).agg("/".join, axis=1).unstack(across).fillna("")
    return texts.reindex(list(dict.fromkeys(key[:-1] for key in counted.index)))


def _models(data: pd.DataFrame) -> int:
    return len(data[["seed", "family", "relation", "width"]].drop_duplicates())


def _seeds(data: pd.DataFrame) -> str:
    return f"{data['seed'].min()} to {data['seed'].max()}"


def page(data: pd.DataFrame, command: str) -> str:
    """The figures of docs/verdicts.md."""
    shown = data.assign(truth=data["truth"].map(_TRUTH), rows=data["rows"].map("{} rows".format))
    columns = [f"{count} rows" for count in sorted(data["rows"].unique())]
    percent = aims(data).assign(rate=lambda a: a["rate"].map("{:.1%}".format), holds=lambda a: a["holds"].map(_YES))
    lines = [
        f"Measured by `{command}`: {_models(data)} models (seeds {_seeds(data)}), {len(data)} verdicts.",
        "A map stands in several comparisons, with and without the truth; `maps` counts those that differ.",
        "",
        _markdown(percent),
        "",
        "Random and permuted maps, word by word, supported / misleading: a test at p <= 0.05 grants some a single use.",
        "",
        _markdown(_chance_rates(shown)[columns].reset_index()),
        "",
        f"Below, {CELL}.",
    ]
    for use in USES:
        if (data[use] != "").any():
            by = ("kind", "company", "truth") if use == "verdict" else ("kind", "company")
            lines += [
                "",
                f"### {_HEADINGS[use]}",
                "",
                _markdown(cells(shown, use, across="rows", by=by)[columns].reset_index()),
            ]
    return "\n".join(lines)


def _chance_rates(data: pd.DataFrame) -> pd.DataFrame:
    """``supported / misleading`` of maps that say nothing, by use and rows."""
    of_chance = data[data["kind"].isin(CHANCE_KINDS)]
    rates = {
        use: {
            rows: f"{(part[use] == 'supported').mean():.1%} / {(part[use] == 'misleading').mean():.1%}"
            for rows, part in of_chance[of_chance[use] != ""].groupby("rows")
        }
        for use in USES
        if (of_chance[use] != "").any()
    }
    return pd.DataFrame(rates).T.rename_axis("use")


_YES = {True: "yes", False: "**no**"}
_TRUTH = {True: "given", False: "withheld"}
_HEADINGS = {
    "verdict": "The word in all",
    "order": "Order",
    "shares": "Shares",
    "sign": "Sign",
}


def _markdown(data: pd.DataFrame) -> str:
    lines = [list(data.columns), ["---"] * len(data.columns), *data.astype(str).values.tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_between(path: Path, figures: str) -> None:
    """Put the figures between the markers of a page."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise SystemExit(f"{path} has not the lines '{BEGIN}' and '{END}' that the figures stand between.")
    path.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}", encoding="utf-8")


def _from_root(arguments: Sequence[str]) -> list[str]:
    """Arguments as they read from the root of the checkout, wherever the command was run: paths in it begin there."""
    root = Path(__file__).resolve().parents[1]
    paths = [Path(a).resolve() for a in arguments]
    return [
        path.relative_to(root).as_posix() if path.is_file() and path.is_relative_to(root) else argument
        for argument, path in zip(arguments, paths, strict=True)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print the tables, and write what was asked for."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs=2, type=int, default=(MEASURED_ON, MEASURED_ON + 10), metavar=("FROM", "TO"))
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--company", nargs="+", choices=COMPANIES, default=tuple(COMPANIES))
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--relation", nargs="+", choices=RELATIONS, default=RELATIONS)
    parser.add_argument("--truth", nargs="+", choices=("given", "withheld"), default=("given", "withheld"))
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, help="write every outcome to this CSV file")
    parser.add_argument("--write", type=Path, help="write the figures between the markers of this page")
    options = parser.parse_args(arguments)
    data = run(
        range(*options.seeds),
        rows=options.rows,
        companies=options.company,
        truths=[truth == "given" for truth in options.truth],
        families=options.family,
        relations=options.relation,
        processes=options.processes,
    )
    if options.out:
        data.to_csv(options.out, index=False)
    if options.write:
        write_between(options.write, page(data, f"python benchmarks/verdicts.py {' '.join(_from_root(arguments))}"))
    print(summary(data))


if __name__ == "__main__":
    main()
