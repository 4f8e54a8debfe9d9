"""What is written as TOML reads back to what it was."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.tomlio import to_toml

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
SCALARS = TEXTS | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
KEYS = TEXTS.filter(lambda key: key and "." not in key)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_it_reads_back(data):
    assert tomllib.loads(to_toml(data)) == data


def test_dotted_keys_are_tables_in_tables():
    data = {"name": "x", "regime": {"lr": 1e-05}, "arm": [{"name": "a", "regime.weight_decay": 0.0}, {"b c.d": 1}]}
    assert tomllib.loads(to_toml(data)) == {
        "name": "x",
        "regime": {"lr": 1e-05},
        "arm": [{"name": "a", "regime": {"weight_decay": 0.0}}, {"b c": {"d": 1}}],
    }


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), b"x", {1, 2}])
def test_what_toml_cannot_hold_is_an_error_that_names_the_key(value):
    with pytest.raises(ValueError, match="key: "):
        to_toml({"key": value})
