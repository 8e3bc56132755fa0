"""What is printed for programs."""

import json

import pytest

from lading.adapters.cli.output import as_json


def test_a_number_that_json_does_not_have_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    as_json({"a": float("inf"), "b": [float("nan"), {"c": -float("inf")}], "d": (1.5, 10**400, None)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, {"c": None}], "d": [1.5, 10**400, None]}
