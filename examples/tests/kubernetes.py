"""Checks the manifests in a folder: their schema, and what gives a container whole CPUs and time to drain.

Exits with 77, and says why, where what it needs is not installed.
"""

import pathlib
import sys

try:
    import kubernetes_validate
    import yaml
except ImportError as missing:
    print(f"{missing.name} is not installed")
    sys.exit(77)

folder = pathlib.Path(sys.argv[1])
shutdown_seconds = int(sys.argv[2])
documents = list(yaml.safe_load_all((folder / "corelane-kv.yaml").read_text()))
for document in documents:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)

by_kind = {document["kind"]: document for document in documents}
service, stateful = by_kind["Service"], by_kind["StatefulSet"]
template = stateful["spec"]["template"]
pod = template["spec"]
containers = pod["containers"] + pod.get("initContainers", [])
for container in containers:
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    # Guaranteed quality of service, and a cpuset instead of a quota.
    assert requests == limits, container["name"]
    assert set(requests) >= {"cpu", "memory"}, container["name"]
    assert str(requests["cpu"]).isdigit() and int(requests["cpu"]) > 0, container["name"]
    # With hyperthreads and full-pcpus-only an odd number is refused.
    assert int(requests["cpu"]) % 2 == 0, container["name"]
    assert "readinessProbe" in container and "livenessProbe" in container, container["name"]
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
assert pod["terminationGracePeriodSeconds"] > shutdown_seconds
assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
assert pod["securityContext"]["runAsNonRoot"] is True
assert stateful["spec"]["serviceName"] == service["metadata"]["name"]
labels = template["metadata"]["labels"]
for selector in (service["spec"]["selector"], stateful["spec"]["selector"]["matchLabels"]):
    assert selector.items() <= labels.items(), selector
ports = {port["name"] for container in containers for port in container["ports"]}
assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def mebibytes(text):
    number, unit = int(text[:-2]), text[-2:]
    return number * {"Mi": 1, "Gi": 1024}[unit]


# The kubelet's configuration has no published schema: what matters is checked by hand.
kubelet = yaml.safe_load((folder / "kubelet-config.yaml").read_text())
assert kubelet["kind"] == "KubeletConfiguration"
assert kubelet["cpuManagerPolicy"] == "static"
assert kubelet["cpuManagerPolicyOptions"] == {"full-pcpus-only": "true", "strict-cpu-reservation": "true"}
assert kubelet["topologyManagerPolicy"] == "single-numa-node"
assert kubelet["reservedSystemCPUs"]
reserved = sum(mebibytes(entry["limits"]["memory"]) for entry in kubelet["reservedMemory"])
others = [kubelet.get(name, {}).get("memory", "0Mi") for name in ("systemReserved", "kubeReserved")]
needed = sum(map(mebibytes, others)) + mebibytes(kubelet["evictionHard"]["memory.available"])
assert reserved == needed, (reserved, needed)
