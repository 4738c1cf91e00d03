# SPDX-License-Identifier: Apache-2.0
"""Lines are numbered over restarts, each sink knows what it got before, and chained lines cannot be altered unseen."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from output_samples import HOSTILE_NAMES, UTC_CONTEXT, event, read_line

from panorama.cli import main
from panorama.output.line import Line, Part
from panorama.output.notice import notice
from panorama.service.delivery import Delivery, Stream
from panorama.sinks import SINKS, Setup, Style
from panorama.sinks.spool import Store


def line(number: int, layer: str = "operation", name: str = "f2.txt") -> Line:
    return replace(
        read_line(),
        time=read_line().time + number,
        verb=f"v{number}",
        layer=layer,
        object=(Part("file", event(name).file),),
    )


def stream(
    path: Path, wanted: Callable[[Line], bool] = lambda _: True, chained: bool = False, form: str = "json"
) -> Stream:
    """A stream into a file."""
    made = Stream(path.name, wanted=wanted, chained=UTC_CONTEXT if chained else None)
    made.sink = SINKS["file"].open(Setup(path.name, {"path": str(path)}, Style(form, UTC_CONTEXT), wrap=made.wrap))
    return made


def killed(store: Path, paths: list[Path], lines: list[Line]) -> None:
    """One run of a service that ends with kill -9, after a turn."""
    child = os.fork()
    if child == 0:
        delivery = Delivery(Store(store))
        for path in paths:
            delivery.add(stream(path))
        for one in lines:
            delivery.take(one)
        delivery.turn(0)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def deliver(store: Path, streams: list[Stream], lines: list[Line]) -> None:
    """One run of a service."""
    delivery = Delivery(Store(store))
    for each in streams:
        delivery.add(each)
    for one in lines:
        delivery.take(one)
    delivery.turn(0)
    delivery.close()


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    for run in range(3):
        deliver(tmp_path / "state.db", [stream(tmp_path / "all")], [line(run), line(run)])
    assert [record["sequence"] for record in records(tmp_path / "all")] == [1, 2, 3, 4, 5, 6]
    assert not any("previous" in record for record in records(tmp_path / "all"))


def test_after_a_kill_no_number_comes_twice_and_nothing_seems_missing(tmp_path: Path) -> None:
    killed(tmp_path / "state.db", [tmp_path / "all"], [line(1), line(2)])
    deliver(tmp_path / "state.db", [stream(tmp_path / "all")], [line(3)])
    first, second, third = records(tmp_path / "all")
    assert (first["sequence"], second["sequence"]) == (1, 2)
    assert third["previous"] in (0, 1, 2)
    assert isinstance(third["sequence"], int)
    assert third["sequence"] > 1000
    assert main(["verify", str(tmp_path / "all")]) == 0


def test_a_sink_that_gets_some_lines_is_told_which_one_was_before(tmp_path: Path) -> None:
    some = stream(tmp_path / "some", wanted=lambda each: each.layer != "operation")
    mixed = [line(n, "activity" if n % 3 == 0 else "operation") for n in range(1, 10)]
    deliver(tmp_path / "state.db", [stream(tmp_path / "all"), some], mixed)
    assert [record["sequence"] for record in records(tmp_path / "all")] == list(range(1, 10))
    told = [(record["sequence"], record.get("previous")) for record in records(tmp_path / "some")]
    assert told == [(3, 0), (6, 3), (9, 6)]


def verified(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[int, str]:
    capsys.readouterr()
    status = main(["verify", *map(str, paths)])
    return status, capsys.readouterr().out


FORMS = ["json", "ecs", "cef", "ocsf"]


@pytest.mark.parametrize("form", FORMS)
def test_verify_finds_what_is_missing_and_what_came_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    path = tmp_path / "all"
    deliver(tmp_path / "state.db", [stream(path, form=form)], [line(n) for n in range(1, 11)])
    assert verified(capsys, path) == (0, "ep1: 10 lines, sequence 1 to 10\n  none missing\n")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3] + lines[5:] + lines[7:9]) + "\n")
    status, said = verified(capsys, path)
    assert status == 1
    assert said == "ep1: 8 lines, sequence 1 to 10\n  missing (1): between 3 and 6\n  twice (2): 8, 9\n"


def test_verify_takes_lines_in_any_order_and_from_several_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(tmp_path / "state.db", [stream(tmp_path / "all")], [line(n) for n in range(1, 11)])
    lines = (tmp_path / "all").read_text().splitlines()
    (tmp_path / "one").write_text("\n".join(reversed(lines[1::2])) + "\n")
    (tmp_path / "two").write_text("\n".join(lines[::2]) + "\n")
    assert verified(capsys, tmp_path / "one", tmp_path / "two")[0] == 0
    assert verified(capsys, tmp_path / "one")[0] == 1


def test_filtered_lines_are_complete_by_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = stream(tmp_path / "some", wanted=lambda each: each.layer != "operation")
    deliver(tmp_path / "state.db", [some], [line(n, "activity" if n % 3 == 0 else "operation") for n in range(1, 13)])
    assert verified(capsys, tmp_path / "some")[0] == 0
    lines = (tmp_path / "some").read_text().splitlines()
    (tmp_path / "some").write_text("\n".join(lines[:1] + lines[2:]) + "\n")
    assert "missing (1): between 3 and 9" in verified(capsys, tmp_path / "some")[1]


@pytest.mark.parametrize("form", FORMS)
def test_chained_lines_are_found_unaltered_also_over_restarts_and_with_hostile_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    path = tmp_path / "all"
    for part in (HOSTILE_NAMES[::2], [*HOSTILE_NAMES[1::2], "0" * 64]):
        lines = [line(n, name=name) for n, name in enumerate(part)]
        deliver(tmp_path / "state.db", [stream(path, chained=True, form=form)], lines)
    status, said = verified(capsys, path)
    assert (status, "none is altered" in said) == (0, True)


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_letter_shows_in_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    path = tmp_path / "all"
    deliver(tmp_path / "state.db", [stream(path, chained=True, form=form)], [line(n) for n in range(1, 8)])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[3].replace("alice", "mallo"), *lines[4:]]) + "\n")
    status, said = verified(capsys, path)
    assert (status, f"altered, or not behind the line it was behind (1): {path}:4" in said) == (1, True)


def test_of_two_different_lines_with_one_sequence_both_places_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all"
    deliver(tmp_path / "state.db", [stream(path)], [line(n) for n in range(1, 4)])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1].replace("alice", "mallo")]) + "\n")
    status, said = verified(capsys, path)
    assert (status, f"{path}:4 (sequence 2 is also that of {path}:2)" in said) == (1, True)


def test_a_notice_is_numbered_like_any_line(tmp_path: Path) -> None:
    deliver(tmp_path / "state.db", [stream(tmp_path / "all")], [line(1), notice(0, "lost", "3 events")])
    assert [record["sequence"] for record in records(tmp_path / "all")] == [1, 2]
