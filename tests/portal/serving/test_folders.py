"""The folders of a site: one `serve` at a time, and sockets where no stranger has been before."""

import os
from pathlib import Path

import pytest

from portal.serving import folders
from tests.services import Unprivileged


def test_a_folder_that_is_there_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    folders.make_private(tmp_path / "run", like=tmp_path)
    folders.make_private(tmp_path / "deep" / "run", like=tmp_path)
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "deep" / "run").stat().st_mode & 0o777 == 0o700


def test_a_link_that_somebody_laid_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "theirs")
    with pytest.raises(folders.TakenError, match="somebody else's"):
        folders.make_private(tmp_path / "run", like=tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder away")
def test_a_folder_that_somebody_else_made_first_is_refused(tmp_path: Path) -> None:
    stranger = Unprivileged()
    (tmp_path / "run").mkdir(mode=0o777)
    stranger.own(tmp_path / "run")
    with pytest.raises(folders.TakenError, match="fewer than 60 letters"):
        folders.make_private(tmp_path / "run", like=tmp_path)
    stranger.own(tmp_path)
    folders.make_private(tmp_path / "run", like=tmp_path)  # root, in that one's own site


def test_a_folder_is_free_again_when_who_was_there_has_gone(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            folders.alone_in(tmp_path / "data"),
            pytest.raises(folders.TakenError, match="Another serve"),
            folders.alone_in(tmp_path / "data"),
        ):
            pass
