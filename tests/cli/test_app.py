"""What all commands have in common."""

import subprocess
import sys
from pathlib import Path

import pytest

# Matplotlib's font module, a compiled one, makes enumerations while it loads.
INTERRUPTED_WHILE_LOADING = """
import signal, sys
from swath.cli import main

def interrupt(frame, event, _):
    code, caller = frame.f_code, frame.f_back
    if event == "call" and code.co_filename.endswith("enum.py") and caller:
        if "ft2font" in str(caller.f_locals.get("args")):
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

sys.setprofile(interrupt)
sys.exit(main())
"""


@pytest.mark.slow
def test_interrupt_while_a_compiled_module_loads_is_no_bug(small_model: Path, tmp_path: Path):
    command = ["compare", str(small_model), "--local", "2", "--planners", "even"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING, *command],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert "bug" not in done.stderr
    assert not list(tmp_path.glob("**/*.png"))


def test_no_command_waits_for_what_few_commands_need():
    code = "import sys, swath.cli.app; print(*[m for m in ("
    code += (
        "'gymnasium', 'joblib', 'matplotlib', 'scipy', 'sklearn', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
