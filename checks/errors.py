"""UserError, the one exception for mistakes of the user."""


class UserError(SystemExit):
    """A mistake of the user: the script prints its message and ends with status 1."""
