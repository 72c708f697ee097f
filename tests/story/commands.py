"""Management commands of a site, each in a fork of one process that has loaded Django already.

To load it takes seconds of a processor, and most commands a tenth of one. `Commands` is the tests'
side; the module itself is the process: a line of arguments in, a line of what came of them out.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

REPOSITORY = Path(__file__).parents[2]  # tests.environment would change the environment


class Commands:
    """Runs `manage.py` with the settings of an environment; starts with the first command."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self._process: subprocess.Popen[str] | None = None

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self._process = self._process or subprocess.Popen(
            [sys.executable, "-m", "tests.story.commands"],
            cwd=REPOSITORY, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, f"the process for commands ended with {process.wait()}"
        return subprocess.CompletedProcess(arguments, **json.loads(answer))

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None


def main() -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    import portal.urls  # noqa: F401  a command's checks would load it

    for line in sys.stdin:
        print(json.dumps(_run_in_a_fork(json.loads(line))), flush=True)


def _run_in_a_fork(arguments: list[str]) -> dict[str, int | str]:
    from django.core.management import execute_from_command_line

    with TemporaryFile() as out, TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), sys.stdout.fileno())
            os.dup2(errors.fileno(), sys.stderr.fileno())
            execute_from_command_line(["manage.py", *arguments])
            sys.exit()
        _pid, status = os.waitpid(child, 0)
        printed = []
        for file in (out, errors):
            file.seek(0)
            printed.append(file.read().decode())
    return {
        "returncode": os.waitstatus_to_exitcode(status), "stdout": printed[0], "stderr": printed[1],
    }  # fmt: skip


if __name__ == "__main__":
    main()
