import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of the tree, and the wheel built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def _modules() -> set[str]:
    """Every module of the tree, as the wheel names it."""
    folders = {"ragkit": ROOT / "ragkit", "ragkit/agents": ROOT / "agents"}
    folders["ragkit/ingest"] = ROOT / "ingest"
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}"
        for prefix, folder in folders.items()
        for path in folder.rglob("*.py")
    }


def test_the_wheel_holds_every_module_and_ragkit_alone(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = _modules() - names
    assert not missing
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"ragkit"}
    assert "ragkit/py.typed" in names


def test_the_sdist_holds_every_module_once_more(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not _modules() - names
    assert {"pyproject.toml", "README.md", "LICENSE", "compose.yaml"} <= names
    assert "tests/test_packaging.py" in names
    assert "examples/demo.py" in names


def test_agents_and_ingest_are_links_inside_the_package() -> None:
    for name in ("agents", "ingest"):
        link = ROOT / "ragkit" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name
