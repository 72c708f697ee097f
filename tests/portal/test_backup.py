"""A backup of PostgreSQL is made and put back as the docs say, with what keeps posted rows."""

import os
import re
import subprocess
from pathlib import Path

import psycopg

from tests.databases import migrated_postgres
from tests.environment import REPOSITORY
from tests.services import find_binary

OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text()
COMMANDS = re.findall(r"^pg_\w+ .*$", OPERATIONS, re.MULTILINE)
SESSION = "INSERT INTO django_session VALUES (%s, '', now())"
COUNTS = """SELECT (SELECT COUNT(*) FROM django_session),
                   (SELECT COUNT(*) FROM pg_trigger WHERE NOT tgisinternal)"""


def test_a_backup_is_put_back_as_the_docs_say(tmp_path: Path) -> None:
    folder = Path(find_binary("pg_dump", "postgresql")).parent
    back_up, restore = COMMANDS
    with migrated_postgres() as url:
        env = os.environ | {"DATABASE_URL": url, "PATH": f"{folder}:{os.environ['PATH']}"}
        with psycopg.connect(url) as connection:
            connection.execute(SESSION, ["kept"])
            before = connection.execute(COUNTS).fetchone()
        subprocess.run(back_up, shell=True, cwd=tmp_path, env=env, check=True)
        with psycopg.connect(url) as connection:
            connection.execute(SESSION, ["lost"])
            connection.execute("DROP TABLE billing_transfer CASCADE")
        subprocess.run(restore, shell=True, cwd=tmp_path, env=env, check=True)
        with psycopg.connect(url) as connection:
            assert connection.execute(COUNTS).fetchone() == before
            assert connection.execute("SELECT COUNT(*) FROM billing_transfer").fetchone()
    assert before is not None
    assert before[0] == 1
    assert before[1] > 0
