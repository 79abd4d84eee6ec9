"""The fixtures of the mirror's tests."""

from tests.support.mirror_fixtures import (  # noqa: F401
    empty_database,
    example,
    example_template,
    get_started,
    get_started_template,
    matrix,
    matrix_template,
    mirror,
    plain,
    plain_template,
    synced,
    synced_template,
)
