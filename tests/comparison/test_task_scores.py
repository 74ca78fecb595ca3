"""Task scores: scikit-learn, closed forms, what cannot be scored, and heads that have not been learnt."""

import numpy as np
import pytest
from sklearn import metrics

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.comparison.task_scores import LEARNT, estimates, is_learnt, task_rows, task_scores, unlearnt_heads
from xai_mimo.core.errors import SchemaError, UnknownName
from xai_mimo.core.streams import Head
from xai_mimo.record.check import check
from xai_mimo.record.results import TaskRow

pytestmark = pytest.mark.all_frameworks

FAST = Settings(ceilings=False, resamples=200, steps=3, controls=1)


def scores(kind, labels, outputs, shape=None, units=()):
    outputs = np.asarray(outputs, dtype=np.float64)
    head = Head("y", shape or outputs.shape[1:], kind, units)
    return {s.metric: s for s in task_scores([head], {"y": np.asarray(labels)}, {"y": outputs})["y"]}


def why_not(*args, **kwargs):
    (score,) = scores(*args, **kwargs).values()
    assert score.estimate is None
    return score.note


@pytest.mark.parametrize("digits", [0, 8])
def test_scores_of_classes_equal_scikit_learn_with_and_without_ties(rng, digits):
    labels = rng.integers(0, 2, 60)
    outputs = np.round(labels + 2 * rng.standard_normal(60), digits)
    own = scores("binary", labels, outputs[:, None])
    assert own["average_precision"].estimate == pytest.approx(metrics.average_precision_score(labels, outputs))
    assert own["average_precision"].chance == labels.mean()
    assert own["auroc"].estimate == pytest.approx(metrics.roc_auc_score(labels, outputs))
    assert own["auroc"].chance == 0.5


def test_several_classes_count_alike_however_rare(rng):
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    logits = 2.0 * np.eye(3)[labels] + rng.standard_normal((100, 3)) + 9.0 * rng.standard_normal((100, 1))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    hot = np.eye(3, dtype=int)[labels]
    slow = np.mean([metrics.average_precision_score(hot[:, c], chances[:, c]) for c in range(3)])
    for outputs in (chances, logits):
        own = scores("multiclass", labels, outputs)
        assert own["average_precision"].estimate == pytest.approx(slow)
        assert own["average_precision"].chance == pytest.approx(1 / 3)
        assert own["accuracy"].estimate == (logits.argmax(axis=1) == labels).mean()
        assert own["accuracy"].chance == 0.7
    assert scores("multiclass", hot, logits) == own
    assert scores("multiclass", np.array(["low", "mid", "top"])[labels], logits, units=("low", "mid", "top")) == own


def test_a_rare_class_that_is_found_and_never_named_is_learnt(rng):
    labels = (np.arange(200) >= 190).astype(int)
    score = 1.0 * labels + 0.3 * rng.standard_normal(200) - 4.0
    own = scores("multiclass", labels, np.stack([np.zeros(200), score], axis=1))
    assert own["accuracy"].estimate == own["accuracy"].chance
    assert is_learnt(own["average_precision"])


def test_several_labels_are_scored_one_by_one_where_they_vary(rng):
    labels = rng.integers(0, 2, (40, 3))
    labels[:, 2] = 1
    outputs = rng.standard_normal((40, 3))
    own = scores("multilabel", labels, outputs)["average_precision"]
    slow = [metrics.average_precision_score(labels[:, u], outputs[:, u]) for u in (0, 1)]
    assert own.estimate == pytest.approx(np.mean(slow))
    assert own.chance == labels[:, :2].mean()
    assert own.note == "over the 2 of 3 units that vary"


