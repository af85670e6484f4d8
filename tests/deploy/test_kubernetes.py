"""The manifests are valid, pods have only the permissions they need, and only listed connections are
allowed.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import kubernetes_validate
import pytest
import yaml

from services.intake.app import PREFIXES as INTAKE
from services.notify.settings import NotifySettings
from shared.foundation.settings import Settings
from shared.security.oidc import OidcSettings
from shared.storage.schema import SERVICES
from tests.deploy.policy import Flow, Object, flaws, flows, workloads
from tests.deploy.routes import bodies
from tests.deploy.tools import DEPLOY, output_of

KUBERNETES = DEPLOY / "k8s"
OVERLAYS = ("dev", "production")
SECRETS = {
    each["metadata"]["name"]: each["stringData"]
    for each in yaml.safe_load_all(
        (KUBERNETES / "base/secrets.template.yaml").read_text(encoding="utf-8")
    )
}


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Object]]:
    return {
        name: list(
            yaml.safe_load_all(output_of("kubectl", "kustomize", KUBERNETES / "overlays" / name))
        )
        for name in OVERLAYS
    }


def named(objects: list[Object], kind: str, name: str) -> Object:
    return next(
        each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_every_manifest_is_valid(rendered, overlay, version):
    for each in rendered[overlay]:
        kubernetes_validate.validate(each, version, strict=True)


def test_misspelt_field_is_detected(rendered):
    wrong = copy.deepcopy(named(rendered["dev"], "Deployment", "intake"))
    container = wrong["spec"]["template"]["spec"]["containers"][0]
    container["livenesProbe"] = container.pop("livenessProbe")

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_workload_keeps_the_policy(rendered, overlay):
    assert flaws(rendered[overlay]) == []
    assert {each["metadata"]["name"] for each in workloads(rendered[overlay])} == {
        *SERVICES,
        "migrate",
        "witness",
    }


def pod(
    change: Callable[[Object], object], name: str = "casework"
) -> Callable[[list[Object]], object]:
    return lambda objects: change(named(objects, "Deployment", name)["spec"]["template"]["spec"])


def container(
    change: Callable[[Object], object], name: str = "casework"
) -> Callable[[list[Object]], object]:
    return pod(lambda spec: change(spec["containers"][0]), name)


def witness(change: Callable[[Object], object]) -> Callable[[list[Object]], object]:
    return lambda objects: change(
        named(objects, "StatefulSet", "witness")["spec"]["template"]["spec"]
    )


def without(objects: list[Object], kind: str, name: str) -> None:
    objects.remove(named(objects, kind, name))


MUTANTS: dict[str, Callable[[list[Object]], object]] = {
    "token mounted": pod(lambda spec: spec.pop("automountServiceAccountToken")),
    "root allowed": pod(lambda spec: spec["securityContext"].update(runAsNonRoot=False)),
    "root chosen": pod(lambda spec: spec["securityContext"].update(runAsUser=0)),
    "root chosen by the container": container(
        lambda one: one["securityContext"].update(runAsUser=0)
    ),
    "no group for the mounts": pod(lambda spec: spec["securityContext"].pop("fsGroup")),
    "no seccomp": pod(lambda spec: spec["securityContext"].pop("seccompProfile")),
    "seccomp unconfined": pod(
        lambda spec: spec["securityContext"]["seccompProfile"].update(type="Unconfined")
    ),
    "network of the node": pod(lambda spec: spec.update(hostNetwork=True)),
    "processes of the node": pod(lambda spec: spec.update(hostPID=True)),
    "folder of the node": pod(
        lambda spec: spec["volumes"].append({"name": "node", "hostPath": {"path": "/"}})
    ),
    "secret readable by all": pod(
        lambda spec: next(v for v in spec["volumes"] if "secret" in v)["secret"].update(
            defaultMode=0o444
        )
    ),
    "temporary files without end": pod(
        lambda spec: next(v for v in spec["volumes"] if "emptyDir" in v)["emptyDir"].pop(
            "sizeLimit"
        )
    ),
    "escalation": container(lambda one: one["securityContext"].pop("allowPrivilegeEscalation")),
    "privileged": container(lambda one: one["securityContext"].update(privileged=True)),
    "root writable": container(
        lambda one: one["securityContext"].update(readOnlyRootFilesystem=False)
    ),
    "capabilities kept": container(lambda one: one["securityContext"].update(capabilities={})),
    "capability added": container(
        lambda one: one["securityContext"]["capabilities"].update(add=["NET_ADMIN"])
    ),
    "no memory limit": container(lambda one: one["resources"]["limits"].pop("memory")),
    "no processor limit": container(lambda one: one["resources"]["limits"].pop("cpu")),
    "no requests": container(lambda one: one["resources"].pop("requests")),
    "image latest": container(lambda one: one.update(image="registry.example/fengping:latest")),
    "image without version": container(lambda one: one.update(image="fengping")),
    "password in the manifest": container(
        lambda one: one.update(
            env=[{"name": "FENGPING_REDIS_URL", "value": "redis://:secret@redis"}]
        )
    ),
    "port of the node": container(lambda one: one["ports"][0].update(hostPort=8080)),
    "no liveness": container(lambda one: one.pop("livenessProbe")),
    "liveness asks for others": container(
        lambda one: one["livenessProbe"]["httpGet"].update(path="/readyz")
    ),
    "no readiness": container(lambda one: one.pop("readinessProbe")),
    "no time to start": container(lambda one: one["startupProbe"].update(failureThreshold=3)),
    "killed too early": pod(lambda spec: spec.update(terminationGracePeriodSeconds=30)),
    "key ring writable": container(
        lambda one: next(m for m in one["volumeMounts"] if m["name"] == "keys").pop("readOnly")
    ),
    "key ring missing": container(
        lambda one: one.update(volumeMounts=[m for m in one["volumeMounts"] if m["name"] != "keys"])
    ),
    "role that creates tables": container(
        lambda one: one["envFrom"].append({"secretRef": {"name": "migrate"}})
    ),
    "keys of another service": pod(
        lambda spec: next(v for v in spec["volumes"] if v["name"] == "keys")["secret"].update(
            secretName="fengping-keys-intake"
        )
    ),
    "files for others": pod(
        lambda spec: spec["volumes"].append(
            {"name": "files", "persistentVolumeClaim": {"claimName": "intake-files"}}
        )
    ),
    "witness as the services' user": witness(
        lambda spec: spec["securityContext"].update(runAsUser=10001)
    ),
    "witness with the database's password": witness(
        lambda spec: spec["containers"][0].update(envFrom=[{"secretRef": {"name": "fengping"}}])
    ),
    "witness with keys of a service": witness(
        lambda spec: spec["volumes"].append(
            {
                "name": "keys",
                "secret": {"secretName": "fengping-keys-intake", "defaultMode": 0o440},
            }
        )
    ),
    "two witnesses": lambda objects: named(objects, "StatefulSet", "witness")["spec"].update(
        replicas=2
    ),
    "witness without memory": lambda objects: named(objects, "StatefulSet", "witness")["spec"].pop(
        "volumeClaimTemplates"
    ),
    "witness that chooses its logs": witness(
        lambda spec: next(
            m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "logs"
        ).pop("readOnly")
    ),
    "no budget": lambda objects: without(objects, "PodDisruptionBudget", "scoring"),
    "namespace baseline": lambda objects: named(objects, "Namespace", "fengping")["metadata"][
        "labels"
    ].update({"pod-security.kubernetes.io/enforce": "baseline"}),
    "past the gateway": lambda objects: named(objects, "Service", "intake")["spec"].update(
        type="NodePort"
    ),
    "a secret committed": lambda objects: objects.append(
        {"kind": "Secret", "metadata": {"name": "x", "namespace": "fengping"}}
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_one_field_changed_breaks_the_policy(rendered, name):
    changed = copy.deepcopy(rendered["production"])

    MUTANTS[name](changed)

    assert flaws(changed) != []


OUTSIDE = "0.0.0.0/0 but 0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16"
ALLOWED = {
    *((service, "in", "role=gateway", "TCP/8080") for service in SERVICES),
    *((service, "in", "role=monitoring", "TCP/8081") for service in SERVICES),
    ("*", "out", "metadata.name=kube-system k8s-app=kube-dns", "UDP/53"),
    ("*", "out", "metadata.name=kube-system k8s-app=kube-dns", "TCP/53"),
    *(
        (name, "out", "role=data", f"TCP/{port}")
        for name in (*SERVICES, "migrate")
        for port in (5432, 9093)
    ),
    *((service, "out", "name=witness", "TCP/8090") for service in SERVICES),
    ("witness", "in", "part-of=fengping", "TCP/8090"),
    *((service, "out", "role=data", "TCP/6379") for service in SERVICES),
    *(("notify", "out", OUTSIDE, f"TCP/{port}") for port in (443, 465, 587)),
}


def test_only_listed_connections_are_allowed(rendered):
    assert flows(rendered["production"]) == ALLOWED


@pytest.fixture(scope="module")
def with_identity_provider() -> list[Object]:
    """The production overlay with the component `oidc`."""
    with TemporaryDirectory(dir=KUBERNETES / "overlays") as folder:
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../production"],
            "components": ["../../components/oidc"],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return list(yaml.safe_load_all(output_of("kubectl", "kustomize", folder)))


def test_identity_provider_is_reached_by_intake_alone(with_identity_provider):
    assert flaws(with_identity_provider) == []
    assert flows(with_identity_provider) - ALLOWED == {
        ("intake", "out", "192.0.2.10/32 but ", "TCP/443")
    }
    for each in with_identity_provider:
        kubernetes_validate.validate(each, "1.37", strict=True)
    mounts = {
        service: str(named(with_identity_provider, "Deployment", service)).count("fengping-oidc")
        for service in SERVICES
    }
    assert mounts == {"intake": 1, "casework": 0, "scoring": 0, "notify": 0}


def test_settings_of_the_identity_provider_are_fields(with_identity_provider):
    data = named(with_identity_provider, "ConfigMap", "oidc")["data"]

    given = {name.removeprefix("FENGPING_OIDC_").lower(): value for name, value in data.items()}

    assert given.keys() <= OidcSettings.model_fields.keys()
    assert OidcSettings(**given).issuer == "https://login.example"


def test_in_dev_only_kafkas_port_differs(rendered):
    def to_kafka(port: int) -> set[Flow]:
        return {(name, "out", "role=data", f"TCP/{port}") for name in (*SERVICES, "migrate")}

    assert flows(rendered["dev"]) == ALLOWED - to_kafka(9093) | to_kafka(9092)


@pytest.mark.parametrize(
    "change",
    [
        lambda objects: without(objects, "NetworkPolicy", "default-deny"),
        lambda objects: named(objects, "NetworkPolicy", "default-deny")["spec"].update(
            policyTypes=["Ingress"]
        ),
        lambda objects: named(objects, "NetworkPolicy", "from-gateway")["spec"]["ingress"][0].pop(
            "from"
        ),
        lambda objects: named(objects, "NetworkPolicy", "to-redis")["spec"]["egress"][0].pop(
            "ports"
        ),
        lambda objects: named(objects, "NetworkPolicy", "to-outside")["spec"].update(
            podSelector={}
        ),
        lambda objects: named(objects, "NetworkPolicy", "to-outside")["spec"]["egress"][0]["to"][0][
            "ipBlock"
        ].pop("except"),
        lambda objects: named(objects, "NetworkPolicy", "to-database-and-kafka")["spec"].update(
            podSelector={}
        ),
        lambda objects: named(objects, "NetworkPolicy", "at-witness")["spec"]["ingress"][0].pop(
            "from"
        ),
    ],
    ids=[
        "no denial",
        "denial of one direction",
        "from any pod",
        "to any port",
        "to every external address",
        "to private addresses",
        "witness to the database",
        "anybody to the witness",
    ],
)
def test_unlisted_connection_is_detected(rendered, change):
    changed = copy.deepcopy(rendered["production"])

    change(changed)

    assert not listed(changed)


def listed(objects: list[Object]) -> bool:
    try:
        return flows(objects) == ALLOWED
    except ValueError:
        return False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_a_setting(rendered, overlay):
    fields = {f"FENGPING_{name.upper()}" for name in Settings.model_fields} | {
        "PGSSLMODE",
        "PGSSLROOTCERT",
    }
    of_notify = {f"FENGPING_NOTIFY_{name.upper()}" for name in NotifySettings.model_fields}
    given = named(rendered[overlay], "ConfigMap", "fengping")["data"]

    assert given.keys() | SECRETS["fengping"].keys() | SECRETS["migrate"].keys() <= fields
    assert (
        named(rendered[overlay], "ConfigMap", "notify")["data"].keys() | SECRETS["notify"].keys()
        <= of_notify
    )
    Settings(
        **{
            name.removeprefix("FENGPING_").lower(): text
            for name, text in given.items()
            if name.startswith("FENGPING_")
        }
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_references_of_pods_exist_or_are_in_the_secrets_template(rendered, overlay):
    made = {(each["kind"], each["metadata"]["name"]) for each in rendered[overlay]}
    made |= {("Secret", name) for name in SECRETS} | {("ConfigMap", "witness-logs")}

    assert {
        reference
        for each in workloads(rendered[overlay])
        for reference in references(each["spec"]["template"]["spec"])
    } <= made


def references(spec: Object) -> Iterator[tuple[str, str]]:
    """What a pod's environment and volumes come from: kind and name."""
    for source in spec["containers"][0].get("envFrom", []):
        ((way, of),) = source.items()
        yield {"configMapRef": "ConfigMap", "secretRef": "Secret"}[way], of["name"]
    for volume in spec["volumes"]:
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]


