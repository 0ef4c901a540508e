# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_registry_mirror with a path: the module as Ansible runs it, no node."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.modules import talos_registry_mirror

MIRROR = {"name": "harbor.example.com", "endpoints": ["https://harbor.example.com"]}
AUTH = {"name": "harbor.example.com", "username": "robot$pull", "password": "hunter2"}


def run(capsys, **args):
    with patch_module_args(args), pytest.raises(SystemExit):
        talos_registry_mirror.main()
    return json.loads(capsys.readouterr().out)


def test_a_file_in_place_of_a_node(tmp_path, capsys):
    path = tmp_path / "p.yaml"
    path.write_text("# mine\n")
    predicted = run(capsys, path=str(path), mirrors=[MIRROR], _ansible_check_mode=True, _ansible_diff=True)
    assert path.read_text() == "# mine\n"
    done = run(capsys, path=str(path), mirrors=[MIRROR], _ansible_diff=True)
    for result in (predicted, done):
        assert (result["changed"], result["kind"], result["files"]) == (True, "patch", [str(path)])
        assert "https://harbor.example.com" in result["diff"][0]["after"]
    assert path.read_text().startswith("# mine\nmachine:\n")
    again = run(capsys, path=str(path), mirrors=[MIRROR], _ansible_diff=True)
    assert (again["changed"], again["files"], again["diff"]) == (False, [], [])


def test_a_secret_is_refused_without_being_told(tmp_path, capsys):
    path = tmp_path / "p.yaml"
    path.write_text("")
    result = run(capsys, path=str(path), auth=[AUTH])
    assert result["failed"]
    assert "allow_plaintext_secrets" in result["msg"]
    assert "hunter2" not in json.dumps({key: value for key, value in result.items() if key != "invocation"})
    assert path.read_text() == ""


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"node": "10.5.0.2", "path": "p.yaml"}, "mutually exclusive"),
        ({"path": "p.yaml", "mode": "try"}, "mutually exclusive"),
        ({"path": "p.yaml", "confirm": True}, "mutually exclusive"),
        ({}, "one of the following is required: node, path"),
        ({"path": "/absent/p.yaml"}, "no such file"),
    ],
)
def test_bad_input(capsys, args, says):
    result = run(capsys, mirrors=[MIRROR], **args)
    assert result["failed"]
    assert says in result["msg"]
