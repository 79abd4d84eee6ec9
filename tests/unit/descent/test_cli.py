"""The commands `descent show | check | verify`."""

import subprocess
import sys

import pytest

from descent import cli
from descent.reproduction import Verdict
from tests.support.small_params import ROOT

IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
HEAVY = ("tensorflow", "mlflow", "dvc", "pandas", "descent.config")


@pytest.mark.parametrize("command", [[], ["show"], ["check"], ["verify"]])
def test_help_is_printed_before_a_library_is_imported(command):
    code = f"import sys; from descent import cli\ntry:\n    cli.main({[*command, '--help']})\n"
    code += f"except SystemExit: print(sorted(set(sys.modules) & set({HEAVY})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: descent") and done.stdout.endswith("\n[]\n")


def test_outside_a_repository_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("show", "check", "resolve", "verify"):
        with pytest.raises(SystemExit, match=f"^{tmp_path}: no DVC repository here or above"):
            cli.main([command])


def test_show_without_results_names_the_command_that_makes_them(tmp_path, monkeypatch):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    for words in ("does not exist", "has no study learning_rate, tuned, optimizers"):
        with pytest.raises(SystemExit) as caught:
            cli.main(["show"])
        assert caught.value.code == f"reports/comparison.csv: {words}; `dvc repro` makes it"
        (tmp_path / "reports").mkdir(exist_ok=True)
        (tmp_path / "reports/comparison.csv").write_text("study,model\nbatch_size,batch_8\n")


def test_commands_work_from_a_folder_inside_the_repository(tmp_path, monkeypatch, capsys):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "docs").mkdir()
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "Begin"]):
        subprocess.run(["git", *IDENTITY, *command], cwd=tmp_path, check=True)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path / "docs")
    cli.main(["check", "--quick"])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("agree", "code"), [(True, 0), (False, 1)])
def test_verify_exits_with_0_only_if_the_results_are_reproduced(agree, code, tmp_path, monkeypatch, capsys):
    from descent import reproduction

    verdict = Verdict(2, {"a": "differs"}, means_agree=agree)
    monkeypatch.setattr(reproduction, "verify", lambda: (verdict, "the report"))
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(["verify"])
    assert caught.value.code == code
    assert capsys.readouterr().out == "the report\n"