def test_notify_gets_its_own_settings_besides_the_common_ones(rendered):
    sources = named(rendered["production"], "Deployment", "notify")["spec"]["template"]["spec"][
        "containers"
    ][0]["envFrom"]

    assert [next(iter(source.values()))["name"] for source in sources] == [
        "fengping",
        "fengping",
        "notify",
        "notify",
    ]


def test_production_has_three_replicas_on_different_nodes(rendered):
    for service in SERVICES:
        spec = named(rendered["production"], "Deployment", service)["spec"]
        assert spec["replicas"] == 3
        assert (
            spec["template"]["spec"]["topologySpreadConstraints"][0]["whenUnsatisfiable"]
            == "DoNotSchedule"
        )
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_gateway_routes_every_prefix(rendered):
    def service_of(path: str) -> str:
        return routed(rendered["production"], path)[0]

    assert {prefix: service_of(prefix) for prefix in INTAKE} == dict.fromkeys(INTAKE, "intake")
    assert [service_of(f"/{name}/api/x") for name in SERVICES] == list(SERVICES)
    assert service_of("/caseworker") == "intake"


def test_health_and_metrics_have_a_port_that_no_gateway_reaches(rendered):
    """Probes ask the internal port, no Service has it, and the network admits Prometheus alone."""
    objects = rendered["production"]
    for service in SERVICES:
        pod = named(objects, "Deployment", service)["spec"]["template"]["spec"]
        container = pod["containers"][0]
        assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
            "http": 8080,
            "internal": 8081,
        }
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] == "internal"
    published = {
        (port["port"], port["targetPort"])
        for each in objects
        if each["kind"] == "Service" and each["metadata"]["name"] in SERVICES
        for port in each["spec"]["ports"]
    }
    assert published == {(8080, "http")}
    assert {source for _, _, source, port in flows(objects) if port == "TCP/8081"} == {
        "role=monitoring"
    }
    settings = named(objects, "ConfigMap", "fengping")["data"]
    assert settings["FENGPING_INTERNAL_PORT"] == "8081"


