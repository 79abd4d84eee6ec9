"""Large imports are not searched for garbage, and what comes after them is."""

import gc

import pytest

from stages.core.collection import uncollected


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_nothing_is_searched_within_and_what_it_left_is_not_searched_later():
    gc.unfreeze()
    with uncollected():
        assert not gc.isenabled()
        left = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(left)
    assert not any(found is left for found in gc.get_objects())


def test_after_an_import_that_failed_garbage_is_searched_for_again():
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()