def test_quantities_equal_scikit_learn_and_each_unit_has_its_own_mean(rng):
    labels = rng.standard_normal((30, 2)) + np.array([0.0, 100.0])
    outputs = labels + 0.5 * rng.standard_normal((30, 2))
    own = scores("regression", labels, outputs)
    assert own["r2"].estimate == pytest.approx(metrics.r2_score(labels, outputs, multioutput="variance_weighted"))
    assert own["r2"].chance == 0.0
    assert own["rmse"].estimate == pytest.approx(np.sqrt(metrics.mean_squared_error(labels, outputs)))
    assert own["rmse"].chance is None
    mean = np.tile(labels.mean(axis=0), (30, 1))
    assert not is_learnt(scores("regression", labels, mean)["r2"])


def test_values_of_all_steps_count_alike(rng):
    labels = rng.integers(0, 2, (30, 4))
    outputs = rng.standard_normal((30, 4))
    flat = scores("binary", labels.ravel(), outputs.reshape(-1, 1))
    assert scores("binary", labels, outputs) == flat
    classes = rng.integers(0, 3, (30, 4))
    logits = rng.standard_normal((30, 4, 3))
    assert scores("multiclass", classes, logits) == scores("multiclass", classes.ravel(), logits.reshape(-1, 3))


def test_labels_on_another_scale_are_not_held_against_a_head(rng):
    labels = 300.0 + 20.0 * rng.standard_normal(40)
    own = scores("regression", labels, ((labels - 300) / 20)[:, None])
    assert own["r2"].estimate < -100
    assert own["r2"].note == "labels and outputs differ in scale or offset: after a straight line r2 would be 1"
    assert is_learnt(own["r2"]) is None
    upside_down = scores("regression", labels, ((300 - labels) / 20)[:, None])
    assert is_learnt(upside_down["r2"]) is False


def test_rows_without_a_label_are_left_out(rng):
    labels = rng.standard_normal(30)
    outputs = labels[:, None] + 0.1
    some = np.where(np.arange(30) < 12, labels, np.nan)
    own = scores("regression", some, outputs)["r2"]
    assert own.estimate == pytest.approx(metrics.r2_score(labels[:12], outputs[:12, 0]))
    assert own.note == "over the 12 of 30 rows that have a label"
    hot = np.eye(2)[rng.integers(0, 2, 30)]
    hot[12:] = np.nan
    assert "12 of 30 rows" in scores("multiclass", hot, rng.standard_normal((30, 2)))["average_precision"].note


NOISE = np.random.default_rng(5).standard_normal((20, 3))
HALF = np.arange(20) % 2


@pytest.mark.parametrize(
    ("kind", "labels", "outputs", "note"),
    [
        ("regression", np.full(20, 3.3), NOISE[:, :1], None),
        ("binary", np.ones(20), NOISE[:, :1], "all labels are alike"),
        ("multiclass", np.ones(20, int), NOISE, "all labels are alike"),
        ("binary", np.linspace(0, 1, 20), NOISE[:, :1], "labels are not two classes but 20 values"),
        ("multiclass", HALF + 2, NOISE, "labels are not the classes 0 to 2"),
        ("multiclass", np.full(20, "x"), NOISE, r"labels are text, and not names of the head's units (0, 1, 2)"),
        ("binary", np.array(["no", "yes"])[HALF], NOISE[:, :1], "labels are no numbers but <U3"),
        ("binary", HALF.astype(object), NOISE[:, :1], "labels are no numbers but object"),
        ("regression", NOISE[:, 0], NOISE, "labels of shape (20,) do not fit outputs of shape (20, 3)"),
        ("binary", HALF[:4], NOISE[:4, :1], "only 4 rows have a label; a score asks for at least 10"),
        ("regression", np.full(20, np.nan), NOISE[:, :1], "only 0 rows have a label; a score asks for at least 10"),
        ("binary", HALF, NOISE[:, :1] * np.inf, "outputs or labels are not all finite"),
    ],
)
def test_what_cannot_be_scored_says_why(kind, labels, outputs, note):
    if note is None:
        own = scores(kind, labels, outputs)
        assert (own["r2"].estimate, own["r2"].note) == (None, "all labels are alike")
        assert own["rmse"].estimate > 0
        return
    assert why_not(kind, labels, outputs) == note


