"""Times and texts of subtitles that stand in unusual ways."""

import pytest

from ragkit import InputError
from ragkit.ingest.loaders import loader_for


def text(source: str) -> str:
    return loader_for(".srt").load(source.encode(), uri="a.srt").text


@pytest.mark.parametrize(
    "time",
    [
        "00:00:05 --> 00:00:06",
        "00:00:05,000 --> 00:00:06,000",
        "00:05.5 --> 00:06.5 align:left",
        "0:0:5,0000-->0:0:6",
    ],
)
def test_fractions_of_a_second_are_optional(time: str) -> None:
    assert text(f"1\n{time}\nHello\n") == "[00:00:05] Hello"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1\n00:01 --> 00:02\nfirst\n\nmore\n\n2\n00:03 --> 00:04\nlast\n", "first more last"),
        ("1\n00:01 --> 00:02\n\nfirst\n\n\n2\n00:03 --> 00:04\nlast\n\n", "first last"),
        ("1\n\n00:01 --> 00:02\n\nfirst\n\n2\n\n00:03 --> 00:04\n\nlast\n", "first last"),
        ("1\n00:01 --> 00:02\nfirst\n2\n00:03 --> 00:04\nlast", "first last"),
        ("00:01 --> 00:02\n42\n\n00:03 --> 00:04\nlast", "42 last"),
        ("WEBVTT\n\nintro\n00:01 --> 00:02\nfirst\n\nend\n00:03 --> 00:04\nlast", "first last"),
        ("WEBVTT\n\n00:01 --> 00:02\nfirst\n\nNOTE a\nb\n\nmore\n\nSTYLE\n::cue {}", "first more"),
        ("00:01 --> 00:02\nfirst\n\nNOTE in SubRip", "first NOTE in SubRip"),
    ],
)
def test_text_belongs_to_the_cue_before_it(source: str, said: str) -> None:
    assert text(source) == f"[00:00:01] {said}"


@pytest.mark.parametrize("time", ["00:00:xx,000 --> 00:00:04", "--> 00:00:04", "1:2:3:4 --> 5"])
def test_a_time_that_cannot_be_read_is_an_error_with_its_line(time: str) -> None:
    with pytest.raises(
        InputError, match=r"'a.srt' has no readable time in line 6: .* Fix: "
    ) as error:
        text(f"1\n00:00:01 --> 00:00:02\nHello\n\n2\n{time}\nlost\n")
    assert repr(time) in str(error.value)
