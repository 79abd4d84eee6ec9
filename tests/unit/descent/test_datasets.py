"""The table of known datasets, and how their files are taken from mirrors and archives."""

import gzip
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from descent.addresses import is_public_source
from descent.data import InvalidData, read_raw
from descent.datasets import IDX_FILES, KNOWN
from descent.errors import UserError
from descent.fetch import Source, download, obtain
from descent.files import sha256
from tests.support.http_server import body, serving, status
from tests.support.images import idx_bytes

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.parametrize("name", KNOWN)
def test_an_entry_is_complete(name):
    known = KNOWN[name]
    digests = [known.archive.sha256] if known.archive else list(known.sha256.values())
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert known.archive or tuple(known.sha256) == IDX_FILES
    assert len(set(known.class_names)) == len(known.class_names) >= 2
    assert known.title and known.licence and known.citation and known.training_images >= 60_000
    assert known.mirrors and all(map(is_public_source, known.mirrors))


def test_classes_of_emnist_are_as_many_as_its_paper_says():
    names = ("balanced", "digits", "letters", "mnist")
    assert [len(KNOWN[f"emnist_{name}"].class_names) for name in names] == [47, 10, 26, 10]


@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_is_in_the_package_of_debian(tmp_path):
    obtain("fashion_mnist", KNOWN["fashion_mnist"], tmp_path)
    assert {name: sha256(tmp_path / name) for name in IDX_FILES} == KNOWN["fashion_mnist"].sha256


# Files with other checksums than those of the table


@pytest.fixture
def known(idx_folder):
    """A known dataset with the synthetic images."""
    return KNOWN["mnist"]._replace(
        title="Bars",
        mirrors=(str(idx_folder),),
        sha256={name: sha256(idx_folder / name) for name in IDX_FILES},
        package=None,
    )


def test_obtain_writes_files_and_their_description(known, tmp_path):
    description = obtain("bars", known, tmp_path)
    assert (description.title, description.format) == ("Bars", "idx")
    assert {path.name for path in tmp_path.iterdir()} == {*IDX_FILES, "dataset.json"}
    assert json.loads((tmp_path / "dataset.json").read_text())["files"] == known.sha256


def test_gzipped_files_are_verified_by_the_checksums_of_what_was_published(known, idx_folder, tmp_path):
    packed = {name: gzip.compress((idx_folder / name).read_bytes(), mtime=7) for name in IDX_FILES}
    published = {name: hashlib.sha256(content).hexdigest() for name, content in packed.items()}
    with serving({f"/{name}.gz": body(content) for name, content in packed.items()}) as (url, requested):
        gzipped = known._replace(sha256=published, mirrors=(url,))
        obtain("bars", gzipped, tmp_path)
        assert {name: sha256(tmp_path / name) for name in IDX_FILES} == known.sha256
        requested.clear()
        obtain("bars", gzipped, tmp_path)  # recognized by what dataset.json says of it
        assert not requested
        (tmp_path / IDX_FILES[0]).write_bytes(b"damaged")
        obtain("bars", gzipped, tmp_path)
        assert requested == [f"/{IDX_FILES[0]}.gz"]
    assert sha256(tmp_path / IDX_FILES[0]) == known.sha256[IDX_FILES[0]]


def test_a_download_of_files_without_checksums_of_their_own_trusts_its_source(idx_folder, tmp_path, known):
    found = download(dict.fromkeys(IDX_FILES), tmp_path, [Source(str(idx_folder))])
    assert found == known.sha256


def test_files_of_another_dataset_are_removed(known, tmp_path):
    (tmp_path / "images.npz").write_bytes(b"of another dataset")
    (tmp_path / "notes.txt").write_bytes(b"not of any dataset")
    obtain("bars", known, tmp_path)
    assert not (tmp_path / "images.npz").exists() and (tmp_path / "notes.txt").exists()


def test_files_of_the_previous_dataset_stay_where_the_next_one_cannot_be_had(known, tmp_path):
    obtain("bars", known, tmp_path)
    other = known._replace(sha256=dict.fromkeys(IDX_FILES, "0" * 64))
    with pytest.raises(UserError):
        obtain("other", other, tmp_path)
    assert {name: sha256(tmp_path / name) for name in IDX_FILES} == known.sha256


# Archives such as EMNIST's


@pytest.fixture
def emnist(idx_folder):
    """An archive with the images transposed, and labels from 1; and the entry that describes it."""
    entry, content = KNOWN["emnist_letters"], io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in IDX_FILES:
            array = np.frombuffer((idx_folder / name).read_bytes(), np.uint8)
            if "images" in name:
                array = idx_bytes(array[16:].reshape(-1, 28, 28).transpose(0, 2, 1).copy())
            else:
                array = idx_bytes(array[8:] + np.uint8(1))
            archive.writestr(entry.archive.members[name], gzip.compress(array))
        archive.writestr("gzip/emnist-mnist-mapping.txt", b"other members")
    packed = content.getvalue()
    archive = entry.archive._replace(sha256=hashlib.sha256(packed).hexdigest())
    return packed, entry._replace(archive=archive, class_names=tuple("abcdefghij"))


def test_members_of_an_archive_are_named_as_those_of_mnist():
    members = KNOWN["emnist_balanced"].archive.members
    assert list(members) == list(IDX_FILES)
    assert members["t10k-labels-idx1-ubyte"] == "gzip/emnist-balanced-test-labels-idx1-ubyte.gz"


@pytest.mark.parametrize("place", ["url", "folder", "file"])
def test_an_archive_gives_upright_images_and_labels_from_0(emnist, idx_folder, tmp_path, place):
    packed, entry = emnist
    (tmp_path / "gzip.zip").write_bytes(packed)
    folder = tmp_path / "raw"
    with serving({"/gzip.zip": body(packed)}) as (url, requested):
        sources = {"url": f"{url}/gzip.zip", "folder": str(tmp_path), "file": str(tmp_path / "gzip.zip")}
        description = obtain("emnist_letters", entry, folder, sources[place])
        again = obtain("emnist_letters", entry, folder, f"{url}/nothing")
    assert again == description and len(requested) == (place == "url")
    raw = read_raw(description, folder)
    expected = np.frombuffer((idx_folder / IDX_FILES[0]).read_bytes()[16:], np.uint8).reshape(-1, 28, 28)
    np.testing.assert_array_equal(raw.train.images, expected)
    assert raw.train.labels.min() == 0 and raw.class_names == tuple("abcdefghij")


def test_an_archive_with_another_checksum_is_rejected(emnist, tmp_path):
    packed, entry = emnist
    other = entry._replace(archive=entry.archive._replace(sha256="0" * 64), mirrors=())
    with serving({"/a.zip": body(packed), "/b.zip": status(404)}) as (url, _):
        for name, words in (("a", "gzip.zip has the SHA-256 "), ("b", "404")):
            with pytest.raises(UserError) as caught:
                obtain("emnist_letters", other, tmp_path, f"{url}/{name}.zip")
            assert words in str(caught.value)


def test_labels_that_are_not_from_1_are_rejected_in_the_words_of_the_file(emnist, tmp_path):
    packed, entry = emnist
    (tmp_path / "gzip.zip").write_bytes(packed)
    fewer = entry._replace(class_names=tuple("abc"))
    description = obtain("emnist_letters", fewer, tmp_path / "raw", str(tmp_path))
    with pytest.raises(
        InvalidData, match=r"train-labels-idx1-ubyte: label \d+ at position \d+; accepted: 1 to 3"
    ):
        read_raw(description, tmp_path / "raw")
