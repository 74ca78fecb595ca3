"""Rows of the record, picked and ordered: what figures, page and tables share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
Row = Mapping[str, Any]

_MAIN = ("pairwise_rank_agreement", "spearman", "kendall")


def of_head(record: Record, table: str, head: str) -> list[Row]:
    """Rows of a table about one target."""
    return [row for row in record.get(table, ()) if row["head"] == head]


def labels(rows: Iterable[Row], key: str) -> list[str]:
    """Different values of a key, in order."""
    return list(dict.fromkeys(row[key] for row in rows))


def signed_labels(record: Record) -> list[str]:
    """Methods whose maps have a sign."""
    return [m["label"] for m in record["methods"] if m["signed"]]


def left_out(record: Record) -> dict[str, Sequence[str]]:
    """Method -> streams that it says nothing of, for the methods that leave any out."""
    return {m["label"]: m["unexplained"] for m in record["methods"] if m.get("unexplained")}


def told(record: Record, table: str, head: str) -> list[Row]:
    """Rows of a table about one target and the streams that their method speaks of."""
    silent = left_out(record)
    return [row for row in of_head(record, table, head) if row["stream"] not in silent.get(row["method"], ())]


def head_unit(record: Record, target: str) -> str:
    """Physical unit of the head behind a target, "" when it has none."""
    head = next(t["head"] for t in record["targets"] if t["name"] == target)
    return next((h["unit"] for h in record["model"]["heads"] if h["name"] == head), "")


def space_streams(record: Record) -> Sequence[Row]:
    """The streams that the maps lie on; older records know those of the model alone."""
    found: Sequence[Row] = record["space"].get("streams") or record["model"]["streams"]
    return found


def true_features(record: Record, target: str) -> Mapping[str, Sequence[str]]:
    """``{stream: [feature, ...]}`` known to matter, in the space of the comparison; older records: as it was given."""
    if "true_features" in record:
        found: Mapping[str, Sequence[str]] = record["true_features"].get(target, {})
        return found
    given: Mapping[str, Sequence[str]] = (record["truth"] or {}).get(target, {})
    return given


def feature_ranking(record: Record, head: str) -> list[tuple[str, str]]:
    """``(stream, feature)`` by the largest share that any method gives it, largest first."""
    rows = [r for r in of_head(record, "features", head) if r["mean_abs"] is not None]
    totals = {m: sum(r["mean_abs"] for r in rows if r["method"] == m) or 1.0 for m in labels(rows, "method")}
    best: dict[tuple[str, str], float] = {}
    for r in rows:
        key = (r["stream"], r["feature"])
        best[key] = max(best.get(key, 0.0), r["mean_abs"] / totals[r["method"]])
    return sorted(best, key=lambda key: -best[key])


def main_agreement(record: Record, head: str) -> tuple[str, int | None] | None:
    """The agreement metric to show first: one over all features, with a number; None without any."""
    rows = [r for r in of_head(record, "scores", head) if r["family"] == "agreement" and r["role"] == "value"]
    known = [(r["metric"], r["k"]) for r in rows if r["estimate"] is not None]
    return next((c for metric in _MAIN for c in known if c[0] == metric), known[0] if known else None)


def agreement_pairs(record: Record, head: str, metric: str, k: int | None) -> dict[tuple[str, str], dict[str, Row]]:
    """``(method, other) -> {role: row}`` of one agreement metric, for the pairs whose value is known."""
    found = beside([r for r in of_head(record, "scores", head) if (r["metric"], r["k"]) == (metric, k)])
    return {
        (method, other): roles
        for (_, _, _, method, other), roles in found.items()
        if other is not None and "value" in roles and roles["value"]["estimate"] is not None
    }


def beside(scores: Sequence[Row]) -> dict[tuple[str, str, int | None, str, str | None], dict[str, Row]]:
    """Scores with their floors and ceilings: ``(family, metric, k, method, other) -> {role: row}``."""
    found: dict[tuple[str, str, int | None, str, str | None], dict[str, Row]] = {}
    for r in scores:
        found.setdefault((r["family"], r["metric"], r["k"], r["method"], r["other"]), {})[r["role"]] = r
    return found
