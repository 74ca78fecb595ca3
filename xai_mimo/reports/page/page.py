"""The comparison as one HTML file that needs nothing else: no network, no fonts, no folder beside it.

The same record gives the same bytes: no clock, no random ids.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xai_mimo.record.check import check
from xai_mimo.record.files import write_text
from xai_mimo.record.frozen import thawed
from xai_mimo.record.rows import Record
from xai_mimo.record.select import signed_labels_of, unexplained_streams
from xai_mimo.record.words import RANDOM
from xai_mimo.reports import numbers
from xai_mimo.reports.figures.palette import styles
from xai_mimo.reports.page.sections import SECTIONS
from xai_mimo.reports.signs import colours_of_signs
from xai_mimo.reports.verdicts import MEANINGS, UNSAID, USES, evidence_by_use, uses


def render(record: Record | Mapping[str, Any]) -> str:
    """The report as HTML text.

    Args:
        record: the comparison record (docs/architecture.md): ``Comparison.record``, or its plain values.
    Returns:
        One self-contained page; equal records give equal text.
    Raises:
        SchemaError: see ``record.check``.
    """
    record = check(record)
    contents = [(section, section.content(record)) for section in SECTIONS]
    environment = _environment()
    script = Markup(environment.get_template("report.js").render())
    return environment.get_template("report.html").render(
        record=record,
        sections=[(section, content) for section, content in contents if content is not None],
        left_out=unexplained_streams(record),
        meanings=MEANINGS,
        use_meanings=USES,
        unsaid=UNSAID,
        controls=numbers.CONTROLS,
        styles=styles(record),
        sign_colours=colours_of_signs(record),
        growing=signed_labels_of(record, "sensitivity"),
        random=RANDOM,
        roles=numbers.ROLES,
        title_of=functools.partial(numbers.metric_title, record),
        script=script,
        policy=_policy(script),
    )


def write(record: Record | Mapping[str, Any], path: str | Path) -> Path:
    """Write the report to a file, whole or not at all.

    Returns:
        The path.
    Raises:
        SchemaError: see ``record.check``. FileProblem: the file cannot be written.
    """
    return write_text(render(record), path)


def _policy(script: str) -> str:
    """What a browser may do for the page: show it, and run this script alone, whatever a name in it contains.

    Styles stand in attributes too, as figures have them, and pictures within figures are part of the file.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("xai_mimo.reports.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=numbers.number,
        p_value=numbers.p_value,
        percent=numbers.percent,
        interval=numbers.interval,
        whole=numbers.whole,
        readable=numbers.readable,
        settings=_settings,
        uses=uses,
        evidence_by_use=evidence_by_use,
    )
    return environment


def _settings(values: Mapping[str, Any]) -> str:
    """Settings as ``name = value`` in one line each."""
    return "\n".join(f"{name} = {json.dumps(thawed(value), ensure_ascii=False)}" for name, value in values.items())
