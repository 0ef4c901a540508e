# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster in memory for unit tests of clients: objects, merge patches, and a script of what happens on each write."""

from __future__ import annotations

import copy

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict


class FakeCluster:
    """``after_write(cluster, kind, name)`` plays the controllers; ``health`` is what the proxy answers, one by
    one, or a function of the cluster.

    ``denied`` are (verb, resource) that the account may not.
    """

    def __init__(self, *objects, after_write=None, health=(), denied=()):
        self.dry_run = False
        self.denied = denied
        self.objects = {_key(one): copy.deepcopy(one) for one in objects}
        self.writes = []
        self.after_write = after_write
        self.health = health if callable(health) else list(health)

    def get(self, _api_version, kind, namespace, name):
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    def may(self, verb, resource, _namespace, _name=""):
        return (verb, resource) not in self.denied

    def list(self, _api_version, kind, namespace, *, selector="", fields=""):
        wanted = dict(pair.split("=") for pair in selector.split(",") if pair)
        found = [one for (k, n, _name), one in self.objects.items() if k == kind and namespace in (n, None)]
        if fields:
            found = [one for one in found if one["metadata"]["name"] == fields.partition("=")[2]]
        return copy.deepcopy([one for one in found if wanted.items() <= one["metadata"].get("labels", {}).items()])

    def merge(self, _api_version, kind, namespace, name, body):
        one = self.objects[kind, namespace, name]
        version = body.get("metadata", {}).get("resourceVersion")
        if version not in (None, one["metadata"].get("resourceVersion")):
            raise Conflict("the object has been modified")
        self.writes.append((kind, name, body))
        _merge(one, body)
        if self.after_write:
            self.after_write(self, kind, name)
        return one

    def create(self, body):
        if _key(body) in self.objects:
            raise Conflict("it is there already")
        return self._store(body)

    def replace(self, body):
        if body["metadata"]["resourceVersion"] != self.objects[_key(body)]["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        return self._store(body)

    def delete(self, _api_version, kind, namespace, name, *, uid):
        if self.objects[kind, namespace, name]["metadata"]["uid"] != uid:
            raise Conflict("it is another one now")
        del self.objects[kind, namespace, name]
        self.writes.append((kind, name, None))
        if self.after_write:
            self.after_write(self, kind, name)

    def _store(self, body):
        self.writes.append((body["kind"], body["metadata"]["name"], body))
        metadata = {"uid": "1", **body["metadata"], "resourceVersion": str(len(self.writes))}
        self.objects[_key(body)] = {**copy.deepcopy(body), "metadata": metadata}
        return self.objects[_key(body)]

    def restart(self, kind, namespace, name, *, stamp):
        annotations = {"kubectl.kubernetes.io/restartedAt": stamp}
        return self.merge(
            "apps/v1", kind, namespace, name, {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        )

    def wait_rolled_out(self, kind, namespace, name, *, seconds):
        assert seconds > 0

    def proxy_get(self, _namespace, _service_and_port, path):
        assert path == "/api/v2.0/health"
        if callable(self.health):
            return self.health(self)
        return self.health.pop(0) if len(self.health) > 1 else self.health[0]


def _key(one):
    return one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]


def _merge(target, patch):
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        elif value is None:
            target.pop(key, None)
        else:
            target[key] = copy.deepcopy(value)
