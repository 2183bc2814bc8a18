"""The checks of this project: `nox` runs those a reviewer would run, `nox -l` lists all.

Sessions use the environment that nox itself runs in (the README's first command makes it); only `package`,
`pythons` and `site` make their own.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests", "docs", "package"]

ROOT = Path(__file__).parent
CAMPAIGN = (
    "tests/crash",
    "tests/journal/test_processes.py",
    *(
        f"tests/data_pipeline/test_{name}.py"
        for name in ("kills", "backup_kills", "vector_kills", "server", "text_matching")
    ),
)
"""The tests that take a sample: of points to die at, moments to be killed at, power losses, errors, texts."""

SMOKE = (
    "tests/journal/test_transaction.py",
    "tests/journal/test_command_line.py",
    "tests/journal/test_processes.py",
    "tests/data_pipeline/test_demo.py::test_demo_shows_everything_and_leaves_one_folder",
    "tests/data_pipeline/test_exit_codes.py",
    "tests/data_pipeline/test_engine.py::test_rows_get_their_times_whichever_python_created_the_tables",
    "tests/data_pipeline/test_engine.py::test_suspended_run_goes_on_where_it_was_and_repeats_nothing",
    "tests/data_pipeline/test_command_line.py::test_two_runs_then_restore_then_undo",
    "tests/data_pipeline/test_upkeep.py::test_doctor_finds_nothing_in_an_empty_folder_and_makes_nothing",
)
"""What tells most in little time of another Python: moves, real kills, a server in the demo, runs, how commands end."""

SMOKE_VARIABLES = {"JOURNAL_KILLS": "3"}


def run(session: nox.Session, module: str, *arguments: str, **variables: str) -> None:
    """Run a module; the variables are for it unless the environment already has them."""
    session.run(sys.executable, "-m", module, *arguments, env={**variables, **os.environ})


@nox.session
def lint(session: nox.Session) -> None:
    """Style and order."""
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Every annotation, strictly."""
    run(session, "mypy", "journal", "data_pipeline", "tests", "benchmarks", "noxfile.py")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, with every branch of `journal` covered."""
    run(session, "coverage", "erase")
    run(session, "coverage", "run", "-m", "pytest", *session.posargs)
    run(session, "coverage", "combine", "--quiet")
    run(session, "coverage", "report", "--fail-under=100")


@nox.session
def pythons(session: nox.Session) -> None:
    """The tests on every Python that is installed, each in its own environment; `-- --smoke`: a few, on the others.

    A smoke run leaves the Python out that nox runs on, whose whole suite the session `tests` runs.
    """
    is_smoke = "--smoke" in session.posargs
    arguments = [argument for argument in session.posargs if argument != "--smoke"]
    for version, python in installed_pythons().items():
        if python is None:
            session.warn(f"Python {version} is not installed: nothing was tried on it")
        elif not (is_smoke and version == own_version()):
            session.log(f"Python {version}: {python}")
            environment = ROOT / ".nox" / f"pythons-{version}"
            own = str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")
            session.run(python, "-m", "venv", "--clear", str(environment))
            session.run(own, "-m", "pip", "install", "--quiet", "-e", f"{ROOT}[test]")
            selected = [*SMOKE, "-n", "2"] if is_smoke else []
            variables = {**os.environ, **SMOKE_VARIABLES} if is_smoke else dict(os.environ)
            session.run(own, "-m", "pytest", *selected, *arguments, env=variables)


def installed_pythons() -> dict[str, str | None]:
    """Return an interpreter for every version that the classifiers name, None where there is none."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        classifiers = tomllib.load(file)["project"]["classifiers"]
    versions = re.findall(r"Python :: (\d+\.\d+)$", "\n".join(classifiers), re.MULTILINE)
    return {version: next(filter(is_python_of(version), candidates(version)), None) for version in versions}


def candidates(version: str) -> Iterator[str]:
    """Yield what may be an interpreter of a version: our own, those on the path, those of pyenv, newest first."""
    if version == own_version():
        yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    by_patch = sorted(
        folder.glob(f"{version}.*"), key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)]
    )
    yield from (str(path / "bin" / "python") for path in reversed(by_patch))


