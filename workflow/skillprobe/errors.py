"""The one error that a user's input can cause."""


class UserError(ValueError):
    """Bad input: the message names the key, file, task or layer and says what to do."""