def rows_of(**numbers):
    plain = {"model": "m", "head": "y", "metric": "r2", "estimate": 0.0, "low": None, "high": None, "seeds": 1}
    return [TaskRow(**{**plain, **numbers})]


def test_a_head_is_learnt_beyond_a_tenth_of_the_way_from_guessing_to_perfect():
    assert LEARNT == 0.1
    for chance, enough in ((0.0, 0.1), (0.5, 0.55), (0.005, 0.1045)):
        assert not is_learnt(rows_of(estimate=enough, chance=chance)[0])
        assert is_learnt(rows_of(estimate=enough + 1e-9, chance=chance)[0])
    assert is_learnt(rows_of(estimate=-5.0)[0]) is None


def test_the_sentence_names_the_numbers_that_decide():
    rows = rows_of(head="twf", metric="average_precision", estimate=0.0712, chance=0.0049)
    assert unlearnt_heads(rows, {"twf": "twf"})["twf"] == (
        "Head 'twf' has not been learnt well enough (average precision 0.071, where guessing gives 0.0049 and more than "
        "0.1 would count as learnt): whatever its maps show is of a model that hardly knows the head."
    )
    several = rows_of(estimate=-0.2, chance=0.0, seeds=5)
    assert "(R2 -0.2 on average over 5 trainings, where" in unlearnt_heads(several, {"y:p10": "y"})["y:p10"]
    assert unlearnt_heads(several, {"z": "z"}) == {}


def test_the_first_score_that_knows_what_guessing_gives_decides():
    rmse = rows_of(metric="rmse", estimate=9.0)
    learnt, not_learnt = rows_of(estimate=0.9, chance=0.5), rows_of(estimate=0.5, chance=0.5)
    assert unlearnt_heads([*rmse, *learnt, *not_learnt], {"y": "y"}) == {}
    assert unlearnt_heads([*rmse, *not_learnt, *learnt], {"y": "y"})
    assert unlearnt_heads(rmse, {"y": "y"}) == {}
    of_target = rows_of(head="y:p10", estimate=0.9, chance=0.5)
    assert set(unlearnt_heads([*of_target, *not_learnt], {"y:p10": "y", "y:p90": "y"})) == {"y:p90"}


def test_scores_become_rows_and_plain_numbers():
    own = task_scores([Head("y")], {"y": np.full(20, 2.0)}, {"y": np.zeros((20, 1))})
    assert estimates(own) == {"y": {"rmse": 2.0}}
    r2, rmse = task_rows("m", own, "over all")
    assert (r2.estimate, r2.note) == (None, "all labels are alike")
    assert (rmse.estimate, rmse.note, rmse.model, rmse.seeds) == (2.0, "over all", "m", 1)


@pytest.fixture
def model():
    def net(v):
        return {"known": v @ [2.0, -1.0, 0.0], "unknown": v @ [0.0, 1.0, 1.0], "unlabelled": v @ [1.0, 0.0, 1.0]}

    return xm.adapt(net, streams={"v": 3}, heads={"known": 1, "unknown": 1, "unlabelled": 1})


@pytest.fixture
def x(rng):
    return {"v": rng.standard_normal((60, 3))}


def compared(model, x, **kwargs):
    labels = {"known": x["v"] @ [2.0, -1.0, 0.0], "unknown": np.cos(7 * x["v"][:, 0])}
    return xm.compare(model, x, ["occlusion"], labels=labels, settings=FAST, **kwargs)


def test_a_head_that_has_not_been_learnt_is_undecided_and_others_keep_their_verdict(model, x):
    result = compared(model, x)
    check(result.to_dict())
    verdicts = {v.head: v for v in result.record.verdicts}
    assert verdicts["unknown"].verdict == "undecided"
    assert "Head 'unknown' has not been learnt well enough (R2 -" in verdicts["unknown"].text
    assert "undecided" not in {verdicts["known"].verdict, verdicts["unlabelled"].verdict}
    rows = {(r.head, r.metric): r for r in result.record.task}
    assert list(rows) == [(head, metric) for head in ("known", "unknown") for metric in ("r2", "rmse")]
    assert rows["known", "r2"].estimate == pytest.approx(1.0)
    assert rows["known", "r2"].note == "over 60 rows; one model: no interval"
    assert {r.model for r in rows.values()} == {result.record.model.name}


