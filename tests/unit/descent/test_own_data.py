"""A dataset of your own: IDX files, an .npz file, a folder of images or an archive of one."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from descent import cli, data, fetch
from descent.config import OwnDataset
from descent.data import InvalidData, load_dataset, preprocess, read_description, read_raw
from descent.errors import UsageError, UserError
from descent.fetch import copy_source, obtain
from descent.files import sha256
from descent.validation import load_yaml
from tests.support.http_server import body, serving, truncated
from tests.support.images import idx_bytes

NAMES = ("circle", "cross", "wave")
LABELS = np.arange(60) % 3
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 14, 9), dtype=np.uint8)


def png(array: np.ndarray, mode: str | None = None, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    (Image.fromarray(array).convert(mode) if mode else Image.fromarray(array)).save(content, kind)
    return content.getvalue()


def write_folder(folder, parts=("",)):
    """Write a PNG file for each image, into a subfolder for each class, below each of `parts`."""
    for part in parts:
        for place, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
            path = folder / part / NAMES[label] / f"{place:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
    return folder


def own(source, checksum="0" * 64, **values) -> OwnDataset:
    return OwnDataset(**{"title": "Shapes", "source": str(source), "sha256": checksum, **values})


def take(source, folder, **values):
    """Obtain a dataset by its right checksum."""
    checksum = copy_source(str(source), None, folder.parent / "probe").published
    return obtain("shapes", own(source, checksum, **values), folder)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "shapes")


def zipped(folder, path, inside=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, f"{inside}{file.relative_to(folder)}")
        archive.writestr("__MACOSX/._01.png", b"of a desktop")
    return path


def tarred(folder, path):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "shapes")
    return path


# Formats


def test_a_folder_and_its_archives_are_the_same_dataset(folder, tmp_path):
    for stranger in (".DS_Store", "cross/Thumbs.db"):
        (folder / stranger).write_bytes(b"of a desktop")
    sources = [folder, zipped(folder, tmp_path / "a.zip"), zipped(folder, tmp_path / "b.zip", "shapes/")]
    sources.append(tarred(folder, tmp_path / "c.tar.gz"))
    found = [copy_source(str(source), None, tmp_path / "raw") for source in sources]
    assert found[0].format == "npz" and all(copied == found[0] for copied in found)


@pytest.mark.skipif(os.name == "nt", reason="needs sha256sum")
def test_the_checksum_of_a_folder_is_that_of_what_sha256sum_prints(folder, tmp_path):
    command = "LC_ALL=C sha256sum */* | sha256sum"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    assert copy_source(str(folder), None, tmp_path / "raw").published == done.stdout.split()[0]


def test_a_folder_gives_its_images_and_the_names_of_its_subfolders(folder, tmp_path):
    description = take(folder, tmp_path / "raw", test_images=6)
    raw = read_raw(description, tmp_path / "raw")
    images, labels = raw.train
    assert raw.class_names == NAMES and labels.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    np.testing.assert_array_equal(images, np.concatenate([IMAGES[LABELS == label] for label in range(3)]))
    assert raw.test is None


def test_the_order_of_classes_can_be_given(folder, tmp_path):
    description = take(folder, tmp_path / "raw", test_images=6, classes=["wave", "cross", "circle"])
    assert read_raw(description, tmp_path / "raw").train.labels.tolist() == [2] * 20 + [1] * 20 + [0] * 20


def test_a_folder_may_have_test_images_of_its_own(tmp_path):
    source = write_folder(tmp_path / "shapes", ("train", "test"))
    raw = read_raw(take(source, tmp_path / "raw"), tmp_path / "raw")
    for array, test_array in zip(raw.train, raw.test, strict=True):
        np.testing.assert_array_equal(array, test_array)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("L", "JPEG")],
)
def test_images_of_other_kinds_become_gray(tmp_path, mode, kind):
    for name in NAMES:
        (tmp_path / "a" / name).mkdir(parents=True)
        (tmp_path / "a" / name / f"1.{kind.lower()}").write_bytes(
            png(np.full((5, 4), 255, np.uint8), mode, kind)
        )
    raw = read_raw(take(tmp_path / "a", tmp_path / "raw", test_images=1), tmp_path / "raw")
    assert (raw.train.images == 255).all()


def test_an_npz_file_gives_its_arrays(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    raw = read_raw(take(tmp_path / "a.npz", tmp_path / "raw", test_images=3, classes=NAMES), tmp_path / "raw")
    np.testing.assert_array_equal(raw.train.images, IMAGES)
    assert raw.train.labels.tolist() == LABELS.tolist() and raw.train.labels.dtype == np.uint8
    assert raw.class_names == NAMES
    assert sha256(tmp_path / "raw" / "images.npz") == sha256(tmp_path / "a.npz")


def test_an_npz_file_may_have_test_images_of_its_own(tmp_path):
    arrays = {
        "images": IMAGES[:50],
        "labels": LABELS[:50],
        "test_images": IMAGES[50:],
        "test_labels": LABELS[50:],
    }
    np.savez(tmp_path / "a.npz", **arrays)
    raw = read_raw(take(tmp_path / "a.npz", tmp_path / "raw"), tmp_path / "raw")
    np.testing.assert_array_equal(raw.test.images, IMAGES[50:])
    assert raw.class_names == ("0", "1", "2")


def test_idx_files_may_be_gzipped(tmp_path):
    (tmp_path / "idx").mkdir()
    for part in ("train", "t10k"):
        (tmp_path / "idx" / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES))
        labels = gzip.compress(idx_bytes(LABELS.astype(np.uint8)))
        (tmp_path / "idx" / f"{part}-labels-idx1-ubyte.gz").write_bytes(labels)
    raw = read_raw(take(tmp_path / "idx", tmp_path / "raw"), tmp_path / "raw")
    np.testing.assert_array_equal(raw.train.images, IMAGES)


def test_a_thousand_classes_of_the_largest_images_have_labels_of_16_bits(tmp_path):
    np.savez_compressed(
        tmp_path / "a.npz", images=np.zeros((3000, 512, 1), np.uint8), labels=np.arange(3000) % 1000
    )
    description = take(tmp_path / "a.npz", tmp_path / "raw", test_images=1000)
    preprocess(description, tmp_path / "raw", tmp_path / "arrays", 1000, 1000, seed=0)
    dataset = load_dataset(tmp_path / "arrays")
    assert dataset.classes == 1000 and dataset.train.labels.dtype == np.uint16
    assert all(np.bincount(split.labels).tolist() == [1] * 1000 for split in dataset.splits.values())


# The split


def test_test_images_are_drawn_by_the_seed_class_by_class(folder, tmp_path):
    description = take(folder, tmp_path / "raw", test_images=6)
    for seed, name in ((0, "one"), (0, "same"), (1, "other")):
        preprocess(description, tmp_path / "raw", tmp_path / name / "arrays", 30, 15, seed)
    one, same, other = (load_dataset(tmp_path / name / "arrays") for name in ("one", "same", "other"))
    np.testing.assert_array_equal(one.test.images, same.test.images)
    assert not np.array_equal(one.test.images, other.test.images)
    sizes = [np.bincount(split.labels).tolist() for split in one.splits.values()]
    assert sizes == [[10] * 3, [5] * 3, [2] * 3] and (one.title, one.class_names) == ("Shapes", NAMES)
    images = [image.tobytes() for split in one.splits.values() for image in split.images]
    assert len(set(images)) == 51 and set(images) <= {image.tobytes() for image in IMAGES}


def test_a_changed_title_changes_no_array(folder, tmp_path):
    description = take(folder, tmp_path / "raw", test_images=6)
    for title in ("Shapes", "Other"):
        preprocess(
            description._replace(title=title), tmp_path / "raw", tmp_path / title / "arrays", 30, 15, 0
        )
    one, other = ({path.name: sha256(path) for path in (tmp_path / title / "arrays").iterdir()}
                  for title in ("Shapes", "Other"))  # fmt: skip
    assert one == other and load_dataset(tmp_path / "Other" / "arrays").title == "Other"


@pytest.mark.parametrize(
    ("test_images", "training", "expected"),
    [
        (None, 30, "datasets.shapes.test_images: is missing; accepted: "),
        (60, 30, "datasets.shapes.test_images: 60 is not accepted; accepted: fewer than all 60"),
        (6, 40, "preprocess.training_images + preprocess.validation_images: 55 is not accepted; accepted: "),
    ],
)
def test_a_split_without_enough_images_is_rejected(folder, tmp_path, test_images, training, expected):
    description = take(folder, tmp_path / "raw", test_images=test_images)
    with pytest.raises(UsageError) as caught:
        preprocess(description, tmp_path / "raw", tmp_path / "arrays", training, 15, 0)
    assert str(caught.value).startswith(f"params.yaml: {expected}") and not (tmp_path / "arrays").exists()


def test_drawn_test_images_are_rejected_where_the_source_has_some(tmp_path):
    description = take(write_folder(tmp_path / "a", ("train", "test")), tmp_path / "raw", test_images=3)
    with pytest.raises(UsageError, match="3 is not accepted; accepted: nothing, as the source has some"):
        preprocess(description, tmp_path / "raw", tmp_path / "arrays", 30, 15, 0)


# Bad data


def rejected(source, tmp_path, **values) -> str:
    """Return the one line with which a dataset is rejected, when it is taken or when it is read."""
    try:
        read_raw(take(source, tmp_path / "raw", test_images=1, **values), tmp_path / "raw")
    except InvalidData as error:
        assert str(error).isprintable() and "accepted: " in str(error)
        return str(error)
    raise AssertionError("accepted")


FOLDER_FAULTS = {
    "a text": (lambda folder: (folder / "cross" / "a.txt").write_text("x"), "'cross/a.txt' is not an image"),
    "no class": (lambda folder: (folder / "a.png").write_bytes(png(IMAGES[0])), "'a.png' is not in the subfolder"),
    "too deep": (lambda folder: write_folder(folder / "more"), "png' is not in the subfolder"),
    "a third part": (
        lambda folder: [write_folder(folder, (part,)) for part in ("train", "test", "val")],
        "train/<class>/<image> and test/<class>/<image> and no other folder",
    ),
    "a link to nothing": (lambda folder: (folder / "wave" / "99.png").symlink_to("nowhere.png"), "'wave/99.png' is a link to no file"),
    "a link to a folder": (lambda folder: (folder / "star").symlink_to(folder / "wave"), "'star' is a link to no file"),
    "one class": (lambda folder: [shutil.rmtree(folder / name) for name in NAMES[1:]], "has 1 classes; accepted: 2 to 1000"),
    "another size": (
        lambda folder: (folder / "wave" / "99.png").write_bytes(png(IMAGES[0].T)),
        "wave/99.png: is 14 x 9 pixels; accepted: 9 x 14, as circle/00.png is",
    ),
    "too large": (
        lambda folder: (folder / "wave" / "99.png").write_bytes(png(np.zeros((2, 513), np.uint8))),
        "wave/99.png: is 513 x 2 pixels; accepted: at most 512 x 512",
    ),
    "16 bits": (
        lambda folder: (folder / "wave" / "99.png").write_bytes(png(IMAGES[0].astype(np.uint16))),
        "wave/99.png: has pixels of kind I;16; accepted: 8 bits",
    ),
    "truncated": (lambda folder: (folder / "wave" / "99.png").write_bytes(png(IMAGES[0])[:60]), "wave/99.png: is damaged or of another kind"),
    "no image": (lambda folder: (folder / "wave" / "99.png").write_bytes(b"<html>"), "wave/99.png: is damaged or of another kind"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "expected"), FOLDER_FAULTS.values(), ids=FOLDER_FAULTS)
def test_a_bad_folder_is_rejected_in_one_line(folder, tmp_path, damage, expected):
    damage(folder)
    assert expected in rejected(folder, tmp_path)


def test_other_classes_than_the_subfolders_are_rejected(folder, tmp_path):
    line = rejected(folder, tmp_path, classes=["circle", "cross", "star"])
    assert "has the classes circle, cross, wave; accepted: circle, cross, star" in line


def test_a_class_without_training_images_is_rejected(tmp_path):
    source = write_folder(tmp_path / "shapes", ("train", "test"))
    shutil.rmtree(source / "train" / "wave")
    assert "test_labels: has the classes circle, cross, wave; accepted: circle, cross" in rejected(
        source, tmp_path
    )


def test_an_empty_folder_is_rejected(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no image" in rejected(tmp_path / "empty", tmp_path)


NPZ_FAULTS = {
    "other names": ({"x": IMAGES, "y": LABELS}, "has the arrays x, y; accepted: images and labels"),
    "no labels": ({"images": IMAGES}, "has the arrays images"),
    "half a test part": ({"images": IMAGES, "labels": LABELS, "test_images": IMAGES}, "has the arrays images"),
    "colours": ({"images": np.zeros((60, 5, 5, 3), np.uint8), "labels": LABELS}, "images: is uint8, 60 x 5 x 5 x 3"),
    "from 0 to 1": ({"images": IMAGES / 255, "labels": LABELS}, "images: is float64, 60 x 14 x 9; accepted: uint8"),
    "too large": ({"images": np.zeros((60, 513, 1), np.uint8), "labels": LABELS}, "at most 512 pixels"),
    "without pixels": ({"images": np.zeros((60, 0, 5), np.uint8), "labels": LABELS}, "is uint8, 60 x 0 x 5"),
    "fewer images": ({"images": IMAGES[1:], "labels": LABELS}, "labels: has 60 labels; accepted: 59"),
    "texts and numbers as labels": ({"images": IMAGES, "labels": np.array(["a", "b"] * 30), "test_images": IMAGES[:4], "test_labels": np.array([0, 1, 0, 1])}, "test_labels: is int64, 4; accepted: a name of a class for each image"),
    "rows of texts as labels": ({"images": IMAGES, "labels": np.array([["a", "b"]] * 60)}, "labels: is <U1, 60 x 2; accepted: a name of a class for each image"),
    "labels of one text": ({"images": IMAGES, "labels": np.array(["a"] * 60)}, "labels: has 1 classes; accepted: 2 to 1000 printable names"),
    "labels for a terminal": (
        {"images": IMAGES, "labels": np.array(["a", "\x1b[31m"] * 30)},
        "labels: has 2 classes; accepted: 2 to 1000 printable names",
    ),
    "labels of a shape": ({"images": IMAGES, "labels": LABELS[:, None]}, "labels: is int64, 60 x 1; accepted: whole"),
    "a negative label": ({"images": IMAGES, "labels": LABELS - 1}, "label -1 at position 0; accepted: 0 to 1"),
    "label 1000": ({"images": IMAGES, "labels": LABELS + 998}, "label 1000 at position 2; accepted: 0 to 999"),
    "an unused label": ({"images": IMAGES, "labels": LABELS * 2}, "no image has label 1; accepted: labels from 0"),
    "equal labels": ({"images": IMAGES, "labels": LABELS * 0}, "all labels are equal; accepted: labels from 0"),
    "objects": ({"images": IMAGES, "labels": np.array([{}] * 60)}, "is damaged; accepted: a .npz file"),
    "no image": ({"images": IMAGES[:0], "labels": LABELS[:0]}, "labels: is int64, 0; accepted: whole"),
}  # fmt: skip


@pytest.mark.parametrize(("arrays", "expected"), NPZ_FAULTS.values(), ids=NPZ_FAULTS)
def test_a_bad_npz_file_is_rejected_in_one_line(tmp_path, arrays, expected):
    np.savez(tmp_path / "a.npz", **arrays)
    assert expected in rejected(tmp_path / "a.npz", tmp_path)


def test_a_label_without_a_name_is_rejected(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    line = rejected(tmp_path / "a.npz", tmp_path, classes=["circle", "cross"])
    assert "labels: label 2 at position 2; accepted: 0 to 1" in line


@pytest.mark.parametrize("name", ["shapes", "a.zip", "a.npz"])
def test_what_expands_beyond_the_limit_is_not_read(folder, tmp_path, monkeypatch, name):
    zipped(folder, tmp_path / "a.zip")
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros_like(IMAGES), labels=LABELS)
    monkeypatch.setattr(data, "MAX_BYTES", 5000)
    assert "bytes of images, unpacked; accepted: at most 5,000" in rejected(tmp_path / name, tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4 and so on", b"\x1f\x8b and so on"])
def test_a_file_of_another_kind_is_rejected(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    assert "accepted: four IDX files, an .npz file" in rejected(tmp_path / "a.npz", tmp_path)


# Sources


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.npz"])
def test_one_file_is_taken_from_a_url(folder, tmp_path, monkeypatch, name):
    if name == "a.npz":
        np.savez(tmp_path / name, images=IMAGES, labels=LABELS)
    else:
        (zipped if name == "a.zip" else tarred)(folder, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    with serving({f"/{name}": [truncated(content), body(content)]}) as (url, requested):
        checksum = copy_source(str(tmp_path / name), None, tmp_path / "probe").published
        waits = []
        monkeypatch.setattr(fetch._download.retry, "sleep", waits.append)
        obtain("shapes", own(f"{url}/{name}", checksum, test_images=3), tmp_path / "raw")
    assert waits == [1] and len(requested) == 2 and read_description(tmp_path / "raw").name == "shapes"


def test_a_dataset_that_is_there_needs_no_source(folder, tmp_path):
    checksum = copy_source(str(folder), None, tmp_path / "probe").published
    first = obtain("shapes", own(folder, checksum), tmp_path / "raw")
    shutil.rmtree(folder)
    again = obtain("shapes", own(folder, checksum, title="Other"), tmp_path / "raw")
    assert again == first._replace(title="Other")


def test_a_source_on_another_machine_is_reported_as_such(tmp_path):
    with pytest.raises(UserError) as caught:
        obtain("shapes", own("/home/someone/shapes"), tmp_path / "raw")
    assert str(caught.value).startswith(
        "datasets.shapes.source: /home/someone/shapes: No such file or directory; "
    )
    assert "DATA_SOURCE" in str(caught.value) and "dvc pull" in str(caught.value)


def test_data_source_takes_the_place_of_the_source(folder, tmp_path):
    checksum = copy_source(str(folder), None, tmp_path / "probe").published
    entry = own("/home/someone/shapes", checksum)
    assert obtain("shapes", entry, tmp_path / "raw", str(folder)).published == checksum


def test_changed_data_is_reported_with_the_command_that_helps(folder, tmp_path):
    with pytest.raises(UserError, match=f"not {'0' * 64}; .*python -m descent checksum"):
        obtain("shapes", own(folder), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


# The command


def test_the_command_prints_an_entry_that_is_accepted(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder.rename("my-shapes")
    cli.main(["checksum", "my-shapes"])
    out, _ = capsys.readouterr()
    assert "60 images of 9 x 14 pixels in 3 classes; 10 of them become test images" in out
    assert "training_images + validation_images can be at most 50" in out
    content = load_yaml(out)
    entry = OwnDataset(**content["datasets"][content["data"]])
    found = (content["data"], entry.title, entry.source, entry.test_images)
    assert found == ("my-shapes", "My shapes", "my-shapes", 10)
    assert obtain("shapes", entry, tmp_path / "raw").format == "npz"


@pytest.mark.parametrize("source", ["nothing", "params.yaml", "http://user:secret@example.org/a.zip"])
def test_the_command_rejects_what_is_no_dataset(tmp_path, monkeypatch, capsys, source):
    (tmp_path / "params.yaml").write_text("a: 1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(["checksum", source])
    line = caught.value.code
    assert isinstance(line, str) and "\n" not in line and "secret" not in line
    assert capsys.readouterr() == ("", "")


def test_files_that_are_no_images_are_named_together(folder, monkeypatch):
    """Below the folder's own name."""
    monkeypatch.chdir(folder.parent)
    for number in range(7):
        (folder / "cross" / f"{number}.gif").write_bytes(b"GIF89a")
    with pytest.raises(SystemExit) as caught:
        cli.main(["checksum", "shapes"])
    names = ", ".join(f"'cross/{number}.gif'" for number in range(5))
    assert caught.value.code.startswith(f"shapes: {names}, ... are 7 files that are not images; accepted: ")
