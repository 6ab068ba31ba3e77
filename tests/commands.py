"""Commands as tests call them, in this process."""

from click.testing import CliRunner, Result

from medgen.cli import main


def run(*words: object, **options) -> Result:
    """What `medgen WORDS...` gives; see `CliRunner.invoke`."""
    return CliRunner().invoke(main, [str(word) for word in words], **options)


def succeed(*words: object, **options) -> Result:
    """Likewise, of a command that must not fail."""
    result = run(*words, **options)
    assert result.exit_code == 0, result.output
    return result


def assert_refused(result: Result, message: str) -> None:
    """One line on standard error, exit code 1, no traceback."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


def refuse(message: str, *words: object) -> str:
    """Run a command that must be refused, and return its sentence."""
    result = run(*words)
    assert_refused(result, message)
    return result.stderr.strip()
