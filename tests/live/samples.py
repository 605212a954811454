"""Samples of documentation, run as a reader runs them: by curl, Python's requests, Node's fetch, PHP's curl.

A sample stays as it stands. What it was answered is observed from outside: by curl's configuration file, by a program
that runs the sample and then looks at its variables, by a module that Node loads first.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LANGUAGES = ("curl", "python", "javascript", "php")
PYTHON = Path(sys.prefix) / "clients" / "bin" / "python"  # with `requests`; see script/bootstrap

_CURL = 'silent\nshow-error\nwrite-out = "\\n%{http_code}"\n'
_PYTHON = """
import contextlib, io, json, runpy, sys
with contextlib.redirect_stdout(io.StringIO()) as printed:
    response = runpy.run_path(sys.argv[1])["response"]
assert printed.getvalue().strip() in {str(response.json()) if response.content else "", str(response.status_code)}
print(response.text)
print(response.status_code)
"""
_NODE = """
const ask = globalThis.fetch;
let status, shown;
globalThis.fetch = async (...request) => {
  const answer = await ask(...request);
  status = answer.status;
  return answer;
};
console.log = (value) => { shown = value; };
process.on('exit', () => process.stdout.write(JSON.stringify(shown) + '\\n' + status));
"""
_PHP = '<?php\necho $response, "\\n", curl_getinfo($ch, CURLINFO_HTTP_CODE);\n'


@dataclass(frozen=True)
class Answer:
    """What a sample was answered: the HTTP status, and the JSON (None where there is no body)."""

    status: int
    body: Any


def run(language: str, sample: str, *, timeout_s: float = 60) -> Answer:
    """Run a sample. Raises CalledProcessError, with what it said, where it fails."""
    with tempfile.TemporaryDirectory(prefix="openvps-sample-") as name:
        folder = Path(name)
        folder.chmod(0o700)
        done = subprocess.run(
            _command(language, sample, folder),
            env={**os.environ, "CURL_HOME": name, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    assert done.returncode == 0, f"{language}: {done.stderr}\n{sample}"
    assert not done.stderr, f"{language}: {done.stderr}\n{sample}"
    body, _, status = done.stdout.strip().rpartition("\n")
    return Answer(int(status), json.loads(body) if body.strip() not in {"", "undefined"} else None)


def _command(language: str, sample: str, folder: Path) -> list[str]:
    """Write the sample and its observer into `folder` and return what runs them."""
    match language:
        case "curl":
            (folder / ".curlrc").write_text(_CURL)
            return ["bash", "-euc", sample]
        case "python":
            (folder / "sample.py").write_text(sample)
            return [str(PYTHON), "-c", _PYTHON, "sample.py"]
        case "javascript":
            (folder / "observe.cjs").write_text(_NODE)
            (folder / "sample.mjs").write_text(sample)  # a module: it awaits at its top level
            return ["node", "--require", "./observe.cjs", "sample.mjs"]
        case "php":
            (folder / "observe.php").write_text(_PHP)
            (folder / "sample.php").write_text(sample if sample.startswith("<?php") else f"<?php\n{sample}")
            return ["php", "-d", "display_errors=stderr", "-d", "auto_append_file=observe.php", "sample.php"]
        case _:
            raise ValueError(f"{language} is not one of {', '.join(LANGUAGES)}")
