# SPDX-License-Identifier: Apache-2.0
"""Files and folders of behaviors, and what a good one means; bad ones are in test_bad_specs.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from panorama.errors import InputError
from panorama.machines.compiler import compile_behaviors
from panorama.machines.model import Condition, Emit, Example, Test
from panorama.machines.spec import load_behaviors, read_behaviors

FILE = (Path(__file__).parent.parent.parent / "behaviors" / "file.yaml").read_text()
LINE = "- {trigger: open, source: new, emit: read}\n"


def texts(name: str, transitions: str = LINE, **keys: str) -> dict[str, str]:
    known = {"behavior": name, "summary": "A sample.", "layer": "operation", "per": "file", "initial": "new", **keys}
    return {
        f"{name}.yaml": "".join(f"{key}: {value}\n" for key, value in known.items()) + "transitions:\n" + transitions
    }


def refused(files: dict[str, str]) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_behaviors(files)
    return [str(problem) for problem in caught.value.problems]


def test_the_model_says_what_the_file_says() -> None:
    """Spelled out: lists for single words, every state for "*", values by their meaning."""
    transitions = """
- {trigger: open, source: new, dest: seen, save: {kept: file}, conditions: {created: true}}
- trigger: [read, timeout]
  source: "*"
  conditions: {file: [kept, /etc/, "/tmp/*"], bytes_read: ">0"}
  emit: "peek {{ {kept} }}"
"""
    more = 'examples: [{run: cat f, lines: [cat read f], not: "cat write f"}]\n'
    [behavior] = read_behaviors({"a.yaml": texts("a", transitions, states="{seen: {timeout: 2m}}")["a.yaml"] + more})
    assert behavior.states == ("new", "seen")
    assert behavior.timeouts == (("seen", 120 * 10**9),)
    assert behavior.examples == (Example("cat f", ("cat read f",), ("cat write f",)),)
    second = behavior.transitions[1]
    assert second.triggers == ("read", "timeout")
    assert second.sources == ("new", "seen")
    assert second.dest is None
    assert second.conditions == (
        Condition("file", (Test("saved", "kept"), Test("prefix", "/etc/"), Test("glob", "/tmp/*")), "path"),
        Condition("bytes_read", (Test("compare", 0, ">"),), "number"),
    )
    assert second.emit == Emit("peek", ("{ ", ("kept",), " }"))


def test_a_folder_is_read_at_any_depth(tmp_path: Path) -> None:
    """Behaviors only: neither ignore.yaml, nor hidden files, nor what is not .yaml."""
    (tmp_path / "net").mkdir()
    (tmp_path / "file.yaml").write_text(FILE)
    (tmp_path / "net" / "b.yaml").write_text(texts("b")["b.yaml"])
    (tmp_path / "ignore.yaml").write_text("ignore: []\n")
    (tmp_path / ".#file.yaml").write_text("}")
    (tmp_path / "README").write_text("}")
    loaded = load_behaviors([tmp_path, tmp_path / "file.yaml"], uid=1000)
    assert [behavior.name for behavior in loaded] == ["b", "file"]


def test_a_folder_without_behaviors_is_a_mistake(tmp_path: Path) -> None:
    """As is one that is not there."""
    for path, what in ((tmp_path, "there are no behaviors"), (tmp_path / "gone", "No such file")):
        with pytest.raises(InputError, match=what):
            load_behaviors([path], uid=1000)


def test_names_are_unique(tmp_path: Path) -> None:
    """The second is at fault, and told of the first."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file.yaml").write_text(FILE)
    with pytest.raises(InputError) as caught:
        load_behaviors([tmp_path], uid=1000)
    assert str(caught.value) == (
        f"{tmp_path}/b/file.yaml:1:11: behavior 'file' is already defined in {tmp_path}/a/file.yaml"
    )


def test_verbs_are_checked_against_what_is_switched_on() -> None:
    """An unknown one gets the nearest; one that is off says which behavior to switch on."""
    activity = texts("z", "- {trigger: raed, source: new, emit: peek}\n", layer="activity")
    assert refused(texts("a") | activity) == ["z.yaml:7:13: no operation emits the verb 'raed'; did you mean 'read'?"]
    activity = texts("z", "- {trigger: read, source: new, emit: peek}\n", layer="activity")
    assert refused(texts("a", enabled="false") | activity) == [
        "z.yaml:7:13: the verb 'read' comes only from 'a', which is not enabled"
    ]
    off = texts("z", "- {trigger: read, source: new, emit: peek}\n", layer="activity", enabled="false")
    assert len(read_behaviors(texts("a", enabled="false") | off)) == 2


def test_a_broken_operation_is_not_blamed_on_the_activities() -> None:
    """Its verbs cannot be known."""
    activity = texts("z", "- {trigger: read, source: new, emit: peek}\n", layer="activity")
    [problem] = refused({"a.yaml": "{"} | activity)
    assert problem.startswith("a.yaml:")


def test_the_digest_is_of_what_is_said_not_how() -> None:
    """Comments, order of files and examples do not count; a condition does."""
    plain = texts("a") | texts("b")
    same = dict(reversed({**texts("a"), "b.yaml": "# hello\n" + texts("b")["b.yaml"]}.items()))
    other = texts("a") | texts("b", "- {trigger: open, source: new, emit: read, conditions: {created: true}}\n")
    digests = [compile_behaviors(read_behaviors(each)).digest for each in (plain, same, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("transitions", "keeps"),
    [
        ("- {trigger: open, source: new, emit: read}", True),
        ("- {trigger: open, source: new, conditions: {created: true}, emit: create}", False),
        ("- {trigger: close, source: new, conditions: {truncated: false}, emit: peek}", True),
        ("- {trigger: close, source: new, conditions: {bytes_read: '>0'}, emit: read}", False),
        ("- {trigger: close, source: new, conditions: {bytes_read: '<9'}, emit: read}", True),
        ("- {trigger: unlink, source: new, emit: remove}", False),
        ("- {trigger: open, source: new, dest: a}\n- {trigger: unlink, source: a, emit: remove}", True),
        (
            "- {trigger: open, source: new, dest: a}\n"
            "- {trigger: close, source: a}\n"
            "- {trigger: read, source: a, emit: x}",
            False,
        ),
    ],
)
def test_whether_untouched_sessions_are_wanted(transitions: str, keeps: bool) -> None:
    """They are if open and close alone can write a line, or leave a machine waiting."""
    assert compile_behaviors(read_behaviors(texts("a", transitions + "\n"))).keeps_untouched is keeps
