"""The example notebook runs, and shows what its outputs say it shows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))

EXECUTE = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def said(notebook: dict) -> list[tuple[str, list]]:
    """Source and outputs of every cell of code: its text and tables; of pictures only that there is one."""
    found = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        outputs, streamed = [], False
        for output in cell["outputs"]:
            assert output["output_type"] in ("stream", "execute_result", "display_data"), output
            assert output.get("name") != "stderr", output
            data = output.get("data", {})
            shown = "".join(output.get("text", data.get("text/html", ""))) or sorted(data)
            if streamed and output["output_type"] == "stream":
                outputs[-1] += shown  # in how many pieces a kernel sends what is printed is a matter of time
            else:
                outputs.append(shown)
            streamed = output["output_type"] == "stream"
        found.append(("".join(cell["source"]), outputs))
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_the_notebook_runs_and_its_outputs_are_fresh(path, tmp_path):
    for needed in ("nbclient", "nbformat", "ipykernel", "matplotlib"):
        pytest.importorskip(needed)
    again = tmp_path / path.name
    done = subprocess.run([sys.executable, "-c", EXECUTE, path, again], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = said(json.loads(path.read_text(encoding="utf-8")))
    assert len(kept) > 10 and all(outputs for source, outputs in kept if source.splitlines()[-1][0] != " ")
    assert said(json.loads(again.read_text(encoding="utf-8"))) == kept


def test_outputs_are_committed_and_hold_no_script():
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        kinds = {
            kind
            for cell in json.loads(text)["cells"]
            for output in cell.get("outputs", ())
            for kind in output.get("data", ())
        }
        assert kinds == {"text/plain", "text/html", "image/svg+xml"}
        assert "<script" not in text and "javascript:" not in text
        assert len(text) < 2**20
