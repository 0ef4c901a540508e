# SPDX-License-Identifier: GPL-3.0-or-later
"""One cluster: its control plane as plain programs in the cluster's network, and access to it for everything else."""

from __future__ import annotations

import base64
import json
import typing as t

import yaml

from . import pki
from .api import Api
from .model import DOMAIN
from .paths import write_secret
from .process import Part, run, until

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from .api import Json
    from .model import ClusterModel, NodeModel
    from .paths import Paths
    from .process import Supervisor

__all__ = ["Cluster", "control_plane", "kubeconfig", "merge", "rolled_out"]

READY_SECONDS = 240
# No cloud, no volumes but those of ConfigMaps and Secrets, no autoscaling.
UNUSED_CONTROLLERS = (
    "cloud-node-lifecycle",
    "ephemeral-volume",
    "horizontal-pod-autoscaler",
    "node-ipam",
    "node-route",
    "persistentvolume-attach-detach",
    "persistentvolume-binder",
    "persistentvolume-expander",
    "service-lb",
)
ADMIN = ("sandbox-admin", ("system:masters",))


class Cluster:
    """A cluster of the sandbox, from inside: what those who put things into it need."""

    def __init__(self, model: ClusterModel, paths: Paths, supervisor: Supervisor, public: pki.Authority) -> None:
        self.model = model
        self.name = model.name
        self.paths = paths
        self.folder = paths.cluster(model.name)
        self.supervisor = supervisor
        self.public = public
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self.authority = pki.Authority(f"kubernetes {model.name}")
        self._api: Api | None = None

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def api(self) -> Api:
        if self._api is None:
            names = [self.pki / name for name in ("ca.crt", "admin.crt", "admin.key")]
            self._api = Api(self.model.api_url, ca=names[0], certificate=names[1], key=names[2])
        return self._api

    # Using it

    def kubectl(self, *args: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Standard output of kubectl as administrator; ``Failed`` with its words otherwise."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *args]
        return run(command, stdin=stdin, timeout=timeout, env={"HOME": str(self.folder)})

    def apply(self, documents: Iterable[Json], *, timeout: float = 60.0) -> None:
        """Create or update objects, server side, as field manager ``sandbox``."""
        text = "---\n".join(json.dumps(document) + "\n" for document in documents)
        how = ["--server-side", "--force-conflicts", "--field-manager=sandbox"]
        self.kubectl("apply", *how, "-f", "-", stdin=text, timeout=timeout)

    def apply_files(self, *paths: Path, timeout: float = 120.0) -> None:
        """As ``apply``, for manifest files or folders of them, CRDs of any size included."""
        files = [word for path in paths for word in ("-f", str(path))]
        how = ["--server-side", "--force-conflicts", "--field-manager=sandbox"]
        self.kubectl("apply", *how, *files, timeout=timeout)

    def wait(self, what: str, question: Callable[[], bool], *, timeout: float = 60.0, pause: float = 0.2) -> None:
        """Ask until true; ``Failed`` says what did not come."""
        until(f"{self.name}: {what}", question, timeout=timeout, pause=pause)

    def wait_rollout(self, kind: str, namespace: str, name: str, *, timeout: float = 120.0) -> None:
        """Until a Deployment or DaemonSet has all its pods of the present generation ready."""
        path = f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s/{name}"
        self.wait(f"{kind} {namespace}/{name} ready", lambda: rolled_out(self.api.get(path)), timeout=timeout)

    def run(self, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 30.0) -> str:
        """Standard output of a program that runs where the cluster's nodes run."""
        return run(argv, network=self.name, stdin=stdin, timeout=timeout)

    def start(self, name: str, argv: Sequence[str], **options: t.Any) -> None:
        """Keep a part running on the nodes; its name gets the cluster's as a prefix."""
        part = Part(f"{self.name}-{name}", tuple(argv), network=options.pop("network", self.name), **options)
        self.supervisor.start(part)

    def client(self, file: str, common_name: str, organizations: Sequence[str] = ()) -> Path:
        """A kubeconfig for a user of this cluster, written as ``<file>.kubeconfig``."""
        pair = self.authority.issue(common_name, organizations=organizations)
        certificate, key = pair.write(self.pki, file)
        target = self.folder / f"{file}.kubeconfig"
        document = kubeconfig(self.name, self.model.api_url, ca=self.pki / "ca.crt", certificate=certificate, key=key)
        write_secret(target, yaml.safe_dump(document))
        return target

    # Bringing it up

    def prepare(self) -> None:
        """Write keys, certificates and kubeconfigs."""
        self.authority.pair.write(self.pki, "ca")
        self.authority.issue(f"{self.name}-api", names=_api_names(self.model)).write(self.pki, "apiserver")
        front = pki.Authority(f"kubernetes {self.name} front proxy")
        front.pair.write(self.pki, "front-proxy-ca")
        front.issue("front-proxy-client").write(self.pki, "front-proxy-client")
        write_secret(self.pki / "service-account.key", pki.service_account_key())
        self.authority.issue("kube-apiserver-kubelet-client", organizations=["system:masters"]).write(
            self.pki, "kubelet-client"
        )
        self.client("admin", *ADMIN)
        for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
            self.client(name, f"system:{name}")

    def start_control_plane(self) -> None:
        """Start everything up to a ready API server with its controllers; nodes come later."""
        (self.folder / "etcd").mkdir(mode=0o700)
        parts = control_plane(self.model, self.folder)
        first, rest = parts[:2], parts[2:]
        for part in first:
            self.supervisor.start(part)
        self.wait("API server ready", lambda: self.api.text("/readyz") == "ok", timeout=READY_SECONDS)
        self._grant()
        for node in self.model.nodes:
            self._register(node)
        for part in rest:
            self.supervisor.start(part)
        self.wait("default service account", self._has_service_account, timeout=READY_SECONDS)

    def _register(self, node: NodeModel) -> None:
        """A Node object ahead of its kubelet: kube-proxy waits for one, and it carries the pod range."""
        labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}
        if node.control_plane:
            labels["node-role.kubernetes.io/control-plane"] = ""
        spec = {"podCIDR": node.pod_range, "podCIDRs": [node.pod_range]}
        document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": labels}, "spec": spec}
        self.api.create("/api/v1/nodes", document)
        addresses = [{"type": "InternalIP", "address": node.address}, {"type": "Hostname", "address": node.name}]
        self.api.patch(f"/api/v1/nodes/{node.name}/status", {"status": {"addresses": addresses}})

    def _grant(self) -> None:
        """kube-proxy's rights, which kubeadm would give; the other parts have roles of the API server's own."""
        subject = {"kind": "User", "name": "system:kube-proxy", "apiGroup": "rbac.authorization.k8s.io"}
        role = {"kind": "ClusterRole", "name": "system:node-proxier", "apiGroup": "rbac.authorization.k8s.io"}
        binding = {"metadata": {"name": "sandbox:node-proxier"}, "subjects": [subject], "roleRef": role}
        self.api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)

    def _has_service_account(self) -> bool:
        return bool(self.api.get("/api/v1/namespaces/default/serviceaccounts/default"))


