"""`descent checksum` on a folder as people have it: one line says what does not fit, in the folder's own name."""

import pytest
from PIL import Image

from descent import cli
from descent.validation import load_yaml


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of photos, my-photos, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for place in range(12):
        path = tmp_path / "my-photos" / f"class {place % 2}" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 20 * place).save(path)
    return path.parents[1]


def rejection() -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main(["checksum", "my-photos"])
    return str(caught.value)


def test_files_that_are_no_images_are_named_together(photos):
    (photos / "notes.txt").write_text("x")
    assert rejection() == "my-photos: 'notes.txt' is not an image; accepted: PNG and JPEG files in subfolders"
    for number in range(6):
        (photos / "class 0" / f"{number}.gif").write_bytes(b"GIF89a")
    names = ", ".join(f"'class 0/{number}.gif'" for number in range(5))
    assert rejection().startswith(f"my-photos: {names}, ... are 7 files that are not images; accepted: ")


def test_an_image_of_another_size_is_named_by_its_folder(photos):
    Image.new("L", (9, 8)).save(photos / "class 1" / "large.png")
    expected = "my-photos: class 1/large.png: is 9 x 8 pixels; accepted: 8 x 8, as class 0/0.png is"
    assert rejection() == expected


def test_what_a_desktop_leaves_is_ignored_and_the_title_has_no_hyphen(photos, capsys):
    (photos / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (photos / "class 0" / "Thumbs.db").write_bytes(b"x")
    Image.open(photos / "class 0" / "0.png").convert("LA").save(photos / "class 0" / "0.png")
    cli.main(["checksum", "my-photos"])
    entry = load_yaml(capsys.readouterr().out)["datasets"]["my-photos"]
    assert (entry["title"], entry["test_images"]) == ("My photos", 2)
