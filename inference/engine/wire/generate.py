"""Regenerates the protocol's Python code: `python -m inference.engine.wire.generate`.

Owns the one fix the generator needs: it writes `import engine_pb2`, which only works when the
folder is on `sys.path`; the committed code imports through the package instead. A test runs
`generate` into an empty folder and compares.
"""

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

WIRE_DIR = Path(__file__).parent


def generate(target: Path) -> None:
    """Write engine_pb2.py, engine_pb2.pyi and engine_pb2_grpc.py into `target`."""
    well_known = resources.files("grpc_tools") / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={WIRE_DIR}",
            f"--proto_path={well_known}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            "engine.proto",
        ]
    )
    if status != 0:
        raise ValueError(f"protoc refused {WIRE_DIR / 'engine.proto'} (status {status})")
    service = target / "engine_pb2_grpc.py"
    code = service.read_text()
    plain = "import engine_pb2 as engine__pb2"
    assert plain in code, "the generator's import line changed; adapt generate()"
    service.write_text(
        code.replace(plain, "from inference.engine.wire import engine_pb2 as engine__pb2")
    )


if __name__ == "__main__":
    generate(WIRE_DIR)
    sys.stdout.write(f"wrote {WIRE_DIR}/engine_pb2*.py\n")
