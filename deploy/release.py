"""Build the distributions and check each extra in a clean environment: `make release`.

    python deploy/release.py [--extras local server] [--out dist]

Writes the wheel and the sdist, `sbom.json` (CycloneDX) and `licences.md` with the licence of every
package that the extras bring. Nothing is uploaded.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
SBOM_TOOL = "cyclonedx-bom==7.5.0"
UNCHECKED = frozenset({"dev", "vllm"})
"""Extras of development, and of machines with a GPU."""
PACKAGES_OF_EXTRAS = """
import json
from ragkit.cli.doctor import PACKAGES
print(json.dumps({extra: list(names) for extra, names in PACKAGES.items()}))
"""
LICENCE_TEXTS = """
import json
from importlib.metadata import distributions
stated = {one.metadata["Name"]: one.metadata["License"] for one in distributions()}
print(json.dumps({name: text.splitlines()[0] for name, text in stated.items() if text}))
"""
"""Prints what the packages of an environment say in the field that SPDX expressions replaced."""
QUESTION = "What did Tesla patent in 1891?"
ANSWER = "patented the Tesla coil"


def run(*command: str | Path, cwd: Path = ROOT, most: int = 0) -> str:
    """Run a command, and return what it printed; a status above `most` ends the release."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    if not 0 <= done.returncode <= most:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def extras_of_project() -> list[str]:
    """Return the extras that a user installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return sorted(set(project["optional-dependencies"]) - UNCHECKED)


def build(out: Path) -> Path:
    """Build the sdist, and the wheel from it; return the wheel."""
    for old in (*out.glob("ragkit-*.whl"), *out.glob("ragkit-*.tar.gz")):
        old.unlink()
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    (wheel,) = out.glob("ragkit-*.whl")
    return wheel


def installed(folder: Path, wheel: Path, extras: Sequence[str]) -> Path:
    """Install the wheel with extras into a new environment; return the environment's programs."""
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    pip = (programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    run(*pip, "-c", CONSTRAINTS, wanted)
    return programs


def check(programs: Path, folder: Path, version: str, extras: Sequence[str]) -> None:
    """Check import, version, and that doctor finds every package of the extras."""
    found = run(programs / "python", "-c", "import ragkit; print(ragkit.__version__)", cwd=folder)
    if found.strip() != version:
        raise SystemExit(f"The wheel says it is {found.strip()}, its name says {version}.")
    # It ends with 1 where an extra is missing.
    checks = json.loads(run(programs / "ragkit", "doctor", "--json", cwd=folder, most=1))["checks"]
    packages = run(programs / "python", "-c", PACKAGES_OF_EXTRAS, cwd=folder)
    named: dict[str, list[str]] = json.loads(packages)
    wanted = {package for extra in ("", *extras) for package in named.get(extra, ())}
    if wrong := [one for one in checks if one["name"] in wanted and one["status"] != "ok"]:
        raise SystemExit(f"ragkit doctor reports: {wrong}")
    if missing := wanted - {one["name"] for one in checks}:
        raise SystemExit(f"ragkit doctor does not know: {missing}")


def check_answers(programs: Path, folder: Path) -> None:
    """Ingest the example documents, and ask a question that they answer."""
    corpus = ROOT / "examples" / "corpus"
    run(programs / "ragkit", "ingest", corpus, cwd=folder)
    found = json.loads(run(programs / "ragkit", "ask", QUESTION, "--json", cwd=folder))
    if ANSWER not in found["text"]:
        raise SystemExit(f"{QUESTION!r} is answered with {found['text']!r}.")


def write_licences(programs: Path, out: Path) -> None:
    """Write the parts of an environment as an SBOM, and their licences as a table."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        tool = Path(folder, "bin")
        run(tool / "python", "-m", "pip", "install", "-q", SBOM_TOOL)
        sbom = out / "sbom.json"
        run(tool / "cyclonedx-py", "environment", programs / "python", "-o", sbom)
    parts = json.loads(sbom.read_text("utf-8"))["components"]
    texts: dict[str, str] = json.loads(run(programs / "python", "-c", LICENCE_TEXTS))
    rows = sorted(
        (
            part["name"],
            part.get("version", ""),
            licence_of(part) or texts.get(part["name"], "unknown"),
        )
        for part in parts
    )
    lines = ["| package | version | licence |", "| --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    (out / "licences.md").write_text("\n".join(lines) + "\n", "utf-8")
    unknown = [name for name, _, licence in rows if licence == "unknown"]
    print(f"{len(rows)} packages; of unknown licence: {', '.join(unknown) or 'none'}")


def licence_of(part: dict[str, Any]) -> str:  # JSON
    """Return the licence that a component of an SBOM states, empty where it states none."""
    stated = part.get("licenses", [])
    names = [
        one.get("expression") or one["license"].get("id") or one["license"].get("name", "")
        for one in stated
    ]
    short = (name.splitlines()[0].rpartition(" :: ")[2] for name in names if name)
    return ", ".join(dict.fromkeys(short))


def main() -> None:
    """Build, check every extra alone and all together, and list the licences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = extras_of_project()
    parser.add_argument("--extras", nargs="*", choices=known, default=known)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    wheel = build(options.out.resolve())
    version = wheel.name.split("-")[1]
    every = tuple(options.extras)
    for extras in dict.fromkeys([(), *((extra,) for extra in every), every]):
        with tempfile.TemporaryDirectory() as folder:
            programs = installed(Path(folder, "venv"), wheel, extras)
            check(programs, Path(folder), version, extras)
            if "local" in extras:
                check_answers(programs, Path(folder))
            print(f"{wheel.name}[{','.join(extras)}] works", flush=True)
            if extras == every:
                write_licences(programs, options.out.resolve())


if __name__ == "__main__":
    main()
