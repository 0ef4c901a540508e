# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing files of a Git repository, on a real file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors, _text_files
from ansible_collections.splithorizon.registry.plugins.module_utils._config_files import FILE_SPEC, step_for_path
from talos_repository import params

MIRROR = {"name": "harbor.example.com", "endpoints": ["https://harbor.example.com"]}
NODES = "clusterName: c\nendpoint: https://10.5.0.2:6443\nnodes:\n  - {hostname: w, controlPlane: false}\n"


def run(path, *, check_mode=False, **given):
    options = {name: spec.get("default") for name, spec in FILE_SPEC.items()}
    options |= {name: given.pop(name) for name in FILE_SPEC if name in given}
    return step_for_path({**params(given), **options, "path": str(path)}, check_mode=check_mode)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_check_mode_predicts_and_the_second_run_changes_nothing(tmp_path):
    patch = tmp_path / "patch.yaml"
    patch.write_text("# mine\nmachine: {}\n")
    before = tree(tmp_path)
    predicted = run(patch, mirrors=[MIRROR], check_mode=True)
    assert tree(tmp_path) == before
    done = run(patch, mirrors=[MIRROR])
    assert done == predicted
    changes, results = done
    assert [change.changed for change in changes] == [True]
    assert results == {
        "kind": "patch",
        "files": [str(patch)],
        "reasons": [f"{patch}: mirror of harbor.example.com: missing, wanted [https://harbor.example.com]"],
        "version": None,
    }
    assert "# mine" in patch.read_text()
    assert yaml.safe_load(patch.read_text())["machine"]["registries"]["mirrors"].keys() == {"harbor.example.com"}
    after = tree(tmp_path)
    changes, results = run(patch, mirrors=[MIRROR])
    assert (changes, results["files"], tree(tmp_path)) == ([], [], after)


def test_mode_owner_line_endings_and_byte_order_mark_stay(tmp_path):
    patch = tmp_path / "patch.yaml"
    patch.write_bytes("\ufeff# é\r\nmachine:\r\n  type: worker\r\n".encode())
    patch.chmod(0o640)
    if os.getuid() == 0:
        os.chown(patch, 1234, 4321)
    owner = (patch.stat().st_uid, patch.stat().st_gid)
    run(patch, mirrors=[MIRROR])
    written = patch.read_bytes()
    assert written.startswith("\ufeff# é\r\nmachine:\r\n  type: worker\r\n  registries:\r\n".encode())
    assert written.count(b"\n") == written.count(b"\r\n") > 3
    assert patch.stat().st_mode & 0o7777 == 0o640
    assert (patch.stat().st_uid, patch.stat().st_gid) == owner
    assert [path.name for path in tmp_path.iterdir()] == ["patch.yaml"]
    run(patch, mirrors=[{"name": "harbor.example.com", "state": "absent"}])
    assert patch.read_bytes() == "\ufeff# é\r\nmachine:\r\n  type: worker\r\n".encode()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.yaml").write_text("machine: {}\n")
    (tmp_path / "link.yaml").symlink_to("real.yaml")
    run(tmp_path / "link.yaml", mirrors=[MIRROR])
    assert (tmp_path / "link.yaml").is_symlink()
    assert "harbor.example.com" in (tmp_path / "real.yaml").read_text()


def test_talconfig_and_the_files_it_names(tmp_path):
    (tmp_path / "patches").mkdir()
    (tmp_path / "talconfig.yaml").write_text(NODES + 'patches:\n  - "@./patches/registries.yaml"\n')
    registries = tmp_path / "patches" / "registries.yaml"
    registries.write_text("machine:\n  registries:\n    mirrors:\n      a.example.com: {endpoints: [http://a]}\n")
    auth = [{"name": "harbor.example.com", "username": "robot$pull", "password": "${PASSWORD}"}]
    before = tree(tmp_path)
    _, results = run(tmp_path / "talconfig.yaml", mirrors=[MIRROR], auth=auth)
    assert results["files"] == [str(registries)]
    assert "robot$$pull" in registries.read_text()
    assert tree(tmp_path)["talconfig.yaml"] == before["talconfig.yaml"]
    # Given by its own name it is the same file, over which talhelper's envsubst runs.
    assert run(registries, mirrors=[MIRROR], auth=auth)[0] == []


