"""What verdicts are measured with: answers that are right, and maps that have the fault they are called by."""

import itertools

import numpy as np
import pandas as pd
import pytest
import verdict_models as models
import verdicts

import xai_mimo as xm

pytestmark = pytest.mark.all_frameworks

MIXED = list(itertools.product(models.FAMILIES, models.RELATIONS))


@pytest.fixture(params=MIXED, ids="-".join)
def known(request):
    return models.known_model(3, *request.param, 6, 30)


def mass(values):
    return np.abs(values) / np.abs(values).sum(axis=-1, keepdims=True)


def made(known, kind):
    return models.maps_of(known, [kind])[kind].answer[0]


@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")
def test_the_answers_are_the_shapley_values_of_the_package(known):
    rows, mean = known.split(known.x), known.split(known.background.mean(axis=0, keepdims=True))
    ours = xm.explain(known.model, rows, xm.explainers.Shapley(budget=10_000), background=mean)
    for h, head in enumerate(known.rules):
        values = np.concatenate([ours[s].sel(head=head).values for s in ("left", "right")], axis=1)
        np.testing.assert_allclose(known.exact[h], values, atol=1e-9)


def test_a_linear_rule_owes_each_feature_its_weight_times_its_distance_from_the_mean():
    known = models.known_model(0, "linear", "opposing", 6, 20)
    distance = known.x - known.background.mean(axis=0)
    weights = np.array([[1, 0, 0, -1, 0, 0, 0], [0, 2, 0.5, 0, -2, 0.3, 0]])
    np.testing.assert_allclose(known.exact, weights[:, None, :] * distance, atol=1e-12)


def test_features_are_related_as_their_relation_says():
    half = 3
    for relation, expected in {
        "independent": (0, 0, 0),
        "pairs": (0.9, 0.9, 0.9),
        "opposing": (0.9, 0.98, 0.9),
    }.items():
        x = models.known_model(0, "linear", relation, 2 * half, 20_000).x
        measured = [np.corrcoef(x[:, i], x[:, i + half])[0, 1] for i in range(half)]
        np.testing.assert_allclose(measured, expected, atol=0.02)
        assert np.ptp(x[:, -1]) == 0


def test_more_rows_keep_the_rules():
    few, many = (models.known_model(5, "network", "pairs", 10, rows) for rows in (20, 50))
    for head, rule in few.rules.items():
        assert rule.reads == many.rules[head].reads
        np.testing.assert_array_equal(rule.value(few.x[:, rule.reads]), many.rules[head].value(few.x[:, rule.reads]))


def test_alltop_keeps_the_order_of_all_true_features_and_gives_much_mass_away(known):
    values = made(known, "alltop")
    for h, rule in enumerate(known.rules.values()):
        order = np.argsort(-np.abs(values[h]), axis=1)[:, : len(rule.reads)]
        exact = np.argsort(-np.abs(known.exact[h]), axis=1)[:, : len(rule.reads)]
        np.testing.assert_array_equal(order, exact)
        idle = np.setdiff1d(np.arange(known.features), rule.reads)
        at_most = min(0.75, len(idle) / known.features)
        assert at_most - 0.1 < mass(values[h])[:, idle].sum(axis=1).mean() <= 0.75


def test_onetop_has_the_largest_true_feature_first_and_no_other(known):
    values = made(known, "onetop")
    for h, rule in enumerate(known.rules.values()):
        first = np.abs(values[h]).argmax(axis=1)
        np.testing.assert_array_equal(first, np.abs(known.exact[h]).argmax(axis=1))
        assert ((values[h][:, list(rule.reads)] != 0).sum(axis=1) == 1).all()
        assert mass(values[h])[:, list(rule.reads)].sum(axis=1).max() < 0.5


def test_wrongfeat_and_leak_rest_on_features_that_do_nothing(known):
    wrong, leak = made(known, "wrongfeat"), made(known, "leak")
    for h, rule in enumerate(known.rules.values()):
        assert not wrong[h][:, list(rule.reads)].any()
        np.testing.assert_allclose(mass(leak[h])[:, -1], 0.8)


def test_two_noises_and_two_models_draw_apart():
    one, other = (models.known_model(seed, "linear", "pairs", 6, 20) for seed in (0, 1))
    noise = [made(one, "rand"), made(one, "rand_b"), made(other, "rand")]
    for a, b in itertools.combinations(noise, 2):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.15


def test_half_of_all_fixed_orders_are_lucky():
    lucky = [
        models.is_lucky(known, 0, made(known, "fixed"))
        for known in (models.known_model(seed, "linear", "independent", 10, 20) for seed in range(200))
    ]
    assert 0.35 < np.mean(lucky) < 0.65


def outcomes(words, **columns):
    base = {
        "head": "a - b",
        "seed": 0,
        "family": "linear",
        "relation": "pairs",
        "width": 6,
        "rows": 50,
        "company": "all",
        "truth": True,
    }
    uses = {"kind": "exact", "order": "", "shares": "", "sign": ""}
    return pd.DataFrame([{**base, **uses, **columns, "verdict": word} for word in words])


def test_the_table_counts_every_word():
    counted = verdicts.table(outcomes(["supported", "supported", "doubtful", "misleading"]))
    assert counted.loc[("exact", 50, "all")].to_dict() == {
        "supported": 2,
        "doubtful": 1,
        "misleading": 1,
        "undecided": 0,
    }


def test_an_aim_is_held_by_the_rate_that_was_observed():
    held, missed = (
        verdicts.aims(outcomes(["supported"] * n + ["doubtful"] * (20 - n))).set_index("aim") for n in (19, 18)
    )
    assert held.loc["exact, 50 rows, all: supported (verdict)", "maps"] == 1
    assert held.loc["exact, 50 rows, all: supported (verdict)", ["rate", "holds"]].tolist() == [0.95, True]
    assert missed.loc["exact, 50 rows, all: supported (verdict)", ["rate", "holds"]].tolist() == [0.9, False]


def test_a_page_has_every_use_that_there_are_words_for_and_the_command():
    random_maps = outcomes(["doubtful"] * 3 + ["misleading"], kind="rand", order="supported")
    lines = verdicts.page(random_maps, "python this.py").splitlines()
    assert lines[0].startswith("Measured by `python this.py`: 1 models (seeds 0 to 0), 4 verdicts.")
    assert "| rand | all | given | 0/3/1/0 |" in lines
    assert "| rand | all | 4/0/0/0 |" in lines
    assert "| verdict | 0.0% / 25.0% |" in lines
    assert "| order | 100.0% / 0.0% |" in lines
    assert not any(line.startswith("### Sign") for line in lines)


def test_figures_are_written_between_the_markers_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{verdicts.BEGIN}\nold\n{verdicts.END}\nafter\n", encoding="utf-8")
    verdicts.write_between(page, "new")
    assert page.read_text(encoding="utf-8") == f"before\n{verdicts.BEGIN}\nnew\n{verdicts.END}\nafter\n"
    page.write_text("no markers", encoding="utf-8")
    with pytest.raises(SystemExit, match="stand between"):
        verdicts.write_between(page, "new")