def control_plane(model: ClusterModel, folder: Path) -> list[Part]:
    """The programs of a control plane, in the order they need each other: etcd, API server, the others."""
    argv = {
        "etcd": _etcd(folder),
        "kube-apiserver": _apiserver(model, folder),
        "kube-controller-manager": _controller_manager(model, folder),
        "kube-scheduler": _scheduler(folder),
        "kube-proxy": _proxy(model, folder),
    }
    return [Part(f"{model.name}-{name}", (name, *args), network=model.name) for name, args in argv.items()]


def kubeconfig(name: str, url: str, *, ca: Path, certificate: Path, key: Path) -> Json:
    """A kubeconfig of one context that carries its certificates, so that it can be copied anywhere."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority-data": _base64(ca)}}],
        "users": [
            {
                "name": name,
                "user": {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)},
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def merge(documents: Iterable[Json]) -> Json:
    """Several kubeconfigs as one; the first one's context is current."""
    merged: Json = {"apiVersion": "v1", "kind": "Config"}
    for document in documents:
        for key in ("clusters", "users", "contexts"):
            merged.setdefault(key, []).extend(document[key])
        merged.setdefault("current-context", document["current-context"])
    return merged


def _etcd(folder: Path) -> list[str]:
    """Bound to the namespace's own loopback, where only the control plane is: no TLS. Its data is thrown away."""
    return [
        f"--data-dir={folder / 'etcd'}",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--log-level=error",
    ]


def _apiserver(model: ClusterModel, folder: Path) -> list[str]:
    keys = folder / "pki"
    return [
        f"--advertise-address={model.api_address}",
        f"--bind-address={model.api_address}",
        "--secure-port=6443",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--client-ca-file={keys / 'ca.crt'}",
        f"--tls-cert-file={keys / 'apiserver.crt'}",
        f"--tls-private-key-file={keys / 'apiserver.key'}",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={keys / 'service-account.key'}",
        f"--service-account-signing-key-file={keys / 'service-account.key'}",
        f"--service-cluster-ip-range={model.service_range}",
        f"--kubelet-certificate-authority={keys / 'ca.crt'}",
        f"--kubelet-client-certificate={keys / 'kubelet-client.crt'}",
        f"--kubelet-client-key={keys / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={keys / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={keys / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={keys / 'front-proxy-client.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def _controller_manager(model: ClusterModel, folder: Path) -> list[str]:
    keys = folder / "pki"
    return [
        *_controller(folder / "kube-controller-manager.kubeconfig"),
        f"--cluster-cidr={model.pod_range}",
        "--allocate-node-cidrs=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={keys / 'service-account.key'}",
        f"--root-ca-file={keys / 'ca.crt'}",
        f"--cluster-signing-cert-file={keys / 'ca.crt'}",
        f"--cluster-signing-key-file={keys / 'ca.key'}",
        f"--controllers=*,{','.join(f'-{name}-controller' for name in UNUSED_CONTROLLERS)}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def _scheduler(folder: Path) -> list[str]:
    return _controller(folder / "kube-scheduler.kubeconfig")


def _controller(kubeconfig: Path) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--authentication-tolerate-lookup-failure=true",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
    ]


def _proxy(model: ClusterModel, folder: Path) -> list[str]:
    """One for all nodes, as they share one network namespace. Conntrack limits belong to the machine: left alone."""
    return [
        f"--kubeconfig={folder / 'kube-proxy.kubeconfig'}",
        f"--hostname-override={model.nodes[0].name}",
        "--proxy-mode=nftables",
        f"--cluster-cidr={model.pod_range}",
        "--healthz-bind-address=127.0.0.1:10256",
        "--metrics-bind-address=127.0.0.1:10249",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]


def _api_names(model: ClusterModel) -> list[str]:
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"]
    return [*service, "localhost", "127.0.0.1", model.api_address, model.kubernetes_service]


def rolled_out(workload: Json) -> bool:
    status = workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return False
    if workload["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        counts = [status.get(key, 0) for key in ("numberReady", "updatedNumberScheduled")]
        return wanted > 0 and all(count == wanted for count in counts)
    wanted = workload["spec"].get("replicas", 1)
    counts = [status.get(key, 0) for key in ("replicas", "readyReplicas", "updatedReplicas")]
    return all(count == wanted for count in counts)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
