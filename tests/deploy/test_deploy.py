"""What deploy/ says agrees with the program: versions, paths, resources. Nothing is built or applied here."""

import json
import re
import shlex
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflows.records.provenance import SHIPPED_STATE
from workflows.spec.experiment import Experiment
from workflows.spec.load import load_spec
from workflows.stages.prepare import PrepareSection

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
INSTRUCTIONS = [
    (line.partition(" ")[0], line.partition(" ")[2].strip())
    for line in re.sub(r"\\\n", " ", DOCKERFILE).splitlines()
    if line and not line.startswith("#")
]


@pytest.fixture
def job() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "deploy" / "rayjob.yaml").read_text()))


def containers(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    templates = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    found = [container for template in templates for container in template["spec"]["containers"]]
    return {container["name"]: container for container in found}


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") or entry["valueFrom"] for entry in container["env"]}


def entrypoint(job: dict[str, Any]) -> tuple[str, list[str]]:
    """Spec and overrides of the entry point."""
    program, command, spec, *options = shlex.split(job["spec"]["entrypoint"])
    assert (program, command) == ("cosa", "run-experiment")
    names, values = options[::2], options[1::2]
    assert set(names) == {"--storage", "--set"}
    return spec, [f"storage={v}" if name == "--storage" else v for name, v in zip(names, values, strict=True)]


def experiment(job: dict[str, Any]) -> Experiment:
    spec, overrides = entrypoint(job)
    return load_spec(ROOT / spec, overrides, environment(containers(job)["ray-head"]))


def test_the_job_is_one_that_kuberay_knows(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,45}[a-z0-9])?", job["metadata"]["name"])
    cluster = job["spec"]["rayClusterSpec"]
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    pinned = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert cluster["rayVersion"] == pinned[1] == version("ray")


def test_its_experiment_exists_and_runs_on_the_cluster_around_it(job: dict[str, Any]) -> None:
    loaded = experiment(job)
    assert loaded.section.cluster.address == "auto"
    assert (ROOT / entrypoint(job)[0]).is_relative_to(ROOT / "experiments")
    assert re.search(r"^COPY experiments experiments$", DOCKERFILE, re.MULTILINE)
    for stage in loaded.stages.values():
        assert getattr(stage, "batch_size", 0) % int(loaded.section.cluster.workers) == 0


def test_the_image_has_all_that_the_package_is_made_of_before_it_is_installed() -> None:
    (installed,) = (number for number, (name, words) in enumerate(INSTRUCTIONS) if name == "RUN" and "pip install" in words)
    copied = {word for name, words in INSTRUCTIONS[:installed] if name == "COPY" for word in words.split()[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    modules = {f"{module}.py" for module in project["tool"]["setuptools"]["py-modules"]}
    assert {"pyproject.toml", project["project"]["readme"], "LICENSE", "cosa", "workflows", "experiments", *modules} <= copied


def test_the_image_says_which_source_it_was_made_of() -> None:
    (line,) = (words for name, words in INSTRUCTIONS if name == "RUN" and "$COMMIT" in words)
    assert line.endswith(f'/{SHIPPED_STATE}"')
    written = re.search(r"printf '(.*)\\n'", line)
    assert written is not None
    assert json.loads(written[1] % ("abc", "no")) == {"commit": "abc", "dirty": "no"}
    assert all(f"--build-arg {name}=" in DOCKERFILE and f"{name}=unknown" in DOCKERFILE for name in ("COMMIT", "DIRTY"))


def test_results_and_data_are_on_the_volume_that_all_nodes_mount(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    loaded = experiment(job)
    datasets = loaded.section.datasets.values()
    sources = [
        stage.options[name]
        for stage in loaded.stages.values()
        if isinstance(stage, PrepareSection)
        for name in ("source", "media")
    ]
    assert sources
    paths = [loaded.section.storage, *sources, *(dataset.root for dataset in datasets if dataset.made_by is None)]
    paths += [str(environment(containers(job)["ray-head"])["COSA_CHECKPOINTS"])]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        (mount,) = (m["mountPath"] for m in container["volumeMounts"] if m["name"] == "shared")
        assert all(Path(path).is_relative_to(mount) for path in paths)
        volumes = {volume["name"]: volume for volume in group["template"]["spec"]["volumes"]}
        assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == "cosa-shared"
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)


def test_nodes_have_what_the_workers_ask_for(job: dict[str, Any]) -> None:
    section = experiment(job).section.cluster
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    resources = containers(job)["ray-worker"]["resources"]
    assert resources["requests"] == resources["limits"]
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
    on_a_node = int(resources["limits"]["cpu"]) // section.cpus_per_worker
    assert on_a_node == int(resources["limits"]["nvidia.com/gpu"]) >= 1
    assert group["replicas"] * on_a_node == section.workers
    assert job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_all_nodes_have_the_same_token_from_a_secret_and_no_root(job: dict[str, Any]) -> None:
    (submitter,) = job["spec"]["submitterPodTemplate"]["spec"]["containers"]
    everyone = [submitter, *containers(job).values()]
    secrets = [environment(container)["RAY_AUTH_TOKEN"]["secretKeyRef"] for container in everyone]
    assert all(secret == {"name": "cosa-ray-token", "key": "auth_token"} for secret in secrets)
    assert all(environment(container)["RAY_AUTH_MODE"] == "token" for container in everyone)
    assert len({container["image"] for container in everyone}) == 1
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_image_copies_what_exists_and_installs_what_was_tested() -> None:
    for instruction, arguments in INSTRUCTIONS:
        if instruction == "COPY":
            *sources, _ = shlex.split(arguments)
            assert all((ROOT / source).exists() for source in sources), arguments
    assert any(name == "RUN" and "pip install" in text and "-c constraints.txt" in text for name, text in INSTRUCTIONS)
    shipped = {word for name, text in INSTRUCTIONS if name == "COPY" for word in shlex.split(text)[:-1]}
    assert {"cosa", "workflows", "cli.py", "pyproject.toml", "constraints.txt"} <= shipped


def test_the_image_has_a_supported_python_and_ends_without_root() -> None:
    (base,) = [text for name, text in INSTRUCTIONS if name == "FROM"]
    found = re.fullmatch(r"python:(\d+)\.(\d+)-slim", base)
    assert found is not None
    project = (ROOT / "pyproject.toml").read_text()
    lowest, above = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project).groups()  # type: ignore[union-attr]
    assert found[1] == "3"
    assert int(lowest) <= int(found[2]) < int(above)
    names = [name for name, _ in INSTRUCTIONS]
    last_user = len(names) - 1 - names[::-1].index("USER")
    assert INSTRUCTIONS[last_user][1] == "cosa"
    assert "RUN" not in names[last_user:]
