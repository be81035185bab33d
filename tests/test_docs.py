"""The README, ARCHITECTURE and examples do what they say: their commands and code are executed."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import unrollviz

import unrollviz as uz
from unrollviz.draw.colouring import COLOURINGS
from unrollviz.draw.highlight import GROUPS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
GUIDES = sorted((ROOT / "docs").glob("*.md"))
COMMANDS = [
    (match[1], match[2])
    for text in (README, *(guide.read_text(encoding="utf-8") for guide in GUIDES))
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    for match in re.finditer(r"\$ (.*)\n((?:[^$].*\n|\n)*)", block)
]


def run(arguments: list[str], cwd: Path, given: str = "", **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "XDG_STATE_HOME": str(cwd), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("command", "said"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_documented_commands_run_and_print_what_they_show(command, said, tmp_path):
    first, _, rest = command.rpartition(" | ")  # printf '…' | unrollviz …
    given = first.removeprefix("printf '").removesuffix("'").replace("\\n", "\n")
    program, *arguments = shlex.split(rest)
    assert program == "unrollviz"
    if arguments[0] == "plot" and "-o" in arguments:
        pytest.importorskip("matplotlib")
    done = unrollviz(*arguments, cwd=tmp_path, given=given, XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    for line in said.splitlines():
        assert line in printed or not line.strip()


def test_readme_python_runs(tmp_path):
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    assert "dn + d² + kd + d + k = 12 + 9 + 12 + 3 + 4 = 40" in run(["-c", code], tmp_path)


def test_readme_commands_on_a_model_run(tmp_path):
    network = uz.Network.init("lstm", 5, 6, 4, layers=2)
    network.save(tmp_path / "model.safetensors")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "seq.npz", xs=rng.standard_normal((30, 5)), targets=rng.integers(0, 4, 30))
    commands = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines() if "model." in line]
    assert len(commands) == 6
    for command in commands:
        assert run(["-m", "unrollviz", *shlex.split(command, comments=True)[1:]], tmp_path)


def test_readme_experiment_is_one(tmp_path):
    (block,) = [block for kind, block in BLOCKS if kind == "toml"]
    (tmp_path / "hello.toml").write_text(block, encoding="utf-8")
    assert "lstm network" in run(["-m", "unrollviz", "info", "hello.toml"], tmp_path)


def test_readme_names_the_two_commands_that_the_makefile_has():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    block = next(block for kind, block in BLOCKS if kind == "sh")
    assert [line.split()[1] for line in block.splitlines()] == ["demo", "test"]
    assert {"demo", "test"} <= set(targets)
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDES], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).is_file(), target


def test_the_guide_to_pictures_names_every_choice():
    text = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    for name in (*GROUPS, *COLOURINGS):
        assert f"`{name}" in text, name


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_run(example, tmp_path):
    if "import torch" in example.read_text(encoding="utf-8"):
        pytest.importorskip("torch")
    assert run([str(example)], tmp_path, EPOCHS="1")


def test_the_adding_problem_is_learnt_by_the_readmes_command(tmp_path):
    (command,) = [line for _, block in BLOCKS for line in block.splitlines() if "train --sample adding" in line]
    said = json.loads(run(["-m", "unrollviz", *shlex.split(command, comments=True)[1:], "--json"], tmp_path))
    assert said["losses"][-1] < 0.01 < 0.1 < said["losses"][0]
    assert said["reach"]["W_f"] > 15
    history = json.loads(run(["-m", "unrollviz", "history", "adding", "--json"], tmp_path))
    assert history["reach"][0][0] < 10
    highway = [index for index, route in enumerate(history["routes"]) if "highway" in route]
    over = [sum(shares[0][index] for index in highway) for shares in history["route_shares"]]
    assert over[0] < 0.6 < 0.8 < over[-1]
    (command,) = [line for _, block in BLOCKS for line in block.splitlines() if "diff - adding" in line]
    told = json.loads(run(["-m", "unrollviz", *shlex.split(command, comments=True)[1:], "--json"], tmp_path))
    (row,) = [row for row in told["rows"] if row["label"] == {"weights": 1, "highway": 1}]
    assert row["a"]["share"] < 0.3 < 0.5 < row["b"]["share"]
    assert row["p"] < 0.001
    assert row == max(told["rows"], key=lambda row: row["change"])


def test_the_name_example_draws(tmp_path):
    run([str(ROOT / "examples" / "name.py"), "ada", "ada.svg"], tmp_path)
    assert (tmp_path / "ada.svg").stat().st_size > 1000


def test_architecture_names_every_file_and_no_other():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (plan,) = re.findall(r"```\n(cli/.*?)```", text, re.DOTALL)
    package, inside, drawn = ROOT / "unrollviz", "", dict[str, set[str]]()
    for line in plan.splitlines():
        names = re.findall(r"\b(\w+(?:\.py|/))", line)
        if line.startswith("  ") and line[2] != " ":
            drawn.setdefault(inside, set()).update(names[:1])
        else:
            drawn.setdefault("", set()).update(names)
            inside = names[0] if names else inside
    for folder, named in drawn.items():
        files = {path.name for path in (package / folder).glob("*.py")} - {"__init__.py", "__main__.py"}
        folders = {f"{path.name}/" for path in package.iterdir() if list(path.glob("*.py"))} if not folder else set()
        assert named == files | folders
    assert len(drawn) == 6


def test_every_module_says_what_it_is_for():
    for path in (ROOT / "unrollviz").rglob("*.py"):
        assert path.read_text(encoding="utf-8").startswith('"""'), path
