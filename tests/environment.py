"""Sets the environment of the test run before Django reads its settings (a pytest plugin).

A run has a data folder of its own, so it never meets a site that runs beside it.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

if "PARLANCE_TEST_DATA" not in os.environ:  # workers of pytest-xdist have folders inside it
    folder = tempfile.mkdtemp(prefix="parlance-test-")
    os.environ["PARLANCE_TEST_DATA"] = folder
    owner = os.getpid()
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(folder, ignore_errors=True))

data_dir = Path(os.environ["PARLANCE_TEST_DATA"], os.environ.get("PYTEST_XDIST_WORKER", "main"))
os.environ["DATA_DIR"] = str(data_dir)
# Where static files are collected; whitenoise warns when it is missing.
(data_dir / "static").mkdir(parents=True, exist_ok=True)
os.environ["ENGINE_FAKE"] = "true"
os.environ.setdefault("LOG_LEVEL", "ERROR")
# Tiny tensors are slower on several threads, and the other workers need the other cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read when triton is first imported, which torch may do at any time.
os.environ["TRITON_INTERPRET"] = "1"
for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "REDIS_URL", "ENGINES", "PORT"):
    os.environ.pop(name, None)

REPOSITORY = Path(__file__).resolve().parent.parent
REFERENCE_DATA = Path(
    os.environ.get("REFERENCE_DATA", REPOSITORY.parent / "shared" / "data")
).resolve()
CI = os.environ.get("CI") == "true"


def site_environment(data_dir: Path, **knobs: str) -> dict[str, str]:
    """A clean environment: nothing of the test run's own settings gets in."""
    kept = ("PATH", "HOME", "LANG", "CI", "COVERAGE_PROCESS_START", "TMPDIR")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    return {**env, "DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1", **knobs}
