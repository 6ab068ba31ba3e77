"""What a message may hold of file names and headers."""

import pickle

import pytest

from medgen.errors import MedgenError, ReadError, printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("scan é 脳.nii", "scan é 脳.nii"),
        ("\x1b[2J\a", r"\x1b[2J\x07"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("txt.\u202ecod", r"txt.\u202ecod"),
        (b"caf\xe9".decode(errors="surrogateescape"), r"caf\udce9"),
        (r"already \x1b", r"already \x1b"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
    assert str(ReadError(f"{text} is damaged.")) == f"{shown} is damaged."
    shown.encode()


def test_quotes_are_short():
    assert quoted("a" * 160) == "a" * 160
    assert quoted("a" * 161) == "a" * 157 + "..."
    assert quoted("\0" * 9000) == r"\x00" * 39 + r"\..."
    assert quoted(None) == "None"


def test_errors_come_through_a_pool_of_processes():
    error = pickle.loads(pickle.dumps(ReadError("a\nb")))
    assert isinstance(error, MedgenError)
    assert str(error) == r"a\nb"
