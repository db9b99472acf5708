"""UserError, the one exception for mistakes of the user; and which errors mean no memory."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(SystemExit):
    """A mistake of the user: the script prints its message and ends with status 1."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or the one that it came on top of, says that memory ran out.

    Not all of these are torch's OutOfMemoryError: cuBLAS and the end of a capture have their own.
    """
    while error is not None:
        if type(error).__name__ == "OutOfMemoryError":
            return True
        if "out of memory" in str(error) or "ALLOC_FAILED" in str(error):
            return True
        error = error.__context__
    return False


@contextmanager
def advising_on_memory(advice: str) -> Iterator[None]:
    """Let memory that runs out end the script with advice, in a with block or a function."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"{advice}\n{error}") from error
