"""What every manifest must be: Pod Security "restricted" and more, and a list of who may talk to
whom.
"""

from collections.abc import Callable, Iterator
from typing import Any

Object = dict[str, Any]

START_SECONDS = 120
"""A service waits this long for its database (shared/runtime/service.py)."""
GRACE_SECONDS = 20 + 15
"""A service answers for up to 20 seconds what it has begun (services/cli/up.py), and has 15 more to put
down what it holds.
"""
SERVING = ("intake", "casework", "scoring", "notify")
WITNESS = "witness"
USERS = {WITNESS: 10002}
"""Workloads that run as a user of their own; all others as 10001."""
SERVERS = {"Deployment", "StatefulSet"}
WRITABLE = {"emptyDir", "persistentVolumeClaim"}


def workloads(objects: list[Object]) -> Iterator[Object]:
    return (each for each in objects if each["kind"] in {*SERVERS, "Job"})


def flaws(objects: list[Object]) -> list[str]:
    """Everything that is wrong, one sentence each; empty when nothing is."""
    found = [
        f"{each['metadata']['name']}: {flaw}"
        for each in workloads(objects)
        for flaw in _of_workload(each)
    ]
    return found + list(_of_all(objects))


def _of_workload(workload: Object) -> Iterator[str]:
    pod = workload["spec"]["template"]["spec"]
    yield from _broken(POD, pod)
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for claim in workload["spec"].get("volumeClaimTemplates", []):
        volumes[claim["metadata"]["name"]] = {"persistentVolumeClaim": {}}
    yield from _of_user(workload)
    for container in pod.get("initContainers", []) + pod["containers"]:
        yield from _broken(CONTAINER, container)
        yield from _of_mounts(container, volumes)
        if workload["kind"] in SERVERS:
            yield from _broken(SERVER, container)
    if workload["metadata"]["name"] == WITNESS:
        yield from _broken(OF_WITNESS, workload)
    else:
        yield from _of_keys(workload)
        yield from _of_database(workload)
    if workload["kind"] in SERVERS and pod.get("terminationGracePeriodSeconds", 30) < GRACE_SECONDS:
        yield "is killed before it has put down what it holds"


def _broken(rules: dict[str, Callable[[Object], object]], thing: Object) -> Iterator[str]:
    for sentence, holds in rules.items():
        try:
            if not holds(thing):
                yield sentence
        except (KeyError, TypeError, IndexError):
            yield sentence


POD: dict[str, Callable[[Object], object]] = {
    "gets a token of the cluster": lambda pod: pod["automountServiceAccountToken"] is False,
    "may run as root": lambda pod: pod["securityContext"]["runAsNonRoot"] is True,
    "runs without a seccomp profile": lambda pod: (
        pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    ),
    "shares the node's network, processes or memory": lambda pod: (
        not any(pod.get(f"host{what}") for what in ("Network", "PID", "IPC"))
    ),
    "mounts a folder of the node": lambda pod: (
        not any("hostPath" in volume for volume in pod["volumes"])
    ),
    "shows its secrets to everybody in the pod": lambda pod: all(
        not volume["secret"]["defaultMode"] & 0o037
        for volume in pod["volumes"]
        if "secret" in volume
    ),
    "has memory without an end for temporary files": lambda pod: all(
        volume["emptyDir"].get("sizeLimit") for volume in pod["volumes"] if "emptyDir" in volume
    ),
}
CONTAINER: dict[str, Callable[[Object], object]] = {
    "can gain privileges": lambda one: one["securityContext"]["allowPrivilegeEscalation"] is False,
    "is privileged": lambda one: not one["securityContext"].get("privileged"),
    "can write to its root file system": lambda one: (
        one["securityContext"]["readOnlyRootFilesystem"] is True
    ),
    "keeps capabilities": lambda one: one["securityContext"]["capabilities"] == {"drop": ["ALL"]},
    "has its own idea of the user": lambda one: (
        one["securityContext"]["runAsNonRoot"] is True and "runAsUser" not in one["securityContext"]
    ),
    "has no limit of memory": lambda one: one["resources"]["limits"]["memory"],
    "has no limit of processor time": lambda one: one["resources"]["limits"]["cpu"],
    "asks for nothing, and is put anywhere": lambda one: (
        {"cpu", "memory"} <= one["resources"]["requests"].keys()
    ),
    "runs an image without a fixed version": lambda one: (
        "@sha256:" in one["image"] or one["image"].rpartition(":")[2][0].isdigit()
    ),
    "holds a secret in its environment's text": lambda one: (
        not any("value" in variable for variable in one.get("env", []))
    ),
    "opens a port of the node": lambda one: (
        not any("hostPort" in port for port in one.get("ports", []))
    ),
}
SERVER: dict[str, Callable[[Object], object]] = {
    "is not asked whether it lives": lambda one: (
        one["livenessProbe"]["httpGet"]["path"] == "/livez"
    ),
    "is not asked whether it is ready": lambda one: (
        one["readinessProbe"]["httpGet"]["path"] == "/readyz"
    ),
    "is killed while it waits for its database at the start": lambda one: (
        one["startupProbe"]["httpGet"]["path"] == "/livez"
        and one["startupProbe"]["periodSeconds"] * one["startupProbe"]["failureThreshold"]
        > START_SECONDS
    ),
    "restarts when another server is away": lambda one: (
        one["livenessProbe"]["httpGet"]["path"] != "/readyz"
    ),
}


