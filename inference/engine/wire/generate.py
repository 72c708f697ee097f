"""Regenerates the protocol's Python code: `python -m inference.engine.wire.generate`.

A test runs `generate` into an empty folder and compares.
"""

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]  # only for the protoc in it

WIRE_DIR = Path(__file__).parent


def generate(target: Path) -> None:
    """Write engine_pb2, code and types, into `target`."""
    well_known = resources.files("grpc_tools") / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={WIRE_DIR}",
            f"--proto_path={well_known}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            "engine.proto",
        ]
    )
    if status != 0:
        raise ValueError(f"protoc refused {WIRE_DIR / 'engine.proto'} (status {status})")
    types = target / "engine_pb2.pyi"
    types.write_text("# mypy: ignore-errors\n" + types.read_text())  # bare `Mapping`s


if __name__ == "__main__":
    generate(WIRE_DIR)
    sys.stdout.write(f"wrote {WIRE_DIR}/engine_pb2.py\n")
