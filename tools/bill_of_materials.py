"""The bill of materials of a wheel, CycloneDX 1.6: what its extras bring, in the versions of constraints.txt."""

from __future__ import annotations

import datetime
import hashlib
import tomllib
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EVERYBODY = ""  # the extra of what is always installed
OURS = ("dev", "all", "bench")  # tools of development, and names for several extras
DECLARED = LicenseAcknowledgement.DECLARED


def write(root: Path, wheel: Path, archive: Path, epoch: int) -> Path:
    """Writes WHEEL.cdx.json beside ``wheel``; ``root`` has pyproject.toml and constraints.txt."""
    bom = describe(root, wheel, archive, epoch)
    out = wheel.with_suffix(".cdx.json")
    out.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n", encoding="utf-8")
    return out


def describe(root: Path, wheel: Path, archive: Path, epoch: int) -> Bom:
    """The same files give the same bill, on one kind of machine: what is needed depends on it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = wheel.name.split("-")[1]
    qgait = Component(
        name=project["name"],
        version=version,
        type=ComponentType.APPLICATION,
        description=project["description"],
        licenses=[LicenseExpression(project["license"], acknowledgement=DECLARED)],
        bom_ref=f"{project['name']}=={version}",
        purl=PackageURL("pypi", None, project["name"], version),
        hashes=[sha256(wheel)],
        external_references=[
            ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(file.name), hashes=[sha256(file)])
            for file in (wheel, archive)
        ],
    )
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, str(qgait.hashes[0].content)))
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    bom.metadata.component = qgait

    extras = {EVERYBODY: project["dependencies"], **project["optional-dependencies"]}
    asked = {name: [Requirement(line) for line in lines] for name, lines in extras.items() if name not in OURS}
    bring = {name: reachable(requirements) for name, requirements in asked.items()}
    versions = constraints(root)
    components = {}
    for name in sorted(set().union(*bring.values())):
        wanted_by = sorted(extra for extra, names in bring.items() if name in names)
        components[name] = component(name, versions, wanted_by)
        bom.components.add(components[name])
    direct = {canonicalize_name(requirement.name) for requirements in asked.values() for requirement in requirements}
    bom.register_dependency(qgait, [components[name] for name in sorted(direct)])
    for name, found in components.items():
        bom.register_dependency(found, [components[need] for need in sorted(needs(name, frozenset()))])
    return bom


def sha256(file: Path) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(file.read_bytes()).hexdigest())


def constraints(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def component(name: str, versions: dict[str, str], wanted_by: list[str]) -> Component:
    """A package; what it says of its licence is what its metadata declares."""
    found = installed(name)
    version = versions.get(name) or (None if found is None else found.version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=name if version is None else f"{name}=={version}",
        purl=PackageURL("pypi", None, name, version),
        scope=ComponentScope.REQUIRED if EVERYBODY in wanted_by else ComponentScope.OPTIONAL,
        licenses=() if found is None else licences(found),
        properties=[Property(name="qgait:extra", value=extra) for extra in wanted_by if extra != EVERYBODY],
    )


def licences(found: Distribution) -> Iterator[object]:
    """Its SPDX expression, or its classifiers, or the line that it gives."""
    make = LicenseFactory()
    expression = found.metadata["License-Expression"]
    line = (found.metadata["License"] or "").strip()
    classified = [c.split(" :: ")[-1] for c in found.metadata.get_all("Classifier", []) if c.startswith("License :: ")]
    if expression:
        yield make.make_from_string(expression, license_acknowledgement=DECLARED)
    elif classified:
        for name in sorted(classified):
            yield make.make_with_name(name, acknowledgement=DECLARED)
    elif line and "\n" not in line and len(line) < 80:
        yield make.make_from_string(line, license_acknowledgement=DECLARED)


def installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def needs(name: str, extras: frozenset[str]) -> set[str]:
    """What a package needs on this machine."""
    found = installed(name)
    return set() if found is None else {canonicalize_name(r.name) for r in _asked(found, extras)}


def _asked(found: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for line in found.requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement


def reachable(requirements: list[Requirement]) -> set[str]:
    """The packages that come with ``requirements``, and with them."""
    names: set[str] = set()
    waiting = [(canonicalize_name(r.name), frozenset(r.extras)) for r in requirements]
    while waiting:
        name, extras = waiting.pop()
        if name not in names:
            names.add(name)
            found = installed(name)
            further = [] if found is None else _asked(found, extras)
            waiting += [(canonicalize_name(r.name), frozenset(r.extras)) for r in further]
    return names
