import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ragkit.llm.partial_json import FieldReader, Path

keys = st.text(max_size=4)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def strings(value: Any, path: Path = ()) -> list[tuple[Path, str]]:
    if isinstance(value, str):
        return [(path, value)] if value else []
    return [found for key, item in pairs(value) for found in strings(item, (*path, key))]


def pairs(value: Any) -> Any:
    return (
        value.items()
        if hasattr(value, "items")
        else enumerate(value if hasattr(value, "append") else ())
    )


@given(value=values, size=st.integers(1, 9), ascii_only=st.booleans())
def test_the_pieces_of_every_string_make_up_the_string_wherever_the_text_is_cut(
    value: Any, size: int, ascii_only: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    reader = FieldReader()
    joined: dict[Path, str] = {}
    for start in range(0, len(text), size):
        for path, piece in reader.feed(text[start : start + size]):
            joined[path] = joined.get(path, "") + piece
    assert list(joined.items()) == strings(value)


def test_a_string_comes_out_before_it_ends() -> None:
    reader = FieldReader()
    assert reader.feed('{"thought":"Let') == [(("thought",), "Let")]
    assert reader.feed(' us","calls":[{"tool":"f') == [
        (("thought",), " us"),
        (("calls", 0, "tool"), "f"),
    ]
