"""Says whether a checkpoint can be served: `python -m inference.engine.check DIR_OR_HUB_ID`.

Reads the configuration only. Exit status 0 and one line of JSON with what a catalogue needs to
know, or 1 and the reason on standard error.
"""

import json
import sys

from inference.engine.encoders.checkpoint import encoder_facts
from inference.engine.support import check_supported, longest_text, read_config


def describe(path: str) -> dict[str, object]:
    """Return the facts of a servable checkpoint; ValueError with the reason otherwise."""
    facts = encoder_facts(path)
    config = read_config(path)
    if facts is None:
        check_supported(config)
    return {
        "model_type": config.model_type,
        "kind": "text" if facts is None else facts.kind,
        "max_model_len": longest_text(config) if facts is None else facts.max_model_len,
        "vocab_size": config.vocab_size,
        "num_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
    }


def main() -> None:
    """Run the command."""
    try:
        if len(sys.argv) != 2:
            raise ValueError("usage: python -m inference.engine.check DIR_OR_HUB_ID")
        facts = describe(sys.argv[1])
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