def is_python_of(version: str) -> Callable[[str], bool]:
    """Return whether a program is a Python of a version: pyenv puts programs on the path that only complain."""

    def judge(python: str) -> bool:
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
        except OSError:
            return False
        return done.stdout.strip() == version

    return judge


def own_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@nox.session
def power(session: nox.Session) -> None:
    """The plug pulled on images of ext4, xfs and btrfs: root only; POWER_POINTS=all for every point."""
    run(session, "pytest", "tests/power", "-m", "power", "-n", "0", *session.posargs)


@nox.session
def filesystems(session: nox.Session) -> None:
    """Run on strange file systems, mount points and delayed system calls: root only."""
    run(session, "pytest", "tests/filesystems", "-m", "filesystems", "-n", "2", *session.posargs)


@nox.session
def campaign(session: nox.Session) -> None:
    """For hours, by hand: all that other sessions take a sample of. With arguments, these tests alone."""
    kills = dict.fromkeys(("JOURNAL_KILLS", "PIPELINE_KILLS", "SERVER_KILLS", "VECTOR_KILLS"), "200")
    run(session, "pytest", *(session.posargs or CAMPAIGN), CRASH_SAMPLES="all", TEXT_EXAMPLES="20000", **kills)
    if not session.posargs:
        run(session, "pytest", "tests/power", "-m", "power", "-n", "0", POWER_POINTS="all")
        session.notify("filesystems")


@nox.session
def mutants(session: nox.Session) -> None:
    """Break the code one line at a time: some test must notice, and which one is printed."""
    run(session, "tests.mutants", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Links, public names and examples of the documentation."""
    run(session, "pytest", "tests/test_docs.py", *session.posargs)


@nox.session(venv_backend="venv")
def site(session: nox.Session) -> None:
    """The documentation as a site, in `site/`; a broken link or a page that no menu has is an error."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    session.install("--quiet", *project["optional-dependencies"]["site"])
    session.run("mkdocs", "build", "--strict", "--quiet", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel of a checkout in which things have run, and use it outside."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder, "checkout")
        shutil.copytree(
            ROOT,
            checkout,
            ignore=shutil.ignore_patterns(".*_cache", ".git", ".venv", "__pycache__", "data_pipeline_demo*"),
        )
        packages = [path for name in ("journal", "data_pipeline") for path in checkout.joinpath(name).rglob("*")]
        listing = Path(folder, "listing")
        listing.write_text("\n".join(str(path.relative_to(checkout)) for path in packages if path.is_file()))
        run_in_checkout(session, checkout)
        run(session, "build", "--outdir", folder, str(checkout))
        (wheel,) = Path(folder).glob("*.whl")
        environment = Path(folder, "environment")
        session.run(sys.executable, "-m", "venv", str(environment))
        python = str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")
        session.run(python, "-m", "pip", "install", "--quiet", str(wheel))
        script = str(ROOT / "tests" / "support" / "installed.py")
        session.run(sys.executable, "-m", "zipfile", "-l", str(wheel))
        session.chdir(folder)
        session.run(python, "-I", script, str(wheel), str(listing))


def run_in_checkout(session: nox.Session, checkout: Path) -> None:
    """The demo, and a task in the home that is there by default: the folder of the package itself."""
    session.chdir(checkout)
    run(session, "data_pipeline", "demo", "--json")
    database = "sqlite:///data_pipeline_demo/service_areas.sqlite"
    Path("tables.txt").write_text("motorway\n", encoding="utf-8")
    run(session, "data_pipeline", "run", "--db-connection", database, "--table-list", "tables.txt")
    if not list(checkout.glob("data_pipeline/training_data/task_*")):
        session.error("the run was to leave its files in the folder of the package")
    session.chdir(ROOT)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, side by side with rivals and the physical limit."""
    run(session, "benchmarks.bench_journal", *session.posargs)
