"""Errors that are the user's to mend: scripts print them as one sentence and exit with code 2."""


class UserError(ValueError):
    """A setting, a path or a file is wrong; the message says what, what was expected and what to do."""


class ConfigError(UserError):
    """The configuration is wrong; the message lists every problem, each with its key and value."""


class DataError(UserError):
    """A data set on disk is not what the configuration says it is."""


class TextError(DataError):
    """A text file cannot be read, or is no UTF-8 text."""


class TrialError(UserError):
    """A trial's folder, or a file in it, cannot be used.

    Args:
        fact: what is wrong.
        advice: what to do about the whole experiment; the message is both.
    """

    def __init__(self, fact: str, advice: str = "") -> None:
        super().__init__(fact + advice)
        self.fact = fact


class HeldError(TrialError):
    """Another process is training the experiment."""


def reason(error: Exception) -> str:
    """Return a library's message about a broken file, without numpy's advice to unpickle it, which would run foreign code."""
    text = str(error)
    return "it is no .npy file of numbers" if "pickle" in text else text
