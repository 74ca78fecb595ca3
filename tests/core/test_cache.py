"""Where compiled programs are kept."""

import os
import sys
from pathlib import Path

import pytest

from xai_mimo.core.cache import cache_folder


@pytest.mark.parametrize("off", ["", "0", "off", "OFF", " no ", "false"])
def test_the_variable_stops_it(off, monkeypatch):
    monkeypatch.setenv("XAI_MIMO_CACHE", off)
    assert cache_folder() is None


def test_the_variable_moves_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XAI_MIMO_CACHE", str(tmp_path / "there"))
    folder = cache_folder()
    assert folder.parent == tmp_path / "there"
    assert folder.is_dir()
    assert cache_folder() == folder


@pytest.mark.skipif(sys.platform != "linux", reason="each system has its own folder")
def test_it_lies_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("XAI_MIMO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder()
    assert folder.parent == tmp_path / "xai_mimo"
    assert folder.stat().st_mode & 0o077 == 0  # nobody else may put programs there


def test_a_folder_that_cannot_be_made_or_written_is_none(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XAI_MIMO_CACHE", str(tmp_path / "file"))
    assert cache_folder() is None
    monkeypatch.setenv("XAI_MIMO_CACHE", str(tmp_path / "there"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cache_folder() is None


@pytest.mark.skipif(sys.platform == "win32", reason="owners are of other systems")
def test_a_folder_of_somebody_else_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("XAI_MIMO_CACHE", str(tmp_path))
    assert isinstance(cache_folder(), Path)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    assert cache_folder() is None


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are of other systems")
def test_a_folder_that_others_can_write_is_none(monkeypatch, tmp_path):
    root = tmp_path / "there"
    monkeypatch.setenv("XAI_MIMO_CACHE", str(root))
    folder = cache_folder()
    assert root.stat().st_mode & 0o077 == 0
    for each in (root, folder):
        each.chmod(0o777)
        assert cache_folder() is None
        each.chmod(0o700)
    assert cache_folder() == folder


def test_the_home_of_nobody_is_none(monkeypatch):
    monkeypatch.setenv("XAI_MIMO_CACHE", "~nobody_of_this_name/there")
    assert cache_folder() is None
