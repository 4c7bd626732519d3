"""llama.cpp as a peer, where it is: npm's node-llama-cpp, whose package NODE_LLAMA_CPP names."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = Path(__file__).with_suffix(".mjs")


def ask(task: str, model: Path, given: object, folder: Path) -> Any:
    """What llama.cpp answers; skips the test where it is not."""
    package = os.environ.get("NODE_LLAMA_CPP", "")
    node = shutil.which("node")
    if not node or not (Path(package) / "dist" / "index.js").exists():
        pytest.skip(
            "no llama.cpp: npm install node-llama-cpp, and set NODE_LLAMA_CPP to"
            " node_modules/node-llama-cpp"
        )
    question, answer = folder / "question.json", folder / "answer.json"
    question.write_text(json.dumps(given))
    done = subprocess.run(
        [node, _SCRIPT, task, model, question, answer], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(answer.read_text())
