"""Makes a list of components (CycloneDX 1.5) of what `cargo metadata` says on standard input.

usage: cargo metadata … | python3 packaging/sbom.py Cargo.lock SECONDS
"""
import datetime
import hashlib
import json
import sys
import tomllib
import uuid

# The kinds of dependencies that are not in the program.
NOT_BUILT_IN = {"dev", "build"}


def built_in(needs: dict, root: str) -> set:
    """Returns the packages that are linked into the root, itself included."""
    found, waiting = set(), [root]
    while waiting:
        package = waiting.pop()
        if package not in found:
            found.add(package)
            waiting.extend(needs[package])
    return found


def linked_needs(metadata: dict) -> dict:
    """Returns the packages that each one needs when it runs. Macros run in the compiler."""
    kinds = {it["id"]: {kind for target in it["targets"] for kind in target["kind"]} for it in metadata["packages"]}
    is_linked = lambda it: "proc-macro" not in kinds[it["pkg"]] and {
        kind["kind"] for kind in it["dep_kinds"]
    } - NOT_BUILT_IN
    nodes = metadata["resolve"]["nodes"]
    return {node["id"]: [it["pkg"] for it in node["deps"] if is_linked(it)] for node in nodes}


def reference(package: dict) -> str:
    """Returns the package URL of a crate."""
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package: dict, hashes: dict, kind: str) -> dict:
    """Returns one crate as a component."""
    made = {
        "type": kind,
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["description"]:
        made["description"] = " ".join(package["description"].split())
    if package["license"]:
        # An expression of SPDX has no slash; crates of old have.
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    digest = hashes.get((package["name"], package["version"]))
    if digest:
        made["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if package["repository"] and kind == "library":
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def main() -> None:
    """Reads, and prints the list."""
    lock, epoch = sys.argv[1:]
    metadata = json.load(sys.stdin)
    with open(lock, "rb") as file:
        locked = tomllib.load(file)["package"]
    hashes = {(it["name"], it["version"]): it.get("checksum") for it in locked}
    packages = {it["id"]: it for it in metadata["packages"]}
    needs = linked_needs(metadata)
    root = metadata["resolve"]["root"]
    within = sorted(built_in(needs, root), key=lambda it: reference(packages[it]))
    time = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    components = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(packages[root], hashes, "application"),
        },
        "components": [component(packages[it], hashes, "library") for it in within if it != root],
        "dependencies": [
            {
                "ref": reference(packages[it]),
                "dependsOn": sorted({reference(packages[other]) for other in needs[it]}),
            }
            for it in within
        ],
    }
    digest = hashlib.sha256(json.dumps(components, sort_keys=True).encode()).digest()
    components["serialNumber"] = uuid.UUID(bytes=digest[:16], version=4).urn
    json.dump(components, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
