"""dvc.lock is read, or refused: however much of it a killed dvc had written."""

import pytest

from stages.core.mirror import lockfile
from tests.project import ROOT

WHOLE = (ROOT / "dvc.lock").read_text()


def test_every_stage_is_read_with_the_md5_of_what_it_made():
    stages = lockfile.read(ROOT)
    assert {"download", "preprocess", "train@baseline", "sweep", "report"} <= stages.keys()
    assert all(len(md5) in (32, 36) for stage in stages.values() for md5 in stage.outs.values())


def test_of_any_part_of_it_what_is_read_is_in_the_whole_or_it_is_torn(tmp_path):
    whole, torn = lockfile.read(ROOT), 0
    for length in range(0, len(WHOLE), 997):
        (tmp_path / "dvc.lock").write_text(WHOLE[:length])
        try:
            found = lockfile.read(tmp_path)
        except lockfile.Torn:
            torn += 1
        else:
            assert found.keys() <= whole.keys()
            assert all(
                set(stage.outs) <= set(whole[name].outs) and stage.outs for name, stage in found.items()
            )
    assert torn


def test_no_dvc_lock_is_not_a_torn_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        lockfile.read(tmp_path)