def test_a_patch_that_no_talconfig_names_keeps_its_dollar_sign(tmp_path):
    (tmp_path / "talconfig.yaml").write_text(NODES)
    (tmp_path / "p.yaml").write_text("")
    auth = [{"name": "harbor.example.com", "username": "robot$pull", "password": "${PASSWORD}"}]
    run(tmp_path / "p.yaml", auth=auth)
    assert yaml.safe_load((tmp_path / "p.yaml").read_text())["machine"]["registries"]["config"] == {
        "harbor.example.com": {"auth": {"username": "robot$pull", "password": "${PASSWORD}"}}
    }


@pytest.mark.parametrize("given", ["", "topf.yaml"])
def test_topf_makes_a_file_and_takes_it_away(tmp_path, given):
    topf = "clusterName: c\nclusterEndpoint: https://10.5.0.2:6443\nnodes:\n  - {host: n, role: worker}\n"
    (tmp_path / "topf.yaml").write_text(topf)
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "00-install.yaml").write_text("machine: {install: {disk: /dev/sda}}\n")
    before = tree(tmp_path)
    new = tmp_path / "all" / "90-registries.yaml"
    _, results = run(tmp_path / given, mirrors=[MIRROR], talos_version="v1.13.0")
    assert (results["kind"], results["files"], results["version"]) == ("topf", [str(new)], "1.13.0")
    assert yaml.safe_load(new.read_text())["kind"] == "RegistryMirrorConfig"
    run(tmp_path / given, mirrors=[{"name": "harbor.example.com", "state": "absent"}])
    assert tree(tmp_path) == before


def test_what_cannot_be_written_leaves_the_file_as_it_is(tmp_path, monkeypatch):
    patch = tmp_path / "patch.yaml"
    patch.write_text("machine: {}\n")

    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_text_files.os, "fsync", full)
    with pytest.raises(_errors.Unreachable, match="No space left on device"):
        run(patch, mirrors=[MIRROR])
    assert tree(tmp_path) == {"patch.yaml": b"machine: {}\n"}


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, _errors.BadInput, "no such file"),
        (b"\xff\xfe", _errors.BadInput, "not UTF-8"),
        (b"a: 1\r\nb: 2\n", _errors.Conflict, "line 2: some lines end with CRLF"),
        (b"a: 1\nb: 2\r\n", _errors.Conflict, "line 2: some lines end with CRLF"),
        (b"#" * (4 * 1024 * 1024 + 1), _errors.BadInput, "larger than 4 MiB"),
    ],
)
def test_files_that_are_refused(tmp_path, content, error, says):
    path = tmp_path / "p.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=says):
        run(path, mirrors=[MIRROR])
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_folder_and_a_version_that_are_none(tmp_path):
    with pytest.raises(_errors.BadInput, match=r"folder without a topf\.yaml"):
        run(tmp_path, mirrors=[MIRROR])
    (tmp_path / "p.yaml").write_text("")
    with pytest.raises(_errors.BadInput, match="talos_version: 'new' is no version"):
        run(tmp_path / "p.yaml", mirrors=[MIRROR], talos_version="new")


def test_secrets_are_in_no_change(tmp_path):
    Path(tmp_path / "p.yaml").write_text("")
    auth = [{"name": "h.example.com", "username": "u", "password": "hunter2"}]
    with pytest.raises(_errors.BadInput) as caught:
        run(tmp_path / "p.yaml", auth=auth)
    assert "hunter2" not in str(caught.value)
    changes, results = run(tmp_path / "p.yaml", auth=auth, allow_plaintext_secrets=True)
    assert "hunter2" in (tmp_path / "p.yaml").read_text()
    assert "hunter2" not in repr(changes) + repr([change.diff for change in changes]) + repr(results)
