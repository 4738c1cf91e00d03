# SPDX-License-Identifier: Apache-2.0
"""What users read of the configuration is true: packaging/panorama.yaml and panorama.yaml(5) are what the tables give.

`pytest tests/config/test_config_manual.py --golden` writes both anew.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from panorama.config.behaviors import loaded
from panorama.config.load import defaults, load_config
from panorama.config.manual import example, page, template
from panorama.config.model import Config
from panorama.config.settings import FILTER, SETTINGS, SINK
from panorama.paths import BEHAVIORS
from panorama.reading.keys import KINDS, Key
from panorama.reading.values import spelled
from panorama.sinks import SINKS, SinkType

PACKAGING = BEHAVIORS.parent / "packaging"
TABLES = {"settings": SETTINGS, "sink": SINK, "filter": FILTER, **{type: kind.keys for type, kind in SINKS.items()}}
KEYS = [pytest.param(key, id=f"{table}-{name}") for table, keys in TABLES.items() for name, key in keys.items()]


@pytest.mark.parametrize(("name", "made"), [("panorama.yaml", template), ("man/panorama.yaml.5.scd", page)])
def test_the_committed_file_is_current(name: str, made: object, request: pytest.FixtureRequest) -> None:
    assert callable(made)
    if request.config.getoption("--golden"):
        (PACKAGING / name).write_text(made())
    assert (PACKAGING / name).read_text() == made()


def here(text: str) -> str:
    """The text with the paths of this checkout in place of those of an installed Panorama."""
    return text.replace("/usr/share/panorama", str(BEHAVIORS.parent))


def uncommented(text: str) -> str:
    """With the # of every default taken away; prose has one space behind its #, an example begins with two of them."""
    return re.sub(r"^( *)#(?!#| \S|$)", r"\1", text, flags=re.MULTILINE)


def test_the_file_as_it_is_shipped_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "panorama.yaml").write_text(template())
    assert replace(load_config(tmp_path / "panorama.yaml"), path="") == defaults()


def test_the_defaults_in_the_file_are_the_defaults(tmp_path: Path) -> None:
    """Every key is there, and uncommented they are what holds anyway."""
    (tmp_path / "panorama.yaml").write_text(here(uncommented(template())))
    config = load_config(tmp_path / "panorama.yaml")
    assert replace(config, path="", origins={}) == defaults()
    [sink] = config.sinks
    named = {*SETTINGS} | {f"sinks.{sink.name}.{name}" for name in [*SINK, *sink.values]}
    named |= {f"sinks.{sink.name}.filter.{name}" for name in FILTER}
    assert named <= config.origins.keys()


@pytest.mark.parametrize("type", sorted(SINKS))
def test_the_example_of_every_type_can_be_used(type: str, tmp_path: Path) -> None:
    """The ## of one taken away, and nothing else; the files it names are made first."""
    block = re.search(rf"(?m)^  ##{type}:\n(?:  ##  .*\n)*", template())
    assert block
    text = here(template().replace(block[0], block[0].replace("##", "")))
    for key, value in re.findall(r"(?m)^    ([a-z_]+): (/etc/panorama/\S+)$", text):
        (tmp_path / key).write_text("x")
        (tmp_path / key).chmod(0o600)
        text = text.replace(f"{key}: {value}", f"{key}: {tmp_path / key}")
    (tmp_path / "panorama.yaml").write_text(text)
    [sink] = load_config(tmp_path / "panorama.yaml").sinks
    assert (sink.name, sink.type) == (type, type)
    assert f"  {block[0].strip()}".replace("##", "").splitlines() == [f"  {line}" for line in example(type)]


def test_the_example_in_the_readme_can_be_used(tmp_path: Path) -> None:
    text = (PACKAGING.parent / "README.md").read_text().partition("## Configuration")[2]
    (tmp_path / "panorama.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    config = load_config(tmp_path / "panorama.yaml")
    assert [sink.name for sink in config.sinks] == ["local", "siem"]
    assert "exec" in [behavior.name for behavior in loaded(config).program.behaviors if behavior.enabled]


def test_the_manual_page_can_be_made() -> None:
    """scdoc takes it, and every key is in it."""
    made = subprocess.run(["scdoc"], input=page(), capture_output=True, text=True, timeout=60)
    assert (made.returncode, made.stderr) == (0, "")
    text = subprocess.run(["man", "-l", "-"], input=made.stdout, capture_output=True, text=True, timeout=60).stdout
    for name in [
        *SETTINGS,
        *(f"filter.{name}" for name in FILTER),
        *(key for kind in SINKS.values() for key in kind.keys),
    ]:
        assert re.search(rf"(?m)^ +{re.escape(name)} \(", text), name


def test_other_types_are_in_both_by_themselves(pigeon: SinkType) -> None:
    """Needed keys as they are used, others commented out; a key that leaves no doubt says so in the manual."""
    assert example("pigeon")[:5] == [
        "pigeon:",
        "  type: pigeon",
        "  # Where it flies to.",
        "  loft: siem.example:6514",
        "  # What is on its leg.",
    ]
    assert "  ##  #ring: none\n" in template()
    assert "*name* (text)\n\tThe name on the ring. Only with ring: name.\n" in page()
    assert "Formats: json, text." in page()


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_declared_as_it_can_be_read(key: Key) -> None:
    """A kind there is, choices where there are words, a default within the bounds; it can be written."""
    assert key.kind in KINDS
    assert bool(key.choices) == (key.kind in ("word", "words"))
    assert not (key.needed and key.default is not None)
    assert key.summary
    if key.default is not None:
        spelled(key.kind, key.default)
        assert key.least is None or key.default >= key.least
        assert key.most is None or key.default <= key.most
        defaults = key.default if isinstance(key.default, tuple) else (key.default,)
        assert not key.choices or set(defaults) <= set(key.choices)


@pytest.mark.parametrize("type", sorted(SINKS))
def test_no_type_has_a_key_that_all_sinks_have(type: str) -> None:
    assert not {*SINK, "filter"} & SINKS[type].keys.keys()
    only = {key.only[0] for key in SINKS[type].keys.values() if key.only}
    assert only <= SINKS[type].keys.keys()


def test_the_attributes_of_a_config_are_the_keys() -> None:
    names = {field.name for field in dataclasses.fields(Config)} - {"path", "sinks", "origins"}
    assert names == {name.replace(".", "_") for name in SETTINGS}
