"""Errors that end a stage or a command in one line.

They are raised wherever something is found that its user has to mend; docstrings do not list them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """An expected error; its text says what was wrong, with its value, and what is accepted."""


class UsageError(UserError):
    """An error in what was typed, in params.yaml or a variable: the exit code is 2."""


@contextmanager
def in_one_line() -> Iterator[None]:
    """Exit with the text of a UserError, or with file and reason of an error of the file system."""
    try:
        yield
    except UsageError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:  # a full disk, say
        sys.exit(f"{error.filename}: {error.strerror}" if error.filename else str(error))
