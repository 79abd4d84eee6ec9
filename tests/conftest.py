"""Fixtures that many tests share."""

import signal

import hypothesis
import pytest

from descent.data import Dataset
from tests.support.images import small_dataset, write_idx_files

pytest_plugins = ["tests.support.mirror_fixtures"]

# On a busy machine an example may take longer than the 200 ms that Hypothesis gives it.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")

# In a shell's background job Ctrl-C is ignored, under nohup SIGHUP: the tests' subprocesses would ignore them too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    """Start with the files that take long, so that no processor waits for the last of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """600 training, 200 validation and 200 test images of synthetic bars."""
    return small_dataset()


@pytest.fixture(scope="session")
def idx_folder(dataset, tmp_path_factory):
    """A folder with the synthetic images as four IDX files."""
    folder = tmp_path_factory.mktemp("idx")
    write_idx_files(folder, dataset)
    return folder
