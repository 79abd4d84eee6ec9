"""`make` sets up .venv from the index that pip is configured with, whatever else is inherited.

The real Makefile and descent/packages.py, a lock of two small wheels, and a local index that serves them.
One of the wheels is uv: a script that runs the uv of this environment. Any other address meets a dead proxy.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from descent.packages import uv_variables
from tests.support.certificates import server_context
from tests.support.http_server import Answer, body, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
BACKEND = f"""
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{{folder}}/project-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("project-1.0.dist-info/METADATA", {METADATA.format(name="project")!r})
        wheel.writestr("project-1.0.dist-info/WHEEL", {WHEEL!r})
        wheel.writestr("project-1.0.dist-info/RECORD", "")
    return "project-1.0-py3-none-any.whl"
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "project"
version = "1.0"
"""


def write_wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write a wheel of version 1.0 and return its line in a lock."""
    info = f"{name}-1.0.dist-info"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    contents = files | {f"{info}/METADATA": METADATA.format(name=name), f"{info}/WHEEL": WHEEL}
    record = "".join(f"{file},,\n" for file in contents) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in (contents | {f"{info}/RECORD": record}).items():
            entry = zipfile.ZipInfo(file)
            entry.external_attr = (0o100755 if "/scripts/" in file else 0o100644) << 16
            wheel.writestr(entry, text)
    return f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def write_wheels(folder: Path, uv: str) -> str:
    """Write both wheels, `uv` being the command that the script of that name runs; return the lock."""
    folder.mkdir()
    leaf = write_wheel(folder, "leaf", {"leaf.py": "VALUE = 1\n"})
    return leaf + write_wheel(folder, "uv", {"uv-1.0.data/scripts/uv": f'#!/bin/sh\nexec {uv} "$@"\n'})


def index_of(folder: Path) -> dict[str, Answer]:
    """Return the routes of an index that has the wheels of a folder."""
    routes = {}
    for path in folder.glob("*.whl"):
        page = f'<a href="/files/{path.name}">{path.name}</a>'.encode()
        routes[f"/simple/{path.name.split('-')[0]}/"] = body(page, content_type="text/html")
        routes[f"/files/{path.name}"] = body(path.read_bytes())
    return routes


def with_login(answer: Answer, login: str) -> Answer:
    """Ask for a user and a password before an answer is given."""
    expected = "Basic " + base64.b64encode(login.encode()).decode()
    challenge = body(b"", 401, WWW_Authenticate='Basic realm="index"')
    return lambda handler: (answer if handler.headers["Authorization"] == expected else challenge)(handler)