def test_the_score_is_over_all_rows_and_the_model_is_asked_once_for_it(model, x):
    whole = compared(model, x).record.task
    seen = []

    def spy(v):
        seen.append(len(v))
        return {"y": v[:, 0]}

    some = compared(model, x, rows=12)
    assert some.record.task == whole
    assert some.record.data.explained_rows == 12
    spied = xm.adapt(spy, streams={"v": 3}, heads={"y": 1})
    xm.compare(spied, x, ["occlusion"], labels={"y": x["v"][:, 0]}, rows=12, settings=FAST)
    assert seen.count(60) == 1


def test_what_is_known_of_the_task_takes_the_place_of_what_the_labels_tell(model, x):
    learnt = rows_of(head="unknown", metric="average_precision", estimate=0.8, chance=0.1)
    result = compared(model, x, task=learnt)
    assert "undecided" not in {v.verdict for v in result.record.verdicts}
    assert result.record.task[0] == learnt[0]
    assert [r.head for r in result.record.task] == ["unknown", "known", "known"]
    not_learnt = {"model": "m", "head": "known", "metric": "r2", "estimate": 0.0, "low": None, "high": None}
    verdicts = compared(model, x, task=[not_learnt | {"seeds": 1, "chance": 0.0}]).record.verdicts
    assert {v.head for v in verdicts if v.verdict == "undecided"} == {"known", "unknown"}


def test_bad_rows_of_the_task_are_refused(model, x):
    with pytest.raises(SchemaError, match=r"row 0 of task lacks model, metric"):
        compared(model, x, task=[{"head": "known"}])
    with pytest.raises(UnknownName, match="nown"):
        compared(model, x, task=rows_of(head="nown"))
    with pytest.raises(SchemaError, match="task takes a list of rows"):
        compared(model, x, task=rows_of()[0])


def test_a_report_shows_the_scores_of_the_labels(model, x, tmp_path):
    page = compared(model, x).report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Task scores" in page


def test_a_row_with_a_label_for_some_of_its_units_has_none(rng):
    labels = rng.standard_normal((30, 2))
    outputs = labels + 0.5 * rng.standard_normal((30, 2))
    labels[4, 1] = labels[7, 0] = np.nan
    known = np.delete(np.arange(30), [4, 7])
    own = scores("regression", labels, outputs)["r2"]
    slow = metrics.r2_score(labels[known], outputs[known], multioutput="variance_weighted")
    assert own.estimate == pytest.approx(slow)
    assert own.note == "over the 28 of 30 rows that have a label"
    yes = (labels > 0).astype(float)
    yes[4, 1] = yes[7, 0] = np.nan
    own = scores("multilabel", yes, outputs)["average_precision"]
    slow = [metrics.average_precision_score(yes[known, u], outputs[known, u]) for u in (0, 1)]
    assert own.estimate == pytest.approx(np.mean(slow))
    assert own.note == "over the 28 of 30 rows that have a label"
    hot = np.eye(2)[rng.integers(0, 2, 30)]
    hot[4, 1] = np.nan
    assert "29 of 30 rows" in scores("multiclass", hot, outputs)["average_precision"].note


def test_ten_labels_are_enough(rng):
    labels = np.where(np.arange(30) < 10, rng.standard_normal(30), np.nan)
    outputs = rng.standard_normal((30, 1))
    own = scores("regression", labels, outputs)["r2"]
    assert own.estimate == pytest.approx(metrics.r2_score(labels[:10], outputs[:10, 0]))
    labels[9] = np.nan
    assert why_not("regression", labels, outputs) == "only 9 rows have a label; a score asks for at least 10"
