"""What metrics read: work shared between them, random numbers by name, and what a scene lacks."""

import dataclasses
from typing import get_args

import pytest

from xai_mimo.core.errors import BadSetting
from xai_mimo.metrics.complexity import Gini
from xai_mimo.metrics.metric import Need
from xai_mimo.metrics.removal import curves_of
from xai_mimo.testing.toy_scene import toy_scene

pytestmark = pytest.mark.all_frameworks


@pytest.fixture(scope="module")
def scene():
    return toy_scene(Gini())


def test_shared_work_is_done_once_also_behind_another_step(scene):
    made = []

    def make():
        made.append(1)
        return "result"

    later = dataclasses.replace(scene, advance=lambda share: None)
    assert not scene.was_made("work")
    assert [s.once("work", make) for s in (scene, later, scene)] == ["result"] * 3
    assert made == [1]
    assert later.was_made("work")
    assert curves_of(scene) is curves_of(later)


def test_one_name_has_one_stream_of_random_numbers(scene):
    assert scene.rng("a").random() == scene.rng("a").random() != scene.rng("b").random()


def test_every_need_can_be_asked_for_and_others_cannot(scene):
    assert {need: scene.lacks(need) for need in get_args(Need) if need != "random weights"} == dict.fromkeys(
        (need for need in get_args(Need) if need != "random weights"), ""
    )
    with pytest.raises(BadSetting, match="a metric needs 'luck', which is not one of 'two methods'"):
        scene.lacks("luck")