OF_WITNESS: dict[str, Callable[[Object], object]] = {
    "holds a secret of the services": lambda one: (
        not any("secret" in volume for volume in _pod(one)["volumes"])
    ),
    "gets settings of the services": lambda one: (
        not any({"envFrom", "env"} & each.keys() for each in _pod(one)["containers"])
    ),
    "has two minds": lambda one: one["spec"]["replicas"] == 1,
    "forgets what it has seen": lambda one: (
        one["kind"] == "StatefulSet"
        and {each["metadata"]["name"] for each in one["spec"]["volumeClaimTemplates"]} == {"state"}
    ),
}


def _pod(workload: Object) -> Object:
    return workload["spec"]["template"]["spec"]


def _of_user(workload: Object) -> Iterator[str]:
    user = USERS.get(workload["metadata"]["name"], 10001)
    context = _pod(workload).get("securityContext", {})
    if context.get("runAsUser") != user:
        yield "runs as a user that is not its own"
    if context.get("fsGroup") != user:
        yield "cannot read what is mounted for its group"


def _of_mounts(container: Object, volumes: dict[str, Object]) -> Iterator[str]:
    for mount in container.get("volumeMounts", []):
        volume = volumes.get(mount["name"], {})
        if not volume.keys() & WRITABLE and not mount.get("readOnly"):
            yield f"may write to {mount['name']}"


def _of_database(workload: Object) -> Iterator[str]:
    """Only `migrate` gets the role that creates roles and tables."""
    name = workload["metadata"]["name"]
    sources = workload["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    has_it = any(source.get("secretRef", {}).get("name") == "migrate" for source in sources)
    if has_it != (name == "migrate"):
        yield "has not the database role that it should have"


def _of_keys(workload: Object) -> Iterator[str]:
    """Each service mounts its own keys and no others; only `migrate` has all, and Kafka's
    administrator.
    """
    name = workload["metadata"]["name"]
    pod = workload["spec"]["template"]["spec"]
    secrets = {
        volume["name"]: volume["secret"]["secretName"]
        for volume in pod["volumes"]
        if "secret" in volume and volume["secret"]["secretName"].startswith("fengping-keys-")
    }
    folders = {
        mount["mountPath"].rpartition("/")[2]: secrets[mount["name"]]
        for mount in pod["containers"][0]["volumeMounts"]
        if mount["name"] in secrets
    }
    expected = (*SERVING, "admin") if name == "migrate" else (name,)
    if folders != {service: f"fengping-keys-{service}" for service in expected}:
        yield f"has the keys of {sorted(folders)}"
    if len(secrets) != len(expected):
        yield "has keys that it does not need"


def _of_all(objects: list[Object]) -> Iterator[str]:
    names = {(each["kind"], each["metadata"]["name"]) for each in objects}
    for service in SERVING:
        for kind in ("Deployment", "Service", "PodDisruptionBudget"):
            if (kind, service) not in names:
                yield f"{service} has no {kind}"
    if any(each["kind"] == "Secret" for each in objects):
        yield "a secret is in the repository"
    for claim in (
        volume
        for each in workloads(objects)
        for volume in each["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume and each["metadata"]["name"] != "intake"
    ):
        yield f"somebody besides intake has files: {claim['name']}"
    for each in objects:
        if (
            each["kind"] == "Namespace"
            and each["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted"
        ):
            yield "the namespace admits what is not restricted"
        if each["kind"] == "Service" and each["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"{each['metadata']['name']} is open to the outside past the gateway"
        if each["kind"] not in {"Namespace"} and each["metadata"].get("namespace") != "fengping":
            yield f"{each['metadata']['name']} is in another namespace"


Flow = tuple[str, str, str, str]
"""Pods (`*`: all), direction, the other side, protocol/port."""


def flows(objects: list[Object]) -> set[Flow]:
    """Every flow that the policies allow. Raises ValueError when a pod is not under a default
    denial in both directions.
    """
    policies = [each["spec"] for each in objects if each["kind"] == "NetworkPolicy"]
    if {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} not in policies:
        raise ValueError("what is not listed is not denied")
    return {
        (pods, direction, side, port)
        for policy in policies
        for direction, key, other in (("in", "ingress", "from"), ("out", "egress", "to"))
        for rule in policy.get(key, [])
        for pods in _pods(policy["podSelector"])
        for side in [_side(peer) for peer in rule.get(other, [])] or ["anybody"]
        for port in [
            f"{port.get('protocol', 'TCP')}/{port['port']}" for port in rule.get("ports", [])
        ]
        or ["any"]
    }


def _pods(selector: Object) -> list[str]:
    if not selector:
        return ["*"]
    named = [selector["matchLabels"]["app.kubernetes.io/name"]] if "matchLabels" in selector else []
    return named + [
        value
        for one in selector.get("matchExpressions", [])
        if one["operator"] == "In"
        for value in one["values"]
    ]


def _side(peer: Object) -> str:
    if "ipBlock" in peer:
        return f"{peer['ipBlock']['cidr']} but {' '.join(peer['ipBlock'].get('except', []))}"
    parts = (
        peer.get(key, {}).get("matchLabels", {}) for key in ("namespaceSelector", "podSelector")
    )
    return (
        " ".join(
            f"{name.rpartition('/')[2]}={value}"
            for labels in parts
            for name, value in labels.items()
        )
        or "anybody"
    )