class Project:
    """A folder with the project's Makefile, and the environment that its `make` is run in."""

    def __init__(self, folder: Path, uv: str):
        self.folder = folder / "project"
        self.wheels = folder / "wheels"
        self.folder.mkdir()
        (self.folder / "descent").mkdir()
        for name in ("Makefile", "descent/packages.py"):
            shutil.copy(ROOT / name, self.folder / name)
        (self.folder / "requirements.txt").write_text(write_wheels(self.wheels, uv))
        (self.folder / "pyproject.toml").write_text(PYPROJECT)
        (self.folder / "backend.py").write_text(BACKEND)
        subprocess.run(["git", "init", "-q", self.folder], check=True)
        dropped = ("PIP_", "UV_", "PYTHON", "GIT_", "MAKE", "MFLAGS", "SSL_", "REQUESTS_", "CURL_", "XDG_")
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith(dropped)}
        dead = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")}
        self.environment |= dead | {name.lower(): text for name, text in dead.items()}
        home = folder / "home"
        home.mkdir()
        self.environment |= {"HOME": str(home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self.environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}

    def make(self, *arguments: str, umask: int = -1, **variables: str) -> subprocess.CompletedProcess:
        """Run make with this Python and return what it printed, both streams together."""
        return subprocess.run(
            ["make", f"PYTHON={sys.executable}", *arguments],
            cwd=self.folder,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=umask,
        )

    def check_installed(self, done: subprocess.CompletedProcess) -> None:
        """Fail unless that run of make has installed the lock, by uv."""
        assert done.returncode == 0, done.stdout
        assert "uv failed" not in done.stdout
        self.check_importable()

    def check_importable(self) -> None:
        """Fail unless what the lock names can be imported."""
        subprocess.run([self.folder / ".venv/bin/python", "-c", "import leaf"], check=True)


@pytest.fixture
def project(tmp_path):
    """The project with a uv that works."""
    return Project(tmp_path, str(UV))


@pytest.fixture
def index(project):
    """The address of an index of the project's wheels."""
    with serving(index_of(project.wheels)) as (url, _):
        yield f"{url}/simple"


def pip_conf(project: Project, **settings: str) -> dict[str, str]:
    """Write pip.conf and return the variables with which pip reads it."""
    path = project.folder.parent / "pip.conf"
    lines = [f"{name.replace('_', '-')} = {text}" for name, text in settings.items()]
    path.write_text("\n".join(["[global]", *lines]))
    return {"PIP_CONFIG_FILE": str(path)}


def test_index_in_pip_conf_serves_every_package(project):
    with serving(index_of(project.wheels)) as (url, asked):
        variables = pip_conf(project, index_url=f"{url}/simple", user="true")
        project.check_installed(project.make(".venv/installed", **variables))
    assert {"/simple/uv/", "/simple/leaf/"} <= set(asked)


def test_pip_conf_that_pip_rejects_is_named_without_a_traceback(project):
    done = project.make(".venv/installed", **pip_conf(project, index_url="a\nindex-url = b"))
    assert done.returncode != 0
    assert "pip.conf" in done.stdout and "Traceback" not in done.stdout


def test_extra_index_serves_what_the_first_one_lacks(project, index):
    with serving({}) as (empty, _):
        extra = pip_conf(project, index_url=f"{empty}/simple", extra_index_url=index)
        project.check_installed(project.make(".venv/installed", **extra))


def test_folder_of_wheels_needs_no_index(project):
    variables = pip_conf(project, no_index="true", find_links=str(project.wheels))
    project.check_installed(project.make(".venv/installed", **variables))


def test_proxy_of_pip_is_used(project, index):
    variables = {"PIP_PROXY": index.removesuffix("/simple"), "PIP_INDEX_URL": "http://index.invalid/simple"}
    project.check_installed(project.make(".venv/installed", PIP_TRUSTED_HOST="index.invalid", **variables))


def test_password_of_index_is_used_and_never_printed(project):
    routes = {path: with_login(answer, "user:s3cret") for path, answer in index_of(project.wheels).items()}
    with serving(routes) as (url, _):
        address = url.replace("://", "://user:s3cret@") + "/simple"
        project.check_installed(project.make(".venv/installed", PIP_INDEX_URL=address))
        del routes["/files/leaf-1.0-py3-none-any.whl"]
        (project.folder / ".venv/installed").unlink()
        (project.folder / ".venv/requirements.txt").unlink()
        done = project.make(".venv/installed", PIP_INDEX_URL=address, PIP_NO_CACHE_DIR="1")
    assert done.returncode != 0
    assert "s3cret" not in done.stdout


@pytest.mark.parametrize("name", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificate_authority_of_pip_is_trusted(project, tmp_path, name):
    with serving(index_of(project.wheels), tls=server_context(tmp_path)) as (url, _):
        variables = {"PIP_INDEX_URL": f"{url}/simple", name: str(tmp_path / "authority.pem")}
        project.check_installed(project.make(".venv/installed", **variables))


def test_pip_installs_the_lock_where_uv_fails(tmp_path):
    project = Project(tmp_path, "false")
    with serving(index_of(project.wheels)) as (url, _):
        done = project.make(".venv/installed", PIP_INDEX_URL=f"{url}/simple")
    assert done.returncode == 0, done.stdout
    assert "uv failed" in done.stdout
    project.check_importable()


def test_package_with_another_hash_is_rejected(project):
    write_wheel(project.wheels, "leaf", {"leaf.py": "VALUE = 2\n"})
    with serving(index_of(project.wheels)) as (url, _):
        inherited = {"UV_NO_VERIFY_HASHES": "1", "PIP_INDEX_URL": f"{url}/simple"}
        assert project.make(".venv/installed", **inherited).returncode != 0
    assert not (project.folder / ".venv/installed").exists()


INHERITED = {
    "of Python": {
        "PYTHONPATH": "{foreign}",
        "PYTHONHOME": "/nonexistent",
        "PYTHONSAFEPATH": "1",
        "PYTHONOPTIMIZE": "2",
        "VIRTUAL_ENV": "/nonexistent",
        "CONDA_PREFIX": "/nonexistent",
    },
    "of pip and uv": {
        "PIP_USER": "1",
        "PIP_TARGET": "{foreign}",
        "PIP_CONSTRAINT": "{foreign}/constraints.txt",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_QUIET": "1",
        "PIP_DRY_RUN": "1",
        "PIP_REQUIREMENT": "/nonexistent",
        "UV_SYSTEM_PYTHON": "1",
        "UV_OFFLINE": "1",
        "UV_PROJECT_ENVIRONMENT": "/nonexistent",
    },
    "of the account": {
        "SHELL": "{foreign}/nologin",
        "HOME": "/proc/nowhere",
        "LC_ALL": "C",
        "GIT_DIR": "/nonexistent",
        "GIT_WORK_TREE": "/nonexistent",
    },
}


@pytest.mark.parametrize(
    "umask, name", [(0o077, "of Python"), (0o002, "of pip and uv"), (0o022, "of the account")]
)
def test_inherited_variables_make_no_difference(project, index, tmp_path, umask, name):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for module in ("leaf", "ssl", "zipfile"):
        (foreign / f"{module}.py").write_text("raise ImportError('of another Python')")
    (foreign / "nologin").write_text("#!/bin/sh\nexit 1\n")
    (foreign / "nologin").chmod(0o755)
    (foreign / "constraints.txt").write_text("leaf<1\n")
    (project.folder.parent / "uv.toml").write_text("offline = true\n")
    variables = {key: text.format(foreign=foreign) for key, text in INHERITED[name].items()}
    done = project.make(".venv/installed", umask=umask, PIP_INDEX_URL=index, **variables)
    project.check_installed(done)


def test_set_up_is_repeated_only_where_it_must(project, index):
    variables = {"PIP_INDEX_URL": index}
    installed, lock = project.folder / ".venv/installed", project.folder / "requirements.txt"
    assert "Setting up" in project.make(".venv/installed", **variables).stdout
    made = installed.stat().st_mtime_ns
    project.make(".venv/installed", **variables)
    assert installed.stat().st_mtime_ns == made

    os.utime(lock)  # as a checkout of another branch and back
    assert project.make(".venv/installed", **variables).stdout == ""
    assert installed.stat().st_mtime_ns > made

    installed.unlink()  # interrupted while packages were installed
    (project.folder / ".venv/requirements.txt").unlink()
    next((project.folder / ".venv/lib").glob("*/site-packages/leaf.py")).write_text("")
    assert "Setting up" in project.make(".venv/installed", **variables).stdout
    project.check_importable()

    project.folder = project.folder.rename(project.folder.with_name("moved 'to' \"$HOME\""))
    assert "Setting up" in project.make(".venv/installed", **variables).stdout

    (project.folder / ".venv").rename(project.folder.with_name("elsewhere"))
    (project.folder / ".venv").symlink_to("../elsewhere")
    (project.folder / ".venv/bin/python").unlink()  # the Python that it was made from is gone
    (project.folder / ".venv/bin/python").symlink_to("/nonexistent/python3")
    assert "Setting up" in project.make(".venv/installed", **variables).stdout
    project.check_importable()
    assert (project.folder / ".venv").is_symlink()

    shutil.rmtree(project.folder.with_name("elsewhere"))
    assert "Setting up" in project.make(".venv/installed", **variables).stdout
    project.check_importable()


@pytest.mark.parametrize("target", ["run", "check", "test", "verify"])
def test_folder_without_repository_is_named_before_anything_is_installed(project, target):
    shutil.rmtree(project.folder / ".git")
    done = project.make(target, GIT_CEILING_DIRECTORIES=str(project.folder.parent))
    assert done.returncode != 0
    assert "git init" in done.stdout.splitlines()[0]
    assert not (project.folder / ".venv").exists()


def test_missing_git_is_named_before_anything_is_installed(project, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("make", "sh", "sed", "awk", "env", "cmp", "cp", "rm", "test"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    done = project.make("run", PATH=str(programs))
    assert done.returncode != 0
    assert "git is missing" in done.stdout
    assert not (project.folder / ".venv").exists()


def test_python_that_is_too_old_is_rejected_in_one_line(project, tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    done = project.make(f"PYTHON={tmp_path}/python", "run")
    assert done.returncode != 0
    assert "3.11, 3.12 or 3.13" in done.stdout.splitlines()[0]


def test_make_alone_lists_every_target(project):
    lines = project.make().stdout.splitlines()
    assert all(line.startswith("make ") for line in lines)
    names = {line.split()[1] for line in lines}
    assert names >= set("run check test test-all notebook ui server bench verify lock".split())


def test_settings_of_pip_are_translated_for_uv():
    pip = {
        "index-url": "https://a/simple",
        "extra-index-url": "https://b/simple\nhttps://c/simple",
        "find-links": "/x /y",
        "trusted-host": "a b:8080",
        "proxy": "user@proxy:3128",
        "client-cert": "/client.pem",
        "timeout": "29.5",
    }
    variables = uv_variables(pip, {"REQUESTS_CA_BUNDLE": "/ca.pem"})
    assert variables["UV_DEFAULT_INDEX"] == "https://a/simple"
    assert variables["UV_INDEX"] == "https://b/simple https://c/simple"
    assert variables["UV_FIND_LINKS"] == "/x,/y"
    assert variables["UV_INSECURE_HOST"] == "a b:8080"
    assert variables["HTTPS_PROXY"] == variables["https_proxy"] == "http://user@proxy:3128"
    assert variables["SSL_CERT_FILE"] == "/ca.pem"
    assert variables["SSL_CLIENT_CERT"] == "/client.pem"
    assert variables["UV_HTTP_TIMEOUT"] == "30"
    assert "UV_SYSTEM_CERTS" not in variables
