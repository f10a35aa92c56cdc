"""What people type: JSON and durations."""

import io

import click
import pytest

from perdure.cli.complaints import Complaint
from perdure.cli.inputs import json_object, json_value, seconds


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("0.5", 0.5), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1.5m", 90)])
def test_a_duration_is_seconds_or_a_number_with_a_unit(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "-1", "5 minutes", "1w", "nan", "inf", "1e3", "٣"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration"):
        seconds(text)


def test_json_comes_from_the_option_or_from_standard_input(monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"from": "stdin"}'))

    assert json_value('{"from": "option"}', "--input") == {"from": "option"}
    assert json_value("-", "--input") == {"from": "stdin"}
    assert json_value(None, "--input") is None
    assert json_value("null", "--input") is None


@pytest.mark.parametrize("text", ["{", "text", "NaN", "Infinity", "[" * 100_000])
def test_what_is_no_json_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Complaint, match="--payload is no JSON") as refused:
        json_value(text, "--payload")
    assert "--payload '{" in refused.value.remedy


def test_arguments_are_an_object() -> None:
    assert json_object(None, "--input") == {}
    assert json_object('{"order": 1}', "--input") == {"order": 1}
    for text in ("[1]", "null", '"text"', "1"):
        with pytest.raises(Complaint, match="must be a JSON object"):
            json_object(text, "--input")
