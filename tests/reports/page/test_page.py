"""The page: well formed, self-contained, complete, and names that are hostile stay text."""

import base64
import copy
import dataclasses
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.helpers.pictured_record import pictured_record
from tests.helpers.records import AWKWARD, HOSTILE, make_record
from xai_mimo.comparison.case import AGAINST, FOR
from xai_mimo.core.errors import FileProblem
from xai_mimo.record import json_file
from xai_mimo.record.check import check
from xai_mimo.reports.numbers import number
from xai_mimo.reports.page import page as html
from xai_mimo.reports.page.examples import title_of_example

pytestmark = pytest.mark.all_frameworks

_VOID = {"meta", "link", "br", "hr", "img", "input"}


class _Reader(HTMLParser):
    """What a browser would see: elements with their attributes, text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def record():
    return make_record(2, silent_head=True)


@pytest.fixture(scope="module")
def page(record):
    return html.render(record)


@pytest.fixture(scope="module")
def hostile_page():
    return html.render(
        make_record(
            1,
            rows=1,
            head_names=(HOSTILE,),
            method_names=(HOSTILE, AWKWARD),
            features={HOSTILE: (HOSTILE, AWKWARD), AWKWARD: ("_plain", "line\nbreak\x00")},
        )
    )


def test_every_element_is_closed(page, hostile_page):
    assert _Reader(page).open == []
    assert _Reader(hostile_page).open == []


def test_names_are_text_and_never_markup(hostile_page):
    reader = _Reader(hostile_page)
    assert len(reader.all("script")) == 1
    assert "<script>alert" not in hostile_page
    assert HOSTILE in reader.text
    assert AWKWARD in reader.text


def test_a_hostile_name_in_every_text_of_the_record_stays_text():
    record = make_record(1, rows=1, methods=1, features={"u": ("a",)})
    record["title"] = record["command"] = record["model"]["name"] = record["space"]["text"] = HOSTILE
    record["versions"] = record["references"] = {HOSTILE: HOSTILE}
    record["verdicts"][0] |= {"text": HOSTILE, "evidence": [HOSTILE]}
    record["methods"][0]["settings"] = {HOSTILE: HOSTILE}
    record["model"]["heads"][0]["unit"] = HOSTILE
    record["examples"][0]["label"] = HOSTILE
    assert "<script>alert" not in html.render(record)


def test_the_page_loads_nothing(page):
    for tag, attrs in _Reader(page).elements:
        for name in ("src", "href", "srcset", "data", "xlink:href", "action", "poster"):
            assert (attrs.get(name) or "#").startswith("#"), (tag, attrs)
    assert not re.search(r"@import|@font-face|url\((?!#)|https?://", page)
    assert "fetch(" not in page
    assert "XMLHttpRequest" not in page


def test_ids_are_unique_and_every_reference_has_its_target(page):
    elements = _Reader(page).elements
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    anchors = {attrs["href"][1:] for _, attrs in elements if (attrs.get("href") or "").startswith("#")}
    assert anchors | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_every_score_is_on_the_page(record, page):
    text = _Reader(page).text
    missing = [
        row
        for row in (*record["scores"], *record["differences"])
        for value in (row["estimate"], row["low"], row["high"])
        if number(value) not in text
    ]
    assert missing == []


def test_a_null_is_a_dash_with_its_note(page):
    reader = _Reader(page)
    assert "–" in reader.text
    assert "undefined in all rows: the head is constant" in reader.text
    assert "None" not in reader.text
    assert not re.search(r"\b(nan|inf)\b", reader.text)


def test_the_summary_names_each_verdict_with_its_heads(record, page):
    text = _Reader(page).text
    for verdict in record["verdicts"]:
        assert verdict["text"] in text
        assert all(line.split(": ", 1)[-1] in text for line in verdict["evidence"])
    for meaning in ("borne out by the model", "neither borne out nor", "contradicted by", "could not be tested"):
        assert meaning in text


def test_what_is_said_of_all_methods_alike_is_said_once():
    record = make_record(1, methods=2, rows=1, silent_head=True)
    for row in record["verdicts"]:
        row["text"] = f"Nothing of {HOSTILE}."
    text = _Reader(html.render(record)).text
    assert text.count(f"attention, integrated_gradients ? undecided Nothing of {HOSTILE}.") == 1
    assert text.count("Nothing of") == 1
    record["verdicts"][0]["text"] = "Nothing of another."
    assert _Reader(html.render(record)).text.count("Nothing of") == 2


def test_the_matrix_says_of_each_use_in_words_and_signs(record, page):
    reader = _Reader(page)
    labels = [a["aria-label"] for a in reader.all("span") if a.get("role") == "img"]
    words = ("order", "shares", "sign")
    said = [f"{use}: {v.get(use, 'not judged')}" for v in record["verdicts"] for use in words]
    assert labels == said
    for meaning in ("which inputs matter more than which", "how much each counts", "whether it raises or lowers"):
        assert meaning in reader.text
    first = record["verdicts"][1]
    glyph = {"supported": "✔", "doubtful": "~", "misleading": "✖"}
    cards = " ".join(
        f"{use.capitalize()} {glyph[first[use]]} {first[use]} {said}"
        for use, said in zip(words, ("0.12 gained.", "61% lie where the effect is.", "none is wrong."), strict=True)
    )
    start = f"{first['method']} {glyph[first['verdict']]} {first['verdict']} {first['text']}"
    assert f"{start} {cards} Also measured Agreement, which decides nothing: 72%." in reader.text


def test_a_table_says_for_which_heads_each_use_is_supported():
    record = make_record(2, methods=2)
    words = iter(["supported", "supported", "doubtful", "misleading"])
    for row in record["verdicts"]:
        row |= {"verdict": next(words), "order": "supported", "shares": "doubtful"}
        row.pop("sign", None)
    record["verdicts"][1]["sign"] = "supported"
    text = _Reader(html.render(record)).text
    said = "not judged"
    assert f"attention unsigned map all 2 heads no head {said} – integrated_gradients all 2 heads no head" in text
    assert "no head heat dissipation failure power failure" in text


def test_a_record_with_one_word_for_a_map_is_shown_as_before():
    record = make_record(2, uses=False)
    page = html.render(record)
    text = _Reader(page).text
    assert "which inputs matter more than which" not in text
    assert 'class="use' not in page
    assert "the evidence supports using this map" in text
    assert "Paired differences in faithfulness (3 rows) Positive: the first is better. p-values by sign flips" in text


def test_tests_say_what_maps_are_held_against_and_over_what_p_is_corrected(record, page):
    text = _Reader(page).text
    assert "Tests that the verdicts rest on (9 rows) Positive" in text
    assert "Methods against each other (3 rows) Positive" in text
    against = [f"attention {control} " for control in ("a random order", "its own map permuted", "chance")]
    places = [text.index(words) for words in against]
    assert places == sorted(places)
    assert places[-1] < text.index("shapley a random order ")
    assert "Metric Method Held against Difference" in text
    assert "Metric First Second Difference" in text
    assert "< .001 .012" in text
    assert "over all tests of one method in this table" in text
    assert (FOR, AGAINST) == (0.05, 0.01)
    assert "decides, for the method at .05 and below, against it at .01 and below" in text


def test_sensitivities_are_marked_wherever_a_sign_is_shown():
    assert "if it grows" not in html.render(make_record(1, methods=2))
    record = pictured_record(methods=5)
    text = _Reader(html.render(record)).text
    colours = "(of gradient: blue where it rises when the feature grows, orange where it falls)"
    # Direction in two streams; and of each of three rows two pictures, a text and a table.
    assert text.count(colours) == 2 + 3 * (2 + 1 + 1)
    assert text.count("gradient if it grows") == 6
    assert "Sensitivities (gradient) tell what happens when a feature grows" in text
    assert "signed: what happens when a feature grows" in text


def test_bars_of_maps_without_a_sign_are_violet():
    page = html.render(make_record(1, methods=2, rows=1))
    assert len(re.findall(r'class="num bar weight"', page)) == len(re.findall(r'class="num bar (?:up|down)"', page)) > 0
    record = make_record(1, methods=1, rows=1)
    assert not re.search(r'class="num bar (up|down)"', html.render(record))


def test_the_header_counts_heads_and_targets_apart():
    record = make_record(2, rows=1, methods=1, features={"u": ("a",)})
    assert "Heads 2 Rows explained" in _Reader(html.render(record)).text
    record["model"]["heads"] = record["model"]["heads"][:1]
    assert "Heads 1, 2 targets explained Rows explained" in _Reader(html.render(record)).text


def test_space_sign_versions_and_hash_are_told(record, page):
    text = _Reader(page).text
    assert record["space"]["text"] in text
    assert "unsigned map" in text
    assert record["data"]["sha256"] in text
    assert record["command"] in text
    assert "95 % intervals over rows" in text
    assert all(version in text for version in record["versions"].values())
    assert "@misc{mail2025," in text


def test_figures_have_descriptions_and_text_that_can_be_selected(page):
    drawings = _Reader(page).all("svg")
    assert len(drawings) >= 10
    assert all(d["role"] == "img" and d["aria-label"] for d in drawings)
    assert re.search(r"<text[^>]*>torque</text>", page)


def test_the_same_record_gives_the_same_bytes_also_from_its_json(record, page, tmp_path):
    again = json_file.from_json(json_file.write(record, tmp_path / "record.json"))
    written = html.write(again, tmp_path / "report.html")
    assert written.read_bytes() == page.encode()


def test_the_record_is_left_as_it_was():
    record = make_record(1, rows=1, methods=1, features={"u": ("a",)})
    before = copy.deepcopy(record)
    html.render(record)
    assert record == before


def test_one_row_one_feature_no_truth_no_examples():
    record = make_record(1, rows=1, methods=1, truth=False, examples=False, features={"u": ("a",)})
    record["task"] = []
    text = _Reader(html.render(record)).text
    assert "one row: no interval" in text
    assert "Examples of single rows" not in text
    assert "Task scores" not in text
    assert "Ground truth against" not in text


def test_a_record_without_optional_tables_or_features():
    record = make_record(1, truth=False)
    for key in ("task", "differences"):
        del record[key]
    for key in ("features", "scores", "curves", "gaps", "verdicts", "shares", "examples"):
        record[key] = []
    text = _Reader(html.render(record)).text
    assert "This record holds no verdict for this head." in text


def test_whole_streams_and_time_series_in_examples():
    record = make_record(1, methods=1, features={"u": ("a", "b"), "v": ("c",)})
    record["examples"] = [
        {
            "row": 5,
            "head": record["targets"][0]["name"],
            "prediction": 1.0,
            "label": [0.0, 1.0],
            "inputs": {"u": [[1.0, 2.0], [3.0, 4.0]], "v": [7.0]},
            "values": {"attention": {"u": [[0.5, 0.125], [0.25, 0.25]], "v": 0.0625}},
        }
    ]
    text = _Reader(html.render(record)).text
    assert "u a – 0.750" in text  # summed over time, without a single input value
    assert "u b – 0.375" in text
    assert "v c 7.00 0.0625" in text


def titles_of(record, **changes):
    """Titles of the first example of a record with another head, target and row."""
    record = check(record)
    head = dataclasses.replace(record.model.heads[0], **changes.get("head", {}))
    model = dataclasses.replace(record.model, heads=(head,))
    target = dataclasses.replace(record.targets[0], **changes.get("target", {}))
    row = dataclasses.replace(record.examples[0], **changes.get("row", {}))
    changed = dataclasses.replace(record, model=model, targets=(target,), examples=(row,))
    return title_of_example(changed, row)


def test_the_title_of_an_example_names_the_class_the_unit_and_the_label():
    record = make_record(1, methods=1, features={"u": ("a",)})
    assert titles_of(record) == "Row 812: prediction 0.974 probability, label 1"
    classes = {"kind": "multiclass", "units": ("cat", "dog"), "unit": "logit"}
    by_row = {"head": classes, "target": {"unit": "predicted"}, "row": {"unit": "cat", "label": 1.0}}
    assert titles_of(record, **by_row) == "Row 812: predicted class cat (0.974 logit), label dog"
    by_label = by_row | {"target": {"unit": "label"}, "row": {"unit": "dog", "label": 1}}
    assert titles_of(record, **by_label) == "Row 812: explained its label dog (0.974 logit), label dog"
    older = by_row | {"row": {"unit": None, "label": None}}
    assert titles_of(record, **older) == "Row 812: prediction 0.974 logit"
    quantity = {"head": {"kind": "regression", "unit": ""}, "row": {"label": (2.0, 0.5)}}
    assert titles_of(record, **quantity) == "Row 812: prediction 0.974, label [2.00, 0.500]"


def test_a_head_says_which_of_its_units_is_explained_where_there_are_several():
    record = make_record(1, methods=1, rows=1, features={"u": ("a",)})
    text = _Reader(html.render(record)).text
    assert "binary, in probability" in text
    assert "explained" not in text[text.index("binary, in probability") :][:60]
    record["model"]["heads"][0]["units"] = ["a", "b"]
    assert "; explained unit: heat dissipation failure" in _Reader(html.render(record)).text
    record["targets"][0]["unit"] = "predicted"
    assert "; explained: the class that is predicted in each row" in _Reader(html.render(record)).text


@pytest.fixture(scope="module")
def pictured_page():
    return html.render(
        pictured_record(
            streams=(HOSTILE, AWKWARD, "text"),
            features=(HOSTILE, "b"),
            words=(HOSTILE, "<b>bold</b>", "&amp;", *["x"] * 9),
            layer=HOSTILE,
            head=HOSTILE,
            methods=2,
        )
    )


def test_pictures_words_and_layers_stay_text_and_load_nothing(pictured_page):
    reader = _Reader(pictured_page)
    assert reader.open == []
    assert len(reader.all("script")) == 1
    assert "<script>alert" not in pictured_page
    assert "<b>bold" not in pictured_page
    for word in (HOSTILE, "<b>bold</b>", "&amp;", "x × 9"):
        assert word in reader.words
    images = reader.all("image")
    assert len(images) > 20
    assert all(i["href"].startswith("data:image/png;base64,") for i in images)
    assert not re.search(r"url\((?!#)|https?://", pictured_page)
    ids = [attrs["id"] for _, attrs in reader.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_layers_have_a_section_with_their_notes(pictured_page, page):
    text = _Reader(pictured_page).text
    assert "What the layers say of themselves" in text
    assert f"Layer {HOSTILE} (10 maps)" in text
    assert "large: left out: too many values" in text
    assert "blocks of 2 x 2 pixels" in text
    assert "What the layers say of themselves" not in _Reader(page).text


def test_images_and_texts_are_not_in_the_table_of_features(pictured_page):
    reader = _Reader(pictured_page)
    tables = [a["aria-label"] for a in reader.all("div") if (a.get("aria-label") or "").startswith("Row ")]
    assert len(tables) == 3
    rows = re.findall(r"<tr><td>(.*?)</td>", pictured_page)
    assert not [r for r in rows if r in ("text", AWKWARD)]


def test_a_table_of_many_features_is_cut_and_says_so():
    record = make_record(1, methods=2, features={"u": tuple(f"f{i}" for i in range(120))})
    page = html.render(record)
    assert (
        page.count('<td class="num">', page.index('aria-label="Feature maps'), page.index("Can they be believed?"))
        == 200
    )
    assert "70 smaller features are in the record" in page


def test_streams_with_many_features_are_not_listed_in_full():
    record = make_record(1, methods=1, features={"u": tuple(f"f{i}" for i in range(784))})
    text = _Reader(html.render(record)).text
    assert "f39, … 784 in all" in text
    assert "f40, f41" not in text


@pytest.mark.slow
def test_three_heads_over_a_square_image_stay_small():
    record = pictured_record(pixels=(28, 28), methods=4)
    one = record["targets"][0]["name"]
    for table in (
        "scores",
        "differences",
        "shares",
        "features",
        "curves",
        "gaps",
        "examples",
        "verdicts",
        "stream_maps",
    ):
        record[table] = [r | {"head": f"h{i}"} for i in range(3) for r in record[table] if r["head"] == one]
    record["targets"] = [{"name": f"h{i}", "head": one, "unit": "0"} for i in range(3)]
    assert len(html.render(record).encode()) < 2_000_000
    assert len(json_file.to_json(record)) < 1_500_000


@pytest.mark.slow
def test_twelve_heads_stay_small_and_only_the_first_is_open():
    page = html.render(make_record(12, methods=4))
    assert len(page.encode()) < 4_000_000
    sections = [a for a in _Reader(page).all("details") if a.get("class") == "section"]
    assert len(sections) == 12
    assert ["open" in a for a in sections] == [True] + 11 * [False]


def test_colours_of_text_have_enough_contrast():
    css = html.render(make_record(1, rows=1, methods=1, features={"u": ("a",)}))
    light, dark = re.findall(r":root \{(.*?)\}", css, flags=re.S)[:2]
    for theme in (light, dark):
        colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", theme))
        for text in ("ink", "muted", "link"):
            assert all(_contrast(colour[text], colour[back]) >= 4.5 for back in ("paper", "card", "wash"))
        for word in ("good", "fair", "bad", "none"):
            assert _contrast(colour[word], colour[f"{word}-bg"]) >= 4.5


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of the Web Content Accessibility Guidelines 2.1."""

    def luminance(colour: str) -> float:
        c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_folder_is_not_overwritten(record, tmp_path):
    with pytest.raises(FileProblem, match="it is a folder"):
        html.write(record, tmp_path)


def test_a_browser_may_run_the_pages_script_and_nothing_else():
    text = html.render(make_record(2))
    (policy,) = [m["content"] for m in _Reader(text).all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "beforeprint" in script
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert text.index("Content-Security-Policy") < min(text.index("<title>"), text.index("<style>"))


_BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(_BROWSER is None, reason="no browser")
def test_in_a_browser_nothing_of_the_page_is_blocked_and_what_is_put_in_is(page, pictured_page, tmp_path):
    shown, complaints = _in_browser(page, tmp_path)
    assert not complaints
    assert '<div class="tools">' in shown  # hidden without the script
    _, complaints = _in_browser(pictured_page, tmp_path)
    assert not complaints
    strange = "<script>document.title = 'taken'</script><b onclick='1'>x</b></main>"
    shown, complaints = _in_browser(page.replace("</main>", strange), tmp_path)
    assert "Content Security Policy" in complaints
    assert "<title>taken" not in shown


def _in_browser(text, folder):
    page = folder / "r.html"
    page.write_text(text, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    command = [_BROWSER, *options, f"--user-data-dir={folder / 'profile'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
