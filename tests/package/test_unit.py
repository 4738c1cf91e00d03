# SPDX-License-Identifier: Apache-2.0
"""panorama.service by itself, and what the generator adds to it. How they work is for `make vm-test`."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from panorama.sinks import SINKS

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
GENERATOR = PACKAGING / "systemd-generator/panorama"
UNIT = PACKAGING / "panorama.service"


@pytest.fixture
def generated(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """The drop-ins for a configuration, by name."""

    def run(config: str) -> dict[str, str]:
        (tmp_path / "panorama.yaml").write_text(config)
        script = GENERATOR.read_text().replace("/etc/panorama/panorama.yaml", str(tmp_path / "panorama.yaml"))
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            done = subprocess.run(["sh", "-c", script, "sh", folder], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            return {path.name: path.read_text() for path in Path(folder, "panorama.service.d").iterdir()}

    return run


@pytest.mark.parametrize("name", sorted(SINKS))
def test_the_network_is_there_for_sinks_that_need_it(generated: Callable[[str], dict[str, str]], name: str) -> None:
    """However it is written; a comment is none."""
    for config in (f"sinks:\n  a:\n    type: {name}\n", f'sinks: {{a: {{"type": "{name}"}}}}', f"type:\n {name}"):
        assert ("10-network.conf" in generated(config)) is SINKS[name].remote, config
    assert "10-network.conf" not in generated(f"sinks:\n  ## type: {name}\n  #type: {name}\n")


def test_without_a_configuration_there_is_no_network(tmp_path: Path) -> None:
    script = GENERATOR.read_text().replace("/etc/panorama/panorama.yaml", str(tmp_path / "none"))
    subprocess.run(["sh", "-c", script, "sh", tmp_path], check=True)
    assert not (tmp_path / "panorama.service.d/10-network.conf").exists()


@pytest.mark.parametrize(("config", "most"), [("", 2.5), ("sinks: {a: {type: kafka}}", 3.0)])
def test_exposure(generated: Callable[[str], dict[str, str]], tmp_path: Path, config: str, most: float) -> None:
    """`systemd-analyze security` with and without a network, from the files alone."""
    unit = tmp_path / "panorama.service"
    unit.write_text("\n".join([UNIT.read_text(), *generated(config).values()]))
    command = ["systemd-analyze", "--no-pager", "--offline=true", "security", unit]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for panorama.service: ([\d.]+)", said)
    assert found, said
    assert float(found[1]) <= most, said
