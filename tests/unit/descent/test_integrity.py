"""Damage of files is found by their bytes, and named with the command that repairs it."""

import os
from pathlib import Path

import pytest
import yaml

from descent import integrity
from descent.errors import UserError
from descent.integrity import (
    RWLOCK,
    Recorded,
    damages,
    dvc_md5,
    has_digest,
    lock_damage,
    remove_truncated_rwlock,
    resolve_conflict,
)

LOCK = "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    outs:\n    - path: models\n      md5: abc\n"


def test_the_root_is_the_nearest_folder_with_dvc(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert integrity.repository(tmp_path / "a" / "b") == tmp_path
    assert integrity.repository(Path("/")) == Path("/"), "where there is none, it is the start"


def test_the_digest_of_a_folder_is_that_of_dvc(tmp_path):
    """The md5 of b.txt and sub/a.txt as `dvc add` records it."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "sub" / "a.txt").write_text("a")
    assert dvc_md5(tmp_path / "b.txt") == "92eb5ffee6ae2fec3ad71c777531578f"
    expected = digest_by_dvc(tmp_path)
    assert dvc_md5(tmp_path) == expected
    (tmp_path / ".tmp-c.txt").write_text("left by a killed process")
    assert dvc_md5(tmp_path) == expected
    (tmp_path / "sub" / "a.txt").write_text("x")
    assert dvc_md5(tmp_path) != expected and not has_digest(tmp_path, expected)


def digest_by_dvc(folder: Path) -> str:
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    fs = LocalFileSystem()
    _, _, tree = build(HashFileDB(fs, str(folder.parent / "odb")), str(folder), fs, "md5")
    return tree.hash_info.value


def test_a_missing_file_has_no_digest(tmp_path):
    assert not has_digest(tmp_path / "absent", "abc")


@pytest.mark.parametrize("text", [LOCK, "schema: '2.0'\nstages: {}\n"])
def test_a_lock_that_dvc_wrote_is_intact(tmp_path, text):
    assert lock_damage(tmp_path) is None, "no lock is no damage"
    (tmp_path / "dvc.lock").write_text(text)
    assert lock_damage(tmp_path) is None


TRUNCATED = [LOCK[:end] for end in (0, 10, 30, 45, 60, len(LOCK) - 10)]


@pytest.mark.parametrize("content", [*(text.encode() for text in TRUNCATED), b"\xff\xfe", b"a: [", b"- 1\n"])
def test_a_truncated_lock_is_named_with_a_remedy(tmp_path, content):
    (tmp_path / "dvc.lock").write_bytes(content)
    line = lock_damage(tmp_path)
    assert line.startswith("dvc.lock: is truncated, as by a kill of dvc; to mend it: git checkout dvc.lock")


def test_a_lock_in_conflict_is_told_from_a_truncated_one(tmp_path):
    (tmp_path / "dvc.lock").write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\n>>>>>>> other\n")
    expected = "dvc.lock: is in conflict, as after a merge; to mend it: python -m descent resolve"
    assert lock_damage(tmp_path).startswith(expected)


@pytest.mark.parametrize(
    "content, removed", [("", True), ('{"write": {"/proj', True), ('{"write": {}}', False)]
)
def test_only_a_truncated_rwlock_is_removed(tmp_path, content, removed):
    assert remove_truncated_rwlock(tmp_path) is False, "there is none"
    (tmp_path / RWLOCK).parent.mkdir(parents=True)
    (tmp_path / RWLOCK).write_text(content)
    assert remove_truncated_rwlock(tmp_path) is removed
    assert (tmp_path / RWLOCK).exists() is not removed
    locked = (tmp_path / f"{RWLOCK}.lock").exists()
    assert locked is removed, "an intact one is only read: the folder may be read-only"


def test_a_kept_file_of_another_account_is_named_with_the_settings_for_a_shared_folder(tmp_path, monkeypatch):
    def forbidden(path, mode):
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/link").symlink_to(__file__)
    (tmp_path / "data/raw/images").write_text("")
    assert integrity.other_owner(tmp_path) is None, "they belong to this account"
    monkeypatch.setattr(Path, "chmod", forbidden)
    assert integrity.other_owner(tmp_path).startswith("data/raw/images: is of another account")
    (tmp_path / "data/raw/images").unlink()
    assert integrity.other_owner(tmp_path) is None, "dvc replaces links"


@pytest.fixture
def recorded(tmp_path):
    """Two files of the same bytes that share a copy in the cache, and one that is not cached."""
    os.makedirs(tmp_path / "cache")
    for name in ("a", "b", "cache/c", "table.csv"):
        (tmp_path / name).write_text("content")
    md5, cached = dvc_md5(tmp_path / "a"), tmp_path / "cache/c"
    return [
        Recorded(Path("a"), md5, "train@a", cached),
        Recorded(Path("b"), md5, "train@b", cached),
        Recorded(Path("table.csv"), md5, "sweep", None),
    ]


def lines(root, recorded, has_remote=False) -> list[str]:
    return list(damages(root, recorded, has_remote))


def test_intact_files_are_not_reported(tmp_path, recorded):
    assert lines(tmp_path, recorded) == []


@pytest.mark.parametrize(
    ("changed", "has_remote", "expected"),
    [
        (["a"], False, ["a: is changed; to mend it: rm -rf a && dvc checkout a"]),
        (
            ["cache/c"],
            False,
            ["a: is changed in DVC's cache; to mend it: rm -f cache/c && dvc commit --force train@a"],
        ),
        (
            ["a", "cache/c"],
            False,
            ["a: is changed, and changed in DVC's cache; to mend it: rm -rf a cache/c && dvc repro train@a"],
        ),
        (
            ["a", "cache/c"],
            True,
            ["a: is changed, and changed in DVC's cache; to mend it: rm -rf a cache/c && dvc pull a"],
        ),
        (["table.csv"], False, ["table.csv: is changed; to mend it: rm -rf table.csv && dvc repro sweep"]),
    ],
)
def test_a_changed_file_is_reported_once_with_its_remedy(tmp_path, recorded, changed, has_remote, expected):
    for name in changed:
        (tmp_path / name).write_text("other")
    assert lines(tmp_path, recorded, has_remote) == expected


def test_a_missing_file_is_reported_as_missing(tmp_path, recorded):
    (tmp_path / "b").unlink()
    assert lines(tmp_path, recorded) == ["b: is missing; to mend it: rm -rf b && dvc checkout b"]


def test_a_path_with_a_space_is_quoted_in_the_remedy(tmp_path):
    record = Recorded(Path("my file"), "abc", "train@a", None)
    assert lines(tmp_path, [record]) == [
        "my file: is missing; to mend it: rm -rf 'my file' && dvc repro train@a"
    ]


OURS = "  train@a:\n    cmd: x\n    outs:\n    - path: a\n      md5: '1'\n"
THEIRS = "  train@b:\n    cmd: y\n    outs:\n    - path: b\n      md5: '2'\n"


@pytest.mark.parametrize("base", ["", "||||||| base\n"])
def test_a_conflict_keeps_the_stages_of_both_sides_and_ours_where_both_have_one(base):
    shared = "schema: '2.0'\nstages:\n  report:\n    cmd: z\n"
    text = f"{shared}<<<<<<< HEAD\n{OURS}{base}=======\n{THEIRS}{OURS.replace('1', '9')}>>>>>>> other\n"
    stages = yaml.safe_load(resolve_conflict(text))["stages"]
    assert list(stages) == ["report", "train@b", "train@a"]
    assert stages["train@a"]["outs"] == [{"path": "a", "md5": "1"}]


def test_a_truncated_conflict_is_called_truncated():
    with pytest.raises(UserError, match="a side of the conflict is truncated; git checkout"):
        resolve_conflict(f"schema: '2.0'\nstages:\n<<<<<<< HEAD\n{OURS}=======\n")


@pytest.mark.parametrize("text", ["schema: '2.0'\n", f"<<<<<<< HEAD\n{OURS}=======\n- 'x\n>>>>>>> o\n"])
def test_what_is_no_conflict_of_two_locks_is_rejected_in_one_line(text):
    with pytest.raises(UserError, match="^dvc.lock: .*$"):
        resolve_conflict(text)
