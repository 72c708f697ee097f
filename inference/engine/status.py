"""Asks an engine how it is: `python -m inference.engine.status ADDRESS`.

Prints what it says of itself as JSON. Exit status 1, with the reason on standard error, when it
gives no answer within two seconds; an engine that hangs gives none.
"""

import sys

from google.protobuf.json_format import MessageToJson

from inference.engine.wire.asking import ask
from inference.engine.wire.engine_pb2 import InfoRequest
from inference.engine.wire.errors import CallError
from inference.engine.wire.methods import INFO

PATIENCE_S = 2.0


def main() -> None:
    """Run the command."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m inference.engine.status ADDRESS\n")
        sys.exit(2)
    try:
        info = ask(sys.argv[1], INFO, InfoRequest(), PATIENCE_S)
    except (CallError, ValueError) as error:
        told = error.sentence if isinstance(error, CallError) else error
        sys.stderr.write(f"{told}\n")
        sys.exit(1)
    text = MessageToJson(
        info, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