def routed(objects: list[Object], path: str) -> tuple[str, int]:
    """Where the gateway sends a path, and the bytes it lets through: the most exact of all
    Ingresses.
    """
    fitting = [
        (
            one["pathType"] == "Exact",
            len(one["path"]),
            one["backend"]["service"]["name"],
            each["metadata"]["annotations"],
        )
        for each in objects
        if each["kind"] == "Ingress"
        for one in each["spec"]["rules"][0]["http"]["paths"]
        if path == one["path"]
        or (one["pathType"] == "Prefix" and f"{path}/".startswith(f"{one['path'].rstrip('/')}/"))
    ]
    _, _, service, annotations = max(fitting, key=lambda one: one[:2])
    return service, int(
        annotations["nginx.ingress.kubernetes.io/proxy-body-size"].removesuffix("m")
    ) * 2**20


def test_gateway_admits_each_route_s_body_limit_and_no_more(rendered):
    assert {
        path for path, size in bodies() if routed(rendered["production"], path)[1] < size
    } == set()
    assert routed(rendered["production"], "/intake/api/complaints") == ("intake", 12 * 2**20)


def test_every_ingress_has_the_same_host_and_certificate_and_logs_no_addresses(rendered):
    ways = [each for each in rendered["production"] if each["kind"] == "Ingress"]

    assert len({(each["spec"]["rules"][0]["host"], str(each["spec"]["tls"])) for each in ways}) == 1
    assert {
        each["metadata"]["annotations"]["nginx.ingress.kubernetes.io/enable-access-log"]
        for each in ways
    } == {"false"}


@pytest.mark.parametrize("service", ["intake", "scoring"])
def test_a_growing_service_never_falls_below_its_replicas(rendered, service):
    scaler = named(rendered["production"], "HorizontalPodAutoscaler", service)["spec"]

    assert (
        scaler["minReplicas"]
        == named(rendered["production"], "Deployment", service)["spec"]["replicas"]
    )
    assert scaler["maxReplicas"] <= Settings.model_fields["topic_partitions"].default
    assert not [each for each in rendered["dev"] if each["kind"] == "HorizontalPodAutoscaler"]
